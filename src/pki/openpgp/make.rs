//! Making a certificate: primary key, User ID, signing subkeys, and a revocation certificate to put aside.
//!
//! The primary key certifies and does nothing else; each subkey signs documents and does nothing else, and
//! signs back that it belongs to the primary key (RFC 4880 §5.2.1, type 0x19). The revocation certificate is
//! made in the same act, because on the day it is needed the primary key may be out of reach (rule C6).

use super::certificate::{Certificate, armored, reason_code, words};
use super::key::{DatedKey, KeyPacket};
use super::plan::{Flag, Operation, Plan, Reason, SignatureKind, Signing};
use super::unsigned::{Body, Unsigned, finish_all, sign_all};
use super::{DigestSigner, certificate};
use crate::clock::{Time, rfc3339};
use crate::error::{Context, Error, Result, shown};
use crate::model::Signature;
use openpgp::packet::signature::subpacket::SubpacketValue;
use openpgp::packet::{Packet, Signature as SignaturePacket, UserID};
use openpgp::serialize::MarshalInto;
use openpgp::types::{Duration, KeyFlags, SignatureType};
use openpgp::{Cert, armor};
use sequoia_openpgp as openpgp;

/// A certificate to be made.
#[derive(Clone, Debug)]
pub struct NewCertificate {
    /// The key that certifies.
    pub primary: DatedKey,
    /// The User ID, `Name <mail@example>`.
    pub user_id: String,
    /// When the primary key expires; `None` for never.
    pub expires: Option<Time>,
    /// The keys that sign.
    pub subkeys: Vec<NewSubkey>,
    /// When all of it is signed; not before any of the keys was made.
    pub at: Time,
}

/// A signing subkey to be bound.
#[derive(Clone, Debug)]
pub struct NewSubkey {
    /// The key.
    pub key: DatedKey,
    /// When it expires; `None` for never.
    pub expires: Option<Time>,
}

/// A certificate whose signatures are still to be made.
#[derive(Clone, Debug)]
pub struct Prepared {
    primary: KeyPacket,
    user_id: UserID,
    subkeys: Vec<KeyPacket>,
    /// Direct-key, User ID, key revocation, then back-signature and binding of each subkey.
    unsigned: Vec<Unsigned>,
    at: Time,
}

/// A certificate and the means to end it.
#[derive(Clone, Debug)]
pub struct Made {
    /// The certificate.
    pub certificate: Certificate,
    /// The revocation certificate. Whoever has it can end the certificate.
    pub revocation: Revocation,
}

/// A revocation certificate, to be kept apart from the key.
#[derive(Clone)]
pub struct Revocation {
    /// The armoured signature. Publishing this revokes the certificate for good.
    pub armored: String,
    /// What to tell whoever finds it.
    pub warning: String,
}

impl std::fmt::Debug for Revocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Revocation(…)")
    }
}

impl Revocation {
    /// Warning and armour in one text which no program takes for a revocation before the colon is removed.
    pub fn guarded(&self) -> String {
        format!("{}\n:{}", self.warning, self.armored)
    }
}

/// Fixes everything about a new certificate but the signatures.
///
/// # Errors
/// `bad_user_id`; `openpgp_time` for times that contradict each other; `openpgp_algorithm`; `duplicate_key`.
pub fn prepare(new: &NewCertificate) -> Result<Prepared> {
    let primary = new.primary.packet()?;
    check_user_id(&new.user_id)?;
    check_times("the primary key", &new.primary, new.expires, new.at)?;
    let user_id = UserID::from(new.user_id.as_str());
    let validity = validity(&new.primary, new.expires)?;
    let mut unsigned = vec![
        direct_key(&primary, KeyFlags::empty().set_certification(), validity, new.expires, new.at)?,
        bind_user_id(
            &primary,
            &user_id,
            UserIdTerms {
                flags: KeyFlags::empty().set_certification(),
                validity,
                expires: new.expires,
                is_primary: true,
            },
            new.at,
        )?,
        revoke_primary(&primary, Reason::Unspecified, "made in advance, together with the key", new.at)?,
    ];
    let mut subkeys = Vec::new();
    for subkey in &new.subkeys {
        let packet = subkey.key.packet()?;
        if packet.fingerprint() == primary.fingerprint() || subkeys.contains(&packet) {
            return Err(Error::usage("duplicate_key", "the same key is given twice"));
        }
        unsigned.extend(bind_subkey(&primary, subkey, new.at)?);
        subkeys.push(packet);
    }
    Ok(Prepared { primary, user_id, subkeys, unsigned, at: new.at })
}

impl Prepared {
    /// What will be signed.
    pub fn plan(&self) -> Plan {
        Plan::new(Operation::MakeCertificate, &self.primary.fingerprint().to_hex(), &self.unsigned)
    }

    /// The signatures to be made, in order.
    pub fn unsigned(&self) -> &[Unsigned] {
        &self.unsigned
    }

    /// Asks the keys for them and finishes.
    ///
    /// # Errors
    /// As [`sign_all`] and [`Self::finish`].
    pub fn sign(&self, signers: &[&dyn DigestSigner]) -> Result<Made> {
        self.finish(&sign_all(&self.unsigned, signers)?)
    }

    /// Puts the signatures in and reads the result afresh.
    ///
    /// # Errors
    /// `bad_signature`; `openpgp_result` when the certificate does not come out as planned.
    pub fn finish(&self, signatures: &[Signature]) -> Result<Made> {
        let mut made = finish_all(&self.unsigned, signatures)?.into_iter();
        let mut next = || made.next().ok_or_else(|| Error::bug("a signature is missing"));
        let (direct, binding, revocation) = (next()?, next()?, next()?);
        let mut packets: Vec<Packet> = vec![
            self.primary.clone().role_into_primary().into(),
            direct.into(),
            self.user_id.clone().into(),
            binding.into(),
        ];
        for subkey in &self.subkeys {
            let (back, binding) = (next()?, next()?);
            packets.push(subkey.clone().role_into_subordinate().into());
            packets.push(embed(binding, back)?.into());
        }
        let cert = Cert::from_packets(packets.into_iter())
            .or_failed("openpgp_result", || "the packets make no certificate".into())?;
        let certificate = reread(cert, &self.unsigned, self.at)?;
        Ok(Made { certificate, revocation: revocation_file(&self.primary, revocation)? })
    }
}

/// Serialises and parses again, and checks that every signature holds and every bound key is good.
///
/// # Errors
/// `openpgp_result` naming what is missing.
pub(crate) fn reread(cert: Cert, unsigned: &[Unsigned], at: Time) -> Result<Certificate> {
    let certificate = Certificate::parse(&Certificate::checked(cert)?.to_bytes()?)?;
    let wrong = |what: String| Error::failed("openpgp_result", what);
    if certificate.cert.bad_signatures().next().is_some() {
        return Err(wrong("a signature in the certificate does not verify".into()));
    }
    let keys = certificate.describe(at)?.keys;
    for says in unsigned.iter().map(Unsigned::says).filter(|says| says.kind == SignatureKind::SubkeyBinding) {
        let key = keys.iter().find(|key| key.fingerprint == says.about);
        let key = key.ok_or_else(|| wrong(format!("{} is not in the certificate", says.about)))?;
        if key.expires.map(rfc3339) != says.expires || key.flags != says.flags {
            return Err(wrong(format!("{} did not come out as planned: {key:?}", says.about)));
        }
        if !matches!(key.status, certificate::KeyStatus::Valid | certificate::KeyStatus::Revoked { .. }) {
            return Err(wrong(format!("{} came out {}", says.about, key.status)));
        }
    }
    Ok(certificate)
}

/// Puts the back-signature into the binding. Both sign only what is fixed before, so neither waits for the
/// other: the embedded signature stands in the unhashed area, as GnuPG has it too.
pub(crate) fn embed(mut binding: SignaturePacket, back: SignaturePacket) -> Result<SignaturePacket> {
    let subpacket =
        openpgp::packet::signature::subpacket::Subpacket::new(SubpacketValue::EmbeddedSignature(back), false);
    let added = subpacket.and_then(|subpacket| binding.unhashed_area_mut().add(subpacket));
    added.or_failed("openpgp_packet", || "the back-signature cannot be embedded".into())?;
    Ok(binding)
}

pub(crate) fn direct_key(
    primary: &KeyPacket,
    flags: KeyFlags,
    validity: Option<Duration>,
    expires: Option<Time>,
    at: Time,
) -> Result<Unsigned> {
    let says = Signing::of(SignatureKind::DirectKey, "").flags(&words(&flags)).expires(expires);
    let body = Body { typ: SignatureType::DirectKey, at, hashed: terms(flags, validity), says };
    Unsigned::new(primary, body, |packet, context| packet.hash_direct_key(context, primary.role_as_primary()))
}

/// What a User ID binding says about the primary key.
pub(crate) struct UserIdTerms {
    pub flags: KeyFlags,
    pub validity: Option<Duration>,
    pub expires: Option<Time>,
    pub is_primary: bool,
}

pub(crate) fn bind_user_id(primary: &KeyPacket, user_id: &UserID, given: UserIdTerms, at: Time) -> Result<Unsigned> {
    let name = String::from_utf8_lossy(user_id.value()).into_owned();
    let says = Signing::of(SignatureKind::UserId, name).flags(&words(&given.flags)).expires(given.expires);
    let mut hashed = terms(given.flags, given.validity);
    if given.is_primary {
        hashed.push((SubpacketValue::PrimaryUserID(true), true));
    }
    let body = Body { typ: SignatureType::PositiveCertification, at, hashed, says };
    Unsigned::new(primary, body, |packet, context| {
        packet.hash_userid_binding(context, primary.role_as_primary(), user_id)
    })
}

/// The subkey's back-signature, then its binding.
pub(crate) fn bind_subkey(primary: &KeyPacket, subkey: &NewSubkey, at: Time) -> Result<[Unsigned; 2]> {
    check_times("the subkey", &subkey.key, subkey.expires, at)?;
    let packet = subkey.key.packet()?;
    let says = Signing::of(SignatureKind::BackSignature, primary.fingerprint().to_hex());
    let body = Body { typ: SignatureType::PrimaryKeyBinding, at, hashed: Vec::new(), says };
    let back = Unsigned::new(&packet, body, |signature, context| {
        signature.hash_primary_key_binding(context, primary.role_as_primary(), packet.role_as_subordinate())
    })?;
    let validity = validity(&subkey.key, subkey.expires)?;
    Ok([back, subkey_binding(primary, &packet, validity, subkey.expires, at)?])
}

pub(crate) fn subkey_binding(
    primary: &KeyPacket,
    subkey: &KeyPacket,
    validity: Option<Duration>,
    expires: Option<Time>,
    at: Time,
) -> Result<Unsigned> {
    let says = Signing::of(SignatureKind::SubkeyBinding, subkey.fingerprint().to_hex());
    let says = says.flags(&[Flag::Sign]).expires(expires);
    let hashed = terms(KeyFlags::empty().set_signing(), validity);
    let body = Body { typ: SignatureType::SubkeyBinding, at, hashed, says };
    Unsigned::new(primary, body, |signature, context| {
        signature.hash_subkey_binding(context, primary.role_as_primary(), subkey.role_as_subordinate())
    })
}

pub(crate) fn revoke_primary(primary: &KeyPacket, reason: Reason, text: &str, at: Time) -> Result<Unsigned> {
    let says = Signing::of(SignatureKind::KeyRevocation, primary.fingerprint().to_hex()).reason(reason);
    let body = Body { typ: SignatureType::KeyRevocation, at, hashed: vec![why(reason, text)?], says };
    Unsigned::new(primary, body, |packet, context| packet.hash_direct_key(context, primary.role_as_primary()))
}

/// The reason subpacket (RFC 4880 §5.2.3.23).
pub(crate) fn why(reason: Reason, text: &str) -> Result<(SubpacketValue, bool)> {
    if text.len() > 500 || text.chars().any(char::is_control) {
        return Err(Error::usage("bad_reason", "the revocation's text has control characters or more than 500 bytes"));
    }
    let value = SubpacketValue::ReasonForRevocation { code: reason_code(reason), reason: text.as_bytes().to_vec() };
    Ok((value, false))
}

pub(crate) fn revocation_file(primary: &KeyPacket, signature: SignaturePacket) -> Result<Revocation> {
    let fingerprint = primary.fingerprint().to_hex();
    let bytes = Packet::from(signature)
        .to_vec()
        .or_failed("openpgp_packet", || "the revocation cannot be serialised".into())?;
    let comment = "This is a revocation certificate";
    Ok(Revocation {
        armored: armored(armor::Kind::PublicKey, &[("Comment", comment)], &bytes)?,
        warning: format!(
            "This is a revocation certificate for the OpenPGP key\n\n    {fingerprint}\n\n\
             Importing and publishing it ends that key for good; that cannot be taken back.\n\
             Keep it apart from the key. Against accidents a colon stands before the\n\
             dashes below; remove it before use."
        ),
    })
}

fn terms(flags: KeyFlags, validity: Option<Duration>) -> Vec<(SubpacketValue, bool)> {
    let mut terms = vec![(SubpacketValue::KeyFlags(flags), true)];
    terms.extend(validity.map(|period| (SubpacketValue::KeyExpirationTime(period), true)));
    terms
}

/// Seconds from a key's creation to its expiry, as the packet counts them (RFC 4880 §5.2.3.6).
pub(crate) fn validity(key: &DatedKey, expires: Option<Time>) -> Result<Option<Duration>> {
    let Some(expires) = expires else { return Ok(None) };
    let seconds = u32::try_from((expires - key.created).num_seconds()).ok().filter(|seconds| *seconds > 0);
    let seconds = seconds.ok_or_else(|| {
        Error::usage("openpgp_time", format!("a key made {} cannot expire {}", rfc3339(key.created), rfc3339(expires)))
    })?;
    Ok(Some(Duration::from(seconds)))
}

fn check_times(what: &str, key: &DatedKey, expires: Option<Time>, at: Time) -> Result<()> {
    let wrong = |why: &str| Err(Error::usage("openpgp_time", format!("{what} {why}")));
    if key.created > at {
        return wrong("is signed before it was made");
    }
    if expires.is_some_and(|expires| expires <= at) {
        return wrong("expires before it is signed");
    }
    Ok(())
}

fn check_user_id(user_id: &str) -> Result<()> {
    let fits = (1..=255).contains(&user_id.len()) && user_id.trim() == user_id;
    // `shown` changes exactly the texts that a terminal would not show as they are.
    if fits && shown(user_id) == user_id {
        return Ok(());
    }
    Err(Error::usage("bad_user_id", "a User ID has 1 to 255 bytes, no control characters, no blanks at its ends"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeyAlgorithm;
    use crate::pki::openpgp::certificate::KeyStatus;
    use crate::pki::openpgp::testkeys::{TestKey, day};
    use std::sync::atomic::Ordering;

    fn new(primary: &TestKey, subkey: &TestKey) -> NewCertificate {
        NewCertificate {
            primary: primary.dated(day(0)),
            user_id: "Archive <archive@example.org>".into(),
            expires: Some(day(1000)),
            subkeys: vec![NewSubkey { key: subkey.dated(day(1)), expires: Some(day(91)) }],
            at: day(2),
        }
    }

    #[test]
    fn a_certificate_of_each_algorithm_says_what_was_planned() {
        let pairs = [
            (KeyAlgorithm::EcdsaP384, KeyAlgorithm::EcdsaP256),
            (KeyAlgorithm::Ed25519, KeyAlgorithm::Ed25519),
            (KeyAlgorithm::EcdsaP256, KeyAlgorithm::Rsa3072),
        ];
        for (first, second) in pairs {
            let (primary, subkey) = (TestKey::new(first), TestKey::new(second));
            let prepared = prepare(&new(&primary, &subkey)).unwrap();
            let made = prepared.sign(&[&primary, &subkey]).unwrap();
            let description = made.certificate.describe(day(3)).unwrap();
            assert_eq!(description.user_ids, ["Archive <archive@example.org>"]);
            let [top, sub] = description.keys.as_slice() else { panic!("{description:?}") };
            assert!(top.primary && top.flags == [Flag::Certify] && top.expires == Some(day(1000)));
            assert!(sub.flags == [Flag::Sign] && sub.expires == Some(day(91)) && sub.status == KeyStatus::Valid);
            assert_eq!(primary.asked.load(Ordering::SeqCst), 4);
            assert_eq!(subkey.asked.load(Ordering::SeqCst), 1);
            let later = made.certificate.key(&sub.fingerprint, day(91)).unwrap().unwrap();
            assert_eq!(later.status, KeyStatus::Expired);
            let signer = made.certificate.signing_key(&sub.fingerprint, day(3)).unwrap();
            assert_eq!(signer.expires, Some(day(91)));
            assert_eq!(signer.key.fingerprint().unwrap(), sub.fingerprint);
            let refused = made.certificate.signing_key(&top.fingerprint, day(3)).unwrap_err();
            assert_eq!(refused.code(), "openpgp_key_unfit");
        }
    }

    #[test]
    fn the_digests_are_the_same_when_asked_again() {
        let (primary, subkey) = (TestKey::new(KeyAlgorithm::EcdsaP256), TestKey::new(KeyAlgorithm::EcdsaP256));
        let new = new(&primary, &subkey);
        let (one, two) = (prepare(&new).unwrap().plan(), prepare(&new).unwrap().plan());
        assert_eq!(one.content_hash().unwrap(), two.content_hash().unwrap());
        assert_eq!(one.signatures.len(), 5);
        let mut other = new.clone();
        other.subkeys[0].expires = Some(day(92));
        let other = prepare(&other).unwrap().plan();
        let changed = one.signatures.iter().zip(&other.signatures).filter(|(a, b)| a.content != b.content).count();
        assert_eq!(changed, 1, "only the binding says when the subkey expires");
    }

    #[test]
    fn a_signature_by_another_key_or_over_something_else_is_refused() {
        let (primary, subkey) = (TestKey::new(KeyAlgorithm::EcdsaP256), TestKey::new(KeyAlgorithm::EcdsaP256));
        let prepared = prepare(&new(&primary, &subkey)).unwrap();
        let mut signatures = sign_all(prepared.unsigned(), &[&primary, &subkey]).unwrap();
        signatures.swap(0, 1);
        assert_eq!(prepared.finish(&signatures).unwrap_err().code(), "bad_signature");
        signatures.swap(0, 1);
        signatures.pop();
        assert!(prepared.finish(&signatures).is_err());
        assert_eq!(prepared.sign(&[&primary]).unwrap_err().code(), "missing_signer");
    }

    #[test]
    fn contradictions_are_refused() {
        let (primary, subkey) = (TestKey::new(KeyAlgorithm::EcdsaP256), TestKey::new(KeyAlgorithm::EcdsaP256));
        let check = |change: fn(&mut NewCertificate)| {
            let mut new = new(&primary, &subkey);
            change(&mut new);
            prepare(&new).unwrap_err().code()
        };
        assert_eq!(check(|new| new.at = day(-1)), "openpgp_time");
        assert_eq!(check(|new| new.expires = Some(day(2))), "openpgp_time");
        assert_eq!(check(|new| new.subkeys[0].expires = Some(day(0))), "openpgp_time");
        assert_eq!(check(|new| new.subkeys[0].key.created = day(3)), "openpgp_time");
        assert_eq!(check(|new| new.user_id = "a\nb".into()), "bad_user_id");
        assert_eq!(check(|new| new.user_id = String::new()), "bad_user_id");
        assert_eq!(check(|new| new.subkeys.push(new.subkeys[0].clone())), "duplicate_key");
        assert_eq!(check(|new| new.subkeys[0].key = new.primary.clone()), "duplicate_key");
    }
}

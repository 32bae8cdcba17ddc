//! Changing a certificate that exists: further subkeys, other expiry times, revocation.
//!
//! Nothing is taken out of a certificate. Each change is a newer signature that verifiers prefer to the
//! older one, so a change must be dated later than what it replaces, and a mirror that still has the old
//! certificate merges the two.

use super::DigestSigner;
use super::certificate::{Certificate, KeyStatus};
use super::key::{DatedKey, KeyPacket, system_time, time};
use super::make::{self, NewSubkey, Revocation, UserIdTerms, reread, revocation_file, validity};
use super::plan::{Flag, Operation, Plan, Reason, SignatureKind, Signing};
use super::unsigned::{Body, Unsigned, finish_all, sign_all};
use crate::clock::Time;
use crate::error::{Context, Error, Result};
use crate::model::Signature;
use openpgp::cert::amalgamation::ValidAmalgamation;
use openpgp::packet::signature::subpacket::SubpacketValue;
use openpgp::packet::{Packet, Signature as SignaturePacket};
use openpgp::parse::{PacketParser, PacketParserResult, Parse};
use openpgp::policy::StandardPolicy;
use openpgp::types::{RevocationStatus, SignatureType};
use sequoia_openpgp as openpgp;

/// A change whose signatures are still to be made.
#[derive(Clone, Debug)]
pub struct Prepared {
    certificate: Certificate,
    operation: Operation,
    unsigned: Vec<Unsigned>,
    /// The new subkey, if there is one; then the first two signatures are its back-signature and binding.
    subkey: Option<KeyPacket>,
    at: Time,
}

impl Prepared {
    /// What will be signed.
    pub fn plan(&self) -> Plan {
        Plan::new(self.operation, &self.certificate.fingerprint(), &self.unsigned)
    }

    /// The signatures to be made, in order.
    pub fn unsigned(&self) -> &[Unsigned] {
        &self.unsigned
    }

    /// Asks the keys for them and finishes.
    ///
    /// # Errors
    /// As [`sign_all`] and [`Self::finish`].
    pub fn sign(&self, signers: &[&dyn DigestSigner]) -> Result<Certificate> {
        self.finish(&sign_all(&self.unsigned, signers)?)
    }

    /// Puts the signatures in and reads the changed certificate afresh.
    ///
    /// # Errors
    /// `bad_signature`; `openpgp_result` when the certificate does not come out as planned.
    pub fn finish(&self, signatures: &[Signature]) -> Result<Certificate> {
        let mut made = finish_all(&self.unsigned, signatures)?;
        let mut packets: Vec<Packet> = Vec::new();
        if let Some(subkey) = &self.subkey {
            if made.len() != 2 {
                return Err(Error::bug("a new subkey takes two signatures"));
            }
            let back = made.remove(0);
            let binding = made.remove(0);
            packets.push(subkey.clone().role_into_subordinate().into());
            packets.push(make::embed(binding, back)?.into());
        }
        packets.extend(made.into_iter().map(Packet::from));
        reread(insert(&self.certificate, packets)?, &self.unsigned, self.at)
    }

    /// For [`revoke_certificate`]: the revocation by itself, to be kept instead of published.
    ///
    /// # Errors
    /// `bad_signature`; a bug when this is no revocation of a certificate.
    pub fn finish_detached(&self, signatures: &[Signature]) -> Result<Revocation> {
        let mut made = finish_all(&self.unsigned, signatures)?;
        match (self.operation, made.pop()) {
            (Operation::RevokeCertificate, Some(signature)) => revocation_file(&primary(&self.certificate), signature),
            _ => Err(Error::bug("not the revocation of a certificate")),
        }
    }
}

/// Adds a signing subkey.
///
/// # Errors
/// `openpgp_key_unfit`: the primary key may not certify at `at`; `duplicate_key`; `openpgp_time`.
pub fn add_subkey(certificate: &Certificate, subkey: &NewSubkey, at: Time) -> Result<Prepared> {
    require_primary(certificate, at)?;
    let packet = subkey.key.packet()?;
    if certificate.cert.keys().any(|key| key.key().fingerprint() == packet.fingerprint()) {
        return Err(Error::usage("duplicate_key", format!("{} is in the certificate already", packet.fingerprint())));
    }
    Ok(Prepared {
        certificate: certificate.clone(),
        operation: Operation::AddSubkey,
        unsigned: make::bind_subkey(&primary(certificate), subkey, at)?.into(),
        subkey: Some(packet),
        at,
    })
}

/// New expiry times; `None` inside means never, a key that is not named keeps its own.
#[derive(Clone, Debug, Default)]
pub struct Expiry {
    /// Of the primary key.
    pub primary: Option<Option<Time>>,
    /// Of subkeys, by fingerprint.
    pub subkeys: Vec<(String, Option<Time>)>,
}

/// Changes expiry times. The keys named must not be revoked; an expired one may come back.
///
/// # Errors
/// `openpgp_key_missing`, `openpgp_key_unfit`, `openpgp_time` when dated before what it replaces.
pub fn change_expiry(certificate: &Certificate, expiry: &Expiry, at: Time) -> Result<Prepared> {
    let mut unsigned = Vec::new();
    if let Some(expires) = expiry.primary {
        unsigned.extend(extend_primary(certificate, expires, at)?);
    } else {
        require_primary(certificate, at)?;
    }
    for (fingerprint, expires) in &expiry.subkeys {
        unsigned.push(extend_subkey(certificate, fingerprint, *expires, at)?);
    }
    if unsigned.is_empty() {
        return Err(Error::usage("nothing_to_do", "no expiry time is changed"));
    }
    let operation = Operation::ChangeExpiry;
    Ok(Prepared { certificate: certificate.clone(), operation, unsigned, subkey: None, at })
}

fn extend_primary(certificate: &Certificate, expires: Option<Time>, at: Time) -> Result<Vec<Unsigned>> {
    require_alive_or_expired(certificate, &certificate.fingerprint(), at)?;
    check_expiry(expires, at)?;
    let when = system_time(at)?;
    let policy = StandardPolicy::at(when);
    let valid = certificate.cert.with_policy(&policy, when);
    let valid = valid.or_failed("openpgp_key_unfit", || "the certificate is not valid".into())?;
    let key = primary(certificate);
    let dated = DatedKey { public: super::key::public_key(&key)?, created: time(key.creation_time()) };
    let validity = validity(&dated, expires)?;
    let flags = valid.primary_key().key_flags().unwrap_or_else(openpgp::types::KeyFlags::empty);
    let mut unsigned = Vec::new();
    if let Ok(direct) = valid.direct_key_signature() {
        require_newer(direct, at)?;
        unsigned.push(make::direct_key(&key, flags.clone(), validity, expires, at)?);
    }
    for user_id in valid.userids() {
        if matches!(user_id.revocation_status(), RevocationStatus::Revoked(_)) {
            continue;
        }
        require_newer(user_id.binding_signature(), at)?;
        let is_primary = user_id.binding_signature().primary_userid().unwrap_or(false);
        let terms = UserIdTerms { flags: flags.clone(), validity, expires, is_primary };
        unsigned.push(make::bind_user_id(&key, user_id.userid(), terms, at)?);
    }
    Ok(unsigned)
}

fn extend_subkey(certificate: &Certificate, fingerprint: &str, expires: Option<Time>, at: Time) -> Result<Unsigned> {
    let info = require_alive_or_expired(certificate, fingerprint, at)?;
    if info.flags != [Flag::Sign] {
        return Err(unfit(fingerprint, "it is no pure signing subkey"));
    }
    check_expiry(expires, at)?;
    let when = system_time(at)?;
    let policy = StandardPolicy::at(when);
    let key = certificate.cert.keys().subkeys().find(|key| key.key().fingerprint().to_hex() == fingerprint);
    let key = key.ok_or_else(|| unfit(fingerprint, "it is not a subkey"))?;
    let binding = key.binding_signature(&policy, when).or_failed("openpgp_key_unfit", || "it is not bound".into())?;
    require_newer(binding, at)?;
    // The back-signature says only that the subkey belongs here, which stays true, so the subkey need not sign.
    let back = binding.embedded_signatures().find(|embedded| embedded.typ() == SignatureType::PrimaryKeyBinding);
    let back = back.ok_or_else(|| unfit(fingerprint, "its binding has no back-signature"))?.clone();
    let packet = key.key().clone().role_into_unspecified();
    let dated = DatedKey { public: super::key::public_key(&packet)?, created: info.created };
    make::subkey_binding(&primary(certificate), &packet, validity(&dated, expires)?, expires, at)?
        .with_unhashed(SubpacketValue::EmbeddedSignature(back))
}

/// Revokes the whole certificate. `text` is shown to people; up to 500 bytes.
///
/// # Errors
/// `bad_reason`, `openpgp_time`.
pub fn revoke_certificate(certificate: &Certificate, reason: Reason, text: &str, at: Time) -> Result<Prepared> {
    let unsigned = vec![make::revoke_primary(&primary(certificate), reason, text, at)?];
    let operation = Operation::RevokeCertificate;
    Ok(Prepared { certificate: certificate.clone(), operation, unsigned, subkey: None, at })
}

/// Revokes one subkey.
///
/// # Errors
/// `openpgp_key_missing`, `bad_reason`, `openpgp_time`.
pub fn revoke_subkey(
    certificate: &Certificate,
    fingerprint: &str,
    reason: Reason,
    text: &str,
    at: Time,
) -> Result<Prepared> {
    let subkey = certificate.cert.keys().subkeys().find(|key| key.key().fingerprint().to_hex() == fingerprint);
    let subkey = subkey.ok_or_else(|| missing(certificate, fingerprint))?.key().clone();
    let key = primary(certificate);
    let says = Signing::of(SignatureKind::SubkeyRevocation, fingerprint).reason(reason);
    let body = Body { typ: SignatureType::SubkeyRevocation, at, hashed: vec![make::why(reason, text)?], says };
    let unsigned = vec![Unsigned::new(&key, body, |signature, context| {
        signature.hash_subkey_binding(context, key.role_as_primary(), &subkey)
    })?];
    let operation = Operation::RevokeSubkey;
    Ok(Prepared { certificate: certificate.clone(), operation, unsigned, subkey: None, at })
}

/// Applies a revocation certificate that was put aside; no key is needed.
///
/// # Errors
/// `bad_revocation`: not a revocation, or not of this certificate.
pub fn apply_revocation(certificate: &Certificate, armored: &[u8]) -> Result<Certificate> {
    let bad = |why: &str| Error::failed("bad_revocation", why.to_owned());
    if armored.len() > 64 << 10 {
        return Err(bad("a revocation certificate is not that long"));
    }
    let mut parser = PacketParser::from_bytes(armored).or_failed("bad_revocation", || "it is unreadable".into())?;
    let mut packets = Vec::new();
    while let PacketParserResult::Some(current) = parser {
        let (packet, next) = current.next().or_failed("bad_revocation", || "it is unreadable".into())?;
        packets.push(packet);
        parser = next;
    }
    let [Packet::Signature(signature)] = packets.as_slice() else {
        return Err(bad("a revocation certificate is one signature"));
    };
    if signature.typ() != SignatureType::KeyRevocation {
        return Err(bad("the signature is no key revocation"));
    }
    let key = primary(certificate);
    signature
        .verify_primary_key_revocation(&key, key.role_as_primary())
        .or_failed("bad_revocation", || format!("it does not revoke {}", certificate.fingerprint()))?;
    Certificate::checked(insert(certificate, vec![signature.clone().into()])?)
}

fn insert(certificate: &Certificate, packets: Vec<Packet>) -> Result<openpgp::Cert> {
    let inserted = certificate.cert.clone().insert_packets(packets);
    Ok(inserted.or_failed("openpgp_result", || "the change does not fit the certificate".into())?.0)
}

fn primary(certificate: &Certificate) -> KeyPacket {
    certificate.cert.primary_key().key().clone().role_into_unspecified()
}

fn missing(certificate: &Certificate, fingerprint: &str) -> Error {
    Error::failed("openpgp_key_missing", format!("{} has no subkey {fingerprint}", certificate.fingerprint()))
}

fn unfit(fingerprint: &str, why: &str) -> Error {
    Error::blocked("openpgp_key_unfit", format!("{fingerprint}: {why}"))
}

fn require_primary(certificate: &Certificate, at: Time) -> Result<()> {
    let fingerprint = certificate.fingerprint();
    let info = certificate.key(&fingerprint, at)?.ok_or_else(|| missing(certificate, &fingerprint))?;
    match info.status {
        KeyStatus::Valid if info.flags.contains(&Flag::Certify) => Ok(()),
        KeyStatus::Valid => Err(unfit(&fingerprint, "the primary key may not certify")),
        status => Err(unfit(&fingerprint, &format!("the primary key is {status}"))),
    }
}

fn require_alive_or_expired(
    certificate: &Certificate,
    fingerprint: &str,
    at: Time,
) -> Result<super::certificate::KeyInfo> {
    let info = certificate.key(fingerprint, at)?.ok_or_else(|| missing(certificate, fingerprint))?;
    match info.status {
        KeyStatus::Valid | KeyStatus::Expired => Ok(info),
        status => Err(unfit(fingerprint, &format!("it is {status}"))),
    }
}

fn require_newer(replaced: &SignaturePacket, at: Time) -> Result<()> {
    if replaced.signature_creation_time().is_none_or(|created| time(created) < at) {
        return Ok(());
    }
    Err(Error::usage("openpgp_time", "the change is not dated later than the signature it replaces"))
}

fn check_expiry(expires: Option<Time>, at: Time) -> Result<()> {
    if expires.is_some_and(|expires| expires <= at) {
        return Err(Error::usage("openpgp_time", "the new expiry time is in the past"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeyAlgorithm;
    use crate::pki::openpgp::make::{Made, NewCertificate, prepare};
    use crate::pki::openpgp::testkeys::{TestKey, day};

    struct Scene {
        primary: TestKey,
        first: TestKey,
        made: Made,
        first_fp: String,
    }

    fn scene() -> Scene {
        let (primary, first) = (TestKey::new(KeyAlgorithm::EcdsaP256), TestKey::new(KeyAlgorithm::Ed25519));
        let new = NewCertificate {
            primary: primary.dated(day(0)),
            user_id: "Archive <archive@example.org>".into(),
            expires: Some(day(400)),
            subkeys: vec![NewSubkey { key: first.dated(day(0)), expires: Some(day(90)) }],
            at: day(0),
        };
        let made = prepare(&new).unwrap().sign(&[&primary, &first]).unwrap();
        let first_fp = first.dated(day(0)).fingerprint().unwrap();
        Scene { primary, first, made, first_fp }
    }

    fn status(certificate: &Certificate, fingerprint: &str, days: i64) -> KeyStatus {
        certificate.key(fingerprint, day(days)).unwrap().unwrap().status
    }

    #[test]
    fn a_second_subkey_stands_beside_the_first() {
        let scene = scene();
        let second = TestKey::new(KeyAlgorithm::EcdsaP384);
        let subkey = NewSubkey { key: second.dated(day(60)), expires: Some(day(150)) };
        let prepared = add_subkey(&scene.made.certificate, &subkey, day(60)).unwrap();
        assert_eq!(prepared.plan().signatures.len(), 2);
        let changed = prepared.sign(&[&scene.primary, &second]).unwrap();
        let fp = subkey.key.fingerprint().unwrap();
        assert_eq!(status(&changed, &scene.first_fp, 80), KeyStatus::Valid);
        assert_eq!(status(&changed, &scene.first_fp, 100), KeyStatus::Expired);
        assert_eq!(status(&changed, &fp, 100), KeyStatus::Valid);
        assert_eq!(status(&changed, &fp, 59), KeyStatus::NotYetValid);
        assert_eq!(add_subkey(&changed, &subkey, day(61)).unwrap_err().code(), "duplicate_key");
        let merged = scene.made.certificate.merge(changed).unwrap();
        assert_eq!(merged.describe(day(70)).unwrap().keys.len(), 3);
    }

    #[test]
    fn expiry_moves_without_asking_the_subkey() {
        let scene = scene();
        let expiry = Expiry { primary: Some(Some(day(800))), subkeys: vec![(scene.first_fp.clone(), Some(day(120)))] };
        let too_early = change_expiry(&scene.made.certificate, &expiry, day(0)).unwrap_err();
        assert_eq!(too_early.code(), "openpgp_time");
        let changed =
            change_expiry(&scene.made.certificate, &expiry, day(95)).unwrap().sign(&[&scene.primary]).unwrap();
        assert_eq!(status(&changed, &scene.first_fp, 100), KeyStatus::Valid);
        assert_eq!(status(&changed, &scene.first_fp, 121), KeyStatus::Expired);
        let top = changed.key(&changed.fingerprint(), day(500)).unwrap().unwrap();
        assert_eq!((top.status, top.expires), (KeyStatus::Valid, Some(day(800))));
        let never = Expiry { primary: Some(None), subkeys: Vec::new() };
        let changed = change_expiry(&changed, &never, day(900)).unwrap().sign(&[&scene.primary]).unwrap();
        assert_eq!(changed.key(&changed.fingerprint(), day(2000)).unwrap().unwrap().expires, None);
    }

    #[test]
    fn soft_and_hard_revocation_are_told_apart() {
        let scene = scene();
        for (reason, hard) in [(Reason::Superseded, false), (Reason::Retired, false), (Reason::Compromised, true)] {
            let prepared = revoke_subkey(&scene.made.certificate, &scene.first_fp, reason, "text", day(10)).unwrap();
            let changed = prepared.sign(&[&scene.primary]).unwrap();
            assert!(matches!(status(&changed, &scene.first_fp, 11), KeyStatus::Revoked { hard: h, .. } if h == hard));
            let before = status(&changed, &scene.first_fp, 9);
            assert_eq!(before != KeyStatus::Valid, hard, "a hard revocation reaches back, a soft one does not");
            assert_eq!(status(&changed, &changed.fingerprint(), 11), KeyStatus::Valid);
        }
        let other = scene.made.certificate.fingerprint();
        let wrong = revoke_subkey(&scene.made.certificate, &other, Reason::Retired, "", day(10)).unwrap_err();
        assert_eq!(wrong.code(), "openpgp_key_missing");
    }

    #[test]
    fn the_revocation_put_aside_works_without_any_key() {
        let scene = scene();
        let revoked = apply_revocation(&scene.made.certificate, scene.made.revocation.armored.as_bytes()).unwrap();
        assert!(matches!(status(&revoked, &scene.first_fp, 5), KeyStatus::Revoked { hard: true, .. }));
        let again = Certificate::parse(revoked.to_armored().unwrap().as_bytes()).unwrap();
        assert!(matches!(status(&again, &revoked.fingerprint(), 5), KeyStatus::Revoked { .. }));
        let other = self::scene();
        let refused = apply_revocation(&other.made.certificate, scene.made.revocation.armored.as_bytes());
        assert_eq!(refused.unwrap_err().code(), "bad_revocation");
        assert!(scene.made.revocation.guarded().contains("\n:-----BEGIN PGP PUBLIC KEY BLOCK-----"));
        let subkey = NewSubkey { key: scene.first.dated(day(9)), expires: None };
        assert_eq!(add_subkey(&revoked, &subkey, day(9)).unwrap_err().code(), "openpgp_key_unfit");
    }

    #[test]
    fn a_certificate_is_revoked_with_a_reason() {
        let scene = scene();
        let prepared = revoke_certificate(&scene.made.certificate, Reason::Superseded, "new key", day(20)).unwrap();
        let signatures = sign_all(prepared.unsigned(), &[&scene.primary]).unwrap();
        let changed = prepared.finish(&signatures).unwrap();
        assert_eq!(status(&changed, &scene.first_fp, 19), KeyStatus::Valid);
        assert!(matches!(status(&changed, &scene.first_fp, 21), KeyStatus::Revoked { hard: false, .. }));
        assert!(prepared.finish_detached(&signatures).unwrap().armored.contains("BEGIN PGP PUBLIC KEY BLOCK"));
        let long = "x".repeat(501);
        assert!(revoke_certificate(&scene.made.certificate, Reason::Retired, &long, day(20)).is_err());
    }
}

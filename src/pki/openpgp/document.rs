//! Signatures over documents: their digests, and what others' signatures are worth.
//!
//! A binary signature covers the bytes as they are. A text signature covers them with every line ending as
//! CR LF (RFC 4880 §5.2.4); the cleartext framework also drops blanks at line ends and the last line ending
//! (§7.1), which the caller has done before.
//!
//! Verifiers differ in one thing: gpgv asks whether the key is good *now*, sqv whether it was good when it
//! signed. A signature counts as good here when both would say so.

use super::certificate::{Certificate, KeyInfo, KeyStatus, SigningKeyInfo};
use super::clients;
use super::key::{KeyPacket, system_time, time};
use super::plan::{Flag, SignatureKind, Signing};
use super::unsigned::{Body, Unsigned};
use crate::clock::Time;
use crate::error::{Context, Error, Result};
use crate::model::words;
use openpgp::Packet;
use openpgp::cert::amalgamation::ValidateAmalgamation;
use openpgp::packet::Signature as SignaturePacket;
use openpgp::parse::{PacketParser, PacketParserResult, Parse};
use openpgp::policy::{HashAlgoSecurity, Policy, StandardPolicy};
use openpgp::types::SignatureType;
use sequoia_openpgp as openpgp;

/// The longest signature file that is read, in bytes.
pub const MAX_SIGNATURES_LENGTH: usize = 1 << 20;
/// The most signatures on one document.
pub const MAX_SIGNATURES: usize = 64;

words! {
    /// What a signature is worth at a time, with a keyring.
    Verdict: "signature verdict" {
        /// It verifies, and its key is and was good.
        Good = "good",
        /// It does not verify.
        Bad = "bad",
        /// The keyring has no key that could have made it.
        UnknownKey = "unknown-key",
        /// It has an expiry time of its own, and that has passed.
        ExpiredSignature = "expired-signature",
        /// It verifies, but the key has expired.
        ExpiredKey = "expired-key",
        /// It verifies, but the key is revoked.
        RevokedKey = "revoked-key",
        /// It verifies, but the policy does not let it count; the detail says why.
        Refused = "refused",
    }
}

/// One signature, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What it is worth.
    pub verdict: Verdict,
    /// Why, when it is not good.
    pub detail: String,
    /// Fingerprint or key ID it claims, upper-case hex; from outside, not proven.
    pub issuer: Option<String>,
    /// Fingerprint of the key that made it.
    pub signer: Option<String>,
    /// Fingerprint of that key's certificate.
    pub certificate: Option<String>,
    /// When it says it was made.
    pub created: Option<Time>,
    /// The hash it uses, for display.
    pub hash: String,
    /// What newer clients refuse about it, in words.
    pub weak: Option<String>,
    /// It has a critical part that gpgv does not know, and so calls the signature bad.
    pub has_unknown_critical: bool,
}

/// A document as its signatures see it.
#[derive(Clone, Copy, Debug)]
pub enum Document<'a> {
    /// A file beside its signature.
    File(&'a [u8]),
    /// The text of a cleartext signature, without blanks at line ends and without the last line ending.
    Cleartext(&'a [u8]),
}

/// A binary signature over exactly `data`; `about` is the file's name, for the plan.
///
/// # Errors
/// As [`Unsigned::new`].
pub fn binary(signer: &SigningKeyInfo, data: &[u8], about: &str, at: Time) -> Result<Unsigned> {
    let says = Signing::of(SignatureKind::Binary, about);
    let body = Body { typ: SignatureType::Binary, at, hashed: Vec::new(), says };
    Unsigned::new(&signer.packet, body, |signature, context| {
        context.update(data);
        openpgp::crypto::hash::Hash::hash(signature, context)
    })
}

/// A text signature over `text`, as [`Document::Cleartext`] has it.
///
/// # Errors
/// As [`Unsigned::new`].
pub fn text(signer: &SigningKeyInfo, text: &[u8], about: &str, at: Time) -> Result<Unsigned> {
    let says = Signing::of(SignatureKind::Text, about);
    let body = Body { typ: SignatureType::Text, at, hashed: Vec::new(), says };
    Unsigned::new(&signer.packet, body, |signature, context| {
        update_text(context, text);
        openpgp::crypto::hash::Hash::hash(signature, context)
    })
}

/// Hashes text with every line ending, LF or CR LF, as CR LF.
fn update_text(context: &mut openpgp::crypto::hash::Context, text: &[u8]) {
    let mut lines = text.split(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        if lines.peek().is_some() {
            context.update(line.strip_suffix(b"\r").unwrap_or(line));
            context.update(b"\r\n");
        } else {
            context.update(line);
        }
    }
}

/// Judges every signature in `signatures` (binary or one armoured block) over `document`.
///
/// # Errors
/// `bad_signature_file`: too long, unreadable, empty, or with anything but signatures in it.
pub fn judge(document: Document<'_>, signatures: &[u8], keyring: &[Certificate], at: Time) -> Result<Vec<Judged>> {
    read(signatures)?.iter().map(|signature| judge_one(document, signature, keyring, at)).collect()
}

/// Requires exactly one signature by each of `signers` and no other, each verifying over `document`. For
/// reading back what was just made; it says nothing about the keys.
///
/// # Errors
/// `bad_signature_file`, `bad_signature`.
pub(crate) fn require_all(document: Document<'_>, signatures: &[u8], signers: &[SigningKeyInfo]) -> Result<()> {
    let list = read(signatures)?;
    if list.len() != signers.len() {
        return Err(Error::finding("bad_signature_file", format!("{} signatures by {}", list.len(), signers.len())));
    }
    for signer in signers {
        if !list.iter().any(|signature| verifies(document, signature, &signer.packet).is_ok()) {
            let what = format!("no signature by {} verifies", signer.fingerprint);
            return Err(Error::finding("bad_signature", what));
        }
    }
    Ok(())
}

fn read(bytes: &[u8]) -> Result<Vec<SignaturePacket>> {
    let bad = |why: &str| Error::finding("bad_signature_file", why.to_owned());
    if bytes.len() > MAX_SIGNATURES_LENGTH {
        return Err(bad("the signature file is too long"));
    }
    // The parser stops after the first armoured block; a second one would be there for other readers only.
    let begin = b"-----BEGIN PGP";
    if bytes.windows(begin.len()).filter(|window| window == begin).count() > 1 {
        return Err(bad("the signature file has more than one armoured block"));
    }
    let unreadable = "the signature file is unreadable";
    let kind = crate::error::Kind::Findings;
    let mut parser = PacketParser::from_bytes(bytes).or_kind(kind, "bad_signature_file", || unreadable.to_owned())?;
    let mut list = Vec::new();
    while let PacketParserResult::Some(current) = parser {
        let (packet, next) = current.next().or_kind(kind, "bad_signature_file", || unreadable.to_owned())?;
        match packet {
            Packet::Signature(signature) if list.len() < MAX_SIGNATURES => list.push(signature),
            Packet::Signature(_) => return Err(bad("the signature file has too many signatures")),
            _ => return Err(bad("the signature file has something else than signatures in it")),
        }
        parser = next;
    }
    if list.is_empty() {
        return Err(bad("the signature file has no signature in it"));
    }
    Ok(list)
}

fn judge_one(document: Document<'_>, signature: &SignaturePacket, keyring: &[Certificate], at: Time) -> Result<Judged> {
    let issuers = signature.get_issuers();
    let mut judged = Judged {
        verdict: Verdict::UnknownKey,
        detail: "the keyring has no key that could have made it".into(),
        issuer: issuers.first().map(|handle| format!("{handle:X}")),
        signer: None,
        certificate: None,
        created: signature.signature_creation_time().map(time),
        hash: signature.hash_algo().to_string(),
        weak: None,
        has_unknown_critical: clients::has_unknown_critical(signature),
    };
    let mut found = None;
    for certificate in keyring {
        for key in certificate.cert.keys() {
            if !issuers.iter().any(|issuer| issuer.aliases(key.key().key_handle())) {
                continue;
            }
            let packet: &KeyPacket = key.key();
            match verifies(document, signature, packet) {
                Ok(()) => found = Some((certificate, packet)),
                Err(why) => (judged.verdict, judged.detail) = (Verdict::Bad, why.to_string()),
            }
        }
    }
    if let Some((certificate, packet)) = found {
        judged.signer = Some(packet.fingerprint().to_hex());
        judged.certificate = Some(certificate.fingerprint());
        judged.weak = clients::weakness(signature, packet);
        (judged.verdict, judged.detail) = worth(signature, certificate, packet, at)?;
    }
    Ok(judged)
}

fn verifies(document: Document<'_>, signature: &SignaturePacket, key: &KeyPacket) -> openpgp::Result<()> {
    let mut context = signature.hash_algo().context()?.for_signature(signature.version());
    match (document, signature.typ()) {
        (Document::File(data), SignatureType::Binary) => context.update(data),
        (Document::File(text) | Document::Cleartext(text), SignatureType::Text) => update_text(&mut context, text),
        (_, other) => return Err(openpgp::Error::UnsupportedSignatureType(other).into()),
    }
    signature.verify_hash(key, context)
}

/// What a signature that verifies is worth: the key's state now, then when it signed.
fn worth(
    signature: &SignaturePacket,
    certificate: &Certificate,
    key: &KeyPacket,
    at: Time,
) -> Result<(Verdict, String)> {
    let refused = |why: String| Ok((Verdict::Refused, why));
    let when = system_time(at)?;
    let policy = StandardPolicy::at(when);
    if signature.version() != 4 {
        return refused(format!("a version {} signature", signature.version()));
    }
    if let Err(why) = policy.signature(signature, HashAlgoSecurity::CollisionResistance) {
        return refused(why.to_string());
    }
    let Some(created) = signature.signature_creation_time() else {
        return refused("it does not say when it was made".into());
    };
    if created > when {
        return refused("it was made in the future".into());
    }
    if signature.signature_expiration_time().is_some_and(|expires| expires <= when) {
        return Ok((Verdict::ExpiredSignature, "the signature has expired".into()));
    }
    let fingerprint = key.fingerprint().to_hex();
    let info = certificate.key(&fingerprint, at)?;
    let info = info.ok_or_else(|| Error::bug("a key left its certificate"))?;
    Ok(match fitness(&info) {
        (Verdict::Good, _) if !was_alive(certificate, &fingerprint, &policy, created) => {
            (Verdict::Refused, "the key was not valid when it signed".into())
        }
        other => other,
    })
}

fn fitness(info: &KeyInfo) -> (Verdict, String) {
    let detail = info.status.to_string();
    match &info.status {
        KeyStatus::Valid if info.flags.contains(&Flag::Sign) => (Verdict::Good, String::new()),
        KeyStatus::Valid => (Verdict::Refused, "the key may not sign documents".into()),
        KeyStatus::Expired => (Verdict::ExpiredKey, detail),
        KeyStatus::Revoked { .. } => (Verdict::RevokedKey, detail),
        KeyStatus::NotYetValid | KeyStatus::Unusable(_) => (Verdict::Refused, detail),
    }
}

fn was_alive(
    certificate: &Certificate,
    fingerprint: &str,
    policy: &StandardPolicy<'_>,
    created: std::time::SystemTime,
) -> bool {
    let key = certificate.cert.keys().find(|key| key.key().fingerprint().to_hex() == fingerprint);
    let valid = key.and_then(|key| key.with_policy(policy, created).ok());
    valid.is_some_and(|valid| valid.alive().is_ok() && valid.for_signing())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeyAlgorithm;
    use crate::pki::openpgp::change::{apply_revocation, revoke_subkey};
    use crate::pki::openpgp::make::{Made, NewSubkey};
    use crate::pki::openpgp::plan::Reason;
    use crate::pki::openpgp::testkeys::{TestKey, archive, day};
    use crate::pki::openpgp::unsigned::{finish_all, sign_all};
    use openpgp::serialize::SerializeInto;

    fn scene() -> (TestKey, TestKey, Made, SigningKeyInfo) {
        let (primary, subkey, made) = archive();
        let fingerprint = subkey.dated(day(0)).fingerprint().unwrap();
        let signer = made.certificate.signing_key(&fingerprint, day(1)).unwrap();
        (primary, subkey, made, signer)
    }

    fn signed(unsigned: Unsigned, key: &TestKey) -> Vec<u8> {
        let list = [unsigned];
        let packets = finish_all(&list, &sign_all(&list, &[key]).unwrap()).unwrap();
        Packet::from(packets[0].clone()).to_vec().unwrap()
    }

    fn verdict(document: Document<'_>, signature: &[u8], keyring: &[Certificate], days: i64) -> Verdict {
        judge(document, signature, keyring, day(days)).unwrap()[0].verdict
    }

    #[test]
    fn each_fate_of_a_signature_has_its_own_name() {
        let (primary, subkey, made, signer) = scene();
        let signature = signed(binary(&signer, b"data\n", "f", day(10)).unwrap(), &subkey);
        let keyring = [made.certificate.clone()];
        let data = Document::File(b"data\n");
        assert_eq!(verdict(data, &signature, &keyring, 11), Verdict::Good);
        assert_eq!(verdict(Document::File(b"data"), &signature, &keyring, 11), Verdict::Bad);
        assert_eq!(verdict(data, &signature, &[scene().2.certificate], 11), Verdict::UnknownKey);
        assert_eq!(verdict(data, &signature, &[], 11), Verdict::UnknownKey);
        assert_eq!(verdict(data, &signature, &keyring, 90), Verdict::ExpiredKey);
        assert_eq!(verdict(data, &signature, &keyring, 9), Verdict::Refused);
        assert_eq!(verdict(Document::Cleartext(b"data\n"), &signature, &keyring, 11), Verdict::Bad);
        let revoked = apply_revocation(&made.certificate, made.revocation.armored.as_bytes()).unwrap();
        assert_eq!(verdict(data, &signature, &[revoked], 11), Verdict::RevokedKey);
        let prepared = revoke_subkey(&made.certificate, &signer.fingerprint, Reason::Superseded, "", day(20)).unwrap();
        let superseded = prepared.sign(&[&primary]).unwrap();
        assert_eq!(verdict(data, &signature, std::slice::from_ref(&superseded), 19), Verdict::Good);
        assert_eq!(verdict(data, &signature, &[superseded], 21), Verdict::RevokedKey);
    }

    #[test]
    fn a_signature_dated_before_its_key_was_bound_does_not_count() {
        let (primary, _, made, _) = scene();
        let second = TestKey::new(KeyAlgorithm::EcdsaP256);
        let new = NewSubkey { key: second.dated(day(0)), expires: None };
        let late = super::super::change::add_subkey(&made.certificate, &new, day(30)).unwrap();
        let late = late.sign(&[&primary, &second]).unwrap();
        let signer = late.signing_key(&new.key.fingerprint().unwrap(), day(31)).unwrap();
        let signature = signed(binary(&signer, b"x", "f", day(5)).unwrap(), &second);
        assert_eq!(verdict(Document::File(b"x"), &signature, &[late], 31), Verdict::Refused);
    }

    #[test]
    fn a_primary_key_that_only_certifies_signs_no_document() {
        let (primary, _, made, signer) = scene();
        let packet = made.certificate.cert.primary_key().key().clone().role_into_unspecified();
        let pretender = SigningKeyInfo { packet, ..signer };
        let signature = signed(binary(&pretender, b"x", "f", day(5)).unwrap(), &primary);
        assert_eq!(verdict(Document::File(b"x"), &signature, &[made.certificate], 6), Verdict::Refused);
    }

    #[test]
    fn text_signatures_do_not_see_line_endings() {
        let (_, subkey, made, signer) = scene();
        let signature = signed(text(&signer, b"a\nb\n\nc", "f", day(10)).unwrap(), &subkey);
        let keyring = [made.certificate];
        assert_eq!(verdict(Document::Cleartext(b"a\nb\n\nc"), &signature, &keyring, 11), Verdict::Good);
        assert_eq!(verdict(Document::File(b"a\r\nb\r\n\r\nc"), &signature, &keyring, 11), Verdict::Good);
        assert_eq!(verdict(Document::File(b"a\nb\n\nc\n"), &signature, &keyring, 11), Verdict::Bad);
        let signers = [signer];
        require_all(Document::Cleartext(b"a\nb\n\nc"), &signature, &signers).unwrap();
        assert!(require_all(Document::Cleartext(b"a\nb\n\nd"), &signature, &signers).is_err());
        assert!(require_all(Document::Cleartext(b"a\nb\n\nc"), &signature.repeat(2), &signers).is_err());
    }

    #[test]
    fn signature_files_with_other_things_in_them_are_refused() {
        let (_, subkey, made, signer) = scene();
        let signature = signed(binary(&signer, b"x", "f", day(10)).unwrap(), &subkey);
        let check = |bytes: &[u8]| judge(Document::File(b"x"), bytes, &[], day(11)).unwrap_err().code();
        assert_eq!(check(b""), "bad_signature_file");
        assert_eq!(check(b"hello"), "bad_signature_file");
        assert_eq!(check(&made.certificate.to_bytes().unwrap()), "bad_signature_file");
        assert_eq!(check(&signature.repeat(MAX_SIGNATURES + 1)), "bad_signature_file");
        assert_eq!(check(&vec![0x88; MAX_SIGNATURES_LENGTH + 1]), "bad_signature_file");
        assert_eq!(check(signature.split_last().unwrap().1), "bad_signature_file");
    }
}

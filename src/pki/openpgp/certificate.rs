//! Reading OpenPGP certificates, ours and others', and saying what their keys may do at a time.
//!
//! What counts is decided by sequoia's `StandardPolicy` as of that time: SHA-1 self-signatures stopped
//! counting in February 2023, SHA-1 document signatures long before.

use super::key::{DatedKey, KeyPacket, public_key, system_time, time};
use super::plan::{Flag, Reason};
use crate::clock::Time;
use crate::crypto::verify::PublicKey;
use crate::error::{Context, Error, Result};
use crate::model::{HashAlgorithm, KeyAlgorithm};
use openpgp::cert::CertParser;
use openpgp::cert::amalgamation::key::{ErasedKeyAmalgamation, PrimaryKey};
use openpgp::cert::amalgamation::{ValidAmalgamation, ValidateAmalgamation};
use openpgp::packet::Signature as SignaturePacket;
use openpgp::packet::key::PublicParts;
use openpgp::parse::Parse;
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto;
use openpgp::types::{KeyFlags, ReasonForRevocation, RevocationStatus, RevocationType};
use openpgp::{Cert, armor};
use sequoia_openpgp as openpgp;
use std::io::Write;

/// The longest keyring that is read, in bytes. Debian's with all its history has a twentieth of it.
pub const MAX_KEYRING: usize = 4 << 20;
/// The most certificates in one keyring.
pub const MAX_CERTIFICATES: usize = 1_000;

/// A version 4 certificate without secrets: primary key, User IDs, subkeys, signatures.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(crate) cert: Cert,
}

/// What is to be known of a certificate at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Fingerprint of the primary key, 40 upper-case hex digits.
    pub fingerprint: String,
    /// User IDs that are bound and not revoked. From outside: escape before printing.
    pub user_ids: Vec<String>,
    /// The primary key, then the subkeys.
    pub keys: Vec<KeyInfo>,
}

/// What is to be known of one key at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Fingerprint, 40 upper-case hex digits.
    pub fingerprint: String,
    /// Whether it is the primary key.
    pub primary: bool,
    /// The OpenPGP algorithm with its size or curve, for display.
    pub algorithm: String,
    /// Creation time.
    pub created: Time,
    /// Expiry time, if it has one.
    pub expires: Option<Time>,
    /// What it may do.
    pub flags: Vec<Flag>,
    /// Whether it may do it.
    pub status: KeyStatus,
}

/// Whether a key is good at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// Bound, alive, not revoked.
    Valid,
    /// Made later than that.
    NotYetValid,
    /// It or its primary key has expired.
    Expired,
    /// It or its certificate is revoked.
    Revoked {
        /// Whether signatures made before are void too.
        hard: bool,
        /// What the revocation says.
        reason: String,
    },
    /// Not bound, or in a way the policy refuses; why.
    Unusable(String),
}

/// A subkey (or primary key) that may sign documents at the time it was asked for.
#[derive(Clone, Debug)]
pub struct SigningKeyInfo {
    pub(crate) packet: KeyPacket,
    /// The public key and its creation time.
    pub key: DatedKey,
    /// Its algorithm.
    pub algorithm: KeyAlgorithm,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Fingerprint of its certificate.
    pub certificate: String,
    /// The earlier of its own expiry and its primary key's.
    pub expires: Option<Time>,
}

impl Certificate {
    /// Reads exactly one certificate, binary or armoured.
    ///
    /// # Errors
    /// As [`Self::parse_all`], and `bad_keyring` when there is not exactly one.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut all = Self::parse_all(bytes)?;
        match (all.pop(), all.len()) {
            (Some(one), 0) => Ok(one),
            _ => Err(Error::failed("bad_keyring", "exactly one OpenPGP certificate is wanted")),
        }
    }

    /// Reads a keyring: certificates one after the other, binary, or armoured in one or more blocks.
    ///
    /// # Errors
    /// `bad_keyring`: too long, unreadable, empty, or with a certificate that is not version 4;
    /// `secret_key`: there is secret key material in it.
    pub fn parse_all(bytes: &[u8]) -> Result<Vec<Self>> {
        if bytes.len() > MAX_KEYRING {
            return Err(Error::failed("bad_keyring", format!("the keyring is longer than {MAX_KEYRING} bytes")));
        }
        let mut all = Vec::new();
        for block in blocks(bytes) {
            let parser =
                CertParser::from_bytes(block).or_failed("bad_keyring", || "the keyring is unreadable".into())?;
            for cert in parser {
                let number = all.len() + 1;
                let cert =
                    cert.or_failed("bad_keyring", || format!("certificate {number} of the keyring is unreadable"))?;
                all.push(Self::checked(cert)?);
                if all.len() > MAX_CERTIFICATES {
                    return Err(Error::failed("bad_keyring", format!("more than {MAX_CERTIFICATES} certificates")));
                }
            }
        }
        if all.is_empty() {
            return Err(Error::failed("bad_keyring", "no OpenPGP certificate in the keyring"));
        }
        Ok(all)
    }

    /// Takes a certificate over from sequoia.
    pub(crate) fn checked(cert: Cert) -> Result<Self> {
        let fingerprint = cert.fingerprint().to_hex();
        if cert.is_tsk() {
            return Err(Error::failed("secret_key", format!("{fingerprint} comes with its secret key"))
                .hint("publish the output of gpg --export, never of --export-secret-keys"));
        }
        if cert.primary_key().key().version() != 4 {
            return Err(Error::failed("bad_keyring", format!("{fingerprint} is not a version 4 certificate"))
                .hint("gpgv and apt of Debian 12 read nothing else"));
        }
        Ok(Certificate { cert })
    }

    /// Fingerprint of the primary key, 40 upper-case hex digits.
    pub fn fingerprint(&self) -> String {
        self.cert.fingerprint().to_hex()
    }

    /// The binary form, without signatures marked as local.
    ///
    /// # Errors
    /// None that can be provoked; serialisation is fallible by type.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.cert.export_to_vec().or_failed("openpgp_packet", || "the certificate cannot be serialised".into())
    }

    /// The armoured form.
    ///
    /// # Errors
    /// As [`Self::to_bytes`].
    pub fn to_armored(&self) -> Result<String> {
        armored(armor::Kind::PublicKey, &[], &self.to_bytes()?)
    }

    /// Adds what another copy of the same certificate knows.
    ///
    /// # Errors
    /// `openpgp_merge` when it is another certificate.
    pub fn merge(self, other: Certificate) -> Result<Self> {
        let merged = self.cert.merge_public(other.cert);
        Ok(Certificate { cert: merged.or_failed("openpgp_merge", || "these are two different certificates".into())? })
    }

    /// What is to be known at `at`.
    ///
    /// # Errors
    /// `openpgp_time` when `at` is outside OpenPGP's times.
    pub fn describe(&self, at: Time) -> Result<Description> {
        let when = system_time(at)?;
        let policy = StandardPolicy::at(when);
        let mut user_ids = Vec::new();
        if let Ok(valid) = self.cert.with_policy(&policy, when) {
            for user_id in valid.userids() {
                if !matches!(user_id.revocation_status(), RevocationStatus::Revoked(_)) {
                    user_ids.push(String::from_utf8_lossy(user_id.userid().value()).into_owned());
                }
            }
        }
        let keys = self.cert.keys().map(|key| key_info(&policy, when, &key)).collect();
        Ok(Description { fingerprint: self.fingerprint(), user_ids, keys })
    }

    /// One key of the certificate, if it has it.
    ///
    /// # Errors
    /// As [`Self::describe`].
    pub fn key(&self, fingerprint: &str, at: Time) -> Result<Option<KeyInfo>> {
        Ok(self.describe(at)?.keys.into_iter().find(|key| key.fingerprint == fingerprint))
    }

    /// The public key with this fingerprint, whatever it may do.
    ///
    /// # Errors
    /// `openpgp_key_missing`; an algorithm that is not known here.
    pub fn public_key(&self, fingerprint: &str) -> Result<PublicKey> {
        let missing =
            || Error::failed("openpgp_key_missing", format!("{} has no key {fingerprint}", self.fingerprint()));
        let key = self.cert.keys().find(|key| key.key().fingerprint().to_hex() == fingerprint).ok_or_else(missing)?;
        public_key(key.key())
    }

    /// The key with this fingerprint, if it may sign documents at `at`.
    ///
    /// # Errors
    /// `openpgp_key_missing`: not in the certificate; `openpgp_key_unfit` (blocked): it may not sign, and why.
    pub fn signing_key(&self, fingerprint: &str, at: Time) -> Result<SigningKeyInfo> {
        let description = self.describe(at)?;
        let missing =
            || Error::failed("openpgp_key_missing", format!("{} has no key {fingerprint}", self.fingerprint()));
        let info = description.keys.iter().find(|key| key.fingerprint == fingerprint).ok_or_else(missing)?;
        let unfit = |why: String| Error::blocked("openpgp_key_unfit", format!("{fingerprint} may not sign: {why}"));
        if info.status != KeyStatus::Valid {
            return Err(unfit(info.status.to_string()));
        }
        if !info.flags.contains(&Flag::Sign) {
            return Err(unfit("it has no signing flag".into()));
        }
        let packet = self.cert.keys().find(|key| key.key().fingerprint().to_hex() == fingerprint);
        let packet = packet.ok_or_else(missing)?.key().clone();
        let primary = description.keys.first().and_then(|key| key.expires);
        let public = public_key(&packet)?;
        Ok(SigningKeyInfo {
            algorithm: public.algorithm().ok_or_else(|| Error::bug("a checked key lost its algorithm"))?,
            key: DatedKey { public, created: info.created },
            packet,
            fingerprint: fingerprint.to_owned(),
            certificate: description.fingerprint,
            expires: [info.expires, primary].into_iter().flatten().min(),
        })
    }
}

impl SigningKeyInfo {
    /// The hash of everything it signs.
    pub fn hash(&self) -> HashAlgorithm {
        super::key::hash(self.algorithm)
    }
}

impl std::fmt::Display for KeyStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeyStatus::Valid => f.write_str("valid"),
            KeyStatus::NotYetValid => f.write_str("not yet valid"),
            KeyStatus::Expired => f.write_str("expired"),
            KeyStatus::Revoked { reason, .. } => write!(f, "revoked ({reason})"),
            KeyStatus::Unusable(why) => write!(f, "unusable ({why})"),
        }
    }
}

fn key_info<'a>(
    policy: &'a StandardPolicy<'a>,
    when: std::time::SystemTime,
    key: &ErasedKeyAmalgamation<'a, PublicParts>,
) -> KeyInfo {
    let packet = key.key();
    let created = time(packet.creation_time());
    let bits = packet.mpis().bits().map(|bits| format!(" {bits}")).unwrap_or_default();
    let mut info = KeyInfo {
        fingerprint: packet.fingerprint().to_hex(),
        primary: key.primary(),
        algorithm: format!("{}{bits}", packet.pk_algo()),
        created,
        expires: None,
        flags: Vec::new(),
        status: KeyStatus::Valid,
    };
    let valid = match key.clone().with_policy(policy, when) {
        Ok(valid) => valid,
        Err(why) => {
            let later = packet.creation_time() > when;
            info.status = if later { KeyStatus::NotYetValid } else { KeyStatus::Unusable(why.to_string()) };
            return info;
        }
    };
    info.expires = valid.key_expiration_time().map(time);
    info.flags = valid.key_flags().map(|flags| words(&flags)).unwrap_or_default();
    let dead = valid.alive().is_err() || valid.valid_cert().alive().is_err();
    info.status = match (valid.revocation_status(), valid.valid_cert().revocation_status()) {
        (RevocationStatus::Revoked(why), _) | (_, RevocationStatus::Revoked(why)) => revoked(&why),
        _ if dead => KeyStatus::Expired,
        _ => KeyStatus::Valid,
    };
    info
}

fn revoked(signatures: &[&SignaturePacket]) -> KeyStatus {
    let reasons = || signatures.iter().map(|signature| signature.reason_for_revocation().map(|(code, _)| code));
    let is_hard =
        |code: &Option<ReasonForRevocation>| code.is_none_or(|code| code.revocation_type() == RevocationType::Hard);
    let told = reasons().find(is_hard).or_else(|| reasons().next()).flatten();
    KeyStatus::Revoked {
        hard: reasons().any(|code| is_hard(&code)),
        reason: told.map_or_else(|| "no reason given".to_owned(), |code| code.to_string()),
    }
}

/// The flags in our words.
pub(crate) fn words(flags: &KeyFlags) -> Vec<Flag> {
    let mut words = Vec::new();
    let mut add = |yes: bool, word: Flag| {
        if yes {
            words.push(word);
        }
    };
    add(flags.for_certification(), Flag::Certify);
    add(flags.for_signing(), Flag::Sign);
    add(flags.for_transport_encryption() || flags.for_storage_encryption(), Flag::Encrypt);
    add(flags.for_authentication(), Flag::Authenticate);
    words
}

/// OpenPGP's code for a reason.
pub(crate) fn reason_code(reason: Reason) -> ReasonForRevocation {
    match reason {
        Reason::Unspecified => ReasonForRevocation::Unspecified,
        Reason::Superseded => ReasonForRevocation::KeySuperseded,
        Reason::Compromised => ReasonForRevocation::KeyCompromised,
        Reason::Retired => ReasonForRevocation::KeyRetired,
    }
}

/// Each armoured block by itself, since the parser stops after the first; binary data as it is.
fn blocks(bytes: &[u8]) -> Vec<&[u8]> {
    const BEGIN: &[u8] = b"-----BEGIN PGP";
    let starts: Vec<usize> = (0..bytes.len())
        .filter(|&i| bytes.get(i..).is_some_and(|rest| rest.starts_with(BEGIN)))
        .filter(|&i| i == 0 || bytes.get(i - 1) == Some(&b'\n'))
        .collect();
    // A binary keyring starts with a packet header, whose first bit is set; no armour does.
    if starts.is_empty() || bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return vec![bytes];
    }
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    starts.iter().zip(ends).filter_map(|(&start, end)| bytes.get(start..end)).collect()
}

/// Armours data (RFC 4880 §6.2).
pub(crate) fn armored(kind: armor::Kind, headers: &[(&str, &str)], data: &[u8]) -> Result<String> {
    let write = || {
        let mut writer = armor::Writer::with_headers(Vec::new(), kind, headers.to_vec())?;
        writer.write_all(data)?;
        writer.finalize()
    };
    let bytes = write().or_failed("openpgp_armor", || "the data cannot be armoured".into())?;
    String::from_utf8(bytes).or_failed("openpgp_armor", || "the armour is not text".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::openpgp::document::{Document, judge};
    use crate::pki::openpgp::testkeys::{archive, day};
    use proptest::prelude::*;
    use std::sync::OnceLock;

    fn binary() -> &'static [u8] {
        static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
        BYTES.get_or_init(|| archive().2.certificate.to_bytes().unwrap())
    }

    #[test]
    fn keyrings_with_secrets_or_too_much_in_them_are_refused() {
        let (certificate, _) = openpgp::cert::CertBuilder::new().add_userid("secret").generate().unwrap();
        let secret = certificate.as_tsk().to_vec().unwrap();
        assert_eq!(Certificate::parse(&secret).unwrap_err().code(), "secret_key");
        assert_eq!(Certificate::parse_all(&vec![0x99; MAX_KEYRING + 1]).unwrap_err().code(), "bad_keyring");
        let many = binary().repeat(MAX_CERTIFICATES + 1);
        assert_eq!(Certificate::parse_all(&many).unwrap_err().code(), "bad_keyring");
    }

    #[test]
    fn newer_versions_are_refused() {
        let builder = openpgp::cert::CertBuilder::new().set_profile(openpgp::Profile::RFC9580).unwrap();
        let (certificate, _) = builder.add_userid("six").generate().unwrap();
        let public = certificate.export_to_vec().unwrap();
        assert_eq!(Certificate::parse(&public).unwrap_err().code(), "bad_keyring");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn mutated_keyrings_and_signatures_never_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut bytes = binary().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            for certificate in Certificate::parse_all(&bytes).into_iter().flatten() {
                certificate.describe(day(1)).unwrap();
            }
            let _ = judge(Document::File(b"x"), &bytes, &[], day(1));
        }
    }
}

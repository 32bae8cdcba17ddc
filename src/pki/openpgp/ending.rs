//! The end of an OpenPGP key: a revocation in its certificate, made now by the primary key or applied from the
//! revocation certificate that was put aside when the key was made (governance C6).

use super::certificate::{Certificate, KeyStatus};
use super::change::{self, Prepared};
use super::plan::{Plan, Reason};
use super::unsigned::Unsigned;
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::keys::{Credential, RevocationReason};
use crate::model::Signature;

/// OpenPGP's word for a reason (RFC 4880 §5.2.3.23). A compromise is hard: nothing the key signed is to be trusted.
///
/// # Errors
/// `reason_without_openpgp`: OpenPGP has no such reason.
pub fn reason(reason: RevocationReason) -> Result<Reason> {
    match reason {
        RevocationReason::Unspecified => Ok(Reason::Unspecified),
        RevocationReason::KeyCompromise => Ok(Reason::Compromised),
        RevocationReason::Superseded => Ok(Reason::Superseded),
        RevocationReason::CessationOfOperation => Ok(Reason::Retired),
        other => Err(Error::usage("reason_without_openpgp", format!("OpenPGP keys are never revoked for {other}"))
            .hint("keyCompromise, superseded, cessationOfOperation or unspecified")),
    }
}

/// A revocation whose signature is still to be made.
#[derive(Clone, Debug)]
pub struct Ending {
    prepared: Prepared,
    credential: Credential,
    at: Time,
}

impl Ending {
    /// Ends the key of this credential in `certificate`, the newest that is known of its certificate: the whole of it if
    /// it is the primary key.
    ///
    /// # Errors
    /// As [`change::revoke_certificate`] and [`change::revoke_subkey`].
    pub fn new(
        certificate: &Certificate,
        credential: &Credential,
        why: RevocationReason,
        text: &str,
        at: Time,
    ) -> Result<Self> {
        let fingerprint = fingerprint(credential)?;
        let reason = reason(why)?;
        let prepared = if certificate.fingerprint() == fingerprint {
            change::revoke_certificate(certificate, reason, text, at)?
        } else {
            change::revoke_subkey(certificate, &fingerprint, reason, text, at)?
        };
        Ok(Ending { prepared, credential: credential.clone(), at })
    }

    /// What will be signed, for people.
    pub fn plan(&self) -> Plan {
        self.prepared.plan()
    }

    /// The signatures to be made: one.
    pub fn unsigned(&self) -> &[Unsigned] {
        self.prepared.unsigned()
    }

    /// Puts the signature in and reads the result afresh.
    ///
    /// # Errors
    /// As [`Prepared::finish`].
    pub fn finish(&self, signatures: &[Signature]) -> Result<Ended> {
        Ended::of(&self.prepared.finish(signatures)?, &self.credential, self.at)
    }
}

/// A key whose certificate says, verified, that it is revoked.
#[derive(Clone, Debug)]
pub struct Ended {
    credential: Credential,
}

impl Ended {
    /// Applies a revocation certificate that was put aside. No key is needed.
    ///
    /// # Errors
    /// As [`change::apply_revocation`].
    pub fn applied(certificate: &Certificate, credential: &Credential, armored: &[u8], at: Time) -> Result<Self> {
        Self::of(&change::apply_revocation(certificate, armored)?, credential, at)
    }

    /// Takes over a certificate that has the revocation in it.
    ///
    /// # Errors
    /// `not_revoked`: it has none.
    pub fn of(certificate: &Certificate, credential: &Credential, at: Time) -> Result<Self> {
        let fingerprint = fingerprint(credential)?;
        if !is_revoked(certificate, &fingerprint, at)? {
            return Err(Error::failed("not_revoked", format!("{fingerprint} is not revoked in its certificate")));
        }
        let mut credential = credential.clone();
        if let Credential::OpenPgp { certificate: kept, .. } = &mut credential {
            *kept = certificate.to_bytes()?;
        }
        Ok(Ended { credential })
    }

    /// As the register keeps it.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }
}

/// Whether a certificate says that this key, in upper-case hex, is revoked.
///
/// # Errors
/// As [`Certificate::describe`].
pub fn is_revoked(certificate: &Certificate, fingerprint: &str, at: Time) -> Result<bool> {
    let info = certificate.key(fingerprint, at)?;
    Ok(info.is_some_and(|info| matches!(info.status, KeyStatus::Revoked { .. })))
}

/// Upper-case hex, as certificates name keys.
fn fingerprint(credential: &Credential) -> Result<String> {
    match credential {
        Credential::OpenPgp { fingerprint, .. } => Ok(fingerprint.to_uppercase()),
        Credential::X509 { .. } => Err(Error::bug("an X.509 certificate has no OpenPGP revocation")),
    }
}

/// A revocation certificate as it is to be imported: the file's guard, a colon in front of the dashes, taken away.
pub fn unguarded(text: &str) -> String {
    let bare = |line| str::strip_prefix(line, ':').filter(|rest| rest.starts_with("-----")).unwrap_or(line);
    text.lines().map(bare).flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeyAlgorithm;
    use crate::pki::openpgp::make::{NewCertificate, NewSubkey, prepare};
    use crate::pki::openpgp::testkeys::{TestKey, day};
    use crate::pki::openpgp::unsigned::sign_all;

    fn credential(certificate: &Certificate, fingerprint: &str) -> Credential {
        let (created, expires) = (day(0), day(90));
        let fingerprint = fingerprint.to_lowercase();
        Credential::OpenPgp { certificate: certificate.to_bytes().unwrap(), fingerprint, created, expires }
    }

    #[test]
    fn a_subkey_or_the_whole_certificate_ends_and_only_as_asked() {
        let (primary, subkey) = (TestKey::new(KeyAlgorithm::Ed25519), TestKey::new(KeyAlgorithm::EcdsaP256));
        let new = NewCertificate {
            primary: primary.dated(day(0)),
            user_id: "Archive <archive@example.org>".into(),
            expires: Some(day(400)),
            subkeys: vec![NewSubkey { key: subkey.dated(day(0)), expires: Some(day(90)) }],
            at: day(0),
        };
        let made = prepare(&new).unwrap().sign(&[&primary, &subkey]).unwrap();
        let (certificate, kept) = (made.certificate, made.revocation);
        let [first, second] = [primary.dated(day(0)), subkey.dated(day(0))].map(|key| key.fingerprint().unwrap());
        let status = |ended: &Ended, fingerprint: &str| {
            let Credential::OpenPgp { certificate, .. } = ended.credential() else { unreachable!() };
            is_revoked(&Certificate::parse(certificate).unwrap(), fingerprint, day(2)).unwrap()
        };
        for (who, reason, both) in [
            (&second, RevocationReason::Superseded, false),
            (&second, RevocationReason::KeyCompromise, false),
            (&first, RevocationReason::CessationOfOperation, true),
        ] {
            let ending = Ending::new(&certificate, &credential(&certificate, who), reason, "", day(1)).unwrap();
            let ended = ending.finish(&sign_all(ending.unsigned(), &[&primary]).unwrap()).unwrap();
            assert!(status(&ended, who));
            assert_eq!(status(&ended, &first), both, "{reason}");
        }
        let applied =
            |text: &str| Ended::applied(&certificate, &credential(&certificate, &first), text.as_bytes(), day(1));
        let guarded = kept.guarded();
        assert_eq!(applied(&guarded).unwrap_err().code(), "bad_revocation");
        assert!(status(&applied(&unguarded(&guarded)).unwrap(), &second));
        let alive = Ended::of(&certificate, &credential(&certificate, &second), day(1));
        assert_eq!(alive.unwrap_err().code(), "not_revoked");
        for never in [RevocationReason::CaCompromise, RevocationReason::AffiliationChanged] {
            let refused = Ending::new(&certificate, &credential(&certificate, &second), never, "", day(1));
            assert_eq!(refused.unwrap_err().code(), "reason_without_openpgp");
        }
    }
}

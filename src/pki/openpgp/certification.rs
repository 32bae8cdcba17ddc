//! The certification of an OpenPGP key: from a plan, with every digest known, to the value that closes its permit.

use super::certificate::Certificate;
use super::change;
use super::make::{self, NewCertificate, NewSubkey, Revocation};
use super::plan::{Plan, SignatureKind};
use super::unsigned::Unsigned;
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::gate::{Completes, Failure, sealed};
use crate::hsm::store::SigningKey;
use crate::keys::Credential;
use crate::model::{Hash256, Signature, SpkiHash};
use crate::request::{CertifyOpenPgp, Role};
use serde_json::{Value, json};

/// Has each signature made by the right one of the opened keys, in order.
///
/// # Errors
/// A key is missing; whatever a key answers.
pub fn sign(list: &[Unsigned], keys: &[(SpkiHash, SigningKey<'_>)]) -> Result<Vec<Signature>, Failure> {
    let one = |unsigned: &Unsigned| {
        let wanted = unsigned.signer().spki_hash();
        let key = keys.iter().find(|(spki, _)| *spki == wanted);
        let (_, key) = key.ok_or_else(|| Error::bug(format!("no key was opened for {}", unsigned.says().signer)))?;
        key.sign(unsigned.tbs())
    };
    list.iter().map(one).collect()
}

/// What the register knows of OpenPGP certificates, merged: each binding added a newer copy of the whole.
///
/// # Errors
/// A recorded certificate cannot be read.
pub fn merged<'a>(credentials: impl IntoIterator<Item = &'a Credential>) -> Result<Vec<Certificate>> {
    let mut all: Vec<Certificate> = Vec::new();
    for credential in credentials {
        let Credential::OpenPgp { certificate, .. } = credential else { continue };
        let next = Certificate::parse(certificate)?;
        match all.iter_mut().find(|known| known.fingerprint() == next.fingerprint()) {
            Some(known) => *known = known.clone().merge(next)?,
            None => all.push(next),
        }
    }
    Ok(all)
}

/// A certification whose signatures are still to be made.
#[derive(Clone, Debug)]
pub struct Certification {
    kind: Kind,
    fingerprint: String,
    at: Time,
}

#[derive(Clone, Debug)]
enum Kind {
    Primary(Box<make::Prepared>),
    Subkey(Box<change::Prepared>),
}

impl Certification {
    /// A primary key with its User ID, and the revocation certificate that is put aside (C6).
    ///
    /// # Errors
    /// As [`make::prepare`].
    pub fn primary(new: &NewCertificate) -> Result<Self> {
        let fingerprint = new.primary.fingerprint()?;
        Ok(Certification { kind: Kind::Primary(Box::new(make::prepare(new)?)), fingerprint, at: new.at })
    }

    /// A signing subkey of a certificate that exists.
    ///
    /// # Errors
    /// As [`change::add_subkey`].
    pub fn subkey(certificate: &Certificate, subkey: &NewSubkey, at: Time) -> Result<Self> {
        let fingerprint = subkey.key.fingerprint()?;
        let prepared = change::add_subkey(certificate, subkey, at)?;
        Ok(Certification { kind: Kind::Subkey(Box::new(prepared)), fingerprint, at })
    }

    /// The key's fingerprint, lower-case hex.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.to_lowercase()
    }

    /// What will be signed, for people.
    pub fn plan(&self) -> Plan {
        match &self.kind {
            Kind::Primary(prepared) => prepared.plan(),
            Kind::Subkey(prepared) => prepared.plan(),
        }
    }

    /// The signatures to be made, in order.
    pub fn unsigned(&self) -> &[Unsigned] {
        match &self.kind {
            Kind::Primary(prepared) => prepared.unsigned(),
            Kind::Subkey(prepared) => prepared.unsigned(),
        }
    }

    /// The role in which a signature's key signs: a subkey says that it belongs there, all else is its issuer's.
    pub fn role(unsigned: &Unsigned) -> Role {
        match unsigned.says().kind {
            SignatureKind::BackSignature => Role::Subject,
            _ => Role::Issuer,
        }
    }

    /// Puts the signatures in and reads the result afresh. `keep` stores the revocation certificate, before
    /// anything counts as certified.
    ///
    /// # Errors
    /// As [`make::Prepared::finish`]; what `keep` says.
    pub fn finish(
        &self,
        signatures: &[Signature],
        keep: impl FnOnce(&Revocation) -> Result<Hash256>,
    ) -> Result<Certified> {
        let (certificate, revocation) = match &self.kind {
            Kind::Primary(prepared) => {
                let made = prepared.finish(signatures)?;
                (made.certificate, Some(keep(&made.revocation)?))
            }
            Kind::Subkey(prepared) => (prepared.finish(signatures)?, None),
        };
        Ok(Certified { credential: self.credential(&certificate)?, revocation })
    }

    fn credential(&self, certificate: &Certificate) -> Result<Credential> {
        let description = certificate.describe(self.at)?;
        let info = description.keys.iter().find(|key| key.fingerprint == self.fingerprint);
        let info = info.ok_or_else(|| Error::bug("a certified key is not in its certificate"))?;
        let ends = [info.expires, description.keys.first().and_then(|primary| primary.expires)];
        let expires = ends.into_iter().flatten().min();
        Ok(Credential::OpenPgp {
            certificate: certificate.to_bytes()?,
            fingerprint: self.fingerprint(),
            created: info.created,
            expires: expires.ok_or_else(|| Error::bug("a certified key does not expire"))?,
        })
    }
}

/// A key of ours in an OpenPGP certificate that was read back.
#[derive(Debug)]
pub struct Certified {
    credential: Credential,
    revocation: Option<Hash256>,
}

impl Certified {
    /// As the register keeps it.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }
}

impl sealed::Sealed for Certified {}

impl Completes<CertifyOpenPgp> for Certified {
    fn done(&self) -> Value {
        let mut done = json!({ "credential": self.credential });
        if let Some(revocation) = &self.revocation {
            // Only which file it is; whoever has the file can end the certificate.
            done["revocation_sha256"] = json!(revocation);
        }
        done
    }
}

//! What closes a permit: certificates and requests that came out of the checked paths.

use super::certificate::Certificate;
use super::csr::{Request, RequestDraft};
use super::import::Imported;
use super::issue::Linted;
use super::pem;
use crate::error::Result;
use crate::gate::{Completes, sealed};
use crate::keys::Credential;
use crate::model::{GenerationId, Hash256, Signature};
use crate::request::{ImportCertificate, IssueCertificate, LinkRoots, MakeCsr};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

/// A certificate of a key of ours that was assembled or imported by the checked path.
#[derive(Debug)]
pub struct Issued {
    credential: Credential,
}

impl Issued {
    /// The certificate as the register keeps it.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    fn new(certificate: &Certificate, issued_by: Option<GenerationId>, chain: Vec<Vec<u8>>) -> Self {
        Issued {
            credential: Credential::X509 {
                certificate: certificate.der().to_vec(),
                fingerprint: certificate.sha256(),
                thumbprint: base16ct::upper::encode_string(&Sha1::digest(certificate.der())),
                subject: certificate.subject().to_string(),
                issuer: certificate.issuer().to_string(),
                serial: certificate.serial_hex(),
                not_before: certificate.not_before(),
                not_after: certificate.not_after(),
                issued_by,
                chain,
            },
        }
    }
}

impl Linted {
    /// Assembles the certificate ([`Linted::assemble`]) for the register.
    ///
    /// # Errors
    /// As [`Linted::assemble`].
    pub fn issue(&self, signature: &Signature, issued_by: GenerationId) -> Result<Issued> {
        Ok(Issued::new(&self.assemble(signature)?, Some(issued_by), Vec::new()))
    }
}

impl Imported {
    /// For the register, with the intermediates of its chain.
    pub fn into_issued(self) -> Issued {
        let chain = self.chain().certificates();
        let between = chain.iter().skip(1).take(chain.len().saturating_sub(2));
        let between = between.map(|certificate| certificate.der().to_vec()).collect();
        Issued::new(self.certificate(), None, between)
    }
}

impl sealed::Sealed for Issued {}

impl Completes<IssueCertificate> for Issued {
    fn done(&self) -> Value {
        json!({ "credential": self.credential })
    }
}

impl Completes<ImportCertificate> for Issued {
    fn done(&self) -> Value {
        json!({ "credential": self.credential })
    }
}

impl Completes<LinkRoots> for Issued {
    fn done(&self) -> Value {
        json!({ "credential": self.credential })
    }
}

/// A certificate signing request that the key itself signed and that was read back.
#[derive(Debug)]
pub struct CsrMade {
    request: Request,
}

impl CsrMade {
    /// PEM (RFC 7468).
    ///
    /// # Errors
    /// None for a request that was read back.
    pub fn pem(&self) -> Result<String> {
        pem::encode(pem::label::REQUEST, self.request.der())
    }
}

impl RequestDraft {
    /// SHA-256 of the CertificationRequestInfo.
    pub fn tbs_hash(&self) -> Hash256 {
        Hash256::of(self.tbs_der())
    }

    /// Assembles the request ([`RequestDraft::assemble`]).
    ///
    /// # Errors
    /// As [`RequestDraft::assemble`].
    pub fn make(&self, signature: &Signature) -> Result<CsrMade> {
        Ok(CsrMade { request: self.assemble(signature)? })
    }
}

impl sealed::Sealed for CsrMade {}

impl Completes<MakeCsr> for CsrMade {
    fn done(&self) -> Value {
        json!({ "csr": crate::model::base64(self.request.der()) })
    }
}

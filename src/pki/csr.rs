//! Certification requests (PKCS#10, RFC 2986): ours for keys that another CA certifies, and the checking of others'.

use super::asn1::{self, Elements, tag};
use super::certificate::{self, Signed};
use super::name::Name;
use super::unsigned::Unsigned;
use crate::crypto::verify::PublicKey;
use crate::error::{Error, Result};
use crate::model::{Hash256, Mechanism, Signature, Tbs};

/// The most bytes a request may have.
pub const MAX_REQUEST: usize = 64 * 1024;

/// A request for a key of ours that waits for its signature. It asks for a subject and a key, and for nothing else:
/// extensions are the CA's to choose.
#[derive(Clone, Debug)]
pub struct RequestDraft {
    unsigned: Unsigned,
}

impl RequestDraft {
    /// Builds the CertificationRequestInfo.
    ///
    /// # Errors
    /// `mechanism_mismatch` when the key cannot make such signatures.
    pub fn new(subject: &Name, key: &PublicKey, mechanism: Mechanism) -> Result<Self> {
        let no_attributes = asn1::tlv(tag::context(0), &[]);
        let info = asn1::sequence(&[&asn1::unsigned(&[0]), subject.der(), key.spki(), &no_attributes]);
        Ok(RequestDraft { unsigned: Unsigned::new(info, mechanism, key.clone())? })
    }

    /// What the key itself is to sign, proving that it is there.
    pub fn tbs(&self) -> Tbs {
        self.unsigned.tbs()
    }

    /// The DER CertificationRequestInfo.
    pub fn tbs_der(&self) -> &[u8] {
        self.unsigned.der()
    }

    /// Puts the request together, reads it back and checks its proof of possession.
    ///
    /// # Errors
    /// `bad_signature`.
    pub fn assemble(&self, signature: &Signature) -> Result<Request> {
        Request::parse(&self.unsigned.seal(signature)?)
    }
}

/// A request whose proof of possession was checked: no value of this type has a wrong signature.
#[derive(Clone, Debug)]
pub struct Request {
    der: Vec<u8>,
    subject: Name,
    key: PublicKey,
    attributes: usize,
}

impl Request {
    /// Reads one DER request and nothing after it, and checks that the key signed it.
    ///
    /// # Errors
    /// `request_too_large` above [`MAX_REQUEST`]; `malformed_der` naming the field; `signature_algorithm`;
    /// `bad_signature`.
    pub fn parse(der: &[u8]) -> Result<Self> {
        if der.len() > MAX_REQUEST {
            let message = format!("a request of {} bytes; the limit is {MAX_REQUEST}", der.len());
            return Err(Error::failed("request_too_large", message));
        }
        Self::read(der).map_err(|e| e.about("certification request"))
    }

    fn read(der: &[u8]) -> Result<Self> {
        let signed = Signed::parse(der, "certificationRequest")?;
        let mut outer = Elements::new(signed.tbs)?;
        let mut inner = outer.enter(tag::SEQUENCE, "certificationRequestInfo")?;
        if inner.integer("version")? != [0] {
            return Err(asn1::malformed("version", "not v1"));
        }
        let subject = Name::from_der(inner.take(tag::SEQUENCE, "subject")?.raw)?;
        let key = PublicKey::from_spki(inner.take(tag::SEQUENCE, "subjectPKInfo")?.raw)?;
        let mut list = inner.enter(tag::context(0), "attributes")?;
        let mut attributes = 0usize;
        while list.peek().is_some() {
            list.take(tag::SEQUENCE, "attribute")?;
            attributes = attributes.saturating_add(1);
        }
        inner.end("certificationRequestInfo")?;
        certificate::verify(signed.tbs, signed.algorithm, &Signature(signed.signature.to_vec()), &key)?;
        Ok(Request { der: der.to_vec(), subject, key, attributes })
    }

    /// The exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The subject it asks for.
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// The key that signed it.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// How many attributes it carries; they are counted, shown and never followed.
    pub fn attribute_count(&self) -> usize {
        self.attributes
    }

    /// SHA-256 of the DER.
    pub fn sha256(&self) -> Hash256 {
        Hash256::of(&self.der)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HashAlgorithm;
    use crate::pki::testing::{Key, subject};

    fn request(key: &Key) -> Request {
        let draft = RequestDraft::new(&subject("Example Corp"), &key.public(), key.mechanism()).unwrap();
        draft.assemble(&key.sign(&draft.tbs())).unwrap()
    }

    #[test]
    fn a_request_asks_for_a_subject_and_a_key_and_openssl_agrees() {
        let key = Key::p256();
        let ours = request(&key);
        assert_eq!(ours.attribute_count(), 0);
        assert_eq!(ours.public_key().spki(), key.public().spki());
        let theirs = openssl::x509::X509Req::from_der(ours.der()).unwrap();
        assert!(theirs.verify(&key.0).unwrap());
        assert_eq!(theirs.subject_name().to_der().unwrap(), ours.subject().der());
        assert_eq!(theirs.version(), 0);
        let rsa = Mechanism::RsaPkcs1(HashAlgorithm::Sha256);
        assert!(RequestDraft::new(&subject("x"), &key.public(), rsa).is_err());
    }

    #[test]
    fn possession_is_proved_or_there_is_no_request() {
        let (key, other) = (Key::p256(), Key::p256());
        let draft = RequestDraft::new(&subject("Example Corp"), &key.public(), key.mechanism()).unwrap();
        assert_eq!(draft.assemble(&other.sign(&draft.tbs())).unwrap_err().code(), "bad_signature");
        let der = request(&key).der().to_vec();
        for at in 0..der.len() {
            let mut changed = der.clone();
            changed[at] ^= 0x01;
            assert!(Request::parse(&changed).is_err(), "byte {at}");
            assert!(Request::parse(&der[..at]).is_err());
        }
        assert_eq!(Request::parse(&vec![0x30; MAX_REQUEST + 1]).unwrap_err().code(), "request_too_large");
    }

    #[test]
    fn foreign_requests_are_read_and_their_wishes_counted() {
        let key = Key::p256();
        let mut builder = openssl::x509::X509Req::builder().unwrap();
        builder.set_pubkey(&key.0).unwrap();
        let mut extensions = openssl::stack::Stack::new().unwrap();
        extensions.push(openssl::x509::extension::BasicConstraints::new().ca().build().unwrap()).unwrap();
        builder.add_extensions(&extensions).unwrap();
        builder.sign(&key.0, openssl::hash::MessageDigest::sha256()).unwrap();
        let request = Request::parse(&builder.build().to_der().unwrap()).unwrap();
        assert_eq!(request.attribute_count(), 1);
        assert!(request.subject().is_empty());
    }
}

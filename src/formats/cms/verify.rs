//! The two links of a CMS signature (RFC 5652 §5.6): content to messageDigest, and signed attributes to the signature.

use super::{Digest, Scheme, SignerInfo, oid, signed_attributes, single};
use crate::crypto::verify::PublicKey;
use crate::error::{Error, Result};
use crate::formats::tlv::{Tlv, tag};
use crate::model::{HashAlgorithm, Mechanism, Signature, Tbs};
use const_oid::ObjectIdentifier;

impl SignerInfo {
    /// The digest algorithm, if it is one we verify with.
    ///
    /// # Errors
    /// `weak_algorithm` for SHA-1 and MD5, `unknown_algorithm` for the rest.
    pub fn hash(&self) -> Result<HashAlgorithm> {
        match self.digest_algorithm.digest() {
            Digest::Strong(hash) => Ok(hash),
            Digest::Weak(name) => Err(weak(name)),
            Digest::Unknown(oid) => Err(unknown(&oid)),
        }
    }

    /// How the signature is made, if we can verify it.
    ///
    /// # Errors
    /// As [`Self::hash`].
    pub fn mechanism(&self) -> Result<Mechanism> {
        match self.signature_algorithm.scheme(&self.digest_algorithm.digest()) {
            Scheme::Known(mechanism) => Ok(mechanism),
            Scheme::Weak(name) => Err(weak(name)),
            Scheme::Unknown(oid) => Err(unknown(&oid)),
        }
    }

    /// Checks that the signed attributes speak of this content.
    ///
    /// # Errors
    /// `malformed_cms` if contentType or messageDigest is missing or there twice; `content_type_mismatch`;
    /// `message_digest_mismatch`; those of [`Self::hash`].
    pub fn check_content(&self, content_type: ObjectIdentifier, octets: &[u8]) -> Result<()> {
        let missing = |what| Error::failed("malformed_cms", format!("the signed attribute {what} is missing"));
        let said = single(&self.signed, oid::CONTENT_TYPE)?.ok_or_else(|| missing("contentType"))?;
        let digest = single(&self.signed, oid::MESSAGE_DIGEST)?.ok_or_else(|| missing("messageDigest"))?;
        let said = Tlv::parse(said, "contentType")?.oid("contentType")?;
        if said != content_type {
            let message = format!("the signed content type is {said}, but the content is {content_type}");
            return Err(Error::finding("content_type_mismatch", message));
        }
        let digest = Tlv::parse(digest, "messageDigest")?;
        if digest.tag != tag::OCTET_STRING || digest.value != self.hash()?.digest(octets) {
            return Err(Error::finding(
                "message_digest_mismatch",
                "the signed messageDigest is not that of the content",
            ));
        }
        Ok(())
    }

    /// Checks the signature over the signed attributes with the signer's key. The attributes are hashed as they were
    /// received; if a signer put them out of order, in the order DER wants.
    ///
    /// # Errors
    /// `malformed_cms` without signed attributes; `bad_signature`; those of [`Self::mechanism`].
    pub fn check_signature(&self, key: &PublicKey) -> Result<()> {
        let raw = self.signed_raw.as_deref();
        let raw = raw.ok_or_else(|| Error::failed("malformed_cms", "there are no signed attributes"))?;
        let mechanism = self.mechanism()?;
        let signature = Signature(self.signature.clone());
        let received = key.verify(&Tbs::message(mechanism, raw), &signature);
        if received.is_ok() {
            return Ok(());
        }
        // RFC 5652 §5.4 has the DER encoding hashed, whatever order the attributes travel in.
        let sorted = signed_attributes(&self.signed);
        if sorted == raw { received } else { key.verify(&Tbs::message(mechanism, &sorted), &signature) }
    }
}

fn weak(name: &str) -> Error {
    Error::finding("weak_algorithm", format!("{name} is too weak to verify anything"))
}

fn unknown(oid: &ObjectIdentifier) -> Error {
    Error::finding("unknown_algorithm", format!("algorithm {oid} is not known here"))
}

//! Algorithm identifiers, and which of our mechanisms they mean.
//!
//! SHA-1 and MD5 are recognised so that a report can name them; nothing is verified with them.

use crate::error::{Error, Result};
use crate::formats::tlv::{self, Tlv, tag};
use crate::model::{HashAlgorithm, Mechanism};
use const_oid::ObjectIdentifier;

macro_rules! oids {
    ($($name:ident = $text:literal),* $(,)?) => {
        $(const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($text);)*
    };
}

oids! {
    MD5 = "1.2.840.113549.2.5",
    SHA1 = "1.3.14.3.2.26",
    RSA = "1.2.840.113549.1.1.1",
    MD5_RSA = "1.2.840.113549.1.1.4",
    SHA1_RSA = "1.2.840.113549.1.1.5",
    SHA1_RSA_OIW = "1.3.14.3.2.29",
    MGF1 = "1.2.840.113549.1.1.8",
    PSS = "1.2.840.113549.1.1.10",
    SHA256_RSA = "1.2.840.113549.1.1.11",
    SHA384_RSA = "1.2.840.113549.1.1.12",
    SHA512_RSA = "1.2.840.113549.1.1.13",
    EC = "1.2.840.10045.2.1",
    ECDSA_SHA1 = "1.2.840.10045.4.1",
    ECDSA_SHA256 = "1.2.840.10045.4.3.2",
    ECDSA_SHA384 = "1.2.840.10045.4.3.3",
    ECDSA_SHA512 = "1.2.840.10045.4.3.4",
    ED25519 = "1.3.101.112",
}

/// AlgorithmIdentifier (RFC 5280 §4.1.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlgorithmId {
    /// `algorithm`.
    pub oid: ObjectIdentifier,
    /// `parameters`, an element in DER; `None` if absent.
    pub parameters: Option<Vec<u8>>,
}

/// What a digest's identifier means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Digest {
    /// One we use.
    Strong(HashAlgorithm),
    /// `sha1` or `md5`.
    Weak(&'static str),
    /// Another one.
    Unknown(ObjectIdentifier),
}

/// What a signature's identifier means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// One we can verify.
    Known(Mechanism),
    /// Over SHA-1 or MD5.
    Weak(&'static str),
    /// Another one, or parameters we do not know.
    Unknown(ObjectIdentifier),
}

const NULL: [u8; 2] = [tag::NULL, 0];

impl AlgorithmId {
    pub(in crate::formats) fn parse(element: &Tlv<'_>) -> Result<Self> {
        let mut reader = element.as_sequence("AlgorithmIdentifier")?;
        let oid = reader.any()?.oid("AlgorithmIdentifier.algorithm")?;
        let parameters = if reader.is_empty() { None } else { Some(reader.any()?.raw.to_vec()) };
        reader.finish()?;
        Ok(AlgorithmId { oid, parameters })
    }

    fn with_null(oid: ObjectIdentifier) -> Self {
        AlgorithmId { oid, parameters: Some(NULL.to_vec()) }
    }

    /// DER.
    pub fn to_der(&self) -> Vec<u8> {
        tlv::seq(&[&tlv::oid(self.oid), self.parameters.as_deref().unwrap_or_default()])
    }

    /// Its parameters are absent or NULL, as RFC 5754 §2 wants a digest's.
    pub fn has_no_parameters(&self) -> bool {
        self.parameters.as_deref().is_none_or(|parameters| parameters == NULL)
    }

    /// Reads it as a digest's.
    pub fn digest(&self) -> Digest {
        match self.oid {
            SHA1 => Digest::Weak("sha1"),
            MD5 => Digest::Weak("md5"),
            oid => HashAlgorithm::from_oid(&oid).map_or(Digest::Unknown(oid), Digest::Strong),
        }
    }

    /// Reads it as a signature's. `rsaEncryption` and `id-ecPublicKey`, which older signers put there, leave the hash to
    /// the digest's identifier.
    pub fn scheme(&self, digest: &Digest) -> Scheme {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        let by_digest = |mechanism: fn(HashAlgorithm) -> Mechanism| match digest {
            Digest::Strong(hash) => Scheme::Known(mechanism(*hash)),
            Digest::Weak(name) => Scheme::Weak(name),
            Digest::Unknown(oid) => Scheme::Unknown(*oid),
        };
        match self.oid {
            RSA => by_digest(Mechanism::RsaPkcs1),
            EC => by_digest(Mechanism::Ecdsa),
            SHA256_RSA => Scheme::Known(Mechanism::RsaPkcs1(Sha256)),
            SHA384_RSA => Scheme::Known(Mechanism::RsaPkcs1(Sha384)),
            SHA512_RSA => Scheme::Known(Mechanism::RsaPkcs1(Sha512)),
            ECDSA_SHA256 => Scheme::Known(Mechanism::Ecdsa(Sha256)),
            ECDSA_SHA384 => Scheme::Known(Mechanism::Ecdsa(Sha384)),
            ECDSA_SHA512 => Scheme::Known(Mechanism::Ecdsa(Sha512)),
            ED25519 => Scheme::Known(Mechanism::Ed25519),
            PSS => self.pss_hash().map_or(Scheme::Unknown(PSS), |hash| Scheme::Known(Mechanism::RsaPss(hash))),
            SHA1_RSA | SHA1_RSA_OIW | ECDSA_SHA1 => Scheme::Weak("sha1"),
            MD5_RSA => Scheme::Weak("md5"),
            oid => Scheme::Unknown(oid),
        }
    }

    /// The hash of RSASSA-PSS-params (RFC 4055 §3.1), if MGF1 uses it too and the salt is as long as it.
    fn pss_hash(&self) -> Option<HashAlgorithm> {
        let mut params = Tlv::parse(self.parameters.as_deref()?, "RSASSA-PSS-params").ok()?.inside("RSASSA-PSS-params");
        let mut field = |n| params.optional(tag::constructed(n)).ok().flatten().map(|field| field.value);
        let algorithm = |bytes| AlgorithmId::parse(&Tlv::parse(bytes, "RSASSA-PSS-params").ok()?).ok();
        let hash = HashAlgorithm::from_oid(&algorithm(field(0)?)?.oid)?;
        let mgf = algorithm(field(1)?)?;
        let mgf_hash = HashAlgorithm::from_oid(&algorithm(mgf.parameters.as_deref()?)?.oid)?;
        let salt = Tlv::parse(field(2)?, "saltLength").ok()?.small("saltLength").ok()?;
        let trailer = field(3).is_none_or(|trailer| trailer == [tag::INTEGER, 1, 1]);
        (mgf.oid == MGF1 && mgf_hash == hash && salt as usize == hash.size() && trailer).then_some(hash)
    }
}

/// The identifier of a digest, with the NULL parameters that Windows writes.
pub fn encode_digest(hash: HashAlgorithm) -> AlgorithmId {
    AlgorithmId::with_null(hash.oid())
}

/// The identifier of a signature as Authenticode has it: `rsaEncryption` for RSA, `ecdsa-with-SHA…` for EC.
///
/// # Errors
/// `unsupported_mechanism`: RSA-PSS and Ed25519, which Windows does not accept in signed files.
pub fn encode_signature(mechanism: Mechanism) -> Result<AlgorithmId> {
    let ecdsa = |oid| Ok(AlgorithmId { oid, parameters: None });
    match mechanism {
        Mechanism::RsaPkcs1(_) => Ok(AlgorithmId::with_null(RSA)),
        Mechanism::Ecdsa(HashAlgorithm::Sha256) => ecdsa(ECDSA_SHA256),
        Mechanism::Ecdsa(HashAlgorithm::Sha384) => ecdsa(ECDSA_SHA384),
        Mechanism::Ecdsa(HashAlgorithm::Sha512) => ecdsa(ECDSA_SHA512),
        Mechanism::RsaPss(_) | Mechanism::Ed25519 => {
            let message = format!("{mechanism} signatures are not accepted by Authenticode");
            Err(Error::failed("unsupported_mechanism", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pss_parameters_must_agree() {
        let hash = HashAlgorithm::Sha256;
        let params = |mgf: HashAlgorithm, salt: u8| AlgorithmId {
            oid: PSS,
            parameters: Some(tlv::seq(&[
                &tlv::wrap(tag::constructed(0), &encode_digest(hash).to_der()),
                &tlv::wrap(
                    tag::constructed(1),
                    &AlgorithmId { oid: MGF1, parameters: Some(encode_digest(mgf).to_der()) }.to_der(),
                ),
                &tlv::wrap(tag::constructed(2), &tlv::unsigned(&[salt])),
            ])),
        };
        let digest = Digest::Strong(hash);
        assert_eq!(params(hash, 32).scheme(&digest), Scheme::Known(Mechanism::RsaPss(hash)));
        assert_eq!(params(hash, 20).scheme(&digest), Scheme::Unknown(PSS));
        assert_eq!(params(HashAlgorithm::Sha512, 32).scheme(&digest), Scheme::Unknown(PSS));
        assert_eq!(AlgorithmId { oid: PSS, parameters: None }.scheme(&digest), Scheme::Unknown(PSS));
    }

    #[test]
    fn older_identifiers_take_the_digests_hash() {
        let rsa = AlgorithmId::with_null(RSA);
        assert_eq!(rsa.scheme(&Digest::Weak("sha1")), Scheme::Weak("sha1"));
        assert_eq!(
            rsa.scheme(&Digest::Strong(HashAlgorithm::Sha384)),
            Scheme::Known(Mechanism::RsaPkcs1(HashAlgorithm::Sha384))
        );
    }
}

//! AlgorithmIdentifiers of signatures (RFC 4055, 5758, 8410) and the mechanisms they stand for.

use super::asn1::{self, Elements, tag};
use super::oid;
use crate::crypto::verify::PublicKey;
use crate::model::{HashAlgorithm, Mechanism};
use const_oid::ObjectIdentifier;
use openssl::pkey::Id;

/// The DER AlgorithmIdentifier that certificates and CRLs signed by this mechanism carry.
pub fn identifier(mechanism: Mechanism) -> Vec<u8> {
    match mechanism {
        Mechanism::RsaPkcs1(hash) => asn1::sequence(&[&asn1::oid(&rsa_oid(hash)), &null()]),
        Mechanism::RsaPss(hash) => pss(&hash_identifier(hash, true), &hash_identifier(hash, true), hash),
        Mechanism::Ecdsa(hash) => asn1::sequence(&[&asn1::oid(&ecdsa_oid(hash))]),
        Mechanism::Ed25519 => asn1::sequence(&[&asn1::oid(&oid::ED25519)]),
    }
}

/// The mechanism of a DER AlgorithmIdentifier; `None` for everything not accepted here, SHA-1 and MD5 above all.
///
/// Lenient where RFC 4055 §§2.1, 5 tells readers to be: NULL parameters of hashes and of PKCS#1 v1.5 may be absent.
pub fn mechanism(identifier: &[u8]) -> Option<Mechanism> {
    HashAlgorithm::ALL.iter().copied().find_map(|hash| with_hash(identifier, hash)).or_else(|| {
        let ed25519 = asn1::sequence(&[&asn1::oid(&oid::ED25519)]);
        (identifier == ed25519).then_some(Mechanism::Ed25519)
    })
}

fn with_hash(identifier: &[u8], hash: HashAlgorithm) -> Option<Mechanism> {
    let rsa = asn1::oid(&rsa_oid(hash));
    if identifier == asn1::sequence(&[&rsa, &null()]) || identifier == asn1::sequence(&[&rsa]) {
        return Some(Mechanism::RsaPkcs1(hash));
    }
    if identifier == asn1::sequence(&[&asn1::oid(&ecdsa_oid(hash))]) {
        return Some(Mechanism::Ecdsa(hash));
    }
    let forms = [hash_identifier(hash, true), hash_identifier(hash, false)];
    let is_pss = forms.iter().any(|outer| forms.iter().any(|inner| identifier == pss(outer, inner, hash)));
    is_pss.then_some(Mechanism::RsaPss(hash))
}

/// The algorithm's OID as text, for messages about algorithms that are not accepted.
pub fn describe(identifier: &[u8]) -> String {
    let read = || Elements::new(identifier)?.enter(tag::SEQUENCE, "algorithm")?.oid("algorithm");
    read().map_or_else(|_| "an unreadable algorithm".into(), |oid| oid.to_string())
}

/// Whether a key of this kind can make signatures of this mechanism.
pub fn fits(key: &PublicKey, mechanism: Mechanism) -> bool {
    match mechanism {
        Mechanism::RsaPkcs1(_) | Mechanism::RsaPss(_) => key.is_rsa(),
        Mechanism::Ecdsa(_) => key.key().id() == Id::EC,
        Mechanism::Ed25519 => key.key().id() == Id::ED25519,
    }
}

/// RSASSA-PSS-params (RFC 4055 §3.1): the salt as long as the hash, trailerField left at its default.
fn pss(hash_identifier: &[u8], mgf_hash_identifier: &[u8], hash: HashAlgorithm) -> Vec<u8> {
    let mgf = asn1::sequence(&[&asn1::oid(&oid::MGF1), mgf_hash_identifier]);
    let salt = asn1::unsigned(&hash.size().to_be_bytes());
    let parameters = asn1::sequence(&[
        &asn1::tlv(tag::context(0), &[hash_identifier]),
        &asn1::tlv(tag::context(1), &[&mgf]),
        &asn1::tlv(tag::context(2), &[&salt]),
    ]);
    asn1::sequence(&[&asn1::oid(&oid::RSASSA_PSS), &parameters])
}

fn hash_identifier(hash: HashAlgorithm, with_null: bool) -> Vec<u8> {
    let oid = asn1::oid(&hash.oid());
    if with_null { asn1::sequence(&[&oid, &null()]) } else { asn1::sequence(&[&oid]) }
}

fn null() -> Vec<u8> {
    asn1::tlv(tag::NULL, &[])
}

fn rsa_oid(hash: HashAlgorithm) -> ObjectIdentifier {
    match hash {
        HashAlgorithm::Sha256 => oid::SHA256_WITH_RSA,
        HashAlgorithm::Sha384 => oid::SHA384_WITH_RSA,
        HashAlgorithm::Sha512 => oid::SHA512_WITH_RSA,
    }
}

fn ecdsa_oid(hash: HashAlgorithm) -> ObjectIdentifier {
    match hash {
        HashAlgorithm::Sha256 => oid::ECDSA_WITH_SHA256,
        HashAlgorithm::Sha384 => oid::ECDSA_WITH_SHA384,
        HashAlgorithm::Sha512 => oid::ECDSA_WITH_SHA512,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_round_trip_and_weak_ones_are_unknown() {
        for hash in HashAlgorithm::ALL.iter().copied() {
            for m in [Mechanism::RsaPkcs1(hash), Mechanism::RsaPss(hash), Mechanism::Ecdsa(hash), Mechanism::Ed25519] {
                assert_eq!(mechanism(&identifier(m)), Some(m));
            }
        }
        let sha1 = asn1::sequence(&[&asn1::oid(&ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5")), &null()]);
        assert_eq!(mechanism(&sha1), None);
        assert_eq!(describe(&sha1), "1.2.840.113549.1.1.5");
        assert_eq!(describe(b"\x30"), "an unreadable algorithm");
    }
}

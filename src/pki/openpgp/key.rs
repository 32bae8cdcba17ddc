//! Public keys as OpenPGP packets, and the numbers in signatures (RFC 4880 §5.5.2, §5.2.2; RFC 6637 §9;
//! Ed25519 as the legacy EdDSA of RFC 9580 §5.5.5.5, the only form that version 4 verifiers all know).

use crate::clock::Time;
use crate::crypto::verify::PublicKey;
use crate::error::{Context, Error, Result};
use crate::model::{HashAlgorithm, KeyAlgorithm, Mechanism, Signature};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::ecdsa::EcdsaSig;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Rsa;
use sequoia_openpgp::crypto::mpi::{self, MPI};
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::key::{Key4, PublicParts, UnspecifiedRole};
use sequoia_openpgp::types::{self as pgp, Curve, PublicKeyAlgorithm, Timestamp};

/// A public key packet in no particular role.
pub(crate) type KeyPacket = Key<PublicParts, UnspecifiedRole>;

/// A public key and when it was made. Both go into the fingerprint, so the time is part of the key's identity.
#[derive(Clone, Debug)]
pub struct DatedKey {
    /// The public key.
    pub public: PublicKey,
    /// Creation time, fixed when the key was generated.
    pub created: Time,
}

impl DatedKey {
    /// The version 4 fingerprint, 40 upper-case hex digits (RFC 4880 §12.2).
    ///
    /// # Errors
    /// The key's algorithm has no OpenPGP form here, or the time does not fit in 32 bits.
    pub fn fingerprint(&self) -> Result<String> {
        Ok(self.packet()?.fingerprint().to_hex())
    }

    /// The key as a packet.
    ///
    /// # Errors
    /// `openpgp_algorithm` for algorithms other than ours, `openpgp_time` for times outside 1970 to 2106.
    pub(crate) fn packet(&self) -> Result<KeyPacket> {
        let algorithm = self.public.algorithm().ok_or_else(unsupported)?;
        let created = std::time::SystemTime::from(timestamp(self.created)?);
        let packet = match algorithm {
            KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
                let rsa =
                    self.public.key().rsa().or_failed("bad_public_key", || "the RSA key cannot be read".into())?;
                Key4::import_public_rsa(&rsa.e().to_vec(), &rsa.n().to_vec(), created)
            }
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 => {
                let curve = if algorithm == KeyAlgorithm::EcdsaP256 { Curve::NistP256 } else { Curve::NistP384 };
                let q = MPI::new(&self.public.point().ok_or_else(unsupported)?);
                Key4::new(created, PublicKeyAlgorithm::ECDSA, mpi::PublicKey::ECDSA { curve, q })
            }
            KeyAlgorithm::Ed25519 => {
                Key4::import_public_ed25519(&self.public.point().ok_or_else(unsupported)?, created)
            }
        };
        packet.map(Key::from).or_failed("openpgp_key", || "the public key does not fit in a key packet".into())
    }
}

fn unsupported() -> Error {
    Error::usage("openpgp_algorithm", "OpenPGP keys are rsa-3072, rsa-4096, ecdsa-p256, ecdsa-p384 or ed25519")
}

/// The mechanism used for everything such a key signs: SHA-256 for P-256, SHA-384 for P-384, SHA-512 for the rest.
pub fn mechanism(algorithm: KeyAlgorithm) -> Mechanism {
    algorithm.mechanism(hash(algorithm))
}

/// The hash that goes with [`mechanism`]; for Ed25519 it makes the digest that is then the message.
pub(crate) fn hash(algorithm: KeyAlgorithm) -> HashAlgorithm {
    match algorithm {
        // A longer digest would be truncated by the token, which not every token does.
        KeyAlgorithm::EcdsaP256 => HashAlgorithm::Sha256,
        KeyAlgorithm::EcdsaP384 => HashAlgorithm::Sha384,
        _ => HashAlgorithm::Sha512,
    }
}

/// OpenPGP's number for a hash.
pub(crate) fn pgp_hash(hash: HashAlgorithm) -> pgp::HashAlgorithm {
    match hash {
        HashAlgorithm::Sha256 => pgp::HashAlgorithm::SHA256,
        HashAlgorithm::Sha384 => pgp::HashAlgorithm::SHA384,
        HashAlgorithm::Sha512 => pgp::HashAlgorithm::SHA512,
    }
}

/// A signature's numbers as a version 4 signature packet carries them.
///
/// # Errors
/// `bad_signature` when the bytes are no signature of that kind.
pub(crate) fn numbers(algorithm: KeyAlgorithm, signature: &Signature) -> Result<mpi::Signature> {
    let bytes = signature.0.as_slice();
    let bad = || Error::failed("bad_signature", format!("the token's answer is no {algorithm} signature"));
    match algorithm {
        KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => Ok(mpi::Signature::RSA { s: MPI::new(bytes) }),
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 => {
            let parsed = EcdsaSig::from_der(bytes).map_err(|stack| bad().because(stack))?;
            Ok(mpi::Signature::ECDSA { r: MPI::new(&parsed.r().to_vec()), s: MPI::new(&parsed.s().to_vec()) })
        }
        KeyAlgorithm::Ed25519 => match bytes.split_at_checked(32) {
            Some((r, s)) if s.len() == 32 => Ok(mpi::Signature::EdDSA { r: MPI::new(r), s: MPI::new(s) }),
            _ => Err(bad()),
        },
    }
}

/// The SubjectPublicKeyInfo of a key packet, to find the key in a token.
///
/// # Errors
/// `openpgp_algorithm` when it is not one of our algorithms.
pub(crate) fn public_key(packet: &KeyPacket) -> Result<PublicKey> {
    let read = |result: std::result::Result<PKey<Public>, openssl::error::ErrorStack>| {
        let key = result.or_failed("bad_public_key", || "the key packet holds no valid key".into())?;
        let spki = key.public_key_to_der().or_failed("bad_public_key", || "the key cannot be encoded".into())?;
        PublicKey::from_spki(&spki)
    };
    let public = match packet.mpis() {
        mpi::PublicKey::RSA { e, n } => read(rsa(e.value(), n.value()))?,
        mpi::PublicKey::ECDSA { curve: Curve::NistP256, q } => read(ec(Nid::X9_62_PRIME256V1, q.value()))?,
        mpi::PublicKey::ECDSA { curve: Curve::NistP384, q } => read(ec(Nid::SECP384R1, q.value()))?,
        mpi::PublicKey::EdDSA { curve: Curve::Ed25519, q } => match q.value().split_first() {
            Some((0x40, point)) => read(PKey::public_key_from_raw_bytes(point, Id::ED25519))?,
            _ => return Err(Error::failed("bad_public_key", "the Ed25519 point is not in its native form")),
        },
        _ => return Err(unsupported()),
    };
    public.algorithm().map(|_| ()).ok_or_else(unsupported)?;
    Ok(public)
}

fn rsa(e: &[u8], n: &[u8]) -> std::result::Result<PKey<Public>, openssl::error::ErrorStack> {
    PKey::from_rsa(Rsa::from_public_components(BigNum::from_slice(n)?, BigNum::from_slice(e)?)?)
}

fn ec(curve: Nid, point: &[u8]) -> std::result::Result<PKey<Public>, openssl::error::ErrorStack> {
    let group = EcGroup::from_curve_name(curve)?;
    let mut context = BigNumContext::new()?;
    let point = EcPoint::from_bytes(&group, point, &mut context)?;
    PKey::from_ec_key(EcKey::from_public_key(&group, &point)?)
}

/// A time as OpenPGP's unsigned 32-bit seconds.
///
/// # Errors
/// `openpgp_time` outside 1970-01-01 to 2106-02-07.
pub(crate) fn timestamp(time: Time) -> Result<Timestamp> {
    let seconds = u32::try_from(time.timestamp()).map_err(|_| {
        Error::usage("openpgp_time", format!("{} does not fit in an OpenPGP time", crate::clock::rfc3339(time)))
    })?;
    Ok(Timestamp::from(seconds))
}

/// A time from sequoia as ours.
pub(crate) fn time(time: std::time::SystemTime) -> Time {
    let time = Time::from(time);
    // OpenPGP has whole seconds; the bounds of `SystemTime` are far wider than chrono's use of them here.
    Time::from_timestamp(time.timestamp(), 0).unwrap_or(time)
}

/// A time in the form sequoia takes as a reference time.
///
/// # Errors
/// As [`timestamp`].
pub(crate) fn system_time(time: Time) -> Result<std::time::SystemTime> {
    Ok(timestamp(time)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::openpgp::testkeys::{TestKey, day};

    #[test]
    fn a_packet_gives_back_the_key_it_was_made_from() {
        for algorithm in
            [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa3072]
        {
            let dated = TestKey::new(algorithm).dated(day(0));
            let packet = dated.packet().unwrap();
            assert_eq!(public_key(&packet).unwrap().spki_hash(), dated.public.spki_hash(), "{algorithm}");
            assert_eq!(dated.fingerprint().unwrap().len(), 40);
        }
    }

    #[test]
    fn the_creation_time_is_part_of_the_identity() {
        let key = TestKey::new(KeyAlgorithm::EcdsaP256);
        assert_ne!(key.dated(day(0)).fingerprint().unwrap(), key.dated(day(1)).fingerprint().unwrap());
        let early = key.dated(Time::from_timestamp(-1, 0).unwrap());
        assert_eq!(early.fingerprint().unwrap_err().code(), "openpgp_time");
    }

    #[test]
    fn answers_that_are_no_signature_are_refused() {
        for bytes in [vec![], vec![0; 63], vec![0; 65]] {
            assert!(numbers(KeyAlgorithm::Ed25519, &Signature(bytes.clone())).is_err());
            assert!(numbers(KeyAlgorithm::EcdsaP256, &Signature(bytes)).is_err());
        }
    }
}

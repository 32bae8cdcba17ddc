//! In what the programs of clients differ: gpgv, which apt asked up to version 2, and sqv, which it asks since.

use super::key::KeyPacket;
use openpgp::crypto::mpi::PublicKey;
use openpgp::packet::Signature;
use openpgp::packet::signature::subpacket::{SubpacketTag, SubpacketValue};
use openpgp::types::{Curve, HashAlgorithm};
use sequoia_openpgp as openpgp;

/// What sqv, with the policy that apt 3 gives it, does not take.
pub(super) fn weakness(signature: &Signature, key: &KeyPacket) -> Option<String> {
    if signature.hash_algo() == HashAlgorithm::SHA224 {
        return Some("the hash SHA-224".into());
    }
    match key.mpis() {
        PublicKey::DSA { .. } => Some("a DSA key".into()),
        PublicKey::ECDSA {
            curve: curve @ (Curve::BrainpoolP256 | Curve::BrainpoolP384 | Curve::BrainpoolP512),
            ..
        } => Some(format!("a key on the curve {curve}")),
        _ => None,
    }
}

/// Whether there is a critical notation, or a critical subpacket without a meaning that is agreed upon.
pub(super) fn has_unknown_critical(signature: &Signature) -> bool {
    signature.hashed_area().iter().filter(|part| part.critical()).any(|part| {
        matches!(part.value(), SubpacketValue::NotationData(_) | SubpacketValue::Unknown { .. })
            || matches!(part.tag(), SubpacketTag::Reserved(_) | SubpacketTag::Private(_) | SubpacketTag::Unknown(_))
    })
}

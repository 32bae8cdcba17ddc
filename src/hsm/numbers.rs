//! Public keys from the numbers that a token tells of them.

use super::fault::Fault;
use crate::crypto::verify::PublicKey;
use cryptoki::context::Function;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Rsa;

/// An RSA public key from big-endian numbers.
pub(super) fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, Fault> {
    let make = || -> Result<Vec<u8>, openssl::error::ErrorStack> {
        let key = Rsa::from_public_components(BigNum::from_slice(modulus)?, BigNum::from_slice(exponent)?)?;
        PKey::from_rsa(key)?.public_key_to_der()
    };
    if modulus.len() > 1024 || exponent.len() > 1024 {
        return Err(answer(format!("an RSA key of {} bytes", modulus.len())));
    }
    public_key(make())
}

/// DER of the named curves' object identifiers, as `CKA_EC_PARAMS` has them.
pub(super) const P256_PARAMS: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const P384_PARAMS: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
pub(super) const ED25519_PARAMS: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// The same curve as a PrintableString, the older spelling.
const ED25519_NAME: &[u8] = b"\x13\x0cedwards25519";

/// A public key from `CKA_EC_PARAMS` and `CKA_EC_POINT`, the point bare or in an OCTET STRING; `None` for other curves.
pub(super) fn curve_key(params: &[u8], point: &[u8]) -> Result<Option<PublicKey>, Fault> {
    let (curve, size) = match params {
        P256_PARAMS => (Some(Nid::X9_62_PRIME256V1), 65),
        P384_PARAMS => (Some(Nid::SECP384R1), 97),
        ED25519_PARAMS | ED25519_NAME => (None, 32),
        _ => return Ok(None),
    };
    let point = bare_point(point, size)
        .ok_or_else(|| answer(format!("CKA_EC_POINT of {} bytes for a point of {size}", point.len())))?;
    let make = || -> Result<Vec<u8>, openssl::error::ErrorStack> {
        let key: PKey<Public> = match curve {
            None => PKey::public_key_from_raw_bytes(point, Id::ED25519)?,
            Some(curve) => {
                let group = EcGroup::from_curve_name(curve)?;
                let mut context = BigNumContext::new()?;
                // Refuses points that are not on the curve.
                let point = EcPoint::from_bytes(&group, point, &mut context)?;
                PKey::from_ec_key(EcKey::from_public_key(&group, &point)?)?
            }
        };
        key.public_key_to_der()
    };
    public_key(make()).map(Some)
}

/// The length alone tells the two encodings apart.
fn bare_point(point: &[u8], size: usize) -> Option<&[u8]> {
    let point = match point {
        bare if bare.len() == size => bare,
        [0x04, length, rest @ ..] if rest.len() == size && usize::from(*length) == size => rest,
        _ => return None,
    };
    // Uncompressed form only; Ed25519 has no leading byte.
    (size == 32 || point.first() == Some(&4)).then_some(point)
}

fn public_key(spki: Result<Vec<u8>, openssl::error::ErrorStack>) -> Result<PublicKey, Fault> {
    let spki = spki.map_err(|_| answer("numbers that are no public key"))?;
    PublicKey::from_spki(&spki).map_err(|_| answer("numbers that are no public key"))
}

/// An attribute that cannot be right.
pub(super) fn answer(message: impl Into<String>) -> Fault {
    Fault::answer(Function::GetAttributeValue, message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_point_encodings_give_one_key_and_a_wrong_point_none() {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = EcKey::generate(&group).unwrap();
        let spki = PKey::from_ec_key(key).unwrap().public_key_to_der().unwrap();
        let public = PublicKey::from_spki(&spki).unwrap();
        let point = public.point().unwrap();
        let wrapped = [&[0x04, 65][..], &point].concat();
        for encoding in [&point, &wrapped] {
            assert_eq!(curve_key(P256_PARAMS, encoding).unwrap().unwrap().spki(), spki);
        }
        let mut off = point.clone();
        *off.last_mut().unwrap() ^= 1;
        assert_eq!(curve_key(P256_PARAMS, &off).unwrap_err().code(), "module_answer");
        assert!(curve_key(P384_PARAMS, &point).is_err());
        assert!(curve_key(P256_PARAMS, &[]).is_err());
        assert!(curve_key(&[0x06, 0x01, 0x00], &point).unwrap().is_none());

        let edwards = PKey::generate_ed25519().unwrap();
        let raw = edwards.raw_public_key().unwrap();
        for params in [ED25519_PARAMS, ED25519_NAME] {
            for encoding in [raw.clone(), [&[0x04, 32][..], &raw].concat()] {
                let key = curve_key(params, &encoding).unwrap().unwrap();
                assert_eq!(key.spki(), edwards.public_key_to_der().unwrap());
            }
        }
    }
}

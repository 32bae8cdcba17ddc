//! Checks of a public key in software, before anybody certifies it (governance K5).
//!
//! RSA: size, e = 65537, odd, composite, no small factor, no prime power, primes not close together
//! (Fermat), not of the flawed generator known as ROCA (CVE-2017-15361). EC: a curve we use, a point on
//! it, not at infinity. Ed25519: not a point of small order, under which anybody's signature verifies.
//!
//! A key that passes may still be weak in ways that its public part does not show.

use crate::crypto::verify::PublicKey;
use crate::error::{Error, Result};
use crate::model::{KeyAlgorithm, hex};
use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::error::ErrorStack;
use openssl::pkey::Id;

/// Smallest RSA modulus, in bits.
const MIN_RSA_BITS: i32 = 3072;
/// Largest RSA modulus, in bits; the checks grow with the cube of it.
const MAX_RSA_BITS: i32 = 8192;
/// No prime factor below this.
const SMALL_PRIMES_BELOW: u32 = 752;
/// Rounds of Fermat's method: primes closer than about 2^(bits/4 + 12) are found.
const FERMAT_ROUNDS: u32 = 110;

/// Why a public key must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Neither RSA, P-256, P-384 nor Ed25519.
    Algorithm,
    /// An RSA modulus that is too short (or absurdly long).
    Size,
    /// An RSA exponent other than 65537.
    Exponent,
    /// An even modulus.
    Even,
    /// A modulus with a factor below 752.
    SmallFactor,
    /// A modulus that is a prime or a power of one.
    PrimePower,
    /// Two primes close together.
    ClosePrimes,
    /// The fingerprint of CVE-2017-15361.
    Roca,
    /// A point off the curve or at infinity.
    Point,
    /// An Ed25519 point of small order.
    SmallOrder,
}

impl Defect {
    fn text(self) -> &'static str {
        match self {
            Defect::Algorithm => "its algorithm or curve is not one we use",
            Defect::Size => "its RSA modulus is shorter than 3072 or longer than 8192 bits",
            Defect::Exponent => "its RSA exponent is not 65537",
            Defect::Even => "its RSA modulus is even",
            Defect::SmallFactor => "its RSA modulus has a small factor",
            Defect::PrimePower => "its RSA modulus is a prime or a prime power",
            Defect::ClosePrimes => "its RSA primes are close together",
            Defect::Roca => "it comes from the flawed generator of CVE-2017-15361 (ROCA)",
            Defect::Point => "its point is not on the curve",
            Defect::SmallOrder => "its point has small order",
        }
    }
}

/// Checks a public key.
///
/// # Errors
/// `weak_key` (findings) with the first defect.
pub fn check(public: &PublicKey) -> Result<()> {
    match defect(public) {
        Ok(None) => Ok(()),
        Ok(Some(defect)) => Err(Error::finding("weak_key", format!("the public key is refused: {}", defect.text()))),
        Err(stack) => Err(Error::failed("weak_key", "the public key cannot be checked").because(stack)),
    }
}

/// The first defect, if there is one.
///
/// # Errors
/// OpenSSL's, such as for want of memory.
pub fn defect(public: &PublicKey) -> std::result::Result<Option<Defect>, ErrorStack> {
    match (public.key().id(), public.algorithm()) {
        (Id::RSA, _) => {
            let rsa = public.key().rsa()?;
            rsa_defect(rsa.n(), rsa.e())
        }
        (Id::EC, Some(KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384)) => {
            Ok(public.key().ec_key()?.check_key().is_err().then_some(Defect::Point))
        }
        (Id::ED25519, _) => {
            let point = public.key().raw_public_key()?;
            Ok(has_small_order(&point).then_some(Defect::SmallOrder))
        }
        _ => Ok(Some(Defect::Algorithm)),
    }
}

fn rsa_defect(n: &BigNumRef, e: &BigNumRef) -> std::result::Result<Option<Defect>, ErrorStack> {
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&n.num_bits()) {
        return Ok(Some(Defect::Size));
    }
    if *e != *BigNum::from_u32(65537)? {
        return Ok(Some(Defect::Exponent));
    }
    if !n.is_bit_set(0) {
        return Ok(Some(Defect::Even));
    }
    for prime in primes_below(SMALL_PRIMES_BELOW) {
        if n.mod_word(prime)? == 0 {
            return Ok(Some(Defect::SmallFactor));
        }
    }
    if has_roca_fingerprint(n)? {
        return Ok(Some(Defect::Roca));
    }
    let mut context = BigNumContext::new()?;
    if is_prime_power(n, &mut context)? {
        return Ok(Some(Defect::PrimePower));
    }
    Ok(has_close_primes(n, &mut context)?.then_some(Defect::ClosePrimes))
}

fn primes_below(limit: u32) -> impl Iterator<Item = u32> {
    (2..limit).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0))
}

/// ROCA moduli lie, modulo every small prime, in the group that 65537 generates (Nemec et al., CCS 2017).
/// A random modulus does so for all primes up to 167 with a probability below 2^-27.
fn has_roca_fingerprint(n: &BigNumRef) -> std::result::Result<bool, ErrorStack> {
    for prime in primes_below(168).skip(1) {
        let residue = n.mod_word(prime)?;
        let (prime, mut power, mut found) = (u64::from(prime), 1, false);
        for _ in 0..prime {
            found |= power == residue;
            power = power * 65537 % prime;
        }
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}

/// For n = p^k (k ≥ 1), p divides 2^n - 2; for a product of two random primes nothing does.
fn is_prime_power(n: &BigNumRef, context: &mut BigNumContext) -> std::result::Result<bool, ErrorStack> {
    let (two, mut power, mut difference, mut common) =
        (BigNum::from_u32(2)?, BigNum::new()?, BigNum::new()?, BigNum::new()?);
    power.mod_exp(&two, n, n, context)?;
    difference.mod_sub(&power, &two, n, context)?;
    common.gcd(&difference, n, context)?;
    Ok(*common != *BigNum::from_u32(1)?)
}

/// Fermat's method: n = a² - b² for a from the root upwards.
fn has_close_primes(n: &BigNumRef, context: &mut BigNumContext) -> std::result::Result<bool, ErrorStack> {
    let mut a = root(n, context)?;
    a.add_word(1)?;
    let (mut square, mut rest) = (BigNum::new()?, BigNum::new()?);
    for _ in 0..FERMAT_ROUNDS {
        square.sqr(&a, context)?;
        rest.checked_sub(&square, n)?;
        if is_square(&rest, context)? {
            return Ok(true);
        }
        a.add_word(1)?;
    }
    Ok(false)
}

fn is_square(n: &BigNumRef, context: &mut BigNumContext) -> std::result::Result<bool, ErrorStack> {
    // Most numbers are no squares modulo small ones already.
    for modulus in [64_u32, 63, 65, 11, 17, 19] {
        let residue = n.mod_word(modulus)?;
        if (0..u64::from(modulus)).all(|x| x * x % u64::from(modulus) != residue) {
            return Ok(false);
        }
    }
    let root = root(n, context)?;
    let mut square = BigNum::new()?;
    square.sqr(&root, context)?;
    Ok(*square == *n)
}

/// The integer square root, by Newton's method from above.
fn root(n: &BigNumRef, context: &mut BigNumContext) -> std::result::Result<BigNum, ErrorStack> {
    if n.num_bits() == 0 {
        return BigNum::new();
    }
    let mut x = BigNum::new()?;
    x.set_bit(n.num_bits() / 2 + 1)?;
    let (mut quotient, mut sum) = (BigNum::new()?, BigNum::new()?);
    loop {
        quotient.checked_div(n, &x, context)?;
        sum.checked_add(&x, &quotient)?;
        quotient.rshift1(&sum)?;
        if quotient >= x {
            return Ok(x);
        }
        std::mem::swap(&mut x, &mut quotient);
    }
}

/// The y coordinates (RFC 8032 §5.1.2, little-endian) of the points whose order divides 8, and their
/// non-canonical spellings; the sign bit does not matter.
fn has_small_order(point: &[u8]) -> bool {
    let mut y = point.to_vec();
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    let y = hex(&y);
    let edge = |low: &str| format!("{low}{}7f", "ff".repeat(30));
    y == "00".repeat(32)
        || y == format!("01{}", "00".repeat(31))
        || y == "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
        || y == "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
        || ["ec", "ed", "ee"].iter().any(|low| y == edge(low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::bn::MsbOption;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;

    fn number(text: &str) -> BigNum {
        BigNum::from_dec_str(text).unwrap()
    }

    fn prime(bits: i32) -> BigNum {
        let mut prime = BigNum::new().unwrap();
        prime.generate_prime(bits, false, None, None).unwrap();
        prime
    }

    fn times(a: &BigNumRef, b: &BigNumRef) -> BigNum {
        let mut product = BigNum::new().unwrap();
        product.checked_mul(a, b, &mut BigNumContext::new().unwrap()).unwrap();
        product
    }

    fn found(n: &BigNumRef) -> Option<Defect> {
        rsa_defect(n, &number("65537")).unwrap()
    }

    #[test]
    fn sound_keys_pass() {
        let rsa = PKey::from_rsa(Rsa::generate(3072).unwrap()).unwrap();
        let group = EcGroup::from_curve_name(Nid::SECP384R1).unwrap();
        let ec = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let ed = PKey::generate_ed25519().unwrap();
        for key in [rsa, ec, ed] {
            check(&PublicKey::from_spki(&key.public_key_to_der().unwrap()).unwrap()).unwrap();
        }
    }

    #[test]
    fn each_rsa_defect_is_found() {
        let (p, q) = (prime(1536), prime(1537));
        let n = times(&p, &q);
        assert_eq!(found(&n), None);
        assert_eq!(found(&times(&prime(1024), &prime(1024))), Some(Defect::Size));
        assert_eq!(rsa_defect(&n, &number("3")).unwrap(), Some(Defect::Exponent));
        assert_eq!(found(&times(&n, &number("2"))), Some(Defect::Even));
        for small in ["3", "751"] {
            assert_eq!(found(&times(&n, &number(small))), Some(Defect::SmallFactor), "{small}");
        }
        assert_eq!(found(&times(&n, &number("757"))), None, "757 is beyond the limit");
        assert_eq!(found(&times(&q, &q)), Some(Defect::PrimePower));
        let third = prime(1025);
        assert_eq!(found(&times(&third, &times(&third, &third))), Some(Defect::PrimePower));
        assert_eq!(found(&prime(3072)), Some(Defect::PrimePower));
    }

    #[test]
    fn close_primes_are_found() {
        let p = prime(1537);
        let mut next = BigNum::new().unwrap();
        next.checked_add(&p, &number("2")).unwrap();
        while !next.is_prime(20, &mut BigNumContext::new().unwrap()).unwrap() {
            next.add_word(2).unwrap();
        }
        assert_eq!(found(&times(&p, &next)), Some(Defect::ClosePrimes));
    }

    #[test]
    fn the_roca_fingerprint_is_found_and_a_near_miss_is_not() {
        // n = 65537^k mod M, where M is the product of the primes 3 to 167, lifted to 3072 bits.
        let mut context = BigNumContext::new().unwrap();
        let mut product = number("1");
        for prime in primes_below(168).skip(1) {
            product = times(&product, &BigNum::from_u32(prime).unwrap());
        }
        let mut power = BigNum::new().unwrap();
        power.mod_exp(&number("65537"), &number("123456789"), &product, &mut context).unwrap();
        let mut n = BigNum::new().unwrap();
        loop {
            let mut factor = BigNum::new().unwrap();
            factor.rand(3072 - product.num_bits(), MsbOption::ONE, false).unwrap();
            n.checked_add(&times(&product, &factor), &power).unwrap();
            let free = |p: u32| n.mod_word(p).unwrap() != 0;
            if n.is_bit_set(0) && n.num_bits() == 3072 && primes_below(SMALL_PRIMES_BELOW).all(free) {
                break;
            }
        }
        assert_eq!(found(&n), Some(Defect::Roca));
        n.add_word(2).unwrap();
        assert!(!has_roca_fingerprint(&n).unwrap());
    }

    #[test]
    fn points_off_the_curve_at_infinity_or_of_small_order_are_refused() {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut spki = key.public_key_to_der().unwrap();
        *spki.last_mut().unwrap() ^= 1;
        let refused = |spki: &[u8]| PublicKey::from_spki(spki).and_then(|key| check(&key)).is_err();
        assert!(refused(&spki), "off the curve");
        let infinity = [&spki[..1], &[0x19], &spki[2..23], &[0x03, 0x02, 0x00, 0x00]].concat();
        assert!(refused(&infinity), "at infinity");
        let other = EcGroup::from_curve_name(Nid::SECP521R1).unwrap();
        let other = PKey::from_ec_key(EcKey::generate(&other).unwrap()).unwrap();
        let other = PublicKey::from_spki(&other.public_key_to_der().unwrap()).unwrap();
        assert_eq!(defect(&other).unwrap(), Some(Defect::Algorithm));
        let mut identity = [0_u8; 32];
        identity[0] = 1;
        let identity = PKey::public_key_from_raw_bytes(&identity, Id::ED25519).unwrap();
        let identity = PublicKey::from_spki(&identity.public_key_to_der().unwrap()).unwrap();
        assert_eq!(defect(&identity).unwrap(), Some(Defect::SmallOrder));
    }

    #[test]
    fn roots_are_exact() {
        let mut context = BigNumContext::new().unwrap();
        for (n, expected) in [("0", "0"), ("1", "1"), ("3", "1"), ("4", "2"), ("99", "9"), ("100", "10"), ("101", "10")]
        {
            assert_eq!(root(&number(n), &mut context).unwrap(), number(expected), "{n}");
        }
    }
}

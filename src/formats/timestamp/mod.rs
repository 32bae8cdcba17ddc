//! Timestamps by RFC 3161 (with RFC 5816): asking for one, and checking what came back.
//!
//! [`Request`] is what is sent; whoever sends it brings the nonce. [`check`] judges a response: status, token, imprint, nonce, age, and everything [`verify_token`] looks at, which is also what a token found in a
//! signed file is judged by later. Every fault has its own code, so that an operator sees whether an authority
//! is broken, misconfigured or not trusted.
//!
//! Whether the authority's certificate leads to a trusted root is asked of a [`ChainCheck`]; [`chain::to_roots`] is one.
//! Nothing here speaks to an authority or waits for one.

use crate::clock::Time;
use crate::error::{Error, Result};
use crate::formats::cms::{AlgorithmId, Certificate, encode_digest};
use crate::formats::tlv::{self, Tlv, malformed, tag};
use crate::model::HashAlgorithm;
use chrono::TimeDelta;

pub mod chain;
mod token;

pub use token::{Token, verify_token};

/// Says whether a certificate, with others that may lead on from it, is trusted at a point in time.
pub type ChainCheck<'a> = dyn Fn(&Certificate, &[Vec<u8>], Time) -> Result<()> + 'a;

/// Largest response that is read, in bytes.
pub const MAX_RESPONSE: usize = 1 << 20;

/// A TimeStampReq (RFC 3161 §2.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    hash: HashAlgorithm,
    imprint: Vec<u8>,
    nonce: Vec<u8>,
}

impl Request {
    /// For a timestamp over `message`, in Authenticode and CMS the SignerInfo's signature value. `nonce` is random.
    ///
    /// # Errors
    /// A bug of the caller's: the nonce has less than 8 bytes, or is all zero.
    pub fn new(hash: HashAlgorithm, message: &[u8], nonce: &[u8]) -> Result<Self> {
        if nonce.len() < 8 || nonce.iter().all(|byte| *byte == 0) {
            return Err(Error::bug("a timestamp request needs a random nonce of at least 8 bytes"));
        }
        Ok(Request { hash, imprint: hash.digest(message), nonce: tlv::unsigned_value(nonce) })
    }

    /// DER, to be sent as `application/timestamp-query`. Asks for the authority's certificates.
    pub fn to_der(&self) -> Vec<u8> {
        let imprint = tlv::seq(&[&encode_digest(self.hash).to_der(), &tlv::wrap(tag::OCTET_STRING, &self.imprint)]);
        let certificates = [tag::BOOLEAN, 1, 0xff];
        tlv::seq(&[&tlv::unsigned(&[1]), &imprint, &tlv::wrap(tag::INTEGER, &self.nonce), &certificates])
    }
}

/// Judges a TimeStampResp to `request`, with the authority's certificate leading to one of `roots` (certificates in DER)
/// at the time it states. `max_skew` bounds how far that time may be from `now`.
///
/// # Errors
/// As [`check_with`], and those of [`chain::to_roots`]'s check.
pub fn check(response: &[u8], request: &Request, roots: &[Vec<u8>], now: Time, max_skew: TimeDelta) -> Result<Token> {
    check_with(response, request, now, max_skew, &*chain::to_roots(roots))
}

/// As [`check`], with another judge of the certificate.
///
/// # Errors
/// `timestamp_too_large`, `malformed_der`; `timestamp_rejected` with the authority's words; `timestamp_no_token`;
/// `timestamp_imprint_mismatch`; `timestamp_nonce_mismatch`; `timestamp_skew`; those of [`verify_token`], and
/// `timestamp_bad_key_usage` also if the purpose is not marked critical (RFC 3161 §2.3).
pub fn check_with(
    response: &[u8],
    request: &Request,
    now: Time,
    max_skew: TimeDelta,
    chain: &ChainCheck<'_>,
) -> Result<Token> {
    let der = token_of(response)?;
    let info = token::TstInfo::of_token(&der)?;
    if info.imprint_algorithm.oid != request.hash.oid() || info.imprint != request.imprint {
        return Err(Error::failed("timestamp_imprint_mismatch", "the timestamp is over something else"));
    }
    if info.nonce.as_deref() != Some(request.nonce.as_slice()) {
        return Err(Error::failed(
            "timestamp_nonce_mismatch",
            "the timestamp answers another request: its nonce differs",
        ));
    }
    if (info.gen_time - now).abs() > max_skew {
        let (stated, now) = (crate::clock::rfc3339(info.gen_time), crate::clock::rfc3339(now));
        return Err(Error::failed("timestamp_skew", format!("the timestamp says {stated}, but it is {now}")));
    }
    let token = token::verify(&der, chain)?;
    if !token.critical_purpose {
        let message = "the authority's certificate does not mark its extended key usage critical";
        return Err(Error::finding("timestamp_bad_key_usage", message));
    }
    Ok(token)
}

/// The token in a TimeStampResp (RFC 3161 §2.4.2) that was granted, without BER's indefinite lengths.
fn token_of(response: &[u8]) -> Result<Vec<u8>> {
    if response.len() > MAX_RESPONSE {
        let message = format!("the timestamp response has {} bytes, more than {MAX_RESPONSE}", response.len());
        return Err(Error::failed("timestamp_too_large", message));
    }
    let der = tlv::definite(response, "TimeStampResp")?;
    if tlv::encoded_len(response, "TimeStampResp")? != response.len() {
        return Err(malformed("TimeStampResp", "has unexpected bytes at its end"));
    }
    let mut outer = Tlv::sequence(&der, "TimeStampResp")?;
    let status = outer.expect(tag::SEQUENCE, "status")?;
    let mut info = status.inside("PKIStatusInfo");
    let code = info.any()?.small("PKIStatusInfo.status")?;
    if code > 1 {
        let message = format!("the timestamp authority refused with status {code}{}", refusal(info));
        return Err(Error::unavailable("timestamp_rejected", message));
    }
    if outer.is_empty() {
        return Err(Error::failed("timestamp_no_token", "the timestamp response has no token"));
    }
    let token = outer.expect(tag::SEQUENCE, "timeStampToken")?.raw.to_vec();
    outer.finish()?;
    Ok(token)
}

/// What the authority says about a refusal: statusString and failInfo, as far as they can be read.
fn refusal(info: tlv::Reader<'_>) -> String {
    let mut text = String::new();
    for part in info.all(2).unwrap_or_default() {
        match part.tag {
            tag::SEQUENCE => {
                for line in part.inside("statusString").all(8).unwrap_or_default() {
                    let line: String = String::from_utf8_lossy(line.value).chars().take(200).collect();
                    text.push_str(&format!(": {}", crate::error::shown(&line)));
                }
            }
            tag::BIT_STRING => {
                let bits = part.value.get(1..).unwrap_or_default().iter().take(4);
                let set = (0u32..).zip(bits).flat_map(|(byte, value)| {
                    (0..8u32).filter(move |bit| value & (0x80 >> bit) != 0).map(move |bit| byte * 8 + bit)
                });
                for bit in set {
                    text.push_str(&format!(" ({})", failure(bit)));
                }
            }
            _ => {}
        }
    }
    text
}

/// PKIFailureInfo (RFC 3161 §2.4.2).
fn failure(bit: u32) -> String {
    match bit {
        0 => "badAlg".into(),
        2 => "badRequest".into(),
        5 => "badDataFormat".into(),
        14 => "timeNotAvailable".into(),
        15 => "unacceptedPolicy".into(),
        16 => "unacceptedExtension".into(),
        17 => "addInfoNotAvailable".into(),
        25 => "systemFailure".into(),
        other => format!("failure {other}"),
    }
}

fn imprint(element: &Tlv<'_>) -> Result<(AlgorithmId, Vec<u8>)> {
    let mut reader = element.inside("MessageImprint");
    let algorithm = AlgorithmId::parse(&reader.any()?)?;
    let digest = reader.expect(tag::OCTET_STRING, "hashedMessage")?.value.to_vec();
    reader.finish()?;
    Ok((algorithm, digest))
}

#[cfg(test)]
mod tests;

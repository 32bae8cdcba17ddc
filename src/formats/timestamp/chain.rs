//! Whom to believe the time: the path from an authority's certificate, over those it brought along, to a trusted root,
//! at the time it states ([`crate::pki::chain`]).
//!
//! An authority's revocation counts backwards unless its key is known to be safe: with an unspecific, superseded or
//! ceased authority the tokens from before stay good; with any other reason, or none given, no token of it is good,
//! since whoever has the key can state any time (RFC 3161 §4).

use super::ChainCheck;
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::formats::cms::Certificate;
use crate::pki::chain::{self, Chain, Eku, Revocation};
use crate::pki::crl::{Crl, Reason};

/// A [`ChainCheck`] that trusts these certificates (DER). Its errors are those of [`chain::ChainError`].
pub fn to_roots(roots: &[Vec<u8>]) -> Box<ChainCheck<'_>> {
    with_crls(roots, &[])
}

/// As [`to_roots`], with what these lists say of the certificates on the way.
pub fn with_crls<'a>(roots: &'a [Vec<u8>], crls: &'a [Crl]) -> Box<ChainCheck<'a>> {
    Box::new(move |leaf: &Certificate, pool: &[Vec<u8>], at: Time| {
        let chain = chain::build(&leaf.der, pool, roots, at, Eku::TimeStamping, Revocation::IfKnown(crls))?;
        not_compromised(&chain, crls)
    })
}

fn not_compromised(chain: &Chain, crls: &[Crl]) -> Result<()> {
    for pair in chain.certificates().windows(2) {
        let [certificate, issuer] = pair else { continue };
        let lists = crls.iter().filter(|crl| crl.covers(certificate) && crl.verify(issuer).is_ok());
        for entry in lists.filter_map(|crl| crl.find(&certificate.fields().serial)) {
            let harmless = matches!(
                entry.reason,
                Some(
                    Reason::Unspecified
                        | Reason::AffiliationChanged
                        | Reason::Superseded
                        | Reason::CessationOfOperation
                )
            );
            if !harmless {
                let reason = entry.reason.map_or_else(|| "no reason given".to_owned(), |reason| reason.to_string());
                let message = format!("{}: revoked ({reason}), so it proves no time", certificate.subject());
                return Err(Error::finding("certificate_revoked", message));
            }
        }
    }
    Ok(())
}

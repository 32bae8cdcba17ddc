//! The way of a list from the CA's signature to the file and the URLs that others read, and what closes the permits of
//! revocations and lists. Nothing counts as published before the file was read back, parsed and verified.

use super::build::LintedCrl;
use super::{Crl, MAX_CRL};
use crate::clock::{Laps, Time, rfc3339};
use crate::crypto::jcs::MAX_INTEGER;
use crate::error::{Error, Result};
use crate::files::safe;
use crate::gate::{Completes, sealed};
use crate::model::{Hash256, Signature, hex};
use crate::pki::asn1;
use crate::pki::certificate::Certificate;
use crate::request::{ConfirmCrl, IssueCrl, NewCrl};
use serde_json::{Value, json};
use std::path::Path;

/// A list that is in its file. Made by [`LintedCrl::publish`] and [`Delivered::found`] only.
#[derive(Clone, Debug)]
pub struct Delivered {
    crl: Crl,
    number: u64,
    next_update: Time,
}

impl LintedCrl {
    /// Assembles the list ([`LintedCrl::assemble`]), puts it into its file, and reads the file as any other would:
    /// it must verify with the CA's certificate and name each of `serials` (INTEGER contents).
    ///
    /// # Errors
    /// As [`LintedCrl::assemble`]; write errors; `crl_read_back` when the file is not what was written.
    pub fn publish(
        &self,
        signature: &Signature,
        path: &Path,
        serials: &[Vec<u8>],
        laps: &mut Laps,
    ) -> Result<Delivered> {
        let made = laps.lap("verify", || self.assemble(signature))?;
        laps.lap("publish", || safe::write_atomic(path, made.der(), 0o644))?;
        laps.lap("read back", || {
            let found = read(path)?.ok_or_else(|| Error::failed("crl_read_back", "the published list is not there"))?;
            if found.der() != made.der() {
                return Err(Error::failed("crl_read_back", "the published list is not the one that was written"));
            }
            Delivered::check(found, self.draft().issuer(), serials)
        })
    }
}

impl Delivered {
    /// The published list, if it is the one that was planned: what a process that was killed behind the writing left.
    ///
    /// # Errors
    /// The file cannot be read; it is the planned one but does not hold.
    pub fn found(path: &Path, issuer: &Certificate, plan: &NewCrl, serials: &[Vec<u8>]) -> Result<Option<Self>> {
        match read(path) {
            Ok(Some(crl)) if Hash256::of(crl.tbs()) == plan.tbs_sha256 => Self::check(crl, issuer, serials).map(Some),
            Ok(_) => Ok(None),
            // Whatever is there instead, it is not the planned list.
            Err(error) if matches!(error.code(), "malformed_der" | "crl_too_large" | "too_large") => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn check(crl: Crl, issuer: &Certificate, serials: &[Vec<u8>]) -> Result<Self> {
        crl.verify(issuer)?;
        crl.check_usable()?;
        if let Some(missing) = serials.iter().find(|serial| crl.find(serial).is_none()) {
            let message = format!("the published list does not name serial {}", hex(missing));
            return Err(Error::failed("crl_read_back", message));
        }
        let number = number(&crl)?.ok_or_else(|| Error::failed("crl_read_back", "the published list has no number"))?;
        let next = crl.next_update().ok_or_else(|| Error::failed("crl_read_back", "the list has no nextUpdate"))?;
        Ok(Delivered { next_update: next.time, number, crl })
    }

    /// The list.
    pub fn crl(&self) -> &Crl {
        &self.crl
    }

    /// cRLNumber.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What outcomes say of it.
    pub(crate) fn value(&self) -> Value {
        json!({
            "number": self.number,
            "sha256": self.crl.sha256(),
            "size": self.crl.der().len(),
            "entries": self.crl.entries().len(),
            "this_update": rfc3339(self.crl.this_update().time),
            "next_update": rfc3339(self.next_update),
        })
    }
}

/// The list in a file; `None` if there is no file.
///
/// # Errors
/// It cannot be read, or is no list.
pub fn read(path: &Path) -> Result<Option<Crl>> {
    match safe::read_bounded(path, MAX_CRL as u64) {
        Ok(der) => Crl::parse(&der).map(Some),
        Err(error) if error.code() == "not_found" => Ok(None),
        Err(error) => Err(error),
    }
}

/// cRLNumber as ours are: small enough for every JSON reader.
///
/// # Errors
/// `crl_number` for one that ours can never follow.
pub fn number(crl: &Crl) -> Result<Option<u64>> {
    let Some(bytes) = crl.number() else { return Ok(None) };
    let digits = asn1::magnitude(&bytes).filter(|digits| digits.len() <= 8);
    let number = digits.map(|digits| digits.iter().fold(0u64, |sum, digit| sum << 8 | u64::from(*digit)));
    let number = number.filter(|number| *number < MAX_INTEGER);
    let refused = || Error::failed("crl_number", format!("cRLNumber {} is none that ours can follow", hex(&bytes)));
    number.map(Some).ok_or_else(refused)
}

impl sealed::Sealed for Delivered {}

impl Completes<IssueCrl> for Delivered {
    fn done(&self) -> Value {
        json!({ "crl": self.value() })
    }
}

/// A list that was fetched from each of its URLs, and is the published one or a newer one of the same CA.
#[derive(Debug)]
pub struct Served {
    fetched: Vec<(String, Hash256)>,
}

impl Served {
    /// Compares what came back from the URLs with the published list.
    ///
    /// # Errors
    /// `Unavailable` `crl_not_served` for an older list; whatever is wrong with one that is no list of this CA.
    pub fn compare(published: &Crl, issuer: &Certificate, fetched: Vec<(String, Vec<u8>)>) -> Result<Self> {
        let mut served = Served { fetched: Vec::new() };
        for (url, der) in fetched {
            let check = || {
                let found = Crl::parse(&der)?;
                if found.der() == published.der() {
                    return Ok(found.sha256());
                }
                found.verify(issuer)?;
                let (theirs, ours) = (number(&found)?, number(published)?);
                if theirs < ours {
                    let number = theirs.map_or("none".to_owned(), |number| number.to_string());
                    let message = format!("an older list (number {number}) is there");
                    return Err(Error::unavailable("crl_not_served", message));
                }
                super::check_successor(published, &found, |_| false).map(|()| found.sha256())
            };
            served.fetched.push((url.clone(), check().map_err(|error| error.about(&url))?));
        }
        Ok(served)
    }
}

impl sealed::Sealed for Served {}

impl Completes<ConfirmCrl> for Served {
    fn done(&self) -> Value {
        let fetched = self.fetched.iter().map(|(url, sha256)| json!({ "url": url, "sha256": sha256 }));
        json!({ "fetched": fetched.collect::<Vec<_>>() })
    }
}

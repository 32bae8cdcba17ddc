//! The entries of a list, read one by one.

use super::reason::Reason;
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::pki::asn1::{self, Elements, Instant, tag};
use crate::pki::certificate::Extension;
use crate::pki::oid;

/// The most entries a CRL may have.
pub const MAX_ENTRIES: usize = 1_000_000;

/// One revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Contents of its serialNumber INTEGER.
    pub serial: Box<[u8]>,
    /// revocationDate.
    pub revocation_date: Instant,
    /// reasonCode; `None` when absent, which means unspecified.
    pub reason: Option<Reason>,
    /// invalidityDate.
    pub invalidity_date: Option<Time>,
}

impl Entry {
    /// From when on the certificate must not be trusted: the earlier of the two dates.
    pub fn effective(&self) -> Time {
        let date = self.revocation_date.time;
        self.invalidity_date.map_or(date, |invalid| invalid.min(date))
    }
}

pub(super) fn parse_entries(list: &[u8], unsupported: &mut Option<String>) -> Result<Vec<Entry>> {
    let (mut elements, mut entries) = (Elements::new(list)?, Vec::new());
    while elements.peek().is_some() {
        if entries.len() == MAX_ENTRIES {
            return Err(Error::failed("crl_too_large", format!("more than {MAX_ENTRIES} entries")));
        }
        let mut inner = elements.enter(tag::SEQUENCE, "revokedCertificate")?;
        let mut entry = Entry {
            serial: inner.integer("userCertificate")?.into(),
            revocation_date: inner.time("revocationDate")?,
            reason: None,
            invalidity_date: None,
        };
        if inner.peek().is_some() {
            for extension in Extension::parse_list(&mut inner)? {
                entry_extension(&mut entry, &extension, unsupported)?;
            }
        }
        inner.end("revokedCertificate")?;
        entries.push(entry);
    }
    Ok(entries)
}

fn entry_extension(entry: &mut Entry, extension: &Extension, unsupported: &mut Option<String>) -> Result<()> {
    let mut value = Elements::new(&extension.value)?;
    match extension.oid {
        oid::REASON_CODE => {
            let code = value.take(tag::ENUMERATED, "reasonCode")?.value;
            let reason = if let [code] = code { Reason::from_code(*code) } else { None };
            entry.reason = Some(reason.ok_or_else(|| asn1::malformed("reasonCode", "not a reason of RFC 5280"))?);
            value.end("reasonCode")
        }
        oid::INVALIDITY_DATE => {
            let date = value.time("invalidityDate")?;
            if date.utc_time {
                return Err(asn1::malformed("invalidityDate", "not a GeneralizedTime"));
            }
            entry.invalidity_date = Some(date.time);
            value.end("invalidityDate")
        }
        other if extension.critical => {
            *unsupported = Some(format!("entry extension {other} is critical and not supported"));
            Ok(())
        }
        _ => Ok(()),
    }
}

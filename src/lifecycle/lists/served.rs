//! Whether a published list is where verifiers look for it: at the URLs that the certificates name. How the file gets
//! there is the publication's matter; that it got there is seen by fetching it.

use crate::error::{Error, Kind, Result};
use crate::gate::Consent;
use crate::http::{Getter, Http, Limits};
use crate::keys::Generation;
use crate::ledger::query;
use crate::model::Hash256;
use crate::pki::crl::delivery::{self, Served};
use crate::pki::crl::{Crl, MAX_CRL};
use crate::published::lists;
use crate::request::ConfirmCrl;
use crate::retry::{Sleeper, Waiter, backoff};
use crate::world::{World, act};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What is known of a list at its URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Its certificates name no URL.
    NoUrl,
    /// It was fetched from each.
    Served,
    /// It was not looked for.
    NotLooked,
}

impl Seen {
    /// A word for results.
    pub fn as_str(self) -> &'static str {
        match self {
            Seen::NoUrl => "no URL",
            Seen::Served => "served",
            Seen::NotLooked => "not looked for",
        }
    }
}

/// Looks for a CA's newest list at its URLs, until it is there or the tries are used up, and records that it is.
///
/// # Errors
/// `crl_changed` when the published file is not the recorded one; `Unavailable` `crl_not_served`.
pub fn confirm(world: &mut World, ca: &Generation, fetch: bool, stop: &Arc<AtomicBool>) -> Result<Seen> {
    let Some(recorded) = query::published_crl(world.ledger.connection(), &ca.id)? else { return Ok(Seen::NoUrl) };
    let path = lists::path(world, &ca.id);
    let crl = delivery::read(&path)?.filter(|crl| crl.sha256() == recorded.sha256).ok_or_else(|| {
        let name = crate::files::shown_path(&path);
        let message = format!("{name} is not the list {} of {} that was published", recorded.number, ca.id);
        Error::finding("crl_changed", message).hint(format!("keyctl crl {} --now", ca.id.key))
    })?;
    let urls = crl.urls()?;
    match (urls.is_empty(), recorded.served, fetch) {
        (true, _, _) => return Ok(Seen::NoUrl),
        (_, Some(_), _) => return Ok(Seen::Served),
        (_, None, false) => return Ok(Seen::NotLooked),
        (_, None, true) => {}
    }
    let http = Http::new(world.globals.clock.clone());
    let served = look(world, ca, &crl, &urls, &http, &Sleeper::new(stop.clone()))?;
    let params = ConfirmCrl { generation: ca.id.clone(), number: recorded.number, sha256: recorded.sha256, urls };
    let request = world.request(ca.id.to_string(), params);
    let permit = act::admit(world, &Consent::of_consequence(), request)?;
    act::close(world, permit, Ok(served))?;
    Ok(Seen::Served)
}

fn look(
    world: &World,
    ca: &Generation,
    crl: &Crl,
    urls: &[String],
    http: &dyn Getter,
    waiter: &dyn Waiter,
) -> Result<Served> {
    let retry = world.config.retry;
    let limits = Limits { timeout: retry.timeout, max_body: MAX_CRL };
    let issuer = lists::certificate(ca)?;
    let once = || {
        let mut fetched = Vec::new();
        for url in urls {
            let answer = http.get(url, "application/pkix-crl", limits);
            let answer = answer.and_then(|answer| answer.accepted().map(|()| answer.body));
            fetched.push((url.clone(), answer.map_err(|error| error.about(url))?));
        }
        Served::compare(crl, &issuer, fetched)
    };
    let mut failures = 0;
    loop {
        let error = match once() {
            Ok(served) => return Ok(served),
            Err(error) => error,
        };
        failures += 1;
        // A file that is on its way there is missing until it arrives.
        let may_come = error.kind() == Kind::Unavailable || error.code() == "http_not_found";
        if !may_come || failures >= retry.max_attempts {
            let message = format!("the list of {} is published here, but not seen at its URL: {}", ca.id, error.full());
            return Err(Error::unavailable("crl_not_served", message).hint(format!(
                "keyctl crl {}, once the file {} is served there",
                ca.id.key,
                Hash256::of(crl.der())
            )));
        }
        world.ui().detail(&format!("{error}; trying again"));
        waiter.wait(backoff(&retry, failures))?;
    }
}

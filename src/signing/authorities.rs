//! Asking for timestamps: an ordered list of authorities, of which the first that gives a good answer is enough.
//!
//! Each authority has its tries and its pauses between them, as domain §4 has it for one service. While one pauses,
//! the next in the list is asked at once, so a dead authority costs a file one failed try and no pause. Two things
//! about an authority are shared by all processes of a workspace, through a file for each: the interval it wants
//! between requests, and the pause it asked for (Retry-After). A circuit breaker, which leaves it alone after failures
//! in a row, is shared by the threads of a batch; another command finds out for itself, since the operator may have
//! mended what was wrong.
//!
//! An answer counts only after [`check_with`] agreed with it. Every fault has its own code and stands in the
//! record of attempts; a fault that another try cannot mend, or that took its time, ends the authority's turn for this file.

use super::artifact::Stamp;
use crate::clock::{Clock, rfc3339};
use crate::error::{Error, Kind, Result, shown};
use crate::files::pace::Pace;
use crate::formats::timestamp::{MAX_RESPONSE, Request, Token, chain, check_with};
use crate::http::{Limits, Poster};
use crate::model::{Hash256, HashAlgorithm, hex};
use crate::retry::{Breaker, Retry, Waiter, backoff};
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How far an authority's time may be from ours.
const MAX_SKEW: TimeDelta = TimeDelta::minutes(5);
/// The longest that the answers of one authority are waited for in all, for one file, whatever the settings allow other
/// services: who does not answer within this time is not going to.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most characters of a fault that the record keeps.
const MAX_DETAIL: usize = 300;
/// Authorities whose operators ask for a pause between scripted requests, by the end of their host name.
const INTERVALS: &[(&str, Duration)] = &[("sectigo.com", Duration::from_secs(15))];

/// What connects to the outside.
pub struct Outside {
    /// Posts the requests.
    pub poster: Box<dyn Poster>,
    /// Lets the pauses go by.
    pub waiter: Box<dyn Waiter>,
    /// What an authority's time is held against.
    pub clock: Clock,
    /// The folder in which the processes of a workspace keep their pace together; without one each keeps its own.
    pub paces: Option<PathBuf>,
}

/// A list of authorities with what is known of their health; threads share it.
pub struct Authorities {
    list: Vec<Authority>,
    roots: Vec<Vec<u8>>,
    retry: Retry,
    outside: Outside,
}

struct Authority {
    url: String,
    interval: Duration,
    health: Mutex<Health>,
    pace: Option<Pace>,
}

/// Moments are those of [`Waiter::elapsed`].
#[derive(Default)]
struct Health {
    breaker: Breaker,
    /// Not to be asked before: its interval, or the pause it asked for.
    not_before: Duration,
}

/// One authority's turn for one file.
struct Turn<'a> {
    authority: &'a Authority,
    tries: u32,
    /// What its answers took.
    spent: Duration,
    not_before: Duration,
    over: bool,
}

/// A failed try.
struct Fault {
    error: Error,
    retry_after: Option<Duration>,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault { error, retry_after: None }
    }
}

impl Authorities {
    /// Authorities asked in this order, whose certificates must lead to one of `roots` (DER).
    ///
    /// # Errors
    /// `no_timestamp_authority`, `no_timestamp_roots` for an empty list.
    pub fn new(urls: &[String], roots: Vec<Vec<u8>>, retry: Retry, outside: Outside) -> Result<Self> {
        if urls.is_empty() {
            return Err(Error::usage("no_timestamp_authority", "there is no timestamp authority to ask"));
        }
        if roots.is_empty() {
            return Err(Error::usage("no_timestamp_roots", "no root certificate says which timestamps to trust"));
        }
        let list = urls.iter().map(|url| Authority {
            url: url.clone(),
            interval: interval(url),
            health: Mutex::default(),
            pace: outside.paces.as_deref().map(|dir| Pace::new(dir, &pace_name(url))),
        });
        Ok(Authorities { list: list.collect(), roots, retry, outside })
    }

    /// The certificates (DER) that are trusted to say the time.
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// A checked token over `message`, with the attempts that led to it.
    ///
    /// # Errors
    /// `no_timestamp` with each authority's reason; `interrupted`.
    fn ask_in_turn(&self, message: &[u8]) -> Result<(Token, &Authority, Vec<Value>)> {
        let turn =
            |authority| Turn { authority, tries: 0, spent: Duration::ZERO, not_before: Duration::ZERO, over: false };
        let mut turns: Vec<_> = self.list.iter().map(turn).collect();
        let mut attempts = Vec::new();
        let mut reasons = Vec::new();
        while let Some((turn, pause)) = self.next(&mut turns)? {
            self.outside.waiter.wait(pause)?;
            let asked = self.outside.waiter.elapsed();
            let answer = self.ask(turn.authority, message);
            turn.spent = turn.spent.saturating_add(self.outside.waiter.elapsed().saturating_sub(asked));
            attempts.push(attempt(turn.authority, &answer));
            match answer {
                Ok(token) => {
                    turn.authority.health().breaker.succeeded();
                    return Ok((token, turn.authority, attempts));
                }
                Err(fault) => {
                    reasons.retain(|(url, _)| *url != turn.authority.url);
                    reasons.push((turn.authority.url.clone(), fault.error.full()));
                    self.failed(turn, &fault)?;
                }
            }
        }
        Err(self.none(&reasons))
    }

    /// Whose turn it is, and how long until then: whoever can be asked first, in the order of the list. Takes the
    /// authority's next free moment, so that no other thread or process does.
    fn next<'a, 'b>(&self, turns: &'b mut [Turn<'a>]) -> Result<Option<(&'b mut Turn<'a>, Duration)>> {
        loop {
            let now = self.outside.waiter.elapsed();
            let mut best: Option<(usize, Duration)> = None;
            for (index, turn) in turns.iter().enumerate().filter(|(_, turn)| !turn.over) {
                let Some(free) = turn.authority.free(now)? else { continue };
                let ready = free.max(turn.not_before);
                if best.is_none_or(|(_, earlier)| ready < earlier) {
                    best = Some((index, ready));
                }
            }
            let Some((index, ready)) = best else { return Ok(None) };
            let Some(authority) = turns.get(index).map(|turn| turn.authority) else { return Ok(None) };
            // Where somebody was quicker, all are looked at again: another may be free sooner now.
            if authority.take(&self.retry, now, ready)? {
                return Ok(turns.get_mut(index).map(|turn| (turn, ready.saturating_sub(now))));
            }
        }
    }

    /// Another try may help a transient fault, unless the authority wants to be left alone for longer than a circuit
    /// breaker would stay open.
    fn failed(&self, turn: &mut Turn<'_>, fault: &Fault) -> Result<()> {
        let now = self.outside.waiter.elapsed();
        let mut health = turn.authority.health();
        health.breaker.failed(&self.retry, now);
        turn.tries = turn.tries.saturating_add(1);
        let asked = fault.retry_after.unwrap_or_default();
        let bounded = asked.min(self.retry.circuit_breaker_pause);
        let until = now.saturating_add(bounded);
        health.not_before = health.not_before.max(until);
        drop(health);
        turn.not_before = now.saturating_add(backoff(&self.retry, turn.tries));
        // Another try of who hangs would cost as much again.
        let hangs = turn.spent >= PATIENCE;
        let again = fault.error.kind() == Kind::Unavailable && !hangs && asked <= bounded;
        turn.over = !again || turn.tries >= self.retry.max_attempts;
        match &turn.authority.pace {
            Some(pace) if !bounded.is_zero() => pace.put_off(now, until),
            _ => Ok(()),
        }
    }

    fn ask(&self, authority: &Authority, message: &[u8]) -> Result<Token, Fault> {
        let mut nonce = [0; 8];
        let random =
            |error| Error::failed("no_randomness", "the operating system gives no random bytes").because(error);
        getrandom::fill(&mut nonce).map_err(random)?;
        // As an INTEGER it always has the same length, and so has the token that repeats it: a file that is signed
        // again does not change its size by chance. 62 random bits are left.
        if let Some(first) = nonce.first_mut() {
            *first = *first & 0x3f | 0x40;
        }
        let request = Request::new(HashAlgorithm::Sha256, message, &nonce)?;
        let limits = Limits { timeout: self.retry.timeout.min(PATIENCE), max_body: MAX_RESPONSE };
        let (query, reply) = ("application/timestamp-query", "application/timestamp-reply");
        let answer = self.outside.poster.post(&authority.url, query, reply, &request.to_der(), limits)?;
        answer.accepted().map_err(|error| Fault { error, retry_after: answer.retry_after })?;
        if answer.content_type.as_deref() != Some(reply) {
            let found = answer.content_type.as_deref().unwrap_or("nothing");
            let message = format!("the answer is {found}, not {reply}");
            return Err(Error::failed("timestamp_wrong_type", message).into());
        }
        let now = self.outside.clock.now();
        Ok(check_with(&answer.body, &request, now, MAX_SKEW, &*chain::to_roots(&self.roots))?)
    }

    fn none(&self, reasons: &[(String, String)]) -> Error {
        let now = self.outside.waiter.elapsed();
        let mut words: Vec<_> = reasons.iter().map(|(url, why)| format!("{url}: {why}")).collect();
        for authority in self.list.iter().filter(|authority| !reasons.iter().any(|(url, _)| *url == authority.url)) {
            let left = authority.health().breaker.open_until(now).unwrap_or(now).saturating_sub(now);
            words.push(format!(
                "{}: not asked for another {} s, since it failed several times in a row",
                authority.url,
                left.as_secs()
            ));
        }
        Error::unavailable("no_timestamp", format!("no authority gave a good timestamp: {}", words.join("; ")))
            .hint("try again later, or name other authorities with --timestamp URL")
    }
}

impl Stamp for Authorities {
    fn stamp(&self, signature_value: &[u8]) -> Result<(Vec<u8>, Value)> {
        let (token, authority, attempts) = self.ask_in_turn(signature_value)?;
        let said = json!({
            "authority": authority.url,
            "time": rfc3339(token.gen_time),
            "serial": token.serial,
            "tsa_subject": shown(&token.tsa_subject),
            "policy": token.policy.to_string(),
            "attempts": attempts,
        });
        Ok((token.der, said))
    }
}

impl Authority {
    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        // A thread that panicked left whole values behind: each is set in one step.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first moment from `now` on at which it may be asked; none while it is left alone.
    fn free(&self, now: Duration) -> Result<Option<Duration>> {
        let health = self.health();
        if health.breaker.open_until(now).is_some() {
            return Ok(None);
        }
        let own = health.not_before.max(now);
        drop(health);
        let common = self.pace.as_ref().map_or(Ok(Duration::ZERO), |pace| pace.not_before(now))?;
        Ok(Some(own.max(common)))
    }

    /// Takes a moment that was free, and the authority's interval behind it; `false` if somebody was quicker.
    fn take(&self, retry: &Retry, now: Duration, ready: Duration) -> Result<bool> {
        let mut health = self.health();
        let until = ready.saturating_add(self.interval);
        let is_free = health.not_before <= ready
            && match &self.pace {
                Some(pace) if !self.interval.is_zero() => pace.take(now, ready, until)?,
                _ => true,
            };
        if is_free {
            health.not_before = until;
            health.breaker.begin(retry, now);
        }
        Ok(is_free)
    }
}

/// The name of the file that keeps an authority's pace. The URL itself may be long, and is nobody's business.
fn pace_name(url: &str) -> String {
    format!("tsa-{}", hex(Hash256::of(url.as_bytes()).0.get(..16).unwrap_or_default()))
}

/// What evidence says of one try.
fn attempt(authority: &Authority, answer: &Result<Token, Fault>) -> Value {
    match answer {
        Ok(_) => json!({ "authority": authority.url, "code": "granted" }),
        Err(Fault { error, .. }) => json!({
            "authority": authority.url,
            "code": error.code(),
            "error_class": error.kind().class(),
            "detail": shown(&error.full()).chars().take(MAX_DETAIL).collect::<String>(),
        }),
    }
}

fn interval(url: &str) -> Duration {
    let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', ':', '?']).next()).unwrap_or_default();
    let host = host.to_ascii_lowercase();
    let wants = |(name, _): &&(&str, Duration)| host == *name || host.ends_with(&format!(".{name}"));
    INTERVALS.iter().find(wants).map_or(Duration::ZERO, |(_, interval)| *interval)
}

#[cfg(test)]
mod tests;

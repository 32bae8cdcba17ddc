//! The one clock, how times are written, and how long stages of work take. Everything that needs the time is given a
//! [`Clock`]; nothing else reads the system's. What a time means (an age, a validity, a deadline) is said elsewhere.

use chrono::{DateTime, SecondsFormat, SubsecRound, TimeDelta, Utc};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A point in time, UTC, with whole seconds.
pub type Time = DateTime<Utc>;

/// Where the time comes from: the system, or a clock that tests turn by hand.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Clock(Source::System)
    }

    /// A clock that stands at `start` until it is turned.
    pub fn manual(start: Time) -> Self {
        Clock(Source::Manual(Arc::new(AtomicI64::new(start.timestamp()))))
    }

    /// The current time, cut to whole seconds.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
    pub fn now(&self) -> Time {
        match &self.0 {
            Source::System => Utc::now().trunc_subsecs(0),
            Source::Manual(seconds) => DateTime::from_timestamp(seconds.load(Ordering::SeqCst), 0).unwrap_or_default(),
        }
    }

    /// Turns a manual clock forward (or back); does nothing to the system's.
    pub fn turn(&self, by: TimeDelta) {
        if let Source::Manual(seconds) = &self.0 {
            seconds.fetch_add(by.num_seconds(), Ordering::SeqCst);
        }
    }
}

/// Time since the machine was started, sleep included. It never goes back and all processes have it in common; it tells
/// how long something lasts, not what time it is.
pub fn since_start() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.try_into().unwrap_or_default()
}

/// How long the stages of some work took, in the order in which they came. Only ever shown, never decided on.
#[derive(Clone, Debug, Default)]
pub struct Laps(Vec<(&'static str, Duration)>);

impl Laps {
    /// Does a stage of the work, and counts its time.
    pub fn lap<R>(&mut self, stage: &'static str, work: impl FnOnce() -> R) -> R {
        let start = since_start();
        let done = work();
        self.count(stage, since_start().saturating_sub(start));
        done
    }

    /// Adds what other work took, in another thread perhaps.
    pub fn add(&mut self, other: &Laps) {
        other.0.iter().for_each(|(stage, time)| self.count(stage, *time));
    }

    fn count(&mut self, stage: &'static str, time: Duration) {
        match self.0.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, sum)) => *sum = sum.saturating_add(time),
            None => self.0.push((stage, time)),
        }
    }
}

impl fmt::Display for Laps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> =
            self.0.iter().map(|(stage, time)| format!("{stage} {:.1}", time.as_secs_f64() * 1e3)).collect();
        write!(f, "{} ms", parts.join(", "))
    }
}

/// RFC 3339 with `Z` and whole seconds, the form used in every JSON that leaves the program.
pub fn rfc3339(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Parses RFC 3339 with any offset (domain §2) and gives UTC.
pub fn parse(text: &str) -> Option<Time> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc).trunc_subsecs(0))
}

/// `#[serde(with = "clock::serde_rfc3339")]` for [`Time`] fields.
pub mod serde_rfc3339 {
    use super::{Time, parse, rfc3339};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes the form of [`rfc3339`].
    pub fn serialize<S: Serializer>(time: &Time, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&rfc3339(*time))
    }

    /// Reads what [`parse`] takes.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
        let text = String::deserialize(d)?;
        parse(&text).ok_or_else(|| D::Error::custom(format!("not an RFC 3339 time: {text:?}")))
    }
}

/// `#[serde(with = "clock::serde_rfc3339_option", default, skip_serializing_if = "Option::is_none")]` for times that
/// older records do not have.
pub mod serde_rfc3339_option {
    use super::{Time, serde_rfc3339};
    use serde::{Deserializer, Serializer};

    /// Writes the form of [`super::rfc3339`], or null.
    pub fn serialize<S: Serializer>(time: &Option<Time>, s: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serde_rfc3339::serialize(time, s),
            None => s.serialize_none(),
        }
    }

    /// Reads what [`super::parse`] takes; null is refused, since an absent time is left out.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Time>, D::Error> {
        serde_rfc3339::deserialize(d).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laps_of_one_stage_are_summed_in_the_order_of_their_first() {
        let (mut one, mut other) = (Laps::default(), Laps::default());
        assert_eq!(one.lap("read", || 7), 7);
        one.0 = vec![("read", Duration::from_millis(2)), ("sign", Duration::from_micros(1500))];
        other.0 = vec![("place", Duration::ZERO), ("read", Duration::from_millis(3))];
        one.add(&other);
        assert_eq!(one.to_string(), "read 5.0, sign 1.5, place 0.0 ms");
    }

    #[test]
    fn the_time_since_the_start_goes_forward_only() {
        let first = since_start();
        assert!(first > Duration::ZERO && since_start() >= first);
    }
}

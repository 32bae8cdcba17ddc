//! Trying again (domain §4): how long to pause after a failure, when to leave a service alone for a while, and the one
//! way to let time go by, which ends when the operator interrupts. It knows no service and makes no call itself. What may
//! be tried again at all is decided where the call is made: a signature never is.

use crate::clock;
pub use crate::config::Retry;
use crate::error::{Error, Kind, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Lets time go by. Tests put one in its place that does not wait.
pub trait Waiter: Send + Sync {
    /// Time since some fixed moment, the same for all processes; it never goes back, whatever happens to the clock on the
    /// wall.
    fn elapsed(&self) -> Duration;

    /// Pauses.
    ///
    /// # Errors
    /// `interrupted`.
    fn wait(&self, pause: Duration) -> Result<()>;
}

/// The real one: sleeps, and wakes when a flag becomes true.
pub struct Sleeper {
    stop: Arc<AtomicBool>,
}

impl Sleeper {
    /// Wakes by this flag.
    pub fn new(stop: Arc<AtomicBool>) -> Self {
        Sleeper { stop }
    }
}

impl Waiter for Sleeper {
    fn elapsed(&self) -> Duration {
        clock::since_start()
    }

    fn wait(&self, pause: Duration) -> Result<()> {
        const SLICE: Duration = Duration::from_millis(50);
        let until = self.elapsed().saturating_add(pause);
        loop {
            if self.stop.load(Ordering::SeqCst) {
                return Err(Error::new(Kind::Interrupted, "interrupted", "interrupted while waiting"));
            }
            match until.saturating_sub(self.elapsed()) {
                Duration::ZERO => return Ok(()),
                left => std::thread::sleep(left.min(SLICE)),
            }
        }
    }
}

/// The pause after the given number of failures: base, then twice as long each time, up to the longest.
pub fn backoff(retry: &Retry, failures: u32) -> Duration {
    let doubled = 2u32.checked_pow(failures.saturating_sub(1)).and_then(|factor| retry.base.checked_mul(factor));
    doubled.map_or(retry.max_backoff, |pause| pause.min(retry.max_backoff))
}

/// A circuit breaker: after so many failures in a row a service is left alone; then one call may try, and its end
/// decides. Moments are those of [`Waiter::elapsed`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    open_until: Option<Duration>,
}

impl Breaker {
    /// Until when the service is to be left alone, if it is.
    pub fn open_until(&self, now: Duration) -> Option<Duration> {
        self.open_until.filter(|until| now < *until)
    }

    /// A call begins. After a pause it is the one that tries; for others the breaker stays open meanwhile.
    pub fn begin(&mut self, retry: &Retry, now: Duration) {
        if self.open_until.is_some() {
            self.open_until = Some(now.saturating_add(retry.circuit_breaker_pause));
        }
    }

    /// A call went well.
    pub fn succeeded(&mut self) {
        *self = Breaker::default();
    }

    /// A call failed.
    pub fn failed(&mut self, retry: &Retry, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= retry.circuit_breaker_threshold {
            self.open_until = Some(now.saturating_add(retry.circuit_breaker_pause));
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use std::sync::Mutex;

    /// Time that goes by only when somebody waits; remembers the pauses. Interrupts in place of the pause with the
    /// given number.
    #[derive(Clone, Default)]
    pub struct Hourglass {
        pub pauses: Arc<Mutex<Vec<Duration>>>,
        pub interrupt_at: Option<usize>,
    }

    impl Hourglass {
        pub fn seconds(&self) -> Vec<u64> {
            self.pauses.lock().unwrap().iter().map(Duration::as_secs).collect()
        }
    }

    impl Waiter for Hourglass {
        fn elapsed(&self) -> Duration {
            self.pauses.lock().unwrap().iter().sum()
        }

        fn wait(&self, pause: Duration) -> Result<()> {
            let mut pauses = self.pauses.lock().unwrap();
            if self.interrupt_at == Some(pauses.len()) {
                return Err(Error::new(Kind::Interrupted, "interrupted", "interrupted while waiting"));
            }
            if !pause.is_zero() {
                pauses.push(pause);
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let retry = Retry::default();
        let pauses: Vec<_> = (1..=6).map(|n| backoff(&retry, n).as_secs()).collect();
        assert_eq!(pauses, [4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff(&retry, u32::MAX).as_secs(), 60);
    }

    #[test]
    fn a_breaker_lets_one_call_try_after_its_pause() {
        let retry = Retry::default();
        let at = Duration::from_secs;
        let mut breaker = Breaker::default();
        for second in 0..4 {
            breaker.failed(&retry, at(second));
            assert_eq!(breaker.open_until(at(second)), None);
        }
        breaker.failed(&retry, at(4));
        assert_eq!(breaker.open_until(at(4)), Some(at(304)));
        assert_eq!(breaker.open_until(at(304)), None);
        breaker.begin(&retry, at(304));
        assert_eq!(breaker.open_until(at(305)), Some(at(604)), "others wait for the one that tries");
        breaker.failed(&retry, at(310));
        assert_eq!(breaker.open_until(at(311)), Some(at(610)), "one failure is enough now");
        breaker.begin(&retry, at(611));
        breaker.succeeded();
        breaker.begin(&retry, at(612));
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn a_sleeper_wakes_when_interrupted() {
        let stop = Arc::new(AtomicBool::new(false));
        let sleeper = Sleeper::new(stop.clone());
        sleeper.wait(Duration::from_millis(1)).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| sleeper.wait(Duration::from_secs(3600)));
            stop.store(true, Ordering::SeqCst);
            assert_eq!(waiting.join().unwrap().unwrap_err().kind(), Kind::Interrupted);
        });
    }
}

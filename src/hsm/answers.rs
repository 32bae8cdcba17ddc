//! Answers that are asked for once, whoever asks.
//!
//! Whoever comes first with a name asks; who comes with the same name meanwhile waits for that answer and takes it,
//! whatever it is. Nobody waits for the answer to another name, however long it takes. Which answers hold for the rest of
//! the process is said once; the others are forgotten, and the next one to come asks again.

use super::fault::Fault;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

type Answer<V> = Result<V, Fault>;
type Places<K, V> = BTreeMap<K, Arc<OnceLock<Answer<V>>>>;

/// What was answered, by name.
pub(super) struct Answers<K, V> {
    places: Mutex<Places<K, V>>,
    lasts: fn(&Answer<V>) -> bool,
}

impl<K: Ord + Clone, V: Clone> Answers<K, V> {
    /// None yet. `lasts` says which of them will hold for the rest of the process.
    pub fn new(lasts: fn(&Answer<V>) -> bool) -> Self {
        Answers { places: Mutex::default(), lasts }
    }

    /// The answer that was given to this name and lasts.
    pub fn given(&self, name: &K) -> Option<Answer<V>> {
        self.places().get(name)?.get().filter(|answer| (self.lasts)(answer)).cloned()
    }

    /// The answer to this name: the one that was given, else the one that somebody is waiting for, else that of `ask`.
    pub fn get(&self, name: &K, ask: impl FnOnce() -> Answer<V>) -> Answer<V> {
        // Only the name's own place is held while `ask` runs.
        let place = Arc::clone(self.places().entry(name.clone()).or_default());
        let answer = place.get_or_init(ask).clone();
        if !(self.lasts)(&answer) {
            self.forget(name, &place);
        }
        answer
    }

    /// Gives up this place, unless the name has another by now.
    fn forget(&self, name: &K, place: &Arc<OnceLock<Answer<V>>>) {
        let mut places = self.places();
        if places.get(name).is_some_and(|now| Arc::ptr_eq(now, place)) {
            places.remove(name);
        }
    }

    fn places(&self) -> MutexGuard<'_, Places<K, V>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hsm::fault::{Outage, Refusal};
    use crossbeam_channel::bounded;
    use std::thread;

    fn answers() -> Answers<&'static str, u8> {
        Answers::new(|answer| matches!(answer, Ok(_) | Err(Fault::Refusal(..))))
    }

    #[test]
    fn nobody_waits_for_another_name() {
        let answers = answers();
        let (begun, begins) = bounded(1);
        let (release, released) = bounded(1);
        thread::scope(|scope| {
            let slow = scope.spawn(|| {
                answers.get(&"slow", || {
                    begun.send(()).unwrap();
                    released.recv().unwrap();
                    Ok(1)
                })
            });
            begins.recv().unwrap();
            assert_eq!(answers.get(&"quick", || Ok(2)).unwrap(), 2);
            assert!(answers.given(&"slow").is_none(), "looking waits for nobody either");
            release.send(()).unwrap();
            assert_eq!(slow.join().unwrap().unwrap(), 1);
        });
        assert_eq!(answers.given(&"slow").unwrap().unwrap(), 1);
    }

    #[test]
    fn one_asks_and_all_who_wait_take_the_answer() {
        let answers = answers();
        let asked = Mutex::new(0);
        let together = std::sync::Barrier::new(4);
        let ask = || {
            *asked.lock().unwrap() += 1;
            Err(Fault::refusal(Refusal::WrongPin, "refused"))
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    together.wait();
                    assert_eq!(answers.get(&"token", ask).unwrap_err().code(), "wrong_pin");
                });
            }
        });
        assert_eq!(*asked.lock().unwrap(), 1);
    }

    #[test]
    fn an_answer_that_does_not_last_is_asked_for_again() {
        let answers = answers();
        let gone = || Err(Fault::outage(Outage::Gone, "not there"));
        assert_eq!(answers.get(&"token", gone).unwrap_err().code(), "token_gone");
        assert!(answers.given(&"token").is_none());
        assert_eq!(answers.get(&"token", || Ok(1)).unwrap(), 1);
        assert_eq!(answers.get(&"token", gone).unwrap(), 1);
    }
}

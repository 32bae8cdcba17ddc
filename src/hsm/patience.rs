//! Asking a token again that could not be used just now (domain §4), everywhere in the same way: as often as the settings
//! say, with growing pauses. Only what surely had no effect is asked again, and never what was refused: a PIN above all.

use super::fault::{Fault, Outage};
use crate::error::Result;
use crate::model::HsmName;
use crate::retry::{Retry, Waiter, backoff};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// How a pause is had; asked for when the first one is due.
type Pauses = fn() -> Result<Box<dyn Waiter>>;

/// How tokens are asked again.
pub struct Patience {
    retry: Retry,
    pauses: Option<Pauses>,
    say: Box<dyn Fn(&str) + Send + Sync>,
    /// Tokens that stayed away through all tries: for the rest of the process, one try is enough.
    spent: Mutex<BTreeSet<HsmName>>,
}

impl Patience {
    /// As the settings say; `say` tells the operator what is waited for.
    pub fn new(retry: Retry, pauses: Pauses, say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Patience { retry, pauses: Some(pauses), say: Box::new(say), spent: Mutex::default() }
    }

    /// One try only.
    pub fn none() -> Self {
        Patience { retry: Retry::default(), pauses: None, say: Box::new(|_| {}), spent: Mutex::default() }
    }

    /// Asks until there is an answer that another try would not change.
    ///
    /// # Errors
    /// The last fault; `interrupted` in a pause.
    pub(in crate::hsm) fn ask<T>(
        &self,
        name: &HsmName,
        mut once: impl FnMut() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut failures = 0u32;
        loop {
            let fault = match once() {
                Err(fault) if fault.is_transient() => fault,
                answer => return answer,
            };
            failures = failures.saturating_add(1);
            let Some(pauses) = self.pauses.filter(|_| !self.is_spent(name)) else { return Err(fault) };
            if failures >= self.retry.max_attempts {
                self.spent.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
                return Err(fault);
            }
            let pause = backoff(&self.retry, failures);
            (self.say)(&format!("{fault}; trying again in {} s", pause.as_secs()));
            if pauses().and_then(|waiter| waiter.wait(pause)).is_err() {
                return Err(Fault::outage(Outage::Interrupted, "interrupted while waiting for a token"));
            }
        }
    }

    fn is_spent(&self, name: &HsmName) -> bool {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};
    use crate::hsm::fault::Refusal;
    use crate::retry::testing::Hourglass;
    use cryptoki::context::Function;
    use cryptoki::error::RvError;

    fn patience(pauses: Pauses) -> Patience {
        Patience::new(Retry::default(), pauses, |_| {})
    }

    /// How often a token that always answers so is asked.
    fn tries(patience: &Patience, function: Function, value: RvError) -> (usize, Fault) {
        let mut tries = 0;
        let fault = patience.ask::<()>(&"hsm".parse().unwrap(), || {
            tries += 1;
            Err(Fault::returned(function, value))
        });
        (tries, fault.unwrap_err())
    }

    #[test]
    fn what_is_transient_is_asked_five_times_and_only_if_it_had_no_effect() {
        use RvError::*;
        let waits: Pauses = || Ok(Box::new(Hourglass::default()));
        for value in
            [DeviceError, TokenNotPresent, DeviceRemoved, SessionHandleInvalid, SessionCount, DeviceMemory, HostMemory]
        {
            assert_eq!(tries(&patience(waits), Function::SignInit, value).0, 5, "{value:?}");
        }
        for value in
            [PinIncorrect, PinLocked, MechanismInvalid, ArgumentsBad, KeyFunctionNotPermitted, ActionProhibited]
        {
            assert_eq!(tries(&patience(waits), Function::Login, value).0, 1, "{value:?}");
        }
        for function in [Function::Sign, Function::GenerateKeyPair, Function::DestroyObject] {
            assert_eq!(tries(&patience(waits), function, DeviceError).0, 1, "{function:?} may have been done");
        }
        assert_eq!(tries(&Patience::none(), Function::SignInit, DeviceError).0, 1);
        let refused = Fault::refusal(Refusal::Refused, "no");
        assert!(!refused.is_transient());
    }

    #[test]
    fn a_token_that_stays_away_costs_its_pauses_once() {
        let patience = patience(|| Ok(Box::new(Hourglass::default())));
        assert_eq!(tries(&patience, Function::OpenSession, RvError::TokenNotPresent).0, 5);
        assert_eq!(tries(&patience, Function::OpenSession, RvError::TokenNotPresent).0, 1);
    }

    #[test]
    fn an_interruption_ends_the_waiting() {
        let patience = patience(|| Ok(Box::new(Hourglass { interrupt_at: Some(0), ..Hourglass::default() })));
        let (tries, fault) = tries(&patience, Function::SignInit, RvError::DeviceError);
        assert_eq!((tries, Error::from(fault).kind()), (1, Kind::Interrupted));
    }
}

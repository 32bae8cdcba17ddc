//! Worker threads, one per session.
//!
//! A module may hang, and a PKCS#11 session may be used by one thread at a time. So each session belongs
//! to a thread of its own, which takes jobs from a channel and sends plain data back. Handles are not
//! `Send`, so the compiler keeps them inside.
//!
//! The caller waits until a deadline. A call that is late is *given up*: if it had not reached the effect
//! it was for (`C_Sign`, `C_GenerateKeyPair`, `C_DestroyObject`), it is stopped from ever doing so; if it
//! had, its fault says that the effect is unknown. In both cases the token counts as hung and every
//! later call fails at once.
//!
//! When a session dies (token reset, network gone), its worker opens a new one, makes sure it is the
//! same token, logs in if the login died too, and finds its keys again; then the call is tried once
//! more, but only if it had no effect yet. After a PIN error nothing is tried again, by anyone.

use super::fault::{Fault, Outage, Refusal};
use super::module::Module;
use super::object::Located;
use super::pin::Pin;
use super::raw::TokenFacts;
use crate::model::{CkaId, SpkiHash};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use cryptoki::context::Function;
use cryptoki::error::RvError;
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki_sys::{CK_FLAGS, CK_SLOT_ID, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED, CKF_WRITE_PROTECTED};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a dropped token waits for its sessions to close.
const FAREWELL: Duration = Duration::from_secs(2);

/// Who is logged in.
#[derive(Clone, Debug)]
pub(super) enum Login {
    /// Nobody: public objects only.
    Nobody,
    /// The user, with this PIN; `None` when the token asks by its own keypad.
    User(Option<Pin>),
}

/// What the workers of one token share.
pub(super) struct Shared {
    pub module: Arc<Module>,
    pub label: String,
    pub serial: String,
    /// The slot, which may change when the token comes back.
    pub slot: AtomicU64,
    /// The builtin module, whose slot never changes.
    pub builtin: bool,
    pub login: Login,
    /// The first fault that ends all use of the token in this process.
    pub fatal: OnceLock<Fault>,
    /// Raised when every session must be given up, with the copies of keys in it.
    epoch: AtomicU64,
    /// Held while a session is opened, so that one worker logs in for all.
    opening: Mutex<()>,
}

impl Shared {
    pub fn new(module: Arc<Module>, facts: &TokenFacts, slot: CK_SLOT_ID, builtin: bool, login: Login) -> Self {
        Shared {
            module,
            label: facts.label.clone(),
            serial: facts.serial.clone(),
            slot: AtomicU64::new(slot),
            builtin,
            login,
            fatal: OnceLock::new(),
            epoch: AtomicU64::new(0),
            opening: Mutex::new(()),
        }
    }

    /// The slot as a number of the module.
    pub fn slot(&self) -> CK_SLOT_ID {
        self.slot.load(Ordering::SeqCst)
    }

    /// Has every worker open a new session before its next job.
    pub fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    fn end(&self, fault: &Fault) {
        // A second fatal fault adds nothing.
        let _ = self.fatal.set(fault.clone());
    }

    /// The token's facts, after making sure that it is still the one that was opened.
    fn identify(&self) -> Result<TokenFacts, Fault> {
        let functions = &self.module.functions;
        let slots = functions.slots()?;
        let current = self.slot();
        let here = if slots.contains(&current) { Some(functions.token(current)?) } else { None };
        if let Some(facts) = here.as_ref().filter(|facts| self.is_ours(facts)) {
            return Ok(facts.clone());
        }
        if !self.builtin {
            for slot in slots.into_iter().filter(|slot| *slot != current) {
                let Ok(facts) = functions.token(slot) else { continue };
                if self.is_ours(&facts) {
                    self.slot.store(slot, Ordering::SeqCst);
                    return Ok(facts);
                }
            }
        }
        match here {
            None => Err(Fault::outage(Outage::Gone, "the token is not there any more")),
            Some(other) => {
                let message = format!("another token answers, with serial {}", crate::error::shown(&other.serial));
                Err(Fault::refusal(Refusal::WrongToken, message))
            }
        }
    }

    fn is_ours(&self, facts: &TokenFacts) -> bool {
        facts.label == self.label && facts.serial == self.serial
    }
}

/// How far a job has come; the caller may give it up only before it is sent.
pub(super) struct Flight(AtomicU8);

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const SENT: u8 = 2;
const GIVEN_UP: u8 = 3;

impl Flight {
    fn step(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// To be asked immediately before a call that has an effect.
    ///
    /// # Errors
    /// The caller has given up; the call must not be made.
    pub fn send(&self) -> Result<(), Fault> {
        if self.step(RUNNING, SENT) { Ok(()) } else { Err(Fault::outage(Outage::TimedOut, "the caller has given up")) }
    }

    /// The call that was sent surely had no effect.
    pub fn land(&self) {
        self.step(SENT, RUNNING);
    }

    fn was_sent(&self) -> bool {
        self.0.load(Ordering::SeqCst) == SENT
    }
}

/// What a worker has at hand: its session and the keys it found in it.
pub(super) struct Seat {
    pub shared: Arc<Shared>,
    session: Option<Session>,
    pub located: HashMap<(CkaId, SpkiHash), Located>,
    epoch: u64,
}

impl Seat {
    /// The open session.
    pub fn session(&self) -> Result<&Session, Fault> {
        self.session.as_ref().ok_or_else(|| Fault::outage(Outage::SessionLost, "no session is open"))
    }

    /// The module's checked functions.
    pub fn functions(&self) -> &super::raw::Functions {
        &self.shared.module.functions
    }

    /// Gives the session up, with everything that was found in it.
    pub fn reset(&mut self) {
        self.located.clear();
        self.session = None;
    }

    /// Opens the session and logs in, unless that is done.
    fn open(&mut self) -> Result<(), Fault> {
        let shared = Arc::clone(&self.shared);
        let epoch = shared.epoch.load(Ordering::SeqCst);
        if self.session.is_some() && self.epoch == epoch {
            return Ok(());
        }
        self.reset();
        self.epoch = epoch;
        let _one_at_a_time = shared.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fault) = shared.fatal.get() {
            return Err(fault.clone());
        }
        let facts = shared.identify()?;
        let slot = Slot::try_from(shared.slot())?;
        let read_only = facts.flags & CKF_WRITE_PROTECTED != 0;
        let context = &shared.module.context;
        let session = if read_only { context.open_ro_session(slot)? } else { context.open_rw_session(slot)? };
        if let Login::User(pin) = &shared.login {
            log_in(&session, pin.as_ref(), facts.flags)?;
        }
        self.session = Some(session);
        Ok(())
    }

    /// Runs a job: once, and once more if the session was dead and nothing had happened yet.
    fn run<T>(
        &mut self,
        flight: &Flight,
        op: &mut dyn FnMut(&mut Seat, &Flight) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut attempt = |seat: &mut Seat| {
            let result = seat.open().map_err(Fault::opening).and_then(|()| op(seat, flight));
            if let Err(fault) = &result {
                seat.digest(fault);
            }
            result
        };
        match attempt(self) {
            Err(fault) if fault.lost_session() && !flight.was_sent() => attempt(self),
            result => result,
        }
    }

    /// Draws the consequences of a fault: for the session, or for the whole token.
    fn digest(&mut self, fault: &Fault) {
        if fault.pin_failed() || matches!(fault, Fault::Refusal(Refusal::WrongToken, _)) {
            self.shared.end(fault);
        }
        if fault.lost_session() || fault.is_unknown() {
            self.reset();
        }
    }
}

/// Logs the user in, never when a wrong PIN could be the last.
fn log_in(session: &Session, pin: Option<&Pin>, flags: CK_FLAGS) -> Result<(), Fault> {
    let state = session.get_session_info()?.session_state();
    if matches!(state, SessionState::RwUser | SessionState::RoUser) {
        return Ok(());
    }
    check_pin_flags(flags)?;
    match session.login(UserType::User, pin.map(Pin::secret)) {
        Err(cryptoki::error::Error::Pkcs11(RvError::UserAlreadyLoggedIn, Function::Login)) => Ok(()),
        answer => Ok(answer?),
    }
}

/// Refuses to log in where a wrong PIN would lock the token.
pub(super) fn check_pin_flags(flags: CK_FLAGS) -> Result<(), Fault> {
    if flags & CKF_USER_PIN_LOCKED != 0 {
        return Err(Fault::refusal(Refusal::PinLocked, "the user PIN is locked"));
    }
    if flags & CKF_USER_PIN_FINAL_TRY != 0 {
        return Err(Fault::refusal(Refusal::LastPinTry, "a wrong PIN would lock the token, so none is tried"));
    }
    Ok(())
}

type Job = Box<dyn FnOnce(&mut Seat) + Send>;

/// A session's thread.
pub(super) struct Worker {
    jobs: Option<Sender<Job>>,
    /// Signatures that were given to it and are not done.
    load: AtomicUsize,
    /// The token gave it no session, so it is given nothing to sign.
    idle: AtomicBool,
    ended: Receiver<()>,
    shared: Arc<Shared>,
}

impl Worker {
    /// Starts the thread; the session is opened by its first job.
    pub fn start(shared: &Arc<Shared>, name: String) -> Result<Self, Fault> {
        let (jobs, inbox) = unbounded::<Job>();
        let (ending, ended) = bounded(1);
        let ours = Arc::clone(shared);
        let body = move || {
            let mut seat = Seat { shared: ours, session: None, located: HashMap::new(), epoch: 0 };
            for job in inbox {
                job(&mut seat);
            }
            drop(seat);
            // Nobody may be waiting any more.
            let _ = ending.send(());
        };
        thread::Builder::new()
            .name(name)
            .spawn(body)
            .map_err(|error| Fault::outage(Outage::Crashed, format!("no thread for the session: {error}")))?;
        Ok(Worker {
            jobs: Some(jobs),
            load: AtomicUsize::new(0),
            idle: AtomicBool::new(false),
            ended,
            shared: Arc::clone(shared),
        })
    }

    /// Has `op` run in the session and waits for its answer, at most `deadline` long.
    pub fn call<T, F>(&self, deadline: Duration, mut op: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnMut(&mut Seat, &Flight) -> Result<T, Fault> + Send + 'static,
    {
        if let Some(fault) = self.shared.fatal.get() {
            return Err(fault.clone());
        }
        let flight = Arc::new(Flight(AtomicU8::new(QUEUED)));
        let (answer, result) = bounded(1);
        let shared_flight = Arc::clone(&flight);
        let job: Job = Box::new(move |seat| {
            if shared_flight.step(QUEUED, RUNNING) {
                // The caller may have left; then nobody needs the answer.
                let _ = answer.send(seat.run(&shared_flight, &mut op));
            }
        });
        let crashed = || Fault::outage(Outage::Crashed, "the session's thread has ended");
        let jobs = self.jobs.as_ref().ok_or_else(crashed)?;
        jobs.send(job).map_err(|_| crashed())?;
        match result.recv_timeout(deadline) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => self.give_up(&flight, &result, deadline),
            Err(RecvTimeoutError::Disconnected) if flight.was_sent() => Err(crashed().unknown()),
            Err(RecvTimeoutError::Disconnected) => Err(crashed()),
        }
        .map_err(|fault| fault.at(&self.shared.label))
    }

    fn give_up<T>(&self, flight: &Flight, result: &Receiver<Result<T, Fault>>, deadline: Duration) -> Result<T, Fault> {
        if flight.step(QUEUED, GIVEN_UP) {
            return Err(Fault::outage(Outage::Busy, format!("no session was free for {} s", deadline.as_secs())));
        }
        let stopped = flight.step(RUNNING, GIVEN_UP);
        if let Ok(result) = result.try_recv() {
            return result;
        }
        let fault = Fault::outage(Outage::TimedOut, format!("no answer within {} s", deadline.as_secs()));
        self.shared.end(&fault);
        Err(if stopped { fault } else { fault.unknown() })
    }

    /// Is given nothing more to sign.
    pub fn retire(&self) {
        self.idle.store(true, Ordering::SeqCst);
    }

    /// Takes no more jobs; the session closes when the last one is done.
    fn leave(&mut self) {
        self.jobs = None;
    }
}

/// A worker that one more signature is given to, until dropped.
pub(super) struct Turn<'w>(pub &'w Worker);

impl Turn<'_> {
    /// The one with the least to do: a batch uses all sessions, and a single signature the one that is open.
    pub fn of(workers: &[Worker]) -> Option<Turn<'_>> {
        loop {
            let load = |worker: &Worker| worker.load.load(Ordering::SeqCst);
            let at_work = workers.iter().filter(|worker| !worker.idle.load(Ordering::SeqCst));
            let (worker, now) = at_work.map(|worker| (worker, load(worker))).min_by_key(|(_, load)| *load)?;
            if worker.load.compare_exchange(now, now + 1, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return Some(Turn(worker));
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Closes all sessions of a token, waiting a little unless it hangs.
pub(super) fn dismiss(workers: &mut [Worker], shared: &Shared) {
    workers.iter_mut().for_each(Worker::leave);
    if matches!(shared.fatal.get(), Some(Fault::Outage(Outage::TimedOut, _))) {
        return;
    }
    for worker in workers {
        // A session that does not close in time is left to the end of the process.
        let _ = worker.ended.recv_timeout(FAREWELL);
    }
}

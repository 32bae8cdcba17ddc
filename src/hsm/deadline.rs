//! A deadline for calls that are made before there is a worker: loading a module, and asking what tokens it has.

use super::fault::{Fault, Outage};
use crossbeam_channel::{RecvTimeoutError, bounded};
use std::thread;
use std::time::Duration;

/// Runs `work` on a thread of its own, with a deadline.
pub(super) fn within<T: Send + 'static>(
    deadline: Duration,
    what: &'static str,
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let (answer, result) = bounded(1);
    thread::Builder::new()
        .name(what.to_owned())
        .spawn(move || {
            // The caller may have left; then nobody needs the answer.
            let _ = answer.send(work());
        })
        .map_err(|error| Fault::outage(Outage::Crashed, format!("no thread for {what}: {error}")))?;
    result.recv_timeout(deadline).unwrap_or_else(|error| {
        Err(match error {
            RecvTimeoutError::Timeout => {
                Fault::outage(Outage::TimedOut, format!("{what}: no answer within {} s", deadline.as_secs()))
            }
            RecvTimeoutError::Disconnected => Fault::outage(Outage::Crashed, format!("{what}: the thread has ended")),
        })
    })
}

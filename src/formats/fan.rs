//! One reader, several sinks, each on a thread of its own.
//!
//! Two digests of a large file cost more than reading and writing it. So for files worth it every sink gets a
//! thread, and the reader hands all of them the same buffers, a few at a time: memory stays constant, and a slow
//! sink slows the reader instead of filling memory. Small files are not worth a thread.

use super::Sink;
use crate::error::Result;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

/// From this length on, in bytes, threads pay.
pub const WORTHWHILE: u64 = 4 << 20;

/// Buffers that may wait for one sink.
const AHEAD: usize = 3;

/// Runs `pump`, which is to call its argument with the file's bytes in order, and gives them to every sink.
///
/// # Errors
/// Those of `pump`. All sinks have seen everything it delivered when this returns.
pub fn fan_out<R>(
    len: u64,
    sinks: &mut [&mut dyn Sink],
    pump: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<R>,
) -> Result<R> {
    if len < WORTHWHILE {
        return pump(&mut |bytes| sinks.iter_mut().for_each(|sink| sink.update(bytes)));
    }
    std::thread::scope(|scope| {
        let senders: Vec<SyncSender<Arc<Vec<u8>>>> = sinks
            .iter_mut()
            .map(|sink| {
                let (sender, receiver) = sync_channel::<Arc<Vec<u8>>>(AHEAD);
                scope.spawn(move || receiver.into_iter().for_each(|buffer| sink.update(&buffer)));
                sender
            })
            .collect();
        let mut pool: Vec<Arc<Vec<u8>>> = Vec::new();
        pump(&mut |bytes| {
            let buffer = fill(&mut pool, bytes);
            // A sink that has gone away panicked, and the scope passes the panic on.
            senders.iter().for_each(|sender| drop(sender.send(Arc::clone(&buffer))));
        })
    })
}

/// A buffer with these bytes: one that every sink is done with, else a new one.
fn fill(pool: &mut Vec<Arc<Vec<u8>>>, bytes: &[u8]) -> Arc<Vec<u8>> {
    for buffer in pool.iter_mut() {
        if let Some(free) = Arc::get_mut(buffer) {
            free.clear();
            free.extend_from_slice(bytes);
            return Arc::clone(buffer);
        }
    }
    let buffer = Arc::new(bytes.to_vec());
    pool.push(Arc::clone(&buffer));
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sum(u64, usize);

    impl Sink for Sum {
        fn update(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = self.0.wrapping_mul(31).wrapping_add(u64::from(*byte));
            }
            self.1 += bytes.len();
        }
    }

    #[test]
    fn threads_see_the_same_bytes_in_the_same_order() {
        let data: Vec<u8> = (0..5_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let run = |len: u64| {
            let (mut a, mut b) = (Sum(0, 0), Sum(0, 0));
            fan_out(len, &mut [&mut a, &mut b], |give| {
                data.chunks(70_001).for_each(give);
                Ok(())
            })
            .unwrap();
            assert_eq!((a.0, a.1), (b.0, b.1));
            (a.0, a.1)
        };
        assert_eq!(run(0), run(data.len() as u64));
    }

    #[test]
    fn an_error_of_the_reader_comes_through() {
        let mut sum = Sum(0, 0);
        let failed: Result<()> = fan_out(WORTHWHILE, &mut [&mut sum], |give| {
            give(&[1, 2, 3]);
            Err(crate::error::Error::failed("broken", "half-way"))
        });
        assert_eq!((failed.unwrap_err().code(), sum.1), ("broken", 3));
    }
}

//! One reader, several sinks, on threads of their own.
//!
//! The digests of a large file cost more than reading and writing it. So for files worth it the sinks get threads, and
//! the reader hands all of them the same buffers, a few at a time: memory stays constant, and a slow sink slows the
//! reader instead of filling memory. Two SHA-256 share a thread where the processor does both in the time of one. Small
//! files are not worth a thread.

use super::Sink;
use crate::crypto::sha256;
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
    let mut groups = grouped(sinks);
    if len < WORTHWHILE {
        return pump(&mut |bytes| groups.iter_mut().for_each(|group| group.update(bytes)));
    }
    std::thread::scope(|scope| {
        let senders: Vec<SyncSender<Arc<Vec<u8>>>> = groups
            .into_iter()
            .map(|mut group| {
                let (sender, receiver) = sync_channel::<Arc<Vec<u8>>>(AHEAD);
                scope.spawn(move || receiver.into_iter().for_each(|buffer| group.update(&buffer)));
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

/// Sinks that see the bytes on one thread.
enum Group<'a> {
    One(&'a mut dyn Sink),
    Two(&'a mut dyn Sink, &'a mut dyn Sink),
}

/// Every sink, and any two SHA-256 together if that pays.
fn grouped<'a>(sinks: &'a mut [&mut dyn Sink]) -> Vec<Group<'a>> {
    let mut groups = Vec::with_capacity(sinks.len());
    let mut waiting: Option<&mut dyn Sink> = None;
    for sink in sinks {
        let sink: &mut dyn Sink = *sink;
        if !(sink.is_sha256() && sha256::pays()) {
            groups.push(Group::One(sink));
        } else if let Some(other) = waiting.take() {
            groups.push(Group::Two(other, sink));
        } else {
            waiting = Some(sink);
        }
    }
    groups.extend(waiting.map(Group::One));
    groups
}

impl Group<'_> {
    fn update(&mut self, bytes: &[u8]) {
        let (one, other) = match self {
            Group::One(sink) => return sink.update(bytes),
            Group::Two(one, other) => (one, other),
        };
        match (one.part(bytes), other.part(bytes)) {
            (Some((a, x)), Some((b, y))) => return sha256::update_both(a, x, b, y),
            (Some((a, x)), None) => a.update(x),
            (None, Some((b, y))) => {
                b.update(y);
                return one.update(bytes);
            }
            (None, None) => one.update(bytes),
        }
        other.update(bytes);
    }
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
    use crate::crypto::sha256::Sha256;

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

    /// SHA-256 of all but one range.
    struct Without(Sha256, std::ops::Range<u64>, u64);

    impl Sink for Without {
        fn update(&mut self, bytes: &[u8]) {
            for byte in bytes {
                if !self.1.contains(&self.2) {
                    self.0.update(&[*byte]);
                }
                self.2 += 1;
            }
        }

        fn is_sha256(&self) -> bool {
            true
        }

        fn part<'a>(&'a mut self, bytes: &'a [u8]) -> Option<(&'a mut Sha256, &'a [u8])> {
            let end = self.2 + bytes.len() as u64;
            if self.1.start < end && self.2 < self.1.end {
                return None;
            }
            self.2 = end;
            Some((&mut self.0, bytes))
        }
    }

    #[test]
    fn digests_that_share_a_thread_are_what_each_is_alone() {
        let data: Vec<u8> = (0..5_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let ranges = [0..0, 100..104, 69_990..70_020, 150_000..150_001];
        for len in [data.len(), 200_000] {
            let data = &data[..len];
            let mut sinks: Vec<_> = ranges.iter().map(|range| Without(Sha256::new(), range.clone(), 0)).collect();
            let mut sum = Sum(0, 0);
            let mut all: Vec<&mut dyn Sink> = sinks.iter_mut().map(|sink| sink as &mut dyn Sink).collect();
            // Three of them: one has no other to share a thread with.
            let _ = all.pop();
            all.insert(1, &mut sum);
            fan_out(len as u64, &mut all, |give| {
                data.chunks(70_001).for_each(give);
                Ok(())
            })
            .unwrap();
            assert_eq!(sum.1, len);
            for (sink, range) in sinks.into_iter().zip(&ranges).take(3) {
                let without: Vec<u8> =
                    data.iter().enumerate().filter(|(at, _)| !range.contains(&(*at as u64))).map(|(_, b)| *b).collect();
                assert_eq!(sink.0.finish(), crate::model::Hash256::of(&without), "{range:?} of {len}");
            }
        }
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

//! A client of the SSH agent (draft-miller-ssh-agent): which keys it has, and signatures by them. Replies are
//! bounded in size and time, since the agent is another program, perhaps at the end of a forwarded socket.

use super::key::PublicKey;
use super::wire::{Reader, Writer};
use crate::error::{Context, Error, Kind, Result, shown};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait before asking again for a place in the queue of a socket.
const QUEUE: Duration = Duration::from_millis(20);

/// OpenSSH's own limit.
const MAX_REPLY: usize = 256 * 1024;

/// More keys than anyone has.
const MAX_KEYS: u32 = 2048;

/// How long an agent may take to list its keys.
const LISTING: Duration = Duration::from_secs(10);

/// How long it may take to sign: a person may have to touch a key or to answer a question.
const SIGNING: Duration = Duration::from_secs(120);

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// "Sign with SHA-512" for RSA keys; others ignore it.
const RSA_SHA2_512: u32 = 4;

/// An agent's socket.
#[derive(Clone, Debug)]
pub struct Agent {
    socket: PathBuf,
}

impl Agent {
    /// The agent at this socket.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Agent { socket: socket.into() }
    }

    /// The agent of `SSH_AUTH_SOCK`, if that is set.
    pub fn from_environment() -> Option<Self> {
        std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()).map(Agent::at)
    }

    /// The keys it can sign with, of the kinds that count.
    ///
    /// # Errors
    /// `agent_unavailable` if it cannot be asked or answers nonsense.
    pub fn keys(&self) -> Result<Vec<PublicKey>> {
        let reply = self.ask(&[REQUEST_IDENTITIES], LISTING)?;
        let mut reader = Reader(&reply);
        let (Some(IDENTITIES_ANSWER), Some(count)) = (reader.byte(), reader.u32()) else {
            return Err(self.nonsense("does not list its keys"));
        };
        let mut keys = Vec::new();
        for _ in 0..count.min(MAX_KEYS) {
            let (Some(blob), Some(_comment)) = (reader.string(), reader.string()) else {
                return Err(self.nonsense("cuts the list of its keys off"));
            };
            // Certificates, small RSA keys and the like are none of our business.
            keys.extend(PublicKey::from_blob(blob));
        }
        Ok(keys)
    }

    /// Has it sign `data`; gives the signature proper as the agent made it, unverified.
    pub(super) fn sign(&self, key: &PublicKey, data: &[u8]) -> Result<Vec<u8>> {
        let request = Writer::new().raw(&[SIGN_REQUEST]).string(key.blob()).string(data).u32(RSA_SHA2_512);
        let reply = self.ask(request.bytes(), SIGNING)?;
        let mut reader = Reader(&reply);
        match (reader.byte(), reader.string(), reader.end()) {
            (Some(SIGN_RESPONSE), Some(made), Some(())) => Ok(made.to_vec()),
            (Some(FAILURE), ..) => Err(Error::failed(
                "agent_refused",
                format!(
                    "the SSH agent did not sign with {}; was it declined or not touched?",
                    key.openssh_fingerprint()
                ),
            )),
            _ => Err(self.nonsense("does not answer with a signature")),
        }
    }

    /// One question and its answer.
    pub(super) fn ask(&self, request: &[u8], patience: Duration) -> Result<Vec<u8>> {
        let until = Instant::now() + patience;
        let asked = || -> std::io::Result<Vec<u8>> {
            let mut stream = connect(&self.socket, until.min(Instant::now() + LISTING))?;
            stream.set_write_timeout(Some(patience))?;
            stream.write_all(Writer::new().string(request).bytes())?;
            let mut head = [0; 4];
            read(&mut stream, &mut head, until)?;
            let len = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
            if !(1..=MAX_REPLY).contains(&len) {
                return Err(std::io::Error::other(format!("a reply of {len} bytes")));
            }
            let mut reply = vec![0; len];
            read(&mut stream, &mut reply, until)?;
            Ok(reply)
        };
        let name = shown(&self.socket.display().to_string());
        asked().or_kind(Kind::Unavailable, "agent_unavailable", || format!("the SSH agent at {name} does not answer"))
    }

    fn nonsense(&self, what: &str) -> Error {
        Error::unavailable(
            "agent_unavailable",
            format!("the SSH agent at {} {what}", shown(&self.socket.display().to_string())),
        )
    }
}

/// Connects before `until`. Where nobody accepts, the queue of a socket is full some time, and to wait for a place in it
/// has no end of its own.
fn connect(socket: &Path, until: Instant) -> std::io::Result<UnixStream> {
    let address = SocketAddrUnix::new(socket)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    loop {
        match rustix::net::connect(&fd, &address) {
            Ok(()) => break,
            Err(Errno::AGAIN) if Instant::now() < until => std::thread::sleep(QUEUE),
            Err(Errno::AGAIN) => return Err(std::io::ErrorKind::TimedOut.into()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let stream = UnixStream::from(fd);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Fills `buffer` before `until`, however slowly the bytes drip.
fn read(stream: &mut UnixStream, buffer: &mut [u8], until: Instant) -> std::io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(rest) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => filled += len,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_accepts_nobody_is_not_waited_for_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let listener = listener.unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let start = Instant::now();
        let soon = || Instant::now() + Duration::from_millis(100);
        let first = connect(&path, soon()).unwrap();
        let refused = connect(&path, soon()).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(30));
        drop((first, listener));
        assert_eq!(connect(&path, soon()).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    }
}

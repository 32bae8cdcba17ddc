//! A client of the SSH agent (draft-miller-ssh-agent): which keys it has, and signatures by them. Replies are
//! bounded in size and time, since the agent is another program, perhaps at the end of a forwarded socket.

use super::key::PublicKey;
use super::wire::{Reader, Writer};
use crate::error::{Context, Error, Kind, Result, shown};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

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
            let mut stream = UnixStream::connect(&self.socket)?;
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

//! A person's own key at hand, found from what `--identity` names: a private key file, a public key file whose
//! private part is in the agent, or the stub of a security key.
//!
//! Agents come first: they may hold the key unlocked, and they speak to security keys. A security key without an
//! agent is reached through `ssh-keygen -Y sign`, which knows how to speak FIDO; it shows its own prompts.

use super::agent::Agent;
use super::key::PublicKey;
use super::private::{MAX_FILE, PrivateFile, PrivateKey};
use super::signature::{MAX_SIGNATURE, Signature};
use crate::child;
use crate::error::{Context, Error, Kind, Result, shown};
use secrecy::{ExposeSecret, SecretString};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use zeroize::Zeroizing;

/// How a passphrase is asked for; given the key file's name. Called again after a wrong one.
pub type AskPassphrase<'a> = &'a mut dyn FnMut(&str) -> Result<SecretString>;

/// How often a passphrase is asked for.
const TRIES: usize = 3;

/// A key that can sign now.
#[derive(Debug)]
pub struct Signer {
    public: PublicKey,
    holder: Holder,
}

#[derive(Debug)]
enum Holder {
    Agent(Agent),
    File(PrivateKey),
    /// A stub of a security key, by absolute path.
    Keygen(PathBuf),
}

impl Signer {
    /// Finds the key that `identity` names, with the agent of the environment. `ask` is called if a passphrase is
    /// needed.
    ///
    /// # Errors
    /// `bad_identity`: no such file, one that others may read, or no key in it; `key_not_at_hand`: a public key
    /// whose private part is nowhere; `wrong_passphrase`.
    pub fn open(identity: &Path, ask: AskPassphrase<'_>) -> Result<Self> {
        Self::open_with(identity, Agent::from_environment(), ask)
    }

    /// As [`Self::open`], with this agent or none.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(identity: &Path, agent: Option<Agent>, ask: AskPassphrase<'_>) -> Result<Self> {
        let (bytes, mode) = read(identity)?;
        let name = shown(&identity.display().to_string());
        if PrivateFile::is_private(&bytes) {
            return Self::of_file(identity, &bytes, mode, agent, ask).map_err(|error| error.about(&name));
        }
        let public = public_line(identity, &bytes)?;
        if let Some(agent) = agent.as_ref().filter(|agent| holds(agent, &public)) {
            return Ok(Signer { public, holder: Holder::Agent(agent.clone()) });
        }
        let private = identity.extension().filter(|extension| *extension == "pub").map(|_| identity.with_extension(""));
        let Some(private) = private.filter(|private| private.is_file()) else {
            let message = format!("the private part of {name} is neither in an SSH agent nor beside it");
            return Err(Error::usage("key_not_at_hand", message).hint("ssh-add FILE"));
        };
        let signer = Self::open_with(&private, agent, ask)?;
        match signer.public == public {
            true => Ok(signer),
            false => Err(Error::usage("bad_identity", format!("{name} is not the public part of the key beside it"))),
        }
    }

    /// The public key that `identity` names, without its secrets and without asking for anything.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn public_of(identity: &Path) -> Result<PublicKey> {
        let (bytes, _) = read(identity)?;
        match PrivateFile::is_private(&bytes) {
            true => PrivateFile::parse(&bytes).map(|file| file.public().clone()),
            false => public_line(identity, &bytes),
        }
    }

    fn of_file(path: &Path, bytes: &[u8], mode: u32, agent: Option<Agent>, ask: AskPassphrase<'_>) -> Result<Self> {
        if mode & 0o077 != 0 {
            return Err(Error::usage("bad_identity", "others may read this private key").hint("chmod 600 FILE"));
        }
        let file = PrivateFile::parse(bytes)?;
        let public = file.public().clone();
        let locked = file.is_encrypted() || public.is_security_key();
        if let Some(agent) = agent.filter(|agent| locked && holds(agent, &public)) {
            return Ok(Signer { public, holder: Holder::Agent(agent) });
        }
        if public.is_security_key() {
            let path = std::path::absolute(path).or_failed("bad_identity", || "its folder cannot be named".into())?;
            return Ok(Signer { public, holder: Holder::Keygen(path) });
        }
        let key = unlock(&file, &shown(&path.display().to_string()), ask)?;
        Ok(Signer { public, holder: Holder::File(key) })
    }

    /// A key from memory.
    pub fn of(key: PrivateKey) -> Self {
        Signer { public: key.public().clone(), holder: Holder::File(key) }
    }

    /// The public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Whether the person has to touch the key for each signature.
    pub fn needs_touch(&self) -> bool {
        self.public.is_security_key()
    }

    /// Signs `message` for `namespace`, and checks the signature.
    ///
    /// # Errors
    /// The agent or the security key is not there or refuses; what came back is not a good signature by this key.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<Signature> {
        let signature = match &self.holder {
            Holder::File(key) => key.sign(namespace, message)?,
            Holder::Agent(agent) => {
                let made = agent.sign(&self.public, &Signature::signed_data(namespace, message)?)?;
                Signature::assemble(&self.public, namespace, &made)?
            }
            Holder::Keygen(path) => keygen(path, namespace, message)?,
        };
        let verified = signature.verify(namespace, message)?;
        if verified.key != self.public {
            let other = verified.key.openssh_fingerprint();
            return Err(Error::failed(
                "wrong_key_signed",
                format!("the signature came back from another key, {other}"),
            ));
        }
        if !verified.is_by_a_person() {
            return Err(Error::failed("not_touched", "the security key signed without being touched")
                .hint("use a key that was made without -O no-touch-required"));
        }
        Ok(signature)
    }
}

fn public_line(path: &Path, bytes: &[u8]) -> Result<PublicKey> {
    std::str::from_utf8(bytes).unwrap_or_default().parse().map_err(|error: Error| {
        let name = shown(&path.display().to_string());
        Error::usage("bad_identity", format!("{name} is neither a private nor a public SSH key")).because(error)
    })
}

/// An agent that does not answer holds nothing; the key may be in a file.
fn holds(agent: &Agent, public: &PublicKey) -> bool {
    agent.keys().is_ok_and(|keys| keys.contains(public))
}

fn unlock(file: &PrivateFile, name: &str, ask: AskPassphrase<'_>) -> Result<PrivateKey> {
    if !file.is_encrypted() {
        return file.open(None);
    }
    for _ in 1..TRIES {
        match file.open(Some(ask(name)?.expose_secret())) {
            Err(error) if error.code() == "wrong_passphrase" => {}
            done => return done,
        }
    }
    file.open(Some(ask(name)?.expose_secret()))
}

fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, u32)> {
    let name = || format!("the SSH key {} cannot be read", shown(&path.display().to_string()));
    let bad = |what: &str| Error::usage("bad_identity", format!("{}: {what}", name()));
    let open = |path: &Path| -> std::io::Result<(File, std::fs::Metadata)> {
        let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let facts = file.metadata()?;
        Ok((file, facts))
    };
    let (file, facts) = open(path).or_kind(Kind::Usage, "bad_identity", name)?;
    if !facts.is_file() {
        return Err(bad("it is no regular file"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).or_kind(Kind::Usage, "bad_identity", name)?;
    if bytes.len() > MAX_FILE {
        return Err(bad("it is too long"));
    }
    Ok((bytes, facts.mode()))
}

/// `ssh-keygen` shows what it wants on stderr and on the terminal, such as "Confirm user presence". It gives up
/// itself when the key is not touched.
fn keygen(path: &Path, namespace: &str, message: &[u8]) -> Result<Signature> {
    let failed = || "ssh-keygen cannot be run to reach the security key".to_owned();
    let mut child = child::command("ssh-keygen")
        .args(["-Y", "sign", "-n", namespace, "-f"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .or_kind(Kind::Unavailable, "no_ssh_keygen", failed)?;
    // It reads all of the message before it signs, and if it stops early its exit code says so.
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(message));
    let mut text = Vec::new();
    let read = child.stdout.take().map(|stdout| stdout.take(MAX_SIGNATURE as u64 + 1).read_to_end(&mut text));
    let status = child.wait().or_kind(Kind::Unavailable, "no_ssh_keygen", failed)?;
    match (status.success(), written, read) {
        (true, Some(Ok(())), Some(Ok(_))) => Signature::parse(&text),
        _ => Err(Error::failed(
            "security_key_refused",
            format!("ssh-keygen did not sign with the security key ({status})"),
        )),
    }
}

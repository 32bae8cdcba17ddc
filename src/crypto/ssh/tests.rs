//! `ssh-keygen` and `ssh-agent` decide.

use super::wire::{Reader, Writer, armour, dearmour};
use super::*;
use crate::error::{Error, Result};
use crate::model::Hash256;
use secrecy::SecretString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

mod forms;
mod hands;
mod security_keys;

const NAMESPACE: &str = "keyctl-approval-v1@example.corp/keyctl";
const MESSAGE: &[u8] = b"{\"approve\":\"this\"}";

fn no_passphrase(name: &str) -> Result<SecretString> {
    Err(Error::bug(format!("asked for a passphrase of {name}")))
}

fn run(program: &str, arguments: &[&str], input: &[u8]) -> (bool, Vec<u8>, String) {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.env_remove("SSH_AUTH_SOCK").spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    (output.status.success(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A key made by `ssh-keygen`.
fn keygen(dir: &TempDir, name: &str, options: &[&str]) -> PathBuf {
    let path = dir.path().join(name);
    let (made, _, said) = run("ssh-keygen", &[&["-q", "-C", "a comment", "-f", text(&path)], options].concat(), b"");
    assert!(made, "{said}");
    path
}

fn public(path: &Path) -> PublicKey {
    std::fs::read_to_string(path.with_extension("pub")).unwrap().parse().unwrap()
}

const KINDS: &[&[&str]] = &[
    &["-N", "", "-t", "ed25519"],
    &["-N", "", "-t", "ecdsa", "-b", "256"],
    &["-N", "", "-t", "ecdsa", "-b", "384"],
    &["-N", "", "-t", "ecdsa", "-b", "521"],
    &["-N", "", "-t", "rsa", "-b", "3072"],
];

/// What stock `ssh-keygen -Y verify` says.
fn stock_accepts(key: &PublicKey, namespace: &str, message: &[u8], signature: &[u8]) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let (signers, file) = (dir.path().join("signers"), dir.path().join("sig"));
    std::fs::write(&signers, format!("who@example.corp {key}\n")).unwrap();
    std::fs::write(&file, signature).unwrap();
    let arguments =
        ["-Y", "verify", "-n", namespace, "-I", "who@example.corp", "-f", text(&signers), "-s", text(&file)];
    run("ssh-keygen", &arguments, message).0
}

#[test]
fn stock_ssh_keygen_accepts_ours_of_every_kind_and_refuses_what_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    for (i, options) in KINDS.iter().enumerate() {
        let path = keygen(&dir, &format!("key{i}"), options);
        let signer = Signer::open_with(&path, None, &mut no_passphrase).unwrap();
        assert_eq!(*signer.public(), public(&path));
        let signature = signer.sign(NAMESPACE, MESSAGE).unwrap();
        let armoured = signature.to_string();
        let accepts = |namespace, message| stock_accepts(&public(&path), namespace, message, armoured.as_bytes());
        assert!(accepts(NAMESPACE, MESSAGE), "{options:?}");
        assert!(!accepts("keyctl-request-v1@example.corp/keyctl", MESSAGE), "{options:?}");
        assert!(!accepts(NAMESPACE, b"{\"approve\":\"that\"}"), "{options:?}");

        let again = Signature::parse(armoured.as_bytes()).unwrap();
        assert_eq!(again, signature);
        let verified = again.verify(NAMESPACE, MESSAGE).unwrap();
        assert!(verified.is_by_a_person() && !verified.user_present && verified.counter.is_none());
        assert_eq!(again.verify("other", MESSAGE).unwrap_err().code(), "wrong_namespace");
        assert_eq!(again.verify(NAMESPACE, b"other").unwrap_err().code(), "bad_signature");
        // Each changed byte is refused by us, and none that we accept is another signature.
        for at in 0..signature.blob().len() {
            let mut blob = signature.blob().to_vec();
            blob[at] ^= 1;
            let refused = Signature::from_blob(&blob).and_then(|changed| changed.verify(NAMESPACE, MESSAGE));
            assert!(refused.is_err(), "{options:?} byte {at}");
        }
        let mut blob = signature.blob().to_vec();
        *blob.last_mut().unwrap() ^= 1;
        let changed = armour("SSH SIGNATURE", &blob);
        assert!(!stock_accepts(&public(&path), NAMESPACE, MESSAGE, changed.as_bytes()), "{options:?}");
    }
}

#[test]
fn we_accept_those_of_stock_ssh_keygen_and_write_the_same_armour() {
    let dir = tempfile::tempdir().unwrap();
    for (i, options) in KINDS.iter().enumerate() {
        let path = keygen(&dir, &format!("key{i}"), options);
        for hash in ["sha512", "sha256"] {
            let option = format!("hashalg={hash}");
            let arguments = ["-Y", "sign", "-q", "-O", &option, "-n", NAMESPACE, "-f", text(&path)];
            let (made, armoured, said) = run("ssh-keygen", &arguments, MESSAGE);
            assert!(made, "{said}");
            let signature = Signature::parse(&armoured).unwrap();
            assert_eq!(signature.verify(NAMESPACE, MESSAGE).unwrap().key, public(&path), "{options:?} {hash}");
            assert_eq!(signature.to_string().as_bytes(), armoured, "{options:?} {hash}");
            assert!(signature.verify(NAMESPACE, b"other").is_err());
        }
    }
    // An Ed25519 signature is the same each time, so ours is theirs.
    let path = dir.path().join("key0");
    let (_, theirs, _) = run("ssh-keygen", &["-Y", "sign", "-q", "-n", NAMESPACE, "-f", text(&path)], MESSAGE);
    let signer = Signer::open_with(&path, None, &mut no_passphrase).unwrap();
    assert_eq!(signer.sign(NAMESPACE, MESSAGE).unwrap().to_string().as_bytes(), theirs);
}

#[test]
fn fingerprints_and_lines_are_those_of_ssh_keygen() {
    let dir = tempfile::tempdir().unwrap();
    for (i, options) in KINDS.iter().enumerate() {
        let path = keygen(&dir, &format!("key{i}"), options);
        let line = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        let key = public(&path);
        assert_eq!(format!("{key} a comment\n"), line);
        let (_, listed, _) = run("ssh-keygen", &["-l", "-f", text(&path)], b"");
        assert_eq!(String::from_utf8(listed).unwrap().split(' ').nth(1).unwrap(), key.openssh_fingerprint());
        assert_eq!(Hash256::of(key.blob()), key.fingerprint());
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);
    }
}

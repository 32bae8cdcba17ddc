//! With the stock `ssh-keygen`, both ways.

use super::*;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

fn keygen(args: &[&str], input: &[u8]) -> Result<String, String> {
    let mut child = Command::new("ssh-keygen")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// A key file of `ssh-keygen`, and its public line.
fn key_file(folder: &Path, name: &str, kind: &[&str]) -> (String, String) {
    let path = folder.join(name).to_str().unwrap().to_owned();
    keygen(&[&["-q", "-N", "", "-C", "a comment", "-f", &path], kind].concat(), b"").unwrap();
    let line = std::fs::read_to_string(format!("{path}.pub")).unwrap();
    (path, line.trim_end().to_owned())
}

#[test]
fn signatures_of_ssh_keygen_count() {
    let folder = tempfile::tempdir().unwrap();
    let (mut scene, [_, _, carol, _]) = Scene::new();
    let kinds: [&[&str]; 3] = [&["-t", "ed25519"], &["-t", "ecdsa", "-b", "384"], &["-t", "rsa", "-b", "3072"]];
    for (i, kind) in kinds.into_iter().enumerate() {
        let (file, line) = key_file(folder.path(), &format!("key{i}"), kind);
        let line = line.parse::<crate::crypto::ssh::PublicKey>().unwrap().to_string();
        scene.roster.people.get_mut(&email("alice@example.com")).unwrap().keys[0].public_key = line;
        scene.request.roster = scene.roster.reference().unwrap();
        let sign = |namespace: Namespace, bytes: &[u8]| {
            keygen(&["-q", "-Y", "sign", "-f", &file, "-n", &namespace.of(&scene.request.origin)], bytes).unwrap()
        };
        let bytes = scene.bytes();
        let counted = scene.counted(&carol, &[sign(Namespace::Approval, &bytes)]);
        assert!(counted.is_enough(), "{kind:?}: {}", why(&counted));
        let other = [&bytes[..], b"\n"].concat();
        for bad in [sign(Namespace::Request, &bytes), sign(Namespace::Approval, &other)] {
            assert!(!scene.counted(&carol, &[bad]).is_enough());
        }
    }
}

#[test]
fn ssh_keygen_agrees_about_who_signed_what() {
    let folder = tempfile::tempdir().unwrap();
    let (mut scene, [alice, _, _, _]) = Scene::new();
    let day = TimeDelta::days(1);
    let key = &mut scene.roster.people.get_mut(&email("alice@example.com")).unwrap().keys[0];
    (key.valid_from, key.valid_to) = (Some(scene.now - day), Some(scene.now));
    let origin = scene.request.origin.clone();
    let (signers, signature) = (folder.path().join("signers"), folder.path().join("signature"));
    std::fs::write(&signers, scene.roster.to_allowed_signers(&origin)).unwrap();
    std::fs::write(&signature, scene.approval(&alice)).unwrap();
    let at = |time: Time| format!("verify-time={}", time.format("%Y%m%d%H%M%SZ"));
    let verify = |who: &str, namespace: Namespace, time: Time, bytes: &[u8]| {
        let (signers, signature) = (signers.to_str().unwrap(), signature.to_str().unwrap());
        let (namespace, time) = (namespace.of(&origin), at(time));
        keygen(&["-Y", "verify", "-f", signers, "-I", who, "-n", &namespace, "-s", signature, "-O", &time], bytes)
    };
    let (bytes, second) = (scene.bytes(), TimeDelta::seconds(1));
    let mut changed = bytes.clone();
    changed[5] ^= 1;
    let alice = "alice@example.com";
    let said = verify(alice, Namespace::Approval, scene.now - second, &bytes).unwrap();
    assert!(said.contains("Good \"keyctl-approval-v1@example.corp/keyctl\" signature"), "{said}");
    verify(alice, Namespace::Approval, scene.now - day, &bytes).unwrap();
    assert!(verify(alice, Namespace::Approval, scene.now, &bytes).is_err(), "the key's time is over");
    assert!(verify(alice, Namespace::Approval, scene.now - day - second, &bytes).is_err(), "and has not begun");
    assert!(verify("bob@example.com", Namespace::Approval, scene.now - second, &bytes).is_err());
    assert!(verify(alice, Namespace::Request, scene.now - second, &bytes).is_err());
    assert!(verify(alice, Namespace::Approval, scene.now - second, &changed).is_err());
}

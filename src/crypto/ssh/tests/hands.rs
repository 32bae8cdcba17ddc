//! Keys at hand: files, agents, and stubs of security keys.

use super::security_keys::Authenticator;
use super::*;
use std::os::unix::fs::PermissionsExt;

#[test]
fn encrypted_files_open_with_their_passphrase_only() {
    let dir = tempfile::tempdir().unwrap();
    for (i, cipher) in ["aes256-ctr", "aes256-cbc"].iter().enumerate() {
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let path =
                keygen(&dir, &format!("{kind}{i}"), &["-t", kind, "-N", "correct horse", "-Z", cipher, "-a", "4"]);
            let mut answers = vec!["correct horse", "", "battery staple"];
            let mut ask = |_: &str| Ok(SecretString::from(answers.pop().unwrap()));
            let signer = Signer::open_with(&path, None, &mut ask).unwrap();
            assert!(answers.is_empty(), "asked three times");
            let signature = signer.sign(NAMESPACE, MESSAGE).unwrap();
            assert!(stock_accepts(&public(&path), NAMESPACE, MESSAGE, signature.to_string().as_bytes()));
            let mut wrong = |_: &str| Ok(SecretString::from("wrong"));
            assert_eq!(Signer::open_with(&path, None, &mut wrong).unwrap_err().code(), "wrong_passphrase");
        }
    }
    let path = keygen(&dir, "gcm", &["-t", "ed25519", "-N", "correct horse", "-Z", "aes256-gcm@openssh.com"]);
    assert_eq!(Signer::open_with(&path, None, &mut no_passphrase).unwrap_err().code(), "bad_identity");
}

#[test]
fn a_generated_key_is_one_for_ssh_keygen() {
    let dir = tempfile::tempdir().unwrap();
    for comment in ["", "reviewer@sandbox.invalid", "a longer comment\nwith a line break"] {
        let (file, line) = generate_ed25519(comment).unwrap();
        let path = dir.path().join("made");
        std::fs::write(&path, file.as_bytes()).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let (read, printed, said) = run("ssh-keygen", &["-y", "-f", text(&path)], b"");
        assert!(read, "{said}");
        assert_eq!(String::from_utf8(printed).unwrap().trim_end(), line);
        let (_, armoured, _) = run("ssh-keygen", &["-Y", "sign", "-q", "-n", NAMESPACE, "-f", text(&path)], MESSAGE);
        let signer = Signer::open_with(&path, None, &mut no_passphrase).unwrap();
        assert_eq!(signer.sign(NAMESPACE, MESSAGE).unwrap(), Signature::parse(&armoured).unwrap());
        assert_eq!(*signer.public(), line.parse().unwrap());
    }
    assert_ne!(generate_ed25519("a").unwrap().1, generate_ed25519("a").unwrap().1);
}

/// An `ssh-agent` of this test's own.
struct RunningAgent {
    child: std::process::Child,
    socket: PathBuf,
}

impl RunningAgent {
    fn start(dir: &TempDir) -> Self {
        let socket = dir.path().join("agent");
        let child = Command::new("ssh-agent").args(["-D", "-a", text(&socket)]).stdout(Stdio::null()).spawn().unwrap();
        while !socket.exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        RunningAgent { child, socket }
    }

    fn add(&self, path: &Path) {
        let done = Command::new("ssh-add").arg("-q").arg(path).env("SSH_AUTH_SOCK", &self.socket).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for RunningAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_public_key_file_is_enough_when_the_agent_has_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let agent = RunningAgent::start(&dir);
    for (i, options) in KINDS.iter().enumerate() {
        let path = keygen(&dir, &format!("key{i}"), options);
        agent.add(&path);
        std::fs::remove_file(&path).unwrap();
        let at = Some(Agent::at(&agent.socket));
        let signer = Signer::open_with(&path.with_extension("pub"), at, &mut no_passphrase).unwrap();
        let signature = signer.sign(NAMESPACE, MESSAGE).unwrap();
        assert!(stock_accepts(&public(&path), NAMESPACE, MESSAGE, signature.to_string().as_bytes()), "{options:?}");
    }
    assert_eq!(Agent::at(&agent.socket).keys().unwrap().len(), KINDS.len());
    let other = keygen(&dir, "other", KINDS[0]);
    let beside = Signer::open_with(&other.with_extension("pub"), None, &mut no_passphrase).unwrap();
    assert_eq!(*beside.public(), public(&other), "the private file beside it is found");
    std::fs::remove_file(&other).unwrap();
    let gone = Signer::open_with(&other.with_extension("pub"), Some(Agent::at(&agent.socket)), &mut no_passphrase);
    assert_eq!(gone.unwrap_err().code(), "key_not_at_hand");
    std::fs::rename(dir.path().join("key1.pub"), dir.path().join("other.pub")).unwrap();
    keygen(&dir, "another", KINDS[0]);
    std::fs::rename(dir.path().join("another"), dir.path().join("other")).unwrap();
    let mixed = Signer::open_with(&dir.path().join("other.pub"), None, &mut no_passphrase);
    assert_eq!(mixed.unwrap_err().code(), "bad_identity");
}

#[test]
fn an_agent_that_talks_nonsense_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let other = generate_ed25519("other").unwrap().0;
    let other = PrivateFile::parse(other.as_bytes()).unwrap().open(None).unwrap();
    let key: PublicKey = generate_ed25519("").unwrap().1.parse().unwrap();
    let foreign = other.sign(NAMESPACE, MESSAGE).unwrap();
    // The signature proper of another key, as the tail of its blob.
    let made = &foreign.blob()[foreign.blob().len() - 83..];
    assert!(made.ends_with(&foreign.blob()[foreign.blob().len() - 64..]) && made[4..].starts_with(b"ssh-ed25519"));
    let list = Writer::new().raw(&[12]).u32(1).string(key.blob()).string(b"c").into_public();
    let framed = |body: &[u8]| Writer::new().string(body).into_public();
    let answers: Vec<(Vec<u8>, &str)> = vec![
        (framed(&Writer::new().raw(&[14]).string(made).into_public()), "bad_signature"),
        (framed(&[5]), "agent_refused"),
        (framed(&[14]), "agent_unavailable"),
        (framed(b""), "agent_unavailable"),
        (vec![0xff; 4], "agent_unavailable"),
        (vec![0, 0, 0, 9, 14], "agent_unavailable"),
        (framed(&Writer::new().raw(&[14]).string(b"").into_public()), "bad_ssh_signature"),
    ];
    for (i, (answer, code)) in answers.into_iter().enumerate() {
        let socket = dir.path().join(format!("socket{i}"));
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let replies = [framed(&list), answer];
        let served = std::thread::spawn(move || {
            for reply in replies {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(&reply).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                // Until the other side has sent its question and closed.
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            }
        });
        let path = dir.path().join("key.pub");
        std::fs::write(&path, format!("{key} c\n")).unwrap();
        let signer = Signer::open_with(&path, Some(Agent::at(&socket)), &mut no_passphrase).unwrap();
        let refused = signer.sign(NAMESPACE, MESSAGE).unwrap_err();
        assert_eq!(refused.code(), code, "{i}: {refused}");
        served.join().unwrap();
    }
}

#[test]
fn an_agent_that_drips_or_is_silent_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(&[0, 0, 255, 255]);
        while stream.write_all(&[12]).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    });
    let refused = Agent::at(&socket).ask(&[11], std::time::Duration::from_millis(200)).unwrap_err();
    assert_eq!((refused.code(), refused.kind()), ("agent_unavailable", crate::error::Kind::Unavailable));
    assert_eq!(Agent::at("/nonexistent").keys().unwrap_err().code(), "agent_unavailable");
}

#[test]
fn files_that_others_may_read_and_other_formats_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = keygen(&dir, "key", KINDS[0]);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let refused = Signer::open_with(&path, None, &mut no_passphrase).unwrap_err();
    assert_eq!((refused.code(), refused.advice()), ("bad_identity", Some("chmod 600 FILE")));
    let pem = keygen(&dir, "pem", &["-t", "rsa", "-b", "3072", "-N", "", "-m", "PEM"]);
    assert!(Signer::open_with(&pem, None, &mut no_passphrase).unwrap_err().advice().unwrap().contains("ssh-keygen -p"));
    for missing in [dir.path().join("none"), dir.path().to_owned(), PathBuf::from("/dev/null")] {
        assert_eq!(Signer::open_with(&missing, None, &mut no_passphrase).unwrap_err().code(), "bad_identity");
    }
    // A private key under another public key.
    let one = std::fs::read_to_string(keygen(&dir, "one", KINDS[0])).unwrap();
    let two = std::fs::read_to_string(keygen(&dir, "two", KINDS[0])).unwrap();
    let label = "OPENSSH PRIVATE KEY";
    let (one, two) = (dearmour(label, &one).unwrap(), dearmour(label, &two).unwrap());
    let mixed = armour(label, &[&one[..one.len() - 140], &two[two.len() - 140..]].concat());
    let refused = PrivateFile::parse(mixed.as_bytes()).and_then(|file| file.open(None)).unwrap_err();
    assert_eq!(refused.code(), "bad_identity");
}

#[test]
fn a_stub_without_an_agent_goes_to_ssh_keygen() {
    let dir = tempfile::tempdir().unwrap();
    let key = Authenticator::ed25519().public;
    // PROTOCOL.u2f: public key, application, flags, key handle, reserved.
    let mut reader = Reader(key.blob());
    let (word, point, name) = (reader.string().unwrap(), reader.string().unwrap(), reader.string().unwrap());
    let section = Writer::new().u32(9).u32(9).string(word).string(point).string(name);
    let mut section = section.raw(&[1]).string(b"handle").string(b"").string(b"c").into_public();
    let missing = (8 - section.len() % 8) % 8;
    section.extend((1u8..).take(missing));
    let file = Writer::new().raw(b"openssh-key-v1\0").string(b"none").string(b"none").string(b"").u32(1);
    let path = dir.path().join("-stub");
    std::fs::write(&path, armour("OPENSSH PRIVATE KEY", file.string(key.blob()).string(&section).bytes()).as_bytes())
        .unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let (read, printed, said) = run("ssh-keygen", &["-y", "-f", text(&path)], b"");
    assert!(read && String::from_utf8_lossy(&printed).starts_with(&key.to_string()), "{said}");
    let signer = Signer::open_with(&path, None, &mut no_passphrase).unwrap();
    assert!(signer.needs_touch() && *signer.public() == key);
    // There is no such device here; ssh-keygen says so itself.
    assert_eq!(signer.sign(NAMESPACE, MESSAGE).unwrap_err().code(), "security_key_refused");
}

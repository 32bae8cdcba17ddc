//! `ssh-keygen` and `ssh-agent` decide.

use super::wire::{Reader, Writer, armour, dearmour};
use super::*;
use crate::error::{Error, Result};
use crate::model::{Hash256, HashAlgorithm};
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer as OpensslSigner;
use proptest::prelude::*;
use secrecy::SecretString;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

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
fn keys_that_do_not_count_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let small = keygen(&dir, "small", &["-t", "rsa", "-b", "2048", "-N", ""]);
    let line = std::fs::read_to_string(small.with_extension("pub")).unwrap();
    assert!(line.parse::<PublicKey>().unwrap_err().message().contains("3072"));
    let dsa = keygen(&dir, "dsa", &["-t", "dsa", "-N", ""]);
    assert!(std::fs::read_to_string(dsa.with_extension("pub")).unwrap().parse::<PublicKey>().is_err());
    // A small key's signature, by ssh-keygen itself.
    let (_, armoured, _) = run("ssh-keygen", &["-Y", "sign", "-q", "-n", NAMESPACE, "-f", text(&small)], MESSAGE);
    assert_eq!(Signature::parse(&armoured).unwrap_err().code(), "bad_ssh_key");

    let good = generate_ed25519("").unwrap().1;
    let blob = good.parse::<PublicKey>().unwrap().blob().to_vec();
    let again = |blob: &[u8]| PublicKey::from_blob(blob);
    again(&blob).unwrap();
    again(&[&blob[..], &[0]].concat()).unwrap_err();
    again(&blob[..blob.len() - 1]).unwrap_err();
    for weak in [
        [0u8; 32],
        {
            let mut one = [0; 32];
            one[0] = 1;
            one
        },
        [0xff; 32],
    ] {
        let key = Writer::new().string(b"ssh-ed25519").string(&weak);
        assert!(again(key.bytes()).unwrap_err().message().contains("small order"), "{weak:?}");
    }
    for bad in [
        "",
        "ssh-ed25519",
        "ssh-ed25519 ",
        &format!(" {good}"),
        &format!("{good}\n\n"),
        &good.replace(' ', "  "),
        &good.replace("ssh-ed25519", "ssh-rsa"),
        &format!("restrict {good}"),
        &format!("{good} a\u{1b}b"),
    ] {
        assert_eq!(bad.parse::<PublicKey>().unwrap_err().code(), "bad_ssh_key", "{bad:?}");
    }

    // RSA in another spelling, with another exponent, and an even modulus.
    let rsa = public(&keygen(&dir, "rsa", KINDS[4]));
    let mut reader = Reader(rsa.blob());
    let (word, e, n) = (reader.string().unwrap(), reader.positive().unwrap(), reader.positive().unwrap());
    let with = |e: &[u8], n: &[u8]| again(Writer::new().string(word).string(e).string(n).bytes());
    with(e, &[&[0], n].concat()).unwrap();
    with(&[&[0], e].concat(), &[&[0], n].concat()).unwrap_err();
    with(e, &[&[0, 0], n].concat()).unwrap_err();
    with(e, n).unwrap_err();
    with(&[3], &[&[0], n].concat()).unwrap_err();
    let mut even = n.to_vec();
    *even.last_mut().unwrap() &= 0xfe;
    with(e, &[&[0], &even[..]].concat()).unwrap_err();

    // A point that is not on the curve, a compressed one, and one of another curve.
    let ec = public(&keygen(&dir, "ec", KINDS[1]));
    let mut reader = Reader(ec.blob());
    let (word, curve, point) = (reader.string().unwrap(), reader.string().unwrap(), reader.string().unwrap());
    let with = |curve: &[u8], point: &[u8]| again(Writer::new().string(word).string(curve).string(point).bytes());
    with(curve, point).unwrap();
    let mut off = point.to_vec();
    *off.last_mut().unwrap() ^= 1;
    with(curve, &off).unwrap_err();
    with(curve, &[&[2 + (point[64] & 1)], &point[1..33]].concat()).unwrap_err();
    with(b"nistp384", point).unwrap_err();
    with(curve, &[0]).unwrap_err();
}

/// An authenticator in software, as PROTOCOL.u2f describes it.
struct Authenticator {
    key: PKey<Private>,
    public: PublicKey,
}

impl Authenticator {
    fn ed25519() -> Self {
        let key = PKey::generate_ed25519().unwrap();
        let blob = Writer::new().string(b"sk-ssh-ed25519@openssh.com").string(&key.raw_public_key().unwrap());
        let public = PublicKey::from_blob(blob.string(b"ssh:keyctl").bytes()).unwrap();
        Authenticator { key, public }
    }

    fn ecdsa() -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = EcKey::generate(&group).unwrap();
        let mut context = openssl::bn::BigNumContext::new().unwrap();
        let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
        let point = key.public_key().to_bytes(&group, form, &mut context).unwrap();
        let blob = Writer::new().string(b"sk-ecdsa-sha2-nistp256@openssh.com").string(b"nistp256").string(&point);
        let public = PublicKey::from_blob(blob.string(b"ssh:").bytes()).unwrap();
        Authenticator { key: PKey::from_ec_key(key).unwrap(), public }
    }

    fn sign(&self, flags: u8, counter: u32, application: &str) -> Vec<u8> {
        let sha = |bytes: &[u8]| HashAlgorithm::Sha256.digest(bytes);
        let data = Signature::signed_data(NAMESPACE, MESSAGE).unwrap();
        let counter = counter.to_be_bytes();
        let signed = [&sha(application.as_bytes())[..], &[flags], &counter, &sha(&data)].concat();
        let body = match self.public.kind() {
            KeyKind::SkEd25519 => {
                OpensslSigner::new_without_digest(&self.key).unwrap().sign_oneshot_to_vec(&signed).unwrap()
            }
            _ => {
                let ec = self.key.ec_key().unwrap();
                let numbers = EcdsaSig::sign(&sha(&signed), &ec).unwrap();
                Writer::new().positive(&numbers.r().to_vec()).positive(&numbers.s().to_vec()).into_public()
            }
        };
        let word = self.public.kind().as_str().as_bytes();
        Writer::new().string(word).string(&body).raw(&[flags]).raw(&counter).into_public()
    }
}

#[test]
fn security_keys_say_who_was_there_and_ssh_keygen_agrees() {
    for authenticator in [Authenticator::ed25519(), Authenticator::ecdsa()] {
        let key = &authenticator.public;
        let application = key.application().unwrap();
        assert!(key.is_security_key());
        assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), *key);
        for (flags, present, verified) in [(1, true, false), (5, true, true), (4, false, true), (0, false, false)] {
            let made = authenticator.sign(flags, 7, application);
            let signature = Signature::assemble(key, NAMESPACE, &made).unwrap();
            let says = signature.verify(NAMESPACE, MESSAGE).unwrap();
            assert_eq!((says.user_present, says.user_verified, says.counter), (present, verified, Some(7)));
            assert_eq!(says.is_by_a_person(), present);
            // ssh-keygen -Y verify accepts any flags; who calls it has to look.
            assert!(stock_accepts(key, NAMESPACE, MESSAGE, signature.to_string().as_bytes()), "{flags}");
        }
        // Flags and counter are signed; another application is another key.
        let mut made = authenticator.sign(0, 7, application);
        let at = made.len() - 5;
        made[at] = 1;
        let forged = Signature::assemble(key, NAMESPACE, &made).unwrap();
        assert_eq!(forged.verify(NAMESPACE, MESSAGE).unwrap_err().code(), "bad_signature");
        assert!(!stock_accepts(key, NAMESPACE, MESSAGE, forged.to_string().as_bytes()));
        let made = authenticator.sign(1, 7, "webauthn.example");
        assert!(Signature::assemble(key, NAMESPACE, &made).unwrap().verify(NAMESPACE, MESSAGE).is_err());
        let made = authenticator.sign(1, 7, application);
        Signature::assemble(key, NAMESPACE, &made[..made.len() - 5]).unwrap_err();
        Signature::assemble(key, NAMESPACE, &[&made[..], &[0]].concat()).unwrap_err();
    }
}

#[test]
fn one_key_in_two_wrappings_has_one_material() {
    let authenticator = Authenticator::ed25519();
    let point = authenticator.key.raw_public_key().unwrap();
    let plain = PublicKey::from_blob(Writer::new().string(b"ssh-ed25519").string(&point).bytes()).unwrap();
    assert_ne!(plain.fingerprint(), authenticator.public.fingerprint());
    assert_eq!(plain.material(), authenticator.public.material());
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

#[test]
fn other_signatures_are_refused_by_name() {
    let key: PublicKey = generate_ed25519("").unwrap().1.parse().unwrap();
    let made = Writer::new().string(b"ssh-ed25519").string(&[1; 64]).into_public();
    let blob = |version: u32, namespace: &[u8], reserved: &[u8], hash: &[u8], made: &[u8]| {
        let writer = Writer::new().raw(b"SSHSIG").u32(version).string(key.blob()).string(namespace);
        writer.string(reserved).string(hash).string(made).into_public()
    };
    Signature::from_blob(&blob(1, b"n", b"", b"sha256", &made)).unwrap();
    let sha1 = Writer::new().string(b"ssh-rsa").string(&[1; 384]).into_public();
    let refused = [
        blob(2, b"n", b"", b"sha256", &made),
        blob(1, b"", b"", b"sha256", &made),
        blob(1, b"a\nb", b"", b"sha256", &made),
        blob(1, &[b'n'; 513], b"", b"sha256", &made),
        blob(1, b"n", b"x", b"sha256", &made),
        blob(1, b"n", b"", b"sha384", &made),
        blob(1, b"n", b"", b"sha1", &made),
        blob(1, b"n", b"", b"sha256", &made[..made.len() - 1]),
        blob(1, b"n", b"", b"sha256", &sha1),
        [blob(1, b"n", b"", b"sha256", &made), vec![0]].concat(),
        vec![0; MAX_SIGNATURE + 1],
    ];
    for blob in refused {
        assert_eq!(Signature::parse(&blob).unwrap_err().code(), "bad_ssh_signature");
    }
    let dir = tempfile::tempdir().unwrap();
    let rsa = public(&keygen(&dir, "rsa", KINDS[4]));
    let refused = Signature::assemble(&rsa, "n", &sha1).unwrap_err();
    assert!(refused.message().contains("RSA with a hash other than"), "{refused}");
    let ec = public(&keygen(&dir, "ec", KINDS[1]));
    for (r, s) in [(&[0u8; 0][..], &[1u8][..]), (&[1], &[]), (&[0xff; 32], &[1]), (&[1], &[0xff; 40])] {
        let numbers = Writer::new().positive(r).positive(s).into_public();
        let made = Writer::new().string(b"ecdsa-sha2-nistp256").string(&numbers).into_public();
        assert_eq!(Signature::assemble(&ec, "n", &made).unwrap_err().code(), "bad_ssh_signature");
    }
}

#[test]
fn pasted_armour_is_forgiven_its_white_space_only() {
    let (file, _) = generate_ed25519("").unwrap();
    let key = PrivateFile::parse(file.as_bytes()).unwrap().open(None).unwrap();
    let signature = key.sign(NAMESPACE, MESSAGE).unwrap();
    let text = signature.to_string();
    let indented: String = text.lines().map(|line| format!("   {line}  \r\n")).collect();
    for same in [&text, &text.replace('\n', "\r\n"), &format!("\n\n{text}\n"), &indented, &text.trim_end().to_owned()] {
        assert_eq!(same.parse::<Signature>().unwrap(), signature);
    }
    for other in [
        format!("hello\n{text}"),
        format!("{text}bye"),
        format!("{text}{text}"),
        text.replace("\n", ""),
        text.replace('=', ""),
    ] {
        if other == text {
            continue;
        }
        assert!(other.parse::<Signature>().is_err(), "{other}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_that_is_read_makes_the_readers_panic(
        mut blob in prop_oneof![Just(None), proptest::collection::vec(any::<u8>(), 0..300).prop_map(Some)],
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        kind in 0usize..3,
    ) {
        let (file, line) = generate_ed25519("c").unwrap();
        let key = PrivateFile::parse(file.as_bytes()).unwrap().open(None).unwrap();
        let mut bytes = blob.take().unwrap_or_else(|| match kind {
            0 => line.parse::<PublicKey>().unwrap().blob().to_vec(),
            1 => key.sign("n", b"m").unwrap().blob().to_vec(),
            _ => dearmour("OPENSSH PRIVATE KEY", &file).unwrap().to_vec(),
        });
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes.truncate(cut.index(bytes.len() + 1).max(bytes.len() / 2));
        if let Ok(key) = PublicKey::from_blob(&bytes) {
            prop_assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
        }
        if let Ok(signature) = Signature::from_blob(&bytes) {
            prop_assert_eq!(signature.to_string().parse::<Signature>().unwrap(), signature);
        }
        let armoured = armour("OPENSSH PRIVATE KEY", &bytes);
        let _ = PrivateFile::parse(armoured.as_bytes()).and_then(|file| file.open(Some("secret")));
        let _ = Signature::parse(&bytes);
        let _ = String::from_utf8_lossy(&bytes).parse::<PublicKey>();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let _ = format!("ssh-ed25519 {text}").parse::<PublicKey>();
        let _ = format!("-----BEGIN SSH SIGNATURE-----\n{text}\n-----END SSH SIGNATURE-----").parse::<Signature>();
    }
}

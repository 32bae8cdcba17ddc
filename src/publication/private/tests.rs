//! Keys as other people's programs write them, in every form, and public files that must pass.

use super::*;
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::symm::Cipher;
use proptest::prelude::*;
use std::path::Path;
use std::process::{Command, Stdio};

fn look(bytes: &[u8]) -> Option<&'static str> {
    found_in(bytes, &Secrets::default())
}

fn rsa() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

fn p256() -> EcKey<Private> {
    EcKey::generate(&EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()).unwrap()
}

/// The same bytes in all the ways in which somebody may have put them into a file.
fn dressed(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let base64 = <base64ct::Base64 as Encoding>::encode_string(bytes);
    let url = <Base64UrlUnpadded as Encoding>::encode_string(bytes);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let pem = |label: &str| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
    vec![
        ("as it is", bytes.to_vec()),
        ("in base64", base64.clone().into_bytes()),
        ("in base64 for URLs", url.into_bytes()),
        ("in lines", format!("here it is\n{}\n", lines.join("\r\n")).into_bytes()),
        ("under another label", pem("CERTIFICATE").into_bytes()),
        ("in JSON", format!("{{\"data\": \"{}\"}}", lines.join("\\n")).into_bytes()),
        ("in YAML", format!("secret:\n  key: |\n    {}\n", lines.join("\n    ")).into_bytes()),
        ("in a PEM file in base64", <base64ct::Base64 as Encoding>::encode_string(pem("X").as_bytes()).into_bytes()),
    ]
}

/// [`dressed`], and behind other bytes, for what is told at any place.
fn found_everywhere(what: &str, bytes: &[u8], anywhere: bool) {
    let mut forms = dressed(bytes);
    if anywhere {
        forms.push(("behind a certificate", [&b"\x30\x03\x02\x01\x05"[..], bytes].concat()));
    }
    for (how, form) in forms {
        // A PEM file inside another one is looked through to one depth only.
        if how != "in a PEM file in base64" || bytes.starts_with(b"--") {
            assert!(look(&form).is_some(), "{what} {how}");
        }
    }
}

#[test]
fn der_private_keys_are_found_in_every_dress() {
    let (rsa, ec) = (rsa(), p256());
    let ec_key = PKey::from_ec_key(ec.clone()).unwrap();
    found_everywhere("PKCS#1", &rsa.rsa().unwrap().private_key_to_der().unwrap(), true);
    found_everywhere("SEC1", &ec.private_key_to_der().unwrap(), true);
    for key in [&rsa, &ec_key, &PKey::generate_ed25519().unwrap(), &PKey::generate_x25519().unwrap()] {
        found_everywhere("PKCS#8", &key.private_key_to_pkcs8().unwrap(), true);
        let sealed = key.private_key_to_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret").unwrap();
        found_everywhere("encrypted PKCS#8", &sealed, true);
    }
    let store = Pkcs12::builder().pkey(&ec_key).name("x").build2("secret").unwrap().to_der().unwrap();
    found_everywhere("PKCS#12", &store, true);
}

#[test]
fn half_a_key_is_one_too_many() {
    let key = rsa().private_key_to_pkcs8().unwrap();
    assert!(look(&key[..200]).is_some());
    assert!(look(&rsa().rsa().unwrap().private_key_to_der().unwrap()[..200]).is_some());
}

#[test]
fn text_forms_are_found_also_in_utf_16() {
    let key = PKey::from_ec_key(p256()).unwrap();
    let texts = [
        key.private_key_to_pem_pkcs8().unwrap(),
        key.ec_key().unwrap().private_key_to_pem().unwrap(),
        rsa().private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), b"secret").unwrap(),
        b"# made by age-keygen\nAGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQ\n".to_vec(),
        b"PuTTY-User-Key-File-3: ssh-ed25519\n".to_vec(),
        b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n".to_vec(),
        b"untrusted comment: minisign encrypted secret key\n".to_vec(),
        b"Created: 20260101T000000\nKey: (protected-private-key (rsa\n".to_vec(),
        b"(21:protected-private-key(3:rsa(1:n".to_vec(),
        br#"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","d" : "BB"}]}"#.to_vec(),
    ];
    for text in texts {
        let shown = String::from_utf8_lossy(&text).into_owned();
        assert!(look(&text).is_some(), "{shown}");
        assert!(look(&[&b"# some words\n"[..], &text].concat()).is_some(), "{shown}");
        let wide: Vec<u8> = shown.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(look(&wide).is_some(), "UTF-16: {shown}");
    }
}

/// Runs a program; its output, or `None` where it is not installed.
fn output(program: &str, args: &[&str], home: &Path) -> Option<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(args).env("GNUPGHOME", home).current_dir(home).stdin(Stdio::null()).stderr(Stdio::null());
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{program} {args:?}");
            Some(output.stdout)
        }
        Err(_) => {
            eprintln!("skipped: {program} is not installed");
            None
        }
    }
}

#[test]
fn what_other_programs_write_is_told_apart() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let read = |name: &str| std::fs::read(home.path().join(name)).unwrap();
    for (kind, name) in [("ed25519", "e"), ("ecdsa", "c"), ("rsa", "r")] {
        let made =
            output("ssh-keygen", &["-q", "-t", kind, "-N", "", "-C", "me@example.invalid", "-f", name], home.path());
        if made.is_some() {
            assert_eq!(look(&read(name)), Some("a private key in PEM"));
            assert_eq!(look(&read(&format!("{name}.pub"))), None);
            let body: Vec<_> = String::from_utf8(read(name)).unwrap().lines().map(str::to_owned).collect();
            let wrapped = body[1..body.len() - 1].join("\n");
            assert_eq!(look(wrapped.as_bytes()), Some("an OpenSSH private key"), "without its frame");
        }
    }
    for (algorithm, id) in [("ed25519", "a@x"), ("rsa2048", "b@x"), ("nistp256", "c@x")] {
        let make = ["--batch", "--passphrase", "", "--quick-gen-key", id, algorithm, "sign", "never"];
        if output("gpg", &make, home.path()).is_none() {
            continue;
        }
        let export =
            |what: &[&str]| output("gpg", &[&["--batch", "--passphrase", ""], what, &[id]].concat(), home.path());
        let (secret, public) = (export(&["--export-secret-keys"]).unwrap(), export(&["--export"]).unwrap());
        found_everywhere("an OpenPGP key", &secret, false);
        assert_eq!(look(&[&public[..], &secret[..]].concat()), Some("an OpenPGP secret key"), "behind a public one");
        for (how, form) in dressed(&public) {
            assert_eq!(look(&form), None, "a public key {how}");
        }
        let (secret, public) =
            (export(&["--armor", "--export-secret-keys"]).unwrap(), export(&["--armor", "--export"]).unwrap());
        assert_eq!((look(&secret), look(&public)), (Some("an OpenPGP secret key"), None));
        let relabelled = String::from_utf8(secret).unwrap().replace("PRIVATE", "PUBLIC");
        assert_eq!(look(relabelled.as_bytes()), Some("an OpenPGP secret key"), "under another label");
    }
    let keys = home.path().join("private-keys-v1.d");
    for entry in std::fs::read_dir(keys).into_iter().flatten() {
        let path = entry.unwrap().path();
        assert!(look(&std::fs::read(&path).unwrap()).is_some(), "{}", path.display());
    }
    let store = [
        "-genkeypair",
        "-keystore",
        "k.jks",
        "-storetype",
        "jks",
        "-storepass",
        "secret1",
        "-keypass",
        "secret1",
        "-alias",
        "a",
        "-dname",
        "CN=x",
        "-keyalg",
        "EC",
    ];
    if output("keytool", &store, home.path()).is_some() {
        assert_eq!(look(&read("k.jks")), Some("a Java key store"));
    }
    let store = [
        "-genkeypair",
        "-keystore",
        "k.p12",
        "-storetype",
        "pkcs12",
        "-storepass",
        "secret1",
        "-alias",
        "a",
        "-dname",
        "CN=x",
        "-keyalg",
        "EC",
    ];
    if output("keytool", &store, home.path()).is_some() {
        assert_eq!(look(&read("k.p12")), Some("a PKCS#12 key store"));
    }
}

#[test]
fn public_files_pass() {
    let (rsa, ec) = (rsa(), PKey::from_ec_key(p256()).unwrap());
    for key in [&rsa, &ec] {
        for (how, form) in dressed(&key.public_key_to_der().unwrap()) {
            assert_eq!(look(&form), None, "a public key {how}");
        }
        for (how, form) in dressed(&rsa.rsa().unwrap().public_key_to_der_pkcs1().unwrap()) {
            assert_eq!(look(&form), None, "a PKCS#1 public key {how}");
        }
        assert_eq!(look(&key.public_key_to_pem().unwrap()), None);
    }
    let folders = ["/etc/ssl/certs", "/usr/share/keyrings", "/usr/share/ca-certificates/mozilla"];
    let mut seen = 0;
    for entry in folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        assert_eq!(look(&bytes), None, "{}", path.display());
        seen += 1;
    }
    println!("{seen} public files of this machine");
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["README.md", "ARCHITECTURE.md", "Cargo.lock", "LICENSE", "fixtures/ledger-v1/export.jsonl"] {
        assert_eq!(look(&std::fs::read(tree.join(name)).unwrap()), None, "{name}");
    }
    assert_eq!(look(br#"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"BB"}]}"#), None);
}

#[test]
fn pins_are_told_as_far_as_they_can_be() {
    let mut secrets = Secrets::default();
    for pin in ["2026", "12345678", "correct-horse-battery\n", "abc"] {
        secrets.add(pin.as_bytes());
    }
    let found = |text: &str| found_in(text.as_bytes(), &secrets).is_some();
    assert!(found("2026\n") && found("a\n 2026 \nb") && !found("of 2026-01-01"));
    assert!(found("pin=12345678;") && found("12345678") && !found("a12345678") && !found("123456789"));
    assert!(found("xcorrect-horse-batteryx") && !found("correct-horse"));
    assert!(!found("abc"), "too short to mean anything");
    assert_eq!(format!("{secrets:?}"), "Secrets(3)");
}

proptest! {
    #[test]
    fn noise_is_no_key_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        prop_assert_eq!(look(&bytes), None);
        for (how, form) in dressed(&bytes) {
            prop_assert_eq!(look(&form), None, "{}", how);
        }
    }

    #[test]
    fn damaged_keys_do_not_hurt(at in 0usize..60, bit in 0u8..8, cut in 0usize..1200) {
        static KEY: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut key = KEY.get_or_init(|| rsa().private_key_to_pkcs8().unwrap()).clone();
        key[at] ^= 1 << bit;
        key.truncate(cut);
        for (_, form) in dressed(&key) {
            let _ = look(&form);
        }
    }
}

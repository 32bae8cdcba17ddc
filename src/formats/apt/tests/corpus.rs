//! A real Ubuntu release file. Runs when `KEYCTL_CORPUS` points to the corpus.

use super::clients::keyring;
use super::scene::{Keys, days, has, run, text};
use crate::clock::parse;
use crate::formats::apt::Repository;
use crate::formats::apt::cleartext::{same_text, signable, split, write};
use crate::formats::apt::verify::verify;
use crate::model::{HashAlgorithm, KeyAlgorithm};
use crate::pki::openpgp::certificate::{Certificate, armored};
use crate::pki::openpgp::document::{self, Verdict};
use crate::pki::openpgp::unsigned::{finish_all, sign_all};
use sequoia_openpgp::{Packet, armor::Kind, serialize::SerializeInto};
use std::fs;
use std::path::PathBuf;

fn corpus() -> Option<PathBuf> {
    let found = std::env::var_os("KEYCTL_CORPUS").map(|dir| PathBuf::from(dir).join("apt"));
    if found.is_none() {
        println!("skipped: KEYCTL_CORPUS is not set");
    }
    found
}

#[test]
fn ubuntus_own_signatures_verify_in_their_time() {
    let Some(dir) = corpus() else { return };
    let keyring = Certificate::parse_all(&fs::read(dir.join("ubuntu2012.pgp")).unwrap()).unwrap();
    let report = verify(&dir, &keyring, parse("2017-03-22T00:00:00Z").unwrap()).unwrap();
    for signatures in [report.in_release.as_ref().unwrap(), report.release_gpg.as_ref().unwrap()] {
        assert!(signatures.iter().all(|one| one.verdict == Verdict::Good), "{signatures:?}");
    }
    assert!(report.findings.iter().all(|finding| finding.code == "index_missing"), "{report:?}");
    assert!(!report.is_accepted(), "none of the indexes is there");
    // The key's self-signature uses SHA-1, which no longer counts.
    let today = verify(&dir, &keyring, days(0)).unwrap();
    assert_eq!(today.in_release.unwrap()[0].verdict, Verdict::Refused);
    let early = verify(&dir, &keyring, parse("2017-03-21T07:00:00Z").unwrap()).unwrap();
    assert!(early.findings.iter().any(|finding| finding.code == "release_in_future"));
}

#[test]
fn ubuntus_release_file_signed_again_verifies_elsewhere() {
    let Some(dir) = corpus() else { return };
    if !has("gpgv") || !has("sqv") {
        return;
    }
    let release = fs::read(dir.join("Release")).unwrap();
    assert_eq!(Repository::open(&dir).unwrap().release().files.len(), 299);
    let ours = tempfile::tempdir().unwrap();
    let keys = Keys::new(KeyAlgorithm::EcdsaP256, KeyAlgorithm::Ed25519);
    let signer = keys.signer(0, days(0));
    let body = signable(&release).unwrap();
    let list = [
        document::text(&signer, body, "InRelease", days(0)).unwrap(),
        document::binary(&signer, &release, "Release.gpg", days(0)).unwrap(),
    ];
    let packets = finish_all(&list, &sign_all(&list, &[&keys.subkeys[0]]).unwrap()).unwrap();
    let armor = |index: usize| {
        let bytes = Packet::from(packets[index].clone()).to_vec().unwrap();
        armored(Kind::Signature, &[], &bytes).unwrap()
    };
    let at = |name: &str| ours.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("Release"), &release).unwrap();
    fs::write(at("InRelease"), write(body, &[HashAlgorithm::Sha512], &armor(0))).unwrap();
    fs::write(at("Release.gpg"), armor(1)).unwrap();
    let keyring = keyring(ours.path(), &keys.certificate);
    for files in [vec![at("InRelease")], vec![at("Release.gpg"), at("Release")]] {
        let mut arguments = vec!["--status-fd", "1", "--keyring", &keyring];
        arguments.extend(files.iter().map(String::as_str));
        let said = text(&run("gpgv", &arguments));
        assert!(said.contains("GOODSIG"), "{said}");
    }
    assert!(run("sqv", &["--keyring", &keyring, &at("Release.gpg"), &at("Release")]).status.success());
    // Both frames, Ubuntu's and ours, hold the same text.
    let theirs = split(&fs::read(dir.join("InRelease")).unwrap()).unwrap();
    assert_eq!(theirs.text, split(&fs::read(at("InRelease")).unwrap()).unwrap().text);
    assert!(same_text(&theirs.text, &release));
}

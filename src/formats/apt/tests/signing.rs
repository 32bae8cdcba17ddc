//! What our own code makes of repositories.

use super::scene::{Archive, Keys, days};
use crate::formats::apt::Repository;
use crate::formats::apt::package::Package;
use crate::formats::apt::published::{self, SignedBy, Source};
use crate::formats::apt::sign::prepare;
use crate::formats::apt::verify::{Report, verify};
use crate::model::KeyAlgorithm;
use crate::pki::openpgp::certificate::Certificate;
use crate::pki::openpgp::change;
use crate::pki::openpgp::document::Verdict;
use crate::pki::openpgp::plan::{Operation, Reason};
use std::fs;

fn keys() -> Keys {
    Keys::new(KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP256)
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn a_signed_repository_is_clean_and_a_changed_byte_is_seen() {
    let (archive, keys) = (Archive::new(days(-1)), keys());
    let suite = archive.suite();
    let keyring = [keys.certificate.clone()];
    let report = verify(&suite, &keyring, days(0)).unwrap();
    assert!(!report.is_accepted());
    keys.sign_here(&suite, &[0], days(0));
    let report = verify(&suite, &keyring, days(0)).unwrap();
    assert!(report.is_clean(), "{report:?}");
    for (name, code) in
        [("Release", "text_differs"), ("InRelease", "bad_signature"), ("main/binary-amd64/Packages", "index_mismatch")]
    {
        let before = fs::read(suite.join(name)).unwrap();
        let text = String::from_utf8(before.clone()).unwrap();
        fs::write(suite.join(name), text.replacen("test", "tesT", 1).replacen("Test", "test", 1)).unwrap();
        let report = verify(&suite, &keyring, days(0)).unwrap();
        assert!(!report.is_clean() && codes(&report).contains(&code), "{name}: {report:?}");
        // A client that has InRelease never looks at Release.
        assert_eq!(report.is_accepted(), name == "Release");
        fs::write(suite.join(name), before).unwrap();
    }
}

#[test]
fn without_in_release_the_detached_signature_decides() {
    let (archive, keys) = (Archive::new(days(-1)), keys());
    let suite = archive.suite();
    keys.sign_here(&suite, &[0], days(0));
    fs::remove_file(suite.join("InRelease")).unwrap();
    let report = verify(&suite, std::slice::from_ref(&keys.certificate), days(0)).unwrap();
    assert!(report.is_accepted() && codes(&report) == ["no_in_release"], "{report:?}");
    let mut release = fs::read(suite.join("Release")).unwrap();
    release.push(b'\n');
    fs::write(suite.join("Release"), release).unwrap();
    let report = verify(&suite, &[keys.certificate], days(0)).unwrap();
    assert!(!report.is_accepted() && codes(&report).contains(&"bad_signature"), "{report:?}");
}

#[test]
fn keyrings_decide_and_reasons_are_told_apart() {
    let (archive, mut keys) = (Archive::new(days(-1)), keys());
    let suite = archive.suite();
    let old = keys.certificate.clone();
    keys.add(KeyAlgorithm::Ed25519, days(-3), days(90));
    keys.sign_here(&suite, &[0, 1], days(0));
    let both = keys.certificate.clone();
    let verdicts = |certificate: &Certificate, at| -> Vec<_> {
        let report = verify(&suite, std::slice::from_ref(certificate), at).unwrap();
        let list = report.in_release.as_ref().unwrap().iter().map(|one| one.verdict).collect();
        assert_eq!(report.release_gpg.unwrap().iter().map(|one| one.verdict).collect::<Vec<_>>(), list);
        list
    };
    assert_eq!(verdicts(&both, days(0)), [Verdict::Good, Verdict::Good]);
    assert_eq!(verdicts(&old, days(0)), [Verdict::Good, Verdict::UnknownKey]);
    assert_eq!(verdicts(&both, days(81)), [Verdict::ExpiredKey, Verdict::Good]);
    let fingerprint = keys.infos[0].key.fingerprint().unwrap();
    let revoked = change::revoke_subkey(&both, &fingerprint, Reason::Compromised, "", days(0)).unwrap();
    let revoked = revoked.sign(&[&keys.primary]).unwrap();
    assert_eq!(verdicts(&revoked, days(1)), [Verdict::RevokedKey, Verdict::Good]);
    let ended = change::apply_revocation(&both, keys.made.revocation.armored.as_bytes()).unwrap();
    assert_eq!(verdicts(&ended, days(1)), [Verdict::RevokedKey, Verdict::RevokedKey]);
    assert!(verify(&suite, std::slice::from_ref(&old), days(1)).unwrap().is_accepted());
    assert!(!verify(&suite, &[ended], days(1)).unwrap().is_accepted());
    assert!(!verify(&suite, &[old], days(81)).unwrap().is_accepted());
}

#[test]
fn dates_are_checked_before_and_after() {
    let (archive, keys) = (Archive::new(days(1)), keys());
    let suite = archive.suite();
    let refused = |now| {
        let error = prepare(&Repository::open(&suite).unwrap(), &[keys.signer(0, now)], now).unwrap_err();
        error.code()
    };
    assert_eq!(refused(days(0)), "release_in_future");
    let until = |day| format!("Valid-Until: {}\n", super::scene::rfc2822(days(day)));
    archive.write_release(days(-3), &until(-4));
    assert_eq!(refused(days(-2)), "release_expired");
    archive.write_release(days(-3), &until(-1));
    assert_eq!(refused(days(0)), "release_expired");
    archive.write_release(days(-3), &until(81));
    assert_eq!(refused(days(0)), "valid_until_after_key_expiry");
    archive.write_release(days(-3), "Signed-By: 0000000000000000000000000000000000000000\n");
    assert_eq!(refused(days(0)), "signed_by_excludes");
    let pin = format!("Signed-By: {}!, {}\n", keys.signer(0, days(0)).fingerprint, "0".repeat(40));
    archive.write_release(days(-3), &(pin + &until(7)));
    keys.sign_here(&suite, &[0], days(0));
    let keyring = [keys.certificate.clone()];
    assert!(verify(&suite, &keyring, days(6)).unwrap().is_clean());
    assert!(codes(&verify(&suite, &keyring, days(8)).unwrap()).contains(&"release_expired"));
    assert!(codes(&verify(&suite, &keyring, days(-4)).unwrap()).contains(&"release_in_future"));
}

#[test]
fn an_old_key_may_sign_along_to_its_end() {
    let (archive, mut keys) = (Archive::new(days(-1)), keys());
    let until = format!("Valid-Until: {}\n", super::scene::rfc2822(days(85)));
    archive.write_release(days(-1), &until);
    keys.add(KeyAlgorithm::EcdsaP256, days(-3), days(90));
    let repository = Repository::open(&archive.suite()).unwrap();
    let signers = [keys.signer(0, days(0)), keys.signer(1, days(0))];
    let prepared = prepare(&repository, &signers, days(0)).unwrap();
    assert_eq!(prepared.notes.len(), 1);
    let plan = prepared.plan();
    assert_eq!((plan.operation, plan.signatures.len()), (Operation::SignRelease, 4));
    assert_eq!(plan.certificate, keys.certificate.fingerprint());
    assert_eq!(plan, prepare(&repository, &signers, days(0)).unwrap().plan());
    assert!(prepare(&repository, &signers[..1], days(0)).is_err());
    assert_eq!(prepare(&repository, &[], days(0)).unwrap_err().code(), "no_signer");
    let twice = [signers[0].clone(), signers[0].clone()];
    assert_eq!(prepare(&repository, &twice, days(0)).unwrap_err().code(), "duplicate_key");
}

#[test]
fn a_repository_that_does_not_match_its_lists_is_not_signed() {
    let (archive, keys) = (Archive::new(days(-1)), keys());
    let suite = archive.suite();
    fs::write(suite.join("main/binary-amd64/Packages"), "other").unwrap();
    let refused = prepare(&Repository::open(&suite).unwrap(), &[keys.signer(0, days(0))], days(0)).unwrap_err();
    assert_eq!(refused.code(), "index_mismatch");
    assert!(refused.message().starts_with("main/binary-amd64/Packages: "), "{refused}");
    fs::remove_file(suite.join("Release")).unwrap();
    assert_eq!(Repository::open(&suite).unwrap_err().code(), "no_release");
}

#[test]
fn published_keyrings_hold_what_they_should() {
    let (one, two) = (keys(), keys());
    let both = [one.certificate.clone(), two.certificate.clone()];
    let keyring = published::keyring(&both).unwrap();
    for form in [keyring.binary.as_slice(), keyring.armored.as_bytes()] {
        let read = Certificate::parse_all(form).unwrap();
        let fingerprints: Vec<_> = read.iter().map(Certificate::fingerprint).collect();
        assert_eq!(fingerprints, both.each_ref().map(Certificate::fingerprint));
        assert!(Certificate::parse(form).is_err(), "two are not one");
    }
    assert_eq!(Certificate::parse_all(b"").unwrap_err().code(), "bad_keyring");
    assert_eq!(Certificate::parse_all(b"junk").unwrap_err().code(), "bad_keyring");
    let cut = &keyring.binary[..keyring.binary.len() - 3];
    assert!(Certificate::parse_all(cut).is_err());
}

#[test]
fn sources_and_packages_take_no_line_breaks() {
    let source = Source {
        types: &["deb"],
        uris: &["https://example.org/debian"],
        suites: &["stable"],
        components: &["main"],
        architectures: &[],
    };
    let text = published::sources(&source, SignedBy::Path("/usr/share/keyrings/x.pgp")).unwrap();
    assert!(text.ends_with("Components: main\nSigned-By: /usr/share/keyrings/x.pgp\n"), "{text}");
    assert!(published::sources(&source, SignedBy::Path("x.pgp")).is_err());
    for bad in ["", "a b", "stable\nTrusted: yes"] {
        assert!(published::sources(&Source { suites: &[bad], ..source.clone() }, SignedBy::Path("/x")).is_err());
    }
    assert!(published::sources(&Source { suites: &[], ..source }, SignedBy::Path("/x")).is_err());
    let good = Package {
        name: "example-archive-keyring",
        version: "2026.11.1",
        maintainer: "Example <archive@example.org>",
        description: "keys of the example archive",
        date: crate::clock::parse("2026-11-29T12:00:00Z").unwrap(),
    };
    for bad in [
        Package { name: "../x", ..good.clone() },
        Package { name: "X", ..good.clone() },
        Package { version: "a", ..good.clone() },
        Package { maintainer: "x\nDepends: y <z>", ..good.clone() },
        Package { description: "x\ny", ..good.clone() },
    ] {
        assert_eq!(bad.control().unwrap_err().code(), "bad_package", "{bad:?}");
    }
    assert!(good.control().unwrap().starts_with("Package: example-archive-keyring\nVersion: 2026.11.1\n"));
}

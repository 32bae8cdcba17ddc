//! A rotation as clients live through it: old, both and new keyrings, on several days.

use super::clients::{AptRoot, keyring, sources};
use super::scene::{Archive, Keys, days, has, run, text};
use crate::clock::Time;
use crate::formats::apt::cleartext::{signable, write};
use crate::formats::apt::published::SignedBy;
use crate::formats::apt::verify::verify;
use crate::model::{HashAlgorithm, KeyAlgorithm};
use crate::pki::openpgp::certificate::{Certificate, armored};
use crate::pki::openpgp::document;
use crate::pki::openpgp::unsigned::{finish_all, sign_all};
use sequoia_openpgp::{Packet, armor::Kind, serialize::SerializeInto};
use std::fs;

/// `apt-get update` as of another day.
fn update_on(root: &AptRoot, day: Time) -> Result<(), String> {
    let stamp = day.format("%Y-%m-%d %H:%M:%S").to_string();
    let arguments = root.arguments();
    let mut all = vec!["-f", stamp.as_str(), "env", "TZ=UTC"];
    all.extend(arguments.iter().map(String::as_str));
    let output = run("faketime", &all);
    let said = text(&output);
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[test]
fn clients_follow_a_rotation_if_they_get_the_new_keyring_in_time() {
    if !has("faketime") || !has("apt-get") {
        return;
    }
    // Day 0 is when the first key is made; it lasts 90 days, and the second begins to sign on day 75.
    let day = |day: i64| days(-200 + day);
    let mut keys = Keys::at(KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP256, day(0), day(90));
    let old = keys.certificate.clone();
    keys.add(KeyAlgorithm::Ed25519, day(45), day(180));
    let new = keys.certificate.clone();
    let cases: [(i64, &[usize], &Certificate, bool); 8] = [
        (44, &[0], &old, true),
        (60, &[0], &new, true),
        (76, &[0, 1], &old, true),
        (76, &[0, 1], &new, true),
        (89, &[0, 1], &old, true),
        (91, &[1], &new, true),
        (91, &[1], &old, false),
        (181, &[1], &new, false),
    ];
    for (on, signers, client, expected) in cases {
        let archive = Archive::new(day(on.min(170) - 1));
        keys.sign_here(&archive.suite(), signers, day(on.min(170)) - chrono::TimeDelta::hours(1));
        let keyring = keyring(archive.dir.path(), client);
        let said = update_on(&AptRoot::new(&sources(&archive, SignedBy::Path(&keyring))), day(on));
        let ours = verify(&archive.suite(), std::slice::from_ref(client), day(on)).unwrap();
        assert_eq!(said.is_ok(), expected, "day {on}, signers {signers:?}: {said:?}");
        assert_eq!(ours.is_accepted(), expected, "day {on}, signers {signers:?}: {:?}", ours.refusals);
    }
}

#[test]
fn apt_and_our_verdict_agree_about_dates() {
    if !has("faketime") || !has("apt-get") {
        return;
    }
    let keys = Keys::new(KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP256);
    let archive = Archive::new(days(-1));
    archive.write_release(days(-1), &format!("Valid-Until: {}\n", super::scene::rfc2822(days(7))));
    keys.sign_here(&archive.suite(), &[0], days(0));
    let keyring = keyring(archive.dir.path(), &keys.certificate);
    let sources = sources(&archive, SignedBy::Path(&keyring));
    for (on, expected) in [(0, true), (6, true), (8, false), (-2, false)] {
        let said = update_on(&AptRoot::new(&sources), days(on) + chrono::TimeDelta::minutes(1));
        assert_eq!(said.is_ok(), expected, "day {on}: {said:?}");
        let ours =
            verify(&archive.suite(), std::slice::from_ref(&keys.certificate), days(on) + chrono::TimeDelta::minutes(1));
        assert_eq!(ours.unwrap().is_accepted(), expected, "day {on}");
    }
}

#[test]
fn one_bad_signature_spoils_a_good_one_and_an_unknown_one_does_not() {
    if !has("apt-get") {
        return;
    }
    let mut keys = Keys::new(KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP256);
    let old = keys.certificate.clone();
    keys.add(KeyAlgorithm::EcdsaP256, days(-3), days(90));
    let archive = Archive::new(days(-1));
    let release = fs::read(archive.suite().join("Release")).unwrap();
    let text = signable(&release).unwrap();
    let list = [
        document::text(&keys.signer(0, days(0)), text, "InRelease", days(0)).unwrap(),
        document::text(&keys.signer(1, days(0)), b"another text", "InRelease", days(0)).unwrap(),
    ];
    let packets = finish_all(&list, &sign_all(&list, &[&keys.subkeys[0], &keys.subkeys[1]]).unwrap()).unwrap();
    let bytes: Vec<_> = packets.into_iter().flat_map(|packet| Packet::from(packet).to_vec().unwrap()).collect();
    let signatures = armored(Kind::Signature, &[], &bytes).unwrap();
    fs::write(archive.suite().join("InRelease"), write(text, &[HashAlgorithm::Sha256], &signatures)).unwrap();
    for (client, expected) in [(&old, true), (&keys.certificate, false)] {
        let keyring = keyring(archive.dir.path(), client);
        let said = AptRoot::new(&sources(&archive, SignedBy::Path(&keyring))).update();
        assert_eq!(said.is_ok(), expected, "{said:?}");
        let ours = verify(&archive.suite(), std::slice::from_ref(client), days(0)).unwrap();
        assert_eq!(ours.is_accepted(), expected, "{:?}", ours.refusals);
    }
}

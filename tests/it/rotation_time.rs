//! Rotation with the clock turned: due dates to the second, leap days, the turn of 2049, retirement, alerts.

use crate::apt::{FTPARCHIVE, archive, keyring, said, suite};
use crate::rotation::{adopt, are, states, steps};
use crate::support::{Place, Ran, real_pe_files, tool};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

/// A sandbox that was founded at this time.
fn founded(time: DateTime<Utc>) -> Place {
    let place = Place::new();
    let workspace = place.workspace();
    place.keyctl_at(time, &["--workspace", workspace.to_str().expect("UTF-8"), "init", "--sandbox"]).ok();
    place
}

fn issued(place: &Place, key: &str) -> DateTime<Utc> {
    let active = "SELECT doc FROM generations WHERE state = 'active' AND key";
    let doc: Value = serde_json::from_str(&place.sql(&format!("{active} = '{key}'"))).expect("JSON");
    let credential = &doc["identities"][0]["credential"];
    let from = credential.get("not_before").or(credential.get("created")).and_then(Value::as_str);
    at(from.expect("a time"))
}

fn sign(place: &Place, time: DateTime<Utc>) -> Ran {
    place.copy(&real_pe_files()[3], "app.exe");
    place.keyctl_at(time, &["sign", "app.exe"])
}

#[test]
fn a_rotation_is_due_to_the_second_and_the_gate_never_meets_a_key_that_was_rotated_in_time() {
    for start in ["2027-12-01T23:59:59Z", "2028-02-29T00:00:00Z", "2026-03-28T12:00:00Z"] {
        let place = founded(at(start));
        let from = issued(&place, "windows");
        let due = from + TimeDelta::days(76);
        let second = TimeDelta::seconds(1);
        let row = place.keyctl_at(due - second, &["rotate", "windows"]).ok().one();
        assert_eq!((&row["result"], &row["due"]), (&"not-due".into(), &keyctl::clock::rfc3339(due).into()));
        place.keyctl_at(due - second, &["due"]).ok();
        are(&place, "windows", &["active"]);
        let end = from + TimeDelta::days(90);
        // Without a rotation the gate is strict.
        let early = place.keyctl_at(end - second, &["status", "--check", "windows"]);
        assert_eq!(early.code, 0, "{}", early.stderr);
        assert_eq!(place.keyctl_at(end, &["status", "--check", "windows"]).code, 4);
        place.keyctl_at(due, &["rotate", "windows"]).ok();
        are(&place, "windows", &["retiring", "active"]);
        for moment in [due, end - second, end, due + TimeDelta::days(90) - second] {
            assert_eq!(sign(&place, moment).ok().one()["generation"], "windows/2", "{start}: {moment}");
        }
        sign(&place, due + TimeDelta::days(90)).exits(4).says("CertificateAgeDays");
    }
}

#[test]
fn due_keeps_a_sandbox_going_for_a_year_and_never_stops_a_signature() {
    let place = founded(at("2026-11-25T10:00:00Z"));
    let start = issued(&place, "windows");
    let archive = archive(&place, "a", FTPARCHIVE);
    let mut rotations = 0;
    for week in 0..53 {
        let now = start + TimeDelta::days(7 * week);
        let rows = place.keyctl_at(now, &["due"]).ok().json();
        rotations += rows.iter().filter(|row| row["result"] == "done" && row["what"] == "rotation").count();
        sign(&place, now).ok();
        if week % 4 == 0 {
            std::fs::write(suite(&archive).join("Release"), release_at(&suite(&archive), now)).expect("written");
            place.keyctl_at(now, &["sign", archive.to_str().expect("UTF-8")]).ok();
        }
        for key in ["root", "windows-ca", "windows", "apt", "apt-root"] {
            let active = states(&place, key).into_values().filter(|state| state == "active").count();
            assert_eq!(active, 1, "{key} in week {week}");
        }
    }
    println!("{rotations} rotations");
    // Four rounds of three X.509 keys, and APT keys more often, since they wait for clients.
    assert!((16..=24).contains(&rotations), "{rotations}");
    let resting: Vec<_> = ["root", "windows-ca"].iter().map(|key| states(&place, key)).collect();
    assert!(resting.iter().all(|states| states[states.keys().next().expect("one")] == "crl-only"), "{resting:?}");
    assert_eq!(states(&place, "windows")["windows/1"], "revoked", "as superseded, when it had retired");
    place.keyctl_at(start + TimeDelta::days(371), &["audit", "log"]).ok();
}

/// A Release file that was made at this time.
fn release_at(suite: &Path, time: DateTime<Utc>) -> String {
    let text = std::fs::read_to_string(suite.join("Release")).expect("Release");
    let line = |line: &str| match line.split_once(": ") {
        Some(("Date", _)) => format!("Date: {}", time.format("%a, %d %b %Y %H:%M:%S UTC")),
        _ => line.to_owned(),
    };
    text.lines().map(line).map(|line| line + "\n").collect()
}

/// Tags of the validity's two times, as openssl reads them.
fn time_tags(path: &Path) -> Vec<String> {
    let output = tool("openssl").args(["asn1parse", "-in"]).arg(path).output().expect("openssl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let tag = |line: &str| ["UTCTIME", "GENERALIZEDTIME"].into_iter().find(|tag| line.contains(tag)).map(str::to_owned);
    text.lines().filter_map(tag).collect()
}

#[test]
fn certificates_over_the_turn_of_2049_are_encoded_and_accepted_as_rfc_5280_says() {
    let place = founded(at("2049-10-10T00:00:00Z"));
    let from = issued(&place, "windows");
    assert_eq!(time_tags(&place.published("certs/windows-1.pem")), ["UTCTIME", "GENERALIZEDTIME"]);
    assert_eq!(time_tags(&place.published("certs/root-1.pem")), ["UTCTIME", "GENERALIZEDTIME"]);
    // 76 days later it is Christmas, and then the other century half.
    for (round, moment) in [(2, from + TimeDelta::days(76)), (3, from + TimeDelta::days(160))] {
        for key in ["root", "windows-ca", "windows", "apt"] {
            let row = place.keyctl_at(moment, &["rotate", key, "--now"]).ok().one();
            assert_eq!(row["generation"], format!("{key}/{round}"));
        }
        sign(&place, moment).ok();
        place.keyctl_at(moment, &["verify", "app.exe"]).ok();
        let roots = place.published("certs/root-1.pem");
        let untrusted: Vec<_> = [
            format!("windows-ca-{round}"),
            format!("root-{round}-with-root-{}", round - 1),
            "root-2-with-root-1".to_owned(),
        ]
        .iter()
        .map(|name| std::fs::read_to_string(place.published(&format!("certs/{name}.pem"))).expect("PEM"))
        .collect();
        std::fs::write(place.path("untrusted.pem"), untrusted.concat()).expect("written");
        let output = tool("openssl")
            .args(["verify", "-x509_strict", "-attime", &moment.timestamp().to_string(), "-CAfile"])
            .args([&roots, Path::new("-untrusted"), &place.path("untrusted.pem")])
            .arg(place.published(&format!("certs/windows-{round}.pem")))
            .output()
            .expect("openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(time_tags(&place.published("certs/windows-3.pem")), ["GENERALIZEDTIME", "GENERALIZEDTIME"]);
    assert_eq!(time_tags(&place.published("certs/root-1-with-root-2.pem")), ["UTCTIME", "GENERALIZEDTIME"]);
    place.keyctl_at(from + TimeDelta::days(161), &["audit", "log"]).ok();
}

#[test]
fn a_ca_that_grew_old_certifies_successors_and_nothing_new_until_it_is_rotated() {
    let place = founded(at("2026-11-25T10:00:00Z"));
    let end = issued(&place, "windows-ca") + TimeDelta::days(90);
    let row = place.keyctl_at(end, &["rotate", "windows"]).ok().one();
    assert_eq!(row["generation"], "windows/2", "the strict gate causes no outage");
    let entry = |kind: &str| {
        let found = place
            .entries()
            .into_iter()
            .rev()
            .find(|entry| entry["type"] == "CERTIFICATE_ISSUED" && entry["body"]["phase"] == kind);
        found.expect("an entry")
    };
    let gates = entry("intent")["body"]["gates"].as_array().expect("gates").clone();
    assert!(
        gates.iter().any(|gate| gate["input"].as_str().expect("text").contains("exempt: a successor")),
        "{gates:?}"
    );
    let toml = place.workspace().join("keyctl.toml");
    let text = std::fs::read_to_string(&toml).expect("keyctl.toml");
    let (head, tail) = text.split_once("[keys.windows]\n").expect("a key");
    let one = tail.split("\n\n").next().expect("an entry");
    std::fs::write(&toml, format!("{head}[keys.second]\n{one}\n\n[keys.windows]\n{tail}")).expect("written");
    place.keyctl_at(end, &["adopt"]).ok();
    place.keyctl_at(end, &["keygen", "second"]).fails(4, "gate_failed").says("CertificateAgeDays");
    place.keyctl_at(end, &["rotate", "windows-ca"]).ok();
    place.keyctl_at(end, &["keygen", "second"]).ok();
}

#[test]
fn expiry_is_told_once_at_30_14_and_7_days() {
    let place = founded(at("2026-11-25T10:00:00Z"));
    let expires = issued(&place, "windows") + TimeDelta::days(120) - TimeDelta::seconds(1);
    // Nobody rotates it: the settings let its review wait, so to say, by an interval that never ends.
    adopt_at(
        &place,
        expires - TimeDelta::days(40),
        "rotation_days    = 90\nrotate_lead_days = 14",
        "rotation_days    = 3000\nrotate_lead_days = 1",
    );
    let alerts = |time: DateTime<Utc>| {
        let rows = place.keyctl_at(time, &["due"]).json();
        rows.iter()
            .filter(|row| row["what"] == "expiry" && row["key"] == "windows")
            .map(|row| row["days"].as_u64())
            .collect::<Vec<_>>()
    };
    let day = TimeDelta::days(1);
    assert_eq!(alerts(expires - day * 30), []);
    assert_eq!(alerts(expires - day * 30 + TimeDelta::seconds(1)), [Some(30)]);
    assert_eq!(alerts(expires - day * 20), []);
    assert_eq!(alerts(expires - day * 13), [Some(14)]);
    assert_eq!(alerts(expires - day * 3), [Some(7)]);
    assert_eq!(alerts(expires - day * 2), []);
    assert_eq!(place.sql("SELECT count(*) FROM expiry_alerts WHERE generation = 'windows/1'"), "3");
    let entry = place.entries().into_iter().find(|entry| entry["type"] == "CERTIFICATE_EXPIRY").expect("an alert");
    assert_eq!(entry["body"]["generation"], "windows/1");
    place.keyctl_at(expires, &["audit", "log"]).ok();
}

fn adopt_at(place: &Place, time: DateTime<Utc>, from: &str, to: &str) {
    let path = place.workspace().join("keyctl.toml");
    let text = std::fs::read_to_string(&path).expect("keyctl.toml");
    assert!(text.contains(from), "{from:?} is not in\n{text}");
    std::fs::write(&path, text.replacen(from, to, 1)).expect("written");
    place.keyctl_at(time, &["adopt"]).ok();
}

/// `apt-get update` at a time of its own, in a root of its own.
fn apt_update_at(place: &Place, time: DateTime<Utc>, archive: &Path, keyring: &Path) -> Result<(), String> {
    let root = tempfile::TempDir::new_in(place.path(".")).expect("a root");
    let path = root.path().canonicalize().expect("there");
    for folder in
        ["etc/sources.list.d", "etc/apt.conf.d", "etc/preferences.d", "state/lists/partial", "cache/archives/partial"]
    {
        std::fs::create_dir_all(path.join(folder)).expect("a folder");
    }
    std::fs::write(path.join("status"), "").expect("written");
    let sources = format!(
        "Types: deb\nURIs: file:{}\nSuites: stable\nComponents: main\nArchitectures: amd64\nSigned-By: {}\n",
        archive.canonicalize().expect("there").display(),
        keyring.display()
    );
    std::fs::write(path.join("etc/sources.list.d/test.sources"), sources).expect("written");
    let root = path.display();
    let settings = format!(
        "Dir::Etc \"{root}/etc\";\nDir::State \"{root}/state\";\nDir::State::status \"{root}/status\";\n\
         Dir::Cache \"{root}/cache\";\nAPT::Architecture \"amd64\";\nAPT::Architectures \"amd64\";\n\
         APT::Sandbox::User \"root\";\nAPT::Update::Error-Mode \"any\";\nAcquire::Languages \"none\";\n"
    );
    std::fs::write(path.join("apt.conf"), settings).expect("written");
    let mut command = tool("faketime");
    command.arg("-f").arg(time.format("%Y-%m-%d %H:%M:%S").to_string()).args(["apt-get", "update"]);
    command.env("TZ", "UTC").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("APT_CONFIG", path.join("apt.conf"));
    let (good, text) = said(&mut command);
    if good && !text.contains("W: ") { Ok(()) } else { Err(text) }
}

/// A repository played through the change of its key, with clients that have the keyring of before, of in between, and
/// of after.
#[test]
fn apt_clients_get_through_a_rotation_with_any_keyring_that_they_should_have_by_then() {
    let start = at("2026-11-25T10:00:00Z");
    let place = founded(start);
    let archive = archive(&place, "a", FTPARCHIVE);
    let suite = suite(&archive);
    let keep = |name: &str| place.copy(&keyring(&place), name);
    let sign = |day: i64| {
        let now = start + TimeDelta::days(day) + TimeDelta::hours(1);
        std::fs::write(suite.join("Release"), release_at(&suite, now - TimeDelta::minutes(5))).expect("written");
        let row = place.keyctl_at(now, &["sign", archive.to_str().expect("UTF-8")]).ok().one();
        (now, row["generation"].as_str().expect("a generation").to_owned())
    };
    let good = |now: DateTime<Utc>, keyring: &PathBuf| {
        let mut command = tool("faketime");
        command.arg("-f").arg(now.format("%Y-%m-%d %H:%M:%S").to_string()).args([
            "gpgv",
            "--status-fd",
            "1",
            "--keyring",
        ]);
        said(command.arg(keyring).arg(suite.join("InRelease")).env("TZ", "UTC")).1.matches("GOODSIG").count()
    };
    let old = keep("old.pgp");
    let (now, by) = sign(0);
    assert_eq!(by, "apt/1");
    apt_update_at(&place, now, &archive, &old).expect("the beginning");

    // The successor is made and published; in a sandbox it takes over at once.
    let due = start + TimeDelta::days(90 - 14 - 30) + TimeDelta::hours(1);
    let rows = place.keyctl_at(due, &["due"]).ok().json();
    let row = rows.iter().find(|row| row["key"] == "apt").expect("the rotation");
    assert_eq!(steps(row), ["generate", "certify", "publish", "test", "stage", "activate"]);
    let both = keep("both.pgp");
    let (now, by) = sign(47);
    assert_eq!(by, "apt/2");
    for keyring in [&old, &both] {
        apt_update_at(&place, now, &archive, keyring).unwrap_or_else(|text| panic!("{}: {text}", keyring.display()));
    }
    assert_eq!((good(now, &old), good(now, &both)), (1, 2), "both keys sign");

    // At the end of its interval the old key signs no more; who never fetched the new keyring is left behind.
    let (now, by) = sign(90);
    assert_eq!(by, "apt/2");
    apt_update_at(&place, now, &archive, &both).expect("the keyring of the overlap");
    assert!(apt_update_at(&place, now, &archive, &old).expect_err("too old").contains("NO_PUBKEY"));

    // A newer keyring keeps the older keys, so what they signed stays good.
    let rows = place.keyctl_at(start + TimeDelta::days(46 + 46) + TimeDelta::hours(2), &["due"]).ok().json();
    assert!(rows.iter().any(|row| row["key"] == "apt"), "{rows:?}");
    are(&place, "apt", &["retired", "retiring", "active"]);
    let newest = keep("new.pgp");
    let (now, by) = sign(93);
    assert_eq!(by, "apt/3");
    for keyring in [&both, &newest] {
        apt_update_at(&place, now, &archive, keyring).unwrap_or_else(|text| panic!("{}: {text}", keyring.display()));
    }
    assert!(apt_update_at(&place, now, &archive, &old).is_err());
    place.keyctl_at(now, &["verify", archive.to_str().expect("UTF-8")]).ok();
    place.keyctl_at(now, &["audit", "log"]).ok();
}

#[test]
fn a_new_primary_key_comes_to_clients_with_the_next_subkey() {
    let place = Place::with_sandbox();
    let before = std::fs::read(keyring(&place)).expect("a keyring");
    place.keyctl(&["rotate", "apt-root", "--now"]).ok();
    assert_eq!(std::fs::read(keyring(&place)).expect("a keyring"), before, "nobody has a use for it yet");
    let archive = archive(&place, "a", FTPARCHIVE);
    let path = archive.to_str().expect("UTF-8");
    assert_eq!(place.keyctl(&["sign", path]).ok().one()["generation"], "apt/1");
    place.keyctl(&["rotate", "apt", "--now"]).ok();
    let listed = said(
        tool("gpg").arg("--homedir").arg(place.path(".")).args(["--show-keys", "--with-colons"]).arg(keyring(&place)),
    )
    .1;
    assert_eq!(listed.matches("pub:").count(), 2, "both primary keys: {listed}");
    place.keyctl(&["sign", path]).ok();
    crate::apt::apt_update(&place, &archive, &keyring(&place)).expect("clients");
    let old = place.path("old.pgp");
    std::fs::write(&old, before).expect("written");
    crate::apt::apt_update(&place, &archive, &old).expect("the retiring key signs along");
}

#[test]
fn adopting_a_longer_interval_moves_the_due_date() {
    let place = Place::with_sandbox();
    let due =
        |place: &Place| place.keyctl(&["rotate", "windows"]).ok().one()["due"].as_str().expect("a time").to_owned();
    let before = due(&place);
    adopt(&place, "rotation_days    = 90\nrotate_lead_days = 14", "rotation_days    = 80\nrotate_lead_days = 14");
    assert_eq!(at(&before) - at(&due(&place)), TimeDelta::days(10));
}

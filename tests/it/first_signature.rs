//! Real files through the whole road, and verifiers that are not ours at the end of it.

use crate::support::{Pe, Place, flip, osslsigncode_accepts, real_pe_files, set_checksum, tool};
use keyctl::clock::{self, Clock};
use keyctl::files::source::{Source, SourcePolicy};
use keyctl::formats::verify::{self, Trust, Verdict};
use keyctl::pki::pem;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// `name.ext` of a real file, told apart where two have the same name.
fn local(file: &Path) -> String {
    file.file_name().expect("a name").to_string_lossy().into_owned()
}

/// A sandbox with the real files in it.
fn place_with_files() -> (Place, Vec<String>) {
    let place = Place::with_sandbox();
    let names: Vec<_> = real_pe_files().iter().map(|file| local(file)).collect();
    for (file, name) in real_pe_files().iter().zip(&names) {
        place.copy(file, name);
    }
    (place, names)
}

fn strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn root(place: &Place) -> PathBuf {
    place.published("certs/root-1.pem")
}

fn sandbox_name(name: &str) -> String {
    let (stem, extension) = name.rsplit_once('.').expect("an extension");
    format!("{stem}.sandbox-signed.{extension}")
}

/// Both verifiers agree.
#[track_caller]
fn accepted(place: &Place, name: &str) {
    assert!(osslsigncode_accepts(&root(place), &place.path(name)), "osslsigncode refuses {name}");
    let row = place.keyctl(&["verify", name]).ok().one();
    let signatures = row["signatures"].as_array().map(Vec::len);
    assert_eq!((&row["verdict"], signatures), (&"valid".into(), Some(1)), "{row}");
    assert!(row["ledger_entry"].is_u64(), "{row}");
    // And on another machine, with the root certificate alone.
    let other = Place::new();
    other.copy(&place.path(name), "file");
    other.copy(&root(place), "root.pem");
    other.keyctl(&["verify", "file", "--roots", "root.pem"]).ok();
}

#[track_caller]
fn refused(place: &Place, name: &str) {
    assert!(!osslsigncode_accepts(&root(place), &place.path(name)), "osslsigncode accepts {name}");
    let row = place.keyctl(&["verify", name]).exits(6).one();
    assert_ne!(row["verdict"], "valid", "{row}");
}

#[test]
fn real_files_are_signed_as_copies_beside_and_in_place() {
    let (place, names) = place_with_files();
    let before = place.files();

    let mut args = vec!["sign", "--sandbox"];
    args.extend(strs(&names));
    let rows = place.keyctl(&args).ok().json();
    assert_eq!(rows.len(), names.len());
    place.keyctl(&["sign", &names[0], "--to", "alone.exe"]).ok();
    std::fs::create_dir(place.path("out")).expect("a folder");
    let mut args = vec!["sign", "--to", "out"];
    args.extend(strs(&names));
    place.keyctl(&args).ok();
    for name in &names {
        assert_eq!(before[name], std::fs::read(place.path(name)).expect("readable"), "{name} was to stay as it is");
        accepted(&place, &sandbox_name(name));
        accepted(&place, &format!("out/{name}"));
    }
    accepted(&place, "alone.exe");

    let mut args = vec!["sign"];
    args.extend(strs(&names));
    let rows = place.keyctl(&args).ok().json();
    for (row, name) in rows.iter().zip(&names) {
        assert_eq!((&row["file"], &row["result"]), (&name.as_str().into(), &"signed".into()), "{row}");
        assert_eq!(row["generation"], "windows/1");
        let evidence = row["evidence"].as_str().expect("evidence");
        assert!(Path::new(evidence).is_file(), "{row}");
        let sum = |bytes: &[u8]| keyctl::model::Hash256::of(bytes).to_string();
        assert_eq!(row["sha256"], sum(&std::fs::read(place.path(name)).expect("readable")));
        assert_eq!(row["sha256_before"], sum(&before[name]));
        accepted(&place, name);
    }
    // Nothing else was left beside them.
    let mut expected: Vec<_> = names.iter().flat_map(|name| [name.clone(), sandbox_name(name)]).collect();
    expected.push("alone.exe".into());
    expected.sort();
    assert_eq!(place.files().into_keys().collect::<Vec<_>>(), expected);
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn sbverify_accepts_the_boot_loader() {
    let (place, names) = place_with_files();
    let efi = names.last().expect("an EFI file");
    place.keyctl(&["sign", efi]).ok();
    let verify = |certificate: &str, file: &str| {
        let output = tool("sbverify").arg("--cert").arg(place.published(certificate)).arg(place.path(file)).output();
        let output = output.expect("sbverify runs");
        (
            output.status.success(),
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        )
    };
    let (good, words) = verify("certs/root-1.pem", efi);
    assert!(good && words.contains("Signature verification OK"), "{words}");
    let body = Pe::of(&std::fs::read(place.path(efi)).expect("readable")).body;
    flip(&place.path(efi), body + 7);
    assert!(!verify("certs/root-1.pem", efi).0);
}

#[test]
fn one_changed_byte_is_refused_by_everyone() {
    let (place, names) = place_with_files();
    let mut args = vec!["sign"];
    args.extend(strs(&names));
    place.keyctl(&args).ok();
    for name in &names {
        let good = std::fs::read(place.path(name)).expect("readable");
        let pe = Pe::of(&good);
        let (body_end, table) = (pe.certificates.start, pe.certificates.clone());
        // The last byte that is not padding is the signature's own last byte.
        let last = good.iter().rposition(|byte| *byte != 0).expect("bytes");
        let places = [
            ("DOS stub", 0x40),
            ("TimeDateStamp", pe.stamp),
            ("body", pe.body),
            ("middle", (pe.body + body_end) / 2),
            ("end of the body", body_end - 1),
            ("SpcIndirectData", table.start + 100),
            ("certificate", table.start + table.len() / 2),
            ("signature", last),
        ];
        for (what, at) in places {
            for fixed in [false, true] {
                let mut bad = good.clone();
                bad[at] ^= 0x01;
                if fixed {
                    set_checksum(&mut bad);
                }
                std::fs::write(place.path("bad.exe"), &bad).expect("writable");
                println!("{name}: {what}, CheckSum fixed: {fixed}");
                refused(&place, "bad.exe");
            }
        }
        let mut cut = good.clone();
        cut.truncate(good.len() - 8);
        std::fs::write(place.path("bad.exe"), cut).expect("writable");
        refused(&place, "bad.exe");
        // The sums alone do not make a good file bad.
        let mut same = good.clone();
        set_checksum(&mut same);
        assert_eq!(same, good, "{name}: the CheckSum was right");
    }
}

/// Every bit of headers and certificate table counts, also for whoever sets the CheckSum right afterwards.
#[test]
fn no_byte_of_a_signature_or_a_header_is_free() {
    let (place, names) = place_with_files();
    let name = &names[1];
    place.keyctl(&["sign", name]).ok();
    let good = std::fs::read(place.path(name)).expect("readable");
    let roots = pem::decode(pem::label::CERTIFICATE, &std::fs::read(root(&place)).expect("readable"), 1).expect("PEM");
    let path = place.path("bad.dll");
    let now = Clock::system().now();
    let verdict = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("writable");
        let source = Source::open(&path, SourcePolicy::READ).expect("a file");
        let trust = Trust { roots: &roots, timestamp_roots: &roots, crls: &[], at: now, require_timestamp: false };
        verify::verify(&source, &trust).map(|report| report.verdict().0)
    };
    assert_eq!(verdict(&good).expect("readable"), Verdict::Valid);
    let pe = Pe::of(&good);
    let checksum = pe.checksum..pe.checksum + 4;
    let mut free = Vec::new();
    for at in (0..pe.body.min(1024)).chain(pe.certificates).filter(|at| !checksum.contains(at)) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        set_checksum_if_pe(&mut bad);
        if matches!(verdict(&bad), Ok(Verdict::Valid)) {
            free.push(at);
        }
    }
    assert_eq!(free, [0usize; 0], "these bytes can be changed");
}

/// A changed header may be no PE any more; then there is no CheckSum to set.
fn set_checksum_if_pe(bytes: &mut [u8]) {
    let at = u32::from_le_bytes([bytes[0x3c], bytes[0x3d], bytes[0x3e], bytes[0x3f]]) as usize;
    if bytes.get(at..at + 4) == Some(b"PE\0\0") && at + 200 < bytes.len() {
        set_checksum(bytes);
    }
}

#[test]
fn mode_attributes_and_the_time_policy_are_kept() {
    let (place, names) = place_with_files();
    let name = &names[0];
    let path = place.path(name);
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    std::fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(old)).expect("times");
    let attribute =
        tool("setfattr").args(["-n", "user.origin", "-v", "build 7"]).arg(&path).status().expect("setfattr");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4751)).expect("mode");
    let origin = |path: &Path| xattr::get(path, "user.origin").ok().flatten();
    let expected = attribute.success().then(|| b"build 7".to_vec());
    if expected.is_none() {
        eprintln!("skipped: extended attributes (this file system has none)");
    }
    let before = path.metadata().expect("there");

    place.keyctl(&["sign", name, "--to", "new.exe"]).ok();
    let new = place.path("new.exe").metadata().expect("there");
    assert_eq!(new.mode() & 0o7777, 0o751, "a new file gets no set-id bits");
    assert_eq!(origin(&place.path("new.exe")), expected);
    let unchanged = path.metadata().expect("there");
    assert_eq!((unchanged.ino(), unchanged.mtime(), unchanged.mode()), (before.ino(), before.mtime(), before.mode()));

    place.keyctl(&["sign", name]).ok();
    let after = path.metadata().expect("there");
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert_eq!(origin(&path), expected);
    // Another content is a new file to whoever builds on it.
    assert!(after.modified().expect("time") > old + Duration::from_secs(86_400));
    accepted(&place, name);
}

#[test]
fn a_signed_file_is_refused_and_stays_as_it_is() {
    let (place, names) = place_with_files();
    let name = &names[3];
    place.keyctl(&["sign", name]).ok();
    let (files, entries) = (place.files(), place.entries().len());
    let identity = |found: std::fs::Metadata| (found.ino(), found.mtime(), found.mtime_nsec(), found.ctime_nsec());
    let before = identity(place.path(name).metadata().expect("there"));
    place.keyctl(&["sign", name]).fails(1, "already_signed");
    place.keyctl(&["sign", "--sandbox", name]).fails(1, "already_signed");
    place.keyctl(&["sign", name, "--to", "again.exe"]).fails(1, "already_signed");
    assert_eq!(identity(place.path(name).metadata().expect("there")), before);
    assert!(place.files() == files, "a file was changed or left behind");
    assert_eq!(place.entries().len(), entries, "the gate was not asked");
}

#[test]
fn one_bad_file_does_not_stop_the_others() {
    let (place, names) = place_with_files();
    std::fs::write(place.path("notes.txt"), "not a program at all").expect("writable");
    let ran = place.keyctl(&["sign", &names[0], "notes.txt", "gone.exe", &names[1]]);
    // `gone.exe` is a wrong argument (2), `notes.txt` failed (1): the batch ends with the first of 70, 1, 3, …
    let rows = ran.exits(1).json();
    assert_eq!(rows.len(), 4);
    let of = |file: &str| rows.iter().find(|row| row["file"] == file).expect(file);
    for name in [&names[0], &names[1]] {
        assert_eq!(of(name)["result"], "signed");
        accepted(&place, name);
    }
    assert_eq!(of("notes.txt")["error"]["code"], "unsupported_format");
    assert_eq!(of("gone.exe")["error"]["code"], "not_found");
    for name in ["notes.txt", "gone.exe"] {
        assert_eq!(of(name)["result"], "failed");
        assert!(of(name)["error"]["message"].as_str().expect("words").matches(name).count() == 1, "{}", of(name));
    }
    assert_eq!(place.files()["notes.txt"], b"not a program at all");
}

#[test]
fn what_is_no_program_is_refused_and_leaves_nothing() {
    let place = Place::with_sandbox();
    let real = place.copy(&real_pe_files()[0], "real.exe");
    std::fs::create_dir(place.path("folder")).expect("a folder");
    std::os::unix::fs::symlink("real.exe", place.path("link.exe")).expect("a link");
    std::fs::write(place.path("empty.exe"), "").expect("writable");
    std::fs::write(place.path("package.msix"), b"PK\x03\x04 and more").expect("writable");
    std::fs::write(place.path("stub.exe"), b"MZ").expect("writable");
    std::fs::write(place.path("half.exe"), &std::fs::read(&real).expect("readable")[..700]).expect("writable");
    std::fs::hard_link(place.path("real.exe"), place.path("second.exe")).expect("a link");
    assert!(tool("mkfifo").arg(place.path("pipe.exe")).status().expect("mkfifo").success());
    let listing = || {
        let names = std::fs::read_dir(place.path("")).expect("readable").map(|e| e.expect("entry").file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    let (files, names, entries) = (place.files(), listing(), place.entries().len());
    let cases = [
        ("folder", 1, "no_release"),
        ("link.exe", 2, "symlink"),
        ("pipe.exe", 2, "not_a_file"),
        ("gone.exe", 2, "not_found"),
        ("empty.exe", 1, "unsupported_format"),
        ("package.msix", 1, "unsupported_format"),
        ("stub.exe", 1, "pe_dos"),
        ("half.exe", 1, "pe_truncated"),
        ("real.exe", 1, "hard_linked"),
    ];
    for (name, exit, code) in cases {
        println!("{name}");
        place.keyctl(&["sign", name]).fails(exit, code).says(name);
        if !["real.exe", "folder"].contains(&name) {
            place.keyctl(&["sign", name, "--to", "out.exe"]).fails(exit, code);
        }
    }
    // A folder can only be a repository, which is signed where it is.
    place.keyctl(&["sign", "folder", "--to", "out.exe"]).fails(2, "not_for_repositories");
    place.keyctl(&["sign", "folder", "--hash", "sha384"]).fails(2, "not_for_repositories");
    place.keyctl(&["sign", "folder", "--timestamp", "http://tsa.invalid"]).fails(2, "not_for_repositories");
    // A new name is never taken from another file, and its folder is not made.
    place.keyctl(&["sign", "real.exe", "--to", "empty.exe"]).fails(1, "target_exists");
    place.keyctl(&["sign", "real.exe", "--to", "no/such/out.exe"]).fails(2, "target_unwritable");
    assert!(place.files() == files, "a file was changed");
    assert_eq!(listing(), names, "something was left behind");
    assert_eq!(place.entries().len(), entries, "the gate was not asked, so no key was");
}

#[test]
fn the_age_gate_closes_to_the_second() {
    let (place, names) = place_with_files();
    let keys = std::fs::read_to_string(place.published("keys.json")).expect("readable");
    let keys: serde_json::Value = serde_json::from_str(&keys).expect("JSON");
    let windows = keys["keys"].as_array().expect("keys").iter().find(|key| key["name"] == "windows").expect("windows");
    let issued = clock::parse(windows["certificate_issued"].as_str().expect("a time")).expect("a time");
    let days = |days: i64| issued + chrono::TimeDelta::days(days);

    let last = days(90) - chrono::TimeDelta::seconds(1);
    place.keyctl_at(last, &["sign", &names[0]]).ok();
    accepted(&place, &names[0]);
    assert_eq!(place.entries().last().expect("entries")["time"], clock::rfc3339(last));
    place.keyctl_at(last, &["status", "--check", "windows"]).ok();

    let (files, entries) = (place.files(), place.entries().len());
    let evidence = || std::fs::read_dir(place.workspace().join("evidence")).expect("evidence").count();
    let fragments = evidence();
    let ran = place.keyctl_at(days(90), &["sign", &names[1]]).fails(4, "gate_failed");
    ran.says("CertificateAgeDays").says("RotationInterval");
    place.keyctl_at(days(90), &["status", "--check", "windows"]).fails(4, "gate_failed").says("CertificateAgeDays");
    assert!(place.files() == files, "a file was changed or left behind");
    assert_eq!(evidence(), fragments);

    let added = place.entries().split_off(entries);
    let [refusal] = added.as_slice() else { panic!("one entry for the refusal: {added:?}") };
    assert_eq!(refusal["body"]["phase"], "refused");
    assert_eq!((&refusal["time"], &refusal["body"]["code"]), (&clock::rfc3339(days(90)).into(), &"gate_failed".into()));
    let gates = refusal["body"]["gates"].as_array().expect("gates");
    let failed: Vec<_> = gates.iter().filter(|gate| gate["verdict"] != "pass").map(|gate| &gate["name"]).collect();
    assert_eq!(failed, ["CertificateAgeDays"]);
    assert!(gates.len() > 1, "the gates that passed are there too");

    // The ledger does not go back in time, and a certificate is not valid before it begins.
    place.keyctl(&["sign", &names[2]]).fails(4, "clock_behind");
    place.keyctl_at(days(90), &["audit", "log"]).ok();
}

//! Names of files: several for one, room for what is written, permissions, and the way back.

use crate::support::{Place, corpus, ran, real_pe_files, tool};
use std::process::Stdio;

#[test]
fn several_names_of_one_file_are_one_file() {
    let place = Place::with_sandbox();
    place.copy(&real_pe_files()[3], "app.exe");
    std::os::unix::fs::symlink("app.exe", place.path("link.exe")).expect("a symlink");
    let count = || place.sql("SELECT count(*) FROM artifacts");
    let ran = place.keyctl(&["sign", "app.exe", "./app.exe", "link.exe", "--follow-symlinks"]).ok();
    let rows = ran.json();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["entry"] == rows[0]["entry"] && row["result"] == "signed"), "{rows:?}");
    for name in ["./app.exe", "link.exe"] {
        assert!(ran.stderr.contains(&format!("{name}: the same file as app.exe")), "{}", ran.stderr);
    }
    assert_eq!(count(), "1");
    place.keyctl(&["verify", "app.exe"]).ok();
    assert!(place.path("link.exe").is_symlink());

    std::fs::create_dir(place.path("out")).expect("a folder");
    place.copy(&real_pe_files()[3], "one.exe");
    std::fs::hard_link(place.path("one.exe"), place.path("two.exe")).expect("a link");
    let ran = place.keyctl(&["sign", "one.exe", "./one.exe", "two.exe", "--to", "out"]).ok();
    assert!(ran.stderr.contains("two.exe: the same file as one.exe"), "{}", ran.stderr);
    assert_eq!(count(), "2");
}

#[test]
fn removing_says_when_it_cannot_give_back_what_was_signed() {
    let place = Place::with_sandbox();
    let file = place.copy(&real_pe_files()[4], "boot.efi");
    let plain = std::fs::read(&file).expect("readable");
    place.keyctl(&["sign", "boot.efi"]).ok();
    place.copy(&file, "elsewhere.efi");
    let row = place.keyctl(&["sign", "--remove", "boot.efi"]).ok().one();
    assert_eq!((&row["result"], &row["doubt"]), (&"restored".into(), &serde_json::Value::Null), "{row}");
    assert_eq!(std::fs::read(&file).expect("readable"), plain);

    let other = Place::with_sandbox();
    other.copy(&place.path("elsewhere.efi"), "boot.efi");
    let row = other.keyctl(&["sign", "--remove", "boot.efi"]).ok().one();
    assert_eq!(row["result"], "removed");
    assert!(row["doubt"].as_str().expect("words").contains("this workspace did not sign it"), "{row}");
}

/// Signatures by RSA keys do not vary, so two files that a signed one does not tell apart become the same bytes.
#[test]
fn two_originals_that_are_signed_into_the_same_bytes_are_both_named() {
    let Some(corpus) = corpus("two originals of one signed file") else { return };
    let place = Place::new();
    crate::shapes::workspace(&place);
    for (name, to) in [("rsa_remove_A.in", "a.exe"), ("rsa_remove_Ac.in", "c.exe")] {
        place.copy(&corpus.join("failing/windows").join(name), to);
    }
    let before = [place.path("a.exe"), place.path("c.exe")].map(|path| std::fs::read(path).expect("readable"));
    for name in ["a.exe", "c.exe"] {
        place.keyctl(&["sign", "--key", "windows-rsa", name]).ok();
    }
    let signed = std::fs::read(place.path("a.exe")).expect("readable");
    assert_eq!(std::fs::read(place.path("c.exe")).expect("readable"), signed, "the signed form tells them not apart");
    for (name, before) in ["a.exe", "c.exe"].into_iter().zip(&before) {
        let row = place.keyctl(&["sign", "--remove", name]).ok().one();
        let after = std::fs::read(place.path(name)).expect("readable");
        assert_eq!(row["result"], "removed", "{row}");
        assert!(row["doubt"].as_str().expect("words").contains("cannot be told apart"), "{row}");
        assert_eq!(after.len(), before.len().next_multiple_of(8), "the padding stays");
    }
}

#[test]
fn a_file_that_was_signed_in_the_sandbox_is_taken_as_it_is_found() {
    let place = Place::new();
    let plain = std::fs::read(place.copy(&real_pe_files()[3], "app.exe")).expect("readable");
    place.keyctl(&["sign", "--sandbox", "app.exe"]).ok();
    let signed = "app.sandbox-signed.exe";
    place.keyctl(&["sign", "--remove", "--sandbox", signed]).ok().says("restored");
    assert_eq!(std::fs::read(place.path(signed)).expect("readable"), plain);
    assert!(!place.path("app.sandbox-signed.sandbox-signed.exe").exists());
}

#[test]
fn a_new_file_keeps_permissions_beyond_the_mode() {
    let place = Place::with_sandbox();
    let file = place.copy(&real_pe_files()[3], "app.exe");
    // user::rw- user:12345:r-- group::--- mask::r-- other::---, as acl(5) stores it.
    let entry =
        |tag: u16, perm: u16, id: u32| [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat();
    let none = u32::MAX;
    let entries = [entry(1, 6, none), entry(2, 4, 12345), entry(4, 0, none), entry(16, 4, none), entry(32, 0, none)];
    let acl = [&2u32.to_le_bytes()[..], &entries.concat()].concat();
    let name = "system.posix_acl_access";
    if let Err(error) = xattr::set(&file, name, &acl) {
        eprintln!("skipped: the file system of the tests keeps no ACL: {error}");
        return;
    }
    place.keyctl(&["sign", "app.exe", "--to", "signed.exe"]).ok();
    assert_eq!(xattr::get(place.path("signed.exe"), name).expect("attributes"), Some(acl));
    place.keyctl(&["verify", "signed.exe"]).ok();
}

#[test]
fn a_disk_without_room_for_the_signature_is_found_out_before_the_key() {
    let place = Place::with_sandbox();
    let file = place.copy(&real_pe_files()[3], "app.exe");
    std::fs::create_dir(place.path("small")).expect("a folder");
    let size = std::fs::metadata(&file).expect("a file").len().next_multiple_of(4096) + 8192;
    let keyctl = place.command(&[]).get_program().to_owned();
    let line = format!(
        "mount -t tmpfs -o size={size} none small || exit 77; '{}' --output json sign app.exe --to small/app.exe",
        keyctl.display()
    );
    let mut command = tool("unshare");
    command.args(["-rm", "sh", "-c", &line]).current_dir(place.path("")).stdin(Stdio::null());
    command.env("HOME", place.path("")).env("XDG_STATE_HOME", place.path("state"));
    command.env("KEYCTL_TRUST_DIR", place.path("trust")).env("KEYCTL_WORKSPACE", place.workspace());
    let ran = ran(command.output().expect("unshare runs"));
    if ran.code == 77 || ran.stderr.contains("unshare") {
        eprintln!("skipped: no small file system can be made here: {}", ran.stderr);
        return;
    }
    ran.fails(1, "disk_full");
    assert!(!place.entries().iter().any(|entry| entry["type"].as_str().unwrap_or_default().starts_with("SIGN")));
    place.keyctl(&["sign", "app.exe", "--to", "missing/app.exe"]).exits(2);
}

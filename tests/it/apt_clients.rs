//! Repositories about which clients and we once disagreed: beside each, what apt says.

use crate::apt::apt_update;
use crate::support::{Place, Ran, corpus, tool};
use std::path::{Path, PathBuf};

struct Scene {
    place: Place,
    folder: PathBuf,
}

impl Scene {
    fn new(place: Place) -> Option<Self> {
        Some(Scene { folder: corpus("what apt and we say of odd repositories")?.join("failing/apt"), place })
    }

    /// The only repository of an archive of its own, whose suite is called stable.
    fn archive(&self, name: &str) -> PathBuf {
        let archive = self.place.path(format!("archive-{name}"));
        if !archive.exists() {
            std::fs::create_dir_all(archive.join("dists")).expect("a folder");
            copied(&self.folder.join(name), &archive.join("dists/stable"));
        }
        archive
    }

    fn keyring(&self, name: &str) -> PathBuf {
        let all = name.starts_with("d_") || ["nodate", "missingdep11"].contains(&name);
        self.folder.join(if all { "all.pgp" } else { "ed.pgp" })
    }

    fn verify(&self, name: &str) -> Ran {
        let (suite, keyring) = (self.archive(name).join("dists/stable"), self.keyring(name));
        self.place.keyctl(&["verify", text(&suite), "--keyring", text(&keyring)])
    }

    fn apt(&self, name: &str) -> Result<(), String> {
        apt_update(&self.place, &self.archive(name), &self.keyring(name))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn copied(from: &Path, to: &Path) {
    let made = tool("cp").arg("-rL").arg(from).arg(to).status().expect("cp runs");
    assert!(made.success());
    let writable = tool("chmod").args(["-R", "u+w"]).arg(to).status().expect("chmod runs");
    assert!(writable.success());
}

#[test]
fn what_every_apt_refuses_is_not_accepted() {
    let Some(scene) = Scene::new(Place::new()) else { return };
    for (name, words) in [
        ("md5wrong", "main/binary-amd64/Packages: its MD5Sum"),
        ("upperhex", "line 8: a hash in upper case"),
        ("byhash_broken", "main/binary-amd64/by-hash/SHA256/"),
        ("d_nl_after", "something follows the signature"),
        ("d_sp_after", "something follows the signature"),
        ("d_ff_after", "something follows the signature"),
        ("d_gpg_binary_file", "does not begin with the armour"),
        ("d_gpg_text_after", "something follows the signature"),
        ("d_gpg_nl_before", "does not begin with the armour"),
    ] {
        let row = scene.verify(name).exits(6).one();
        assert!(row["detail"].as_str().expect("words").contains(words), "{name}: {row}");
        assert!(scene.apt(name).is_err(), "apt accepts {name}");
    }
}

#[test]
fn what_only_some_clients_refuse_is_said_with_their_names() {
    let Some(scene) = Scene::new(Place::new()) else { return };
    let apt3 = String::from_utf8(tool("apt-get").arg("--version").output().expect("apt-get runs").stdout);
    let is_apt3 = apt3.expect("UTF-8").starts_with("apt 3");
    for (name, words, refused_by_apt3) in [
        ("d_sig_sha224", "apt 3, which asks sqv, refuses the hash SHA-224", true),
        ("d_key_dsa2048", "apt 3, which asks sqv, refuses a DSA key", true),
        ("d_key_bp", "apt 3, which asks sqv, refuses a key on the curve", true),
        ("d_good_notcrit", "apt 2, which asks gpgv, refuses all of it", false),
    ] {
        let row = scene.verify(name).exits(6).one();
        assert_eq!(row["verdict"], "refused_by_some", "{name}: {row}");
        assert!(row["detail"].as_str().expect("words").contains(words), "{name}: {row}");
        assert_eq!(scene.apt(name).is_err(), refused_by_apt3 == is_apt3, "{name}: {:?}", scene.apt(name));
    }
}

#[test]
fn what_every_apt_accepts_is_accepted_with_a_note() {
    let Some(scene) = Scene::new(Place::new()) else { return };
    for (name, note) in [
        ("d_hash_nospace", None),
        ("d_hdr_comment", None),
        ("missingdep11", Some("apt goes on without it")),
        ("nodate", Some("no Date")),
    ] {
        let row = scene.verify(name).ok().one();
        assert!(row["detail"].as_str().expect("words").contains(note.unwrap_or("good")), "{name}: {row}");
        match scene.apt(name) {
            Ok(()) => {}
            Err(words) => assert!(name == "nodate" && !words.contains("E: "), "apt refuses {name}: {words}"),
        }
    }
}

#[test]
fn what_clients_would_refuse_is_not_signed() {
    let Some(scene) = Scene::new(Place::with_sandbox()) else { return };
    let entries = scene.place.entries().len();
    for (name, words) in [
        ("md5wrong", "MD5Sum"),
        ("upperhex", "line 8"),
        ("byhash_broken", "by-hash/SHA256"),
        ("nodate", "no Date"),
        ("missingdep11", "apt goes on without"),
    ] {
        let suite = scene.archive(name).join("dists/stable");
        let _ = std::fs::remove_file(suite.join("InRelease"));
        scene.place.keyctl(&["sign", text(&suite)]).exits(1).says(words);
        assert!(!suite.join("InRelease").exists(), "{name}");
    }
    assert_eq!(scene.place.entries().len(), entries);
}

#[test]
fn every_suite_of_an_archive_is_seen_whatever_it_has_and_however_it_is_named() {
    let Some(scene) = Scene::new(Place::with_sandbox()) else { return };
    let (keyring, place) = (scene.folder.join("ed.pgp"), &scene.place);
    let root = place.path("a");
    copied(&scene.folder.join("layout_A"), &root);
    let rows = place.keyctl(&["verify", "a", "--keyring", text(&keyring)]).exits(6).json();
    let files: Vec<_> = rows.iter().map(|row| row["file"].as_str().expect("a name")).collect();
    assert_eq!(files, ["a/dists/b", "a/dists/stable"]);
    assert_ne!(rows[0]["verdict"], "valid", "{}", rows[0]);
    // A sandbox would spare the signatures of others.
    std::fs::remove_file(root.join("dists/stable/InRelease")).expect("theirs");
    place.keyctl(&["sign", "a"]).exits(1).says("a/dists/b").says("no Release file");

    let root = place.path("c");
    copied(&scene.folder.join("layout_C2"), &root);
    std::fs::remove_file(root.join("dists/next")).expect("a file that stands for a symlink");
    std::fs::remove_file(root.join("dists/stable/InRelease")).expect("theirs");
    std::os::unix::fs::symlink("../snap/1", root.join("dists/next")).expect("a symlink");
    std::os::unix::fs::symlink("stable", root.join("dists/trixie")).expect("a symlink");
    std::os::unix::fs::symlink(place.path("a/dists/stable"), root.join("dists/away")).expect("a symlink");
    let ran = place.keyctl(&["sign", "c"]).exits(1).says("suite_elsewhere");
    let signed: Vec<_> =
        ran.json().iter().filter(|row| row["result"] == "signed").map(|row| row["file"].clone()).collect();
    assert_eq!(signed, ["c/dists/next", "c/dists/stable"]);
    assert!(root.join("snap/1/InRelease").is_file());
    let ours = place.published("apt/apt.pgp");
    let rows = place.keyctl(&["verify", "c", "--keyring", text(&ours)]).ok().json();
    assert_eq!(rows.len(), 3, "the one that leads away is followed, as clients do");
    // A flat repository beside an archive.
    std::fs::copy(root.join("snap/1/main/binary-amd64/Packages"), root.join("Packages")).expect("copied");
    let release = std::fs::read_to_string(root.join("snap/1/Release")).expect("a Release");
    let flat: String = release.lines().filter(|line| !line.ends_with(".gz")).map(|line| format!("{line}\n")).collect();
    std::fs::write(root.join("Release"), flat.replace("main/binary-amd64/", "")).expect("written");
    std::fs::remove_file(root.join("dists/away")).expect("removed");
    let rows = place.keyctl(&["sign", "c"]).ok().json();
    assert_eq!(rows.len(), 3, "the root too: {rows:?}");
}

/// The reason is kept: it is a keyring, but of another program.
#[test]
fn a_keybox_is_called_one() {
    let Some(scene) = Scene::new(Place::new()) else { return };
    let head = [&[0, 0, 0, 32, 1, 1, 0, 2][..], b"KBXf", &[0; 20]].concat();
    std::fs::write(scene.place.path("pubring.kbx"), head).expect("written");
    let suite = scene.archive("nodate").join("dists/stable");
    scene.place.keyctl(&["verify", text(&suite), "--keyring", "pubring.kbx"]).exits(1).says("a keybox of GnuPG");
}

/// Larger than apt takes.
#[test]
fn a_release_that_apt_would_not_read_is_not_signed() {
    let Some(scene) = Scene::new(Place::with_sandbox()) else { return };
    let suite = scene.archive("byhash_broken").join("dists/stable");
    std::fs::remove_dir_all(suite.join("main/binary-amd64/by-hash")).expect("removed");
    let release = std::fs::read_to_string(suite.join("Release")).expect("a Release");
    let long: String = (0..600).map(|n| format!("X-Filler-{n}: {}\n", "x".repeat(17_000))).collect();
    std::fs::write(suite.join("Release"), release.replace("Origin: X\n", &format!("Origin: X\n{long}")))
        .expect("written");
    std::fs::remove_file(suite.join("InRelease")).expect("removed");
    scene.place.keyctl(&["sign", text(&suite)]).fails(1, "release_too_large");
}

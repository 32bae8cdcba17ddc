//! Through which doors files come to `verify`, and what it says of old signatures beside new ones.

use crate::support::{flip, ran};
use crate::tsa::Ca;
use crate::verify::Scene;
use std::fs::File;
use std::process::{Command, Stdio};

const SHA1: &[&str] = &["-h", "sha1"];
const NESTED: &[&str] = &["-h", "sha256", "-nest"];

#[test]
fn a_weak_outer_signature_is_judged_by_the_nested_ones() {
    let scene = Scene::new();
    let sign = |from: &str, to: &str, more: &[&str]| scene.sign(from, to, &scene.ca, "signer", more);
    sign("plain.exe", "weak.exe", SHA1);
    assert_eq!(scene.verdict("weak.exe", &[]), "weak");
    let both = sign("weak.exe", "both.exe", NESTED);
    let row = scene.verify("both.exe", &[]).ok().one();
    assert!(row["detail"].as_str().expect("words").contains("does not count"), "{row}");
    assert_eq!(row["signatures"][0]["verdict"], "weak", "{row}");
    scene.verify("both.exe", &["--output", "table"]).ok().says("does not count");

    let changed = scene.place.copy(&both, "changed.exe");
    flip(&changed, 0x400);
    assert_eq!(scene.verdict("changed.exe", &[]), "tampered");
    let strangers = Ca::new(&scene.place, "strangers");
    strangers.issue("stranger", &["extendedKeyUsage=codeSigning"]);
    scene.sign("weak.exe", "strange.exe", &strangers, "stranger", NESTED);
    assert_ne!(scene.verdict("strange.exe", &[]), "valid");
    // The other way round, the strong one is what counts for all, and the weak one says nothing.
    sign("plain.exe", "strong.exe", &["-h", "sha256"]);
    sign("strong.exe", "turned.exe", &["-h", "sha1", "-nest"]);
    assert_eq!(scene.verdict("turned.exe", &[]), "weak");
}

#[test]
fn files_come_through_symlinks_pipes_and_standard_input() {
    let scene = Scene::new();
    let file = scene.sign("plain.exe", "signed.exe", &scene.ca, "signer", &["-h", "sha256"]);
    std::os::unix::fs::symlink(&file, scene.place.path("link.exe")).expect("a symlink");
    scene.verify("link.exe", &[]).fails(2, "symlink");
    assert_eq!(scene.verdict("link.exe", &["--follow-symlinks"]), "valid");

    let root = scene.ca.arg("root.pem");
    let from = |input: Stdio| {
        let mut command = scene.place.command(&["verify", "-", "--roots", &root]);
        ran(command.stdin(input).output().expect("the binary runs"))
    };
    assert_eq!(from(File::open(&file).expect("readable").into()).ok().one()["verdict"], "valid");
    let mut cat = Command::new("cat").arg(&file).stdout(Stdio::piped()).spawn().expect("cat runs");
    assert_eq!(from(cat.stdout.take().expect("a pipe").into()).ok().one()["verdict"], "valid");
    assert!(cat.wait().expect("cat ends").success());
    assert_eq!(from(Stdio::null()).exits(6).one()["verdict"], "unsupported");

    let plain = scene.place.command(&[]);
    let line = format!("'{}' verify <(cat signed.exe) --roots '{root}'", plain.get_program().display());
    let mut shell = Command::new("bash");
    shell.args(["-c", &line]).current_dir(scene.place.path("")).env("HOME", scene.place.path("")).stdin(Stdio::null());
    assert_eq!(ran(shell.output().expect("bash runs")).ok().one()["verdict"], "valid");
    let changed = scene.place.copy(&file, "changed.exe");
    flip(&changed, 0x400);
    assert_eq!(from(File::open(&changed).expect("readable").into()).exits(6).one()["verdict"], "tampered");
}

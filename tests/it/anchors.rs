//! Trust anchors that are not ours, in `published/`, and a git of somebody else's.

use crate::publication::{git, on_remote, published, remote_agrees, sandbox, with_remote};
use crate::support::{Place, real_pe_files, tool};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Whether the remote has these bytes, in whatever commit.
fn ever_on(remote: &Path, file: &Path) -> bool {
    let name = git(remote, &["hash-object", file.to_str().expect("UTF-8")]);
    tool("git").arg("-C").arg(remote).args(["cat-file", "-e", &name]).output().expect("git").status.success()
}

#[test]
fn foreign_trust_anchors_are_put_back_and_never_pushed() {
    let (place, stranger) = (sandbox(""), Place::with_sandbox());
    let remote = with_remote(&place);
    place.keyctl(&["adopt"]).ok();
    place.keyctl(&["audit", "log"]).ok();
    let foreign =
        ["certs/root-1.pem", "apt/apt.pgp", "apt/apt.asc", "ledger.pub", "keys.json", "checkpoint", "apt/apt.sources"];
    let good: Vec<_> = foreign.iter().map(|name| std::fs::read(place.published(name)).expect(name)).collect();
    std::fs::write(stranger.published("apt/apt.sources"), "Types: deb\nURIs: http://evil.invalid\n").expect("written");
    for name in foreign {
        std::fs::copy(stranger.published(name), place.published(name)).expect(name);
    }
    let found = place.keyctl(&["audit", "log"]).exits(6).json();
    for name in foreign {
        let of = |row: &&serde_json::Value| row["object"] == format!("published/{name}");
        assert_eq!(found.iter().find(of).expect(name)["rule"], "published_changed", "{name}");
    }
    place.keyctl(&["doctor"]).exits(6).says("it is not what the ledger says");
    place.keyctl(&["recover"]).ok().says("published/certs/root-1.pem: it is not what the ledger says; it was put back");
    for (name, bytes) in foreign.iter().zip(good) {
        assert!(std::fs::read(place.published(name)).expect(name) == bytes || *name == "checkpoint", "{name}");
        assert!(!ever_on(&remote, &stranger.published(name)), "{name} was pushed");
    }
    remote_agrees(&place, &remote);
    place.keyctl(&["audit", "log"]).ok();

    // A list cannot be made again without its key: it stops what would be published, and the command that makes it is named.
    for somebody in [&place, &stranger] {
        somebody.keyctl(&["crl", "root", "--now"]).ok();
    }
    std::fs::copy(stranger.published("crl/root-1.crl"), place.published("crl/root-1.crl")).expect("a list");
    place.keyctl(&["recover"]).fails(4, "published_changed").says("keyctl crl root --now");
    assert!(!ever_on(&remote, &stranger.published("crl/root-1.crl")));
    place.keyctl(&["crl", "root", "--now"]).ok();
    remote_agrees(&place, &remote);

    // What the ledger does not know at all is nobody's to publish, and stops it once somebody committed it.
    std::fs::copy(stranger.published("certs/root-1.pem"), place.published("certs/evil-1.pem")).expect("a root");
    place.copy(&real_pe_files()[3], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok().says("published/certs/evil-1.pem was left uncommitted");
    assert!(!on_remote(&remote).contains(&"certs/evil-1.pem".to_owned()));
    let found = place.keyctl(&["audit", "log"]).exits(6).one();
    assert_eq!((&found["rule"], &found["object"]), (&"published_foreign".into(), &"published/certs/evil-1.pem".into()));
    git(&published(&place), &["add", "certs/evil-1.pem"]);
    git(&published(&place), &["commit", "-q", "-m", "mine"]);
    place.keyctl(&["recover"]).fails(4, "published_foreign").says("rm certs/evil-1.pem");
    assert!(!ever_on(&remote, &stranger.published("certs/root-1.pem")));
}

#[test]
fn a_folder_that_is_served_as_it_lies_is_held_to_the_ledger_too() {
    let (place, stranger) = (Place::with_sandbox(), Place::with_sandbox());
    let root = place.published("certs/root-1.pem");
    let good = std::fs::read(&root).expect("a root");
    for command in [&["crl", "root", "--now"][..], &["recover"]] {
        std::fs::copy(stranger.published("certs/root-1.pem"), &root).expect("copied");
        place.keyctl(command).ok().says("published/certs/root-1.pem: it is not what the ledger says");
        assert_eq!(std::fs::read(&root).expect("a root"), good);
    }
    // Who may write a folder below could change them in between.
    let folder = place.published("certs");
    for (path, mode) in [(&folder, 0o777), (&place.published("apt"), 0o775)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode");
        place.keyctl(&["status"]).fails(4, "untrusted_path");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    }
    place.keyctl(&["status"]).ok();
}

#[test]
fn a_published_git_runs_nothing_that_its_own_configuration_names() {
    let place = sandbox("");
    let remote = with_remote(&place);
    place.keyctl(&["adopt"]).ok();
    let (ran, config) = (place.path("it-ran"), published(&place).join(".git/config"));
    let good = std::fs::read_to_string(&config).expect("a configuration");
    let script = place.path("run");
    std::fs::write(&script, format!("#!/bin/sh\ntouch {}\ncat\n", ran.display())).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("mode");
    std::fs::write(published(&place).join(".gitattributes"), "* filter=evil\n").expect("written");
    let script = script.to_str().expect("UTF-8");
    let hooks = place.path("").join("hooks");
    std::fs::create_dir(&hooks).expect("made");
    for hook in ["reference-transaction", "pre-push", "post-index-change", "pre-commit"] {
        std::fs::copy(script, hooks.join(hook)).expect("a hook");
    }
    let included = place.path("included");
    std::fs::write(&included, format!("[core]\n\tsshCommand = {script}\n")).expect("written");
    let refused = [
        ("core.sshCommand", script),
        ("filter.evil.clean", script),
        ("credential.helper", script),
        ("remote.origin.receivepack", script),
        ("remote.origin.uploadpack", script),
        ("include.path", included.to_str().expect("UTF-8")),
        ("url.ext::run.insteadOf", "/"),
        ("remote.origin.pushurl", "certs/../remote.git"),
    ];
    for (key, value) in refused {
        git(&published(&place), &["config", key, value]);
        place.keyctl(&["recover"]).fails(4, "git_config");
        assert!(!ran.exists(), "{key}");
        std::fs::write(&config, &good).expect("written");
    }
    // What every call overrules may stand there.
    git(&published(&place), &["config", "core.hooksPath", hooks.to_str().expect("UTF-8")]);
    git(&published(&place), &["config", "core.fsmonitor", script]);
    let _ = std::fs::remove_file(&ran);
    place.keyctl(&["keygen", "windows"]).ok();
    assert!(!ran.exists());
    std::fs::write(&config, &good).expect("written");
    remote_agrees(&place, &remote);
}

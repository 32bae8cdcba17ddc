//! `published/` as a git work tree, and pipelines' files, through the binary, with the real git on the other side.

use crate::support::{Place, Ran, real_pe_files, tool};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What the git program says, with no environment of ours.
pub fn git(folder: &Path, args: &[&str]) -> String {
    let mut command = tool("git");
    command.current_dir(folder).args(args);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GIT_")) {
        command.env_remove(name);
    }
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "operator").env(format!("GIT_{who}_EMAIL"), "operator@example.invalid");
    }
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().expect("git runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A sandbox whose retries take no time, and the lines that were put into its settings adopted.
pub fn sandbox(more: &str) -> Place {
    let place = Place::with_sandbox();
    let path = place.workspace().join("keyctl.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}\n[retry]\nmax_attempts = 2\nbase_seconds = 1\ntimeout_seconds = 20\n{more}"))
        .unwrap();
    place
}

pub fn published(place: &Place) -> PathBuf {
    place.workspace().join("published")
}

/// Makes `published/` a work tree with a remote beside it.
pub fn with_remote(place: &Place) -> PathBuf {
    git(&place.path(""), &["init", "-q", "--bare", "-b", "main", "remote.git"]);
    git(&published(place), &["init", "-q", "-b", "main"]);
    let remote = place.path("remote.git");
    git(&published(place), &["remote", "add", "origin", remote.to_str().unwrap()]);
    remote
}

/// What the remote has at its tip, by path.
pub fn on_remote(remote: &Path) -> Vec<String> {
    git(remote, &["ls-tree", "-r", "--name-only", "main"]).lines().map(str::to_owned).collect()
}

/// The remote has every file of ours exactly as it lies in the folder.
#[track_caller]
pub fn remote_agrees(place: &Place, remote: &Path) {
    let clone = tempfile::tempdir().unwrap();
    git(clone.path(), &["clone", "-q", remote.to_str().unwrap(), "clone"]);
    for path in on_remote(remote) {
        let (theirs, ours) = (clone.path().join("clone").join(&path), published(place).join(&path));
        assert_eq!(std::fs::read(theirs).unwrap(), std::fs::read(ours).unwrap(), "{path}");
    }
}

fn commits(remote: &Path) -> u32 {
    git(remote, &["rev-list", "--count", "main"]).parse().unwrap()
}

#[test]
fn every_change_is_committed_pushed_and_seen_there() {
    let place = sandbox("");
    let remote = with_remote(&place);
    place.keyctl(&["--correlation-id", "dp-20260301-ab", "--actor", "me@example.invalid", "keygen", "windows"]).ok();
    let files = on_remote(&remote);
    for file in [
        "apt/apt.asc",
        "apt/apt.pgp",
        "certs/root-1.pem",
        "certs/windows-2.pem",
        "checkpoint",
        "keys.json",
        "ledger.pub",
    ] {
        assert!(files.iter().any(|name| name == file), "{file} is not among {files:?}");
    }
    remote_agrees(&place, &remote);
    let log = git(&remote, &["log", "-1", "--format=%an <%ae>%n%B", "main"]);
    assert!(log.starts_with("me@example.invalid <me@example.invalid>\nPublish apt/"), "{log}");
    assert!(log.contains("\nCorrelation-Id: dp-20260301-ab\n"), "{log}");
    place.keyctl(&["status"]).ok().says("published: pushed (origin/main, commit ");
    place.keyctl(&["doctor"]).ok().says("files, pushed");

    // A signature moves the checkpoint, and that is published too: an anchor that lies elsewhere.
    let before = commits(&remote);
    place.copy(&real_pe_files()[3], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok();
    assert_eq!(commits(&remote), before + 1);
    remote_agrees(&place, &remote);
    assert_eq!(git(&remote, &["show", "--stat=200", "--format=", "--name-only", "main"]), "checkpoint");
    // Commands that only look leave nothing.
    for looking in [&["status"][..], &["doctor"], &["audit", "log"], &["--dry-run", "keygen", "windows"], &["recover"]]
    {
        place.keyctl(looking).ok();
    }
    assert_eq!(commits(&remote), before + 1);
    git(&remote, &["fsck", "--strict"]);
}

#[test]
fn a_remote_that_is_away_stops_nobody_and_is_caught_up_with() {
    let place = sandbox("");
    let remote = with_remote(&place);
    place.keyctl(&["keygen", "windows"]).ok();
    let away = place.path("away.git");
    std::fs::rename(&remote, &away).unwrap();
    let said = |ran: Ran| format!("{}{}", ran.stdout, ran.stderr);
    let ran = place.keyctl(&["--yes", "destroy", "windows/2"]).ok();
    let ran = said(ran);
    assert!(ran.contains("warning: published/: origin/main cannot be reached now"), "{ran}");
    assert!(ran.contains("the next command tries again"), "{ran}");
    place.keyctl(&["status"]).ok().says("committed, not pushed since ").says("the last push failed");
    // One that signs does not wait for it again so soon.
    place.copy(&real_pe_files()[3], "app.exe");
    let quiet = said(place.keyctl(&["sign", "app.exe"]).ok());
    assert!(!quiet.contains("published/"), "{quiet}");
    place.keyctl(&["recover"]).fails(3, "remote_unreachable");
    std::fs::rename(&away, &remote).unwrap();
    place.keyctl(&["recover"]).ok().says("published/ was pushed, at commit ");
    remote_agrees(&place, &remote);
    place.keyctl(&["status"]).ok().says("published: pushed");
}

#[test]
fn a_remote_that_went_on_is_told_with_the_way_out() {
    let place = sandbox("");
    let remote = with_remote(&place);
    place.keyctl(&["keygen", "windows"]).ok();
    let clone = place.path("clone");
    git(&place.path(""), &["clone", "-q", "remote.git", "clone"]);
    std::fs::write(clone.join("README.md"), "theirs\n").unwrap();
    git(&clone, &["add", "README.md"]);
    git(&clone, &["commit", "-q", "-m", "theirs"]);
    git(&clone, &["push", "-q"]);
    // What was asked for is done all the same, and says so; the exit code says that somebody is needed.
    let ran = place.keyctl(&["--yes", "destroy", "windows/2"]).fails(1, "push_rejected");
    assert_eq!(ran.json()[0]["state"], "destroyed");
    let hint = format!(
        "git -C {} pull --rebase origin main; keyctl recover",
        published(&place).canonicalize().unwrap().display()
    );
    let ran = ran.says(&hint);
    assert_eq!(ran.stdout.lines().count(), 1);
    // For a signature it is a warning, and the file is signed.
    place.copy(&real_pe_files()[3], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok().says("warning: published/: ");
    git(&published(&place), &["pull", "-q", "--rebase", "origin", "main"]);
    place.keyctl(&["recover"]).ok().says("published/ was pushed");
    remote_agrees(&place, &remote);
    assert!(on_remote(&remote).contains(&"README.md".to_owned()));
}

#[test]
fn private_material_stops_the_publication_and_names_the_file() {
    let place = sandbox("");
    let remote = with_remote(&place);
    place.keyctl(&["keygen", "windows"]).ok();
    let (before, folder) = (commits(&remote), published(&place));
    let pin = std::fs::read_to_string(place.workspace().join("tokens/primary/pin")).unwrap();
    let key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA==\n-----END EC PRIVATE KEY-----\n";
    for (name, content) in [("certs/root-1.key", key.to_owned()), ("notes.txt", format!("pin: {pin}\n"))] {
        std::fs::write(folder.join(name), content).unwrap();
        place
            .keyctl(&["--actor", "a@b.invalid", "adopt"])
            .fails(4, "private_material")
            .says(&format!("published/{name}"));
        let ran = place.keyctl(&["doctor"]).exits(6).says(&format!("published/{name}"));
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(&pin), "no secret is repeated");
        place.keyctl(&["recover"]).fails(4, "private_material");
        assert_eq!(commits(&remote), before, "{name}");
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    // What is merely unknown stays where it is.
    std::fs::write(folder.join("index.html"), "<p>hello\n").unwrap();
    place.copy(&real_pe_files()[3], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok().says("published/index.html was left uncommitted");
    assert!(!on_remote(&remote).contains(&"index.html".to_owned()));
    // In a folder that is no work tree, doctor says it.
    let plain = Place::with_sandbox();
    std::fs::write(published(&plain).join("id_ed25519"), "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
    plain.keyctl(&["doctor"]).exits(6).says("published/id_ed25519");
}

#[test]
fn nobody_but_the_settings_and_the_repository_says_what_git_does() {
    let place = sandbox("");
    let remote = with_remote(&place);
    // A repository that surrounds the workspace, hooks, and an environment that points elsewhere.
    git(&place.path(""), &["init", "-q", "-b", "trap", "."]);
    let ran = place.path("hook-ran");
    let hooks = published(&place).join(".git/hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    for hook in ["pre-commit", "post-commit", "pre-push", "reference-transaction", "post-index-change"] {
        std::fs::write(hooks.join(hook), format!("#!/bin/sh\ntouch {}\nexit 1\n", ran.display())).unwrap();
        std::fs::set_permissions(hooks.join(hook), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = place.command(&["keygen", "windows"]);
    for (name, value) in [
        ("GIT_DIR", place.path(".git").to_str().unwrap()),
        ("GIT_WORK_TREE", "/"),
        ("GIT_INDEX_FILE", "/nonexistent/index"),
        ("GIT_AUTHOR_NAME", "mallory"),
        ("GIT_SSH_COMMAND", "false"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "core.hooksPath"),
        ("GIT_CONFIG_VALUE_0", hooks.to_str().unwrap()),
        ("GIT_TRACE", ran.to_str().unwrap()),
    ] {
        command.env(name, value);
    }
    crate::support::ran(command.output().unwrap()).ok();
    assert!(!ran.exists());
    remote_agrees(&place, &remote);
    assert!(!git(&remote, &["log", "--format=%an", "main"]).contains("mallory"));
    assert_eq!(git(&place.path(""), &["count-objects"]), "0 objects, 0 kilobytes", "the other repository is untouched");
}

#[test]
fn the_settings_decide_and_are_adopted() {
    let place = sandbox("[publication]\ngit = false\n");
    let remote = with_remote(&place);
    place.keyctl(&["keygen", "windows"]).fails(4, "settings_changed").says("publication.git");
    place.keyctl(&["adopt"]).ok().says("publication.git");
    place.keyctl(&["keygen", "windows"]).ok();
    assert!(
        tool("git")
            .arg("-C")
            .arg(&remote)
            .args(["rev-parse", "-q", "--verify", "main"])
            .output()
            .unwrap()
            .stdout
            .is_empty()
    );
    let path = place.workspace().join("keyctl.toml");
    let change = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace(from, to)).unwrap();
    };
    change("git = false", "git = \"push\"\nremote = \"mirror\"");
    place.keyctl(&["adopt"]).fails(1, "no_remote").says("remote add mirror URL");
    git(&published(&place), &["remote", "rename", "origin", "mirror"]);
    place.keyctl(&["recover"]).ok().says("published/ was pushed");
    remote_agrees(&place, &remote);
    change("git = \"push\"\nremote = \"mirror\"", "git = \"push\"\nremote = \"mirror\"\nbranch = \"release\"");
    place.keyctl(&["adopt"]).fails(1, "other_branch");
    git(&published(&place), &["switch", "-q", "-c", "release"]);
    place.keyctl(&["recover"]).ok();
    assert!(git(&remote, &["branch", "--list", "release"]).contains("release"));
    change("git = \"push\"", "git = \"commit\"");
    place.keyctl(&["adopt"]).ok();
    place.keyctl(&["status"]).ok().says("published: committed (release");
}

#[test]
fn a_publication_that_is_killed_at_any_moment_is_caught_up_with() {
    let place = sandbox("");
    let remote = with_remote(&place);
    place.keyctl(&["keygen", "windows"]).ok();
    place.copy(&real_pe_files()[3], "fresh.exe");
    let fresh = std::fs::read(place.path("fresh.exe")).unwrap();
    let sign = |name: &str| {
        std::fs::write(place.path(name), &fresh).unwrap();
        place.command(&["sign", name])
    };
    let start = std::time::Instant::now();
    assert!(sign("first.exe").output().unwrap().status.success());
    let whole = start.elapsed();
    for round in 0..12u32 {
        let mut child = sign(&format!("{round}.exe"));
        let mut child = child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        // From when the signature is done on: what comes then is the publication.
        std::thread::sleep(whole * (10 + round) / 22);
        let _ = child.kill();
        child.wait().unwrap();
        // A git that was running may still be at it, and ends by itself.
        let settled = (0..50).any(|_| {
            let code = place.keyctl(&["recover"]).code;
            code == 0 || {
                std::thread::sleep(std::time::Duration::from_millis(200));
                false
            }
        });
        assert!(settled, "round {round}");
        remote_agrees(&place, &remote);
        place.keyctl(&["status"]).ok().says("published: pushed");
    }
    git(&remote, &["fsck", "--strict"]);
    git(&published(&place), &["fsck", "--strict"]);
}

const TOML: &str =
    "\u{feff}# Windows pipeline\r\n[signing]\r\n\twindows = { thumbprint = \"\", store = 'My' } # ours\r\n";
const JSON: &str = "{\n\t\"jobs\": [ {\"fingerprint\" :  \"\", \"n\":1.50} ],\n\"generation\": 0 }";

fn pipelines(folder: &Path, repository: &str) -> String {
    let folder = folder.display();
    format!(
        "[pipelines.build]\nfile = \"{folder}/windows.toml\"\nfield = \"signing.windows.thumbprint\"\nkey = \"windows\"\n\
         value = \"thumbprint\"\n{repository}\n\
         [pipelines.deploy]\nfile = \"{folder}/deploy.json\"\nfield = \"jobs[0].fingerprint\"\nkey = \"windows\"\n\
         value = \"fingerprint\"\n{repository}\n\
         [pipelines.number]\nfile = \"{folder}/deploy.json\"\nfield = \"generation\"\nkey = \"windows\"\n\
         value = \"generation\"\n{repository}\n"
    )
}

fn openssl(certificate: &Path, hash: &str) -> String {
    let output =
        tool("openssl").args(["x509", "-noout", "-fingerprint", hash, "-in"]).arg(certificate).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().split_once('=').unwrap().1.replace(':', "")
}

/// A sandbox with pipelines beside it whose key serves already, so that `recover` names it.
fn with_pipelines(repository: &str) -> (Place, PathBuf) {
    let place = sandbox("");
    let folder = place.path("pipelines");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("windows.toml"), TOML).unwrap();
    std::fs::write(folder.join("deploy.json"), JSON).unwrap();
    let path = place.workspace().join("keyctl.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + &pipelines(&folder, repository)).unwrap();
    (place, folder)
}

#[test]
fn pipelines_get_the_value_and_nothing_else_changes() {
    let (place, folder) = with_pipelines("");
    std::fs::set_permissions(folder.join("windows.toml"), std::fs::Permissions::from_mode(0o640)).unwrap();
    place.keyctl(&["adopt"]).ok();
    place.keyctl(&["status"]).ok().says("pipelines.build names no generation of windows");
    place.keyctl(&["recover"]).ok().says("pipelines.build names windows/1");
    let certificate = place.published("certs/windows-1.pem");
    let (sha1, sha256) = (openssl(&certificate, "-sha1"), openssl(&certificate, "-sha256").to_lowercase());
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("windows.toml"), TOML.replace("thumbprint = \"\"", &format!("thumbprint = \"{sha1}\"")));
    let json = JSON.replace(":  \"\"", &format!(":  \"{sha256}\"")).replace("\"generation\": 0", "\"generation\": 1");
    assert_eq!(read("deploy.json"), json);
    assert_eq!(std::fs::metadata(folder.join("windows.toml")).unwrap().permissions().mode() & 0o777, 0o640);
    place.keyctl(&["status"]).ok().says("pipelines.number names windows/1, which is active");

    // Each has its own entries; again changes nothing.
    let updates = place.entries();
    let updates: Vec<_> = updates.iter().filter(|entry| entry["type"] == "PIPELINE_UPDATED").collect();
    assert_eq!(updates.len(), 6);
    assert_eq!(updates[0]["body"]["request"]["params"]["to"], sha1);
    let before = place.sql("SELECT count(*) FROM entries");
    place.keyctl(&["recover"]).ok();
    assert_eq!(place.sql("SELECT count(*) FROM entries"), before);

    // Somebody edited it: it is told, with both values, and left alone.
    std::fs::write(folder.join("windows.toml"), TOML.replace("\"\"", "\"0011\"")).unwrap();
    place.keyctl(&["recover"]).ok().says("is 0011, neither that of an earlier windows nor the new").says(&sha1);
    assert!(read("windows.toml").contains("0011"));
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_first_generation_is_named_when_it_takes_over() {
    let place = sandbox("");
    let folder = place.path("pipelines");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.toml"), "t = ''\nc = ''\n").unwrap();
    let path = place.workspace().join("keyctl.toml");
    let more = "[keys.other]\npurpose = \"authenticode\"\nissuer = \"windows-ca\"\nalgorithm = \"ecdsa-p256\"\nhsm = [\"primary\"]\n\
        subject = { country = \"ZZ\", organization = \"Example Corp\", locality = \"Sandbox\", common_name = \"Other\" }\n\
        [pipelines.t]\nfile = \"../pipelines/a.toml\"\n";
    let more = more.replace("../pipelines", folder.to_str().unwrap())
        + "field = \"t\"\nkey = \"other\"\nvalue = \"generation\"\n[pipelines.c]\n"
        + &format!("file = \"{}/a.toml\"\nfield = \"c\"\nkey = \"other\"\nvalue = \"certificate\"\n", folder.display());
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + &more).unwrap();
    place.keyctl(&["adopt"]).ok();
    place.keyctl(&["keygen", "other"]).ok().says("pipelines.t names other/1");
    assert_eq!(std::fs::read_to_string(folder.join("a.toml")).unwrap(), "t = 'other/1'\nc = 'certs/other-1.pem'\n");
    assert!(place.published("certs/other-1.pem").exists());
}

#[test]
fn a_pipelines_file_does_not_lie_inside_the_workspace() {
    let place = sandbox("");
    let (inside, link) = (place.workspace().join("requests/ours.json"), place.path("link"));
    std::fs::write(&inside, "{\"t\": \"\"}\n").unwrap();
    std::os::unix::fs::symlink(place.workspace().join("requests"), &link).unwrap();
    let path = place.workspace().join("keyctl.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let named = |file: &str| {
        let more = "field = \"t\"\nkey = \"windows\"\nvalue = \"generation\"\n";
        std::fs::write(&path, format!("{text}[pipelines.t]\nfile = \"{file}\"\n{more}")).unwrap();
    };
    named("requests/ours.json");
    place.keyctl(&["adopt"]).fails(2, "bad_config").says("pipelines.t.file");
    for file in [inside.clone(), link.join("ours.json")] {
        named(file.to_str().unwrap());
        place.keyctl(&["adopt"]).ok();
        let ran = place.keyctl(&["recover"]);
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains("lies inside the workspace"), "{}", ran.stderr);
        assert_eq!(std::fs::read_to_string(&inside).unwrap(), "{\"t\": \"\"}\n");
    }
}

#[test]
fn a_pipelines_work_tree_gets_one_commit_for_each_change_and_nothing_of_others() {
    let (place, folder) = with_pipelines("git = \"push\"");
    git(&place.path(""), &["init", "-q", "--bare", "-b", "main", "pipelines.git"]);
    git(&folder, &["init", "-q", "-b", "main"]);
    git(&folder, &["remote", "add", "origin", "../pipelines.git"]);
    std::fs::write(folder.join("draft.txt"), "not ready\n").unwrap();
    place.keyctl(&["adopt"]).ok();
    place.keyctl(&["recover"]).ok().says("pipelines.build").says("without a commit");
    git(&folder, &["add", "windows.toml", "deploy.json"]);
    git(&folder, &["commit", "-q", "-m", "first"]);
    std::fs::write(folder.join("deploy.json"), JSON.replace("1.50", "1.75")).unwrap();
    place.keyctl(&["recover"]).ok().says("has changes that were not committed");
    git(&folder, &["checkout", "-q", "--", "deploy.json"]);
    place.keyctl(&["recover"]).ok();
    let remote = place.path("pipelines.git");
    let names = git(&remote, &["log", "--reverse", "--format=%s", "main"]);
    assert_eq!(
        names,
        "first\nName windows/1 in windows.toml\nName windows/1 in deploy.json\nName windows/1 in deploy.json"
    );
    assert_eq!(git(&folder, &["status", "--porcelain"]), "?? draft.txt");
    for name in ["windows.toml", "deploy.json"] {
        let theirs = git(&remote, &["show", &format!("main:{name}")]);
        assert_eq!(theirs, std::fs::read_to_string(folder.join(name)).unwrap().trim_end());
    }
    let before = commits(&remote);
    place.keyctl(&["recover"]).ok();
    assert_eq!(commits(&remote), before);
}

#[test]
fn links_and_strange_documents_are_left_alone() {
    let (place, folder) = with_pipelines("");
    place.keyctl(&["adopt"]).ok();
    let real = place.path("elsewhere.toml");
    std::fs::write(&real, TOML).unwrap();
    std::fs::remove_file(folder.join("windows.toml")).unwrap();
    std::os::unix::fs::symlink(&real, folder.join("windows.toml")).unwrap();
    place.keyctl(&["recover"]).ok().says("symbolic link");
    assert_eq!(std::fs::read_to_string(&real).unwrap(), TOML);
    for (text, words) in [
        (TOML.replace("thumbprint", "thumb"), "there is no signing.windows.thumbprint"),
        (TOML.replace("\"\"", "1.5"), "a fraction"),
        (format!("{TOML}[signing]\n"), "duplicate"),
        ("\u{0}".into(), "line 1"),
    ] {
        std::fs::remove_file(folder.join("windows.toml")).unwrap();
        std::fs::write(folder.join("windows.toml"), &text).unwrap();
        place.keyctl(&["recover"]).ok().says(words);
        assert_eq!(std::fs::read_to_string(folder.join("windows.toml")).unwrap(), text);
    }
    place.keyctl(&["audit", "log"]).ok();
}

fn active(place: &Place, key: &str) -> String {
    place.sql(&format!("SELECT key || '/' || number FROM generations WHERE key = '{key}' AND state = 'active'"))
}

#[test]
fn a_new_key_waits_until_others_can_have_its_certificate() {
    let (place, folder) = with_pipelines("");
    place.keyctl(&["adopt"]).ok();
    let remote = with_remote(&place);
    place.keyctl(&["recover"]).ok().says("pipelines.build names windows/1");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let old = read("windows.toml");
    let away = place.path("away.git");
    std::fs::rename(&remote, &away).unwrap();
    place.keyctl(&["rotate", "windows", "--now"]).exits(3).says("cannot be reached now");
    assert_eq!((active(&place, "windows").as_str(), read("windows.toml") == old), ("windows/1", true));
    place.copy(&real_pe_files()[3], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok().says("windows/1");
    std::fs::rename(&away, &remote).unwrap();

    // A pipeline that somebody else edited stops it before the new key takes over, too.
    std::fs::write(
        folder.join("windows.toml"),
        old.replace("# ours", "# theirs").replace("thumbprint = \"", "thumbprint = \"00"),
    )
    .unwrap();
    place.keyctl(&["rotate", "windows", "--now"]).fails(1, "pipeline_foreign").says("somebody edited it");
    assert_eq!(active(&place, "windows"), "windows/1");
    std::fs::write(folder.join("windows.toml"), &old).unwrap();
    place.keyctl(&["rotate", "windows", "--now"]).ok();
    assert_eq!(active(&place, "windows"), "windows/2");
    let certificate = place.published("certs/windows-2.pem");
    let first = openssl(&place.published("certs/windows-1.pem"), "-sha1");
    assert_eq!(read("windows.toml"), old.replace(&first, &openssl(&certificate, "-sha1")));
    assert!(read("deploy.json").contains(&openssl(&certificate, "-sha256").to_lowercase()));
    assert!(read("deploy.json").contains("\"generation\": 2"));
    remote_agrees(&place, &remote);
    assert!(on_remote(&remote).contains(&"certs/windows-2.pem".to_owned()));
    place.keyctl(&["status"]).ok().says("pipelines.build names windows/2, which is active");
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_rotation_is_done_when_its_pipelines_commit_is_pushed() {
    let (place, folder) = with_pipelines("git = \"push\"");
    git(&place.path(""), &["init", "-q", "--bare", "-b", "main", "pipelines.git"]);
    git(&folder, &["init", "-q", "-b", "main"]);
    git(&folder, &["remote", "add", "origin", "../pipelines.git"]);
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-q", "-m", "first"]);
    place.keyctl(&["adopt"]).ok();
    place.keyctl(&["recover"]).ok();
    let (remote, away) = (place.path("pipelines.git"), place.path("away.git"));
    assert_eq!(commits(&remote), 4);
    std::fs::rename(&remote, &away).unwrap();
    place.keyctl(&["rotate", "windows", "--now"]).exits(3).says("pipelines.build");
    assert_eq!(active(&place, "windows"), "windows/1");
    std::fs::rename(&away, &remote).unwrap();
    place.keyctl(&["rotate", "windows", "--now"]).ok();
    assert_eq!((active(&place, "windows").as_str(), commits(&remote)), ("windows/2", 7));
    assert_eq!(git(&folder, &["status", "--porcelain"]), "");
    let log = git(&remote, &["log", "-1", "--format=%s", "main"]);
    assert_eq!(log, "Name windows/2 in deploy.json");
}

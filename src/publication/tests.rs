//! Folders, work trees and remotes, with the real git on both sides.

use super::*;
use crate::clock::parse;
use crate::config::GitUse;
use crate::retry::testing::Hourglass;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A `published/` and beside it a bare repository.
struct Scene {
    top: TempDir,
    settings: Publication,
    secrets: Secrets,
}

const REGISTER: &str = "keys.json";
const SOURCES: &str = "apt/apt.sources";

impl Scene {
    /// A folder with two published files.
    fn folder() -> Self {
        let scene =
            Scene { top: tempfile::tempdir().unwrap(), settings: Publication::default(), secrets: Secrets::default() };
        std::fs::set_permissions(scene.top.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir_all(scene.path("apt")).unwrap();
        scene.write(REGISTER, "{\"keys\": []}\n");
        scene.write(SOURCES, "Types: deb\n");
        scene
    }

    /// The same as a work tree.
    fn tree() -> Self {
        let scene = Scene::folder();
        scene.git(&["init", "-q", "-b", "main"]);
        scene
    }

    /// The same with a remote.
    fn remote() -> Self {
        let scene = Scene::tree();
        scene.outside(&["init", "-q", "--bare", "-b", "main", "remote.git"]);
        scene.git(&["remote", "add", "origin", "../remote.git"]);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join("published").join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn program(&self, folder: &Path, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(folder).args(args).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        for who in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{who}_NAME"), "operator")
                .env(format!("GIT_{who}_EMAIL"), "operator@example.invalid");
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "git {args:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    fn git(&self, args: &[&str]) -> String {
        self.program(&self.path(""), args)
    }

    /// Beside `published/`.
    fn outside(&self, args: &[&str]) -> String {
        self.program(self.top.path(), args)
    }

    /// A fresh clone of the remote.
    fn clone(&self, name: &str) -> PathBuf {
        self.outside(&["clone", "-q", "remote.git", name]);
        self.top.path().join(name)
    }

    fn publisher(&self) -> Publisher<'_> {
        let retry = Retry { max_attempts: 3, ..Retry::default() };
        Publisher::new(
            self.path("").components().collect(),
            self.settings.clone(),
            retry,
            self.secrets.clone(),
            Arc::default(),
        )
    }

    fn settle_with(&self, waiter: &dyn Waiter) -> Result<Settled> {
        let author =
            Author { email: "me@example.invalid".parse().unwrap(), time: parse("2026-03-01T12:00:00Z").unwrap() };
        let act = Act { author, correlation_id: "dp-1".parse().unwrap(), workspace_id: "w".into() };
        self.publisher().settle(&act, Effort::Patient, waiter)
    }

    fn settle(&self) -> Result<Settled> {
        self.settle_with(&Hourglass::default())
    }

    fn state(&self) -> State {
        self.publisher().state().unwrap()
    }

    fn hash(&self, name: &str) -> Hash256 {
        Hash256::of(&std::fs::read(self.path(name)).unwrap())
    }

    fn is_published(&self, name: &str) -> bool {
        self.state().is_published(name, &self.hash(name))
    }

    fn commits(&self) -> usize {
        self.git(&["rev-list", "--count", "HEAD"]).parse().unwrap()
    }

    fn code(&self) -> &'static str {
        self.settle().unwrap_err().code()
    }
}

#[test]
fn a_folder_is_published_by_being_there() {
    let scene = Scene::folder();
    assert_eq!(scene.settle().unwrap(), Settled::default());
    let state = scene.state();
    assert_eq!((state.wanted, state.words().as_str(), state.behind().count()), (Reach::Folder, "local folder", 0));
    assert!(scene.is_published(REGISTER) && !state.is_published(REGISTER, &Hash256::of(b"x")));
    assert!(!state.is_published("crl/root-1.crl", &Hash256::of(b"x")));
    let hash = scene.hash(REGISTER);
    scene.publisher().confirm(&[(REGISTER, hash)], &Hourglass::default()).unwrap();
    for git in [GitUse::Commit, GitUse::Push] {
        let scene = Scene { settings: Publication::of(git), ..Scene::folder() };
        assert_eq!(scene.code(), "no_repository");
    }
}

#[test]
fn a_repository_above_is_none_of_ours() {
    let scene = Scene::folder();
    scene.outside(&["init", "-q"]);
    assert_eq!((scene.settle().unwrap(), scene.state().wanted), (Settled::default(), Reach::Folder));
}

#[test]
fn a_work_tree_is_committed_with_these_bytes_by_this_person() {
    let scene = Scene::tree();
    // Everything that could come between: hooks in both places, attributes that change bytes, a signature.
    std::fs::create_dir_all(scene.path(".git/hooks")).unwrap();
    for hook in ["pre-commit", "commit-msg", "post-commit", "reference-transaction", "pre-push", "post-index-change"] {
        for folder in [scene.path(".git/hooks"), scene.path("hooks")] {
            std::fs::create_dir_all(&folder).unwrap();
            let file = folder.join(hook);
            std::fs::write(&file, format!("#!/bin/sh\ntouch {}\nexit 1\n", scene.top.path().join("ran").display()))
                .unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    for (name, value) in [
        ("core.hooksPath", "hooks"),
        ("filter.evil.clean", "rev"),
        ("filter.evil.required", "true"),
        ("commit.gpgSign", "true"),
        ("core.autocrlf", "true"),
        ("core.fsmonitor", "touch ../ran"),
    ] {
        scene.git(&["config", name, value]);
    }
    scene.write(".gitattributes", "* filter=evil eol=crlf ident\n");
    scene.write(".gitignore", "*\n");
    scene.write(SOURCES, "Types: deb\nX: $Id$\n");
    for name in ["filter.evil.clean", "filter.evil.required"] {
        assert_eq!(scene.settle().unwrap_err().code(), "git_config", "before {name} is taken out");
        scene.git(&["config", "--unset", name]);
    }
    let settled = scene.settle().unwrap();
    let commit = settled.committed.unwrap();
    assert_eq!((settled.pushed, scene.git(&["rev-parse", "HEAD"]).as_str()), (None, commit.as_str()));
    assert!(!scene.top.path().join("ran").exists());
    let show = |name: &str| scene.git(&["cat-file", "blob", &format!("HEAD:{name}")]);
    assert_eq!(show(SOURCES), "Types: deb\nX: $Id$");
    assert_eq!(scene.git(&["ls-tree", "-r", "--name-only", "HEAD"]), format!("{SOURCES}\n{REGISTER}"));
    let log = scene.git(&["log", "-1", "--format=%an|%ae|%cn|%ce|%aI|%cI|%B"]);
    let who = "me@example.invalid|me@example.invalid|me@example.invalid|me@example.invalid";
    let when = "2026-03-01T12:00:00Z|2026-03-01T12:00:00Z";
    let when = if log.contains("+00:00") { when.replace('Z', "+00:00") } else { when.to_owned() };
    let words = format!("Publish {SOURCES}, {REGISTER}\n\nCorrelation-Id: dp-1\nWorkspace-Id: w");
    assert_eq!(log, format!("{who}|{when}|{words}"));
    scene.git(&["fsck", "--strict"]);

    let state = scene.state();
    assert_eq!((state.wanted, state.words().as_str(), state.goal.as_str()), (Reach::Committed, "committed", "main"));
    assert!(scene.is_published(REGISTER));
    assert_eq!(scene.settle().unwrap().committed, None, "nothing changed");
    scene.write(REGISTER, "{}\n");
    assert!(!scene.is_published(REGISTER) && scene.is_published(SOURCES));
    assert_eq!(scene.state().words(), "1 files not committed");
    scene.settle().unwrap().committed.unwrap();
    assert_eq!(scene.commits(), 2);
}

#[test]
fn what_others_staged_or_left_lying_is_theirs() {
    let scene = Scene::tree();
    scene.write("README.md", "hello\n");
    scene.git(&["add", "README.md"]);
    scene.git(&["commit", "-q", "-m", "their own"]);
    scene.write("index.html", "<p>\n");
    scene.write("staged.txt", "staged\n");
    scene.write("certs/notes.txt", "x\n");
    scene.write("certs/mine.pem", "no certificate\n");
    scene.git(&["add", "staged.txt"]);
    let settled = scene.settle().unwrap();
    let left: Vec<_> = settled.left.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(left, ["certs/mine.pem", "certs/notes.txt", "index.html", "staged.txt"]);
    assert_eq!(scene.git(&["ls-tree", "-r", "--name-only", "HEAD"]), format!("README.md\n{SOURCES}\n{REGISTER}"));
    assert_eq!(scene.git(&["diff", "--cached", "--name-only"]), "staged.txt", "still staged, and nothing else is");
    scene.write("README.md", "changed\n");
    assert_eq!(scene.state().left.len(), 5);
    assert_eq!(scene.settle().unwrap().committed, None);
}

#[test]
fn what_disappears_from_the_folder_stays_in_the_commit() {
    let scene = Scene::tree();
    scene.settle().unwrap();
    std::fs::remove_file(scene.path(SOURCES)).unwrap();
    assert_eq!((scene.settle().unwrap().committed, scene.state().missing), (None, vec![SOURCES.to_owned()]));
}

#[test]
fn what_is_pushed_is_what_the_remote_has() {
    let scene = Scene::remote();
    let settled = scene.settle().unwrap();
    assert_eq!(settled.committed, settled.pushed);
    let state = scene.state();
    assert_eq!((state.wanted, state.words().as_str(), state.goal.as_str()), (Reach::Pushed, "pushed", "origin/main"));
    let (register, sources) = (scene.hash(REGISTER), scene.hash(SOURCES));
    scene.publisher().confirm(&[(REGISTER, register), (SOURCES, sources)], &Hourglass::default()).unwrap();
    let clone = scene.clone("clone");
    for name in [REGISTER, SOURCES] {
        assert_eq!(std::fs::read(clone.join(name)).unwrap(), std::fs::read(scene.path(name)).unwrap());
    }
    assert_eq!(scene.settle().unwrap(), Settled::default());

    // Somebody else goes on from there: what we pushed is still published, and the next push is not.
    std::fs::write(clone.join("README.md"), "hello\n").unwrap();
    scene.program(&clone, &["add", "README.md"]);
    scene.program(&clone, &["commit", "-q", "-m", "theirs"]);
    scene.program(&clone, &["push", "-q"]);
    scene.publisher().confirm(&[(REGISTER, register)], &Hourglass::default()).unwrap();
    scene.write(REGISTER, "{}\n");
    let glass = Hourglass::default();
    let error = scene.settle_with(&glass).unwrap_err();
    assert_eq!((error.code(), error.kind(), glass.seconds()), ("push_rejected", Kind::Failed, vec![]));
    let hint = error.advice().unwrap();
    assert!(hint.contains("pull --rebase origin main") && hint.ends_with("keyctl recover"), "{hint}");
    assert!(scene.state().words().starts_with("committed, not pushed since 2026-03-01T12:00:00Z"));
    assert!(!scene.is_published(REGISTER));
    // As the hint says.
    scene.git(&["pull", "-q", "--rebase", "origin", "main"]);
    let settled = scene.settle().unwrap();
    assert!(settled.committed.is_none() && settled.pushed.is_some());
    assert!(scene.is_published(REGISTER) && scene.path("README.md").exists());
}

#[test]
fn a_remote_that_is_away_is_tried_again_and_no_commit_is_lost() {
    let scene = Scene::remote();
    let (here, away) = (scene.top.path().join("remote.git"), scene.top.path().join("away.git"));
    std::fs::rename(&here, &away).unwrap();
    let glass = Hourglass::default();
    let error = scene.settle_with(&glass).unwrap_err();
    assert_eq!((error.code(), error.kind(), glass.seconds()), ("remote_unreachable", Kind::Unavailable, vec![4, 8]));
    let state = scene.state();
    assert_eq!((state.unpushed, state.behind().count()), (1, 2));
    let hash = scene.hash(REGISTER);
    let waiting = scene.publisher().confirm(&[(REGISTER, hash)], &Hourglass::default()).unwrap_err();
    assert_eq!((waiting.code(), waiting.kind()), ("not_published", Kind::Unavailable));
    std::fs::rename(&away, &here).unwrap();
    let settled = scene.settle().unwrap();
    assert!(settled.committed.is_none() && settled.pushed.is_some());
    assert!(scene.is_published(REGISTER));
    // Asked again while it is away: what was seen is known, and not what is there now.
    std::fs::rename(&here, &away).unwrap();
    assert!(scene.is_published(REGISTER));
    let error = scene.publisher().confirm(&[(REGISTER, hash)], &Hourglass::default()).unwrap_err();
    assert_eq!(error.code(), "remote_unreachable");
}

#[test]
fn a_remote_that_forgot_or_refuses_is_told() {
    let scene = Scene::remote();
    let hook = scene.top.path().join("remote.git/hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho no >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = scene.settle().unwrap_err();
    assert_eq!((error.code(), error.kind()), ("push_refused", Kind::Failed));
    assert!(error.message().contains("pre-receive hook declined"), "{error}");
    std::fs::remove_file(&hook).unwrap();
    scene.settle().unwrap();
    let hash = scene.hash(REGISTER);
    // Its branch is taken back, as a forced push would.
    let empty = scene.git(&["commit-tree", "-m", "other", "4b825dc642cb6eb9a060e54bf8d69288fbee4904"]);
    scene.git(&["push", "-q", "--force", "origin", &format!("{empty}:refs/heads/main")]);
    let error = scene.publisher().confirm(&[(REGISTER, hash)], &Hourglass::default()).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("push_unconfirmed", Kind::Failed));
}

const SECRET: &str =
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n";

#[test]
fn private_material_stops_everything() {
    for place in ["notes.txt", "certs/root-1.pem", "apt/deep/er/file", REGISTER] {
        let scene = Scene::remote();
        scene.write(place, SECRET);
        let error = scene.settle().unwrap_err();
        assert_eq!((error.code(), error.kind()), ("private_material", Kind::Blocked));
        assert!(error.message().contains(&format!("published/{place}")) && !error.full().contains("b3Blb"), "{error}");
        assert!(!scene.path(".git/refs/heads/main").exists(), "nothing is committed");
        assert_eq!(scene.publisher().examine().unwrap_err().code(), "private_material");
        let objects = scene.git(&["count-objects"]);
        assert!(objects.starts_with("0 objects"), "nor stored: {objects}");
        let folder = Scene::folder();
        folder.write(place, SECRET);
        assert_eq!(folder.publisher().examine().unwrap_err().code(), "private_material");
    }
    let mut scene = Scene::remote();
    scene.secrets.add(b"correct-horse-battery-staple");
    scene.write("notes.txt", "the pin is correct-horse-battery-staple\n");
    let error = scene.settle().unwrap_err();
    assert!(error.code() == "private_material" && !error.full().contains("horse"), "{error}");
}

#[test]
fn private_material_in_a_commit_of_others_is_not_pushed_either() {
    let scene = Scene::remote();
    scene.settle().unwrap();
    scene.write("notes.txt", SECRET);
    scene.git(&["add", "-f", "notes.txt"]);
    scene.git(&["commit", "-q", "-m", "oops"]);
    scene.git(&["rm", "-q", "notes.txt"]);
    scene.git(&["commit", "-q", "-m", "gone again"]);
    scene.publisher().examine().unwrap();
    scene.write(REGISTER, "{}\n");
    let error = scene.settle().unwrap_err();
    assert_eq!((error.code(), error.message().contains("notes.txt")), ("private_material", true));
    assert!(error.advice().unwrap().contains("history"), "{error:?}");
    assert!(!scene.clone("after").join("notes.txt").exists());
    assert_eq!(scene.program(&scene.top.path().join("after"), &["rev-list", "--count", "HEAD"]), "1");
}

#[test]
fn links_and_strange_repositories_are_refused() {
    let scene = Scene::tree();
    symlink("/etc/passwd", scene.path("certs.pem")).unwrap();
    assert_eq!(scene.code(), "published_link");

    let scene = Scene::tree();
    std::fs::rename(scene.path(".git"), scene.top.path().join("elsewhere")).unwrap();
    symlink("../elsewhere", scene.path(".git")).unwrap();
    assert_eq!(scene.code(), "symlink");

    let scene = Scene::tree();
    std::fs::set_permissions(scene.path(".git/config"), std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(scene.code(), "untrusted_path");

    let scene = Scene::tree();
    scene.settle().unwrap();
    scene.git(&["checkout", "-q", "--detach"]);
    assert_eq!(scene.code(), "detached_head");

    let mut scene = Scene::tree();
    scene.settings.branch = Some("release".into());
    assert_eq!(scene.code(), "other_branch");

    let scene = Scene::tree();
    scene.write(".git/MERGE_HEAD", "0\n");
    assert_eq!(scene.code(), "unfinished_merge");

    let scene = Scene { settings: Publication::of(GitUse::Push), ..Scene::tree() };
    assert_eq!(scene.code(), "no_remote");
    let scene = Scene { settings: Publication::of(GitUse::Off), ..Scene::remote() };
    assert_eq!(scene.settle().unwrap(), Settled::default());
    let scene = Scene { settings: Publication::of(GitUse::Commit), ..Scene::remote() };
    let settled = scene.settle().unwrap();
    assert!(settled.committed.is_some() && settled.pushed.is_none());
    assert_eq!(scene.state().wanted, Reach::Committed);
}

#[test]
fn a_linked_work_tree_and_names_of_sha_256_will_do() {
    let scene = Scene::folder();
    scene.outside(&["init", "-q", "-b", "main", "home"]);
    let home = scene.top.path().join("home");
    scene.program(&home, &["commit", "-q", "--allow-empty", "-m", "first"]);
    let files: Vec<_> = [REGISTER, SOURCES].map(|name| (name, std::fs::read(scene.path(name)).unwrap())).into();
    std::fs::remove_dir_all(scene.path("")).unwrap();
    scene.program(&home, &["worktree", "add", "-q", "-b", "published", "../published"]);
    files.iter().for_each(|(name, bytes)| scene.write(name, bytes));
    scene.settle().unwrap().committed.unwrap();
    assert_eq!(scene.program(&home, &["ls-tree", "-r", "--name-only", "published"]), format!("{SOURCES}\n{REGISTER}"));

    let scene = Scene::folder();
    scene.git(&["init", "-q", "-b", "main", "--object-format=sha256"]);
    let commit = scene.settle().unwrap().committed.unwrap();
    assert_eq!(commit.as_str().len(), 64);
    assert!(scene.is_published(REGISTER) && scene.settle().unwrap().committed.is_none());
}

#[test]
fn what_a_killed_run_left_is_not_in_the_way() {
    let scene = Scene::tree();
    scene.write(".git/keyctl-index", "half an index");
    scene.write(".git/keyctl-index.lock", "");
    scene.settle().unwrap().committed.unwrap();
    // Somebody else works on the index: their affair.
    scene.write(".git/index.lock", "");
    scene.write(REGISTER, "{}\n");
    scene.settle().unwrap().committed.unwrap();
    assert_eq!(scene.commits(), 2);
}

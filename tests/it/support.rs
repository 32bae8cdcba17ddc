//! A private place for each test, and the binary in it.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A temporary folder with a home of its own.
pub struct Place {
    dir: TempDir,
}

/// What a run of the binary gave.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The JSON lines on stdout.
    pub fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(all.contains(words), "{words:?} is not in\n{all}");
        self
    }
}

impl Place {
    pub fn new() -> Self {
        Place { dir: TempDir::with_prefix("keyctl-test-").expect("a temporary folder") }
    }

    /// A place with a sandbox in `.keyctl-sandbox`.
    pub fn with_sandbox() -> Self {
        let place = Place::new();
        place.keyctl(&["init", "--sandbox"]).ok();
        place
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn workspace(&self) -> PathBuf {
        self.path(".keyctl-sandbox")
    }

    /// The binary, with this place as its home and current folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyctl"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KEYCTL_")) {
            command.env_remove(name);
        }
        command.env("HOME", self.dir.path()).env("XDG_STATE_HOME", self.path("state"));
        if self.workspace().join("ledger.db").exists() {
            command.env("KEYCTL_WORKSPACE", self.workspace());
        }
        command
    }

    pub fn keyctl(&self, args: &[&str]) -> Ran {
        ran(self.command(args).output().expect("the binary runs"))
    }

    /// A copy of a file in this place.
    pub fn copy(&self, from: &Path, name: &str) -> PathBuf {
        let to = self.path(name);
        std::fs::copy(from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        // Package files may be read-only.
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o644)).expect("mode");
        to
    }

    /// SQL over the ledger of the sandbox, with the sqlite3 program, which knows nothing of us.
    pub fn sql(&self, sql: &str) -> String {
        let output = tool("sqlite3").arg(self.workspace().join("ledger.db")).arg(sql).output().expect("sqlite3");
        assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

pub fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A program that `tests/setup` installs; the tests are no good without it.
pub fn tool(name: &str) -> Command {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    assert!(found, "{name} is not installed: run tests/setup first");
    Command::new(name)
}

/// Real PE files of different shapes, from Debian packages that `tests/setup` installs.
pub fn real_pe_files() -> Vec<PathBuf> {
    let distlib = Path::new("/usr/lib/python3/dist-packages/distlib");
    let nsis = Path::new("/usr/share/nsis");
    let files = vec![
        nsis.join("Contrib/UIs/default.exe"),             // PE32, Delphi-like resources
        nsis.join("Plugins/amd64-unicode/AdvSplash.dll"), // PE32+ DLL
        distlib.join("t64-arm.exe"),                      // ARM64
        distlib.join("t32.exe"),                          // PE32, MSVC
        PathBuf::from("/usr/lib/systemd/boot/efi/systemd-bootx64.efi"), // EFI, odd length
    ];
    for file in &files {
        assert!(file.is_file(), "{} is not installed: run tests/setup first", file.display());
    }
    files
}

/// The folder of inputs that are not part of the project; says so when a test goes without.
pub fn corpus(what: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("KEYCTL_CORPUS").map(PathBuf::from).filter(|folder| folder.is_dir());
    if folder.is_none() {
        eprintln!("skipped: {what} (KEYCTL_CORPUS is not set)");
    }
    folder
}

/// Changes one byte of a file.
pub fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).expect("readable");
    bytes[offset] ^= 0x01;
    std::fs::write(path, bytes).expect("writable");
}

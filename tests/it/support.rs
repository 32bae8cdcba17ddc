//! A private place for each test, and the binary in it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A temporary folder with a home of its own.
pub struct Place {
    dir: TempDir,
    variables: Vec<(String, PathBuf)>,
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

    /// The only JSON line on stdout.
    #[track_caller]
    pub fn one(&self) -> Value {
        match self.json().as_slice() {
            [only] => only.clone(),
            lines => panic!("{} lines\n{}{}", lines.len(), self.stdout, self.stderr),
        }
    }

    /// Exits with this code, and an error on stderr or in a result has this word for programs.
    #[track_caller]
    pub fn fails(self, exit: i32, code: &str) -> Self {
        let ran = self.exits(exit);
        let lines = ran.stdout.lines().chain(ran.stderr.lines());
        let found = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok()).any(|line| {
            let error = &line["error"];
            error["code"] == code && error["exit_code"] == exit && !error["message"].as_str().unwrap_or("").is_empty()
        });
        assert!(found, "no {code} with exit {exit} in\n{}{}", ran.stdout, ran.stderr);
        ran
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
        Place { dir: TempDir::with_prefix("keyctl-test-").expect("a temporary folder"), variables: Vec::new() }
    }

    /// Sets a variable for the programs to come.
    pub fn set(&mut self, name: &str, value: impl Into<PathBuf>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// A place with a sandbox in `.keyctl-sandbox`.
    pub fn with_sandbox() -> Self {
        let place = Place::new();
        place.keyctl(&["init", "--sandbox"]).ok();
        place
    }

    /// Another place that is the same in all but its folder, which its workspace takes for its own.
    pub fn twin(&self) -> Self {
        let place = Place::new();
        let copied = tool("cp").arg("-a").arg(self.path(".")).arg(place.path("")).status().expect("cp runs");
        assert!(copied.success());
        // As `trust --moved` would say it, but quicker: this is done some hundred times.
        let pins = std::fs::read_dir(place.path("state/keyctl/anchors")).expect("pins");
        let pins = pins.map(|entry| entry.expect("a pin").path());
        for file in pins.chain([place.workspace().join("place.json")]).filter(|file| file.is_file()) {
            let text = std::fs::read_to_string(&file).expect("text");
            let (old, new) = (self.dir.path().display().to_string(), place.dir.path().display().to_string());
            std::fs::write(&file, text.replace(&old, &new)).expect("written");
        }
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
        command.args(args);
        self.as_if(command)
    }

    /// A command with the surroundings that the binary has here.
    pub fn as_if(&self, mut command: Command) -> Command {
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KEYCTL_") && name != "KEYCTL_TEST_SQL") {
            command.env_remove(name);
        }
        // Set by cargo; production takes nothing of the loader's.
        command.env_remove("LD_LIBRARY_PATH");
        command.env("HOME", self.dir.path()).env("XDG_STATE_HOME", self.path("state"));
        command.env("KEYCTL_TRUST_DIR", self.path("trust"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if self.workspace().join("ledger.db").exists() {
            command.env("KEYCTL_WORKSPACE", self.workspace());
        }
        command
    }

    pub fn keyctl(&self, args: &[&str]) -> Ran {
        ran(self.command(args).output().expect("the binary runs"))
    }

    /// The binary with its clock standing at this time (UTC).
    pub fn keyctl_at(&self, time: DateTime<Utc>, args: &[&str]) -> Ran {
        let plain = self.command(args);
        let mut command = tool("faketime");
        command.arg("-f").arg(time.format("%Y-%m-%d %H:%M:%S").to_string()).arg(plain.get_program()).args(args);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        // Deadlines still pass, and files have their real times.
        command.env("TZ", "UTC").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
        ran(command.output().expect("faketime runs"))
    }

    /// A file of `published/`.
    pub fn published(&self, name: &str) -> PathBuf {
        self.workspace().join("published").join(name)
    }

    /// Every file of this place with its bytes, outside of workspace and state.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.dir.path()).expect("readable").map(|entry| entry.expect("entry").path());
        entries
            .filter(|path| path.symlink_metadata().is_ok_and(|found| found.is_file()))
            .map(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                (name, std::fs::read(path).expect("readable"))
            })
            .collect()
    }

    /// The ledger's entries.
    pub fn entries(&self) -> Vec<Value> {
        let leaves = self.sql("SELECT cast(leaf AS TEXT) FROM entries ORDER BY seq");
        leaves.lines().map(|leaf| serde_json::from_str(leaf).expect("a leaf")).collect()
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

/// Whether osslsigncode takes a file for signed under this root, by all of its signatures.
pub fn osslsigncode_accepts(root: &Path, file: &Path) -> bool {
    let output = tool("osslsigncode").args(["verify", "-CAfile"]).arg(root).arg("-in").arg(file).output();
    let output = output.expect("osslsigncode runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // It exits 0 if any signature verifies, so its words count too.
    let words = text.contains("Signature verification: ok")
        && text.contains("Number of verified signatures: 1")
        && text.lines().any(|line| line == "Succeeded")
        && !["MISMATCH", "failed", "Failed", "Unable", "expired"].iter().any(|word| text.contains(word));
    output.status.success() && words
}

/// What a PE file's header says about it, read without keyctl.
pub struct Pe {
    /// Offset of the optional header's CheckSum.
    pub checksum: usize,
    /// Offset of COFF's TimeDateStamp.
    pub stamp: usize,
    /// Offset of the first section's bytes.
    pub body: usize,
    /// The certificate table.
    pub certificates: std::ops::Range<usize>,
}

impl Pe {
    pub fn of(bytes: &[u8]) -> Self {
        let word = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes")) as usize;
        let long = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        let coff = long(0x3c) + 4;
        let optional = coff + 20;
        let directories = optional + if word(optional) == 0x20b { 112 } else { 96 };
        let (start, length) = (long(directories + 32), long(directories + 36));
        let first_section = optional + word(coff + 16);
        Pe {
            checksum: optional + 64,
            stamp: coff + 4,
            body: long(first_section + 20),
            certificates: start..start + length,
        }
    }
}

/// Writes the right CheckSum into a PE file, as whoever changes one would.
pub fn set_checksum(bytes: &mut [u8]) {
    let at = Pe::of(bytes).checksum;
    bytes[at..at + 4].fill(0);
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) | u32::from(*pair.get(1).unwrap_or(&0)) << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum += bytes.len() as u32;
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

/// The folder of inputs that are not part of the project; says so when a test goes without.
pub fn corpus(what: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("KEYCTL_CORPUS").map(PathBuf::from).filter(|folder| folder.is_dir());
    if folder.is_none() {
        eprintln!("skipped: {what} (KEYCTL_CORPUS is not set)");
    }
    folder
}

/// Changes one bit of a file.
pub fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).expect("readable");
    bytes[offset] ^= 0x01;
    std::fs::write(path, bytes).expect("writable");
}

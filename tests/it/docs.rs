//! What the tree says about the program is what the program says about itself.
//!
//! `KEYCTL_BLESS=1 cargo test --test it docs` writes man pages and completions anew; review the diff as code.

use crate::support::{Place, real_pe_files};
use clap_complete::Shell;
use keyctl::cli;
use keyctl::commands::completions::{render_completions, render_man};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn tree() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a folder with what was rendered, or writes it when blessing.
fn held(folder: &Path, rendered: BTreeMap<String, String>) {
    if std::env::var_os("KEYCTL_BLESS").is_some() {
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder).expect("a folder");
        for (name, text) in &rendered {
            std::fs::write(folder.join(name), text).expect("writable");
        }
    }
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("KEYCTL_BLESS=1 cargo test --test it docs") {
        let entry = entry.expect("an entry");
        let text = std::fs::read_to_string(entry.path()).expect("text");
        found.insert(entry.file_name().to_string_lossy().into_owned(), text);
    }
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&rendered), "{}: KEYCTL_BLESS=1 cargo test --test it docs", folder.display());
    for (name, text) in rendered {
        assert_eq!(found.get(&name), Some(&text), "{name} is stale: KEYCTL_BLESS=1 cargo test --test it docs");
    }
}

#[test]
fn man_pages_are_current() {
    let pages = render_man(cli::command()).into_iter().map(|(name, page)| (format!("{name}.1"), page)).collect();
    held(&tree().join("man"), pages);
}

#[test]
fn completions_are_current() {
    let shells = [(Shell::Bash, "keyctl.bash"), (Shell::Zsh, "_keyctl"), (Shell::Fish, "keyctl.fish")];
    let rendered = shells.map(|(shell, name)| (name.to_owned(), render_completions(shell, cli::command())));
    held(&tree().join("completions"), rendered.into());
}

#[test]
fn short_helps_are_no_sentences_and_long_ones_begin_with_them() {
    let mut tree = cli::command();
    tree.build();
    for command in tree.get_subcommands() {
        let short = command.get_about().expect("a short help").to_string();
        let long = command.get_long_about().expect("a long help").to_string();
        assert!(!short.ends_with('.'), "{}: {short}", command.get_name());
        assert!(long.starts_with(&short), "{}: {long}", command.get_name());
        assert!(long.contains("Examples:"), "{} shows no example", command.get_name());
        for argument in command.get_arguments().filter(|argument| !argument.is_global_set()) {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty() && !help.ends_with('.'), "{} {}: {help:?}", command.get_name(), argument.get_id());
        }
    }
}

/// Every example line of every command, each in a sandbox of its own with the files that examples speak of.
#[test]
fn examples_run() {
    let mut tree = cli::command();
    tree.build();
    let mut ran = 0;
    for command in tree.get_subcommands() {
        let long = command.get_long_about().expect("a long help").to_string();
        let (_, examples) = long.split_once("Examples:").expect("examples");
        for line in examples.lines().map(str::trim).filter(|line| !line.is_empty()) {
            example(line);
            ran += 1;
        }
    }
    assert!(ran > 20, "only {ran} examples were found");
}

fn example(line: &str) {
    let place = Place::with_sandbox();
    let files = real_pe_files();
    for (file, name) in files.iter().zip(["app.exe", "library.dll", "tool.exe", "signed.exe", "boot.efi"]) {
        place.copy(file, name);
    }
    place.keyctl(&["sign", "signed.exe", "tool.exe"]).ok();
    let evidence = std::fs::read_dir(place.workspace().join("evidence")).expect("evidence");
    let mut evidence = evidence.map(|entry| entry.expect("an entry").path());
    let is_fragment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    place.copy(&evidence.find(is_fragment).expect("a fragment"), "evidence.json");
    place.copy(&place.published("ledger.pub"), "ledger.pub");
    place.copy(&place.published("checkpoint"), "checkpoint-of-last-month");
    for name in ["root.pem", "digicert.pem", "tsa-root.pem", "tsa-roots.pem", "public-root.pem"] {
        place.copy(&place.published("certs/root-1.pem"), name);
    }
    place.copy(&place.published("certs/windows-1.pem"), "windows.pem");
    place.copy(&place.workspace().join("keyctl.toml"), "keyctl.toml");
    if line.contains("roster.toml") {
        place.copy(&place.workspace().join("roster.toml"), "roster.toml");
    }
    repository(&place.path("dists/stable"));
    place.copy(&place.published("apt/apt.pgp"), "archive.pgp");
    place.copy(&place.workspace().join("revocations/apt-root-1.asc"), "apt-root-1.asc");
    if line.contains(" verify dists") {
        place.keyctl(&["sign", "dists/stable"]).ok();
    }
    if line.contains(" approve ") {
        crate::approve::example(&place);
    }
    let fresh = line.contains(" init ");
    let script = format!("set -o pipefail; keyctl() {{ \"$KEYCTL_BINARY\" \"$@\"; }}; {line}");
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &script]).current_dir(place.path("")).stdin(std::process::Stdio::null());
    shell.env("KEYCTL_BINARY", env!("CARGO_BIN_EXE_keyctl")).env("HOME", place.path(""));
    shell.env("XDG_STATE_HOME", place.path(if fresh { "fresh-state" } else { "state" }));
    if fresh {
        std::fs::remove_dir_all(place.workspace()).expect("removable");
    } else {
        shell.env("KEYCTL_WORKSPACE", place.workspace());
    }
    let ran = crate::support::ran(shell.output().expect("bash runs"));
    // What an example asks for may be refused here (no authority answers, no key is external); it is never bad usage.
    let told = format!("{line}\n{}\n{}", ran.stdout, ran.stderr);
    assert_ne!(ran.code, 70, "{told}");
    assert!(!ran.stderr.contains("Usage:"), "{told}");
    assert!(ran.code != 2 || EXPECTED_USAGE.iter().any(|code| told.contains(code)), "{told}");
}

/// An APT repository with one index, an empty one.
fn repository(dir: &Path) {
    let index = dir.join("main/binary-amd64/Packages");
    std::fs::create_dir_all(index.parent().expect("a folder")).expect("a folder");
    std::fs::write(index, "").expect("writable");
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let release = format!(
        "Suite: stable\nCodename: stable\nDate: Mon, 01 Jun 2026 12:00:00 UTC\nArchitectures: amd64\n\
         Components: main\nSHA256:\n {empty} 0 main/binary-amd64/Packages\n"
    );
    std::fs::write(dir.join("Release"), release).expect("writable");
}

/// Usage errors that an example may rightly meet in a sandbox: its key has no external issuer, and so on.
const EXPECTED_USAGE: &[&str] = &[
    "unknown_key",
    "unknown_generation",
    "csr_not_wanted",
    "workspace_exists",
    "not_confirmed",
    "bad_time",
    "no_grant",
    "no_follow_up",
    "no_request",
    "no_review_wanted",
    "key_not_at_hand",
    "no_terminal",
    "not_found",
];

/// Words that follow the program's name in prose.
const PROSE: &[&str] = &["changes", "ledger", "may", "process", "publishes", "workspace"];

/// The `--flags` in a text.
fn flags(text: &str) -> Vec<&str> {
    let ends = |c: char| !(c.is_ascii_lowercase() || c == '-');
    text.match_indices("--")
        .map(|(at, _)| &text[at..])
        .filter(|rest| rest.len() > 2 && rest.as_bytes()[2].is_ascii_lowercase())
        .map(|rest| rest.split(ends).next().unwrap_or_default())
        .collect()
}

/// What errors, hints and messages name is there: each command with each of its flags.
#[test]
fn what_messages_tell_to_type_exists() {
    let mut tree = cli::command();
    tree.build();
    let of = |command: &clap::Command| -> BTreeSet<String> {
        let own = command.get_arguments().filter_map(|argument| argument.get_long()).map(|long| format!("--{long}"));
        let below = command.get_subcommands().flat_map(clap::Command::get_arguments);
        own.chain(below.filter_map(|argument| argument.get_long()).map(|long| format!("--{long}"))).collect()
    };
    let commands: BTreeMap<_, _> =
        tree.get_subcommands().map(|command| (command.get_name().to_owned(), of(command))).collect();
    let (mut seen, mut wrong) = (0, Vec::new());
    for (name, line) in messages() {
        for (at, _) in line.match_indices("keyctl ") {
            let said = &line[at + "keyctl ".len()..];
            let said = said.split(['"', ';', '`', ',']).next().unwrap_or_default();
            let is_word = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
            let word = said.split([' ', '\n']).find(is_word);
            let word = word.map(|word| word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()));
            let Some(command) = word.filter(|word| !PROSE.contains(word)) else {
                continue;
            };
            seen += 1;
            match commands.get(command) {
                None => wrong.push(format!("{name}: there is no {command}: {}", line.trim())),
                Some(known) => wrong.extend(
                    flags(said)
                        .into_iter()
                        .filter(|flag| !known.contains(*flag))
                        .map(|flag| format!("{name}: {command} has no {flag}: {}", line.trim())),
                ),
            }
        }
    }
    assert!(seen > 80, "the messages were not found: {seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every line of the sources that is no comment and no test, with its file.
fn messages() -> Vec<(String, String)> {
    let mut folders = vec![tree().join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("src") {
            let path = entry.expect("entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.starts_with("test") {
                let text = std::fs::read_to_string(&path).expect("readable");
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
                let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                found.extend(lines.map(|line| (path.display().to_string(), line.to_owned())));
            }
        }
    }
    found
}

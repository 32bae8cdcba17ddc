//! An approval that was given can be used up: whatever step of an operation fails, repeating `run ID`, or typing what is
//! printed, ends it under the same approval.
//!
//! Each operation is agreed to once. Then its workspace is put back before each try, and the tokens fail from one call on:
//! the first that does something, the second, and so on, until the operation gets through. `KEYCTL_TEST_LONG` walks more
//! operations, and has calls fail that were carried out; `KEYCTL_TEST_ONLY` names the beginning of one.

use crate::support::{Ran, ran, tool};
use crate::team::{APPROVAL, ROSTER, Team, staging, typed};
use crate::tokens::{lying_module, softhsm_module};
use std::path::{Path, PathBuf};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";

/// Each token has a PIN of its own.
const TOKENS: [(&str, &str); 3] = [("root", "1111-1111"), ("issuing", "2222-2222"), ("primary", "3333-3333")];

/// The first so many are walked every time, the others, some of which do not get through yet, if `KEYCTL_TEST_LONG` is set.
const SHORT: usize = 1;

/// What people agree to: who asks, and for what.
const OPERATIONS: &[(&str, &[&str])] = &[
    (CAROL, &["rotate", "windows", "--now"]),
    (BOB, &["compromise", "windows/1", "--incident", "INC-1"]),
    (CAROL, &["keygen", "spare"]),
    (BOB, &["rotate", "windows-ca", "--now"]),
    (BOB, &["rotate", "root", "--now"]),
    (CAROL, &["rotate", "apt", "--now"]),
    (BOB, &["rotate", "apt-root", "--now"]),
    (BOB, &["revoke", "windows/1", "--reason", "superseded", "--no-fetch"]),
    (BOB, &["revoke", "windows-ca/1", "--reason", "cACompromise", "--no-fetch"]),
    (BOB, &["revoke", "apt/1", "--reason", "keyCompromise"]),
    (BOB, &["compromise", "apt/1", "--incident", "INC-1"]),
    (BOB, &["compromise", "windows-ca/1", "--incident", "INC-1"]),
    (BOB, &["compromise", "root/1", "--incident", "INC-1"]),
    (BOB, &["destroy", "old/1"]),
];

/// A staging workspace with a key of each kind, on SoftHSM tokens behind the lying module.
fn founded() -> Team {
    let mut team = Team::new();
    let folder = team.place.path("softhsm");
    std::fs::create_dir_all(folder.join("tokens")).expect("a folder");
    let config = folder.join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\nlog.level = ERROR\n", folder.join("tokens").display());
    std::fs::write(&config, text).expect("softhsm2.conf");
    let mut settings = staging().replace("[retry]\n", "") + "\n[retry]\nmax_attempts = 1\ntimeout_seconds = 2\n";
    for (label, pin) in TOKENS {
        let args = ["--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", "87654321"];
        let made = tool("softhsm2-util").args(args).env("SOFTHSM2_CONF", &config).output().expect("softhsm2-util");
        assert!(made.status.success());
        let variable = format!("PIN_{label}");
        team.place.set(&variable, pin);
        let builtin = format!(
            "[hsm.{label}]\nmodule = \"builtin\"\ntoken  = \"{label}\"\npin    = {{ file = \"tokens/{label}/pin\" }}\n"
        );
        assert!(settings.contains(&builtin), "{settings}");
        let module = lying_module().display();
        let ours =
            format!("[hsm.{label}]\nmodule = \"{module}\"\ntoken = \"{label}\"\npin = {{ env = \"{variable}\" }}\n");
        settings = settings.replace(&builtin, &ours);
    }
    settings += "\n[hsm.log]\nmodule = \"builtin\"\npin = { file = \"tokens/log/pin\" }\n";
    let ledger = settings.find("[keys.ledger]").expect("a ledger key");
    let end = settings[ledger..].find("\n\n").expect("an end") + ledger;
    let keys = settings[ledger..end].replace("\"primary\"", "\"log\"");
    let windows = settings.find("[keys.windows]\n").expect("a key");
    let last = settings[windows..].find("\n\n").expect("an end") + windows;
    let more: String = ["spare", "old"]
        .iter()
        .map(|name| format!("{}\n\n", settings[windows..last].replace("[keys.windows]", &format!("[keys.{name}]"))))
        .collect();
    settings.replace_range(ledger..end, &format!("{more}{keys}"));
    settings = settings.replace("\"ed25519\"", "\"ecdsa-p384\"");
    let ledger = settings.find("[keys.ledger]").expect("a ledger key");
    settings.replace_range(ledger.., &settings[ledger..].replacen("\"ecdsa-p384\"", "\"ed25519\"", 1));
    std::fs::write(team.place.path("keyctl.toml"), settings).expect("keyctl.toml");
    team.place.set("SOFTHSM2_CONF", &config);
    team.place.set("LYING_REAL", softhsm_module());
    let request = team.begin();
    for (email, ..) in crate::team::PEOPLE {
        team.sign(email, ROSTER, &request);
    }
    team.init(ALICE).ok();
    for (asks, key) in
        [(BOB, "root"), (BOB, "windows-ca"), (CAROL, "windows"), (BOB, "apt-root"), (CAROL, "apt"), (CAROL, "old")]
    {
        done(&team, asks, &["keygen", key]);
    }
    done(&team, CAROL, &["rotate", "old", "--now"]);
    done(&team, BOB, &["revoke", "old/1", "--reason", "superseded", "--no-fetch"]);
    team
}

#[track_caller]
fn agreed(team: &Team, asks: &str, args: &[&str]) -> PathBuf {
    let request = team.asks(asks, &[&["--because", "a test"], args].concat());
    for other in [ALICE, BOB].iter().filter(|other| **other != asks) {
        team.sign(other, APPROVAL, &request);
    }
    request
}

#[track_caller]
fn done(team: &Team, asks: &str, args: &[&str]) {
    let ran = run(team, &agreed(team, asks, args), None);
    assert!([0, 3].contains(&ran.code), "{args:?}: {}", ran.stderr);
}

/// `run` of a request, where the tokens fail from this call on.
fn run(team: &Team, request: &Path, fails_at: Option<(u32, bool)>) -> Ran {
    let id = request.file_stem().and_then(|stem| stem.to_str()).expect("an id");
    let mut command = team.place.command(&["--workspace", ".keyctl-sandbox", "--yes", "run", id]);
    if let Some((at, made)) = fails_at {
        command.env("LYING_AT", at.to_string());
        if made {
            command.env("LYING_MADE", "1");
        }
    }
    ran(command.output().expect("the binary runs"))
}

const KEPT: [&str; 3] = [".keyctl-sandbox", "state", "softhsm"];

fn copy(team: &Team, from: &str, to: &str) {
    for name in KEPT {
        let (from, to) = (team.place.path(format!("{from}{name}")), team.place.path(format!("{to}{name}")));
        let _ = std::fs::remove_dir_all(&to);
        assert!(tool("cp").arg("-a").arg(from).arg(to).status().expect("cp").success());
    }
}

/// What has come of an operation: the states of all generations, and what is suspended.
fn states(team: &Team) -> String {
    let sql = "SELECT key || '/' || number || ' ' || state FROM generations ORDER BY key, number";
    team.place.sql(sql)
}

/// Nothing is left to do: it is done, or only people outside have to act (a list that nobody serves here).
fn is_through(ran: &Ran) -> bool {
    ran.code == 0
        || ran.code == 3 && ran.stderr.contains("crl_not_served")
        || ran.stderr.contains("\"code\":\"request_consumed\"")
}

/// Repeats until it is through: the same `run ID`, or the literal command that was printed.
fn repeats(team: &Team, request: &Path) -> Result<String, String> {
    let id = request.file_stem().and_then(|stem| stem.to_str()).expect("an id");
    let mut command = format!("keyctl --yes run {id}");
    let mut said = String::new();
    for _ in 0..4 {
        let ran = typed(team, BOB, &command);
        said += &format!("$ {command}\n{}{}", ran.stdout, ran.stderr);
        if is_through(&ran) {
            return Ok(said);
        }
        if ran.code == 5 {
            return Err(format!("another approval is asked for\n{said}"));
        }
        let next =
            ran.stderr.rsplit("goes on with what is left: ").next().filter(|_| ran.stderr.contains("goes on with"));
        let hint = || {
            let errors = ran.stderr.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            errors.filter_map(|line| line["error"]["hint"].as_str().map(str::to_owned)).next_back()
        };
        match next.map(|next| next.lines().next().unwrap_or_default().to_owned()).or_else(hint) {
            Some(next) if next.starts_with("keyctl ") => command = next,
            _ => return Err(format!("exit {}, and no command is said\n{said}", ran.code)),
        }
    }
    Err(format!("it does not come to an end\n{said}"))
}

#[test]
fn whatever_step_fails_the_same_approval_is_enough() {
    let team = founded();
    copy(&team, "", "base");
    let only = std::env::var("KEYCTL_TEST_ONLY").unwrap_or_default();
    let long = std::env::var_os("KEYCTL_TEST_LONG").is_some();
    let (mut wrong, mut tries) = (Vec::new(), 0);
    let walked = if long { OPERATIONS.len() } else { SHORT };
    for (asks, args) in OPERATIONS.iter().take(walked).filter(|(_, args)| args.join(" ").starts_with(&only)) {
        copy(&team, "base", "");
        let request = agreed(&team, asks, args);
        copy(&team, "", "asked");
        let through = run(&team, &request, None);
        assert!(is_through(&through), "{args:?}: {}{}", through.stdout, through.stderr);
        let wanted = states(&team);
        for made in if long { &[false, true][..] } else { &[false][..] } {
            for at in 1.. {
                assert!(at < 60, "{args:?} never gets through");
                copy(&team, "asked", "");
                let first = run(&team, &request, Some((at, *made)));
                if is_through(&first) {
                    break;
                }
                tries += 1;
                let told = format!("{args:?}, call {at} fails{}", if *made { " though it was made" } else { "" });
                if first.code == 70 {
                    wrong.push(format!("{told}: a bug\n{}", first.stderr));
                }
                match repeats(&team, &request) {
                    Err(why) => wrong.push(format!("{told}: {why}\nfirst: {}", first.stderr)),
                    Ok(said) if states(&team) != wanted => {
                        wrong.push(format!("{told}: it came to\n{}\nand not to\n{wanted}\n{said}", states(&team)));
                    }
                    Ok(_) => drop(team.anyone(&["audit", "log"]).ok()),
                }
            }
        }
    }
    println!("{tries} tries");
    assert!(wrong.is_empty(), "{} of {tries}:\n{}", wrong.len(), wrong.join("\n---\n"));
}

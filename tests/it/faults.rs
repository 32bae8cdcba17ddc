//! Tokens that fail for a moment, or for good: what is asked again, and what must not be.

use crate::support::Ran;
use crate::tokens::{FROM_ENV, Tokens, hsm, lying_module, p256_hierarchy};

/// A workspace on one token behind the lying module, with pauses of a second.
fn lying() -> Tokens {
    let tokens = Tokens::lying(&["hsm"]);
    tokens.init(&p256_hierarchy(&[hsm("hsm", lying_module(), FROM_ENV)], ["hsm"; 3])).ok();
    let path = tokens.in_workspace("keyctl.toml");
    let text = std::fs::read_to_string(&path).expect("keyctl.toml");
    std::fs::write(&path, format!("{text}\n[retry]\nmax_attempts = 3\nbase_seconds = 1\n")).expect("written");
    tokens
}

fn revoke(tokens: &Tokens) -> Ran {
    tokens.keyctl(&["--yes", "revoke", "windows/1", "--reason", "keyCompromise"])
}

#[test]
fn a_wrong_pin_is_tried_once_and_nobody_is_told_to_try_it_again() {
    let tokens = lying();
    let before = tokens.calls("C_Login");
    tokens.tell("pin");
    let ran = revoke(&tokens).fails(1, "revoked_unpublished");
    assert_eq!(tokens.calls("C_Login") - before, 1, "{}", ran.stderr);
    let error = ran.stderr.lines().find(|line| line.contains("revoked_unpublished")).expect("an error");
    let error: serde_json::Value = serde_json::from_str(error).expect("JSON");
    assert_eq!(error["error"]["error_class"], "permanent");
    let hint = error["error"]["hint"].as_str().expect("a hint");
    assert!(hint.starts_with("first: check the pin source") && hint.contains("not tried again"), "{hint}");
    // The revocation holds, and is told when the PIN is right.
    tokens.tell("honest");
    let row = revoke(&tokens).ok().one();
    assert_eq!((&row["state"], &row["published"]), (&"revoked".into(), &true.into()), "{row}");
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn what_passes_is_waited_for_by_every_command_that_uses_a_key() {
    let tokens = lying();
    tokens.pe("app.exe");
    for (lie, old) in [("once-no-session", "windows/1"), ("once-device-error-at-init", "windows/2")] {
        for command in [
            &["sign", "app.exe", "--replace"][..],
            &["crl", "windows-ca", "--now"],
            &["rotate", "windows", "--now"],
            &["--yes", "revoke", old, "--reason", "superseded"],
        ] {
            tokens.tell(lie);
            let ran = tokens.keyctl(command);
            assert!(ran.stderr.contains("trying again in 1 s"), "{lie}, {command:?}: {}", ran.stderr);
            ran.ok();
            let told = std::fs::read_to_string(tokens.path("control")).expect("control");
            assert_eq!(told, "", "{command:?} met no {lie}");
        }
    }
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_token_that_stays_away_costs_its_pauses_once_for_a_command() {
    let tokens = lying();
    for name in ["a.exe", "b.exe", "c.exe"] {
        tokens.pe(name);
    }
    tokens.tell("no-session");
    let before = tokens.calls("C_OpenSession");
    let ran = tokens.keyctl(&["sign", "a.exe", "b.exe", "c.exe"]).exits(3);
    assert_eq!(ran.stderr.matches("trying again in").count(), 2, "{}", ran.stderr);
    assert!(tokens.calls("C_OpenSession") - before <= 3 + 3, "{}", ran.stderr);
    tokens.tell("honest");
    tokens.keyctl(&["sign", "a.exe", "b.exe", "c.exe"]).ok();
}

#[test]
fn a_token_that_gives_one_session_only_signs_with_that() {
    let tokens = lying();
    let names: Vec<_> = (0..6).map(|number| format!("{number}.exe")).collect();
    let files: Vec<_> = names.iter().map(String::as_str).collect();
    files.iter().for_each(|name| drop(tokens.pe(name)));
    tokens.tell("one-session");
    // CKR_GENERAL_ERROR, not CKR_SESSION_COUNT.
    let ran = tokens.keyctl(&[&["sign", "--jobs", "4"], &files[..]].concat()).ok();
    assert_eq!(ran.json().len(), 6);
    tokens.keyctl(&[&["verify"], &files[..]].concat()).ok();
    tokens.keyctl(&["audit", "log"]).ok();
}

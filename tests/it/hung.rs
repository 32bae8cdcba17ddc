//! Tokens that hang, processes that are killed while they wait for one, and what an unsettled act blocks until `recover`.

use crate::support::{Ran, ran, tool};
use crate::tokens::*;
use std::process::{Child, Stdio};

/// A hierarchy on a lying token that is given two seconds for each call.
fn impatient() -> Tokens {
    let tokens = Tokens::lying(&["hsm"]);
    let slow = hsm("hsm", lying_module(), FROM_ENV) + "timeout_seconds = 2\n";
    tokens.init(&p256_hierarchy(&[slow], ["hsm"; 3])).ok();
    tokens
}

/// The CAs on a lying token, and the signing key on the builtin one.
fn lying_issuer() -> Tokens {
    let tokens = Tokens::lying(&["ca"]);
    tokens.init(&p256_hierarchy(&[hsm("ca", lying_module(), FROM_ENV)], ["ca", "ca", "log"])).ok();
    tokens
}

fn open_intents(tokens: &Tokens) -> String {
    tokens.place.sql("SELECT type, object FROM intents WHERE outcome IS NULL")
}

/// The outcomes of artifacts, oldest first.
fn outcomes(tokens: &Tokens) -> Vec<String> {
    let sql =
        "SELECT json_extract(leaf, '$.body.result') FROM entries WHERE json_extract(leaf, '$.type') = 'PACKAGE_SIGNED'
               AND json_extract(leaf, '$.body.phase') = 'outcome' ORDER BY seq";
    tokens.place.sql(sql).lines().map(str::to_owned).collect()
}

/// Runs a command whose token hangs, until it asked for a signature; then kills it.
fn killed_while_it_hangs(tokens: &Tokens, args: &[&str]) {
    use std::os::unix::process::ExitStatusExt;
    let before = tokens.calls("C_Sign");
    tokens.tell("hang");
    let mut command = tokens.command(args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let ended = |child: &mut Child| child.try_wait().expect("a child").is_some();
    while tokens.calls("C_Sign") == before && !ended(&mut child) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().expect("it is ours");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.signal(), Some(9), "{}", String::from_utf8_lossy(&output.stderr));
    tokens.tell("honest");
}

#[track_caller]
fn settled(tokens: &Tokens) -> Ran {
    let ran = tokens.keyctl(&["recover"]).ok();
    assert_eq!(open_intents(tokens), "");
    tokens.keyctl(&["audit", "log"]).ok();
    ran
}

#[test]
fn a_token_that_hangs_ends_the_run_with_every_file_as_it_was() {
    let tokens = impatient();
    // More than go through the gate together.
    let names: Vec<_> = (0..70).map(|number| format!("{number}.exe")).collect();
    let files: Vec<_> = names.iter().map(|name| tokens.pe(name)).collect();
    std::fs::write(tokens.path("list"), names.join("\n")).expect("a list");
    let before = std::fs::read(&files[0]).expect("a file");
    let asked = tokens.calls("C_Sign");
    tokens.tell("hang");
    tokens.keyctl(&["sign", "--files-from", "list", "--jobs", "1"]).fails(3, "token_timed_out");
    assert_eq!(tokens.calls("C_Sign"), asked + 1, "who does not answer is not asked again");
    for file in &files {
        assert_eq!(std::fs::read(file).expect("a file"), before);
    }
    // One may have been signed; the others were not even tried.
    let outcomes = outcomes(&tokens);
    assert_eq!(outcomes[0], "unknown");
    assert!(outcomes.len() >= 64 && outcomes[1..].iter().all(|outcome| outcome == "failed"), "{outcomes:?}");
    assert_eq!(open_intents(&tokens), "", "all of it is written down");
    tokens.keyctl(&["audit", "log"]).ok();
    tokens.tell("honest");
    settled(&tokens).says("nothing was interrupted");
    tokens.keyctl(&["sign", "--files-from", "list"]).ok();
    for file in files.iter().step_by(23) {
        osslsigncode_accepts(file, &tokens.published("root-1.pem"));
    }
}

#[test]
fn a_key_that_a_hung_token_may_have_made_blocks_that_token() {
    let tokens = impatient();
    tokens.pe("app.exe");
    tokens.tell("hang");
    tokens.keyctl(&["keygen", "windows"]).fails(3, "token_timed_out");
    assert_eq!(open_intents(&tokens), "KEY_GENERATED|windows/2", "nobody knows yet");
    tokens.tell("honest");
    for command in [&["keygen", "windows"][..], &["keygen", "windows-ca"], &["sign", "app.exe"]] {
        tokens.keyctl(command).fails(4, "orphaned_intent").says("keyctl recover");
    }
    tokens.keyctl(&["--dry-run", "sign", "app.exe"]).fails(4, "orphaned_intent");
    tokens.keyctl(&["status", "--check", "windows"]).fails(4, "orphaned_intent");
    tokens.keyctl(&["status"]).ok().says("interrupted: KEY_GENERATED of windows/2");
    let row = settled(&tokens).one();
    assert_eq!((&row["object"], &row["result"]), (&"windows/2".into(), &"taken-over".into()), "{row}");
    tokens.keyctl(&["status", "--check", "windows"]).ok();
    tokens.keyctl(&["sign", "app.exe"]).ok();
    tokens.keyctl(&["keygen", "windows"]).ok().says("windows/2");
}

#[test]
fn an_orphaned_certificate_blocks_its_issuer_s_token_until_recover() {
    let tokens = lying_issuer();
    tokens.pe("app.exe");
    killed_while_it_hangs(&tokens, &["keygen", "windows"]);
    assert_eq!(open_intents(&tokens), "CERTIFICATE_ISSUED|windows/2");
    tokens.keyctl(&["keygen", "windows"]).fails(4, "orphaned_intent").says("CERTIFICATE_ISSUED of windows/2");
    tokens.keyctl(&["keygen", "windows-ca"]).fails(4, "orphaned_intent");
    assert_eq!(tokens.place.sql("SELECT count(*) FROM generations WHERE key = 'windows-ca'"), "1");
    // The signing key is on another token.
    tokens.keyctl(&["status", "--check", "windows"]).ok();
    tokens.keyctl(&["sign", "app.exe"]).ok();
    osslsigncode_accepts(&tokens.path("app.exe"), &tokens.published("root-1.pem"));
    let row = settled(&tokens).one();
    assert_eq!((&row["type"], &row["result"]), (&"CERTIFICATE_ISSUED".into(), &"unknown".into()), "{row}");
    // The serial that may be out there is never given again.
    tokens.keyctl(&["keygen", "windows"]).ok().says("windows/2");
    let serials =
        tokens.place.sql("SELECT count(*), count(DISTINCT serial) FROM serials WHERE issuer = 'windows-ca/1'");
    assert_eq!(serials, "3|3");
    let leaf = tokens.published("windows-2.pem");
    let chain = tool("openssl")
        .args(["verify", "-CAfile"])
        .arg(tokens.published("root-1.pem"))
        .arg("-untrusted")
        .arg(tokens.published("windows-ca-1.pem"))
        .arg(leaf)
        .output()
        .expect("openssl");
    assert!(chain.status.success(), "{}", String::from_utf8_lossy(&chain.stderr));
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_token_that_hangs_keeps_no_other_from_signing() {
    let tokens = Tokens::lying(&["ca"]);
    let patient = hsm("ca", lying_module(), FROM_ENV) + "timeout_seconds = 600\n";
    tokens.init(&p256_hierarchy(&[patient], ["ca", "ca", "log"])).ok();
    let file = tokens.pe("app.exe");
    let logins = tokens.calls("C_Login");
    tokens.tell("hang-login");
    let mut command = tokens.command(&["keygen", "windows"]);
    let mut waiting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    while tokens.calls("C_Login") == logins {
        assert!(waiting.try_wait().expect("a child").is_none(), "it logs in to the token that hangs");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    tokens.keyctl(&["sign", "app.exe"]).ok();
    assert!(waiting.try_wait().expect("a child").is_none(), "it still waits for its token");
    osslsigncode_accepts(&file, &tokens.published("root-1.pem"));
    tokens.tell("honest");
    ran(waiting.wait_with_output().expect("it ends")).ok().says("windows/2");
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_signature_that_nobody_reported_blocks_nothing() {
    let tokens = Tokens::lying(&["hsm"]);
    tokens.init(&p256_hierarchy(&[hsm("hsm", lying_module(), FROM_ENV)], ["hsm"; 3])).ok();
    let file = tokens.pe("app.exe");
    let before = std::fs::read(&file).expect("a file");
    killed_while_it_hangs(&tokens, &["sign", "app.exe"]);
    assert!(open_intents(&tokens).starts_with("PACKAGE_SIGNED|"));
    assert_eq!(std::fs::read(&file).expect("a file"), before);
    tokens.keyctl(&["status"]).ok().says("interrupted: PACKAGE_SIGNED");
    tokens.keyctl(&["sign", "app.exe"]).ok();
    osslsigncode_accepts(&file, &tokens.published("root-1.pem"));
    tokens.keyctl(&["keygen", "windows"]).ok();
    let row = settled(&tokens).one();
    assert_eq!((&row["type"], &row["result"]), (&"PACKAGE_SIGNED".into(), &"unknown".into()), "{row}");
}

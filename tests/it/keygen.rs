//! Making keys: what is asked, what is refused, and what an interruption leaves.

use crate::support::tool;
use crate::tokens::*;
use serde_json::Value;
use std::process::Stdio;
use std::time::Instant;

fn softhsm() -> Tokens {
    let tokens = Tokens::softhsm(&["hsm"]);
    tokens.init(&p256_hierarchy(&[hsm("hsm", &softhsm_module(), FROM_ENV)], ["hsm"; 3])).ok();
    tokens
}

fn lying() -> Tokens {
    let tokens = Tokens::lying(&["hsm"]);
    tokens.init(&p256_hierarchy(&[hsm("hsm", lying_module(), FROM_ENV)], ["hsm"; 3])).ok();
    tokens
}

/// `[state, quarantined]` of each generation of `windows`.
fn generations(tokens: &Tokens) -> Vec<String> {
    let sql = "SELECT state || ' ' || coalesce(json_extract(doc, '$.quarantined'), '-') FROM generations
               WHERE key = 'windows' ORDER BY number";
    tokens.place.sql(sql).lines().map(str::to_owned).collect()
}

#[test]
fn a_dry_run_prints_the_request_and_touches_nothing() {
    let tokens = lying();
    let (entries, calls) =
        (tokens.place.sql("SELECT count(*) FROM entries"), std::fs::read(tokens.path("calls")).unwrap());
    let ran = tokens.keyctl(&["--dry-run", "keygen", "windows"]).ok();
    let plan: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(plan["operation"], "keygen");
    let pair = &plan["steps"][0]["params"];
    assert_eq!(pair["generation"], "windows/2");
    assert_eq!(pair["algorithm"], "ecdsa-p256");
    assert_eq!(plan["steps"][1]["operation"], "issue", "the whole way is planned");
    let serial = tokens.place.sql("SELECT json_extract(doc, '$.token.serial') FROM tokens WHERE hsm = 'hsm'");
    assert_eq!(pair["token_serial"], serial);
    assert_eq!(tokens.place.sql("SELECT count(*) FROM entries"), entries);
    assert_eq!(std::fs::read(tokens.path("calls")).unwrap(), calls, "no login");
    tokens.keyctl(&["keygen", "macos"]).exits(2).says("there is ledger, root, windows, windows-ca");
    tokens.keyctl(&["keygen", "Windows"]).exits(2);
    tokens.keyctl(&["keygen", "windows", "--csr", "x.csr"]).exits(2).says("csr_not_wanted");
    assert!(!tokens.path("x.csr").exists());
}

#[test]
fn a_later_generation_waits_certified() {
    let tokens = softhsm();
    tokens.keyctl(&["keygen", "windows"]).ok().says("windows/2");
    assert_eq!(generations(&tokens), ["active -", "certified -"]);
    // Repeating it finds the unfinished one.
    tokens.keyctl(&["keygen", "windows"]).ok().says("windows/2");
    assert_eq!(generations(&tokens).len(), 2);
    let serials = tokens.place.sql("SELECT count(*), count(DISTINCT serial), min(length(serial)) >= 32 FROM serials");
    assert_eq!(serials, "4|4|1");
    let keys = tokens.place.sql("SELECT count(*), count(DISTINCT spki_sha256) FROM public_keys");
    assert_eq!(keys, "5|5");
}

/// The pairs on the token are exactly those of the register, save what the ledger itself says may be half a pair.
fn token_and_register_agree(tokens: &Tokens) {
    let listed = tokens.objects("hsm");
    let ids = |sql: &str| tokens.place.sql(sql).lines().map(str::to_owned).collect::<Vec<_>>();
    let known = ids("SELECT json_extract(doc, '$.identities[0].copies[0].cka_id') FROM generations
                     WHERE key <> 'ledger' AND state <> 'planned'");
    let unknown = ids("SELECT json_extract(i.leaf, '$.body.request.params.cka_id')
                       FROM entries AS o JOIN entries AS i ON i.seq = json_extract(o.leaf, '$.body.intent')
                       WHERE json_extract(o.leaf, '$.type') = 'KEY_GENERATED' AND json_extract(o.leaf, '$.body.result') = 'unknown'");
    // A public half cannot sign: its keygen counts as not executed, and another pair was made.
    let halves = ids("SELECT json_extract(i.leaf, '$.body.request.params.cka_id')
                      FROM entries AS o JOIN entries AS i ON i.seq = json_extract(o.leaf, '$.body.intent')
                      WHERE json_extract(o.leaf, '$.type') = 'KEY_GENERATED' AND json_extract(o.leaf, '$.body.result') = 'failed'");
    let private = listed
        .split("Private Key Object")
        .skip(1)
        .filter_map(|object| object.lines().find_map(|line| line.trim().strip_prefix("ID:")).map(str::trim));
    assert!(private.into_iter().all(|id| !halves.iter().any(|half| half == id)), "a private half was left\n{listed}");
    let mut found: Vec<_> = listed.lines().filter_map(|line| line.trim().strip_prefix("ID:")).map(str::trim).collect();
    found.retain(|id| !unknown.iter().chain(&halves).any(|left| left == id));
    let mut pairs: Vec<_> = known.iter().flat_map(|id| [id.as_str(), id.as_str()]).collect();
    found.sort_unstable();
    pairs.sort_unstable();
    println!("{} pairs, {} unknown", known.len(), unknown.len());
    assert_eq!(found, pairs, "{listed}\n{}", tokens.place.sql("SELECT key, number, state FROM generations"));
}

#[test]
fn a_killed_keygen_is_continued_and_makes_no_second_key() {
    const ROUNDS: u32 = 14;
    let tokens = softhsm();
    let trial =
        |round: u32| key(&format!("trial{round}"), "authenticode", "ecdsa-p256", "hsm", "issuer = \"windows-ca\"");
    let trials: String = (0..=ROUNDS).map(trial).collect();
    tokens.edit("[keys.ledger]", &format!("{trials}\n[keys.ledger]"));
    tokens.keyctl(&["adopt"]).ok();
    let start = Instant::now();
    tokens.keyctl(&["keygen", "trial0"]).ok();
    let whole = start.elapsed();
    let (mut killed, mut blocked) = (0, 0);
    for round in 1..=ROUNDS {
        let key = format!("trial{round}");
        let keygen = ["keygen", &key];
        let mut child = tokens.command(&keygen).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * round / ROUNDS);
        // SIGKILL; it may have ended by itself just now.
        let _ = child.kill();
        killed += u32::from(!child.wait().unwrap().success());
        // An orphan of the generation itself has to be settled first, and nothing else.
        let ran = tokens.keyctl(&keygen);
        if ran.code == 4 {
            ran.says("orphaned_intent").says("keyctl recover");
            blocked += 1;
            tokens.keyctl(&["recover"]).ok();
            tokens.keyctl(&keygen).ok().says("active");
        } else {
            ran.ok();
        }
        let of = |what: &str| tokens.place.sql(&format!("SELECT {what} FROM generations WHERE key = '{key}'"));
        assert_eq!(
            of("group_concat(state)").trim_start_matches("active").trim_start_matches(",certified"),
            "",
            "{key}"
        );
    }
    // How many depends on how busy the machine is; the first are killed before they could have begun.
    assert!(killed > 0, "none of {ROUNDS} was killed in time");
    println!("{killed} of {ROUNDS} killed, {blocked} in the middle of making the pair");
    token_and_register_agree(&tokens);
    tokens.keyctl(&["recover"]).ok();
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_pair_whose_making_was_not_reported_is_taken_over() {
    let tokens = lying();
    // The module says CKR_GENERAL_ERROR, and the pair is there all the same.
    tokens.tell("made-but-failed");
    let made = tokens.calls("C_GenerateKeyPair");
    tokens.keyctl(&["keygen", "windows"]).ok().says("the pair is there and whole").says("windows/2");
    tokens.tell("honest");
    assert_eq!(generations(&tokens), ["active -", "certified -"]);
    assert_eq!(tokens.calls("C_GenerateKeyPair"), made + 1);
    token_and_register_agree(&tokens);
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_key_whose_attributes_are_not_as_asked_is_quarantined() {
    let tokens = lying();
    let serials = tokens.place.sql("SELECT count(*) FROM serials");
    tokens.tell("extractable");
    tokens.keyctl(&["keygen", "windows"]).exits(4).says("quarantined").says("CKA_EXTRACTABLE");
    tokens.tell("honest");
    assert_eq!(generations(&tokens), ["active -", "generated the token reports other values for CKA_EXTRACTABLE"]);
    // It gets no certificate now or later, although the token says something better by now.
    tokens.keyctl(&["keygen", "windows"]).exits(4).says("quarantined");
    assert_eq!(tokens.place.sql("SELECT count(*) FROM serials"), serials);
    assert!(!tokens.published("windows-2.pem").exists());
    tokens.pe("app.exe");
    tokens.keyctl(&["sign", "app.exe"]).ok();
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn nss_does_not_say_what_a_key_needs() {
    let tokens = Tokens::softhsm(&["hsm"]);
    let init_args = nss_database(&tokens.path("nss"));
    let nss = format!(
        "[hsm.nss]\nmodule = {{ path = \"{}\", init_args = \"{init_args}\" }}\ntoken = \"NSS Certificate DB\"\npin = {FROM_ENV}\n",
        nss_module().display()
    );
    let other = key("other", "authenticode", "ecdsa-p256", "nss", "issuer = \"windows-ca\"");
    let toml = p256_hierarchy(&[hsm("hsm", &softhsm_module(), FROM_ENV), nss], ["hsm"; 3]);
    tokens.init(&toml).ok();
    tokens.edit("[keys.ledger]", &format!("{other}\n[keys.ledger]"));
    tokens.keyctl(&["adopt"]).ok();
    // It calls keys that it made itself not local (CKA_LOCAL), and leaves out other attributes.
    tokens.keyctl(&["keygen", "other"]).exits(4).says("quarantined").says("CKA_LOCAL");
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_public_key_that_comes_twice_is_refused() {
    let tokens = lying();
    tokens.tell("no-randomness");
    tokens.keyctl(&["keygen", "windows"]).ok().says("windows/2");
    tokens.edit(
        "[keys.ledger]",
        &format!("{}\n[keys.ledger]", key("twin", "authenticode", "ecdsa-p256", "hsm", "issuer = \"windows-ca\"")),
    );
    tokens.keyctl(&["adopt"]).ok();
    tokens.keyctl(&["keygen", "twin"]).exits(1).says("public_key_seen").says("windows/2");
    tokens.keyctl(&["recover"]).ok().says("nothing was interrupted");
    assert_eq!(tokens.place.sql("SELECT state FROM generations WHERE key = 'twin'"), "planned");
    tokens.keyctl(&["audit", "log"]).ok();
    tokens.tell("honest");
    // The rejected pair keeps its label; nothing is deleted.
    tokens.keyctl(&["keygen", "twin"]).ok().says("twin/1");
    let listed = tokens.objects("hsm");
    assert_eq!(listed.matches("label:      twin/").count(), 4, "{listed}");
    let again = listed.lines().filter(|line| line.contains("label:      twin/") && line.contains("/1."));
    assert_eq!(again.count(), 2, "the second pair has a label of its own\n{listed}");
}

#[test]
fn a_request_for_an_external_issuer_verifies() {
    let tokens = Tokens::softhsm(&["hsm"]);
    let mac = key("installer", "installer", "rsa-3072", "hsm", "issuer = \"external\"");
    let toml = p256_hierarchy(&[hsm("hsm", &softhsm_module(), FROM_ENV)], ["hsm"; 3]) + &mac;
    tokens.init(&toml).ok();
    tokens
        .keyctl(&["keygen", "installer"])
        .exits(2)
        .says("csr_needed")
        .says("keyctl keygen installer --csr installer.csr");
    tokens.keyctl(&["keygen", "installer", "--csr", "installer.csr"]).ok().says("generated");
    let verify = |file: &str| {
        let output =
            tool("openssl").args(["req", "-verify", "-noout", "-text", "-in"]).arg(tokens.path(file)).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(output.status.success() && text.contains("verify OK"), "{text}");
        text
    };
    let text = verify("installer.csr");
    assert!(text.contains("CN = Example installer") && text.contains("(3072 bit)"), "{text}");
    // Again: the same key, another file; a file that is there stays.
    let before = std::fs::read(tokens.path("installer.csr")).unwrap();
    tokens.keyctl(&["keygen", "installer", "--csr", "installer.csr"]).exits(2).says("target_exists");
    assert_eq!(std::fs::read(tokens.path("installer.csr")).unwrap(), before);
    tokens.keyctl(&["keygen", "installer", "--csr", "again.csr"]).ok();
    verify("again.csr");
    assert_eq!(tokens.place.sql("SELECT count(*) FROM generations WHERE key = 'installer'"), "1");
    tokens.keyctl(&["audit", "log"]).ok();
}

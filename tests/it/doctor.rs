//! `doctor`: what is wrong with tokens, told without a login and without a trace.

use crate::support::Ran;
use crate::tokens::*;
use serde_json::Value;

/// `CHECK VERDICT` of each row about an object.
fn about(ran: &Ran, object: &str) -> Vec<String> {
    let rows = ran.json();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.iter()
        .filter(|row| row["object"] == object)
        .map(|row| text(row, "check") + " " + &text(row, "verdict"))
        .collect()
}

#[test]
fn several_tokens_are_examined_without_a_login() {
    let mut tokens = Tokens::lying(&["root", "issuing", "signing"]);
    let toml = p256_hierarchy(
        &[
            hsm("root", lying_module(), "{ env = \"NOT_SET\" }")
                .replace("{ env", "[{ env")
                .replace("\" }", "\" }, { env = \"TOKEN_PIN\" }]"),
            hsm("issuing", lying_module(), FROM_ENV),
            hsm("signing", lying_module(), FROM_ENV)
                + "fips = { standard = \"140-2\", level = 2, certificate = \"1234\" }\n",
        ],
        ["root", "issuing", "signing"],
    );
    tokens.init(&toml).ok();
    let ledger = |tokens: &Tokens| {
        tokens.place.sql("SELECT count(*), max(leaf_hash) FROM entries")
            + &tokens.place.sql("SELECT count(*) FROM checkpoints")
    };
    let (before, logins) = (ledger(&tokens), tokens.calls("C_Login"));

    // No PIN anywhere: only a word about it.
    let mut command = tokens.command(&["doctor"]);
    let ran = crate::support::ran(command.env_remove("TOKEN_PIN").output().unwrap());
    let ran = ran.exits(6);
    assert!(about(&ran, "hsm.root").contains(&"PIN source warning".to_owned()), "{}", ran.stdout);
    // The one problem: a FIPS entry for software.
    let signing = about(&ran, "hsm.signing");
    for row in
        ["reachable ok", "as adopted ok", "fips_software problem", "fips_historical warning", "software_token warning"]
    {
        assert!(signing.contains(&row.to_owned()), "{row}: {signing:?}");
    }
    assert!(about(&ran, "hsm.root").contains(&"root-ca with ecdsa-p256 ok".to_owned()));
    assert!(about(&ran, "keyctl.toml").contains(&"advice warning".to_owned()), "{}", ran.stdout);
    for object in ["hsm.root", "hsm.issuing", "hsm.log", "clock"] {
        assert!(about(&ran, object).iter().all(|row| !row.ends_with("problem")), "{}", ran.stdout);
    }

    // Without that entry nothing is a problem, once it is adopted.
    tokens.edit("fips = { standard = \"140-2\", level = 2, certificate = \"1234\" }\n", "");
    let ran = tokens.keyctl(&["doctor"]).exits(6);
    assert!(about(&ran, "keyctl.toml").contains(&"as adopted problem".to_owned()));
    assert_eq!(ledger(&tokens), before);
    assert_eq!(tokens.calls("C_Login"), logins);
    tokens.keyctl(&["adopt"]).ok();
    let (before, logins) = (ledger(&tokens), tokens.calls("C_Login"));
    tokens.keyctl(&["doctor"]).ok();
    let table = tokens.keyctl(&["--output", "table", "-v", "doctor"]).ok();
    assert!(
        table.stdout.starts_with("OBJECT") && table.stdout.contains("openpgp-primary with ed25519"),
        "{}",
        table.stdout
    );

    // Another serial number is a problem of each token, and of the keys on it.
    tokens.tell("serial");
    let ran = tokens.keyctl(&["doctor"]).exits(6);
    for name in ["hsm.root", "hsm.issuing", "hsm.signing"] {
        let rows = about(&ran, name);
        assert!(rows.contains(&"as adopted problem".into()) && rows.contains(&"keys problem".into()), "{rows:?}");
    }
    tokens.tell("clock-ahead");
    let ran = tokens.keyctl(&["doctor"]).exits(6).says("the token said 2099-01-01T00:00:00Z when the clock here said");
    assert!(about(&ran, "hsm.root").contains(&"clock problem".into()), "{}", ran.stdout);
    tokens.tell("honest");
    // What a service said when it was talked to last.
    let compared = tokens.path(".keyctl-sandbox/locks/remote-clock");
    let said = r#"{"host":"tsa.example.invalid","said":"2099-01-01T00:00:00Z","here":"2026-01-01T00:00:00Z"}"#;
    std::fs::write(&compared, said).unwrap();
    let ran = tokens.keyctl(&["doctor"]).exits(6).says("tsa.example.invalid said 2099-01-01T00:00:00Z");
    assert!(about(&ran, "clock").contains(&"as services say problem".into()), "{}", ran.stdout);
    std::fs::write(&compared, said.replace("2099", "2026")).unwrap();
    let ran = tokens.keyctl(&["doctor"]);
    assert!(about(&ran, "clock").contains(&"as services say ok".into()), "{}", ran.stdout);
    // A module that cannot be loaded is one problem, and the others are examined all the same.
    tokens.set("LYING_REAL", tokens.path("gone.so"));
    let ran = tokens.keyctl(&["doctor"]).exits(6);
    assert_eq!(about(&ran, "hsm.root"), ["reachable problem"]);
    assert!(about(&ran, "hsm.log").contains(&"as adopted ok".to_owned()));
    tokens.set("LYING_REAL", softhsm_module());
    tokens.edit(lying_module().to_str().unwrap(), "/nonexistent/module.so");
    let ran = tokens.keyctl(&["doctor"]).exits(6).says("/nonexistent/module.so");
    assert_eq!(about(&ran, "hsm.root"), ["reachable problem"]);
    assert_eq!(ledger(&tokens), before);
    assert_eq!(tokens.calls("C_Login"), logins);
}

//! Keys that somebody deleted or replaced on their token, past keyctl.

use crate::tokens::{FROM_ENV, PIN, Tokens, hsm, p256_hierarchy, softhsm_module};

#[test]
fn a_key_that_was_deleted_or_replaced_on_its_token_is_noticed() {
    let tokens = Tokens::softhsm(&["hsm"]);
    tokens.init(&p256_hierarchy(&[hsm("hsm", &softhsm_module(), FROM_ENV)], ["hsm"; 3])).ok();
    tokens.keyctl(&["status", "--check", "windows"]).ok().says("KeyOnToken");
    tokens.keyctl(&["doctor"]).ok();
    let field = "json_extract(doc, '$.identities[0].copies[0].cka_id')";
    let id =
        |key: &str| tokens.place.sql(&format!("SELECT {field} FROM generations WHERE key = '{key}' AND number = 1"));
    let pkcs11 =
        |args: &[&str]| tokens.pkcs11_tool(&[&["--token-label", "hsm", "--login", "--pin", PIN], args].concat());
    let windows = id("windows");
    // Its private half is gone: whoever logs in sees it.
    pkcs11(&["--delete-object", "--type", "privkey", "--id", &windows]);
    let ran = tokens.keyctl(&["status", "--check", "windows"]).exits(4);
    let gate = ran.json().into_iter().find(|row| row["gate"] == "KeyOnToken").expect("the gate");
    assert_eq!(gate["verdict"], "fail", "{gate}");
    // All of it.
    pkcs11(&["--delete-object", "--type", "pubkey", "--id", &windows]);
    tokens.keyctl(&["doctor"]).exits(6).says(&format!("windows/1: there is no public key under CKA_ID {windows}"));
    // Another pair in its place.
    pkcs11(&["--keypairgen", "--key-type", "EC:prime256v1", "--id", &windows, "--label", "windows"]);
    tokens.keyctl(&["doctor"]).exits(6).says("windows/1: there is another public key under CKA_ID");
    let ran = tokens.keyctl(&["status", "--check", "windows"]).exits(4);
    let gate = ran.json().into_iter().find(|row| row["gate"] == "KeyOnToken").expect("the gate");
    assert_eq!(gate["verdict"], "fail", "{gate}");
}

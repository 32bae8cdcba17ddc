//! Workspaces on SoftHSM and NSS tokens, and what other people's programs say of what comes out.

use crate::support::{Ran, flip, real_pe_files, tool};
use crate::tokens::*;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Three tokens of SoftHSM, one of NSS, one builtin; PINs from everywhere.
fn mixed() -> (Tokens, String) {
    let tokens = Tokens::softhsm(&["root", "issuing", "signing"]);
    let (softhsm, file) = (softhsm_module(), tokens.path("root.pin"));
    std::fs::write(&file, PIN).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let init_args = nss_database(&tokens.path("nss"));
    let nss = format!(
        "[hsm.nss]\nmodule = {{ path = \"{}\", init_args = \"{init_args}\" }}\ntoken = \"NSS Certificate DB\"\npin = {FROM_ENV}\n",
        nss_module().display()
    );
    let hsms = [
        hsm("root", &softhsm, &format!("{{ file = \"{}\" }}", file.display())),
        hsm("issuing", &softhsm, &format!("{{ command = [\"printf\", \"{PIN}\"] }}")),
        hsm("signing", &softhsm, "[{ env = \"NOT_SET\" }, { fd = 0 }]"),
        nss,
    ];
    let toml = p256_hierarchy(&hsms, ["root", "issuing", "signing"]);
    (tokens, toml)
}

/// Only the document of entry 0.
fn genesis(tokens: &Tokens) -> Value {
    serde_json::from_str(&tokens.place.sql("SELECT doc FROM genesis")).unwrap()
}

#[test]
fn a_workspace_may_mix_modules_and_sources_of_pins() {
    let (tokens, toml) = mixed();
    std::fs::write(tokens.path("keyctl.toml"), toml).unwrap();
    let init = ["--workspace", ".keyctl-sandbox", "init", "--from", "keyctl.toml"];
    let ran = with_input(tokens.command(&init), PIN).ok();
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(PIN));

    // What tokens and modules said of themselves is in entry 0.
    let body = genesis(&tokens);
    for (name, manufacturer) in
        [("root", "SoftHSM project"), ("nss", "Mozilla Foundation"), ("log", "Kryoptic Project")]
    {
        assert_eq!(body["tokens"][name]["token"]["manufacturer"], manufacturer);
    }
    let module = &body["tokens"]["signing"]["module"];
    assert_eq!(module["path"], softhsm_module().canonicalize().unwrap().to_str().unwrap());
    let sum = tool("sha256sum").arg(softhsm_module()).output().unwrap().stdout;
    assert_eq!(module["sha256"], String::from_utf8(sum).unwrap()[..64]);
    assert_eq!(module["environment"][0]["name"], "SOFTHSM2_CONF");
    assert_eq!(body["tokens"]["log"]["module"].get("path"), None, "the builtin module is this program");

    let files: Vec<_> =
        real_pe_files().iter().enumerate().map(|(i, f)| tokens.place.copy(f, &format!("{i}.exe"))).collect();
    let names: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
    with_input(tokens.command(&[&["sign"], &names[..]].concat()), PIN).ok();
    for file in &files {
        osslsigncode_accepts(file, &tokens.published("root-1.pem"));
    }
    tokens.keyctl(&["audit", "log"]).ok();
    // The same file again continues a workspace that is finished: nothing is left to do.
    with_input(tokens.command(&init), PIN).ok();
    std::fs::write(tokens.path("other.toml"), "environment = \"sandbox\"\n").unwrap();
    tokens
        .keyctl(&["--workspace", ".keyctl-sandbox", "init", "--from", "other.toml"])
        .exits(2)
        .says("workspace_exists");
}

#[test]
fn a_founding_that_could_not_begin_may_be_tried_with_another_file() {
    let tokens = Tokens::softhsm(&["hsm"]);
    let toml = p256_hierarchy(&[hsm("hsm", &softhsm_module(), FROM_ENV)], ["hsm"; 3]);
    tokens
        .init(&toml.replace("token = \"hsm\"", "token = \"hsn\""))
        .exits(1)
        .says("token_not_found")
        .says("hsm (serial");
    let ran = tokens.init(&toml.replace(FROM_ENV, "{ command = \"echo wrong\" }")).exits(1).says("wrong_pin");
    assert!(!ran.stderr.contains("genesis"), "{}", ran.stderr);
    tokens.init(&toml).ok();
}

/// A hierarchy whose certificates have URLs or not; osslsigncode wants the CRL where there is one.
fn hierarchy([root, ca, leaf, ledger]: [&str; 4], urls: bool) -> Tokens {
    let names = ["root", "issuing", "signing", "log"];
    let tokens = Tokens::softhsm(&names);
    let hsms = names.map(|name| hsm(name, &softhsm_module(), FROM_ENV));
    let by = |issuer: &str| {
        let url = |part: &str, end: &str| format!("{part}_url = \"http://pki.example.com/{issuer}.{end}\"\n");
        let urls = if urls { url("crl", "crl") + &url("aia", "crt") } else { String::new() };
        format!("issuer = \"{issuer}\"\n{urls}")
    };
    let keys = [
        key("root", "root-ca", root, "root", ""),
        key("windows-ca", "intermediate-ca", ca, "issuing", &by("root")),
        key("windows", "authenticode", leaf, "signing", &by("windows-ca")),
        key("ledger", "ledger", ledger, "log", ""),
    ];
    tokens.init(&sandbox(&[&hsms[..], &keys].concat())).ok();
    tokens
}

fn output(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// The published chain is what openssl, GnuTLS and pkilint accept, and not with a byte changed.
fn others_accept_the_chain(tokens: &Tokens) {
    let [root, ca, leaf] = ["root-1.pem", "windows-ca-1.pem", "windows-1.pem"].map(|name| tokens.published(name));
    let verify = |leaf: &Path| {
        let flags = ["verify", "-x509_strict", "-CAfile"];
        output(tool("openssl").args(flags).arg(&root).arg("-untrusted").arg(&ca).arg(leaf))
    };
    let (good, text) = verify(&leaf);
    assert!(good, "{text}");
    let chain = [&leaf, &ca, &root].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    std::fs::write(tokens.path("chain.pem"), chain).unwrap();
    let (good, text) = output(tool("certtool").args(["--verify-chain", "--infile"]).arg(tokens.path("chain.pem")));
    assert!(good && text.contains("Chain verification output: Verified"), "{text}");
    let lint = keyctl_tool("lint_pkix_cert");
    for certificate in [&root, &ca, &leaf] {
        let (clean, text) = output(Command::new(&lint).args(["lint", "-s", "NOTICE"]).arg(certificate));
        assert!(clean, "{}: {text}", certificate.display());
    }
    // One byte in the middle of the DER.
    let der = tokens.path("leaf.der");
    let (good, text) =
        output(tool("openssl").args(["x509", "-outform", "DER", "-in"]).arg(&leaf).arg("-out").arg(&der));
    assert!(good, "{text}");
    flip(&der, 200);
    let spoiled = tokens.path("spoiled.pem");
    output(tool("openssl").args(["x509", "-inform", "DER", "-in"]).arg(&der).arg("-out").arg(&spoiled));
    assert!(!verify(&spoiled).0);
}

/// A program of the Python environment that `tests/setup` makes.
fn keyctl_tool(name: &str) -> PathBuf {
    let folder = std::env::var_os("KEYCTL_TOOLS")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(&std::env::var_os("HOME").expect("HOME")).join(".cache/keyctl-tools"));
    let path = folder.join("bin").join(name);
    assert!(path.is_file(), "{} is not there: run tests/setup first", path.display());
    path
}

/// What the register says of the key's private object, by attribute name.
fn recorded(tokens: &Tokens, key: &str) -> Value {
    let doc: Value =
        serde_json::from_str(&tokens.place.sql(&format!("SELECT doc FROM generations WHERE key = '{key}'"))).unwrap();
    let facts = doc["identities"][0]["copies"][0]["attributes"].as_array().unwrap().clone();
    facts
        .into_iter()
        .map(|fact| (fact["name"].as_str().unwrap().to_owned(), fact["value"].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// `pkcs11-tool` sees one pair on each token, with the attributes that were recorded.
fn pkcs11_tool_agrees(tokens: &Tokens) {
    for (label, key) in [("root", "root"), ("issuing", "windows-ca"), ("signing", "windows")] {
        let listed = tokens.objects(label);
        let counts = ["Private Key Object", "Public Key Object", "Object;"].map(|kind| listed.matches(kind).count());
        assert_eq!(counts, [1, 1, 2], "{listed}");
        let (_, private) = listed.split_once("Private Key Object").unwrap();
        let line = |name: &str| {
            private
                .lines()
                .find_map(|line| line.trim().strip_prefix(name))
                .unwrap_or_else(|| panic!("{name}: {listed}"))
                .trim()
        };
        assert_eq!(line("Usage:"), "sign");
        assert_eq!(line("Access:"), "sensitive, always sensitive, never extractable, local");
        let said = recorded(tokens, key);
        for (name, value) in [
            ("CKA_SENSITIVE", true),
            ("CKA_ALWAYS_SENSITIVE", true),
            ("CKA_EXTRACTABLE", false),
            ("CKA_NEVER_EXTRACTABLE", true),
            ("CKA_LOCAL", true),
            ("CKA_SIGN", true),
            ("CKA_DECRYPT", false),
            ("CKA_UNWRAP", false),
            ("CKA_DERIVE", false),
            ("CKA_MODIFIABLE", false),
            ("CKA_COPYABLE", false),
            ("CKA_DESTROYABLE", key == "windows"),
        ] {
            assert_eq!(said[name], value, "{key} {name}");
        }
        let id = tokens.place.sql(&format!(
            "SELECT json_extract(doc, '$.identities[0].copies[0].cka_id') FROM generations WHERE key = '{key}'"
        ));
        assert_eq!(line("ID:"), id);
    }
}

#[test]
fn a_p256_hierarchy_is_accepted_by_everybody() {
    let tokens = hierarchy(["ecdsa-p384", "ecdsa-p256", "ecdsa-p256", "ed25519"], true);
    others_accept_the_chain(&tokens);
    pkcs11_tool_agrees(&tokens);
    let serials = tokens.place.sql("SELECT count(*), count(DISTINCT serial), min(length(serial)) FROM serials");
    assert!(serials.starts_with("3|3|"), "{serials}");
    // A CA's key cannot be destroyed, not even by who has the PIN.
    let id = recorded_id(&tokens, "windows-ca");
    let mut destroy = tool("pkcs11-tool");
    destroy.env("SOFTHSM2_CONF", tokens.path("softhsm/softhsm2.conf")).arg("--module").arg(softhsm_module());
    destroy.args([
        "--token-label",
        "issuing",
        "--login",
        "--pin",
        PIN,
        "--delete-object",
        "--type",
        "privkey",
        "--id",
        &id,
    ]);
    assert!(!output(&mut destroy).0);
    assert!(tokens.objects("issuing").contains("Private Key Object"));
}

fn recorded_id(tokens: &Tokens, key: &str) -> String {
    tokens.place.sql(&format!(
        "SELECT json_extract(doc, '$.identities[0].copies[0].cka_id') FROM generations WHERE key = '{key}'"
    ))
}

#[test]
fn an_rsa_hierarchy_is_accepted_by_everybody() {
    let tokens = hierarchy(["rsa-4096", "rsa-4096", "rsa-3072", "ecdsa-p256"], false);
    others_accept_the_chain(&tokens);
    pkcs11_tool_agrees(&tokens);
    let file = tokens.pe("app.exe");
    tokens.keyctl(&["sign", "app.exe"]).ok();
    let root = tokens.published("root-1.pem");
    osslsigncode_accepts(&file, &root);
    tokens.keyctl(&["verify", "app.exe", "--roots", root.to_str().unwrap()]).ok();
    // In the middle of the code.
    flip(&file, 0x3000);
    assert!(!output(tool("osslsigncode").arg("verify").arg("-CAfile").arg(&root).arg(&file)).0);
}

#[test]
fn a_signature_is_one_call_to_the_token() {
    let mut tokens = Tokens::softhsm(&["hsm"]);
    let log = tokens.path("spy.log");
    tokens.set("PKCS11SPY", softhsm_module());
    tokens.set("PKCS11SPY_OUTPUT", log.clone());
    tokens.init(&p256_hierarchy(&[hsm("hsm", &spy_module(), FROM_ENV)], ["hsm"; 3])).ok();
    let calls = |function: &str| {
        let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
        text.lines().filter(|line| line.ends_with(&format!(": {function}"))).count()
    };
    std::fs::remove_file(&log).unwrap();
    let file = tokens.pe("app.exe");
    tokens.keyctl(&["sign", "app.exe"]).ok();
    osslsigncode_accepts(&file, &tokens.published("root-1.pem"));
    assert_eq!((calls("C_SignInit"), calls("C_Sign"), calls("C_Login")), (1, 1, 1));
    assert_eq!((calls("C_SignUpdate"), calls("C_SignFinal"), calls("C_GenerateKeyPair")), (0, 0, 0));
    let spied = std::fs::read_to_string(&log).unwrap();
    assert!(spied.contains("CKM_ECDSA"), "raw digests, hashed here");
    // The key is looked for once in a run, not for each file: on a network every call costs.
    let searches = calls("C_FindObjectsInit");
    std::fs::remove_file(&log).unwrap();
    let names: Vec<_> = (0..5).map(|number| format!("{number}.exe")).collect();
    names.iter().for_each(|name| drop(tokens.pe(name)));
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    tokens.keyctl(&[&["sign", "--jobs", "1"], &names[..]].concat()).ok();
    assert_eq!((calls("C_Sign"), calls("C_FindObjectsInit"), calls("C_Login")), (5, searches, 1));
}

/// The lying token, with its module as a file of its own that can be changed.
fn liar() -> (Tokens, PathBuf) {
    let tokens = Tokens::lying(&["hsm"]);
    let module = tokens.path("module.so");
    std::fs::copy(lying_module(), &module).unwrap();
    std::fs::set_permissions(&module, std::fs::Permissions::from_mode(0o755)).unwrap();
    tokens.init(&p256_hierarchy(&[hsm("hsm", &module, FROM_ENV)], ["hsm"; 3])).ok();
    (tokens, module)
}

#[test]
fn a_changed_module_is_not_loaded_before_it_is_adopted() {
    let (tokens, module) = liar();
    let before = std::fs::read(tokens.pe("app.exe")).unwrap();
    let (calls, was) = (std::fs::read(tokens.path("calls")).unwrap(), std::fs::read(&module).unwrap());
    std::fs::write(&module, [&was[..], b"\0"].concat()).unwrap();
    tokens.keyctl(&["sign", "app.exe"]).exits(4).says("module_changed").says("keyctl adopt");
    tokens.keyctl(&["keygen", "windows"]).exits(4).says("module_changed");
    tokens.keyctl(&["doctor"]).exits(6).says("recorded is");
    assert_eq!(std::fs::read(tokens.path("calls")).unwrap(), calls, "no login, and not even loaded");
    assert_eq!(std::fs::read(tokens.path("app.exe")).unwrap(), before);
    tokens.keyctl(&["audit", "log"]).ok();

    let entries = tokens.place.sql("SELECT count(*) FROM entries");
    tokens
        .keyctl(&["adopt", "--dry-run"])
        .ok()
        .says("token hsm: module SHA-256")
        .says("another module will see its PIN");
    assert_eq!(tokens.place.sql("SELECT count(*) FROM entries"), entries);
    tokens.keyctl(&["adopt"]).ok();
    tokens.keyctl(&["recover"]).ok();
    tokens.keyctl(&["sign", "app.exe"]).ok();
    osslsigncode_accepts(&tokens.path("app.exe"), &tokens.published("root-1.pem"));
    tokens.keyctl(&["adopt"]).ok().says("are as they were adopted");
    // What was put back is again another one.
    std::fs::write(&module, was).unwrap();
    tokens.pe("b.exe");
    tokens.keyctl(&["sign", "b.exe"]).exits(4).says("module_changed");
    // The same bytes under another name are another module, too, even if the file says so.
    let moved = tokens.path("moved.so");
    std::fs::rename(&module, &moved).unwrap();
    tokens.edit("module.so", "moved.so");
    tokens.keyctl(&["sign", "b.exe"]).exits(4).says("settings_changed");
    tokens.keyctl(&["adopt"]).ok().says("hsm.hsm.module.path").says("token hsm: module");
    tokens.keyctl(&["sign", "b.exe"]).ok();
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn another_token_is_not_logged_in_to() {
    let (tokens, _) = liar();
    tokens.pe("app.exe");
    let logins = tokens.calls("C_Login");
    tokens.tell("serial");
    tokens.keyctl(&["sign", "app.exe"]).exits(4).says("wrong_token").says("0123456789abcdef").says("keyctl adopt");
    assert_eq!(tokens.calls("C_Login"), logins);
    tokens.keyctl(&["doctor"]).exits(6).says("serial number: 0123456789abcdef").says("is on the token with serial");
    tokens.keyctl(&["adopt", "--dry-run"]).ok().says("token hsm: serial number").says("0123456789abcdef");
    tokens.keyctl(&["adopt"]).ok().says("is another token: keys made on the one with serial");
    // It is adopted; the keys are still on the other one.
    tokens.keyctl(&["sign", "app.exe"]).exits(4).says("wrong_token").says("has serial 0123456789abcdef");
    tokens.tell("honest");
    tokens.keyctl(&["sign", "app.exe"]).exits(4).says("recorded is 0123456789abcdef");
    tokens.keyctl(&["adopt"]).ok();
    tokens.keyctl(&["sign", "app.exe"]).ok();
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_token_of_the_same_name_elsewhere_is_another_one() {
    let mut tokens = Tokens::softhsm(&["hsm"]);
    tokens.init(&p256_hierarchy(&[hsm("hsm", &softhsm_module(), FROM_ENV)], ["hsm"; 3])).ok();
    tokens.pe("app.exe");
    let config = tokens.path("softhsm/softhsm2.conf");
    // Another value that leads to the same token: to be known, no more.
    let copy = tokens.path("copy.conf");
    std::fs::copy(&config, &copy).unwrap();
    tokens.set("SOFTHSM2_CONF", copy);
    let ran = tokens.keyctl(&["doctor"]).ok();
    let steered = ran
        .json()
        .into_iter()
        .filter(|row| row["detail"].as_str().unwrap().contains("environment variable SOFTHSM2_CONF"));
    assert_eq!(
        steered.map(|row| row["verdict"].clone()).collect::<Vec<_>>(),
        ["warning", "warning"],
        "once for each module"
    );
    tokens.keyctl(&["sign", "app.exe"]).ok();
    // One that leads to another token of the same label and PIN.
    let other = softhsm_tokens(&tokens.path("other"), &["hsm"]);
    tokens.set("SOFTHSM2_CONF", other);
    tokens.pe("app.exe");
    tokens.keyctl(&["sign", "app.exe"]).exits(4).says("wrong_token");
    tokens.set("SOFTHSM2_CONF", config);
    tokens.keyctl(&["sign", "app.exe"]).ok();
}

#[test]
fn a_new_token_is_recorded_when_it_is_adopted() {
    let tokens = Tokens::softhsm(&["hsm", "second"]);
    tokens.init(&p256_hierarchy(&[hsm("hsm", &softhsm_module(), FROM_ENV)], ["hsm"; 3])).ok();
    let second = hsm("second", &softhsm_module(), "{ command = \"echo wrong\" }");
    tokens.edit("[hsm.log]", &format!("{second}\n[hsm.log]"));
    tokens.edit(
        "[keys.windows]\npurpose = \"authenticode\"\nalgorithm = \"ecdsa-p256\"\nhsm = [\"hsm\"]",
        "[keys.windows]\npurpose = \"authenticode\"\nalgorithm = \"ecdsa-p256\"\nhsm = [\"second\"]",
    );
    tokens.keyctl(&["keygen", "windows"]).exits(4).says("settings_changed");
    // Away while it is new: there is nothing to record.
    let (here, away) = (tokens.path("softhsm/tokens"), tokens.path("softhsm/away"));
    std::fs::rename(&here, &away).unwrap();
    std::fs::create_dir(&here).unwrap();
    tokens.keyctl(&["adopt"]).exits(1).says("hsm.second");
    std::fs::remove_dir_all(&here).unwrap();
    std::fs::rename(&away, &here).unwrap();
    // No login is needed to look at it, so the wrong PIN does not matter yet.
    tokens.keyctl(&["adopt"]).ok().says("token second").says("SoftHSM project");
    assert_eq!(tokens.place.sql("SELECT hsm FROM tokens WHERE seq > 0"), "second");
    tokens.edit("{ command = \"echo wrong\" }", FROM_ENV);
    tokens.keyctl(&["keygen", "windows"]).ok().says("windows/2");
    assert!(tokens.objects("second").contains("Private Key Object"));
    // The old generation is still active, and still on the old token.
    let file = tokens.pe("app.exe");
    tokens.keyctl(&["sign", "app.exe"]).ok();
    osslsigncode_accepts(&file, &tokens.published("root-1.pem"));
    tokens.keyctl(&["audit", "log"]).ok();
}

fn sign_three(tokens: &Tokens) -> Ran {
    for name in ["a.exe", "b.exe", "c.exe"] {
        tokens.pe(name);
    }
    tokens.keyctl(&["sign", "a.exe", "b.exe", "c.exe"])
}

#[test]
fn a_wrong_pin_is_spent_once() {
    let (tokens, _) = liar();
    tokens.edit(FROM_ENV, "{ command = \"echo 9999-9999\" }");
    let before = tokens.calls("C_Login");
    let ran = sign_three(&tokens).exits(1).says("wrong_pin");
    assert_eq!(ran.json().iter().filter(|row| row["error"]["code"] == "wrong_pin").count(), 3, "each file is told");
    assert_eq!(ran.stderr.matches("wrong_pin").count(), 1, "and the operator once");
    assert_eq!(tokens.calls("C_Login"), before + 1, "and one try is spent for all of them");
    assert!(tokens.pkcs11_tool(&["--list-slots"]).contains("user PIN count low"));
    tokens.keyctl(&["doctor"]).ok().says("pin_count_low");
    assert_eq!(tokens.calls("C_Login"), before + 1);
    tokens.keyctl(&["audit", "log"]).ok();
    tokens.edit("{ command = \"echo 9999-9999\" }", FROM_ENV);
    sign_three(&tokens).ok();
    assert!(!tokens.pkcs11_tool(&["--list-slots"]).contains("user PIN count low"));

    // Before the last try nothing is tried, whatever the PIN.
    let before = tokens.calls("C_Login");
    tokens.tell("final-try");
    sign_three(&tokens).exits(1).says("last_pin_try");
    tokens.keyctl(&["doctor"]).exits(6).says("one more wrong user PIN locks the token");
    assert_eq!(tokens.calls("C_Login"), before);
}

#[test]
fn a_token_that_goes_away_leaves_file_and_ledger_whole() {
    let (tokens, _) = liar();
    let file = tokens.pe("app.exe");
    let before = std::fs::read(&file).unwrap();
    // In the middle of the call: nobody knows whether there is a signature.
    tokens.tell("removed");
    tokens.keyctl(&["sign", "app.exe"]).exits(3).says("token_gone");
    tokens.keyctl(&["audit", "log"]).ok();
    assert!(tokens.place.sql("SELECT leaf FROM entries ORDER BY seq DESC LIMIT 1").contains("\"result\":\"unknown\""));
    assert_eq!(std::fs::read(&file).unwrap(), before);
    tokens.tell("honest");
    // Before the call.
    let (here, away) = (tokens.path("softhsm/tokens"), tokens.path("softhsm/away"));
    std::fs::rename(&here, &away).unwrap();
    std::fs::create_dir(&here).unwrap();
    for command in [&["sign", "app.exe"][..], &["keygen", "windows"]] {
        tokens.keyctl(command).exits(3).says("token_gone");
    }
    tokens.keyctl(&["doctor"]).exits(6).says("no token has label hsm any more");
    tokens.keyctl(&["adopt"]).ok().says("was not examined, its record stays");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    tokens.keyctl(&["audit", "log"]).ok();
    std::fs::remove_dir_all(&here).unwrap();
    std::fs::rename(&away, &here).unwrap();
    tokens.keyctl(&["recover"]).ok().says("nothing was interrupted");
    tokens.keyctl(&["sign", "app.exe"]).ok();
    osslsigncode_accepts(&file, &tokens.published("root-1.pem"));
    tokens.keyctl(&["audit", "log"]).ok();
}

//! What surrounds a module: its file and the folders above it, the variables that steer it, and what other programs see.
//! Outside of production; what production refuses is in `production.rs`.

use crate::support::{Place, ran};
use crate::team::private;
use crate::tokens::*;
use serde_json::Value;

/// A sandbox's settings with the wrapping module, and what it needs in the environment.
fn wrapped() -> (Tokens, std::path::PathBuf) {
    let mut tokens = Tokens::softhsm(&["hsm"]);
    for folder in ["lib", "device"] {
        std::fs::create_dir(tokens.path(folder)).unwrap();
    }
    let module = tokens.path("lib/module.so");
    std::fs::copy(wrapper_module(), &module).unwrap();
    tokens.set("WRAPPED_MODULE", softhsm_module());
    tokens.set("WRAPPED_FOLDER", tokens.path("device"));
    (tokens, module)
}

/// Row 8: a module in a folder that everyone may write, and one that is swapped between hash and load.
#[test]
fn a_module_that_can_be_or_was_replaced_is_not_used() {
    let (tokens, module) = wrapped();
    let toml = p256_hierarchy(&[hsm("hsm", &module, FROM_ENV)], ["hsm"; 3]);
    private(&tokens.path("lib"), 0o777);
    tokens.init(&toml).exits(4).says("module_untrusted").says("can be written by everyone");
    private(&tokens.path("lib"), 0o775);
    tokens.init(&toml).exits(4).says("module_untrusted").says("can be written by its group");
    private(&tokens.path("lib"), 0o755);
    tokens.init(&toml).ok();
    let file = tokens.pe("app.exe");
    let (before, plain) = (std::fs::read(&file).unwrap(), std::fs::read(&module).unwrap());
    std::fs::write(tokens.path("device/new.so"), [&plain[..], b"\0"].concat()).unwrap();
    tokens.keyctl(&["sign", "app.exe"]).exits(4).says("module_changed").says("replaced while it was loaded");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    tokens.keyctl(&["sign", "app.exe"]).exits(4).says("module_changed").says("recorded is");
}

/// What a module's settings name is what it gets, and nothing else that could steer it.
#[test]
fn a_module_sees_the_variables_that_its_settings_name() {
    let (mut tokens, module) = wrapped();
    let config = tokens.path("softhsm/softhsm2.conf");
    let named = |config: &std::path::Path| {
        format!(
            "environment = {{ SOFTHSM2_CONF = \"{}\", WRAPPED_MODULE = \"{}\" }}\n",
            config.display(),
            softhsm_module().canonicalize().unwrap().display()
        )
    };
    let toml = |more: &str| p256_hierarchy(&[hsm("hsm", &module, FROM_ENV) + more], ["hsm"; 3]);
    for (variable, why) in [
        ("LD_PRELOAD", "steers the loader"),
        ("PATH", "steers the loader"),
        ("KEYCTL_ACTOR", "steers the loader"),
        ("A-B", "letters, digits and underscores"),
    ] {
        let more = format!("environment = {{ \"{variable}\" = \"x\" }}\n");
        tokens.init(&toml(&more)).exits(2).says("bad_config").says(why);
    }
    // The environment leads elsewhere, and would make it another device.
    std::fs::write(tokens.path("device/model"), "").unwrap();
    tokens.set("SOFTHSM2_CONF", softhsm_tokens(&tokens.path("other"), &["hsm"]));
    tokens.set("WRAPPED_MODULE", "/nonexistent");
    tokens.init(&toml(&named(&config))).ok();
    let genesis = &tokens.place.entries()[0]["body"]["tokens"]["hsm"].clone();
    assert_eq!(genesis["token"]["model"], "Vault 7", "it did not see WRAPPED_FOLDER");
    assert!(tokens.pkcs11_tool(&["--list-slots"]).contains("hsm"), "there is one elsewhere");
    assert!(!tokens.objects("hsm").contains("Private Key Object"), "no key is there");
    // The files they name are part of what was adopted.
    let settings = tokens.place.sql("SELECT doc FROM settings");
    assert!(settings.contains(&crate::team::sha256(&config)), "{settings}");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + "log.level = DEBUG\n").unwrap();
    tokens.pe("app.exe");
    tokens.keyctl(&["sign", "app.exe"]).exits(4).says("settings_changed").says("SOFTHSM2_CONF.sha256");
    private(&config, 0o666);
    tokens.keyctl(&["status"]).exits(4).says("untrusted_path");
    private(&config, 0o600);
    tokens.keyctl(&["adopt"]).ok();
    tokens.keyctl(&["sign", "app.exe"]).ok();
}

#[test]
fn intents_name_modules_and_what_was_preloaded_and_children_see_neither() {
    let mut tokens = Tokens::softhsm(&["hsm"]);
    let seen = tokens.path("seen");
    let pin = format!("{{ command = \"env > {}; printf {PIN}\" }}", seen.display());
    tokens.set("CHOSEN_BY_NOBODY", "x");
    tokens.init(&p256_hierarchy(&[hsm("hsm", &softhsm_module(), &pin)], ["hsm"; 3])).ok();
    let said = std::fs::read_to_string(&seen).unwrap();
    let names: Vec<_> = said.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    for name in ["HOME", "PATH"] {
        assert!(names.contains(&name), "{names:?}");
    }
    for name in ["SOFTHSM2_CONF", "TOKEN_PIN", "CHOSEN_BY_NOBODY", "KEYCTL_TRUST_DIR"] {
        assert!(!names.contains(&name), "{names:?}");
    }
    tokens.pe("app.exe");
    let mut command = tokens.command(&["sign", "app.exe"]);
    ran(command.env("LD_LIBRARY_PATH", "/nonexistent").output().unwrap()).ok();
    assert!(!std::fs::read_to_string(&seen).unwrap().contains("LD_LIBRARY_PATH"));
    let entries = tokens.place.entries();
    let is = |entry: &&Value| entry["type"] == "PACKAGE_SIGNED" && entry["body"]["phase"] == "intent";
    let intent = entries.iter().find(is).unwrap();
    assert_eq!(intent["body"]["loader"][0], "LD_LIBRARY_PATH");
    let module = &intent["body"]["modules"]["hsm"];
    assert_eq!(module["sha256"], crate::team::sha256(&softhsm_module()));
    let recorded = entries[0]["body"]["tokens"]["hsm"]["module"]["libraries"].as_array().unwrap().clone();
    assert!(recorded.iter().any(|it| it["path"].as_str().unwrap().contains("libcrypto.so")), "{recorded:?}");
    // The builtin module is this program.
    assert_eq!(entries[0]["body"]["tokens"]["log"]["module"].get("libraries"), None);
    assert_eq!(module["path"], softhsm_module().canonicalize().unwrap().to_str().unwrap());
}

/// Row 11: another program than the pinned releases is told of; in production it stops (`production.rs`).
#[test]
fn another_program_than_the_pinned_releases_is_told_of() {
    let place = Place::with_sandbox();
    let path = place.workspace().join("keyctl.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let pinned = |hash: &str| std::fs::write(&path, format!("{text}\n[tool]\nsha256 = [\"{hash}\"]\n")).unwrap();
    pinned(&"0".repeat(64));
    place.keyctl(&["adopt"]).ok().says("is no release that [tool] sha256 names");
    let ran = place.keyctl(&["doctor"]).ok();
    let row = |ran: &crate::support::Ran| {
        ran.json().into_iter().find(|row| row["check"] == "tool").expect("a row about the program")
    };
    assert_eq!(row(&ran)["verdict"], "warning");
    place.copy(&crate::support::real_pe_files()[3], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok().says("is no release");
    pinned(&crate::team::sha256(std::path::Path::new(env!("CARGO_BIN_EXE_keyctl"))));
    let ran = place.keyctl(&["adopt"]).ok();
    assert!(!ran.stderr.contains("is no release"), "{}", ran.stderr);
    assert_eq!(row(&place.keyctl(&["doctor"]).ok())["verdict"], "ok");
}

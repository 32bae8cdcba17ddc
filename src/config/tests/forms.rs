//! The adopted settings: their one form, their differences, and what is found in them.

use super::*;

#[test]
fn a_key_is_found_by_its_name_and_the_others_are_listed() {
    let settings = parse(GOOD).unwrap().adopted();
    let name = |name: &str| name.parse::<KeyName>().unwrap();
    assert_eq!(settings.key(&name("windows")).unwrap(), &settings.keys[&name("windows")]);
    let error = settings.key(&name("linux")).unwrap_err();
    assert_eq!(error.code(), "unknown_key");
    assert!(error.message().starts_with("there is no [keys.linux]; there is apt, apt-root, "), "{error}");
    assert_eq!(settings.key(&name("windows")).unwrap().first_hsm().unwrap().to_string(), "primary");
    let nowhere = Key { hsm: Vec::new(), ..settings.key(&name("windows")).unwrap().clone() };
    assert_eq!(nowhere.first_hsm().unwrap_err().kind(), Kind::Bug);
}

#[test]
fn settings_have_one_form() {
    let settings = parse(GOOD).unwrap().adopted();
    let json = settings.to_json().unwrap();
    assert_eq!(Settings::from_json(&json).unwrap(), settings);
    assert_eq!(settings.sha256().unwrap(), Hash256::of(json.as_bytes()));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value.pointer("/keys/windows/issuer").unwrap(), "windows-ca");
    assert_eq!(value.pointer("/hsm/primary/module/path").unwrap(), "/opt/vendor/lib/pkcs11.so");
    assert_eq!(value.pointer("/timestamp/trust/0/sha256").unwrap(), &Hash256::of(b"roots").to_string());
    assert!(
        json.starts_with(r#"{"environment":"production","hsm":{"issuing":{"fips":{"certificate":"4700","level":3"#),
        "{json}"
    );
    assert!(!json.contains("PIN") && !json.contains("timeout") && !json.contains("attempts"), "{json}");

    // Whitespace, comments and PIN sources are not part of it.
    let text = format!("# hello\n{}", GOOD.replace("KEYCTL_PIN", "OTHER_PIN").replace("timeout_seconds = 10\n", ""));
    assert_eq!(parse(&text).unwrap().adopted().to_json().unwrap(), json);

    let refused = [
        json.replace("\"keys\"", " \"keys\""),
        json.replace("\"level\":3", "\"level\":3,\"level\":3"),
        json.replace("keyctl.settings/v1", "keyctl.settings/v2"),
        json.replacen("{", "{\"more\":1,", 1),
        json.replace("\"rotation_days\":90", "\"rotation_days\":90.0"),
        json.replace("\"rotation_days\":90", "\"rotation_days\":-1"),
        json.replace("\"path\":\"/opt/vendor/lib/pkcs11.so\"", "\"path\":\"lib.so\""),
        String::new(),
    ];
    for text in refused {
        assert_ne!(text, json);
        assert_eq!(Settings::from_json(&text).expect_err(&text).code(), "bad_settings");
    }
}

#[test]
fn a_diff_reads_like_a_sentence() {
    let old = parse(GOOD).unwrap().adopted();
    assert_eq!(Settings::diff(&old, &old).unwrap(), []);
    let text = GOOD
        .replace("rotation_days    = 90", "rotation_days    = 120")
        .replace("serial = \"0001\"", "token = \"root-a\"")
        .replace("max_age_hours = 8", "roles = [\"security-reviewer\", \"platform-admin\"]")
        .replace("[\"http://timestamp.digicert.com\"]", "[\"http://a.b\", \"http://c.d\"]");
    let new = parse(&text).unwrap().adopted();
    let lines: Vec<_> = Settings::diff(&old, &new).unwrap().iter().map(Change::to_string).collect();
    let owners = "security-reviewer, platform-admin, packaging-engineer, linux-packaging-owner, connector-team-lead";
    assert_eq!(
        lines,
        [
            "hsm.root.label: (none) → root-a".to_owned(),
            "hsm.root.serial: 0001 → (none)".to_owned(),
            "keys.windows.rotation_days: 90 → 120".to_owned(),
            "policy.revoke.max_age_hours: 8 → 24".to_owned(),
            format!("policy.revoke.roles: {owners} → security-reviewer, platform-admin"),
            "timestamp.authorities: http://timestamp.digicert.com → http://a.b, http://c.d".to_owned(),
        ]
    );
}

/// Hardware, variables and releases are adopted like the rest, and read back as they were written.
#[test]
fn hardware_variables_and_releases_are_part_of_what_is_adopted() {
    let more = "timeout_seconds = 10\nhardware = { manufacturer = \"Acme\", model = \"Vault\", firmware = [\"7.3\", \"7.10\"], \
                attestation = { file = \"certs/tsa-roots.pem\", roots = \"certs/tsa-roots.pem\" } }\n\
                environment = { X_CONF = \"plain\" }";
    let text = GOOD.replace("timeout_seconds = 10", more);
    let text = text.replace("[retry]", &format!("[tool]\nsha256 = [\"{}\"]\n[retry]", "1".repeat(64)));
    let settings = parse(&text).unwrap().adopted();
    let json = settings.to_json().unwrap();
    assert_eq!(Settings::from_json(&json).unwrap(), settings);
    let hash = Hash256::of(b"roots").to_string();
    for part in ["\"firmware\":[\"7.3\",\"7.10\"]", "\"X_CONF\":{\"value\":\"plain\"}", "\"kind\":\"statement\"", &hash]
    {
        assert!(json.contains(part), "{part}: {json}");
    }
    let plain = parse(GOOD).unwrap().adopted();
    let changed: Vec<_> = Settings::diff(&plain, &settings).unwrap().into_iter().map(|change| change.path).collect();
    for part in ["hsm.primary.environment.X_CONF.value", "hsm.primary.hardware.model", "tool.sha256"] {
        assert!(changed.iter().any(|path| path == part), "{part}: {changed:?}");
    }
    // One process has one environment.
    let other = text.replace("[hsm.issuing]", "[hsm.issuing]\nenvironment = { X_CONF = \"other\" }");
    let error = parse(&other).unwrap_err();
    assert!(error.message().contains("another [hsm] entry gives it another value"), "{error}");
}

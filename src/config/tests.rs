mod forms;
mod refusals;

use super::*;
use crate::error::Kind;
use std::fs;
use std::time::Duration;

/// Design §5, with the keys and tokens that its excerpt names.
const GOOD: &str = r#"# Keys of Example Corp
environment = "production"

[organization]
name   = "Example Corp"
origin = "example.corp/keyctl"

[hsm.root]
module = { path = "/opt/vendor/lib/pkcs11.so", sha256 = "0000000000000000000000000000000000000000000000000000000000000001" }
serial = "0001"
fips   = { standard = "140-3", level = 3, certificate = "4700" }

[hsm.issuing]
module = "/opt/vendor/lib/pkcs11.so"
token  = "issuing-a"
pin    = [{ env = "ISSUING_PIN" }, { command = "pass show issuing" }, { prompt = true }]
fips   = { standard = "140-3", level = 3, certificate = "4700" }

[hsm.primary]
module = "/opt/vendor/lib/pkcs11.so"
token  = "signing-a"
pin    = { env = "KEYCTL_PIN" }
timeout_seconds = 10
fips   = { standard = "140-2", level = 2, certificate = "3000" }

[keys.root]
purpose   = "root-ca"
algorithm = "rsa-4096"
hsm       = ["root"]
subject   = { country = "US", organization = "Example Corp", common_name = "Example Root" }

[keys.windows-ca]
purpose   = "intermediate-ca"
issuer    = "root"
algorithm = "ecdsa-p384"
rotation  = "review"
hsm       = ["issuing"]
crl_url   = "http://pki.example.corp/root.crl"
aia_url   = "http://pki.example.corp/root.crt"
subject   = { country = "US", organization = "Example Corp", common_name = "Example Windows CA" }

[keys.windows]
purpose          = "authenticode"
issuer           = "windows-ca"
algorithm        = "rsa-3072"
owner            = "packaging-engineer"
rotation_days    = 90
rotate_lead_days = 14
custody          = "bound"
hsm              = ["primary"]
crl_url          = "http://pki.example.corp:8080/windows.crl"
aia_url          = "http://pki.example.corp:8080/windows-ca.crt"
subject          = { country = "US", organization = "Example Corp", common_name = "Example Corp" }

[keys.mac]
purpose   = "installer"
issuer    = "external"
algorithm = "rsa-4096"
hsm       = ["primary"]
subject   = { common_name = "Developer ID Installer: Example Corp", organizational_unit = "ABCDE12345" }

[keys.apt-root]
purpose   = "openpgp-primary"
algorithm = "ed25519"
hsm       = ["primary"]
subject   = { common_name = "Example APT", email = "apt@example.corp" }

[keys.apt]
purpose   = "apt"
issuer    = "apt-root"
algorithm = "ed25519"
hsm       = ["primary"]

[keys.ledger]
purpose   = "ledger"
algorithm = "ed25519"
hsm       = ["primary"]

[timestamp]
authorities = ["http://timestamp.digicert.com"]
trust       = ["certs/tsa-roots.pem"]

[policy.revoke]
threshold     = 3
max_age_hours = 8

[rotation]
revoke_retired = "never"

[retry]
max_attempts = 3
"#;

fn parse(text: &str) -> Result<Config> {
    Config::parse(text, Path::new("/srv/keyctl/keyctl.toml"), &|file| match file.to_str() {
        Some("certs/tsa-roots.pem") => Ok(Hash256::of(b"roots")),
        _ => Err(Error::usage("not_found", format!("{}: does not exist", file.display()))),
    })
}

/// Replaces one line of [`GOOD`], and expects the error on the line where the replacement has `#!`.
fn refused(line: &str, with: &str, words: &str) {
    assert_eq!(GOOD.matches(&format!("\n{line}")).count(), 1, "{line:?} names one line");
    let rest = GOOD.split_once(&format!("\n{line}")).unwrap();
    let (_, after) = rest.1.split_once('\n').unwrap();
    let text = format!("{}\n{with}\n{after}", rest.0);
    let expected =
        text.split_once("#!").map(|(before, _)| before.matches('\n').count() + 1).expect("a #! in the replacement");
    let error = parse(&text).expect_err(with);
    assert_eq!((error.code(), error.kind()), ("bad_config", Kind::Usage), "{error}");
    let message = error.full();
    assert!(message.starts_with(&format!("keyctl.toml:{expected}: ")), "{with}\n{message}, expected line {expected}");
    assert!(message.contains(words), "{with}\n{message}, expected {words:?}");
}

#[test]
fn the_example_reads_and_means_what_it_says() {
    let config = parse(GOOD).unwrap();
    let name = |text: &str| text.parse::<KeyName>().unwrap();
    let hsm = |text: &str| config.hsm.get(&text.parse::<HsmName>().unwrap()).unwrap();
    let windows = &config.keys[&name("windows")];
    assert_eq!((windows.rotation_days, windows.rotate_lead_days), (90, 14));
    assert_eq!(windows.issuer, Issuer::Key(name("windows-ca")));
    assert_eq!(config.keys[&name("mac")].issuer, Issuer::External);
    assert_eq!(config.keys[&name("root")].issuer, Issuer::Itself);
    assert_eq!(config.keys[&name("apt")].owner, Role::LinuxPackagingOwner);
    assert_eq!(config.keys[&name("windows-ca")].rotation, RotationMode::Review);
    assert_eq!(hsm("root").pins, [PinSource::Prompt]);
    let shell = PinSource::Command(["sh", "-c", "pass show issuing"].map(str::to_owned).to_vec());
    assert_eq!(hsm("issuing").pins, [PinSource::Env("ISSUING_PIN".to_owned()), shell, PinSource::Prompt]);
    assert_eq!((hsm("primary").timeout, hsm("root").timeout), (Duration::from_secs(10), Duration::from_secs(30)));
    assert!(matches!(&hsm("root").token.module, Module::Path { sha256: Some(_), .. }));
    let revoke = config.policy.rule(Operation::Revoke);
    assert_eq!((revoke.threshold, revoke.max_age_hours), (3, 8));
    assert_eq!(revoke.roles, Operation::Revoke.default_rule().roles);
    assert_eq!(config.rotation.resign_after, ResignAfter::Untimestamped);
    assert_eq!((config.retry.max_attempts, config.retry.max_backoff), (3, Duration::from_secs(60)));
    assert_eq!(config.retry.timeout, Duration::from_secs(30));
    assert_eq!(config.max_artifact, 16 << 30);
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].starts_with("keyctl.toml:24: hsm.primary.fips: FIPS 140-2"), "{:?}", config.warnings);
}

#[test]
fn urls_hosts_and_origins() {
    for good in ["http://a", "https://a.b:8443/c?d=e", "http://[::1]:80/x", "http://xn--bcher-kva.example/"] {
        assert_eq!(text::bad_url(good), None, "{good}");
    }
    for bad in [
        "",
        "http://",
        "HTTP://a",
        "http:///x",
        "http://a b",
        "http://a:0",
        "http://a:99999",
        "http://a:+1",
        "http://-a",
        "http://a#b",
        "http://u@a",
        "http://ü",
        "http://a\n",
        "http://[::x]/",
    ] {
        assert!(text::bad_url(bad).is_some(), "{bad}");
    }
    for bad in ["", "a", "a/", "/a", "a//b", "a/b c", "a/b+c", "a/*", "a/b,c", "a b/c", "a/\u{202e}"] {
        assert!(text::bad_origin(bad).is_some(), "{bad}");
    }
    assert_eq!(text::bad_origin("sandbox.invalid/keyctl"), None);
}

#[test]
fn an_archive_is_written_as_clients_write_it() {
    for text in ["https://apt.example.org stable main contrib", "https://apt.example.org/x ./", "http://a.example b/c/"]
    {
        assert_eq!(text.parse::<Archive>().unwrap().to_string(), text);
    }
    for text in ["", "https://apt.example.org", "https://apt.example.org stable", "https://apt.example.org ./ main"] {
        assert_eq!(text.parse::<Archive>().unwrap_err().code(), "bad_archive", "{text}");
    }
    let with =
        GOOD.replace("issuer    = \"apt-root\"", "issuer = \"apt-root\"\narchive = \"https://a.example s main\"");
    let with = with.replace("revoke_retired = \"never\"", "revoke_retired = \"never\"\npublish_safety_days = 45");
    let adopted = parse(&with).unwrap().adopted();
    assert_eq!(Settings::from_json(&adopted.to_json().unwrap()).unwrap(), adopted);
    assert_eq!(adopted.rotation.publish_safety_days, 45);
    assert_eq!(parse(GOOD).unwrap().rotation.publish_safety_days, 30);
}

#[test]
fn the_sandbox_file_loads_whatever_the_organisation_is_called() {
    for organization in ["Example Corp", "O'Brien \"& Söhne\" GmbH", "a\\b", &"x".repeat(64)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keyctl.toml");
        fs::write(&path, Config::render_default(organization, "sandbox.invalid/keyctl")).unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.environment, Environment::Sandbox);
        assert_eq!(config.organization.name, organization);
        let keys: Vec<_> = config.keys.keys().map(KeyName::as_str).collect();
        assert_eq!(keys, ["apt", "apt-root", "ledger", "root", "windows", "windows-ca"]);
        let primary = &config.hsm[&"primary".parse::<HsmName>().unwrap()];
        assert_eq!((&primary.token.module, primary.token.label.as_deref()), (&Module::Builtin, Some("primary")));
        assert_eq!(primary.pins, [PinSource::File(dir.path().join("tokens/primary/pin"))]);
        assert_eq!(
            (config.policy, config.rotation),
            (Policy::default(), parse(GOOD).unwrap().rotation_with_superseded())
        );
    }
}

impl Config {
    fn rotation_with_superseded(&self) -> Rotation {
        Rotation { revoke_retired: RevokeRetired::Superseded, ..self.rotation }
    }
}

#[test]
fn the_rule_in_the_comment_of_the_sandbox_file_is_a_rule() {
    let text = Config::render_default("Example", "sandbox.invalid/keyctl");
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest.starts_with('[') || rest.contains(" = ") && !rest.contains("module") && !rest.contains('{') =>
            {
                rest
            }
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert!(uncommented.contains("\n[policy.revoke]\n"));
    let config = Config::parse(&uncommented, Path::new("keyctl.toml"), &|_| Ok(Hash256::of(b""))).unwrap();
    assert_ne!(config.policy, Policy::default());
}

#[test]
fn the_strict_rules_are_sound_everywhere() {
    for operation in Operation::ALL {
        assert_eq!(operation.objection(&operation.default_rule(), false), None, "{operation}");
        assert_eq!(operation.objection(&operation.default_rule(), true), None, "{operation}");
        let alone = Rule { threshold: 1, must_include: [].into(), ..operation.default_rule() };
        let dual = ["keygen-ca", "keygen", "destroy", "export", "escrow-open", "roster", "break-glass"];
        if dual.contains(&operation.as_str()) {
            assert!(operation.objection(&alone, false).is_some(), "{operation}");
        }
    }
}

#[test]
fn who_asks_is_only_named_where_automation_acts_alone() {
    let with = |rule: &str| parse(&GOOD.replace("[policy.revoke]", &format!("{rule}\n[policy.revoke]"))).unwrap();
    let old = with("").adopted();
    for operation in Operation::ALL {
        let named = ["sign", "crl", "recover", "drill", "backup"].contains(&operation.as_str());
        assert_eq!(old.policy.rule(*operation).asserted, named, "{operation}");
    }
    let json = old.to_json().unwrap();
    assert!(!json.contains("asserted"), "settings that were adopted before keep their form: {json}");
    let strict = with("[policy.sign]\nasserted = false").adopted();
    assert!(!strict.policy.rule(Operation::Sign).asserted);
    let json = strict.to_json().unwrap();
    assert_eq!(Settings::from_json(&json).unwrap(), strict);
    assert_eq!(json.matches("asserted").count(), 1, "{json}");
    let lines: Vec<_> = Settings::diff(&old, &strict).unwrap().iter().map(Change::to_string).collect();
    assert_eq!(lines, ["policy.sign.asserted: (none) → false"]);
    // What is left out where it is the default is not written down either: the form stays one.
    let spelled_out = json.replace("\"asserted\":false", "\"asserted\":true");
    assert_eq!(Settings::from_json(&spelled_out).unwrap_err().code(), "bad_settings");
    let two = with("[policy.sign]\nthreshold = 2\nmust_include = []").adopted();
    assert!(!two.policy.rule(Operation::Sign).asserted, "who takes another along proves who they are");
}

#[test]
fn the_file_itself_is_bounded_and_plain() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keyctl.toml");
    assert_eq!(Config::load(&path).unwrap_err().code(), "not_found");
    fs::write(&path, "#".repeat(256 * 1024 + 1)).unwrap();
    assert_eq!(Config::load(&path).unwrap_err().code(), "too_large");
    fs::write(&path, b"\xff").unwrap();
    assert_eq!(Config::load(&path).unwrap_err().code(), "not_utf8");
    fs::create_dir(dir.path().join("certs")).unwrap();
    fs::write(dir.path().join("certs/tsa-roots.pem"), b"roots").unwrap();
    fs::write(&path, GOOD).unwrap();
    assert_eq!(Config::load(&path).unwrap().adopted(), parse(GOOD).unwrap().adopted());
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 256, failure_persistence: None, ..Default::default() })]

    /// Any damage to a good file is accepted or refused with a line, and never ends in a panic.
    #[test]
    fn damage_is_refused_with_a_line(at in 0..GOOD.len(), n in 0usize..12, with in "[\\x00-\\x7f]{0,6}") {
        let text = format!("{}{with}{}", &GOOD[..at], &GOOD[(at + n).min(GOOD.len())..]);
        if let Err(error) = parse(&text) {
            let full = error.full();
            let line = full.strip_prefix("keyctl.toml:").and_then(|rest| rest.split(':').next()).and_then(|n| n.parse::<usize>().ok());
            proptest::prop_assert!(line.is_some_and(|n| (1..=text.matches('\n').count() + 1).contains(&n)), "{}", full);
            proptest::prop_assert!(!full.contains('\n'));
        }
    }
}

#[test]
fn each_generation_of_an_issuer_has_urls_of_its_own() {
    let text = GOOD.replace(":8080/windows.crl", ":8080/{issuer}.crl").replace(":8080/windows-ca.crt", "/{issuer}.crt");
    let key = parse(&text).unwrap().keys.remove(&"windows".parse().unwrap()).unwrap();
    let issuer = "windows-ca/7".parse().unwrap();
    assert_eq!(key.crl_url_by(&issuer).as_deref(), Some("http://pki.example.corp:8080/windows-ca-7.crl"));
    assert_eq!(key.aia_url_by(&issuer).as_deref(), Some("http://pki.example.corp/windows-ca-7.crt"));
}

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
fn syntax_and_unknown_words_name_their_line() {
    for (line, with, words) in [
        ("environment", "environment = \"production #!", "invalid basic string"),
        ("name   =", "name = \"A\"\nnames = 1 #!", "unknown field `names`"),
        ("name   =", "name = \"A\"\nname = \"B\" #!", "duplicate key"),
        ("[rotation]", "[rotations] #!", "unknown field `rotations`"),
        ("timeout_seconds", "timeout = 10 #!", "unknown field `timeout`"),
        ("timeout_seconds", "timeout_seconds = \"10\" #!", "invalid type"),
        ("timeout_seconds", "timeout_seconds = -1 #!", "invalid value"),
        ("timeout_seconds", "timeout_seconds = 0 #!", "hsm.primary.timeout_seconds: 1 to 3600, not 0"),
        ("owner            =", "owner = \"boss\" #!", "unknown role \"boss\"; known: security-reviewer"),
        ("custody", "custody = \"lent\" #!", "unknown custody"),
        ("[policy.revoke]", "[policy.revok] #!", "unknown operation \"revok\""),
        ("[hsm.primary]", "[hsm.Primary] #!", "\"Primary\" is not an hsm name"),
        ("[keys.mac]", "[keys.self] #!", "keys.self: this name has a meaning of its own"),
        ("revoke_retired", "revoke_retired = \"always\" #!", "unknown revoke_retired \"always\""),
        ("purpose   = \"ledger\"", "purpose = \"diary\" #!", "unknown purpose \"diary\""),
        ("token  = \"signing-a\"", "token = \"a\\u0007b\" #!", "hsm.primary.token: has invisible characters"),
    ] {
        refused(line, with, words);
    }
    let error = parse("environment = \"sandbox\"\n[organization]\nname = \"A\"\n").unwrap_err();
    assert!(error.full().starts_with("keyctl.toml:2: missing field `origin`"), "{error}");
    let error = parse(&GOOD.replace("purpose   = \"ledger\"\n", "")).unwrap_err();
    assert!(error.full().contains(": missing field `purpose`"), "{error}");
    let line = GOOD.split("[keys.ledger]").next().unwrap().matches('\n').count() + 1;
    assert!(error.full().starts_with(&format!("keyctl.toml:{line}:")), "{error}");
    assert!(parse("").unwrap_err().full().starts_with("keyctl.toml:1: missing field `environment`"));
}

#[test]
fn what_does_not_fit_together_names_its_line() {
    let windows = "algorithm        = \"rsa-3072\"";
    for (line, with, words) in [
        // issuers
        ("issuer           =", "issuer = \"linux-ca\" #!", "keys.windows.issuer: there is no [keys.linux-ca]"),
        (
            "issuer           =",
            "issuer = \"root\" #!",
            "root is for root-ca; a key for authenticode is certified by a key for intermediate-ca",
        ),
        ("issuer           =", "issuer = \"Windows CA\" #!", "is not a key name"),
        ("issuer    = \"root\"", "issuer = \"windows-ca\" #!", "issuers go in a circle: windows-ca → windows-ca"),
        (
            "issuer    = \"root\"",
            "issuer = \"windows\" #!",
            "issuers go in a circle: windows-ca → windows → windows-ca",
        ),
        (
            "issuer    = \"apt-root\"",
            "issuer = \"windows-ca\" #!",
            "keys.apt.issuer: windows-ca is for intermediate-ca; a key for apt is certified by a key for openpgp-primary",
        ),
        ("issuer    = \"apt-root\"", "issuer = \"external\" #!", "certified by our own key for openpgp-primary"),
        (
            "issuer    = \"apt-root\"",
            "issuer = \"apt-root\"\narchive = \"https://apt.example.org stable\" #!",
            "keys.apt.archive: a suite has components",
        ),
        (
            "issuer    = \"apt-root\"",
            "issuer = \"apt-root\"\narchive = \"https://apt.example.org stable\\nTrusted: main\" #!",
            "keys.apt.archive: an archive is",
        ),
        (
            "issuer    = \"root\"",
            "issuer = \"root\"\narchive = \"https://apt.example.org stable main\" #!",
            "only a key for apt signs an archive",
        ),
        (
            "revoke_retired =",
            "revoke_retired = \"never\"\npublish_safety_days = 6 #!",
            "rotation.publish_safety_days: 7 to 365, not 6",
        ),
        ("purpose   = \"ledger\"", "purpose = \"ledger\"\nissuer = \"root\" #!", "a key for ledger has no issuer"),
        (
            "purpose   = \"root-ca\"",
            "purpose = \"root-ca\"\nissuer = \"external\" #!",
            "a key for root-ca has no issuer",
        ),
        // algorithms
        (windows, "algorithm = \"ed25519\" #!", "ed25519 does not fit authenticode"),
        (
            "algorithm = \"ecdsa-p384\"",
            "algorithm = \"rsa-3072\" #!",
            "keys.windows-ca.algorithm: rsa-3072 does not fit intermediate-ca",
        ),
        // tokens
        ("hsm              =", "hsm = [\"primary\", \"primary\"] #!", "copies on a second token are not available yet"),
        ("hsm              =", "hsm = [\"tertiary\"] #!", "there is no [hsm.tertiary]"),
        ("hsm              =", "hsm = [] #!", "name the token"),
        // what certificates need
        ("crl_url          =", "crl_url = \"ldap://x/y\" #!", "keys.windows.crl_url: an http:// URL"),
        ("crl_url          =", "crl_url = \"https://x/y\" #!", "keys.windows.crl_url: an http:// URL"),
        (
            "crl_url          =",
            "crl_url = \"http://x/{issuers}.crl\" #!",
            "keys.windows.crl_url: not a URL with a host",
        ),
        ("aia_url          =", "aia_url = \"https://x/y\" #!", "keys.windows.aia_url: an http:// URL"),
        ("aia_url          =", "aia_url = \"http://x y\" #!", "keys.windows.aia_url: not a URL with a host"),
        (
            "issuer    = \"external\"",
            "issuer = \"external\"\naia_url = \"http://x/y\" #!",
            "keys.mac.aia_url: only for certificates that we issue",
        ),
        ("crl_url          =", "crl_url = \"http://user:secret@x/y\" #!", "no user name or password"),
        (
            "subject          =",
            "subject = { country = \"us\", common_name = \"E\" } #!",
            "keys.windows.subject.country: two upper-case letters",
        ),
        ("subject          =", "subject = { common_name = \"\" } #!", "keys.windows.subject.common_name: has 1 to 64"),
        ("subject          =", "subject = { common_name = \"E\", email = \"a@b\" } #!", "only OpenPGP user ids"),
        (
            "subject   = { common_name = \"Example APT\"",
            "subject = { common_name = \"E\", email = \"nobody\" } #!",
            "is not an e-mail address",
        ),
        // ages
        ("rotation_days    =", "rotation_days = 0 #!", "keys.windows.rotation_days: 1 to 3650, not 0"),
        ("rotation_days    =", "rotation_days = 3651 #!", "1 to 3650, not 3651"),
        ("rotation_days    =", "rotation_days = 99999999999 #!", "1 to 3650, not 99999999999"),
        ("rotate_lead_days =", "rotate_lead_days = 90 #!", "less than rotation_days, which is 90"),
        ("custody          =", "rotation = \"review\" #!", "only a CA's rotation can wait"),
        // production
        ("module = { path", "module = \"builtin\" #!", "a software token cannot serve production"),
        ("module = { path", "module = \"lib/pkcs11.so\" #!", "an absolute path without"),
        ("module = { path", "module = \"/opt/../pkcs11.so\" #!", "an absolute path without"),
        ("module = { path", "module = { path = \"/a\", sha256 = \"AB\" } #!", "not 64 lower-case hex digits"),
        (
            "fips   = { standard = \"140-2\"",
            "fips = { standard = \"140-3\", level = 1, certificate = \"1\" } #!",
            "level 2 or better",
        ),
        (
            "fips   = { standard = \"140-2\"",
            "fips = { standard = \"140-3\", level = 5, certificate = \"1\" } #!",
            "level is 1 to 4",
        ),
        (
            "fips   = { standard = \"140-2\"",
            "fips = { standard = \"140-1\", level = 3, certificate = \"1\" } #!",
            "unknown FIPS standard",
        ),
        ("authorities =", "authorities = [] #!", "at least one timestamp authority"),
        ("authorities =", "authorities = [\n  \"http://a.b\",\n  \"ftp://a.b\" #!\n]", "an http:// or https:// URL"),
        ("trust       =", "trust = [] #!", "at least one file of trusted roots"),
        ("trust       =", "trust = [\"gone.pem\"] #!", "timestamp.trust: gone.pem: does not exist"),
        // the organisation
        ("origin =", "origin = \"example.corp\" #!", "organization.origin: \"host/path\""),
        ("origin =", "origin = \"example.corp/a b\" #!", "host/path"),
        ("origin =", "origin = \"example.corp/a+b\" #!", "host/path"),
        ("origin =", "origin = \"/keyctl\" #!", "host/path"),
        // rules
        ("threshold     =", "threshold = 0 #!", "policy.revoke.threshold: revoke takes 1 to 9 people, not 0"),
        ("max_age_hours =", "max_age_hours = 25 #!", "1 to 24 hours, not 25"),
        ("max_age_hours =", "max_age_hours = 0 #!", "1 to 24 hours, not 0"),
        ("threshold     =", "roles = [] #!", "policy.revoke.roles: nobody"),
        ("threshold     =", "roles = [\"auditor\", \"security-reviewer\"] #!", "an auditor only reads"),
        ("threshold     =", "must_include = [\"publisher\"] #!", "publisher is not among the roles"),
        (
            "[policy.revoke]",
            "[policy.destroy]\nthreshold = 1 #!\n[policy.revoke]",
            "destroy takes 2 to 9 people, not 1",
        ),
        (
            "[policy.revoke]",
            "[policy.break-glass]\nmust_include = [\"security-reviewer\"] #!\n[policy.revoke]",
            "and a platform-admin together",
        ),
        ("[policy.revoke]", "[policy.break-glass]\nmax_age_hours = 5 #!\n[policy.revoke]", "1 to 4 hours, not 5"),
        ("threshold     =", "asserted = true #!", "policy.revoke.asserted: whoever asks for revoke has to prove"),
        ("threshold     =", "asserted = \"no\" #!", "invalid type"),
        (
            "[policy.revoke]",
            "[policy.suspend]\nasserted = true #!\n[policy.revoke]",
            "whoever asks for suspend has to prove",
        ),
        (
            "[policy.revoke]",
            "[policy.sign]\nthreshold = 2\nasserted = true #!\n[policy.revoke]",
            "whoever asks for sign has to prove",
        ),
        ("max_attempts", "base_seconds = 90 #!", "longer than max_backoff_seconds"),
        ("max_attempts", "timeout_seconds = 601 #!", "1 to 600, not 601"),
    ] {
        refused(line, with, words);
    }
}

#[test]
fn what_two_entries_do_together_is_told_at_the_second() {
    for (old, new, at, words) in [
        ("serial = \"0001\"", "token = \"signing-a\"", "[hsm.root]", "hsm.root: the same token as [hsm.primary]"),
        (
            "hsm              = [\"primary\"]",
            "hsm = [\"issuing\"]",
            "hsm       = [\"issuing\"]",
            "keys.windows-ca.hsm: issuing holds windows already; in production root, issuing and signing keys live on tokens of their own",
        ),
        (
            "issuer    = \"external\"",
            "issuer = \"windows-ca\"\ncrl_url = \"http://a.b/c\"",
            "issuer           = \"windows-ca\"",
            "keys.windows.issuer: windows-ca already issues for mac, a key for installer; an issuer serves one purpose",
        ),
    ] {
        let text = GOOD.replace(old, new);
        let line = text.split(at).next().unwrap().matches('\n').count() + 1;
        assert_eq!(parse(&text).unwrap_err().full(), format!("keyctl.toml:{line}: {words}"));
    }
}

#[test]
fn entries_without_a_needed_field_are_named_by_their_header() {
    for (gone, header, words) in [
        (
            "crl_url          = \"http://pki.example.corp:8080/windows.crl\"\n",
            "[keys.windows]",
            "keys.windows.crl_url: verifiers need",
        ),
        (
            "aia_url          = \"http://pki.example.corp:8080/windows-ca.crt\"\n",
            "[keys.windows]",
            "keys.windows.aia_url: verifiers need",
        ),
        (
            "issuer           = \"windows-ca\"\n",
            "[keys.windows]",
            "certified by a key for intermediate-ca, or it is \"external\"",
        ),
        ("token  = \"signing-a\"\n", "[hsm.primary]", "hsm.primary.token: name the token"),
        (
            "fips   = { standard = \"140-2\", level = 2, certificate = \"3000\" }\n",
            "[hsm.primary]",
            "takes only certified hardware",
        ),
        (
            "subject   = { common_name = \"Example APT\", email = \"apt@example.corp\" }\n",
            "[keys.apt-root]",
            "what its certificates say",
        ),
    ] {
        let text = GOOD.replace(gone, "");
        assert_ne!(text, GOOD);
        let line = text.split(header).next().unwrap().matches('\n').count() + 1;
        let error = parse(&text).unwrap_err().full();
        assert!(error.starts_with(&format!("keyctl.toml:{line}: ")) && error.contains(words), "{error}, line {line}");
    }
}

#[test]
fn a_pin_in_the_file_is_refused_and_never_repeated() {
    let secret = "73519-Geheim";
    for pin in [
        format!("pin = \"{secret}\""),
        "pin = 73519".to_owned(),
        "pin = 73519.5".to_owned(),
        format!("pin = [\"{secret}\"]"),
        format!("pin = {{ env = \"{secret}\" }}"),
        format!("pin = {{ value = \"{secret}\" }}"),
        format!("pin = {{ env = \"A\", file = \"{secret}\" }}"),
        format!("pin = {{ command = [\"\", \"{secret}\"] }}"),
        format!("pin = {{ file = \"../{secret}\" }}"),
        format!("pin = {secret}"),
        "pin = []".to_owned(),
        "pin = { prompt = false }".to_owned(),
        "pin = { fd = 2 }".to_owned(),
        "pin = true".to_owned(),
    ] {
        let text = GOOD.replace("pin    = { env = \"KEYCTL_PIN\" }", &pin);
        let error = parse(&text).expect_err(&pin);
        assert!(error.full().starts_with("keyctl.toml:22: "), "{error}");
        let all = format!("{error} {error:?} {:?}", error.advice());
        assert!(!all.contains("73519") && !all.contains("Geheim"), "{all}");
    }
    let text =
        GOOD.replace("{ env = \"KEYCTL_PIN\" }", "[{ file = \"tokens/primary/pin\" }, { fd = 3 }, { none = true }]");
    let config = parse(&text).unwrap();
    let file = PinSource::File(PathBuf::from("/srv/keyctl/tokens/primary/pin"));
    assert_eq!(config.hsm[&"primary".parse::<HsmName>().unwrap()].pins, [file, PinSource::Fd(3), PinSource::None]);
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

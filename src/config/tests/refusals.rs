//! What is refused, and at which line.

use super::*;

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
        // hardware and what surrounds it
        (
            "timeout_seconds",
            "hardware = { manufacturer = \"A\", model = \"B\", firmware = [\"7.8\", \"7.3\"] } #!",
            "hsm.primary.hardware: the first firmware of a range is not behind the last",
        ),
        (
            "timeout_seconds",
            "hardware = { manufacturer = \"A\", model = \"B\", firmware = \"7\" } #!",
            "\"7\" is no version",
        ),
        (
            "timeout_seconds",
            "hardware = { manufacturer = \"A\", model = \"B\", firmware = \"7.3\", attestation = \"trust\" } #!",
            "attestation is",
        ),
        (
            "timeout_seconds",
            "hardware = { manufacturer = \"A\", model = \"B\", firmware = \"7.3\", attestation = { file = \"a\", roots = \"certs/tsa-roots.pem\" } } #!",
            "a: does not exist",
        ),
        ("timeout_seconds", "environment = { LD_AUDIT = \"x\" } #!", "LD_AUDIT: it steers the loader or this program"),
        ("timeout_seconds", "environment = { X_CONF = \"/nonexistent\" } #!", "X_CONF: /nonexistent: does not exist"),
        ("[retry]", "[tool]\nsha256 = [] #!\n[retry]", "tool.sha256: one to 64 releases"),
        (
            "fips   = { standard = \"140-2\"",
            "fips = { standard = \"140-3\", level = 3, certificate = \"1\", checked = \"2026-13-01\" } #!",
            "checked is a day like 2026-11-01",
        ),
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

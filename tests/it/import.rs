//! Certificates from an issuer outside: an authority made with openssl.

use crate::support::{Ran, tool};
use crate::tokens::*;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Root and intermediate of somebody else, in a folder.
struct Authority<'a> {
    tokens: &'a Tokens,
}

const LEAF: &str = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n\
                    certificatePolicies=2.23.140.1.4.1\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
const INTERMEDIATE: &str = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n\
                            extendedKeyUsage=codeSigning\ncertificatePolicies=2.23.140.1.4.1\n\
                            subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";

impl<'a> Authority<'a> {
    fn new(tokens: &'a Tokens) -> Self {
        let authority = Authority { tokens };
        for name in ["root", "ca", "stranger"] {
            let key = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out"];
            authority.run(authority.openssl(&key).arg(authority.path(&format!("{name}.key"))));
        }
        for root in ["root", "stranger"] {
            let subject = format!("/C=US/O=Public Authority/CN=Public {root}");
            let mut make = authority.openssl(&["req", "-x509", "-new", "-days", "3650", "-subj", &subject]);
            make.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign", "-key"]);
            make.arg(authority.path(&format!("{root}.key"))).arg("-out").arg(authority.path(&format!("{root}.pem")));
            authority.run(&mut make);
        }
        let mut request = authority.openssl(&["req", "-new", "-subj", "/C=US/O=Public Authority/CN=Public CA", "-key"]);
        authority.run(request.arg(authority.path("ca.key")).arg("-out").arg(authority.path("ca.csr")));
        authority.issue("root", "ca.csr", "ca.pem", INTERMEDIATE, &["-days", "1000", "-sha384"]);
        authority
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.tokens.path(name)
    }

    fn openssl(&self, args: &[&str]) -> Command {
        let mut command = tool("openssl");
        command.args(args);
        command
    }

    fn run(&self, command: &mut Command) {
        let output = command.output().expect("openssl");
        assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A certificate for a request, with these extensions.
    fn issue(&self, by: &str, request: &str, to: &str, extensions: &str, more: &[&str]) {
        self.run(self.issuing(self.openssl(&[]), by, request, to, extensions).args(more));
    }

    fn issuing(&self, mut command: Command, by: &str, request: &str, to: &str, extensions: &str) -> Command {
        let file = self.path("extensions.cnf");
        std::fs::write(&file, extensions).expect("extensions");
        command.args(["x509", "-req", "-CAcreateserial", "-in"]).arg(self.path(request));
        command.arg("-CA").arg(self.path(&format!("{by}.pem"))).arg("-CAkey").arg(self.path(&format!("{by}.key")));
        command.arg("-extfile").arg(file).arg("-out").arg(self.path(to));
        command
    }

    fn import(&self, certificate: &str, root: &str) -> Ran {
        self.tokens.keyctl(&["import", certificate, "--chain", "ca.pem", "--roots", root])
    }
}

/// Two keys whose issuer is external; the workspace has no authority of its own.
fn workspace(tokens: &Tokens, module: &Path) {
    let external = "issuer = \"external\"";
    let entries = [
        hsm("hsm", module, FROM_ENV),
        builtin("log"),
        key("windows", "authenticode", "ecdsa-p256", "hsm", external),
        key("ledger", "ledger", "ecdsa-p256", "log", ""),
    ];
    tokens.init(&sandbox(&entries)).ok();
}

/// A workspace whose `windows/1` has the certificate of an external issuer.
pub fn with_external_certificate() -> Tokens {
    let tokens = Tokens::softhsm(&["hsm"]);
    workspace(&tokens, &softhsm_module());
    tokens.keyctl(&["keygen", "windows", "--csr", "windows.csr"]).ok();
    let authority = Authority::new(&tokens);
    authority.issue("ca", "windows.csr", "windows.pem", LEAF, &["-days", "300", "-sha256"]);
    authority.import("windows.pem", "root.pem").ok();
    tokens
}

#[test]
fn an_external_certificate_is_taken_in_and_signs() {
    let tokens = Tokens::softhsm(&["hsm"]);
    workspace(&tokens, &softhsm_module());
    tokens.keyctl(&["keygen", "windows", "--csr", "windows.csr"]).ok();
    let app = tokens.pe("app.exe");
    tokens.keyctl(&["sign", "app.exe"]).exits(4).says("no_active_key");
    let authority = Authority::new(&tokens);
    refusals(&tokens, &authority);
    assert_eq!(tokens.place.sql("SELECT state FROM generations WHERE key = 'windows'"), "generated");

    authority.issue("ca", "windows.csr", "windows.pem", LEAF, &["-days", "300", "-sha256"]);
    let dry = tokens.keyctl(&["--dry-run", "import", "windows.pem", "--chain", "ca.pem", "--roots", "root.pem"]).ok();
    assert_eq!(serde_json::from_str::<Value>(&dry.stdout).unwrap()["operation"], "import");
    authority.import("windows.pem", "root.pem").ok().says("active");
    // Once is enough.
    authority.import("windows.pem", "root.pem").exits(4).says("Status");
    tokens.keyctl(&["sign", "app.exe"]).ok();
    // The chain that was handed in is in the file: the root alone will do.
    osslsigncode_accepts(&app, &authority.path("root.pem"));
    let refuses =
        tool("osslsigncode").arg("verify").arg("-CAfile").arg(authority.path("stranger.pem")).arg(&app).output();
    assert!(!refuses.unwrap().status.success());
    tokens.keyctl(&["verify", "app.exe", "--roots", "root.pem"]).ok();
    let published = std::fs::read_to_string(tokens.published("windows-1.pem")).unwrap();
    assert_eq!(published.lines().collect::<Vec<_>>(), leaf_lines(&authority.path("windows.pem")));
    tokens.keyctl(&["audit", "log"]).ok();
}

fn leaf_lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// Certificates that must not come in, each for its own reason; none changes the ledger.
fn refusals(tokens: &Tokens, authority: &Authority<'_>) {
    let entries = tokens.place.sql("SELECT count(*) FROM entries");
    let days = ["-days", "300", "-sha256"];
    // For a key that is nobody's here.
    let mut other =
        authority.openssl(&["req", "-new", "-newkey", "rsa:3072", "-nodes", "-subj", "/C=US/O=E/CN=E", "-keyout"]);
    authority.run(other.arg(authority.path("other.key")).arg("-out").arg(authority.path("other.csr")));
    authority.issue("ca", "other.csr", "other.pem", LEAF, &days);
    authority.import("other.pem", "root.pem").exits(1).says("certificate_key_mismatch");
    // From a year ago.
    let mut then = tool("faketime");
    then.args(["-f", "-400d", "openssl"]);
    authority.run(authority.issuing(then, "ca", "windows.csr", "expired.pem", LEAF).args(days));
    authority.import("expired.pem", "root.pem").exits(6).says("certificate_expired");
    // For servers.
    authority.issue("ca", "windows.csr", "server.pem", &LEAF.replace("codeSigning", "serverAuth"), &days);
    authority.import("server.pem", "root.pem").exits(6).says("wrong_purpose");
    // For more than signing.
    authority.issue("ca", "windows.csr", "both.pem", &LEAF.replace("codeSigning", "codeSigning,serverAuth"), &days);
    authority.import("both.pem", "root.pem").exits(4).says("eku_forbidden");
    // An authority itself.
    authority.issue("ca", "windows.csr", "ca-leaf.pem", &LEAF.replace("CA:FALSE", "CA:TRUE"), &days);
    assert_ne!(authority.import("ca-leaf.pem", "root.pem").code, 0);
    // From somebody else, and with somebody else trusted.
    authority.issue("stranger", "windows.csr", "strange.pem", LEAF, &days);
    authority.import("strange.pem", "root.pem").exits(6).says("unknown_issuer");
    authority.issue("ca", "windows.csr", "good.pem", LEAF, &days);
    authority.import("good.pem", "stranger.pem").exits(6).says("unknown_issuer");
    // By a hash that can be forged.
    authority.issue("ca", "windows.csr", "weak.pem", LEAF, &["-days", "300", "-sha1"]);
    authority.import("weak.pem", "root.pem").exits(6).says("1.2.840.10045.4.1 is not accepted");
    // Not a certificate at all.
    authority.import("windows.csr", "root.pem").exits(1);
    authority.import("missing.pem", "root.pem").exits(2);
    assert_eq!(tokens.place.sql("SELECT count(*) FROM entries"), entries);
}

#[test]
fn a_rotation_stops_at_the_request_and_goes_on_with_the_certificate_from_outside() {
    let tokens = with_external_certificate();
    let authority = Authority { tokens: &tokens };
    let row = tokens.keyctl(&["rotate", "windows", "--now"]).ok().says("next: keyctl import").one();
    assert_eq!((&row["result"], &row["waits_for"]), (&"waiting".into(), &"certificate".into()), "{row}");
    assert_eq!(crate::rotation::steps(&row), ["generate", "request"]);
    let csr = row["csr"].as_str().expect("a path").to_owned();
    assert!(csr.ends_with("requests/windows-2.csr"), "{csr}");
    let bytes = std::fs::read(&csr).expect("a request");
    let checked = tool("openssl").args(["req", "-noout", "-verify", "-in", &csr]).output().expect("openssl");
    assert!(checked.status.success());
    // However often it is repeated, nothing more is made, and a lost file is the same file again.
    std::fs::remove_file(&csr).expect("removed");
    tokens.keyctl(&["rotate", "windows"]).ok().says("next: keyctl import");
    assert_eq!(std::fs::read(&csr).expect("a request"), bytes);
    tokens.keyctl(&["due"]).exits(5).says("keyctl import CERTIFICATE.pem --roots ROOTS.pem");
    assert_eq!(tokens.place.sql("SELECT count(*) FROM generations WHERE key = 'windows'"), "2");
    tokens.pe("app.exe");
    assert_eq!(tokens.keyctl(&["sign", "app.exe"]).ok().one()["generation"], "windows/1");

    // An issuer that writes another name makes another publisher, and that has to be wanted.
    let other = ["-days", "300", "-sha256", "-subj", "/C=US/O=Somebody/CN=Somebody"];
    authority.issue("ca", &csr, "other.pem", LEAF, &other);
    authority.import("other.pem", "root.pem").exits(4).says("publisher_changes").says("CN=Somebody");
    let import = ["import", "other.pem", "--chain", "ca.pem", "--roots", "root.pem", "--publisher-change"];
    tokens.keyctl(&import).ok().says("next: keyctl rotate windows");
    tokens.keyctl(&["rotate", "windows"]).exits(4).says("SubjectContinuity");
    crate::rotation::are(&tokens.place, "windows", &["active", "staged"]);
    tokens.pe("b.exe");
    assert_eq!(tokens.keyctl(&["sign", "b.exe"]).ok().one()["generation"], "windows/1");
    let row = tokens.keyctl(&["rotate", "windows", "--publisher-change"]).ok().one();
    assert_eq!(row["generation"], "windows/2");

    // The next one keeps it.
    let row = tokens.keyctl(&["rotate", "windows", "--now", "--csr", "third.csr"]).ok().one();
    assert!(row["csr"].as_str().expect("a path").ends_with("third.csr"), "{row}");
    authority.issue("ca", "third.csr", "third.pem", LEAF, &other);
    authority.import("third.pem", "root.pem").ok();
    let row = tokens.keyctl(&["rotate", "windows"]).ok().one();
    assert_eq!((&row["generation"], &row["predecessor"]), (&"windows/3".into(), &"windows/2".into()));
    crate::rotation::are(&tokens.place, "windows", &["retiring", "retiring", "active"]);
    let app = tokens.pe("c.exe");
    assert_eq!(tokens.keyctl(&["sign", "c.exe"]).ok().one()["generation"], "windows/3");
    osslsigncode_accepts(&app, &authority.path("root.pem"));
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_quarantined_key_gets_no_certificate_from_outside_either() {
    let tokens = Tokens::lying(&["hsm"]);
    workspace(&tokens, lying_module());
    tokens.tell("extractable");
    tokens.keyctl(&["keygen", "windows", "--csr", "windows.csr"]).exits(4).says("quarantined");
    tokens.tell("honest");
    assert!(!tokens.path("windows.csr").exists());
    // Its public key is no secret, and an authority may be careless.
    let authority = Authority::new(&tokens);
    let spki =
        tokens.place.sql("SELECT json_extract(doc, '$.identities[0].spki') FROM generations WHERE key = 'windows'");
    std::fs::write(
        tokens.path("public.pem"),
        format!("-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----\n"),
    )
    .unwrap();
    let public = tokens.path("public.pem");
    let flags = ["-days", "300", "-sha256", "-force_pubkey", public.to_str().unwrap()];
    authority.issue("ca", "ca.csr", "windows.pem", LEAF, &flags);
    authority.import("windows.pem", "root.pem").exits(4).says("quarantined");
    tokens.keyctl(&["audit", "log"]).ok();
}

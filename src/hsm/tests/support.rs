//! Tokens to test with.

use crate::crypto::verify::PublicKey;
use crate::hsm::builtin;
use crate::hsm::generate::{Generated, KeyTemplate};
use crate::hsm::module::ModuleSpec;
use crate::hsm::pin::{Pin, PinSource};
use crate::hsm::token::{Token, TokenSpec};
use crate::model::{CkaId, HashAlgorithm, KeyAlgorithm, Mechanism, Tbs};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub const LABEL: &str = "contract";
pub const PIN: &str = "correct-horse";
const SO_PIN: &str = "battery-staple";
const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The variable that tells a child which test it is.
const CHILD: &str = "KEYCTL_TEST_CHILD";

/// Which implementation a fixture has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Builtin,
    SoftHsm,
    Nss,
}

/// A fresh token.
pub struct Fixture {
    pub backend: Backend,
    pub spec: TokenSpec,
    /// Removed at the end.
    _folder: Option<tempfile::TempDir>,
}

impl Fixture {
    pub fn open(&self) -> Token {
        Token::open(self.spec.clone()).unwrap()
    }
}

/// A PIN source that gives this text.
pub fn pin(text: &str) -> PinSource {
    PinSource::Command(vec!["printf".into(), "%s".into(), text.into()])
}

pub fn spec(module: ModuleSpec, label: &str) -> TokenSpec {
    TokenSpec {
        name: "test".parse().unwrap(),
        module,
        label: Some(label.into()),
        serial: None,
        pin: pin(PIN),
        timeout: Duration::from_secs(30),
        sessions: 1,
        recorded: None,
        production: None,
    }
}

pub fn create_builtin(folder: &Path, label: &str) {
    let secret = |text: &str| Pin::new(text.into()).unwrap();
    builtin::create(folder, label, &secret(SO_PIN), &secret(PIN)).unwrap();
}

pub fn builtin_fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    create_builtin(&path, LABEL);
    let spec = spec(ModuleSpec::Builtin { folder: path }, LABEL);
    Fixture { backend: Backend::Builtin, spec, _folder: Some(folder) }
}

/// Runs `body` in a child process of its own, which has these variables. `test` is the calling test's full name.
pub fn in_child(test: &str, variables: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var(CHILD).as_deref() == Ok(test) {
        return body();
    }
    let name = test.split_once("::").unwrap().1;
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{test}: {:?}\n{text}\n{error}", output.status);
}

/// Whether this process is the child of `test`.
pub fn is_child(test: &str) -> bool {
    std::env::var(CHILD).as_deref() == Ok(test)
}

/// The path of an installed file; says aloud that the test is skipped where there is none.
pub fn installed(candidates: &[&str], what: &str) -> Option<String> {
    let found = candidates.iter().find(|path| Path::new(path).exists());
    if found.is_none() {
        println!("skipped: {what} is not installed");
    }
    found.map(|path| (*path).to_owned())
}

/// Configuration and tokens of SoftHSM2 in a folder; gives the path of the configuration.
pub fn softhsm_config(folder: &Path, labels: &[&str]) -> PathBuf {
    let config = folder.join("softhsm2.conf");
    let tokens = folder.join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    std::fs::write(&config, text).unwrap();
    for label in labels {
        let status = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN])
            .env("SOFTHSM2_CONF", &config)
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
    }
    config
}

/// The installed SoftHSM2.
pub fn softhsm_module() -> Option<String> {
    installed(&[SOFTHSM, "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"], "SoftHSM2")
}

/// Runs `body` in a child with SoftHSM2 and one token.
pub fn with_softhsm(test: &str, body: impl FnOnce(&Fixture)) {
    let Some(module) = softhsm_module() else { return };
    let run = || {
        let fixture =
            Fixture { backend: Backend::SoftHsm, spec: spec(ModuleSpec::file(&module), LABEL), _folder: None };
        body(&fixture);
    };
    if is_child(test) {
        return run();
    }
    let folder = tempfile::tempdir().unwrap();
    let config = softhsm_config(folder.path(), &[LABEL, "another"]);
    in_child(test, &[("SOFTHSM2_CONF", config.to_str().unwrap())], run);
}

/// Runs `body` in a child with NSS softokn and its database.
pub fn with_nss(test: &str, body: impl FnOnce(&Fixture)) {
    let paths = ["/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so", "/usr/lib/x86_64-linux-gnu/libsoftokn3.so"];
    let Some(module) = installed(&paths, "NSS softokn") else { return };
    if installed(&["/usr/bin/certutil"], "certutil").is_none() {
        return;
    }
    const FOLDER: &str = "KEYCTL_TEST_NSS";
    let run = || {
        let folder = std::env::var(FOLDER).unwrap();
        let init_args =
            format!("configdir='sql:{folder}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=optimizeSpace ");
        let module = ModuleSpec::File { path: module.into(), sha256: None, init_args: Some(init_args) };
        let fixture = Fixture { backend: Backend::Nss, spec: spec(module, "NSS Certificate DB"), _folder: None };
        body(&fixture);
    };
    if is_child(test) {
        return run();
    }
    let folder = tempfile::tempdir().unwrap();
    let (database, secret) = (folder.path().join("db"), folder.path().join("pin"));
    std::fs::create_dir(&database).unwrap();
    std::fs::write(&secret, PIN).unwrap();
    let status = Command::new("certutil")
        .args(["-N", "-d"])
        .arg(format!("sql:{}", database.display()))
        .arg("-f")
        .arg(&secret)
        .status();
    assert!(status.unwrap().success());
    in_child(test, &[(FOLDER, database.to_str().unwrap())], run);
}

pub fn id(text: &str) -> CkaId {
    CkaId::new(text.as_bytes()).unwrap()
}

/// A P-256 key named by its CKA_ID.
pub fn p256(token: &Token, name: &str) -> Generated {
    token.generate(&KeyTemplate::bound(id(name), name, KeyAlgorithm::EcdsaP256)).unwrap()
}

pub const ECDSA: Mechanism = Mechanism::Ecdsa(HashAlgorithm::Sha256);

/// Signs with the key named `name` and checks the result once more.
pub fn sign(token: &Token, name: &str, public: &PublicKey) -> Result<(), crate::hsm::Fault> {
    let key = token.find(&id(name), public)?;
    let tbs = Tbs::message(ECDSA, name.as_bytes());
    let signature = token.sign(&key, &tbs)?;
    public.verify(&tbs, &signature).unwrap();
    Ok(())
}

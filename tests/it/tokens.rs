//! PKCS#11 tokens that are not ours, and workspaces on them.

use crate::support::{Place, Ran, ran, tool};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub const PIN: &str = "1234-5678";
const SO_PIN: &str = "8765-4321";

/// The first of these files that is installed.
fn installed(candidates: &[&str], package: &str) -> PathBuf {
    let found = candidates.iter().map(PathBuf::from).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{package} is not installed: run tests/setup first"))
}

/// The file of a shared library of this machine's architecture.
fn library(name: &str, package: &str) -> PathBuf {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let candidates: Vec<_> = folders.iter().map(|folder| format!("{folder}/{name}")).collect();
    installed(&candidates.iter().map(String::as_str).collect::<Vec<_>>(), package)
}

pub fn softhsm_module() -> PathBuf {
    installed(&["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"], "softhsm2")
}

pub fn spy_module() -> PathBuf {
    library("pkcs11-spy.so", "opensc-pkcs11")
}

/// The module of `tests/lying/lying.c`, made once for each test run.
pub fn lying_module() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| shared_object("lying", &["-fvisibility=hidden", "-Wl,-Bsymbolic"]))
}

/// The module of `tests/lying/wrapper.c`: software that calls itself a device.
pub fn wrapper_module() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| shared_object("wrapper", &["-fvisibility=hidden", "-Wl,-Bsymbolic"]))
}

/// `tests/lying/dying.c`, to be preloaded: kills at a chosen step.
pub fn dying_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| shared_object("dying", &[]))
}

fn shared_object(name: &str, flags: &[&str]) -> PathBuf {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("so");
    let fresh = made.with_extension(format!("{}.so", std::process::id()));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lying").join(name).with_extension("c");
    let mut compiler = tool("cc");
    compiler.args(["-shared", "-fPIC", "-O1"]).args(flags).arg("-o").arg(&fresh).arg(&source).arg("-ldl");
    assert!(compiler.status().expect("cc").success());
    std::fs::rename(&fresh, &made).expect("the library in its place");
    made
}

/// A place with SoftHSM tokens of its own.
pub struct Tokens {
    pub place: Place,
    variables: Vec<(String, PathBuf)>,
}

impl Tokens {
    /// Tokens with these labels and [`PIN`].
    pub fn softhsm(labels: &[&str]) -> Self {
        let place = Place::new();
        let config = softhsm_tokens(&place.path("softhsm"), labels);
        Tokens { place, variables: vec![("SOFTHSM2_CONF".into(), config)] }
    }

    /// The same behind the lying module. What it lies about is told by [`Tokens::tell`].
    pub fn lying(labels: &[&str]) -> Self {
        let mut tokens = Tokens::softhsm(labels);
        tokens.set("LYING_REAL", softhsm_module());
        tokens.set("LYING_CONTROL", tokens.place.path("control"));
        tokens.set("LYING_LOG", tokens.place.path("calls"));
        tokens
    }

    /// Sets a variable for the programs to come.
    pub fn set(&mut self, name: &str, value: impl Into<PathBuf>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.into()));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    pub fn in_workspace(&self, name: &str) -> PathBuf {
        self.place.workspace().join(name)
    }

    /// The binary with the tokens in its environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.place.command(args);
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).env("TOKEN_PIN", PIN);
        command
    }

    pub fn keyctl(&self, args: &[&str]) -> Ran {
        ran(self.command(args).output().expect("the binary runs"))
    }

    /// Founds a workspace with this `keyctl.toml`.
    pub fn init(&self, toml: &str) -> Ran {
        std::fs::write(self.path("keyctl.toml"), toml).expect("keyctl.toml");
        self.keyctl(&["--workspace", ".keyctl-sandbox", "init", "--from", "keyctl.toml"])
    }

    /// Changes the workspace's `keyctl.toml`.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.in_workspace("keyctl.toml");
        let text = std::fs::read_to_string(&path).expect("keyctl.toml");
        assert!(text.contains(from), "{from:?} is not in\n{text}");
        std::fs::write(&path, text.replacen(from, to, 1)).expect("keyctl.toml");
    }

    /// What the lying module lies about from now on.
    pub fn tell(&self, lie: &str) {
        std::fs::write(self.path("control"), lie).expect("control");
    }

    /// How often a function of the lying module was called.
    pub fn calls(&self, function: &str) -> usize {
        let log = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        log.lines().filter(|line| *line == function).count()
    }

    /// What `pkcs11-tool` says.
    pub fn pkcs11_tool(&self, args: &[&str]) -> String {
        let mut command = tool("pkcs11-tool");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = command.arg("--module").arg(softhsm_module()).args(args).output().expect("pkcs11-tool");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Every object of a token, as `pkcs11-tool` lists it.
    pub fn objects(&self, label: &str) -> String {
        self.pkcs11_tool(&["--token-label", label, "--login", "--pin", PIN, "--list-objects"])
    }

    /// A PE file that can be signed.
    pub fn pe(&self, name: &str) -> PathBuf {
        self.place.copy(Path::new("/usr/lib/python3/dist-packages/distlib/t32.exe"), name)
    }

    /// A published certificate.
    pub fn published(&self, name: &str) -> PathBuf {
        self.in_workspace("published/certs").join(name)
    }
}

/// Makes SoftHSM tokens in a folder; gives the configuration that leads to them.
pub fn softhsm_tokens(folder: &Path, labels: &[&str]) -> PathBuf {
    let store = folder.join("tokens");
    std::fs::create_dir_all(&store).expect("a folder for tokens");
    let config = folder.join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", store.display());
    std::fs::write(&config, text).expect("softhsm2.conf");
    for label in labels {
        let status = tool("softhsm2-util")
            .args(["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN])
            .env("SOFTHSM2_CONF", &config)
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("softhsm2-util").success());
    }
    config
}

/// An NSS database whose PIN is [`PIN`]; gives the module's arguments.
pub fn nss_database(folder: &Path) -> String {
    std::fs::create_dir_all(folder).expect("a folder for NSS");
    let pin = folder.join("pin");
    std::fs::write(&pin, PIN).expect("a PIN file");
    let database = format!("sql:{}", folder.display());
    let status = tool("certutil").args(["-N", "-d", &database, "-f"]).arg(&pin).status();
    assert!(status.expect("certutil").success());
    format!("configdir='{database}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=optimizeSpace ")
}

pub fn nss_module() -> PathBuf {
    let nss = ["/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so", "/usr/lib/x86_64-linux-gnu/libsoftokn3.so"];
    nss.iter().map(PathBuf::from).find(|path| path.exists()).unwrap_or_else(|| library("libsoftokn3.so", "libnss3"))
}

/// Runs a command that reads `text` from descriptor 0, a pipe.
pub fn with_input(mut command: Command, text: &str) -> Ran {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("a PIN fits a pipe");
    ran(child.wait_with_output().expect("ends"))
}

/// `[hsm.NAME]` with a module, a label of the same name and a PIN source.
pub fn hsm(name: &str, module: &Path, pin: &str) -> String {
    format!("[hsm.{name}]\nmodule = \"{}\"\ntoken = \"{name}\"\npin = {pin}\n", module.display())
}

/// `[hsm.NAME]` on the builtin token.
pub fn builtin(name: &str) -> String {
    format!("[hsm.{name}]\nmodule = \"builtin\"\npin = {{ file = \"tokens/{name}/pin\" }}\n")
}

/// [`PIN`] from the environment.
pub const FROM_ENV: &str = "{ env = \"TOKEN_PIN\" }";

/// `[keys.NAME]`; `more` are further lines.
pub fn key(name: &str, purpose: &str, algorithm: &str, hsm: &str, more: &str) -> String {
    let subject = match purpose {
        "ledger" => String::new(),
        _ => format!(
            "subject = {{ country = \"US\", locality = \"Springfield\", organization = \"Example Corp\", common_name = \"Example {name}\" }}\n"
        ),
    };
    format!("[keys.{name}]\npurpose = \"{purpose}\"\nalgorithm = \"{algorithm}\"\nhsm = [\"{hsm}\"]\n{subject}{more}\n")
}

/// A sandbox's `keyctl.toml` with these entries.
pub fn sandbox(entries: &[String]) -> String {
    let head = "environment = \"sandbox\"\n[organization]\nname = \"Example Corp\"\norigin = \"soft.invalid/keyctl\"\n";
    format!("{head}{}", entries.concat())
}

/// A whole hierarchy of P-256 keys; the ledger key is on a builtin token called `log`.
pub fn p256_hierarchy(hsms: &[String], on: [&str; 3]) -> String {
    let [root, issuing, signing] = on;
    let keys = [
        key("root", "root-ca", "ecdsa-p256", root, ""),
        key("windows-ca", "intermediate-ca", "ecdsa-p256", issuing, "issuer = \"root\""),
        key("windows", "authenticode", "ecdsa-p256", signing, "issuer = \"windows-ca\""),
        key("ledger", "ledger", "ed25519", "log", ""),
    ];
    sandbox(&[hsms, &[builtin("log")], &keys].concat())
}

/// Whether `osslsigncode` accepts a signed file under this root, and not for want of looking.
#[track_caller]
pub fn osslsigncode_accepts(file: &Path, root: &Path) {
    let output = tool("osslsigncode").arg("verify").arg("-CAfile").arg(root).arg(file).output().expect("osslsigncode");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("Signature verification: ok"), "{text}");
}

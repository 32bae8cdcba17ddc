//! Production: hardware that people adopted, by a release that they know, in surroundings that they named.
//!
//! The device here is `tests/lying/wrapper.c` around a SoftHSM whose names were changed, which is what the tripwire for
//! known software cannot see; the people of these tests adopt it.

use crate::support::{Ran, ran, tool};
use crate::team::{APPROVAL, ORIGIN, PEOPLE, ROSTER, Team, private, sha256};
use crate::tokens::{softhsm_module, wrapper_module};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const TOKENS: [&str; 3] = ["root", "issuing", "log"];

/// People, and a device with three tokens, for a workspace that is not founded yet.
struct Scene {
    team: Team,
}

impl Scene {
    fn new() -> Self {
        let scene = Scene { team: Team::new() };
        let folder = scene.path("device");
        std::fs::create_dir_all(folder.join("tokens")).expect("a folder");
        let config = format!("directories.tokendir = {}\nlog.level = ERROR\n", folder.join("tokens").display());
        std::fs::write(scene.path("softhsm2.conf"), config).expect("written");
        for label in TOKENS {
            let pin = scene.path(&format!("{label}.pin"));
            std::fs::write(&pin, format!("1234-{label}")).expect("written");
            private(&pin, 0o600);
            let made = tool("softhsm2-util")
                .args(["--init-token", "--free", "--so-pin", "8765-4321", "--label", label, "--pin"])
                .arg(format!("1234-{label}"))
                .env("SOFTHSM2_CONF", scene.path("softhsm2.conf"))
                .stdout(Stdio::null())
                .status();
            assert!(made.expect("softhsm2-util").success());
        }
        // The same software, built anew under another name.
        let mut bytes = std::fs::read(softhsm_module()).expect("SoftHSM");
        for (old, new) in [(b"SoftHSM", b"AcmeHSM"), (b"softhsm", b"acmehsm")] {
            while let Some(at) = bytes.windows(old.len()).position(|window| window == old) {
                bytes[at..at + new.len()].copy_from_slice(new);
            }
        }
        std::fs::write(scene.path("engine.so"), bytes).expect("written");
        std::fs::copy(wrapper_module(), scene.path("module.so")).expect("copied");
        std::fs::write(scene.path("beside.c"), "int beside;\n").expect("written");
        let mut compiler = tool("cc");
        compiler.args(["-shared", "-o"]).arg(scene.path("device/beside.so")).arg(scene.path("beside.c"));
        assert!(compiler.status().expect("cc").success());
        std::fs::write(scene.path("tsa.pem"), "roots\n").expect("written");
        scene.write(&scene.toml(&scene.path("module.so"), &scene.hardware("")));
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.team.place.path(name)
    }

    /// What every `[hsm.NAME]` says of the device, with more.
    fn hardware(&self, more: &str) -> String {
        format!(
            "hardware = {{ manufacturer = \"Acme Devices\", model = \"Vault 7\", firmware = [\"7.3\", \"7.8\"]{more} }}\n"
        )
    }

    fn toml(&self, module: &Path, hardware: &str) -> String {
        let mut text = format!(
            "environment = \"production\"\n[organization]\nname = \"Example Corp\"\norigin = \"{ORIGIN}\"\n\
             [tool]\nsha256 = [\"{}\"]\n[timestamp]\nauthorities = [\"http://tsa.invalid\"]\ntrust = [\"{}\"]\n",
            sha256(Path::new(env!("CARGO_BIN_EXE_keyctl"))),
            self.path("tsa.pem").display(),
        );
        let today = keyctl::clock::Clock::system().now().format("%Y-%m-%d");
        for label in TOKENS {
            text += &format!(
                "[hsm.{label}]\nmodule = {{ path = \"{}\", sha256 = \"{}\" }}\ntoken = \"{label}\"\n\
                 pin = {{ file = \"{}\" }}\n\
                 fips = {{ standard = \"140-3\", level = 3, certificate = \"4700\", checked = \"{today}\" }}\n{hardware}\
                 environment = {{ SOFTHSM2_CONF = \"{}\", WRAPPED_MODULE = \"{}\", WRAPPED_FOLDER = \"{}\" }}\n",
                module.display(),
                sha256(module),
                self.path(&format!("{label}.pin")).display(),
                self.path("softhsm2.conf").display(),
                self.path("engine.so").display(),
                self.path("device").display(),
            );
        }
        let subject = |name: &str| {
            format!(
                "subject = {{ country = \"US\", organization = \"Example Corp\", common_name = \"Example {name}\" }}\n"
            )
        };
        text += &format!(
            "[keys.root]\npurpose = \"root-ca\"\nalgorithm = \"ecdsa-p384\"\nhsm = [\"root\"]\n{}\
             [keys.windows-ca]\npurpose = \"intermediate-ca\"\nissuer = \"root\"\nalgorithm = \"ecdsa-p384\"\n\
             hsm = [\"issuing\"]\ncrl_url = \"http://pki.example/root.crl\"\naia_url = \"http://pki.example/root.crt\"\n{}\
             [keys.ledger]\npurpose = \"ledger\"\nalgorithm = \"ed25519\"\nhsm = [\"log\"]\n",
            subject("Root"),
            subject("CA"),
        );
        text
    }

    fn write(&self, toml: &str) {
        std::fs::write(self.path("keyctl.toml"), toml).expect("keyctl.toml");
    }

    /// Asks for the founding; everyone signs, and it is done.
    fn found(&self) {
        let request = self.team.begin();
        for (email, ..) in PEOPLE {
            self.team.sign(email, ROSTER, &request);
        }
        self.team.keyctl(ALICE, &["init"]).ok();
    }

    /// Asks as Bob, has Alice agree, and does it.
    #[track_caller]
    fn done(&self, args: &[&str]) -> Ran {
        let request = self.team.asks(BOB, args);
        self.team.sign(ALICE, APPROVAL, &request);
        self.team.run(&request).ok()
    }

    /// Changes the workspace's own `keyctl.toml`.
    #[track_caller]
    fn edit(&self, from: &str, to: &str) {
        let path = self.team.place.workspace().join("keyctl.toml");
        let text = std::fs::read_to_string(&path).expect("keyctl.toml");
        assert!(text.contains(from), "{from:?} is not in\n{text}");
        std::fs::write(&path, text.replace(from, to)).expect("keyctl.toml");
    }

    fn logins(&self) -> usize {
        std::fs::read_to_string(self.path("device/logins")).unwrap_or_default().lines().count()
    }

    /// The newest entry of a type in a phase.
    fn newest(&self, entry_type: &str, phase: &str) -> Value {
        let of = |entry: &&Value| entry["type"] == entry_type && entry["body"]["phase"] == phase;
        self.team.place.entries().iter().rfind(of).expect("an entry").clone()
    }

    /// `VERDICT: INPUT` of the gates about hardware in an entry.
    fn hardware_gates(entry: &Value) -> Vec<String> {
        let gates = entry["body"]["gates"].as_array().expect("gates").clone();
        let about = gates.iter().filter(|gate| gate["name"] == "Hardware");
        about
            .map(|gate| format!("{}: {}", gate["verdict"].as_str().unwrap(), gate["input"].as_str().unwrap()))
            .collect()
    }
}

/// Row 1 of the attacks: nothing that is known to be software founds production, whatever is written about it.
#[test]
fn a_plain_software_token_founds_no_production() {
    let scene = Scene::new();
    let refused = |toml: &str, why: &str| {
        scene.write(toml);
        let ran = scene.team.init(ALICE).fails(4, "hardware_not_adopted").says(why);
        assert!(!scene.team.place.workspace().join("ledger.db").exists());
        assert_eq!(scene.logins(), 0, "no PIN reached it");
        ran
    };
    let truly = "hardware = { manufacturer = \"SoftHSM project\", model = \"SoftHSM v2\", firmware = \"2.6\" }\n";
    refused(&scene.toml(&softhsm_module(), truly), "known to be software");
    refused(&scene.toml(&softhsm_module(), &scene.hardware("")), "known to be software");
    // Wrapped as it is, its file gives it away.
    let engine = scene.path("engine.so");
    let renamed = std::fs::read(&engine).expect("read");
    std::fs::copy(softhsm_module(), &engine).expect("copied");
    refused(&scene.toml(&scene.path("module.so"), &scene.hardware("")), "known to be software");
    std::fs::write(&engine, renamed).expect("written");
    // A wrapper that nothing gives away is not taken for that either: people have to adopt it, whole.
    let good = scene.toml(&scene.path("module.so"), &scene.hardware(""));
    let module = format!(
        "{{ path = \"{0}\", sha256 = \"{1}\" }}",
        scene.path("module.so").display(),
        sha256(&scene.path("module.so"))
    );
    let day = format!(", checked = \"{}\"", keyctl::clock::Clock::system().now().format("%Y-%m-%d"));
    let unpinned = format!("\"{}\"", scene.path("module.so").display());
    for (without, why) in [
        (good.replace(&scene.hardware(""), ""), "hardware is not in the adopted settings"),
        (good.replace("Vault 7", "Vault 6"), "adopted is the model Vault 6"),
        (good.replace("\"Acme Devices\"", "\"Acme\""), "adopted is the manufacturer Acme"),
        (good.replace("[\"7.3\", \"7.8\"]", "\"7.2\""), "adopted is firmware 7.2 to 7.2"),
        (good.replace(&module, &unpinned), "module.sha256 is not in the adopted settings"),
        (good.replace(&day, ""), "fips.checked"),
    ] {
        refused(&without, why);
    }
    // Nor by a program that is no release they named.
    let own = sha256(Path::new(env!("CARGO_BIN_EXE_keyctl")));
    scene.write(&good.replace(&own, &"0".repeat(64)));
    scene.team.init(ALICE).fails(4, "tool_not_pinned").says(&own);
    scene.write(&good.replace(&format!("[tool]\nsha256 = [\"{own}\"]\n"), ""));
    scene.team.init(ALICE).fails(4, "tool_not_pinned").says("names no release");
}

/// What people adopted is taken, and called what it is; what is not that any more is not logged in to.
#[test]
fn a_device_that_people_adopted_is_used_on_their_word() {
    let scene = Scene::new();
    let request = scene.team.begin();
    // Who signs reads whose word it will be.
    let file = request.to_str().expect("UTF-8");
    let words =
        scene.team.keyctl("dan@example.com", &["approve", file, "--yes", "--expect", &sha256(&request)]).ok().stderr;
    let module = sha256(&scene.path("module.so"));
    let flat = words.replace("\n           | ", "");
    let said = format!(
        "ASSERTED     root: calls itself Acme Devices Vault 7 firmware 7.3, module {module}; nothing attests this"
    );
    for said in [&said[..], "it is the word of those who sign this founding", "what a token calls itself is a claim"] {
        assert!(flat.contains(said), "{said}\n{words}");
    }
    scene.found();
    scene.done(&["keygen", "root"]);
    let intent = scene.newest("KEY_GENERATED", "intent");
    let gates = Scene::hardware_gates(&intent);
    assert!(gates[0].starts_with("asserted: root: calls itself Acme Devices Vault 7 firmware 7.3"), "{gates:?}");
    assert!(
        gates[0].contains(&module) && gates[0].contains("alice@example.com") && gates[0].contains("who founded"),
        "{gates:?}"
    );
    let named = &intent["body"]["modules"]["root"];
    assert_eq!(
        (named["sha256"].as_str(), named["with_libraries_sha256"].as_str().map(str::len)),
        (Some(&module[..]), Some(64))
    );
    let libraries = &scene.team.place.entries()[0]["body"]["tokens"]["root"]["module"]["libraries"];
    for name in ["engine.so", "device/beside.so", "libcrypto.so.3"] {
        let listed =
            libraries.as_array().expect("libraries").iter().any(|it| it["path"].as_str().unwrap().ends_with(name));
        assert!(listed, "{name}: {libraries}");
    }
    scene.team.anyone(&["status", "--check", "root"]).ok().says("asserted");
    scene.team.anyone(&["doctor"]).ok().says("asserted: root: calls itself");

    // Another device by its own words, another library, another program: each stops before a PIN is sent.
    let waiting = scene.team.asks(BOB, &["keygen", "windows-ca"]);
    scene.team.sign(ALICE, APPROVAL, &waiting);
    let logins = scene.logins();
    for lie in ["model", "firmware"] {
        std::fs::write(scene.path("device").join(lie), "").expect("written");
        scene.team.run(&waiting).fails(4, "hardware_not_adopted").says("adopted is");
        scene.team.anyone(&["doctor"]).exits(6).says("fail: root: calls itself");
        std::fs::remove_file(scene.path("device").join(lie)).expect("removed");
    }
    let beside = std::fs::read(scene.path("device/beside.so")).expect("read");
    std::fs::write(scene.path("device/beside.so"), [&beside[..], b"\0"].concat()).expect("written");
    scene.team.run(&waiting).fails(4, "module_changed").says("which nobody adopted").says("beside.so");
    std::fs::write(scene.path("device/beside.so"), &beside).expect("written");
    let other = scene.path("keyctl-other");
    std::fs::copy(env!("CARGO_BIN_EXE_keyctl"), &other).expect("copied");
    flip_end(&other);
    let id = waiting.file_stem().and_then(|stem| stem.to_str()).expect("an id");
    let plain = scene.team.place.command(&["--workspace", ".keyctl-sandbox", "run", id]);
    let mut command = std::process::Command::new(&other);
    command.args(plain.get_args()).current_dir(scene.path("")).stdin(Stdio::null());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    ran(command.output().expect("runs")).fails(4, "gate_failed").says("Tool fail");
    assert_eq!(scene.logins(), logins, "no PIN was sent");
    surroundings(&scene, &waiting);
    attested(&scene);
    scene.team.anyone(&["audit", "log"]).ok();
}

/// Row 8: variables that lead elsewhere, and those of the loader.
fn surroundings(scene: &Scene, waiting: &Path) {
    let id = waiting.file_stem().and_then(|stem| stem.to_str()).expect("an id");
    let with = |name: &str, value: &Path, args: &[&str]| {
        let mut command = scene.team.place.command(&[&["--workspace", ".keyctl-sandbox"], args].concat());
        ran(command.env(name, value).output().expect("runs"))
    };
    for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GLIBC_TUNABLES"] {
        with(name, Path::new("/nonexistent"), &["run", id]).fails(4, "loader_steered").says(name);
    }
    // A copy of the tokens, with the same serial numbers and PINs: no key is made there.
    let copy = scene.path("copy");
    assert!(tool("cp").arg("-a").arg(scene.path("device/tokens")).arg(&copy).status().expect("cp").success());
    let config = scene.path("copy.conf");
    std::fs::write(&config, format!("directories.tokendir = {}\n", copy.display())).expect("written");
    let objects = |folder: &Path| {
        let found = tool("find").arg(folder).args(["-name", "*.object"]).output().expect("find").stdout;
        String::from_utf8_lossy(&found).lines().count()
    };
    let (here, there) = (objects(&scene.path("device/tokens")), objects(&copy));
    with("SOFTHSM2_CONF", &config, &["run", id]).ok();
    assert_eq!(objects(&copy), there, "the key was made on the copy");
    assert_eq!(objects(&scene.path("device/tokens")), here + 2, "one pair");
    // A file that a variable names is part of what was adopted.
    let named = scene.path("softhsm2.conf");
    let before = std::fs::read_to_string(&named).expect("read");
    std::fs::write(&named, format!("directories.tokendir = {}\n", copy.display())).expect("written");
    scene.team.keyctl(BOB, &["keygen", "windows-ca"]).fails(4, "settings_changed").says("SOFTHSM2_CONF.sha256");
    std::fs::write(&named, before).expect("written");
}

/// Attestation: the module's own validation objects where people take them, and a statement of the vendor.
fn attested(scene: &Scene) {
    let plain = scene.hardware("");
    scene.edit(&plain, &scene.hardware(", attestation = \"validation-object\""));
    scene.team.keyctl(BOB, &["adopt"]).exits(4).says("no validation object");
    std::fs::write(scene.path("device/validation"), "").expect("written");
    scene.done(&["adopt"]);
    let gates = Scene::hardware_gates(&scene.newest("SETTINGS_ADOPTED", "intent"));
    assert_eq!(gates.len(), TOKENS.len());
    for gate in &gates {
        assert!(gate.starts_with("pass: ") && gate.contains("its validation object says level 3"), "{gates:?}");
    }
    scene.team.anyone(&["status", "--check", "root"]).ok().says("its validation object says level 3");
    std::fs::remove_file(scene.path("device/validation")).expect("removed");
    scene.team.anyone(&["doctor"]).exits(6).says("no validation object");

    let serial = |label: &str| {
        let genesis = scene.team.place.entries()[0].clone();
        genesis["body"]["tokens"][label]["token"]["serial"].as_str().expect("a serial").to_owned()
    };
    let serials: Vec<_> = TOKENS.iter().map(|label| serial(label)).collect();
    let statement = |name: &str, said: &str| {
        let (text, made) = (scene.path("said.txt"), scene.path(name));
        std::fs::write(&text, said).expect("written");
        let signed = tool("openssl")
            .args(["cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-in"])
            .arg(&text)
            .arg("-signer")
            .arg(scene.path("vendor.pem"))
            .arg("-inkey")
            .arg(scene.path("vendor.key"))
            .arg("-out")
            .arg(&made)
            .output()
            .expect("openssl");
        assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
        made
    };
    let vendor = tool("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/O=Acme Devices",
        ])
        .arg("-keyout")
        .arg(scene.path("vendor.key"))
        .arg("-out")
        .arg(scene.path("vendor.pem"))
        .output();
    assert!(vendor.expect("openssl").status.success());
    let entry = |file: &Path| {
        let (file, roots) = (file.display(), scene.path("vendor.pem").display().to_string());
        scene.hardware(&format!(", attestation = {{ file = \"{file}\", roots = \"{roots}\" }}"))
    };
    // One about other devices, and one that somebody changed after it was signed.
    let (others, good) = (statement("others.p7", "devices 1 and 2\n"), statement("good.p7", &serials.join(" and ")));
    scene.edit(&scene.hardware(", attestation = \"validation-object\""), &entry(&others));
    scene.team.keyctl(BOB, &["adopt"]).exits(4).says("statement does not hold");
    scene.team.anyone(&["doctor"]).exits(6).says("does not name the serial number");
    let spoiled = scene.path("spoiled.p7");
    let mut bytes = std::fs::read(&good).expect("read");
    let at = bytes.windows(5).position(|window| window == b" and ").expect("the text");
    bytes[at] = b'/';
    std::fs::write(&spoiled, bytes).expect("written");
    scene.edit(&entry(&others), &entry(&spoiled));
    scene.team.keyctl(BOB, &["adopt"]).exits(4).says("statement does not hold");
    scene.edit(&entry(&spoiled), &entry(&good));
    scene.done(&["adopt"]);
    scene.done(&["keygen", "windows-ca"]);
    let gates = Scene::hardware_gates(&scene.newest("KEY_GENERATED", "intent"));
    assert!(
        gates[0].starts_with("pass: issuing: ") && gates[0].contains("under the roots of Acme Devices"),
        "{gates:?}"
    );
}

/// Adds a byte behind the end: the same program, with another hash.
fn flip_end(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("open");
    file.write_all(b"\0").expect("written");
}

//! Workspaces that nobody here pinned, and those that are not where they were.

use crate::support::{Place, Ran, ran, real_pe_files};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A place that got somebody else's sandbox, whose settings run a command as soon as a PIN is needed.
struct Downloaded {
    place: Place,
    mark: PathBuf,
    genesis: String,
}

impl Downloaded {
    fn new() -> Self {
        let (maker, place) = (Place::with_sandbox(), Place::new());
        let genesis = genesis(&maker);
        copy(&maker.workspace(), &place.workspace());
        // An archive says nothing of where it was made.
        let _ = std::fs::remove_file(place.workspace().join("place.json"));
        let mark = place.path("it-ran");
        let command = format!("pin = {{ command = [\"touch\", \"{}\"] }}", mark.display());
        let path = place.workspace().join("keyctl.toml");
        let text = std::fs::read_to_string(&path).expect("settings");
        let lines =
            text.lines().map(|line| if line.trim_start().starts_with("pin ") { command.as_str() } else { line });
        let armed = lines.collect::<Vec<_>>().join("\n");
        assert!(armed.contains(&command), "{text}");
        std::fs::write(path, armed).expect("written");
        place.copy(&real_pe_files()[3], "setup.exe");
        Downloaded { place, mark, genesis }
    }

    /// From inside of the download, with nothing said about a workspace.
    fn inside(&self, args: &[&str]) -> Ran {
        let mut command = self.place.command(args);
        command.env_remove("KEYCTL_WORKSPACE").current_dir(self.place.workspace());
        ran(command.output().expect("runs"))
    }
}

fn genesis(place: &Place) -> String {
    place.sql("SELECT lower(hex(leaf_hash)) FROM entries WHERE seq = 0")
}

fn copy(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(done.expect("cp").success());
}

#[test]
fn a_downloaded_workspace_runs_nothing_before_it_is_trusted() {
    let got = Downloaded::new();
    let before = got.place.files();
    for command in [
        &["sign", "--sandbox", "setup.exe"][..],
        &["init", "--sandbox"],
        &["sign", "setup.exe"],
        &["status"],
        &["doctor"],
        &["recover"],
        &["due"],
        &["keygen", "windows"],
        &["verify", "setup.exe"],
        &["--workspace", ".keyctl-sandbox", "crl"],
    ] {
        println!("{command:?}");
        got.place.keyctl(command).fails(2, "unknown_workspace").says("keyctl trust");
    }
    got.inside(&["status"]).fails(2, "unknown_workspace").says("keyctl trust");
    got.place.keyctl(&["audit", "log"]).fails(6, "no_pin");
    assert!(got.place.files() == before && !got.mark.exists(), "nothing of it ran");

    // What it would run is shown, and still nothing runs; nobody is at a terminal to mean it.
    let row = got.place.keyctl(&["--dry-run", "trust", ".keyctl-sandbox"]).ok().one();
    assert_eq!((&row["genesis"], &row["pinned"]), (&got.genesis.as_str().into(), &false.into()));
    assert!(row["runs"].to_string().contains("it-ran"), "{row}");
    got.place.keyctl(&["trust", ".keyctl-sandbox"]).fails(2, "not_confirmed");
    let other = "00".repeat(32);
    got.place.keyctl(&["trust", ".keyctl-sandbox", "--genesis", &other]).fails(4, "genesis_changed");
    got.place.keyctl(&["status"]).fails(2, "unknown_workspace");
    assert!(!got.mark.exists());

    got.place.keyctl(&["trust", ".keyctl-sandbox", "--genesis", &got.genesis]).ok();
    got.place.keyctl(&["status"]).ok();
    got.place.keyctl(&["trust", ".keyctl-sandbox"]).ok();
    got.inside(&["status"]).ok();
    let _ = got.place.keyctl(&["sign", "setup.exe"]);
    assert!(got.mark.exists(), "now it is used, as it was meant");
}

#[test]
fn a_downloaded_founding_is_not_continued() {
    for left in ["keyctl.toml", "genesis.intent", "tokens", "people"] {
        let place = Place::new();
        place.copy(&real_pe_files()[3], "setup.exe");
        std::fs::create_dir(place.workspace()).expect("made");
        std::fs::set_permissions(place.workspace(), std::fs::Permissions::from_mode(0o700)).expect("mode");
        let mark = place.path("it-ran");
        let settings = keyctl::config::Config::render_default("Example Corp", "sandbox.invalid/keyctl");
        let command = format!("pin = {{ command = [\"touch\", \"{}\"] }}\n", mark.display());
        match left {
            "keyctl.toml" => {
                let armed = settings.lines().map(|line| match line.trim_start().starts_with("pin ") {
                    true => command.clone(),
                    false => format!("{line}\n"),
                });
                std::fs::write(place.workspace().join(left), armed.collect::<String>()).expect("written");
            }
            "genesis.intent" => std::fs::write(place.workspace().join(left), "{}").expect("written"),
            _ => std::fs::create_dir(place.workspace().join(left)).expect("made"),
        }
        place.keyctl(&["sign", "--sandbox", "setup.exe"]).fails(2, "unknown_founding");
        place.keyctl(&["init", "--sandbox"]).fails(2, "unknown_founding").says(left);
        assert!(!mark.exists() && !place.workspace().join("ledger.db").exists());
    }
    let place = Place::new();
    std::fs::create_dir(place.workspace()).expect("made");
    std::fs::set_permissions(place.workspace(), std::fs::Permissions::from_mode(0o700)).expect("mode");
    place.keyctl(&["init", "--sandbox"]).ok();
}

#[test]
fn a_missing_pin_is_as_loud_as_a_corrupt_one() {
    let place = Place::with_sandbox();
    let pins = place.path("state/keyctl/anchors");
    let mut pin = std::fs::read_dir(&pins).expect("pins").map(|entry| entry.expect("entry").path());
    let pin = pin.find(|path| path.extension().is_some_and(|ending| ending == "json")).expect("a pin");
    let good = std::fs::read(&pin).expect("readable");
    std::fs::write(&pin, "{}").expect("written");
    place.keyctl(&["status"]).fails(1, "bad_pin");
    std::fs::remove_file(&pin).expect("removed");
    place.keyctl(&["status"]).fails(1, "pin_missing").says("keyctl trust");
    // Where this user remembers nothing at all, root may.
    std::fs::remove_dir_all(place.path("state")).expect("removed");
    place.keyctl(&["status"]).fails(2, "unknown_workspace");
    let trust = |folder: &Path| {
        let pin: serde_json::Value = serde_json::from_slice(&good).expect("JSON");
        let words = serde_json::json!({ "schema": "keyctl.trust/v1", "workspace_id": pin["workspace_id"], "origin": pin["origin"],
            "folder": folder, "ledger_keys": pin["ledger_keys"], "genesis_leaf_hash": pin["genesis_leaf_hash"] });
        std::fs::create_dir_all(place.path("trust")).expect("made");
        let path = place.path("trust").join(pin["workspace_id"].as_str().expect("an id")).with_extension("json");
        std::fs::write(path, words.to_string()).expect("written");
    };
    trust(&place.workspace().canonicalize().expect("there"));
    if rustix::process::geteuid().is_root() {
        place.keyctl(&["status"]).fails(1, "pin_missing").says("root trusts it");
        // Root vouches for it, so nobody has to be asked.
        place.keyctl(&["trust", ".keyctl-sandbox"]).ok();
        place.keyctl(&["status"]).ok();
    }
}

#[test]
fn a_copied_workspace_is_not_used_beside_the_original() {
    let place = Place::with_sandbox();
    for name in ["a.exe", "b.exe", "c.exe", "d.exe"] {
        place.copy(&real_pe_files()[3], name);
    }
    let copied = place.path("copy");
    copy(&place.workspace(), &copied);
    let there = |args: &[&str]| place.keyctl(&[&["--workspace", "copy"], args].concat());
    there(&["sign", "a.exe"]).fails(4, "workspace_moved").says("keyctl trust --moved");
    there(&["status"]).fails(4, "workspace_moved");
    place.keyctl(&["trust", "copy"]).fails(4, "workspace_moved");
    place.keyctl(&["sign", "a.exe"]).ok();
    place.keyctl(&["trust", "--moved", "copy", "--yes"]).fails(4, "ledger_rolled_back");
    place.keyctl(&["status"]).ok();

    // A move is said once, and then the place that it came from is not used any more.
    std::fs::remove_dir_all(&copied).expect("removed");
    copy(&place.workspace(), &copied);
    place.keyctl(&["trust", "--moved", "copy"]).fails(2, "not_confirmed");
    place.keyctl(&["trust", "--moved", "copy", "--yes"]).ok();
    there(&["sign", "b.exe"]).ok();
    place.keyctl(&["sign", "c.exe"]).fails(4, "workspace_moved");
    std::fs::remove_dir_all(place.workspace()).expect("removed");
    there(&["sign", "c.exe"]).ok();
    there(&["audit", "log"]).ok();
    // And back, under the name that it had.
    std::fs::rename(&copied, place.workspace()).expect("moved");
    place.keyctl(&["sign", "d.exe"]).fails(4, "workspace_moved");
    place.keyctl(&["trust", "--moved", ".keyctl-sandbox", "--yes"]).ok();
    place.keyctl(&["sign", "d.exe"]).ok();
}

#[test]
fn a_workspace_of_another_machine_is_noticed() {
    let place = Place::with_sandbox();
    let path = place.workspace().join("place.json");
    let mut said: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
    if said["place"]["machine"].is_null() {
        eprintln!("skipped: this machine has no /etc/machine-id");
        return;
    }
    said["place"]["machine"] = "ab".repeat(32).into();
    std::fs::write(&path, said.to_string()).expect("written");
    place.keyctl(&["status"]).fails(4, "workspace_moved").says("on another machine");
    place.keyctl(&["trust", "--moved", ".keyctl-sandbox", "--yes"]).ok();
    place.keyctl(&["status"]).ok();
    std::fs::write(&path, "{}").expect("written");
    place.keyctl(&["status"]).fails(4, "bad_place");
    place.keyctl(&["trust", "--moved", ".keyctl-sandbox", "--yes"]).ok();
    place.keyctl(&["status"]).ok();
}

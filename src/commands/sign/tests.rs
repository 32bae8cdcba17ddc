//! A rotation, on a clock that is turned by hand.

use crate::clock::{Clock, Time};
use crate::formats::apt::verify::{Report, verify};
use crate::founding::found;
use crate::gate::{Consent, Plan, step};
use crate::keys::{Generation, State};
use crate::lifecycle::advance;
use crate::model::{Hash256, KeyName};
use crate::pki::openpgp::document::Verdict;
use crate::published::{keyring_files, keyrings};
use crate::request::{ChangeState, SignArtifact};
use crate::signing::sign_repository;
use crate::ui::Ui;
use crate::world::{Globals, World, act};
use chrono::TimeDelta;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The state folder comes from the environment, which a test shares with all others; so this one is run again
/// in a process of its own.
#[test]
fn two_generations_sign_while_clients_change_over() {
    let home = tempfile::tempdir().unwrap();
    let inner = concat!(module_path!(), "::overlap");
    let inner = inner.split_once("::").unwrap().1;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", inner, "--ignored", "--nocapture"])
        .env("XDG_STATE_HOME", home.path().join("state"))
        .env("KEYCTL_TEST_HOME", home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn globals(dir: &Path, clock: &Clock) -> Globals {
    let correlation_id = crate::model::CorrelationId::generate();
    let ui =
        Ui { output: crate::ui::Output::Json, quiet: true, verbose: false, correlation_id: correlation_id.clone() };
    let (workspace, clock) = (Some(dir.join("workspace")), clock.clone());
    Globals {
        workspace,
        actor: None,
        identity: None,
        because: None,
        ticket: None,
        yes: false,
        correlation_id,
        dry_run: false,
        sessions: 1,
        clock,
        ui,
    }
}

fn repository(dir: &Path, date: Time) -> PathBuf {
    let suite = dir.join("stable");
    std::fs::create_dir_all(&suite).unwrap();
    std::fs::write(suite.join("Packages"), "").unwrap();
    let date = date.format("%a, %d %b %Y %H:%M:%S UTC");
    let text = format!("Suite: stable\nDate: {date}\nSHA256:\n {} 0 Packages\n", Hash256::of(b""));
    std::fs::write(suite.join("Release"), text).unwrap();
    suite
}

fn good(report: &Report) -> usize {
    let both = [report.in_release.as_ref().unwrap(), report.release_gpg.as_ref().unwrap()];
    let counts = both.map(|list| list.iter().filter(|one| one.verdict == Verdict::Good).count());
    assert_eq!(counts[0], counts[1]);
    assert_eq!(counts[0], both[0].len(), "{both:?}");
    counts[0]
}

fn change(world: &mut World, generation: &Generation, to: State, reason: &str) -> Generation {
    let id = &generation.id;
    let params = ChangeState { generation: id.clone(), from: generation.state, to, reason: reason.into() };
    let name = &id.key;
    let key = world.settings().unwrap().key(name).unwrap().clone();
    let plan = advance::plan(world, (name, &key), false, Vec::new(), None).unwrap();
    let plan = Plan { steps: vec![step(id.to_string(), &params).unwrap()], ..plan };
    let consent = Consent::of_sandbox(plan, &world.ledger).unwrap();
    act::change_state(world, &consent, generation, to, reason).unwrap()
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn overlap() {
    let dir = PathBuf::from(std::env::var_os("KEYCTL_TEST_HOME").expect("run by the test above"));
    let start = Clock::system().now() - TimeDelta::days(80);
    let clock = Clock::manual(start);
    let globals = globals(&dir, &clock);
    let mut world = found::found(&dir.join("workspace"), &Default::default(), &globals).unwrap();
    let suite = repository(&dir, start);
    let name: KeyName = "apt".parse().unwrap();
    let old = keyring_files::certificates(&world, &name).unwrap();
    let sign = |world: &mut World| {
        world.globals.correlation_id = crate::model::CorrelationId::generate();
        let (receipt, _) = sign_repository(world, name.clone(), &suite).unwrap();
        let params: SignArtifact = serde_json::from_value(receipt.intent().body["request"]["params"].clone()).unwrap();
        let gates = receipt.intent().body["gates"].as_array().unwrap().len();
        let keyring = keyring_files::published_keyrings(world).unwrap();
        let now = world.globals.clock.now();
        let (ours, stale) = (verify(&suite, &keyring, now).unwrap(), verify(&suite, &old, now).unwrap());
        assert!(ours.is_clean(), "{ours:?}");
        (params, gates, good(&ours), stale.is_accepted())
    };
    let (params, alone, signatures, _) = sign(&mut world);
    assert_eq!((params.generation.to_string().as_str(), params.cosigners.len(), signatures), ("apt/1", 0, 1));

    clock.turn(TimeDelta::days(76));
    let key = world.settings().unwrap().key(&name).unwrap().clone();
    let plan = advance::plan(&world, (&name, &key), false, Vec::new(), None).unwrap();
    let consent = Consent::of_sandbox(plan, &world.ledger).unwrap();
    let second = advance::advance(&mut world, &consent, &name, &key).unwrap();
    keyrings::publish(&mut world).unwrap();
    let first = world.active(&name).unwrap();
    change(&mut world, &first, State::Retiring, "its successor takes over");
    let second = change(&mut world, &second, State::Staged, "published");
    change(&mut world, &second, State::Active, "takes over");

    clock.turn(TimeDelta::days(2));
    let (params, gates, signatures, stale) = sign(&mut world);
    assert_eq!((params.generation.to_string().as_str(), signatures), ("apt/2", 2));
    assert_eq!(params.cosigners.iter().map(ToString::to_string).collect::<Vec<_>>(), ["apt/1"]);
    assert!(gates > alone, "the older generation has gates of its own");
    assert!(stale, "clients with the old keyring accept it still");
    let keyring = dir.join("workspace/published/apt/apt.pgp");
    let gpgv = |file: &str| {
        let mut command = Command::new("gpgv");
        command.args(["--status-fd", "1", "--keyring"]).arg(&keyring).arg(suite.join(file));
        String::from_utf8_lossy(&command.output().expect("gpgv is installed").stdout).into_owned()
    };
    let said = gpgv("InRelease");
    assert_eq!(said.matches("GOODSIG").count(), 2, "{said}");

    clock.turn(TimeDelta::days(12));
    let (params, _, signatures, stale) = sign(&mut world);
    assert_eq!((params.cosigners.len(), signatures), (0, 1), "at 90 days it stops");
    assert!(!stale, "clients without the new keyring are left behind by then");
}

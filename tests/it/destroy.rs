//! Destroying keys: what goes, what stays, and what a lying module or a killed process makes of it.

use crate::support::{Place, Ran, tool};
use crate::team::{APPROVAL, Team};
use crate::tokens::*;
use keyctl::evidence;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;

fn softhsm() -> Tokens {
    let tokens = Tokens::softhsm(&["hsm"]);
    tokens.init(&p256_hierarchy(&[hsm("hsm", &softhsm_module(), FROM_ENV)], ["hsm"; 3])).ok();
    tokens
}

fn lying() -> Tokens {
    let tokens = Tokens::lying(&["hsm"]);
    tokens.init(&p256_hierarchy(&[hsm("hsm", lying_module(), FROM_ENV)], ["hsm"; 3])).ok();
    tokens
}

fn state(place: &Place, generation: &str) -> String {
    let (key, number) = generation.split_once('/').unwrap();
    place.sql(&format!("SELECT state FROM generations WHERE key = '{key}' AND number = {number}"))
}

fn cka_id(place: &Place, generation: &str) -> String {
    let (key, number) = generation.split_once('/').unwrap();
    let field = "json_extract(doc, '$.identities[0].copies[0].cka_id')";
    place.sql(&format!("SELECT {field} FROM generations WHERE key = '{key}' AND number = {number}"))
}

fn entries(place: &Place) -> String {
    place.sql("SELECT count(*) FROM entries")
}

/// How many objects the sandbox's signing token holds, read without keyctl.
fn objects(place: &Place) -> u32 {
    let database = place.workspace().join("tokens/primary/token.sql");
    let output = tool("sqlite3").arg(&database).arg("SELECT count(DISTINCT id) FROM objects").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

#[test]
fn a_generation_that_never_served_is_destroyed_with_evidence() {
    let place = Place::with_sandbox();
    place.keyctl(&["keygen", "windows"]).ok().says("windows/2");
    let (before, on_token) = (entries(&place), objects(&place));
    let plan = place.keyctl(&["--dry-run", "destroy", "windows/2"]).ok();
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    let request = &plan["steps"][0];
    assert_eq!((&request["operation"], &request["params"]["from"]), (&"destroy".into(), &"certified".into()));
    assert_eq!(request["params"]["copies"][0]["cka_id"], cka_id(&place, "windows/2"));
    // Nobody is at the terminal to type it.
    place.keyctl(&["destroy", "windows/2"]).fails(2, "not_confirmed").says("--yes");
    assert_eq!((entries(&place), objects(&place)), (before, on_token));

    let row = place.keyctl(&["--yes", "destroy", "windows/2"]).ok().one();
    assert_eq!(row["state"], "destroyed");
    assert_eq!(objects(&place), on_token - 2, "one pair, and nothing else");
    let outcome = place.entries().pop().unwrap();
    assert_eq!((&outcome["type"], &outcome["body"]["result"]), (&"KEY_DESTROYED".into(), &"ok".into()));
    let fragment =
        place.workspace().join("evidence").join(format!("{}.json", outcome["body"]["fragment_id"].as_str().unwrap()));
    let value: Value = serde_json::from_slice(&std::fs::read(&fragment).unwrap()).unwrap();
    let schema: Value = serde_json::from_str(evidence::SCHEMA).unwrap();
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let event = &value["destruction_event"];
    assert_eq!((&event["state_before"], &event["state"]), (&"certified".into(), &"destroyed".into()));
    let copy = &event["copies"][0];
    assert_eq!((&copy["private_object"], &copy["public_object"]), (&"destroyed".into(), &"destroyed".into()));
    let mut wrong = value.clone();
    wrong["destruction_event"]["copies"][0]["private_object"] = "kept".into();
    assert!(!validator.is_valid(&wrong));
    place.copy(&fragment, "evidence.json");
    place.copy(&place.published("ledger.pub"), "ledger.pub");
    place.keyctl(&["verify", "evidence.json", "--ledger-key", "ledger.pub"]).ok();

    // Again: it is done already. The number is not given again, and the other generation signs.
    let before = entries(&place);
    place.keyctl(&["--yes", "destroy", "windows/2"]).ok().says("destroyed already");
    assert_eq!(entries(&place), before);
    let register: Value = serde_json::from_slice(&std::fs::read(place.published("keys.json")).unwrap()).unwrap();
    let status =
        register["keys"].as_array().unwrap().iter().find(|key| key["generation"] == 2).unwrap()["status"].clone();
    assert_eq!(status, "destroyed");
    place.keyctl(&["keygen", "windows"]).ok().says("windows/3");
    place.copy(&crate::support::real_pe_files()[3], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok();
    place.keyctl(&["audit", "log"]).ok();
    place.keyctl(&["recover"]).ok().says("nothing was interrupted");
}

#[test]
fn what_serves_stays_and_so_does_what_is_not_there() {
    let place = Place::with_sandbox();
    for serving in ["windows/1", "apt/1", "ledger/1"] {
        place.keyctl(&["--yes", "destroy", serving]).fails(4, "gate_failed").says("Status");
        assert_eq!(state(&place, serving), "active");
    }
    let refused = place.entries();
    let refused = refused.iter().filter(|entry| entry["body"]["phase"] == "refused").count();
    assert_eq!(refused, 3, "a no is an entry too");
    place.keyctl(&["--yes", "destroy", "windows/7"]).fails(2, "unknown_generation");
    place.keyctl(&["--yes", "destroy", "windows"]).exits(2);
}

#[test]
fn other_programs_see_it_gone_and_everything_else_still_there() {
    let tokens = softhsm();
    tokens.keyctl(&["keygen", "windows"]).ok();
    let (doomed, kept) = (cka_id(&tokens.place, "windows/2"), cka_id(&tokens.place, "windows/1"));
    let before = tokens.objects("hsm");
    assert_eq!((before.matches(&doomed).count(), before.matches(&kept).count()), (2, 2), "{before}");
    tokens.keyctl(&["--yes", "destroy", "windows/2"]).ok();
    let after = tokens.objects("hsm");
    assert_eq!((after.matches(&doomed).count(), after.matches(&kept).count()), (0, 2), "{after}");
    assert_eq!(after.matches("Object;").count(), before.matches("Object;").count() - 2);
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_cas_key_goes_only_with_its_token() {
    let tokens = softhsm();
    tokens.keyctl(&["keygen", "root"]).ok().says("root/2");
    let before = tokens.objects("hsm");
    let ran = tokens.keyctl(&["--yes", "destroy", "root/2"]).exits(4).says("undestroyable");
    let ran = ran.says("it goes only with its token").says("security officer");
    assert!(!ran.stderr.contains("KEY_DESTROYED"), "{}", ran.stderr);
    assert_eq!((state(&tokens.place, "root/2").as_str(), tokens.objects("hsm") == before), ("certified", true));
    // Where the token itself says so, and the record does not know.
    let tokens = lying();
    tokens.keyctl(&["keygen", "windows"]).ok();
    tokens.tell("prohibited");
    tokens.keyctl(&["--yes", "destroy", "windows/2"]).fails(4, "key_forbids").says("CKR_ACTION_PROHIBITED");
    assert_eq!(state(&tokens.place, "windows/2"), "certified");
    tokens.tell("honest");
    tokens.keyctl(&["recover"]).ok().says("nothing was interrupted");
    assert_eq!(tokens.objects("hsm").matches(&cka_id(&tokens.place, "windows/2")).count(), 2);
}

#[test]
fn a_quarantined_key_may_go_and_nss_lets_even_a_ca_go() {
    let tokens = Tokens::softhsm(&["hsm"]);
    let init_args = nss_database(&tokens.path("nss"));
    let nss = format!(
        "[hsm.nss]\nmodule = {{ path = \"{}\", init_args = \"{init_args}\" }}\ntoken = \"NSS Certificate DB\"\npin = {FROM_ENV}\n",
        nss_module().display()
    );
    tokens.init(&p256_hierarchy(&[hsm("hsm", &softhsm_module(), FROM_ENV), nss], ["hsm"; 3])).ok();
    let more = key("other", "authenticode", "ecdsa-p256", "nss", "issuer = \"windows-ca\"")
        + &key("other-ca", "root-ca", "ecdsa-p256", "nss", "");
    tokens.edit("[keys.ledger]", &format!("{more}\n[keys.ledger]"));
    tokens.keyctl(&["adopt"]).ok();
    for name in ["other", "other-ca"] {
        tokens.keyctl(&["keygen", name]).exits(4).says("quarantined");
        let id = format!("{name}/1");
        assert_eq!(state(&tokens.place, &id), "generated");
        tokens.keyctl(&["--yes", "destroy", &id]).ok().says("destroyed");
        assert_eq!(state(&tokens.place, &id), "destroyed");
    }
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_module_that_says_destroyed_is_not_believed() {
    let tokens = lying();
    tokens.keyctl(&["keygen", "windows"]).ok();
    let id = cka_id(&tokens.place, "windows/2");
    tokens.tell("not-destroyed");
    tokens.keyctl(&["--yes", "destroy", "windows/2"]).fails(1, "module_answer").says("is still there");
    assert_eq!(state(&tokens.place, "windows/2"), "certified");
    tokens.tell("honest");
    tokens.keyctl(&["recover"]).ok().says("nothing was interrupted");
    assert_eq!(tokens.objects("hsm").matches(&id).count(), 2);

    // Done, and then no answer: the token is asked at once.
    tokens.tell("once-removed-after");
    tokens.keyctl(&["--yes", "destroy", "windows/2"]).ok().says("nothing of the key is left").says("destroyed");
    assert_eq!(
        (state(&tokens.place, "windows/2").as_str(), tokens.objects("hsm").matches(&id).count()),
        ("destroyed", 0)
    );
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_token_that_goes_away_in_between_is_asked_again_by_recover() {
    let tokens = lying();
    tokens.keyctl(&["keygen", "windows"]).ok();
    let id = cka_id(&tokens.place, "windows/2");
    tokens.tell("removed-before");
    tokens.keyctl(&["--yes", "destroy", "windows/2"]).exits(3).says("keyctl recover");
    assert_eq!(state(&tokens.place, "windows/2"), "certified");
    tokens.keyctl(&["--yes", "destroy", "windows/2"]).fails(4, "orphaned_intent").says("keyctl recover");
    tokens.keyctl(&["recover"]).exits(3);
    tokens.tell("honest");
    let row = tokens.keyctl(&["recover"]).ok().one();
    assert_eq!((&row["type"], &row["result"]), (&"KEY_DESTROYED".into(), &"done".into()), "{row}");
    assert_eq!(
        (state(&tokens.place, "windows/2").as_str(), tokens.objects("hsm").matches(&id).count()),
        ("destroyed", 0)
    );
    let intents = tokens.place.entries();
    let intents = intents.iter().filter(|entry| entry["type"] == "KEY_DESTROYED" && entry["body"]["phase"] == "intent");
    assert_eq!(intents.count(), 1, "under the same intent");
    tokens.keyctl(&["recover"]).ok().says("nothing was interrupted");
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_destruction_that_is_cut_at_any_step_is_finished_by_recover() {
    let tokens = lying();
    for (number, lie) in [(2, "abort-before"), (3, "once-abort-after")] {
        let generation = format!("windows/{number}");
        tokens.keyctl(&["keygen", "windows"]).ok().says(&generation);
        let id = cka_id(&tokens.place, &generation);
        tokens.tell(lie);
        let mut child = tokens.command(&["--yes", "destroy", &generation]);
        let status = child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(!status.success());
        tokens.tell("honest");
        let left = tokens.objects("hsm").matches(&id).count();
        assert_eq!(left, if number == 2 { 2 } else { 1 }, "{lie}");
        let row = tokens.keyctl(&["recover"]).ok().one();
        assert_eq!(row["result"], "done", "{row}");
        assert_eq!(
            (state(&tokens.place, &generation).as_str(), tokens.objects("hsm").matches(&id).count()),
            ("destroyed", 0)
        );
    }
    tokens.keyctl(&["audit", "log"]).ok();
}

/// On the builtin token: SoftHSM itself may lose a whole token when it is killed while it logs in.
#[test]
fn a_destruction_that_is_killed_at_any_moment_is_finished() {
    let place = Place::with_sandbox();
    place.keyctl(&["keygen", "windows"]).ok();
    let start = std::time::Instant::now();
    place.keyctl(&["--yes", "destroy", "windows/2"]).ok();
    let whole = start.elapsed();
    let on_token = objects(&place);
    const ROUNDS: u32 = 12;
    for round in 1..=ROUNDS {
        let generation = format!("windows/{}", round + 2);
        place.keyctl(&["keygen", "windows"]).ok().says(&generation);
        assert_eq!(objects(&place), on_token + 2);
        let mut command = place.command(&["--yes", "destroy", &generation]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * round / ROUNDS);
        // SIGKILL; it may have ended by itself just now.
        let _ = child.kill();
        child.wait().unwrap();
        place.keyctl(&["recover"]).ok();
        place.keyctl(&["--yes", "destroy", &generation]).ok();
        assert_eq!((state(&place, &generation).as_str(), objects(&place)), ("destroyed", on_token), "round {round}");
        let evidence = std::fs::read_dir(place.workspace().join("evidence")).unwrap().count();
        assert_eq!(evidence as u32, round + 1, "one fragment for each, also when it is late");
    }
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_generation_that_was_only_planned_is_closed_when_nothing_is_found() {
    let tokens = lying();
    tokens.tell("no-randomness");
    tokens.keyctl(&["keygen", "windows"]).ok();
    tokens.edit(
        "[keys.ledger]",
        &format!("{}\n[keys.ledger]", key("twin", "authenticode", "ecdsa-p256", "hsm", "issuer = \"windows-ca\"")),
    );
    tokens.keyctl(&["adopt"]).ok();
    tokens.keyctl(&["keygen", "twin"]).exits(1).says("public_key_seen");
    tokens.tell("honest");
    assert_eq!(state(&tokens.place, "twin/1"), "planned");
    // A pair is there, and nobody knows which key it should be: another generation has the same one.
    tokens.keyctl(&["--yes", "destroy", "twin/1"]).fails(1, "key_unconfirmed");
    assert_eq!(state(&tokens.place, "twin/1"), "planned");
    // The same public key twice: destroying one pair would not destroy the key.
    tokens.keyctl(&["--yes", "destroy", "windows/2"]).fails(1, "key_ambiguous");
    assert_eq!(tokens.objects("hsm").matches("label:      twin/").count(), 2);

    let tokens = softhsm();
    tokens.edit("{ env = \"TOKEN_PIN\" }", "{ env = \"NO_SUCH_PIN\" }");
    tokens.keyctl(&["keygen", "windows"]).exits(1).says("no_pin");
    tokens.edit("{ env = \"NO_SUCH_PIN\" }", "{ env = \"TOKEN_PIN\" }");
    assert_eq!(state(&tokens.place, "windows/2"), "planned");
    tokens.keyctl(&["--yes", "destroy", "windows/2"]).ok().says("destroyed");
    tokens.keyctl(&["keygen", "windows"]).ok().says("windows/3");
    tokens.keyctl(&["audit", "log"]).ok();
}

/// A command that takes two people: one asks, another agrees, and it is run. Gives what the run gave.
fn agreed(team: &Team, asks: &str, approves: &str, args: &[&str]) -> Ran {
    let row = team.keyctl(asks, args).fails(5, "approval_needed").one();
    team.sign(approves, APPROVAL, &PathBuf::from(row["request"].as_str().unwrap()));
    team.keyctl(asks, &["--yes", "run", row["request_id"].as_str().unwrap()])
}

#[test]
fn outside_a_sandbox_it_takes_two_people_and_exactly_this_key() {
    const ALICE: &str = "alice@example.com";
    const BOB: &str = "bob@example.com";
    const CAROL: &str = "carol@example.com";
    let team = Team::founded();
    for key in ["root", "windows-ca", "windows", "windows"] {
        agreed(&team, BOB, ALICE, &["keygen", key]).ok();
    }
    let place = &team.place;
    let before = entries(place);
    team.anyone(&["--yes", "destroy", "windows/2"]).fails(4, "identity_needed");
    assert_eq!(entries(place), before);
    // Packagers do not destroy keys, and nobody does it alone.
    let row = team.keyctl(CAROL, &["--yes", "destroy", "windows/2"]).fails(5, "approval_needed").one();
    let (request, id) =
        (PathBuf::from(row["request"].as_str().unwrap()), row["request_id"].as_str().unwrap().to_owned());
    team.sign(ALICE, APPROVAL, &request);
    team.keyctl(CAROL, &["--yes", "run", &id]).fails(5, "approval_needed");
    assert_eq!(state(place, "windows/2"), "certified");
    // An approval is for this generation.
    let row = team.keyctl(BOB, &["destroy", "windows/2"]).fails(5, "approval_needed").one();
    let document: Value = serde_json::from_slice(&std::fs::read(row["request"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!((&document["operation"], &document["object"]), (&"destroy".into(), &"windows/2".into()));
    assert_eq!(document["steps"][0]["params"]["copies"][0]["cka_id"], cka_id(place, "windows/2"));
    team.sign(ALICE, APPROVAL, &PathBuf::from(row["request"].as_str().unwrap()));
    let id = row["request_id"].as_str().unwrap();
    // Who runs it has to mean it as well.
    team.keyctl(BOB, &["run", id]).fails(2, "not_confirmed");
    assert_eq!(state(place, "windows/2"), "certified");
    team.keyctl(BOB, &["--yes", "run", id]).ok().says("destroyed");
    assert_eq!(state(place, "windows/2"), "destroyed");
    let outcome = place.entries().pop().unwrap();
    let path =
        place.workspace().join("evidence").join(format!("{}.json", outcome["body"]["fragment_id"].as_str().unwrap()));
    let fragment: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let people: Vec<_> =
        fragment["approvals"].as_array().unwrap().iter().map(|it| it["email"].as_str().unwrap()).collect();
    assert_eq!(people, [BOB, ALICE]);
    team.anyone(&["audit", "log"]).ok();
}

#[test]
fn a_key_that_served_goes_after_its_overlap_and_its_signatures_stay() {
    let place = Place::with_sandbox();
    place.copy(&crate::support::real_pe_files()[3], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok();
    place.keyctl(&["rotate", "windows", "--now"]).ok();
    place.keyctl(&["--yes", "destroy", "windows/1"]).fails(4, "gate_failed").says("retiring");
    let later = keyctl::clock::Clock::system().now() + chrono::TimeDelta::days(40);
    place.keyctl_at(later, &["rotate", "windows"]).ok();
    assert_eq!(state(&place, "windows/1"), "revoked", "superseded, as the settings have it");
    let before = objects(&place);
    let soon = later + chrono::TimeDelta::minutes(5);
    place.keyctl_at(soon, &["--yes", "destroy", "windows/1"]).ok().says("destroyed");
    assert_eq!((state(&place, "windows/1").as_str(), objects(&place)), ("destroyed", before - 2));
    place.copy(&crate::support::real_pe_files()[3], "new.exe");
    place.keyctl_at(soon, &["sign", "new.exe"]).ok().says("windows/2");
    place.keyctl_at(soon, &["crl"]).ok();
    place.keyctl_at(soon, &["audit", "log"]).ok();

    // The signature has no timestamp here: it holds for the time before the key was superseded.
    let before = keyctl::clock::rfc3339(later - chrono::TimeDelta::days(1));
    place.keyctl_at(soon, &["verify", "app.exe", "--at", &before]).ok().says("windows/1");
    place.keyctl_at(soon, &["verify", "app.exe"]).fails(6, "revoked").says("superseded");
}

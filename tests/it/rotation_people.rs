//! Rotation where people have to agree: a staging workspace.

use crate::interruption::nothing_is_left;
use crate::rotation::{are, steps};
use crate::support::{Ran, ran, tool};
use crate::team::{APPROVAL, Team, staging};
use crate::tokens::dying_library;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";

/// Asks, and has Alice approve it with `ssh-keygen`.
#[track_caller]
fn agreed(team: &Team, asks: &str, args: &[&str]) -> PathBuf {
    let request = team.asks(asks, args);
    team.sign(ALICE, APPROVAL, &request);
    request
}

/// The same, and does it.
#[track_caller]
fn done(team: &Team, asks: &str, args: &[&str]) -> Ran {
    team.run(&agreed(team, asks, args)).ok()
}

/// A workspace with its keys for Windows artifacts.
fn windows() -> Team {
    let team = Team::founded();
    done(&team, BOB, &["keygen", "root"]);
    done(&team, BOB, &["keygen", "windows-ca"]);
    done(&team, CAROL, &["keygen", "windows"]);
    team
}

/// What a request lists: each act and what it is done to.
fn acts(request: &Path) -> Vec<String> {
    let word = |step: &Value, name: &str| step[name].as_str().expect("a word").to_owned();
    let steps = document(request)["steps"].as_array().expect("steps").clone();
    steps.iter().map(|step| format!("{} {}", word(step, "operation"), word(step, "object"))).collect()
}

fn document(request: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(request).expect("a request")).expect("JSON")
}

/// The parameters of each step as it was planned.
fn params(request: &Path, operation: &str) -> Vec<Value> {
    let steps = document(request)["steps"].as_array().expect("steps").clone();
    steps.into_iter().filter(|step| step["operation"] == operation).map(|step| step["params"].clone()).collect()
}

/// What the intents of this type say in one member.
fn intended(team: &Team, entry: &str, generation: &str, member: &str) -> String {
    team.place.sql(&format!(
        "SELECT json_extract(leaf, '$.body.request.params.{member}') FROM entries \
         WHERE json_extract(leaf, '$.type') = '{entry}' AND json_extract(leaf, '$.body.phase') = 'intent' \
         AND json_extract(leaf, '$.body.request.params.generation') = '{generation}'"
    ))
}

fn at(team: &Team, time: DateTime<Utc>, email: Option<&str>, args: &[&str]) -> Ran {
    let mut all = vec!["--workspace".to_owned(), ".keyctl-sandbox".to_owned()];
    all.extend(email.into_iter().flat_map(|email| ["--identity".into(), team.key(email).display().to_string()]));
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    team.place.keyctl_at(time, &all.iter().map(String::as_str).collect::<Vec<_>>())
}

/// When the certificate of a key's first generation was issued.
fn issued(team: &Team, key: &str) -> DateTime<Utc> {
    let sql = format!(
        "SELECT json_extract(doc, '$.identities[0].credential.not_before') FROM generations \
         WHERE key = '{key}' AND number = 1"
    );
    keyctl::clock::parse(&team.place.sql(&sql)).expect("a time")
}

fn id(request: &Path) -> &str {
    request.file_stem().and_then(|stem| stem.to_str()).expect("an id")
}

#[test]
fn everything_that_a_rotation_does_was_in_its_request() {
    let team = windows();
    // Whoever does not prove who they are gets no request written.
    team.anyone(&["rotate", "windows", "--now"]).fails(4, "identity_needed");
    let before = team.place.entries().len();
    let request = team.asks(CAROL, &["rotate", "windows", "--now"]);
    let asked = document(&request);
    assert_eq!(asked["operation"], "rotate");
    assert_eq!(asked["command"], json!(["rotate", "windows", "--now"]));
    let expected = ["keygen windows/2", "issue windows/2", "test windows/2", "state windows/2", "activate windows/2"];
    assert_eq!(acts(&request), expected);
    team.run(&request).fails(5, "approval_needed");
    // Who asks does not approve as well.
    team.sign(CAROL, APPROVAL, &request);
    team.run(&request).fails(5, "approval_needed");
    assert_eq!(team.place.entries().len(), before, "nothing was done");

    team.sign(ALICE, APPROVAL, &request);
    let row = team.run(&request).ok().json().pop().expect("a row");
    assert_eq!((&row["result"], &row["generation"]), (&json!("rotated"), &json!("windows/2")));
    are(&team.place, "windows", &["retiring", "active"]);
    // What could be known is what was agreed to.
    let (keygen, issue) = (&params(&request, "keygen")[0], &params(&request, "issue")[0]);
    assert_eq!(intended(&team, "KEY_GENERATED", "windows/2", "cka_id"), keygen["cka_id"]);
    assert_eq!(intended(&team, "CERTIFICATE_ISSUED", "windows/2", "serial"), issue["serial"]);
    assert_eq!(intended(&team, "CERTIFICATE_ISSUED", "windows/2", "template_sha256"), issue["template_sha256"]);
    assert_eq!(intended(&team, "KEY_TESTED", "windows/2", "nonce"), params(&request, "test")[0]["nonce"]);
    // The evidence names who agreed, and stands by itself.
    let path = row["evidence"].as_str().expect("a path");
    let fragment: Value = serde_json::from_slice(&std::fs::read(path).expect("evidence")).expect("JSON");
    let people: Vec<_> = fragment["approvals"].as_array().expect("people").iter().map(|it| &it["email"]).collect();
    assert!(people.contains(&&json!(ALICE)) && people.contains(&&json!(CAROL)), "{people:?}");
    team.anyone(&["verify", path]).ok();
    // It was for once.
    team.run(&request).fails(4, "request_consumed");
    team.anyone(&["audit", "log"]).ok();
}

#[test]
fn what_was_agreed_to_for_one_key_or_one_rotation_is_not_for_another() {
    let team = windows();
    let rotate = ["rotate", "windows", "--now"];
    let (first, second) = (agreed(&team, CAROL, &rotate), agreed(&team, CAROL, &rotate));
    team.run(&first).ok();
    // The key has moved since the second was agreed to.
    let ran = team.run(&second);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    are(&team.place, "windows", &["retiring", "active"]);
    // Somebody edits the command after it was signed.
    let third = agreed(&team, CAROL, &rotate);
    let text = std::fs::read_to_string(&third).expect("a request");
    let edited = text.replace("[\"rotate\",\"windows\",\"--now\"]", "[\"rotate\",\"root\",\"--now\"]");
    assert_ne!(text, edited);
    std::fs::write(&third, edited).expect("written");
    assert_ne!(team.run(&third).code, 0);
    are(&team.place, "root", &["active"]);
    are(&team.place, "windows", &["retiring", "active"]);
    // An engineer and a reviewer together do not roll a root.
    let root = agreed(&team, CAROL, &["rotate", "root", "--now"]);
    team.run(&root).fails(5, "approval_needed");
    are(&team.place, "root", &["active"]);
}

#[test]
fn a_rotation_that_people_agreed_to_goes_on_under_the_same_request_wherever_it_dies() {
    let team = windows();
    let request = agreed(&team, CAROL, &["rotate", "windows", "--now"]);
    let copy = |from: &str, to: &str| {
        let _ = std::fs::remove_dir_all(team.place.path(to));
        let copied = tool("cp").arg("-a").arg(team.place.path(from)).arg(team.place.path(to)).status();
        assert!(copied.expect("cp").success());
    };
    copy(".keyctl-sandbox", "base");
    copy("state", "base-state");
    let (mut deaths, mut halves) = (0, 0);
    for step in (1..).step_by(2) {
        assert!(step < 100, "it never gets through");
        copy("base", ".keyctl-sandbox");
        copy("base-state", "state");
        let mut command = team.place.command(&["--workspace", ".keyctl-sandbox", "run", id(&request)]);
        command.env("LD_PRELOAD", dying_library()).env("DYING_PATH", ".keyctl-sandbox");
        command.env("DYING_KIND", "sync").env("DYING_AT", step.to_string());
        if ran(command.output().expect("the binary runs")).code != -1 {
            break;
        }
        deaths += 1;
        let again = team.run(&request);
        if again.stderr.contains("cka_id_spent") {
            // Half a pair stays where it is, so the approval of that pair is of no use any more.
            assert_eq!(again.code, 5, "step {step}: {}", again.stderr);
            halves += 1;
            team.anyone(&["recover"]).ok();
            let request = agreed(&team, CAROL, &["rotate", "windows", "--now"]);
            team.run(&request).ok();
            are(&team.place, "windows", &["retiring", "active"]);
            team.anyone(&["audit", "log"]).ok();
            continue;
        }
        assert!(again.code == 0 || again.stderr.contains("request_consumed"), "step {step}: {}", again.stderr);
        are(&team.place, "windows", &["retiring", "active"]);
        let pairs = "SELECT count(*) FROM intents WHERE type = 'KEY_GENERATED' AND generation = 'windows/2'";
        assert_eq!(team.place.sql(pairs), "1", "step {step}");
        assert_eq!(team.place.sql("SELECT count(*) FROM intents WHERE outcome IS NULL"), "0", "step {step}");
        let serial = &params(&request, "issue")[0]["serial"];
        assert_eq!(intended(&team, "CERTIFICATE_ISSUED", "windows/2", "serial"), *serial, "step {step}");
        team.anyone(&["recover"]).ok();
        team.anyone(&["audit", "log"]).ok();
        nothing_is_left(&team.place);
    }
    println!("died {deaths} times, {halves} of them between the halves of a pair");
    assert!(deaths >= 10 && halves <= 3, "{deaths}, {halves}");
}

#[test]
fn a_root_is_rolled_with_both_links_as_they_were_planned() {
    let team = windows();
    let request = agreed(&team, BOB, &["rotate", "root", "--now"]);
    assert_eq!(document(&request)["operation"], "rotate-ca");
    let links = ["link root/2 with root/1", "link root/1 with root/2"];
    let expected =
        [&["keygen root/2", "issue root/2"][..], &links, &["test root/2", "state root/2", "activate root/2"]].concat();
    assert_eq!(acts(&request), expected);
    team.run(&request).ok();
    are(&team.place, "root", &["retiring", "active"]);
    let planned = params(&request, "link");
    for (generation, file, params) in
        [("root/2", "root-2-with-root-1.pem", &planned[0]), ("root/1", "root-1-with-root-2.pem", &planned[1])]
    {
        assert_eq!(intended(&team, "ROOTS_LINKED", generation, "serial"), params["serial"]);
        let file = team.place.published("certs").join(file);
        let output = tool("openssl").args(["x509", "-noout", "-serial", "-in"]).arg(file).output().expect("openssl");
        let serial = String::from_utf8(output.stdout).expect("text").to_lowercase();
        let planned = params["serial"].as_str().expect("hex").trim_start_matches('0');
        assert_eq!(serial.trim().trim_start_matches("serial=").trim_start_matches('0'), planned);
    }
}

#[test]
fn an_apt_key_waits_for_its_clients_and_people_agree_to_its_takeover_then() {
    let team = Team::founded();
    done(&team, BOB, &["keygen", "apt-root"]);
    done(&team, CAROL, &["keygen", "apt"]);
    let request = agreed(&team, CAROL, &["rotate", "apt", "--now"]);
    assert_eq!(acts(&request), ["keygen apt/2", "certify apt/2", "test apt/2", "state apt/2"]);
    let ran = team.run(&request).ok().says("so that clients have its keyring; next: keyctl rotate apt");
    let row = ran.json().pop().expect("a row");
    assert_eq!((&row["result"], &row["waits_for"]), (&json!("waiting"), &json!("clients")), "{row}");
    let ready = keyctl::clock::parse(row["until"].as_str().expect("a time")).expect("a time");
    are(&team.place, "apt", &["active", "staged"]);
    // Until then there is nothing to ask for.
    let second = TimeDelta::seconds(1);
    let row = at(&team, ready - second, Some(CAROL), &["rotate", "apt"]).ok().json().pop().expect("a row");
    assert_eq!(row["result"], "waiting");
    let ran = at(&team, ready, Some(CAROL), &["rotate", "apt"]).fails(5, "approval_needed");
    let row = ran.json().into_iter().find(|row| row["request"].is_string()).expect("a request");
    let request = PathBuf::from(row["request"].as_str().expect("a path"));
    assert_eq!(acts(&request), ["activate apt/2"]);
    team.sign(ALICE, APPROVAL, &request);
    at(&team, ready, None, &["run", id(&request)]).ok();
    are(&team.place, "apt", &["retiring", "active"]);
}

#[test]
fn a_timer_does_what_a_grant_covers_and_lists_the_rest() {
    let team = windows();
    let due = issued(&team, "windows") + TimeDelta::days(80);
    // Without a grant everything waits, and nothing happens.
    let rows = at(&team, due, None, &["--actor", BOB, "due"]).exits(5).json();
    let of = |rows: &[Value], key: &str| rows.iter().find(|row| row["key"] == key).cloned().unwrap_or_default();
    for key in ["root", "windows-ca", "windows"] {
        let row = of(&rows, key);
        assert_eq!(row["result"], "waits for people", "{row}");
        assert_eq!(row["command"], format!("keyctl rotate {key}"));
        are(&team.place, key, &["active"]);
    }

    // Given at that time: the ledger's time does not go back.
    let ran = at(&team, due, Some(CAROL), &["grant", "windows"]).fails(5, "approval_needed");
    let row = ran.json().into_iter().find(|row| row["request"].is_string()).expect("a request");
    let request = PathBuf::from(row["request"].as_str().expect("a path"));
    team.sign(ALICE, APPROVAL, &request);
    at(&team, due, None, &["run", id(&request)]).ok();
    let rows = at(&team, due, None, &["--actor", BOB, "due"]).exits(5).json();
    let row = of(&rows, "windows");
    assert_eq!((&row["what"], &row["result"]), (&json!("rotation"), &json!("done")), "{row}");
    assert_eq!(steps(&row), ["generate", "certify", "publish", "test", "stage", "activate"]);
    are(&team.place, "windows", &["retiring", "active"]);
    assert_eq!(of(&rows, "root")["result"], "waits for people");
    are(&team.place, "root", &["active"]);
    // Once more, it makes nothing for this key.
    at(&team, due, None, &["--actor", BOB, "due"]).exits(5);
    are(&team.place, "windows", &["retiring", "active"]);

    // The grant goes on to the end of the old one.
    let over = due + TimeDelta::days(31);
    let rows = at(&team, over, None, &["--actor", BOB, "due"]).exits(5).json();
    let row = of(&rows, "windows");
    assert_eq!((&row["what"], &row["result"]), (&json!("retirement"), &json!("done")), "{row}");
    assert_eq!(steps(&row), ["retire", "revoke"]);
    are(&team.place, "windows", &["revoked", "active"]);
}

/// Threat "rogue engineer": what counted when it was given has to count when it is used, and a CA signs for nobody unknown.
#[test]
fn a_grant_ends_with_the_role_that_counted_and_a_timer_of_nobody_gets_no_list() {
    let team = windows();
    let due = issued(&team, "windows") + TimeDelta::days(80);
    let lists = || team.place.sql("SELECT count(*) FROM crls WHERE sha256 IS NOT NULL");
    let before = lists();
    let nobody = ["--actor", "nobody@example.com", "due"];
    let ran =
        at(&team, due, None, &nobody).exits(4).says("Actor fail: nobody@example.com (asserted) is not in the roster");
    let row = ran.json().into_iter().find(|row| row["what"] == "revocation list").expect("a row");
    assert_eq!((&row["result"], &row["error"]["code"]), (&json!("failed"), &json!("gate_failed")), "{row}");
    assert_eq!(lists(), before);
    at(&team, due, None, &["--actor", CAROL, "due"]).exits(4).says("carol@example.com (asserted), ");
    assert_eq!(lists(), before, "a packaging engineer has no role for it");

    let ran = at(&team, due, Some(CAROL), &["grant", "windows"]).fails(5, "approval_needed");
    let asked = |ran: Ran| {
        let row = ran.json().into_iter().find(|row| row["request"].is_string()).expect("a request");
        PathBuf::from(row["request"].as_str().expect("a path"))
    };
    let request = asked(ran);
    team.sign(ALICE, APPROVAL, &request);
    at(&team, due, None, &["run", id(&request)]).ok();
    // Alice stays, and reviews no more.
    let file = team.place.workspace().join("roster.toml");
    let text = std::fs::read_to_string(&file).expect("roster.toml");
    let (alice, rest) = text.split_once("[people.\"bob").expect("bob");
    let alice = alice.replace("version = 1", "version = 2").replace("security-reviewer", "packaging-engineer");
    std::fs::write(&file, format!("{alice}[people.\"bob{rest}")).expect("written");
    let request = asked(at(&team, due, Some(BOB), &["adopt", "--roster"]).fails(5, "approval_needed"));
    team.sign("erin@example.com", APPROVAL, &request);
    at(&team, due, None, &["run", id(&request)]).ok();

    let ran = at(&team, due, None, &["--actor", BOB, "due"]).exits(4);
    ran.says("GrantRoles fail: alice@example.com is no longer security-reviewer");
    are(&team.place, "windows", &["active"]);
    assert_ne!(lists(), before, "and for a platform admin the lists are signed");
}

#[test]
fn the_end_of_a_retired_key_is_agreed_to_as_a_revocation() {
    let team = windows();
    done(&team, CAROL, &["rotate", "windows", "--now"]);
    let over = issued(&team, "windows") + TimeDelta::days(32);
    let ran = at(&team, over, Some(CAROL), &["rotate", "windows"]).fails(5, "approval_needed");
    let row = ran.json().into_iter().find(|row| row["request"].is_string()).expect("a request");
    let request = PathBuf::from(row["request"].as_str().expect("a path"));
    assert_eq!(acts(&request), ["state windows/1"]);
    team.sign(ALICE, APPROVAL, &request);
    let next = "keyctl revoke windows/1 --reason superseded";
    at(&team, over, None, &["run", id(&request)]).ok().says(next);
    are(&team.place, "windows", &["retired", "active"]);
    let rows = at(&team, over, None, &["--actor", BOB, "due"]).exits(5).json();
    let row = rows.iter().find(|row| row["key"] == "windows").expect("a row");
    assert_eq!((&row["result"], &row["command"]), (&json!("waits for people"), &json!(next)), "{row}");
    // Neither does `rotate` do it by itself.
    at(&team, over, Some(CAROL), &["rotate", "windows"]).ok().says(next);
    are(&team.place, "windows", &["retired", "active"]);
}

#[test]
fn a_review_is_agreed_to_and_with_it_what_it_leads_to() {
    let team = Team::new();
    let text = staging().replace("[keys.root]\n", "[keys.root]\nrotation = \"review\"\n");
    std::fs::write(team.place.path("keyctl.toml"), text).expect("written");
    let request = team.begin();
    for (email, ..) in crate::team::PEOPLE {
        team.sign(email, crate::team::ROSTER, &request);
    }
    team.init(ALICE).ok();
    done(&team, BOB, &["keygen", "root"]);
    let until = (issued(&team, "root") + TimeDelta::days(80)).format("%Y-%m-%d").to_string();
    let keep = ["rotate", "root", "--review=-- well kept", "--keep-until", &until];
    let request = agreed(&team, BOB, &keep);
    assert_eq!(acts(&request), ["review root/1"]);
    let row = team.run(&request).ok().one();
    assert_eq!((&row["result"], &row["active"]), (&json!("kept"), &json!("root/1")), "{row}");
    assert!(row["until"].as_str().expect("a time").starts_with(&until), "{row}");
    // Another review may say otherwise, and then the successor is part of what is agreed to.
    let request = agreed(&team, BOB, &["rotate", "root", "--review", "the vault moves"]);
    assert_eq!(acts(&request)[..3], ["review root/1", "keygen root/2", "issue root/2"]);
    team.run(&request).ok();
    are(&team.place, "root", &["retiring", "active"]);
}

//! Who may sign, and on the strength of whose approval: a staging workspace with people, whose approvals `ssh-keygen`
//! makes and checks.

use crate::support::{Ran, real_pe_files, tool};
use crate::team::{APPROVAL, ORIGIN, Team};
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;

const CAROL: &str = "carol@example.com";
const DAN: &str = "dan@example.com";
const CAB: &str = "keyctl-cab-v1";

/// A staging workspace with an active key for Windows artifacts, and files to sign with it.
struct Scene {
    team: Team,
}

impl Scene {
    fn new(files: usize) -> Self {
        let scene = Scene { team: Team::founded() };
        scene.agreed("bob@example.com", "alice@example.com", &["keygen", "root"]);
        scene.agreed("bob@example.com", "alice@example.com", &["keygen", "windows-ca"]);
        scene.agreed(CAROL, "alice@example.com", &["keygen", "windows"]);
        let real = real_pe_files();
        for number in 0..files {
            let file = scene.team.place.copy(&real[3], &name(number));
            // Each is another file.
            let mut bytes = std::fs::read(&file).expect("readable");
            bytes.extend_from_slice(&[number as u8; 8]);
            std::fs::write(file, bytes).expect("writable");
        }
        scene
    }

    /// Asks, has somebody approve, and runs it.
    fn agreed(&self, asks: &str, approves: &str, args: &[&str]) -> Ran {
        let asked = self.team.keyctl(asks, args).fails(5, "approval_needed");
        let row = asked.json().into_iter().find(|row| row["request"].is_string()).expect("a request");
        self.team.sign(approves, APPROVAL, &PathBuf::from(row["request"].as_str().expect("a path")));
        self.team.keyctl(asks, &["run", row["request_id"].as_str().expect("an id")]).ok()
    }

    /// The binary, used by somebody who is only named.
    fn named(&self, email: &str, args: &[&str]) -> Ran {
        self.team.anyone(&[&["--actor", email], args].concat())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.team.place.path(name)
    }

    /// Carol drafts an approval of these files; gives its name.
    fn draft(&self, name: &str, files: &[&str], more: &[&str]) -> Value {
        self.named(CAROL, &[&["cab", "--to", name], files, more].concat()).ok().one()
    }

    /// `ssh-keygen -Y sign` as this person types it, which writes FILE.sig.
    fn ssh_keygen_signs(&self, email: &str, namespace: &str, file: &str) {
        let _ = std::fs::remove_file(self.path(&format!("{file}.sig")));
        let output = tool("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", &format!("{namespace}@{ORIGIN}"), "-f"])
            .arg(self.team.key(email))
            .arg(self.path(file))
            .output()
            .expect("ssh-keygen");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Whether `ssh-keygen -Y verify` takes FILE.sig for this person's approval of these bytes.
    fn ssh_keygen_accepts(&self, email: &str, file: &str, bytes: &[u8]) -> bool {
        let (signers, input) = (self.path("signers"), self.path("input"));
        std::fs::write(&signers, format!("{email} {}\n", self.team.line(email))).expect("written");
        std::fs::write(&input, bytes).expect("written");
        let output = tool("ssh-keygen")
            .args(["-Y", "verify", "-n", &format!("{CAB}@{ORIGIN}"), "-I", email, "-f"])
            .arg(&signers)
            .arg("-s")
            .arg(self.path(&format!("{file}.sig")))
            .stdin(std::fs::File::open(&input).expect("input"))
            .output();
        output.expect("ssh-keygen").status.success()
    }

    /// Changes a draft, and has it signed anew.
    fn changed(&self, file: &str, to: &str, change: impl Fn(&mut Value)) {
        let mut value: Value = serde_json::from_slice(&std::fs::read(self.path(file)).expect("read")).expect("JSON");
        change(&mut value);
        std::fs::write(self.path(to), keyctl::crypto::jcs::to_vec(&value).expect("canonical")).expect("written");
        self.ssh_keygen_signs(DAN, CAB, to);
    }

    /// Whether osslsigncode takes a file for signed. The lists of this CA are nowhere to be fetched.
    fn osslsigncode_accepts(&self, file: &str) -> bool {
        let root = self.team.place.published("certs/root-1.pem");
        let mut command = tool("osslsigncode");
        command.args(["verify", "-ignore-cdp", "-ignore-crl", "-CAfile"]).arg(root).arg("-in").arg(self.path(file));
        let output = command.output().expect("osslsigncode runs");
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("Number of verified signatures: 1")
    }

    fn fragment(&self, row: &Value) -> Value {
        let path = row["evidence"].as_str().expect("a path");
        self.team.anyone(&["verify", path]).ok();
        serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON")
    }
}

fn name(number: usize) -> String {
    format!("{number}.exe")
}

fn gate<'a>(fragment: &'a Value, name: &str) -> &'a Value {
    let gates = fragment["gates"].as_array().expect("gates");
    gates.iter().find(|gate| gate["name"] == name).unwrap_or_else(|| panic!("no {name} in {gates:?}"))
}

#[test]
fn only_people_of_the_roster_sign_outside_a_sandbox() {
    let scene = Scene::new(3);
    for (who, words) in [
        (DAN, "dan@example.com (asserted), cab-approver"),
        ("alice@example.com", "security-reviewer"),
        ("zoe@example.com", "is not in the roster"),
    ] {
        scene.named(who, &["sign", "0.exe"]).fails(4, "gate_failed").says("Actor fail").says(words);
    }
    // Nobody said who it is.
    scene.team.anyone(&["sign", "0.exe"]).fails(4, "gate_failed").says("is not in the roster");
    let row = scene.named(CAROL, &["sign", "0.exe"]).ok().one();
    let fragment = scene.fragment(&row);
    assert_eq!(fragment["actor"], json!({ "email": CAROL, "assurance": "asserted" }));
    assert!(gate(&fragment, "Actor")["limit"].as_str().expect("words").starts_with("asserted or proven"));
    assert_eq!(fragment["approvals"], json!([]));

    // With her own key she proves it, and her signature over what she asked for is in evidence.
    let row = scene.team.keyctl(CAROL, &["sign", "1.exe"]).ok().one();
    let fragment = scene.fragment(&row);
    assert_eq!(fragment["actor"]["assurance"], "proven");
    assert_eq!(fragment["approvals"][0]["as"], "requester");
    assert_eq!(fragment["approvals"][0]["email"], CAROL);
    let dry = scene.team.keyctl(CAROL, &["--dry-run", "sign", "2.exe"]).ok().one();
    assert_eq!((&dry["verdicts"][0]["result"], &dry["threshold"]), (&"allow".into(), &1.into()));
    // The key says who it is, whatever is claimed.
    let claimed = ["--actor", "alice@example.com", "sign", "2.exe"];
    scene.team.keyctl(CAROL, &claimed).fails(2, "actor_not_identity");
    // Dan may not sign, and a colleague who may has to agree first.
    let dan = scene.team.keyctl(DAN, &["sign", "2.exe"]).fails(5, "approval_needed");
    let row = dan.json().into_iter().find(|row| row["request"].is_string()).expect("a request");
    scene.team.sign(CAROL, APPROVAL, &PathBuf::from(row["request"].as_str().expect("a path")));
    scene.team.keyctl(DAN, &["run", row["request_id"].as_str().expect("an id")]).ok();
    assert!(scene.osslsigncode_accepts("2.exe"));
    scene.team.keyctl(DAN, &["run", row["request_id"].as_str().expect("an id")]).fails(4, "request_consumed");
    scene.team.anyone(&["audit", "log"]).ok();
}

#[test]
fn files_are_signed_on_the_strength_of_the_boards_approval() {
    let scene = Scene::new(6);
    let files = ["0.exe", "1.exe", "2.exe", "3.exe"];
    let condition = "only after 22:00";
    let drafted = scene.draft("cab.json", &files, &["--count", "3", "--condition", condition]);
    assert_eq!((drafted["approver"].as_str(), drafted["count"].as_u64()), (Some(DAN), Some(3)));
    assert_eq!(drafted["namespace"], format!("{CAB}@{ORIGIN}"));
    let sign = |who: &str, args: &[&str]| scene.named(who, &[&["sign", "--cab", "cab.json"], args].concat());
    sign(CAROL, &["0.exe"]).fails(2, "cab_not_signed");

    // Dan approves on his machine; stock ssh-keygen takes it, and no other bytes.
    let key = scene.team.key(DAN);
    let sha256 = drafted["sha256"].as_str().expect("a hash");
    let approve = ["--identity", key.to_str().expect("UTF-8"), "approve", "cab.json", "--yes", "--expect", sha256];
    scene.team.place.keyctl(&approve).ok().says(condition).says("3.exe");
    let bytes = std::fs::read(scene.path("cab.json")).expect("read");
    assert!(scene.ssh_keygen_accepts(DAN, "cab.json", &bytes));
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut other = bytes.clone();
        other[at] ^= 1;
        assert!(!scene.ssh_keygen_accepts(DAN, "cab.json", &other));
    }

    // Each condition, word for word; no file that is not named.
    sign(CAROL, &["0.exe"]).fails(4, "gate_failed").says("not acknowledged: \\\"only after 22:00\\\"");
    sign(CAROL, &["--acknowledge", "after 22:00", "0.exe"]).fails(2, "no_such_condition").says(condition);
    let acknowledged = ["--acknowledge", condition];
    let sign = |who: &str, file: &str| sign(who, &[&acknowledged[..], &[file]].concat());
    sign(CAROL, "4.exe").fails(4, "gate_failed").says("the file is not among its artifacts");
    sign(DAN, "0.exe").fails(4, "gate_failed").says("the requester never approves");
    let dry = scene.named(CAROL, &["--dry-run", "sign", "--cab", "cab.json", "--acknowledge", condition, "0.exe"]);
    assert_eq!(dry.ok().one()["verdicts"][0]["result"], "allow");
    let row = sign(CAROL, "0.exe").ok().one();
    assert_eq!(row["cab"], drafted["approval_id"]);
    let fragment = scene.fragment(&row);
    let cab = &fragment["cab"];
    assert_eq!((cab["authentication"].as_str(), cab["document_sha256"].as_str()), (Some("signed"), Some(sha256)));
    assert_eq!(cab["acknowledged"], json!([condition]));
    let approver = &fragment["approvals"][0];
    assert_eq!((approver["email"].as_str(), approver["as"].as_str()), (Some(DAN), Some("approver")));
    assert_eq!(approver["request_sha256"], sha256);
    std::fs::write(scene.path("evidence.sig"), approver["signature"].as_str().expect("armour")).expect("written");
    assert!(scene.ssh_keygen_accepts(DAN, "evidence", &bytes), "evidence carries the signature itself");
    let input = gate(&fragment, "CabApproval")["input"].as_str().expect("words");
    assert!(input.contains("signed by dan@example.com, use 1 of 3"), "{input}");

    // Two are left, and two processes want three.
    let running: Vec<_> = [vec!["1.exe"], vec!["2.exe", "3.exe"]]
        .into_iter()
        .map(|files| {
            let args = ["--workspace", ".keyctl-sandbox", "--actor", CAROL, "sign", "--cab", "cab.json"];
            let mut command = scene.team.place.command(&[&args[..], &acknowledged[..], &files].concat());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
        })
        .collect();
    let rows: Vec<_> = running
        .into_iter()
        .flat_map(|child| crate::support::ran(child.wait_with_output().expect("it ends")).json())
        .collect();
    let signed = rows.iter().filter(|row| row["result"] == "signed").count();
    assert_eq!((rows.len(), signed), (3, 2), "{rows:?}");
    let left = rows.iter().find(|row| row["result"] == "failed").expect("one is left");
    assert!(left["error"]["message"].as_str().expect("words").contains("used up"), "{left}");
    assert_eq!(scene.team.place.sql("SELECT count(*) FROM cab_uses"), "3");
    assert_eq!(scene.team.place.sql("SELECT count(*) FROM cab_papers"), "1");
    // Opened again in the table, none of them gives its use back.
    crate::forged::reopen_signatures(&scene.team.place);
    scene.named(CAROL, &["recover"]).fails(4, "tables_changed");
    assert_eq!(scene.team.place.sql("SELECT count(*) FROM cab_uses"), "3");
    scene.team.place.sql(
        "UPDATE intents SET request = NULL, result = 'ok', outcome = (SELECT seq FROM entries
         WHERE json_extract(CAST(leaf AS TEXT), '$.body.intent') = intents.seq) WHERE outcome IS NULL",
    );
    // What was signed is not signed again for the asking.
    let mut id = scene.team.place.command(&["--workspace", ".keyctl-sandbox", "audit", "log"]);
    assert!(id.output().expect("the binary runs").status.success());
}

#[test]
fn an_approval_for_something_else_or_by_somebody_else_is_no_approval() {
    let scene = Scene::new(4);
    let draft = scene.draft("cab.json", &["0.exe", "1.exe"], &["--count", "2"]);
    let refused = |file: &str, words: &str| {
        let ran = scene.named(CAROL, &["sign", "--cab", file, "0.exe"]).fails(4, "gate_failed");
        ran.says("CabApproval fail").says(words)
    };
    scene.ssh_keygen_signs(CAROL, CAB, "cab.json");
    refused("cab.json", "signed by carol@example.com, not by the approver dan@example.com");
    scene.ssh_keygen_signs(DAN, APPROVAL, "cab.json");
    refused("cab.json", "its signature does not count: is for");
    scene.changed("cab.json", "other.json", |doc| doc["workspace_id"] = "6f1c2b8e-0000-4000-8000-000000000001".into());
    refused("other.json", "missing: it is for the staging workspace 6f1c2b8e");
    scene.changed("cab.json", "other.json", |doc| doc["environment"] = "production".into());
    refused("other.json", "missing: it is for the production workspace");
    scene.changed("cab.json", "other.json", |doc| doc["status"] = "pending".into());
    refused("other.json", "missing: it is pending");
    scene.changed("cab.json", "other.json", |doc| doc["approver"] = "erin@example.com".into());
    refused("other.json", "signed by dan@example.com, not by the approver erin@example.com");
    scene.changed("cab.json", "other.json", |doc| {
        doc["approver"] = "alice@example.com".into();
    });
    scene.ssh_keygen_signs("alice@example.com", CAB, "other.json");
    refused("other.json", "alice@example.com, who is no cab-approver");
    // A byte changed after it was signed; a file that is none; two approvals of one name in a file.
    scene.ssh_keygen_signs(DAN, CAB, "cab.json");
    let text = std::fs::read_to_string(scene.path("cab.json")).expect("read");
    std::fs::write(scene.path("other.json"), text.replace("\"count\":2", "\"count\":9")).expect("written");
    std::fs::copy(scene.path("cab.json.sig"), scene.path("other.json.sig")).expect("copied");
    refused("other.json", "is not over these bytes");
    for bad in [text.replace("\"count\":2", "\"count\":2,\"count\":2"), text.replace("0.exe", "\\u202e0.exe")] {
        std::fs::write(scene.path("other.json"), bad).expect("written");
        scene.named(CAROL, &["sign", "--cab", "other.json", "0.exe"]).fails(2, "bad_cab");
    }
    // Its time is over, or has not come.
    let later = ["--workspace", ".keyctl-sandbox", "--actor", CAROL, "--dry-run", "sign", "--cab", "cab.json", "0.exe"];
    let ran = scene.team.place.keyctl_at(keyctl::clock::Clock::system().now() + TimeDelta::days(8), &later).exits(4);
    assert!(ran.stdout.contains("missing: it expired at"), "{}", ran.stdout);
    // It is good after all that, in one file with its signature too.
    let bundle = text.clone() + "\n" + &std::fs::read_to_string(scene.path("cab.json.sig")).expect("read");
    std::fs::write(scene.path("bundle.txt"), bundle).expect("written");
    let unsigned = std::fs::read(scene.path("0.exe")).expect("read");
    let job = ["--correlation-id", "job-1", "sign", "--cab", "bundle.txt", "0.exe"];
    scene.named(CAROL, &job).ok();
    // A job that is retried gets the same again, as long as the board stands by it.
    std::fs::write(scene.path("0.exe"), &unsigned).expect("written");
    assert_eq!(scene.named(CAROL, &job).ok().one()["result"], "replayed");
    std::fs::write(scene.path("0.exe"), &unsigned).expect("written");

    // The board withdraws it.
    let id = draft["approval_id"].as_str().expect("an id");
    scene.named(CAROL, &["cab", "--withdraw", "cab.json", "--to", "withdrawn.json"]).ok();
    scene.ssh_keygen_signs(CAROL, CAB, "withdrawn.json");
    scene.named(CAROL, &["cab", "--record", "withdrawn.json"]).fails(4, "not_withdrawn");
    let still = ["--dry-run", "sign", "--cab", "cab.json", "1.exe"];
    assert_eq!(scene.named(CAROL, &still).ok().one()["verdicts"][0]["result"], "allow");
    scene.ssh_keygen_signs(DAN, CAB, "withdrawn.json");
    let row = scene.named(CAROL, &["cab", "--record", "withdrawn.json"]).ok().one();
    assert_eq!(row["approval_id"], id);
    let ran = scene.named(CAROL, &["sign", "--cab", "cab.json", "1.exe"]).fails(4, "gate_failed");
    ran.says("missing: it was withdrawn");
    scene.named(CAROL, &job).fails(4, "cab_withdrawn");
    assert_eq!(std::fs::read(scene.path("0.exe")).expect("read"), unsigned);
    scene.team.anyone(&["audit", "log"]).ok();
}

#[test]
fn the_unsigned_file_is_taken_in_staging_and_says_what_it_is() {
    let scene = Scene::new(3);
    let list = json!({ "cab": [
        { "approval_id": "CAB-1", "status": "approved", "expiry": "2999-01-01T00:00:00+01:00", "conditions": ["a"] },
        { "approval_id": "cab-2", "status": "on hold", "expiry": "2999-01-01T00:00:00Z", "conditions": [] },
        { "approval_id": "cab-3", "status": "approved", "expiry": "2020-01-01T00:00:00Z", "conditions": [] },
    ] });
    std::fs::write(scene.path("cab.json"), list.to_string()).expect("written");
    let sign = |args: &[&str]| scene.named(CAROL, &[&["sign", "--cab", "cab.json"], args, &["0.exe"]].concat());
    sign(&[]).fails(2, "which_approval").says("cab-1, cab-2, cab-3");
    sign(&["--cab-id", "cab-2"]).fails(4, "gate_failed").says("missing: it is on hold");
    sign(&["--cab-id", "cab-3"]).fails(4, "gate_failed").says("missing: it expired");
    sign(&["--cab-id", "cab-4"]).fails(4, "gate_failed").says("missing: there is no such approval");
    sign(&["--cab-id", "cab-1"]).fails(4, "gate_failed").says("not acknowledged");
    let row = sign(&["--cab-id", "cab-1", "--acknowledge", "a"]).ok().one();
    let fragment = scene.fragment(&row);
    assert_eq!(fragment["cab"]["authentication"], "unauthenticated");
    assert_eq!(fragment["approvals"], json!([]), "nobody approved");
    let input = gate(&fragment, "CabApproval")["input"].as_str().expect("words");
    assert!(input.starts_with("cab-1 unauthenticated, until 2998-12-31T23:00:00Z"), "{input}");
    assert_eq!(scene.team.place.sql("SELECT signed FROM cab_uses"), "0");

    let proven = ["--dry-run", "sign", "--re-sign", "0.exe"];
    assert_eq!(scene.team.keyctl(CAROL, &proven).exits(5).one()["verdicts"][0]["result"], "needs-approval");
    // Signing again takes somebody who proves it, and two people; what anyone could have written stands for one here.
    scene.named(CAROL, &["sign", "--re-sign", "0.exe"]).fails(4, "gate_failed").says("Actor fail").says("(asserted)");
    let again = ["sign", "--re-sign", "--cab", "cab.json", "--cab-id", "cab-1", "--acknowledge", "a", "0.exe"];
    scene.named(CAROL, &again).fails(4, "gate_failed").says("Actor fail");
    let old = scene.fragment(&row)["artifact"]["artifact_id"].clone();
    let row = scene.team.keyctl(CAROL, &again).ok().one();
    assert_eq!(row["supersedes"], old);
    let fragment = scene.fragment(&row);
    assert_eq!(fragment["approvals"].as_array().map(Vec::len), Some(1), "she who asks");
    assert_eq!(fragment["artifact"]["supersedes"]["artifact_id"], old);
    // Without it, the request waits for the board: Dan approves what Carol asks, and it is run.
    let ran = scene.agreed(CAROL, DAN, &["sign", "--re-sign", "0.exe"]);
    let fragment = scene.fragment(&ran.one());
    let people: Vec<_> =
        fragment["approvals"].as_array().expect("people").iter().map(|it| it["email"].clone()).collect();
    assert_eq!(people, [CAROL, DAN]);
    assert!(scene.osslsigncode_accepts("0.exe"));
    scene.team.anyone(&["audit", "log"]).ok();
}

#[test]
fn a_draft_says_what_it_approves_and_is_never_written_over() {
    let place = crate::support::Place::with_sandbox();
    place.copy(&real_pe_files()[3], "app.exe");
    let draft = ["cab", "app.exe", "--id", "CAB-7", "--ticket", "CHG-1"];
    place.keyctl(&[&["--dry-run"], &draft[..]].concat()).ok();
    assert!(!place.path("cab.json").exists());
    let row = place.keyctl(&draft).ok().one();
    assert_eq!((row["approval_id"].as_str(), row["approver"].as_str()), (Some("cab-7"), Some("cab@sandbox.invalid")));
    let document: Value = serde_json::from_slice(&std::fs::read(place.path("cab.json")).expect("read")).expect("JSON");
    let hash = keyctl::model::Hash256::of(&std::fs::read(place.path("app.exe")).expect("read")).to_string();
    assert_eq!(document["artifacts"], json!({ hash: "app.exe" }));
    assert_eq!((document["ticket"].as_str(), document["environment"].as_str()), (Some("CHG-1"), Some("sandbox")));
    place.keyctl(&draft).fails(1, "target_exists");
    let by_another = ["--actor", "cab@sandbox.invalid", "cab", "app.exe", "--to", "other.json"];
    place.keyctl(&by_another).fails(2, "no_approver");
    for bad in [
        ["--until", "2020-01-01T00:00:00Z"],
        ["--until", "2999-01-01T00:00:00Z"],
        ["--condition", ""],
        ["--condition", "a\nb"],
    ] {
        place.keyctl(&[&draft[..], &bad, &["--to", "bad.json"]].concat()).fails(2, "bad_cab");
        assert!(!place.path("bad.json").exists());
    }
    place.keyctl(&["cab", "--withdraw", "app.exe"]).fails(2, "bad_cab");
    std::fs::write(place.path("list.json"), r#"{"cab":[]}"#).expect("written");
    place.keyctl(&["cab", "--record", "list.json"]).exits(2);
    place.keyctl(&["sign", "--cab", "list.json", "app.exe"]).fails(2, "no_approval");
    place.keyctl(&["sign", "--cab", "none.json", "app.exe"]).fails(2, "not_found");
}

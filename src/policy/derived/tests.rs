use super::*;
use crate::keys::{RevocationReason, State};
use crate::ledger::testing::acts;
use crate::model::KeyAlgorithm;
use crate::people::request::TokenSummary;
use crate::people::request::tests::example;
use crate::request::Request;
use serde_json::{Value, json};

/// As a plan has it: without what is open.
fn step<O: Operation>(request: &Request<O>) -> Step {
    let mut params = serde_json::to_value(&request.params).unwrap();
    params.as_object_mut().unwrap().retain(|name, _| !O::KIND.open().contains(&name.as_str()));
    Step { operation: O::NAME.into(), object: request.object.clone(), params }
}

fn token(serial: &str) -> TokenSummary {
    let text = |text: &str| text.to_owned();
    TokenSummary {
        serial: serial.to_owned(),
        label: text("label"),
        manufacturer: text("maker"),
        model: text("model"),
        firmware: text("1"),
        module_sha256: None,
    }
}

fn request(rule: Rule, object: &str, command: &str, steps: Vec<Step>) -> ApprovalRequest {
    let subjects = subjects(&steps).unwrap().into_iter().map(|subject| (subject, 7)).collect();
    let named = tokens(&steps).unwrap().named;
    ApprovalRequest {
        operation: rule,
        object: object.to_owned(),
        command: command.split(' ').map(str::to_owned).collect(),
        subjects,
        tokens: named.iter().map(|(hsm, serial)| (hsm.clone(), token(serial))).collect(),
        steps,
        not_after: example().created_at + chrono::TimeDelta::hours(4),
        ..example()
    }
}

fn keygen() -> Step {
    let made = acts::keygen("windows/3", Purpose::Authenticode, KeyAlgorithm::EcdsaP256, "primary");
    step(&made)
}

fn revoke(generation: &str) -> Step {
    step(&acts::revoke(generation, RevocationReason::KeyCompromise, "05-01", Some(("windows-ca/1", 4))))
}

fn rotation() -> ApprovalRequest {
    let steps = vec![
        keygen(),
        step(&acts::issue("windows/3", "windows-ca/1", "0a")),
        step(&acts::step("windows/2", State::Active, State::Retiring)),
    ];
    request(Rule::Rotate, "windows/3", "rotate windows --now", steps)
}

fn revocation() -> ApprovalRequest {
    request(Rule::Revoke, "windows/1", "revoke windows/1 --reason keyCompromise", vec![revoke("windows/1")])
}

fn signing() -> ApprovalRequest {
    let one = step(&acts::sign("windows/1", 1));
    let name = one.params["name"].as_str().unwrap().to_owned();
    request(Rule::Sign, &name, &format!("sign --key windows -- /srv/{name}"), vec![one])
}

fn said(request: &ApprovalRequest) -> Option<String> {
    match read(&request.to_bytes().unwrap()) {
        Ok(same) => {
            assert_eq!(same, *request);
            None
        }
        Err(error) => {
            assert_eq!(error.code(), "bad_request");
            Some(error.full())
        }
    }
}

#[test]
fn requests_that_say_what_their_steps_do_are_taken() {
    let several = || vec![step(&acts::sign("windows/1", 1)), step(&acts::sign("windows/1", 2))];
    let names: Vec<_> = several().iter().map(|step| step.params["name"].as_str().unwrap().to_owned()).collect();
    let list = |ca: &str| step(&acts::crl(ca, 1));
    let good = [
        rotation(),
        revocation(),
        signing(),
        request(Rule::Keygen, "windows/3", "keygen windows --csr /x.csr", vec![keygen()]),
        request(Rule::Crl, "windows-ca", "crl", vec![list("windows-ca/1"), list("windows-ca/2")]),
        request(Rule::Crl, "windows-ca", "crl windows-ca --now", vec![list("windows-ca/1")]),
        request(Rule::Crl, "lists", "crl --no-fetch", vec![list("windows-ca/1"), list("root/1")]),
        request(
            Rule::Compromise,
            "windows/1",
            "compromise windows/1 --incident=INC-1",
            vec![keygen(), revoke("windows/1")],
        ),
        // The revocation is left for later, and then only told.
        request(Rule::Compromise, "windows", "compromise windows/1 --incident INC-1", vec![keygen()]),
        request(Rule::Crl, "windows/1", "compromise windows/1 --incident INC-1", vec![revoke("windows/1")]),
        request(Rule::Sign, "2 files", &format!("sign --hash sha256 -- /a/{} /b/{}", names[0], names[1]), several()),
    ];
    for request in good {
        assert_eq!(said(&request), None, "{request:?}");
    }
}

type Change = fn(&mut ApprovalRequest);

/// A change that makes a request say otherwise than its steps, with a word of what is said against it.
type Lie = (Change, &'static str);

const OF_A_ROTATION: &[Lie] = &[
    (|r| r.subjects.clear(), "subjects"),
    (
        |r| {
            r.subjects.remove("windows-ca");
        },
        "subjects",
    ),
    (
        |r| {
            r.subjects.insert("root".into(), 1);
        },
        "subjects",
    ),
    (|r| r.tokens.clear(), "token primary"),
    (|r| r.tokens.values_mut().for_each(|it| it.serial = "other".into()), "token primary"),
    (|r| r.operation = Rule::Keygen, "done by \"keygen windows\""),
    (|r| r.operation = Rule::RotateCa, "operation is rotate-ca"),
    (|r| r.operation = Rule::Crl, "operation is crl"),
    (|r| r.object = "windows/4".into(), "object"),
    (|r| r.steps[2].object = "windows/1".into(), "is of \"windows/2\""),
    (|r| r.steps[2].params["generation"] = json!("windows-ca/1"), "said to be"),
    (|r| r.steps[0].params["remark"] = json!("x"), "cannot be read"),
    (|r| drop(r.steps[1].params.as_object_mut().unwrap().remove("issuer")), "no issuer"),
    (|r| r.steps[0].operation = "found".into(), "no operation of this program"),
    (|r| r.steps.push(revoke("windows-ca/1")), "several"),
    (|r| r.command[0] = "revoke".into(), "command"),
    (|r| r.command[1] = "apt".into(), "command"),
    (|r| r.command.push("--csr".into()), "do not explain"),
    (|r| r.command.push("--break-glass=x".into()), "do not explain"),
    (|r| r.command.push("apt".into()), "do not explain"),
];

const OF_A_REVOCATION: &[Lie] = &[
    // What is said to be revoked is a signing key, and what is revoked is its CA.
    (|r| r.steps = vec![revoke("windows-ca/1")], "object"),
    (
        |r| {
            r.steps = vec![revoke("windows-ca/1")];
            r.subjects = [("windows-ca".to_owned(), 7)].into();
        },
        "object",
    ),
    (
        |r| {
            r.steps = vec![revoke("windows-ca/1")];
            r.subjects = [("windows-ca".to_owned(), 7)].into();
            r.object = "windows-ca/1".into();
        },
        "command",
    ),
    (|r| r.command[3] = "superseded".into(), "command"),
    (|r| r.command.push("--compromised-since=2026-01-01T00:00:00Z".into()), "since"),
    (|r| r.command.push("--reference=case 1".into()), "--reference"),
    (
        |r| {
            r.subjects.remove("windows");
        },
        "subjects",
    ),
];

const OF_A_SIGNING: &[Lie] = &[
    (
        |r| {
            r.subjects.remove("settings");
        },
        "subjects",
    ),
    (|r| r.object = "2 files".into(), "object"),
    (|r| r.operation = Rule::ReSign, "operation is re-sign"),
    (|r| r.command[2] = "apt".into(), "another key"),
    (|r| r.command[4] = "/srv/other.exe".into(), "files"),
    (|r| r.command.push("/srv/other.exe".into()), "files"),
    (|r| r.command.insert(1, "--re-sign".into()), "signing again"),
    (|r| r.command.insert(1, "--remove".into()), "do not explain"),
];

#[track_caller]
fn are_refused(good: &ApprovalRequest, lies: &[Lie]) {
    assert_eq!(said(good), None);
    for (number, (change, word)) in lies.iter().enumerate() {
        let mut request = good.clone();
        change(&mut request);
        let said = said(&request).unwrap_or_else(|| panic!("{number} was taken"));
        assert!(said.contains(word), "{number}: {said}");
    }
}

#[test]
fn a_request_that_says_otherwise_than_its_steps_is_none() {
    are_refused(&rotation(), OF_A_ROTATION);
    are_refused(&revocation(), OF_A_REVOCATION);
    are_refused(&signing(), OF_A_SIGNING);
}

#[test]
fn tokens_that_no_step_uses_are_refused_where_the_steps_name_all() {
    let mut request = request(Rule::Keygen, "windows/3", "keygen windows", vec![keygen()]);
    assert_eq!(said(&request), None);
    request.tokens.insert("root".parse().unwrap(), token("9"));
    assert!(said(&request).unwrap().contains("which no step uses"));
}

/// A step that names somebody else's key as what it signs with is about that key too.
#[test]
fn the_keys_of_issuers_must_not_move_either() {
    let steps = rotation().steps;
    assert_eq!(subjects(&steps).unwrap().into_iter().collect::<Vec<_>>(), ["windows", "windows-ca"]);
    let Tokens { named, of } = tokens(&steps).unwrap();
    assert_eq!(named.keys().map(ToString::to_string).collect::<Vec<_>>(), ["primary"]);
    assert_eq!(of.iter().map(ToString::to_string).collect::<Vec<_>>(), ["windows-ca/1"]);
}

#[test]
fn what_can_be_asked_of_people_says_what_it_is_about() {
    // No kind is forgotten: each has its parameters read, or leaves some open.
    for &kind in Kind::ALL {
        let nothing =
            Step { operation: kind.name().into(), object: "x".into(), params: Value::Object(Default::default()) };
        assert!(subjects(&[nothing]).is_err(), "{kind}");
    }
}

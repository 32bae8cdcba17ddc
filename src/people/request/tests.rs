use super::*;
use crate::crypto::jcs;
use serde_json::json;

fn time(text: &str) -> Time {
    crate::clock::parse(text).unwrap()
}

pub(crate) fn example() -> ApprovalRequest {
    ApprovalRequest {
        schema: SCHEMA.to_owned(),
        request_id: "00112233445566778899aabbccddeeff".to_owned(),
        workspace_id: "5f0c0f9e-6a35-4a3e-8a53-111111111111".to_owned(),
        origin: "example.corp/keyctl".to_owned(),
        environment: Environment::Staging,
        genesis_sha256: Some(Hash256([7; 32])),
        operation: Operation::Rotate,
        object: "windows".to_owned(),
        command: vec!["rotate".to_owned(), "windows".to_owned()],
        steps: vec![Step {
            operation: "keygen".to_owned(),
            object: "windows/3".to_owned(),
            params: json!({"cka_id": "0a", "count": 1}),
        }],
        subjects: [("windows".to_owned(), 12)].into(),
        tokens: BTreeMap::new(),
        log_head: LogHead { size: 20, root: Hash256([1; 32]) },
        roster: RosterReference { version: 1, sha256: Hash256([2; 32]) },
        settings_sha256: Hash256([3; 32]),
        requester: Requester { email: "carol@example.com".parse().unwrap(), key_sha256: Hash256([4; 32]) },
        reason: "due".to_owned(),
        ticket: None,
        break_glass: None,
        tool: Tool { version: "0.1.0".to_owned(), sha256: None },
        created_at: time("2026-06-01T08:00:00Z"),
        not_before: time("2026-06-01T08:00:00Z"),
        not_after: time("2026-06-02T08:00:00Z"),
    }
}

fn refused(change: impl FnOnce(&mut ApprovalRequest)) -> String {
    let mut request = example();
    change(&mut request);
    let error = request.to_bytes().unwrap_err();
    assert_eq!(error.code(), "bad_request");
    error.full()
}

#[test]
fn the_bytes_are_read_back_as_they_were() {
    let request = example();
    let bytes = request.to_bytes().unwrap();
    assert_eq!(ApprovalRequest::parse(&bytes).unwrap(), request);
}

#[test]
fn another_spelling_is_refused() {
    let bytes = String::from_utf8(example().to_bytes().unwrap()).unwrap();
    let changed = [
        (r#""reason":"due""#, r#""reason":"due","reason":"due""#),
        (r#""reason":"due""#, r#""reason": "due""#),
        (r#""reason":"due""#, r#""reason":"du\u0065""#),
        (r#""reason":"due","#, r#""reason":"due","remark":"x","#),
        (r#""settings_sha256":"#, r#""setting_sha256":"#),
        (r#""count":1"#, r#""count":1.0"#),
        (r#""count":1"#, r#""count":1e0"#),
        (r#""count":1"#, r#""count":9007199254740993"#),
        (r#""size":20"#, r#""size":-1"#),
        ("2026-06-01T08:00:00Z", "2026-06-01T10:00:00+02:00"),
        ("2026-06-01T08:00:00Z", "2026-06-01T08:00:00.5Z"),
        (r#""subjects":"#, r#""subjects":null,"x":"#),
    ];
    for (from, to) in changed {
        assert!(bytes.contains(from), "{from}");
        assert!(ApprovalRequest::parse(bytes.replace(from, to).as_bytes()).is_err(), "{to}");
    }
    // Canonical, but saying "none" with a word where it is said by silence.
    let mut value: Value = serde_json::from_str(&bytes).unwrap();
    value["ticket"] = Value::Null;
    assert!(ApprovalRequest::parse(&jcs::to_vec(&value).unwrap()).is_err());
    assert!(ApprovalRequest::parse(format!("{bytes}\n").as_bytes()).is_err());
    assert!(ApprovalRequest::parse(b"").is_err());
}

#[test]
fn text_that_a_screen_would_hide_is_refused_wherever_it_is() {
    for bad in ["a\u{202e}b", "a\nb", "a\u{200b}", "e\u{301}", "\u{1b}[2J", "\u{2066}x", "\u{feff}x"] {
        assert!(refused(|r| r.reason = bad.to_owned()).contains("reason"));
        assert!(refused(|r| r.object = bad.to_owned()).contains("object"));
        assert!(refused(|r| r.ticket = Some(bad.to_owned())).contains("ticket"));
        assert!(refused(|r| r.command.push(bad.to_owned())).contains("command[2]"));
        assert!(refused(|r| r.steps[0].params["label"] = json!(["x", bad])).contains("steps[0].params.label[1]"));
        assert!(refused(|r| r.subjects.extend([(bad.to_owned(), 1)])).contains("a name in subjects"));
        assert!(refused(|r| r.steps[0].params[bad] = json!(1)).contains("a name in"));
        let token = TokenSummary {
            serial: "1".to_owned(),
            label: bad.to_owned(),
            manufacturer: "m".to_owned(),
            model: "m".to_owned(),
            firmware: "1".to_owned(),
            module_sha256: None,
        };
        assert!(refused(|r| drop(r.tokens.insert("root".parse().unwrap(), token))).contains("tokens.root.label"));
    }
}

#[test]
fn a_request_lives_a_day_and_break_glass_four_hours() {
    let later = |hours| example().created_at + chrono::TimeDelta::hours(hours);
    assert!(refused(|r| r.not_after = later(24) + chrono::TimeDelta::seconds(1)).contains("24 hours"));
    assert!(refused(|r| r.not_after = r.not_before).contains("follow each other"));
    assert!(refused(|r| r.not_before = later(-1)).contains("follow each other"));
    let glass = || BreakGlass { incident: "INC-1".to_owned(), justification: "key is out".to_owned() };
    assert!(refused(|r| r.break_glass = Some(glass())).contains("4 hours"));
    assert!(refused(|r| r.operation = Operation::Compromise).contains("4 hours"));
    let mut good = example();
    good.break_glass = Some(glass());
    good.not_after = later(4);
    good.to_bytes().unwrap();
    assert_eq!(good.rule(), Operation::BreakGlass);
    assert!(
        refused(|r| {
            r.break_glass = Some(glass());
            r.not_after = later(4);
            r.operation = Operation::Destroy;
        })
        .contains("no break-glass for destroy")
    );
    assert!(
        refused(|r| {
            r.break_glass = Some(BreakGlass { incident: String::new(), ..glass() });
            r.not_after = later(4);
        })
        .contains("incident")
    );
}

#[test]
fn names_have_their_forms() {
    assert!(refused(|r| r.schema = "keyctl.request/v2".to_owned()).contains("schema"));
    assert!(refused(|r| r.request_id.make_ascii_uppercase()).contains("request_id"));
    assert!(refused(|r| r.request_id.truncate(31)).contains("request_id"));
    assert!(refused(|r| r.origin = "example.corp".to_owned()).contains("origin"));
    assert!(refused(|r| r.requester.email = "Carol@example.com".parse().unwrap()).contains("lower case"));
    assert!(refused(|r| r.reason = String::new()).contains("reason"));
    assert!(refused(|r| r.reason = " due".to_owned()).contains("reason"));
    assert!(refused(|r| r.reason = "x".repeat(1001)).contains("reason"));
    assert!(refused(|r| r.command.clear()).contains("command"));
    assert!(refused(|r| r.steps.clear()).contains("steps"));
    assert!(refused(|r| r.steps[0].params = json!([])).contains("step"));
    assert!(refused(|r| r.steps[0].params["x"] = json!("y".repeat(MAX_REQUEST))).contains("canonical form"));
}

#[test]
fn a_step_allows_itself_and_what_could_not_be_known() {
    let step = example().steps.remove(0);
    let allows = |params: Value| step.allows("keygen", "windows/3", &params, &["tbs_sha256", "plan"]);
    assert!(allows(json!({"count": 1, "cka_id": "0a"})));
    assert!(allows(json!({"count": 1, "cka_id": "0a", "tbs_sha256": "00"})));
    for bad in [
        json!({"count": 2, "cka_id": "0a"}),
        json!({"count": 1}),
        json!({"count": 1, "cka_id": "0a", "other": null}),
        json!({"count": "1", "cka_id": "0a"}),
        json!([]),
    ] {
        assert!(!allows(bad.clone()), "{bad}");
    }
    let params = step.params.clone();
    assert!(!step.allows("keygen", "windows/4", &params, &[]));
    assert!(!step.allows("issue", "windows/3", &params, &[]));
    // What was planned holds, also where it need not have been planned.
    let planned = Step { params: json!({"plan": 1}), ..step };
    assert!(!planned.allows("keygen", "windows/3", &json!({"plan": 2}), &["plan"]));
    assert!(!planned.allows("keygen", "windows/3", &json!({}), &["plan"]));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]

    /// Whatever byte is changed, it is another request or none; never the same one in other bytes.
    #[test]
    fn no_two_spellings_read_alike(at in 0_usize..2000, byte: u8) {
        let request = example();
        let mut bytes = request.to_bytes().unwrap();
        let at = at % bytes.len();
        proptest::prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        if let Ok(other) = ApprovalRequest::parse(&bytes) {
            proptest::prop_assert_ne!(&other, &request);
            proptest::prop_assert_eq!(other.to_bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = ApprovalRequest::parse(&bytes);
    }
}

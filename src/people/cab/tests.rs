//! The two forms: what is read, what is refused, and that what reads has one spelling.

use super::testing::approval;
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn refused(bytes: &[u8]) -> String {
    let error = CabApproval::parse(bytes).unwrap_err();
    assert_eq!(error.code(), "bad_cab");
    error.full()
}

#[test]
fn an_approval_has_one_spelling() {
    let approval = approval();
    let bytes = approval.to_bytes().unwrap();
    assert_eq!(CabApproval::parse(&bytes).unwrap(), approval);
    assert!(!bytes.contains(&b'\n'), "so that a signature may follow on the next line");
    let text = String::from_utf8(bytes).unwrap();
    for (from, to) in [
        ("{\"approval_id\"", "{ \"approval_id\""),
        ("cab-20261123-001", "CAB-20261123-001"),
        ("2026-11-23T12:00:00Z", "2026-11-23T13:00:00+01:00"),
        ("2026-11-23T12:00:00Z", "2026-11-23T12:00:00.5Z"),
        ("\"count\":3", "\"count\":3.0"),
        ("\"count\":3", "\"count\":3,\"count\":3"),
        ("CHG-4711", "CHG\\u002d4711"),
    ] {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "{from}");
        refused(other.as_bytes());
    }
    refused(format!("{text}\n").as_bytes());
    let hash = Hash256::of(b"app").to_string();
    refused(text.replace(&hash, &hash.to_uppercase()).as_bytes());
}

#[test]
fn each_limit_is_kept_to() {
    let long = "x".repeat(MAX_TEXT + 1);
    let change = |name: &str, value: Value| {
        let mut doc = serde_json::to_value(approval()).unwrap();
        doc[name] = value;
        jcs::to_vec(&doc).unwrap()
    };
    for (name, value) in [
        ("schema", json!("keyctl.cab/v2")),
        ("approval_id", json!("")),
        ("approval_id", json!("cab 1")),
        ("workspace_id", json!("")),
        ("environment", json!("prod")),
        ("status", json!("yes")),
        ("approver", json!("nobody")),
        ("approver", json!("engineer@example.corp")),
        ("artifacts", json!({})),
        ("artifacts", json!({ "abc": "app.exe" })),
        ("artifacts", json!({ Hash256::of(b"app").to_string(): "" })),
        ("not_before", json!("2026-11-25T12:00:00Z")),
        ("expiry", json!("2027-02-21T12:00:01Z")),
        ("expiry", json!("soon")),
        ("count", json!(0)),
        ("count", json!(MAX_COUNT + 1)),
        ("count", json!(-1)),
        ("conditions", json!([""])),
        ("conditions", json!(["same", "same"])),
        ("conditions", json!([long])),
        ("conditions", json!([" led by a space"])),
        ("conditions", json!((0..=MAX_CONDITIONS).map(|n| n.to_string()).collect::<Vec<_>>())),
        ("ticket", json!("")),
        ("ticket", Value::Null),
        ("more", json!(1)),
    ] {
        refused(&change(name, value));
    }
    CabApproval::parse(&change("expiry", json!("2027-02-21T12:00:00Z"))).unwrap();
    let many = |count: usize| {
        let artifacts = (0..count).map(|n| (Hash256::of(&n.to_be_bytes()), "a-name-of-some-length.dll".to_owned()));
        CabApproval { artifacts: artifacts.collect(), ..approval() }
    };
    CabApproval::parse(&many(MAX_ARTIFACTS).to_bytes().unwrap()).unwrap();
    assert!(many(MAX_ARTIFACTS + 1).check().is_err());
}

#[test]
fn what_cannot_be_seen_is_in_neither_form() {
    for hidden in ["a\u{202e}b", "a\u{1b}[2J", "a\nb", "\u{200b}", "a\u{0}"] {
        let approval = CabApproval { conditions: vec![hidden.into()], ..approval() };
        refused(&approval.to_bytes().unwrap());
        let file = json!({ "cab": [{ "approval_id": "c", "status": "approved", "expiry": "2026-11-25T12:00:00Z", "conditions": [hidden] }] });
        assert_eq!(read(file.to_string().as_bytes(), None).unwrap_err().code(), "bad_cab", "{hidden:?}");
    }
}

#[test]
fn the_words_say_everything_that_is_signed() {
    let said: String = approval().describe().into_iter().flat_map(|(label, text)| [label.into(), text]).collect();
    let value = serde_json::to_value(approval()).unwrap();
    for (name, member) in value.as_object().unwrap() {
        let words = match member {
            Value::String(text) if name != "schema" => vec![text.clone()],
            Value::Number(number) => vec![number.to_string()],
            Value::Array(list) => list.iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
            Value::Object(files) => {
                files.iter().flat_map(|(hash, file)| [hash.clone(), file.as_str().unwrap().to_owned()]).collect()
            }
            _ => Vec::new(),
        };
        for word in words {
            assert!(said.contains(&word), "{name}: {word} is not in\n{said}");
        }
    }
}

const ARMOUR: &str = "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n";

#[test]
fn a_signature_stands_behind_the_approval_or_in_a_file_beside_it() {
    let bytes = approval().to_bytes().unwrap();
    let bundle = [&bytes[..], b"\n", ARMOUR.as_bytes()].concat();
    let wanted = Paper::Signed { approval: Box::new(approval()), signature: ARMOUR.into() };
    for (file, detached) in [(&bytes, Some(ARMOUR)), (&bundle, None)] {
        let read = read(file, detached.map(str::as_bytes)).unwrap();
        assert_eq!(read, Presented::Signed(wanted.clone()));
        assert_eq!(read.clone().choose(None).unwrap(), Some(wanted.clone()));
        assert_eq!(read.choose(Some(&"cab-other".parse().unwrap())).unwrap(), None);
    }
    let value = serde_json::to_value(&wanted).unwrap();
    assert_eq!(Paper::from_value(&value).unwrap(), wanted, "the ledger gives back what it was given");
    assert_eq!(wanted.document_sha256().unwrap(), Hash256::of(&bytes), "the signed message");
    assert_eq!(read(&bytes, None).unwrap_err().code(), "cab_not_signed");
    // Editors add one.
    let with_line_end = [&bytes[..], b"\n"].concat();
    assert_eq!(read(&with_line_end, Some(ARMOUR.as_bytes())).unwrap(), Presented::Signed(wanted.clone()));
    assert_eq!(read(&with_line_end, None).unwrap_err().code(), "cab_not_signed");
    let with_two = [&bytes[..], b"\n\n"].concat();
    for (file, detached) in [
        (&bundle, Some(ARMOUR)),
        (&with_two, Some(ARMOUR)),
        (&with_two, None),
        (&bytes, Some("AAAA")),
        (&bytes, Some("")),
    ] {
        assert_eq!(read(file, detached.map(str::as_bytes)).unwrap_err().code(), "bad_cab");
    }
    let long = format!("{ARMOUR}{}", "A".repeat(30_000));
    assert_eq!(read(&bytes, Some(long.as_bytes())).unwrap_err().code(), "bad_cab");
}

#[test]
fn the_unsigned_file_is_read_in_any_spelling_that_is_understood_one_way() {
    let text = r#" { "cab": [
        {"approval_id": "CAB-1", "status": "approved", "expiry": "2026-11-25T13:00:00+01:00", "conditions": ["a"]},
        {"approval_id": "cab-2", "status": "on hold", "expiry": "2026-11-25T12:00:00Z"} ] } "#;
    let presented = read(text.as_bytes(), None).unwrap();
    assert_eq!(presented.clone().choose(None).unwrap_err().code(), "which_approval");
    let first = presented.clone().choose(Some(&"cab-1".parse().unwrap())).unwrap().unwrap();
    assert_eq!((first.is_signed(), first.conditions()), (false, &["a".to_owned()][..]));
    assert_eq!(Paper::from_value(&serde_json::to_value(&first).unwrap()).unwrap(), first);
    assert_eq!(presented.choose(Some(&"cab-3".parse().unwrap())).unwrap(), None);
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"cab":{}}"#,
        r#"{"cab":[],"cab":[]}"#,
        r#"{"cab":[],"more":1}"#,
        r#"{"cab":[{"approval_id":"c","status":"approved"}]}"#,
        r#"{"cab":[{"approval_id":"c","status":"approved","expiry":"2026-11-25T12:00:00Z","status":"approved"}]}"#,
        r#"{"cab":[{"approval_id":"c","status":"approved","expiry":"2026-11-25T12:00:00Z","count":5}]}"#,
        r#"{"cab":[{"approval_id":"c","status":"approved","expiry":1.5}]}"#,
        r#"{"cab":[{"approval_id":"c","status":"","expiry":"2026-11-25T12:00:00Z"}]}"#,
        r#"{"cab":[{"approval_id":"c","status":"approved","expiry":"2026-11-25T12:00:00Z"},
                   {"approval_id":"C","status":"approved","expiry":"2026-11-25T12:00:00Z"}]}"#,
    ] {
        assert_eq!(read(bad.as_bytes(), None).unwrap_err().code(), "bad_cab", "{bad}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), detached: Option<String>) {
        let _ = read(&bytes, detached.as_ref().map(String::as_bytes));
    }

    #[test]
    fn a_changed_byte_gives_another_approval_or_none(at in 0..400usize, to: u8) {
        let mut bytes = approval().to_bytes().unwrap();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        if let Ok(other) = CabApproval::parse(&bytes) {
            prop_assert_ne!(&other, &approval());
            prop_assert_eq!(other.to_bytes().unwrap(), bytes);
        }
    }
}

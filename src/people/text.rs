//! Text that people read before they sign. What two screens could show differently, or one screen not at all, is
//! refused (governance D3).

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use serde_json::Value;

/// What is wrong with `text`, in words: it is not in normalization form C, or has a character that cannot be seen or
/// that moves others about (control, bidi, zero width, private or unassigned).
pub(crate) fn bad_for_people(text: &str) -> Option<String> {
    if text.is_ascii() {
        // Nearly all text; the tables below say the same of it.
        let bad = text.chars().find(char::is_ascii_control);
        return bad.map(|c| format!("has the character {}, which cannot be seen", c.escape_unicode()));
    }
    let categories = CodePointMapData::<GeneralCategory>::new();
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let unseen = |c: &char| {
        use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, Surrogate, Unassigned};
        ignorable.contains(*c)
            || matches!(
                categories.get(*c),
                Control | Format | LineSeparator | ParagraphSeparator | PrivateUse | Surrogate | Unassigned
            )
    };
    if let Some(c) = text.chars().find(unseen) {
        return Some(format!("has the character {}, which cannot be seen", c.escape_unicode()));
    }
    let normal = ComposingNormalizerBorrowed::new_nfc().is_normalized(text);
    (!normal).then(|| "is not in Unicode normalization form C".to_owned())
}

/// As [`bad_for_people`] for every string of a document, names of members included; says where.
pub(crate) fn bad_document(value: &Value) -> Option<String> {
    bad_at(value, &mut String::new())
}

fn bad_at(value: &Value, path: &mut String) -> Option<String> {
    let before = path.len();
    match value {
        Value::String(text) => bad_for_people(text).map(|why| format!("{path} {why}")),
        Value::Array(items) => items.iter().enumerate().find_map(|(i, item)| {
            path.push_str(&format!("[{i}]"));
            let bad = bad_at(item, path);
            path.truncate(before);
            bad
        }),
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            if let Some(why) = bad_for_people(name) {
                return Some(format!("a name in {path} {why}"));
            }
            if before > 0 {
                path.push('.');
            }
            path.push_str(name);
            let bad = bad_at(member, path);
            path.truncate(before);
            bad
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_cannot_be_seen_is_refused() {
        let bad = [
            "a\nb",
            "a\u{7f}",
            "\u{85}",
            "a\u{202e}b",
            "a\u{2066}b",
            "\u{200b}",
            "\u{200d}",
            "\u{feff}",
            "\u{ad}",
            "\u{034f}",
            "\u{115f}",
            "\u{3164}",
            "\u{fe0f}",
            "\u{e0041}",
            "\u{e000}",
            "\u{0378}",
            "\u{2028}",
            "\u{180e}",
        ];
        for text in bad {
            assert!(bad_for_people(text).is_some(), "{}", text.escape_unicode());
        }
        for text in ["", "Grüße aus Zürich", "日本語", "a b", "“quoted” – yes", "Ελλάδα", "é"] {
            assert_eq!(bad_for_people(text), None, "{text}");
        }
    }

    #[test]
    fn only_one_spelling_of_a_letter_is_taken() {
        assert!(bad_for_people("e\u{301}").is_some(), "decomposed");
        assert!(bad_for_people("\u{212b}").is_some(), "the angstrom sign is another spelling of a letter");
    }

    #[test]
    fn a_document_is_searched_everywhere() {
        assert_eq!(bad_document(&json!({"a": [1, {"b": "fine"}], "c": null})), None);
        let bad = bad_document(&json!({"a": [1, {"b": "\u{202e}"}]})).unwrap();
        assert!(bad.starts_with("a[1].b has the character \\u{202e}"), "{bad}");
        assert!(bad_document(&json!({"x\u{0}": 1})).unwrap().starts_with("a name in"));
    }
}

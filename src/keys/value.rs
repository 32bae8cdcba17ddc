//! What a pipeline's field says about a generation.

use super::{Credential, Generation};
use crate::config::PipelineValue;
use crate::model::Purpose;
use crate::pipeline::Value;

/// The text for a generation; `None` if it has no such value, or none yet.
pub fn of(generation: &Generation, kind: PipelineValue) -> Option<String> {
    let credential = generation.credential()?;
    match (kind, credential) {
        (PipelineValue::Generation, _) => Some(generation.id.to_string()),
        (PipelineValue::Thumbprint, Credential::X509 { thumbprint, .. }) => Some(thumbprint.clone()),
        (PipelineValue::Thumbprint, Credential::OpenPgp { .. }) => None,
        (PipelineValue::Fingerprint, Credential::X509 { fingerprint, .. }) => Some(fingerprint.to_string()),
        (PipelineValue::Fingerprint, Credential::OpenPgp { fingerprint, .. }) => Some(fingerprint.clone()),
        (PipelineValue::Certificate, Credential::X509 { .. }) => {
            Some(format!("certs/{}-{}.pem", generation.id.key, generation.id.number))
        }
        (PipelineValue::Certificate, Credential::OpenPgp { .. }) => {
            (generation.purpose == Purpose::Apt).then(|| format!("apt/{}.pgp", generation.id.key))
        }
    }
}

/// The same in the form that the field has: a field with a number in it holds a generation's number.
pub fn fitting(generation: &Generation, kind: PipelineValue, present: &Value) -> Option<Value> {
    match (present, kind) {
        (Value::Text(_), _) => of(generation, kind).map(Value::Text),
        (Value::Number(_), PipelineValue::Generation) => Some(Value::Number(generation.id.number.into())),
        (Value::Number(_), _) => None,
    }
}

/// Whether two values say the same. Hashes are written in either case, with colons or blanks between their digits.
pub fn same(kind: PipelineValue, one: &Value, other: &Value) -> bool {
    let (Value::Text(one), Value::Text(other)) = (one, other) else { return one == other };
    match kind {
        PipelineValue::Thumbprint | PipelineValue::Fingerprint => {
            let digits = |text: &str| {
                let kept = text.chars().filter(|c| !matches!(c, ' ' | ':'));
                kept.map(|c| c.to_ascii_lowercase()).collect::<String>()
            };
            digits(one) == digits(other)
        }
        PipelineValue::Certificate | PipelineValue::Generation => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_compared_by_their_digits_and_names_as_they_are() {
        let text = |text: &str| Value::Text(text.into());
        assert!(same(PipelineValue::Thumbprint, &text("AB CD"), &text("ab:cd")));
        assert!(!same(PipelineValue::Fingerprint, &text("abcd"), &text("abce")));
        assert!(!same(PipelineValue::Generation, &text("windows/1"), &text("WINDOWS/1")));
        assert!(same(PipelineValue::Generation, &Value::Number(3), &Value::Number(3)));
        assert!(!same(PipelineValue::Generation, &Value::Number(3), &text("3")));
    }
}

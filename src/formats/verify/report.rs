//! Reports for programs and for people.

use super::{ChainState, Report, Signature, Timestamp};
use crate::clock::rfc3339;
use crate::error::shown;
use crate::formats::authenticode;
use serde_json::{Value, json};

/// One line for people: what it is about, a word, and the details.
pub type Line = (&'static str, String, String);

impl Report {
    /// The signatures, as JSON.
    pub fn signatures_value(&self) -> Value {
        self.signatures.iter().map(Signature::value).collect()
    }

    /// The notes, as JSON.
    pub fn notes_value(&self) -> Value {
        self.notes.iter().map(|note| json!({ "code": note.code, "message": note.message })).collect()
    }
}

impl Signature {
    /// All of it, as JSON.
    pub fn value(&self) -> Value {
        let (verdict, detail) = self.verdict();
        let mut value = json!({
            "verdict": verdict,
            "detail": detail,
            "nested": self.level > 1,
            "level": self.level,
            "digest_algorithm": self.digest,
            "digest": part_value(&self.parts.file_digest),
            "content": part_value(&self.parts.content),
            "signature": part_value(&self.parts.signature),
            "page_hashes": part_value(&self.parts.page_hashes),
            "timestamp": self.timestamp.value(),
            "judged_at": rfc3339(self.judged_at),
            "chain": self.chain.as_ref().map(ChainState::value),
            "certificate": self.certificate_value(),
        });
        let optional = [
            ("program_name", self.opus.program_name.as_deref().map(shown)),
            ("program_url", self.opus.url.as_deref().map(shown)),
            ("signing_time", self.signing_time.map(rfc3339)),
        ];
        for (name, text) in optional.into_iter().filter_map(|(name, text)| Some((name, text?))) {
            value[name] = text.into();
        }
        value
    }

    fn certificate_value(&self) -> Option<Value> {
        let certificate = self.certificate.as_ref()?;
        Some(json!({
            "subject": self.subject(),
            "serial": self.serial(),
            "sha256": self.fingerprint(),
            "spki_sha256": self.spki_sha256(),
            "not_before": rfc3339(certificate.not_before),
            "not_after": rfc3339(certificate.not_after),
        }))
    }

    /// The parts, a line each.
    pub fn lines(&self) -> Vec<Line> {
        let parts = [
            ("digest", &self.parts.file_digest),
            ("content", &self.parts.content),
            ("signature", &self.parts.signature),
            ("page hashes", &self.parts.page_hashes),
        ];
        let mut lines: Vec<Line> =
            parts.map(|(name, part)| (name, part_word(part).to_owned(), part_detail(part))).into();
        if let Some((_, _, detail)) = lines.first_mut().filter(|(_, _, detail)| detail.is_empty()) {
            *detail = self.digest.clone().unwrap_or_default();
        }
        let (state, detail) = self.timestamp.words();
        lines.push(("timestamp", state.to_owned(), detail));
        if let Some(chain) = &self.chain {
            let (state, detail) = chain.words();
            lines.push(("chain", state.to_owned(), format!("at {}: {detail}", rfc3339(self.judged_at))));
        }
        if let Some(certificate) = &self.certificate {
            let (from, to) = (rfc3339(certificate.not_before), rfc3339(certificate.not_after));
            let serial = self.serial().unwrap_or_default();
            lines.push(("certificate", String::new(), format!("serial {serial}, valid {from} to {to}")));
        }
        lines
    }
}

impl Timestamp {
    fn words(&self) -> (&'static str, String) {
        match self {
            Timestamp::None => ("none", String::new()),
            Timestamp::Valid(token) => {
                ("valid", format!("{} by {}", rfc3339(token.gen_time), shown(&token.tsa_subject)))
            }
            Timestamp::Untrusted(why) => ("untrusted", why.clone()),
            Timestamp::Bad(_, why) => ("bad", why.clone()),
            Timestamp::Legacy => ("legacy", "of the time before RFC 3161; not checked".into()),
        }
    }

    fn value(&self) -> Value {
        let (state, detail) = self.words();
        let mut value = json!({ "state": state });
        match self {
            Timestamp::Valid(token) => {
                value["time"] = rfc3339(token.gen_time).into();
                value["tsa_subject"] = shown(&token.tsa_subject).into();
                value["serial"] = token.serial.as_str().into();
                value["policy"] = token.policy.to_string().into();
            }
            Timestamp::Bad(code, _) => {
                value["code"] = (*code).into();
                value["detail"] = detail.into();
            }
            Timestamp::Untrusted(_) => value["detail"] = detail.into(),
            Timestamp::None | Timestamp::Legacy => {}
        }
        value
    }
}

impl ChainState {
    fn words(&self) -> (&'static str, String) {
        match self {
            ChainState::Trusted { subjects, revocation_checked } => {
                let lists = if *revocation_checked { "on no revocation list" } else { "revocation not checked" };
                ("trusted", format!("{}; {lists}", subjects.join(" < ")))
            }
            ChainState::Broken(_, why) => ("broken", why.clone()),
        }
    }

    fn value(&self) -> Value {
        match self {
            ChainState::Trusted { subjects, revocation_checked } => {
                json!({ "state": "trusted", "subjects": subjects, "revocation_checked": revocation_checked })
            }
            ChainState::Broken(code, why) => json!({ "state": "broken", "code": code, "detail": why }),
        }
    }
}

fn part_word(part: &authenticode::Verdict) -> &'static str {
    match part {
        authenticode::Verdict::Good => "good",
        authenticode::Verdict::Absent => "absent",
        authenticode::Verdict::NotEvaluated(_) => "not evaluated",
        authenticode::Verdict::Bad(fault, _) => fault.as_str(),
    }
}

fn part_detail(part: &authenticode::Verdict) -> String {
    match part {
        authenticode::Verdict::NotEvaluated(why) | authenticode::Verdict::Bad(_, why) => why.clone(),
        authenticode::Verdict::Good | authenticode::Verdict::Absent => String::new(),
    }
}

fn part_value(part: &authenticode::Verdict) -> Value {
    let detail = part_detail(part);
    match detail.as_str() {
        "" => json!({ "verdict": part_word(part) }),
        detail => json!({ "verdict": part_word(part), "detail": detail }),
    }
}

//! A document to be signed with what belongs to it, as one block of text that survives mail and chat.
//!
//! Nothing in here is trusted for being here: the document is what is signed, its requester's signature is checked,
//! and the proofs prove themselves.

use super::sidecar::Proofs;
use crate::crypto::jcs;
use crate::error::{Context, Error, Result};
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

/// The version of the form.
pub const SCHEMA: &str = "keyctl.bundle/v1";

/// The most bytes of a block of text, with what stands around it.
pub const MAX_TEXT: usize = 4 << 20;

/// The line that a block begins with.
pub const BEGIN: &str = "-----BEGIN KEYCTL REQUEST-----";
/// The line that it ends with.
pub const END: &str = "-----END KEYCTL REQUEST-----";

/// Terminals and mail programs leave lines of this length alone.
const COLUMNS: usize = 70;

/// What is handed to an approver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// [`SCHEMA`].
    pub schema: String,
    /// The exact bytes of the document, which are text.
    pub document: String,
    /// The requester's signature over them, armoured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requester_signature: Option<String>,
    /// That the ledger only grew.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub proofs: Option<Proofs>,
}

impl Bundle {
    /// A document and what belongs to it.
    pub fn new(document: String, requester_signature: Option<String>, proofs: Option<Proofs>) -> Self {
        Bundle { schema: SCHEMA.to_owned(), document, requester_signature, proofs }
    }

    /// The block of text.
    ///
    /// # Errors
    /// `bad_bundle` if it would be too long to be read back.
    pub fn to_armour(&self) -> Result<String> {
        let encoded = Base64::encode_string(&jcs::to_vec(self)?);
        let mut text = format!("{BEGIN}\n");
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            // Base64 is ASCII, so any place is between two characters.
            let (line, tail) = rest.split_at(COLUMNS.min(rest.len()));
            text.push_str(line);
            text.push('\n');
            rest = tail;
        }
        text.push_str(END);
        text.push('\n');
        match text.len() <= MAX_TEXT {
            true => Ok(text),
            false => Err(bad("is too long")),
        }
    }

    /// The block in a text, whatever stands around it and however its lines are indented or quoted (`> `). `None` if
    /// there is none.
    ///
    /// # Errors
    /// `bad_bundle`: too much text, a block that does not end, several, or one that holds something else.
    pub fn find(text: &str) -> Result<Option<Self>> {
        if text.len() > MAX_TEXT {
            return Err(bad("is too long"));
        }
        let mut blocks = Vec::new();
        let mut open: Option<String> = None;
        for line in text.lines().map(bare) {
            match (&mut open, line) {
                (None, BEGIN) => open = Some(String::new()),
                (None, _) => {}
                (Some(_), BEGIN) => return Err(bad("begins again before it ends")),
                (Some(_), END) => blocks.extend(open.take()),
                (Some(encoded), line) => encoded.push_str(line),
            }
        }
        match (open, blocks.as_slice()) {
            (Some(_), _) => Err(bad("is cut off")),
            (None, []) => Ok(None),
            (None, [encoded]) => Bundle::decode(encoded).map(Some),
            (None, _) => Err(bad("stands there more than once; hand in one")),
        }
    }

    fn decode(encoded: &str) -> Result<Self> {
        let bytes = Base64::decode_vec(encoded).map_err(|_| bad("is not base64"))?;
        let value = jcs::parse_canonical(&bytes, MAX_TEXT).or_failed("bad_bundle", || "the request block".into())?;
        let bundle: Bundle =
            serde_json::from_value(value).or_failed("bad_bundle", || "the request block has another form".into())?;
        match bundle.schema == SCHEMA {
            true => Ok(bundle),
            false => Err(bad(&format!("has the schema {:?}, not {SCHEMA}", bundle.schema))),
        }
    }
}

impl Proofs {
    /// Reads the file `requests/ID.proofs.json`.
    ///
    /// # Errors
    /// `bad_proofs`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let value = jcs::parse_strict(bytes, super::sidecar::MAX_SIDECAR);
        let value = value.or_failed("bad_proofs", || "the consistency proofs cannot be read".into())?;
        let proofs: Proofs = serde_json::from_value(value)
            .or_failed("bad_proofs", || "the consistency proofs have another form".into())?;
        match proofs.schema == super::sidecar::SCHEMA {
            true => Ok(proofs),
            false => Err(Error::failed("bad_proofs", "the consistency proofs have another schema")),
        }
    }
}

fn bad(what: &str) -> Error {
    Error::failed("bad_bundle", format!("the request block {what}"))
}

/// A line without quote marks and space.
fn bare(line: &str) -> &str {
    line.trim_start_matches(|c: char| c.is_whitespace() || c == '>').trim_end()
}

#[cfg(test)]
mod tests {
    use super::super::sidecar::{self, ConsistencyProof};
    use super::*;
    use crate::model::Hash256;
    use proptest::prelude::*;

    fn bundle() -> Bundle {
        let proof = ConsistencyProof { from: 3, hashes: vec![Hash256([7; 32]); 20] };
        let proofs = Proofs { schema: sidecar::SCHEMA.to_owned(), proofs: vec![proof] };
        Bundle::new("{\"a\":\"ü\"}".to_owned(), Some("armour\n".to_owned()), Some(proofs))
    }

    #[test]
    fn a_block_is_found_among_words_and_quotes() {
        let text = bundle().to_armour().unwrap();
        assert!(text.lines().all(|line| line.len() <= COLUMNS));
        let quoted: String = text.lines().map(|line| format!("> > {line}  \r\n")).collect();
        let around = format!("Could you look at this?\n{text}Thank you\n");
        for text in [text, quoted, around] {
            assert_eq!(Bundle::find(&text).unwrap(), Some(bundle()));
        }
        assert_eq!(Bundle::find("no block").unwrap(), None);
    }

    #[test]
    fn what_is_not_one_whole_block_is_refused() {
        let text = bundle().to_armour().unwrap();
        let block = |json: &str| format!("{BEGIN}\n{}\n{END}\n", Base64::encode_string(json.as_bytes()));
        let bad = [
            text.replace(END, ""),
            format!("{text}{text}"),
            text.replace(END, BEGIN),
            text.replacen('e', "é", 1),
            text.replacen("\n", "\nAAAA", 1),
            block("{}"),
            block(r#"{"document":"x","schema":"keyctl.bundle/v2"}"#),
            block(r#"{"document":"x","extra":1,"schema":"keyctl.bundle/v1"}"#),
            block(r#"{"document":"x","document":"y","schema":"keyctl.bundle/v1"}"#),
            block(r#"{"schema":"keyctl.bundle/v1","document":"x"}"#),
            "x".repeat(MAX_TEXT + 1),
        ];
        for text in bad {
            assert_eq!(Bundle::find(&text).unwrap_err().code(), "bad_bundle", "{:.80}", text);
        }
        assert!(Bundle::find(&block(r#"{"document":"x","schema":"keyctl.bundle/v1"}"#)).is_ok());
    }

    #[test]
    fn proofs_are_read_strictly() {
        let good = r#"{"proofs":[{"from":3,"hashes":[]}],"schema":"keyctl.proofs/v1"}"#;
        assert_eq!(Proofs::parse(good.as_bytes()).unwrap().proofs[0].from, 3);
        for (from, to) in
            [("proofs/v1", "proofs/v2"), ("3", "-3"), ("[]", "[\"xx\"]"), ("\"from\"", "\"a\":1,\"from\"")]
        {
            assert_eq!(Proofs::parse(good.replace(from, to).as_bytes()).unwrap_err().code(), "bad_proofs");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,200}", cut in any::<prop::sample::Index>()) {
            let _ = Bundle::find(&text);
            let whole = bundle().to_armour().unwrap();
            let at = cut.index(whole.len());
            let _ = Bundle::find(&format!("{}{text}{}", &whole[..at], &whole[at..]));
        }
    }
}

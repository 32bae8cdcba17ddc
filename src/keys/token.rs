//! What is recorded of a token when it is adopted, and how what answers later is held against it (governance X1).
//!
//! A label and even a serial number are easily given to another token, and a module's path to another module. So the
//! ledger keeps what both said of themselves, and the module's hash; whatever opens a token compares first.

use super::TokenFacts;
use crate::model::Hash256;
use serde::{Deserialize, Serialize};

/// A token and the module it is reached through, as they introduced themselves when they were adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// The token's words about itself.
    pub token: TokenFacts,
    /// The module.
    pub module: ModuleFacts,
    /// What the module says of the device's validation (`CKO_VALIDATION`); looked for in production.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub validations: Vec<Validation>,
    /// A statement about this token that held under its vendor's roots.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub statement: Option<Statement>,
}

/// A validation object of PKCS#11 3.2, in the module's words. Text is escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// `CKA_VALIDATION_AUTHORITY_TYPE`: `nist-cmvp`, `common-criteria` or `unspecified`.
    pub authority: String,
    /// `CKA_VALIDATION_TYPE`: `software`, `hardware`, `firmware`, `hybrid` or `unspecified`.
    pub kind: String,
    /// `CKA_VALIDATION_LEVEL`.
    pub level: u64,
    /// `CKA_VALIDATION_CERTIFICATE_IDENTIFIER`.
    pub certificate: String,
}

/// A signed statement that names a token's serial number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// SHA-256 of its file.
    pub sha256: Hash256,
    /// SHA-256 of the file of roots it held under.
    pub roots_sha256: Hash256,
    /// Whose roots those are, by their subjects; escaped.
    pub vendor: String,
}

/// A PKCS#11 module: its file, and its words about itself (CK_INFO). Text is escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleFacts {
    /// Canonical path; absent for the builtin module.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<String>,
    /// SHA-256 of the file; absent for the builtin module.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<Hash256>,
    /// `CK_INFO.manufacturerID`.
    pub manufacturer: String,
    /// `CK_INFO.libraryDescription`.
    pub description: String,
    /// `CK_INFO.libraryVersion`.
    pub version: String,
    /// Environment variables that steer modules or the loader, sorted by name.
    pub environment: Vec<SteeringVariable>,
    /// Other libraries that were mapped when it was up, and are not this program's own; sorted by path.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub libraries: Vec<Library>,
}

/// A shared library beside a module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// Path, escaped.
    pub path: String,
    /// SHA-256 of the file.
    pub sha256: Hash256,
}

impl ModuleFacts {
    /// One hash over module and libraries, for intents; `None` for the builtin module.
    pub fn digest(&self) -> Option<Hash256> {
        let lines = self.libraries.iter().map(|library| format!("{} {}\n", library.sha256, library.path));
        Some(Hash256::of(format!("{}\n{}", self.sha256?, lines.collect::<String>()).as_bytes()))
    }
}

/// A variable that may steer a module: its name and the SHA-256 of its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SteeringVariable {
    /// Name, escaped.
    pub name: String,
    /// SHA-256 of the value's bytes.
    pub value_sha256: Hash256,
}

/// One thing about a token that is not as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which, in plain words (`serial number`).
    pub what: String,
    /// As recorded; `None` if it was not there.
    pub recorded: Option<String>,
    /// As found; `None` if it is not there.
    pub found: Option<String>,
    /// It makes this another token or another module: nothing is logged in to before it is adopted.
    pub decisive: bool,
}

/// What a token said of itself when it was adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSummary {
    /// Serial number.
    pub serial: String,
    /// Label.
    pub label: String,
    /// Manufacturer.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Firmware version.
    pub firmware: String,
    /// SHA-256 of the module's file; absent for the builtin token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_sha256: Option<Hash256>,
}

impl TokenRecord {
    /// What else vouches for it.
    fn attested(&self, found: &TokenRecord) -> [Difference; 2] {
        let validations = |record: &TokenRecord| {
            let words = record
                .validations
                .iter()
                .map(|it| format!("{} {} level {} certificate {}", it.authority, it.kind, it.level, it.certificate));
            (!record.validations.is_empty()).then(|| words.collect::<Vec<_>>().join(", "))
        };
        let statement = |record: &TokenRecord| {
            record.statement.as_ref().map(|it| format!("SHA-256 {}, under the roots of {}", it.sha256, it.vendor))
        };
        let difference =
            |what: &str, recorded, found| Difference { what: what.to_owned(), recorded, found, decisive: false };
        [
            difference("validation", validations(self), validations(found)),
            difference("vendor's statement", statement(self), statement(found)),
        ]
    }

    /// What approvers are shown of it.
    pub fn summary(&self) -> TokenSummary {
        TokenSummary {
            serial: self.token.serial.clone(),
            label: self.token.label.clone(),
            manufacturer: self.token.manufacturer.clone(),
            model: self.token.model.clone(),
            firmware: self.token.firmware.clone(),
            module_sha256: self.module.sha256,
        }
    }

    /// What is different about `found`, the decisive differences first.
    pub fn differences(&self, found: &TokenRecord) -> Vec<Difference> {
        let hash = |hash: Option<Hash256>| hash.map(|hash| hash.to_string());
        let text = |text: &str| Some(text.to_owned());
        let (token, module) = (&self.token, &self.module);
        let (other, theirs) = (&found.token, &found.module);
        let pairs = [
            ("serial number", text(&token.serial), text(&other.serial), true),
            ("label", text(&token.label), text(&other.label), true),
            ("module", module.path.clone(), theirs.path.clone(), true),
            ("module SHA-256", hash(module.sha256), hash(theirs.sha256), true),
            ("manufacturer", text(&token.manufacturer), text(&other.manufacturer), false),
            ("model", text(&token.model), text(&other.model), false),
            ("firmware", text(&token.firmware), text(&other.firmware), false),
            ("module manufacturer", text(&module.manufacturer), text(&theirs.manufacturer), false),
            ("module description", text(&module.description), text(&theirs.description), false),
            ("module version", text(&module.version), text(&theirs.version), false),
        ];
        let named = pairs.into_iter().map(|(what, recorded, found, decisive)| Difference {
            what: what.to_owned(),
            recorded,
            found,
            decisive,
        });
        let named = named.chain(steering(module, theirs)).chain(libraries(module, theirs)).chain(self.attested(found));
        named.filter(|it| it.recorded != it.found).collect()
    }
}

/// Libraries of either side. One that is not mapped this time is no difference: which are, depends on what else is open.
fn libraries(recorded: &ModuleFacts, found: &ModuleFacts) -> Vec<Difference> {
    let value = |facts: &ModuleFacts, path: &str| {
        facts.libraries.iter().find(|it| it.path == path).map(|it| format!("SHA-256 {}", it.sha256))
    };
    let found_ones = found.libraries.iter().map(|library| Difference {
        what: format!("library {}", library.path),
        recorded: value(recorded, &library.path),
        found: value(found, &library.path),
        decisive: false,
    });
    found_ones.collect()
}

/// Every variable of either side, with the hashes of its values.
fn steering(recorded: &ModuleFacts, found: &ModuleFacts) -> Vec<Difference> {
    let value = |facts: &ModuleFacts, name: &str| {
        facts.environment.iter().find(|it| it.name == name).map(|it| format!("value with SHA-256 {}", it.value_sha256))
    };
    let names: std::collections::BTreeSet<_> =
        recorded.environment.iter().chain(&found.environment).map(|it| it.name.as_str()).collect();
    let difference = |name: &str| Difference {
        what: format!("environment variable {name}"),
        recorded: value(recorded, name),
        found: value(found, name),
        decisive: false,
    };
    names.into_iter().map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> TokenRecord {
        let text = |text: &str| text.to_owned();
        TokenRecord {
            token: TokenFacts {
                label: text("a"),
                manufacturer: text("m"),
                model: text("x"),
                serial: text("1"),
                firmware: text("1.0"),
                software: true,
            },
            module: ModuleFacts {
                path: Some(text("/m.so")),
                sha256: Some(Hash256::of(b"m")),
                manufacturer: text("m"),
                description: text("d"),
                version: text("1.0"),
                environment: vec![SteeringVariable { name: text("X_CONF"), value_sha256: Hash256::of(b"1") }],
                libraries: vec![Library { path: text("/l.so"), sha256: Hash256::of(b"l") }],
            },
            validations: Vec::new(),
            statement: None,
        }
    }

    #[test]
    fn identity_is_decisive_and_the_rest_is_to_be_known() {
        assert_eq!(record().differences(&record()), []);
        type Case = (fn(&mut TokenRecord), &'static str, bool);
        let changes: [Case; 8] = [
            (|r| r.token.serial = "2".into(), "serial number", true),
            (|r| r.token.label = "b".into(), "label", true),
            (|r| r.module.path = Some("/n.so".into()), "module", true),
            (|r| r.module.sha256 = None, "module SHA-256", true),
            (|r| r.token.firmware = "1.1".into(), "firmware", false),
            (|r| r.module.version = "1.1".into(), "module version", false),
            (|r| r.module.libraries[0].sha256 = Hash256::of(b"other"), "library /l.so", false),
            (|r| r.module.environment.clear(), "environment variable X_CONF", false),
        ];
        for (change, what, decisive) in changes {
            let mut found = record();
            change(&mut found);
            let differences = record().differences(&found);
            let only = differences.first().unwrap();
            assert_eq!((only.what.as_str(), only.decisive, differences.len()), (what, decisive, 1));
            assert_ne!(only.recorded, only.found);
        }
    }

    #[test]
    fn a_record_reads_back_strictly() {
        let json = serde_json::to_string(&record()).unwrap();
        assert_eq!(serde_json::from_str::<TokenRecord>(&json).unwrap(), record());
        assert!(serde_json::from_str::<TokenRecord>(&json.replacen('{', "{\"more\":1,", 1)).is_err());
    }
}

//! Approvals as people hand them over: SSH signatures, pasted among other words, and the record of one that counted.

use crate::config::policy::Role;
use crate::crypto::ssh::MAX_SIGNATURE;
use crate::error::{Error, Result};
use crate::model::{Actor, Assurance, Email, Hash256};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most bytes of a text with approvals in it.
pub const MAX_TEXT: usize = 1 << 20;
/// The most approvals that are looked at for one request.
pub const MAX_APPROVALS: usize = 64;

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";

/// The armoured SSH signatures in a text, whatever stands around them and however the lines are indented or quoted
/// (`> ` as in mail). Each is only cut out; whether it is a signature is found out when it counts.
///
/// # Errors
/// `bad_approvals`: too much text, too many of them, or one that does not end.
pub fn armours(text: &str) -> Result<Vec<String>> {
    let bad = |why: String| Error::usage("bad_approvals", why);
    if text.len() > MAX_TEXT {
        return Err(bad(format!("{} bytes of approvals, at most {MAX_TEXT} are read", text.len())));
    }
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines().map(bare) {
        match (&mut open, line) {
            (None, BEGIN) => open = Some(format!("{BEGIN}\n")),
            (None, _) => {}
            (Some(_), BEGIN) => return Err(bad("an SSH signature begins before the one before it ends".to_owned())),
            (Some(armour), line) => {
                armour.push_str(line);
                armour.push('\n');
                if armour.len() > MAX_SIGNATURE {
                    return Err(bad("an SSH signature does not end".to_owned()));
                }
                if line == END {
                    found.extend(open.take());
                }
            }
        }
        if found.len() > MAX_APPROVALS {
            return Err(bad(format!("more than {MAX_APPROVALS} SSH signatures")));
        }
    }
    match open {
        Some(_) => Err(bad("the last SSH signature is cut off".to_owned())),
        None => Ok(found),
    }
}

/// A line without quote marks and space.
fn bare(line: &str) -> &str {
    line.trim_start_matches(|c: char| c.is_whitespace() || c == '>').trim_end()
}

crate::model::words! {
    /// As what somebody takes part.
    Part: "part" {
        /// Asked for it, and proved it.
        Requester = "requester",
        Approver = "approver",
    }
}

/// Somebody whose signature counted, and everything it takes to check that again later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Participant {
    /// Who.
    pub email: Email,
    /// As what.
    #[serde(rename = "as")]
    pub part: Part,
    /// Their roles, as far as the rule asks for them. None for a requester who asks, but does not count.
    pub roles: BTreeSet<Role>,
    /// The key, `TYPE BASE64`.
    pub public_key: String,
    /// SHA-256 of its SSH wire form.
    pub key_sha256: Hash256,
    /// The key is in a FIDO authenticator, by its type.
    pub security_key: bool,
    /// That authenticator says that a person touched it.
    pub user_present: bool,
    /// It says that it asked for a PIN or a finger.
    pub user_verified: bool,
    /// SHA-256 of the exact request bytes that were signed.
    pub request_sha256: Hash256,
    /// The armoured SSH signature.
    pub signature: String,
}

impl Participant {
    /// As the ledger names them: proven, with the roles that count here.
    pub fn actor(&self) -> Actor {
        let roles: Vec<_> = self.roles.iter().map(|role| role.as_str()).collect();
        let role = (!roles.is_empty()).then(|| roles.join(", "));
        Actor { email: self.email.clone(), role, assurance: Assurance::Proven }
    }

    /// Whether they are one of the people whom the threshold counts.
    pub fn counts(&self) -> bool {
        !self.roles.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\nAAAA\n-----END SSH SIGNATURE-----\n";

    #[test]
    fn armours_are_found_among_words_and_quotes() {
        assert_eq!(armours("").unwrap(), Vec::<String>::new());
        assert_eq!(armours(ONE).unwrap(), [ONE]);
        let quoted: String = ONE.lines().map(|line| format!("> > {line}\r\n")).collect();
        let indented: String = ONE.lines().map(|line| format!("    {line}  \n")).collect();
        let text = format!("Alice:\n{quoted}and Bob says\n{indented}\nregards\n{ONE}");
        assert_eq!(armours(&text).unwrap(), [ONE, ONE, ONE]);
    }

    #[test]
    fn what_does_not_end_is_refused() {
        let cut = ONE.replace(END, "");
        for text in [cut.clone(), cut.clone() + ONE, ONE.to_owned() + &cut, cut + &"A\n".repeat(MAX_SIGNATURE)] {
            assert_eq!(armours(&text).unwrap_err().code(), "bad_approvals");
        }
        assert_eq!(armours(&ONE.repeat(MAX_APPROVALS)).unwrap().len(), MAX_APPROVALS);
        assert!(armours(&ONE.repeat(MAX_APPROVALS + 1)).is_err());
        assert!(armours(&"x".repeat(MAX_TEXT + 1)).is_err());
    }
}

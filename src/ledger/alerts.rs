//! Alerts: entries that say what happened where nobody asked for an act. They are events for people and for the
//! systems that watch, and gates may count on them too.

use super::{Entry, Ledger, NewEntry};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::keys::State;
use crate::model::{Actor, CorrelationId, GenerationId, KeyName};
use serde::{Deserialize, Serialize};

/// The longest message that goes into an alert, in characters.
const MAX_MESSAGE: usize = 2000;

/// A rotation failed (B24): the old key stays active, production stops until the new certificate was validated, and
/// somebody has to see to it before the deadline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotationFailed {
    /// Whose rotation.
    pub key: KeyName,
    /// The generation that was to take over, if there is one yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub generation: Option<GenerationId>,
    /// The one that stays active.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub active: Option<GenerationId>,
    /// How far it had come.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state: Option<State>,
    /// `transient`, `permanent` or `policy_violation` (domain §4).
    pub error_class: String,
    /// The error's word for programs.
    pub code: String,
    /// The error.
    pub message: String,
    /// Until when it is to be put right.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub deadline: Time,
}

/// A certificate that is in use is about to expire. Given once for each threshold that it crosses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateExpiry {
    /// Whose.
    pub generation: GenerationId,
    /// When it expires.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub expires: Time,
    /// The threshold in days: it has fewer left.
    pub days: u32,
}

/// Others may have a private key (B23): the board and the monitoring have to know. Given once for each incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyCompromised {
    /// Which.
    pub generation: GenerationId,
    /// The declared incident.
    pub incident: String,
    /// Since when, if that is known.
    #[serde(with = "crate::clock::serde_rfc3339_option", skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Time>,
    /// `Critical` (domain §4).
    pub severity: String,
}

impl KeyCompromised {
    /// Type of the entry.
    pub const ENTRY: &'static str = "KEY_COMPROMISED";

    /// What the duties that follow are about.
    pub fn object(&self) -> String {
        format!("{} {}", self.generation, self.incident)
    }
}

impl RotationFailed {
    /// Type of the entry.
    pub const ENTRY: &'static str = "ROTATION_FAILED";

    /// What an error says, cut to what an alert holds.
    pub fn words(error: &Error) -> String {
        error.full().chars().take(MAX_MESSAGE).collect()
    }
}

impl CertificateExpiry {
    /// Type of the entry.
    pub const ENTRY: &'static str = "CERTIFICATE_EXPIRY";
}

/// Writes alerts of one type, in one transaction.
///
/// # Errors
/// The ledger cannot be written.
pub fn write<T: Serialize>(
    ledger: &mut Ledger,
    entry_type: &str,
    by: (&Actor, &CorrelationId),
    alerts: &[T],
) -> Result<Vec<Entry>> {
    let mut writer = ledger.writer()?;
    let mut entries = Vec::with_capacity(alerts.len());
    for alert in alerts {
        let body =
            serde_json::to_value(alert).map_err(|error| Error::bug("an alert has no JSON form").because(error))?;
        let (actor, correlation_id) = (by.0.clone(), by.1.clone());
        entries.push(writer.append(NewEntry { entry_type: entry_type.parse()?, actor, correlation_id, body })?);
    }
    writer.commit()?;
    Ok(entries)
}

//! What time it was elsewhere, as services said when they were talked to last: kept for `doctor`, and told at once where
//! it differs.

use super::World;
use crate::clock::{Time, rfc3339};
use crate::files::safe;
use crate::http;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// How far clocks may differ.
pub const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

const FILE: &str = "locks/remote-clock";
const MAX_FILE: u64 = 4096;

/// Two clocks, read at the same moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Whose the other one is.
    pub host: String,
    /// What that one said.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub said: Time,
    /// What ours said.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub here: Time,
}

impl Compared {
    /// Whether they agree.
    pub fn agree(&self) -> bool {
        (self.said - self.here).abs() <= TOLERANCE
    }

    /// In words.
    pub fn words(&self) -> String {
        format!("{} said {} when the clock here said {}", self.host, rfc3339(self.said), rfc3339(self.here))
    }
}

/// Keeps what was said in this process, if anything was.
pub(crate) fn remember(world: &World) {
    let Some(http::Dated { host, said, here }) = http::last_dated() else { return };
    let compared = Compared { host, said, here };
    if !compared.agree() {
        world.ui().warn(&format!("{}; keyctl doctor", compared.words()));
    }
    // Only a courtesy to `doctor`.
    let text = serde_json::to_vec(&compared).unwrap_or_default();
    let _ = safe::write_atomic(&world.dir.join(FILE), &text, 0o600);
}

/// What was said last.
pub fn last(world: &World) -> Option<Compared> {
    serde_json::from_slice(&safe::read_bounded(&world.dir.join(FILE), MAX_FILE).ok()?).ok()
}

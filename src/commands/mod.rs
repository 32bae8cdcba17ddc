//! What is typed and what is printed: one file per command, where the doc comment of its arguments is the help. `run` turns
//! arguments into plain data, brings a plan to a consent (`preview.rs`), has the rooms below do it, and prints what came of it.
//! What is done to keys, files, rules or people does not live here; whoever needs that calls the rooms, and no command.

pub mod adopt;
pub mod approve;
pub mod audit;
pub mod cab;
pub mod completions;
pub mod compromise;
pub mod crl;
pub mod destroy;
pub mod doctor;
pub mod due;
pub mod follow_up;
pub mod grant;
pub mod import;
pub mod init;
pub mod keygen;
pub(crate) mod preview;
pub mod recover;
pub mod revoke;
pub mod roster;
pub mod rotate;
pub mod run;
pub mod set_time;
pub mod sign;
pub mod status;
pub mod suspend;
pub mod trust;
mod values;
pub mod verify;

use crate::people::request::BreakGlass;

/// Breaking the glass: a declared incident, for commands that cannot wait for the ordinary way (B16).
#[derive(Clone, Debug, Default, clap::Args)]
pub struct BreakGlassArgs {
    /// Break the glass: a security reviewer and a platform admin together, at most 4 hours, with duties afterwards
    #[arg(long, value_name = "INCIDENT", requires = "justification", help_heading = "Break-glass")]
    pub break_glass: Option<String>,
    /// Why the ordinary way is too slow
    #[arg(long, value_name = "TEXT", requires = "break_glass", help_heading = "Break-glass")]
    pub justification: Option<String>,
}

impl BreakGlassArgs {
    /// The incident, for the plan: requests name it and its rule applies.
    pub(crate) fn incident(&self) -> Option<BreakGlass> {
        let (incident, justification) = (self.break_glass.clone()?, self.justification.clone()?);
        Some(BreakGlass { incident, justification })
    }
}

//! What is done to rules and people: settings and rosters that are adopted, standing approvals, duties with a deadline.

pub mod grants;

//! Several operations in a row, for somebody who follows a list: settling what was interrupted, what is due, a
//! compromise. Plain data goes in, items come out; each step is an operation of its own in the ledger. What one step
//! does is in `lifecycle`, and how items look is the commands' matter.

pub mod announce;
pub mod checklist;
pub mod compromise;
pub mod due;
pub mod evidence;
pub mod recover;

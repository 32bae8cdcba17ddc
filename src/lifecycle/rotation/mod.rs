//! From the successor's plan to the predecessor's retirement. The state machine ([`crate::keys::rotation`]) says what
//! comes next, [`facts`] reads what it decides on, [`plan`] walks it ahead, [`steps`] does it. What an interruption left
//! open is taken up again first ([`resume`]), under the intent it was begun with.

pub mod advance;
pub mod facts;
pub mod failure;
pub mod options;
pub mod plan;
pub mod resume;
pub mod standing;
pub mod steps;
pub mod words;

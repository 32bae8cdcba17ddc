//! The checklist of a runbook: what is done, what is not and why, and what is left for people.

use crate::error::{Error, Result};

/// What a step came to: the words behind the tick, or `None` where there was nothing to do.
pub type Ticked = Result<Option<String>>;

/// One line of a checklist.
#[derive(Debug)]
pub struct Item {
    /// The step.
    pub step: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a step.
#[derive(Debug)]
pub enum Outcome {
    /// It is done, or there was nothing to do.
    Done(String),
    /// It is not.
    Failed(Error),
    /// People have to do it, with this command, if there is one.
    Left(String, Option<String>),
}

/// What was done, as it is ticked off.
#[derive(Debug, Default)]
pub struct Checklist(Vec<Item>);

impl Checklist {
    /// Enters what became of a step.
    pub fn tick(&mut self, step: &str, ticked: Ticked) {
        let outcome = match ticked {
            Ok(detail) => Outcome::Done(detail.unwrap_or_else(|| "nothing to do".to_owned())),
            Err(error) => Outcome::Failed(error),
        };
        self.0.push(Item { step: step.to_owned(), outcome });
    }

    /// What is left for people, with the command for it, if there is one.
    pub fn leave(&mut self, step: &str, detail: &str, command: Option<String>) {
        self.0.push(Item { step: step.to_owned(), outcome: Outcome::Left(detail.to_owned(), command) });
    }

    /// Its lines, in order.
    pub fn items(&self) -> &[Item] {
        &self.0
    }
}

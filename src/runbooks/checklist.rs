//! The checklist of a runbook: read by somebody who was woken up, so it says what is done, what is not, and what to type.

use crate::error::{Error, Result};
use crate::ui::{Row, Ui, Worst, error_value};

/// The columns of the checklist.
const COLUMNS: &[&str] = &["done", "step", "detail", "command"];

/// What a step came to: the words behind the tick, or `None` where there was nothing to do.
pub type Ticked = Result<Option<String>>;

/// What was done, as it is ticked off.
#[derive(Default)]
pub struct Checklist {
    rows: Vec<Row>,
    worst: Worst,
    errors: Vec<Error>,
}

impl Checklist {
    /// Enters what became of a step.
    pub fn tick(&mut self, step: &str, ticked: Ticked) {
        let row = match ticked {
            Ok(detail) => {
                let detail = detail.unwrap_or_else(|| "nothing to do".to_owned());
                Row::new().with("done", "yes").with("step", step).with("detail", detail)
            }
            Err(error) => {
                self.worst.add(error.kind());
                let row = Row::new().with("done", "NO").with("step", step).with("detail", error.message());
                let row = row.with("error", error_value(&error)).with("command", error.advice());
                self.errors.push(error);
                row
            }
        };
        self.rows.push(row);
    }

    /// What is left for people, with the command for it, if there is one.
    pub fn leave(&mut self, step: &str, detail: &str, command: Option<String>) {
        self.rows
            .push(Row::new().with("done", "you").with("step", step).with("detail", detail).with("command", command));
    }

    /// Prints it, and how to go on if anything is left; gives the worst of it.
    pub fn print(self, ui: &Ui, again: &str) -> Worst {
        ui.rows(COLUMNS, &self.rows);
        self.errors.iter().for_each(|error| ui.error(error));
        if !self.errors.is_empty() {
            ui.say(&format!("not all is done; the same command goes on with what is left: {again}"));
        }
        self.worst
    }
}

//! What the operator and programs see. Results go to stdout as a table, JSON lines or CSV; everything else goes
//! to stderr. Names from outside are escaped here, once for each form.

use crate::error::{Error, Kind, shown};
use crate::model::CorrelationId;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};
use std::io::{IsTerminal, Write};

mod progress;
mod terminal;

pub use progress::Progress;
pub use terminal::Terminal;

crate::model::words! {
    /// The form of results.
    Output: "output form" {
        /// Aligned columns for people.
        Table = "table",
        /// One JSON object a line.
        Json = "json",
        /// RFC 4180, safe to open in a spreadsheet.
        Csv = "csv",
    }
}

/// One result: named values, in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Row(Vec<(&'static str, Value)>);

impl Row {
    /// An empty row.
    pub fn new() -> Self {
        Row::default()
    }

    /// Adds a value.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// With all values of another row after its own.
    pub fn and(mut self, other: Row) -> Self {
        self.0.extend(other.0);
        self
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// What a row says in these columns, in one line for people.
    pub fn words(&self, columns: &[&str]) -> String {
        let said = columns.iter().map(|name| cell(self.get(name))).filter(|text| !text.is_empty());
        shown(&said.collect::<Vec<_>>().join("  "))
    }

    fn object(&self) -> Value {
        Value::Object(self.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<Map<_, _>>())
    }
}

/// Where results and words go.
#[derive(Clone, Debug)]
pub struct Ui {
    /// The form of results.
    pub output: Output,
    /// Only errors and results.
    pub quiet: bool,
    /// More words on stderr.
    pub verbose: bool,
    /// Goes into JSON errors.
    pub correlation_id: CorrelationId,
}

impl Ui {
    /// The form for this run: what was asked, else a table on a terminal and JSON in a pipe.
    pub fn choose(asked: Option<Output>) -> Output {
        asked.unwrap_or(if std::io::stdout().is_terminal() { Output::Table } else { Output::Json })
    }

    /// Prints results. A table and CSV show `columns`; JSON shows everything.
    pub fn rows(&self, columns: &[&'static str], rows: &[Row]) {
        self.raw(&self.render(columns, rows));
    }

    fn render(&self, columns: &[&'static str], rows: &[Row]) -> String {
        let mut text = String::new();
        match self.output {
            Output::Json => rows.iter().for_each(|row| text += &format!("{}\n", row.object())),
            Output::Csv => {
                text += &csv_line(columns.iter().map(|name| (*name).to_owned()));
                for row in rows {
                    text += &csv_line(columns.iter().map(|name| cell(row.get(name))));
                }
            }
            Output::Table => text = table(columns, rows),
        }
        text
    }

    /// Prints results of a batch as they come: the head of a table or of CSV only the first time.
    pub fn batch(&self, columns: &[&'static str], rows: &[Row], first: bool) {
        self.raw(&self.part(columns, rows, first));
    }

    fn part(&self, columns: &[&'static str], rows: &[Row], first: bool) -> String {
        if rows.is_empty() {
            return String::new();
        }
        // Lines keep their ends, since those of CSV are CRLF. No cell has one inside: all are escaped.
        let head = usize::from(!first && self.output != Output::Json);
        self.render(columns, rows).split_inclusive('\n').skip(head).collect()
    }

    /// Prints one object: `name  value` lines in a table.
    pub fn object(&self, row: &Row) {
        if self.output != Output::Table {
            let columns: Vec<_> = row.0.iter().map(|(name, _)| *name).collect();
            return self.rows(&columns, std::slice::from_ref(row));
        }
        let width = row.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines =
            row.0.iter().map(|(name, value)| format!("{}  {}\n", padded(name, width), shown(&cell(Some(value)))));
        self.raw(&lines.collect::<String>());
    }

    /// Text that is a result as it is, such as a man page.
    pub fn raw(&self, text: &str) {
        // A closed pipe (`| head`) is the reader's choice and no error of ours.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }

    /// A word on stderr, unless quiet.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// A detail on stderr, when asked for.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            self.say(text);
        }
    }

    /// A warning on stderr.
    pub fn warn(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "warning: {text}");
    }

    /// An error on stderr: words for people, one JSON object for programs.
    pub fn error(&self, error: &Error) {
        let text = if self.output == Output::Json {
            json!({ "error": error_value(error), "correlation_id": self.correlation_id }).to_string()
        } else {
            let hint = error.advice().map(|hint| format!("\nhint: {}", shown(hint))).unwrap_or_default();
            format!("error: {}{hint}", shown(&error.full()))
        };
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// A progress bar over `len` steps; hidden unless stderr is a terminal and the work is long.
    pub fn progress(&self, len: u64, what: &'static str) -> ProgressBar {
        self.bar(len, what, "{msg} {bar:30} {pos}/{len} {eta}")
    }

    /// As [`Ui::progress`], over bytes.
    pub fn progress_in_bytes(&self, len: u64, what: &'static str) -> ProgressBar {
        self.bar(len, what, "{msg} {bar:30} {bytes}/{total_bytes} {eta}")
    }

    fn bar(&self, len: u64, what: &'static str, template: &str) -> ProgressBar {
        let visible = !self.quiet && len > 1 && std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(
            Some(len),
            if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar
    }
}

/// An error as JSON.
pub fn error_value(error: &Error) -> Value {
    let mut value = json!({
        "error_class": error.kind().class(),
        "code": error.code(),
        "message": error.full(),
        "exit_code": error.kind().exit_code(),
    });
    if let Some(hint) = error.advice() {
        value["hint"] = hint.into();
    }
    value
}

/// How a batch ends: the worst kind of what happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Worst(Option<Kind>);

impl Worst {
    /// Takes one more into account.
    pub fn add(&mut self, kind: Kind) {
        self.0 = Some(self.0.map_or(kind, |worst| worst.worse(kind)));
    }

    /// Whether the operator wanted to stop, and nothing worse came up.
    pub fn is_interrupted(self) -> bool {
        self.0 == Some(Kind::Interrupted)
    }

    /// Exit code.
    pub fn exit_code(self) -> u8 {
        self.0.map_or(0, Kind::exit_code)
    }
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => list.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}

fn csv_line(cells: impl Iterator<Item = String>) -> String {
    let quoted = cells.map(|cell| {
        // A spreadsheet would run these as formulas.
        let guard = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
        format!("\"{guard}{}\"", shown(&cell).replace('"', "\"\""))
    });
    quoted.collect::<Vec<_>>().join(",") + "\r\n"
}

/// The widest column that is filled up with blanks; what is wider stands out. A formatter takes no width beyond 65,535.
const MAX_WIDTH: usize = 1_000;

fn padded(cell: &str, width: usize) -> String {
    let missing = width.min(MAX_WIDTH).saturating_sub(cell.chars().count());
    [cell, &" ".repeat(missing)].concat()
}

fn table(columns: &[&'static str], rows: &[Row]) -> String {
    let cells = |row: &Row| columns.iter().map(|name| shown(&cell(row.get(name)))).collect::<Vec<_>>();
    let mut lines = vec![columns.iter().map(|name| name.replace('_', " ").to_uppercase()).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(cells));
    let width = |i: usize| lines.iter().filter_map(|line| line.get(i)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..columns.len()).map(|i| width(i).unwrap_or(0)).collect();
    let render = |line: &Vec<String>| {
        let padded = line.iter().zip(&widths).map(|(cell, width)| padded(cell, *width));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(render).collect()
}

/// Asks at the terminal for the passphrase of an SSH key.
///
/// # Errors
/// There is no terminal.
pub fn passphrase(name: &str) -> crate::error::Result<secrecy::SecretString> {
    if Terminal::open().is_none() {
        return Err(Error::blocked("no_terminal", format!("there is no terminal to ask for the passphrase of {name}"))
            .hint("put the key into ssh-agent, and name its public half with --identity"));
    }
    let prompt = dialoguer::Password::new().with_prompt(format!("passphrase of {name}"));
    let answer = prompt.interact().map_err(|error| {
        Error::failed("no_passphrase", "the prompt for a passphrase failed").because(anyhow::anyhow!("{error}"))
    })?;
    Ok(answer.into())
}

/// Makes sure that something destructive is meant: `word` has to be typed at the terminal, unless `--yes` said it.
///
/// # Errors
/// `not_confirmed`: something else was typed, or there is no terminal.
pub fn confirm(yes: bool, what: &str, word: &str) -> crate::error::Result<()> {
    if yes {
        return Ok(());
    }
    let unmeant = |why: &str| Error::usage("not_confirmed", format!("{what}: {why}")).hint("--yes, if it is meant");
    let mut terminal = Terminal::open().ok_or_else(|| unmeant("nobody is at the terminal to confirm it"))?;
    let typed = terminal.ask(&format!("{}. Type {} to go on: ", shown(what), shown(word)))?;
    if typed == word { Ok(()) } else { Err(unmeant("it was not confirmed")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_gets_no_formula_and_a_terminal_no_escape() {
        assert_eq!(
            csv_line(["=1+1", "a\"b", "x\u{1b}y"].map(String::from).into_iter()),
            "\"'=1+1\",\"a\"\"b\",\"x\\u{1b}y\"\r\n"
        );
        let row = Row::new().with("file", "a\u{1b}[2Jb").with("state", "signed");
        assert_eq!(table(&["file", "state"], &[row]), "FILE         STATE\na\\u{1b}[2Jb  signed\n");
    }

    #[test]
    fn the_parts_of_a_batch_make_one_document() {
        let columns = ["file", "state"];
        let row = |file: &str| Row::new().with("file", file).with("state", "signed");
        for output in [Output::Table, Output::Json, Output::Csv] {
            let ui = Ui { output, quiet: true, verbose: false, correlation_id: CorrelationId::generate() };
            let whole = ui.render(&columns, &[row("a\nb"), row("a\rb")]);
            let parts = [ui.part(&columns, &[row("a\nb")], true), ui.part(&columns, &[row("a\rb")], false)];
            assert_eq!(parts.concat(), whole, "{output}");
            assert_eq!(ui.part(&columns, &[], true), "");
            assert_eq!(whole.contains('\r'), output == Output::Csv);
        }
    }

    #[test]
    fn a_batch_ends_with_its_worst() {
        let mut worst = Worst::default();
        assert_eq!(worst.exit_code(), 0);
        worst.add(Kind::Findings);
        worst.add(Kind::Blocked);
        worst.add(Kind::Findings);
        assert_eq!(worst.exit_code(), 4);
    }
}

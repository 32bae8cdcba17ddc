//! A request in plain words, made from its bytes and nothing else. Nothing in it is left out, and no text in it can
//! pass for another line: where one is too long for a line, the next begins with a bar that nothing else begins with.

use super::{brief, equipment};
use crate::clock::rfc3339;
use crate::config::policy::Operation;
use crate::error::shown;
use crate::gate::{Plan, command_line};
use crate::people::cab::CabApproval;
use crate::people::request::Step;
use crate::people::{ApprovalRequest, Roster, founding};
use crate::request::Kind;
use serde_json::Value;

/// Where the text of a line begins.
const INDENT: usize = 13;

/// What stands in the place of a label where a text goes on; no text begins so far to the left.
const GOES_ON: &str = "           |";

/// How much of a line is used.
const WIDTH: usize = 100;

/// Labelled lines.
#[derive(Default)]
pub(in crate::commands) struct Words(Vec<String>);

impl Words {
    /// Adds a text with its label.
    pub(in crate::commands) fn line(&mut self, label: &str, text: &str) {
        let text = shown(text);
        let mut label = label;
        let mut row = String::new();
        let mut used = INDENT;
        for c in text.chars() {
            // Outside of ASCII a character may be two columns wide.
            let width = if c.is_ascii() { 1 } else { 2 };
            if used + width > WIDTH {
                self.0.push(format!("{label:INDENT$}{row}"));
                (label, row, used) = (GOES_ON, String::new(), INDENT);
            }
            row.push(c);
            used += width;
        }
        self.0.push(format!("{label:INDENT$}{row}").trim_end().to_owned());
    }

    /// The whole, with a line end after each line.
    pub(in crate::commands) fn text(&self) -> String {
        self.0.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

/// What a request says. Of rules and of a founding, what a person has to read of it; with `whole`, everything.
pub(super) fn of_request(request: &ApprovalRequest, whole: bool) -> Words {
    let mut words = Words::default();
    heading(&mut words, request);
    let brief = if whole { None } else { brief::of(request) };
    let is_brief = brief.is_some();
    match brief {
        Some(lines) => {
            // Whose word there is for the hardware stands first.
            let equipment = request.steps.iter().flat_map(equipment::lines);
            equipment.chain(lines).for_each(|(label, text)| words.line(label, &text));
        }
        None => {
            for (i, step) in request.steps.iter().enumerate() {
                of_step(&mut words, i + 1, step);
            }
        }
    }
    of_state(&mut words, request, is_brief);
    words
}

/// Who asks for what, and why.
fn heading(words: &mut Words, request: &ApprovalRequest) {
    if let Some(glass) = &request.break_glass {
        words.line("BREAK-GLASS", "THIS GOES AROUND THE ORDINARY WAY, IN A DECLARED INCIDENT");
        words.line("  INCIDENT", &glass.incident);
        words.line("  BECAUSE", &glass.justification);
    }
    let asked = match request.is_founding() {
        true => format!("found a {} workspace of {}", request.environment, request.origin),
        false => phrase(request.operation, &request.object),
    };
    words.line("asked", &asked);
    words.line("by", request.requester.email.as_str());
    words.line("because", &request.reason);
    request.ticket.iter().for_each(|ticket| words.line("ticket", ticket));
    words.line("command", &command_line(&request.command));
    words.line("where", &format!("the {} workspace {}", request.environment, request.workspace_id));
    words.line("", &format!("of {}", request.origin));
}

/// What a plan says that nobody signed yet.
pub(in crate::commands) fn of_plan(plan: &Plan) -> Words {
    let mut words = Words::default();
    words.line("would", &phrase(plan.rule, &plan.object));
    words.line("command", &command_line(&plan.command));
    for (i, step) in plan.steps.iter().enumerate() {
        of_step(&mut words, i + 1, step);
    }
    if plan.steps.is_empty() {
        words.line("step", "none: there is nothing to do");
    }
    words
}

/// What an approval of artifacts says.
pub(super) fn of_cab(approval: &CabApproval) -> Words {
    let mut words = Words::default();
    approval.describe().iter().for_each(|(label, text)| words.line(label, text));
    words
}

fn of_step(words: &mut Words, number: usize, step: &Step) {
    words.line(&format!("step {number}"), &format!("{}: {}", step_phrase(&step.operation), step.object));
    equipment::lines(step).iter().for_each(|(label, text)| words.line(label, text));
    people(step).iter().for_each(|line| words.line("", &format!("  {line}")));
    let mut params = Vec::new();
    flatten("", &step.params, &mut params);
    params.iter().for_each(|param| words.line("", &format!("  {param}")));
}

/// What a step says about people, before the rosters themselves: who is there at first, and what changes later.
fn people(step: &Step) -> Vec<String> {
    let roster = |name: &str| step.params.get(name).and_then(|value| Roster::from_value(value).ok());
    match (roster("roster"), roster("from"), roster("to")) {
        (Some(first), ..) => first.description(),
        (None, Some(from), Some(to)) => Roster::difference(&from, &to),
        _ => Vec::new(),
    }
}

fn of_state(words: &mut Words, request: &ApprovalRequest, brief: bool) {
    // What is left out here names what the gate holds against the ledger.
    for (name, token) in request.tokens.iter().filter(|_| !brief) {
        words.line("token", &format!("{name}: serial {}, label {}", token.serial, token.label));
        words.line("", &format!("  {} {}, firmware {}", token.manufacturer, token.model, token.firmware));
        match &token.module_sha256 {
            Some(hash) => words.line("", &format!("  module {hash}")),
            None => words.line("", "  the software token inside keyctl"),
        }
    }
    for (subject, seq) in &request.subjects {
        words.line("unless", &format!("{subject} changes after ledger entry {seq}"));
    }
    let times = [request.created_at, request.not_before, request.not_after].map(rfc3339);
    let [made, from, until] = &times;
    words.line("valid", &format!("from {from} until {until}, made {made}"));
    if brief {
        if request.is_founding() {
            words.line("genesis", "none yet: THIS FOUNDS A WORKSPACE");
        }
        words.line("", "-v shows all of it");
        return;
    }
    words.line("ledger", &format!("{} entries, root {}", request.log_head.size, request.log_head.root));
    match request.genesis_sha256 {
        Some(genesis) => words.line("genesis", &genesis.to_string()),
        None => words.line("genesis", "none yet: THIS FOUNDS A WORKSPACE"),
    }
    words.line("roster", &format!("version {}, {}", request.roster.version, request.roster.sha256));
    words.line("settings", &request.settings_sha256.to_string());
    let tool = request.tool.sha256.map_or_else(|| "of unknown hash".to_owned(), |hash| hash.to_string());
    words.line("made by", &format!("keyctl {}, {tool}", request.tool.version));
    words.line("request", &request.request_id);
}

/// One line for each value: `path: value`, in the order of the bytes.
fn flatten(path: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, member, lines);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                flatten(&format!("{path}[{i}]"), item, lines);
            }
        }
        Value::String(text) if is_plain(text) => lines.push(format!("{path}: {text}")),
        other => lines.push(format!("{path}: {other}")),
    }
}

/// Whether a text can stand without quotes: it is there, and could not be taken for something that is no text.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.starts_with('"') && serde_json::from_str::<Value>(text).is_err()
}

/// What the whole is.
fn phrase(operation: Operation, object: &str) -> String {
    let verb = match operation {
        Operation::KeygenCa => "make a new CA key for",
        Operation::Keygen => "make a new key for",
        Operation::Import => "take in a certificate from outside for",
        Operation::RotateCa => "replace the CA key",
        Operation::Rotate => "replace the key",
        Operation::Revoke => "revoke",
        Operation::Compromise => "treat as compromised, and revoke,",
        Operation::Suspend => "suspend",
        Operation::Reinstate => "end the suspension of",
        Operation::Destroy => "DESTROY, for ever,",
        Operation::Export => "wrap out of its token",
        Operation::EscrowOpen => "open the escrow of",
        Operation::Sign => "sign with",
        Operation::ReSign => "sign again with",
        Operation::Crl => "issue a revocation list of",
        Operation::Grant => "give standing approval to",
        Operation::Adopt => "change the rules and settings of",
        Operation::Roster => "change the people of",
        Operation::Failover => "move to another token",
        Operation::Recover => "recover",
        Operation::Drill => "rehearse with",
        Operation::Backup => "back up",
        Operation::Restore => "restore",
        Operation::FollowUp => "close a duty:",
        Operation::BreakGlass => "break the glass for",
    };
    format!("{verb} {object}")
}

/// What one act is; the name itself where there is no better word, or where it is of a later program.
fn step_phrase(operation: &str) -> String {
    let verb = match Kind::of_name(operation) {
        Some(kind) => verb(kind),
        None if operation == founding::FOUND => Some("found a workspace"),
        None => None,
    };
    verb.map_or_else(|| operation.to_owned(), |verb| format!("{verb} ({operation})"))
}

fn verb(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::GenerateKey => "make a key",
        Kind::IssueCertificate => "issue a certificate",
        Kind::CertifyOpenPgp => "certify an OpenPGP key",
        Kind::PublishKeyring => "publish a keyring",
        Kind::ChangeState => "change the state",
        Kind::MakeCsr => "make a certificate signing request",
        Kind::ImportCertificate => "take in a certificate",
        Kind::SignArtifact => "sign",
        Kind::AdoptSettings => "adopt settings",
        Kind::RevokeKey => "revoke a certificate",
        Kind::IssueCrl => "issue a revocation list",
        Kind::GiveGrant => "give a standing approval",
        Kind::EndGrant => "end a standing approval",
        Kind::DestroyKey => "DESTROY a private key",
        Kind::AdoptRoster => "put a roster in force",
        Kind::SuspendPerson => "let a person's signatures count for nothing",
        Kind::RestorePerson => "let a person's signatures count again",
        Kind::SuspendKey => "stop a key",
        Kind::ReinstateKey => "let a key go on",
        Kind::SetTime => "SET THE LEDGER'S TIME BACK",
        Kind::CloseFollowUp
        | Kind::UpdatePipeline
        | Kind::ConfirmCrl
        | Kind::MarkArtifacts
        | Kind::TestKey
        | Kind::LinkRoots
        | Kind::PublishMetadata
        | Kind::ActivateKey
        | Kind::ReviewKey => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::request::tests::example;
    use crate::people::request::{BreakGlass, TokenSummary};
    use serde_json::json;

    #[test]
    fn everything_in_the_bytes_is_in_the_words() {
        let mut request = example();
        request.ticket = Some("CHG-1".to_owned());
        request.tokens.insert(
            "primary".parse().unwrap(),
            TokenSummary {
                serial: "serial-1".to_owned(),
                label: "label-1".to_owned(),
                manufacturer: "maker-1".to_owned(),
                model: "model-1".to_owned(),
                firmware: "firmware-1".to_owned(),
                module_sha256: Some(crate::model::Hash256([5; 32])),
            },
        );
        request.break_glass = Some(BreakGlass { incident: "INC-7".to_owned(), justification: "stolen".to_owned() });
        request.steps[0].params =
            json!({"a": {"b": [1, "two", {"c": null}]}, "d": [], "e": "true", "f": "", "g": true});
        let text = of_request(&request, true).text();
        // Each leaf of the document, but for its schema and the key's hash, which are shown otherwise.
        let value = serde_json::to_value(&request).unwrap();
        let mut leaves = Vec::new();
        flatten("", &value, &mut leaves);
        for leaf in leaves.iter().filter(|leaf| !leaf.starts_with("schema") && !leaf.starts_with("requester.key")) {
            let (_, said) = leaf.split_once(": ").unwrap();
            let said = if leaf.starts_with("operation") { "replace the key" } else { said };
            assert!(text.contains(said), "{leaf} is not in\n{text}");
        }
        for line in ["a.b[2].c: null", "d: []", "e: \"true\"", "f: \"\"", "g: true", "a.b[1]: two"] {
            assert!(text.contains(&format!("  {line}\n")), "{line} is not in\n{text}");
        }
        assert!(text.starts_with("BREAK-GLASS"));
    }

    #[test]
    fn no_text_can_pass_for_another_line() {
        let mut request = example();
        request.reason = format!("due{}by           alice@example.com", " ".repeat(200));
        request.object = "é".repeat(150);
        let text = of_request(&request, true).text();
        let by: Vec<_> = text.lines().filter(|line| line.starts_with("by")).collect();
        assert_eq!(by, ["by           carol@example.com"]);
        assert!(
            text.lines().all(|line| line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>() <= WIDTH)
        );
        let whole = |text: &str| text.lines().filter(|line| !line.starts_with(GOES_ON)).count();
        assert_eq!(whole(&text), whole(&of_request(&example(), true).text()));
        assert_eq!(text.matches('é').count(), 150, "nothing is cut");
    }

    #[test]
    fn a_command_line_can_be_read_again() {
        let words = ["rotate", "a b", "it's", "", "--x=y", "$(id)"].map(str::to_owned);
        assert_eq!(command_line(&words), r"keyctl rotate 'a b' 'it'\''s' '' --x=y '$(id)'");
    }
}

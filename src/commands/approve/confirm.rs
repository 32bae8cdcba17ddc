//! What the approver sees, and what they have to type.

use super::words::Words;
use super::{ApproveArgs, Checked};
use crate::error::{Error, Result};
use crate::ledger::witness::Standing;
use crate::model::Hash256;
use crate::ui::Terminal;
use crate::world::{Globals, grouped};

/// How often a wrong answer is forgiven.
const TRIES: usize = 3;

/// Everything there is to read, the document first.
pub(super) fn text(checked: &Checked, globals: &Globals) -> String {
    let mut words = checked.document.words(globals.ui.verbose);
    if let Some(key) = &checked.requester {
        words.line(
            "signed by",
            &format!("{} {}, which the roster there must have", key.kind(), key.openssh_fingerprint()),
        );
    }
    memory(&mut words, checked);
    words.line("SHA-256", &grouped(&checked.sha256.to_string()));
    words.text()
}

fn memory(words: &mut Words, checked: &Checked) {
    match &checked.standing {
        Standing::Continues(seen) => {
            let size = seen.head.size;
            words.line("continues", &format!("the ledger of {size} entries that this machine approved last"));
            if let Some(now) = checked.document.request().filter(|now| now.roster != seen.roster) {
                let (old, new) = (seen.roster.version, now.roster.version);
                words.line("note", &format!("the roster went from version {old} to {new} since then"));
            }
        }
        Standing::New(others) => {
            words.line("NEW HERE", "this machine has not approved a request of this workspace");
            for other in others {
                words.line("WARNING", &format!("it has for another workspace of the same origin: {other}"));
            }
        }
    }
}

/// Has a person confirm it at the terminal; with `--yes`, what was said on the command line must leave no doubt.
///
/// # Errors
/// `expect_needed`, `genesis_needed`, `no_terminal`, `not_confirmed`.
pub(super) fn ask(args: &ApproveArgs, globals: &Globals, checked: &Checked) -> Result<()> {
    let genesis = unknown_genesis(args, checked);
    if globals.yes {
        if args.expect.is_none() {
            return Err(Error::usage("expect_needed", "--yes takes --expect, which says what is meant")
                .hint("--expect SHA256, as the requester read it to you"));
        }
        if genesis.is_some() {
            return Err(Error::usage("genesis_needed", "--yes takes --genesis for a workspace that is new here")
                .hint("--genesis SHA256, as a colleague read it to you"));
        }
        globals.ui.say(&text(checked, globals));
        return Ok(());
    }
    let mut terminal = Terminal::open().ok_or_else(|| {
        Error::usage("no_terminal", "there is no terminal to ask whether this is meant")
            .hint("--yes --expect SHA256, as the requester read it to you")
    })?;
    terminal.show(&format!("\n{}\n", text(checked, globals)))?;
    if let Some(genesis) = genesis {
        confirm_genesis(&mut terminal, &genesis)?;
    }
    confirm_object(&mut terminal, checked)
}

/// The genesis that nobody vouches for yet: this machine has not seen it, no pin has it, nobody said it.
fn unknown_genesis(args: &ApproveArgs, checked: &Checked) -> Option<Hash256> {
    let new = matches!(checked.standing, Standing::New(_)) && !checked.pinned && args.genesis.is_none();
    checked.document.request()?.genesis_sha256.filter(|_| new)
}

fn confirm_genesis(terminal: &mut Terminal, genesis: &Hash256) -> Result<()> {
    let groups = grouped(&genesis.to_string());
    terminal.show(&format!("genesis      {groups}\n"))?;
    let last: String = groups.split(' ').rev().take(2).collect::<Vec<_>>().into_iter().rev().collect();
    let question = "have it read to you by somebody who founded the workspace; its last two groups: ";
    until_right(terminal, question, &|answer| {
        let digits: String = answer.chars().filter(|c| !c.is_whitespace()).collect();
        digits.to_ascii_lowercase() == last
    })
}

fn confirm_object(terminal: &mut Terminal, checked: &Checked) -> Result<()> {
    let object = checked.document.object();
    // Who made a text to be pasted could have put the answer into it; a number that comes later cannot be there.
    let wanted = if checked.input.pasted { format!("{object} {}", number()?) } else { object.to_owned() };
    let question = format!("to approve, type {}: ", crate::error::shown(&wanted));
    until_right(terminal, &question, &|answer| answer == wanted)
}

fn until_right(terminal: &mut Terminal, question: &str, right: &dyn Fn(&str) -> bool) -> Result<()> {
    for _ in 0..TRIES {
        if right(&terminal.ask(question)?) {
            return Ok(());
        }
    }
    Err(Error::blocked("not_confirmed", "that was not the answer; nothing was signed"))
}

fn number() -> Result<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::unavailable("no_randomness", "the operating system gives no randomness")
            .because(anyhow::anyhow!("{error}"))
    })?;
    Ok(1000 + u16::from_be_bytes(bytes) % 9000)
}

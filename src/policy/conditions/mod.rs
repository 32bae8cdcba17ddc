//! Each condition of each decision by itself: facts with which every gate passes, and one change at a time, which exactly
//! one gate must refuse, or must not.

mod artifacts;
mod gates;
mod grants;
mod life;
mod people;
mod revocation;
mod rotation;
mod rules;
mod signing;

use super::{Decision, Verdict};

/// The gates that do not pass; of one that could not be evaluated it is said.
fn open(decision: &Decision) -> Vec<String> {
    let open = decision.gates().iter().filter(|gate| gate.verdict != Verdict::Pass);
    let word = |verdict| if verdict == Verdict::Fail { String::new() } else { format!(" {verdict}") };
    open.map(|gate| format!("{}{}", gate.name, word(gate.verdict))).collect()
}

/// Every gate passes, and nobody has to be asked any more.
#[track_caller]
fn allows(decision: &Decision) {
    assert!(matches!(decision, Decision::Allow(_)), "{decision:?}");
}

/// It is refused, by this gate and no other.
#[track_caller]
fn stops(decision: &Decision, gate: &str) {
    assert!(matches!(decision, Decision::Block(_)), "{gate}: {decision:?}");
    assert_eq!(open(decision), [gate], "{decision:?}");
}

/// The gates pass, and people have to agree.
#[track_caller]
fn asks(decision: &Decision) {
    assert!(matches!(decision, Decision::NeedsApproval(_)), "{decision:?}");
    assert_eq!(open(decision), Vec::<String>::new());
}

/// What a gate looked at, and what it held it against.
#[track_caller]
fn words(decision: &Decision, name: &str) -> (String, String) {
    let gate = decision.gates().iter().find(|gate| gate.name == name);
    let gate = gate.unwrap_or_else(|| panic!("no {name} in {decision:?}"));
    (gate.input.clone(), gate.limit.clone())
}

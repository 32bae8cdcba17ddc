//! How commands come to a consent, and what they show on the way: the plan in a dry run, the request that waits.

use super::approve::words;
use crate::clock::rfc3339;
use crate::error::{Error, Kind, Result};
use crate::files::shown_path;
use crate::gate::Consent;
use crate::policy::Verdict as Outcome;
use crate::ui::{Output, Row, Worst};
use crate::world::authority::{Answer, Foreseen, Mandate, Pending, Planned};
use crate::world::{World, grouped};

/// What a command may do, or how a dry run ends.
pub enum Leading {
    /// It goes on.
    On(Consent),
    /// It was a dry run, and everything is shown.
    Shown(Worst),
}

/// Brings the plan of a command to a consent; a dry run shows it and ends there.
///
/// # Errors
/// `approval_needed`, after the request was shown; as [`World::consent`].
pub fn consent<P: Into<Planned>>(
    world: &mut World,
    mandate: Mandate,
    plan: impl FnOnce(&mut World) -> Result<P>,
) -> Result<Leading> {
    match world.consent(mandate, plan)? {
        Answer::Given(consent) => Ok(Leading::On(consent)),
        Answer::Shown(foreseen) => show(world, &foreseen).map(Leading::Shown),
        Answer::Waits(pending) => {
            waits(world, &pending);
            Err(pending.error())
        }
    }
}

/// Shows what a dry run found: for people in words, for programs as one object.
///
/// # Errors
/// A bug: it has no JSON form.
pub fn show(world: &World, foreseen: &Foreseen) -> Result<Worst> {
    let mut worst = Worst::default();
    for verdict in &foreseen.verdicts {
        match verdict.result {
            "block" => worst.add(Kind::Blocked),
            "needs-approval" if foreseen.threshold < 2 => worst.add(Kind::ApprovalNeeded),
            _ => {}
        }
        for gate in verdict.gates.iter().filter(|gate| gate.verdict != Outcome::Pass) {
            world.ui().warn(&format!("{} {}: {} (limit {})", gate.name, gate.verdict, gate.input, gate.limit));
        }
    }
    if world.ui().output == Output::Table {
        world.ui().raw(&text(foreseen));
        return Ok(worst);
    }
    let text = serde_json::to_string(foreseen);
    let text = text.map_err(|error| Error::bug("a plan has no JSON form").because(error))?;
    world.ui().raw(&format!("{text}\n"));
    Ok(worst)
}

fn text(foreseen: &Foreseen) -> String {
    let mut words = words::of_plan(&foreseen.plan);
    let roles: Vec<_> = foreseen.must_include.iter().map(|role| role.as_str()).collect();
    let people = match (foreseen.threshold, roles.is_empty()) {
        (0, _) => "nobody is asked".to_owned(),
        (people, true) => format!("{people} in all, the requester among them"),
        (people, false) => format!("{people} in all, the requester and these roles among them: {}", roles.join(", ")),
    };
    words.line("people", &people);
    for verdict in &foreseen.verdicts {
        let step = verdict.step.saturating_add(1);
        words.line("gates", &format!("step {step}: {}", verdict.result));
        for gate in &verdict.gates {
            words.line("", &format!("  {} {}: {} (limit {})", gate.name, gate.verdict, gate.input, gate.limit));
        }
    }
    words.text()
}

/// Shows the request that waits for others.
pub fn waits(world: &World, pending: &Pending) {
    let sha256 = pending.sha256.to_string();
    let candidates: Vec<_> = pending.counted.missing.candidates.iter().map(ToString::to_string).collect();
    world.ui().object(
        &Row::new()
            .with("request", shown_path(&pending.path))
            .with("request_id", pending.document.request_id.as_str())
            .with("sha256", sha256.as_str())
            .with("aloud", grouped(&sha256))
            .with("waits_for", pending.counted.missing.to_string())
            .with("may_approve", candidates)
            .with("until", rfc3339(pending.document.not_after)),
    );
}

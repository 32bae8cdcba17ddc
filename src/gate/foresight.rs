//! What the gates would say now, for those who ask beforehand. Nothing is written, and nothing is believed later: whoever
//! asks in earnest is judged again.

use super::weighing::Weighed;
use super::{Ground, HandedIn, blocked};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::model::{Actor, CorrelationId};
use crate::people::request::Step;
use crate::policy::facts::People;
use crate::policy::{Decide, Decision, every, hardware};
use crate::request::{Kind, Request};

/// What the gates would say to these requests now. Nothing is written.
///
/// # Errors
/// The ledger cannot be read.
pub fn preview<O: Decide>(ledger: &mut Ledger, requests: &[Request<O>]) -> Result<Vec<Decision>> {
    preview_on(ledger, None, requests)
}

/// As [`preview`], as if this approval of the change advisory board had been handed in. What is allowed uses it up for
/// the rest, as it would at the gate.
///
/// # Errors
/// The ledger cannot be read.
pub fn preview_on<O: Decide>(
    ledger: &mut Ledger,
    handed_in: Option<&HandedIn>,
    requests: &[Request<O>],
) -> Result<Vec<Decision>> {
    judge(ledger, handed_in, requests, false)
}

/// With `agreed`, as if whoever has to agree had done so.
fn judge<O: Decide>(
    ledger: &mut Ledger,
    handed_in: Option<&HandedIn>,
    requests: &[Request<O>],
    agreed: bool,
) -> Result<Vec<Decision>> {
    let mut writer = ledger.writer()?;
    writer.is_for(O::KIND);
    handed_in.map(|handed_in| handed_in.take(&mut writer)).transpose()?;
    let ground = Ground::read(&writer)?;
    let mut uses = 0;
    let mut decide = |request| {
        let people = if agreed { People::Shown(Vec::new()) } else { Weighed::unasked(&ground).people };
        let mut facts = ground.facts(writer.before(), request, people)?;
        facts.signing.iter_mut().for_each(|signing| signing.uses = signing.uses.saturating_add(uses));
        let decision = hardware::weigh(request, &facts);
        uses += u64::from(matches!(decision, Decision::Allow(_)));
        Ok(decision)
    };
    requests.iter().map(&mut decide).collect()
}

/// What the gates would say to a planned act now, if all of its parameters are known; with `agreed`, as if whoever has to
/// agree had done so. Nothing is written.
///
/// # Errors
/// The ledger cannot be read.
pub fn foresee(
    ledger: &mut Ledger,
    step: &Step,
    (actor, id): (&Actor, &CorrelationId),
    agreed: bool,
) -> Result<Option<Decision>> {
    // What is open is known when it is done, and judged then.
    let kind = Kind::of_name(&step.operation).filter(|kind| kind.open().is_empty());
    let Some(kind) = kind else { return Ok(None) };
    every::visit(kind, Foreseeing { ledger, step, actor, id, agreed })
}

struct Foreseeing<'a> {
    ledger: &'a mut Ledger,
    step: &'a Step,
    actor: &'a Actor,
    id: &'a CorrelationId,
    agreed: bool,
}

impl every::VisitDecide for Foreseeing<'_> {
    type Output = Result<Option<Decision>>;

    fn visit<O: Decide>(self) -> Self::Output {
        let Ok(params) = serde_json::from_value::<O>(self.step.params.clone()) else { return Ok(None) };
        let request = Request::new(self.step.object.clone(), params, self.actor.clone(), self.id.clone());
        Ok(judge(self.ledger, None, std::slice::from_ref(&request), self.agreed)?.pop())
    }
}

/// The error of what the gates would not let pass, whoever agreed.
pub fn refusal(object: &str, decision: &Decision) -> Option<Error> {
    match decision {
        Decision::Block(gates) => Some(blocked(object, gates)),
        Decision::Allow(_) | Decision::NeedsApproval(_) => None,
    }
}

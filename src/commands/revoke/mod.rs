//! `revoke`: the end of a key's certificate, decided here first and then told to everyone who verifies.

mod keyring;
mod terms;
pub(super) mod way;

use super::{act, crl, keygen, openpgp, publication};
use crate::clock::{Time, rfc3339};
use crate::config::policy::Operation as Rule;
use crate::error::{Error, Kind, Result};
use crate::files::safe;
use crate::gate;
use crate::keys::{Generation, Revocation, RevocationReason, Terms};
use crate::ledger::query;
use crate::model::{GenerationId, Purpose};
use crate::outcome::Receipt;
use crate::people::request::Step;
use crate::pki::revoked::Revoked;
use crate::policy::Decision;
use crate::request::{Request, RevokeKey};
use crate::ui::{Row, Worst};
use crate::world::World;
use crate::world::authority::{Intended, step};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use way::Way;

/// Revoke a generation of a key
///
/// The key is revoked in the register from the moment the revocation is recorded: it signs nothing more, whatever
/// happens next. Then its CA's list is built, signed, published, read back, and, where its certificates name a URL,
/// fetched from there; only with its serial number on it the revocation is reported as done. OpenPGP keys get a
/// revocation signature in the published keyring: hard for keyCompromise (nothing they signed counts), soft for
/// superseded and cessationOfOperation. Artifacts that depend on the key are marked: they have to be signed again.
///
/// Reasons: keyCompromise, cACompromise (of a CA), superseded, cessationOfOperation, affiliationChanged,
/// privilegeWithdrawn, aACompromise, unspecified. After a compromise, --compromised-since says from when on signatures
/// are void; what was timestamped before stays good. Without it the revocation counts from now on, and everything the
/// key signed is marked. A revocation is never taken back, but a later one may say that it was a compromise, or earlier.
///
/// Repeating an interrupted revocation continues it. Exit 3 if the key is revoked here but verifiers cannot know yet.
///
/// Examples:
///   keyctl revoke windows/1 --reason superseded
///   keyctl revoke windows/1 --reason keyCompromise --compromised-since 2026-11-02T00:00:00Z
///   keyctl revoke installer/1 --reason keyCompromise --reference 'ticket 4711 at the issuer'
///   keyctl revoke apt-root/1 --reason keyCompromise --certificate apt-root-1.asc
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RevokeArgs {
    /// The generation, as in windows/3
    #[arg(value_name = "KEY/GEN")]
    generation: GenerationId,
    /// Why (RFC 5280 §5.3.1)
    #[arg(long, value_name = "REASON")]
    reason: RevocationReason,
    /// Since when others may have had the key (RFC 3339); only for compromises
    #[arg(long, value_name = "TIME")]
    compromised_since: Option<String>,
    /// How the external issuer was told, such as a ticket; only for its certificates
    #[arg(long, value_name = "TEXT")]
    reference: Option<String>,
    /// The revocation certificate that was put aside for an OpenPGP primary key; its private key is not needed then
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    #[command(flatten)]
    fetch: crl::FetchArgs,
    #[command(flatten)]
    break_glass: super::BreakGlassArgs,
}

/// No revocation certificate is larger, in bytes.
const MAX_CERTIFICATE: u64 = 64 << 10;

/// A revocation, fully worked out.
struct Plan {
    generation: Generation,
    terms: Terms,
    way: Way,
    reference: Option<String>,
    /// The revocation certificate that was put aside.
    put_aside: Option<String>,
    /// What the register has already.
    recorded: Option<Revocation>,
}

/// Runs `revoke`.
///
/// # Errors
/// `revoked_unpublished` (unavailable) when the key is revoked and verifiers cannot know; `approval_needed` where people
/// have to agree; as each stage of the road says.
pub fn run(args: &RevokeArgs, world: &mut World) -> Result<Worst> {
    args.break_glass.apply(world);
    world.settings()?;
    let stop = crate::world::interrupts()?;
    let _lock = crl::lock(world, &args.generation.key)?;
    let plan = plan(args, world)?;
    if world.globals.dry_run {
        return preview(world, &plan);
    }
    if !plan.is_done() {
        let is_approved = world.warrant.is_some();
        if world.asks_people() {
            let intended = intended(args, &plan)?;
            world.authorize(intended)?;
        }
        if !is_approved && !plan.is_decided() {
            explain(world, &plan);
            let what = format!("a revocation of {} cannot be taken back", args.generation);
            crate::ui::confirm(world.globals.yes, &what, &args.generation.to_string())?;
        }
    }
    let mut worst = Worst::default();
    let told = tell(world, &plan, args.fetch.fetch(), &stop);
    let unpublished = told.failure.map(|error| unpublished(world, &plan, error)).transpose()?;
    crl::finish(world, &told.receipts, &mut worst)?;
    world.ui().object(&describe(world, &plan, &told.receipts)?);
    unpublished.map_or(Ok(worst), Err)
}

/// What people agree to. Who continues what was decided only tells it, as whoever issues a list does.
fn intended(args: &RevokeArgs, plan: &Plan) -> Result<Intended> {
    let mut command =
        vec!["revoke".to_owned(), args.generation.to_string(), "--reason".into(), args.reason.to_string()];
    let mut option = |name: &str, value: Option<String>| {
        command.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    };
    option("--compromised-since", args.compromised_since.clone());
    option("--reference", args.reference.clone());
    option("--certificate", args.certificate.as_deref().map(keygen::absolute).transpose()?);
    if !args.fetch.fetch() {
        command.push("--no-fetch".into());
    }
    let params = plan.params();
    let tokens = match &plan.way {
        Way::List(issuer) | Way::Keyring(issuer) => vec![issuer.copy()?.hsm.clone()],
        Way::Register(_) => Vec::new(),
    };
    Ok(Intended {
        operation: if plan.is_decided() { Rule::Crl } else { Rule::Revoke },
        object: args.generation.to_string(),
        command,
        steps: vec![step(args.generation.to_string(), &params)?],
        subjects: vec![args.generation.key.to_string()],
        tokens,
    })
}

impl Plan {
    /// The register says this already.
    fn is_decided(&self) -> bool {
        self.recorded.as_ref().is_some_and(|recorded| recorded.terms == self.terms)
    }

    /// And so does everything that tells others.
    fn is_done(&self) -> bool {
        self.is_decided() && self.recorded.as_ref().is_some_and(|recorded| recorded.told.is_some())
    }

    /// The parameters, without what is only known when it is made.
    fn params(&self) -> RevokeKey {
        RevokeKey {
            generation: self.generation.id.clone(),
            issuer: match &self.way {
                Way::List(issuer) | Way::Keyring(issuer) => Some(issuer.id.clone()),
                Way::Register(_) => None,
            },
            reason: self.terms.reason,
            revocation_date: self.terms.revocation_date,
            invalidity_date: self.terms.invalidity_date,
            reference: self.reference.clone(),
            crl: None,
            plan: None,
        }
    }
}

fn plan(args: &RevokeArgs, world: &World) -> Result<Plan> {
    let generation = world.generation(&args.generation)?;
    let recorded = query::revocation(world.ledger.connection(), &generation.id)?;
    let since = args.compromised_since.as_deref().map(terms::parse_time).transpose()?;
    let terms = terms::resolve(world, &generation, recorded.as_ref(), (args.reason, since))?;
    let way = way::of(world, &generation, args.reference.as_deref())?;
    let put_aside = args.certificate.as_deref().map(|path| safe::read_text(path, MAX_CERTIFICATE)).transpose()?;
    if put_aside.is_some() && generation.purpose != Purpose::OpenpgpPrimary {
        let message = format!("{} is no OpenPGP primary key; only those have a revocation certificate", generation.id);
        return Err(Error::usage("certificate_not_wanted", message));
    }
    Ok(Plan { generation, terms, way, reference: args.reference.clone(), put_aside, recorded })
}

/// What telling came to.
struct Told {
    receipts: Vec<Receipt>,
    failure: Option<Error>,
}

/// Does what is left to do: the revocation itself unless everyone was told, lists of further CAs, and the look at the
/// URLs.
fn tell(world: &mut World, plan: &Plan, fetch: bool, stop: &Arc<AtomicBool>) -> Told {
    let mut receipts = Vec::new();
    let failure = tell_into(world, plan, fetch, stop, &mut receipts).err();
    Told { receipts, failure }
}

fn tell_into(
    world: &mut World,
    plan: &Plan,
    fetch: bool,
    stop: &Arc<AtomicBool>,
    receipts: &mut Vec<Receipt>,
) -> Result<()> {
    if !plan.is_done() {
        receipts.push(decide(world, plan)?);
    }
    if matches!(plan.way, Way::Keyring(_)) {
        openpgp::publish(world)?;
    }
    // Certificates by further CAs, such as a former generation's over its successor.
    for (issuer, generation) in query::unlisted_generations(world.ledger.connection())? {
        let ca = world.generation(&issuer)?;
        if generation == plan.generation.id && crl::can_list(&ca, world.globals.clock.now()) {
            let _lock = crl::lock(world, &issuer.key)?;
            receipts.push(crl::issue(world, &ca)?);
        }
    }
    // Where files go by git, they are to be there before anybody looks.
    publication::publish_now(world)?;
    if let Way::List(ca) = &plan.way {
        crl::served::confirm(world, ca, fetch, stop)?;
    }
    Ok(())
}

/// The revocation: one intent for the decision and for telling it.
fn decide(world: &mut World, plan: &Plan) -> Result<Receipt> {
    match &plan.way {
        Way::List(ca) => {
            let _lock = crl::lock(world, &ca.id.key)?;
            let mut list = crl::list::plan(world, ca, Some((&plan.generation.id, plan.terms)))?;
            let permit = act::admit(world, list_request(world, plan, &list))?;
            let marks = query::resign_count(world.ledger.connection(), &plan.generation.id)?;
            let listed = list.sign(&world.store, &permit).map(|list| Revoked::listed(list, marks));
            world.ui().detail(&format!("time of the list: {}", list.laps()));
            act::close_for_evidence(world, permit, listed)
        }
        Way::Keyring(primary) => keyring::decide(world, plan, primary),
        Way::Register(_) => {
            let permit = act::admit(world, bare_request(world, plan))?;
            let marks = query::resign_count(world.ledger.connection(), &plan.generation.id)?;
            act::close_for_evidence(world, permit, Ok(Revoked::registered(marks)))
        }
    }
}

fn list_request(world: &World, plan: &Plan, list: &crl::list::List) -> Request<RevokeKey> {
    let mut request = bare_request(world, plan);
    request.params.crl = Some(list.crl.clone());
    request.signatures = vec![list.covered.clone()];
    request
}

fn bare_request(world: &World, plan: &Plan) -> Request<RevokeKey> {
    world.request(plan.generation.id.to_string(), plan.params())
}

/// Whether a list of ours can say that a generation is revoked.
///
/// # Errors
/// The register cannot be read.
pub(super) fn can_be_listed(world: &World, generation: &Generation) -> Result<bool> {
    if generation.identities.first().is_none_or(|identity| identity.x509().is_none()) {
        return Ok(false);
    }
    Ok(matches!(way::of(world, generation, None), Ok(Way::List(_))))
}

/// Revokes a retired generation as superseded, as of its retirement. The caller holds the key's lock.
///
/// # Errors
/// As [`run`].
pub(super) fn supersede(world: &mut World, id: &GenerationId) -> Result<()> {
    let plan = plain(world, id, (RevocationReason::Superseded, None), None)?;
    carry_out(world, &plan, false)
}

/// A compromise, as a step of the runbook says it.
pub(super) struct Compromise<'a> {
    /// Since when, if that is known.
    pub since: Option<Time>,
    /// How the external issuer was told, if there is one.
    pub reference: &'a str,
}

/// How far a revocation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The register does not say so yet.
    Open,
    /// It does, and others cannot know yet.
    Decided,
    /// They can.
    Told,
}

impl Compromise<'_> {
    /// Revokes a generation; says how verifiers learn of it.
    ///
    /// # Errors
    /// As [`run`].
    pub fn revoke(&self, world: &mut World, id: &GenerationId) -> Result<String> {
        let _lock = crl::lock(world, &id.key)?;
        let plan = self.plan(world, id)?;
        // Once more where it is done already: a list counts when it is where verifiers look.
        carry_out(world, &plan, true)?;
        Ok(format!("{id} for {}: {}", plan.terms.reason, plan.way.explain()))
    }

    /// How far it has come.
    ///
    /// # Errors
    /// The register has it revoked with words that this does not sharpen; the time cannot be.
    pub fn check(&self, world: &World, id: &GenerationId) -> Result<Stage> {
        let generation = world.generation(id)?;
        let recorded = query::revocation(world.ledger.connection(), id)?;
        let terms = terms::resolve(world, &generation, recorded.as_ref(), self.why(&generation))?;
        Ok(match recorded.filter(|recorded| recorded.terms == terms) {
            None => Stage::Open,
            Some(recorded) if recorded.told.is_none() => Stage::Decided,
            Some(_) => Stage::Told,
        })
    }

    /// That step as people see it.
    ///
    /// # Errors
    /// As [`run`], before anything is done.
    pub fn step(&self, world: &World, id: &GenerationId) -> Result<Step> {
        step(id.to_string(), &self.plan(world, id)?.params())
    }

    fn plan(&self, world: &World, id: &GenerationId) -> Result<Plan> {
        let why = self.why(&world.generation(id)?);
        plain(world, id, why, Some(self.reference))
    }

    fn why(&self, generation: &Generation) -> (RevocationReason, Option<Time>) {
        let is_ca = generation.purpose.is_ca();
        (if is_ca { RevocationReason::CaCompromise } else { RevocationReason::KeyCompromise }, self.since)
    }
}

/// `reference` is for an external issuer; nobody else gets it.
fn plain(
    world: &World,
    id: &GenerationId,
    why: (RevocationReason, Option<Time>),
    reference: Option<&str>,
) -> Result<Plan> {
    let generation = world.generation(id)?;
    let recorded = query::revocation(world.ledger.connection(), id)?;
    let terms = terms::resolve(world, &generation, recorded.as_ref(), why)?;
    let reference = reference.filter(|_| way::is_external(&generation));
    let way = way::of(world, &generation, reference)?;
    Ok(Plan { generation, terms, way, reference: reference.map(str::to_owned), put_aside: None, recorded })
}

fn carry_out(world: &mut World, plan: &Plan, fetch: bool) -> Result<()> {
    let stop = crate::world::interrupts()?;
    let told = tell(world, plan, fetch, &stop);
    let mut worst = Worst::default();
    crl::finish(world, &told.receipts, &mut worst)?;
    told.failure.map_or(Ok(()), |error| Err(unpublished(world, plan, error).unwrap_or_else(|error| error)))
}

/// Continues revocations that verifiers were not told of, for `recover`.
///
/// # Errors
/// The first thing that keeps one from being told.
pub(super) fn go_on(world: &mut World, recorded: Revocation, stop: &Arc<AtomicBool>) -> Result<Vec<Receipt>> {
    let _lock = crl::lock(world, &recorded.generation.key)?;
    let generation = world.generation(&recorded.generation)?;
    let reference = way::recorded_reference(world, &recorded)?;
    let way = way::of(world, &generation, reference.as_deref())?;
    let terms = recorded.terms;
    let plan = Plan { generation, terms, way, reference, put_aside: None, recorded: Some(recorded) };
    let told = tell(world, &plan, false, stop);
    told.failure.map_or(Ok(told.receipts), |error| Err(unpublished(world, &plan, error).unwrap_or_else(|error| error)))
}

/// If the decision stands, a failure means that verifiers do not know of it. If it does not, nothing happened.
fn unpublished(world: &World, plan: &Plan, error: Error) -> Result<Error> {
    let id = &plan.generation.id;
    let recorded = query::revocation(world.ledger.connection(), id)?;
    if recorded.is_none_or(|recorded| recorded.terms != plan.terms) || error.kind() == Kind::Bug {
        return Err(error);
    }
    if error.code() == "crl_not_served" {
        return Ok(error.about(format!("{id} is revoked, and its list says so")));
    }
    let message = format!("{id} is revoked here and signs nothing more, but verifiers cannot know yet");
    let again = format!("keyctl revoke {id} --reason {}", plan.terms.reason);
    Ok(Error::unavailable("revoked_unpublished", message).because(error).hint(again))
}

/// What is about to happen, for whoever has to confirm it.
fn explain(world: &World, plan: &Plan) {
    let ui = world.ui();
    let Terms { reason, revocation_date, invalidity_date } = plan.terms;
    ui.say(&format!("{} will be revoked for {reason} from {} on", plan.generation.id, rfc3339(revocation_date)));
    match &plan.way {
        Way::Register(why) => ui.say(why),
        way => ui.say(&format!("verifiers learn of it from {}", way.explain())),
    }
    if reason.is_compromise() && invalidity_date.is_none() {
        ui.say(
            "what was timestamped before now stays good for verifiers; --compromised-since TIME sets an earlier date",
        );
    }
}

fn preview(world: &mut World, plan: &Plan) -> Result<Worst> {
    let request = match &plan.way {
        Way::List(ca) => {
            let list = crl::list::plan(world, ca, Some((&plan.generation.id, plan.terms)))?;
            list_request(world, plan, &list)
        }
        Way::Keyring(primary) => keyring::prepare(world, plan, primary)?.0,
        Way::Register(_) => bare_request(world, plan),
    };
    let decision = gate::preview(&mut world.ledger, std::slice::from_ref(&request))?.pop();
    world.ui().raw(&format!("{}\n", serde_json::to_string_pretty(&request).unwrap_or_default()));
    let mut worst = Worst::default();
    match decision {
        Some(Decision::Block(gates)) => {
            worst.add(Kind::Blocked);
            for gate in gates.iter().filter(|gate| gate.verdict != crate::policy::Verdict::Pass) {
                world.ui().warn(&format!("{} {}: {} (limit {})", gate.name, gate.verdict, gate.input, gate.limit));
            }
        }
        Some(Decision::NeedsApproval(_)) => worst.add(Kind::ApprovalNeeded),
        _ => {}
    }
    Ok(worst)
}

/// What the register says now, and where the world can see it.
fn describe(world: &World, plan: &Plan, receipts: &[Receipt]) -> Result<Row> {
    let conn = world.ledger.connection();
    let generation = world.generation(&plan.generation.id)?;
    let recorded = query::revocation(conn, &generation.id)?;
    let recorded = recorded.ok_or_else(|| Error::bug("a revocation was recorded and is not there"))?;
    let mut row = Row::new()
        .with("generation", generation.id.to_string())
        .with("state", generation.state.as_str())
        .with("reason", recorded.terms.reason.as_str())
        .with("revocation_date", rfc3339(recorded.terms.revocation_date));
    if let Some(date) = recorded.terms.invalidity_date {
        row = row.with("invalidity_date", rfc3339(date));
    }
    row = row.with("published", recorded.told.is_some());
    if let Way::List(ca) = &plan.way
        && let Some(list) = query::published_crl(conn, &ca.id)?
    {
        row = row
            .with("crl_issuer", ca.id.to_string())
            .with("crl_number", list.number)
            .with("crl_sha256", list.sha256.to_string())
            .with("crl_file", format!("published/crl/{}-{}.crl", ca.id.key, ca.id.number))
            .with("next_update", rfc3339(list.next_update))
            .with("served", list.served.is_some());
    }
    row = row.with("told_by", plan.way.explain()).with("resign_required", query::resign_count(conn, &generation.id)?);
    let evidence = receipts.iter().map(|receipt| world.fragment_path(receipt)).next().transpose()?;
    if let Some(path) = evidence {
        row = row.with("evidence", path.to_string_lossy().into_owned());
    }
    Ok(row)
}

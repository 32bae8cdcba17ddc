//! `revoke`: the end of a key's certificate, decided here first and then told to everyone who verifies.

use crate::clock::rfc3339;
use crate::commands::crl;
use crate::commands::preview::{self, Leading};
use crate::error::{Error, Result};
use crate::files::safe;
use crate::gate;
use crate::keys::{RevocationReason, Terms};
use crate::ledger::query;
use crate::lifecycle::lists::{issue, list};
use crate::lifecycle::revocation::channel::{self, Channel};
use crate::lifecycle::revocation::revoking::{Revoking, bare_request};
use crate::lifecycle::revocation::tell::{list_request, tell, unpublished};
use crate::lifecycle::revocation::{keyring, terms};
use crate::model::{GenerationId, Purpose};
use crate::outcome::Receipt;
use crate::policy::Decision;
use crate::ui::{Row, Worst};
use crate::world::World;
use crate::world::authority::{Mandate, Planned};
use std::path::PathBuf;

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
    break_glass: crate::commands::BreakGlassArgs,
}

/// No revocation certificate is larger, in bytes.
const MAX_CERTIFICATE: u64 = 64 << 10;

/// Runs `revoke`.
///
/// # Errors
/// `revoked_unpublished` (unavailable) when the key is revoked and verifiers cannot know; `approval_needed` where people
/// have to agree; as each stage of the road says.
pub fn run(args: &RevokeArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    world.settings()?;
    let stop = crate::world::interrupts()?;
    let _lock = world.lock_key(&args.generation.key)?;
    let is_approved = mandate.is_approved();
    let planned = mandate.plan().and_then(|plan| terms::planned(&plan, &args.generation));
    let revoking = resolve(args, world, planned)?;
    let (words, glass) = (command(args)?, args.break_glass.incident());
    let consent = match preview::consent(world, mandate, |world| {
        Ok(Planned { plan: revoking.plan(words, glass)?, judged: judged(world, &revoking)? })
    })? {
        Leading::On(consent) => consent,
        Leading::Shown(worst) => return Ok(worst),
    };
    if !is_approved && !revoking.is_decided() {
        explain(world, &revoking);
        let what = format!("a revocation of {} cannot be taken back", args.generation);
        crate::ui::confirm(world.globals.yes, &what, &args.generation.to_string())?;
    }
    let mut worst = Worst::default();
    let told = tell(world, &consent, &revoking, args.fetch.fetch(), &stop);
    let unpublished = told.failure.map(|error| unpublished(world, &revoking, error)).transpose()?;
    issue::finish(world, &told.receipts, &mut worst)?;
    world.ui().object(&describe(world, &revoking, &told.receipts)?);
    unpublished.map_or(Ok(worst), Err)
}

/// The words that do it again.
fn command(args: &RevokeArgs) -> Result<Vec<String>> {
    let mut command =
        vec!["revoke".to_owned(), args.generation.to_string(), "--reason".into(), args.reason.to_string()];
    let mut option = |name: &str, value: Option<String>| {
        command.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    };
    option("--compromised-since", args.compromised_since.clone());
    option("--reference", args.reference.clone());
    option("--certificate", args.certificate.as_deref().map(crate::files::absolute).transpose()?);
    if !args.fetch.fetch() {
        command.push("--no-fetch".into());
    }
    Ok(command)
}

pub(crate) fn resolve(args: &RevokeArgs, world: &World, planned: Option<Terms>) -> Result<Revoking> {
    let generation = world.generation(&args.generation)?;
    let recorded = query::revocation(world.ledger.connection(), &generation.id)?;
    let since = args.compromised_since.as_deref().map(terms::parse_time).transpose()?;
    let terms = terms::resolve(world, &generation, recorded.as_ref(), (args.reason, since), planned)?;
    let way = channel::of(world, &generation, args.reference.as_deref())?;
    let put_aside = args.certificate.as_deref().map(|path| safe::read_text(path, MAX_CERTIFICATE)).transpose()?;
    if put_aside.is_some() && generation.purpose != Purpose::OpenpgpPrimary {
        let message = format!("{} is no OpenPGP primary key; only those have a revocation certificate", generation.id);
        return Err(Error::usage("certificate_not_wanted", message));
    }
    Ok(Revoking { generation, terms, way, reference: args.reference.clone(), put_aside, recorded })
}

/// What is about to happen, for whoever has to confirm it.
fn explain(world: &World, revoking: &Revoking) {
    let ui = world.ui();
    let Terms { reason, revocation_date, invalidity_date } = revoking.terms;
    ui.say(&format!("{} will be revoked for {reason} from {} on", revoking.generation.id, rfc3339(revocation_date)));
    match &revoking.way {
        Channel::Register(why) => ui.say(why),
        way => ui.say(&format!("verifiers learn of it from {}", way.explain())),
    }
    if reason.is_compromise() && invalidity_date.is_none() {
        ui.say(
            "what was timestamped before now stays good for verifiers; --compromised-since TIME sets an earlier date",
        );
    }
}

/// What the gates would say, with the list or the keyring that would tell of it.
fn judged(world: &mut World, revoking: &Revoking) -> Result<Vec<(usize, Decision)>> {
    if !world.globals.dry_run || revoking.is_done() {
        return Ok(Vec::new());
    }
    let request = match &revoking.way {
        Channel::List(ca) => {
            let list = list::plan(world, ca, Some((&revoking.generation.id, revoking.terms)))?;
            list_request(world, revoking, &list)
        }
        Channel::Keyring(primary) => keyring::prepare(world, revoking, primary)?.0,
        Channel::Register(_) => bare_request(world, revoking),
    };
    Ok(gate::preview(&mut world.ledger, std::slice::from_ref(&request))?.into_iter().map(|one| (0, one)).collect())
}

/// What the register says now, and where the world can see it.
fn describe(world: &World, revoking: &Revoking, receipts: &[Receipt]) -> Result<Row> {
    let conn = world.ledger.connection();
    let generation = world.generation(&revoking.generation.id)?;
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
    if let Channel::List(ca) = &revoking.way
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
    row =
        row.with("told_by", revoking.way.explain()).with("resign_required", query::resign_count(conn, &generation.id)?);
    let evidence = receipts.iter().map(|receipt| world.fragment_path(receipt)).next().transpose()?;
    if let Some(path) = evidence {
        row = row.with("evidence", path.to_string_lossy().into_owned());
    }
    Ok(row)
}

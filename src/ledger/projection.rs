//! What the leaves say, as tables: the register of keys, open intents, signed artifacts, adopted settings.
//!
//! Everything here is derived from leaves by [`apply`] and nothing else; the audit rebuilds it in memory and
//! compares row by row. So a forged row is found, and a lost table is no loss. For that to hold, a row may depend on
//! nothing but the leaves in front: documents are kept as canonical JSON (RFC 8785), and no clock is read.
//!
//! An entry that contradicts what came before is refused. The constraints in the schema say the same once more; here
//! each is asked for before a row is written, so that the refusal says what is wrong and the tables stay whole.

use super::alerts::KeyCompromised;
use super::rows::{canonical, execute, first, parse};
use super::{Entry, sql_int};
use crate::error::{Error, Result};
use crate::request::{
    CertifyOpenPgp, CloseFollowUp, EndGrant, GenerateKey, ImportCertificate, IssueCertificate, Kind, LinkRoots,
    Operation, Request, SetTime, SignArtifact, Visit,
};
use body::{field, read, text};
use register::{certified, generated, issued_by, keyring_published, moved, planned_generation, reserve, store};
use rusqlite::{Connection, params};
use serde_json::Value;

mod artifacts;
pub(super) mod authority;
mod body;
pub mod cab;
mod life;
mod people;
mod register;
mod revocation;
mod rotation;
mod settings;

/// The SQL that makes the projection tables, empty.
pub const SCHEMA: &str = concat!(
    include_str!("projection.sql"),
    include_str!("projection/revocation.sql"),
    include_str!("projection/rotation.sql"),
    include_str!("projection/cab.sql")
);

/// The names of all projection tables: what the audit compares.
#[rustfmt::skip]
pub const TABLES: &[&str] = &[
    "genesis", "settings", "tokens", "intents", "generations", "public_keys", "serials", "artifacts", "keyrings",
    "touched", "requests", "request_steps", "follow_ups", "rosters", "roster_suspensions", "suspensions", "grants", "grant_uses",
    "cosigned", "issuers", "revocations", "crl_entries", "crls", "resign",
    "cab_papers", "cab_withdrawn", "cab_uses", "artifact_contents", "resigned",
    "rotations", "rotation_failures", "key_tests", "root_links", "published_files", "key_reviews", "expiry_alerts",
];

/// Brings the tables up to date with one more entry, in the caller's transaction.
///
/// Intents open a row that their outcome closes; a successful outcome also does to the register what its request
/// asked for. Failed and unknown outcomes close the intent and change nothing else. Refusals change nothing, and
/// neither do entries without a `phase` but for alerts. Some intents do something by themselves: a serial number is
/// reserved, the number of a list is burned, and what is to be revoked is revoked from then on, whatever becomes of
/// the list that should say so.
///
/// # Errors
/// The entry contradicts what came before; the tables are then as they were.
///
/// | code | what the entry says |
/// |---|---|
/// | `bad_entry` | its body is not of the form that its type has |
/// | `second_genesis`, `bad_genesis` | a genesis that is not entry 0; one whose keys are not those of its intent, or that is not what everyone in its roster signed |
/// | `unknown_operation` | an act that this program does not know: whatever it did, the tables would not say it |
/// | `bad_outcome` | an outcome whose intent does not exist, is of another type, or is closed already |
/// | `generation_exists` | a generation is to be made that was made already |
/// | `unknown_generation`, `no_identity` | something was done to a generation that does not exist or has no key |
/// | `bad_transition` | a state that cannot follow ([`State::may_become`]), or a step from another than the present one |
/// | `bad_transition` | a mere change to `generated`, `certified` or `revoked`, which come with a key, a certificate, a reason |
/// | `one_active` | a second active generation of one key |
/// | `public_key_seen` | a public key that some generation has already (K5) |
/// | `serial_taken` | a serial number that the issuer gave out already (H5) |
/// | `artifact_id_taken` | an artifact identifier that was used already |
/// | `request_consumed` | an approval request that was consumed already |
/// | `step_taken` | an act under an approval request that does not list it, or whose step was done |
/// | `alert_given` | an alert that is given once and was given before |
/// | `cab_exhausted` | a signature that an approval of the change advisory board is not good for any more |
/// | `unknown_artifact` | a signature that takes the place of an artifact which the ledger does not have |
/// | `bad_roster_version` | a roster that does not follow the one in force |
/// | `suspended_already`, `not_suspended` | a suspension of who or what is suspended, or the end of one that is none |
/// | `bad_settings_hash` | adopted settings that do not have the hash they are named by |
/// | `bad_revocation` | a revocation that takes back what an earlier one said ([`crate::keys::Terms::sharpen`]) |
/// | `crl_number_taken` | a list whose number is not greater than every number before it (C3) |
/// | `unknown_crl` | a list was seen that was never published |
///
/// Database errors come as [`Sql`] says.
pub fn apply(conn: &Connection, entry: &Entry) -> Result<()> {
    match (entry.entry_type.as_str(), entry.phase()) {
        ("GENESIS", _) => settings::founded(conn, entry),
        (KeyCompromised::ENTRY, _) => authority::compromised(conn, entry, &read(&entry.body)?),
        (authority::CONSUMED, _) => authority::consumed(conn, entry),
        (cab::RECORDED, _) => cab::recorded(conn, entry),
        (_, None) => rotation::event(conn, entry),
        (_, Some(phase)) => act(conn, entry, phase),
    }
}

/// An entry about an act that the gate decided on.
fn act(conn: &Connection, entry: &Entry, phase: &str) -> Result<()> {
    let kind = entry.kind()?;
    match phase {
        "intent" => intent(conn, entry, kind),
        "outcome" => outcome(conn, entry, kind),
        _ => Ok(()),
    }
}

fn intent(conn: &Connection, entry: &Entry, kind: Kind) -> Result<()> {
    let request = field(&entry.body, "request")?;
    let object = text(request, "object")?;
    let process = text(&entry.body, "process")?;
    let params = field(request, "params")?;
    let id = params.get("generation").and_then(Value::as_str);
    let hsm = params.get("hsm").and_then(Value::as_str);
    let doc = canonical(request)?;
    begun(conn, entry, kind, request)?;
    execute(
        conn,
        "INSERT INTO intents (seq, type, object, generation, hsm, process, request) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![sql_int(entry.seq), kind.entry(), object, id, hsm, process, doc],
    )?;
    authority::step_begun(conn, entry, request)
}

fn outcome(conn: &Connection, entry: &Entry, kind: Kind) -> Result<()> {
    let broken = |what: &str| Error::failed("bad_outcome", format!("entry {}: {what}", entry.seq));
    let of = entry.body.get("intent").and_then(Value::as_u64).ok_or_else(|| broken("it names no intent"))?;
    if of >= entry.seq {
        return Err(broken("its intent does not come before it"));
    }
    let sql = "SELECT request FROM intents WHERE seq = ?1 AND type = ?2 AND outcome IS NULL";
    let request: Option<String> = first(conn, sql, params![sql_int(of), kind.entry()])?;
    let request = request.ok_or_else(|| broken("its intent does not exist or has an outcome already"))?;
    let result = entry.body.get("result").and_then(Value::as_str);
    match result {
        Some("ok") => {
            let request = parse(&request)?;
            succeeded(conn, entry, kind, &request)?;
            authority::moved(conn, entry, kind, &request)?;
        }
        Some("failed") => cab::given_back(conn, of)?,
        Some("unknown") => {}
        _ => return Err(broken("its result is none of ok, failed, unknown")),
    }
    authority::step_ended(conn, of, result)?;
    let sql = "UPDATE intents SET outcome = ?1, result = ?2, request = NULL WHERE seq = ?3";
    execute(conn, sql, params![sql_int(entry.seq), result, sql_int(of)])?;
    Ok(())
}

/// What an intent does by itself.
fn begun(conn: &Connection, entry: &Entry, kind: Kind, request: &Value) -> Result<()> {
    match kind {
        Kind::GenerateKey => {
            let request: Request<GenerateKey> = read(request)?;
            store(conn, &planned_generation(conn, &request.params)?)
        }
        Kind::IssueCertificate => {
            let request: Request<IssueCertificate> = read(request)?;
            let ids = (&request.params.generation, &request.params.issuer);
            reserve(conn, entry, ids, (&request.params.serial, request.params.not_after))
        }
        Kind::LinkRoots => {
            let request: Request<LinkRoots> = read(request)?;
            let ids = (&request.params.generation, &request.params.issuer);
            reserve(conn, entry, ids, (&request.params.serial, request.params.not_after))
        }
        Kind::SignArtifact => cab::used(conn, entry, &read::<Request<SignArtifact>>(request)?.params),
        Kind::RevokeKey => revocation::intended(conn, entry, &read(request)?),
        Kind::IssueCrl => revocation::list_intended(conn, entry, &read(request)?),
        // What cannot be read could never be closed as done.
        Kind::CertifyOpenPgp
        | Kind::PublishKeyring
        | Kind::ChangeState
        | Kind::MakeCsr
        | Kind::ImportCertificate
        | Kind::AdoptSettings
        | Kind::GiveGrant
        | Kind::EndGrant
        | Kind::CloseFollowUp
        | Kind::AdoptRoster
        | Kind::SuspendPerson
        | Kind::RestorePerson
        | Kind::SuspendKey
        | Kind::ReinstateKey
        | Kind::UpdatePipeline
        | Kind::DestroyKey
        | Kind::ConfirmCrl
        | Kind::MarkArtifacts
        | Kind::TestKey
        | Kind::PublishMetadata
        | Kind::ActivateKey
        | Kind::SetTime
        | Kind::ReviewKey => kind.visit(Readable(request)),
    }
}

/// Whether a request can be read as one of the visited operation.
struct Readable<'a>(&'a Value);

impl Visit for Readable<'_> {
    type Output = Result<()>;
    fn visit<O: Operation>(self) -> Result<()> {
        read::<Request<O>>(self.0).map(drop)
    }
}

/// What a successful outcome does.
fn succeeded(conn: &Connection, entry: &Entry, kind: Kind, request: &Value) -> Result<()> {
    let done = field(&entry.body, "done")?;
    match kind {
        Kind::GenerateKey => generated(conn, &read(request)?, read(field(done, "identity")?)?),
        Kind::IssueCertificate => {
            let request: Request<IssueCertificate> = read(request)?;
            certified(conn, &request.params.generation, read(field(done, "credential")?)?)?;
            issued_by(conn, &request.params.generation, &request.params.issuer)
        }
        Kind::ImportCertificate => {
            let request: Request<ImportCertificate> = read(request)?;
            certified(conn, &request.params.generation, read(field(done, "credential")?)?)
        }
        Kind::CertifyOpenPgp => {
            let request: Request<CertifyOpenPgp> = read(request)?;
            certified(conn, &request.params.generation, read(field(done, "credential")?)?)?;
            issued_by(conn, &request.params.generation, &request.params.issuer)
        }
        Kind::PublishKeyring => keyring_published(conn, entry, &read(request)?),
        Kind::ChangeState => moved(conn, &read(request)?),
        Kind::SignArtifact => artifacts::signed(conn, entry, &read(request)?, done),
        Kind::AdoptSettings => settings::adopted(conn, entry, &read(request)?),
        Kind::GiveGrant => authority::granted(conn, entry, &read(request)?),
        Kind::EndGrant => authority::end_grant(conn, entry, &read::<Request<EndGrant>>(request)?.params.grant_id),
        Kind::CloseFollowUp => {
            authority::follow_up_closed(conn, entry, &read::<Request<CloseFollowUp>>(request)?.params.follow_up)
        }
        Kind::AdoptRoster => people::adopted(conn, entry, &read(request)?),
        Kind::SuspendPerson => people::suspended(conn, entry, &read(request)?),
        Kind::RestorePerson => people::restored(conn, &read(request)?),
        Kind::SuspendKey => people::key_suspended(conn, entry, &read(request)?),
        Kind::ReinstateKey => people::key_reinstated(conn, &read(request)?),
        Kind::DestroyKey => life::destroyed(conn, &read(request)?),
        Kind::RevokeKey => revocation::done(conn, entry, &read(request)?, done),
        Kind::IssueCrl => revocation::list_done(conn, entry, &read(request)?, done),
        Kind::ConfirmCrl => revocation::list_served(conn, entry, &read(request)?),
        Kind::MarkArtifacts => revocation::told(conn, entry, &read(request)?),
        Kind::ActivateKey => rotation::activated(conn, entry, &read(request)?),
        Kind::TestKey => rotation::tested(conn, entry, &read(request)?),
        Kind::LinkRoots => rotation::linked(conn, entry, &read(request)?, done),
        Kind::PublishMetadata => rotation::published(conn, entry, &read(request)?),
        Kind::ReviewKey => rotation::reviewed(conn, entry, &read(request)?),
        Kind::SetTime => time_set(entry, &read(request)?),
        // The register says nothing of these; their entries do.
        Kind::MakeCsr | Kind::UpdatePipeline => Ok(()),
    }
}

/// The outcome says the time that the intent asked for; the entries that follow are held against it.
fn time_set(entry: &Entry, request: &Request<SetTime>) -> Result<()> {
    match entry.leaves_time() == request.params.to {
        true => Ok(()),
        false => Err(Error::failed("bad_entry", format!("entry {} sets another time than was asked for", entry.seq))),
    }
}

#[cfg(test)]
mod tests;

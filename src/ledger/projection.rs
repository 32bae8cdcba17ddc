//! What the leaves say, as tables: the register of keys, open intents, signed artifacts, adopted settings.
//!
//! Everything here is derived from leaves by [`apply`] and nothing else; the audit rebuilds it in memory and
//! compares row by row. So a forged row is found, and a lost table is no loss. For that to hold, a row may depend on
//! nothing but the leaves in front: documents are kept as canonical JSON (RFC 8785), and no clock is read.
//!
//! An entry that contradicts what came before is refused. The constraints in the schema say the same once more; here
//! each is asked for before a row is written, so that the refusal says what is wrong and the tables stay whole.

use super::alerts::KeyCompromised;
use super::genesis::{Genesis, LedgerKey};
use super::{Entry, Sql, query, sql_int};
use crate::crypto::jcs;
use crate::error::{Error, Result};
use crate::keys::{Credential, Generation, Identity, State, TokenRecord};
use crate::model::{GenerationId, Hash256, HsmName, SpkiHash};
use crate::request::{
    AdoptSettings, CertifyOpenPgp, ChangeState, CloseFollowUp, EndGrant, GenerateKey, ImportCertificate,
    IssueCertificate, Kind, LinkRoots, Operation, PublishKeyring, Request, SignArtifact, Visit,
};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

mod authority;
pub mod cab;
mod life;
mod people;
mod resigned;
mod revocation;
mod rotation;

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

/// What the database was doing, for its errors.
const KEEPING: &str = "keeping a projection";

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
        ("GENESIS", _) => genesis(conn, entry),
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

fn genesis(conn: &Connection, entry: &Entry) -> Result<()> {
    if entry.seq != 0 {
        return Err(Error::failed("second_genesis", format!("entry {} is another genesis", entry.seq)));
    }
    let genesis: Genesis = read(&entry.body)?;
    let planned = &genesis.intent.ledger_keys;
    let matches = |(key, request): (&LedgerKey, &Request<GenerateKey>)| key.generation == request.params.generation;
    let fulfilled = genesis.workspace_id == genesis.intent.workspace_id
        && genesis.ledger_keys.len() == planned.len()
        && genesis.ledger_keys.iter().zip(planned).all(matches);
    if !fulfilled {
        return Err(Error::failed("bad_genesis", "the genesis does not fulfil the intent it carries"));
    }
    people::check_founding(&genesis)?;
    let doc = settings_doc(&genesis.settings_sha256, &genesis.settings)?;
    for (key, request) in genesis.ledger_keys.iter().zip(planned) {
        let mut generation = planned_generation(conn, &request.params)?;
        generation.state = State::Active;
        generation.identities = vec![key.identity.clone()];
        check_one_active(conn, &generation)?;
        check_public_key(conn, &key.identity.spki_sha256)?;
        remember_public_key(conn, &generation.id, &key.identity.spki_sha256)?;
        store(conn, &generation)?;
    }
    execute(conn, "INSERT INTO genesis (seq, doc) VALUES (0, ?1)", [canonical(&entry.body)?])?;
    store_settings(conn, entry, &genesis.settings_sha256, &doc)?;
    store_tokens(conn, entry, &genesis.tokens)?;
    match (&genesis.roster, genesis.roster_sha256) {
        (Some(roster), Some(sha256)) => people::store_roster(conn, entry, roster, &sha256),
        (None, None) => Ok(()),
        _ => Err(Error::failed("bad_genesis", "a roster and its hash come together")),
    }
}

fn store_tokens(conn: &Connection, entry: &Entry, records: &BTreeMap<HsmName, TokenRecord>) -> Result<()> {
    for (hsm, record) in records {
        let doc = canonical(record)?;
        let sql = "INSERT INTO tokens (hsm, seq, doc) VALUES (?1, ?2, ?3)";
        execute(conn, sql, params![hsm.as_str(), sql_int(entry.seq), doc])?;
    }
    Ok(())
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

/// Takes a serial number of this issuer, for good; what has it expires then.
fn reserve(
    conn: &Connection,
    entry: &Entry,
    issuer: &GenerationId,
    (serial, not_after): (&str, crate::clock::Time),
) -> Result<()> {
    let issuer = issuer.to_string();
    let taken = "SELECT seq FROM serials WHERE issuer = ?1 AND serial = ?2";
    if let Some(seq) = first::<i64>(conn, taken, params![issuer, serial])? {
        let message = format!("the serial number {serial} of {issuer} was reserved by entry {seq}");
        return Err(Error::failed("serial_taken", message));
    }
    let sql = "INSERT INTO serials (issuer, serial, seq, expires) VALUES (?1, ?2, ?3, ?4)";
    let expires = crate::clock::rfc3339(not_after);
    execute(conn, sql, params![issuer, serial, sql_int(entry.seq), expires])?;
    Ok(())
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
            reserve(conn, entry, &request.params.issuer, (&request.params.serial, request.params.not_after))
        }
        Kind::LinkRoots => {
            let request: Request<LinkRoots> = read(request)?;
            reserve(conn, entry, &request.params.issuer, (&request.params.serial, request.params.not_after))
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
        Kind::SignArtifact => signed(conn, entry, &read(request)?, done),
        Kind::AdoptSettings => settings_adopted(conn, entry, &read(request)?),
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
        // The register says nothing of these; their entries do.
        Kind::MakeCsr | Kind::UpdatePipeline => Ok(()),
    }
}

fn settings_adopted(conn: &Connection, entry: &Entry, request: &Request<AdoptSettings>) -> Result<()> {
    let params = &request.params;
    let doc = settings_doc(&params.to_sha256, &params.settings)?;
    store_settings(conn, entry, &params.to_sha256, &doc)?;
    store_tokens(conn, entry, &params.tokens)
}

/// A generation that is about to be made: new, or planned before and never made.
fn planned_generation(conn: &Connection, params: &GenerateKey) -> Result<Generation> {
    let known = load(conn, &params.generation)?;
    if known.is_some_and(|known| known.state != State::Planned) {
        return Err(Error::failed("generation_exists", format!("{} exists already", params.generation)));
    }
    Ok(Generation {
        id: params.generation.clone(),
        purpose: params.purpose,
        environment: params.environment,
        custody: params.custody,
        state: State::Planned,
        quarantined: None,
        identities: Vec::new(),
    })
}

fn generated(conn: &Connection, request: &Request<GenerateKey>, identity: Identity) -> Result<()> {
    let mut generation = at_step(conn, &request.params.generation, State::Generated)?;
    check_public_key(conn, &identity.spki_sha256)?;
    remember_public_key(conn, &generation.id, &identity.spki_sha256)?;
    let wrong = identity.mismatches();
    generation.quarantined = wrong.map(|wrong| format!("the token reports other values for {wrong}"));
    generation.identities = vec![identity];
    store(conn, &generation)
}

fn certified(conn: &Connection, id: &GenerationId, credential: Credential) -> Result<()> {
    let mut generation = at_step(conn, id, State::Certified)?;
    certified_as(&mut generation, credential)?;
    store(conn, &generation)
}

fn certified_as(generation: &mut Generation, credential: Credential) -> Result<()> {
    let id = generation.id.clone();
    let identity = generation.identities.first_mut();
    let identity = identity.ok_or_else(|| Error::failed("no_identity", format!("{id} has no key to certify")))?;
    identity.credential = Some(credential);
    Ok(())
}

/// Remembers who certified a generation.
fn issued_by(conn: &Connection, id: &GenerationId, issuer: &GenerationId) -> Result<()> {
    let sql = "INSERT INTO issuers (generation, issuer) VALUES (?1, ?2)
               ON CONFLICT (generation) DO UPDATE SET issuer = excluded.issuer";
    execute(conn, sql, params![id.to_string(), issuer.to_string()])?;
    Ok(())
}

fn moved(conn: &Connection, request: &Request<ChangeState>) -> Result<()> {
    let ChangeState { generation: id, from, to, .. } = &request.params;
    let before = find(conn, id)?.state;
    if before != *from {
        return Err(Error::failed("bad_transition", format!("{id} is {before}, not {from}")));
    }
    // A key, a certificate and a reason come with these, and only where they were made.
    if matches!(to, State::Generated | State::Certified | State::Revoked) {
        return Err(Error::failed("bad_transition", format!("{id} cannot be declared {to}")));
    }
    let generation = at_step(conn, id, *to)?;
    check_one_active(conn, &generation)?;
    store(conn, &generation)
}

fn signed(conn: &Connection, entry: &Entry, request: &Request<SignArtifact>, done: &Value) -> Result<()> {
    let params = &request.params;
    let hash_after: Hash256 = read(field(done, "hash_after")?)?;
    let taken = "SELECT seq FROM artifacts WHERE artifact_id = ?1";
    if let Some(seq) = first::<i64>(conn, taken, params![params.artifact_id])? {
        let message = format!("the artifact id {} was used by entry {seq}", params.artifact_id);
        return Err(Error::failed("artifact_id_taken", message));
    }
    resigned::link(conn, entry, params)?;
    execute(
        conn,
        "INSERT INTO artifacts (seq, artifact_id, correlation_id, operation, hash_before, hash_after, generation, time,
                                timestamped, repository)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            sql_int(entry.seq),
            params.artifact_id,
            request.correlation_id.as_str(),
            request.operation.name(),
            params.hash_before.to_string(),
            hash_after.to_string(),
            params.generation.to_string(),
            crate::clock::rfc3339(entry.time),
            done.get("timestamp").is_some(),
            params.repository(),
        ],
    )?;
    for cosigner in &params.cosigners {
        let sql = "INSERT OR IGNORE INTO cosigned (artifact, generation) VALUES (?1, ?2)";
        execute(conn, sql, params![sql_int(entry.seq), cosigner.to_string()])?;
    }
    revocation::signed(conn, entry, params)
}

/// A key that stays in the keyring keeps the time since when it has been there; one that left begins anew.
fn keyring_published(conn: &Connection, entry: &Entry, request: &Request<PublishKeyring>) -> Result<()> {
    let params = &request.params;
    find(conn, &params.generation)?;
    let (key, sha256) = (params.generation.key.as_str(), params.sha256.to_string());
    let sql = "INSERT INTO keyrings (key, fingerprint, seq, sha256, since) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (key, fingerprint) DO UPDATE SET seq = excluded.seq, sha256 = excluded.sha256";
    let since = crate::clock::rfc3339(entry.time);
    for fingerprint in &params.fingerprints {
        execute(conn, sql, params![key, fingerprint, sql_int(entry.seq), sha256, since])?;
    }
    let gone = "DELETE FROM keyrings WHERE key = ?1 AND seq <> ?2";
    execute(conn, gone, params![key, sql_int(entry.seq)])?;
    Ok(())
}

/// The record of a generation after the step to `next`, if its life allows that one.
fn at_step(conn: &Connection, id: &GenerationId, next: State) -> Result<Generation> {
    let mut generation = find(conn, id)?;
    if !generation.state.may_become(next) {
        let message = format!("{id} cannot go from {} to {next}", generation.state);
        return Err(Error::failed("bad_transition", message));
    }
    generation.state = next;
    Ok(generation)
}

fn find(conn: &Connection, id: &GenerationId) -> Result<Generation> {
    load(conn, id)?.ok_or_else(|| Error::failed("unknown_generation", format!("{id} is not in the register")))
}

fn check_one_active(conn: &Connection, generation: &Generation) -> Result<()> {
    if generation.state != State::Active {
        return Ok(());
    }
    match query::active(conn, &generation.id.key)? {
        Some(other) if other.id != generation.id => {
            let message = format!("{} cannot be active while {} is", generation.id, other.id);
            Err(Error::failed("one_active", message))
        }
        _ => Ok(()),
    }
}

fn check_public_key(conn: &Connection, spki: &SpkiHash) -> Result<()> {
    let sql = "SELECT generation FROM public_keys WHERE spki_sha256 = ?1";
    match first::<String>(conn, sql, params![spki.to_string()])? {
        Some(id) => Err(Error::failed("public_key_seen", format!("the public key {spki} is that of {id} already"))),
        None => Ok(()),
    }
}

fn remember_public_key(conn: &Connection, id: &GenerationId, spki: &SpkiHash) -> Result<()> {
    let sql = "INSERT INTO public_keys (spki_sha256, generation) VALUES (?1, ?2)";
    execute(conn, sql, params![spki.to_string(), id.to_string()])?;
    Ok(())
}

/// The canonical form of settings that are named by `sha256`.
fn settings_doc(sha256: &Hash256, settings: &Value) -> Result<String> {
    let doc = canonical(settings)?;
    let actual = Hash256::of(doc.as_bytes());
    if actual != *sha256 {
        return Err(Error::failed("bad_settings_hash", format!("settings named {sha256} have the hash {actual}")));
    }
    Ok(doc)
}

fn store_settings(conn: &Connection, entry: &Entry, sha256: &Hash256, doc: &str) -> Result<()> {
    let sql = "INSERT INTO settings (seq, sha256, doc) VALUES (?1, ?2, ?3)";
    execute(conn, sql, params![sql_int(entry.seq), sha256.to_string(), doc])?;
    Ok(())
}

fn store(conn: &Connection, generation: &Generation) -> Result<()> {
    execute(
        conn,
        "INSERT INTO generations (key, number, state, doc) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (key, number) DO UPDATE SET state = excluded.state, doc = excluded.doc",
        params![generation.id.key.as_str(), generation.id.number, generation.state.as_str(), canonical(generation)?],
    )?;
    Ok(())
}

/// The record of one generation.
pub(super) fn load(conn: &Connection, id: &GenerationId) -> Result<Option<Generation>> {
    let sql = "SELECT doc FROM generations WHERE key = ?1 AND number = ?2";
    let doc: Option<String> = first(conn, sql, params![id.key.as_str(), id.number])?;
    doc.map(|doc| parse(&doc)).transpose()
}

/// Reads a document that is kept in a table.
pub(super) fn parse<T: DeserializeOwned>(doc: &str) -> Result<T> {
    serde_json::from_str(doc)
        .map_err(|error| Error::failed("register_broken", "a record cannot be read").because(error))
}

/// Changes rows; gives how many. A table has few such sentences, and they come with every entry, so they are kept ready.
fn execute(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<usize> {
    conn.prepare_cached(sql).and_then(|mut change| change.execute(params)).sql(KEEPING)
}

/// The one column of the first row, if there is a row.
fn first<T: rusqlite::types::FromSql>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Option<T>> {
    conn.prepare_cached(sql)
        .and_then(|mut query| query.query_row(params, |row| row.get(0)).optional())
        .sql("reading the register")
}

fn canonical(value: &impl Serialize) -> Result<String> {
    String::from_utf8(jcs::to_vec(value)?).map_err(|error| Error::bug("canonical JSON is no text").because(error))
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|error| Error::failed("bad_entry", "an entry's body cannot be read").because(error))
}

fn field<'a>(value: &'a Value, name: &str) -> Result<&'a Value> {
    value.get(name).ok_or_else(|| Error::failed("bad_entry", format!("an entry's body has no {name}")))
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    let text = field(value, name)?.as_str();
    text.ok_or_else(|| Error::failed("bad_entry", format!("{name} in an entry's body is no text")))
}

#[cfg(test)]
mod tests;

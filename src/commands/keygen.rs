//! `keygen`: the next generation of a key, from the planned CKA_ID to the published certificate.

use super::{act, openpgp, pipeline, publish};
use crate::config::{Issuer, Key};
use crate::crypto::verify::PublicKey;
use crate::error::{Error, Kind, Result};
pub(super) use crate::files::absolute;
use crate::files::lock::NamedLock;
use crate::files::{safe, shown_path};
use crate::gate::{Failure, Permit};
use crate::hsm::store::GeneratedKey;
use crate::keys::rotation::OVERLAP_DAYS;
use crate::keys::{Credential, Generation, State};
use crate::ledger::query;
use crate::model::{CkaId, Custody, GenerationId, HashAlgorithm, HsmName, KeyName, Purpose, hex};
use crate::pki::certificate::Certificate;
use crate::pki::csr::RequestDraft;
use crate::pki::issue::{self, CertificatePlan, Draft, Linted, Validity};
use crate::pki::name::{Name, Subject};
use crate::pki::profile::{Profile, ProfileName};
use crate::pki::serial::Serial;
use crate::request::{Covered, GenerateKey, IssueCertificate, MakeCsr, Operation, Role};
use crate::ui::{Row, Worst};
use crate::world::World;
use std::path::PathBuf;
use std::time::Duration;

pub(super) mod planned;

/// Make the next generation of a key
///
/// The key pair is made on the configured token with every attribute stated, its attributes are read back, the
/// public key is checked in software, and the private key shows that it is there. Then its issuer certifies it;
/// with an external issuer, --csr writes the request and `keyctl import` takes the certificate in. A first
/// generation becomes active at once; a later one is left certified.
///
/// Repeating an interrupted keygen continues it.
///
/// Examples:
///   keyctl keygen windows
///   keyctl keygen installer --csr installer.csr
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct KeygenArgs {
    /// The key, as `[keys.KEY]` names it
    key: KeyName,
    /// Write a certificate signing request (PEM) for the key's external issuer
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    #[command(flatten)]
    break_glass: super::BreakGlassArgs,
}

/// Runs `keygen`.
///
/// # Errors
/// As each stage of the road says.
pub fn run(args: &KeygenArgs, world: &mut World) -> Result<Worst> {
    args.break_glass.apply(world);
    let settings = world.settings()?;
    let key = setting(&settings, &args.key)?;
    match (&key.issuer, &args.csr) {
        (Issuer::External, None) => {
            return Err(Error::usage("csr_needed", format!("the issuer of {} is external", args.key))
                .hint(format!("keyctl keygen {} --csr {}.csr", args.key, args.key)));
        }
        (issuer, Some(_)) if *issuer != Issuer::External => {
            return Err(Error::usage("csr_not_wanted", format!("the issuer of {} is not external", args.key)));
        }
        (_, Some(path)) if path.symlink_metadata().is_ok() => {
            return Err(Error::usage("target_exists", format!("{} exists already", shown_path(path))));
        }
        _ => {}
    }
    let _lock = NamedLock::acquire(&world.dir.join("locks"), args.key.as_str(), Duration::from_secs(10))?;
    if world.globals.dry_run {
        let request = generate_request(world, &args.key, &key)?;
        return act::show(world, &request);
    }
    if world.asks_people() {
        let mut command = vec!["keygen".to_owned(), args.key.to_string()];
        if let Some(path) = &args.csr {
            command.extend(["--csr".to_owned(), absolute(path)?]);
        }
        let intended = planned::intended(world, &args.key, &key, command, args.csr.is_some())?;
        world.authorize(intended)?;
    }
    let generation = advance(world, &args.key, &key)?;
    if let Some(path) = &args.csr {
        write_csr(world, &world.generation(&generation.id)?, &key, path, false)?;
    }
    let generation = world.generation(&generation.id)?;
    openpgp::publish(world)?;
    world.checkpoint()?;
    publish::register(world)?;
    world.ui().object(&describe(&generation));
    Ok(Worst::default())
}

pub(super) fn describe(generation: &Generation) -> Row {
    let identity = generation.identities.first();
    let mut row = Row::new()
        .with("generation", generation.id.to_string())
        .with("state", generation.state.as_str())
        .with("purpose", generation.purpose.as_str());
    if let Some(identity) = identity {
        row = row.with("algorithm", identity.algorithm.as_str()).with("spki_sha256", identity.spki_sha256.to_string());
        if let Some(copy) = identity.copies.first() {
            row = row.with("token", copy.token.label.as_str()).with("cka_id", copy.cka_id.to_string());
        }
        if let Some(Credential::OpenPgp { fingerprint, .. }) = &identity.credential {
            row = row.with("fingerprint", fingerprint.as_str());
        }
    }
    if let Some(reason) = &generation.quarantined {
        row = row.with("quarantined", reason.as_str());
    }
    row
}

/// Brings the key's newest unfinished generation, or else a new one, as far as it goes without anybody outside.
pub(super) fn advance(world: &mut World, name: &KeyName, key: &Key) -> Result<Generation> {
    let mut generation = match unfinished(world, name)? {
        Some(generation) => generation,
        None => generate(world, name, key)?,
    };
    if let Some(reason) = &generation.quarantined {
        let message = format!("{} is quarantined: {reason}", generation.id);
        return Err(Error::blocked("quarantined", message).hint("keyctl doctor"));
    }
    if generation.state == State::Generated && key.issuer != Issuer::External && key.purpose != Purpose::Ledger {
        generation = certify(world, &generation, key)?;
    }
    activate_first(world, generation)
}

/// The key's newest generation that was begun and does not serve yet.
fn unfinished(world: &World, name: &KeyName) -> Result<Option<Generation>> {
    let is_unfinished = |generation: &Generation| {
        generation.id.key == *name && matches!(generation.state, State::Generated | State::Certified | State::Staged)
    };
    Ok(query::generations(world.ledger.connection())?.into_iter().rev().find(is_unfinished))
}

/// The first generation of a key takes over at once, since there is nobody to overlap with.
pub(super) fn activate_first(world: &mut World, mut generation: Generation) -> Result<Generation> {
    let has_active = query::active(world.ledger.connection(), &generation.id.key)?.is_some();
    while !has_active && matches!(generation.state, State::Certified | State::Staged) {
        let to = if generation.state == State::Certified { State::Staged } else { State::Active };
        generation = act::change_state(world, &generation, to, planned::FIRST)?;
        if to == State::Active {
            pipeline::follow(world, &generation);
        }
    }
    Ok(generation)
}

/// The next generation's request: every parameter resolved, or as it was planned.
pub(super) fn generate_request(
    world: &World,
    name: &KeyName,
    key: &Key,
) -> Result<crate::request::Request<GenerateKey>> {
    let params = match planned::key_pair(world, name)? {
        Some(planned) => planned,
        None => generate_params(world, name, key)?,
    };
    let mut request = world.request(params.generation.to_string(), params);
    request.signatures = vec![proof_covered(&request.params)];
    Ok(request)
}

fn generate_params(world: &World, name: &KeyName, key: &Key) -> Result<GenerateKey> {
    let conn = world.ledger.connection();
    let newest = query::next_number(conn, name)?.saturating_sub(1).max(1);
    let newest = GenerationId { key: name.clone(), number: newest };
    // A generation that was planned and never made keeps its number.
    let again = query::generation(conn, &newest)?.is_some_and(|known| known.state == State::Planned);
    let number = if again { newest.number } else { query::next_number(conn, name)? };
    let generation = GenerationId { key: name.clone(), number };
    check_custody(name, key)?;
    let hsm = first_hsm(key)?;
    // As it was adopted: the token itself is not needed before the permit, and compared then.
    let recorded = query::tokens(conn)?.remove(hsm).ok_or_else(|| {
        Error::blocked("token_unrecorded", format!("the token of [hsm.{hsm}] was never adopted")).hint("keyctl adopt")
    })?;
    // What an earlier try may have left on the token keeps its label.
    let again = query::count_intents(conn, GenerateKey::ENTRY, &generation)? > 0;
    let (now, cka_id) = (world.globals.clock.now(), CkaId::new(random::<16>()?)?);
    Ok(GenerateKey {
        label: label(&generation, now, again.then_some(&cka_id)),
        created: Some(now),
        generation,
        purpose: key.purpose,
        environment: world.genesis.environment,
        custody: Custody::Bound,
        algorithm: key.algorithm,
        hsm: hsm.clone(),
        token_serial: recorded.token.serial,
        cka_id,
        destroyable: !key.purpose.is_ca(),
        nonce: hex(&random::<32>()?),
    })
}

/// Keys are made to stay on their token; nothing wraps, clones or escrows them yet.
///
/// # Errors
/// `custody_unavailable`.
pub(super) fn check_custody(name: &KeyName, key: &Key) -> Result<()> {
    if key.custody == Custody::Bound {
        return Ok(());
    }
    let message = format!("[keys.{name}] has custody {}, which cannot be made yet", key.custody);
    Err(Error::usage("custody_unavailable", message).hint("custody = \"bound\"; the key then has no copy elsewhere"))
}

/// `windows/20260131/2`. An attempt that failed may have left an object with that label, so another attempt adds the
/// beginning of its CKA_ID.
pub(super) fn label(id: &GenerationId, now: crate::clock::Time, again: Option<&CkaId>) -> String {
    let mut label = format!("{}/{}/{}", id.key, now.format("%Y%m%d"), id.number);
    if let Some(cka_id) = again {
        label.push('.');
        label.extend(cka_id.to_string().chars().take(8));
    }
    label
}

/// The one signature that a keygen permit covers.
pub(super) fn proof_covered(params: &GenerateKey) -> Covered {
    let tbs = crate::hsm::store::proof_of_possession(params);
    Covered {
        role: Role::ProofOfPossession,
        spki_sha256: None,
        hsm: params.hsm.clone(),
        cka_id: params.cka_id.clone(),
        mechanism: tbs.mechanism(),
        content: hex(&tbs.content()),
        count: 1,
    }
}

/// Random bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::unavailable("no_randomness", "the operating system gives no randomness")
            .because(anyhow::anyhow!("{error}"))
    })?;
    Ok(bytes)
}

/// Makes the key's next generation.
pub(super) fn generate(world: &mut World, name: &KeyName, key: &Key) -> Result<Generation> {
    let request = generate_request(world, name, key)?;
    let id = request.params.generation.clone();
    let permit = act::admit(world, request)?;
    make(world, permit)?;
    world.generation(&id)
}

/// Makes the pair. Where nobody can say whether it was made, it is looked for at once; if the token cannot be asked,
/// the intent stays open, and `recover` asks later.
pub(super) fn make(world: &mut World, permit: Permit<GenerateKey>) -> Result<()> {
    let failure = match world.store.generate(&permit).and_then(|made| never_seen(world, made)) {
        Err(failure) if failure.unknown => failure,
        Err(failure) => return act::close::<_, GeneratedKey>(world, permit, Err(planned::spent(world, failure))),
        made => return act::close(world, permit, made),
    };
    let found = world.store.take_over(&permit);
    let settled = match found.and_then(|found| found.map(|made| never_seen(world, made)).transpose()) {
        Ok(Some(made)) => {
            world.ui().warn(&format!("{}; the pair is there and whole, and is used", failure.error.full()));
            Ok(made)
        }
        Ok(None) => {
            let error = &failure.error;
            let message = format!("{}; nothing is under the planned CKA_ID, so no pair was made", error.full());
            Err(Error::new(error.kind(), error.code(), message).into())
        }
        Err(later) if [failure.error.kind(), later.error.kind()].contains(&Kind::Unavailable) => {
            return Err(failure.error);
        }
        Err(_) => Err(failure),
    };
    act::close(world, permit, settled)
}

/// A public key that comes twice (K5) is refused: two keys that are one, or a token without randomness.
pub(super) fn never_seen(world: &World, made: GeneratedKey) -> Result<GeneratedKey, Failure> {
    let spki = made.identity().spki_sha256;
    match query::generation_by_spki(world.ledger.connection(), &spki)? {
        None => Ok(made),
        Some(other) => {
            let message = format!("the token made the public key {spki}, which is that of {} already", other.id);
            Err(Error::failed("public_key_seen", message)
                .hint("do not use this token before its maker explained it")
                .into())
        }
    }
}

/// Plain data as JSON.
pub(super) fn to_value<T: serde::Serialize>(value: &T) -> Result<serde_json::Value> {
    serde_json::to_value(value).map_err(|error| Error::bug("plain data has no JSON form").because(error))
}

/// The settings of a key.
pub(super) fn setting(settings: &crate::config::Settings, name: &KeyName) -> Result<Key> {
    let unknown = || {
        let known: Vec<_> = settings.keys.keys().map(ToString::to_string).collect();
        Error::usage("unknown_key", format!("there is no [keys.{name}]; there is {}", known.join(", ")))
    };
    settings.keys.get(name).cloned().ok_or_else(unknown)
}

pub(super) fn first_hsm(key: &Key) -> Result<&HsmName> {
    key.hsm.first().ok_or_else(|| Error::bug("a key without a token passed the configuration"))
}

/// Has the key's issuer certify a generated key.
pub(super) fn certify(world: &mut World, generation: &Generation, key: &Key) -> Result<Generation> {
    if matches!(key.purpose, Purpose::OpenpgpPrimary | Purpose::Apt) {
        return openpgp::certify(world, generation, key);
    }
    let issuer = match &key.issuer {
        Issuer::Key(name) => world.active(name)?,
        Issuer::External => return Err(Error::bug("an external issuer is not ours to ask")),
        Issuer::Itself => generation.clone(),
    };
    let dates = planned::dates(world, &generation.id)?;
    let linted = rehearsed(world, generation, &issuer, dates)?;
    let draft = linted.draft();
    let params = IssueCertificate {
        generation: generation.id.clone(),
        issuer: issuer.id.clone(),
        profile: draft.profile().to_string(),
        serial: draft.serial_hex(),
        tbs_sha256: draft.tbs_hash(),
        template_sha256: draft.template_hash(),
        not_before: draft.validity().not_before,
        not_after: draft.validity().not_after,
    };
    let mut request = world.request(generation.id.to_string(), params);
    let spki = issuer.identity()?.spki_sha256;
    request.signatures = vec![act::covered(Role::Issuer, spki, issuer.copy()?, &linted.tbs())];
    let permit = act::admit(world, request)?;
    issue_with(world, permit, &linted, &issuer)
}

/// Has the issuer sign what was rehearsed, and publishes the certificate.
pub(super) fn issue_with(
    world: &mut World,
    permit: Permit<IssueCertificate>,
    linted: &Linted,
    issuer: &Generation,
) -> Result<Generation> {
    let id = permit.request().params.generation.clone();
    let issued = world.store.open(&permit, Role::Issuer, issuer.identity()?).and_then(|key| {
        let signature = key.sign(&linted.tbs())?;
        Ok(linted.issue(&signature, issuer.id.clone())?)
    });
    act::close(world, permit, issued)?;
    let generation = world.generation(&id)?;
    publish::certificate(world, &generation)?;
    Ok(generation)
}

/// What the generation's next certificate will say, rehearsed. The same serial number and validity give the same
/// bytes, as long as the settings stay.
pub(super) fn rehearsed(
    world: &World,
    generation: &Generation,
    issuer: &Generation,
    dates: Option<(Serial, Validity)>,
) -> Result<Linted> {
    let key = setting(&world.settings()?, &generation.id.key)?;
    let public_key = generation.identity()?.public_key()?;
    let above = (issuer.id != generation.id).then_some(issuer);
    issue::rehearse(Draft::new(plan(world, (&generation.id, &key), public_key, above, dates)?)?)
}

/// The profile of a key's certificates.
pub(super) fn profile(world: &World, name: &KeyName, purpose: Purpose) -> Result<ProfileName> {
    let settings = world.settings()?;
    let issues = settings.keys.values().find(|other| other.issuer == Issuer::Key(name.clone()));
    ProfileName::of(purpose, issues.map(|other| other.purpose))
}

/// What the next certificate of this key will say. It has the serial number and the dates that were planned, or else
/// fresh ones; without an issuer it signs itself.
fn plan(
    world: &World,
    (id, key): (&GenerationId, &Key),
    public_key: PublicKey,
    issuer: Option<&Generation>,
    dates: Option<(Serial, Validity)>,
) -> Result<CertificatePlan> {
    let profile = profile(world, &id.key, key.purpose)?;
    let signer = match issuer {
        None => None,
        Some(issuer) => {
            let identity = issuer.identity()?;
            let none = || Error::blocked("no_certificate", format!("{} has no certificate", issuer.id));
            let certificate = Certificate::parse(identity.x509().ok_or_else(none)?)?;
            Some((certificate, ProfileName::of(issuer.purpose, Some(key.purpose))?, identity.algorithm))
        }
    };
    let (serial, validity) = match dates {
        Some(planned) => planned,
        None => {
            let validity = Validity::days(world.globals.clock.now(), valid_days(profile, key)?)?;
            let within = signer.as_ref().map_or(validity, |(certificate, ..)| validity.within(certificate));
            (Serial::random()?, within)
        }
    };
    let by = issuer.map_or(id, |issuer| &issuer.id);
    Ok(CertificatePlan {
        profile,
        environment: world.genesis.environment,
        subject: subject(key)?,
        public_key,
        validity,
        mechanism: signer.as_ref().map_or(key.algorithm, |(.., algorithm)| *algorithm).mechanism(HashAlgorithm::Sha256),
        issuer: match signer {
            None => issue::Issuer::SelfSigned,
            Some((certificate, profile, _)) => {
                issue::Issuer::Certificate { certificate: Box::new(certificate), profile }
            }
        },
        serial,
        crl_url: key.crl_url_by(by),
        aia_url: key.aia_url_by(by),
        policies: Vec::new(),
    })
}

/// How long a certificate is valid: a leaf for its interval and the overlap behind it, a CA long enough to outlive
/// what it issues and the lists about it.
fn valid_days(profile: ProfileName, key: &Key) -> Result<u32> {
    const INTERMEDIATE: u32 = 1826;
    const ROOT: u32 = 7305;
    let limits = Profile::get(profile)?;
    let wanted = match (limits.self_signed, limits.is_ca()) {
        (true, _) => ROOT,
        (_, true) => INTERMEDIATE,
        _ => key.rotation_days.saturating_add(OVERLAP_DAYS),
    };
    Ok(wanted.min(limits.max_validity_days))
}

fn subject(key: &Key) -> Result<Name> {
    let missing = || Error::usage("no_subject", "keyctl.toml gives the key no subject");
    let subject = key.subject.as_ref().ok_or_else(missing)?;
    Subject {
        country: subject.country.clone(),
        state: subject.state.clone(),
        locality: subject.locality.clone(),
        organization: subject.organization.clone(),
        organizational_unit: subject.organizational_unit.clone(),
        common_name: Some(subject.common_name.clone()),
    }
    .to_name()
}

/// Has a key sign a request for its certificate, and writes that to `path`; over a file that is there only if told so.
pub(super) fn write_csr(
    world: &mut World,
    generation: &Generation,
    key: &Key,
    path: &std::path::Path,
    replace: bool,
) -> Result<()> {
    let identity = generation.identity()?;
    let subject = subject(key)?;
    let draft =
        RequestDraft::new(&subject, &identity.public_key()?, identity.algorithm.mechanism(HashAlgorithm::Sha256))?;
    let tbs = draft.tbs();
    let id = generation.id.clone();
    let params = MakeCsr { generation: id.clone(), subject: subject.to_string(), tbs_sha256: draft.tbs_hash() };
    let mut request = world.request(id.to_string(), params);
    request.signatures = vec![act::covered(Role::Subject, identity.spki_sha256, generation.copy()?, &tbs)];
    let permit = act::admit(world, request)?;
    let made = world.store.open(&permit, Role::Subject, identity).and_then(|key| {
        let csr = draft.make(&key.sign(&tbs)?)?;
        let write = if replace { safe::write_atomic } else { safe::write_new };
        write(path, csr.pem()?.as_bytes(), 0o644)?;
        Ok(csr)
    });
    act::close(world, permit, made)
}

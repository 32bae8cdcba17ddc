//! The founding request: written for everyone in the roster to sign, found again when `init` is repeated, and in a
//! sandbox signed on the spot.

use crate::config::policy::Operation;
use crate::config::{Config, Settings};
use crate::crypto;
use crate::crypto::ssh::Signer;
use crate::error::{Error, Kind, Result};
use crate::files::{safe, shown_path};
use crate::founding::earlier;
use crate::founding::people::{SANDBOX_FOUNDER, sandbox_keys};
use crate::model::{Email, Environment, Hash256, hex};
use crate::people::approval::{MAX_TEXT, armours};
use crate::people::founding::{Beginning, Founded, Unsigned, signatures};
use crate::people::request::{LogHead, MAX_REQUEST, Requester, SCHEMA};
use crate::people::{ApprovalRequest, Namespace, Roster};
use crate::world::authority::REQUESTS;
use crate::world::{Globals, tool};
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why there is no workspace yet.
#[derive(Debug)]
pub(crate) struct Unfounded {
    pub error: Error,
    /// The request that everyone has to sign first.
    pub awaited: Option<Box<Awaited>>,
}

impl From<Error> for Unfounded {
    fn from(error: Error) -> Self {
        Unfounded { error, awaited: None }
    }
}

impl From<Unfounded> for Error {
    fn from(unfounded: Unfounded) -> Self {
        unfounded.error
    }
}

/// The request of a founding, and whose signatures it waits for.
#[derive(Debug)]
pub(crate) struct Awaited {
    pub document: ApprovalRequest,
    pub path: PathBuf,
    /// SHA-256 of its bytes.
    pub sha256: Hash256,
    /// People with their keys.
    pub waits_for: Vec<String>,
}

/// A founding that is to be agreed to.
pub(crate) struct Proposal<'a> {
    pub dir: &'a Path,
    pub config: &'a Config,
    pub settings: &'a Settings,
    pub beginning: &'a Beginning,
    pub earlier: Option<&'a earlier::EarlierWorkspace>,
}

/// Gives the founding when everyone has signed it.
///
/// # Errors
/// `approval_needed`, with who is missing and the literal next commands.
pub(crate) fn agreed(plan: &Proposal<'_>, globals: &Globals) -> Result<Founded, Unfounded> {
    if plan.config.environment == Environment::Sandbox {
        // One person plays everyone there, and must not thereby get at keys that other people made.
        return match plan.earlier {
            None => Ok(sandbox(plan, globals)?),
            Some(earlier) => {
                let message = format!("the tokens are those of workspace {}", earlier.named.workspace_id);
                Err(Error::blocked("token_in_use", message).hint("a sandbox takes tokens of its own").into())
            }
        };
    }
    let pending = pending(plan, globals)?;
    let signer = globals.identity.as_ref().map(|key| Signer::open(key, &mut crate::ui::passphrase)).transpose()?;
    let (path, document) = match (pending, &signer) {
        (Some(pending), _) => pending,
        (None, Some(signer)) => write(plan, signer, globals)?,
        (None, None) => {
            return Err(Error::usage("identity_needed", "founding this workspace takes somebody of its roster")
                .hint("keyctl --identity SSHKEY init")
                .into());
        }
    };
    let bytes = document.to_bytes()?;
    let mut found = armours_beside(&path)?;
    // Who runs this with a key of theirs signs with it too.
    if let Some(signer) = signer.filter(|signer| plan.beginning.roster.holder(signer.public()).is_some()) {
        let signature = signer.sign(&Namespace::Roster.of(&document.origin), &bytes)?.to_string();
        let name = format!("{}.sig", signer.public().fingerprint());
        safe::write_atomic(&path.with_extension(name), signature.as_bytes(), 0o644)?;
        found.push(signature);
    }
    let (signed, missing) = signatures(&bytes, &document.origin, &plan.beginning.roster, &found)?;
    let consent = plan.earlier.map(|earlier| earlier.consent(&bytes, &found, globals.clock.now()));
    let consent_missing = consent.as_ref().filter(|counted| !counted.is_enough()).map(|it| it.missing.to_string());
    if missing.is_empty() && consent_missing.is_none() {
        return Ok(Founded {
            request: text(bytes)?,
            signatures: signed,
            earlier: consent.map(|counted| counted.participants).unwrap_or_default(),
        });
    }
    Err(waits(plan, &document, &path, &missing, consent_missing))
}

/// In a sandbox one person plays everyone.
fn sandbox(plan: &Proposal<'_>, globals: &Globals) -> Result<Founded> {
    let roster = &plan.beginning.roster;
    let founder = match roster.person(&SANDBOX_FOUNDER.parse()?) {
        Some((email, _)) => email.clone(),
        None => roster.people.keys().next().cloned().ok_or_else(|| Error::bug("a roster has people"))?,
    };
    let document = document(plan, first_key(roster, &founder)?, globals)?;
    let bytes = document.to_bytes()?;
    let namespace = Namespace::Roster.of(&document.origin);
    let keys = sandbox_keys(plan.dir, roster)?;
    let made: Vec<_> = keys.iter().map(|key| Ok(key.sign(&namespace, &bytes)?.to_string())).collect::<Result<_>>()?;
    let (signatures, missing) = signatures(&bytes, &document.origin, roster, &made)?;
    if let Some(key) = missing.first() {
        let message = format!("the sandbox has no private key for {} ({})", key.email, key.fingerprint);
        return Err(Error::usage("key_not_at_hand", message).hint("leave roster.toml out; init then makes people"));
    }
    Ok(Founded { request: text(bytes)?, signatures, earlier: Vec::new() })
}

fn first_key(roster: &Roster, email: &Email) -> Result<Requester> {
    let key = roster.people.get(email).and_then(|person| person.keys.first());
    let key = key.ok_or_else(|| Error::bug("a person without a key passed the roster"))?;
    Ok(Requester { email: email.clone(), key_sha256: key.key()?.fingerprint() })
}

fn document(plan: &Proposal<'_>, requester: Requester, globals: &Globals) -> Result<ApprovalRequest> {
    let roster = &plan.beginning.roster;
    let workspace_id = uuid::Uuid::new_v4().to_string();
    let rule = plan.settings.policy.rule(Operation::Roster);
    let now = globals.clock.now();
    Ok(ApprovalRequest {
        schema: SCHEMA.to_owned(),
        request_id: hex(&crypto::random::<16>()?),
        steps: vec![plan.beginning.step(&workspace_id)?],
        workspace_id,
        origin: plan.config.organization.origin.clone(),
        environment: plan.config.environment,
        genesis_sha256: None,
        operation: Operation::Roster,
        object: "roster".to_owned(),
        command: vec!["init".to_owned()],
        subjects: BTreeMap::new(),
        tokens: plan.beginning.tokens.iter().map(|(hsm, record)| (hsm.clone(), record.summary())).collect(),
        log_head: LogHead { size: 0, root: Hash256::of(b"") },
        roster: roster.reference()?,
        settings_sha256: plan.settings.sha256()?,
        requester,
        reason: format!("founding of a {} workspace", plan.config.environment),
        ticket: None,
        break_glass: None,
        tool: tool().clone(),
        created_at: now,
        not_before: now,
        not_after: now + TimeDelta::hours(i64::from(rule.max_age_hours)),
    })
}

/// The newest founding request that says what would be asked now, and is not over.
fn pending(plan: &Proposal<'_>, globals: &Globals) -> Result<Option<(PathBuf, ApprovalRequest)>> {
    let now = globals.clock.now();
    let mut found: Option<(PathBuf, ApprovalRequest)> = None;
    for entry in std::fs::read_dir(plan.dir.join(REQUESTS))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        // Whatever else lies there is no founding of ours.
        let Ok(bytes) = safe::read_bounded(&path, MAX_REQUEST as u64) else { continue };
        let Ok(document) = ApprovalRequest::parse(&bytes) else { continue };
        let same = Beginning::of(&document).is_ok_and(|beginning| beginning == *plan.beginning)
            && document.origin == plan.config.organization.origin
            && document.environment == plan.config.environment
            && path.file_stem().is_some_and(|stem| stem.to_str() == Some(&document.request_id))
            && (document.not_before..document.not_after).contains(&now);
        let newer = found.as_ref().is_none_or(|(_, known)| known.created_at < document.created_at);
        if same && newer {
            found = Some((path, document));
        }
    }
    Ok(found)
}

/// Writes a new one, by the person whose key this is.
fn write(plan: &Proposal<'_>, signer: &Signer, globals: &Globals) -> Result<(PathBuf, ApprovalRequest)> {
    let (email, ..) = plan.beginning.roster.holder(signer.public()).ok_or_else(|| {
        let message = format!("the roster has nobody with the key {}", signer.public().openssh_fingerprint());
        Error::blocked("not_in_roster", message).hint("--identity names one of your keys in roster.toml")
    })?;
    let requester = Requester { email: email.clone(), key_sha256: signer.public().fingerprint() };
    let document = document(plan, requester, globals)?;
    let bytes = document.to_bytes()?;
    let signature = signer.sign(&Namespace::Request.of(&document.origin), &bytes)?.to_string();
    let path = plan.dir.join(REQUESTS).join(format!("{}.json", document.request_id));
    safe::write_new(&path.with_extension("request.sig"), signature.as_bytes(), 0o644)?;
    // Last, since its being there says that the rest is.
    safe::write_new(&path, &bytes, 0o644)?;
    Ok((path, document))
}

/// The signatures that lie beside a request: `ID*.sig`, or as `ssh-keygen` names them, `ID.json.sig`. Names say
/// nothing; what counts is who signed.
fn armours_beside(path: &Path) -> Result<Vec<String>> {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str())) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with(stem) || !name.ends_with(".sig") || name.ends_with(".request.sig") {
            continue;
        }
        found.extend(armours(&safe::read_text(&folder.join(name), MAX_TEXT as u64)?)?);
    }
    Ok(found)
}

fn waits(
    plan: &Proposal<'_>,
    document: &ApprovalRequest,
    path: &Path,
    missing: &[Unsigned],
    consent: Option<String>,
) -> Unfounded {
    let Ok(bytes) = document.to_bytes() else {
        return Error::bug("a request that was written cannot be written").into();
    };
    let sha256 = Hash256::of(&bytes);
    let who: Vec<_> = missing.iter().map(|key| format!("{} with {}", key.email, key.fingerprint)).collect();
    let mut waiting: Vec<_> = who
        .first()
        .map(|first| match who.len() - 1 {
            0 => first.clone(),
            more => format!("{first} and {more} more"),
        })
        .into_iter()
        .collect();
    waiting.extend(consent.map(|missing| format!("the earlier workspace's people: {missing}")));
    let message = format!("the founding waits for the signatures of {}", waiting.join("; "));
    let namespace = Namespace::Roster.of(&document.origin);
    let beside = path.with_extension("NAME.sig");
    let mut hint = format!(
        "each on their own machine: keyctl --identity SSHKEY approve {id}.json, or ssh-keygen -Y sign -n {namespace} -f KEY {id}.json; \
         put each signature into {}; then: keyctl --workspace {} init",
        shown_path(&beside),
        shown_path(plan.dir),
        id = document.request_id,
    );
    if let Some(earlier) = plan.earlier {
        hint = format!(
            "{hint}; people of the earlier workspace sign with -n {}",
            Namespace::Approval.of(&earlier.named.origin)
        );
    }
    let error = Error::new(Kind::ApprovalNeeded, "approval_needed", message).hint(hint);
    let awaited = Awaited { document: document.clone(), path: path.to_owned(), sha256, waits_for: who };
    Unfounded { error, awaited: Some(Box::new(awaited)) }
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| Error::bug("a canonical request is no text").because(error))
}

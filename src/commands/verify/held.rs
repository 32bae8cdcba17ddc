//! What files are held against, and which of it had a part in it.

use super::people::People;
use super::{VerifyArgs, repository};
use crate::clock::{self, Time};
use crate::crypto::note::VerifierKey;
use crate::error::{Error, Result};
use crate::files::{safe, shown_path};
use crate::formats::verify::Trust;
use crate::ledger::query;
use crate::model::Purpose;
use crate::pki::certificate::Certificate as X509;
use crate::pki::crl::Crl;
use crate::pki::name;
use crate::pki::openpgp::certificate::Certificate;
use crate::published::{keyring_files, lists};
use crate::signing::timestamps;
use crate::world::{Globals, World};
use std::path::PathBuf;

/// What the files are held against.
pub(super) struct Held {
    pub roots: Vec<Vec<u8>>,
    timestamp_roots: Vec<Vec<u8>>,
    crls: Vec<Crl>,
    pub ledger_keys: Vec<VerifierKey>,
    pub at: Time,
    pub keyring: Vec<Certificate>,
    require_timestamp: bool,
    pub world: Option<World>,
    /// Who may have approved, for fragments.
    pub people: People,
    given: Vec<Given>,
}

/// A file that was named, and what is in it.
struct Given {
    path: PathBuf,
    what: What,
    is_used: bool,
}

enum What {
    Roots(Vec<Vec<u8>>),
    List(usize),
}

/// Reads what the flags name, and takes the rest from the workspace.
///
/// # Errors
/// A file cannot be read; there is nothing to hold files against.
pub(super) fn gather(args: &VerifyArgs, globals: Globals) -> Result<Held> {
    let at = match &args.at {
        Some(text) => {
            clock::parse(text).ok_or_else(|| Error::usage("bad_time", format!("--at {text:?} is not RFC 3339")))?
        }
        None => globals.clock.now(),
    };
    let mut held = Held {
        roots: Vec::new(),
        timestamp_roots: Vec::new(),
        crls: args.crl.iter().map(|path| lists::read(path)).collect::<Result<_>>()?,
        ledger_keys: Vec::new(),
        at,
        keyring: repository::read_keyrings(&args.keyring)?,
        require_timestamp: args.require_timestamp,
        world: None,
        people: People::read(args.roster.as_ref(), &args.request)?,
        given: Vec::new(),
    };
    held.roots = held.given_roots(&args.roots)?;
    held.timestamp_roots = held.given_roots(&args.timestamp_roots)?;
    let lists = args.crl.iter().enumerate();
    held.given.extend(lists.map(|(at, path)| Given { path: path.clone(), what: What::List(at), is_used: false }));
    for path in &args.ledger_key {
        for line in safe::read_text(path, 64 << 10)?.lines().filter(|line| !line.trim().is_empty()) {
            held.ledger_keys.push(line.trim().parse()?);
        }
    }
    let self_contained = !held.roots.is_empty() || !held.ledger_keys.is_empty() || !held.keyring.is_empty();
    match (World::open(globals), self_contained) {
        (Ok(world), _) => held.fill_from(world)?,
        (Err(_), true) => {}
        (Err(error), false) if error.code() == "no_workspace" => {
            return Err(error.hint(
                "keyctl verify --roots ROOT.pem FILE, --keyring ARCHIVE.pgp for a repository, or --ledger-key LEDGER.pub for a fragment",
            ));
        }
        (Err(error), false) => return Err(error),
    }
    if held.timestamp_roots.is_empty() {
        held.timestamp_roots.clone_from(&held.roots);
    }
    Ok(held)
}

impl Held {
    fn given_roots(&mut self, paths: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
        let mut all = Vec::new();
        for path in paths {
            let roots = timestamps::roots_in(std::slice::from_ref(path))?;
            all.extend_from_slice(&roots);
            self.given.push(Given { path: path.clone(), what: What::Roots(roots), is_used: false });
        }
        Ok(all)
    }

    /// Takes from the workspace what the flags leave open, and its revocation lists.
    fn fill_from(&mut self, world: World) -> Result<()> {
        if self.roots.is_empty() {
            self.roots = workspace_roots(&world)?;
        }
        if self.keyring.is_empty() {
            self.keyring = keyring_files::published_keyrings(&world)?;
        }
        if self.timestamp_roots.is_empty() {
            let adopted = query::settings(world.ledger.connection())?;
            self.timestamp_roots = timestamps::adopted_roots(&world.dir, &adopted.settings.timestamp)?;
        }
        if self.ledger_keys.is_empty() {
            let lines = world.genesis.ledger_keys.iter().map(|key| key.verifier.parse());
            self.ledger_keys = lines.collect::<Result<_>>()?;
        }
        self.crls.extend(lists::all(&world.dir.join("published/crl"))?);
        self.world = Some(world);
        Ok(())
    }

    pub(super) fn trust(&self) -> Trust<'_> {
        Trust {
            roots: &self.roots,
            timestamp_roots: &self.timestamp_roots,
            crls: &self.crls,
            at: self.at,
            require_timestamp: self.require_timestamp,
        }
    }

    /// Takes note of the certificates (DER) that a file brought along: what was given may be about them.
    pub(super) fn see(&mut self, certificates: &[Vec<u8>]) {
        let seen: Vec<_> = certificates.iter().filter_map(|der| X509::parse(der).ok()).collect();
        for given in self.given.iter_mut().filter(|given| !given.is_used) {
            given.is_used = match &given.what {
                What::Roots(roots) => roots.iter().filter_map(|der| X509::parse(der).ok()).any(|root| {
                    seen.iter().any(|one| *one == root || name::same(&one.fields().issuer, &root.fields().subject))
                }),
                What::List(at) => self.crls.get(*at).is_some_and(|list| seen.iter().any(|one| list.covers(one))),
            };
        }
    }

    /// What was given and had no part in any verdict, in words.
    pub(super) fn unused(&self) -> Vec<String> {
        let unused = self.given.iter().filter(|given| !given.is_used);
        let words = unused.map(|given| {
            let path = shown_path(&given.path);
            match &given.what {
                What::Roots(_) => format!("{path} was not used: no certificate of these files was issued by one in it"),
                What::List(at) => {
                    let issuer = self.crls.get(*at).map(|list| list.issuer().to_string()).unwrap_or_default();
                    format!("{path} was not used: this list of {issuer} covers no certificate of these files")
                }
            }
        });
        words.collect()
    }
}

fn workspace_roots(world: &World) -> Result<Vec<Vec<u8>>> {
    let generations = query::generations(world.ledger.connection())?;
    let roots = generations.iter().filter(|generation| generation.purpose == Purpose::RootCa);
    Ok(roots.filter_map(|root| root.identities.first()?.x509().map(<[u8]>::to_vec)).collect())
}

//! `import`: an externally issued certificate.

use crate::commands::preview::{self, Leading};
use crate::commands::values;
use crate::config::policy::Operation as Rule;
use crate::crypto::subject::subject_of;
use crate::error::{Error, Result, shown};
use crate::files::safe;
use crate::gate::{Plan, step, unplanned};
use crate::keys::{Generation, State};
use crate::ledger::query;
use crate::lifecycle::advance;
use crate::model::Purpose;
use crate::pki::certificate::Certificate;
use crate::pki::chain::Revocation;
use crate::pki::profile::ProfileName;
use crate::pki::{import, pem};
use crate::published::{certificates, register};
use crate::request::{ImportCertificate, Operation};
use crate::ui::Worst;
use crate::world::authority::Mandate;
use crate::world::{World, act};
use std::path::PathBuf;

/// Take in a certificate that an external issuer made
///
/// The generation is found by the certificate's public key. The certificate must chain to one of the given
/// roots, fit the key's profile and be valid now. Certificates after the first in the file, or in --chain, are
/// intermediates and go into signatures.
///
/// Examples:
///   keyctl import windows.pem --roots public-root.pem
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ImportArgs {
    /// The certificate (PEM), its intermediates may follow
    certificate: PathBuf,
    /// Trusted root certificates (PEM)
    #[arg(long, value_name = "PEM", required = true)]
    roots: Vec<PathBuf>,
    /// Further intermediates (PEM)
    #[arg(long, value_name = "PEM")]
    chain: Vec<PathBuf>,
    /// Another subject than the predecessor's is wanted: Windows will see another publisher
    #[arg(long)]
    publisher_change: bool,
}

/// Runs `import`.
///
/// # Errors
/// The certificate is not for a key of this workspace, or is not what its profile asks.
pub fn run(args: &ImportArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    world.settings()?;
    let Given { leaf, intermediates, roots } = Given::read(args)?;
    let certificate = Certificate::parse(&leaf)?;
    let spki = certificate.public_key()?.spki_hash();
    let not_ours =
        || Error::failed("certificate_key_mismatch", format!("no key of this workspace has the public key {spki}"));
    let generation = query::generation_by_spki(world.ledger.connection(), &spki)?.ok_or_else(not_ours)?;
    let imported = import::check(&import::Import {
        certificate: &leaf,
        intermediates: &intermediates,
        roots: &roots,
        key: &generation.identity()?.public_key()?,
        profile: ProfileName::of(generation.purpose, None)?,
        environment: world.genesis.environment,
        at: world.globals.clock.now(),
        revocation: Revocation::Unchecked,
    })?;
    for warning in imported.warnings() {
        world.ui().warn(&warning.to_string());
    }
    same_publisher(args, world, &generation, &certificate)?;
    let params = ImportCertificate {
        generation: generation.id.clone(),
        fingerprint: certificate.sha256(),
        issuer: certificate.issuer().to_string(),
        serial: certificate.serial_hex(),
    };
    let consent = match preview::consent(world, mandate, |world| plan(args, world, &generation, &params))? {
        Leading::On(consent) => consent,
        Leading::Shown(worst) => return Ok(worst),
    };
    let object = generation.id.to_string();
    let request = world.request(object.clone(), consent.plan().params::<ImportCertificate>(&object)?);
    if request.params != params {
        return Err(unplanned(ImportCertificate::KIND, &object));
    }
    let permit = act::admit(world, &consent, request)?;
    act::close(world, permit, Ok(imported.into_issued()))?;
    let generation = world.generation(&generation.id)?;
    certificates::certificate(world, &generation)?;
    let generation = advance::activate_first(world, &consent, generation)?;
    world.checkpoint()?;
    register::register(world)?;
    world.ui().object(&values::describe(&generation));
    if generation.state == State::Certified {
        let name = &generation.id.key;
        world.ui().say(&format!("{} takes over when its rotation goes on; next: keyctl rotate {name}", generation.id));
    }
    Ok(Worst::default())
}

/// What was handed in, as DER.
struct Given {
    leaf: Vec<u8>,
    intermediates: Vec<Vec<u8>>,
    roots: Vec<Vec<u8>>,
}

impl Given {
    fn read(args: &ImportArgs) -> Result<Self> {
        let mut given = certificates(&args.certificate)?.into_iter();
        let none = || Error::usage("no_certificate", "the file holds no certificate in PEM");
        let leaf = given.next().ok_or_else(none)?;
        let mut intermediates: Vec<_> = given.collect();
        for path in &args.chain {
            intermediates.extend(certificates(path)?);
        }
        let mut roots = Vec::new();
        for path in &args.roots {
            roots.extend(certificates(path)?);
        }
        Ok(Given { leaf, intermediates, roots })
    }
}

/// While the request can still be answered with another certificate. The gate of the takeover asks again (governance R2).
fn same_publisher(args: &ImportArgs, world: &World, generation: &Generation, new: &Certificate) -> Result<()> {
    let is_seen = generation.purpose == Purpose::Authenticode && !args.publisher_change;
    let Some(old) = query::active(world.ledger.connection(), &generation.id.key)?.filter(|_| is_seen) else {
        return Ok(());
    };
    let Some(old_der) = old.identity()?.x509() else { return Ok(()) };
    if subject_of(old_der)? == subject_of(new.der())? {
        return Ok(());
    }
    let (was, is) = (Certificate::parse(old_der)?.subject().to_string(), new.subject().to_string());
    let message = format!(
        "the certificate is for {}, and {} has {}: Windows would see another publisher",
        shown(&is),
        old.id,
        shown(&was)
    );
    Err(Error::blocked("publisher_changes", message)
        .hint("ask the issuer for a certificate with the subject of the request, or say --publisher-change"))
}

/// What people agree to: this certificate, by its hash, and that a first generation takes over.
fn plan(args: &ImportArgs, world: &World, generation: &Generation, params: &ImportCertificate) -> Result<Plan> {
    let mut command = vec!["import".to_owned(), crate::files::absolute(&args.certificate)?];
    for (option, paths) in [("--roots", &args.roots), ("--chain", &args.chain)] {
        for path in paths {
            command.extend([option.to_owned(), crate::files::absolute(path)?]);
        }
    }
    if args.publisher_change {
        command.push("--publisher-change".to_owned());
    }
    let object = generation.id.to_string();
    let mut steps = vec![step(object.clone(), params)?];
    steps.extend(advance::activation(world, &generation.id, State::Certified)?);
    Ok(Plan { rule: Rule::Import, object, command, steps, break_glass: None })
}

fn certificates(path: &std::path::Path) -> Result<Vec<Vec<u8>>> {
    pem::decode(pem::label::CERTIFICATE, &safe::read_bounded(path, 4 << 20)?, 256)
}

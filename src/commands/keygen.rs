//! `keygen`: the next generation of a key, from the planned CKA_ID to the published certificate.

use crate::commands::preview::{self, Leading};
use crate::commands::values::describe;
use crate::config::Issuer;
use crate::error::{Error, Result};
use crate::files::{absolute, shown_path};
use crate::lifecycle::advance::{self, advance};
use crate::lifecycle::csr::write_csr;
use crate::model::KeyName;
use crate::published::{keyrings, register};
use crate::ui::Worst;
use crate::world::World;
use crate::world::authority::Mandate;
use std::path::PathBuf;

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
    break_glass: crate::commands::BreakGlassArgs,
}

/// Runs `keygen`.
///
/// # Errors
/// As each stage of the road says.
pub fn run(args: &KeygenArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    let settings = world.settings()?;
    let key = settings.key(&args.key)?.clone();
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
    let _lock = world.lock_key(&args.key)?;
    let mut command = vec!["keygen".to_owned(), args.key.to_string()];
    if let Some(path) = &args.csr {
        command.extend(["--csr".to_owned(), absolute(path)?]);
    }
    let glass = args.break_glass.incident();
    let with_csr = args.csr.is_some();
    let consent = match preview::consent(world, mandate, |world| {
        advance::plan(world, (&args.key, &key), with_csr, command, glass)
    })? {
        Leading::On(consent) => consent,
        Leading::Shown(worst) => return Ok(worst),
    };
    let generation = advance(world, &consent, &args.key, &key)?;
    if let Some(path) = &args.csr {
        write_csr(world, &consent, (&world.generation(&generation.id)?, &key), path, false)?;
    }
    let generation = world.generation(&generation.id)?;
    keyrings::publish(world)?;
    world.checkpoint()?;
    register::register(world)?;
    world.ui().object(&describe(&generation));
    Ok(Worst::default())
}

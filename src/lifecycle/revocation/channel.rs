//! Who can tell verifiers that a key is revoked: the CA's list, the primary key's certificate, or nobody of ours.

use crate::error::{Error, Result, shown};
use crate::keys::{Credential, Generation, Revocation, State};
use crate::ledger::query;
use crate::lifecycle::lists::issue;
use crate::request::{Operation, RevokeKey};
use crate::world::World;

/// How verifiers learn of a revocation.
pub enum Channel {
    /// From the list of this CA.
    List(Box<Generation>),
    /// From the OpenPGP certificate of this primary key.
    Keyring(Box<Generation>),
    /// From nothing of ours; why, and what to do.
    Register(String),
}

impl Channel {
    /// In words.
    pub fn explain(&self) -> String {
        match self {
            Channel::List(ca) => format!("the revocation list of {}", ca.id),
            Channel::Keyring(primary) => format!("the published keyrings with the certificate of {}", primary.id),
            Channel::Register(why) => why.clone(),
        }
    }
}

/// Whether somebody else's CA issued its certificate.
pub fn is_external(generation: &Generation) -> bool {
    matches!(generation.credential(), Some(Credential::X509 { issued_by: None, .. }))
}

/// The way for this generation. `reference` says how an external issuer was told.
///
/// # Errors
/// `nothing_to_revoke`; `reference_needed` for an external issuer's certificate, `reference_not_wanted` for ours;
/// `ca_cannot_list`.
pub fn of(world: &World, generation: &Generation, reference: Option<&str>) -> Result<Channel> {
    let id = &generation.id;
    let Some(credential) = generation.credential() else {
        let message = format!("{id} is {} and has no certificate", generation.state);
        return Err(Error::blocked("nothing_to_revoke", message).hint("keyctl status"));
    };
    match (is_external(generation), reference) {
        (true, None) => {
            let message = format!("{id} has the certificate of an external issuer, which no list of ours can revoke");
            return Err(Error::usage("reference_needed", message)
                .hint("have its issuer revoke it, then add --reference with their ticket"));
        }
        (false, Some(_)) => {
            return Err(Error::usage("reference_not_wanted", format!("{id} has no external issuer to refer to")));
        }
        (true, Some(reference))
            if reference.trim().is_empty() || reference.len() > 500 || shown(reference) != reference =>
        {
            return Err(Error::usage("bad_reference", "--reference is 1 to 500 bytes of plain text"));
        }
        _ => {}
    }
    match credential {
        Credential::X509 { issued_by: None, issuer, .. } => {
            Ok(Channel::Register(format!("only the external issuer can put it on a list: {}", shown(issuer))))
        }
        Credential::X509 { issued_by: Some(ca), .. } if ca == id => {
            Ok(Channel::Register("a root is on no list: have it removed from wherever it is trusted".into()))
        }
        Credential::X509 { issued_by: Some(ca), .. } => listing(world, world.generation(ca)?),
        Credential::OpenPgp { .. } => in_keyring(world, generation),
    }
}

fn listing(world: &World, ca: Generation) -> Result<Channel> {
    if issue::can_list(&ca, world.globals.clock.now()) {
        return Ok(Channel::List(Box::new(ca)));
    }
    let over = ca.credential().is_some_and(|credential| world.globals.clock.now() >= credential.validity().1);
    match ca.state {
        _ if over => {
            Ok(Channel::Register(format!("the certificate of its CA {} has expired, and with it its lists", ca.id)))
        }
        State::Revoked => Ok(Channel::Register(format!("its CA {} is revoked itself", ca.id))),
        _ if ca.quarantined.is_some() => Ok(Channel::Register(format!("its CA {} is worth nothing itself", ca.id))),
        state => {
            let message = format!("{} is {state} and signs no lists any more", ca.id);
            Err(Error::blocked("ca_cannot_list", message).hint("keyctl status"))
        }
    }
}

fn in_keyring(world: &World, generation: &Generation) -> Result<Channel> {
    let issuer = query::issuer(world.ledger.connection(), &generation.id)?;
    let issuer = issuer.ok_or_else(|| Error::bug("an OpenPGP key that nobody certified"))?;
    let primary = world.generation(&issuer)?;
    if primary.id != generation.id && matches!(primary.state, State::Revoked | State::Destroyed) {
        return Ok(Channel::Register(format!("its primary key {} is {} itself", primary.id, primary.state)));
    }
    Ok(Channel::Keyring(Box::new(primary)))
}

/// What was said of an external issuer when the revocation was decided.
///
/// # Errors
/// The ledger cannot be read.
pub fn recorded_reference(world: &World, recorded: &Revocation) -> Result<Option<String>> {
    let intent = world.ledger.entry(recorded.seq)?;
    if intent.entry_type.as_str() != RevokeKey::ENTRY {
        return Err(Error::failed("bad_entry", format!("entry {} is no revocation", recorded.seq)));
    }
    let reference = intent.body.pointer("/request/params/reference").and_then(|text| text.as_str());
    Ok(reference.map(str::to_owned))
}

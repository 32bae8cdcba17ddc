//! Entry 0: from tokens, settings and people who agreed to the first line of the ledger.

use crate::config::{Config, Key, Settings};
use crate::crypto::note::VerifierKey;
use crate::crypto::{self, jcs};
use crate::error::{Error, Result};
use crate::files::safe;
use crate::founding::request::{Proposal, Unfounded, agreed};
use crate::founding::{earlier, tokens};
use crate::gate;
use crate::hsm::store::{PUBLIC_HALF, Store};
use crate::keys::Identity;
use crate::ledger::anchor::{Pin, state_dir};
use crate::ledger::begun::Begun;
use crate::ledger::genesis::{Genesis, GenesisIntent, LedgerKey};
use crate::ledger::trust::{self, HostTrust};
use crate::lifecycle::generate;
use crate::model::{Actor, Assurance, CkaId, Custody, Environment, GenerationId, HsmName, KeyName, Purpose, hex};
use crate::people::Roster;
use crate::people::founding::{Beginning, Founded, LedgerKeyPlan};
use crate::request::{GenerateKey, Operation, Request};
use crate::world::{self, Globals, pin_founded, pin_of, tool};
use std::path::Path;

/// What the first entry is made of.
struct Ground<'a> {
    dir: &'a Path,
    config: &'a Config,
    globals: &'a Globals,
    settings: Settings,
    store: Store,
    beginning: Beginning,
}

/// Writes entry 0 as soon as everyone agreed; gives the tokens it opened.
///
/// # Errors
/// Not everyone has agreed; a token, a file or a key is not as it should be.
pub(crate) fn genesis(
    dir: &Path,
    config: &Config,
    roster: &Roster,
    earlier: Option<&Path>,
    globals: &Globals,
) -> Result<Store, Unfounded> {
    let store = world::store(config, dir, 1, &globals.ui);
    let records = tokens::open_all(&store, config)?;
    tokens::check_hardware(&records, config)?;
    tokens::check_pins(&store, config)?;
    let begun = begun(dir)?;
    let planned: Vec<_> =
        begun.iter().flat_map(|intent| &intent.ledger_keys).map(|request| request.params.cka_id.clone()).collect();
    let foreign = tokens::foreign_keys(&store, config, &planned)?;
    let earlier = earlier::look(&foreign, earlier, &globals.clock)?;
    let settings = config.adopted();
    let beginning = Beginning {
        settings: jcs::to_value(&settings)?,
        roster: roster.clone(),
        tokens: records,
        ledger_keys: ledger_keys(config).map(|key| plan(&store, key)).collect::<Result<_>>()?,
        earlier: earlier.as_ref().map(|earlier| earlier.named.clone()),
    };
    if beginning.ledger_keys.is_empty() {
        return Err(Error::usage("no_ledger_key", "keyctl.toml has no key with purpose = \"ledger\"").into());
    }
    let intent = match begun {
        Some(intent) => intent,
        None => {
            let plan = Proposal { dir, config, settings: &settings, beginning: &beginning, earlier: earlier.as_ref() };
            let founded = agreed(&plan, globals)?;
            // What the earlier workspace made today may have the same label.
            intent(config, &store, founded, earlier.is_some(), globals)?
        }
    };
    let ground = Ground { dir, config, globals, settings, store, beginning };
    Ok(ground.carry_out(intent)?)
}

impl Ground<'_> {
    /// Does what everyone agreed to, and only that.
    fn carry_out(self, intent: GenesisIntent) -> Result<Store> {
        let founded = intent.founding.clone();
        let founded = founded.ok_or_else(|| Error::failed("bad_genesis_intent", "nobody agreed to it"))?;
        let (document, agreed) = founded.verify()?;
        if (&agreed, document.environment) != (&self.beginning, self.config.environment) {
            let message = "a token or file is not what everyone agreed to found this on";
            return Err(
                Error::blocked("founding_changed", message).hint("put it back as it was, and repeat keyctl init")
            );
        }
        Begun::of(&state_dir()?, self.dir).fix(&intent)?;
        let mut founding = gate::found(self.dir, intent)?;
        let mut made: Vec<LedgerKey> = Vec::new();
        while let Some(permit) = founding.permits().get(made.len()) {
            let generation = permit.request().params.generation.clone();
            match self.store.generate_or_take_over(permit) {
                Err(failure) if failure.error.code() == PUBLIC_HALF => {
                    let request = self.asked_anew(&generation.key)?;
                    founding = founding.replan(self.dir, made.len(), request)?;
                }
                key => {
                    let key = key.map_err(|failure| failure.error)?;
                    made.push(self.ledger_key(generation, key.identity().clone())?);
                }
            }
        }
        let genesis = Genesis {
            workspace_id: founding.intent().workspace_id.clone(),
            environment: self.config.environment,
            origin: self.config.organization.origin.clone(),
            ledger_keys: made,
            tokens: self.beginning.tokens,
            settings_sha256: self.settings.sha256()?,
            settings: self.beginning.settings,
            roster_sha256: Some(self.beginning.roster.sha256()?),
            roster: Some(self.beginning.roster),
            intent: founding.intent().clone(),
            tool: tool().clone(),
        };
        let (_ledger, hash) = founding.finish(self.dir, &genesis, self.globals.clock.clone())?;
        let pin = pin_of(&genesis, hash, self.dir)?;
        trust_on_host(&pin, self.dir, self.config.environment, self.globals)?;
        pin_founded(&pin, self.dir)?;
        Ok(self.store)
    }

    /// The request for a ledger key under another identifier, where half of the first one lies on the token.
    fn asked_anew(&self, name: &KeyName) -> Result<Request<GenerateKey>> {
        let unknown = || Error::usage("unknown_key", format!("keyctl.toml has no [keys.{name}]"));
        let key = self.config.keys.get_key_value(name).ok_or_else(unknown)?;
        ledger_request(&self.store, self.globals, self.config, key, true)
    }

    fn ledger_key(&self, generation: GenerationId, identity: Identity) -> Result<LedgerKey> {
        if let Some(wrong) = identity.mismatches() {
            let message = format!("the token reports other values for {wrong} of the ledger key");
            return Err(Error::blocked("quarantined", message).hint("put the ledger key on another token"));
        }
        let verifier = VerifierKey::new(&self.config.organization.origin, identity.public_key()?)?.to_string();
        Ok(LedgerKey { generation, identity, verifier })
    }
}

/// Leaves what is pinned where every user of the host finds it, if root founds the workspace.
pub(crate) fn trust_on_host(pin: &Pin, dir: &Path, environment: Environment, globals: &Globals) -> Result<()> {
    if environment == Environment::Sandbox {
        return Ok(());
    }
    let folder = trust::folder();
    if !rustix::process::geteuid().is_root() {
        let who = format!("{} was not written, which only root may", folder.display());
        globals.ui.warn(&format!("{who}; each other user of this host pins the workspace with keyctl trust"));
        return Ok(());
    }
    let path = HostTrust::new(pin, dir).write(&folder)?;
    globals.ui.say(&format!("trusted on this host by {}", path.display()));
    Ok(())
}

/// What an interrupted founding fixed already.
fn begun(dir: &Path) -> Result<Option<GenesisIntent>> {
    let path = dir.join(gate::GENESIS_INTENT);
    if !path.exists() {
        return Ok(None);
    }
    let intent = serde_json::from_slice(&safe::read_bounded(&path, 1 << 20)?);
    intent.map_err(|error| Error::failed("bad_genesis_intent", "genesis.intent cannot be read").because(error))
}

fn ledger_keys(config: &Config) -> impl Iterator<Item = (&KeyName, &Key)> {
    config.keys.iter().filter(|(_, key)| key.purpose == Purpose::Ledger)
}

fn plan(store: &Store, (name, key): (&KeyName, &Key)) -> Result<LedgerKeyPlan> {
    let hsm: &HsmName = key.first_hsm()?;
    Ok(LedgerKeyPlan {
        generation: GenerationId { key: name.clone(), number: 1 },
        algorithm: key.algorithm,
        hsm: hsm.clone(),
        token_serial: store.token(hsm)?.info().serial.clone(),
    })
}

fn intent(config: &Config, store: &Store, founded: Founded, again: bool, globals: &Globals) -> Result<GenesisIntent> {
    let (document, _) = founded.verify()?;
    let requests = ledger_keys(config).map(|key| ledger_request(store, globals, config, key, again));
    let actor = match config.environment {
        Environment::Sandbox => globals.actor(),
        _ => Actor { email: document.requester.email, role: None, assurance: Assurance::Proven },
    };
    Ok(GenesisIntent {
        workspace_id: document.workspace_id,
        actor,
        correlation_id: globals.correlation_id.clone(),
        ledger_keys: requests.collect::<Result<_>>()?,
        founding: Some(founded),
    })
}

fn ledger_request(
    store: &Store,
    globals: &Globals,
    config: &Config,
    (name, key): (&KeyName, &Key),
    again: bool,
) -> Result<Request<GenerateKey>> {
    let hsm = key.first_hsm()?;
    let token = store.token(hsm)?;
    let now = globals.clock.now();
    let generation = GenerationId { key: name.clone(), number: 1 };
    let cka_id = CkaId::new(crypto::random::<16>()?)?;
    let params = GenerateKey {
        label: generate::label(&generation, now, again.then_some(&cka_id)),
        generation,
        purpose: Purpose::Ledger,
        environment: config.environment,
        custody: Custody::Bound,
        algorithm: key.algorithm,
        hsm: hsm.clone(),
        token_serial: token.info().serial.clone(),
        cka_id,
        created: Some(now),
        destroyable: true,
        nonce: hex(&crypto::random::<32>()?),
    };
    Ok(Request {
        request_id: uuid::Uuid::new_v4().to_string(),
        correlation_id: globals.correlation_id.clone(),
        operation: GenerateKey::KIND,
        object: params.generation.to_string(),
        actor: globals.actor(),
        signatures: vec![generate::proof_covered(&params)],
        params,
        approvals: Vec::new(),
        authority: None,
    })
}

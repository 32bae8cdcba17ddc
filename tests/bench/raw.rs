//! How many signatures a token makes in a second by itself: threads that call C_Sign and do nothing else.
//!
//! `cargo bench --bench raw -- WORKSPACE KEY THREADS`: the key as the workspace's register has it.

use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::Session;
use keyctl::clock::Clock;
use keyctl::config::Config;
use keyctl::hsm::{ModuleSpec, Token};
use keyctl::ledger::{FILE, Ledger, query};
use std::path::Path;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let [workspace, key, threads] = args.as_slice() else {
        eprintln!("usage: cargo bench --bench raw -- WORKSPACE KEY THREADS");
        return Ok(());
    };
    let dir = Path::new(workspace).canonicalize()?;
    let ledger = Ledger::open_read_only(&dir.join(FILE), Clock::system())?;
    let generation = query::active(ledger.connection(), &key.parse()?)?.ok_or("no active generation")?;
    let (identity, copy) = (generation.identity()?, generation.copy()?);
    let config = Config::load(&dir.join("keyctl.toml"))?;
    let specs = keyctl::world::token_specs(&config, &dir, 1);
    let spec = specs.into_iter().find(|spec| spec.name == copy.hsm).ok_or("no such token")?;
    // keyctl finds the token, checks it and logs in; the login holds for the whole process.
    let context = match &spec.module {
        ModuleSpec::Builtin { .. } => None,
        ModuleSpec::File { path, .. } => Some(path.clone()),
    };
    let token = Token::open(spec)?;
    let context = context.map_or_else(Pkcs11::new_from_self, Pkcs11::new)?;
    let slot = context
        .get_slots_with_token()?
        .into_iter()
        .find(|slot| context.get_token_info(*slot).is_ok_and(|info| info.serial_number().trim() == token.info().serial))
        .ok_or("the slot is gone")?;
    let rsa = identity.algorithm.is_rsa();
    let threads: usize = threads.parse()?;
    let start = Instant::now();
    let counts = std::thread::scope(|scope| {
        let sessions: Vec<_> = (0..threads).map(|_| context.open_rw_session(slot)).collect();
        let workers: Vec<_> = sessions
            .into_iter()
            .map(|session| {
                scope.spawn(|| session.and_then(|session| signatures(&session, copy.cka_id.as_bytes(), rsa)))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().map_err(|_| "a thread panicked")).collect::<Vec<_>>()
    });
    let mut sum = 0;
    for count in counts {
        sum += count??;
    }
    let rate = f64::from(sum) / start.elapsed().as_secs_f64();
    println!("  raw C_Sign, {}, {threads} threads: {rate:.0} signatures/s", identity.algorithm);
    Ok(())
}

fn signatures(session: &Session, id: &[u8], rsa: bool) -> Result<u32, cryptoki::error::Error> {
    let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(id.to_vec())];
    let keys = session.find_objects(&wanted)?;
    let Some(key) = keys.first() else { return Ok(0) };
    // A DigestInfo for SHA-256 is 51 bytes; what is in it does not matter for the time.
    let data = vec![0x5a; if rsa { 51 } else { 32 }];
    let mechanism = if rsa { Mechanism::RsaPkcs } else { Mechanism::Ecdsa };
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < Duration::from_secs(2) {
        session.sign(&mechanism, *key, &data)?;
        count += 1;
    }
    Ok(count)
}

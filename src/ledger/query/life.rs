//! What has to be known before a key is destroyed.

use super::{READING, place};
use crate::clock::{Time, parse};
use crate::error::Result;
use crate::keys::{Credential, Generation};
use crate::ledger::{Before, Sql, rows};
use crate::model::GenerationId;
use crate::request::{Doomed, GenerateKey, Operation};
use rusqlite::{Connection, params};
use serde_json::Value;

/// What the gate has to know before a key is destroyed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastFacts {
    /// The latest end of validity among the certificates that this CA issued, or may have.
    pub issued_until: Option<Time>,
    /// The pairs that were planned for the generation and that nobody ever saw.
    pub planned: Vec<Doomed>,
}

/// Reads both.
///
/// # Errors
/// Those of the module.
pub fn last_facts(before: Before<'_>, generation: &Generation) -> Result<LastFacts> {
    Ok(LastFacts { issued_until: issued_until(before, generation)?, planned: planned(before, generation)? })
}

/// The request's parameters in an intent.
fn params_of(before: Before<'_>, seq: i64) -> Result<Value> {
    let entry = before.entries.proven_entry(place(seq))?;
    Ok(entry.body.pointer("/request/params").cloned().unwrap_or_default())
}

/// Every serial number counts that was ever reserved, whatever became of it: nobody can say that it is on no certificate.
/// One whose end is not known ends with the CA itself, which nothing that it issued outlives.
fn issued_until(before: Before<'_>, ca: &Generation) -> Result<Option<Time>> {
    let mut statement =
        before.tables.prepare_cached("SELECT seq FROM serials WHERE issuer = ?1 ORDER BY seq").sql(READING)?;
    let seqs = statement.query_map([ca.id.to_string()], |row| row.get::<_, i64>(0)).sql(READING)?;
    let own_end = ca.credential().map(|credential: &Credential| credential.validity().1);
    let mut latest = None;
    for seq in seqs {
        let params = params_of(before, seq.sql(READING)?)?;
        let text = |name: &str| params.get(name).and_then(Value::as_str);
        // A root's certificate of itself is on no list.
        if text("generation") == Some(ca.id.to_string().as_str()) {
            continue;
        }
        let end = text("not_after").and_then(parse).or(own_end).unwrap_or(Time::MAX_UTC);
        latest = latest.max(Some(end));
    }
    Ok(latest)
}

/// The pairs of intents to make the generation, none of which was closed as done.
fn planned(before: Before<'_>, generation: &Generation) -> Result<Vec<Doomed>> {
    if !generation.identities.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT seq FROM intents WHERE type = ?1 AND generation = ?2 ORDER BY seq";
    let mut statement = before.tables.prepare_cached(sql).sql(READING)?;
    let wanted = params![GenerateKey::ENTRY, generation.id.to_string()];
    let seqs = statement.query_map(wanted, |row| row.get::<_, i64>(0)).sql(READING)?;
    let mut pairs = Vec::new();
    for seq in seqs {
        let params: GenerateKey = rows::parse(&params_of(before, seq.sql(READING)?)?.to_string())?;
        let (hsm, token_serial, cka_id) = (params.hsm, params.token_serial, params.cka_id);
        pairs.push(Doomed { hsm, token_serial, cka_id, spki_sha256: None });
    }
    Ok(pairs)
}

/// The entries that closed acts of a type, oldest first, whatever came of them.
///
/// # Errors
/// Those of the module.
pub fn all_outcomes(conn: &Connection, entry_type: &str) -> Result<Vec<u64>> {
    let sql = "SELECT outcome FROM intents WHERE type = ?1 AND outcome IS NOT NULL ORDER BY outcome";
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let seqs = statement.query_map([entry_type], |row| row.get::<_, i64>(0)).sql(READING)?;
    seqs.map(|seq| Ok(place(seq.sql(READING)?))).collect()
}

/// Intents about a generation without an outcome, by their entries.
///
/// # Errors
/// Those of the module.
pub fn open_about(conn: &Connection, id: &GenerationId) -> Result<Vec<u64>> {
    let sql = "SELECT seq FROM intents WHERE generation = ?1 AND outcome IS NULL ORDER BY seq";
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let seqs = statement.query_map([id.to_string()], |row| row.get::<_, i64>(0)).sql(READING)?;
    seqs.map(|seq| Ok(place(seq.sql(READING)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::State;
    use crate::ledger::query;
    use crate::ledger::testing::{self, Test, acts};
    use crate::model::{CkaId, KeyAlgorithm, Purpose};
    use crate::request::{DestroyKey, IssueCertificate, Request};
    use chrono::TimeDelta;
    use serde_json::json;

    impl Test {
        fn done<O: Operation>(&mut self, request: &Request<O>, done: Value) {
            let intent = self.add(acts::intent(request));
            self.add(acts::done(&intent, done));
        }

        fn known(&self, id: &str) -> Generation {
            query::generation(self.ledger.connection(), &acts::id(id)).unwrap().unwrap()
        }

        fn last(&self, id: &str) -> LastFacts {
            last_facts(self.ledger.before(), &self.known(id)).unwrap()
        }
    }

    /// A ledger in which `ca/1` and `windows/1` were made.
    fn ledger() -> Test {
        let mut test = testing::ledger(1);
        for (n, (id, purpose)) in
            [("ca/1", Purpose::IntermediateCa), ("windows/1", Purpose::Authenticode)].iter().enumerate()
        {
            let request = acts::keygen(id, *purpose, KeyAlgorithm::EcdsaP256, "primary");
            let identity = acts::identity(&acts::p256(n as u64 + 1), &request.params);
            test.done(&request, json!({ "identity": identity }));
        }
        test
    }

    #[test]
    fn an_entry_that_a_destruction_rests_on_is_the_one_in_the_tree() {
        let mut test = ledger();
        let intent = test.add(acts::intent(&acts::issue("windows/1", "ca/1", "02")));
        assert!(test.last("ca/1").issued_until.is_some());
        // A leaf with another end, and its hash, but not the nodes above it.
        let mut forged = intent.clone();
        forged.body["request"]["params"]["not_after"] = "2026-01-01T00:00:00Z".into();
        let leaf = forged.to_bytes().unwrap();
        let hash = forged.leaf_hash().unwrap();
        test.sabotage(|raw| {
            let sql = "UPDATE entries SET leaf = ?1, leaf_hash = ?2 WHERE seq = ?3";
            raw.execute(sql, params![leaf, hash.0, intent.seq as i64]).unwrap();
        });
        let refused = last_facts(test.ledger.before(), &test.known("ca/1")).unwrap_err();
        assert_eq!(refused.code(), "tables_changed");
    }

    #[test]
    fn every_serial_that_was_ever_reserved_counts_and_a_certificate_of_itself_does_not() {
        let mut test = ledger();
        assert_eq!(test.last("ca/1"), LastFacts::default());
        let by_itself = acts::issue("ca/1", "ca/1", "01");
        test.add(acts::intent(&by_itself));
        assert_eq!(test.last("ca/1").issued_until, None);
        let mut reserve = |serial: &str, days: i64, result: Option<&str>| {
            let mut request: Request<IssueCertificate> = acts::issue("windows/1", "ca/1", serial);
            request.params.not_after += TimeDelta::days(days);
            let intent = test.add(acts::intent(&request));
            result.map(|result| test.add(acts::not_done(&intent, result)));
            (test.last("ca/1").issued_until, request.params.not_after)
        };
        for (serial, days, result) in [("02", 0, None), ("03", 9, Some("unknown")), ("04", 20, Some("failed"))] {
            let (until, end) = reserve(serial, days, result);
            assert_eq!(until, Some(end), "{serial}");
        }
        let (until, end) = reserve("05", 5, None);
        assert!(until > Some(end), "the latest counts");
        assert_eq!(test.last("windows/1").issued_until, None, "it issued nothing");
    }

    #[test]
    fn pairs_that_were_planned_and_never_seen_are_known_by_their_plans() {
        let mut test = ledger();
        for n in 0..2u8 {
            let mut request = acts::keygen("windows/2", Purpose::Authenticode, KeyAlgorithm::EcdsaP256, "primary");
            request.params.cka_id = CkaId::new([7, n]).unwrap();
            let intent = test.add(acts::intent(&request));
            assert_eq!(open_about(test.ledger.connection(), &acts::id("windows/2")).unwrap(), [intent.seq]);
            test.add(acts::not_done(&intent, "failed"));
        }
        let ids: Vec<_> = test.last("windows/2").planned.iter().map(|pair| pair.cka_id.to_string()).collect();
        assert_eq!(ids, ["0700", "0701"]);
        assert!(test.last("windows/1").planned.is_empty(), "it has a key");
        assert!(open_about(test.ledger.connection(), &acts::id("windows/2")).unwrap().is_empty());
    }

    fn destroy(test: &Test, id: &str) -> Request<DestroyKey> {
        let generation = test.known(id);
        let copies = generation.identities.iter().flat_map(|identity| {
            identity.copies.iter().map(|copy| Doomed {
                hsm: copy.hsm.clone(),
                token_serial: copy.token.serial.clone(),
                cka_id: copy.cka_id.clone(),
                spki_sha256: Some(identity.spki_sha256),
            })
        });
        let params = DestroyKey { generation: generation.id.clone(), from: generation.state, copies: copies.collect() };
        acts::request(id, params, Vec::new())
    }

    #[test]
    fn a_destroyed_key_keeps_its_record_and_nothing_else_changes() {
        let mut test = ledger();
        let before = test.known("windows/1");
        let request = destroy(&test, "windows/1");
        test.done(&request, json!({ "destruction_event": {} }));
        let after = test.known("windows/1");
        assert_eq!(after, Generation { state: State::Destroyed, ..before });
        assert_eq!(test.known("ca/1").state, State::Generated);
        assert_eq!(all_outcomes(test.ledger.connection(), DestroyKey::ENTRY).unwrap().len(), 1);
        let spki = after.identities[0].spki_sha256;
        let owner = query::generation_by_spki(test.ledger.connection(), &spki).unwrap();
        assert_eq!(owner.unwrap().id, after.id, "its public key is never seen again");
    }

    #[test]
    fn a_destruction_that_contradicts_the_register_is_refused() {
        let refusal = |change: fn(&mut Request<DestroyKey>), states: &[State]| {
            let mut test = ledger();
            let mut request = destroy(&test, "windows/1");
            change(&mut request);
            let mut from = State::Generated;
            for to in states {
                test.done(&acts::step("windows/1", from, *to), json!({}));
                from = *to;
            }
            let intent = test.add(acts::intent(&request));
            let mut writer = test.ledger.writer().unwrap();
            writer.append(acts::done(&intent, json!({}))).unwrap_err().code()
        };
        assert_eq!(refusal(|_| {}, &[State::Staged]), "bad_transition");
        assert_eq!(refusal(|request| request.params.copies.clear(), &[]), "bad_transition");
        assert_eq!(refusal(|request| request.params.copies[0].spki_sha256 = None, &[]), "bad_transition");
    }
}

//! Revocations: what the intent does alone, what telling adds, and what can never be said.

use super::*;
use crate::clock::{Time, rfc3339};
use crate::keys::RevocationReason::{self, *};
use crate::request::{ConfirmCrl, Dependent, Format, IssueCrl, MarkArtifacts, NewCrl, RevokeKey};
use query::{new_entries, resign_required, revocation, unlisted_generations};

fn id(generation: &str) -> GenerationId {
    acts::id(generation)
}

impl Log {
    /// Root, CA and two signing keys; windows/1 has two certificates that may exist and one that does not.
    fn hierarchy() -> Self {
        let mut log = Log::founded();
        for (n, generation) in [(1, "root/1"), (2, "windows-ca/1"), (3, "windows/1"), (4, "mac/1")] {
            log.make(generation, n);
        }
        log.certify("root/1", "root/1", "01");
        log.certify("windows-ca/1", "root/1", "02");
        for (serial, result) in [("03", "unknown"), ("04", "failed")] {
            let intent = log.add(acts::intent(&acts::issue("windows/1", "windows-ca/1", serial)));
            log.add(acts::not_done(&intent, result));
        }
        log.certify("windows/1", "windows-ca/1", "05");
        log.certify("mac/1", "windows-ca/1", "06");
        for generation in ["root/1", "windows-ca/1", "windows/1", "mac/1"] {
            log.force(generation, State::Active);
        }
        log
    }

    fn certify(&mut self, generation: &str, issuer: &str, serial: &str) {
        let names = ["CN=Example Corp,C=ZZ", "CN=Example Corp Issuing,C=ZZ"];
        let credential = acts::credential(serial.into(), serial, names, Some(id(issuer)));
        self.act(&acts::issue(generation, issuer, serial), json!({ "credential": credential }));
    }

    /// Signs the `n`th file; gives its entry.
    fn sign(&mut self, generation: &str, n: u64, timestamped: bool) -> u64 {
        self.sign_with(&acts::sign(generation, n), n, timestamped)
    }

    fn sign_with(&mut self, request: &Request<SignArtifact>, n: u64, timestamped: bool) -> u64 {
        let mut done = acts::signed(n);
        if timestamped {
            done["timestamp"] = json!({ "time": "2026-01-01T00:00:00Z" });
        }
        self.act(request, done).seq
    }

    fn ask<O: Operation>(&mut self, request: &Request<O>) -> Entry {
        self.add(acts::intent(request))
    }

    fn now(&self) -> Time {
        clock().now() + chrono::TimeDelta::seconds(self.entries.len() as i64)
    }

    fn told(&self, generation: &str) -> Option<u64> {
        revocation(&self.tables, &id(generation)).unwrap().unwrap().told
    }

    fn listed(&self, issuer: &str) -> Vec<(String, RevocationReason)> {
        let entries = query::crl_entries(&self.tables, &id(issuer), self.now()).unwrap();
        entries.into_iter().map(|entry| (entry.serial, entry.terms.reason)).collect()
    }

    /// The entries of artifacts that have to be signed again.
    fn marked(&self) -> Vec<u64> {
        resign_required(&self.tables).unwrap().iter().map(|mark| mark.artifact).collect()
    }

    fn quarantined(&self, generation: &str) -> Option<String> {
        find(&self.tables, &id(generation)).unwrap().quarantined
    }

    fn adopt(&mut self, resign_after: &str) {
        let mut to = acts::adopt("Example Corp");
        to.params.settings["rotation"]["resign_after"] = resign_after.into();
        let doc = canonical(&to.params.settings).unwrap();
        to.params.to_sha256 = Hash256::of(doc.as_bytes());
        self.act(&to, json!({}));
    }
}

fn revoke(reason: RevocationReason, number: u64) -> Request<RevokeKey> {
    acts::revoke("windows/1", reason, "01-20", Some(("windows-ca/1", number)))
}

#[test]
fn the_intent_revokes_and_only_the_published_list_tells() {
    let mut log = Log::hierarchy();
    assert_eq!(new_entries(&log.tables, &id("windows-ca/1"), &id("windows/1"), log.now()).unwrap(), ["03", "05"]);
    let intent = log.ask(&revoke(KeyCompromise, 7));
    assert_eq!((log.state("windows/1"), log.told("windows/1")), (State::Revoked, None));
    assert!(query::active(&log.tables, &"windows".parse().unwrap()).unwrap().is_none());
    let both = vec![("03".to_owned(), KeyCompromise), ("05".to_owned(), KeyCompromise)];
    assert_eq!(log.listed("windows-ca/1"), both, "what may exist is on the list, what surely does not is not");
    assert_eq!(unlisted_generations(&log.tables).unwrap(), [(id("windows-ca/1"), id("windows/1"))]);
    assert_eq!(query::last_crl_number(&log.tables, &id("windows-ca/1")).unwrap(), 7, "burned");
    let done = log.add(acts::done(&intent, acts::listed(7)));
    assert_eq!(log.told("windows/1"), Some(done.seq));
    assert!(unlisted_generations(&log.tables).unwrap().is_empty());
    let list = query::published_crl(&log.tables, &id("windows-ca/1")).unwrap().unwrap();
    assert_eq!((list.number, list.sha256, list.seq, list.served), (7, acts::fixed("list", 7), done.seq, None));
}

#[test]
fn a_failed_list_leaves_the_key_revoked_and_a_later_list_tells() {
    for result in ["failed", "unknown"] {
        let mut log = Log::hierarchy();
        let intent = log.ask(&revoke(KeyCompromise, 1));
        log.add(acts::not_done(&intent, result));
        assert_eq!((log.state("windows/1"), log.told("windows/1")), (State::Revoked, None));
        assert_eq!(query::published_crl(&log.tables, &id("windows-ca/1")).unwrap(), None);
        assert_eq!(log.refuses(acts::intent(&acts::crl("windows-ca/1", 1))), "crl_number_taken");
        let again = log.ask(&revoke(KeyCompromise, 2));
        log.add(acts::not_done(&again, "unknown"));
        let list = log.act(&acts::crl("windows-ca/1", 3), acts::listed(3));
        assert_eq!(log.told("windows/1"), Some(list.seq));
    }
}

#[test]
fn a_list_tells_only_what_was_decided_before_its_intent() {
    let mut log = Log::hierarchy();
    let list = log.ask(&acts::crl("windows-ca/1", 1));
    let revocation = log.ask(&revoke(KeyCompromise, 2));
    log.add(acts::done(&list, acts::listed(1)));
    assert_eq!(log.told("windows/1"), None);
    log.add(acts::done(&revocation, acts::listed(2)));
    assert!(log.told("windows/1").is_some());
}

#[test]
fn numbers_of_lists_only_grow() {
    let mut log = Log::hierarchy();
    log.act(&acts::crl("windows-ca/1", 5), acts::listed(5));
    for number in [0, 4, 5] {
        assert_eq!(log.refuses(acts::intent(&acts::crl("windows-ca/1", number))), "crl_number_taken", "{number}");
        assert_eq!(log.refuses(acts::intent(&revoke(Superseded, number))), "crl_number_taken", "{number}");
    }
    log.act(&acts::crl("root/1", 1), acts::listed(1));
    log.act(&acts::crl("windows-ca/1", 6), acts::listed(6));
    assert_eq!(log.refuses(acts::intent(&acts::crl("nobody/1", 1))), "unknown_generation");
}

#[test]
fn a_revocation_gets_sharper_and_never_blunter() {
    let mut log = Log::hierarchy();
    log.act(&revoke(Superseded, 1), acts::listed(1));
    let blunt = |reason, day: &str| acts::intent(&acts::revoke("windows/1", reason, day, Some(("windows-ca/1", 9))));
    assert_eq!(log.refuses(blunt(CessationOfOperation, "01-20")), "bad_revocation");
    assert_eq!(log.refuses(blunt(KeyCompromise, "01-21")), "bad_revocation", "later");
    let sharp = log.ask(&revoke(KeyCompromise, 2));
    assert_eq!(log.told("windows/1"), None, "the published list says less");
    assert_eq!(log.listed("windows-ca/1")[0].1, KeyCompromise);
    log.add(acts::done(&sharp, acts::listed(2)));
    assert!(log.told("windows/1").is_some());
    let mut dated = acts::revoke("windows/1", KeyCompromise, "01-10", Some(("windows-ca/1", 3)));
    dated.params.invalidity_date = Some(dated.params.revocation_date);
    log.act(&dated, acts::listed(3));
    assert_eq!(log.refuses(blunt(KeyCompromise, "01-20")), "bad_revocation");
    let said = revocation(&log.tables, &id("windows/1")).unwrap().unwrap();
    assert_eq!(rfc3339(said.terms.revocation_date), "2026-01-10T00:00:00Z");
    assert_eq!(said.decided, log.entries[said.seq as usize].time, "it is as old as the first decision");
}

#[test]
fn only_what_has_a_certificate_is_revoked_and_never_by_a_mere_step() {
    for state in State::ALL {
        let mut log = Log::hierarchy();
        log.force("windows/1", *state);
        let can = state.may_become(State::Revoked) || matches!(state, State::Revoked | State::Destroyed);
        let intent = acts::intent(&revoke(KeyCompromise, 1));
        if can {
            log.add(intent);
            let now = if *state == State::Destroyed { State::Destroyed } else { State::Revoked };
            assert_eq!(log.state("windows/1"), now);
        } else {
            assert_eq!(log.refuses(intent), "bad_transition", "{state}");
        }
    }
    let mut log = Log::hierarchy();
    let step = log.add(acts::intent(&acts::step("windows/1", State::Active, State::Revoked)));
    assert_eq!(log.refuses(acts::done(&step, json!({}))), "bad_transition");
    assert_eq!(log.refuses(acts::intent(&acts::revoke("windows/9", Superseded, "01-20", None))), "unknown_generation");
    let mut nobody = revoke(KeyCompromise, 1);
    nobody.params.issuer = None;
    assert_eq!(log.refuses(acts::intent(&nobody)), "bad_revocation");
}

#[test]
fn a_revoked_ca_takes_the_keys_below_with_it() {
    let mut log = Log::hierarchy();
    let waiting = log.ask(&acts::revoke("mac/1", KeyCompromise, "01-20", Some(("windows-ca/1", 1))));
    log.add(acts::not_done(&waiting, "failed"));
    let signed = log.sign("windows/1", 1, false);
    let ca = log.ask(&acts::revoke("windows-ca/1", CaCompromise, "01-20", Some(("root/1", 1))));
    assert!(log.quarantined("windows/1").unwrap().contains("windows-ca/1"));
    assert_eq!((log.quarantined("root/1"), log.quarantined("mac/1")), (None, None));
    assert_eq!(log.state("windows/1"), State::Active, "its own certificate is not revoked");
    assert_eq!(log.marked(), [signed]);
    assert_eq!(log.told("mac/1"), Some(ca.seq), "no list of a revoked CA is waited for");
    assert_eq!(log.told("windows-ca/1"), None);
    log.add(acts::done(&ca, acts::listed(1)));
    assert!(log.told("windows-ca/1").is_some() && unlisted_generations(&log.tables).unwrap().is_empty());
}

#[test]
fn what_depends_on_a_compromised_key_is_marked_from_its_time_on() {
    let mut log = Log::hierarchy();
    let before = [log.sign("windows/1", 1, true), log.sign("windows/1", 2, false)];
    let since = log.now();
    let after = log.sign("windows/1", 3, true);
    let other = log.sign("mac/1", 4, false);
    let mut dated = revoke(KeyCompromise, 1);
    (dated.params.revocation_date, dated.params.invalidity_date) = (since, Some(since));
    let undated = acts::revoke("windows/1", KeyCompromise, "01-20", Some(("windows-ca/1", 1)));

    let mut all = Log { tables: empty(), entries: Vec::new() };
    for entry in &log.entries {
        all.add(NewEntry {
            entry_type: entry.entry_type.clone(),
            actor: entry.actor.clone(),
            correlation_id: entry.correlation_id.clone(),
            body: entry.body.clone(),
        });
    }
    for generation in ["windows-ca/1", "windows/1", "mac/1"] {
        all.force(generation, State::Active);
    }
    log.ask(&dated);
    assert_eq!(log.marked(), [before[1], after], "what was timestamped before stays good");
    all.ask(&undated);
    assert_eq!(all.marked(), [before[0], before[1], after]);
    assert!(!all.marked().contains(&other));
    assert_eq!(query::resign_count(&all.tables, &id("windows/1")).unwrap(), 3);
}

#[test]
fn after_a_routine_end_the_settings_say_what_is_marked() {
    for (setting, count) in [("all", 2), ("untimestamped", 1), ("none", 0)] {
        let mut log = Log::hierarchy();
        log.adopt(setting);
        let marked = [log.sign("windows/1", 1, false), log.sign("windows/1", 2, true)];
        log.ask(&revoke(Superseded, 1));
        assert_eq!(log.marked(), marked[..count], "{setting}");
    }
}

#[test]
fn what_was_under_way_when_the_key_was_revoked_is_marked_too() {
    let mut log = Log::hierarchy();
    let mut cosigned = acts::sign("mac/1", 2);
    cosigned.params.cosigners = vec![id("windows/1")];
    let under_way = [log.ask(&acts::sign("windows/1", 1)), log.ask(&cosigned)];
    log.ask(&revoke(Superseded, 1));
    assert!(log.marked().is_empty());
    let done = [(0, 1), (1, 2)].map(|(at, n): (usize, u64)| log.add(acts::done(&under_way[at], acts::signed(n))).seq);
    assert_eq!(log.marked(), done);
    log.sign("mac/1", 3, false);
    assert_eq!(log.marked(), done);
}

#[test]
fn of_a_repository_only_the_newest_signature_counts_and_a_new_one_closes_its_mark() {
    let mut log = Log::hierarchy();
    let release = |generation: &str, n| {
        let mut request = acts::sign(generation, n);
        request.params.format = Format::Apt;
        request.params.options = BTreeMap::from([("folder".to_owned(), "/srv/stable".to_owned())]);
        request
    };
    log.sign_with(&release("windows/1", 1), 1, false);
    let newest = log.sign_with(&release("windows/1", 2), 2, false);
    let elsewhere = log.sign("windows/1", 3, false);
    log.ask(&revoke(KeyCompromise, 1));
    assert_eq!(log.marked(), [newest, elsewhere]);
    let mark = query::resign_mark(&log.tables, &acts::fixed("signed file", 2)).unwrap().unwrap();
    assert_eq!((mark.artifact, mark.because.to_string()), (newest, "windows/1".to_owned()));
    log.sign_with(&release("mac/1", 4), 4, false);
    assert_eq!(log.marked(), [elsewhere]);
    assert_eq!(query::resign_mark(&log.tables, &acts::fixed("signed file", 2)).unwrap(), None);
}

#[test]
fn marks_are_told_once() {
    let mut log = Log::hierarchy();
    let seqs: Vec<_> = (1..=5).map(|n| log.sign("windows/1", n, false)).collect();
    let revoked = log.ask(&revoke(KeyCompromise, 1)).seq;
    let tell = |log: &mut Log| {
        let marks = query::untold_marks(&log.tables, 3).unwrap();
        let artifacts = marks.iter().map(|mark| Dependent {
            artifact_id: mark.artifact_id.clone(),
            sha256: mark.sha256,
            entry: mark.artifact,
        });
        let artifacts: Vec<_> = artifacts.collect();
        let told: Vec<_> = artifacts.iter().map(|artifact| artifact.entry).collect();
        let params = MarkArtifacts { generation: id("windows/1"), revocation: revoked, artifacts };
        log.act(&acts::request("windows/1", params, Vec::new()), json!({}));
        told
    };
    assert_eq!(tell(&mut log), seqs[..3]);
    assert_eq!(tell(&mut log), seqs[3..]);
    assert!(query::untold_marks(&log.tables, 3).unwrap().is_empty());
    assert_eq!(log.marked(), seqs, "told is not signed again");
}

#[test]
fn a_list_is_seen_at_its_url_only_if_it_was_published() {
    let mut log = Log::hierarchy();
    let seen = |number, sha256| {
        let urls = vec!["http://pki.example.com/x.crl".into()];
        acts::request("windows-ca/1", ConfirmCrl { generation: id("windows-ca/1"), number, sha256, urls }, Vec::new())
    };
    let request = acts::crl("windows-ca/1", 1);
    let IssueCrl { crl: NewCrl { number, .. }, .. } = request.params.clone();
    let list = log.ask(&request);
    for (number, sha256) in [(number, acts::fixed("list", 1)), (2, acts::fixed("list", 1))] {
        let early = log.ask(&seen(number, sha256));
        assert_eq!(log.refuses(acts::done(&early, json!({}))), "unknown_crl");
    }
    log.add(acts::done(&list, acts::listed(1)));
    let other = log.ask(&seen(1, acts::fixed("list", 2)));
    assert_eq!(log.refuses(acts::done(&other, json!({}))), "unknown_crl");
    let served = log.act(&seen(1, acts::fixed("list", 1)), json!({}));
    let newest = query::published_crl(&log.tables, &id("windows-ca/1")).unwrap().unwrap();
    assert_eq!(newest.served, Some(served.seq));
}

#[test]
fn nothing_leaves_a_list_before_ten_years_after_its_end() {
    let mut log = Log::hierarchy();
    log.act(&revoke(KeyCompromise, 1), acts::listed(1));
    let on = |at: &str| {
        let at = crate::clock::parse(at).unwrap();
        let entries = query::crl_entries(&log.tables, &id("windows-ca/1"), at).unwrap().len();
        assert_eq!(query::crl_facts(&log.tables, &id("windows-ca/1"), at).unwrap().1, entries as u64);
        (entries, query::is_forgettable(&log.tables, &id("windows-ca/1"), "05", at).unwrap())
    };
    assert_eq!(on("2036-05-01T00:00:00Z"), (2, false), "notAfter is 2026-05-01");
    assert_eq!(on("2036-05-01T00:00:01Z"), (0, true));
    let stranger = query::is_forgettable(&log.tables, &id("windows-ca/1"), "99", log.now()).unwrap();
    assert!(!stranger, "what the ledger does not know is never left out");
    // A certificate of whose end nobody knows stays for ever.
    log.tables.execute("UPDATE crl_entries SET expires = NULL WHERE serial = '05'", []).unwrap();
    let at = crate::clock::parse("2136-05-01T00:00:01Z").unwrap();
    assert_eq!(query::crl_entries(&log.tables, &id("windows-ca/1"), at).unwrap().len(), 1);
}

#[test]
fn an_openpgp_revocation_takes_the_certificate_with_it_and_no_other() {
    let mut log = Log::founded();
    for (n, generation) in [(1, "apt-root/1"), (2, "apt/1")] {
        log.make(generation, n);
        let request = acts::certify(generation, "apt-root/1");
        log.act(&request, acts::certified(&request));
        log.force(generation, State::Active);
    }
    let mut request = acts::revoke("apt/1", Superseded, "01-20", None);
    (request.params.issuer, request.params.plan) = (Some(id("apt-root/1")), Some(json!({})));
    let intent = log.ask(&request);
    assert_eq!((log.state("apt/1"), log.told("apt/1")), (State::Revoked, None));
    let of = |generation: &str, certificate: &[u8]| {
        let mut done = acts::certified(&acts::certify(generation, "apt-root/1"));
        done["credential"]["certificate"] = crate::model::base64(certificate).into();
        done
    };
    assert_eq!(log.refuses(acts::done(&intent, of("apt-root/1", b"new"))), "bad_revocation");
    assert_eq!(log.refuses(acts::done(&intent, json!({}))), "bad_entry");
    let done = log.add(acts::done(&intent, of("apt/1", b"new")));
    assert_eq!(log.told("apt/1"), Some(done.seq));
    let apt = find(&log.tables, &id("apt/1")).unwrap();
    assert!(matches!(apt.credential(), Some(Credential::OpenPgp { certificate, .. }) if certificate == b"new"));

    let mut primary = acts::revoke("apt-root/1", KeyCompromise, "01-20", None);
    (primary.params.issuer, primary.params.plan) = (Some(id("apt-root/1")), Some(json!({})));
    log.make("apt/2", 3);
    let request = acts::certify("apt/2", "apt-root/1");
    log.act(&request, acts::certified(&request));
    log.ask(&primary);
    assert!(log.quarantined("apt/2").unwrap().contains("apt-root/1"));
    assert_eq!(log.quarantined("apt/1"), None, "it is revoked already");
}

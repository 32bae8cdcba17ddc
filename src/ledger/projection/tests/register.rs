//! The life of generations in the register, and what is theirs alone.

use super::*;

#[test]
fn only_steps_of_the_key_s_life_are_taken() {
    for from in State::ALL {
        for to in State::ALL {
            let mut log = Log::founded();
            log.make("windows/1", 1);
            log.force("windows/1", *from);
            let intent = log.add(acts::intent(&acts::step("windows/1", *from, *to)));
            let done = acts::done(&intent, json!({}));
            if from.may_become(*to) && declarable(*to) {
                log.add(done);
                assert_eq!(log.state("windows/1"), *to);
            } else {
                assert_eq!(log.refuses(done), "bad_transition", "{from} to {to}");
            }
        }
    }
    let mut log = Log::founded();
    log.make("windows/1", 1);
    let lie = log.add(acts::intent(&acts::step("windows/1", State::Certified, State::Staged)));
    assert_eq!(log.refuses(acts::done(&lie, json!({}))), "bad_transition", "it is generated, not certified");
    let nobody = log.add(acts::intent(&acts::step("windows/9", State::Certified, State::Staged)));
    assert_eq!(log.refuses(acts::done(&nobody, json!({}))), "unknown_generation");
}

#[test]
fn a_key_has_one_active_generation() {
    let mut log = Log::founded();
    for (n, generation) in [(1, "windows/1"), (2, "windows/2"), (3, "apt/1")] {
        log.make(generation, n);
        log.force(generation, State::Staged);
    }
    let active = |generation: &str| acts::step(generation, State::Staged, State::Active);
    log.act(&active("windows/1"), json!({}));
    log.act(&active("apt/1"), json!({}));
    let second = log.add(acts::intent(&active("windows/2")));
    assert_eq!(log.refuses(acts::done(&second, json!({}))), "one_active");
    log.act(&acts::step("windows/1", State::Active, State::Retiring), json!({}));
    log.add(acts::done(&second, json!({})));
    let now = query::active(&log.tables, &"windows".parse().unwrap()).unwrap().unwrap();
    assert_eq!(now.id, acts::id("windows/2"));
}

#[test]
fn a_generation_is_made_once() {
    let mut log = Log::founded();
    let first = log.add(acts::intent(&keygen("windows/1")));
    assert_eq!(log.state("windows/1"), State::Planned);
    log.add(acts::not_done(&first, "failed"));
    // What was planned and never made keeps its number.
    let second = log.add(acts::intent(&keygen("windows/1")));
    let third = log.add(acts::intent(&keygen("windows/1")));
    log.add(acts::done(&second, made("windows/1", 1)));
    assert_eq!(log.state("windows/1"), State::Generated);
    assert_eq!(log.refuses(acts::done(&third, made("windows/1", 2))), "bad_transition");
    assert_eq!(log.refuses(acts::intent(&keygen("windows/1"))), "generation_exists");
    assert_eq!(query::next_number(&log.tables, &"windows".parse().unwrap()).unwrap(), 2);
}

#[test]
fn a_public_key_is_seen_once() {
    let mut log = Log::founded();
    log.make("windows/1", 1);
    for generation in ["windows/2", "apt/1"] {
        let intent = log.add(acts::intent(&keygen(generation)));
        assert_eq!(log.refuses(acts::done(&intent, made(generation, 1))), "public_key_seen");
        let ledgers = json!({ "identity": acts::genesis(&Signer::fixed()).ledger_keys[0].identity });
        assert_eq!(log.refuses(acts::done(&intent, ledgers)), "public_key_seen");
        assert_eq!(log.state(generation), State::Planned);
    }
}

#[test]
fn a_serial_number_is_reserved_once_for_each_issuer() {
    let mut log = Log::founded();
    log.make("windows/1", 1);
    let intent = log.add(acts::intent(&acts::issue("windows/1", "windows-ca/1", "0a")));
    assert_eq!(log.refuses(acts::intent(&acts::issue("windows/1", "windows-ca/1", "0a"))), "serial_taken");
    log.add(acts::not_done(&intent, "unknown"));
    assert_eq!(log.refuses(acts::intent(&acts::issue("windows/2", "windows-ca/1", "0a"))), "serial_taken");
    log.add(acts::intent(&acts::issue("windows/1", "windows-ca/2", "0a")));
    log.add(acts::intent(&acts::issue("windows/1", "windows-ca/1", "0b")));
}

#[test]
fn a_certificate_goes_to_a_generation_that_waits_for_it() {
    for imported in [false, true] {
        let mut log = Log::founded();
        log.make("windows/1", 1);
        let mut ask = |serial: &str| {
            let new = match imported {
                false => acts::intent(&acts::issue("windows/1", "windows-ca/1", serial)),
                true => acts::intent(&acts::import("windows/1", serial.as_bytes(), serial)),
            };
            log.add(new)
        };
        let (first, second) = (ask("0a"), ask("0b"));
        log.add(acts::done(&first, certificate("0a")));
        let windows = find(&log.tables, &acts::id("windows/1")).unwrap();
        assert_eq!((windows.state, windows.identities[0].x509()), (State::Certified, Some(b"0a".as_slice())));
        assert_eq!(log.refuses(acts::done(&second, certificate("0b"))), "bad_transition");
        log.force("windows/1", State::Generated);
        log.tables.execute("UPDATE generations SET doc = json_set(doc, '$.identities', json('[]'))", []).unwrap();
        assert_eq!(log.refuses(acts::done(&second, certificate("0b"))), "no_identity");
    }
}

#[test]
fn a_key_whose_attributes_do_not_hold_is_quarantined() {
    let mut log = Log::founded();
    let intent = log.add(acts::intent(&keygen("windows/1")));
    let mut done = acts::done(&intent, made("windows/1", 1));
    let fact = done.body.pointer_mut("/done/identity/copies/0/attributes/1").unwrap();
    *fact = json!({ "name": "CKA_EXTRACTABLE", "value": true, "state": "mismatch" });
    log.add(done);
    log.make("windows/2", 2);
    let windows = |number: &str| find(&log.tables, &acts::id(number)).unwrap();
    let reason = windows("windows/1").quarantined.unwrap();
    assert!(reason.contains("CKA_EXTRACTABLE") && !reason.contains("CKA_SIGN"), "{reason}");
    assert_eq!((windows("windows/1").state, windows("windows/2").quarantined), (State::Generated, None));
}

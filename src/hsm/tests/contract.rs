//! What every token must do.

use super::support::*;
use crate::error::{Error, Kind};
use crate::hsm::fault::Fault;
use crate::hsm::generate::KeyTemplate;
use crate::hsm::keycheck;
use crate::hsm::object::{Confirmation, Presence, State};
use crate::hsm::pin::PinSource;
use crate::hsm::token::{Token, TokenSpec};
use crate::model::{HashAlgorithm, KeyAlgorithm, Mechanism, Tbs};
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::PKey;

/// Each contract as a test for each backend.
macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod builtin_token { $(#[test] fn $name() { super::$name(&super::builtin_fixture()); })* }
        mod softhsm { $(#[test] fn $name() {
            super::with_softhsm(concat!(module_path!(), "::", stringify!($name)), super::$name);
        })* }
        mod nss { $(#[test] fn $name() {
            super::with_nss(concat!(module_path!(), "::", stringify!($name)), super::$name);
        })* }
    };
}

contract! {
    a_pair_is_made_found_used_and_destroyed,
    every_mechanism_signs,
    ids_and_labels_are_not_taken_twice,
    a_wrong_pin_is_refused_and_no_other_is_tried,
    tokens_are_chosen_by_label_and_serial,
    many_threads_sign_at_once,
    an_always_authenticate_key_signs,
    the_inventory_lists_keys_and_mechanisms,
    an_indestructible_key_stays,
    halves_and_doubles_are_seen,
    only_the_key_itself_is_destroyed,
    without_a_login_private_keys_are_not_there,
}

#[test]
fn two_modules_work_in_one_process() {
    let test = concat!(module_path!(), "::two_modules_work_in_one_process");
    with_softhsm(test, |softhsm| {
        let builtin = builtin_fixture();
        let tokens = [softhsm.open(), builtin.open()];
        let keys: Vec<_> = tokens.iter().map(|token| p256(token, "a").public).collect();
        std::thread::scope(|scope| {
            for (token, key) in tokens.iter().zip(&keys) {
                scope.spawn(|| (0..50).for_each(|_| sign(token, "a", key).unwrap()));
            }
        });
    });
}

fn code<T: std::fmt::Debug>(result: Result<T, Fault>) -> &'static str {
    result.unwrap_err().code()
}

fn stranger() -> crate::crypto::verify::PublicKey {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    crate::crypto::verify::PublicKey::from_spki(&key.public_key_to_der().unwrap()).unwrap()
}

fn a_pair_is_made_found_used_and_destroyed(fixture: &Fixture) {
    let token = fixture.open();
    assert_eq!(token.inspect(&id("a")).unwrap().presence(), Presence::None);
    let template = KeyTemplate::bound(id("a"), "key a", KeyAlgorithm::EcdsaP256);
    let made = token.generate(&template).unwrap();
    keycheck::check(&made.public).unwrap();
    assert_eq!(made.public.algorithm(), Some(KeyAlgorithm::EcdsaP256));
    let not_asserted: Vec<_> = made.attributes.iter().filter(|a| a.state != State::Asserted).collect();
    match fixture.backend {
        // NSS takes neither allowed mechanisms nor destroyable, and says CKA_LOCAL = false of what it made.
        Backend::Nss => assert!(!made.left_out.is_empty() && !not_asserted.is_empty(), "{not_asserted:?}"),
        _ => assert!(made.left_out.is_empty() && not_asserted.is_empty(), "{:?} {not_asserted:?}", made.left_out),
    }
    for required in ["CKA_TOKEN", "CKA_SENSITIVE", "CKA_EXTRACTABLE", "CKA_SIGN"] {
        let state = made.attributes.iter().find(|a| a.name == required).unwrap().state;
        assert_eq!(state, State::Asserted, "{required}");
    }

    let inspection = token.inspect(&id("a")).unwrap();
    assert_eq!(inspection.presence(), Presence::Full);
    assert_eq!(inspection.key.unwrap().spki(), made.public.spki());
    let key = token.find(&id("a"), &made.public).unwrap();
    assert_eq!(key.confirmed(), Confirmation::PublicObject);
    assert_eq!(token.attributes(&key, Some(&template)).unwrap(), made.attributes);
    sign(&token, "a", &made.public).unwrap();
    assert_eq!(code(token.find(&id("a"), &stranger())), "key_unconfirmed");
    assert_eq!(code(token.find(&id("b"), &made.public)), "key_missing");

    drop(token);
    let token = fixture.open();
    sign(&token, "a", &made.public).unwrap();
    token.destroy(key.cka_id(), Some(key.public())).unwrap();
    assert_eq!(token.inspect(&id("a")).unwrap().presence(), Presence::None);
    let nothing = token.destroy(key.cka_id(), Some(key.public())).unwrap();
    assert!(!nothing.private && !nothing.public && token.is_gone(key.cka_id(), Some(key.public())).unwrap());
    let tbs = Tbs::message(ECDSA, b"x");
    assert_eq!(code(token.sign(&key, &tbs)), "key_missing");
}

fn every_mechanism_signs(fixture: &Fixture) {
    use HashAlgorithm::*;
    let token = fixture.open();
    let hashes = [Sha256, Sha384, Sha512];
    let all = |make: fn(HashAlgorithm) -> Mechanism| hashes.iter().map(move |hash| make(*hash)).collect::<Vec<_>>();
    let mut cases = vec![
        (KeyAlgorithm::Rsa3072, [all(Mechanism::RsaPkcs1), all(Mechanism::RsaPss)].concat()),
        (KeyAlgorithm::EcdsaP256, all(Mechanism::Ecdsa)),
        (KeyAlgorithm::EcdsaP384, all(Mechanism::Ecdsa)),
    ];
    if fixture.backend != Backend::Nss {
        cases.push((KeyAlgorithm::Ed25519, vec![Mechanism::Ed25519]));
    }
    for (algorithm, mechanisms) in cases {
        let name = algorithm.as_str();
        let made = token.generate(&KeyTemplate::bound(id(name), name, algorithm)).unwrap();
        keycheck::check(&made.public).unwrap();
        let key = token.find(&id(name), &made.public).unwrap();
        for mechanism in mechanisms {
            let tbs = Tbs::message(mechanism, b"message");
            let signature = token.sign(&key, &tbs).unwrap();
            made.public.verify(&tbs, &signature).unwrap();
        }
        let wrong = if algorithm.is_rsa() { Mechanism::Ed25519 } else { Mechanism::RsaPss(Sha256) };
        assert_eq!(code(token.sign(&key, &Tbs::message(wrong, b"message"))), "mechanism_refused");
    }
}

fn ids_and_labels_are_not_taken_twice(fixture: &Fixture) {
    let token = fixture.open();
    p256(&token, "a");
    let attempt = |id_: &str, label: &str| token.generate(&KeyTemplate::bound(id(id_), label, KeyAlgorithm::EcdsaP256));
    assert_eq!(code(attempt("a", "fresh")), "id_taken");
    assert_eq!(code(attempt("fresh", "a")), "id_taken");
    assert_eq!(token.inspect(&id("fresh")).unwrap().presence(), Presence::None);
    attempt("fresh", "fresh").unwrap();
}

fn a_wrong_pin_is_refused_and_no_other_is_tried(fixture: &Fixture) {
    let sources = PinSource::FirstOf(vec![pin("wrong-wrong-wrong"), pin(PIN)]);
    let fault = Token::open(TokenSpec { pin: sources, ..fixture.spec.clone() }).unwrap_err();
    assert_eq!((fault.code(), fault.is_outage()), ("wrong_pin", false), "{fault}");
    assert_eq!(fault.function().as_deref(), Some("C_Login"));
    assert_eq!(Error::from(fault).kind(), Kind::Failed);
    let none = Token::open(TokenSpec { pin: PinSource::None, ..fixture.spec.clone() });
    assert_eq!(code(none), "no_pin");
    fixture.open();
}

fn tokens_are_chosen_by_label_and_serial(fixture: &Fixture) {
    let info = fixture.open().info().clone();
    assert!(info.software && !info.serial.is_empty(), "{info:?}");
    let with = |label: Option<&str>, serial: Option<&str>| {
        let (label, serial) = (label.map(str::to_owned), serial.map(str::to_owned));
        Token::open(TokenSpec { label, serial, ..fixture.spec.clone() })
    };
    // Both tokens of NSS have the serial 0000000000000000.
    assert_eq!(with(None, Some(&info.serial)).is_ok(), fixture.backend != Backend::Nss);
    with(Some(&info.label), Some(&info.serial)).unwrap();
    let fault = with(Some("nobody"), None).unwrap_err();
    assert_eq!(fault.code(), "token_not_found");
    assert!(fault.to_string().contains(&info.label), "{fault}");
    assert_eq!(code(with(Some(&info.label), Some("0"))), "token_not_found");
    if fixture.backend != Backend::Builtin {
        // Its folder alone names a builtin token; the others have a second token here.
        assert!(with(None, None).is_err());
    }
}

fn many_threads_sign_at_once(fixture: &Fixture) {
    let token = Token::open(TokenSpec { sessions: 3, ..fixture.spec.clone() }).unwrap();
    let made = p256(&token, "a");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| (0..10).for_each(|_| sign(&token, "a", &made.public).unwrap()));
        }
    });
}

fn an_always_authenticate_key_signs(fixture: &Fixture) {
    let token = fixture.open();
    let mut template = KeyTemplate::bound(id("a"), "a", KeyAlgorithm::EcdsaP256);
    template.always_authenticate = true;
    let made = token.generate(&template).unwrap();
    let key = token.find(&id("a"), &made.public).unwrap();
    assert!(key.always_authenticate());
    for _ in 0..2 {
        sign(&token, "a", &made.public).unwrap();
    }
}

fn the_inventory_lists_keys_and_mechanisms(fixture: &Fixture) {
    let token = fixture.open();
    let made = p256(&token, "a");
    let objects = token.inventory().unwrap();
    let ours: Vec<_> = objects.iter().filter(|object| object.cka_id == id("a").to_string()).collect();
    let classes: Vec<_> = ours.iter().map(|object| object.class).collect();
    assert_eq!(classes, ["private-key", "public-key"]);
    assert_eq!(ours[1].spki_sha256, Some(made.public.spki_hash()));
    assert_eq!((ours[0].key_type.as_str(), ours[0].label.as_str()), ("ec", "a"));
    let mechanisms = token.mechanisms().unwrap();
    assert!(mechanisms.iter().any(|mechanism| mechanism.number == 0x1041), "CKM_ECDSA");
    let (one, other) = (token.random(32).unwrap(), token.random(32).unwrap());
    assert!(one.len() == 32 && one != other);
    assert_eq!(code(token.random(5000)), "token_refused");
    let report = crate::hsm::doctor::examine(token.info(), &mechanisms, None, false);
    let rsa = report.capabilities.iter().find(|c| c.algorithm == KeyAlgorithm::Rsa4096).unwrap();
    assert!(rsa.is_there(), "{rsa:?}");
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519] {
        let found = report.capabilities.iter().find(|c| c.algorithm == algorithm).unwrap();
        let expected = algorithm != KeyAlgorithm::Ed25519 || fixture.backend != Backend::Nss;
        assert_eq!(found.is_there(), expected, "{found:?}");
    }
    assert!(report.findings.iter().any(|finding| finding.code == "software_token"));
}

fn an_indestructible_key_stays(fixture: &Fixture) {
    let token = fixture.open();
    let mut template = KeyTemplate::bound(id("ca"), "ca", KeyAlgorithm::EcdsaP256);
    template.destroyable = false;
    let made = token.generate(&template).unwrap();
    let key = token.find(&id("ca"), &made.public).unwrap();
    if made.left_out.contains(&"CKA_DESTROYABLE") {
        let state = made.attributes.iter().find(|a| a.name == "CKA_DESTROYABLE").unwrap().state;
        assert_ne!(state, State::Asserted);
        return;
    }
    let fault = token.destroy(key.cka_id(), Some(key.public())).unwrap_err();
    assert_eq!((fault.code(), fault.is_unknown()), ("key_forbids", false), "{fault}");
    assert_eq!(Error::from(fault).kind(), Kind::Blocked);
    assert_eq!(token.inspect(&id("ca")).unwrap().presence(), Presence::Full);
}

fn halves_and_doubles_are_seen(fixture: &Fixture) {
    let token = fixture.open();
    let made = p256(&token, "a");
    token.remove_half(&id("a"), true);
    assert_eq!(token.inspect(&id("a")).unwrap().presence(), Presence::Half);
    match fixture.backend {
        Backend::Builtin => {
            assert_eq!(token.find(&id("a"), &made.public).unwrap().confirmed(), Confirmation::PublicKeyInfo);
            sign(&token, "a", &made.public).unwrap();
        }
        // SoftHSM2 keeps no public part with an EC private key.
        Backend::SoftHsm => assert_eq!(code(token.find(&id("a"), &made.public)), "key_unconfirmed"),
        Backend::Nss => drop(token.find(&id("a"), &made.public)),
    }
    token.remove_half(&id("a"), false);
    assert_eq!(token.inspect(&id("a")).unwrap().presence(), Presence::None);

    if fixture.backend == Backend::Nss {
        // It refuses the full template, and with the first pair there, the ladder stops as it should.
        return;
    }
    let made = p256(&token, "b");
    token.generate_twice(&KeyTemplate::bound(id("b"), "b", KeyAlgorithm::EcdsaP256));
    assert_eq!(token.inspect(&id("b")).unwrap().presence(), Presence::Ambiguous);
    assert_eq!(code(token.find(&id("b"), &made.public)), "key_ambiguous");
}

fn only_the_key_itself_is_destroyed(fixture: &Fixture) {
    let token = fixture.open();
    let (a, b) = (p256(&token, "a").public, p256(&token, "b").public);
    let whole = |name: &str| token.inspect(&id(name)).unwrap().presence() == Presence::Full;
    for wrong in [Some(&b), Some(&stranger()), None] {
        assert_eq!(code(token.destroy(&id("a"), wrong)), "key_unconfirmed");
    }
    assert!(whole("a") && whole("b"));
    for absent in [None, Some(&stranger())] {
        let gone = token.destroy(&id("c"), absent).unwrap();
        assert!(!gone.private && !gone.public);
    }
    // The same public key under another CKA_ID: destroying one would not destroy the key.
    if token.copy_public(&id("b"), &id("z")) {
        assert_eq!(code(token.destroy(&id("b"), Some(&b))), "key_ambiguous");
        assert!(!token.is_gone(&id("y"), Some(&b)).unwrap());
        token.remove_half(&id("z"), true);
    } else {
        assert_eq!(fixture.backend, Backend::Nss, "the others take a public key object");
    }
    // What an interruption left is finished: the private half goes first.
    token.remove_half(&id("a"), false);
    assert_eq!(code(token.destroy(&id("a"), Some(&b))), "key_unconfirmed");
    let gone = token.destroy(&id("a"), Some(&a)).unwrap();
    assert!(!gone.private && gone.public && token.is_gone(&id("a"), Some(&a)).unwrap());

    token.remove_half(&id("b"), true);
    match token.destroy(&id("b"), Some(&b)) {
        Ok(gone) => assert!(gone.private && !gone.public && fixture.backend == Backend::Builtin),
        // The others keep no public part with an EC private key, so nobody can say which it is.
        Err(fault) => assert!(fault.code() == "key_unconfirmed" && fixture.backend != Backend::Builtin, "{fault}"),
    }
    if fixture.backend != Backend::Nss {
        let made = p256(&token, "d");
        token.generate_twice(&KeyTemplate::bound(id("d"), "d", KeyAlgorithm::EcdsaP256));
        assert_eq!(code(token.destroy(&id("d"), Some(&made.public))), "key_ambiguous");
        assert_eq!(token.inspect(&id("d")).unwrap().presence(), Presence::Ambiguous);
    }
}

fn without_a_login_private_keys_are_not_there(fixture: &Fixture) {
    let made = p256(&fixture.open(), "a");
    let spec = TokenSpec { pin: pin("never-asked"), ..fixture.spec.clone() };
    let token = Token::open_without_login(spec).unwrap();
    assert_eq!(code(token.find(&id("a"), &made.public)), "key_missing");
    assert!(token.inventory().unwrap().iter().all(|object| object.class != "private-key"));
    assert!(!token.mechanisms().unwrap().is_empty());
    assert!(token.generate(&KeyTemplate::bound(id("b"), "b", KeyAlgorithm::EcdsaP256)).is_err());
}

/// What no program should do, done to see that it is noticed.
impl Token {
    fn remove_half(&self, cka_id: &crate::model::CkaId, public: bool) {
        let cka_id = cka_id.clone();
        let class = if public { cryptoki_sys::CKO_PUBLIC_KEY } else { cryptoki_sys::CKO_PRIVATE_KEY };
        self.raw_job(move |seat, _| {
            for object in seat.with_id(class, &cka_id)? {
                seat.functions().destroy(seat.session()?.handle(), object)?;
            }
            Ok(())
        });
    }

    /// Puts the public key under another CKA_ID too, if the token lets one.
    fn copy_public(&self, from: &crate::model::CkaId, to: &crate::model::CkaId) -> bool {
        use cryptoki::object::{Attribute, KeyType, ObjectClass};
        let (from, to) = (from.clone(), to.clone());
        let (sent, made) = std::sync::mpsc::channel();
        self.raw_job(move |seat, _| {
            let object = seat.with_id(cryptoki_sys::CKO_PUBLIC_KEY, &from)?[0];
            let bytes = |kind| seat.bytes(object, kind).map(Option::unwrap);
            let template = [
                Attribute::Class(ObjectClass::PUBLIC_KEY),
                Attribute::KeyType(KeyType::EC),
                Attribute::Token(true),
                Attribute::Private(false),
                Attribute::Verify(true),
                Attribute::Id(to.as_bytes().to_vec()),
                Attribute::EcParams(bytes(cryptoki_sys::CKA_EC_PARAMS)?),
                Attribute::EcPoint(bytes(cryptoki_sys::CKA_EC_POINT)?),
            ];
            sent.send(seat.session()?.create_object(&template).is_ok()).unwrap();
            Ok(())
        });
        made.recv().unwrap()
    }

    fn generate_twice(&self, template: &KeyTemplate) {
        let template = template.clone();
        self.raw_job(move |seat, flight| seat.make(&template, flight).map(drop));
    }
}

use super::*;
use crate::pki::lint::Origin;
use crate::pki::testing::{Hierarchy, Key, now, time};

fn published<'a>(h: &'a Hierarchy, candidates: &'a [Vec<u8>], roots: &'a [Vec<u8>]) -> AsPublished<'a> {
    AsPublished {
        certificate: h.leaf.der(),
        profile: ProfileName::Authenticode,
        candidates,
        roots,
        crls: &[],
        origin: Origin::Issued,
        environment: Environment::Production,
        at: now(),
    }
}

fn params() -> TestKey {
    TestKey { generation: "windows/2".parse().unwrap(), certificate: "ab".repeat(32), nonce: "00".repeat(32) }
}

#[test]
fn a_key_stands_as_its_published_chain_says() {
    let h = Hierarchy::new();
    let (pool, roots) = ([h.intermediate.der().to_vec()], [h.root.der().to_vec()]);
    let good = published(&h, &pool, &roots);
    let standing = Standing::of_certificate(&good).unwrap();
    let hashes: Vec<_> = [&h.leaf, &h.intermediate, &h.root].iter().map(|c| c.sha256().to_string()).collect();
    assert_eq!(standing.chain, hashes);
    assert_eq!(standing.anchor, h.root.subject().to_string());

    let other = Hierarchy::new();
    let strangers = [other.root.der().to_vec()];
    assert_eq!(Standing::of_certificate(&published(&h, &pool, &strangers)).unwrap_err().code(), "unknown_issuer");
    assert_eq!(Standing::of_certificate(&published(&h, &[], &roots)).unwrap_err().code(), "unknown_issuer");
    let late = AsPublished { at: time("2030-01-01T00:00:00Z"), ..good };
    assert_eq!(Standing::of_certificate(&late).unwrap_err().code(), "certificate_expired");
    let unlike = AsPublished { profile: ProfileName::Installer, ..good };
    assert_eq!(Standing::of_certificate(&unlike).unwrap_err().code(), "wrong_purpose");
}

#[test]
fn a_ca_stands_without_a_leaf_below_it() {
    let h = Hierarchy::new();
    let roots = [h.root.der().to_vec()];
    let leaf = published(&h, &[], &roots);
    let ca = AsPublished { certificate: h.intermediate.der(), profile: ProfileName::IntermediateCa, ..leaf };
    assert_eq!(Standing::of_certificate(&ca).unwrap().chain.len(), 2);
    let root = AsPublished { certificate: h.root.der(), profile: ProfileName::RootCa, ..leaf };
    assert_eq!(Standing::of_certificate(&root).unwrap().chain.len(), 1);
    let pretender =
        AsPublished { profile: ProfileName::IntermediateCa, candidates: &[h.intermediate.der().to_vec()], ..leaf };
    assert_eq!(Standing::of_certificate(&pretender).unwrap_err().code(), "not_an_issuer");
}

#[test]
fn a_test_holds_only_with_the_key_in_the_certificate_and_over_these_words() {
    let h = Hierarchy::new();
    let (pool, roots) = ([h.intermediate.der().to_vec()], [h.root.der().to_vec()]);
    let standing = || Standing::of_certificate(&published(&h, &pool, &roots)).unwrap();
    let tbs = test_message(&params(), KeyAlgorithm::EcdsaP384);
    let signature = h.leaf_key.sign(&tbs);
    Tested::check(standing(), &tbs, signature.clone()).unwrap();
    for key in [&h.intermediate_key, &Key::p384()] {
        assert_eq!(Tested::check(standing(), &tbs, key.sign(&tbs)).unwrap_err().code(), "bad_signature");
    }
    for at in 0..signature.0.len() {
        let mut spoilt = signature.clone();
        spoilt.0[at] ^= 1;
        assert!(Tested::check(standing(), &tbs, spoilt).is_err(), "byte {at}");
    }
    let others = [
        TestKey { generation: "windows/3".parse().unwrap(), ..params() },
        TestKey { certificate: "cd".repeat(32), ..params() },
        TestKey { nonce: "01".repeat(32), ..params() },
    ];
    for other in others {
        let tbs = test_message(&other, KeyAlgorithm::EcdsaP384);
        assert!(Tested::check(standing(), &tbs, signature.clone()).is_err(), "{other:?}");
    }
}

#[test]
fn what_is_signed_for_a_test_is_nothing_else() {
    let message = format!("keyctl-test-signature-v1\nwindows/2\n{}\n{}\n", "ab".repeat(32), "00".repeat(32));
    let tbs = test_message(&params(), KeyAlgorithm::EcdsaP256);
    assert_eq!(tbs.content(), HashAlgorithm::Sha256.digest(message.as_bytes()));
    // Neither DER nor an OpenPGP trailer, and no proof of possession.
    assert!(message.as_bytes()[0] != 0x30 && message.ends_with('\n'));
    assert!(!message.starts_with("keyctl-proof-of-possession"));
    let ed25519 = test_message(&params(), KeyAlgorithm::Ed25519);
    assert_ne!(ed25519.bytes().len(), 32, "an OpenPGP signature by such a key is over 32 bytes");
}

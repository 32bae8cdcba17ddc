use super::*;
use crate::pki::algorithm;
use crate::pki::asn1;
use crate::pki::certificate::{Extension, Fields};
use crate::pki::crl::{Reason, Revocation as Revoke};
use crate::pki::extension;
use crate::pki::oid;
use crate::pki::profile::{ProfileName, Usage};
use crate::pki::testing::{Hierarchy, Key, now, subject, time};
use chrono::TimeDelta;
use const_oid::ObjectIdentifier;

fn signed(fields: &Fields, signer: &Key) -> Certificate {
    let fields = Fields { algorithm: algorithm::identifier(signer.mechanism()), ..fields.clone() };
    let tbs = fields.encode();
    let signature = signer.sign_message(signer.mechanism(), &tbs);
    let der = asn1::sequence(&[&tbs, &fields.algorithm, &asn1::bit_string(&signature)]);
    Certificate::parse(&der).unwrap()
}

/// The leaf's chain, with the intermediate offered.
fn chain(hierarchy: &Hierarchy, at: Time, revocation: Revocation<'_>) -> Result<Chain, ChainError> {
    offered(&hierarchy.leaf, &[&hierarchy.intermediate], &[&hierarchy.root], at, revocation)
}

fn offered(
    leaf: &Certificate,
    candidates: &[&Certificate],
    roots: &[&Certificate],
    at: Time,
    revocation: Revocation<'_>,
) -> Result<Chain, ChainError> {
    let der = |list: &[&Certificate]| list.iter().map(|c| c.der().to_vec()).collect::<Vec<_>>();
    build(leaf.der(), &der(candidates), &der(roots), at, Eku::CodeSigning, revocation)
}

fn code(result: Result<Chain, ChainError>) -> &'static str {
    result.map_or_else(|e| e.code(), |_| "ok")
}

/// The hierarchy with one certificate changed and everything signed again.
struct Changed {
    hierarchy: Hierarchy,
}

impl Changed {
    fn intermediate(change: impl Fn(&mut Fields)) -> Self {
        let mut hierarchy = Hierarchy::new();
        let mut fields = hierarchy.intermediate.fields().clone();
        change(&mut fields);
        hierarchy.intermediate = signed(&fields, &hierarchy.root_key);
        Changed { hierarchy }
    }

    fn leaf(change: impl Fn(&mut Fields)) -> Self {
        let mut hierarchy = Hierarchy::new();
        let mut fields = hierarchy.leaf.fields().clone();
        change(&mut fields);
        hierarchy.leaf = signed(&fields, &hierarchy.intermediate_key);
        Changed { hierarchy }
    }

    fn code(&self) -> &'static str {
        code(chain(&self.hierarchy, now(), Revocation::Unchecked))
    }
}

fn replace(fields: &mut Fields, extension: Extension) {
    fields.extensions.retain(|e| e.oid != extension.oid);
    fields.extensions.push(extension);
}

#[test]
fn a_chain_is_found_among_strangers_in_any_order() {
    let (ours, stranger) = (Hierarchy::new(), Hierarchy::new());
    let candidates = [&stranger.leaf, &stranger.intermediate, &ours.root, &ours.intermediate, &stranger.root];
    let found = offered(&ours.leaf, &candidates, &[&ours.root], now(), Revocation::Unchecked).unwrap();
    assert_eq!(found.certificates(), [ours.leaf.clone(), ours.intermediate.clone(), ours.root.clone()]);
    assert_eq!(found.issuer(), Some(&ours.intermediate));
    assert_eq!(found.root(), Some(&ours.root));
    // A candidate is not a root, whatever it says.
    let code = code(offered(&ours.leaf, &candidates, &[&stranger.root], now(), Revocation::Unchecked));
    assert_eq!(code, "unknown_issuer");
}

#[test]
fn errors_are_told_apart() {
    let hierarchy = Hierarchy::new();
    let at = |at: &str| code(chain(&hierarchy, time(at), Revocation::Unchecked));
    assert_eq!(at("2026-11-20T00:00:00Z"), "ok");
    assert_eq!(at("2026-11-01T00:00:00Z"), "ok", "the first second counts");
    assert_eq!(at("2026-10-31T23:59:59Z"), "certificate_not_yet_valid");
    assert_eq!(at("2027-02-12T23:59:59Z"), "ok", "the last second counts");
    assert_eq!(at("2027-02-13T00:00:00Z"), "certificate_expired");
    let alone = offered(&hierarchy.leaf, &[], &[&hierarchy.root], now(), Revocation::Unchecked);
    assert_eq!(code(alone), "unknown_issuer");
    let der = [hierarchy.intermediate.der()];
    let roots = [hierarchy.root.der()];
    let other = build(hierarchy.leaf.der(), &der, &roots, now(), Eku::AppleInstaller, Revocation::Unchecked);
    assert_eq!(code(other), "wrong_purpose");
    assert_eq!(
        code(build(b"\x30\x00", &der, &roots, now(), Eku::CodeSigning, Revocation::Unchecked)),
        "chain_unreadable"
    );
    let many = vec![b"\x30".to_vec(); MAX_CANDIDATES + 1];
    let result = build(hierarchy.leaf.der(), &many, &roots, now(), Eku::CodeSigning, Revocation::Unchecked);
    assert_eq!(code(result), "chain_too_complex");
    // Unreadable and oversized candidates are passed over.
    let junk = [vec![0x30; 70_000], b"\x30\x03abc".to_vec(), hierarchy.intermediate.der().to_vec()];
    let result = build(hierarchy.leaf.der(), &junk, &roots, now(), Eku::CodeSigning, Revocation::Unchecked);
    assert_eq!(code(result), "ok");
}

#[test]
fn every_changed_byte_of_a_leaf_is_noticed() {
    let hierarchy = Hierarchy::new();
    let der = hierarchy.leaf.der();
    let (candidates, roots) = ([hierarchy.intermediate.der()], [hierarchy.root.der()]);
    for at in 0..der.len() {
        let mut changed = der.to_vec();
        changed[at] ^= 0x01;
        let result = build(&changed, &candidates, &roots, now(), Eku::CodeSigning, Revocation::Unchecked);
        assert!(result.is_err(), "byte {at}");
    }
}

#[test]
fn intermediates_must_be_cas_for_this_purpose() {
    let code = |change: fn(&mut Fields)| Changed::intermediate(change).code();
    assert_eq!(code(|_| {}), "ok");
    assert_eq!(code(|f| f.extensions.retain(|e| e.oid != oid::BASIC_CONSTRAINTS)), "not_an_issuer");
    assert_eq!(code(|f| replace(f, Extension::new(oid::BASIC_CONSTRAINTS, true, vec![0x30, 0]))), "not_an_issuer");
    assert_eq!(code(|f| replace(f, extension::key_usage(&[Usage::CrlSign]).unwrap())), "not_an_issuer");
    assert_eq!(
        code(|f| replace(f, extension::extended_key_usage(&[Eku::TimeStamping], false).unwrap())),
        "wrong_purpose"
    );
    assert_eq!(code(|f| f.extensions.retain(|e| e.oid != oid::EXTENDED_KEY_USAGE)), "ok");
    assert_eq!(
        code(|f| f.extensions.push(Extension::new(oid::NAME_CONSTRAINTS, true, vec![0x30, 0]))),
        "unsupported_extension"
    );
    assert_eq!(code(|f| f.extensions.push(Extension::new(oid::NAME_CONSTRAINTS, false, vec![0x30, 0]))), "ok");
    let odd = |f: &mut Fields| {
        f.extensions.push(Extension::new(ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.1"), true, vec![5, 0]));
    };
    assert_eq!(Changed::intermediate(odd).code(), "unsupported_extension");
    assert_eq!(Changed::leaf(odd).code(), "unsupported_extension");
    assert_eq!(code(|f| f.not_after = crate::pki::Instant::new(now() - TimeDelta::days(1))), "certificate_expired");
    let twice = |f: &mut Fields| f.extensions.push(f.extensions[0].clone());
    assert_eq!(Changed::intermediate(twice).code(), "unsupported_extension");
}

#[test]
fn leaves_must_name_the_purpose_themselves() {
    let code = |change: fn(&mut Fields)| Changed::leaf(change).code();
    assert_eq!(code(|_| {}), "ok");
    assert_eq!(code(|f| f.extensions.retain(|e| e.oid != oid::EXTENDED_KEY_USAGE)), "wrong_purpose");
    assert_eq!(code(|f| replace(f, extension::key_usage(&[Usage::CrlSign]).unwrap())), "wrong_purpose");
    let any = |f: &mut Fields| {
        let value = asn1::sequence(&[&asn1::oid(&oid::ANY_EXTENDED_KEY_USAGE)]);
        replace(f, Extension::new(oid::EXTENDED_KEY_USAGE, false, value));
    };
    assert_eq!(Changed::leaf(any).code(), "wrong_purpose");
    // A timestamping leaf: for that alone, or not at all.
    let tsa = Hierarchy::with(ProfileName::TimestampCa, ProfileName::Timestamp);
    let ask = |leaf: &Certificate| {
        let (candidates, roots) = ([tsa.intermediate.der()], [tsa.root.der()]);
        code_of(build(leaf.der(), &candidates, &roots, now(), Eku::TimeStamping, Revocation::Unchecked))
    };
    assert_eq!(ask(&tsa.leaf), "ok");
    let mut fields = tsa.leaf.fields().clone();
    replace(&mut fields, extension::extended_key_usage(&[Eku::TimeStamping, Eku::CodeSigning], true).unwrap());
    assert_eq!(ask(&signed(&fields, &tsa.intermediate_key)), "wrong_purpose");
    replace(&mut fields, extension::extended_key_usage(&[Eku::TimeStamping], false).unwrap());
    assert_eq!(ask(&signed(&fields, &tsa.intermediate_key)), "ok", "whether it is critical is asked elsewhere");
}

fn code_of(result: Result<Chain, ChainError>) -> &'static str {
    code(result)
}

#[test]
fn path_length_is_counted_without_leaf_and_self_issued() {
    let hierarchy = Hierarchy::new();
    // A second CA below an intermediate whose pathLenConstraint is 0.
    let key = Key::p384();
    let mut fields = hierarchy.intermediate.fields().clone();
    fields.subject = subject("second").der().to_vec();
    fields.issuer = hierarchy.intermediate.fields().subject.clone();
    fields.spki = key.public().spki().to_vec();
    replace(&mut fields, extension::subject_key_identifier(&[2; 20]).unwrap());
    replace(
        &mut fields,
        extension::authority_key_identifier(&hierarchy.intermediate.subject_key_identifier().unwrap()).unwrap(),
    );
    let second = signed(&fields, &hierarchy.intermediate_key);
    let mut fields = hierarchy.leaf.fields().clone();
    fields.issuer = second.fields().subject.clone();
    replace(&mut fields, extension::authority_key_identifier(&[2; 20]).unwrap());
    let leaf = signed(&fields, &key);
    let candidates = [&second, &hierarchy.intermediate];
    assert_eq!(code(offered(&leaf, &candidates, &[&hierarchy.root], now(), Revocation::Unchecked)), "not_an_issuer");
    // If the second CA is the trusted root itself, nothing is below it but the leaf.
    assert_eq!(code(offered(&leaf, &candidates, &[&second], now(), Revocation::Unchecked)), "ok");
}

#[test]
fn sha1_is_refused_below_the_root_and_not_looked_at_in_it() {
    let mut hierarchy = Hierarchy::new();
    let sha1 = asn1::sequence(&[&asn1::oid(&ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"))]);
    let with_sha1 = |certificate: &Certificate, signer: &Key| {
        let fields = Fields { algorithm: sha1.clone(), ..certificate.fields().clone() };
        let tbs = fields.encode();
        let digest = openssl::hash::MessageDigest::sha1();
        let signature = openssl::sign::Signer::new(digest, &signer.0).unwrap().sign_oneshot_to_vec(&tbs).unwrap();
        Certificate::parse(&asn1::sequence(&[&tbs, &sha1, &asn1::bit_string(&signature)])).unwrap()
    };
    let good = hierarchy.intermediate.clone();
    hierarchy.root = with_sha1(&hierarchy.root, &hierarchy.root_key);
    assert_eq!(code(chain(&hierarchy, now(), Revocation::Unchecked)), "ok");
    hierarchy.intermediate = with_sha1(&good, &hierarchy.root_key);
    let error = chain(&hierarchy, now(), Revocation::Unchecked).unwrap_err();
    assert_eq!(error.code(), "chain_bad_signature");
    assert!(error.to_string().contains("1.2.840.10045.4.1 is not accepted"), "{error}");
}

#[test]
fn cross_certificates_give_a_second_way() {
    let (hierarchy, old) = (Hierarchy::new(), Hierarchy::new());
    // The new root, certified by an old one that is called otherwise.
    let old_name = subject("old root").der().to_vec();
    let old_root = signed(
        &Fields { subject: old_name.clone(), issuer: old_name.clone(), ..old.root.fields().clone() },
        &old.root_key,
    );
    let mut fields = hierarchy.root.fields().clone();
    fields.issuer = old_name;
    let cross = signed(&fields, &old.root_key);
    let candidates = [&cross, &hierarchy.intermediate];
    let at = |roots: &[&Certificate]| offered(&hierarchy.leaf, &candidates, roots, now(), Revocation::Unchecked);
    assert_eq!(at(&[&old_root]).unwrap().certificates().len(), 4);
    assert_eq!(at(&[&old_root, &hierarchy.root]).unwrap().certificates().len(), 3);
    // An expired cross certificate does no harm to the other way.
    fields.not_after = crate::pki::Instant::new(now() - TimeDelta::days(1));
    let expired = signed(&fields, &old.root_key);
    let candidates = [&expired, &hierarchy.intermediate];
    let at = |roots: &[&Certificate]| code(offered(&hierarchy.leaf, &candidates, roots, now(), Revocation::Unchecked));
    assert_eq!(at(&[&old_root, &hierarchy.root]), "ok");
    assert_eq!(at(&[&old_root]), "certificate_expired");
}

#[test]
fn a_trusted_leaf_is_a_chain_of_one_and_loops_end() {
    let hierarchy = Hierarchy::new();
    let one = offered(&hierarchy.leaf, &[], &[&hierarchy.leaf], now(), Revocation::Unchecked).unwrap();
    assert_eq!(one.certificates().len(), 1);
    // Sixty-four CAs of one name and one key that all certify each other.
    let key = Key::p256();
    let name = subject("loop").der().to_vec();
    let knot: Vec<_> = (0..64u8)
        .map(|n| {
            let mut fields = hierarchy.intermediate.fields().clone();
            fields
                .extensions
                .retain(|e| e.oid != oid::AUTHORITY_KEY_IDENTIFIER && e.oid != oid::SUBJECT_KEY_IDENTIFIER);
            fields.subject = name.clone();
            fields.issuer = name.clone();
            fields.serial = vec![1, n];
            fields.spki = Key::p256().public().spki().to_vec();
            signed(&fields, &key)
        })
        .collect();
    let mut fields = hierarchy.leaf.fields().clone();
    fields.issuer = name;
    fields.extensions.retain(|e| e.oid != oid::AUTHORITY_KEY_IDENTIFIER);
    let leaf = signed(&fields, &key);
    let knot: Vec<_> = knot.iter().collect();
    let code = code(offered(&leaf, &knot, &[&hierarchy.root], now(), Revocation::Unchecked));
    assert!(["chain_bad_signature", "chain_too_complex"].contains(&code), "{code}");
}

#[test]
fn a_knot_with_right_signatures_is_cut_by_the_budget() {
    let hierarchy = Hierarchy::new();
    // Layers of six CAs, each of which certified every CA of the layer below: 6^6 paths and no root.
    let layers: Vec<Key> = (0..7).map(|_| Key::p256()).collect();
    let name = |layer: usize| subject(&format!("layer {layer}")).der().to_vec();
    let mut knot = Vec::new();
    for (layer, pair) in layers.windows(2).enumerate() {
        for n in 0..6u8 {
            let mut fields = hierarchy.intermediate.fields().clone();
            let keyless =
                |e: &Extension| e.oid != oid::AUTHORITY_KEY_IDENTIFIER && e.oid != oid::SUBJECT_KEY_IDENTIFIER;
            fields.extensions.retain(keyless);
            fields.subject = name(layer);
            fields.issuer = name(layer + 1);
            fields.serial = vec![1, n];
            fields.spki = pair[0].public().spki().to_vec();
            knot.push(signed(&fields, &pair[1]));
        }
    }
    let mut fields = hierarchy.leaf.fields().clone();
    fields.issuer = name(0);
    fields.extensions.retain(|e| e.oid != oid::AUTHORITY_KEY_IDENTIFIER);
    let leaf = signed(&fields, &layers[0]);
    let knot: Vec<_> = knot.iter().collect();
    let code = code(offered(&leaf, &knot, &[&hierarchy.root], now(), Revocation::Unchecked));
    assert_eq!(code, "chain_too_complex");
}

#[test]
fn revocation_honours_its_dates() {
    let hierarchy = Hierarchy::new();
    let entry = |date: &str, invalid: Option<&str>| Revoke {
        serial: hierarchy.leaf.fields().serial.clone(),
        revocation_date: time(date),
        reason: Reason::KeyCompromise,
        invalidity_date: invalid.map(time),
    };
    let crl = hierarchy.crl(vec![entry("2026-11-10T00:00:00Z", Some("2026-11-10T00:00:00Z"))]);
    let crls = [crl, hierarchy.root_crl(Vec::new())];
    let at = |at: &str| chain(&hierarchy, time(at), Revocation::Required(&crls));
    let before = at("2026-11-09T23:59:59Z").unwrap();
    assert!(before.revocation_checked(), "a file timestamped before the revocation date stays good");
    match at("2026-11-10T00:00:00Z").unwrap_err() {
        ChainError::Revoked(revoked) => {
            assert_eq!(revoked.date, time("2026-11-10T00:00:00Z"));
            assert_eq!(revoked.reason, Some(Reason::KeyCompromise));
            assert_eq!(revoked.serial, hierarchy.leaf.serial_hex());
        }
        other => panic!("{other}"),
    }
    assert_eq!(code(at("2026-12-30T00:00:00Z")), "certificate_revoked", "even when the list has expired");
}

#[test]
fn lists_can_be_missing_expired_or_foreign() {
    let (hierarchy, stranger) = (Hierarchy::new(), Hierarchy::new());
    let (leafs, roots) = (hierarchy.crl(Vec::new()), hierarchy.root_crl(Vec::new()));
    let ask = |crls: &[Crl], at: Time, required: bool| {
        let revocation = if required { Revocation::Required(crls) } else { Revocation::IfKnown(crls) };
        chain(&hierarchy, at, revocation)
    };
    assert!(ask(&[leafs.clone(), roots.clone()], now(), true).unwrap().revocation_checked());
    assert_eq!(code(ask(std::slice::from_ref(&leafs), now(), true)), "crl_missing");
    assert!(!ask(std::slice::from_ref(&leafs), now(), false).unwrap().revocation_checked());
    assert_eq!(code(ask(&[stranger.crl(Vec::new()), roots.clone()], now(), true)), "crl_missing");
    let later = now() + TimeDelta::days(8);
    assert_eq!(code(ask(&[leafs.clone(), roots.clone()], later, true)), "crl_expired");
    assert_eq!(code(ask(std::slice::from_ref(&leafs), later, false)), "crl_expired");
    // One changed byte in the signature.
    let mut changed = leafs.der().to_vec();
    if let Some(last) = changed.last_mut() {
        *last ^= 1;
    }
    let changed = Crl::parse(&changed).unwrap();
    assert_eq!(code(ask(&[changed.clone(), roots.clone()], now(), true)), "crl_invalid");
    assert_eq!(code(ask(&[changed, leafs, roots], now(), true)), "ok", "a good one beside it counts");
    let revoked = hierarchy.root_crl(vec![Revoke {
        serial: hierarchy.intermediate.fields().serial.clone(),
        revocation_date: time("2026-11-05T00:00:00Z"),
        reason: Reason::CaCompromise,
        invalidity_date: None,
    }]);
    assert_eq!(code(ask(&[revoked], now(), false)), "certificate_revoked");
}

#[test]
fn an_authentic_list_that_is_not_understood_stops_the_chain() {
    let hierarchy = Hierarchy::new();
    let good = hierarchy.crl(Vec::new());
    // The same list as a delta: one more critical extension.
    let delta = {
        let mut outer = asn1::Elements::new(good.tbs()).unwrap();
        let mut inner = outer.enter(asn1::tag::SEQUENCE, "tbs").unwrap();
        let mut fields = Vec::new();
        while inner.peek().is_some_and(|t| t != asn1::tag::context(0)) {
            fields.extend_from_slice(inner.any("field").unwrap().raw);
        }
        let mut extensions = good.extensions().to_vec();
        extensions.push(Extension::new(oid::DELTA_CRL_INDICATOR, true, vec![2, 1, 1]));
        let extensions = asn1::tlv(asn1::tag::context(0), &[&Extension::encode_list(&extensions)]);
        let tbs = asn1::sequence(&[&fields, &extensions]);
        let signer = &hierarchy.intermediate_key;
        let signature = asn1::bit_string(&signer.sign_message(signer.mechanism(), &tbs));
        Crl::parse(&asn1::sequence(&[&tbs, &algorithm::identifier(signer.mechanism()), &signature])).unwrap()
    };
    assert_eq!(delta.check_usable().unwrap_err().code(), "crl_unsupported");
    let crls = [good, delta];
    assert_eq!(code(chain(&hierarchy, now(), Revocation::IfKnown(&crls))), "crl_invalid");
    assert_eq!(code(chain(&hierarchy, now(), Revocation::IfKnown(&crls[..1]))), "ok");
}

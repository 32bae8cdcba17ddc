use super::*;
use crate::model::Environment;
use crate::pki::testing::{Hierarchy, issue_crl, now, time};
use chrono::TimeDelta;

fn revocation(certificate: &Certificate, date: &str, reason: Reason) -> Revocation {
    let serial = certificate.fields().serial.clone();
    Revocation { serial, revocation_date: time(date), reason, invalidity_date: None }
}

#[test]
fn a_list_is_made_read_and_verified() {
    let hierarchy = Hierarchy::new();
    let empty = hierarchy.crl(Vec::new());
    assert!(!empty.has_empty_list() && empty.entries().is_empty());
    let mut compromised = revocation(&hierarchy.leaf, "2026-11-10T00:00:00Z", Reason::KeyCompromise);
    compromised.invalidity_date = Some(compromised.revocation_date);
    let mut unspecified = compromised.clone();
    unspecified =
        Revocation { serial: vec![0x11; 20], reason: Reason::Unspecified, invalidity_date: None, ..unspecified };
    let crl = hierarchy.crl(vec![compromised, unspecified]);
    let entry = crl.find(&hierarchy.leaf.fields().serial).unwrap();
    assert_eq!(entry.reason, Some(Reason::KeyCompromise));
    assert_eq!(entry.invalidity_date, Some(time("2026-11-10T00:00:00Z")));
    assert_eq!(crl.find(&[0x11; 20]).unwrap().reason, None, "unspecified is left out");
    assert!(crl.find(&[0x12; 20]).is_none());
    assert_eq!(crl.number().unwrap(), [7]);
    assert_eq!(crl.version(), 2);
    assert!(crl.extension(&oid::ISSUING_DISTRIBUTION_POINT).unwrap().critical);
    assert!(!crl.extension(&oid::CRL_NUMBER).unwrap().critical);
    crl.verify(&hierarchy.intermediate).unwrap();
    crl.check_usable().unwrap();
    assert_eq!(crl.verify(&hierarchy.root).unwrap_err().code(), "crl_issuer");
    assert!(crl.covers(&hierarchy.leaf) && !crl.covers(&hierarchy.intermediate));
    assert!(hierarchy.root_crl(Vec::new()).covers(&hierarchy.intermediate));
}

#[test]
fn a_list_signed_by_another_key_of_the_same_name_is_refused() {
    let (ours, twin) = (Hierarchy::new(), Hierarchy::new());
    assert_eq!(ours.intermediate.subject(), twin.intermediate.subject());
    assert_eq!(twin.crl(Vec::new()).verify(&ours.intermediate).unwrap_err().code(), "crl_issuer");
    assert!(!twin.crl(Vec::new()).covers(&ours.leaf));
    let linted = rehearse(CrlDraft::new(ours.crl_plan(Vec::new())).unwrap()).unwrap();
    let refused = linted.assemble(&twin.intermediate_key.sign(&linted.tbs())).unwrap_err();
    assert_eq!(refused.code(), "bad_signature");
}

/// An unsigned list of the intermediate's with this issuingDistributionPoint.
fn with_point(hierarchy: &Hierarchy, point: Vec<u8>) -> Crl {
    let (algorithm, issuer) = (&hierarchy.leaf.fields().algorithm, &hierarchy.leaf.fields().issuer);
    let extensions = Extension::encode_list(&[Extension::new(oid::ISSUING_DISTRIBUTION_POINT, true, point)]);
    let extensions = asn1::tlv(tag::context(0), &[&extensions]);
    let tbs = asn1::sequence(&[&asn1::unsigned(&[1]), algorithm, issuer, &Instant::new(now()).encode(), &extensions]);
    Crl::parse(&asn1::sequence(&[&tbs, algorithm, &asn1::bit_string(&[0])])).unwrap()
}

#[test]
fn the_scope_is_kept() {
    let hierarchy = Hierarchy::new();
    let other_url = CrlPlan { urls: vec!["http://pki.example.com/other.crl".into()], ..hierarchy.crl_plan(Vec::new()) };
    assert!(!issue_crl(other_url, &hierarchy.intermediate_key).covers(&hierarchy.leaf), "another distribution point");
    let no_url = CrlPlan { urls: Vec::new(), environment: Environment::Sandbox, ..hierarchy.crl_plan(Vec::new()) };
    assert!(issue_crl(no_url.clone(), &hierarchy.intermediate_key).covers(&hierarchy.leaf));
    // A name that is no URL, and a certificate that names no distribution point.
    let issuer = hierarchy.intermediate.subject();
    let directory = asn1::tlv(tag::context(4), &[issuer.der()]);
    let full = asn1::tlv(tag::context(0), &[&asn1::tlv(tag::context(0), &[&directory])]);
    let crl = with_point(&hierarchy, asn1::sequence(&[&full]));
    assert!(crl.distribution_point().unwrap().is_some() && !crl.covers(&hierarchy.leaf));
    let unreadable = with_point(&hierarchy, vec![0x30, 1, 0]);
    assert!(unreadable.covers(&hierarchy.leaf) && unreadable.check_usable().is_err());
    let url = issue_crl(hierarchy.crl_plan(Vec::new()), &hierarchy.intermediate_key);
    let mut nameless = hierarchy.leaf.fields().clone();
    nameless.extensions.retain(|e| e.oid != oid::CRL_DISTRIBUTION_POINTS);
    let der = asn1::sequence(&[&nameless.encode(), &nameless.algorithm, &asn1::bit_string(&[0])]);
    assert!(!url.covers(&Certificate::parse(&der).unwrap()));
    let cas_only = CrlPlan { scope: Scope::CaCertificates, ..no_url };
    assert!(!issue_crl(cas_only, &hierarchy.intermediate_key).covers(&hierarchy.leaf));
}

#[test]
fn plans_that_break_the_rules_give_nothing_to_sign() {
    let hierarchy = Hierarchy::new();
    let hold = revocation(&hierarchy.leaf, "2026-11-10T00:00:00Z", Reason::CertificateHold);
    assert_eq!(CrlDraft::new(hierarchy.crl_plan(vec![hold])).unwrap_err().code(), "crl_entry");
    let rule = |plan: CrlPlan| rehearse(CrlDraft::new(plan).unwrap()).unwrap_err().message().to_owned();
    let good = hierarchy.crl_plan(Vec::new());
    assert!(rule(CrlPlan { next_update: now() + TimeDelta::days(11), ..good.clone() }).contains("crl_validity_days"));
    assert!(rule(CrlPlan { urls: Vec::new(), ..good.clone() }).contains("crl_idp_url"));
    assert!(rule(CrlPlan { next_update: now(), ..good.clone() }).contains("crl_next_update"));
    let one = revocation(&hierarchy.leaf, "2026-11-10T00:00:00Z", Reason::Superseded);
    let later = revocation(&hierarchy.leaf, "2026-12-10T00:00:00Z", Reason::Superseded);
    assert!(rule(CrlPlan { entries: vec![one.clone(), one], ..good.clone() }).contains("crl_entry_serial"));
    assert!(rule(CrlPlan { entries: vec![later], ..good }).contains("crl_entry_future"));
}

#[test]
fn a_new_list_neither_goes_back_nor_forgets() {
    let hierarchy = Hierarchy::new();
    let entry = revocation(&hierarchy.leaf, "2026-11-10T00:00:00Z", Reason::Superseded);
    let old = hierarchy.crl(vec![entry.clone()]);
    let next = |change: fn(&mut CrlPlan)| {
        let mut plan = CrlPlan { number: 256, ..hierarchy.crl_plan(vec![entry.clone()]) };
        change(&mut plan);
        check_successor(&old, &issue_crl(plan, &hierarchy.intermediate_key), |_| false)
    };
    next(|_| {}).unwrap();
    next(|p| p.number = 7).unwrap_err();
    next(|p| p.number = 6).unwrap_err();
    next(|p| p.this_update -= TimeDelta::seconds(1)).unwrap_err();
    next(|p| p.urls = vec!["http://pki.example.com/other.crl".into()]).unwrap_err();
    next(|p| p.urls.push("http://pki.example.com/other.crl".into())).unwrap();
    assert!(next(|p| p.entries.clear()).unwrap_err().message().contains("no longer on it"));
    let plan = CrlPlan { number: 8, entries: Vec::new(), ..hierarchy.crl_plan(Vec::new()) };
    check_successor(&old, &issue_crl(plan, &hierarchy.intermediate_key), |_| true).unwrap();
}

#[test]
fn a_hundred_thousand_entries_are_read_and_found() {
    let hierarchy = Hierarchy::new();
    let serial = |n: u32| {
        let mut serial = n.wrapping_mul(0x9e37_79b1).to_be_bytes().repeat(5);
        serial[0] = serial[0] & 0x7f | 1;
        serial
    };
    let date = |n: u32| now() - TimeDelta::seconds(i64::from(n));
    let entry = |n| {
        let number = asn1::tlv(tag::INTEGER, &[&serial(n)]);
        asn1::sequence(&[&number, &Instant::new(date(n)).encode()])
    };
    let entries: Vec<u8> = (0..100_000).flat_map(entry).collect();
    let (algorithm, issuer) = (&hierarchy.leaf.fields().algorithm, &hierarchy.leaf.fields().issuer);
    let this_update = Instant::new(now()).encode();
    let tbs = asn1::sequence(&[&asn1::unsigned(&[1]), algorithm, issuer, &this_update, &asn1::sequence(&[&entries])]);
    let crl = Crl::parse(&asn1::sequence(&[&tbs, algorithm, &asn1::bit_string(&[0])])).unwrap();
    assert_eq!(crl.entries().len(), 100_000);
    for n in [0, 1, 31_415, 99_999] {
        assert_eq!(crl.find(&serial(n)).unwrap().effective(), date(n));
    }
    assert!(crl.find(&serial(100_000)).is_none());
}

#[test]
fn hostile_lists_never_panic_and_changed_ones_never_verify() {
    let hierarchy = Hierarchy::new();
    let entry = revocation(&hierarchy.leaf, "2026-11-10T00:00:00Z", Reason::KeyCompromise);
    let der = hierarchy.crl(vec![entry]).der().to_vec();
    for cut in 0..der.len() {
        assert!(Crl::parse(&der[..cut]).is_err());
    }
    for at in 0..der.len() {
        for flip in [0x01, 0x80] {
            let mut changed = der.clone();
            changed[at] ^= flip;
            if let Ok(crl) = Crl::parse(&changed) {
                assert!(crl.verify(&hierarchy.intermediate).is_err(), "byte {at}");
                let _ = (crl.check_usable(), crl.covers(&hierarchy.leaf), crl.number());
            }
        }
    }
}

#[test]
fn reasons_are_spelled_as_rfc_5280_does() {
    for (reason, code, word) in Reason::TABLE {
        assert_eq!((reason.code(), reason.to_string().as_str()), (code, word));
        assert_eq!(word.parse::<Reason>().unwrap(), reason);
        assert_eq!(Reason::from_code(code), Some(reason));
    }
    for reason in crate::keys::RevocationReason::ALL {
        assert_eq!(Reason::from(*reason).to_string(), reason.as_str());
    }
    assert!(Reason::from_code(7).is_none() && "keycompromise".parse::<Reason>().is_err());
}

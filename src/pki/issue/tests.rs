use super::*;
use crate::pki::testing::{Hierarchy, Key, issue, now, plan, subject, time};

fn root_plan(key: &Key) -> CertificatePlan {
    plan(ProfileName::RootCa, key, Issuer::SelfSigned, key)
}

fn leaf_plan(hierarchy: &Hierarchy, key: &Key) -> CertificatePlan {
    let issuer = Issuer::ca(&hierarchy.intermediate, ProfileName::IntermediateCa);
    plan(ProfileName::Authenticode, key, issuer, &hierarchy.intermediate_key)
}

#[test]
fn every_profile_can_be_issued() {
    for (ca, leaf) in [
        (ProfileName::IntermediateCa, ProfileName::Authenticode),
        (ProfileName::InstallerCa, ProfileName::Installer),
        (ProfileName::ConnectorCa, ProfileName::Connector),
        (ProfileName::TimestampCa, ProfileName::Timestamp),
    ] {
        let hierarchy = Hierarchy::with(ca, leaf);
        assert_eq!(hierarchy.leaf.fields().issuer, hierarchy.intermediate.fields().subject);
        assert_eq!(hierarchy.leaf.authority_key_identifier(), hierarchy.intermediate.subject_key_identifier());
        assert!(hierarchy.intermediate.is_ca() && !hierarchy.leaf.is_ca());
        let wanted: Vec<_> = Profile::get(leaf).unwrap().extended_key_usage.iter().map(|e| e.oid()).collect();
        assert_eq!(hierarchy.leaf.extended_key_usage().unwrap().unwrap(), wanted);
        hierarchy.leaf.verify_signature(&hierarchy.intermediate_key.public()).unwrap();
    }
}

#[test]
fn the_signature_must_come_from_the_key_in_the_issuers_certificate() {
    let hierarchy = Hierarchy::new();
    let key = Key::p384();
    let linted = rehearse(Draft::new(leaf_plan(&hierarchy, &key)).unwrap()).unwrap();
    for wrong in [&key, &hierarchy.root_key, &Key::p384()] {
        assert_eq!(linted.assemble(&wrong.sign(&linted.tbs())).unwrap_err().code(), "bad_signature");
    }
    let good = hierarchy.intermediate_key.sign(&linted.tbs());
    let certificate = linted.assemble(&good).unwrap();
    assert_eq!(certificate.tbs(), linted.draft().tbs_der());
    let root = rehearse(Draft::new(root_plan(&key)).unwrap()).unwrap();
    assert!(root.assemble(&hierarchy.root_key.sign(&root.tbs())).is_err(), "self-signed means by itself");
    assert!(root.assemble(&key.sign(&root.tbs())).is_ok());
}

#[test]
fn hierarchy_rules_stop_the_draft() {
    let hierarchy = Hierarchy::new();
    let key = Key::p384();
    let by = Issuer::ca;
    for (profile, issuer) in [
        (ProfileName::Authenticode, Issuer::SelfSigned),
        (ProfileName::IntermediateCa, Issuer::SelfSigned),
        (ProfileName::Authenticode, by(&hierarchy.root, ProfileName::RootCa)),
        (ProfileName::Connector, by(&hierarchy.intermediate, ProfileName::IntermediateCa)),
        (ProfileName::Installer, by(&hierarchy.intermediate, ProfileName::IntermediateCa)),
        (ProfileName::IntermediateCa, by(&hierarchy.intermediate, ProfileName::IntermediateCa)),
        (ProfileName::Authenticode, by(&hierarchy.leaf, ProfileName::Authenticode)),
    ] {
        let plan = plan(profile, &key, issuer, &hierarchy.intermediate_key);
        assert_eq!(Draft::new(plan).unwrap_err().code(), "issuer_may_not_issue", "{profile}");
    }
    // A certificate that claims another profile than it has fails lint instead.
    let plan = plan(ProfileName::Connector, &key, by(&hierarchy.intermediate, ProfileName::ConnectorCa), &key);
    let error = rehearse(Draft::new(plan).unwrap()).unwrap_err();
    assert!(error.code() == "lint" && error.message().contains("eku_within_issuer"), "{error}");
}

#[test]
fn a_plan_that_breaks_the_profile_gives_nothing_to_sign() {
    let hierarchy = Hierarchy::new();
    let key = Key::p384();
    let broken = |change: fn(&mut CertificatePlan), rule: &str| {
        let mut plan = leaf_plan(&hierarchy, &key);
        change(&mut plan);
        let error = rehearse(Draft::new(plan).unwrap()).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Blocked);
        assert!(error.message().contains(rule), "{error}");
    };
    broken(|p| p.validity = Validity::days(p.validity.not_before, 461).unwrap(), "leaf_validity_460_days");
    broken(|p| p.validity.not_after = time("2051-01-01T00:00:00Z"), "validity_within_issuer");
    broken(|p| p.crl_url = None, "crl_url_required");
    broken(|p| p.aia_url = Some("https://x.example/".into()), "aia_url_http");
    broken(|p| p.public_key = Key::p256().public(), "key_algorithm");
    broken(|p| p.subject = Name::from_raw(vec![0x30, 0]), "subject_required");
    let wrong_kind = CertificatePlan {
        mechanism: Mechanism::RsaPkcs1(crate::model::HashAlgorithm::Sha256),
        ..leaf_plan(&hierarchy, &key)
    };
    assert_eq!(Draft::new(wrong_kind).unwrap_err().code(), "mechanism_mismatch");
}

#[test]
fn a_sandbox_may_use_p256_and_go_without_urls() {
    let (root_key, key) = (Key::p256(), Key::p256());
    let sandbox = |plan: CertificatePlan| CertificatePlan {
        environment: Environment::Sandbox,
        crl_url: None,
        aia_url: None,
        ..plan
    };
    let root = issue(sandbox(root_plan(&root_key)), &root_key);
    let by = Issuer::ca(&root, ProfileName::RootCa);
    let ca = plan(ProfileName::IntermediateCa, &key, by, &root_key);
    assert!(rehearse(Draft::new(ca.clone()).unwrap()).is_err());
    issue(sandbox(ca), &root_key);
}

#[test]
fn validity_counts_its_last_second_and_ends_with_the_issuer() {
    let start = time("2026-02-01T00:00:00Z");
    assert_eq!(Validity::days(start, 90).unwrap().not_after, time("2026-05-01T23:59:59Z"));
    assert!(Validity::days(start, 0).is_err());
    assert!(Validity::days(start, u32::MAX).is_err());
    let root = Hierarchy::new().root;
    assert_eq!(Validity::days(now(), 9000).unwrap().within(&root).not_after, root.not_after());
    // A root over 2050 has one UTCTime and one GeneralizedTime.
    let key = Key::p384();
    let long = CertificatePlan { validity: Validity::days(now(), 9132).unwrap(), ..root_plan(&key) };
    let root = issue(long, &key);
    assert!(root.fields().not_before.utc_time && !root.fields().not_after.utc_time);
}

#[test]
fn the_template_hash_binds_all_but_the_key() {
    let hierarchy = Hierarchy::new();
    let plan = leaf_plan(&hierarchy, &Key::p384());
    let template = |plan: &CertificatePlan| Draft::new(plan.clone()).unwrap().template_hash();
    let first = template(&plan);
    let other_key = CertificatePlan { public_key: Key::p384().public(), ..plan.clone() };
    assert_eq!(template(&other_key), first);
    assert_ne!(Draft::new(other_key).unwrap().tbs_hash(), Draft::new(plan.clone()).unwrap().tbs_hash());
    let changes: [fn(&mut CertificatePlan); 6] = [
        |p| p.subject = subject("Another"),
        |p| p.serial = Serial::from_bytes([7; 20]).unwrap(),
        |p| p.validity.not_after -= TimeDelta::seconds(1),
        |p| p.crl_url = Some("http://pki.example.com/other.crl".into()),
        |p| p.policies = vec![ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.1")],
        |p| p.mechanism = Mechanism::Ecdsa(crate::model::HashAlgorithm::Sha384),
    ];
    for change in changes {
        let mut changed = plan.clone();
        change(&mut changed);
        assert_ne!(template(&changed), first);
    }
}

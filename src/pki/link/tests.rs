use super::*;
use crate::pki::chain::{self, ChainError, Eku, Revocation};
use crate::pki::issue::{Draft, rehearse};
use crate::pki::testing::{Hierarchy, Key, issue, now, plan as certificate_plan, time};

/// A root of the same name, made later, and everything below it.
struct Roots {
    old: Hierarchy,
    new: Hierarchy,
    new_with_old: Certificate,
    old_with_new: Certificate,
}

fn root_from(key: &Key, start: &str) -> Certificate {
    let mut root = certificate_plan(ProfileName::RootCa, key, Issuer::SelfSigned, key);
    root.validity = Validity::days(time(start), 7300).unwrap();
    issue(root, key)
}

fn linked(subject: &Certificate, issuer: &Certificate, signer: &Key) -> Certificate {
    let plan = plan(subject, issuer, Serial::random().unwrap(), Environment::Production).unwrap();
    let linted = rehearse(Draft::new(plan).unwrap()).unwrap();
    linted.assemble(&signer.sign(&linted.tbs())).unwrap()
}

impl Roots {
    fn new() -> Self {
        let (mut old, new) = (Hierarchy::new(), Hierarchy::new());
        old.root = root_from(&old.root_key, "2026-08-01T00:00:00Z");
        Roots {
            new_with_old: linked(&new.root, &old.root, &old.root_key),
            old_with_new: linked(&old.root, &new.root, &new.root_key),
            old,
            new,
        }
    }
}

fn build(h: &Hierarchy, link: Option<&[u8]>, root: &Certificate) -> Result<usize, ChainError> {
    let mut pool = vec![h.intermediate.der().to_vec()];
    pool.extend(link.map(<[u8]>::to_vec));
    let roots = [root.der().to_vec()];
    let chain = chain::build(h.leaf.der(), &pool, &roots, now(), Eku::CodeSigning, Revocation::Unchecked)?;
    Ok(chain.certificates().len())
}

#[test]
fn whoever_trusts_one_root_gets_to_what_the_other_issued_and_only_by_the_link() {
    let Roots { old, new, new_with_old, old_with_new } = Roots::new();
    for (h, link, trusted) in [(&new, &new_with_old, &old.root), (&old, &old_with_new, &new.root)] {
        assert!(matches!(build(h, None, trusted), Err(ChainError::UnknownIssuer { .. })));
        assert_eq!(build(h, Some(link.der()), trusted).unwrap(), 4, "leaf, intermediate, link, root");
        // A bit anywhere in it, its signature included.
        for at in (0..link.der().len()).step_by(7) {
            let mut spoilt = link.der().to_vec();
            spoilt[at] ^= 1;
            assert!(build(h, Some(&spoilt), trusted).is_err(), "byte {at}");
        }
    }
    assert!(build(&new, Some(old_with_new.der()), &old.root).is_err(), "the other way round it leads nowhere");
}

#[test]
fn a_link_has_the_other_roots_key_and_ends_with_the_old_root() {
    let Roots { old, new, new_with_old, old_with_new } = Roots::new();
    for (link, subject, issuer) in [(&new_with_old, &new.root, &old.root), (&old_with_new, &old.root, &new.root)] {
        assert_eq!(link.fields().spki, subject.fields().spki);
        assert_eq!(link.subject_key_identifier(), subject.subject_key_identifier());
        assert_eq!(link.authority_key_identifier(), issuer.subject_key_identifier());
        assert_eq!(link.fields().issuer, issuer.fields().subject);
        assert!(link.is_self_issued() && link.is_ca());
        assert_eq!(link.not_before(), subject.not_before());
        assert_eq!(link.not_after(), old.root.not_after().min(new.root.not_after()));
        link.verify_signature(&issuer.public_key().unwrap()).unwrap();
    }
    assert!(
        old_with_new.not_before() < new.root.not_before(),
        "what was signed before the new root is followed up too"
    );
}

#[test]
fn the_template_is_known_before_the_new_key_is_made() {
    let (old, later) = (Hierarchy::new(), "2026-10-01T00:00:00Z");
    let (planned, made) = (Key::p384(), Key::p384());
    let serial = Serial::random().unwrap();
    let template = |subject: &Certificate, issuer: &Certificate| {
        let plan = plan(subject, issuer, serial, Environment::Production).unwrap();
        let draft = Draft::new(plan).unwrap();
        (draft.template_hash(), draft.tbs_hash())
    };
    let roots = [&planned, &made].map(|key| root_from(key, later));
    for pair in
        [roots.each_ref().map(|new| template(new, &old.root)), roots.each_ref().map(|new| template(&old.root, new))]
    {
        assert_eq!(pair[0].0, pair[1].0);
        assert_ne!(pair[0].1, pair[1].1);
    }
}

#[test]
fn roots_that_never_met_are_not_linked() {
    let (old, new) = (Key::p384(), Key::p384());
    let mut first = certificate_plan(ProfileName::RootCa, &old, Issuer::SelfSigned, &old);
    first.validity = Validity::days(time("2000-01-01T00:00:00Z"), 100).unwrap();
    let (first, second) = (issue(first, &old), root_from(&new, "2026-01-01T00:00:00Z"));
    let error = plan(&second, &first, Serial::random().unwrap(), Environment::Production).unwrap_err();
    assert_eq!(error.code(), "roots_not_linkable");
}

#[test]
fn links_over_the_turn_of_2049_are_encoded_as_rfc_5280_says() {
    for (start, days) in [("2031-06-30T00:00:00Z", 7300), ("2032-02-29T23:59:59Z", 7305)] {
        let (old_key, new_key) = (Key::p384(), Key::p384());
        let mut old = certificate_plan(ProfileName::RootCa, &old_key, Issuer::SelfSigned, &old_key);
        old.validity = Validity::days(time(start), days).unwrap();
        let old = issue(old, &old_key);
        let new = root_from(&new_key, "2032-03-01T00:00:00Z");
        let link = linked(&new, &old, &old_key);
        let ends = old.not_after().min(new.not_after());
        assert_eq!(link.fields().not_after, crate::pki::Instant::new(ends));
        assert!(ends >= time("2050-01-01T00:00:00Z") && link.not_before() < time("2050-01-01T00:00:00Z"));
    }
}

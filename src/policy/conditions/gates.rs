//! What is asked of a key and its certificate.

use crate::keys::{Credential, Generation};
use crate::model::{Custody, Environment};
use crate::policy::Verdict::{Fail, NotEvaluated, Pass};
use crate::policy::gates::{certificate_age, export_lock};
use crate::policy::testing::{issued, windows};
use chrono::TimeDelta;

#[test]
fn a_certificate_that_ended_is_refused_however_young_it_is() {
    let mut generation = windows(Environment::Production);
    let end = issued() + TimeDelta::days(60);
    let Some(Credential::X509 { not_after, .. }) = &mut generation.identities[0].credential else { panic!() };
    *not_after = end;
    assert_eq!(certificate_age(&generation, Some(90), end).verdict, Pass);
    let gate = certificate_age(&generation, Some(90), end + TimeDelta::seconds(1));
    assert_eq!((gate.name.as_str(), gate.verdict), ("CertificateAgeDays", Fail), "{gate:?}");
    assert_eq!(certificate_age(&generation, Some(90), issued() - TimeDelta::seconds(1)).verdict, Fail, "not yet valid");
    assert_eq!(certificate_age(&generation, Some(60), end).verdict, Fail, "at the end of its interval");
    assert_eq!(certificate_age(&generation, None, end).verdict, NotEvaluated);
    generation.identities[0].credential = None;
    assert_eq!(certificate_age(&generation, Some(90), end).verdict, Fail, "without a certificate");
}

/// The verdict on the attributes that are said of the key's only copy.
fn locked(custody: Custody, change: impl Fn(&mut Generation)) -> crate::policy::Verdict {
    let mut generation = Generation { custody, ..windows(Environment::Production) };
    change(&mut generation);
    let gate = export_lock(&generation);
    assert_eq!(gate.name, "HSMExportLock");
    gate.verdict
}

#[test]
fn a_key_is_locked_in_only_if_each_copy_is() {
    let said = |index: usize, value: Option<bool>| {
        move |generation: &mut Generation| generation.identities[0].copies[0].attributes[index].value = value
    };
    assert_eq!(locked(Custody::Bound, |_| {}), Pass);
    assert_eq!(locked(Custody::Bound, |key| key.identities.clear()), Fail, "no key at all");
    assert_eq!(locked(Custody::Bound, |key| key.identities[0].copies.clear()), Fail, "on no token nothing is locked");
    assert_eq!(locked(Custody::Bound, said(0, Some(true))), Fail);
    assert_eq!(locked(Custody::Bound, said(1, Some(false))), Fail, "it could leave once");
    assert_eq!(locked(Custody::Cloned, said(1, Some(false))), Fail);
    assert_eq!(locked(Custody::SealedExport, said(1, Some(false))), Pass, "it is sealed by what it says now");
    assert_eq!(locked(Custody::SealedExport, said(0, Some(true))), Fail);
    assert_eq!(locked(Custody::Bound, said(0, None)), NotEvaluated);
    assert_eq!(locked(Custody::Bound, said(1, None)), NotEvaluated);
    let one_bad_copy = |first: Option<bool>, second: Option<bool>| {
        move |key: &mut Generation| {
            let copies = &mut key.identities[0].copies;
            copies.push(copies[0].clone());
            copies[0].attributes[0].value = first;
            copies[1].attributes[0].value = second;
        }
    };
    assert_eq!(locked(Custody::Bound, one_bad_copy(Some(false), Some(false))), Pass);
    assert_eq!(locked(Custody::Bound, one_bad_copy(Some(false), Some(true))), Fail);
    assert_eq!(locked(Custody::Bound, one_bad_copy(Some(true), None)), Fail, "what is known to be bad stays so");
    assert_eq!(locked(Custody::Bound, one_bad_copy(None, Some(true))), Fail);
}

#[test]
fn an_attribute_counts_only_as_the_token_asserts_it() {
    use crate::keys::AttributeState;
    for &state in AttributeState::ALL {
        let claimed = |key: &mut Generation| key.identities[0].copies[0].attributes[0].state = state;
        assert_eq!(locked(Custody::Bound, claimed) == Pass, state == AttributeState::Asserted, "{state}");
    }
}

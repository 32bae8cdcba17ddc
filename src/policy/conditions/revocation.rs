//! Revoking, the lists that say so, and what is marked after it.

use super::{allows, asks, open, stops, words};
use crate::keys::{Generation, Revocation, RevocationReason, State, Terms};
use crate::model::{Environment, Hash256, Purpose};
use crate::policy::facts::ListFacts;
use crate::policy::revocation::list_life;
use crate::policy::testing::{facts, issued, request, settings, windows};
use crate::policy::{Decide, Decision, Facts};
use crate::request::{ConfirmCrl, IssueCrl, MarkArtifacts, NewCrl, RevokeKey};
use chrono::TimeDelta;

const ENVIRONMENT: Environment = Environment::Staging;

fn ca() -> Generation {
    Generation { id: "windows-ca/1".parse().unwrap(), purpose: Purpose::IntermediateCa, ..windows(ENVIRONMENT) }
}

/// The CA's second list after number 7, with three entries, for a week.
fn list() -> NewCrl {
    NewCrl {
        number: 8,
        published: None,
        this_update: issued(),
        next_update: issued() + TimeDelta::days(7),
        entries: 3,
        urls: Vec::new(),
        tbs_sha256: Hash256::of(b"list"),
    }
}

/// A leaf that is to be revoked for good order, on a list of its CA.
struct Case {
    params: RevokeKey,
    generation: Generation,
    issuer: Option<Generation>,
    revocation: Option<Revocation>,
    list: Option<ListFacts>,
}

impl Case {
    fn new() -> Self {
        let generation = windows(ENVIRONMENT);
        let params = RevokeKey {
            generation: generation.id.clone(),
            issuer: Some(ca().id),
            reason: RevocationReason::Superseded,
            revocation_date: issued(),
            invalidity_date: None,
            reference: None,
            crl: Some(list()),
            plan: None,
        };
        let list = Some(ListFacts { last_number: 7, entries: 3 });
        Case { params, generation, issuer: Some(ca()), revocation: None, list }
    }

    /// The same, decided before with these terms.
    fn decided(mut self, terms: Terms) -> Self {
        let revocation = Revocation {
            generation: self.generation.id.clone(),
            terms,
            issuer: self.params.issuer.clone(),
            seq: 30,
            decided: issued(),
            told: None,
        };
        self.revocation = Some(revocation);
        self
    }

    /// The same of an OpenPGP key, by its primary key, which signs a plan and no list.
    fn open_pgp(mut self) -> Self {
        let primary = |id: &str, purpose| Generation { id: id.parse().unwrap(), purpose, ..windows(ENVIRONMENT) };
        self.generation = primary("apt/1", Purpose::Apt);
        let issuer = primary("apt-root/1", Purpose::OpenpgpPrimary);
        self.params.generation = self.generation.id.clone();
        self.params.issuer = Some(issuer.id.clone());
        (self.params.crl, self.params.plan) = (None, Some(serde_json::json!({})));
        self.issuer = Some(issuer);
        self
    }

    fn decide(&self) -> Decision {
        let settings = settings();
        let facts = Facts {
            issuer: self.issuer.clone(),
            revocation: self.revocation.clone(),
            list: self.list,
            ..facts(&settings, ENVIRONMENT, self.generation.clone(), issued())
        };
        RevokeKey::decide(&request(self.params.clone()), &facts)
    }
}

type Change = fn(&mut Case);

#[test]
fn each_condition_of_a_revocation_stops_it_by_itself() {
    asks(&Case::new().decide());
    let refused: [(Change, &str); 14] = [
        (|case| case.generation.environment = Environment::Production, "Environment"),
        (|case| case.params.reason = RevocationReason::CaCompromise, "Reason"),
        (|case| case.params.revocation_date += TimeDelta::seconds(1), "RevocationDate"),
        (|case| case.params.invalidity_date = Some(issued()), "RevocationDate"),
        (|case| case.issuer = None, "Issuer"),
        (|case| case.issuer.as_mut().unwrap().id = "windows-ca/2".parse().unwrap(), "Issuer"),
        (|case| case.issuer.as_mut().unwrap().environment = Environment::Production, "Environment"),
        (|case| case.issuer.as_mut().unwrap().identities[0].copies.clear(), "HSMExportLock"),
        (|case| case.issuer.as_mut().unwrap().state = State::Retired, "Status"),
        (|case| case.issuer.as_mut().unwrap().quarantined = Some("x".into()), "Status"),
        (|case| case.issuer.as_mut().unwrap().purpose = Purpose::Authenticode, "CrlIssuer"),
        (|case| case.params.crl = None, "Publication"),
        (|case| case.params.plan = Some(serde_json::json!({})), "Publication"),
        (|case| case.list = Some(ListFacts { last_number: 7, entries: 4 }), "CrlEntries"),
    ];
    for (number, (change, gate)) in refused.into_iter().enumerate() {
        let mut case = Case::new();
        change(&mut case);
        assert_eq!(open(&case.decide()), [gate], "change {number}");
    }
    let taken: [Change; 4] = [
        |case| case.generation.quarantined = Some("x".into()),
        |case| case.params.revocation_date -= TimeDelta::days(20),
        // Nobody of ours can say it, and it is revoked all the same.
        |case| (case.params.issuer, case.params.crl) = (None, None),
        |case| (case.params.reason, case.params.invalidity_date) = (RevocationReason::KeyCompromise, Some(issued())),
    ];
    for change in taken {
        let mut case = Case::new();
        change(&mut case);
        asks(&case.decide());
    }
}

#[test]
fn what_never_had_a_certificate_is_not_revoked() {
    for &state in State::ALL {
        let mut case = Case::new();
        case.generation.state = state;
        match state {
            State::Planned | State::Generated => stops(&case.decide(), "Status"),
            _ => asks(&case.decide()),
        }
    }
}

#[test]
fn only_a_ca_has_a_cas_compromise_and_a_compromise_has_one_date() {
    let mut case = Case::new();
    case.params.reason = RevocationReason::CaCompromise;
    case.params.invalidity_date = Some(issued());
    stops(&case.decide(), "Reason");
    case.generation.purpose = Purpose::IntermediateCa;
    asks(&case.decide());
    case.params.invalidity_date = Some(issued() - TimeDelta::days(1));
    stops(&case.decide(), "RevocationDate");
    case.params.reason = RevocationReason::KeyCompromise;
    case.params.invalidity_date = None;
    asks(&case.decide());
}

#[test]
fn a_decided_revocation_goes_on_unasked_and_is_only_ever_sharpened() {
    let terms = Case::new().params.terms();
    allows(&Case::new().decided(terms).decide());
    let earlier = Terms { revocation_date: issued() - TimeDelta::days(1), ..terms };
    let decision = Case::new().decided(earlier).decide();
    stops(&decision, "Sharper");
    assert_eq!(words(&decision, "Sharper").1, "superseded from 2026-02-28T12:00:00Z");
    // What is sharper is another decision, so people are asked.
    let mut sharper = Case::new().decided(terms);
    sharper.params.reason = RevocationReason::KeyCompromise;
    asks(&sharper.decide());
    // What goes on passes the other gates as well.
    let mut continued = Case::new().decided(terms);
    continued.issuer = None;
    stops(&continued.decide(), "Issuer");
}

#[test]
fn a_key_that_is_revoked_is_on_no_list_of_its_own() {
    let mut case = Case::new();
    case.generation = ca();
    case.params.generation = ca().id;
    stops(&case.decide(), "Issuer");
}

#[test]
fn a_primary_key_says_of_its_subkeys_that_they_end_while_it_may_speak_and_of_itself_always() {
    asks(&Case::new().open_pgp().decide());
    for &state in State::ALL {
        let mut case = Case::new().open_pgp();
        case.issuer.as_mut().unwrap().state = state;
        match state {
            State::Active | State::Retiring | State::Retired | State::CrlOnly => asks(&case.decide()),
            _ => stops(&case.decide(), "Status"),
        }
        let primary = case.issuer.clone().unwrap();
        case.params.generation = primary.id.clone();
        case.generation = primary;
        match state {
            // It has no certificate yet, so there is nothing to revoke.
            State::Planned | State::Generated => stops(&case.decide(), "Status"),
            _ => asks(&case.decide()),
        }
    }
}

/// The decision on the CA's next list.
fn listed(change: impl Fn(&mut NewCrl, &mut Generation, &mut Option<ListFacts>)) -> Decision {
    let (mut crl, mut issuer) = (list(), ca());
    let mut known = Some(ListFacts { last_number: 7, entries: 3 });
    change(&mut crl, &mut issuer, &mut known);
    let settings = settings();
    let params = IssueCrl { generation: issuer.id.clone(), crl, tells: Vec::new() };
    let facts = Facts { list: known, ..facts(&settings, ENVIRONMENT, issuer, issued()) };
    IssueCrl::decide(&request(params), &facts)
}

#[test]
fn each_condition_of_a_list_stops_it_by_itself() {
    let second = TimeDelta::seconds(1);
    allows(&listed(|_, _, _| {}));
    allows(&listed(|crl, _, _| crl.published = Some(7)));
    stops(&listed(|crl, _, _| crl.published = Some(8)), "CrlNumber");
    stops(&listed(|crl, _, _| crl.number = 7), "CrlNumber");
    stops(&listed(|_, _, known| known.as_mut().unwrap().last_number = 8), "CrlNumber");
    stops(&listed(|crl, _, _| crl.entries = 2), "CrlEntries");
    stops(&listed(|_, _, known| *known = None), "CrlEntries");
    stops(&listed(|crl, _, _| crl.next_update += second), "CrlWindow");
    stops(&listed(|crl, _, _| crl.this_update += second), "CrlWindow");
    allows(&listed(|crl, _, _| {
        crl.this_update -= TimeDelta::days(6);
        crl.next_update = issued() + second;
    }));
    stops(
        &listed(|crl, _, _| (crl.this_update, crl.next_update) = (issued() - TimeDelta::days(6), issued())),
        "CrlWindow",
    );
    stops(&listed(|crl, _, _| crl.next_update = crl.this_update), "CrlWindow");
    stops(&listed(|_, ca, _| ca.purpose = Purpose::Authenticode), "CrlIssuer");
    stops(&listed(|_, ca, _| ca.environment = Environment::Production), "Environment");
    stops(&listed(|_, ca, _| ca.identities[0].copies.clear()), "HSMExportLock");
    for &state in State::ALL {
        let decision = listed(|_, ca, _| ca.state = state);
        match state {
            State::Active | State::Retiring | State::CrlOnly => allows(&decision),
            _ => stops(&decision, "Status"),
        }
    }
}

#[test]
fn a_roots_list_lasts_a_year_and_any_others_a_week() {
    for &purpose in Purpose::ALL {
        let days = if purpose == Purpose::RootCa { 365 } else { 7 };
        assert_eq!(list_life(purpose), TimeDelta::days(days), "{purpose}");
    }
    let year = |crl: &mut NewCrl| crl.next_update = crl.this_update + TimeDelta::days(365);
    stops(&listed(|crl, _, _| year(crl)), "CrlWindow");
    allows(&listed(|crl, ca, _| {
        year(crl);
        ca.purpose = Purpose::RootCa;
    }));
}

#[test]
fn only_a_revoked_keys_artifacts_are_marked() {
    let settings = settings();
    let decide = |case: Case| {
        let generation = case.generation;
        let params = MarkArtifacts { generation: generation.id.clone(), revocation: 30, artifacts: Vec::new() };
        let facts = Facts { revocation: case.revocation, ..facts(&settings, ENVIRONMENT, generation, issued()) };
        MarkArtifacts::decide(&request(params), &facts)
    };
    let revoked = || Case::new().decided(Case::new().params.terms());
    allows(&decide(revoked()));
    assert_eq!(words(&decide(revoked()), "Status").0, "revoked");
    stops(&decide(Case::new()), "Status");
    assert_eq!(words(&decide(Case::new()), "Status").0, "active");
    let mut elsewhere = revoked();
    elsewhere.generation.environment = Environment::Production;
    stops(&decide(elsewhere), "Environment");
}

#[test]
fn a_list_is_confirmed_where_it_was_made() {
    let settings = settings();
    let decide = |generation: Generation| {
        let (sha256, urls) = (Hash256::of(b"list"), Vec::new());
        let params = ConfirmCrl { generation: generation.id.clone(), number: 8, sha256, urls };
        ConfirmCrl::decide(&request(params), &facts(&settings, ENVIRONMENT, generation, issued()))
    };
    allows(&decide(ca()));
    stops(&decide(Generation { environment: Environment::Production, ..ca() }), "Environment");
}

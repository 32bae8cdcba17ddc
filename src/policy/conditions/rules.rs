//! Making and certifying keys, and moving them along.

use super::{allows, asks, open, stops, words};
use crate::keys::{Generation, State};
use crate::ledger::query::Suspension;
use crate::model::{Custody, Environment, Hash256, KeyAlgorithm, Purpose};
use crate::policy::testing::{facts, issued, request, settings, windows};
use crate::policy::{Decide, Decision, Facts};
use crate::request::{
    CertifyOpenPgp, ChangeState, GenerateKey, ImportCertificate, IssueCertificate, MakeCsr, PublishKeyring,
};
use chrono::TimeDelta;

const ENVIRONMENT: Environment = Environment::Staging;

fn key(name: &str, purpose: Purpose, state: State) -> Generation {
    Generation { id: name.parse().unwrap(), purpose, state, ..windows(ENVIRONMENT) }
}

type Change<T> = fn(&mut T);

/// The decision to make `windows/2`, which the settings have.
fn generate(change: impl FnOnce(&mut GenerateKey, &mut Facts<'_>)) -> Decision {
    let settings = settings();
    let mut params = GenerateKey {
        generation: "windows/2".parse().unwrap(),
        purpose: Purpose::Authenticode,
        environment: ENVIRONMENT,
        custody: Custody::Bound,
        algorithm: KeyAlgorithm::EcdsaP256,
        hsm: "primary".parse().unwrap(),
        token_serial: "1".into(),
        cka_id: crate::model::CkaId::new([1]).unwrap(),
        label: "windows/2".into(),
        created: None,
        destroyable: true,
        nonce: "00".into(),
    };
    let mut facts = facts(&settings, ENVIRONMENT, windows(ENVIRONMENT), issued());
    facts.generation = None;
    change(&mut params, &mut facts);
    GenerateKey::decide(&request(params), &facts)
}

#[test]
fn a_key_is_made_as_the_settings_say_and_as_the_next_one() {
    asks(&generate(|_, _| {}));
    // It was planned before, and its number is not the next one any more.
    let planned = |facts: &mut Facts<'_>, state| {
        facts.generation = Some(key("windows/2", Purpose::Authenticode, state));
        facts.next_number = 3;
    };
    asks(&generate(|_, facts| planned(facts, State::Planned)));
    for state in State::ALL.iter().copied().filter(|state| *state != State::Planned) {
        stops(&generate(|_, facts| planned(facts, state)), "NextGeneration");
        stops(
            &generate(|_, facts| {
                planned(facts, state);
                facts.next_number = 2;
            }),
            "NextGeneration",
        );
    }
    stops(&generate(|_, facts| facts.next_number = 3), "NextGeneration");
    stops(&generate(|params, _| params.environment = Environment::Production), "Environment");
    stops(&generate(|params, _| params.purpose = Purpose::Installer), "Settings");
    stops(&generate(|params, _| params.algorithm = KeyAlgorithm::EcdsaP384), "Settings");
    stops(&generate(|params, _| params.hsm = "root".parse().unwrap()), "Settings");
    stops(&generate(|params, _| params.generation = "unknown/2".parse().unwrap()), "Settings");
}

/// `windows/1` is to be certified by the CA above it.
struct Certification {
    subject: Generation,
    issuer: Generation,
    has_active: bool,
    is_suspended: Vec<&'static str>,
    age: i64,
}

impl Certification {
    fn x509() -> Self {
        Certification {
            subject: key("windows/2", Purpose::Authenticode, State::Generated),
            issuer: key("windows-ca/1", Purpose::IntermediateCa, State::Active),
            has_active: false,
            is_suspended: Vec::new(),
            age: 0,
        }
    }

    fn root() -> Self {
        let root = key("root/1", Purpose::RootCa, State::Generated);
        Certification { subject: root.clone(), issuer: root, ..Certification::x509() }
    }

    fn open_pgp() -> Self {
        Certification {
            subject: key("apt/2", Purpose::Apt, State::Generated),
            issuer: key("apt-root/1", Purpose::OpenpgpPrimary, State::Active),
            ..Certification::x509()
        }
    }

    fn primary() -> Self {
        let primary = key("apt-root/1", Purpose::OpenpgpPrimary, State::Generated);
        Certification { subject: primary.clone(), issuer: primary, ..Certification::x509() }
    }

    fn facts<'a>(&self, settings: &'a crate::config::Settings) -> Facts<'a> {
        let suspension = |key: &&str| (key.parse().unwrap(), Suspension { seq: 3, reason: "x".into() });
        Facts {
            issuer: Some(self.issuer.clone()),
            has_active: self.has_active,
            suspended_keys: self.is_suspended.iter().map(suspension).collect(),
            ..facts(settings, ENVIRONMENT, self.subject.clone(), issued() + TimeDelta::days(self.age))
        }
    }

    fn issue(&self) -> Decision {
        let settings = settings();
        let params = IssueCertificate {
            generation: self.subject.id.clone(),
            issuer: self.issuer.id.clone(),
            profile: "authenticode".into(),
            serial: "01".into(),
            tbs_sha256: Hash256::of(b"tbs"),
            template_sha256: Hash256::of(b"template"),
            not_before: issued(),
            not_after: issued(),
        };
        IssueCertificate::decide(&request(params), &self.facts(&settings))
    }

    fn certify(&self) -> Decision {
        let settings = settings();
        let params = CertifyOpenPgp {
            generation: self.subject.id.clone(),
            issuer: self.issuer.id.clone(),
            fingerprint: "ab".repeat(20),
            created: issued(),
            expires: issued(),
            plan: serde_json::json!({}),
        };
        CertifyOpenPgp::decide(&request(params), &self.facts(&settings))
    }
}

#[test]
fn each_condition_of_a_certification_stops_it_by_itself() {
    let refused: [(Change<Certification>, &str); 13] = [
        (|case| case.subject.state = State::Certified, "Status"),
        (|case| case.subject.quarantined = Some("x".into()), "Status"),
        (|case| case.subject.identities[0].copies.clear(), "HSMExportLock"),
        (|case| case.subject.environment = Environment::Production, "Environment"),
        (|case| case.is_suspended = vec!["windows-ca", "apt-root"], "Suspended"),
        (|case| case.issuer.state = State::Retiring, "Status"),
        (|case| case.issuer.state = State::Generated, "Status"),
        (|case| case.issuer.quarantined = Some("x".into()), "Status"),
        (|case| case.issuer.identities[0].copies.clear(), "HSMExportLock"),
        (|case| case.issuer.environment = Environment::Production, "Environment"),
        (|case| case.age = 121, "CertificateAgeDays"),
        (|case| (case.has_active, case.age) = (true, 121), "CertificateAgeDays"),
        (|case| case.age = -1, "CertificateAgeDays"),
    ];
    for (number, (change, gate)) in refused.into_iter().enumerate() {
        let (mut x509, mut open_pgp) = (Certification::x509(), Certification::open_pgp());
        change(&mut x509);
        assert_eq!(open(&x509.issue()), [gate], "change {number}");
        change(&mut open_pgp);
        // A primary key's interval is two years.
        assert_eq!(open(&open_pgp.certify()), [gate], "change {number}");
    }
    let mut aged = Certification { age: 90, ..Certification::x509() };
    stops(&aged.issue(), "CertificateAgeDays");
    aged.has_active = true;
    asks(&aged.issue());
    asks(&Certification { is_suspended: vec!["windows"], ..Certification::x509() }.issue());
    let nobody = Certification { issuer: key("unknown/1", Purpose::RootCa, State::Active), ..Certification::x509() };
    assert_eq!(open(&nobody.issue()), ["CertificateAgeDays not evaluated"]);
}

#[test]
fn only_roots_certify_themselves_and_they_need_no_key_that_is_in_use() {
    asks(&Certification::x509().issue());
    asks(&Certification::root().issue());
    asks(&Certification::open_pgp().certify());
    asks(&Certification::primary().certify());
    let gates = |decision: &Decision| decision.gates().len();
    assert_eq!(gates(&Certification::root().issue()), 4, "its own state, lock and environment, and that it is itself");
    assert_eq!(gates(&Certification::x509().issue()), 9);
    // A new root that certifies itself may take the place of a suspended one.
    asks(&Certification { is_suspended: vec!["root"], ..Certification::root() }.issue());
    asks(&Certification { is_suspended: vec!["apt-root"], ..Certification::primary() }.certify());

    let by_another = Certification { issuer: key("root/9", Purpose::RootCa, State::Active), ..Certification::root() };
    stops(&by_another.issue(), "Issuer");
    assert_eq!(words(&by_another.issue(), "Issuer").1, "itself");
    let mut own = Certification::x509();
    own.issuer = own.subject.clone();
    stops(&own.issue(), "Issuer");
    assert_eq!(words(&own.issue(), "Issuer").1, "another");
    let other = key("apt-root/9", Purpose::OpenpgpPrimary, State::Active);
    stops(&Certification { issuer: other, ..Certification::primary() }.certify(), "Issuer");
}

#[test]
fn open_pgp_certifies_primaries_and_their_signing_keys() {
    let mut case = Certification::open_pgp();
    case.subject.purpose = Purpose::Authenticode;
    stops(&case.certify(), "Purpose");
    assert_eq!(words(&case.certify(), "Purpose").1, "apt");
    let mut case = Certification::open_pgp();
    case.issuer.purpose = Purpose::RootCa;
    stops(&case.certify(), "Purpose");
    assert_eq!(words(&Certification::primary().certify(), "Purpose").1, "openpgp-primary");
}

#[test]
fn one_generation_is_active_and_a_quarantined_one_only_ends() {
    let settings = settings();
    let decide = |from: State, to: State, change: fn(&mut Facts<'_>)| {
        let mut facts = facts(&settings, ENVIRONMENT, key("windows/1", Purpose::Authenticode, from), issued());
        change(&mut facts);
        let params = ChangeState { generation: "windows/1".parse().unwrap(), from, to, reason: "r".into() };
        ChangeState::decide(&request(params), &facts)
    };
    asks(&decide(State::Staged, State::Active, |_| {}));
    let second = decide(State::Staged, State::Active, |facts| facts.has_active = true);
    stops(&second, "OneActive");
    assert_eq!(words(&second, "OneActive").0, "one is active");
    let first = decide(State::Staged, State::Active, |_| {});
    assert_eq!(words(&first, "OneActive").0, "none is active");
    // Any other step leaves the active one alone.
    asks(&decide(State::Active, State::Retiring, |facts| facts.has_active = true));
    let quarantine = |facts: &mut Facts<'_>| facts.generation.as_mut().unwrap().quarantined = Some("x".into());
    stops(&decide(State::Certified, State::Staged, quarantine), "Status");
    stops(&decide(State::Staged, State::Active, quarantine), "Status");
    asks(&decide(State::Active, State::Retiring, quarantine));
    asks(&decide(State::Retiring, State::Retired, quarantine));
    asks(&decide(State::Retiring, State::CrlOnly, quarantine));
    for &from in State::ALL {
        for &to in State::ALL {
            let decision = decide(from, to, |_| {});
            let is_made_otherwise = matches!(to, State::Generated | State::Certified | State::Revoked);
            match from.may_become(to) && !is_made_otherwise {
                true => asks(&decision),
                false => stops(&decision, "Transition"),
            }
        }
    }
    let moved = |facts: &mut Facts<'_>| facts.generation.as_mut().unwrap().state = State::Retired;
    stops(&decide(State::Active, State::Retiring, moved), "Status");
}

#[test]
fn a_request_and_an_import_are_for_a_key_that_is_fit_for_them() {
    let settings = settings();
    let both = |change: Change<Generation>, state: State| {
        let mut generation = key("windows/1", Purpose::Authenticode, state);
        change(&mut generation);
        let facts = facts(&settings, ENVIRONMENT, generation, issued());
        let (id, hash) = ("windows/1".parse().unwrap(), Hash256::of(b"x"));
        let csr = MakeCsr { generation: id, subject: "CN=x".into(), tbs_sha256: hash };
        let csr = MakeCsr::decide(&request(csr), &facts);
        let (id, text) = ("windows/1".parse().unwrap(), String::new());
        let import = ImportCertificate { generation: id, fingerprint: hash, issuer: text.clone(), serial: text };
        [csr, ImportCertificate::decide(&request(import), &facts)]
    };
    for decision in both(|_| {}, State::Generated) {
        asks(&decision);
    }
    let refused: [(Change<Generation>, &str); 3] = [
        (|key| key.quarantined = Some("x".into()), "Status"),
        (|key| key.identities[0].copies.clear(), "HSMExportLock"),
        (|key| key.environment = Environment::Production, "Environment"),
    ];
    for (change, gate) in refused {
        for decision in both(change, State::Generated) {
            stops(&decision, gate);
        }
    }
    for &state in State::ALL {
        let [csr, import] = both(|_| {}, state);
        let has_key = matches!(state, State::Generated | State::Certified | State::Staged | State::Active);
        assert_eq!(open(&csr).is_empty(), has_key, "{state}");
        assert_eq!(open(&import).is_empty(), state == State::Generated, "{state}");
    }
}

#[test]
fn a_keyring_tells_of_every_subkey_that_has_a_certificate() {
    let settings = settings();
    let decide = |generation: Generation| {
        let (sha256, fingerprints) = (Hash256::of(b"keyring"), Vec::new());
        let params = PublishKeyring { generation: generation.id.clone(), sha256, fingerprints };
        PublishKeyring::decide(&request(params), &facts(&settings, ENVIRONMENT, generation, issued()))
    };
    for &state in State::ALL {
        let decision = decide(key("apt/1", Purpose::Apt, state));
        match state {
            State::Planned | State::Generated | State::CrlOnly | State::Destroyed => stops(&decision, "Status"),
            _ => allows(&decision),
        }
    }
    let quarantined = Generation { quarantined: Some("x".into()), ..key("apt/1", Purpose::Apt, State::Active) };
    allows(&decide(quarantined));
    stops(&decide(key("apt-root/1", Purpose::OpenpgpPrimary, State::Active)), "Purpose");
    let elsewhere = Generation { environment: Environment::Production, ..key("apt/1", Purpose::Apt, State::Active) };
    stops(&decide(elsewhere), "Environment");
}

//! Who may sign with whose agreement: the counts that the tests of `signing` do not take apart.

use super::{allows, open, stops, words};
use crate::config::Settings;
use crate::config::policy::{Operation as Rule, Policy, Role};
use crate::ledger::query::Artifact;
use crate::model::{Assurance, Email, Environment, Hash256};
use crate::people::cab::{Here, Paper, UnsignedApproval};
use crate::people::roster::testing::{email, four};
use crate::policy::facts::{People, SigningFacts};
use crate::policy::gates::holds;
use crate::policy::signing::{Asked, ask, testing::nobody};
use crate::policy::testing::{facts, issued, request, settings, sign, windows};
use crate::policy::{Decide, Decision, Facts};
use crate::request::{Authentication, CabReference, Format, Resigns, SignArtifact};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Carol packages and asks.
struct Case {
    environment: Environment,
    settings: Settings,
    by: Email,
    assurance: Assurance,
    params: SignArtifact,
    people: People,
    paper: Option<Paper>,
    resigned: Option<Artifact>,
    marked: Option<Artifact>,
}

impl Case {
    fn new(environment: Environment) -> Self {
        Case {
            environment,
            settings: settings(),
            by: email("carol@example.com"),
            assurance: Assurance::Proven,
            params: sign(None).params,
            people: People::Missing,
            paper: None,
            resigned: None,
            marked: None,
        }
    }

    /// Where signing takes this many people.
    fn taking(threshold: u32) -> Self {
        let mut case = Case::new(Environment::Staging);
        let mut rule = Rule::Sign.default_rule();
        rule.threshold = threshold;
        rule.roles.insert(Role::CabApprover);
        case.settings.policy = Policy::default();
        case.settings.policy.set(Rule::Sign, rule);
        case
    }

    /// With an approval that nobody signed.
    fn with_paper(mut self) -> Self {
        let (status, conditions) = ("approved".into(), Vec::new());
        let expiry = issued() + chrono::TimeDelta::days(2);
        let approval_id: crate::people::cab::ApprovalId = "cab-1".parse().unwrap();
        let approval = UnsignedApproval { approval_id: approval_id.clone(), status, expiry, conditions };
        let paper = Paper::Unsigned { approval };
        self.params.cab = Some(CabReference {
            approval_id,
            authentication: Authentication::Unauthenticated,
            document_sha256: Some(paper.document_sha256().unwrap()),
            paper_sha256: Some(paper.sha256().unwrap()),
            acknowledged: Vec::new(),
        });
        self.paper = Some(paper);
        self
    }

    /// Takes the place of this artifact.
    fn again(mut self, old: &Artifact) -> Self {
        let Artifact { seq, artifact_id, hash_after, generation, .. } = old.clone();
        let (evidence_pack_id, pack_revision) = (None, 2);
        self.params.resigns =
            Some(Resigns { artifact_id, hash: hash_after, entry: seq, generation, evidence_pack_id, pack_revision });
        self.resigned = Some(old.clone());
        self
    }

    fn look<T>(&self, work: impl FnOnce(&crate::request::Request<SignArtifact>, &Facts<'_>) -> T) -> T {
        let (roster, nobody_suspended) = (four().0, BTreeSet::new());
        let now = issued();
        let mut facts = facts(&self.settings, self.environment, windows(self.environment), now);
        facts.people = self.people.clone();
        let here = Here { roster: Some(&roster), suspended: &nobody_suspended, ..nobody(self.environment, now).here };
        facts.signing = Some(SigningFacts {
            here,
            paper: self.paper.clone().map(Rc::new),
            resigned: self.resigned.clone(),
            marked: self.marked.clone(),
            ..nobody(self.environment, now)
        });
        let mut request = request(self.params.clone());
        request.actor.email = self.by.clone();
        request.actor.assurance = self.assurance;
        work(&request, &facts)
    }

    fn decide(&self) -> Decision {
        self.look(SignArtifact::decide)
    }

    fn asked(&self) -> Asked {
        self.look(|request, facts| ask(request, facts.signing.as_ref().unwrap(), facts))
    }
}

fn old() -> Artifact {
    Artifact {
        seq: 40,
        artifact_id: "old".into(),
        hash_before: Hash256::of(b"unsigned"),
        hash_after: Hash256::of(b"file"),
        generation: "windows/1".parse().unwrap(),
        content_digest: "sha256:ab".into(),
    }
}

fn shown() -> People {
    People::Shown(vec![holds("Approvals", "x", "y", true)])
}

#[test]
fn where_signing_takes_two_somebody_is_missing_until_they_agree() {
    let case = Case::taking(2);
    let decision = case.decide();
    assert!(matches!(decision, Decision::NeedsApproval(_)), "{decision:?}");
    assert_eq!(open(&decision), ["CabApproval"]);
    assert!(words(&decision, "CabApproval").1.starts_with("required because sign takes 2 people"), "{decision:?}");
    assert!(case.asked().lacks_approval);
    // Those who signed an approval request were counted by the whole rule; nobody else is asked for.
    let counted = Case { people: shown(), ..Case::taking(2) };
    allows(&counted.decide());
    assert!(!counted.asked().lacks_approval);
    // The board's approval is the second person, and a third is missing.
    allows(&Case::taking(2).with_paper().decide());
    stops(&Case::taking(3).with_paper().decide(), "CabApproval");
    // One person needs nobody.
    let alone = Case::taking(1);
    allows(&alone.decide());
    assert!(!alone.asked().lacks_approval);
    assert!(alone.asked().gates.iter().all(|gate| gate.name != "CabApproval"));
}

#[test]
fn what_is_missing_besides_an_approval_is_refused_at_once() {
    let mut case = Case::taking(2);
    case.by = email("zoe@example.com");
    let decision = case.decide();
    assert!(matches!(decision, Decision::Block(_)), "an approval would not help: {decision:?}");
    assert_eq!(open(&decision), ["Actor", "CabApproval"]);
}

#[test]
fn where_two_agree_the_first_proves_who_they_are() {
    let asserted = |threshold| Case { assurance: Assurance::Asserted, ..Case::taking(threshold).with_paper() };
    allows(&asserted(1).decide());
    stops(&asserted(2).decide(), "Actor");
    assert!(words(&asserted(2).decide(), "Actor").1.starts_with("proven"));
    assert!(words(&asserted(1).decide(), "Actor").1.starts_with("asserted or proven"));
}

#[test]
fn enough_people_without_the_role_that_must_be_there_are_not_enough() {
    let with = |role| {
        let mut case = Case::taking(2).with_paper();
        let mut rule = case.settings.policy.rule(Rule::Sign);
        rule.roles.insert(role);
        rule.must_include = [role].into();
        case.settings.policy.set(Rule::Sign, rule);
        case.decide()
    };
    allows(&with(Role::CabApprover));
    allows(&with(Role::PackagingEngineer));
    stops(&with(Role::PlatformAdmin), "CabApproval");
}

#[test]
fn an_approval_that_nobody_needs_is_not_counted_by_the_rule() {
    // In a sandbox anybody signs again, with a paper or without.
    let mut case = Case::new(Environment::Sandbox).again(&old()).with_paper();
    case.by = email("zoe@example.com");
    case.people = People::Waived;
    allows(&case.decide());
}

#[test]
fn the_paper_is_the_one_that_the_request_names() {
    let case = || Case::taking(2).with_paper();
    allows(&case().decide());
    let mut renamed = case();
    renamed.params.cab.as_mut().unwrap().approval_id = "cab-2".parse().unwrap();
    stops(&renamed.decide(), "CabApproval");
    assert!(words(&renamed.decide(), "CabApproval").0.contains("says something else"));
    let mut passed_off = case();
    passed_off.params.cab.as_mut().unwrap().authentication = Authentication::Signed;
    stops(&passed_off.decide(), "CabApproval");
    assert!(words(&passed_off.decide(), "CabApproval").0.contains("says something else"));
}

#[test]
fn what_is_signed_again_is_the_file_that_the_request_names() {
    let mut unsigned = old();
    unsigned.hash_before = Hash256::of(b"file");
    unsigned.hash_after = Hash256::of(b"signed");
    let case = |old: &Artifact| {
        let mut case = Case::new(Environment::Sandbox).again(old);
        case.people = People::Waived;
        case
    };
    allows(&case(&unsigned).decide());
    // The file is the unsigned one, and the hash that is to be replaced is another artifact's.
    let mut other = case(&unsigned);
    other.params.resigns.as_mut().unwrap().hash = Hash256::of(b"another");
    stops(&other.decide(), "ReSign");
    // Of a repository the index may have changed; of a program nothing may.
    let mut changed = case(&old());
    changed.params.hash_before = Hash256::of(b"changed");
    stops(&changed.decide(), "ReSign");
    changed.params.format = Format::Apt;
    assert!(!open(&changed.decide()).contains(&"ReSign".to_owned()));
}

#[test]
fn a_marked_file_in_production_takes_what_signing_again_takes() {
    for environment in [Environment::Staging, Environment::Production] {
        let marked = Case { marked: Some(old()), ..Case::new(environment) };
        assert_eq!(marked.asked().lacks_approval, environment == Environment::Production, "{environment}");
        let plain = Case::new(environment);
        assert!(!plain.asked().lacks_approval);
        let counted = Case { marked: Some(old()), people: shown(), ..Case::new(environment) };
        assert_eq!(counted.asked().lacks_approval, environment == Environment::Production, "{environment}");
        let again = Case { marked: Some(old()), people: shown(), ..Case::new(environment).again(&old()) };
        assert!(!again.asked().lacks_approval, "they were counted for just this");
    }
}

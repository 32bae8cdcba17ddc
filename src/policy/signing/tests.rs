//! Who may sign, with whose approval.

use super::*;
use crate::clock::{Time, parse};
use crate::config::Settings;
use crate::model::Assurance;
use crate::model::Hash256;
use crate::people::Namespace;
use crate::people::cab::testing::approval;
use crate::people::cab::{CabApproval, UnsignedApproval};
use crate::people::cab::{Here, Paper};
use crate::people::roster::Roster;
use crate::people::roster::testing::{Hand, email, four};
use crate::policy::testing::{facts, request, settings, sign, windows};
use crate::policy::{Decide, Decision, Verdict};
use std::rc::Rc;

/// Carol packages and asks; Dan is on the board.
struct Scene {
    environment: Environment,
    settings: Settings,
    roster: Option<Roster>,
    suspended: BTreeSet<Email>,
    request: Request<SignArtifact>,
    paper: Option<Rc<Paper>>,
    uses: u64,
    resigned: Option<Artifact>,
    marked: Option<Artifact>,
    people: People,
}

const NOW: &str = "2026-03-10T00:00:00Z";

fn now() -> Time {
    parse(NOW).unwrap()
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

impl Scene {
    fn new(environment: Environment) -> Self {
        let mut request = sign(None);
        request.actor.email = email("carol@example.com");
        // What production asks besides is not what is looked at here.
        request.params.pack = (environment == Environment::Production).then(|| crate::request::PackReference {
            evidence_pack_id: "p".into(),
            hash_algorithm: crate::model::HashAlgorithm::Sha256,
            hash: Hash256::of(b"file").to_string(),
            certificate: Hash256::of(b"certificate").to_string(),
        });
        Scene {
            environment,
            settings: settings(),
            roster: Some(four().0),
            suspended: BTreeSet::new(),
            request,
            paper: None,
            uses: 0,
            resigned: None,
            marked: None,
            people: if environment == Environment::Sandbox { People::Waived } else { People::Missing },
        }
    }

    fn by(mut self, address: &str, assurance: Assurance) -> Self {
        self.request.actor.email = email(address);
        self.request.actor.assurance = assurance;
        self
    }

    /// Signs the file of entry 40 again.
    fn again(mut self) -> Self {
        let Artifact { seq, artifact_id, hash_after, generation, .. } = old();
        self.resigned = Some(old());
        let (evidence_pack_id, pack_revision) = (None, 2);
        self.request.params.resigns =
            Some(Resigns { artifact_id, hash: hash_after, entry: seq, generation, evidence_pack_id, pack_revision });
        self
    }

    fn with(mut self, paper: Paper, acknowledged: &[&str]) -> Self {
        self.request.params.cab = Some(CabReference {
            approval_id: paper.approval_id().clone(),
            authentication: if paper.is_signed() { Authentication::Signed } else { Authentication::Unauthenticated },
            document_sha256: Some(paper.document_sha256().unwrap()),
            paper_sha256: Some(paper.sha256().unwrap()),
            acknowledged: acknowledged.iter().map(|text| (*text).to_owned()).collect(),
        });
        self.paper = Some(Rc::new(paper));
        self
    }

    fn decide(&self) -> (Decision, Vec<Participant>) {
        let mut facts = facts(&self.settings, self.environment, windows(self.environment), now());
        facts.people = self.people.clone();
        facts.signing = Some(SigningFacts {
            here: Here {
                roster: self.roster.as_ref(),
                suspended: &self.suspended,
                ..testing::nobody(self.environment, now()).here
            },
            paper: self.paper.clone(),
            uses: self.uses,
            is_withdrawn: false,
            resigned: self.resigned.clone(),
            marked: self.marked.clone(),
        });
        (SignArtifact::decide(&self.request, &facts), SignArtifact::approvers(&self.request, &facts))
    }

    #[track_caller]
    fn allows(&self) -> Vec<Participant> {
        let (decision, approvers) = self.decide();
        assert!(matches!(decision, Decision::Allow(_)), "{decision:?}");
        approvers
    }

    /// The words of the only gate that does not pass.
    #[track_caller]
    fn refuses(&self, name: &str, words: &str) {
        let (decision, _) = self.decide();
        assert!(matches!(decision, Decision::Block(_)), "{decision:?}");
        let failing: Vec<_> = decision.gates().iter().filter(|gate| gate.verdict != Verdict::Pass).collect();
        let [gate] = failing.as_slice() else { panic!("{failing:?}") };
        assert_eq!(gate.name, name);
        assert!(format!("{} / {}", gate.input, gate.limit).contains(words), "{words:?} is not in {gate:?}");
    }

    fn gate(&self, name: &str) -> Option<Gate> {
        self.decide().0.gates().iter().find(|gate| gate.name == name).cloned()
    }
}

/// Dan's approval of the file.
fn paper(environment: Environment, change: &dyn Fn(&mut CabApproval)) -> Paper {
    let mut approval = CabApproval {
        approver: email("dan@example.com"),
        requester: None,
        environment,
        artifacts: [(Hash256::of(b"file"), "app.exe".to_owned())].into(),
        not_before: now(),
        expiry: now() + chrono::TimeDelta::days(2),
        conditions: Vec::new(),
        ..approval()
    };
    change(&mut approval);
    let signature = Hand::new(4).sign(&Namespace::Cab.of("example.corp/keyctl"), &approval.to_bytes().unwrap());
    Paper::Signed { approval: Box::new(approval), signature }
}

fn unsigned() -> Paper {
    Paper::Unsigned {
        approval: UnsignedApproval {
            approval_id: "cab-1".parse().unwrap(),
            status: "approved".into(),
            expiry: now() + chrono::TimeDelta::days(2),
            conditions: Vec::new(),
        },
    }
}

#[test]
fn who_signs_is_in_the_roster_with_a_role_for_it() {
    use Assurance::{Asserted, Proven};
    for environment in [Environment::Staging, Environment::Production] {
        let scene = || Scene::new(environment);
        let gate = scene().gate("Actor").unwrap();
        assert_eq!(gate.input, "carol@example.com (asserted), packaging-engineer");
        assert_eq!(
            gate.limit,
            "asserted or proven, packaging-engineer or linux-packaging-owner in the roster; sign takes 1 person"
        );
        scene().allows();
        scene().by("Carol@Example.com", Asserted).allows();
        scene().by("carol@example.com", Proven).allows();
        for assurance in [Asserted, Proven] {
            scene().by("zoe@example.com", assurance).refuses("Actor", "is not in the roster");
            scene().by("dan@example.com", assurance).refuses("Actor", "cab-approver");
            scene().by("alice@example.com", assurance).refuses("Actor", "security-reviewer");
        }
        let mut claimed = scene().by("alice@example.com", Proven);
        claimed.request.actor.role = Some("packaging-engineer".into());
        claimed.refuses("Actor", "security-reviewer");
        let mut suspended = scene();
        suspended.suspended.insert(email("carol@example.com"));
        suspended.refuses("Actor", "is suspended");
        let mut auditor = scene();
        let carol = auditor.roster.as_mut().unwrap().people.get_mut(&email("carol@example.com")).unwrap();
        carol.roles.insert(Role::Auditor);
        auditor.refuses("Actor", "auditor");
    }
}

#[test]
fn where_policy_says_so_who_asks_has_to_prove_it() {
    let mut scene = Scene::new(Environment::Production);
    scene.settings.policy = rules_with(Operation::Sign, |rule| rule.asserted = false);
    scene.refuses("Actor", "/ proven, packaging-engineer");
    scene.by("carol@example.com", Assurance::Proven).allows();
}

#[test]
fn a_sandbox_and_a_workspace_without_people_ask_nobody() {
    let scene = Scene::new(Environment::Sandbox).by("zoe@example.com", Assurance::Asserted);
    scene.allows();
    assert_eq!(scene.gate("Actor").unwrap().limit, "not required in a sandbox");
    assert_eq!(scene.gate("CabApproval"), None);
    let scene = Scene { roster: None, ..Scene::new(Environment::Production) };
    scene.allows();
    assert_eq!(scene.gate("Actor").unwrap().limit, "not required: the workspace has no roster");
}

#[test]
fn an_approval_that_is_given_has_to_hold_even_where_none_is_asked_for() {
    let production = Environment::Production;
    let with = |change: &dyn Fn(&mut CabApproval)| Scene::new(production).with(paper(production, change), &[]);
    let scene = with(&|_| {});
    let approvers = scene.allows();
    assert_eq!(approvers.iter().map(|one| one.email.as_str()).collect::<Vec<_>>(), ["dan@example.com"]);
    let gate = scene.gate("CabApproval").unwrap();
    assert_eq!(gate.input, "cab-20261123-001 signed by dan@example.com, use 1 of 3, until 2026-03-12T00:00:00Z");
    assert_eq!(gate.limit, "not required for sign in production");
    with(&|approval| approval.not_before += chrono::TimeDelta::seconds(1))
        .refuses("CabApproval", "missing: it holds only from");
    with(&|approval| approval.artifacts = [(Hash256::of(b"other"), "x".into())].into())
        .refuses("CabApproval", "not among");
    with(&|approval| approval.environment = Environment::Staging)
        .refuses("CabApproval", "missing: it is for the staging");
    Scene { uses: 3, ..with(&|_| {}) }.refuses("CabApproval", "used up");
    Scene { paper: None, ..with(&|_| {}) }.refuses("CabApproval", "missing: there is no such approval");
    with(&|approval| approval.conditions = vec!["a".into()]).refuses("CabApproval", "not acknowledged: \"a\"");
    let other = Some(Rc::new(unsigned()));
    Scene { paper: other, ..with(&|_| {}) }.refuses("CabApproval", "says something else");
    let by_dan = with(&|_| {}).by("dan@example.com", Assurance::Asserted);
    let failing: Vec<_> =
        by_dan.decide().0.gates().iter().filter(|g| g.verdict != Verdict::Pass).map(|g| g.name.clone()).collect();
    assert_eq!(failing, ["Actor", "CabApproval"], "who approves neither asks nor signs");
}

#[test]
fn conditions_are_counted_in_the_gate() {
    let paper = paper(Environment::Staging, &|approval| approval.conditions = vec!["a".into(), "b".into()]);
    let scene = Scene::new(Environment::Staging).with(paper, &["b", "a"]);
    scene.allows();
    assert!(scene.gate("CabApproval").unwrap().input.ends_with(", 2 conditions acknowledged"));
}

#[test]
fn signing_again_in_production_takes_the_board_and_somebody_who_proves_it() {
    let production = Environment::Production;
    let scene = || Scene::new(production).by("carol@example.com", Assurance::Proven).again();
    let (decision, _) = scene().decide();
    assert!(matches!(decision, Decision::NeedsApproval(_)), "{decision:?}");
    assert_eq!(scene().gate("CabApproval").unwrap().input, "none given");
    let approvers = scene().with(paper(production, &|_| {}), &[]).allows();
    assert_eq!(approvers.len(), 1);
    let asserted = scene().with(paper(production, &|_| {}), &[]).by("carol@example.com", Assurance::Asserted);
    asserted.refuses("Actor", "(asserted)");
    scene().with(unsigned(), &[]).refuses("CabApproval", "unauthenticated");
    scene().with(paper(production, &|approval| approval.count = 1), &[]).allows();
    // Without a role of its own the one who asks is nobody for the count.
    let failing = scene().by("bob@example.com", Assurance::Proven).with(paper(production, &|_| {}), &[]).decide().0;
    assert!(matches!(failing, Decision::Block(_)), "{failing:?}");
    let mut three = scene().with(paper(production, &|_| {}), &[]);
    three.settings.policy = rules_with(Operation::ReSign, |rule| rule.threshold = 3);
    three.refuses("CabApproval", "re-sign takes 3 people, among them a cab-approver; with it there are 2");
}

#[test]
fn in_staging_the_unsigned_file_will_do_and_in_a_sandbox_nothing_is_asked_for() {
    let staging = || Scene::new(Environment::Staging).by("carol@example.com", Assurance::Proven).again();
    assert!(matches!(staging().decide().0, Decision::NeedsApproval(_)));
    let scene = staging().with(unsigned(), &[]);
    assert_eq!(scene.allows(), []);
    assert!(scene.gate("CabApproval").unwrap().input.starts_with("cab-1 unauthenticated, until"));
    let scene = Scene::new(Environment::Sandbox).again();
    scene.allows();
    assert_eq!(scene.gate("CabApproval").unwrap().limit, "not required in a sandbox");
    Scene::new(Environment::Sandbox).again().with(unsigned(), &[]).allows();
}

#[test]
fn a_marked_file_is_not_signed_in_production_as_if_it_were_any_other() {
    let marked = |environment| Scene { marked: Some(old()), ..Scene::new(environment) };
    marked(Environment::Staging).allows();
    let gate = marked(Environment::Staging).gate("ReSignRequired").unwrap();
    assert_eq!(gate.input, "artifact old of entry 40 has to be signed again");
    let scene = marked(Environment::Production).by("carol@example.com", Assurance::Proven);
    assert!(matches!(scene.decide().0, Decision::NeedsApproval(_)));
    assert!(scene.gate("CabApproval").unwrap().limit.contains("artifact old of entry 40 being marked"));
    scene.with(paper(Environment::Production, &|_| {}), &[]).allows();
    // What people approved for plain signing is no approval for this.
    let shown = People::Shown(vec![gates::holds("Approvals", "carol", "1 person", true)]);
    let scene = Scene { people: shown, ..marked(Environment::Production).by("carol@example.com", Assurance::Proven) };
    assert!(matches!(scene.decide().0, Decision::NeedsApproval(_)));
}

#[test]
fn under_a_warrant_its_own_gates_say_who_agreed() {
    let production = Environment::Production;
    let shown = |holds| People::Shown(vec![gates::holds("Approvals", "x", "y", holds)]);
    let scene = || Scene { people: shown(true), ..Scene::new(production).by("bob@example.com", Assurance::Proven) };
    scene().allows();
    assert_eq!(scene().gate("Actor"), None);
    scene().again().allows();
    Scene { people: shown(false), ..scene().again() }.refuses("Approvals", "x");
    // With the board's approval besides, only the requester was counted there.
    let with_board = scene().again().with(paper(production, &|_| {}), &[]);
    with_board.refuses("CabApproval", "with it there are 1");
    with_board.by("carol@example.com", Assurance::Proven).allows();
}

#[test]
fn what_is_replaced_is_the_artifact_that_the_ledger_has() {
    let scene = |known: Option<Artifact>| Scene { resigned: known, ..Scene::new(Environment::Sandbox).again() };
    scene(Some(old())).allows();
    let unsigned_file = Artifact { hash_before: Hash256::of(b"file"), ..old() };
    let mut from_the_original = scene(Some(unsigned_file.clone()));
    from_the_original.request.params.resigns.as_mut().unwrap().hash = unsigned_file.hash_after;
    from_the_original.allows();
    for known in [
        None,
        Some(Artifact { seq: 41, ..old() }),
        Some(Artifact { artifact_id: "another".into(), ..old() }),
        Some(Artifact { hash_after: Hash256::of(b"another"), ..old() }),
        Some(Artifact { generation: "windows/2".parse().unwrap(), ..old() }),
    ] {
        scene(known).refuses("ReSign", "an artifact of this ledger");
    }
    let mut other_file = scene(Some(old()));
    other_file.request.params.hash_before = Hash256::of(b"another file");
    other_file.refuses("ReSign", "and its file");
    // The same program with other signatures on it.
    other_file.request.params.content_digest = old().content_digest;
    other_file.allows();
}

fn rules_with(operation: Operation, change: impl Fn(&mut Rule)) -> crate::config::policy::Policy {
    let mut rule = operation.default_rule();
    change(&mut rule);
    let mut policy = crate::config::policy::Policy::default();
    policy.set(operation, rule);
    policy
}

#[test]
fn other_operations_have_no_such_facts() {
    let settings = settings();
    let mut facts = facts(&settings, Environment::Sandbox, windows(Environment::Sandbox), now());
    facts.signing = None;
    let decision = SignArtifact::decide(&request(sign(None).params), &facts);
    assert!(matches!(decision, Decision::Block(_)), "without facts nothing is signed: {decision:?}");
}

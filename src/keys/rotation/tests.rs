use super::*;
use crate::clock::parse;
use crate::config::{Config, Settings};
use crate::keys::Identity;
use crate::model::{Custody, Hash256, KeyAlgorithm};
use std::path::Path;

fn time(text: &str) -> Time {
    parse(text).unwrap()
}

fn settings() -> Settings {
    let text = Config::render_default("Example Corp", "example.invalid/keyctl");
    Config::parse(&text, Path::new("/x/keyctl.toml"), &|_| unreachable!("no trust files")).unwrap().adopted()
}

/// A key and its generations, which the steps move as the ledger would.
struct Play {
    name: KeyName,
    key: Key,
    rotation: Rotation,
    environment: Environment,
    generations: Vec<Generation>,
    progress: Progress,
    retiring_since: BTreeMap<GenerationId, Time>,
    superseded: Vec<GenerationId>,
    review: Option<Review>,
    early: bool,
    now: Time,
}

impl Play {
    /// A key of the default settings with one active generation that is as old as the play.
    fn new(name: &str) -> Self {
        let settings = settings();
        let name: KeyName = name.parse().unwrap();
        let mut play = Play {
            key: settings.keys[&name].clone(),
            name,
            rotation: settings.rotation,
            environment: Environment::Production,
            generations: Vec::new(),
            progress: Progress::default(),
            retiring_since: BTreeMap::new(),
            superseded: Vec::new(),
            review: None,
            early: false,
            now: time("2026-01-01T12:00:00Z"),
        };
        play.generate();
        play.certify();
        play.newest().state = State::Active;
        play
    }

    fn newest(&mut self) -> &mut Generation {
        self.generations.last_mut().unwrap()
    }

    fn generate(&mut self) {
        let number = self.generations.len() as u32 + 1;
        if self.generations.last().is_some_and(|last| last.state == State::Planned) {
            self.generations.pop();
        }
        self.generations.push(Generation {
            id: GenerationId { key: self.name.clone(), number },
            purpose: self.key.purpose,
            environment: self.environment,
            custody: Custody::Bound,
            state: State::Generated,
            quarantined: None,
            identities: vec![Identity {
                algorithm: KeyAlgorithm::EcdsaP256,
                spki_sha256: Hash256::of(&number.to_be_bytes()),
                spki: Vec::new(),
                created: Some(self.now),
                credential: None,
                copies: Vec::new(),
            }],
        });
        self.progress = Progress::default();
    }

    fn certify(&mut self) {
        let is_ca = matches!(self.key.purpose, Purpose::RootCa | Purpose::IntermediateCa);
        let days = if is_ca { 1826 } else { i64::from(self.key.rotation_days + OVERLAP_DAYS) };
        let now = self.now;
        self.newest().identities[0].credential = Some(Credential::OpenPgp {
            certificate: Vec::new(),
            fingerprint: "ab".repeat(20),
            created: now,
            expires: now + TimeDelta::days(days),
        });
        self.newest().state = State::Certified;
    }

    fn next(&self) -> Next {
        next(&self.facts()).unwrap()
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            now: self.now,
            environment: self.environment,
            name: &self.name,
            key: &self.key,
            rotation: &self.rotation,
            generations: &self.generations,
            early: self.early,
            review: self.review,
            progress: &self.progress,
            retiring_since: &self.retiring_since,
            superseded: &self.superseded,
        }
    }

    /// Does a step as the program does.
    fn take(&mut self, step: &Edge) {
        self.early = false;
        match step {
            Edge::Generate => self.generate(),
            Edge::Certify(_) => self.certify(),
            Edge::Request(_) => self.progress.requested = true,
            Edge::Link(_, link) => drop(self.progress.linked.insert(*link)),
            Edge::Publish(_) => {
                self.progress.published = true;
                self.progress.in_keyring_since = Some(self.now);
            }
            Edge::Test(_) => self.progress.tested = true,
            Edge::Stage(_) => self.newest().state = State::Staged,
            Edge::UpdatePipelines(_) => self.progress.pipelines_pending = false,
            Edge::Activate(_) => {
                let now = self.now;
                if let Some(old) = self.generations.iter_mut().find(|g| g.state == State::Active) {
                    old.state = State::Retiring;
                    self.retiring_since.insert(old.id.clone(), now);
                }
                self.newest().state = State::Active;
                self.review = None;
            }
            Edge::Retire(id, to) => {
                self.generations.iter_mut().find(|g| g.id == *id).unwrap().state = *to;
                if *to == State::Retired {
                    self.superseded.push(id.clone());
                }
            }
            Edge::Revoke(id) => {
                self.superseded.retain(|known| known != id);
                self.generations.iter_mut().find(|g| g.id == *id).unwrap().state = State::Revoked;
            }
            Edge::Discard(_) => self.newest().state = State::Retired,
        }
        for pair in [State::Active, State::Staged, State::Certified, State::Generated, State::Planned] {
            let there = self.generations.iter().filter(|g| g.state == pair).count();
            assert!(there <= 1, "{there} are {pair} after {step}");
        }
    }

    /// Goes on until nothing can be done at this moment; the words of the steps.
    fn run(&mut self) -> Vec<&'static str> {
        let mut steps = Vec::new();
        while let Next::Do(step) = self.next() {
            assert!(steps.len() < 20, "it does not end: {steps:?}");
            steps.push(step.as_str());
            self.take(&step);
            assert!(active(&self.generations).is_some(), "nobody signs after {step}");
        }
        steps
    }

    fn pass(&mut self, days: i64) {
        self.now += TimeDelta::days(days);
    }

    fn states(&self) -> Vec<State> {
        self.generations.iter().map(|generation| generation.state).collect()
    }
}

const PLAIN: [&str; 6] = ["generate", "certify", "publish", "test", "stage", "activate"];

#[test]
fn a_signing_key_is_rotated_before_the_gate_would_stop_it_and_its_predecessor_retires_after_the_overlap() {
    let mut play = Play::new("windows");
    let due = play.now + TimeDelta::days(90 - 14);
    assert_eq!(play.next(), Next::Idle(due));
    play.now = due - TimeDelta::seconds(1);
    assert_eq!(play.run(), [""; 0]);
    play.now = due;
    assert_eq!(play.run(), PLAIN);
    assert_eq!(play.states(), [State::Retiring, State::Active]);
    assert_eq!(play.next(), Next::Idle(due + TimeDelta::days(76)), "the next one is counted from the new key");
    play.now = due + TimeDelta::days(30) - TimeDelta::seconds(1);
    assert_eq!(play.run(), [""; 0]);
    play.pass(1);
    assert_eq!(play.run(), ["retire", "revoke"]);
    assert_eq!(play.states(), [State::Revoked, State::Active]);
}

#[test]
fn a_new_root_is_linked_with_the_old_one_and_the_old_one_goes_on_signing_lists() {
    let mut play = Play::new("root");
    play.early = true;
    assert_eq!(play.run(), ["generate", "certify", "link", "link", "publish", "test", "stage", "activate"]);
    assert_eq!(play.progress.linked.len(), 2);
    play.pass(31);
    assert_eq!(play.run(), ["retire"], "the certificate of a root is not revoked");
    assert_eq!(play.states(), [State::CrlOnly, State::Active]);
    let mut ca = Play::new("windows-ca");
    ca.early = true;
    assert_eq!(ca.run(), PLAIN);
    ca.pass(31);
    assert_eq!(ca.run(), ["retire"]);
    assert_eq!(ca.states(), [State::CrlOnly, State::Active]);
}

#[test]
fn an_apt_key_waits_until_clients_have_it_and_is_begun_so_early_that_nobody_else_waits() {
    let mut play = Play::new("apt");
    play.pass(90 - 14 - 30);
    assert_eq!(play.run(), ["generate", "certify", "publish", "test", "stage"]);
    let ready = play.now + TimeDelta::days(30);
    let id: GenerationId = "apt/2".parse().unwrap();
    assert_eq!(play.next(), Next::Wait(Wait::Clients(id, ready)));
    play.now = ready - TimeDelta::seconds(1);
    assert_eq!(play.run(), [""; 0]);
    play.now = ready;
    assert!(play.now < stops(&play.generations[0], &play.key, None), "the old key still signs");
    assert_eq!(play.run(), ["activate"]);
    let mut sandbox = Play::new("apt");
    sandbox.environment = Environment::Sandbox;
    sandbox.early = true;
    assert_eq!(sandbox.run(), PLAIN, "a sandbox does not wait");
}

#[test]
fn where_no_generation_may_sign_an_apt_key_waits_for_no_clients() {
    for end in ["revoked", "quarantined", "too old", "suspended"] {
        let mut play = Play::new("apt");
        play.early = true;
        play.pass(if end == "too old" { 89 } else { 10 });
        assert_eq!(play.run(), ["generate", "certify", "publish", "test", "stage"]);
        match end {
            "revoked" => play.generations[0].state = State::Revoked,
            "quarantined" => play.generations[0].quarantined = Some("its primary key is revoked".into()),
            "too old" => {
                play.pass(1);
                play.now -= TimeDelta::seconds(1);
                assert_eq!(play.run(), [""; 0], "it signs to the last second");
                play.now += TimeDelta::seconds(1);
            }
            _ => {
                // One person's word stops it for a while; that is no reason for a key that nobody knows.
                assert_eq!(play.run(), [""; 0]);
                continue;
            }
        }
        assert_eq!(play.run(), ["activate"], "{end}");
    }
}

#[test]
fn a_primary_key_is_published_by_the_subkeys_it_binds_and_goes_on_revoking_them() {
    let mut play = Play::new("apt-root");
    play.early = true;
    play.progress.published = true;
    let Next::Do(step) = play.next() else { panic!() };
    play.take(&step);
    play.progress.published = true;
    assert_eq!(play.run(), ["certify", "test", "stage", "activate"]);
    play.pass(31);
    assert_eq!(play.run(), ["retire"]);
    assert_eq!(play.states(), [State::CrlOnly, State::Active]);
}

#[test]
fn an_external_issuer_is_asked_once_and_waited_for() {
    let mut play = Play::new("windows");
    play.key.issuer = Issuer::External;
    play.early = true;
    assert_eq!(play.run(), ["generate", "request"]);
    assert_eq!(play.next(), Next::Wait(Wait::Certificate("windows/2".parse().unwrap())));
    play.certify();
    assert_eq!(play.run(), ["publish", "test", "stage", "activate"]);
}

#[test]
fn pipelines_are_told_before_the_takeover() {
    let mut play = Play::new("windows");
    play.early = true;
    let mut steps = Vec::new();
    while let Next::Do(step) = play.next() {
        steps.push(step.as_str());
        play.take(&step);
        if step.as_str() == "generate" {
            play.progress.pipelines_pending = true;
        }
    }
    assert_eq!(steps, ["generate", "certify", "publish", "test", "stage", "update-pipelines", "activate"]);
}

#[test]
fn a_review_keeps_a_ca_or_rolls_it_and_nothing_happens_without_one() {
    let mut play = Play::new("root");
    play.key.rotation = RotationMode::Review;
    let id: GenerationId = "root/1".parse().unwrap();
    play.pass(80);
    assert_eq!(play.next(), Next::Wait(Wait::Review(id.clone())));
    let until = play.now + TimeDelta::days(90);
    play.review = Some(Review { decision: ReviewDecision::Keep, keep_until: Some(until) });
    assert_eq!(play.next(), Next::Idle(until - TimeDelta::days(14)));
    assert_eq!(stops(&play.generations[0], &play.key, play.review), until);
    play.now = until - TimeDelta::days(14);
    assert_eq!(play.next(), Next::Wait(Wait::Review(id.clone())), "the review grows old like the key");
    play.early = true;
    assert_eq!(play.next(), Next::Wait(Wait::Review(id)), "haste is no review");
    play.review = Some(Review { decision: ReviewDecision::Roll, keep_until: None });
    assert_eq!(play.run().last(), Some(&"activate"));
    play.early = true;
    assert!(matches!(play.next(), Next::Wait(Wait::Review(_))), "the next one is reviewed again");
}

#[test]
fn wherever_it_stops_it_goes_on_with_the_same_successor() {
    for (name, external) in
        [("windows", false), ("windows", true), ("root", false), ("windows-ca", false), ("apt", false)]
    {
        let mut whole = Play::new(name);
        if external {
            whole.key.issuer = Issuer::External;
        }
        whole.early = true;
        let mut trace = Vec::new();
        loop {
            // Asked twice, it says the same; nothing but the register says where it stands.
            let next = whole.next();
            assert_eq!(next, whole.next());
            match next {
                Next::Do(step) => {
                    trace.push(step.as_str());
                    whole.take(&step);
                }
                Next::Wait(Wait::Certificate(_)) => whole.certify(),
                Next::Wait(Wait::Clients(_, ready)) => whole.now = ready,
                Next::Wait(Wait::Review(_)) => panic!("no review was asked for"),
                Next::Idle(_) => break,
            }
        }
        assert_eq!(trace.iter().filter(|step| **step == "generate").count(), 1, "{name}: {trace:?}");
        assert_eq!(trace.iter().filter(|step| **step == "activate").count(), 1, "{name}: {trace:?}");
        assert_eq!(whole.generations.len(), 2, "{name}");
    }
}

#[test]
fn what_is_published_is_looked_after_until_the_takeover() {
    let mut play = Play::new("windows");
    play.early = true;
    while play.next() != Next::Do(Edge::Activate("windows/2".parse().unwrap())) {
        let Next::Do(step) = play.next() else { panic!() };
        play.take(&step);
    }
    play.progress.published = false;
    assert_eq!(play.next(), Next::Do(Edge::Publish("windows/2".parse().unwrap())), "the file was spoilt");
    play.progress.published = true;
    play.progress.tested = false;
    assert_eq!(play.next(), Next::Do(Edge::Test("windows/2".parse().unwrap())));
}

#[test]
fn a_successor_that_waited_too_long_is_given_up_and_another_is_made() {
    for state in [State::Certified, State::Staged] {
        let mut play = Play::new("windows");
        play.early = true;
        for _ in 0..2 {
            let Next::Do(step) = play.next() else { panic!() };
            play.take(&step);
        }
        play.newest().state = state;
        play.pass(89);
        assert!(!matches!(play.next(), Next::Do(Edge::Discard(_))));
        play.pass(1);
        assert_eq!(play.next(), Next::Do(Edge::Discard("windows/2".parse().unwrap())));
        assert!(state.may_become(State::Retired));
        assert_eq!(play.run()[..2], ["discard", "generate"]);
        assert_eq!(play.states(), [State::Retiring, State::Retired, State::Active]);
    }
}

#[test]
fn a_planned_pair_that_was_never_made_keeps_its_number() {
    let mut play = Play::new("windows");
    play.early = true;
    play.take(&Edge::Generate);
    play.newest().state = State::Planned;
    play.newest().identities.clear();
    assert_eq!(play.next(), Next::Do(Edge::Generate));
    play.take(&Edge::Generate);
    assert_eq!(play.generations.len(), 2);
}

#[test]
fn a_quarantined_successor_stops_everything_and_the_active_one_stays() {
    let mut play = Play::new("windows");
    play.early = true;
    play.take(&Edge::Generate);
    play.newest().quarantined = Some("CKA_EXTRACTABLE".into());
    let error = next(&play.facts()).unwrap_err();
    assert_eq!((error.code(), error.advice()), ("quarantined", Some("keyctl destroy windows/2")));
    assert_eq!(active(&play.generations).unwrap().id.number, 1);
}

#[test]
fn where_nobody_signs_any_more_a_successor_is_made_at_once_and_nobody_retires() {
    let mut play = Play::new("windows");
    play.newest().state = State::Revoked;
    let revoked = play.generations[0].clone();
    let id = "windows/2".parse().unwrap();
    play.generations.insert(0, Generation { state: State::Retiring, ..revoked.clone() });
    play.generations[1] = Generation { id, ..revoked };
    play.pass(365);
    assert_eq!(play.next(), Next::Do(Edge::Generate), "rather than retiring the last one that could come back");
}

#[test]
fn keys_that_are_not_rotated_here_say_why() {
    let name: KeyName = "k".parse().unwrap();
    for purpose in [Purpose::Ledger, Purpose::Connector] {
        assert_eq!(is_available(&name, purpose).unwrap_err().code(), "rotation_unavailable");
    }
    let mut play = Play::new("windows");
    play.generations.clear();
    assert_eq!(next(&play.facts()).unwrap_err().advice(), Some("keyctl keygen windows"));
}

#[test]
fn the_lead_is_shorter_than_the_interval_whatever_the_settings_say() {
    let play = Play::new("apt");
    let key = |days: u32, lead: u32| Key { rotation_days: days, rotate_lead_days: lead, ..play.key.clone() };
    assert_eq!(lead_days(&key(90, 14), &play.rotation), 44);
    assert_eq!(lead_days(&key(40, 14), &play.rotation), 39);
    assert_eq!(lead_days(&key(1, 0), &play.rotation), 0);
}

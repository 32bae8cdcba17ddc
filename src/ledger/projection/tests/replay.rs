//! Random histories that keep the rules: every entry is taken, the register says what a simple model says, and the
//! leaves alone give the same tables again.

use super::*;
use proptest::prelude::*;

/// Somebody who knows the rules: follows a random script with what may be done, and remembers what should come of it.
struct Model {
    log: Log,
    states: BTreeMap<String, State>,
    open: Vec<(Entry, Act)>,
    made: u64,
}

/// What closing an intent as done will do.
#[derive(Clone)]
enum Act {
    Make(String, Value),
    Certify(String, Value),
    Step(String, State, State),
    Other(Value),
}

impl Model {
    fn new() -> Self {
        let states = BTreeMap::from([("ledger/1".to_owned(), State::Active)]);
        Model { log: Log::founded(), states, open: Vec::new(), made: 10 }
    }

    fn ask(&mut self, new: NewEntry, act: Act) {
        let intent = self.log.add(new);
        self.open.push((intent, act));
    }

    fn turn(&mut self, (what, a, b): (u8, u8, u8)) {
        self.made += 1;
        let n = self.made;
        let serial = format!("{n:04x}");
        let known: Vec<_> = self.states.keys().cloned().collect();
        let some = known[usize::from(a) % known.len()].clone();
        let state = self.states[&some];
        match what {
            0 | 1 => self.plan(["windows", "apt"][usize::from(a) % 2], n),
            2 => {
                let issued = acts::issue(&some, "windows-ca/1", &serial);
                self.ask(acts::intent(&issued), Act::Certify(some, certificate(&serial)));
            }
            3 => {
                let imported = acts::import(&some, b"certificate", &serial);
                self.ask(acts::intent(&imported), Act::Certify(some, certificate(&serial)));
            }
            4..=6 => {
                let next: Vec<_> =
                    State::ALL.iter().filter(|next| state.may_become(**next) && declarable(**next)).collect();
                if let Some(next) = next.get(usize::from(b) % next.len().max(1)) {
                    self.ask(acts::intent(&acts::step(&some, state, **next)), Act::Step(some, state, **next));
                }
            }
            7 => self.ask(acts::intent(&acts::sign(&some, n)), Act::Other(acts::signed(n))),
            8 => self.ask(acts::intent(&acts::adopt(&format!("Corp {b}"))), Act::Other(json!({}))),
            9 => drop(self.log.add(acts::refused(&acts::sign(&some, n)))),
            10 => drop(self.log.add(new_entry("NOTE", json!({ "n": n })))),
            _ if self.open.is_empty() => {}
            _ => self.close(usize::from(a) % self.open.len(), b),
        }
    }

    /// Plans the key's next generation, or once more the one that was not made.
    fn plan(&mut self, key: &str, n: u64) {
        let known = self.states.iter().filter(|(id, _)| id.starts_with(key));
        let newest = known.map(|(id, state)| (acts::id(id).number, *state)).max();
        let number = match newest {
            Some((number, State::Planned)) => number,
            newest => newest.map_or(1, |(number, _)| number + 1),
        };
        let id = format!("{key}/{number}");
        self.states.insert(id.clone(), State::Planned);
        self.ask(acts::intent(&keygen(&id)), Act::Make(id.clone(), made(&id, n)));
    }

    /// Closes an open intent as done if that can be; otherwise makes sure that it is refused, and closes it as failed.
    fn close(&mut self, at: usize, luck: u8) {
        let (intent, act) = self.open.remove(at);
        let (change, done) = match act {
            Act::Make(id, done) => (Some((id, State::Planned, State::Generated)), done),
            Act::Certify(id, done) => (Some((id, State::Generated, State::Certified)), done),
            Act::Step(id, from, to) => (Some((id, from, to)), json!({})),
            Act::Other(done) => (None, done),
        };
        let can = change.as_ref().is_none_or(|(id, from, to)| {
            let key = |id: &str| acts::id(id).key;
            let taken = |other: (&String, &State)| *other.1 == State::Active && key(other.0) == key(id);
            self.states[id] == *from && (*to != State::Active || !self.states.iter().any(taken))
        });
        match (can, luck % 4) {
            (_, 0) => drop(self.log.add(acts::not_done(&intent, "failed"))),
            (_, 1) => drop(self.log.add(acts::not_done(&intent, "unknown"))),
            (true, _) => {
                self.log.add(acts::done(&intent, done));
                self.states.extend(change.map(|(id, _, to)| (id, to)));
            }
            (false, _) => {
                let code = self.log.refuses(acts::done(&intent, done));
                assert!(["bad_transition", "one_active"].contains(&code), "{code}");
                self.log.add(acts::not_done(&intent, "failed"));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn a_replay_of_any_history_gives_the_same_tables(script in prop::collection::vec((0u8..20, any::<u8>(), any::<u8>()), 0..90)) {
        let mut model = Model::new();
        for turn in script {
            model.turn(turn);
        }
        let log = &model.log;
        let replayed = empty();
        for entry in &log.entries {
            apply(&replayed, &Entry::from_bytes(&entry.to_bytes().unwrap()).unwrap()).unwrap();
        }
        prop_assert_eq!(rows(&replayed), rows(&log.tables));

        let generations = query::generations(&log.tables).unwrap();
        let states: BTreeMap<_, _> = generations.iter().map(|found| (found.id.to_string(), found.state)).collect();
        prop_assert_eq!(&states, &model.states);
        let columns = "SELECT count(*) FROM generations WHERE state IS NOT json_extract(doc, '$.state')";
        prop_assert_eq!(first(&log.tables, columns, []).unwrap(), Some(0));
        let mut open: Vec<_> = model.open.iter().map(|(intent, _)| intent.seq).collect();
        open.sort_unstable();
        let found: Vec<_> = query::open_intents(&log.tables).unwrap().iter().map(|intent| intent.seq).collect();
        prop_assert_eq!(found, open);
    }
}

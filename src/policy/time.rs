//! Setting the ledger's time right, after an entry was written under a clock that was ahead.

use super::facts::{Decide, Facts};
use super::gates::{self, Decision};
use super::people::with_people;
use crate::clock::rfc3339;
use crate::request::{Request, SetTime};
use chrono::TimeDelta;

/// How far clocks may differ.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

impl Decide for SetTime {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let SetTime { from, to, .. } = &request.params;
        let newest = facts.newest.map_or_else(|| "no entry".to_owned(), rfc3339);
        let is_newest = facts.newest == Some(*from);
        let is_back = *to < *from && *to <= facts.now + TOLERANCE;
        let limit = format!("before {}, and not after the clock", rfc3339(*from));
        let found = vec![
            gates::holds("NewestEntry", rfc3339(*from), format!("as the newest entry: {newest}"), is_newest),
            gates::holds("TimeSetBack", rfc3339(*to), limit, is_back),
        ];
        with_people(found, facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::facts::People;
    use crate::policy::testing;

    #[test]
    fn time_is_set_back_to_the_clock_and_never_by_nobody() {
        let settings = testing::settings();
        let now = testing::issued();
        let ahead = now + TimeDelta::days(90);
        let failing = |from, to, people: People| {
            let generation = "ledger/1".parse().unwrap();
            let request = testing::request(SetTime { generation, from, to, reason: "r".into() });
            let staging = crate::model::Environment::Staging;
            let mut facts = testing::facts(&settings, staging, testing::windows(staging), now);
            (facts.newest, facts.people) = (Some(ahead), people);
            let decision = SetTime::decide(&request, &facts);
            let failed = decision.gates().iter().filter(|gate| gate.verdict != crate::policy::Verdict::Pass);
            let failed: Vec<_> = failed.map(|gate| gate.name.to_string()).collect();
            (matches!(decision, Decision::Allow(_)), failed)
        };
        let shown = || People::Shown(Vec::new());
        assert_eq!(failing(ahead, now, shown()), (true, vec![]));
        assert_eq!(failing(ahead, now, People::Missing), (false, vec![]));
        assert_eq!(failing(ahead, now + TimeDelta::minutes(6), shown()).1, ["TimeSetBack"]);
        assert_eq!(failing(ahead, now + TimeDelta::minutes(4), shown()).1, [""; 0]);
        assert_eq!(failing(now, now, shown()).1, ["NewestEntry", "TimeSetBack"]);
    }
}

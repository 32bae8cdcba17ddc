//! What the tests of several stages need: a good approval.

use super::*;

pub(crate) fn time(text: &str) -> Time {
    crate::clock::parse(text).unwrap()
}

/// A good approval of `app.exe`.
pub(crate) fn approval() -> CabApproval {
    CabApproval {
        schema: SCHEMA.into(),
        approval_id: "cab-20261123-001".parse().unwrap(),
        workspace_id: "6f1c2b8e-0000-4000-8000-000000000001".into(),
        origin: "example.corp/keyctl".into(),
        environment: Environment::Production,
        status: Status::Approved,
        approver: "cab@example.corp".parse().unwrap(),
        requester: Some("engineer@example.corp".parse().unwrap()),
        artifacts: BTreeMap::from([(Hash256::of(b"app"), "app.exe".to_owned())]),
        not_before: time("2026-11-23T12:00:00Z"),
        expiry: time("2026-11-25T12:00:00Z"),
        count: 3,
        conditions: vec!["only during the maintenance window".into()],
        ticket: Some("CHG-4711".into()),
    }
}

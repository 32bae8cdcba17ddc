//! Approvals of the change advisory board, in both of their forms.

use crate::config::policy::{Operation, Role};
use crate::crypto::jcs;
use crate::model::{Email, Environment, Hash256};
use crate::people::Namespace;
use crate::people::cab::testing::approval;
use crate::people::cab::{CabApproval, Here, MAX_CAB, MAX_FILE, Paper, Presented, Question, Status, UnsignedApproval};
use crate::people::cab::{judge, read, withdraws};
use crate::people::roster::Roster;
use crate::people::roster::testing::{Hand, email, four};
use chrono::TimeDelta;
use std::collections::BTreeSet;

const ARMOUR: &str = "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n";

/// Why an approval with one change is none.
#[track_caller]
fn refused(words: &str, change: impl FnOnce(&mut CabApproval)) {
    let mut bad = approval();
    change(&mut bad);
    let error = bad.check().expect_err("refused");
    assert_eq!(error.code(), "bad_cab");
    assert!(error.message().contains(words), "{error}");
}

#[test]
fn each_condition_on_an_approval_stops_it_by_itself() {
    approval().check().unwrap();
    let text = |count: usize| "x".repeat(count);
    refused("schema", |a| a.schema = "keyctl.cab/v2".into());
    refused("artifacts are none", |a| a.artifacts.clear());
    refused("artifacts: a name", |a| a.artifacts.values_mut().for_each(|name| *name = text(513)));
    refused("artifacts: a name", |a| a.artifacts.values_mut().for_each(|name| *name = " x".into()));
    refused("count", |a| a.count = 0);
    refused("count", |a| a.count = 10_001);
    refused("expiry is not after", |a| a.expiry = a.not_before);
    refused("90 days", |a| a.expiry = a.not_before + TimeDelta::days(90) + TimeDelta::seconds(1));
    refused("one person", |a| a.requester = Some(a.approver.clone()));
    refused("ticket", |a| a.ticket = Some(text(513)));
    refused("origin", |a| a.origin = "no path".into());
    refused("lower case", |a| a.approver = email("CAB@example.corp"));
    refused("lower case", |a| a.requester = Some(email("Engineer@example.corp")));
    refused("workspace_id", |a| a.workspace_id = text(513));
    refused("too many, or one stands there twice", |a| a.conditions = (0..33).map(|n| n.to_string()).collect());
    refused("too many, or one stands there twice", |a| a.conditions = vec!["a".into(), "a".into()]);
    refused("one is empty", |a| a.conditions = vec!["a".into(), text(513)]);
    refused("one is empty", |a| a.conditions = vec![String::new()]);
    refused("one is empty", |a| a.conditions = vec!["a ".into()]);
    let mut most = approval();
    most.conditions = (0..32).map(|n| n.to_string()).collect();
    most.ticket = Some(text(512));
    most.count = 10_000;
    most.expiry = most.not_before + TimeDelta::days(90);
    most.check().unwrap();
}

#[test]
fn an_approval_that_is_too_long_is_not_written() {
    let mut long = approval();
    long.artifacts = (0..600_u32).map(|n| (Hash256::of(&n.to_be_bytes()), "x".repeat(512))).collect();
    long.check().unwrap();
    assert!(jcs::to_vec(&long).unwrap().len() > MAX_CAB);
    assert_eq!(long.to_bytes().unwrap_err().code(), "bad_cab");
}

#[test]
fn the_words_say_how_often_it_is_good() {
    let said = |count: u32| {
        let lines = CabApproval { count, ..approval() }.describe();
        lines.into_iter().find(|(label, _)| *label == "good for").unwrap().1
    };
    assert_eq!(said(1), "1 signature, of these files and no others");
    assert_eq!(said(2), "2 signatures, of these files and no others");
}

#[test]
fn a_file_is_read_up_to_its_limits() {
    let bytes = approval().to_bytes().unwrap();
    let armour = |length: usize| {
        let body = "A".repeat(length - ARMOUR.trim().len());
        ARMOUR.trim().replacen("AAAA", &format!("AAAA{body}"), 1)
    };
    read(&bytes, Some(armour(24 * 1024).as_bytes())).unwrap();
    let long = armour(24 * 1024 + 1);
    assert!(read(&bytes, Some(long.as_bytes())).unwrap_err().message().contains("its signature is too long"));
    // The ledger gives back no more than was taken.
    let paper = |signature: String| Paper::Signed { approval: Box::new(approval()), signature };
    let again = |paper: &Paper| Paper::from_value(&serde_json::to_value(paper).unwrap());
    again(&paper(armour(24 * 1024))).unwrap();
    assert!(again(&paper(long)).unwrap_err().message().contains("its signature is too long"));
    let mut bad = approval();
    bad.count = 0;
    let bad = Paper::Signed { approval: Box::new(bad), signature: ARMOUR.into() };
    assert_eq!(again(&bad).unwrap_err().code(), "bad_cab");
    let blank = vec![b' '; MAX_FILE + 1];
    assert!(read(&blank, None).unwrap_err().message().contains("the file has more than"));
    assert!(!read(&blank[1..], None).unwrap_err().message().contains("the file has more than"));
}

#[test]
fn an_unsigned_file_in_one_line_is_no_signed_approval() {
    let entry = |id: usize| format!(r#"{{"approval_id":"c{id}","status":"approved","expiry":"2026-11-25T12:00:00Z"}}"#);
    let file = |count: usize| format!(r#"{{"cab":[{}]}}"#, (0..count).map(entry).collect::<Vec<_>>().join(","));
    let Presented::Unsigned(one) = read(file(1).as_bytes(), None).unwrap() else { panic!() };
    assert_eq!(one.len(), 1);
    read(file(1000).as_bytes(), None).unwrap();
    let error = read(file(1001).as_bytes(), None).unwrap_err();
    assert!(error.message().contains("more than 1000 approvals"), "{error}");
}

/// What is asked of Dan's approval of the file, by Carol.
struct Case {
    approval: CabApproval,
    by: Hand,
    roster: Option<Roster>,
    suspended: BTreeSet<Email>,
    requester: Email,
    artifact: Hash256,
    acknowledged: Vec<String>,
    uses: u64,
    is_withdrawn: bool,
    now: TimeDelta,
    here: (String, String, Environment),
}

impl Case {
    fn new() -> Self {
        let approval = CabApproval { approver: email("dan@example.com"), requester: None, ..approval() };
        Case {
            here: (approval.workspace_id.clone(), approval.origin.clone(), approval.environment),
            acknowledged: approval.conditions.clone(),
            approval,
            by: Hand::new(4),
            roster: Some(four().0),
            suspended: BTreeSet::new(),
            requester: email("carol@example.com"),
            artifact: Hash256::of(b"app"),
            uses: 0,
            is_withdrawn: false,
            now: TimeDelta::zero(),
        }
    }

    fn ask<T>(&self, work: impl FnOnce(&Paper, &Question<'_>, &Here<'_>) -> T) -> T {
        let namespace = Namespace::Cab.of(&self.approval.origin);
        let signature = self.by.sign(&namespace, &jcs::to_vec(&self.approval).unwrap());
        let paper = Paper::Signed { approval: Box::new(self.approval.clone()), signature };
        let rule = Operation::ReSign.default_rule();
        let question = Question {
            rule: &rule,
            requester: &self.requester,
            artifact: &self.artifact,
            acknowledged: &self.acknowledged,
            uses: self.uses,
            is_withdrawn: self.is_withdrawn,
        };
        let here = Here {
            now: approval().not_before + self.now,
            workspace_id: &self.here.0,
            origin: &self.here.1,
            environment: self.here.2,
            roster: self.roster.as_ref(),
            suspended: &self.suspended,
        };
        work(&paper, &question, &here)
    }
}

#[test]
fn each_condition_of_a_board_approval_stops_it_by_itself() {
    let holds = Case::new().ask(judge).unwrap();
    assert_eq!(holds.approver.unwrap().roles, [Role::CabApprover].into());
    assert_eq!(holds.used, Some((1, 3)));
    type Change = fn(&mut Case);
    let refused: [(Change, &str); 19] = [
        (|case| case.here.0 = "another".into(), "it is for the production workspace"),
        (|case| case.here.1 = "example.corp/other".into(), "it is for the production workspace"),
        (|case| case.here.2 = Environment::Staging, "it is for the production workspace"),
        (|case| case.roster = None, "has no roster to say by whom"),
        (|case| case.by = Hand::new(1), "signed by alice@example.com, not by the approver"),
        (|case| case.by = Hand::new(99), "its signature does not count: by a key that is nobody's"),
        (|case| case.suspended = [email("dan@example.com")].into(), "dan@example.com is suspended"),
        (
            |case| (case.by, case.approval.approver) = (Hand::new(1), email("alice@example.com")),
            "alice@example.com, who is no cab-approver",
        ),
        (|case| case.requester = email("Dan@example.com"), "the requester never approves"),
        (|case| case.approval.status = Status::Withdrawn, "missing: it is withdrawn"),
        (|case| case.is_withdrawn = true, "missing: it was withdrawn"),
        (|case| case.now = TimeDelta::seconds(-1), "it holds only from"),
        (|case| case.now = TimeDelta::days(2), "it expired at"),
        (|case| case.artifact = Hash256::of(b"other"), "the file is not among"),
        (|case| case.uses = 3, "used up"),
        (|case| case.acknowledged.clear(), "not acknowledged"),
        (|case| case.acknowledged.push("more".into()), "acknowledged, but no condition of it: \"more\""),
        (|case| case.approval.conditions.push("b".into()), "not acknowledged: \"b\""),
        (|case| case.approval.conditions.clear(), "acknowledged, but no condition of it"),
    ];
    for (change, words) in refused {
        let mut case = Case::new();
        change(&mut case);
        let why = case.ask(judge).expect_err(words);
        assert!(why.contains(words), "{words}: {why}");
    }
    let taken: [Change; 3] = [
        |case| case.uses = 2,
        |case| case.now = TimeDelta::days(2) - TimeDelta::seconds(1),
        |case| case.suspended = [email("alice@example.com")].into(),
    ];
    for change in taken {
        let mut case = Case::new();
        change(&mut case);
        case.ask(judge).unwrap();
    }
}

#[test]
fn only_the_board_withdraws_and_only_by_saying_so() {
    let withdrawal = || {
        let mut case = Case::new();
        case.approval.status = Status::Withdrawn;
        case
    };
    let withdrawn = |case: Case| case.ask(|paper, _, here| withdraws(paper, here));
    assert!(withdrawn(withdrawal()));
    assert!(!withdrawn(Case::new()), "an approval withdraws nothing");
    assert!(!withdrawn(Case { by: Hand::new(1), ..withdrawal() }));
    let mut elsewhere = withdrawal();
    elsewhere.here.2 = Environment::Staging;
    assert!(!withdrawn(elsewhere));
}

#[test]
fn what_nobody_signed_holds_for_a_while_and_not_in_production() {
    let ask = |environment: Environment, status: &str, now: TimeDelta| {
        let expiry = approval().expiry;
        let (approval_id, conditions) = ("cab-1".parse().unwrap(), Vec::new());
        let entry = UnsignedApproval { approval_id, status: status.into(), expiry, conditions };
        let mut case = Case { now, acknowledged: Vec::new(), ..Case::new() };
        case.here.2 = environment;
        case.ask(|_, question, here| judge(&Paper::Unsigned { approval: entry }, question, here))
    };
    let zero = TimeDelta::zero();
    for environment in [Environment::Staging, Environment::Sandbox] {
        let holds = ask(environment, "approved", zero).unwrap();
        assert_eq!((holds.approver, holds.used), (None, None));
        assert_eq!(ask(environment, "on hold", zero).unwrap_err(), "missing: it is on hold");
        ask(environment, "approved", TimeDelta::days(2) - TimeDelta::seconds(1)).unwrap();
        assert!(ask(environment, "approved", TimeDelta::days(2)).unwrap_err().contains("it expired at"));
    }
    assert!(ask(Environment::Production, "approved", zero).unwrap_err().starts_with("unauthenticated"));
}

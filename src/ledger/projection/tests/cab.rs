//! Approvals of artifacts: each is recorded once, used as often as it is good for, and used by nothing else.

use super::super::cab as projection_cab;
use super::*;
use crate::ledger::testing::{ORIGIN, WORKSPACE};
use crate::people::Namespace;
use crate::people::cab::testing::approval;
use crate::people::cab::{CabApproval, Paper, Status};
use crate::people::roster::testing::{Hand, email, four};
use crate::request::{Authentication, CabReference, Resigns};

const ARMOUR: &str = "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n";

fn signed_paper(count: u32) -> Paper {
    Paper::Signed { approval: Box::new(CabApproval { count, ..approval() }), signature: ARMOUR.into() }
}

fn unsigned_paper() -> Paper {
    let doc = json!({ "unsigned": { "approval":
        { "approval_id": "cab-1", "status": "approved", "expiry": "2026-11-25T12:00:00Z", "conditions": [] } } });
    Paper::from_value(&doc).unwrap()
}

fn record(paper: &Paper) -> NewEntry {
    new_entry(projection_cab::RECORDED, json!({ "paper": paper, "sha256": paper.sha256().unwrap() }))
}

fn reference(paper: &Paper) -> CabReference {
    CabReference {
        approval_id: paper.approval_id().clone(),
        authentication: if paper.is_signed() { Authentication::Signed } else { Authentication::Unauthenticated },
        document_sha256: Some(paper.document_sha256().unwrap()),
        paper_sha256: Some(paper.sha256().unwrap()),
        acknowledged: Vec::new(),
    }
}

/// Signs the `n`th file on the strength of an approval.
fn sign(n: u64, reference: CabReference) -> Request<SignArtifact> {
    let mut request = acts::sign("windows/1", n);
    request.params.cab = Some(reference);
    request
}

#[test]
fn an_approval_is_used_as_often_as_it_is_good_for() {
    let (paper, mut log) = (signed_paper(3), Log::founded());
    let uses = |log: &Log| query::cab_uses(&log.tables, paper.approval_id()).unwrap();
    let ask = |n| acts::intent(&sign(n, reference(&paper)));
    assert_eq!(log.refuses(ask(1)), "bad_entry", "it was never recorded");
    let first = log.add(record(&paper)).seq;
    log.add(record(&paper));
    assert_eq!(query::cab_paper(&log.tables, &paper.sha256().unwrap()).unwrap(), Some(paper.clone()));
    assert_eq!(super::first(&log.tables, "SELECT seq FROM cab_papers", []).unwrap(), Some(first as i64));
    let intents: Vec<_> = (1..=3).map(|n| log.add(ask(n))).collect();
    assert_eq!(uses(&log), 3, "an open intent is a use");
    assert_eq!(log.refuses(ask(4)), "cab_exhausted");
    log.add(acts::done(&intents[0], acts::signed(1)));
    log.add(acts::not_done(&intents[1], "unknown"));
    assert_eq!(log.refuses(ask(4)), "cab_exhausted", "of what is unknown nobody can say that it was not signed");
    log.add(acts::not_done(&intents[2], "failed"));
    assert_eq!(uses(&log), 2, "what failed made no signed file");
    log.add(ask(4));
    // The same approval, written anew with a larger count, is still the same approval.
    let more = signed_paper(5);
    log.add(record(&more));
    log.add(acts::intent(&sign(5, reference(&more))));
    log.add(acts::intent(&sign(6, reference(&more))));
    assert_eq!(log.refuses(acts::intent(&sign(7, reference(&more)))), "cab_exhausted");
    assert_eq!(log.refuses(ask(7)), "cab_exhausted");
}

#[test]
fn unsigned_papers_count_nothing_and_take_nothing_away() {
    let mut log = Log::founded();
    let unsigned = unsigned_paper();
    log.add(record(&unsigned));
    for n in 1..=4 {
        log.add(acts::intent(&sign(n, reference(&unsigned))));
    }
    assert_eq!(query::cab_uses(&log.tables, unsigned.approval_id()).unwrap(), 0);
    let kept = super::first::<i64>(&log.tables, "SELECT count(*) FROM cab_uses WHERE signed = 0", []);
    assert_eq!(kept.unwrap(), Some(4), "but it is known what rests on them");
}

#[test]
fn a_reference_names_the_paper_that_its_hashes_name() {
    let (paper, other, mut log) = (signed_paper(3), signed_paper(2), Log::founded());
    log.add(record(&paper));
    log.add(record(&unsigned_paper()));
    let good = reference(&paper);
    let bad = [
        CabReference { approval_id: "cab-1".parse().unwrap(), ..good.clone() },
        CabReference { authentication: Authentication::Unauthenticated, ..good.clone() },
        CabReference { document_sha256: Some(other.document_sha256().unwrap()), ..good.clone() },
        CabReference { paper_sha256: Some(other.sha256().unwrap()), ..good.clone() },
        CabReference { paper_sha256: Some(unsigned_paper().sha256().unwrap()), ..good.clone() },
        CabReference { paper_sha256: None, document_sha256: None, ..good.clone() },
    ];
    for reference in bad {
        assert_eq!(log.refuses(acts::intent(&sign(1, reference))), "bad_entry");
    }
    log.add(acts::intent(&sign(1, good)));
}

#[test]
fn a_record_is_of_the_paper_that_it_names() {
    let log = Log::founded();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut new = record(&signed_paper(3));
        change(&mut new.body);
        log.refuses(new)
    };
    assert_eq!(with(&|body| body["sha256"] = unsigned_paper().sha256().unwrap().to_string().into()), "bad_entry");
    assert_eq!(with(&|body| body["paper"]["signed"]["approval"]["count"] = 9.into()), "bad_entry");
    assert_eq!(with(&|body| body["paper"]["signed"]["approval"]["count"] = 0.into()), "bad_entry");
    assert_eq!(with(&|body| body["paper"] = json!({})), "bad_entry");
    assert_eq!(with(&|body| body["paper"]["signed"]["signature"] = "A".repeat(100_000).into()), "bad_entry");
}

/// A withdrawal by this hand, in the sandbox of these tests.
fn withdrawal(hand: &Hand, approver: &str) -> Paper {
    let approval = CabApproval {
        approver: email(approver),
        workspace_id: WORKSPACE.into(),
        origin: ORIGIN.into(),
        environment: crate::model::Environment::Sandbox,
        status: Status::Withdrawn,
        ..approval()
    };
    let signature = hand.sign(&Namespace::Cab.of(ORIGIN), &approval.to_bytes().unwrap());
    Paper::Signed { approval: Box::new(approval), signature }
}

#[test]
fn what_the_board_withdrew_stays_withdrawn() {
    let (roster, [_, _, carol, dan]) = four();
    let mut log = Log::founded();
    let adopted = log.entries[0].clone();
    super::super::people::store_roster(&log.tables, &adopted, &roster, &roster.sha256().unwrap()).unwrap();
    let is_withdrawn = |log: &Log| query::cab_withdrawn(&log.tables, &approval().approval_id).unwrap();
    for hand in [&carol, &Hand::new(99)] {
        for approver in ["dan@example.com", "carol@example.com"] {
            log.add(record(&withdrawal(hand, approver)));
        }
    }
    assert_eq!(is_withdrawn(&log), None, "anyone can write a paper");
    let entry = log.add(record(&withdrawal(&dan, "dan@example.com")));
    assert_eq!(is_withdrawn(&log), Some(entry.seq));
    log.add(record(&withdrawal(&dan, "dan@example.com")));
    assert_eq!(is_withdrawn(&log), Some(entry.seq));
    assert_eq!(query::cab_withdrawn(&log.tables, &"cab-other".parse().unwrap()).unwrap(), None);
}

#[test]
fn an_artifact_takes_the_place_of_one_that_there_is() {
    let mut log = Log::founded();
    let old = log.act(&acts::sign("windows/1", 1), acts::signed(1));
    let first = query::artifact(&log.tables, old.seq).unwrap().unwrap();
    let resigns = Resigns {
        artifact_id: first.artifact_id.clone(),
        hash: first.hash_after,
        entry: old.seq,
        generation: first.generation.clone(),
        evidence_pack_id: None,
        pack_revision: 2,
    };
    let again = |n: u64, resigns: Resigns| {
        let mut request = acts::sign("windows/2", n);
        request.params.resigns = Some(resigns);
        request
    };
    let wrong = [
        Resigns { artifact_id: "another".into(), ..resigns.clone() },
        Resigns { hash: first.hash_before, ..resigns.clone() },
        Resigns { entry: old.seq - 1, ..resigns.clone() },
    ];
    for wrong in wrong {
        let intent = log.add(acts::intent(&again(2, wrong)));
        assert_eq!(log.refuses(acts::done(&intent, acts::signed(2))), "unknown_artifact");
        log.add(acts::not_done(&intent, "failed"));
    }
    let new = log.act(&again(2, resigns), acts::signed(2));
    let second = query::artifact(&log.tables, new.seq).unwrap().unwrap();
    let linked: Option<String> =
        super::first(&log.tables, "SELECT resigns FROM resigned WHERE artifact_id = ?1", [&second.artifact_id])
            .unwrap();
    assert_eq!(linked, Some(first.artifact_id.clone()));
    // Found by what it is the signed form of first, then by what it was made from; newest first.
    let by = |hash| query::artifacts_with(&log.tables, hash).unwrap();
    assert_eq!(by(&first.hash_after), std::slice::from_ref(&first));
    assert_eq!(by(&second.hash_before), std::slice::from_ref(&second));
    assert_eq!(by(&Hash256::of(b"nothing")), []);
}

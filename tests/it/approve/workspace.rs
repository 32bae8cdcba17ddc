//! Between a workspace and the machines of those who approve.

use super::*;
use crate::team::Team;

/// A request about the ledger of a sandbox, in its `requests/` folder.
fn from_sandbox(place: &Place, requester: &PrivateKey, id: u8) -> PathBuf {
    let ledger = place.workspace().join("ledger.db");
    let ledger = keyctl::ledger::Ledger::open_read_only(&ledger, Clock::system()).unwrap();
    let head = ledger.head().unwrap();
    let genesis = keyctl::ledger::query::genesis(ledger.connection()).unwrap();
    let head = LogHead { size: head.size, root: head.root };
    let mut request = request(requester, head, ledger.entry(0).unwrap().leaf_hash().unwrap());
    (request.workspace_id, request.origin) = (genesis.workspace_id, genesis.origin);
    request.environment = genesis.environment;
    request.request_id = format!("{id:032x}");
    hand(&place.workspace().join("requests"), &request, requester, None)
}

#[test]
fn a_request_is_packed_with_the_proof_that_an_approver_lacks() {
    let place = Place::with_sandbox();
    let scene = Scene::new();
    let file = from_sandbox(&place, &scene.requester, 1);
    let packed = place.keyctl(&["approve", file.to_str().unwrap(), "--pack", "--output", "table"]).ok();
    assert!(packed.stdout.starts_with("-----BEGIN KEYCTL REQUEST-----\n"));
    let approve = |block: &str, id: u8| {
        let bytes = std::fs::read(place.workspace().join(format!("requests/{id:032x}.json"))).unwrap();
        let request = ApprovalRequest::parse(&bytes).unwrap();
        let (sha256, genesis) = (Hash256::of(&bytes).to_string(), request.genesis_sha256.unwrap().to_string());
        let mut command = scene.machine.command(&yes(Path::new("-"), &sha256, &genesis));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(format!("> Hi!\n> \n{block}\nBye\n").as_bytes());
        (ran(child.wait_with_output().unwrap()), request.log_head.size)
    };
    let (first, size) = approve(&packed.stdout, 1);
    first.ok();

    place.keyctl(&["keygen", "windows"]).ok();
    let file = from_sandbox(&place, &scene.requester, 2);
    let file = file.to_str().unwrap();
    let packed = place.keyctl(&["approve", file, "--pack"]).ok().one();
    let (refused, _) = approve(packed["bundle"].as_str().unwrap(), 2);
    refused.fails(4, "no_proof").says(&format!("--pack --prove-from {size}"));
    place.keyctl(&["approve", file, "--pack", "--prove-from", "0"]).fails(2, "bad_range");
    place.keyctl(&["approve", file, "--pack", "--prove-from", "100000"]).fails(2, "bad_range");
    let proven = place.keyctl(&["approve", file, "--pack", "--prove-from", &size.to_string()]).ok().one();
    approve(proven["bundle"].as_str().unwrap(), 2).0.ok();
    // The proof lies beside the request by now, for those who reach the folder.
    let again = place.keyctl(&["approve", file, "--pack"]).ok().one();
    assert_eq!(again["bundle"], proven["bundle"]);

    let elsewhere = scene.hand(&scene.request(20), None);
    let elsewhere = scene.machine.copy(&elsewhere, "elsewhere.json");
    std::fs::copy(scene.machine.path(format!("{:032x}.request.sig", 20)), elsewhere.with_extension("request.sig"))
        .unwrap();
    let elsewhere = elsewhere.to_str().unwrap();
    place.keyctl(&["approve", elsewhere, "--pack", "--prove-from", "3"]).fails(2, "not_in_workspace");
}

#[test]
fn an_approval_in_a_workspace_lands_beside_its_request() {
    let place = Place::with_sandbox();
    let scene = Scene::new();
    approver_key(&place);
    let file = from_sandbox(&place, &scene.requester, 1);
    let bytes = std::fs::read(&file).unwrap();
    let request = ApprovalRequest::parse(&bytes).unwrap();
    let sha256 = Hash256::of(&bytes).to_string();
    // This user founded the workspace, so its genesis is known here.
    let arguments = ["approve", file.to_str().unwrap(), "--yes", "--expect", &sha256, "--identity", "id_ed25519"];
    let row = place.keyctl(&arguments).ok().one();
    let fingerprint = row["key_sha256"].as_str().unwrap();
    let signature = file.with_file_name(format!("{}.{}.sig", request.request_id, &fingerprint[..16]));
    assert_eq!(row["files"], json!([signature.to_str().unwrap()]));
    assert_eq!(row["signature"].as_str().unwrap(), std::fs::read_to_string(&signature).unwrap());
    assert!(stock_accepts(&place, &format!("keyctl-approval-v1@{}", request.origin), &signature, &bytes));
    // Approving again changes nothing, and a genesis that this user's pin does not have is refused.
    place.keyctl(&arguments).ok();
    assert_eq!(row["signature"].as_str().unwrap(), std::fs::read_to_string(&signature).unwrap());
    let mut other = request.clone();
    other.genesis_sha256 = Some(Hash256([8; 32]));
    other.request_id = format!("{:032x}", 9);
    std::fs::remove_dir_all(place.path("state/keyctl/witness")).unwrap();
    let file = hand(&place.path(""), &other, &scene.requester, None);
    let sha256 = Hash256::of(&std::fs::read(&file).unwrap()).to_string();
    let genesis = Hash256([8; 32]).to_string();
    place.keyctl(&yes(&file, &sha256, &genesis)).fails(4, "genesis_changed");
}

/// From request to key: asked for in one place, approved in another, done once.
#[test]
fn what_was_approved_elsewhere_is_done_once() {
    let team = Team::founded();
    let machine = Place::new();
    machine.copy(&team.key("alice@example.com"), "id_ed25519");
    std::fs::set_permissions(machine.path("id_ed25519"), PermissionsExt::from_mode(0o600)).unwrap();
    let genesis =
        keyctl::crypto::merkle::leaf_hash(team.place.sql("SELECT leaf FROM entries WHERE seq = 0").as_bytes());
    let genesis = genesis.to_string();
    for key in ["root", "windows-ca"] {
        let asked = team.keyctl("bob@example.com", &["keygen", key]).fails(5, "approval_needed").one();
        let (file, id) = (asked["request"].as_str().unwrap(), asked["request_id"].as_str().unwrap());
        let packed = team.place.keyctl(&["approve", file, "--pack", "--output", "table"]).ok();
        std::fs::write(machine.path("mail.txt"), format!("Hello Alice\n\n{}", packed.stdout)).unwrap();
        let run = |more: &[&str]| team.keyctl("bob@example.com", &[&["run", id], more].concat());
        run(&[]).fails(5, "approval_needed");
        let sha256 = asked["aloud"].as_str().unwrap();
        let to = format!("{key}.sig");
        let arguments = [&yes(Path::new("mail.txt"), sha256, &genesis)[..], &["--to", &to]].concat();
        let row = machine.keyctl(&arguments).ok().one();
        assert_eq!((&row["object"], &row["kind"]), (&json!(format!("{key}/1")), &json!("request")), "{row}");
        let signature = team.place.copy(&machine.path(&to), &to);
        run(&["--approval", signature.to_str().unwrap()]).ok();
        assert_eq!(team.place.sql(&format!("SELECT count(*) FROM generations WHERE key = '{key}'")), "1");
        run(&["--approval", signature.to_str().unwrap()]).fails(4, "request_consumed");
    }
}

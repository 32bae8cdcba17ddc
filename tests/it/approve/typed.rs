//! What a person sees and types.

use super::*;
use crate::terminal::Screen;
use keyctl::people::request::BreakGlass;

#[test]
fn an_approver_reads_compares_types_and_signs() {
    let scene = Scene::new();
    let mut request = scene.request(20);
    request.break_glass = Some(BreakGlass { incident: "INC-7".to_owned(), justification: "stolen".to_owned() });
    let file = scene.hand(&request, None);
    let bytes = std::fs::read(&file).unwrap();
    let mut command = scene.machine.command(&["approve", "--identity", "id_ed25519", "--to", "alice.sig"]);
    command.arg(&file);
    let screen = Screen::run(&scene.machine, &command);
    let text = screen.shows("its last two groups:");
    for words in [
        "BREAK-GLASS  THIS GOES AROUND THE ORDINARY WAY",
        "INC-7",
        "asked        replace the key windows/3",
        "by           carol@example.com",
        "because      it is due",
        "command      keyctl rotate windows",
        "cka_id: 0a",
        "NEW HERE",
        &grouped(&Hash256::of(&bytes).to_string()),
        &format!("genesis      {}", grouped(&scene.genesis())),
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    screen.types("0000 0000");
    let genesis = scene.genesis();
    std::thread::sleep(std::time::Duration::from_millis(200));
    screen.types(&format!(" {} {}", &genesis[56..60], genesis[60..].to_uppercase()));
    screen.shows("to approve, type windows/3:");
    assert!(!scene.memory().exists() && !scene.machine.path("alice.sig").exists());
    screen.types("windows/3");
    let text = screen.exits(0);
    assert!(text.contains("-----BEGIN SSH SIGNATURE-----") && text.contains("-----END SSH SIGNATURE-----"), "{text}");
    let signature = scene.machine.path("alice.sig");
    let namespace = format!("keyctl-approval-v1@{ORIGIN}");
    assert!(stock_accepts(&scene.machine, &namespace, &signature, &bytes));
    assert!(!stock_accepts(&scene.machine, &format!("keyctl-request-v1@{ORIGIN}"), &signature, &bytes));
    let mut changed = bytes.clone();
    changed[30] ^= 1;
    assert!(!stock_accepts(&scene.machine, &namespace, &signature, &changed));
    assert!(std::fs::read_to_string(scene.memory()).unwrap().contains("\"size\": 20"));

    // The workspace is known by now, so its genesis is not asked for again.
    let mut command = scene.machine.command(&["approve", "--identity", "id_ed25519"]);
    command.arg(scene.hand(&scene.request(33), Some(scene.log.proofs(&[20], 33))));
    let screen = Screen::run(&scene.machine, &command);
    let text = screen.shows("to approve, type windows/3:");
    assert!(text.contains("continues    the ledger of 20 entries") && !text.contains("last two groups"), "{text}");
    for wrong in ["", "yes", "windows"] {
        screen.types(wrong);
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let text = screen.exits(4);
    assert!(text.contains("nothing was signed") && !text.contains("BEGIN SSH SIGNATURE"), "{text}");
    assert!(std::fs::read_to_string(scene.memory()).unwrap().contains("\"size\": 20"), "remembers what it signed only");
}

#[test]
fn what_is_pasted_cannot_confirm_itself() {
    let scene = Scene::new();
    let file = scene.hand(&scene.request(20), None);
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    let block = Bundle::new(text(&file), Some(text(&file.with_extension("request.sig"))), None).to_armour().unwrap();
    let genesis = scene.genesis();
    let command = scene.machine.command(&["approve", "-", "--identity", "id_ed25519", "--genesis", &genesis]);
    let screen = Screen::run(&scene.machine, &command);
    screen.shows("paste the request block");
    screen.pastes(&format!("Hello Alice, please\n{block}windows/3\nwindows/3\nwindows/3\nwindows/3\n"));
    screen.shows("to approve, type windows/3 ");
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(200));
        screen.types("windows/3");
    }
    assert!(screen.exits(4).contains("nothing was signed"));

    let screen = Screen::run(&scene.machine, &command);
    screen.shows("paste the request block");
    screen.pastes(&block);
    let shown = screen.shows("to approve, type windows/3 ");
    let (_, wanted) = shown.rsplit_once("to approve, type ").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    screen.types(wanted.trim().trim_end_matches(':'));
    assert!(screen.exits(0).contains("BEGIN SSH SIGNATURE"));
}

#[test]
fn a_locked_key_asks_for_its_passphrase_after_the_confirmation() {
    let scene = Scene::new();
    let mut make = tool("ssh-keygen");
    make.args(["-q", "-t", "ecdsa", "-N", "correct horse", "-a", "4", "-f"]).arg(scene.machine.path("locked"));
    assert!(make.status().unwrap().success());
    let genesis = scene.genesis();
    let mut command = scene.machine.command(&["approve", "--identity", "locked", "--genesis", &genesis]);
    command.arg(scene.hand(&scene.request(20), None)).env_remove("SSH_AUTH_SOCK");
    let screen = Screen::run(&scene.machine, &command);
    screen.shows("to approve, type windows/3:");
    screen.types("windows/3");
    screen.shows("passphrase of locked");
    std::thread::sleep(std::time::Duration::from_millis(200));
    screen.types("correct horse");
    let text = screen.exits(0);
    assert!(text.contains("BEGIN SSH SIGNATURE") && !text.contains("correct horse"), "{text}");
}

#[test]
fn a_key_in_the_agent_is_named_by_its_public_half() {
    let scene = Scene::new();
    let socket = scene.machine.path("agent");
    let mut agent = tool("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    while !socket.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut add = tool("ssh-add");
    let added = add.arg("-q").arg(scene.machine.path("id_ed25519")).env("SSH_AUTH_SOCK", &socket).status().unwrap();
    assert!(added.success());
    std::fs::remove_file(scene.machine.path("id_ed25519")).unwrap();
    let file = scene.hand(&scene.request(20), None);
    let bytes = std::fs::read(&file).unwrap();
    let (sha256, genesis) = (Hash256::of(&bytes).to_string(), scene.genesis());
    let mut command = scene.machine.command(&yes(&file, &sha256, &genesis)[..7]);
    command.args(["--identity", "id_ed25519.pub", "--to", "alice.sig"]).env("SSH_AUTH_SOCK", &socket);
    let signed = ran(command.output().unwrap());
    let _ = agent.kill();
    let _ = agent.wait();
    signed.ok();
    let namespace = format!("keyctl-approval-v1@{ORIGIN}");
    assert!(stock_accepts(&scene.machine, &namespace, &scene.machine.path("alice.sig"), &bytes));
}

//! What other processes can see of this one: a PIN must get out neither by a core dump nor by looking in (threat "stolen
//! laptop", and whoever else is this user).

use crate::support::Place;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

/// A user without any power.
const NOBODY: u32 = 65534;

#[test]
fn no_core_dump_and_no_other_process_gets_a_pin() {
    let place = Place::new();
    let program = place.path("keyctl");
    std::fs::copy(env!("CARGO_BIN_EXE_keyctl"), &program).expect("copied");
    for (path, mode) in [(place.path(""), 0o755), (program.clone(), 0o755)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("a mode");
    }
    let is_root = rustix::process::geteuid().is_root();
    let run = |program: &std::path::Path, args: &[&str]| {
        let mut command = std::process::Command::new(program);
        command.args(args).env_clear().env("HOME", "/").current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.spawn().expect("it runs")
    };
    let user = if is_root { NOBODY } else { rustix::process::geteuid().as_raw() };
    // Whose the files of a process are says whether others of its user may look in: root's, if nobody may.
    let owner = |id: u32| std::fs::metadata(format!("/proc/{id}/environ")).expect("a process").uid();
    let mut other = run(std::path::Path::new("/bin/cat"), &[]);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(owner(other.id()), user, "as other programs are");

    // It waits for what is piped to it.
    let mut waiting = run(&program, &["approve", "-"]);
    let id = waiting.id();
    let limits = || std::fs::read_to_string(format!("/proc/{id}/limits")).expect("limits");
    let no_cores = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
        line.split_whitespace().filter(|word| *word == "0").count() == 2
    };
    for _ in 0..100 {
        if owner(id) == 0 && no_cores(&limits()) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!((owner(id), no_cores(&limits())), (0, true), "{}", limits());
    // It reads what it needs of itself all the same: it goes on to say what is wrong with an empty request.
    drop(waiting.stdin.take());
    let ended = waiting.wait_with_output().expect("it ends");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("no document"), "{ended:?}");
    drop(other.stdin.take());
    other.wait().expect("it ends");
}

//! A first try that failed, and the second one: nothing stays in the way.

use crate::apt::{FTPARCHIVE, archive, text};
use crate::support::{Place, Ran, ran, real_pe_files};
use crate::tokens::dying_library;

/// Runs, and dies before this step of making something durable in a folder.
fn dies_at(place: &Place, args: &[&str], folder: &str, step: u32) -> Ran {
    let mut command = place.command(args);
    command.env("LD_PRELOAD", dying_library()).env("DYING_PATH", folder);
    command.env("DYING_KIND", "sync").env("DYING_AT", step.to_string());
    ran(command.output().expect("the binary runs"))
}

#[test]
fn a_first_try_without_a_home_leaves_nothing_behind() {
    let place = Place::new();
    place.copy(&real_pe_files()[3], "app.exe");
    let mut command = place.command(&["sign", "--sandbox", "app.exe"]);
    command.env_remove("HOME").env_remove("XDG_STATE_HOME");
    ran(command.output().expect("the binary runs")).fails(2, "no_state_folder");
    assert!(!place.workspace().exists());
    place.keyctl(&["sign", "--sandbox", "app.exe"]).ok();
}

#[test]
fn a_sandbox_whose_making_was_killed_is_finished_by_the_next_command() {
    for step in [2, 9, 17, 26, 36, 47, 59] {
        let place = Place::new();
        place.copy(&real_pe_files()[3], "app.exe");
        let sign = ["sign", "--sandbox", "app.exe"];
        if dies_at(&place, &sign, ".keyctl-sandbox", step).code != -1 {
            assert!(step > 9, "it died at step {step} already");
            break;
        }
        let again = place.keyctl(&sign);
        assert_eq!(again.code, 0, "step {step}: {}", again.stderr);
        place.keyctl(&["audit", "log"]).ok();
    }
}

#[test]
fn a_repository_whose_signing_was_killed_in_a_sandbox_goes_on_there() {
    let place = Place::with_sandbox();
    for step in 1..12 {
        let archive = archive(&place, &format!("a{step}"), FTPARCHIVE);
        let sign = ["sign", "--sandbox", text(&archive)];
        if dies_at(&place, &sign, text(&archive), step).code != -1 {
            assert!(step > 1, "it never died");
            return;
        }
        let again = place.keyctl(&sign);
        assert_eq!(again.code, 0, "step {step}: {}", again.stderr);
        place.keyctl(&["verify", text(&archive)]).ok();
    }
}

#[test]
fn a_workspace_from_a_file_is_founded_in_a_folder_that_is_named() {
    let place = Place::new();
    let settings = keyctl::config::Config::render_default("Example Corp", "own.invalid/keyctl");
    std::fs::write(place.path("keyctl.toml"), settings).expect("written");
    for dry_run in [&["--dry-run"][..], &[]] {
        let init = [dry_run, &["init", "--from", "keyctl.toml"]].concat();
        place.keyctl(&init).fails(2, "workspace_needed").says("keyctl --workspace DIR init --from");
        assert!(!place.workspace().exists());
    }
    place.keyctl(&["--workspace", "own", "init", "--from", "keyctl.toml"]).ok();
    assert!(!place.workspace().exists());
}

//! The signing of a repository, killed at every step that it makes in the repository's folder and at any other moment.

use crate::apt::{FTPARCHIVE, all_accept, archive, founded, gpgv, in_key, keyring, suite, text};
use crate::interruption::{duration, killed, moments, nothing_is_left};
use crate::support::{Place, Ran, ran};
use crate::tokens::dying_library;
use std::fs;
use std::path::PathBuf;

/// A repository in a sandbox whose signatures differ each time.
struct Scene {
    place: Place,
    archive: PathBuf,
    suite: PathBuf,
}

/// Bytes of InRelease and Release.gpg.
type Pair = [Option<Vec<u8>>; 2];

impl Scene {
    fn new() -> Self {
        let change = |toml: String| in_key(&toml, "apt", "\"ed25519\"", "\"ecdsa-p384\"");
        let place = founded(change, |place, args| place.keyctl(args));
        let archive = archive(&place, "a", FTPARCHIVE);
        Scene { suite: suite(&archive), archive, place }
    }

    fn pair(&self) -> Pair {
        ["InRelease", "Release.gpg"].map(|name| fs::read(self.suite.join(name)).ok())
    }

    /// Signs, and dies before this step; `None` if it died.
    fn dies_at(&self, step: u32) -> Option<Ran> {
        let mut command = self.place.command(&["sign", text(&self.suite)]);
        command.env("LD_PRELOAD", dying_library()).env("DYING_PATH", "dists/stable").env("DYING_AT", step.to_string());
        let ran = ran(command.output().expect("the binary runs"));
        (ran.code != -1).then_some(ran)
    }

    /// As [`Scene::dies_at`], for a job that can be told from others.
    fn job_dies_at(&self, id: &str, step: u32) -> bool {
        let mut command = self.place.command(&["--correlation-id", id, "sign", text(&self.suite)]);
        command.env("LD_PRELOAD", dying_library()).env("DYING_PATH", "dists/stable").env("DYING_AT", step.to_string());
        ran(command.output().expect("the binary runs")).code == -1
    }

    /// A file of the pair is the old one or a whole new one, at any time.
    #[track_caller]
    fn each_is_whole(&self, before: &Pair) {
        let files = [vec!["InRelease"], vec!["Release.gpg", "Release"]];
        for ((now, old), names) in self.pair().iter().zip(before).zip(files) {
            if now != old {
                let names: Vec<_> = names.iter().map(|name| self.suite.join(name)).collect();
                assert!(gpgv(&keyring(&self.place), &names).contains("GOODSIG"), "{names:?} is neither old nor new");
            }
        }
    }

    /// Recovers; then both files are the old ones, or both are new and belong to each other. Whether they are new.
    #[track_caller]
    fn recovers(&self, before: &Pair) -> bool {
        self.each_is_whole(before);
        self.place.keyctl(&["recover"]).ok();
        self.each_is_whole(before);
        let changed: Vec<_> = self.pair().iter().zip(before).map(|(now, old)| now != old).collect();
        assert!(changed[0] == changed[1], "one is old and one is new: {changed:?}");
        nothing_is_left(&self.place);
        changed[0]
    }

    fn unsign(&self) {
        for name in ["InRelease", "Release.gpg"] {
            let _ = fs::remove_file(self.suite.join(name));
        }
    }
}

/// Kills at each step in turn, until the signing gets through; what was there before is given anew each time. How often
/// the old files were there after `recover`, and how often the new ones.
fn at_every_step(scene: &Scene, prepare: impl Fn()) -> [u32; 2] {
    let mut kept = [0, 0];
    for step in 1.. {
        prepare();
        let before = scene.pair();
        if let Some(ran) = scene.dies_at(step) {
            ran.ok();
            println!("{} steps, {kept:?} with the old files and with the new ones", step - 1);
            return kept;
        }
        let is_new = scene.recovers(&before);
        kept[usize::from(is_new)] += 1;
        assert!(kept[1] == 0 || is_new, "step {step}: once they are the new ones, they are so at every later step");
        assert!(step < 200, "it never gets through");
    }
    kept
}

#[test]
fn a_signing_that_dies_at_any_step_is_finished_or_taken_back() {
    let scene = Scene::new();
    let [old, new] = at_every_step(&scene, || scene.unsign());
    // New files of both, their syncs, the journal; then two renames and the tidying up.
    assert!(old >= 6 && new >= 6, "{old} {new}");
    let [old, new] = at_every_step(&scene, || drop(scene.place.keyctl(&["sign", text(&scene.suite)]).ok()));
    assert!(old >= 10 && new >= 6, "{old} {new}");
    all_accept(&scene.place, &scene.archive, &keyring(&scene.place), 1);
    scene.place.keyctl(&["verify", text(&scene.archive)]).ok();
    scene.place.keyctl(&["recover"]).ok().says("nothing was interrupted");
    scene.place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_signing_that_died_behind_its_files_gets_its_evidence_from_recover_or_from_the_same_command() {
    let scene = Scene::new();
    let mut adopted = [0, 0];
    for step in 1.. {
        scene.unsign();
        let id = format!("job-{step}");
        if !scene.job_dies_at(&id, step) {
            break;
        }
        let died = scene.pair();
        if step % 2 == 0 {
            let rows = scene.place.keyctl(&["recover"]).ok().json();
            let is_whole = scene.pair().iter().all(Option::is_some);
            // Intents that nothing came of, of this step or of the one before it, are closed as unknown.
            let ends: Vec<_> =
                rows.iter().filter(|row| row["file"] == text(&scene.suite)).map(|row| &row["result"]).collect();
            assert_eq!(
                ends.iter().filter(|end| **end == "adopted").count(),
                usize::from(is_whole),
                "step {step}: {rows:?}"
            );
            assert!(ends.iter().all(|end| *end == "adopted" || *end == "unknown"), "step {step}: {rows:?}");
            adopted[0] += usize::from(is_whole);
        }
        let row = scene.place.keyctl(&["--correlation-id", &id, "sign", text(&scene.suite)]).ok().one();
        adopted[1] += usize::from(row["result"] == "adopted");
        let now = scene.pair();
        for (now, died) in now.iter().zip(&died) {
            assert!(died.is_none() || now == died, "step {step}: it was signed once more");
        }
        let in_release = keyctl::model::Hash256::of(now[0].as_ref().expect("signed"));
        assert_eq!(row["sha256"], in_release.to_string(), "step {step}");
        scene.place.keyctl(&["verify", row["evidence"].as_str().expect("a path")]).ok();
    }
    assert!(adopted[0] >= 3 && adopted[1] >= 3, "{adopted:?}");
    all_accept(&scene.place, &scene.archive, &keyring(&scene.place), 1);
    scene.place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_signing_that_died_is_continued_by_the_next() {
    let scene = Scene::new();
    for step in 1.. {
        scene.unsign();
        if scene.dies_at(step).is_some() {
            break;
        }
        scene.place.keyctl(&["sign", text(&scene.suite)]).ok();
        scene.place.keyctl(&["verify", text(&scene.suite)]).ok();
        let left = |entry: fs::DirEntry| entry.file_name().to_string_lossy().contains("keyctl").then(|| entry.path());
        let left: Vec<_> =
            fs::read_dir(&scene.suite).expect("a folder").filter_map(|e| left(e.expect("entry"))).collect();
        assert!(left.is_empty(), "step {step}: {left:?}");
    }
    scene.place.keyctl(&["recover"]).ok();
    all_accept(&scene.place, &scene.archive, &keyring(&scene.place), 1);
    scene.place.keyctl(&["audit", "log"]).ok();
}

/// A new Release came before anybody recovered: signatures over the one that is gone are not put in place.
#[test]
fn signatures_over_a_release_that_moved_on_are_taken_back() {
    let scene = Scene::new();
    scene.place.keyctl(&["sign", text(&scene.suite)]).ok();
    let old = scene.pair();
    let release = fs::read_to_string(scene.suite.join("Release")).expect("Release");
    let (mut taken_back, mut between) = (0, 0);
    for step in 1.. {
        for (name, bytes) in ["InRelease", "Release.gpg"].iter().zip(&old) {
            fs::write(scene.suite.join(name), bytes.as_ref().expect("signed")).expect("written");
        }
        fs::write(scene.suite.join("Release"), &release).expect("written");
        if scene.dies_at(step).is_some() {
            break;
        }
        between += u32::from(scene.pair()[0] == old[0] && scene.pair()[1] != old[1]);
        if scene.suite.join(".keyctl-place.json").exists() {
            fs::write(scene.suite.join("Release"), release.replace("Suite: stable", "Suite: stable\nLabel: x"))
                .expect("written");
            let row = scene.place.keyctl(&["recover"]).ok().one();
            assert!(row["detail"].as_str().expect("words").contains("are the old ones again"), "{row}");
            assert!(scene.pair() == old, "step {step}");
            taken_back += 1;
        } else {
            scene.place.keyctl(&["recover"]).ok();
        }
        nothing_is_left(&scene.place);
    }
    assert!(taken_back >= 4 && between >= 1, "{taken_back} {between}");
}

#[test]
fn a_signing_that_is_killed_at_any_moment_leaves_a_whole_repository() {
    let scene = Scene::new();
    let args = ["sign", text(&scene.suite)];
    let time = duration(&scene.place, &args);
    let mut cut = 0;
    for (round, after) in moments(time, 16).enumerate() {
        if round % 2 == 0 {
            scene.unsign();
        }
        let before = scene.pair();
        cut += u32::from(killed(&scene.place, &args, after).is_none());
        let is_new = scene.recovers(&before);
        println!("killed after {after:?} of {time:?}: {}", if is_new { "new" } else { "old" });
        scene.place.keyctl(&args).ok();
    }
    assert!(cut >= 8, "only {cut} runs were killed");
    all_accept(&scene.place, &scene.archive, &keyring(&scene.place), 1);
}

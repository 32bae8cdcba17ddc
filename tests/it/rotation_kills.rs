//! Rotations that are killed at every moment at which something becomes durable, and at others in between.

use crate::interruption::nothing_is_left;
use crate::rotation::{are, states};
use crate::support::{Place, Ran, ran, real_pe_files, tool};
use crate::tokens::dying_library;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A sandbox to which a place returns before each try.
struct Scene {
    place: Place,
}

impl Scene {
    fn new() -> Self {
        let scene = Scene { place: Place::with_sandbox() };
        scene.copy(".keyctl-sandbox", "base");
        scene.copy("state", "base-state");
        scene
    }

    fn copy(&self, from: &str, to: &str) {
        let _ = std::fs::remove_dir_all(self.place.path(to));
        let copied = tool("cp").arg("-a").arg(self.place.path(from)).arg(self.place.path(to)).status();
        assert!(copied.expect("cp").success());
    }

    fn again(&self) {
        self.copy("base", ".keyctl-sandbox");
        self.copy("base-state", "state");
    }

    /// Rotates, and dies before this step; `None` if it died.
    fn dies_at(&self, key: &str, kind: &str, step: u32) -> Option<Ran> {
        let mut command = self.place.command(&rotate(key));
        command.env("LD_PRELOAD", dying_library()).env("DYING_PATH", ".keyctl-sandbox");
        command.env("DYING_KIND", kind).env("DYING_AT", step.to_string());
        let ran = ran(command.output().expect("the binary runs"));
        (ran.code != -1).then_some(ran)
    }

    fn count(&self, sql: &str) -> u64 {
        self.place.sql(sql).parse().expect("a number")
    }

    /// Private keys on all tokens, counted without keyctl.
    fn private_keys(&self) -> u64 {
        let one = |token: &str| {
            let database = self.place.workspace().join("tokens").join(token).join("token.sql");
            let sql = "SELECT count(*) FROM objects WHERE attr = 0 AND val = 3";
            let output = tool("sqlite3").arg(database).arg(sql).output().expect("sqlite3");
            String::from_utf8_lossy(&output.stdout).trim().parse::<u64>().expect("a number")
        };
        ["root", "issuing", "primary"].into_iter().map(one).sum()
    }

    /// Somebody signs, whatever happened.
    #[track_caller]
    fn one_is_active(&self, key: &str) {
        let active = states(&self.place, key).into_values().filter(|state| state == "active").count();
        assert_eq!(active, 1, "{:?}", states(&self.place, key));
    }

    #[track_caller]
    fn rotated(&self, key: &str, keys_before: u64) {
        are(&self.place, key, &["retiring", "active"]);
        assert_eq!(self.private_keys(), keys_before + 1, "no second key");
        assert_eq!(self.count("SELECT count(*) FROM intents WHERE outcome IS NULL"), 0);
        assert_eq!(self.count(&format!("SELECT count(*) FROM rotations WHERE key = '{key}'")), 1);
        self.place.keyctl(&["audit", "log"]).ok();
        nothing_is_left(&self.place);
    }

    fn works(&self) {
        self.place.copy(&real_pe_files()[3], "app.exe");
        self.place.keyctl(&["sign", "app.exe"]).ok();
        self.place.keyctl(&["verify", "app.exe"]).ok();
    }
}

fn rotate(key: &str) -> [&str; 5] {
    ["--correlation-id", "rotation-1", "rotate", key, "--now"]
}

/// How many serial numbers a rotation reserves: for its certificate, and for a root's two links.
fn serials(key: &str) -> u64 {
    match key {
        "root" => 3,
        "windows" => 1,
        _ => 0,
    }
}

#[test]
fn wherever_a_rotation_dies_repeating_it_gives_one_successor_with_the_same_serials() {
    let scene = Scene::new();
    let (keys, reserved) = (scene.private_keys(), scene.count("SELECT count(*) FROM serials"));
    for key in ["windows", "root", "apt"] {
        let mut deaths = 0;
        for step in 1.. {
            assert!(step < 100, "it never gets through");
            scene.again();
            let died = scene.dies_at(key, "sync", step).is_none();
            if !died {
                break;
            }
            deaths += 1;
            scene.one_is_active(key);
            let row = scene.place.keyctl(&rotate(key)).ok().one();
            assert_eq!(row["generation"], format!("{key}/2"), "{key}, step {step}");
            scene.rotated(key, keys);
            assert_eq!(scene.count("SELECT count(*) FROM serials"), reserved + serials(key), "{key}, step {step}");
            let path = row["evidence"].as_str().expect("a path").to_owned();
            scene.place.keyctl(&["verify", &path]).ok();
            if step % 6 == 0 {
                scene.works();
            }
        }
        println!("{key}: died {deaths} times");
        assert!(deaths >= 20, "{key} died only {deaths} times");
    }
}

#[test]
fn half_a_write_is_no_harm_either() {
    let scene = Scene::new();
    let keys = scene.private_keys();
    let mut deaths = 0;
    // Three hundred and some steps; one of each dozen.
    for step in (0..30u32).map(|n| n * 12 + 1 + (RandomState::new().build_hasher().finish() % 12) as u32) {
        scene.again();
        let died = scene.dies_at("windows", "any", step).is_none();
        println!("step {step}: died: {died}");
        deaths += u32::from(died);
        scene.one_is_active("windows");
        scene.place.keyctl(&rotate("windows")).ok();
        scene.rotated("windows", keys);
    }
    scene.works();
    assert!(deaths >= 20, "{deaths}");
}

#[test]
fn recover_in_between_loses_nothing_and_the_rotation_still_gets_there() {
    let scene = Scene::new();
    let keys = scene.private_keys();
    for step in (1..24).step_by(2) {
        scene.again();
        assert!(scene.dies_at("windows", "sync", step).is_none(), "step {step}");
        scene.place.keyctl(&["recover"]).ok();
        scene.one_is_active("windows");
        // The old key, or the new one, signs again.
        scene.works();
        scene.place.keyctl(&["rotate", "windows", "--correlation-id", "rotation-1", "--now"]).ok();
        scene.rotated("windows", keys);
        // A serial number that nobody can account for stays reserved.
        let issued = "SELECT count(*) FROM intents WHERE type = 'CERTIFICATE_ISSUED'";
        let links = "SELECT count(*) FROM intents WHERE type = 'ROOTS_LINKED'";
        let asked = scene.count(issued) + scene.count(links);
        assert_eq!(scene.count("SELECT count(*) FROM serials"), asked, "step {step}");
    }
}

#[test]
fn a_rotation_that_dies_again_and_again_gets_there() {
    let scene = Scene::new();
    let keys = scene.private_keys();
    for key in ["root", "windows-ca", "apt-root"] {
        scene.again();
        let mut deaths = 0;
        // A little further each time.
        for step in 3.. {
            assert!(step < 100, "it gets nowhere");
            if scene.dies_at(key, "sync", step).is_some_and(|ran| ran.code == 0) {
                break;
            }
            scene.one_is_active(key);
            deaths += 1;
        }
        println!("{key}: {deaths} runs died");
        assert!(deaths >= 2, "{key}: {deaths}");
        scene.place.keyctl(&rotate(key)).ok();
        scene.rotated(key, keys);
    }
}

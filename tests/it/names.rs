//! Names are compared as names, whatever their spelling, and what was given and not used is said.

use crate::support::{Place, corpus};

struct Scene {
    place: Place,
    folder: std::path::PathBuf,
}

impl Scene {
    fn new() -> Option<Self> {
        let folder = corpus("names in several spellings")?.join("failing/x509");
        Some(Scene { place: Place::new(), folder })
    }

    fn verify(&self, more: &[(&str, &str)]) -> crate::support::Ran {
        let file = self.folder.join("s.exe");
        let mut args = vec!["verify".to_owned(), file.to_str().expect("UTF-8").to_owned()];
        for (flag, name) in more {
            args.extend([(*flag).to_owned(), self.folder.join(name).to_str().expect("UTF-8").to_owned()]);
        }
        self.place.keyctl(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

#[test]
fn a_list_and_a_root_count_in_every_spelling_of_their_name() {
    let Some(scene) = Scene::new() else { return };
    for root in ["ca.pem", "ca-printable.pem"] {
        let ran = scene.verify(&[("--roots", root)]).ok();
        assert!(!ran.stderr.contains("not used"), "{}", ran.stderr);
        for list in ["crl-utf8.pem", "crl-printable.pem"] {
            let row = scene.verify(&[("--roots", root), ("--crl", list)]).exits(6).one();
            assert_eq!(row["verdict"], "revoked", "{root} {list}: {row}");
        }
    }
    scene.verify(&[("--roots", "ca.pem"), ("--roots", "neg.pem")]).ok();
}

#[test]
fn what_was_given_and_not_used_is_said() {
    let Some(scene) = Scene::new() else { return };
    let place = Place::with_sandbox();
    place.keyctl(&["crl", "root"]).ok();
    let list = place.published("crl/root-1.crl");
    let list = list.to_str().expect("UTF-8");
    let ran = scene.verify(&[("--roots", "ca.pem"), ("--crl", list)]).ok();
    assert!(ran.stderr.contains("root-1.crl") && ran.stderr.contains("not used"), "{}", ran.stderr);
    let root = place.published("certs/root-1.pem");
    let root = root.to_str().expect("UTF-8");
    let ran = scene.verify(&[("--roots", "ca.pem"), ("--roots", root)]).ok();
    assert!(ran.stderr.contains("root-1.pem") && ran.stderr.contains("not used"), "{}", ran.stderr);
}

/// A whole store of roots, as systems have them, and longer.
#[test]
fn a_file_of_roots_may_be_of_any_length() {
    let Some(scene) = Scene::new() else { return };
    let others = std::fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").expect("the system's roots");
    let ours = std::fs::read_to_string(scene.folder.join("ca.pem")).expect("a root");
    let store = scene.place.path("store.pem");
    std::fs::write(&store, [others.repeat(12), ours].concat()).expect("written");
    let ran = scene.verify(&[("--roots", store.to_str().expect("UTF-8"))]).ok();
    assert!(!ran.stderr.contains("not used"), "{}", ran.stderr);
}

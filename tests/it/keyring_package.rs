//! The keyring package of an APT key, in the hands of lintian, dpkg and apt.

use crate::apt::{said, text};
use crate::support::{Place, tool};
use std::fs;
use std::path::{Path, PathBuf};

/// Builds the package as it is published now; gives the file and its version.
fn built(place: &Place, name: &str) -> (PathBuf, String) {
    let deb = place.path(format!("pool/{name}.deb"));
    fs::create_dir_all(deb.parent().expect("a folder")).expect("a folder");
    let tree = place.published("apt/apt-keyring");
    let (good, words) = said(tool("dpkg-deb").args(["--root-owner-group", "--build"]).arg(&tree).arg(&deb));
    assert!(good, "{words}");
    let (_, version) = said(tool("dpkg-deb").arg("--field").arg(&deb).arg("Version"));
    (deb, version.trim().to_owned())
}

fn is_later(later: &str, earlier: &str) -> bool {
    said(tool("dpkg").args(["--compare-versions", later, "gt", earlier])).0
}

/// A machine of its own: dpkg and apt keep everything in a folder.
struct Machine {
    root: PathBuf,
    settings: PathBuf,
}

impl Machine {
    fn new(place: &Place) -> Self {
        let root = place.path("machine").join("");
        for folder in [
            "etc/apt/sources.list.d",
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "var/log/apt",
            "var/lib/dpkg/info",
            "var/lib/dpkg/updates",
            "var/lib/dpkg/triggers",
        ] {
            fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        fs::write(root.join("var/lib/dpkg/status"), "").expect("written");
        let pool = place.path("pool").canonicalize().expect("a pool");
        let sources = format!("deb [trusted=yes] file:{} ./\n", pool.display());
        fs::write(root.join("etc/apt/sources.list.d/own.list"), sources).expect("written");
        let shown = root.canonicalize().expect("a root").display().to_string();
        let settings = root.join("apt.conf");
        let text = format!(
            "Dir \"{shown}\";\nDir::State::status \"{shown}/var/lib/dpkg/status\";\nAPT::Architecture \"amd64\";\n\
             APT::Architectures \"amd64\";\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n\
             Dir::Bin::dpkg \"/usr/bin/dpkg\";\nDPkg::Options {{ \"--root={shown}\"; \"--force-not-root\"; \"--log=/dev/null\"; }};\n"
        );
        fs::write(&settings, text).expect("written");
        Machine { root, settings }
    }

    /// `apt-get` on that machine.
    fn apt(&self, args: &[&str]) -> String {
        let (good, words) = said(tool("apt-get").args(args).env("APT_CONFIG", &self.settings));
        assert!(good, "{args:?}: {words}");
        words
    }

    fn keyring(&self) -> Vec<u8> {
        fs::read(self.root.join("usr/share/keyrings/apt-keyring.pgp")).expect("installed")
    }
}

/// The pool's index, as `dpkg-scanpackages` makes it.
fn index(place: &Place) {
    let packages = tool("dpkg-scanpackages").args(["-m", "."]).current_dir(place.path("pool")).output().expect("runs");
    assert!(packages.status.success());
    fs::write(place.path("pool/Packages"), packages.stdout).expect("written");
}

#[test]
fn apt_upgrades_to_the_keyring_that_says_a_key_is_revoked() {
    let place = Place::with_sandbox();
    let published = || fs::read(place.published("apt/apt.pgp")).expect("a keyring");
    let (_, first) = built(&place, "first");
    index(&place);
    let machine = Machine::new(&place);
    machine.apt(&["update"]);
    machine.apt(&["-y", "install", "apt-keyring"]);
    let before = published();
    assert_eq!(machine.keyring(), before);
    // Nothing is added but the revocation, on the same day.
    place.keyctl(&["--yes", "revoke", "apt/1", "--reason", "keyCompromise"]).ok();
    assert_ne!(published(), before);
    let (_, second) = built(&place, "second");
    assert!(is_later(&second, &first), "{second} after {first}");
    index(&place);
    machine.apt(&["update"]);
    machine.apt(&["-y", "upgrade"]);
    assert_eq!(machine.keyring(), published());
    // Nothing new: the same version.
    place.keyctl(&["recover"]).ok();
    assert_eq!(built(&place, "third").1, second);
}

#[test]
fn lintian_finds_no_error_in_the_package() {
    let place = Place::with_sandbox();
    let (deb, _) = built(&place, "apt-keyring");
    let (good, words) = said(tool("lintian").args(["--allow-root", "--no-cfg", "--fail-on", "error", text(&deb)]));
    assert!(good && !words.contains("E: "), "{words}");
    // It is gzip for others too.
    let changelog = place.published("apt/apt-keyring/usr/share/doc/apt-keyring/changelog.gz");
    let (good, words) = said(tool("gzip").args(["-dc", text(Path::new(&changelog))]));
    assert!(good && words.starts_with("apt-keyring ("), "{words}");
}

//! Keys, a repository, and the programs to ask about them.

use crate::clock::{Clock, Time};
use crate::formats::apt::Repository;
use crate::formats::apt::sign::{Signed, prepare};
use crate::model::{HashAlgorithm, KeyAlgorithm, hex};
use crate::pki::openpgp::certificate::{Certificate, SigningKeyInfo};
use crate::pki::openpgp::make::{Made, NewCertificate, NewSubkey};
use crate::pki::openpgp::testkeys::TestKey;
use crate::pki::openpgp::{DigestSigner, change, make};
use chrono::TimeDelta;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// A certificate with the keys behind it.
pub struct Keys {
    pub primary: TestKey,
    pub subkeys: Vec<TestKey>,
    pub infos: Vec<NewSubkey>,
    pub made: Made,
    pub certificate: Certificate,
}

/// Days from when the tests began, in real time, since the programs of clients read the system's clock.
pub fn days(days: i64) -> Time {
    static BEGIN: OnceLock<Time> = OnceLock::new();
    *BEGIN.get_or_init(|| Clock::system().now()) + TimeDelta::days(days)
}

impl Keys {
    /// Made ten days ago, with one signing subkey that lasts for eighty more.
    pub fn new(primary: KeyAlgorithm, subkey: KeyAlgorithm) -> Self {
        Self::at(primary, subkey, days(-10), days(80))
    }

    pub fn at(primary: KeyAlgorithm, subkey: KeyAlgorithm, created: Time, expires: Time) -> Self {
        let (primary, subkey) = (TestKey::new(primary), TestKey::new(subkey));
        let info = NewSubkey { key: subkey.dated(created), expires: Some(expires) };
        let new = NewCertificate {
            primary: primary.dated(created),
            user_id: "Test Archive <archive@example.org>".into(),
            expires: Some(created + TimeDelta::days(1000)),
            subkeys: vec![info.clone()],
            at: created,
        };
        let made = make::prepare(&new).unwrap().sign(&[&primary, &subkey]).unwrap();
        let certificate = made.certificate.clone();
        Keys { primary, subkeys: vec![subkey], infos: vec![info], made, certificate }
    }

    pub fn add(&mut self, algorithm: KeyAlgorithm, at: Time, expires: Time) {
        let key = TestKey::new(algorithm);
        let info = NewSubkey { key: key.dated(at), expires: Some(expires) };
        let prepared = change::add_subkey(&self.certificate, &info, at).unwrap();
        self.certificate = prepared.sign(&[&self.primary, &key]).unwrap();
        self.subkeys.push(key);
        self.infos.push(info);
    }

    pub fn signer(&self, index: usize, at: Time) -> SigningKeyInfo {
        self.certificate.signing_key(&self.infos[index].key.fingerprint().unwrap(), at).unwrap()
    }

    pub fn sign(&self, repository: &Path, which: &[usize], at: Time) -> Signed {
        let signers: Vec<_> = which.iter().map(|&index| self.signer(index, at)).collect();
        let keys: Vec<&dyn DigestSigner> = which.iter().map(|&index| &self.subkeys[index] as _).collect();
        prepare(&Repository::open(repository).unwrap(), &signers, at).unwrap().sign(&keys).unwrap()
    }

    /// Signs and writes both files, without the care that placing takes.
    pub fn sign_here(&self, repository: &Path, which: &[usize], at: Time) {
        let signed = self.sign(repository, which, at);
        fs::write(repository.join("InRelease"), signed.in_release).unwrap();
        fs::write(repository.join("Release.gpg"), signed.release_gpg).unwrap();
    }
}

/// An archive in a temporary folder.
pub struct Archive {
    pub dir: tempfile::TempDir,
}

impl Archive {
    /// With one index, written by hand.
    pub fn new(date: Time) -> Self {
        let archive = Archive { dir: tempfile::tempdir().unwrap() };
        let index = archive.suite().join("main/binary-amd64");
        fs::create_dir_all(&index).unwrap();
        fs::write(index.join("Packages"), package()).unwrap();
        archive.write_release(date, "");
        archive
    }

    /// `dists/stable`.
    pub fn suite(&self) -> PathBuf {
        self.dir.path().join("dists/stable")
    }

    pub fn write_release(&self, date: Time, more: &str) {
        let hash = hex(&HashAlgorithm::Sha256.digest(package().as_bytes()));
        let text = format!(
            "Origin: Test\nSuite: stable\nCodename: stable\nDate: {}\n{more}Architectures: amd64\nComponents: main\n\
             SHA256:\n {hash} {} main/binary-amd64/Packages\n",
            rfc2822(date),
            package().len()
        );
        fs::write(self.suite().join("Release"), text).unwrap();
    }
}

/// A Packages file with one entry that nobody fetches.
fn package() -> String {
    let hash = hex(&HashAlgorithm::Sha256.digest(b""));
    format!(
        "Package: hello-test\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@example.org>\n\
         Filename: pool/hello-test_1.0_all.deb\nSize: 0\nSHA256: {hash}\nDescription: test\n\n"
    )
}

pub fn rfc2822(time: Time) -> String {
    time.format("%a, %d %b %Y %H:%M:%S UTC").to_string()
}

/// Whether a program is installed; says so when not, so that nobody takes a skipped test for a passed one.
pub fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

pub fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).env("LC_ALL", "C").output().unwrap()
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

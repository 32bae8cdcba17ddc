//! What gpgv, sqv, gpg, debootstrap's way of reading, apt and dpkg say about what we make.

use super::scene::{Archive, Keys, days, has, run, text};
use crate::formats::apt::cleartext::split;
use crate::formats::apt::published::{self, SignedBy, Source};
use crate::model::KeyAlgorithm;
use crate::pki::openpgp::certificate::Certificate;
use crate::pki::openpgp::change::apply_revocation;
use std::fs;
use std::path::Path;

/// Writes a keyring file and gives its path.
pub fn keyring(dir: &Path, certificate: &Certificate) -> String {
    let path = dir.join("keyring.pgp");
    fs::write(&path, published::keyring(std::slice::from_ref(certificate)).unwrap().binary).unwrap();
    path.to_str().unwrap().to_owned()
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

/// gpgv's status lines; its exit code is not enough, since it prints "Good signature" for revoked keys too.
fn gpgv(keyring: &str, files: &[&str]) -> String {
    text(&run("gpgv", &[&["--status-fd", "1", "--keyring", keyring], files].concat()))
}

fn sqv(keyring: &str, signature: &str, file: &str) -> bool {
    run("sqv", &["--keyring", keyring, signature, file]).status.success()
}

/// InRelease as debootstrap reads it: cut in two, and verified as a detached signature over the text.
fn cut(suite: &Path) -> (String, String) {
    let split = split(&fs::read(suite.join("InRelease")).unwrap()).unwrap();
    fs::write(suite.join("cut.text"), split.text).unwrap();
    fs::write(suite.join("cut.sig"), split.signature).unwrap();
    (path(suite, "cut.sig"), path(suite, "cut.text"))
}

fn all_accept(suite: &Path, keyring: &str, what: &str) {
    let (signature, text) = cut(suite);
    let (release_gpg, release) = (path(suite, "Release.gpg"), path(suite, "Release"));
    for files in [&[path(suite, "InRelease").as_str()][..], &[&release_gpg, &release], &[&signature, &text]] {
        let status = gpgv(keyring, files);
        assert!(status.contains("GOODSIG") && status.contains("VALIDSIG"), "{what} {files:?}: {status}");
    }
    if has("sqv") {
        assert!(sqv(keyring, &release_gpg, &release), "{what}");
        assert!(sqv(keyring, &signature, &text), "{what}");
    }
}

#[test]
fn gpgv_and_sqv_accept_every_algorithm_and_refuse_a_changed_byte() {
    if !has("gpgv") || !has("sqv") {
        return;
    }
    for (primary, subkey) in [
        (KeyAlgorithm::Rsa3072, KeyAlgorithm::Rsa3072),
        (KeyAlgorithm::EcdsaP384, KeyAlgorithm::EcdsaP384),
        (KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP256),
        (KeyAlgorithm::Ed25519, KeyAlgorithm::Ed25519),
    ] {
        let (archive, keys) = (Archive::new(days(-1)), Keys::new(primary, subkey));
        let suite = archive.suite();
        keys.sign_here(&suite, &[0], days(0));
        let keyring = keyring(archive.dir.path(), &keys.certificate);
        all_accept(&suite, &keyring, subkey.as_str());
        let (release_gpg, release, in_release) =
            (path(&suite, "Release.gpg"), path(&suite, "Release"), path(&suite, "InRelease"));
        for file in [&release, &in_release] {
            let changed = fs::read_to_string(file).unwrap().replacen("Test", "Tesy", 1);
            fs::write(file, changed).unwrap();
        }
        assert!(gpgv(&keyring, &[&in_release]).contains("BADSIG"));
        assert!(gpgv(&keyring, &[&release_gpg, &release]).contains("BADSIG"));
        assert!(!sqv(&keyring, &release_gpg, &release));
        let (signature, text) = cut(&suite);
        assert!(!sqv(&keyring, &signature, &text));
    }
}

#[test]
fn two_signers_with_different_hashes_both_count() {
    if !has("gpgv") {
        return;
    }
    let (archive, mut keys) = (Archive::new(days(-1)), Keys::new(KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP256));
    keys.add(KeyAlgorithm::Ed25519, days(-3), days(90));
    let suite = archive.suite();
    keys.sign_here(&suite, &[0, 1], days(0));
    let keyring = keyring(archive.dir.path(), &keys.certificate);
    all_accept(&suite, &keyring, "both");
    assert_eq!(gpgv(&keyring, &[&path(&suite, "InRelease")]).matches("GOODSIG").count(), 2);
    assert_eq!(gpgv(&keyring, &[&path(&suite, "Release.gpg"), &path(&suite, "Release")]).matches("GOODSIG").count(), 2);
}

#[test]
fn odd_release_files_that_we_sign_verify_everywhere() {
    if !has("gpgv") {
        return;
    }
    let keys = Keys::new(KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP256);
    type Change = fn(Vec<u8>) -> Vec<u8>;
    let odd: [(&str, Change); 4] = [
        ("no final line ending", |mut bytes| {
            bytes.pop();
            bytes
        }),
        ("blank lines at the end", |bytes| [bytes.as_slice(), b"\n\n"].concat()),
        ("a long line", |bytes| [b"X-Long: ", "x".repeat(18_900).as_bytes(), b"\n", &bytes].concat()),
        ("bytes that are no UTF-8", |bytes| [b"X-Latin: gr\xfc\xdfe\n", bytes.as_slice()].concat()),
    ];
    for (what, change) in odd {
        let archive = Archive::new(days(-1));
        let suite = archive.suite();
        let release = change(fs::read(suite.join("Release")).unwrap());
        fs::write(suite.join("Release"), release).unwrap();
        keys.sign_here(&suite, &[0], days(0));
        let keyring = keyring(archive.dir.path(), &keys.certificate);
        all_accept(&suite, &keyring, what);
        if has("apt-get") {
            AptRoot::new(&sources(&archive, SignedBy::Path(&keyring))).update().unwrap();
        }
    }
}

#[test]
fn the_frame_carries_lines_that_must_be_escaped() {
    if !has("gpgv") {
        return;
    }
    use crate::formats::apt::cleartext::write;
    use crate::model::HashAlgorithm;
    use crate::pki::openpgp::certificate::armored;
    use crate::pki::openpgp::document;
    use crate::pki::openpgp::unsigned::{finish_all, sign_all};
    use sequoia_openpgp::{Packet, armor::Kind, serialize::SerializeInto};
    let keys = Keys::new(KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP256);
    let dir = tempfile::tempdir().unwrap();
    let keyring = keyring(dir.path(), &keys.certificate);
    for body in ["-dash\n--\n-", "From me\n\n- x", "-----BEGIN PGP SIGNATURE-----", "a\n\n\n"] {
        let list = [document::text(&keys.signer(0, days(0)), body.as_bytes(), "x", days(0)).unwrap()];
        let packets = finish_all(&list, &sign_all(&list, &[&keys.subkeys[0]]).unwrap()).unwrap();
        let bytes = Packet::from(packets[0].clone()).to_vec().unwrap();
        let signature = armored(Kind::Signature, &[], &bytes).unwrap();
        let file = path(dir.path(), "clear");
        fs::write(&file, write(body.as_bytes(), &[HashAlgorithm::Sha256], &signature)).unwrap();
        let status = gpgv(&keyring, &[&file]);
        assert!(status.contains("GOODSIG"), "{body:?}: {status}");
    }
}

#[test]
fn gpg_imports_the_certificate_and_then_its_revocation() {
    if !has("gpg") {
        return;
    }
    let keys = Keys::new(KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256);
    let dir = tempfile::tempdir().unwrap();
    let home = path(dir.path(), "");
    let gpg = |args: &[&str]| text(&run("gpg", &[&["--homedir", &home, "--batch", "--status-fd", "1"], args].concat()));
    let certificate = path(dir.path(), "key.asc");
    fs::write(&certificate, keys.certificate.to_armored().unwrap()).unwrap();
    let said = gpg(&["--import", &certificate]);
    assert!(said.contains("IMPORT_OK 1"), "{said}");
    let listed = gpg(&["--with-colons", "--check-sigs"]);
    assert!(!listed.contains("sig:-") && listed.contains("sub:u:256") || listed.contains("sub:-:256"), "{listed}");
    let expiry = keys.infos[0].expires.unwrap().timestamp().to_string();
    assert!(listed.lines().any(|line| line.starts_with("sub:") && line.contains(&expiry)), "{listed}");
    let guarded = path(dir.path(), "guarded.asc");
    fs::write(&guarded, keys.made.revocation.guarded()).unwrap();
    assert!(!gpg(&["--import", &guarded]).contains("revocation certificate imported"));
    assert!(!gpg(&["--with-colons", "--list-keys"]).contains("pub:r:"));
    fs::write(&guarded, &keys.made.revocation.armored).unwrap();
    gpg(&["--import", &guarded]);
    assert!(gpg(&["--with-colons", "--list-keys"]).contains("pub:r:"));
}

#[test]
fn gpgv_names_a_revoked_key_and_sqv_refuses_it() {
    if !has("gpgv") || !has("sqv") {
        return;
    }
    let (archive, keys) = (Archive::new(days(-1)), Keys::new(KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP256));
    let suite = archive.suite();
    keys.sign_here(&suite, &[0], days(0));
    let revoked = apply_revocation(&keys.certificate, keys.made.revocation.armored.as_bytes()).unwrap();
    let keyring = keyring(archive.dir.path(), &revoked);
    assert!(gpgv(&keyring, &[&path(&suite, "InRelease")]).contains("REVKEYSIG"));
    assert!(!sqv(&keyring, &path(&suite, "Release.gpg"), &path(&suite, "Release")));
}

/// A private root for apt, so that it neither sees nor changes the machine's.
pub struct AptRoot {
    dir: tempfile::TempDir,
}

impl AptRoot {
    pub fn new(sources: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in [
            "etc/sources.list.d",
            "etc/trusted.gpg.d",
            "etc/apt.conf.d",
            "etc/preferences.d",
            "state/lists/partial",
            "cache/archives/partial",
        ] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("status"), "").unwrap();
        fs::write(dir.path().join("etc/sources.list.d/test.sources"), sources).unwrap();
        // Read before the machine's own settings, which it keeps apt from finding: containers often switch
        // the checks of dates off there.
        let root = dir.path().to_str().unwrap();
        let settings = format!(
            "Dir::Etc \"{root}/etc\";\nDir::State \"{root}/state\";\nDir::State::status \"{root}/status\";\n\
             Dir::Cache \"{root}/cache\";\nAPT::Architecture \"amd64\";\nAPT::Architectures \"amd64\";\n\
             APT::Sandbox::User \"root\";\nAPT::Update::Error-Mode \"any\";\nAcquire::Languages \"none\";\n"
        );
        fs::write(dir.path().join("apt.conf"), settings).unwrap();
        AptRoot { dir }
    }

    /// The arguments of `env` for `apt-get update`, to be run by itself or under a false clock.
    pub fn arguments(&self) -> Vec<String> {
        let settings = self.dir.path().join("apt.conf");
        vec![format!("APT_CONFIG={}", settings.display()), "apt-get".into(), "update".into()]
    }

    /// Runs `apt-get update` and gives what it said when it refused.
    pub fn update(&self) -> Result<(), String> {
        let arguments = self.arguments();
        let output = run("env", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let said = text(&output);
        if output.status.success() && !said.contains("W: ") { Ok(()) } else { Err(said) }
    }
}

pub fn sources(archive: &Archive, signed_by: SignedBy<'_>) -> String {
    let uri = format!("file:{}", archive.dir.path().display());
    let source = Source {
        types: &["deb"],
        uris: &[&uri],
        suites: &["stable"],
        components: &["main"],
        architectures: &["amd64"],
    };
    published::sources(&source, signed_by).unwrap()
}

#[test]
fn apt_updates_from_every_form_of_keyring_and_refuses_tampering() {
    if !has("apt-get") {
        return;
    }
    let (archive, keys) = (Archive::new(days(-1)), Keys::new(KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP256));
    let suite = archive.suite();
    keys.sign_here(&suite, &[0], days(0));
    let binary = keyring(archive.dir.path(), &keys.certificate);
    let forms = published::keyring(std::slice::from_ref(&keys.certificate)).unwrap();
    let asc = path(archive.dir.path(), "keyring.asc");
    fs::write(&asc, &forms.armored).unwrap();
    let inline = sources(&archive, SignedBy::Inline(&forms.armored));
    for sources in [sources(&archive, SignedBy::Path(&binary)), sources(&archive, SignedBy::Path(&asc)), inline] {
        AptRoot::new(&sources).update().unwrap();
    }
    let update = || AptRoot::new(&sources(&archive, SignedBy::Path(&binary))).update();
    let in_release = fs::read(suite.join("InRelease")).unwrap();
    fs::remove_file(suite.join("InRelease")).unwrap();
    update().unwrap();
    let release = fs::read_to_string(suite.join("Release")).unwrap();
    fs::write(suite.join("Release"), release.replacen("Test", "Tesy", 1)).unwrap();
    assert!(update().unwrap_err().contains("BADSIG"));
    fs::write(suite.join("Release"), release).unwrap();
    let changed = String::from_utf8(in_release.clone()).unwrap().replacen("Test", "Tesy", 1);
    fs::write(suite.join("InRelease"), changed).unwrap();
    assert!(update().unwrap_err().contains("BADSIG"));
    fs::write(suite.join("InRelease"), in_release).unwrap();
    let packages = suite.join("main/binary-amd64/Packages");
    let changed = fs::read_to_string(&packages).unwrap().replace("1.0", "1.1");
    fs::write(&packages, changed).unwrap();
    let said = update().unwrap_err();
    assert!(said.contains("Hash Sum mismatch") || said.contains("unexpected size"), "{said}");
    let stranger = Keys::new(KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP256);
    keyring(archive.dir.path(), &stranger.certificate);
    assert!(update().unwrap_err().contains("NO_PUBKEY"));
}

#[test]
fn apt_accepts_a_repository_made_with_apt_ftparchive() {
    if !has("apt-get") || !has("apt-ftparchive") || !has("dpkg-deb") || !has("sh") {
        return;
    }
    let archive = Archive::new(days(-1));
    let keys = Keys::new(KeyAlgorithm::Rsa3072, KeyAlgorithm::Rsa3072);
    let script = "set -e; cd \"$0\"; rm -r dists/stable/Release; mkdir -p pool d/DEBIAN; \
        printf 'Package: hello-x\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: A <a@example.org>\\n\
Description: x\\n' > d/DEBIAN/control; dpkg-deb --root-owner-group --build d pool/hello-x_1.0_all.deb; \
        apt-ftparchive packages pool > dists/stable/main/binary-amd64/Packages; \
        gzip -k dists/stable/main/binary-amd64/Packages; xz -k dists/stable/main/binary-amd64/Packages; \
        apt-ftparchive -o APT::FTPArchive::Release::Suite=stable -o APT::FTPArchive::Release::Codename=stable \
        -o APT::FTPArchive::Release::Architectures=amd64 -o APT::FTPArchive::Release::Components=main \
        release dists/stable > Release.new; mv Release.new dists/stable/Release; \
        rm dists/stable/main/binary-amd64/Packages";
    let made = run("sh", &["-c", script, archive.dir.path().to_str().unwrap()]);
    assert!(made.status.success(), "{}", text(&made));
    keys.sign_here(&archive.suite(), &[0], days(0));
    let keyring = keyring(archive.dir.path(), &keys.certificate);
    AptRoot::new(&sources(&archive, SignedBy::Path(&keyring))).update().unwrap();
    let report = crate::formats::apt::verify::verify(&archive.suite(), &[keys.certificate], days(0)).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.indexes.unwrap().only_compressed, ["main/binary-amd64/Packages"]);
}

/// Makes `hello-x_1.0_all.deb` in the folder `$0`.
const PACKAGE: &str = "set -e; cd \"$0\"; mkdir -p d/DEBIAN; printf 'Package: hello-x\\nVersion: 1.0\\n\
    Architecture: all\\nMaintainer: A <a@example.org>\\nSection: misc\\nPriority: optional\\nDescription: x\\n' \
    > d/DEBIAN/control; dpkg-deb --root-owner-group --build d hello-x_1.0_all.deb;";

#[test]
fn repositories_made_by_reprepro_and_aptly_are_signed_and_accepted() {
    if !has("apt-get") || !has("dpkg-deb") || !has("sh") {
        return;
    }
    let reprepro = "rm -r dists; mkdir conf; printf 'Origin: X\\nCodename: stable\\nArchitectures: amd64 source\\n\
        Components: main\\nDescription: test\\nValidFor: 30d\\n' > conf/distributions; \
        reprepro -b . includedeb stable hello-x_1.0_all.deb";
    let aptly = "rm -r dists; printf '{\"rootDir\":\"%s\",\"gpgDisableSign\":true,\"architectures\":[\"amd64\"]}' \
        \"$0\" > a.conf; aptly -config=a.conf repo create r; aptly -config=a.conf repo add r hello-x_1.0_all.deb; \
        aptly -config=a.conf -skip-signing -distribution=stable publish repo r; mv public/dists .";
    let keys = Keys::new(KeyAlgorithm::EcdsaP256, KeyAlgorithm::Ed25519);
    for (program, script) in [("reprepro", reprepro), ("aptly", aptly)] {
        if !has(program) {
            continue;
        }
        let archive = Archive::new(days(-1));
        let script = format!("{PACKAGE} {script}");
        let made = run("sh", &["-c", &script, archive.dir.path().to_str().unwrap()]);
        assert!(made.status.success(), "{program}: {}", text(&made));
        // Its Date is later than the moment when the tests began.
        keys.sign_here(&archive.suite(), &[0], crate::clock::Clock::system().now());
        let keyring = keyring(archive.dir.path(), &keys.certificate);
        AptRoot::new(&sources(&archive, SignedBy::Path(&keyring))).update().unwrap();
        let now = crate::clock::Clock::system().now();
        let report =
            crate::formats::apt::verify::verify(&archive.suite(), std::slice::from_ref(&keys.certificate), now)
                .unwrap();
        assert!(report.is_clean(), "{program}: {report:?}");
    }
}

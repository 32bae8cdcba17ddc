//! APT repositories through the binary, and what the programs of clients say of them.

use crate::support::{Place, Ran, corpus, flip, ran, real_pe_files, tool};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes `hello-x_1.0_all.deb` in the folder `$0`.
const PACKAGE: &str = "set -e; mkdir -p \"$0\"; cd \"$0\"; mkdir -p d/DEBIAN pool; printf 'Package: hello-x\\nVersion: 1.0\\n\
    Architecture: all\\nMaintainer: A <a@example.org>\\nSection: misc\\nPriority: optional\\nDescription: x\\n' \
    > d/DEBIAN/control; dpkg-deb --root-owner-group --build d pool/hello-x_1.0_all.deb >&2;";

pub const FTPARCHIVE: &str = "mkdir -p dists/stable/main/binary-amd64; \
    apt-ftparchive packages pool > dists/stable/main/binary-amd64/Packages; gzip -kn dists/stable/main/binary-amd64/Packages; \
    printf 'Archive: stable\\nComponent: main\\nArchitecture: amd64\\n' > dists/stable/main/binary-amd64/Release; \
    apt-ftparchive -o APT::FTPArchive::Release::Suite=stable -o APT::FTPArchive::Release::Codename=stable \
    -o APT::FTPArchive::Release::Architectures=amd64 -o APT::FTPArchive::Release::Components=main \
    release dists/stable > Release.new; mv Release.new dists/stable/Release";

const REPREPRO: &str = "mkdir conf; printf 'Origin: X\\nCodename: stable\\nArchitectures: amd64 source\\n\
    Components: main\\nDescription: test\\nValidFor: 30d\\n' > conf/distributions; \
    reprepro -b . includedeb stable pool/hello-x_1.0_all.deb >&2";

const APTLY: &str = "printf '{\"rootDir\":\"%s\",\"gpgDisableSign\":true,\"architectures\":[\"amd64\"]}' \"$PWD\" > a.conf; \
    aptly -config=a.conf repo create r >&2; aptly -config=a.conf repo add r pool/hello-x_1.0_all.deb >&2; \
    aptly -config=a.conf -skip-signing -distribution=stable publish repo r >&2; rm -r pool; mv public/pool public/dists .";

/// An archive, made by the programs that people make archives with.
pub fn archive(place: &Place, name: &str, how: &str) -> PathBuf {
    for program in ["dpkg-deb", "apt-ftparchive", "reprepro", "aptly"] {
        tool(program);
    }
    let dir = place.path(name);
    let made = Command::new("sh").arg("-c").arg(format!("{PACKAGE} {how}")).arg(&dir).output().unwrap();
    assert!(made.status.success(), "{name}: {}", String::from_utf8_lossy(&made.stderr));
    dir
}

pub fn suite(archive: &Path) -> PathBuf {
    archive.join("dists/stable")
}

pub fn keyring(place: &Place) -> PathBuf {
    place.workspace().join("published/apt/apt.pgp")
}

pub fn said(command: &mut Command) -> (bool, String) {
    let output = command.env("LC_ALL", "C").output().expect("the program runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// gpgv's status lines: it prints "Good signature" for revoked keys too.
pub fn gpgv(keyring: &Path, files: &[PathBuf]) -> String {
    said(tool("gpgv").args(["--status-fd", "1", "--keyring"]).arg(keyring).args(files)).1
}

pub fn sqv(keyring: &Path, signature: &Path, file: &Path) -> bool {
    said(tool("sqv").arg("--keyring").arg(keyring).args([signature, file])).0
}

/// InRelease as debootstrap reads it: the text cut out, its last line ending with the frame, and the signature.
fn cut(suite: &Path) -> (PathBuf, PathBuf) {
    let whole = fs::read_to_string(suite.join("InRelease")).unwrap();
    let (head, signature) = whole.split_once("-----BEGIN PGP SIGNATURE-----").unwrap();
    let (_, text) = head.split_once("\n\n").unwrap();
    let (to_text, to_signature) = (suite.join("cut.text"), suite.join("cut.sig"));
    fs::write(&to_text, text.strip_suffix('\n').unwrap()).unwrap();
    fs::write(&to_signature, format!("-----BEGIN PGP SIGNATURE-----{signature}")).unwrap();
    (to_signature, to_text)
}

/// `apt-get update` in a root of its own. The settings of the machine are kept away: containers often switch the
/// checks of dates off there.
pub fn apt_update(place: &Place, archive: &Path, keyring: &Path) -> Result<(), String> {
    let root = tempfile::TempDir::new_in(place.path(".")).unwrap();
    let path = root.path().canonicalize().unwrap();
    for folder in
        ["etc/sources.list.d", "etc/apt.conf.d", "etc/preferences.d", "state/lists/partial", "cache/archives/partial"]
    {
        fs::create_dir_all(path.join(folder)).unwrap();
    }
    fs::write(path.join("status"), "").unwrap();
    let archive = archive.canonicalize().unwrap();
    let sources = format!(
        "Types: deb\nURIs: file:{}\nSuites: stable\nComponents: main\nArchitectures: amd64\nSigned-By: {}\n",
        archive.display(),
        keyring.display()
    );
    fs::write(path.join("etc/sources.list.d/test.sources"), sources).unwrap();
    let root = path.display();
    let settings = format!(
        "Dir::Etc \"{root}/etc\";\nDir::State \"{root}/state\";\nDir::State::status \"{root}/status\";\n\
         Dir::Cache \"{root}/cache\";\nAPT::Architecture \"amd64\";\nAPT::Architectures \"amd64\";\n\
         APT::Sandbox::User \"root\";\nAPT::Update::Error-Mode \"any\";\nAcquire::Languages \"none\";\n"
    );
    fs::write(path.join("apt.conf"), settings).unwrap();
    let (good, text) = said(tool("apt-get").arg("update").env("APT_CONFIG", path.join("apt.conf")));
    if good && !text.contains("W: ") { Ok(()) } else { Err(text) }
}

#[track_caller]
pub fn all_accept(place: &Place, archive: &Path, keyring: &Path, signatures: usize) {
    let suite = suite(archive);
    let (release_gpg, release) = (suite.join("Release.gpg"), suite.join("Release"));
    let (signature, text) = cut(&suite);
    let ways = [
        vec![suite.join("InRelease")],
        vec![release_gpg.clone(), release.clone()],
        vec![signature.clone(), text.clone()],
    ];
    for files in ways {
        let status = gpgv(keyring, &files);
        assert_eq!(status.matches("GOODSIG").count(), signatures, "{files:?}: {status}");
        assert_eq!(status.matches("VALIDSIG").count(), signatures, "{files:?}: {status}");
    }
    assert!(sqv(keyring, &release_gpg, &release) && sqv(keyring, &signature, &text));
    fs::remove_file(signature).unwrap();
    fs::remove_file(text).unwrap();
    apt_update(place, archive, keyring).unwrap();
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn repositories_of_three_makers_are_signed_beside_a_file_and_every_client_accepts_them() {
    let place = Place::with_sandbox();
    let archives = [("ftp", FTPARCHIVE), ("reprepro", REPREPRO), ("aptly", APTLY)];
    let archives = archives.map(|(name, how)| archive(&place, name, how));
    let exe = place.copy(&real_pe_files()[0], "app.exe");
    let mut args = vec!["sign", "app.exe"];
    args.extend(archives.iter().map(|archive| text(archive)));
    let rows = place.keyctl(&args).ok().json();
    assert_eq!(rows.len(), 4);
    let generations: Vec<_> = rows.iter().map(|row| row["generation"].as_str().unwrap()).collect();
    assert_eq!(generations, ["windows/1", "apt/1", "apt/1", "apt/1"]);
    for (archive, row) in archives.iter().zip(&rows[1..]) {
        all_accept(&place, archive, &keyring(&place), 1);
        let verdict = &place.keyctl(&["verify", text(archive)]).ok().json()[0];
        assert_eq!((verdict["verdict"].as_str(), verdict["clean"].as_bool()), (Some("valid"), Some(true)), "{verdict}");
        assert_eq!(verdict["ledger_entry"], row["entry"]);
        // The same keyring from outside, and a stranger's.
        let elsewhere = Place::new();
        elsewhere.keyctl(&["verify", text(&suite(archive)), "--keyring", text(&keyring(&place))]).ok();
    }
    place.keyctl(&["verify", text(&exe)]).ok();
    place.keyctl(&["audit", "log"]).ok();
    let stranger = Place::with_sandbox();
    let refused = stranger.keyctl(&["verify", text(&archives[0])]).exits(6).json();
    assert_eq!(refused[0]["in_release"][0]["verdict"], "unknown-key");
    assert!(apt_update(&place, &archives[0], &keyring(&stranger)).unwrap_err().contains("NO_PUBKEY"));
}

#[test]
fn evidence_of_a_repository_proves_itself_and_names_both_files() {
    let place = Place::with_sandbox();
    let archive = archive(&place, "a", FTPARCHIVE);
    let row = place.keyctl(&["sign", text(&archive)]).ok().json().remove(0);
    let elsewhere = Place::new();
    let copy = elsewhere.copy(Path::new(row["evidence"].as_str().unwrap()), "evidence.json");
    let public = place.workspace().join("published/ledger.pub");
    elsewhere.keyctl(&["verify", "evidence.json", "--ledger-key", text(&public)]).ok();
    let fragment: Value = serde_json::from_slice(&fs::read(&copy).unwrap()).unwrap();
    let sum = |name: &str| {
        let out = said(tool("sha256sum").arg(suite(&archive).join(name))).1;
        out[..64].to_owned()
    };
    assert_eq!(fragment["artifact"]["format"], "apt");
    assert_eq!(fragment["artifact"]["platform"], "linux");
    assert_eq!(fragment["artifact"]["hash_before"]["value"], sum("Release"));
    assert_eq!(fragment["artifact"]["hash"]["value"], sum("InRelease"));
    let leaf: Value = serde_json::from_str(fragment["ledger"]["leaf"].as_str().unwrap()).unwrap();
    let done = &leaf["body"]["done"];
    assert_eq!((&done["release"], &done["release_gpg"]), (&sum("Release").into(), &sum("Release.gpg").into()));
    let intent: Value = serde_json::from_str(fragment["ledger"]["intent_leaf"].as_str().unwrap()).unwrap();
    assert_eq!(intent["body"]["request"]["signatures"].as_array().unwrap().len(), 2, "both digests, before any key");
    // gpg names the same subkey.
    let keys = said(
        tool("gpg").args(["--homedir", text(&place.path(".")), "--show-keys", "--with-colons"]).arg(keyring(&place)),
    )
    .1;
    let fingerprint = fragment["signing"]["fingerprint"].as_str().unwrap().to_uppercase();
    assert!(keys.contains(&format!(":{fingerprint}:")), "{keys}");
    let gates: Vec<_> =
        fragment["gates"].as_array().unwrap().iter().map(|gate| gate["name"].as_str().unwrap()).collect();
    assert!(gates.contains(&"KeyringPublished") && gates.contains(&"CertificateAgeDays"), "{gates:?}");
    flip(&copy, 300);
    elsewhere.keyctl(&["verify", "evidence.json", "--ledger-key", text(&public)]).exits(6);
}

#[test]
fn one_changed_byte_is_refused_by_clients_and_by_us() {
    let place = Place::with_sandbox();
    let archive = archive(&place, "a", FTPARCHIVE);
    let suite = suite(&archive);
    place.keyctl(&["sign", text(&archive)]).ok();
    let keyring = keyring(&place);
    let verify = |code: i32, words: &str| drop(place.keyctl(&["verify", text(&suite)]).exits(code).says(words));
    let update = || apt_update(&place, &archive, &keyring);
    let change = |name: &str, from: &str, to: &str| {
        let before = fs::read_to_string(suite.join(name)).unwrap();
        assert!(before.contains(from), "{from} in {name}");
        fs::write(suite.join(name), before.replacen(from, to, 1)).unwrap();
        before
    };

    let before = change("InRelease", "stable", "stabel");
    assert!(gpgv(&keyring, &[suite.join("InRelease")]).contains("BADSIG"));
    assert!(update().unwrap_err().contains("BADSIG"));
    verify(6, "bad_signature");
    fs::write(suite.join("InRelease"), before).unwrap();
    verify(0, "valid");

    let before = change("Release", "stable", "stabel");
    assert!(gpgv(&keyring, &[suite.join("Release.gpg"), suite.join("Release")]).contains("BADSIG"));
    assert!(!sqv(&keyring, &suite.join("Release.gpg"), &suite.join("Release")));
    // Clients that find an InRelease look at nothing else; the findings tell all the same.
    verify(0, "text_differs");
    let in_release = fs::read(suite.join("InRelease")).unwrap();
    fs::remove_file(suite.join("InRelease")).unwrap();
    assert!(update().unwrap_err().contains("BADSIG"));
    verify(6, "bad");
    fs::write(suite.join("Release"), before).unwrap();
    fs::write(suite.join("InRelease"), in_release).unwrap();

    change("main/binary-amd64/Packages", "Version: 1.0", "Version: 1.1");
    assert!(update().is_err());
    verify(6, "main/binary-amd64/Packages");
}

#[test]
fn a_repository_that_does_not_match_its_lists_is_not_signed_and_nothing_is_written() {
    let place = Place::with_sandbox();
    let archive = archive(&place, "a", FTPARCHIVE);
    let suite = suite(&archive);
    let files = || {
        let mut names: Vec<_> = fs::read_dir(&suite).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    let entries = place.sql("SELECT count(*) FROM entries");
    let packages = suite.join("main/binary-amd64/Packages");
    let content = fs::read(&packages).unwrap();
    flip(&packages, 10);
    place.keyctl(&["sign", text(&suite)]).exits(1).says("main/binary-amd64/Packages");
    fs::write(&packages, &content).unwrap();
    let release = fs::read_to_string(suite.join("Release")).unwrap();
    for (bad, words) in [
        (release.replacen('\n', "\r\n", 1), "carriage return"),
        (release.replacen("stable\n", "stable \n", 1), "blanks"),
        (
            release.replacen("Suite: stable", "Suite: stable\nSigned-By: 0000000000000000000000000000000000000000", 1),
            "Signed-By",
        ),
    ] {
        fs::write(suite.join("Release"), bad).unwrap();
        let ran = place.keyctl(&["sign", text(&suite)]).says(words);
        assert!([1, 4].contains(&ran.code), "{}", ran.stderr);
    }
    assert_eq!(files(), before);
    assert_eq!(place.sql("SELECT count(*) FROM entries"), entries, "refused before anything was asked of the gate");
    fs::write(suite.join("Release"), release).unwrap();
    place.keyctl(&["sign", "--dry-run", text(&suite)]).ok().says("keyctl.plan/v1");
    assert_eq!(files(), before);
    place.keyctl(&["sign", text(&suite), "--to", "x"]).exits(2).says("in place");
    place.keyctl(&["sign", text(&suite), "--key", "windows"]).exits(4).says("wrong_purpose");
    place.keyctl(&["sign", text(&place.path("state"))]).exits(1).says("no_release");
    place.keyctl(&["sign", text(&suite)]).ok();
}

#[test]
fn a_key_for_repositories_signs_no_program_and_the_other_way_round() {
    let place = Place::with_sandbox();
    place.copy(&real_pe_files()[0], "app.exe");
    assert_ne!(place.keyctl(&["sign", "--key", "apt", "app.exe"]).code, 0);
    // A CA key has an X.509 certificate, so only the gate stands in its way.
    place.keyctl(&["sign", "--key", "windows-ca", "app.exe"]).exits(4).says("Purpose");
}

#[test]
fn the_same_request_again_signs_nothing_and_a_new_one_replaces_both_files() {
    let place = Place::with_sandbox();
    let archive = archive(&place, "a", FTPARCHIVE);
    let suite = suite(&archive);
    let sign = |id: &str| place.keyctl(&["--correlation-id", id, "sign", text(&suite)]).ok().stdout;
    let first = sign("deploy-1");
    let files = || (fs::read(suite.join("InRelease")).unwrap(), fs::read(suite.join("Release.gpg")).unwrap());
    let before = files();
    assert_eq!(sign("deploy-1"), first, "byte for byte");
    assert_eq!(files(), before);
    // A keyring that grew meanwhile is no other request.
    place.keyctl(&["keygen", "apt"]).ok();
    assert_eq!(sign("deploy-1"), first);
    // What is gone is made again.
    fs::remove_file(suite.join("InRelease")).unwrap();
    sign("deploy-1");
    all_accept(&place, &archive, &keyring(&place), 1);
    assert_ne!(sign("deploy-2"), first);
    let leftovers =
        fs::read_dir(&suite).unwrap().filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains("keyctl"));
    assert_eq!(leftovers.count(), 0);
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn without_its_published_keyring_a_key_does_not_sign() {
    let place = Place::with_sandbox();
    let archive = archive(&place, "a", FTPARCHIVE);
    let published = keyring(&place);
    let good = fs::read(&published).unwrap();
    fs::write(&published, &good[..good.len() - 1]).unwrap();
    place.keyctl(&["sign", text(&archive)]).exits(4).says("KeyringPublished");
    fs::remove_file(&published).unwrap();
    place.keyctl(&["sign", text(&archive)]).exits(4).says("KeyringPublished");
    place.keyctl(&["status", "--check", "apt"]).exits(4);
    place.keyctl(&["recover"]).ok();
    assert_eq!(fs::read(&published).unwrap(), good, "the same bytes again");
    place.keyctl(&["status", "--check", "apt"]).ok();
    place.keyctl(&["sign", text(&archive)]).ok();
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn what_is_published_is_what_clients_use() {
    let place = Place::with_sandbox();
    let archive = archive(&place, "a", FTPARCHIVE);
    place.keyctl(&["sign", text(&archive)]).ok();
    let published = place.workspace().join("published/apt");
    apt_update(&place, &archive, &published.join("apt.asc")).unwrap();
    let deb = place.path("x.deb");
    let (built, words) =
        said(tool("dpkg-deb").args(["--root-owner-group", "--build"]).arg(published.join("apt-keyring")).arg(&deb));
    assert!(built, "{words}");
    let out = place.path("out");
    assert!(said(tool("dpkg-deb").arg("--extract").args([&deb, &out])).0);
    let sources = fs::read_to_string(published.join("apt.sources")).unwrap();
    let path = sources.lines().find_map(|line| line.strip_prefix("Signed-By: /")).unwrap();
    apt_update(&place, &archive, &out.join(path)).unwrap();
    let register: Value =
        serde_json::from_slice(&fs::read(place.workspace().join("published/keys.json")).unwrap()).unwrap();
    let apt = register["keys"].as_array().unwrap().iter().find(|key| key["name"] == "apt").unwrap();
    assert_eq!(apt["keyring"], "apt/apt.pgp");
    assert_eq!(apt["fingerprint"].as_str().unwrap().len(), 40);
}

#[test]
fn the_revocation_certificate_is_kept_apart_and_works() {
    let place = Place::with_sandbox();
    let file = place.workspace().join("revocations/apt-root-1.asc");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let home = place.path("gnupg");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let gpg =
        |args: &[&str]| said(tool("gpg").args(["--homedir", text(&home), "--batch", "--status-fd", "1"]).args(args)).1;
    gpg(&["--import", text(&keyring(&place))]);
    gpg(&["--import", text(&file)]);
    assert!(!gpg(&["--list-keys", "--with-colons"]).contains("\npub:r:"), "a colon keeps it from being imported");
    let bare = place.path("bare.asc");
    fs::write(&bare, fs::read_to_string(&file).unwrap().replace("\n:-----", "\n-----")).unwrap();
    gpg(&["--import", text(&bare)]);
    let listed = gpg(&["--list-keys", "--with-colons"]);
    assert!(listed.contains("pub:r:"), "{listed}");
    let public = fs::read_to_string(place.workspace().join("published/apt/apt.asc")).unwrap();
    assert!(!public.contains("revocation"), "it is not published");
}

/// A sandbox founded with this change to the default configuration.
pub fn founded(change: impl Fn(String) -> String, command: impl Fn(&Place, &[&str]) -> Ran) -> Place {
    let (template, place) = (Place::with_sandbox(), Place::new());
    let toml = fs::read_to_string(template.workspace().join("keyctl.toml")).unwrap();
    fs::write(place.path("keyctl.toml"), change(toml)).unwrap();
    command(&place, &["--workspace", text(&place.workspace()), "init", "--from", "keyctl.toml"]).ok();
    place
}

/// The same with a change inside `[keys.NAME]`.
pub fn in_key(toml: &str, name: &str, from: &str, to: &str) -> String {
    let (before, after) = toml.split_once(&format!("[keys.{name}]\n")).unwrap();
    assert!(after.contains(from), "{from}");
    format!("{before}[keys.{name}]\n{}", after.replacen(from, to, 1))
}

#[test]
fn rsa_and_p384_keys_are_accepted_too() {
    let change = |toml: String| {
        let toml = in_key(&toml, "apt-root", "\"ed25519\"", "\"ecdsa-p384\"");
        in_key(&toml, "apt", "\"ed25519\"", "\"rsa-4096\"")
    };
    let place = founded(change, |place, args| place.keyctl(args));
    let archive = archive(&place, "a", FTPARCHIVE);
    place.keyctl(&["sign", text(&archive)]).ok();
    all_accept(&place, &archive, &keyring(&place), 1);
    place.keyctl(&["verify", text(&archive)]).ok();
}

#[test]
fn keys_in_softhsm_sign_repositories() {
    let softhsm = "/usr/lib/softhsm/libsofthsm2.so";
    assert!(Path::new(softhsm).is_file(), "softhsm2 is not installed: run tests/setup first");
    let tokens = tempfile::tempdir().unwrap();
    let conf = tokens.path().join("softhsm2.conf");
    fs::create_dir(tokens.path().join("tokens")).unwrap();
    fs::write(&conf, format!("directories.tokendir = {}\n", tokens.path().join("tokens").display())).unwrap();
    for label in ["soft-root", "soft-signing"] {
        let args = ["--init-token", "--free", "--label", label, "--so-pin", "87654321", "--pin", "12345678"];
        let (made, words) = said(tool("softhsm2-util").args(args).env("SOFTHSM2_CONF", &conf));
        assert!(made, "{words}");
    }
    let keyctl = |place: &Place, args: &[&str]| {
        let mut command = place.command(args);
        ran(command.env("SOFTHSM2_CONF", &conf).env("SOFT_PIN", "12345678").output().unwrap())
    };
    let change = |toml: String| {
        let token = |name: &str| {
            format!("[hsm.{name}]\nmodule = \"{softhsm}\"\ntoken  = \"{name}\"\npin    = {{ env = \"SOFT_PIN\" }}\n\n")
        };
        let toml = toml.replacen("[hsm.", &format!("{}{}[hsm.", token("soft-root"), token("soft-signing")), 1);
        let toml = in_key(&toml, "apt-root", "[\"root\"]", "[\"soft-root\"]");
        in_key(&toml, "apt", "[\"primary\"]", "[\"soft-signing\"]")
    };
    let place = founded(change, keyctl);
    let archive = archive(&place, "a", FTPARCHIVE);
    keyctl(&place, &["sign", text(&archive)]).ok();
    all_accept(&place, &archive, &keyring(&place), 1);
    keyctl(&place, &["verify", text(&archive)]).ok();
}

#[test]
fn a_key_with_escrow_is_refused_while_there_is_none() {
    let (template, place) = (Place::with_sandbox(), Place::new());
    let toml = fs::read_to_string(template.workspace().join("keyctl.toml")).unwrap();
    let toml = in_key(&toml, "apt", "\"bound\"", "\"sealed-export\"");
    fs::write(place.path("keyctl.toml"), toml).unwrap();
    place
        .keyctl(&["--workspace", ".keyctl-sandbox", "init", "--from", "keyctl.toml"])
        .exits(2)
        .says("custody_unavailable")
        .says("sealed-export");
    assert!(!place.workspace().join("ledger.db").exists(), "nothing was founded");
}

#[test]
fn a_second_generation_is_in_the_keyring_before_it_signs() {
    let place = Place::with_sandbox();
    let first = fs::read(keyring(&place)).unwrap();
    let row = place.keyctl(&["keygen", "apt"]).ok().json().remove(0);
    assert_eq!((row["generation"].as_str(), row["state"].as_str()), (Some("apt/2"), Some("certified")));
    let second = fs::read(keyring(&place)).unwrap();
    assert_ne!(first, second);
    let listed = said(
        tool("gpg").args(["--homedir", text(&place.path(".")), "--show-keys", "--with-colons"]).arg(keyring(&place)),
    )
    .1;
    assert_eq!(listed.matches("\nsub:").count(), 2, "{listed}");
    assert!(listed.to_lowercase().contains(row["fingerprint"].as_str().unwrap()));
    assert_eq!(place.sql("SELECT count(*) FROM keyrings WHERE key = 'apt'"), "3");
    // The first generation goes on signing alone.
    let archive = archive(&place, "a", FTPARCHIVE);
    let row = place.keyctl(&["sign", text(&archive)]).ok().json().remove(0);
    assert_eq!(row["generation"], "apt/1");
    all_accept(&place, &archive, &keyring(&place), 1);
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn at_its_age_a_key_stops_and_clients_see_it_expire_later() {
    let place = Place::with_sandbox();
    let archive = archive(&place, "a", FTPARCHIVE);
    place.keyctl(&["sign", text(&archive)]).ok();
    let later = |days: u32, args: &[&str]| {
        let inner = place.command(args);
        let mut command = tool("faketime");
        command.arg("-f").arg(format!("+{days}d")).arg(inner.get_program()).args(inner.get_args());
        command.current_dir(place.path(".")).env("HOME", place.path(".")).env("XDG_STATE_HOME", place.path("state"));
        ran(command.env("KEYCTL_WORKSPACE", place.workspace()).output().unwrap())
    };
    later(89, &["verify", text(&archive)]).ok();
    later(121, &["verify", text(&archive)]).exits(6).says("expired");
    later(89, &["sign", "--dry-run", text(&archive)]).ok();
    later(90, &["sign", text(&archive)]).exits(4).says("CertificateAgeDays");
}

/// A PIN source that kills keyctl: the token is opened only after the intent is in the ledger.
fn die_at_the_pin(place: &Place) -> String {
    let path = place.workspace().join("keyctl.toml");
    let before = fs::read_to_string(&path).unwrap();
    let deadly =
        before.replace("{ file = \"tokens/primary/pin\" }", "{ command = [\"sh\", \"-c\", \"kill -9 $PPID\"] }");
    assert_ne!(before, deadly);
    fs::write(&path, deadly).unwrap();
    before
}

#[test]
fn an_interrupted_repository_is_brought_to_a_whole_state() {
    let place = Place::with_sandbox();
    let archive = archive(&place, "a", FTPARCHIVE);
    let suite = suite(&archive);
    place.keyctl(&["sign", text(&suite)]).ok();
    let toml = die_at_the_pin(&place);
    assert_eq!(place.keyctl(&["sign", text(&suite)]).code, -1);
    fs::write(place.workspace().join("keyctl.toml"), toml).unwrap();
    // What a crash between the two renames leaves: the journal, and InRelease under its other name.
    let sum = |name: &str| said(tool("sha256sum").arg(suite.join(name))).1[..64].to_owned();
    let interrupt = || {
        let steps = ["Release.gpg", "InRelease"].map(|name| format!("{{\"new\":\"{}\"}}", sum(name)));
        let journal = format!(
            "{{\"schema\":\"keyctl.apt-place/v1\",\"release\":\"{}\",\"files\":[{}]}}",
            sum("Release"),
            steps.join(",")
        );
        fs::write(suite.join(".keyctl-place.json"), journal).unwrap();
        fs::rename(suite.join("InRelease"), suite.join(".InRelease.keyctl-new")).unwrap();
    };
    interrupt();
    let row = place.keyctl(&["recover"]).ok().json().remove(0);
    assert_eq!((row["type"].as_str(), row["result"].as_str()), (Some("PACKAGE_SIGNED"), Some("unknown")));
    assert!(row["detail"].as_str().unwrap().contains("were put in place"), "{row}");
    all_accept(&place, &archive, &keyring(&place), 1);
    interrupt();
    place.keyctl(&["sign", text(&suite)]).ok().says("finished first");
    all_accept(&place, &archive, &keyring(&place), 1);
    assert!(!suite.join(".keyctl-place.json").exists());
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn an_interrupted_certification_is_settled_and_made_again() {
    let place = Place::with_sandbox();
    // The subkey's generation is made on the token first, with its own PIN; the primary key's token then kills.
    let path = place.workspace().join("keyctl.toml");
    let toml = fs::read_to_string(&path).unwrap();
    let deadly = toml.replace("{ file = \"tokens/root/pin\" }", "{ command = [\"sh\", \"-c\", \"kill -9 $PPID\"] }");
    fs::write(&path, deadly).unwrap();
    assert_eq!(place.keyctl(&["keygen", "apt"]).code, -1);
    fs::write(&path, toml).unwrap();
    let row = place.keyctl(&["recover"]).ok().json().remove(0);
    assert_eq!((row["type"].as_str(), row["result"].as_str()), (Some("OPENPGP_CERTIFIED"), Some("unknown")));
    let row = place.keyctl(&["keygen", "apt"]).ok().json().remove(0);
    assert_eq!((row["generation"].as_str(), row["state"].as_str()), (Some("apt/2"), Some("certified")), "the same key");
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_sandbox_spares_the_signatures_of_others() {
    let owner = Place::with_sandbox();
    let archive = archive(&owner, "a", FTPARCHIVE);
    owner.keyctl(&["sign", text(&archive)]).ok();
    let guest = Place::with_sandbox();
    guest.keyctl(&["sign", "--sandbox", text(&archive)]).exits(4).says("foreign_in_release");
    guest.keyctl(&["sign", text(&archive)]).exits(4).says("foreign_in_release");
    owner.keyctl(&["sign", "--sandbox", text(&archive)]).ok();
    owner.keyctl(&["verify", text(&archive)]).ok();
}

#[test]
fn ubuntus_own_release_verifies_in_its_time() {
    let Some(corpus) = corpus("Ubuntu's Release file") else { return };
    let (dir, place) = (corpus.join("apt"), Place::with_sandbox());
    let ubuntu = dir.join("ubuntu2012.pgp");
    let at = |time: &str| {
        let args = ["verify", text(&dir), "--keyring", text(&ubuntu), "--at", time];
        place.keyctl(&args).exits(6).json().remove(0)
    };
    let then = at("2017-03-22T00:00:00Z");
    for file in ["in_release", "release_gpg"] {
        let signatures = then[file].as_array().unwrap();
        assert!(!signatures.is_empty() && signatures.iter().all(|one| one["verdict"] == "good"), "{then}");
    }
    let codes: Vec<_> = then["findings"].as_array().unwrap().iter().map(|finding| &finding["code"]).collect();
    assert!(codes.iter().all(|code| *code == "index_missing"), "only its indexes are not there: {codes:?}");
    assert_eq!(
        at("2026-11-23T00:00:00Z")["in_release"][0]["verdict"],
        "refused",
        "SHA-1 self-signatures no longer count"
    );
    let early = at("2017-03-21T07:00:00Z");
    let codes: Vec<_> = early["findings"].as_array().unwrap().iter().map(|finding| &finding["code"]).collect();
    assert!(codes.iter().any(|code| *code == "release_in_future"), "{codes:?}");
    // Its indexes are not there, so it is not signed again as it is; with one of them, its text is.
    let copy = place.path("dists/zesty");
    fs::create_dir_all(&copy).unwrap();
    let release = place.copy(&dir.join("Release"), "dists/zesty/Release");
    place.keyctl(&["sign", text(&copy)]).exits(1).says("index_missing");
    assert!(!copy.join("InRelease").exists());
    let kept = keep_one_file(&fs::read_to_string(&release).unwrap(), &copy);
    fs::write(&release, kept).unwrap();
    place.keyctl(&["sign", text(&copy)]).ok();
    place.keyctl(&["verify", text(&copy)]).ok();
    assert!(gpgv(&keyring(&place), &[copy.join("InRelease")]).contains("GOODSIG"));
    assert!(sqv(&keyring(&place), &copy.join("Release.gpg"), &release));
}

/// Ubuntu's fields, with one file of ours in its lists.
fn keep_one_file(release: &str, dir: &Path) -> String {
    fs::write(dir.join("Packages"), "").unwrap();
    let fields = release.lines().take_while(|line| !line.starts_with("MD5Sum:"));
    let sum = said(tool("sha256sum").arg(dir.join("Packages"))).1;
    let fields: String = fields.map(|line| format!("{line}\n")).collect();
    format!("{fields}SHA256:\n {} 0 Packages\n", &sum[..64])
}

//! Real PE files of many shapes, from Debian and PyPI packages, signed in every way and asked of verifiers that are
//! not ours: osslsigncode, sbverify, LIEF.

use crate::support::{Place, tool};
use crate::tsa::{Does, Server, Tsa, must};
use keyctl::formats::pe::Layout;
use keyctl::model::Hash256;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `tests/setup` puts what is not in Debian.
fn tools() -> PathBuf {
    std::env::var_os("KEYCTL_TOOLS").map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::var_os("HOME").map(PathBuf::from).expect("HOME");
        home.join(".cache/keyctl-tools")
    })
}

fn found(folder: &Path, endings: &[&str], files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        panic!("{} is missing: run tests/setup first", folder.display())
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        let name = path.to_string_lossy().into_owned();
        if path.is_dir() {
            found(&path, endings, files);
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            files.push(path);
        }
    }
}

/// At least twenty files: PE32 and PE32+, x86, x64 and ARM64, programs, libraries, boot loaders, .NET; and an
/// installer made here, whose overlay is most of it.
fn shapes(place: &Place) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["Contrib/UIs", "Plugins/amd64-unicode", "Plugins/x86-ansi"] {
        let mut some = Vec::new();
        found(&Path::new("/usr/share/nsis").join(folder), &[".exe", ".dll"], &mut some);
        files.extend(some.into_iter().step_by(3).take(4));
    }
    found(Path::new("/usr/lib/python3/dist-packages/distlib"), &[".exe"], &mut files);
    found(Path::new("/usr/lib/systemd/boot/efi"), &[".efi", ".efi.stub"], &mut files);
    found(&tools().join("pe"), &[".pyd"], &mut files);
    files.push("/usr/lib/mono/4.5/mscorlib.dll".into());
    files.push("/usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed".into());
    files.push(installer(place));
    assert!(files.len() >= 20, "only {} files", files.len());
    files
}

/// A real installer, with an overlay of an odd length.
fn installer(place: &Place) -> PathBuf {
    std::fs::write(place.path("payload"), vec![7; 12_345]).expect("writable");
    let script = "OutFile made.exe\nSection\nFile payload\nSectionEnd\n";
    std::fs::write(place.path("made.nsi"), script).expect("writable");
    let made = tool("makensis").args(["-V1", "made.nsi"]).current_dir(place.path("")).status().expect("makensis");
    assert!(made.success());
    let path = place.path("made.exe");
    let mut bytes = std::fs::read(&path).expect("made");
    bytes.extend_from_slice(b"odd");
    std::fs::write(&path, bytes).expect("writable");
    path
}

struct Asked {
    roots: PathBuf,
    tsa_root: String,
}

impl Asked {
    /// What osslsigncode says: accepted with this many signatures.
    fn osslsigncode(&self, file: &Path, signatures: usize) -> Result<(), String> {
        let mut command = tool("osslsigncode");
        command.args(["verify", "-ignore-cdp", "-ignore-crl", "-TSA-CAfile", &self.tsa_root, "-CAfile"]);
        let output = command.arg(&self.roots).arg("-in").arg(file).output().expect("osslsigncode runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        // It exits 0 if any signature verifies, so each has to say so.
        let good = text.matches("Signature verification: ok").count() >= signatures
            && text.contains(&format!("Number of verified signatures: {signatures}"))
            && !["MISMATCH", "Signature verification: failed", "Unable"].iter().any(|word| text.contains(word));
        if output.status.success() && good { Ok(()) } else { Err(text) }
    }

    /// What sbverify says of the first signature.
    fn sbverify(&self, certificate: &Path, file: &Path) -> bool {
        let output = tool("sbverify").arg("--cert").arg(certificate).arg(file).output().expect("sbverify runs");
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("Signature verification OK")
    }
}

/// LIEF's verdict on each file: digest, signature and CheckSum.
fn lief(files: &[PathBuf]) -> Vec<String> {
    let script = "import lief,sys\n\
        lief.logging.disable()\n\
        for name in sys.argv[1:]:\n\
        \x20   pe=lief.PE.parse(name)\n\
        \x20   flags=pe.verify_signature(lief.PE.Signature.VERIFICATION_CHECKS.HASH_ONLY)\n\
        \x20   same=pe.compute_checksum()==pe.optional_header.checksum\n\
        \x20   print(str(flags).split('.')[-1], 'checksum' if same else 'wrong-checksum', len(pe.signatures))\n";
    let python = tools().join("bin/python3");
    let output = Command::new(python).arg("-c").arg(script).args(files).output().expect("LIEF runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// A workspace with a P-256 and an RSA-3072 signing key under one root.
pub fn workspace(place: &Place) {
    let key = |name: &str, purpose: &str, algorithm: &str, issuer: &str| {
        format!(
            "[keys.{name}]\npurpose = \"{purpose}\"\nalgorithm = \"{algorithm}\"\nhsm = [\"primary\"]\n{issuer}\
             subject = {{ country = \"ZZ\", locality = \"Z\", organization = \"Shapes\", common_name = \"Shapes {name}\" }}\n"
        )
    };
    let toml = [
        "environment = \"sandbox\"\n[organization]\nname = \"Shapes\"\norigin = \"shapes.invalid/keyctl\"\n".to_owned(),
        "[hsm.primary]\nmodule = \"builtin\"\npin = { file = \"tokens/primary/pin\" }\n".to_owned(),
        key("root", "root-ca", "ecdsa-p256", ""),
        key("windows-ca", "intermediate-ca", "ecdsa-p256", "issuer = \"root\"\n"),
        key("windows", "authenticode", "ecdsa-p256", "issuer = \"windows-ca\"\n"),
        key("windows-rsa", "authenticode", "rsa-3072", "issuer = \"windows-ca\"\n"),
        "[keys.ledger]\npurpose = \"ledger\"\nalgorithm = \"ed25519\"\nhsm = [\"primary\"]\n".to_owned(),
    ];
    std::fs::write(place.path("shapes.toml"), toml.concat()).expect("writable");
    let mut init = place.command(&["--workspace", ".keyctl-sandbox", "init", "--from", "shapes.toml"]);
    init.env("KEYCTL_WORKSPACE", place.workspace());
    crate::support::ran(init.output().expect("the binary runs")).ok();
}

#[test]
fn twenty_shapes_signed_in_every_way_are_accepted_and_damage_is_not() {
    let place = Place::new();
    workspace(&place);
    let tsa = Tsa::rsa(&place, "tsa");
    let server = Server::start(&tsa, &[Does::Right]);
    let asked = Asked { roots: place.published("certs/root-1.pem"), tsa_root: tsa.root() };
    let stamp = ["--timestamp", server.url.as_str(), "--timestamp-roots", &asked.tsa_root];
    std::fs::create_dir(place.path("work")).expect("a folder");
    let mut names = Vec::new();
    for (number, shape) in shapes(&place).iter().enumerate() {
        let name = format!("work/{number:02}-{}", shape.file_name().expect("a name").to_string_lossy());
        place.copy(shape, &name);
        names.push(name);
    }
    let files: Vec<_> = names.iter().map(|name| place.path(name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let before: Vec<_> = files.iter().map(|file| Hash256::of(&std::fs::read(file).expect("readable"))).collect();
    let with = |args: &[&str]| place.keyctl(&[args, &names].concat()).ok();

    // RSA with a timestamp; one of them is signed already, by somebody else.
    with(&[&["sign", "--key", "windows-rsa", "--replace", "--program-name", "Shape"], &stamp[..]].concat());
    for file in &files {
        asked.osslsigncode(file, 1).unwrap_or_else(|text| panic!("{}\n{text}", file.display()));
    }
    let sizes: Vec<_> = files.iter().map(|file| file.metadata().expect("a file").len()).collect();
    for (file, verdict) in files.iter().zip(lief(&files)) {
        assert_eq!(verdict, "OK checksum 1", "LIEF on {}", file.display());
    }

    // Replaced by the same key: RSA signatures have one size each, ours and those of the timestamps.
    with(&[&["sign", "--key", "windows-rsa", "--replace", "--program-name", "Shape"], &stamp[..]].concat());
    let again: Vec<_> = files.iter().map(|file| file.metadata().expect("a file").len()).collect();
    assert_eq!(sizes, again, "replacing twice gives the same size");

    // ECDSA nested into it.
    with(&["sign", "--key", "windows", "--append"]);
    for file in &files {
        asked.osslsigncode(file, 2).unwrap_or_else(|text| panic!("{}\n{text}", file.display()));
    }
    let verified = with(&["verify", "--timestamp-roots", &asked.tsa_root]).json();
    assert!(verified.iter().all(|row| row["verdict"] == "valid"), "{verified:?}");
    let nested = verified.iter().filter(|row| row["signatures"].as_array().is_some_and(|list| list.len() == 2));
    assert_eq!(nested.count(), files.len());

    // ECDSA alone; sbverify looks at the first signature of images for EFI.
    with(&["sign", "--key", "windows", "--replace"]);
    let mut boot = 0;
    for file in files.iter().filter(|file| file.to_string_lossy().ends_with(".efi")) {
        assert!(asked.sbverify(&place.published("certs/windows-1.pem"), file), "sbverify on {}", file.display());
        boot += 1;
    }
    assert!(boot > 0);

    damage(&asked, &place, &files);

    // What comes out is what went in, byte for byte; only the file that somebody else had signed is new to the ledger.
    with(&["sign", "--remove"]);
    for (file, before) in files.iter().zip(&before) {
        let foreign = file.to_string_lossy().ends_with(".efi.signed");
        let after = Hash256::of(&std::fs::read(file).expect("readable"));
        assert_eq!(after == *before, !foreign, "{}", file.display());
    }
    place.keyctl(&["audit", "log"]).ok();
}

/// Boot loaders may have several entries in their certificate table, as sbsign makes them. Ours is nested into the first,
/// and the others stay.
#[test]
fn appending_to_an_image_with_several_entries_keeps_them_all() {
    let place = Place::with_sandbox();
    let image = place.copy(Path::new("/usr/lib/systemd/boot/efi/systemd-bootx64.efi"), "boot.efi");
    let folder = place.path("");
    for name in ["one", "two"] {
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        let args = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-keyout", &key, "-out", &pem];
        must("openssl", &folder, &args);
        must("sbsign", &folder, &["--key", &key, "--cert", &pem, "--output", "boot.efi", "boot.efi"]);
    }
    let tags = || Layout::parse(&std::fs::read(&image).expect("readable")).expect("an image").certificates().len();
    assert_eq!(tags(), 2);
    place.keyctl(&["sign", "boot.efi"]).fails(1, "already_signed");
    place.keyctl(&["sign", "--append", "boot.efi"]).ok();
    assert_eq!(tags(), 2);
    for name in ["one", "two"] {
        must("sbverify", &folder, &["--cert", &format!("{name}.pem"), "boot.efi"]);
    }
    let row = place.keyctl(&["verify", "boot.efi"]).exits(6).json().remove(0);
    let verdicts: Vec<_> = row["signatures"].as_array().expect("a list").iter().map(|one| &one["verdict"]).collect();
    assert_eq!(verdicts, ["unknown_issuer", "valid", "unknown_issuer"], "the nested one after its outer one");
    // What else may stand in such a table has no place beside ours.
    let mut bytes = std::fs::read(&image).expect("readable");
    let first = crate::support::Pe::of(&bytes).certificates.start;
    assert_eq!(bytes[first + 4..first + 8], [0, 2, 2, 0], "revision and type");
    bytes[first + 6] = 1;
    std::fs::write(&image, &bytes).expect("writable");
    place.keyctl(&["sign", "--append", "boot.efi"]).fails(1, "pe_other_certificate");
    assert_eq!(std::fs::read(&image).expect("readable"), bytes);
    place.keyctl(&["sign", "--replace", "boot.efi"]).ok();
    must("sbverify", &folder, &["--cert", place.published("certs/windows-1.pem").to_str().expect("UTF-8"), "boot.efi"]);
    place.keyctl(&["audit", "log"]).ok();
}

/// One byte changed in header, body and signature: refused by osslsigncode and by ours.
fn damage(asked: &Asked, place: &Place, files: &[PathBuf]) {
    for file in files {
        let good = std::fs::read(file).expect("readable");
        let pe = crate::support::Pe::of(&good);
        let in_signature = pe.certificates.end - 200;
        for at in [pe.stamp, good.len().min(pe.certificates.start) / 2, in_signature] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            let path = place.path("damaged.exe");
            std::fs::write(&path, bad).expect("writable");
            assert!(asked.osslsigncode(&path, 1).is_err(), "osslsigncode took {} changed at {at}", file.display());
            place.keyctl(&["verify", "damaged.exe"]).exits(6);
        }
    }
}

use super::*;
use crate::pki::algorithm;
use crate::pki::asn1;
use crate::pki::certificate::{Extension, Fields};
use crate::pki::extension;
use crate::pki::oid;
use crate::pki::testing::{Hierarchy, Key, now, time};
use chrono::TimeDelta;

fn import(hierarchy: &Hierarchy, profile: ProfileName, leaf: &Certificate, key: &Key, at: Time) -> Result<Imported> {
    check(&Import {
        certificate: leaf.der(),
        intermediates: &[hierarchy.intermediate.der().to_vec()],
        roots: &[hierarchy.root.der().to_vec()],
        key: &key.public(),
        profile,
        environment: Environment::Production,
        at,
        revocation: Revocation::Unchecked,
    })
}

/// The leaf with changes, signed again by its CA.
fn changed(hierarchy: &Hierarchy, change: impl Fn(&mut Fields)) -> Certificate {
    let mut fields = hierarchy.leaf.fields().clone();
    change(&mut fields);
    let signer = &hierarchy.intermediate_key;
    fields.algorithm = algorithm::identifier(signer.mechanism());
    let tbs = fields.encode();
    let signature = signer.sign_message(signer.mechanism(), &tbs);
    let der = asn1::sequence(&[&tbs, &fields.algorithm, &asn1::bit_string(&signature)]);
    Certificate::parse(&der).unwrap()
}

#[test]
fn an_authenticode_certificate_is_taken_in_for_its_own_key_only() {
    let hierarchy = Hierarchy::new();
    let take = |leaf: &Certificate, key: &Key, at| import(&hierarchy, ProfileName::Authenticode, leaf, key, at);
    let taken = take(&hierarchy.leaf, &hierarchy.leaf_key, now()).unwrap();
    assert_eq!(taken.certificate(), &hierarchy.leaf);
    assert_eq!(taken.chain().certificates().len(), 3);
    let code = |result: Result<Imported>| {
        let error = result.unwrap_err();
        (error.code(), error.message().to_owned())
    };
    let (word, message) = code(take(&hierarchy.leaf, &Key::p384(), now()));
    assert_eq!(word, "certificate_key_mismatch");
    assert!(message.starts_with("subjectPublicKeyInfo"), "{message}");
    let (word, message) = code(take(&hierarchy.leaf, &hierarchy.leaf_key, time("2028-01-01T00:00:00Z")));
    assert_eq!(word, "certificate_expired");
    assert!(message.starts_with("validity.notAfter"), "{message}");
    let (word, _) = code(take(&hierarchy.leaf, &hierarchy.leaf_key, time("2025-01-01T00:00:00Z")));
    assert_eq!(word, "certificate_not_yet_valid");
    let stranger = Hierarchy::new();
    let (word, _) = code(take(&stranger.leaf, &stranger.leaf_key, now()));
    assert_eq!(word, "unknown_issuer");
    let (word, _) = code(import(&hierarchy, ProfileName::Installer, &hierarchy.leaf, &hierarchy.leaf_key, now()));
    assert_eq!(word, "wrong_purpose");
    let (word, _) = code(import(&hierarchy, ProfileName::RootCa, &hierarchy.root, &hierarchy.root_key, now()));
    assert_eq!(word, "no_import");
}

#[test]
fn a_public_cas_habits_pass_and_broken_profiles_do_not() {
    let hierarchy = Hierarchy::new();
    let take = |change: fn(&mut Fields)| {
        let leaf = changed(&hierarchy, change);
        import(&hierarchy, ProfileName::Authenticode, &leaf, &hierarchy.leaf_key, now())
    };
    take(|f| f.extensions.retain(|e| e.oid != oid::AUTHORITY_INFO_ACCESS)).unwrap();
    take(|f| f.extensions.push(Extension::new(oid::SUBJECT_ALT_NAME, false, vec![0x30, 0]))).unwrap();
    take(|f| f.not_after = crate::pki::Instant::new(f.not_before.time + TimeDelta::days(1000))).unwrap();
    let lint = |change: fn(&mut Fields), rule: &str| {
        let error = take(change).unwrap_err();
        assert!(error.code() == "lint" && error.message().contains(rule), "{error}");
    };
    lint(|f| f.extensions.retain(|e| e.oid != oid::KEY_USAGE), "key_usage_required");
    lint(
        |f| f.not_after = crate::pki::Instant::new(f.not_before.time + TimeDelta::days(1188)),
        "leaf_validity_460_days",
    );
    lint(|f| f.serial = vec![1], "serial_size");
    let ca = |f: &mut Fields| f.extensions.push(extension::basic_constraints(None).unwrap());
    lint(ca, "basic_constraints");
}

#[test]
fn an_installer_certificate_needs_its_critical_purpose_and_the_marker() {
    let hierarchy = Hierarchy::with(ProfileName::InstallerCa, ProfileName::Installer);
    let take = |change: fn(&mut Fields)| {
        let leaf = changed(&hierarchy, change);
        import(&hierarchy, ProfileName::Installer, &leaf, &hierarchy.leaf_key, now())
    };
    take(|_| {}).unwrap();
    // Apple marks the marker critical.
    take(|f| f.extensions.iter_mut().filter(|e| e.oid == oid::APPLE_INSTALLER_MARKER).for_each(|e| e.critical = true))
        .unwrap();
    let error = take(|f| f.extensions.retain(|e| e.oid != oid::APPLE_INSTALLER_MARKER)).unwrap_err();
    assert!(error.message().contains("marker_required"), "{error}");
    let plain = |f: &mut Fields| {
        f.extensions.iter_mut().filter(|e| e.oid == oid::EXTENDED_KEY_USAGE).for_each(|e| e.critical = false);
    };
    assert!(take(plain).unwrap_err().message().contains("eku_critical"));
}

/// A real Developer ID Installer certificate, out of a package that Apple's productsign made.
#[test]
fn apples_own_certificate_passes_but_for_its_rsa_2048_key() {
    let Some(corpus) = std::env::var_os("KEYCTL_CORPUS") else {
        println!("skipped: KEYCTL_CORPUS is not set");
        return;
    };
    let package = std::fs::read(std::path::Path::new(&corpus).join("macos/valid.pkg")).unwrap();
    let Some(certificates) = certificates_of(&package) else {
        println!("skipped: no python3 to inflate the table of contents");
        return;
    };
    let [leaf, intermediate, root] = certificates.as_slice() else { panic!("{} certificates", certificates.len()) };
    let at = leaf.not_before() + TimeDelta::days(1);
    let check = |key: &PublicKey| {
        check(&Import {
            certificate: leaf.der(),
            intermediates: &[intermediate.der().to_vec()],
            roots: &[root.der().to_vec()],
            key,
            profile: ProfileName::Installer,
            environment: Environment::Production,
            at,
            revocation: Revocation::Unchecked,
        })
    };
    let error = check(&leaf.public_key().unwrap()).unwrap_err();
    assert_eq!(error.message().matches(" (").count(), 1, "{error}");
    assert!(error.message().contains("rsa_key_size"), "{error}");
    assert_eq!(check(&Key::p256().public()).unwrap_err().code(), "certificate_key_mismatch");
}

/// Every X509Certificate of the package's signed table of contents.
fn certificates_of(package: &[u8]) -> Option<Vec<Certificate>> {
    let header = usize::from(u16::from_be_bytes([package[4], package[5]]));
    let length = usize::try_from(u64::from_be_bytes(package[8..16].try_into().unwrap())).unwrap();
    let mut toc = String::new();
    let inflate = std::process::Command::new("python3")
        .args(["-c", "import sys,zlib;sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read()))"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut inflate = inflate.ok()?;
    std::io::Write::write_all(&mut inflate.stdin.take().unwrap(), &package[header..header + length]).unwrap();
    std::io::Read::read_to_string(&mut inflate.stdout.take().unwrap(), &mut toc).unwrap();
    inflate.wait().unwrap();
    let mut found: Vec<Certificate> = Vec::new();
    for part in toc.split("<X509Certificate>").skip(1) {
        let text: String = part.split('<').next().unwrap().split_whitespace().collect();
        let der = <base64ct::Base64 as base64ct::Encoding>::decode_vec(&text).unwrap();
        let certificate = Certificate::parse(&der).unwrap();
        if !found.contains(&certificate) {
            found.push(certificate);
        }
    }
    Some(found)
}

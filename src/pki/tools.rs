//! What other people's tools say about our certificates, lists and requests. A tool that is not installed is skipped,
//! with a word on stdout; what `tests/setup` puts into `$KEYCTL_TOOLS` (else `~/.cache/keyctl-tools`) comes before `PATH`.

use super::crl::{Crl, Reason, Revocation};
use super::csr::RequestDraft;
use super::pem::{self, label};
use super::profile::ProfileName;
use super::testing::{Hierarchy, Key, now, subject, time};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

fn find(tool: &str) -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/keyctl-tools"));
    let tools = std::env::var_os("KEYCTL_TOOLS").map(PathBuf::from).or_else(home).map(|dir| dir.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = tools.into_iter().chain(std::env::split_paths(&path)).map(|dir| dir.join(tool)).find(|p| p.is_file());
    if found.is_none() {
        println!("skipped: {tool} is not installed");
    }
    found
}

/// Files for the tools: root, intermediate, leaf and the chain as PEM, each DER beside it.
struct Files {
    folder: tempfile::TempDir,
    hierarchy: Hierarchy,
}

impl Files {
    fn new(hierarchy: Hierarchy) -> Self {
        let files = Files { folder: tempfile::tempdir().unwrap(), hierarchy };
        let h = &files.hierarchy;
        let mut chain = String::new();
        for (name, certificate) in [("leaf", &h.leaf), ("intermediate", &h.intermediate), ("root", &h.root)] {
            let text = pem::encode(label::CERTIFICATE, certificate.der()).unwrap();
            files.write(&format!("{name}.pem"), text.as_bytes());
            files.write(&format!("{name}.der"), certificate.der());
            chain.push_str(&text);
        }
        files.write("chain.pem", chain.as_bytes());
        files
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Arguments that begin with `@` are files of the folder. Gives success and everything printed.
    fn run(&self, program: &Path, arguments: &[&str]) -> (bool, String) {
        let argument = |text: &&str| match text.strip_prefix('@') {
            Some(name) => self.path(name).into_os_string(),
            None => OsString::from(text),
        };
        let output = Command::new(program).args(arguments.iter().map(argument)).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

/// The DER with one byte changed inside its signed part, as PEM.
fn spoiled(label: &str, der: &[u8]) -> String {
    let mut der = der.to_vec();
    let tail = der.len() - 150;
    der[tail] ^= 0x01;
    pem::encode(label, &der).unwrap()
}

#[test]
fn openssl_verifies_the_chain_and_the_lists() {
    let Some(openssl) = find("openssl") else { return };
    let files = Files::new(Hierarchy::new());
    let attime = now().timestamp().to_string();
    let verify = |leaf: &str, more: &[&str]| {
        let arguments =
            ["verify", "-x509_strict", "-attime", &attime, "-CAfile", "@root.pem", "-untrusted", "@intermediate.pem"];
        files.run(&openssl, &[&arguments, more, &[leaf]].concat())
    };
    let (good, text) = verify("@leaf.pem", &[]);
    assert!(good, "{text}");
    files.write("spoiled.pem", spoiled(label::CERTIFICATE, files.hierarchy.leaf.der()).as_bytes());
    assert!(!verify("@spoiled.pem", &[]).0);

    let lists = |entries: Vec<Revocation>| {
        let (leafs, roots) = (files.hierarchy.crl(entries), files.hierarchy.root_crl(Vec::new()));
        let text = [leafs.der(), roots.der()].map(|der| pem::encode(label::CRL, der).unwrap());
        files.write("crl.pem", text.concat().as_bytes());
        files.write("leafs.pem", text[0].as_bytes());
        leafs
    };
    // Not -crl_check_all: it looks the root up in its own list, which speaks about certificates with its URL only.
    let with_lists = ["-crl_check", "-CRLfile", "@crl.pem"];
    lists(Vec::new());
    for name in ["@leaf.pem", "@intermediate.pem"] {
        let (good, text) = verify(name, &with_lists);
        assert!(good, "{name}: {text}");
    }
    let leafs = lists(vec![Revocation {
        serial: files.hierarchy.leaf.fields().serial.clone(),
        revocation_date: time("2026-11-10T00:00:00Z"),
        reason: Reason::KeyCompromise,
        invalidity_date: Some(time("2026-11-10T00:00:00Z")),
    }]);
    let (good, text) = verify("@leaf.pem", &with_lists);
    assert!(!good && text.contains("revoked"), "{text}");
    let check = ["crl", "-noout", "-CAfile", "@intermediate.pem", "-in"];
    let (good, text) = files.run(&openssl, &[&check[..], &["@leafs.pem"]].concat());
    assert!(good && text.contains("verify OK"), "{text}");
    files.write("leafs.pem", spoiled(label::CRL, leafs.der()).as_bytes());
    let (_, text) = files.run(&openssl, &[&check[..], &["@leafs.pem"]].concat());
    assert!(!text.contains("verify OK"), "{text}");
}

#[test]
fn openssl_verifies_the_request() {
    let Some(openssl) = find("openssl") else { return };
    let files = Files::new(Hierarchy::new());
    let key = Key::p384();
    let draft = RequestDraft::new(&subject("Grüße & Söhne"), &key.public(), key.mechanism()).unwrap();
    let request = draft.assemble(&key.sign(&draft.tbs())).unwrap();
    files.write("request.pem", pem::encode(label::REQUEST, request.der()).unwrap().as_bytes());
    let (good, text) = files.run(&openssl, &["req", "-verify", "-noout", "-in", "@request.pem"]);
    assert!(good && text.contains("verify OK"), "{text}");
    files.write("request.pem", spoiled(label::REQUEST, request.der()).as_bytes());
    let (good, text) = files.run(&openssl, &["req", "-verify", "-noout", "-in", "@request.pem"]);
    assert!(!good || !text.contains("verify OK"), "{text}");
}

#[test]
fn gnutls_verifies_the_chain_and_the_list() {
    // certtool knows no other time than the system's.
    let (Some(faketime), Some(certtool)) = (find("faketime"), find("certtool")) else { return };
    let certtool = certtool.to_string_lossy().into_owned();
    let files = Files::new(Hierarchy::new());
    let at = |arguments: &[&str]| {
        let (_, text) = files.run(&faketime, &[&["2026-11-20 12:00:00", certtool.as_str()], arguments].concat());
        (text.contains("Verified.") || text.contains("verified."), text)
    };
    let (good, text) = at(&["--verify-chain", "--infile", "@chain.pem"]);
    assert!(good && text.contains("Chain verification output: Verified"), "{text}");
    let rest = std::fs::read_to_string(files.path("chain.pem")).unwrap();
    let (_, rest) = rest.split_once("-----END CERTIFICATE-----\n").unwrap();
    let chain = spoiled(label::CERTIFICATE, files.hierarchy.leaf.der()) + rest;
    files.write("spoiled.pem", chain.as_bytes());
    let (_, text) = at(&["--verify-chain", "--infile", "@spoiled.pem"]);
    assert!(!text.contains("Chain verification output: Verified"), "{text}");

    let crl = files.hierarchy.crl(Vec::new());
    let check = ["--verify-crl", "--load-ca-certificate", "@intermediate.pem", "--infile", "@crl.pem"];
    files.write("crl.pem", pem::encode(label::CRL, crl.der()).unwrap().as_bytes());
    let (good, text) = at(&check);
    assert!(good && !text.contains("Not verified"), "{text}");
    files.write("crl.pem", spoiled(label::CRL, crl.der()).as_bytes());
    let (_, text) = at(&check);
    assert!(!text.contains("Verified.") || text.contains("Not verified"), "{text}");
}

#[test]
fn pkilint_finds_nothing() {
    let (Some(certificates), Some(lists)) = (find("lint_pkix_cert"), find("lint_crl")) else { return };
    for (ca, leaf) in
        [(ProfileName::IntermediateCa, ProfileName::Authenticode), (ProfileName::InstallerCa, ProfileName::Installer)]
    {
        let files = Files::new(Hierarchy::with(ca, leaf));
        for name in ["@root.pem", "@intermediate.pem", "@leaf.pem"] {
            let (good, text) = files.run(&certificates, &["lint", "-s", "NOTICE", name]);
            assert!(good, "{name}: {text}");
        }
        let crl = files.hierarchy.crl(Vec::new());
        files.write("crl.pem", pem::encode(label::CRL, crl.der()).unwrap().as_bytes());
        let (good, text) = files.run(&lists, &["lint", "-t", "CRL", "-p", "PKIX", "-s", "NOTICE", "@crl.pem"]);
        assert!(good, "{text}");
    }
}

/// A list that names `others` and the leaf of the hierarchy, all with different serial numbers.
fn crowded(hierarchy: &Hierarchy, others: u32) -> Crl {
    let entry = |n: u32| {
        let mut serial = n.wrapping_mul(0x9e37_79b1).to_be_bytes().repeat(5);
        serial[0] = serial[0] & 0x7f | 1;
        let reason = [Reason::Superseded, Reason::KeyCompromise, Reason::Unspecified][n as usize % 3];
        let revocation_date = time("2026-11-10T00:00:00Z") - chrono::TimeDelta::minutes(i64::from(n));
        let invalidity_date = (reason == Reason::KeyCompromise).then_some(revocation_date);
        Revocation { serial, revocation_date, reason, invalidity_date }
    };
    let leaf = Revocation {
        serial: hierarchy.leaf.fields().serial.clone(),
        revocation_date: time("2026-11-10T00:00:00Z"),
        reason: Reason::KeyCompromise,
        invalidity_date: None,
    };
    hierarchy.crl((0..others).map(entry).chain([leaf]).collect())
}

#[test]
fn a_list_of_a_hundred_thousand_is_one_for_openssl() {
    let Some(openssl) = find("openssl") else { return };
    let files = Files::new(Hierarchy::new());
    let crl = crowded(&files.hierarchy, 100_000);
    assert_eq!(crl.entries().len(), 100_001);
    files.write("crl.pem", pem::encode(label::CRL, crl.der()).unwrap().as_bytes());

    let check = ["crl", "-noout", "-CAfile", "@intermediate.pem", "-in", "@crl.pem"];
    let (good, text) = files.run(&openssl, &check);
    assert!(good && text.contains("verify OK"), "{text}");
    let attime = now().timestamp().to_string();
    let verify = ["verify", "-attime", &attime, "-CAfile", "@root.pem", "-untrusted", "@intermediate.pem"];
    let against = ["-crl_check", "-CRLfile", "@crl.pem", "@leaf.pem"];
    let (good, text) = files.run(&openssl, &[&verify[..], &against].concat());
    assert!(!good && text.contains("certificate revoked"), "{text}");

    files.write("crl.pem", spoiled(label::CRL, crl.der()).as_bytes());
    let (_, text) = files.run(&openssl, &check);
    assert!(!text.contains("verify OK"), "{text}");
}

/// Both take time that grows with the square of the entries, minutes for a hundred thousand.
#[test]
fn a_crowded_list_is_one_for_gnutls_and_pkilint() {
    let (Some(certtool), Some(lists), Some(faketime)) = (find("certtool"), find("lint_crl"), find("faketime")) else {
        return;
    };
    let files = Files::new(Hierarchy::new());
    let crl = crowded(&files.hierarchy, 1000);
    files.write("crl.pem", pem::encode(label::CRL, crl.der()).unwrap().as_bytes());
    let (good, text) = files.run(&lists, &["lint", "-t", "CRL", "-p", "PKIX", "-s", "NOTICE", "@crl.pem"]);
    assert!(good, "{}", text.chars().take(2000).collect::<String>());

    let certtool = certtool.to_string_lossy().into_owned();
    let check = ["--verify-crl", "--load-ca-certificate", "@intermediate.pem", "--infile", "@crl.pem"];
    let at = || files.run(&faketime, &[&["2026-11-20 12:00:00", certtool.as_str()], &check[..]].concat()).1;
    let text = at();
    assert!(text.contains("Verified.") && !text.contains("Not verified"), "{text}");
    files.write("crl.pem", spoiled(label::CRL, crl.der()).as_bytes());
    let text = at();
    assert!(!text.contains("Verified.") || text.contains("Not verified"), "{text}");
}

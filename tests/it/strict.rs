//! What verification objects to is refused before a key is used, and what it notes is noted.

use crate::support::{Pe, Place, corpus, osslsigncode_accepts, real_pe_files, set_checksum, tool};
use crate::tsa::must;
use std::fs::File;
use std::path::PathBuf;

/// The file stays as it is, and the ledger knows nothing of it.
#[track_caller]
fn refused(place: &Place, args: &[&str], code: &str) {
    let file = place.path(args.last().expect("a file"));
    let (before, entries) = (std::fs::read(&file).expect("readable"), place.entries().len());
    place.keyctl(args).fails(1, code);
    assert_eq!(std::fs::read(&file).expect("readable"), before, "{args:?} changed the file");
    assert_eq!(place.entries().len(), entries, "{args:?} got as far as an intent");
}

fn long(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
}

/// Offsets of the first section's entry and of the certificate table's data directory.
fn headers(bytes: &[u8]) -> (usize, usize) {
    let optional = long(bytes, 0x3c) + 24;
    let size = u16::from_le_bytes([bytes[optional - 4], bytes[optional - 3]]) as usize;
    let plus = bytes[optional..optional + 2] == [0x0b, 0x02];
    (optional + size, optional + if plus { 144 } else { 128 })
}

/// Makes the last section, if it is the last thing in the file, longer by this much.
fn stretch(bytes: &mut [u8], more: usize) {
    let (sections, _) = headers(bytes);
    let count = u16::from_le_bytes([bytes[long(bytes, 0x3c) + 6], bytes[long(bytes, 0x3c) + 7]]) as usize;
    let last = (0..count).map(|index| sections + 40 * index).max_by_key(|at| long(bytes, at + 20)).expect("a section");
    let size = (bytes.len() - long(bytes, last + 20) + more) as u32;
    bytes[last + 16..last + 20].copy_from_slice(&size.to_le_bytes());
    set_checksum(bytes);
}

#[test]
fn an_image_whose_sections_end_behind_the_file_is_refused_before_the_key() {
    let place = Place::with_sandbox();
    let plain = std::fs::read(&real_pe_files()[3]).expect("readable");
    for more in [1, 0x200, 0x2000] {
        let mut bytes = plain.clone();
        stretch(&mut bytes, more);
        std::fs::write(place.path("over.exe"), &bytes).expect("written");
        refused(&place, &["sign", "over.exe"], "pe_section_beyond_end");
    }
    let Some(corpus) = corpus("sections of the corpus that end behind the file") else { return };
    for name in ["over.exe", "section_past_eof_cut100.exe"] {
        place.copy(&corpus.join("failing/windows").join(name), name);
        refused(&place, &["sign", name], "pe_section_beyond_end");
    }
}

/// Somebody else signs it nevertheless: that is not called valid, and gets no second signature.
#[test]
fn a_signed_image_with_a_section_over_its_signature_is_not_valid() {
    let place = Place::with_sandbox();
    place.copy(&real_pe_files()[3], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok();
    let mut bytes = std::fs::read(place.path("app.exe")).expect("readable");
    stretch(&mut bytes, 0);
    std::fs::write(place.path("app.exe"), &bytes).expect("written");
    let row = place.keyctl(&["verify", "app.exe"]).exits(6).one();
    assert_eq!(row["verdict"], "tampered", "{row}");
    refused(&place, &["sign", "--append", "app.exe"], "pe_section_overlaps_table");
}

#[test]
fn a_signature_that_does_not_verify_gets_no_second_one() {
    let place = Place::with_sandbox();
    place.copy(&real_pe_files()[3], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok();
    let mut bytes = std::fs::read(place.path("app.exe")).expect("readable");
    let body = Pe::of(&bytes).body;
    bytes[body] ^= 1;
    set_checksum(&mut bytes);
    std::fs::write(place.path("app.exe"), &bytes).expect("written");
    place.keyctl(&["verify", "app.exe"]).exits(6);
    refused(&place, &["sign", "--append", "app.exe"], "not_verifying");
    place.keyctl(&["sign", "--replace", "app.exe"]).ok();
    place.keyctl(&["sign", "--append", "app.exe"]).ok();
    assert!(osslsigncode_accepts(&place.published("certs/root-1.pem"), &place.path("app.exe")) || nested(&place));
    place.keyctl(&["verify", "app.exe"]).ok();
}

/// osslsigncode's words about a file with two signatures are others than about one.
fn nested(place: &Place) -> bool {
    let root = place.published("certs/root-1.pem");
    let output =
        tool("osslsigncode").args(["verify", "-CAfile"]).arg(root).arg("-in").arg(place.path("app.exe")).output();
    let output = output.expect("osslsigncode runs");
    output.status.success() && String::from_utf8_lossy(&output.stdout).contains("Number of verified signatures: 2")
}

/// A certificate table with one foreign entry: `revision`, `kind` and `length` as they stand in its head.
fn foreign(plain: &[u8], revision: u16, kind: u16, length: u32) -> Vec<u8> {
    let mut bytes = plain.to_vec();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let (_, directory) = headers(&bytes);
    let start = bytes.len() as u32;
    bytes.extend(length.to_le_bytes());
    bytes.extend(revision.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend([0x5a; 24]);
    bytes[directory..directory + 4].copy_from_slice(&start.to_le_bytes());
    bytes[directory + 4..directory + 8].copy_from_slice(&32u32.to_le_bytes());
    set_checksum(&mut bytes);
    bytes
}

#[test]
fn a_foreign_certificate_is_not_dropped_silently() {
    let place = Place::with_sandbox();
    let plain = std::fs::read(&real_pe_files()[3]).expect("readable");
    let cases =
        [(0x0200, 0x0ef1, 32), (0x0100, 2, 32), (0x0200, 1, 32), (0x0200, 3, 32), (0x0200, 4, 32), (0x0200, 2, 0)];
    for (revision, kind, length) in cases {
        std::fs::write(place.path("foreign.exe"), foreign(&plain, revision, kind, length)).expect("written");
        refused(&place, &["sign", "foreign.exe"], "pe_other_certificate");
        refused(&place, &["sign", "--append", "foreign.exe"], "pe_other_certificate");
    }
    place.keyctl(&["sign", "foreign.exe"]).fails(1, "pe_other_certificate").says("--replace");
    place.keyctl(&["sign", "--replace", "foreign.exe"]).ok();
    assert!(osslsigncode_accepts(&place.published("certs/root-1.pem"), &place.path("foreign.exe")));
    let Some(corpus) = corpus("a foreign certificate of the corpus") else { return };
    place.copy(&corpus.join("failing/windows/wincert_type_0ef1.exe"), "0ef1.exe");
    refused(&place, &["sign", "0ef1.exe"], "pe_other_certificate");
}

/// Whatever form it has, what no signature covers is said, in tables too.
#[test]
fn unsigned_data_in_the_certificate_table_is_judged_alike() {
    let place = Place::with_sandbox();
    place.copy(&real_pe_files()[3], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok();
    let signed = std::fs::read(place.path("app.exe")).expect("readable");
    let (_, directory) = headers(&signed);
    let table = Pe::of(&signed).certificates;
    let head = |kind: u8, length: u8| [length, 0, 0, 0, 0, 2, kind, 0];
    let behind = [vec![0x5a; 16], [&head(1, 16)[..], &[0x5a; 8]].concat(), [&head(2, 0)[..], &[0x5a; 8]].concat()];
    for more in behind {
        let mut bytes = [&signed[..], &more].concat();
        let size = (table.end - table.start + more.len()) as u32;
        bytes[directory + 4..directory + 8].copy_from_slice(&size.to_le_bytes());
        set_checksum(&mut bytes);
        std::fs::write(place.path("app.exe"), &bytes).expect("written");
        let ran = place.keyctl(&["verify", "app.exe", "--output", "table"]).exits(6);
        let said = ["is no Authenticode signature", "are no certificate", "is broken", "bytes left"];
        assert!(said.iter().any(|words| ran.stdout.contains(words)), "{}", ran.stdout);
        assert!(ran.stdout.contains("tampered") || ran.stdout.contains("malformed"), "{}", ran.stdout);
    }
}

/// A sparse file of 5 GiB is judged by its size.
#[test]
fn an_image_beyond_4_gib_is_refused_by_its_size() {
    let place = Place::with_sandbox();
    let path = place.copy(&real_pe_files()[3], "huge.exe");
    for len in [5 << 30, (4 << 30) - 4096] {
        File::options().write(true).open(&path).and_then(|file| file.set_len(len)).expect("a sparse file");
        let began = std::time::Instant::now();
        place.keyctl(&["sign", "huge.exe"]).fails(1, "pe_too_large");
        assert!(began.elapsed().as_secs() < 5, "it was read");
    }
    assert!(!place.entries().iter().any(|entry| entry["type"] == "SIGN_INTENT"));
}

#[test]
fn a_header_that_names_a_lost_signature_says_where_it_should_be() {
    let Some(corpus) = corpus("a header that names a lost signature") else { return };
    let place = Place::with_sandbox();
    place.copy(&corpus.join("failing/windows/stale-900000.exe"), "stale.exe");
    let ran = place.keyctl(&["sign", "stale.exe"]).fails(1, "pe_table_beyond_end").says("hint");
    for number in ["900000", "4096", "2048"] {
        assert!(ran.stderr.contains(number), "{}", ran.stderr);
    }
}

/// The certificate of the only signer in a file, as PEM.
fn signer(place: &Place, file: &str) -> PathBuf {
    let (p7, pem) = (place.path("it.p7"), place.path("signer.pem"));
    let (file, p7) = (place.path(file), p7.to_str().expect("UTF-8"));
    let file = file.to_str().expect("UTF-8");
    must("osslsigncode", &place.path(""), &["extract-signature", "-in", file, "-out", p7]);
    let to = pem.to_str().expect("UTF-8");
    must("openssl", &place.path(""), &["pkcs7", "-inform", "DER", "-in", p7, "-print_certs", "-out", to]);
    pem
}

#[test]
fn signatures_of_dotnet_are_read_and_can_be_replaced() {
    let Some(corpus) = corpus("signatures of .NET") else { return };
    let place = Place::with_sandbox();
    place.copy(&corpus.join("failing/windows/octet_wrapped_spc.exe"), "net.exe");
    let root = signer(&place, "net.exe");
    let root = root.to_str().expect("UTF-8");
    let row = place.keyctl(&["verify", "net.exe", "--roots", root]).ok().one();
    assert!(row["detail"].as_str().expect("words").contains("OCTET STRING"), "{row}");
    // What it says of the file counts.
    let mut bytes = std::fs::read(place.path("net.exe")).expect("readable");
    let body = Pe::of(&bytes).body;
    bytes[body] ^= 1;
    std::fs::write(place.path("changed.exe"), bytes).expect("written");
    assert_eq!(place.keyctl(&["verify", "changed.exe", "--roots", root]).exits(6).one()["verdict"], "tampered");
    place.keyctl(&["sign", "net.exe"]).fails(1, "already_signed");
    place.keyctl(&["sign", "--replace", "net.exe"]).ok();
    assert!(osslsigncode_accepts(&place.published("certs/root-1.pem"), &place.path("net.exe")));
}

#[test]
fn an_unusual_kind_is_named_and_the_digest_decides() {
    let Some(corpus) = corpus("an unusual kind") else { return };
    let place = Place::new();
    let folder = corpus.join("failing/windows");
    let (file, root) = (folder.join("fwupd_spc_type.efi"), folder.join("debian_sb_ca.pem"));
    let args = ["verify", file.to_str().expect("UTF-8"), "--roots", root.to_str().expect("UTF-8")];
    let ran = place.keyctl(&args);
    let row = ran.one();
    assert_eq!(row["signatures"][0]["digest"]["verdict"], "good", "{row}");
    assert_ne!(row["verdict"], "tampered", "{row}");
    assert!(row["notes"].to_string().contains("1.3.6.1.4.1.311.2.1.21"), "{row}");
    assert!(!ran.stdout.contains("ObjectIdentifier"), "{row}");
}

/// A table of any width is printed.
#[test]
fn a_detail_of_any_length_fits_a_table() {
    let place = Place::with_sandbox();
    let suite = place.path("suite");
    std::fs::create_dir(&suite).expect("a folder");
    let lines: String =
        (0..3000).map(|n| format!(" {} 1 main/some/long/path/of/an/index/{n}/Packages\n", "0".repeat(64))).collect();
    std::fs::write(suite.join("Release"), format!("Date: Mon, 23 Nov 2026 22:43:40 UTC\nSHA256:\n{lines}"))
        .expect("written");
    let keyring = place.published("apt/apt.pgp");
    let args = ["--output", "table", "verify", "suite", "--keyring", keyring.to_str().expect("UTF-8")];
    let ran = place.keyctl(&args).exits(6);
    assert!(ran.stdout.len() > 65_535, "{} bytes", ran.stdout.len());
}

//! A tripwire: software tokens that are known, by what they call themselves, by the hash of their file, and by the names in
//! its table of symbols. One that was built anew or wrapped gets by; so that none of this is found is never a reason to
//! believe anything.

use crate::model::Hash256;
use std::path::Path;

/// Words that software tokens call themselves by.
const WORDS: &[&str] = &["softhsm", "kryoptic", "nss", "mozilla", "opencryptoki", "simulator", "software"];

/// SHA-256 of files that distributions ship.
const FILES: &[(&str, &str)] = &[
    ("10a23f17bc75e66a55c3a7b727ad00b6a5f3573da8841ab799e6da9cc201db7e", "SoftHSM 2.6.1 (Debian 12, amd64)"),
    ("5f3707ba2c0ee6c0cbc1863b25181511ead7d6b142549b4b3295b658943eb0b0", "NSS 3.87.1 (Debian 12, amd64)"),
];

/// Names that their files export, need or are called by.
const SYMBOLS: &[(&str, &str)] = &[
    ("NSC_GetFunctionList", "NSS"),
    ("FC_GetFunctionList", "NSS"),
    ("libsoftokn3.so", "NSS"),
    ("libsofthsm2.so", "SoftHSM"),
    ("libsofthsm.so", "SoftHSM"),
    ("libkryoptic_pkcs11.so", "kryoptic"),
    ("libopencryptoki.so", "openCryptoki"),
    ("PKCS11_SW.so", "openCryptoki's software token"),
    ("libpkcs11mock.so", "a mock"),
];

/// Largest file whose symbols are read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// Whether token or module call themselves something that software is called.
pub(super) fn by_name(said: &[&String]) -> bool {
    said.iter().map(|text| text.to_lowercase()).any(|text| WORDS.iter().any(|word| text.contains(word)))
}

/// What software a file is, if it is known.
pub(super) fn by_file(path: &Path, sha256: Hash256) -> Option<&'static str> {
    let hash = sha256.to_string();
    let known = FILES.iter().find(|(known, _)| *known == hash).map(|(_, name)| *name);
    known.or_else(|| {
        let small = std::fs::metadata(path).is_ok_and(|facts| facts.len() <= MAX_FILE);
        let bytes = if small { std::fs::read(path).ok()? } else { return None };
        let names = names(&bytes)?;
        let mut names = names.split(|byte| *byte == 0);
        names.find_map(|name| {
            let is = |(symbol, _): &&(&str, &str)| {
                let rest = name.strip_prefix(symbol.as_bytes());
                // Libraries are called by their version, too.
                rest.is_some_and(|rest| rest.is_empty() || (symbol.ends_with(".so") && rest.starts_with(b".")))
            };
            SYMBOLS.iter().find(is).map(|(_, software)| *software)
        })
    })
}

/// The strings of a library's dynamic symbol table (ELF-64, little-endian): `.dynstr`, by way of the section headers.
fn names(bytes: &[u8]) -> Option<&[u8]> {
    const DYNSYM: u64 = 11;
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let number = |at: usize, size: usize| {
        let field = bytes.get(at..at.checked_add(size)?)?;
        Some(field.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte)))
    };
    let place = |at: usize, size: usize| usize::try_from(number(at, size)?).ok();
    let (table, size, count) = (place(0x28, 8)?, place(0x3a, 2)?, place(0x3c, 2)?);
    let section = |index: usize| table.checked_add(size.checked_mul(index)?);
    let mut sections = (0..count).filter_map(section);
    let symbols = sections.find(|at| at.checked_add(4).and_then(|at| number(at, 4)) == Some(DYNSYM))?;
    let strings = section(place(symbols.checked_add(0x28)?, 4)?)?;
    let (start, length) = (place(strings.checked_add(0x18)?, 8)?, place(strings.checked_add(0x20)?, 8)?);
    bytes.get(start..start.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_hash_or_by_their_symbols() {
        let nowhere = Path::new("/nonexistent");
        let (hash, _) = FILES[0];
        assert!(by_file(nowhere, hash.parse().unwrap()).unwrap().starts_with("SoftHSM"));
        assert_eq!(by_file(nowhere, Hash256([0; 32])), None);
        // By its symbols: the hash is another one.
        for (path, name) in
            [("/usr/lib/softhsm/libsofthsm2.so", "SoftHSM"), ("/usr/lib/x86_64-linux-gnu/libsoftokn3.so", "NSS")]
        {
            if Path::new(path).exists() {
                assert_eq!(by_file(Path::new(path), Hash256([0; 32])), Some(name));
            }
        }
        assert_eq!(by_file(&std::env::current_exe().unwrap(), Hash256([0; 32])), None);
    }

    #[test]
    fn a_file_that_lies_about_its_sections_gives_no_names() {
        let mut elf = vec![0_u8; 0x40];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(names(&elf), None);
        for (at, value) in [(0x28, u64::MAX), (0x28, 0x20)] {
            elf[at..at + 8].copy_from_slice(&value.to_le_bytes());
            elf[0x3a..0x3e].copy_from_slice(&[0xff; 4]);
            assert_eq!(names(&elf), None);
        }
        assert_eq!(names(b"\x7fELF"), None);
    }
}

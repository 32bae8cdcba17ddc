//! The files that `published/` has (design §4), each held to what its name says.
//!
//! Only these are committed. Whatever else lies there is its owner's: it is looked through for private
//! material, and then left alone.

use crate::crypto::jcs;
use crate::crypto::note::{SignedNote, VerifierKey};
use crate::error::Result;
use crate::pki::certificate::Certificate as X509;
use crate::pki::crl::Crl;
use crate::pki::openpgp::certificate::Certificate as OpenPgp;
use crate::pki::pem;

/// What a published file is, told by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `certs/*.pem`.
    Certificate,
    /// `crl/*.crl`.
    Crl,
    /// `apt/KEY.pgp`, and the same in the keyring package.
    Keyring,
    /// `apt/KEY.asc`.
    ArmoredKeyring,
    /// `apt/KEY.sources`, and the control file of the keyring package.
    Text,
    /// `keys.json`.
    Register,
    /// `ledger.pub`.
    LedgerKeys,
    /// `checkpoint`.
    Checkpoint,
}

/// The largest `keys.json`.
const MAX_REGISTER: usize = 16 << 20;
/// The most certificates in one file.
const MAX_CERTIFICATES: usize = 256;

impl Kind {
    /// By the path relative to `published/`, with `/`; `None` for a file that is not ours.
    pub fn of(path: &str) -> Option<Self> {
        let parts: Vec<_> = path.split('/').collect();
        let named = |name: &str, ending: &str| name.strip_suffix(ending).is_some_and(is_name);
        match parts.as_slice() {
            ["keys.json"] => Some(Kind::Register),
            ["ledger.pub"] => Some(Kind::LedgerKeys),
            ["checkpoint"] => Some(Kind::Checkpoint),
            ["certs", name] if named(name, ".pem") => Some(Kind::Certificate),
            ["crl", name] if named(name, ".crl") => Some(Kind::Crl),
            ["apt", name] if named(name, ".pgp") => Some(Kind::Keyring),
            ["apt", name] if named(name, ".asc") => Some(Kind::ArmoredKeyring),
            ["apt", name] if named(name, ".sources") => Some(Kind::Text),
            ["apt", package, "DEBIAN", "control"] if is_name(package) => Some(Kind::Text),
            ["apt", package, "usr", "share", "keyrings", name] if is_name(package) => {
                (name.strip_suffix(".pgp") == Some(*package)).then_some(Kind::Keyring)
            }
            _ => None,
        }
    }

    /// What is wrong with such a file that holds these bytes, in words.
    pub fn objection(self, bytes: &[u8]) -> Option<String> {
        let wrong = |checked: Result<()>| checked.err().map(|error| error.full());
        match self {
            Kind::Certificate => match only_blocks(bytes, "CERTIFICATE") {
                false => Some("something stands beside the certificates".to_owned()),
                true => wrong(
                    pem::decode(pem::label::CERTIFICATE, bytes, MAX_CERTIFICATES)
                        .and_then(|blocks| blocks.iter().try_for_each(|block| X509::parse(block).map(drop))),
                ),
            },
            Kind::Crl => wrong(Crl::parse(bytes).map(drop)),
            Kind::Keyring => wrong(OpenPgp::parse_all(bytes).map(drop)),
            Kind::ArmoredKeyring => match only_blocks(bytes, "PGP PUBLIC KEY BLOCK") {
                false => Some("something stands beside the keys".to_owned()),
                true => wrong(OpenPgp::parse_all(bytes).map(drop)),
            },
            Kind::Text => {
                let text =
                    std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(|c| c.is_control() && c != '\n'));
                (!text).then(|| "it is no plain text".to_owned())
            }
            Kind::Register => wrong(jcs::parse_strict(bytes, MAX_REGISTER).map(drop)),
            Kind::LedgerKeys => {
                let line = |line: &str| line.parse::<VerifierKey>().is_ok();
                let keys = std::str::from_utf8(bytes).is_ok_and(|text| text.lines().all(line));
                (!keys).then(|| "a line is no verifier key".to_owned())
            }
            Kind::Checkpoint => wrong(SignedNote::parse(bytes).map(drop)),
        }
    }
}

/// Names that keyctl gives: nothing hidden, nothing that a shell or git could take otherwise.
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"@._+-".contains(&b);
    (1..=128).contains(&name.len())
        && name.bytes().all(fits)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && !name.contains("..")
}

/// Whether the text is blocks with this label and blank lines.
fn only_blocks(bytes: &[u8], label: &str) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let (mut inside, mut any) = (false, false);
    for line in text.lines().map(str::trim_end) {
        match (inside, line) {
            (false, line) if line == begin => (inside, any) = (true, true),
            (true, line) if line == end => inside = false,
            (false, "") => {}
            (false, _) => return false,
            (true, line) if line.starts_with("-----") => return false,
            (true, _) => {}
        }
    }
    any && !inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_that_keyctl_gives_are_ours() {
        for (path, kind) in [
            ("keys.json", Kind::Register),
            ("ledger.pub", Kind::LedgerKeys),
            ("checkpoint", Kind::Checkpoint),
            ("certs/root-1.pem", Kind::Certificate),
            ("certs/windows-3@secondary.pem", Kind::Certificate),
            ("crl/windows-ca-12.crl", Kind::Crl),
            ("apt/apt.pgp", Kind::Keyring),
            ("apt/apt.asc", Kind::ArmoredKeyring),
            ("apt/apt.sources", Kind::Text),
            ("apt/apt-keyring/DEBIAN/control", Kind::Text),
            ("apt/apt-keyring/usr/share/keyrings/apt-keyring.pgp", Kind::Keyring),
        ] {
            assert_eq!(Kind::of(path), Some(kind), "{path}");
        }
        for path in [
            "",
            "README.md",
            "keys.json/x",
            "certs/root-1.key",
            "certs/.hidden.pem",
            "certs/a/b.pem",
            "certs/.pem",
            "certs/Root.pem",
            "certs/a..b.pem",
            "certs/-x.pem",
            "crl/a.pem",
            "apt/apt-keyring/DEBIAN/postinst",
            "/keys.json",
            "apt/a/usr/share/keyrings/b.pgp",
            "certs\\x.pem",
            "./keys.json",
            "certs/a b.pem",
        ] {
            assert_eq!(Kind::of(path), None, "{path}");
        }
    }

    #[test]
    fn a_file_is_what_its_name_says() {
        let good = crate::pki::pem::encode("CERTIFICATE", b"\x30\x00").unwrap();
        assert!(Kind::Certificate.objection(good.as_bytes()).is_some(), "no certificate inside");
        assert!(Kind::Certificate.objection(b"").is_some() && Kind::Certificate.objection(b"\x30\x00").is_some());
        let beside = Kind::Certificate.objection(format!("# mine\n{good}").as_bytes()).unwrap();
        assert!(beside.contains("beside"), "{beside}");
        assert!(Kind::Certificate.objection(format!("{good}tail").as_bytes()).unwrap().contains("beside"));
        assert!(Kind::Crl.objection(good.as_bytes()).is_some() && Kind::Keyring.objection(b"no").is_some());
        assert!(Kind::ArmoredKeyring.objection(b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n").is_some());
        assert_eq!(Kind::Text.objection(b"Types: deb\nURIs: x\n"), None);
        assert!(Kind::Text.objection(b"a\0b").is_some() && Kind::Text.objection(b"\xff").is_some());
        assert_eq!(Kind::Register.objection(b"{\"a\": 1}\n"), None);
        assert!(Kind::Register.objection(b"{\"a\":1,\"a\":2}").is_some());
        assert!(Kind::LedgerKeys.objection(b"hello\n").is_some() && Kind::Checkpoint.objection(b"hello\n").is_some());
    }
}

//! What clients need, as bytes: keyring files, `sources` entries, the control file of a keyring package.
//!
//! A new key may sign once every client that updates has had time to get the keyring with it (rule R3). The
//! trust root of most APT clients is a file that was fetched once, so a key that signs too early looks to
//! them like a break-in. That is why publishing closes a permit: the ledger says when, and a gate counts from it.

use crate::error::{Error, Result};
use crate::pki::openpgp::certificate::Certificate;

/// A keyring in both of its published forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    /// Binary, for `Signed-By` paths and packages (`NAME.pgp`).
    pub binary: Vec<u8>,
    /// Armoured, for people and inline use (`NAME.asc`).
    pub armored: String,
}

/// Makes both forms of a keyring. Several certificates go into the armoured form as one block each.
///
/// # Errors
/// `empty_keyring`.
pub fn keyring(certificates: &[Certificate]) -> Result<Keyring> {
    if certificates.is_empty() {
        return Err(Error::usage("empty_keyring", "a keyring has at least one certificate"));
    }
    let mut keyring = Keyring { binary: Vec::new(), armored: String::new() };
    for certificate in certificates {
        keyring.binary.extend(certificate.to_bytes()?);
        keyring.armored.push_str(&certificate.to_armored()?);
    }
    Ok(keyring)
}

/// How a `sources` entry names its keyring.
#[derive(Clone, Copy, Debug)]
pub enum SignedBy<'a> {
    /// An absolute path; the form for keyrings that come in a package and can be updated.
    Path(&'a str),
    /// The armoured keyring itself; nothing will ever update it.
    Inline(&'a str),
}

/// One entry of `/etc/apt/sources.list.d/NAME.sources` (sources.list(5), deb822 style).
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// `deb`, `deb-src`.
    pub types: &'a [&'a str],
    /// Where the archive is.
    pub uris: &'a [&'a str],
    /// Suites, or one path ending in `/` for a flat repository.
    pub suites: &'a [&'a str],
    /// Components; none for a flat repository.
    pub components: &'a [&'a str],
    /// Architectures; none for all that the client has.
    pub architectures: &'a [&'a str],
}

/// Writes a `sources` entry.
///
/// # Errors
/// `bad_source`: a value that is empty, or has blanks or control characters; a relative path.
pub fn sources(source: &Source<'_>, signed_by: SignedBy<'_>) -> Result<String> {
    let mut out = String::new();
    let fields = [
        ("Types", source.types, true),
        ("URIs", source.uris, true),
        ("Suites", source.suites, true),
        ("Components", source.components, false),
        ("Architectures", source.architectures, false),
    ];
    for (name, values, required) in fields {
        let plain = values.iter().all(|value| is_word(value));
        if !plain || (required && values.is_empty()) {
            return Err(Error::usage("bad_source", format!("{name} is empty, or has a value with blanks in it")));
        }
        if !values.is_empty() {
            out.push_str(&format!("{name}: {}\n", values.join(" ")));
        }
    }
    match signed_by {
        SignedBy::Path(path) if path.starts_with('/') && is_word(path) => out.push_str(&format!("Signed-By: {path}\n")),
        SignedBy::Path(_) => return Err(Error::usage("bad_source", "Signed-By is not an absolute path")),
        SignedBy::Inline(armored) => {
            out.push_str("Signed-By:\n");
            for line in armored.lines() {
                out.push_str(&if line.is_empty() { " .\n".to_owned() } else { format!(" {line}\n") });
            }
        }
    }
    Ok(out)
}

fn is_word(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| !c.is_whitespace() && !c.is_control())
}

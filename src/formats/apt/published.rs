//! What clients need: keyring files, `sources` entries, a keyring package.
//!
//! A new key may sign once every client that updates has had time to get the keyring with it (rule R3). The
//! trust root of most APT clients is a file that was fetched once, so a key that signs too early looks to
//! them like a break-in. That is why publishing closes a permit: the ledger says when, and a gate counts from it.

use super::index::read_bounded;
use crate::error::{Context, Error, Result};
use crate::files::safe;
use crate::gate::{Completes, sealed};
use crate::model::Hash256;
use crate::pki::openpgp::certificate::{Certificate, MAX_KEYRING};
use crate::request::PublishKeyring;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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

/// What goes into a keyring package.
#[derive(Clone, Debug)]
pub struct Package<'a> {
    /// Package name (Debian policy 5.6.7), by custom `NAME-archive-keyring`; also the keyring's file name.
    pub name: &'a str,
    /// Version (policy 5.6.12).
    pub version: &'a str,
    /// `Name <mail>`.
    pub maintainer: &'a str,
    /// One line.
    pub description: &'a str,
}

/// Writes a tree for `dpkg-deb --root-owner-group --build DIR`: `DEBIAN/control` and
/// `usr/share/keyrings/NAME.pgp`. No sources entry is in it, so installing it trusts nothing by itself.
///
/// # Errors
/// `bad_package`: a field that does not fit; `write_failed`, also when `dir` is there already.
pub fn write_package(dir: &Path, package: &Package<'_>, keyring: &Keyring) -> Result<()> {
    check_package(package)?;
    let control = format!(
        "Package: {}\nVersion: {}\nArchitecture: all\nMaintainer: {}\nSection: misc\nPriority: optional\n\
         Multi-Arch: foreign\nDescription: {}\n",
        package.name, package.version, package.maintainer, package.description
    );
    let write = || -> std::io::Result<()> {
        let keyrings = dir.join("usr/share/keyrings");
        fs::create_dir(dir)?;
        fs::create_dir_all(&keyrings)?;
        fs::create_dir(dir.join("DEBIAN"))?;
        let file = keyrings.join(format!("{}.pgp", package.name));
        fs::write(&file, &keyring.binary)?;
        fs::write(dir.join("DEBIAN/control"), control)?;
        // dpkg-deb takes the modes as they are, whatever the umask was.
        for (path, mode) in [
            (dir.to_path_buf(), 0o755),
            (dir.join("DEBIAN"), 0o755),
            (dir.join("DEBIAN/control"), 0o644),
            (dir.join("usr"), 0o755),
            (dir.join("usr/share"), 0o755),
            (keyrings, 0o755),
            (file, 0o644),
        ] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    };
    write().or_failed("write_failed", || "the package tree cannot be written".into())
}

/// What is published for one key.
#[derive(Clone, Debug)]
pub struct Publication<'a> {
    /// File name without ending: the key's name.
    pub name: &'a str,
    /// The keyring.
    pub keyring: Keyring,
    /// The keyring package.
    pub package: Package<'a>,
    /// The `sources` entry, where it is known what it says.
    pub sources: Option<String>,
}

impl Publication<'_> {
    /// Whether `dir` holds this keyring already, in both forms.
    pub fn is_in_place(&self, dir: &Path) -> bool {
        let same = |ending: &str, content: &[u8]| {
            let file = dir.join(format!("{}.{ending}", self.name));
            read_bounded(&file, MAX_KEYRING).is_ok_and(|found| found.as_deref() == Some(content))
        };
        same("pgp", &self.keyring.binary) && same("asc", self.keyring.armored.as_bytes())
    }

    /// Writes `NAME.pgp`, `NAME.asc`, `NAME.sources` and the tree `PACKAGE/` into `dir`, readable for all, and
    /// reads the keyring back.
    ///
    /// # Errors
    /// `write_failed`, `bad_package`; `keyring_changed` when the file does not read back as it was made.
    pub fn publish(&self, dir: &Path) -> Result<Published> {
        let file = |ending: &str| dir.join(format!("{}.{ending}", self.name));
        self.replace_package(dir)?;
        if let Some(sources) = &self.sources {
            safe::write_atomic(&file("sources"), sources.as_bytes(), 0o644)?;
        }
        safe::write_atomic(&file("asc"), self.keyring.armored.as_bytes(), 0o644)?;
        safe::write_atomic(&file("pgp"), &self.keyring.binary, 0o644)?;
        let found = safe::read_bounded(&file("pgp"), self.keyring.binary.len() as u64)?;
        let sha256 = Hash256::of(&self.keyring.binary);
        if Hash256::of(&found) != sha256 {
            return Err(Error::failed("keyring_changed", "the published keyring does not read back as it was made"));
        }
        Ok(Published { sha256 })
    }

    /// The tree is made aside, so that nobody builds half of it.
    fn replace_package(&self, dir: &Path) -> Result<()> {
        let (new, tree) = (dir.join(format!(".{}.new", self.package.name)), dir.join(self.package.name));
        let remove = |path: &Path| match fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::failed("write_failed", "an old package tree cannot be removed").because(error))
            }
            _ => Ok(()),
        };
        remove(&new)?;
        write_package(&new, &self.package, &self.keyring)?;
        remove(&tree)?;
        fs::rename(&new, &tree).or_failed("write_failed", || "the package tree cannot be renamed".into())
    }
}

/// A keyring that was written and read back. It closes the permit.
#[derive(Debug)]
pub struct Published {
    sha256: Hash256,
}

impl sealed::Sealed for Published {}

impl Completes<PublishKeyring> for Published {
    fn done(&self) -> Value {
        json!({ "sha256": self.sha256 })
    }
}

fn check_package(package: &Package<'_>) -> Result<()> {
    let bad = |what: &str| Err(Error::usage("bad_package", format!("the package's {what} does not fit")));
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let name = package.name.as_bytes();
    let starts = name.first().is_some_and(|first| lower(*first));
    if !starts || !(2..=64).contains(&name.len()) || !name.iter().all(|&byte| lower(byte) || b"+-.".contains(&byte)) {
        return bad("name");
    }
    let version = package.version.as_bytes();
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b".+~-".contains(byte);
    if !version.first().is_some_and(u8::is_ascii_digit) || !version.iter().all(fits) {
        return bad("version");
    }
    let is_line = |text: &str| !text.trim().is_empty() && text.len() <= 200 && !text.chars().any(char::is_control);
    if !is_line(package.maintainer) || !package.maintainer.ends_with('>') || !package.maintainer.contains(" <") {
        return bad("maintainer");
    }
    if is_line(package.description) { Ok(()) } else { bad("description") }
}

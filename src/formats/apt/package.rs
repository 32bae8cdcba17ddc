//! The Debian package that brings a keyring to the clients of an archive: its control files and its content, as bytes.

use crate::clock::Time;
use crate::error::{Error, Result};
use crate::model::hex;
use openssl::hash::{MessageDigest, hash};

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
    /// When it was made.
    pub date: Time,
}

impl Package<'_> {
    /// The package's `DEBIAN/control`.
    ///
    /// # Errors
    /// `bad_package`: a field that does not fit.
    pub fn control(&self) -> Result<String> {
        check_package(self)?;
        Ok(format!(
            "Package: {}\nVersion: {}\nArchitecture: all\nMaintainer: {}\nSection: misc\nPriority: optional\n\
             Multi-Arch: foreign\nDescription: {}\n It has the keys that this archive is signed with now, will be signed with next, and was \
             signed\n with before; those that were revoked are marked so.\n",
            self.name, self.version, self.maintainer, self.description
        ))
    }

    /// Every file of the package but its control files, by its path in the root folder.
    ///
    /// # Errors
    /// As [`Package::control`].
    pub fn files(&self, keyring: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
        check_package(self)?;
        let Package { name, version, maintainer, date, .. } = self;
        let changelog = format!(
            "{name} ({version}) unstable; urgency=medium\n\n  * The keyring as it was published.\n\n -- {maintainer}  {}\n",
            date.format("%a, %d %b %Y %H:%M:%S +0000")
        );
        let copyright = format!(
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\n\
             Copyright: {} {maintainer}\nLicense: public-domain\n These are public keys, which are facts and no work of anybody.\n",
            date.format("%Y")
        );
        let doc = format!("usr/share/doc/{name}");
        Ok(vec![
            (format!("usr/share/keyrings/{name}.pgp"), keyring.to_vec()),
            (format!("{doc}/changelog.gz"), gzip(changelog.as_bytes())),
            (format!("{doc}/copyright"), copyright.into_bytes()),
        ])
    }
}

/// The lines of `DEBIAN/md5sums`, with which dpkg notices damage.
///
/// # Errors
/// Only a bug.
pub fn md5sums(files: &[(String, Vec<u8>)]) -> Result<String> {
    let mut lines = String::new();
    for (path, content) in files {
        let sum = hash(MessageDigest::md5(), content).map_err(|error| Error::bug("no MD5").because(error))?;
        lines.push_str(&format!("{}  {path}\n", hex(&sum)));
    }
    Ok(lines)
}

/// A gzip file (RFC 1952) with its content stored as it is: a changelog is short, and has to have this form.
fn gzip(content: &[u8]) -> Vec<u8> {
    // No name and no time, and what Debian wants to read there: that it was compressed as well as possible.
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3];
    let blocks = content.chunks(0xffff);
    let last = blocks.len().saturating_sub(1);
    for (number, block) in blocks.enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(number == last));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(crc32(content).to_le_bytes());
    out.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
    out
}

fn crc32(content: &[u8]) -> u32 {
    !content.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1)))
    })
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

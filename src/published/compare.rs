//! What every published file has to be, by ledger and register, and what is found instead.
//!
//! What lies in `published/` is what others trust: roots, keyrings, ledger keys. Whoever could change it there would have
//! keyctl itself commit and push anchors of their own. So before anything is committed each file is held against what the
//! ledger says. What can be made again is; what cannot stops the publication.

use crate::error::{Error, Result, shown};
use crate::files::safe;
use crate::formats::apt::published::keyring;
use crate::keys::Credential;
use crate::keys::rotation::{certificate_file, link_file};
use crate::ledger::heads::PUBLISHED;
use crate::ledger::query;
use crate::model::{Hash256, KeyName};
use crate::pki::openpgp::certificate::Certificate;
use crate::publication::known::Kind;
use crate::published::keyring_files::apt_keys;
use crate::published::{certificates, keyrings, register};
use crate::world::World;
use std::collections::BTreeMap;
use std::path::Path;

/// The largest published file that is compared: a list at its limit.
const MAX_FILE: u64 = 128 << 20;

/// What a file has to be.
#[derive(Clone, Debug)]
enum Says {
    /// These bytes, which can be made again.
    Bytes(Vec<u8>),
    /// The list with this hash, or the next one.
    List(Hash256, KeyName),
    /// A keyring in either form, with what was recorded or what the register says by now.
    Keyring(Vec<Hash256>),
    /// The control file of a keyring package; its version has the date it was made on.
    Control(String),
    /// A head of this ledger: here the newest one that is known.
    Head(Vec<u8>),
}

/// What the ledger says of every file.
#[derive(Clone, Debug, Default)]
pub struct Truth(BTreeMap<String, Says>);

/// A file that is not what it has to be.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Within `published/`.
    pub path: String,
    /// In words.
    pub why: String,
    /// What to type; none if it can be made again here.
    pub hint: Option<String>,
    /// It is not of this workspace at all: it is left alone, and not committed.
    pub is_foreign: bool,
}

impl Truth {
    /// As ledger, register and settings have it now.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn of(world: &World) -> Result<Self> {
        let conn = world.ledger.connection();
        let mut truth = BTreeMap::new();
        let generations = query::generations(conn)?;
        truth.insert("keys.json".to_owned(), Says::Bytes(register::document(world)?.into_bytes()));
        truth.insert("ledger.pub".to_owned(), Says::Bytes(register::ledger_keys(world).into_bytes()));
        if let Some(note) = world.ledger.latest_checkpoint()? {
            let name = PUBLISHED.trim_start_matches("published/");
            truth.insert(name.to_owned(), Says::Head(note.to_string().into_bytes()));
        }
        for generation in &generations {
            if let Some(Credential::X509 { certificate, .. }) = generation.credential() {
                let pem = certificates::pem(certificate)?.into_bytes();
                truth.insert(certificate_file(&generation.id), Says::Bytes(pem));
            }
            if let Some(list) = query::published_crl(conn, &generation.id)? {
                let name = format!("crl/{}-{}.crl", generation.id.key, generation.id.number);
                truth.insert(name, Says::List(list.sha256, generation.id.key.clone()));
            }
        }
        for link in query::rotation::all_root_links(conn)? {
            if let Credential::X509 { certificate, .. } = &link.credential {
                let pem = certificates::pem(certificate)?.into_bytes();
                truth.insert(link_file(&link.subject, &link.issuer), Says::Bytes(pem));
            }
        }
        for key in apt_keys(&generations) {
            apt(world, &key, &mut truth)?;
        }
        Ok(Truth(truth))
    }

    /// Why a file with these bytes is not what it has to be.
    pub fn objection(&self, world: &World, path: &str, bytes: &[u8]) -> Option<String> {
        let other = || Some("it is not what the ledger says".to_owned());
        match self.0.get(path) {
            None => Some("the ledger knows no such file".to_owned()),
            Some(Says::Bytes(wanted)) if wanted == bytes => None,
            Some(Says::List(sha256, _)) if Hash256::of(bytes) == *sha256 => None,
            Some(Says::Keyring(hashes)) if binary(bytes).is_some_and(|found| hashes.contains(&found)) => None,
            Some(Says::Control(wanted)) if same_control(wanted, bytes) => None,
            Some(Says::Head(_)) if world.knows_head(bytes) => None,
            Some(_) => other(),
        }
    }

    /// What differs among the files in the folder. Files that are missing are not looked for here.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn differences(&self, world: &World) -> Result<Vec<Difference>> {
        let mut found = Vec::new();
        let folder = world.dir.join("published");
        for path in files(&folder)? {
            let bytes = match safe::read_bounded(&folder.join(&path), MAX_FILE) {
                Err(error) if error.code() == "not_found" => continue,
                // What is no file at all is the survey's to refuse.
                Err(error) if matches!(error.code(), "symlink" | "not_a_file") => continue,
                read => read?,
            };
            let Some(why) = self.objection(world, &path, &bytes) else { continue };
            let hint = match self.0.get(&path) {
                Some(Says::List(_, key)) => Some(format!("keyctl crl {key} --now")),
                _ => None,
            };
            found.push(Difference { is_foreign: !self.0.contains_key(&path), path, why, hint });
        }
        Ok(found)
    }
}

/// Puts what differs back as the ledger says it, and tells of it.
///
/// # Errors
/// `published_changed` with a file that cannot be made again here; write errors.
pub(crate) fn restore(world: &World) -> Result<Truth> {
    let truth = Truth::of(world)?;
    let differences = truth.differences(world)?;
    let mut stuck = None;
    for difference in differences.iter().filter(|difference| !difference.is_foreign) {
        let place = world.dir.join("published").join(&difference.path);
        match (truth.0.get(&difference.path), difference.hint.clone()) {
            (Some(Says::Bytes(bytes) | Says::Head(bytes)), _) => drop(safe::write_atomic(&place, bytes, 0o644)?),
            (Some(Says::Keyring(_) | Says::Control(_)), _) if keyrings::put_back(world, &difference.path)? => {}
            (_, hint) => {
                stuck.get_or_insert((difference.clone(), hint.unwrap_or_else(|| "keyctl recover".to_owned())));
                continue;
            }
        }
        let path = shown(&difference.path);
        world.ui().warn(&format!("published/{path}: {}; it was put back as the ledger has it", difference.why));
    }
    match stuck {
        None => Ok(truth),
        Some((difference, hint)) => {
            let message = format!("published/{}: {}, so nothing is published", shown(&difference.path), difference.why);
            Err(Error::blocked("published_changed", message).hint(hint))
        }
    }
}

/// What belongs to an APT key.
fn apt(world: &World, key: &KeyName, truth: &mut BTreeMap<String, Says>) -> Result<()> {
    let Some(recorded) = query::keyring(world.ledger.connection(), key)? else { return Ok(()) };
    let Some(expected) = keyrings::expected(world, key)? else { return Ok(()) };
    let hashes = vec![recorded.sha256, Hash256::of(&expected.keyring.binary)];
    for name in [format!("apt/{key}.pgp"), format!("apt/{key}.asc")] {
        truth.insert(name, Says::Keyring(hashes.clone()));
    }
    let package = &expected.package;
    truth.insert(format!("apt/{package}/usr/share/keyrings/{package}.pgp"), Says::Keyring(hashes));
    truth.insert(format!("apt/{package}/DEBIAN/control"), Says::Control(expected.control));
    if let Some(sources) = expected.sources {
        truth.insert(format!("apt/{key}.sources"), Says::Bytes(sources.into_bytes()));
    }
    Ok(())
}

/// The hash of a keyring's binary form, whichever form it is in. The forms are one only if nothing stands beside the keys.
fn binary(bytes: &[u8]) -> Option<Hash256> {
    let made = keyring(&Certificate::parse_all(bytes).ok()?).ok()?;
    let same = made.binary == bytes || made.armored.as_bytes() == bytes;
    same.then(|| Hash256::of(&made.binary))
}

fn same_control(wanted: &str, found: &[u8]) -> bool {
    let Ok(found) = std::str::from_utf8(found) else { return false };
    let is_date = |line: &str| {
        let version = line.strip_prefix("Version: ").unwrap_or_default();
        version.split('.').count() == 4 && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let version = found.lines().find(|line| line.starts_with("Version: ")).filter(|line| is_date(line));
    let rest =
        |text: &str| text.lines().filter(|line| !line.starts_with("Version: ")).map(str::to_owned).collect::<Vec<_>>();
    version.is_some() && rest(wanted) == rest(found) && wanted.lines().count() == found.lines().count()
}

/// The files in the folder that have names of ours.
fn files(folder: &Path) -> Result<Vec<String>> {
    let (mut found, mut ahead) = (Vec::new(), vec![String::new()]);
    while let Some(prefix) = ahead.pop() {
        // As deep as the keyring package; nothing of ours lies deeper.
        if prefix.matches('/').count() > 6 || found.len() > 100_000 {
            continue;
        }
        let Ok(entries) = std::fs::read_dir(folder.join(&prefix)) else { continue };
        for entry in entries {
            let entry = entry?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && path != ".git" => ahead.push(format!("{path}/")),
                Ok(_) if Kind::of(&path).is_some() => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_file_differs_by_its_date_only() {
        let control = "Package: a\nVersion: 2026.11.29.1\nMaintainer: A <a@b>\n";
        assert!(same_control(control, control.as_bytes()));
        assert!(same_control(control, control.replace("29.1", "30.2").as_bytes()));
        for other in [
            control.replace("Package: a", "Package: b"),
            control.replace("2026.11.29.1", "2026.11.29.1-evil"),
            format!("{control}Depends: evil\n"),
            format!("{control}Version: 2026.11.29.1\n"),
            control.replace("Version: 2026.11.29.1\n", ""),
        ] {
            assert!(!same_control(control, other.as_bytes()), "{other}");
        }
        assert!(!same_control(control, b"\xff"));
    }
}

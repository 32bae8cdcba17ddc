//! The keyring files of APT keys in `published/apt`: which certificates belong into them, whether they are in place,
//! and writing them. Whether they should be written, and that it is recorded, is decided elsewhere.

use crate::config::Settings;
use crate::error::{Context, Error, Result};
use crate::files::safe;
use crate::formats::apt::index::read_bounded;
use crate::formats::apt::package::{Package, md5sums};
use crate::formats::apt::published::Keyring;
use crate::gate::{Completes, sealed};
use crate::keys::Generation;
use crate::ledger::query;
use crate::model::{Hash256, KeyName, Purpose};
use crate::pki::openpgp::certificate::{Certificate, MAX_KEYRING};
use crate::pki::openpgp::certification;
use crate::policy::{Gate, gates};
use crate::request::PublishKeyring;
use crate::world::World;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The generations of an APT key that belong into its keyring: all that were ever certified. Old ones stay, since
/// what they signed is still out there.
pub(crate) fn in_keyring(all: &[Generation], key: &KeyName) -> Vec<Generation> {
    let certified = |generation: &&Generation| generation.id.key == *key && generation.purpose == Purpose::Apt;
    all.iter().filter(certified).filter(|generation| generation.credential().is_some()).cloned().collect()
}

/// The certificates of an APT key, as they are published.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn certificates(world: &World, key: &KeyName) -> Result<Vec<Certificate>> {
    let all = query::generations(world.ledger.connection())?;
    merged(world, &all, &in_keyring(&all, key))
}

/// What the register knows of these generations' certificates. The primary keys' own records are part of it: they say
/// whether the whole certificate is revoked.
pub(crate) fn merged(world: &World, all: &[Generation], generations: &[Generation]) -> Result<Vec<Certificate>> {
    let mut known: Vec<&Generation> = generations.iter().collect();
    for generation in generations {
        let primary = query::issuer(world.ledger.connection(), &generation.id)?;
        known.extend(all.iter().filter(|other| Some(&other.id) == primary.as_ref()));
    }
    certification::merged(known.into_iter().filter_map(Generation::credential))
}

/// The name of the keyring file within `published/`.
pub(crate) fn keyring_file(key: &KeyName) -> String {
    format!("apt/{key}.pgp")
}

pub(crate) fn keyring_path(world: &World, key: &KeyName) -> PathBuf {
    world.dir.join("published").join(keyring_file(key))
}

/// SHA-256 of the published keyring file as it is; `None` when there is none.
///
/// # Errors
/// It cannot be read.
pub(crate) fn keyring_hash(world: &World, key: &KeyName) -> Result<Option<Hash256>> {
    let path = keyring_path(world, key);
    match path.try_exists() {
        Ok(false) => Ok(None),
        _ => Ok(Some(Hash256::of(&safe::read_bounded(&path, MAX_KEYRING as u64)?))),
    }
}

/// The certificates in the published keyring of an APT key.
///
/// # Errors
/// It cannot be read.
pub(crate) fn published_keyring(world: &World, key: &KeyName) -> Result<Vec<Certificate>> {
    Certificate::parse_all(&safe::read_bounded(&keyring_path(world, key), MAX_KEYRING as u64)?)
}

/// Every published keyring of this workspace.
///
/// # Errors
/// One cannot be read.
pub(crate) fn published_keyrings(world: &World) -> Result<Vec<Certificate>> {
    let mut all = Vec::new();
    for key in apt_keys(&query::generations(world.ledger.connection())?) {
        let path = keyring_path(world, &key);
        if path.try_exists().unwrap_or(true) {
            all.extend(Certificate::parse_all(&safe::read_bounded(&path, MAX_KEYRING as u64)?)?);
        }
    }
    Ok(all)
}

pub(crate) fn apt_keys(all: &[Generation]) -> Vec<KeyName> {
    let mut names: Vec<_> =
        all.iter().filter(|generation| generation.purpose == Purpose::Apt).map(|g| g.id.key.clone()).collect();
    names.dedup();
    names
}

/// The gate `KeyringPublished`, as it stands now.
///
/// # Errors
/// The ledger or the published file cannot be read.
pub(crate) fn keyring_gate(world: &World, generation: &Generation, settings: &Settings) -> Result<Gate> {
    let recorded = query::keyring(world.ledger.connection(), &generation.id.key)?;
    let file = keyring_hash(world, &generation.id.key)?.map(|hash| hash.to_string());
    let days = settings.rotation.publish_safety_days;
    let now = world.globals.clock.now();
    Ok(gates::keyring_published(generation, recorded.as_ref(), file.as_deref(), days, now, false))
}

/// Writes a tree for `dpkg-deb --root-owner-group --build DIR`: `DEBIAN/control` and
/// `usr/share/keyrings/NAME.pgp`. No sources entry is in it, so installing it trusts nothing by itself.
///
/// # Errors
/// `bad_package`: a field that does not fit; `write_failed`, also when `dir` is there already.
pub fn write_package(dir: &Path, package: &Package<'_>, keyring: &Keyring) -> Result<()> {
    let mut files = package.files(&keyring.binary)?;
    let (control, sums) = (package.control()?, md5sums(&files)?);
    files.push(("DEBIAN/control".to_owned(), control.into_bytes()));
    files.push(("DEBIAN/md5sums".to_owned(), sums.into_bytes()));
    let write = || -> std::io::Result<()> {
        // dpkg-deb takes the modes as they are, whatever the umask was.
        let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        fs::create_dir(dir)?;
        open(dir, 0o755)?;
        for (name, content) in &files {
            let path = dir.join(name);
            let folders = Path::new(name).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
            for folder in folders.map(|folder| dir.join(folder)).collect::<Vec<_>>().iter().rev() {
                if !folder.exists() {
                    fs::create_dir(folder)?;
                    open(folder, 0o755)?;
                }
            }
            fs::write(&path, content)?;
            open(&path, 0o644)?;
        }
        Ok(())
    };
    write().or_failed("write_failed", || "the package tree cannot be written".into())
}

/// What is published for one key.
#[derive(Clone, Debug)]
pub struct KeyringFiles<'a> {
    /// File name without ending: the key's name.
    pub name: &'a str,
    /// The keyring.
    pub keyring: Keyring,
    /// The keyring package.
    pub package: Package<'a>,
    /// The `sources` entry, where it is known what it says.
    pub sources: Option<String>,
}

impl KeyringFiles<'_> {
    /// Whether `dir` holds this keyring already, in both forms and in the package.
    pub fn is_in_place(&self, dir: &Path) -> bool {
        let same = |file: String, content: &[u8]| {
            read_bounded(&dir.join(file), MAX_KEYRING).is_ok_and(|found| found.as_deref() == Some(content))
        };
        let package = self.package.name;
        same(format!("{}.pgp", self.name), &self.keyring.binary)
            && same(format!("{}.asc", self.name), self.keyring.armored.as_bytes())
            && same(format!("{package}/usr/share/keyrings/{package}.pgp"), &self.keyring.binary)
    }

    /// Writes `NAME.pgp`, `NAME.asc`, `NAME.sources` and the tree `PACKAGE/` into `dir`, readable for all, and
    /// reads the keyring back.
    ///
    /// # Errors
    /// `write_failed`, `bad_package`; `keyring_changed` when the file does not read back as it was made.
    pub fn publish(&self, dir: &Path) -> Result<KeyringWritten> {
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
        Ok(KeyringWritten { sha256 })
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
pub struct KeyringWritten {
    sha256: Hash256,
}

impl sealed::Sealed for KeyringWritten {}

impl Completes<PublishKeyring> for KeyringWritten {
    fn done(&self) -> Value {
        json!({ "sha256": self.sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::apt::published;
    use crate::formats::apt::tests::scene::{Keys, has, run, text};
    use crate::model::KeyAlgorithm;

    #[test]
    fn dpkg_builds_the_keyring_package() {
        if !has("dpkg-deb") {
            return;
        }
        let keyring =
            published::keyring(&[Keys::new(KeyAlgorithm::Ed25519, KeyAlgorithm::Ed25519).certificate]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let tree: PathBuf = dir.path().join("tree");
        let package = Package {
            name: "example-archive-keyring",
            version: "2026.11.1",
            maintainer: "Example <archive@example.org>",
            description: "keys of the example archive",
            date: crate::clock::parse("2026-11-29T12:00:00Z").unwrap(),
        };
        write_package(&tree, &package, &keyring).unwrap();
        let again = write_package(&tree, &package, &keyring).unwrap_err();
        assert_eq!(again.code(), "write_failed", "a tree that is there is not touched");
        let deb = dir.path().join("x.deb").to_str().unwrap().to_owned();
        let built = run("dpkg-deb", &["--root-owner-group", "--build", tree.to_str().unwrap(), &deb]);
        assert!(built.status.success(), "{}", text(&built));
        let contents = text(&run("dpkg-deb", &["--contents", &deb]));
        assert!(
            contents.contains("-rw-r--r-- root/root") && contents.contains("example-archive-keyring.pgp"),
            "{contents}"
        );
        let out = dir.path().join("out").to_str().unwrap().to_owned();
        assert!(run("dpkg-deb", &["--extract", &deb, &out]).status.success());
        let installed = Path::new(&out).join("usr/share/keyrings/example-archive-keyring.pgp");
        assert_eq!(fs::read(installed).unwrap(), keyring.binary);
    }
}

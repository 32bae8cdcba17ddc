//! Whether a path can be trusted, and small files read and written safely.
//!
//! A workspace decides about signatures, so whoever can change it can sign. [`trusted_path`] therefore walks from `/`
//! to the path, one component at a time, following symlinks by hand, and refuses a component that a stranger owns
//! (not us, not root) or that group or others may write. The one exception is a folder like `/tmp` with the sticky
//! bit: others may add names there but not touch ours.
//!
//! Locks and SQLite's WAL need one host, so network file systems are refused: NFS, SMB1/CIFS/SMB2, AFS, Coda, NCP,
//! Ceph, Lustre, GFS2, OCFS2, and everything behind FUSE, since sshfs and its like cannot be told from the rest.
//! 9P is let through: it is how virtual machines and containers see their own disk.

use super::place::{Placed, Placement, Target, sync_dir};
use super::source::kind_of;
use super::{read_error, shown_path, write_error};
use crate::error::{Context, Error, Result};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

/// As many symlinks as the kernel itself follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// `f_type` of statfs(2) for file systems that more than one host may write.
const NETWORK: [(u32, &str); 12] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564c, "NCP"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x6573_5546, "FUSE"),
];

/// Walks `path` and gives it back without symlinks, every component trusted.
///
/// # Errors
/// `untrusted_path` naming the component and why; `not_found`; usage for too many symlinks.
pub fn trusted_path(path: &Path) -> Result<PathBuf> {
    let start = std::path::absolute(path).map_err(|e| read_error(path, e))?;
    let mut ahead: Vec<OsString> = start.components().rev().filter_map(step).collect();
    let mut here = PathBuf::from("/");
    trusted(&here, &lstat(&here)?)?;
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == OsStr::new("..") {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        let stat = lstat(&next)?;
        trusted(&next, &stat)?;
        if !FileType::from_raw_mode(stat.st_mode).is_symlink() {
            here = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Error::usage("too_many_links", format!("{}: too many symbolic links", shown_path(path))));
        }
        let leads = std::fs::read_link(&next).map_err(|e| read_error(&next, e))?;
        if leads.is_absolute() {
            here = PathBuf::from("/");
        }
        ahead.extend(leads.components().rev().filter_map(step));
    }
    Ok(here)
}

/// Judges one entry of a folder, and not what is above it or where it leads.
///
/// # Errors
/// `untrusted_path` naming it and why; `not_found`.
pub fn trusted_entry(path: &Path) -> Result<()> {
    trusted(path, &lstat(path)?)
}

/// The component as something to walk; the root and `.` are no step.
fn step(component: Component<'_>) -> Option<OsString> {
    match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    }
}

fn lstat(path: &Path) -> Result<Stat> {
    rustix::fs::lstat(path).map_err(|e| read_error(path, e))
}

/// Judges one component.
fn trusted(path: &Path, stat: &Stat) -> Result<()> {
    match distrust(stat, rustix::process::geteuid().as_raw()) {
        None => Ok(()),
        Some(why) => {
            let message = format!("{}: {why}, so what it holds cannot be trusted", shown_path(path));
            Err(Error::blocked("untrusted_path", message)
                .hint(format!("chmod go-w {0}; chown to yourself or root", shown_path(path))))
        }
    }
}

/// Why a component with this owner and mode is not trusted by user `us`.
fn distrust(stat: &Stat, us: u32) -> Option<String> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    if stat.st_uid != us && stat.st_uid != 0 {
        return Some(format!("belongs to user {}", stat.st_uid));
    }
    let sticky_folder = kind.is_dir() && stat.st_mode & 0o1000 != 0;
    // A symlink's mode means nothing; its owner and its folder decide.
    if kind.is_symlink() || sticky_folder || stat.st_mode & 0o022 == 0 {
        return None;
    }
    Some(format!("can be written by {}", if stat.st_mode & 0o002 != 0 { "everyone" } else { "its group" }))
}

/// Refuses a path on a network file system; see the module's text for the list.
///
/// # Errors
/// `network_filesystem` naming its kind; read errors.
pub fn local_filesystem(path: &Path) -> Result<()> {
    let stat = rustix::fs::statfs(path).map_err(|e| read_error(path, e))?;
    match network_kind(stat.f_type as u32) {
        None => Ok(()),
        Some(kind) => Err(Error::usage(
            "network_filesystem",
            format!("{}: is on a network file system ({kind}); a workspace belongs to one host", shown_path(path)),
        )),
    }
}

fn network_kind(magic: u32) -> Option<&'static str> {
    NETWORK.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

/// Makes `path` a folder only we can enter (0700), or makes sure that it is one.
///
/// # Errors
/// `untrusted_path` if it exists and is something else, another's, or open to others; write errors.
pub fn create_private_dir(path: &Path) -> Result<()> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(write_error(path, error)),
    }
    let stat = lstat(path)?;
    let why = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory if stat.st_uid != rustix::process::geteuid().as_raw() => "belongs to someone else",
        FileType::Directory if stat.st_mode & 0o077 != 0 => "is open to group or others",
        FileType::Directory => return Ok(()),
        _ => "is not a folder",
    };
    Err(Error::blocked("untrusted_path", format!("{}: {why} ({})", shown_path(path), kind_of(&stat)))
        .hint(format!("chmod 700 {}", shown_path(path))))
}

/// Writes a small file so that after a crash there is the old one or the new one: temporary file, `fsync`, rename,
/// `fsync` of the folder.
///
/// # Errors
/// `disk_full`, `target_unwritable`, `write_failed`.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<Placed> {
    write_with(path, bytes, mode, Placement::ReplaceAny)
}

/// As [`write_atomic`], but never overwrites.
///
/// # Errors
/// `target_exists`, and those of [`write_atomic`].
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<Placed> {
    write_with(path, bytes, mode, Placement::New)
}

/// Removes a file, durably.
///
/// # Errors
/// Usage if it is not there; write errors.
pub fn remove(path: &Path) -> Result<()> {
    rustix::fs::unlink(path).map_err(|e| write_error(path, e))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty()).map_err(|e| write_error(path, e))?;
    sync_dir(&folder).map_err(|e| write_error(path, e))
}

/// Writes a small file under a name that is free, readable by its owner only, without waiting for the disk. A process
/// that is killed may leave a part of it: for what is checked when it is read.
///
/// # Errors
/// As [`write_new`].
pub fn write_plain(path: &Path, bytes: &[u8]) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file =
        File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|e| write_error(path, e))?);
    file.write_all(bytes).map_err(|error| {
        let _ = rustix::fs::unlink(path);
        write_error(path, error)
    })
}

/// Writes a small file, whole or not at all, under a name that is free, without waiting for the disk: for what can
/// be made again.
///
/// # Errors
/// As [`write_new`].
pub fn write_new_unsynced(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut target = Target::beside(path)?;
    target.append(bytes)?;
    target.set_mode(mode)?;
    target.place_unsynced()
}

fn write_with(path: &Path, bytes: &[u8], mode: u32, placement: Placement<'_>) -> Result<Placed> {
    let mut target = Target::beside(path)?;
    target.append(bytes)?;
    target.set_mode(mode)?;
    target.place(placement)
}

/// Reads a whole regular file of at most `max` bytes; the last component is not followed if it is a symlink.
///
/// # Errors
/// `not_found`, `unreadable`, `not_a_file`, `symlink`, `too_large`.
pub fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|e| match e {
        Errno::LOOP => Error::usage("symlink", format!("{}: is a symbolic link", shown_path(path))),
        other => read_error(path, other),
    })?);
    let stat = rustix::fs::fstat(&file).map_err(|e| read_error(path, e))?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        let message = format!("{}: is a {}, not a regular file", shown_path(path), kind_of(&stat));
        return Err(Error::usage("not_a_file", message));
    }
    let too_large = || Error::failed("too_large", format!("{}: more than {max} bytes", shown_path(path)));
    if u64::try_from(stat.st_size).map_or(true, |size| size > max) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a file that grows meanwhile is noticed.
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| read_error(path, e))?;
    match u64::try_from(bytes.len()).is_ok_and(|n| n <= max) {
        true => Ok(bytes),
        false => Err(too_large()),
    }
}

/// As [`read_bounded`], for UTF-8 text.
///
/// # Errors
/// Those of [`read_bounded`], and `not_utf8`.
pub fn read_text(path: &Path, max: u64) -> Result<String> {
    String::from_utf8(read_bounded(path, max)?)
        .or_failed("not_utf8", || format!("{}: is not UTF-8 text", shown_path(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{chmod, chown, symlink};
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn stat_of(uid: u32, mode: u32) -> Stat {
        let mut stat = rustix::fs::stat("/").unwrap();
        (stat.st_uid, stat.st_mode) = (uid, mode);
        stat
    }

    #[test]
    fn owner_and_mode_decide_for_every_mode() {
        let us = 1000;
        for mode in 0..=0o7777u32 {
            for kind in [FileType::RegularFile, FileType::Directory] {
                let raw = kind.as_raw_mode() | mode;
                let open = mode & 0o022 != 0 && !(kind == FileType::Directory && mode & 0o1000 != 0);
                assert_eq!(distrust(&stat_of(us, raw), us).is_some(), open, "{kind:?} {mode:o}");
                assert_eq!(distrust(&stat_of(0, raw), us).is_some(), open, "{kind:?} {mode:o}");
                assert!(distrust(&stat_of(1001, raw), us).is_some());
                assert_eq!(distrust(&stat_of(0, raw), 0).is_some(), open, "{kind:?} {mode:o}");
            }
        }
        let link = FileType::Symlink.as_raw_mode() | 0o777;
        assert!(distrust(&stat_of(us, link), us).is_none());
        assert!(distrust(&stat_of(1001, link), us).is_some());
    }

    #[test]
    fn each_component_of_a_path_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(dir.path()).unwrap();
        let deep = top.join("one/two");
        fs::create_dir_all(&deep).unwrap();
        fs::set_permissions(top.join("one"), fs::Permissions::from_mode(0o755)).unwrap();
        let file = deep.join("keyctl.toml");
        fs::write(&file, b"x").unwrap();
        chmod(&file, Mode::from_raw_mode(0o644)).unwrap();
        assert_eq!(trusted_path(&file).unwrap(), file);
        assert_eq!(trusted_path(&deep.join("../two/./keyctl.toml")).unwrap(), file);
        for (part, bad, good) in [(&file, 0o664, 0o644), (&deep, 0o775, 0o755), (&top.join("one"), 0o757, 0o755)] {
            chmod(part, Mode::from_raw_mode(bad)).unwrap();
            let error = trusted_path(&file).unwrap_err();
            assert_eq!(error.code(), "untrusted_path");
            assert!(error.message().starts_with(&format!("{}: ", part.display())), "{error}");
            chmod(part, Mode::from_raw_mode(good)).unwrap();
        }
        assert_eq!(trusted_path(&deep.join("none")).unwrap_err().code(), "not_found");
        if rustix::process::geteuid().is_root() {
            chown(&deep, Some(rustix::fs::Uid::from_raw(65534)), None).unwrap();
            assert!(trusted_path(&file).unwrap_err().message().contains("belongs to user 65534"));
        }
    }

    #[test]
    fn symlinks_lead_through_trusted_folders_only() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(dir.path()).unwrap();
        for name in ["open", "shut"] {
            fs::create_dir(top.join(name)).unwrap();
            chmod(top.join(name), Mode::from_raw_mode(0o755)).unwrap();
        }
        fs::write(top.join("shut/file"), b"x").unwrap();
        chmod(top.join("shut/file"), Mode::from_raw_mode(0o600)).unwrap();
        symlink("../shut/file", top.join("open/hop")).unwrap();
        symlink(top.join("open/hop"), top.join("link")).unwrap();
        assert_eq!(trusted_path(&top.join("link")).unwrap(), top.join("shut/file"));
        chmod(top.join("open"), Mode::from_raw_mode(0o777)).unwrap();
        let error = trusted_path(&top.join("link")).unwrap_err();
        assert!(error.message().contains("/open: can be written by everyone"), "the hop between counts: {error}");
        symlink("loop", top.join("loop")).unwrap();
        assert_eq!(trusted_path(&top.join("loop")).unwrap_err().code(), "too_many_links");
    }

    #[test]
    fn network_file_systems_are_known_and_this_one_is_local() {
        let dir = tempfile::tempdir().unwrap();
        local_filesystem(dir.path()).unwrap();
        assert_eq!(network_kind(0x6969), Some("NFS"));
        assert_eq!(network_kind(0xff53_4d42), Some("CIFS"));
        assert_eq!(network_kind(0xef53), None, "ext4");
    }

    #[test]
    fn private_folders_stay_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks");
        create_private_dir(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        create_private_dir(&path).unwrap();
        chmod(&path, Mode::from_raw_mode(0o750)).unwrap();
        assert_eq!(create_private_dir(&path).unwrap_err().code(), "untrusted_path");
        symlink("/etc", dir.path().join("link")).unwrap();
        assert_eq!(create_private_dir(&dir.path().join("link")).unwrap_err().code(), "untrusted_path");
    }

    #[test]
    fn small_files_are_written_whole_and_read_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_atomic(&path, b"one", 0o640).unwrap();
        write_atomic(&path, b"two", 0o600).unwrap();
        assert_eq!(write_new(&path, b"three", 0o600).unwrap_err().code(), "target_exists");
        assert_eq!(read_bounded(&path, 3).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(read_bounded(&path, 2).unwrap_err().code(), "too_large");
        assert_eq!(read_bounded(Path::new("/proc/self/status"), 16).unwrap_err().code(), "too_large");
        assert_eq!(read_bounded(dir.path(), 9).unwrap_err().code(), "not_a_file");
        assert_eq!(read_bounded(Path::new("/dev/zero"), 9).unwrap_err().code(), "not_a_file");
        symlink(&path, dir.path().join("link")).unwrap();
        assert_eq!(read_bounded(&dir.path().join("link"), 9).unwrap_err().code(), "symlink");
        fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text(&path, 9).unwrap_err().code(), "not_utf8");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing temporary is left");
    }
}

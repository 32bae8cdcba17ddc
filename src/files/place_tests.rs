use super::*;
use crate::error::Kind;
use crate::files::{SourcePolicy, copy_while, sweep};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use xattr::FileExt as _;

/// With and without nameless files, as on file systems that lack them.
type Make = fn(&Path) -> Result<Target>;
const MAKERS: [Make; 2] = [Target::beside, |path| Target::open(path, |_| None)];

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn source(path: &Path, bytes: &[u8]) -> Source {
    fs::write(path, bytes).unwrap();
    Source::open(path, SourcePolicy::IN_PLACE).unwrap()
}

/// A file system of its own, a mebibyte large; `None` where we may not mount.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount() -> Option<Disk> {
        let dir = tempfile::tempdir().unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "keyctl-test"]).arg(dir.path()).output();
        if done.is_ok_and(|out| out.status.success()) {
            return Some(Disk(dir));
        }
        eprintln!("skipped: mounting a tmpfs is not allowed here");
        None
    }

    fn read_only(&self) {
        assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(self.0.path()).status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_new_file_never_overwrites_and_nothing_temporary_is_left() {
    for make in MAKERS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.exe");
        let write = |bytes: &[u8]| {
            let mut target = make(&path)?;
            target.append(bytes)?;
            target.set_mode(0o644)?;
            target.place(Placement::New)
        };
        assert_eq!(write(b"one").unwrap().len, 3);
        let error = write(b"two").unwrap_err();
        assert_eq!((error.code(), error.kind()), ("target_exists", Kind::Failed));
        assert_eq!((fs::read(&path).unwrap(), names_in(dir.path())), (b"one".to_vec(), vec!["a.exe".to_owned()]));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);

        rustix::fs::symlink("elsewhere", dir.path().join("link")).unwrap();
        let error = make(&dir.path().join("link")).unwrap().place(Placement::New).unwrap_err();
        assert_eq!(error.code(), "target_exists", "a dangling symlink is a taken name");
    }
}

#[test]
fn replacing_keeps_mode_owner_attributes_and_on_request_the_time() {
    for (make, mtime) in MAKERS.into_iter().zip([Mtime::New, Mtime::Keep]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.exe");
        fs::write(&path, b"old").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_xattr("user.origin", b"build 7").unwrap();
        // An ACL of acl(5): version 2, then owner rwx, user 65534 r--, group r--, mask rwx, other ---.
        let acl: Vec<u8> =
            [(1u16, 7u16, u32::MAX), (2, 4, 65534), (4, 4, u32::MAX), (16, 7, u32::MAX), (32, 0, u32::MAX)]
                .iter()
                .flat_map(|(tag, perm, id)| [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat())
                .collect();
        let acl = [&2u32.to_le_bytes()[..], &acl].concat();
        let has_acl = file.set_xattr("system.posix_acl_access", &acl).is_ok();
        let root = rustix::process::geteuid().is_root();
        if root {
            rustix::fs::chown(&path, Some(rustix::fs::Uid::from_raw(65534)), Some(rustix::fs::Gid::from_raw(12)))
                .unwrap();
        }
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4770)).unwrap();

        let source = Source::open(&path, SourcePolicy::IN_PLACE).unwrap();
        let mut target = make(&path).unwrap();
        target.set_mtime(mtime);
        copy_while(&source, &mut target, &mut [], &AtomicBool::new(false)).unwrap();
        target.append(b" and new").unwrap();
        target.place(Placement::Replace { expect: &source }).unwrap();

        let now = fs::metadata(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old and new");
        assert_eq!(now.mode() & 0o7777, 0o4770);
        assert_eq!(xattr::get(&path, "user.origin").unwrap().unwrap(), b"build 7");
        assert_eq!(xattr::get(&path, "system.posix_acl_access").unwrap().is_some(), has_acl);
        assert_eq!(now.mtime() == 1_000_000_000, mtime == Mtime::Keep);
        if root {
            assert_eq!((now.uid(), now.gid()), (65534, 12));
        }
        assert_eq!(names_in(dir.path()), ["a.exe"]);
    }
}

#[test]
fn an_acl_that_only_the_folder_would_give_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.exe");
    let source = source(&path, b"old");
    let mut default = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in
        [(1u16, 7u16, u32::MAX), (2, 7, 65534), (4, 0, u32::MAX), (16, 7, u32::MAX), (32, 0, u32::MAX)]
    {
        default.extend([&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat());
    }
    if xattr::set(dir.path(), "system.posix_acl_default", &default).is_err() {
        eprintln!("skipped: no ACLs on this file system");
        return;
    }
    let mut target = Target::replacing(&source).unwrap();
    target.append(b"new").unwrap();
    assert!(target.file().get_xattr("system.posix_acl_access").unwrap().is_some(), "the folder did give one");
    target.place(Placement::Replace { expect: &source }).unwrap();
    assert_eq!(xattr::get(&path, "system.posix_acl_access").unwrap(), None);
}

#[test]
fn a_file_that_took_the_name_survives_at_any_moment() {
    for make in MAKERS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.exe");
        let first = source(&path, b"old");
        let mut target = make(&path).unwrap();
        target.append(b"signed").unwrap();
        // Past every check, straight to the swap: as if it happened between the last look and the rename.
        let racing = source(&path.with_extension("new"), b"newer");
        fs::rename(racing.path(), &path).unwrap();
        let error = swap_unchecked(&mut target, &first).unwrap_err();
        assert_eq!(error.code(), "source_changed");
        drop(target);
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        assert_eq!(names_in(dir.path()), ["a.exe"]);
    }
}

/// `swap_with` against a source whose own look at the name is made to succeed.
fn swap_unchecked(target: &mut Target, first: &Source) -> Result<()> {
    // The old inode lives on under another name, so the descriptor's state is the one it was opened with except ctime.
    assert_eq!(first.unchanged().unwrap_err().code(), "source_changed");
    target.exchange(first)
}

#[test]
fn a_full_disk_and_a_read_only_one_leave_the_original() {
    let Some(disk) = Disk::mount() else { return };
    for make in MAKERS {
        let path = disk.0.path().join("a.exe");
        let original = source(&path, &[7; 600_000]);
        let mut target = make(&path).unwrap();
        let error = copy_while(&original, &mut target, &mut [], &AtomicBool::new(false)).unwrap_err();
        assert_eq!(
            (error.code(), error.kind()),
            ("disk_full", Kind::Failed),
            "reserving tells before a byte is written"
        );
        let mut error = None;
        for _ in 0..20 {
            if let Err(full) = target.append(&[1; 65_536]) {
                error = Some(full);
                break;
            }
        }
        assert_eq!(error.expect("one mebibyte is full").code(), "disk_full");
        drop(target);
        assert_eq!((fs::read(&path).unwrap().len(), names_in(disk.0.path())), (600_000, vec!["a.exe".to_owned()]));
        original.unchanged().unwrap();
    }
    disk.read_only();
    let error = Target::beside(&disk.0.path().join("a.exe")).unwrap_err();
    assert_eq!(error.code(), "target_unwritable");
    assert!(error.message().contains("read-only file system"), "{error}");
}

#[test]
fn a_device_that_is_always_full_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut target = Target::beside(&dir.path().join("a")).unwrap();
    target.file = File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(target.append(b"x").unwrap_err().code(), "disk_full");
}

#[test]
fn an_owner_that_cannot_be_kept_is_found_out_first() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root to make a file of another owner");
        return;
    }
    // A fresh file belongs to root; another user's may be taken over by root, so replacing works and keeps it.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    fs::write(&path, b"x").unwrap();
    rustix::fs::chown(&path, Some(rustix::fs::Uid::from_raw(65534)), None).unwrap();
    let source = Source::open(&path, SourcePolicy::IN_PLACE).unwrap();
    let target = Target::replacing(&source).unwrap();
    assert_eq!(target.file().metadata().unwrap().uid(), 65534);
}

#[test]
fn a_sweep_removes_what_a_dead_process_left_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let alive = Target::open(&dir.path().join("a.exe"), |_| None).unwrap();
    let others = [
        "a.exe",
        ".a.exe.keyctl-",
        ".a.exe.keyctl-0123456789abcdeX",
        ".keyctl-0123456789abcdef",
        "a.keyctl-0123456789abcdef",
    ];
    for name in others {
        fs::write(dir.path().join(name), b"x").unwrap();
    }
    let dead = dir.path().join(".a.exe.keyctl-0123456789abcdef");
    fs::write(&dead, b"half").unwrap();
    rustix::fs::symlink(&dead, dir.path().join(".l.keyctl-0123456789abcdef")).unwrap();
    assert_eq!(sweep(dir.path()).unwrap(), [dead]);
    assert_eq!(names_in(dir.path()).len(), others.len() + 2);
    drop(alive);
    assert_eq!(names_in(dir.path()).len(), others.len() + 1);
}

#[test]
fn names_as_long_as_the_file_system_takes_can_be_replaced() {
    for make in MAKERS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ü".repeat(127));
        let source = source(&path, b"old");
        let mut target = make(&path).unwrap();
        target.append(b"new").unwrap();
        target.place(Placement::Replace { expect: &source }).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
    assert_eq!(Target::beside(Path::new("/")).unwrap_err().code(), "bad_path");
    assert_eq!(Target::beside(Path::new("/nowhere/at/all")).unwrap_err().kind(), Kind::Usage);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edits_do_what_splicing_a_vector_does(
        old in proptest::collection::vec(any::<u8>(), 0..64),
        cuts in proptest::collection::vec((0u64..80, 0usize..20), 0..6),
        final_len in 0u64..100,
    ) {
        let edits: Vec<Edit> = cuts.iter().enumerate()
            .map(|(i, (offset, n))| Edit { offset: *offset, bytes: vec![i as u8; *n] }).collect();
        // The model: each byte of the result has exactly one writer, an edit or the copy.
        let mut model: Vec<Option<u8>> = old.iter().copied().map(Some).collect();
        model.resize(usize::try_from(final_len).unwrap(), None);
        let mut by = vec![false; model.len()];
        let mut fits = true;
        for edit in &edits {
            for (i, byte) in edit.bytes.iter().enumerate() {
                match usize::try_from(edit.offset).unwrap() + i {
                    at if at >= model.len() || by[at] => fits = false,
                    at => { by[at] = true; model[at] = Some(*byte); }
                }
            }
        }
        fits &= model.iter().all(Option::is_some);

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut target = Target::beside(&path).unwrap();
        target.append(&old).unwrap();
        let applied = target.apply(&edits, final_len);
        prop_assert_eq!(applied.is_ok(), fits);
        if fits {
            target.place(Placement::New).unwrap();
            prop_assert_eq!(fs::read(&path).unwrap(), model.into_iter().flatten().collect::<Vec<_>>());
        }
    }
}

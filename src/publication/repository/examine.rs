//! What is looked through before it is pushed: every file in every commit that the remote does not have.

use super::{ObjectId, Repository};
use crate::error::{Error, Result, shown};
use crate::publication::private::{Secrets, found_in, private_material};
use std::collections::BTreeMap;

/// The largest single object that is looked through before it is pushed, in bytes.
const MAX_BLOB: u64 = 64 << 20;
/// How much is looked through at a time.
const BATCH: u64 = 64 << 20;
/// The most objects in what is pushed at once.
const MAX_OBJECTS: usize = 1_000_000;

impl Repository {
    /// Looks through every file in the commits that lead to this one and not to `known`.
    pub(super) fn examine(&self, commit: &ObjectId, known: Option<&ObjectId>, secrets: &Secrets) -> Result<()> {
        let mut args = vec!["rev-list", "--objects", commit.as_str()];
        if let Some(known) = known {
            // What somebody else pushed may not be here; then nothing is left out.
            let is_here = self.git.ask(&["cat-file", "-e", known.as_str()], b"")?.status.success();
            args.extend(is_here.then_some(["--not", known.as_str()]).into_iter().flatten());
        }
        let listed = self.git.run(&args, b"")?.out;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let names: BTreeMap<&str, &str> =
            listed.lines().take(MAX_OBJECTS).map(|line| line.split_once(' ').unwrap_or((line, ""))).collect();
        if listed.lines().count() > MAX_OBJECTS {
            return Err(Error::failed(
                "too_much_to_push",
                format!("more than {MAX_OBJECTS} objects were never pushed"),
            )
            .hint("push the repository once by hand, after looking through it"));
        }
        let asked: String = names.keys().map(|name| format!("{name}\n")).collect();
        let kinds = self.git.run(&["cat-file", "--batch-check"], asked.as_bytes())?.out;
        let kinds = String::from_utf8_lossy(&kinds).into_owned();
        let (mut batch, mut size) = (Vec::new(), 0u64);
        for line in kinds.lines() {
            let [object, "blob", length] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
            let length: u64 = length.parse().unwrap_or(u64::MAX);
            let path = names.get(object).copied().unwrap_or_default();
            if length > MAX_BLOB {
                let message = format!("{}: {length} bytes are too many to look through", shown(path));
                return Err(Error::failed("too_large", message));
            }
            if size.saturating_add(length) > BATCH {
                self.examine_batch(&batch, secrets)?;
                (batch, size) = (Vec::new(), 0);
            }
            batch.push((object, path));
            size = size.saturating_add(length);
        }
        self.examine_batch(&batch, secrets)
    }

    fn examine_batch(&self, batch: &[(&str, &str)], secrets: &Secrets) -> Result<()> {
        let asked: String = batch.iter().map(|(object, _)| format!("{object}\n")).collect();
        let said = self.git.run(&["cat-file", "--batch"], asked.as_bytes())?;
        let mut rest = said.out.as_slice();
        for (object, path) in batch {
            // OBJECT blob LENGTH\nBYTES\n
            let cut = || Error::failed("git_answer", format!("git does not show {}", shown(path)));
            let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(cut)?;
            let (head, after) = rest.split_at(end);
            let head = String::from_utf8_lossy(head).into_owned();
            let length = match head.split(' ').collect::<Vec<_>>()[..] {
                [name, "blob", length] if name == *object => length.parse::<usize>().map_err(|_| cut())?,
                _ => return Err(cut()),
            };
            let after = after.get(1..).ok_or_else(cut)?;
            let (bytes, after) = after.split_at_checked(length).ok_or_else(cut)?;
            if let Some(what) = found_in(bytes, secrets) {
                return Err(private_material(path, what).hint(
                    "it is in a commit that was not pushed yet: take the file out of the history, and make another key",
                ));
            }
            rest = after.get(1..).ok_or_else(cut)?;
        }
        Ok(())
    }
}

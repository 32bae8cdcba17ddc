//! What has reached the remote: pushing, and asking afterwards.

use super::{ObjectId, Repository};
use crate::error::{Error, Result, shown};
use crate::files::shown_path;
use crate::publication::git::Said;
use crate::publication::private::Secrets;

impl Repository {
    /// Pushes a commit, and asks the remote whether it has it. Everything that the remote does not have yet is looked
    /// through first, also what others committed.
    ///
    /// # Errors
    /// `private_material`; `push_rejected`, `push_refused`, `push_denied` (permanent); `remote_unreachable`, `git_late`
    /// (transient); `push_unconfirmed`.
    pub fn push(&self, commit: &ObjectId, secrets: &Secrets) -> Result<()> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let known = match self.pushed()? {
            Some(pushed) => Some(pushed),
            None => self.remote_head(remote)?,
        };
        if known.as_ref() != Some(commit) {
            self.examine(commit, known.as_ref(), secrets)?;
            let refspec = format!("{commit}:{}", self.head_ref());
            let said =
                self.git.reach(&["push", "--porcelain", "--no-verify", "--no-signed", "--", remote, &refspec])?;
            if !said.status.success() {
                return Err(self.unpushed(remote, &said));
            }
        }
        self.confirm(commit)
    }

    /// Asks the remote whether it has this commit, or one that follows it, and remembers that.
    ///
    /// # Errors
    /// `push_unconfirmed`; those of reaching it.
    pub fn confirm(&self, commit: &ObjectId) -> Result<()> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let has = self.remote_head(remote)?;
        let follows = match &has {
            Some(has) if has == commit => true,
            Some(_) => {
                let fetched = format!("refs/keyctl/remote/{remote}/{}", self.branch);
                let refspec = format!("+{}:{fetched}", self.head_ref());
                let args = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", remote, &refspec];
                let said = self.git.reach(&args)?;
                if !said.status.success() {
                    return Err(self.unreached(remote, &said));
                }
                self.git.ask(&["merge-base", "--is-ancestor", commit.as_str(), &fetched], b"")?.status.success()
            }
            None => false,
        };
        if !follows {
            let has = has.as_ref().map_or("nothing", ObjectId::short);
            let message = format!("{} has {has}, which does not contain {}", self.goal(), commit.short());
            return Err(Error::failed("push_unconfirmed", message).hint(self.pull_hint(remote)));
        }
        let reference = self.pushed_ref(remote);
        self.git.run(&["update-ref", "-m", "keyctl: confirmed", &reference, commit.as_str()], b"").map(drop)
    }

    fn remote_head(&self, remote: &str) -> Result<Option<ObjectId>> {
        let said = self.git.reach(&["ls-remote", "--", remote, &self.head_ref()])?;
        if !said.status.success() {
            return Err(self.unreached(remote, &said));
        }
        let text = String::from_utf8_lossy(&said.out).into_owned();
        let wanted = self.head_ref();
        let line = text.lines().find_map(|line| line.split_once('\t').filter(|(_, name)| *name == wanted));
        line.map(|(object, _)| ObjectId::parse(object)).transpose()
    }

    fn pull_hint(&self, remote: &str) -> String {
        format!("git -C {} pull --rebase {remote} {}; keyctl recover", shown_path(&self.top), self.branch)
    }

    /// The error for a push that failed.
    fn unpushed(&self, remote: &str, said: &Said) -> Error {
        let report = String::from_utf8_lossy(&said.out).into_owned();
        let line = report.lines().find(|line| line.starts_with('!')).unwrap_or_default();
        let reason = shown(line.rsplit('\t').next().unwrap_or_default());
        let goal = self.goal();
        if line.contains("[rejected]") {
            let message = format!("{goal} has commits that are not in {}: {reason}", shown_path(&self.top));
            return Error::failed("push_rejected", message).hint(self.pull_hint(remote));
        }
        if line.contains("[remote rejected]") {
            return Error::failed("push_refused", format!("{goal} does not take the push: {reason}"));
        }
        self.unreached(remote, said)
    }

    /// The error for a remote that cannot be reached: for want of a permit, or for now.
    fn unreached(&self, remote: &str, said: &Said) -> Error {
        let words = said.words.to_lowercase();
        let denied = [
            "authentication failed",
            "permission denied",
            "could not read username",
            "could not read password",
            "host key verification failed",
            "repository not found",
            "error: 403",
            "error: 404",
            "no such remote",
        ];
        let word = said.last_word();
        if denied.iter().any(|denied| words.contains(denied)) {
            let hint =
                format!("git -C {} push {remote} {} shows what git is missing", shown_path(&self.top), self.branch);
            return Error::failed("push_denied", format!("{} cannot be reached: {word}", self.goal())).hint(hint);
        }
        Error::unavailable("remote_unreachable", format!("{} cannot be reached now: {word}", self.goal()))
    }
}

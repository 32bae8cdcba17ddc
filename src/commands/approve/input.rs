//! Where a document comes from: a file with what lies beside it, or a block of text among other words.

use crate::crypto::ssh::MAX_SIGNATURE;
use crate::error::{Error, Result};
use crate::files::{safe, shown_path};
use crate::people::bundle::{Bundle, END, MAX_TEXT};
use crate::people::sidecar::{MAX_SIDECAR, Proofs};
use std::io::{BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};

/// A document's exact bytes, and what came with them.
pub(super) struct Input {
    /// What will be signed.
    pub(super) bytes: Vec<u8>,
    /// The requester's signature, armoured.
    pub(super) requester: Option<String>,
    /// Consistency proofs.
    pub(super) proofs: Option<Proofs>,
    /// The document's own file, if it has one.
    pub(super) path: Option<PathBuf>,
    /// It was pasted into the terminal that will be asked for confirmation.
    pub(super) pasted: bool,
}

impl Input {
    /// Reads a file, or standard input for `-`.
    ///
    /// # Errors
    /// It cannot be read, is too large, or holds a block that is not whole.
    pub(super) fn read(file: &Path) -> Result<Self> {
        if file.as_os_str() != "-" {
            let bytes = safe::read_bounded(file, MAX_TEXT as u64)?;
            return match block(&bytes)? {
                Some(bundle) => Ok(Input::of(bundle)),
                None => Input::beside(file, bytes),
            };
        }
        let stdin = std::io::stdin();
        let pasted = stdin.is_terminal();
        let bytes = if pasted { pasted_lines(stdin.lock())? } else { all(stdin.lock())? };
        let input = match block(&bytes)? {
            Some(bundle) => Input::of(bundle),
            None => Input { bytes: without_line_end(bytes), requester: None, proofs: None, path: None, pasted },
        };
        Ok(Input { pasted, ..input })
    }

    fn of(bundle: Bundle) -> Self {
        let Bundle { document, requester_signature: requester, proofs, .. } = bundle;
        Input { bytes: document.into_bytes(), requester, proofs, path: None, pasted: false }
    }

    /// A document's own file: `ID.json`, with `ID.request.sig` and `ID.proofs.json` beside it.
    fn beside(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let requester = optional(&path.with_extension("request.sig"), MAX_SIGNATURE)?;
        let requester = requester.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let proofs = optional(&path.with_extension("proofs.json"), MAX_SIDECAR)?;
        let proofs = proofs.map(|bytes| Proofs::parse(&bytes)).transpose()?;
        Ok(Input { bytes: without_line_end(bytes), requester, proofs, path: Some(path.to_owned()), pasted: false })
    }
}

fn block(bytes: &[u8]) -> Result<Option<Bundle>> {
    std::str::from_utf8(bytes).map_or(Ok(None), Bundle::find)
}

/// Editors and pipes add one; the canonical form has none.
fn without_line_end(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    bytes
}

fn optional(path: &Path, max: usize) -> Result<Option<Vec<u8>>> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        _ => safe::read_bounded(path, max as u64).map(Some),
    }
}

fn all(source: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() <= MAX_TEXT {
        true => Ok(bytes),
        false => Err(Error::failed("too_large", format!("standard input has more than {MAX_TEXT} bytes"))),
    }
}

/// What is pasted ends with the block, or with Ctrl-D.
fn pasted_lines(mut source: impl BufRead) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let start = bytes.len();
        let room = (MAX_TEXT + 1).saturating_sub(start) as u64;
        source.by_ref().take(room).read_until(b'\n', &mut bytes)?;
        let line = bytes.get(start..).unwrap_or_default();
        if line.is_empty() || String::from_utf8_lossy(line).trim_end().ends_with(END) {
            return all(bytes.as_slice());
        }
    }
}

/// Whether a document's file lies in the `requests/` folder of a workspace.
pub(super) fn in_workspace(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().ok()?;
    let workspace = folder.parent()?;
    let is_one = folder.file_name()? == crate::world::authority::REQUESTS
        && workspace.join(crate::config::workspace::CONFIG).is_file();
    is_one.then_some(folder)
}

/// The workspace that a document's file belongs to.
///
/// # Errors
/// `not_in_workspace`.
pub(super) fn workspace_of(path: Option<&Path>) -> Result<PathBuf> {
    let folder = path.and_then(in_workspace);
    let workspace = folder.as_deref().and_then(Path::parent).map(Path::to_owned);
    workspace.ok_or_else(|| {
        let name = path.map_or_else(|| "standard input".to_owned(), shown_path);
        Error::usage("not_in_workspace", format!("{name} does not lie in the requests/ folder of a workspace"))
    })
}

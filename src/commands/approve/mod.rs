//! `approve`: another person's yes, given on their own machine.
//!
//! What is signed is bytes; what is read is words made from them. Between the two stand the requester's signature,
//! this machine's memory of the ledger, and a hash that can be compared by voice.

mod brief;
mod confirm;
mod document;
mod equipment;
mod input;
mod pack;
pub(super) mod words;

use crate::crypto::ssh::{PublicKey, Signature, Signer};
use crate::error::{Error, Result};
use crate::files::{safe, shown_path};
use crate::ledger::anchor::{Pin, state_dir};
use crate::ledger::trust::{self, HostTrust};
use crate::ledger::witness::{Standing, Witness};
use crate::model::{Hash256, hex};
use crate::ui::{Output, Row, Worst};
use crate::world::Globals;
use document::Document;
use input::Input;
use std::path::{Path, PathBuf};

/// Approve what somebody else asks for, with your own SSH key
///
/// FILE is a request (ID.json of a workspace's requests/ folder, with ID.request.sig and ID.proofs.json beside it), a
/// text with a request block in it, or - for standard input; a block can be pasted into the terminal. Neither a
/// workspace nor an HSM is needed. What the request says is shown in words made from its bytes, with its SHA-256 in
/// groups to compare by voice; of changed rules and of a founding what matters, what weakens first, and with -v all of
/// it. Refused are: what is not signed by its requester, your own requests, text that
/// screens could hide, and a ledger that does not continue the one this machine approved last. Of a workspace that
/// is new here, the genesis hash is to be compared by voice and its last two groups typed.
///
/// You type the name of what it is done to, and --identity signs (a key file, a key of the SSH agent by its public
/// key file, a security key). The signature is plain SSH, so ssh-keygen -Y verify checks it too; hand it back to
/// whoever asks. If FILE is in a workspace's requests/ folder, it is also put there. This machine then remembers the
/// ledger's head. With --yes nothing is typed, but --expect says which request is meant.
///
/// Where the workspace is, --pack prints a request as a block that survives mail and chat.
///
/// Examples:
///   keyctl approve request.json --identity id_ed25519
///   keyctl approve requests/3f0c9a1be2d4455f8b1f0e7c2d9a6b43.json --pack --prove-from 128
///   keyctl approve - --dry-run < block.txt
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ApproveArgs {
    /// The request, or a text with it (- for standard input)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write the signature to this new file
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// The SHA-256 that the request must have; needed with --yes
    #[arg(long, value_name = "SHA256", value_parser = hash)]
    expect: Option<Hash256>,
    /// The genesis hash that the workspace must have; needed with --yes if it is new to this machine
    #[arg(long, value_name = "SHA256", value_parser = hash)]
    genesis: Option<Hash256>,
    /// Sign nothing: print the request, its requester's signature and its proofs as one block of text
    #[arg(long, conflicts_with_all = ["to", "expect", "genesis"])]
    pack: bool,
    /// With --pack: prove that the ledger continues its first SIZE entries, which an approver saw
    #[arg(long, value_name = "SIZE", requires = "pack")]
    prove_from: Option<u64>,
}

/// A hash as it is read aloud: in groups or not.
fn hash(text: &str) -> std::result::Result<Hash256, String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits.to_ascii_lowercase().parse().map_err(|_| format!("{text:?} is not 64 hex digits"))
}

/// A document that passed every check but a person's.
struct Checked {
    input: Input,
    document: Document,
    sha256: Hash256,
    requester: Option<PublicKey>,
    standing: Standing,
    /// A [`Pin`] of this user or a [`HostTrust`] of root vouches for the genesis.
    pinned: bool,
}

/// Runs `approve`.
///
/// # Errors
/// The document is refused, nobody confirms it, or the key does not sign.
pub fn run(args: &ApproveArgs, globals: &Globals) -> Result<Worst> {
    if args.pack {
        return pack::run(args, globals);
    }
    let base = state_dir()?;
    let checked = check(args, globals, &base)?;
    if globals.dry_run {
        globals.ui.say(&confirm::text(&checked, globals));
        print(globals, &checked, Row::new(), "");
        return Ok(Worst::default());
    }
    let identity = globals.identity.as_ref().ok_or_else(|| {
        Error::usage("identity_needed", "it takes a key to approve").hint("--identity SSHKEY, your own key")
    })?;
    let key = Signer::public_of(identity)?;
    let namespaces = checked.document.namespaces(&key)?;
    confirm::ask(args, globals, &checked)?;
    let signer = Signer::open(identity, &mut crate::ui::passphrase)?;
    if *signer.public() != key {
        return Err(Error::failed("bad_identity", "the identity was exchanged meanwhile"));
    }
    let signatures = sign(&checked, &signer, &namespaces, globals)?;
    // First remembered, then handed out: a signature that is in the world is always remembered here.
    if let Some(request) = checked.document.request() {
        Witness::keep(&base, request, checked.input.proofs.as_ref())?;
    }
    hand_out(args, globals, &checked, &key, &namespaces, &signatures)?;
    Ok(Worst::default())
}

fn check(args: &ApproveArgs, globals: &Globals, base: &Path) -> Result<Checked> {
    if args.file.as_os_str() == "-" && std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        globals.ui.say("paste the request block (or the request, then Ctrl-D)");
    }
    let input = Input::read(&args.file)?;
    let document = Document::read(&input.bytes)?;
    let sha256 = Hash256::of(&input.bytes);
    if args.expect.is_some_and(|expected| expected != sha256) {
        let message = format!("this is another {}: its SHA-256 is {sha256}", document.kind());
        return Err(Error::blocked("other_request", message).hint("do not approve; compare by voice what is meant"));
    }
    let requester = document.check_requester(&input.bytes, input.requester.as_deref())?;
    document.check_time(globals.clock.now())?;
    let (standing, pinned) = match document.request() {
        Some(request) => (
            Witness::judge(base, request, input.proofs.as_ref())?,
            check_genesis(args, base, &request.workspace_id, request.genesis_sha256)?,
        ),
        None => {
            let workspace = document.workspace();
            (Witness::known(base, workspace.id, workspace.origin, workspace.environment)?, false)
        }
    };
    Ok(Checked { input, document, sha256, requester, standing, pinned })
}

/// Holds the genesis against what was said and what this machine trusts. Says whether that vouches for it.
fn check_genesis(args: &ApproveArgs, base: &Path, workspace: &str, genesis: Option<Hash256>) -> Result<bool> {
    let host = HostTrust::load(&trust::folder(), workspace)?.map(|host| host.genesis_leaf_hash);
    let trusted = host.or(Pin::load(base, workspace)?.map(|pin| pin.genesis_leaf_hash));
    if args.genesis.is_some_and(|said| genesis != Some(said)) || trusted.is_some_and(|known| genesis != Some(known)) {
        let shown = genesis.map_or_else(|| "none".to_owned(), |genesis| genesis.to_string());
        let message = format!("the workspace {workspace} has another genesis: {shown}");
        return Err(Error::blocked("genesis_changed", message).hint("do not approve; ask the auditors"));
    }
    Ok(trusted.is_some())
}

fn sign(checked: &Checked, signer: &Signer, namespaces: &[String], globals: &Globals) -> Result<Vec<Signature>> {
    let sign = |namespace: &String| {
        if signer.needs_touch() {
            globals.ui.say(&format!("touch the security key for {namespace}"));
        }
        signer.sign(namespace, &checked.input.bytes)
    };
    namespaces.iter().map(sign).collect()
}

fn hand_out(
    args: &ApproveArgs,
    globals: &Globals,
    checked: &Checked,
    key: &PublicKey,
    namespaces: &[String],
    signatures: &[Signature],
) -> Result<()> {
    let armour: String = signatures.iter().map(ToString::to_string).collect();
    let mut files = Vec::new();
    if let Some(to) = &args.to {
        safe::write_new(to, armour.as_bytes(), 0o644)?;
        files.push(shown_path(to));
    }
    if let Some(path) = beside(checked, key) {
        match safe::write_atomic(&path, armour.as_bytes(), 0o644) {
            Ok(_) => files.push(shown_path(&path)),
            Err(error) => globals.ui.warn(&format!("not put beside the request: {error}")),
        }
    }
    files.iter().for_each(|file| globals.ui.say(&format!("signature in {file}")));
    let row = Row::new()
        .with("key", key.openssh_fingerprint())
        .with("key_sha256", key.fingerprint().to_string())
        .with("namespaces", namespaces.to_vec())
        .with("files", files)
        .with("signature", armour.as_str());
    print(globals, checked, row, &armour);
    Ok(())
}

/// Where the signature goes if the document lies in a workspace: `ID.KEYFPRINT16.sig`.
fn beside(checked: &Checked, key: &PublicKey) -> Option<PathBuf> {
    let path = checked.input.path.as_ref()?;
    if let Document::Cab(_) = checked.document {
        // Where ssh-keygen would put it, and where signing looks for it.
        let mut name = path.as_os_str().to_owned();
        name.push(".sig");
        return Some(PathBuf::from(name));
    }
    let folder = input::in_workspace(path)?;
    let id = checked.document.id();
    let fingerprint = hex(key.fingerprint().0.first_chunk::<8>()?);
    (path.file_name()?.to_str()? == format!("{id}.json")).then(|| folder.join(format!("{id}.{fingerprint}.sig")))
}

/// The result: for people the bare armour, to be copied; for programs everything.
fn print(globals: &Globals, checked: &Checked, row: Row, armour: &str) {
    if globals.ui.output == Output::Table {
        return globals.ui.raw(armour);
    }
    let document = &checked.document;
    let mut all = Row::new()
        .with("kind", document.kind())
        .with("id", document.id())
        .with("object", document.object())
        .with("sha256", checked.sha256.to_string())
        .with("workspace_id", document.workspace().id)
        .with("origin", document.workspace().origin);
    if let Some(request) = document.request() {
        all = all
            .with("operation", request.rule().as_str())
            .with("requester", request.requester.email.as_str())
            .with("ledger_size", request.log_head.size)
            .with("first_sight", matches!(checked.standing, Standing::New(_)));
    }
    globals.ui.object(&all.and(row));
}

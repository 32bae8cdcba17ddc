//! `run`: does exactly what was approved.

use crate::error::{Error, Kind, Result};
use crate::files::{safe, shown_path};
use crate::gate::{self, Presented};
use crate::people::ApprovalRequest;
use crate::people::approval::{MAX_TEXT, armours};
use crate::people::request::MAX_REQUEST;
use crate::ui::Worst;
use crate::world::World;
use crate::world::authority::Mandate;
use crate::world::requests::{beside, check_name, done, find, is_used_up, missing, requester_signature};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

/// Do exactly what was approved, once
///
/// ID is the identifier of a request in the workspace's requests/ folder; its first eight digits will do if they
/// are the only ones. Approvals are taken from there, from --approval, or are waited for. The request is consumed in
/// the same moment in which its first act becomes durable; if that was interrupted, the same command continues.
///
/// Examples:
///   keyctl run 3f0c9a1be2d4455f8b1f0e7c2d9a6b43
///   keyctl run 3f0c9a1b --approval reviewer.sig
///   keyctl run 3f0c9a1b --wait 30m
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RunArgs {
    /// The request
    #[arg(value_name = "ID")]
    id: String,
    /// A file with approvals as they were pasted (- for standard input); may be repeated
    #[arg(long, value_name = "FILE")]
    approval: Vec<PathBuf>,
    /// Wait this long for approvals to arrive in requests/ (30s, 30m, 4h)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    wait: Option<Duration>,
}

/// The longest wait: no approval lives longer.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);

fn duration(text: &str) -> std::result::Result<Duration, String> {
    let bad = || format!("{text:?} is not a time like 30s, 30m or 4h");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().map_err(|_| bad())?;
    let wait = Duration::from_secs(number.checked_mul(seconds).ok_or_else(bad)?);
    if wait > MAX_WAIT { Err("no request lives longer than 24h".to_owned()) } else { Ok(wait) }
}

/// Finds what was approved: the command line, and what people agreed to.
///
/// # Errors
/// There is no such request, it is not approved (yet), or it was done.
pub fn prepare(args: &RunArgs, world: &mut World) -> Result<(Vec<String>, Mandate)> {
    let path = find(world, &args.id)?;
    let bytes = safe::read_bounded(&path, MAX_REQUEST as u64)?;
    let pasted = pasted(&args.approval)?;
    let until = args.wait.map(|wait| std::time::Instant::now() + wait);
    let stop = crate::world::interrupts()?;
    let mut said = false;
    loop {
        let mut approvals = beside(&path)?;
        approvals.extend(pasted.iter().cloned());
        let requester = requester_signature(&path)?;
        let presented = Presented::new(bytes.clone(), requester, approvals)?;
        check_name(&path, &presented)?;
        if let Some(done) = done(world, &presented)? {
            return Err(done);
        }
        let counted = gate::count(&mut world.ledger, &presented)?;
        if counted.is_enough() {
            let command = presented.document().command.clone();
            world.ui().say(&format!("running: keyctl {}", command.join(" ")));
            return Ok((command, Mandate::Approved(Box::new(presented))));
        }
        if until.is_none_or(|until| std::time::Instant::now() >= until) {
            return Err(missing(&presented, &counted, &path));
        }
        if stop.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(Error::new(Kind::Interrupted, "interrupted", "waiting was interrupted; the request stays"));
        }
        if !said {
            world.ui().say(&format!("waiting for {}", counted.missing));
            said = true;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Says how to go on where what was approved came to a stop: under the same approval, as long as that is not used up.
pub fn go_on(world: &World, document: Option<&ApprovalRequest>, result: &Result<Worst>) {
    let (Some(document), Err(error)) = (document, result) else { return };
    let needs_others = error.kind() == Kind::ApprovalNeeded;
    if !world.globals.dry_run && !needs_others && is_used_up(world, document).is_ok_and(|used_up| !used_up) {
        world.ui().say(&format!("the approval is not used up; it goes on with: keyctl run {}", document.request_id));
    }
}

/// The columns of the table of requests.
pub(crate) const COLUMNS: &[&str] = &["request", "operation", "object", "requester", "until"];

fn pasted(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in files {
        let text = if file.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().take(MAX_TEXT as u64 + 1).read_to_string(&mut text)?;
            text
        } else {
            safe::read_text(file, MAX_TEXT as u64)?
        };
        let armours = armours(&text)?;
        if armours.is_empty() {
            return Err(Error::usage("bad_approvals", format!("{} has no SSH signature", shown_path(file))));
        }
        found.extend(armours);
    }
    Ok(found)
}

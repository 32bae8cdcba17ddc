//! `completions` and `man`: rendered from the clap tree.

use crate::error::Result;
use crate::ui::{Ui, Worst};
use clap_complete::Shell;

/// Print completions for a shell
///
/// Examples:
///   keyctl completions bash
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// Print the man page of keyctl or of one of its commands
///
/// Examples:
///   keyctl man
///   keyctl man sign
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ManArgs {
    /// A command
    command: Option<String>,
}

/// Runs `completions`.
///
/// # Errors
/// None of its own.
pub fn completions(args: &CompletionsArgs, tree: clap::Command, ui: &Ui) -> Result<Worst> {
    ui.raw(&render_completions(args.shell, tree));
    Ok(Worst::default())
}

/// Runs `man`.
///
/// # Errors
/// There is no such command.
pub fn man(args: &ManArgs, tree: clap::Command, ui: &Ui) -> Result<Worst> {
    let name = args.command.as_deref().map_or("keyctl".to_owned(), |command| format!("keyctl-{command}"));
    let pages = render_man(tree);
    let unknown =
        || crate::error::Error::usage("unknown_command", format!("there is no page {name}")).hint("keyctl --help");
    let (_, page) = pages.iter().find(|(page, _)| *page == name).ok_or_else(unknown)?;
    ui.raw(page);
    Ok(Worst::default())
}

/// Completions of the clap tree for a shell.
pub fn render_completions(shell: Shell, mut tree: clap::Command) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut tree, "keyctl", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Every man page with its name: `keyctl`, `keyctl-sign`, …
pub fn render_man(mut tree: clap::Command) -> Vec<(String, String)> {
    tree.build();
    let mut commands = vec![("keyctl".to_owned(), tree.clone())];
    for command in tree.get_subcommands().filter(|command| !command.is_hide_set()) {
        commands.push((format!("keyctl-{}", command.get_name()), command.clone()));
    }
    let page = |(name, command): (String, clap::Command)| {
        let mut bytes = Vec::new();
        let man = clap_mangen::Man::new(command.display_name(name.clone()));
        // Writing to memory does not fail.
        let _ = man.date("").render(&mut bytes);
        (name, String::from_utf8_lossy(&bytes).into_owned())
    };
    commands.into_iter().map(page).collect()
}

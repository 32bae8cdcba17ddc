//! Holds the direction of the arrows (ARCHITECTURE.md): a stage may use only what stands before it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Stages from left to right; those in one row may use each other.
const ROWS: &[&[&str]] = &[
    &["model", "error", "clock", "child", "crypto", "files", "http"],
    &["config", "keys", "people", "pipeline", "request", "ledger", "retry"],
    &["policy"],
    &["gate"],
    &["hsm"],
    &["pki", "formats"],
    &["outcome"],
    &["evidence"],
    &["publication"],
    &["ui", "world"],
    &["published"],
    &["governance", "lifecycle", "signing"],
    &["founding", "runbooks"],
    &["commands"],
    &["cli", "main", "lib"],
];

fn row_of(stage: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&stage))
}

fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("src") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The stages that a text names as `crate::STAGE` or in `use crate::{STAGE…`.
fn named(text: &str) -> BTreeSet<String> {
    let word = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with('$') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => drop(names.insert(word(rest))),
            Some(list) => {
                let mut depth = 0;
                let mut at_start = true;
                for (i, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => at_start = true,
                        c if at_start && c.is_alphabetic() => {
                            names.insert(word(&list[i..]));
                            at_start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    names
}

#[test]
fn the_arrows_run_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut wrong = Vec::new();
    for file in &files {
        let relative = file.strip_prefix(&src).expect("in src");
        let stage = relative.iter().next().expect("a name").to_string_lossy().trim_end_matches(".rs").to_owned();
        if stage == "build" {
            continue;
        }
        let row = row_of(&stage).unwrap_or_else(|| panic!("{stage} has no place in the plan"));
        for other in named(&std::fs::read_to_string(file).expect("readable")) {
            match row_of(&other) {
                Some(place) if place <= row => {}
                Some(_) => wrong.push(format!("{} uses crate::{other}, which stands after it", relative.display())),
                None => {}
            }
        }
    }
    assert!(files.len() > 20, "the sources were not found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every file of a stage, with its name from `src` on.
fn files_of(stage: &str) -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let (folder, file) = (src.join(stage), src.join(format!("{stage}.rs")));
    if folder.is_dir() {
        sources(&folder, &mut files);
    }
    files.extend(file.is_file().then_some(file));
    assert!(!files.is_empty(), "{stage} was not found");
    let named = |file: std::path::PathBuf| {
        let name = file.strip_prefix(&src).expect("in src").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(file).expect("readable"))
    };
    files.into_iter().map(named).collect()
}

/// What these words stand in, outside comments.
fn said_in(stage: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in files_of(stage) {
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let words = words.iter().filter(|word| line.contains(**word));
            found.extend(words.map(|word| format!("{name} has {word}: {}", line.trim())));
        }
    }
    found
}

#[test]
fn formats_are_bytes_only() {
    let mut wrong = Vec::new();
    for (name, text) in files_of("formats") {
        let others = named(&text);
        let used = ["gate", "hsm", "http", "outcome", "retry"].into_iter().filter(|stage| others.contains(*stage));
        wrong.extend(used.map(|stage| format!("{name} uses crate::{stage}")));
    }
    let placing = ["files::place", "files::safe", "files::lock", "Placement", "Target", "{safe", ", safe"];
    wrong.extend(said_in("formats", &placing));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a program was told and what it answers with is the commands' matter, and that of those who call them.
#[test]
fn nothing_below_the_commands_knows_an_argument_or_prints_a_result() {
    let printing = [
        "ui().rows(",
        "ui().batch(",
        "ui().object(",
        "ui().raw(",
        "ui.rows(",
        "ui.batch(",
        "ui.object(",
        "ui.raw(",
        "ui().confirm(",
        "ui.confirm(",
        "Row::",
        "{Row",
        " print!",
    ];
    let above = ["commands", "cli", "main", "lib"];
    let mut wrong = Vec::new();
    for stage in ROWS.iter().flat_map(|row| row.iter()).filter(|stage| !above.contains(stage)) {
        wrong.extend(said_in(stage, &["clap"]));
        // It is where results go out.
        if *stage != "ui" {
            wrong.extend(said_in(stage, &printing));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_way_of_a_file_names_no_format() {
    let text = files_of("signing").into_iter().find(|(name, _)| name == "signing/artifact.rs").expect("is there").1;
    for format in ["::pe", "authenticode", "::apt", "Layout", "Authenticode"] {
        assert!(!text.contains(format), "signing/artifact.rs names {format}");
    }
}

/// Comments may point anywhere.
fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn no_stages_go_in_a_circle() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in &files {
        let relative = file.strip_prefix(&src).expect("in src");
        let stage = relative.iter().next().expect("a name").to_string_lossy().trim_end_matches(".rs").to_owned();
        let mut others = named(&without_comments(&std::fs::read_to_string(file).expect("readable")));
        others.retain(|other| row_of(other).is_some() && *other != stage);
        uses.entry(stage).or_default().extend(others);
    }
    // Whatever uses only what is settled is settled itself; what is left uses each other.
    while let Some(settled) = uses.iter().find(|(_, others)| others.is_empty()).map(|(stage, _)| stage.clone()) {
        uses.remove(&settled);
        for others in uses.values_mut() {
            others.remove(&settled);
        }
    }
    assert!(uses.is_empty(), "these use each other: {uses:?}");
}

/// A file as a module: `signing/mod.rs` is `signing`.
fn module(relative: &Path) -> String {
    let name = relative.with_extension("").to_string_lossy().replace('/', "::");
    name.strip_suffix("::mod").unwrap_or(&name).to_owned()
}

/// The paths that a text in a module names, from the crate's root on; of a list in braces each beginning.
fn paths(module: &str, text: &str) -> Vec<String> {
    let above = module.rsplit_once("::").map_or("", |(above, _)| above);
    let plain = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect::<String>();
    let mut found = Vec::new();
    for (word, base) in [("crate::", ""), ("super::", above), ("self::", module)] {
        for (at, _) in text.match_indices(word) {
            if text[..at].ends_with(|c: char| c.is_alphanumeric() || "_$:".contains(c)) {
                continue;
            }
            let rest = &text[at + word.len()..];
            let head = plain(rest);
            let mut depth = 0;
            let list = rest[head.len()..].strip_prefix('{').unwrap_or_default();
            let ends = |c: char| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                depth < 0
            };
            let list = &list[..list.find(ends).unwrap_or_default()];
            let items = if list.is_empty() {
                vec![String::new()]
            } else {
                list.split(',').map(|it| plain(it.trim())).collect()
            };
            found.extend(items.iter().map(|item| format!("{base}::{head}{item}").trim_matches(':').to_owned()));
        }
    }
    found
}

#[test]
fn no_files_go_in_a_circle() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut texts = BTreeMap::new();
    for file in files {
        let relative = file.strip_prefix(&src).expect("in src");
        if relative.iter().any(|part| part.to_string_lossy().starts_with("test")) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("readable");
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        texts.insert(module(relative), without_comments(text));
    }
    let known = |path: &str| {
        let mut path = path;
        while !texts.contains_key(path) {
            path = path.rsplit_once("::")?.0;
        }
        Some(path.to_owned())
    };
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, text) in &texts {
        let others = paths(module, text).into_iter().filter_map(|path| known(&path));
        uses.insert(module.clone(), others.filter(|other| other != module).collect());
    }
    assert!(uses.values().map(BTreeSet::len).sum::<usize>() > 1000, "the paths were not found");
    // Whatever uses only what is settled is settled, and so is what nobody uses.
    loop {
        let used: BTreeSet<_> = uses.values().flatten().cloned().collect();
        let settled = uses.iter().find(|(module, others)| others.is_empty() || !used.contains(*module));
        let Some(settled) = settled.map(|(module, _)| module.clone()) else { break };
        uses.remove(&settled);
        for others in uses.values_mut() {
            others.remove(&settled);
        }
    }
    assert!(uses.is_empty(), "these use each other: {uses:?}");
}

#[test]
fn the_reader_of_paths_sees_both_forms() {
    let text = "use crate::{error::{Error, Kind}, gate, hsm::store};\nlet x = crate::pki::chain::build; $crate::model";
    let found: Vec<_> = named(text).into_iter().collect();
    assert_eq!(found, ["error", "gate", "hsm", "pki"]);
}

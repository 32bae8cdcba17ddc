//! Holds the size of files and functions: what does not fit on a few screens is divided by what it says.

use std::path::{Path, PathBuf};

/// Most lines of a file, its tests included.
const FILE: usize = 450;
/// Most lines of a function.
const FUNCTION: usize = 60;

/// Files and folders under `src/` that are still being divided. It is to become empty.
const NOT_YET: &[&str] = &[];

/// Functions that may be longer, each with the reason.
const LONG: &[(&str, &str, &str)] = &[
    ("config/render.rs", "sandbox", "the text of one file, from its first line to its last"),
    ("config/tests/refusals.rs", "what_does_not_fit_together_names_its_line", "a table"),
    ("crypto/ssh/tests/forms.rs", "keys_that_do_not_count_are_refused", "a table"),
    ("publication/private/tests.rs", "what_other_programs_write_is_told_apart", "a table"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("src") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The name of the function that begins in this line.
fn begins(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    if let Some((_, after)) = rest.strip_prefix("pub(").and_then(|rest| rest.split_once(") ")) {
        rest = after;
    }
    for word in ["pub ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let rest = rest.strip_prefix("fn ")?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// Every function with its lines, as rustfmt lays them out: it ends where its own indentation closes a brace.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = begins(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let closes = |line: &&str| match line.strip_prefix(indent) {
            Some(rest) => rest.starts_with('}') || (rest.starts_with(')') && rest.ends_with(';')),
            None => false,
        };
        let length = match line.ends_with(['}', ';']) {
            true => 1,
            false => lines[at..].iter().position(closes).unwrap_or(lines.len() - at) + 1,
        };
        found.push((name, length));
    }
    found
}

#[test]
fn files_and_functions_fit_on_a_few_screens() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut wrong, mut excused) = (Vec::new(), Vec::new(), Vec::new());
    sources(&src, &mut files);
    for file in &files {
        let relative = file.strip_prefix(&src).expect("in src");
        if NOT_YET.iter().any(|part| relative.starts_with(part)) {
            continue;
        }
        let text = std::fs::read_to_string(file).expect("readable");
        let (name, lines) = (relative.display().to_string(), text.lines().count());
        if lines > FILE {
            wrong.push(format!("{name} has {lines} lines"));
        }
        for (function, lines) in functions(&text).into_iter().filter(|(_, lines)| *lines > FUNCTION) {
            match LONG.iter().find(|(file, long, _)| *file == name && *long == function) {
                Some(long) => excused.push(long),
                None => wrong.push(format!("{name}: {function} has {lines} lines")),
            }
        }
    }
    assert!(files.len() > 20, "the sources were not found");
    wrong.extend(
        LONG.iter().filter(|long| !excused.contains(long)).map(|long| format!("{long:?} is not long any more")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_measure_of_functions_is_right() {
    let text = "trait T {\n    fn a(&self) -> u8;\n    fn b(\n        &self,\n    ) -> u8;\n}\n\npub(crate) const fn c() {\n    \
        if x {\n    }\n}\npub fn d() {}\nunsafe extern \"C\" fn e(\n    x: u8,\n)\nwhere\n    T: U,\n{\n    y();\n}\n";
    assert_eq!(functions(text), [("a", 1), ("b", 3), ("c", 4), ("d", 1), ("e", 8)]);
}

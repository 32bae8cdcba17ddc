//! The ways around a permit do not compile. Each has a twin that differs in little and does, so that a case
//! cannot pass for a wrong reason.
//!
//! `tests/compile-fail/NAME.rs` begins with `// error: E0000`, the one error it has; `NAME.ok.rs` stands beside it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

fn check(case: &Path, out: &Path) -> (bool, String) {
    let deps = Path::new(env!("CARGO_BIN_EXE_keyctl")).with_file_name("deps");
    // The one that these tests were built with; `libkeyctl.rlib` itself is written by `cargo build` alone.
    let library = newest(&deps, "libkeyctl-");
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-name", "case", "--crate-type", "lib", "--emit", "metadata"])
        .args(["--error-format", "short", "-A", "warnings"])
        .arg("--extern")
        .arg(format!("keyctl={}", library.display()))
        // Named in a public signature, and not exported again by keyctl.
        .arg("--extern")
        .arg(format!("serde_json={}", newest(&deps, "libserde_json-").display()))
        .arg("-L")
        .arg(format!("dependency={}", deps.display()))
        .arg("--out-dir")
        .arg(out)
        .arg(case)
        .output()
        .expect("rustc runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The newest library of this name; the twins fail if it is not the one that keyctl was built with.
fn newest(deps: &Path, prefix: &str) -> PathBuf {
    let names = std::fs::read_dir(deps).expect("deps").map(|entry| entry.expect("entry").path());
    let fitting = names.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(prefix) && name.ends_with(".rlib")
    });
    let age = |path: &PathBuf| path.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    fitting.max_by_key(age).unwrap_or_else(|| panic!("{prefix}*.rlib is missing"))
}

#[test]
fn no_way_around_a_permit_compiles() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile-fail");
    let out = tempfile::tempdir().expect("a temporary folder");
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(&folder).expect("cases").map(|e| e.expect("entry").path()).collect();
    cases.retain(|case| !case.to_string_lossy().ends_with(".ok.rs"));
    cases.sort();
    assert!(cases.len() >= 12, "the cases were not found");
    for case in cases {
        let text = std::fs::read_to_string(&case).expect("readable");
        let code =
            text.lines().next().and_then(|line| line.strip_prefix("// error: ")).expect("a case names its error");
        let (compiles, output) = check(&case, out.path());
        assert!(!compiles, "{} compiles", case.display());
        let errors: Vec<_> = output.lines().filter(|line| line.contains(": error")).collect();
        let only = matches!(errors.as_slice(), [error] if error.contains(&format!("error[{code}]")));
        assert!(only, "{}: not {code} alone but\n{output}", case.display());
        let twin = case.with_extension("ok.rs");
        let (compiles, output) = check(&twin, out.path());
        assert!(compiles, "{}:\n{output}", twin.display());
    }
}

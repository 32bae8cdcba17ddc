//! The ways around a permit do not compile. Each has a twin that differs in little and does, so that a case
//! cannot pass for a wrong reason.
//!
//! `tests/compile-fail/NAME.rs` begins with `// error: E0000`; `NAME.ok.rs` stands beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

fn check(case: &Path, out: &Path) -> (bool, String) {
    let library = Path::new(env!("CARGO_BIN_EXE_keyctl")).with_file_name("libkeyctl.rlib");
    assert!(library.is_file(), "{} is missing", library.display());
    let deps = library.with_file_name("deps");
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
            "--error-format",
            "short",
            "-A",
            "warnings",
        ])
        .arg("--extern")
        .arg(format!("keyctl={}", library.display()))
        .arg("-L")
        .arg(format!("dependency={}", deps.display()))
        .arg("--out-dir")
        .arg(out)
        .arg(case)
        .output()
        .expect("rustc runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn no_way_around_a_permit_compiles() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile-fail");
    let out = tempfile::tempdir().expect("a temporary folder");
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(&folder).expect("cases").map(|e| e.expect("entry").path()).collect();
    cases.retain(|case| !case.to_string_lossy().ends_with(".ok.rs"));
    cases.sort();
    assert!(cases.len() >= 8, "the cases were not found");
    for case in cases {
        let text = std::fs::read_to_string(&case).expect("readable");
        let code =
            text.lines().next().and_then(|line| line.strip_prefix("// error: ")).expect("a case names its error");
        let (compiles, errors) = check(&case, out.path());
        assert!(!compiles, "{} compiles", case.display());
        assert!(errors.contains(&format!("[{code}]")), "{}: not {code} but\n{errors}", case.display());
        let twin = case.with_extension("ok.rs");
        let (compiles, errors) = check(&twin, out.path());
        assert!(compiles, "{}:\n{errors}", twin.display());
    }
}

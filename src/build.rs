//! Link arguments: what the builtin module exports, and what a release does without.

fn main() {
    for s in ["C_GetFunctionList", "C_GetInterface", "C_GetInterfaceList"] {
        println!("cargo:rustc-link-arg=-Wl,--export-dynamic-symbol={s}");
    }
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("PROFILE") == "release" && variable("CARGO_CFG_TARGET_OS") == "linux" {
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{}/src/release.ld", variable("CARGO_MANIFEST_DIR"));
        println!("cargo:rerun-if-changed=src/release.ld");
    }
    println!("cargo:rerun-if-changed=src/build.rs");
}

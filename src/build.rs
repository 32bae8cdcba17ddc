fn main() {
    for s in ["C_GetFunctionList", "C_GetInterface", "C_GetInterfaceList"] {
        println!("cargo:rustc-link-arg=-Wl,--export-dynamic-symbol={s}");
    }
}

//! This program's own file: its version and hash, which outcomes and requests name and production holds against releases.

use crate::model::{Hash256, Tool};

/// This program's version and the hash of its file.
pub fn tool() -> &'static Tool {
    // Hashed once, and only by what writes to the ledger: reading commands start without it.
    static TOOL: std::sync::OnceLock<Tool> = std::sync::OnceLock::new();
    TOOL.get_or_init(|| Tool { version: env!("CARGO_PKG_VERSION").into(), sha256: own_hash().ok() })
}

/// Has [`tool`] found out by a thread of its own, by a command that will need it and has other things to do before.
pub fn prepare_tool() {
    // Without a thread it is found out when it is needed.
    drop(std::thread::Builder::new().name("tool".into()).spawn(tool));
}

fn own_hash() -> std::io::Result<Hash256> {
    use sha2::Digest;
    use std::io::Read;
    let mut file = std::fs::File::open("/proc/self/exe")?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Hash256(hasher.finalize().into())),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

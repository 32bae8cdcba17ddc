//! What others may read, nothing secret in it: certificates, the register, keyrings and lists in `published/`, and the
//! git work tree that carries them further. Each file has one function for its path. What a file says is decided
//! elsewhere; here it is written, read back, and compared.

pub mod certificates;
pub mod compare;
pub mod keyring_files;
pub mod keyrings;
pub mod lists;
pub mod register;
pub mod worktree;

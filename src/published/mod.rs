//! What others may read of a workspace: the files in `published/`, put together and written. They hold nothing secret.
//! What a command says, and whether something may be published, does not live here.

pub mod keyring_files;

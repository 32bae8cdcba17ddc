//! One file per command: the doc comment of its arguments is the help, then `run`, then what only it needs.

pub mod adopt;
pub mod audit;
pub mod completions;
pub mod doctor;
pub mod due;
pub mod import;
pub mod init;
pub mod keygen;
mod openpgp;
pub mod publish;
pub mod recover;
mod repository;
pub mod rotate;
mod seams;
pub mod sign;
pub mod status;
pub mod timestamps;
pub mod verify;

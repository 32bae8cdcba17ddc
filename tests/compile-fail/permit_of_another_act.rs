// error: E0308
use keyctl::gate::{Failure, Permit};
use keyctl::hsm::store::{GeneratedKey, Store};
use keyctl::request::SignArtifact;
pub fn generate(store: &Store, permit: &Permit<SignArtifact>) -> Result<GeneratedKey, Failure> {
    store.generate(permit)
}

use keyctl::gate::{Failure, Permit};
use keyctl::hsm::store::{GeneratedKey, Store};
use keyctl::request::GenerateKey;
pub fn generate(store: &Store, permit: &Permit<GenerateKey>) -> Result<GeneratedKey, Failure> {
    store.generate(permit)
}

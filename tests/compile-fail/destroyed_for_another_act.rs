// error: E0308
use keyctl::gate::{Failure, Permit};
use keyctl::hsm::store::{DestroyedKey, Store};
use keyctl::keys::Generation;
use keyctl::request::GenerateKey;

pub fn destroy(store: &Store, permit: &Permit<GenerateKey>, key: &Generation) -> Result<DestroyedKey, Failure> {
    store.destroy(permit, key)
}

use keyctl::gate::{Failure, Permit};
use keyctl::hsm::store::{DestroyedKey, Store};
use keyctl::keys::Generation;
use keyctl::request::DestroyKey;

pub fn destroy(store: &Store, permit: &Permit<DestroyKey>, key: &Generation) -> Result<DestroyedKey, Failure> {
    store.destroy(permit, key)
}

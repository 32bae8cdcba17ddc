use keyctl::gate::{Failure, Permit};
use keyctl::hsm::store::{SigningKey, Store};
use keyctl::keys::Identity;
use keyctl::request::{Role, SignArtifact};
pub fn keep<'a>(store: &Store, permit: &'a Permit<SignArtifact>, identity: &Identity) -> Result<SigningKey<'a>, Failure> {
    store.open(permit, Role::Artifact, identity)
}

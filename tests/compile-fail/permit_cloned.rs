// error: E0277
use keyctl::gate::Permit;
use keyctl::request::SignArtifact;
fn twice<T: Clone>(value: &T) -> (T, T) {
    (value.clone(), value.clone())
}
pub fn clone_it(permit: &Permit<SignArtifact>) -> (Permit<SignArtifact>, Permit<SignArtifact>) {
    twice(permit)
}

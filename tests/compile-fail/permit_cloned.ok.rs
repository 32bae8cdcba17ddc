use keyctl::request::{Request, SignArtifact};
fn twice<T: Clone>(value: &T) -> (T, T) {
    (value.clone(), value.clone())
}
pub fn clone_it(request: &Request<SignArtifact>) -> (Request<SignArtifact>, Request<SignArtifact>) {
    twice(request)
}

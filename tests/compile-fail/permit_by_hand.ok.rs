use keyctl::gate::Permit;
use keyctl::request::{Request, SignArtifact};
pub fn look(permit: &Permit<SignArtifact>) -> &Request<SignArtifact> {
    permit.request()
}

// error: E0451
use keyctl::gate::Permit;
use keyctl::request::{Request, SignArtifact};
pub fn forge(request: Request<SignArtifact>) -> Permit<SignArtifact> {
    Permit { request, gates: Vec::new(), intent: None, left: Vec::new(), is_resumed: false }
}

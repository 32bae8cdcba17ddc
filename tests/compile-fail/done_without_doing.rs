// error: E0277
use keyctl::gate::Completes;
use keyctl::request::SignArtifact;
use serde_json::Value;
pub struct Pretended;
impl Completes<SignArtifact> for Pretended {
    fn done(&self) -> Value {
        Value::Null
    }
}

// error: E0308
use keyctl::hsm::store::CheckpointKey;
use keyctl::model::Tbs;
pub fn sign(key: &CheckpointKey, tbs: &Tbs) {
    let _ = key.sign(tbs);
}

use keyctl::hsm::store::CheckpointKey;
pub fn sign(key: &CheckpointKey, text: &str) {
    let _ = key.sign(text);
}

use keyctl::hsm::store::SigningKey;
use keyctl::model::Tbs;
pub fn sign(key: &SigningKey<'_>, tbs: &Tbs) {
    let _ = key.sign(tbs);
}

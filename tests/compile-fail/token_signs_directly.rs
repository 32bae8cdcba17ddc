// error: E0624
use keyctl::hsm::{KeyRef, Token};
use keyctl::model::Tbs;
pub fn sign(token: &Token, key: &KeyRef, tbs: &Tbs) {
    let _ = token.sign(key, tbs);
}

// error: E0624
use keyctl::hsm::{KeyRef, Token};

pub fn destroy(token: &Token, key: &KeyRef) -> bool {
    token.destroy(key.cka_id(), Some(key.public())).is_ok()
}

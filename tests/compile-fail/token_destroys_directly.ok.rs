use keyctl::hsm::{KeyRef, Token};

pub fn look(token: &Token, key: &KeyRef) -> bool {
    token.find(key.cka_id(), key.public()).is_ok()
}

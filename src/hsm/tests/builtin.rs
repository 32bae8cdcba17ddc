//! What only the builtin token has: folders, several databases in one process, and speed.

use super::support::*;
use crate::hsm::builtin::{self, DATABASE};
use crate::hsm::generate::KeyTemplate;
use crate::hsm::module::ModuleSpec;
use crate::hsm::pin::Pin;
use crate::hsm::token::{Token, TokenSpec};
use crate::model::{KeyAlgorithm, Tbs};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

fn at(folder: &Path, label: &str) -> TokenSpec {
    spec(ModuleSpec::Builtin { folder: folder.into() }, label)
}

fn code(spec: TokenSpec) -> &'static str {
    Token::open(spec).unwrap_err().code()
}

#[test]
fn several_tokens_live_in_one_process_and_dead_ones_do_not_stop_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["root", "issuing", "primary"] {
        create_builtin(&path(name), name);
    }
    let tokens: Vec<_> = ["root", "issuing", "primary"].map(|name| Token::open(at(&path(name), name)).unwrap()).into();
    let keys: Vec<_> = tokens.iter().map(|token| p256(token, "a").public).collect();
    for (token, key) in tokens.iter().zip(&keys) {
        sign(token, "a", key).unwrap();
    }
    assert_eq!(tokens[0].find(&id("a"), &keys[1]).unwrap_err().code(), "key_unconfirmed");
    assert_eq!(code(at(&path("root"), "issuing")), "token_not_found");

    std::fs::remove_dir_all(path("issuing")).unwrap();
    std::fs::write(path("primary").join(DATABASE), b"no database at all").unwrap();
    create_builtin(&path("secondary"), "secondary");
    let secondary = Token::open(at(&path("secondary"), "secondary")).unwrap();
    let key = p256(&secondary, "a").public;
    sign(&secondary, "a", &key).unwrap();
    sign(&tokens[0], "a", &keys[0]).unwrap();
    assert_eq!(code(at(&path("issuing"), "issuing")), "token_gone");
    assert_eq!(code(at(&path("primary"), "primary")), "device_error");
    // Made again under the same name, it is another token.
    create_builtin(&path("issuing"), "issuing");
    assert_eq!(Token::open(at(&path("issuing"), "issuing")).unwrap().inventory().unwrap(), []);
}

#[test]
fn a_database_that_only_kryoptic_refuses_does_not_poison_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("odd");
    create_builtin(&odd, "odd");
    let database = rusqlite::Connection::open(odd.join(DATABASE)).unwrap();
    database.execute_batch("DROP TABLE meta").unwrap();
    drop(database);
    // A process that has not seen this database before: as its folder is moved, it is a new one to us.
    let moved = folder.path().join("moved");
    std::fs::create_dir(&moved).unwrap();
    std::fs::set_permissions(&moved, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::copy(odd.join(DATABASE), moved.join(DATABASE)).unwrap();
    assert_eq!(code(at(&moved, "odd")), "device_error");
    let good = folder.path().join("good");
    create_builtin(&good, "good");
    Token::open(at(&good, "good")).unwrap();
}

#[test]
fn a_folder_must_be_ours_alone_and_hold_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    assert_eq!(code(at(&path, "t")), "token_gone");
    create_builtin(&path, "t");
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let made = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((made(&path), made(&path.join(DATABASE))), (0o700, 0o600));
    mode(&path, 0o750);
    assert_eq!(code(at(&path, "t")), "module_untrusted");
    mode(&path, 0o700);
    mode(&path.join(DATABASE), 0o640);
    assert_eq!(code(at(&path, "t")), "module_untrusted");
    mode(&path.join(DATABASE), 0o600);
    Token::open(at(&path, "t")).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(code(at(&link, "t")), "token_gone");
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    mode(&empty, 0o700);
    assert_eq!(code(at(&empty, "t")), "token_uninitialized");
    assert!(!empty.join(DATABASE).exists(), "opening makes nothing");
}

#[test]
fn creating_is_completed_but_never_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let secret = |text: &str| Pin::new(text.into()).unwrap();
    let create = |label: &str, pin: &str| builtin::create(&path, label, &secret("so-pin-so-pin"), &secret(pin));
    assert_eq!(create("t", "short").unwrap_err().code(), "no_pin");
    assert!(create("", PIN).is_err() && create(&"x".repeat(33), PIN).is_err() && create("a\u{1b}", PIN).is_err());
    assert!(!path.exists());
    // An empty database is what an interrupted creation leaves.
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(path.join(DATABASE), b"").unwrap();
    std::fs::set_permissions(path.join(DATABASE), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(code(at(&path, "t")), "token_not_found");
    create("t", PIN).unwrap();
    let key = p256(&Token::open(at(&path, "t")).unwrap(), "a").public;
    assert_eq!(create("t", PIN).unwrap_err().code(), "token_exists");
    sign(&Token::open(at(&path, "t")).unwrap(), "a", &key).unwrap();
}

#[test]
fn no_session_keeps_a_copy_of_a_destroyed_key() {
    let fixture = builtin_fixture();
    let token = Token::open(TokenSpec { sessions: 3, ..fixture.spec.clone() }).unwrap();
    let mut template = KeyTemplate::bound(id("a"), "a", KeyAlgorithm::EcdsaP256);
    template.copyable = true;
    let made = token.generate(&template).unwrap();
    let key = token.find(&id("a"), &made.public).unwrap();
    let tbs = Tbs::message(ECDSA, b"x");
    for _ in 0..6 {
        token.sign(&key, &tbs).unwrap();
    }
    token.destroy(key.cka_id(), Some(key.public())).unwrap();
    for _ in 0..6 {
        assert_eq!(token.sign(&key, &tbs).unwrap_err().code(), "key_missing");
    }
}

/// Copyable keys are copied into the session once; the rest is used as it is. Prints what that brings.
#[test]
fn a_session_copy_signs_like_the_key_and_faster() {
    let fixture = builtin_fixture();
    let token = fixture.open();
    let rate = |name: &str, copyable: bool| {
        let mut template = KeyTemplate::bound(id(name), name, KeyAlgorithm::EcdsaP256);
        template.copyable = copyable;
        let made = token.generate(&template).unwrap();
        let key = token.find(&id(name), &made.public).unwrap();
        let tbs = Tbs::message(ECDSA, b"x");
        let reference = key.clone();
        token.raw_job(move |seat, _| {
            let (signing, located) = seat.locate_for_signing(&reference)?;
            assert_eq!(signing != located.private, copyable);
            Ok(())
        });
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_millis(300) {
            token.sign(&key, &tbs).unwrap();
            count += 1;
        }
        token.destroy(key.cka_id(), Some(key.public())).unwrap();
        f64::from(count) / start.elapsed().as_secs_f64()
    };
    let (bound, copied) = (rate("bound", false), rate("copied", true));
    println!("P-256 signatures a second, verified: {bound:.0} bound, {copied:.0} with a session copy");
}

//! pkcs11-spy writes down every call; one signature must be one `C_Sign`.

use super::support::*;
use crate::hsm::generate::KeyTemplate;
use crate::hsm::module::ModuleSpec;
use crate::hsm::token::Token;
use crate::model::KeyAlgorithm;

#[test]
fn one_signature_is_one_call() {
    let test = concat!(module_path!(), "::one_signature_is_one_call");
    let paths = ["/usr/lib/x86_64-linux-gnu/pkcs11-spy.so", "/usr/lib/x86_64-linux-gnu/pkcs11/pkcs11-spy.so"];
    let (Some(module), Some(real)) = (installed(&paths, "pkcs11-spy"), softhsm_module()) else { return };
    let run = || {
        let token = Token::open(spec(ModuleSpec::file(&module), LABEL)).unwrap();
        let made = p256(&token, "a");
        let mut template = KeyTemplate::bound(id("b"), "b", KeyAlgorithm::EcdsaP256);
        template.always_authenticate = true;
        let careful = token.generate(&template).unwrap();
        for _ in 0..3 {
            sign(&token, "a", &made.public).unwrap();
        }
        for _ in 0..2 {
            sign(&token, "b", &careful.public).unwrap();
        }
    };
    if is_child(test) {
        return run();
    }
    let folder = tempfile::tempdir().unwrap();
    let config = softhsm_config(folder.path(), &[LABEL]);
    let log = folder.path().join("log");
    let variables = [
        ("SOFTHSM2_CONF", config.to_str().unwrap()),
        ("PKCS11SPY", real.as_str()),
        ("PKCS11SPY_OUTPUT", log.to_str().unwrap()),
    ];
    in_child(test, &variables, run);
    let log = std::fs::read_to_string(&log).unwrap();
    let count =
        |name: &str| log.lines().filter(|line| line.split_once(": ").is_some_and(|(_, call)| call == name)).count();
    assert_eq!((count("C_SignInit"), count("C_Sign")), (5, 5), "{log}");
    assert_eq!(count("C_Login"), 3, "one for the user, one for each signature of the careful key");
    assert_eq!(count("C_Initialize"), 1);
}

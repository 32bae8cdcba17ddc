//! A module that lies: `tests/lying/lying.c` in front of SoftHSM2. Each test runs in a child of its own and
//! tells the module by a file what to lie about.

use super::support::*;
use crate::hsm::fault::Fault;
use crate::hsm::generate::{Generated, KeyTemplate};
use crate::hsm::module::ModuleSpec;
use crate::hsm::object::Presence;
use crate::hsm::store::Store;
use crate::hsm::token::{Token, TokenSpec};
use crate::model::KeyAlgorithm;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const CONTROL: &str = "LYING_CONTROL";
const LOG: &str = "LYING_LOG";

/// The compiled module, beside the test program.
fn module() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| {
        let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let (object, module) = (folder.join(format!("lying-{}.so", std::process::id())), folder.join("lying.so"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lying/lying.c");
        let flags = ["-shared", "-fPIC", "-O1", "-fvisibility=hidden", "-Wl,-Bsymbolic", "-o"];
        let status = Command::new("cc").args(flags).arg(&object).arg(&source).arg("-ldl").status().unwrap();
        assert!(status.success());
        // Whole or not at all: other test programs may be loading it.
        std::fs::rename(&object, &module).unwrap();
        module
    })
}

/// The lying token in a child process.
struct Liar {
    spec: TokenSpec,
}

impl Liar {
    fn open(&self) -> Token {
        Token::open(self.spec.clone()).unwrap()
    }

    fn tell(&self, lie: &str) {
        std::fs::write(std::env::var_os(CONTROL).unwrap(), lie).unwrap();
    }

    fn calls(&self, name: &str) -> usize {
        let log = std::fs::read_to_string(std::env::var_os(LOG).unwrap()).unwrap_or_default();
        log.lines().filter(|line| *line == name).count()
    }
}

fn with_liar(test: &str, body: impl FnOnce(&Liar)) {
    let Some(real) = softhsm_module() else { return };
    if is_child(test) {
        let module = ModuleSpec::file(std::env::var("KEYCTL_TEST_LIAR").unwrap());
        return body(&Liar { spec: spec(module, LABEL) });
    }
    let folder = tempfile::tempdir().unwrap();
    let config = softhsm_config(folder.path(), &[LABEL]);
    let (control, log) = (folder.path().join("control"), folder.path().join("log"));
    let variables = [
        ("SOFTHSM2_CONF", config.to_str().unwrap()),
        ("LYING_REAL", real.as_str()),
        ("KEYCTL_TEST_LIAR", module().to_str().unwrap()),
        (CONTROL, control.to_str().unwrap()),
        (LOG, log.to_str().unwrap()),
    ];
    in_child(test, &variables, || {});
}

/// A store over the lying token, `primary`, and an honest one, `secondary`.
struct Pair {
    store: Store,
    _secondary: Fixture,
}

impl Pair {
    fn new(liar: &Liar, timeout: Duration) -> Self {
        let secondary = builtin_fixture();
        let named = |spec: &TokenSpec, name: &str| TokenSpec { name: name.parse().unwrap(), timeout, ..spec.clone() };
        let specs = [named(&liar.spec, "primary"), named(&secondary.spec, "secondary")];
        Pair { store: Store::new(specs), _secondary: secondary }
    }

    /// The code of the refusal or outage, or the serial number.
    fn open(&self, name: &str) -> Result<String, &'static str> {
        match self.store.token(&name.parse().unwrap()) {
            Ok(token) => Ok(token.info().serial.clone()),
            Err(error) => Err(error.code()),
        }
    }
}

/// A test of the liar.
macro_rules! lies {
    ($(fn $name:ident($liar:ident) $body:block)*) => {$(
        #[test]
        fn $name() {
            with_liar(concat!(module_path!(), "::", stringify!($name)), |$liar: &Liar| $body);
        }
    )*};
}

fn fault<T: std::fmt::Debug>(result: Result<T, Fault>) -> Fault {
    result.unwrap_err()
}

fn pair(token: &Token) -> (Generated, Generated) {
    (p256(token, "a"), p256(token, "b"))
}

lies! {
    fn impossible_counts_and_lengths_are_answers_not_memory(liar) {
        let made = p256(&liar.open(), "a");
        let lies = ["object-count", "endless", "null-handle", "attribute-length", "number-length", "boolean-value",
            "boolean-length"];
        for lie in lies {
            liar.tell("honest");
            let token = liar.open();
            liar.tell(lie);
            let fault = fault(sign(&token, "a", &made.public));
            assert_eq!((fault.code(), fault.is_outage()), ("module_answer", false), "{lie}: {fault}");
        }
        liar.tell("slot-count");
        assert_eq!(fault(Token::open(liar.spec.clone())).code(), "module_answer");
        assert_eq!(liar.calls("C_Sign"), 0);
    }

    fn an_attribute_that_is_not_available_confirms_nothing(liar) {
        let token = liar.open();
        let made = p256(&token, "a");
        liar.tell("attribute-unavailable");
        assert_eq!(fault(sign(&token, "a", &made.public)).code(), "module_answer");
        assert_eq!(liar.calls("C_Sign"), 0);
    }

    fn doubled_objects_are_ambiguous(liar) {
        let token = liar.open();
        let made = p256(&token, "a");
        liar.tell("duplicate");
        assert_eq!(fault(sign(&token, "a", &made.public)).code(), "key_ambiguous");
        assert_eq!(liar.calls("C_Sign"), 0);
    }

    fn wrong_signatures_do_not_come_out(liar) {
        let token = liar.open();
        let (one, other) = pair(&token);
        sign(&token, "a", &one.public).unwrap();
        for lie in ["other-key", "short-signature", "long-signature", "zero-signature"] {
            liar.tell(lie);
            let before = liar.calls("C_Sign");
            let fault = fault(sign(&token, "b", &other.public));
            assert_eq!((fault.code(), fault.is_outage()), ("module_answer", false), "{lie}: {fault}");
            assert_eq!(liar.calls("C_Sign"), before + 1, "{lie}: asked once");
        }
        liar.tell("honest");
        sign(&token, "b", &other.public).unwrap();
    }

    fn a_device_that_goes_in_mid_call_leaves_the_outcome_unknown(liar) {
        let token = liar.open();
        let made = p256(&token, "a");
        liar.tell("removed");
        let fault = fault(sign(&token, "a", &made.public));
        assert!(fault.is_outage() && fault.is_unknown(), "{fault}");
        assert_eq!((fault.code(), liar.calls("C_Sign")), ("token_gone", 1));
        assert_eq!(fault.return_value().as_deref(), Some("CKR_DEVICE_REMOVED"));
        liar.tell("honest");
        sign(&token, "a", &made.public).unwrap();
    }

    fn a_dead_session_is_opened_anew_once(liar) {
        let token = liar.open();
        let made = p256(&token, "a");
        sign(&token, "a", &made.public).unwrap();
        let logins = liar.calls("C_Login");
        for lie in ["once-dead", "once-removed-at-init"] {
            liar.tell(lie);
            sign(&token, "a", &made.public).unwrap();
        }
        assert!(liar.calls("C_Login") > logins, "all sessions were closed, so the login was gone");
        assert_eq!(liar.calls("C_Sign"), 3);
        liar.tell("dead");
        let fault = fault(sign(&token, "a", &made.public));
        assert_eq!((fault.code(), fault.is_outage(), fault.is_unknown()), ("session_lost", true, false), "{fault}");
        assert_eq!(liar.calls("C_Sign"), 3);
    }

    fn another_token_after_reopening_stops_everything(liar) {
        let token = liar.open();
        let made = p256(&token, "a");
        liar.tell("serial-and-dead");
        let first = fault(sign(&token, "a", &made.public));
        assert_eq!((first.code(), first.is_outage()), ("wrong_token", false), "{first}");
        liar.tell("honest");
        assert_eq!(fault(sign(&token, "a", &made.public)).code(), "wrong_token");
        assert_eq!((liar.calls("C_Sign"), token.fatal().unwrap().code()), (0, "wrong_token"));
    }

    fn a_refused_pin_is_not_tried_again(liar) {
        liar.tell("pin");
        assert_eq!(fault(Token::open(liar.spec.clone())).code(), "wrong_pin");
        assert_eq!(liar.calls("C_Login"), 1);
    }

    fn a_pin_refused_when_logging_in_again_is_not_tried_again(liar) {
        let token = Token::open(TokenSpec { sessions: 3, ..liar.spec.clone() }).unwrap();
        let made = p256(&token, "a");
        let key = token.find(&id("a"), &made.public).unwrap();
        let logins = liar.calls("C_Login");
        // The sessions die, and the PIN was changed meanwhile.
        liar.tell("dead-and-pin");
        let tbs = crate::model::Tbs::message(ECDSA, b"x");
        for _ in 0..9 {
            assert_eq!(fault(token.sign(&key, &tbs)).code(), "wrong_pin");
        }
        assert_eq!((liar.calls("C_Login"), liar.calls("C_Sign")), (logins + 1, 0));
    }

    fn a_token_that_hangs_while_it_is_opened_holds_up_no_other(liar) {
        let pair = Pair::new(liar, Duration::from_secs(120));
        liar.tell("hang-login");
        std::thread::scope(|scope| {
            let waiting = [(); 3].map(|()| scope.spawn(|| pair.open("primary")));
            while liar.calls("C_Login") == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            pair.open("secondary").unwrap();
            assert!(waiting.iter().all(|thread| !thread.is_finished()));
            liar.tell("honest");
            let serials = waiting.map(|thread| thread.join().unwrap().unwrap());
            assert!(serials.iter().all(|serial| *serial == serials[0]));
        });
        assert_eq!(liar.calls("C_Login"), 1, "who came later waited for the first one's answer");
    }

    fn a_token_that_hung_while_it_was_opened_stays_given_up(liar) {
        let pair = Pair::new(liar, Duration::from_secs(2));
        liar.tell("hang-login");
        assert_eq!(pair.open("primary"), Err("token_timed_out"));
        assert_eq!(pair.open("primary"), Err("token_timed_out"));
        assert_eq!(liar.calls("C_Login"), 1);
    }

    fn many_threads_give_a_wrong_pin_once(liar) {
        let pair = Pair::new(liar, Duration::from_secs(120));
        liar.tell("pin");
        std::thread::scope(|scope| {
            for thread in [(); 8].map(|()| scope.spawn(|| pair.open("primary"))) {
                assert_eq!(thread.join().unwrap(), Err("wrong_pin"));
            }
        });
        liar.tell("honest");
        assert_eq!(pair.open("primary"), Err("wrong_pin"));
        assert_eq!(liar.calls("C_Login"), 1);
    }

    fn a_refused_context_login_ends_the_token(liar) {
        let token = liar.open();
        let mut template = KeyTemplate::bound(id("a"), "a", KeyAlgorithm::EcdsaP256);
        template.always_authenticate = true;
        let made = token.generate(&template).unwrap();
        sign(&token, "a", &made.public).unwrap();
        let logins = liar.calls("C_Login");
        liar.tell("context-pin");
        for _ in 0..3 {
            assert_eq!(fault(sign(&token, "a", &made.public)).code(), "wrong_pin");
        }
        assert_eq!((liar.calls("C_Login"), liar.calls("C_Sign")), (logins + 1, 1));
    }

    fn before_the_last_try_no_pin_is_given(liar) {
        liar.tell("final-try");
        assert_eq!(fault(Token::open(liar.spec.clone())).code(), "last_pin_try");
        assert_eq!(liar.calls("C_Login"), 0);
    }

    fn a_hang_ends_with_the_deadline_and_the_token(liar) {
        let token = Token::open(TokenSpec { timeout: Duration::from_secs(2), sessions: 2, ..liar.spec.clone() }).unwrap();
        let made = p256(&token, "a");
        let key = token.find(&id("a"), &made.public).unwrap();
        liar.tell("hang");
        let start = Instant::now();
        let first = fault(token.sign(&key, &crate::model::Tbs::message(ECDSA, b"x")));
        assert_eq!((first.code(), first.is_outage(), first.is_unknown()), ("token_timed_out", true, true), "{first}");
        assert!(start.elapsed() < Duration::from_secs(5));
        let start = Instant::now();
        let second = fault(sign(&token, "a", &made.public));
        assert_eq!((second.code(), second.is_unknown()), ("token_timed_out", false));
        drop(token);
        assert!(start.elapsed() < Duration::from_secs(1), "later calls and the farewell do not wait");
        assert_eq!(liar.calls("C_Sign"), 1);
    }

    fn a_pair_made_in_spite_of_an_error_is_not_made_twice(liar) {
        let token = liar.open();
        liar.tell("made-but-failed");
        let template = KeyTemplate::bound(id("a"), "a", KeyAlgorithm::EcdsaP256);
        let fault = fault(token.generate(&template));
        assert!(fault.is_unknown(), "{fault}");
        liar.tell("honest");
        assert_eq!(liar.calls("C_GenerateKeyPair"), 1);
        assert_eq!(token.inspect(&id("a")).unwrap().presence(), Presence::Full);
    }

    fn a_destruction_is_checked(liar) {
        let token = liar.open();
        let made = p256(&token, "a");
        let key = token.find(&id("a"), &made.public).unwrap();
        liar.tell("not-destroyed");
        let fault = fault(token.destroy(key.cka_id(), Some(key.public())));
        assert_eq!((fault.code(), fault.is_unknown()), ("module_answer", true), "{fault}");
    }

    fn strings_are_escaped(liar) {
        liar.tell("escape");
        let info = liar.open().info().clone();
        assert!(info.manufacturer.starts_with("\\u{1b}[2J"), "{}", info.manufacturer);
    }
}

/// A crash takes the process with it; what matters is that the one around it sees that and nothing was signed twice.
#[test]
fn a_crash_in_a_signature_ends_the_process() {
    let test = concat!(module_path!(), "::a_crash_in_a_signature_ends_the_process");
    let crash = |liar: &Liar| {
        let token = liar.open();
        let made = p256(&token, "a");
        liar.tell("crash");
        let _ = sign(&token, "a", &made.public);
    };
    if is_child(test) {
        if std::env::var_os("KEYCTL_TEST_CRASH").is_some() {
            return with_liar(test, crash);
        }
        let name = test.split_once("::").unwrap().1;
        let arguments = [name, "--exact", "--test-threads=1"];
        let status =
            Command::new(std::env::current_exe().unwrap()).args(arguments).env("KEYCTL_TEST_CRASH", "1").output();
        assert_eq!(status.unwrap().status.signal(), Some(libc::SIGABRT));
        // The token is whole, and the next command can go on.
        return with_liar(test, |liar| {
            liar.tell("honest");
            assert_eq!(liar.calls("C_Sign"), 1);
            let token = liar.open();
            let found = token.inspect(&id("a")).unwrap();
            assert_eq!(found.presence(), Presence::Full);
            sign(&token, "a", &found.key.unwrap()).unwrap();
        });
    }
    with_liar(test, crash);
}

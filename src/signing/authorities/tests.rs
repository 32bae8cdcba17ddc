use super::*;
use crate::formats::testing::{self, Use};
use crate::formats::timestamp::verify_token;
use crate::http::Answer;
use crate::retry::testing::Hourglass;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

const MESSAGE: &[u8] = b"a signature value";
const A: &str = "http://a.example/tsa";
const B: &str = "http://b.example/tsa";
const SLOW: &str = "http://timestamp.sectigo.com";

/// What a double of an authority does with a request.
#[derive(Clone)]
enum Says {
    Good,
    Nothing,
    Status(u16, Option<u64>),
    Html,
    Garbage,
    /// Answers the request with another nonce.
    AnotherNonce,
    /// Answers a request over something else.
    AnotherImprint,
}

/// A poster that plays the authorities, openssl behind them, and notes when each was asked. The last thing an authority
/// has to say it says for ever.
struct Stage {
    tsa: Arc<testing::Authority>,
    lines: Mutex<HashMap<String, VecDeque<Says>>>,
    asked: Arc<Mutex<Vec<(String, u64)>>>,
    time: Hourglass,
}

impl Poster for Stage {
    fn post(&self, url: &str, content_type: &str, accept: &str, body: &[u8], limits: Limits) -> Result<Answer> {
        assert_eq!((content_type, accept), ("application/timestamp-query", "application/timestamp-reply"));
        assert_eq!(limits.max_body, 1 << 20);
        self.asked.lock().unwrap().push((url.to_owned(), self.time.elapsed().as_secs()));
        let mut lines = self.lines.lock().unwrap();
        let line = lines.get_mut(url).unwrap();
        let says = if line.len() > 1 { line.pop_front().unwrap() } else { line[0].clone() };
        let other = |message: &[u8], nonce: &[u8]| {
            self.tsa.answer(&Request::new(HashAlgorithm::Sha256, message, nonce).unwrap().to_der())
        };
        let reply = |body| (200, Some("application/timestamp-reply"), None, body);
        let (status, content_type, retry_after, body) = match says {
            Says::Good => reply(self.tsa.answer(body)),
            Says::Garbage => reply(b"garbage".to_vec()),
            Says::AnotherNonce => reply(other(MESSAGE, b"\x01another nonce")),
            Says::AnotherImprint => reply(other(b"another", b"\x01another nonce")),
            Says::Html => (200, Some("text/html"), None, b"<html>".to_vec()),
            Says::Status(status, after) => (status, None, after.map(Duration::from_secs), Vec::new()),
            Says::Nothing => return Err(Error::unavailable("http_timeout", "no answer in time")),
        };
        Ok(Answer { status, content_type: content_type.map(str::to_owned), retry_after, body })
    }
}

/// The authorities under test, and what they see.
struct Scene {
    authorities: Authorities,
    asked: Arc<Mutex<Vec<(String, u64)>>>,
    time: Hourglass,
    root: Vec<u8>,
}

impl Scene {
    fn new(lines: &[(&str, &[Says])]) -> Self {
        Self::with(lines, Retry::default(), Hourglass::default())
    }

    fn with(lines: &[(&str, &[Says])], retry: Retry, time: Hourglass) -> Self {
        Self::beside(lines, retry, time, None)
    }

    /// One of several processes of a workspace.
    fn beside(lines: &[(&str, &[Says])], retry: Retry, time: Hourglass, paces: Option<PathBuf>) -> Self {
        let tsa = Arc::new(testing::Authority::new(Use::Tsa));
        let root = tsa.root.der();
        let asked = Arc::<Mutex<_>>::default();
        let stage = Stage {
            tsa,
            lines: Mutex::new(lines.iter().map(|(url, says)| ((*url).to_owned(), says.to_vec().into())).collect()),
            asked: asked.clone(),
            time: time.clone(),
        };
        let outside =
            Outside { poster: Box::new(stage), waiter: Box::new(time.clone()), clock: Clock::system(), paces };
        let urls: Vec<_> = lines.iter().map(|(url, _)| (*url).to_owned()).collect();
        let authorities = Authorities::new(&urls, vec![root.clone()], retry, outside).unwrap();
        Scene { authorities, asked, time, root }
    }

    fn stamp(&self) -> Result<Value> {
        let (token, said) = self.authorities.stamp(MESSAGE)?;
        let roots = [self.root.clone()];
        assert_eq!(verify_token(&token, MESSAGE, &*chain::to_roots(&roots)).unwrap().serial, said["serial"]);
        Ok(said)
    }

    /// Who was asked at which second, since the last time this was asked.
    fn asked(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn at(url: &str, seconds: &[u64]) -> Vec<(String, u64)> {
    seconds.iter().map(|second| (url.to_owned(), *second)).collect()
}

fn codes(said: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    said["attempts"].as_array().unwrap().iter().map(|tried| (text(&tried["authority"]), text(&tried["code"]))).collect()
}

#[test]
fn the_first_authority_is_enough() {
    let scene = Scene::new(&[(A, &[Says::Good]), (B, &[Says::Nothing])]);
    let said = scene.stamp().unwrap();
    assert_eq!(scene.asked(), at(A, &[0]));
    assert_eq!((said["authority"].as_str(), said["policy"].as_str()), (Some(A), Some("1.2.3.4.1")));
    assert_eq!(said["tsa_subject"], "CN=TSA signer");
    assert!(crate::clock::parse(said["time"].as_str().unwrap()).is_some());
    assert_eq!(codes(&said), [(A.to_owned(), "granted".to_owned())]);
    crate::crypto::jcs::to_vec(&said).unwrap();
}

#[test]
fn every_fault_has_its_code_and_the_next_authority_is_asked_at_once() {
    for (says, code, class) in [
        (Says::Nothing, "http_timeout", "transient"),
        (Says::Status(503, Some(20)), "http_server_unavailable", "transient"),
        (Says::Status(429, None), "http_too_many_requests", "transient"),
        (Says::Status(403, None), "http_forbidden", "policy_violation"),
        (Says::Status(404, None), "http_not_found", "permanent"),
        (Says::Html, "timestamp_wrong_type", "permanent"),
        (Says::Garbage, "malformed_der", "permanent"),
        (Says::AnotherNonce, "timestamp_nonce_mismatch", "permanent"),
        (Says::AnotherImprint, "timestamp_imprint_mismatch", "permanent"),
    ] {
        let scene = Scene::new(&[(A, &[says]), (B, &[Says::Good])]);
        let said = scene.stamp().unwrap();
        assert_eq!(said["authority"], B);
        assert_eq!(codes(&said)[0], (A.to_owned(), code.to_owned()));
        assert_eq!(said["attempts"][0]["error_class"], class);
        assert_eq!(scene.time.seconds(), [0; 0], "{code}");
        crate::crypto::jcs::to_vec(&said).unwrap();
    }
}

#[test]
fn a_stranger_s_timestamp_is_refused() {
    let mut scene = Scene::new(&[(A, &[Says::Good])]);
    scene.authorities.roots = vec![testing::Authority::new(Use::Tsa).root.der()];
    let refused = scene.authorities.stamp(MESSAGE).unwrap_err();
    assert_eq!((refused.code(), refused.kind()), ("no_timestamp", Kind::Unavailable));
    assert!(refused.message().contains(&format!("{A}: ")), "{refused}");
    assert_eq!(scene.asked().len(), 1, "trying again does not make it trusted");
}

#[test]
fn pauses_double_and_none_follows_the_last_try() {
    let scene = Scene::new(&[(A, &[Says::Status(503, None)])]);
    assert_eq!(scene.stamp().unwrap_err().code(), "no_timestamp");
    assert_eq!(scene.asked(), at(A, &[0, 4, 12, 28, 60]));
    assert_eq!(scene.time.seconds(), [4, 8, 16, 32]);
    // Five failures in a row: left alone for five minutes, then asked once.
    let refused = scene.stamp().unwrap_err();
    assert!(refused.message().contains("not asked for another 300 s"), "{refused}");
    assert_eq!(scene.asked(), []);
    scene.time.wait(Duration::from_secs(300)).unwrap();
    scene.stamp().unwrap_err();
    assert_eq!(scene.asked(), at(A, &[360]), "one failed try opens the breaker again");
}

#[test]
fn two_dead_authorities_take_turns() {
    let scene = Scene::new(&[(A, &[Says::Nothing]), (B, &[Says::Nothing, Says::Nothing, Says::Good])]);
    let said = scene.stamp().unwrap();
    let order: Vec<_> = scene.asked().into_iter().map(|(url, second)| (url == A, second)).collect();
    assert_eq!(order, [(true, 0), (false, 0), (true, 4), (false, 4), (true, 12), (false, 12)]);
    assert_eq!(said["attempts"].as_array().unwrap().len(), 6);
}

#[test]
fn retry_after_is_kept_by_every_file_and_has_a_bound() {
    let scene = Scene::new(&[(A, &[Says::Status(503, Some(20)), Says::Good])]);
    scene.stamp().unwrap();
    assert_eq!(scene.asked(), at(A, &[0, 20]));
    let scene = Scene::new(&[(A, &[Says::Status(429, Some(2)), Says::Good])]);
    scene.stamp().unwrap();
    assert_eq!(scene.asked(), at(A, &[0, 4]), "never less than our own pause");
    let scene = Scene::new(&[(A, &[Says::Status(503, Some(3600)), Says::Good]), (B, &[Says::Good])]);
    assert_eq!(scene.stamp().unwrap()["authority"], B);
    assert_eq!(scene.stamp().unwrap()["authority"], B, "the next file knows");
    let order: Vec<_> = scene.asked().into_iter().map(|(url, _)| url).collect();
    assert_eq!(order, [A, B, B]);
    let scene = Scene::new(&[(A, &[Says::Status(503, Some(3600))])]);
    scene.stamp().unwrap_err();
    assert_eq!(scene.time.seconds(), [0; 0], "nobody waits for an hour");
}

#[test]
fn an_interval_is_kept_between_requests() {
    let scene = Scene::new(&[(SLOW, &[Says::Good])]);
    for _ in 0..3 {
        scene.stamp().unwrap();
    }
    assert_eq!(scene.asked(), at(SLOW, &[0, 15, 30]));
    let scene = Scene::new(&[(SLOW, &[Says::Good]), (A, &[Says::Good])]);
    for _ in 0..3 {
        scene.stamp().unwrap();
    }
    let order: Vec<_> = scene.asked().into_iter().map(|(url, _)| url).collect();
    assert_eq!(order, [SLOW, A, A], "nobody waits while another is free");
    for (url, seconds) in [(SLOW, 15), ("https://SECTIGO.com:80/x", 15), (A, 0), ("http://x.com/sectigo.com", 0)] {
        assert_eq!(interval(url).as_secs(), seconds, "{url}");
    }
    assert_eq!(interval("http://notsectigo.com").as_secs(), 0);
}

#[test]
fn threads_share_intervals_and_get_their_own_tokens() {
    let scene = Scene::new(&[(SLOW, &[Says::Good])]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| scene.stamp().unwrap());
        }
    });
    assert_eq!(scene.asked().len(), 4);
    assert!(scene.time.elapsed().as_secs() >= 45, "{:?}", scene.time.seconds());
}

#[test]
fn processes_of_a_workspace_keep_an_interval_together() {
    let (dir, time) = (tempfile::tempdir().unwrap(), Hourglass::default());
    let process =
        |lines: &[(&str, &[Says])]| Scene::beside(lines, Retry::default(), time.clone(), Some(dir.path().to_owned()));
    let lines: &[(&str, &[Says])] = &[(SLOW, &[Says::Good])];
    let (one, other) = (process(lines), process(lines));
    for scene in [&one, &other, &one] {
        scene.stamp().unwrap();
    }
    assert_eq!((one.asked(), other.asked()), (at(SLOW, &[0, 30]), at(SLOW, &[15])));
    let third = process(&[(SLOW, &[Says::Good]), (A, &[Says::Good])]);
    third.stamp().unwrap();
    assert_eq!(third.asked(), at(A, &[30]), "nobody waits while another is free");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "who wants no interval has no file");
    // All at once, each gets a moment of its own.
    let scenes: Vec<_> = (0..4).map(|_| process(lines)).collect();
    std::thread::scope(|scope| {
        for scene in &scenes {
            scope.spawn(|| scene.stamp().unwrap());
        }
    });
    let file = Pace::new(dir.path(), &pace_name(SLOW));
    assert_eq!(file.not_before(Duration::ZERO).unwrap(), Duration::from_secs(30 + 15 + 4 * 15));
    let alone = Scene::with(lines, Retry::default(), time);
    let before = alone.time.elapsed();
    alone.stamp().unwrap();
    assert_eq!(alone.time.elapsed(), before, "another workspace keeps its own");
}

#[test]
fn a_pause_that_an_authority_asked_for_holds_for_the_next_process() {
    let (dir, time) = (tempfile::tempdir().unwrap(), Hourglass::default());
    let process =
        |lines: &[(&str, &[Says])]| Scene::beside(lines, Retry::default(), time.clone(), Some(dir.path().to_owned()));
    let busy: (&str, &[Says]) = (A, &[Says::Status(503, Some(20)), Says::Good]);
    process(&[busy, (B, &[Says::Good])]).stamp().unwrap();
    let next = process(&[(A, &[Says::Good]), (B, &[Says::Good])]);
    assert_eq!(next.stamp().unwrap()["authority"], B);
    assert_eq!(next.asked(), at(B, &[0]));
    let last = process(&[(A, &[Says::Good])]);
    last.stamp().unwrap();
    assert_eq!(last.asked(), at(A, &[20]));
    // Failures in a row are a matter of one process: the next one asks.
    let dead = process(&[(B, &[Says::Nothing])]);
    dead.stamp().unwrap_err();
    assert_eq!(dead.stamp().unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(dead.asked().len(), 5);
    process(&[(B, &[Says::Good])]).stamp().unwrap();
}

#[test]
fn an_interruption_ends_the_wait() {
    let time = Hourglass { interrupt_at: Some(1), ..Hourglass::default() };
    let scene = Scene::with(&[(A, &[Says::Nothing])], Retry::default(), time);
    assert_eq!(scene.stamp().unwrap_err().kind(), Kind::Interrupted);
    assert_eq!(scene.asked(), at(A, &[0, 4]));
}

#[test]
fn without_authorities_or_roots_nothing_is_asked() {
    let outside = || Outside {
        poster: Box::new(crate::http::Http::new(Clock::system())),
        waiter: Box::new(Hourglass::default()),
        clock: Clock::system(),
        paces: None,
    };
    let code =
        |urls: &[String], roots| Authorities::new(urls, roots, Retry::default(), outside()).err().unwrap().code();
    assert_eq!(code(&[], vec![vec![0x30]]), "no_timestamp_authority");
    assert_eq!(code(&[A.into()], Vec::new()), "no_timestamp_roots");
}

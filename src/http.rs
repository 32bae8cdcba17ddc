//! The one seam to outside HTTP services: something is posted or fetched, and an answer of bounded size comes back in
//! bounded time. Nothing else in the program opens such a connection. What is sent, what an answer means and whether
//! to try again is for the caller to say.
//!
//! An answer with any status is an answer; [`Answer::accepted`] sorts the statuses into those worth another try and
//! those that are not (domain §4). Redirects are not followed: what is posted goes to the configured address or nowhere.

use crate::clock::{Clock, Time};
use crate::error::{Error, Kind, Result, shown};
use std::sync::Mutex;
use std::time::Duration;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

/// The largest header of an answer, in bytes.
const MAX_HEADER: usize = 32 << 10;

/// How long an exchange may last, and how much may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the whole exchange, from resolving the name to the last byte.
    pub timeout: Duration,
    /// The largest body, in bytes.
    pub max_body: usize,
}

/// What a service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Content-Type in lower case, without parameters.
    pub content_type: Option<String>,
    /// Retry-After (RFC 9110 §10.2.3), from now on.
    pub retry_after: Option<Duration>,
    /// The body of an answer with a status of 200 to 299; empty for others.
    pub body: Vec<u8>,
}

impl Answer {
    /// Refuses every status but 200.
    ///
    /// # Errors
    /// Transient, so that another try may help: `http_too_many_requests` (429), `http_server_unavailable` (408 and
    /// 500 to 504 but 501). A policy's no: `http_forbidden` (401, 403). Permanent: `http_not_found`, `http_redirected`,
    /// `http_refused`.
    pub fn accepted(&self) -> Result<()> {
        let (kind, code) = match self.status {
            200 => return Ok(()),
            429 => (Kind::Unavailable, "http_too_many_requests"),
            408 | 500 | 502..=504 => (Kind::Unavailable, "http_server_unavailable"),
            401 | 403 => (Kind::Blocked, "http_forbidden"),
            404 | 410 => (Kind::Failed, "http_not_found"),
            300..=399 => (Kind::Failed, "http_redirected"),
            _ => (Kind::Failed, "http_refused"),
        };
        Err(Error::new(kind, code, format!("the service answers with status {}", self.status)))
    }
}

/// Posts to HTTP services. Tests put a double in its place.
pub trait Poster: Send + Sync {
    /// Posts a body, asking for an answer of the type `accept`.
    ///
    /// # Errors
    /// Transient: `http_timeout`, `http_unreachable`. Permanent: `http_tls`, `http_too_large`, `http_bad_url`,
    /// `http_protocol`.
    fn post(&self, url: &str, content_type: &str, accept: &str, body: &[u8], limits: Limits) -> Result<Answer>;
}

/// Fetches from HTTP services. Tests put a double in its place.
pub trait Getter: Send + Sync {
    /// Fetches what is at this address now, past every cache.
    ///
    /// # Errors
    /// As [`Poster::post`].
    fn get(&self, url: &str, accept: &str, limits: Limits) -> Result<Answer>;
}

/// The real one: TLS by the binary's one OpenSSL with the system's trusted certificates, proxies from the environment.
pub struct Http {
    agent: ureq::Agent,
    clock: Clock,
}

impl Http {
    /// The clock turns a Retry-After date into a pause.
    pub fn new(clock: Clock) -> Self {
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier).build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_response_header_size(MAX_HEADER)
            // A kept connection that the service closed meanwhile would look like its failure.
            .max_idle_connections(0)
            .user_agent(concat!("keyctl/", env!("CARGO_PKG_VERSION")))
            .build();
        Http { agent: config.new_agent(), clock }
    }
}

impl Poster for Http {
    fn post(&self, url: &str, content_type: &str, accept: &str, body: &[u8], limits: Limits) -> Result<Answer> {
        let request = self.agent.post(url).config().timeout_global(Some(limits.timeout)).build();
        let request = request.header("Content-Type", content_type).header("Accept", accept);
        let response = request.send(body).map_err(trouble)?;
        note_date(url, &response, self.clock.now());
        answer(response, limits, self.clock.now())
    }
}

impl Getter for Http {
    fn get(&self, url: &str, accept: &str, limits: Limits) -> Result<Answer> {
        let request = self.agent.get(url).config().timeout_global(Some(limits.timeout)).build();
        let request = request.header("Accept", accept).header("Cache-Control", "no-cache");
        let response = request.call().map_err(trouble)?;
        note_date(url, &response, self.clock.now());
        answer(response, limits, self.clock.now())
    }
}

/// A service's time beside ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dated {
    /// The host, escaped.
    pub host: String,
    /// What it said (RFC 9110 §6.6.1).
    pub said: Time,
    /// What the clock said here when that came.
    pub here: Time,
}

/// The last answer in this process that had a date.
static LAST_DATED: Mutex<Option<Dated>> = Mutex::new(None);

/// The last answer in this process that had a date.
pub fn last_dated() -> Option<Dated> {
    LAST_DATED.lock().ok()?.clone()
}

fn note_date(url: &str, response: &ureq::http::Response<ureq::Body>, here: Time) {
    let date = response.headers().get("date").and_then(|value| value.to_str().ok());
    let said = date.and_then(|text| chrono::DateTime::parse_from_rfc2822(text.trim()).ok());
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    if let (Some(said), Ok(mut last)) = (said, LAST_DATED.lock()) {
        *last = Some(Dated { host: shown(host), said: said.to_utc(), here });
    }
}

/// Reads what came back, within the limits.
fn answer(mut response: ureq::http::Response<ureq::Body>, limits: Limits, now: Time) -> Result<Answer> {
    let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
    let (content_type, retry_after) = (header("content-type"), header("retry-after"));
    let body = if response.status().is_success() {
        let limit = u64::try_from(limits.max_body).unwrap_or(u64::MAX);
        response.body_mut().with_config().limit(limit).read_to_vec().map_err(trouble)?
    } else {
        Vec::new()
    };
    Ok(Answer {
        status: response.status().as_u16(),
        content_type: content_type.map(|text| media_type(&text)),
        retry_after: retry_after.and_then(|text| pause(&text, now)),
        body,
    })
}

/// `Type/Sub; charset=…` without parameters, in lower case.
fn media_type(text: &str) -> String {
    shown(text.split(';').next().unwrap_or_default().trim()).to_ascii_lowercase()
}

/// Retry-After: seconds, or a date.
fn pause(text: &str, now: Time) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some((date.to_utc() - now).to_std().unwrap_or_default())
}

fn trouble(error: ureq::Error) -> Error {
    use ureq::Error as E;
    let timed_out = |io: &std::io::Error| matches!(io.kind(), std::io::ErrorKind::TimedOut);
    let (kind, code, message) = match &error {
        E::Timeout(_) => (Kind::Unavailable, "http_timeout", "no answer in time"),
        E::Io(io) if timed_out(io) => (Kind::Unavailable, "http_timeout", "no answer in time"),
        E::Io(_) | E::HostNotFound | E::ConnectionFailed | E::ConnectProxyFailed(_) => {
            (Kind::Unavailable, "http_unreachable", "the service cannot be reached")
        }
        E::NativeTls(_) | E::Tls(_) | E::Der(_) | E::Pem(_) | E::TlsRequired => {
            (Kind::Failed, "http_tls", "no trusted TLS connection")
        }
        E::BodyExceedsLimit(_) => (Kind::Failed, "http_too_large", "the answer is too large"),
        E::BadUri(_) | E::Http(_) | E::InvalidProxyUrl => (Kind::Usage, "http_bad_url", "the URL cannot be used"),
        _ => (Kind::Failed, "http_protocol", "the answer is no proper HTTP"),
    };
    Error::new(kind, code, message).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    fn now() -> Time {
        crate::clock::parse("2026-06-01T12:00:00Z").unwrap()
    }

    /// Answers one request on a port of its own with these bytes, after this many milliseconds.
    fn serve(answer: Vec<u8>, after: u64) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/tsa", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let mut got = Vec::new();
            while !got.ends_with(b"question") {
                let n = stream.read(&mut request).unwrap();
                assert!(n > 0, "the request ends early: {}", String::from_utf8_lossy(&got));
                got.extend_from_slice(&request[..n]);
            }
            let text = String::from_utf8(got).unwrap().to_ascii_lowercase();
            assert!(text.starts_with("post /tsa http/1.1\r\n") && text.contains("content-type: a/b\r\n"), "{text}");
            assert!(text.contains("accept: c/d\r\n") && text.contains("content-length: 8\r\n"), "{text}");
            std::thread::sleep(Duration::from_millis(after));
            let _ = stream.write_all(&answer);
        });
        url
    }

    fn post(url: &str) -> Result<Answer> {
        let limits = Limits { timeout: Duration::from_millis(800), max_body: 100 };
        Http::new(Clock::manual(now())).post(url, "a/b", "c/d", b"question", limits)
    }

    fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}Connection: close\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    #[test]
    fn an_answer_comes_back_whole() {
        let good = post(&serve(answer("200 OK", "Content-Type: C/D; x=y\r\n", &[7; 100]), 0)).unwrap();
        assert_eq!((good.status, good.content_type.as_deref(), good.body), (200, Some("c/d"), vec![7; 100]));
        let busy = post(&serve(answer("503 Busy", "Retry-After: 7\r\n", b"words"), 0)).unwrap();
        assert_eq!((busy.status, busy.retry_after, busy.body.len()), (503, Some(Duration::from_secs(7)), 0));
        let moved = post(&serve(answer("307 Moved", "Location: http://127.0.0.1:1/\r\n", b""), 0)).unwrap();
        assert_eq!(moved.accepted().unwrap_err().code(), "http_redirected");
    }

    #[test]
    fn each_trouble_has_its_own_code_and_class() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n".to_vec();
        let cases = [
            ("http_unreachable", "transient", format!("http://{free}/")),
            ("http_timeout", "transient", serve(Vec::new(), 3000)),
            ("http_unreachable", "transient", serve(Vec::new(), 0)),
            ("http_too_large", "permanent", serve(answer("200 OK", "", &[7; 101]), 0)),
            ("http_too_large", "permanent", serve([&endless[..], &[b'x'; 255]].concat(), 0)),
            ("http_protocol", "permanent", serve(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec(), 0)),
            ("http_protocol", "permanent", serve(answer("200 OK", &format!("X: {}\r\n", "y".repeat(40_000)), b""), 0)),
            ("http_bad_url", "permanent", "http://".into()),
            ("http_tls", "permanent", serve_plain_to_tls()),
        ];
        for (code, class, url) in cases {
            let error = post(&url).unwrap_err();
            assert_eq!((error.code(), error.kind().class()), (code, class), "{url}: {error}");
        }
    }

    /// An https URL whose service speaks plain HTTP.
    fn serve_plain_to_tls() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(&answer("400 Bad", "", b""));
        });
        url
    }

    #[test]
    fn statuses_are_sorted_by_whether_another_try_may_help() {
        let class = |status| {
            let answer = Answer { status, content_type: None, retry_after: None, body: Vec::new() };
            answer.accepted().map_err(|error| error.kind().class())
        };
        assert!(class(200).is_ok());
        for (status, wanted) in
            [(429, "transient"), (503, "transient"), (504, "transient"), (500, "transient"), (501, "permanent")]
        {
            assert_eq!(class(status), Err(wanted));
        }
        for (status, wanted) in [(400, "permanent"), (404, "permanent"), (409, "permanent"), (403, "policy_violation")]
        {
            assert_eq!(class(status), Err(wanted));
        }
        assert_eq!((class(204), class(302)), (Err("permanent"), Err("permanent")));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let seconds = |text| pause(text, now()).map(|pause| pause.as_secs());
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(seconds("Mon, 01 Jun 2026 12:01:30 GMT"), Some(90));
        assert_eq!(seconds("Mon, 01 Jun 2026 11:00:00 GMT"), Some(0), "past");
        assert_eq!((seconds("-1"), seconds("soon"), seconds("99999999999")), (None, None, None));
    }
}

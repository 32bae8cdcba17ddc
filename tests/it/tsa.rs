//! A timestamp authority: `openssl ts` behind a small HTTP server on this machine, which can be told what to do wrong.

use crate::support::{Place, tool};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Runs a program that has to go well.
#[track_caller]
pub fn must(program: &str, folder: &Path, args: &[&str]) -> String {
    let output = tool(program).current_dir(folder).args(args).output().expect(program);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{program} {args:?}\n{said}");
    said
}

/// Keys, as `openssl req` is asked for them. The signatures of the first differ in length from one to the next.
const EC: &str = "ec -pkeyopt ec_paramgen_curve:P-256";
const RSA: &str = "rsa:2048";

/// A CA in a folder of its own, made by openssl.
#[derive(Clone)]
pub struct Ca {
    pub folder: PathBuf,
}

impl Ca {
    /// `root.pem` and `root.key`.
    pub fn new(place: &Place, name: &str) -> Self {
        let ca = Ca { folder: place.path(name) };
        std::fs::create_dir(&ca.folder).expect("a folder");
        std::fs::write(ca.folder.join("req.cnf"), "[req]\ndistinguished_name = dn\n[dn]\n").expect("written");
        let subject = format!("/CN={name} root");
        let extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"];
        ca.certificate("root", EC, &subject, &extensions, &[]);
        ca
    }

    /// `NAME.pem` and `NAME.key`, issued by the root.
    pub fn issue(&self, name: &str, extensions: &[&str]) {
        self.issue_for(EC, name, extensions);
    }

    fn issue_for(&self, kind: &str, name: &str, extensions: &[&str]) {
        let subject = format!("/CN={name}");
        let issuer = ["-CA", "root.pem", "-CAkey", "root.key"];
        let aki = "authorityKeyIdentifier=keyid:always";
        self.certificate(
            name,
            kind,
            &subject,
            &[&[aki, "keyUsage=critical,digitalSignature"], extensions].concat(),
            &issuer,
        );
    }

    fn certificate(&self, name: &str, kind: &str, subject: &str, extensions: &[&str], more: &[&str]) {
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let fixed = format!("req -x509 -config req.cnf -newkey {kind} -nodes -sha256 -days 730");
        let mut args = fixed.split(' ').collect::<Vec<_>>();
        args.extend(["-subj", subject, "-keyout", &key, "-out", &pem, "-addext", "subjectKeyIdentifier=hash"]);
        for extension in extensions {
            args.extend(["-addext", extension]);
        }
        args.extend(more);
        must("openssl", &self.folder, &args);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn arg(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }
}

/// A CA with an authority's certificate.
#[derive(Clone)]
pub struct Tsa {
    pub ca: Ca,
    /// openssl counts serial numbers in a file.
    lock: Arc<Mutex<()>>,
}

impl Tsa {
    pub fn new(place: &Place, name: &str) -> Self {
        Tsa::with_key(EC, place, name)
    }

    /// One whose timestamps all have the same length.
    pub fn rsa(place: &Place, name: &str) -> Self {
        Tsa::with_key(RSA, place, name)
    }

    fn with_key(kind: &str, place: &Place, name: &str) -> Self {
        let ca = Ca::new(place, name);
        ca.issue_for(kind, "tsa", &["extendedKeyUsage=critical,timeStamping"]);
        let section = |name: &str, digests: &str| {
            format!(
                "[{name}]\nserial = serial\ncrypto_device = builtin\nsigner_digest = sha256\ndefault_policy = 1.2.3.4.1\n\
                 digests = {digests}\naccuracy = secs:1\nordering = no\ntsa_name = yes\ness_cert_id_chain = no\n\
                 ess_cert_id_alg = sha256\nsigner_cert = tsa.pem\nsigner_key = tsa.key\n"
            )
        };
        let text = section("good", "sha256, sha384, sha512") + &section("picky", "sha512");
        std::fs::write(ca.path("ts.cnf"), text).expect("written");
        Tsa { ca, lock: Arc::default() }
    }

    pub fn root(&self) -> String {
        self.ca.arg("root.pem")
    }

    /// openssl's answer to a request; by the section `picky` a refusal of every request with SHA-256.
    fn answer(&self, request: &[u8], section: &str) -> Vec<u8> {
        let _one = self.lock.lock().expect("not poisoned");
        std::fs::write(self.ca.path("request"), request).expect("written");
        let args = ["ts", "-reply", "-config", "ts.cnf", "-section", section, "-queryfile", "request", "-out", "reply"];
        must("openssl", &self.ca.folder, &args);
        std::fs::read(self.ca.path("reply")).expect("a reply")
    }

    /// A request of our own over this SHA-256, with a nonce of openssl's.
    fn request(&self, imprint: &[u8]) -> Vec<u8> {
        let _one = self.lock.lock().expect("not poisoned");
        let hex: String = imprint.iter().map(|byte| format!("{byte:02x}")).collect();
        must("openssl", &self.ca.folder, &["ts", "-query", "-digest", &hex, "-sha256", "-cert", "-out", "query"]);
        std::fs::read(self.ca.path("query")).expect("a query")
    }
}

/// What the server does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Does {
    Right,
    /// Right, after a while that is well within the limit.
    Slowly,
    /// Nothing, for longer than anybody waits.
    Hang,
    AnotherNonce,
    AnotherImprint,
    Garbage,
    Html,
    /// 503, with this Retry-After.
    Busy(u32),
    TooLarge,
    /// PKIStatus 2.
    Reject,
}

/// A running server; its threads end with the process.
pub struct Server {
    pub url: String,
    asked: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    moments: Arc<Mutex<Vec<Instant>>>,
    closed: Arc<AtomicBool>,
}

impl Server {
    /// Does the first, then the second, …; the last for ever.
    pub fn start(tsa: &Tsa, script: &[Does]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Server {
            url: format!("http://{}/tsa", listener.local_addr().expect("an address")),
            asked: Arc::default(),
            most: Arc::default(),
            moments: Arc::default(),
            closed: Arc::default(),
        };
        let (tsa, script) = (tsa.clone(), script.to_vec());
        let (asked, most, closed) = (server.asked.clone(), server.most.clone(), server.closed.clone());
        let moments = server.moments.clone();
        std::thread::spawn(move || {
            let now = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming().flatten() {
                if closed.load(Ordering::SeqCst) {
                    break;
                }
                let number = asked.fetch_add(1, Ordering::SeqCst);
                moments.lock().expect("not poisoned").push(Instant::now());
                let does = *script.get(number).or(script.last()).expect("a script");
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let (tsa, now) = (tsa.clone(), now.clone());
                std::thread::spawn(move || {
                    // A client that goes away early is part of some tests.
                    let _ = serve(stream, &tsa, does);
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    /// A URL where nobody listens.
    pub fn nobody() -> String {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        format!("http://{free}/tsa")
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// When it was asked.
    pub fn moments(&self) -> Vec<Instant> {
        self.moments.lock().expect("not poisoned").clone()
    }

    /// How many requests it had at the same time.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        let address = self.url.trim_start_matches("http://").trim_end_matches("/tsa");
        let _ = TcpStream::connect(address);
    }
}

/// A proxy that leads every request to this server, wherever it wants to go; its threads end with the process.
pub fn proxy(server: &Server) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let to = server.url.trim_start_matches("http://").trim_end_matches("/tsa").to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let to = to.clone();
            std::thread::spawn(move || {
                let _ = lead(stream, &to);
            });
        }
    });
    url
}

fn lead(mut client: TcpStream, to: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let mut server = TcpStream::connect(to)?;
    if head.starts_with(b"CONNECT ") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    } else {
        server.write_all(&head)?;
    }
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
    });
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Both)
}

fn serve(mut stream: TcpStream, tsa: &Tsa, does: Does) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (head, body) = read_request(&mut stream)?;
    assert!(head.contains("content-type: application/timestamp-query"), "{head}");
    let reply = |body: Vec<u8>| ("200 OK", "application/timestamp-reply", String::new(), body);
    let imprint = body.windows(2).position(|two| two == [0x04, 0x20]).map(|at| body[at + 2..at + 34].to_vec());
    let (status, content_type, more, body) = match does {
        Does::Right => reply(tsa.answer(&body, "good")),
        Does::Slowly => {
            std::thread::sleep(Duration::from_millis(300));
            reply(tsa.answer(&body, "good"))
        }
        Does::Hang => {
            std::thread::sleep(Duration::from_secs(8));
            return Ok(());
        }
        Does::AnotherNonce => reply(tsa.answer(&tsa.request(&imprint.expect("an imprint")), "good")),
        Does::AnotherImprint => reply(tsa.answer(&tsa.request(&[7; 32]), "good")),
        Does::Garbage => reply(b"\x30\x82\xff\xffgarbage".to_vec()),
        Does::Html => ("200 OK", "text/html", String::new(), b"<html>log in first</html>".to_vec()),
        Does::Busy(seconds) => ("503 Busy", "text/plain", format!("Retry-After: {seconds}\r\n"), b"later".to_vec()),
        Does::TooLarge => reply(vec![0x30; (1 << 20) + 1]),
        Does::Reject => reply(tsa.answer(&body, "picky")),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{more}Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

/// Head in lower case, and body.
fn read_request(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&got[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            let body = got.get(end + 4..end + 4 + length.unwrap_or(0));
            if let Some(body) = body {
                return Ok((head, body.to_vec()));
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => got.extend_from_slice(&buffer[..n]),
        }
    }
}

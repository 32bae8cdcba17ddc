//! A web server that serves what it is given.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Serves files by their path; 404 for others. Ends with the test's process.
pub struct Web {
    pub url: String,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    asked: Arc<AtomicUsize>,
}

impl Web {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let web = Web { url, files: Arc::default(), asked: Arc::default() };
        let (files, asked) = (web.files.clone(), web.asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                asked.fetch_add(1, Ordering::SeqCst);
                let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines().map_while(Result::ok);
                let first = lines.next().unwrap_or_default();
                for line in lines.by_ref() {
                    if line.is_empty() {
                        break;
                    }
                }
                let path = first.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
                let file = files.lock().expect("not poisoned").get(path).cloned();
                let (status, body) = file.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let mut stream = stream;
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            }
        });
        web
    }

    pub fn serve(&self, path: &str, bytes: Vec<u8>) {
        self.files.lock().expect("not poisoned").insert(path.to_owned(), bytes);
    }

    /// How many requests came in.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

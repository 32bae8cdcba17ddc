//! Signing with timestamps, against an authority that is openssl's, well and badly behaved.

use crate::support::{Place, Ran, ran, real_pe_files, tool};
use crate::tsa::{Does, Server, Tsa};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A sandbox with short tries, a file in it, and an authority.
struct Scene {
    place: Place,
    file: PathBuf,
    tsa: Tsa,
}

impl Scene {
    fn new(retry: &str) -> Self {
        let place = Place::with_sandbox();
        let config = place.workspace().join("keyctl.toml");
        let text = std::fs::read_to_string(&config).expect("keyctl.toml");
        std::fs::write(&config, format!("{text}\n[retry]\nbase_seconds = 1\ntimeout_seconds = 2\n{retry}\n"))
            .expect("written");
        let file = place.copy(&real_pe_files()[0], "app.exe");
        let tsa = Tsa::new(&place, "tsa");
        Scene { place, file, tsa }
    }

    /// Signs `app.exe` with these authorities.
    fn sign(&self, urls: &[&str]) -> Ran {
        self.place.keyctl(&self.args(urls).iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn args(&self, urls: &[&str]) -> Vec<String> {
        let mut args = vec!["sign".to_owned(), "app.exe".into(), "--timestamp-roots".into(), self.tsa.root()];
        args.extend(urls.iter().flat_map(|url| ["--timestamp".to_owned(), (*url).to_owned()]));
        args
    }

    /// The sandbox's root certificate.
    fn root(&self) -> String {
        self.place.workspace().join("published/certs/root-1.pem").to_str().expect("UTF-8").to_owned()
    }

    /// Nothing but what was there before.
    #[track_caller]
    fn untouched(&self, before: &[u8]) {
        assert_eq!(std::fs::read(&self.file).expect("app.exe"), before, "the original changed");
        let folder = self.file.parent().expect("a folder");
        let odd: Vec<_> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains("app") && name != "app.exe" || name.ends_with(".part"))
            .collect();
        assert!(odd.is_empty(), "left behind: {odd:?}");
    }
}

/// What osslsigncode says of a file, with its exit status, at another time if asked.
fn osslsigncode(file: &str, root: &str, tsa_root: &str, years: u32) -> (bool, String) {
    let mut command = tool("faketime");
    command.args(["-f", &format!("+{years}y"), "osslsigncode", "verify", "-ignore-cdp", "-ignore-crl"]);
    let output = command.args(["-CAfile", root, "-TSA-CAfile", tsa_root, file]).output().expect("osslsigncode");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_timestamped_signature_outlives_its_certificate() {
    let scene = Scene::new("");
    let server = Server::start(&scene.tsa, &[Does::Right]);
    let signed = scene.sign(&[&server.url]).ok().json().remove(0);
    assert_eq!(server.asked(), 1);
    let (root, tsa_root) = (scene.root(), scene.tsa.root());

    let fragment = std::fs::read_to_string(signed["evidence"].as_str().expect("a path")).expect("a fragment");
    let fragment: serde_json::Value = serde_json::from_str(&fragment).expect("JSON");
    let timestamp = &fragment["timestamp"];
    assert_eq!(timestamp["authority"], server.url.as_str());
    assert_eq!(timestamp["tsa_subject"], "CN=tsa");
    assert_eq!(timestamp["policy"], "1.2.3.4.1");
    assert_eq!(timestamp["attempts"][0]["code"], "granted");
    assert_eq!(timestamp["time"], signed["timestamp"]);
    let gate = fragment["gates"].as_array().expect("gates").iter().find(|gate| gate["name"] == "Timestamp");
    assert_eq!(gate.expect("the gate")["input"], "rfc3161");
    scene.place.keyctl(&["verify", signed["evidence"].as_str().expect("a path")]).ok();

    for years in [0, 1] {
        let (good, said) = osslsigncode(scene.file.to_str().expect("UTF-8"), &root, &tsa_root, years);
        assert!(good, "in {years} years\n{said}");
        for words in ["Timestamp Server Signature verification: ok", "Number of verified signatures: 1"] {
            assert!(said.contains(words), "{words} is not in\n{said}");
        }
    }

    let plain = scene.place.copy(&real_pe_files()[3], "plain.exe");
    scene.place.keyctl(&["sign", "plain.exe"]).ok();
    let plain = plain.to_str().expect("UTF-8");
    assert!(osslsigncode(plain, &root, &tsa_root, 0).0 && !osslsigncode(plain, &root, &tsa_root, 1).0);

    let verify = |more: &[&str]| scene.place.keyctl(&[&["verify", "app.exe", "--timestamp-roots"], more].concat());
    let later = "2099-01-01T00:00:00Z";
    let valid = verify(&[&tsa_root, "--require-timestamp", "--at", later]).ok().json().remove(0);
    let signature = &valid["signatures"][0];
    assert_eq!(signature["timestamp"]["state"], "valid");
    assert_eq!(signature["judged_at"], timestamp["time"]);
    assert_eq!(signature["register"]["generation"], "windows/1");
    assert_eq!(signature["register"]["state"], "active");
    assert!(valid["ledger_entry"].is_number());
    verify(&[&root, "--at", later]).exits(6).says("\"expired\"").says("its timestamp is not trusted");
    verify(&[&root, "--require-timestamp"]).exits(6).says("\"untimestamped\"");
    verify(&[&root]).ok().says("\"untrusted\"");
}

/// A nested signature has its own timestamp, and one that replaces another has its own alone.
#[test]
fn appended_and_replacing_signatures_are_stamped_too() {
    let scene = Scene::new("");
    let server = Server::start(&scene.tsa, &[Does::Right]);
    let sign = |more: &[&str]| {
        let args = scene.args(&[&server.url]);
        let args: Vec<_> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
        scene.place.keyctl(&args).ok()
    };
    sign(&[]);
    sign(&["--append", "--hash", "sha384"]);
    let (root, tsa_root) = (scene.root(), scene.tsa.root());
    let file = scene.file.to_str().expect("UTF-8");
    let verify = || {
        let args = [
            "verify",
            "app.exe",
            "--timestamp-roots",
            &tsa_root,
            "--require-timestamp",
            "--at",
            "2099-01-01T00:00:00Z",
        ];
        scene.place.keyctl(&args).ok().json().remove(0)
    };
    let row = verify();
    let algorithms: Vec<_> =
        row["signatures"].as_array().expect("a list").iter().map(|one| one["digest_algorithm"].clone()).collect();
    assert_eq!(algorithms, ["sha256", "sha384"]);
    let (good, said) = osslsigncode(file, &root, &tsa_root, 1);
    assert!(good && said.contains("Number of verified signatures: 2"), "{said}");
    sign(&["--replace"]);
    assert_eq!((verify()["signatures"].as_array().map(Vec::len), server.asked()), (Some(1), 3));
    let (good, said) = osslsigncode(file, &root, &tsa_root, 1);
    assert!(good && said.contains("Number of verified signatures: 1"), "{said}");
}

#[test]
fn every_fault_is_told_apart_and_the_next_authority_stamps() {
    let scene = Scene::new("");
    let good = Server::start(&scene.tsa, &[Does::Right]);
    let stranger = Tsa::new(&scene.place, "stranger");
    let before = std::fs::read(&scene.file).expect("app.exe");
    let nobody = Server::nobody();
    let strangers = Server::start(&stranger, &[Does::Right]);
    let mut cases = vec![(nobody, "http_unreachable"), (strangers.url.clone(), "unknown_issuer")];
    let mut servers = Vec::new();
    for (does, code) in [
        (Does::Hang, "http_timeout"),
        (Does::AnotherNonce, "timestamp_nonce_mismatch"),
        (Does::AnotherImprint, "timestamp_imprint_mismatch"),
        (Does::Garbage, "malformed_der"),
        (Does::Html, "timestamp_wrong_type"),
        (Does::Busy(5), "http_server_unavailable"),
        (Does::TooLarge, "http_too_large"),
        (Does::Reject, "timestamp_rejected"),
    ] {
        servers.push(Server::start(&scene.tsa, &[does]));
        cases.push((servers.last().expect("a server").url.clone(), code));
    }
    for (number, (url, code)) in cases.iter().enumerate() {
        std::fs::write(&scene.file, &before).expect("written");
        let signed = scene.sign(&[url, &good.url]).ok().json().remove(0);
        let fragment = std::fs::read_to_string(signed["evidence"].as_str().expect("a path")).expect("a fragment");
        let fragment: serde_json::Value = serde_json::from_str(&fragment).expect("JSON");
        let attempts = &fragment["timestamp"]["attempts"];
        assert_eq!(
            (attempts[0]["authority"].as_str(), attempts[0]["code"].as_str()),
            (Some(url.as_str()), Some(*code))
        );
        assert_eq!(attempts[1]["code"], "granted", "{code}");
        assert_eq!(good.asked(), number + 1, "{code}: one more");
    }
}

/// With the settings as they are by default, an authority that takes the question and says nothing costs seconds.
#[test]
fn an_authority_that_hangs_costs_seconds() {
    let scene = Scene::new("");
    let config = scene.place.workspace().join("keyctl.toml");
    let text =
        std::fs::read_to_string(&config).expect("settings").replace("timeout_seconds = 2", "timeout_seconds = 30");
    std::fs::write(&config, text).expect("settings");
    let before = std::fs::read(&scene.file).expect("app.exe");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/tsa", listener.local_addr().expect("an address"));
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    let began = std::time::Instant::now();
    scene.sign(&[&url]).exits(3).says("\"no_timestamp\"").says("no answer in time");
    assert!(began.elapsed().as_secs() < 20, "{} s", began.elapsed().as_secs());
    assert_eq!(std::fs::read(&scene.file).expect("app.exe"), before);
}

#[test]
fn without_a_good_timestamp_nothing_is_signed() {
    let scene = Scene::new("max_attempts = 2");
    let before = std::fs::read(&scene.file).expect("app.exe");
    let stranger = Tsa::new(&scene.place, "stranger");
    let strangers = Server::start(&stranger, &[Does::Right]);
    let busy = Server::start(&scene.tsa, &[Does::Busy(1)]);
    let refused = scene.sign(&[&strangers.url, &busy.url]).exits(3).says("\"no_timestamp\"").says("\"transient\"");
    for words in [&strangers.url, &busy.url, "no trusted certificate of its issuer", "status 503"] {
        assert!(refused.stderr.contains(words), "{words} is not in\n{}", refused.stderr);
    }
    assert_eq!((strangers.asked(), busy.asked()), (1, 2), "only the busy one is worth a second try");
    scene.untouched(&before);
    scene.place.keyctl(&["audit"]).ok();
    // The second file's turn comes after three failures of the busy one: left alone.
    let config = scene.place.workspace().join("keyctl.toml");
    let text = std::fs::read_to_string(&config).expect("keyctl.toml");
    std::fs::write(&config, format!("{text}\ncircuit_breaker_threshold = 2\n")).expect("written");
    scene.place.copy(&real_pe_files()[3], "second.exe");
    let mut args = scene.args(&[&busy.url]);
    args.extend(["second.exe".into(), "--jobs".into(), "1".into()]);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    scene.place.keyctl(&args).exits(3).says("since it failed several times in a row");
    assert_eq!(busy.asked(), 4);
}

#[test]
fn a_batch_asks_in_parallel() {
    let scene = Scene::new("");
    let server = Server::start(&scene.tsa, &[Does::Slowly]);
    let mut args = scene.args(&[&server.url]);
    for number in 0..5 {
        let name = format!("more{number}.exe");
        scene.place.copy(&real_pe_files()[3], &name);
        args.push(name);
    }
    args.extend(["--jobs".into(), "3".into()]);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let rows = scene.place.keyctl(&args).ok().json();
    assert_eq!((rows.len(), server.asked()), (6, 6));
    assert!(rows.iter().all(|row| row["timestamp"].is_string()), "{rows:?}");
    assert!(server.most() > 1, "one after the other");
}

#[test]
fn an_interruption_while_waiting_leaves_the_file_alone() {
    let scene = Scene::new("max_backoff_seconds = 60");
    let before = std::fs::read(&scene.file).expect("app.exe");
    let busy = Server::start(&scene.tsa, &[Does::Busy(120)]);
    let args = scene.args(&[&busy.url]);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let mut command = scene.place.command(&args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let started = Instant::now();
    while busy.asked() == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "it never asked");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let pid = rustix::process::Pid::from_raw(child.id().try_into().expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    ran(child.wait_with_output().expect("it ends")).exits(130).says("interrupted");
    assert!(started.elapsed() < Duration::from_secs(60));
    scene.untouched(&before);
    scene.place.keyctl(&["audit"]).ok();
    scene.place.keyctl(&["sign", "app.exe", "--no-timestamp"]).ok();
}

#[test]
fn flags_that_make_no_sense_are_refused_before_anything_is_signed() {
    let scene = Scene::new("");
    let before = std::fs::read(&scene.file).expect("app.exe");
    let sign = |more: &[&str]| scene.place.keyctl(&[&["sign", "app.exe"], more].concat());
    let url = "http://127.0.0.1:1/tsa";
    sign(&["--timestamp", url]).exits(2).says("no_timestamp_roots").says("--timestamp-roots PEM");
    sign(&["--timestamp", "http://me:secret@tsa.example"]).exits(2).says("bad_timestamp_url");
    let ran = sign(&["--timestamp", "http://me:secret@tsa.example"]);
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
    sign(&["--timestamp", url, "--no-timestamp"]).exits(2);
    sign(&["--timestamp", url, "--timestamp-roots", "app.exe"]).exits(1).says("malformed_pem");
    scene.untouched(&before);
    assert_eq!(scene.place.sql("SELECT count(*) FROM artifacts"), "0");
}

/// Who was asked for a signature's timestamp, and with what success.
fn authorities_asked(ran: &Ran) -> Vec<(String, String)> {
    let row = ran.one();
    let fragment = std::fs::read_to_string(row["evidence"].as_str().expect("a path")).expect("a fragment");
    let fragment: serde_json::Value = serde_json::from_str(&fragment).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let attempts = fragment["timestamp"]["attempts"].as_array().expect("attempts").iter();
    attempts.map(|tried| (text(&tried["authority"]), text(&tried["code"]))).collect()
}

#[test]
fn a_pause_that_an_authority_asked_for_is_kept_by_the_next_command() {
    let scene = Scene::new("");
    let busy = Server::start(&scene.tsa, &[Does::Busy(120), Does::Right]);
    let good = Server::start(&scene.tsa, &[Does::Right]);
    let first = scene.sign(&[&busy.url, &good.url]).ok();
    let codes: Vec<_> = authorities_asked(&first).into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["http_server_unavailable", "granted"]);
    scene.place.copy(&real_pe_files()[0], "app.exe");
    let second = scene.sign(&[&busy.url, &good.url]).ok();
    assert_eq!(
        authorities_asked(&second),
        [(good.url.clone(), "granted".to_owned())],
        "the busy one is not even asked"
    );
    assert_eq!((busy.asked(), good.asked()), (1, 2));
    // The file says when, and is swept once the time is over; another start of the machine knows of no pause.
    let paces = || {
        let entries = std::fs::read_dir(scene.place.workspace().join("locks")).expect("locks");
        let paths = entries.map(|entry| entry.expect("entry").path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "pace")).collect::<Vec<_>>()
    };
    let [pace] = paces().try_into().expect("one authority has a pause");
    let text = std::fs::read_to_string(&pace).expect("a line");
    let (_, rest) = text.split_once(" not_before ").expect("a moment");
    std::fs::write(&pace, format!("boot 00000000-0000-0000-0000-000000000000 not_before {rest}")).expect("written");
    scene.place.copy(&real_pe_files()[0], "app.exe");
    let third = scene.sign(&[&busy.url]).ok();
    assert_eq!(authorities_asked(&third), [(busy.url.clone(), "granted".to_owned())]);
    assert_eq!(paces(), [] as [PathBuf; 0]);
}

/// Two processes at once, and an authority that wants fifteen seconds between requests (by its name; a proxy leads
/// to the server here): one gets it, the other goes to the next in the list, and a third, with no other, waits.
#[test]
fn processes_share_the_interval_that_an_authority_wants() {
    let scene = Scene::new("");
    let (paced, other) =
        (Server::start(&scene.tsa, &[Does::Slowly]), Server::start(&scene.tsa, &[Does::Right, Does::Right]));
    let proxy = crate::tsa::proxy(&paced);
    let slow = "http://timestamp.sectigo.com/tsa";
    let start = |name: &str, urls: &[&str]| {
        scene.place.copy(&real_pe_files()[0], name);
        let args: Vec<_> = scene.args(urls).into_iter().map(|arg| arg.replace("app.exe", name)).collect();
        let mut command = scene.place.command(&args.iter().map(String::as_str).collect::<Vec<_>>());
        for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env(variable, &proxy);
        }
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
    };
    let begun = Instant::now();
    let both = [start("a.exe", &[slow, &other.url]), start("b.exe", &[slow, &other.url])];
    let both = both.map(|child| ran(child.wait_with_output().expect("it ends")).ok());
    let mut stamped: Vec<_> = both.iter().flat_map(authorities_asked).map(|(url, _)| url).collect();
    stamped.sort();
    let mut expected = [slow.to_owned(), other.url.clone()];
    expected.sort();
    assert_eq!(stamped, expected, "one each");
    assert_eq!((paced.asked(), other.asked()), (1, 1));
    let waiting = start("c.exe", &[slow]);
    ran(waiting.wait_with_output().expect("it ends")).ok();
    // Whoever was first asked after this test began.
    let second = paced.moments()[1].duration_since(begun);
    assert!(second >= Duration::from_secs(15), "asked again after {second:?}");
}

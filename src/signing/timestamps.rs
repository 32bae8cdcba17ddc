//! Timestamps of a run: which authorities are asked, and whose word counts.

use super::authorities::{Authorities, Outside};
use super::options::Timestamps;
use crate::config::text::bad_url;
use crate::config::{MAX_TRUST, Settings, Timestamp};
use crate::error::{Error, Result};
use crate::files::{safe, shown_path};
use crate::http::Http;
use crate::model::{Environment, Hash256};
use crate::pki::pem;
use crate::retry::Sleeper;
use crate::world::World;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The most roots that one file may hold: several times what a system has.
const MAX_ROOTS: usize = 100_000;
/// The largest file of roots that is named on the command line, in bytes.
const MAX_ROOTS_FILE: u64 = 64 << 20;

impl Timestamps {
    /// Whether authorities or their roots were named.
    pub fn are_named(&self) -> bool {
        !self.urls.is_empty() || !self.roots.is_empty()
    }

    /// In production every signature has a timestamp, and the adopted settings say whose.
    fn allowed_in(&self, environment: Environment) -> Result<()> {
        if environment == Environment::Production && self.are_unwanted {
            return Err(Error::blocked("timestamp_required", "in production every signature has a timestamp")
                .hint("leave --no-timestamp out"));
        }
        if environment == Environment::Production && !self.roots.is_empty() {
            let message = "in production the adopted settings say which timestamp authorities are trusted";
            return Err(Error::blocked("timestamp_roots_adopted", message)
                .hint("name the file under [timestamp] trust in keyctl.toml, then: keyctl adopt"));
        }
        Ok(())
    }

    /// The authorities to ask, in order; none if there is to be no timestamp.
    fn urls<'a>(&'a self, settings: &'a Timestamp) -> Result<&'a [String]> {
        // The value is not repeated, since such a URL may hold a password.
        if let Some(why) = self.urls.iter().find_map(|url| bad_url(url)) {
            return Err(Error::usage("bad_timestamp_url", format!("--timestamp: {why}")));
        }
        Ok(match (self.are_unwanted, self.urls.is_empty()) {
            (true, _) => &[],
            (false, true) => &settings.authorities,
            (false, false) => &self.urls,
        })
    }
}

/// The authorities that stamp this run's signatures, or `None` if there is nobody to ask.
///
/// # Errors
/// `timestamp_required`, `timestamp_roots_adopted` in production; `bad_timestamp_url`; the trusted roots are none or
/// cannot be read.
pub fn authorities(
    wanted: &Timestamps,
    world: &World,
    settings: &Settings,
    stop: &Arc<AtomicBool>,
) -> Result<Option<Authorities>> {
    wanted.allowed_in(settings.environment)?;
    let urls = wanted.urls(&settings.timestamp)?;
    if urls.is_empty() {
        return Ok(None);
    }
    let roots = match wanted.roots.as_slice() {
        [] => adopted_roots(&world.dir, &settings.timestamp)?,
        files => roots_in(files)?,
    };
    let clock = world.globals.clock.clone();
    let outside = Outside {
        poster: Box::new(Http::new(clock.clone())),
        waiter: Box::new(Sleeper::new(stop.clone())),
        clock,
        paces: Some(world.dir.join("locks")),
    };
    Authorities::new(urls, roots, world.config.retry, outside).map(Some).map_err(|error| {
        error.maybe_hint(Some("--timestamp-roots PEM, or a file under [timestamp] trust in keyctl.toml"))
    })
}

/// The certificates (DER) that the adopted settings trust to say the time. `dir` is the workspace.
///
/// # Errors
/// `trust_changed` for a file that is not the adopted one; it cannot be read or holds no certificate.
pub fn adopted_roots(dir: &Path, settings: &Timestamp) -> Result<Vec<Vec<u8>>> {
    let mut roots = Vec::new();
    for trusted in &settings.trust {
        let path = dir.join(&trusted.path);
        let bytes = safe::read_bounded(&path, MAX_TRUST)?;
        if Hash256::of(&bytes) != trusted.sha256 {
            let message = format!("{} is not the file that was adopted", shown_path(&path));
            return Err(Error::blocked("trust_changed", message).hint("keyctl adopt"));
        }
        roots.extend(certificates(&path, &bytes)?);
    }
    Ok(roots)
}

/// The certificates (DER) in these PEM files.
///
/// # Errors
/// One cannot be read or holds no certificate.
pub fn roots_in(files: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
    let mut roots = Vec::new();
    for path in files {
        roots.extend(certificates(path, &safe::read_bounded(path, MAX_ROOTS_FILE)?)?);
    }
    Ok(roots)
}

fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    pem::decode(pem::label::CERTIFICATE, bytes, MAX_ROOTS).map_err(|error| error.about(shown_path(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrustFile;

    fn settings(authorities: &[&str]) -> Timestamp {
        Timestamp { authorities: authorities.iter().map(|url| (*url).to_owned()).collect(), trust: Vec::new() }
    }

    #[test]
    fn production_takes_no_way_around_its_timestamps() {
        let none = Timestamps { are_unwanted: true, ..Timestamps::default() };
        let roots = Timestamps { roots: vec!["roots.pem".into()], ..Timestamps::default() };
        let other = Timestamps { urls: vec!["http://tsa.example".into()], ..Timestamps::default() };
        let code = |args: &Timestamps, environment| args.allowed_in(environment).map_err(|error| error.code());
        assert_eq!(code(&none, Environment::Production), Err("timestamp_required"));
        assert_eq!(code(&roots, Environment::Production), Err("timestamp_roots_adopted"));
        assert_eq!(code(&other, Environment::Production), Ok(()), "whom to trust is adopted all the same");
        for environment in [Environment::Staging, Environment::Sandbox] {
            assert_eq!((code(&none, environment), code(&roots, environment)), (Ok(()), Ok(())));
        }
    }

    #[test]
    fn flags_replace_the_configured_list() {
        let configured = settings(&["http://a.example", "http://b.example"]);
        let args = |urls: &[&str], no_timestamp| Timestamps {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            are_unwanted: no_timestamp,
            ..Timestamps::default()
        };
        assert_eq!(args(&[], false).urls(&configured).unwrap(), configured.authorities);
        assert_eq!(args(&["http://c.example"], false).urls(&configured).unwrap(), ["http://c.example"]);
        assert!(args(&[], true).urls(&configured).unwrap().is_empty());
        assert!(args(&[], false).urls(&settings(&[])).unwrap().is_empty(), "a sandbox asks nobody");
        for bad in ["tsa.example", "ftp://tsa.example", "http://me:secret@tsa.example", "http://tsa example"] {
            assert_eq!(args(&[bad], false).urls(&configured).unwrap_err().code(), "bad_timestamp_url", "{bad}");
        }
    }

    #[test]
    fn only_the_adopted_roots_count() {
        let dir = tempfile::tempdir().unwrap();
        let pem = pem::encode(pem::label::CERTIFICATE, b"\x30\x03abc").unwrap();
        std::fs::write(dir.path().join("roots.pem"), &pem).unwrap();
        let mut settings = settings(&[]);
        settings.trust = vec![TrustFile { path: "roots.pem".into(), sha256: Hash256::of(pem.as_bytes()) }];
        assert_eq!(adopted_roots(dir.path(), &settings).unwrap(), [b"\x30\x03abc"]);
        std::fs::write(dir.path().join("roots.pem"), pem.replace('M', "N")).unwrap();
        assert_eq!(adopted_roots(dir.path(), &settings).unwrap_err().code(), "trust_changed");
    }
}

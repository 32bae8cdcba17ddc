//! The flags about timestamps, of commands that sign.

use crate::error::Result;
use crate::files::absolute;
use crate::signing::options::Timestamps;
use std::path::PathBuf;

/// Flags of commands that sign.
#[derive(Debug, Default, clap::Args)]
pub struct TimestampArgs {
    /// Ask these timestamp authorities, in this order, instead of the configured ones
    #[arg(long = "timestamp", value_name = "URL")]
    urls: Vec<String>,
    /// Sign without a timestamp; refused in production
    #[arg(long, conflicts_with_all = ["urls", "timestamp_roots"])]
    no_timestamp: bool,
    /// Trusted root certificates of timestamp authorities (PEM), instead of the configured ones; refused in production
    #[arg(long, value_name = "PEM")]
    timestamp_roots: Vec<PathBuf>,
}

impl TimestampArgs {
    /// As plain data.
    pub fn wanted(&self) -> Timestamps {
        Timestamps { urls: self.urls.clone(), are_unwanted: self.no_timestamp, roots: self.timestamp_roots.clone() }
    }

    /// The flags as they would be typed again, wherever that is.
    ///
    /// # Errors
    /// A path is not UTF-8.
    pub fn words(&self) -> Result<Vec<String>> {
        let mut words = Vec::new();
        for url in &self.urls {
            words.extend(["--timestamp".to_owned(), url.clone()]);
        }
        words.extend(self.no_timestamp.then(|| "--no-timestamp".to_owned()));
        for roots in &self.timestamp_roots {
            words.extend(["--timestamp-roots".to_owned(), absolute(roots)?]);
        }
        Ok(words)
    }
}

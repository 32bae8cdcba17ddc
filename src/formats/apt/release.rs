//! Reading a `Release` file (Debian's DebianRepository/Format; deb822 syntax).
//!
//! The file may come from anywhere, so it is read strictly: one paragraph, no field twice, every listed path
//! plain and relative. Only SHA256 and SHA512 make a file listed; weaker hashes are kept, since clients hold files
//! against those too.

use super::date;
use crate::clock::Time;
use crate::error::{Error, Result, shown};
use crate::model::HashAlgorithm;
use std::collections::{BTreeMap, BTreeSet};

/// The longest `Release` file that is read, in bytes.
pub const MAX_RELEASE: usize = 64 << 20;
/// The longest `Release` or `InRelease` that apt takes, in bytes (its `Acquire::MaxReleaseFileSize`).
pub const MAX_CLIENT: usize = 10_000_000;
/// The most lines in all hash lists together.
pub const MAX_INDEX_LINES: usize = 1_000_000;

/// What a `Release` file says.
#[derive(Clone, Debug)]
pub struct Release {
    /// `Date`, when it was made; clients warn where there is none.
    pub date: Option<Time>,
    /// `Valid-Until`, after which clients refuse it.
    pub valid_until: Option<Time>,
    /// The listed files that have a hash which counts, by path.
    pub files: BTreeMap<String, IndexFile>,
    /// The files that are listed under weak hashes only, by path.
    pub weak: BTreeMap<String, IndexFile>,
    /// All other fields: name in lower case, and value with continuation lines joined by line feeds.
    pub fields: BTreeMap<String, String>,
}

/// One listed file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexFile {
    /// Length in bytes.
    pub size: u64,
    /// MD5, 16 bytes.
    pub md5: Option<Vec<u8>>,
    /// SHA-1, 20 bytes.
    pub sha1: Option<Vec<u8>>,
    /// SHA-256, 32 bytes.
    pub sha256: Option<Vec<u8>>,
    /// SHA-512, 64 bytes.
    pub sha512: Option<Vec<u8>>,
}

impl IndexFile {
    /// The hashes that are listed, each with the name of its list.
    pub fn hashes(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let all = [("MD5Sum", &self.md5), ("SHA1", &self.sha1), ("SHA256", &self.sha256), ("SHA512", &self.sha512)];
        all.into_iter().filter_map(|(list, hash)| Some((list, hash.as_deref()?)))
    }
}

/// The hash lists a `Release` may have. The first two make no file listed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Md5,
    Sha1,
    Strong(HashAlgorithm),
}

impl List {
    fn named(name: &str) -> Option<Self> {
        match name {
            "md5sum" => Some(List::Md5),
            "sha1" => Some(List::Sha1),
            "sha256" => Some(List::Strong(HashAlgorithm::Sha256)),
            "sha512" => Some(List::Strong(HashAlgorithm::Sha512)),
            _ => None,
        }
    }

    fn size(self) -> usize {
        match self {
            List::Md5 => 16,
            List::Sha1 => 20,
            List::Strong(hash) => hash.size(),
        }
    }
}

/// What the lines so far amount to.
#[derive(Default)]
struct Reader {
    fields: BTreeMap<String, String>,
    files: BTreeMap<String, IndexFile>,
    weak: BTreeMap<String, IndexFile>,
    lists: BTreeSet<String>,
    current: Option<String>,
    seen: BTreeSet<String>,
    entries: usize,
    ended: bool,
}

impl Release {
    /// Reads a `Release` file.
    ///
    /// # Errors
    /// `bad_release` with the line number, `weak_release` when no list counts.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_RELEASE {
            return Err(bad(format!("it is longer than {MAX_RELEASE} bytes")));
        }
        let mut reader = Reader::default();
        for (number, line) in (1_u64..).zip(bytes.split(|&byte| byte == b'\n')) {
            reader.line(line.strip_suffix(b"\r").unwrap_or(line)).map_err(|e| e.about(format!("line {number}")))?;
        }
        reader.finish()
    }

    /// A field's value, by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<()> {
        if line.contains(&0) {
            return Err(bad("it has a NUL byte"));
        }
        if line.trim_ascii().is_empty() {
            self.ended = !self.fields.is_empty() || !self.lists.is_empty();
            return if self.ended || line.is_empty() { Ok(()) } else { Err(bad("a line of blanks")) };
        }
        if self.ended {
            return Err(bad("something follows the first paragraph"));
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") { self.continuation(line) } else { self.field(line) }
    }

    fn field(&mut self, line: &[u8]) -> Result<()> {
        let colon = line.iter().position(|&byte| byte == b':').ok_or_else(|| bad("a line without a field name"))?;
        let (name, value) = line.split_at_checked(colon).ok_or_else(|| bad("a line without a field name"))?;
        let fits = |byte: &u8| byte.is_ascii_graphic();
        let plain = !name.is_empty() && name.iter().all(fits) && !name.starts_with(b"-") && !name.starts_with(b"#");
        if !plain {
            return Err(bad("a field name with characters that do not belong there"));
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
        let list = List::named(&name).is_some();
        if list && !value.is_empty() {
            return Err(bad("a hash list begins on the line of its name"));
        }
        let new = if list {
            self.seen.clear();
            self.lists.insert(name.clone())
        } else {
            self.fields.insert(name.clone(), String::from_utf8_lossy(value).into_owned()).is_none()
        };
        if !new {
            return Err(bad(format!("the field {} is there twice", shown(&name))));
        }
        self.current = Some(name);
        Ok(())
    }

    fn continuation(&mut self, line: &[u8]) -> Result<()> {
        let name = self.current.clone().ok_or_else(|| bad("it begins with a continuation line"))?;
        if let Some(list) = List::named(&name) {
            return self.entry(list, line);
        }
        if let Some(value) = self.fields.get_mut(&name) {
            value.push('\n');
            value.push_str(&String::from_utf8_lossy(line.trim_ascii()));
        }
        Ok(())
    }

    fn entry(&mut self, list: List, line: &[u8]) -> Result<()> {
        self.entries += 1;
        if self.entries > MAX_INDEX_LINES {
            return Err(bad(format!("more than {MAX_INDEX_LINES} lines in the hash lists")));
        }
        let text = std::str::from_utf8(line).map_err(|_| bad("a path that is not UTF-8"))?;
        let mut words = text.split_ascii_whitespace();
        let (Some(hash), Some(size), Some(path), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(bad("a line in a hash list has hash, size and path"));
        };
        if hash.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(bad("a hash in upper case, which no apt takes for the one it computes"));
        }
        let hash = base16ct::lower::decode_vec(hash).ok().filter(|hash| hash.len() == list.size());
        let hash = hash.ok_or_else(|| bad("a hash with the wrong length or other characters than hex digits"))?;
        let digits = size.bytes().all(|byte| byte.is_ascii_digit());
        let size: u64 = size.parse().ok().filter(|_| digits).ok_or_else(|| bad("a size that is no number"))?;
        check_path(path)?;
        if !self.seen.insert(path.to_owned()) {
            return Err(bad(format!("{} is listed twice", shown(path))));
        }
        let files = if matches!(list, List::Strong(_)) { &mut self.files } else { &mut self.weak };
        let file = files.entry(path.to_owned()).or_insert_with(|| IndexFile { size, ..IndexFile::default() });
        if file.size != size {
            return Err(bad(format!("{} is listed with two sizes", shown(path))));
        }
        match list {
            List::Md5 => file.md5 = Some(hash),
            List::Sha1 => file.sha1 = Some(hash),
            List::Strong(HashAlgorithm::Sha512) => file.sha512 = Some(hash),
            List::Strong(_) => file.sha256 = Some(hash),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Release> {
        if !self.lists.contains("sha256") && !self.lists.contains("sha512") {
            return Err(Error::failed("weak_release", "the Release file has no SHA256 or SHA512 list"));
        }
        let mut time = |name: &str| match self.fields.remove(name) {
            None => Ok(None),
            Some(text) => match date::parse(&text) {
                Some(time) => Ok(Some(time)),
                None => Err(bad(format!("the field {name} is no date in UTC: {}", shown(&text)))),
            },
        };
        let (date, valid_until) = (time("date")?, time("valid-until")?);
        let Reader { mut files, weak, fields, .. } = self;
        let mut alone = BTreeMap::new();
        for (path, entry) in weak {
            match files.get_mut(&path) {
                Some(file) if file.size != entry.size => {
                    return Err(bad(format!("{} is listed with two sizes", shown(&path))));
                }
                Some(file) => (file.md5, file.sha1) = (entry.md5, entry.sha1),
                None => drop(alone.insert(path, entry)),
            }
        }
        Ok(Release { date, valid_until, files, weak: alone, fields })
    }
}

/// No file names are trusted: a listed path is relative, and in the one plain form there is for it.
fn check_path(path: &str) -> Result<()> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let fits = path.len() <= 1024 && path.split('/').all(plain) && !path.contains('\\');
    if fits && shown(path) == path {
        return Ok(());
    }
    Err(Error::failed("unsafe_path", format!("the listed path {:?} is not plain and relative", shown(path))))
}

fn bad(why: impl Into<String>) -> Error {
    Error::failed("bad_release", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::rfc3339;
    use proptest::prelude::*;

    const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn minimal() -> String {
        format!("Suite: stable\nDate: Mon, 23 Nov 2026 22:43:40 UTC\nSHA256:\n {SHA256} 0 main/binary-amd64/Packages\n")
    }

    fn code(text: &str) -> &'static str {
        Release::parse(text.as_bytes()).unwrap_err().code()
    }

    #[test]
    fn a_release_says_what_it_lists() {
        let release = Release::parse(minimal().as_bytes()).unwrap();
        assert_eq!(release.date.map(rfc3339).as_deref(), Some("2026-11-23T22:43:40Z"));
        assert_eq!(release.field("suite"), Some("stable"));
        let file = &release.files["main/binary-amd64/Packages"];
        assert_eq!((file.size, file.sha256.as_ref().unwrap().len(), &file.sha512), (0, 32, &None));
        let more = format!("{}Description: one\n two\n .\n\n\n", minimal());
        assert_eq!(Release::parse(more.as_bytes()).unwrap().field("description"), Some("one\ntwo\n."));
        let latin = [minimal().as_bytes(), b"Label: gr\xfc\xdfe\n"].concat();
        assert!(Release::parse(&latin).is_ok());
    }

    #[test]
    fn weak_hashes_do_not_count() {
        let md5 = "MD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 other\n";
        let release = Release::parse(format!("{}{md5}", minimal()).as_bytes()).unwrap();
        assert!(!release.files.contains_key("other"));
        assert_eq!(code(&format!("Date: Mon, 23 Nov 2026 22:43:40 UTC\n{md5}")), "weak_release");
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused_in_every_list() {
        for path in ["../x", "/etc/passwd", "a/../b", "a//b", "./a", "a\\b", "a/", "a/\u{202e}b", "..", "a\u{1b}b"] {
            let line = format!(" {SHA256} 0 {path}\n");
            assert_eq!(code(&(minimal() + &line)), "unsafe_path", "{path:?}");
            let md5 = format!("MD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 {path}\n");
            assert_eq!(code(&(minimal() + &md5)), "unsafe_path", "{path:?}");
        }
        assert_eq!(code(&(minimal() + &format!(" {SHA256} 0 a\0b\n"))), "bad_release");
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let same = format!(" {SHA256} 0 main/binary-amd64/Packages\n");
        let sha512 = format!("SHA512:\n {} 1 main/binary-amd64/Packages\n", "0".repeat(128));
        for more in [
            "suite: other\n",
            "SHA256:\n",
            same.as_str(),
            sha512.as_str(),
            "\nSuite: second\n",
            "no colon\n",
            ": no name\n",
            "-Dash: x\n",
            "# comment: x\n",
            "SHA512: x\n",
            " not a hash line at all here\n",
            " abcd 0 short\n",
        ] {
            assert_eq!(code(&(minimal() + more)), "bad_release", "{more:?}");
        }
        assert_eq!(code(&format!(" continued\n{}", minimal())), "bad_release");
        assert_eq!(Release::parse(minimal().replace("Date", "Then").as_bytes()).unwrap().date, None);
        assert_eq!(code(&minimal().replace("e3b0", "E3B0")), "bad_release");
        assert_eq!(code(&minimal().replace("UTC", "CET")), "bad_release");
        assert_eq!(code(&minimal().replace(" 0 main", " -1 main")), "bad_release");
        assert_eq!(code(&minimal().replace(" 0 main", " 99999999999999999999 main")), "bad_release");
    }

    #[test]
    fn the_number_of_lines_is_bounded() {
        let mut text = minimal();
        for i in 0..MAX_INDEX_LINES {
            text.push_str(&format!(" {SHA256} 0 f{i}\n"));
        }
        assert_eq!(code(&text), "bad_release");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn mutated_files_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let mut bytes = minimal().into_bytes();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = Release::parse(&bytes);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Release::parse(&bytes);
        }
    }
}

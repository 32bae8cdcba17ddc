//! The cleartext signature framework (RFC 4880 §7), for `InRelease`.
//!
//! The text that is signed is the `Release` file without its last line ending, which the framework counts
//! as part of the frame. Verifiers then disagree about two more things: GnuPG drops blanks at line ends
//! before hashing, as the framework says, but programs that cut the text out and verify it as a detached
//! text signature (debootstrap) do not; and what becomes of a lone CR is anybody's guess. A `Release` with
//! neither verifies the same everywhere, so any other is refused here before it is signed.

use super::release::MAX_RELEASE;
use crate::error::{Error, Result};
use crate::model::HashAlgorithm;
use crate::pki::openpgp::document::MAX_SIGNATURES_LENGTH;

const BEGIN_MESSAGE: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &[u8] = b"-----END PGP SIGNATURE-----";
/// Headers of the frame that change nothing about the text.
const HEADERS: [&str; 4] = ["Hash:", "Comment:", "Version:", "Charset:"];
/// GnuPG cuts longer lines off: when it writes at 19995 bytes, when it reads at 20000.
const MAX_LINE: usize = 19_000;

/// An `InRelease` taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The signed text: dash escapes undone, blanks at line ends dropped, lines joined by LF, no last LF.
    pub text: Vec<u8>,
    /// The armoured signature, exactly as it stands in the file.
    pub signature: Vec<u8>,
}

/// The part of a `Release` file that a cleartext signature covers, if all verifiers agree about it.
///
/// # Errors
/// `release_not_signable`, naming the line.
pub fn signable(release: &[u8]) -> Result<&[u8]> {
    let text = release.strip_suffix(b"\n").unwrap_or(release);
    if text.is_empty() {
        return Err(Error::failed("release_not_signable", "the Release file is empty"));
    }
    for (number, line) in (1_u64..).zip(text.split(|&byte| byte == b'\n')) {
        let refuse = |why: &str, hint: &str| {
            let error = Error::failed("release_not_signable", format!("line {number} of the Release file {why}"));
            Err(error.hint(hint.to_owned()))
        };
        if line.contains(&b'\r') {
            return refuse("has a carriage return", "write the file with LF line endings");
        }
        if line.contains(&0) {
            return refuse("has a NUL byte", "write the file as text");
        }
        if line.ends_with(b" ") || line.ends_with(b"\t") {
            return refuse("ends with blanks, which verifiers treat differently", "sed -i 's/[ \\t]*$//' Release");
        }
        if line.len() > MAX_LINE {
            return refuse("is longer than GnuPG reads", "fold the field into continuation lines");
        }
    }
    Ok(text)
}

/// Frames text and signature. `text` is what [`signable`] gave.
pub fn write(text: &[u8], hashes: &[HashAlgorithm], armored: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + armored.len() + 256);
    out.extend_from_slice(BEGIN_MESSAGE);
    out.push(b'\n');
    for hash in hashes {
        out.extend_from_slice(format!("Hash: {}\n", hash.as_str().to_ascii_uppercase()).as_bytes());
    }
    out.push(b'\n');
    for line in text.split(|&byte| byte == b'\n') {
        // "From " is escaped too, because mail programs would change it (RFC 4880 §7.1).
        if line.starts_with(b"-") || line.starts_with(b"From ") {
            out.extend_from_slice(b"- ");
        }
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.extend_from_slice(armored.as_bytes());
    out
}

/// Takes an `InRelease` apart, as strictly as apt does: nothing before, nothing between, nothing after.
///
/// # Errors
/// `bad_in_release`, naming the line.
pub fn split(bytes: &[u8]) -> Result<Split> {
    if bytes.len() > MAX_RELEASE + MAX_SIGNATURES_LENGTH {
        return Err(bad("it is too long"));
    }
    let mut rest = bytes;
    let mut number = 0_u64;
    let mut next = |what: &str| take_line(&mut rest, &mut number).ok_or_else(|| bad(format!("it ends before {what}")));
    if next("it begins")?.1 != BEGIN_MESSAGE {
        return Err(bad("line 1 does not begin a signed message"));
    }
    loop {
        match next("the text")? {
            (_, b"") => break,
            (_, line) if HEADERS.iter().any(|header| line.starts_with(header.as_bytes())) => {}
            (number, _) => return Err(bad(format!("line {number} is no header that every client reads alike"))),
        }
    }
    let mut text = Vec::new();
    let mut first = true;
    loop {
        let (number, line) = next("the signature")?;
        if line == BEGIN_SIGNATURE {
            break;
        }
        let plain = line.strip_prefix(b"- ").unwrap_or(line);
        if line.starts_with(b"-") && !line.starts_with(b"- ") && line != b"-" {
            return Err(bad(format!("line {number} begins with an unescaped dash")));
        }
        if !first {
            text.push(b'\n');
        }
        first = false;
        text.extend_from_slice(trim_end(plain));
    }
    if first {
        return Err(bad("it has no text"));
    }
    Ok(Split { text, signature: signature(rest)? })
}

fn signature(body: &[u8]) -> Result<Vec<u8>> {
    let (mut rest, mut number) = (body, 0);
    while let Some((_, line)) = take_line(&mut rest, &mut number) {
        if line == END_SIGNATURE {
            if !rest.is_empty() {
                return Err(bad(
                    "something follows the signature, which every apt refuses even if it is only a blank line",
                ));
            }
            let length = body.len().saturating_sub(rest.len());
            let inner = body.get(..length).unwrap_or(body);
            return Ok([BEGIN_SIGNATURE, b"\n", inner].concat());
        }
        if line.starts_with(b"-") {
            return Err(bad("the signature is interrupted"));
        }
    }
    Err(bad("the signature has no end"))
}

/// Whether a detached signature has the form that apt takes: armour, and nothing around it.
///
/// # Errors
/// `bad_release_gpg`.
pub fn require_armor(bytes: &[u8]) -> Result<()> {
    let bad = |why: &str| Err(Error::finding("bad_release_gpg", format!("{why}, which every apt refuses")));
    let (mut rest, mut number) = (bytes, 0);
    if take_line(&mut rest, &mut number).is_none_or(|(_, line)| line != BEGIN_SIGNATURE) {
        return bad("it does not begin with the armour of a signature");
    }
    while let Some((_, line)) = take_line(&mut rest, &mut number) {
        if line == END_SIGNATURE {
            return if rest.is_empty() { Ok(()) } else { bad("something follows the signature") };
        }
    }
    bad("the signature has no end")
}

/// The next line with its number, without its ending and the blanks before that; a line without ending counts.
fn take_line<'a>(rest: &mut &'a [u8], number: &mut u64) -> Option<(u64, &'a [u8])> {
    if rest.is_empty() {
        return None;
    }
    *number += 1;
    let end = rest.iter().position(|&byte| byte == b'\n');
    let (line, after) = match end.and_then(|end| rest.split_at_checked(end)) {
        Some((line, after)) => (line, after.strip_prefix(b"\n").unwrap_or(after)),
        None => (*rest, &[][..]),
    };
    *rest = after;
    Some((*number, trim_end(line)))
}

/// Drops the white space that the framework drops: blanks, tabs, and the CR of a CR LF.
fn trim_end(line: &[u8]) -> &[u8] {
    let keep = line.iter().rposition(|byte| !b" \t\r".contains(byte)).map_or(0, |last| last + 1);
    line.get(..keep).unwrap_or(line)
}

/// Whether the signed text of an `InRelease` is this `Release` file, as far as the framework can tell:
/// blanks at line ends and the last line ending are not signed.
pub fn same_text(text: &[u8], release: &[u8]) -> bool {
    fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        bytes.split(|&byte| byte == b'\n').map(trim_end)
    }
    lines(text).eq(lines(release.strip_suffix(b"\n").unwrap_or(release))) || lines(text).eq(lines(release))
}

fn bad(why: impl Into<String>) -> Error {
    Error::finding("bad_in_release", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----\n\nabc=\n-----END PGP SIGNATURE-----\n";

    fn framed(text: &[u8]) -> Vec<u8> {
        write(text, &[HashAlgorithm::Sha512], SIGNATURE)
    }

    #[test]
    fn text_goes_in_and_comes_out_the_same() {
        for text in
            ["a", "a\n", "a\n\n", "a\n\nb", "-a\n--\n- \u{fc}", "From x\n-----BEGIN PGP SIGNATURE-----\nb", "\n"]
        {
            let split = split(&framed(text.as_bytes())).unwrap();
            let trimmed: Vec<_> = text.split('\n').map(str::trim_end).collect();
            assert_eq!(split.text, trimmed.join("\n").as_bytes(), "{text:?}");
            assert_eq!(split.signature, SIGNATURE.as_bytes());
            assert!(same_text(&split.text, text.as_bytes()), "{text:?}");
            assert!(same_text(&split.text, format!("{text}\n").as_bytes()), "{text:?}");
            assert!(!same_text(&split.text, format!("{text}x").as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn only_what_all_verifiers_agree_on_is_signable() {
        assert_eq!(signable(b"a\nb\n").unwrap(), b"a\nb");
        assert_eq!(signable(b"a\nb").unwrap(), b"a\nb");
        assert_eq!(signable(b"a\n\n").unwrap(), b"a\n");
        assert!(signable(&[b'x'; MAX_LINE]).is_ok());
        assert!(signable("grün\n".as_bytes()).is_ok() && signable(b"gr\xfcn\n").is_ok());
        for text in [&b""[..], b"\n", b"a\r\nb\n", b"a\rb", b"a \nb", b"a\nb\t", b"a\0b", &[b'x'; MAX_LINE + 1]] {
            assert_eq!(signable(text).unwrap_err().code(), "release_not_signable", "{text:?}");
        }
    }

    #[test]
    fn frames_that_other_readers_could_see_differently_are_refused() {
        let good = String::from_utf8(framed(b"a\nb")).unwrap();
        assert!(split(good.as_bytes()).is_ok());
        for other in [
            String::new(),
            format!("x\n{good}"),
            format!("\n{good}"),
            format!("{good}x\n"),
            format!("{good}{good}"),
            good.replace("Hash: SHA512", "Remark: x"),
            format!("{good}\n"),
            format!("{good} \n"),
            good.replace("Hash: SHA512", "Hash: SHA512\nNotDashEscaped: yes"),
            good.replace("\na\n", "\n-a\n"),
            good.replace("\na\n", "\n-----BEGIN PGP SIGNED MESSAGE-----\n"),
            good.replace("-----END PGP SIGNATURE-----", ""),
            good.replace("abc=", "-----BEGIN PGP SIGNATURE-----"),
            good.replace("a\nb\n", ""),
        ] {
            assert_eq!(split(other.as_bytes()).unwrap_err().code(), "bad_in_release", "{other}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn mutated_frames_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let mut bytes = framed(b"Suite: x\n-dash\nDate: y");
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = split(&bytes);
        }

        #[test]
        fn every_signable_text_survives(text in "[a-z \\-\n:]{1,60}") {
            if let Ok(signable) = signable(text.as_bytes()) {
                prop_assert_eq!(split(&framed(signable)).unwrap().text, signable);
            }
        }
    }
}

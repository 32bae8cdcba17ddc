//! Private material, told by what is in a file and not by its name.
//!
//! `published/` is for everybody, and what was pushed once cannot be taken back. So every file is looked through before
//! anything of it is committed. The look is a sieve, not a proof: it knows the forms in which private keys are kept,
//! wherever in a file they stand, as they are or in base64. What it does not know (an archive, an encrypted
//! file) is not refused here; [`super::known`] lets only files through that are what their names say.
//!
//! | found | how |
//! |---|---|
//! | PEM and OpenSSH private keys, OpenPGP secret keys in armour, age, PuTTY, SSH2, minisign | their marks, also in UTF-16 |
//! | PKCS#8 (plain and encrypted), PKCS#1, SEC1, DSA, PKCS#12 | DER that begins like them, at any offset |
//! | OpenPGP secret-key packets | the packets at the beginning |
//! | GnuPG's key files, Java key stores, JWK | their marks |
//! | any of these in base64 | each run of base64 characters, decoded |
//! | the tokens' PINs | compared with what the PIN files hold |

use crate::error::{Error, shown};
use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

/// The PINs that must not be published.
#[derive(Clone, Default)]
pub struct Secrets(Vec<Zeroizing<Vec<u8>>>);

impl Secrets {
    /// Takes the content of a PIN file. One too short to be told from other text is left out.
    pub fn add(&mut self, content: &[u8]) {
        let trimmed = content.trim_ascii();
        if trimmed.len() >= 4 {
            self.0.push(Zeroizing::new(trimmed.to_vec()));
        }
    }

    /// Long ones are told wherever they stand, shorter ones as a word, the shortest as a line of their own: a PIN of four
    /// digits is in half of all files, and says nothing there.
    fn are_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|secret| match secret.len() {
            0..8 => bytes.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == secret.as_slice()),
            8..12 => places(bytes, secret).any(|at| {
                let before = at.checked_sub(1).and_then(|at| bytes.get(at));
                let after = at.checked_add(secret.len()).and_then(|at| bytes.get(at));
                ![before, after].into_iter().flatten().any(u8::is_ascii_alphanumeric)
            }),
            _ => places(bytes, secret).next().is_some(),
        })
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// Where `wanted` stands in `bytes`.
fn places(bytes: &[u8], wanted: &[u8]) -> impl Iterator<Item = usize> {
    bytes.windows(wanted.len().max(1)).enumerate().filter(move |(_, window)| *window == wanted).map(|(at, _)| at)
}

/// What is private in these bytes, in words; `None` if nothing is known to be.
pub fn found_in(bytes: &[u8], secrets: &Secrets) -> Option<&'static str> {
    if secrets.are_in(bytes) {
        return Some("the PIN of a token");
    }
    if let Some(found) = plain(bytes) {
        return Some(found);
    }
    // UTF-16, as some shells write what they are given: every other byte is zero.
    if bytes.contains(&0) {
        let narrow: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
        if let Some(found) = marked(&narrow).or_else(|| in_base64(&narrow)) {
            return Some(found);
        }
    }
    in_base64(bytes)
}

/// As it is, not encoded.
fn plain(bytes: &[u8]) -> Option<&'static str> {
    marked(bytes).or_else(|| is_key_store(bytes)).or_else(|| open_pgp(bytes)).or_else(|| der_anywhere(bytes))
}

/// Words that stand in private keys and in no public file.
const MARKS: [(&[u8], &str); 14] = [
    (b" PRIVATE KEY-----", "a private key in PEM"),
    (b"-BEGIN PGP PRIVATE KEY BLOCK-", "an OpenPGP secret key"),
    (b"-BEGIN PGP SECRET KEY BLOCK-", "an OpenPGP secret key"),
    (b"- BEGIN SSH2 ENCRYPTED PRIVATE KEY -", "an SSH private key"),
    (b"-BEGIN PKCS12-----", "a PKCS#12 key store"),
    (b"openssh-key-v1", "an OpenSSH private key"),
    (b"PuTTY-User-Key-File-", "a PuTTY private key"),
    (b"AGE-SECRET-KEY-1", "an age secret key"),
    (b"AGE-PLUGIN-", "an age identity"),
    (b"minisign encrypted secret key", "a minisign secret key"),
    (b"(protected-private-key", "a GnuPG private key"),
    (b"(private-key", "a GnuPG private key"),
    (b"(11:private-key", "a GnuPG private key"),
    (b":protected-private-key(", "a GnuPG private key"),
];

fn marked(bytes: &[u8]) -> Option<&'static str> {
    // One pass: most bytes begin no mark.
    let mut begins = [false; 256];
    for (mark, _) in MARKS {
        if let Some(slot) = mark.first().and_then(|first| begins.get_mut(usize::from(*first))) {
            *slot = true;
        }
    }
    for (at, byte) in bytes.iter().enumerate() {
        if !begins.get(usize::from(*byte)).copied().unwrap_or(false) {
            continue;
        }
        let rest = bytes.get(at..).unwrap_or_default();
        if let Some((_, what)) = MARKS.iter().find(|(mark, _)| rest.starts_with(mark)) {
            return Some(what);
        }
    }
    json_web_key(bytes)
}

/// A JSON Web Key with its private part: `"kty"`, and `"d"` or `"k"` with a value.
fn json_web_key(bytes: &[u8]) -> Option<&'static str> {
    places(bytes, b"\"kty\"").next()?;
    let private = [&b"\"d\""[..], b"\"k\""]
        .into_iter()
        .flat_map(|name| places(bytes, name).filter_map(move |at| bytes.get(at.checked_add(name.len())?..)));
    let has_value = |rest: &[u8]| {
        let value = rest.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        value.is_some_and(|value| value.first() == Some(&b'"') && value.get(1).is_some_and(u8::is_ascii_alphanumeric))
    };
    private.into_iter().any(has_value).then_some("a JSON Web Key with its private part")
}

fn is_key_store(bytes: &[u8]) -> Option<&'static str> {
    let java = bytes.starts_with(b"\xfe\xed\xfe\xed") || bytes.starts_with(b"\xce\xce\xce\xce");
    java.then_some("a Java key store")
}

/// Tag, what is inside as far as it is there, and what follows. Indefinite lengths (BER) go to the end.
fn der(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0x80 => (rest.len(), rest),
        0..0x80 => (usize::from(*first), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(d, _)| d.len() <= 4)?;
            let length = digits.iter().try_fold(0usize, |sum, d| sum.checked_mul(256)?.checked_add(usize::from(*d)))?;
            (length, rest)
        }
    };
    let (inside, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    Some((*tag, inside, after))
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;

fn der_anywhere(bytes: &[u8]) -> Option<&'static str> {
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == SEQUENCE);
    starts.filter_map(|(at, _)| bytes.get(at..)).find_map(private_der)
}

/// What private key or key store begins here. Only the beginning has to be there: half a key is one too many.
fn private_der(bytes: &[u8]) -> Option<&'static str> {
    let (_, inside, _) = der(bytes)?;
    let (tag, first, rest) = der(inside)?;
    match tag {
        INTEGER => match first {
            // PKCS#8 (RFC 5958): version, algorithm, key. PKCS#1 (RFC 8017) and DSA: version 0, then large numbers.
            [0 | 1] => {
                let (tag, next, after) = der(rest)?;
                match tag {
                    SEQUENCE if is_algorithm(next) && follows(after, OCTETS) => Some("a private key (PKCS#8)"),
                    INTEGER if *first == [0] && next.len() >= 32 && follows(after, INTEGER) => {
                        Some("an RSA or DSA private key")
                    }
                    // SEC1 (RFC 5915): version 1, the number, then curve and point, or nothing.
                    OCTETS if *first == [1] && (16..=72).contains(&next.len()) => {
                        let ends = after.is_empty() || matches!(after.first(), Some(0xa0 | 0xa1));
                        ends.then_some("an elliptic curve private key")
                    }
                    _ => None,
                }
            }
            // PFX (RFC 7292): version 3, then a ContentInfo.
            [3] => {
                let (tag, content, _) = der(rest)?;
                let data = content.starts_with(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07");
                (tag == SEQUENCE && data).then_some("a PKCS#12 key store")
            }
            _ => None,
        },
        // EncryptedPrivateKeyInfo (RFC 5958): a PKCS#5 or PKCS#12 encryption, then what it encrypts.
        SEQUENCE => {
            let pkcs5 = first.starts_with(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05");
            let pkcs12 = first.starts_with(b"\x06\x0a\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01");
            ((pkcs5 || pkcs12) && follows(rest, OCTETS)).then_some("an encrypted private key (PKCS#8)")
        }
        _ => None,
    }
}

/// The next tag, or the end of what is left of a cut file.
fn follows(after: &[u8], tag: u8) -> bool {
    after.first().is_none_or(|next| *next == tag)
}

fn is_algorithm(inside: &[u8]) -> bool {
    der(inside).is_some_and(|(tag, oid, _)| tag == OID && (3..=16).contains(&oid.len()))
}

const SECRET_KEY: u8 = 5;
const SECRET_SUBKEY: u8 = 7;

/// Secret-key packets (RFC 9580 §5.5.1.3, §5.5.1.4) among those that the bytes begin with.
fn open_pgp(bytes: &[u8]) -> Option<&'static str> {
    let mut rest = bytes;
    while let Some((tag, body, after)) = packet(rest) {
        if matches!(tag, SECRET_KEY | SECRET_SUBKEY) && begins_with_key(body).unwrap_or(false) {
            return Some("an OpenPGP secret key");
        }
        rest = after;
    }
    None
}

/// Version, time, algorithm, public numbers, and the octet that says how the secret ones are kept (RFC 9580 §5.5.2,
/// §5.5.3, §9.1). All of it is asked for, since random bytes look like a packet with such a tag too often.
fn begins_with_key(body: &[u8]) -> Option<bool> {
    let (algorithm, mut rest) = match body.first()? {
        2 | 3 => (body.get(7)?, body.get(8..)?),
        4 => (body.get(5)?, body.get(6..)?),
        5 | 6 => (body.get(5)?, body.get(10..)?),
        _ => return Some(false),
    };
    let (has_curve, integers, octets) = match algorithm {
        1..=3 => (false, 2, 0),
        16 | 20 => (false, 3, 0),
        17 => (false, 4, 0),
        18 | 19 | 22 => (true, 1, 0),
        25 | 27 => (false, 0, 32),
        26 => (false, 0, 56),
        28 => (false, 0, 57),
        _ => return Some(false),
    };
    if has_curve {
        rest = counted(rest)?;
    }
    for _ in 0..integers {
        rest = integer(rest)?;
    }
    if *algorithm == 18 {
        rest = counted(rest)?;
    }
    Some(matches!(rest.get(octets)?, 0..=13 | 253..=255))
}

/// What follows a string with its length in front.
fn counted(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first()?;
    if (1..=32).contains(length) { rest.get(usize::from(*length)..) } else { None }
}

/// What follows a number: its bits are counted, and the first of them is set (RFC 9580 §3.2).
fn integer(bytes: &[u8]) -> Option<&[u8]> {
    let bits = number(bytes.get(..2)?)?;
    let rest = bytes.get(2..)?;
    let bytes = bits.div_ceil(8);
    let unused = bytes.checked_mul(8)?.checked_sub(bits)?;
    let fits = (1..=16_384).contains(&bits) && usize::try_from(rest.first()?.leading_zeros()).ok()? == unused;
    if fits { rest.get(bytes..) } else { None }
}

/// One packet: its tag, the first part of its body, and what follows (RFC 9580 §4.2).
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first()?;
    match head & 0xc0 {
        0xc0 => {
            let (mut length, mut rest) = new_length(rest)?;
            let mut first = None;
            // Parts of a power of two each, then a last one with an ordinary length.
            loop {
                let (part, after) = rest.split_at_checked(length.0).unwrap_or((rest, &[]));
                first.get_or_insert(part);
                if !length.1 {
                    return Some((head & 0x3f, first.unwrap_or_default(), after));
                }
                (length, rest) = new_length(after)?;
            }
        }
        0x80 => {
            let (length, rest) = match head & 3 {
                0 => (usize::from(*rest.first()?), rest.get(1..)?),
                1 => (number(rest.get(..2)?)?, rest.get(2..)?),
                2 => (number(rest.get(..4)?)?, rest.get(4..)?),
                _ => (rest.len(), rest),
            };
            let (body, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            Some((head >> 2 & 0x0f, body, after))
        }
        _ => None,
    }
}

/// A length in the new format, whether it is that of a part, and what follows it.
fn new_length(bytes: &[u8]) -> Option<((usize, bool), &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let small = usize::from(*first);
    Some(match first {
        0..192 => ((small, false), rest),
        192..224 => {
            let (second, rest) = rest.split_first()?;
            let high = small.checked_sub(192)?.checked_mul(256)?;
            ((high.checked_add(usize::from(*second))?.checked_add(192)?, false), rest)
        }
        224..255 => ((1usize << (first & 0x1f), true), rest),
        255 => ((number(rest.get(..4)?)?, false), rest.get(4..)?),
    })
}

fn number(bytes: &[u8]) -> Option<usize> {
    bytes.iter().try_fold(0usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)))
}

/// The shortest base64 that is looked at; what tells a key stands in its first bytes.
const SHORTEST: usize = 24;

/// The characters of base64 beside letters and digits: in MIME, and in URLs (RFC 4648 §4, §5).
const ALPHABETS: [[u8; 2]; 2] = [*b"+/", *b"-_"];

fn in_base64(bytes: &[u8]) -> Option<&'static str> {
    ALPHABETS.iter().find_map(|alphabet| in_alphabet(bytes, *alphabet))
}

/// Every run of base64 characters, over blanks and line ends (also those that JSON escapes), decoded and looked through.
fn in_alphabet(bytes: &[u8], alphabet: [u8; 2]) -> Option<&'static str> {
    let mut run: Vec<u8> = Vec::new();
    // Where words begin in the run: those in front must not shift what follows.
    let mut words: Vec<usize> = vec![0];
    let mut rest = bytes;
    loop {
        let (step, ends) = match rest {
            [] => (0, true),
            [b'\\', b'n' | b'r', ..] => (2, false),
            [b'\n' | b'\r' | b' ' | b'\t', ..] => (1, false),
            [byte, ..] if byte.is_ascii_alphanumeric() || alphabet.contains(byte) => {
                run.push(*byte);
                (1, false)
            }
            _ => (1, true),
        };
        let between = step > 0 && !ends && rest.first().is_some_and(|byte| b"\\\n\r \t".contains(byte));
        if between && words.last() != Some(&run.len()) {
            words.push(run.len());
        }
        if ends {
            if let Some(found) = decoded(&run, &words, alphabet) {
                return Some(found);
            }
            run.clear();
            words = vec![0];
        }
        match rest.get(step..) {
            Some(next) if step > 0 => rest = next,
            _ => return None,
        }
    }
}

/// A run of base64 characters: as a whole, and as it begins with each of its words.
fn decoded(run: &[u8], words: &[usize], alphabet: [u8; 2]) -> Option<&'static str> {
    /// Enough for the first mark of a PEM file that was encoded once more, and for the head of any DER.
    const HEAD: usize = 160;
    /// Enough for the public numbers of an OpenPGP key.
    const LONG: usize = 6000;
    if run.len() < SHORTEST {
        return None;
    }
    if let Some(found) = plain(&decode(run, alphabet)) {
        return Some(found);
    }
    words.iter().skip(1).find_map(|at| {
        let rest = run.get(*at..)?;
        let head = decode(rest.get(..HEAD).unwrap_or(rest), alphabet);
        let packets = || matches!(packet(&head), Some((SECRET_KEY | SECRET_SUBKEY, ..)));
        let long = || packets().then(|| open_pgp(&decode(rest.get(..LONG).unwrap_or(rest), alphabet))).flatten();
        if rest.len() < SHORTEST { None } else { beginning(&head).or_else(long) }
    })
}

/// What begins right here.
fn beginning(bytes: &[u8]) -> Option<&'static str> {
    let der = || bytes.starts_with(&[SEQUENCE]).then(|| private_der(bytes)).flatten();
    marked(bytes).or_else(|| is_key_store(bytes)).or_else(der)
}

/// As much as is whole.
fn decode(run: &[u8], alphabet: [u8; 2]) -> Zeroizing<Vec<u8>> {
    let whole = run.get(..run.len() & !3).unwrap_or(run);
    let Ok(text) = std::str::from_utf8(whole) else { return Zeroizing::default() };
    let of_url = alphabet == *b"-_";
    let decoded = if of_url { Base64UrlUnpadded::decode_vec(text) } else { Base64Unpadded::decode_vec(text) };
    Zeroizing::new(decoded.unwrap_or_default())
}

/// The refusal of a file with private material. It names the file and never what is in it.
pub fn private_material(path: &str, what: &str) -> Error {
    Error::blocked("private_material", format!("{}: holds {what}, so nothing is published", shown(path)))
}

#[cfg(test)]
mod tests;

//! Signed notes and tree heads: C2SP `signed-note` and `tlog-checkpoint`.
//!
//! A [`SignedNote`] is a text, a blank line, and one line per signature. A [`Checkpoint`] is the text of a
//! signed tree head: origin, size and root, a line each. A [`VerifierKey`] is what a verifier holds.
//!
//! Two signature types are supported, so that any token can sign: Ed25519 (type byte 1, over the text) and
//! ECDSA on P-256 with SHA-256 (type byte 2, DER signature, key encoded as DER SubjectPublicKeyInfo). As the
//! specification says of type 2, its key ID is the start of SHA-256 over the SPKI alone; for type 1 it covers
//! name and type as well.
//!
//! Nothing here signs: the text's bytes go to a token, and the signature comes back to [`SignedNote::new`].
//! Until a note is verified with a key known beforehand, its text is only a claim.

use crate::crypto::verify::PublicKey;
use crate::error::{Context, Error, Kind, Result};
use crate::model::{Hash256, HashAlgorithm, KeyAlgorithm, Mechanism, Signature, Tbs};
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The most bytes of a signed note that are read.
pub const MAX_NOTE: usize = 64 * 1024;

/// The most signature lines of a note; the specification asks for at least 16.
pub const MAX_SIGNATURES: usize = 64;

/// The longest key name or origin, in bytes.
pub const MAX_NAME: usize = 255;

const TYPE_ED25519: u8 = 1;
const TYPE_ECDSA: u8 = 2;

/// DER of an Ed25519 SubjectPublicKeyInfo up to the 32 key bytes (RFC 8410 §4).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The length of a P-256 SubjectPublicKeyInfo with an uncompressed point, the only form accepted.
const P256_SPKI_LEN: usize = 91;

/// A named public key; prints as the one-line `NAME+KEYID+BASE64` that verifiers are configured with.
#[derive(Clone, Debug)]
pub struct VerifierKey {
    name: String,
    id: u32,
    mechanism: Mechanism,
    key: PublicKey,
}

impl VerifierKey {
    /// The verifier key of this name for an Ed25519 or P-256 key.
    ///
    /// # Errors
    /// `bad_verifier_key`: the name is not one for notes, the key is of another kind, or its SPKI is not plain DER.
    pub fn new(name: &str, key: PublicKey) -> Result<Self> {
        if !is_name(name) {
            return Err(bad_key(format!("{name:?} is not a key name (no spaces, no '+', 1 to {MAX_NAME} bytes)")));
        }
        let (mechanism, id) = match key.algorithm() {
            Some(KeyAlgorithm::Ed25519) => {
                let raw = key.point().ok_or_else(|| bad_key("the Ed25519 key has no bytes".into()))?;
                let hashed = [name.as_bytes(), b"\n", &[TYPE_ED25519], &raw].concat();
                (Mechanism::Ed25519, key_id(&hashed))
            }
            Some(KeyAlgorithm::EcdsaP256) => {
                check_p256(&key)?;
                (Mechanism::Ecdsa(HashAlgorithm::Sha256), key_id(key.spki()))
            }
            _ => return Err(bad_key("the key is neither Ed25519 nor ECDSA P-256".into())),
        };
        Ok(VerifierKey { name: name.to_owned(), id, mechanism, key })
    }

    /// The key's name; for a log's own key, the origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key ID, which tells keys of one name apart; it is no fingerprint.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How this key signs notes.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The public key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Exactly what this key signs for a note with this text.
    pub fn tbs(&self, text: &str) -> Tbs {
        Tbs::message(self.mechanism, text.as_bytes())
    }

    fn encoded(&self) -> Vec<u8> {
        match self.mechanism {
            Mechanism::Ed25519 => [&[TYPE_ED25519], self.key.point().unwrap_or_default().as_slice()].concat(),
            _ => [&[TYPE_ECDSA], self.key.spki()].concat(),
        }
    }
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.key.spki() == other.key.spki()
    }
}

impl Eq for VerifierKey {}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.name, self.id, Base64::encode_string(&self.encoded()))
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let bad = || bad_key("not a verifier key NAME+KEYID+BASE64".into());
        // Base64 may contain '+', names may not.
        let mut parts = line.splitn(3, '+');
        let (Some(name), Some(_), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad());
        };
        if encoded.len() > 4096 {
            return Err(bad());
        }
        let encoded = Base64::decode_vec(encoded).map_err(|_| bad())?;
        let key = match encoded.split_first() {
            Some((&TYPE_ED25519, raw)) if raw.len() == 32 => PublicKey::from_spki(&[&ED25519_SPKI, raw].concat()),
            Some((&TYPE_ECDSA, spki)) => PublicKey::from_spki(spki),
            _ => return Err(bad_key("the verifier key is neither Ed25519 nor ECDSA".into())),
        };
        let key = VerifierKey::new(name, key.or_kind(Kind::Usage, "bad_verifier_key", || "the key is bad".into())?)?;
        // One spelling only: this compares the key ID, and refuses a type byte that does not fit the key.
        if key.to_string() != line {
            return Err(bad_key("the key id or the form of the verifier key is wrong".into()));
        }
        Ok(key)
    }
}

impl Serialize for VerifierKey {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VerifierKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(|error: Error| serde::de::Error::custom(error.message()))
    }
}

/// A tree head: what a log's key signs.
///
/// Extension lines, which the specification allows and advises against, are refused: this log writes none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log this is; also the name of its keys.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// RFC 6962 root hash over the first `size` leaves.
    pub root: Hash256,
}

impl Checkpoint {
    /// The note text: the bytes that an Ed25519 key signs, and whose SHA-256 an ECDSA key signs.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, Base64::encode_string(&self.root.0))
    }
}

impl FromStr for Checkpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |what: &str| Error::finding("bad_checkpoint", format!("the checkpoint {what}"));
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), Some(""), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(bad("does not have exactly the lines origin, size and root"));
        };
        if !is_name(origin) {
            return Err(bad("has a bad origin"));
        }
        let number = size.parse::<u64>().ok().filter(|number| number.to_string() == size);
        let number = number.ok_or_else(|| bad("has a size that is not a plain decimal number"))?;
        let root = Some(root).filter(|root| root.len() == 44).and_then(|root| Base64::decode_vec(root).ok());
        let root = root.and_then(|root| <[u8; 32]>::try_from(root).ok());
        let root = Hash256(root.ok_or_else(|| bad("has a root that is not the base64 of 32 bytes"))?);
        Ok(Checkpoint { origin: origin.to_owned(), size: number, root })
    }
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// The key's name.
    pub name: String,
    /// The key's ID.
    pub id: u32,
    /// The bare signature: 64 bytes for Ed25519, DER for ECDSA.
    pub signature: Vec<u8>,
}

/// A note with its signatures, well formed but not yet verified; prints as the note's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<SignatureLine>,
}

impl SignedNote {
    /// A note of this text with signatures that were made elsewhere.
    ///
    /// # Errors
    /// `bad_note`: the text does not end with a newline or has control characters, there is no signature or more
    /// than [`MAX_SIGNATURES`], a name is bad, or the note exceeds [`MAX_NOTE`].
    pub fn new(text: String, signatures: Vec<(String, u32, Vec<u8>)>) -> Result<Self> {
        let line = |(name, id, signature)| SignatureLine { name, id, signature };
        let note = SignedNote { text, signatures: signatures.into_iter().map(line).collect() };
        // Reading it back applies every rule, and shows that the text ends where it should.
        match SignedNote::parse(note.to_string().as_bytes())? == note {
            true => Ok(note),
            false => Err(bad_note("is not read back as it was made")),
        }
    }

    /// Reads a note of at most [`MAX_NOTE`] bytes.
    ///
    /// # Errors
    /// `bad_note`, saying what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_NOTE {
            return Err(bad_note("is larger than 64 KiB"));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| bad_note("is not UTF-8"))?;
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(bad_note("contains control characters"));
        }
        let end = note.rfind("\n\n").ok_or_else(|| bad_note("has no blank line before its signatures"))?;
        let (text, lines) = note.split_at(end + 1);
        let lines = lines.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or_else(|| bad_note("does not end with a signature line"))?;
        if lines.split('\n').count() > MAX_SIGNATURES {
            return Err(bad_note("has too many signatures"));
        }
        let signatures = lines.split('\n').map(parse_line).collect::<Result<_>>()?;
        Ok(SignedNote { text: text.to_owned(), signatures })
    }

    /// The text, with its final newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in order.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Verifies the note with known keys and says which of them signed it. Lines of other keys do not count.
    ///
    /// # Errors
    /// `bad_signature` if any known key's signature does not verify; `untrusted_note` if none of the keys signed.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>> {
        let mut signers: Vec<&VerifierKey> = Vec::new();
        for line in &self.signatures {
            for key in keys.iter().filter(|key| key.name == line.name && key.id == line.id) {
                key.key.verify(&key.tbs(&self.text), &Signature(line.signature.clone())).map_err(|error| {
                    error.about(format_args!("the note's signature by {}+{:08x}", key.name, key.id))
                })?;
                if !signers.contains(&key) {
                    signers.push(key);
                }
            }
        }
        if signers.is_empty() {
            return Err(Error::finding("untrusted_note", "no known key signed the note"));
        }
        Ok(signers)
    }

    /// Verifies the note and reads it as a checkpoint of the log `origin`.
    ///
    /// # Errors
    /// As [`Self::verify`]; `bad_checkpoint` if the text is not a checkpoint, or one of another log.
    pub fn verify_checkpoint(&self, keys: &[VerifierKey], origin: &str) -> Result<Checkpoint> {
        self.verify(keys)?;
        let checkpoint: Checkpoint = self.text.parse()?;
        if checkpoint.origin != origin {
            let message = format!("the checkpoint is of the log {:?}, not {origin:?}", checkpoint.origin);
            return Err(Error::finding("bad_checkpoint", message));
        }
        Ok(checkpoint)
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for line in &self.signatures {
            let blob = [&line.id.to_be_bytes(), line.signature.as_slice()].concat();
            writeln!(f, "\u{2014} {} {}", line.name, Base64::encode_string(&blob))?;
        }
        Ok(())
    }
}

impl FromStr for SignedNote {
    type Err = Error;
    fn from_str(note: &str) -> Result<Self> {
        SignedNote::parse(note.as_bytes())
    }
}

fn parse_line(line: &str) -> Result<SignatureLine> {
    let parts = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' '));
    let (name, blob) = parts.filter(|(name, _)| is_name(name)).ok_or_else(|| bad_note("has a bad signature line"))?;
    let blob = Base64::decode_vec(blob).map_err(|_| bad_note("has a signature that is not base64"))?;
    match blob.split_first_chunk::<4>() {
        Some((id, signature)) if !signature.is_empty() => {
            Ok(SignatureLine { name: name.to_owned(), id: u32::from_be_bytes(*id), signature: signature.to_vec() })
        }
        _ => Err(bad_note("has an empty signature")),
    }
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn key_id(hashed: &[u8]) -> u32 {
    let [a, b, c, d, ..] = Hash256::of(hashed).0;
    u32::from_be_bytes([a, b, c, d])
}

/// The key ID is over the SPKI's bytes, so a second encoding of one key would be a second key.
fn check_p256(key: &PublicKey) -> Result<()> {
    let plain = key.key().public_key_to_der().is_ok_and(|der| der == key.spki());
    if plain && key.spki().len() == P256_SPKI_LEN {
        return Ok(());
    }
    Err(bad_key("the P-256 key is not a plain DER SubjectPublicKeyInfo with an uncompressed point".into()))
}

fn bad_key(message: String) -> Error {
    Error::usage("bad_verifier_key", message)
}

fn bad_note(what: &str) -> Error {
    Error::finding("bad_note", format!("the signed note {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ec::{EcGroup, EcKey, PointConversionForm};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::{PKey, Private};
    use openssl::sign::Signer;

    // The example of Go's golang.org/x/mod/sumdb/note documentation.
    const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    // Sigstore's Rekor, whose log id starts with c0d23d6a.
    const REKOR_KEY: &str = "rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc=";

    fn p256() -> PKey<Private> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
    }

    fn verifier(key: &PKey<Private>) -> VerifierKey {
        let key = PublicKey::from_spki(&key.public_key_to_der().unwrap()).unwrap();
        VerifierKey::new("example.corp/keyctl", key).unwrap()
    }

    fn sign(key: &PKey<Private>, text: &str) -> Vec<u8> {
        match key.id() {
            openssl::pkey::Id::ED25519 => {
                Signer::new_without_digest(key).unwrap().sign_oneshot_to_vec(text.as_bytes()).unwrap()
            }
            _ => Signer::new(MessageDigest::sha256(), key).unwrap().sign_oneshot_to_vec(text.as_bytes()).unwrap(),
        }
    }

    fn note(key: &PKey<Private>, text: &str) -> SignedNote {
        let known = verifier(key);
        SignedNote::new(text.into(), vec![(known.name().into(), known.id(), sign(key, text))]).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "example.corp/keyctl".into(), size: 42, root: Hash256::of(b"root") }
    }

    #[test]
    fn notes_and_keys_of_other_implementations_are_understood() {
        let key: VerifierKey = GO_KEY.parse().unwrap();
        let note: SignedNote = GO_NOTE.parse().unwrap();
        assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap(), [&key]);
        assert_eq!(note.to_string(), GO_NOTE);
        assert_eq!(key.to_string(), GO_KEY);
        let changed: SignedNote = GO_NOTE.replacen("think", "thank", 1).parse().unwrap();
        assert_eq!(changed.verify(&[key]).unwrap_err().code(), "bad_signature");
        let rekor: VerifierKey = REKOR_KEY.parse().unwrap();
        assert_eq!((rekor.to_string().as_str(), rekor.id()), (REKOR_KEY, 0xc0d2_3d6a));
        assert_eq!(note.verify(&[rekor]).unwrap_err().code(), "untrusted_note");
    }

    #[test]
    fn a_checkpoint_signed_by_either_kind_of_key_verifies_and_one_bit_breaks_it() {
        for key in [PKey::generate_ed25519().unwrap(), p256()] {
            let keys = [verifier(&key)];
            let signed = note(&key, &checkpoint().text());
            let read = SignedNote::parse(signed.to_string().as_bytes()).unwrap();
            assert_eq!(read.verify_checkpoint(&keys, "example.corp/keyctl").unwrap(), checkpoint());
            assert_eq!(read.verify_checkpoint(&keys, "example.corp/other").unwrap_err().code(), "bad_checkpoint");
            let printed: VerifierKey = keys[0].to_string().parse().unwrap();
            assert_eq!(printed, keys[0]);
            let mut changed = signed.clone();
            changed.text = changed.text.replace("42", "43");
            assert_eq!(changed.verify(&keys).unwrap_err().code(), "bad_signature");
            assert_eq!(signed.verify(&[verifier(&p256())]).unwrap_err().code(), "untrusted_note");
        }
    }

    #[test]
    fn one_bad_signature_of_a_known_key_spoils_the_note() {
        let (a, b) = (PKey::generate_ed25519().unwrap(), p256());
        let keys = [verifier(&a), verifier(&b)];
        let text = checkpoint().text();
        let line = |key: &PKey<Private>, signature| (verifier(key).name().to_owned(), verifier(key).id(), signature);
        let both = vec![line(&a, sign(&a, &text)), line(&b, sign(&b, &text))];
        assert_eq!(SignedNote::new(text.clone(), both).unwrap().verify(&keys).unwrap().len(), 2);
        let spoiled = vec![line(&a, sign(&a, &text)), line(&b, sign(&b, "other\n"))];
        let spoiled = SignedNote::new(text, spoiled).unwrap();
        assert_eq!(spoiled.verify(&keys).unwrap_err().code(), "bad_signature");
        assert_eq!(spoiled.verify(&keys[..1]).unwrap(), [&keys[0]], "an unknown key's line does not count");
    }

    #[test]
    fn other_spellings_of_a_checkpoint_are_refused() {
        let good = checkpoint().text();
        assert_eq!(good.parse::<Checkpoint>().unwrap(), checkpoint());
        let bad = [
            good.replace("42", "042"),
            good.replace("42", "+42"),
            good.replace("42", "-1"),
            good.replace("42", "18446744073709551616"),
            good.replace("42", ""),
            good.replace('\n', "\r\n"),
            format!("{good}extension\n"),
            format!("{good}\n"),
            good.trim_end().to_owned(),
            good.replace('=', ""),
            good.replace("example", "exa mple"),
            good.replace("example.corp/keyctl", ""),
            String::new(),
        ];
        for text in bad {
            assert_eq!(text.parse::<Checkpoint>().unwrap_err().code(), "bad_checkpoint", "{text:?}");
        }
    }

    #[test]
    fn malformed_notes_are_refused() {
        let body = "text\n\n\u{2014} name AAAAAAA=\n";
        assert!(SignedNote::parse(body.as_bytes()).is_ok());
        let bad = [
            "".to_owned(),
            "text\n".into(),
            "text\n\n".into(),
            "\u{2014} name AAAAAAA=\n".into(),
            body.trim_end().into(),
            format!("{body}\n"),
            body.replace('\u{2014}', "-"),
            body.replace("AAAAAAA=", "AAAA"),
            body.replace("AAAAAAA=", "AAAAAAA"),
            body.replace("AAAAAAA=", "AAAAAAB="),
            body.replace("name", "na+me"),
            body.replace("name", "na\u{a0}me"),
            body.replace("text", "te\txt"),
            body.replace("name ", "name  "),
            format!("text\n\n{}", "\u{2014} name AAAAAAA=\n".repeat(MAX_SIGNATURES + 1)),
            format!("{}{body}", "x".repeat(MAX_NOTE)),
        ];
        for note in bad {
            assert_eq!(SignedNote::parse(note.as_bytes()).unwrap_err().code(), "bad_note", "{note:.80?}");
        }
        assert!(SignedNote::parse(&body.as_bytes()[1..].iter().chain(b"\xff").copied().collect::<Vec<_>>()).is_err());
        for text in ["", "no newline", "a\rb\n"] {
            assert!(SignedNote::new(text.into(), vec![("name".into(), 1, vec![1])]).is_err(), "{text:?}");
        }
        assert!(SignedNote::new("text\n".into(), vec![]).is_err());
        let blank = SignedNote::new("a\n\nb\n\n".into(), vec![("name".into(), 1, vec![1])]).unwrap();
        assert_eq!(SignedNote::parse(blank.to_string().as_bytes()).unwrap().text(), "a\n\nb\n\n");
    }

    #[test]
    fn other_spellings_of_a_verifier_key_are_refused() {
        let bad = [
            GO_KEY.replace("c74f20a3", "c74f20a4"),
            GO_KEY.replace("c74f20a3", "C74F20A3"),
            GO_KEY.replace("PeterNeumann", "PeterNewmann"),
            GO_KEY.replace("PeterNeumann", ""),
            GO_KEY.replace("+AR", "+Ag"),
            format!("{GO_KEY}\n"),
            REKOR_KEY.replace("+AjBZ", "+ATBZ"),
            "a+b".into(),
            String::new(),
        ];
        for line in bad {
            assert_eq!(line.parse::<VerifierKey>().unwrap_err().code(), "bad_verifier_key", "{line}");
        }
        let key = p256();
        let (ec, mut context) = (key.ec_key().unwrap(), openssl::bn::BigNumContext::new().unwrap());
        let mut group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        group.set_asn1_flag(openssl::ec::Asn1Flag::NAMED_CURVE);
        let point = ec.public_key().to_bytes(&group, PointConversionForm::COMPRESSED, &mut context).unwrap();
        let head = [
            0x30, 0x39, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1,
            7, 3, 0x22, 0,
        ];
        let compressed = PublicKey::from_spki(&[&head[..], &point].concat()).unwrap();
        assert!(VerifierKey::new("name", compressed).is_err());
        let trailing = PublicKey::from_spki(&[key.public_key_to_der().unwrap(), vec![0]].concat());
        assert!(trailing.and_then(|key| VerifierKey::new("name", key)).is_err());
    }
}

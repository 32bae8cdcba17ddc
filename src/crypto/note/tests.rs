use super::*;
use crate::crypto::verify::PublicKey;
use crate::model::Hash256;
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
        0x30, 0x39, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
        3, 0x22, 0,
    ];
    let compressed = PublicKey::from_spki(&[&head[..], &point].concat()).unwrap();
    assert!(VerifierKey::new("name", compressed).is_err());
    let trailing = PublicKey::from_spki(&[key.public_key_to_der().unwrap(), vec![0]].concat());
    assert!(trailing.and_then(|key| VerifierKey::new("name", key)).is_err());
}

use super::*;
use crate::clock::parse;
use crate::formats::testing::{Identity, Use, p256};
use crate::model::{HashAlgorithm::Sha256, Mechanism, Tbs};
use proptest::prelude::*;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");

fn attributes(content: &[u8]) -> Vec<Attribute> {
    vec![
        Attribute::one(oid::CONTENT_TYPE, tlv::oid(DATA)),
        Attribute::one(oid::MESSAGE_DIGEST, tlv::wrap(tag::OCTET_STRING, &Sha256.digest(content))),
        Attribute::one(oid::SIGNING_TIME, tlv::time(parse("2026-01-02T03:04:05Z").unwrap())),
    ]
}

/// A SignedData over `content`, its signed attributes as given.
fn signed(identity: &Identity, content: &[u8], attributes: Vec<Attribute>) -> SignedData {
    let certificate = Certificate::parse(&identity.der()).unwrap();
    let mechanism = Mechanism::Ecdsa(Sha256);
    let signature = identity.sign(&Tbs::message(mechanism, &signed_attributes(&attributes)));
    let algorithm = encode_signature(mechanism).unwrap();
    let signer = SignerInfo::new(&certificate, encode_digest(Sha256), attributes, algorithm, signature.0);
    SignedData::new(DATA, Some(tlv::wrap(tag::OCTET_STRING, content)), &[identity.der()], signer)
}

fn verify(data: &SignedData) -> Result<()> {
    let signer = &data.signers[0];
    let certificate = data.certificate_of(signer).ok_or_else(|| Error::finding("none", ""))?;
    signer.check_content(data.content_type, data.content_octets()?)?;
    signer.check_signature(&certificate.public_key()?)
}

#[test]
fn openssl_accepts_what_is_built_and_refuses_it_changed() {
    let identity = Identity::new("CMS", p256(), Use::Code, None);
    let data = signed(&identity, b"content", attributes(b"content"));
    let folder = tempfile::tempdir().unwrap();
    let root = identity.write(folder.path(), "root");
    let openssl = |bytes: &[u8]| {
        let file = folder.path().join("cms");
        std::fs::write(&file, bytes).unwrap();
        let mut command = std::process::Command::new("openssl");
        command
            .args(["cms", "-verify", "-purpose", "any", "-inform", "DER", "-in"])
            .arg(&file)
            .arg("-CAfile")
            .arg(&root);
        crate::formats::testing::run(&mut command)
    };
    let mut der = data.to_der();
    let (good, said) = openssl(&der);
    assert!(good, "{said}");
    let last = der.len() - 1;
    der[last] ^= 1;
    assert!(!openssl(&der).0);
}

#[test]
fn reading_gives_back_what_was_built() {
    let identity = Identity::new("CMS", p256(), Use::Code, None);
    let built = signed(&identity, b"content", attributes(b"content"));
    let der = built.to_der();
    let mut padded = der.clone();
    padded.extend([0; 7]);
    let read = SignedData::parse(&padded).unwrap();
    assert_eq!(SignedData::encoded_len(&padded).unwrap(), der.len());
    assert_eq!(read.to_der(), der, "and the same bytes again");
    verify(&read).unwrap();
    let mut changed = read.clone();
    changed.signers[0].set_unsigned(Attribute::one(oid::COUNTERSIGNATURE, tlv::seq(&[])));
    let changed = SignedData::parse(&changed.to_der()).unwrap();
    assert_eq!(changed.signers[0].unsigned.len(), 1);
    verify(&changed).unwrap();
}

#[test]
fn faults_have_their_own_codes() {
    let identity = Identity::new("CMS", p256(), Use::Code, None);
    let code = |content: &[u8], attributes| verify(&signed(&identity, content, attributes)).unwrap_err().code();
    assert_eq!(code(b"other", attributes(b"content")), "message_digest_mismatch");
    let mut wrong_type = attributes(b"content");
    wrong_type[0] = Attribute::one(oid::CONTENT_TYPE, tlv::oid(oid::SIGNED_DATA));
    assert_eq!(code(b"content", wrong_type), "content_type_mismatch");
    let mut twice = attributes(b"content");
    twice.push(twice[1].clone());
    assert_eq!(code(b"content", twice), "malformed_cms");
    let mut two_values = attributes(b"content");
    let value = two_values[1].values[0].clone();
    two_values[1].values.push(value);
    assert_eq!(code(b"content", two_values), "malformed_cms");
    assert_eq!(code(b"content", attributes(b"content").split_off(1)), "malformed_cms");
    let mut weak = signed(&identity, b"content", attributes(b"content"));
    weak.signers[0].digest_algorithm.oid = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
    assert_eq!(verify(&weak).unwrap_err().code(), "weak_algorithm");
    let mut other = signed(&identity, b"content", attributes(b"content"));
    other.signers[0].signature[10] ^= 1;
    assert_eq!(verify(&other).unwrap_err().code(), "bad_signature");
    other.certificates = vec![Identity::new("CMS", p256(), Use::Code, None).der()];
    assert_eq!(verify(&other).unwrap_err().code(), "none", "same name, another serial number");
}

/// Signed attributes that travel in another order than DER's, signed as they stand or as DER would have them.
#[test]
fn attributes_out_of_order_verify_either_way() {
    let identity = Identity::new("CMS", p256(), Use::Code, None);
    let mut parts: Vec<_> = attributes(b"content").iter().map(Attribute::to_der).collect();
    parts.sort();
    let sorted = parts.concat();
    parts.reverse();
    let reversed = parts.concat();
    for (signed_over, accepted) in [(&sorted, true), (&reversed, true), (&b"else".to_vec(), false)] {
        let mut data = signed(&identity, b"content", attributes(b"content"));
        let tbs = Tbs::message(Mechanism::Ecdsa(Sha256), &tlv::wrap(tag::SET, signed_over));
        let (old, new) = (data.signers[0].signature.clone(), identity.sign(&tbs).0);
        let octets = |signature: &[u8]| tlv::wrap(tag::OCTET_STRING, signature);
        data.signers[0].head = replace(&data.signers[0].head, &octets(&old), &octets(&new));
        let der = replace(&data.to_der(), &sorted, &reversed);
        let read = SignedData::parse(&der).unwrap();
        assert_eq!(read.signers[0].signed_raw.as_deref(), Some(tlv::wrap(tag::SET, &reversed).as_slice()));
        assert_eq!(read.to_der(), der, "the order stays");
        assert_eq!(verify(&read).is_ok(), accepted);
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn other_certificates_and_key_identifiers_are_understood() {
    let identity = Identity::new("CMS", p256(), Use::Code, None);
    let built = signed(&identity, b"content", attributes(b"content"));
    let certificate = Certificate::parse(&identity.der()).unwrap();
    let key_id = certificate.subject_key_id().unwrap().to_vec();
    assert_eq!(key_id.len(), 20);
    assert!(SignerId::KeyId(key_id).is(&certificate));
    assert!(!SignerId::KeyId(vec![1]).is(&certificate));
    // An attribute certificate of version 1, [1], beside the X.509 one, as in timestamp tokens by Microsoft.
    let der = built.to_der();
    let list = tlv::wrap(tag::constructed(0), &identity.der());
    let more =
        tlv::wrap(tag::constructed(0), &[tlv::wrap(tag::constructed(1), b"\x02\x01\x01"), identity.der()].concat());
    let head = replace(&built.head, &list, &more);
    let signers = der.windows(built.head.len()).position(|window| window == built.head).unwrap() + built.head.len();
    let data = tlv::seq(&[&head, &der[signers..]]);
    let der = tlv::seq(&[&tlv::oid(oid::SIGNED_DATA), &tlv::wrap(tag::constructed(0), &data)]);
    let read = SignedData::parse(&der).unwrap();
    assert_eq!((read.certificates.len(), read.other_certificates), (1, 1));
    assert_eq!(read.to_der(), der);
    verify(&read).unwrap();
}

#[test]
fn indefinite_lengths_are_read() {
    let identity = Identity::new("CMS", p256(), Use::Code, None);
    let built = signed(&identity, b"content", attributes(b"content"));
    let der = built.to_der();
    let outer = Tlv::parse(&der, "").unwrap().inside("").all(2).unwrap();
    let data = Tlv::parse(outer[1].value, "").unwrap();
    let content = [&[0x24, 0x80][..], &[4, 3], b"con", &[4, 4], b"tent", &[0, 0]].concat();
    let inside = replace(
        data.value,
        &tlv::seq(&[&tlv::oid(DATA), &tlv::wrap(tag::constructed(0), &tlv::wrap(tag::OCTET_STRING, b"content"))]),
        &[&[0x30, 0x80][..], &tlv::oid(DATA), &[0xa0, 0x80], &content, &[0, 0, 0, 0]].concat(),
    );
    let ber = [&[0x30, 0x80][..], outer[0].raw, &[0xa0, 0x80, 0x30, 0x80], &inside, &[0; 6]].concat();
    let read = SignedData::parse(&ber).unwrap();
    assert_eq!(SignedData::encoded_len(&ber).unwrap(), ber.len());
    assert_eq!(read.to_der(), der);
    verify(&read).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn changed_bytes_never_panic(
        changes in proptest::collection::vec((0usize..10_000, any::<u8>()), 1..6),
        cut in 0usize..1000,
    ) {
        thread_local! {
            static DER: Vec<u8> = signed(&Identity::new("CMS", p256(), Use::Code, None), b"content", attributes(b"content")).to_der();
        }
        let mut der = DER.with(Vec::clone);
        for (at, value) in changes {
            let at = at % der.len();
            der[at] = value;
        }
        der.truncate(der.len() - cut.saturating_sub(900));
        if let Ok(data) = SignedData::parse(&der) {
            let _ = data.to_der();
            if !data.signers.is_empty() {
                let _ = verify(&data);
            }
        }
    }
}

use super::*;
use crate::error::Kind;
use crate::formats::cms::{self, Attribute, SignedData, SignerInfo};
use crate::formats::testing::{Authority, Identity, Use, corpus, noon, p256};
use crate::model::HashAlgorithm::{self, Sha256};
use crate::model::{Mechanism, Tbs};
use const_oid::ObjectIdentifier;
use proptest::prelude::*;
use sha1::{Digest, Sha1};

const NONCE: &[u8] = b"\x80 eight+";
const MESSAGE: &[u8] = b"a signature value";

fn oid_of(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

fn skew() -> TimeDelta {
    TimeDelta::minutes(5)
}

/// An authority in the process, which can be told to do one thing wrong.
struct Tsa {
    root: Identity,
    signer: Identity,
}

/// What the authority says; by default everything right.
struct Says {
    status: Vec<u8>,
    content_type: &'static str,
    imprint: Vec<u8>,
    imprint_hash: Vec<u8>,
    nonce: Option<Vec<u8>>,
    gen_time: Time,
    extensions: Vec<u8>,
    ids: Vec<Attribute>,
    certificates: Vec<Vec<u8>>,
    signed_type: Option<&'static str>,
    digest_of: Option<&'static [u8]>,
    break_signature: bool,
    with_token: bool,
}

fn id_v2(der: &[u8], hash: Option<HashAlgorithm>, tail: &[u8]) -> Attribute {
    let algorithm = hash.map(|hash| encode_digest(hash).to_der()).unwrap_or_default();
    let digest = tlv::wrap(tag::OCTET_STRING, &hash.unwrap_or(Sha256).digest(der));
    let id = tlv::seq(&[&algorithm, &digest, tail]);
    Attribute::one(oid_of("1.2.840.113549.1.9.16.2.47"), tlv::seq(&[&tlv::seq(&[&id])]))
}

fn id_v1(der: &[u8]) -> Attribute {
    let id = tlv::seq(&[&tlv::wrap(tag::OCTET_STRING, &Sha1::digest(der))]);
    Attribute::one(oid_of("1.2.840.113549.1.9.16.2.12"), tlv::seq(&[&tlv::seq(&[&id])]))
}

impl Tsa {
    fn new(usage: Use) -> Self {
        let root = Identity::new("TSA root", p256(), Use::Ca, None);
        let signer = Identity::new("TSA signer", p256(), usage, Some(&root));
        Tsa { root, signer }
    }

    fn says(&self) -> Says {
        Says {
            status: tlv::seq(&[&tlv::unsigned(&[0])]),
            content_type: "1.2.840.113549.1.9.16.1.4",
            imprint: Sha256.digest(MESSAGE),
            imprint_hash: encode_digest(Sha256).to_der(),
            nonce: Some(NONCE.to_vec()),
            gen_time: noon(),
            extensions: Vec::new(),
            ids: vec![id_v2(&self.signer.der(), None, &[])],
            certificates: vec![self.signer.der()],
            signed_type: None,
            digest_of: None,
            break_signature: false,
            with_token: true,
        }
    }

    fn token(&self, says: &Says) -> Vec<u8> {
        let time = says.gen_time.format("%Y%m%d%H%M%S.5Z").to_string();
        let info = tlv::seq(&[
            &tlv::unsigned(&[1]),
            &tlv::oid(oid_of("1.2.3.4")),
            &tlv::seq(&[&says.imprint_hash, &tlv::wrap(tag::OCTET_STRING, &says.imprint)]),
            &tlv::unsigned(&[7, 8]),
            &tlv::wrap(tag::GENERALIZED_TIME, time.as_bytes()),
            &tlv::seq(&[&tlv::unsigned(&[1])]),
            &says.nonce.as_ref().map(|nonce| tlv::unsigned(nonce)).unwrap_or_default(),
            &says.extensions,
        ]);
        let content_type = oid_of(says.content_type);
        let digest = Sha256.digest(says.digest_of.unwrap_or(&info));
        let mut attributes = vec![
            Attribute::one(cms::oid::CONTENT_TYPE, tlv::oid(says.signed_type.map_or(content_type, oid_of))),
            Attribute::one(cms::oid::MESSAGE_DIGEST, tlv::wrap(tag::OCTET_STRING, &digest)),
        ];
        attributes.extend(says.ids.clone());
        let mechanism = Mechanism::Ecdsa(Sha256);
        let mut signature = self.signer.sign(&Tbs::message(mechanism, &cms::signed_attributes(&attributes))).0;
        if says.break_signature {
            signature[9] ^= 1;
        }
        let certificate = Certificate::parse(&self.signer.der()).unwrap();
        let algorithm = cms::encode_signature(mechanism).unwrap();
        let signer = SignerInfo::new(&certificate, encode_digest(Sha256), attributes, algorithm, signature);
        SignedData::new(content_type, Some(tlv::wrap(tag::OCTET_STRING, &info)), &says.certificates, signer).to_der()
    }

    fn response(&self, says: &Says) -> Vec<u8> {
        let token = if says.with_token { self.token(says) } else { Vec::new() };
        tlv::seq(&[&says.status, &token])
    }

    fn judge(&self, says: &Says) -> Result<Token> {
        check(&self.response(says), &request(), &[self.root.der()], noon(), skew())
    }
}

fn request() -> Request {
    Request::new(Sha256, MESSAGE, NONCE).unwrap()
}

#[test]
fn a_good_answer_gives_a_token() {
    let tsa = Tsa::new(Use::Tsa);
    let token = tsa.judge(&tsa.says()).unwrap();
    assert_eq!(token.gen_time, noon(), "fractions are cut off");
    assert_eq!((token.serial.as_str(), token.tsa_subject.as_str()), ("0708", "CN=TSA signer"));
    assert_eq!(token.tsa_certificate, tsa.signer.der());
    assert_eq!(token.policy, oid_of("1.2.3.4"));

    let der = tsa.signer.der();
    let signer = Certificate::parse(&der).unwrap();
    let name = tlv::seq(&[&tlv::wrap(tag::constructed(4), &signer.issuer)]);
    let right = tlv::seq(&[&name, &tlv::wrap(tag::INTEGER, &signer.serial)]);
    let fine = [
        Says { status: tlv::seq(&[&tlv::unsigned(&[1])]), ..tsa.says() },
        Says { ids: vec![id_v1(&der)], ..tsa.says() },
        Says { ids: vec![id_v1(&der), id_v2(&der, None, &[])], ..tsa.says() },
        Says { ids: vec![id_v2(&der, Some(HashAlgorithm::Sha512), &right)], ..tsa.says() },
    ];
    for says in &fine {
        tsa.judge(says).unwrap();
    }
}

#[test]
fn each_fault_has_its_own_code() {
    let tsa = Tsa::new(Use::Tsa);
    let good = || tsa.says();
    let (der, other) = (tsa.signer.der(), tsa.root.der());
    let root = Certificate::parse(&other).unwrap();
    let wrong_serial = tlv::seq(&[&tlv::seq(&[&tlv::wrap(tag::constructed(4), &root.subject)]), &tlv::unsigned(&[9])]);
    let sha1 = tlv::seq(&[&tlv::oid(oid_of("1.3.14.3.2.26"))]);
    let critical = tlv::seq(&[&tlv::oid(oid_of("1.2.3")), &[1, 1, 0xff], &tlv::wrap(tag::OCTET_STRING, b"")]);
    let cases = [
        ("timestamp_no_token", Says { with_token: false, ..good() }),
        ("timestamp_imprint_mismatch", Says { imprint: Sha256.digest(b"other"), ..good() }),
        ("timestamp_imprint_mismatch", Says { imprint_hash: sha1, ..good() }),
        ("timestamp_nonce_mismatch", Says { nonce: Some(b"\x01 another".to_vec()), ..good() }),
        ("timestamp_nonce_mismatch", Says { nonce: None, ..good() }),
        ("timestamp_skew", Says { gen_time: noon() - TimeDelta::minutes(6), ..good() }),
        ("timestamp_skew", Says { gen_time: noon() + TimeDelta::minutes(6), ..good() }),
        ("timestamp_bad_content", Says { content_type: "1.2.840.113549.1.7.1", ..good() }),
        ("timestamp_bad_content", Says { extensions: tlv::wrap(tag::constructed(1), &critical), ..good() }),
        ("timestamp_no_certificate", Says { certificates: vec![other.clone()], ..good() }),
        ("content_type_mismatch", Says { signed_type: Some("1.2.840.113549.1.7.1"), ..good() }),
        ("message_digest_mismatch", Says { digest_of: Some(b"other"), ..good() }),
        ("bad_signature", Says { break_signature: true, ..good() }),
        ("timestamp_wrong_certificate", Says { ids: vec![], ..good() }),
        ("timestamp_wrong_certificate", Says { ids: vec![id_v1(&other)], ..good() }),
        ("timestamp_wrong_certificate", Says { ids: vec![id_v2(&other, None, &[])], ..good() }),
        ("timestamp_wrong_certificate", Says { ids: vec![id_v1(&other), id_v2(&der, None, &[])], ..good() }),
        ("timestamp_wrong_certificate", Says { ids: vec![id_v2(&der, None, &wrong_serial)], ..good() }),
    ];
    for (code, says) in &cases {
        assert_eq!(tsa.judge(says).unwrap_err().code(), *code);
    }
    for usage in [Use::TsaNotCritical, Use::TsaAndMore, Use::Code] {
        let tsa = Tsa::new(usage);
        assert_eq!(tsa.judge(&tsa.says()).unwrap_err().code(), "timestamp_bad_key_usage");
        let stored = verify_token(&tsa.token(&tsa.says()), MESSAGE, &*chain::to_roots(&[tsa.root.der()]));
        assert_eq!(stored.is_ok(), usage == Use::TsaNotCritical, "in files such tokens are accepted");
    }
}

#[test]
fn a_refusal_is_passed_on_in_words() {
    let tsa = Tsa::new(Use::Tsa);
    let words = tlv::seq(&[&tlv::wrap(tag::UTF8_STRING, b"too \x1b many")]);
    let status = tlv::seq(&[&tlv::unsigned(&[2]), &words, &[tag::BIT_STRING, 2, 5, 0x20]]);
    let refused = tsa.judge(&Says { status, with_token: false, ..tsa.says() }).unwrap_err();
    assert_eq!((refused.code(), refused.kind()), ("timestamp_rejected", Kind::Unavailable));
    assert!(refused.message().ends_with("status 2: too \\u{1b} many (badRequest)"), "{refused}");
    for (code, bytes) in [
        ("malformed_der", b"<html>".to_vec()),
        ("malformed_der", Vec::new()),
        ("malformed_der", [tsa.response(&tsa.says()), vec![0]].concat()),
        ("timestamp_too_large", vec![0; MAX_RESPONSE + 1]),
    ] {
        let refused = check(&bytes, &request(), &[tsa.root.der()], noon(), skew()).unwrap_err();
        assert_eq!(refused.code(), code);
    }
}

#[test]
fn the_chain_leads_to_a_root_or_nowhere() {
    let tsa = Tsa::new(Use::Tsa);
    let response = tsa.response(&tsa.says());
    let with = |roots: &[Vec<u8>]| check(&response, &request(), roots, noon(), skew()).map_err(|error| error.code());
    assert_eq!(with(&[]).unwrap_err(), "unknown_issuer");
    let stranger = Identity::new("TSA root", p256(), Use::Ca, None);
    assert_eq!(with(&[stranger.der()]).unwrap_err(), "chain_bad_signature", "same name, another key");
    with(&[stranger.der(), tsa.root.der()]).unwrap();
    with(&[tsa.signer.der()]).unwrap();

    let middle = Identity::new("Middle", p256(), Use::Ca, Some(&tsa.root));
    let signer = Identity::new("Signer", p256(), Use::Tsa, Some(&middle));
    let long = Tsa { root: Identity { key: tsa.root.key.clone(), cert: tsa.root.cert.clone() }, signer };
    assert_eq!(long.judge(&long.says()).unwrap_err().code(), "unknown_issuer", "the link is missing");
    let certificates = vec![middle.der(), long.signer.der()];
    long.judge(&Says { certificates: certificates.clone(), ..long.says() }).unwrap();

    let not_a_ca = Identity::new("Middle", p256(), Use::Code, Some(&tsa.root));
    let signer = Identity::new("Signer", p256(), Use::Tsa, Some(&not_a_ca));
    let forged = Tsa { root: long.root, signer };
    let says = Says { certificates: vec![not_a_ca.der(), forged.signer.der()], ..forged.says() };
    assert_eq!(forged.judge(&says).unwrap_err().code(), "not_an_issuer");

    let late = crate::clock::parse("2051-01-01T00:00:00Z").unwrap();
    let says = Says { gen_time: late, ..tsa.says() };
    let refused = check(&tsa.response(&says), &request(), &[tsa.root.der()], late, skew()).unwrap_err();
    assert_eq!(refused.code(), "certificate_expired");
}

/// Certificates that all issue each other end in bounded time.
#[test]
fn a_thicket_of_certificates_is_left_in_time() {
    let key = p256();
    let thicket: Vec<_> = (0..40).map(|_| Identity::new("Loop", key.clone(), Use::Ca, None)).collect();
    let signer = Identity::new("Signer", p256(), Use::Tsa, Some(&thicket[0]));
    let tsa = Tsa { root: Identity::new("Elsewhere", p256(), Use::Ca, None), signer };
    let mut certificates: Vec<_> = thicket.iter().map(Identity::der).collect();
    certificates.push(tsa.signer.der());
    let refused = tsa.judge(&Says { certificates, ..tsa.says() }).unwrap_err();
    assert_eq!(refused.code(), "unknown_issuer");
}

#[test]
fn openssl_understands_the_request_and_its_answer_is_good() {
    let authority = Authority::new(Use::Tsa);
    for (hash, nonce) in
        [(Sha256, NONCE), (HashAlgorithm::Sha384, b"\0\0\x12nonces"), (HashAlgorithm::Sha512, &[1; 20])]
    {
        let request = Request::new(hash, MESSAGE, nonce).unwrap();
        let response = authority.answer(&request.to_der());
        let now = crate::clock::Clock::system().now();
        let token = check(&response, &request, &[authority.root.der()], now, skew()).unwrap();
        assert_eq!(token.tsa_subject, "CN=TSA signer");
        let (roots, der) = ([authority.root.der()], &token.der);
        assert_eq!(verify_token(der, MESSAGE, &*chain::to_roots(&roots)).unwrap(), token);
        assert_eq!(
            verify_token(der, b"other", &*chain::to_roots(&roots)).unwrap_err().code(),
            "timestamp_imprint_mismatch"
        );
        let other = Request::new(hash, MESSAGE, b"another nonce").unwrap();
        let refused = check(&response, &other, &[authority.root.der()], now, skew()).unwrap_err();
        assert_eq!(refused.code(), "timestamp_nonce_mismatch");
    }
    assert!(Request::new(Sha256, MESSAGE, &[1; 7]).is_err());
}

/// The signature of Apple's productsign: CMS in BER with indefinite lengths, and a token by Apple's authority in it.
#[test]
fn a_real_token_in_a_real_package_reads() {
    let Some(corpus) = corpus() else { return };
    let package = std::fs::read(corpus.join("macos/valid.pkg")).unwrap();
    let start = [&[0x30, 0x80][..], &tlv::oid(cms::oid::SIGNED_DATA)].concat();
    let at = package.windows(start.len()).position(|window| window == start).unwrap();
    let signed = SignedData::parse(&package[at..]).unwrap();
    let signer = &signed.signers[0];
    let token = cms::single(&signer.unsigned, oid_of("1.2.840.113549.1.9.16.2.14")).unwrap().unwrap();
    let anyone = |_: &Certificate, _: &[Vec<u8>], _: Time| Ok(());
    let refused = verify_token(token, &signer.signature, &anyone).unwrap_err();
    assert_eq!(refused.code(), "weak_algorithm", "it parses, but rests on SHA-1");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_responses_never_panic_and_never_pass(at in 0usize..10_000, flip in 1u8..=255, cut in 0usize..400) {
        thread_local! {
            static TSA: (Vec<u8>, Vec<u8>) = {
                let tsa = Tsa::new(Use::Tsa);
                (tsa.response(&tsa.says()), tsa.root.der())
            };
        }
        let (mut response, root) = TSA.with(Clone::clone);
        let at = at % response.len();
        response[at] ^= flip;
        response.truncate(response.len() - cut.saturating_sub(300));
        if let Ok(token) = check(&response, &request(), &[root], noon(), skew()) {
            // What may differ: version numbers, parameters, and which of two good statuses.
            prop_assert_eq!(token.gen_time, noon());
            prop_assert_eq!(token.serial, "0708");
        }
    }
}

//! Throw-away keys and certificates, and other people's tools, for the tests of the formats.

use crate::clock::{Time, parse};
use crate::crypto::verify::message_digest;
use crate::model::{Mechanism, Signature, Tbs};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::{Padding, Rsa};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A key with its certificate.
pub(crate) struct Identity {
    pub key: PKey<Private>,
    pub cert: X509,
}

/// What a test certificate is for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Use {
    Ca,
    Code,
    Tsa,
    /// For timestamping, but not marked critical.
    TsaNotCritical,
    /// For timestamping and more.
    TsaAndMore,
}

pub(crate) fn p256() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

pub(crate) fn rsa2048() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

/// The middle of every test certificate's validity, 2020 to 2049.
pub(crate) fn noon() -> Time {
    parse("2026-06-01T12:00:00Z").unwrap()
}

impl Identity {
    /// A certificate by `issuer`, or self-signed.
    pub(crate) fn new(name: &str, key: PKey<Private>, usage: Use, issuer: Option<&Identity>) -> Self {
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_text("CN", name).unwrap();
        let subject = subject.build();
        let mut cert = X509Builder::new().unwrap();
        cert.set_version(2).unwrap();
        let mut serial = [0; 8];
        openssl::rand::rand_bytes(&mut serial).unwrap();
        serial[0] = 0x41;
        cert.set_serial_number(&BigNum::from_slice(&serial).unwrap().to_asn1_integer().unwrap()).unwrap();
        cert.set_subject_name(&subject).unwrap();
        cert.set_issuer_name(issuer.map_or(&subject, |issuer| issuer.cert.subject_name())).unwrap();
        cert.set_not_before(&Asn1Time::from_str("20200101000000Z").unwrap()).unwrap();
        cert.set_not_after(&Asn1Time::from_str("20491231235959Z").unwrap()).unwrap();
        cert.set_pubkey(&key).unwrap();
        let id = SubjectKeyIdentifier::new().build(&cert.x509v3_context(None, None)).unwrap();
        cert.append_extension(id).unwrap();
        let usages = match usage {
            Use::Ca => KeyUsage::new().critical().key_cert_sign().crl_sign().build(),
            _ => KeyUsage::new().critical().digital_signature().build(),
        };
        cert.append_extension(usages.unwrap()).unwrap();
        let mut extended = ExtendedKeyUsage::new();
        match usage {
            Use::Ca => cert.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap(),
            Use::Code => cert.append_extension(extended.code_signing().build().unwrap()).unwrap(),
            Use::Tsa => cert.append_extension(extended.critical().time_stamping().build().unwrap()).unwrap(),
            Use::TsaNotCritical => cert.append_extension(extended.time_stamping().build().unwrap()).unwrap(),
            Use::TsaAndMore => {
                cert.append_extension(extended.critical().time_stamping().code_signing().build().unwrap()).unwrap();
            }
        }
        cert.sign(issuer.map_or(&key, |issuer| &issuer.key), MessageDigest::sha256()).unwrap();
        Identity { cert: cert.build(), key }
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.cert.to_der().unwrap()
    }

    pub(crate) fn sign(&self, tbs: &Tbs) -> Signature {
        let mut context = PkeyCtx::new(&self.key).unwrap();
        context.sign_init().unwrap();
        let hash = tbs.mechanism().hash().unwrap();
        if let Mechanism::RsaPkcs1(_) = tbs.mechanism() {
            context.set_rsa_padding(Padding::PKCS1).unwrap();
        }
        let md = openssl::md::Md::from_nid(message_digest(hash).type_()).unwrap();
        context.set_signature_md(md).unwrap();
        let mut signature = Vec::new();
        context.sign_to_vec(tbs.bytes(), &mut signature).unwrap();
        Signature(signature)
    }

    /// Writes `NAME.key` and `NAME.pem` into a folder.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> PathBuf {
        std::fs::write(folder.join(format!("{name}.key")), self.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        let path = folder.join(format!("{name}.pem"));
        std::fs::write(&path, self.cert.to_pem().unwrap()).unwrap();
        path
    }
}

/// Whether a tool is installed; says so on stdout if not, for tests that then have nobody to ask.
pub(crate) fn installed(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        println!("skipped: {tool} is not installed");
    }
    found
}

/// Runs a command and gives whether it succeeded, and what it said.
pub(crate) fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// The folder of real inputs; says on stdout that the test is skipped if there is none.
pub(crate) fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("KEYCTL_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: KEYCTL_CORPUS is not set");
    }
    folder
}

/// A timestamp authority: `openssl ts` with a key and certificate in a folder.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    pub root: Identity,
}

impl Authority {
    pub(crate) fn new(usage: Use) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Identity::new("TSA root", p256(), Use::Ca, None);
        let signer = Identity::new("TSA signer", p256(), usage, Some(&root));
        root.write(folder.path(), "root");
        signer.write(folder.path(), "tsa");
        std::fs::write(
            folder.path().join("ts.cnf"),
            "[tsa]\ndefault_tsa = t\n[t]\nserial = serial\ncrypto_device = builtin\nsigner_digest = sha256\n\
             default_policy = 1.2.3.4.1\ndigests = sha256, sha384, sha512\naccuracy = secs:1\nordering = no\n\
             tsa_name = yes\ness_cert_id_chain = no\ness_cert_id_alg = sha256\n",
        )
        .unwrap();
        Authority { folder, root }
    }

    pub(crate) fn root_pem(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// The TimeStampResp to a TimeStampReq.
    pub(crate) fn answer(&self, request: &[u8]) -> Vec<u8> {
        let folder = self.folder.path();
        std::fs::write(folder.join("request"), request).unwrap();
        let mut command = Command::new("openssl");
        command.args(
            "ts -reply -config ts.cnf -queryfile request -signer tsa.pem -inkey tsa.key -out response".split(' '),
        );
        let (good, said) = run(command.current_dir(folder));
        assert!(good, "{said}");
        std::fs::read(folder.join("response")).unwrap()
    }
}

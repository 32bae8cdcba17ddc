//! Security keys, made in software as PROTOCOL.u2f describes them.

use super::*;
use crate::model::HashAlgorithm;
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer as OpensslSigner;

/// An authenticator in software, as PROTOCOL.u2f describes it.
pub(super) struct Authenticator {
    key: PKey<Private>,
    pub(super) public: PublicKey,
}

impl Authenticator {
    pub(super) fn ed25519() -> Self {
        let key = PKey::generate_ed25519().unwrap();
        let blob = Writer::new().string(b"sk-ssh-ed25519@openssh.com").string(&key.raw_public_key().unwrap());
        let public = PublicKey::from_blob(blob.string(b"ssh:keyctl").bytes()).unwrap();
        Authenticator { key, public }
    }

    fn ecdsa() -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = EcKey::generate(&group).unwrap();
        let mut context = openssl::bn::BigNumContext::new().unwrap();
        let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
        let point = key.public_key().to_bytes(&group, form, &mut context).unwrap();
        let blob = Writer::new().string(b"sk-ecdsa-sha2-nistp256@openssh.com").string(b"nistp256").string(&point);
        let public = PublicKey::from_blob(blob.string(b"ssh:").bytes()).unwrap();
        Authenticator { key: PKey::from_ec_key(key).unwrap(), public }
    }

    fn sign(&self, flags: u8, counter: u32, application: &str) -> Vec<u8> {
        let sha = |bytes: &[u8]| HashAlgorithm::Sha256.digest(bytes);
        let data = Signature::signed_data(NAMESPACE, MESSAGE).unwrap();
        let counter = counter.to_be_bytes();
        let signed = [&sha(application.as_bytes())[..], &[flags], &counter, &sha(&data)].concat();
        let body = match self.public.kind() {
            KeyKind::SkEd25519 => {
                OpensslSigner::new_without_digest(&self.key).unwrap().sign_oneshot_to_vec(&signed).unwrap()
            }
            _ => {
                let ec = self.key.ec_key().unwrap();
                let numbers = EcdsaSig::sign(&sha(&signed), &ec).unwrap();
                Writer::new().positive(&numbers.r().to_vec()).positive(&numbers.s().to_vec()).into_public()
            }
        };
        let word = self.public.kind().as_str().as_bytes();
        Writer::new().string(word).string(&body).raw(&[flags]).raw(&counter).into_public()
    }
}

#[test]
fn security_keys_say_who_was_there_and_ssh_keygen_agrees() {
    for authenticator in [Authenticator::ed25519(), Authenticator::ecdsa()] {
        let key = &authenticator.public;
        let application = key.application().unwrap();
        assert!(key.is_security_key());
        assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), *key);
        for (flags, present, verified) in [(1, true, false), (5, true, true), (4, false, true), (0, false, false)] {
            let made = authenticator.sign(flags, 7, application);
            let signature = Signature::assemble(key, NAMESPACE, &made).unwrap();
            let says = signature.verify(NAMESPACE, MESSAGE).unwrap();
            assert_eq!((says.user_present, says.user_verified, says.counter), (present, verified, Some(7)));
            assert_eq!(says.is_by_a_person(), present);
            // ssh-keygen -Y verify accepts any flags; who calls it has to look.
            assert!(stock_accepts(key, NAMESPACE, MESSAGE, signature.to_string().as_bytes()), "{flags}");
        }
        // Flags and counter are signed; another application is another key.
        let mut made = authenticator.sign(0, 7, application);
        let at = made.len() - 5;
        made[at] = 1;
        let forged = Signature::assemble(key, NAMESPACE, &made).unwrap();
        assert_eq!(forged.verify(NAMESPACE, MESSAGE).unwrap_err().code(), "bad_signature");
        assert!(!stock_accepts(key, NAMESPACE, MESSAGE, forged.to_string().as_bytes()));
        let made = authenticator.sign(1, 7, "webauthn.example");
        assert!(Signature::assemble(key, NAMESPACE, &made).unwrap().verify(NAMESPACE, MESSAGE).is_err());
        let made = authenticator.sign(1, 7, application);
        Signature::assemble(key, NAMESPACE, &made[..made.len() - 5]).unwrap_err();
        Signature::assemble(key, NAMESPACE, &[&made[..], &[0]].concat()).unwrap_err();
    }
}

#[test]
fn one_key_in_two_wrappings_has_one_material() {
    let authenticator = Authenticator::ed25519();
    let point = authenticator.key.raw_public_key().unwrap();
    let plain = PublicKey::from_blob(Writer::new().string(b"ssh-ed25519").string(&point).bytes()).unwrap();
    assert_ne!(plain.fingerprint(), authenticator.public.fingerprint());
    assert_eq!(plain.material(), authenticator.public.material());
}

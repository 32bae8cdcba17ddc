//! Rosters and hands for tests: keys that sign as `ssh-keygen` and security keys do.

use super::{Person, Roster, SCHEMA, SigningKey};
use crate::config::policy::Role;
use crate::model::Email;
use base64ct::{Base64, Encoding};
use openssl::pkey::{Id, PKey, Private};
use openssl::sign::Signer;
use sha2::{Digest, Sha256, Sha512};

const APPLICATION: &[u8] = b"ssh:";

/// A private key.
#[derive(Clone)]
pub(crate) struct Hand {
    key: PKey<Private>,
    /// For a FIDO authenticator, the flags it will say.
    flags: Option<u8>,
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

impl Hand {
    /// The same key for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        let secret = Sha256::digest(seed.to_be_bytes());
        Hand { key: PKey::private_key_from_raw_bytes(&secret, Id::ED25519).unwrap(), flags: None }
    }

    /// An authenticator that says that it was touched, and not more.
    pub(crate) fn security_key(seed: u64) -> Self {
        Hand { flags: Some(1), ..Hand::new(seed) }
    }

    /// The same authenticator, saying this.
    pub(crate) fn with_flags(&self, flags: u8) -> Self {
        Hand { flags: Some(flags), ..self.clone() }
    }

    fn kind(&self) -> &'static str {
        if self.flags.is_some() { "sk-ssh-ed25519@openssh.com" } else { "ssh-ed25519" }
    }

    fn blob(&self) -> Vec<u8> {
        let blob = [string(self.kind().as_bytes()), string(&self.key.raw_public_key().unwrap())].concat();
        if self.flags.is_some() { [blob, string(APPLICATION)].concat() } else { blob }
    }

    /// `TYPE BASE64`.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.kind(), Base64::encode_string(&self.blob()))
    }

    /// The armoured signature over `message` (OpenSSH PROTOCOL.sshsig and PROTOCOL.u2f).
    pub(crate) fn sign(&self, namespace: &str, message: &[u8]) -> String {
        let name = string(namespace.as_bytes());
        let hash = string(&Sha512::digest(message));
        let block = [b"SSHSIG".to_vec(), name.clone(), string(b""), string(b"sha512"), hash].concat();
        let (signed, tail) = match self.flags {
            None => (block, Vec::new()),
            Some(flags) => {
                let tail = [vec![flags], 7_u32.to_be_bytes().to_vec()].concat();
                let (app, block) = (Sha256::digest(APPLICATION).to_vec(), Sha256::digest(block).to_vec());
                ([app, tail.clone(), block].concat(), tail)
            }
        };
        let made = Signer::new_without_digest(&self.key).unwrap().sign_oneshot_to_vec(&signed).unwrap();
        let made = [string(self.kind().as_bytes()), string(&made), tail].concat();
        let head = [b"SSHSIG".to_vec(), 1_u32.to_be_bytes().to_vec(), string(&self.blob()), name].concat();
        let blob = [head, string(b""), string(b"sha512"), string(&made)].concat();
        let text = Base64::encode_string(&blob);
        let lines: Vec<_> = text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
    }
}

pub(crate) fn email(text: &str) -> Email {
    text.parse().unwrap()
}

/// Someone with these roles and keys.
pub(crate) fn person(name: &str, roles: &[Role], hands: &[&Hand]) -> Person {
    let key = |hand: &&Hand| SigningKey { public_key: hand.line(), valid_from: None, valid_to: None };
    Person {
        name: name.to_owned(),
        roles: roles.iter().copied().collect(),
        keys: hands.iter().map(key).collect(),
        encryption_key: None,
    }
}

/// Version 1, with these people.
pub(crate) fn roster(people: Vec<(&str, Person)>) -> Roster {
    let people = people.into_iter().map(|(address, person)| (email(address), person)).collect();
    Roster { schema: SCHEMA.to_owned(), version: 1, people }
}

/// Alice reviews, Bob administers, Carol packages, Dan approves for the board; seeds 1 to 4. Together they satisfy the default
/// policy.
pub(crate) fn four() -> (Roster, [Hand; 4]) {
    let hands = [1, 2, 3, 4].map(Hand::new);
    let [a, b, c, d] = &hands;
    let people = vec![
        ("alice@example.com", person("Alice", &[Role::SecurityReviewer], &[a])),
        ("bob@example.com", person("Bob", &[Role::PlatformAdmin], &[b])),
        ("carol@example.com", person("Carol", &[Role::PackagingEngineer], &[c])),
        ("dan@example.com", person("Dan", &[Role::CabApprover], &[d])),
    ];
    (roster(people), hands)
}

//! What closes the permit of a revocation.

use super::crl::delivery::Delivered;
use super::openpgp::ending::Ended;
use crate::gate::{Completes, sealed};
use crate::request::RevokeKey;
use serde_json::{Value, json};

/// A revocation that verifiers can learn of, as far as that is in our hands.
#[derive(Debug)]
pub struct Revoked {
    how: How,
    marks: u64,
}

#[derive(Debug)]
enum How {
    Listed(Box<Delivered>),
    InKeyring(Box<Ended>),
    Registered,
}

impl Revoked {
    /// By a list that is published. `marks` is how many artifacts depend on the key.
    pub fn listed(list: Delivered, marks: u64) -> Self {
        Revoked { how: How::Listed(Box::new(list)), marks }
    }

    /// By a revocation in its OpenPGP certificate.
    pub fn in_keyring(ended: Ended, marks: u64) -> Self {
        Revoked { how: How::InKeyring(Box::new(ended)), marks }
    }

    /// By nothing of ours: somebody outside issued the certificate, or nobody above it can speak any more.
    pub(crate) fn registered(marks: u64) -> Self {
        Revoked { how: How::Registered, marks }
    }
}

impl sealed::Sealed for Revoked {}

impl Completes<RevokeKey> for Revoked {
    fn done(&self) -> Value {
        let mut done = json!({ "resign_required": self.marks });
        match &self.how {
            How::Listed(list) => done["crl"] = list.value(),
            How::InKeyring(ended) => done["credential"] = json!(ended.credential()),
            How::Registered => {}
        }
        done
    }
}

//! A signature packet that is complete but for the signature, and so knows its digest.

use super::DigestSigner;
use super::key::{KeyPacket, hash, mechanism, numbers, pgp_hash, public_key, time, timestamp};
use super::plan::Signing;
use crate::clock::Time;
use crate::crypto::verify::PublicKey;
use crate::error::{Context, Error, Result};
use crate::model::{KeyAlgorithm, Mechanism, Signature, Tbs};
use sequoia_openpgp as openpgp;
use sequoia_openpgp::crypto::hash;
use sequoia_openpgp::crypto::mpi;
use sequoia_openpgp::packet::Signature as SignaturePacket;
use sequoia_openpgp::packet::signature::Signature4;
use sequoia_openpgp::packet::signature::subpacket::{Subpacket, SubpacketArea, SubpacketValue};
use sequoia_openpgp::types::SignatureType;

/// One signature to be made: which key, over what, and what it will say.
#[derive(Clone, Debug)]
pub struct Unsigned {
    packet: KeyPacket,
    public: PublicKey,
    algorithm: KeyAlgorithm,
    typ: SignatureType,
    hashed: SubpacketArea,
    unhashed: Vec<Subpacket>,
    digest: Vec<u8>,
    tbs: Tbs,
    says: Signing,
}

/// What goes into a signature besides the signer's own marks.
pub(crate) struct Body {
    /// The signature type (RFC 4880 §5.2.1).
    pub typ: SignatureType,
    /// When it is made.
    pub at: Time,
    /// Hashed subpackets besides creation time and issuer, with their critical bits.
    pub hashed: Vec<(SubpacketValue, bool)>,
    /// What people are told about it.
    pub says: Signing,
}

impl AsRef<Signing> for Unsigned {
    fn as_ref(&self) -> &Signing {
        &self.says
    }
}

impl Unsigned {
    /// Fixes the packet and computes its digest; `over` feeds what is signed besides the packet itself.
    ///
    /// # Errors
    /// `openpgp_algorithm` when the signer is not one of our algorithms; `openpgp_time` for times that do not fit,
    /// or lie before the signer was made.
    pub(crate) fn new(
        signer: &KeyPacket,
        body: Body,
        over: impl FnOnce(&SignaturePacket, &mut hash::Context) -> openpgp::Result<()>,
    ) -> Result<Self> {
        if time(signer.creation_time()) > body.at {
            let what = format!("{} would sign before it was made", signer.fingerprint());
            return Err(Error::usage("openpgp_time", what));
        }
        let public = public_key(signer)?;
        let algorithm = public.algorithm().ok_or_else(|| Error::bug("a checked key lost its algorithm"))?;
        let hashed = hashed_area(signer, &body)?;
        let trial = packet(algorithm, signer, body.typ, hashed.clone(), SubpacketArea::default(), [0; 2], blank());
        let digest = digest(algorithm, &trial, over)?;
        let tbs = match mechanism(algorithm) {
            Mechanism::Ed25519 => Tbs::message(Mechanism::Ed25519, &digest),
            mechanism => Tbs::digest(mechanism, digest.clone())?,
        };
        let mut says = body.says;
        says.signer = signer.fingerprint().to_hex();
        says.spki_sha256 = public.spki_hash().to_string();
        says.mechanism = tbs.mechanism();
        says.created = body.at;
        says.content = crate::model::hex(&tbs.content());
        Ok(Unsigned {
            packet: signer.clone(),
            public,
            algorithm,
            typ: body.typ,
            hashed,
            unhashed: Vec::new(),
            digest,
            tbs,
            says,
        })
    }

    /// The key that has to sign.
    pub fn signer(&self) -> &PublicKey {
        &self.public
    }

    /// What it has to sign.
    pub fn tbs(&self) -> &Tbs {
        &self.tbs
    }

    /// What the signature will say.
    pub fn says(&self) -> &Signing {
        &self.says
    }

    /// Adds subpackets that are not part of the digest, such as a back-signature that came in meanwhile.
    pub(crate) fn with_unhashed(mut self, value: SubpacketValue) -> Result<Self> {
        self.unhashed.push(subpacket(value, false)?);
        Ok(self)
    }

    /// Puts the signature in, after checking that it verifies.
    ///
    /// # Errors
    /// `bad_signature` when it is not the signer's signature over the digest.
    pub(crate) fn finish(&self, signature: &Signature) -> Result<SignaturePacket> {
        self.public.verify(&self.tbs, signature).map_err(|e| e.about(&self.says.signer))?;
        let prefix = match self.digest.as_slice() {
            [first, second, ..] => [*first, *second],
            _ => return Err(Error::bug("a digest of less than two bytes")),
        };
        let unhashed = SubpacketArea::new(self.unhashed.clone())
            .or_failed("openpgp_packet", || "the unhashed subpackets do not fit".into())?;
        let numbers = numbers(self.algorithm, signature)?;
        let made = packet(self.algorithm, &self.packet, self.typ, self.hashed.clone(), unhashed, prefix, numbers);
        made.verify_digest(&self.packet, self.digest.as_slice())
            .or_failed("bad_signature", || format!("{}: the signature packet does not verify", self.says.signer))?;
        Ok(made)
    }
}

/// Asks the right one of `signers` for each signature, in order.
///
/// # Errors
/// `missing_signer` when a key is not among them; whatever a signer answers.
pub fn sign_all(list: &[Unsigned], signers: &[&dyn DigestSigner]) -> Result<Vec<Signature>> {
    let one = |unsigned: &Unsigned| {
        let wanted = unsigned.public.spki();
        let signer = signers.iter().find(|signer| signer.public_key().spki() == wanted);
        let signer = signer.ok_or_else(|| {
            Error::usage("missing_signer", format!("no key given that signs for {}", unsigned.says.signer))
        })?;
        signer.sign(&unsigned.tbs)
    };
    list.iter().map(one).collect()
}

/// Pairs signatures with what they were asked for.
///
/// # Errors
/// A different number of signatures, or one that does not verify.
pub(crate) fn finish_all(list: &[Unsigned], signatures: &[Signature]) -> Result<Vec<SignaturePacket>> {
    if list.len() != signatures.len() {
        return Err(Error::bug(format!("{} signatures for {} digests", signatures.len(), list.len())));
    }
    list.iter().zip(signatures).map(|(unsigned, signature)| unsigned.finish(signature)).collect()
}

fn hashed_area(signer: &KeyPacket, body: &Body) -> Result<SubpacketArea> {
    let mut list = vec![subpacket(SubpacketValue::SignatureCreationTime(timestamp(body.at)?), true)?];
    for (value, critical) in &body.hashed {
        list.push(subpacket(value.clone(), *critical)?);
    }
    list.push(subpacket(SubpacketValue::IssuerFingerprint(signer.fingerprint()), false)?);
    list.push(subpacket(SubpacketValue::Issuer(signer.keyid()), false)?);
    SubpacketArea::new(list).or_failed("openpgp_packet", || "the hashed subpackets do not fit".into())
}

fn subpacket(value: SubpacketValue, critical: bool) -> Result<Subpacket> {
    Subpacket::new(value, critical).or_failed("openpgp_packet", || "a subpacket cannot be encoded".into())
}

fn packet(
    algorithm: KeyAlgorithm,
    signer: &KeyPacket,
    typ: SignatureType,
    hashed: SubpacketArea,
    unhashed: SubpacketArea,
    prefix: [u8; 2],
    numbers: mpi::Signature,
) -> SignaturePacket {
    let hash = pgp_hash(hash(algorithm));
    Signature4::new(typ, signer.pk_algo(), hash, hashed, unhashed, prefix, numbers).into()
}

/// Stands where the signature will be; it is not part of any digest.
fn blank() -> mpi::Signature {
    mpi::Signature::RSA { s: mpi::MPI::new(&[1]) }
}

fn digest(
    algorithm: KeyAlgorithm,
    trial: &SignaturePacket,
    over: impl FnOnce(&SignaturePacket, &mut hash::Context) -> openpgp::Result<()>,
) -> Result<Vec<u8>> {
    let compute = || {
        let mut context = pgp_hash(hash(algorithm)).context()?.for_signature(4);
        over(trial, &mut context)?;
        context.into_digest()
    };
    compute().or_failed("openpgp_digest", || "the digest cannot be computed".into())
}

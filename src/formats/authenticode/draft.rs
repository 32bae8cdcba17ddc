//! Making a signature: the attributes, what is to be signed, and the PKCS #7 around it.

use super::{AuthenticodeSignature, Content, MAX_DEPTH, MAX_SIGNATURES, OpusInfo, oid, parse};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::formats::cms::{self, Attribute, Certificate, SignedData, SignerInfo};
use crate::formats::tlv::{self, tag};
use crate::model::{HashAlgorithm, Mechanism, Signature, Tbs};

/// What may be said in a signature beside the digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Program name and URL.
    pub opus: OpusInfo,
    /// `signingTime`, the signer's own word; what counts is a timestamp.
    pub signing_time: Option<Time>,
}

/// A signature that lacks the signature only. The same input gives the same bytes, so an approval may lie between.
#[derive(Clone, Debug)]
pub struct Draft {
    content: Content,
    chain: Vec<Vec<u8>>,
    leaf: Certificate,
    attributes: Vec<Attribute>,
    tbs: Tbs,
}

impl Draft {
    /// Over this content, with the algorithm of the digest in it. `chain` is what goes into the signature, in DER, the
    /// signer's certificate first; its key says how the signature is made: PKCS#1 v1.5 or ECDSA.
    ///
    /// # Errors
    /// `no_certificate` for an empty chain; `malformed_der` for a certificate that cannot be read;
    /// `unsupported_mechanism` for a key that is neither RSA nor EC; `bad_program_name`, `bad_program_url`.
    pub fn new(content: Content, chain: &[Vec<u8>], options: &Options) -> Result<Self> {
        let certificates: Vec<_> = chain.iter().map(|der| Certificate::parse(der)).collect::<Result<_>>()?;
        let leaf = certificates.into_iter().next();
        let leaf = leaf.ok_or_else(|| Error::failed("no_certificate", "a signature needs the signer's certificate"))?;
        let hash = content.hash;
        let mechanism = mechanism_of(&leaf, hash)?;
        let octets = tlv::Tlv::parse(&content.der, "content")?.value;
        let mut attributes = vec![
            Attribute::one(cms::oid::CONTENT_TYPE, tlv::oid(content.oid)),
            Attribute::one(cms::oid::MESSAGE_DIGEST, tlv::wrap(tag::OCTET_STRING, &hash.digest(octets))),
            Attribute::one(oid::STATEMENT_TYPE, tlv::seq(&[&tlv::oid(oid::INDIVIDUAL)])),
            Attribute::one(oid::SP_OPUS_INFO, options.opus.to_der()?),
        ];
        attributes.extend(options.signing_time.map(|time| Attribute::one(cms::oid::SIGNING_TIME, tlv::time(time))));
        let tbs = Tbs::message(mechanism, &cms::signed_attributes(&attributes));
        Ok(Draft { content, chain: chain.to_vec(), leaf, attributes, tbs })
    }

    /// What the signer's key is to sign: the digest of the signed attributes.
    pub fn tbs(&self) -> &Tbs {
        &self.tbs
    }

    /// The finished PKCS #7, in DER.
    ///
    /// # Errors
    /// `bad_signature`: it does not verify with the first certificate's key.
    pub fn finish(self, signature: &Signature) -> Result<Vec<u8>> {
        self.leaf.public_key()?.verify(&self.tbs, signature)?;
        let signer = SignerInfo::new(
            &self.leaf,
            cms::encode_digest(self.content.hash),
            self.attributes,
            cms::encode_signature(self.tbs.mechanism())?,
            signature.0.clone(),
        );
        Ok(SignedData::new(self.content.oid, Some(self.content.der), &self.chain, signer).to_der())
    }
}

fn mechanism_of(leaf: &Certificate, hash: HashAlgorithm) -> Result<Mechanism> {
    let key = leaf.public_key()?;
    let mechanism = match key.key().id() {
        openssl::pkey::Id::RSA => Mechanism::RsaPkcs1(hash),
        openssl::pkey::Id::EC => Mechanism::Ecdsa(hash),
        openssl::pkey::Id::ED25519 => Mechanism::Ed25519,
        _ => return Err(Error::failed("unsupported_mechanism", "the certificate's key is neither RSA nor EC")),
    };
    cms::encode_signature(mechanism)?;
    Ok(mechanism)
}

/// The signature value of the primary signature: what a timestamp is over.
///
/// # Errors
/// Those of [`parse`].
pub fn signature_value(pkcs7: &[u8]) -> Result<Vec<u8>> {
    let (_, mut signer) = open(pkcs7)?;
    Ok(std::mem::take(&mut signer.signature))
}

/// Puts an RFC 3161 token into the primary signature, in the place of one it has.
///
/// # Errors
/// Those of [`parse`]; `malformed_der` for a token that is no element.
pub fn with_timestamp(pkcs7: &[u8], token: &[u8]) -> Result<Vec<u8>> {
    tlv::Tlv::parse(token, "timestamp token")?;
    let (mut signed, mut signer) = open(pkcs7)?;
    signer.set_unsigned(Attribute::one(oid::TIMESTAMP, token.to_vec()));
    signed.signers = vec![signer];
    Ok(signed.to_der())
}

/// Puts `inner` into `outer` as one more nested signature. Both keep their timestamps and what is nested in them.
///
/// # Errors
/// Those of [`parse`] for either; `too_many_signatures` if the result would not parse.
pub fn append_nested(outer: &[u8], inner: &[u8]) -> Result<Vec<u8>> {
    let added = parse(inner)?;
    let (mut signed, mut signer) = open(outer)?;
    let all = parse(outer)?.all().len() + added.all().len();
    if all > MAX_SIGNATURES || added.depth() >= MAX_DEPTH {
        return Err(Error::failed("too_many_signatures", format!("{all} signatures are more than a file may have")));
    }
    let existing = signer.unsigned.iter().filter(|attribute| attribute.oid == oid::NESTED);
    let mut values: Vec<_> = existing.flat_map(|attribute| attribute.values.clone()).collect();
    values.push(added.to_der());
    signer.set_unsigned(Attribute { oid: oid::NESTED, values });
    signed.signers = vec![signer];
    Ok(signed.to_der())
}

/// The SignedData of a signature, and its one SignerInfo.
fn open(pkcs7: &[u8]) -> Result<(SignedData, SignerInfo)> {
    let AuthenticodeSignature { mut signed, .. } = parse(pkcs7)?;
    let signer = signed.signers.pop().ok_or_else(|| Error::bug("a parsed signature has no signer"))?;
    Ok((signed, signer))
}

//! Reading a signature.

use super::{IndirectData, OpusInfo, oid};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::formats::cms::{self, Certificate, SignedData, SignerInfo, single};
use crate::formats::tlv::{Tlv, tag};

/// How deep signatures may be nested in one another.
pub const MAX_DEPTH: usize = 8;
/// How many signatures one PKCS #7 may hold in all.
pub const MAX_SIGNATURES: usize = 32;

/// One signature, and those nested in it.
#[derive(Clone, Debug)]
pub struct AuthenticodeSignature {
    /// The SignedData with its certificates.
    pub signed: SignedData,
    /// The content stands in an OCTET STRING, as CMS has it and Authenticode does not: .NET's SignedCms writes it so.
    pub wrapped: bool,
    /// What was hashed, and its digest; `None` if the content is something else, such as a catalog's list.
    pub data: Option<IndirectData>,
    /// Program name and URL, if the attribute is there.
    pub opus: Option<OpusInfo>,
    /// `signingTime`, if it is there.
    pub signing_time: Option<Time>,
    /// The signer's certificate, if it is there.
    pub certificate: Option<Certificate>,
    /// Timestamp.
    pub timestamp: TimestampKind,
    /// 1 for an outer signature, 2 for one nested in it, and so on.
    pub level: usize,
    /// Nested signatures.
    pub nested: Vec<AuthenticodeSignature>,
    /// How many bytes stand behind the PKCS #7, unless they are padding: data that no signature covers.
    pub trailing: usize,
}

/// Which timestamp a signature has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimestampKind {
    /// None.
    None,
    /// An RFC 3161 token, in DER or BER, unchecked.
    Rfc3161(Vec<u8>),
    /// A countersignature of the time before RFC 3161; reported, not verified.
    Legacy,
}

/// Reads a PKCS #7 and what is nested in it. Up to 7 zeros of padding may follow it; more is counted in
/// [`AuthenticodeSignature::trailing`].
///
/// # Errors
/// `malformed_der`, `malformed_cms`; `too_many_signatures` beyond [`MAX_DEPTH`] and [`MAX_SIGNATURES`].
pub fn parse(pkcs7: &[u8]) -> Result<AuthenticodeSignature> {
    parse_nested(pkcs7, 1, &mut 0)
}

fn parse_nested(pkcs7: &[u8], depth: usize, count: &mut usize) -> Result<AuthenticodeSignature> {
    *count += 1;
    if depth > MAX_DEPTH || *count > MAX_SIGNATURES {
        return Err(Error::failed("too_many_signatures", "signatures are nested too deep, or there are too many"));
    }
    let size = SignedData::encoded_len(pkcs7)?;
    let padding = pkcs7.get(size..).unwrap_or_default();
    let trailing = if padding.len() < 8 && padding.iter().all(|byte| *byte == 0) { 0 } else { padding.len() };
    let signed = SignedData::parse(pkcs7)?;
    let [signer] = signed.signers.as_slice() else {
        let message = format!("an Authenticode signature has one signer, not {}", signed.signers.len());
        return Err(Error::failed("malformed_cms", message));
    };
    let content = signed.content.as_deref().filter(|_| signed.content_type == oid::INDIRECT_DATA);
    let content = content.map(|content| Tlv::parse(content, "eContent")).transpose()?;
    let wrapped = content.as_ref().is_some_and(|content| content.tag == tag::OCTET_STRING);
    let data = content.map(|content| if wrapped { content.value } else { content.raw });
    let data = data.map(IndirectData::parse).transpose()?;
    let values = signer.unsigned.iter().filter(|attribute| attribute.oid == oid::NESTED);
    let nested = values.flat_map(|attribute| &attribute.values);
    Ok(AuthenticodeSignature {
        wrapped,
        data,
        opus: single(&signer.signed, oid::SP_OPUS_INFO)?.map(OpusInfo::parse).transpose()?,
        signing_time: signing_time(signer)?,
        certificate: signed.certificate_of(signer),
        timestamp: timestamp(signer)?,
        level: depth,
        nested: nested.map(|der| parse_nested(der, depth + 1, count)).collect::<Result<_>>()?,
        trailing,
        signed,
    })
}

fn signing_time(signer: &SignerInfo) -> Result<Option<Time>> {
    let value = single(&signer.signed, cms::oid::SIGNING_TIME)?;
    value.map(|value| Tlv::parse(value, "signingTime")?.time("signingTime")).transpose()
}

fn timestamp(signer: &SignerInfo) -> Result<TimestampKind> {
    let legacy = signer.unsigned.iter().any(|attribute| attribute.oid == cms::oid::COUNTERSIGNATURE);
    Ok(match single(&signer.unsigned, oid::TIMESTAMP)? {
        Some(token) => TimestampKind::Rfc3161(token.to_vec()),
        None if legacy => TimestampKind::Legacy,
        None => TimestampKind::None,
    })
}

impl AuthenticodeSignature {
    /// Its SignerInfo.
    ///
    /// # Errors
    /// None for a signature that [`parse`] made.
    pub fn signer(&self) -> Result<&SignerInfo> {
        self.signed.signers.first().ok_or_else(|| Error::bug("a parsed signature has no signer"))
    }

    /// This signature and all nested ones, outer before inner.
    pub fn all(&self) -> Vec<&AuthenticodeSignature> {
        let mut found = vec![self];
        found.extend(self.nested.iter().flat_map(AuthenticodeSignature::all));
        found
    }

    /// 1 without nested signatures, 2 with some, …
    pub fn depth(&self) -> usize {
        1 + self.nested.iter().map(AuthenticodeSignature::depth).max().unwrap_or(0)
    }

    /// The PKCS #7 again, without padding.
    pub fn to_der(&self) -> Vec<u8> {
        self.signed.to_der()
    }
}

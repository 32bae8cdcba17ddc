//! The values of the extensions we write, in DER (RFC 5280 §§4.2, 5.2).

use super::asn1::{self, tag};
use super::certificate::Extension;
use super::oid;
use super::profile::{Eku, Usage};
use crate::error::{Error, Result};
use const_oid::ObjectIdentifier;
use der::asn1::{Ia5String, OctetString};
use der::{Encode, flagset::FlagSet};
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies, CrlDistributionPoints,
    ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
    certpolicy::PolicyInformation,
    crl::dp::DistributionPoint,
    name::{DistributionPointName, GeneralName},
};

/// The longest URL that is written.
const MAX_URL: usize = 1024;

/// basicConstraints of a CA, critical.
pub(super) fn basic_constraints(path_len: Option<u8>) -> Result<Extension> {
    let value = BasicConstraints { ca: true, path_len_constraint: path_len };
    encode(oid::BASIC_CONSTRAINTS, true, &value)
}

/// keyUsage, critical.
pub(super) fn key_usage(usages: &[Usage]) -> Result<Extension> {
    let bits = usages.iter().fold(FlagSet::default(), |bits, usage| bits | usage.bit());
    encode(oid::KEY_USAGE, true, &KeyUsage(bits))
}

/// extKeyUsage.
pub(super) fn extended_key_usage(purposes: &[Eku], critical: bool) -> Result<Extension> {
    let value = ExtendedKeyUsage(purposes.iter().map(|p| p.oid()).collect());
    encode(oid::EXTENDED_KEY_USAGE, critical, &value)
}

/// subjectKeyIdentifier.
pub(super) fn subject_key_identifier(identifier: &[u8]) -> Result<Extension> {
    let value = SubjectKeyIdentifier(OctetString::new(identifier).map_err(bug)?);
    encode(oid::SUBJECT_KEY_IDENTIFIER, false, &value)
}

/// authorityKeyIdentifier with a keyIdentifier only.
pub(super) fn authority_key_identifier(identifier: &[u8]) -> Result<Extension> {
    let value = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(identifier).map_err(bug)?),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    };
    encode(oid::AUTHORITY_KEY_IDENTIFIER, false, &value)
}

/// cRLDistributionPoints with one URL.
pub(super) fn crl_distribution_points(url: &str) -> Result<Extension> {
    let point = DistributionPoint { distribution_point: Some(point_names([url])?), reasons: None, crl_issuer: None };
    encode(oid::CRL_DISTRIBUTION_POINTS, false, &CrlDistributionPoints(vec![point]))
}

/// authorityInfoAccess with one caIssuers URL.
pub(super) fn ca_issuers(url: &str) -> Result<Extension> {
    let access = x509_cert::ext::pkix::AccessDescription {
        access_method: oid::AD_CA_ISSUERS,
        access_location: general_name(url)?,
    };
    encode(oid::AUTHORITY_INFO_ACCESS, false, &AuthorityInfoAccessSyntax(vec![access]))
}

/// certificatePolicies without qualifiers.
pub(super) fn policies(identifiers: &[ObjectIdentifier]) -> Result<Extension> {
    let list =
        identifiers.iter().map(|oid| PolicyInformation { policy_identifier: *oid, policy_qualifiers: None }).collect();
    encode(oid::CERTIFICATE_POLICIES, false, &CertificatePolicies(list))
}

/// A marker: NULL, not critical, so that verifiers that do not know it go on.
pub(super) fn marker(oid: ObjectIdentifier) -> Extension {
    Extension::new(oid, false, asn1::tlv(tag::NULL, &[]))
}

/// DistributionPointName with URLs as full names, each for the same list.
pub(super) fn point_names<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<DistributionPointName> {
    Ok(DistributionPointName::FullName(urls.into_iter().map(general_name).collect::<Result<_>>()?))
}

fn general_name(url: &str) -> Result<GeneralName> {
    let bad = |why: &str| Error::usage("bad_url", format!("url {url:?}: {why}"));
    if !url.bytes().all(|b| b.is_ascii_graphic()) || url.len() > MAX_URL {
        return Err(bad("not plain ASCII, or too long"));
    }
    Ok(GeneralName::UniformResourceIdentifier(Ia5String::new(url).map_err(|_| bad("not plain ASCII"))?))
}

pub(super) fn encode(oid: ObjectIdentifier, critical: bool, value: &impl Encode) -> Result<Extension> {
    Ok(Extension::new(oid, critical, value.to_der().map_err(bug)?))
}

fn bug(error: der::Error) -> Error {
    Error::bug("an extension cannot be encoded").because(error)
}

/// The key identifier we give to keys: the first 160 bits of the SHA-256 of the subjectPublicKey (RFC 7093 §2).
///
/// # Errors
/// `malformed_der`.
pub fn key_identifier_of(spki: &[u8]) -> Result<Vec<u8>> {
    let mut outer = asn1::Elements::new(spki)?;
    let mut inner = outer.enter(tag::SEQUENCE, "subjectPublicKeyInfo")?;
    inner.take(tag::SEQUENCE, "algorithm")?;
    let key = inner.bits("subjectPublicKey")?;
    let hash = crate::model::Hash256::of(key);
    Ok(hash.0.into_iter().take(20).collect())
}

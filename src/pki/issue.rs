//! Issuing certificates in two phases (governance H3).
//!
//! A [`CertificatePlan`] becomes a [`Draft`], whose to-be-signed bytes are final. The draft is rehearsed: signed with a
//! throw-away key of the same type, read back by our parser and by OpenSSL's, and linted. Only the [`Linted`] value that
//! comes out gives a [`Tbs`], so bytes that were not rehearsed cannot reach a token; and only it takes the signature,
//! which it checks with the key in the issuer's *certificate*.

use super::algorithm;
use super::asn1::Instant;
use super::certificate::{Certificate, Extension, Fields};
use super::extension;
use super::lint::{self, Finding, Origin, Severity};
use super::name::Name;
use super::oid;
use super::profile::{Need, Profile, ProfileName, SandboxRelaxation};
use super::serial::Serial;
use super::unsigned::Unsigned;
use crate::clock::Time;
use crate::crypto::verify::PublicKey;
use crate::error::{Context, Error, Result};
use crate::model::{Environment, Hash256, Mechanism, Signature, Tbs};
use chrono::TimeDelta;
use const_oid::ObjectIdentifier;
use openssl::x509::X509;

/// Who signs.
#[derive(Clone, Debug)]
pub enum Issuer {
    /// The subject itself.
    SelfSigned,
    /// A CA of ours.
    Certificate {
        /// Its certificate; the subject's bytes become the issuer's.
        certificate: Box<Certificate>,
        /// The profile it was issued under, which says what it may issue.
        profile: ProfileName,
    },
}

impl Issuer {
    /// A CA of ours.
    pub fn ca(certificate: &Certificate, profile: ProfileName) -> Self {
        Issuer::Certificate { certificate: Box::new(certificate.clone()), profile }
    }
}

/// Validity, both ends inclusive, as the certificate will say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before: Time,
    /// Last second.
    pub not_after: Time,
}

impl Validity {
    /// Exactly that many days from `not_before`: the last second counts, so notAfter is a second earlier.
    ///
    /// # Errors
    /// `Usage` `bad_validity` for no days, or for a date beyond the calendar.
    pub fn days(not_before: Time, days: u32) -> Result<Self> {
        let length = TimeDelta::days(i64::from(days)) - TimeDelta::seconds(1);
        match not_before.checked_add_signed(length) {
            Some(not_after) if days > 0 => Ok(Validity { not_before, not_after }),
            _ => Err(Error::usage("bad_validity", format!("a certificate cannot be valid for {days} days"))),
        }
    }

    /// The same, cut where the issuer ends.
    pub fn within(self, issuer: &Certificate) -> Self {
        Validity { not_after: self.not_after.min(issuer.not_after()), ..self }
    }
}

/// Everything about a certificate that is to be issued; plain data.
#[derive(Clone, Debug)]
pub struct CertificatePlan {
    /// What kind it is.
    pub profile: ProfileName,
    /// Where; a sandbox relaxes the profile.
    pub environment: Environment,
    /// The subject.
    pub subject: Name,
    /// The subject's key.
    pub public_key: PublicKey,
    /// Who signs.
    pub issuer: Issuer,
    /// Reserved before.
    pub serial: Serial,
    /// From when until when.
    pub validity: Validity,
    /// Where the issuer's CRL will be (http).
    pub crl_url: Option<String>,
    /// Where the issuer's certificate will be (http, DER).
    pub aia_url: Option<String>,
    /// certificatePolicies; empty for the profile's own.
    pub policies: Vec<ObjectIdentifier>,
    /// How the issuer signs.
    pub mechanism: Mechanism,
}

/// A certificate whose to-be-signed bytes are final, not yet rehearsed.
#[derive(Clone, Debug)]
pub struct Draft {
    fields: Fields,
    unsigned: Unsigned,
    name: ProfileName,
    validity: Validity,
    profile: &'static Profile,
    relaxation: SandboxRelaxation,
    issuer: Option<Certificate>,
}

impl Draft {
    /// Builds the to-be-signed bytes.
    ///
    /// # Errors
    /// `issuer_may_not_issue` when the issuer's profile does not list this one; `mechanism_mismatch`; `bad_url`;
    /// `issuer_without_key_identifier`.
    pub fn new(plan: CertificatePlan) -> Result<Self> {
        let profile = Profile::get(plan.profile)?;
        let issuer = check_issuer(&plan, profile)?;
        let extensions = extensions(&plan, profile, issuer.as_ref())?;
        let subject = plan.subject.der().to_vec();
        let fields = Fields {
            version: 3,
            serial: plan.serial.as_bytes().to_vec(),
            algorithm: algorithm::identifier(plan.mechanism),
            issuer: issuer.as_ref().map_or_else(|| subject.clone(), |i| i.fields().subject.clone()),
            not_before: Instant::new(plan.validity.not_before),
            not_after: Instant::new(plan.validity.not_after),
            subject,
            spki: plan.public_key.spki().to_vec(),
            unique_ids: Vec::new(),
            extensions,
        };
        let signer = match &issuer {
            Some(issuer) => issuer.public_key()?,
            None => plan.public_key.clone(),
        };
        let unsigned = Unsigned::new(fields.encode(), plan.mechanism, signer)?;
        Ok(Draft {
            fields,
            unsigned,
            name: plan.profile,
            validity: plan.validity,
            profile,
            relaxation: SandboxRelaxation::of(plan.environment),
            issuer,
        })
    }

    /// What kind it is.
    pub fn profile(&self) -> ProfileName {
        self.name
    }

    /// Its serial number, lower-case hex.
    pub fn serial_hex(&self) -> String {
        crate::model::hex(&self.fields.serial)
    }

    /// From when until when.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The DER TBSCertificate, to be shown and stored; the [`Tbs`] to sign comes from [`rehearse`].
    pub fn tbs_der(&self) -> &[u8] {
        self.unsigned.der()
    }

    /// SHA-256 of [`Self::tbs_der`], which a request names once the key is known.
    pub fn tbs_hash(&self) -> Hash256 {
        Hash256::of(self.tbs_der())
    }

    /// SHA-256 of the TBSCertificate with an empty key and an empty subjectKeyIdentifier: what people can approve
    /// before the key is made. Everything else is in it, serial number and dates included. Between two roots either key
    /// may be the one to be made, so the authorityKeyIdentifier is empty there, too.
    pub fn template_hash(&self) -> Hash256 {
        let mut template = self.fields.clone();
        template.spki = super::asn1::sequence(&[]);
        let blank = |oid: ObjectIdentifier| {
            oid == oid::SUBJECT_KEY_IDENTIFIER || (self.profile.link && oid == oid::AUTHORITY_KEY_IDENTIFIER)
        };
        for extension in template.extensions.iter_mut().filter(|e| blank(e.oid)) {
            extension.value.clear();
        }
        Hash256::of(&template.encode())
    }

    /// What it will look like, signed by a throw-away key: for planning what comes after it. Nobody trusts it.
    ///
    /// # Errors
    /// As [`rehearse`], without its lint.
    pub fn specimen(&self) -> Result<Certificate> {
        Certificate::parse(&self.unsigned.with_throwaway_key()?.0)
    }

    fn lint(&self, certificate: &Certificate) -> Result<Vec<Finding>> {
        let context = lint::Context {
            profile: self.profile,
            issuer: self.issuer.as_ref(),
            relaxation: self.relaxation,
            origin: Origin::Issued,
        };
        lint::passed(lint::certificate(certificate, &context))
    }
}

/// May this issuer issue this? Gives the issuer's certificate, `None` if self-signed.
fn check_issuer(plan: &CertificatePlan, profile: &Profile) -> Result<Option<Certificate>> {
    let refuse = |who: &str| {
        let message = format!("issuer: {who} may not issue {} certificates", plan.profile);
        Err(Error::blocked("issuer_may_not_issue", message))
    };
    match &plan.issuer {
        Issuer::SelfSigned if profile.self_signed => Ok(None),
        Issuer::SelfSigned => refuse("the key itself"),
        Issuer::Certificate { certificate, profile: issuer } => {
            if Profile::get(*issuer)?.issues.contains(&plan.profile) {
                Ok(Some(certificate.as_ref().clone()))
            } else {
                refuse(&format!("a {issuer} certificate"))
            }
        }
    }
}

fn extensions(plan: &CertificatePlan, profile: &Profile, issuer: Option<&Certificate>) -> Result<Vec<Extension>> {
    let mut list = Vec::new();
    if profile.is_ca() {
        list.push(extension::basic_constraints(profile.path_len)?);
    }
    list.push(extension::key_usage(&profile.key_usage)?);
    if !profile.extended_key_usage.is_empty() {
        let critical = profile.extended_key_usage_critical;
        list.push(extension::extended_key_usage(&profile.extended_key_usage, critical)?);
    }
    list.push(extension::subject_key_identifier(&extension::key_identifier_of(plan.public_key.spki())?)?);
    if let Some(issuer) = issuer {
        let identifier = issuer.subject_key_identifier().ok_or_else(|| {
            Error::failed("issuer_without_key_identifier", "issuer: its certificate has no subjectKeyIdentifier")
        })?;
        list.push(extension::authority_key_identifier(&identifier)?);
    }
    let policies = if plan.policies.is_empty() { &profile.default_policies } else { &plan.policies };
    if profile.policies != Need::Forbidden && !policies.is_empty() {
        list.push(extension::policies(policies)?);
    }
    if profile.urls != Need::Forbidden {
        if let Some(url) = &plan.crl_url {
            list.push(extension::crl_distribution_points(url)?);
        }
        if let Some(url) = &plan.aia_url {
            list.push(extension::ca_issuers(url)?);
        }
    }
    list.extend(profile.marker.map(extension::marker));
    Ok(list)
}

/// Signs the draft with a throw-away key of the same type, reads it back twice and lints it.
///
/// # Errors
/// `Blocked` `lint` listing each broken rule; `rehearsal` when OpenSSL reads something else than we do.
pub fn rehearse(draft: Draft) -> Result<Linted> {
    let (der, throwaway) = draft.unsigned.with_throwaway_key()?;
    let certificate = Certificate::parse(&der)?;
    certificate.verify_signature(&throwaway)?;
    second_opinion(&certificate, &throwaway)?;
    let warnings = draft.lint(&certificate)?;
    Ok(Linted { draft, warnings })
}

/// OpenSSL must read the same certificate.
fn second_opinion(ours: &Certificate, signer: &PublicKey) -> Result<()> {
    let read = || -> std::result::Result<Vec<(&'static str, bool)>, openssl::error::ErrorStack> {
        let theirs = X509::from_der(ours.der())?;
        let fields = ours.fields();
        let time = |time: Time| openssl::asn1::Asn1Time::from_unix(time.timestamp());
        Ok(vec![
            ("certificate", theirs.to_der()? == ours.der()),
            ("serialNumber", theirs.serial_number().to_bn()?.to_vec() == fields.serial),
            ("issuer", theirs.issuer_name().to_der()? == fields.issuer),
            ("subject", theirs.subject_name().to_der()? == fields.subject),
            ("notBefore", *theirs.not_before() == time(ours.not_before())?),
            ("notAfter", *theirs.not_after() == time(ours.not_after())?),
            ("subjectPublicKeyInfo", theirs.public_key()?.public_key_to_der()? == fields.spki),
            (
                "subjectKeyIdentifier",
                theirs.subject_key_id().map(|id| id.as_slice().to_vec()) == ours.subject_key_identifier(),
            ),
            ("signature", theirs.verify(signer.key())?),
        ])
    };
    let compared = read().or_failed("rehearsal", || "the certificate cannot be read by OpenSSL".into())?;
    match compared.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((field, _)) => Err(Error::failed("rehearsal", format!("{field}: OpenSSL reads something else"))),
    }
}

/// A draft that was rehearsed and has no errors. Made by [`rehearse`] only.
#[derive(Debug)]
pub struct Linted {
    draft: Draft,
    warnings: Vec<Finding>,
}

impl Linted {
    /// What the issuer's key is to sign.
    pub fn tbs(&self) -> Tbs {
        self.draft.unsigned.tbs()
    }

    /// The draft.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Findings that do not stop issuing.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// Puts the certificate together after checking the signature with the key in the issuer's certificate (in the
    /// certificate itself if self-signed), reads it back, compares what was signed, and lints the real thing.
    ///
    /// # Errors
    /// `bad_signature`; `Blocked` `lint`; `Bug` when the bytes differ.
    pub fn assemble(&self, signature: &Signature) -> Result<Certificate> {
        let certificate = Certificate::parse(&self.draft.unsigned.seal(signature)?)?;
        if certificate.tbs() != self.draft.tbs_der() || certificate.fields() != &self.draft.fields {
            return Err(Error::bug("the certificate reads back differently"));
        }
        debug_assert!(self.warnings.iter().all(|w| w.severity == Severity::Warning));
        self.draft.lint(&certificate)?;
        Ok(certificate)
    }
}

#[cfg(test)]
mod tests;

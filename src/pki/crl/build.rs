//! Making CRLs, in the same two phases as certificates: a [`CrlDraft`] is rehearsed with a throw-away key, and only
//! [`LintedCrl`] gives what the CA's key signs. The form is governance C4.

use super::{Crl, Entry, Reason};
use crate::clock::Time;
use crate::crypto::verify::PublicKey;
use crate::error::{Context, Error, Result};
use crate::model::{Environment, Hash256, Mechanism, Signature, Tbs};
use crate::pki::algorithm;
use crate::pki::asn1::{self, Instant, tag};
use crate::pki::certificate::{self, Certificate, Extension};
use crate::pki::extension;
use crate::pki::lint::{self, Finding};
use crate::pki::oid;
use crate::pki::profile::SandboxRelaxation;
use crate::pki::unsigned::Unsigned;
use openssl::x509::X509Crl;
use x509_cert::ext::pkix::crl::dp::IssuingDistributionPoint;

/// A certificate that is on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Contents of its serialNumber INTEGER, as in the certificate.
    pub serial: Vec<u8>,
    /// From when on it counts as revoked; may lie before it was decided (CSBR 4.9.1).
    pub revocation_date: Time,
    /// Why.
    pub reason: Reason,
    /// If given, equal to `revocation_date` (CSBR 7.2.2).
    pub invalidity_date: Option<Time>,
}

/// What a CA's list is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// CA certificates: a root's list.
    CaCertificates,
    /// End-entity certificates: an issuing CA's list.
    UserCertificates,
}

/// Everything about a CRL that is to be issued; plain data.
#[derive(Clone, Debug)]
pub struct CrlPlan {
    /// Where; a sandbox may leave out the URLs.
    pub environment: Environment,
    /// The CA's certificate.
    pub issuer: Certificate,
    /// Strictly greater than every number before (governance C3).
    pub number: u64,
    /// thisUpdate.
    pub this_update: Time,
    /// nextUpdate.
    pub next_update: Time,
    /// All revoked certificates, in any order.
    pub entries: Vec<Revocation>,
    /// Which certificates it is about.
    pub scope: Scope,
    /// The URLs that the certificates name.
    pub urls: Vec<String>,
    /// How the CA signs.
    pub mechanism: Mechanism,
}

/// A CRL whose to-be-signed bytes are final, not yet rehearsed.
#[derive(Clone, Debug)]
pub struct CrlDraft {
    unsigned: Unsigned,
    issuer: Certificate,
    relaxation: SandboxRelaxation,
    entries: usize,
}

impl CrlDraft {
    /// Builds the to-be-signed bytes; entries are sorted by serial number, so that equal plans give equal bytes.
    ///
    /// # Errors
    /// `crl_entry` for certificateHold and removeFromCRL; `mechanism_mismatch`; `bad_url`;
    /// `issuer_without_key_identifier`.
    pub fn new(mut plan: CrlPlan) -> Result<Self> {
        plan.entries.sort_by(|a, b| (a.serial.len(), &a.serial).cmp(&(b.serial.len(), &b.serial)));
        let entries = plan.entries.iter().map(encode_entry).collect::<Result<Vec<_>>>()?;
        let entries = entries.concat();
        let list = if entries.is_empty() { Vec::new() } else { asn1::sequence(&[&entries]) };
        let tbs = asn1::sequence(&[
            &asn1::unsigned(&[1]),
            &algorithm::identifier(plan.mechanism),
            &plan.issuer.fields().subject,
            &Instant::new(plan.this_update).encode(),
            &Instant::new(plan.next_update).encode(),
            &list,
            &asn1::tlv(tag::context(0), &[&Extension::encode_list(&extensions(&plan)?)]),
        ]);
        Ok(CrlDraft {
            unsigned: Unsigned::new(tbs, plan.mechanism, plan.issuer.public_key()?)?,
            relaxation: SandboxRelaxation::of(plan.environment),
            entries: plan.entries.len(),
            issuer: plan.issuer,
        })
    }

    /// The DER TBSCertList, to be shown and stored; the [`Tbs`] to sign comes from [`rehearse`].
    pub fn tbs_der(&self) -> &[u8] {
        self.unsigned.der()
    }

    /// SHA-256 of [`Self::tbs_der`].
    pub fn tbs_hash(&self) -> Hash256 {
        Hash256::of(self.tbs_der())
    }

    /// The CA's certificate.
    pub fn issuer(&self) -> &Certificate {
        &self.issuer
    }

    /// How many certificates are on it.
    pub fn entries(&self) -> usize {
        self.entries
    }

    fn lint(&self, crl: &Crl) -> Result<Vec<Finding>> {
        lint::passed(lint::crl(crl, &self.issuer, self.relaxation))
    }
}

fn extensions(plan: &CrlPlan) -> Result<Vec<Extension>> {
    let identifier = plan.issuer.subject_key_identifier().ok_or_else(|| {
        Error::failed("issuer_without_key_identifier", "issuer: its certificate has no subjectKeyIdentifier")
    })?;
    let urls = plan.urls.iter().map(String::as_str);
    let point = IssuingDistributionPoint {
        distribution_point: if plan.urls.is_empty() { None } else { Some(extension::point_names(urls)?) },
        only_contains_user_certs: plan.scope == Scope::UserCertificates,
        only_contains_ca_certs: plan.scope == Scope::CaCertificates,
        only_some_reasons: None,
        indirect_crl: false,
        only_contains_attribute_certs: false,
    };
    Ok(vec![
        extension::authority_key_identifier(&identifier)?,
        Extension::new(oid::CRL_NUMBER, false, asn1::unsigned(&plan.number.to_be_bytes())),
        extension::encode(oid::ISSUING_DISTRIBUTION_POINT, true, &point)?,
    ])
}

fn encode_entry(revocation: &Revocation) -> Result<Vec<u8>> {
    let mut extensions = Vec::new();
    match revocation.reason {
        Reason::Unspecified => {}
        Reason::CertificateHold | Reason::RemoveFromCrl => {
            return Err(Error::usage("crl_entry", format!("reason: {} is never used", revocation.reason)));
        }
        reason => {
            let value = asn1::tlv(tag::ENUMERATED, &[&[reason.code()]]);
            extensions.push(Extension::new(oid::REASON_CODE, false, value));
        }
    }
    if let Some(date) = revocation.invalidity_date {
        // GeneralizedTime whatever the year (RFC 5280 §5.3.2).
        let value = Instant { time: date, utc_time: false }.encode();
        extensions.push(Extension::new(oid::INVALIDITY_DATE, false, value));
    }
    let extensions = if extensions.is_empty() { Vec::new() } else { Extension::encode_list(&extensions) };
    let date = Instant::new(revocation.revocation_date).encode();
    Ok(asn1::sequence(&[&asn1::tlv(tag::INTEGER, &[&revocation.serial]), &date, &extensions]))
}

/// Signs the draft with a throw-away key of the same type, reads it back twice and lints it.
///
/// # Errors
/// `Blocked` `lint` listing each broken rule; `rehearsal` when OpenSSL reads something else than we do.
pub fn rehearse(draft: CrlDraft) -> Result<LintedCrl> {
    let (der, throwaway) = draft.unsigned.with_throwaway_key()?;
    let crl = Crl::parse(&der)?;
    second_opinion(&crl, &throwaway)?;
    draft.lint(&crl)?;
    Ok(LintedCrl { draft, rehearsed: crl })
}

/// OpenSSL must read the same list.
fn second_opinion(ours: &Crl, signer: &PublicKey) -> Result<()> {
    let read = || -> std::result::Result<_, openssl::error::ErrorStack> {
        let theirs = X509Crl::from_der(ours.der())?;
        let revoked = theirs.get_revoked();
        let count = revoked.as_ref().map_or(0, |list| list.len());
        // OpenSSL sorts as it reads, so the serial numbers are compared as sets.
        let mut serials = Vec::with_capacity(count);
        for entry in revoked.iter().flat_map(|list| list.iter()) {
            serials.push(entry.serial_number().to_bn()?.to_vec());
        }
        serials.sort();
        let mut expected: Vec<Vec<u8>> = ours.entries().iter().map(magnitude).collect();
        expected.sort();
        let names = theirs.issuer_name().to_der()? == ours.issuer().der();
        Ok(names && serials == expected && theirs.verify(signer.key())?)
    };
    let same = read().or_failed("rehearsal", || "the CRL cannot be read by OpenSSL".into())?;
    if same { Ok(()) } else { Err(Error::failed("rehearsal", "CRL: OpenSSL reads something else")) }
}

fn magnitude(entry: &Entry) -> Vec<u8> {
    asn1::magnitude(&entry.serial).unwrap_or_default().to_vec()
}

/// A CRL draft that was rehearsed and has no errors. Made by [`rehearse`] only.
#[derive(Debug)]
pub struct LintedCrl {
    draft: CrlDraft,
    /// What it will look like, under a signature nobody trusts.
    rehearsed: Crl,
}

impl LintedCrl {
    /// What the CA's key is to sign.
    pub fn tbs(&self) -> Tbs {
        self.draft.unsigned.tbs()
    }

    /// The draft.
    pub fn draft(&self) -> &CrlDraft {
        &self.draft
    }

    /// Whether it may follow the list that is published now; see [`check_successor`].
    ///
    /// # Errors
    /// `crl_rollback`.
    pub fn check_follows(&self, old: &Crl, forgettable: impl Fn(&[u8]) -> bool) -> Result<()> {
        check_successor(old, &self.rehearsed, forgettable)
    }

    /// Puts the CRL together after checking the signature with the key in the CA's certificate, reads it back,
    /// compares what was signed, verifies it as any reader would and lints it.
    ///
    /// # Errors
    /// `bad_signature`; `Blocked` `lint`; `Bug` when the bytes differ.
    pub fn assemble(&self, signature: &Signature) -> Result<Crl> {
        let crl = Crl::parse(&self.draft.unsigned.seal(signature)?)?;
        if crl.tbs() != self.draft.tbs_der() || crl.entries().len() != self.draft.entries {
            return Err(Error::bug("the CRL reads back differently"));
        }
        crl.verify(&self.draft.issuer)?;
        crl.check_usable()?;
        self.draft.lint(&crl)?;
        Ok(crl)
    }
}

/// What a new list must not do to the one before it (governance C2, C3): go back in number or time, narrow its scope,
/// or forget a certificate. `forgettable` says of a serial number whether its retention has passed. A list that names
/// no URL is about all certificates of its kind, and URLs may be added.
///
/// # Errors
/// `Blocked` `crl_rollback` naming what went back.
pub fn check_successor(old: &Crl, new: &Crl, forgettable: impl Fn(&[u8]) -> bool) -> Result<()> {
    let refuse = |why: String| Err(Error::blocked("crl_rollback", format!("CRL: {why}")));
    let number = |crl: &Crl| crl.number().map(|n| (n.len(), n));
    if number(new) <= number(old) {
        return refuse("cRLNumber is not greater than the last one".into());
    }
    if new.this_update.time < old.this_update.time {
        return refuse("thisUpdate is before the last one".into());
    }
    if new.issuer != old.issuer || !keeps_scope(old, new)? {
        return refuse("another issuer or another scope".into());
    }
    match old.entries.iter().find(|e| new.find(&e.serial).is_none() && !forgettable(&e.serial)) {
        Some(lost) => refuse(format!("serial {} is no longer on it", crate::model::hex(&lost.serial))),
        None => Ok(()),
    }
}

fn keeps_scope(old: &Crl, new: &Crl) -> Result<bool> {
    let is_empty = old.entries.is_empty();
    let (Some(old), Some(new)) = (old.distribution_point()?, new.distribution_point()?) else { return Ok(false) };
    let kinds = |point: &IssuingDistributionPoint| (point.only_contains_user_certs, point.only_contains_ca_certs);
    let names = |point: &IssuingDistributionPoint| point.distribution_point.as_ref().map(certificate::urls);
    Ok(kinds(&old) == kinds(&new)
        && match (names(&old), names(&new)) {
            (_, None) => true,
            (None, Some(_)) => is_empty,
            (Some(old), Some(new)) => old.iter().all(|url| new.contains(url)),
        })
}

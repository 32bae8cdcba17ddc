//! All of it for one PE image: layout, digests in one pass, and a verdict on every signature.

use super::{AuthenticodeSignature, Computed, IndirectData, Report, Subject, check, oid, parse};
use crate::error::{Error, Result};
use crate::formats::cms::Digest;
use crate::formats::file::Finding;
use crate::formats::pe::{AuthenticodeHasher, ChecksumSink, Layout, PageHasher, PageHashes};
use crate::formats::{ReadAt, Sink, feed};
use crate::model::HashAlgorithm;

/// What verification of an image found.
#[derive(Clone, Debug)]
pub struct ImageReport {
    /// Oddities of the image, of its certificate table, and of what stands behind a signature.
    pub findings: Vec<Finding>,
    /// Each signature with its verdict: table entries in order, outer before nested. Empty if the image is not signed.
    pub signatures: Vec<(AuthenticodeSignature, Report)>,
    /// The image's digests, by each algorithm that its signatures use.
    pub digests: Vec<(HashAlgorithm, Vec<u8>)>,
}

impl ImageReport {
    /// There is a signature, and none has a fault.
    pub fn is_good(&self) -> bool {
        !self.signatures.is_empty() && self.signatures.iter().all(|(_, report)| report.is_good())
    }
}

/// Reads the signatures of an image, one for each Authenticode entry of its certificate table.
///
/// # Errors
/// Those of [`parse`], [`crate::formats::pe::Layout::parse`] and [`ReadAt`]; `too_many_signatures` as for one.
pub fn signatures(layout: &Layout, file: &dyn ReadAt) -> Result<Vec<AuthenticodeSignature>> {
    let entries = layout.certificates().iter().filter(|certificate| certificate.is_authenticode());
    let found: Vec<_> = entries.map(|entry| parse(&layout.read_certificate(file, entry)?)).collect::<Result<_>>()?;
    if found.iter().map(|signature| signature.all().len()).sum::<usize>() > super::MAX_SIGNATURES {
        return Err(Error::failed("too_many_signatures", "the image has too many signatures"));
    }
    Ok(found)
}

/// Verifies an image in one pass over its bytes.
///
/// # Errors
/// Those of [`signatures`]. A signature that is read but wrong is no error; it is in the report.
pub fn verify(file: &dyn ReadAt) -> Result<ImageReport> {
    verify_with(file, &mut [])
}

/// As [`verify`], handing every byte to further sinks in the same pass.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(file: &dyn ReadAt, extra: &mut [&mut dyn Sink]) -> Result<ImageReport> {
    let layout = Layout::parse(file)?;
    let signatures = signatures(&layout, file)?;
    let all: Vec<_> = signatures.iter().flat_map(AuthenticodeSignature::all).collect();
    let mut findings = layout.findings().to_vec();
    findings.extend(signatures.iter().filter(|signature| signature.trailing > 0).map(|signature| Finding {
        code: "pe_bytes_after_signature",
        message: format!("{} bytes stand behind the PKCS #7 of a signature", signature.trailing),
        blocks_signing: false,
    }));
    findings.extend(all.iter().flat_map(|signature| oddities(signature)));
    let (digests, pages) = digests(&layout, file, &all, &mut findings, extra)?;
    let computed = Computed { digests: &digests, pages: pages.as_ref() };
    let judged = all.into_iter().map(|signature| {
        let mut report = check(signature, &computed);
        if let Some(IndirectData { subject, .. }) =
            signature.data.as_ref().filter(|data| matches!(data.subject, Subject::Cabinet | Subject::Sip { .. }))
        {
            let detail = format!("the signature is over {subject}, not over a PE image");
            report.file_digest = super::Verdict::Bad(super::Fault::ContentMismatch, detail);
        }
        (AuthenticodeSignature { nested: Vec::new(), ..signature.clone() }, report)
    });
    let signatures = judged.collect();
    Ok(ImageReport { findings, signatures, digests })
}

/// What is unusual in the form of a signature, though it says all that others do.
fn oddities(signature: &AuthenticodeSignature) -> Vec<Finding> {
    let find = |code, message| Finding { code, message, blocks_signing: false };
    let mut found = Vec::new();
    if signature.wrapped {
        let message = "a signature's content is wrapped in an OCTET STRING, as CMS has it and Authenticode does not";
        found.push(find("pe_wrapped_content", message.to_owned()));
    }
    if let Some(IndirectData { subject: Subject::Other(kind), .. }) = &signature.data {
        let message = format!("a signature names the kind of its file {kind}, where {} is usual", oid::PE_IMAGE_DATA);
        found.push(find("pe_unusual_kind", message));
    }
    found
}

type Digests = Vec<(HashAlgorithm, Vec<u8>)>;

/// The digests and page hashes that these signatures speak of; a wrong CheckSum becomes a finding.
fn digests(
    layout: &Layout,
    file: &dyn ReadAt,
    signatures: &[&AuthenticodeSignature],
    findings: &mut Vec<Finding>,
    extra: &mut [&mut dyn Sink],
) -> Result<(Digests, Option<PageHashes>)> {
    let data: Vec<&IndirectData> = signatures.iter().filter_map(|signature| signature.data.as_ref()).collect();
    let uses = |hash: &HashAlgorithm| data.iter().any(|data| data.algorithm.digest() == Digest::Strong(*hash));
    let hashes = HashAlgorithm::ALL.iter().copied().filter(uses);
    let mut hashers: Vec<_> = hashes.map(|hash| AuthenticodeHasher::new(layout, hash)).collect();
    let with_pages = data.iter().any(|data| data.pages.is_some());
    let mut pages = if with_pages { PageHasher::new(layout).ok() } else { None };
    let mut checksum = ChecksumSink::new(layout);
    let mut sinks: Vec<&mut dyn Sink> = vec![&mut checksum];
    sinks.extend(hashers.iter_mut().map(|hasher| hasher as &mut dyn Sink));
    sinks.extend(pages.iter_mut().map(|hasher| hasher as &mut dyn Sink));
    for sink in extra {
        sinks.push(*sink);
    }
    feed(file, &mut sinks)?;
    let right = checksum.finish().checksum();
    let stored = layout.stored_checksum();
    if stored != right && stored != 0 {
        let message = format!("CheckSum is {stored:#010x}, it should be {right:#010x}");
        findings.push(Finding { code: "pe_wrong_checksum", message, blocks_signing: false });
    }
    let digests = hashers.into_iter().map(|hasher| (hasher.algorithm(), hasher.finish())).collect();
    Ok((digests, pages.map(PageHasher::finish)))
}

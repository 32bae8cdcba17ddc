//! PE images as files that are signed: [`Format`]'s questions, answered with [`crate::formats::pe`] for the image and
//! the modules beside this one for the signature.

use super::image::{self, verify_with};
use super::{
    AuthenticodeSignature, Content, Draft, Fault, Options, OpusInfo, append_nested, signature_value, with_timestamp,
};
use crate::error::{Error, Kind, Result};
use crate::formats::file::{self, Edits, Examined, Existing, Format, Made, Reading, Shape, Stripped, Stripping};
use crate::formats::pe::{AuthenticodeHasher, ChecksumSink, Layout, Original, PageHasher, Sums};
use crate::formats::{ReadAt, Sink};
use crate::model::{HashAlgorithm, Signature, Tbs, hex, unhex};
use crate::request;
use serde_json::{Value, json};

/// Findings that are bytes which no signature covers, or a file that readers take apart differently.
const UNCOVERED: &[&str] = &[
    "pe_bytes_after_table",
    "pe_bytes_after_certificates",
    "pe_bytes_after_signature",
    "pe_other_certificate",
    "pe_section_beyond_end",
    "pe_section_overlaps_table",
];
/// Findings about a certificate table, which signing writes anew.
const OF_THE_TABLE: &[&str] = &["pe_empty_directory", "pe_wrong_checksum"];
/// What a signature with its certificates and its timestamp may need beside page hashes.
const ROOM: u64 = 64 << 10;

/// Portable Executable images: exe, dll, sys, efi, …
#[derive(Debug)]
pub struct PortableExecutable;

impl Format for PortableExecutable {
    fn which(&self) -> request::Format {
        request::Format::Pe
    }

    fn begins(&self, head: &[u8; 8]) -> bool {
        head.starts_with(b"MZ")
    }

    fn open(&self, file: &dyn ReadAt, shape: &Shape) -> Result<Box<dyn Reading>> {
        let layout = Layout::parse(file)?;
        layout.signable()?;
        let outer = outer(file, &layout, shape.existing)?;
        let room = ROOM + outer.iter().map(|signature| signature.len() as u64).sum::<u64>();
        layout.has_room_for(room, shape.page_hashes)?;
        if shape.existing == Existing::Append {
            sound(file)?;
        }
        Ok(Box::new(Image {
            outer,
            digest: AuthenticodeHasher::new(&layout, shape.hash),
            beside: Beside {
                checksum: ChecksumSink::new(&layout),
                pages: if shape.page_hashes { Some(PageHasher::new(&layout)?) } else { None },
            },
            opus: OpusInfo { program_name: shape.program_name.clone(), url: shape.program_url.clone() },
            hash: shape.hash,
            layout,
        }))
    }

    fn strip(&self, file: &dyn ReadAt) -> Result<Box<dyn Stripping>> {
        let layout = Layout::parse(file)?;
        Ok(Box::new(Signed { checksum: ChecksumSink::new(&layout), layout }))
    }

    fn is_signed(&self, file: &dyn ReadAt) -> Result<bool> {
        Ok(Layout::parse(file)?.table().is_some_and(|table| !table.is_empty()))
    }

    fn examine(&self, file: &dyn ReadAt, extra: &mut [&mut dyn Sink]) -> Result<Examined> {
        let judged = verify_with(file, extra)?;
        let (uncovered, notes) = judged.findings.into_iter().partition(|finding| UNCOVERED.contains(&finding.code));
        Ok(Examined { signatures: judged.signatures, uncovered, notes })
    }
}

/// Refuses a file whose signatures are to stay though [`Format::examine`] finds fault with them. A weak one may get a
/// better one beside it.
fn sound(file: &dyn ReadAt) -> Result<()> {
    let Examined { signatures, uncovered, .. } = PortableExecutable.examine(file, &mut [])?;
    let faults = signatures.iter().filter_map(|(_, report)| report.fault()).filter(|(fault, _)| *fault != Fault::Weak);
    let words = uncovered.iter().map(|finding| finding.message.as_str()).chain(faults.map(|(_, words)| words)).next();
    words.map_or(Ok(()), |words| {
        let message =
            format!("the signature that is there does not verify, and another one would not mend it: {words}");
        Err(Error::failed("not_verifying", message).hint("--replace takes the old signature out"))
    })
}

/// The signatures that stay, if ours is to be nested into the first of them.
fn outer(file: &dyn ReadAt, layout: &Layout, existing: Existing) -> Result<Vec<Vec<u8>>> {
    let signatures = image::signatures(layout, file)?;
    let foreign = signatures.is_empty() && layout.table().is_some();
    match (signatures.is_empty(), existing) {
        (true, Existing::Append | Existing::Refuse) if foreign => {
            let found = layout.findings().iter().find(|finding| UNCOVERED.contains(&finding.code));
            let words = found.map_or("nothing that is known here", |finding| finding.message.as_str());
            let message = format!("the certificate table holds no Authenticode signature and would be lost: {words}");
            Err(Error::failed("pe_other_certificate", message).hint("--replace takes all of it out"))
        }
        (true, Existing::Append) => {
            Err(Error::usage("not_signed", "there is no signature to append to").hint("leave --append out"))
        }
        (true, _) | (false, Existing::Replace) => Ok(Vec::new()),
        (false, Existing::Append) if signatures.len() != layout.certificates().len() => {
            let message = "the certificate table holds what is no Authenticode signature and would be lost";
            Err(Error::failed("pe_other_certificate", message).hint("--replace takes all of it out"))
        }
        (false, Existing::Append) => Ok(signatures.iter().map(AuthenticodeSignature::to_der).collect()),
        (false, Existing::Refuse) => Err(Error::failed("already_signed", "the file is signed already")
            .hint("--replace takes the old signature out, --append adds another")),
    }
}

/// An image that is about to be read.
struct Image {
    layout: Layout,
    outer: Vec<Vec<u8>>,
    digest: AuthenticodeHasher,
    beside: Beside,
    opus: OpusInfo,
    hash: HashAlgorithm,
}

/// The cheap sink and the rare one, on one thread.
struct Beside {
    checksum: ChecksumSink,
    pages: Option<PageHasher>,
}

impl Sink for Beside {
    fn update(&mut self, bytes: &[u8]) {
        self.checksum.update(bytes);
        if let Some(pages) = &mut self.pages {
            pages.update(bytes);
        }
    }
}

impl Reading for Image {
    fn sinks(&mut self) -> Vec<&mut dyn Sink> {
        vec![&mut self.digest, &mut self.beside]
    }

    fn finish(self: Box<Self>, chain: &[Vec<u8>]) -> Result<Box<dyn file::Draft>> {
        let Image { layout, outer, digest, beside, opus, hash } = *self;
        let digest = digest.finish();
        let pages = beside.pages.map(PageHasher::finish);
        let content = Content::pe_image(hash, &digest, pages.as_ref());
        let draft = Draft::new(content, chain, &Options { opus, signing_time: None })?;
        Ok(Box::new(Drafted { draft, image: Read { layout, outer, sums: beside.checksum.finish(), hash, digest } }))
    }
}

/// An image that was read.
#[derive(Debug)]
struct Read {
    layout: Layout,
    /// The signatures that stay: ours is nested into the first of them.
    outer: Vec<Vec<u8>>,
    sums: Sums,
    hash: HashAlgorithm,
    digest: Vec<u8>,
}

#[derive(Debug)]
struct Drafted {
    draft: Draft,
    image: Read,
}

impl file::Draft for Drafted {
    fn tbs(&self) -> &Tbs {
        self.draft.tbs()
    }

    fn notes(&self) -> Vec<String> {
        let stay = self.image.layout.findings().iter().filter(|finding| !OF_THE_TABLE.contains(&finding.code));
        stay.filter(|finding| !UNCOVERED.contains(&finding.code)).map(|finding| finding.message.clone()).collect()
    }

    fn content_digest(&self) -> String {
        format!("{}:{}", self.image.hash, hex(&self.image.digest))
    }

    fn original(&self) -> Option<Value> {
        let original = self.image.layout.original()?;
        Some(json!({
            "size": original.len,
            "checksum": original.checksum,
            "directory": hex(&original.directory),
        }))
    }

    fn finish(self: Box<Self>, signature: &Signature) -> Result<Box<dyn Made>> {
        let Drafted { draft, image } = *self;
        Ok(Box::new(Pkcs7 { der: draft.finish(signature)?, image }))
    }
}

/// A PKCS #7 over an image.
struct Pkcs7 {
    der: Vec<u8>,
    image: Read,
}

impl Made for Pkcs7 {
    fn stamp(&mut self, token: &[u8]) -> Result<()> {
        self.der = with_timestamp(&self.der, token)?;
        Ok(())
    }

    fn attach(&self) -> Result<Edits> {
        let Read { layout, outer, sums, .. } = &self.image;
        let table = match outer.split_first() {
            Some((first, others)) => {
                std::iter::once(append_nested(first, &self.der)?).chain(others.iter().cloned()).collect()
            }
            None => vec![self.der.clone()],
        };
        layout.attach_all(&table.iter().map(Vec::as_slice).collect::<Vec<_>>(), sums)
    }

    fn check(&self, file: &dyn ReadAt, whole: &mut dyn Sink) -> Result<()> {
        let wrong = |what: &str| {
            Error::new(Kind::Bug, "self_check_failed", format!("the written file does not verify: {what}"))
        };
        let report = verify_with(file, &mut [whole])?;
        let (_, verdict) = report
            .signatures
            .iter()
            .find(|(signature, _)| is_ours(signature, &self.der))
            .ok_or_else(|| wrong("our signature is not in it"))?;
        if let Some((fault, detail)) = verdict.fault() {
            return Err(wrong(&format!("{}: {detail}", fault.as_str())));
        }
        if !verdict.is_good() {
            return Err(wrong("a part could not be checked"));
        }
        if report.findings.iter().any(|finding| finding.code == "pe_wrong_checksum") {
            return Err(wrong("the CheckSum"));
        }
        let Read { hash, digest, .. } = &self.image;
        if !report.digests.iter().any(|(algorithm, found)| algorithm == hash && found == digest) {
            return Err(wrong("its digest is another than was signed"));
        }
        Ok(())
    }
}

fn is_ours(signature: &AuthenticodeSignature, ours: &[u8]) -> bool {
    let value = |pkcs7: &[u8]| signature_value(pkcs7).ok();
    value(&signature.to_der()) == value(ours)
}

/// An image whose signatures are to come out.
struct Signed {
    layout: Layout,
    checksum: ChecksumSink,
}

impl Stripping for Signed {
    fn sink(&mut self) -> &mut dyn Sink {
        &mut self.checksum
    }

    fn finish(self: Box<Self>, file: &dyn ReadAt, original: Option<&Value>) -> Result<Stripped> {
        let original = original.and_then(read_original);
        let edits = self.layout.remove(file, original.as_ref(), &self.checksum.finish())?;
        Ok(Stripped { edits, is_original: original.is_some() })
    }
}

fn read_original(original: &Value) -> Option<Original> {
    let number = |name: &str| original.get(name).and_then(Value::as_u64);
    Some(Original {
        len: number("size")?,
        checksum: u32::try_from(number("checksum")?).ok()?,
        directory: unhex(original.get("directory")?.as_str()?)?.try_into().ok()?,
    })
}

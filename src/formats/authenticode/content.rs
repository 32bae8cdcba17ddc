//! What a signature is over: SpcIndirectDataContent, and the attribute SpcSpOpusInfo that names the program.

use super::oid;
use crate::error::{Error, Result};
use crate::formats::cms::{self, AlgorithmId};
use crate::formats::pe::{PageHashVersion, PageHashes};
use crate::formats::tlv::{self, Tlv, malformed, tag};
use crate::model::{HashAlgorithm, hex};
use const_oid::ObjectIdentifier;
use std::fmt;

/// Class of the SpcSerializedObject that carries page hashes.
const PAGE_HASH_CLASS: [u8; 16] =
    [0xa6, 0xb5, 0x86, 0xd5, 0xb4, 0xa1, 0x24, 0x66, 0xae, 0x05, 0xa2, 0x17, 0xda, 0x8e, 0x60, 0xd6];

/// The content of a new signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// `eContentType`.
    pub oid: ObjectIdentifier,
    /// The element in `eContent`, DER.
    pub der: Vec<u8>,
    /// The algorithm of the digest in it, and of the signature.
    pub hash: HashAlgorithm,
}

impl Content {
    /// A PE image with this digest, and page hashes if there are any.
    pub fn pe_image(hash: HashAlgorithm, digest: &[u8], pages: Option<&PageHashes>) -> Self {
        let link = match pages {
            None => tlv::wrap(tag::constructed(2), &tlv::wrap(tag::primitive(0), b"")),
            Some(pages) => serialized_object(pages),
        };
        // SpcPeImageData { flags BIT STRING, file [0] EXPLICIT SpcLink }
        let data = tlv::seq(&[&[tag::BIT_STRING, 1, 0], &tlv::wrap(tag::constructed(0), &link)]);
        Self::indirect(oid::PE_IMAGE_DATA, &data, hash, digest)
    }

    /// A cabinet with this digest.
    pub fn cabinet(hash: HashAlgorithm, digest: &[u8]) -> Self {
        let link = tlv::wrap(tag::constructed(2), &tlv::wrap(tag::primitive(0), b""));
        let data = tlv::seq(&[&[tag::BIT_STRING, 1, 0], &tlv::wrap(tag::constructed(0), &link)]);
        Self::indirect(oid::CAB_DATA, &data, hash, digest)
    }

    /// A file of another kind, named by the class of the subject interface package that reads it (SpcSipInfo). `class` is
    /// the GUID as its bytes stand in the file.
    pub fn sip(version: u32, class: [u8; 16], hash: HashAlgorithm, digest: &[u8]) -> Self {
        let zeros = tlv::unsigned(&[0]).repeat(5);
        let data = tlv::seq(&[&tlv::unsigned(&version.to_be_bytes()), &tlv::wrap(tag::OCTET_STRING, &class), &zeros]);
        Self::indirect(oid::SIP_INFO, &data, hash, digest)
    }

    fn indirect(subject: ObjectIdentifier, data: &[u8], hash: HashAlgorithm, digest: &[u8]) -> Self {
        let subject = tlv::seq(&[&tlv::oid(subject), data]);
        let info = tlv::seq(&[&cms::encode_digest(hash).to_der(), &tlv::wrap(tag::OCTET_STRING, digest)]);
        Content { oid: oid::INDIRECT_DATA, der: tlv::seq(&[&subject, &info]), hash }
    }
}

/// SpcLink moniker [1] SpcSerializedObject { classId, serializedData }, the data a SET of one attribute.
fn serialized_object(pages: &PageHashes) -> Vec<u8> {
    let version = match pages.version {
        PageHashVersion::V1 => oid::PAGE_HASHES_V1,
        PageHashVersion::V2 => oid::PAGE_HASHES_V2,
    };
    let table = tlv::wrap(tag::SET, &tlv::wrap(tag::OCTET_STRING, &pages.table));
    let data = tlv::wrap(tag::SET, &tlv::seq(&[&tlv::oid(version), &table]));
    let class = tlv::wrap(tag::OCTET_STRING, &PAGE_HASH_CLASS);
    tlv::wrap(tag::constructed(1), &[class, tlv::wrap(tag::OCTET_STRING, &data)].concat())
}

/// What kind of file a signature says it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A PE image.
    PeImage,
    /// A cabinet.
    Cabinet,
    /// A file with this version and class.
    Sip {
        /// `dwSIPversion`.
        version: u32,
        /// The GUID as its bytes stand in the file.
        class: [u8; 16],
    },
    /// Something else.
    Other(ObjectIdentifier),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::PeImage => f.write_str("a PE image"),
            Subject::Cabinet => f.write_str("a cabinet"),
            Subject::Sip { class, .. } => write!(f, "a file of the class {}", hex(class)),
            Subject::Other(kind) => write!(f, "a file of the kind {kind}"),
        }
    }
}

/// SpcIndirectDataContent, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndirectData {
    /// Kind of file.
    pub subject: Subject,
    /// Algorithm of `digest`.
    pub algorithm: AlgorithmId,
    /// The file's digest.
    pub digest: Vec<u8>,
    /// Page hashes, if there are any.
    pub pages: Option<PageHashes>,
}

impl IndirectData {
    /// Reads the element in `eContent`.
    ///
    /// # Errors
    /// `malformed_der`.
    pub fn parse(der: &[u8]) -> Result<Self> {
        let mut outer = Tlv::sequence(der, "SpcIndirectDataContent")?;
        let mut data = outer.expect(tag::SEQUENCE, "data")?.inside("SpcAttributeTypeAndOptionalValue");
        let kind = data.any()?.oid("SpcAttributeTypeAndOptionalValue.type")?;
        let value = if data.is_empty() { None } else { Some(data.any()?) };
        data.finish()?;
        let mut info = outer.expect(tag::SEQUENCE, "messageDigest")?.inside("DigestInfo");
        outer.finish()?;
        let algorithm = AlgorithmId::parse(&info.any()?)?;
        let digest = info.expect(tag::OCTET_STRING, "digest")?.value.to_vec();
        info.finish()?;
        let (subject, pages) = match (kind, value) {
            (oid::PE_IMAGE_DATA, Some(value)) => (Subject::PeImage, parse_image_data(&value)?),
            (oid::CAB_DATA, _) => (Subject::Cabinet, None),
            (oid::SIP_INFO, Some(value)) => (parse_sip(&value)?, None),
            (kind, _) => (Subject::Other(kind), None),
        };
        Ok(IndirectData { subject, algorithm, digest, pages })
    }
}

fn parse_sip(value: &Tlv<'_>) -> Result<Subject> {
    let mut reader = value.as_sequence("SpcSipInfo")?;
    let version = reader.any()?.small("dwSIPversion")?;
    let class = reader.expect(tag::OCTET_STRING, "gSIPguid")?.value;
    let class = class.try_into().map_err(|_| malformed("gSIPguid", "not 16 bytes"))?;
    Ok(Subject::Sip { version, class })
}

fn parse_image_data(value: &Tlv<'_>) -> Result<Option<PageHashes>> {
    let mut reader = value.as_sequence("SpcPeImageData")?;
    reader.optional(tag::BIT_STRING)?;
    let Some(file) = reader.optional(tag::constructed(0))? else {
        return reader.finish().map(|()| None);
    };
    reader.finish()?;
    let link = Tlv::parse(file.value, "SpcPeImageData.file")?;
    if link.tag != tag::constructed(1) {
        return Ok(None);
    }
    let mut object = link.inside("SpcSerializedObject");
    let class = object.expect(tag::OCTET_STRING, "classId")?.value;
    let data = object.expect(tag::OCTET_STRING, "serializedData")?.value;
    object.finish()?;
    if class != PAGE_HASH_CLASS {
        return Err(malformed("SpcSerializedObject.classId", "not the class of page hashes"));
    }
    let attribute = Tlv::parse(Tlv::parse(data, "serializedData")?.value, "serializedData")?;
    let mut attribute = attribute.as_sequence("serializedData")?;
    let version = match attribute.any()?.oid("serializedData.type")? {
        oid::PAGE_HASHES_V1 => PageHashVersion::V1,
        oid::PAGE_HASHES_V2 => PageHashVersion::V2,
        _ => return Err(malformed("serializedData", "not page hashes of a known version")),
    };
    let table = Tlv::parse(attribute.expect(tag::SET, "page hashes")?.value, "page hashes")?;
    attribute.finish()?;
    if table.tag != tag::OCTET_STRING {
        return Err(malformed("page hashes", "not an OCTET STRING"));
    }
    Ok(Some(PageHashes { version, table: table.value.to_vec() }))
}

/// SpcSpOpusInfo: the program's name and where to read more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpusInfo {
    /// Program name. From a foreign signature it is to be escaped before printing.
    pub program_name: Option<String>,
    /// URL. The same.
    pub url: Option<String>,
}

/// Longest name or URL that is written, in UTF-16 units or bytes.
const MAX_TEXT: usize = 1024;

impl OpusInfo {
    /// DER.
    ///
    /// # Errors
    /// `bad_program_name`: empty, longer than 1024 UTF-16 units, or with control characters; `bad_program_url`: not a
    /// printable ASCII `http://` or `https://` URL of up to 1024 bytes.
    pub fn to_der(&self) -> Result<Vec<u8>> {
        let mut parts = Vec::new();
        if let Some(name) = &self.program_name {
            let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
            if units.is_empty() || units.len() > 2 * MAX_TEXT || name.chars().any(char::is_control) {
                return Err(Error::usage(
                    "bad_program_name",
                    "the program name is empty, too long or has control characters",
                ));
            }
            // SpcString unicode [0] IMPLICIT BMPString
            parts.extend(tlv::wrap(tag::constructed(0), &tlv::wrap(tag::primitive(0), &units)));
        }
        if let Some(url) = &self.url {
            let scheme = url.starts_with("https://") || url.starts_with("http://");
            if !scheme || url.len() > MAX_TEXT || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Error::usage("bad_program_url", "the program's URL is not a printable http or https URL"));
            }
            // SpcLink url [0] IMPLICIT IA5String
            parts.extend(tlv::wrap(tag::constructed(1), &tlv::wrap(tag::primitive(0), url.as_bytes())));
        }
        Ok(tlv::wrap(tag::SEQUENCE, &parts))
    }

    /// Reads an attribute value.
    ///
    /// # Errors
    /// `malformed_der`.
    pub fn parse(der: &[u8]) -> Result<Self> {
        let mut reader = Tlv::sequence(der, "SpcSpOpusInfo")?;
        let name = reader.optional(tag::constructed(0))?;
        let link = reader.optional(tag::constructed(1))?;
        reader.finish()?;
        let program_name = name.map(|name| Tlv::parse(name.value, "programName").map(|text| spc_string(&text)));
        let url = link.map(|link| Tlv::parse(link.value, "moreInfo")).transpose()?;
        Ok(OpusInfo {
            program_name: program_name.transpose()?,
            url: match url {
                Some(url) if url.tag == tag::primitive(0) => Some(String::from_utf8_lossy(url.value).into_owned()),
                Some(file) if file.tag == tag::constructed(2) => Some(spc_string(&Tlv::parse(file.value, "moreInfo")?)),
                _ => None,
            },
        })
    }
}

/// SpcString: unicode [0] as UTF-16, ascii [1].
fn spc_string(text: &Tlv<'_>) -> String {
    if text.tag == tag::primitive(0) {
        let units: Vec<u16> = text.value.as_chunks::<2>().0.iter().map(|two| u16::from_be_bytes(*two)).collect();
        String::from_utf16_lossy(&units)
    } else {
        String::from_utf8_lossy(text.value).into_owned()
    }
}

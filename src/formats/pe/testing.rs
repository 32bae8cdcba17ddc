//! Small PE images, made to measure.

use super::{AuthenticodeHasher, ChecksumSink, Layout, Sums};
use crate::formats::{Edit, Sink, feed};
use crate::model::HashAlgorithm;

/// What an image looks like.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    pub plus: bool,
    pub e_lfanew: u32,
    pub directories: u32,
    pub size_of_optional_header: Option<u16>,
    pub size_of_headers: u32,
    /// Raw data sizes.
    pub sections: Vec<u32>,
    pub overlay: Vec<u8>,
    pub checksum: u32,
    pub directory: [u32; 2],
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            plus: true,
            e_lfanew: 0x80,
            directories: 16,
            size_of_optional_header: None,
            size_of_headers: 0x400,
            sections: vec![0x200, 0x1600],
            overlay: Vec::new(),
            checksum: 0,
            directory: [0; 2],
        }
    }
}

impl Builder {
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut image = b"MZ".to_vec();
        image.resize(0x3c, 0);
        image.extend(self.e_lfanew.to_le_bytes());
        image.resize(self.e_lfanew as usize, 0x90);
        let fixed = if self.plus { 112 } else { 96 };
        let optional = self.size_of_optional_header.unwrap_or(fixed + 8 * self.directories.min(16) as u16);
        image.extend(b"PE\0\0");
        image.extend(if self.plus { 0x8664u16 } else { 0x14c }.to_le_bytes());
        image.extend((self.sections.len() as u16).to_le_bytes());
        image.extend([0; 12]);
        image.extend(optional.to_le_bytes());
        image.extend([0x22, 0]);
        let start = image.len();
        image.extend(if self.plus { 0x20bu16 } else { 0x10b }.to_le_bytes());
        image.resize(start + 32, 1);
        image.extend(0x1000u32.to_le_bytes());
        image.extend(0x200u32.to_le_bytes());
        image.resize(start + 60, 0);
        image.extend(self.size_of_headers.to_le_bytes());
        image.extend(self.checksum.to_le_bytes());
        image.resize(start + fixed as usize - 4, 0);
        image.extend(self.directories.to_le_bytes());
        image.resize(start + fixed as usize + 32, 0);
        image.extend(self.directory[0].to_le_bytes());
        image.extend(self.directory[1].to_le_bytes());
        image.resize(start + usize::from(optional), 0);
        let mut at = self.size_of_headers;
        for (index, size) in self.sections.iter().enumerate() {
            image.extend(format!(".sec{index}\0\0\0").as_bytes());
            image.extend(size.to_le_bytes());
            image.extend((0x1000 * (index as u32 + 1)).to_le_bytes());
            image.extend(size.to_le_bytes());
            image.extend(at.to_le_bytes());
            image.extend([0; 16]);
            at += size;
        }
        image.resize(self.size_of_headers as usize, 0);
        image.extend((0..at - self.size_of_headers).map(|i| (i.wrapping_mul(31) >> 3) as u8));
        image.extend(&self.overlay);
        image
    }
}

pub(crate) fn apply(image: &[u8], edits: &[Edit], len: u64) -> Vec<u8> {
    let mut out = image.to_vec();
    for edit in edits {
        let end = edit.offset as usize + edit.bytes.len();
        assert!(edit.offset as usize <= out.len(), "an edit leaves a gap");
        out.resize(out.len().max(end), 0);
        out[edit.offset as usize..end].copy_from_slice(&edit.bytes);
    }
    assert!(len as usize <= out.len());
    out.truncate(len as usize);
    out
}

/// Digest and sums of an image, in one pass.
pub(crate) fn measure(image: &[u8], hash: HashAlgorithm) -> (Layout, Vec<u8>, Sums) {
    let image = image.to_vec();
    let layout = Layout::parse(&image).unwrap();
    let (mut digest, mut checksum) = (AuthenticodeHasher::new(&layout, hash), ChecksumSink::new(&layout));
    let mut sinks: [&mut dyn Sink; 2] = [&mut digest, &mut checksum];
    feed(&image, &mut sinks).unwrap();
    (layout, digest.finish(), checksum.finish())
}

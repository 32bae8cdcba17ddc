//! What other people signed.

use super::*;

/// The folders of PE images in the corpus.
fn images(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for kind in ["pe", "winmd"] {
        found.extend(std::fs::read_dir(folder.join(kind)).unwrap().map(|entry| entry.unwrap().path()));
    }
    assert!(!found.is_empty());
    found.sort();
    found
}

#[test]
fn what_signtool_signed_verifies_and_its_digests_are_ours() {
    let Some(corpus) = corpus() else { return };
    let (signed, unsigned) = (corpus.join("windows/signed-by-signtool"), corpus.join("windows/unsigned"));
    for path in images(&signed) {
        let file = std::fs::File::open(&path).unwrap();
        let report = verify(&file).unwrap();
        assert!(report.is_good(), "{}: {report:?}", path.display());
        assert_eq!(report.findings, [], "{}", path.display());
        let twin = std::fs::read(unsigned.join(path.strip_prefix(&signed).unwrap())).unwrap();
        let data = report.signatures[0].0.data.clone().unwrap();
        assert_eq!(measure(&twin, Sha256).1, data.digest, "{}", path.display());
        // Attaching signtool's own signature to the unsigned twin gives signtool's file.
        let bytes = std::fs::read(&path).unwrap();
        let layout = Layout::parse(&bytes).unwrap();
        let pkcs7 = report.signatures[0].0.to_der();
        assert_eq!(attach(&twin, &pkcs7), bytes, "{}", path.display());
        let (_, _, sums) = measure(&bytes, Sha256);
        let original = Layout::parse(&twin).unwrap().original().unwrap();
        let removed = layout.remove(&bytes, Some(&original), &sums).unwrap();
        assert_eq!(apply(&bytes, &removed.edits, removed.len), twin);
    }
    let negative = std::fs::read(unsigned.join("negative/not-pe.exe")).unwrap();
    println!("not-pe.exe: {}", Layout::parse(&negative).unwrap_err().code());
}

/// Everything in the corpus that carries a PKCS #7 of its own reads without a panic, and cut files too.
#[test]
fn signatures_of_other_formats_read() {
    let Some(corpus) = corpus() else { return };
    let folder = corpus.join("windows/signed-by-signtool");
    let catalog = std::fs::read(folder.join("catalog/sample.cat")).unwrap();
    let p7x = std::fs::read(folder.join("p7x/appxsignature-from-sample-msix.p7x")).unwrap();
    let catalog_signature = parse(&catalog).unwrap();
    assert_eq!(catalog_signature.data, None);
    let p7x_signature = parse(&p7x[4..]).unwrap();
    assert!(matches!(p7x_signature.data.clone().unwrap().subject, Subject::Sip { .. }));
    for signature in [catalog_signature, p7x_signature] {
        let report = check(&signature, &Computed { digests: &[], pages: None });
        assert_eq!((report.content, report.signature), (Verdict::Good, Verdict::Good));
    }
}

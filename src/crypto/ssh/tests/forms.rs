//! What is read has one form; everything else is refused, and nothing makes the readers panic.

use super::*;
use proptest::prelude::*;

#[test]
fn keys_that_do_not_count_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let small = keygen(&dir, "small", &["-t", "rsa", "-b", "2048", "-N", ""]);
    let line = std::fs::read_to_string(small.with_extension("pub")).unwrap();
    assert!(line.parse::<PublicKey>().unwrap_err().message().contains("3072"));
    let dsa = keygen(&dir, "dsa", &["-t", "dsa", "-N", ""]);
    assert!(std::fs::read_to_string(dsa.with_extension("pub")).unwrap().parse::<PublicKey>().is_err());
    // A small key's signature, by ssh-keygen itself.
    let (_, armoured, _) = run("ssh-keygen", &["-Y", "sign", "-q", "-n", NAMESPACE, "-f", text(&small)], MESSAGE);
    assert_eq!(Signature::parse(&armoured).unwrap_err().code(), "bad_ssh_key");

    let good = generate_ed25519("").unwrap().1;
    let blob = good.parse::<PublicKey>().unwrap().blob().to_vec();
    let again = |blob: &[u8]| PublicKey::from_blob(blob);
    again(&blob).unwrap();
    again(&[&blob[..], &[0]].concat()).unwrap_err();
    again(&blob[..blob.len() - 1]).unwrap_err();
    for weak in [
        [0u8; 32],
        {
            let mut one = [0; 32];
            one[0] = 1;
            one
        },
        [0xff; 32],
    ] {
        let key = Writer::new().string(b"ssh-ed25519").string(&weak);
        assert!(again(key.bytes()).unwrap_err().message().contains("small order"), "{weak:?}");
    }
    for bad in [
        "",
        "ssh-ed25519",
        "ssh-ed25519 ",
        &format!(" {good}"),
        &format!("{good}\n\n"),
        &good.replace(' ', "  "),
        &good.replace("ssh-ed25519", "ssh-rsa"),
        &format!("restrict {good}"),
        &format!("{good} a\u{1b}b"),
    ] {
        assert_eq!(bad.parse::<PublicKey>().unwrap_err().code(), "bad_ssh_key", "{bad:?}");
    }

    // RSA in another spelling, with another exponent, and an even modulus.
    let rsa = public(&keygen(&dir, "rsa", KINDS[4]));
    let mut reader = Reader(rsa.blob());
    let (word, e, n) = (reader.string().unwrap(), reader.positive().unwrap(), reader.positive().unwrap());
    let with = |e: &[u8], n: &[u8]| again(Writer::new().string(word).string(e).string(n).bytes());
    with(e, &[&[0], n].concat()).unwrap();
    with(&[&[0], e].concat(), &[&[0], n].concat()).unwrap_err();
    with(e, &[&[0, 0], n].concat()).unwrap_err();
    with(e, n).unwrap_err();
    with(&[3], &[&[0], n].concat()).unwrap_err();
    let mut even = n.to_vec();
    *even.last_mut().unwrap() &= 0xfe;
    with(e, &[&[0], &even[..]].concat()).unwrap_err();

    // A point that is not on the curve, a compressed one, and one of another curve.
    let ec = public(&keygen(&dir, "ec", KINDS[1]));
    let mut reader = Reader(ec.blob());
    let (word, curve, point) = (reader.string().unwrap(), reader.string().unwrap(), reader.string().unwrap());
    let with = |curve: &[u8], point: &[u8]| again(Writer::new().string(word).string(curve).string(point).bytes());
    with(curve, point).unwrap();
    let mut off = point.to_vec();
    *off.last_mut().unwrap() ^= 1;
    with(curve, &off).unwrap_err();
    with(curve, &[&[2 + (point[64] & 1)], &point[1..33]].concat()).unwrap_err();
    with(b"nistp384", point).unwrap_err();
    with(curve, &[0]).unwrap_err();
}

#[test]
fn other_signatures_are_refused_by_name() {
    let key: PublicKey = generate_ed25519("").unwrap().1.parse().unwrap();
    let made = Writer::new().string(b"ssh-ed25519").string(&[1; 64]).into_public();
    let blob = |version: u32, namespace: &[u8], reserved: &[u8], hash: &[u8], made: &[u8]| {
        let writer = Writer::new().raw(b"SSHSIG").u32(version).string(key.blob()).string(namespace);
        writer.string(reserved).string(hash).string(made).into_public()
    };
    Signature::from_blob(&blob(1, b"n", b"", b"sha256", &made)).unwrap();
    let sha1 = Writer::new().string(b"ssh-rsa").string(&[1; 384]).into_public();
    let refused = [
        blob(2, b"n", b"", b"sha256", &made),
        blob(1, b"", b"", b"sha256", &made),
        blob(1, b"a\nb", b"", b"sha256", &made),
        blob(1, &[b'n'; 513], b"", b"sha256", &made),
        blob(1, b"n", b"x", b"sha256", &made),
        blob(1, b"n", b"", b"sha384", &made),
        blob(1, b"n", b"", b"sha1", &made),
        blob(1, b"n", b"", b"sha256", &made[..made.len() - 1]),
        blob(1, b"n", b"", b"sha256", &sha1),
        [blob(1, b"n", b"", b"sha256", &made), vec![0]].concat(),
        vec![0; MAX_SIGNATURE + 1],
    ];
    for blob in refused {
        assert_eq!(Signature::parse(&blob).unwrap_err().code(), "bad_ssh_signature");
    }
    let dir = tempfile::tempdir().unwrap();
    let rsa = public(&keygen(&dir, "rsa", KINDS[4]));
    let refused = Signature::assemble(&rsa, "n", &sha1).unwrap_err();
    assert!(refused.message().contains("RSA with a hash other than"), "{refused}");
    let ec = public(&keygen(&dir, "ec", KINDS[1]));
    for (r, s) in [(&[0u8; 0][..], &[1u8][..]), (&[1], &[]), (&[0xff; 32], &[1]), (&[1], &[0xff; 40])] {
        let numbers = Writer::new().positive(r).positive(s).into_public();
        let made = Writer::new().string(b"ecdsa-sha2-nistp256").string(&numbers).into_public();
        assert_eq!(Signature::assemble(&ec, "n", &made).unwrap_err().code(), "bad_ssh_signature");
    }
}

#[test]
fn pasted_armour_is_forgiven_its_white_space_only() {
    let (file, _) = generate_ed25519("").unwrap();
    let key = PrivateFile::parse(file.as_bytes()).unwrap().open(None).unwrap();
    let signature = key.sign(NAMESPACE, MESSAGE).unwrap();
    let text = signature.to_string();
    let indented: String = text.lines().map(|line| format!("   {line}  \r\n")).collect();
    for same in [&text, &text.replace('\n', "\r\n"), &format!("\n\n{text}\n"), &indented, &text.trim_end().to_owned()] {
        assert_eq!(same.parse::<Signature>().unwrap(), signature);
    }
    for other in [
        format!("hello\n{text}"),
        format!("{text}bye"),
        format!("{text}{text}"),
        text.replace("\n", ""),
        text.replace('=', ""),
    ] {
        if other == text {
            continue;
        }
        assert!(other.parse::<Signature>().is_err(), "{other}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_that_is_read_makes_the_readers_panic(
        mut blob in prop_oneof![Just(None), proptest::collection::vec(any::<u8>(), 0..300).prop_map(Some)],
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        kind in 0usize..3,
    ) {
        let (file, line) = generate_ed25519("c").unwrap();
        let key = PrivateFile::parse(file.as_bytes()).unwrap().open(None).unwrap();
        let mut bytes = blob.take().unwrap_or_else(|| match kind {
            0 => line.parse::<PublicKey>().unwrap().blob().to_vec(),
            1 => key.sign("n", b"m").unwrap().blob().to_vec(),
            _ => dearmour("OPENSSH PRIVATE KEY", &file).unwrap().to_vec(),
        });
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes.truncate(cut.index(bytes.len() + 1).max(bytes.len() / 2));
        if let Ok(key) = PublicKey::from_blob(&bytes) {
            prop_assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
        }
        if let Ok(signature) = Signature::from_blob(&bytes) {
            prop_assert_eq!(signature.to_string().parse::<Signature>().unwrap(), signature);
        }
        let armoured = armour("OPENSSH PRIVATE KEY", &bytes);
        let _ = PrivateFile::parse(armoured.as_bytes()).and_then(|file| file.open(Some("secret")));
        let _ = Signature::parse(&bytes);
        let _ = String::from_utf8_lossy(&bytes).parse::<PublicKey>();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let _ = format!("ssh-ed25519 {text}").parse::<PublicKey>();
        let _ = format!("-----BEGIN SSH SIGNATURE-----\n{text}\n-----END SSH SIGNATURE-----").parse::<Signature>();
    }
}

use super::*;
use crate::model::unhex;
use proptest::prelude::*;
use std::collections::HashMap;

#[derive(Default)]
struct Memory(HashMap<(u8, u64), Hash256>, u64);

impl Nodes for Memory {
    fn node(&self, level: u8, index: u64) -> Result<Hash256> {
        self.0.get(&(level, index)).copied().ok_or_else(|| Error::failed("missing", format!("{level}/{index}")))
    }
}

impl Memory {
    fn of(leaves: &[Hash256]) -> Self {
        let mut memory = Memory::default();
        for leaf in leaves {
            for node in append(&memory, memory.1, *leaf).unwrap() {
                assert!(memory.0.insert((node.level, node.index), node.hash).is_none());
            }
            memory.1 += 1;
        }
        memory
    }
}

/// The definitions of RFC 6962 §2.1, word for word.
mod naive {
    use super::*;

    fn k(n: usize) -> usize {
        let mut k = 1;
        while k * 2 < n {
            k *= 2;
        }
        k
    }
    pub fn mth(d: &[Hash256]) -> Hash256 {
        match d {
            [] => empty_root(),
            [one] => *one,
            _ => node_hash(&mth(&d[..k(d.len())]), &mth(&d[k(d.len())..])),
        }
    }
    pub fn path(m: usize, d: &[Hash256]) -> Vec<Hash256> {
        if d.len() == 1 {
            return vec![];
        }
        let k = k(d.len());
        let (mut path, other) =
            if m < k { (path(m, &d[..k]), mth(&d[k..])) } else { (path(m - k, &d[k..]), mth(&d[..k])) };
        path.push(other);
        path
    }
    pub fn subproof(m: usize, d: &[Hash256], b: bool) -> Vec<Hash256> {
        if m == d.len() {
            return if b { vec![] } else { vec![mth(d)] };
        }
        let k = k(d.len());
        let (mut proof, other) = if m <= k {
            (subproof(m, &d[..k], b), mth(&d[k..]))
        } else {
            (subproof(m - k, &d[k..], false), mth(&d[..k]))
        };
        proof.push(other);
        proof
    }
}

fn ct_leaves() -> Vec<Hash256> {
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
        .map(|text| leaf_hash(&unhex(text).unwrap()))
        .to_vec()
}

fn hashes(texts: &[&str]) -> Vec<Hash256> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn the_certificate_transparency_roots_hold() {
    let tree = Memory::of(&ct_leaves());
    let roots = hashes(&[
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]);
    for (size, root) in roots.iter().enumerate() {
        assert_eq!(super::root(&tree, size as u64).unwrap(), *root, "{size}");
    }
}

#[test]
fn the_certificate_transparency_proofs_hold() {
    let tree = Memory::of(&ct_leaves());
    let inclusion = [
        (
            0,
            8,
            hashes(&[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ]),
        ),
        (
            5,
            8,
            hashes(&[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]),
        ),
    ];
    for (index, size, proof) in inclusion {
        assert_eq!(inclusion_proof(&tree, index, size).unwrap(), proof);
    }
    let consistency = [
        (1, 1, vec![]),
        (
            6,
            8,
            hashes(&[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]),
        ),
        (
            2,
            5,
            hashes(&[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ]),
        ),
    ];
    for (from, to, proof) in consistency {
        assert_eq!(consistency_proof(&tree, from, to).unwrap(), proof, "{from} {to}");
    }
}

#[test]
fn every_small_tree_agrees_with_the_definitions() {
    let leaves: Vec<_> = (0..40u8).map(|n| leaf_hash(&[n])).collect();
    let tree = Memory::of(&leaves);
    let mut frontier = Frontier::default();
    for n in 1..=leaves.len() {
        let d = &leaves[..n];
        frontier.push(d[n - 1]);
        let root = super::root(&tree, n as u64).unwrap();
        assert_eq!((root, frontier.root()), (naive::mth(d), root));
        for m in 0..n {
            let proof = inclusion_proof(&tree, m as u64, n as u64).unwrap();
            assert_eq!(proof, naive::path(m, d));
            verify_inclusion(&d[m], m as u64, n as u64, &proof, &root).unwrap();
            let old = super::root(&tree, m as u64).unwrap();
            let proof = consistency_proof(&tree, m as u64, n as u64).unwrap();
            if m > 0 {
                assert_eq!(proof, naive::subproof(m, d, true), "{m} {n}");
            }
            verify_consistency(m as u64, &old, n as u64, &root, &proof).unwrap();
        }
    }
}

#[test]
fn sizes_out_of_range_are_errors_and_not_panics() {
    let tree = Memory::default();
    let zero = empty_root();
    for size in [u64::MAX, MAX_SIZE, MAX_SIZE + 1] {
        assert!(append(&tree, size, zero).is_err());
        assert!(root(&tree, size).is_err());
        assert!(inclusion_proof(&tree, size, size).is_err());
        assert!(inclusion_proof(&tree, 0, size).is_err());
        assert!(consistency_proof(&tree, 1, size).is_err());
        assert!(verify_inclusion(&zero, size - 1, size, &[zero; 70], &zero).is_err());
        assert!(verify_consistency(size - 1, &zero, size, &zero, &[zero; 70]).is_err());
        assert!(verify_consistency(1, &zero, size, &zero, &[]).is_err());
    }
    assert!(verify_inclusion(&zero, 0, 0, &[], &zero).is_err());
    assert!(verify_consistency(2, &zero, 1, &zero, &[]).is_err());
    assert!(verify_consistency(3, &zero, 4, &zero, &[]).is_err());
    verify_consistency(0, &zero, 0, &zero, &[]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_proof_shows_nothing(n in 2usize..200, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), bit in 0usize..256) {
        let leaves: Vec<_> = (0..n).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let tree = Memory::of(&leaves);
        let root = super::root(&tree, n as u64).unwrap();
        let m = a.index(n - 1) + 1;
        let old = super::root(&tree, m as u64).unwrap();
        let consistency = consistency_proof(&tree, m as u64, n as u64).unwrap();
        prop_assert_eq!(&consistency, &naive::subproof(m, &leaves, true));
        let i = b.index(n);
        let inclusion = inclusion_proof(&tree, i as u64, n as u64).unwrap();
        prop_assert_eq!(&inclusion, &naive::path(i, &leaves));

        let flip = |proof: &[Hash256]| {
            let mut proof = proof.to_vec();
            let place = a.index(proof.len());
            proof[place].0[bit / 8] ^= 1 << (bit % 8);
            proof
        };
        let (i, m, n) = (i as u64, m as u64, n as u64);
        let leaf = leaves[i as usize];
        verify_inclusion(&leaf, i, n, &inclusion, &root).unwrap();
        verify_consistency(m, &old, n, &root, &consistency).unwrap();
        prop_assert!(verify_inclusion(&leaf, i, n, &flip(&inclusion), &root).is_err());
        prop_assert!(verify_inclusion(&leaf, i, n, &inclusion[1..], &root).is_err());
        prop_assert!(verify_inclusion(&leaf, (i + 1) % n, n, &inclusion, &root).is_err());
        prop_assert!(verify_inclusion(&leaf, i, n, &[inclusion.clone(), vec![root]].concat(), &root).is_err());
        if m < n {
            prop_assert!(verify_consistency(m, &old, n, &root, &flip(&consistency)).is_err());
            prop_assert!(verify_consistency(m, &old, n, &root, &consistency[1..]).is_err());
            prop_assert!(verify_consistency(m, &root, n, &root, &consistency).is_err());
            prop_assert!(verify_consistency(m, &old, n, &old, &consistency).is_err());
        }
    }
}

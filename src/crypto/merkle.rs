//! The Merkle tree of RFC 6962 §2.1 with SHA-256: roots, inclusion proofs, consistency proofs.
//!
//! A tree of any size is made of *perfect* subtrees. The one at `(level, index)` covers the `2^level` leaves
//! from `index * 2^level` on, and never changes once its last leaf is there. So it is enough to keep those
//! hashes: an append computes only the ones it completes, and a root or a proof reads O(log n) of them through
//! [`Nodes`]. Checking a proof needs no tree and no storage; those functions are pure and follow
//! RFC 9162 §2.1.3.2 and §2.1.4.2, which spell out the checks for the same tree.

use crate::error::{Error, Result};
use crate::model::Hash256;
use sha2::{Digest, Sha256};

/// Trees have fewer than 2^63 leaves, so that sizes fit SQLite's integers.
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// The hash of a leaf: SHA-256(0x00 ‖ leaf).
pub fn leaf_hash(leaf: &[u8]) -> Hash256 {
    Hash256(Sha256::new().chain_update([0]).chain_update(leaf).finalize().into())
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash256, right: &Hash256) -> Hash256 {
    Hash256(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root of a tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash256 {
    Hash256::of(b"")
}

/// Where the hashes of perfect subtrees are kept.
pub trait Nodes {
    /// The hash of the perfect subtree at `(level, index)`; level 0 is the leaf hashes.
    ///
    /// # Errors
    /// The node is not there or cannot be read.
    fn node(&self, level: u8, index: u64) -> Result<Hash256>;
}

/// A perfect subtree with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// log2 of the number of leaves below.
    pub level: u8,
    /// Which of its level, from 0.
    pub index: u64,
    /// Its hash.
    pub hash: Hash256,
}

/// The nodes that a new leaf completes in a tree of `size` leaves, the leaf itself first.
///
/// # Errors
/// The tree is full, or a node it needs cannot be had.
pub fn append(nodes: &impl Nodes, size: u64, leaf: Hash256) -> Result<Vec<Node>> {
    check_size(size.saturating_add(1))?;
    let mut new = vec![Node { level: 0, index: size, hash: leaf }];
    let (mut level, mut index, mut hash) = (0u8, size, leaf);
    while index & 1 == 1 {
        hash = node_hash(&nodes.node(level, index - 1)?, &hash);
        (level, index) = (level + 1, index >> 1);
        new.push(Node { level, index, hash });
    }
    Ok(new)
}

/// The root over the first `size` leaves.
///
/// # Errors
/// `size` is out of range, or a node cannot be had.
pub fn root(nodes: &impl Nodes, size: u64) -> Result<Hash256> {
    check_size(size)?;
    if size == 0 { Ok(empty_root()) } else { subtree(nodes, 0, size) }
}

/// The audit path of RFC 6962 §2.1.1 for the leaf `index` in the tree of `size` leaves, lowest sibling first.
///
/// # Errors
/// `index` is not below `size`, or a node cannot be had.
pub fn inclusion_proof(nodes: &impl Nodes, index: u64, size: u64) -> Result<Vec<Hash256>> {
    check_size(size)?;
    if index >= size {
        return Err(Error::failed("no_such_entry", format!("leaf {index} is not in a tree of {size} leaves")));
    }
    let mut path = Vec::new();
    let (mut start, mut len) = (0, size);
    while len > 1 {
        let left = split(len);
        if index < start + left {
            path.push(subtree(nodes, start + left, len - left)?);
            len = left;
        } else {
            path.push(subtree(nodes, start, left)?);
            (start, len) = (start + left, len - left);
        }
    }
    path.reverse();
    Ok(path)
}

/// The consistency proof of RFC 6962 §2.1.2 between the trees of the first `from` and the first `to` leaves.
/// It is empty when the sizes are equal, and from the empty tree, which every tree continues.
///
/// # Errors
/// `from` is greater than `to`, or a node cannot be had.
pub fn consistency_proof(nodes: &impl Nodes, from: u64, to: u64) -> Result<Vec<Hash256>> {
    check_size(to)?;
    if from > to {
        return Err(Error::failed("bad_range", format!("a tree of {to} leaves does not continue one of {from}")));
    }
    let mut proof = Vec::new();
    if from == 0 || from == to {
        return Ok(proof);
    }
    let (mut start, mut len, mut old) = (0, to, from);
    // The old root itself is left out as long as the old tree is a perfect subtree of the new one.
    let mut known = true;
    while old != len {
        let left = split(len);
        if old <= left {
            proof.push(subtree(nodes, start + left, len - left)?);
            len = left;
        } else {
            proof.push(subtree(nodes, start, left)?);
            (start, len, old, known) = (start + left, len - left, old - left, false);
        }
    }
    if !known {
        proof.push(subtree(nodes, start, len)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that `leaf` is number `index` in the tree of `size` leaves with this root (RFC 9162 §2.1.3.2).
///
/// # Errors
/// `bad_proof` if the proof does not show it.
pub fn verify_inclusion(leaf: &Hash256, index: u64, size: u64, proof: &[Hash256], root: &Hash256) -> Result<()> {
    let refused = || Error::finding("bad_proof", format!("the proof does not show leaf {index} in a tree of {size}"));
    if index >= size {
        return Err(refused());
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(refused());
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last == 0 && hash == *root { Ok(()) } else { Err(refused()) }
}

/// Checks that the tree of `to` leaves continues the tree of `from` leaves (RFC 9162 §2.1.4.2).
///
/// # Errors
/// `bad_proof` if the proof does not show it.
pub fn verify_consistency(from: u64, from_root: &Hash256, to: u64, to_root: &Hash256, proof: &[Hash256]) -> Result<()> {
    let shown = match from {
        0 => proof.is_empty() && *from_root == empty_root() && (to > 0 || to_root == from_root),
        _ if from == to => proof.is_empty() && from_root == to_root,
        _ if from > to => false,
        _ => continues(from, from_root, to, to_root, proof).unwrap_or(false),
    };
    if shown {
        return Ok(());
    }
    Err(Error::finding(
        "bad_proof",
        format!("the proof does not show that a tree of {to} leaves continues one of {from}"),
    ))
}

/// The general case, 0 < from < to; `None` if the proof is too short.
fn continues(from: u64, from_root: &Hash256, to: u64, to_root: &Hash256, proof: &[Hash256]) -> Option<bool> {
    let (mut node, mut last) = (from - 1, to - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let (seed, rest) = if from.is_power_of_two() { (from_root, proof) } else { proof.split_first()? };
    let (mut old, mut new) = (*seed, *seed);
    for sibling in rest {
        if last == 0 {
            return Some(false);
        }
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    Some(last == 0 && old == *from_root && new == *to_root)
}

/// A tree that only grows, holding the roots of its perfect subtrees: O(log n) memory. The recomputation in
/// verification uses it; it trusts no stored node.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    size: u64,
    /// Perfect subtrees from left to right, so of falling level.
    peaks: Vec<Hash256>,
}

impl Frontier {
    /// How many leaves were pushed.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf hash and gives the nodes above level 0 that it completes.
    pub fn push(&mut self, leaf: Hash256) -> Vec<Node> {
        let mut new = Vec::new();
        let (mut level, mut index, mut hash) = (0u8, self.size, leaf);
        while index & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            (level, index) = (level + 1, index >> 1);
            new.push(Node { level, index, hash });
        }
        self.peaks.push(hash);
        self.size += 1;
        new
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Hash256 {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => empty_root(),
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

/// MTH(D[start : start+len]) of RFC 6962 §2.1. `start` is a multiple of the power of two that holds `len`.
fn subtree(nodes: &impl Nodes, start: u64, len: u64) -> Result<Hash256> {
    if len.is_power_of_two() {
        let level = len.trailing_zeros();
        return nodes.node(level as u8, start >> level);
    }
    let left = split(len);
    Ok(node_hash(&subtree(nodes, start, left)?, &subtree(nodes, start + left, len - left)?))
}

/// The largest power of two below `len`, for `len` ≥ 2.
fn split(len: u64) -> u64 {
    1 << (u64::BITS - 1 - (len - 1).leading_zeros())
}

fn check_size(size: u64) -> Result<()> {
    if size > MAX_SIZE {
        return Err(Error::failed("bad_range", format!("a tree has at most {MAX_SIZE} leaves, not {size}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! The search: depth first from the leaf, within fixed budgets.

use super::check::{self, Demand};
use super::{Chain, ChainError, MAX_DEPTH};
use crate::pki::certificate::Certificate;
use crate::pki::name;
use std::collections::HashMap;

/// Signature checks, of certificates and of lists, in one search.
pub(super) const MAX_SIGNATURE_CHECKS: u32 = 128;

/// Certificates looked at in one search, counted once for each path that reaches them.
const MAX_STEPS: u32 = 512;

struct Node {
    certificate: Certificate,
    trusted: bool,
}

pub(super) struct Search<'a> {
    nodes: Vec<Node>,
    demand: Demand<'a>,
    /// By child and parent: why the child's signature is not the parent's, or `None` if it is.
    links: HashMap<(usize, usize), Option<String>>,
    signature_checks: u32,
    steps: u32,
    best: Option<ChainError>,
}

impl<'a> Search<'a> {
    /// The leaf is node 0; a leaf or candidate that equals a root is that root.
    pub fn new(leaf: Certificate, roots: Vec<Certificate>, candidates: Vec<Certificate>, demand: Demand<'a>) -> Self {
        let leaf = Node { trusted: roots.contains(&leaf), certificate: leaf };
        let mut nodes = vec![leaf];
        for (certificate, trusted) in
            roots.into_iter().map(|c| (c, true)).chain(candidates.into_iter().map(|c| (c, false)))
        {
            if !nodes.iter().any(|node| node.certificate == certificate) {
                nodes.push(Node { certificate, trusted });
            }
        }
        Search {
            nodes,
            demand,
            links: HashMap::new(),
            signature_checks: MAX_SIGNATURE_CHECKS,
            steps: MAX_STEPS,
            best: None,
        }
    }

    pub fn run(mut self) -> Result<Chain, ChainError> {
        match self.extend(&mut vec![0]) {
            Some(chain) => Ok(chain),
            None => Err(self.best.unwrap_or(ChainError::TooComplex)),
        }
    }

    /// Tries to complete the path (never empty); remembers why it could not.
    fn extend(&mut self, path: &mut Vec<usize>) -> Option<Chain> {
        let (top, node) = path.last().and_then(|at| self.nodes.get(*at).map(|node| (*at, node)))?;
        if node.trusted {
            return self.judge(path);
        }
        let parents = self.parents(path, &node.certificate);
        if parents.is_empty() || path.len() >= MAX_DEPTH {
            let (subject, issuer) = (node.certificate.subject().to_string(), node.certificate.issuer().to_string());
            self.note(ChainError::UnknownIssuer { subject, issuer });
            return None;
        }
        for parent in parents {
            let Some(left) = self.steps.checked_sub(1) else {
                self.note(ChainError::TooComplex);
                return None;
            };
            self.steps = left;
            match self.link(top, parent) {
                Ok(()) => {
                    path.push(parent);
                    if let Some(chain) = self.extend(path) {
                        return Some(chain);
                    }
                    path.pop();
                }
                Err(error) => self.note(error),
            }
        }
        None
    }

    /// The nodes that can have issued `child` by name and key identifiers, roots first, without those that would
    /// make the path meet a name and key for the second time.
    fn parents(&self, path: &[usize], child: &Certificate) -> Vec<usize> {
        let wanted = child.authority_key_identifier();
        let on_path = |c: &Certificate| {
            let mut nodes = path.iter().filter_map(|at| self.nodes.get(*at));
            nodes.any(|n| {
                n.certificate.fields().spki == c.fields().spki
                    && name::same(&n.certificate.fields().subject, &c.fields().subject)
            })
        };
        let fits = |c: &Certificate| {
            name::same(&c.fields().subject, &child.fields().issuer)
                && match (&wanted, c.subject_key_identifier()) {
                    (Some(wanted), Some(found)) => *wanted == found,
                    _ => true,
                }
                && !on_path(c)
        };
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(|(_, node)| fits(&node.certificate)).map(|(at, _)| at).collect()
    }

    /// Did `parent` sign `child`? Each pair is checked once.
    fn link(&mut self, child: usize, parent: usize) -> Result<(), ChainError> {
        let (Some(below), Some(above)) = (self.nodes.get(child), self.nodes.get(parent)) else {
            return Err(ChainError::TooComplex);
        };
        if !self.links.contains_key(&(child, parent)) {
            self.signature_checks = self.signature_checks.checked_sub(1).ok_or(ChainError::TooComplex)?;
            let checked = above.certificate.public_key().and_then(|key| below.certificate.verify_signature(&key));
            self.links.insert((child, parent), checked.err().map(|e| e.message().to_owned()));
        }
        match self.links.get(&(child, parent)) {
            Some(None) => Ok(()),
            Some(Some(detail)) => {
                let subject = below.certificate.subject().to_string();
                if below.certificate.is_self_issued() {
                    // A root nobody trusts, beside a trusted one of the same name.
                    return Err(ChainError::UnknownIssuer { issuer: subject.clone(), subject });
                }
                Err(ChainError::BadSignature { subject, detail: detail.clone() })
            }
            None => Err(ChainError::TooComplex),
        }
    }

    /// Judges a path that reached a root.
    fn judge(&mut self, path: &[usize]) -> Option<Chain> {
        let certificates: Vec<_> =
            path.iter().filter_map(|at| self.nodes.get(*at)).map(|node| node.certificate.clone()).collect();
        match check::path(&certificates, &self.demand, &mut self.signature_checks) {
            Ok(revocation_checked) => Some(Chain { certificates, revocation_checked }),
            Err(error) => {
                self.note(error);
                None
            }
        }
    }

    /// Keeps the first of the errors that came furthest.
    fn note(&mut self, error: ChainError) {
        if self.best.as_ref().is_none_or(|best| error.progress() > best.progress()) {
            self.best = Some(error);
        }
    }
}

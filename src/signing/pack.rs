//! `--for-pack`, `--for-packs` and provenance: what the Control Plane and the build say about a file (B17, domain §2).

use crate::error::{Context, Error, Kind, Result, shown};
use crate::files::safe;
use crate::model::{Hash256, HashAlgorithm};
use crate::request::{PackReference, Provenance};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The largest evidence pack, in bytes.
const MAX_PACK: u64 = 16 << 20;
/// The most packs in a folder.
const MAX_PACKS: usize = 100_000;

/// The evidence packs of a run.
#[derive(Clone, Debug, Default)]
pub(super) enum Packs {
    /// None was given.
    #[default]
    None,
    /// One for whatever is signed.
    One(PackReference),
    /// One for each file, by the artifact's hash.
    Each(BTreeMap<String, PackReference>),
}

impl Packs {
    /// Reads the pack, or the folder of packs.
    ///
    /// # Errors
    /// `bad_pack`, `two_packs`, `no_packs`.
    pub fn read(one: Option<&Path>, folder: Option<&Path>) -> Result<Self> {
        match (one, folder) {
            (Some(pack), _) => read(pack).map(Packs::One),
            (None, Some(folder)) => read_each(folder).map(Packs::Each),
            (None, None) => Ok(Packs::None),
        }
    }

    /// Whether a pack knows its artifact by SHA-512.
    pub fn want_sha512(&self) -> bool {
        let is_sha512 = |pack: &PackReference| pack.hash_algorithm == HashAlgorithm::Sha512;
        match self {
            Packs::None => false,
            Packs::One(pack) => is_sha512(pack),
            Packs::Each(packs) => packs.values().any(is_sha512),
        }
    }

    /// The pack of the artifact with these hashes.
    ///
    /// # Errors
    /// `no_pack`: there are packs, and none is for it.
    pub fn of(&self, hash: &Hash256, sha512: Option<&str>) -> Result<Option<PackReference>> {
        match self {
            Packs::None => Ok(None),
            Packs::One(pack) => Ok(Some(pack.clone())),
            Packs::Each(packs) => {
                let found = packs.get(&hash.to_string()).or_else(|| packs.get(sha512?));
                let none =
                    || Error::blocked("no_pack", format!("no evidence pack is for an artifact with SHA-256 {hash}"));
                found.cloned().map(Some).ok_or_else(|| none().hint("put its pack into the folder of --for-packs"))
            }
        }
    }
}

/// Every `*.json` in the folder. Two that are for the same artifact have to say the same.
fn read_each(folder: &Path) -> Result<BTreeMap<String, PackReference>> {
    let name = crate::files::shown_path(folder);
    let entries = std::fs::read_dir(folder)
        .or_kind(Kind::Usage, "bad_pack", || format!("{name} is no folder of evidence packs that can be read"))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    if paths.is_empty() || paths.len() > MAX_PACKS {
        let message = format!("{name} has {} files NAME.json; there have to be 1 to {MAX_PACKS}", paths.len());
        return Err(Error::usage("no_packs", message));
    }
    let mut packs: BTreeMap<String, PackReference> = BTreeMap::new();
    for path in paths {
        let pack = read(&path)?;
        if let Some(other) = packs.insert(pack.hash.clone(), pack.clone()).filter(|other| *other != pack) {
            let message = format!(
                "{}: {} and {} are for the same artifact",
                crate::files::shown_path(&path),
                pack.evidence_pack_id,
                other.evidence_pack_id
            );
            return Err(Error::usage("two_packs", message).hint("leave only the one that counts in the folder"));
        }
    }
    Ok(packs)
}

/// Reads what an evidence pack says about the artifact and its certificate. Unknown fields are the pack's own.
///
/// # Errors
/// `bad_pack` naming the field.
fn read(path: &Path) -> Result<PackReference> {
    let bad = |field: &str| {
        Error::usage(
            "bad_pack",
            format!("{}: {field} is missing or not what it should be", crate::files::shown_path(path)),
        )
    };
    let bytes = safe::read_bounded(path, MAX_PACK)?;
    let pack: Value = serde_json::from_slice(&bytes).or_kind(Kind::Usage, "bad_pack", || {
        format!("{}: the evidence pack is not JSON", crate::files::shown_path(path))
    })?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let artifact = pack.get("artifact").ok_or_else(|| bad("artifact"))?;
    let hash = artifact.get("hash").ok_or_else(|| bad("artifact.hash"))?;
    let algorithm: HashAlgorithm =
        text(hash.get("algorithm")).and_then(|name| name.parse().ok()).ok_or_else(|| bad("artifact.hash.algorithm"))?;
    if algorithm == HashAlgorithm::Sha384 {
        return Err(bad("artifact.hash.algorithm"));
    }
    let value = text(hash.get("value")).map(|value| value.to_lowercase());
    let hex = |value: &String| value.len() == 2 * algorithm.size() && value.bytes().all(|b| b.is_ascii_hexdigit());
    let signing = artifact.get("signing");
    let certificate = signing
        .and_then(|signing| text(signing.get("fingerprint")).or_else(|| text(signing.get("certificate_thumbprint"))))
        .map(|name| name.replace(':', "").to_lowercase())
        .filter(|name| matches!(name.len(), 40 | 64) && name.bytes().all(|b| b.is_ascii_hexdigit()));
    Ok(PackReference {
        evidence_pack_id: text(pack.get("evidence_pack_id"))
            .filter(|id| !id.is_empty() && id.len() <= 128)
            .map(|id| shown(&id))
            .ok_or_else(|| bad("evidence_pack_id"))?,
        hash_algorithm: algorithm,
        hash: value.filter(hex).ok_or_else(|| bad("artifact.hash.value"))?,
        certificate: certificate.ok_or_else(|| bad("artifact.signing.fingerprint or .certificate_thumbprint"))?,
    })
}

/// Who built the files: what was said, else what the CI system says in the environment.
pub(super) fn provenance(said: &Provenance) -> Option<Provenance> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let ci = if env("GITHUB_ACTIONS").is_some() {
        Provenance {
            builder_identity: env("GITHUB_WORKFLOW_REF").or_else(|| env("GITHUB_WORKFLOW")),
            pipeline_run_id: env("GITHUB_RUN_ID"),
            source_repo: env("GITHUB_REPOSITORY"),
            source_commit: env("GITHUB_SHA"),
        }
    } else if env("GITLAB_CI").is_some() {
        Provenance {
            builder_identity: env("CI_CONFIG_REF_URI").or_else(|| env("CI_JOB_URL")),
            pipeline_run_id: env("CI_PIPELINE_ID"),
            source_repo: env("CI_PROJECT_URL"),
            source_commit: env("CI_COMMIT_SHA"),
        }
    } else {
        Provenance::default()
    };
    let safe = |value: Option<String>| value.map(|value| shown(&value.chars().take(512).collect::<String>()));
    let all = Provenance {
        builder_identity: safe(said.builder_identity.clone().or(ci.builder_identity)),
        pipeline_run_id: safe(said.pipeline_run_id.clone().or(ci.pipeline_run_id)),
        source_repo: safe(said.source_repo.clone().or(ci.source_repo)),
        source_commit: safe(said.source_commit.clone().or(ci.source_commit)),
    };
    (all != Provenance::default()).then_some(all)
}

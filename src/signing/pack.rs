//! `--for-pack` and provenance: what the Control Plane and the build say about a file (B17, domain §2).

use crate::error::{Context, Error, Result, shown};
use crate::files::safe;
use crate::model::HashAlgorithm;
use crate::request::{PackReference, Provenance};
use serde_json::Value;
use std::path::Path;

/// The largest evidence pack, in bytes.
const MAX_PACK: u64 = 16 << 20;

/// Reads what an evidence pack says about the artifact and its certificate. Unknown fields are the pack's own.
///
/// # Errors
/// `bad_pack` naming the field.
pub(super) fn read(path: &Path) -> Result<PackReference> {
    let bad = |field: &str| {
        Error::usage(
            "bad_pack",
            format!("{}: {field} is missing or not what it should be", crate::files::shown_path(path)),
        )
    };
    let bytes = safe::read_bounded(path, MAX_PACK)?;
    let pack: Value = serde_json::from_slice(&bytes)
        .or_kind(crate::error::Kind::Usage, "bad_pack", || "the evidence pack is not JSON".into())?;
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

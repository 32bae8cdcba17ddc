//! From what is written to what is meant: the whole file, and the entries that are not keys, tokens or publication.

use super::check::Check;
use super::hardware::{Releases, TrustFile};
use super::policy::{Policy, Rule};
use super::raw::{RawConfig, RawLimits, RawOrganization, RawRetry, RawRule, RawTimestamp, RawTool};
use super::text::{bad_origin, bad_text, bad_url};
use super::types::{Organization, ResignAfter, Retry, RevokeRetired, Rotation, Timestamp};
use super::{Config, Operation, keys, publication};
use crate::error::Result;
use crate::model::{Environment, Hash256};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

impl Check<'_> {
    /// Checks everything. `None` only together with a problem.
    pub(super) fn config(&mut self, raw: RawConfig, hash_of: &dyn Fn(&Path) -> Result<Hash256>) -> Option<Config> {
        let environment = *raw.environment.get_ref();
        if raw.keys.is_empty() {
            self.bad(raw.environment.span(), "keys", "no key is configured");
        }
        let organization = self.organization(raw.organization);
        let hsm: BTreeMap<_, _> = raw
            .hsm
            .into_iter()
            .filter_map(|(name, hsm)| Some((name.clone(), self.hsm(&name, hsm, environment, hash_of)?)))
            .collect();
        self.one_environment(&hsm);
        let keys = keys::check(self, raw.keys, environment, &hsm);
        let timestamp = self.timestamp(raw.timestamp, environment, raw.environment.span(), hash_of);
        let policy = self.policy(raw.policy, environment);
        let rotation = Rotation {
            revoke_retired: raw.rotation.revoke_retired.unwrap_or(RevokeRetired::Superseded),
            resign_after: raw.rotation.resign_after.unwrap_or(ResignAfter::Untimestamped),
            // The slowest mirror lags a week (domain §6).
            publish_safety_days: raw
                .rotation
                .publish_safety_days
                .map_or_else(super::types::publish_safety_days, |days| {
                    self.number(&days, "rotation.publish_safety_days", 7..=365)
                }),
        };
        let publication = publication::publication(self, raw.publication);
        let pipelines = publication::pipelines(self, raw.pipelines, &keys);
        let retry = self.retry(raw.retry);
        let max_artifact = self.max_artifact(raw.limits);
        let tool = self.releases(raw.tool);
        let path = self.path().to_path_buf();
        self.is_good().then(|| Config {
            path,
            environment,
            organization,
            hsm: hsm.into_iter().map(|(name, placed)| (name, placed.hsm)).collect(),
            keys,
            timestamp,
            policy,
            rotation,
            publication,
            pipelines,
            tool,
            retry,
            max_artifact,
            warnings: Vec::new(),
        })
    }

    fn releases(&mut self, raw: RawTool) -> Releases {
        let Some(list) = raw.sha256 else { return Releases::default() };
        if list.get_ref().is_empty() || list.get_ref().len() > 64 {
            self.bad(list.span(), "tool.sha256", "one to 64 releases");
        }
        Releases { sha256: list.into_inner() }
    }

    fn organization(&mut self, raw: RawOrganization) -> Organization {
        self.bad_if(raw.name.span(), "organization.name", bad_text(raw.name.get_ref(), 64));
        self.bad_if(raw.origin.span(), "organization.origin", bad_origin(raw.origin.get_ref()));
        Organization { name: raw.name.into_inner(), origin: raw.origin.into_inner() }
    }

    fn timestamp(
        &mut self,
        raw: RawTimestamp,
        environment: Environment,
        file: Range<usize>,
        hash_of: &dyn Fn(&Path) -> Result<Hash256>,
    ) -> Timestamp {
        let production = environment == Environment::Production;
        let mut timestamp = Timestamp::default();
        let authorities = raw.authorities.as_ref().map_or(file.clone(), Spanned::span);
        for url in raw.authorities.map(Spanned::into_inner).unwrap_or_default() {
            self.bad_if(url.span(), "timestamp.authorities", bad_url(url.get_ref()));
            timestamp.authorities.push(url.into_inner());
        }
        if production && timestamp.authorities.is_empty() {
            self.bad(authorities, "timestamp.authorities", "production takes at least one timestamp authority");
        }
        let trust = raw.trust.as_ref().map_or(file, Spanned::span);
        for path in raw.trust.map(Spanned::into_inner).unwrap_or_default() {
            let (span, path) = (path.span(), PathBuf::from(path.into_inner()));
            match hash_of(&path) {
                Ok(sha256) => timestamp.trust.push(TrustFile { path, sha256 }),
                Err(error) => self.bad(span, "timestamp.trust", error.full()),
            }
        }
        if production && timestamp.trust.is_empty() {
            self.bad(trust, "timestamp.trust", "production takes at least one file of trusted roots");
        }
        timestamp
    }

    fn policy(&mut self, raw: BTreeMap<Operation, Spanned<RawRule>>, environment: Environment) -> Policy {
        let mut policy = Policy::default();
        for (operation, rule) in raw {
            let table = rule.span();
            let raw = rule.into_inner();
            let field = |part: &str| format!("policy.{operation}.{part}");
            let spans = [
                ("threshold", raw.threshold.as_ref().map(Spanned::span)),
                ("roles", raw.roles.as_ref().map(Spanned::span)),
                ("must_include", raw.must_include.as_ref().map(Spanned::span)),
                ("max_age_hours", raw.max_age_hours.as_ref().map(Spanned::span)),
                ("asserted", raw.asserted.as_ref().map(Spanned::span)),
            ];
            let default = operation.default_rule();
            let small = |value: Option<Spanned<u64>>, default: u32| {
                value.map_or(default, |value| u32::try_from(value.into_inner()).unwrap_or(u32::MAX))
            };
            let threshold = small(raw.threshold, default.threshold);
            let asserted = raw.asserted.map(Spanned::into_inner);
            let rule = Rule {
                threshold,
                roles: raw.roles.map_or(default.roles, |roles| roles.into_inner().into_iter().collect()),
                must_include: raw.must_include.map_or(default.must_include, |r| r.into_inner().into_iter().collect()),
                max_age_hours: small(raw.max_age_hours, default.max_age_hours),
                asserted: asserted.unwrap_or(operation.is_asserted_by_default(threshold)),
            };
            if let Some((part, why)) = operation.objection(&rule, environment == Environment::Sandbox) {
                let span = spans.into_iter().find(|(name, _)| *name == part).and_then(|(_, span)| span);
                self.bad(span.unwrap_or(table), &field(part), why);
            }
            policy.set(operation, rule);
        }
        policy
    }

    fn retry(&mut self, raw: RawRetry) -> Retry {
        let default = Retry::default();
        let mut number = |value: Option<Spanned<u64>>, name: &str, range| {
            value.map(|value| (value.span(), self.number(&value, &format!("retry.{name}"), range)))
        };
        let seconds = |n: u32| Duration::from_secs(u64::from(n));
        let attempts = number(raw.max_attempts, "max_attempts", 1..=20);
        let base = number(raw.base_seconds, "base_seconds", 1..=600);
        let most = number(raw.max_backoff_seconds, "max_backoff_seconds", 1..=3600);
        let threshold = number(raw.circuit_breaker_threshold, "circuit_breaker_threshold", 1..=100);
        let pause = number(raw.circuit_breaker_pause_minutes, "circuit_breaker_pause_minutes", 1..=1440);
        let timeout = number(raw.timeout_seconds, "timeout_seconds", 1..=600);
        let retry = Retry {
            max_attempts: attempts.map_or(default.max_attempts, |(_, n)| n),
            base: base.as_ref().map_or(default.base, |(_, n)| seconds(*n)),
            max_backoff: most.as_ref().map_or(default.max_backoff, |(_, n)| seconds(*n)),
            circuit_breaker_threshold: threshold.map_or(default.circuit_breaker_threshold, |(_, n)| n),
            circuit_breaker_pause: pause.map_or(default.circuit_breaker_pause, |(_, n)| seconds(n) * 60),
            timeout: timeout.map_or(default.timeout, |(_, n)| seconds(n)),
        };
        if let (true, Some((span, _))) = (retry.base > retry.max_backoff, base.or(most)) {
            self.bad(span, "retry.base_seconds", "longer than max_backoff_seconds");
        }
        retry
    }

    fn max_artifact(&mut self, raw: RawLimits) -> u64 {
        let gib = raw.artifact_gib.map_or(16, |gib| self.number(&gib, "limits.artifact_gib", 1..=1024));
        u64::from(gib) << 30
    }
}

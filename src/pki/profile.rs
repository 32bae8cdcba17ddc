//! Certificate profiles: what each kind of certificate looks like, and who may issue whom.
//!
//! The rules are data (`profiles.toml`), compiled in and read once; a key that is not known there is refused. The code
//! below only gives the words their meaning. Issuing builds from a profile and lint judges by it, so the two cannot
//! drift apart unseen.

use super::oid;
use crate::crypto::verify::PublicKey;
use crate::error::{Error, Result};
use crate::model::{Environment, KeyAlgorithm, Purpose};
use const_oid::ObjectIdentifier;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;
use x509_cert::ext::pkix::KeyUsages;

/// The names of the profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileName {
    /// Self-signed root.
    RootCa,
    /// A root's key, certified by another root of the same name.
    RootLink,
    /// Issues code-signing certificates.
    IntermediateCa,
    /// Issues installer-style certificates.
    InstallerCa,
    /// Issues connectors' client certificates.
    ConnectorCa,
    /// Issues timestamping certificates.
    TimestampCa,
    /// Signs Windows artifacts.
    Authenticode,
    /// Signs macOS flat packages.
    Installer,
    /// Authenticates a connector.
    Connector,
    /// Signs RFC 3161 tokens.
    Timestamp,
}

impl ProfileName {
    /// All of them.
    pub const ALL: &'static [ProfileName] = &[
        ProfileName::RootCa,
        ProfileName::RootLink,
        ProfileName::IntermediateCa,
        ProfileName::InstallerCa,
        ProfileName::ConnectorCa,
        ProfileName::TimestampCa,
        ProfileName::Authenticode,
        ProfileName::Installer,
        ProfileName::Connector,
        ProfileName::Timestamp,
    ];

    /// The profile of a key's certificate. An `intermediate-ca` has the profile of the CA that may issue what `issues`
    /// names (code signing when it names nothing).
    ///
    /// # Errors
    /// `Usage` `no_profile` for purposes without X.509 certificates, and for things no intermediate issues.
    pub fn of(purpose: Purpose, issues: Option<Purpose>) -> Result<Self> {
        match (purpose, issues) {
            (Purpose::RootCa, _) => Ok(ProfileName::RootCa),
            (Purpose::IntermediateCa, None | Some(Purpose::Authenticode)) => Ok(ProfileName::IntermediateCa),
            (Purpose::IntermediateCa, Some(Purpose::Installer)) => Ok(ProfileName::InstallerCa),
            (Purpose::IntermediateCa, Some(Purpose::Connector)) => Ok(ProfileName::ConnectorCa),
            (Purpose::Authenticode, _) => Ok(ProfileName::Authenticode),
            (Purpose::Installer, _) => Ok(ProfileName::Installer),
            (Purpose::Connector, _) => Ok(ProfileName::Connector),
            _ => Err(Error::usage("no_profile", format!("there is no certificate profile for {purpose} keys"))),
        }
    }

    /// The spelling of `profiles.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            ProfileName::RootCa => "root-ca",
            ProfileName::RootLink => "root-link",
            ProfileName::IntermediateCa => "intermediate-ca",
            ProfileName::InstallerCa => "installer-ca",
            ProfileName::ConnectorCa => "connector-ca",
            ProfileName::TimestampCa => "timestamp-ca",
            ProfileName::Authenticode => "authenticode",
            ProfileName::Installer => "installer",
            ProfileName::Connector => "connector",
            ProfileName::Timestamp => "timestamp",
        }
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether something must, may or must not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Must be there.
    Required,
    /// May be there.
    Optional,
    /// Must not be there.
    Forbidden,
}

/// A keyUsage bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usage {
    /// digitalSignature.
    DigitalSignature,
    /// keyCertSign.
    KeyCertSign,
    /// cRLSign.
    CrlSign,
}

impl Usage {
    /// The bit.
    pub fn bit(self) -> KeyUsages {
        match self {
            Usage::DigitalSignature => KeyUsages::DigitalSignature,
            Usage::KeyCertSign => KeyUsages::KeyCertSign,
            Usage::CrlSign => KeyUsages::CRLSign,
        }
    }
}

/// What a certificate chain is good for: the extended key usages known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eku {
    /// Code signing.
    CodeSigning,
    /// RFC 3161 timestamping.
    TimeStamping,
    /// TLS client authentication.
    ClientAuth,
    /// Apple's package signing.
    AppleInstaller,
}

impl Eku {
    /// Its identifier.
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Eku::CodeSigning => oid::CODE_SIGNING,
            Eku::TimeStamping => oid::TIME_STAMPING,
            Eku::ClientAuth => oid::CLIENT_AUTH,
            Eku::AppleInstaller => oid::APPLE_INSTALLER,
        }
    }
}

/// A subject attribute by the name the settings use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectAttribute {
    /// C.
    Country,
    /// ST.
    State,
    /// L.
    Locality,
    /// O.
    Organization,
    /// OU.
    OrganizationalUnit,
    /// CN.
    CommonName,
}

impl SubjectAttribute {
    /// Its identifier.
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            SubjectAttribute::Country => oid::COUNTRY,
            SubjectAttribute::State => oid::STATE,
            SubjectAttribute::Locality => oid::LOCALITY,
            SubjectAttribute::Organization => oid::ORGANIZATION,
            SubjectAttribute::OrganizationalUnit => oid::ORGANIZATIONAL_UNIT,
            SubjectAttribute::CommonName => oid::COMMON_NAME,
        }
    }
}

/// One table of `profiles.toml`; the comments there say what each field means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Signs itself.
    #[serde(default)]
    pub self_signed: bool,
    /// Certifies a root's key by another root of the same name.
    #[serde(default)]
    pub link: bool,
    /// Key algorithms everywhere.
    pub algorithms: Vec<KeyAlgorithm>,
    /// Key algorithms allowed in a sandbox besides.
    pub sandbox_algorithms: Vec<KeyAlgorithm>,
    /// Longest life of what we issue, days.
    pub max_validity_days: u32,
    /// Longest life of what others issued, days; as ours if left out.
    pub import_max_validity_days: Option<u32>,
    /// pathLenConstraint.
    pub path_len: Option<u8>,
    /// keyUsage, exactly.
    pub key_usage: Vec<Usage>,
    /// extKeyUsage, exactly.
    pub extended_key_usage: Vec<Eku>,
    /// extKeyUsage is critical.
    #[serde(default)]
    pub extended_key_usage_critical: bool,
    /// certificatePolicies.
    pub policies: Need,
    /// Used when the settings name none.
    #[serde(default, deserialize_with = "oid_list")]
    pub default_policies: Vec<ObjectIdentifier>,
    /// CRL and caIssuers URLs.
    pub urls: Need,
    /// Subject attributes that must be there.
    pub subject_required: Vec<SubjectAttribute>,
    /// Others that may be there.
    pub subject_allowed: Vec<SubjectAttribute>,
    /// What this CA may issue.
    #[serde(default)]
    pub issues: Vec<ProfileName>,
    /// A marker extension.
    #[serde(default, deserialize_with = "optional_oid")]
    pub marker: Option<ObjectIdentifier>,
}

fn oid_list<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Vec<ObjectIdentifier>, D::Error> {
    let texts = Vec::<String>::deserialize(d)?;
    texts
        .iter()
        .map(|text| text.parse().map_err(|_| D::Error::custom(format!("not an identifier: {text:?}"))))
        .collect()
}

fn optional_oid<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Option<ObjectIdentifier>, D::Error> {
    let text = String::deserialize(d)?;
    text.parse().map(Some).map_err(|_| D::Error::custom(format!("not an identifier: {text:?}")))
}

impl Profile {
    /// The profile of that name.
    ///
    /// # Errors
    /// `Bug` when the compiled-in file is broken or lacks the profile.
    pub fn get(name: ProfileName) -> Result<&'static Profile> {
        let profiles = PROFILES.as_ref().map_err(|e| Error::bug(format!("profiles.toml: {e}")))?;
        profiles.get(&name).ok_or_else(|| Error::bug(format!("profiles.toml: no [{name}]")))
    }

    /// A CA, by its key usage.
    pub fn is_ca(&self) -> bool {
        self.key_usage.contains(&Usage::KeyCertSign)
    }

    /// Whether a subject key of this algorithm is allowed.
    pub fn allows(&self, algorithm: KeyAlgorithm, relaxation: SandboxRelaxation) -> bool {
        self.algorithms.contains(&algorithm) || (relaxation.0 && self.sandbox_algorithms.contains(&algorithm))
    }

    /// The smallest RSA modulus that is allowed, in bits; `None` if RSA is not.
    pub fn min_rsa_bits(&self) -> Option<u32> {
        let bits = |algorithm: &KeyAlgorithm| match algorithm {
            KeyAlgorithm::Rsa3072 => Some(3072),
            KeyAlgorithm::Rsa4096 => Some(4096),
            _ => None,
        };
        self.algorithms.iter().filter_map(bits).min()
    }

    /// Whether `key` is of an allowed algorithm; the message says why not.
    pub(super) fn check_key(&self, key: &PublicKey, relaxation: SandboxRelaxation) -> std::result::Result<(), String> {
        match key.algorithm() {
            Some(algorithm) if self.allows(algorithm, relaxation) => Ok(()),
            Some(algorithm) => Err(format!("{algorithm} keys are not allowed by this profile")),
            None => Err(format!("a key of {} bits and of a kind not allowed by this profile", key.key().bits())),
        }
    }
}

/// What a sandbox may do without: larger curves than P-256, and CRL and caIssuers URLs (design §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxRelaxation(bool);

impl SandboxRelaxation {
    /// Only the environment decides; nothing else can relax a profile.
    pub fn of(environment: Environment) -> Self {
        SandboxRelaxation(environment == Environment::Sandbox)
    }

    /// Whether URLs may be missing.
    pub fn urls_optional(self) -> bool {
        self.0
    }
}

static PROFILES: LazyLock<std::result::Result<BTreeMap<ProfileName, Profile>, String>> =
    LazyLock::new(|| toml::from_str(include_str!("profiles.toml")).map_err(|e| e.to_string()));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_profiles_keep_the_hierarchy_rules() {
        for name in ProfileName::ALL.iter().copied() {
            let profile = Profile::get(name).unwrap();
            assert_eq!(profile.is_ca(), !profile.issues.is_empty(), "{name}");
            for child_name in &profile.issues {
                let child = Profile::get(*child_name).unwrap();
                // A root, by itself or by another, has no purposes and passes any on; below it they only get fewer.
                let subset = child.extended_key_usage.iter().all(|e| profile.extended_key_usage.contains(e));
                assert!(profile.self_signed || profile.link || subset, "{name} issues {child_name}");
                assert!(child.max_validity_days < profile.max_validity_days, "{name} issues {child_name}");
                assert!(!child.self_signed);
            }
            let both = [Eku::CodeSigning, Eku::TimeStamping];
            assert!(!both.iter().all(|e| profile.extended_key_usage.contains(e)), "{name}");
            assert_eq!(profile.policies == Need::Required, !profile.default_policies.is_empty(), "{name}");
            assert!(!profile.algorithms.contains(&KeyAlgorithm::Ed25519), "{name}");
            assert_eq!(profile.min_rsa_bits(), Some(if profile.is_ca() { 4096 } else { 3072 }), "{name}");
        }
        assert_eq!(Profile::get(ProfileName::Authenticode).unwrap().max_validity_days, 460);
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = include_str!("profiles.toml").replace("self_signed ", "self_signed_ ");
        let error = toml::from_str::<BTreeMap<ProfileName, Profile>>(&text).unwrap_err();
        assert!(error.message().contains("unknown field"), "{error}");
        let text = include_str!("profiles.toml").replace("[connector]", "[conector]");
        assert!(toml::from_str::<BTreeMap<ProfileName, Profile>>(&text).is_err());
    }

    #[test]
    fn only_a_sandbox_relaxes() {
        let profile = Profile::get(ProfileName::Authenticode).unwrap();
        for environment in Environment::ALL.iter().copied() {
            let relaxation = SandboxRelaxation::of(environment);
            let sandbox = environment == Environment::Sandbox;
            assert_eq!(profile.allows(KeyAlgorithm::EcdsaP256, relaxation), sandbox);
            assert!(profile.allows(KeyAlgorithm::Rsa3072, relaxation));
        }
    }
}

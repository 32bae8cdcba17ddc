//! What a token is good for: a pure function over what it said of itself.
//!
//! For each purpose and algorithm it says whether keys can be made and used, and if not, what is missing.
//! Findings are warnings or problems; only the operator can tell which matter.

use super::token::{MechanismInfo, TokenInfo};
use crate::error::shown;
use crate::files::environment;
use crate::model::{KeyAlgorithm, Purpose};
use cryptoki_sys::*;
use serde::Serialize;

/// What the configuration claims of a module's FIPS validation (design §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FipsClaim {
    /// `140-2` or `140-3`.
    pub standard: String,
    /// Overall level, 1 to 4.
    pub level: u8,
    /// CMVP certificate number.
    pub certificate: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// To be known.
    Warning,
    /// To be mended.
    Problem,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// Stable word for programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

/// Whether a purpose can be served with an algorithm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// What for.
    pub purpose: Purpose,
    /// With which keys.
    pub algorithm: KeyAlgorithm,
    /// What is missing; empty if nothing is.
    pub missing: Vec<String>,
}

impl Capability {
    /// Keys can be made and used.
    pub fn is_there(&self) -> bool {
        self.missing.is_empty()
    }
}

/// What [`examine`] found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Purpose by purpose, each with the algorithms it may use, in order of preference.
    pub capabilities: Vec<Capability>,
    /// The worst first.
    pub findings: Vec<Finding>,
}

/// Judges a token by its facts. `production` makes software tokens and missing FIPS claims problems.
pub fn examine(info: &TokenInfo, mechanisms: &[MechanismInfo], fips: Option<&FipsClaim>, production: bool) -> Report {
    let capabilities = Purpose::ALL
        .iter()
        .flat_map(|purpose| algorithms(*purpose).iter().map(|algorithm| (*purpose, *algorithm)))
        .map(|(purpose, algorithm)| Capability { purpose, algorithm, missing: missing(algorithm, mechanisms) })
        .collect();
    let mut findings = Vec::new();
    pin_findings(info, &mut findings);
    module_findings(info, production, &mut findings);
    fips_findings(info, fips, production, &mut findings);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    Report { capabilities, findings }
}

/// The algorithms each purpose may use: CSBR knows no Ed25519, Apple's installer certificates are RSA.
fn algorithms(purpose: Purpose) -> &'static [KeyAlgorithm] {
    use KeyAlgorithm::*;
    match purpose {
        Purpose::RootCa | Purpose::IntermediateCa => &[Rsa4096, EcdsaP384, EcdsaP256],
        Purpose::Authenticode => &[Rsa3072, Rsa4096, EcdsaP256, EcdsaP384],
        Purpose::Installer => &[Rsa3072, Rsa4096],
        Purpose::Apt | Purpose::OpenpgpPrimary => &[Rsa4096, Ed25519, Rsa3072, EcdsaP256, EcdsaP384],
        Purpose::Connector => &[Rsa3072, EcdsaP256, EcdsaP384],
        Purpose::Ledger => &[Ed25519, EcdsaP256],
    }
}

fn missing(algorithm: KeyAlgorithm, mechanisms: &[MechanismInfo]) -> Vec<String> {
    use KeyAlgorithm::*;
    let (generate, sign, bits) = match algorithm {
        Rsa3072 => (("CKM_RSA_PKCS_KEY_PAIR_GEN", CKM_RSA_PKCS_KEY_PAIR_GEN), ("CKM_RSA_PKCS", CKM_RSA_PKCS), 3072),
        Rsa4096 => (("CKM_RSA_PKCS_KEY_PAIR_GEN", CKM_RSA_PKCS_KEY_PAIR_GEN), ("CKM_RSA_PKCS", CKM_RSA_PKCS), 4096),
        EcdsaP256 => (("CKM_EC_KEY_PAIR_GEN", CKM_EC_KEY_PAIR_GEN), ("CKM_ECDSA", CKM_ECDSA), 256),
        EcdsaP384 => (("CKM_EC_KEY_PAIR_GEN", CKM_EC_KEY_PAIR_GEN), ("CKM_ECDSA", CKM_ECDSA), 384),
        Ed25519 => (("CKM_EC_EDWARDS_KEY_PAIR_GEN", CKM_EC_EDWARDS_KEY_PAIR_GEN), ("CKM_EDDSA", CKM_EDDSA), 255),
    };
    let needs = [(generate, CKF_GENERATE_KEY_PAIR, "make pairs"), (sign, CKF_SIGN, "sign")];
    needs
        .into_iter()
        .filter_map(|((name, number), flag, act)| lacks(mechanisms, name, number, flag, act, bits))
        .collect()
}

fn lacks(
    mechanisms: &[MechanismInfo],
    name: &str,
    number: CK_MECHANISM_TYPE,
    flag: CK_FLAGS,
    act: &str,
    bits: u64,
) -> Option<String> {
    let Some(found) = mechanisms.iter().find(|mechanism| mechanism.number == number) else {
        return Some(format!("{name} is missing"));
    };
    if found.flags & flag == 0 {
        return Some(format!("{name} cannot {act}"));
    }
    // Sizes are in bits by the standard; some tokens give bytes, or 0 for "no limit", or 256 for Ed25519.
    let unlimited = found.max == 0 || found.max == CK_UNAVAILABLE_INFORMATION;
    let in_bytes = !unlimited && found.max <= 66 && bits <= 521 || !unlimited && found.max <= 1024 && bits > 1024;
    let (min, max) =
        if in_bytes { (found.min.saturating_mul(8), found.max.saturating_mul(8)) } else { (found.min, found.max) };
    let rounded = bits.next_multiple_of(8);
    let fits = unlimited || (min <= rounded && bits <= max);
    (!fits).then(|| format!("{name} takes {min} to {max} bits, not {bits}"))
}

fn pin_findings(info: &TokenInfo, findings: &mut Vec<Finding>) {
    let mut add = |flag: CK_FLAGS, level, code, message: &str| {
        if info.has(flag) {
            findings.push(Finding { level, code, message: message.to_owned() });
        }
    };
    add(CKF_USER_PIN_LOCKED, Level::Problem, "pin_locked", "the user PIN is locked");
    add(CKF_USER_PIN_FINAL_TRY, Level::Problem, "last_pin_try", "one more wrong user PIN locks the token");
    add(CKF_USER_PIN_COUNT_LOW, Level::Warning, "pin_count_low", "a wrong user PIN was entered since the last login");
    add(CKF_USER_PIN_TO_BE_CHANGED, Level::Problem, "pin_default", "the user PIN is the manufacturer's");
    add(CKF_SO_PIN_LOCKED, Level::Warning, "so_pin_locked", "the security officer's PIN is locked");
    add(CKF_SO_PIN_TO_BE_CHANGED, Level::Problem, "so_pin_default", "the security officer's PIN is the manufacturer's");
    add(CKF_WRITE_PROTECTED, Level::Warning, "write_protected", "the token is write-protected: no keys can be made");
    if !info.has(CKF_TOKEN_INITIALIZED) {
        let message = "the token is not initialised".to_owned();
        findings.push(Finding { level: Level::Problem, code: "token_uninitialized", message });
    } else if !info.has(CKF_USER_PIN_INITIALIZED) && info.has(CKF_LOGIN_REQUIRED) {
        let message = "the user PIN is not initialised".to_owned();
        findings.push(Finding { level: Level::Problem, code: "pin_uninitialized", message });
    }
}

fn module_findings(info: &TokenInfo, production: bool, findings: &mut Vec<Finding>) {
    if info.software {
        let level = if production { Level::Problem } else { Level::Warning };
        let message =
            "this is a software token: keys can be copied with the disk, attributes are not evidence".to_owned();
        findings.push(Finding { level, code: "software_token", message });
    }
    for variable in info.module.environment.iter().filter(|variable| environment::is_loader(&variable.name)) {
        let message = format!("{} can put other code in the place of the module", variable.name);
        findings.push(Finding { level: Level::Warning, code: "loader_steered", message });
    }
}

/// FIPS 140-2 certificates are on CMVP's historical list since September 2026 (governance §0, fact 11).
fn fips_findings(info: &TokenInfo, fips: Option<&FipsClaim>, production: bool, findings: &mut Vec<Finding>) {
    let mut add = |level, code, message: String| findings.push(Finding { level, code, message });
    let Some(fips) = fips else {
        if production {
            add(Level::Problem, "fips_missing", "no FIPS 140 entry is configured".to_owned());
        }
        return;
    };
    match fips.standard.as_str() {
        "140-3" => {}
        "140-2" => {
            let message = "FIPS 140-2 certificates are historical since September 2026; plan for a 140-3 module";
            add(Level::Warning, "fips_historical", message.to_owned());
        }
        other => add(Level::Problem, "fips_standard", format!("{} is not a FIPS 140 standard", shown(other))),
    }
    if !(2..=4).contains(&fips.level) {
        add(Level::Problem, "fips_level", format!("FIPS level {} is not 2, 3 or 4", fips.level));
    }
    if fips.certificate.is_empty() || !fips.certificate.bytes().all(|byte| byte.is_ascii_digit()) {
        add(Level::Problem, "fips_certificate", "the CMVP certificate number has digits only".to_owned());
    }
    if info.software {
        let message = "a FIPS entry is configured for a software token".to_owned();
        add(Level::Problem, "fips_software", message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hsm::module::ModuleInfo;
    use crate::keys::SteeringVariable;
    use crate::model::Hash256;

    fn token(flags: CK_FLAGS, software: bool) -> TokenInfo {
        TokenInfo {
            label: "t".into(),
            manufacturer: "m".into(),
            model: "m".into(),
            serial: "1".into(),
            firmware: "1.0".into(),
            hardware: "1.0".into(),
            flags: flags | CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED,
            pin_length: (8, 32),
            clock: None,
            software,
            module: ModuleInfo {
                path: Some("/m.so".into()),
                sha256: None,
                manufacturer: "m".into(),
                description: "d".into(),
                version: "1.0".into(),
                interface: "2.40".into(),
                environment: Vec::new(),
                libraries: Vec::new(),
            },
            validations: Vec::new(),
            statement: None,
            warnings: Vec::new(),
        }
    }

    fn mechanism(number: CK_MECHANISM_TYPE, min: u64, max: u64, flags: CK_FLAGS) -> MechanismInfo {
        MechanismInfo { number, min, max, flags }
    }

    fn codes(report: &Report) -> Vec<&str> {
        report.findings.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn capabilities_say_what_is_missing() {
        let mechanisms = [
            mechanism(CKM_RSA_PKCS_KEY_PAIR_GEN, 1024, 3072, CKF_GENERATE_KEY_PAIR),
            mechanism(CKM_RSA_PKCS, 1024, 4096, CKF_SIGN),
            mechanism(CKM_EC_KEY_PAIR_GEN, 32, 66, CKF_GENERATE_KEY_PAIR),
            mechanism(CKM_ECDSA, 256, 521, CKF_VERIFY),
        ];
        let report = examine(&token(0, false), &mechanisms, None, false);
        let missing = |purpose, algorithm| {
            let found = report.capabilities.iter().find(|c| c.purpose == purpose && c.algorithm == algorithm);
            found.unwrap().missing.join("; ")
        };
        assert_eq!(missing(Purpose::Authenticode, KeyAlgorithm::Rsa3072), "");
        let large = "CKM_RSA_PKCS_KEY_PAIR_GEN takes 1024 to 3072 bits, not 4096";
        assert_eq!(missing(Purpose::RootCa, KeyAlgorithm::Rsa4096), large);
        assert_eq!(missing(Purpose::RootCa, KeyAlgorithm::EcdsaP384), "CKM_ECDSA cannot sign");
        assert!(missing(Purpose::Ledger, KeyAlgorithm::Ed25519).contains("CKM_EDDSA is missing"));
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    }

    #[test]
    fn pins_modules_and_fips_entries_are_judged() {
        let mut info = token(CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_COUNT_LOW, true);
        info.module.environment = vec![SteeringVariable { name: "LD_PRELOAD".into(), value_sha256: Hash256::of(b"") }];
        let report = examine(&info, &[], None, true);
        let problems = ["last_pin_try", "software_token", "fips_missing"];
        assert_eq!(codes(&report), [&problems[..], &["pin_count_low", "loader_steered"]].concat());

        let claim = |standard: &str, level| FipsClaim { standard: standard.into(), level, certificate: "4703".into() };
        let with = |claim: &FipsClaim| examine(&token(0, false), &[], Some(claim), true);
        assert!(with(&claim("140-3", 3)).findings.is_empty());
        assert_eq!(codes(&with(&claim("140-2", 2))), ["fips_historical"]);
        assert_eq!(codes(&with(&claim("140-3", 1))), ["fips_level"]);
        assert_eq!(codes(&with(&claim("140-1", 3))), ["fips_standard"]);
    }
}

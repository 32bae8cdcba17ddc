//! Entries as the gate and the closing of permits write them, from typed requests. Keys, identifiers and nonces
//! follow from small numbers, so that the same acts give the same bytes.

use super::{ORIGIN, Signer, WORKSPACE, actor};
use crate::config::{Config, Settings};
use crate::crypto::verify::PublicKey;
use crate::error::Error;
use crate::keys::token::{ModuleFacts, TokenRecord};
use crate::keys::{AttributeFact, AttributeState, Copy, Credential, Identity, RevocationReason, State, TokenFacts};
use crate::ledger::genesis::{Genesis, GenesisIntent, LedgerKey, Tool};
use crate::ledger::{Entry, NewEntry};
use crate::model::{
    CkaId, Custody, Environment, GenerationId, Hash256, HashAlgorithm, HsmName, KeyAlgorithm, Mechanism, Purpose, hex,
};
use crate::request::{
    AdoptSettings, CertifyOpenPgp, ChangeState, Covered, Format, GenerateKey, ImportCertificate, IssueCertificate,
    IssueCrl, NewCrl, Operation, PublishKeyring, Request, RevokeKey, Role, SignArtifact,
};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

pub const PROCESS: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// 32 bytes that look random and are not.
pub fn fixed(what: &str, n: u64) -> Hash256 {
    Hash256::of(format!("{what} {n}").as_bytes())
}

fn uuid(what: &str, n: u64) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&fixed(what, n).0[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

pub fn id(generation: &str) -> GenerationId {
    generation.parse().unwrap()
}

/// A P-256 key.
pub fn p256(n: u64) -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let scalar = BigNum::from_slice(&fixed("key", n).0).unwrap();
    let mut point = EcPoint::new(&group).unwrap();
    point.mul_generator2(&group, &scalar, &mut BigNumContext::new().unwrap()).unwrap();
    PKey::from_ec_key(EcKey::from_private_components(&group, &scalar, &point).unwrap()).unwrap()
}

/// What the default configuration adopts.
pub fn settings() -> &'static Settings {
    static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
        let text = Config::render_default("Example Corp", ORIGIN);
        let no_files = |_: &Path| Err(Error::bug("the default names no files"));
        Config::parse(&text, Path::new("keyctl.toml"), &no_files).unwrap().adopted()
    });
    &SETTINGS
}

fn token(hsm: &HsmName) -> TokenFacts {
    TokenFacts {
        label: hsm.to_string(),
        manufacturer: "Kryoptic Project".into(),
        model: "v1".into(),
        serial: hex(&fixed(hsm.as_str(), 0).0[..8]),
        firmware: "0.0".into(),
        software: true,
    }
}

fn record(hsm: &HsmName) -> TokenRecord {
    let module = ModuleFacts {
        path: None,
        sha256: None,
        manufacturer: "Kryoptic".into(),
        description: "Kryoptic PKCS11 Module".into(),
        version: "0.0".into(),
        environment: Vec::new(),
        libraries: Vec::new(),
    };
    TokenRecord { token: token(hsm), module, validations: Vec::new(), statement: None }
}

fn algorithm_of(key: &PKey<Private>) -> KeyAlgorithm {
    match key.id() {
        openssl::pkey::Id::ED25519 => KeyAlgorithm::Ed25519,
        _ => KeyAlgorithm::EcdsaP256,
    }
}

/// The identity of `key` on the token and under the CKA_ID that `params` plan.
pub fn identity(key: &PKey<Private>, params: &GenerateKey) -> Identity {
    let spki = key.public_key_to_der().unwrap();
    let fact =
        |name: &str, value| AttributeFact { name: name.into(), value: Some(value), state: AttributeState::Asserted };
    Identity {
        algorithm: params.algorithm,
        spki_sha256: PublicKey::from_spki(&spki).unwrap().spki_hash(),
        spki,
        created: params.created,
        credential: None,
        copies: vec![Copy {
            hsm: params.hsm.clone(),
            token: token(&params.hsm),
            cka_id: params.cka_id.clone(),
            attributes: vec![fact("CKA_SENSITIVE", true), fact("CKA_EXTRACTABLE", false), fact("CKA_SIGN", true)],
        }],
    }
}

/// An X.509 credential; the certificate's bytes are the caller's, and names are RFC 4514.
pub fn credential(certificate: Vec<u8>, serial: &str, names: [&str; 2], issued_by: Option<GenerationId>) -> Credential {
    let [subject, issuer] = names.map(str::to_owned);
    Credential::X509 {
        fingerprint: Hash256::of(&certificate),
        thumbprint: hex(&openssl::sha::sha1(&certificate)).to_uppercase(),
        certificate,
        subject,
        issuer,
        serial: serial.into(),
        not_before: crate::clock::parse("2026-01-01T00:00:00Z").unwrap(),
        not_after: crate::clock::parse("2026-05-01T00:00:00Z").unwrap(),
        issued_by,
        chain: Vec::new(),
    }
}

/// One signature with the key of [`keygen`].
pub fn covered(role: Role, generation: &str, mechanism: Mechanism, hsm: &str, content: Hash256) -> Covered {
    Covered {
        role,
        spki_sha256: (role != Role::ProofOfPossession).then(|| fixed("spki", 0)),
        hsm: hsm.parse().unwrap(),
        cka_id: CkaId::new(&fixed(generation, 0).0[..16]).unwrap(),
        mechanism,
        content: content.to_string(),
        count: 1,
    }
}

pub fn request<O: Operation>(object: impl ToString, params: O, signatures: Vec<Covered>) -> Request<O> {
    let object = object.to_string();
    Request {
        request_id: uuid(&object, 0),
        correlation_id: "c-1".parse().unwrap(),
        operation: O::KIND,
        object,
        actor: actor(),
        params,
        signatures,
        approvals: Vec::new(),
        authority: None,
    }
}

pub fn keygen(generation: &str, purpose: Purpose, algorithm: KeyAlgorithm, hsm: &str) -> Request<GenerateKey> {
    let mechanism = algorithm.mechanism(HashAlgorithm::Sha256);
    let proof = covered(Role::ProofOfPossession, generation, mechanism, hsm, fixed(generation, 2));
    let params = GenerateKey {
        generation: id(generation),
        purpose,
        environment: Environment::Sandbox,
        custody: Custody::Bound,
        algorithm,
        hsm: proof.hsm.clone(),
        token_serial: token(&proof.hsm).serial,
        cka_id: proof.cka_id.clone(),
        label: generation.into(),
        created: None,
        destroyable: !matches!(purpose, Purpose::RootCa | Purpose::IntermediateCa),
        nonce: fixed(generation, 1).to_string(),
    };
    request(generation, params, vec![proof])
}

pub fn step(generation: &str, from: State, to: State) -> Request<ChangeState> {
    let params = ChangeState { generation: id(generation), from, to, reason: "first generation of its key".into() };
    request(generation, params, Vec::new())
}

pub fn issue(generation: &str, issuer: &str, serial: &str) -> Request<IssueCertificate> {
    let params = IssueCertificate {
        generation: id(generation),
        issuer: id(issuer),
        profile: "authenticode-leaf".into(),
        serial: serial.into(),
        tbs_sha256: fixed(serial, 0),
        template_sha256: fixed(serial, 1),
        not_before: crate::clock::parse("2026-01-01T00:00:00Z").unwrap(),
        not_after: crate::clock::parse("2026-05-01T00:00:00Z").unwrap(),
    };
    request(generation, params, Vec::new())
}

pub fn import(generation: &str, certificate: &[u8], serial: &str) -> Request<ImportCertificate> {
    let params = ImportCertificate {
        generation: id(generation),
        fingerprint: Hash256::of(certificate),
        issuer: "CN=Example Corp Issuing,C=ZZ".into(),
        serial: serial.into(),
    };
    request(generation, params, Vec::new())
}

/// Certifies an OpenPGP key; what its signatures would say is made up.
pub fn certify(generation: &str, issuer: &str) -> Request<CertifyOpenPgp> {
    let params = CertifyOpenPgp {
        generation: id(generation),
        issuer: id(issuer),
        fingerprint: fixed(generation, 5).to_string().get(..40).unwrap().into(),
        created: crate::clock::parse("2026-01-01T00:00:00Z").unwrap(),
        expires: crate::clock::parse("2026-05-01T00:00:00Z").unwrap(),
        plan: json!({}),
    };
    request(generation, params, Vec::new())
}

/// What the outcome of [`certify`] says.
pub fn certified(request: &Request<CertifyOpenPgp>) -> Value {
    let CertifyOpenPgp { fingerprint, created, expires, .. } = request.params.clone();
    json!({ "credential": Credential::OpenPgp { certificate: b"certificate".to_vec(), fingerprint, created, expires } })
}

/// Publishes a keyring with these fingerprints.
pub fn publish(generation: &str, fingerprints: &[&str]) -> Request<PublishKeyring> {
    let fingerprints: Vec<_> = fingerprints.iter().map(|one| (*one).to_owned()).collect();
    let sha256 = Hash256::of(fingerprints.join(" ").as_bytes());
    let params = PublishKeyring { generation: id(generation), sha256, fingerprints };
    request(generation, params, Vec::new())
}

/// Adopts the settings with another name of the organization.
pub fn adopt(name: &str) -> Request<AdoptSettings> {
    let mut to = settings().clone();
    to.organization.name = name.into();
    let params = AdoptSettings {
        generation: id("ledger/1"),
        from_sha256: settings().sha256().unwrap(),
        to_sha256: to.sha256().unwrap(),
        settings: serde_json::to_value(&to).unwrap(),
        changes: crate::config::Amendment::between(settings(), &to).unwrap(),
        tokens: BTreeMap::from([("primary".parse().unwrap(), record(&"primary".parse().unwrap()))]),
    };
    request(params.to_sha256, params, Vec::new())
}

/// Signs the `n`th file.
pub fn sign(generation: &str, n: u64) -> Request<SignArtifact> {
    let before = fixed("file", n);
    let params = SignArtifact {
        generation: id(generation),
        cosigners: vec![],
        artifact_id: uuid("artifact", n),
        name: format!("setup-{n}.exe"),
        format: Format::Pe,
        hash_before: before,
        size_before: 1024 + n,
        content_digest: format!("sha256:{}", fixed("digest", n)),
        pack: None,
        sha512_before: None,
        provenance: None,
        options: BTreeMap::new(),
        cab: None,
        resigns: None,
    };
    let mechanism = Mechanism::Ecdsa(HashAlgorithm::Sha256);
    let covered = covered(Role::Artifact, generation, mechanism, "primary", fixed("attributes", n));
    request(before, params, vec![covered])
}

/// Revokes a generation from this day of 2026 on; a list by `issuer` says so, if there is one.
pub fn revoke(generation: &str, reason: RevocationReason, day: &str, list: Option<(&str, u64)>) -> Request<RevokeKey> {
    let params = RevokeKey {
        generation: id(generation),
        issuer: list.map(|(issuer, _)| id(issuer)),
        reason,
        revocation_date: crate::clock::parse(&format!("2026-{day}T00:00:00Z")).unwrap(),
        invalidity_date: None,
        reference: None,
        crl: list.map(|(_, number)| new_crl(number)),
        plan: None,
    };
    request(generation, params, Vec::new())
}

/// A list with this number; what would be signed is made up.
pub fn new_crl(number: u64) -> NewCrl {
    NewCrl {
        number,
        published: None,
        this_update: crate::clock::parse("2026-02-01T00:00:00Z").unwrap(),
        next_update: crate::clock::parse("2026-02-08T00:00:00Z").unwrap(),
        entries: 0,
        urls: Vec::new(),
        tbs_sha256: fixed("list", number),
    }
}

/// Issues a list.
pub fn crl(issuer: &str, number: u64) -> Request<IssueCrl> {
    let params = IssueCrl { generation: id(issuer), crl: new_crl(number), tells: Vec::new() };
    request(issuer, params, Vec::new())
}

/// What the outcome of a published list says.
pub fn listed(number: u64) -> Value {
    json!({ "resign_required": 0, "crl": { "number": number, "sha256": fixed("list", number) } })
}

/// What the outcome of [`sign`] says.
pub fn signed(n: u64) -> Value {
    json!({ "hash_after": fixed("signed file", n), "size_after": 4096 + n })
}

fn entry<O: Operation>(request: &Request<O>, mut body: Value) -> NewEntry {
    body["request"] = serde_json::to_value(request).unwrap();
    NewEntry {
        entry_type: O::ENTRY.parse().unwrap(),
        actor: request.actor.clone(),
        correlation_id: request.correlation_id.clone(),
        body,
    }
}

fn gate(verdict: &str) -> Value {
    json!([{ "name": "key_status", "input": "active", "limit": "active", "verdict": verdict }])
}

/// The intent of a request that was allowed.
pub fn intent<O: Operation>(request: &Request<O>) -> NewEntry {
    entry(request, json!({ "phase": "intent", "process": PROCESS, "gates": gate("pass") }))
}

/// The record of a request that was refused.
pub fn refused<O: Operation>(request: &Request<O>) -> NewEntry {
    let body = json!({
        "phase": "refused", "code": "gate_failed", "reason": "key_status fail: active (limit active)",
        "gates": gate("fail"),
    });
    entry(request, body)
}

/// Closes an intent as done.
pub fn done(intent: &Entry, done: Value) -> NewEntry {
    let mut new = closing(intent, "ok");
    new.body["done"] = done;
    new.body["fragment_id"] = uuid("fragment", intent.seq).into();
    new.body["workspace_id"] = WORKSPACE.into();
    new.body["environment"] = "sandbox".into();
    new.body["enforcement"] = "procedural".into();
    new.body["tool"] = serde_json::to_value(tool()).unwrap();
    new
}

/// Closes an intent as `failed` or `unknown`.
pub fn not_done(intent: &Entry, result: &str) -> NewEntry {
    let mut new = closing(intent, result);
    new.body["error"] = json!({ "error_class": "transient", "code": "token_gone", "message": "the token is gone" });
    new
}

fn closing(intent: &Entry, result: &str) -> NewEntry {
    NewEntry {
        entry_type: intent.entry_type.clone(),
        actor: intent.actor.clone(),
        correlation_id: intent.correlation_id.clone(),
        body: json!({
            "phase": "outcome", "result": result,
            "intent": intent.seq, "intent_hash": intent.leaf_hash().unwrap().to_string(),
        }),
    }
}

fn tool() -> Tool {
    Tool { version: "0.1.0".into(), sha256: Some(fixed("tool", 0)) }
}

/// Entry 0 of a sandbox whose one ledger key is `signer`'s.
pub fn genesis(signer: &Signer) -> Genesis {
    let planned = keygen("ledger/1", Purpose::Ledger, algorithm_of(&signer.0), "primary");
    let key = LedgerKey {
        generation: planned.params.generation.clone(),
        identity: identity(&signer.0, &planned.params),
        verifier: signer.keys()[0].to_string(),
    };
    Genesis {
        workspace_id: WORKSPACE.into(),
        environment: Environment::Sandbox,
        origin: ORIGIN.into(),
        ledger_keys: vec![key],
        tokens: settings().hsm.keys().map(|hsm| (hsm.clone(), record(hsm))).collect(),
        settings_sha256: settings().sha256().unwrap(),
        settings: serde_json::to_value(settings()).unwrap(),
        roster: None,
        roster_sha256: None,
        intent: GenesisIntent {
            workspace_id: WORKSPACE.into(),
            actor: actor(),
            correlation_id: "c-1".parse().unwrap(),
            ledger_keys: vec![planned],
            founding: None,
        },
        tool: tool(),
    }
}

/// A genesis as a new entry.
pub fn founding(genesis: &Genesis) -> NewEntry {
    super::new_entry("GENESIS", serde_json::to_value(genesis).unwrap())
}

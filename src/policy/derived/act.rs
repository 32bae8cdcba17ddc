//! One step of a request, read as what it does.

use super::{ROSTER, SETTINGS, bad};
use crate::error::Result;
use crate::model::{GenerationId, HsmName, Purpose};
use crate::people::request::Step;
use crate::request::{Kind, Operation, Visit};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// An act that people are asked about.
pub(super) struct Act<'a> {
    pub kind: Kind,
    pub step: &'a Step,
    pub generation: GenerationId,
    /// Generations whose private keys are used.
    pub signers: Vec<GenerationId>,
    /// Keys besides its own whose moving changes what it would come to.
    others: Vec<GenerationId>,
    /// Tokens that it names, with their serial numbers.
    named: Vec<(HsmName, String)>,
}

/// Every step, as what it does.
///
/// # Errors
/// `bad_request`: an operation that this program does not have, parameters that are not its, an object that is another
/// than that of its parameters.
pub(super) fn acts(steps: &[Step]) -> Result<Vec<Act<'_>>> {
    steps.iter().map(Act::of).collect()
}

/// Reads all parameters of an operation that leaves none open.
struct Typed<'a>(&'a Value);

impl Visit for Typed<'_> {
    type Output = Option<String>;

    fn visit<O: Operation>(self) -> Self::Output {
        serde_json::from_value::<O>(self.0.clone()).err().map(|error| error.to_string())
    }
}

impl<'a> Act<'a> {
    fn of(step: &'a Step) -> Result<Self> {
        let name = &step.operation;
        let kind = Kind::of_name(name).ok_or_else(|| bad(format!("{name:?} is no operation of this program")))?;
        if let Some(why) = kind.open().is_empty().then(|| kind.visit(Typed(&step.params))).flatten() {
            return Err(bad(format!("the parameters of {kind} cannot be read: {why}")));
        }
        let mut act = Act {
            kind,
            step,
            generation: field(step, "generation")?,
            signers: Vec::new(),
            others: Vec::new(),
            named: Vec::new(),
        };
        act.resolve()?;
        let object = act.object()?;
        match object == step.object {
            true => Ok(act),
            false => Err(bad(format!("a step is said to be {kind} of {:?}, and is of {object:?}", step.object))),
        }
    }

    /// Whose keys it uses, on which tokens.
    fn resolve(&mut self) -> Result<()> {
        let step = self.step;
        match self.kind {
            Kind::IssueCertificate | Kind::LinkRoots => {
                self.signers.push(field(step, "issuer")?);
                self.others = self.signers.clone();
            }
            Kind::CertifyOpenPgp => {
                self.others.push(field(step, "issuer")?);
                self.signers = vec![field(step, "issuer")?, self.generation.clone()];
            }
            Kind::RevokeKey => self.signers.extend(optional(step, "issuer")?),
            Kind::MakeCsr | Kind::TestKey | Kind::IssueCrl => self.signers.push(self.generation.clone()),
            Kind::SignArtifact => {
                self.signers.push(self.generation.clone());
                self.signers.extend(optional::<Vec<GenerationId>>(step, "cosigners")?.unwrap_or_default());
            }
            Kind::GenerateKey => self.named.push((field(step, "hsm")?, field(step, "token_serial")?)),
            Kind::GiveGrant => self.named.extend(field::<BTreeMap<HsmName, String>>(step, "tokens")?),
            Kind::DestroyKey => {
                for copy in field::<Vec<crate::request::Doomed>>(step, "copies")? {
                    self.named.push((copy.hsm, copy.token_serial));
                }
            }
            Kind::PublishKeyring
            | Kind::ChangeState
            | Kind::ImportCertificate
            | Kind::AdoptSettings
            | Kind::SetTime
            | Kind::EndGrant
            | Kind::CloseFollowUp
            | Kind::AdoptRoster
            | Kind::SuspendPerson
            | Kind::RestorePerson
            | Kind::SuspendKey
            | Kind::ReinstateKey
            | Kind::UpdatePipeline
            | Kind::ConfirmCrl
            | Kind::MarkArtifacts
            | Kind::PublishMetadata
            | Kind::ActivateKey
            | Kind::ReviewKey => {}
        }
        Ok(())
    }

    /// What its parameters are about, as its request names it.
    fn object(&self) -> Result<String> {
        Ok(match self.kind {
            Kind::SuspendKey | Kind::ReinstateKey => self.generation.key.to_string(),
            Kind::SuspendPerson | Kind::RestorePerson => self.text("email"),
            Kind::AdoptSettings => self.text("to_sha256"),
            Kind::SetTime => crate::request::SetTime::OBJECT.to_owned(),
            Kind::AdoptRoster => {
                let version = self.step.params.pointer("/to/version").and_then(Value::as_u64);
                format!("roster/{}", version.ok_or_else(|| bad("a roster has no version"))?)
            }
            Kind::CloseFollowUp => self.text("follow_up"),
            Kind::SignArtifact => self.text("hash_before"),
            Kind::LinkRoots => {
                let issuer: GenerationId = field(self.step, "issuer")?;
                crate::request::LinkRoots::object(&self.generation, &issuer)
            }
            Kind::GenerateKey
            | Kind::IssueCertificate
            | Kind::CertifyOpenPgp
            | Kind::PublishKeyring
            | Kind::ChangeState
            | Kind::MakeCsr
            | Kind::ImportCertificate
            | Kind::GiveGrant
            | Kind::EndGrant
            | Kind::UpdatePipeline
            | Kind::DestroyKey
            | Kind::RevokeKey
            | Kind::IssueCrl
            | Kind::ConfirmCrl
            | Kind::MarkArtifacts
            | Kind::TestKey
            | Kind::PublishMetadata
            | Kind::ActivateKey
            | Kind::ReviewKey => self.generation.to_string(),
        })
    }

    /// What must not move until it is done.
    pub fn subjects(&self) -> Vec<String> {
        let key = self.generation.key.to_string();
        match self.kind {
            Kind::SignArtifact | Kind::GiveGrant => vec![key, SETTINGS.to_owned()],
            Kind::AdoptSettings | Kind::SetTime => vec![SETTINGS.to_owned()],
            Kind::AdoptRoster | Kind::SuspendPerson | Kind::RestorePerson => vec![ROSTER.to_owned()],
            // What they say is read from the ledger when they are done; ending a grant only takes power away.
            Kind::IssueCrl
            | Kind::EndGrant
            | Kind::CloseFollowUp
            | Kind::PublishKeyring
            | Kind::PublishMetadata
            | Kind::UpdatePipeline
            | Kind::ConfirmCrl
            | Kind::MarkArtifacts => Vec::new(),
            Kind::GenerateKey
            | Kind::IssueCertificate
            | Kind::CertifyOpenPgp
            | Kind::ChangeState
            | Kind::MakeCsr
            | Kind::ImportCertificate
            | Kind::SuspendKey
            | Kind::ReinstateKey
            | Kind::DestroyKey
            | Kind::RevokeKey
            | Kind::TestKey
            | Kind::LinkRoots
            | Kind::ActivateKey
            | Kind::ReviewKey => {
                let others = self.others.iter().map(|other| other.key.to_string());
                std::iter::once(key).chain(others).collect()
            }
        }
    }

    /// Tokens that it names, with their serial numbers.
    pub fn tokens(&self) -> impl Iterator<Item = (HsmName, String)> + '_ {
        self.named.iter().cloned()
    }

    /// A text among its parameters; an empty one if it has none.
    pub fn text(&self, name: &str) -> String {
        self.step.params.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// What the key is for that it makes.
    pub fn purpose(&self) -> Option<Purpose> {
        field(self.step, "purpose").ok()
    }

    /// Whether it signs a file whose place another takes.
    pub fn is_again(&self) -> bool {
        self.step.params.get("resigns").is_some()
    }

    /// Whether it is never one of several steps.
    pub fn stands_alone(&self) -> bool {
        matches!(
            self.kind,
            Kind::AdoptSettings
                | Kind::SetTime
                | Kind::AdoptRoster
                | Kind::SuspendPerson
                | Kind::RestorePerson
                | Kind::GiveGrant
                | Kind::EndGrant
                | Kind::CloseFollowUp
                | Kind::DestroyKey
        )
    }
}

fn field<T: DeserializeOwned>(step: &Step, name: &str) -> Result<T> {
    let found = optional(step, name)?;
    found.ok_or_else(|| bad(format!("{} of {} has no {name}", step.operation, step.object)))
}

fn optional<T: DeserializeOwned>(step: &Step, name: &str) -> Result<Option<T>> {
    let read = |value: &Value| serde_json::from_value(value.clone());
    let value = step.params.get(name).map(read).transpose();
    value.map_err(|error| bad(format!("the {name} of {} of {}: {error}", step.operation, step.object)))
}

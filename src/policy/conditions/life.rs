//! Naming a key in a pipeline's file, and destroying it.

use super::{allows, stops, words};
use crate::config::{Config, PipelineValue, Settings};
use crate::keys::{AttributeFact, AttributeState, Generation, State};
use crate::model::{Environment, Hash256, Purpose};
use crate::policy::facts::People;
use crate::policy::life::{ENDED, INDESTRUCTIBLE, all_copies};
use crate::policy::testing::{facts, issued, request, windows};
use crate::policy::{Decide, Decision, Facts};
use crate::request::{DestroyKey, UpdatePipeline};
use std::path::Path;

const ENVIRONMENT: Environment = Environment::Production;

/// Settings in which the pipeline `build` follows the key `windows` with this value.
fn settings(value: PipelineValue) -> Settings {
    let pipeline = format!(
        "\n[pipelines.build]\nfile = \"/p/build.toml\"\nfield = \"a.b\"\nkey = \"windows\"\nvalue = \"{value}\"\n"
    );
    let text = Config::render_default("Example Corp", "example.invalid/keyctl") + &pipeline;
    Config::parse(&text, Path::new("/x/keyctl.toml"), &|_| unreachable!("no trust files")).unwrap().adopted()
}

/// The decision where the settings have one value, and the request another with this text.
fn update(adopted: PipelineValue, value: PipelineValue, to: &str, generation: Generation) -> Decision {
    let params = UpdatePipeline {
        generation: generation.id.clone(),
        pipeline: "build".parse().unwrap(),
        file: "/p/build.toml".into(),
        field: "a.b".parse().unwrap(),
        value,
        from: "before".into(),
        to: to.into(),
        before_sha256: Hash256::of(b"before"),
        after_sha256: Hash256::of(b"after"),
    };
    let settings = settings(adopted);
    UpdatePipeline::decide(&request(params), &facts(&settings, ENVIRONMENT, generation, issued()))
}

#[test]
fn a_field_gets_its_own_keys_value_of_the_kind_that_was_adopted() {
    use PipelineValue::{Certificate, Fingerprint, Generation as Number, Thumbprint};
    let (key, thumbprint) = (|| windows(ENVIRONMENT), "AB".repeat(20));
    let fingerprint = Hash256::of(b"certificate").to_string();
    allows(&update(Thumbprint, Thumbprint, &thumbprint, key()));
    allows(&update(Fingerprint, Fingerprint, &fingerprint, key()));
    allows(&update(Number, Number, "windows/1", key()));
    // The value is the key's, and another kind than people adopted.
    stops(&update(Thumbprint, Fingerprint, &fingerprint, key()), "Settings");
    // Another key has the same value, as a copy of a certificate may.
    stops(
        &update(Thumbprint, Thumbprint, &thumbprint, Generation { id: "apt/1".parse().unwrap(), ..key() }),
        "Settings",
    );
    // A field with a number in it holds the generation's; no other field does, and no other number.
    allows(&update(Number, Number, "1", key()));
    stops(&update(Number, Number, "2", key()), "PipelineValue");
    for value in [Thumbprint, Fingerprint, Certificate] {
        stops(&update(value, value, "1", key()), "PipelineValue");
    }
    stops(&update(Thumbprint, Thumbprint, &fingerprint, key()), "PipelineValue");
    let elsewhere = Generation { environment: Environment::Staging, ..key() };
    stops(&update(Thumbprint, Thumbprint, &thumbprint, elsewhere), "Environment");
    let quarantined = Generation { quarantined: Some("x".into()), ..key() };
    stops(&update(Thumbprint, Thumbprint, &thumbprint, quarantined), "Status");
}

#[test]
fn what_may_be_destroyed_is_what_the_states_say() {
    for &state in State::ALL {
        assert_eq!(ENDED.contains(&state), state.may_become(State::Destroyed), "{state}");
    }
}

#[test]
fn a_copy_that_forbids_it_is_named() {
    let settings = settings(PipelineValue::Thumbprint);
    let decide = |destroyable: Option<bool>| {
        let mut ca = Generation { purpose: Purpose::RootCa, state: State::Retired, ..windows(ENVIRONMENT) };
        let state = AttributeState::Asserted;
        let attributes = &mut ca.identities[0].copies[0].attributes;
        attributes.push(AttributeFact { name: "CKA_DESTROYABLE".into(), value: destroyable, state });
        let facts = facts(&settings, ENVIRONMENT, ca.clone(), issued());
        let copies = all_copies(&ca, &facts.destruction);
        let params = DestroyKey { generation: ca.id.clone(), from: State::Retired, copies };
        DestroyKey::decide(&request(params), &Facts { people: People::Waived, ..facts })
    };
    for value in [None, Some(true)] {
        allows(&decide(value));
        assert_eq!(words(&decide(value), INDESTRUCTIBLE).0, "no copy forbids it");
    }
    stops(&decide(Some(false)), INDESTRUCTIBLE);
    assert_eq!(words(&decide(Some(false)), INDESTRUCTIBLE).0, "primary CKA_DESTROYABLE false");
}

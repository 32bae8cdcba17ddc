use super::*;
use crate::config::{FipsStandard, TrustFile, Version};
use crate::keys::{Library, ModuleFacts, Statement, TokenFacts};
use crate::model::Hash256;
use crate::policy::facts::{Equipment, KnownToken, People};
use crate::policy::testing::{facts, issued, request, settings, windows};
use crate::request::{AdoptSettings, MakeCsr, SuspendKey};

const MODULE: Hash256 = Hash256([7; 32]);

fn name() -> HsmName {
    "primary".parse().unwrap()
}

fn wanted() -> Token {
    let version = |text: &str| text.parse::<Version>().unwrap();
    Token {
        module: Module::Path { path: "/m.so".into(), sha256: Some(MODULE), init_args: None },
        label: Some("primary".into()),
        serial: None,
        fips: Some(Fips {
            standard: FipsStandard::Fips1403,
            level: 3,
            certificate: "4700".into(),
            checked: Some("2026-03-01".into()),
        }),
        hardware: Some(Hardware {
            manufacturer: "Acme".into(),
            model: "Vault".into(),
            firmware: [version("7.3"), version("7.8")],
            attestation: None,
        }),
        environment: None,
    }
}

fn record() -> TokenRecord {
    let text = |text: &str| text.to_owned();
    TokenRecord {
        token: TokenFacts {
            label: text("primary"),
            manufacturer: text("Acme"),
            model: text("Vault"),
            serial: text("1"),
            firmware: text("7.5"),
            software: false,
        },
        module: ModuleFacts {
            path: Some(text("/m.so")),
            sha256: Some(MODULE),
            manufacturer: text("Acme"),
            description: text("d"),
            version: text("1.0"),
            environment: Vec::new(),
            libraries: vec![Library { path: text("/l.so"), sha256: MODULE }],
        },
        validations: vec![Validation {
            authority: text("nist-cmvp"),
            kind: text("hardware"),
            level: 3,
            certificate: text("#4700"),
        }],
        statement: Some(Statement {
            sha256: Hash256::of(b"statement"),
            roots_sha256: Hash256::of(b"roots"),
            vendor: text("Acme Devices"),
        }),
    }
}

fn tool() -> Tool {
    Tool { version: "1.0".into(), sha256: Some(Hash256::of(b"program")) }
}

fn attested(by: Attestation) -> Token {
    let mut wanted = wanted();
    wanted.hardware.as_mut().unwrap().attestation = Some(by);
    wanted
}

fn statement(file: &[u8], roots: &[u8]) -> Token {
    let named = |content: &[u8]| TrustFile { path: "x".into(), sha256: Hash256::of(content) };
    attested(Attestation::Statement { file: named(file), roots: named(roots) })
}

fn verdict(wanted: &Token, record: &TokenRecord) -> Verdict {
    judge(&name(), Some(wanted), Some(record), "people").verdict
}

#[test]
fn each_thing_that_is_not_as_adopted_stops_it() {
    let gate = judge(&name(), Some(&wanted()), Some(&record()), "alice, who adopted it");
    assert_eq!(gate.verdict, Verdict::Asserted);
    assert!(gate.input.contains("calls itself Acme Vault") && gate.input.contains("alice, who adopted it"), "{gate:?}");
    assert!(gate.input.contains(&MODULE.to_string()), "{gate:?}");
    assert_eq!(judge(&name(), None, Some(&record()), "people").verdict, Verdict::Fail);
    assert_eq!(judge(&name(), Some(&wanted()), None, "people").verdict, Verdict::Fail);
    let records: [fn(&mut TokenRecord); 7] = [
        |r| r.token.software = true,
        |r| r.module.sha256 = None,
        |r| r.module.sha256 = Some(Hash256([8; 32])),
        |r| r.token.manufacturer = "Acne".into(),
        |r| r.token.model = "Vault 2".into(),
        |r| r.token.firmware = "7.2".into(),
        |r| r.token.firmware = "7.9".into(),
    ];
    for (number, change) in records.into_iter().enumerate() {
        let mut record = record();
        change(&mut record);
        assert_eq!(verdict(&wanted(), &record), Verdict::Fail, "record {number}");
    }
    let entries: [fn(&mut Token); 5] = [
        |t| t.module = Module::Builtin,
        |t| t.module = Module::Path { path: "/m.so".into(), sha256: None, init_args: None },
        |t| t.fips = None,
        |t| t.fips.as_mut().unwrap().checked = None,
        |t| t.hardware = None,
    ];
    for (number, change) in entries.into_iter().enumerate() {
        let mut wanted = wanted();
        change(&mut wanted);
        assert_eq!(verdict(&wanted, &record()), Verdict::Fail, "entry {number}");
    }
    // A module without a file has no hash, and none is no hash to agree on.
    let mut neither = (wanted(), record());
    neither.0.module = Module::Path { path: "/m.so".into(), sha256: None, init_args: None };
    neither.1.module.sha256 = None;
    assert_eq!(verdict(&neither.0, &neither.1), Verdict::Fail);
}

#[test]
fn what_attests_it_has_to_say_so_of_this_device() {
    let by_object = attested(Attestation::ValidationObject);
    assert_eq!(verdict(&by_object, &record()), Verdict::Pass);
    let changes: [fn(&mut Validation); 5] = [
        |v| v.authority = "common-criteria".into(),
        |v| v.kind = "software".into(),
        |v| v.level = 2,
        |v| v.certificate = "4701".into(),
        |v| v.certificate = "#47000".into(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut record = record();
        change(&mut record.validations[0]);
        assert_eq!(verdict(&by_object, &record), Verdict::Fail, "{number}");
        assert_eq!(verdict(&wanted(), &record), Verdict::Asserted, "nobody asked for it");
    }
    let mut none = record();
    none.validations.clear();
    assert_eq!(verdict(&by_object, &none), Verdict::Fail);

    assert_eq!(verdict(&statement(b"statement", b"roots"), &record()), Verdict::Pass);
    assert_eq!(verdict(&statement(b"other", b"roots"), &record()), Verdict::Fail);
    assert_eq!(verdict(&statement(b"statement", b"other"), &record()), Verdict::Fail);
    none.statement = None;
    assert_eq!(verdict(&statement(b"statement", b"roots"), &none), Verdict::Fail);
}

fn in_production(settings: &mut Settings) {
    settings.environment = Environment::Production;
    settings.hsm.insert(name(), wanted());
    settings.tool.sha256 = vec![Hash256::of(b"program")];
}

fn equipment() -> Equipment {
    let known = KnownToken { record: Some(record()), adopted_by: "alice".into() };
    Equipment { tokens: [(name(), known)].into(), tool: tool() }
}

/// The gates that do not let pass, by name.
fn failing(decision: &Decision) -> Vec<String> {
    decision.gates().iter().filter(|gate| !gate.lets_pass()).map(|gate| gate.name.clone()).collect()
}

#[test]
fn production_asks_for_both_at_every_act_but_those_that_only_stop_something() {
    let mut settings = settings();
    in_production(&mut settings);
    let production = Environment::Production;
    let ask = |change: &dyn Fn(&mut Facts<'_>)| {
        let mut facts = facts(&settings, production, windows(production), issued());
        facts.people = People::Shown(Vec::new());
        facts.equipment = Some(equipment());
        change(&mut facts);
        weigh(&request(csr()), &facts)
    };
    let good = ask(&|_| {});
    assert!(matches!(good, Decision::Allow(_)), "{good:?}");
    assert!(good.gates().iter().any(|gate| gate.name == HARDWARE && gate.verdict == Verdict::Asserted));
    assert!(good.gates().iter().any(|gate| gate.name == TOOL && gate.verdict == Verdict::Pass));
    let unknown = ask(&|facts| facts.equipment.as_mut().unwrap().tool.sha256 = Some(Hash256::of(b"another")));
    assert!(matches!(&unknown, Decision::Block(_)) && failing(&unknown) == [TOOL]);
    let unknown = ask(&|facts| facts.equipment.as_mut().unwrap().tool.sha256 = None);
    assert_eq!(failing(&unknown), [TOOL]);
    let software = ask(&|facts| {
        let tokens = &mut facts.equipment.as_mut().unwrap().tokens;
        tokens.get_mut(&name()).unwrap().record.as_mut().unwrap().token.software = true;
    });
    assert_eq!(failing(&software), [HARDWARE]);
    // The key itself says what it was made on; evidence shows that beside the gates.
    let made = ask(&|facts| {
        let copies = &mut facts.generation.as_mut().unwrap().identities[0].copies;
        copies[0].token.software = true;
    });
    assert_eq!(failing(&made), [HARDWARE]);
    let missing = ask(&|facts| facts.people = People::Missing);
    assert!(matches!(missing, Decision::NeedsApproval(_)), "{missing:?}");

    let mut restricting = facts(&settings, production, windows(production), issued());
    restricting.people = People::Shown(Vec::new());
    restricting.equipment = Some(Equipment { tool: Tool { sha256: None, ..tool() }, ..equipment() });
    let stop = SuspendKey { generation: "windows/1".parse().unwrap(), reason: "lost".into() };
    let decision = weigh(&request(stop), &restricting);
    assert!(!failing(&decision).iter().any(|gate| gate == TOOL || gate == HARDWARE), "{decision:?}");
}

fn csr() -> MakeCsr {
    let generation = "windows/1".parse().unwrap();
    MakeCsr { generation, subject: "CN=x".into(), tbs_sha256: Hash256::of(b"csr") }
}

#[test]
fn an_adoption_is_held_to_what_it_puts_in_force() {
    let mut old = settings();
    in_production(&mut old);
    old.hsm.clear();
    old.tool.sha256.clear();
    let ask = |change: &dyn Fn(&mut Settings, &mut TokenRecord)| {
        let (mut new, mut record) = (settings(), record());
        in_production(&mut new);
        new.hsm.retain(|other, _| *other == name());
        change(&mut new, &mut record);
        let params = AdoptSettings {
            generation: "ledger/1".parse().unwrap(),
            from_sha256: old.sha256().unwrap(),
            to_sha256: new.sha256().unwrap(),
            changes: crate::config::Amendment::between(&old, &new).unwrap(),
            settings: crate::crypto::jcs::to_value(&new).unwrap(),
            tokens: [(name(), record)].into(),
        };
        let production = Environment::Production;
        let mut facts = facts(&old, production, windows(production), issued());
        facts.people = People::Shown(Vec::new());
        facts.equipment = Some(Equipment { tokens: BTreeMap::new(), tool: tool() });
        weigh(&request(params), &facts)
    };
    let good = ask(&|_, _| {});
    assert!(matches!(good, Decision::Allow(_)), "{good:?}");
    let word = good.gates().iter().find(|gate| gate.name == HARDWARE).unwrap();
    assert!(word.verdict == Verdict::Asserted && word.input.contains(ADOPTERS), "{word:?}");
    assert_eq!(failing(&ask(&|_, record| record.token.software = true)), [HARDWARE]);
    assert_eq!(failing(&ask(&|new, _| new.tool.sha256.clear())), [TOOL]);
    assert_eq!(failing(&ask(&|new, _| new.hsm.get_mut(&name()).unwrap().hardware = None)), [HARDWARE]);
    let other = "other".parse::<HsmName>().unwrap();
    let never = ask(&|new, _| drop(new.hsm.insert(other.clone(), wanted())));
    assert_eq!(failing(&never), [HARDWARE], "a token that was never looked at");
}

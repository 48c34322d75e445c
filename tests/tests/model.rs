//! The model of the contracts against their bytecode, call by call.
//!
//! `MATCHLOCK_MODEL_SEEDS=5000` runs more schedules than the CI does, `MATCHLOCK_MODEL_SEED=17` one alone.

use std::{collections::BTreeSet, fs, path::Path};

use matchlock::{
    abi::{
        Arena::{ArenaCalls, ArenaEvents},
        Court::{CourtCalls, CourtEvents},
    },
    chain::{ContractError, CourtError},
};
use matchlock_tests::compare::{Contracts, Tally, run};

/// Schedules in the CI.
const SEEDS: u64 = 160;

/// What no call on a deployed arena of the native coin can meet, or only with too little gas, or through a contract.
const OUT_OF_REACH: [&str; 8] =
    ["BadArbiters", "InVerdict", "Recorded", "ShortPatience", "TokenShort", "TooLittleGas", "WrongCourt", "ZeroWindow"];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn the_model_and_the_bytecode_agree_on_every_call() {
    let contracts = Contracts::committed();
    let mut tally = Tally::default();
    let seeds = match number("MATCHLOCK_MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MATCHLOCK_MODEL_SEEDS").unwrap_or(SEEDS),
    };
    let all = seeds.end - seeds.start >= SEEDS;
    println!("seeds {seeds:?}");
    for seed in seeds {
        run(seed, &contracts, &mut tally).unwrap_or_else(|error| panic!("{error}"));
    }
    for ((call, answer), count) in &tally.0 {
        println!("{count:>8} {call} {answer}");
    }
    // What was never met was never compared.
    if all {
        let met: BTreeSet<&str> = tally.0.keys().map(|(_, answer)| answer.as_str()).collect();
        let refusals = names(ContractError::SELECTORS, |selector| ContractError::name_by_selector(*selector));
        let refusals_of_court = names(CourtError::SELECTORS, |selector| CourtError::name_by_selector(*selector));
        let events = names(ArenaEvents::SELECTORS, |selector| ArenaEvents::name_by_selector(*selector));
        let events_of_court = names(CourtEvents::SELECTORS, |selector| CourtEvents::name_by_selector(*selector));
        let known = [refusals, refusals_of_court, events, events_of_court].concat();
        let skips: Vec<String> = (1..=9).map(|reason| format!("Skipped {reason}")).collect();
        let known = known.into_iter().filter(|name| *name != "Skipped").chain(skips.iter().map(String::as_str));
        let unmet: Vec<&str> = known.filter(|name| !met.contains(name) && !OUT_OF_REACH.contains(name)).collect();
        assert!(unmet.is_empty(), "no schedule comes to {}", unmet.join(", "));
    }
}

fn names<S>(selectors: &'static [S], name: impl Fn(&S) -> Option<&'static str>) -> Vec<&'static str> {
    selectors.iter().filter_map(name).collect()
}

/// What the model does not decode it cannot judge.
#[test]
fn the_sdk_has_every_call_of_both_contracts() {
    #[derive(serde::Deserialize)]
    struct Artifact {
        abi: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        r#type: String,
        #[serde(default)]
        name: String,
    }
    let arena = names(ArenaCalls::SELECTORS, |selector| ArenaCalls::name_by_selector(*selector));
    let court = names(CourtCalls::SELECTORS, |selector| CourtCalls::name_by_selector(*selector));
    for (artifact, known) in [
        (include_str!("../../sdk/contracts/artifacts/Arena.json"), arena),
        (include_str!("../../sdk/contracts/artifacts/Court.json"), court),
    ] {
        let artifact: Artifact = serde_json::from_str(artifact).expect("an artifact");
        let functions: Vec<_> = artifact.abi.iter().filter(|entry| entry.r#type == "function").collect();
        assert!(functions.len() > 10);
        let unknown: Vec<_> = functions.iter().filter(|function| !known.contains(&function.name.as_str())).collect();
        let unknown: Vec<_> = unknown.iter().map(|function| function.name.as_str()).collect();
        assert!(unknown.is_empty(), "the SDK does not know {}", unknown.join(", "));
    }
}

/// `sdk/contracts/mutants.mjs` compiles them; whether each is noticed is `cargo run -p matchlock-tests --bin mutants`.
#[test]
fn every_broken_contract_still_has_its_place_in_the_sources() {
    #[derive(serde::Deserialize)]
    struct Mutant {
        name: String,
        edits: Vec<[String; 3]>,
    }
    let contracts = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/contracts"));
    let list = fs::read_to_string(contracts.join("mutants.json")).expect("the list");
    let mutants: Vec<Mutant> = serde_json::from_str(&list).expect("mutants");
    assert!(mutants.len() >= 14);
    for Mutant { name, edits } in mutants {
        for [file, text, replacement] in edits {
            let source = fs::read_to_string(contracts.join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(source.matches(&text).count(), 1, "{name}: {file} has to hold this once: {text}");
            assert_ne!(text, replacement, "{name} changes nothing");
        }
    }
}

//! The model of the contracts against their bytecode, call by call.

use matchlock_tests::compare::{Contracts, Tally, run};

#[test]
fn the_model_and_the_bytecode_agree_on_every_call() {
    let seeds: u64 = std::env::var("MATCHLOCK_MODEL_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let contracts = Contracts::committed();
    let mut tally = Tally::default();
    for seed in 0..seeds {
        run(seed, &contracts, &mut tally).unwrap_or_else(|error| panic!("{error}"));
    }
    for ((call, answer), count) in &tally.0 {
        println!("{count:>8} {call} {answer}");
    }
}

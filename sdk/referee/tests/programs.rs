//! Random programs: the emulator and the translated code agree on every output, every trap, and every unit of gas.

mod common;

use common::{dice::Dice, program};
use matchlock_referee::{
    emulate::{Emulator, Meter, Trap},
    machine::Program,
    run::{self, AROUND},
    translate,
};

/// Gas that every program may take.
const BUDGET: u32 = 200_000;

/// Runs a program both ways, and returns the emulator's result.
fn compare(program: &Program, input: &[u8], seed: u64) -> Result<Vec<u8>, Trap> {
    let translation = translate(program, BUDGET).expect("a small program");
    let emulated = Emulator::new(program, translation.meter.clone()).run(input, BUDGET.into());
    let ran = run::run(&translation.code, input, u64::from(BUDGET) + 5_000);
    let output = emulated.result.clone().unwrap_or_default();
    assert_eq!(ran.output, output, "seed {seed}: {:?}", emulated.result);
    if !output.is_empty() {
        assert_eq!(ran.gas, emulated.gas + AROUND, "seed {seed}: the meter is exact");
    }
    emulated.result
}

/// How many random programs: 10,000, or `MATCHLOCK_PROGRAMS` from `MATCHLOCK_SEED` on.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let first = number("MATCHLOCK_SEED").unwrap_or(0);
    first..first + number("MATCHLOCK_PROGRAMS").unwrap_or(10_000)
}

#[test]
fn random_programs_do_the_same_in_the_emulator_and_in_the_evm() {
    let seeds = seeds();
    println!("seeds {seeds:?}");
    let (mut legal, mut instructions) = (0u64, 0u64);
    let mut traps = std::collections::BTreeMap::new();
    for seed in seeds.clone() {
        let mut dice = Dice::new(seed);
        let (program, input) = program::random(&mut dice);
        match compare(&program, &input, seed) {
            Ok(_) => legal += 1,
            Err(trap) => *traps.entry(name(trap)).or_insert(0u64) += 1,
        }
        instructions += Emulator::new(&program, Meter::instructions(&program)).run(&input, 20_000).gas;
    }
    println!(
        "{legal} of {} ended by themselves, after {instructions} instructions in all; traps: {traps:?}",
        seeds.end - seeds.start
    );
    if seeds.end - seeds.start >= 10_000 {
        assert!(legal > 3_000, "most programs come to an end");
        assert_eq!(traps.len(), 6, "every trap but the one for inputs: {traps:?}");
    }
}

/// The kind of a trap.
fn name(trap: Trap) -> &'static str {
    match trap {
        Trap::Input { .. } => "input",
        Trap::Instruction { .. } => "instruction",
        Trap::Load { .. } => "load",
        Trap::Store { .. } => "store",
        Trap::Jump { .. } => "jump",
        Trap::Host { .. } => "host",
        Trap::OutOfGas { .. } => "out of gas",
        _ => "another",
    }
}

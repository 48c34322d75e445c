//! The simulator on a few schedules of every kind; `cargo xtask sim` runs as many as one likes.

use matchlock_tests::sim::{Broken, Failed, Plan, SCENARIOS, Simulator, Tally, VARIANTS};

fn told(what: &str, seed: u64, failed: &Failed) -> String {
    let last = failed.story.len().saturating_sub(40);
    let story = failed.story[last..].join("\n");
    format!("{what}, seed {seed}: {}\n{}\n{story}", failed.why, failed.plan)
}

/// Each brings about what it is about, and breaks nothing.
#[test]
fn every_scenario_happens_and_breaks_nothing() {
    let mut simulator = Simulator::new().expect("a chain in memory");
    for scenario in SCENARIOS {
        let mut tally = Tally::default();
        for seed in 0..24 {
            let ended = simulator.run_plan(scenario.plan(seed), Broken::Nothing);
            tally.add(&ended.unwrap_or_else(|failed| panic!("{}", told(scenario.name, seed, &failed))).tally);
        }
        for what in scenario.happens {
            assert!(tally.of(what) > 0, "{}: no {what} in 24 schedules\n{tally}", scenario.name);
        }
    }
}

/// Seeds that once broke something.
#[test]
fn what_was_found_once_is_not_found_again() {
    let mut simulator = Simulator::new().expect("a chain in memory");
    for seed in include_str!("sim-seeds.txt").lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()) {
        // Found when all matches had arbiters.
        let plan = Plan { refereed: false, ..Plan::of(seed) };
        if let Err(failed) = simulator.run_plan(plan, Broken::Nothing) {
            panic!("{}", told("a seed of sim-seeds.txt", seed, &failed));
        }
    }
}

#[test]
fn a_schedule_is_a_function_of_its_seed() {
    let story = |simulator: &mut Simulator, seed| match simulator.run(seed, Broken::Nothing) {
        Ok(ended) => ended.story,
        Err(failed) => panic!("{}", told("twice", seed, &failed)),
    };
    let (mut first, mut second) = (Simulator::new().expect("a chain"), Simulator::new().expect("a chain"));
    let seeds = [7, 19, 42, 77];
    let mut forwards: Vec<_> = seeds.iter().map(|seed| story(&mut first, *seed)).collect();
    let backwards: Vec<_> = seeds.iter().rev().map(|seed| story(&mut second, *seed)).collect();
    forwards.reverse();
    assert_eq!(forwards, backwards, "in another order, on another chain");
}

/// A simulator that finds nothing proves nothing.
#[test]
fn what_is_broken_on_purpose_is_found() {
    let mut simulator = Simulator::new().expect("a chain in memory");
    for variant in VARIANTS {
        let plans = (0..100).map(|seed| variant.scenario().plan(seed));
        let mut found =
            plans.enumerate().filter_map(|(n, plan)| Some((n, simulator.run_plan(plan, variant.broken).err()?)));
        let (n, failed) = found.next().unwrap_or_else(|| panic!("{}: nothing found in 100 schedules", variant.name));
        println!("{}: found in schedule {} of {}: {}", variant.name, n + 1, variant.scenario, failed.why);
    }
}

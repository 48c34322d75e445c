//! `cargo xtask sim`: runs schedules of the simulator, and shows the one that breaks something.

use std::{
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use clap::Parser;
use matchlock_tests::sim::{Broken, Plan, Simulator};

/// Simulates whole schedules in virtual time, each from its seed.
#[derive(Parser)]
struct Arguments {
    /// How many schedules
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Runs one seed and tells its story
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Threads [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
    /// Goes on after a failure, and counts
    #[arg(long)]
    all: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return one(seed);
    }
    let threads = arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    let (next, end) = (AtomicU64::new(arguments.from), arguments.from + arguments.seeds);
    let failures = Mutex::new(Vec::new());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut simulator = Simulator::new().expect("a chain in memory");
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    if let Err(failed) = simulator.run(seed, Broken::Nothing) {
                        eprintln!("seed {seed}: {}", failed.why);
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push(seed);
                        if !arguments.all {
                            next.store(end, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort_unstable();
    let seconds = begun.elapsed().as_secs_f64();
    let ran = next.load(Ordering::Relaxed).min(end) - arguments.from;
    println!("{ran} schedules in {seconds:.1} s, {} failed", failures.len());
    match failures.first() {
        None => ExitCode::SUCCESS,
        Some(seed) => {
            println!("cargo xtask sim --seed {seed}");
            ExitCode::FAILURE
        }
    }
}

fn one(seed: u64) -> ExitCode {
    let mut simulator = Simulator::new().expect("a chain in memory");
    let plan = Plan::of(seed);
    println!("{plan}");
    match simulator.run_plan(plan, Broken::Nothing, true) {
        Ok((_, story)) => {
            story.iter().for_each(|line| println!("{line}"));
            println!("nothing is broken");
            ExitCode::SUCCESS
        }
        Err(failed) => {
            failed.story.iter().for_each(|line| println!("{line}"));
            println!("{}", failed.why);
            ExitCode::FAILURE
        }
    }
}

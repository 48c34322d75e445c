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
use matchlock_tests::sim::{Broken, Plan, SCENARIOS, Simulator, Tally, VARIANTS};

/// Schedules after which a line says how far it is.
const PROGRESS: u64 = 1_000;

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
    /// Runs the schedules of this scenario only
    #[arg(long, value_parser = SCENARIOS.iter().map(|scenario| scenario.name).collect::<Vec<_>>())]
    scenario: Option<String>,
    /// Breaks something on purpose, which has to be found
    #[arg(long, value_parser = VARIANTS.iter().map(|variant| variant.name).collect::<Vec<_>>())]
    broken: Option<String>,
}

impl Arguments {
    fn plan(&self, seed: u64) -> Plan {
        let named = |name: &String| SCENARIOS.iter().find(|scenario| scenario.name == name);
        self.scenario.as_ref().and_then(named).map_or_else(|| Plan::of(seed), |scenario| scenario.plan(seed))
    }

    fn broken(&self) -> Broken {
        let named = |broken: &String| VARIANTS.iter().find(|variant| variant.name == broken);
        self.broken.as_ref().and_then(named).map_or(Broken::Nothing, |variant| variant.broken)
    }

    /// The command that shows one seed again.
    fn again(&self, seed: u64) -> String {
        let named = |flag: &str, name: &Option<String>| {
            name.as_ref().map_or_else(String::new, |name| format!(" --{flag} {name}"))
        };
        let (scenario, broken) = (named("scenario", &self.scenario), named("broken", &self.broken));
        format!("cargo xtask sim{scenario}{broken} --seed {seed}")
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return one(&arguments, seed);
    }
    let threads = arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    let (next, end) = (AtomicU64::new(arguments.from), arguments.from + arguments.seeds);
    let (failures, tally) = (Mutex::new(Vec::new()), Mutex::new(Tally::default()));
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
                    let done = seed - arguments.from;
                    if done > 0 && done.is_multiple_of(PROGRESS) {
                        eprintln!("{done} of {} schedules, {} s", arguments.seeds, begun.elapsed().as_secs());
                    }
                    match simulator.run_plan(arguments.plan(seed), arguments.broken()) {
                        Ok(ended) => tally.lock().unwrap_or_else(PoisonError::into_inner).add(&ended.tally),
                        Err(failed) => {
                            eprintln!("seed {seed}: {}", failed.why);
                            failures.lock().unwrap_or_else(PoisonError::into_inner).push(seed);
                            if !arguments.all {
                                next.store(end, Ordering::Relaxed);
                            }
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
    println!("{}\n", tally.into_inner().unwrap_or_else(PoisonError::into_inner));
    println!("{ran} schedules in {seconds:.1} s, {} failed", failures.len());
    match failures.first() {
        None => ExitCode::SUCCESS,
        Some(seed) => {
            println!("{}", arguments.again(*seed));
            ExitCode::FAILURE
        }
    }
}

fn one(arguments: &Arguments, seed: u64) -> ExitCode {
    let mut simulator = Simulator::new().expect("a chain in memory");
    let plan = arguments.plan(seed);
    println!("{plan}");
    let (story, ending, code) = match simulator.run_plan(plan, arguments.broken()) {
        Ok(ended) => (ended.story, format!("{}\n\nnothing is broken", ended.tally), ExitCode::SUCCESS),
        Err(failed) => (failed.story, failed.why.to_string(), ExitCode::FAILURE),
    };
    story.iter().for_each(|line| println!("{line}"));
    println!("{ending}");
    code
}

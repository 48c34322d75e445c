//! `cargo xtask test`.

use std::time::Duration;

use crate::{
    fuzz::Targets,
    rules,
    runner::{self, Count},
    setup,
    step::{Done, Failure, Step},
};

/// Schedules that are simulated: some minutes' worth.
const SCHEDULES: &str = "10000";
/// Seconds that each fuzz target runs: enough to see that it runs, and what is nearest to its seeds.
const FUZZING: u32 = 10;

/// What each step took, and the tests that its runner counted.
#[derive(Default)]
struct Account {
    rows: Vec<(&'static str, Duration, Option<Count>)>,
    closing: Vec<String>,
}

impl Account {
    fn checked(&mut self, what: &'static str, done: Result<Done, Failure>) -> Result<(), Failure> {
        let done = done?;
        self.rows.push((what, done.took, None));
        Ok(())
    }

    fn tested(&mut self, what: &'static str, done: Result<Done, Failure>) -> Result<(), Failure> {
        let done = done?;
        self.rows.push((what, done.took, Some(runner::count(&done.output))));
        self.closing.extend(runner::closing(&done.output).into_iter().map(str::to_owned));
        Ok(())
    }

    fn print(&self, complete: bool) {
        if self.rows.is_empty() {
            return;
        }
        println!("\n{:<44}{:>10}{:>9}", "step", "seconds", "passed");
        for (what, took, count) in &self.rows {
            let passed = count.map(|count| count.passed.to_string()).unwrap_or_default();
            println!("{what:<44}{:>10.1}{passed:>9}", took.as_secs_f32());
        }
        if !complete {
            return;
        }
        println!("\nThe runners' own closing lines:");
        self.closing.iter().for_each(|line| println!("{line}"));
        let counts = self.rows.iter().filter_map(|(_, _, count)| *count);
        let (passed, failed) = counts.fold((0, 0), |sum, count| (sum.0 + count.passed, sum.1 + count.failed));
        println!("\n{passed} passed, {failed} failed");
    }
}

/// Runs the steps up to the first that fails.
pub(crate) fn run(fast: bool, filter: Option<&str>) -> Result<(), Failure> {
    let mut account = Account::default();
    let result = steps(fast, filter, &mut account);
    account.print(result.is_ok());
    result
}

fn steps(fast: bool, filter: Option<&str>, account: &mut Account) -> Result<(), Failure> {
    setup::node()?;
    let anvil = setup::foundry(&setup::npm("tests")?, "anvil")?;
    if filter.is_none() {
        account.checked("formatting", Step::cargo("Checking the formatting", &["fmt", "--all", "--check"]).run())?;
    }
    if filter.is_none() && !fast {
        contracts(account)?;
        let clippy = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        account.checked("lints", Step::cargo("Checking for lints", &clippy).run())?;
        let examples = ["test", "--workspace", "--doc"];
        account.tested(
            "documentation's examples",
            Step::cargo("Running the documentation's examples", &examples).run_kept(),
        )?;
    }
    let runner: &[&str] = if setup::has_nextest() {
        &["nextest", "run", "--workspace", "--no-fail-fast"]
    } else {
        &["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]
    };
    if filter.is_none() && !fast {
        // The server's tests of its chain run on the embedded one, or on this.
        let again = Step::cargo("Running the server's tests of its chain on anvil", runner).args(["chain::tests::"]);
        account.tested("the server's chain tests on anvil", again.env("MATCHLOCK_ANVIL", &anvil).run_kept())?;
    }
    if filter.is_none() && !fast {
        let (targets, built) = Targets::build()?;
        account.checked("building the fuzz targets", Ok(built))?;
        for name in Targets::ALL {
            account.tested("fuzzing", targets.run(name, FUZZING))?;
        }
    }
    if filter.is_none() && !fast {
        account.checked("rules are the same from two folders", rules::reproduce())?;
    }
    if filter.is_none() && !fast {
        let title = format!("Simulating {SCHEDULES} schedules");
        let simulate = Step::cargo(&title, &["run", "--bin", "sim", "--", "--seeds", SCHEDULES]);
        account.tested("simulated schedules", simulate.run_kept())?;
    }
    // Last, so that the closing line of most tests is the last.
    account.tested("tests", Step::cargo("Running the tests", runner).args(filter).run_kept())
}

fn contracts(account: &mut Account) -> Result<(), Failure> {
    let folder = setup::npm("sdk/contracts")?;
    let forge = setup::foundry(&folder, "forge")?;
    let title = "Comparing the contracts' artifacts with the sources";
    account.checked(
        "artifacts match the contracts",
        Step::new(title, "node", &["build.mjs", "--check"]).within(&folder).run(),
    )?;
    // Gas is compared with the snapshots that are committed, which this leaves as they are.
    let tests =
        Step::new("Testing the contracts", &forge, &["test"]).env("FORGE_SNAPSHOT_CHECK", "true").within(&folder);
    account.tested("contract tests", tests.run_kept())
}

//! What test runners say at their end.

/// Tests counted by a runner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

/// Adds up the closing lines of cargo test, nextest, forge, libFuzzer and the simulator.
pub(crate) fn count(output: &str) -> Count {
    output.lines().filter(|line| is_closing(line)).fold(Count::default(), |sum, line| Count {
        passed: sum.passed + before(line, "passed") + u64::from(is_fuzzed(line) || is_simulated(line)),
        failed: sum.failed + before(line, "failed"),
    })
}

/// The runner's closing lines themselves.
pub(crate) fn closing(output: &str) -> Vec<&str> {
    output.lines().map(str::trim).filter(|line| is_closing(line)).collect()
}

/// `test result: ok. 3 passed; 0 failed; ...`, `Summary [ 1.2s] 3 tests run: 3 passed, 0 skipped`,
/// `Ran 2 test suites in 1.2s (2.0s CPU time): 3 tests passed, 0 failed, 0 skipped (3 total tests)`.
fn is_closing(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("test result: ")
        || line.starts_with("Summary [")
        || line.starts_with("Ran ") && line.contains(" total tests)")
        || is_fuzzed(line)
        || is_simulated(line)
}

/// `Done 52103 runs in 11 second(s)`: a fuzz target that found nothing, which counts as one test. One that finds something
/// ends without it.
fn is_fuzzed(line: &str) -> bool {
    line.trim_start().starts_with("Done ") && line.contains(" runs in ")
}

/// `10000 schedules in 480.2 s, 0 failed`: all of them together count as one test.
fn is_simulated(line: &str) -> bool {
    line.contains(" schedules in ") && line.ends_with(" 0 failed")
}

/// The number in front of `word`: of several numbers the last before it.
fn before(line: &str, word: &str) -> u64 {
    let Some((head, _)) = line.split_once(word) else {
        return 0;
    };
    head.split_whitespace().rev().find_map(|part| part.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted() {
        let cargo = "test result: ok. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(count(&format!("{cargo}\nnoise: 9 passed\n{cargo}\n")), Count { passed: 6, failed: 2 });
        let nextest = "     Summary [   0.074s] 14 tests run: 12 passed (1 slow), 2 failed, 5 skipped";
        assert_eq!(count(nextest), Count { passed: 12, failed: 2 });
        let forge =
            "Ran 2 test suites in 1.20s (2.00s CPU time): 40 tests passed, 0 failed, 0 skipped (40 total tests)";
        assert_eq!(count(forge), Count { passed: 40, failed: 0 });
        let fuzzer = "Done 52103 runs in 11 second(s)\nstat::number_of_executed_units: 52103";
        assert_eq!(count(fuzzer), Count { passed: 1, failed: 0 });
        let simulator = "world: reorg 7\n10000 schedules in 480.2 s, 0 failed";
        assert_eq!(count(simulator), Count { passed: 1, failed: 0 });
        assert_eq!(count("running 3 tests\n"), Count::default());
    }
}

//! `cargo xtask fuzz`: builds the targets of `tests/fuzz` with the stable compiler, and has libFuzzer run them.

use std::{env, fs, path::PathBuf};

use crate::{
    setup,
    step::{Done, Failure, Step, root},
};

const TARGETS: [&str; 6] = ["frames", "channel", "judge", "batch", "blob", "program"];

/// What libFuzzer watches: every edge, and what is compared with what. cargo-fuzz passes the same, and an address sanitizer,
/// which needs the nightly compiler and finds nothing in code without `unsafe`.
const FLAGS: &str = "--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The targets, built.
pub(crate) struct Targets {
    folder: PathBuf,
}

/// Builds, then runs one target or all.
pub(crate) fn run(target: Option<&str>, seconds: u32) -> Result<(), Failure> {
    let chosen: Vec<&str> = TARGETS.into_iter().filter(|name| target.is_none_or(|target| target == *name)).collect();
    if chosen.is_empty() {
        return Err(Failure::Missing(format!("There is no such target. There are {}.", TARGETS.join(", "))));
    }
    let (targets, _) = Targets::build()?;
    chosen.into_iter().try_for_each(|name| targets.run(name, seconds).map(drop))
}

impl Targets {
    /// All of them.
    pub(crate) const ALL: [&str; 6] = TARGETS;

    /// Builds them, apart from everything else: they are compiled with other flags.
    pub(crate) fn build() -> Result<(Targets, Done), Failure> {
        setup::cxx()?;
        let triple = setup::host()?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        let target = env::current_dir().unwrap_or_default().join(target).join("fuzz");
        // Named, so that what runs while building (build scripts, macros) is not watched.
        let done =
            Step::cargo("Building the fuzz targets (some minutes the first time)", &["build", "--release", "--locked"])
                .args(["--target", &triple, "--target-dir"])
                .args([&target])
                .env("RUSTFLAGS", FLAGS)
                .within(&root().join("tests/fuzz"))
                .run()?;
        Ok((Targets { folder: target.join(triple).join("release") }, done))
    }

    /// Runs one for so long, from its seeds and from what earlier runs found.
    pub(crate) fn run(&self, name: &str, seconds: u32) -> Result<Done, Failure> {
        let home = root().join("tests/fuzz");
        let corpus = home.join("corpus").join(name);
        let artifacts = home.join("artifacts").join(name);
        for folder in [&corpus, &artifacts] {
            fs::create_dir_all(folder).map_err(|error| Failure::File { path: folder.clone(), error })?;
        }
        Step::new(&format!("Fuzzing `{name}` for {seconds} s"), self.folder.join(name), &[])
            .args([corpus, home.join("seeds").join(name)])
            .args([format!("-artifact_prefix={}/", artifacts.display()), format!("-max_total_time={seconds}")])
            // The rules of a small game are the longest seeds.
            .args(["-timeout=60", "-max_len=8192", "-print_final_stats=1"])
            .within(&home)
            .without_input()
            .run_kept()
    }
}

//! What has to be there before a chore can run. Everything is quick when it is there already.

use std::{
    env::consts::{ARCH, OS},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::step::{Failure, Step, root};

/// Oldest Node that the npm packages run on.
const NODE: u32 = 18;
/// Left in `node_modules`: the lock file that it was installed from.
const STAMP: &str = ".installed-from.json";

/// Node and npm; on a machine where this may install packages, it does.
pub(crate) fn node() -> Result<(), Failure> {
    let wanted = format!("Node {NODE} or newer and npm are needed to compile and test the contracts");
    match (node_version(), answers("npm", "--version")) {
        (Some(version), true) if version >= NODE => return Ok(()),
        (Some(version), _) if version < NODE => {
            return Err(Failure::Missing(format!("{wanted}; this is Node {version}. Install a newer one.")));
        }
        _ => {}
    }
    install(&wanted, "Node and npm", &["nodejs", "npm"])?;
    match node_version() {
        Some(version) if version >= NODE && answers("npm", "--version") => Ok(()),
        found => Err(Failure::Missing(format!(
            "{wanted}; this system's package has {}. Install a newer one.",
            found.map_or("none".into(), |version| format!("Node {version}"))
        ))),
    }
}

/// A C++ compiler, for libFuzzer; on a machine where this may install packages, it does.
pub(crate) fn cxx() -> Result<(), Failure> {
    if ["c++", "g++", "clang++"].into_iter().any(|compiler| answers(compiler, "--version")) {
        return Ok(());
    }
    install("A C++ compiler is needed to build libFuzzer", "a C++ compiler", &["g++"])
}

/// A compiler with its own sources, for rules on the chain: those of the compiler that is there, if they can be had, else
/// Debian's compiler beside it, on a machine where this may install packages.
pub(crate) fn rules_compiler() -> Result<(), Failure> {
    let sources = |rustc: &str| {
        let sysroot = printed_by(rustc, &["--print", "sysroot"]);
        sysroot.is_some_and(|path| Path::new(path.trim()).join("lib/rustlib/src/rust/library/Cargo.lock").exists())
    };
    let there = || sources("rustc") || sources("/usr/bin/rustc");
    // Rustup may be there and know no place to fetch from: then this says nothing, and the next way is tried.
    if there() || printed_by("rustup", &["component", "add", "rust-src"]).is_some() && there() {
        return Ok(());
    }
    let wanted = "Rules on the chain need a compiler's sources: `rustup component add rust-src` fetches them";
    install(wanted, "a Rust compiler with sources", &["rustc-web", "cargo-web", "rust-web-src"])
}

/// What this machine is called by the compiler.
pub(crate) fn host() -> Result<String, Failure> {
    let host = printed("rustc", "-vV");
    let host = host.as_deref().and_then(|told| told.lines().find_map(|line| line.strip_prefix("host: ")));
    host.map(str::to_owned).ok_or_else(|| Failure::Missing("`rustc -vV` does not say which machine this is.".into()))
}

/// Packages of the system, where this may install them.
fn install(wanted: &str, what: &str, packages: &[&str]) -> Result<(), Failure> {
    if !(answers("apt-get", "--version") && printed("id", "-u").is_some_and(|id| id.trim() == "0")) {
        let names = packages.iter().map(|package| format!("`{package}`")).collect::<Vec<_>>().join(" and ");
        return Err(Failure::Missing(format!(
            "{wanted}. Install the package{} {names} of your system, then run this again.",
            if packages.len() == 1 { "" } else { "s" }
        )));
    }
    let apt = |title: &str, args: &[&str]| {
        Step::new(title, "apt-get", args).env("DEBIAN_FRONTEND", "noninteractive").without_input()
    };
    apt("Reading the list of packages", &["update", "--quiet"]).run()?;
    let options = ["install", "--yes", "--quiet", "--no-install-recommends"];
    apt(&format!("Installing {what}"), &options).args(packages).run()?;
    Ok(())
}

/// The npm packages of a folder of the workspace, exactly those of its lock file.
pub(crate) fn npm(folder: &str) -> Result<PathBuf, Failure> {
    let path = root().join(folder);
    let (lock, stamp) = (path.join("package-lock.json"), path.join("node_modules").join(STAMP));
    let locked = fs::read(&lock).map_err(|error| Failure::File { path: lock, error })?;
    if fs::read(&stamp).is_ok_and(|installed| installed == locked) {
        return Ok(path);
    }
    // Install scripts would only copy the binaries that the platforms' packages bring.
    Step::new(
        &format!("Installing the npm packages of {folder}"),
        "npm",
        &["ci", "--ignore-scripts", "--no-audit", "--no-fund"],
    )
    .within(&path)
    .without_input()
    .run()?;
    fs::write(&stamp, locked).map_err(|error| Failure::File { path: stamp, error })?;
    Ok(path)
}

/// A Foundry tool: as npm's package for this platform brings it, else the system's own.
pub(crate) fn foundry(folder: &Path, tool: &str) -> Result<PathBuf, Failure> {
    let (system, machine) = match (OS, ARCH) {
        ("macos", "aarch64") => ("darwin", "arm64"),
        (_, "aarch64") => ("linux", "arm64"),
        _ => ("linux", "amd64"),
    };
    let package = format!("@foundry-rs/{tool}-{system}-{machine}");
    let binary = folder.join("node_modules").join(&package).join("bin").join(tool);
    if binary.exists() {
        Ok(binary)
    } else if answers(tool, "--version") {
        Ok(tool.into())
    } else {
        Err(Failure::Missing(format!(
            "`{tool}` is missing. npm did not install {package}: where that is not to be had for this machine, install \
             Foundry, else remove {} and run this again.",
            folder.join("node_modules").display()
        )))
    }
}

fn node_version() -> Option<u32> {
    printed("node", "--version")?.trim().trim_start_matches('v').split('.').next()?.parse().ok()
}

/// Whether cargo has nextest, which runs tests in parallel processes.
pub(crate) fn has_nextest() -> bool {
    answers("cargo-nextest", "--version")
}

fn answers(program: &str, option: &str) -> bool {
    printed(program, option).is_some()
}

fn printed(program: &str, option: &str) -> Option<String> {
    printed_by(program, &[option])
}

fn printed_by(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

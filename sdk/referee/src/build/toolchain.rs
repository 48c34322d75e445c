//! Which compiler compiles rules: any that has its own sources at hand.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::BuildError;

/// The oldest compiler that knows how to abort on a panic without a trace of its text.
pub const OLDEST: (u32, u32) = (1, 95);

/// A compiler, its cargo, and a linker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    rustc: PathBuf,
    cargo: PathBuf,
    linker: PathBuf,
    sysroot: PathBuf,
    version: String,
}

/// A compiler that is there.
struct Compiler {
    rustc: PathBuf,
    sysroot: PathBuf,
    told: String,
}

impl Toolchain {
    /// The first that will do: the one that builds everything else, or the one that Debian's packages rustc-web, cargo-web
    /// and rust-web-src install beside it.
    ///
    /// # Errors
    /// None has its sources, or there is no linker.
    pub fn find() -> Result<Toolchain, BuildError> {
        let compilers: Vec<Compiler> = ["rustc", "/usr/bin/rustc"].into_iter().filter_map(Compiler::ask).collect();
        let Some(able) = compilers.iter().find(|compiler| compiler.lacks().is_none()) else {
            let mut tried: Vec<String> = compilers
                .iter()
                .map(|compiler| format!("{} {}", compiler.rustc.display(), compiler.lacks().unwrap_or_default()))
                .collect();
            tried.dedup();
            let tried = if tried.is_empty() { "there is no `rustc`".into() } else { tried.join("; ") };
            return Err(BuildError::NoToolchain { tried });
        };
        let bundled = compilers.iter().filter_map(Compiler::bundled_linker).find(|linker| linker.exists());
        let linker = bundled.or_else(system_linker).ok_or(BuildError::NoLinker)?;
        let version = format!("{}, {}", able.told.lines().next().unwrap_or_default().trim(), linker_version(&linker));
        Ok(Toolchain {
            rustc: able.rustc.clone(),
            // Each compiler's own: cargo knows how to build `core` for no other.
            cargo: able.rustc.with_file_name("cargo"),
            linker,
            sysroot: able.sysroot.clone(),
            version,
        })
    }

    /// The compiler and the linker, by their names and versions. Another pair may give other bytes.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn linker(&self) -> &Path {
        &self.linker
    }

    pub(super) fn sysroot(&self) -> &Path {
        &self.sysroot
    }

    /// This toolchain's cargo, without what a cargo around this process says of itself and of its own compiler.
    pub(super) fn cargo(&self) -> Command {
        let mut cargo = Command::new(&self.cargo);
        for (name, _) in env::vars_os() {
            let own = ["CARGO", "RUST"].iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()));
            if own && !["CARGO_HOME", "RUSTUP_HOME"].iter().any(|kept| name == *kept) && !configures_network(&name) {
                cargo.env_remove(name);
            }
        }
        cargo.env("RUSTC", &self.rustc).env("CARGO_TERM_COLOR", "never").stdin(Stdio::null());
        cargo
    }
}

/// How packages are fetched is this machine's own matter, and changes no byte.
fn configures_network(name: &OsStr) -> bool {
    ["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_SOURCE_"]
        .iter()
        .any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
}

impl Compiler {
    fn ask(rustc: &str) -> Option<Compiler> {
        let sysroot = PathBuf::from(answer(rustc.as_ref(), &["--print", "sysroot"])?.trim());
        // The compiler itself, for rustup's `rustc` is a stand-in that asks the environment.
        let own = sysroot.join("bin").join("rustc");
        let rustc = if own.exists() { own } else { rustc.into() };
        let told = answer(&rustc, &["-vV"])?;
        Some(Compiler { rustc, sysroot, told })
    }

    fn lacks(&self) -> Option<String> {
        let release = self.line("release: ").unwrap_or_default();
        let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
        if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST {
            return Some(format!("is {release}, older than {}.{}", OLDEST.0, OLDEST.1));
        }
        let sources = self.sysroot.join("lib/rustlib/src/rust/library/Cargo.lock");
        (!sources.exists()).then(|| "has no sources".into())
    }

    fn bundled_linker(&self) -> Option<PathBuf> {
        let host = self.line("host: ")?;
        Some(self.sysroot.join("lib/rustlib").join(host).join("bin/rust-lld"))
    }

    fn line(&self, begins: &str) -> Option<&str> {
        self.told.lines().find_map(|line| line.strip_prefix(begins))
    }
}

fn system_linker() -> Option<PathBuf> {
    let names = ["ld.lld-22", "ld.lld-21", "ld.lld-20", "ld.lld"];
    names.into_iter().map(PathBuf::from).find(|name| answer(name, &["--version"]).is_some())
}

/// Such as `LLD 22.1.2`.
fn linker_version(linker: &Path) -> String {
    // rust-lld asks what it is to be, ld.lld knows.
    let told = answer(linker, &["-flavor", "gnu", "--version"]).or_else(|| answer(linker, &["--version"]));
    let told = told.unwrap_or_default();
    let from = told.find("LLD").unwrap_or_default();
    told[from..].split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

fn answer(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

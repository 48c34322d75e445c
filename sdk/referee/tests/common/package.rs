//! Packages that tests write and compile.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where these tests keep what they make: outside of the sources.
pub(crate) fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).canonicalize().unwrap()
}

pub(crate) fn sdk() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Writes a package with this crate root that depends on `matchlock`, and tells where its manifest is.
pub(crate) fn write(name: &str, root: &str) -> PathBuf {
    let package = home().join(name);
    fs::create_dir_all(package.join("src")).unwrap();
    put(&package.join("src/lib.rs"), root);
    put(&package.join("Cargo.lock"), &fs::read_to_string(sdk().join("../Cargo.lock")).unwrap());
    manifest(&package, name, &dependencies(&relative(&package, &sdk())))
}

/// Writes a file at once: tests that share a package run at the same time.
fn put(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return;
    }
    let new = path.with_extension(std::process::id().to_string());
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

fn relative(from: &Path, to: &Path) -> PathBuf {
    let common = from.ancestors().find(|folder| to.starts_with(folder)).unwrap();
    let up = from.strip_prefix(common).unwrap().iter().map(|_| "..");
    up.collect::<PathBuf>().join(to.strip_prefix(common).unwrap())
}

pub(crate) fn dependencies(sdk: &Path) -> String {
    format!(
        "matchlock = {{ path = {sdk:?}, default-features = false }}\n\
         serde = {{ version = \"1\", default-features = false, features = [\"derive\"] }}\n"
    )
}

pub(crate) fn manifest(package: &Path, name: &str, dependencies: &str) -> PathBuf {
    let text = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{dependencies}"
    );
    let manifest = package.join("Cargo.toml");
    put(&manifest, &text);
    manifest
}

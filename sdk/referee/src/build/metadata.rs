//! What cargo says of the package that has the game: where everything lies, and which `matchlock` it was written for.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{BuildError, Toolchain, at};

/// The package with the game, and what the program around it has to depend on as well.
pub(super) struct Found {
    pub(super) game: Package,
    pub(super) matchlock: Package,
    pub(super) alloy_primitives: Package,
    /// Of the workspace; it may not be there.
    pub(super) lock: PathBuf,
    /// The folder that all sources of this machine's own are in.
    pub(super) sources: PathBuf,
}

#[derive(Clone, Deserialize)]
pub(super) struct Package {
    id: String,
    pub(super) name: String,
    pub(super) version: String,
    source: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

pub(super) fn read(manifest: &Path, toolchain: &Toolchain) -> Result<Found, BuildError> {
    let manifest = manifest.canonicalize().map_err(at(manifest))?;
    let refused = |said: String| BuildError::Manifest { manifest: manifest.clone(), said };
    let mut cargo = toolchain.cargo();
    cargo.args(["metadata", "--quiet", "--format-version", "1", "--manifest-path"]).arg(&manifest);
    let output =
        cargo.output().map_err(|source| BuildError::NotStarted { program: cargo.get_program().into(), source })?;
    if !output.status.success() {
        return Err(refused(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let told: Metadata = serde_json::from_slice(&output.stdout).map_err(|error| refused(error.to_string()))?;

    let Some(game) = told.packages.iter().find(|package| package.manifest_path == manifest) else {
        return Err(refused("it is a workspace without a package; name the package's own manifest".into()));
    };
    let matchlock = told.dependency(game, "matchlock")?;
    let alloy_primitives = told.dependency(matchlock, "alloy-primitives")?;
    let sources = told.local(game).fold(told.workspace_root.clone(), common);
    Ok(Found {
        matchlock: matchlock.clone(),
        alloy_primitives: alloy_primitives.clone(),
        game: game.clone(),
        lock: told.workspace_root.join("Cargo.lock"),
        sources,
    })
}

impl Metadata {
    fn dependency(&self, of: &Package, name: &'static str) -> Result<&Package, BuildError> {
        let ids = self.resolve.nodes.iter().filter(|node| node.id == of.id).flat_map(|node| &node.dependencies);
        ids.filter_map(|id| self.packages.iter().find(|package| package.id == *id))
            .find(|package| package.name == name)
            .ok_or_else(|| BuildError::NoGame { package: of.name.clone(), lacks: name })
    }

    /// Folders of the packages that a package needs and that come from no registry and no repository, its own among them.
    fn local<'a>(&'a self, package: &'a Package) -> impl Iterator<Item = &'a Path> {
        let mut needed = HashSet::from([package.id.as_str()]);
        let mut open = vec![package.id.as_str()];
        while let Some(id) = open.pop() {
            let dependencies =
                self.resolve.nodes.iter().filter(|node| node.id == id).flat_map(|node| &node.dependencies);
            open.extend(dependencies.map(String::as_str).filter(|id| needed.insert(id)));
        }
        let local = self
            .packages
            .iter()
            .filter(move |package| package.source.is_none() && needed.contains(package.id.as_str()));
        local.filter_map(|package| package.manifest_path.parent())
    }
}

/// The folder that both are in.
fn common(one: PathBuf, other: &Path) -> PathBuf {
    one.ancestors().find(|folder| other.starts_with(folder)).unwrap_or(Path::new("/")).to_owned()
}

impl Package {
    /// This very package as a manifest's dependency, where `sources` stands for the folder of the same name.
    pub(super) fn dependency(&self, sources: &Path) -> String {
        let local = || self.manifest_path.parent().and_then(|folder| folder.strip_prefix(sources).ok());
        match self.source.as_deref() {
            None => format!("path = {:?}", Path::new("sources").join(local().unwrap_or(Path::new("")))),
            Some(source) => match source.strip_prefix("git+") {
                Some(repository) => git(repository),
                None => format!("version = \"={}\"", self.version),
            },
        }
    }
}

/// `https://host/repository?rev=1234#commit`, as cargo writes it.
fn git(repository: &str) -> String {
    let (place, _) = repository.split_once('#').unwrap_or((repository, ""));
    match place.split_once('?') {
        None => format!("git = {place:?}"),
        Some((url, reference)) => {
            let (kind, name) = reference.split_once('=').unwrap_or(("rev", reference));
            format!("git = {url:?}, {kind} = {name:?}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_is_named_as_the_games_own_manifest_names_it() {
        let package = |source: Option<&str>| Package {
            id: String::new(),
            name: "matchlock".into(),
            version: "0.1.0".into(),
            source: source.map(str::to_owned),
            manifest_path: "/home/me/matchlock/sdk/Cargo.toml".into(),
        };
        let told = |source| package(source).dependency("/home/me".as_ref());
        assert_eq!(told(None), r#"path = "sources/matchlock/sdk""#);
        assert_eq!(told(Some("registry+https://github.com/rust-lang/crates.io-index")), r#"version = "=0.1.0""#);
        assert_eq!(told(Some("git+https://host/m#abc")), r#"git = "https://host/m""#);
        assert_eq!(told(Some("git+https://host/m?tag=v1#abc")), r#"git = "https://host/m", tag = "v1""#);
    }

    #[test]
    fn sources_are_in_the_smallest_folder_that_holds_all() {
        assert_eq!(common("/a/b/c".into(), "/a/b/d/e".as_ref()), Path::new("/a/b"));
        assert_eq!(common("/a/b".into(), "/a/b/d".as_ref()), Path::new("/a/b"));
        assert_eq!(common("/a/b".into(), "/c".as_ref()), Path::new("/"));
    }
}

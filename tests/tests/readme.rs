//! The README's two commands are what the CI runs.

use std::{fs, path::Path};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The chores that a text calls: the word after each `cargo xtask`.
fn chores(text: &str) -> Vec<&str> {
    let word = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    text.split("cargo xtask ").skip(1).map(|rest| &rest[..word(rest)]).collect()
}

#[test]
fn the_readme_and_the_ci_call_the_same_two_commands() {
    let (readme, script) = (read("README.md"), read(".ci/run"));
    let commands = script.lines().map(str::trim).filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let mut called = chores(&commands);
    called.sort_unstable();
    assert_eq!(called, ["play", "test"], ".ci/run calls each of the two, and no other");
    for command in called {
        assert!(chores(&readme).contains(&command), "README.md says `cargo xtask {command}`");
    }
}

//! The guide's code is that of the program that it is about, which is compiled with the rest: the guide cannot rot.

use std::{collections::BTreeSet, fs, path::Path};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The text's blocks of Rust.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest))
}

/// What a text imports: every name in its `use` statements, parents included.
fn imports(text: &str) -> BTreeSet<&str> {
    let statements = text.split("\nuse ").skip(1).filter_map(|rest| rest.split(';').next());
    statements.flat_map(|tree| tree.split(|c: char| !(c.is_alphanumeric() || c == '_'))).collect()
}

/// A block without what a program has once, at its top, and without the attribute that makes a function a test.
fn body(block: &str) -> String {
    let lines = block.lines().filter(|line| !line.starts_with("use ") && line.trim() != "#[test]");
    lines.collect::<Vec<_>>().join("\n").trim_matches('\n').to_owned()
}

#[test]
fn the_guide_shows_the_program_that_is_compiled() {
    let (guide, program) = (read("docs/guides/first-game.md"), read("server/examples/first_game.rs"));
    let known = imports(&program);
    let mut shown = 0;
    for block in blocks(&guide) {
        let body = body(block);
        assert!(
            program.contains(&body),
            "server/examples/first_game.rs does not hold this block of the guide:\n{body}"
        );
        let block = format!("\n{block}");
        let missing: Vec<_> = imports(&block).difference(&known).copied().collect();
        assert!(missing.is_empty(), "the guide imports what the program does not: {missing:?}");
        shown += body.lines().count();
    }
    let all = program.lines().count();
    assert!(2 * shown > all, "{shown} of {all} lines are found in the guide: has the form of its blocks changed?");
}

#[test]
fn a_block_that_differs_is_found() {
    let program = "\nuse a::{B, c::D};\n\nfn main() {\n    one();\n    two();\n}\n";
    let guide = "text\n```rust\nuse a::B;\n\n    one();\n    two();\n```\ntext\n```toml\nno = 1\n```\n```rust\n    three();\n```\n";
    let bodies: Vec<_> = blocks(guide).map(body).collect();
    assert_eq!(bodies, ["    one();\n    two();", "    three();"]);
    assert!(program.contains(&bodies[0]) && !program.contains(&bodies[1]));
    assert!(imports(program).is_superset(&BTreeSet::from(["a", "B", "D"])) && !imports(program).contains("main"));
}

//! `cargo xtask rules`: compiles the demo games' rules for the chain, and proves that they come out the same anywhere.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::{
    setup,
    step::{Done, Failure, Step, root},
};

/// The demo games that are compiled: their names and their values.
const GAMES: [(&str, &str); 4] = [
    ("tictactoe", "matchlock_demo::tictactoe::TicTacToe"),
    ("connectfour", "matchlock_demo::connectfour::ConnectFour"),
    ("broadside", "matchlock_demo::broadside::Broadside"),
    ("pig", "matchlock_demo::pig::Pig::default()"),
];

/// Compiles one game's rules, or all, to the files that are committed.
pub(crate) fn run(game: &str) -> Result<(), Failure> {
    let chosen: Vec<_> = GAMES.into_iter().filter(|(name, _)| game == "all" || game == *name).collect();
    if chosen.is_empty() {
        let names = GAMES.map(|(name, _)| name).join(", ");
        return Err(Failure::Missing(format!("There is no such game. There are {names}, and `all`.")));
    }
    setup::rules_compiler()?;
    let output = committed();
    create(&output)?;
    let title = "Compiling rules, and playing matches by them (a minute the first time)";
    // By itself: the whole workspace cannot be built without the files that this makes.
    let program = ["run", "--quiet", "--package", "matchlock-demo", "--features", "rules", "--bin", "rules", "--"];
    compile(title, &program, &chosen, &root(), &target()?.join("rules"), &output).run().map(drop)
}

/// Compiles every game in two folders: here, and in a copy of the sources elsewhere, with everything that they need. Programs
/// that differ by a byte are a failure: a player could not tell whose rules it plays by. So are committed files of other rules, if the same
/// compiler made them.
pub(crate) fn reproduce() -> Result<Done, Failure> {
    setup::rules_compiler()?;
    let (here, elsewhere) = (target()?.join("rules"), target()?.join("rules-elsewhere/deeper"));
    let copy = elsewhere.join("sources");
    copy_sources(&root(), &copy)?;
    let outputs = [here.join("programs"), elsewhere.join("programs")];
    outputs.iter().try_for_each(|output| create(output))?;
    // As the tests select what is built, so that little is compiled for this alone.
    let program = ["run", "--quiet", "--features", "matchlock-demo/rules", "--bin", "rules", "--"];
    let same_as = ["--same-as".into(), committed()];
    let title = "Compiling the demo games' rules (a minute the first time)";
    compile(title, &program, &GAMES, &root(), &here, &outputs[0]).args(&same_as).run()?;
    let title = "Compiling them again, from a copy of the sources (a minute the first time)";
    let rules = elsewhere.join("rules");
    let done = compile(title, &program, &GAMES, &copy, &rules, &outputs[1]).args(&same_as).run()?;
    for (name, _) in GAMES {
        let [one, other] = outputs.each_ref().map(|output| output.join(format!("{name}.rules")));
        if read(&one)? != read(&other)? {
            let (one, other) = (one.display(), other.display());
            return Err(Failure::Missing(format!(
                "The rules of {name} depend on where they are built: {one}, {other}"
            )));
        }
    }
    Ok(done)
}

/// The program `rules` on these sources, with what is in between in `folder`.
fn compile(
    title: &str,
    program: &[&str],
    games: &[(&str, &str)],
    sources: &Path,
    folder: &Path,
    output: &Path,
) -> Step {
    Step::cargo(title, program)
        .args(["--manifest".as_ref(), sources.join("demo-game/Cargo.toml").as_path()])
        .args(["--folder".as_ref(), folder, "--output".as_ref(), output])
        .args(games.iter().map(|(name, value)| format!("{name}={value}")))
}

/// The folder of the files that are committed.
fn committed() -> PathBuf {
    root().join("demo-game/rules")
}

/// The folder for everything that is built.
fn target() -> Result<PathBuf, Failure> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(env::current_dir().unwrap_or_default().join(target))
}

/// Copies what the workspace is made of. Files that are the same already keep their times, so that nothing is compiled for a
/// second time.
fn copy_sources(from: &Path, to: &Path) -> Result<(), Failure> {
    const LEFT_OUT: [&str; 5] = ["target", "node_modules", "corpus", "artifacts", "docs"];
    create(to)?;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (path, name) = (entry.path(), entry.file_name());
        let to = to.join(&name);
        if name.as_encoded_bytes().starts_with(b".") || LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        if entry.file_type().map_err(failed(&path))?.is_dir() {
            copy_sources(&path, &to)?;
        } else if ["rs", "toml", "lock", "ld"].iter().any(|kind| path.extension().is_some_and(|e| e == *kind)) {
            let bytes = read(&path)?;
            if fs::read(&to).ok().as_ref() != Some(&bytes) {
                fs::write(&to, bytes).map_err(failed(&to))?;
            }
        }
    }
    Ok(())
}

fn create(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(failed(folder))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let path = path.to_owned();
    move |error| Failure::File { path, error }
}

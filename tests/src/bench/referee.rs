//! `referee.*`: what rules on the chain cost, and how fast every client runs them.

use std::{path::Path, sync::Arc, time::Instant};

use matchlock::{game::BasisPoints, rules::Rules};
use matchlock_referee::{
    Blob, Refereed,
    build::{Memory, Source, Toolchain, build},
    emulate::{Emulator, Meter},
    measure::Step,
    refereed::question,
};

use super::Row;
use crate::{
    refereed::{games, named},
    table::Table,
    trying::{Top, Trying},
    world::{Failure, chain},
};

/// Matches of two that the dearest move is looked for in.
const MATCHES: u64 = 12;
/// Goals of a dispute's whole transaction, in gas.
const GOALS: [(&str, Option<f64>); 4] =
    [("tictactoe", Some(300_000.0)), ("connectfour", Some(420_000.0)), ("broadside", Some(700_000.0)), ("pig", None)];
/// Goal for one RISC-V instruction of Broadside, in gas.
const PER_INSTRUCTION: f64 = 25.0;
/// Goal of the emulator, in million instructions a second.
const EMULATED: f64 = 100.0;

/// Where the dearest move of some matches is, and what it takes.
struct Dearest {
    seed: u64,
    turn: usize,
    gas: u64,
    step: Step,
}

/// Every row.
///
/// # Errors
/// The chain, the compiler or the rules say no.
pub async fn rows() -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for (name, goal) in GOALS {
        let blob = matchlock_demo::refereed::blob(name).ok_or("a demo game")??;
        let rules = games(BasisPoints::ZERO).into_iter().find(|rules| rules.name() == name).ok_or("a demo game")?;
        let dearest = dearest(&rules, &blob)?;
        let trying = Trying::of_match(&chain().await?, &rules, dearest.seed, dearest.turn, Top::FalseBoard).await?;
        let gas = trying.close(&trying.contest(&*rules).await?).await? as f64;
        let row = format!("referee.gas.{name}");
        rows.push(match goal {
            Some(goal) => Row::against(&row, gas, "gas", goal),
            None => Row::report(&row, gas, "gas"),
        });
        rows.push(Row::report(&format!("referee.code.{name}"), blob.translation().code.len() as f64, "bytes"));
        if name == "broadside" {
            let input = asked(&dearest.step)?;
            let instructions = counted(&blob, &input);
            let each = dearest.gas as f64 / instructions as f64;
            rows.push(Row::against("referee.gas.per_instruction", each, "gas", PER_INSTRUCTION));
            let rate = emulated(&blob, &input, instructions);
            rows.push(Row::against("referee.emulate", rate, "M/s", EMULATED));
        }
    }
    rows.push(built()?);
    Ok(rows)
}

/// The dearest turn of some matches, but for the first, which has no header before it to rewind to.
fn dearest(rules: &Arc<dyn Rules>, blob: &Blob) -> Result<Dearest, Failure> {
    let refereed = Refereed::new(named(rules.name(), BasisPoints::ZERO), blob.clone());
    let mut dearest: Option<Dearest> = None;
    for seed in 0..MATCHES {
        let mut table = Table::of(Table::proposals(domain(), rules, 2, 0, 1), rules);
        table.play_out(seed);
        let transcript = table.channels[0].transcript().ok_or("an open match")?;
        let mut position = rules.start(&transcript.terms.stakes, &transcript.terms.seeds)?;
        for (index, turn) in transcript.turns.iter().enumerate() {
            let seat = position.mover.ok_or("it goes on")?;
            let gas = refereed.run(&position.position, seat, &turn.action).gas;
            if index > 0 && dearest.as_ref().is_none_or(|dearest| gas > dearest.gas) {
                let step = Step { position: position.position.clone(), seat, action: turn.action.clone() };
                dearest = Some(Dearest { seed, turn: index + 1, gas, step });
            }
            position = rules.apply(&position.position, seat, &turn.action)?;
        }
    }
    Ok(dearest.ok_or("a move")?)
}

/// Any arena: the moves do not depend on it.
fn domain() -> matchlock::abi::Domain {
    matchlock::abi::Domain { chain_id: 31_337, arena: Default::default(), salt: Default::default() }
}

fn asked(step: &Step) -> Result<Vec<u8>, Failure> {
    Ok(question(&step.position, step.seat, &step.action).ok_or("a small position")?)
}

fn counted(blob: &Blob, input: &[u8]) -> u64 {
    Emulator::new(blob.program(), Meter::instructions(blob.program())).run(input, u64::MAX).gas
}

/// Million instructions a second, over some 200 million of the dearest move with its gas metered.
fn emulated(blob: &Blob, input: &[u8], instructions: u64) -> f64 {
    let emulator = Emulator::new(blob.program(), blob.translation().meter.clone());
    let times = (200_000_000 / instructions).max(1);
    let begun = Instant::now();
    for _ in 0..times {
        std::hint::black_box(emulator.run(std::hint::black_box(input), u64::MAX));
    }
    (times * instructions) as f64 / begun.elapsed().as_secs_f64() / 1e6
}

/// Seconds that a game takes to build when its dependencies are built: the second of two games in one folder.
fn built() -> Result<Row, Failure> {
    let folder = tempfile::tempdir()?;
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo-game/Cargo.toml");
    let toolchain = Toolchain::find()?;
    let mut took = 0.0;
    for game in ["matchlock_demo::connectfour::ConnectFour", "matchlock_demo::tictactoe::TicTacToe"] {
        let source = Source { manifest: manifest.clone(), game: game.into(), memory: Memory::default() };
        let begun = Instant::now();
        build(&source, &toolchain, folder.path())?;
        took = begun.elapsed().as_secs_f64();
    }
    Ok(Row::report("referee.build", took, "s"))
}

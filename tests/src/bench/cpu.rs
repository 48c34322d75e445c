//! `move.cpu`: one move on both sides, in process, beside its signature alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::keccak256;
use matchlock::{
    channel::Input,
    game::Seat,
    rules::Rules,
    sign::{self, Signer},
    wire::{self, ToServer},
};
use matchlock_demo::{Strength, bots};

use super::Row;
use crate::table::Table;

/// Decide, sign and encode at the mover; decode, verify and apply at the other: whole matches between bots, whose thinking is not counted.
/// The baseline is one signature made and one recovered for each move, in turns with the moves so that both see the same machine.
pub fn row(name: &str, rules: &Arc<dyn Rules>, matches: u64) -> Row {
    let (mut moves, mut moved, mut signed) = (0u32, Duration::ZERO, Duration::ZERO);
    for seed in 0..matches {
        let mut table = Table::open(rules, 2, seed);
        let mut players: Vec<_> = (0..2)
            .map(|seat| bots::player(rules.name(), Strength::Easy, Seat(seat), seed).expect("a demo game"))
            .collect();
        while let Some(mover) = table.channels[0].state().mover() {
            let position = table.channels[mover.index()].placed().position.clone();
            let play = players[mover.index()].choose(&position, mover).expect("a position of this game");
            let match_id = table.channels[0].id();

            let began = Instant::now();
            let turns = table.feed(mover, Input::Play(play));
            for turn in turns {
                let bytes = wire::encode(&ToServer::Turn { match_id, turn });
                // The relay forwards the turn's bytes; the receiver decodes them once.
                let Ok(ToServer::Turn { turn, .. }) = wire::decode::<ToServer>(&bytes) else { unreachable!() };
                table.feed(mover.opponent(), Input::Turn(turn));
            }
            moved += began.elapsed();
            moves += 1;

            let digest = keccak256(moves.to_be_bytes());
            let key = &table.keys[0];
            let began = Instant::now();
            let signature = key.sign(digest).expect("signs");
            sign::verify(digest, &signature, key.address()).expect("its own");
            signed += began.elapsed();
        }
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(moves);
    Row::over(name, micros(moved), "us", micros(signed), 1.15)
}

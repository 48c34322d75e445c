//! Scenes that several tests begin with: two players, a table, a match that the first one wins.

use std::{collections::VecDeque, sync::Arc};

use alloy_primitives::U256;
use matchlock::{
    chain::Provider,
    client::{Client, Seating},
    game::{Amount, Seat},
    rules::{Rules, RulesError},
    session::Wanted,
    wire::TableSpec,
};
use matchlock_demo::bots;
use serde_json::json;
use tempfile::TempDir;

use crate::world::{Failure, Plan, Played, PlayerClient, Wallet, World, chain, play_seat};

/// What everyone stakes in these scenes, in wei.
pub const STAKE: u64 = 1_000_000_000_000_000;
/// Seat 0 wins with the upper row.
pub const SEAT_0_WINS: [u8; 5] = [0, 3, 1, 4, 2];

/// [`STAKE`] as an amount.
pub fn stake() -> Amount {
    Amount::from_u64(STAKE)
}

/// What everyone deposits.
pub fn bankroll() -> Amount {
    Amount::from_u64(20 * STAKE)
}

/// Enough for gas.
pub fn pocket() -> U256 {
    U256::from(10u64.pow(17))
}

/// A world on a chain that outlives its server; nothing is settled unless somebody asks for it.
///
/// # Errors
/// It does not start.
pub async fn world_apart(folder: &TempDir) -> Result<World, Failure> {
    World::start(Plan { rpc: Some(chain().await?), settle_age: 10_000, ..Plan::quick(folder.path()) }).await
}

/// Two players with their bankrolls at the server.
///
/// # Errors
/// Whatever does not work, in its own words.
pub async fn two_players(world: &World) -> Result<Vec<PlayerClient>, Failure> {
    Ok(vec![world.player(0, bankroll(), pocket()).await?, world.player(1, bankroll(), pocket()).await?])
}

/// Their clients.
pub fn clients(players: &[PlayerClient]) -> Vec<Client> {
    players.iter().map(|player| player.client.clone()).collect()
}

/// Both sit down at one table, the first in seat 0.
///
/// # Errors
/// The server says no.
pub async fn sit(first: &Client, second: &Client, rules: &Arc<dyn Rules>) -> Result<(Seating, Seating), Failure> {
    let spec = TableSpec { rules: rules.id(), seats: 2, stake: stake(), clock: 60, private: true };
    let mut seating = first.create(spec).await?;
    let table = seating.table().await?;
    Ok((seating, second.join(table, Wanted { rules: rules.id(), stake: stake() }).await?))
}

/// Plays what it was told to.
#[derive(Debug)]
pub struct Script(pub VecDeque<u8>);

impl bots::Player for Script {
    fn choose(&mut self, _position: &[u8], _seat: Seat) -> Result<Vec<u8>, RulesError> {
        let play = self.0.pop_front().expect("the script goes to the end");
        Ok(postcard_u8(play))
    }
}

/// A tic-tac-toe move as bytes: a number below 128 is itself.
pub fn postcard_u8(cell: u8) -> Vec<u8> {
    vec![cell]
}

/// Plays its seat's half of [`SEAT_0_WINS`].
pub fn scripted(seat: Seat) -> Box<dyn bots::Player> {
    Box::new(Script(SEAT_0_WINS.into_iter().skip(seat.index()).step_by(2).collect()))
}

/// A match that the first player wins.
///
/// # Errors
/// It does not come to its end.
pub async fn first_wins(players: &[PlayerClient], rules: &Arc<dyn Rules>) -> Result<Played, Failure> {
    let (first, second) = sit(&players[0].client, &players[1].client, rules).await?;
    let (first, second) = (first.opened().await?, second.opened().await?);
    let other = tokio::spawn(play_seat(second, scripted(Seat(1))));
    let transcript = play_seat(first, scripted(Seat(0))).await?;
    other.await??;
    let moves = transcript.turns.len() as u32;
    Ok(Played { transcript, moves, signatures: 0 })
}

/// Mines a block so many seconds later.
///
/// # Errors
/// The chain does not answer.
pub async fn travel(bank: &Wallet, seconds: u64) -> Result<(), Failure> {
    // From the newest block's time: many blocks in one second make it run ahead of the clock.
    travel_to(bank, bank.rpc().head().await?.timestamp.to::<u64>() + seconds).await
}

/// Mines a block at this moment, in Unix seconds.
///
/// # Errors
/// The chain does not answer.
pub async fn travel_to(bank: &Wallet, time: u64) -> Result<(), Failure> {
    bank.rpc().0.request("evm_mine", json!([time])).await?;
    Ok(())
}

/// Opens a player's exit, with its newest receipt or without.
///
/// # Errors
/// The chain says no.
pub async fn exit(player: &mut PlayerClient, with_receipt: bool) -> Result<(), Failure> {
    let receipt = player.client.look(|session| session.receipt()).await?.filter(|_| with_receipt);
    let receipt = receipt.as_ref().map(|(statement, receipt)| (statement, receipt));
    let outcome = player.wallet.exit(player.client.player(), receipt, None).await?;
    player.paid(&outcome);
    Ok(())
}

/// After the exit window: what its wallet holds.
///
/// # Errors
/// The chain says no.
pub async fn finish_exit(player: &mut PlayerClient) -> Result<U256, Failure> {
    let outcome = player.wallet.finish_exit(player.client.player()).await?;
    player.paid(&outcome);
    Ok(player.wallet.rpc().balance(player.owner).await?)
}

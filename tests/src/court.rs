//! A world with a court whose windows are long enough to be overslept, and who stands at it: towers and arbiters with wallets of their
//! own.

use std::{path::Path, time::Duration};

use alloy_primitives::{Address, Bytes, U256};
use matchlock::{
    chain::{HttpProvider, LocalWallet, Provider, Rpc},
    client::{Client, Match, RedbStore},
    sign::{Key, Signer},
    wire::TableSpec,
};
use matchlock_server::{
    arbiter::{Arbiter, ArbiterConfig},
    chain::ChainConfig,
    tower::{Tower, TowerConfig},
};
use serde_json::json;

use crate::{
    scene::{STAKE, bankroll, pocket, postcard_u8, stake},
    world::{Failure, PlayerClient, World, dev_key, eventually, send},
};

/// What a tower or an arbiter needs of a world that may be gone: a node, an arena, games.
#[derive(Clone, Debug)]
pub struct Site {
    /// The node's JSON-RPC.
    pub rpc: String,
    arena: Address,
    games: Vec<std::sync::Arc<dyn matchlock::rules::Rules>>,
}

impl Site {
    /// The place of this world.
    pub fn of(world: &World) -> Site {
        Site { rpc: world.rpc().to_owned(), arena: world.server.domain().arena, games: world.games.clone() }
    }

    /// How a key reaches the chain.
    pub fn chain(&self, key: Key) -> ChainConfig {
        let mut chain = ChainConfig::new(&self.rpc, self.arena, key);
        chain.poll_interval = std::time::Duration::from_millis(50);
        chain
    }

    /// A key with coins for gas and bonds.
    ///
    /// # Errors
    /// The node says no.
    pub async fn funded(&self) -> Result<Key, Failure> {
        let key = Key::random()?;
        self.fund(&key).await?;
        Ok(key)
    }

    /// Gives a key coins for gas and bonds.
    ///
    /// # Errors
    /// The node says no.
    pub async fn fund(&self, key: &Key) -> Result<(), Failure> {
        send(&self.rpc, &dev_key(), key.address(), U256::from(10u64.pow(18))).await
    }

    /// A tower that keeps its data there.
    ///
    /// # Errors
    /// It does not start.
    pub async fn tower(&self, folder: &Path, key: &Key) -> Result<Tower, Failure> {
        self.tower_with(TowerConfig::new(folder, self.chain(key.clone()))).await
    }

    /// A tower of this configuration.
    ///
    /// # Errors
    /// It does not start.
    pub async fn tower_with(&self, config: TowerConfig) -> Result<Tower, Failure> {
        Ok(Tower::start(config, self.games.clone()).await?)
    }

    /// An arbiter that keeps its data there and asks these for transcripts.
    ///
    /// # Errors
    /// It does not start.
    pub async fn arbiter(&self, folder: &Path, key: &Key, sources: Vec<String>) -> Result<Arbiter, Failure> {
        let mut config = ArbiterConfig::new(folder, self.chain(key.clone()));
        config.sources = sources;
        Ok(Arbiter::start(config, self.games.clone()).await?)
    }
}

/// A player that entrusts its matches to these towers.
///
/// # Errors
/// Whatever does not work, in its own words.
pub async fn entrusting(world: &World, n: usize, towers: &[&str]) -> Result<PlayerClient, Failure> {
    let newcomer = world.newcomer(n, bankroll(), pocket()).await?;
    let config = newcomer.config(world.server.url(), RedbStore::open(&newcomer.file)?).with_towers(towers.to_vec());
    newcomer.with(Client::connect(config).await?).await
}

/// An open match of tic-tac-toe between two.
///
/// # Errors
/// The server says no.
pub async fn open(world: &World, first: &Client, second: &Client) -> Result<(Match, Match), Failure> {
    let rules = world.game("tictactoe")?;
    let spec = TableSpec { rules: rules.id(), seats: 2, stake: stake(), clock: 3_600, private: true };
    let mut seating = first.create(spec).await?;
    let table = seating.table().await?;
    let second = second.join(table, matchlock::session::Wanted { rules: rules.id(), stake: stake() }).await?;
    Ok((seating.opened().await?, second.opened().await?))
}

/// Plays a cell once it is this side's turn.
///
/// # Errors
/// The client says no.
pub async fn play(game: &Match, cell: u8) -> Result<(), Failure> {
    eventually("the position", async || Ok(game.my_position().map(drop))).await?;
    Ok(game.play(postcard_u8(cell)).await?)
}

/// Waits until a tower holds this turn of a match.
///
/// # Errors
/// It does not.
pub async fn holds(tower: &Tower, game: &Match, turn: u32) -> Result<(), Failure> {
    let id = game.id();
    eventually("the turn at the tower", async || Ok((tower.turn(id) >= Some(turn)).then_some(()))).await
}

/// Sends a call with a value from a key, and waits for it to be mined.
///
/// # Errors
/// The node says no.
pub async fn call(site: &Site, from: &Key, to: Address, value: U256, data: Vec<u8>) -> Result<(), Failure> {
    let node = Rpc(LocalWallet::new(HttpProvider::new(&site.rpc)?, from.clone()));
    let data = Bytes::from(data);
    let call = json!([{ "from": from.address(), "to": to, "value": value, "data": data }]);
    let hash = serde_json::from_value(node.0.request("eth_sendTransaction", call).await?)?;
    let mined = node.mined(hash, Duration::from_secs(60)).await?.ok_or("it was not mined")?;
    if mined.succeeded() { Ok(()) } else { Err("it reverted".into()) }
}

/// What seat 0 wins in this world's tic-tac-toe, with the fee taken.
pub fn won() -> i128 {
    // Of the loser's stake the operator has 2.5 per cent of the pot.
    i128::from(STAKE) - i128::from(2 * STAKE) * 250 / 10_000
}

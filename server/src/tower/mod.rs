//! A watchtower: it speaks for players who are away.
//!
//! Players entrust matches to it, and their opponents' newest statements, with `POST /entrust` ([`matchlock::entrust`]). It follows the
//! chain, through reorganisations and restarts, and
//!
//! - answers a dispute with whatever is newer here, contests what the rules forbid where it knows them, and ends what is decided;
//! - when an account leaves, brings its newest statement to the chain, concludes what it lost, and locks the stakes of its open
//!   matches.
//!
//! It needs nobody's trust, and trusts nobody: everything that it keeps is signed by those whom it binds, was checked before it
//! was kept, and can only help whoever is honest. Its own key does nothing but pay for gas, and for the bond of a contest, which comes
//! back. It lets the operator go first, and lets a share of each window pass ([`TowerConfig::patience`]): every answer costs gas, and
//! only one counts. Two towers that answer at once do no harm; the second one's call is not even sent.
//!
//! # What it does not do
//!
//! It opens no dispute: whether a player stalls or agreed to pause is between the players and their clocks. It moves for
//! nobody: on its own turn a player is on its own. And it settles no statement of an account with outcomes of the chain that no
//! statement has absorbed (R6.10), which takes more than it was given.

mod book;
mod verify;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use alloy_primitives::Address;
use matchlock::{
    abi::{Domain, MatchId},
    chain::Provider,
    game::BasisPoints,
    rules::Rules,
};

pub(crate) use book::{Book, Kept};
pub(crate) use verify::Seal;

use crate::{
    arbiter::Sources,
    chain::{Chain, ChainConfig},
    post::{Held, Orders},
    server::StartError,
    store::Store,
};

/// What a tower takes. Everything that a stranger sends counts against these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Matches at once. One of two seats takes some two kilobytes of memory, and more on the disk.
    pub matches: u64,
    /// Bytes of one match on the disk: tens of thousands of moves of most games.
    pub match_bytes: u64,
    /// Bytes of all matches on the disk.
    pub bytes: u64,
    /// Accounts whose newest statement is kept.
    pub pairs: u64,
    /// Requests per second of one address, four times as many at once. A request counts once for each 64 KiB.
    pub requests_per_second: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            matches: 20_000,
            match_bytes: 16 * 1024 * 1024,
            bytes: 4 * 1024 * 1024 * 1024,
            pairs: 100_000,
            requests_per_second: 50,
        }
    }
}

/// What a tower needs to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TowerConfig {
    /// Where it listens; port 0 takes any.
    pub listen: SocketAddr,
    /// Where it keeps everything that must survive.
    pub data_dir: PathBuf,
    /// The chain and the arena, with the key whose wallet pays for gas.
    pub chain: ChainConfig,
    /// The share of a window that passes before it acts: later than a server, which waits for half of it.
    pub patience: BasisPoints,
    /// What it takes.
    pub limits: Limits,
}

impl TowerConfig {
    /// A tower of this arena, on any port of this machine.
    pub fn new(data_dir: impl Into<PathBuf>, chain: ChainConfig) -> TowerConfig {
        TowerConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: data_dir.into(),
            chain,
            patience: BasisPoints::new(6_000).expect("below 10,000"),
            limits: Limits::default(),
        }
    }
}

/// A running tower.
pub struct Tower(Held);

impl Tower {
    /// Starts a tower. Of these games it knows the rules; it watches matches of all others as well, by their headers. It has picked up
    /// everything that an earlier run left when this returns.
    ///
    /// # Errors
    /// What is wrong with the configuration or the machine, and what to do about it.
    pub async fn start(config: TowerConfig, games: Vec<Arc<dyn Rules>>) -> Result<Tower, StartError> {
        let chain = Chain::join(config.chain.clone()).await?;
        Tower::start_on(chain, config, games).await
    }

    /// The same through any provider; the RPC URL of the configuration is not looked at.
    ///
    /// # Errors
    /// As [`Tower::start`].
    pub async fn start_through(
        provider: Arc<dyn Provider>,
        config: TowerConfig,
        games: Vec<Arc<dyn Rules>>,
    ) -> Result<Tower, StartError> {
        let chain = Chain::join_through(provider, config.chain.clone()).await?;
        Tower::start_on(chain, config, games).await
    }

    async fn start_on(chain: Chain, config: TowerConfig, games: Vec<Arc<dyn Rules>>) -> Result<Tower, StartError> {
        let TowerConfig { listen, data_dir, patience, limits, .. } = config;
        let store = Store::open(&data_dir, "tower.redb")?;
        let (speaks, sources) = (Some(patience), Sources::default());
        let orders = Orders { listen, chain, store, games, limits, speaks, rules: false, sources };
        Ok(Tower(orders.take().await?))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// What players configure.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.addr)
    }

    /// Where it watches.
    pub fn domain(&self) -> Domain {
        self.0.post.domain()
    }

    /// The wallet that pays for gas: it has to hold some.
    pub fn wallet(&self) -> Address {
        self.0.post.wallet()
    }

    /// The newest turn that it holds of a match; `None`: nothing of it.
    pub fn turn(&self, match_id: MatchId) -> Option<u32> {
        self.0.post.book().find(&match_id).map(|kept| kept.turn())
    }

    /// Makes everything durable, and stops.
    pub async fn shutdown(self) {
        self.0.shutdown().await;
    }

    /// Stops at once and loses everything that is not durable: what a killed process leaves behind. For tests.
    #[doc(hidden)]
    pub async fn kill(self) {
        self.0.kill().await;
    }
}

impl std::fmt::Debug for Tower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tower").field("addr", &self.0.addr).finish_non_exhaustive()
    }
}

//! An arbiter: it rules on contested moves by replay (R7.10).
//!
//! A contest before arbiters names a header. Whoever made it gave the position and the move with it, as the court's calls want; if these
//! are what the headers commit to, the rules say at once whether the header is right. Else the arbiter needs the transcript: it
//! asks its sources for it ([`ArbiterConfig::sources`]), and takes it from anybody (`POST /entrust`), as everything in it is signed.
//! Where it cannot know, it is silent, and says why in its log: the stakes go back (R7.11).
//!
//! Several arbiters agree without talking to each other: each publishes its signature on the chain, and the one that sees the quorum
//! complete brings it to the court. Nothing needs a person. Whatever it signs is durable first, and it never signs two different rulings on one
//! header.

mod bench;
mod sources;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use alloy_primitives::Address;
use matchlock::{abi::Domain, client::TowerError, rules::Rules};

pub(crate) use bench::{Bench, BenchStart};
pub(crate) use sources::Sources;

use crate::{
    chain::{Chain, ChainConfig},
    post::{Held, Orders},
    server::StartError,
    store::Store,
    tower::Limits,
};

/// What an arbiter needs to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ArbiterConfig {
    /// Where it listens; port 0 takes any.
    pub listen: SocketAddr,
    /// Where it keeps everything that must survive.
    pub data_dir: PathBuf,
    /// The chain and the arena, with the key of one of the court's arbiters; its wallet pays for gas.
    pub chain: ChainConfig,
    /// Where transcripts are to be had: the HTTP of the operator's server, and of towers.
    pub sources: Vec<String>,
    /// What it takes of transcripts.
    pub limits: Limits,
}

impl ArbiterConfig {
    /// An arbiter of this arena's court, on any port of this machine, who asks nobody for transcripts.
    pub fn new(data_dir: impl Into<PathBuf>, chain: ChainConfig) -> ArbiterConfig {
        ArbiterConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: data_dir.into(),
            chain,
            sources: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// A running arbiter.
pub struct Arbiter(Held);

impl Arbiter {
    /// Starts an arbiter who knows the rules of these games. It has picked up everything that an earlier run left when this returns.
    ///
    /// # Errors
    /// What is wrong with the configuration or the machine, and what to do about it.
    pub async fn start(config: ArbiterConfig, games: Vec<Arc<dyn Rules>>) -> Result<Arbiter, StartError> {
        if games.is_empty() {
            return Err(StartError::NoGames);
        }
        let ArbiterConfig { listen, data_dir, chain, sources, limits } = config;
        let sources = Sources::new(&sources)?;
        let store = Store::open(&data_dir, "arbiter.redb")?;
        let chain = Chain::join(chain).await?;
        let orders = Orders { listen, chain, store, games, limits, speaks: None, rules: true, sources };
        Ok(Arbiter(orders.take().await?))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// Where transcripts can be sent to it, and its disputes be read.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.addr)
    }

    /// Where its rulings count.
    pub fn domain(&self) -> Domain {
        self.0.post.domain()
    }

    /// Who rules; its wallet has to hold some gas.
    pub fn address(&self) -> Address {
        self.0.post.wallet()
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

impl std::fmt::Debug for Arbiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arbiter").field("addr", &self.0.addr).finish_non_exhaustive()
    }
}

impl From<TowerError> for StartError {
    fn from(error: TowerError) -> StartError {
        StartError::Source(error)
    }
}

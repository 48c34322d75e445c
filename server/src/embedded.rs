//! The embedded chain: a real EVM in this process, for developing and playing on one machine.

use std::{path::Path, sync::Arc};

use alloy_primitives::{Address, TxHash, U256};
use matchlock::{
    chain::{Answer, ArenaChain, LocalWallet, Provider, ProviderError},
    game::Amount,
    sign::{Key, Signer},
};
use matchlock_devchain::{DevChain, dev_accounts};
use serde_json::{Value, json};

use crate::{
    chain::{ChainConfig, CourtConfig, DeployConfig, deploy_through},
    server::StartError,
};

/// Wei that the operator gets for gas.
const GAS_MONEY: u128 = 1_000_000_000_000_000_000_000;
/// Wei that the pool starts with: 5,000 ether.
const POOL: u128 = 5_000_000_000_000_000_000_000;
/// Wei that the faucet gives: 100 ether.
const FAUCET: u128 = 100_000_000_000_000_000_000;
/// Seconds of the exit window on a chain whose time anybody may move.
const EXIT_WINDOW: u32 = 60 * 60;

/// Windows that a person waits for without growing old; the operator is the only arbiter.
const COURT: CourtConfig = CourtConfig {
    minimum: 60,
    patience: 10 * 60,
    bond: Amount::from_u64(10_000_000_000_000_000),
    quorum: 1,
    arbiters: Vec::new(),
};

/// The chain in this process.
#[derive(Clone, Debug)]
pub(crate) struct Embedded(DevChain);

impl Provider for Embedded {
    fn request<'a>(&'a self, method: &'a str, params: Value) -> Answer<'a> {
        Box::pin(async move {
            self.0.request(method, params).await.map_err(|error| ProviderError::Rpc {
                code: error.code,
                message: error.message,
                data: error.data,
            })
        })
    }
}

impl Embedded {
    /// Opens the chain kept in this directory, or makes it.
    pub(crate) fn open(directory: &Path) -> Result<Embedded, StartError> {
        let chain = DevChain::open(matchlock_devchain::Config::persistent(directory))
            .map_err(|error| StartError::Embedded(error.to_string()))?;
        Ok(Embedded(chain))
    }

    /// Waits until nothing of this process uses the chain, and closes it.
    pub(crate) async fn closed(self) {
        self.0.closed().await;
    }

    /// Its JSON-RPC endpoint.
    pub(crate) fn router(&self) -> axum::Router {
        self.0.router()
    }

    /// Deploys an arena for this operator and fills its pool, all from the development accounts.
    pub(crate) async fn deploy(&self, operator: &Key) -> Result<Address, StartError> {
        let [bank, .., backer] = dev_accounts() else { unreachable!("there are ten") };
        self.send(bank.address, operator.address(), GAS_MONEY).await?;
        let config = DeployConfig {
            token: Address::ZERO,
            court: Some(COURT),
            exit_window: EXIT_WINDOW,
            salt: None,
            split: Vec::new(),
        };
        let deployment = deploy_through(self.clone(), operator, config).await?;
        let backer = Key::from_bytes(&backer.private_key).expect("a well-known key");
        let wallet = LocalWallet::new(self.clone(), backer);
        let arena = ArenaChain::connect(wallet, deployment.arena).await.map_err(crate::chain::ChainError::from)?;
        let pool = Amount::new(POOL).expect("fits 96 bits");
        arena.fund(pool).await.map_err(|error| StartError::Embedded(error.to_string()))?;
        tracing::info!(arena = %deployment.arena, "deployed an arena on the embedded chain");
        Ok(deployment.arena)
    }

    /// Gives away play money.
    pub(crate) async fn faucet(&self, to: Address) -> Result<TxHash, StartError> {
        let [_, bank, ..] = dev_accounts() else { unreachable!("there are ten") };
        self.send(bank.address, to, FAUCET).await
    }

    async fn send(&self, from: Address, to: Address, wei: u128) -> Result<TxHash, StartError> {
        let transfer = json!([{ "from": from, "to": to, "value": U256::from(wei) }]);
        let hash = self.0.request("eth_sendTransaction", transfer).await;
        let hash = hash.map_err(|error| StartError::Embedded(error.to_string()))?;
        serde_json::from_value(hash).map_err(|error| StartError::Embedded(error.to_string()))
    }

    /// How this arena is treated: blocks count at once, and nothing waits long.
    pub(crate) fn config(&self, arena: Address, operator: Key) -> ChainConfig {
        ChainConfig {
            poll_interval: std::time::Duration::from_millis(50),
            ..ChainConfig::new("the embedded chain", arena, operator)
        }
    }

    /// As the chain's client takes it.
    pub(crate) fn provider(&self) -> Arc<dyn Provider> {
        Arc::new(self.clone())
    }
}

//! Putting an arena on a chain.

use std::{sync::LazyLock, time::Duration};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolValue;
use matchlock::{
    abi::{Arena, Court},
    chain::{BlockId, Call, HttpProvider, Provider, Revert, Rpc, SignedTransaction, with_margin},
    game::Amount,
    sign::{Key, Signer as _},
};
use serde::Deserialize;

use super::ChainError;

/// How long a deployment may take to be mined.
const PATIENCE: Duration = Duration::from_secs(300);

/// How to deploy an arena. Its operator is the key that deploys it.
#[derive(Clone, Debug)]
pub struct DeployConfig {
    /// The asset: an ERC-20, or zero for the native coin.
    pub token: Address,
    /// The court that decides disputes, deployed with the arena; `None` for an arena without disputes, for ever.
    pub court: Option<CourtConfig>,
    /// How long an exit takes, in seconds.
    pub exit_window: u32,
    /// Salt of the deployment; `None` draws one.
    pub salt: Option<B256>,
    /// Who gets the fees, in basis points that add up to 10,000; empty: the operator.
    pub split: Vec<(Address, u16)>,
}

/// How a court is set up (section 7). Nothing of it can change later.
#[derive(Clone, Debug)]
pub struct CourtConfig {
    /// Seconds of the shortest window in which a player has to answer (R7.5).
    pub minimum: u32,
    /// Seconds that the arbiters have for a ruling (R7.10).
    pub patience: u32,
    /// What a contest before arbiters costs if it is false, in the native coin (R7.9).
    pub bond: Amount,
    /// So many arbiters rule (R2.5).
    pub quorum: u8,
    /// The arbiters (R2.5); empty: the operator alone.
    pub arbiters: Vec<Address>,
}

/// A deployed arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The contract.
    pub arena: Address,
    /// Its court, if it has one.
    pub court: Option<Address>,
    /// The transaction.
    pub tx: B256,
    /// Gas it took.
    pub gas_used: u64,
    /// Its block: [`ChainConfig::from_block`](super::ChainConfig::from_block) of this arena.
    pub block: u64,
}

/// Deploys an arena and waits until it is mined.
///
/// # Errors
/// The node does not answer, the wallet is empty, the configuration is refused, or nobody mines it.
pub async fn deploy(rpc_url: &str, key: &Key, config: DeployConfig) -> Result<Deployment, ChainError> {
    deploy_through(HttpProvider::new(rpc_url)?, key, config).await
}

/// The same through any provider.
///
/// # Errors
/// As [`deploy`].
pub async fn deploy_through(
    provider: impl Provider,
    key: &Key,
    config: DeployConfig,
) -> Result<Deployment, ChainError> {
    let node = Rpc(provider);
    let operator = key.address();
    let salt = match config.salt {
        Some(salt) => salt,
        None => {
            let mut bytes = [0u8; 32];
            getrandom::fill(&mut bytes).map_err(|error| ChainError::Randomness(error.to_string()))?;
            bytes.into()
        }
    };
    let chain_id = node.chain_id().await?;
    let nonce = node.nonce(operator, BlockId::Pending).await?;
    let (beneficiaries, basis_points) = config.split.into_iter().unzip();
    // The arena trusts its court by address from the beginning, so the court's is known before it is there.
    let court = config.court.map(|court| (operator.create(nonce + 1), court));
    let arena_config = Arena::Config {
        operator,
        token: config.token,
        court: court.as_ref().map_or(Address::ZERO, |(address, _)| *address),
        exitWindow: config.exit_window,
        salt,
        beneficiaries,
        basisPoints: basis_points,
    };
    let deployer = Deployer { node, key, chain_id };
    let code = [&ARENA[..], &(arena_config,).abi_encode_params()].concat();
    let (arena, tx, gas_used, block) = deployer.create(nonce, code).await?;
    let mut deployment = Deployment { arena, court: None, tx, gas_used, block };
    if let Some((address, CourtConfig { minimum, patience, bond, quorum, mut arbiters })) = court {
        if arbiters.is_empty() {
            arbiters.push(operator);
        }
        arbiters.sort_unstable();
        let bench = Court::Bench { arena, minimum, patience, bond: bond.into(), quorum, arbiters };
        let code = [&COURT[..], &(bench,).abi_encode_params()].concat();
        // At any other address the contract refuses to be the court of this arena.
        deployer.create(nonce + 1, code).await?;
        deployment.court = Some(address);
    }
    Ok(deployment)
}

struct Deployer<'a, P> {
    node: Rpc<P>,
    key: &'a Key,
    chain_id: u64,
}

impl<P: Provider> Deployer<'_, P> {
    /// Makes a contract and waits until it is mined: its address, transaction, gas and block.
    async fn create(&self, nonce: u64, code: Vec<u8>) -> Result<(Address, B256, u64, u64), ChainError> {
        let (node, key, chain_id) = (&self.node, self.key, &self.chain_id);
        let call = Call { from: Some(key.address()), to: None, data: code.into(), value: U256::ZERO };
        let fees = node.fees().await?;
        let gas = node.estimate_gas(&call).await.map_err(|error| match Revert::of(&error) {
            Some(revert) => ChainError::Deployment(revert),
            None => ChainError::Provider(error),
        })?;
        let signed = SignedTransaction::sign(key, *chain_id, nonce, &call, with_margin(gas), fees.cap(), fees.tip)?;
        node.send_raw(&signed.raw).await?;

        let pending = || ChainError::DeploymentPending { tx: signed.hash, seconds: PATIENCE.as_secs() };
        let receipt = node.mined(signed.hash, PATIENCE).await?.ok_or_else(pending)?;
        let block = receipt.block_number.to();
        match receipt.contract_address {
            Some(address) if receipt.succeeded() => Ok((address, signed.hash, receipt.gas_used.to(), block)),
            _ => Err(ChainError::Deployment(node.why_reverted(&call, block).await)),
        }
    }
}

/// The contracts, as compiled and committed beside their sources.
static ARENA: LazyLock<Bytes> = LazyLock::new(|| bytecode(include_str!("../../../sdk/contracts/artifacts/Arena.json")));
static COURT: LazyLock<Bytes> = LazyLock::new(|| bytecode(include_str!("../../../sdk/contracts/artifacts/Court.json")));

fn bytecode(artifact: &str) -> Bytes {
    #[derive(Deserialize)]
    struct Artifact {
        bytecode: Bytes,
    }
    let artifact: Artifact = serde_json::from_str(artifact).expect("the artifact is generated by xtask");
    artifact.bytecode
}

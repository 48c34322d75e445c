//! The connection: one node, one arena, one key.

use std::sync::Arc;

use alloy_primitives::{Address, U256};
use matchlock::{
    abi::MatchId,
    account::AccountId,
    chain::{
        ArenaError, ArenaInfo, BlockId, ChainAccount, HttpProvider, Pool, Provider, ProviderError, Rpc, is_concluded,
        read_arena,
    },
    sign::Signer as _,
};
use tokio::task::JoinSet;

use super::{At, ChainConfig, ChainError, Outbox, Outcomes, Sender, Tip, Watch, send, watch};

/// Reads that are under way at once.
const READS_AT_ONCE: usize = 16;

/// A node's answers, shared.
pub(crate) type Node = Rpc<Arc<dyn Provider>>;

/// One arena on one chain, with the key that acts there. Clones share the connection.
#[derive(Clone)]
pub struct Chain {
    node: Node,
    config: Arc<ChainConfig>,
    info: ArenaInfo,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("config", &self.config).field("info", &self.info).finish_non_exhaustive()
    }
}

impl Chain {
    /// Checks that the node answers and is on the right chain, that there is an arena, and that the key is its
    /// operator's.
    ///
    /// # Errors
    /// One for each of these.
    pub async fn connect(config: ChainConfig) -> Result<Chain, ChainError> {
        let provider = HttpProvider::new(&config.rpc_url)?.with_timeout(config.request_timeout);
        Chain::connect_through(Arc::new(provider), config).await
    }

    /// The same through any provider; `rpc_url` is not looked at.
    ///
    /// # Errors
    /// As [`Chain::connect`].
    pub async fn connect_through(provider: Arc<dyn Provider>, config: ChainConfig) -> Result<Chain, ChainError> {
        let chain = Chain::join_through(provider, config).await?;
        let (given, found) = (chain.config.key.address(), chain.info.operator);
        if found != given {
            return Err(ChainError::WrongOperator { given, found });
        }
        Ok(chain)
    }

    /// For whoever acts beside the operator, with a key of its own: checks that the node answers and is on the right chain, and that
    /// there is an arena.
    ///
    /// # Errors
    /// One for each of these.
    pub async fn join(config: ChainConfig) -> Result<Chain, ChainError> {
        let provider = HttpProvider::new(&config.rpc_url)?.with_timeout(config.request_timeout);
        Chain::join_through(Arc::new(provider), config).await
    }

    /// The same through any provider; `rpc_url` is not looked at.
    ///
    /// # Errors
    /// As [`Chain::join`].
    pub async fn join_through(provider: Arc<dyn Provider>, config: ChainConfig) -> Result<Chain, ChainError> {
        let node = Rpc(provider);
        if let Some(expected) = config.chain_id {
            let found = node.chain_id().await?;
            if found != expected {
                return Err(ChainError::WrongChain { expected, found });
            }
        }
        let info = read_arena(&node, config.arena).await.map_err(|error| match error {
            ArenaError::Provider(error) => ChainError::Provider(error),
            error => ChainError::Arena(error),
        })?;
        Ok(Chain { node, config: Arc::new(config), info })
    }

    /// What the arena is.
    pub fn arena(&self) -> &ArenaInfo {
        &self.info
    }

    /// How it is treated.
    pub fn config(&self) -> &ChainConfig {
        &self.config
    }

    /// The node's answers.
    pub fn node(&self) -> &Rpc<Arc<dyn Provider>> {
        &self.node
    }

    /// The block of `at`.
    ///
    /// # Errors
    /// The node does not answer, or does not have the block.
    pub async fn tip(&self, at: At) -> Result<Tip, ChainError> {
        let block = match self.block_id(at).await? {
            BlockId::Number(number) => tip(&self.node, number).await?,
            _ => Some(Tip::of(&self.node.head().await?)),
        };
        let missing = || ProviderError::Malformed {
            method: "eth_getBlockByNumber".to_owned(),
            reason: "the node does not have the block".to_owned(),
        };
        Ok(block.ok_or_else(missing)?)
    }

    /// Number of the newest block.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn height(&self) -> Result<u64, ChainError> {
        Ok(self.tip(At::Latest).await?.height)
    }

    /// Time of the newest block, in Unix seconds: the chain's clock.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn now(&self) -> Result<u64, ChainError> {
        Ok(self.tip(At::Latest).await?.time)
    }

    /// What the chain says of an account.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn record(&self, account: AccountId, at: At) -> Result<ChainAccount, ChainError> {
        let at = self.block_id(at).await?;
        Ok(ChainAccount::read(&self.node, self.config.arena, account, at).await?)
    }

    /// What the chain says of these accounts, in their order, all of one block.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn records(&self, accounts: &[AccountId], at: At) -> Result<Vec<ChainAccount>, ChainError> {
        let at = match self.block_id(at).await? {
            // Named by number, so that a block mined in between does not split the answers.
            BlockId::Number(number) => number,
            _ => self.height().await?,
        };
        Ok(records(&self.node, self.config.arena, accounts, at).await?)
    }

    /// The operator's pool.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn pool(&self, at: At) -> Result<Pool, ChainError> {
        let at = self.block_id(at).await?;
        Ok(Pool::read(&self.node, self.config.arena, at).await?)
    }

    /// Whether the chain has applied an outcome of this match.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn concluded(&self, id: MatchId, at: At) -> Result<bool, ChainError> {
        let at = self.block_id(at).await?;
        Ok(is_concluded(&self.node, self.config.arena, id, at).await?)
    }

    /// Wei in a wallet.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn balance(&self, wallet: Address) -> Result<U256, ChainError> {
        Ok(self.node.balance(wallet).await?)
    }

    /// Follows the chain from where `outbox` remembers. The task behind it ends when the [`Watch`] is dropped.
    ///
    /// # Errors
    /// The outbox cannot be read.
    pub async fn watch(&self, outbox: Arc<dyn Outbox>) -> Result<Watch, ChainError> {
        watch::start(self.clone(), outbox).await
    }

    /// Goes on with the transactions that `outbox` remembers. The task behind it ends when every [`Sender`] or the
    /// [`Outcomes`] is dropped; what was submitted stays in the outbox.
    ///
    /// # Errors
    /// The outbox cannot be read.
    pub async fn sender(&self, outbox: Arc<dyn Outbox>) -> Result<(Sender, Outcomes), ChainError> {
        send::start(self.clone(), outbox).await
    }

    async fn block_id(&self, at: At) -> Result<BlockId, ChainError> {
        Ok(match at {
            At::Latest => BlockId::Latest,
            At::Confirmed if self.config.depth == 0 => BlockId::Latest,
            At::Confirmed => {
                let head: u64 = self.node.head().await?.number.to();
                BlockId::Number(head.saturating_sub(self.config.depth))
            }
            At::Block(number) => BlockId::Number(number),
        })
    }
}

impl Tip {
    pub(crate) fn of(block: &matchlock::chain::Block) -> Tip {
        Tip { height: block.number.to(), hash: block.hash, time: block.timestamp.to() }
    }
}

pub(crate) async fn tip(node: &Node, number: u64) -> Result<Option<Tip>, ProviderError> {
    Ok(node.block(BlockId::Number(number)).await?.as_ref().map(Tip::of))
}

/// Reads many accounts at one block, several at a time.
pub(crate) async fn records(
    node: &Node,
    arena: Address,
    accounts: &[AccountId],
    at: u64,
) -> Result<Vec<ChainAccount>, ProviderError> {
    let mut found = vec![ChainAccount::default(); accounts.len()];
    let mut reads = JoinSet::new();
    let mut rest = accounts.iter().copied().enumerate();
    loop {
        while reads.len() < READS_AT_ONCE
            && let Some((place, account)) = rest.next()
        {
            let node = node.clone();
            reads.spawn(async move { (place, ChainAccount::read(&node, arena, account, BlockId::Number(at)).await) });
        }
        match reads.join_next().await {
            None => return Ok(found),
            Some(Ok((place, read))) => found[place] = read?,
            // Reads are not cancelled, and do not panic.
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

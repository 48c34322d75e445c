//! What a client knows of the chain without the server's word.

use std::{format, string::ToString, sync::Arc};

use alloc::vec::Vec;
use alloy_primitives::{Address, FixedBytes, aliases::U96, keccak256};
use alloy_sol_types::{SolEvent, SolValue};

use crate::{
    abi::{self, MatchId, MatchTerms, Statement},
    account::AccountId,
    chain::{
        ArenaError, BlockId, CONCLUDED, ChainAccount, LogEntry, Provider, ProviderError, Rpc, read_arena,
        read_contract, read_disputes,
    },
    client::ClientError,
    dispute::Dispute,
    game::{Amount, Seat},
    session::{Server, SessionInput},
    wire::{ToClient, Welcome},
};

/// A node that the client trusts.
#[derive(Clone)]
pub(super) struct OwnChain(pub(super) Rpc<Arc<dyn Provider>>);

impl OwnChain {
    /// Whether the arena is what the server says that it is.
    pub(super) async fn check(&self, welcome: &Welcome) -> Result<(), ClientError> {
        let info = read_arena(&self.0, welcome.domain.arena).await.map_err(ClientError::from_arena)?;
        let same = [
            (info.domain == welcome.domain, "chain or salt"),
            (info.operator == welcome.operator, "operator"),
            (info.token == welcome.token, "token"),
            (info.referee == welcome.referee, "referee"),
        ];
        match same.iter().find(|(same, _)| !same) {
            Some((_, what)) => Err(ClientError::OtherArena(format!("its {what} is another"))),
            None => Ok(()),
        }
    }

    /// What a server says first, as far as its arena shows it.
    pub(super) async fn welcome(&self, server: Server) -> Result<Welcome, ClientError> {
        let info = read_arena(&self.0, server.domain.arena).await.map_err(ClientError::from_arena)?;
        let (domain, operator, token, referee) = (server.domain, server.operator, info.token, info.referee);
        let (nonce, games, max_clock, open_for, expire_after) = (Default::default(), Vec::new(), 0, 0, 0);
        let welcome = Welcome { nonce, domain, operator, token, games, max_clock, open_for, expire_after, referee };
        self.check(&welcome).await.map(|()| welcome)
    }

    /// What the chain says where the server said this; `None` if it does not say so.
    pub(super) async fn look(
        &self,
        welcome: &Welcome,
        account: AccountId,
        frame: &ToClient,
    ) -> Result<Option<SessionInput>, ProviderError> {
        Ok(match frame {
            ToClient::Settled { statement, .. } => {
                let settled = self.statement(welcome, account).await?;
                let holds = settled.set == statement.set || settled.set.exceeds(&statement.set);
                holds.then_some(SessionInput::OnChain(settled))
            }
            ToClient::Ruled { match_id, payouts } => {
                let applied = self.applied(welcome, *match_id, payouts).await?;
                applied.then(|| SessionInput::Outcome { match_id: *match_id, payouts: payouts.clone() })
            }
            _ => None,
        })
    }

    /// Whether the chain has applied this outcome.
    async fn applied(&self, welcome: &Welcome, match_id: MatchId, payouts: &[Amount]) -> Result<bool, ProviderError> {
        let ending = self.ending(welcome.domain.arena, match_id, BlockId::Latest).await?;
        let payouts: Vec<U96> = payouts.iter().map(|payout| (*payout).into()).collect();
        Ok(ending.is_concluded() && ending.kept == truncated(&payouts))
    }

    /// The account's statement on the chain.
    pub(super) async fn statement(&self, welcome: &Welcome, account: AccountId) -> Result<Statement, ProviderError> {
        let record = ChainAccount::read(&self.0, welcome.domain.arena, account, BlockId::Latest).await?;
        Ok(record.statement())
    }
}

impl ClientError {
    pub(super) fn from_arena(error: ArenaError) -> ClientError {
        match error {
            ArenaError::Provider(error) => ClientError::Chain(error),
            error => ClientError::OtherArena(error.to_string()),
        }
    }
}

/// How a match stands on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) status: u8,
    /// Seats whose stake is locked, a bit each.
    locked: u8,
    /// Seats that have a claim for it, a bit each.
    live: u8,
    /// What is kept of the payouts, or of the docket while it is in dispute.
    pub(super) kept: FixedBytes<29>,
}

impl Ending {
    pub(super) fn is_concluded(&self) -> bool {
        self.status == CONCLUDED
    }

    pub(super) fn is_locked(&self, seat: Seat) -> bool {
        self.locked >> seat.0 & 1 == 1
    }

    pub(super) fn is_live(&self, seat: Seat) -> bool {
        self.live >> seat.0 & 1 == 1
    }
}

/// No server keeps a proposal open for longer, and no machine's clock is so wrong: nothing of a match is on the chain earlier than
/// so many seconds before its `openBy`.
const OPENING: u64 = 24 * 60 * 60;
/// Blocks whose logs are asked for at once; public nodes refuse more.
const RANGE: u64 = 10_000;

impl OwnChain {
    /// How a match stands at a block.
    pub(super) async fn ending(&self, arena: Address, id: MatchId, at: BlockId) -> Result<Ending, ProviderError> {
        let read = read_contract(&self.0, arena, &abi::Arena::outcomeOfCall { id: id.0 }, at).await?;
        Ok(Ending { status: read.status, locked: read.locked, live: read.live, kept: read.payouts })
    }

    /// The first block that can have anything of a match with these terms.
    pub(super) async fn first_block(&self, terms: &MatchTerms) -> Result<u64, ProviderError> {
        let since = terms.open_by.saturating_sub(OPENING);
        let (mut low, mut high) = (0u64, self.0.head().await?.number.to());
        while low < high {
            let middle = low + (high - low) / 2;
            // A node that has forgotten a block has newer ones.
            let block = self.0.block(BlockId::Number(middle)).await?;
            let early = block.is_none_or(|block| block.timestamp.to::<u64>() < since);
            (low, high) = if early { (middle + 1, high) } else { (low, middle) };
        }
        Ok(low)
    }

    /// What the court's events tell of a dispute, if they come to the docket that the arena keeps this hash of.
    pub(super) async fn dispute(
        &self,
        court: Address,
        id: MatchId,
        from: u64,
        kept: FixedBytes<29>,
    ) -> Result<Option<Dispute>, ProviderError> {
        let logs = self.logs(court, id, from).await?;
        let Some(updates) = read_disputes(&self.0, court, &logs).await? else { return Ok(None) };
        let dispute = updates.into_iter().fold(None, |known, update| update.after(known));
        Ok(dispute.filter(|dispute: &Dispute| dispute.docket().hash() == kept))
    }

    /// The payouts that the arena keeps this hash of.
    pub(super) async fn payouts(
        &self,
        arena: Address,
        id: MatchId,
        from: u64,
        kept: FixedBytes<29>,
    ) -> Result<Option<Vec<Amount>>, ProviderError> {
        let logs = self.logs(arena, id, from).await?;
        let mut told = logs.iter().filter_map(|entry| abi::Arena::Concluded::decode_log(&entry.log()).ok());
        let event = told.find(|event| event.matchId == id.0 && truncated(&event.payouts) == kept);
        Ok(event.map(|event| {
            let payout = |payout: &U96| Amount::new(payout.to()).expect("96 bits fit an amount");
            event.payouts.iter().map(payout).collect()
        }))
    }

    /// The logs of a contract about a match, up to the newest block.
    async fn logs(&self, of: Address, id: MatchId, from: u64) -> Result<Vec<LogEntry>, ProviderError> {
        let head: u64 = self.0.head().await?.number.to();
        let (mut from, mut all) = (from, Vec::new());
        while from <= head {
            let to = head.min(from + RANGE - 1);
            all.extend(self.0.logs_about(of, id.0, from, to).await?);
            from = to + 1;
        }
        Ok(all)
    }
}

/// What the arena keeps of payouts.
fn truncated(payouts: &Vec<U96>) -> FixedBytes<29> {
    FixedBytes::from_slice(&keccak256(payouts.abi_encode())[..29])
}

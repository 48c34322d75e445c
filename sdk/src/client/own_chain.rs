//! What a client knows of the chain without the server's word.

use std::{format, string::ToString, sync::Arc};

use alloc::vec::Vec;
use alloy_primitives::{aliases::U96, keccak256};
use alloy_sol_types::SolValue;

use crate::{
    abi::{self, MatchId, Statement},
    account::AccountId,
    chain::{ArenaError, BlockId, CONCLUDED, ChainAccount, Provider, ProviderError, Rpc, read_arena, read_contract},
    client::ClientError,
    game::Amount,
    session::SessionInput,
    wire::{ToClient, Welcome},
};

/// A node that the client trusts.
#[derive(Clone)]
pub(super) struct OwnChain(pub(super) Rpc<Arc<dyn Provider>>);

impl OwnChain {
    /// Whether the arena is what the server says that it is.
    pub(super) async fn check(&self, welcome: &Welcome) -> Result<(), ClientError> {
        let info = match read_arena(&self.0, welcome.domain.arena).await {
            Ok(info) => info,
            Err(ArenaError::Provider(error)) => return Err(ClientError::Chain(error)),
            Err(error) => return Err(ClientError::OtherArena(error.to_string())),
        };
        let same = [
            (info.domain == welcome.domain, "chain or salt"),
            (info.operator == welcome.operator, "operator"),
            (info.token == welcome.token, "token"),
        ];
        match same.iter().find(|(same, _)| !same) {
            Some((_, what)) => Err(ClientError::OtherArena(format!("its {what} is another"))),
            None => Ok(()),
        }
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
        let call = abi::Arena::outcomeOfCall { id: match_id.0 };
        let outcome = read_contract(&self.0, welcome.domain.arena, &call, BlockId::Latest).await?;
        let payouts: Vec<U96> = payouts.iter().map(|payout| (*payout).into()).collect();
        // What the contract keeps of them.
        let kept = keccak256(payouts.abi_encode());
        Ok(outcome.status == CONCLUDED && outcome.payouts[..] == kept[..29])
    }

    /// The account's statement on the chain.
    pub(super) async fn statement(&self, welcome: &Welcome, account: AccountId) -> Result<Statement, ProviderError> {
        let record = ChainAccount::read(&self.0, welcome.domain.arena, account, BlockId::Latest).await?;
        Ok(record.statement())
    }
}

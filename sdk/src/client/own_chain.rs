//! What a client knows of the chain without the server's word.

use std::{format, string::ToString, sync::Arc};

use crate::{
    abi::Statement,
    account::AccountId,
    chain::{ArenaError, BlockId, ChainAccount, Provider, ProviderError, Rpc, read_arena},
    client::ClientError,
    wire::Welcome,
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

    /// The account's statement on the chain.
    pub(super) async fn statement(&self, welcome: &Welcome, account: AccountId) -> Result<Statement, ProviderError> {
        let record = ChainAccount::read(&self.0, welcome.domain.arena, account, BlockId::Latest).await?;
        Ok(record.statement())
    }
}

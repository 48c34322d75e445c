//! The model of the contracts beside the bytecode: every transaction of every block goes to both, and they have to agree (section
//! 10).

use alloy_primitives::{Address, B256, Bytes, Log, U64, U256};
use matchlock::{
    account::AccountId,
    chain::{ChainAccount, Receipt},
};
use serde::Deserialize;

use super::check::Breach;
use crate::model::{Model, ModelConfig};

/// The model after each block of the schedule.
pub(super) struct Mirror {
    /// After the deployment, then after each block.
    states: Vec<Model>,
}

/// A block, as far as the model wants it.
#[derive(Deserialize)]
pub(super) struct Block {
    timestamp: U64,
    pub(super) transactions: Vec<Sent>,
}

/// A transaction of it.
#[derive(Deserialize)]
pub(super) struct Sent {
    pub(super) hash: B256,
    from: Address,
    to: Option<Address>,
    value: U256,
    input: Bytes,
}

impl Mirror {
    pub(super) fn new(config: ModelConfig) -> Mirror {
        Mirror { states: vec![Model::new(config)] }
    }

    /// Goes back to when so many blocks had been mined.
    pub(super) fn cut(&mut self, blocks: usize) {
        self.states.truncate(blocks + 1);
    }

    fn newest(&self) -> &Model {
        self.states.last().expect("the first is never cut")
    }

    /// Gives the next block's transactions to the model.
    pub(super) fn block(&mut self, block: &Block, receipts: &[Receipt]) -> Result<(), Breach> {
        let mut model = self.newest().clone();
        for (sent, receipt) in block.transactions.iter().zip(receipts) {
            let disagrees = |what: String| Breach::Disagrees { transaction: sent.hash, what };
            let to = sent.to.unwrap_or_default();
            let said = model.apply(block.timestamp.to(), sent.from, to, sent.value, &sent.input);
            match (said, receipt.succeeded()) {
                (Ok(applied), true) => {
                    let logs: Vec<Log> = receipt.logs.iter().map(|entry| entry.log()).collect();
                    if applied.logs != logs {
                        return Err(disagrees(format!("logs {:?}, and the contract {logs:?}", applied.logs)));
                    }
                }
                (Err(_), false) => {}
                (Ok(_), false) => return Err(disagrees("takes it, and the contract reverts".into())),
                (Err(revert), true) => {
                    return Err(disagrees(format!("refuses it ({revert}), and the contract does not")));
                }
            }
        }
        model.check().map_err(|breach| Breach::Model { what: breach.to_string() })?;
        self.states.push(model);
        Ok(())
    }

    /// Compares an account with what the chain says of it.
    pub(super) fn compare(&self, id: AccountId, record: &ChainAccount) -> Result<(), Breach> {
        let model = self.newest().account(id);
        if model == *record {
            return Ok(());
        }
        Err(Breach::Model { what: format!("{id} is {model:?}, and on the chain {record:?}") })
    }
}

//! What the tables hold, encoded with postcard.

use matchlock::{
    abi::{MatchId, MatchTerms, State, Statement, Withdrawal},
    account::{AccountId, Player},
    game::Amount,
    sign::Signature,
    wire::{Due, Pair, Refusal, ResultLeaf, TableId},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::StoreError;

/// An account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AccountRow {
    /// Owner and key.
    pub(crate) player: Player,
    /// First index that was never part of a proposal.
    pub(crate) next_index: u32,
    /// The newest statement that both signed.
    pub(crate) newest: Option<Pair>,
    /// The statement that the account has to sign next.
    pub(crate) due: Option<StatementDue>,
    /// Results that no statement holds or is to hold yet.
    pub(crate) waiting: Vec<Due>,
    /// Matches in `newest` that are not settled at depth.
    pub(crate) unsettled: Vec<(MatchId, u32)>,
    /// The newest statement seen on the chain, and the batch it came with.
    pub(crate) settled: Option<(Statement, u32)>,
    /// Outcomes that the chain applied and no settled statement holds (R6.10).
    pub(crate) claims: Vec<AppliedClaim>,
    /// The withdrawal that the operator signed and that may still be used.
    pub(crate) withdrawal: Option<HeldWithdrawal>,
}

/// An outcome that the chain applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AppliedClaim {
    /// The match.
    pub(crate) match_id: MatchId,
    /// Its number on the account.
    pub(crate) index: u32,
    /// Who got what.
    pub(crate) payouts: Vec<Amount>,
}

impl AccountRow {
    /// A player that was never here.
    pub(crate) fn new(player: Player) -> AccountRow {
        AccountRow {
            player,
            next_index: 0,
            newest: None,
            due: None,
            waiting: Vec::new(),
            unsettled: Vec::new(),
            settled: None,
            claims: Vec::new(),
            withdrawal: None,
        }
    }
}

/// A statement asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatementDue {
    /// What it says.
    pub(crate) statement: Statement,
    /// What it adds.
    pub(crate) results: Vec<Due>,
    /// Since when it is asked for, in Unix seconds.
    pub(crate) since: u64,
}

/// A withdrawal signed by the operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeldWithdrawal {
    /// What it says.
    pub(crate) withdrawal: Withdrawal,
    /// What it adds to what was withdrawn before.
    pub(crate) amount: Amount,
    /// The operator's signature.
    pub(crate) signature: Signature,
}

/// A match.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MatchRow {
    /// Its id.
    pub(crate) id: MatchId,
    /// The table it was proposed at.
    pub(crate) table: TableId,
    /// What was agreed on.
    pub(crate) terms: MatchTerms,
    /// Owner and key of each seat.
    pub(crate) players: Vec<Player>,
    /// State 0.
    pub(crate) start: State,
    /// All seats' signatures on the terms, then the operator's; empty before (R5.2).
    pub(crate) guarantee: Vec<Signature>,
    /// All seats' signatures on State 0; empty before the match is open.
    pub(crate) opened: Vec<Signature>,
    /// The Unix second in which the last of them came; 0 before.
    pub(crate) opened_at: u64,
    /// How it ended.
    pub(crate) ending: Option<Ending>,
}

/// How a match ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Ending {
    /// With a final that all seats signed, then the operator (R6.1).
    Final {
        /// The final turn's number.
        turn: u32,
        /// All seats' signatures.
        signatures: Vec<Signature>,
        /// The operator's.
        operator: Signature,
    },
    /// Before it began; its indexes are given up (R5.4).
    Cancelled(Refusal),
    /// By the chain (R7.11).
    Ruled {
        /// What each seat gets.
        payouts: Vec<Amount>,
    },
}

/// A result for a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LeafRow {
    /// What is proved.
    pub(crate) leaf: ResultLeaf,
    /// Each seat's index, to tell when all of them have signed.
    pub(crate) indexes: Vec<u32>,
    /// The batch that holds it, by its number here.
    pub(crate) batch: Option<u64>,
}

/// A batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BatchRow {
    /// Whose statements, as sent.
    pub(crate) entries: Vec<(AccountId, Statement)>,
    /// Matches whose results it anchors, by their numbers here, in the tree's order.
    pub(crate) matches: Vec<u64>,
    /// The call.
    pub(crate) calldata: Vec<u8>,
    /// How often it was made anew after a revert.
    pub(crate) attempt: u32,
    /// Its number on the chain once it is there at depth.
    pub(crate) settled: Option<u32>,
}

/// A record's bytes.
pub(crate) fn encode_row<T: Serialize>(row: &T) -> Vec<u8> {
    postcard::to_allocvec(row).expect("records always encode")
}

/// A record from its bytes.
pub(crate) fn decode_row<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|_| StoreError::Damaged)
}

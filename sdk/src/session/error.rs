//! Why a session refuses an input.

use super::Server;
use crate::{
    abi::{MatchId, Trial},
    account::SetError,
    channel::{ChannelError, RestoreError},
    game::Amount,
    rules::RulesId,
    sign::{SignatureError, SignerError},
    wire::TableId,
};

/// Why an input is refused. Nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A match refuses it.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// Not the operator's or the opponent's signature.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A statement that cannot be.
    #[error(transparent)]
    Set(#[from] SetError),
    /// Not connected to a server yet.
    #[error("not connected to a server yet")]
    NotLoggedIn,
    /// The account plays at another server: same data, another arena or operator.
    #[error(
        "this account plays at arena {} on chain {} (operator {}), not at arena {} on chain {}; use another data folder",
        .known.domain.arena, .known.domain.chain_id, .known.operator, .found.domain.arena, .found.domain.chain_id
    )]
    OtherServer {
        /// Where it plays.
        known: Server,
        /// Who answered.
        found: Server,
    },
    /// No such rules here.
    #[error("rules {} are not registered with this client", .0.0)]
    UnknownRules(RulesId),
    /// Enough is at the operator's word.
    #[error("the operator owes {exposure} that no batch has settled, and the limit is {limit}: wait for a batch")]
    Exposed {
        /// Winnings that are not on the chain.
        exposure: Amount,
        /// The player's own limit.
        limit: Amount,
    },
    /// No more indexes.
    #[error("this account has played all the matches that it can; open another")]
    Exhausted,
    /// No such match.
    #[error("no match {0}")]
    UnknownMatch(MatchId),
    /// A proposal for a table where this player does not sit.
    #[error("no seat at table {}", .0.0)]
    NotSeated(TableId),
    /// A proposal other than what the player sat down for.
    #[error("the server proposed another {0} than agreed")]
    OtherTerms(&'static str),
    /// A proposal with another judge of moves than the rules call for (R7.8).
    #[error(
        "the server proposed that {} with {} gas judges contested moves; these rules call for {} with {}",
        .found.referee, .found.budget, .expected.referee, .expected.budget
    )]
    OtherReferee {
        /// What the rules call for.
        expected: Trial,
        /// What the server proposed.
        found: Trial,
    },
    /// A statement with a result that is not the match's.
    #[error("the server states {delta} for match {match_id}, which is not its result")]
    WrongDelta {
        /// Which match.
        match_id: MatchId,
        /// What the server says.
        delta: i128,
    },
    /// An outcome that only the server vouches for.
    #[error(
        "the server says that the chain has decided match {0}; give the client a node of its own to see for itself"
    )]
    Unproved(MatchId),
    /// A statement for a match in play.
    #[error("the server wants to settle match {0}, which is still open")]
    StillOpen(MatchId),
    /// A statement that its results do not add up to.
    #[error("the statement is not the last one plus its results")]
    WrongStatement,
    /// Somebody else's.
    #[error("this is not this account's statement")]
    NotYourStatement,
    /// A frame that a server never sends now.
    #[error("the server sent a frame that makes no sense now")]
    Unexpected,
    /// Stored records that are no session.
    #[error("stored match {match_id}: {error}")]
    Restore {
        /// Which match.
        match_id: MatchId,
        /// What is wrong.
        error: RestoreError,
    },
}

impl From<SignerError> for SessionError {
    fn from(error: SignerError) -> SessionError {
        SessionError::Channel(error.into())
    }
}

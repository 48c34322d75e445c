//! What clients and servers say to each other: versioned binary frames, one a WebSocket message (section 8).
//!
//! A frame is one byte of version, then canonical postcard. [`decode`] checks size and version before it reads further;
//! postcard never allocates more than the bytes that are there.

use alloc::{string::String, vec::Vec};

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    abi::{Arrival, Domain, MatchId, MatchTerms, State, StateHash, Statement, Withdrawal},
    account::{AccountId, Player},
    chance::Link,
    game::{Amount, BasisPoints, Seat},
    rules::{MAX_ACTION, RulesId},
    sign::Signature,
};

/// Version of these frames.
pub const VERSION: u8 = 1;
/// WebSocket subprotocol of this version.
pub const SUBPROTOCOL: &str = "matchlock.v1";
/// Largest frame in bytes: a resumed session's list or a long action fits well.
pub const MAX_FRAME: usize = 64 * 1024;
/// Most matches that one login resumes: no account has more open (R5.5).
pub const MAX_RESUME: usize = 32;
/// Most receipts of arrival in one answer: the operator signs each of them for the asking.
pub const MAX_ARRIVALS: usize = 8;

/// A table's number in the lobby.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableId(pub u64);

/// What a match at a table will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSpec {
    /// The exact rules.
    pub rules: RulesId,
    /// How many play.
    pub seats: u8,
    /// What each of them stakes.
    pub stake: Amount,
    /// Seconds a seat may think.
    pub clock: u32,
    /// Not listed: to be joined by its number only.
    pub private: bool,
}

/// What a seat brings to a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The account's running number for the match; durable at the client, never signed twice (R5.4).
    pub index: u32,
    /// Anchor of the seat's hash chain; random where the game has no chance.
    pub anchor: Link,
}

/// One turn as its author sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The header.
    pub state: State,
    /// The encoded action that leads to it.
    pub action: Vec<u8>,
    /// The author's signature on the header. [`Signature::NONE`] in what is kept of a turn that came from a court, where its
    /// author signed a later header instead (R7.3); never in a frame.
    pub signature: Signature,
}

/// The operator's receipt of a turn: its word for when the header was there, durable and passed on. It does not say that
/// anybody read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// The turn; 0 for State 0.
    pub turn: u32,
    /// Its header.
    pub state: StateHash,
    /// Unix time in seconds.
    pub at: u64,
    /// The operator's signature on the [`Arrival`].
    pub signature: Signature,
}

impl Arrived {
    /// What is signed.
    pub fn arrival(&self, match_id: MatchId) -> Arrival {
        Arrival { match_id, turn: self.turn, state: self.state, at: self.at }
    }
}

/// What a client still has of a match when it logs in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// The match.
    pub match_id: MatchId,
    /// The newest turn it holds; `None` before State 0 was complete.
    pub turn: Option<u32>,
}

/// A statement that both parties signed (R6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Whose.
    pub player: Player,
    /// What it says.
    pub statement: Statement,
    /// The account key's signature on the `Statement`.
    pub signature: Signature,
    /// The operator's signature on the `Receipt`.
    pub receipt: Signature,
}

/// From client to server. `tag` comes back in the answer.
#[allow(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ToServer {
    /// The first frame: who is there, proved by a signature on `Login` with the welcome's nonce (R8.4).
    Login {
        /// Owner and key.
        player: Player,
        /// By the key.
        signature: Signature,
        /// Matches that this client has open (R8.3).
        resume: Vec<Have>,
    },
    /// Opens a table and sits down.
    Create { tag: u32, spec: TableSpec, offer: Offer },
    /// Sits down at a table.
    Join { tag: u32, table: TableId, offer: Offer },
    /// Sits down at any listed table like this, or opens one.
    Quick { tag: u32, spec: TableSpec, offer: Offer },
    /// Leaves a table that is not full yet.
    Leave { tag: u32, table: TableId },
    /// Asks for listed tables, of these rules or all.
    List { tag: u32, rules: Option<RulesId> },
    /// The seat's signature on the terms proposed.
    Sign { match_id: MatchId, signature: Signature },
    /// The seat's signature on State 0, given once it holds the guarantee.
    Start { match_id: MatchId, signature: Signature },
    /// A turn.
    Turn { match_id: MatchId, turn: Turn },
    /// The seat's signature on a header it did not write: the final one's.
    Ack { match_id: MatchId, turn: u32, signature: Signature },
    /// The account's signature on the statement asked for.
    Statement { statement: Statement, signature: Signature },
    /// Asks for a co-signed withdrawal of this much.
    Withdraw { tag: u32, amount: Amount },
    /// Asks for the account as the server sees it.
    Account { tag: u32 },
    /// Asks for the proof of a settled result.
    Prove { tag: u32, match_id: MatchId },
    /// Asks for a match's turns from this one on.
    Turns { tag: u32, match_id: MatchId, from: u32 },
    /// Keeps the connection alive.
    Ping,
    /// Asks for receipts of a match's turns from this one on.
    Arrivals { tag: u32, match_id: MatchId, from: u32 },
}

/// From server to client.
#[allow(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ToClient {
    /// The first frame.
    Welcome(Welcome),
    /// Logged in; what was missed follows.
    Ready(AccountView),
    /// The answer to [`ToServer::List`], newest first, cut to what fits.
    Tables { tag: u32, tables: Vec<TableInfo> },
    /// Sat down.
    Seated { tag: u32, table: TableId },
    /// Left the table; the offer's index was not used.
    Left { tag: u32, table: TableId },
    /// The table is full: sign these terms.
    Proposal { table: TableId, terms: MatchTerms, players: Vec<Player> },
    /// The proposal came to nothing; its index is given up (R5.4).
    Cancelled { match_id: MatchId, reason: Refusal },
    /// All seats signed the terms, and the operator (R5.2).
    Guarantee { match_id: MatchId, signatures: Vec<Signature>, operator: Signature },
    /// All seats signed State 0: the match is open.
    Opened { match_id: MatchId, signatures: Vec<Signature> },
    /// Another seat's turn.
    Turn { match_id: MatchId, turn: Turn },
    /// The seat's own turn is durable at the server.
    Stored { match_id: MatchId, turn: u32 },
    /// The final, signed by all seats in order, and by the operator (R6.1).
    Final { match_id: MatchId, signatures: Vec<Signature>, operator: Signature },
    /// Sign this statement: it adds these results to the last one.
    StatementDue { statement: Statement, results: Vec<Due> },
    /// The operator's half of a statement.
    Receipt { statement: Statement, signature: Signature },
    /// An opponent's newest pair, to be kept until it is settled (R6.5).
    Opponent { match_id: MatchId, pair: Pair },
    /// A batch with the account's statement is on the chain at depth.
    Settled { statement: Statement, batch: u32 },
    /// The answer to [`ToServer::Withdraw`]: sign it too and submit it.
    Withdrawal { tag: u32, withdrawal: Withdrawal, signature: Signature },
    /// The answer to [`ToServer::Account`]; unasked, with tag 0, when the chain changed what is available.
    Account { tag: u32, account: AccountView },
    /// The answer to [`ToServer::Prove`].
    Proof { tag: u32, batch: u32, result: ResultLeaf, path: Vec<B256> },
    /// The answer to [`ToServer::Turns`], cut to what fits a frame: ask again from the next.
    Turns { tag: u32, match_id: MatchId, turns: Vec<Turn> },
    /// No, and why. Nothing has changed.
    Refused { about: About, refusal: Refusal },
    /// Answers a ping.
    Pong,
    /// The match is in dispute on the chain: who has to answer the turn that was shown there, and until when in the chain's Unix
    /// seconds.
    Disputed { match_id: MatchId, turn: u32, mover: Option<Seat>, until: u64 },
    /// The chain has applied an outcome of this match.
    Ruled { match_id: MatchId, payouts: Vec<Amount> },
    /// The answer to [`ToServer::Arrivals`], in order, at most [`MAX_ARRIVALS`]: ask again from the next.
    Arrivals { tag: u32, match_id: MatchId, arrivals: Vec<Arrived> },
}

/// What a server says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// To be signed in the login.
    pub nonce: B256,
    /// Where this server settles.
    pub domain: Domain,
    /// Who guarantees.
    pub operator: Address,
    /// The arena's token; zero for the chain's coin.
    pub token: Address,
    /// What can be played here.
    pub games: Vec<GameInfo>,
    /// Largest number of seconds for a [`TableSpec::clock`].
    pub max_clock: u32,
    /// Seconds that proposals stay open (R5.3).
    pub open_for: u32,
    /// Seconds from the proposal to [`MatchTerms::expiry`].
    pub expire_after: u64,
    /// The court's referee for rules that a contest brings along (R7.8); zero where the arena has no court.
    pub referee: Address,
}

/// A game on a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameInfo {
    /// The exact rules.
    pub rules: RulesId,
    /// The game's name.
    pub name: String,
    /// Fewest and most seats.
    pub seats: (u8, u8),
    /// The operator's share.
    pub fee: BasisPoints,
}

/// A table in the lobby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableInfo {
    /// Its number.
    pub table: TableId,
    /// What will be played.
    pub spec: TableSpec,
    /// Who sits there.
    pub seated: Vec<AccountId>,
}

/// An account as the server sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// Equity on the chain and in co-signed statements: what an exit would pay.
    pub equity: i128,
    /// What may be staked or withdrawn now (R5.1).
    pub available: Amount,
    /// All that was ever withdrawn.
    pub withdrawn: Amount,
    /// The newest co-signed statement, with the operator's receipt once there is one.
    pub statement: Statement,
    /// The operator's signature on it; `None` before the first.
    pub receipt: Option<Signature>,
    /// What is settled on the chain.
    pub settled: Statement,
    /// First index that this account never offered.
    pub next_index: u32,
    /// Matches that are open.
    pub open: Vec<MatchId>,
}

/// One match that a statement adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The match.
    pub match_id: MatchId,
    /// Its number on the account.
    pub index: u32,
    /// Payout less stake; zero for a match given up (R5.4).
    pub delta: i128,
}

/// A leaf of a batch's results tree (R6.9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultLeaf {
    /// The match.
    pub match_id: MatchId,
    /// Its seats.
    pub seats: Vec<AccountId>,
    /// What each was paid.
    pub payouts: Vec<Amount>,
    /// The rest of the pot.
    pub fee: Amount,
    /// Struct hash of the final state.
    pub final_state: B256,
    /// BLAKE3 id of the transcript.
    pub transcript: B256,
}

/// What a refusal answers.
#[allow(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum About {
    /// The connection.
    Session,
    /// A request with this tag.
    Request(u32),
    /// A match.
    Match(MatchId),
    /// A turn of a match.
    Turn(MatchId, u32),
    /// A statement.
    Statement,
}

/// Why a server says no. Nothing has changed, and nobody else notices.
#[allow(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another version of the frames.
    #[error("this server speaks version {ours}; update the client")]
    Version { ours: u8 },
    /// Bytes that are no frame.
    #[error("not a frame of this protocol")]
    Malformed,
    /// Too many bytes.
    #[error("larger than {limit} bytes")]
    TooLarge { limit: u32 },
    /// Too often.
    #[error("too many requests; try again in {retry_ms} ms")]
    RateLimited { retry_ms: u32 },
    /// Something else came before the login.
    #[error("log in first")]
    NotLoggedIn,
    /// A second login on one connection, or the same account from elsewhere.
    #[error("this account logged in on another connection")]
    Superseded,
    /// Not the signature of who should have signed this.
    #[error("the signature is not {signer}'s")]
    WrongSigner { signer: Address },
    /// Nobody's signature.
    #[error("malformed signature")]
    BadSignature,
    /// The wrong one of two.
    #[error("signature with a high s")]
    HighS,
    /// The server does not run these rules.
    #[error("these rules are not played here; see the welcome's list")]
    UnknownRules,
    /// Stake, seats or clock outside of what is possible.
    #[error("{field} must be from {min} to {max}")]
    OutOfRange { field: Field, min: u128, max: u128 },
    /// No such table, or no longer.
    #[error("there is no such table")]
    UnknownTable,
    /// It has all its players.
    #[error("the table is full")]
    TableFull,
    /// One account, two seats.
    #[error("this account sits there already")]
    AlreadySeated,
    /// The bankroll is too small.
    #[error("a stake of {stake} exceeds the available {available}; deposit, or wait for open matches")]
    StakeTooHigh { stake: Amount, available: Amount },
    /// The operator's pool is too small.
    #[error("the operator's pool cannot guarantee this match now; try a smaller stake or later")]
    PoolShort,
    /// The index is signed, settled or open.
    #[error("match index {index} is used; the next is {next}")]
    IndexUsed { index: u32, next: u32 },
    /// The index would push an open match out of the window (R5.5).
    #[error("match index {index} is too far ahead of open match {open}; finish that first")]
    IndexTooFar { index: u32, open: u32 },
    /// Enough is enough.
    #[error("at most {limit} tables and matches at once")]
    TooManyOpen { limit: u32 },
    /// Two seats with one anchor.
    #[error("this anchor is another seat's; offer a random one")]
    AnchorTaken,
    /// The account is leaving.
    #[error("this account is exiting; deposit to a new one")]
    Exiting,
    /// A statement is due first (R6.12).
    #[error("sign the statement that is due first")]
    StatementDue,
    /// No such match, or no seat in it.
    #[error("this account has no seat in such a match")]
    UnknownMatch,
    /// It has ended, or was never opened.
    #[error("the match is not open")]
    NotOpen,
    /// Not this turn, or not this seat's.
    #[error("turn {turn} is due from {mover}")]
    OutOfTurn { turn: u32, mover: Seat },
    /// The turn is there already, and is another one.
    #[error("turn {turn} was taken already")]
    TurnTaken { turn: u32 },
    /// A header that does not follow the one before.
    #[error("the header does not follow turn {turn}")]
    Unlinked { turn: u32 },
    /// A statement other than the one asked for.
    #[error("this is not the statement that is due")]
    NotDue,
    /// A statement that forgets matches.
    #[error("a statement never shrinks")]
    StatementShrinks,
    /// Nothing of the kind on the chain yet.
    #[error("not settled yet")]
    NotSettled,
    /// A seat was silent while the match was being opened.
    #[error("a seat did not sign in time")]
    TimedOut,
    /// A seat left while the match was being opened.
    #[error("a seat left")]
    SeatLeft,
    /// The server's disk.
    #[error("the server cannot store anything now; nothing was accepted")]
    Storage,
    /// The server's chain.
    #[error("the server's chain does not answer now; try again")]
    Chain,
    /// The server is going down.
    #[error("the server is closing; reconnect in a moment")]
    Closing,
    /// No result before the match's expiry (R5.11).
    #[error("the match had no result by its expiry; stakes are back")]
    Expired,
}

/// A field with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Field {
    /// Number of seats.
    Seats,
    /// Stake.
    Stake,
    /// Seconds to think.
    Clock,
    /// Amount of a withdrawal.
    Amount,
}

impl core::fmt::Display for Field {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Field::Seats => "the number of seats",
            Field::Stake => "the stake",
            Field::Clock => "the clock",
            Field::Amount => "the amount",
        })
    }
}

/// Bytes that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// More than [`MAX_FRAME`].
    #[error("a frame of {size} bytes; at most {MAX_FRAME} fit")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// Another version.
    #[error("a frame of version {0}; this side speaks {VERSION}")]
    Version(u8),
    /// Not canonical postcard, truncated, or something behind it.
    #[error("not a frame of this protocol")]
    Malformed,
}

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Refusal {
        match error {
            WireError::TooLarge { .. } => Refusal::TooLarge { limit: MAX_FRAME as u32 },
            WireError::Version(_) => Refusal::Version { ours: VERSION },
            WireError::Malformed => Refusal::Malformed,
        }
    }
}

/// A frame's bytes.
pub fn encode<T: Serialize>(frame: &T) -> Vec<u8> {
    postcard::to_extend(frame, Vec::from([VERSION])).expect("frames always encode")
}

/// A frame from its bytes.
///
/// # Errors
/// Too large, of another version, or not canonical.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > MAX_FRAME {
        return Err(WireError::TooLarge { size: bytes.len() });
    }
    match bytes.split_first() {
        None => Err(WireError::Malformed),
        Some((&VERSION, frame)) => crate::rules::decode(frame, "frame", MAX_FRAME).map_err(|_| WireError::Malformed),
        Some((version, _)) => Err(WireError::Version(*version)),
    }
}

const _: () = assert!(MAX_ACTION * 2 < MAX_FRAME, "a turn with the longest action fits a frame");

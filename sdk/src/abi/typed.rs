//! EIP-712 types and their hashes.

use alloc::{vec, vec::Vec};
use core::fmt;

use alloy_primitives::{Address, B256, I256, Keccak256, U256, b256, keccak256};
use serde::{Deserialize, Serialize};

use crate::{
    account::{AccountId, SettledSet},
    game::{Amount, MAX_SEATS, MIN_SEATS, Seat},
    rules::{Placed, RulesId},
};

/// `mover` of a state that ended the match (R4.6).
pub const OVER: u8 = 255;

/// Where signatures count: one arena on one chain, in one deployment (R4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Domain {
    /// EIP-155 id of the chain.
    pub chain_id: u64,
    /// Address of the `Arena`.
    pub arena: Address,
    /// Salt of the deployment.
    pub salt: B256,
}

impl Domain {
    /// The EIP-712 domain separator.
    pub fn separator(&self) -> B256 {
        words(&[
            keccak256(
                "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)",
            ),
            keccak256("Matchlock"),
            keccak256("1"),
            U256::from(self.chain_id).into(),
            self.arena.into_word(),
            self.salt,
        ])
    }

    /// What is signed for a struct of this hash.
    pub fn digest(&self, struct_hash: B256) -> B256 {
        digest(&self.separator(), struct_hash)
    }
}

/// What is signed for a struct of this hash, with the separator at hand.
pub(crate) fn digest(separator: &B256, struct_hash: B256) -> B256 {
    let mut preimage = [0u8; 66];
    preimage[..2].copy_from_slice(&[0x19, 0x01]);
    preimage[2..34].copy_from_slice(separator.as_slice());
    preimage[34..].copy_from_slice(struct_hash.as_slice());
    keccak256(preimage)
}

/// Id of a match: the EIP-712 digest of its terms (R4.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MatchId(pub B256);

impl fmt::Debug for MatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for MatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Struct hash of a [`State`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StateHash(pub B256);

/// What all seats and the operator agree on: `Match` of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchTerms {
    /// Account of each seat.
    pub seats: Vec<AccountId>,
    /// The match's running number on each seat's account.
    pub indexes: Vec<u32>,
    /// Each seat's stake.
    pub stakes: Vec<Amount>,
    /// The exact rules.
    pub rules: RulesId,
    /// Gas that re-running one move on the chain may take; 0 without a referee.
    pub budget: u64,
    /// Contract that can re-run one move; zero for arbiters.
    pub referee: Address,
    /// Seconds a seat may think before it can be challenged.
    pub clock: u32,
    /// No match has more turns (R5.12).
    pub max_turns: u32,
    /// Seconds beyond the minimum that a seat may use in disputes altogether.
    pub chain_time: u32,
    /// Unix time until which a match without every State 0 signature can be shown (R5.3).
    pub open_by: u64,
    /// Unix time of the last moment to open a dispute (R5.11).
    pub expiry: u64,
    /// Anchor of each seat's hash chain (R5.13).
    pub seeds: Vec<B256>,
    /// Commitment to position 0 (R4.4).
    pub start: B256,
    /// Makes equal terms different matches.
    pub salt: B256,
}

/// Terms that no honest seat signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TermsError {
    /// Not a table.
    #[error("a match has 2 to 8 seats, not {0}")]
    Seats(usize),
    /// Lists of different lengths.
    #[error("the terms' lists differ in length")]
    Lengths,
    /// Two seats, one account; or the zero account.
    #[error("{0} is nobody, or sits twice")]
    RepeatedSeat(Seat),
    /// Two seats, one chain of dice.
    #[error("{0} has the anchor of another seat")]
    RepeatedSeed(Seat),
    /// More than fits.
    #[error("the stakes' sum exceeds 96 bits")]
    Stakes,
}

impl MatchTerms {
    const TYPE: &'static str = "Match(address[] seats,uint32[] indexes,uint96[] stakes,bytes32 rules,uint64 budget,\
        address referee,uint32 clock,uint32 maxTurns,uint32 chainTime,uint64 openBy,uint64 expiry,bytes32[] seeds,\
        bytes32 start,bytes32 salt)";

    /// The EIP-712 struct hash.
    pub fn struct_hash(&self) -> B256 {
        words(&[
            keccak256(Self::TYPE),
            array(&self.seats, |seat| seat.0.into_word()),
            array(&self.indexes, |index| U256::from(*index).into()),
            array(&self.stakes, |stake| U256::from(stake.units()).into()),
            self.rules.0,
            U256::from(self.budget).into(),
            self.referee.into_word(),
            U256::from(self.clock).into(),
            U256::from(self.max_turns).into(),
            U256::from(self.chain_time).into(),
            U256::from(self.open_by).into(),
            U256::from(self.expiry).into(),
            array(&self.seeds, |seed| *seed),
            self.start,
            self.salt,
        ])
    }

    /// The match's id in `domain`: what its seats and the operator sign.
    pub fn id(&self, domain: &Domain) -> MatchId {
        MatchId(domain.digest(self.struct_hash()))
    }

    /// What the contract checks wherever it meets these terms (R4.10), and that no two seats share a chain of dice.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn check(&self) -> Result<(), TermsError> {
        let seats = self.seats.len();
        if !(MIN_SEATS..=MAX_SEATS).contains(&seats) {
            return Err(TermsError::Seats(seats));
        }
        if [self.indexes.len(), self.stakes.len(), self.seeds.len()] != [seats; 3] {
            return Err(TermsError::Lengths);
        }
        for (i, seat) in self.seats.iter().enumerate() {
            if seat.0 == Address::ZERO || self.seats[..i].contains(seat) {
                return Err(TermsError::RepeatedSeat(Seat(i as u8)));
            }
            if self.seeds[..i].contains(&self.seeds[i]) {
                return Err(TermsError::RepeatedSeed(Seat(i as u8)));
            }
        }
        Amount::total(&self.stakes).ok_or(TermsError::Stakes)?;
        Ok(())
    }

    /// The seat of this account.
    pub fn seat_of(&self, account: AccountId) -> Option<Seat> {
        self.seats.iter().position(|seat| *seat == account).map(|i| Seat(i as u8))
    }

    /// What a seat gains by these payouts; negative for a loss.
    pub fn delta(&self, seat: Seat, payouts: &[Amount]) -> i128 {
        payouts[seat.index()].signed() - self.stakes[seat.index()].signed()
    }
}

/// The header of one position: what a turn's author signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// 0 for the start.
    pub turn: u32,
    /// The state before; zero for the start.
    pub prev: StateHash,
    /// keccak256 of the encoded action that led here; zero for the start.
    pub action: B256,
    /// keccak256 of the encoded position.
    pub board: B256,
    /// The seat to act next; [`OVER`] at the end.
    pub mover: u8,
    /// The result, or who gets what should the mover never act (R4.7).
    pub payouts: Vec<Amount>,
}

impl State {
    #[cfg(test)]
    const TYPE: &'static str = "State(bytes32 matchId,uint32 turn,bytes32 prev,bytes32 move,bytes32 board,uint8 mover,\
        uint96[] payouts)";
    /// keccak256 of `TYPE`: hashed at every move, so not each time anew.
    const TYPE_HASH: B256 = b256!("aa49630c9ad3fc7fd69b3d1cb9338e0e2fd17e505b48066fb3b2675b1989ab3c");

    /// State 0.
    pub fn start(placed: &Placed) -> State {
        State::after(0, StateHash::default(), B256::ZERO, placed)
    }

    /// The state that an action leads to.
    pub fn after(turn: u32, prev: StateHash, action: B256, placed: &Placed) -> State {
        let mover = placed.mover.map_or(OVER, |seat| seat.0);
        State { turn, prev, action, board: placed.commitment(), mover, payouts: placed.payouts.clone() }
    }

    /// Who acts next; `None` at the end.
    pub fn mover(&self) -> Option<Seat> {
        (self.mover != OVER).then_some(Seat(self.mover))
    }

    /// Whether the match is over.
    pub fn is_final(&self) -> bool {
        self.mover == OVER
    }

    /// The EIP-712 struct hash, which the next state's `prev` names.
    pub fn hash(&self, id: MatchId) -> StateHash {
        StateHash(words(&[
            Self::TYPE_HASH,
            id.0,
            U256::from(self.turn).into(),
            self.prev.0,
            self.action,
            self.board,
            U256::from(self.mover).into(),
            array(&self.payouts, |payout| U256::from(payout.units()).into()),
        ]))
    }

    /// `start` of the terms: commits to position 0 alone (R4.4).
    pub fn start_commitment(&self) -> B256 {
        // abi.encode(bytes32 board, uint8 mover, uint96[] payouts)
        let mut preimage = vec![
            self.board,
            U256::from(self.mover).into(),
            U256::from(96).into(),
            U256::from(self.payouts.len()).into(),
        ];
        preimage.extend(self.payouts.iter().map(|payout| B256::from(U256::from(payout.units()))));
        words(&preimage)
    }
}

/// What an account says of all its settled matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Sum of (payout - stake) over the set.
    pub net: i128,
    /// The settled matches.
    pub set: SettledSet,
}

impl Statement {
    /// The struct hash that the account key signs.
    pub fn struct_hash(&self, owner: Address) -> B256 {
        self.hash_as("Statement(address owner,int96 net,uint32 through,uint32 pending)", owner)
    }

    /// The struct hash that the operator signs: a [`Receipt`].
    pub fn receipt_hash(&self, account: AccountId) -> Receipt {
        Receipt(self.hash_as("Receipt(address account,int96 net,uint32 through,uint32 pending)", account.0))
    }

    fn hash_as(&self, encode_type: &str, who: Address) -> B256 {
        words(&[
            keccak256(encode_type),
            who.into_word(),
            I256::try_from(self.net).expect("128 bits fit 256").into(),
            U256::from(self.set.through).into(),
            U256::from(self.set.pending).into(),
        ])
    }
}

/// Struct hash of an operator's receipt for a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Receipt(pub B256);

/// A co-operative withdrawal, signed by account and operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Whose money.
    pub account: AccountId,
    /// All withdrawals of the account ever, this one included.
    pub total: Amount,
    /// Unix time after which it is void.
    pub deadline: u64,
    /// The statement on the chain that it builds on.
    pub receipt: Receipt,
}

impl Withdrawal {
    /// The struct hash that both sign.
    pub fn struct_hash(&self) -> B256 {
        words(&[
            keccak256("Withdrawal(address account,uint96 total,uint64 deadline,bytes32 receipt)"),
            self.account.0.into_word(),
            U256::from(self.total.units()).into(),
            U256::from(self.deadline).into(),
            self.receipt.0,
        ])
    }
}

/// What arbiters say of one contested header (R7.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// The match.
    pub match_id: MatchId,
    /// The header.
    pub top: StateHash,
    /// Whether it is what the rules make of its parent and its move.
    pub legal: bool,
}

impl Ruling {
    /// The struct hash that arbiters sign.
    pub fn struct_hash(&self) -> B256 {
        words(&[
            keccak256("Ruling(bytes32 matchId,bytes32 top,bool legal)"),
            self.match_id.0,
            self.top.0,
            U256::from(u8::from(self.legal)).into(),
        ])
    }
}

/// When a header came to the server: durable there and passed on. The operator's word; worth nothing on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The match.
    pub match_id: MatchId,
    /// The header's turn; 0 for State 0, which comes with the last signature on it.
    pub turn: u32,
    /// The header.
    pub state: StateHash,
    /// Unix time in seconds.
    pub at: u64,
}

impl Arrival {
    /// The struct hash that the operator signs.
    pub fn struct_hash(&self) -> B256 {
        words(&[
            keccak256("Arrival(bytes32 matchId,uint32 turn,bytes32 state,uint64 at)"),
            self.match_id.0,
            U256::from(self.turn).into(),
            self.state.0,
            U256::from(self.at).into(),
        ])
    }
}

/// An exit that somebody else may submit for the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Who leaves.
    pub account: AccountId,
    /// The receipt that it leaves with; zero for none.
    pub receipt: Receipt,
    /// The account's count of exits so far.
    pub nonce: u64,
}

impl Exit {
    /// The struct hash that the account key signs.
    pub fn struct_hash(&self) -> B256 {
        words(&[
            keccak256("Exit(address account,bytes32 receipt,uint64 nonce)"),
            self.account.0.into_word(),
            self.receipt.0,
            U256::from(self.nonce).into(),
        ])
    }
}

/// Proof to a server that a client holds the account's key; worth nothing on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Who logs in.
    pub account: AccountId,
    /// The server's nonce for this connection.
    pub nonce: B256,
}

impl Login {
    /// The struct hash that the account key signs.
    pub fn struct_hash(&self) -> B256 {
        words(&[keccak256("Login(address account,bytes32 nonce)"), self.account.0.into_word(), self.nonce])
    }
}

fn words(words: &[B256]) -> B256 {
    let mut hasher = Keccak256::new();
    words.iter().for_each(|word| hasher.update(word));
    hasher.finalize()
}

fn array<T>(items: &[T], word: impl Fn(&T) -> B256) -> B256 {
    let mut hasher = Keccak256::new();
    items.iter().for_each(|item| hasher.update(word(item)));
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use alloy_sol_types::{SolStruct, eip712_domain, sol};

    use super::*;
    use crate::local::Dice;

    sol! {
        struct Match {
            address[] seats; uint32[] indexes; uint96[] stakes; bytes32 rules; uint64 budget; address referee;
            uint32 clock; uint32 maxTurns; uint32 chainTime; uint64 openBy; uint64 expiry; bytes32[] seeds;
            bytes32 start; bytes32 salt;
        }
        struct SolState {
            bytes32 matchId; uint32 turn; bytes32 prev; bytes32 move; bytes32 board; uint8 mover; uint96[] payouts;
        }
    }

    fn terms(dice: &mut Dice) -> MatchTerms {
        let seats = 2 + dice.below(7) as usize;
        MatchTerms {
            seats: (0..seats).map(|_| AccountId(Address::from_slice(&dice.bytes()[..20]))).collect(),
            indexes: (0..seats).map(|_| dice.below(1000)).collect(),
            stakes: (0..seats).map(|_| Amount::from_u64(dice.below(u32::MAX).into())).collect(),
            rules: RulesId(dice.bytes().into()),
            budget: dice.below(1000).into(),
            referee: Address::from_slice(&dice.bytes()[..20]),
            clock: dice.below(100),
            max_turns: dice.below(1000),
            chain_time: dice.below(1000),
            open_by: dice.below(1000).into(),
            expiry: dice.below(1000).into(),
            seeds: (0..seats).map(|_| dice.bytes().into()).collect(),
            start: dice.bytes().into(),
            salt: dice.bytes().into(),
        }
    }

    #[test]
    fn hashes_agree_with_an_independent_implementation() {
        for seed in 0..50 {
            let mut dice = Dice::new(seed);
            let domain = Domain { chain_id: 31337, arena: Address::repeat_byte(7), salt: dice.bytes().into() };
            let reference = eip712_domain! {
                name: "Matchlock", version: "1", chain_id: 31337, verifying_contract: domain.arena, salt: domain.salt,
            };
            assert_eq!(domain.separator(), reference.hash_struct());

            let terms = terms(&mut dice);
            let sol = crate::abi::Arena::Match::from(&terms);
            let sol = Match {
                seats: sol.seats,
                indexes: sol.indexes,
                stakes: sol.stakes,
                rules: sol.rules,
                budget: sol.budget,
                referee: sol.referee,
                clock: sol.clock,
                maxTurns: sol.maxTurns,
                chainTime: sol.chainTime,
                openBy: sol.openBy,
                expiry: sol.expiry,
                seeds: sol.seeds,
                start: sol.start,
                salt: sol.salt,
            };
            assert_eq!(terms.id(&domain).0, sol.eip712_signing_hash(&reference), "seed {seed}");

            let state = State {
                turn: dice.below(9),
                prev: StateHash(dice.bytes().into()),
                action: dice.bytes().into(),
                board: dice.bytes().into(),
                mover: 255,
                payouts: terms.stakes.clone(),
            };
            let sol = SolState {
                matchId: terms.id(&domain).0,
                turn: state.turn,
                prev: state.prev.0,
                r#move: state.action,
                board: state.board,
                mover: 255,
                payouts: state.payouts.iter().map(|p| (*p).into()).collect(),
            };
            // The macro spells the keyword `r#move`, and a Rust name of the struct; both show in the type hash only.
            assert_eq!(SolState::eip712_encode_type().replace("SolState", "State").replace("r#", ""), State::TYPE);
            assert_eq!(keccak256(State::TYPE), State::TYPE_HASH);
            let encoded = [State::TYPE_HASH.to_vec(), sol.eip712_encode_data()].concat();
            assert_eq!(keccak256(encoded), state.hash(MatchId(sol.matchId)).0, "seed {seed}");
        }
    }
}

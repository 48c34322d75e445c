//! The contracts' interfaces.

#[allow(missing_docs, reason = "documented in IArena.sol")]
mod interface {
    alloy_sol_types::sol! {
        /// The contract: see `sdk/contracts/src/IArena.sol`.
        #[derive(Debug, PartialEq, Eq)]
        interface Arena {
            struct Match {
                address[] seats; uint32[] indexes; uint96[] stakes; bytes32 rules; uint64 budget; address referee;
                uint32 clock; uint32 maxTurns; uint32 chainTime; uint64 openBy; uint64 expiry; bytes32[] seeds;
                bytes32 start; bytes32 salt;
            }
            struct State { uint32 turn; bytes32 prev; bytes32 move; bytes32 board; uint8 mover; uint96[] payouts; }
            struct Result {
                bytes32 matchId; address[] seats; uint96[] payouts; uint96 fee; bytes32 finalState; bytes32 transcript;
            }
            struct Claim { Match terms; uint96[] payouts; uint8 seat; }
            struct Config {
                address operator; address token; address court; uint32 exitWindow; bytes32 salt;
                address[] beneficiaries; uint16[] basisPoints;
            }

            constructor(Config config);
            function deposit(address account) external payable;
            function depositToken(address account, uint96 amount) external;
            function settle(bytes entries, bytes32 resultsRoot, uint32 matches, uint96 fees) external;
            function settleSigned(bytes entries) external;
            function settleClaimed(bytes entry, bytes receipt, Claim[] claims) external;
            function withdraw(address owner, address key, uint96 total, uint64 deadline, bytes accountSig, bytes operatorSig) external;
            function exit(address owner, address key, bytes entry, bytes exitSig) external;
            function lock(Match terms, uint8 seat, address[] owners, bytes signatures) external;
            function release(Match terms, uint8 seat) external;
            function finishExit(address owner, address key) external;
            function conclude(Match terms, State last, address[] owners, bytes signatures) external;
            function dispute(bytes32 id, bytes29 from, bytes29 to) external;
            function outcome(Match terms, uint96[] payouts) external;
            function fund() external payable;
            function fundToken(uint96 amount) external;
            function requestPool(uint96 amount) external;
            function withdrawPool() external;
            function payOwed(uint256 n) external;
            function proposeSplit(address[] beneficiaries, uint16[] basisPoints) external;
            function claimRevenue(address beneficiary) external;
            function revenueOf(address beneficiary) external view returns (
                uint256 claimable, uint96 fresh, uint96 older, uint40 epoch_);
            function accountOf(address account) external view returns (
                int96 funds, int96 net, uint32 pending, uint32 through, uint8 claims, bool special,
                uint96 withdrawn, uint96 locked, uint40 exitAt, uint24 nonce);
            function pool() external view returns (uint96 equity, uint128 owed, uint32 batches);
            function accountId(address owner, address key) external pure returns (address);
            function resultsRoot(uint32 batch) external view returns (bytes32);
            function outcomeOf(bytes32 id) external view returns (
                uint8 status, uint8 locked, uint8 live, bytes29 payouts);
            function proveResult(uint32 batch, Result result, bytes32[] proof) external view returns (bool);
            function matchId(Match terms) external view returns (bytes32);
            function domainSeparator() external view returns (bytes32);
            function operator() external view returns (address);
            function token() external view returns (address);
            function court() external view returns (address);
            function exitWindow() external view returns (uint32);
            function eip712Domain() external view returns (
                bytes1 fields, string name, string version, uint256 chainId, address verifyingContract, bytes32 salt,
                uint256[] extensions);

            event Deposited(address indexed account, address indexed from, uint96 amount);
            event Settled(uint32 indexed batch, bytes32 resultsRoot, uint32 matches, uint32 applied, uint96 fees);
            event Skipped(address indexed account, uint8 reason);
            event Withdrawn(address indexed account, address indexed owner, uint96 amount, uint96 total);
            event ExitOpened(address indexed account, uint40 exitAt);
            event Locked(address indexed account, bytes32 indexed matchId, uint96 stake);
            event Released(address indexed account, bytes32 indexed matchId, uint96 stake);
            event ExitFinished(address indexed account, address indexed owner, uint96 paid);
            event Concluded(bytes32 indexed matchId, uint96[] payouts);
            event OwedAdded(address indexed account, bytes32 indexed matchId, uint96 amount);
            event OwedPaid(address indexed account, bytes32 indexed matchId, uint96 amount);
            event Funded(address indexed from, uint96 amount);
            event PoolRequested(uint96 amount, uint40 from, uint40 until);
            event PoolWithdrawn(uint96 amount);
            event SplitProposed(uint40 indexed fromEpoch, address[] beneficiaries, uint16[] basisPoints);
            event RevenueClaimed(address indexed beneficiary, uint96 amount);
        }

        /// The court: see `sdk/contracts/src/ICourt.sol`.
        #[derive(Debug, PartialEq, Eq)]
        interface Court {
            struct Bench {
                address arena; uint32 minimum; uint32 patience; uint96 bond; uint8 quorum; address[] arbiters;
            }
            struct Docket { bytes32 top; uint256 brief; uint256 acks; uint256 spent; }
            struct Evidence {
                Arena.State base; Arena.State[] headers; bytes[] moves; uint64 places; address[] owners; bytes signatures;
            }

            constructor(Bench bench);
            function challenge(Arena.Match terms, bytes guarantee, Evidence shown) external;
            function respond(Arena.Match terms, Docket docket, Evidence shown, Arena.State[] fork) external;
            function contest(
                Arena.Match terms, Docket docket, Arena.State[] trail, bytes code, bytes position, bytes action
            ) external payable;
            function rule(Arena.Match terms, Docket docket, Arena.State[] trail, bool legal, bytes signatures) external;
            function testify(bytes32 id, bytes32 top, bool legal, bytes signature) external;
            function equivocate(
                Arena.Match terms, Docket docket, Arena.State[] trail, Arena.State other, address owner, bytes signature
            ) external;
            function void(Arena.Match terms, address[] owners, bytes signatures) external;
            function finalize(Arena.Match terms, Docket docket, Arena.State top) external;
            function reclaim(bytes32 id) external;
            function claimBond(address contester) external;
            function claimShare(address owner, address key) external;
            function arena() external view returns (address);
            function REFEREE() external view returns (address);
            function limits() external view returns (uint32 minimum, uint32 patience, uint96 bond, uint8 quorum);
            function isArbiter(address who) external view returns (bool);
            function bondOf(address contester) external view returns (uint256);
            function shareOf(address account) external view returns (uint256);
            function docketHash(Docket docket) external pure returns (bytes29 hash);
            function accountId(address owner, address key) external pure returns (address);
            function matchId(Arena.Match terms) external view returns (bytes32);
            function domainSeparator() external view returns (bytes32);
            function eip712Domain() external view returns (
                bytes1 fields, string name, string version, uint256 chainId, address verifyingContract, bytes32 salt,
                uint256[] extensions);

            event Shown(bytes32 indexed matchId, Docket docket);
            event Recorded(bytes32 indexed matchId, Arena.State[] headers, bytes[] moves);
            event Closed(bytes32 indexed matchId, Docket docket);
            event Contested(bytes32 indexed matchId, address indexed contester, Docket docket);
            event Upheld(bytes32 indexed matchId, Docket docket);
            event Testified(bytes32 indexed matchId, address indexed arbiter, bytes32 top, bool legal, bytes signature);
            event Doubted(bytes32 indexed matchId, Docket docket);
            event Finalized(bytes32 indexed matchId, bool stakesBack);
            event BondReturned(bytes32 indexed matchId, address indexed contester);
            event BondLost(bytes32 indexed matchId, address indexed contester);
            event BondPaid(address indexed to, uint256 amount);
        }

        /// A contract that re-runs a move: see `sdk/contracts/src/IReferee.sol`; `run` is of the court's own alone.
        #[derive(Debug, PartialEq, Eq)]
        interface Referee {
            function judge(bytes32 rules, uint256 budget, bytes code, bytes position, uint8 seat, bytes action)
                external returns (bool legal, bytes32 board, uint8 mover, uint96[] payouts);
            function run() external;
        }
    }
}

pub use interface::{Arena, Court, Referee};

use alloc::vec::Vec;

use alloy_primitives::{Address, Bytes, aliases::U96};

use crate::{
    abi::{MatchTerms, State},
    account::AccountId,
    game::{Amount, Seat},
    rules::RulesId,
    settle,
    sign::Signature,
    wire::Pair,
};

impl From<&MatchTerms> for Arena::Match {
    fn from(terms: &MatchTerms) -> Arena::Match {
        Arena::Match {
            seats: terms.seats.iter().map(|seat| seat.0).collect(),
            indexes: terms.indexes.clone(),
            stakes: terms.stakes.iter().map(|stake| (*stake).into()).collect(),
            rules: terms.rules.0,
            budget: terms.budget,
            referee: terms.referee,
            clock: terms.clock,
            maxTurns: terms.max_turns,
            chainTime: terms.chain_time,
            openBy: terms.open_by,
            expiry: terms.expiry,
            seeds: terms.seeds.clone(),
            start: terms.start,
            salt: terms.salt,
        }
    }
}

impl From<&Arena::Match> for MatchTerms {
    fn from(terms: &Arena::Match) -> MatchTerms {
        MatchTerms {
            seats: terms.seats.iter().map(|seat| AccountId(*seat)).collect(),
            indexes: terms.indexes.clone(),
            stakes: terms.stakes.iter().map(amount).collect(),
            rules: RulesId(terms.rules),
            budget: terms.budget,
            referee: terms.referee,
            clock: terms.clock,
            max_turns: terms.maxTurns,
            chain_time: terms.chainTime,
            open_by: terms.openBy,
            expiry: terms.expiry,
            seeds: terms.seeds.clone(),
            start: terms.start,
            salt: terms.salt,
        }
    }
}

impl Arena::concludeCall {
    /// Applies a final; `owners` are the seats', `signatures` on the final: the seats' in order, then the operator's.
    pub fn of(terms: &MatchTerms, last: &State, owners: &[Address], signatures: &[Signature]) -> Arena::concludeCall {
        let (owners, signatures) = (owners.to_vec(), concat(signatures));
        Arena::concludeCall { terms: terms.into(), last: last.into(), owners, signatures }
    }
}

impl Arena::settleClaimedCall {
    /// Settles one pair, of an account with these live claims, ascending by their match's id (R6.10); or reverts, and then nothing
    /// has changed.
    pub fn of(pair: &Pair, claims: Vec<Arena::Claim>) -> Arena::settleClaimedCall {
        let entry = settle::entry(pair.player.owner, &pair.statement, &pair.signature);
        let (entry, receipt) = (entry.to_vec().into(), pair.receipt.0.to_vec().into());
        Arena::settleClaimedCall { entry, receipt, claims }
    }
}

impl Arena::lockCall {
    /// Keeps a stake back; `owners` are the seats', `signatures` on the terms: the seats' in order, then the operator's.
    pub fn of(terms: &MatchTerms, seat: Seat, owners: &[Address], signatures: &[Signature]) -> Arena::lockCall {
        let (owners, signatures) = (owners.to_vec(), concat(signatures));
        Arena::lockCall { terms: terms.into(), seat: seat.0, owners, signatures }
    }
}

fn concat(signatures: &[Signature]) -> Bytes {
    signatures.iter().flat_map(|signature| signature.0).collect::<Vec<u8>>().into()
}

impl From<&Arena::State> for State {
    fn from(state: &Arena::State) -> State {
        State {
            turn: state.turn,
            prev: super::StateHash(state.prev),
            action: state.r#move,
            board: state.board,
            mover: state.mover,
            payouts: state.payouts.iter().map(amount).collect(),
        }
    }
}

fn amount(units: &U96) -> Amount {
    Amount::new(units.to()).expect("96 bits fit an amount")
}

impl From<&State> for Arena::State {
    fn from(state: &State) -> Arena::State {
        Arena::State {
            turn: state.turn,
            prev: state.prev.0,
            r#move: state.action,
            board: state.board,
            mover: state.mover,
            payouts: state.payouts.iter().map(|payout| (*payout).into()).collect(),
        }
    }
}

impl From<Amount> for U96 {
    fn from(amount: Amount) -> Self {
        Self::from(amount.units())
    }
}

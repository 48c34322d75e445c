// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title What an Arena is told, what it says and what it refuses
/// @notice Rule numbers (R3.1, ...) are those of docs/PROTOCOL.md.
interface IArena {
    // ------------------------------------------------------------------------------------------------- structs

    /// @notice How an arena is deployed. Nothing here can change later but the split of the revenue.
    struct Config {
        address operator; // signs guarantees, receipts, withdrawals; submits batches (R2.4)
        address token; // the asset: an ERC-20, or zero for the native coin
        address court; // applies what disputes decide (section 7); zero for none
        uint32 exitWindow; // seconds
        bytes32 salt; // of this deployment, so that a restarted chain replays nothing (R4.1)
        address[] beneficiaries; // of fees; none means the operator alone
        uint16[] basisPoints; // one per beneficiary, together 10,000
    }

    /// @notice The terms of one match, signed by all seats and the operator (section 4). Its id is its digest.
    struct Match {
        address[] seats;
        uint32[] indexes;
        uint96[] stakes;
        bytes32 rules;
        uint64 budget;
        address referee;
        uint32 clock;
        uint32 maxTurns;
        uint32 chainTime;
        uint64 openBy;
        uint64 expiry;
        bytes32[] seeds;
        bytes32 start;
        bytes32 salt;
    }

    /// @notice One position of a match. The match id is added when it is hashed.
    struct State {
        uint32 turn;
        bytes32 prev;
        bytes32 move;
        bytes32 board;
        uint8 mover;
        uint96[] payouts;
    }

    /// @notice One settled result under a results root (R6.9).
    struct Result {
        bytes32 matchId;
        address[] seats;
        uint96[] payouts;
        uint96 fee;
        bytes32 finalState;
        bytes32 transcript;
    }

    /// @notice A match whose outcome the chain applied to, or whose stake it locked on, a seat (R6.10).
    struct Claim {
        Match terms;
        uint96[] payouts;
        uint8 seat;
    }

    // -------------------------------------------------------------------------------------------------- events

    event Deposited(address indexed account, address indexed from, uint96 amount);
    /// @notice Statements were settled. Batches count from 1; batch 0 stands for `settleSigned` and `settleClaimed`.
    event Settled(uint32 indexed batch, bytes32 resultsRoot, uint32 matches, uint32 applied, uint96 fees);
    /// @notice An entry was left out (R6.8); the reasons are the constants of `Skip`.
    event Skipped(address indexed account, uint8 reason);
    event Withdrawn(address indexed account, address indexed owner, uint96 amount, uint96 total);
    /// @notice An exit window runs until `exitAt`; emitted again where a later statement opens it anew.
    event ExitOpened(address indexed account, uint40 exitAt);
    event ExitFinished(address indexed account, address indexed owner, uint96 paid);
    event Locked(address indexed account, bytes32 indexed matchId, uint96 stake);
    event Released(address indexed account, bytes32 indexed matchId, uint96 stake);
    event Concluded(bytes32 indexed matchId, uint96[] payouts);
    event OwedAdded(address indexed account, bytes32 indexed matchId, uint96 amount);
    /// @notice An owed amount was paid, or repaid the account's own debt, or left the queue with a statement (`amount` 0).
    event OwedPaid(address indexed account, bytes32 indexed matchId, uint96 amount);
    event Funded(address indexed from, uint96 amount);
    event PoolRequested(uint96 amount, uint40 from, uint40 until);
    event PoolWithdrawn(uint96 amount);
    event SplitProposed(uint40 indexed fromEpoch, address[] beneficiaries, uint16[] basisPoints);
    event RevenueClaimed(address indexed beneficiary, uint96 amount);

    // -------------------------------------------------------------------------------------------------- errors

    /// @notice Only the operator may call this.
    error NotOperator();
    /// @notice Only the court may call this.
    error NotCourt();
    /// @notice This arena holds the other kind of asset: use the call with or without `Token`.
    error WrongAsset();
    /// @notice The exit window must be above zero.
    error ZeroWindow();
    /// @notice The zero address cannot be used here.
    error ZeroAddress();
    /// @notice The amount does not fit the record; use a smaller one.
    error TooMuch();
    /// @notice The token delivered less than was asked; tokens that take a fee are not supported.
    error TokenShort(uint256 asked, uint256 delivered);
    /// @notice The native coin could not be sent to this address.
    error PaymentFailed(address to);
    /// @notice The packed bytes do not have the length that the call needs.
    error BadLength(uint256 expected, uint256 given);
    /// @notice The signature at this position (seats in order, then the operator) is missing, malformed or another key's.
    error BadSignature(uint256 position);
    /// @notice The deadline is over; ask for a new withdrawal.
    error Expired(uint256 deadline);
    /// @notice Nothing new can be paid.
    error NothingToPay();
    /// @notice The account can pay only `available` now.
    error NotAvailable(uint256 available);
    /// @notice The account has been closed by an exit: use a new account.
    error ExitIsOpen();
    /// @notice Open an exit first.
    error ExitNotOpen();
    /// @notice The exit window has passed.
    error ExitWindowOver();
    /// @notice Wait until `exitAt`.
    error ExitWindowRuns(uint256 exitAt);
    /// @notice A match has 2 to 8 distinct seats and arrays of that length (R4.10).
    error BadTerms();
    /// @notice The payouts exceed the stakes, or their number is not that of the seats.
    error BadPayouts();
    /// @notice The state is not final: its mover must be 255.
    error NotFinal();
    /// @notice There is no such seat.
    error BadSeat(uint256 seat);
    /// @notice The match is past its expiry.
    error MatchExpired();
    /// @notice The match has its outcome already.
    error MatchConcluded();
    /// @notice A dispute of the match is open already: answer in it.
    error MatchDisputed();
    /// @notice No such dispute is open: give the docket of the newest event.
    error OtherDocket();
    /// @notice The account's settled set contains the match already.
    error MatchSettled();
    /// @notice The stake is locked already.
    error AlreadyLocked();
    /// @notice The stake is not locked.
    error NotLocked();
    /// @notice The match is neither settled, concluded nor expired.
    error StillLocked();
    /// @notice The statement cannot be applied; the reason is one of the constants of `Skip`.
    error NotApplied(uint8 reason);
    /// @notice Give all `live` claims of the account, in ascending order of match ids, each once.
    error WrongClaims(uint256 live, uint256 given);
    /// @notice Neither a live claim nor a locked stake of this account, or other payouts than the applied ones.
    error NoClaim(bytes32 matchId);
    /// @notice Wait for the notice to pass, and use it before it lapses.
    error NoticeRuns(uint256 from, uint256 until);
    /// @notice Nothing is paid out while the pool owes players `owed`.
    error PoolOwes(uint256 owed);
    /// @notice 1 to 8 beneficiaries, none zero, with basis points above zero that add up to 10,000.
    error BadSplit();
}

/// @notice Why a statement was not applied (R6.8).
library Skip {
    /// @dev The account's signature is malformed, malleable or recovers nothing.
    uint8 internal constant SIGNATURE = 1;
    /// @dev The account's key is the operator's own (R2.4).
    uint8 internal constant OPERATOR_KEY = 2;
    /// @dev The set is malformed or does not strictly contain the settled one.
    uint8 internal constant STALE = 3;
    /// @dev It would take the account below its locked stakes (R3.4).
    uint8 internal constant UNDERWATER = 4;
    /// @dev The pool cannot cover the credit behind what it owes (R3.5).
    uint8 internal constant POOL_SHORT = 5;
    /// @dev The account has live claims: `settleClaimed` (R6.10).
    uint8 internal constant CLAIMS = 6;
    /// @dev The exit window is over and money is due: `finishExit` first (R3.7).
    uint8 internal constant MATURED = 7;
    /// @dev The operator's receipt is not the operator's.
    uint8 internal constant RECEIPT = 8;
    /// @dev A number does not fit its field (R3.6).
    uint8 internal constant OVERFLOW = 9;
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "./IArena.sol";

/// @title What a Court is told, what it says and what it refuses
/// @notice Rule numbers (R7.1, ...) are those of docs/PROTOCOL.md. What concerns terms, signatures and the outcome is refused with
/// the errors of IArena.
interface ICourt {
    // ------------------------------------------------------------------------------------------------- structs

    /// @notice How a court is deployed. Nothing here can change later.
    struct Bench {
        address arena; // deployed before, with this court's address
        uint32 minimum; // seconds; no window is shorter (R7.5)
        uint32 patience; // seconds that the arbiters have for a ruling (R7.10)
        uint96 bond; // in the native coin: what a contest before arbiters costs if it is false (R7.9)
        uint8 quorum; // so many arbiters rule
        address[] arbiters; // ascending
    }

    /// @notice What is known of a dispute. The chain stores 29 bytes of keccak256(abi.encode(docket)); every event carries it whole,
    /// every call gives it back.
    /// @dev `brief`, from bit 0: the top's turn uint32 | the top's mover uint8 | phase uint8, a constant of `Phase` | when the running
    /// window opened uint40 | its last second uint40 | turn of the header before the arbiters, or zero, uint32 | bit turn % 64: ruled
    /// legal, uint64. `acks` and `spent` have a uint32 for each seat, seat 0 lowest.
    struct Docket {
        bytes32 top; // struct hash of the newest header; zero while nothing has been shown
        uint256 brief;
        uint256 acks; // the newest turn of this chain that each seat has signed
        uint256 spent; // seconds of each seat's chain time
    }

    /// @notice Linked headers and who signed them.
    /// @dev `places`: byte s (seat 0 lowest) is 0 where seat s has signed none of them, else one more than the place of the newest
    /// that it has: 1 for `base`, 2 for headers[0]. `owners` and `signatures` (64 bytes each) have an entry for each seat that has.
    struct Evidence {
        IArena.State base;
        IArena.State[] headers; // from base.turn + 1
        bytes[] moves; // the action of each of `headers`
        uint64 places;
        address[] owners;
        bytes signatures;
    }

    // -------------------------------------------------------------------------------------------------- events

    /// @notice Headers were shown, and the top's mover has until the window ends to answer (R7.1, R7.4). The headers and their moves are
    /// in the transaction's input, or, where a contract made the call, in `Recorded`.
    event Shown(bytes32 indexed matchId, Docket docket);
    event Recorded(bytes32 indexed matchId, IArena.State[] headers, bytes[] moves);
    /// @notice A seat was proved to have played foul in the turn after the docket's. Unless something agreed and newer is shown, the match
    /// ends with that seat, the docket's mover, as the one who never acted (R7.7).
    event Closed(bytes32 indexed matchId, Docket docket);
    /// @notice A header is before the arbiters until the window ends (R7.9).
    event Contested(bytes32 indexed matchId, address indexed contester, Docket docket);
    /// @notice The arbiters found the accused header legal; play goes on.
    event Upheld(bytes32 indexed matchId, Docket docket);
    /// @notice An arbiter says of the header `top` what it signed; nothing has changed. The quorum of these is what `rule` takes (R7.10).
    event Testified(bytes32 indexed matchId, address indexed arbiter, bytes32 top, bool legal, bytes signature);
    /// @notice Somebody doubts that the match was ever opened (R7.12).
    event Doubted(bytes32 indexed matchId, Docket docket);
    /// @notice The dispute has ended; `stakesBack` where nobody showed or ruled anything. The arena's `Concluded` has the payouts.
    event Finalized(bytes32 indexed matchId, bool stakesBack);
    /// @notice A bond was returned to who put it up, or lost to the seats' accounts (R7.9).
    event BondReturned(bytes32 indexed matchId, address indexed contester);
    event BondLost(bytes32 indexed matchId, address indexed contester);
    event BondPaid(address indexed to, uint256 amount);

    // -------------------------------------------------------------------------------------------------- errors

    /// @notice The arena was deployed with another court: predict this one's address, deploy the arena with it, then this.
    error WrongCourt(address expected);
    /// @notice Arbiters must ascend and number at least the quorum, which is above zero.
    error BadArbiters();
    /// @notice The arbiters' window must be at least the minimum.
    error ShortPatience(uint256 minimum);
    /// @notice The window has run out: only `finalize` is left.
    error WindowOver(uint256 until);
    /// @notice The window still runs: answer, or wait until after `until`.
    error WindowRuns(uint256 until);
    /// @notice State 0 had to be shown by `openBy`: show a turn >= 1 that all seats signed or built on (R5.3).
    error ShownLate(uint256 openBy);
    /// @notice A match can be doubted only after `openBy`.
    error DoubtedEarly(uint256 openBy);
    /// @notice The header of this turn does not follow the one before it.
    error Unlinked(uint256 turn);
    /// @notice The header of this turn has a seat, payouts or a turn that the terms do not allow.
    error BadHeader(uint256 turn);
    /// @notice These bytes are not the move of this turn.
    error WrongMove(uint256 turn);
    /// @notice These bytes are not the position before the contested move.
    error WrongBoard();
    /// @notice The header of this turn lacks the signature of the seat that its parent names.
    error NotByItsAuthor(uint256 turn);
    /// @notice At most `limit` headers stand above the agreed one: show fewer; wait until `from`, when the others count as agreed.
    error TooManyHeaders(uint256 limit, uint256 from);
    /// @notice A move has at most `limit` bytes.
    error MoveTooLarge(uint256 limit);
    /// @notice Nothing here is newer than what the dispute knows (R7.4).
    error NotNewer();
    /// @notice The header is agreed, so it can neither be contested nor be one of two (R5.9).
    error Agreed(uint256 turn);
    /// @notice A header is before the arbiters: wait for their ruling.
    error BeforeArbiters();
    /// @notice No header is before the arbiters, or another one than this.
    error NotBeforeArbiters();
    /// @notice The arbiters have found this header legal already.
    error AlreadyRuled();
    /// @notice The trail must lead from the parent of the header in question to the top.
    error WrongTrail();
    /// @notice Both headers are the same one.
    error SameHeader();
    /// @notice The referee finds the move legal and the header right.
    error MoveIsLegal();
    /// @notice Send the call with at least `needed` gas left at this point: the referee has a right to its budget.
    error TooLittleGas(uint256 needed);
    /// @notice No docket changes while a referee is asked.
    error InVerdict();
    /// @notice The call must bring exactly this bond.
    error WrongBond(uint256 expected);
    /// @notice Nothing can be claimed.
    error NoBond();
}

/// @notice How far a dispute is.
library Phase {
    /// @dev Headers were shown; the mover is to answer.
    uint8 internal constant OPEN = 1;
    /// @dev A foul was proved; only an agreed, newer state reopens.
    uint8 internal constant CLOSED = 2;
    /// @dev Nothing was shown: stakes back, unless something is.
    uint8 internal constant DOUBTED = 3;
}

/// @notice What a court uses of its arena.
interface IDisputable {
    function operator() external view returns (address);
    function court() external view returns (address);
    function eip712Domain()
        external
        view
        returns (bytes1, string memory, string memory, uint256, address, bytes32 salt, uint256[] memory);
    function outcomeOf(bytes32 id) external view returns (uint8 status, uint8 locked, uint8 live, bytes29 payouts);
    function dispute(bytes32 id, bytes29 from, bytes29 to) external;
    function outcome(IArena.Match calldata terms, uint96[] calldata payouts) external;
}

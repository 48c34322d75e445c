// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IDisputable, Phase} from "./ICourt.sol";
import {Headers} from "./Headers.sol";
import {OutcomeLib} from "./Records.sol";
import {PerSeat} from "./PerSeat.sol";

/// @notice A docket, unpacked.
struct Case {
    bytes29 from; // what the arena has of it
    bytes32 top;
    uint256 turn;
    uint256 mover;
    uint256 phase;
    uint256 since;
    uint256 until;
    uint256 contested;
    uint256 ruled;
    PerSeat acks;
    PerSeat spent;
}

/// @title Dockets: what is known of a dispute, and its windows (R7.1, R7.5)
/// @dev The arena keeps 29 bytes of a docket's hash in the match's own slot. Every change of it opens a window of at least the
/// minimum, so that nobody can make an answer miss by changing what it answers.
abstract contract Dockets is Headers {
    address internal immutable ARENA;
    uint256 internal immutable MINIMUM;

    constructor(address arena_, uint32 minimum_) {
        if (minimum_ == 0) revert ZeroWindow();
        address expected = IDisputable(arena_).court();
        if (expected != address(this)) revert WrongCourt(expected);
        ARENA = arena_;
        MINIMUM = minimum_;
    }

    /// @notice What the arena keeps of a docket.
    function docketHash(Docket memory docket) public pure returns (bytes29 hash) {
        assembly ("memory-safe") {
            hash := shl(24, shr(24, keccak256(docket, 0x80))) // in memory it stands as abi.encode lays it out
        }
    }

    /// @notice Reads a docket; whether it is the arena's shows when it is replaced.
    function _caseOf(Docket memory docket) internal pure returns (Case memory c) {
        unchecked {
            uint256 brief = docket.brief;
            (c.from, c.top) = (docketHash(docket), docket.top);
            (c.turn, c.mover, c.phase) = (uint32(brief), uint8(brief >> 32), uint8(brief >> 40));
            (c.since, c.until) = (uint40(brief >> 48), uint40(brief >> 88));
            (c.contested, c.ruled) = (uint32(brief >> 128), uint64(brief >> 160));
            (c.acks, c.spent) = (PerSeat.wrap(docket.acks), PerSeat.wrap(docket.spent));
        }
    }

    /// @notice Puts the case in the place of what the arena has of it.
    function _keep(bytes32 id, Case memory c) internal returns (Docket memory docket) {
        docket.top = c.top;
        docket.brief = c.turn | (c.mover << 32) | (c.phase << 40) | (c.since << 48) | (c.until << 88) | (c.contested << 128)
            | (c.ruled << 160);
        docket.acks = PerSeat.unwrap(c.acks);
        docket.spent = PerSeat.unwrap(c.spent);
        IDisputable(ARENA).dispute(id, c.from, docketHash(docket));
    }

    /// @notice Refuses a docket that is not the arena's.
    function _expectKept(bytes32 id, Case memory c) internal view {
        (uint8 status,,, bytes29 kept) = IDisputable(ARENA).outcomeOf(id);
        if (status == OutcomeLib.CONCLUDED) revert MatchConcluded();
        if (status != OutcomeLib.DISPUTED || kept != c.from) revert OtherDocket();
    }

    function _expectRunning(Case memory c) internal view {
        if (block.timestamp > c.until) revert WindowOver(c.until);
    }

    // -------------------------------------------------------------------------------------------------------- windows

    /// @notice Opens the window that the case calls for.
    function _restart(Case memory c, Match calldata terms, uint256 seats) internal view {
        unchecked {
            uint256 length = MINIMUM;
            if (c.phase == Phase.OPEN && c.mover != OVER) {
                length += _grace(c, seats);
                uint256 clock = terms.clock;
                if (clock > MINIMUM) {
                    uint256 left = terms.chainTime - c.spent.get(c.mover);
                    length += clock - MINIMUM < left ? clock - MINIMUM : left;
                }
            }
            c.since = block.timestamp;
            c.until = block.timestamp + length;
        }
    }

    /// @notice Charges the mover, who has answered, with what it took beyond the minimum.
    /// @dev At most what `_restart` gave it: the sum stays within the terms' uint32.
    function _charge(Case memory c, uint256 seats) internal view {
        unchecked {
            uint256 free = c.since + MINIMUM + _grace(c, seats);
            if (block.timestamp > free) c.spent = c.spent.set(c.mover, c.spent.get(c.mover) + block.timestamp - free);
        }
    }

    /// @notice Where as many headers as may be stand above the agreed one, the mover has to let the others' window pass first (R7.6).
    function _grace(Case memory c, uint256 seats) private view returns (uint256) {
        unchecked {
            return c.turn - c.acks.least(seats) == MAX_HEADERS ? MINIMUM : 0;
        }
    }
}

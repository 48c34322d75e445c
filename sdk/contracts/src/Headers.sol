// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ICourt} from "./ICourt.sol";
import {PerSeat} from "./PerSeat.sol";
import {Table, Terms} from "./Terms.sol";

/// @notice Checked evidence.
struct Chain {
    bytes32[] hashes; // struct hashes; the base comes first
    uint256 from; // the base's turn
    uint256 turn; // the top's
    uint256 mover; // the top's
    PerSeat acks; // the newest turn that each seat signed; zero without a signature
}

/// @title Evidence: what linked headers and signatures on them show (R7.2, R7.3)
abstract contract Headers is Terms, ICourt {
    uint256 internal constant OVER = 255; // the mover of a final state (R4.6)
    uint256 internal constant MAX_HEADERS = 32; // above the agreed one
    uint256 internal constant MAX_MOVE = 8 * 1024; // bytes

    /// @notice Checks evidence: every header, the links, the moves, the signatures.
    /// @param top A header whose agreement is not asked for: as `base` it needs no signatures. Any other base needs those of all
    /// seats, on it or above.
    function _read(Table memory t, Match calldata terms, Evidence calldata e, bytes32 top)
        internal
        view
        returns (Chain memory c)
    {
        _link(t, terms, e, c);
        c.acks = _signers(t, e, c, c.hashes[0] != top);
    }

    function _link(Table memory t, Match calldata terms, Evidence calldata e, Chain memory c) private pure {
        unchecked {
            State[] calldata headers = e.headers;
            bytes[] calldata moves = e.moves;
            uint256 n = headers.length;
            if (n > MAX_HEADERS) revert TooManyHeaders(MAX_HEADERS, 0);
            if (moves.length != n) revert BadLength(n, moves.length);
            uint256 maxTurns = terms.maxTurns;
            uint256 pot;
            for (uint256 seat; seat != t.seats; ++seat) pot += t.stake(seat);
            bytes32[] memory hashes = new bytes32[](n + 1);
            State calldata state = e.base;
            uint256 turn = state.turn;
            c.from = turn;
            uint96[] calldata payouts = state.payouts;
            uint256 mover = state.mover;
            _checkHeader(t.seats, maxTurns, pot, turn, mover, payouts);
            bytes32 hash = _stateHash(t.id, state, payouts);
            hashes[0] = hash;
            uint256 places = e.places;
            for (uint256 i; i != n; ) {
                state = headers[i];
                bytes calldata move = moves[i];
                ++turn;
                if (state.turn != turn || state.prev != hash) revert Unlinked(turn);
                if (move.length > MAX_MOVE) revert MoveTooLarge(MAX_MOVE);
                if (keccak256(move) != state.move) revert WrongMove(turn);
                if (mover == OVER) revert BadHeader(turn);
                // It is its author's: the one's whom its parent names.
                if (_place(places, mover) < ++i + 1) revert NotByItsAuthor(turn);
                (mover, payouts) = (state.mover, state.payouts);
                _checkHeader(t.seats, maxTurns, pot, turn, mover, payouts);
                hash = _stateHash(t.id, state, payouts);
                hashes[i] = hash;
            }
            (c.hashes, c.turn, c.mover) = (hashes, turn, mover);
        }
    }

    /// @notice Any header may become the outcome: each has to be one that the arena can apply (R7.2), and in time (R5.12).
    function _checkHeader(
        uint256 seats,
        uint256 maxTurns,
        uint256 pot,
        uint256 turn,
        uint256 mover,
        uint96[] calldata payouts
    ) private pure {
        unchecked {
            bool bad = mover == OVER ? turn > maxTurns : turn >= maxTurns || mover >= seats;
            uint256 pos = _at(payouts);
            uint256 sum;
            uint256 all;
            for (uint256 seat; seat != seats; ++seat) {
                assembly ("memory-safe") {
                    let payout := calldataload(add(pos, shl(5, seat)))
                    sum := add(sum, payout)
                    all := or(all, payout)
                }
            }
            if (bad || payouts.length != seats || all > type(uint96).max || sum > pot) revert BadHeader(turn);
        }
    }

    /// @notice The newest turn that each seat has signed.
    /// @param all Whether each has to have signed one.
    function _signers(Table memory t, Evidence calldata e, Chain memory c, bool all) private view returns (PerSeat) {
        unchecked {
            address[] calldata owners = e.owners;
            uint256 pos = _at(owners);
            bytes calldata signatures = e.signatures;
            bytes32[] memory hashes = c.hashes;
            uint256 places = e.places;
            uint256 acks;
            uint256 count;
            for (uint256 seat; seat != t.seats; (++seat, places >>= 8)) {
                uint256 place = places & 0xff;
                if (place == 0 && !all) continue;
                if (place == 0 || place > hashes.length || count == owners.length) revert BadSignature(seat);
                bytes32 hash;
                address owner;
                assembly ("memory-safe") {
                    hash := mload(add(hashes, shl(5, place))) // both are in bounds
                    owner := calldataload(add(pos, shl(5, count)))
                }
                address key = _recover(_digest(hash), signatures, count);
                if (key == address(0) || key == OPERATOR || accountId(owner, key) != t.account(seat)) {
                    revert BadSignature(seat);
                }
                acks |= (c.from + place - 1) << (seat << 5);
                ++count;
            }
            if (places != 0) revert BadSeat(t.seats);
            if (owners.length != count) revert BadLength(count, owners.length);
            _expectLength(signatures, count * SIGNATURE);
            return PerSeat.wrap(acks);
        }
    }

    function _place(uint256 places, uint256 seat) private pure returns (uint256) {
        return uint8(places >> (8 * seat));
    }

    /// @notice Checks that headers follow each other by hash up to `top`, whose chain was checked when it was shown.
    function _expectTrail(bytes32 id, State[] calldata headers, bytes32 top) internal pure {
        unchecked {
            for (uint256 i = headers.length; i != 0; --i) {
                State calldata header = headers[i - 1];
                if (_stateHash(id, header) != top) revert WrongTrail();
                top = header.prev;
            }
        }
    }
}

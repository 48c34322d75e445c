// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Typed} from "./Typed.sol";

/// @notice Where the arrays of a checked `Match` stand in the calldata.
struct Table {
    uint256 seats;
    uint256 accounts;
    uint256 indexes;
    uint256 stakes;
    bytes32 id;
}

using TableLib for Table global;

library TableLib {
    function account(Table memory t, uint256 seat) internal pure returns (address value) {
        assembly ("memory-safe") {
            value := calldataload(add(mload(add(t, 0x20)), shl(5, seat)))
        }
    }

    function index(Table memory t, uint256 seat) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := calldataload(add(mload(add(t, 0x40)), shl(5, seat)))
        }
    }

    function stake(Table memory t, uint256 seat) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := calldataload(add(mload(add(t, 0x60)), shl(5, seat)))
        }
    }
}

/// @title The terms of a match, checked once and then read word by word (R4.10)
abstract contract Terms is Typed {
    uint256 private constant MAX_SEATS = 8;

    /// @notice Checks R4.10 but for the signatures and payouts.
    function _open(Match calldata terms) internal view returns (Table memory t) {
        unchecked {
            address[] calldata seats = terms.seats;
            uint32[] calldata indexes = terms.indexes;
            uint96[] calldata stakes = terms.stakes;
            uint256 n = seats.length;
            if (n < 2 || n > MAX_SEATS || indexes.length != n || stakes.length != n || terms.seeds.length != n) {
                revert BadTerms();
            }
            (t.seats, t.accounts, t.indexes, t.stakes) = (n, _at(seats), _at(indexes), _at(stakes));
            bool bad;
            for (uint256 i; i != n; ++i) {
                address seat = t.account(i);
                assembly ("memory-safe") {
                    bad := or(bad, or(iszero(seat), shr(160, seat)))
                }
                bad = bad || t.index(i) > type(uint32).max || t.stake(i) > type(uint96).max;
                for (uint256 j; j != i; ++j) bad = bad || t.account(j) == seat;
            }
            if (bad) revert BadTerms();
            t.id = _matchId(terms, seats, indexes, stakes, terms.seeds);
        }
    }

    /// @notice Checks R4.10 and that there is such a seat.
    function _openAt(Match calldata terms, uint256 seat) internal view returns (Table memory t) {
        t = _open(terms);
        if (seat >= t.seats) revert BadSeat(seat);
    }

    /// @notice Everybody's signature on one digest: each seat's by the key of its account, then the operator's.
    function _checkSigners(Table memory t, address[] calldata owners, bytes calldata signatures, bytes32 digest)
        internal
        view
    {
        unchecked {
            uint256 n = t.seats;
            if (owners.length != n) revert BadTerms();
            _expectLength(signatures, (n + 1) * SIGNATURE);
            for (uint256 i; i != n; ++i) {
                address key = _recover(digest, signatures, i);
                if (key == address(0) || key == OPERATOR || accountId(owners[i], key) != t.account(i)) {
                    revert BadSignature(i);
                }
            }
            _expectSigner(OPERATOR, digest, signatures, n);
        }
    }
}

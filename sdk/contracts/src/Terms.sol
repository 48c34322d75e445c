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
            uint256 bad;
            for (uint256 i; i != n; ++i) {
                uint256 seat;
                (uint256 accounts, uint256 numbers, uint256 amounts) = (t.accounts, t.indexes, t.stakes);
                assembly ("memory-safe") {
                    let shift := shl(5, i)
                    seat := calldataload(add(accounts, shift))
                    bad := or(bad, or(iszero(seat), shr(160, seat)))
                    bad := or(bad, shr(32, calldataload(add(numbers, shift))))
                    bad := or(bad, shr(96, calldataload(add(amounts, shift))))
                    for { let pos := accounts } lt(pos, add(accounts, shift)) { pos := add(pos, 0x20) } {
                        bad := or(bad, eq(calldataload(pos), seat))
                    }
                }
            }
            if (bad != 0) revert BadTerms();
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

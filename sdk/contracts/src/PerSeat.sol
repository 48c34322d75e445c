// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice A uint32 for each of 8 seats, seat 0 lowest.
type PerSeat is uint256;

using PerSeatLib for PerSeat global;

library PerSeatLib {
    uint256 private constant WORD = type(uint32).max;

    function get(PerSeat words, uint256 seat) internal pure returns (uint256) {
        return (PerSeat.unwrap(words) >> (seat << 5)) & WORD;
    }

    /// @notice Replaces a seat's word; it fits.
    function set(PerSeat words, uint256 seat, uint256 word) internal pure returns (PerSeat) {
        uint256 shift = seat << 5;
        return PerSeat.wrap((PerSeat.unwrap(words) & ~(WORD << shift)) | (word << shift));
    }

    function least(PerSeat words, uint256 seats) internal pure returns (uint256 min) {
        min = WORD;
        for (uint256 all = PerSeat.unwrap(words); seats != 0; (--seats, all >>= 32)) {
            uint256 word = all & WORD;
            if (word < min) min = word;
        }
    }

    /// @notice Each seat's larger word.
    function max(PerSeat words, PerSeat others, uint256 seats) internal pure returns (PerSeat) {
        for (uint256 seat; seat != seats; ++seat) {
            uint256 word = others.get(seat);
            if (word > words.get(seat)) words = words.set(seat, word);
        }
        return words;
    }

    /// @notice Each seat's word, but not below `floor`.
    function atLeast(PerSeat words, uint256 floor, uint256 seats) internal pure returns (PerSeat) {
        for (uint256 seat; seat != seats; ++seat) {
            if (words.get(seat) < floor) words = words.set(seat, floor);
        }
        return words;
    }
}

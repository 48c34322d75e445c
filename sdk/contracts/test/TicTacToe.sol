// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IReferee} from "../src/IReferee.sol";

/// @notice The second way to have rules on the chain: a contract that judges one game, whatever the contest brings along.
contract TicTacToe is IReferee {
    function judge(bytes32, uint256, bytes calldata, bytes calldata position, uint8 seat, bytes calldata action)
        external
        pure
        returns (bool legal, bytes32 board, uint8 mover, uint96[] memory payouts)
    {
        bytes memory next;
        (legal, next, mover, payouts) = Noughts.play(position, seat, action);
        if (legal) board = keccak256(next);
    }
}

/// @notice Tic-tac-toe as the Rust rules play it, byte for byte, for every position that play can lead to.
/// @dev A position is: the number of stakes, each stake, the fee in basis points (LEB128), three zero bytes for the chance that the game
/// does not have, nine cells of `00` or `01 seat`. An action is `00 01 cell 00`: a play of one byte, without a link.
library Noughts {
    uint256 private constant SEATS = 2;
    uint256 private constant NOBODY = 2;
    uint8 private constant OVER = 255;
    uint256 private constant MAX_AMOUNT = type(uint96).max;
    uint256 private constant WHOLE = 10_000; // basis points

    struct Table {
        uint256[2] stakes;
        uint256 fee;
        uint256[9] cells;
        uint256[9] places; // where each cell starts in the position
        uint256 taken;
    }

    function play(bytes memory position, uint8 seat, bytes memory action)
        internal
        pure
        returns (bool legal, bytes memory next, uint8 mover, uint96[] memory payouts)
    {
        payouts = new uint96[](SEATS);
        (bool whole, Table memory t) = _read(position);
        if (!whole || _hasRow(t.cells) || t.taken == 9 || seat != t.taken % SEATS) return (false, "", 0, payouts);
        if (action.length != 4 || action[0] != 0 || action[1] != 0x01 || action[3] != 0) return (false, "", 0, payouts);
        uint256 cell = uint8(action[2]);
        if (cell > 8 || t.cells[cell] != NOBODY) return (false, "", 0, payouts);

        t.cells[cell] = seat;
        next = _marked(position, t.places[cell], seat);
        (mover, payouts) = _result(t, seat);
        legal = true;
    }

    /// The position with `01 seat` in the place of one zero byte.
    function _marked(bytes memory position, uint256 place, uint8 seat) private pure returns (bytes memory next) {
        next = new bytes(position.length + 1);
        for (uint256 i; i < place; ++i) next[i] = position[i];
        (next[place], next[place + 1]) = (0x01, bytes1(seat));
        for (uint256 i = place + 1; i < position.length; ++i) next[i + 1] = position[i];
    }

    /// A row takes the prize, a full board gives the stakes back, and who does not move leaves the prize to the other.
    function _result(Table memory t, uint8 seat) private pure returns (uint8 mover, uint96[] memory payouts) {
        payouts = new uint96[](SEATS);
        uint256 total = t.stakes[0] + t.stakes[1];
        bool won = _hasRow(t.cells);
        if (!won && t.taken == 8) {
            (payouts[0], payouts[1]) = (uint96(t.stakes[0]), uint96(t.stakes[1]));
            return (OVER, payouts);
        }
        payouts[seat] = uint96(total - total * t.fee / WHOLE);
        mover = won ? OVER : 1 - seat;
    }

    function _read(bytes memory position) private pure returns (bool whole, Table memory t) {
        uint256 pos;
        uint256 word;
        (whole, word, pos) = _number(position, 0);
        if (!whole || word != SEATS) return (false, t);
        for (uint256 i; i < SEATS; ++i) {
            (whole, word, pos) = _number(position, pos);
            if (!whole || word > MAX_AMOUNT) return (false, t);
            t.stakes[i] = word;
        }
        (whole, word, pos) = _number(position, pos);
        if (!whole || word > WHOLE || t.stakes[0] + t.stakes[1] > MAX_AMOUNT) return (false, t);
        t.fee = word;
        for (uint256 i; i < 3; ++i) {
            if (pos == position.length || position[pos++] != 0) return (false, t);
        }
        for (uint256 i; i < 9; ++i) {
            if (pos == position.length) return (false, t);
            t.places[i] = pos;
            t.cells[i] = NOBODY;
            if (position[pos++] == 0) continue;
            if (position[pos - 1] != 0x01 || pos == position.length || uint8(position[pos]) >= SEATS) return (false, t);
            t.cells[i] = uint8(position[pos++]);
            ++t.taken;
        }
        return (pos == position.length, t);
    }

    /// LEB128, in as few bytes as it takes.
    function _number(bytes memory position, uint256 pos) private pure returns (bool whole, uint256 word, uint256 next) {
        for (uint256 shift; shift < 126; shift += 7) {
            if (pos == position.length) return (false, 0, 0);
            uint256 part = uint8(position[pos++]);
            word |= (part & 0x7f) << shift;
            if (part < 0x80) return (part != 0 || shift == 0, word, pos);
        }
        return (false, 0, 0);
    }

    function _hasRow(uint256[9] memory c) private pure returns (bool) {
        uint256[3][8] memory lines = [
            [uint256(0), 1, 2], [uint256(3), 4, 5], [uint256(6), 7, 8], [uint256(0), 3, 6],
            [uint256(1), 4, 7], [uint256(2), 5, 8], [uint256(0), 4, 8], [uint256(2), 4, 6]
        ];
        for (uint256 i; i < 8; ++i) {
            uint256 who = c[lines[i][0]];
            if (who != NOBODY && who == c[lines[i][1]] && who == c[lines[i][2]]) return true;
        }
        return false;
    }
}

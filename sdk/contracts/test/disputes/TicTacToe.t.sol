// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Disputed} from "./Disputed.sol";
import {vm} from "../Vm.sol";

/// @notice Both referees of tic-tac-toe, the court's with the rules in calldata and the contract for this game alone, against the
/// game's rules and encodings, written down a second time.
contract TicTacToeTest is Disputed {
    bytes private constant CHANCE = hex"000000";

    function position(uint96 x, uint96 y, uint16 fee, bytes memory cells) private pure returns (bytes memory) {
        return bytes.concat(hex"02", leb(x), leb(y), leb(fee), CHANCE, cells);
    }

    function refusedBy(bytes memory before, uint8 seat, bytes memory move) private {
        (bool legal,,,) = judged(before, seat, move);
        vm.assertFalse(legal);
    }

    /// What the Rust rules encode for stakes of 100 and 50 and a fee of 500: position 0, then cell 4 by seat 0.
    function test_positions_are_the_bytes_that_the_rust_rules_sign() public {
        bytes memory start = hex"026432f403000000000000000000000000";
        vm.assertEq(keccak256(start), keccak256(position(100, 50, 500, hex"000000000000000000")));
        (bool legal, bytes32 board, uint8 mover, uint96[] memory payouts) = judged(start, 0, hex"00010400");
        vm.assertTrue(legal);
        vm.assertEq(board, keccak256(hex"026432f40300000000000000010000000000"));
        vm.assertEq(mover, 1);
        vm.assertEq(payouts[0], 143); // 150 less 7.5, rounded for the winner
        vm.assertEq(payouts[1], 0);
    }

    function test_illegal_moves() public {
        bytes memory start = position(1, 1, 0, hex"000000000000000000");
        bytes memory next = marked(start, 4, 0);
        refusedBy(start, 1, action(0)); // not its turn
        refusedBy(next, 0, action(0));
        refusedBy(next, 1, action(4)); // taken
        refusedBy(next, 1, action(9));
        refusedBy(next, 1, action(255));
        refusedBy(next, 1, hex"");
        refusedBy(next, 1, hex"000100"); // cut off
        refusedBy(next, 1, hex"0001000000"); // more
        refusedBy(next, 1, hex"01010000"); // a reveal
        refusedBy(next, 1, bytes.concat(hex"00010001", bytes32(0))); // a link
        refusedBy(next, 1, hex"0002000000"); // two bytes
    }

    function test_positions_that_are_none() public {
        bytes memory start = position(1, 1, 0, hex"000000000000000000");
        refusedBy("", 0, action(0));
        for (uint256 i = 1; i < start.length; ++i) {
            bytes memory cut = new bytes(i);
            for (uint256 k; k < i; ++k) cut[k] = start[k];
            refusedBy(cut, 0, action(0));
        }
        refusedBy(bytes.concat(start, hex"00"), 0, action(0));
        refusedBy(bytes.concat(hex"02810001", hex"00", CHANCE, hex"000000000000000000"), 0, action(0)); // 1 in two bytes
        refusedBy(bytes.concat(hex"0301010100", CHANCE, hex"000000000000000000"), 0, action(0)); // three seats
        refusedBy(position(1, 1, 10_001, hex"000000000000000000"), 0, action(0));
        refusedBy(bytes.concat(hex"0201010000", hex"0001", hex"000000000000000000"), 0, action(0)); // a roll
        refusedBy(position(1, 1, 0, hex"01020000000000000000"), 1, action(1)); // seat 2's
        refusedBy(position(1, 1, 0, hex"02000000000000000000"), 1, action(1));
    }

    function test_nothing_is_played_after_the_end() public {
        // Seat 0 has the first row; seat 1 two of the second.
        bytes memory over = position(1, 1, 0, hex"0100010001000101010100000000");
        refusedBy(over, 1, action(8));
    }

    function testFuzz_random_play_follows_the_rules(uint256 seed, uint96 x, uint96 y, uint16 fee) public {
        (x, y, fee) = (x >> 1, y >> 1, fee % 10_001);
        bytes memory before = position(x, y, fee, hex"000000000000000000");
        uint256[9] memory cells; // seat + 1
        for (uint8 turn; turn < 9; ++turn) {
            uint8 cell = uint8(seed % 9);
            seed = uint256(keccak256(abi.encode(seed)));
            uint8 seat = turn % 2;
            if (cells[cell] != 0) refusedBy(before, seat, action(cell));
            while (cells[cell] != 0) cell = (cell + 1) % 9;
            cells[cell] = seat + 1;
            (bool legal, bytes32 board, uint8 mover, uint96[] memory payouts) = judged(before, seat, action(cell));
            before = marked(before, cell, seat);
            vm.assertTrue(legal);
            vm.assertEq(board, keccak256(before));
            bool row = hasRow(cells, seat + 1);
            uint256 prize = uint256(x) + y - (uint256(x) + y) * fee / 10_000;
            bool full = turn == 8 && !row;
            vm.assertEq(mover, row || full ? 255 : 1 - seat);
            vm.assertEq(payouts[0], full ? x : seat == 0 ? prize : 0);
            vm.assertEq(payouts[1], full ? y : seat == 1 ? prize : 0);
            if (row) return;
        }
    }

    function hasRow(uint256[9] memory c, uint256 who) private pure returns (bool row) {
        for (uint256 i; i < 3; ++i) {
            row = row || (c[3 * i] == who && c[3 * i + 1] == who && c[3 * i + 2] == who);
            row = row || (c[i] == who && c[i + 3] == who && c[i + 6] == who);
        }
        row = row || (c[4] == who && ((c[0] == who && c[8] == who) || (c[2] == who && c[6] == who)));
    }
}

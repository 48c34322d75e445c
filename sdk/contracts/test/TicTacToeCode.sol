// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Noughts} from "./TicTacToe.sol";

/// @notice Tic-tac-toe as rules that a contest brings along: its creation code, filled up with zeros to `SIZE`, is never deployed but run
/// by the court's `Referee`, which appends the move in question (`src/Referee.sol` says how) and takes the answer from the revert.
contract TicTacToeCode {
    uint256 private constant SIZE = 4_096;
    uint256 private constant BUDGET = 300_000;

    constructor() {
        uint256 before = gasleft();
        bytes memory question = _tail();
        uint256 size = uint256(uint8(question[1])) << 8 | uint8(question[2]);
        (bytes memory position, bytes memory action) = (_part(question, 3, 3 + size), _part(question, 3 + size, question.length));
        (bool legal, bytes memory next, uint8 mover, uint96[] memory payouts) =
            Noughts.play(position, uint8(question[0]), action);
        bytes memory answer = bytes.concat(bytes1(mover), bytes1(uint8(payouts.length)));
        for (uint256 i; i != payouts.length; ++i) answer = bytes.concat(answer, bytes12(payouts[i]));
        answer = bytes.concat(answer, next);
        if (!legal || before - gasleft() > BUDGET) revert();
        assembly ("memory-safe") {
            revert(add(answer, 0x20), mload(answer))
        }
    }

    /// @notice What stands behind the code.
    function _tail() private pure returns (bytes memory tail) {
        assembly ("memory-safe") {
            let size := sub(codesize(), SIZE)
            tail := mload(0x40)
            mstore(tail, size)
            codecopy(add(tail, 0x20), SIZE, size)
            mstore(0x40, and(add(add(tail, size), 0x3f), not(0x1f)))
        }
    }

    function _part(bytes memory whole, uint256 from, uint256 to) private pure returns (bytes memory part) {
        part = new bytes(to - from);
        for (uint256 i; i != part.length; ++i) part[i] = whole[from + i];
    }
}

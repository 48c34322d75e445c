// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IReferee} from "./IReferee.sol";

/// @title The referee of every game whose rules a contest brings along (R7.8)
/// @notice The rules are EVM init code that always reverts: with the position after a legal move, with nothing after an illegal one.
/// Nothing is deployed, stored or kept: whatever the code does is undone, because the frame that runs it always reverts.
/// @dev What the code reads behind itself is
///   seat (1 byte) | length of the position (2 bytes, big-endian) | position | action
/// and what it reverts with is
///   mover (1) | number of payouts (1) | each payout (12, big-endian) | position
contract Referee is IReferee {
    /// @notice The code is not the one that the terms name.
    error WrongCode();
    /// @notice Send the call with at least `needed` gas left at this point: the rules have a right to their budget.
    error TooLittleGas(uint256 needed);
    /// @notice Only this contract calls `run`.
    error NotItself();

    uint256 private constant MAX_INIT_CODE = 49_152; // EIP-3860
    uint256 private constant MAX_POSITION = 32 * 1024;
    uint256 private constant MAX_SEATS = 8; // R2.6
    uint256 private constant PAYOUT = 12; // bytes
    uint256 private constant MAX_ANSWER = 2 + MAX_SEATS * PAYOUT + MAX_POSITION;

    /// @dev What the code has beside its budget: it measures itself, and has to be able to say so.
    uint256 private constant TAIL = 2_000;
    /// @dev Of one word of code and input in the frame that creates: copied 3, memory 3 and at most 3.1 for its square, EIP-3860 2.
    uint256 private constant WORD = 12;
    /// @dev Of that frame: CREATE 32,000; the largest answer copied, with memory for it, 8,300; the rest is far below 1,000.
    uint256 private constant FRAME = 32_000 + 9_000 + 1_000;
    /// @dev Left here for the answer: copied and hashed with memory for it 15,000, payouts, the way back.
    uint256 private constant REST = 20_000;

    /// @inheritdoc IReferee
    function judge(
        bytes32 rules,
        uint256 budget,
        bytes calldata code,
        bytes calldata position,
        uint8 seat,
        bytes calldata action
    ) external returns (bool legal, bytes32 board, uint8 mover, uint96[] memory payouts) {
        uint256 size = code.length + 3 + position.length + action.length;
        bytes4 selector = this.run.selector;
        uint256 question;
        bytes32 hash;
        // The only copy of the code in this frame: it is hashed where it is handed on from.
        assembly ("memory-safe") {
            question := mload(0x40)
            mstore(question, selector)
            let at := add(question, 4)
            calldatacopy(at, code.offset, code.length)
            hash := keccak256(at, code.length)
            at := add(at, code.length)
            mstore(at, or(shl(248, seat), shl(232, position.length)))
            at := add(at, 3)
            calldatacopy(at, position.offset, position.length)
            calldatacopy(add(at, position.length), action.offset, action.length)
            mstore(0x40, and(add(add(question, size), 35), not(31)))
        }
        if (hash != rules) revert WrongCode();
        // An error would leave a move that no frame can run without a judge, for whoever signs one that is long enough.
        if (size > MAX_INIT_CODE || position.length > type(uint16).max) return (false, 0, 0, payouts);

        // Of what a frame has left when it calls or creates, 63/64 go along (EIP-150). The cap is the same for the same question, so
        // that whoever calls with however much gas gets the same verdict.
        uint256 cap = _passing(budget + TAIL) + FRAME + WORD * ((size + 31) / 32);
        uint256 needed = _passing(cap) + REST;
        if (gasleft() < needed) revert TooLittleGas(needed);
        uint256 answer = question; // over the question, which is not needed any more
        assembly ("memory-safe") {
            // It always reverts. A call fails without running at a depth of 1,024 as well: no gas reaches so far down.
            pop(call(cap, address(), 0, question, add(size, 4), 0, 0))
            size := returndatasize()
        }
        if (size < 2 || size > MAX_ANSWER) return (false, 0, 0, payouts);
        assembly ("memory-safe") {
            returndatacopy(answer, 0, size)
            let end := and(add(add(answer, size), 31), not(31))
            if gt(end, mload(0x40)) { mstore(0x40, end) }
            mover := byte(0, mload(answer))
        }
        return _read(answer, size, mover);
    }

    /// @notice Takes the answer apart. Bytes that are no answer are illegal.
    function _read(uint256 answer, uint256 size, uint8 mover)
        private
        pure
        returns (bool, bytes32 board, uint8, uint96[] memory payouts)
    {
        uint256 count;
        assembly ("memory-safe") {
            count := byte(1, mload(answer))
        }
        uint256 head = 2 + count * PAYOUT;
        if (count > MAX_SEATS || size < head || size > head + MAX_POSITION) return (false, 0, 0, payouts);
        payouts = new uint96[](count);
        for (uint256 i; i != count; ++i) {
            uint256 payout;
            assembly ("memory-safe") {
                payout := shr(160, mload(add(add(answer, 2), mul(i, PAYOUT))))
            }
            payouts[i] = uint96(payout);
        }
        assembly ("memory-safe") {
            board := keccak256(add(answer, head), sub(size, head))
        }
        return (true, board, mover, payouts);
    }

    /// @notice So much has to be left that `gas` are passed on.
    function _passing(uint256 gas) private pure returns (uint256) {
        return gas + gas / 63 + 1;
    }

    /// @notice Runs the code and reverts with what it reverts with; with nothing where it does anything else. Nobody else calls it.
    function run() external {
        if (msg.sender != address(this)) revert NotItself();
        uint256 most = MAX_ANSWER;
        assembly ("memory-safe") {
            let start := mload(0x40)
            let size := sub(calldatasize(), 4)
            calldatacopy(start, 4, size)
            if create(0, start, size) { revert(0, 0) }
            size := returndatasize()
            if gt(size, most) { revert(0, 0) } // more than can be copied with the gas that is left
            returndatacopy(start, 0, size)
            revert(start, size)
        }
    }
}

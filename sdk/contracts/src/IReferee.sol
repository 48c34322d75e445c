// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title A contract that re-runs one move of one game (R7.8)
/// @notice Pure: the answer depends on the arguments alone. It is called with the gas that the terms name as `budget`, and whatever
/// it does but answer "legal" with exactly the header's words makes the move illegal.
interface IReferee {
    /// @param position The encoded position before the move: the bytes that the parent's `board` is the keccak256 of (R4.6).
    /// @param seat Who moved.
    /// @param action The encoded action: the bytes that the header's `move` is the keccak256 of.
    /// @return legal Whether the rules allow it; the rest counts only if so.
    /// @return board keccak256 of the encoded position afterwards.
    /// @return mover Who acts next; 255 when the match is over.
    /// @return payouts The result, or who gets what should the mover never act (R4.7).
    function judge(bytes calldata position, uint8 seat, bytes calldata action)
        external
        view
        returns (bool legal, bytes32 board, uint8 mover, uint96[] memory payouts);
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title A contract that re-runs one move (R7.8)
/// @notice Either the court's own `Referee`, for every game whose rules travel with the contest; or, for rules too large for that, a
/// contract written for one game, which ignores `rules`, `budget` and `code`. The answer depends on the arguments alone.
/// @dev A revert is no verdict: the contest fails and can be made again. So a contract for one game answers "illegal" to whatever
/// its rules forbid, and to what would take it more gas than it means to spend; what makes it revert is never ruled on.
interface IReferee {
    /// @param rules `rules` of the terms.
    /// @param budget `budget` of the terms: gas that the rules may take for one move.
    /// @param code The rules as the contest brings them.
    /// @param position The encoded position before the move: the bytes that the parent's `board` is the keccak256 of (R4.6).
    /// @param seat Who moved.
    /// @param action The encoded action: the bytes that the header's `move` is the keccak256 of.
    /// @return legal Whether the rules allow it; the rest counts only if so.
    /// @return board keccak256 of the encoded position afterwards.
    /// @return mover Who acts next; 255 when the match is over.
    /// @return payouts The result, or who gets what should the mover never act (R4.7).
    function judge(
        bytes32 rules,
        uint256 budget,
        bytes calldata code,
        bytes calldata position,
        uint8 seat,
        bytes calldata action
    ) external returns (bool legal, bytes32 board, uint8 mover, uint96[] memory payouts);
}

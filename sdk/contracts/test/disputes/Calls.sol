// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../../src/IArena.sol";
import {ICourt} from "../../src/ICourt.sol";

/// @notice What the tests call of a court.
interface ICalls is ICourt {
    function challenge(IArena.Match calldata terms, bytes calldata guarantee, Evidence calldata shown) external;
    function void(IArena.Match calldata terms, address[] calldata owners, bytes calldata signatures) external;
    function respond(
        IArena.Match calldata terms,
        Docket calldata docket,
        Evidence calldata shown,
        IArena.State[] calldata fork
    ) external;
    function contest(
        IArena.Match calldata terms,
        Docket calldata docket,
        IArena.State[] calldata trail,
        bytes calldata code,
        bytes calldata position,
        bytes calldata action
    ) external payable;
    function rule(
        IArena.Match calldata terms,
        Docket calldata docket,
        IArena.State[] calldata trail,
        bool legal,
        bytes calldata signatures
    ) external;
    function testify(bytes32 id, bytes32 top, bool legal, bytes calldata signature) external;
    function equivocate(
        IArena.Match calldata terms,
        Docket calldata docket,
        IArena.State[] calldata trail,
        IArena.State calldata other,
        address owner,
        bytes calldata signature
    ) external;
    function finalize(IArena.Match calldata terms, Docket calldata docket, IArena.State calldata top) external;
    function reclaim(bytes32 id) external;
    function claimBond(address contester) external;
    function claimShare(address owner, address key) external;
    function bondOf(address contester) external view returns (uint256);
    function shareOf(address account) external view returns (uint256);
    function docketHash(Docket memory docket) external pure returns (bytes29);
    function isArbiter(address who) external view returns (bool);
    function arena() external view returns (address);
    function REFEREE() external view returns (address);
    function limits() external view returns (uint32 minimum, uint32 patience, uint96 bond, uint8 quorum);
}

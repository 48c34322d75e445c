// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Typed} from "../src/Typed.sol";

/// @notice The arena's own hashing, opened up for comparison with other implementations. The domain is this contract's.
contract Hashes is Typed {
    constructor(address operator, bytes32 salt) Typed(operator, salt, address(this)) {}

    function stateDigest(bytes32 id, State calldata state) external view returns (bytes32) {
        return _stateDigest(id, state);
    }

    function statementDigest(address owner, int96 net, uint32 through, uint32 pending) external view returns (bytes32) {
        return _statementDigest(owner, net, through, pending);
    }

    function receiptHash(address account, int96 net, uint32 through, uint32 pending) external pure returns (bytes32) {
        return _receiptHash(account, net, through, pending);
    }

    function receiptDigest(address account, int96 net, uint32 through, uint32 pending) external view returns (bytes32) {
        return _digest(_receiptHash(account, net, through, pending));
    }

    function withdrawalDigest(address account, uint96 total, uint64 deadline, bytes32 receipt)
        external
        view
        returns (bytes32)
    {
        return _withdrawalDigest(account, total, deadline, receipt);
    }

    function exitDigest(address account, bytes32 receipt, uint64 nonce) external view returns (bytes32) {
        return _exitDigest(account, receipt, nonce);
    }
}

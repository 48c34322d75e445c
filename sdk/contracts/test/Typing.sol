// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../src/IArena.sol";

/// @notice Section 4 written down a second time, as plainly as possible: what the contract's hashing is held against.
library Typing {
    function domain(address arena, bytes32 salt) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
                ),
                keccak256("Matchlock"),
                keccak256("1"),
                block.chainid,
                arena,
                salt
            )
        );
    }

    function digest(bytes32 separator, bytes32 hash) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked("\x19\x01", separator, hash));
    }

    function statement(address owner, int96 net, uint32 through, uint32 pending) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("Statement(address owner,int96 net,uint32 through,uint32 pending)"), owner, net, through, pending
            )
        );
    }

    function receipt(address account, int96 net, uint32 through, uint32 pending) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("Receipt(address account,int96 net,uint32 through,uint32 pending)"), account, net, through, pending
            )
        );
    }

    function withdrawal(address account, uint96 total, uint64 deadline, bytes32 receipt_) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("Withdrawal(address account,uint96 total,uint64 deadline,bytes32 receipt)"),
                account,
                total,
                deadline,
                receipt_
            )
        );
    }

    function exit(address account, bytes32 receipt_, uint64 nonce) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(keccak256("Exit(address account,bytes32 receipt,uint64 nonce)"), account, receipt_, nonce)
        );
    }

    function state(bytes32 id, IArena.State memory s) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "State(bytes32 matchId,uint32 turn,bytes32 prev,bytes32 move,bytes32 board,uint8 mover,uint96[] payouts)"
                ),
                id,
                s.turn,
                s.prev,
                s.move,
                s.board,
                s.mover,
                keccak256(abi.encodePacked(s.payouts))
            )
        );
    }

    function terms(IArena.Match memory m) internal pure returns (bytes32) {
        bytes memory arrays = abi.encode(
            keccak256(abi.encodePacked(m.seats)),
            keccak256(abi.encodePacked(m.indexes)),
            keccak256(abi.encodePacked(m.stakes))
        );
        bytes memory limits = abi.encode(m.rules, m.budget, m.referee, m.clock, m.maxTurns, m.chainTime);
        bytes memory times = abi.encode(m.openBy, m.expiry, keccak256(abi.encodePacked(m.seeds)), m.start, m.salt);
        bytes32 kind = keccak256(
            "Match(address[] seats,uint32[] indexes,uint96[] stakes,bytes32 rules,uint64 budget,address referee,"
            "uint32 clock,uint32 maxTurns,uint32 chainTime,uint64 openBy,uint64 expiry,bytes32[] seeds,bytes32 start,"
            "bytes32 salt)"
        );
        return keccak256(bytes.concat(kind, arrays, limits, times));
    }
}

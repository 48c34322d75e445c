// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IArena} from "./IArena.sol";

/// @title What is signed (section 4): EIP-712 hashes and compact signatures
abstract contract Typed is IArena {
    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)");
    bytes32 private constant MATCH_TYPE = keccak256(
        "Match(address[] seats,uint32[] indexes,uint96[] stakes,bytes32 rules,uint64 budget,address referee,uint32 clock,"
        "uint32 maxTurns,uint32 chainTime,uint64 openBy,uint64 expiry,bytes32[] seeds,bytes32 start,bytes32 salt)"
    );
    bytes32 private constant STATE_TYPE = keccak256(
        "State(bytes32 matchId,uint32 turn,bytes32 prev,bytes32 move,bytes32 board,uint8 mover,uint96[] payouts)"
    );
    bytes32 internal constant STATEMENT_TYPE = keccak256("Statement(address owner,int96 net,uint32 through,uint32 pending)");
    bytes32 private constant RECEIPT_TYPE = keccak256("Receipt(address account,int96 net,uint32 through,uint32 pending)");
    bytes32 private constant WITHDRAWAL_TYPE =
        keccak256("Withdrawal(address account,uint96 total,uint64 deadline,bytes32 receipt)");
    bytes32 private constant EXIT_TYPE = keccak256("Exit(address account,bytes32 receipt,uint64 nonce)");

    bytes32 private constant NAME = keccak256("Matchlock");
    bytes32 private constant VERSION = keccak256("1");

    uint256 internal constant SIGNATURE = 64;

    address internal immutable OPERATOR;
    address private immutable HOME; // the arena whose domain it is
    bytes32 private immutable SALT;
    uint256 private immutable CHAIN;
    bytes32 private immutable DOMAIN;

    constructor(address operator_, bytes32 salt, address home) {
        if (operator_ == address(0)) revert ZeroAddress();
        OPERATOR = operator_;
        HOME = home;
        SALT = salt;
        CHAIN = block.chainid;
        DOMAIN = _separator(salt, home);
    }

    /// @notice The EIP-712 domain separator.
    function domainSeparator() public view returns (bytes32) {
        return block.chainid == CHAIN ? DOMAIN : _separator(SALT, HOME);
    }

    /// @notice EIP-5267.
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        )
    {
        return (0x1f, "Matchlock", "1", block.chainid, HOME, SALT, new uint256[](0));
    }

    /// @notice The id of an account (R2.3).
    function accountId(address owner, address key) public pure returns (address account) {
        assembly ("memory-safe") {
            mstore(0x00, shl(96, owner))
            mstore(0x14, shl(96, key))
            account := and(keccak256(0x00, 0x28), 0xffffffffffffffffffffffffffffffffffffffff)
        }
    }

    /// @notice The id of a match: the digest that all seats and the operator sign (R4.2).
    function matchId(Match calldata terms) external view returns (bytes32) {
        return _matchId(terms, terms.seats, terms.indexes, terms.stakes, terms.seeds);
    }

    function _matchId(
        Match calldata terms,
        address[] calldata seats,
        uint32[] calldata indexes,
        uint96[] calldata stakes,
        bytes32[] calldata seeds
    ) internal view returns (bytes32) {
        bytes32 kind = MATCH_TYPE;
        bytes32 seatsHash = _hashWords(seats.length, _at(seats));
        bytes32 indexesHash = _hashWords(indexes.length, _at(indexes));
        bytes32 stakesHash = _hashWords(stakes.length, _at(stakes));
        bytes32 seedsHash = _hashWords(seeds.length, _at(seeds));
        bytes32 hash;
        assembly ("memory-safe") {
            // The head of the calldata has the order of the type: only the arrays become hashes.
            let m := mload(0x40)
            mstore(m, kind)
            calldatacopy(add(m, 0x20), terms, 0x1c0)
            mstore(add(m, 0x20), seatsHash)
            mstore(add(m, 0x40), indexesHash)
            mstore(add(m, 0x60), stakesHash)
            mstore(add(m, 0x180), seedsHash)
            hash := keccak256(m, 0x1e0)
        }
        return _digest(hash);
    }

    /// @notice The digest of a state of a match.
    function _stateDigest(bytes32 id, State calldata state) internal view returns (bytes32) {
        return _digest(_stateHash(id, state));
    }

    /// @notice The struct hash of a state, which the next state's `prev` names (R4.5).
    function _stateHash(bytes32 id, State calldata state) internal pure returns (bytes32) {
        return _stateHash(id, state, state.payouts);
    }

    function _stateHash(bytes32 id, State calldata state, uint96[] calldata words) internal pure returns (bytes32 hash) {
        bytes32 kind = STATE_TYPE;
        bytes32 payouts = _hashWords(words.length, _at(words));
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, kind)
            mstore(add(m, 0x20), id)
            calldatacopy(add(m, 0x40), state, 0xa0)
            mstore(add(m, 0xe0), payouts)
            hash := keccak256(m, 0x100)
        }
    }

    /// @notice The digest of an account's statement.
    function _statementDigest(address owner, int96 net, uint32 through, uint32 pending) internal view returns (bytes32) {
        return _digest(keccak256(abi.encode(STATEMENT_TYPE, owner, net, through, pending)));
    }

    /// @notice The struct hash of a receipt, as exits and withdrawals name it.
    function _receiptHash(address account, int96 net, uint32 through, uint32 pending) internal pure returns (bytes32) {
        return keccak256(abi.encode(RECEIPT_TYPE, account, net, through, pending));
    }

    /// @notice The digest of a co-operative withdrawal.
    function _withdrawalDigest(address account, uint96 total, uint64 deadline, bytes32 receipt)
        internal
        view
        returns (bytes32)
    {
        return _digest(keccak256(abi.encode(WITHDRAWAL_TYPE, account, total, deadline, receipt)));
    }

    /// @notice The digest of an account key's order to leave.
    function _exitDigest(address account, bytes32 receipt, uint64 nonce) internal view returns (bytes32) {
        return _digest(keccak256(abi.encode(EXIT_TYPE, account, receipt, nonce)));
    }

    function _digest(bytes32 hash) internal view returns (bytes32 digest) {
        bytes32 domain = domainSeparator();
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, hex"1901")
            mstore(add(m, 0x02), domain)
            mstore(add(m, 0x22), hash)
            digest := keccak256(m, 0x42)
        }
    }

    /// @notice The signer of the compact signature at `position`, or zero where it is malformed or malleable (R4.8).
    function _recover(bytes32 digest, bytes calldata signatures, uint256 position) internal pure returns (address signer) {
        bytes32 r;
        bytes32 vs;
        assembly ("memory-safe") {
            let pos := add(signatures.offset, shl(6, position))
            r := calldataload(pos)
            vs := calldataload(add(pos, 0x20))
        }
        (signer,,) = ECDSA.tryRecover(digest, r, vs);
    }

    function _expectSigner(address signer, bytes32 digest, bytes calldata signatures, uint256 position) internal pure {
        address found = _recover(digest, signatures, position);
        if (found == address(0) || found != signer) revert BadSignature(position);
    }

    function _expectLength(bytes calldata packed, uint256 length) internal pure {
        if (packed.length != length) revert BadLength(length, packed.length);
    }

    function _separator(bytes32 salt, address home) private view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE, NAME, VERSION, block.chainid, home, salt));
    }

    /// @dev EIP-712 hashes an array as its words, which is how calldata holds it.
    function _hashWords(uint256 length, uint256 pos) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let m := mload(0x40)
            calldatacopy(m, pos, shl(5, length))
            hash := keccak256(m, shl(5, length))
        }
    }

    function _at(address[] calldata a) internal pure returns (uint256 pos) {
        assembly ("memory-safe") {
            pos := a.offset
        }
    }

    function _at(uint32[] calldata a) internal pure returns (uint256 pos) {
        assembly ("memory-safe") {
            pos := a.offset
        }
    }

    function _at(uint96[] calldata a) internal pure returns (uint256 pos) {
        assembly ("memory-safe") {
            pos := a.offset
        }
    }

    function _at(bytes32[] calldata a) internal pure returns (uint256 pos) {
        assembly ("memory-safe") {
            pos := a.offset
        }
    }
}

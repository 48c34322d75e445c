// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Skip} from "./IArena.sol";
import {Account, AccountLib, Outcome, Pool, Side, positive, MAX_UINT96} from "./Records.sol";
import {Revenue} from "./Revenue.sol";

/// @title Statements: from packed entries to records (section 6)
abstract contract Settlement is Revenue {
    uint256 internal constant ENTRY = 104; // owner 20, net 12, through 4, pending 4, signature 64
    uint256 internal constant RECEIPTED = ENTRY + SIGNATURE;

    mapping(uint256 batch => bytes32 root) internal _roots;

    /// @notice Settles statements, anchors the results and pays fees into the revenue (R6.7 to R6.9, R6.13).
    /// @param entries 104 bytes each; what cannot be applied is skipped with an event.
    /// @param fees What the pool cannot pay behind what it owes stays in it.
    function settle(bytes calldata entries, bytes32 resultsRoot_, uint32 matches, uint96 fees) external onlyOperator {
        (Pool pool_, uint256 applied) = _settleAll(entries, ENTRY);
        pool_ = pool_.nextBatch();
        uint256 batch = pool_.batches();
        if (resultsRoot_ != 0) _roots[batch] = resultsRoot_;
        if (fees != 0) {
            uint256 free = pool_.free();
            if (fees > free) fees = uint96(free);
            pool_ = pool_.pay(fees);
            _accrue(fees);
        }
        _pool = pool_;
        emit Settled(uint32(batch), resultsRoot_, matches, uint32(applied), fees);
    }

    /// @notice Settles statements that carry the operator's receipt; anyone may (R6.3).
    /// @param entries 168 bytes each: an entry of `settle`, then the signature of its receipt.
    function settleSigned(bytes calldata entries) external {
        (Pool pool_, uint256 applied) = _settleAll(entries, RECEIPTED);
        _pool = pool_;
        emit Settled(0, 0, 0, uint32(applied), 0);
    }

    /// @notice Settles one statement of an account with claims, and takes back what it absorbs (R6.10).
    /// @param entry 104 bytes, as in `settle`.
    /// @param receipt The signature of the operator's receipt; empty where the operator is the sender.
    /// @param claims All live claims of the account, and any match whose stake the statement frees, in ascending order of ids.
    function settleClaimed(bytes calldata entry, bytes calldata receipt, Claim[] calldata claims) external {
        _expectLength(entry, ENTRY);
        uint256 pos;
        assembly ("memory-safe") {
            pos := entry.offset
        }
        uint256 desk = _layDesk();
        (address account, address key) = _signer(desk, pos);
        (int256 net, uint256 through, uint256 pending) = _word(pos);
        if (key == address(0)) revert NotApplied(Skip.SIGNATURE);
        if (key == OPERATOR) revert NotApplied(Skip.OPERATOR_KEY);
        if (msg.sender != OPERATOR || receipt.length != 0) {
            _expectLength(receipt, SIGNATURE);
            _expectSigner(OPERATOR, receiptDigest(account, int96(net), uint32(through), uint32(pending)), receipt, 0);
        }
        Account old = _accounts[account];
        (Account record, Pool pool_) = _absorb(account, old, claims, through, pending);
        uint256 reason;
        (pool_, reason) = _advance(account, old, record, net, through, pending, pool_);
        if (reason != 0) revert NotApplied(uint8(reason));
        _pool = _payQueue(pool_, QUEUE_STEP);
        emit Settled(0, 0, 0, 1, 0);
    }

    /// @notice Applies packed entries one after the other, with receipts behind them where `stride` says so.
    function _settleAll(bytes calldata entries, uint256 stride) private returns (Pool pool_, uint256 applied) {
        unchecked {
            if (entries.length % stride != 0) revert BadLength(entries.length + stride - entries.length % stride, entries.length);
            pool_ = _pool;
            uint256 desk = _layDesk();
            uint256 pos;
            uint256 end;
            assembly ("memory-safe") {
                pos := entries.offset
                end := add(pos, entries.length)
            }
            for (; pos != end; pos += stride) {
                (address account, address key) = _signer(desk, pos);
                (int256 net, uint256 through, uint256 pending) = _word(pos);
                uint256 reason;
                if (key == address(0)) {
                    reason = Skip.SIGNATURE;
                } else if (key == OPERATOR) {
                    reason = Skip.OPERATOR_KEY;
                } else if (stride != ENTRY && !_receipted(desk, pos, account)) {
                    reason = Skip.RECEIPT;
                } else {
                    Account old = _accounts[account];
                    if (old.claims() != 0) reason = Skip.CLAIMS;
                    else (pool_, reason) = _advance(account, old, old, net, through, pending, pool_);
                }
                if (reason == 0) ++applied;
                else emit Skipped(account, uint8(reason));
            }
            pool_ = _payQueue(pool_, QUEUE_STEP);
        }
    }

    /// @notice Puts a statement in the place of the one before, if it may be (R6.7, R6.8), and moves the pool (R3.2).
    /// @param old The record as stored.
    /// @param record The same without the claims that the statement absorbs.
    /// @return pool_ The pool afterwards.
    /// @return reason Zero, or why nothing was changed.
    function _advance(
        address account,
        Account old,
        Account record,
        int256 net,
        uint256 through,
        uint256 pending,
        Pool pool_
    ) internal returns (Pool, uint256) {
        unchecked {
            if (!old.grows(through, pending)) return (pool_, Skip.STALE);
            if (through > AccountLib.MAX_THROUGH) return (pool_, Skip.OVERFLOW);
            int256 before = old.equity();
            int256 afterwards = record.funds() + net;
            uint256 locked;
            bool late;
            if (old.special()) {
                Side side = _sides[account];
                locked = side.locked();
                late = block.timestamp >= side.exitAt();
                // What is due is paid before a statement may open the window anew (R3.7).
                if (late && before > int256(locked)) return (pool_, Skip.MATURED);
            }
            if (afterwards < before) {
                if (afterwards < int256(locked)) return (pool_, Skip.UNDERWATER);
                uint256 debit = uint256(before - afterwards); // both are positive
                if (pool_.equity() + debit > MAX_UINT96) return (pool_, Skip.OVERFLOW);
                pool_ = Pool.wrap(Pool.unwrap(pool_) + debit);
            } else if (afterwards > 0 && afterwards != before) {
                uint256 credit = uint256(afterwards) - positive(before);
                if (pool_.equity() < pool_.owed() + credit) return (pool_, Skip.POOL_SHORT);
                pool_ = Pool.wrap(Pool.unwrap(pool_) - credit);
                if (late) _openExit(account, _sides[account]);
            }
            _accounts[account] = record.restate(net, through, pending);
            return (pool_, 0);
        }
    }

    /// @notice (Re)starts the exit window.
    function _openExit(address account, Side side) internal {
        uint256 exitAt = block.timestamp + EXIT_WINDOW;
        _sides[account] = side.withExitAt(exitAt);
        emit ExitOpened(account, uint40(exitAt));
    }

    /// @notice Takes applied outcomes that a statement contains out of the funds again, and frees their locks (R6.10).
    function _absorb(address account, Account record, Claim[] calldata claims, uint256 through, uint256 pending)
        private
        returns (Account, Pool pool_)
    {
        pool_ = _pool;
        uint256 live = record.claims();
        uint256 found;
        bytes32 last;
        for (uint256 i; i != claims.length; ++i) {
            Match calldata terms = claims[i].terms;
            uint256 seat = claims[i].seat;
            bytes32 id = matchId(terms);
            if (id <= last && i != 0) revert WrongClaims(live, claims.length);
            last = id;
            if (seat >= terms.seats.length || terms.seats[seat] != account) revert BadSeat(seat);
            Outcome outcome_ = _outcomes[id];
            bool contained = AccountLib.settled(through, pending, terms.indexes[seat]);
            if (outcome_.isLive(seat)) {
                ++found;
                if (_truncate(claims[i].payouts) != outcome_.payouts()) revert NoClaim(id);
                if (!contained) continue;
                uint256 owed = _dequeue(account, id);
                int256 delta = int256(uint256(claims[i].payouts[seat])) - int256(uint256(terms.stakes[seat]));
                record = record.move(int256(owed) - delta).dropClaim();
                pool_ = pool_.forgive(owed);
                _outcomes[id] = outcome_.flipLive(seat);
            } else if (outcome_.isLocked(seat) && contained) {
                _outcomes[id] = outcome_.flipLock(seat);
                _unlock(account, id, terms.stakes[seat]);
            } else {
                revert NoClaim(id);
            }
        }
        if (found != live) revert WrongClaims(live, found);
        return (record, pool_);
    }

    function _unlock(address account, bytes32 id, uint96 stake) internal {
        _sides[account] = _sides[account].unlock(stake);
        emit Released(account, id, stake);
    }

    /// @notice What an outcome slot keeps of the payouts.
    function _truncate(uint96[] calldata payouts) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(payouts))) >> 24;
    }

    // --------------------------------------------------------------------------------------------------- the hot loop

    /// @notice Lays out, once per call, the memory in which entries are hashed:
    /// 00 type, 20 owner, 40 net, 60 through, 80 pending | be 1901, c0 domain, e0 struct hash |
    /// 100 digest, 120 v, 140 r, 160 s | 180 owner and key, packed.
    function _layDesk() private view returns (uint256 desk) {
        bytes32 kind = STATEMENT_TYPE;
        bytes32 domain = domainSeparator();
        assembly ("memory-safe") {
            desk := mload(0x40)
            mstore(0x40, add(desk, 0x1c0))
            mstore(desk, kind)
            mstore(add(desk, 0xa0), 0x1901)
            mstore(add(desk, 0xc0), domain)
        }
    }

    /// @notice The first words of an entry.
    function _word(uint256 pos) private pure returns (int256 net, uint256 through, uint256 pending) {
        assembly ("memory-safe") {
            net := signextend(11, calldataload(pos))
            let word := calldataload(add(pos, 0x20))
            through := shr(224, word)
            pending := and(shr(192, word), 0xffffffff)
        }
    }

    /// @notice The key that signed an entry, zero where nothing recovers, and its account (R2.3, R4.8).
    function _signer(uint256 desk, uint256 pos) private view returns (address account, address key) {
        assembly ("memory-safe") {
            let word := calldataload(pos)
            mstore(add(desk, 0x20), shr(96, word))
            mstore(add(desk, 0x40), signextend(11, word))
            mstore(add(desk, 0x180), word)
            word := calldataload(add(pos, 0x20))
            mstore(add(desk, 0x60), shr(224, word))
            mstore(add(desk, 0x80), and(shr(192, word), 0xffffffff))
            mstore(add(desk, 0xe0), keccak256(desk, 0xa0))
            mstore(add(desk, 0x100), keccak256(add(desk, 0xbe), 0x42))
            mstore(add(desk, 0x140), calldataload(add(pos, 0x28)))
            word := calldataload(add(pos, 0x48))
            let s := shr(1, shl(1, word))
            mstore(add(desk, 0x120), add(27, shr(255, word)))
            mstore(add(desk, 0x160), s)
            mstore(0x00, 0)
            // A high s is refused; ecrecover writes nothing where it fails.
            if lt(s, 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1) {
                pop(staticcall(gas(), 1, add(desk, 0x100), 0x80, 0x00, 0x20))
                key := mload(0x00)
            }
            if key {
                mstore(add(desk, 0x194), shl(96, key))
                account := shr(96, shl(96, keccak256(add(desk, 0x180), 0x28)))
            }
        }
    }

    /// @notice Did the operator sign the receipt of the entry that `_signer` has just read?
    function _receipted(uint256 desk, uint256 pos, address account) private view returns (bool yes) {
        bytes32 statement = STATEMENT_TYPE;
        bytes32 receipt = RECEIPT_TYPE;
        address operator_ = OPERATOR;
        assembly ("memory-safe") {
            mstore(desk, receipt)
            mstore(add(desk, 0x20), account)
            mstore(add(desk, 0xe0), keccak256(desk, 0xa0))
            mstore(desk, statement)
            mstore(add(desk, 0x100), keccak256(add(desk, 0xbe), 0x42))
            mstore(add(desk, 0x140), calldataload(add(pos, 0x68)))
            let vs := calldataload(add(pos, 0x88))
            let s := shr(1, shl(1, vs))
            mstore(add(desk, 0x120), add(27, shr(255, vs)))
            mstore(add(desk, 0x160), s)
            mstore(0x00, 0)
            if lt(s, 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1) {
                pop(staticcall(gas(), 1, add(desk, 0x100), 0x80, 0x00, 0x20))
                yes := eq(mload(0x00), operator_) // which is not zero
            }
        }
    }
}

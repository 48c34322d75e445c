// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Skip} from "./IArena.sol";
import {Account, AccountLib, Outcome, Pool, Side, positive, MAX_UINT96} from "./Records.sol";
import {Revenue} from "./Revenue.sol";
import {Table, Terms} from "./Terms.sol";

/// @title Statements: from packed entries to records (section 6)
abstract contract Settlement is Revenue, Terms {
    uint256 internal constant ENTRY = 104; // owner 20, net 12, through 4, pending 4, signature 64
    uint256 internal constant RECEIPTED = ENTRY + SIGNATURE;

    /// @dev One statement as read from the calldata; `reason` is set where it cannot be applied to any account.
    struct Entry {
        address account;
        int96 net;
        uint32 through;
        uint32 pending;
        uint256 reason;
    }

    mapping(uint256 batch => bytes32 root) internal _roots;

    /// @notice Settles statements, anchors the results and pays fees into the revenue (R6.7 to R6.9, R6.13).
    /// @param entries 104 bytes each; what cannot be applied is skipped with an event.
    /// @param fees What the pool cannot pay behind what it owes stays in it.
    function settle(bytes calldata entries, bytes32 resultsRoot_, uint32 matches, uint96 fees) external onlyOperator {
        (Pool pool_, uint256 applied) = _settleAll(entries);
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
        uint256 applied = _count(entries, RECEIPTED);
        Pool pool_ = _pool;
        for (; entries.length != 0; entries = entries[RECEIPTED:]) {
            uint256 reason;
            (pool_, reason) = _settleOne(entries, SIGNATURE, pool_);
            if (reason != 0) --applied;
        }
        _pool = _payQueue(pool_, QUEUE_STEP);
        emit Settled(0, 0, 0, uint32(applied), 0);
    }

    /// @notice Settles one statement of an account with claims, and takes back what it absorbs (R6.10).
    /// @param entry 104 bytes, as in `settle`.
    /// @param receipt The signature of the operator's receipt; empty where the operator is the sender.
    /// @param claims All live claims of the account, and any match whose stake the statement frees, in ascending order of ids.
    function settleClaimed(bytes calldata entry, bytes calldata receipt, Claim[] calldata claims) external {
        _expectLength(entry, ENTRY);
        Entry memory e = _read(entry);
        if (e.reason != 0) revert NotApplied(uint8(e.reason));
        if (msg.sender != OPERATOR || receipt.length != 0) {
            _expectLength(receipt, SIGNATURE);
            _expectSigner(OPERATOR, _receiptDigest(e), receipt, 0);
        }
        Account old = _recordOf(e.account);
        (Account record, Pool pool_) = _absorb(e.account, old, claims, e.through, e.pending);
        uint256 reason;
        (pool_, reason) = _advance(e.account, old, record, e.net, e.through, e.pending, pool_);
        if (reason != 0) revert NotApplied(uint8(reason));
        _pool = _payQueue(pool_, QUEUE_STEP);
        emit Settled(0, 0, 0, 1, 0);
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
            _keep(account, record.restate(net, through, pending));
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
            uint256 seat = claims[i].seat;
            Table memory t = _openAt(claims[i].terms, seat);
            bytes32 id = t.id;
            if (id <= last) revert WrongClaims(live, claims.length);
            last = id;
            if (t.account(seat) != account) revert BadSeat(seat);
            Outcome outcome_ = _outcomes[id];
            bool contained = AccountLib.settled(through, pending, t.index(seat));
            if (outcome_.isLive(seat)) {
                ++found;
                uint96[] calldata payouts = claims[i].payouts;
                if (_truncate(payouts) != outcome_.payouts()) revert NoClaim(id);
                if (!contained) continue;
                uint256 owed = _dequeue(account, id);
                int256 delta = int256(uint256(payouts[seat])) - int256(t.stake(seat));
                record = record.move(int256(owed) - delta).dropClaim();
                pool_ = pool_.forgive(owed);
                _outcomes[id] = outcome_.flipLive(seat);
            } else if (outcome_.isLocked(seat) && contained) {
                _outcomes[id] = outcome_.flipLock(seat);
                _unlock(account, id, uint96(t.stake(seat)));
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
    function _truncate(uint96[] calldata payouts) internal pure returns (uint256 truncated) {
        uint256 pos = _at(payouts);
        uint256 length = payouts.length;
        assembly ("memory-safe") {
            // keccak256(abi.encode(payouts)): calldata holds the words already.
            let m := mload(0x40)
            mstore(m, 0x20)
            mstore(add(m, 0x20), length)
            calldatacopy(add(m, 0x40), pos, shl(5, length))
            truncated := shr(24, keccak256(m, add(0x40, shl(5, length))))
        }
    }

    // ------------------------------------------------------------------------------------------------------- the loops

    /// @notice Applies packed entries one after the other; the short way where it applies, the long way for every other entry.
    function _settleAll(bytes calldata entries) private returns (Pool pool_, uint256 applied) {
        unchecked {
            applied = _count(entries, ENTRY);
            pool_ = _pool;
            uint256 end = _start(entries) + entries.length;
            uint256 pos = _start(entries);
            if (pool_.owed() == 0) _layDesk();
            while (true) {
                if (pool_.owed() == 0) (pos, pool_) = _run(pos, end, pool_);
                if (pos == end) break;
                uint256 reason;
                (pool_, reason) = _settleOne(entries[pos - _start(entries):], 0, pool_);
                if (reason != 0) --applied;
                pos += ENTRY;
            }
            pool_ = _payQueue(pool_, QUEUE_STEP);
        }
    }

    /// @notice Applies the first entry of `entries`, the long way.
    /// @param proof The size of the receipt's signature behind it.
    function _settleOne(bytes calldata entries, uint256 proof, Pool pool_) private returns (Pool, uint256 reason) {
        Entry memory e = _read(entries);
        if (e.reason != 0) {
            reason = e.reason;
        } else if (proof != 0 && _recover(_receiptDigest(e), entries[ENTRY:], 0) != OPERATOR) {
            reason = Skip.RECEIPT;
        } else {
            Account old = _recordOf(e.account);
            if (old.claims() != 0) reason = Skip.CLAIMS;
            else (pool_, reason) = _advance(e.account, old, old, e.net, e.through, e.pending, pool_);
        }
        if (reason != 0) emit Skipped(e.account, uint8(reason));
        return (pool_, reason);
    }

    /// @notice Reads an entry and recovers who signed it (R2.3, R6.7).
    function _read(bytes calldata entry) private view returns (Entry memory e) {
        address owner = address(bytes20(entry));
        e.net = int96(uint96(bytes12(entry[20:])));
        e.through = uint32(bytes4(entry[32:]));
        e.pending = uint32(bytes4(entry[36:]));
        address key = _recover(_statementDigest(owner, e.net, e.through, e.pending), entry[40:], 0);
        if (key == address(0)) {
            e.reason = Skip.SIGNATURE;
        } else {
            e.account = accountId(owner, key);
            if (key == OPERATOR) e.reason = Skip.OPERATOR_KEY;
        }
    }

    function _receiptDigest(Entry memory e) private view returns (bytes32) {
        return _digest(_receiptHash(e.account, e.net, e.through, e.pending));
    }

    function _count(bytes calldata entries, uint256 size) private pure returns (uint256 n) {
        n = entries.length / size;
        if (n * size != entries.length) revert BadLength((n + 1) * size, entries.length);
    }

    function _start(bytes calldata entries) private pure returns (uint256 pos) {
        assembly ("memory-safe") {
            pos := entries.offset
        }
    }

    // ---------------------------------------------------------------------------------------------------- the hot loop
    //
    // Memory from DESK = 0x200, laid out once per call (the literals below are DESK + n):
    //   00 type   20 owner   40 net   60 through   80 pending     the statement; its hash to e0
    //   be 1901   c0 domain  e0 struct hash                       the digest; its hash to 100
    //   100 digest   120 v   140 r   160 s                        for ecrecover; the key comes to 0x20
    //   2c owner   40 key                                         the account, once the statement is hashed

    /// @dev Takes 0x200 to 0x380 from the free memory.
    function _layDesk() private view {
        bytes32 kind = STATEMENT_TYPE;
        bytes32 domain = domainSeparator();
        assembly ("memory-safe") {
            if gt(mload(0x40), 0x200) { invalid() }
            mstore(0x40, 0x380)
            mstore(0x200, kind)
            mstore(0x2a0, 0x1901)
            mstore(0x2c0, domain)
        }
    }

    /// @notice Applies entries as long as nothing about them is unusual; returns the position of the first that is, or `end`.
    /// @dev Does for plain accounts what `_advance` does for all: any doubt ends the run, and the long way judges. Nothing is owed
    /// here. All amounts are below 2^96, so that one shift finds a negative equity, an empty pool and an overflow alike.
    function _run(uint256 pos, uint256 end, Pool pool_) private returns (uint256, Pool) {
        address operator_ = OPERATOR;
        uint256 rest = Pool.unwrap(pool_) >> 96;
        uint256 equity = pool_.equity();
        assembly ("memory-safe") {
            mstore(0x00, operator_)
            for { } xor(pos, end) { pos := add(pos, 104) } {
                let word := calldataload(pos) // owner 20, net 12
                let net := signextend(11, word)
                let set := shr(192, calldataload(add(pos, 0x20))) // through 4, pending 4
                let through := shr(32, set)
                let pending := and(set, 0xffffffff)
                mstore(0x220, shr(96, word))
                mstore(0x240, net)
                mstore(0x260, through)
                mstore(0x280, pending)
                mstore(0x2e0, keccak256(0x200, 0xa0))
                mstore(0x300, keccak256(0x2be, 0x42))

                let s := calldataload(add(pos, 0x48))
                mstore(0x320, add(27, shr(255, s)))
                mstore(0x340, calldataload(add(pos, 0x28)))
                s := shr(1, shl(1, s))
                mstore(0x360, s)
                pop(staticcall(gas(), 1, 0x300, 0x80, 0x20, 0x20))
                // The key is at 0x20 if 0x20 bytes came back; else the operator's at 0x00 is read.
                let key := mload(returndatasize())
                // The operator's key (R2.4) or none, a high s (R4.8).
                let odd :=
                    or(eq(key, operator_), gt(s, 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0))
                mstore(0x240, shl(96, key))
                let slot := shl(96, keccak256(0x22c, 0x28))
                let old := sload(slot)

                // The settled set grows (R6.7); no claims, lock or exit, which would stand above `through`.
                let oldSet := shr(192, old)
                let shift := sub(through, shr(32, oldSet))
                odd := or(odd, shr(26, or(shift, through)))
                odd := or(odd, and(shr(shift, pending), not(oldSet)))
                odd := or(odd, or(eq(set, oldSet), and(pending, 1)))

                // Neither the account nor the pool goes below zero (R3.4), nor was the account there.
                let funds := signextend(11, old)
                let oldNet := signextend(11, shr(96, old))
                let left := sub(add(equity, oldNet), net)
                odd := or(odd, shr(96, or(left, or(add(funds, oldNet), add(funds, net)))))

                if odd { break }
                equity := left
                sstore(slot, or(shl(192, set), or(shr(64, shl(160, word)), shr(160, shl(160, old)))))
            }
        }
        return (pos, Pool.wrap((rest << 96) | equity));
    }
}

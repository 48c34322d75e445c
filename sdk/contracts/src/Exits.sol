// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Skip} from "./IArena.sol";
import {Account, Outcome, OutcomeLib, Pool, Side, MAX_UINT96} from "./Records.sol";
import {Outcomes} from "./Outcomes.sol";
import {Table} from "./Terms.sol";

/// @title Ways out: together with the operator, or without it (R3.7)
abstract contract Exits is Outcomes {
    uint256 private constant EXIT_ENTRY = 20 + SIGNATURE; // net 12, through 4, pending 4, the receipt's signature

    /// @notice Pays `total - withdrawn` to the owner, on top of the statement on the chain, which both signatures name.
    function withdraw(
        address owner,
        address key,
        uint96 total,
        uint64 deadline,
        bytes calldata accountSig,
        bytes calldata operatorSig
    ) external nonReentrant {
        if (block.timestamp > deadline) revert Expired(deadline);
        _expectLength(accountSig, SIGNATURE);
        _expectLength(operatorSig, SIGNATURE);
        address account = accountId(owner, key);
        Account record = _recordOf(account);
        bytes32 digest = _withdrawalDigest(account, total, deadline, _receiptOf(account, record));
        _expectSigner(key, digest, accountSig, 0);
        if (_recover(digest, operatorSig, 0) != OPERATOR) revert BadSignature(1);

        Side side = _sides[account];
        if (total <= side.withdrawn()) revert NothingToPay();
        uint256 amount = total - side.withdrawn();
        uint256 available = _available(record, side);
        if (amount > available) revert NotAvailable(available);
        _keep(account, record.move(-int256(amount)));
        _sides[account] = side.withWithdrawn(total);
        emit Withdrawn(account, owner, uint96(amount), total);
        _push(owner, amount);
    }

    /// @notice Opens the exit of an account, by its owner as sender or with its key's signature. The account stays closed.
    /// @dev While the exit is open a further call may bring a newer receipt, but does not move the window. A receipt that cannot be
    /// settled (somebody else was faster, the pool is short) is skipped with an event: it must not keep anyone in.
    /// @param entry Empty, or the newest receipt: net 12, through 4, pending 4, the operator's signature 64.
    /// @param exitSig The key's signature of `Exit`; ignored where the owner is the sender.
    function exit(address owner, address key, bytes calldata entry, bytes calldata exitSig) external {
        address account = accountId(owner, key);
        int256 net;
        uint256 through;
        uint256 pending;
        bytes32 receipt;
        if (entry.length != 0) {
            _expectLength(entry, EXIT_ENTRY);
            net = int96(uint96(bytes12(entry)));
            through = uint32(bytes4(entry[12:]));
            pending = uint32(bytes4(entry[16:]));
            receipt = _receiptHash(account, int96(net), uint32(through), uint32(pending));
            _expectSigner(OPERATOR, _digest(receipt), entry[20:], 0);
        }
        Side side = _sides[account];
        if (msg.sender != owner) {
            _expectLength(exitSig, SIGNATURE);
            _expectSigner(key, _exitDigest(account, receipt, uint64(side.nonce())), exitSig, 0);
        }
        side = side.useNonce();
        Account record = _recordOf(account);
        if (record.special()) {
            _sides[account] = side;
        } else {
            record = record.makeSpecial();
            _keep(account, record);
            _openExit(account, side);
        }
        if (entry.length != 0) _settleReceipt(account, record, net, through, pending);
    }

    /// @notice While an exit is open: keeps the stake of a fully signed open match back.
    /// @param signatures On the match: the seats in order, then the operator, 64 bytes each.
    function lock(Match calldata terms, uint8 seat, address[] calldata owners, bytes calldata signatures) external {
        Table memory t = _openAt(terms, seat);
        bytes32 id = t.id;
        _checkSigners(t, owners, signatures, id);

        address account = t.account(seat);
        uint96 stake = uint96(t.stake(seat));
        Account record = _recordOf(account);
        if (!record.special()) revert ExitNotOpen();
        Side side = _sides[account];
        if (block.timestamp >= side.exitAt()) revert ExitWindowOver();
        if (record.contains(t.index(seat))) revert MatchSettled();
        Outcome outcome_ = _outcomes[id];
        uint256 status = outcome_.status();
        if (status == OutcomeLib.CONCLUDED) revert MatchConcluded();
        // A dispute outlives the expiry, and so do the stakes in it (R7.14).
        if (block.timestamp > terms.expiry && status != OutcomeLib.DISPUTED) revert MatchExpired();
        if (outcome_.isLocked(seat)) revert AlreadyLocked();
        _outcomes[id] = outcome_.flipLock(seat);
        _sides[account] = side.lock(stake);
        emit Locked(account, id, stake);
    }

    /// @notice Frees the stake of a match that is settled for the seat, or past its expiry without a dispute.
    /// @dev A conclusion frees all locks of its match by itself.
    function release(Match calldata terms, uint8 seat) external {
        Table memory t = _openAt(terms, seat);
        bytes32 id = t.id;
        Outcome outcome_ = _outcomes[id];
        if (!outcome_.isLocked(seat)) revert NotLocked();
        address account = t.account(seat);
        bool lapsed = block.timestamp > terms.expiry && outcome_.status() != OutcomeLib.DISPUTED;
        if (!lapsed && !_recordOf(account).contains(t.index(seat))) revert StillLocked();
        _outcomes[id] = outcome_.flipLock(seat);
        _unlock(account, id, uint96(t.stake(seat)));
    }

    /// @notice After the exit window: pays the owner what is not locked. May be called again for what comes free later.
    function finishExit(address owner, address key) external nonReentrant {
        address account = accountId(owner, key);
        Account record = _recordOf(account);
        if (!record.special()) revert ExitNotOpen();
        Side side = _sides[account];
        if (block.timestamp < side.exitAt()) revert ExitWindowRuns(side.exitAt());
        uint256 amount = _available(record, side);
        if (amount == 0) revert NothingToPay();
        uint256 total = side.withdrawn() + amount;
        if (total > MAX_UINT96) total = MAX_UINT96; // nothing is withdrawn by total any more
        _keep(account, record.move(-int256(amount)));
        _sides[account] = side.withWithdrawn(total);
        emit ExitFinished(account, owner, uint96(amount));
        _push(owner, amount);
    }

    function _settleReceipt(address account, Account record, int256 net, uint256 through, uint256 pending) private {
        Pool pool_ = _pool;
        uint256 reason = Skip.CLAIMS;
        if (record.claims() == 0) (pool_, reason) = _advance(account, record, record, net, through, pending, pool_);
        if (reason == 0) _pool = _payQueue(pool_, QUEUE_STEP);
        else emit Skipped(account, uint8(reason));
    }

    function _available(Account record, Side side) private pure returns (uint256) {
        uint256 worth = record.worth();
        uint256 locked = side.locked();
        return worth > locked ? worth - locked : 0;
    }

    /// @notice The receipt for the statement on the chain.
    function _receiptOf(address account, Account record) private pure returns (bytes32) {
        return _receiptHash(account, int96(record.net()), uint32(record.through()), uint32(record.pending()));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Account, AccountLib, Outcome, OutcomeLib, Pool} from "./Records.sol";
import {Settlement} from "./Settlement.sol";
import {Table} from "./Terms.sol";

/// @title Outcomes that the chain itself applies (R6.1, R6.10 to R6.12, section 7)
abstract contract Outcomes is Settlement {
    uint256 private constant OVER = 255; // the mover of a final state (R4.6)

    address internal immutable COURT;

    constructor(address court_) {
        COURT = court_;
    }

    modifier onlyCourt() {
        if (msg.sender != COURT) revert NotCourt();
        _;
    }

    /// @notice Applies a final state that all seats and the operator signed (R6.1).
    /// @param owners The owner of each seat's account.
    /// @param signatures On the state: the seats in order, then the operator, 64 bytes each.
    function conclude(Match calldata terms, State calldata last, address[] calldata owners, bytes calldata signatures)
        external
    {
        if (last.mover != OVER) revert NotFinal();
        Table memory t = _open(terms);
        _checkSigners(t, owners, signatures, _stateDigest(t.id, last));
        _apply(t, last.payouts);
    }

    /// @notice Applies what the court decided (R7.5).
    function outcome(Match calldata terms, uint96[] calldata payouts) external onlyCourt {
        _apply(_open(terms), payouts);
    }

    /// @notice Opens a dispute or moves it on (R7.2): what the court keeps of it stands in the match's own slot, where the payouts
    /// will. Locks of a disputed match stay until it has an outcome.
    /// @param from What stands there; zero opens.
    function dispute(bytes32 id, bytes29 from, bytes29 to) external onlyCourt {
        Outcome outcome_ = _outcomes[id];
        uint256 status = outcome_.status();
        if (status == OutcomeLib.CONCLUDED) revert MatchConcluded();
        if (outcome_.payouts() != uint232(from)) {
            if (from == 0) revert MatchDisputed();
            revert OtherDocket();
        }
        _outcomes[id] = outcome_.disputed(uint232(to)); // the court has the event
    }

    /// @notice Moves every seat whose settled set lacks the match by payout minus stake: debits first, then credits.
    function _apply(Table memory t, uint96[] calldata payouts) private {
        unchecked {
            bytes32 id = t.id;
            Outcome outcome_ = _outcomes[id];
            if (outcome_.status() == OutcomeLib.CONCLUDED) revert MatchConcluded();
            if (payouts.length != t.seats) revert BadPayouts();
            Pool stored = _pool;
            Pool pool_ = stored;
            uint256 lives;
            int256 rake;
            for (uint256 seat; seat != t.seats; ++seat) {
                if (outcome_.isLocked(seat)) _unlock(t.account(seat), id, uint96(t.stake(seat)));
                int256 delta = int256(_word(payouts, seat)) - int256(t.stake(seat));
                rake -= delta;
                if (delta >= 0) continue;
                Account old = _recordOf(t.account(seat));
                if (old.contains(t.index(seat))) continue;
                Account record = old.move(delta);
                if (old.claims() != AccountLib.MAX_CLAIMS) {
                    record = record.addClaim();
                    lives |= 1 << seat;
                }
                _keep(t.account(seat), record);
                pool_ = pool_.follow(old.worth(), record.worth());
            }
            if (rake < 0) revert BadPayouts();
            for (uint256 seat; seat != t.seats; ++seat) {
                int256 delta = int256(_word(payouts, seat)) - int256(t.stake(seat));
                if (delta <= 0) continue;
                Account old = _recordOf(t.account(seat));
                // R6.11: without room for the claim a debit is final and a credit is not given.
                if (old.contains(t.index(seat)) || old.claims() == AccountLib.MAX_CLAIMS) continue;
                lives |= 1 << seat;
                pool_ = _credit(id, t.account(seat), old, delta, pool_);
            }
            _outcomes[id] = OutcomeLib.concluded(lives, _truncate(payouts));
            pool_ = _payQueue(pool_, QUEUE_STEP);
            if (Pool.unwrap(pool_) != Pool.unwrap(stored)) _pool = pool_;
            emit Concluded(id, payouts);
        }
    }

    /// @notice Credits an outcome as far as the pool can pay it behind what it owes, and queues the rest (R3.5).
    function _credit(bytes32 id, address account, Account old, int256 delta, Pool pool_) private returns (Pool) {
        uint256 need = old.move(delta).worth() - old.worth(); // the rest repays debt (R3.1)
        uint256 free = pool_.free();
        uint256 short = need > free ? need - free : 0;
        _keep(account, old.move(delta - int256(short)).addClaim());
        if (short != 0) {
            _enqueue(account, id, short);
            pool_ = pool_.owe(short);
        }
        return pool_.pay(need - short);
    }

    /// @dev Refuses what is no uint96, as the array's own access would.
    function _word(uint96[] calldata payouts, uint256 seat) private pure returns (uint256 payout) {
        uint256 pos = _at(payouts);
        assembly ("memory-safe") {
            payout := calldataload(add(pos, shl(5, seat)))
        }
        if (payout > type(uint96).max) revert BadPayouts();
    }
}

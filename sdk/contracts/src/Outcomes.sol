// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Account, AccountLib, Outcome, OutcomeLib, Pool, positive} from "./Records.sol";
import {Settlement} from "./Settlement.sol";

/// @title Outcomes that the chain itself applies (R6.1, R6.10 to R6.12, section 7)
abstract contract Outcomes is Settlement {
    uint256 private constant MAX_SEATS = 8;
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
        _checkTerms(terms);
        bytes32 id = matchId(terms);
        if (last.mover != OVER) revert NotFinal();
        _checkSigners(terms, owners, signatures, stateDigest(id, last));
        _apply(id, terms, last.payouts);
    }

    /// @notice Applies what the court decided (R7.5).
    function outcome(Match calldata terms, uint96[] calldata payouts) external onlyCourt {
        _checkTerms(terms);
        _apply(matchId(terms), terms, payouts);
    }

    /// @notice Marks a match as disputed: its locks stay until it has an outcome.
    function dispute(bytes32 id) external onlyCourt {
        Outcome outcome_ = _outcomes[id];
        if (outcome_.status() == OutcomeLib.CONCLUDED) revert MatchConcluded();
        if (outcome_.status() == OutcomeLib.DISPUTED) revert MatchDisputed();
        _outcomes[id] = outcome_.dispute();
        emit Disputed(id);
    }

    /// @notice Moves every seat whose settled set lacks the match by payout minus stake: debits first, then credits.
    function _apply(bytes32 id, Match calldata terms, uint96[] calldata payouts) private {
        unchecked {
            Outcome outcome_ = _outcomes[id];
            if (outcome_.status() == OutcomeLib.CONCLUDED) revert MatchConcluded();
            uint256 n = terms.seats.length;
            _checkPayouts(terms.stakes, payouts);
            Pool pool_ = _pool;
            Pool stored = pool_;
            uint256 lives;
            for (uint256 seat; seat != n; ++seat) {
                if (outcome_.isLocked(seat)) _unlock(terms.seats[seat], id, terms.stakes[seat]);
                uint256 stake = terms.stakes[seat];
                uint256 payout = payouts[seat];
                if (payout >= stake) continue;
                address account = terms.seats[seat];
                Account old = _accounts[account];
                if (old.contains(terms.indexes[seat])) continue;
                Account record = old.move(int256(payout) - int256(stake));
                if (old.claims() != AccountLib.MAX_CLAIMS) {
                    record = record.addClaim();
                    lives |= 1 << seat;
                }
                _accounts[account] = record;
                pool_ = pool_.follow(old.worth(), record.worth());
            }
            for (uint256 seat; seat != n; ++seat) {
                uint256 stake = terms.stakes[seat];
                uint256 payout = payouts[seat];
                if (payout <= stake) continue;
                address account = terms.seats[seat];
                Account old = _accounts[account];
                // R6.11: without room for the claim a debit is final and a credit is not given.
                if (old.contains(terms.indexes[seat]) || old.claims() == AccountLib.MAX_CLAIMS) continue;
                lives |= 1 << seat;
                pool_ = _credit(id, account, old, payout - stake, pool_);
            }
            _outcomes[id] = OutcomeLib.concluded(lives, _truncate(payouts));
            pool_ = _payQueue(pool_, QUEUE_STEP);
            if (Pool.unwrap(pool_) != Pool.unwrap(stored)) _pool = pool_;
            emit Concluded(id, payouts);
        }
    }

    /// @notice Credits an outcome as far as the pool can pay it behind what it owes, and queues the rest (R3.5).
    function _credit(bytes32 id, address account, Account old, uint256 delta, Pool pool_) private returns (Pool) {
        uint256 need = old.move(int256(delta)).worth() - old.worth(); // the rest repays debt (R3.1)
        uint256 free = pool_.free();
        uint256 short = need > free ? need - free : 0;
        _accounts[account] = old.move(int256(delta - short)).addClaim();
        if (short != 0) {
            _enqueue(account, id, short);
            pool_ = pool_.owe(short);
        }
        return pool_.pay(need - short);
    }

    // ---------------------------------------------------------------------------------------------------------- terms

    /// @notice R4.10, but for the signatures.
    function _checkTerms(Match calldata terms) internal pure {
        unchecked {
            uint256 n = terms.seats.length;
            if (
                n < 2 || n > MAX_SEATS || terms.indexes.length != n || terms.stakes.length != n || terms.seeds.length != n
            ) revert BadTerms();
            for (uint256 i; i != n; ++i) {
                address seat = terms.seats[i];
                if (seat == address(0)) revert BadTerms();
                for (uint256 j; j != i; ++j) {
                    if (terms.seats[j] == seat) revert BadTerms();
                }
            }
        }
    }

    /// @notice Everybody's signature on one digest: each seat's by the key of its account, then the operator's.
    function _checkSigners(Match calldata terms, address[] calldata owners, bytes calldata signatures, bytes32 digest)
        internal
        view
    {
        unchecked {
            uint256 n = terms.seats.length;
            if (owners.length != n) revert BadTerms();
            _expectLength(signatures, (n + 1) * SIGNATURE);
            for (uint256 i; i != n; ++i) {
                address key = _recover(digest, signatures, i);
                if (key == address(0) || key == OPERATOR || accountId(owners[i], key) != terms.seats[i]) {
                    revert BadSignature(i);
                }
            }
            _expectSigner(OPERATOR, digest, signatures, n);
        }
    }

    function _checkPayouts(uint96[] calldata stakes, uint96[] calldata payouts) private pure {
        unchecked {
            uint256 n = stakes.length;
            if (payouts.length != n) revert BadPayouts();
            uint256 pot;
            for (uint256 i; i != n; ++i) pot += stakes[i];
            uint256 sum;
            for (uint256 i; i != n; ++i) sum += payouts[i];
            if (sum > pot) revert BadPayouts();
        }
    }
}

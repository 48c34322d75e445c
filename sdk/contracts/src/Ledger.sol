// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Account, Outcome, Pool, Side, positive, MAX_INT96} from "./Records.sol";
import {Typed} from "./Typed.sol";

/// @title The books: records, the queue of what the pool owes, and money in and out
/// @dev R3.3: the sum of what all accounts can pay, the pool's equity and unclaimed revenue is what came in minus what went
/// out. Every function that writes an account moves the pool by the opposite change of its worth, or moves money.
abstract contract Ledger is Typed, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev An amount that the pool owes an account for a match (R3.5); amount 0 has left the queue.
    struct Debt {
        address account;
        uint96 amount;
        bytes32 matchId;
    }

    struct Queue {
        uint64 head;
        uint64 tail;
    }

    /// @dev So many queue entries are looked at by a call that brings money in.
    uint256 internal constant QUEUE_STEP = 4;

    address internal immutable TOKEN;

    mapping(address account => Side) internal _sides;
    mapping(bytes32 matchId => Outcome) internal _outcomes;
    Pool internal _pool;
    Queue internal _queue;
    mapping(uint256 place => Debt) internal _debts;
    mapping(bytes32 matchId => mapping(address account => uint256 place)) internal _places; // place + 1

    /// @dev An account's record has its id, shifted to the top, for its slot: one hash less per settled account. Ids are not zero, so
    /// the counted slots below are out of reach, and a mapping's slot would have to end in twelve zero bytes.
    function _recordOf(address account) internal view returns (Account record) {
        assembly ("memory-safe") {
            record := sload(shl(96, account))
        }
    }

    function _keep(address account, Account record) internal {
        assembly ("memory-safe") {
            sstore(shl(96, account), record)
        }
    }

    constructor(address token_) {
        if (token_ != address(0) && token_.code.length == 0) revert ZeroAddress();
        TOKEN = token_;
    }

    // ---------------------------------------------------------------------------------------------- the pool's queue

    /// @notice Looks at `n` entries of the queue and pays what the pool has (R3.5).
    function _payQueue(Pool pool_, uint256 n) internal returns (Pool) {
        if (pool_.owed() == 0) return pool_;
        Queue memory queue = _queue;
        uint256 head = queue.head;
        for (; n != 0 && head != queue.tail; --n) {
            Debt storage debt = _debts[head];
            uint256 amount = debt.amount;
            if (amount != 0) {
                address account = debt.account;
                Account record = _recordOf(account);
                // What the account owes the pool is netted; the pool pays the rest.
                uint256 paid = pool_.equity() + positive(-record.equity());
                if (paid > amount) paid = amount;
                if (paid == 0) break;
                uint256 room = uint256(MAX_INT96 - record.funds());
                if (paid > room) {
                    // Funds of 2^95: the rest is dropped rather than that one account stops the queue.
                    pool_ = pool_.forgive(amount - room);
                    amount = paid = room;
                }
                uint256 before = record.worth();
                record = record.move(int256(paid));
                _keep(account, record);
                pool_ = pool_.follow(before, record.worth()).forgive(paid);
                debt.amount = uint96(amount - paid);
                emit OwedPaid(account, debt.matchId, uint96(paid));
                if (paid != amount) break;
            }
            ++head;
        }
        if (head != queue.head) _queue.head = uint64(head);
        return pool_;
    }

    function _enqueue(address account, bytes32 id, uint256 amount) internal {
        uint256 tail = _queue.tail;
        _debts[tail] = Debt(account, uint96(amount), id);
        _places[id][account] = tail + 1;
        _queue.tail = uint64(tail + 1);
        emit OwedAdded(account, id, uint96(amount));
    }

    /// @notice Takes what is still owed to `account` for a match out of the queue.
    function _dequeue(address account, bytes32 id) internal returns (uint256 amount) {
        uint256 place = _places[id][account];
        if (place == 0) return 0;
        Debt storage debt = _debts[place - 1];
        amount = debt.amount;
        if (amount == 0) return 0;
        debt.amount = 0;
        emit OwedPaid(account, id, 0);
    }

    // ---------------------------------------------------------------------------------------------- money in and out

    function _pull(uint256 amount) internal {
        IERC20 token_ = IERC20(TOKEN);
        if (address(token_) == address(0)) revert WrongAsset();
        uint256 before = token_.balanceOf(address(this));
        token_.safeTransferFrom(msg.sender, address(this), amount);
        uint256 delivered = token_.balanceOf(address(this)) - before;
        if (delivered < amount) revert TokenShort(amount, delivered); // R3.8
    }

    function _expectNative() internal view {
        if (TOKEN != address(0)) revert WrongAsset();
    }

    /// @dev The last thing that a guarded call does (R3.8).
    function _push(address to, uint256 amount) internal {
        if (TOKEN == address(0)) {
            (bool sent,) = to.call{value: amount}("");
            if (!sent) revert PaymentFailed(to);
        } else {
            IERC20(TOKEN).safeTransfer(to, amount);
        }
    }

    modifier onlyOperator() {
        if (msg.sender != OPERATOR) revert NotOperator();
        _;
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Account, Outcome, Pool, Side, MAX_INT96, either} from "./Records.sol";
import {Typed} from "./Typed.sol";
import {Ledger} from "./Ledger.sol";
import {Revenue} from "./Revenue.sol";
import {Outcomes} from "./Outcomes.sol";
import {Exits} from "./Exits.sol";

/// @title The arena of one operator and one asset (docs/PROTOCOL.md, section 3)
/// @notice Holds players' bankrolls and the operator's pool; settles any number of matches at one slot per account.
contract Arena is Exits {
    /// @dev The operator's announced withdrawal from the pool.
    struct Notice {
        uint96 amount;
        uint40 from;
    }

    Notice private _notice;

    constructor(Config memory config)
        Typed(config.operator, config.salt, address(this))
        Ledger(config.token)
        Revenue(config.exitWindow, config.beneficiaries, config.basisPoints)
        Outcomes(config.court)
    {}

    // ------------------------------------------------------------------------------------------------------- deposits

    /// @notice Adds the native coin that comes with the call to an account's funds.
    function deposit(address account) external payable {
        _expectNative();
        _deposit(account, msg.value);
    }

    /// @notice Pulls tokens from the sender and adds them to an account's funds.
    function depositToken(address account, uint96 amount) external nonReentrant {
        _pull(amount);
        _deposit(account, amount);
    }

    /// @dev The amount is far below 2^255: a supply or a uint96.
    function _deposit(address account, uint256 amount) private {
        unchecked {
            Account record = _recordOf(account);
            int256 funds = record.funds() + int256(amount);
            int256 equity = record.equity();
            if (either(either(record.special(), account == address(0)), either(equity < 0, funds > MAX_INT96))) {
                if (record.special()) revert ExitIsOpen(); // R3.7
                if (account == address(0)) revert ZeroAddress();
                if (funds > MAX_INT96) revert TooMuch(); // R3.6
                // The account's debt is repaid first (R3.2).
                uint256 debt = uint256(-equity);
                _keep(account, record.withFunds(funds));
                _pool = _payQueue(_pool.receive_(amount < debt ? amount : debt), QUEUE_STEP);
            } else {
                _keep(account, record.withFunds(funds));
            }
            emit Deposited(account, msg.sender, uint96(amount));
        }
    }

    // ------------------------------------------------------------------------------------------------------- the pool

    /// @notice Adds the native coin that comes with the call to the pool.
    function fund() external payable {
        _expectNative();
        if (msg.value > type(uint96).max) revert TooMuch();
        _fund(uint96(msg.value));
    }

    /// @notice Pulls tokens from the sender into the pool.
    function fundToken(uint96 amount) external nonReentrant {
        _pull(amount);
        _fund(amount);
    }

    function _fund(uint96 amount) private {
        emit Funded(msg.sender, amount);
        _pool = _payQueue(_pool.receive_(amount), QUEUE_STEP);
    }

    /// @notice Pays the next `n` entries of what the pool owes.
    function payOwed(uint256 n) external {
        _pool = _payQueue(_pool, n);
    }

    /// @notice Announces a withdrawal from the pool; a new notice replaces the old one, zero takes it back.
    function requestPool(uint96 amount) external onlyOperator {
        uint40 from = uint40(block.timestamp + EXIT_WINDOW);
        _notice = Notice(amount, from);
        emit PoolRequested(amount, from, uint40(from + EXIT_WINDOW));
    }

    /// @notice Pays the announced amount, as far as the pool has it behind what it owes, in the window after the notice.
    function withdrawPool() external onlyOperator nonReentrant {
        Notice memory notice = _notice;
        uint256 until = notice.from + EXIT_WINDOW;
        if (block.timestamp < notice.from || block.timestamp >= until) revert NoticeRuns(notice.from, until);
        delete _notice;
        Pool pool_ = _pool;
        uint256 free = pool_.free();
        uint256 amount = notice.amount < free ? notice.amount : free;
        if (amount == 0) revert NothingToPay();
        _pool = pool_.pay(amount);
        emit PoolWithdrawn(uint96(amount));
        _push(OPERATOR, amount);
    }

    // -------------------------------------------------------------------------------------------------------- results

    /// @notice Is this a result of that batch (R6.9)?
    function proveResult(uint32 batch, Result calldata result, bytes32[] calldata proof) external view returns (bool) {
        bytes32 root = _roots[batch];
        return root != 0 && MerkleProof.verifyCalldata(proof, root, _leaf(result), _node);
    }

    /// @notice The leaf of a result: bound to this arena, in a domain apart from the nodes'.
    function _leaf(Result calldata result) private view returns (bytes32) {
        return keccak256(bytes.concat(hex"00", keccak256(abi.encode(address(this), result))));
    }

    function _node(bytes32 a, bytes32 b) private pure returns (bytes32) {
        (a, b) = a < b ? (a, b) : (b, a);
        return keccak256(abi.encodePacked(hex"01", a, b));
    }

    // ---------------------------------------------------------------------------------------------------------- views

    /// @notice Both records of an account.
    function accountOf(address account)
        external
        view
        returns (
            int96 funds,
            int96 net,
            uint32 pending,
            uint32 through,
            uint8 claims,
            bool special,
            uint96 withdrawn,
            uint96 locked,
            uint40 exitAt,
            uint24 nonce
        )
    {
        Account a = _recordOf(account);
        Side s = _sides[account];
        (funds, net, pending, through) =
            (int96(a.funds()), int96(a.net()), uint32(a.pending()), uint32(a.through()));
        (claims, special) = (uint8(a.claims()), a.special());
        (withdrawn, locked, exitAt, nonce) =
            (uint96(s.withdrawn()), uint96(s.locked()), uint40(s.exitAt()), uint24(s.nonce()));
    }

    /// @notice The operator's pool.
    function pool() external view returns (uint96 equity, uint128 owed, uint32 batches) {
        Pool p = _pool;
        return (uint96(p.equity()), uint128(p.owed()), uint32(p.batches()));
    }

    /// @notice The results root of a batch; batches count from 1.
    function resultsRoot(uint32 batch) external view returns (bytes32) {
        return _roots[batch];
    }

    /// @notice What the chain knows of a match: its status (0 none, 1 disputed, 2 concluded), which seats' stakes are locked,
    /// for which seats no statement has absorbed the outcome yet, and the first 29 bytes of keccak256(abi.encode(payouts)); of the
    /// court's docket while disputed.
    function outcomeOf(bytes32 id) external view returns (uint8 status, uint8 locked, uint8 live, bytes29 payouts) {
        Outcome o = _outcomes[id];
        return (uint8(o.status()), uint8(o.locks()), uint8(o.lives()), bytes29(uint232(o.payouts())));
    }

    function operator() external view returns (address) {
        return OPERATOR;
    }

    function token() external view returns (address) {
        return TOKEN;
    }

    function court() external view returns (address) {
        return COURT;
    }

    function exitWindow() external view returns (uint32) {
        return uint32(EXIT_WINDOW);
    }
}

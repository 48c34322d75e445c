// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ledger} from "./Ledger.sol";

/// @title Fees: from the pool to those who share them (R6.13)
/// @dev Time is cut into epochs of one exit window. Fees of epoch e are kept in one slot and shared out at the first touch in
/// epoch e + 2 or later: they have aged between one and two windows. A split proposed in epoch e is in force from e + 2, so all
/// fees of one epoch have one split.
abstract contract Revenue is Ledger {
    struct Share {
        address beneficiary;
        uint16 basisPoints;
    }

    struct Split {
        uint40 fromEpoch;
        Share[] shares;
    }

    /// @dev Fees of `epoch` and of the one before it.
    struct Aging {
        uint96 fresh;
        uint96 older;
        uint40 epoch;
    }

    uint256 private constant WHOLE = 10_000;
    uint256 private constant MAX_SHARES = 8;

    uint256 internal immutable EXIT_WINDOW;

    Aging private _aging;
    Split[] private _splits;
    mapping(address beneficiary => uint256) private _matured;

    constructor(uint32 exitWindow_, address[] memory beneficiaries, uint16[] memory basisPoints) {
        if (exitWindow_ == 0) revert ZeroWindow();
        EXIT_WINDOW = exitWindow_;
        _aging.epoch = uint40(_epoch());
        if (beneficiaries.length == 0) {
            beneficiaries = new address[](1);
            beneficiaries[0] = OPERATOR;
            basisPoints = new uint16[](1);
            basisPoints[0] = uint16(WHOLE);
        }
        _addSplit(0, beneficiaries, basisPoints);
    }

    /// @notice Pays a beneficiary its share of all matured fees; refused while the pool owes players (R3.5).
    function claimRevenue(address beneficiary) external nonReentrant {
        _mature();
        uint256 owed = _pool.owed();
        if (owed != 0) revert PoolOwes(owed);
        uint256 amount = _matured[beneficiary];
        if (amount == 0) revert NothingToPay();
        _matured[beneficiary] = 0;
        emit RevenueClaimed(beneficiary, uint96(amount));
        _push(beneficiary, amount);
    }

    /// @notice Announces another split, in force between one and two windows from now; replaces one not yet in force.
    function proposeSplit(address[] calldata beneficiaries, uint16[] calldata basisPoints) external onlyOperator {
        _mature();
        uint256 epoch_ = _epoch();
        if (_splits[_splits.length - 1].fromEpoch > epoch_) _splits.pop();
        _addSplit(uint40(epoch_ + 2), beneficiaries, basisPoints);
    }

    /// @notice What the beneficiary could claim now, and the fees of `epoch` and of the one before it that nobody has been credited
    /// with yet.
    function revenueOf(address beneficiary)
        external
        view
        returns (uint256 claimable, uint96 fresh, uint96 older, uint40 epoch_)
    {
        Aging memory aging = _aging;
        (fresh, older, epoch_) = (aging.fresh, aging.older, aging.epoch);
        claimable = _matured[beneficiary];
        uint256 now_ = _epoch();
        if (epoch_ < now_) claimable += _shareOf(beneficiary, older, epoch_ - 1);
        if (epoch_ + 1 < now_) claimable += _shareOf(beneficiary, fresh, epoch_);
    }

    /// @notice Fees have left the pool; nothing else is done with them before they are two epochs old.
    function _accrue(uint256 fees) internal {
        Aging memory aging = _mature();
        if (aging.fresh + fees > type(uint96).max) revert TooMuch();
        aging.fresh += uint96(fees);
        _aging = aging;
    }

    /// @notice Credits the beneficiaries with what is two epochs old.
    function _mature() private returns (Aging memory aging) {
        aging = _aging;
        uint40 epoch_ = uint40(_epoch());
        if (aging.epoch == epoch_) return aging;
        _share(aging.older, aging.epoch - 1);
        if (aging.epoch + 1 == epoch_) {
            aging.older = aging.fresh;
        } else {
            _share(aging.fresh, aging.epoch);
            aging.older = 0;
        }
        aging.fresh = 0;
        aging.epoch = epoch_;
        _aging = aging;
    }

    function _share(uint256 amount, uint256 epoch_) private {
        if (amount == 0) return;
        Share[] storage shares = _splitOf(epoch_).shares;
        uint256 rest = amount;
        for (uint256 i = shares.length - 1; i != 0; --i) {
            Share memory share = shares[i];
            uint256 part = amount * share.basisPoints / WHOLE;
            _matured[share.beneficiary] += part;
            rest -= part;
        }
        _matured[shares[0].beneficiary] += rest; // and the dust
    }

    function _shareOf(address beneficiary, uint256 amount, uint256 epoch_) private view returns (uint256 total) {
        if (amount == 0) return 0;
        Share[] storage shares = _splitOf(epoch_).shares;
        uint256 rest = amount;
        for (uint256 i = shares.length - 1; i != 0; --i) {
            uint256 part = amount * shares[i].basisPoints / WHOLE;
            if (shares[i].beneficiary == beneficiary) total += part;
            rest -= part;
        }
        if (shares[0].beneficiary == beneficiary) total += rest;
    }

    /// @dev Looks at three entries at most for any epoch that still has fees: a proposal is replaced until it is in force.
    function _splitOf(uint256 epoch_) private view returns (Split storage) {
        uint256 i = _splits.length - 1;
        while (_splits[i].fromEpoch > epoch_) --i;
        return _splits[i];
    }

    function _addSplit(uint40 fromEpoch, address[] memory beneficiaries, uint16[] memory basisPoints) private {
        uint256 n = beneficiaries.length;
        if (n == 0 || n > MAX_SHARES || n != basisPoints.length) revert BadSplit();
        Split storage split = _splits.push();
        split.fromEpoch = fromEpoch;
        uint256 sum;
        for (uint256 i; i != n; ++i) {
            if (beneficiaries[i] == address(0) || basisPoints[i] == 0) revert BadSplit();
            sum += basisPoints[i];
            split.shares.push(Share(beneficiaries[i], basisPoints[i]));
        }
        if (sum != WHOLE) revert BadSplit();
        emit SplitProposed(fromEpoch, beneficiaries, basisPoints);
    }

    function _epoch() private view returns (uint256) {
        return block.timestamp / EXIT_WINDOW + 1; // there is always an epoch before
    }
}

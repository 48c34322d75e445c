// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "./IArena.sol";

/// @notice funds int96 | net int96 | pending uint32 | through uint26 | claims uint5 | special 1, from bit 0 (section 3).
type Account is uint256;

/// @notice withdrawn uint96 | locked uint96 | exitAt uint40 | nonce uint24: read only where `special` says so.
type Side is uint256;

/// @notice equity uint96 | owed uint128 | batches uint32.
/// @dev `owed` is wider than an amount, so that no number of conclusions can make the next one overflow.
type Pool is uint256;

/// @notice status uint8 | locked seats uint8 | live seats uint8 | truncated hash of the payouts, or of the docket, uint232.
type Outcome is uint256;

using AccountLib for Account global;
using SideLib for Side global;
using PoolLib for Pool global;
using OutcomeLib for Outcome global;

uint256 constant MAX_UINT96 = type(uint96).max;
int256 constant MAX_INT96 = type(int96).max;
int256 constant MIN_INT96 = type(int96).min;

/// @notice The positive part: what an equity can pay (R3.2).
function positive(int256 equity) pure returns (uint256 amount) {
    assembly ("memory-safe") {
        amount := mul(equity, sgt(equity, 0))
    }
}

/// @notice `a || b` without a jump.
function either(bool a, bool b) pure returns (bool c) {
    assembly ("memory-safe") {
        c := or(a, b)
    }
}

library AccountLib {
    uint256 internal constant MAX_THROUGH = 2 ** 26 - 1;
    uint256 internal constant MAX_CLAIMS = 31;

    uint256 private constant SPECIAL = 1 << 255;
    uint256 private constant STATEMENT = ((1 << 154) - 1) << 96; // net, pending and through

    function funds(Account a) internal pure returns (int256 amount) {
        assembly ("memory-safe") {
            amount := signextend(11, a)
        }
    }

    function net(Account a) internal pure returns (int256 amount) {
        assembly ("memory-safe") {
            amount := signextend(11, shr(96, a))
        }
    }

    function pending(Account a) internal pure returns (uint256) {
        return uint32(Account.unwrap(a) >> 192);
    }

    function through(Account a) internal pure returns (uint256) {
        return (Account.unwrap(a) >> 224) & MAX_THROUGH;
    }

    function claims(Account a) internal pure returns (uint256) {
        return (Account.unwrap(a) >> 250) & 31;
    }

    function special(Account a) internal pure returns (bool) {
        return Account.unwrap(a) >> 255 != 0;
    }

    function equity(Account a) internal pure returns (int256) {
        unchecked {
            return a.funds() + a.net();
        }
    }

    /// @notice `payable` of R3.2.
    function worth(Account a) internal pure returns (uint256) {
        return positive(a.equity());
    }

    /// @notice Is match number `index` in the settled set?
    function contains(Account a, uint256 index) internal pure returns (bool) {
        return settled(a.through(), a.pending(), index);
    }

    /// @notice Moves funds by `delta`; refuses what does not fit.
    function move(Account a, int256 delta) internal pure returns (Account) {
        unchecked {
            int256 to = a.funds() + delta; // deltas are sums of a few uint96
            if (to > MAX_INT96 || to < MIN_INT96) revert IArena.TooMuch();
            return a.withFunds(to);
        }
    }

    /// @notice Replaces the funds; they are in range.
    function withFunds(Account a, int256 to) internal pure returns (Account) {
        return Account.wrap((Account.unwrap(a) & ~MAX_UINT96) | uint96(int96(to)));
    }

    /// @notice Replaces the statement; the three are in range.
    function restate(Account a, int256 net_, uint256 through_, uint256 pending_) internal pure returns (Account) {
        return Account.wrap(
            (Account.unwrap(a) & ~STATEMENT) | ((uint256(net_) & MAX_UINT96) << 96) | (pending_ << 192) | (through_ << 224)
        );
    }

    function addClaim(Account a) internal pure returns (Account) {
        return Account.wrap(Account.unwrap(a) + (1 << 250)); // below MAX_CLAIMS
    }

    function dropClaim(Account a) internal pure returns (Account) {
        return Account.wrap(Account.unwrap(a) - (1 << 250)); // checked
    }

    function makeSpecial(Account a) internal pure returns (Account) {
        return Account.wrap(Account.unwrap(a) | SPECIAL);
    }

    /// @notice Is `index` in the set {i < through} minus the pending bits?
    function settled(uint256 through_, uint256 pending_, uint256 index) internal pure returns (bool) {
        unchecked {
            // A distance beyond the window shifts every bit out.
            return index < through_ && (pending_ >> (through_ - 1 - index)) & 1 == 0;
        }
    }

    /// @notice Does the new set strictly contain the old one (R6.7)?
    /// @dev As sets, not as encodings: the same set written with a larger `through` is not new. No bit below index 0 can be pending:
    /// the first record has none, and a new one would have to be pending in the old record.
    function grows(Account a, uint256 through_, uint256 pending_) internal pure returns (bool yes) {
        uint256 oldThrough = a.through();
        uint256 oldPending = a.pending();
        assembly ("memory-safe") {
            let shift := sub(through_, oldThrough)
            let kept := shr(shift, pending_) // still open, seen from the old window
            let fresh := and(sub(shl(shift, 1), 1), not(pending_)) // settled beyond the old window
            yes := and(
                iszero(or(lt(through_, oldThrough), and(kept, not(oldPending)))),
                iszero(iszero(or(fresh, and(oldPending, not(kept)))))
            )
        }
    }
}

library SideLib {
    function withdrawn(Side s) internal pure returns (uint256) {
        return uint96(Side.unwrap(s));
    }

    function locked(Side s) internal pure returns (uint256) {
        return uint96(Side.unwrap(s) >> 96);
    }

    function exitAt(Side s) internal pure returns (uint256) {
        return uint40(Side.unwrap(s) >> 192);
    }

    function nonce(Side s) internal pure returns (uint256) {
        return Side.unwrap(s) >> 232;
    }

    function withWithdrawn(Side s, uint256 amount) internal pure returns (Side) {
        return Side.wrap((Side.unwrap(s) & ~MAX_UINT96) | amount); // amount is in range
    }

    function lock(Side s, uint256 stake) internal pure returns (Side) {
        if (s.locked() + stake > MAX_UINT96) revert IArena.TooMuch();
        return Side.wrap(Side.unwrap(s) + (stake << 96));
    }

    function unlock(Side s, uint256 stake) internal pure returns (Side) {
        return Side.wrap(Side.unwrap(s) - (stake << 96)); // was locked
    }

    function withExitAt(Side s, uint256 time) internal pure returns (Side) {
        return Side.wrap((Side.unwrap(s) & ~(uint256(type(uint40).max) << 192)) | (uint256(uint40(time)) << 192));
    }

    function useNonce(Side s) internal pure returns (Side) {
        return Side.wrap(Side.unwrap(s) + (1 << 232)); // checked
    }
}

library PoolLib {
    function equity(Pool p) internal pure returns (uint256) {
        return uint96(Pool.unwrap(p));
    }

    function owed(Pool p) internal pure returns (uint256) {
        return uint128(Pool.unwrap(p) >> 96);
    }

    function batches(Pool p) internal pure returns (uint256) {
        return Pool.unwrap(p) >> 224;
    }

    /// @notice What is left for everything that ranks behind `owed` (R3.5).
    function free(Pool p) internal pure returns (uint256) {
        unchecked {
            uint256 has = p.equity();
            uint256 owes = p.owed();
            return has > owes ? has - owes : 0;
        }
    }

    function receive_(Pool p, uint256 amount) internal pure returns (Pool) {
        if (p.equity() + amount > MAX_UINT96) revert IArena.TooMuch();
        return Pool.wrap(Pool.unwrap(p) + amount);
    }

    function pay(Pool p, uint256 amount) internal pure returns (Pool) {
        return Pool.wrap(Pool.unwrap(p) - amount); // the caller has looked at `equity`
    }

    /// @notice Takes the opposite change of a payable (R3.2).
    function follow(Pool p, uint256 before, uint256 afterwards) internal pure returns (Pool) {
        return afterwards < before ? p.receive_(before - afterwards) : p.pay(afterwards - before);
    }

    function owe(Pool p, uint256 amount) internal pure returns (Pool) {
        return Pool.wrap(Pool.unwrap(p) + (amount << 96));
    }

    function forgive(Pool p, uint256 amount) internal pure returns (Pool) {
        return Pool.wrap(Pool.unwrap(p) - (amount << 96));
    }

    function nextBatch(Pool p) internal pure returns (Pool) {
        return Pool.wrap(Pool.unwrap(p) + (1 << 224)); // checked
    }
}

library OutcomeLib {
    uint256 internal constant NONE = 0;
    uint256 internal constant DISPUTED = 1;
    uint256 internal constant CONCLUDED = 2;

    function status(Outcome o) internal pure returns (uint256) {
        return uint8(Outcome.unwrap(o));
    }

    function locks(Outcome o) internal pure returns (uint256) {
        return uint8(Outcome.unwrap(o) >> 8);
    }

    function lives(Outcome o) internal pure returns (uint256) {
        return uint8(Outcome.unwrap(o) >> 16);
    }

    function isLocked(Outcome o, uint256 seat) internal pure returns (bool) {
        return (Outcome.unwrap(o) >> (8 + seat)) & 1 != 0;
    }

    function isLive(Outcome o, uint256 seat) internal pure returns (bool) {
        return (Outcome.unwrap(o) >> (16 + seat)) & 1 != 0;
    }

    function payouts(Outcome o) internal pure returns (uint256) {
        return Outcome.unwrap(o) >> 24;
    }

    function flipLock(Outcome o, uint256 seat) internal pure returns (Outcome) {
        return Outcome.wrap(Outcome.unwrap(o) ^ (1 << (8 + seat)));
    }

    function flipLive(Outcome o, uint256 seat) internal pure returns (Outcome) {
        return Outcome.wrap(Outcome.unwrap(o) ^ (1 << (16 + seat)));
    }

    /// @notice Keeps the locks; no seat is live before there is an outcome.
    function disputed(Outcome o, uint256 docket) internal pure returns (Outcome) {
        return Outcome.wrap(DISPUTED | (o.locks() << 8) | (docket << 24));
    }

    function concluded(uint256 lives_, uint256 truncated) internal pure returns (Outcome) {
        return Outcome.wrap(CONCLUDED | (lives_ << 16) | (truncated << 24));
    }
}

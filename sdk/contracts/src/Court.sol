// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IDisputable, Phase} from "./ICourt.sol";
import {Fouls} from "./Fouls.sol";
import {Chain} from "./Headers.sol";
import {Case, Dockets} from "./Dockets.sol";
import {Table} from "./Terms.sol";
import {Typed} from "./Typed.sol";

/// @title The court of one arena: disputes (docs/PROTOCOL.md, section 7)
/// @notice Holds bonds, and no player's money; tells the arena what each dispute decides.
contract Court is Fouls {
    constructor(Bench memory bench)
        Typed(IDisputable(bench.arena).operator(), _saltOf(bench.arena), bench.arena)
        Dockets(bench.arena, bench.minimum)
        Fouls(bench.patience, bench.bond, bench.quorum, bench.arbiters)
    {}

    function _saltOf(address arena_) private view returns (bytes32 salt) {
        (,,,,, salt,) = IDisputable(arena_).eip712Domain();
    }

    // -------------------------------------------------------------------------------------------------------- opening

    /// @notice Opens a dispute of an unconcluded match, until its expiry (R7.1, R5.11).
    /// @param guarantee The operator's signature on the terms, 64 bytes.
    /// @param shown Headers from an agreed one upwards, with the signatures of all seats.
    function challenge(Match calldata terms, bytes calldata guarantee, Evidence calldata shown) external outsideVerdicts {
        Table memory t = _open(terms);
        if (block.timestamp > terms.expiry) revert MatchExpired();
        _expectLength(guarantee, SIGNATURE);
        if (_recover(t.id, guarantee, 0) != OPERATOR) revert BadSignature(t.seats);
        Chain memory chain = _read(t, terms, shown, 0);
        if (block.timestamp > terms.openBy && chain.acks.least(t.seats) == 0) revert ShownLate(terms.openBy);
        Case memory c;
        _show(t, terms, c, shown, chain);
    }

    /// @notice Doubts, after `openBy`, that a match was ever opened: stakes back, unless a turn >= 1 that all seats signed or built
    /// on is shown (R7.12).
    /// @param owners The owner of each seat's account.
    /// @param signatures On the match: the seats in order, then the operator, 64 bytes each.
    function void(Match calldata terms, address[] calldata owners, bytes calldata signatures) external outsideVerdicts {
        Table memory t = _open(terms);
        if (block.timestamp <= terms.openBy) revert DoubtedEarly(terms.openBy);
        if (block.timestamp > terms.expiry) revert MatchExpired();
        _checkSigners(t, owners, signatures, t.id);
        Case memory c;
        c.phase = Phase.DOUBTED;
        _restart(c, terms, t.seats);
        emit Doubted(t.id, _keep(t.id, c));
    }

    // ------------------------------------------------------------------------------------------------------ answering

    /// @notice Shows something newer, within the window; anyone may (R7.4).
    /// @param shown Either headers on top of the dispute's own, which is then the `base`, with their authors' signatures; or headers
    /// from an agreed one upwards, with the signatures of all seats.
    /// @param fork Empty, but where the base is a fork not above the top: the dispute's headers from the base's turn to the top.
    function respond(Match calldata terms, Docket calldata docket, Evidence calldata shown, State[] calldata fork)
        external
        outsideVerdicts
    {
        Table memory t = _open(terms);
        Case memory c = _caseOf(docket);
        _expectRunning(c);
        bytes32 top = c.contested == 0 ? c.top : bytes32(0);
        Chain memory chain = _read(t, terms, shown, top);
        if (chain.hashes[0] == top) {
            _extend(t, c, chain);
        } else if (chain.from > c.turn) {
            c.ruled = 0;
        } else if (_passes(c, chain)) {
            if (c.contested == 0) _extend(t, c, chain);
            else _overtake(t, c, chain);
        } else {
            _expectFork(t, c, chain, fork);
            c.ruled = 0;
        }
        if (c.contested != 0) _returnBond(t.id); // what was contested is agreed, or on a branch that does not count
        _show(t, terms, c, shown, chain);
    }

    /// @notice The mover has moved on.
    function _extend(Table memory t, Case memory c, Chain memory chain) private view {
        unchecked {
            if (c.phase != Phase.OPEN || chain.turn == c.turn) revert NotNewer();
            _charge(c, t.seats);
            chain.acks = chain.acks.max(c.acks, t.seats);
            for (uint256 turn = c.turn; turn != chain.turn;) c.ruled &= ~(1 << (++turn & 63));
            if (chain.turn - chain.acks.least(t.seats) > MAX_HEADERS) {
                // What the others let stand for a window counts as agreed (R7.6).
                uint256 from = c.since + MINIMUM;
                if (block.timestamp < from) revert TooManyHeaders(MAX_HEADERS, from);
                chain.acks = chain.acks.atLeast(c.turn, t.seats);
            }
        }
    }

    /// @notice What is before the arbiters is agreed.
    function _overtake(Table memory t, Case memory c, Chain memory chain) private pure {
        if (c.phase != Phase.OPEN) revert NotNewer();
        if (chain.from < c.contested) revert BeforeArbiters();
        chain.acks = chain.acks.max(c.acks, t.seats);
    }

    /// @notice Does the chain, from a base not above the case's top, go through that top?
    function _passes(Case memory c, Chain memory chain) private pure returns (bool) {
        uint256 place = c.turn - chain.from;
        return place < chain.hashes.length && chain.hashes[place] == c.top;
    }

    /// @notice The base is agreed, and at its turn the dispute's chain has another header: that one is a fork (R5.9).
    function _expectFork(Table memory t, Case memory c, Chain memory chain, State[] calldata fork) private pure {
        if (c.phase != Phase.OPEN || chain.from <= c.acks.least(t.seats)) revert NotNewer();
        if (fork.length != c.turn - chain.from + 1) revert NotNewer();
        _expectTrail(t.id, fork, c.top);
        if (_stateHash(t.id, fork[0]) == chain.hashes[0]) revert NotNewer();
    }

    /// @notice Puts what was shown on the docket and starts the mover's window.
    function _show(Table memory t, Match calldata terms, Case memory c, Evidence calldata shown, Chain memory chain) private {
        (c.top, c.turn, c.mover) = (chain.hashes[chain.hashes.length - 1], chain.turn, chain.mover);
        (c.phase, c.contested, c.acks) = (Phase.OPEN, 0, chain.acks);
        _restart(c, terms, t.seats);
        emit Shown(t.id, _keep(t.id, c));
        if (_isIndirect()) emit Recorded(t.id, shown.headers, shown.moves);
    }

    /// @notice Are the headers anywhere but in the input of the transaction, where everybody reads them (R7.2)?
    function _isIndirect() private view returns (bool) {
        return msg.sender != tx.origin || msg.sender.code.length != 0; // an account with delegated code may call itself
    }

    // --------------------------------------------------------------------------------------------------------- ending

    /// @notice After the window: applies the top's payouts, or gives the stakes back where nothing was shown or ruled (R7.11).
    /// @param top The header; not looked at where the stakes go back.
    function finalize(Match calldata terms, Docket calldata docket, State calldata top)
        external
        outsideVerdicts
    {
        Table memory t = _open(terms);
        Case memory c = _caseOf(docket);
        _expectKept(t.id, c);
        if (block.timestamp <= c.until) revert WindowRuns(c.until);
        bool stakesBack = c.phase == Phase.DOUBTED || c.contested != 0;
        if (stakesBack) {
            _returnBond(t.id);
            IDisputable(ARENA).outcome(terms, terms.stakes);
        } else {
            if (_stateHash(t.id, top) != c.top) revert WrongTrail();
            IDisputable(ARENA).outcome(terms, top.payouts);
        }
        emit Finalized(t.id, stakesBack);
    }

    // ---------------------------------------------------------------------------------------------------------- views

    function arena() external view returns (address) {
        return ARENA;
    }

    /// @notice Seconds of the shortest window and of the arbiters'; the bond; how many arbiters rule.
    function limits() external view returns (uint32 minimum, uint32 patience, uint96 bond, uint8 quorum) {
        return (uint32(MINIMUM), uint32(PATIENCE), uint96(BOND), uint8(QUORUM));
    }
}

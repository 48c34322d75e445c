// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IDisputable, Phase} from "./ICourt.sol";
import {IReferee} from "./IReferee.sol";
import {Referee} from "./Referee.sol";
import {Case, Dockets} from "./Dockets.sol";
import {OutcomeLib} from "./Records.sol";
import {Table} from "./Terms.sol";

/// @title Fouls: illegal headers and two headers for one turn (R5.9, R7.7 to R7.10)
abstract contract Fouls is Dockets, ReentrancyGuardTransient {
    bytes32 private constant RULING_TYPE = keccak256("Ruling(bytes32 matchId,bytes32 top,bool legal)");

    /// @dev A referee may be promised this much: with the rest of the call it fits a transaction.
    uint256 internal constant MAX_BUDGET = 10_000_000;

    uint256 internal immutable PATIENCE;
    uint256 internal immutable BOND;
    uint256 internal immutable QUORUM;
    IReferee private immutable STANDARD;

    mapping(address arbiter => bool) private _isArbiter;
    mapping(bytes32 matchId => address) private _contesters;
    mapping(address contester => uint256) private _returned;
    mapping(address account => uint256) private _shares;

    constructor(uint32 patience_, uint96 bond_, uint8 quorum_, address[] memory arbiters) {
        if (patience_ < MINIMUM) revert ShortPatience(MINIMUM); // R7.5
        if (quorum_ == 0 || quorum_ > arbiters.length) revert BadArbiters();
        (PATIENCE, BOND, QUORUM) = (patience_, bond_, quorum_);
        address last;
        for (uint256 i; i != arbiters.length; ++i) {
            if (arbiters[i] <= last) revert BadArbiters();
            last = arbiters[i];
            _isArbiter[last] = true;
        }
        STANDARD = new Referee();
    }

    /// @dev A verdict runs code that a stranger may have written: it finds every call that changes a docket closed.
    modifier outsideVerdicts() {
        if (_reentrancyGuardEntered()) revert InVerdict();
        _;
    }

    // -------------------------------------------------------------------------------------------------- illegal headers

    /// @notice Names a header above the agreed one as illegal; anyone may (R7.8, R7.9). With a referee it is tried at once, without a
    /// bond; else it goes before the arbiters, with one.
    /// @param trail Headers of the dispute's chain: the parent, the one in question, and all others up to the top.
    /// @param code The rules that the terms name by their hash; not looked at without a referee.
    /// @param position The encoded position before the move; not looked at without a referee.
    /// @param action The encoded move; not looked at without a referee.
    function contest(
        Match calldata terms,
        Docket calldata docket,
        State[] calldata trail,
        bytes calldata code,
        bytes calldata position,
        bytes calldata action
    ) external payable outsideVerdicts {
        (Table memory t, Case memory c) = _accuse(terms, docket, trail);
        if (_hasReferee(terms)) {
            if (msg.value != 0) revert WrongBond(0);
            if (keccak256(position) != trail[0].board) revert WrongBoard();
            if (keccak256(action) != trail[1].move) revert WrongMove(trail[1].turn);
            if (_isLegal(terms, trail[0].mover, trail[1], code, position, action)) revert MoveIsLegal();
            _close(t, terms, c, trail);
        } else {
            if (msg.value != BOND) revert WrongBond(BOND);
            if ((c.ruled >> (trail[1].turn & 63)) & 1 != 0) revert AlreadyRuled();
            if (c.phase == Phase.OPEN && c.mover != OVER) _charge(c, t.seats); // its clock stops here
            c.contested = trail[1].turn;
            c.since = block.timestamp;
            c.until = block.timestamp + PATIENCE;
            _contesters[t.id] = msg.sender;
            emit Contested(t.id, msg.sender, _keep(t.id, c));
        }
    }

    /// @notice Rules on the header before the arbiters (R7.10).
    /// @param trail As in `contest`.
    /// @param signatures Of the quorum on `Ruling`, 64 bytes each, in ascending order of the signers' addresses.
    function rule(
        Match calldata terms,
        Docket calldata docket,
        State[] calldata trail,
        bool legal,
        bytes calldata signatures
    ) external outsideVerdicts {
        Table memory t = _open(terms);
        Case memory c = _caseOf(docket);
        _expectRunning(c);
        if (c.contested == 0) revert NotBeforeArbiters();
        _expectTrail(t.id, trail, c.top);
        if (trail.length < 2 || trail[1].turn != c.contested) revert WrongTrail();
        _checkQuorum(_rulingDigest(t.id, _stateHash(t.id, trail[1]), legal), signatures);
        if (legal) {
            c.ruled |= 1 << (c.contested & 63);
            c.contested = 0;
            _restart(c, terms, t.seats);
            _loseBond(t);
            emit Upheld(t.id, _keep(t.id, c));
        } else {
            _returnBond(t.id);
            _close(t, terms, c, trail);
        }
    }

    /// @notice Publishes one arbiter's signature on a ruling, so that whoever sees the quorum of them can bring it to `rule`: arbiters agree
    /// without talking to each other (R7.10). Anyone may call; nothing is stored or decided.
    /// @param top The struct hash of the header ruled on.
    /// @param signature An arbiter's on `Ruling`, 64 bytes.
    function testify(bytes32 id, bytes32 top, bool legal, bytes calldata signature) external {
        _expectLength(signature, SIGNATURE);
        address arbiter = _recover(_rulingDigest(id, top, legal), signature, 0);
        if (!_isArbiter[arbiter]) revert BadSignature(0); // nobody else fills the logs that everybody reads
        emit Testified(id, arbiter, top, legal, signature);
    }

    /// @notice Shows that the author of a header above the agreed one has signed another header for that turn; anyone may (R5.9).
    /// @param trail As in `contest`.
    /// @param other The other header.
    /// @param owner The owner of the author's account.
    /// @param signature The author's on `other`, 64 bytes.
    function equivocate(
        Match calldata terms,
        Docket calldata docket,
        State[] calldata trail,
        State calldata other,
        address owner,
        bytes calldata signature
    ) external outsideVerdicts {
        (Table memory t, Case memory c) = _accuse(terms, docket, trail);
        bytes32 hash = _stateHash(t.id, other);
        if (other.turn != trail[1].turn) revert Unlinked(other.turn);
        if (hash == _stateHash(t.id, trail[1])) revert SameHeader();
        _expectLength(signature, SIGNATURE);
        address key = _recover(_digest(hash), signature, 0);
        if (key == address(0) || accountId(owner, key) != t.account(trail[0].mover)) revert BadSignature(trail[0].mover);
        _close(t, terms, c, trail);
    }

    /// @notice What accusing a header needs: a running dispute, nothing before the arbiters, and a header above the agreed one.
    function _accuse(Match calldata terms, Docket calldata docket, State[] calldata trail)
        private
        view
        returns (Table memory t, Case memory c)
    {
        t = _open(terms);
        c = _caseOf(docket);
        _expectRunning(c);
        if (c.contested != 0) revert BeforeArbiters();
        if (trail.length < 2) revert WrongTrail();
        _expectTrail(t.id, trail, c.top);
        uint256 turn = trail[1].turn;
        if (turn <= c.acks.least(t.seats)) revert Agreed(turn);
    }

    /// @notice The match stops at the parent, whose mover has played foul; one window for something agreed and newer (R7.7).
    function _close(Table memory t, Match calldata terms, Case memory c, State[] calldata trail) private {
        State calldata parent = trail[0];
        (c.top, c.turn, c.mover) = (trail[1].prev, parent.turn, parent.mover);
        (c.phase, c.contested) = (Phase.CLOSED, 0);
        _restart(c, terms, t.seats);
        emit Closed(t.id, _keep(t.id, c));
    }

    // ------------------------------------------------------------------------------------------------------- referees

    /// @notice A referee without code, or with a budget that no transaction can carry, is none.
    function _hasReferee(Match calldata terms) private view returns (bool) {
        return terms.referee.code.length != 0 && terms.budget <= MAX_BUDGET;
    }

    /// @notice Does the referee answer with exactly the header's words? Where it reverts, so does this: that is no verdict.
    function _isLegal(
        Match calldata terms,
        uint8 seat,
        State calldata header,
        bytes calldata code,
        bytes calldata position,
        bytes calldata action
    ) private nonReentrant returns (bool legal) {
        bytes memory question = abi.encodeCall(IReferee.judge, (terms.rules, terms.budget, code, position, seat, action));
        bytes memory expected = abi.encode(true, header.board, header.mover, header.payouts);
        bytes memory answer = new bytes(expected.length);
        address referee = terms.referee;
        // A call gets 63/64 of what is left behind its own cost (R7.8). The standard referee asks for more than this by itself.
        uint256 needed = uint256(terms.budget) + terms.budget / 63 + 5_000;
        if (gasleft() < needed) revert TooLittleGas(needed);
        assembly ("memory-safe") {
            let size := mload(expected)
            if iszero(call(gas(), referee, 0, add(question, 0x20), mload(question), add(answer, 0x20), size)) {
                // At most a word beside the selector: what a stranger's contract reverts with may be of any size.
                size := returndatasize()
                if gt(size, 0x24) { size := 0x24 }
                returndatacopy(question, 0, size)
                revert(question, size)
            }
            legal := eq(returndatasize(), size)
        }
        return legal && keccak256(answer) == keccak256(expected);
    }

    /// @notice The contract that judges by the rules that a contest brings along.
    function REFEREE() external view returns (address) {
        return address(STANDARD);
    }

    // ------------------------------------------------------------------------------------------------------- arbiters

    function _rulingDigest(bytes32 id, bytes32 top, bool legal) private view returns (bytes32) {
        return _digest(keccak256(abi.encode(RULING_TYPE, id, top, legal)));
    }

    /// @dev Ascending, so that nobody counts twice.
    function _checkQuorum(bytes32 digest, bytes calldata signatures) private view {
        _expectLength(signatures, QUORUM * SIGNATURE);
        address last;
        for (uint256 i; i != QUORUM; ++i) {
            address signer = _recover(digest, signatures, i);
            if (signer <= last || !_isArbiter[signer]) revert BadSignature(i);
            last = signer;
        }
    }

    function isArbiter(address who) external view returns (bool) {
        return _isArbiter[who];
    }

    // ---------------------------------------------------------------------------------------------------------- bonds

    /// @notice The contest was right, or nobody has said that it was not.
    function _returnBond(bytes32 id) internal {
        address contester = _contesters[id];
        if (contester == address(0)) return;
        delete _contesters[id];
        _returned[contester] += BOND;
        emit BondReturned(id, contester);
    }

    /// @notice The contest was false: equal parts to all seats, so that whoever sent a puppet gets back its own part at most.
    function _loseBond(Table memory t) private {
        address contester = _contesters[t.id];
        delete _contesters[t.id];
        uint256 share = BOND / t.seats;
        _shares[t.account(0)] += BOND - share * (t.seats - 1);
        for (uint256 seat = 1; seat != t.seats; ++seat) _shares[t.account(seat)] += share;
        emit BondLost(t.id, contester);
    }

    /// @notice Returns the bond of a contest that a final signed by everybody has overtaken (R6.1).
    function reclaim(bytes32 id) external {
        (uint8 status,,,) = IDisputable(ARENA).outcomeOf(id);
        if (status != OutcomeLib.CONCLUDED || _contesters[id] == address(0)) revert NoBond();
        _returnBond(id);
    }

    /// @notice Pays a contester the bonds that were returned to it.
    function claimBond(address contester) external nonReentrant {
        uint256 amount = _returned[contester];
        _returned[contester] = 0;
        _payBond(contester, amount);
    }

    /// @notice Pays an account's owner its part of bonds that were lost.
    function claimShare(address owner, address key) external nonReentrant {
        address account = accountId(owner, key);
        uint256 amount = _shares[account];
        _shares[account] = 0;
        _payBond(owner, amount);
    }

    function _payBond(address to, uint256 amount) private {
        if (amount == 0) revert NoBond();
        emit BondPaid(to, amount);
        (bool sent,) = to.call{value: amount}("");
        if (!sent) revert PaymentFailed(to);
    }

    /// @notice Bonds that a contester could claim.
    function bondOf(address contester) external view returns (uint256) {
        return _returned[contester];
    }

    /// @notice Parts of lost bonds that an account's owner could claim.
    function shareOf(address account) external view returns (uint256) {
        return _shares[account];
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../../src/IArena.sol";
import {ICourt} from "../../src/ICourt.sol";
import {IReferee} from "../../src/IReferee.sol";
import {Referee} from "../../src/Referee.sol";
import {Fixture, Player} from "../Fixture.sol";
import {Typing} from "../Typing.sol";
import {Vm, vm} from "../Vm.sol";
import {ICalls} from "./Calls.sol";

/// @notice A match as it was played: every header, move and position. Copies fork.
struct Story {
    Player[] players;
    IArena.Match terms;
    IArena.State[] states;
    bytes[] moves; // moves[i] led to states[i + 1]
    bytes[] positions; // of tic-tac-toe
}

/// @notice An arena with a real court, three arbiters of whom two rule, and matches to dispute.
abstract contract Disputed is Fixture {
    uint32 internal constant MINIMUM = 1 hours;
    uint32 internal constant PATIENCE = 6 hours;
    uint96 internal constant BOND = 1 ether;
    uint256 internal constant ARBITERS = 3;
    uint256 internal constant QUORUM = 2;
    uint96 internal constant STAKE = 1 ether;

    ICalls internal bench;
    ICourt.Docket internal docket; // of the newest event
    Referee internal referee; // the court's own
    IReferee internal judgeOfNoughts; // a contract for one game
    bytes internal code; // the rules of tic-tac-toe, as a contest brings them
    address internal stranger = address(0x57a6e);

    function setUp() public virtual override {
        vm.warp(START);
        court = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        arena = newArena(address(0));
        bench = ICalls(create("Court", abi.encode(config(address(arena)))));
        vm.assertEq(address(bench), court);
        referee = Referee(bench.REFEREE());
        judgeOfNoughts = IReferee(create("TicTacToe", ""));
        code = filled(vm.parseJsonBytes(vm.readFile("artifacts/TicTacToeCode.json"), ".bytecode"));
    }

    function config(address of_) internal pure returns (ICourt.Bench memory b) {
        address[] memory arbiters = new address[](ARBITERS);
        for (uint256 i; i < ARBITERS; ++i) arbiters[i] = vm.addr(arbiter(i));
        return ICourt.Bench(of_, MINIMUM, PATIENCE, BOND, uint8(QUORUM), arbiters);
    }

    /// Secrets, in ascending order of the addresses.
    function arbiter(uint256 i) internal pure returns (uint256) {
        uint256[3] memory secrets = [uint256(0xA1), 0xA2, 0xA3];
        for (uint256 k; k < 3; ++k) {
            for (uint256 l = k + 1; l < 3; ++l) {
                if (vm.addr(secrets[l]) < vm.addr(secrets[k])) (secrets[k], secrets[l]) = (secrets[l], secrets[k]);
            }
        }
        return secrets[i];
    }

    // -------------------------------------------------------------------------------------------------------- stories

    /// A match of these players at its start: seat 0 is to move.
    function story(Player[] memory players) internal returns (Story memory s) {
        uint96[] memory stakes = new uint96[](players.length);
        for (uint256 i; i < players.length; ++i) stakes[i] = STAKE;
        s.players = players;
        s.terms = terms(players, new uint32[](players.length), stakes);
        s.states = new IArena.State[](1);
        s.states[0] = IArena.State(0, 0, 0, keccak256("board 0"), 0, forfeit(players.length, 0));
    }

    /// The mover gets nothing, the others share the pot.
    function forfeit(uint256 seats, uint8 mover) internal pure returns (uint96[] memory payouts) {
        payouts = new uint96[](seats);
        for (uint256 i; i < seats; ++i) {
            if (i != mover) payouts[i] = uint96(STAKE * seats / (seats - 1));
        }
    }

    /// The same story up to this turn; what follows is another branch.
    function upTo(Story memory s, uint256 turn) internal pure returns (Story memory fork) {
        fork = Story(s.players, s.terms, new IArena.State[](turn + 1), new bytes[](turn), s.positions);
        for (uint256 i; i <= turn; ++i) fork.states[i] = s.states[i];
        for (uint256 i; i < turn; ++i) fork.moves[i] = s.moves[i];
    }

    function last(Story memory s) internal pure returns (IArena.State memory) {
        return s.states[s.states.length - 1];
    }

    function then(Story memory s, bytes memory move, bytes32 board, uint8 mover, uint96[] memory payouts)
        internal
        view
        returns (Story memory next)
    {
        uint256 n = s.states.length;
        next = Story(s.players, s.terms, new IArena.State[](n + 1), new bytes[](n), s.positions);
        for (uint256 i; i < n; ++i) next.states[i] = s.states[i];
        for (uint256 i; i + 1 < n; ++i) next.moves[i] = s.moves[i];
        next.moves[n - 1] = move;
        bytes32 prev = Typing.state(idOf(s.terms), last(s));
        next.states[n] = IArena.State(uint32(n), prev, keccak256(move), board, mover, payouts);
    }

    /// One more turn; the seats move in order. `branch` tells forks apart.
    function then(Story memory s, string memory branch) internal view returns (Story memory) {
        return then(s, branch, uint8((last(s).mover + 1) % s.players.length));
    }

    function then(Story memory s, string memory branch, uint8 mover) internal view returns (Story memory) {
        bytes memory move = abi.encode(branch, s.states.length);
        return then(s, move, keccak256(bytes.concat("board", move)), mover, forfeit(s.players.length, mover));
    }

    function then(Story memory s, uint256 turns) internal view returns (Story memory) {
        for (uint256 i; i < turns; ++i) s = then(s, "");
        return s;
    }

    function ended(Story memory s, uint96[] memory payouts) internal view returns (Story memory) {
        return then(s, "end", keccak256("end"), 255, payouts);
    }

    function author(Story memory s, uint256 turn) internal pure returns (uint8) {
        return s.states[turn - 1].mover;
    }

    function slice(Story memory s, uint256 from, uint256 to) internal pure returns (IArena.State[] memory part) {
        part = new IArena.State[](to + 1 - from);
        for (uint256 i = from; i <= to; ++i) part[i - from] = s.states[i];
    }

    // ----------------------------------------------------------------------------------------------------- tic-tac-toe

    uint64 internal constant BUDGET = 300_000; // of TicTacToeCode

    /// Creation code with zeros up to where TicTacToeCode looks for the question.
    function filled(bytes memory creation) internal pure returns (bytes memory whole) {
        whole = new bytes(4_096);
        for (uint256 i; i < creation.length; ++i) whole[i] = creation[i];
    }

    /// A match of tic-tac-toe at its start, whose rules the contest brings along, with a fee of five per cent.
    function noughts(Player[] memory players) internal returns (Story memory s) {
        s = story(players);
        (s.terms.referee, s.terms.rules, s.terms.budget) = (address(referee), keccak256(code), BUDGET);
        s.positions = new bytes[](1);
        s.positions[0] = bytes.concat(
            hex"02", leb(STAKE), leb(STAKE), leb(500), hex"000000", hex"000000000000000000"
        );
        s.states[0].board = keccak256(s.positions[0]);
        s.states[0].payouts = amounts(0, 1.9 ether);
    }

    function leb(uint256 n) internal pure returns (bytes memory all) {
        do {
            all = bytes.concat(all, bytes1(uint8(n & 0x7f) | (n > 0x7f ? 0x80 : 0)));
            n >>= 7;
        } while (n != 0);
    }

    function action(uint8 cell) internal pure returns (bytes memory) {
        return bytes.concat(hex"0001", bytes1(cell), hex"00");
    }

    /// The position after a move, written down without the referee.
    function marked(bytes memory position, uint8 cell, uint8 seat) internal pure returns (bytes memory after_) {
        uint256 place = 1;
        for (uint256 numbers; numbers < 3; ++place) if (uint8(position[place]) < 0x80) ++numbers;
        place += 3;
        for (uint256 i; i < cell; ++i) place += position[place] == 0 ? 1 : 2;
        after_ = new bytes(position.length + 1);
        for (uint256 i; i < after_.length; ++i) after_[i] = position[i > place ? i - 1 : i];
        (after_[place], after_[place + 1]) = (0x01, bytes1(seat));
    }

    /// What both ways of judging say, which has to be the same.
    function judged(bytes memory position, uint8 seat, bytes memory move)
        internal
        returns (bool legal, bytes32 board, uint8 mover, uint96[] memory payouts)
    {
        (legal, board, mover, payouts) = judgeOfNoughts.judge(0, 0, "", position, seat, move);
        (bool second, bytes32 b, uint8 m, uint96[] memory p) =
            referee.judge(keccak256(code), BUDGET, code, position, seat, move);
        vm.assertEq(legal, second);
        if (legal) vm.assertEq(keccak256(abi.encode(board, mover, payouts)), keccak256(abi.encode(b, m, p)));
    }

    function play(Story memory s, uint8 cell) internal returns (Story memory next) {
        bytes memory position = s.positions[s.states.length - 1];
        uint8 seat = last(s).mover;
        (bool legal, bytes32 board, uint8 mover, uint96[] memory payouts) = judged(position, seat, action(cell));
        vm.assertTrue(legal, "legal");
        bytes memory after_ = marked(position, cell, seat);
        vm.assertEq(board, keccak256(after_));
        next = then(s, action(cell), board, mover, payouts);
        next.positions = new bytes[](s.positions.length + 1);
        for (uint256 i; i < s.positions.length; ++i) next.positions[i] = s.positions[i];
        next.positions[s.positions.length] = after_;
    }

    // -------------------------------------------------------------------------------------------------------- evidence

    /// Headers of turns `from` to `to` with the signatures of all seats: each on the newest that it authored, else on the base.
    function proof(Story memory s, uint256 from, uint256 to) internal view returns (ICourt.Evidence memory) {
        return signedBy(s, from, to, true);
    }

    function proof(Story memory s, uint256 from) internal view returns (ICourt.Evidence memory) {
        return proof(s, from, s.states.length - 1);
    }

    /// The same with the authors' signatures only.
    function more(Story memory s, uint256 from) internal view returns (ICourt.Evidence memory) {
        return signedBy(s, from, s.states.length - 1, false);
    }

    function signedBy(Story memory s, uint256 from, uint256 to, bool all) internal view returns (ICourt.Evidence memory) {
        uint256[] memory at_ = new uint256[](s.players.length); // turn + 1
        for (uint256 i; i < s.players.length; ++i) {
            if (all) at_[i] = from + 1;
            for (uint256 turn = from + 1; turn <= to; ++turn) if (author(s, turn) == i) at_[i] = turn + 1;
        }
        return signedAt(s, from, to, at_);
    }

    /// Each seat's signature on the header of the turn given, plus one; zero for none.
    function signedAt(Story memory s, uint256 from, uint256 to, uint256[] memory at_)
        internal
        view
        returns (ICourt.Evidence memory e)
    {
        e.base = s.states[from];
        e.headers = new IArena.State[](to - from);
        e.moves = new bytes[](to - from);
        for (uint256 i; i < to - from; ++i) (e.headers[i], e.moves[i]) = (s.states[from + 1 + i], s.moves[from + i]);
        uint256 count;
        for (uint256 i; i < at_.length; ++i) if (at_[i] != 0) ++count;
        e.owners = new address[](count);
        count = 0;
        for (uint256 i; i < at_.length; ++i) {
            if (at_[i] == 0) continue;
            e.places |= uint64((at_[i] - from) << (8 * i));
            e.owners[count++] = s.players[i].owner;
            e.signatures = bytes.concat(e.signatures, signState(s, s.players[i].secret, at_[i] - 1));
        }
    }

    function signState(Story memory s, uint256 secret, uint256 turn) internal view returns (bytes memory) {
        return sign(secret, typed(Typing.state(idOf(s.terms), s.states[turn])));
    }

    function ruling(Story memory s, IArena.State memory header, bool legal) internal view returns (bytes32) {
        bytes32 kind = keccak256("Ruling(bytes32 matchId,bytes32 top,bool legal)");
        bytes32 id = idOf(s.terms);
        return typed(keccak256(abi.encode(kind, id, Typing.state(id, header), legal)));
    }

    function ruled(Story memory s, uint256 turn, bool legal) internal view returns (bytes memory) {
        bytes32 digest = ruling(s, s.states[turn], legal);
        return bytes.concat(sign(arbiter(0), digest), sign(arbiter(1), digest));
    }

    // ----------------------------------------------------------------------------------------------------------- calls

    function guarantee(Story memory s) internal view returns (bytes memory) {
        return sign(OPERATOR_SECRET, idOf(s.terms));
    }

    function challenging(Story memory s, ICourt.Evidence memory e) internal view returns (bytes memory) {
        return abi.encodeCall(bench.challenge, (s.terms, guarantee(s), e));
    }

    function responding(Story memory s, ICourt.Evidence memory e) internal view returns (bytes memory) {
        return abi.encodeCall(bench.respond, (s.terms, docket, e, new IArena.State[](0)));
    }

    function contesting(Story memory s, uint256 turn) internal view returns (bytes memory) {
        bytes memory position = s.positions.length == 0 ? bytes("") : s.positions[turn - 1];
        bytes memory rules = s.terms.referee == address(referee) ? code : bytes("");
        return abi.encodeCall(
            bench.contest, (s.terms, docket, slice(s, turn - 1, top()), rules, position, s.moves[turn - 1])
        );
    }

    function doubling(Story memory s, Story memory other, uint256 turn) internal view returns (bytes memory) {
        Player memory p = s.players[author(s, turn)];
        return abi.encodeCall(
            bench.equivocate,
            (s.terms, docket, slice(s, turn - 1, top()), other.states[turn], p.owner, signState(other, p.secret, turn))
        );
    }

    function ruleing(Story memory s, uint256 turn, bool legal) internal view returns (bytes memory) {
        return abi.encodeCall(
            bench.rule, (s.terms, docket, slice(s, turn - 1, top()), legal, ruled(s, turn, legal))
        );
    }

    function testifying(Story memory s, IArena.State memory header, bool legal, uint256 secret)
        internal
        view
        returns (bytes memory)
    {
        bytes32 id = idOf(s.terms);
        return abi.encodeCall(
            bench.testify, (id, Typing.state(id, header), legal, sign(secret, ruling(s, header, legal)))
        );
    }

    function doubting(Story memory s) internal view returns (bytes memory) {
        return abi.encodeCall(bench.void, (s.terms, owners(s.players), signAll(s.players, idOf(s.terms))));
    }

    function ending(Story memory s, uint256 turn) internal view returns (bytes memory) {
        return abi.encodeCall(bench.finalize, (s.terms, docket, s.states[turn]));
    }

    /// Makes a call that has to work, and keeps the docket that it tells.
    function tell(bytes memory data) internal {
        tell(stranger, 0, data);
    }

    function tell(address sender, uint256 value, bytes memory data) internal {
        if (value != 0) vm.deal(sender, value);
        vm.recordLogs();
        vm.prank(sender, sender);
        (bool done, bytes memory why) = address(bench).call{value: value}(data);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(why, 0x20), mload(why))
            }
        }
        listen();
    }

    function listen() internal {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter != address(bench) || logs[i].data.length != 128) continue;
            docket = abi.decode(logs[i].data, (ICourt.Docket));
        }
    }

    /// Makes a call that has to fail with exactly this error, and leaves the match as it is.
    function denied(bytes memory expected, bytes memory data) internal {
        denied(expected, 0, data);
    }

    function denied(bytes memory expected, uint256 value, bytes memory data) internal {
        if (value != 0) vm.deal(stranger, value);
        vm.prank(stranger);
        (bool done, bytes memory why) = address(bench).call{value: value}(data);
        vm.assertFalse(done);
        vm.assertEq(keccak256(why), keccak256(expected));
    }

    function denied(bytes4 expected, bytes memory data) internal {
        denied(abi.encodeWithSelector(expected), data);
    }

    function denied(bytes4 expected, uint256 word, bytes memory data) internal {
        denied(abi.encodeWithSelector(expected, word), data);
    }

    function top() internal view returns (uint256) {
        return uint32(docket.brief);
    }

    function phase() internal view returns (uint256) {
        return uint8(docket.brief >> 40);
    }

    function until() internal view returns (uint256) {
        return uint40(docket.brief >> 88);
    }

    function contested() internal view returns (uint256) {
        return uint32(docket.brief >> 128);
    }

    function spent(uint256 seat) internal view returns (uint256) {
        return uint32(docket.spent >> (32 * seat));
    }

    function ack(uint256 seat) internal view returns (uint256) {
        return uint32(docket.acks >> (32 * seat));
    }

    function pass() internal {
        vm.warp(until() + 1);
    }

    /// Lets the window pass and applies the top, which is this turn of the story.
    function finish(Story memory s, uint256 turn) internal {
        pass();
        tell(ending(s, turn));
    }

    function status(Story memory s) internal view returns (uint8 word) {
        (word,,,) = arena.outcomeOf(idOf(s.terms));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../../src/IArena.sol";
import {ICourt, Phase} from "../../src/ICourt.sol";
import {Player} from "../Fixture.sol";
import {Disputed, Story} from "./Disputed.sol";
import {vm} from "../Vm.sol";

/// @notice What broke earlier drafts (section 11), where it needs disputes.
contract DisputeTracesTest is Disputed {
    Player private a;
    Player private b;
    Player private c;

    function setUp() public override {
        super.setUp();
        a = rich(1, 10 ether);
        b = rich(2, 10 ether);
        c = rich(3, 10 ether);
    }

    function two() private view returns (Player[] memory) {
        return pair(a, b);
    }

    function three() private view returns (Player[] memory all) {
        all = new Player[](3);
        (all[0], all[1], all[2]) = (a, b, c);
    }

    function openedAt(Story memory s, uint256 base) private {
        tell(challenging(s, proof(s, base)));
    }

    /// R7.8: seats 0 and 1 collude; seat 2 names the header under theirs.
    function test_trace04_an_illegal_move_buried_under_a_legal_one_is_contested() public {
        Story memory s = then(story(three()), 3);
        Story memory foul = then(s, "illegal", 1); // by seat 0, and it is seat 1's turn
        foul = then(then(foul, "on it", 0), "and on", 1);
        openedAt(foul, 3);
        tell(c.owner, BOND, contesting(foul, 4));
        tell(ruleing(foul, 4, false));
        vm.assertEq(phase(), Phase.CLOSED);
        vm.assertEq(top(), 3);
        finish(foul, 3); // as if seat 0 had not acted in turn 4
        vm.assertEq(equity(a), 9 ether);
        vm.assertEq(equity(c), 10.5 ether);
        vm.assertEq(bench.bondOf(c.owner), BOND);
    }

    /// R7.5.
    function test_trace09_a_clock_of_seconds_is_no_window_on_the_chain() public {
        Story memory s = then(story(two()), 2);
        s.terms.clock = 15;
        s = then(upTo(s, 0), 2);
        openedAt(s, 1);
        vm.assertEq(until(), START + MINIMUM);
        // Longer than the minimum is what both signed, out of the seat's chain time.
        Story memory slow = story(two());
        slow.terms.clock = 3 hours;
        slow = then(slow, 2);
        openedAt(slow, 1);
        vm.assertEq(until(), START + MINIMUM + slow.terms.chainTime);
    }

    /// R7.9, R7.10.
    function test_trace10_neither_a_false_contest_nor_a_silent_arbiter_pays_the_liar() public {
        Story memory s = then(story(two()), 3);
        openedAt(s, 2);
        tell(b.owner, BOND, contesting(s, 3));
        tell(ruleing(s, 3, true));
        vm.assertEq(bench.shareOf(a.id) + bench.shareOf(b.id), BOND);
        vm.assertEq(bench.bondOf(b.owner), 0);
        denied(abi.encodeWithSelector(ICourt.AlreadyRuled.selector), BOND, contesting(s, 3));
        bench.claimShare(a.owner, a.key);
        vm.assertEq(a.owner.balance, BOND / 2);
        finish(s, 3);
        vm.assertEq(equity(a), 11 ether);

        Story memory t = then(story(two()), 3);
        t.terms.indexes = numbers(1, 1);
        t = then(upTo(t, 0), 3);
        openedAt(t, 2);
        tell(b.owner, BOND, contesting(t, 3));
        vm.assertEq(until(), vm.getBlockTimestamp() + PATIENCE);
        finish(t, 3); // nobody rules: stakes back, and the bond
        vm.assertEq(equity(a), 11 ether);
        vm.assertEq(equity(b), 9 ether);
        bench.claimBond(b.owner);
        vm.assertEq(b.owner.balance, BOND);
        vm.assertEq(address(bench).balance, BOND / 2);
    }

    /// R5.9: seat 2 built on one of two headers, and may not sign the turn again.
    function test_trace13_two_headers_for_one_turn_do_not_trap_the_third_seat() public {
        Story memory s = then(story(three()), 2);
        Story memory shown = then(then(s, "to the court"), "and on");
        Story memory told = then(s, "to seat 1"); // both by seat 2, in turn 3
        Story memory honest = then(told, "by seat 0");
        openedAt(shown, 2);
        // Seat 0 has signed turn 4 on the other header.
        denied(ICourt.NotNewer.selector, responding(honest, proof(honest, 2)));
        tell(doubling(shown, told, 3));
        finish(shown, 2);
        vm.assertEq(equity(c), 9 ether);
        vm.assertEq(equity(a), 10.5 ether);
        vm.assertEq(equity(b), 10.5 ether);
    }

    /// R5.9, R7.7: one account signs a second header for a turn that everybody has long left behind.
    function test_trace16_a_second_header_for_an_agreed_turn_rewinds_nothing() public {
        Story memory s = then(story(three()), 9);
        Story memory fork = then(upTo(s, 3), "late"); // by seat 0, which plays with seat 1
        openedAt(s, 7);
        denied(ICourt.Agreed.selector, 4, doubling(s, fork, 4));
        // Shown against a stale state it closes the case; what is agreed and newer reopens it.
        Story memory t = story(three());
        t = then(t, 9);
        Story memory late = then(upTo(t, 3), "late");
        tell(challenging(t, proof(t, 2, 4)));
        tell(doubling(t, late, 4));
        vm.assertEq(phase(), Phase.CLOSED);
        denied(ICourt.NotNewer.selector, responding(t, proof(t, 3)));
        tell(responding(t, proof(t, 6)));
        vm.assertEq(phase(), Phase.OPEN);
        vm.assertEq(top(), 9);
    }

    /// R7.8: a tower, which is nobody's seat, contests; the referee gets its budget or the call fails.
    function test_trace18_anyone_contests_and_no_contest_is_starved() public {
        Story memory s = play(play(noughts(two()), 0), 4);
        s = then(s, action(4), keccak256("b"), 1, amounts(1.9 ether, 0)); // taken
        openedAt(s, 2);
        // A legal move in another dispute must not fail for want of gas.
        bytes memory data = contesting(s, 3);
        bytes32 before = keccak256(abi.encode(docket));
        uint256 failed;
        for (uint256 gas = 40_000; gas < 440_000; gas += 5_000) {
            uint256 here = vm.snapshotState();
            (bool done, bytes memory why) = address(bench).call{gas: gas}(data);
            if (!done) ++failed;
            if (!done && why.length >= 4) {
                vm.assertEq(bytes32(bytes4(why)), bytes32(ICourt.TooLittleGas.selector));
            }
            vm.revertToState(here);
        }
        vm.assertTrue(failed > 60);
        vm.assertEq(before, keccak256(abi.encode(docket)));
        tell(address(0x70e3), 0, data);
        vm.assertEq(phase(), Phase.CLOSED);
        finish(s, 2);
        vm.assertEq(equity(b), 10.9 ether);
    }

    /// The same with a legal move: whatever the gas, it is never found illegal.
    function test_trace18_a_legal_move_is_never_starved_into_an_illegal_one() public {
        Story memory s = play(play(play(noughts(two()), 0), 4), 8);
        openedAt(s, 2);
        bytes memory data = contesting(s, 3);
        for (uint256 gas = 40_000; gas < 640_000; gas += 1_000) {
            (bool done,) = address(bench).call{gas: gas}(data);
            vm.assertFalse(done);
        }
    }

    /// R5.12: whoever has the turn at the last one finds no header that goes on.
    function test_trace22_nobody_is_stalled_by_maxTurns() public {
        Story memory s = story(two());
        s.terms.maxTurns = 3;
        s = then(s, 3);
        denied(ICourt.BadHeader.selector, 3, challenging(s, proof(s, 2)));
        openedAt(upTo(s, 2), 1);
        denied(ICourt.BadHeader.selector, 3, responding(s, more(s, 2)));
        Story memory over = ended(upTo(s, 2), amounts(2 ether, 0));
        tell(responding(over, more(over, 2)));
        finish(over, 3);
        vm.assertEq(equity(a), 11 ether);
    }

    /// R7.5: answers within the minimum cost no chain time, however many are forced.
    function test_trace24_forced_answers_do_not_burn_the_clock() public {
        Story memory s = story(two());
        s.terms.clock = 2 hours;
        s.terms.chainTime = 90 minutes;
        s = then(s, 12);
        tell(challenging(s, proof(s, 0, 1)));
        for (uint256 turn = 1; turn < 9; ++turn) {
            vm.warp(vm.getBlockTimestamp() + MINIMUM);
            tell(responding(s, signedBy(s, turn, turn + 1, false)));
        }
        vm.assertEq(docket.spent, 0);
        // Beyond it both the hour above the minimum and the rest of the chain time run out.
        vm.warp(vm.getBlockTimestamp() + 2 hours);
        tell(responding(s, signedBy(s, 9, 10, false)));
        vm.assertEq(spent(1), 1 hours);
        tell(responding(s, signedBy(s, 10, 11, false)));
        vm.assertEq(until(), vm.getBlockTimestamp() + MINIMUM + 30 minutes);
        // A stale state is nobody's time.
        Story memory t = story(two());
        t.terms.clock = 2 hours;
        t = then(t, 9);
        tell(challenging(t, proof(t, 2, 3)));
        vm.warp(until());
        tell(responding(t, proof(t, 7)));
        vm.assertEq(docket.spent, 0);
    }

    /// R5.3, R7.12.
    function test_trace25_state_0_shown_late_is_nothing() public {
        Story memory s = then(story(two()), 1);
        vm.warp(s.terms.openBy + 1);
        denied(ICourt.ShownLate.selector, s.terms.openBy, challenging(s, proof(s, 0)));
        denied(ICourt.ShownLate.selector, s.terms.openBy, challenging(s, proof(s, 0, 0)));
        // The stake that an exit left locked comes free before the expiry.
        openExit(b);
        lock(s.players, s.terms, 1);
        tell(doubting(s));
        denied(ICourt.NotNewer.selector, responding(s, proof(s, 0)));
        pass();
        tell(ending(s, 0));
        vm.assertEq(books(b).locked, 0);
        vm.assertEq(equity(a), 10 ether);
        vm.assertEq(equity(b), 10 ether);
    }

    function test_trace25_state_0_shown_in_time_stands() public {
        Story memory s = then(story(two()), 1);
        denied(ICourt.DoubtedEarly.selector, s.terms.openBy, doubting(s));
        vm.warp(s.terms.openBy);
        denied(ICourt.DoubtedEarly.selector, s.terms.openBy, doubting(s));
        openedAt(s, 0);
        finish(s, 1);
        vm.assertEq(equity(a), 11 ether);
        // A match that went on is shown against any doubt.
        Story memory t = then(story(two()), 3);
        vm.warp(t.terms.openBy + 1);
        tell(doubting(t));
        tell(responding(t, proof(t, 2)));
        vm.assertEq(phase(), Phase.OPEN);
    }
}

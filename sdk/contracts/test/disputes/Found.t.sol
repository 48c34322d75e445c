// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../../src/IArena.sol";
import {ICourt, Phase} from "../../src/ICourt.sol";
import {IReferee} from "../../src/IReferee.sol";
import {Player} from "../Fixture.sol";
import {Disputed, Story} from "./Disputed.sol";
import {Vm, vm} from "../Vm.sol";

/// @notice What the last attack on the protocol found (section 11, from 28).
contract FoundTracesTest is Disputed {
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

    function split(uint96 x, uint96 y, uint96 z) private pure returns (uint96[] memory all) {
        all = new uint96[](3);
        (all[0], all[1], all[2]) = (x, y, z);
    }

    function openedAt(Story memory s, uint256 base) private {
        tell(challenging(s, proof(s, base)));
    }

    /// R7.14: the dispute outlives the expiry, the loser leaves then.
    function test_trace28_a_loser_does_not_exit_from_a_dispute_that_outlives_the_expiry() public {
        Story memory s = then(story(two()), 3);
        vm.warp(s.terms.expiry);
        openedAt(s, 2);
        vm.warp(s.terms.expiry + 1);
        openExit(b);
        lock(s.players, s.terms, 1);
        refused(IArena.StillLocked.selector, b.owner, abi.encodeCall(arena.release, (s.terms, 1)));
        vm.warp(s.terms.expiry + 1 + WINDOW);
        arena.finishExit(b.owner, b.key);
        vm.assertEq(b.owner.balance, 9 ether);
        tell(ending(s, 3));
        vm.assertEq(equity(a), 11 ether);
        vm.assertEq(poolOwed(), 0);
    }

    /// R7.2: a header that could never be applied would keep the stakes for ever.
    function test_trace29_a_header_that_cannot_be_applied_never_gets_on_the_docket() public {
        Story memory s = then(story(two()), 3);
        Story memory bad = then(s, "x", keccak256("b"), 255, amounts(2 ether, 1));
        openedAt(s, 2);
        denied(ICourt.BadHeader.selector, 4, responding(bad, more(bad, 3)));
        bad = then(s, "x", keccak256("b"), 7, amounts(2 ether, 0));
        denied(ICourt.BadHeader.selector, 4, responding(bad, more(bad, 3)));
    }

    /// R7.7: a stale state with an illegal move on it, contested by the mover's own friend in the last second.
    function test_trace30_a_contest_in_the_last_second_leaves_a_window_for_what_is_agreed() public {
        Story memory s = then(story(three()), 9);
        Story memory foul = then(upTo(s, 3), "illegal"); // seat 0's own
        openedAt(foul, 2);
        vm.warp(until());
        tell(b.owner, BOND, contesting(foul, 4));
        vm.warp(until());
        tell(ruleing(foul, 4, false));
        vm.assertEq(until(), vm.getBlockTimestamp() + MINIMUM);
        vm.warp(until());
        tell(responding(s, proof(s, 6)));
        vm.assertEq(top(), 9);
        finish(s, 9);
    }

    /// R7.7: two illegal headers of two colluders. Stopping at the second one's parent would stop at the first.
    function test_trace31_the_earlier_of_two_illegal_headers_can_still_be_contested() public {
        Story memory s = then(story(three()), 3);
        // Seat 0's header says that all is seat 0's, should seat 1 not act; seat 1's says anything.
        Story memory foul = then(s, "illegal", keccak256("poison"), 1, split(3 ether, 0, 0));
        foul = then(foul, "illegal too", 2);
        openedAt(foul, 3);
        tell(a.owner, BOND, contesting(foul, 5));
        tell(ruleing(foul, 5, false));
        vm.assertEq(top(), 4);
        tell(c.owner, BOND, contesting(foul, 4));
        tell(ruleing(foul, 4, false));
        finish(foul, 3);
        vm.assertEq(equity(a), 9 ether);
        vm.assertEq(equity(c), 10.5 ether);
    }

    /// R7.4: one author who moves often writes a branch as long as it likes.
    function test_trace32_what_is_agreed_beats_a_longer_branch() public {
        Story memory s = then(story(two()), 7);
        Story memory branch = then(upTo(s, 4), "mine", 0);
        for (uint256 i; i < 5; ++i) branch = then(branch, "mine again", 0);
        openedAt(branch, 3);
        vm.assertEq(top(), 10);
        IArena.State[] memory fork = slice(branch, 5, 10);
        ICourt.Evidence memory e = proof(s, 5);
        denied(ICourt.NotNewer.selector, responding(s, e));
        denied(ICourt.NotNewer.selector, abi.encodeCall(bench.respond, (s.terms, docket, e, slice(branch, 6, 10))));
        IArena.State[] memory forged = slice(branch, 5, 10);
        forged[0] = s.states[5];
        denied(ICourt.WrongTrail.selector, abi.encodeCall(bench.respond, (s.terms, docket, e, forged)));
        tell(abi.encodeCall(bench.respond, (s.terms, docket, e, fork)));
        vm.assertEq(top(), 7);
        // And not the other way round.
        denied(ICourt.NotNewer.selector, responding(branch, proof(branch, 4)));
    }

    /// R7.4: what is agreed lower down on the same chain, or beside what is agreed already, takes nothing back.
    function test_trace32_what_is_agreed_rewinds_nothing_above_it() public {
        Story memory s = then(then(then(story(two()), 4), "again", 0), "and again", 1);
        openedAt(s, 3); // turns 5 and 6 are seat 0's own
        ICourt.Evidence memory e = proof(s, 5, 5);
        denied(ICourt.NotNewer.selector, abi.encodeCall(bench.respond, (s.terms, docket, e, slice(s, 5, 6))));
        e = proof(then(upTo(s, 3), "both signed this too"), 4);
        denied(ICourt.NotNewer.selector, abi.encodeCall(bench.respond, (s.terms, docket, e, slice(s, 4, 6))));
    }

    /// R7.4: an own illegal header, contested by a puppet while the arbiters sleep, would give the stakes back.
    function test_trace35_what_is_agreed_overtakes_a_contest() public {
        Story memory s = then(story(two()), 7);
        Story memory foul = then(then(upTo(s, 4), "illegal", 0), "illegal", 1);
        openedAt(foul, 3);
        tell(stranger, BOND, contesting(foul, 6));
        ICourt.Evidence memory e = proof(s, 5);
        tell(abi.encodeCall(bench.respond, (s.terms, docket, e, slice(foul, 5, 6))));
        vm.assertEq(contested(), 0);
        vm.assertEq(bench.bondOf(stranger), BOND);
        finish(s, 7);
        vm.assertEq(equity(a), 11 ether);
    }

    /// R7.7: the guilty seat has a friend contest a header below, and shows that one agreed.
    function test_trace36_a_closed_case_is_not_reopened_from_below() public {
        Story memory s = story(three());
        for (uint8 i; i < 6; ++i) s = then(s, "", (i + 1) % 2); // seat 2 has nothing to do
        tell(challenging(s, proof(s, 2)));
        tell(doubling(s, then(upTo(s, 5), "other"), 6)); // by seat 1
        vm.assertEq(top(), 5);
        tell(stranger, BOND, contesting(s, 4));
        denied(ICourt.NotNewer.selector, responding(s, proof(s, 4)));
        tell(ruleing(s, 4, true));
        vm.assertEq(phase(), Phase.CLOSED);
        denied(ICourt.NotNewer.selector, responding(s, proof(s, 4)));
        finish(s, 5);
        vm.assertEq(equity(b), 9 ether);
    }

    /// R7.6: seat 2 acknowledges nothing; the others still get to the end, and no header is buried too deep to contest.
    function test_trace33_a_seat_that_acknowledges_nothing_neither_stalls_nor_is_buried() public {
        Story memory s = story(three());
        for (uint256 i; i < 40; ++i) s = then(s, "", uint8((i + 1) % 2));
        tell(challenging(s, proof(s, 0, 32)));
        vm.assertEq(until(), START + 2 * MINIMUM);
        denied(
            abi.encodeWithSelector(ICourt.TooManyHeaders.selector, 32, START + MINIMUM),
            responding(s, signedBy(s, 32, 33, false))
        );
        // For one window seat 2 can contest any of them ...
        uint256 here = vm.snapshotState();
        ICourt.Docket memory before = docket;
        vm.warp(START + MINIMUM);
        tell(stranger, BOND, contesting(s, 1));
        vm.revertToState(here);
        docket = before;
        // ... and then they are agreed.
        vm.warp(START + MINIMUM);
        tell(responding(s, signedBy(s, 32, 40, false)));
        vm.assertEq(docket.spent, 0);
        vm.assertEq(ack(2), 32);
        denied(abi.encodeWithSelector(ICourt.Agreed.selector, 32), BOND, contesting(s, 32));
        finish(s, 40);
    }

    /// R7.2: a contract makes the call, so that the headers are in nobody's input.
    function test_trace37_headers_shown_through_a_contract_are_recorded() public {
        Story memory s = then(story(two()), 3);
        bytes memory data = challenging(s, proof(s, 2));
        vm.recordLogs();
        (bool done,) = address(bench).call(data);
        vm.assertTrue(done);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 2);
        vm.assertEq(logs[1].topics[0], ICourt.Recorded.selector);
        (IArena.State[] memory headers, bytes[] memory moves) = abi.decode(logs[1].data, (IArena.State[], bytes[]));
        vm.assertEq(headers[0].board, s.states[3].board);
        vm.assertEq(keccak256(moves[0]), s.states[3].move);
    }

    /// R7.8.
    function test_trace38_a_referee_that_is_none_leaves_it_to_the_arbiters() public {
        Story memory s = story(two());
        s.terms.referee = address(0xdead);
        s = then(s, 3);
        openedAt(s, 2);
        tell(stranger, BOND, contesting(s, 3));
        Story memory t = noughts(two());
        t.terms.budget = 10_000_001;
        t.positions = new bytes[](0);
        t = then(upTo(t, 0), 3);
        openedAt(t, 2);
        tell(stranger, BOND, contesting(t, 3));
    }

    /// R7.8: whatever a contract answers but "legal" with the header's words; where it has no answer, there is no verdict.
    function test_trace38_only_an_answer_of_a_referee_decides() public {
        address[4] memory odd = [address(new Talks()), address(new Refuses()), address(new Reverts()), address(new Eats())];
        for (uint256 i; i < 4; ++i) {
            Story memory s = noughts(two());
            s.terms.referee = odd[i];
            s.terms.indexes = numbers(uint32(i), uint32(i));
            s = play(play(upTo(s, 0), 0), 4);
            openedAt(s, 1);
            if (i < 2) {
                tell(contesting(s, 2));
                vm.assertEq(phase(), Phase.CLOSED);
                continue;
            }
            (bool done,) = address(bench).call{gas: 2_000_000}(contesting(s, 2));
            vm.assertFalse(done);
        }
    }

    /// R7.9: whoever sent a puppet gets its own part back at most.
    function test_trace39_a_lost_bond_is_everybodys() public {
        Story memory s = then(story(three()), 4);
        openedAt(s, 2);
        tell(stranger, BOND, contesting(s, 4));
        tell(ruleing(s, 4, true));
        vm.assertEq(bench.shareOf(a.id), BOND - 2 * (BOND / 3));
        vm.assertEq(bench.shareOf(b.id), BOND / 3);
        vm.assertEq(bench.shareOf(c.id), BOND / 3);
        (bool done,) = address(bench).call(abi.encodeCall(bench.claimShare, (stranger, a.key)));
        vm.assertFalse(done);
        bench.claimShare(c.owner, c.key);
        vm.assertEq(c.owner.balance, BOND / 3);
        denied(ICourt.NoBond.selector, abi.encodeCall(bench.claimShare, (c.owner, c.key)));
    }

    /// R6.1, R7.9: a final overtakes the contest, and the bond is not lost with the docket.
    function test_trace40_a_final_during_a_contest_leaves_the_bond_to_be_reclaimed() public {
        Story memory s = then(story(two()), 3);
        openedAt(s, 2);
        tell(stranger, BOND, contesting(s, 3));
        denied(ICourt.NoBond.selector, abi.encodeCall(bench.reclaim, (idOf(s.terms))));
        conclude(s.players, s.terms, amounts(2 ether, 0));
        tell(abi.encodeCall(bench.reclaim, (idOf(s.terms))));
        denied(ICourt.NoBond.selector, abi.encodeCall(bench.reclaim, (idOf(s.terms))));
        bench.claimBond(stranger);
        vm.assertEq(stranger.balance, BOND);
    }

    /// R7.2: a contest has to give the move again, with the position, in one transaction.
    function test_trace41_a_move_too_large_to_be_contested_is_not_shown() public {
        Story memory s = then(story(two()), 2);
        Story memory huge = then(s, new bytes(8 * 1024 + 1), keccak256("b"), 1, forfeit(2, 1));
        denied(ICourt.MoveTooLarge.selector, 8 * 1024, challenging(huge, proof(huge, 2)));
        openedAt(s, 2);
        denied(ICourt.MoveTooLarge.selector, 8 * 1024, responding(huge, more(huge, 2)));
    }

    /// R7.5: every change of the docket opens a window, so that an answer that missed can be made again.
    function test_trace34_an_answer_that_misses_can_be_made_again() public {
        Story memory s = then(story(two()), 6);
        tell(challenging(s, proof(s, 2, 3)));
        vm.warp(until());
        bytes memory late = responding(s, signedBy(s, 3, 4, false));
        tell(responding(s, proof(s, 4, 5))); // somebody was faster, with something else
        denied(IArena.OtherDocket.selector, late);
        vm.assertTrue(until() >= vm.getBlockTimestamp() + MINIMUM);
        tell(responding(s, more(s, 5)));
    }
}

contract Reverts {
    fallback() external {
        revert();
    }
}

contract Eats {
    uint256 private n;

    fallback() external {
        while (true) ++n;
    }
}

contract Talks {
    fallback() external {
        assembly ("memory-safe") {
            return(0, 100000)
        }
    }
}

contract Refuses is IReferee {
    function judge(bytes32, uint256, bytes calldata, bytes calldata, uint8, bytes calldata)
        external
        pure
        returns (bool legal, bytes32 board, uint8 mover, uint96[] memory payouts)
    {
        return (legal, board, mover, payouts);
    }
}

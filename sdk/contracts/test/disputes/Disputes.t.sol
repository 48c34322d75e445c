// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../../src/IArena.sol";
import {ICourt, Phase} from "../../src/ICourt.sol";
import {Player} from "../Fixture.sol";
import {TestToken} from "../TestToken.sol";
import {ICalls} from "./Calls.sol";
import {Disputed, Story} from "./Disputed.sol";
import {vm} from "../Vm.sol";

/// @notice The ways through a dispute (R7.4 to R7.11), and what they pay.
contract DisputesTest is Disputed {
    Player private a;
    Player private b;

    function setUp() public override {
        super.setUp();
        a = rich(1, 10 ether);
        b = rich(2, 10 ether);
    }

    function seats(uint256 n) private returns (Player[] memory all) {
        all = new Player[](n);
        for (uint256 i; i < n; ++i) all[i] = rich(20 + i, 10 ether);
    }

    function test_a_player_who_stalls_after_losing_still_pays() public {
        Story memory s = play(play(play(play(play(noughts(pair(a, b)), 0), 3), 1), 4), 2); // a has a row
        vm.assertEq(last(s).mover, 255);
        tell(challenging(s, proof(s, 4)));
        finish(s, 5);
        vm.assertEq(equity(a), 10.9 ether);
        vm.assertEq(equity(b), 9 ether);
        vm.assertEq(poolEquity(), 0.1 ether);
    }

    function test_a_player_who_stops_moving_pays_what_the_newest_header_says() public {
        Story memory s = then(story(pair(a, b)), 4);
        tell(challenging(s, proof(s, 3)));
        finish(s, 4);
        vm.assertEq(equity(a), 9 ether);
        vm.assertEq(equity(b), 11 ether);
    }

    function test_the_challenger_who_is_answered_is_next() public {
        Story memory s = then(story(pair(a, b)), 4);
        tell(challenging(s, proof(s, 2, 3)));
        tell(responding(s, more(s, 3)));
        finish(s, 4);
        vm.assertEq(equity(a), 9 ether);
    }

    /// R6.12: the loser gave neither its signature on the final nor on its statement.
    function test_a_final_header_waits_one_window_and_is_applied() public {
        Story memory s = ended(then(story(pair(a, b)), 3), amounts(0.5 ether, 1.5 ether));
        tell(challenging(s, proof(s, 3)));
        vm.assertEq(until(), START + MINIMUM);
        denied(ICourt.WindowRuns.selector, until(), ending(s, 4));
        finish(s, 4);
        vm.assertEq(equity(b), 10.5 ether);
    }

    function test_a_stale_state_is_answered_by_a_tower() public {
        Story memory s = then(story(pair(a, b)), 12);
        tell(challenging(s, proof(s, 2, 3)));
        vm.warp(until());
        tell(address(0x70e3), 0, responding(s, proof(s, 11)));
        vm.assertEq(top(), 12);
    }

    function test_an_answer_from_below_through_the_top_keeps_what_was_acknowledged() public {
        Story memory s = then(story(pair(a, b)), 6);
        tell(challenging(s, proof(s, 3, 4)));
        tell(responding(s, signedBy(s, 4, 5, false)));
        vm.assertEq(ack(0), 5);
        vm.assertEq(ack(1), 4);
        uint256[] memory signed_ = new uint256[](2);
        (signed_[0], signed_[1]) = (4, 7);
        // Turn 5 is seat 0's own: it has to be signed here too.
        denied(ICourt.NotByItsAuthor.selector, 5, responding(s, signedAt(s, 3, 6, signed_)));
        tell(responding(s, proof(s, 3)));
        vm.assertEq(ack(0), 5);
        vm.assertEq(ack(1), 6);
    }

    function test_conclude_ends_a_dispute_at_any_time() public {
        Story memory s = then(story(pair(a, b)), 3);
        tell(challenging(s, proof(s, 2)));
        openExit(b);
        lock(s.players, s.terms, 1);
        conclude(s.players, s.terms, amounts(0, 2 ether));
        vm.assertEq(equity(b), 11 ether);
        vm.assertEq(books(b).locked, 0);
        pass();
        denied(IArena.MatchConcluded.selector, ending(s, 3));
        denied(IArena.MatchConcluded.selector, challenging(s, proof(s, 2)));
    }

    /// R6.10: whose statement contains the match is not paid twice.
    function test_a_seat_settled_in_mid_dispute_is_skipped() public {
        fundPool(5 ether);
        Story memory s = then(story(pair(a, b)), 3);
        tell(challenging(s, proof(s, 2)));
        settle(entry(a, 1 ether, 1, 0));
        finish(s, 3);
        vm.assertEq(equity(a), 11 ether);
        vm.assertEq(equity(b), 9 ether);
        vm.assertEq(poolEquity(), 5 ether);
    }

    /// R3.5: nothing reverts because somebody else is broke.
    function test_what_a_broke_loser_cannot_pay_is_owed_and_paid_first() public {
        Player memory broke = player(9);
        Story memory s = then(story(pair(a, broke)), 3);
        tell(challenging(s, proof(s, 2)));
        finish(s, 3);
        vm.assertEq(equity(a), 10 ether);
        vm.assertEq(equity(broke), -1 ether);
        vm.assertEq(poolOwed(), 1 ether);
        fundPool(1 ether);
        vm.assertEq(equity(a), 11 ether);
    }

    function test_a_dispute_of_eight_seats() public {
        Story memory s = story(seats(8));
        s = then(s, 20);
        tell(challenging(s, proof(s, 8, 19)));
        tell(responding(s, more(s, 19)));
        finish(s, 20);
        for (uint256 i; i < 8; ++i) {
            int256 due = 10 ether + int256(uint256(STAKE)) / 7;
            vm.assertEq(equity(s.players[i]), i == 4 ? int256(9 ether) : due);
        }
    }

    function test_an_arena_of_tokens_has_a_court_like_any_other() public {
        TestToken token = new TestToken();
        court = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        arena = newArena(address(token));
        bench = ICalls(create("Court", abi.encode(config(address(arena)))));
        token.mint(address(this), 20 ether);
        token.approve(address(arena), 20 ether);
        arena.depositToken(a.id, 10 ether);
        arena.depositToken(b.id, 10 ether);
        Story memory s = then(story(pair(a, b)), 3);
        tell(challenging(s, proof(s, 2)));
        tell(b.owner, BOND, contesting(s, 3));
        tell(ruleing(s, 3, true));
        finish(s, 3);
        openExit(a);
        vm.warp(vm.getBlockTimestamp() + WINDOW);
        arena.finishExit(a.owner, a.key);
        vm.assertEq(token.balanceOf(a.owner), 11 ether);
        bench.claimShare(a.owner, a.key);
        vm.assertEq(a.owner.balance, BOND / 2); // the bond is in the native coin
    }

    function test_an_illegal_move_is_contested_before_the_referee() public {
        Story memory s = play(play(noughts(pair(a, b)), 0), 4);
        Story memory foul = then(s, action(4), keccak256("b"), 1, amounts(1.9 ether, 0));
        tell(challenging(foul, proof(foul, 2)));
        tell(contesting(foul, 3));
        finish(foul, 2);
        vm.assertEq(equity(a), 9 ether);
        vm.assertEq(equity(b), 10.9 ether);
    }

    /// R7.8: the move may be legal where the header is not.
    function test_a_header_that_lies_about_a_legal_move_is_illegal() public {
        Story memory s = play(play(noughts(pair(a, b)), 0), 4);
        Story memory right = play(s, 8);
        bytes32 board = last(right).board;
        Story[4] memory lies;
        lies[0] = then(s, action(8), keccak256("b"), 1, amounts(1.9 ether, 0));
        lies[1] = then(s, action(8), board, 0, amounts(1.9 ether, 0));
        lies[2] = then(s, action(8), board, 255, amounts(1.9 ether, 0));
        lies[3] = then(s, action(8), board, 1, amounts(2 ether, 0));
        for (uint256 i; i < 4; ++i) {
            uint256 here = vm.snapshotState();
            tell(challenging(lies[i], proof(lies[i], 2)));
            tell(contesting(lies[i], 3));
            vm.assertEq(phase(), Phase.CLOSED);
            vm.revertToState(here);
        }
        tell(challenging(right, proof(right, 2)));
        denied(ICourt.MoveIsLegal.selector, contesting(right, 3));
    }

    function test_a_legal_ruling_gives_the_mover_a_new_window() public {
        Story memory s = then(story(pair(a, b)), 4);
        tell(challenging(s, proof(s, 2, 3)));
        vm.warp(until());
        tell(stranger, BOND, contesting(s, 3));
        vm.warp(until());
        tell(ruleing(s, 3, true));
        vm.assertEq(until(), vm.getBlockTimestamp() + MINIMUM);
        tell(responding(s, more(s, 3)));
        // Turn 3 has been ruled on; the next one has not.
        tell(stranger, BOND, contesting(s, 4));
    }

    // ------------------------------------------------------------------------------------------------------------ fuzz

    /// Whatever of a match is shown, and however it goes on: the money is where the newest header says, or the stakes are back.
    function testFuzz_a_dispute_pays_the_top(uint256 seed) public {
        uint256 n = 2 + seed % 3;
        Story memory s = then(story(seats(n)), n + 1 + (seed >> 8) % 12);
        uint256 end = s.states.length - 1;
        uint256 base = 1 + (seed >> 16) % end;
        uint256 upper = base + (seed >> 24) % (end + 1 - base);
        tell(challenging(s, proof(s, base, upper)));
        while (upper != end) {
            vm.warp(vm.getBlockTimestamp() + (seed >> 32) % MINIMUM);
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 next = upper + 1 + seed % (end - upper);
            bool fromBelow = (seed >> 8) % 2 == 0 && next > n;
            uint256 from = fromBelow ? upper - (seed >> 16) % (upper + 1) : upper;
            tell(responding(s, fromBelow ? proof(s, from, next) : signedBy(s, upper, next, false)));
            upper = next;
            vm.assertEq(top(), upper);
            vm.assertTrue(until() >= vm.getBlockTimestamp() + MINIMUM);
        }
        finish(s, end);
        int256 sum;
        for (uint256 i; i < n; ++i) {
            sum += equity(s.players[i]);
            vm.assertEq(equity(s.players[i]), 9 ether + int256(uint256(s.states[end].payouts[i])));
        }
        vm.assertEq(sum + int256(poolEquity()), int256(10 ether * n));
    }

    /// One byte changed anywhere in a call makes it fail, or changes nothing that counts.
    function testFuzz_a_changed_byte_never_changes_an_outcome(uint256 place, uint8 flip) public {
        if (flip == 0) return;
        Story memory s = then(story(pair(a, b)), 4);
        bytes memory data = challenging(s, proof(s, 2));
        place = 4 + place % (data.length - 4);
        data[place] = bytes1(uint8(data[place]) ^ flip);
        vm.recordLogs();
        vm.prank(stranger, stranger);
        (bool done,) = address(bench).call(data);
        if (!done) return;
        listen();
        vm.assertEq(top(), 4);
        vm.assertEq(docket.top, proofTop(s));
    }

    function proofTop(Story memory s) private view returns (bytes32 hash) {
        return then(s, "").states[5].prev;
    }
}

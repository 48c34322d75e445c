// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../src/IArena.sol";
import {Fixture, Player} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice `conclude`, `outcome`, what is owed, and deposits into debt (R3.1 to R3.5, R4.10, R6.1, R6.11).
contract OutcomesTest is Fixture {
    Player private a;
    Player private b;

    function setUp() public override {
        super.setUp();
        a = rich(1, 10 ether);
        b = rich(2, 10 ether);
    }

    function test_conclude_moves_both_and_keeps_the_rake_in_the_pool() public {
        IArena.Match memory m = terms(a, 0, b, 0, 4 ether);
        vm.expectEmit(address(arena));
        emit IArena.Concluded(idOf(m), amounts(7 ether, 0));
        conclude(pair(a, b), m, amounts(7 ether, 0));
        vm.assertEq(equity(a), 13 ether);
        vm.assertEq(equity(b), 6 ether);
        vm.assertEq(poolEquity(), 1 ether);
        (uint8 status, uint8 locked, uint8 live, bytes29 hash) = arena.outcomeOf(idOf(m));
        vm.assertEq(status, 2);
        vm.assertEq(locked, 0);
        vm.assertEq(live, 3);
        vm.assertEq(bytes32(hash), bytes32(bytes29(keccak256(abi.encode(amounts(7 ether, 0))))));
        IArena.State memory again = finalState(amounts(0, 7 ether));
        refused(IArena.MatchConcluded.selector, b.owner, conclusion(pair(a, b), m, again));
        refused(IArena.MatchConcluded.selector, court, abi.encodeCall(arena.outcome, (m, amounts(0, 0))));
    }

    function test_a_draw_makes_no_claims() public {
        IArena.Match memory m = terms(a, 0, b, 0, 4 ether);
        conclude(pair(a, b), m, amounts(4 ether, 4 ether));
        vm.assertEq(books(a).claims, 0);
        (,, uint8 live,) = arena.outcomeOf(idOf(m));
        vm.assertEq(live, 0);
    }

    function test_conclude_needs_a_final_state_and_payouts_within_the_stakes() public {
        IArena.Match memory m = terms(a, 0, b, 0, 4 ether);
        IArena.State memory last = finalState(amounts(8 ether, 1));
        refused(IArena.BadPayouts.selector, b.owner, conclusion(pair(a, b), m, last));
        last.payouts = new uint96[](1);
        refused(IArena.BadPayouts.selector, b.owner, conclusion(pair(a, b), m, last));
        last = finalState(amounts(8 ether, 0));
        last.mover = 1;
        refused(IArena.NotFinal.selector, b.owner, conclusion(pair(a, b), m, last));
    }

    function test_terms_have_two_to_eight_distinct_seats() public {
        Player[] memory nine = new Player[](9);
        for (uint256 i; i < 9; ++i) nine[i] = player(i);
        IArena.State memory last = finalState(new uint96[](9));
        IArena.Match memory m = terms(nine, new uint32[](9), new uint96[](9));
        refused(IArena.BadTerms.selector, b.owner, conclusion(nine, m, last));
        m = terms(new Player[](0), new uint32[](0), new uint96[](0));
        refused(IArena.BadTerms.selector, b.owner, conclusion(new Player[](0), m, last));
        m = terms(pair(a, b), new uint32[](1), amounts(1, 1));
        refused(IArena.BadTerms.selector, b.owner, conclusion(pair(a, b), m, last));
        m = terms(pair(a, b), numbers(0, 0), new uint96[](3));
        refused(IArena.BadTerms.selector, b.owner, conclusion(pair(a, b), m, last));
        m = terms(a, 0, b, 0, 1);
        m.seeds = new bytes32[](1);
        refused(IArena.BadTerms.selector, b.owner, conclusion(pair(a, b), m, last));
        m = terms(a, 0, b, 0, 1);
        m.seats[0] = address(0);
        refused(IArena.BadTerms.selector, court, abi.encodeCall(arena.outcome, (m, amounts(0, 0))));
    }

    /// Words that are no address, uint32 or uint96 are refused, whoever signed them.
    function test_dirty_words_are_refused() public {
        IArena.Match memory m = terms(a, 0, b, 0, 1);
        bytes memory data = abi.encodeCall(arena.outcome, (m, amounts(1, 1)));
        vm.prank(court);
        (bool done,) = address(arena).call(data);
        vm.assertTrue(done);
        for (uint256 i = 4; i < data.length; i += 32) {
            uint256 word;
            assembly ("memory-safe") {
                word := mload(add(add(data, 0x20), i))
            }
            if (word != uint160(a.id) && word != 1) continue;
            bytes memory dirty = bytes.concat(data);
            assembly ("memory-safe") {
                mstore(add(add(dirty, 0x20), i), or(word, shl(255, 1)))
            }
            vm.prank(court);
            (done,) = address(arena).call(dirty);
            vm.assertFalse(done);
        }
    }

    function test_outcome_is_the_courts() public {
        IArena.Match memory m = terms(a, 0, b, 0, 4 ether);
        bytes memory data = abi.encodeCall(arena.outcome, (m, amounts(1 ether, 7 ether)));
        refused(IArena.NotCourt.selector, operator, data);
        accepted(court, data);
        vm.assertEq(equity(a), 7 ether);
        vm.assertEq(equity(b), 13 ether);
    }

    // ------------------------------------------------------------------------------------------------- owed (R3.5), debt

    function test_what_the_pool_lacks_is_owed_and_paid_first_in_first_out() public {
        Player memory c = player(3); // a puppet with nothing
        conclude(pair(a, c), terms(a, 0, c, 0, 3 ether), amounts(6 ether, 0));
        conclude(pair(b, c), terms(b, 0, c, 1, 2 ether), amounts(4 ether, 0));
        vm.assertEq(equity(a), 10 ether);
        vm.assertEq(equity(c), -5 ether);
        vm.assertEq(poolOwed(), 5 ether);
        fundPool(4 ether);
        vm.assertEq(equity(a), 13 ether);
        vm.assertEq(equity(b), 11 ether);
        vm.assertEq(poolOwed(), 1 ether);
        vm.assertEq(poolEquity(), 0);
        // A deposit to the debtor repays its debt, and with that the queue (R3.2).
        bank(c, 6 ether);
        vm.assertEq(equity(c), 1 ether);
        vm.assertEq(equity(b), 12 ether);
        vm.assertEq(poolOwed(), 0);
        vm.assertEq(poolEquity(), 4 ether);
    }

    function test_a_deposit_smaller_than_the_debt_is_the_pools() public {
        Player memory c = player(3);
        conclude(pair(a, c), terms(a, 0, c, 0, 3 ether), amounts(6 ether, 0));
        bank(c, 1 ether);
        vm.assertEq(equity(c), -2 ether);
        vm.assertEq(equity(a), 11 ether);
        vm.assertEq(poolOwed(), 2 ether);
    }

    /// R3.1: the record is plain again, its debt is not forgotten, and the hot loop knows.
    function test_a_debt_outlives_its_claim_and_a_later_credit_repays_it_first() public {
        Player memory c = player(3);
        IArena.Match memory m = terms(a, 0, c, 0, 3 ether);
        conclude(pair(a, c), m, amounts(6 ether, 0));
        settleClaimed(c, -3 ether, 1, 0, claim(m, amounts(6 ether, 0), 1));
        vm.assertEq(books(c).claims, 0);
        vm.assertEq(equity(c), -3 ether);
        fundPool(10 ether); // 3 of them go to a
        settle(entry(c, 2 ether, 2, 0));
        vm.assertEq(equity(c), 2 ether);
        vm.assertEq(poolEquity(), 5 ether); // 2 for c's equity; the 3 it owed were the pool's own already
    }

    function test_credits_fees_and_withdrawals_rank_behind_owed() public {
        Player memory c = player(3);
        vm.prank(operator);
        arena.requestPool(1 ether);
        conclude(pair(a, c), terms(a, 0, c, 0, 3 ether), amounts(6 ether, 0));
        settleWithFees(bytes.concat(entry(b, -2 ether, 1, 0), entry(player(4), 1 ether, 1, 0)), 1 ether);
        vm.assertEq(equity(a), 12 ether);
        vm.assertEq(equity(player(4)), 0);
        vm.assertEq(poolEquity(), 0);
        vm.assertEq(poolOwed(), 1 ether);
        vm.warp(START + WINDOW);
        refused(IArena.NothingToPay.selector, operator, abi.encodeCall(arena.withdrawPool, ()));
    }

    function test_a_queue_longer_than_one_step_is_paid_by_anyone() public {
        Player memory c = player(3);
        for (uint32 i; i < 7; ++i) {
            conclude(pair(a, c), terms(a, i, c, i, 1 ether), amounts(2 ether, 0));
        }
        vm.assertEq(poolOwed(), 7 ether);
        fundPool(10 ether);
        vm.assertEq(poolOwed(), 3 ether);
        vm.assertEq(poolEquity(), 6 ether);
        skipped(b.id, 5, operator, settling(entry(b, 4 ether, 1, 0)));
        accepted(operator, abi.encodeCall(arena.requestPool, (10 ether)));
        vm.warp(START + WINDOW);
        accepted(operator, abi.encodeCall(arena.withdrawPool, ()));
        vm.assertEq(operator.balance, 3 ether);
        fundPool(3 ether); // and four more places are paid
        vm.assertEq(poolOwed(), 0);
        settle(entry(b, 3 ether, 1, 0));
        arena.payOwed(10);
        vm.assertEq(equity(a), 17 ether);
        vm.assertEq(poolEquity(), 0);
    }

    /// R6.10: only what has been paid into the funds is taken back, and the rest leaves the queue.
    function test_absorbing_cancels_what_is_still_owed() public {
        Player memory c = player(3);
        IArena.Match memory m = terms(a, 0, c, 0, 3 ether);
        conclude(pair(a, c), m, amounts(6 ether, 0));
        fundPool(1 ether);
        vm.assertEq(equity(a), 11 ether);
        bytes memory e = entry(a, 3 ether, 1, 0);
        IArena.Claim[] memory all = claim(m, amounts(6 ether, 0), 0);
        refused(
            abi.encodeWithSelector(IArena.NotApplied.selector, 5), operator, abi.encodeCall(arena.settleClaimed, (e, "", all))
        );
        vm.assertEq(poolOwed(), 2 ether);
        // The operator gives its word for less: the statement rules.
        settleClaimed(a, 1 ether, 1, 0, all);
        vm.assertEq(equity(a), 11 ether);
        vm.assertEq(books(a).funds, 10 ether);
        vm.assertEq(poolOwed(), 0);
        fundPool(1 ether);
        vm.assertEq(poolEquity(), 1 ether);
    }

    function test_a_debt_is_netted_when_its_account_is_owed() public {
        Player memory c = player(3);
        conclude(pair(a, c), terms(a, 0, c, 0, 3 ether), amounts(6 ether, 0)); // 3 owed to a
        conclude(pair(a, b), terms(a, 1, b, 0, 12 ether), amounts(0, 24 ether));
        // a: 10 - 12, its place repays the debt of 2 and brings 1; b: 7 behind a's place, then the 2 that are left.
        vm.assertEq(equity(a), 1 ether);
        vm.assertEq(equity(b), 19 ether);
        vm.assertEq(poolEquity(), 0);
        vm.assertEq(poolOwed(), 3 ether);
    }

    // ----------------------------------------------------------------------------------------------------- R6.11, 8 seats

    function test_the_32nd_live_claim_is_a_debit_only() public {
        Player memory c = rich(3, 40 ether);
        for (uint32 i; i < 31; ++i) {
            conclude(pair(a, c), terms(a, i, c, i, 1), amounts(2, 0));
        }
        vm.assertEq(books(a).claims, 31);
        IArena.Match memory m = terms(a, 31, b, 0, 1 ether);
        conclude(pair(a, b), m, amounts(2 ether, 0));
        vm.assertEq(equity(a), 10 ether + 31);
        vm.assertEq(equity(b), 9 ether);
        vm.assertEq(poolEquity(), 1 ether);
        (,, uint8 live,) = arena.outcomeOf(idOf(m));
        vm.assertEq(live, 2);
        conclude(pair(a, b), terms(a, 32, b, 1, 1 ether), amounts(0, 2 ether));
        vm.assertEq(equity(a), 9 ether + 31);
        vm.assertEq(equity(b), 10 ether);
        vm.assertEq(books(a).claims, 31);
    }

    function test_eight_seats() public {
        Player[] memory all = new Player[](8);
        uint96[] memory stakes = new uint96[](8);
        uint96[] memory payouts = new uint96[](8);
        for (uint256 i; i < 8; ++i) {
            all[i] = rich(20 + i, 2 ether);
            stakes[i] = 1 ether;
        }
        payouts[5] = 8 ether;
        conclude(all, terms(all, new uint32[](8), stakes), payouts);
        for (uint256 i; i < 8; ++i) {
            vm.assertEq(equity(all[i]), i == 5 ? int256(9 ether) : int256(1 ether));
        }
    }
}

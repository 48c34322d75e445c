// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena, Skip} from "../src/IArena.sol";
import {Fixture, Player} from "./Fixture.sol";
import {Typing} from "./Typing.sol";
import {vm} from "./Vm.sol";

/// @notice What broke earlier drafts (section 11), as far as the contract is concerned and without disputes.
contract TracesTest is Fixture {
    Player private a;
    Player private b;
    Player private honest;

    function setUp() public override {
        super.setUp();
        a = rich(1, 10 ether);
        b = rich(2, 10 ether);
        honest = rich(3, 50 ether);
    }

    function quit(Player memory p) private {
        openExit(p);
        vm.warp(vm.getBlockTimestamp() + WINDOW);
        arena.finishExit(p.owner, p.key);
    }

    /// R3.4: the operator helps, and even owns the puppets.
    function test_trace01_puppets_cannot_exit_with_other_peoples_deposits() public {
        Player memory p = player(7);
        Player memory q = player(8);
        fundPool(1 ether);
        conclude(pair(p, q), terms(p, 0, q, 0, 1_000 ether), amounts(2_000 ether, 0));
        skipped(p.id, Skip.CLAIMS, operator, settling(entry(p, 1_000 ether, 1, 0)));
        Player memory r = player(9);
        skipped(r.id, Skip.POOL_SHORT, operator, settling(entry(r, 40 ether, 1, 0)));
        quit(p);
        vm.assertEq(p.owner.balance, 1 ether); // the operator's own
        quit(honest);
        quit(a);
        quit(b);
        vm.assertEq(honest.owner.balance, 50 ether);
        vm.assertEq(a.owner.balance + b.owner.balance, 20 ether);
    }

    /// R6.1, R6.10: whatever the two finals say, each account counts the match once.
    function test_trace02_two_finals_count_once_by_receipt_and_by_conclude() public {
        fundPool(20 ether);
        IArena.Match memory m = terms(a, 0, b, 0, 5 ether);
        settle(entry(a, 5 ether, 1, 0)); // a has won, by statement
        conclude(pair(a, b), m, amounts(0, 10 ether)); // b has won, by final
        vm.assertEq(equity(a), 15 ether); // counted already
        vm.assertEq(equity(b), 15 ether);
        vm.assertEq(poolEquity(), 10 ether); // who signed both finals pays for both: the operator
        // The other order.
        IArena.Match memory n = terms(a, 1, b, 1, 5 ether);
        conclude(pair(a, b), n, amounts(10 ether, 0));
        vm.assertEq(equity(a), 20 ether);
        settleClaimed(a, 10 ether, 2, 0, claim(n, amounts(10 ether, 0), 0));
        vm.assertEq(equity(a), 20 ether);
    }

    /// R6.10: the statement that was signed before the conclusion still settles after it.
    function test_trace03_one_conclusion_leaves_two_hundred_unsettled_results_good() public {
        fundPool(20 ether);
        // Matches 0 to 199 but 100 are in the newest statement: +4. Match 100 is concluded on the chain.
        IArena.Match memory m = terms(a, 100, b, 0, 5 ether);
        conclude(pair(a, b), m, amounts(0, 10 ether));
        vm.assertEq(equity(a), 5 ether);
        uint32 window = 130; // 100 is still in the window of 32
        uint32 bit = uint32(1) << (window - 1 - 100);
        settleClaimed(a, 4 ether, window, bit, claim(m, amounts(0, 10 ether), 0));
        vm.assertEq(equity(a), 9 ether); // both count
        settleClaimed(a, -1 ether, 200, 0, claim(m, amounts(0, 10 ether), 0));
        vm.assertEq(equity(a), 9 ether); // the match once
        settle(entry(a, 0, 201, 0)); // and back to the short way
    }

    /// R3.7: both accounts are one person's; the stake of the one that would run is locked by anyone.
    function test_trace05_a_loser_cannot_exit_with_its_stake_in_mid_match() public {
        fundPool(1 ether);
        IArena.Match memory m = terms(a, 0, b, 0, 8 ether);
        openExit(b);
        lock(pair(a, b), m, 1);
        vm.warp(START + WINDOW);
        arena.finishExit(b.owner, b.key);
        vm.assertEq(b.owner.balance, 2 ether);
        conclude(pair(a, b), m, amounts(16 ether, 0));
        vm.assertEq(equity(a), 18 ether);
        vm.assertEq(poolEquity(), 1 ether);
        refused(IArena.NothingToPay.selector, b.owner, abi.encodeCall(arena.finishExit, (b.owner, b.key)));
    }

    /// R6.7: what is signed names the owner; the account follows from who signed.
    function test_trace06_an_entry_names_the_owner_and_not_the_account() public {
        fundPool(1 ether);
        bytes memory e = entry(a, 1 ether, 1, 0);
        settle(e);
        vm.assertEq(equity(a), 11 ether);
        // With another owner in front the same signature is some other key's, whose account is empty.
        bytes memory moved = bytes.concat(abi.encodePacked(b.owner), slice(entry(a, -1, 2, 0), 20));
        vm.recordLogs();
        settle(moved);
        vm.assertEq(equity(a), 11 ether);
        vm.assertEq(equity(b), 10 ether);
    }

    function slice(bytes memory data, uint256 from) private pure returns (bytes memory rest) {
        rest = new bytes(data.length - from);
        for (uint256 i; i < rest.length; ++i) rest[i] = data[from + i];
    }

    /// R4.10.
    function test_trace07_no_seat_twice_no_missing_operator_no_operator_as_seat() public {
        IArena.State memory last = finalState(amounts(2 ether, 0));
        IArena.Match memory twice = terms(a, 0, a, 1, 1 ether);
        refused(IArena.BadTerms.selector, a.owner, conclusion(pair(a, a), twice, last));
        refused(IArena.BadTerms.selector, a.owner, locking(pair(a, a), twice, 0));

        IArena.Match memory m = terms(a, 0, b, 0, 1 ether);
        bytes32 digest = typed(Typing.state(idOf(m), last));
        bytes memory players = bytes.concat(sign(a.secret, digest), sign(b.secret, digest));
        bytes memory without = bytes.concat(players, sign(b.secret, digest));
        address[] memory who = owners(pair(a, b));
        refused(
            abi.encodeWithSelector(IArena.BadSignature.selector, 2), a.owner, abi.encodeCall(arena.conclude, (m, last, who, without))
        );
        refused(
            abi.encodeWithSelector(IArena.BadLength.selector, 192, 128),
            a.owner,
            abi.encodeCall(arena.conclude, (m, last, who, players))
        );

        Player memory o = withOwner(Player(a.owner, address(0), OPERATOR_SECRET, address(0)), a.owner);
        refused(
            abi.encodeWithSelector(IArena.BadSignature.selector, 1),
            a.owner,
            conclusion(pair(a, o), terms(a, 0, o, 0, 1 ether), last)
        );
    }

    /// The deadline and the receipt that a withdrawal names.
    function test_trace12_a_withdrawal_signed_before_a_loss_is_void_after_it() public {
        bytes memory before = withdrawal(a, 10 ether, uint64(vm.getBlockTimestamp() + 1 hours));
        bytes memory soon = withdrawal(a, 1 ether, uint64(vm.getBlockTimestamp() + 1 hours));
        settle(entry(a, -5 ether, 1, 0));
        refused(abi.encodeWithSelector(IArena.BadSignature.selector, 0), a.owner, before);
        vm.warp(START + 1 hours + 1);
        refused(abi.encodeWithSelector(IArena.Expired.selector, START + 1 hours), a.owner, soon);
        // A loss that the chain applied leaves less to pay.
        before = withdrawal(b, 10 ether, uint64(vm.getBlockTimestamp() + 1 hours));
        conclude(pair(a, b), terms(a, 1, b, 0, 5 ether), amounts(10 ether, 0));
        refused(abi.encodeWithSelector(IArena.NotAvailable.selector, 5 ether), b.owner, before);
    }

    /// R4.1.
    function test_trace14_a_restarted_chain_refuses_yesterdays_signatures() public {
        bytes memory yesterday = withdrawal(a, 1 ether, uint64(vm.getBlockTimestamp() + 1 hours));
        address[] memory none = new address[](0);
        address before = address(arena);
        arena = newArenaWithSalt("another", none);
        bank(a, 10 ether);
        vm.assertTrue(address(arena) != before);
        refused(abi.encodeWithSelector(IArena.BadSignature.selector, 0), a.owner, yesterday);
        // Even at the same address, as after a restart: the salt alone tells them apart.
        vm.assertTrue(Typing.domain(before, "salt") != Typing.domain(before, "another"));
    }

    /// R6.3.
    function test_trace15_one_signature_alone_does_not_swallow_an_index() public {
        bytes memory e = entry(a, 0, 1, 0);
        bytes4 bad = IArena.BadSignature.selector;
        refused(IArena.NotOperator.selector, a.owner, settling(e));
        skipped(
            a.id,
            Skip.RECEIPT,
            a.owner,
            abi.encodeCall(arena.settleSigned, (bytes.concat(e, sign(a.secret, typed(Typing.receipt(a.id, 0, 1, 0))))))
        );
        refused(
            abi.encodeWithSelector(bad, 0),
            a.owner,
            abi.encodeCall(arena.settleClaimed, (e, sign(a.secret, "x"), new IArena.Claim[](0)))
        );
        // The operator alone: a receipt without the account, or without its key's order.
        bytes memory r = exitEntry(a, 0, 1, 0);
        refused(abi.encodeWithSelector(bad, 0), operator, exiting(a, r, sign(OPERATOR_SECRET, "x")));
        vm.assertEq(books(a).through, 0);
    }

    /// R3.1: the part of a debit that the account cannot pay stays against it.
    function test_trace17_a_debit_beyond_the_account_is_not_forgotten() public {
        fundPool(100 ether);
        bytes memory older = exitEntry(b, 90 ether, 20, 0); // won 90, not settled
        IArena.Match memory m = terms(a, 0, b, 20, 50 ether); // then lost 50 of them
        conclude(pair(a, b), m, amounts(100 ether, 0));
        vm.assertEq(equity(b), -40 ether);
        skipped(b.id, Skip.CLAIMS, b.owner, exiting(b, older, ""));
        settleClaimed(b, 90 ether, 20, 0, claim(m, amounts(100 ether, 0), 1));
        vm.assertEq(equity(b), 50 ether);
        vm.warp(START + WINDOW);
        arena.finishExit(b.owner, b.key);
        vm.assertEq(b.owner.balance, 50 ether);
    }

    /// R3.7.
    function test_trace19_an_exited_account_cannot_come_back() public {
        quit(b);
        vm.deal(address(this), 1 ether);
        (bool done,) = address(arena).call{value: 1 ether}(abi.encodeCall(arena.deposit, (b.id)));
        vm.assertFalse(done);
        // Its loss lands late, as a debt; nothing that comes later leaves before it is repaid.
        fundPool(10 ether);
        conclude(pair(a, b), terms(a, 0, b, 0, 5 ether), amounts(10 ether, 0));
        vm.assertEq(equity(b), -5 ether);
        conclude(pair(a, b), terms(a, 1, b, 1, 6 ether), amounts(0, 12 ether));
        arena.finishExit(b.owner, b.key);
        vm.assertEq(b.owner.balance, 11 ether);
    }

    /// R6.5: the winner holds the loser's newest pair.
    function test_trace20_with_the_operator_dead_a_loser_does_not_leave_with_everything() public {
        bytes memory pairs = bytes.concat(signed(b, -6 ether, 1, 0), signed(a, 6 ether, 1, 0));
        openExit(b);
        vm.prank(a.owner);
        arena.settleSigned(pairs);
        vm.warp(START + WINDOW);
        arena.finishExit(b.owner, b.key);
        vm.assertEq(b.owner.balance, 4 ether);
        quit(a);
        vm.assertEq(a.owner.balance, 16 ether);
    }

    /// R3.5, R6.13.
    function test_trace23_fees_and_puppets_do_not_drain_the_pool_ahead_of_owed() public {
        Player memory c = player(7);
        conclude(pair(a, c), terms(a, 0, c, 0, 20 ether), amounts(40 ether, 0));
        vm.assertEq(poolOwed(), 20 ether);
        settleWithFees(bytes.concat(entry(b, -8 ether, 1, 0), entry(player(8), 7 ether, 1, 0)), 7 ether);
        vm.assertEq(equity(player(8)), 0);
        (, uint96 fresh,,) = arena.revenueOf(house);
        vm.assertEq(fresh, 0);
        vm.assertEq(equity(a), 18 ether);
        vm.prank(operator);
        arena.requestPool(100 ether);
        vm.warp(vm.getBlockTimestamp() + WINDOW);
        refused(IArena.NothingToPay.selector, operator, abi.encodeCall(arena.withdrawPool, ()));
        fundPool(30 ether);
        vm.assertEq(poolOwed(), 0);
        accepted(operator, abi.encodeCall(arena.withdrawPool, ()));
        vm.assertEq(operator.balance, 18 ether);
    }

    /// R6.8.
    function test_trace26_one_puppet_does_not_revert_a_batch() public {
        fundPool(10 ether);
        Player memory puppet = rich(7, 1 ether);
        bytes memory batch = bytes.concat(entry(a, -1 ether, 1, 0), entry(puppet, -1 ether, 1, 0), entry(b, 1 ether, 1, 0));
        arena.settleSigned(signed(puppet, -1, 2, 0)); // faster than the batch
        skipped(puppet.id, Skip.STALE, operator, settling(batch));
        vm.assertEq(equity(a), 9 ether);
        vm.assertEq(equity(b), 11 ether);
    }

    function test_trace27_an_old_exit_is_not_replayed() public {
        bytes memory order = sign(a.secret, typed(Typing.exit(a.id, 0, 0)));
        accepted(b.owner, exiting(a, "", order));
        refused(abi.encodeWithSelector(IArena.BadSignature.selector, 0), b.owner, exiting(a, "", order));
    }
}

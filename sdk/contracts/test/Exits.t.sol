// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena, Skip} from "../src/IArena.sol";
import {Fixture, Player, Books} from "./Fixture.sol";
import {Typing} from "./Typing.sol";
import {vm} from "./Vm.sol";

/// @notice `withdraw`, `exit`, `lock`, `release`, `finishExit` (R3.7).
contract ExitsTest is Fixture {
    Player private a;
    Player private b;

    function setUp() public override {
        super.setUp();
        a = rich(1, 10 ether);
        b = rich(2, 10 ether);
        fundPool(5 ether);
    }

    // -------------------------------------------------------------------------------------------------------- withdraw

    function test_withdraw_pays_the_difference_to_the_total() public {
        settle(entry(a, 2 ether, 1, 0));
        withdraw(a, 4 ether);
        vm.assertEq(a.owner.balance, 4 ether);
        withdraw(a, 12 ether);
        vm.assertEq(a.owner.balance, 12 ether);
        vm.assertEq(equity(a), 0);
        vm.assertEq(books(a).funds, -2 ether);
        vm.assertEq(books(a).withdrawn, 12 ether);
        refused(IArena.NothingToPay.selector, a.owner, withdrawal(a, 12 ether, uint64(vm.getBlockTimestamp())));
        refused(
            abi.encodeWithSelector(IArena.NotAvailable.selector, 0), a.owner, withdrawal(a, 13 ether, uint64(vm.getBlockTimestamp()))
        );
    }

    function test_withdraw_needs_both_signatures() public {
        uint64 deadline = uint64(vm.getBlockTimestamp());
        bytes32 digest = typed(Typing.withdrawal(a.id, 1, deadline, Typing.receipt(a.id, 0, 0, 0)));
        (bytes memory good, bytes memory ours) = (sign(a.secret, digest), sign(OPERATOR_SECRET, digest));
        bytes4 bad = IArena.BadSignature.selector;
        refused(abi.encodeWithSelector(bad, 0), a.owner, abi.encodeCall(arena.withdraw, (a.owner, a.key, 1, deadline, ours, ours)));
        refused(abi.encodeWithSelector(bad, 1), a.owner, abi.encodeCall(arena.withdraw, (a.owner, a.key, 1, deadline, good, good)));
        // The owner is part of the account: nobody else's account is meant by this key's signature.
        refused(abi.encodeWithSelector(bad, 0), a.owner, abi.encodeCall(arena.withdraw, (b.owner, a.key, 1, deadline, good, ours)));
        refused(
            abi.encodeWithSelector(IArena.BadLength.selector, 64, 0),
            a.owner,
            abi.encodeCall(arena.withdraw, (a.owner, a.key, 1, deadline, "", ours))
        );
        accepted(b.owner, abi.encodeCall(arena.withdraw, (a.owner, a.key, 1, deadline, good, ours)));
    }

    function test_withdraw_leaves_locked_stakes() public {
        IArena.Match memory m = terms(a, 0, b, 0, 4 ether);
        openExit(a);
        lock(pair(a, b), m, 0);
        refused(
            abi.encodeWithSelector(IArena.NotAvailable.selector, 6 ether),
            a.owner,
            withdrawal(a, 7 ether, uint64(vm.getBlockTimestamp()))
        );
        withdraw(a, 6 ether);
    }

    // ------------------------------------------------------------------------------------------------------------ exit

    function test_exit_by_the_owner_and_finish_by_anyone() public {
        vm.prank(a.owner);
        vm.expectEmit(address(arena));
        emit IArena.ExitOpened(a.id, uint40(START + WINDOW));
        arena.exit(a.owner, a.key, exitEntry(a, 2 ether, 3, 0), "");
        vm.assertEq(equity(a), 12 ether);
        vm.assertTrue(books(a).special);
        bytes memory finish = abi.encodeCall(arena.finishExit, (a.owner, a.key));
        refused(abi.encodeWithSelector(IArena.ExitWindowRuns.selector, START + WINDOW), b.owner, finish);
        vm.warp(START + WINDOW);
        accepted(b.owner, finish);
        vm.assertEq(a.owner.balance, 12 ether);
        vm.assertEq(books(a).withdrawn, 12 ether);
        refused(IArena.NothingToPay.selector, b.owner, finish);
        refused(IArena.ExitNotOpen.selector, b.owner, abi.encodeCall(arena.finishExit, (b.owner, b.key)));
    }

    function test_a_total_that_is_full_keeps_nobody_in() public {
        openExit(a);
        bytes32 slot = keccak256(abi.encode(a.id, 0)); // the side record
        vm.store(address(arena), slot, vm.load(address(arena), slot) | bytes32(uint256(type(uint96).max - 1 ether)));
        vm.warp(START + WINDOW);
        arena.finishExit(a.owner, a.key);
        vm.assertEq(a.owner.balance, 10 ether);
        vm.assertEq(books(a).withdrawn, type(uint96).max);
    }

    function test_exit_by_the_keys_signature() public {
        bytes32 hash = Typing.receipt(a.id, 2 ether, 3, 0);
        bytes memory newest = exitEntry(a, 2 ether, 3, 0);
        bytes4 bad = IArena.BadSignature.selector;
        bytes memory order = sign(a.secret, typed(Typing.exit(a.id, hash, 0)));
        refused(abi.encodeWithSelector(bad, 0), b.owner, exiting(a, "", order)); // names a receipt
        refused(abi.encodeWithSelector(bad, 0), b.owner, exiting(b, newest, order));
        refused(abi.encodeWithSelector(IArena.BadLength.selector, 64, 0), b.owner, exiting(a, newest, ""));
        refused(abi.encodeWithSelector(IArena.BadLength.selector, 84, 3), b.owner, exiting(a, "abc", order));
        bytes memory forged = abi.encodePacked(int96(9), uint32(3), uint32(0), sign(a.secret, "no receipt"));
        refused(abi.encodeWithSelector(bad, 0), a.owner, exiting(a, forged, ""));
        accepted(b.owner, exiting(a, newest, order));
        vm.assertEq(equity(a), 12 ether);
        vm.assertEq(books(a).nonce, 1);
    }

    function test_exit_opens_although_its_receipt_cannot_be_settled() public {
        // Somebody else was faster.
        arena.settleSigned(signed(a, 2 ether, 3, 0));
        skipped(a.id, Skip.STALE, a.owner, exiting(a, exitEntry(a, 2 ether, 3, 0), ""));
        vm.assertEq(books(a).exitAt, START + WINDOW);
        skipped(b.id, Skip.POOL_SHORT, b.owner, exiting(b, exitEntry(b, 4 ether, 3, 0), ""));
        vm.assertEq(books(b).exitAt, START + WINDOW);
        Player memory c = rich(3, 1 ether);
        Player memory d = rich(4, 1 ether);
        conclude(pair(c, d), terms(c, 0, d, 0, 1 ether), amounts(2 ether, 0));
        skipped(c.id, Skip.CLAIMS, c.owner, exiting(c, exitEntry(c, 1 ether, 3, 0), ""));
    }

    function test_a_second_exit_brings_a_newer_receipt_but_does_not_move_the_window() public {
        openExit(a);
        vm.warp(START + 1 hours);
        accepted(a.owner, exiting(a, exitEntry(a, 1 ether, 2, 0), ""));
        vm.assertEq(books(a).exitAt, START + WINDOW);
        vm.assertEq(books(a).nonce, 2);
        vm.assertEq(equity(a), 11 ether);
    }

    function test_deposits_are_refused_once_an_exit_is_open() public {
        openExit(a);
        vm.deal(a.owner, 1 ether);
        vm.prank(a.owner);
        (bool done,) = address(arena).call{value: 1 ether}(abi.encodeCall(arena.deposit, (a.id)));
        vm.assertFalse(done);
    }

    /// R3.7: what has matured is paid before a statement may open the window anew.
    function test_a_late_statement_cannot_hold_back_matured_money() public {
        openExit(a);
        vm.warp(START + WINDOW);
        skipped(a.id, Skip.MATURED, operator, settling(entry(a, 1 ether, 1, 0)));
        skipped(a.id, Skip.MATURED, b.owner, abi.encodeCall(arena.settleSigned, (signed(a, -1 ether, 1, 0))));
        arena.finishExit(a.owner, a.key);
        vm.assertEq(a.owner.balance, 10 ether);
        // Now it may; the new money waits for its own window.
        settle(entry(a, 1 ether, 1, 0));
        vm.assertEq(books(a).exitAt, START + 2 * WINDOW);
        bytes memory finish = abi.encodeCall(arena.finishExit, (a.owner, a.key));
        refused(abi.encodeWithSelector(IArena.ExitWindowRuns.selector, START + 2 * WINDOW), a.owner, finish);
        // In which a newer statement counts.
        settle(entry(a, 0, 2, 0));
        vm.warp(START + 2 * WINDOW);
        refused(IArena.NothingToPay.selector, a.owner, finish);
    }

    // ------------------------------------------------------------------------------------------------- lock and release

    function test_a_lock_holds_the_stake_until_its_match_expires() public {
        IArena.Match memory m = terms(a, 0, b, 0, 4 ether);
        openExit(a);
        vm.expectEmit(address(arena));
        emit IArena.Locked(a.id, idOf(m), 4 ether);
        lock(pair(a, b), m, 0);
        refused(IArena.AlreadyLocked.selector, b.owner, locking(pair(a, b), m, 0));
        vm.warp(START + WINDOW);
        arena.finishExit(a.owner, a.key);
        vm.assertEq(a.owner.balance, 6 ether);
        bytes memory free = abi.encodeCall(arena.release, (m, 0));
        refused(IArena.StillLocked.selector, b.owner, free);
        refused(IArena.NotLocked.selector, b.owner, abi.encodeCall(arena.release, (m, 1)));
        refused(abi.encodeWithSelector(IArena.BadSeat.selector, 2), b.owner, abi.encodeCall(arena.release, (m, 2)));
        vm.warp(m.expiry + 1);
        accepted(b.owner, free);
        arena.finishExit(a.owner, a.key);
        vm.assertEq(a.owner.balance, 10 ether);
    }

    function test_lock_needs_an_open_exit_and_an_open_match() public {
        IArena.Match memory m = terms(a, 0, b, 0, 4 ether);
        refused(IArena.ExitNotOpen.selector, b.owner, locking(pair(a, b), m, 0));
        openExit(a);
        openExit(b);
        refused(abi.encodeWithSelector(IArena.BadSeat.selector, 2), b.owner, locking(pair(a, b), m, 2));
        bytes[] memory cheats = new bytes[](3);
        cheats[0] = bytes.concat(sign(b.secret, idOf(m)), sign(b.secret, idOf(m)), sign(OPERATOR_SECRET, idOf(m)));
        cheats[1] = bytes.concat(sign(a.secret, idOf(m)), sign(a.secret, idOf(m)), sign(OPERATOR_SECRET, idOf(m)));
        cheats[2] = bytes.concat(sign(a.secret, idOf(m)), sign(b.secret, idOf(m)), sign(b.secret, idOf(m)));
        for (uint256 i; i < 3; ++i) {
            refused(
                abi.encodeWithSelector(IArena.BadSignature.selector, i),
                b.owner,
                abi.encodeCall(arena.lock, (m, 0, owners(pair(a, b)), cheats[i]))
            );
        }
        settle(entry(a, 0, 1, 0));
        refused(IArena.MatchSettled.selector, b.owner, locking(pair(a, b), m, 0));
        m = terms(a, 1, b, 0, 4 ether);
        m.expiry = uint64(START + 10);
        vm.warp(START + 11);
        refused(IArena.MatchExpired.selector, b.owner, locking(pair(a, b), m, 0));
        m.expiry = uint64(START + 10 days);
        conclude(pair(a, b), m, amounts(4 ether, 4 ether));
        refused(IArena.MatchConcluded.selector, b.owner, locking(pair(a, b), m, 0));
        vm.warp(START + WINDOW);
        m = terms(a, 2, b, 1, 4 ether);
        refused(IArena.ExitWindowOver.selector, b.owner, locking(pair(a, b), m, 0));
    }

    function test_a_settled_match_frees_its_lock() public {
        IArena.Match memory m = terms(a, 0, b, 0, 4 ether);
        openExit(a);
        lock(pair(a, b), m, 0);
        settle(entry(a, 0, 1, 0)); // given up (R5.4)
        arena.release(m, 0);
        vm.assertEq(books(a).locked, 0);
    }

    /// R3.4 would keep a lost stake locked for ever if only `release` freed it: `settleClaimed` frees what its statement contains.
    function test_a_statement_with_the_lost_match_frees_its_lock() public {
        IArena.Match memory m = terms(a, 0, b, 0, 8 ether);
        openExit(a);
        lock(pair(a, b), m, 0);
        skipped(a.id, Skip.UNDERWATER, operator, settling(entry(a, -8 ether, 1, 0)));
        settleClaimed(a, -8 ether, 1, 0, claim(m, new uint96[](0), 0));
        vm.assertEq(books(a).locked, 0);
        vm.assertEq(equity(a), 2 ether);
    }

    function test_a_conclusion_frees_all_locks_of_its_match() public {
        IArena.Match memory m = terms(a, 0, b, 0, 4 ether);
        openExit(a);
        openExit(b);
        lock(pair(a, b), m, 0);
        lock(pair(a, b), m, 1);
        conclude(pair(a, b), m, amounts(7 ether, 1 ether));
        vm.assertEq(books(a).locked + books(b).locked, 0);
        vm.assertEq(equity(a), 13 ether);
        vm.assertEq(equity(b), 7 ether);
    }

    function test_a_disputed_match_keeps_its_lock_beyond_its_expiry() public {
        IArena.Match memory m = terms(a, 0, b, 0, 4 ether);
        openExit(a);
        lock(pair(a, b), m, 0);
        (bytes29 first, bytes29 second) = ("first", "second");
        refused(IArena.NotCourt.selector, operator, abi.encodeCall(arena.dispute, (idOf(m), 0, first)));
        refused(IArena.OtherDocket.selector, court, abi.encodeCall(arena.dispute, (idOf(m), first, second)));
        accepted(court, abi.encodeCall(arena.dispute, (idOf(m), 0, first)));
        refused(IArena.MatchDisputed.selector, court, abi.encodeCall(arena.dispute, (idOf(m), 0, first)));
        refused(IArena.OtherDocket.selector, court, abi.encodeCall(arena.dispute, (idOf(m), second, first)));
        accepted(court, abi.encodeCall(arena.dispute, (idOf(m), first, second)));
        vm.warp(m.expiry + 1);
        refused(IArena.StillLocked.selector, a.owner, abi.encodeCall(arena.release, (m, 0)));
        accepted(court, abi.encodeCall(arena.outcome, (m, amounts(0, 8 ether))));
        Books memory k = books(a);
        vm.assertEq(k.locked, 0);
        vm.assertEq(equity(a), 6 ether);
        refused(IArena.MatchConcluded.selector, court, abi.encodeCall(arena.dispute, (idOf(m), second, first)));
    }
}

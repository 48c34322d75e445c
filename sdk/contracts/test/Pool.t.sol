// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../src/IArena.sol";
import {Fixture, Player} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice Deposits, the pool, the revenue and how an arena is deployed (R3.6, R6.13).
contract PoolTest is Fixture {
    function test_deposit_limits() public {
        Player memory a = player(1);
        vm.deal(address(this), type(uint96).max);
        (bool done,) = address(arena).call{value: 2 ** 95}(abi.encodeCall(arena.deposit, (a.id)));
        vm.assertFalse(done);
        arena.deposit{value: 2 ** 95 - 1}(a.id);
        (done,) = address(arena).call{value: 1}(abi.encodeCall(arena.deposit, (a.id)));
        vm.assertFalse(done);
        (done,) = address(arena).call{value: 1}(abi.encodeCall(arena.deposit, (address(0))));
        vm.assertFalse(done);
        (done,) = address(arena).call{value: 1}("");
        vm.assertFalse(done);
        refused(IArena.WrongAsset.selector, a.owner, abi.encodeCall(arena.depositToken, (a.id, 1)));
        refused(IArena.WrongAsset.selector, a.owner, abi.encodeCall(arena.fundToken, (1)));
    }

    function test_pool_withdrawal_after_its_notice_and_before_it_lapses() public {
        fundPool(5 ether);
        refused(IArena.NotOperator.selector, house, abi.encodeCall(arena.requestPool, (1)));
        refused(IArena.NotOperator.selector, house, abi.encodeCall(arena.withdrawPool, ()));
        accepted(operator, abi.encodeCall(arena.requestPool, (3 ether)));
        bytes memory early = abi.encodeWithSelector(IArena.NoticeRuns.selector, START + WINDOW, START + 2 * WINDOW);
        refused(early, operator, abi.encodeCall(arena.withdrawPool, ()));
        vm.warp(START + 2 * WINDOW);
        refused(early, operator, abi.encodeCall(arena.withdrawPool, ()));
        vm.warp(START + WINDOW);
        accepted(operator, abi.encodeCall(arena.withdrawPool, ()));
        vm.assertEq(operator.balance, 3 ether);
        vm.assertEq(poolEquity(), 2 ether);
        refused(
            abi.encodeWithSelector(IArena.NoticeRuns.selector, 0, uint256(WINDOW)),
            operator,
            abi.encodeCall(arena.withdrawPool, ())
        );
    }

    // ----------------------------------------------------------------------------------------------------- revenue (R6.13)

    function claimable(address who) private view returns (uint256 amount) {
        (amount,,,) = arena.revenueOf(who);
    }

    function test_fees_mature_between_one_and_two_windows() public {
        fundPool(10 ether);
        uint256 epoch = START / WINDOW;
        vm.warp((epoch + 1) * WINDOW - 1); // the last second of an epoch
        settleWithFees("", 1 ether);
        bytes memory pull = abi.encodeCall(arena.claimRevenue, (house));
        refused(IArena.NothingToPay.selector, house, pull);
        vm.warp((epoch + 2) * WINDOW - 1);
        settleWithFees("", 2 ether);
        vm.assertEq(claimable(house), 0);
        refused(IArena.NothingToPay.selector, house, pull);
        vm.warp((epoch + 2) * WINDOW);
        vm.assertEq(claimable(house), 0.7 ether);
        accepted(address(1), pull);
        vm.assertEq(house.balance, 0.7 ether);
        refused(IArena.NothingToPay.selector, house, pull);
        vm.warp((epoch + 9) * WINDOW);
        vm.assertEq(claimable(house), 1.4 ether);
        vm.assertEq(claimable(studio), 0.9 ether);
        accepted(address(1), pull);
        accepted(address(1), abi.encodeCall(arena.claimRevenue, (studio)));
        vm.assertEq(house.balance, 2.1 ether);
        vm.assertEq(studio.balance, 0.9 ether);
    }

    function test_fees_mature_on_a_chain_that_starts_at_zero() public {
        vm.warp(1);
        arena = newArena(address(0));
        fundPool(10 ether);
        settleWithFees("", 1 ether);
        vm.warp(WINDOW + 1);
        settleWithFees("", 1 ether);
        vm.warp(2 * WINDOW);
        vm.assertEq(claimable(house), 0.7 ether);
        settleWithFees("", 1 ether);
        vm.warp(4 * WINDOW);
        accepted(house, abi.encodeCall(arena.claimRevenue, (house)));
        vm.assertEq(house.balance, 2.1 ether);
    }

    function test_dust_goes_to_the_first_beneficiary() public {
        fundPool(10 ether);
        settleWithFees("", 3);
        vm.warp(START + 3 * WINDOW);
        vm.assertEq(claimable(house), 3);
        vm.assertEq(claimable(studio), 0);
    }

    function test_revenue_waits_while_players_are_owed() public {
        fundPool(1 ether);
        settleWithFees("", 1 ether);
        Player memory a = rich(1, 1 ether);
        Player memory c = player(3);
        conclude(pair(a, c), terms(a, 0, c, 0, 1 ether), amounts(2 ether, 0));
        vm.warp(START + 3 * WINDOW);
        refused(
            abi.encodeWithSelector(IArena.PoolOwes.selector, 1 ether), house, abi.encodeCall(arena.claimRevenue, (house))
        );
        fundPool(1 ether);
        accepted(house, abi.encodeCall(arena.claimRevenue, (house)));
    }

    function split(address to) private pure returns (address[] memory who, uint16[] memory points) {
        (who, points) = (new address[](1), new uint16[](1));
        (who[0], points[0]) = (to, 10_000);
    }

    function test_a_new_split_is_in_force_after_a_window_and_only_for_later_fees() public {
        fundPool(10 ether);
        address late = address(0x1a7e);
        (address[] memory who, uint16[] memory points) = split(late);
        refused(IArena.NotOperator.selector, house, abi.encodeCall(arena.proposeSplit, (who, points)));
        settleWithFees("", 1 ether);
        accepted(operator, abi.encodeCall(arena.proposeSplit, (who, points)));
        vm.warp(START + WINDOW);
        settleWithFees("", 1 ether);
        vm.warp(START + 2 * WINDOW);
        settleWithFees("", 1 ether);
        vm.warp(START + 9 * WINDOW);
        vm.assertEq(claimable(house) + claimable(studio), 2 ether);
        vm.assertEq(claimable(late), 1 ether);
        accepted(late, abi.encodeCall(arena.claimRevenue, (late)));
        vm.assertEq(late.balance, 1 ether);
    }

    function test_a_proposal_replaces_one_that_is_not_in_force() public {
        fundPool(10 ether);
        (address[] memory who, uint16[] memory points) = split(address(0xbad));
        accepted(operator, abi.encodeCall(arena.proposeSplit, (who, points)));
        vm.warp(START + WINDOW);
        who[0] = address(0x900d);
        accepted(operator, abi.encodeCall(arena.proposeSplit, (who, points)));
        vm.warp(START + 2 * WINDOW);
        settleWithFees("", 1 ether);
        vm.warp(START + 3 * WINDOW);
        settleWithFees("", 1 ether);
        vm.warp(START + 6 * WINDOW);
        vm.assertEq(claimable(address(0xbad)), 0);
        vm.assertEq(claimable(address(0x900d)), 1 ether);
        vm.assertEq(claimable(house), 0.7 ether);
    }

    function test_splits_are_checked() public {
        (address[] memory who, uint16[] memory points) = split(house);
        bytes4 bad = IArena.BadSplit.selector;
        points[0] = 9_999;
        refused(bad, operator, abi.encodeCall(arena.proposeSplit, (who, points)));
        refused(bad, operator, abi.encodeCall(arena.proposeSplit, (new address[](0), new uint16[](0))));
        refused(bad, operator, abi.encodeCall(arena.proposeSplit, (new address[](9), new uint16[](9))));
        refused(bad, operator, abi.encodeCall(arena.proposeSplit, (who, new uint16[](2))));
        (who[0], points[0]) = (address(0), 10_000);
        refused(bad, operator, abi.encodeCall(arena.proposeSplit, (who, points)));
        (who, points) = (new address[](2), new uint16[](2));
        (who[0], who[1], points[0]) = (house, studio, 10_000);
        refused(bad, operator, abi.encodeCall(arena.proposeSplit, (who, points)));
    }

    // ---------------------------------------------------------------------------------------------------------- deployment

    function test_deployment() public {
        vm.assertEq(arena.operator(), operator);
        vm.assertEq(arena.token(), address(0));
        vm.assertEq(arena.court(), court);
        vm.assertEq(arena.exitWindow(), WINDOW);
        // Without beneficiaries the operator has all fees.
        arena = newArenaWithSalt("none", new address[](0));
        fundPool(1 ether);
        settleWithFees("", 1 ether);
        vm.warp(START + 3 * WINDOW);
        vm.assertEq(claimable(operator), 1 ether);
        vm.expectRevert(IArena.ZeroAddress.selector);
        this.deploy(IArena.Config(address(0), address(0), court, WINDOW, "", new address[](0), new uint16[](0)));
        vm.expectRevert(IArena.ZeroAddress.selector);
        this.deploy(IArena.Config(operator, address(0xdead), court, WINDOW, "", new address[](0), new uint16[](0)));
        vm.expectRevert(IArena.ZeroWindow.selector);
        this.deploy(IArena.Config(operator, address(0), court, 0, "", new address[](0), new uint16[](0)));
    }
}

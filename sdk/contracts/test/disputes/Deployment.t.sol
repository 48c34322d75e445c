// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../../src/IArena.sol";
import {ICourt} from "../../src/ICourt.sol";
import {Disputed} from "./Disputed.sol";
import {vm} from "../Vm.sol";

/// @notice How a court is deployed, and how not.
contract DeploymentTest is Disputed {
    function test_a_court_serves_the_arena_that_names_it() public {
        vm.assertEq(bench.arena(), address(arena));
        (uint32 minimum, uint32 patience, uint96 bond, uint8 quorum) = bench.limits();
        vm.assertEq(minimum, MINIMUM);
        vm.assertEq(patience, PATIENCE);
        vm.assertEq(bond, BOND);
        vm.assertEq(quorum, QUORUM);
        vm.assertTrue(bench.REFEREE().code.length != 0);
        vm.assertTrue(bench.isArbiter(vm.addr(arbiter(0))));
        vm.assertFalse(bench.isArbiter(operator));
        vm.assertEq(bench.docketHash(docket) == bytes29(keccak256(abi.encode(docket))), true);
        refusedBench(abi.encodeWithSelector(ICourt.WrongCourt.selector, address(bench)), config(address(arena)));
    }

    function test_a_court_needs_windows_and_a_possible_quorum_of_ascending_arbiters() public {
        ICourt.Bench memory to = config(address(0));
        to.minimum = 0;
        mistaken(abi.encodeWithSelector(IArena.ZeroWindow.selector), to);
        to = config(address(0));
        to.patience = MINIMUM - 1;
        mistaken(abi.encodeWithSelector(ICourt.ShortPatience.selector, MINIMUM), to);
        to = config(address(0));
        to.quorum = 4;
        mistaken(abi.encodeWithSelector(ICourt.BadArbiters.selector), to);
        to.quorum = 0;
        mistaken(abi.encodeWithSelector(ICourt.BadArbiters.selector), to);
        to = config(address(0));
        to.arbiters[1] = to.arbiters[0];
        mistaken(abi.encodeWithSelector(ICourt.BadArbiters.selector), to);
        to.arbiters = new address[](2); // zero
        mistaken(abi.encodeWithSelector(ICourt.BadArbiters.selector), to);
    }

    /// Tries with an arena that waits for the court of the next address.
    function mistaken(bytes memory expected, ICourt.Bench memory to) private {
        court = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        to.arena = address(newArena(address(0)));
        refusedBench(expected, to);
    }

    function refusedBench(bytes memory expected, ICourt.Bench memory to) private {
        try this.build(to) {
            vm.assertTrue(false, "built");
        } catch (bytes memory why) {
            vm.assertEq(keccak256(why), keccak256(expected));
        }
    }

    function build(ICourt.Bench memory to) external {
        create("Court", abi.encode(to));
    }
}

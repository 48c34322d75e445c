// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Adversary} from "./Adversary.sol";
import {vm} from "../Vm.sol";

contract DisputeInvariantTest {
    Adversary private adversary;

    function setUp() public {
        adversary = new Adversary();
        adversary.setUp();
    }

    function targetContracts() external view returns (address[] memory all) {
        all = new address[](1);
        all[0] = address(adversary);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory all) {
        bytes4[14] memory list = [
            Adversary.play.selector,
            Adversary.play.selector,
            Adversary.challenge.selector,
            Adversary.challenge.selector,
            Adversary.respond.selector,
            Adversary.respond.selector,
            Adversary.goOn.selector,
            Adversary.contest.selector,
            Adversary.doubt.selector,
            Adversary.leave.selector,
            Adversary.finishExit.selector,
            Adversary.wait.selector,
            Adversary.finalize.selector,
            Adversary.finalize.selector
        ];
        all = new FuzzSelector[](1);
        all[0].addr = address(adversary);
        all[0].selectors = new bytes4[](list.length);
        for (uint256 i; i < list.length; ++i) all[0].selectors[i] = list[i];
    }

    /// Section 1: paid what the rules say, whatever the other seat does.
    function invariant_an_honest_seat_with_a_tower_is_paid_what_the_rules_say() public view {
        vm.assertTrue(!adversary.robbed(), "robbed");
        vm.assertTrue(bytes(adversary.helpless()).length == 0, adversary.helpless());
        vm.assertEq(adversary.honestEquity(), adversary.honestDue(), "the honest account");
        vm.assertEq(adversary.owed(), 0, "a locked stake pays");
    }

    /// R3.3.
    function invariant_conservation() public view {
        vm.assertEq(adversary.worth() + adversary.paidOut(), adversary.paidIn(), "conservation");
        vm.assertEq(adversary.worth(), adversary.held(), "balance");
    }

    /// R3.4: a dispute moves no money before its end.
    function invariant_only_an_outcome_moves_money() public view {
        vm.assertTrue(!adversary.underFloor(), "money moved");
    }

    /// R7.1.
    function invariant_no_match_has_two_outcomes() public view {
        vm.assertTrue(!adversary.twice(), "twice");
    }

    /// R7.5, R7.13.
    function invariant_every_window_is_long_enough_and_every_dispute_ends() public view {
        vm.assertTrue(!adversary.endless(), "endless");
    }

    /// R7.9.
    function invariant_the_court_holds_the_bonds_and_nothing_else() public view {
        (uint256 has, uint256 due) = adversary.bonds();
        vm.assertEq(has, due, "bonds");
    }
}

/// @notice The invariants above are worth something only if the adversary gets everywhere.
contract AdversaryTest {
    function test_the_adversary_gets_everywhere() public {
        Adversary adversary = new Adversary();
        adversary.setUp();
        uint256 seed = 1;
        for (uint256 i; i < 3_000; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 what = seed % 12;
            (uint256 x, uint256 y, uint256 z) = (seed >> 16, seed >> 80, seed >> 144);
            if (what < 2) adversary.play(x);
            else if (what < 4) adversary.challenge(x, y, z);
            else if (what < 6) adversary.respond(x, y, z);
            else if (what == 6) adversary.goOn(x);
            else if (what == 7) adversary.contest(x);
            else if (what == 8) adversary.doubt();
            else if (what == 9) (seed >> 8) % 4 == 0 ? adversary.leave() : adversary.finishExit(x);
            else if (what == 10) adversary.wait(x);
            else adversary.finalize();
        }
        bytes32[15] memory names = [
            bytes32("challenge"), "respond", "goOn", "contest", "void", "leave", "finishExit", "insist", "finalize", "rule",
            "show", "equivocate", "fork", "accuse", "finalize"
        ];
        for (uint256 i; i < names.length; ++i) {
            vm.assertTrue(adversary.calls(names[i]) != 0, string(abi.encodePacked(names[i])));
        }
        vm.assertFalse(adversary.robbed());
        vm.assertEq(bytes(adversary.helpless()).length, 0, adversary.helpless());
    }
}

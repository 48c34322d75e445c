// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../../src/IArena.sol";
import {ICourt} from "../../src/ICourt.sol";
import {Player} from "../Fixture.sol";
import {Typing} from "../Typing.sol";
import {Disputed, Story} from "./Disputed.sol";
import {Vm, vm} from "../Vm.sol";

/// @notice Arbiters agree by what each of them says on the chain (R7.10).
contract TestimonyTest is Disputed {
    Player private a;
    Player private b;

    function setUp() public override {
        super.setUp();
        a = rich(1, 10 ether);
        b = rich(2, 10 ether);
    }

    function contestedStory() private returns (Story memory s) {
        s = then(story(pair(a, b)), 3);
        tell(challenging(s, proof(s, 2)));
        tell(stranger, BOND, contesting(s, 3));
    }

    function test_testimonies_of_the_quorum_are_what_a_stranger_needs_to_rule() public {
        Story memory s = contestedStory();
        bytes memory signatures;
        for (uint256 i; i < QUORUM; ++i) signatures = bytes.concat(signatures, heard(s, false, i));
        tell(abi.encodeCall(bench.rule, (s.terms, docket, slice(s, 2, 3), false, signatures)));
        vm.assertEq(top(), 2);
        vm.assertEq(contested(), 0);
        vm.assertEq(bench.bondOf(stranger), BOND);
    }

    /// A stranger brings one arbiter's word; the signature as the event has it.
    function heard(Story memory s, bool legal, uint256 i) private returns (bytes memory signature) {
        bytes memory call_ = testifying(s, s.states[3], legal, arbiter(i));
        vm.recordLogs();
        vm.prank(stranger, stranger);
        (bool done,) = address(bench).call(call_);
        vm.assertTrue(done);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1);
        vm.assertEq(logs[0].topics[0], ICourt.Testified.selector);
        vm.assertEq(logs[0].topics[1], idOf(s.terms));
        vm.assertEq(logs[0].topics[2], bytes32(uint256(uint160(vm.addr(arbiter(i))))));
        bytes32 header;
        bool said;
        (header, said, signature) = abi.decode(logs[0].data, (bytes32, bool, bytes));
        vm.assertEq(header, Typing.state(idOf(s.terms), s.states[3]));
        vm.assertEq(said, legal);
    }

    function test_a_testimony_decides_nothing() public {
        Story memory s = contestedStory();
        bytes29 before = bench.docketHash(docket);
        for (uint256 i; i < ARBITERS; ++i) heard(s, false, i);
        (,,, bytes29 kept) = arena.outcomeOf(idOf(s.terms));
        vm.assertEq(kept == before, true);
        // Silent in `rule`: the stakes go back.
        pass();
        tell(ending(s, 3));
        vm.assertEq(status(s), 2);
    }

    function test_a_lying_arbiter_alone_rules_nothing() public {
        Story memory s = contestedStory();
        bytes memory lie = heard(s, true, 0);
        bytes memory call_ = abi.encodeCall(bench.rule, (s.terms, docket, slice(s, 2, 3), true, lie));
        denied(abi.encodeWithSelector(IArena.BadLength.selector, 128, 64), call_);
        call_ = abi.encodeCall(bench.rule, (s.terms, docket, slice(s, 2, 3), true, bytes.concat(lie, lie)));
        denied(IArena.BadSignature.selector, 1, call_);
        // Together with another's word for the contrary it is none either.
        call_ = abi.encodeCall(
            bench.rule, (s.terms, docket, slice(s, 2, 3), true, bytes.concat(lie, heard(s, false, 1)))
        );
        denied(IArena.BadSignature.selector, 1, call_);
    }

    function test_only_an_arbiters_own_signature_is_testimony() public {
        Story memory s = contestedStory();
        bytes32 id = idOf(s.terms);
        bytes32 header = Typing.state(id, s.states[3]);
        bytes memory mine = sign(arbiter(0), ruling(s, s.states[3], false));
        bytes4 bad = IArena.BadSignature.selector;
        denied(bad, 0, testifying(s, s.states[3], false, a.secret));
        // Of the other verdict, another header, another match.
        denied(bad, 0, abi.encodeCall(bench.testify, (id, header, true, mine)));
        denied(bad, 0, abi.encodeCall(bench.testify, (id, Typing.state(id, s.states[2]), false, mine)));
        denied(bad, 0, abi.encodeCall(bench.testify, (bytes32(uint256(id) ^ 1), header, false, mine)));
        bytes4 length = IArena.BadLength.selector;
        denied(abi.encodeWithSelector(length, 64, 63), abi.encodeCall(bench.testify, (id, header, false, cut(mine))));
        denied(abi.encodeWithSelector(length, 64, 0), abi.encodeCall(bench.testify, (id, header, false, "")));
    }

    function cut(bytes memory all) private pure returns (bytes memory part) {
        part = new bytes(all.length - 1);
        for (uint256 i; i < part.length; ++i) part[i] = all[i];
    }
}

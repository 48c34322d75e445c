// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../../src/IArena.sol";
import {Disputed, Story} from "./Disputed.sol";
import {vm} from "../Vm.sol";

/// @notice What each step of a dispute costs as a transaction, calldata included: written to snapshots/Court.json. Two seats, the
/// native coin, tic-tac-toe, accounts that have settled before.
/// forge-config: default.isolate = true
contract DisputeGasTest is Disputed {
    string private missed;

    function done() private view {
        vm.assertEq(bytes(missed).length, 0, missed);
    }

    function measure(string memory name, uint256 goal) private {
        if (vm.snapshotGasLastCall("Court", name) > goal) missed = string.concat(missed, name, "; ");
    }

    function calldataGas(string memory name, bytes memory data) private {
        uint256 gas;
        for (uint256 i; i < data.length; ++i) gas += data[i] == 0 ? 4 : 16;
        vm.snapshotValue("Court", string.concat(name, ": calldata alone"), gas);
    }

    function opened() private returns (Story memory s) {
        s = noughts(pair(rich(1, 10 ether), rich(2, 10 ether)));
        fundPool(100 ether);
        settle(bytes.concat(entry(s.players[0], 1 ether, 16, 0), entry(s.players[1], 1 ether, 16, 0)));
        s.terms.indexes = numbers(17, 18);
        s = play(play(play(play(s, 0), 4), 1), 5);
        bytes memory data = challenging(s, proof(s, 3));
        tell(data);
        measure("challenge with an asserted move", 90_000);
        calldataGas("challenge with an asserted move", data);
    }

    function test_gas_challenge_and_finalize() public {
        Story memory s = opened();
        pass();
        bytes memory data = ending(s, 4);
        tell(data);
        measure("finalize", 80_000);
        calldataGas("finalize", data);
        done();
    }

    function test_gas_challenge_with_an_agreed_state() public {
        Story memory s = noughts(pair(rich(1, 10 ether), rich(2, 10 ether)));
        s = play(play(play(play(s, 0), 4), 1), 5);
        tell(challenging(s, proof(s, 4)));
        measure("challenge with an agreed state alone", 90_000);
        done();
    }

    function test_gas_respond() public {
        Story memory s = play(opened(), 2);
        bytes memory data = responding(s, more(s, 4));
        tell(data);
        measure("respond", 70_000);
        calldataGas("respond", data);
        done();
    }

    function test_gas_respond_with_something_agreed() public {
        Story memory s = play(play(play(opened(), 6), 2), 3);
        tell(responding(s, proof(s, 6)));
        measure("respond with an agreed state and an asserted move", 80_000);
        done();
    }

    function test_gas_contest() public {
        contest("contest with the rules of tic-tac-toe brought along", 300_000, opened());
    }

    function test_gas_contest_before_a_contract_for_one_game() public {
        Story memory s = opened();
        s.terms.referee = address(judgeOfNoughts);
        s = play(play(play(play(upTo(s, 0), 0), 4), 1), 5);
        tell(challenging(s, proof(s, 3)));
        contest("contest before a contract for tic-tac-toe alone", 150_000, s);
    }

    function contest(string memory name, uint256 goal, Story memory s) private {
        // The cell is taken.
        s = then(s, action(0), keccak256("board"), 1, amounts(1.9 ether, 0));
        tell(responding(s, more(s, 4)));
        bytes memory data = contesting(s, 5);
        tell(data);
        measure(name, goal);
        calldataGas(name, data);
        done();
    }

    function test_gas_contest_before_arbiters() public {
        Story memory s = opened();
        s.terms.referee = address(0);
        s = upTo(s, 0);
        s = then(s, 4);
        tell(challenging(s, proof(s, 3)));
        tell(stranger, BOND, contesting(s, 4));
        measure("contest before arbiters", 120_000);
        tell(testifying(s, s.states[4], false, arbiter(2)));
        measure("testify", 40_000);
        tell(ruleing(s, 4, false));
        measure("rule, 2 of 3 arbiters: illegal", 120_000);
        done();
    }

    function test_gas_equivocate() public {
        Story memory s = opened();
        Story memory other = then(upTo(s, 3), "other");
        tell(doubling(s, other, 4));
        measure("equivocate", 90_000);
        done();
    }
}

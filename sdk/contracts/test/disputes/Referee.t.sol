// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../../src/IArena.sol";
import {ICourt, Phase} from "../../src/ICourt.sol";
import {IReferee} from "../../src/IReferee.sol";
import {Referee} from "../../src/Referee.sol";
import {Player} from "../Fixture.sol";
import {Disputed, Story} from "./Disputed.sol";
import {vm} from "../Vm.sol";

/// @notice What strangers' code can do to the court's referee (R7.8): nothing.
contract RefereeTest is Disputed {
    bytes private constant EMPTY = hex"5f5ffd"; // reverts with nothing
    bytes private constant LOOP = hex"5b5f56";
    bytes private constant RIGHT = hex"0102000000000000000000000001000000000000000000000002c0ffee"; // 1 moves; 1 and 2; c0ffee

    /// Does this, and then reverts with the answer.
    function saying(bytes memory before, bytes memory answer) private pure returns (bytes memory) {
        bytes2 size = bytes2(uint16(answer.length));
        bytes2 place = bytes2(uint16(before.length + 13));
        return bytes.concat(before, hex"61", size, hex"61", place, hex"5f3961", size, hex"5ffd", answer);
    }

    /// Makes this the code of a contract.
    function returning(bytes memory what) private pure returns (bytes memory) {
        bytes2 size = bytes2(uint16(what.length));
        return bytes.concat(hex"61", size, hex"61000d5f3961", size, hex"5ff3", what);
    }

    function asked(bytes memory code_, uint256 budget)
        private
        returns (bool legal, bytes32 board, uint8 mover, uint96[] memory payouts)
    {
        return referee.judge(keccak256(code_), budget, code_, "position", 0, "action");
    }

    function isLegal(bytes memory code_) private returns (bool legal) {
        (legal,,,) = asked(code_, 3_000_000);
    }

    // -------------------------------------------------------------------------------------------------------- answers

    function test_an_answer_is_mover_payouts_and_the_hash_of_the_position() public {
        (bool legal, bytes32 board, uint8 mover, uint96[] memory payouts) = asked(saying("", RIGHT), 100_000);
        vm.assertTrue(legal);
        vm.assertEq(board, keccak256(hex"c0ffee"));
        vm.assertEq(mover, 1);
        vm.assertEq(keccak256(abi.encode(payouts)), keccak256(abi.encode(amounts(1, 2))));
    }

    function test_the_code_reads_seat_position_and_action_behind_itself() public {
        // No mover, no payouts, and the question as the position: 19 bytes, the last four of no use.
        bytes memory echo = hex"601338038060136002396002015ffd00000000";
        vm.assertEq(echo.length, 19);
        bytes memory position = hex"0a0b0c";
        (bool legal, bytes32 board,,) = referee.judge(keccak256(echo), 10_000, echo, position, 7, hex"0d0e");
        vm.assertTrue(legal);
        vm.assertEq(board, keccak256(hex"0700030a0b0c0d0e"));
    }

    function test_bytes_that_are_no_answer_are_illegal() public {
        vm.assertFalse(isLegal(EMPTY));
        vm.assertFalse(isLegal(saying("", hex"00")));
        vm.assertTrue(isLegal(saying("", hex"0000")));
        vm.assertFalse(isLegal(saying("", hex"0001aaaaaaaaaaaaaaaaaaaaaa"))); // eleven bytes of a payout
        vm.assertTrue(isLegal(saying("", hex"0001aaaaaaaaaaaaaaaaaaaaaaaa")));
        vm.assertFalse(isLegal(hex"6009600153607f5ffd")); // nine seats
        // Positions of 32 KiB and one byte more, without payouts and with eight.
        vm.assertTrue(isLegal(hex"6180025ffd"));
        vm.assertFalse(isLegal(hex"6180035ffd"));
        vm.assertTrue(isLegal(hex"60086001536180625ffd"));
        vm.assertFalse(isLegal(hex"60086001536180635ffd"));
        vm.assertFalse(isLegal(hex"621000005ffd")); // a megabyte
    }

    function test_code_that_does_not_revert_or_not_in_time_is_illegal() public {
        vm.assertFalse(isLegal(hex""));
        vm.assertFalse(isLegal(hex"00"));
        vm.assertFalse(isLegal(LOOP));
        vm.assertFalse(isLegal(hex"fe"));
        vm.assertFalse(isLegal(returning(RIGHT)));
        vm.assertFalse(isLegal(returning(hex"00")));
        vm.assertFalse(isLegal(returning(hex"ef"))); // that no contract may start with
        vm.assertFalse(isLegal(hex"33ff")); // self-destructs
    }

    // ---------------------------------------------------------------------------------------------------- what persists

    function test_nothing_that_the_code_does_persists() public {
        address made = vm.computeCreateAddress(address(referee), 1);
        bytes[6] memory before;
        before[0] = hex"60015f55"; // stores
        before[1] = hex"60015f5d"; // for the transaction
        before[2] = hex"42505f5fa0"; // looks at the time, logs
        before[3] = hex"5f5f5ff050"; // creates
        before[4] = calling(address(arena), abi.encodeCall(arena.payOwed, (1)));
        before[5] = calling(address(bench), abi.encodeCall(bench.claimBond, (address(1))));
        for (uint256 i; i < before.length; ++i) {
            vm.assertTrue(isLegal(saying(before[i], RIGHT)));
            isLegal(bytes.concat(before[i], hex"00"));
            isLegal(bytes.concat(before[i], hex"33ff"));
            vm.assertEq(vm.getNonce(address(referee)), 1);
            vm.assertEq(made.code.length, 0);
            vm.assertEq(vm.load(made, 0), 0);
        }
    }

    /// Calls a contract with these data.
    function calling(address to, bytes memory data) private pure returns (bytes memory) {
        bytes2 size = bytes2(uint16(data.length));
        // What is called stands behind a jump over it.
        bytes2 over = bytes2(uint16(4 + data.length));
        return bytes.concat(
            hex"61", over, hex"56", data, hex"5b61", size, hex"60045f395f5f61", size, hex"5f5f73", bytes20(to), hex"5af150"
        );
    }

    function test_only_the_referee_runs_code() public {
        vm.expectRevert(Referee.NotItself.selector);
        referee.run();
    }

    function test_other_code_is_no_rules() public {
        bytes memory right = saying("", RIGHT);
        vm.expectRevert(Referee.WrongCode.selector);
        referee.judge(keccak256(right), 100_000, EMPTY, "", 0, "");
        vm.expectRevert(Referee.WrongCode.selector);
        referee.judge(keccak256(right), 100_000, bytes.concat(right, hex"00"), "", 0, "");
        vm.expectRevert(Referee.WrongCode.selector);
        referee.judge(keccak256(right), 100_000, "", right, 0, "");
    }

    function test_what_no_frame_can_run_is_illegal() public {
        bytes memory right = padded(saying("", RIGHT), 49_152 - 3 - 10);
        (bool legal,,,) = referee.judge(keccak256(right), 100_000, right, "12345", 0, "67890");
        vm.assertTrue(legal);
        (legal,,,) = referee.judge(keccak256(right), 100_000, right, "12345", 0, "678901");
        vm.assertFalse(legal);
    }

    function padded(bytes memory what, uint256 size) private pure returns (bytes memory whole) {
        whole = new bytes(size);
        for (uint256 i; i < what.length; ++i) whole[i] = what[i];
    }

    // -------------------------------------------------------------------------------------------------------------- gas

    /// Legal if at least so much gas is there when it starts.
    function demanding(uint256 gas) private pure returns (bytes memory) {
        return bytes.concat(hex"5a62", bytes3(uint24(gas - 2)), hex"11600d5760025ffd5b5f5ffd"); // GAS itself takes 2
    }

    /// Its budget and 2,000 to say so, whatever the sizes; never less, and a verdict for all who pay.
    function test_the_rules_get_their_budget() public {
        uint24[7] memory budgets = [0, 1, 63, 64, 100_000, 1_000_000, 10_000_000];
        uint16[4] memory sizes = [64, 4_096, 24_000, 49_000];
        for (uint256 i; i < budgets.length; ++i) {
            for (uint256 k; k < sizes.length; ++k) {
                bytes memory code_ = padded(demanding(uint256(budgets[i]) + 2_000), sizes[k]);
                (bool legal,,,) = asked(code_, budgets[i]);
                vm.assertTrue(legal);
                // And not much more: what is over is paid for where rules run wild.
                code_ = padded(demanding(uint256(budgets[i]) + 2_000 + 15_000), sizes[k]);
                (legal,,,) = asked(code_, budgets[i]);
                vm.assertFalse(legal);
            }
        }
    }

    /// What judging costs beside the gas that the code itself takes, which here is 40 or so: written to snapshots/Referee.json.
    function test_gas_beside_the_codes_own() public {
        uint16[4] memory sizes = [64, 8_192, 16_384, 49_000];
        string[4] memory names = ["64 bytes", "8 KiB", "16 KiB", "49,000 bytes"];
        for (uint256 i; i < sizes.length; ++i) {
            bytes memory code_ = padded(saying("", RIGHT), sizes[i]);
            bytes memory data = abi.encodeCall(referee.judge, (keccak256(code_), 100_000, code_, "position", 0, "action"));
            uint256 before = gasleft();
            (bool done,) = address(referee).call(data);
            uint256 spent_ = before - gasleft();
            vm.assertTrue(done);
            vm.snapshotValue("Referee", string.concat("judge beside the code's own gas, code of ", names[i]), spent_);
        }
    }

    /// Whoever calls with however little gas: an error, or the same verdict.
    function test_nobody_starves_the_rules_into_a_verdict() public {
        uint16[3] memory sizes = [64, 4_096, 49_000];
        for (uint256 k; k < sizes.length; ++k) {
            bytes memory code_ = padded(demanding(102_000), sizes[k]);
            bytes memory data =
                abi.encodeCall(referee.judge, (keccak256(code_), 100_000, code_, "position", 0, "action"));
            uint256 verdicts;
            for (uint256 gas = 5_000; gas < 260_000; gas += 499) {
                (bool done, bytes memory answer) = address(referee).call{gas: gas}(data);
                if (!done) continue;
                ++verdicts;
                vm.assertEq(abi.decode(answer, (uint256)), 1);
            }
            vm.assertTrue(verdicts > 10);
        }
    }

    // ---------------------------------------------------------------------------------------------------- before the court

    function opened(address by, bytes memory code_) private returns (Story memory s) {
        s = noughts(pair(rich(1, 10 ether), rich(2, 10 ether)));
        (s.terms.referee, s.terms.rules) = (by, keccak256(code_));
        s = play(play(upTo(s, 0), 0), 4);
        tell(challenging(s, proof(s, 1)));
    }

    function contesting(Story memory s, bytes memory code_) private view returns (bytes memory) {
        IArena.State[] memory trail = slice(s, 1, 2);
        return abi.encodeCall(bench.contest, (s.terms, docket, trail, code_, s.positions[1], s.moves[1]));
    }

    /// R7.8: an error of the referee is no verdict, and the contest can be made again.
    function test_what_cannot_be_judged_closes_no_case() public {
        Story memory s = opened(address(referee), EMPTY);
        denied(Referee.WrongCode.selector, contesting(s, code));
        denied(Referee.WrongCode.selector, contesting(s, ""));
        uint256 here = vm.snapshotState();
        tell(contesting(s, EMPTY));
        vm.assertEq(phase(), Phase.CLOSED);
        vm.revertToState(here);
    }

    /// R7.8: nobody escapes by signing what is too large to be run.
    function test_a_move_too_large_for_the_code_is_contested() public {
        bytes memory large = new bytes(49_152);
        Story memory s = opened(address(referee), large);
        tell(contesting(s, large));
        vm.assertEq(phase(), Phase.CLOSED);
    }

    /// R7.8: no call that changes a docket is open to a referee.
    function test_a_referee_finds_the_court_closed() public {
        Meddles meddler = new Meddles(address(bench));
        Story memory s = opened(address(meddler), "");
        Story memory longer = play(s, 8);
        bytes[7] memory calls;
        calls[0] = challenging(s, proof(s, 1));
        calls[1] = responding(longer, more(longer, 2));
        calls[2] = contesting(s, "");
        calls[3] = doubling(s, then(upTo(s, 1), "other"), 2);
        calls[4] = ruleing(s, 2, false);
        calls[5] = doubting(s);
        calls[6] = ending(s, 2);
        for (uint256 i; i < calls.length; ++i) {
            uint256 here = vm.snapshotState();
            meddler.plan(calls[i]);
            tell(contesting(s, ""));
            vm.assertEq(meddler.refusal(), bytes32(ICourt.InVerdict.selector));
            vm.assertEq(phase(), Phase.CLOSED);
            // And open again afterwards.
            finish(s, 1);
            vm.revertToState(here);
        }
    }
}

/// Says that nothing is legal, and tries something meanwhile.
contract Meddles is IReferee {
    address private immutable COURT;
    bytes private _data;
    bytes32 public refusal;

    constructor(address court_) {
        COURT = court_;
    }

    function plan(bytes calldata data) external {
        _data = data;
    }

    function judge(bytes32, uint256, bytes calldata, bytes calldata, uint8, bytes calldata)
        external
        returns (bool, bytes32, uint8, uint96[] memory payouts)
    {
        (bool done, bytes memory why) = COURT.call(_data);
        refusal = done ? bytes32("done") : bytes32(bytes4(why));
        return (false, 0, 0, payouts);
    }
}

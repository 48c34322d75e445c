// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Arena} from "../src/Arena.sol";
import {IArena} from "../src/IArena.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Fixture, Player} from "./Fixture.sol";
import {TestToken} from "./TestToken.sol";
import {vm} from "./Vm.sol";

/// @notice Calls back into the arena whenever it is paid.
contract Caller {
    Arena private immutable ARENA;
    bytes public data;
    bytes4 public why;

    constructor(Arena arena) {
        ARENA = arena;
    }

    function prepare(bytes calldata data_) external {
        data = data_;
    }

    receive() external payable {
        if (data.length == 0) revert("not now");
        (bool done, bytes memory result) = address(ARENA).call(data);
        if (!done) why = bytes4(result);
    }
}

/// @notice A token with every bad habit, one at a time.
contract BadToken is ERC20("Bad", "BAD") {
    enum Habit {
        None,
        ReturnsFalse,
        ReturnsNothing,
        TakesAFee,
        CallsBack
    }

    Habit public habit;
    address private target;
    bytes private data;
    bytes4 public why;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function learn(Habit habit_, address target_, bytes calldata data_) external {
        (habit, target, data) = (habit_, target_, data_);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return _act(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return _act(from, to, amount);
    }

    function _act(address from, address to, uint256 amount) private returns (bool) {
        if (habit == Habit.ReturnsFalse) return false;
        if (habit == Habit.CallsBack) {
            (bool done, bytes memory result) = target.call(data);
            if (!done) why = bytes4(result);
        }
        _transfer(from, to, habit == Habit.TakesAFee ? amount - amount / 100 - 1 : amount);
        if (habit == Habit.ReturnsNothing) {
            assembly ("memory-safe") {
                return(0, 0)
            }
        }
        return true;
    }
}

/// @notice R3.8.
contract HostileTest is Fixture {
    bytes4 private constant REENTERED = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;

    function hostile() private returns (Player memory p, Caller caller) {
        caller = new Caller(arena);
        p = withOwner(player(1), address(caller));
        bank(p, 10 ether);
        bank(player(2), 10 ether);
    }

    function test_an_owner_that_calls_back_is_paid_once() public {
        (Player memory p, Caller caller) = hostile();
        uint64 deadline = uint64(vm.getBlockTimestamp() + 1);
        caller.prepare(withdrawal(p, 8 ether, deadline));
        withdraw(p, 4 ether);
        vm.assertEq(caller.why(), REENTERED);
        vm.assertEq(address(caller).balance, 4 ether);
        caller.prepare(abi.encodeCall(arena.finishExit, (p.owner, p.key)));
        openExit(p);
        vm.warp(START + WINDOW);
        arena.finishExit(p.owner, p.key);
        vm.assertEq(address(caller).balance, 10 ether);
        vm.assertEq(address(arena).balance, 10 ether);
    }

    function test_an_owner_may_call_what_pays_nothing_and_sees_a_settled_record() public {
        (Player memory p, Caller caller) = hostile();
        caller.prepare(abi.encodeCall(arena.settleSigned, (signed(p, -6 ether, 1, 0))));
        withdraw(p, 4 ether);
        vm.assertEq(caller.why(), bytes4(0));
        vm.assertEq(equity(p), 0);
        vm.assertEq(poolEquity(), 6 ether);
    }

    function test_an_owner_that_refuses_money_harms_only_itself() public {
        (Player memory p,) = hostile();
        refused(
            abi.encodeWithSelector(IArena.PaymentFailed.selector, p.owner),
            address(1),
            withdrawal(p, 4 ether, uint64(vm.getBlockTimestamp()))
        );
        vm.assertEq(equity(p), 10 ether);
        vm.assertEq(books(p).withdrawn, 0);
    }

    // -------------------------------------------------------------------------------------------------------------- tokens

    function tokens() private returns (BadToken t, Player memory p) {
        t = new BadToken();
        arena = newArena(address(t));
        t.mint(address(this), 100 ether);
        t.approve(address(arena), type(uint256).max);
        p = player(1);
        arena.depositToken(p.id, 10 ether);
        arena.fundToken(5 ether);
    }

    function test_a_token_arena_takes_and_pays_tokens() public {
        TestToken t = new TestToken();
        arena = newArena(address(t));
        t.mint(address(this), 100 ether);
        t.approve(address(arena), 100 ether);
        Player memory p = player(1);
        arena.depositToken(p.id, 10 ether);
        arena.fundToken(5 ether);
        settle(entry(p, 2 ether, 1, 0));
        withdraw(p, 12 ether);
        vm.assertEq(t.balanceOf(p.owner), 12 ether);
        vm.assertEq(t.balanceOf(address(arena)), 3 ether);
        vm.deal(address(this), 1);
        (bool done,) = address(arena).call{value: 1}(abi.encodeCall(arena.deposit, (p.id)));
        vm.assertFalse(done);
        (done,) = address(arena).call{value: 1}(abi.encodeCall(arena.fund, ()));
        vm.assertFalse(done);
    }

    function test_a_token_that_returns_false_reverts() public {
        (BadToken t, Player memory p) = tokens();
        t.learn(BadToken.Habit.ReturnsFalse, address(0), "");
        bytes memory failed = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(t));
        refused(failed, address(this), abi.encodeCall(arena.depositToken, (p.id, 1)));
        refused(failed, address(this), withdrawal(p, 1 ether, uint64(vm.getBlockTimestamp())));
        vm.assertEq(equity(p), 10 ether);
    }

    function test_a_token_that_returns_nothing_is_accepted() public {
        (BadToken t, Player memory p) = tokens();
        t.learn(BadToken.Habit.ReturnsNothing, address(0), "");
        arena.depositToken(p.id, 1 ether);
        withdraw(p, 11 ether);
        vm.assertEq(t.balanceOf(p.owner), 11 ether);
    }

    function test_a_token_that_takes_a_fee_is_refused() public {
        (BadToken t, Player memory p) = tokens();
        t.learn(BadToken.Habit.TakesAFee, address(0), "");
        bytes memory short = abi.encodeWithSelector(IArena.TokenShort.selector, 1 ether, 0.99 ether - 1);
        refused(short, address(this), abi.encodeCall(arena.depositToken, (p.id, 1 ether)));
        refused(short, address(this), abi.encodeCall(arena.fundToken, (1 ether)));
    }

    function test_a_token_that_calls_back_cannot_count_a_deposit_twice() public {
        (BadToken t, Player memory p) = tokens();
        t.mint(address(t), 10 ether);
        t.learn(BadToken.Habit.CallsBack, address(arena), abi.encodeCall(arena.depositToken, (p.id, 1 ether)));
        arena.depositToken(p.id, 1 ether);
        vm.assertEq(t.why(), REENTERED);
        vm.assertEq(equity(p), 11 ether);
        t.learn(BadToken.Habit.CallsBack, address(arena), withdrawal(p, 5 ether, uint64(vm.getBlockTimestamp())));
        withdraw(p, 2 ether);
        vm.assertEq(t.why(), REENTERED);
        vm.assertEq(t.balanceOf(address(arena)), 14 ether);
    }
}

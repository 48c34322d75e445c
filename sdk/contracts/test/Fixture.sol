// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Arena} from "../src/Arena.sol";
import {IArena} from "../src/IArena.sol";
import {TestToken} from "./TestToken.sol";
import {Typing} from "./Typing.sol";
import {Vm, vm} from "./Vm.sol";

/// @notice A player: a wallet and an account key (R2.3).
struct Player {
    address owner;
    address key;
    uint256 secret;
    address id;
}

/// @notice The public words of an account, for tests to read by name.
struct Books {
    int256 funds;
    int256 net;
    uint256 pending;
    uint256 through;
    uint256 claims;
    bool special;
    uint256 withdrawn;
    uint256 locked;
    uint256 exitAt;
    uint256 nonce;
}

/// @notice An arena with its operator and court, players, and everything that they sign.
abstract contract Fixture {
    uint256 internal constant OPERATOR_SECRET = 0x0b5e55ed;
    uint32 internal constant WINDOW = 1 days;
    uint256 internal constant POOL_SLOT = 2; // of the arena's storage, as the next two
    uint256 internal constant DEBTS_SLOT = 4;
    uint256 internal constant PLACES_SLOT = 5;
    uint256 internal constant START = 1_800_000_000;

    address internal operator = vm.addr(OPERATOR_SECRET);
    address internal court = address(0xC0047);
    address internal house = address(0x40053);
    address internal studio = address(0x57d10);
    Arena internal arena;
    uint256 private salts;

    function setUp() public virtual {
        vm.warp(START);
        arena = newArena(address(0));
    }

    function newArena(address token) internal returns (Arena) {
        address[] memory to = new address[](2);
        uint16[] memory points = new uint16[](2);
        (to[0], to[1]) = (house, studio);
        (points[0], points[1]) = (7_000, 3_000);
        return deploy(IArena.Config(operator, token, court, WINDOW, bytes32("salt"), to, points));
    }

    /// Deploys the committed artifact: what is tested is what others use.
    function deploy(IArena.Config memory config) public returns (Arena) {
        return Arena(create("Arena", abi.encode(config)));
    }

    function create(string memory name, bytes memory arguments) internal returns (address deployed) {
        bytes memory code = vm.parseJsonBytes(vm.readFile(string.concat("artifacts/", name, ".json")), ".bytecode");
        code = bytes.concat(code, arguments);
        assembly ("memory-safe") {
            deployed := create(0, add(code, 0x20), mload(code))
            if iszero(deployed) {
                returndatacopy(code, 0, returndatasize())
                revert(code, returndatasize())
            }
        }
    }

    function newArenaWithSalt(bytes32 salt, address[] memory nobody) internal returns (Arena) {
        return deploy(IArena.Config(operator, address(0), court, WINDOW, salt, nobody, new uint16[](nobody.length)));
    }

    // -------------------------------------------------------------------------------------------------------- players

    function player(uint256 seed) internal pure returns (Player memory p) {
        p.owner = address(uint160(uint256(keccak256(abi.encode("owner", seed)))));
        p.secret = uint256(keccak256(abi.encode("secret", seed))) >> 8;
        return withOwner(p, p.owner);
    }

    function withOwner(Player memory p, address owner) internal pure returns (Player memory) {
        p.owner = owner;
        p.key = vm.addr(p.secret);
        p.id = address(uint160(uint256(keccak256(abi.encodePacked(p.owner, p.key)))));
        return p;
    }

    function rich(uint256 seed, uint96 amount) internal returns (Player memory p) {
        p = player(seed);
        bank(p, amount);
    }

    function bank(Player memory p, uint96 amount) internal {
        vm.deal(address(this), amount);
        arena.deposit{value: amount}(p.id);
    }

    function fundPool(uint96 amount) internal {
        vm.deal(address(this), amount);
        arena.fund{value: amount}();
    }

    // ----------------------------------------------------------------------------------------------------- statements

    function sign(uint256 secret, bytes32 digest) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 vs) = vm.signCompact(secret, digest);
        return abi.encodePacked(r, vs);
    }

    function typed(bytes32 hash) internal view returns (bytes32) {
        return Typing.digest(Typing.domain(address(arena), "salt"), hash);
    }

    function idOf(IArena.Match memory m) internal view returns (bytes32) {
        return typed(Typing.terms(m));
    }

    function entry(Player memory p, int96 net, uint32 through, uint32 pending) internal view returns (bytes memory) {
        return abi.encodePacked(
            p.owner,
            net,
            through,
            pending,
            sign(p.secret, typed(Typing.statement(p.owner, net, through, pending)))
        );
    }

    function receipt(Player memory p, int96 net, uint32 through, uint32 pending) internal view returns (bytes memory) {
        return sign(OPERATOR_SECRET, typed(Typing.receipt(p.id, net, through, pending)));
    }

    function signed(Player memory p, int96 net, uint32 through, uint32 pending) internal view returns (bytes memory) {
        return bytes.concat(entry(p, net, through, pending), receipt(p, net, through, pending));
    }

    function exitEntry(Player memory p, int96 net, uint32 through, uint32 pending) internal view returns (bytes memory) {
        return abi.encodePacked(net, through, pending, receipt(p, net, through, pending));
    }

    function settle(bytes memory entries) internal {
        vm.prank(operator);
        arena.settle(entries, 0, 0, 0);
    }

    function settleWithFees(bytes memory entries, uint96 fees) internal {
        vm.prank(operator);
        arena.settle(entries, 0, 0, fees);
    }

    function openExit(Player memory p) internal {
        vm.prank(p.owner);
        arena.exit(p.owner, p.key, "", "");
    }

    function withdraw(Player memory p, uint96 total) internal {
        Books memory b = books(p);
        bytes32 hash = Typing.receipt(p.id, int96(b.net), uint32(b.through), uint32(b.pending));
        uint64 deadline = uint64(vm.getBlockTimestamp() + 1 hours);
        bytes32 digest = typed(Typing.withdrawal(p.id, total, deadline, hash));
        arena.withdraw(p.owner, p.key, total, deadline, sign(p.secret, digest), sign(OPERATOR_SECRET, digest));
    }

    // -------------------------------------------------------------------------------------------------------- matches

    function terms(Player memory a, uint32 indexA, Player memory b, uint32 indexB, uint96 stake)
        internal
        returns (IArena.Match memory m)
    {
        return terms(pair(a, b), numbers(indexA, indexB), amounts(stake, stake));
    }

    function terms(Player[] memory players, uint32[] memory indexes, uint96[] memory stakes)
        internal
        returns (IArena.Match memory m)
    {
        m.seats = new address[](players.length);
        m.seeds = new bytes32[](players.length);
        for (uint256 i; i < players.length; ++i) {
            m.seats[i] = players[i].id;
            m.seeds[i] = keccak256(abi.encode("seed", i));
        }
        m.indexes = indexes;
        m.stakes = stakes;
        m.rules = keccak256("rules");
        m.budget = 100_000;
        m.clock = 30;
        m.maxTurns = 200;
        m.chainTime = 3_600;
        m.openBy = uint64(vm.getBlockTimestamp() + 1 hours);
        m.expiry = uint64(vm.getBlockTimestamp() + 3 days);
        m.start = keccak256("start");
        m.salt = keccak256(abi.encode("match", ++salts));
    }

    function finalState(uint96[] memory payouts) internal pure returns (IArena.State memory s) {
        s = IArena.State(40, keccak256("prev"), keccak256("move"), keccak256("board"), 255, payouts);
    }

    function signAll(Player[] memory players, bytes32 digest) internal pure returns (bytes memory all) {
        for (uint256 i; i < players.length; ++i) {
            all = bytes.concat(all, sign(players[i].secret, digest));
        }
        return bytes.concat(all, sign(OPERATOR_SECRET, digest));
    }

    function owners(Player[] memory players) internal pure returns (address[] memory all) {
        all = new address[](players.length);
        for (uint256 i; i < players.length; ++i) {
            all[i] = players[i].owner;
        }
    }

    function conclude(Player[] memory players, IArena.Match memory m, uint96[] memory payouts) internal {
        IArena.State memory last = finalState(payouts);
        bytes memory signatures = signAll(players, typed(Typing.state(idOf(m), last)));
        arena.conclude(m, last, owners(players), signatures);
    }

    function lock(Player[] memory players, IArena.Match memory m, uint8 seat) internal {
        arena.lock(m, seat, owners(players), signAll(players, idOf(m)));
    }

    function settleClaimed(
        Player memory p,
        int96 net,
        uint32 through,
        uint32 pending,
        IArena.Claim[] memory claims
    ) internal {
        arena.settleClaimed(entry(p, net, through, pending), receipt(p, net, through, pending), claims);
    }

    function claim(IArena.Match memory m, uint96[] memory payouts, uint8 seat)
        internal
        pure
        returns (IArena.Claim[] memory all)
    {
        all = new IArena.Claim[](1);
        all[0] = IArena.Claim(m, payouts, seat);
    }

    // -------------------------------------------------------------------------------------------------------- refusals

    function withdrawal(Player memory p, uint96 total, uint64 deadline) internal view returns (bytes memory) {
        Books memory b = books(p);
        bytes32 hash = Typing.receipt(p.id, int96(b.net), uint32(b.through), uint32(b.pending));
        bytes32 digest = typed(Typing.withdrawal(p.id, total, deadline, hash));
        return abi.encodeCall(
            arena.withdraw, (p.owner, p.key, total, deadline, sign(p.secret, digest), sign(OPERATOR_SECRET, digest))
        );
    }

    function conclusion(Player[] memory players, IArena.Match memory m, IArena.State memory last)
        internal
        view
        returns (bytes memory)
    {
        bytes memory signatures = signAll(players, typed(Typing.state(idOf(m), last)));
        return abi.encodeCall(arena.conclude, (m, last, owners(players), signatures));
    }

    function locking(Player[] memory players, IArena.Match memory m, uint8 seat) internal view returns (bytes memory) {
        return abi.encodeCall(arena.lock, (m, seat, owners(players), signAll(players, idOf(m))));
    }

    function exiting(Player memory p, bytes memory newest, bytes memory signature) internal view returns (bytes memory) {
        return abi.encodeCall(arena.exit, (p.owner, p.key, newest, signature));
    }

    /// Makes a call that has to work.
    function accepted(address sender, bytes memory data) internal {
        vm.prank(sender);
        (bool done, bytes memory why) = address(arena).call(data);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(why, 0x20), mload(why))
            }
        }
    }

    /// Makes a call that has to fail with exactly this error.
    function refused(bytes memory expected, address sender, bytes memory data) internal {
        vm.prank(sender);
        (bool done, bytes memory why) = address(arena).call(data);
        vm.assertFalse(done);
        vm.assertEq(keccak256(why), keccak256(expected));
    }

    function refused(bytes4 expected, address sender, bytes memory data) internal {
        refused(abi.encodeWithSelector(expected), sender, data);
    }

    /// Makes a call that has to skip exactly one entry, of this account and for this reason.
    function skipped(address account, uint8 reason, address sender, bytes memory data) internal {
        vm.recordLogs();
        accepted(sender, data);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 found;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != IArena.Skipped.selector) continue;
            ++found;
            vm.assertEq(address(uint160(uint256(logs[i].topics[1]))), account);
            vm.assertEq(abi.decode(logs[i].data, (uint256)), reason);
        }
        vm.assertEq(found, 1);
    }

    function settling(bytes memory entries) internal view returns (bytes memory) {
        return abi.encodeCall(arena.settle, (entries, 0, 0, 0));
    }

    // ---------------------------------------------------------------------------------------------------- what is so

    function books(Player memory p) internal view returns (Books memory b) {
        (int96 f, int96 n, uint32 pe, uint32 th, uint8 c, bool s, uint96 w, uint96 l, uint40 e, uint24 no) =
            arena.accountOf(p.id);
        return Books(f, n, pe, th, c, s, w, l, e, no);
    }

    function equity(Player memory p) internal view returns (int256) {
        Books memory b = books(p);
        return b.funds + b.net;
    }

    function poolEquity() internal view returns (uint256 amount) {
        (amount,,) = arena.pool();
    }

    function poolOwed() internal view returns (uint256 amount) {
        (, amount,) = arena.pool();
    }

    // ---------------------------------------------------------------------------------------------------------- pairs

    function pair(Player memory a, Player memory b) internal pure returns (Player[] memory both) {
        both = new Player[](2);
        (both[0], both[1]) = (a, b);
    }

    function numbers(uint32 a, uint32 b) internal pure returns (uint32[] memory both) {
        both = new uint32[](2);
        (both[0], both[1]) = (a, b);
    }

    function amounts(uint96 a, uint96 b) internal pure returns (uint96[] memory both) {
        both = new uint96[](2);
        (both[0], both[1]) = (a, b);
    }
}

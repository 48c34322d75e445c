// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../src/IArena.sol";
import {Fixture, Player, Books} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice Everybody at once, honest or not, over an arena's whole life. Two accounts are honest: their keys sign only matches
/// that were played and statements that say what happened. All others, the operator among them, sign anything.
contract Handler is Fixture {
    uint256 private constant ACCOUNTS = 6;
    uint256 private constant HONEST = 2; // the first two
    uint32 private constant INDEXES = 40; // counted per account

    Player[] private players;
    IArena.Match[] private matches;
    uint96[][] private results;
    bool[] private concluded;
    uint256[2][] private seated; // who sits where

    // What the ghosts know. Amounts that went in and out:
    uint256 public paidIn;
    uint256 public paidOut;
    // Of each account: deposits, what its owner received, the sum of the matches it counts and how often each.
    mapping(uint256 => int256) public deposited;
    mapping(uint256 => int256) public received;
    mapping(uint256 => mapping(uint32 => int256)) private delta; // of match `index`, as the honest know it
    mapping(uint256 => uint32) public next; // the next index of an account
    mapping(uint256 => mapping(uint32 => bool)) private played;
    // The settled set as last seen.
    mapping(uint256 => mapping(uint32 => bool)) private settled;
    bool public shrunk;
    bool public underFloor;
    mapping(bytes32 => uint256) public calls;

    function setUp() public override {
        super.setUp();
        for (uint256 i; i < ACCOUNTS; ++i) players.push(player(100 + i));
        fund(20 ether);
        for (uint256 i; i < ACCOUNTS; ++i) deposit(i, 30 ether);
    }

    function anyone(uint256 seed) private view returns (uint256) {
        return seed % players.length;
    }

    function seen(bytes32 name, bool done) private {
        if (done) ++calls[name];
    }

    /// Calls the arena as anyone may, and says whether it worked; looks at all records before and after.
    function tried(bytes32 name, address sender, uint256 value, bytes memory data) private returns (bool done) {
        int256[ACCOUNTS] memory before;
        for (uint256 i; i < ACCOUNTS; ++i) before[i] = equity(players[i]);
        uint256 held = address(arena).balance;
        if (value != 0) vm.deal(sender, value);
        vm.prank(sender);
        (done,) = address(arena).call{value: value}(data);
        seen(name, done);
        uint256 afterwards = address(arena).balance;
        if (afterwards > held) paidIn += afterwards - held;
        else paidOut += held - afterwards;
        bool outcome = name == "conclude" || name == "outcome";
        for (uint256 i; i < ACCOUNTS; ++i) {
            Books memory b = books(players[i]);
            int256 equity_ = b.funds + b.net;
            // R3.4: only an applied outcome takes an account below its locked stakes.
            if (!outcome && equity_ < before[i] && equity_ < int256(b.locked)) underFloor = true;
            for (uint32 k; k < INDEXES; ++k) {
                bool is_ = contains(b, k);
                if (settled[i][k] && !is_) shrunk = true;
                settled[i][k] = is_;
            }
            received[i] = int256(players[i].owner.balance);
        }
    }

    function contains(Books memory b, uint32 k) private pure returns (bool) {
        if (k >= b.through) return false;
        uint256 bit = b.through - 1 - k;
        return bit > 31 || b.pending >> bit & 1 == 0;
    }

    // ------------------------------------------------------------------------------------------------------------ money

    function deposit(uint256 who, uint96 amount) public {
        who = anyone(who);
        amount = uint96(amount % 40 ether);
        bool done = tried("deposit", address(this), amount, abi.encodeCall(arena.deposit, (players[who].id)));
        if (done) deposited[who] += int256(uint256(amount));
    }

    function fund(uint96 amount) public {
        tried("fund", address(this), amount % 20 ether, abi.encodeCall(arena.fund, ()));
    }

    function requestPool(uint96 amount) external {
        tried("requestPool", operator, 0, abi.encodeCall(arena.requestPool, (amount)));
    }

    /// Now, or when the notice has run.
    function withdrawPool(uint96 amount, bool patient) external {
        if (patient) {
            tried("requestPool", operator, 0, abi.encodeCall(arena.requestPool, (amount % 10 ether)));
            vm.warp(vm.getBlockTimestamp() + WINDOW);
        }
        tried("withdrawPool", operator, 0, abi.encodeCall(arena.withdrawPool, ()));
    }

    function claimRevenue(uint256 who) external {
        tried("claimRevenue", address(1), 0, abi.encodeCall(arena.claimRevenue, (who % 2 == 0 ? house : studio)));
    }

    function payOwed(uint256 n) external {
        tried("payOwed", address(1), 0, abi.encodeCall(arena.payOwed, (n % 9)));
    }

    function wait(uint256 time) external {
        vm.warp(vm.getBlockTimestamp() + time % WINDOW);
    }

    // ------------------------------------------------------------------------------------------------------------- play

    /// Two accounts agree on a match; what comes of it is known at once, and told when it suits.
    function play(uint256 one, uint256 two, uint96 stake, uint256 result) external {
        one = anyone(one);
        two = anyone(two);
        if (one == two || next[one] == INDEXES || next[two] == INDEXES) return;
        // The honest do not play after an exit, nor beyond what they have; a puppet signs any stake.
        bool real = one < HONEST || two < HONEST;
        stake = real || result % 8 != 0 ? uint96(stake % 5 ether) : uint96(stake % 500 ether);
        IArena.Match memory m = terms(players[one], next[one], players[two], next[two], stake);
        uint96 won = uint96(result % (2 * uint256(stake) + 1));
        uint96 rake = uint96((2 * uint256(stake) - won) / 20);
        results.push(amounts(won, 2 * stake - won - rake));
        matches.push(m);
        concluded.push(false);
        seated.push([one, two]);
        delta[one][next[one]] = int256(uint256(won)) - int256(uint256(stake));
        delta[two][next[two]] = int256(uint256(2 * stake - won - rake)) - int256(uint256(stake));
        played[one][next[one]++] = true;
        played[two][next[two]++] = true;
    }

    function sides(uint256 k) private view returns (Player[] memory) {
        return pair(players[seated[k][0]], players[seated[k][1]]);
    }

    function conclude(uint256 which) external {
        if (matches.length == 0) return;
        uint256 k = which % matches.length;
        IArena.State memory last = finalState(results[k]);
        if (tried("conclude", address(1), 0, conclusion(sides(k), matches[k], last))) concluded[k] = true;
    }

    function rule(uint256 which) external {
        if (matches.length == 0) return;
        uint256 k = which % matches.length;
        if (tried("outcome", court, 0, abi.encodeCall(arena.outcome, (matches[k], results[k])))) concluded[k] = true;
    }

    // ------------------------------------------------------------------------------------------------------ statements

    /// The set of all matches of an account, or without some; with its true net.
    function truth(uint256 who, uint256 seed) private view returns (int256 net, uint32 through, uint32 pending) {
        through = uint32(seed % (next[who] + 1));
        Books memory b = books(players[who]);
        if (through < b.through) through = uint32(b.through);
        if (through == 0) return (0, 0, 0);
        for (uint32 k; k < through; ++k) {
            bool open = through - 1 - k < 32 && k + 1 < through && seed >> (20 + k) & 7 == 0 && !contains(b, k);
            if (open) pending |= uint32(1) << (through - 1 - k);
            else net += delta[who][k];
        }
    }

    function statement(uint256 who, uint256 seed, int96 lie) private view returns (int96 net, uint32 through, uint32 pending) {
        int256 net_;
        (net_, through, pending) = truth(who, seed);
        if (who >= HONEST && seed & 1 == 1) {
            net_ += lie % 50 ether;
            pending ^= uint32(seed >> 200) & uint32(seed >> 220);
        }
        net = int96(net_);
    }

    function settleSome(uint256 seed, int96 lie, uint96 fees) external {
        bytes memory entries;
        for (uint256 i; i < 4; ++i) {
            uint256 who = anyone(seed >> (8 * i));
            (int96 net, uint32 through, uint32 pending) = statement(who, seed >> i, lie);
            entries = bytes.concat(entries, entry(players[who], net, through, pending));
        }
        tried("settle", operator, 0, abi.encodeCall(arena.settle, (entries, 0, 4, fees % 1 ether)));
    }

    function settleOne(uint256 who, uint256 seed, int96 lie) external {
        who = anyone(who);
        (int96 net, uint32 through, uint32 pending) = statement(who, seed, lie);
        tried("settleSigned", address(1), 0, abi.encodeCall(arena.settleSigned, (signed(players[who], net, through, pending))));
    }

    function settleClaimed(uint256 who, uint256 seed, int96 lie) external {
        who = anyone(who);
        (int96 net, uint32 through, uint32 pending) = statement(who, seed, lie);
        bytes memory data = abi.encodeCall(
            arena.settleClaimed,
            (entry(players[who], net, through, pending), receipt(players[who], net, through, pending), claimsOf(who))
        );
        tried("settleClaimed", address(1), 0, data);
    }

    function claimsOf(uint256 who) private view returns (IArena.Claim[] memory all) {
        uint256 n;
        IArena.Claim[] memory some = new IArena.Claim[](matches.length);
        for (uint256 k; k < matches.length; ++k) {
            for (uint8 seat; seat < 2; ++seat) {
                (,, uint8 live,) = arena.outcomeOf(idOf(matches[k]));
                if (seated[k][seat] != who || live >> seat & 1 == 0) continue;
                uint256 place = n++;
                for (; place > 0 && idOf(some[place - 1].terms) > idOf(matches[k]); --place) some[place] = some[place - 1];
                some[place] = IArena.Claim(matches[k], results[k], seat);
            }
        }
        all = new IArena.Claim[](n);
        for (uint256 i; i < n; ++i) all[i] = some[i];
    }

    // ------------------------------------------------------------------------------------------------------------- ways out

    function withdraw(uint256 who, uint96 amount) external {
        who = anyone(who);
        uint96 total = uint96(books(players[who]).withdrawn + amount % 10 ether);
        tried("withdraw", address(1), 0, withdrawal(players[who], total, uint64(vm.getBlockTimestamp())));
    }

    function exit(uint256 who, uint256 seed, int96 lie) external {
        who = anyone(who);
        if (seed % 4 != 0) return;
        (int96 net, uint32 through, uint32 pending) = statement(who, seed >> 2, lie);
        bytes memory newest = seed & 8 == 0 ? bytes("") : exitEntry(players[who], net, through, pending);
        tried("exit", players[who].owner, 0, exiting(players[who], newest, ""));
    }

    function lock(uint256 which, uint8 seat) external {
        if (matches.length == 0) return;
        uint256 k = which % matches.length;
        Player memory p = players[seated[k][seat % 2]];
        if (seat % 8 < 2) tried("exit", p.owner, 0, exiting(p, "", ""));
        tried("lock", address(1), 0, locking(sides(k), matches[k], seat % 2));
    }

    function release(uint256 which, uint8 seat, uint256 patience) external {
        if (matches.length == 0) return;
        uint256 expiry = matches[which % matches.length].expiry;
        if (patience % 4 == 0 && expiry >= vm.getBlockTimestamp()) vm.warp(expiry + 1);
        tried("release", address(1), 0, abi.encodeCall(arena.release, (matches[which % matches.length], seat % 2)));
    }

    function finishExit(uint256 who, bool patient) external {
        who = anyone(who);
        uint256 exitAt = books(players[who]).exitAt;
        if (patient && exitAt > vm.getBlockTimestamp()) vm.warp(exitAt);
        tried("finishExit", address(1), 0, abi.encodeCall(arena.finishExit, (players[who].owner, players[who].key)));
    }

    // --------------------------------------------------------------------------------------------------- what has to hold

    function worth() public view returns (uint256 sum) {
        for (uint256 i; i < ACCOUNTS; ++i) {
            int256 equity_ = equity(players[i]);
            if (equity_ > 0) sum += uint256(equity_);
        }
    }

    function revenue() public view returns (uint256 sum) {
        (uint256 a, uint96 fresh, uint96 older,) = arena.revenueOf(house);
        (uint256 b,,, uint40 epoch) = arena.revenueOf(studio);
        sum = a + b;
        // What has not been shared out yet, but for what `revenueOf` counts ahead.
        uint256 now_ = vm.getBlockTimestamp() / WINDOW + 1;
        if (epoch >= now_) sum += older;
        if (epoch + 1 >= now_) sum += fresh;
    }

    function balance() external view returns (uint256) {
        return address(arena).balance;
    }

    function poolWords() external view returns (uint256 equity_, uint256 owed) {
        return (poolEquity(), poolOwed());
    }

    /// What an honest account has and had, against what it put in and the matches that it counts, each once: those in its settled
    /// set and those that the chain applied. Less by what is owed to it; claims never reach the limit of R6.11 here unless asserted.
    function honestAccount(uint256 who) external view returns (int256 has, int256 due) {
        has = equity(players[who]) + received[who];
        due = deposited[who];
        Books memory b = books(players[who]);
        for (uint256 k; k < matches.length; ++k) {
            for (uint256 seat; seat < 2; ++seat) {
                if (seated[k][seat] != who) continue;
                uint32 index = matches[k].indexes[seat];
                (,, uint8 live,) = arena.outcomeOf(idOf(matches[k]));
                if (contains(b, index) || live >> seat & 1 == 1) due += delta[who][index];
                if (live >> seat & 1 == 1) due -= int256(owedTo(players[who].id, idOf(matches[k])));
            }
        }
    }

    /// Reads the queue out of the storage: the arena tells it by events only.
    function owedTo(address account, bytes32 id) private view returns (uint256) {
        bytes32 inner = keccak256(abi.encode(id, PLACES_SLOT));
        uint256 place = uint256(vm.load(address(arena), keccak256(abi.encode(account, inner))));
        if (place == 0) return 0;
        return uint256(vm.load(address(arena), keccak256(abi.encode(place - 1, DEBTS_SLOT)))) >> 160;
    }
}

contract InvariantTest {
    Handler private handler;

    function setUp() public {
        handler = new Handler();
        handler.setUp();
    }

    function targetContracts() external view returns (address[] memory all) {
        all = new address[](1);
        all[0] = address(handler);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory all) {
        bytes4[20] memory list = [
            Handler.deposit.selector,
            Handler.fund.selector,
            Handler.requestPool.selector,
            Handler.withdrawPool.selector,
            Handler.claimRevenue.selector,
            Handler.payOwed.selector,
            Handler.wait.selector,
            Handler.play.selector,
            Handler.play.selector,
            Handler.conclude.selector,
            Handler.rule.selector,
            Handler.settleSome.selector,
            Handler.settleOne.selector,
            Handler.settleClaimed.selector,
            Handler.withdraw.selector,
            Handler.exit.selector,
            Handler.lock.selector,
            Handler.release.selector,
            Handler.finishExit.selector,
            Handler.play.selector
        ];
        all = new FuzzSelector[](1);
        all[0].addr = address(handler);
        all[0].selectors = new bytes4[](list.length);
        for (uint256 i; i < list.length; ++i) all[0].selectors[i] = list[i];
    }

    /// R3.3, exactly: every coin is an account's, the pool's or a beneficiary's.
    function invariant_conservation() public view {
        (uint256 equity,) = handler.poolWords();
        uint256 known = handler.worth() + equity + handler.revenue();
        vm.assertEq(known, handler.paidIn() - handler.paidOut(), "conservation");
        vm.assertEq(known, handler.balance(), "balance");
    }

    /// R3.4.
    function invariant_floor_of_each_account() public view {
        vm.assertTrue(!handler.underFloor(), "below its locked stakes without an outcome");
    }

    /// R6.4, R6.7.
    function invariant_settled_sets_only_grow() public view {
        vm.assertTrue(!handler.shrunk(), "a settled set shrank");
    }

    /// R6.10, and with it that operator and puppets together take nothing from those who signed honestly.
    function invariant_the_honest_count_each_match_once() public view {
        for (uint256 who; who < 2; ++who) {
            (int256 has, int256 due) = handler.honestAccount(who);
            vm.assertEq(has, due, "an honest account");
        }
    }
}

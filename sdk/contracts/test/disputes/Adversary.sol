// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../../src/IArena.sol";
import {ICourt, Phase} from "../../src/ICourt.sol";
import {Player} from "../Fixture.sol";
import {Disputed, Story} from "./Disputed.sol";
import {vm} from "../Vm.sol";

/// @notice One honest seat with a tower against one that does everything it can, match after match, over the life of an arena. The
/// dishonest seat shows stale states, writes branches of its own, moves illegally, contests what is legal, doubts, exits, or stops.
/// The honest seat answers at once, and the arbiters rule what is so.
/// @dev A dispute's chain is the true story up to turn `straight`, and above it headers of the dishonest seat's own making, none legal.
contract Adversary is Disputed {
    uint256 private constant LENGTH = 8; // turns of a match; even ones are seat 0's to make
    uint32 private constant CHAIN_TIME = 3 hours;

    Player private honest;
    uint256 private count; // of matches
    uint256 private known; // turns that were played, off the chain or on it
    bool private open;
    uint256 private straight;
    uint256 private branch; // which one of the villain's making; an odd one ends with the honest seat's turn
    uint256 private branches;
    uint256 private tried_; // the branch that a call is about
    uint64 private openBy;
    uint64 private expiry;
    // Of the dispute.
    uint256 private openedAt;
    uint256 private changes;

    int256 private earned; // by the honest seat, as the rules say
    uint256 public paidIn;
    bool public robbed;
    bool public endless;
    bool public underFloor;
    bool public twice;
    string public helpless; // what the honest seat could not do
    uint256 public contests; // open, with a bond
    address[] private bonded;
    mapping(bytes32 => uint256) public calls;

    function setUp() public override {
        super.setUp();
        honest = player(1);
        pay(honest.id, 1_000 ether);
        vm.deal(address(this), 100 ether);
        arena.fund{value: 100 ether}();
        paidIn += 100 ether;
        begin();
    }

    function pay(address id, uint96 amount) private {
        vm.deal(address(this), amount);
        arena.deposit{value: amount}(id);
        paidIn += amount;
    }

    function villain() private view returns (Player memory) {
        return player(1_000 + count);
    }

    function begin() private {
        ++count;
        (known, open, straight) = (0, false, 0);
        openBy = uint64(vm.getBlockTimestamp() + 1 hours);
        expiry = uint64(vm.getBlockTimestamp() + 12 hours + count % 3 * 1 days);
        pay(villain().id, 2 ether);
    }

    // --------------------------------------------------------------------------------------------------------- stories

    /// The match as it is played by the rules, up to this turn.
    function truth(uint256 turn) private view returns (Story memory s) {
        s.players = pair(villain(), honest);
        s.terms.seats = new address[](2);
        (s.terms.seats[0], s.terms.seats[1]) = (villain().id, honest.id);
        s.terms.indexes = numbers(0, uint32(count - 1));
        s.terms.stakes = amounts(STAKE, STAKE);
        s.terms.clock = count % 2 == 0 ? 30 : 2 hours;
        s.terms.maxTurns = 100;
        s.terms.chainTime = CHAIN_TIME;
        (s.terms.openBy, s.terms.expiry) = (openBy, expiry);
        s.terms.seeds = new bytes32[](2);
        s.terms.salt = bytes32(count);
        s.states = new IArena.State[](1);
        s.states[0] = IArena.State(0, 0, 0, keccak256("board 0"), 0, forfeit(2, 0));
        for (uint256 i; i < turn; ++i) s = i + 1 == LENGTH ? ended(s, result()) : then(s, "");
    }

    /// Sometimes the honest seat loses, and knows it.
    function result() private view returns (uint96[] memory) {
        return count % 3 == 0 ? amounts(2 ether, 0) : amounts(0.5 ether, 1.4 ether);
    }

    /// The dispute's chain.
    function chain() private view returns (Story memory) {
        return crooked(straight, top() - straight, branch);
    }

    function crooked(uint256 from, uint256 more_, uint256 which) private view returns (Story memory s) {
        s = truth(from);
        for (uint256 i; i < more_; ++i) s = then(s, string(abi.encode("foul", which, i)), uint8(i + 1 == more_ ? which % 2 : 0));
    }

    // ------------------------------------------------------------------------------------------------------- the villain

    function play(uint256 turns) external {
        if (open) return;
        known += turns % 4;
        if (known > LENGTH) known = LENGTH;
        if (known % 2 == 1 && known < LENGTH) ++known; // the honest seat answers
    }

    /// Any state that the honest seat once signed, with anything on top.
    function challenge(uint256 base, uint256 upTo_, uint256 fouls) external {
        if (open) return;
        (Story memory s, ICourt.Evidence memory e, uint256 from) = made(base, upTo_, fouls);
        if (tried("challenge", stranger, 0, challenging(s, e))) {
            (open, straight, branch) = (true, from, tried_);
        }
        defend();
    }

    function respond(uint256 base, uint256 upTo_, uint256 fouls) external {
        if (!open) return;
        (Story memory s, ICourt.Evidence memory e, uint256 from) = made(base, upTo_, fouls);
        IArena.State[] memory fork = new IArena.State[](0);
        uint256 bottom = e.base.turn;
        if (bottom <= top() && base % 2 == 0) fork = slice(chain(), bottom, top());
        if (tried("respond", stranger, 0, abi.encodeCall(bench.respond, (s.terms, docket, e, fork)))) (straight, branch) = (from, tried_);
        defend();
    }

    /// On top of the dispute: a legal move, or as many illegal ones as it likes.
    function goOn(uint256 fouls) external {
        if (!open || phase() != Phase.OPEN || contested() != 0) return;
        Story memory s;
        uint256 from = straight;
        uint256 before = top();
        if (before == straight && fouls % 3 == 0) {
            if (before >= LENGTH) return;
            s = truth(before + 1);
            from = before + 1;
        } else {
            // A header that leaves the turn to the honest seat is answered: these are all on a straight top.
            tried_ = ++branches;
            s = crooked(straight, 1 + fouls % 3, tried_);
        }
        if (!tried("goOn", stranger, 0, responding(s, more(s, before)))) return;
        (straight, branch) = (from, tried_);
        if (straight == top() && known < straight) known = straight;
        defend();
    }

    /// Evidence from a base that the honest seat has signed.
    function made(uint256 base, uint256 upTo_, uint256 fouls)
        private
        returns (Story memory s, ICourt.Evidence memory e, uint256 from)
    {
        base = base % (known + 1);
        if (base % 2 == 0 && base != 0) --base;
        from = base + upTo_ % (known + 1 - base);
        if (fouls % 3 != 0) {
            if (from % 2 == 1) --from; // only on its own turn can it write a header
            if (from < base) from = base + 1;
            if (from % 2 == 1 || from >= LENGTH) fouls = 0;
        }
        tried_ = ++branches;
        if (from > known) (from, fouls) = (known, 0);
        s = crooked(from, fouls % 3 == 0 ? 0 : fouls % 5, tried_);
        e = proof(s, base);
    }

    function contest(uint256 turn) external {
        if (!open) return;
        uint256 end = top();
        if (end == 0) return;
        turn = turn % 3 == 0 ? 1 + turn % end : end;
        if (tried("contest", stranger, BOND, contesting(chain(), turn))) defend();
    }

    function doubt() external {
        Story memory s = truth(0);
        if (open) return;
        if (known > 2 && vm.getBlockTimestamp() <= openBy) vm.warp(openBy + 1);
        if (tried("void", stranger, 0, doubting(s))) (open, straight) = (true, 0);
        defend();
    }

    function leave() external {
        Player memory p = villain();
        if (books(p).special) return;
        openExit(p);
        // The tower locks what is at stake.
        if (vm.getBlockTimestamp() <= expiry || open) lock(pair(p, honest), truth(0).terms, 0);
        ++calls["leave"];
    }

    function finishExit(uint256 which) external {
        Player memory p = player(1_001 + which % count);
        (bool done,) = address(arena).call(abi.encodeCall(arena.finishExit, (p.owner, p.key)));
        if (done) ++calls["finishExit"];
    }

    function wait(uint256 time) external {
        time = time % 8 hours;
        // A match that nobody plays to the end is disputed in time.
        if (!open && vm.getBlockTimestamp() + time > (known < 3 ? openBy : expiry)) insist();
        vm.warp(vm.getBlockTimestamp() + time);
    }

    /// The honest seat challenges with the newest that it has.
    function insist() private {
        Story memory s = truth(known);
        uint256 base = known == 0 ? 0 : known % 2 == 0 ? known - 1 : known - 1;
        must("insist", honest.owner, 0, challenging(s, proof(s, base)));
        (open, straight) = (true, known);
        defend();
    }

    function finalize() external {
        if (!open || vm.getBlockTimestamp() <= until()) return;
        int256 before = equity(honest);
        Story memory s = chain();
        must("finalize", stranger, 0, ending(s, top()));
        if (!open) return;
        settled(equity(honest) - before, s);
    }

    // ---------------------------------------------------------------------------------------------------- the honest seat

    /// What the tower does at once. Afterwards either the villain is to move, or it has lost.
    function defend() private {
        while (open) {
            if (contested() != 0) {
                bool legal = contested() <= straight;
                must("rule", stranger, 0, ruleing(chain(), contested(), legal));
                --contests;
                if (!legal && top() < straight) straight = top();
            } else if (phase() == Phase.CLOSED) {
                return; // the villain is the one who never acted
            } else if (phase() == Phase.DOUBTED) {
                if (known < 2) return;
                show(known);
            } else if (top() > straight) {
                uncover();
            } else if (top() < known) {
                show(known);
            } else {
                if (top() > known) known = top();
                if (known == LENGTH || known % 2 == 0) return;
                ++known;
                show(known);
            }
        }
    }

    /// Somebody wrote headers of its own.
    function uncover() private {
        uint256 foul = straight + 1;
        uint256 agreedTurn = ack(0) < ack(1) ? ack(0) : ack(1);
        if (foul <= agreedTurn) robbed = true; // the honest seat never signs on these
        Story memory s = chain();
        if (branch % 3 == 0 && foul <= known) {
            must("equivocate", stranger, 0, doubling(s, truth(foul), foul));
        } else if (branch % 3 == 1 && known > foul) {
            // Agreed at `foul`: the honest seat has answered it.
            Story memory t = truth(known);
            bytes memory data = abi.encodeCall(bench.respond, (t.terms, docket, proof(t, foul), slice(s, foul, top())));
            must("fork", stranger, 0, data);
            straight = known;
        } else {
            must("accuse", honest.owner, BOND, contesting(s, foul));
        }
        if (phase() == Phase.CLOSED) straight = top();
    }

    function show(uint256 turn) private {
        Story memory s = truth(turn);
        bool onTop = phase() == Phase.OPEN && top() == straight && top() < turn;
        bytes memory data = responding(s, onTop ? more(s, top()) : proof(s, turn - 1));
        must("show", honest.owner, 0, data);
        straight = turn;
    }

    // ----------------------------------------------------------------------------------------------------------- checks

    /// Makes a call that an honest seat must be able to make.
    function must(bytes32 name, address sender, uint256 value, bytes memory data) private {
        if (tried(name, sender, value, data)) return;
        helpless = string(abi.encodePacked(name));
        open = false; // and begin anew
        begin();
    }

    /// Calls the court as anyone may, and says whether it worked.
    function tried(bytes32 name, address sender, uint256 value, bytes memory data) private returns (bool done) {
        if (value != 0) vm.deal(sender, sender.balance + value);
        if (!open) (openedAt, changes) = (vm.getBlockTimestamp(), 0);
        int256[2] memory before = [equity(honest), equity(villain())];
        vm.recordLogs();
        vm.prank(sender, sender);
        (done,) = address(bench).call{value: value}(data);
        if (!done) return false;
        listen();
        ++calls[name];
        ++changes;
        if (value != 0) {
            ++contests;
            bonded.push(sender);
        }
        if (name == "fork" || name == "respond") if (value == 0 && contested() == 0 && contests != 0) contests = 0;
        if (name != "finalize") {
            if (until() < vm.getBlockTimestamp() + MINIMUM) endless = true;
            if (until() > openedAt + changes * (2 * MINIMUM + PATIENCE + CHAIN_TIME)) endless = true;
            if (changes > 3 * LENGTH * LENGTH) endless = true;
            if (spent(0) > CHAIN_TIME || spent(1) > CHAIN_TIME) endless = true;
            if (before[0] != equity(honest) || before[1] != equity(villain())) underFloor = true;
        }
    }

    /// The honest seat gets what the true story's last header says, or everything for the villain's foul or silence.
    function settled(int256 got, Story memory s) private {
        Story memory t = truth(known);
        int256 due = int256(uint256(last(t).payouts[1])) - int256(uint256(STAKE));
        if (known == 0 || (phase() == Phase.DOUBTED)) due = phase() == Phase.DOUBTED ? int256(0) : due;
        int256 pot = int256(uint256(STAKE));
        if (got < due && got < pot) robbed = true;
        (uint8 word,, uint8 live,) = arena.outcomeOf(idOf(t.terms));
        if (word != 2) robbed = true;
        earned += got;
        // An outcome is applied once.
        vm.prank(stranger, stranger);
        (bool again,) = address(bench).call(ending(s, top()));
        if (again) twice = true;
        if (tried("challenge again", stranger, 0, challenging(t, proof(t, known == 0 ? 0 : known - 1)))) twice = true;
        // Operator and players settle it, so that claims do not pile up.
        uint96[] memory payouts = phase() == Phase.DOUBTED ? t.terms.stakes : s.states[top()].payouts;
        if (live & 2 != 0) settleClaimed(honest, int96(earned), uint32(count), 0, claim(t.terms, payouts, 1));
        else settle(entry(honest, int96(earned), uint32(count), 0));
        begin();
    }

    function honestEquity() external view returns (int256) {
        return equity(honest);
    }

    function honestDue() external view returns (int256) {
        return 1_000 ether + earned;
    }

    function worth() external view returns (uint256 sum) {
        for (uint256 i; i <= count; ++i) {
            int256 equity_ = equity(i == 0 ? honest : player(1_000 + i));
            if (equity_ > 0) sum += uint256(equity_);
        }
        sum += poolEquity();
    }

    function paidOut() external view returns (uint256 sum) {
        for (uint256 i = 1; i <= count; ++i) sum += player(1_000 + i).owner.balance;
    }

    function held() external view returns (uint256) {
        return address(arena).balance;
    }

    function owed() external view returns (uint256) {
        return poolOwed();
    }

    /// What the court has, and what it has to have.
    function bonds() external view returns (uint256 has, uint256 due) {
        has = address(bench).balance;
        due = contests * BOND + bench.bondOf(stranger) + bench.bondOf(honest.owner) + bench.shareOf(honest.id);
        for (uint256 i = 1; i <= count; ++i) due += bench.shareOf(player(1_000 + i).id);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../../src/IArena.sol";
import {ICourt} from "../../src/ICourt.sol";
import {Player} from "../Fixture.sol";
import {Disputed, Story} from "./Disputed.sol";
import {Typing} from "../Typing.sol";
import {vm} from "../Vm.sol";

/// @notice Bad input: each a named error, and nothing changed.
contract RefusalsTest is Disputed {
    Player private a;
    Player private b;
    Player private c;

    function setUp() public override {
        super.setUp();
        a = rich(1, 10 ether);
        b = rich(2, 10 ether);
        c = rich(3, 10 ether);
    }

    function three() private view returns (Player[] memory all) {
        all = new Player[](3);
        (all[0], all[1], all[2]) = (a, b, c);
    }

    // ------------------------------------------------------------------------------------------------------ challenges

    function test_a_concluded_match_is_not_challenged() public {
        Story memory s = then(story(pair(a, b)), 3);
        conclude(s.players, s.terms, amounts(2 ether, 0));
        denied(IArena.MatchConcluded.selector, challenging(s, proof(s, 2)));
        vm.warp(s.terms.openBy + 1);
        denied(IArena.MatchConcluded.selector, doubting(s));
    }

    function test_a_disputed_match_is_not_challenged_again() public {
        Story memory s = then(story(pair(a, b)), 3);
        tell(challenging(s, proof(s, 2)));
        denied(IArena.MatchDisputed.selector, challenging(s, proof(s, 2)));
        vm.warp(s.terms.openBy + 1);
        denied(IArena.MatchDisputed.selector, doubting(s));
    }

    function test_a_challenge_in_the_last_second_is_accepted_and_one_later_is_not() public {
        Story memory s = then(story(pair(a, b)), 3);
        vm.warp(s.terms.expiry + 1);
        denied(IArena.MatchExpired.selector, challenging(s, proof(s, 2)));
        denied(IArena.MatchExpired.selector, doubting(s));
        vm.warp(s.terms.expiry);
        tell(challenging(s, proof(s, 2)));
        vm.assertEq(until(), s.terms.expiry + MINIMUM);
    }

    function test_a_match_without_the_operators_guarantee_is_not_disputed() public {
        Story memory s = then(story(pair(a, b)), 3);
        bytes memory mine = sign(a.secret, idOf(s.terms));
        denied(
            IArena.BadSignature.selector, 2, abi.encodeCall(bench.challenge, (s.terms, mine, proof(s, 2)))
        );
        bytes memory none;
        denied(
            abi.encodeWithSelector(IArena.BadLength.selector, 64, 0),
            abi.encodeCall(bench.challenge, (s.terms, none, proof(s, 2)))
        );
    }

    function test_headers_that_do_not_link_are_refused() public {
        Story memory s = then(story(pair(a, b)), 4);
        ICourt.Evidence memory e = proof(s, 2);
        e.headers[1].prev = keccak256("other");
        denied(ICourt.Unlinked.selector, 4, challenging(s, e));
        e = proof(s, 2);
        e.headers[1].turn = 5;
        denied(ICourt.Unlinked.selector, 4, challenging(s, e));
        e = proof(s, 2);
        e.headers[0] = s.states[4];
        denied(ICourt.Unlinked.selector, 3, challenging(s, e));
    }

    function test_a_header_without_its_move_is_refused() public {
        Story memory s = then(story(pair(a, b)), 4);
        ICourt.Evidence memory e = proof(s, 2);
        e.moves[1] = "another";
        denied(ICourt.WrongMove.selector, 4, challenging(s, e));
        e.moves = new bytes[](1);
        denied(abi.encodeWithSelector(IArena.BadLength.selector, 2, 1), challenging(s, e));
    }

    function test_a_header_by_somebody_else_than_its_author_is_refused() public {
        Story memory s = then(story(three()), 3);
        uint256[] memory signed_ = new uint256[](3);
        // Seat 2 moved in turn 3, but has signed turn 2 only.
        (signed_[0], signed_[1], signed_[2]) = (4, 3, 3);
        denied(ICourt.NotByItsAuthor.selector, 3, challenging(s, signedAt(s, 1, 3, signed_)));
    }

    function test_a_base_that_not_everybody_signed_is_refused() public {
        Story memory s = then(story(pair(a, b)), 3);
        denied(IArena.BadSignature.selector, 1, challenging(s, more(s, 2)));
    }

    function test_signatures_of_strangers_repeated_or_too_many_are_refused() public {
        Story memory s = then(story(pair(a, b)), 3);
        ICourt.Evidence memory e = proof(s, 2);
        bytes memory one = signState(s, a.secret, 3);
        e.signatures = bytes.concat(one, signState(s, 0xbad, 2));
        denied(IArena.BadSignature.selector, 1, challenging(s, e));
        e.signatures = bytes.concat(one, one);
        denied(IArena.BadSignature.selector, 1, challenging(s, e));
        e.signatures = bytes.concat(one, one, one);
        e.places |= 1 << 16;
        denied(IArena.BadSignature.selector, 1, challenging(s, e));
        e = proof(s, 2);
        e.signatures = bytes.concat(e.signatures, one);
        denied(abi.encodeWithSelector(IArena.BadLength.selector, 128, 192), challenging(s, e));
        e = proof(s, 2);
        e.places |= 1 << 16; // a third seat
        denied(IArena.BadSeat.selector, 2, challenging(s, e));
        e = proof(s, 2);
        e.places = 0x0109; // beyond the headers
        denied(IArena.BadSignature.selector, 0, challenging(s, e));
        e = proof(s, 2);
        e.owners[0] = b.owner;
        denied(IArena.BadSignature.selector, 0, challenging(s, e));
    }

    function test_signatures_on_another_match_or_arena_are_refused() public {
        Story memory s = then(story(pair(a, b)), 3);
        Story memory other = then(story(pair(a, b)), 3);
        ICourt.Evidence memory e = proof(s, 2);
        e.signatures = proof(other, 2).signatures;
        denied(IArena.BadSignature.selector, 0, challenging(s, e));
        ICourt.Evidence memory elsewhere = proof(s, 2);
        bytes memory there = guarantee(s);
        address[] memory none;
        arena = newArenaWithSalt("another", none);
        elsewhere = proof(s, 2);
        bytes memory call = abi.encodeCall(bench.challenge, (s.terms, guarantee(s), elsewhere));
        denied(IArena.BadSignature.selector, 2, call);
        denied(IArena.BadSignature.selector, 0, abi.encodeCall(bench.challenge, (s.terms, there, elsewhere)));
    }

    function test_too_much_evidence_is_refused() public {
        Story memory s = story(pair(a, b));
        for (uint256 i; i < 33; ++i) s = then(s, "again", 0);
        denied(abi.encodeWithSelector(ICourt.TooManyHeaders.selector, 32, 0), challenging(s, proof(s, 0)));
        tell(challenging(s, proof(s, 0, 32)));
        Story memory t = story(pair(a, b));
        t = then(t, new bytes(8 * 1024 + 1), keccak256("b"), 1, forfeit(2, 1));
        denied(ICourt.MoveTooLarge.selector, 8 * 1024, challenging(t, proof(t, 0)));
    }

    /// R5.12, R7.2: no header that could not be applied, or that no rules lead to.
    function test_headers_that_the_terms_do_not_allow_are_refused() public {
        Story memory s = then(story(pair(a, b)), 2);
        Story memory bad = then(s, "x", keccak256("b"), 2, forfeit(2, 1));
        denied(ICourt.BadHeader.selector, 3, challenging(bad, proof(bad, 2)));
        bad = then(s, "x", keccak256("b"), 1, amounts(2 ether, 1));
        denied(ICourt.BadHeader.selector, 3, challenging(bad, proof(bad, 2)));
        bad = then(s, "x", keccak256("b"), 1, new uint96[](3));
        denied(ICourt.BadHeader.selector, 3, challenging(bad, proof(bad, 2)));
        bad = ended(s, amounts(2 ether, 0));
        bad.states[3].mover = 255;
        bad = then(bad, "after the end", 0);
        denied(ICourt.BadHeader.selector, 4, challenging(bad, proof2(bad)));
        s.terms.maxTurns = 2;
        s = upTo(s, 0);
        s = then(s, 2);
        denied(ICourt.BadHeader.selector, 2, challenging(s, proof(s, 1)));
        s = ended(upTo(s, 1), amounts(2 ether, 0));
        tell(challenging(s, proof(s, 1)));
    }

    function proof2(Story memory s) private view returns (ICourt.Evidence memory) {
        uint256[] memory signed_ = new uint256[](2);
        (signed_[0], signed_[1]) = (5, 5);
        return signedAt(s, 2, 4, signed_);
    }

    // --------------------------------------------------------------------------------------------------------- answers

    function test_an_older_chain_is_no_answer() public {
        Story memory s = then(story(pair(a, b)), 6);
        tell(challenging(s, proof(s, 4, 5)));
        denied(ICourt.NotNewer.selector, responding(s, proof(s, 2, 3)));
        denied(ICourt.NotNewer.selector, responding(s, proof(s, 3, 4)));
        denied(ICourt.NotNewer.selector, responding(s, proof(s, 4, 5)));
        denied(ICourt.NotNewer.selector, responding(s, signedBy(s, 5, 5, false)));
        tell(responding(s, more(s, 5)));
    }

    function test_an_answer_after_the_window_is_refused() public {
        Story memory s = then(story(pair(a, b)), 4);
        tell(challenging(s, proof(s, 2, 3)));
        denied(ICourt.WindowRuns.selector, until(), ending(s, 3));
        vm.warp(until() + 1);
        denied(ICourt.WindowOver.selector, until(), responding(s, more(s, 3)));
        denied(ICourt.WindowOver.selector, until(), contesting(s, 3));
        denied(ICourt.WindowOver.selector, until(), doubling(s, then(upTo(s, 2), "other"), 3));
        denied(ICourt.WrongTrail.selector, ending(s, 2));
        tell(ending(s, 3));
        vm.assertEq(equity(a), 11 ether);
        denied(IArena.MatchConcluded.selector, ending(s, 3));
    }

    function test_an_answer_in_the_last_second_counts() public {
        Story memory s = then(story(pair(a, b)), 4);
        tell(challenging(s, proof(s, 2, 3)));
        vm.warp(until());
        tell(responding(s, more(s, 3)));
        vm.assertEq(until(), vm.getBlockTimestamp() + MINIMUM);
    }

    function test_another_docket_is_refused() public {
        Story memory s = then(story(pair(a, b)), 5);
        tell(challenging(s, proof(s, 2, 3)));
        ICourt.Docket memory first = docket;
        docket.spent = 1;
        denied(IArena.OtherDocket.selector, responding(s, more(s, 3)));
        docket = first;
        tell(responding(s, signedBy(s, 3, 4, false)));
        docket = first;
        denied(IArena.OtherDocket.selector, responding(s, proof(s, 4)));
        Story memory never = then(story(pair(a, b)), 4);
        denied(IArena.OtherDocket.selector, responding(never, proof(never, 4)));
        vm.warp(until() + 1);
        denied(IArena.OtherDocket.selector, ending(never, 3));
    }

    function test_an_answer_on_a_concluded_match_is_refused() public {
        Story memory s = then(story(pair(a, b)), 4);
        tell(challenging(s, proof(s, 2, 3)));
        conclude(s.players, s.terms, amounts(2 ether, 0));
        denied(IArena.MatchConcluded.selector, responding(s, more(s, 3)));
        denied(IArena.MatchConcluded.selector, doubling(s, then(upTo(s, 2), "other"), 3));
        vm.deal(stranger, BOND);
        denied(abi.encodeWithSelector(IArena.MatchConcluded.selector), BOND, contesting(s, 3));
        vm.warp(until() + 1);
        denied(IArena.MatchConcluded.selector, ending(s, 3));
    }

    // -------------------------------------------------------------------------------------------------------- contests

    function test_a_contest_with_the_wrong_board_or_move_is_refused() public {
        Story memory s = play(play(play(noughts(pair(a, b)), 0), 4), 1);
        tell(challenging(s, proof(s, 2)));
        IArena.State[] memory trail = slice(s, 2, 3);
        denied(
            ICourt.WrongBoard.selector,
            abi.encodeCall(bench.contest, (s.terms, docket, trail, code, s.positions[1], s.moves[2]))
        );
        denied(
            ICourt.WrongMove.selector,
            3,
            abi.encodeCall(bench.contest, (s.terms, docket, trail, code, s.positions[2], s.moves[1]))
        );
        denied(ICourt.MoveIsLegal.selector, contesting(s, 3));
        denied(abi.encodeWithSelector(ICourt.WrongBond.selector, 0), BOND, contesting(s, 3));
        denied(
            ICourt.Agreed.selector,
            2,
            abi.encodeCall(bench.contest, (s.terms, docket, slice(s, 1, 3), code, s.positions[1], s.moves[1]))
        );
        denied(
            ICourt.WrongTrail.selector,
            abi.encodeCall(bench.contest, (s.terms, docket, slice(s, 1, 2), code, s.positions[1], s.moves[1]))
        );
        denied(
            ICourt.WrongTrail.selector,
            abi.encodeCall(bench.contest, (s.terms, docket, slice(s, 3, 3), code, s.positions[1], s.moves[1]))
        );
    }

    function test_a_contest_before_arbiters_costs_exactly_the_bond() public {
        Story memory s = then(story(pair(a, b)), 3);
        tell(challenging(s, proof(s, 2)));
        denied(ICourt.WrongBond.selector, BOND, contesting(s, 3));
        denied(abi.encodeWithSelector(ICourt.WrongBond.selector, BOND), BOND + 1, contesting(s, 3));
        tell(stranger, BOND, contesting(s, 3));
        denied(abi.encodeWithSelector(ICourt.BeforeArbiters.selector), BOND, contesting(s, 3));
    }

    function test_nobody_moves_while_the_arbiters_think() public {
        Story memory s = then(story(pair(a, b)), 5);
        tell(challenging(s, proof(s, 2, 3)));
        denied(ICourt.NotBeforeArbiters.selector, ruleing(s, 3, true));
        tell(stranger, BOND, contesting(s, 3));
        denied(IArena.BadSignature.selector, 0, responding(s, signedBy(s, 3, 4, false))); // not without all seats
        denied(ICourt.BeforeArbiters.selector, responding(s, proof(s, 2)));
        denied(ICourt.BeforeArbiters.selector, doubling(s, then(upTo(s, 2), "other"), 3));
        denied(ICourt.WindowRuns.selector, until(), ending(s, 3));
        tell(responding(s, proof(s, 3))); // agreed at the contested turn
        vm.assertEq(bench.bondOf(stranger), BOND);
    }

    function test_rulings_need_the_quorum_each_arbiter_once_and_this_match() public {
        Story memory s = then(story(pair(a, b)), 3);
        Story memory other = then(story(pair(a, b)), 3);
        tell(challenging(s, proof(s, 2)));
        tell(stranger, BOND, contesting(s, 3));
        bytes32 digest = ruling(s, s.states[3], true);
        bytes memory one = sign(arbiter(0), digest);
        bytes memory two = sign(arbiter(1), digest);
        bytes4 bad = IArena.BadSignature.selector;
        denied(bad, 1, handed(s, true, bytes.concat(one, one)));
        denied(bad, 1, handed(s, true, bytes.concat(two, one)));
        denied(bad, 1, handed(s, true, bytes.concat(one, sign(a.secret, digest))));
        denied(abi.encodeWithSelector(IArena.BadLength.selector, 128, 64), handed(s, true, one));
        denied(
            abi.encodeWithSelector(IArena.BadLength.selector, 128, 192),
            handed(s, true, bytes.concat(one, two, sign(arbiter(2), digest)))
        );
        // For the other verdict, another header, another match, another arena.
        denied(bad, 0, handed(s, false, bytes.concat(one, two)));
        denied(bad, 0, handed(s, true, ruled(s, 2, true)));
        denied(bad, 0, handed(s, true, ruled(other, 3, true)));
        denied(ICourt.WrongTrail.selector, abi.encodeCall(bench.rule, (s.terms, docket, slice(s, 1, 3), true, ruled(s, 3, true))));
        vm.warp(until() + 1);
        denied(ICourt.WindowOver.selector, until(), ruleing(s, 3, true));
    }

    function handed(Story memory s, bool legal, bytes memory signatures) private view returns (bytes memory) {
        return abi.encodeCall(bench.rule, (s.terms, docket, slice(s, 2, 3), legal, signatures));
    }

    function test_an_equivocation_needs_two_headers_of_one_author_and_turn() public {
        Story memory s = then(story(pair(a, b)), 4);
        tell(challenging(s, proof(s, 3)));
        Story memory fork = then(upTo(s, 3), "other");
        denied(ICourt.SameHeader.selector, doubling(s, s, 4));
        IArena.State[] memory trail = slice(s, 3, 4);
        denied(
            ICourt.Unlinked.selector,
            3,
            abi.encodeCall(bench.equivocate, (s.terms, docket, trail, s.states[3], b.owner, signState(s, b.secret, 3)))
        );
        denied(
            IArena.BadSignature.selector,
            1,
            abi.encodeCall(
                bench.equivocate, (s.terms, docket, trail, fork.states[4], b.owner, signState(fork, a.secret, 4))
            )
        );
        denied(
            IArena.BadSignature.selector,
            1,
            abi.encodeCall(
                bench.equivocate, (s.terms, docket, trail, fork.states[4], a.owner, signState(fork, b.secret, 4))
            )
        );
        denied(ICourt.Agreed.selector, 3, doubling(s, then(upTo(s, 2), "other"), 3));
        tell(doubling(s, fork, 4));
    }
}

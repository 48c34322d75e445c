// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena, Skip} from "../src/IArena.sol";
import {Fixture, Player, Books} from "./Fixture.sol";
import {Typing} from "./Typing.sol";
import {Vm, vm} from "./Vm.sol";

/// @notice `settle`, `settleSigned`, `settleClaimed` and the results (R6.2 to R6.10).
contract SettlementTest is Fixture {
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    uint256 private constant GENERATOR = 0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798;

    Player private a;
    Player private b;

    function setUp() public override {
        super.setUp();
        a = rich(1, 10 ether);
        b = rich(2, 10 ether);
        fundPool(5 ether);
    }

    function test_settle_moves_net_and_the_pool_follows() public {
        vm.prank(operator);
        vm.expectEmit(address(arena));
        emit IArena.Settled(1, "root", 7, 2, 1 ether);
        arena.settle(bytes.concat(entry(a, -2 ether, 3, 0), entry(b, 1 ether, 4, 4)), "root", 7, 1 ether);
        vm.assertEq(equity(a), 8 ether);
        vm.assertEq(equity(b), 11 ether);
        vm.assertEq(poolEquity(), 5 ether); // + 2 - 1 - 1 of fees
        vm.assertEq(arena.resultsRoot(1), "root");
        Books memory k = books(b);
        vm.assertEq(k.through, 4);
        vm.assertEq(k.pending, 4);
        (,, uint32 batches) = arena.pool();
        vm.assertEq(batches, 1);
    }

    function test_settle_is_the_operators() public {
        refused(IArena.NotOperator.selector, a.owner, settling(""));
        refused(
            abi.encodeWithSelector(IArena.BadLength.selector, 208, 105),
            operator,
            settling(bytes.concat(entry(a, 0, 1, 0), "x"))
        );
    }

    function test_settle_pays_no_more_fees_than_the_pool_has() public {
        settleWithFees("", 9 ether);
        vm.assertEq(poolEquity(), 0);
        (, uint96 fresh,,) = arena.revenueOf(house);
        vm.assertEq(fresh, 5 ether);
    }

    // ---------------------------------------------------------------------------------------------------- skipped (R6.8)

    function test_skips_a_zero_a_foreign_and_a_malleable_signature() public {
        bytes memory zero = abi.encodePacked(a.owner, int96(1), uint32(1), uint32(0), bytes32(0), bytes32(0));
        skipped(address(0), Skip.SIGNATURE, operator, settling(zero));
        // r beyond the field.
        bytes memory broken =
            abi.encodePacked(a.owner, int96(1), uint32(1), uint32(0), bytes32(type(uint256).max), bytes32(uint256(1)));
        skipped(address(0), Skip.SIGNATURE, operator, settling(broken));
        // A high s that fits 255 bits, with which the curve's generator would recover a key.
        bytes memory high =
            abi.encodePacked(a.owner, int96(0), uint32(1), uint32(0), bytes32(GENERATOR), bytes32(ORDER / 2 + 1));
        bytes32 digest = typed(Typing.statement(a.owner, 0, 1, 0));
        vm.assertTrue(ecrecover(digest, 27, bytes32(GENERATOR), bytes32(ORDER / 2 + 1)) != address(0));
        skipped(address(0), Skip.SIGNATURE, operator, settling(high));
    }

    function test_skips_the_operators_own_key() public {
        Player memory p = Player(address(7), address(0), OPERATOR_SECRET, address(0));
        p = withOwner(p, address(7));
        bank(p, 1 ether);
        skipped(p.id, Skip.OPERATOR_KEY, operator, settling(entry(p, 1, 1, 0)));
    }

    function test_skips_what_is_stale_or_no_superset() public {
        settle(entry(a, 1, 5, 2));
        skipped(a.id, Skip.STALE, operator, settling(entry(a, 1, 5, 2)));
        skipped(a.id, Skip.STALE, operator, settling(entry(a, 2, 4, 0)));
        skipped(a.id, Skip.STALE, operator, settling(entry(a, 2, 6, 8)));
        skipped(a.id, Skip.STALE, operator, settling(entry(a, 2, 6, 5)));
        settle(entry(a, 2, 6, 4));
        settle(entry(a, 3, 6, 0)); // the open one alone, through does not move
        vm.assertEq(books(a).net, 3);
    }

    function test_skips_a_debit_below_zero_and_a_credit_beyond_the_pool() public {
        skipped(a.id, Skip.UNDERWATER, operator, settling(entry(a, -10 ether - 1, 1, 0)));
        skipped(a.id, Skip.POOL_SHORT, operator, settling(entry(a, 5 ether + 1, 1, 0)));
        settle(bytes.concat(entry(a, -10 ether, 1, 0), entry(b, 15 ether, 1, 0)));
        vm.assertEq(poolEquity(), 0);
    }

    function test_skips_numbers_that_do_not_fit() public {
        skipped(a.id, Skip.OVERFLOW, operator, settling(entry(a, 1, 2 ** 26, 0)));
        settle(entry(a, 1, 2 ** 26 - 1, 0));
        // A pool that the debit would overflow.
        vm.deal(address(this), type(uint96).max);
        arena.fund{value: type(uint96).max - 5 ether + 1}();
        skipped(b.id, Skip.OVERFLOW, operator, settling(entry(b, -1, 1, 0)));
    }

    function test_skips_accounts_with_claims() public {
        conclude(pair(a, b), terms(a, 0, b, 0, 1 ether), amounts(2 ether, 0));
        skipped(a.id, Skip.CLAIMS, operator, settling(entry(a, 1 ether, 1, 0)));
    }

    function test_skips_a_receipt_that_is_not_the_operators() public {
        bytes memory forged = bytes.concat(entry(a, 1, 1, 0), sign(b.secret, typed(Typing.receipt(a.id, 1, 1, 0))));
        skipped(a.id, Skip.RECEIPT, a.owner, abi.encodeCall(arena.settleSigned, (forged)));
        bytes memory others = bytes.concat(entry(a, 1, 1, 0), receipt(b, 1, 1, 0));
        skipped(a.id, Skip.RECEIPT, a.owner, abi.encodeCall(arena.settleSigned, (others)));
    }

    function test_a_skip_in_the_middle_leaves_its_neighbours_alone() public {
        Player memory c = rich(3, 1 ether);
        settle(bytes.concat(entry(a, -1 ether, 1, 0), entry(c, -2 ether, 1, 0), entry(b, 6 ether, 1, 0)));
        vm.assertEq(equity(a), 9 ether);
        vm.assertEq(equity(b), 16 ether);
        vm.assertEq(equity(c), 1 ether);
        vm.assertEq(poolEquity(), 0);
    }

    function test_one_account_twice_in_a_batch() public {
        settle(bytes.concat(entry(a, -1 ether, 1, 0), entry(a, -2 ether, 2, 0)));
        vm.assertEq(equity(a), 8 ether);
        vm.assertEq(poolEquity(), 7 ether);
    }

    // --------------------------------------------------------------------------------------------------------- anyone's

    function test_settleSigned_is_anyones() public {
        vm.expectEmit(address(arena));
        emit IArena.Settled(0, 0, 0, 2, 0);
        arena.settleSigned(bytes.concat(signed(a, -2 ether, 3, 0), signed(b, 1 ether, 4, 4)));
        vm.assertEq(equity(a), 8 ether);
        vm.assertEq(equity(b), 11 ether);
        vm.assertEq(poolEquity(), 6 ether);
        refused(
            abi.encodeWithSelector(IArena.BadLength.selector, 168, 104),
            a.owner,
            abi.encodeCall(arena.settleSigned, (entry(a, 0, 5, 0)))
        );
    }

    /// The hot loop is `_advance` spelled out: both roads must do the same to any entry on any record.
    function testFuzz_the_short_and_the_long_way_agree(
        int96 funds,
        int96 oldNet,
        uint32 oldThrough,
        uint32 oldPending,
        int96 net,
        uint32 through,
        uint32 pending,
        uint96 pool
    ) public {
        oldThrough %= 2 ** 26;
        if (through % 4 != 0) through = oldThrough + through % 70;
        if (pending % 3 != 0) pending &= oldPending << (through >= oldThrough ? (through - oldThrough) % 32 : 0);
        if (oldThrough < 32) oldPending &= uint32((1 << oldThrough) - 1);
        if (net % 3 != 0) net = int96((int256(oldNet) + net % 1000) % (2 ** 95));
        uint256 record = uint256(uint96(funds)) | uint256(uint96(oldNet)) << 96 | uint256(oldPending) << 192
            | uint256(oldThrough) << 224;
        bytes memory e = signed(a, net, through, pending);
        bytes32 short = outcomeOfRoad(record, pool, operator, settling(entry(a, net, through, pending)));
        bytes32 long = outcomeOfRoad(record, pool, address(1), abi.encodeCall(arena.settleSigned, (e)));
        vm.assertEq(short, long);
    }

    function outcomeOfRoad(uint256 record, uint96 pool, address sender, bytes memory data) private returns (bytes32) {
        bytes32 slot = bytes32(uint256(uint160(a.id)) << 96);
        vm.store(address(arena), slot, bytes32(record));
        vm.store(address(arena), bytes32(uint256(POOL_SLOT)), bytes32(uint256(pool)));
        vm.recordLogs();
        accepted(sender, data);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 reason;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] == IArena.Skipped.selector) reason = abi.decode(logs[i].data, (uint256));
        }
        vm.assertEq(poolEquity(), uint256(vm.load(address(arena), bytes32(uint256(POOL_SLOT)))) & type(uint96).max);
        return keccak256(abi.encode(vm.load(address(arena), slot), poolEquity(), reason));
    }

    // ------------------------------------------------------------------------------------------------- absorbing (R6.10)

    function test_a_statement_absorbs_its_claims() public {
        IArena.Match memory m = terms(a, 0, b, 0, 1 ether);
        conclude(pair(a, b), m, amounts(2 ether, 0));
        vm.assertEq(equity(a), 11 ether);
        vm.assertEq(equity(b), 9 ether);
        vm.assertEq(books(a).claims, 1);
        settleClaimed(a, 3 ether, 4, 0, claim(m, amounts(2 ether, 0), 0));
        vm.assertEq(books(a).claims, 0);
        vm.assertEq(books(a).funds, 10 ether);
        vm.assertEq(equity(a), 13 ether);
        vm.assertEq(poolEquity(), 3 ether);
        // The other seat's claim is still live, with the operator as sender this time.
        bytes memory e = entry(b, -1 ether, 1, 0);
        accepted(operator, abi.encodeCall(arena.settleClaimed, (e, "", claim(m, amounts(2 ether, 0), 1))));
        vm.assertEq(equity(b), 9 ether);
        vm.assertEq(poolEquity(), 3 ether);
        (,, uint8 live,) = arena.outcomeOf(idOf(m));
        vm.assertEq(live, 0);
    }

    function test_a_claim_outside_the_statement_stays() public {
        IArena.Match memory m = terms(a, 3, b, 0, 1 ether);
        conclude(pair(a, b), m, amounts(0, 2 ether));
        settleClaimed(a, 1 ether, 3, 0, claim(m, amounts(0, 2 ether), 0));
        vm.assertEq(books(a).claims, 1);
        vm.assertEq(equity(a), 10 ether);
        settleClaimed(a, 0, 4, 0, claim(m, amounts(0, 2 ether), 0));
        vm.assertEq(equity(a), 10 ether);
        vm.assertEq(books(a).claims, 0);
    }

    function test_claims_must_be_all_live_once_and_true() public {
        IArena.Match memory m = terms(a, 0, b, 0, 1 ether);
        IArena.Match memory n = terms(a, 1, b, 1, 1 ether);
        uint96[] memory won = amounts(2 ether, 0);
        conclude(pair(a, b), m, won);
        conclude(pair(a, b), n, won);
        bytes memory e = entry(a, 2 ether, 2, 0);
        bytes memory r = receipt(a, 2 ether, 2, 0);
        IArena.Claim[] memory c = new IArena.Claim[](2);
        (c[0], c[1]) = idOf(m) < idOf(n)
            ? (IArena.Claim(m, won, 0), IArena.Claim(n, won, 0))
            : (IArena.Claim(n, won, 0), IArena.Claim(m, won, 0));
        bytes4 wrong = IArena.WrongClaims.selector;

        refused(abi.encodeWithSelector(wrong, 2, 1), a.owner, absorbing(e, r, claim(m, won, 0)));
        refused(abi.encodeWithSelector(wrong, 2, 0), a.owner, absorbing(e, r, new IArena.Claim[](0)));
        IArena.Claim[] memory twice = new IArena.Claim[](2);
        (twice[0], twice[1]) = (c[0], c[0]);
        refused(abi.encodeWithSelector(wrong, 2, 2), a.owner, absorbing(e, r, twice));
        (twice[0], twice[1]) = (c[1], c[0]);
        refused(abi.encodeWithSelector(wrong, 2, 2), a.owner, absorbing(e, r, twice));
        c[0].payouts = amounts(0, 0);
        bytes32 first = idOf(c[0].terms);
        refused(abi.encodeWithSelector(IArena.NoClaim.selector, first), a.owner, absorbing(e, r, c));
        c[0].payouts = won;
        c[0].seat = 1;
        refused(abi.encodeWithSelector(IArena.BadSeat.selector, 1), a.owner, absorbing(e, r, c));
        c[0].seat = 2;
        refused(abi.encodeWithSelector(IArena.BadSeat.selector, 2), a.owner, absorbing(e, r, c));
        c[0].seat = 0;
        refused(abi.encodeWithSelector(IArena.BadSignature.selector, 0), a.owner, absorbing(e, receipt(b, 0, 2, 0), c));
        refused(abi.encodeWithSelector(IArena.BadLength.selector, 64, 0), a.owner, absorbing(e, "", c));
        refused(abi.encodeWithSelector(IArena.BadLength.selector, 104, 0), a.owner, absorbing("", r, c));
        accepted(a.owner, absorbing(e, r, c));
        refused(abi.encodeWithSelector(IArena.NoClaim.selector, first), operator, absorbing(entry(a, 0, 3, 0), "", c));
    }

    function test_settleClaimed_reverts_with_the_reason_of_a_skip() public {
        bytes4 not = IArena.NotApplied.selector;
        IArena.Claim[] memory none = new IArena.Claim[](0);
        settle(entry(a, 0, 3, 0));
        refused(abi.encodeWithSelector(not, Skip.STALE), operator, absorbing(entry(a, 0, 3, 0), "", none));
        refused(abi.encodeWithSelector(not, Skip.POOL_SHORT), operator, absorbing(entry(a, 6 ether, 4, 0), "", none));
        bytes memory zero = abi.encodePacked(a.owner, int96(1), uint32(1), uint32(0), bytes32(0), bytes32(0));
        refused(abi.encodeWithSelector(not, Skip.SIGNATURE), operator, absorbing(zero, "", none));
        Player memory p = withOwner(Player(address(7), address(0), OPERATOR_SECRET, address(0)), address(7));
        refused(abi.encodeWithSelector(not, Skip.OPERATOR_KEY), operator, absorbing(entry(p, 0, 1, 0), "", none));
    }

    function absorbing(bytes memory e, bytes memory r, IArena.Claim[] memory c) private view returns (bytes memory) {
        return abi.encodeCall(arena.settleClaimed, (e, r, c));
    }

    // ---------------------------------------------------------------------------------------------------- results (R6.9)

    function test_proves_a_result_and_nothing_else() public {
        IArena.Result memory r;
        r.matchId = "match";
        (r.seats, r.payouts) = (new address[](2), amounts(1, 2));
        bytes32 leaf = keccak256(bytes.concat(hex"00", keccak256(abi.encode(address(arena), r))));
        bytes32 other = keccak256("another leaf");
        (bytes32 x, bytes32 y) = leaf < other ? (leaf, other) : (other, leaf);
        bytes32 node = keccak256(abi.encodePacked(hex"01", x, y));
        vm.prank(operator);
        arena.settle("", node, 2, 0);
        vm.prank(operator);
        arena.settle("", leaf, 1, 0);

        bytes32[] memory proof = new bytes32[](1);
        proof[0] = other;
        vm.assertTrue(arena.proveResult(1, r, proof));
        vm.assertTrue(arena.proveResult(2, r, new bytes32[](0)));
        vm.assertFalse(arena.proveResult(1, r, new bytes32[](0)));
        vm.assertFalse(arena.proveResult(3, r, new bytes32[](0)));
        r.payouts[0] = 3;
        vm.assertFalse(arena.proveResult(1, r, proof));
    }
}

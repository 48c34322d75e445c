// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IArena} from "../src/IArena.sol";
import {Account, AccountLib, Outcome, OutcomeLib, Pool, Side} from "../src/Records.sol";
import {Hashes} from "./Hashes.sol";
import {Typing} from "./Typing.sol";
import {vm} from "./Vm.sol";

/// @notice The packed slots, the settled set and the typed hashes against plain models.
contract RecordsTest {
    uint256 private constant INDEXES = 80; // of the naive set

    function testFuzz_account_fields_round_trip(int96 funds, int96 net, uint32 through, uint32 pending, uint8 claims)
        public
        pure
    {
        through = uint32(through & AccountLib.MAX_THROUGH);
        claims = claims & 31;
        Account a = Account.wrap(0).move(funds).restate(net, through, pending);
        for (uint256 i; i < claims; ++i) a = a.addClaim();
        a = a.makeSpecial();
        vm.assertEq(a.funds(), funds);
        vm.assertEq(a.net(), net);
        vm.assertEq(a.through(), through);
        vm.assertEq(a.pending(), pending);
        vm.assertEq(a.claims(), claims);
        vm.assertTrue(a.special());
        vm.assertEq(a.equity(), int256(funds) + net);
        vm.assertEq(a.worth(), a.equity() > 0 ? uint256(a.equity()) : 0);
        for (uint256 i; i < claims; ++i) a = a.dropClaim();
        vm.assertEq(a.restate(0, 0, 0).move(-int256(funds)).funds(), 0);
        vm.assertEq(Account.unwrap(a.restate(0, 0, 0).move(-int256(funds))), 1 << 255);
    }

    function testFuzz_side_pool_and_outcome_fields_round_trip(uint96 x, uint96 y, uint40 z, uint8 seat, uint232 hash)
        public
        pure
    {
        seat = seat & 7;
        Side s = Side.wrap(0).withWithdrawn(x).lock(y).withExitAt(z).useNonce();
        vm.assertEq(s.withdrawn(), x);
        vm.assertEq(s.locked(), y);
        vm.assertEq(s.exitAt(), z);
        vm.assertEq(s.nonce(), 1);
        vm.assertEq(Side.unwrap(s.unlock(y).withWithdrawn(0).withExitAt(0)), 1 << 232);

        Pool p = Pool.wrap(0).receive_(x).owe(y).nextBatch();
        vm.assertEq(p.equity(), x);
        vm.assertEq(p.owed(), y);
        vm.assertEq(p.batches(), 1);
        vm.assertEq(p.free(), x > y ? x - y : 0);
        vm.assertEq(Pool.unwrap(p.pay(x).forgive(y)), 1 << 224);

        Outcome o = OutcomeLib.concluded(1 << seat, hash);
        vm.assertEq(o.status(), OutcomeLib.CONCLUDED);
        vm.assertEq(o.payouts(), hash);
        vm.assertTrue(o.isLive(seat));
        vm.assertFalse(o.isLocked(seat));
        vm.assertTrue(o.flipLock(seat).isLocked(seat));
        vm.assertEq(o.flipLive(seat).lives(), 0);
    }

    /// R6.7: `grows` and `contains` against sets of booleans.
    function testFuzz_settled_set_against_a_naive_set(uint8 oldThrough, uint32 oldPending, uint8 through, uint32 pending)
        public
        pure
    {
        oldThrough %= 40;
        through %= 80;
        // A record never has a bit pending below index 0.
        if (oldThrough < 32) oldPending &= uint32((1 << oldThrough) - 1);
        check(oldThrough, oldPending, through, pending);
        // Most random sets are no supersets: take one that is.
        if (through >= oldThrough) {
            uint256 shift = through - oldThrough;
            uint32 kept = uint32((uint256(oldPending) << shift) & type(uint32).max);
            uint32 fresh = shift < 32 ? uint32((1 << shift) - 1) : type(uint32).max;
            uint32 bits = pending & (kept | fresh);
            if (through < 32) bits &= uint32((1 << through) - 1);
            check(oldThrough, oldPending, through, bits);
        }
    }

    function check(uint256 oldThrough, uint256 oldPending, uint256 through, uint256 pending) private pure {
        Account a = Account.wrap(0).restate(0, oldThrough, oldPending);
        bool superset = true;
        bool more;
        for (uint256 i; i < INDEXES; ++i) {
            bool was = naive(oldThrough, oldPending, i);
            bool is_ = naive(through, pending, i);
            vm.assertEq(a.contains(i), was);
            if (was && !is_) superset = false;
            if (is_ && !was) more = true;
        }
        bool formed = through >= 32 || pending >> through == 0;
        if (a.grows(through, pending)) {
            vm.assertTrue(superset && more, "grew, but not as a set");
            vm.assertTrue(formed, "a pending bit below index 0");
        } else if (through >= oldThrough && formed) {
            vm.assertFalse(superset && more);
        }
    }

    function naive(uint256 through, uint256 pending, uint256 index) private pure returns (bool) {
        if (index >= through) return false;
        uint256 k = through - 1 - index;
        return k > 31 || pending & (2 ** k) == 0;
    }

    function test_a_full_set_written_longer_is_not_new() public pure {
        Account a = Account.wrap(0).restate(0, 4, 0);
        vm.assertFalse(a.grows(4, 0));
        vm.assertFalse(a.grows(5, 1));
        vm.assertFalse(a.grows(36, type(uint32).max));
        vm.assertTrue(a.grows(5, 0));
        vm.assertTrue(a.grows(37, type(uint32).max)); // index 4 falls out of the window
        vm.assertFalse(a.grows(3, 0));
    }

    /// Section 4: the contract's hashes against `Typing`, and the id of R2.3.
    function testFuzz_typed_hashes(address who, int96 net, uint32 through, uint32 pending, uint96 total, bytes32 salt)
        public
    {
        Hashes h = new Hashes(address(this), salt);
        bytes32 d = Typing.domain(address(h), salt);
        vm.assertEq(h.domainSeparator(), d);
        vm.assertEq(
            h.statementDigest(who, net, through, pending),
            Typing.digest(d, Typing.statement(who, net, through, pending))
        );
        bytes32 receipt = Typing.receipt(who, net, through, pending);
        vm.assertEq(h.receiptHash(who, net, through, pending), receipt);
        vm.assertEq(h.receiptDigest(who, net, through, pending), Typing.digest(d, receipt));
        vm.assertEq(
            h.withdrawalDigest(who, total, through, receipt),
            Typing.digest(d, Typing.withdrawal(who, total, through, receipt))
        );
        vm.assertEq(h.exitDigest(who, receipt, pending), Typing.digest(d, Typing.exit(who, receipt, pending)));
        address other = address(uint160(uint256(salt)));
        vm.assertEq(h.accountId(who, other), address(uint160(uint256(keccak256(abi.encodePacked(who, other))))));
    }

    function testFuzz_typed_matches(IArena.Match memory m, IArena.State memory s, bytes32 salt) public {
        Hashes h = new Hashes(address(this), salt);
        bytes32 d = Typing.domain(address(h), salt);
        bytes32 id = h.matchId(m);
        vm.assertEq(id, Typing.digest(d, Typing.terms(m)));
        vm.assertEq(h.stateDigest(id, s), Typing.digest(d, Typing.state(id, s)));
    }

    /// R4.1: another chain, another domain.
    function test_domain_follows_the_chain_id_and_tells_its_parts() public {
        Hashes h = new Hashes(address(this), "salt");
        bytes32 before = h.domainSeparator();
        (bytes1 fields, string memory name, string memory version, uint256 chain, address at_, bytes32 salt,) =
            h.eip712Domain();
        vm.assertEq(uint256(uint8(fields)), 0x1f);
        vm.assertEq(keccak256(bytes(name)), keccak256("Matchlock"));
        vm.assertEq(keccak256(bytes(version)), keccak256("1"));
        vm.assertEq(chain, block.chainid);
        vm.assertEq(at_, address(h));
        vm.assertEq(salt, "salt");
        vm.chainId(4242);
        vm.assertTrue(h.domainSeparator() != before);
        vm.assertEq(h.domainSeparator(), Typing.domain(address(h), "salt"));
    }
}

//! Evidence: what linked headers and signatures on them show (R7.2, R7.3).

use alloy_primitives::{B256, U256, keccak256};
use matchlock::{
    abi::{Arena, Court, OVER},
    chain::{ArenaRefusal, CourtRefusal, Revert},
    game::MAX_SEATS,
};

use super::{
    Model,
    docket::MAX_HEADERS,
    refuse, require,
    terms::{SIGNATURE, Table, bad_length, bad_signature, expect_length, signer},
};

/// Bytes of a move (R7.2).
const MAX_MOVE: usize = 8 * 1024;

/// Evidence that was checked.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    /// The base's hash, and those of the headers above it.
    pub(super) hashes: Vec<B256>,
    /// The base's turn.
    pub(super) from: u64,
    /// The top's.
    pub(super) turn: u64,
    /// The top's.
    pub(super) mover: u8,
    /// The newest turn that each seat signed; zero without a signature.
    pub(super) acks: Vec<u64>,
}

impl Chain {
    pub(super) fn top(&self) -> B256 {
        self.hashes[self.hashes.len() - 1]
    }

    /// The hash of this turn's header, if it is one of them.
    pub(super) fn at(&self, turn: u64) -> Option<B256> {
        self.hashes.get(usize::try_from(turn.checked_sub(self.from)?).ok()?).copied()
    }
}

impl Model {
    /// Checks evidence: every header, the links, the moves, the signatures. `top` is a header whose agreement is not asked
    /// for; any other base needs all seats' signatures, on it or above.
    pub(super) fn read_evidence(
        &self,
        table: &Table,
        shown: &Court::Evidence,
        top: Option<B256>,
    ) -> Result<Chain, Revert> {
        let mut chain = link(table, shown)?;
        let all = Some(chain.hashes[0]) != top;
        chain.acks = self.signers(table, shown, &chain, all)?;
        Ok(chain)
    }

    fn signers(&self, table: &Table, shown: &Court::Evidence, chain: &Chain, all: bool) -> Result<Vec<u64>, Revert> {
        let mut acks = vec![0; MAX_SEATS];
        let mut count = 0;
        for (seat, ack) in acks.iter_mut().enumerate() {
            let place = place(shown, seat);
            if seat >= table.seats() {
                require(place == 0, ArenaRefusal::BadSeat { seat: U256::from(table.seats()) })?;
                continue;
            }
            if place == 0 && !all {
                continue;
            }
            let hash = place.checked_sub(1).and_then(|at| chain.hashes.get(at));
            let (Some(hash), Some(owner)) = (hash, shown.owners.get(count)) else { return refuse(bad_signature(seat)) };
            let key = signer(self.digest(*hash), &shown.signatures, count);
            require(self.sits(table, seat, *owner, key), bad_signature(seat))?;
            *ack = chain.from + place as u64 - 1;
            count += 1;
        }
        if shown.owners.len() != count {
            return bad_length(count, shown.owners.len());
        }
        expect_length(&shown.signatures, count * SIGNATURE)?;
        Ok(acks)
    }

    /// Headers follow each other by hash up to `top`, whose chain was checked when it was shown.
    pub(super) fn expect_trail(&self, table: &Table, headers: &[Arena::State], top: B256) -> Result<(), Revert> {
        let mut expected = top;
        for header in headers.iter().rev() {
            require(table.hash(header).0 == expected, CourtRefusal::WrongTrail {})?;
            expected = header.prev;
        }
        Ok(())
    }
}

fn link(table: &Table, shown: &Court::Evidence) -> Result<Chain, Revert> {
    let (base, n) = (&shown.base, shown.headers.len());
    let limit = U256::from(MAX_HEADERS);
    require(n as u64 <= MAX_HEADERS, CourtRefusal::TooManyHeaders { limit, from: U256::ZERO })?;
    if shown.moves.len() != n {
        return bad_length(n, shown.moves.len());
    }
    check_header(table, base)?;
    let (mut turn, mut mover) = (u64::from(base.turn), base.mover);
    let mut hashes = vec![table.hash(base).0];
    for (i, (header, action)) in shown.headers.iter().zip(&shown.moves).enumerate() {
        turn += 1;
        let at = U256::from(turn);
        let linked = u64::from(header.turn) == turn && header.prev == hashes[i];
        require(linked, CourtRefusal::Unlinked { turn: at })?;
        require(action.len() <= MAX_MOVE, CourtRefusal::MoveTooLarge { limit: U256::from(MAX_MOVE) })?;
        require(keccak256(action) == header.r#move, CourtRefusal::WrongMove { turn: at })?;
        require(mover != OVER, CourtRefusal::BadHeader { turn: at })?;
        // It is signed by whom its parent names, on it or above.
        require(place(shown, mover.into()) > i + 1, CourtRefusal::NotByItsAuthor { turn: at })?;
        check_header(table, header)?;
        mover = header.mover;
        hashes.push(table.hash(header).0);
    }
    Ok(Chain { hashes, from: base.turn.into(), turn, mover, acks: Vec::new() })
}

/// Any header may become the outcome: each has to be one that the arena can apply (R7.2), and in time (R5.12).
fn check_header(table: &Table, header: &Arena::State) -> Result<(), Revert> {
    let max_turns = table.terms.max_turns;
    let in_time = match header.mover {
        OVER => header.turn <= max_turns,
        mover => header.turn < max_turns && usize::from(mover) < table.seats(),
    };
    let payouts = &header.payouts;
    let affordable = payouts.iter().map(|payout| payout.to::<u128>()).sum::<u128>() <= table.pot();
    let sound = in_time && payouts.len() == table.seats() && affordable;
    require(sound, CourtRefusal::BadHeader { turn: U256::from(header.turn) })
}

/// One more than the place of the newest of these headers that a seat has signed; zero for none.
fn place(shown: &Court::Evidence, seat: usize) -> usize {
    usize::from((shown.places >> (8 * seat)) as u8)
}

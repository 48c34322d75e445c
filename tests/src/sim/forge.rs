//! Calls that lack a signature, or claim more than there is: none of them may come to anything.

use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::SolCall;
use matchlock::{
    abi::{Arena, Court, State, Statement},
    account::SettledSet,
    dispute::Case,
    game::{Amount, Seat},
    settle,
    sign::{Key, Signature, Signer},
    wire::{Pair, Turn},
};

use super::{player::STAKE, world::World};
use crate::world::Failure;

impl World<'_> {
    /// One forgery of each kind for each of its matches, now and then.
    pub(super) fn forge(&mut self, n: usize) -> Result<(), Failure> {
        if self.dice.below(8) == 0 {
            // It is left out with a log, and costs gas all the same.
            self.forge_statement(n)?;
        }
        for (_, seat, case) in self.cases(n)? {
            match self.dice.below(4) {
                0 => self.challenge_unguaranteed(n, &case)?,
                1 => self.conclude_alone(n, seat, &case)?,
                2 => self.show_riches(n, seat, &case)?,
                _ => self.release_early(n, seat, &case)?,
            }
        }
        Ok(())
    }

    /// A statement that it has won, without the operator's word.
    fn forge_statement(&mut self, n: usize) -> Result<(), Failure> {
        let (player, key) = (self.players[n].pair(), self.players[n].key.clone());
        let record = self.chain.account(player.account())?;
        let set = SettledSet { through: record.set.through + 1, ..record.set };
        let statement = Statement { net: record.net + i128::from(STAKE), set };
        let signature = key.sign(self.chain.domain.digest(statement.struct_hash(player.owner)))?;
        let receipt = key.sign(self.chain.domain.digest(statement.receipt_hash(player.account()).0))?;
        let entries = settle::signed_entry(&Pair { player, statement, signature, receipt });
        let call = Arena::settleSignedCall { entries: entries.into() };
        self.try_call(n, false, U256::ZERO, call.abi_encode(), "settles what the operator has not signed")
    }

    /// A challenge with its own signature for the operator's.
    fn challenge_unguaranteed(&mut self, n: usize, case: &Case) -> Result<(), Failure> {
        let signed = case.signed();
        let guarantee = self.players[n].key.sign(signed.id.0)?.0.to_vec().into();
        let call = Court::challengeCall { terms: case.terms().into(), guarantee, shown: signed.evidence() };
        self.try_call(n, true, U256::ZERO, call.abi_encode(), "challenges without the operator's guarantee")
    }

    /// A final with its own signature for the operator's, where its opponent wrote it.
    fn conclude_alone(&mut self, n: usize, seat: Seat, case: &Case) -> Result<(), Failure> {
        let signed = case.signed();
        let Some(last) = signed.turns.last().filter(|turn| turn.state.is_final()) else { return Ok(()) };
        let own = self.players[n].key.sign(self.chain.domain.digest(last.state.hash(signed.id).0))?;
        let mut signatures: Vec<Signature> = vec![last.signature; signed.owners.len()];
        signatures[seat.index()] = own;
        signatures.push(own);
        let call = Arena::concludeCall::of(case.terms(), &last.state, signed.owners, &signatures);
        self.try_call(n, false, U256::ZERO, call.abi_encode(), "concludes without the operator")
    }

    /// A header that pays more than the stakes.
    fn show_riches(&mut self, n: usize, seat: Seat, case: &Case) -> Result<(), Failure> {
        let Some(turn) = riches(case, seat, &self.players[n].key, |digest| self.chain.domain.digest(digest))? else {
            return Ok(());
        };
        let mut transcript = case.transcript().clone();
        transcript.turns.truncate(case.signed().top() as usize);
        transcript.turns.push(turn);
        let count = transcript.turns.len();
        let whole = Case::new(transcript, &self.rules)?;
        self.show(n, &whole, whole.up_to(count))
    }

    /// Its stake, before anything is decided.
    fn release_early(&mut self, n: usize, seat: Seat, case: &Case) -> Result<(), Failure> {
        let call = Arena::releaseCall { terms: case.terms().into(), seat: seat.0 };
        self.try_call(n, false, U256::ZERO, call.abi_encode(), "releases its stake")
    }
}

fn riches(case: &Case, seat: Seat, key: &Key, digest: impl Fn(B256) -> B256) -> Result<Option<Turn>, Failure> {
    let signed = case.signed();
    let Some(last) = signed.header(signed.top()).filter(|last| last.mover() == Some(seat)) else { return Ok(None) };
    let (action, seats) = (vec![0], signed.owners.len());
    let payouts = vec![Amount::total(&case.terms().stakes).unwrap_or(Amount::ZERO); seats];
    let state = State {
        turn: last.turn + 1,
        prev: last.hash(signed.id),
        action: keccak256(&action),
        board: B256::ZERO,
        mover: (seat.0 + 1) % seats as u8,
        payouts,
    };
    let signature = key.sign(digest(state.hash(signed.id).0))?;
    Ok(Some(Turn { state, action, signature }))
}

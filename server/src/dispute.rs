//! Disputes (section 7): the server calls the clock, and is every player's watchtower.
//!
//! A seat that is to move and does not, until its clock has run out, is challenged on the chain with what everyone signed. A
//! dispute that anybody opened is answered with whatever is newer here, and finalized when its window is over. Dockets are
//! kept, because no view of the court tells them; everything else follows from them and from the match.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::Address;
use alloy_sol_types::SolCall;
use matchlock::{
    abi::{Arena, Court, MatchId, State},
    dispute::{Docket, Phase as DocketPhase, Signed},
    game::{Amount, Seat},
    sign::Signature,
    wire::{Due, ToClient, Turn},
};

use crate::{
    account::lock_books,
    chain::Concluded,
    hub::Hub,
    ledger::Ask,
    matches::{Match, Phase, decode_turn},
    operator::largest_gain,
    store::{Change, Ending, MatchRow, StoreError},
    sync::lock,
};

/// Open disputes, by their match.
pub(crate) type Dockets = BTreeMap<MatchId, Docket>;

/// Notes of dockets are named so, and by their match.
const NOTE: &str = "docket-";

/// A match as evidence is drawn from it.
struct File {
    row: MatchRow,
    turns: Vec<Turn>,
    owners: Vec<Address>,
}

impl File {
    fn signed(&self) -> Signed<'_> {
        Signed {
            id: self.row.id,
            start: &self.row.start,
            owners: &self.owners,
            opening: &self.row.opened,
            turns: &self.turns,
        }
    }

    /// The operator's signature on the terms.
    fn guarantee(&self) -> Vec<u8> {
        self.row.guarantee.last().map(|signature| signature.0.to_vec()).unwrap_or_default()
    }
}

impl Hub {
    /// What the chain says of a dispute; `None`: it has ended.
    pub(crate) fn docketed(&self, match_id: MatchId, docket: Option<Docket>) {
        let known = self.store.match_by_id(match_id);
        if !matches!(known, Ok(Some(_))) {
            return;
        }
        let note = docket.map(|docket| postcard::to_allocvec(&docket).expect("a docket always encodes"));
        self.store.write(vec![Change::Note(format!("{NOTE}{match_id}"), note)], || {});
        match docket {
            Some(docket) => {
                tracing::info!(%match_id, turn = docket.turn(), until = docket.until(), "in dispute");
                lock(&self.dockets).insert(match_id, docket);
                if let Some(found) = self.matches.find(&match_id) {
                    found.lock().tell(&disputed(match_id, &docket));
                }
            }
            None => drop(lock(&self.dockets).remove(&match_id)),
        }
    }

    /// The disputes that an earlier run knew.
    pub(crate) fn restore_dockets(&self) -> Result<(), StoreError> {
        let mut dockets = lock(&self.dockets);
        for (name, bytes) in self.store.notes(NOTE)? {
            let match_id = name.strip_prefix(NOTE).and_then(|id| id.parse().ok()).map(MatchId);
            let docket = postcard::from_bytes(&bytes).ok();
            let (Some(match_id), Some(docket)) = (match_id, docket) else { return Err(StoreError::Damaged) };
            dockets.insert(match_id, docket);
        }
        Ok(())
    }

    /// Whether a match is in dispute, as far as the chain has told.
    pub(crate) fn is_disputed(&self, match_id: &MatchId) -> bool {
        lock(&self.dockets).contains_key(match_id)
    }

    /// Challenges who is to act and has not until its clock ran out. Called now and then.
    pub(crate) fn call_clocks(self: &Arc<Self>) {
        if self.court == Address::ZERO || !self.store.healthy() {
            return;
        }
        for found in self.matches.values() {
            let overdue = self.overdue(&found);
            if overdue && let Err(error) = self.challenge(&found) {
                tracing::error!(%error, match_id = %found.id, "a challenge cannot be made; trying again");
            }
        }
    }

    /// Whether somebody let its clock run out, and nobody has said so yet. At least one stake has to be worth it.
    fn overdue(&self, found: &Match) -> bool {
        let live = found.lock();
        let Phase::Open(open) = &live.phase else { return false };
        let late = open.since + u64::from(found.terms.clock) + self.settings.clock_grace;
        !live.busy
            && open.challenged != Some(open.newest.turn)
            && self.now() > late
            && self.chain_now() <= found.terms.expiry
            && found.terms.stakes.iter().any(|stake| *stake != Amount::ZERO)
            && !self.is_disputed(&found.id)
    }

    fn challenge(&self, found: &Arc<Match>) -> Result<(), StoreError> {
        let file = self.file(found.id)?;
        let signed = file.signed();
        if let Phase::Open(open) = &mut found.lock().phase {
            open.challenged = Some(signed.top());
        }
        if signed.agreed() == 0 && self.chain_now() >= found.terms.open_by {
            // The court takes it no more (R5.3): the match is void at its expiry.
            return Ok(());
        }
        tracing::info!(match_id = %found.id, turn = signed.top(), "a clock has run out: challenged on the chain");
        let call = Court::challengeCall {
            terms: (&found.terms).into(),
            guarantee: file.guarantee().into(),
            shown: signed.evidence(),
        };
        self.ask(Ask::Submit {
            key: format!("challenge-{}-{}", found.id, signed.top()),
            to: self.court,
            calldata: call.abi_encode(),
        });
        Ok(())
    }

    /// Answers disputes with what is newer here, and ends those whose window is over. Called now and then.
    pub(crate) fn answer_disputes(&self) {
        let dockets: Vec<(MatchId, Docket)> = lock(&self.dockets).iter().map(|(id, docket)| (*id, *docket)).collect();
        for (match_id, docket) in dockets {
            if let Err(error) = self.answer_dispute(match_id, &docket) {
                tracing::error!(%error, %match_id, "a dispute cannot be answered; trying again");
            }
        }
    }

    fn answer_dispute(&self, match_id: MatchId, docket: &Docket) -> Result<(), StoreError> {
        let (passed, now) = (self.moment().passed, self.chain_now());
        // The mover has the first half of the window to answer by itself; a state that all have signed waits for nobody.
        let half = docket.since() + (docket.until() - docket.since()) / 2;
        if passed <= docket.until() && now < half {
            return Ok(());
        }
        let file = self.file(match_id)?;
        let signed = file.signed();
        if passed > docket.until() {
            let top = signed.header(docket.turn()).filter(|top| top.hash(match_id) == docket.top());
            let stakes_back = matches!(docket.phase(), DocketPhase::Doubted | DocketPhase::Contested);
            let Some(top) = top.or(stakes_back.then_some(&file.row.start)) else { return Ok(()) };
            let call = Court::finalizeCall { terms: (&file.row.terms).into(), docket: docket.into(), top: top.into() };
            return self.submit_once(format!("finalize-{match_id}-{}", docket.until()), call.abi_encode());
        }
        let newer = signed.answer(docket).filter(|_| docket.phase() == DocketPhase::Open);
        let agreed =
            || (signed.agreed() > docket.turn() || docket.phase() == DocketPhase::Doubted).then(|| signed.evidence());
        let Some(shown) = newer.or_else(agreed) else { return Ok(()) };
        let call =
            Court::respondCall { terms: (&file.row.terms).into(), docket: docket.into(), shown, fork: Vec::new() };
        self.submit_once(format!("respond-{match_id}-{}", docket.since()), call.abi_encode())
    }

    /// Submits a call of the court under a key; what was submitted under it before is not sent again.
    fn submit_once(&self, key: String, calldata: Vec<u8>) -> Result<(), StoreError> {
        if lock(&self.answered).insert(key.clone()) {
            self.ask(Ask::Submit { key, to: self.court, calldata });
        }
        Ok(())
    }

    /// Everything signed of a match that is or was open.
    fn file(&self, match_id: MatchId) -> Result<File, StoreError> {
        let (seq, row) = self.store.match_by_id(match_id)?.ok_or(StoreError::Damaged)?;
        let mut turns: Vec<Turn> = Vec::new();
        for bytes in self.store.turns(seq, 1, usize::MAX)? {
            turns.push(decode_turn(&bytes).ok_or(StoreError::Damaged)?);
        }
        let owners = row.players.iter().map(|player| player.owner).collect();
        Ok(File { row, turns, owners })
    }

    /// A final that all seats signed while the match is in dispute: the operator's signature goes to the chain and nowhere
    /// else (R7.11). `None` if it does not sign.
    pub(crate) fn conclude_dispute(&self, found: &Match, last: &State, mut signatures: Vec<Signature>) -> Option<()> {
        signatures.push(self.operator.sign(self.operator.digest(last.hash(found.id).0)).ok()?);
        let owners = found.accounts.iter().map(|account| account.player.owner).collect();
        let call = Arena::concludeCall {
            terms: (&found.terms).into(),
            last: last.into(),
            owners,
            signatures: signatures.iter().flat_map(|signature| signature.0).collect::<Vec<u8>>().into(),
        };
        let to = self.operator.domain().arena;
        self.ask(Ask::Submit { key: format!("conclude-{}", found.id), to, calldata: call.abi_encode() });
        Some(())
    }

    /// The chain has applied an outcome to a match that was in play here: it is over, and both parties sign for it (R6.2).
    pub(crate) fn ruled(self: &Arc<Self>, concluded: &Concluded) {
        let match_id = concluded.match_id;
        self.docketed(match_id, None);
        let Some(found) = self.matches.find(&match_id) else { return };
        let mut live = found.lock();
        if live.busy || !matches!(live.phase, Phase::Open(_)) {
            return;
        }
        let Ok(Some((_, mut row))) = self.store.match_by_id(match_id) else { return };
        live.busy = true;
        drop(live);
        row.ending = Some(Ending::Ruled { payouts: concluded.payouts.clone() });
        let mut changes = vec![Change::matched(found.seq, &row), Change::Ended(found.seq)];
        let mut books = lock_books(&found.accounts);
        let mut asked = Vec::new();
        for (i, book) in books.iter_mut().enumerate() {
            let delta = found.terms.delta(Seat(i as u8), &concluded.payouts);
            let result = Due { match_id, index: found.terms.indexes[i], delta };
            asked.push(book.finish(result, false, self.now()).cloned());
            self.operator.recount(book);
            changes.push(Change::account(&book.row));
        }
        self.operator.release(largest_gain(&found.terms));
        let (hub, ended, payouts) = (self.clone(), found.clone(), concluded.payouts.clone());
        self.store.write(changes, move || {
            let mut live = ended.lock();
            live.tell(&ToClient::Ruled { match_id, payouts });
            live.phase = Phase::Over;
            live.busy = false;
            drop(live);
            hub.matches.remove(&match_id);
            lock(&hub.expiries).remove(&(ended.terms.expiry, match_id));
            hub.ask_for_statements(&ended.accounts, asked);
        });
    }
}

/// What clients are told of a dispute.
pub(crate) fn disputed(match_id: MatchId, docket: &Docket) -> ToClient {
    ToClient::Disputed { match_id, turn: docket.turn(), mover: docket.mover(), until: docket.until() }
}

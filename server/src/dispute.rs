//! Disputes (section 7): the server calls the clock, and is every player's watchtower and, where the arena says so, arbiter.
//!
//! A seat that is to move and does not, until its clock has run out, is challenged on the chain with what everyone signed. A
//! dispute that anybody opened is answered with whatever is newer here, and finalized when its window is over. What the
//! rules forbid is never shown, and is contested when somebody else shows it: this server has the rules, and replays.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use alloy_primitives::Address;
use alloy_sol_types::SolCall;
use matchlock::{
    abi::{Arena, MatchId, State},
    dispute::{Counsel, Dispute, Docket, Moment, Plea, Replay, Signed, Testimony},
    entrust::{Entrust, OpenDispute},
    game::{Amount, BasisPoints},
    rules::Rules,
    sign::Signature,
    transcript::Transcript,
    wire::{ToClient, Turn},
};

use crate::{
    chain::{Concluded, DisputeUpdate},
    court::{CourtInfo, shown},
    hub::Hub,
    ledger::Ask,
    matches::{Match, Phase, decode_turn},
    store::{Ending, MatchRow, StoreError},
    sync::lock,
};

/// What is taken to court about open disputes: drawn up once, as long as nothing is added.
#[derive(Default)]
pub(crate) struct Files(BTreeMap<MatchId, Arc<File>>);

/// The share of a window that the mover has to answer by itself: every answer costs the operator gas.
const PATIENCE: BasisPoints = match BasisPoints::new(5_000) {
    Ok(half) => half,
    Err(_) => unreachable!(),
};

/// A match as it is taken to court.
struct File {
    row: MatchRow,
    /// The newest turn that is stored.
    newest: u32,
    /// Its turns up to the first that its author did not sign or the rules forbid.
    legal: Vec<Turn>,
    owners: Vec<Address>,
    rules: Arc<dyn Rules>,
    conclusion: Vec<Signature>,
}

impl File {
    fn counsel(&self) -> Counsel<'_> {
        let MatchRow { id, terms, start, guarantee, opened, .. } = &self.row;
        let signed = Signed { id: *id, start, owners: &self.owners, opening: opened, turns: &self.legal };
        let (conclusion, patience) = (&self.conclusion[..], PATIENCE);
        Counsel { conclusion, patience, ..Counsel::new(terms, guarantee, signed, Some(&*self.rules)) }
    }
}

impl Hub {
    /// What the chain says of a dispute, up to a block.
    pub(crate) fn docketed(self: &Arc<Self>, height: u64, update: &DisputeUpdate) {
        let match_id = update.match_id;
        if !matches!(self.store.match_by_id(match_id), Ok(Some(_))) {
            return;
        }
        let (change, dispute) = {
            let mut disputes = lock(&self.disputes);
            (disputes.told(height, update), disputes.find(&match_id).cloned())
        };
        self.store.write(vec![change], || {});
        let Some(dispute) = dispute else { return };
        let docket = dispute.docket();
        tracing::info!(%match_id, turn = docket.turn(), until = docket.until(), phase = ?docket.phase(), "in dispute");
        if let Some(found) = self.matches.find(&match_id) {
            found.lock().tell(&disputed(match_id, docket));
            for shown in dispute.shown() {
                let Some((_, signature)) = shown.signatures.first() else { continue };
                let (state, action, signature) = (shown.state.clone(), shown.action.clone(), *signature);
                self.turn_from_chain(&found, Turn { state, action, signature });
            }
        }
    }

    /// What an arbiter said, up to a block.
    pub(crate) fn testified(&self, height: u64, testimony: &Testimony) {
        if let Some(change) = lock(&self.disputes).hear(height, testimony) {
            self.store.write(vec![change], || {});
        }
    }

    /// Blocks above this one were undone.
    pub(crate) fn undone(&self, fork: u64) {
        let changes = lock(&self.disputes).undone(fork);
        self.store.write(changes, || {});
    }

    /// Whether a match is in dispute, as far as the chain has told.
    pub(crate) fn is_disputed(&self, match_id: &MatchId) -> bool {
        lock(&self.disputes).find(match_id).is_some()
    }

    /// Challenges who is to act and has not until its clock ran out. Called now and then.
    pub(crate) fn call_clocks(self: &Arc<Self>) {
        let Some(court) = self.court.filter(|_| self.store.healthy()) else { return };
        for found in self.matches.values() {
            let overdue = self.overdue(&found);
            if overdue && let Err(error) = self.challenge(court, &found) {
                tracing::error!(%error, match_id = %found.id, "a challenge cannot be made; trying again");
            }
        }
    }

    /// Whether somebody let its clock run out, and nobody has said so yet. The pot has to be worth the gas.
    fn overdue(&self, found: &Match) -> bool {
        let mut live = found.lock();
        let busy = live.busy;
        let Phase::Open(open) = &mut live.phase else { return false };
        let late = open.since + u64::from(found.terms.clock) + self.settings.clock_grace;
        let overdue = !busy
            && open.challenged != Some(open.newest.turn)
            && self.now() > late
            && self.chain_now() <= found.terms.expiry
            && Amount::total(&found.terms.stakes).is_none_or(|pot| pot >= self.settings.challenge_from)
            && !self.is_disputed(&found.id);
        if overdue {
            open.challenged = Some(open.newest.turn);
        }
        overdue
    }

    fn challenge(&self, court: CourtInfo, found: &Match) -> Result<(), StoreError> {
        // Where there is none the court takes it no more: the match is void at its expiry.
        if let Some(plea) = self.file(found.id)?.counsel().challenge(self.in_court()) {
            self.plead(court, plea);
        }
        Ok(())
    }

    /// This moment, for the court.
    fn in_court(&self) -> Moment {
        Moment { now: self.chain_now(), passed: self.moment().passed }
    }

    /// Answers disputes with what is newer here, contests what the rules forbid, and ends those whose window is over.
    /// Called now and then.
    pub(crate) fn answer_disputes(self: &Arc<Self>) {
        let Some(court) = self.court.filter(|_| self.store.healthy()) else { return };
        let past = lock(&self.disputes).forget(self.height.load(Ordering::Relaxed));
        if !past.is_empty() {
            self.store.write(past, || {});
        }
        let open = lock(&self.disputes).open();
        for (match_id, dispute) in open {
            if let Err(error) = self.answer_dispute(court, match_id, &dispute) {
                tracing::error!(%error, %match_id, "a dispute cannot be answered; trying again");
            }
        }
    }

    fn answer_dispute(
        self: &Arc<Self>,
        court: CourtInfo,
        match_id: MatchId,
        dispute: &Dispute,
    ) -> Result<(), StoreError> {
        let (file, moment) = (self.file(match_id)?, self.in_court());
        let counsel = file.counsel();
        if let Some(plea) = counsel.plead(dispute, moment) {
            self.plead(court, plea);
        } else if moment.passed > dispute.docket().until() {
            tracing::warn!(%match_id, "a dispute is over whose top was never seen: whoever showed it has to finalize");
        } else if let Some(plea) = counsel.verdict(dispute, court.quorum, moment) {
            self.plead(court, plea);
        } else if let Some(bench) = &self.bench
            && let Some(judgment) = counsel.judgment(dispute)
        {
            // The operator is one of the arbiters.
            let (signature, ruled) = match bench.sign(&judgment) {
                Ok(signed) => signed,
                Err(error) => {
                    tracing::error!(%error, %match_id, turn = judgment.turn, "no ruling");
                    return Ok(());
                }
            };
            let plea = bench.plea(&file.row.terms, dispute, &judgment, signature);
            if lock(&self.disputes).submit(self.now(), &plea) {
                let hub = self.clone();
                self.store.write(vec![ruled], move || hub.submit_plea(court, plea));
            }
        }
        Ok(())
    }

    /// Submits a call; what was submitted under its key is not submitted again.
    fn plead(&self, court: CourtInfo, plea: Plea) {
        if lock(&self.disputes).submit(self.now(), &plea) {
            self.submit_plea(court, plea);
        }
    }

    fn submit_plea(&self, court: CourtInfo, plea: Plea) {
        tracing::info!(key = plea.key, "to the court: {}", plea.motion);
        self.ask(Ask::Submit(court.submission(plea)));
    }

    /// Everything signed of a match that is or was open.
    fn file(&self, match_id: MatchId) -> Result<Arc<File>, StoreError> {
        let (seq, row) = self.store.match_by_id(match_id)?.ok_or(StoreError::Damaged)?;
        let newest = self.store.last_turn(seq)?.and_then(|bytes| decode_turn(&bytes)).map_or(0, |turn| turn.state.turn);
        let known = lock(&self.files).0.get(&match_id).cloned();
        if let Some(known) = known
            && known.newest == newest
            && known.row.ending.is_some() == row.ending.is_some()
        {
            return Ok(known);
        }
        let rules = self.games.get(&row.terms.rules).ok_or(StoreError::Damaged)?.clone();
        let mut replay = Replay::new(match_id, &row.terms, &*rules).map_err(|_| StoreError::Damaged)?;
        let mut legal: Vec<Turn> = Vec::new();
        for bytes in self.store.turns(seq, 1, usize::MAX)? {
            let turn = decode_turn(&bytes).ok_or(StoreError::Damaged)?;
            let author = replay.state().mover().and_then(|seat| row.players.get(seat.index()));
            let digest = self.operator.digest(turn.state.hash(match_id).0);
            let signed = author.is_some_and(|author| self.operator.verify(digest, &turn.signature, author.key).is_ok());
            if !signed {
                tracing::warn!(%match_id, turn = turn.state.turn, "a turn was not signed by its author");
                break;
            }
            if let Err(fault) = replay.follow(&turn.state, &turn.action) {
                tracing::warn!(%match_id, turn = turn.state.turn, %fault, "a seat signed what the rules forbid");
                break;
            }
            legal.push(turn);
        }
        let owners = row.players.iter().map(|player| player.owner).collect();
        let conclusion = conclusion(&row);
        let file = Arc::new(File { row, newest, legal, owners, rules, conclusion });
        if self.is_disputed(&match_id) {
            lock(&self.files).0.insert(match_id, file.clone());
        }
        Ok(file)
    }

    /// Everything signed of a match, as it would be entrusted to a tower; `None` of one that was never open. Blocks.
    pub(crate) fn entrusted(&self, match_id: MatchId) -> Result<Option<Entrust>, StoreError> {
        let Some((seq, row)) = self.store.match_by_id(match_id)? else { return Ok(None) };
        if row.opened.is_empty() {
            return Ok(None);
        }
        let turns = self.store.turns(seq, 1, usize::MAX)?;
        let turns =
            turns.iter().map(|bytes| decode_turn(bytes).ok_or(StoreError::Damaged)).collect::<Result<_, _>>()?;
        let conclusion = conclusion(&row);
        let MatchRow { terms, players, start, guarantee, opened: opening, .. } = row;
        let (domain, operator) = (*self.operator.domain(), self.operator.address());
        let (fork, arrivals) = (None, Vec::new());
        let transcript =
            Transcript { domain, operator, terms, players, guarantee, opening, turns, fork, conclusion, arrivals };
        Ok(Some(Entrust::Match { start, transcript: Box::new(transcript) }))
    }

    /// How an open dispute is listed.
    pub(crate) fn listed(&self, match_id: MatchId) -> Option<OpenDispute> {
        let row = self.store.match_by_id(match_id).ok().flatten();
        let newest = row.and_then(|(seq, _)| self.store.last_turn(seq).ok().flatten());
        let held = newest.and_then(|bytes| decode_turn(&bytes)).map_or(0, |turn| turn.state.turn);
        shown(&lock(&self.disputes), match_id, Some(held), self.bench.as_ref())
    }

    /// A final that all seats signed while the match is in dispute: the operator's signature goes to the chain and nowhere
    /// else (R7.11). `None` if it does not sign.
    pub(crate) fn conclude_dispute(&self, found: &Match, last: &State, mut signatures: Vec<Signature>) -> Option<()> {
        signatures.push(self.operator.sign(self.operator.digest(last.hash(found.id).0)).ok()?);
        let owners: Vec<_> = found.accounts.iter().map(|account| account.player.owner).collect();
        let call = Arena::concludeCall::of(&found.terms, last, &owners, &signatures);
        self.submit(format!("conclude-{}", found.id), call.abi_encode());
        Some(())
    }

    /// The chain has applied an outcome to a match that was in play here: it is over, and both parties sign for it (R6.2).
    pub(crate) fn ruled(self: &Arc<Self>, height: u64, concluded: &Concluded) {
        let match_id = concluded.match_id;
        lock(&self.files).0.remove(&match_id);
        if let Some(change) = lock(&self.disputes).ended(height, match_id) {
            self.store.write(vec![change], || {});
        }
        let Some(found) = self.matches.find(&match_id) else { return };
        let mut live = found.lock();
        if live.busy || !matches!(live.phase, Phase::Open(_)) {
            return;
        }
        let Ok(Some((_, mut row))) = self.store.match_by_id(match_id) else { return };
        live.busy = true;
        drop(live);
        let payouts = concluded.payouts.clone();
        row.ending = Some(Ending::Ruled { payouts: payouts.clone() });
        let delta = |seat| found.terms.delta(seat, &concluded.payouts);
        self.end(&found, &row, delta, false, None, ToClient::Ruled { match_id, payouts });
    }
}

/// Signatures on the final: the seats', then the operator's; empty where there is none.
fn conclusion(row: &MatchRow) -> Vec<Signature> {
    match &row.ending {
        Some(Ending::Final { signatures, operator, .. }) => signatures.iter().copied().chain([*operator]).collect(),
        _ => Vec::new(),
    }
}

/// What clients are told of a dispute.
pub(crate) fn disputed(match_id: MatchId, docket: &Docket) -> ToClient {
    ToClient::Disputed { match_id, turn: docket.turn(), mover: docket.mover(), until: docket.until() }
}

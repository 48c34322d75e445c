//! Disputes (section 7): the server calls the clock, and is every player's watchtower and, where the arena says so, arbiter.
//!
//! A seat that is to move and does not, until its clock has run out, is challenged on the chain with what everyone signed. A
//! dispute that anybody opened is answered with whatever is newer here, and finalized when its window is over. What the
//! rules forbid is never shown, and is contested when somebody else shows it: this server has the rules, and replays.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use matchlock::{
    abi::{Arena, Court, MatchId, State},
    chain::{BlockId, read_contract},
    dispute::{Counsel, Dispute, Docket, Moment, Plea, Replay, Signed},
    game::{Amount, BasisPoints},
    rules::Rules,
    sign::Signature,
    wire::{ToClient, Turn},
};

use crate::{
    chain::{Chain, ChainError, Concluded, DisputeUpdate},
    hub::Hub,
    ledger::Ask,
    matches::{Match, Phase, decode_turn},
    store::{Change, Ending, MatchRow, StoreError},
    sync::lock,
};

/// The arena's court.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CourtInfo {
    address: Address,
    bond: U256,
}

impl CourtInfo {
    /// What the chain says of the arena's court; `None`: it has none.
    pub(crate) async fn read(chain: &Chain) -> Result<Option<CourtInfo>, ChainError> {
        let address = chain.arena().court;
        if address == Address::ZERO {
            return Ok(None);
        }
        let limits = read_contract(chain.node(), address, &Court::limitsCall {}, BlockId::Latest).await?;
        Ok(Some(CourtInfo { address, bond: U256::from(limits.bond) }))
    }
}

/// Open disputes, and what was submitted about them.
#[derive(Default)]
pub(crate) struct Disputes {
    open: BTreeMap<MatchId, Dispute>,
    /// What is taken to court about them: drawn up once, as long as nothing is added.
    files: BTreeMap<MatchId, Arc<File>>,
    /// By their keys: `None` while it is on its way, then when it may be submitted again.
    submitted: BTreeMap<String, Option<u64>>,
}

/// Seconds after which a plea that came to nothing may be made again: a reorg may have taken back what it led to.
const AGAIN: u64 = 30;

/// Notes of disputes are named so, and by their match.
const NOTE: &str = "dispute-";

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
    /// What the chain says of a dispute.
    pub(crate) fn docketed(self: &Arc<Self>, update: &DisputeUpdate) {
        let match_id = update.match_id;
        if !matches!(self.store.match_by_id(match_id), Ok(Some(_))) {
            return;
        }
        let dispute = {
            let mut disputes = lock(&self.disputes);
            let known = disputes.open.remove(&match_id);
            let dispute = update.clone().after(known);
            disputes.open.extend(dispute.clone().map(|dispute| (match_id, dispute)));
            dispute
        };
        let note = dispute.as_ref().map(|dispute| postcard::to_allocvec(dispute).expect("a dispute always encodes"));
        self.store.write(vec![Change::Note(format!("{NOTE}{match_id}"), note)], || {});
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

    fn undocketed(&self, match_id: MatchId) {
        let mut disputes = lock(&self.disputes);
        disputes.files.remove(&match_id);
        disputes.submitted.retain(|key, after| after.is_none() || !key.contains(&match_id.to_string()));
        drop(disputes);
        if lock(&self.disputes).open.remove(&match_id).is_some() {
            self.store.write(vec![Change::Note(format!("{NOTE}{match_id}"), None)], || {});
        }
    }

    /// The disputes that an earlier run knew.
    pub(crate) fn restore_disputes(&self) -> Result<(), StoreError> {
        let mut disputes = lock(&self.disputes);
        for (name, bytes) in self.store.notes(NOTE)? {
            let match_id = name.strip_prefix(NOTE).and_then(|id| id.parse().ok()).map(MatchId);
            let dispute = postcard::from_bytes(&bytes).ok();
            let (Some(match_id), Some(dispute)) = (match_id, dispute) else { return Err(StoreError::Damaged) };
            disputes.open.insert(match_id, dispute);
        }
        Ok(())
    }

    /// Whether a match is in dispute, as far as the chain has told.
    pub(crate) fn is_disputed(&self, match_id: &MatchId) -> bool {
        lock(&self.disputes).open.contains_key(match_id)
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
    pub(crate) fn answer_disputes(&self) {
        let Some(court) = self.court.filter(|_| self.store.healthy()) else { return };
        let open: Vec<(MatchId, Dispute)> =
            lock(&self.disputes).open.iter().map(|(id, dispute)| (*id, dispute.clone())).collect();
        for (match_id, dispute) in open {
            if let Err(error) = self.answer_dispute(court, match_id, &dispute) {
                tracing::error!(%error, %match_id, "a dispute cannot be answered; trying again");
            }
        }
    }

    fn answer_dispute(&self, court: CourtInfo, match_id: MatchId, dispute: &Dispute) -> Result<(), StoreError> {
        let (file, moment) = (self.file(match_id)?, self.in_court());
        let counsel = file.counsel();
        if let Some(plea) = counsel.plead(dispute, moment) {
            self.plead(court, plea);
        } else if moment.passed > dispute.docket().until() {
            tracing::warn!(%match_id, "a dispute is over whose top was never seen: whoever showed it has to finalize");
        } else if let Some(judgment) = counsel.judgment(dispute)
            && let Ok(signature) = self.operator.sign(self.operator.digest(judgment.ruling.struct_hash()))
        {
            // As the operator, where it is the only arbiter.
            self.plead(court, counsel.rule(dispute, &judgment, &[signature]));
        }
        Ok(())
    }

    /// Submits a call; what was submitted under its key is not submitted again.
    fn plead(&self, court: CourtInfo, plea: Plea) {
        let Plea { key, motion, calldata } = plea;
        let now = self.now();
        let mut disputes = lock(&self.disputes);
        if disputes.submitted.get(&key).is_some_and(|after| after.is_none_or(|after| now < after)) {
            return;
        }
        disputes.submitted.insert(key.clone(), None);
        drop(disputes);
        tracing::info!(key, "to the court: {motion}");
        let to = if motion.is_for_arena() { self.arena() } else { court.address };
        let value = if motion.is_bonded() { court.bond } else { U256::ZERO };
        self.ask(Ask::Submit { key, to, calldata, value });
    }

    /// A plea has been mined or refused.
    pub(crate) fn pleaded(&self, key: &str) {
        if let Some(submitted) = lock(&self.disputes).submitted.get_mut(key) {
            *submitted = Some(self.now() + AGAIN);
        }
    }

    /// Everything signed of a match that is or was open.
    fn file(&self, match_id: MatchId) -> Result<Arc<File>, StoreError> {
        let (seq, row) = self.store.match_by_id(match_id)?.ok_or(StoreError::Damaged)?;
        let newest = self.store.last_turn(seq)?.and_then(|bytes| decode_turn(&bytes)).map_or(0, |turn| turn.state.turn);
        let known = lock(&self.disputes).files.get(&match_id).cloned();
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
        let conclusion = match &row.ending {
            Some(Ending::Final { signatures, operator, .. }) => signatures.iter().copied().chain([*operator]).collect(),
            _ => Vec::new(),
        };
        let file = Arc::new(File { row, newest, legal, owners, rules, conclusion });
        let mut disputes = lock(&self.disputes);
        if disputes.open.contains_key(&match_id) {
            disputes.files.insert(match_id, file.clone());
        }
        Ok(file)
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
    pub(crate) fn ruled(self: &Arc<Self>, concluded: &Concluded) {
        let match_id = concluded.match_id;
        self.undocketed(match_id);
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

/// What clients are told of a dispute.
pub(crate) fn disputed(match_id: MatchId, docket: &Docket) -> ToClient {
    ToClient::Disputed { match_id, turn: docket.turn(), mover: docket.mover(), until: docket.until() }
}

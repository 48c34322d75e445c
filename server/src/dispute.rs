//! Disputes (section 7): the server calls the clock, and is every player's watchtower and, where the arena says so, arbiter.
//!
//! A seat that is to move and does not, until its clock has run out, is challenged on the chain with what everyone signed. A
//! dispute that anybody opened is answered with whatever is newer here, and finalized when its window is over. What the
//! rules forbid is never shown, and is contested when somebody else shows it: this server has the rules, and replays.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use matchlock::{
    abi::{Arena, Court, MatchId, Ruling, State},
    chain::{BlockId, read_contract},
    dispute::{Docket, Phase as DocketPhase, Replay, Shown, Signed},
    game::Amount,
    sign::Signature,
    wire::{ToClient, Turn},
};
use serde::{Deserialize, Serialize};

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
    submitted: BTreeSet<String>,
}

/// An open dispute. Kept, because no view of the court tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Dispute {
    docket: Docket,
    /// What was shown: a base, and the headers from there to the docket's top.
    shown: Option<(State, Vec<Shown>)>,
}

/// Notes of disputes are named so, and by their match.
const NOTE: &str = "dispute-";

/// A match as evidence is drawn from it.
struct File {
    row: MatchRow,
    /// Its turns up to the first that the rules forbid.
    legal: Vec<Turn>,
    owners: Vec<Address>,
}

/// What somebody showed and the rules forbid.
struct Foul {
    /// The parent, the header in question, and all others up to the top.
    trail: Vec<State>,
    position: Vec<u8>,
    action: Vec<u8>,
}

impl File {
    fn signed(&self) -> Signed<'_> {
        let (start, owners, opening) = (&self.row.start, &self.owners[..], &self.row.opened[..]);
        Signed { id: self.row.id, start, owners, opening, turns: &self.legal }
    }

    /// The operator's signature on the terms.
    fn guarantee(&self) -> Vec<u8> {
        self.row.guarantee.last().map(|signature| signature.0.to_vec()).unwrap_or_default()
    }
}

impl Hub {
    /// What the chain says of a dispute.
    pub(crate) fn docketed(self: &Arc<Self>, update: &DisputeUpdate) {
        let match_id = update.match_id;
        if !matches!(self.store.match_by_id(match_id), Ok(Some(_))) {
            return;
        }
        let Some(docket) = update.docket else { return self.undocketed(match_id) };
        tracing::info!(%match_id, turn = docket.turn(), until = docket.until(), phase = ?docket.phase(), "in dispute");
        let dispute = {
            let mut disputes = lock(&self.disputes);
            let known = disputes.open.remove(&match_id).and_then(|known| known.shown);
            let dispute = Dispute { docket, shown: joined(known, update.shown.clone(), match_id) };
            disputes.open.insert(match_id, dispute.clone());
            dispute
        };
        let note = postcard::to_allocvec(&dispute).expect("a dispute always encodes");
        self.store.write(vec![Change::Note(format!("{NOTE}{match_id}"), Some(note))], || {});
        if let Some(found) = self.matches.find(&match_id) {
            found.lock().tell(&disputed(match_id, &docket));
            for shown in dispute.shown.iter().flat_map(|(_, headers)| headers) {
                let Some((_, signature)) = shown.signatures.first() else { continue };
                let (state, action, signature) = (shown.state.clone(), shown.action.clone(), *signature);
                self.turn_from_chain(&found, Turn { state, action, signature });
            }
        }
    }

    fn undocketed(&self, match_id: MatchId) {
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
        let file = self.file(found.id)?;
        let signed = file.signed();
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
        self.plead(court, format!("challenge-{}-{}", found.id, signed.top()), &call, U256::ZERO);
        Ok(())
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
        if let Some(calldata) = self.conclude_call(match_id, None)? {
            // It beats whatever is shown, in any window (R6.1).
            let key = format!("conclude-{match_id}");
            if lock(&self.disputes).submitted.insert(key.clone()) {
                self.submit(key, calldata);
            }
            return Ok(());
        }
        let (docket, passed) = (&dispute.docket, self.moment().passed);
        let file = self.file(match_id)?;
        let terms: Arena::Match = (&file.row.terms).into();
        if passed > docket.until() {
            return self.finalize(court, &file, terms, dispute);
        }
        let foul = self.foul(&file, dispute);
        if let Some(turn) = docket.contested() {
            return self.rule(court, &file, terms, dispute, turn, foul);
        }
        if docket.phase() == DocketPhase::Open
            && let Some(Foul { trail, position, action }) = foul
        {
            tracing::warn!(%match_id, turn = trail[1].turn, "an illegal header was shown: contested");
            let key = format!("contest-{match_id}-{}", docket.since());
            let (position, action) = (position.into(), action.into());
            let trail = trail.iter().map(Into::into).collect();
            let value = if file.row.terms.referee == Address::ZERO { court.bond } else { U256::ZERO };
            self.plead(
                court,
                key,
                &Court::contestCall { terms, docket: docket.into(), trail, position, action },
                value,
            );
            return Ok(());
        }
        // The mover has the first half of the window to answer by itself, and every answer costs the operator gas.
        if self.chain_now() < docket.since() + (docket.until() - docket.since()) / 2 {
            return Ok(());
        }
        let signed = file.signed();
        let newer = signed.answer(docket).filter(|_| docket.phase() == DocketPhase::Open);
        let agreed = signed.agreed() > docket.turn() || docket.phase() == DocketPhase::Doubted;
        if let Some(shown) = newer.or_else(|| agreed.then(|| signed.evidence())) {
            let key = format!("respond-{match_id}-{}", docket.since());
            let call = Court::respondCall { terms, docket: docket.into(), shown, fork: Vec::new() };
            self.plead(court, key, &call, U256::ZERO);
        }
        Ok(())
    }

    fn finalize(
        &self,
        court: CourtInfo,
        file: &File,
        terms: Arena::Match,
        dispute: &Dispute,
    ) -> Result<(), StoreError> {
        let (docket, match_id) = (&dispute.docket, file.row.id);
        let is_top = |state: &&State| state.hash(match_id) == docket.top();
        let ours = file.signed();
        let shown = dispute
            .shown
            .iter()
            .flat_map(|(base, headers)| std::iter::once(base).chain(headers.iter().map(|shown| &shown.state)));
        let top = ours.header(docket.turn()).into_iter().chain(shown).find(is_top);
        let stakes_back = matches!(docket.phase(), DocketPhase::Doubted | DocketPhase::Contested);
        let Some(top) = top.or(stakes_back.then_some(&file.row.start)) else {
            tracing::warn!(%match_id, "a dispute is over whose top was never seen: whoever showed it has to finalize");
            return Ok(());
        };
        let call = Court::finalizeCall { terms, docket: docket.into(), top: top.into() };
        self.plead(court, format!("finalize-{match_id}-{}", docket.until()), &call, U256::ZERO);
        Ok(())
    }

    /// Rules on a contested header as the operator, where it is the arbiter (R7.10).
    fn rule(
        &self,
        court: CourtInfo,
        file: &File,
        terms: Arena::Match,
        dispute: &Dispute,
        turn: u32,
        foul: Option<Foul>,
    ) -> Result<(), StoreError> {
        let match_id = file.row.id;
        let (trail, legal) = match foul {
            Some(foul) if foul.trail[1].turn == turn => (foul.trail, false),
            // What comes before the first foul is legal; of what comes after it nothing can be said.
            Some(foul) if foul.trail[1].turn < turn => return Ok(()),
            _ => match trail(file, dispute, turn) {
                Some(trail) => (trail, true),
                None => {
                    tracing::warn!(%match_id, turn, "a header was contested that nobody showed here");
                    return Ok(());
                }
            },
        };
        let ruling = Ruling { match_id, top: trail[1].hash(match_id), legal };
        let Ok(signature) = self.operator.sign(self.operator.digest(ruling.struct_hash())) else { return Ok(()) };
        tracing::info!(%match_id, turn, legal, "ruled");
        let call = Court::ruleCall {
            terms,
            docket: (&dispute.docket).into(),
            trail: trail.iter().map(Into::into).collect(),
            legal,
            signatures: signature.0.to_vec().into(),
        };
        self.plead(court, format!("rule-{match_id}-{}", dispute.docket.since()), &call, U256::ZERO);
        Ok(())
    }

    /// The first header that was shown and that the rules forbid.
    fn foul(&self, file: &File, dispute: &Dispute) -> Option<Foul> {
        let (base, headers) = dispute.shown.as_ref()?;
        let rules = self.games.get(&file.row.terms.rules)?;
        let (id, ours) = (file.row.id, file.signed());
        // Only on the chain that is known here; another branch is agreed by others or by nobody.
        ours.header(base.turn).filter(|known| known.hash(id) == base.hash(id))?;
        let mut replay = Replay::new(id, &file.row.terms, &**rules).ok()?;
        for turn in &file.legal[..base.turn as usize] {
            replay.follow(&turn.state, &turn.action).ok()?;
        }
        for (i, shown) in headers.iter().enumerate() {
            if replay.follow(&shown.state, &shown.action).is_err() {
                let above = headers[i..].iter().map(|shown| shown.state.clone());
                return Some(Foul {
                    trail: std::iter::once(replay.state().clone()).chain(above).collect(),
                    position: replay.position().to_vec(),
                    action: shown.action.clone(),
                });
            }
        }
        None
    }

    /// Submits a call of the court under a key; what was submitted under it is not submitted again.
    fn plead<C: SolCall>(&self, court: CourtInfo, key: String, call: &C, value: U256) {
        if lock(&self.disputes).submitted.insert(key.clone()) {
            self.ask(Ask::Submit { key, to: court.address, calldata: call.abi_encode(), value });
        }
    }

    /// Everything signed of a match that is or was open, as far as its rules allow it.
    fn file(&self, match_id: MatchId) -> Result<File, StoreError> {
        let (seq, row) = self.store.match_by_id(match_id)?.ok_or(StoreError::Damaged)?;
        let rules = self.games.get(&row.terms.rules).ok_or(StoreError::Damaged)?;
        let mut replay = Replay::new(match_id, &row.terms, &**rules).map_err(|_| StoreError::Damaged)?;
        let mut legal: Vec<Turn> = Vec::new();
        for bytes in self.store.turns(seq, 1, usize::MAX)? {
            let turn = decode_turn(&bytes).ok_or(StoreError::Damaged)?;
            if let Err(fault) = replay.follow(&turn.state, &turn.action) {
                tracing::warn!(%match_id, turn = turn.state.turn, %fault, "a seat signed what the rules forbid");
                break;
            }
            legal.push(turn);
        }
        let owners = row.players.iter().map(|player| player.owner).collect();
        Ok(File { row, legal, owners })
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

/// What is known after more was shown: on top of what was shown before, or in its place.
fn joined(
    known: Option<(State, Vec<Shown>)>,
    more: Option<(State, Vec<Shown>)>,
    match_id: MatchId,
) -> Option<(State, Vec<Shown>)> {
    let Some((base, headers)) = more else { return known };
    if let Some((first, mut all)) = known {
        let top = all.last().map_or(&first, |shown| &shown.state);
        if top.hash(match_id) == base.hash(match_id) {
            all.extend(headers);
            return Some((first, all));
        }
    }
    Some((base, headers))
}

/// The parent of a header that was shown, the header, and all others up to the top.
fn trail(file: &File, dispute: &Dispute, turn: u32) -> Option<Vec<State>> {
    let (base, headers) = dispute.shown.as_ref()?;
    let mut all = std::iter::once(base).chain(headers.iter().map(|shown| &shown.state));
    let parent = match turn.checked_sub(1)? {
        before if before < base.turn => file.signed().header(before)?.clone(),
        before => all.clone().find(|state| state.turn == before)?.clone(),
    };
    let rest: Vec<State> = all.by_ref().filter(|state| state.turn >= turn).cloned().collect();
    (!rest.is_empty()).then(|| std::iter::once(parent).chain(rest).collect())
}

/// What clients are told of a dispute.
pub(crate) fn disputed(match_id: MatchId, docket: &Docket) -> ToClient {
    ToClient::Disputed { match_id, turn: docket.turn(), mover: docket.mover(), until: docket.until() }
}

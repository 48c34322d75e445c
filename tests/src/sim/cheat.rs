//! Who does not play by the rules, and who rules on it.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_sol_types::SolCall;
use matchlock::{
    abi::{Arena, Court, MatchId, State, Withdrawal},
    channel::Status,
    dispute::{Case, Docket, Replay, Signed},
    game::{Amount, Seat},
    session::Session,
    settle,
    sign::{Key, Signature, Signer},
    wire::{ToServer, Turn},
};

use super::{
    chain::{BOND, arbiter, operator},
    plan::{Arbitration, Conduct, Operation},
    world::World,
};
use crate::world::Failure;

impl World<'_> {
    /// What a dishonest player does at the chain, now and then.
    pub(super) fn scheme(&mut self, n: usize) -> Result<(), Failure> {
        let conduct = self.players[n].conduct;
        match conduct {
            Conduct::Cheats { turn } => self.assert_illegal(n, turn)?,
            Conduct::Forks { turn } => self.fork(n, turn)?,
            Conduct::Exits { turn } => self.slip_away(n, turn)?,
            Conduct::Rewinds => self.rewind(n)?,
            Conduct::Replays => self.replay(n)?,
            Conduct::Forges { from } => {
                self.forge(n)?;
                self.slip_away(n, from.saturating_sub(1))?;
            }
            _ => {}
        }
        if self.plan.operation == Operation::Colludes {
            self.collude(n)?;
        }
        Ok(())
    }

    /// Its open matches.
    pub(super) fn cases(&self, n: usize) -> Result<Vec<(MatchId, Seat, Case)>, Failure> {
        let Some(session) = &self.players[n].session else { return Ok(Vec::new()) };
        let mut cases = Vec::new();
        for channel in session.channels().filter(|channel| !matches!(channel.status(), Status::Cancelled)) {
            if let Some(transcript) = channel.transcript() {
                cases.push((channel.id(), channel.seat(), Case::new(transcript, channel.rules())?));
            }
        }
        Ok(cases)
    }

    /// A header that nobody's rules make: everything to oneself.
    fn illegal(&mut self, case: &Case, seat: Seat, key: &Key) -> Result<Option<Turn>, Failure> {
        let signed = case.signed();
        let Some(last) = signed.header(signed.top()).filter(|last| last.mover() == Some(seat)) else { return Ok(None) };
        let action = self.dice.bytes()[..1 + self.dice.below(8) as usize].to_vec();
        let mut payouts = vec![Amount::ZERO; signed.owners.len()];
        payouts[seat.index()] = Amount::total(&case.terms().stakes).unwrap_or(Amount::ZERO);
        let others = (seat.0 + 1) % signed.owners.len() as u8;
        let mover = if self.dice.below(2) == 0 { 255 } else { others };
        let state = State {
            turn: last.turn + 1,
            prev: last.hash(signed.id),
            action: keccak256(&action),
            board: B256::from(self.dice.bytes()),
            mover,
            payouts,
        };
        let signature = key.sign(self.chain.domain.digest(state.hash(signed.id).0))?;
        Ok(Some(Turn { state, action, signature }))
    }

    fn assert_illegal(&mut self, n: usize, at: u32) -> Result<(), Failure> {
        let key = self.players[n].key.clone();
        for (match_id, seat, case) in self.cases(n)? {
            if case.signed().top() + 1 < at || self.chain.view().concluded.contains_key(&match_id) {
                continue;
            }
            let Some(turn) = self.illegal(&case, seat, &key)? else { continue };
            let mut transcript = case.transcript().clone();
            transcript.turns.push(turn.clone());
            let count = transcript.turns.len();
            let whole = Case::new(transcript, &self.rules)?;
            if self.players[n].done.insert(format!("relay {match_id}")) && self.dice.below(2) == 0 {
                if let Some(line) = self.players[n].line {
                    self.send_up(line, matchlock::wire::encode(&ToServer::Turn { match_id, turn }));
                }
            } else {
                self.show(n, &whole, whole.up_to(count))?;
            }
        }
        Ok(())
    }

    /// Shows the court a header in place of the one that was sent.
    fn fork(&mut self, n: usize, at: u32) -> Result<(), Failure> {
        let key = self.players[n].key.clone();
        for (match_id, seat, case) in self.cases(n)? {
            let turns = case.transcript().turns.clone();
            let last = turns.len();
            if last < at as usize || self.chain.view().concluded.contains_key(&match_id) {
                continue;
            }
            // Its newest own turn, made again.
            let signed = case.signed();
            let own = (0..last).rev().find(|turn| signed.header(*turn as u32).and_then(State::mover) == Some(seat));
            let Some(own) = own else { continue };
            let mut transcript = case.transcript().clone();
            transcript.turns.truncate(own);
            let before = Case::new(transcript.clone(), &self.rules)?;
            let Some(turn) = self.illegal(&before, seat, &key)? else { continue };
            transcript.turns.push(turn);
            let whole = Case::new(transcript, &self.rules)?;
            self.show(n, &whole, whole.up_to(own + 1))?;
        }
        Ok(())
    }

    /// Takes something to court, as a challenge or as an answer.
    pub(super) fn show(&mut self, n: usize, case: &Case, signed: Signed<'_>) -> Result<(), Failure> {
        let (terms, evidence) = (Arena::Match::from(case.terms()), signed.evidence());
        let calldata = match self.chain.view().disputes.get(&signed.id) {
            None => {
                let Some(guarantee) = case.guarantee() else { return Ok(()) };
                let guarantee = guarantee.0.to_vec().into();
                Court::challengeCall { terms, guarantee, shown: evidence }.abi_encode()
            }
            Some(dispute) => {
                let docket: &Docket = dispute.docket();
                let shown = signed.answer(docket).unwrap_or(evidence);
                Court::respondCall { terms, docket: docket.into(), shown, fork: Vec::new() }.abi_encode()
            }
        };
        self.try_call(n, true, U256::ZERO, calldata, "shows the court what it likes")
    }

    pub(super) fn try_call(
        &mut self,
        n: usize,
        court: bool,
        value: U256,
        calldata: Vec<u8>,
        what: &str,
    ) -> Result<(), Failure> {
        let (from, to) = (self.players[n].wallet.address(), self.address(court));
        // A few that revert are sent all the same: what reverts must change nothing.
        if self.chain.would_pass(from, to, value, &calldata) || self.dice.below(10) == 0 {
            self.submit(n, court, value, calldata, what)?;
        }
        Ok(())
    }

    /// Exits in mid-match.
    fn slip_away(&mut self, n: usize, at: u32) -> Result<(), Failure> {
        let pair = self.players[n].pair();
        let exit_at = self.chain.account(pair.account())?.exit_at;
        let begun = self.cases(n)?.iter().any(|(_, _, case)| case.signed().top() >= at);
        if exit_at == 0 && begun && self.players[n].done.insert("exit".into()) {
            // Without a receipt: as if nothing had been played.
            let call = Arena::exitCall {
                owner: pair.owner,
                key: pair.key,
                entry: Default::default(),
                exitSig: Default::default(),
            };
            self.players[n].exit = Some(self.now());
            self.try_call(n, false, U256::ZERO, call.abi_encode(), "exits in mid-match")?;
        } else if exit_at != 0 && self.now() > exit_at {
            let call = Arena::finishExitCall { owner: pair.owner, key: pair.key };
            self.try_call(n, false, U256::ZERO, call.abi_encode(), "finishes its exit")?;
        }
        Ok(())
    }

    /// Old states, again and again.
    fn rewind(&mut self, n: usize) -> Result<(), Failure> {
        for (match_id, _, case) in self.cases(n)? {
            if self.dice.below(4) != 0 || self.chain.view().concluded.contains_key(&match_id) {
                continue;
            }
            let top = self.dice.below(case.signed().top() + 1) as usize;
            self.show(n, &case, case.up_to(top))?;
        }
        Ok(())
    }

    /// Whatever it has, out of place.
    fn replay(&mut self, n: usize) -> Result<(), Failure> {
        let cases = self.cases(n)?;
        if cases.is_empty() {
            return Ok(());
        }
        let pick = |dice: &mut matchlock::local::Dice| dice.below(cases.len() as u32) as usize;
        let (one, other) = (pick(&mut self.dice), pick(&mut self.dice));
        let ((_, _, case), (_, _, strange)) = (&cases[one], &cases[other]);
        let terms = Arena::Match::from(case.terms());
        let dispute = self.chain.view().disputes.get(&case.signed().id).cloned();
        let top = self.dice.below(strange.signed().top() + 1) as usize;
        let evidence = strange.up_to(top).evidence();
        let (value, calldata) = match (self.dice.below(6), dispute, case.guarantee()) {
            (0, _, Some(guarantee)) => {
                let call = Court::challengeCall { terms, guarantee: guarantee.0.to_vec().into(), shown: evidence };
                (0, call.abi_encode())
            }
            (1, Some(dispute), _) => {
                let docket = dispute.docket().into();
                (0, Court::respondCall { terms, docket, shown: evidence, fork: Vec::new() }.abi_encode())
            }
            (2, Some(dispute), _) => {
                // A legal header, named as illegal.
                let signed = case.signed();
                let top = dispute.docket().turn();
                let trail: Option<Vec<Arena::State>> =
                    (top.saturating_sub(1)..=top).map(|turn| signed.header(turn).map(Into::into)).collect();
                // A referee is asked of the very move; arbiters find it themselves.
                let refereed = !case.terms().referee.is_zero();
                let [code, position, action] = if refereed { self.tried(case, top)? } else { Default::default() };
                let (docket, trail) = (dispute.docket().into(), trail.unwrap_or_default());
                let call = Court::contestCall { terms, docket, trail, code, position, action };
                (if refereed { 0 } else { BOND }, call.abi_encode())
            }
            (3, Some(dispute), _) => {
                let top = case.signed().header(dispute.docket().turn()).unwrap_or(case.signed().start).into();
                (0, Court::finalizeCall { terms, docket: dispute.docket().into(), top }.abi_encode())
            }
            (4, ..) => {
                let guarantee = &case.transcript().guarantee;
                let owners = case.signed().owners.to_vec();
                let signatures: Vec<u8> = guarantee.iter().flat_map(|signature| signature.0).collect();
                (0, Court::voidCall { terms, owners, signatures: signatures.into() }.abi_encode())
            }
            _ => return self.replay_statement(n),
        };
        self.try_call(n, true, U256::from(value), calldata, "takes something out of place to court")
    }

    /// What a contest of this turn brings before a referee: the rules, the position before the move, and the move.
    fn tried(&self, case: &Case, turn: u32) -> Result<[Bytes; 3], Failure> {
        let signed = case.signed();
        let Some((last, before)) = signed.turns.get(..turn as usize).and_then(<[Turn]>::split_last) else {
            return Ok(Default::default());
        };
        let mut replay = Replay::new(signed.id, case.terms(), &*self.rules)?;
        for turn in before {
            replay.follow(&turn.state, &turn.action)?;
        }
        let code = self.rules.on_chain().map(|on_chain| on_chain.code.to_vec()).unwrap_or_default();
        Ok([code, replay.position().to_vec(), last.action.clone()].map(Bytes::from))
    }

    /// An older statement, or another's.
    fn replay_statement(&mut self, n: usize) -> Result<(), Failure> {
        let Some(session) = &self.players[n].session else { return Ok(()) };
        let entries: Vec<Vec<u8>> = session.opponents().map(settle::signed_entry).collect();
        for entries in entries {
            let call = Arena::settleSignedCall { entries: entries.into() };
            self.try_call(n, false, U256::ZERO, call.abi_encode(), "settles somebody's statement")?;
        }
        Ok(())
    }

    /// The operator signs a withdrawal of everything for a player whose stakes are in play.
    fn collude(&mut self, n: usize) -> Result<(), Failure> {
        let pair = self.players[n].pair();
        let record = self.chain.account(pair.account())?;
        let busy = self.players[n].session.as_ref().is_some_and(|session| session.open().next().is_some());
        let equity = u128::try_from(record.funds + record.net).unwrap_or(0);
        if !busy || equity == 0 || record.exit_at != 0 || !self.players[n].done.insert("collude".into()) {
            return Ok(());
        }
        let total = Amount::new(record.withdrawn.units() + equity)?;
        let receipt = record.statement().receipt_hash(pair.account());
        let deadline = self.now() + 600;
        let withdrawal = Withdrawal { account: pair.account(), total, deadline, receipt };
        let digest = self.chain.domain.digest(withdrawal.struct_hash());
        let call = Arena::withdrawCall {
            owner: pair.owner,
            key: pair.key,
            total: total.into(),
            deadline,
            accountSig: self.players[n].key.sign(digest)?.0.into(),
            operatorSig: operator().sign(digest)?.0.into(),
        };
        self.try_call(n, false, U256::ZERO, call.abi_encode(), "takes its stakes out with the operator's help")
    }

    // --------------------------------------------------------------------------------------------- the arbiters

    /// Arbiters rule on what is before them (R7.10): each by itself; whose signature makes the quorum brings it to the court.
    pub(super) fn arbitrate(&mut self) -> Result<(), Failure> {
        let contested: Vec<MatchId> = (self.chain.view().disputes.iter())
            .filter(|(_, dispute)| dispute.docket().contested().is_some())
            .map(|(id, _)| *id)
            .collect();
        for match_id in contested {
            let Some(dispute) = self.chain.view().disputes.get(&match_id).cloned() else { continue };
            // Whoever holds it sends them the transcript.
            let sessions = self.players.iter().filter(|player| player.conduct.is_honest());
            let channel =
                sessions.filter_map(|player| player.session.as_ref()).find_map(|s: &Session| s.channel(match_id));
            let Some(transcript) = channel.and_then(|channel| channel.transcript()) else { continue };
            let case = Case::new(transcript, &self.rules)?;
            let counsel = case.counsel();
            let Some(judgment) = counsel.judgment(&dispute) else { continue };
            let mut rulings: [Vec<(alloy_primitives::Address, Signature)>; 2] = Default::default();
            for (n, conduct) in self.plan.arbiters.clone().into_iter().enumerate() {
                let mut ruling = judgment.ruling;
                match conduct {
                    Arbitration::Silent => continue,
                    Arbitration::Lies => ruling.legal = !ruling.legal,
                    Arbitration::Honest => {}
                }
                let key = arbiter(n as u64);
                let signature = key.sign(self.chain.domain.digest(ruling.struct_hash()))?;
                rulings[usize::from(ruling.legal)].push((key.address(), signature));
            }
            for (legal, mut signatures) in [false, true].into_iter().zip(rulings) {
                if signatures.len() < 2 {
                    continue;
                }
                signatures.sort_by_key(|(address, _)| *address);
                let signatures: Vec<Signature> =
                    signatures.into_iter().take(2).map(|(_, signature)| signature).collect();
                let mut judgment = judgment.clone();
                judgment.ruling.legal = legal;
                let plea = judgment.rule(case.terms(), dispute.docket(), &signatures);
                // Any wallet brings it.
                let from = self.players[0].wallet.address();
                if self.chain.would_pass(from, self.chain.court, U256::ZERO, &plea.calldata) {
                    self.submit(0, true, U256::ZERO, plea.calldata, &format!("the arbiters: {}", plea.motion))?;
                }
            }
        }
        Ok(())
    }
}

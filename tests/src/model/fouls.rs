//! Fouls: illegal headers and two headers for one turn; arbiters, and bonds (R5.9, R7.7 to R7.10).

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256, keccak256};
use matchlock::{
    abi::{Arena, Court, MatchId, OVER, Referee, Ruling, StateHash},
    account::AccountId,
    budget::{MAX_INIT_CODE, QUESTION_HEAD},
    chain::{ArenaRefusal, CourtRefusal, Revert},
};

use super::{
    Call, Judgement, Model, amounts,
    docket::{Case, Phase},
    outcomes::Standing,
    refuse, require,
    terms::{SIGNATURE, Table, bad_signature, expect_length, id_of, signer},
};

/// A referee may be promised so much gas; one that is promised more is none (R7.8).
const MAX_BUDGET: u64 = 10_000_000;

/// What contests before arbiters have cost.
#[derive(Clone, Debug, Default)]
pub(super) struct Bonds {
    /// Who put up the bond of a match's running contest.
    pub(super) contesters: BTreeMap<MatchId, Address>,
    /// What contesters may take back.
    pub(super) returned: BTreeMap<Address, u128>,
    /// What accounts' owners may take of lost ones.
    pub(super) shares: BTreeMap<AccountId, u128>,
}

impl Bonds {
    pub(super) fn claimed(&self, bond: u128) -> u128 {
        bond * self.contesters.len() as u128 + self.returned.values().sum::<u128>() + self.shares.values().sum::<u128>()
    }
}

impl Model {
    /// Names a header above the agreed one as illegal: before its referee, or else before the arbiters, with a bond.
    pub(super) fn contest(&mut self, call: &Call, contest: &Court::contestCall) -> Result<(), Revert> {
        let trail = &contest.trail;
        let (table, mut case) = self.accuse(call, &contest.terms, &contest.docket, trail)?;
        let (parent, accused) = (&trail[0], &trail[1]);
        if self.has_referee(&table) {
            require(call.value == U256::ZERO, CourtRefusal::WrongBond { expected: U256::ZERO })?;
            require(keccak256(&contest.position) == parent.board, CourtRefusal::WrongBoard {})?;
            let wrong_move = CourtRefusal::WrongMove { turn: U256::from(accused.turn) };
            require(keccak256(&contest.action) == accused.r#move, wrong_move)?;
            let legal = self.is_legal(&table, parent.mover, accused, contest)?;
            require(!legal, CourtRefusal::MoveIsLegal {})?;
            return self.close(call, &table, case, trail);
        }
        let bond = self.config.court.bond;
        require(call.value == U256::from(bond), CourtRefusal::WrongBond { expected: U256::from(bond) })?;
        require(!case.is_ruled(accused.turn.into()), CourtRefusal::AlreadyRuled {})?;
        if case.phase == Phase::Open && case.mover != OVER {
            self.charge(call, &table, &mut case); // its clock stops here
        }
        case.contested = accused.turn.into();
        case.since = call.at;
        case.until = call.at + u64::from(self.config.court.patience);
        self.held[1] += bond;
        self.bonds.contesters.insert(table.id, call.from);
        let docket = self.docket_kept(&table, &case)?;
        self.log_of_court(Court::Contested { matchId: table.id.0, contester: call.from, docket });
        Ok(())
    }

    /// The arbiters decide on the header before them (R7.10).
    pub(super) fn rule(&mut self, call: &Call, ruling: &Court::ruleCall) -> Result<(), Revert> {
        let table = self.open(&ruling.terms)?;
        let mut case = Case::of(&ruling.docket);
        self.expect_running(call, &case)?;
        require(case.contested != 0, CourtRefusal::NotBeforeArbiters {})?;
        self.expect_trail(&table, &ruling.trail, case.top)?;
        let accused = ruling.trail.get(1).filter(|header| u64::from(header.turn) == case.contested);
        let Some(accused) = accused else { return refuse(CourtRefusal::WrongTrail {}) };
        let decision = Ruling { match_id: table.id, top: table.hash(accused), legal: ruling.legal };
        self.expect_quorum(&decision, &ruling.signatures)?;
        if !ruling.legal {
            self.return_bond(table.id);
            return self.close(call, &table, case, &ruling.trail);
        }
        case.ruled |= 1 << (case.contested % 64);
        case.contested = 0;
        self.restart(call, &table, &mut case);
        self.lose_bond(&table);
        let docket = self.docket_kept(&table, &case)?;
        self.log_of_court(Court::Upheld { matchId: table.id.0, docket });
        Ok(())
    }

    /// One arbiter's signature on a ruling, for whoever collects a quorum of them (R7.10). Nothing is decided.
    pub(super) fn testify(&mut self, testimony: &Court::testifyCall) -> Result<(), Revert> {
        let Court::testifyCall { id, top, legal, signature } = testimony;
        expect_length(signature, SIGNATURE)?;
        let ruling = Ruling { match_id: MatchId(*id), top: StateHash(*top), legal: *legal };
        let arbiter = signer(self.digest(ruling.struct_hash()), signature, 0);
        let Some(arbiter) = arbiter.filter(|signer| self.config.court.arbiters.contains(signer)) else {
            return refuse(bad_signature(0));
        };
        let event = Court::Testified { matchId: *id, arbiter, top: *top, legal: *legal, signature: signature.clone() };
        self.log_of_court(event);
        Ok(())
    }

    /// The author of a header above the agreed one has signed another for that turn (R5.9).
    pub(super) fn equivocate(&mut self, call: &Call, proof: &Court::equivocateCall) -> Result<(), Revert> {
        let (table, case) = self.accuse(call, &proof.terms, &proof.docket, &proof.trail)?;
        let (parent, accused, other) = (&proof.trail[0], &proof.trail[1], &proof.other);
        require(other.turn == accused.turn, CourtRefusal::Unlinked { turn: U256::from(other.turn) })?;
        require(table.hash(other) != table.hash(accused), CourtRefusal::SameHeader {})?;
        expect_length(&proof.signature, SIGNATURE)?;
        let author = usize::from(parent.mover);
        let key = signer(self.digest(table.hash(other).0), &proof.signature, 0);
        let by = key.map(|key| id_of(proof.owner, key));
        require(by.is_some() && by.as_ref() == table.terms.seats.get(author), bad_signature(author))?;
        self.close(call, &table, case, &proof.trail)
    }

    /// What accusing a header needs: a running dispute, nothing before the arbiters, a header above the agreed one.
    fn accuse(
        &self,
        call: &Call,
        terms: &Arena::Match,
        docket: &Court::Docket,
        trail: &[Arena::State],
    ) -> Result<(Table, Case), Revert> {
        let table = self.open(terms)?;
        let case = Case::of(docket);
        self.expect_running(call, &case)?;
        require(case.contested == 0, CourtRefusal::BeforeArbiters {})?;
        require(trail.len() >= 2, CourtRefusal::WrongTrail {})?;
        self.expect_trail(&table, trail, case.top)?;
        let turn = trail[1].turn;
        require(u64::from(turn) > case.agreed(&table), CourtRefusal::Agreed { turn: U256::from(turn) })?;
        Ok((table, case))
    }

    /// The match stops at the parent, whose mover has played foul; one window for something agreed and newer (R7.7).
    fn close(&mut self, call: &Call, table: &Table, case: Case, trail: &[Arena::State]) -> Result<(), Revert> {
        let (turn, mover) = (trail[0].turn.into(), trail[0].mover);
        let mut case = Case { top: trail[1].prev, turn, mover, phase: Phase::Closed, contested: 0, ..case };
        self.restart(call, table, &mut case);
        let docket = self.docket_kept(table, &case)?;
        self.log_of_court(Court::Closed { matchId: table.id.0, docket });
        Ok(())
    }

    fn has_referee(&self, table: &Table) -> bool {
        let (referee, budget) = (table.terms.referee, table.terms.budget);
        let standard = referee == self.config.court.referee();
        let has_code = standard || self.config.referees.contains_key(&referee) || self.is_own(referee);
        has_code && budget <= MAX_BUDGET
    }

    /// Arena and court are contracts, and no referees: they refuse to judge.
    fn is_own(&self, address: Address) -> bool {
        address == self.arena() || address == self.config.court.address
    }

    /// Whether the referee answers with the header's own words (R7.8). An error is no verdict.
    fn is_legal(
        &self,
        table: &Table,
        seat: u8,
        header: &Arena::State,
        contest: &Court::contestCall,
    ) -> Result<bool, Revert> {
        let Court::contestCall { code, position, action, .. } = contest;
        let (rules, budget) = (table.terms.rules.0, U256::from(table.terms.budget));
        let answer = if table.terms.referee == self.config.court.referee() {
            let (code, position, action) = (code.clone(), position.clone(), action.clone());
            self.judged(&Referee::judgeCall { rules, budget, code, position, seat, action })?
        } else {
            let referee = self.config.referees.get(&table.terms.referee).ok_or_else(Revert::default)?;
            referee.judge(position, seat, action)
        };
        Ok(answer.is_some_and(|answer| {
            answer.board == header.board && answer.mover == header.mover && answer.payouts == amounts(&header.payouts)
        }))
    }

    /// What the court's own referee says of a move.
    pub(super) fn judged(&self, question: &Referee::judgeCall) -> Result<Option<Judgement>, Revert> {
        let Referee::judgeCall { rules, code, position, seat, action, .. } = question;
        let size = code.len() + QUESTION_HEAD + position.len() + action.len();
        require(keccak256(code) == *rules, CourtRefusal::WrongCode {})?;
        if size > MAX_INIT_CODE || position.len() > usize::from(u16::MAX) {
            return Ok(None);
        }
        Ok(self.config.rules.get(rules).and_then(|rules| rules.judge(position, *seat, action)))
    }

    /// Exactly the quorum of arbiters' signatures, ascending, so that nobody counts twice (R7.10).
    fn expect_quorum(&self, ruling: &Ruling, signatures: &[u8]) -> Result<(), Revert> {
        let quorum = usize::from(self.config.court.quorum);
        expect_length(signatures, quorum * SIGNATURE)?;
        let digest = self.digest(ruling.struct_hash());
        let mut last = Address::ZERO;
        for i in 0..quorum {
            let arbiter = signer(digest, signatures, i).filter(|signer| self.config.court.arbiters.contains(signer));
            let Some(arbiter) = arbiter.filter(|signer| *signer > last) else { return refuse(bad_signature(i)) };
            last = arbiter;
        }
        Ok(())
    }

    /// The contest was right, or nobody has said that it was not (R7.9).
    pub(super) fn return_bond(&mut self, id: MatchId) {
        let Some(contester) = self.bonds.contesters.remove(&id) else { return };
        *self.bonds.returned.entry(contester).or_default() += self.config.court.bond;
        self.log_of_court(Court::BondReturned { matchId: id.0, contester });
    }

    /// The contest was false: equal parts to all seats, and the first gets the odd units (R7.9).
    fn lose_bond(&mut self, table: &Table) {
        // A forged docket has no contester; it is refused where it would be replaced.
        let contester = self.bonds.contesters.remove(&table.id).unwrap_or_default();
        let (bond, seats) = (self.config.court.bond, table.seats() as u128);
        for (seat, id) in table.terms.seats.iter().enumerate() {
            let odd = if seat == 0 { bond % seats } else { 0 };
            *self.bonds.shares.entry(*id).or_default() += bond / seats + odd;
        }
        self.log_of_court(Court::BondLost { matchId: table.id.0, contester });
    }

    /// A final signed by everybody has overtaken a contest (R6.1).
    pub(super) fn reclaim(&mut self, id: MatchId) -> Result<(), Revert> {
        let concluded = self.slots.get(&id).is_some_and(|slot| matches!(slot.standing, Standing::Concluded { .. }));
        require(concluded && self.bonds.contesters.contains_key(&id), CourtRefusal::NoBond {})?;
        self.return_bond(id);
        Ok(())
    }

    pub(super) fn claim_bond(&mut self, contester: Address) -> Result<(), Revert> {
        let amount = self.bonds.returned.remove(&contester).unwrap_or(0);
        self.pay_bond(contester, amount)
    }

    pub(super) fn claim_share(&mut self, owner: Address, key: Address) -> Result<(), Revert> {
        let amount = self.bonds.shares.remove(&id_of(owner, key)).unwrap_or(0);
        self.pay_bond(owner, amount)
    }

    fn pay_bond(&mut self, to: Address, amount: u128) -> Result<(), Revert> {
        require(amount > 0, CourtRefusal::NoBond {})?;
        self.held[1] -= amount;
        self.log_of_court(Court::BondPaid { to, amount: U256::from(amount) });
        require(!self.is_own(to), ArenaRefusal::PaymentFailed { to })
    }
}

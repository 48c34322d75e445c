//! Disputes: opened, answered, ended (R7.1 to R7.7, R7.11, R7.12).

use alloy_primitives::U256;
use matchlock::{
    abi::{Arena, Court},
    chain::{ArenaRefusal, CourtRefusal, Revert},
};

use super::{
    Call, Model, amounts,
    docket::{Case, MAX_HEADERS, Phase, agreed},
    evidence::Chain,
    outcomes::Standing,
    refuse, require,
    terms::{SIGNATURE, Table, bad_signature, expect_length, signer},
};

impl Model {
    /// Opens a dispute, until the match's expiry (R5.11): an agreed base, and the operator's guarantee.
    pub(super) fn challenge(&mut self, call: &Call, challenge: &Court::challengeCall) -> Result<(), Revert> {
        let table = self.open(&challenge.terms)?;
        require(call.at <= table.terms.expiry, ArenaRefusal::MatchExpired {})?;
        expect_length(&challenge.guarantee, SIGNATURE)?;
        let by_operator = signer(table.id.0, &challenge.guarantee, 0) == Some(self.config.operator);
        require(by_operator, bad_signature(table.seats()))?;
        let chain = self.read_evidence(&table, &challenge.shown, None)?;
        // State 0 had to be shown by then (R5.3).
        let open_by = table.terms.open_by;
        let shown_late = call.at > open_by && agreed(&chain.acks, &table) == 0;
        require(!shown_late, CourtRefusal::ShownLate { openBy: U256::from(open_by) })?;
        self.show(call, &table, Case::new(Phase::Open), chain)
    }

    /// Doubts that the match was ever opened (R7.12).
    pub(super) fn void(&mut self, call: &Call, doubt: &Court::voidCall) -> Result<(), Revert> {
        let table = self.open(&doubt.terms)?;
        let open_by = table.terms.open_by;
        require(call.at > open_by, CourtRefusal::DoubtedEarly { openBy: U256::from(open_by) })?;
        require(call.at <= table.terms.expiry, ArenaRefusal::MatchExpired {})?;
        self.expect_everybody(&table, &doubt.owners, &doubt.signatures, table.id.0)?;
        let mut case = Case::new(Phase::Doubted);
        self.restart(call, &table, &mut case);
        let docket = self.docket_kept(&table, &case)?;
        self.log_of_court(Court::Doubted { matchId: table.id.0, docket });
        Ok(())
    }

    /// Shows something newer, within the window (R7.4).
    pub(super) fn respond(&mut self, call: &Call, answer: &Court::respondCall) -> Result<(), Revert> {
        let table = self.open(&answer.terms)?;
        let mut case = Case::of(&answer.docket);
        self.expect_running(call, &case)?;
        let before_arbiters = case.contested != 0;
        // While a header is before the arbiters, only what is agreed counts.
        let top = (!before_arbiters).then_some(case.top);
        let mut chain = self.read_evidence(&table, &answer.shown, top)?;
        if Some(chain.hashes[0]) == top {
            self.extend(call, &table, &mut case, &mut chain)?; // (a)
        } else if chain.from > case.turn {
            case.ruled = 0; // (b)
        } else if chain.at(case.turn) == Some(case.top) {
            // An agreed base below the top, and the same chain up to it.
            if before_arbiters {
                overtake(&case, &mut chain)?;
            } else {
                self.extend(call, &table, &mut case, &mut chain)?;
            }
        } else {
            self.expect_fork(&table, &case, &chain, &answer.fork)?; // (c)
            case.ruled = 0;
        }
        if before_arbiters {
            // What was contested is agreed, or on a branch that does not count (R7.9).
            self.return_bond(table.id);
        }
        self.show(call, &table, case, chain)
    }

    /// The mover has moved on: (a) of R7.4.
    fn extend(&self, call: &Call, table: &Table, case: &mut Case, chain: &mut Chain) -> Result<(), Revert> {
        require(case.phase == Phase::Open && chain.turn != case.turn, CourtRefusal::NotNewer {})?;
        self.charge(call, table, case);
        merge(&mut chain.acks, &case.acks);
        for turn in case.turn + 1..=chain.turn {
            case.ruled &= !(1 << (turn % 64));
        }
        if chain.turn.wrapping_sub(agreed(&chain.acks, table)) > MAX_HEADERS {
            // What the others let stand for a window counts as agreed (R7.6).
            let from = case.since + self.minimum();
            let limit = U256::from(MAX_HEADERS);
            require(call.at >= from, CourtRefusal::TooManyHeaders { limit, from: U256::from(from) })?;
            chain.acks[..table.seats()].iter_mut().for_each(|ack| *ack = (*ack).max(case.turn));
        }
        Ok(())
    }

    /// The base is agreed, and the dispute's chain has another header for its turn: (c) of R7.4.
    fn expect_fork(&self, table: &Table, case: &Case, chain: &Chain, fork: &[Arena::State]) -> Result<(), Revert> {
        let newer = case.phase == Phase::Open && chain.from > case.agreed(table);
        require(newer && fork.len() as u64 == case.turn - chain.from + 1, CourtRefusal::NotNewer {})?;
        self.expect_trail(table, fork, case.top)?;
        require(table.hash(&fork[0]).0 != chain.hashes[0], CourtRefusal::NotNewer {})
    }

    /// Puts what was shown on the docket, and starts the mover's window.
    fn show(&mut self, call: &Call, table: &Table, case: Case, chain: Chain) -> Result<(), Revert> {
        let (top, turn, mover) = (chain.top(), chain.turn, chain.mover);
        let mut case = Case { top, turn, mover, phase: Phase::Open, contested: 0, acks: chain.acks, ..case };
        self.restart(call, table, &mut case);
        let docket = self.docket_kept(table, &case)?;
        self.log_of_court(Court::Shown { matchId: table.id.0, docket });
        Ok(())
    }

    /// After the window: the top's payouts, or the stakes back where nothing was shown or ruled (R7.11).
    pub(super) fn finalize(&mut self, call: &Call, end: &Court::finalizeCall) -> Result<(), Revert> {
        let table = self.open(&end.terms)?;
        let case = Case::of(&end.docket);
        match self.slots.get(&table.id).map(|slot| &slot.standing) {
            Some(Standing::Concluded { .. }) => return refuse(ArenaRefusal::MatchConcluded {}),
            Some(Standing::Disputed(kept)) if *kept == end.docket => {}
            _ => return refuse(ArenaRefusal::OtherDocket {}),
        }
        require(call.at > case.until, CourtRefusal::WindowRuns { until: U256::from(case.until) })?;
        let stakes_back = case.phase == Phase::Doubted || case.contested != 0;
        if stakes_back {
            self.return_bond(table.id);
            self.apply_outcome(&table, &table.terms.stakes)?;
        } else {
            require(table.hash(&end.top).0 == case.top, CourtRefusal::WrongTrail {})?;
            self.apply_outcome(&table, &amounts(&end.top.payouts))?;
        }
        self.log_of_court(Court::Finalized { matchId: table.id.0, stakesBack: stakes_back });
        Ok(())
    }
}

/// What is before the arbiters is agreed (R7.9).
fn overtake(case: &Case, chain: &mut Chain) -> Result<(), Revert> {
    require(case.phase == Phase::Open, CourtRefusal::NotNewer {})?;
    require(chain.from >= case.contested, CourtRefusal::BeforeArbiters {})?;
    merge(&mut chain.acks, &case.acks);
    Ok(())
}

/// Each seat's newer turn.
fn merge(acks: &mut [u64], others: &[u64]) {
    acks.iter_mut().zip(others).for_each(|(ack, other)| *ack = (*ack).max(*other));
}

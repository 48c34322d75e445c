//! What has to hold in every schedule, apart from what makes it happen (PROTOCOL, section 10).

use std::collections::BTreeMap;

use alloy_primitives::B256;
use matchlock::{
    abi::MatchId,
    channel::Status,
    game::{Amount, Seat},
    session::Session,
    wire::ToServer,
};

use super::{
    chain::SimChain,
    plan::{Operation, Plan},
    player::{DEPOSIT, Player, STAKE},
};
use crate::world::Failure;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// An honest client signed two headers for one turn (R5.10).
    #[error("honest player {player} signed two headers for turn {turn} of {match_id}")]
    SignedTwice {
        /// Who.
        player: usize,
        /// Of which match.
        match_id: MatchId,
        /// Which turn.
        turn: u32,
    },
    /// Money came from nowhere, or went there (R3.3).
    #[error("the arena holds {held} wei, and owes {owed}")]
    NotConserved {
        /// What it holds.
        held: u128,
        /// What accounts and pool may take.
        owed: u128,
    },
    /// An honest player has less than the rules give it.
    #[error("honest player {player} should have {expected} wei, and has {got}")]
    WorseOff {
        /// Who.
        player: usize,
        /// What the rules give it.
        expected: i128,
        /// What it has.
        got: i128,
    },
    /// The chain gave an honest player less than its newest state says.
    #[error("honest player {player} gets {got} wei of {match_id}, and turn {turn} says {expected}")]
    Robbed {
        /// Who.
        player: usize,
        /// In which match.
        match_id: MatchId,
        /// The newest turn that it holds.
        turn: u32,
        /// What that gives it.
        expected: u128,
        /// What it got.
        got: u128,
    },
    /// A match of an honest player did not end.
    #[error("match {match_id} of honest player {player} is {status} in the end")]
    NotEnded {
        /// Who.
        player: usize,
        /// Which match.
        match_id: MatchId,
        /// What it is.
        status: String,
    },
    /// Who cheated took more than it had and won: the operator paid for it (section 1).
    #[error("the players that do not play by the rules are due {due} wei in all, and took {took}")]
    OperatorPaid {
        /// What their deposits and results give them.
        due: i128,
        /// What they took.
        took: i128,
    },
    /// The contracts and their model differ on a transaction.
    #[error("transaction {transaction}: the model {what}")]
    Disagrees {
        /// Which.
        transaction: B256,
        /// How.
        what: String,
    },
    /// The model broke an invariant, or differs on a record.
    #[error("the model: {what}")]
    Model {
        /// How.
        what: String,
    },
    /// The schedule outlasted all windows.
    #[error("the schedule outlasts all of its windows")]
    NeverEnds,
}

/// What an honest player last held of a match.
#[derive(Clone, Debug)]
struct Seen {
    seat: Seat,
    status: Status,
    turn: u32,
    mover: Option<Seat>,
    payouts: Vec<Amount>,
    delta: Option<i128>,
    expiry: u64,
}

/// Watches everybody.
#[derive(Debug, Default)]
pub(super) struct Witness {
    signed: BTreeMap<(usize, MatchId, u32), B256>,
    seen: BTreeMap<(usize, MatchId), Seen>,
}

impl Witness {
    /// An honest player sends a frame.
    pub(super) fn signed(&mut self, player: usize, frame: &ToServer) -> Result<(), Breach> {
        if let ToServer::Turn { match_id, turn } = frame {
            let hash = turn.state.hash(*match_id).0;
            let first = *self.signed.entry((player, *match_id, turn.state.turn)).or_insert(hash);
            if first != hash {
                return Err(Breach::SignedTwice { player, match_id: *match_id, turn: turn.state.turn });
            }
        }
        Ok(())
    }

    /// What a player's session is now.
    pub(super) fn saw(&mut self, player: usize, session: &Session) {
        for channel in session.channels() {
            let seen = Seen {
                seat: channel.seat(),
                status: channel.status(),
                turn: channel.state().turn,
                mover: channel.state().mover(),
                payouts: channel.state().payouts.clone(),
                delta: channel.delta(),
                expiry: channel.terms().expiry,
            };
            self.seen.insert((player, channel.id()), seen);
        }
    }

    /// R3.3: what the arena holds is what accounts and pool may take.
    pub(super) fn conserved(&self, chain: &SimChain, players: &[Player]) -> Result<(), Failure> {
        let mut owed = chain.pool()?.equity.units();
        for player in players {
            let record = chain.account(player.account())?;
            chain.mirror.compare(player.account(), &record)?;
            owed += u128::try_from(record.funds + record.net).unwrap_or(0);
        }
        let held = chain.balance()?;
        if held == owed { Ok(()) } else { Err(Breach::NotConserved { held, owed }.into()) }
    }

    /// What came of it all.
    pub(super) fn judge(&self, chain: &SimChain, plan: &Plan, players: &[Player]) -> Result<(), Failure> {
        self.conserved(chain, players)?;
        let mut won = 0;
        for player in players.iter().filter(|player| player.conduct.is_honest()) {
            won += self.judge_player(chain, plan, player)?;
        }
        // What honest players have won, the others have lost.
        let cheats: Vec<&Player> = players.iter().filter(|player| !player.conduct.is_honest()).collect();
        let due = cheats.len() as i128 * i128::from(DEPOSIT) - won;
        let took = cheats.iter().map(|player| chain.view().paid.get(&player.account()).copied().unwrap_or(0) as i128);
        let took: i128 = took.sum();
        if plan.operation == Operation::Honest && took > due {
            return Err(Breach::OperatorPaid { due, took }.into());
        }
        Ok(())
    }

    /// What an honest player has won in all.
    fn judge_player(&self, chain: &SimChain, plan: &Plan, player: &Player) -> Result<i128, Failure> {
        let (mut expected, mut winnings) = (i128::from(DEPOSIT), 0);
        for ((n, match_id), seen) in &self.seen {
            if *n != player.n {
                continue;
            }
            let Some(delta) = seen.delta else {
                // A proposal that came to nothing was never open; a match without a dispute is void at its expiry (R5.11), which a
                // client without its server does not say. Whether it may be is another question.
                let void = !chain.view().disputes.contains_key(match_id) && chain.time.now() > seen.expiry;
                if seen.status == Status::Opening || void {
                    self.judge_match(plan, player, *match_id, seen, 0)?;
                    continue;
                }
                let (match_id, status) = (*match_id, format!("{:?}", seen.status));
                return Err(Breach::NotEnded { player: player.n, match_id, status }.into());
            };
            expected += delta;
            winnings += delta.max(0);
            self.judge_match(plan, player, *match_id, seen, delta)?;
        }
        let record = chain.account(player.account())?;
        let paid = chain.view().paid.get(&player.account()).copied().unwrap_or(0) as i128;
        let got = paid + (record.funds + record.net).max(0);
        // Beyond what its pool holds, an operator's guarantee is worth nothing (section 1).
        let exposed = if plan.operation == Operation::Overguarantees { winnings } else { 0 };
        if got < expected - exposed {
            return Err(Breach::WorseOff { player: player.n, expected, got }.into());
        }
        Ok(expected - i128::from(DEPOSIT))
    }

    /// Nobody honest gets less of a match than its newest state gives it while another one is to move.
    fn judge_match(
        &self,
        plan: &Plan,
        player: &Player,
        match_id: MatchId,
        seen: &Seen,
        delta: i128,
    ) -> Result<(), Failure> {
        let got = (delta + i128::from(STAKE)).unsigned_abs();
        let expected = seen.payouts[seen.seat.index()].units();
        // Before the second player's first move there is no forfeit (R5.3); where nobody rules the stakes go back (R7.11).
        let started = seen.turn as usize >= plan.seats * if plan.game == "pig" { 4 } else { 1 };
        let stakes_back = got == u128::from(STAKE) && (!started || !plan.has_judge());
        if seen.mover == Some(seen.seat) || got >= expected || stakes_back {
            return Ok(());
        }
        Err(Breach::Robbed { player: player.n, match_id, turn: seen.turn, expected, got }.into())
    }
}

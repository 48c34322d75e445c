//! Who is waited for in a match, since when, and when that is worth a word to the player.

use super::{
    Session, SessionNotice, SessionStep,
    event::{Change, Record},
};
use crate::{
    abi::MatchId,
    channel::{self, Channel, Status, Step},
    dispute::{Docket, Phase},
    game::Seat,
    wire::ToServer,
};

/// Who is to act in a match, and until when, by the clock of the terms: in Unix seconds, as this client tells the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Countdown {
    /// Whose turn it is; `None` where the match is over and not everyone has signed its result.
    pub seat: Option<Seat>,
    /// The turn that is due.
    pub turn: u32,
    /// When the turn before it came here.
    pub since: u64,
    /// When the clock has run out: from then on the others may go to court.
    pub until: u64,
}

impl Countdown {
    /// Seconds that are left at this moment.
    pub fn left(&self, now: u64) -> u64 {
        self.until.saturating_sub(now)
    }

    fn half(&self) -> u64 {
        self.since + (self.until - self.since).div_ceil(2)
    }

    fn stage(&self, now: u64) -> Stage {
        match () {
            () if now >= self.until => Stage::Over,
            () if now >= self.half() => Stage::Half,
            () => Stage::Fresh,
        }
    }
}

/// What a match waits for in court, in the chain's Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hearing {
    /// The newest turn that was shown there.
    pub turn: u32,
    /// Who has to answer it; `None` where it is final.
    pub mover: Option<Seat>,
    /// The last second for that.
    pub until: u64,
    /// How far the dispute is; `None` where only the server told of it, who does not say.
    pub phase: Option<Phase>,
}

impl From<&Docket> for Hearing {
    fn from(docket: &Docket) -> Hearing {
        Hearing { turn: docket.turn(), mover: docket.mover(), until: docket.until(), phase: Some(docket.phase()) }
    }
}

/// A match's clock: what it counts for, and what was said of it already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) turn: u32,
    pub(super) since: u64,
    pub(super) told: Stage,
    /// Whether the server was asked when the turn came.
    pub(super) asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Fresh,
    Half,
    Over,
}

/// The newest turn that a step leads to, if it leads to one; its clock begins with it.
pub(super) fn begins(match_id: MatchId, step: &Step, now: u64) -> Option<Record> {
    let turn = step.events().iter().rev().find_map(|event| match event {
        channel::Event::Turned(turn) => Some(turn.state.turn),
        channel::Event::Opened { .. } => Some(0),
        _ => None,
    })?;
    // Without a clock nothing is counted.
    (now > 0).then_some(Record::Clock { match_id, turn, since: now })
}

impl Session {
    /// Who is waited for in a match, and until when; `None` where nobody is, or the driver tells no time.
    pub fn countdown(&self, id: MatchId) -> Option<Countdown> {
        self.countdown_of(self.channels.get(&id)?)
    }

    /// What a match waits for in court; `None` if it is in no dispute that this session heard of.
    pub fn hearing(&self, id: MatchId) -> Option<Hearing> {
        let channel = self.channels.get(&id)?;
        self.hearings.get(&id).copied().filter(|_| waited_for(channel).is_some())
    }

    fn countdown_of(&self, channel: &Channel) -> Option<Countdown> {
        let (seat, turn) = (waited_for(channel)?, channel.state().turn);
        let since = self.clocks.get(&channel.id()).filter(|clock| clock.turn == turn)?.since;
        let until = since.saturating_add(channel.terms().clock.into());
        Some(Countdown { seat, turn: turn + 1, since, until })
    }

    /// Says once of each clock that half of it is used, and once that all of it is.
    pub(super) fn call_clocks(&self, now: u64, step: &mut SessionStep) {
        for channel in self.channels.values().filter(|channel| waited_for(channel).is_some()) {
            let (match_id, turn) = (channel.id(), channel.state().turn);
            let Some(countdown) = self.countdown_of(channel) else {
                // What was stored before there were clocks counts from when it is seen first.
                step.changes
                    .push(Change::Clock(match_id, Clock { turn, since: now, told: Stage::Fresh, asked: false }));
                continue;
            };
            let Some(clock) = self.clocks.get(&match_id) else { continue };
            let stage = countdown.stage(now);
            if stage <= clock.told {
                continue;
            }
            let Countdown { seat, turn, until, .. } = countdown;
            step.notify(match stage {
                Stage::Over => SessionNotice::Overdue { match_id, seat, turn },
                _ if seat == Some(channel.seat()) => SessionNotice::Hurry { match_id, turn, until },
                _ => SessionNotice::Silent { match_id, seat, turn, until },
            });
            step.changes.push(Change::Clock(match_id, Clock { told: stage, ..*clock }));
        }
    }

    /// Asks for the operator's receipts of a match's newest turns, as far as they are not here.
    pub(super) fn ask_arrivals(&self, channel: &Channel) -> Option<ToServer> {
        let from = channel.unreceipted()?;
        Some(ToServer::Arrivals { tag: 0, match_id: channel.id(), from })
    }

    /// When a match that waits for another seat has waited for half of its clock, in Unix seconds: the match is asked
    /// about then, so that the client can show who held it even if the server is gone by the time the clock has run out.
    fn silent_from(&self, channel: &Channel) -> Option<u64> {
        let others = match channel.status() {
            Status::Open { mover } => mover != channel.seat(),
            Status::Over => true,
            _ => false,
        };
        let countdown = self.countdown_of(channel).filter(|_| others)?;
        self.clocks.get(&channel.id()).filter(|clock| !clock.asked)?;
        channel.unreceipted()?;
        Some(countdown.half())
    }

    /// Asks when the newest turns of matches came whose others have been silent for half of their clocks.
    pub(super) fn ask_the_silent(&self, step: &mut SessionStep) {
        let silent = |channel: &&Channel| self.silent_from(channel).is_some_and(|from| from <= self.now);
        for channel in self.channels().filter(silent) {
            if let Some(clock) = self.clocks.get(&channel.id()) {
                step.changes.push(Change::Clock(channel.id(), Clock { asked: true, ..*clock }));
            }
            self.ask_arrivals(channel).into_iter().for_each(|frame| step.send(frame));
        }
    }

    /// The next Unix second at which [`SessionInput::Silence`](super::SessionInput::Silence) leads to something; `None` if it
    /// does not, as things stand.
    pub fn silence_at(&self) -> Option<u64> {
        self.channels().filter_map(|channel| self.silent_from(channel)).min()
    }

    /// What a court says of a match, by the server's word or the chain's.
    pub(super) fn hear(&self, match_id: MatchId, hearing: Option<Hearing>, step: &mut SessionStep) {
        let known = self.hearings.get(&match_id).copied();
        let Some(Hearing { turn, mover, until, phase }) = hearing else {
            if known.is_some() {
                step.changes.push(Change::Heard(match_id, None));
                step.notify(SessionNotice::Undisputed { match_id });
            }
            return;
        };
        let same = |known: &Hearing| {
            // The server's word adds nothing to what the chain said.
            (known.turn, known.mover, known.until) == (turn, mover, until) && (phase.is_none() || known.phase == phase)
        };
        if known.as_ref().is_some_and(same) {
            return;
        }
        step.changes.push(Change::Heard(match_id, hearing));
        let asked = self.channels.get(&match_id).and_then(|channel| self.ask_arrivals(channel));
        asked.into_iter().for_each(|frame| step.send(frame));
        step.notify(match phase {
            Some(Phase::Contested) => SessionNotice::Contested { match_id, until },
            Some(Phase::Closed) => SessionNotice::Closed { match_id, turn, guilty: mover, until },
            _ if known.is_none() => SessionNotice::Disputed { match_id, turn, mover, until },
            _ => SessionNotice::Answered { match_id, turn, mover, until },
        });
    }
}

/// Whom a match waits for, if for anybody: a seat, or the signatures under its result.
fn waited_for(channel: &Channel) -> Option<Option<Seat>> {
    match channel.status() {
        Status::Open { mover } => Some(Some(mover)),
        Status::Over => Some(None),
        // Whatever it signed does not count.
        Status::Faulted(evidence) => Some(Some(evidence.seat)),
        _ => None,
    }
}

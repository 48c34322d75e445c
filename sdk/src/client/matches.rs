//! Handles to matches: over bytes, and typed by a game.

use std::{boxed::Box, marker::PhantomData, sync::Arc};

use alloc::vec::Vec;
use tokio::sync::{mpsc, oneshot, watch};

use super::{ClientError, Command};
use crate::{
    abi::{MatchId, MatchTerms, State},
    account::Player,
    channel::{Channel, Evidence, Notice, Status},
    dispute::Motion,
    game::{Amount, Game, Seat},
    rules::{self, Placed, Rules, RulesError},
    session::{Countdown, Hearing, Session, SessionError, SessionInput, SessionNotice},
    transcript::{Recording, Transcript},
    wire::Arrived,
};

/// What happens in a match.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MatchEvent {
    /// All signatures are there: play.
    Opened,
    /// A turn was made, by this seat or another.
    Turned {
        /// By whom.
        seat: Seat,
        /// Its number.
        turn: u32,
    },
    /// The last turn was made.
    Over {
        /// What each seat gets.
        payouts: Vec<Amount>,
    },
    /// The result is signed by everyone: nobody can take it back.
    Concluded,
    /// A seat cheated; here is the proof.
    Faulted(Evidence),
    /// The match was never opened; stakes are back.
    Cancelled,
    /// The match passed its expiry without a result: it is void, stakes are back.
    Void,
    /// Half of this player's own clock is used. From `until` on, in Unix seconds by this client's clock, the others may go to court.
    Hurry {
        /// The turn that is due.
        turn: u32,
        /// When the clock has run out.
        until: u64,
    },
    /// Another seat has used half of its clock.
    Silent {
        /// Who; `None` where the match is over, and signatures under its result are missing.
        seat: Option<Seat>,
        /// The turn that is due.
        turn: u32,
        /// When the clock has run out.
        until: u64,
    },
    /// A clock has run out, this player's own or another seat's: the match may go to court.
    Overdue {
        /// Whose.
        seat: Option<Seat>,
        /// The turn that is due.
        turn: u32,
    },
    /// The match is in dispute on the chain.
    Disputed {
        /// The newest turn that was shown there.
        turn: u32,
        /// Who has to answer; `None` where that turn is the last.
        mover: Option<Seat>,
        /// Until when, in the chain's Unix seconds.
        until: u64,
    },
    /// Something newer was shown to the court.
    Answered {
        /// The newest turn now.
        turn: u32,
        /// Who has to answer next.
        mover: Option<Seat>,
        /// Until when, in the chain's Unix seconds.
        until: u64,
    },
    /// A turn that was shown to the court is said to be illegal, and is before the arbiters.
    Contested {
        /// Until when they have, in the chain's Unix seconds.
        until: u64,
    },
    /// The court has found a seat guilty of foul play in the turn after this one: unless something agreed and newer is shown, the
    /// match ends as if that seat had never acted.
    Closed {
        /// The last turn that counts.
        turn: u32,
        /// Who.
        guilty: Option<Seat>,
        /// Until when, in the chain's Unix seconds.
        until: u64,
    },
    /// The dispute is gone again: the chain was reorganised.
    Undisputed,
    /// This client went to court by itself.
    Pleaded {
        /// What it did.
        motion: Motion,
    },
    /// A dispute has ended on the chain, with this outcome.
    Ruled {
        /// What each seat gets.
        payouts: Vec<Amount>,
    },
    /// The operator signed for when a turn came: asked for by itself when another seat lets the match wait, and when
    /// somebody is to blame. It is in the transcript from here on.
    Arrived(Arrived),
    /// The result is on the chain.
    Settled {
        /// In which batch.
        batch: u32,
    },
}

impl From<Notice> for MatchEvent {
    fn from(notice: Notice) -> MatchEvent {
        match notice {
            Notice::Opened => MatchEvent::Opened,
            Notice::Turned { seat, turn } => MatchEvent::Turned { seat, turn },
            Notice::Over { payouts } => MatchEvent::Over { payouts },
            Notice::Concluded => MatchEvent::Concluded,
            Notice::Faulted(evidence) => MatchEvent::Faulted(evidence),
            Notice::Cancelled => MatchEvent::Cancelled,
            Notice::Void => MatchEvent::Void,
            Notice::Ruled { payouts } => MatchEvent::Ruled { payouts },
            Notice::Arrived(arrived) => MatchEvent::Arrived(arrived),
        }
    }
}

impl MatchEvent {
    /// What a session's notice of a clock or a court says of which match.
    pub(super) fn of(notice: &SessionNotice) -> Option<(MatchId, MatchEvent)> {
        Some(match *notice {
            SessionNotice::Hurry { match_id, turn, until } => (match_id, MatchEvent::Hurry { turn, until }),
            SessionNotice::Silent { match_id, seat, turn, until } => {
                (match_id, MatchEvent::Silent { seat, turn, until })
            }
            SessionNotice::Overdue { match_id, seat, turn } => (match_id, MatchEvent::Overdue { seat, turn }),
            SessionNotice::Disputed { match_id, turn, mover, until } => {
                (match_id, MatchEvent::Disputed { turn, mover, until })
            }
            SessionNotice::Answered { match_id, turn, mover, until } => {
                (match_id, MatchEvent::Answered { turn, mover, until })
            }
            SessionNotice::Contested { match_id, until } => (match_id, MatchEvent::Contested { until }),
            SessionNotice::Closed { match_id, turn, guilty, until } => {
                (match_id, MatchEvent::Closed { turn, guilty, until })
            }
            SessionNotice::Undisputed { match_id } => (match_id, MatchEvent::Undisputed),
            _ => return None,
        })
    }
}

/// Where a match stands.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The newest state.
    pub state: State,
    /// The newest position.
    pub placed: Placed,
    /// What is waited for.
    pub status: Status,
    /// Whose clock runs, since when and until when; `None` where nobody's does.
    pub clock: Option<Countdown>,
    /// What the court waits for, if the match is in dispute.
    pub hearing: Option<Hearing>,
}

impl Snapshot {
    pub(super) fn of(session: &Session, id: MatchId) -> Option<Snapshot> {
        let channel = session.channel(id)?;
        let (clock, hearing) = (session.countdown(id), session.hearing(id));
        let (state, placed) = (channel.state().clone(), channel.placed().clone());
        Some(Snapshot { state, placed, status: channel.status(), clock, hearing })
    }
}

/// A match of this client.
pub struct Match {
    pub(super) id: MatchId,
    pub(super) seat: Seat,
    pub(super) terms: MatchTerms,
    pub(super) players: Vec<Player>,
    pub(super) rules: Arc<dyn Rules>,
    pub(super) events: mpsc::UnboundedReceiver<MatchEvent>,
    pub(super) snapshot: watch::Receiver<Snapshot>,
    pub(super) commands: mpsc::Sender<Command>,
}

impl Match {
    /// Its id.
    pub fn id(&self) -> MatchId {
        self.id
    }

    /// This player's seat.
    pub fn seat(&self) -> Seat {
        self.seat
    }

    /// What was agreed.
    pub fn terms(&self) -> &MatchTerms {
        &self.terms
    }

    /// Who sits at each seat.
    pub fn players(&self) -> &[Player] {
        &self.players
    }

    /// The rules it is played by.
    pub fn rules(&self) -> &Arc<dyn Rules> {
        &self.rules
    }

    /// Where it stands now.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }

    /// The encoded position, if this player is to move (and not the dice).
    pub fn my_position(&self) -> Option<Vec<u8>> {
        let now = self.snapshot.borrow();
        let mine = now.status == Status::Open { mover: self.seat } && !now.placed.reveal;
        mine.then(|| now.placed.position.clone())
    }

    /// The next event; `None` once nothing more can happen.
    pub async fn event(&mut self) -> Option<MatchEvent> {
        self.events.recv().await
    }

    /// The next event if there is one already.
    pub fn try_event(&mut self) -> Option<MatchEvent> {
        self.events.try_recv().ok()
    }

    /// Makes an encoded move. Once this returns it is signed, durable, and final for this player.
    ///
    /// # Errors
    /// Not this player's turn, an illegal move, or it could not be stored; nothing was signed.
    pub async fn play(&self, play: Vec<u8>) -> Result<(), ClientError> {
        let (answer, answered) = oneshot::channel();
        let input = SessionInput::Play { match_id: self.id, play };
        self.commands.send(Command::Input(input, answer)).await.map_err(|_| ClientError::Closed)?;
        answered.await.map_err(|_| ClientError::Closed)?
    }

    /// Everything signed so far.
    ///
    /// # Errors
    /// The match is settled and forgotten, or was never open.
    pub async fn transcript(&self) -> Result<Transcript, ClientError> {
        self.look(Channel::transcript).await
    }

    /// Everything signed so far, with the position that this client computes after each turn and the turn that it refused.
    /// Save one of each client whose boards disagree: `matchlock diff` shows the turn and the field.
    ///
    /// # Errors
    /// The match is settled and forgotten, or was never open.
    pub async fn recording(&self) -> Result<Recording, ClientError> {
        self.look(Channel::recording).await
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Channel) -> Option<T> + Send + 'static,
    ) -> Result<T, ClientError> {
        let (answer, answered) = oneshot::channel();
        let id = self.id;
        let look = Command::Look(Box::new(move |session| {
            drop(answer.send(session.channel(id).and_then(look)));
        }));
        self.commands.send(look).await.map_err(|_| ClientError::Closed)?;
        answered.await.map_err(|_| ClientError::Closed)?.ok_or(SessionError::UnknownMatch(id).into())
    }
}

/// A match of a known game.
pub struct GameMatch<G> {
    inner: Match,
    game: PhantomData<G>,
}

impl<G: Game> GameMatch<G> {
    /// The match as this game's, which it must be.
    pub fn new(inner: Match) -> GameMatch<G> {
        GameMatch { inner, game: PhantomData }
    }

    /// The match over bytes: its terms, players and rules.
    pub fn inner(&self) -> &Match {
        &self.inner
    }

    /// Its id.
    pub fn id(&self) -> MatchId {
        self.inner.id
    }

    /// This player's seat.
    pub fn seat(&self) -> Seat {
        self.inner.seat
    }

    /// The board now.
    ///
    /// # Errors
    /// The match is of another game.
    pub fn board(&self) -> Result<G::Board, RulesError> {
        rules::board(&self.inner.snapshot.borrow().placed.position)
    }

    /// The board, if this player is to move.
    ///
    /// # Errors
    /// The match is of another game.
    pub fn my_turn(&self) -> Result<Option<G::Board>, RulesError> {
        self.inner.my_position().map(|position| rules::board(&position)).transpose()
    }

    /// The next event; `None` once nothing more can happen.
    pub async fn event(&mut self) -> Option<MatchEvent> {
        self.inner.event().await
    }

    /// The next event if there is one already.
    pub fn try_event(&mut self) -> Option<MatchEvent> {
        self.inner.try_event()
    }

    /// Makes a move. Once this returns it is signed, durable, and final for this player.
    ///
    /// # Errors
    /// Not this player's turn, an illegal move, or it could not be stored; nothing was signed.
    pub async fn play(&self, action: &G::Move) -> Result<(), ClientError> {
        let play = postcard::to_allocvec(action).map_err(|_| RulesError::Undecodable { what: "move" })?;
        self.inner.play(play).await
    }

    /// Everything signed so far: what [`judge`](crate::transcript::judge) replays. Whole from
    /// [`MatchEvent::Concluded`] on, and gone with [`MatchEvent::Settled`].
    ///
    /// # Errors
    /// The match is settled and forgotten, or was never open.
    pub async fn transcript(&self) -> Result<Transcript, ClientError> {
        self.inner.transcript().await
    }

    /// The same with the position that this client computes after each turn: see [`Match::recording`].
    ///
    /// # Errors
    /// The match is settled and forgotten, or was never open.
    pub async fn recording(&self) -> Result<Recording, ClientError> {
        self.inner.recording().await
    }
}

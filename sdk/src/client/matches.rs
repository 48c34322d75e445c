//! Handles to matches: over bytes, and typed by a game.

use std::{boxed::Box, marker::PhantomData, sync::Arc};

use alloc::vec::Vec;
use tokio::sync::{mpsc, oneshot, watch};

use super::{ClientError, Command};
use crate::{
    abi::{MatchId, MatchTerms, State},
    account::Player,
    channel::{Channel, Evidence, Status},
    game::{Amount, Game, Seat},
    rules::{self, Placed, Rules, RulesError},
    session::{SessionError, SessionInput},
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

/// Where a match stands.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The newest state.
    pub state: State,
    /// The newest position.
    pub placed: Placed,
    /// What is waited for.
    pub status: Status,
}

impl Snapshot {
    pub(super) fn of(channel: &Channel) -> Snapshot {
        Snapshot { state: channel.state().clone(), placed: channel.placed().clone(), status: channel.status() }
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

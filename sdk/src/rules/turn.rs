//! One turn, from bytes to bytes: the path that [`Rules::apply`](super::Rules::apply) and [`judge`] share.

use alloc::{boxed::Box, vec::Vec};

use serde::{Serialize, de::DeserializeOwned};

use super::{Action, MAX_ACTION, MAX_POSITION, Placed, Position, RulesError};
use crate::{
    chance::Link,
    game::{Game, Next, Seat},
};

/// Whether `seat`'s action is legal on this position, and what comes of it: what [`Rules::apply`](super::Rules::apply)
/// says, without a reason. `None` is a refusal.
///
/// Judges that run a game's rules as a program of their own, as the chain does, call this: the code for reasons and their
/// texts is most of what a small game would weigh. There is no fee to give: it is in the position's pot.
pub fn judge<G: Game>(game: &G, position: &[u8], seat: Seat, action: &[u8]) -> Option<Placed> {
    apply::<G, Refused>(game, position, seat, action).ok()
}

/// What is kept of a refusal.
pub(super) trait Refusal {
    /// The refusal for this reason, which is only made where it is kept.
    fn because(reason: impl FnOnce() -> RulesError) -> Self;
}

impl Refusal for RulesError {
    fn because(reason: impl FnOnce() -> RulesError) -> RulesError {
        reason()
    }
}

/// Nothing but that there was one.
struct Refused;

impl Refusal for Refused {
    fn because(_: impl FnOnce() -> RulesError) -> Refused {
        Refused
    }
}

fn refuse<T, R: Refusal>(reason: impl FnOnce() -> RulesError) -> Result<T, R> {
    Err(R::because(reason))
}

pub(super) fn apply<G: Game, R: Refusal>(game: &G, position: &[u8], seat: Seat, action: &[u8]) -> Result<Placed, R> {
    let action: Action = decode(action, "action", MAX_ACTION)?;
    advance(game, decode(position, "position", MAX_POSITION)?, seat, &action)
}

pub(super) fn advance<G: Game, R: Refusal>(
    game: &G,
    mut position: Position<G::Board>,
    seat: Seat,
    action: &Action,
) -> Result<Placed, R> {
    match action {
        Action::Reveal(link) => {
            expect(game, &position, seat, true)?;
            give_link(game, &mut position, seat, *link)?;
        }
        Action::Play { play, link } => {
            expect(game, &position, seat, false)?;
            let (board, rolls) = played(game, &position, seat, play)?;
            position.board = board;
            match link {
                Some(link) if rolls => {
                    position.chance.begin();
                    give_link(game, &mut position, seat, *link)?;
                }
                None if !rolls => {}
                _ => return refuse(|| RulesError::WrongLink { seat }),
            }
        }
    }
    settle(game, position)
}

/// What a position means, once the roll that it calls for has begun.
pub(super) fn settle<G: Game, R: Refusal>(game: &G, mut position: Position<G::Board>) -> Result<Placed, R> {
    let broken = |why| refuse(|| RulesError::Broken { game: G::NAME, why });
    let seats = position.pot.seats();
    let mut next = game.next(&position.board, &position.pot);
    if matches!(next, Next::Roll) && position.chance.due(seats).is_none() {
        if !G::CHANCE {
            return broken("they roll, but CHANCE is false");
        }
        position.chance.begin();
    }
    let reveal = position.chance.due(seats);
    if let Some(seat) = reveal {
        if !matches!(next, Next::Roll) {
            return refuse(|| RulesError::Undecodable { what: "position" });
        }
        next = Next::turn(seat, &position.pot);
    }
    let (mover, outcome) = match next {
        Next::Turn { seat, .. } if seat.index() >= seats => {
            return broken("they name a seat that there is not");
        }
        Next::Turn { seat, stall } => (Some(seat), stall),
        Next::Over(outcome) => (None, outcome),
        Next::Roll => return broken("they roll without end"),
    };
    let payouts = outcome.into_payouts();
    if payouts.len() != seats {
        return broken("an outcome is not of this match's pot");
    }
    let position = encode(&position, "position", MAX_POSITION)?;
    Ok(Placed { position, mover, reveal: reveal.is_some(), payouts })
}

/// Who is to act, and whether by a link.
fn turn<G: Game, R: Refusal>(game: &G, position: &Position<G::Board>) -> Result<(Seat, bool), R> {
    if let Some(seat) = position.chance.due(position.pot.seats()) {
        return Ok((seat, true));
    }
    match game.next(&position.board, &position.pot) {
        Next::Turn { seat, .. } => Ok((seat, false)),
        Next::Over(_) => refuse(|| RulesError::Over),
        Next::Roll => refuse(|| RulesError::Undecodable { what: "position" }),
    }
}

pub(super) fn expect<G: Game, R: Refusal>(
    game: &G,
    position: &Position<G::Board>,
    seat: Seat,
    reveal: bool,
) -> Result<(), R> {
    let (mover, link_due) = turn(game, position)?;
    match (link_due, reveal) {
        _ if mover != seat => refuse(|| RulesError::NotYourTurn { seat, mover }),
        (true, false) => refuse(|| RulesError::LinkDue),
        (false, true) => refuse(|| RulesError::NoLinkDue),
        _ => Ok(()),
    }
}

/// The board after a move, and whether a roll follows.
pub(super) fn played<G: Game, R: Refusal>(
    game: &G,
    position: &Position<G::Board>,
    seat: Seat,
    play: &[u8],
) -> Result<(G::Board, bool), R> {
    let action: G::Move = decode(play, "move", MAX_ACTION)?;
    let board = game
        .play(&position.board, seat, &action)
        .map_err(|error| R::because(|| RulesError::Illegal(Box::new(error))))?;
    let rolls = G::CHANCE && matches!(game.next(&board, &position.pot), Next::Roll);
    Ok((board, rolls))
}

fn give_link<G: Game, R: Refusal>(
    game: &G,
    position: &mut Position<G::Board>,
    seat: Seat,
    link: Link,
) -> Result<(), R> {
    let roll = position.chance.reveal(seat, link).map_err(|_| R::because(|| RulesError::WrongLink { seat }))?;
    if let Some(roll) = roll {
        position.board = game.roll(&position.board, roll);
    }
    Ok(())
}

fn encode<T: Serialize, R: Refusal>(value: &T, what: &'static str, limit: usize) -> Result<Vec<u8>, R> {
    let bytes = postcard::to_allocvec(value).map_err(|_| R::because(|| RulesError::Undecodable { what }))?;
    if bytes.len() > limit { refuse(|| RulesError::TooLarge { what, size: bytes.len(), limit }) } else { Ok(bytes) }
}

/// Decodes, and refuses any bytes but the canonical ones: two encodings of one value would be two commitments.
pub(super) fn decode<T: Serialize + DeserializeOwned, R: Refusal>(
    bytes: &[u8],
    what: &'static str,
    limit: usize,
) -> Result<T, R> {
    if bytes.len() > limit {
        return refuse(|| RulesError::TooLarge { what, size: bytes.len(), limit });
    }
    let undecodable = || R::because(|| RulesError::Undecodable { what });
    let value: T = postcard::from_bytes(bytes).map_err(|_| undecodable())?;
    if is_canonical(&value, bytes) { Ok(value) } else { Err(undecodable()) }
}

/// Whether these bytes are the ones that encoding the value makes.
pub(crate) fn is_canonical<T: Serialize>(value: &T, bytes: &[u8]) -> bool {
    let mut canonical = Canonical { expected: bytes };
    postcard::serialize_with_flavor(value, &mut canonical).is_ok() && canonical.expected.is_empty()
}

/// Compares an encoding with bytes as it is made, without storing it.
struct Canonical<'a> {
    expected: &'a [u8],
}

impl postcard::ser_flavors::Flavor for &mut Canonical<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.expected = self.expected.strip_prefix(bytes).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

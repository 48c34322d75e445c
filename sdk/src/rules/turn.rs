//! One turn, from bytes to bytes: the path that [`Rules::apply`](super::Rules::apply) and [`judge`] share.

use alloc::{boxed::Box, vec, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{
    MAX_ACTION, MAX_POSITION, Placed, Position, RulesError,
    read::{Acted, Reader},
};
use crate::{
    chance::{Chance, Link},
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

/// A position, and its pot as it is encoded, which no turn changes.
pub(super) struct Opened<'a, B> {
    pub(super) position: Position<B>,
    pot: &'a [u8],
    /// Bytes of the whole position: what it takes after the turn is about as many.
    size: usize,
}

pub(super) fn apply<G: Game, R: Refusal>(game: &G, position: &[u8], seat: Seat, action: &[u8]) -> Result<Placed, R> {
    within(action, "action", MAX_ACTION)?;
    let action = Reader(action).action().ok_or_else(|| R::because(|| RulesError::Undecodable { what: "action" }))?;
    advance(game, open::<G, R>(position)?, seat, action)
}

pub(super) fn advance<G: Game, R: Refusal>(
    game: &G,
    opened: Opened<'_, G::Board>,
    seat: Seat,
    action: Acted<'_>,
) -> Result<Placed, R> {
    let Opened { mut position, pot, size } = opened;
    match action {
        Acted::Reveal(link) => {
            expect(game, &position, seat, true)?;
            give_link(game, &mut position, seat, link)?;
        }
        Acted::Play { play, link } => {
            expect(game, &position, seat, false)?;
            let (board, rolls) = played(game, &position, seat, play)?;
            position.board = board;
            match link {
                Some(link) if rolls => {
                    position.chance.begin();
                    give_link(game, &mut position, seat, link)?;
                }
                None if !rolls => {}
                _ => return refuse(|| RulesError::WrongLink { seat }),
            }
        }
    }
    settle(game, Opened { position, pot, size })
}

/// What a position means, once the roll that it calls for has begun.
pub(super) fn settle<G: Game, R: Refusal>(game: &G, opened: Opened<'_, G::Board>) -> Result<Placed, R> {
    let Opened { mut position, pot, size } = opened;
    let broken = |why| refuse(|| RulesError::Broken { game: G::NAME, why });
    let seats = position.pot.seats();
    let mut next = game.next(&position.board, &position.pot);
    if matches!(next, Next::Roll) && due::<G>(&position).is_none() {
        if !G::CHANCE {
            return broken("they roll, but CHANCE is false");
        }
        position.chance.begin();
    }
    let reveal = due::<G>(&position);
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
    let position = close::<G, R>(&position, pot, size + GROWTH)?;
    Ok(Placed { position, mover, reveal: reveal.is_some(), payouts })
}

/// Whose link is due. Nothing of chance is compiled for a game that has none.
fn due<G: Game>(position: &Position<G::Board>) -> Option<Seat> {
    if G::CHANCE { position.chance.due(position.pot.seats()) } else { None }
}

/// Who is to act, and whether by a link.
fn turn<G: Game, R: Refusal>(game: &G, position: &Position<G::Board>) -> Result<(Seat, bool), R> {
    if let Some(seat) = due::<G>(position) {
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
    if !G::CHANCE {
        return refuse(|| RulesError::WrongLink { seat });
    }
    let roll = position.chance.reveal(seat, link).map_err(|_| R::because(|| RulesError::WrongLink { seat }))?;
    if let Some(roll) = roll {
        position.board = game.roll(&position.board, roll);
    }
    Ok(())
}

/// A [`Chance`] that nothing ever happens to, encoded: no links, no reveals, no roll under way.
const NO_CHANCE: &[u8] = &[0; 3];
/// Bytes by which a position may grow in a turn before it is encoded a second time, into more room.
const GROWTH: usize = 64;

/// Decodes a position.
pub(super) fn open<G: Game, R: Refusal>(bytes: &[u8]) -> Result<Opened<'_, G::Board>, R> {
    within(bytes, "position", MAX_POSITION)?;
    let undecodable = || R::because(|| RulesError::Undecodable { what: "position" });
    let mut reader = Reader(bytes);
    let pot = reader.pot().ok_or_else(undecodable)?;
    let Reader(rest) = reader;
    let (chance, board) = if G::CHANCE {
        decode(rest, "position", MAX_POSITION)?
    } else {
        let board = rest.strip_prefix(NO_CHANCE).ok_or_else(undecodable)?;
        (Chance::default(), decode(board, "position", MAX_POSITION)?)
    };
    let size = bytes.len();
    Ok(Opened { position: Position { pot, chance, board }, pot: &bytes[..size - rest.len()], size })
}

/// A position that has not been encoded yet, with its pot's encoding.
pub(super) fn opened<B>(position: Position<B>, pot: &[u8]) -> Opened<'_, B> {
    Opened { position, pot, size: pot.len() }
}

/// Encodes a position, if need be into twice the room until it fits.
fn close<G: Game, R: Refusal>(position: &Position<G::Board>, pot: &[u8], room: usize) -> Result<Vec<u8>, R> {
    let mut room = room.min(MAX_POSITION);
    loop {
        let mut bytes = vec![0; room];
        let begin = pot.len() + if G::CHANCE { 0 } else { NO_CHANCE.len() };
        let free = bytes.get_mut(begin..).unwrap_or_default();
        let encoded = if G::CHANCE {
            postcard::to_slice(&(&position.chance, &position.board), free)
        } else {
            postcard::to_slice(&position.board, free)
        };
        match encoded.map(|encoded| encoded.len()) {
            Ok(length) => {
                bytes[..pot.len()].copy_from_slice(pot);
                bytes.truncate(begin + length);
                return Ok(bytes);
            }
            Err(postcard::Error::SerializeBufferFull) if room < MAX_POSITION => room = MAX_POSITION.min(room * 2),
            Err(postcard::Error::SerializeBufferFull) => return refuse(|| too_large(position)),
            Err(_) => return refuse(|| RulesError::Undecodable { what: "position" }),
        }
    }
}

fn too_large<B: Serialize>(position: &Position<B>) -> RulesError {
    let size = postcard::to_allocvec(position).map_or(usize::MAX, |bytes| bytes.len());
    RulesError::TooLarge { what: "position", size, limit: MAX_POSITION }
}

fn within<R: Refusal>(bytes: &[u8], what: &'static str, limit: usize) -> Result<(), R> {
    if bytes.len() > limit { refuse(|| RulesError::TooLarge { what, size: bytes.len(), limit }) } else { Ok(()) }
}

/// Decodes, and refuses any bytes but the canonical ones: two encodings of one value would be two commitments.
pub(super) fn decode<'a, T: Serialize + Deserialize<'a>, R: Refusal>(
    bytes: &'a [u8],
    what: &'static str,
    limit: usize,
) -> Result<T, R> {
    within(bytes, what, limit)?;
    let value: Option<T> = postcard::from_bytes(bytes).ok();
    value.filter(|value| is_canonical(value, bytes)).ok_or_else(|| R::because(|| RulesError::Undecodable { what }))
}

/// Whether these bytes are the ones that encoding the value makes.
pub(crate) fn is_canonical<T: Serialize>(value: &T, bytes: &[u8]) -> bool {
    let mut room = vec![0; bytes.len()];
    postcard::to_slice(value, &mut room).is_ok_and(|canonical| *canonical == *bytes)
}

//! Where two clients of one match part: the first turn and the field that differ, and who is right as far as it can be told.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use alloy_primitives::keccak256;
use serde::Serialize;

use super::{Recording, recording::computed};
use crate::{
    abi::{self, State},
    channel::ChannelError,
    describe::{Difference, describe},
    game::Seat,
    rules::{Placed, Rules},
    sign,
    wire::Turn,
};

/// What two recordings show together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The newest turn in each: the first, then the second.
    pub turns: [u32; 2],
    /// Where they part; `None` if one only goes on further than the other, or neither.
    pub divergence: Option<Divergence>,
}

/// The first turn at which two recordings differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The turn; 0 for what was agreed on and for position 0.
    pub turn: u32,
    /// Who acted in it; `None` for turn 0.
    pub author: Option<Seat>,
    /// The field: `terms.clock`, `header.payouts`, `move`, `board.fleets[1].hits[3]`, `payouts[0]`, `legal`.
    pub field: String,
    /// Its value in the first.
    pub a: String,
    /// Its value in the second.
    pub b: String,
    /// Whose value the author signed. An author with another build than everyone else signs what its own build computes.
    /// `None` where nothing signed tells.
    pub signed: Option<Right>,
    /// Whose value the rules give that were handed to [`diff`]; `None` where they cannot tell.
    pub here: Option<Right>,
}

/// One of two recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

/// Which of two recordings agrees with something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// The first.
    A,
    /// The second.
    B,
    /// Both: the author signed two headers.
    Both,
    /// None of them.
    Neither,
}

/// Recordings that cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// Other rules than the match's.
    #[error("the match is not of these rules; compare with the game, version, parameters and fee that it names")]
    OtherRules,
    /// The terms do not start these rules.
    #[error(transparent)]
    Start(#[from] ChannelError),
    /// Positions of turns that are not there.
    #[error("recording {side:?} has {positions} positions, but {turns} turns: it was not made by a client")]
    Positions {
        /// Which one.
        side: Side,
        /// How many positions.
        positions: usize,
        /// How many turns.
        turns: usize,
    },
}

/// Compares two recordings of one match, turn by turn: headers and moves, then what each client computed from them.
///
/// # Errors
/// Not of these rules, or no recordings that a client makes.
pub fn diff(a: &Recording, b: &Recording, rules: &Arc<dyn Rules>) -> Result<Comparison, DiffError> {
    for (side, recording) in [(Side::A, a), (Side::B, b)] {
        let (positions, turns) = (recording.computed.len(), recording.transcript.turns.len());
        if positions == 0 || positions > turns + 1 {
            return Err(DiffError::Positions { side, positions, turns });
        }
    }
    let turns = [a, b].map(|recording| recording.transcript.turns.len() as u32);
    if let Some(Difference { path, a, b }) = agreed_on(a, b) {
        let divergence = Divergence { turn: 0, author: None, field: path, a, b, signed: None, here: None };
        return Ok(Comparison { turns, divergence: Some(divergence) });
    }
    if a.transcript.terms.rules != rules.id() {
        return Err(DiffError::OtherRules);
    }
    let longer = if turns[0] >= turns[1] { a } else { b };
    let here = computed(&longer.transcript.terms, &longer.transcript.turns, &**rules)?;
    let pair = Pair { a, b, rules: &**rules, here };
    let last = turns[0].max(turns[1]) + 1;
    let divergence = (0..=last).find_map(|turn| pair.at(turn));
    Ok(Comparison { turns, divergence })
}

/// The first difference in what comes before every turn.
fn agreed_on(a: &Recording, b: &Recording) -> Option<Difference> {
    #[derive(Serialize)]
    struct Agreed<'a> {
        domain: &'a abi::Domain,
        operator: alloy_primitives::Address,
        terms: &'a abi::MatchTerms,
        players: &'a [crate::account::Player],
    }
    let [a, b] = [a, b].map(|recording| {
        let transcript = &recording.transcript;
        let (domain, terms, players) = (&transcript.domain, &transcript.terms, &transcript.players[..]);
        describe(&Agreed { domain, operator: transcript.operator, terms, players })
    });
    a.ok()?.difference(&b.ok()?)
}

/// Two recordings of one match.
struct Pair<'a> {
    a: &'a Recording,
    b: &'a Recording,
    rules: &'a dyn Rules,
    here: Vec<Placed>,
}

impl Pair<'_> {
    /// The first difference at a turn.
    fn at(&self, turn: u32) -> Option<Divergence> {
        let author = turn.checked_sub(1).and_then(|before| self.a.computed.get(before as usize)?.mover);
        let parted = |(difference, signed, here): (Difference, Option<Right>, Option<Right>)| {
            let Difference { path: field, a, b } = difference;
            Divergence { turn, author, field, a, b, signed, here }
        };
        if turn == 0 {
            let start = self.a.transcript.terms.start;
            let signed = |placed: &Placed| State::start(placed).start_commitment() == start;
            return self.computed(0, signed).map(parted);
        }
        let (a, b) = (held(self.a, turn)?, held(self.b, turn)?);
        self.headers(a, b, author)
            .or_else(|| self.moves(a, b))
            .or_else(|| self.computed(turn, |placed| signed_for(&a.state, placed)))
            .or_else(|| self.refused(turn))
            .map(parted)
    }

    fn headers(&self, a: &Turn, b: &Turn, author: Option<Seat>) -> Option<Parted> {
        if a.state == b.state {
            return None;
        }
        let transcript = &self.a.transcript;
        let id = transcript.terms.id(&transcript.domain);
        let key = author.and_then(|seat| transcript.players.get(seat.index())).map(|player| player.key);
        let signed = |turn: &Turn| {
            let digest = transcript.domain.digest(turn.state.hash(id).0);
            key.is_some_and(|key| sign::verify(digest, &turn.signature, key).is_ok())
        };
        let signed = Some(right(signed(a), signed(b)));
        if a.state.action != b.state.action
            && let Some((difference, ..)) = self.moves(a, b)
        {
            return Some((difference, signed, None));
        }
        let mut difference = describe(&a.state).ok()?.difference(&describe(&b.state).ok()?)?;
        difference.path = format!("header.{}", difference.path.replacen("action", "move", 1));
        Some((difference, signed, None))
    }

    fn moves(&self, a: &Turn, b: &Turn) -> Option<Parted> {
        if a.action == b.action {
            return None;
        }
        let described = [a, b].map(|turn| self.rules.describe_action(&turn.action).ok());
        let difference = match &described {
            [Some(a), Some(b)] => a.difference(b),
            _ => None,
        };
        let mut difference = difference.unwrap_or_else(|| bytes(&a.action, &b.action));
        difference.path = under("move", &difference.path);
        // Both headers name a move by its hash.
        let named = |turn: &Turn| keccak256(&turn.action) == a.state.action;
        Some((difference, Some(right(named(a), named(b))), None))
    }

    /// What each client computed for a turn that both have.
    fn computed(&self, turn: u32, signed: impl Fn(&Placed) -> bool) -> Option<Parted> {
        let at = turn as usize;
        let (a, b, here) = (self.a.computed.get(at), self.b.computed.get(at), self.here.get(at));
        let (a, b) = match (a, b) {
            (Some(a), Some(b)) if a == b => return None,
            (Some(a), Some(b)) => (a, b),
            (None, None) => return None,
            // Only one of them takes the move for legal; its author signed it as such.
            (a, b) => {
                let [a_says, b_says] = [(a, self.a), (b, self.b)].map(|(placed, side)| match placed {
                    Some(_) => "yes".into(),
                    None => side.refused.as_ref().map_or("no".into(), |evidence| format!("no: {}", evidence.fault)),
                });
                let difference = Difference { path: "legal".into(), a: a_says, b: b_says };
                let yes = |side: Option<&Placed>| side.is_some() == here.is_some();
                return Some((difference, Some(right(a.is_some(), b.is_some())), Some(right(yes(a), yes(b)))));
            }
        };
        let difference = if a.position != b.position {
            let described = [a, b].map(|placed| self.rules.describe(&placed.position).ok());
            let difference = match &described {
                [Some(a), Some(b)] => a.difference(b),
                _ => None,
            };
            // A board that these rules cannot read.
            difference.unwrap_or_else(|| {
                let Difference { path, a, b } = bytes(&a.position, &b.position);
                Difference { path: under("position", &path), a, b }
            })
        } else if a.mover != b.mover {
            let name = |mover: Option<Seat>| mover.map_or("over".into(), |seat| seat.to_string());
            Difference { path: "mover".into(), a: name(a.mover), b: name(b.mover) }
        } else {
            let mut difference = describe(&a.payouts).ok()?.difference(&describe(&b.payouts).ok()?)?;
            difference.path = under("payouts", &difference.path);
            difference
        };
        let here = here.map(|here| right(here == a, here == b));
        Some((difference, Some(right(signed(a), signed(b))), here))
    }

    /// One refused the turn, though both compute the same from it.
    fn refused(&self, turn: u32) -> Option<Parted> {
        let [a, b] = [self.a, self.b].map(|recording| {
            let refused = recording.refused.as_ref().filter(|evidence| evidence.turn.state.turn == turn);
            refused.map_or("yes".into(), |evidence| format!("no: {}", evidence.fault))
        });
        (a != b).then(|| (Difference { path: "accepted".into(), a, b }, None, None))
    }
}

/// A difference, whose side of it the author signed, and whose side the rules at hand take.
type Parted = (Difference, Option<Right>, Option<Right>);

/// The turn of a recording, refused ones included.
fn held(recording: &Recording, turn: u32) -> Option<&Turn> {
    let refused = || recording.refused.as_ref().map(|evidence| &evidence.turn).filter(|held| held.state.turn == turn);
    recording.transcript.turns.get(turn as usize - 1).or_else(refused)
}

fn signed_for(state: &State, placed: &Placed) -> bool {
    state.board == placed.commitment() && state.mover() == placed.mover && state.payouts == placed.payouts
}

fn right(a: bool, b: bool) -> Right {
    match (a, b) {
        (true, true) => Right::Both,
        (true, false) => Right::A,
        (false, true) => Right::B,
        (false, false) => Right::Neither,
    }
}

fn under(name: &str, path: &str) -> String {
    match path {
        "" => name.into(),
        path if path.starts_with('[') => format!("{name}{path}"),
        path => format!("{name}.{path}"),
    }
}

/// Where bytes differ that nothing can describe.
fn bytes(a: &[u8], b: &[u8]) -> Difference {
    let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
    let shown = |bytes: &[u8]| bytes.get(at).map_or("the end".into(), |byte| format!("{byte:#04x}"));
    Difference { path: format!("bytes[{at}]"), a: shown(a), b: shown(b) }
}

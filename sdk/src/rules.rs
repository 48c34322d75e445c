//! The protocol's side of a game: positions and actions as bytes, the same for every game.
//!
//! A [`Position`] wraps the developer's board with what the protocol needs to go on from it alone: the pot and the
//! state of chance. An [`Action`] is one turn: a player's move, or the reveal of a link. [`Rules`] is the object-safe form
//! that channels, servers and judges work with; every [`Game`] has it.

mod read;
mod turn;

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::ops::RangeInclusive;

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    chance::{Chance, Link},
    describe::{Tree, describe},
    game::{Amount, BasisPoints, Game, Pot, Seat},
};

use read::Acted;
pub(crate) use turn::is_canonical;
pub use turn::judge;

/// Largest encoded position, in bytes.
pub const MAX_POSITION: usize = 32 * 1024;
/// Largest encoded action, in bytes.
pub const MAX_ACTION: usize = 8 * 1024;

/// Id of exact rules: game, version, parameters and fee (R4.3). BLAKE3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RulesId(pub B256);

/// A position as the protocol sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position<B> {
    pot: Pot,
    chance: Chance,
    board: B,
}

/// One turn of a match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// A player's move, encoded; with a link exactly where it leads to a roll.
    Play {
        /// The game's move.
        play: Vec<u8>,
        /// The chooser's fresh link.
        link: Option<Link>,
    },
    /// Another seat's link for the roll under way.
    Reveal(Link),
}

impl Action {
    /// As signed and sent.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("an action always encodes")
    }
}

/// A position, and what it means to the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The encoded [`Position`].
    pub position: Vec<u8>,
    /// Who acts next; `None` when the match is over.
    pub mover: Option<Seat>,
    /// Whether the mover owes a link and not a move.
    pub reveal: bool,
    /// The result, or what everyone gets should the mover never act (R4.7).
    pub payouts: Vec<Amount>,
}

impl Placed {
    /// What a state commits to (R4.6).
    pub fn commitment(&self) -> B256 {
        keccak256(&self.position)
    }
}

/// Rules over bytes.
pub trait Rules: Send + Sync + core::fmt::Debug {
    /// Which rules exactly.
    fn id(&self) -> RulesId;
    /// The game's name.
    fn name(&self) -> &'static str;
    /// How many can play.
    fn seats(&self) -> RangeInclusive<usize>;
    /// The longest match (R5.12).
    fn max_turns(&self) -> u32;
    /// Whether seats need a hash chain.
    fn chance(&self) -> bool;
    /// The operator's share of a decided pot.
    fn fee(&self) -> BasisPoints;

    /// Position 0.
    ///
    /// # Errors
    /// Stakes or anchors that do not fit these rules.
    fn start(&self, stakes: &[Amount], anchors: &[Link]) -> Result<Placed, RulesError>;

    /// Makes a player's move into an action; `link` is asked for the seat's fresh link where the move leads to a roll.
    ///
    /// # Errors
    /// As [`apply`](Rules::apply).
    fn compose(
        &self,
        position: &[u8],
        seat: Seat,
        play: Vec<u8>,
        link: &dyn Fn(&Link) -> Option<Link>,
    ) -> Result<(Action, Placed), RulesError>;

    /// The seat's link that is due on this position, as an action.
    ///
    /// # Errors
    /// None is due from this seat, or the chain does not have it.
    fn reveal(
        &self,
        position: &[u8],
        seat: Seat,
        link: &dyn Fn(&Link) -> Option<Link>,
    ) -> Result<(Action, Placed), RulesError>;

    /// The position after `seat`'s action.
    ///
    /// # Errors
    /// The action is not legal here, or not even an action.
    fn apply(&self, position: &[u8], seat: Seat, action: &[u8]) -> Result<Placed, RulesError>;

    /// The position again, from its bytes.
    ///
    /// # Errors
    /// The bytes are no canonical position of this game.
    fn place(&self, position: &[u8]) -> Result<Placed, RulesError>;

    /// A position as a tree of named fields: `pot`, `chance`, `board`.
    ///
    /// # Errors
    /// The bytes are no canonical position of this game.
    fn describe(&self, position: &[u8]) -> Result<Tree, RulesError>;

    /// An action as a tree: the game's move with a link where it leads to a roll, or a link alone.
    ///
    /// # Errors
    /// The bytes are no canonical action of this game.
    fn describe_action(&self, action: &[u8]) -> Result<Tree, RulesError>;
}

/// Why an action is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// Another seat is to act.
    #[error("{seat} acted, but {mover} is to act")]
    NotYourTurn {
        /// Who acted.
        seat: Seat,
        /// Who is to.
        mover: Seat,
    },
    /// The match has ended.
    #[error("the match is over")]
    Over,
    /// The game says no. Downcast to the game's own error for the reason.
    #[error("illegal move: {0}")]
    Illegal(#[source] Box<dyn core::error::Error + Send + Sync>),
    /// A link is due, and a move came; or the other way round.
    #[error("a roll is under way: a link is due, no move")]
    LinkDue,
    /// There is no roll to give a link for.
    #[error("no roll is under way: a move is due, no link")]
    NoLinkDue,
    /// The link is missing, superfluous or not the next of the seat's chain.
    #[error("the link does not follow {seat}'s newest one")]
    WrongLink {
        /// Whose link.
        seat: Seat,
    },
    /// Bytes that are no action or position, or not the canonical ones.
    #[error("not a canonical {what}")]
    Undecodable {
        /// What it should have been.
        what: &'static str,
    },
    /// Too many bytes.
    #[error("{what} of {size} bytes; at most {limit} fit")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Stakes that are no pot.
    #[error(transparent)]
    Pot(#[from] crate::game::PotError),
    /// Not a number of players of this game.
    #[error("{game} is not played by {seats}")]
    Seats {
        /// The game.
        game: &'static str,
        /// How many wanted to play it.
        seats: usize,
    },
    /// The game's own code breaks its contract; the developer has to mend it.
    #[error("the rules of {game} are broken: {why}")]
    Broken {
        /// The game.
        game: &'static str,
        /// What they do.
        why: &'static str,
    },
}

/// A game with the operator's fee: what a match is agreed on.
#[derive(Clone, Debug)]
pub struct GameRules<G> {
    game: G,
    fee: BasisPoints,
    id: RulesId,
}

impl<G: Game> GameRules<G> {
    /// The rules of `game` at this fee.
    pub fn new(game: G, fee: BasisPoints) -> GameRules<G> {
        let parameters = postcard::to_allocvec(&game).expect("a game's parameters always encode");
        let mut hash = blake3::Hasher::new();
        hash.update(b"matchlock rules 1\0");
        for part in [G::NAME.as_bytes(), &G::VERSION.to_le_bytes(), &parameters, &fee.points().to_le_bytes()] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        GameRules { game, fee, id: RulesId(B256::from(*hash.finalize().as_bytes())) }
    }

    /// The same, to be shared.
    pub fn shared(game: G, fee: BasisPoints) -> Arc<dyn Rules> {
        Arc::new(GameRules::new(game, fee))
    }

    /// The game itself.
    pub fn game(&self) -> &G {
        &self.game
    }
}

impl<G: Game> Rules for GameRules<G> {
    fn id(&self) -> RulesId {
        self.id
    }

    fn name(&self) -> &'static str {
        G::NAME
    }

    fn seats(&self) -> RangeInclusive<usize> {
        self.game.seats()
    }

    fn max_turns(&self) -> u32 {
        self.game.max_turns()
    }

    fn chance(&self) -> bool {
        G::CHANCE
    }

    fn fee(&self) -> BasisPoints {
        self.fee
    }

    fn start(&self, stakes: &[Amount], anchors: &[Link]) -> Result<Placed, RulesError> {
        if !self.game.seats().contains(&stakes.len()) || stakes.len() != anchors.len() {
            return Err(RulesError::Seats { game: G::NAME, seats: stakes.len() });
        }
        let pot = Pot::new(stakes.to_vec(), self.fee)?;
        let chance = if G::CHANCE { Chance::new(anchors) } else { Chance::default() };
        let board = self.game.start(stakes.len());
        let encoded = postcard::to_allocvec(&pot).map_err(|_| RulesError::Undecodable { what: "position" })?;
        turn::settle(&self.game, turn::opened(Position { pot, chance, board }, &encoded))
    }

    fn compose(
        &self,
        position: &[u8],
        seat: Seat,
        play: Vec<u8>,
        link: &dyn Fn(&Link) -> Option<Link>,
    ) -> Result<(Action, Placed), RulesError> {
        let opened = turn::open::<G, RulesError>(position)?;
        turn::expect::<_, RulesError>(&self.game, &opened.position, seat, false)?;
        let rolls = G::CHANCE && turn::played::<_, RulesError>(&self.game, &opened.position, seat, &play)?.1;
        let link = rolls.then(|| next_link(&opened.position.chance, seat, link)).transpose()?;
        let action = Action::Play { play, link };
        let placed = turn::advance::<_, RulesError>(&self.game, opened, seat, Acted::from(&action))?;
        Ok((action, placed))
    }

    fn reveal(
        &self,
        position: &[u8],
        seat: Seat,
        link: &dyn Fn(&Link) -> Option<Link>,
    ) -> Result<(Action, Placed), RulesError> {
        let opened = turn::open::<G, RulesError>(position)?;
        let action = Action::Reveal(next_link(&opened.position.chance, seat, link)?);
        let placed = turn::advance::<_, RulesError>(&self.game, opened, seat, Acted::from(&action))?;
        Ok((action, placed))
    }

    fn apply(&self, position: &[u8], seat: Seat, action: &[u8]) -> Result<Placed, RulesError> {
        turn::apply(&self.game, position, seat, action)
    }

    fn place(&self, position: &[u8]) -> Result<Placed, RulesError> {
        let placed = turn::settle::<_, RulesError>(&self.game, turn::open::<G, RulesError>(position)?)?;
        // Settling begins a roll that is due; a position that waits for that is not one of ours.
        if placed.position != position { Err(RulesError::Undecodable { what: "position" }) } else { Ok(placed) }
    }

    fn describe(&self, position: &[u8]) -> Result<Tree, RulesError> {
        let opened = turn::open::<G, RulesError>(position)?;
        describe(&opened.position).map_err(|_| RulesError::Undecodable { what: "position" })
    }

    fn describe_action(&self, action: &[u8]) -> Result<Tree, RulesError> {
        let described = match decode(action, "action", MAX_ACTION)? {
            Action::Reveal(link) => describe(&ShownAction::<G::Move>::Link(link)),
            Action::Play { play, link } => {
                let play: G::Move = decode(&play, "move", MAX_ACTION)?;
                match link {
                    None => describe(&play),
                    Some(link) => describe(&ShownAction::Rolls { play, link }),
                }
            }
        };
        described.map_err(|_| RulesError::Undecodable { what: "action" })
    }
}

/// An action with its move decoded, to be described.
#[derive(Serialize)]
enum ShownAction<M> {
    Link(Link),
    Rolls { play: M, link: Link },
}

fn next_link(chance: &Chance, seat: Seat, link: &dyn Fn(&Link) -> Option<Link>) -> Result<Link, RulesError> {
    chance.tip(seat).and_then(link).ok_or(RulesError::WrongLink { seat })
}

/// The board inside an encoded position.
///
/// # Errors
/// The bytes are no canonical position with such a board.
pub fn board<B: Serialize + DeserializeOwned>(position: &[u8]) -> Result<B, RulesError> {
    decode::<Position<B>>(position, "position", MAX_POSITION).map(|position| position.board)
}

/// Decodes, and refuses any bytes but the canonical ones: two encodings of one value would be two commitments.
pub(crate) fn decode<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    what: &'static str,
    limit: usize,
) -> Result<T, RulesError> {
    turn::decode(bytes, what, limit)
}

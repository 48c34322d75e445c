//! A match on one machine: hot-seat play, bots, tests. The same rules, positions and dice as online; nothing is signed.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use alloy_primitives::{B256, keccak256};

use crate::{
    chance::LinkChain,
    game::{Amount, Game, Roll, Seat},
    rules::{self, Action, GameRules, Placed, Rules, RulesError},
};

/// A player by program.
pub trait Bot<G: Game>: Send {
    /// The move to make. Only asked when `seat` is to act; a bot keeps its own secrets between calls.
    fn choose(&mut self, board: &G::Board, seat: Seat) -> G::Move;
}

impl<G: Game> Bot<G> for Box<dyn Bot<G>> {
    fn choose(&mut self, board: &G::Board, seat: Seat) -> G::Move {
        (**self).choose(board, seat)
    }
}

/// Deterministic numbers for bots and tests, from a seed.
///
/// Not for secrets: whoever knows the seed knows every number.
#[derive(Clone, Debug)]
pub struct Dice {
    roll: Roll,
    thrown: u32,
}

impl Dice {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Dice {
        Dice { roll: Roll(keccak256(seed.to_be_bytes()).0), thrown: 0 }
    }

    /// A number in `0..sides`.
    ///
    /// # Panics
    /// If `sides` is 0.
    pub fn below(&mut self, sides: u32) -> u32 {
        self.thrown = self.thrown.wrapping_add(1);
        self.roll.below(self.thrown, sides)
    }

    /// One of these.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u32) as usize]
    }

    /// 32 bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        self.thrown = self.thrown.wrapping_add(1);
        let mut preimage = [0u8; 36];
        preimage[..32].copy_from_slice(&self.roll.0);
        preimage[32..].copy_from_slice(&self.thrown.to_be_bytes());
        keccak256(preimage).0
    }
}

/// A match whose seats all sit at this machine.
///
/// ```
/// # use matchlock::doc::TicTacToe;
/// use matchlock::{game::{Amount, Seat}, local::Local};
/// let mut table = Local::new(TicTacToe, &[Amount::from_u64(100); 2], 7)?;
/// table.play(Seat(0), &4)?;
/// assert_eq!(table.mover(), Some(Seat(1)));
/// # Ok::<(), matchlock::rules::RulesError>(())
/// ```
#[derive(Clone)]
pub struct Local<G: Game> {
    rules: Arc<GameRules<G>>,
    chains: Arc<[LinkChain]>,
    placed: Placed,
    turn: u32,
}

impl<G: Game> Local<G> {
    /// A table with a seat for each stake; `seed` feeds the dice.
    ///
    /// # Errors
    /// Stakes that do not fit the game, or rules that break their contract.
    pub fn new(game: G, stakes: &[Amount], seed: u64) -> Result<Local<G>, RulesError> {
        let rules = Arc::new(GameRules::new(game, Default::default()));
        let mut dice = Dice::new(seed);
        // A roll takes a turn of every seat, and there are at least two.
        let length = if G::CHANCE { rules.max_turns() / 2 + 1 } else { 0 };
        let chains: Arc<[_]> = stakes.iter().map(|_| LinkChain::new(B256::from(dice.bytes()), length)).collect();
        let anchors: Vec<_> = chains.iter().map(LinkChain::anchor).collect();
        let placed = rules.start(stakes, &anchors)?;
        let mut local = Local { rules, chains, placed, turn: 0 };
        local.reveal_all()?;
        Ok(local)
    }

    /// Makes a move, and rolls where it leads to a roll.
    ///
    /// # Errors
    /// The move is not legal; nothing has changed.
    pub fn play(&mut self, seat: Seat, action: &G::Move) -> Result<(), RulesError> {
        let play = postcard::to_allocvec(action).map_err(|_| RulesError::Undecodable { what: "move" })?;
        let chain =
            self.chains.get(seat.index()).ok_or(RulesError::Seats { game: G::NAME, seats: seat.index() + 1 })?;
        let (_, placed) = self.rules.compose(&self.placed.position, seat, play, &|tip| chain.after(tip))?;
        let mut after = Local { placed, turn: self.turn + 1, ..self.clone() };
        after.reveal_all()?;
        *self = after;
        Ok(())
    }

    /// Lets bots play to the end.
    ///
    /// # Errors
    /// A bot made an illegal move.
    pub fn play_out(&mut self, bots: &mut [Box<dyn Bot<G>>]) -> Result<(), RulesError> {
        while let Some(seat) = self.mover() {
            let action = bots[seat.index()].choose(&self.board()?, seat);
            self.play(seat, &action)?;
        }
        Ok(())
    }

    /// The board now.
    ///
    /// # Errors
    /// Only if the game's encoding does not round-trip.
    pub fn board(&self) -> Result<G::Board, RulesError> {
        rules::board(&self.placed.position)
    }

    /// Who is to move; `None` when the match is over.
    pub fn mover(&self) -> Option<Seat> {
        self.placed.mover
    }

    /// The result, or what everyone gets should the mover never act.
    pub fn payouts(&self) -> &[Amount] {
        &self.placed.payouts
    }

    /// Turns so far, reveals included.
    pub fn turn(&self) -> u32 {
        self.turn
    }

    /// The position as online play would carry it.
    pub fn placed(&self) -> &Placed {
        &self.placed
    }

    /// The rules in their protocol form.
    pub fn rules(&self) -> &GameRules<G> {
        &self.rules
    }

    /// The action that [`play`](Local::play) would make of this move.
    ///
    /// # Errors
    /// The move is not legal.
    pub fn compose(&self, seat: Seat, action: &G::Move) -> Result<(Action, Placed), RulesError> {
        let play = postcard::to_allocvec(action).map_err(|_| RulesError::Undecodable { what: "move" })?;
        self.rules.compose(&self.placed.position, seat, play, &|tip| self.chains[seat.index()].after(tip))
    }

    fn reveal_all(&mut self) -> Result<(), RulesError> {
        while let (Some(seat), true) = (self.placed.mover, self.placed.reveal) {
            if self.turn >= self.rules.max_turns() {
                return Err(RulesError::Broken { game: G::NAME, why: "a match outlasts max_turns" });
            }
            let chain = &self.chains[seat.index()];
            self.placed = self.rules.reveal(&self.placed.position, seat, &|tip| chain.after(tip))?.1;
            self.turn += 1;
        }
        Ok(())
    }
}

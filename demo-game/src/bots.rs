//! Bots by name: players that see only bytes, so that one driver plays every game.

use alloc::{boxed::Box, vec::Vec};
use core::marker::PhantomData;

use matchlock::{
    game::{Game, Seat},
    local::Bot,
    rules::{self, RulesError},
};

use crate::{
    broadside::{Broadside, Captain},
    connectfour::{ConnectFour, Stacker},
    pig::{Pig, Roller},
    tictactoe::{Noughts, TicTacToe},
};

/// How well a bot plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strength {
    /// At random.
    Easy,
    /// By a rule of thumb.
    #[default]
    Fair,
    /// As well as it can.
    Strong,
}

impl Strength {
    /// From weak to strong.
    pub const ALL: [Strength; 3] = [Strength::Easy, Strength::Fair, Strength::Strong];
}

/// A bot for a game known only at run time: positions and moves are bytes, as [`Rules`](matchlock::rules::Rules) has
/// them. It sits in one match at one seat and keeps its own secrets.
pub trait Player: Send {
    /// The encoded move to make on this encoded position. Only asked when `seat` is to move, and not when it owes a link.
    ///
    /// # Errors
    /// The bytes are no position of this player's game.
    fn choose(&mut self, position: &[u8], seat: Seat) -> Result<Vec<u8>, RulesError>;
}

/// A typed bot as a [`Player`].
pub fn seated<G: Game>(bot: impl Bot<G> + 'static) -> Box<dyn Player> {
    Box::new(Seated { bot, game: PhantomData::<fn() -> G> })
}

/// A bot for the demo game of this name, or `None` if there is no such game. `seed` gives all its choices and secrets;
/// seats with one seed still differ.
pub fn player(game: &str, strength: Strength, seat: Seat, seed: u64) -> Option<Box<dyn Player>> {
    let seed = seed.wrapping_mul(matchlock::game::MAX_SEATS as u64).wrapping_add(u64::from(seat.0));
    match game {
        TicTacToe::NAME => Some(seated::<TicTacToe>(Noughts::new(strength, seed))),
        Broadside::NAME => Some(seated::<Broadside>(Captain::new(strength, seed))),
        ConnectFour::NAME => Some(seated::<ConnectFour>(Stacker::new(strength, seed))),
        Pig::NAME => Some(seated::<Pig>(Roller::new(Pig::default(), strength, seed))),
        _ => None,
    }
}

struct Seated<G, B> {
    bot: B,
    game: PhantomData<fn() -> G>,
}

impl<G: Game, B: Bot<G>> Player for Seated<G, B> {
    fn choose(&mut self, position: &[u8], seat: Seat) -> Result<Vec<u8>, RulesError> {
        let action = self.bot.choose(&rules::board(position)?, seat);
        postcard::to_allocvec(&action).map_err(|_| RulesError::Undecodable { what: "move" })
    }
}

#[cfg(test)]
mod tests {
    use matchlock::{
        chance::LinkChain,
        game::{Amount, BasisPoints, Pot},
        local::Dice,
        rules::Rules,
    };

    use super::*;

    /// Plays one match as a driver would: from names and bytes alone. The payouts and the turns it took.
    fn played(rules: &dyn Rules, pot: &Pot, strength: Strength, seed: u64) -> (Vec<Amount>, u32) {
        let mut dice = Dice::new(seed);
        let links = if rules.chance() { rules.max_turns() / 2 } else { 0 };
        let chains: Vec<_> = pot.stakes().iter().map(|_| LinkChain::new(dice.bytes().into(), links)).collect();
        let anchors: Vec<_> = chains.iter().map(LinkChain::anchor).collect();
        let mut players: Vec<_> =
            (0..pot.seats() as u8).map(|i| player(rules.name(), strength, Seat(i), seed).unwrap()).collect();
        let mut placed = rules.start(pot.stakes(), &anchors).unwrap();
        let mut turns = 0;
        while let Some(seat) = placed.mover {
            let link = |tip: &_| chains[seat.index()].after(tip);
            placed = if placed.reveal {
                rules.reveal(&placed.position, seat, &link).unwrap().1
            } else {
                let play = players[seat.index()].choose(&placed.position, seat).unwrap();
                rules.compose(&placed.position, seat, play, &link).unwrap().1
            };
            turns += 1;
        }
        (placed.payouts, turns)
    }

    #[test]
    fn every_match_ends_and_pays_the_pot() {
        let fee = BasisPoints::new(250).unwrap();
        for rules in crate::games(fee) {
            for seats in rules.seats() {
                let stakes = (0..seats as u64).map(|i| Amount::from_u64(1_000_003 + i)).collect();
                let pot = Pot::new(stakes, fee).unwrap();
                for (strength, seed) in Strength::ALL.into_iter().flat_map(|s| (0..8).map(move |seed| (s, seed))) {
                    let (payouts, turns) = played(&*rules, &pot, strength, seed);
                    let drawn = payouts == pot.stakes();
                    let due = if drawn { pot.total() } else { pot.prize() };
                    let name = rules.name();
                    assert_eq!(Amount::total(&payouts), Some(due), "{name}, {seats} seats, {strength:?}, seed {seed}");
                    assert!(turns <= rules.max_turns(), "{name}, {seats} seats, {strength:?}, seed {seed}");
                }
            }
        }
    }

    #[test]
    fn games_have_distinct_names_and_ids() {
        let games = crate::games(BasisPoints::ZERO);
        assert_eq!(
            games.iter().map(|rules| rules.name()).collect::<Vec<_>>(),
            ["tictactoe", "broadside", "pig", "connectfour"]
        );
        for (i, rules) in games.iter().enumerate() {
            assert!(games[..i].iter().all(|other| other.id() != rules.id()));
        }
    }

    #[test]
    fn an_unknown_game_has_no_player() {
        assert!(player("chess", Strength::Fair, Seat(0), 1).is_none());
    }

    #[test]
    fn another_games_position_is_refused() {
        let games = crate::games(BasisPoints::ZERO);
        let pig = games[2].start(&[Amount::from_u64(5); 2], &[Default::default(); 2]).unwrap();
        let mut noughts = player("tictactoe", Strength::Fair, Seat(0), 1).unwrap();
        assert!(matches!(noughts.choose(&pig.position, Seat(0)), Err(RulesError::Undecodable { .. })));
        assert!(matches!(noughts.choose(&[], Seat(0)), Err(RulesError::Undecodable { .. })));
    }
}

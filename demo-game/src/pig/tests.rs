//! Every rule of Pig, and everything a cheat may try with its dice.

use alloc::{boxed::Box, vec::Vec};

use matchlock::{
    budget::{Limits, budget},
    chance::{Link, LinkChain},
    check::check,
    game::{Amount, BasisPoints, Game, Next, Outcome, Pot, Roll, Seat},
    local::{Bot, Dice, Local},
    rules::{Action, GameRules, Placed, Rules, RulesError},
};

use super::*;
use crate::bots::Strength;

fn pot(seats: usize) -> Pot {
    Pot::new((1..=seats as u64).map(|i| Amount::from_u64(100 * i)).collect(), BasisPoints::ZERO).unwrap()
}

/// A roll that shows this.
fn showing(die: u8) -> Roll {
    let mut dice = Dice::new(u64::from(die));
    loop {
        let roll = Roll(dice.bytes());
        if roll.below(0, u32::from(SIDES)) + 1 == u32::from(die) {
            return roll;
        }
    }
}

/// The mover rolls, and the die shows this.
fn rolled(game: &Pig, board: &Board, die: u8) -> Board {
    let board = game.play(board, board.mover, &Move::Roll).unwrap();
    assert_eq!(game.next(&board, &pot(board.scores.len())), Next::Roll);
    game.roll(&board, showing(die))
}

fn held(game: &Pig, board: &Board) -> Board {
    game.play(board, board.mover, &Move::Hold).unwrap()
}

fn outcome(game: &Pig, board: &Board) -> Option<Outcome> {
    match game.next(board, &pot(board.scores.len())) {
        Next::Over(outcome) => Some(outcome),
        _ => None,
    }
}

#[test]
fn the_rules_are_sound() {
    let small = Pig::new(20, 3, 3).unwrap();
    for strength in Strength::ALL {
        for (game, seeds) in [(Pig::default(), 0..15), (small, 0..80)] {
            let report = check(&game, seeds, |seat, seed| {
                Box::new(Roller::new(game, strength, seed * 8 + u64::from(seat.0))) as Box<dyn Bot<_>>
            });
            println!("{strength:?}, {game:?}: {:?}", report.unwrap());
        }
    }
}

#[test]
fn a_dispute_stays_within_its_budget() {
    let game = Pig::default();
    let bot = |seat: Seat, seed: u64| {
        Box::new(Roller::new(game, Strength::Fair, seed * 8 + u64::from(seat.0))) as Box<dyn Bot<Pig>>
    };
    let limits = Limits { calldata: 13_000, gas: 300_000, griefing: 260, ..Limits::default() };
    println!("{}", budget(&game, 0..4, bot, &limits).unwrap_or_else(|error| panic!("{error}")));
}

#[test]
fn a_roll_is_piled_and_a_hold_banks_it() {
    let game = Pig::default();
    let board = rolled(&game, &rolled(&game, &game.start(2), 6), 3);
    assert_eq!((board.mover, board.pile, board.rolls, board.die), (Seat(0), 9, 2, 3));
    let board = held(&game, &board);
    assert_eq!((board.mover, board.pile, board.rolls, board.scores.clone()), (Seat(1), 0, 0, vec![9, 0]));
    assert_eq!(board.round, 0);
    assert_eq!(held(&game, &rolled(&game, &board, 2)).round, 1);
}

#[test]
fn a_one_loses_the_pile_and_the_turn() {
    let game = Pig::default();
    let board = rolled(&game, &rolled(&game, &game.start(3), 6), 1);
    assert_eq!((board.mover, board.pile, board.rolls, board.die), (Seat(1), 0, 0, 1));
    assert_eq!(board.scores, [0, 0, 0]);
}

#[test]
fn nothing_can_be_held_before_the_first_roll() {
    let game = Pig::default();
    assert_eq!(game.play(&game.start(2), Seat(0), &Move::Hold), Err(Illegal::NothingToHold));
    let board = held(&game, &rolled(&game, &game.start(2), 4));
    assert_eq!(game.play(&board, Seat(1), &Move::Hold), Err(Illegal::NothingToHold));
}

#[test]
fn reaching_the_target_wins_at_once() {
    let game = Pig::new(10, 5, 5).unwrap();
    let board = rolled(&game, &rolled(&game, &game.start(3), 1), 6);
    assert_eq!(outcome(&game, &board), None);
    let board = rolled(&game, &board, 4);
    assert_eq!(board.scores, [0, 10, 0]);
    assert_eq!(outcome(&game, &board), Some(pot(3).winner(Seat(1))));
}

#[test]
fn the_last_roll_of_a_turn_banks() {
    let game = Pig::new(100, 5, 2).unwrap();
    let board = rolled(&game, &rolled(&game, &game.start(2), 5), 6);
    assert_eq!((board.mover, board.scores), (Seat(1), vec![11, 0]));
}

#[test]
fn after_the_last_round_the_leaders_share() {
    let game = Pig::new(100, 1, 1).unwrap();
    let ended = |dice: [u8; 3]| dice.iter().fold(game.start(3), |board, die| rolled(&game, &board, *die));
    assert_eq!(outcome(&game, &ended([2, 6, 5])), Some(pot(3).winner(Seat(1))));
    let shared = pot(3).split(|seat| u32::from(seat != Seat(1)));
    assert_eq!(outcome(&game, &ended([4, 1, 4])), Some(shared));
    let all = pot(3).split(|_| 1);
    assert_eq!(outcome(&game, &ended([1, 1, 1])), Some(all));
}

#[test]
fn the_longest_match_takes_exactly_max_turns() {
    for (game, longest) in [(Pig::new(u16::MAX, 10, 8).unwrap(), 5120), (Pig::new(u16::MAX, 3, 2).unwrap(), 384)] {
        let (mut board, mut turns) = (game.start(8), 0);
        while outcome(&game, &board).is_none() {
            board = rolled(&game, &board, 2);
            turns += 8;
        }
        assert_eq!((turns, game.max_turns()), (longest, longest));
    }
    assert_eq!(Pig::default().max_turns(), 5120);
}

#[test]
fn parameters_are_not_zero() {
    for (target, rounds, rolls) in [(0, 1, 1), (1, 0, 1), (1, 1, 0)] {
        assert_eq!(Pig::new(target, rounds, rolls), Err(ParameterError::Zero));
    }
    let most = Pig::new(u16::MAX, u8::MAX, u8::MAX).unwrap();
    assert_eq!(most.max_turns(), 64 * 255 * 255);
}

#[test]
fn boards_stay_small() {
    let game = Pig::new(u16::MAX, 255, 255).unwrap();
    let board = Board {
        scores: vec![u16::MAX; 8],
        mover: Seat(7),
        round: 255,
        pile: u16::MAX,
        rolls: 255,
        rolling: true,
        die: 6,
    };
    assert!(postcard::to_allocvec(&board).unwrap().len() <= 34);
    // And one that only a stranger would send does not panic.
    let strange = Board { scores: Vec::new(), mover: Seat(255), ..board };
    let _ = (game.roll(&strange, showing(3)), game.roll(&strange, showing(1)), outcome_of_strange(&game, &strange));
}

fn outcome_of_strange(game: &Pig, board: &Board) -> Next {
    game.next(board, &pot(2))
}

#[test]
fn every_face_comes_up_as_often_as_it_should() {
    let mut dice = Dice::new(1);
    let mut faces = [0; SIDES as usize];
    for _ in 0..6000 {
        faces[Roll(dice.bytes()).below(0, u32::from(SIDES)) as usize] += 1;
    }
    // The seed is fixed, so these are too.
    assert_eq!(faces, [983, 1010, 998, 990, 1027, 992]);
}

#[test]
fn strength_and_seat_matter_as_much_as_they_should() {
    let game = Pig::default();
    let wins = |strengths: [Strength; 2]| {
        let mut wins = [0, 0];
        for seed in 0..60 {
            let mut bots =
                [0, 1].map(|i| Box::new(Roller::new(game, strengths[i], seed * 8 + i as u64)) as Box<dyn Bot<Pig>>);
            let mut table = Local::new(game, &[Amount::from_u64(1); 2], seed).unwrap();
            table.play_out(&mut bots).unwrap();
            (0..2).for_each(|i| wins[i] += table.payouts()[i].units());
        }
        wins
    };
    use Strength::{Easy, Fair, Strong};
    // Of 120 units; the seeds are fixed, so these are too.
    let [even, weak, stronger, strong] = [[Fair, Fair], [Easy, Fair], [Fair, Strong], [Strong, Fair]].map(wins);
    println!("fair-fair {even:?}, easy-fair {weak:?}, fair-strong {stronger:?}, strong-fair {strong:?}");
    assert!(even.iter().all(|&won| won >= 48), "the seat hardly matters: {even:?}");
    assert!(weak[0] * 2 < weak[1], "easy loses two of three or more: {weak:?}");
    assert!(
        stronger[1] > stronger[0] && strong[0] > strong[1],
        "strong wins from both seats: {stronger:?}, {strong:?}"
    );
}

/// A table of the protocol's own kind, with everyone's chains in view.
struct Table {
    rules: GameRules<Pig>,
    chains: Vec<LinkChain>,
    placed: Placed,
}

impl Table {
    fn new(seats: u8) -> Table {
        let rules = GameRules::new(Pig::default(), BasisPoints::ZERO);
        let chains: Vec<_> = (1..=seats).map(|i| LinkChain::new(Link::repeat_byte(i), 100)).collect();
        let anchors: Vec<_> = chains.iter().map(LinkChain::anchor).collect();
        let placed = rules.start(&vec![Amount::from_u64(9); usize::from(seats)], &anchors).unwrap();
        Table { rules, chains, placed }
    }

    /// The seat's `n`th link after its anchor.
    fn link(&self, seat: u8, n: u32) -> Link {
        let chain = &self.chains[usize::from(seat)];
        (0..n).fold(chain.anchor(), |link, _| chain.after(&link).unwrap())
    }

    fn apply(&mut self, seat: u8, action: &Action) -> Result<(), RulesError> {
        self.placed = self.rules.apply(&self.placed.position, Seat(seat), &action.encode())?;
        Ok(())
    }

    fn roll_with(link: Option<Link>) -> Action {
        Action::Play { play: postcard::to_allocvec(&Move::Roll).unwrap(), link }
    }

    fn board(&self) -> Board {
        matchlock::rules::board(&self.placed.position).unwrap()
    }
}

#[test]
fn nobody_can_choose_its_part_of_a_roll() {
    let mut table = Table::new(3);
    // The chooser's link travels with the choice: none, a later one, another seat's or a made-up one will not do.
    for link in [None, Some(table.link(0, 0)), Some(table.link(0, 2)), Some(table.link(1, 1)), Some(Link::ZERO)] {
        let error = table.apply(0, &Table::roll_with(link)).unwrap_err();
        assert!(matches!(error, RulesError::WrongLink { seat: Seat(0) }), "{link:?}: {error}");
    }
    table.apply(0, &Table::roll_with(Some(table.link(0, 1)))).unwrap();

    // Nor for those who reveal after it.
    for link in [table.link(1, 0), table.link(1, 2), table.link(0, 1), Link::ZERO] {
        let error = table.apply(1, &Action::Reveal(link)).unwrap_err();
        assert!(matches!(error, RulesError::WrongLink { seat: Seat(1) }), "{link}: {error}");
    }
    assert!(matches!(table.apply(2, &Action::Reveal(table.link(2, 1))), Err(RulesError::NotYourTurn { .. })));
    assert!(matches!(table.apply(1, &Table::roll_with(Some(table.link(1, 1)))), Err(RulesError::LinkDue)));
    table.apply(1, &Action::Reveal(table.link(1, 1))).unwrap();
    assert_eq!(table.board().die, 0, "two of three links are no roll");

    // The last to reveal knows the roll. It can complete it, or forfeit.
    assert_eq!(table.placed.payouts.iter().map(|p| p.units()).collect::<Vec<_>>(), [14, 13, 0]);
    table.apply(2, &Action::Reveal(table.link(2, 1))).unwrap();
    assert_ne!(table.board().die, 0);
}

#[test]
fn a_hold_takes_no_link() {
    // The first seeds' roll must not be a one, so that there is something to hold.
    let mut table = Table::new(2);
    let mut n = 0;
    while table.board().pile == 0 {
        n += 1;
        let (chooser, other) = (table.board().mover.0, table.board().mover.opponent().0);
        table.apply(chooser, &Table::roll_with(Some(table.link(chooser, n)))).unwrap();
        table.apply(other, &Action::Reveal(table.link(other, n))).unwrap();
    }
    let seat = table.board().mover.0;
    let play = postcard::to_allocvec(&Move::Hold).unwrap();
    let linked = Action::Play { play: play.clone(), link: Some(table.link(seat, n + 1)) };
    assert!(matches!(table.apply(seat, &linked), Err(RulesError::WrongLink { .. })));
    assert!(matches!(table.apply(seat, &Action::Reveal(table.link(seat, n + 1))), Err(RulesError::NoLinkDue)));
    table.apply(seat, &Action::Play { play, link: None }).unwrap();
}

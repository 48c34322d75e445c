//! What a judge without reasons says is what the rules say, and what is written by hand is what serde would write.

use matchlock::{
    game::{Amount, BasisPoints, Game, Seat},
    local::{Bot, Dice, Local},
    rules::{Action, GameRules, Placed, Position, Rules, judge},
};
use matchlock_demo::{
    Strength,
    broadside::{Broadside, Captain},
    connectfour::{ConnectFour, Stacker},
    pig::{Pig, Roller},
    tictactoe::{Noughts, TicTacToe},
};

/// Bytes with something wrong, or as they are.
fn damaged(dice: &mut Dice, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = dice.below(bytes.len() as u32) as usize;
    match dice.below(4) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes.truncate(at),
        2 => bytes.insert(at, dice.below(256) as u8),
        _ => {}
    }
    bytes
}

/// Plays matches, and puts every turn before the judge: as it was, damaged, and by the wrong seat.
fn agrees<G: Game, B: Bot<G> + 'static>(game: G, bot: impl Fn(Seat, u64) -> B) {
    let (mut legal, mut refused) = (0, 0);
    for seed in 0..6 {
        let mut dice = Dice::new(seed);
        let stakes = [Amount::from_u64(1_000_003), Amount::from_u64(7)];
        let rules = GameRules::new(game.clone(), BasisPoints::ZERO);
        let mut table = Local::new(game.clone(), &stakes, seed).unwrap();
        let mut bots = [Seat(0), Seat(1)].map(|seat| bot(seat, seed));
        while let Some(seat) = table.mover() {
            let before: Placed = table.placed().clone();
            let decoded: Position<G::Board> = postcard::from_bytes(&before.position).unwrap();
            assert_eq!(postcard::to_allocvec(&decoded).unwrap(), before.position, "seed {seed}");

            let play = bots[seat.index()].choose(&table.board().unwrap(), seat);
            table.play(seat, &play).unwrap();
            let encoded = postcard::to_allocvec(&play).unwrap();
            for _ in 0..8 {
                let action = Action::Play { play: damaged(&mut dice, &encoded), link: None }.encode();
                let action = damaged(&mut dice, &action);
                let seat = if dice.below(8) == 0 { seat.opponent() } else { seat };
                let said = rules.apply(&before.position, seat, &action).ok();
                assert_eq!(judge(&game, &before.position, seat, &action), said, "seed {seed}");
                match said {
                    Some(_) => legal += 1,
                    None => refused += 1,
                }
                let position = damaged(&mut dice, &before.position);
                let said = rules.apply(&position, seat, &action).ok();
                assert_eq!(judge(&game, &position, seat, &action), said, "seed {seed}");
            }
        }
    }
    println!("{}: {legal} legal, {refused} refused", G::NAME);
    assert!(refused > 20);
}

#[test]
fn the_judge_of_tictactoe_says_what_the_rules_say() {
    agrees(TicTacToe, |seat, seed| Noughts::new(Strength::Fair, seed * 2 + u64::from(seat.0)));
}

#[test]
fn the_judge_of_connect_four_says_what_the_rules_say() {
    agrees(ConnectFour, |seat, seed| Stacker::new(Strength::Fair, seed * 2 + u64::from(seat.0)));
}

#[test]
fn the_judge_of_broadside_says_what_the_rules_say() {
    agrees(Broadside, |seat, seed| Captain::new(Strength::Fair, seed * 2 + u64::from(seat.0)));
}

#[test]
fn the_judge_of_pig_says_what_the_rules_say() {
    agrees(Pig::new(20, 3, 3).unwrap(), |seat, seed| {
        Roller::new(Pig::new(20, 3, 3).unwrap(), Strength::Fair, seed * 2 + u64::from(seat.0))
    });
}

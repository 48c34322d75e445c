//! Every rule of connect four.

use alloc::{boxed::Box, vec::Vec};

use matchlock::{
    budget::{Limits, budget},
    check::check,
    game::{Amount, BasisPoints, Game, Next, Pot, Seat},
    local::{Bot, Dice, Local},
    rules::RulesError,
};

use super::*;
use crate::bots::Strength;

const STAKES: [Amount; 2] = [Amount::from_u64(100), Amount::from_u64(50)];

fn table(columns: &[u8]) -> Local<ConnectFour> {
    let mut table = Local::new(ConnectFour, &STAKES, 1).unwrap();
    for (column, turn) in columns.iter().zip(0u8..) {
        table.play(Seat(turn % 2), column).unwrap();
    }
    table
}

fn units(table: &Local<ConnectFour>) -> [u128; 2] {
    [table.payouts()[0].units(), table.payouts()[1].units()]
}

/// A board with exactly these cells of one seat, as no play may make it.
fn board(seat: Seat, cells: &[(u8, u8)]) -> Board {
    let mut board = Board::default();
    cells.iter().for_each(|(column, row)| board.stones[side(seat)] |= 1 << (column * HEIGHT + row));
    board
}

/// Every four cells in a row, found by walking.
fn fours() -> Vec<[(u8, u8); 4]> {
    let cells = (0..COLUMNS as i8).flat_map(|column| (0..ROWS as i8).map(move |row| (column, row)));
    let walks = cells.flat_map(|from| [(1, 0), (0, 1), (1, 1), (1, -1)].map(|step| (from, step)));
    let fours = walks.map(|((column, row), (right, up))| [0, 1, 2, 3].map(|i| (column + i * right, row + i * up)));
    fours
        .filter(|four| four.iter().all(|(c, r)| (0..COLUMNS as i8).contains(c) && (0..ROWS as i8).contains(r)))
        .map(|four| four.map(|(c, r)| (c as u8, r as u8)))
        .collect()
}

#[test]
fn the_rules_are_sound() {
    for (strength, seeds) in [(Strength::Easy, 0..100), (Strength::Fair, 0..100), (Strength::Strong, 0..10)] {
        let report = check(&ConnectFour, seeds, |seat, seed| {
            Box::new(Stacker::new(strength, seed * 2 + u64::from(seat.0))) as Box<dyn Bot<_>>
        });
        assert!(report.unwrap().longest <= 42);
    }
}

#[test]
fn a_dispute_stays_within_its_budget() {
    let bot = |seat: Seat, seed| {
        Box::new(Stacker::new(Strength::Easy, seed * 2 + u64::from(seat.0))) as Box<dyn Bot<ConnectFour>>
    };
    let limits = Limits { calldata: 2_400, gas: 95_000, griefing: 105, ..Limits::default() };
    println!("{}", budget(&ConnectFour, 0..50, bot, &limits).unwrap_or_else(|error| panic!("{error}")));
}

#[test]
fn every_four_in_a_row_wins_for_either_seat() {
    let fours = fours();
    assert_eq!(fours.len(), 69);
    for four in fours {
        for seat in [Seat(0), Seat(1)] {
            let board = board(seat, &four);
            let pot = Pot::new(STAKES.to_vec(), BasisPoints::ZERO).unwrap();
            assert_eq!(board.winner(), Some(seat), "{four:?}");
            assert_eq!(ConnectFour.next(&board, &pot), Next::Over(pot.winner(seat)), "{four:?}");
        }
    }
}

#[test]
fn nothing_but_four_in_a_row_wins() {
    let fours = fours();
    for seed in 0..5_000 {
        let mut dice = Dice::new(seed);
        let cells: Vec<_> = (0..12).map(|_| (dice.below(7) as u8, dice.below(6) as u8)).collect();
        let walked = fours.iter().any(|four| four.iter().all(|cell| cells.contains(cell)));
        assert_eq!(board(Seat(0), &cells).winner().is_some(), walked, "seed {seed}");
    }
}

#[test]
fn stones_pile_up_until_a_column_is_full() {
    let mut table = table(&[2, 2, 2, 2, 2, 2]);
    let board = table.board().unwrap();
    for row in 0..ROWS {
        assert_eq!(board.at(2, row), Some(Seat(row % 2)));
    }
    assert_eq!((board.at(2, 6), board.at(3, 0), board.at(9, 0)), (None, None, None));
    assert_eq!(board.open().collect::<Vec<_>>(), [0, 1, 3, 4, 5, 6]);

    let before = table.placed().clone();
    for (column, why) in [(2, Illegal::Full(2)), (7, Illegal::NoSuchColumn(7)), (255, Illegal::NoSuchColumn(255))] {
        match table.play(Seat(0), &column) {
            Err(RulesError::Illegal(error)) => assert_eq!(error.downcast_ref(), Some(&why)),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(table.play(Seat(1), &0), Err(RulesError::NotYourTurn { .. })));
    assert_eq!(*table.placed(), before);
}

#[test]
fn a_stall_forfeits() {
    assert_eq!(units(&table(&[])), [0, 150]);
    assert_eq!(units(&table(&[3])), [150, 0]);
}

#[test]
fn nothing_is_played_after_the_end() {
    let mut table = table(&[0, 1, 0, 1, 0, 1, 0]);
    assert_eq!((table.mover(), units(&table)), (None, [150, 0]));
    assert!(matches!(table.play(Seat(1), &1), Err(RulesError::Over)));
}

#[test]
fn a_full_board_gives_the_stakes_back() {
    // Columns in pairs, of which the second begins with the other seat's stone: no row gets longer than three.
    let mut table = table(&[]);
    let columns =
        [0, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 3, 2, 3, 2, 3, 2, 4, 5, 4, 5, 4, 5, 5, 4, 5, 4, 5, 4];
    for (column, turn) in columns.into_iter().chain([6; 6]).zip(0u8..) {
        table.play(Seat(turn % 2), &column).unwrap();
    }
    assert!(table.board().unwrap().is_full());
    assert_eq!((table.mover(), units(&table)), (None, [100, 50]));
}

#[test]
fn boards_of_strangers_do_not_panic() {
    let pot = Pot::new(STAKES.to_vec(), BasisPoints::ZERO).unwrap();
    for seed in 0..5_000 {
        let bytes = Dice::new(seed).bytes();
        let stones = [0, 8].map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()));
        for stones in [stones, stones.map(|s| s | 1 << 63), [u64::MAX; 2]] {
            let board = Board { stones };
            let _ = (ConnectFour.next(&board, &pot), board.open().count());
            for (seat, column) in [(Seat(0), bytes[20]), (Seat(1), bytes[21] % 7), (Seat(255), bytes[22] % 7)] {
                let _ = ConnectFour.play(&board, seat, &column);
            }
        }
    }
}

#[test]
fn the_fair_bot_takes_and_blocks_fours() {
    let taken = |columns: &[u8]| {
        let table = table(columns);
        Stacker::new(Strength::Fair, 3).choose(&table.board().unwrap(), table.mover().unwrap())
    };
    assert_eq!(taken(&[0, 1, 0, 1, 0, 1]), 0, "wins rather than blocks");
    assert_eq!(taken(&[0, 1, 0, 1, 0]), 0, "blocks");
}

#[test]
fn looking_ahead_pays() {
    let mut won = [0; 2];
    for seed in 0..20 {
        for strong in [Seat(0), Seat(1)] {
            let mut table = Local::new(ConnectFour, &STAKES, seed).unwrap();
            let mut strengths = [Strength::Fair; 2];
            strengths[strong.index()] = Strength::Strong;
            let mut bots = strengths.map(|strength| Box::new(Stacker::new(strength, seed)) as Box<dyn Bot<_>>);
            table.play_out(&mut bots).unwrap();
            if let Some(winner) = table.board().unwrap().winner() {
                won[usize::from(winner == strong)] += 1;
            }
        }
    }
    assert!(won[1] >= 30 && won[0] <= 5, "{won:?}");
}

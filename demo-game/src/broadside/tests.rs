//! Every rule of Broadside, and everything a cheat may try.

use alloc::{boxed::Box, vec::Vec};

use matchlock::{
    budget::{Limits, budget},
    check::check,
    game::{Amount, Game, Seat},
    hidden::Secret,
    local::{Bot, Dice, Local},
    rules::RulesError,
};

use super::*;
use crate::bots::Strength;

const HONEST: Seat = Seat(0);
const CHEAT: Seat = Seat(1);
const STAKES: [Amount; 2] = [Amount::from_u64(100), Amount::from_u64(60)];

fn fleet(seed: u64) -> Fleet {
    Fleet::random(&mut Dice::new(seed))
}

fn table() -> Local<Broadside> {
    Local::new(Broadside, &STAKES, 1).unwrap()
}

/// Both honest fleets committed to, and seat 0's first shot fired.
fn under_way(target: Cell) -> (Local<Broadside>, [Fleet; 2]) {
    let fleets = [fleet(1), fleet(2)];
    let mut table = table();
    for seat in [Seat(0), Seat(1)] {
        table.play(seat, &Move::Commit(fleets[seat.index()].commitment())).unwrap();
    }
    table.play(Seat(0), &Move::Fire(target)).unwrap();
    (table, fleets)
}

/// The move is refused for exactly this reason, and nothing has changed.
fn refused(table: &mut Local<Broadside>, action: &Move, why: Illegal) {
    let before = table.placed().clone();
    let mover = table.mover().unwrap();
    match table.play(mover, action) {
        Err(RulesError::Illegal(error)) => assert_eq!(error.downcast_ref(), Some(&why)),
        other => panic!("{other:?} instead of {why:?}"),
    }
    assert_eq!(*table.placed(), before);
}

fn answer(secret: &Secret<Option<Ship>>, shot: Cell, fire: Option<Cell>) -> Move {
    Move::Answer { opening: secret.open(u32::from(shot.0)).unwrap(), fire }
}

fn units(table: &Local<Broadside>) -> [u128; 2] {
    [table.payouts()[0].units(), table.payouts()[1].units()]
}

/// A seat that fires at listed cells, from a secret that need not be a fleet.
struct Gunner {
    secret: Secret<Option<Ship>>,
    fleet: Option<Fleet>,
    targets: Vec<Cell>,
}

impl Gunner {
    fn honest(fleet: Fleet, targets: Vec<Cell>) -> Gunner {
        Gunner { secret: fleet.secret(), fleet: Some(fleet), targets }
    }

    fn cheating(cells: Vec<Option<Ship>>, targets: Vec<Cell>) -> Gunner {
        Gunner { secret: Secret::new(cells, [7; 32].into()), fleet: None, targets }
    }

    /// Its move; without a fleet it has no proof.
    fn act(&mut self, board: &Board, seat: Seat) -> Option<Move> {
        if let (Some(fleet), Stage::Prove) = (&self.fleet, board.stage) {
            return fleet.act(board, None);
        }
        let free = board.targets(seat);
        let target = self.targets.iter().copied().find(|cell| free.contains(*cell));
        match board.stage {
            Stage::Commit => Some(Move::Commit(self.secret.commitment())),
            Stage::Fire => target.map(Move::Fire),
            Stage::Answer { shot } => {
                let sunk = board.water(seat).is_sunk_by(self.secret.cells()[usize::from(shot.0)]);
                Some(answer(&self.secret, shot, target.filter(|_| !sunk)))
            }
            Stage::Prove | Stage::Over => None,
        }
    }
}

/// Plays on until somebody has no legal move left; the reason, if it was refused one.
fn duel(table: &mut Local<Broadside>, gunners: &mut [Gunner; 2]) -> Option<Illegal> {
    while let Some(seat) = table.mover() {
        let action = gunners[seat.index()].act(&table.board().unwrap(), seat)?;
        match table.play(seat, &action) {
            Ok(()) => {}
            Err(RulesError::Illegal(error)) => return error.downcast_ref().copied(),
            Err(other) => panic!("{other}"),
        }
    }
    None
}

fn everywhere() -> Vec<Cell> {
    Cell::all().collect()
}

/// First the water, then the ships: the worst one can fire.
fn ships_last(fleet: &Fleet) -> Vec<Cell> {
    let (ships, water): (Vec<_>, Vec<_>) = Cell::all().partition(|cell| fleet.at(*cell).is_some());
    water.into_iter().chain(ships).collect()
}

fn ships_first(fleet: &Fleet) -> Vec<Cell> {
    ships_last(fleet).into_iter().rev().collect()
}

fn encoded(board: &Board) -> usize {
    postcard::to_allocvec(board).unwrap().len()
}

#[test]
fn the_rules_are_sound() {
    for (strength, seeds) in [(Strength::Easy, 0..80), (Strength::Fair, 0..80), (Strength::Strong, 0..80)] {
        let report = check(&Broadside, seeds, |seat, seed| {
            Box::new(Captain::new(strength, seed * 2 + u64::from(seat.0))) as Box<dyn Bot<_>>
        })
        .unwrap();
        println!("{strength:?}: {report:?}, {} turns on average", report.turns / u64::from(report.matches));
        assert_eq!(report.matches, 80);
    }
}

#[test]
fn a_dispute_stays_within_its_budget() {
    let bot = |seat: Seat, seed: u64| {
        Box::new(Captain::new(Strength::Easy, seed * 2 + u64::from(seat.0))) as Box<dyn Bot<Broadside>>
    };
    let limits = Limits { calldata: 2_700, gas: 100_000, griefing: 110, ..Limits::default() };
    std::println!("{}", budget(&Broadside, 0..20, bot, &limits).unwrap_or_else(|error| panic!("{error}")));
}

#[test]
fn the_longest_match_takes_exactly_max_turns_and_its_boards_stay_small() {
    let fleets = [fleet(1), fleet(2)];
    let mut gunners = [
        Gunner::honest(fleets[0].clone(), ships_last(&fleets[1])),
        Gunner::honest(fleets[1].clone(), ships_last(&fleets[0])),
    ];
    let (mut table, mut largest) = (table(), 0);
    while let Some(seat) = table.mover() {
        let board = table.board().unwrap();
        largest = largest.max(encoded(&board));
        table.play(seat, &gunners[seat.index()].act(&board, seat).unwrap()).unwrap();
    }
    assert_eq!(table.turn(), Broadside.max_turns());
    assert_eq!((Broadside.max_turns(), table.board().unwrap().mover), (203, Seat(0)));
    println!("largest board: {largest} bytes");
    assert!(largest <= 200);
}

#[test]
fn the_shortest_match_sinks_with_seventeen_shots() {
    let fleets = [fleet(1), fleet(2)];
    let mut gunners =
        [Gunner::honest(fleets[0].clone(), ships_first(&fleets[1])), Gunner::honest(fleets[1].clone(), everywhere())];
    let mut table = table();
    assert_eq!(duel(&mut table, &mut gunners), None);
    assert_eq!((table.turn(), units(&table)), (2 + 17 + 16 + 1 + 1, [160, 0]));
}

#[test]
fn whoever_stalls_forfeits_at_every_stage() {
    let fleets = [fleet(1), fleet(2)];
    let mut gunners =
        [Gunner::honest(fleets[0].clone(), ships_first(&fleets[1])), Gunner::honest(fleets[1].clone(), everywhere())];
    let mut table = table();
    while let Some(seat) = table.mover() {
        let stalled = if seat == Seat(0) { [0, 160] } else { [160, 0] };
        assert_eq!(units(&table), stalled);
        table.play(seat, &gunners[seat.index()].act(&table.board().unwrap(), seat).unwrap()).unwrap();
    }
}

#[test]
fn only_the_move_that_is_due_is_legal() {
    let (fleets, mut table) = ([fleet(1), fleet(2)], table());
    let commit = Move::Commit(fleets[0].commitment());
    let fire = Move::Fire(Cell(3));
    let answered = answer(&fleets[1].secret(), Cell(3), Some(Cell(0)));
    let prove = Move::Prove(fleets[0].clone().into());
    let refuse = |table: &mut Local<Broadside>, actions: &[&Move], due| {
        actions.iter().for_each(|action| refused(table, action, Illegal::NotDue { due }));
    };
    refuse(&mut table, &[&fire, &answered, &prove], Stage::Commit);
    table.play(Seat(0), &commit).unwrap();
    refuse(&mut table, &[&fire, &answered, &prove], Stage::Commit);
    table.play(Seat(1), &Move::Commit(fleets[1].commitment())).unwrap();
    refuse(&mut table, &[&commit, &answered, &prove], Stage::Fire);
    table.play(Seat(0), &fire).unwrap();
    refuse(&mut table, &[&commit, &fire, &prove], Stage::Answer { shot: Cell(3) });
    table.play(Seat(1), &answered).unwrap();
    refuse(&mut table, &[&commit, &fire, &prove], Stage::Answer { shot: Cell(0) });
}

#[test]
fn a_commitment_has_a_hundred_cells_and_is_ones_own() {
    let mut table = table();
    for cells in [1, 99, 101] {
        let small = Secret::new(alloc::vec![None::<Ship>; cells], [1; 32].into());
        refused(&mut table, &Move::Commit(small.commitment()), Illegal::WrongSize { cells: cells as u32 });
    }
    table.play(Seat(0), &Move::Commit(fleet(1).commitment())).unwrap();
    refused(&mut table, &Move::Commit(fleet(1).commitment()), Illegal::Copied);
}

#[test]
fn shots_stay_on_the_grid_and_never_repeat() {
    let (mut table, fleets) = under_way(Cell(3));
    let at = |seat: usize, shot, target| answer(&fleets[seat].secret(), Cell(shot), Some(Cell(target)));
    for target in [100, 128, 255] {
        refused(&mut table, &at(1, 3, target), Illegal::OffGrid(Cell(target)));
    }
    table.play(Seat(1), &at(1, 3, 3)).unwrap();
    refused(&mut table, &at(0, 3, 3), Illegal::ShotBefore(Cell(3)));
    table.play(Seat(0), &at(0, 3, 4)).unwrap();
    refused(&mut table, &at(1, 4, 3), Illegal::ShotBefore(Cell(3)));
    table.play(Seat(1), &at(1, 4, 4)).unwrap();
    assert!(!table.board().unwrap().targets(Seat(0)).contains(Cell(4)));
}

#[test]
fn an_answer_fires_until_the_fleet_is_sunk() {
    let (mut table, fleets) = under_way(Cell(3));
    refused(&mut table, &answer(&fleets[1].secret(), Cell(3), None), Illegal::NoShot);

    let mut gunners =
        [Gunner::honest(fleets[0].clone(), ships_first(&fleets[1])), Gunner::honest(fleets[1].clone(), everywhere())];
    while !table.board().unwrap().water(Seat(1)).is_sunk_by(Some(Ship::Carrier)) || table.mover() == Some(Seat(0)) {
        let (board, seat) = (table.board().unwrap(), table.mover().unwrap());
        table.play(seat, &gunners[seat.index()].act(&board, seat).unwrap()).unwrap();
    }
    let Stage::Answer { shot } = table.board().unwrap().stage else { panic!("a shot is in the air") };
    refused(&mut table, &answer(&fleets[1].secret(), shot, Some(Cell(99))), Illegal::Sunk);
}

#[test]
fn openings_are_of_the_cell_that_was_shot_at() {
    let (mut table, fleets) = under_way(Cell(3));
    let other = answer(&fleets[1].secret(), Cell(4), Some(Cell(0)));
    refused(&mut table, &other, Illegal::OtherCell { shot: Cell(3), opened: 4 });
}

#[test]
fn a_hit_cannot_be_denied_invented_or_renamed() {
    for target in Cell::all().step_by(7) {
        let (mut table, fleets) = under_way(target);
        let mut opening = fleets[1].secret().open(u32::from(target.0)).unwrap();
        let truth = opening.cell;
        for lie in [None, Some(Ship::Carrier), Some(Ship::Destroyer)].into_iter().filter(|lie| *lie != truth) {
            opening.cell = lie;
            let lied = Move::Answer { opening: opening.clone(), fire: Some(Cell(0)) };
            refused(&mut table, &lied, Illegal::NotCommitted(target));
        }
    }
}

#[test]
fn a_ship_cannot_be_moved_after_the_commitment() {
    let (mut table, fleets) = under_way(Cell(3));
    let moved = fleet(3);
    refused(&mut table, &answer(&moved.secret(), Cell(3), Some(Cell(0))), Illegal::NotCommitted(Cell(3)));
    // Nor behind the same salt.
    let Deployment { salt, .. } = fleets[1].clone().into();
    let moved = moved.with_salt(salt).secret();
    refused(&mut table, &answer(&moved, Cell(3), Some(Cell(0))), Illegal::NotCommitted(Cell(3)));
}

#[test]
fn the_opponents_cells_are_no_answer() {
    let (mut table, fleets) = under_way(Cell(3));
    refused(&mut table, &answer(&fleets[0].secret(), Cell(3), Some(Cell(0))), Illegal::NotCommitted(Cell(3)));
}

#[test]
fn an_empty_sea_runs_out_of_answers() {
    let honest = fleet(1);
    // The cheat fires as badly as the honest seat fires blindly, so that the water runs out first.
    let targets = ships_last(&honest);
    let mut gunners = [Gunner::honest(honest, everywhere()), Gunner::cheating(alloc::vec![None; 100], targets)];
    let mut table = table();
    assert!(matches!(duel(&mut table, &mut gunners), Some(Illegal::NoRoom(_))));
    assert_eq!((table.mover(), units(&table)), (Some(CHEAT), [160, 0]));
}

#[test]
fn an_empty_sea_that_sinks_the_other_cannot_prove() {
    let honest = fleet(1);
    let targets = ships_first(&honest);
    let mut gunners = [Gunner::honest(honest.clone(), everywhere()), Gunner::cheating(alloc::vec![None; 100], targets)];
    let mut table = table();
    assert_eq!(duel(&mut table, &mut gunners), None);
    assert!(table.board().unwrap().water(HONEST).is_sunk());
    assert_eq!((table.mover(), units(&table)), (Some(CHEAT), [160, 0]));

    // Neither a fleet of its own choice, nor the sunk one, nor its empty salt behind ships, nor nonsense.
    let salted = Fleet::random(&mut Dice::new(9)).with_salt([7; 32]);
    for claimed in [fleet(2), honest, salted] {
        refused(&mut table, &Move::Prove(claimed.into()), Illegal::OtherFleet);
    }
    let nowhere = Deployment { ships: [Placement { bow: Cell(0), down: false }; 5], salt: [7; 32] };
    refused(&mut table, &Move::Prove(nowhere), Illegal::Fleet(FleetError::Overlap(Ship::Battleship)));
    let outside = Deployment { ships: [Placement { bow: Cell(99), down: false }; 5], salt: [7; 32] };
    refused(&mut table, &Move::Prove(outside), Illegal::Fleet(FleetError::OffGrid(Ship::Carrier)));
}

#[test]
fn a_fleet_without_one_ship_never_wins() {
    for missing in Ship::ALL {
        let cells: Vec<_> = fleet(2).secret().cells().iter().map(|cell| cell.filter(|ship| *ship != missing)).collect();
        let honest = fleet(1);
        for targets in [ships_first(&honest), ships_last(&honest)] {
            let mut gunners = [Gunner::honest(honest.clone(), everywhere()), Gunner::cheating(cells.clone(), targets)];
            let mut table = table();
            duel(&mut table, &mut gunners);
            assert_eq!((table.mover(), units(&table)), (Some(CHEAT), [160, 0]), "{missing}");
        }
    }
}

#[test]
fn a_scattered_fleet_is_caught_by_its_second_hit() {
    let mut cells = alloc::vec![None; 100];
    let mut scattered = Cell::all().step_by(6);
    for ship in Ship::ALL {
        (0..ship.length()).for_each(|_| cells[usize::from(scattered.next().unwrap().0)] = Some(ship));
    }
    let mut gunners = [Gunner::honest(fleet(1), everywhere()), Gunner::cheating(cells, ships_last(&fleet(1)))];
    let mut table = table();
    assert_eq!(duel(&mut table, &mut gunners), Some(Illegal::NoRoom(Ship::Carrier)));
    assert_eq!(table.board().unwrap().water(CHEAT).hits.len(), 1);
    assert_eq!((table.mover(), units(&table)), (Some(CHEAT), [160, 0]));
}

#[test]
fn extra_ship_cells_do_not_help() {
    let mut cells = fleet(2).secret().cells().to_vec();
    let extra = cells.iter().position(Option::is_none).unwrap();
    cells[extra] = Some(Ship::Destroyer);
    for targets in [ships_first(&fleet(1)), ships_last(&fleet(1))] {
        let mut gunners = [Gunner::honest(fleet(1), everywhere()), Gunner::cheating(cells.clone(), targets)];
        let mut table = table();
        duel(&mut table, &mut gunners);
        assert_eq!((table.mover(), units(&table)), (Some(CHEAT), [160, 0]));
    }
}

#[test]
fn the_true_fleet_is_the_only_proof() {
    let fleets = [fleet(1), fleet(2)];
    let mut gunners =
        [Gunner::honest(fleets[0].clone(), ships_first(&fleets[1])), Gunner::honest(fleets[1].clone(), everywhere())];
    gunners[0].fleet = None;
    let mut table = table();
    assert_eq!(duel(&mut table, &mut gunners), None);
    assert_eq!(table.board().unwrap().stage, Stage::Prove);
    refused(&mut table, &Move::Prove(fleets[0].clone().with_salt([1; 32]).into()), Illegal::OtherFleet);
    table.play(Seat(0), &Move::Prove(fleets[0].clone().into())).unwrap();
    assert_eq!((table.mover(), units(&table)), (None, [160, 0]));
}

#[test]
fn a_client_is_asked_for_a_target_exactly_when_it_fires() {
    let fleets = [fleet(1), fleet(2)];
    let (mut table, mut asked) = (table(), 0);
    while let Some(seat) = table.mover() {
        let board = table.board().unwrap();
        let own = &fleets[seat.index()];
        let action = own.act(&board, None).unwrap_or_else(|| {
            asked += 1;
            own.act(&board, board.targets(seat).iter().next()).unwrap()
        });
        table.play(seat, &action).unwrap();
    }
    let board = table.board().unwrap();
    assert_eq!(asked + 4, table.turn(), "all but two commitments, the last answer and the proof");
    assert_eq!(fleets[0].act(&board, Some(Cell(0))), None);
}

#[test]
fn boards_of_strangers_do_not_panic() {
    let (table, fleets) = under_way(Cell(3));
    let mut dice = Dice::new(5);
    let bytes = postcard::to_allocvec(&table.board().unwrap()).unwrap();
    for _ in 0..3000 {
        let mut damaged = bytes.clone();
        for _ in 0..=dice.below(3) {
            let at = dice.below(damaged.len() as u32) as usize;
            damaged[at] = dice.below(256) as u8;
        }
        let Ok(board) = postcard::from_bytes::<Board>(&damaged) else { continue };
        for seat in [Seat(0), Seat(1), Seat(255)] {
            for own in &fleets {
                if let Some(action) = own.act(&board, Some(Cell(9))) {
                    let _ = Broadside.play(&board, seat, &action);
                }
            }
        }
    }
}

//! Verdicts, files and divergences: from channels that signed every turn.

mod common;

use std::sync::Arc;

use alloy_primitives::B256;
use common::{Table, sent_turn};
use matchlock::{
    channel::{ChannelError, Fault, HeaderField, Input, Notice, Status},
    doc::{Illegal, TicTacToe},
    game::{Amount, Game, Next, Pot, Seat},
    local::Dice,
    rules::{Action, GameRules, Rules},
    sign::Signer,
    transcript::{
        Comparison, DiffError, File, FileError, Held, MAX_FILE, Recording, Right, Side, Transcript, TranscriptError,
        diff, judge,
    },
    wire::Turn,
};
use serde::{Deserialize, Serialize};

fn played(moves: &[(usize, u8)]) -> Table {
    let mut table = Table::open();
    moves.iter().for_each(|(seat, cell)| drop(table.play(*seat, *cell)));
    table
}

fn concluded() -> Table {
    let mut table = played(&[(0, 0), (1, 3), (0, 1), (1, 4), (0, 2)]);
    table.conclude();
    table
}

fn transcript(table: &Table) -> Transcript {
    table.channels[0].transcript().expect("open")
}

// ------------------------------------------------------------------------------------------------------------ verdicts

#[test]
fn whoever_is_to_act_holds_the_match() {
    let table = played(&[(0, 4)]);
    let verdict = judge(&transcript(&table), &table.rules).expect("evidence");
    assert_eq!(verdict.holds, Some(Held { seat: Seat(1), turn: 2, clock: 30, since: None }));
    assert_eq!(verdict.holds.expect("held").overdue(u64::MAX), None, "nobody says since when");
    let over = concluded();
    assert_eq!(judge(&transcript(&over), &over.rules).expect("evidence").holds, None);
}

#[test]
fn a_receipt_says_since_when_a_seat_has_held_the_match() {
    let mut table = played(&[(0, 4)]);
    let receipts = vec![table.arrived(0, 990), table.arrived(1, 1_000)];
    table.feed(0, Input::Arrivals(receipts.clone())).expect("the operator's");
    let verdict = judge(&transcript(&table), &table.rules).expect("evidence");
    let held = verdict.holds.expect("held");
    assert_eq!((held.seat, held.turn, held.since), (Seat(1), 2, Some(receipts[1])));
    assert_eq!([held.overdue(1_000), held.overdue(1_030), held.overdue(1_031)], [None, None, Some(1)]);

    let before = table.events[0].len();
    assert!(table.feed(0, Input::Arrivals(receipts)).expect("known").is_empty(), "told once");
    assert_eq!(table.events[0].len(), before);
    let restored = matchlock::channel::Channel::restore(table.events[0].clone(), |_| Some(table.rules.clone()));
    assert_eq!(restored.expect("its own events").transcript(), Some(transcript(&table)));
}

#[test]
fn a_receipt_that_the_operator_did_not_give_is_refused() {
    let mut table = played(&[(0, 4), (1, 0)]);
    let good = table.arrived(1, 1_000);
    let mut later = good;
    later.at += 1;
    let mut other = good;
    other.state = table.arrived(2, 1_000).state;
    let mut unknown = good;
    unknown.turn = 3;
    assert!(matches!(table.feed(0, Input::Arrivals(vec![later])), Err(ChannelError::Signature(_))));
    for wrong in [other, unknown] {
        let refused = table.feed(0, Input::Arrivals(vec![wrong]));
        assert!(matches!(refused, Err(ChannelError::OtherArrival { turn }) if turn == wrong.turn), "{refused:?}");
    }
    assert!(table.channels[0].arrivals().is_empty());

    let judged =
        |arrivals| judge(&Transcript { arrivals, ..transcript(&table) }, &table.rules).expect_err("no evidence");
    let forged = judged(vec![later]);
    assert!(
        matches!(&forged, TranscriptError::Signature { what: "a receipt of arrival", who, .. } if who == "the operator, turn 1"),
        "{forged}"
    );
    assert_eq!(judged(vec![other]), TranscriptError::Arrival { turn: 1 });
    assert_eq!(judged(vec![unknown]), TranscriptError::Arrival { turn: 3 });
    assert_eq!(judged(vec![good, good]), TranscriptError::Arrival { turn: 1 });
    assert_eq!(judged(vec![table.arrived(2, 9), good]), TranscriptError::Arrival { turn: 1 });
}

#[test]
fn receipts_of_another_match_are_refused() {
    let table = played(&[(0, 4)]);
    let mut foreign = table.arrived(1, 1_000);
    let digest = table.domain.digest(
        matchlock::abi::Arrival {
            match_id: matchlock::abi::MatchId(B256::ZERO),
            turn: 1,
            state: foreign.state,
            at: foreign.at,
        }
        .struct_hash(),
    );
    foreign.signature = table.operator.sign(digest).expect("signs");
    let error =
        judge(&Transcript { arrivals: vec![foreign], ..transcript(&table) }, &table.rules).expect_err("foreign");
    assert!(matches!(error, TranscriptError::Signature { what: "a receipt of arrival", .. }), "{error}");
}

#[test]
fn receipts_come_for_the_illegal_turn_too_and_stay_with_it_when_the_chain_has_ruled() {
    let mut table = played(&[(0, 4)]);
    let forged = table.forge(1, |turn| turn.state.board = B256::ZERO);
    table.feed(0, Input::Turn(forged)).expect("evidence is a step");
    let receipt = table.arrived(2, 1_000);
    let effects = table.feed(0, Input::Arrivals(vec![receipt])).expect("the operator's");
    assert_eq!(effects, [matchlock::channel::Effect::Notify(Notice::Arrived(receipt))]);
    table.feed(0, Input::Ruled { payouts: vec![Amount::from_u64(200), Amount::ZERO] }).expect("ruled");
    assert_eq!(table.channels[0].status(), Status::Ruled);
    let kept = transcript(&table);
    assert_eq!((kept.turns.len(), kept.arrivals.clone()), (2, vec![receipt]));
    let guilty = judge(&kept, &table.rules).expect("evidence").guilty.expect("a cheat");
    assert_eq!((guilty.seat, guilty.fault), (Seat(1), Fault::Header { field: HeaderField::Board }));
}

/// What somebody leaves out of a true transcript, or puts into it, makes nobody guilty who is not.
#[test]
fn nobody_is_framed_by_what_is_left_out_or_put_in() {
    let table = played(&[(0, 0), (1, 3), (0, 1), (1, 4)]);
    let whole = transcript(&table);
    let judged = |change: &dyn Fn(&mut Transcript)| {
        let mut changed = whole.clone();
        change(&mut changed);
        judge(&changed, &table.rules)
    };
    let rubbish = |action: Vec<u8>| judged(&move |t| t.turns[3].action = action.clone());
    let illegal = Action::Play { play: vec![0], link: None }.encode();
    assert_eq!(rubbish(illegal), Err(TranscriptError::OtherMove { turn: 4 }));
    assert_eq!(rubbish(vec![9; 9]), Err(TranscriptError::OtherMove { turn: 4 }));
    // Seat 0's third turn in the place of its first; both of its own making.
    assert_eq!(judged(&|t| drop(t.turns.drain(..2))), Err(TranscriptError::Unlinked { turn: 1 }));

    // Seat 0 signs another first turn, under the answer that the honest seat gave to the one it knew.
    let mut two = played(&[]);
    let other = two.forge(0, |_| {});
    two.play(0, 8);
    two.play(1, 4);
    let mut swapped = transcript(&two);
    swapped.turns[0] = other.clone();
    assert_eq!(judge(&swapped, &two.rules), Err(TranscriptError::Unlinked { turn: 2 }));

    // A second header counts where it is one, by the author, above what everybody agreed to.
    let fork = |fork: Turn| judge(&Transcript { fork: Some(fork), ..transcript(&two) }, &two.rules);
    assert_eq!(fork(other.clone()), Err(TranscriptError::Agreed { turn: 1 }));
    assert_eq!(fork(transcript(&two).turns[1].clone()), Err(TranscriptError::Fork { turn: 2 }));
    let mut elsewhere = other.clone();
    elsewhere.state.turn = 7;
    assert_eq!(fork(elsewhere), Err(TranscriptError::Fork { turn: 7 }));
    let mut unsigned = other;
    unsigned.state.turn = 2;
    assert!(matches!(fork(unsigned), Err(TranscriptError::Signature { .. })));
}

// --------------------------------------------------------------------------------------------------------------- files

fn recording(table: &Table) -> Recording {
    table.channels[0].recording().expect("open")
}

/// With everything in it that a transcript can have.
fn full() -> Table {
    let mut table = concluded();
    let receipts = (0..=5).map(|turn| table.arrived(turn, 1_000 + u64::from(turn))).collect();
    table.feed(0, Input::Arrivals(receipts)).expect("the operator's");
    table
}

#[test]
fn what_is_saved_is_read_back() {
    let table = full();
    let (transcript, recording) = (transcript(&table), recording(&table));
    let saved = transcript.to_bytes().expect("small");
    assert!(saved.starts_with(b"Matchlock transcript\n\x01"));
    assert_eq!(Transcript::from_bytes(&saved), Ok(transcript.clone()));
    assert_eq!(File::from_bytes(&saved).expect("whole").transcript(), &transcript);
    let recorded = recording.to_bytes().expect("small");
    assert_eq!(Recording::from_bytes(&recorded), Ok(recording.clone()));
    assert_eq!(File::from_bytes(&recorded), Ok(File::Recording(recording)));
    let other = Transcript::from_bytes(&recorded);
    assert_eq!(other, Err(FileError::OtherKind { wanted: "transcript", found: "recording" }));
    let other = Recording::from_bytes(&saved);
    assert_eq!(other, Err(FileError::OtherKind { wanted: "recording", found: "transcript" }));
}

#[test]
fn a_file_cut_off_anywhere_is_said_to_be_cut_off() {
    let table = full();
    for bytes in [transcript(&table).to_bytes().expect("small"), recording(&table).to_bytes().expect("small")] {
        for end in 1..bytes.len() {
            assert_eq!(File::from_bytes(&bytes[..end]), Err(FileError::Truncated), "cut to {end} bytes");
        }
        let longer = File::from_bytes(&[&bytes[..], &[0]].concat());
        assert!(matches!(longer, Err(FileError::Damaged { .. })), "{longer:?}");
    }
    assert_eq!(File::from_bytes(&[]), Err(FileError::Unknown));
}

#[test]
fn what_is_no_file_of_these_says_what_it_is() {
    assert_eq!(File::from_bytes(b"Matchlock transcripts\n"), Err(FileError::Unknown));
    assert_eq!(File::from_bytes(&[0; 100]), Err(FileError::Unknown));
    assert_eq!(File::from_bytes(b"Matchlock transcript\n\x02rest"), Err(FileError::Version(2)));
    assert_eq!(File::from_bytes(&vec![0; MAX_FILE + 1]), Err(FileError::TooLarge));
    let mut endless = transcript(&full());
    let turn = endless.turns[0].clone();
    endless.turns.resize(MAX_FILE / 150, turn);
    assert!(matches!(endless.to_bytes(), Err(FileError::TooLarge)));
    // A list that claims to be longer than the file.
    let whole = transcript(&full()).to_bytes().expect("small");
    let claimed = [&whole[..whole.len() - 1], &[0xff, 0xff, 0xff, 0x7f]].concat();
    assert!(File::from_bytes(&claimed).is_err());
}

/// Random damage is an error, of the file or of the evidence. What is signed cannot be changed unnoticed, and nobody becomes
/// guilty by it.
#[test]
fn random_damage_is_noticed_and_makes_nobody_guilty() {
    for (name, table) in [("over", full()), ("in play", played(&[(0, 0), (1, 3), (0, 1)]))] {
        let whole = transcript(&table);
        let bytes = whole.to_bytes().expect("small");
        for seed in 0..1_000 {
            let mut dice = Dice::new(seed);
            let mut damaged = bytes.clone();
            for _ in 0..1 + dice.below(3) {
                let at = dice.below(damaged.len() as u32) as usize;
                damaged[at] ^= 1 << dice.below(8);
            }
            if damaged == bytes {
                continue;
            }
            let Ok(read) = Transcript::from_bytes(&damaged) else { continue };
            let verdict = judge(&read, &table.rules);
            assert!(verdict.is_err(), "{name}, seed {seed}: {verdict:?}");
        }
    }
}

// ---------------------------------------------------------------------------------------------------------- divergence

/// Tic-tac-toe as another build has it: a move to the last cell goes to the one before, and a draw pays seat 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Miscompiled(Twist);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twist {
    Cell,
    Payouts,
    Stricter,
}

// Of no bytes, like the game's own parameters: the rules' id is the same.
impl Serialize for Twist {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Twist {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Twist, D::Error> {
        Ok(Twist::Cell)
    }
}

impl Game for Miscompiled {
    const NAME: &'static str = TicTacToe::NAME;
    type Board = [Option<Seat>; 9];
    type Move = u8;
    type Error = Illegal;

    fn max_turns(&self) -> u32 {
        TicTacToe.max_turns()
    }

    fn start(&self, seats: usize) -> Self::Board {
        TicTacToe.start(seats)
    }

    fn next(&self, board: &Self::Board, pot: &Pot) -> Next {
        match TicTacToe.next(board, pot) {
            Next::Turn { seat, .. } if self.0 == Twist::Payouts && board[8].is_some() => {
                Next::Turn { seat, stall: pot.draw() }
            }
            next => next,
        }
    }

    fn play(&self, board: &Self::Board, seat: Seat, cell: &u8) -> Result<Self::Board, Illegal> {
        match (self.0, *cell) {
            (Twist::Cell, 8) => TicTacToe.play(board, seat, &7),
            (Twist::Stricter, 8) => Err(Illegal::NoSuchCell(8)),
            _ => TicTacToe.play(board, seat, cell),
        }
    }
}

/// Two turns on which both builds agree, and one on which they do not; the first seat has the true build.
fn apart(twist: Twist, author: usize) -> (Table, Comparison) {
    let twisted: Arc<dyn Rules> = GameRules::shared(Miscompiled(twist), Default::default());
    let rules = GameRules::shared(TicTacToe, Default::default());
    assert_eq!(twisted.id(), rules.id());
    let mut table = Table::proposed_by([rules, twisted]).opened();
    let moves: &[(usize, u8)] = if author == 0 { &[(0, 0), (1, 1)] } else { &[(0, 0)] };
    moves.iter().for_each(|(seat, cell)| drop(table.play(*seat, *cell)));
    let effects = table.feed(author, Input::Play(vec![8])).expect("legal for its author");
    table.feed(1 - author, Input::Turn(sent_turn(&effects))).expect("evidence is a step");
    assert!(matches!(table.channels[1 - author].status(), Status::Faulted(_)));
    let [a, b] = [0, 1].map(|seat| table.channels[seat].recording().expect("open"));
    let compared = diff(&a, &b, &table.rules).expect("of one match");
    let swapped = diff(&b, &a, &table.rules).expect("of one match").divergence.expect("they part");
    let straight = compared.divergence.clone().expect("they part");
    assert_eq!((swapped.turn, &swapped.field), (straight.turn, &straight.field));
    assert_eq!((swapped.a, swapped.b), (straight.b, straight.a));
    (table, compared)
}

#[test]
fn two_builds_part_at_the_turn_and_the_field_where_they_compute_another_board() {
    let (_, Comparison { turns, divergence }) = apart(Twist::Cell, 0);
    let parted = divergence.expect("they part");
    assert_eq!((turns, parted.turn, parted.author), ([3, 3], 3, Some(Seat(0))));
    assert_eq!((parted.field.as_str(), parted.a.as_str(), parted.b.as_str()), ("board[7]", "none", "0"));
    assert_eq!((parted.signed, parted.here), (Some(Right::A), Some(Right::A)));
}

#[test]
fn the_build_of_a_turns_author_is_not_right_because_it_signed() {
    let (_, Comparison { divergence, .. }) = apart(Twist::Cell, 1);
    let parted = divergence.expect("they part");
    assert_eq!((parted.turn, parted.author), (2, Some(Seat(1))));
    assert_eq!((parted.field.as_str(), parted.a.as_str(), parted.b.as_str()), ("board[7]", "none", "1"));
    assert_eq!((parted.signed, parted.here), (Some(Right::B), Some(Right::A)));
}

#[test]
fn builds_that_agree_on_the_board_may_part_over_the_money() {
    let (_, Comparison { divergence, .. }) = apart(Twist::Payouts, 0);
    let parted = divergence.expect("they part");
    assert_eq!(
        (parted.turn, parted.field.as_str(), parted.a.as_str(), parted.b.as_str()),
        (3, "payouts[0]", "200", "100")
    );
    assert_eq!((parted.signed, parted.here), (Some(Right::A), Some(Right::A)));
}

#[test]
fn a_build_that_refuses_a_move_says_why() {
    let (_, Comparison { divergence, .. }) = apart(Twist::Stricter, 0);
    let parted = divergence.expect("they part");
    assert_eq!((parted.turn, parted.field.as_str(), parted.a.as_str()), (3, "legal", "yes"));
    assert_eq!(parted.b, "no: illegal move: there is no cell 8");
    assert_eq!((parted.signed, parted.here), (Some(Right::A), Some(Right::A)));
}

#[test]
fn two_honest_clients_agree_and_one_that_is_behind_is_only_behind() {
    let table = concluded();
    let [a, b] = [0, 1].map(|seat| table.channels[seat].recording().expect("open"));
    assert_eq!(diff(&a, &b, &table.rules).expect("of one match"), Comparison { turns: [5, 5], divergence: None });
    let mut behind = a.clone();
    behind.transcript.turns.truncate(2);
    behind.computed.truncate(3);
    let compared = diff(&a, &behind, &table.rules).expect("of one match");
    assert_eq!(compared, Comparison { turns: [5, 2], divergence: None });
}

#[test]
fn two_headers_for_one_turn_show_who_signed_both() {
    let mut table = Table::open();
    let first = table.forge(0, |_| {});
    let mut other = table.channels[0].clone();
    let step = other.decide(Input::Play(vec![8]), &table.keys[0]).expect("legal");
    other.commit(step).expect("fresh");
    table.feed(1, Input::Turn(first)).expect("good");
    let (a, b) = (other.recording().expect("open"), table.channels[1].recording().expect("open"));
    let parted = diff(&a, &b, &table.rules).expect("of one match").divergence.expect("they part");
    assert_eq!((parted.turn, parted.field.as_str(), parted.a.as_str(), parted.b.as_str()), (1, "move", "8", "0"));
    assert_eq!(parted.signed, Some(Right::Both));
}

#[test]
fn records_of_two_matches_part_in_what_was_agreed_on() {
    let a = recording(&concluded());
    let mut b = a.clone();
    b.transcript.terms.clock = 31;
    let rules = concluded().rules;
    let parted = diff(&a, &b, &rules).expect("comparable").divergence.expect("they part");
    assert_eq!(
        (parted.turn, parted.field.as_str(), parted.a.as_str(), parted.b.as_str()),
        (0, "terms.clock", "30", "31")
    );
}

#[test]
fn recordings_that_no_client_makes_are_refused() {
    let (a, rules) = (recording(&concluded()), concluded().rules);
    let mut b = a.clone();
    b.computed.clear();
    assert!(matches!(diff(&a, &b, &rules), Err(DiffError::Positions { side: Side::B, positions: 0, turns: 5 })));
    let mut b = a.clone();
    b.computed.push(b.computed[0].clone());
    assert!(matches!(diff(&b, &a, &rules), Err(DiffError::Positions { side: Side::A, positions: 7, turns: 5 })));
    let other = GameRules::shared(TicTacToe, matchlock::game::BasisPoints::new(1).expect("a share"));
    assert!(matches!(diff(&a, &a, &other), Err(DiffError::OtherRules)));
    // A board that these rules cannot read is compared byte by byte.
    let mut b = a.clone();
    b.computed[2].position = vec![0xff; 3];
    let parted = diff(&a, &b, &rules).expect("comparable").divergence.expect("they part");
    assert_eq!((parted.turn, parted.field.as_str(), parted.b.as_str()), (2, "position.bytes[0]", "0xff"));
    assert_eq!((parted.signed, parted.here), (Some(Right::A), Some(Right::A)));
}

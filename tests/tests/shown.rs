//! What a court was shown carries one signature a seat (R7.3), and goes on in the match all the same; nobody can be framed by it.

use std::sync::Arc;

use matchlock::{
    channel::{Channel, Input, Status},
    dispute::{Case, Shown},
    game::{BasisPoints, Seat},
    local::Dice,
    rules::Rules,
    sign::{Signature, Signer},
    transcript::{TranscriptError, judge},
    wire::Turn,
};
use matchlock_tests::{table::Table, world::Failure};

/// A match from its first turn to its last, and its channels as they were before the first.
struct Played {
    before: Vec<Channel>,
    table: Table,
    case: Case,
}

impl Played {
    fn new(rules: &Arc<dyn Rules>, seats: usize, seed: u64) -> Result<Played, Failure> {
        let mut table = Table::open(rules, seats, seed);
        let before = table.channels.clone();
        table.play_out(seed);
        let transcript = table.channels[0].transcript().ok_or("it was open")?;
        Ok(Played { before, table, case: Case::new(transcript, rules)? })
    }

    fn turns(&self) -> &[Turn] {
        &self.case.transcript().turns
    }

    fn author(&self, turn: u32) -> Seat {
        self.case.signed().header(turn - 1).and_then(|state| state.mover()).expect("a turn has an author")
    }

    /// These turns as a court shows them: with each author's signature on the newest of its own only.
    fn shown(&self, from: usize, to: usize) -> Vec<Shown> {
        let turns = &self.turns()[from..to];
        let newest = |turn: &Turn| {
            let author = self.author(turn.state.turn);
            turns.iter().rev().find(|other| self.author(other.state.turn) == author).map(|other| other.state.turn)
        };
        let shown = turns.iter().map(|turn| Shown {
            state: turn.state.clone(),
            action: turn.action.clone(),
            signatures: (newest(turn) == Some(turn.state.turn))
                .then_some((self.author(turn.state.turn), turn.signature))
                .into_iter()
                .collect(),
        });
        shown.collect()
    }

    /// Shows a seat something of the match.
    fn tell(&self, channel: &mut Channel, shown: Vec<Shown>) -> Result<(), Failure> {
        let step = channel.decide(Input::Shown(shown), &self.table.keys[channel.seat().index()])?;
        channel.commit(step)?;
        Ok(())
    }
}

/// Every game with two seats and with three where it has them, for some seeds, which are printed.
fn of_all_games(
    mut check: impl FnMut(&Arc<dyn Rules>, Played, &mut Dice) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for rules in matchlock_demo::games(BasisPoints::new(250)?) {
        for seats in [2, 3].into_iter().filter(|seats| rules.seats().contains(seats)) {
            for seed in 0..2u64 {
                println!("{} with {seats} seats, seed {seed}", rules.name());
                check(&rules, Played::new(&rules, seats, seed)?, &mut Dice::new(seed))?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_match_that_was_shown_piece_by_piece_is_the_one_that_was_played_and_proves_it() -> Result<(), Failure> {
    let mut lacking = 0;
    of_all_games(|rules, played, dice| {
        let all = played.turns().len();
        for before in &played.before {
            let (mut channel, mut to) = (before.clone(), 0);
            let mut shown = Vec::new();
            while to < all {
                let from = to;
                to = all.min(from + 1 + dice.below(8) as usize);
                shown.extend(played.shown(from, to));
                played.tell(&mut channel, shown.clone())?;
                // A seat reveals its dice by itself, and may be ahead.
                assert!(channel.state().turn as usize >= to);
            }
            assert_eq!(channel.state(), played.table.channels[0].state());
            assert_eq!(channel.status(), Status::Over);
            let transcript = channel.transcript().ok_or("it was open")?;
            lacking += transcript.turns.iter().filter(|turn| turn.signature == Signature::NONE).count();
            let verdict = judge(&transcript, rules)?;
            assert_eq!((verdict.turns as usize, verdict.guilty), (all, None));
            assert_eq!(verdict.payouts, channel.state().payouts);
            // And is evidence again: nothing is shown that its author's signature is missing for.
            let case = Case::new(transcript, rules)?;
            let top = 1 + dice.below(all as u32);
            let evidence = case.up_to(top as usize).evidence();
            let (base, headers) = matchlock::dispute::shown(&evidence);
            for (i, header) in headers.iter().enumerate() {
                let author = played.author(header.state.turn);
                let signs = |shown: &Shown| shown.signatures.iter().any(|(seat, _)| *seat == author);
                assert!(headers[i..].iter().any(signs), "turn {} above {}", header.state.turn, base.turn);
            }
        }
        Ok(())
    })?;
    println!("{lacking} turns without a signature of their own");
    assert!(lacking > 20, "seats that move several times in a row");
    Ok(())
}

#[test]
fn a_turn_that_its_author_signed_nowhere_is_nobodys() -> Result<(), Failure> {
    of_all_games(|rules, played, _| {
        let all = played.turns().len();
        let mut shown = played.shown(0, all);
        let last = played.author(all as u32);
        for header in &mut shown {
            header.signatures.retain(|(seat, _)| *seat != last);
        }
        let first = (1..=all as u32).find(|turn| played.author(*turn) == last).ok_or("a turn of it")?;
        let seat = (last.index() + 1) % played.before.len();
        let mut channel = played.before[seat].clone();
        played.tell(&mut channel, shown)?;
        assert_eq!(channel.state().turn, first - 1);
        // Nor is it in a transcript.
        let mut transcript = played.case.transcript().clone();
        for turn in transcript.turns.iter_mut().filter(|turn| played.author(turn.state.turn) == last) {
            turn.signature = Signature::NONE;
        }
        let judged = judge(&transcript, rules);
        assert!(matches!(judged, Err(TranscriptError::Signature { what: "a turn", .. })), "{judged:?}");
        Ok(())
    })
}

#[test]
fn nobody_is_framed_by_a_forged_turn_below_a_signature() -> Result<(), Failure> {
    of_all_games(|rules, played, _| {
        // A seat moves twice, and somebody changes what the first of the two pays.
        let mut pairs = 1..played.turns().len() as u32;
        let Some(turn) = pairs.find(|turn| played.author(*turn) == played.author(turn + 1)) else { return Ok(()) };
        let mut shown = played.shown(0, turn as usize - 1);
        shown.extend(played.shown(turn as usize - 1, turn as usize + 1));
        let mut forged = shown[turn as usize - 1].clone();
        forged.state.board.0[0] ^= 1;
        shown[turn as usize - 1] = forged.clone();
        for before in &played.before {
            let mut channel = before.clone();
            played.tell(&mut channel, shown.clone())?;
            // Its author's signature is on another one's child.
            assert!(channel.state().turn >= turn - 1);
            assert!(channel.turns_from(1).iter().all(|taken| taken.state != forged.state));
            assert!(matches!(channel.status(), Status::Open { .. }), "{:?}", channel.status());
        }
        let mut transcript = played.case.transcript().clone();
        transcript.turns.truncate(turn as usize - 1);
        transcript.conclusion.clear();
        transcript.turns.push(Turn { state: forged.state, action: forged.action, signature: Signature::NONE });
        assert!(judge(&transcript, rules).is_err());
        // What it signed itself is its own: the foul is evidence.
        let author = played.author(turn);
        let bad = transcript.turns.last_mut().ok_or("the forged turn")?;
        let domain = played.case.transcript().domain;
        let digest = domain.digest(bad.state.hash(played.case.signed().id).0);
        bad.signature = played.table.keys[author.index()].sign(digest)?;
        let guilty = judge(&transcript, rules)?.guilty.ok_or("a culprit")?;
        assert_eq!((guilty.seat, guilty.turn), (author, turn));
        Ok(())
    })
}

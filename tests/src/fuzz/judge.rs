//! Transcripts into the judge: no panic, and no seat is guilty that has not signed for it.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use alloy_primitives::{B256, keccak256};
use matchlock::{
    game::{Amount, Seat},
    rules::{Action, Rules},
    sign::{Key, Signature, Signer},
    transcript::{Transcript, judge},
    wire::{Turn, decode},
};

use super::{Choices, GAMES};
use crate::table::Table;

/// Turns of one transcript: each costs a signature to check, and more of them show nothing new.
const MAX_TURNS: usize = 16;

/// Two matches of every game, as far as they fit, with as few seats as it has and as many.
static MATCHES: LazyLock<Vec<Valid>> = LazyLock::new(|| {
    let seats = |rules: &Arc<dyn Rules>| BTreeSet::from([*rules.seats().start(), (*rules.seats().end()).min(3)]);
    let games = GAMES.iter().flat_map(|rules| seats(rules).into_iter().map(move |seats| (rules, seats)));
    games.flat_map(|(rules, seats)| [1, 2].map(|seed| Valid::new(rules, seats, seed))).collect()
});

struct Valid {
    transcript: Transcript,
    rules: Arc<dyn Rules>,
    keys: Vec<Key>,
}

impl Valid {
    fn new(rules: &Arc<dyn Rules>, seats: usize, seed: u64) -> Valid {
        let mut table = Table::open(rules, seats, seed);
        table.play_out(seed);
        let mut transcript = table.channels[0].transcript().expect("an open match");
        if transcript.turns.len() <= MAX_TURNS {
            transcript.conclusion = table.conclusion();
        }
        transcript.turns.truncate(MAX_TURNS);
        Valid { transcript, rules: rules.clone(), keys: table.keys }
    }

    /// Who signed turn `at`, counted from 0.
    fn author(&self, at: usize) -> Seat {
        let parent = at.checked_sub(1).and_then(|before| self.transcript.turns.get(before));
        let first = || self.rules.start(&self.transcript.terms.stakes, &self.transcript.terms.seeds).ok()?.mover;
        parent.map_or_else(first, |turn| turn.state.mover()).expect("a turn has an author")
    }
}

/// A transcript from the bytes themselves, or a valid one that they change.
pub fn fuzz_judge(data: &[u8]) {
    let mut choices = Choices(data);
    let whole = &MATCHES[choices.below(MATCHES.len())];
    if choices.below(8) == 0 {
        if let Ok(transcript) = decode::<Transcript>(choices.0) {
            for rules in GAMES.iter() {
                let _ = judge(&transcript, rules);
            }
        }
        return;
    }

    let mut transcript = whole.transcript.clone();
    let mut cheats = BTreeSet::new();
    for _ in 0..1 + choices.below(4) {
        if transcript.turns.is_empty() {
            break;
        }
        change(&mut transcript, whole, &mut choices, &mut cheats);
    }
    let Ok(verdict) = judge(&transcript, &whole.rules) else { return };

    let (terms, turns) = (&transcript.terms, transcript.turns.len());
    assert_eq!(verdict.payouts.len(), terms.stakes.len());
    assert!(Amount::total(&verdict.payouts) <= Amount::total(&terms.stakes), "more than the pot");
    match &verdict.guilty {
        None => assert_eq!(verdict.turns as usize, turns),
        Some(guilt) => {
            assert!(cheats.contains(&guilt.seat), "{} is framed: {}", guilt.seat, guilt.fault);
            assert_eq!((guilt.turn as usize, verdict.turns + 1), (turns, guilt.turn));
        }
    }
    if transcript == whole.transcript {
        assert!(verdict.concluded != transcript.conclusion.is_empty() && verdict.guilty.is_none());
    }
}

/// One change. Who signs what its honest client never would joins the cheats.
fn change(transcript: &mut Transcript, whole: &Valid, choices: &mut Choices<'_>, cheats: &mut BTreeSet<Seat>) {
    let kind = choices.byte();
    let at = choices.below(transcript.turns.len());
    let turn = &mut transcript.turns[at];
    match kind % 14 {
        0 => transcript.turns.truncate(at),
        1 => drop(transcript.turns.remove(at)),
        2 => {
            let to = (at + 1 + choices.below(4)).min(transcript.turns.len());
            transcript.turns.drain(at..to);
        }
        3 => {
            let again = turn.clone();
            transcript.turns.insert(at, again);
        }
        4 => {
            let with = choices.below(transcript.turns.len());
            transcript.turns.swap(at, with);
        }
        5 => turn.signature = Signature(B256::repeat_byte(choices.byte()).repeat(2).try_into().expect("64 bytes")),
        6 => transcript.conclusion.clear(),
        7 => transcript.terms.salt = B256::repeat_byte(choices.byte()),
        8 => transcript.terms.clock = u32::from(choices.byte()),
        9 => transcript.opening.swap(0, 1),
        10 => transcript.players.swap(0, 1),
        11 => alter(turn, choices),
        _ => {
            alter(turn, choices);
            let seat = whole.author(at.min(whole.transcript.turns.len() - 1));
            sign(turn, whole, seat);
            cheats.insert(seat);
        }
    }
}

/// Changes a field of a turn, or the move together with its hash.
fn alter(turn: &mut Turn, choices: &mut Choices<'_>) {
    match choices.below(9) {
        0 => turn.state.turn = u32::from(choices.byte()),
        1 => turn.state.prev.0 = B256::repeat_byte(choices.byte()),
        2 => turn.state.action = B256::repeat_byte(choices.byte()),
        3 => turn.state.board = B256::repeat_byte(choices.byte()),
        4 => turn.state.mover = choices.byte(),
        5 => {
            let count = 1 + choices.below(8);
            turn.state.payouts = (0..count).map(|_| Amount::from_u64(u64::from(choices.byte()))).collect();
        }
        6 => {
            let at = choices.below(turn.action.len().max(1));
            if let Some(byte) = turn.action.get_mut(at) {
                *byte ^= choices.byte();
            }
        }
        7 => {
            let length = choices.below(16);
            turn.action = choices.bytes(length).to_vec();
            turn.state.action = keccak256(&turn.action);
        }
        _ => {
            let length = choices.below(16);
            let action = Action::Play { play: choices.bytes(length).to_vec(), link: None };
            turn.action = action.encode();
            turn.state.action = keccak256(&turn.action);
        }
    }
}

fn sign(turn: &mut Turn, whole: &Valid, seat: Seat) {
    let Transcript { domain, terms, .. } = &whole.transcript;
    let digest = domain.digest(turn.state.hash(terms.id(domain)).0);
    turn.signature = whole.keys[seat.index()].sign(digest).expect("signs");
}

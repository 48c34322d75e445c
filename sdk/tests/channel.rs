//! Two channels play a match against each other, with every signature and without any network.

mod common;

use alloy_primitives::{B256, keccak256};
use common::{Table, sent_turn};
use matchlock::{
    channel::{Channel, ChannelError, Fault, Input, Proposal, Status},
    dispute::Shown,
    game::{Amount, Seat},
    sign::Signer,
    transcript::{self, TranscriptError, judge},
    wire::Turn,
};

#[test]
fn a_match_is_played_concluded_and_judged() {
    let mut table = Table::open();
    for (seat, cell) in [(0, 0), (1, 3), (0, 1), (1, 4), (0, 2)] {
        table.play(seat, cell);
    }
    assert_eq!(table.channels[0].status(), Status::Over);
    assert_eq!(table.channels[0].delta(), None, "nothing is certain before the operator signed");
    table.conclude();
    assert_eq!((table.channels[0].delta(), table.channels[1].delta()), (Some(100), Some(-100)));

    let transcript = table.channels[1].transcript().expect("a transcript");
    let verdict = judge(&transcript, &table.rules).expect("evidence");
    assert!(verdict.concluded && verdict.guilty.is_none());
    assert_eq!(verdict.payouts, [Amount::from_u64(200), Amount::ZERO]);
    assert_eq!(transcript, table.channels[0].transcript().expect("a transcript"));
    let id = transcript::id(table.channels[0].id(), &transcript.turns);
    assert_ne!(id, transcript::id(table.channels[0].id(), &transcript.turns[1..]));
}

#[test]
fn replaying_any_prefix_of_the_events_restores_the_channel() {
    let mut table = Table::open();
    for (seat, cell) in [(0, 0), (1, 3), (0, 1), (1, 4), (0, 2)] {
        table.play(seat, cell);
    }
    table.conclude();
    for seat in 0..2 {
        let events = &table.events[seat];
        for cut in 1..=events.len() {
            let rules = table.rules.clone();
            let restored = Channel::restore(events[..cut].iter().cloned(), |_| Some(rules)).expect("restores");
            if cut == events.len() {
                assert_eq!(restored.status(), Status::Concluded);
                assert_eq!(restored.state(), table.channels[seat].state());
                assert_eq!(restored.transcript(), table.channels[seat].transcript());
            }
        }
    }
}

#[test]
fn a_client_that_crashed_before_the_write_signs_the_same_turn_again_and_no_other_after_it() {
    let mut table = Table::open();
    let channel = table.channels[0].clone();
    let lost = channel.decide(Input::Play(vec![4]), &table.keys[0]).expect("legal");
    drop(lost); // the write failed: nothing left, another move is as good
    table.play(0, 5);
    // Once durable, the turn is taken: the next wish is for the next turn, which is not this seat's.
    let error = table.feed(0, Input::Play(vec![4])).expect_err("turn 1 is signed");
    assert!(matches!(error, ChannelError::NotYourTurn { seat: Seat(0), mover: Seat(1), turn: 2 }));
}

#[test]
fn a_step_decided_before_another_was_committed_is_refused() {
    let mut table = Table::open();
    let first = table.channels[0].decide(Input::Play(vec![4]), &table.keys[0]).expect("legal");
    let second = table.channels[0].decide(Input::Play(vec![5]), &table.keys[0]).expect("legal");
    table.channels[0].commit(first).expect("fresh");
    assert!(matches!(table.channels[0].commit(second), Err(ChannelError::StaleStep)));
}

#[test]
fn rubbish_changes_nothing() {
    let mut table = Table::open();
    table.play(0, 4);
    let good = table.forge(1, |_| {});
    let mut unsigned = good.clone();
    unsigned.signature = table.keys[0].sign(B256::ZERO).expect("signs");
    let mut gap = good.clone();
    gap.state.turn = 7;
    let before = table.events[0].len();
    assert!(matches!(table.feed(0, Input::Turn(unsigned)), Err(ChannelError::Signature(_))));
    assert!(matches!(table.feed(0, Input::Turn(gap)), Err(ChannelError::Gap { turn: 7, have: 1 })));
    assert!(matches!(table.feed(0, Input::Play(vec![0])), Err(ChannelError::NotYourTurn { .. })));
    assert!(matches!(table.feed(1, Input::Play(vec![4])), Err(ChannelError::Rules(_))), "the cell is taken");
    assert!(matches!(table.feed(1, Input::Play(vec![200])), Err(ChannelError::Rules(_))));
    assert!(matches!(table.feed(1, Input::Play(vec![1, 2, 3])), Err(ChannelError::Rules(_))));
    assert_eq!(table.events[0].len(), before);
    table.feed(0, Input::Turn(good.clone())).expect("still goes on");
    assert!(table.feed(0, Input::Turn(good)).expect("a repeat").is_empty(), "a repeat does nothing");
}

#[test]
fn every_signed_cheat_becomes_evidence_that_a_judge_confirms() {
    type Cheat = fn(&mut Turn);
    let cheats: [(&str, Cheat); 4] = [
        ("an illegal move", |turn| {
            turn.action = matchlock::rules::Action::Play { play: vec![4], link: None }.encode();
            turn.state.action = keccak256(&turn.action);
        }),
        ("another board", |turn| turn.state.board = B256::ZERO),
        ("more money", |turn| turn.state.payouts = vec![Amount::from_u64(1), Amount::from_u64(199)]),
        ("another mover", |turn| turn.state.mover = 1),
    ];
    for (name, cheat) in cheats {
        let mut table = Table::open();
        table.play(0, 4);
        let turn = table.forge(1, cheat);
        table.feed(0, Input::Turn(turn)).expect("evidence is a step");
        let Status::Faulted(evidence) = table.channels[0].status() else { panic!("{name} went unnoticed") };
        assert_eq!(evidence.seat, Seat(1), "{name}");
        let verdict = judge(&table.channels[0].transcript().expect("open"), &table.rules).expect("evidence");
        let guilty = verdict.guilty.expect(name);
        assert_eq!((guilty.seat, guilty.turn), (Seat(1), 2), "{name}");
        assert_eq!(verdict.payouts, [Amount::from_u64(200), Amount::ZERO], "{name}: the cheat never acted");
    }
}

/// A header whose move nobody else can show, or that follows nothing known, could be anybody's making for a third party:
/// its author counts as one that has not moved.
#[test]
fn a_signed_turn_that_proves_nothing_to_others_is_a_stall() {
    type Cheat = fn(&mut Turn);
    let cheats: [(&str, Cheat); 2] = [
        ("a move that the header does not name", |turn| turn.state.action = B256::ZERO),
        ("a header that links nowhere", |turn| turn.state.prev = Default::default()),
    ];
    for (name, cheat) in cheats {
        let mut table = Table::open();
        table.play(0, 4);
        let turn = table.forge(1, cheat);
        table.feed(0, Input::Turn(turn)).expect_err(name);
        assert_eq!(table.channels[0].status(), Status::Open { mover: Seat(1) }, "{name}");
        let verdict = judge(&table.channels[0].transcript().expect("open"), &table.rules).expect("evidence");
        let held = verdict.holds.expect(name);
        assert_eq!((verdict.guilty, held.seat, held.turn), (None, Seat(1), 2), "{name}");
        assert_eq!(verdict.payouts, [Amount::from_u64(200), Amount::ZERO], "{name}: the cheat never acted");
    }
}

#[test]
fn what_anybody_can_do_to_a_turn_on_its_way_is_refused_and_is_no_evidence() {
    let mut table = Table::open();
    table.play(0, 4);
    let good = table.forge(1, |_| {});
    let other_move =
        Turn { action: matchlock::rules::Action::Play { play: vec![4], link: None }.encode(), ..good.clone() };
    let refused = table.feed(0, Input::Turn(other_move)).expect_err("not the move that was signed");
    assert!(matches!(refused, ChannelError::OtherMove { turn: 2 }), "{refused}");
    // Seat 1 may have been shown another first turn, and built on that one.
    let elsewhere = table.forge(1, |turn| turn.state.prev = Default::default());
    let refused = table.feed(0, Input::Turn(elsewhere)).expect_err("it does not follow");
    assert!(matches!(refused, ChannelError::Unlinked { turn: 2 }), "{refused}");
    table.feed(0, Input::Turn(good)).expect("still goes on");
}

#[test]
fn nobody_is_framed_by_turns_left_out_or_by_a_move_put_under_its_header() {
    let mut table = Table::open();
    for (seat, cell) in [(0, 0), (1, 3), (0, 1), (1, 4), (0, 2)] {
        table.play(seat, cell);
    }
    let whole = table.channels[0].transcript().expect("a transcript");
    for from in 0..whole.turns.len() {
        for to in from + 1..whole.turns.len() {
            let mut cut = whole.clone();
            cut.turns.drain(from..to);
            judge(&cut, &table.rules).expect_err("the turn after is not linked, or not by its author");
        }
        for cell in 0..=9 {
            let mut changed = whole.clone();
            changed.turns[from].action = matchlock::rules::Action::Play { play: vec![cell], link: None }.encode();
            if changed != whole {
                let refused = judge(&changed, &table.rules).expect_err("not what was signed");
                assert_eq!(refused, TranscriptError::OtherMove { turn: from as u32 + 1 });
            }
        }
    }
    // Seat 0 signs another first turn; the honest second turn was built on the one that was played.
    let mut branch = whole.clone();
    branch.turns[0] = Table::open().play(0, 8);
    assert_ne!(branch, whole);
    assert_eq!(judge(&branch, &table.rules), Err(TranscriptError::Unlinked { turn: 2 }));
}

#[test]
fn two_headers_for_one_turn_are_evidence() {
    let mut table = Table::open();
    let first = table.forge(0, |_| {});
    let mut other = table.channels[0].clone();
    let step = other.decide(Input::Play(vec![8]), &table.keys[0]).expect("legal");
    let second = sent_turn(&other.commit(step).expect("fresh"));
    table.feed(1, Input::Turn(first)).expect("good");
    table.feed(1, Input::Turn(second)).expect("evidence");
    let Status::Faulted(evidence) = table.channels[1].status() else { panic!("unnoticed") };
    assert_eq!((evidence.seat, evidence.fault), (Seat(0), Fault::Equivocation));
    let verdict = judge(&table.channels[1].transcript().expect("open"), &table.rules).expect("evidence");
    let guilty = verdict.guilty.expect("two headers");
    assert_eq!((guilty.seat, guilty.turn, guilty.fault), (Seat(0), 1, Fault::Equivocation));
    assert_eq!((verdict.turns, verdict.holds), (0, None), "it stops below the turn");
    assert_eq!(verdict.payouts, [Amount::ZERO, Amount::from_u64(200)]);
}

#[test]
fn terms_that_no_honest_seat_signs_are_refused() {
    let table = Table::proposed();
    let propose = |change: fn(&mut Proposal)| {
        let mut proposal = Proposal {
            domain: table.domain,
            operator: table.operator.address(),
            terms: table.terms.clone(),
            players: table.channels[0].players().to_vec(),
            seat: Seat(0),
            secret: B256::repeat_byte(1),
        };
        change(&mut proposal);
        Channel::propose(proposal, table.rules.clone(), &table.keys[0]).map(|_| ()).expect_err("refused")
    };
    assert!(matches!(propose(|p| p.terms.seats[1] = p.terms.seats[0]), ChannelError::Terms(_)));
    assert!(matches!(propose(|p| p.terms.seeds[1] = p.terms.seeds[0]), ChannelError::Terms(_)));
    assert!(matches!(propose(|p| p.terms.stakes.truncate(1)), ChannelError::Terms(_)));
    assert!(matches!(propose(|p| p.terms.start = B256::ZERO), ChannelError::OtherStart));
    assert!(matches!(propose(|p| p.terms.rules.0 = B256::ZERO), ChannelError::OtherRules));
    assert!(matches!(propose(|p| p.terms.max_turns = 1_000_000), ChannelError::MaxTurns { .. }));
    assert!(matches!(propose(|p| p.players.swap(0, 1)), ChannelError::Players));
    assert!(matches!(propose(|p| p.secret = B256::ZERO), ChannelError::OtherAnchor));
}

#[test]
fn a_guarantee_without_every_signature_opens_nothing() {
    let mut table = Table::proposed();
    let id = table.channels[0].id();
    let (signatures, operator) = (table.all_sign(id.0), table.operator.sign(id.0).expect("signs"));
    let swapped = vec![signatures[1], signatures[0]];
    for (signatures, operator) in
        [(swapped, operator), (signatures[..1].to_vec(), operator), (signatures.clone(), signatures[0])]
    {
        table.feed(0, Input::Guarantee { signatures, operator }).expect_err("not everyone's");
    }
    assert_eq!(table.channels[0].have(), None);
    table.feed(0, Input::Cancelled).expect("given up");
    assert_eq!(table.channels[0].delta(), Some(0), "stakes back");
}

#[test]
fn a_match_past_its_expiry_is_void_and_not_a_moment_before() {
    let mut table = Table::open();
    table.play(0, 4);
    let expiry = table.terms.expiry;
    let early = table.feed(0, Input::Expired { now: expiry }).expect_err("a result is still possible");
    assert!(matches!(early, ChannelError::NotExpired { .. }), "{early}");
    assert_eq!(table.channels[0].delta(), None);
    table.feed(0, Input::Expired { now: expiry + 1 }).expect("void");
    assert_eq!((table.channels[0].delta(), table.channels[0].status()), (Some(0), Status::Void));
    assert_eq!(table.channels[0].transcript().expect("still there").turns.len(), 1);
    let events = table.events[0].clone();
    let restored = Channel::restore(events, |_| Some(table.rules.clone())).expect("its own events");
    assert_eq!((restored.delta(), restored.status()), (Some(0), Status::Void));
    // Told again, and too late for anything else.
    assert!(table.feed(0, Input::Expired { now: expiry + 1 }).expect("known").is_empty());
    table.feed(0, Input::Play(vec![0])).expect_err("void");
}

#[test]
fn a_result_that_everyone_signed_never_expires() {
    let mut table = Table::open();
    for (seat, cell) in [(0, 0), (1, 3), (0, 1), (1, 4), (0, 2)] {
        table.play(seat, cell);
    }
    table.conclude();
    let won = table.channels[0].delta();
    table.feed(0, Input::Expired { now: u64::MAX }).expect_err("concluded");
    assert_eq!(table.channels[0].delta(), won);
}

#[test]
fn a_transcript_cut_or_changed_anywhere_is_no_evidence_against_an_honest_seat() {
    let mut table = Table::open();
    for (seat, cell) in [(0, 0), (1, 3), (0, 1), (1, 4), (0, 2)] {
        table.play(seat, cell);
    }
    table.conclude();
    let transcript = table.channels[0].transcript().expect("a transcript");
    let bytes = postcard::to_allocvec(&transcript).expect("encodes");
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        let Ok(damaged) = postcard::from_bytes::<transcript::Transcript>(&damaged) else { continue };
        match judge(&damaged, &table.rules) {
            Err(_) => refused += 1,
            Ok(verdict) => assert!(verdict.guilty.is_none(), "byte {at} frames an honest seat"),
        }
    }
    assert!(refused > bytes.len() / 7 / 2);
}

/// Found by the simulator: a frame was lost before the server vanished, and the others went to court.
#[test]
fn a_seat_that_never_saw_its_match_open_learns_of_it_from_the_court_and_plays_on() {
    let mut table = Table::proposed().guaranteed();
    let opening = table.opening();
    table.feed(0, Input::Opened(opening)).expect("seat 0 hears of it");
    assert_eq!(table.channels[1].status(), Status::Opening);
    let turn = sent_turn(&table.feed(0, Input::Play(vec![4])).expect("a legal move"));
    let shown =
        Shown { state: turn.state.clone(), action: turn.action.clone(), signatures: vec![(Seat(0), turn.signature)] };

    table.feed(1, Input::Shown(vec![shown])).expect("what the court has taken");
    assert_eq!(table.channels[1].status(), Status::Open { mover: Seat(1) });
    let again = Channel::restore(table.events[1].clone(), |_| Some(table.rules.clone())).expect("its own events");
    assert_eq!(again.state(), table.channels[1].state());
    table.feed(1, Input::Play(vec![0])).expect("it plays on");
    // Seat 0 has signed what follows from State 0, which is as good (R4.5).
    let verdict = judge(&table.channels[1].transcript().expect("open"), &table.rules).expect("a proof");
    assert_eq!((verdict.turns, verdict.guilty), (2, None));
}

#[test]
fn a_match_that_was_never_opened_ends_as_the_chain_says() {
    let mut table = Table::proposed().guaranteed();
    let payouts = vec![Amount::from_u64(200), Amount::ZERO];
    table.feed(1, Input::Ruled { payouts }).expect("the chain's word");
    assert_eq!((table.channels[1].status(), table.channels[1].delta()), (Status::Ruled, Some(-100)));
    // Before the guarantee nothing can have been opened.
    let mut table = Table::proposed();
    table.feed(1, Input::Shown(Vec::new())).expect("no news");
    assert_eq!(table.channels[1].status(), Status::Opening);
    assert!(table.channels[1].transcript().is_none());
}

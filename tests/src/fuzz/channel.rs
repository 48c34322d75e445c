//! Inputs into two channels of one match: honest ones, twisted ones, again, in any order, with crashes in between.
//!
//! Whatever comes, a refused input changes nothing, no seat signs two headers for one turn (R5.10), nobody is accused of
//! what it did not sign, and the events restore the channel that they come from.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::{Address, B256, keccak256};
use matchlock::{
    abi::{Domain, StateHash},
    channel::{Channel, Effect, Event, Input, Status},
    game::{Amount, Seat},
    rules::{Action, Rules},
    sign::{Signature, Signer},
    wire::{ToServer, Turn},
};
use matchlock_demo::{
    Strength,
    bots::{self, Player},
};

use super::{Choices, GAMES};
use crate::table::Table;

/// Inputs of one run: what a seat does with more shows in fewer, and the runs stay fast.
const MAX_INPUTS: usize = 64;

/// A match between two honest clients, whose keys somebody else has as well.
struct Match {
    rules: Arc<dyn Rules>,
    domain: Domain,
    table: Table,
    players: Vec<Box<dyn Player>>,
    events: Vec<Vec<Event>>,
    /// Every turn that was ever sent, twisted or not.
    sent: Vec<Turn>,
    /// What each seat has signed for each turn.
    signed: BTreeMap<(Seat, u32), StateHash>,
    /// Seats whose keys signed what their clients did not.
    cheats: BTreeSet<Seat>,
}

/// The bytes choose a game and what happens in it.
pub fn fuzz_channel(data: &[u8]) {
    let mut choices = Choices(data);
    let mut game = Match::new(&GAMES[choices.below(GAMES.len())], choices.byte());
    if choices.below(8) != 0 {
        game.open();
    }
    for _ in 0..MAX_INPUTS {
        if choices.is_over() {
            break;
        }
        game.step(&mut choices);
    }
    for seat in [Seat(0), Seat(1)] {
        game.crash(seat);
    }
}

impl Match {
    fn new(rules: &Arc<dyn Rules>, salt: u8) -> Match {
        let domain = Domain { chain_id: 31337, arena: Address::repeat_byte(3), salt: B256::ZERO };
        let proposals = Table::proposals(domain, rules, 2, 0, u64::from(salt));
        let (table, events) = Table::proposed(proposals, rules);
        let name = rules.name();
        let player = |seat| bots::player(name, Strength::Easy, Seat(seat), u64::from(salt)).expect("a demo game");
        Match {
            rules: rules.clone(),
            domain,
            table,
            players: vec![player(0), player(1)],
            events: events.into_iter().map(|event| vec![event]).collect(),
            sent: Vec::new(),
            signed: BTreeMap::new(),
            cheats: BTreeSet::new(),
        }
    }

    fn open(&mut self) {
        for input in self.table.opening(self.domain) {
            for seat in [Seat(0), Seat(1)] {
                self.feed(seat, input.clone());
            }
        }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        let kind = choices.byte();
        let seat = Seat(kind >> 7);
        match kind & 15 {
            0..=3 => self.play(seat),
            4 => {
                let length = choices.below(8);
                self.feed(seat, Input::Play(choices.bytes(length).to_vec()));
            }
            5..=8 => {
                if let Some(turn) = self.sent.last().cloned() {
                    self.feed(seat, Input::Turn(turn));
                }
            }
            9 => {
                if let Some(turn) = self.any_turn(choices) {
                    self.feed(seat, Input::Turn(turn));
                }
            }
            10 | 11 => self.twist(seat, kind & 64 != 0, choices),
            12 => {
                let [guarantee, opened] = self.table.opening(self.domain);
                let mut input = if kind & 32 == 0 { guarantee } else { opened };
                if let (true, Input::Guarantee { signatures, .. } | Input::Opened(signatures)) =
                    (kind & 16 != 0, &mut input)
                {
                    signatures.swap(0, 1);
                }
                self.feed(seat, input);
            }
            13 => self.conclude(seat, kind),
            14 => {
                self.feed(
                    seat,
                    match kind >> 4 & 3 {
                        0 => Input::Expired { now: choices.number() % 4_000 },
                        1 => Input::Ruled { payouts: vec![Amount::from_u64(1_000); 2] },
                        2 => Input::Cancelled,
                        _ => Input::Opened(vec![Signature([choices.byte(); 64]); choices.below(4)]),
                    },
                );
            }
            _ => self.crash(seat),
        }
    }

    /// What the seat's player wants, if it is to act.
    fn play(&mut self, seat: Seat) {
        let channel = &self.table.channels[seat.index()];
        if channel.status() != (Status::Open { mover: seat }) || channel.placed().reveal {
            return;
        }
        let position = channel.placed().position.clone();
        let play = self.players[seat.index()].choose(&position, seat).expect("a position of this game");
        self.feed(seat, Input::Play(play));
    }

    fn any_turn(&self, choices: &mut Choices<'_>) -> Option<Turn> {
        let at = choices.below(self.sent.len().max(1));
        self.sent.get(at).cloned()
    }

    /// A turn that nobody's client sent: signed by the other seat's key, or left with the signature that it had.
    fn twist(&mut self, to: Seat, signed: bool, choices: &mut Choices<'_>) {
        let Some(mut turn) = self.any_turn(choices) else { return };
        match choices.below(8) {
            0 => turn.state.turn = turn.state.turn.wrapping_add(u32::from(choices.byte())),
            1 => turn.state.prev.0 = B256::repeat_byte(choices.byte()),
            2 => turn.state.board = B256::repeat_byte(choices.byte()),
            3 => turn.state.mover = choices.byte(),
            4 => turn.state.payouts = vec![Amount::from_u64(u64::from(choices.byte())); choices.below(4)],
            5 => turn.action.push(choices.byte()),
            6 => {
                turn.action = Action::Play { play: vec![choices.byte()], link: None }.encode();
                turn.state.action = keccak256(&turn.action);
            }
            // The next turn of whoever is to move, out of nothing.
            _ => {
                let at = self.table.channels[to.index()].state();
                (turn.state.turn, turn.state.prev) = (at.turn + 1, at.hash(self.table.channels[0].id()));
            }
        }
        if signed {
            let cheat = to.opponent();
            let digest = self.domain.digest(turn.state.hash(self.table.channels[0].id()).0);
            turn.signature = self.table.keys[cheat.index()].sign(digest).expect("signs");
            self.cheats.insert(cheat);
        }
        self.sent.push(turn.clone());
        self.feed(to, Input::Turn(turn));
    }

    /// Everybody's signature on the state of the seat's channel, or on another.
    fn conclude(&mut self, seat: Seat, kind: u8) {
        let channel = &self.table.channels[seat.index()];
        let hash = if kind & 16 == 0 { channel.state().hash(channel.id()).0 } else { B256::repeat_byte(kind) };
        let digest = self.domain.digest(hash);
        let sign = |signer: &dyn Signer| signer.sign(digest).expect("signs");
        let signatures = self.table.keys.iter().map(|key| sign(key)).collect();
        let operator = if kind & 32 == 0 { sign(&self.table.operator) } else { sign(&self.table.keys[0]) };
        self.feed(seat, Input::Final { signatures, operator });
    }

    fn feed(&mut self, seat: Seat, input: Input) {
        let at = seat.index();
        let before = told(&self.table.channels[at]);
        let decided = self.table.channels[at].decide(input, &self.table.keys[at]);
        assert_eq!(told(&self.table.channels[at]), before, "deciding changed {seat}");
        let Ok(step) = decided else { return };
        self.events[at].extend_from_slice(step.events());
        let effects = self.table.channels[at].commit(step).expect("a fresh step");
        let id = self.table.channels[at].id();
        for effect in effects {
            match effect {
                Effect::Send(ToServer::Turn { turn, .. }) => {
                    self.has_signed(seat, turn.state.turn, turn.state.hash(id));
                    self.sent.push(turn);
                }
                Effect::Send(ToServer::Ack { turn, .. }) => {
                    let acknowledged = self.table.channels[at].state();
                    assert_eq!(acknowledged.turn, turn);
                    self.has_signed(seat, turn, acknowledged.hash(id));
                }
                _ => {}
            }
        }
        if let Status::Faulted(evidence) = self.table.channels[at].status() {
            assert!(self.cheats.contains(&evidence.seat), "{seat} accuses an honest {}: {evidence:?}", evidence.seat);
        }
    }

    /// R5.10.
    fn has_signed(&mut self, seat: Seat, turn: u32, hash: StateHash) {
        let first = *self.signed.entry((seat, turn)).or_insert(hash);
        assert_eq!(first, hash, "{seat} has signed two headers for turn {turn}");
    }

    /// The client dies, and comes back with what it had stored.
    fn crash(&mut self, seat: Seat) {
        let at = seat.index();
        let events = self.events[at].iter().cloned();
        let restored = Channel::restore(events, |_| Some(self.rules.clone())).expect("its own events");
        assert_eq!(told(&restored), told(&self.table.channels[at]), "{seat} came back as another");
        self.table.channels[at] = restored;
    }
}

/// Everything that a channel holds, but for how often it has changed: a restored one counts anew.
fn told(channel: &Channel) -> String {
    let all = format!("{channel:?}");
    all.rsplit_once("version:").map(|(all, _)| all.to_owned()).expect("a channel has a version")
}

//! Two channels with every signature and without any network.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use matchlock::{
    abi::{Arrival, Domain, MatchTerms, State},
    account::Player,
    channel::{self, Channel, ChannelError, Effect, Event, Input, Proposal},
    doc::TicTacToe,
    game::{Amount, Seat},
    rules::{GameRules, Rules},
    sign::{Key, Signature, Signer},
    wire::{Arrived, ToServer, Turn},
};

/// A match in play, as both seats and a test see it.
pub struct Table {
    pub keys: Vec<Key>,
    pub operator: Key,
    pub rules: Arc<dyn Rules>,
    pub terms: MatchTerms,
    pub domain: Domain,
    pub channels: Vec<Channel>,
    pub events: Vec<Vec<Event>>,
}

pub fn key(n: u8) -> Key {
    Key::from_bytes(&keccak256([n])).expect("a key")
}

impl Table {
    pub fn proposed() -> Table {
        let rules = GameRules::shared(TicTacToe, Default::default());
        Table::proposed_by([rules.clone(), rules])
    }

    /// Each seat with its own build of the rules.
    pub fn proposed_by(builds: [Arc<dyn Rules>; 2]) -> Table {
        let (keys, operator) = (vec![key(1), key(2)], key(9));
        let rules = builds[0].clone();
        let players: Vec<Player> =
            keys.iter().map(|key| Player { owner: Address::repeat_byte(7), key: key.address() }).collect();
        let stakes = vec![Amount::from_u64(100); 2];
        let secrets = [B256::repeat_byte(1), B256::repeat_byte(2)];
        let seeds: Vec<B256> = secrets.iter().map(|secret| channel::anchor(*secret, &*rules)).collect();
        let start = State::start(&rules.start(&stakes, &seeds).expect("a start")).start_commitment();
        let terms = MatchTerms {
            seats: players.iter().map(Player::account).collect(),
            indexes: vec![0, 5],
            stakes,
            rules: rules.id(),
            budget: 0,
            referee: Address::ZERO,
            clock: 30,
            max_turns: rules.max_turns(),
            chain_time: 60,
            open_by: 1_000,
            expiry: 2_000,
            seeds,
            start,
            salt: B256::ZERO,
        };
        let domain = Domain { chain_id: 1, arena: Address::repeat_byte(3), salt: B256::ZERO };
        let mut table =
            Table { keys, operator, rules, terms, domain, channels: Vec::new(), events: vec![Vec::new(); 2] };
        for (seat, secret) in secrets.into_iter().enumerate() {
            let proposal = Proposal {
                domain,
                operator: table.operator.address(),
                terms: table.terms.clone(),
                players: players.clone(),
                seat: Seat(seat as u8),
                secret,
            };
            let (mut channel, step) =
                Channel::propose(proposal, builds[seat].clone(), &table.keys[seat]).expect("sound terms");
            table.events[seat].extend_from_slice(step.events());
            channel.commit(step).expect("a fresh step");
            table.channels.push(channel);
        }
        table
    }

    pub fn open() -> Table {
        Table::proposed().opened()
    }

    /// The same match, open.
    pub fn opened(self) -> Table {
        let mut table = self.guaranteed();
        let opening = table.opening();
        for seat in 0..2 {
            table.feed(seat, Input::Opened(opening.clone())).expect("opened");
        }
        table
    }

    /// The same match, signed by all and by the operator.
    pub fn guaranteed(self) -> Table {
        let mut table = self;
        let id = table.channels[0].id();
        let signatures = table.all_sign(id.0);
        let operator = table.operator.sign(id.0).expect("signs");
        for seat in 0..2 {
            table.feed(seat, Input::Guarantee { signatures: signatures.clone(), operator }).expect("guaranteed");
        }
        table
    }

    /// Both seats' signatures on State 0, before any turn.
    pub fn opening(&self) -> Vec<Signature> {
        let start = self.channels[0].state().hash(self.channels[0].id());
        self.all_sign(self.domain.digest(start.0))
    }

    pub fn all_sign(&self, digest: B256) -> Vec<Signature> {
        self.keys.iter().map(|key| key.sign(digest).expect("signs")).collect()
    }

    pub fn feed(&mut self, seat: usize, input: Input) -> Result<Vec<Effect>, ChannelError> {
        let step = self.channels[seat].decide(input, &self.keys[seat])?;
        self.events[seat].extend_from_slice(step.events());
        self.channels[seat].commit(step)
    }

    /// Plays a cell and brings the turn to the other seat.
    pub fn play(&mut self, seat: usize, cell: u8) -> Turn {
        let effects = self.feed(seat, Input::Play(vec![cell])).expect("a legal move");
        let turn = sent_turn(&effects);
        self.feed(1 - seat, Input::Turn(turn.clone())).expect("a good turn");
        turn
    }

    /// A turn that `seat` signs whatever the rules say.
    pub fn forge(&self, seat: usize, change: impl FnOnce(&mut Turn)) -> Turn {
        let mut cheat = self.channels[seat].clone();
        let step = cheat.decide(Input::Play(vec![free_cell(&cheat)]), &self.keys[seat]).expect("a legal move");
        let mut turn = sent_turn(&cheat.commit(step).expect("fresh"));
        change(&mut turn);
        let digest = self.domain.digest(turn.state.hash(self.channels[0].id()).0);
        turn.signature = self.keys[seat].sign(digest).expect("signs");
        turn
    }

    /// The operator's receipt of a turn that seat 0 holds.
    pub fn arrived(&self, turn: u32, at: u64) -> Arrived {
        let transcript = self.channels[0].transcript().expect("open");
        let id = self.channels[0].id();
        let state = match (turn as usize).checked_sub(1) {
            None => State::start(&self.rules.start(&self.terms.stakes, &self.terms.seeds).expect("a start")).hash(id),
            Some(at) => transcript.turns[at].state.hash(id),
        };
        let digest = self.domain.digest(Arrival { match_id: id, turn, state, at }.struct_hash());
        Arrived { turn, state, at, signature: self.operator.sign(digest).expect("signs") }
    }

    pub fn conclude(&mut self) {
        let digest = self.domain.digest(self.channels[0].state().hash(self.channels[0].id()).0);
        let (signatures, operator) = (self.all_sign(digest), self.operator.sign(digest).expect("signs"));
        for seat in 0..2 {
            self.feed(seat, Input::Final { signatures: signatures.clone(), operator }).expect("final");
        }
    }
}

pub fn free_cell(channel: &Channel) -> u8 {
    let board: [Option<Seat>; 9] = matchlock::rules::board(&channel.placed().position).expect("a board");
    board.iter().position(Option::is_none).expect("a free cell") as u8
}

pub fn sent_turn(effects: &[Effect]) -> Turn {
    effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Send(ToServer::Turn { turn, .. }) => Some(turn.clone()),
            _ => None,
        })
        .expect("a turn was sent")
}

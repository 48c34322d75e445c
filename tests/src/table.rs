//! A match in one process without a network: every channel, every signature, no server.

use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use matchlock::{
    abi::{Domain, MatchTerms, State},
    account::Player,
    channel::{self, Channel, Effect, Input, Proposal},
    game::{Amount, Seat},
    rules::Rules,
    sign::{Key, Signature, Signer},
    wire::{ToServer, Turn},
};
use matchlock_demo::{Strength, bots};

/// Channels of all seats of one open match.
#[derive(Debug)]
pub struct Table {
    /// One for each seat.
    pub channels: Vec<Channel>,
    /// Each seat's account key.
    pub keys: Vec<Key>,
    /// The operator's.
    pub operator: Key,
}

/// Who owns every account here.
pub(crate) const OWNER: Address = Address::repeat_byte(7);

/// A key that is the same at every run.
pub fn key(name: &str, n: u64) -> Key {
    Key::from_bytes(&keccak256([name.as_bytes(), &n.to_be_bytes()].concat())).expect("a hash below the curve's order")
}

impl Table {
    /// An open match of these rules for `seats`, on no chain.
    pub fn open(rules: &Arc<dyn Rules>, seats: usize, salt: u64) -> Table {
        let domain = Domain { chain_id: 31337, arena: Address::repeat_byte(3), salt: B256::ZERO };
        Table::open_at(domain, rules, seats, 0, salt)
    }

    /// The account of a seat of every table: always the same players, all of one owner.
    pub fn player(seat: usize) -> Player {
        Player { owner: OWNER, key: key("seat", seat as u64).address() }
    }

    /// An open match whose signatures count in this arena, if its operator is this module's.
    pub fn open_at(domain: Domain, rules: &Arc<dyn Rules>, seats: usize, index: u32, salt: u64) -> Table {
        Table::open_until(domain, rules, seats, index, salt, [1_000, 2_000])
    }

    /// The same with `openBy` and `expiry`.
    pub fn open_until(
        domain: Domain,
        rules: &Arc<dyn Rules>,
        seats: usize,
        index: u32,
        salt: u64,
        [open_by, expiry]: [u64; 2],
    ) -> Table {
        let keys: Vec<Key> = (0..seats as u64).map(|seat| key("seat", seat)).collect();
        let operator = key("operator", 0);
        let players: Vec<Player> = (0..seats).map(Table::player).collect();
        let secrets: Vec<B256> =
            (0..seats as u64).map(|seat| keccak256([salt, seat].map(u64::to_be_bytes).concat())).collect();
        let stakes = vec![Amount::from_u64(1_000); seats];
        let seeds: Vec<B256> = secrets.iter().map(|secret| channel::anchor(*secret, &**rules)).collect();
        let start = State::start(&rules.start(&stakes, &seeds).expect("rules that start"));
        let terms = MatchTerms {
            seats: players.iter().map(Player::account).collect(),
            indexes: vec![index; seats],
            stakes,
            rules: rules.id(),
            budget: 0,
            referee: Address::ZERO,
            clock: 60,
            max_turns: rules.max_turns(),
            chain_time: 60,
            open_by,
            expiry,
            seeds,
            start: start.start_commitment(),
            salt: B256::from(alloy_primitives::U256::from(salt)),
        };
        let id = terms.id(&domain);
        let all =
            |digest: B256| -> Vec<Signature> { keys.iter().map(|key| key.sign(digest).expect("signs")).collect() };
        let guarantee = Input::Guarantee { signatures: all(id.0), operator: operator.sign(id.0).expect("signs") };
        let opening = Input::Opened(all(domain.digest(start.hash(id).0)));
        let mut channels = Vec::new();
        for (i, secret) in secrets.into_iter().enumerate() {
            let proposal = Proposal {
                domain,
                operator: operator.address(),
                terms: terms.clone(),
                players: players.clone(),
                seat: Seat(i as u8),
                secret,
            };
            let (mut channel, step) = Channel::propose(proposal, rules.clone(), &keys[i]).expect("sound terms");
            channel.commit(step).expect("a fresh step");
            for input in [guarantee.clone(), opening.clone()] {
                let step = channel.decide(input, &keys[i]).expect("it opens");
                channel.commit(step).expect("a fresh step");
            }
            channels.push(channel);
        }
        Table { channels, keys, operator }
    }

    /// Lets bots play it to the end; every turn goes to every seat.
    pub fn play_out(&mut self, seed: u64) {
        let name = self.channels[0].rules().name();
        let mut bots: Vec<_> = (0..self.keys.len() as u8)
            .map(|seat| bots::player(name, Strength::Easy, Seat(seat), seed).expect("a demo game"))
            .collect();
        while let Some(mover) = self.channels[0].state().mover() {
            let position = self.channels[mover.index()].placed().position.clone();
            let play = bots[mover.index()].choose(&position, mover).expect("a position of this game");
            let mut sent: Vec<_> = self.feed(mover, Input::Play(play)).into_iter().map(|turn| (mover, turn)).collect();
            while !sent.is_empty() {
                let (author, turn) = sent.remove(0);
                for seat in (0..self.keys.len() as u8).map(Seat).filter(|seat| *seat != author) {
                    let answers = self.feed(seat, Input::Turn(turn.clone()));
                    sent.extend(answers.into_iter().map(|turn| (seat, turn)));
                }
            }
        }
    }

    /// Every seat's signature on the newest state, then the operator's.
    pub fn conclusion(&self) -> Vec<Signature> {
        let channel = &self.channels[0];
        let transcript = channel.transcript().expect("an open match");
        let digest = transcript.domain.digest(channel.state().hash(channel.id()).0);
        self.keys.iter().chain([&self.operator]).map(|key| key.sign(digest).expect("signs")).collect()
    }

    /// Gives an input to one seat; the turns that it sends.
    ///
    /// # Panics
    /// If the seat refuses it.
    pub fn feed(&mut self, seat: Seat, input: Input) -> Vec<Turn> {
        let step = self.channels[seat.index()].decide(input, &self.keys[seat.index()]).expect("a sound input");
        let effects = self.channels[seat.index()].commit(step).expect("a fresh step");
        effects
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Send(ToServer::Turn { turn, .. }) => Some(turn),
                _ => None,
            })
            .collect()
    }
}

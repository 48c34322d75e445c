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

/// A key that is the same at every run.
pub fn key(name: &str, n: u64) -> Key {
    Key::from_bytes(&keccak256([name.as_bytes(), &n.to_be_bytes()].concat())).expect("a hash below the curve's order")
}

impl Table {
    /// An open match of these rules for `seats`.
    pub fn open(rules: &Arc<dyn Rules>, seats: usize, salt: u64) -> Table {
        let keys: Vec<Key> = (0..seats as u64).map(|seat| key("seat", seat)).collect();
        let operator = key("operator", 0);
        let players: Vec<Player> =
            keys.iter().map(|key| Player { owner: Address::repeat_byte(7), key: key.address() }).collect();
        let secrets: Vec<B256> =
            (0..seats as u64).map(|seat| keccak256([salt, seat].map(u64::to_be_bytes).concat())).collect();
        let stakes = vec![Amount::from_u64(1_000); seats];
        let seeds: Vec<B256> = secrets.iter().map(|secret| channel::anchor(*secret, &**rules)).collect();
        let start = State::start(&rules.start(&stakes, &seeds).expect("rules that start"));
        let domain = Domain { chain_id: 31337, arena: Address::repeat_byte(3), salt: B256::ZERO };
        let terms = MatchTerms {
            seats: players.iter().map(Player::account).collect(),
            indexes: vec![0; seats],
            stakes,
            rules: rules.id(),
            budget: 0,
            referee: Address::ZERO,
            clock: 60,
            max_turns: rules.max_turns(),
            chain_time: 60,
            open_by: 1_000,
            expiry: 2_000,
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

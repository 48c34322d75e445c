//! A match in one process without a network: every channel, every signature, no server.

use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use matchlock::{
    abi::{Domain, MatchTerms, State},
    account::Player,
    channel::{self, Channel, Effect, Event, Input, Proposal},
    game::{Amount, Seat},
    rules::Rules,
    sign::{Key, Signature, Signer},
    transcript::Transcript,
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
        let mut proposals = Table::proposals(domain, rules, seats, index, salt);
        for proposal in &mut proposals {
            (proposal.terms.open_by, proposal.terms.expiry) = (open_by, expiry);
        }
        Table::of(proposals, rules)
    }

    /// What every seat of such a table is proposed.
    pub fn proposals(domain: Domain, rules: &Arc<dyn Rules>, seats: usize, index: u32, salt: u64) -> Vec<Proposal> {
        let players: Vec<Player> = (0..seats).map(Table::player).collect();
        let secrets: Vec<B256> =
            (0..seats as u64).map(|seat| keccak256([salt, seat].map(u64::to_be_bytes).concat())).collect();
        let stakes = vec![Amount::from_u64(1_000); seats];
        let seeds: Vec<B256> = secrets.iter().map(|secret| channel::anchor(*secret, &**rules)).collect();
        let terms = MatchTerms {
            seats: players.iter().map(Player::account).collect(),
            indexes: vec![index; seats],
            start: State::start(&rules.start(&stakes, &seeds).expect("rules that start")).start_commitment(),
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
            salt: B256::from(alloy_primitives::U256::from(salt)),
        };
        let operator = key("operator", 0).address();
        let seats = secrets.into_iter().zip(0..);
        let proposal = |(secret, seat)| {
            let (terms, players) = (terms.clone(), players.clone());
            Proposal { domain, operator, terms, players, seat: Seat(seat), secret }
        };
        seats.map(proposal).collect()
    }

    /// The match of these proposals, opened.
    pub fn of(proposals: Vec<Proposal>, rules: &Arc<dyn Rules>) -> Table {
        let domain = proposals[0].domain;
        let (mut table, _) = Table::proposed(proposals, rules);
        for input in table.opening(domain) {
            for seat in 0..table.keys.len() as u8 {
                table.feed(Seat(seat), input.clone());
            }
        }
        table
    }

    /// The match of these proposals, which every seat has signed; with each seat's record of that.
    pub fn proposed(proposals: Vec<Proposal>, rules: &Arc<dyn Rules>) -> (Table, Vec<Event>) {
        let keys: Vec<Key> = (0..proposals.len() as u64).map(|seat| key("seat", seat)).collect();
        let (mut channels, mut events) = (Vec::new(), Vec::new());
        for (proposal, key) in proposals.into_iter().zip(&keys) {
            let (mut channel, step) = Channel::propose(proposal, rules.clone(), key).expect("sound terms");
            events.extend_from_slice(step.events());
            channel.commit(step).expect("a fresh step");
            channels.push(channel);
        }
        (Table { channels, keys, operator: key("operator", 0) }, events)
    }

    /// What opens a match that was proposed to all seats: the guarantee, then everyone's signature on State 0.
    pub fn opening(&self, domain: Domain) -> [Input; 2] {
        let channel = &self.channels[0];
        let id = channel.id();
        let all =
            |digest: B256| -> Vec<Signature> { self.keys.iter().map(|key| key.sign(digest).expect("signs")).collect() };
        let operator = self.operator.sign(id.0).expect("signs");
        let opened = all(domain.digest(channel.state().hash(id).0));
        [Input::Guarantee { signatures: all(id.0), operator }, Input::Opened(opened)]
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

    /// Its transcript up to a turn where the author plays foul: it signs the move before again, as if that were legal.
    ///
    /// # Panics
    /// If the match has not come so far, or to the end before.
    pub fn with_foul(&self, turn: usize) -> Transcript {
        let channel = &self.channels[0];
        let mut transcript = channel.transcript().expect("an open match");
        transcript.turns.truncate(turn);
        let [.., before, foul] = &mut transcript.turns[..] else { panic!("no turn {turn}") };
        foul.action = before.action.clone();
        foul.state.action = before.state.action;
        let digest = transcript.domain.digest(foul.state.hash(channel.id()).0);
        let author = before.state.mover().expect("it goes on");
        foul.signature = self.keys[author.index()].sign(digest).expect("signs");
        transcript
    }

    /// Its transcript up to a turn whose author signs another board than its move makes.
    ///
    /// # Panics
    /// If the match has not come so far, or this is its first turn.
    pub fn with_false_board(&self, turn: usize) -> Transcript {
        let channel = &self.channels[0];
        let mut transcript = channel.transcript().expect("an open match");
        transcript.turns.truncate(turn);
        let [.., before, last] = &mut transcript.turns[..] else { panic!("no turn before {turn}") };
        let author = before.state.mover();
        last.state.board = keccak256(last.state.board);
        let digest = transcript.domain.digest(last.state.hash(channel.id()).0);
        last.signature = self.keys[author.expect("it goes on").index()].sign(digest).expect("signs");
        transcript
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

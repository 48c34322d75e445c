//! Who takes part in a schedule, and the matches that they play: trees of headers, since anybody may sign anything.

use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use matchlock::{
    abi::{MatchId, MatchTerms, OVER, State, StateHash},
    account::{AccountId, Player},
    game::{Amount, BasisPoints, Seat},
    local::Dice,
    rules::{Action, Rules, RulesId},
    sign::{Key, Signature, Signer},
};

use super::stage::{dev_key, salt};
use crate::{model::ModelConfig, refereed, table::key};

/// Everybody.
pub(super) struct Cast {
    pub(super) operator: Key,
    pub(super) arbiters: Vec<Key>,
    pub(super) players: Vec<Person>,
    pub(super) bouts: Vec<Bout>,
}

/// Somebody with an account.
#[derive(Clone)]
pub(super) struct Person {
    pub(super) key: Key,
    pub(super) owner: Address,
    pub(super) id: AccountId,
    /// The next match's number.
    pub(super) next: u32,
}

/// A match, and every header of it that anybody has signed.
#[derive(Clone)]
pub(super) struct Bout {
    pub(super) terms: MatchTerms,
    pub(super) id: MatchId,
    /// Which players sit in it.
    pub(super) seats: Vec<usize>,
    pub(super) nodes: Vec<Node>,
    /// Tic-tac-toe, where a referee knows it; else whatever is written into the headers.
    rules: Option<Arc<dyn Rules>>,
    /// What judges it on the chain, where the court's own referee does.
    pub(super) code: Vec<u8>,
    /// Seats that ever move.
    pub(super) movers: u32,
}

/// A header.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) state: State,
    pub(super) hash: StateHash,
    pub(super) action: Vec<u8>,
    /// The position that the board commits to, where there is one.
    pub(super) position: Vec<u8>,
    pub(super) parent: Option<usize>,
}

fn fee() -> BasisPoints {
    BasisPoints::new(250).expect("in range")
}

/// The rules that the referee contract knows.
pub(super) fn tictactoe() -> Arc<dyn Rules> {
    refereed::named("tictactoe", fee())
}

/// The same rules as a contest brings them along.
pub(super) fn brought() -> Arc<dyn Rules> {
    refereed::tictactoe(fee())
}

/// Gas that the code of `brought` takes at most, with little to spare: whoever gives a referee less than it needs has a chance to
/// starve it. What is built has twice the gas of its dearest move.
fn scarce() -> u64 {
    brought().on_chain().expect("rules with code").budget * 3 / 5
}

/// Code that runs this one, and returns what it answers instead of reverting with it: a contract is no answer (R7.8).
fn returning(code: &[u8]) -> Vec<u8> {
    // What stands behind these 20 bytes, with the question behind it, is created; what that reverts with is returned.
    let runs = [0x60, 20, 0x38, 0x03, 0x80, 0x60, 20, 0x5f, 0x39, 0x5f, 0x5f, 0xf0];
    let returns = [0x50, 0x3d, 0x5f, 0x5f, 0x3e, 0x3d, 0x5f, 0xf3];
    [&runs[..], &returns, code].concat()
}

impl Cast {
    pub(super) fn new(config: &ModelConfig) -> Cast {
        let operator = dev_key(0);
        // Some wallets have two accounts; one is a contract that takes no money; the last account's key is the operator's.
        let wallets = [1, 2, 3, 4, 1, 2].map(|n| dev_key(n).address());
        let owners = wallets.into_iter().chain([config.court.address, dev_key(5).address()]);
        let keys = (0..7).map(|n| key("seat", n)).chain([operator.clone()]);
        let players: Vec<Person> = owners
            .zip(keys)
            .map(|(owner, key)| {
                let id = Player { owner, key: key.address() }.account();
                Person { key, owner, id, next: 0 }
            })
            .collect();
        let mut arbiters: Vec<Key> = (6..9).map(dev_key).collect();
        arbiters.sort_unstable_by_key(Signer::address);
        Cast { operator, arbiters, players, bouts: Vec::new() }
    }

    /// A new match, of which some is played, among players of whom these have not left.
    pub(super) fn open_bout(&mut self, config: &ModelConfig, now: u64, staying: &[usize], dice: &mut Dice) {
        let referee = *config.referees.keys().next().expect("a referee");
        let refereed = dice.below(3) == 0;
        let rules = refereed.then(tictactoe);
        // Before a contract for this game alone, or with the rules brought along.
        let is_brought = refereed && dice.below(2) == 0;
        // A long one, in which one seat says nothing (R7.6); with the operator's key at the table nobody can sign it.
        let long = !refereed && dice.below(4) == 0;
        let count = if refereed {
            2
        } else if long {
            3
        } else {
            2 + dice.below(3) as usize
        };
        let mut free: Vec<usize> = (0..self.players.len() - 1).collect();
        if dice.below(20) == 0 {
            free.push(self.players.len() - 1);
        } else if dice.below(4) > 0 && staying.len() > count {
            free = staying.to_vec();
        }
        let seats: Vec<usize> = (0..count).map(|_| free.remove(dice.below(free.len() as u32) as usize)).collect();
        let stakes: Vec<Amount> = seats.iter().map(|_| Amount::from_u64(dice.below(300).into())).collect();
        let seeds: Vec<B256> = seats.iter().map(|_| dice.bytes().into()).collect();
        let mut indexes = Vec::new();
        for seat in &seats {
            let person = &mut self.players[*seat];
            // Now and then a number is left out, as for a match that came to nothing.
            indexes.push(person.next + u32::from(dice.below(5) == 0));
            person.next = indexes[indexes.len() - 1] + 1;
        }
        let minimum = config.court.minimum;
        let open_by = now - 40 + u64::from(dice.below(300));
        let mut terms = MatchTerms {
            seats: seats.iter().map(|seat| self.players[*seat].id).collect(),
            indexes,
            stakes,
            rules: RulesId(dice.bytes().into()),
            budget: if refereed {
                let usual = if is_brought { scarce() } else { 1_000_000 };
                *dice.pick(&[usual, usual, 1_000_000, 10_000_001])
            } else {
                0
            },
            referee: match dice.below(4) {
                _ if is_brought => config.court.referee(),
                _ if refereed => referee,
                0 => config.court.address,
                1 => dev_key(9).address(),
                _ => Address::ZERO,
            },
            clock: *dice.pick(&[0, minimum, minimum + 25, minimum + 60]),
            max_turns: if long { 70 } else { 9 },
            chain_time: *dice.pick(&[0, 20, 60, 500]),
            open_by,
            expiry: open_by + u64::from(100 + dice.below(600)),
            seeds,
            start: B256::ZERO,
            salt: salt(self.bouts.len() as u64),
        };
        let mut code = Vec::new();
        let start = match &rules {
            Some(rules) => {
                let placed = rules.start(&terms.stakes, &terms.seeds).expect("stakes that fit");
                if is_brought {
                    code = brought().on_chain().expect("rules with code").code.to_vec();
                    if terms.budget == 1_000_000 && dice.below(2) == 0 {
                        code = returning(&code);
                    }
                    terms.rules = RulesId(keccak256(&code));
                }
                (State::start(&placed), placed.position)
            }
            None => {
                let payouts = share(&terms, dice);
                let board = dice.bytes().into();
                let prev = StateHash::default();
                (State { turn: 0, prev, action: B256::ZERO, board, mover: 0, payouts }, Vec::new())
            }
        };
        terms.start = start.0.start_commitment();
        let id = terms.id(&config.domain);
        let movers = if long { 2 } else { count as u32 };
        let mut bout = Bout { terms, id, seats, nodes: Vec::new(), rules, code, movers };
        bout.add(start.0, Vec::new(), start.1, None);
        let length = if long { 34 + dice.below(25) } else { 1 + dice.below(6) };
        let mut tip = 0;
        for _ in 0..length {
            tip = bout.grow(tip, dice).unwrap_or(tip);
        }
        self.bouts.push(bout);
    }

    pub(super) fn key_of(&self, bout: &Bout, seat: usize) -> &Key {
        &self.players[bout.seats[seat]].key
    }

    pub(super) fn owners(&self, bout: &Bout) -> Vec<Address> {
        bout.seats.iter().map(|seat| self.players[*seat].owner).collect()
    }

    /// All seats' signatures on a digest, then the operator's.
    pub(super) fn everybody(&self, bout: &Bout, digest: B256) -> Vec<Signature> {
        let seats = (0..bout.seats.len()).map(|seat| self.key_of(bout, seat));
        seats.chain([&self.operator]).map(|key| sign(key, digest)).collect()
    }
}

impl Bout {
    fn add(&mut self, state: State, action: Vec<u8>, position: Vec<u8>, parent: Option<usize>) -> usize {
        let hash = state.hash(self.id);
        if let Some(known) = self.nodes.iter().position(|node| node.hash == hash) {
            return known;
        }
        self.nodes.push(Node { state, hash, action, position, parent });
        self.nodes.len() - 1
    }

    /// A header beside another one, if it is new; where it is.
    pub(super) fn keep(&mut self, state: State, beside: usize) -> usize {
        let Node { action, position, parent, .. } = self.nodes[beside].clone();
        self.add(state, action, position, parent)
    }

    /// One more header on top of this one, new or known; `None` where nothing can follow.
    pub(super) fn grow(&mut self, at: usize, dice: &mut Dice) -> Option<usize> {
        let parent = self.nodes[at].clone();
        let over = parent.state.mover == OVER || parent.state.turn >= self.terms.max_turns;
        if over || usize::from(parent.state.mover) >= self.seats.len() {
            return None;
        }
        let (mut state, action, position) = match self.rules.clone() {
            Some(rules) => self.played(&*rules, &parent, dice)?,
            None => self.written(&parent, dice),
        };
        // What no court takes (R7.2).
        if dice.below(if self.terms.max_turns > 9 { 900 } else { 60 }) == 0 {
            match dice.below(5) {
                0 => state.mover = self.seats.len() as u8,
                1 => state.payouts[0] = Amount::from_u64(5_000),
                2 => _ = state.payouts.pop(),
                3 => state.turn += 1,
                _ => state.prev = StateHash(dice.bytes().into()),
            }
        }
        Some(self.add(state, action, position, Some(at)))
    }

    /// A header that says what it likes.
    fn written(&self, parent: &Node, dice: &mut Dice) -> (State, Vec<u8>, Vec<u8>) {
        let turn = parent.state.turn + 1;
        let over = turn == self.terms.max_turns || (turn > 1 && dice.below(self.terms.max_turns + 1) == 0);
        let action = dice.bytes()[..dice.below(5) as usize].to_vec();
        let state = State {
            turn,
            prev: parent.hash,
            action: keccak256(&action),
            board: dice.bytes().into(),
            mover: if over { OVER } else { dice.below(self.movers) as u8 },
            payouts: share(&self.terms, dice),
        };
        (state, action, Vec::new())
    }

    /// A move in a game that has a referee, legal four times of five.
    fn played(&self, rules: &dyn Rules, parent: &Node, dice: &mut Dice) -> Option<(State, Vec<u8>, Vec<u8>)> {
        let seat = Seat(parent.state.mover);
        let cells: Vec<u8> = (0..9).collect();
        let try_cell = |cell: u8| {
            let action = Action::Play { play: vec![cell], link: None }.encode();
            rules.apply(&parent.position, seat, &action).ok().map(|placed| (action, placed))
        };
        let legal: Vec<_> = cells.iter().filter_map(|cell| try_cell(*cell)).collect();
        if legal.is_empty() {
            return None;
        }
        let (mut action, placed) = dice.pick(&legal).clone();
        let mut state = State::after(parent.state.turn + 1, parent.hash, keccak256(&action), &placed);
        if dice.below(5) == 0 {
            match dice.below(3) {
                0 => state.payouts.reverse(),
                1 => state.mover = if state.mover == OVER { 0 } else { OVER },
                _ => action = Action::Play { play: vec![dice.below(10) as u8], link: None }.encode(),
            }
            state.action = keccak256(&action);
        }
        Some((state, action, placed.position))
    }

    /// From a header up to one above it; both included.
    pub(super) fn path(&self, from: usize, to: usize) -> Option<Vec<usize>> {
        let mut path = vec![to];
        while path[path.len() - 1] != from {
            path.push(self.nodes[path[path.len() - 1]].parent?);
        }
        path.reverse();
        Some(path)
    }

    /// From State 0 up to a header.
    pub(super) fn line(&self, to: usize) -> Vec<usize> {
        self.path(0, to).expect("every header has State 0 below it")
    }

    pub(super) fn node(&self, hash: B256) -> Option<usize> {
        self.nodes.iter().position(|node| node.hash.0 == hash)
    }

    /// Some header at the end of a line.
    pub(super) fn tip(&self, dice: &mut Dice) -> usize {
        let parents: Vec<usize> = self.nodes.iter().filter_map(|node| node.parent).collect();
        let tips: Vec<usize> = (0..self.nodes.len()).filter(|at| !parents.contains(at)).collect();
        *dice.pick(&tips)
    }
}

/// Payouts within the stakes, more often all of them than not.
fn share(terms: &MatchTerms, dice: &mut Dice) -> Vec<Amount> {
    let mut left: u64 = terms.stakes.iter().map(|stake| stake.units() as u64).sum();
    let mut payouts = vec![Amount::ZERO; terms.stakes.len()];
    let first = dice.below(payouts.len() as u32) as usize;
    for i in 0..payouts.len() {
        let seat = (first + i) % terms.stakes.len();
        let part = if dice.below(2) == 0 { left } else { dice.below(left as u32 + 1).into() };
        payouts[seat] = Amount::from_u64(part);
        left -= part;
    }
    payouts
}

pub(super) fn sign(key: &Key, digest: B256) -> Signature {
    key.sign(digest).expect("a key in memory signs")
}

//! Calls of the court: disputes opened, answered, contested, ruled on, ended, by whoever likes.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use matchlock::{
    abi::{Arena, Court, OVER, Referee, Ruling},
    sign::{Key, Signature, Signer},
};

use super::{
    Attempt, Play,
    cast::{Bout, sign},
    stage::{ALL_GAS, dev_key},
};

/// What is known of a running dispute.
struct Standing {
    docket: Court::Docket,
    /// The top header among the match's; `None` while nothing was shown.
    top: Option<usize>,
    /// The turn that all seats have signed.
    agreed: u32,
    /// The turn before the arbiters; zero for none.
    contested: u32,
}

impl Standing {
    /// Whether about as many headers stand above the agreed one as may be (R7.6).
    fn is_full(&self) -> bool {
        self.docket.brief.wrapping_to::<u32>().saturating_sub(self.agreed) > 29
    }
}

impl Play {
    pub(super) fn argue(&mut self) -> Attempt {
        let at = self.some_bout();
        if self.dice.below(25) == 0 {
            return self.claim_bonds(at);
        }
        if self.dice.below(60) == 0 {
            return self.ask_referee(at);
        }
        let Some(standing) = self.standing(at) else {
            return match self.dice.below(10) {
                0 | 1 => self.void(at),
                2 if self.dice.below(3) == 0 => self.finalize(at, None),
                3 if self.dice.below(3) == 0 => self.reclaim(at),
                _ => self.challenge(at),
            };
        };
        let until = ((standing.docket.brief >> 88usize) & U256::from((1u64 << 40) - 1)).to::<u64>();
        if self.now > until && self.dice.below(5) > 0 {
            return self.finalize(at, Some(&standing));
        }
        if standing.contested != 0 && self.dice.below(3) > 0 {
            return self.rule(at, &standing);
        }
        // What was ruled on is contested again; where as many headers stand as may, one more is shown (R7.6).
        let ruled = (standing.docket.brief >> 160usize).wrapping_to::<u64>() != 0;
        match self.dice.below(30) {
            0..=9 if ruled => self.contest(at, &standing),
            0..=14 if standing.is_full() => self.respond(at, &standing),
            0 => self.challenge(at),
            1 => self.void(at),
            2 => self.rule(at, &standing),
            3..=5 => self.equivocate(at, &standing),
            6..=12 => self.contest(at, &standing),
            13 => self.finalize(at, Some(&standing)),
            _ => self.respond(at, &standing),
        }
    }

    /// What is known of a match's dispute; now and then of one that is not there.
    fn standing(&mut self, at: usize) -> Option<Standing> {
        let bout = &self.cast.bouts[at];
        let docket = self.model.docket(bout.id)?.clone();
        let word = |words: U256, seat: usize| (words >> (32 * seat)).wrapping_to::<u32>();
        let agreed = (0..bout.seats.len()).map(|seat| word(docket.acks, seat)).min().unwrap_or(0);
        let contested = (docket.brief >> 128usize).wrapping_to::<u32>();
        let top = bout.node(docket.top);
        let mut standing = Standing { docket, top, agreed, contested };
        // One that was forged, or is from before a reorg.
        match self.dice.below(80) {
            0 => standing.docket.acks = standing.docket.acks.wrapping_add(U256::ONE),
            1 => standing.docket.spent = U256::ONE,
            2 => standing.docket.brief ^= U256::ONE << self.dice.below(256) as usize,
            3 => standing.docket.top = self.dice.bytes().into(),
            _ => {}
        }
        Some(standing)
    }

    pub(super) fn challenge(&mut self, at: usize) -> Attempt {
        let bout = self.cast.bouts[at].clone();
        let tip = bout.tip(&mut self.dice);
        let line = bout.line(tip);
        let late = self.now > bout.terms.open_by;
        let from = if late && self.dice.below(4) > 0 { 1.min(line.len() - 1) } else { 0 };
        let base = from + self.dice.below((line.len() - from).min(6) as u32) as usize;
        let above = (line.len() - base).min(33 + usize::from(self.dice.below(15) == 0));
        // As many as may be (R7.6), where there are so many.
        let top = base + if above > 30 { above - 1 } else { self.dice.below(above as u32) as usize };
        let shown = self.evidence(&bout, &line[base..=top], true);
        let guarantor = if self.dice.below(25) == 0 { &self.cast.players[0].key } else { &self.cast.operator };
        let mut guarantee = sign(guarantor, bout.id.0).0.to_vec();
        if self.dice.below(60) == 0 {
            guarantee.pop();
        }
        let call = Court::challengeCall { terms: (&bout.terms).into(), guarantee: guarantee.into(), shown };
        let from = self.anybody();
        self.to_court(from, &call)
    }

    fn void(&mut self, at: usize) -> Attempt {
        let bout = self.cast.bouts[at].clone();
        let (owners, signatures) = self.everybody(&bout, bout.id.0);
        let call = Court::voidCall { terms: (&bout.terms).into(), owners, signatures };
        let from = self.anybody();
        self.to_court(from, &call)
    }

    fn respond(&mut self, at: usize, standing: &Standing) -> Attempt {
        let full = standing.is_full() && self.dice.below(2) == 0;
        let kind = if full { 0 } else { self.dice.below(10) };
        let (headers, agreed, fork) = match standing.top {
            None => (self.above(at, 0, 5), true, Vec::new()),
            // It goes on from the top, or repeats it.
            Some(top) if kind < 4 => {
                let most = if self.dice.below(12) == 0 { 34 } else { 5 };
                (self.above(at, top, most), self.dice.below(3) == 0, Vec::new())
            }
            // An agreed base on the dispute's own chain, and what stands on it.
            Some(top) if kind < 6 => {
                let line = self.cast.bouts[at].line(top);
                let base = line.len() - 1 - self.dice.below(line.len().min(8) as u32) as usize;
                let path = self.above(at, top, 3);
                ([&line[base..], &path[1..]].concat(), true, Vec::new())
            }
            // An agreed base above the top.
            Some(top) if kind < 8 => {
                let above = self.above(at, top, 4);
                let base = (1 + self.dice.below(above.len() as u32) as usize).min(above.len() - 1);
                (above[base..].to_vec(), true, Vec::new())
            }
            // An agreed base on another branch.
            Some(top) => {
                let line = self.cast.bouts[at].line(top);
                let agreed = (standing.agreed as usize).min(line.len() - 1);
                let fork = match (line.len() - 1 - agreed) as u32 {
                    0 => agreed,
                    above => agreed + 1 + self.dice.below(above) as usize,
                };
                let parent = line[fork.saturating_sub(1)];
                let base = self.cast.bouts[at].grow(parent, &mut self.dice).unwrap_or(parent);
                let shown = self.above(at, base, 3);
                let mut given = line[fork.max(1).min(line.len() - 1)..].to_vec();
                if self.dice.below(12) == 0 {
                    given.pop();
                }
                (shown, true, given)
            }
        };
        let bout = self.cast.bouts[at].clone();
        let call = Court::respondCall {
            terms: (&bout.terms).into(),
            docket: standing.docket.clone(),
            shown: self.evidence(&bout, &headers, agreed),
            fork: fork.iter().map(|node| (&bout.nodes[*node].state).into()).collect(),
        };
        let from = self.anybody();
        self.to_court(from, &call)
    }

    /// A header and some that follow it, which are made where there are none.
    fn above(&mut self, at: usize, from: usize, most: u32) -> Vec<usize> {
        let mut path = vec![from];
        for _ in 0..1 + self.dice.below(most) {
            let tip = path[path.len() - 1];
            let bout = &mut self.cast.bouts[at];
            let known: Vec<usize> =
                (0..bout.nodes.len()).filter(|node| bout.nodes[*node].parent == Some(tip)).collect();
            let next = match known.is_empty() || self.dice.below(8) == 0 {
                true => bout.grow(tip, &mut self.dice),
                false => Some(*self.dice.pick(&known)),
            };
            path.extend(next);
            if next.is_none() {
                break;
            }
        }
        path
    }

    fn contest(&mut self, at: usize, standing: &Standing) -> Attempt {
        let bout = self.cast.bouts[at].clone();
        let (parent, trail) = self.trail(&bout, standing);
        let accused = trail.get(1).map_or(parent, |node| *node);
        let mut position = bout.nodes[parent].position.clone();
        let mut action = bout.nodes[accused].action.clone();
        let mut code = bout.code.clone();
        match self.dice.below(40) {
            0 => position.push(0),
            1 => action.push(0),
            2 => code.push(0),
            3 => code.clear(),
            4 if !code.is_empty() => code = vec![0x5f, 0x5f, 0xfd], // whatever it is asked, it says "illegal"
            5 if !code.is_empty() => code = vec![0; 48 * 1024],
            _ => {}
        }
        let call = Court::contestCall {
            terms: (&bout.terms).into(),
            docket: standing.docket.clone(),
            trail: trail.iter().map(|node| (&bout.nodes[*node].state).into()).collect(),
            code: code.into(),
            position: position.into(),
            action: action.into(),
        };
        let from = self.anybody();
        let mut attempt = self.to_court(from, &call);
        let refereed = !bout.nodes[0].position.is_empty() && bout.terms.budget < 10_000_000;
        attempt.value = match self.dice.below(12) {
            0 => U256::from(1_000),
            1 => U256::from(if refereed { 1_001 } else { 0 }),
            _ => {
                U256::from(if refereed || bout.terms.referee == self.model.config().court.address { 0 } else { 1_001 })
            }
        };
        // A referee that is not given the gas that the terms promise it (R7.8).
        if refereed && self.dice.below(3) == 0 {
            attempt.gas = match bout.code.is_empty() || bout.terms.budget >= 1_000_000 {
                true => floor(&attempt.data).max(300_000) + u64::from(self.dice.below(700_000)),
                // Hardly more than the calldata's floor (EIP-7623).
                false => floor(&attempt.data) + u64::from(self.dice.below(15_000)),
            };
        }
        attempt
    }

    /// Asks the court's referee without the court, or has it run something.
    fn ask_referee(&mut self, at: usize) -> Attempt {
        let bout = &self.cast.bouts[at];
        let mut code = bout.code.clone();
        if self.dice.below(3) == 0 {
            code.resize(48 * 1024, 0);
        }
        let (code, position) = (Bytes::from(code), Bytes::from(bout.nodes[0].position.clone()));
        let (rules, budget) = (bout.terms.rules.0, U256::from(1_000_000));
        let question =
            Referee::judgeCall { rules, budget, code: code.clone(), position, seat: 0, action: Bytes::new() };
        let run = Referee::runCall {}.abi_encode();
        let data = match self.dice.below(3) {
            0 => run,
            1 => [&run[..], &code].concat(),
            _ => question.abi_encode(),
        };
        let to = self.model.config().court.referee();
        Attempt { from: self.anybody(), to, value: U256::ZERO, data: data.into(), gas: ALL_GAS }
    }

    fn rule(&mut self, at: usize, standing: &Standing) -> Attempt {
        let bout = self.cast.bouts[at].clone();
        let mut trail: Vec<usize> = standing.top.map_or_else(Vec::new, |top| bout.line(top));
        let keep = trail.iter().position(|node| bout.nodes[*node].state.turn + 1 == standing.contested).unwrap_or(0);
        trail.drain(..keep);
        if self.dice.below(25) == 0 && !trail.is_empty() {
            trail.remove(0);
        }
        let accused = trail.get(1).map_or(B256::ZERO, |node| bout.nodes[*node].hash.0);
        let legal = self.dice.below(2) == 0;
        let ruling = Ruling { match_id: bout.id, top: matchlock::abi::StateHash(accused), legal };
        let digest = self.model.config().domain.digest(ruling.struct_hash());
        let quorum = usize::from(self.model.config().court.quorum);
        // Any of the arbiters, in ascending order.
        let mut by: Vec<Key> = self.cast.arbiters.clone();
        while by.len() > quorum {
            by.remove(self.dice.below(by.len() as u32) as usize);
        }
        let twist = self.dice.below(14);
        match twist {
            0 => _ = by.pop(),
            1 => by[quorum - 1] = by[0].clone(),
            2 => by.reverse(),
            3 => by[0] = self.cast.operator.clone(),
            4 => by.push(self.cast.arbiters[2].clone()),
            _ => {}
        }
        if twist >= 12 {
            // One of them alone, or somebody who is none, for others to collect.
            let signer = if twist == 12 { &by[0] } else { &self.cast.operator };
            let signature = sign(signer, digest).0.to_vec().into();
            let call = Court::testifyCall { id: bout.id.0, top: accused, legal, signature };
            let from = self.anybody();
            return self.to_court(from, &call);
        }
        let call = Court::ruleCall {
            terms: (&bout.terms).into(),
            docket: standing.docket.clone(),
            trail: trail.iter().map(|node| (&bout.nodes[*node].state).into()).collect(),
            legal: if self.dice.below(25) == 0 { !legal } else { legal },
            signatures: by.iter().flat_map(|key| sign(key, digest).0).collect(),
        };
        let from = self.anybody();
        self.to_court(from, &call)
    }

    fn equivocate(&mut self, at: usize, standing: &Standing) -> Attempt {
        let bout = self.cast.bouts[at].clone();
        let (parent, trail) = self.trail(&bout, standing);
        let other = match self.dice.below(15) {
            0 => trail.get(1).copied().unwrap_or(parent),
            1 => self.dice.below(bout.nodes.len() as u32) as usize,
            _ => self.cast.bouts[at].grow(parent, &mut self.dice).unwrap_or(parent),
        };
        let bout = self.cast.bouts[at].clone();
        let author = usize::from(bout.nodes[parent].state.mover);
        let author = if author < bout.seats.len() && self.dice.below(20) > 0 { author } else { 0 };
        let node = &bout.nodes[other];
        let mut signature =
            sign(self.cast.key_of(&bout, author), self.model.config().domain.digest(node.hash.0)).0.to_vec();
        if self.dice.below(40) == 0 {
            signature.push(0);
        }
        let call = Court::equivocateCall {
            terms: (&bout.terms).into(),
            docket: standing.docket.clone(),
            trail: trail.iter().map(|node| (&bout.nodes[*node].state).into()).collect(),
            other: (&node.state).into(),
            owner: self.cast.owners(&bout)[author],
            signature: signature.into(),
        };
        let from = self.anybody();
        self.to_court(from, &call)
    }

    /// A header's parent, the header, and all up to the top; mostly above the agreed turn.
    fn trail(&mut self, bout: &Bout, standing: &Standing) -> (usize, Vec<usize>) {
        let Some(top) = standing.top else { return (0, vec![0, 0]) };
        let mut trail = bout.line(top);
        let above = trail.len().saturating_sub(standing.agreed as usize + 1);
        let ruled = (standing.docket.brief >> 160usize).wrapping_to::<u64>();
        let keep = match self.dice.below(10) {
            0 => self.dice.below(trail.len() as u32) as usize,
            // What was ruled on already.
            1..=4 if ruled != 0 => (ruled.trailing_zeros() as usize).saturating_sub(1).min(trail.len() - 1),
            _ if above == 0 => trail.len().saturating_sub(2),
            _ => trail.len() - 2 - self.dice.below(above as u32) as usize,
        };
        trail.drain(..keep);
        if self.dice.below(40) == 0 {
            trail.pop();
        }
        (trail.first().copied().unwrap_or(0), trail)
    }

    fn finalize(&mut self, at: usize, standing: Option<&Standing>) -> Attempt {
        let bout = self.cast.bouts[at].clone();
        let nobodys = Court::Docket { top: B256::ZERO, brief: U256::ZERO, acks: U256::ZERO, spent: U256::ZERO };
        let docket = standing.map_or(nobodys, |standing| standing.docket.clone());
        if self.dice.below(2) == 0 {
            let until = ((docket.brief >> 88usize) & U256::from((1u64 << 40) - 1)).to::<u64>();
            // The window's last second, or the one after it.
            let to = until + u64::from(self.dice.below(4) > 0);
            if to > self.now && to < self.now + 3_000 {
                self.now = to;
            }
        }
        let top = standing.and_then(|standing| standing.top).unwrap_or(0);
        let top = if self.dice.below(20) == 0 { bout.tip(&mut self.dice) } else { top };
        let call = Court::finalizeCall { terms: (&bout.terms).into(), docket, top: (&bout.nodes[top].state).into() };
        let from = self.anybody();
        self.to_court(from, &call)
    }

    fn claim_bonds(&mut self, at: usize) -> Attempt {
        let from = self.anybody();
        match self.dice.below(3) {
            0 => self.reclaim(at),
            1 => {
                let mut contester = self.anybody();
                for _ in 0..4 {
                    contester = if self.model.bond_of(contester) == 0 { self.anybody() } else { contester };
                }
                self.to_court(from, &Court::claimBondCall { contester })
            }
            _ => {
                let mut person = self.somebody();
                for _ in 0..4 {
                    let nothing = self.model.share_of(self.cast.players[person].id) == 0;
                    person = if nothing { self.somebody() } else { person };
                }
                let (owner, key) = (self.cast.players[person].owner, self.cast.players[person].key.address());
                self.to_court(from, &Court::claimShareCall { owner, key })
            }
        }
    }

    fn reclaim(&mut self, at: usize) -> Attempt {
        let from = self.anybody();
        self.to_court(from, &Court::reclaimCall { id: self.cast.bouts[at].id.0 })
    }

    /// Headers from a base upwards, signed as little as they have to be or more, and now and then something wrong with it.
    fn evidence(&mut self, bout: &Bout, path: &[usize], all: bool) -> Court::Evidence {
        let domain = self.model.config().domain;
        let seats = bout.seats.len();
        let mut places: Vec<usize> = vec![usize::from(all); seats];
        for (i, node) in path.iter().enumerate().skip(1) {
            let author = bout.nodes[*node].parent.map_or(0, |parent| usize::from(bout.nodes[parent].state.mover));
            if author < seats {
                places[author] = i + 1;
            }
        }
        for (seat, place) in places.iter_mut().enumerate() {
            let talks = (seat as u32) < bout.movers || self.dice.below(20) == 0;
            if talks && self.dice.below(4) == 0 {
                let above = path.len() - *place;
                *place += self.dice.below(above as u32 + 1) as usize;
            }
        }
        let twist = self.dice.below(75);
        if twist == 0 {
            let seat = self.dice.below(seats as u32) as usize;
            places[seat] = self.dice.below(path.len() as u32 + 2) as usize;
        } else if twist >= 73 {
            // Everybody has signed the one before.
            places.iter_mut().for_each(|place| *place = (*place).saturating_sub(1).max(usize::from(*place > 0)));
        }
        let (mut packed, mut owners, mut signatures) = (0u64, Vec::new(), Vec::new());
        for (seat, place) in places.iter().enumerate().filter(|(_, place)| **place != 0) {
            packed |= (*place as u64) << (8 * seat);
            owners.push(self.cast.owners(bout)[seat]);
            let signed = bout.nodes[path[(*place - 1).min(path.len() - 1)]].hash.0;
            let mut signature = sign(self.cast.key_of(bout, seat), domain.digest(signed));
            if twist == 1 && seat == 0 {
                signature = high(&signature);
            }
            signatures.extend(signature.0);
        }
        let mut headers: Vec<Arena::State> = path.iter().map(|node| (&bout.nodes[*node].state).into()).collect();
        let base = headers.remove(0);
        let mut moves: Vec<Bytes> = path[1..].iter().map(|node| bout.nodes[*node].action.clone().into()).collect();
        match twist {
            2 => packed |= 1 << (8 * seats),
            3 => owners.push(Address::ZERO),
            4 => _ = signatures.pop(),
            5 => signatures.push(0),
            6 => moves.extend([Bytes::new()]),
            7 if !moves.is_empty() => moves[0] = vec![7; 9_000].into(),
            8 if !moves.is_empty() => moves[0] = vec![7; 70].into(),
            9 if !owners.is_empty() => owners[0] = dev_key(9).address(),
            10 if headers.len() > 1 => headers.swap(0, 1),
            11 if !headers.is_empty() => headers[0].prev = B256::ZERO,
            12 => _ = owners.pop(),
            _ => {}
        }
        Court::Evidence { base, headers, moves, places: packed, owners, signatures: signatures.into() }
    }

    /// All signatures on a digest, with the owners; now and then one is missing or somebody else's.
    pub(super) fn everybody(&mut self, bout: &Bout, digest: B256) -> (Vec<Address>, Bytes) {
        let (mut owners, mut signatures) = (self.cast.owners(bout), self.cast.everybody(bout, digest));
        let last = signatures.len() - 1;
        match self.dice.below(50) {
            0 => signatures[last] = signatures[0],
            1 => signatures[0] = signatures[last],
            2 => _ = signatures.pop(),
            3 => _ = owners.pop(),
            4 => owners.swap(0, 1),
            5 => signatures[1] = high(&signatures[1]),
            _ => {}
        }
        (owners, signatures.iter().flat_map(|signature| signature.0).collect())
    }

    /// A wallet that pays for calls.
    pub(super) fn anybody(&mut self) -> Address {
        dev_key(1 + self.dice.below(5) as usize).address()
    }

    pub(super) fn somebody(&mut self) -> usize {
        self.dice.below(self.cast.players.len() as u32) as usize
    }

    /// Moments at which something begins or ends, each with the second after it.
    pub(super) fn moments(&self) -> Vec<u64> {
        let config = self.model.config();
        let window = u64::from(config.exit_window);
        let mut moments = vec![(self.now / window + 1) * window, (self.now / window + 2) * window];
        for bout in &self.cast.bouts {
            moments.extend([bout.terms.open_by, bout.terms.expiry]);
            if let Some(docket) = self.model.docket(bout.id) {
                let bits = |from: usize| ((docket.brief >> from) & U256::from((1u64 << 40) - 1)).to::<u64>();
                moments.extend([bits(48) + u64::from(config.court.minimum), bits(88)]);
            }
        }
        moments.extend(self.cast.players.iter().map(|person| self.model.account(person.id).exit_at));
        moments.iter().flat_map(|at| [at.saturating_sub(1), *at, *at + 1]).collect()
    }

    /// A final header of a match: one that is there, or one that is made.
    pub(super) fn last(&mut self, at: usize) -> usize {
        let bout = &self.cast.bouts[at];
        let over: Vec<usize> = (0..bout.nodes.len()).filter(|node| bout.nodes[*node].state.mover == OVER).collect();
        if !over.is_empty() && self.dice.below(4) > 0 {
            return *self.dice.pick(&over);
        }
        let tip = bout.tip(&mut self.dice);
        let mut state = bout.nodes[tip].state.clone();
        state.mover = OVER;
        self.cast.bouts[at].keep(state, tip)
    }
}

/// A signature with a high s, which is refused whoever it is by (R4.8).
pub(super) fn high(signature: &Signature) -> Signature {
    let mut bytes = signature.0;
    // Between half of the curve's order and 2^255: with any other high s the parity bit has no place.
    bytes[32..].fill(0xff);
    bytes[32] = 0x7f;
    Signature(bytes)
}

/// Gas below which no node takes a transaction with this calldata (EIP-7623).
fn floor(data: &[u8]) -> u64 {
    21_000 + data.iter().map(|byte| if *byte == 0 { 10 } else { 40 }).sum::<u64>()
}

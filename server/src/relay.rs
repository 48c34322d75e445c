//! Turns: from the seat that is to act to the others, and to the disk (R5.6, R8.6).
//!
//! The relay does not judge moves and checks no signature but on a final: receivers check all of that, and a seat that
//! sends rubbish has stalled. It checks what keeps one seat from disturbing another: whose turn it is, that a turn
//! follows the one before, that no turn is taken twice.

use std::sync::{Arc, MutexGuard};

use bytes::Bytes;
use matchlock::{
    abi::{MatchId, OVER, State},
    game::{Amount, Seat},
    sign::Signature,
    wire::{self, About, MAX_FRAME, Refusal, ToClient, ToServer, Turn},
};

use crate::{
    hub::{Hub, storage},
    matches::{Live, Match, Open, Phase, decode_turn, relayed},
    peer::Peer,
    store::{Change, Pending},
    sync::lock,
};

/// Bytes of turns in one answer; leaves room for the frame around them.
const TURNS_BYTES: usize = MAX_FRAME - 128;

impl Hub {
    /// Takes a turn: to the other seats at once, acknowledged when it is durable.
    pub(crate) fn turn(
        self: &Arc<Self>,
        peer: &Peer,
        match_id: MatchId,
        turn: Turn,
        frame: Bytes,
    ) -> Result<(), Refusal> {
        self.accepting()?;
        let (found, seat) = self.seat(match_id, peer.account())?;
        let (state, signature) = (&turn.state, turn.signature);
        let number = state.turn;
        let mut live = found.lock();
        let Phase::Open(open) = &mut live.phase else { return Err(Refusal::NotOpen) };
        if number <= open.newest.turn {
            let (durable, known) = self.known_turn(&found, open, number)?;
            drop(live);
            return repeated(peer, match_id, number, durable, &known, &frame);
        }
        let Some(author) = open.newest.mover() else { return Err(Refusal::NotOpen) };
        let out_of_turn = Refusal::OutOfTurn { turn: open.newest.turn + 1, mover: author };
        if number != open.newest.turn + 1 {
            return Err(out_of_turn);
        }
        if author != seat || state.is_final() {
            // Another seat may bring back what a crash of the server lost after it had been passed on, if its author
            // signed it. And a final that its author did not really sign could never be concluded.
            let digest = self.operator.digest(state.hash(match_id).0);
            let signed = self.operator.verify(digest, &signature, found.accounts[author.index()].player.key);
            signed.map_err(|refusal| if author == seat { refusal } else { out_of_turn })?;
        }
        if state.prev != open.hash {
            return Err(Refusal::Unlinked { turn: open.newest.turn });
        }
        if !fits(&found, state) {
            return Err(Refusal::Malformed);
        }

        self.pass_on(&found, live, author, turn, frame, &[author, seat]);
        Ok(())
    }

    /// A turn that its author showed to the court instead of the server: to everyone, and to the disk, like any other.
    pub(crate) fn turn_from_chain(self: &Arc<Self>, found: &Arc<Match>, turn: Turn) {
        let live = found.lock();
        let Phase::Open(open) = &live.phase else { return };
        let Some(author) = open.newest.mover() else { return };
        let digest = self.operator.digest(turn.state.hash(found.id).0);
        let signed = self.operator.verify(digest, &turn.signature, found.accounts[author.index()].player.key);
        let next = turn.state.turn == open.newest.turn + 1 && turn.state.prev == open.hash;
        if signed.is_ok() && next && fits(found, &turn.state) {
            let frame = wire::encode(&ToServer::Turn { match_id: found.id, turn: turn.clone() }).into();
            self.pass_on(found, live, author, turn, frame, &[]);
        }
    }

    /// Takes a turn that was checked: `frame` is what it came in, and goes to all seats but these.
    fn pass_on(
        self: &Arc<Self>,
        found: &Arc<Match>,
        mut live: MutexGuard<'_, Live>,
        author: Seat,
        turn: Turn,
        frame: Bytes,
        but: &[Seat],
    ) {
        let Phase::Open(open) = &mut live.phase else { return };
        let Turn { state, signature, .. } = turn;
        let number = state.turn;
        if state.is_final() {
            open.finals = vec![None; found.accounts.len()];
            open.finals[author.index()] = Some(signature);
        }
        open.hash = state.hash(found.id);
        open.newest = state;
        open.since = self.now();
        let (out, bytes) = relayed(frame);
        open.tail.push_back((number, bytes.clone()));
        // Queued under the lock, so that turns are written in order.
        let stored = Stored { hub: self.clone(), found: found.clone(), author, number };
        self.store.write_one(Change::Turn(found.seq, number, open.since, bytes), stored);
        live.tell_others(but, &out);
    }

    /// A turn that was taken before, and whether it is durable.
    fn known_turn(&self, found: &Match, open: &Open, number: u32) -> Result<(bool, Bytes), Refusal> {
        if let Some(bytes) = open.in_tail(number) {
            return Ok((false, bytes.clone()));
        }
        let turns = self.store.turns(found.seq, number, 1).map_err(storage)?;
        turns.into_iter().next().map(|bytes| (true, bytes)).ok_or(Refusal::TurnTaken { turn: number })
    }

    /// A seat signs a header that it did not write. Only finals are collected: what acknowledges another header is the
    /// turn that builds on it (R5.8).
    pub(crate) fn ack(
        self: &Arc<Self>,
        peer: &Peer,
        match_id: MatchId,
        number: u32,
        signature: Signature,
    ) -> Result<(), Refusal> {
        self.accepting()?;
        let (found, seat) = self.seat(match_id, peer.account())?;
        let hash = match &found.lock().phase {
            Phase::Open(open) if open.newest.turn == number && open.newest.is_final() => open.hash,
            Phase::Open(open) => {
                let mover = open.newest.mover().ok_or(Refusal::NotOpen)?;
                return Err(Refusal::OutOfTurn { turn: open.newest.turn + 1, mover });
            }
            _ => return Err(Refusal::NotOpen),
        };
        self.operator.verify(self.operator.digest(hash.0), &signature, found.accounts[seat.index()].player.key)?;
        let mut live = found.lock();
        let Phase::Open(open) = &mut live.phase else { return Ok(()) };
        open.finals[seat.index()] = Some(signature);
        self.conclude(&found, live)
    }

    /// Answers with turns of a match from `from` on, as many as fit a frame.
    pub(crate) fn turns(&self, peer: &Peer, tag: u32, match_id: MatchId, from: u32) -> Result<(), Refusal> {
        let stored = self.store.match_by_id(match_id).map_err(storage)?;
        let (seq, row) = stored.ok_or(Refusal::UnknownMatch)?;
        row.terms.seat_of(peer.account()).ok_or(Refusal::UnknownMatch)?;
        let mut turns = self.store.turns(seq, from, TURNS_BYTES).map_err(storage)?;
        if let Some(found) = self.matches.find(&match_id)
            && let Phase::Open(open) = &found.lock().phase
        {
            // The newest may not be on the disk yet.
            let mut size: usize = turns.iter().map(Bytes::len).sum();
            for (number, bytes) in &open.tail {
                size += bytes.len();
                if *number == from + turns.len() as u32 && size <= TURNS_BYTES {
                    turns.push(bytes.clone());
                }
            }
        }
        let turns = turns.iter().filter_map(|bytes| decode_turn(bytes)).collect();
        peer.send(&ToClient::Turns { tag, match_id, turns });
        Ok(())
    }
}

/// A turn on its way to the disk.
struct Stored {
    hub: Arc<Hub>,
    found: Arc<Match>,
    author: Seat,
    number: u32,
}

impl Pending for Stored {
    fn stored(self: Box<Self>) {
        let mut live = self.found.lock();
        if let Phase::Open(open) = &mut live.phase {
            while open.tail.front().is_some_and(|(number, _)| *number <= self.number) {
                open.tail.pop_front();
            }
        }
        if let Some(peer) = &live.peers[self.author.index()]
            && peer.send_soon(&ToClient::Stored { match_id: self.found.id, turn: self.number })
        {
            lock(&self.hub.soon).push(peer.clone());
        }
    }

    fn stalled(&self) {
        if let Some(peer) = &self.found.lock().peers[self.author.index()] {
            peer.refuse(About::Turn(self.found.id, self.number), Refusal::Storage);
        }
    }
}

/// A turn again: the same one is acknowledged again, another one is refused (R5.9).
fn repeated(
    peer: &Peer,
    match_id: MatchId,
    number: u32,
    durable: bool,
    known: &Bytes,
    frame: &Bytes,
) -> Result<(), Refusal> {
    if !frame.ends_with(known) || decode_turn(known).is_none_or(|turn| turn.state.turn != number) {
        return Err(Refusal::TurnTaken { turn: number });
    }
    if durable {
        peer.send(&ToClient::Stored { match_id, turn: number });
    }
    Ok(())
}

/// Whether a header can be of this match at all: what the server itself relies on later.
fn fits(found: &Match, state: &State) -> bool {
    let seats = found.accounts.len();
    let pot: u128 = found.terms.stakes.iter().map(|stake| stake.units()).sum();
    state.payouts.len() == seats
        && Amount::total(&state.payouts).is_some_and(|total| total.units() <= pot)
        && (state.mover == OVER || usize::from(state.mover) < seats)
        && state.turn <= found.terms.max_turns
        // R5.12.
        && (state.turn < found.terms.max_turns || state.is_final())
}

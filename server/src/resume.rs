//! What a client gets when it logs in: everything that happened without it, in order, once (R8.3).
//!
//! Nothing is queued for absent clients. What they missed is derived from what the matches and the account are now.

use std::sync::Arc;

use matchlock::{
    game::Seat,
    wire::{About, Have, Refusal, ToClient},
};

use crate::{
    account::{Account, Hold},
    conclude::statement_due,
    hub::{Hub, storage},
    matches::{Match, Phase, turn_frame},
    opening::{guarantee_frame, proposal},
    peer::Peer,
    store::{Ending, MatchRow},
    sync::lock,
};

/// Bytes of turns that are queued at once for a resuming client; the rest follows when these are sent.
const CHUNK: usize = 64 * 1024;

/// One match that a client resumes, and how far.
pub(crate) struct Resuming {
    have: Have,
    /// The client named it: it has the proposal at least.
    named: bool,
}

impl Hub {
    /// What there is to resume: every match in play, and what the client named.
    pub(crate) fn to_resume(&self, account: &Account, named: &[Have]) -> Vec<Resuming> {
        let mut resuming: Vec<Resuming> = named.iter().map(|have| Resuming { have: *have, named: true }).collect();
        for reservation in &lock(&account.book).reserved {
            if let Hold::Match(match_id) = reservation.hold
                && named.iter().all(|have| have.match_id != match_id)
            {
                resuming.push(Resuming { have: Have { match_id, turn: None }, named: false });
            }
        }
        resuming
    }

    /// Sends what a client lacks of one match, or a part of it: `Some` is where to go on once that is sent.
    pub(crate) fn resume_match(
        &self,
        account: &Arc<Account>,
        peer: &Peer,
        resuming: Resuming,
    ) -> Result<Option<Resuming>, Refusal> {
        let match_id = resuming.have.match_id;
        if let Some(found) = self.matches.find(&match_id) {
            let seat = found.seat_of(account.id).ok_or(Refusal::UnknownMatch)?;
            if let Some(resumed) = self.resume_live(&found, seat, peer, &resuming) {
                return resumed;
            }
        }
        // Not in memory, or just ended: the store has it.
        let (seq, row) = self.store.match_by_id(match_id).map_err(storage)?.ok_or(Refusal::UnknownMatch)?;
        row.terms.seat_of(account.id).ok_or(Refusal::UnknownMatch)?;
        self.resume_ended(seq, &row, peer, resuming)
    }

    /// `None` if the match ended meanwhile.
    fn resume_live(
        &self,
        found: &Arc<Match>,
        seat: Seat,
        peer: &Peer,
        resuming: &Resuming,
    ) -> Option<Result<Option<Resuming>, Refusal>> {
        let mut live = found.lock();
        if live.peers[seat.index()].as_ref().is_some_and(|attached| attached.is(peer)) {
            return Some(Ok(None));
        }
        let have = resuming.have;
        match &live.phase {
            // Sent as soon as it is durable, to whoever is connected then.
            Phase::Drafted(_) => return Some(Ok(None)),
            Phase::Proposed { signatures, .. } => {
                if !resuming.named || signatures[seat.index()].is_none() {
                    peer.send(&proposal(found));
                }
            }
            Phase::Guaranteed { guarantee, .. } => {
                if !resuming.named {
                    peer.send(&proposal(found));
                }
                peer.send(&guarantee_frame(found.id, guarantee));
            }
            Phase::Open(open) => {
                if have.turn.is_none() {
                    let row = match self.store.match_by_id(found.id) {
                        Ok(Some((_, row))) => row,
                        Ok(None) => return Some(Err(Refusal::UnknownMatch)),
                        Err(error) => return Some(Err(storage(error))),
                    };
                    if !resuming.named {
                        peer.send(&proposal(found));
                    }
                    peer.send(&guarantee_frame(found.id, &row.guarantee));
                    peer.send(&ToClient::Opened { match_id: found.id, signatures: row.opened });
                }
                if let (Some(ahead), Some(mover)) =
                    (have.turn.filter(|turn| *turn > open.newest.turn), open.newest.mover())
                {
                    // The server crashed after it had passed these on: the client brings them back, signed as they are.
                    let refusal = Refusal::OutOfTurn { turn: open.newest.turn + 1, mover };
                    peer.refuse(About::Turn(found.id, ahead), refusal);
                }
                let next = have.turn.unwrap_or(0) + 1;
                let first_in_tail = open.tail.front().map_or(open.newest.turn + 1, |(number, _)| *number);
                if next < first_in_tail {
                    match self.send_turns(found.seq, found.id, next, peer) {
                        Err(refusal) => return Some(Err(refusal)),
                        // More to come from the disk: the client is not up to date yet.
                        Ok(sent) if sent < first_in_tail - 1 => {
                            let have = Have { turn: Some(sent), ..have };
                            return Some(Ok(Some(Resuming { have, named: true })));
                        }
                        Ok(_) => {}
                    }
                }
                for (number, bytes) in &open.tail {
                    if *number >= next {
                        peer.send_bytes(turn_frame(found.id, bytes));
                    }
                }
            }
            Phase::Over => return None,
        }
        live.peers[seat.index()] = Some(peer.clone());
        Some(Ok(None))
    }

    fn resume_ended(
        &self,
        seq: u64,
        row: &MatchRow,
        peer: &Peer,
        resuming: Resuming,
    ) -> Result<Option<Resuming>, Refusal> {
        let (match_id, have) = (row.id, resuming.have);
        match &row.ending {
            Some(Ending::Cancelled(reason)) => {
                peer.send(&ToClient::Cancelled { match_id, reason: reason.clone() });
                Ok(None)
            }
            Some(Ending::Ruled { payouts }) => {
                peer.send(&ToClient::Ruled { match_id, payouts: payouts.clone() });
                Ok(None)
            }
            Some(Ending::Final { turn, signatures, operator }) => {
                if have.turn.is_none() {
                    peer.send(&guarantee_frame(match_id, &row.guarantee));
                    peer.send(&ToClient::Opened { match_id, signatures: row.opened.clone() });
                }
                let next = have.turn.unwrap_or(0) + 1;
                if next <= *turn {
                    let sent = self.send_turns(seq, match_id, next, peer)?;
                    if sent < *turn {
                        return Ok(Some(Resuming { have: Have { turn: Some(sent), ..have }, named: true }));
                    }
                }
                peer.send(&ToClient::Final { match_id, signatures: signatures.clone(), operator: *operator });
                Ok(None)
            }
            None => Err(Refusal::UnknownMatch),
        }
    }

    /// Queues a chunk of stored turns from `next` on; the number of the last.
    fn send_turns(&self, seq: u64, match_id: matchlock::abi::MatchId, next: u32, peer: &Peer) -> Result<u32, Refusal> {
        let turns = self.store.turns(seq, next, CHUNK).map_err(storage)?;
        if turns.is_empty() {
            return Err(Refusal::Storage);
        }
        turns.iter().for_each(|bytes| peer.send_bytes(turn_frame(match_id, bytes)));
        Ok(next + turns.len() as u32 - 1)
    }

    /// Sends what the account has to know besides its matches.
    pub(crate) fn resume_account(&self, account: &Arc<Account>, peer: &Peer) {
        for (tag, table) in lock(&account.left).drain(..) {
            peer.send(&ToClient::Left { tag, table });
        }
        let book = lock(&account.book);
        if let Some(pair) = book.durable_pair().filter(|_| book.to_settle().is_some()) {
            peer.send(&ToClient::Receipt { statement: pair.statement, signature: pair.receipt });
        }
        if let Some((statement, batch)) = book.row.settled {
            peer.send(&ToClient::Settled { statement, batch });
        }
        if let Some(due) = &book.row.due {
            peer.send(&statement_due(due));
        }
        // Of every match that the chain does not have yet, whether this account has signed for it or not.
        let due = book.row.due.iter().flat_map(|due| &due.results).chain(&book.row.waiting);
        let matches = book.row.unsettled.iter().map(|(id, _)| *id).chain(due.map(|result| result.match_id));
        let matches: Vec<_> = matches.collect();
        drop(book);
        for match_id in matches {
            self.send_opponents(account, peer, match_id);
        }
    }

    /// Sends the newest pairs of a match's other seats, as far as they hold the match (R6.5).
    fn send_opponents(&self, account: &Arc<Account>, peer: &Peer, match_id: matchlock::abi::MatchId) {
        let Ok(Some((_, row))) = self.store.match_by_id(match_id) else { return };
        for ((id, index), player) in row.terms.seats.iter().zip(&row.terms.indexes).zip(&row.players) {
            if *id == account.id {
                continue;
            }
            let Ok(opponent) = self.account(*player) else { continue };
            let pair = lock(&opponent.book).durable_pair().copied();
            if let Some(pair) = pair.filter(|pair| pair.statement.set.contains(*index)) {
                peer.send(&ToClient::Opponent { match_id, pair });
            }
        }
    }

    /// Resumes one match as far as one chunk goes, and tells the client where that fails.
    pub(crate) fn resume_step(&self, account: &Arc<Account>, peer: &Peer, resuming: Resuming) -> Option<Resuming> {
        let match_id = resuming.have.match_id;
        self.resume_match(account, peer, resuming).unwrap_or_else(|refusal| {
            peer.refuse(About::Match(match_id), refusal);
            None
        })
    }
}

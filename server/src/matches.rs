//! A match in the server's memory: as little as the relay needs. Everything older is in the store.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use matchlock::{
    abi::{MatchId, MatchTerms, State, StateHash},
    account::AccountId,
    game::Seat,
    sign::Signature,
    wire::{TableId, ToClient, Turn},
};

use crate::{account::Account, peer::Peer, store::MatchRow, sync::lock};

/// A match that has not ended.
pub(crate) struct Match {
    /// Its number in the store.
    pub(crate) seq: u64,
    /// Its id.
    pub(crate) id: MatchId,
    /// Where it was proposed.
    pub(crate) table: TableId,
    /// What was agreed on.
    pub(crate) terms: MatchTerms,
    /// Who sits at each seat.
    pub(crate) accounts: Vec<Arc<Account>>,
    live: Mutex<Live>,
}

/// What changes in a match.
pub(crate) struct Live {
    /// The connection of each seat that has everything up to now: what happens is sent there at once. Others get it when
    /// they log in (R8.3).
    pub(crate) peers: Vec<Option<Peer>>,
    /// Where it stands.
    pub(crate) phase: Phase,
    /// A change of the phase is on its way to the disk.
    pub(crate) busy: bool,
}

/// Where a match stands.
pub(crate) enum Phase {
    /// The proposal is not durable yet: nobody has heard of it.
    Drafted(Box<State>),
    /// Seats sign the terms (R5.2).
    Proposed { start: Box<State>, signatures: Vec<Option<Signature>> },
    /// The operator has signed too; seats sign State 0.
    Guaranteed { start: Box<State>, guarantee: Vec<Signature>, starts: Vec<Option<Signature>> },
    /// In play.
    Open(Open),
    /// Ended.
    Over,
}

/// A match in play.
pub(crate) struct Open {
    /// The newest header.
    pub(crate) newest: State,
    /// Its struct hash.
    pub(crate) hash: StateHash,
    /// Turns that are not durable yet, in order.
    pub(crate) tail: VecDeque<(u32, Bytes)>,
    /// Signatures on a final header; empty before.
    pub(crate) finals: Vec<Option<Signature>>,
    /// When the newest header came, in Unix seconds: the clock of who is to act runs from here.
    pub(crate) since: u64,
    /// The newest turn whose mover was challenged on the chain.
    pub(crate) challenged: Option<u32>,
}

impl Open {
    /// In play from this header on.
    pub(crate) fn at(id: MatchId, newest: State, since: u64) -> Open {
        let (tail, finals, challenged) = (VecDeque::new(), Vec::new(), None);
        Open { hash: newest.hash(id), newest, tail, finals, since, challenged }
    }

    /// An encoded turn that is not durable yet.
    pub(crate) fn in_tail(&self, turn: u32) -> Option<&Bytes> {
        self.tail.iter().find(|(number, _)| *number == turn).map(|(_, bytes)| bytes)
    }
}

impl Match {
    pub(crate) fn new(
        seq: u64,
        id: MatchId,
        table: TableId,
        terms: MatchTerms,
        accounts: Vec<Arc<Account>>,
        phase: Phase,
    ) -> Match {
        let peers = accounts.iter().map(|_| None).collect();
        Match { seq, id, table, terms, accounts, live: Mutex::new(Live { peers, phase, busy: false }) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Live> {
        lock(&self.live)
    }

    /// The seat of an account.
    pub(crate) fn seat_of(&self, account: AccountId) -> Option<Seat> {
        self.terms.seat_of(account)
    }

    /// The record of this match, as long as it has no ending.
    pub(crate) fn row(&self, start: State, guarantee: Vec<Signature>, opened: Vec<Signature>) -> MatchRow {
        MatchRow {
            id: self.id,
            table: self.table,
            terms: self.terms.clone(),
            players: self.accounts.iter().map(|account| account.player).collect(),
            start,
            guarantee,
            opened,
            opened_at: 0,
            ending: None,
        }
    }
}

impl Live {
    /// Sends to every seat that is there.
    pub(crate) fn tell(&self, frame: &ToClient) {
        let bytes: Bytes = matchlock::wire::encode(frame).into();
        self.peers.iter().flatten().for_each(|peer| peer.send_bytes(bytes.clone()));
    }

    /// Sends to every seat that is there but these.
    pub(crate) fn tell_others(&self, but: &[Seat], bytes: &Bytes) {
        for (i, peer) in self.peers.iter().enumerate() {
            if let (false, Some(peer)) = (but.contains(&Seat(i as u8)), peer) {
                peer.send_bytes(bytes.clone());
            }
        }
    }
}

/// The bytes before the match id in a frame: version, then the variant.
const TAG: usize = 2;
/// Where the encoded turn begins in a turn's frame: behind the match id, which is its length and 32 bytes.
const TURN_AT: usize = TAG + 33;

/// The frame that carries a turn to the other seats, and the turn alone, from the frame it came in.
///
/// [`ToServer::Turn`](matchlock::wire::ToServer::Turn) and [`ToClient::Turn`] differ in one byte, so that a relay decodes
/// a turn once and encodes none.
pub(crate) fn relayed(frame: Bytes) -> (Bytes, Bytes) {
    let mut bytes = frame.try_into_mut().unwrap_or_else(|shared| bytes::BytesMut::from(&shared[..]));
    bytes[1] = to_client_tag();
    let out = bytes.freeze();
    let turn = out.slice(TURN_AT..);
    (out, turn)
}

/// The frame for a stored turn.
pub(crate) fn turn_frame(id: MatchId, turn: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(TURN_AT + turn.len());
    bytes.extend_from_slice(&[matchlock::wire::VERSION, to_client_tag(), 32]);
    bytes.extend_from_slice(id.0.as_slice());
    bytes.extend_from_slice(turn);
    bytes.into()
}

/// A stored turn.
pub(crate) fn decode_turn(bytes: &[u8]) -> Option<Turn> {
    postcard::from_bytes(bytes).ok()
}

fn to_client_tag() -> u8 {
    // Position of `Turn` in `ToClient`; a test compares it with what the SDK encodes.
    9
}

/// The signature of everyone, if it is there.
pub(crate) fn complete(signatures: &[Option<Signature>]) -> Option<Vec<Signature>> {
    signatures.iter().copied().collect()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use matchlock::{
        game::Amount,
        wire::{self, ToServer},
    };

    use super::*;

    #[test]
    fn a_relayed_turn_is_what_the_sdk_would_encode() {
        let state = State {
            turn: 300,
            prev: StateHash(B256::repeat_byte(1)),
            action: B256::repeat_byte(2),
            board: B256::repeat_byte(3),
            mover: 1,
            payouts: vec![Amount::from_u64(1_000), Amount::MAX],
        };
        let turn = Turn { state, action: vec![7; 200], signature: Signature([9; 64]) };
        let match_id = MatchId(B256::repeat_byte(4));
        let sent = Bytes::from(wire::encode(&ToServer::Turn { match_id, turn: turn.clone() }));
        let (out, alone) = relayed(sent);
        assert_eq!(out, wire::encode(&ToClient::Turn { match_id, turn: turn.clone() }));
        assert_eq!(decode_turn(&alone), Some(turn));
        assert_eq!(turn_frame(match_id, &alone), out);
    }
}

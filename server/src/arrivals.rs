//! Receipts of arrival: when a turn came, signed for whoever asks.
//!
//! The time is kept with every turn; the signature is made for the asking. One for each turn would cost the relay a third
//! of what it does.

use std::sync::Arc;

use matchlock::{
    abi::{Arrival, MatchId, StateHash},
    wire::{About, Arrived, MAX_ARRIVALS, Refusal, ToClient},
};

use crate::{
    hub::{Hub, storage},
    matches::{Phase, decode_turn},
    opening::signer,
    peer::Peer,
    store::MatchRow,
};

impl Hub {
    /// Answers with receipts of a match's turns from `from` on. Only what is durable has one.
    pub(crate) fn arrivals(
        self: &Arc<Self>,
        peer: &Peer,
        tag: u32,
        match_id: MatchId,
        from: u32,
    ) -> Result<(), Refusal> {
        let stored = self.store.match_by_id(match_id).map_err(storage)?;
        let (seq, row) = stored.ok_or(Refusal::UnknownMatch)?;
        row.terms.seat_of(peer.account()).ok_or(Refusal::UnknownMatch)?;
        let open = self.matches.find(&match_id);
        let under_way = open.is_some_and(|found| match &found.lock().phase {
            Phase::Open(open) => !open.tail.is_empty(),
            _ => false,
        });
        if under_way {
            // Who asks may have just been given a turn that is on its way to the disk: the answer comes behind it.
            let (hub, peer) = (self.clone(), peer.clone());
            self.store.write(Vec::new(), move || {
                if let Err(refusal) = hub.answer(&peer, tag, seq, &row, from) {
                    peer.refuse(About::Request(tag), refusal);
                }
            });
            return Ok(());
        }
        self.answer(peer, tag, seq, &row, from)
    }

    fn answer(&self, peer: &Peer, tag: u32, seq: u64, row: &MatchRow, from: u32) -> Result<(), Refusal> {
        let mut arrivals = Vec::new();
        if from == 0 && row.opened_at > 0 {
            arrivals.push(self.arrived(row.id, 0, row.start.hash(row.id), row.opened_at)?);
        }
        let count = MAX_ARRIVALS - arrivals.len();
        for (at, bytes) in self.store.arrivals(seq, from.max(1), count).map_err(storage)? {
            let state = decode_turn(&bytes).ok_or(Refusal::Storage)?.state;
            arrivals.push(self.arrived(row.id, state.turn, state.hash(row.id), at)?);
        }
        peer.send(&ToClient::Arrivals { tag, match_id: row.id, arrivals });
        Ok(())
    }

    fn arrived(&self, match_id: MatchId, turn: u32, state: StateHash, at: u64) -> Result<Arrived, Refusal> {
        let digest = self.operator.digest(Arrival { match_id, turn, state, at }.struct_hash());
        let signature = self.operator.sign(digest).map_err(signer)?;
        Ok(Arrived { turn, state, at, signature })
    }
}

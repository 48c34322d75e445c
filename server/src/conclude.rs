//! From a final that all seats signed to statements that both parties signed (R6.1 to R6.5).

use std::{
    collections::VecDeque,
    sync::{Arc, MutexGuard},
};

use bytes::Bytes;
use matchlock::{
    abi::Statement,
    game::{Amount, Seat},
    sign::Signature,
    transcript,
    wire::{Due, Pair, Refusal, ResultLeaf, ToClient, Turn},
};

use crate::{
    account::{Account, lock_books},
    hub::{Hub, storage},
    matches::{Live, Match, Phase, complete, decode_turn},
    opening::signer,
    operator::largest_gain,
    store::{Change, Ending, LeafRow, MatchRow, StatementDue},
    sync::lock,
};

impl Hub {
    /// Concludes a match if all seats have signed its final: the operator signs too, and with that the result counts.
    pub(crate) fn conclude(
        self: &Arc<Self>,
        found: &Arc<Match>,
        mut live: MutexGuard<'_, Live>,
    ) -> Result<(), Refusal> {
        if live.busy {
            return Ok(());
        }
        let Phase::Open(open) = &live.phase else { return Ok(()) };
        let Some(signatures) = complete(&open.finals).filter(|signatures| !signatures.is_empty()) else {
            return Ok(());
        };
        let (last, hash, tail) = (open.newest.clone(), open.hash, open.tail.clone());
        if self.is_disputed(&found.id) {
            drop(live);
            return self.conclude_dispute(found, &last, signatures).ok_or(Refusal::Storage);
        }
        live.busy = true;
        drop(live);

        let concluded = self.operator.sign(self.operator.digest(hash.0)).map_err(signer).and_then(|operator| {
            let (_, mut row) = self.store.match_by_id(found.id).map_err(storage)?.ok_or(Refusal::Storage)?;
            let turns = self.all_turns(found, &tail)?;
            row.ending = Some(Ending::Final { turn: last.turn, signatures: signatures.clone(), operator });
            Ok((operator, row, transcript::id(found.id, &turns)))
        });
        let (operator, row, transcript) = match concluded {
            Ok(concluded) => concluded,
            Err(refusal) => {
                found.lock().busy = false;
                return Err(refusal);
            }
        };
        let pot: u128 = found.terms.stakes.iter().map(|stake| stake.units()).sum();
        let paid: u128 = last.payouts.iter().map(|payout| payout.units()).sum();
        let leaf = ResultLeaf {
            match_id: found.id,
            seats: found.terms.seats.clone(),
            payouts: last.payouts.clone(),
            fee: Amount::new(pot - paid).unwrap_or(Amount::ZERO),
            final_state: hash.0,
            transcript,
        };
        let leaf = LeafRow { leaf, indexes: found.terms.indexes.clone(), batch: None };

        let frame = ToClient::Final { match_id: found.id, signatures, operator };
        self.end(found, &row, |seat| found.terms.delta(seat, &last.payouts), false, Some(leaf), frame);
        Ok(())
    }

    /// Ends a match: `row` says how, `delta` what it did to each seat, `frame` what its players hear. A result for a batch comes
    /// with its `leaf`; where nothing can come of the match any more, the stakes are `free` before the statements are signed.
    ///
    /// The caller has marked the match as busy.
    pub(crate) fn end(
        self: &Arc<Self>,
        found: &Arc<Match>,
        row: &MatchRow,
        delta: impl Fn(Seat) -> i128,
        free: bool,
        leaf: Option<LeafRow>,
        frame: ToClient,
    ) {
        let mut changes = vec![Change::matched(found.seq, row), Change::Ended(found.seq)];
        changes.extend(leaf.as_ref().map(|leaf| Change::leaf(found.seq, leaf)));
        let mut books = lock_books(&found.accounts);
        let mut asked = Vec::new();
        for (i, book) in books.iter_mut().enumerate() {
            let result = Due { match_id: found.id, index: found.terms.indexes[i], delta: delta(Seat(i as u8)) };
            asked.push(book.finish(result, free, self.now()).cloned());
            self.operator.recount(book);
            changes.push(Change::account(&book.row));
        }
        self.operator.release(largest_gain(&found.terms));
        let (hub, ended) = (self.clone(), found.clone());
        self.store.write(changes, move || {
            let mut live = ended.lock();
            live.tell(&frame);
            live.phase = Phase::Over;
            live.busy = false;
            drop(live);
            hub.matches.remove(&ended.id);
            lock(&hub.expiries).remove(&(ended.terms.expiry, ended.id));
            if let Some(leaf) = leaf {
                lock(&hub.settler).concluded(ended.seq, leaf);
            }
            hub.ask_for_statements(&ended.accounts, asked);
        });
    }

    /// Every turn of a match: from the disk, and those that are not there yet.
    fn all_turns(&self, found: &Match, tail: &VecDeque<(u32, Bytes)>) -> Result<Vec<Turn>, Refusal> {
        let stored = self.store.turns(found.seq, 1, usize::MAX).map_err(storage)?;
        let mut turns: Vec<Turn> = stored.iter().filter_map(|bytes| decode_turn(bytes)).collect();
        for (number, bytes) in tail {
            // The disk may have caught up in between.
            if *number as usize == turns.len() + 1 {
                turns.extend(decode_turn(bytes));
            }
        }
        Ok(turns)
    }

    /// Asks accounts for statements that are durably due.
    fn ask_for_statements(&self, accounts: &[Arc<Account>], asked: Vec<Option<StatementDue>>) {
        for (account, due) in accounts.iter().zip(asked) {
            if let Some(due) = due {
                account.send(&statement_due(&due));
            }
        }
    }

    /// An account signs the statement that is due: the operator signs the receipt (R6.3).
    pub(crate) fn statement(
        self: &Arc<Self>,
        account: &Arc<Account>,
        statement: Statement,
        signature: Signature,
    ) -> Result<(), Refusal> {
        self.accepting()?;
        let digest = self.operator.digest(statement.struct_hash(account.player.owner));
        let mut book = lock(&account.book);
        if book.row.due.as_ref().is_none_or(|due| due.statement != statement) {
            let newest = book.newest();
            return match &book.row.newest {
                // Sent again because the answer was lost.
                Some(pair) if pair.statement == statement => {
                    let (account, signature) = (account.clone(), pair.receipt);
                    // Behind the write that makes it durable.
                    self.store.write(Vec::new(), move || account.send(&ToClient::Receipt { statement, signature }));
                    Ok(())
                }
                _ if statement.set != newest.set && !statement.set.exceeds(&newest.set) => {
                    Err(Refusal::StatementShrinks)
                }
                _ => Err(Refusal::NotDue),
            };
        }
        self.operator.verify(digest, &signature, account.player.key)?;
        let receipt_digest = self.operator.digest(statement.receipt_hash(account.id).0);
        let receipt = self.operator.sign(receipt_digest).map_err(signer)?;
        let pair = Pair { player: account.player, statement, signature, receipt };
        let signed = book.cosign(pair);
        let next = book.ask(self.now()).cloned();
        self.operator.recount(&mut book);
        let changes = vec![Change::account(&book.row)];
        let (hub, account) = (self.clone(), account.clone());
        self.store.write(changes, move || {
            let results = signed.map(|due| due.results).unwrap_or_default();
            lock(&account.book).receipted = Some(statement);
            // Before anybody is told: who hears of the receipt may ask for a batch at once.
            lock(&hub.settler).cosigned(account.id, &results, hub.now());
            account.send(&ToClient::Receipt { statement, signature: receipt });
            if let Some(next) = next {
                account.send(&statement_due(&next));
            }
            hub.hand_to_opponents(&account, pair, &results);
        });
        Ok(())
    }

    /// A statement has both signatures: opponents get it (R6.5).
    fn hand_to_opponents(&self, account: &Arc<Account>, pair: Pair, results: &[Due]) {
        for result in results {
            let Ok(Some((_, row))) = self.store.match_by_id(result.match_id) else { continue };
            if !matches!(row.ending, Some(Ending::Final { .. })) {
                continue;
            }
            for seat in row.terms.seats.iter().filter(|seat| **seat != account.id) {
                if let Some(opponent) = self.accounts.find(seat) {
                    opponent.send(&ToClient::Opponent { match_id: result.match_id, pair });
                }
            }
        }
    }
}

/// The frame that asks for a statement.
pub(crate) fn statement_due(due: &StatementDue) -> ToClient {
    ToClient::StatementDue { statement: due.statement, results: due.results.clone() }
}

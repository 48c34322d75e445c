//! A change to the chain in the making: blocks rolled back, blocks mined, settings, pending transactions.
//!
//! Everything happens in memory over one view and becomes real in one atomic write, or not at all. A draft that is
//! never committed is how the `pending` block is looked at.

use std::sync::Arc;

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Header, Receipt, ReceiptEnvelope, Transaction as _, TxType, proofs,
};
use alloy_eips::{
    eip1559::{BaseFeeParams, calc_next_block_base_fee},
    eip2718::Encodable2718,
    eip7685::EMPTY_REQUESTS_HASH,
};
use alloy_primitives::{Address, B256, Bloom, Bytes, U256, address, keccak256};
use revm::{DatabaseRef, context::BlockEnv};

use crate::{
    error::{ChainError, Refusal},
    evm::{self, Rules, RunError},
    pool::{Pool, Pooled},
    state::{State, UndoLog, empty_account},
    store::{Account, Block, Entry, Meta, Store, StoreError, Undo, View},
    transaction::Signed,
};

/// How many blocks can be rolled back, and for how many the state can still be read.
pub const HISTORY_BLOCKS: u64 = 1_024;

/// The rules would let the fee fall to where it cannot move any more; that is here.
pub(crate) const MIN_BASE_FEE: u64 = 7;

/// Who receives the tips.
const COINBASE: Address = address!("0x00000000000000000000000000006d6174636861");

/// In every header, so that a block says where it is from.
const EXTRA_DATA: &[u8] = b"matchlock devchain";

/// A change in the making.
pub(crate) struct Draft {
    rules: Rules,
    pub(crate) meta: Meta,
    pub(crate) state: State,
    head: (B256, Header),
    rolled_back: Vec<Block>,
    mined: Vec<Block>,
    /// Undo entries above this key go; those of this draft come after it.
    kept_undo: u64,
    undo: Vec<Undo>,
    /// The pool as it will be.
    pub(crate) pool: Pool,
    pooled: Vec<Arc<Pooled>>,
    unpooled: Vec<u64>,
    refused: Vec<(B256, Refusal)>,
}

/// What a block is made with, besides transactions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timing {
    /// The clock's time, moved by the offset, or the time set for the next block.
    Clock(u64),
    /// Exactly this, for a block that replaces another.
    Exactly(u64),
}

impl Draft {
    pub(crate) fn new(rules: Rules, view: View, pool: Pool) -> Result<Self, StoreError> {
        let meta = view.meta.clone();
        let head = view.header(meta.head)?.ok_or(StoreError::Corrupt("newest header"))?;
        Ok(Self {
            rules,
            kept_undo: meta.undo_seq,
            meta,
            state: State::newest(Arc::new(view)),
            head,
            rolled_back: Vec::new(),
            mined: Vec::new(),
            undo: Vec::new(),
            pool,
            pooled: Vec::new(),
            unpooled: Vec::new(),
            refused: Vec::new(),
        })
    }

    pub(crate) fn head(&self) -> &(B256, Header) {
        &self.head
    }

    pub(crate) fn mined(&self) -> &[Block] {
        &self.mined
    }

    /// The blocks this draft takes off the chain, oldest first.
    pub(crate) fn rolled_back(&self) -> &[Block] {
        &self.rolled_back
    }

    /// Why a transaction that was due could not be mined after all.
    pub(crate) fn refusal_of(&self, hash: B256) -> Option<&Refusal> {
        let refused = self.refused.iter().find(|(refused, _)| *refused == hash);
        refused.map(|(_, refusal)| refusal)
    }

    /// The next block's base fee.
    pub(crate) fn base_fee(&self) -> u64 {
        self.meta.next_base_fee.unwrap_or_else(|| base_fee_after(&self.head.1))
    }

    /// Goes back to block `number`, and further back to where `undo_seq` was the newest undo entry. Must come first.
    pub(crate) fn roll_back(&mut self, number: u64, undo_seq: Option<u64>) -> Result<(), ChainError> {
        debug_assert!(self.mined.is_empty() && self.undo.is_empty());
        if number < self.meta.undo_floor {
            return Err(ChainError::TooDeep { number, oldest: self.meta.undo_floor });
        }
        let view = self.state.view().clone();
        for removed in number + 1..=self.meta.head {
            let block = view.block(removed)?.ok_or(StoreError::Corrupt("block"))?;
            self.rolled_back.push(block);
        }
        self.kept_undo = self.state.go_back(|key, undo| match undo_seq {
            Some(seq) => key > seq,
            None => undo.number > number,
        })?;
        self.meta.undo_seq = self.kept_undo;
        self.meta.head = number;
        self.head = view.header(number)?.ok_or(StoreError::Corrupt("newest header"))?;
        Ok(())
    }

    /// Queues a transaction in the pool, replacing `replaced`.
    pub(crate) fn enqueue(&mut self, signed: Signed, replaced: Option<Arc<Pooled>>) {
        if let Some(replaced) = replaced {
            self.dequeue(&replaced);
        }
        let pooled = Arc::new(Pooled { key: self.pool.next_key(), signed });
        self.pool.insert(pooled.clone());
        self.pooled.push(pooled);
    }

    /// Takes a transaction out of the pool.
    pub(crate) fn dequeue(&mut self, pooled: &Pooled) {
        self.pool.remove(pooled);
        self.unpooled.push(pooled.key);
    }

    /// Whether a waiting transaction could go into the next block.
    pub(crate) fn has_due(&self) -> Result<bool, StoreError> {
        let best = self.pool.best(|sender| self.state.nonce(sender), self.base_fee(), self.rules.block_gas_limit)?;
        Ok(best.is_some())
    }

    /// Mines waiting transactions one block each until none is due, as automine does.
    pub(crate) fn mine_due(&mut self, now: u64) -> Result<(), ChainError> {
        while self.has_due()? {
            self.mine_pool(Timing::Clock(now), 1)?;
        }
        Ok(())
    }

    /// Mines a block with at most `limit` of the waiting transactions, best first.
    pub(crate) fn mine_pool(&mut self, timing: Timing, limit: usize) -> Result<(), ChainError> {
        let mut building = self.begin_block(timing);
        while building.entries.len() < limit {
            let gas_left = self.rules.block_gas_limit - building.gas_used;
            let base_fee = building.env.basefee;
            let best = self.pool.best(|sender| self.state.nonce(sender), base_fee, gas_left)?;
            let Some(pooled) = best else { break };
            self.dequeue(&pooled);
            match self.add(&mut building, &pooled.signed) {
                Ok(()) => {}
                Err(RunError::Invalid(invalid)) => {
                    tracing::debug!(hash = %pooled.signed.hash(), %invalid, "pending transaction dropped");
                    let refusal = evm::refusal(invalid);
                    self.refused.push((pooled.signed.hash(), refusal));
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.seal(building)
    }

    /// Mines a block with exactly these transactions; all must be valid.
    pub(crate) fn mine_exactly(&mut self, timing: Timing, transactions: &[Signed]) -> Result<(), ChainError> {
        let mut building = self.begin_block(timing);
        for signed in transactions {
            self.add(&mut building, signed)?;
        }
        self.seal(building)
    }

    /// Changes state outside of any block, as the development methods do.
    pub(crate) fn alter(
        &mut self,
        change: impl FnOnce(&mut State, &mut UndoLog) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut log = UndoLog::default();
        change(&mut self.state, &mut log)?;
        self.push_undo(log.into_undo(self.meta.head));
        Ok(())
    }

    /// Makes the change real, atomically and durably, and returns the pool that goes with it.
    pub(crate) fn commit(mut self, store: &Store) -> Result<Pool, StoreError> {
        let stale = self.pool.take_stale(|sender| self.state.nonce(sender))?;
        self.unpooled.extend(stale.iter().map(|pooled| pooled.key));
        let floor = self.meta.head.saturating_sub(HISTORY_BLOCKS);
        self.meta.undo_floor = self.meta.undo_floor.max(floor);
        store.commit(|batch| {
            for block in &self.rolled_back {
                batch.remove_block(block)?;
            }
            if self.kept_undo < self.state.view().meta.undo_seq {
                batch.remove_undo_above(self.kept_undo)?;
            }
            self.state.write(batch)?;
            for block in &self.mined {
                batch.put_block(block)?;
            }
            for (key, undo) in (self.kept_undo + 1..).zip(&self.undo) {
                batch.put_undo(key, undo)?;
            }
            batch.trim_undo(self.meta.undo_floor)?;
            for pooled in &self.pooled {
                batch.put_pooled(pooled.key, &pooled.signed.envelope.encoded_2718())?;
            }
            for key in &self.unpooled {
                batch.remove_pooled(*key)?;
            }
            batch.put_meta(&self.meta)
        })?;
        Ok(self.pool)
    }

    fn begin_block(&mut self, timing: Timing) -> Building {
        let (parent_hash, parent) = &self.head;
        let earliest = parent.timestamp + 1;
        let (timestamp, base_fee) = match timing {
            Timing::Exactly(timestamp) => (timestamp.max(earliest), base_fee_after(parent)),
            Timing::Clock(now) => {
                let base_fee = self.base_fee();
                self.meta.next_base_fee = None;
                let timestamp = match self.meta.next_timestamp.take() {
                    // Time goes on from there.
                    Some(timestamp) => {
                        let timestamp = timestamp.max(earliest);
                        self.meta.time_offset = offset_between(now, timestamp);
                        timestamp
                    }
                    None => chain_time(now, self.meta.time_offset).max(earliest),
                };
                (timestamp, base_fee)
            }
        };
        let number = parent.number + 1;
        let mut seed = parent_hash.to_vec();
        seed.extend(number.to_be_bytes());
        seed.extend(self.meta.reorgs.to_be_bytes());
        let header = Header {
            number,
            timestamp,
            parent_hash: *parent_hash,
            beneficiary: COINBASE,
            gas_limit: self.rules.block_gas_limit,
            base_fee_per_gas: Some(base_fee),
            mix_hash: keccak256(seed),
            ..blank_header()
        };
        Building {
            env: evm::block_env(&header),
            header,
            entries: Vec::new(),
            gas_used: 0,
            bloom: Bloom::ZERO,
            log: UndoLog::default(),
        }
    }

    fn add(&mut self, building: &mut Building, signed: &Signed) -> Result<(), RunError> {
        let envelope = &signed.envelope;
        if envelope.gas_limit() > self.rules.block_gas_limit - building.gas_used {
            return Err(RunError::Evm("the block has no room for this transaction".into()));
        }
        let done = evm::transact(&self.state, self.rules, &building.env, envelope, signed.sender)?;
        building.gas_used += done.result.tx_gas_used();
        let status = done.result.is_success();
        // A failed transaction's logs never happened; the EVM reports them all the same.
        let logs = if status { done.result.into_logs() } else { Vec::new() };
        let receipt = Receipt { status: status.into(), cumulative_gas_used: building.gas_used, logs }.with_bloom();
        building.bloom |= receipt.logs_bloom;
        let tx_type: TxType = envelope.tx_type();
        building.entries.push(Entry {
            transaction: envelope.clone(),
            sender: signed.sender,
            receipt: ReceiptEnvelope::from_typed(tx_type, receipt),
        });
        self.state.apply(done.state, &mut building.log).map_err(RunError::Store)
    }

    fn seal(&mut self, building: Building) -> Result<(), ChainError> {
        let mut header = building.header;
        let transactions: Vec<_> = building.entries.iter().map(|e| &e.transaction).collect();
        let receipts: Vec<_> = building.entries.iter().map(|e| &e.receipt).collect();
        header.transactions_root = proofs::calculate_transaction_root(&transactions);
        header.receipts_root = proofs::calculate_receipt_root(&receipts);
        header.logs_bloom = building.bloom;
        header.gas_used = building.gas_used;
        let undo = building.log.into_undo(header.number);
        header.state_root = self.state_root(&undo)?;
        let hash = header.hash_slow();
        self.state.note_block(header.number, hash);
        self.meta.head = header.number;
        self.head = (hash, header.clone());
        self.push_undo(undo);
        self.mined.push(Block { hash, header, entries: building.entries });
        Ok(())
    }

    /// A stand-in for the state root: a hash over the parent's and everything the block changed. It commits to the
    /// same history, but proves nothing about single accounts; a real one would need the whole trie.
    fn state_root(&self, undo: &Undo) -> Result<B256, StoreError> {
        let mut bytes = self.head.1.state_root.to_vec();
        if undo.accounts.is_empty() && undo.slots.is_empty() {
            return Ok(self.head.1.state_root);
        }
        for changed in &undo.accounts {
            bytes.extend(changed.address);
            if let Some(account) = self.state.account(changed.address)? {
                bytes.extend(account.to_bytes());
            }
        }
        for changed in &undo.slots {
            bytes.extend(changed.address);
            bytes.extend(changed.slot.to_be_bytes::<32>());
            let value = self.state.storage_ref(changed.address, changed.slot)?;
            bytes.extend(value.to_be_bytes::<32>());
        }
        Ok(keccak256(bytes))
    }

    fn push_undo(&mut self, undo: Undo) {
        self.meta.undo_seq += 1;
        self.undo.push(undo);
    }
}

/// A block between its first transaction and its seal.
struct Building {
    header: Header,
    env: BlockEnv,
    entries: Vec<Entry>,
    gas_used: u64,
    bloom: Bloom,
    log: UndoLog,
}

/// The base fee that follows from a block.
pub(crate) fn base_fee_after(header: &Header) -> u64 {
    let fee = calc_next_block_base_fee(
        header.gas_used,
        header.gas_limit,
        header.base_fee_per_gas.unwrap_or_default(),
        BaseFeeParams::ethereum(),
    );
    fee.max(MIN_BASE_FEE)
}

/// Chain time at a moment of the clock.
pub(crate) fn chain_time(now: u64, offset: i64) -> u64 {
    now.saturating_add_signed(offset)
}

/// The offset that makes `now` read as `timestamp`.
pub(crate) fn offset_between(now: u64, timestamp: u64) -> i64 {
    let seconds = i128::from(timestamp) - i128::from(now);
    i64::try_from(seconds).unwrap_or(if seconds < 0 { i64::MIN } else { i64::MAX })
}

/// Writes the first block.
pub(crate) fn write_genesis(
    store: &Store,
    meta: &Meta,
    rules: Rules,
    timestamp: u64,
    base_fee: u64,
    funded: &[(Address, U256)],
) -> Result<(), StoreError> {
    let accounts: Vec<(Address, Option<Account>)> = funded
        .iter()
        .map(|(address, balance)| {
            let account = Account { balance: *balance, ..empty_account() };
            (*address, Some(account))
        })
        .collect();
    let mut bytes = meta.chain_id.to_be_bytes().to_vec();
    for (address, balance) in funded {
        bytes.extend(address);
        bytes.extend(balance.to_be_bytes::<32>());
    }
    let header = Header {
        timestamp,
        beneficiary: COINBASE,
        gas_limit: rules.block_gas_limit,
        base_fee_per_gas: Some(base_fee),
        state_root: keccak256(bytes),
        ..blank_header()
    };
    let block = Block { hash: header.hash_slow(), header, entries: Vec::new() };
    store.commit(|batch| {
        batch.create_tables()?;
        batch.put_accounts(accounts.iter().map(|(address, account)| (address, account)))?;
        batch.put_block(&block)?;
        batch.put_meta(meta)
    })
}

/// What every header has in common: the fields of Osaka, none of which mean anything without a beacon chain.
fn blank_header() -> Header {
    Header {
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        withdrawals_root: Some(EMPTY_ROOT_HASH),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        extra_data: Bytes::from_static(EXTRA_DATA),
        ..Header::default()
    }
}

//! The chain itself: one writer at a time, readers beside it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use alloy_consensus::{TxEip1559, TxEip2930, TxLegacy, TypedTransaction};
use alloy_primitives::{Address, B256, Bytes, U256};

use crate::{
    Clock, Config, OpenError, accounts,
    draft::{self, Draft, Timing},
    error::ChainError,
    evm::{self, Rules},
    pool::{Pool, Pooled},
    request::CallRequest,
    rpc::Filters,
    state::{State, UndoLog, empty_account},
    store::{FORMAT, Meta, Store, View},
    transaction::Signed,
};

/// The tip offered when a client asks what to offer, as in anvil.
pub(crate) const SUGGESTED_TIP: u128 = 1_000_000_000;

/// How many snapshots may exist at once; reverting to one frees it and the later ones.
const SNAPSHOTS: usize = 1_024;

/// How many blocks one request may mine: each is kept for good.
const BLOCKS_AT_ONCE: u64 = 10_000;

/// The chain: its database, its pool and the rules.
pub(crate) struct Chain {
    pub(crate) rules: Rules,
    pub(crate) safe_depth: u64,
    pub(crate) finalized_depth: u64,
    clock: Clock,
    store: Store,
    /// Held for the whole of a change, so that changes come one after another.
    writer: Mutex<Snapshots>,
    /// Only ever locked for a moment. Changes follow the commit that made them durable.
    pool: RwLock<Pool>,
    filters: Mutex<Filters>,
}

/// The marks `evm_revert` can go back to. They live in memory: a restart forgets them.
#[derive(Default)]
struct Snapshots {
    marks: BTreeMap<u64, Mark>,
    last: u64,
}

/// Where the chain was.
struct Mark {
    hash: B256,
    meta: Meta,
}

/// A transaction to put into a block that replaces another.
pub(crate) enum Replacement {
    Raw(Bytes),
    Request(Box<CallRequest>),
}

impl Chain {
    pub(crate) fn open(config: Config) -> Result<Self, OpenError> {
        let rules = Rules { chain_id: config.chain_id, block_gas_limit: config.block_gas_limit };
        let store = Store::open(config.data_dir.as_deref())?;
        match store.meta()? {
            Some(meta) if meta.format != FORMAT => {
                return Err(OpenError::Format { found: meta.format, known: FORMAT });
            }
            Some(meta) if meta.chain_id != config.chain_id => {
                return Err(OpenError::OtherChain { found: meta.chain_id, wanted: config.chain_id });
            }
            Some(_) => {}
            None => {
                let meta = Meta {
                    format: FORMAT,
                    chain_id: config.chain_id,
                    head: 0,
                    undo_seq: 0,
                    undo_floor: 0,
                    time_offset: 0,
                    next_timestamp: None,
                    next_base_fee: None,
                    automine: config.automine,
                    reorgs: 0,
                };
                let now = (config.clock)();
                draft::write_genesis(&store, &meta, rules, now, config.base_fee, &config.accounts)?;
            }
        }
        let mut pool = Pool::default();
        for (key, raw) in store.view()?.pool()? {
            let signed = Signed::decode_stored(&raw)?;
            pool.insert(Arc::new(Pooled { key, signed }));
        }
        Ok(Self {
            rules,
            safe_depth: config.safe_depth,
            finalized_depth: config.finalized_depth,
            clock: config.clock,
            store,
            writer: Mutex::default(),
            pool: RwLock::new(pool),
            filters: Mutex::default(),
        })
    }

    /// A consistent view of the last commit.
    pub(crate) fn view(&self) -> Result<View, ChainError> {
        Ok(self.store.view()?)
    }

    /// The waiting transactions, for the length of a look.
    pub(crate) fn look_at_pool<T>(&self, look: impl FnOnce(&Pool) -> T) -> T {
        look(&self.pool.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The filters that clients poll.
    pub(crate) fn filters(&self) -> MutexGuard<'_, Filters> {
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chain as it would be with the waiting transactions mined now. Not committed.
    pub(crate) fn pending(&self) -> Result<Draft, ChainError> {
        let mut draft = self.draft()?;
        draft.mine_pool(Timing::Clock((self.clock)()), usize::MAX)?;
        Ok(draft)
    }

    /// Accepts a signed transaction; with automine on it is mined when this returns, and durable either way.
    pub(crate) fn send(&self, raw: &[u8]) -> Result<B256, ChainError> {
        // Recovering the sender is the slow part and needs no lock.
        let signed = Signed::decode(raw, self.rules)?;
        let _writer = self.lock();
        self.accept(signed)
    }

    /// Signs and accepts a transaction of a development account.
    pub(crate) fn send_request(&self, request: &CallRequest) -> Result<B256, ChainError> {
        let _writer = self.lock();
        let draft = self.draft()?;
        let next = draft.pool.pending_nonce(request.from(), draft.state.nonce(request.from())?);
        let pending = self.pending()?;
        let gas = match request.gas() {
            Some(gas) => gas,
            None => {
                let env = evm::block_env(&pending.head().1);
                evm::estimate(&pending.state, self.rules, &env, request)?
            }
        };
        let signed = self.sign(request, next, gas, draft.base_fee())?;
        self.accept(signed)
    }

    /// Mines `count` blocks, `interval` seconds apart when given; the first takes what waits.
    pub(crate) fn mine(&self, count: u64, interval: Option<u64>, timestamp: Option<u64>) -> Result<(), ChainError> {
        if count > BLOCKS_AT_ONCE {
            return Err(ChainError::Limit { what: "mining blocks", limit: BLOCKS_AT_ONCE });
        }
        let _writer = self.lock();
        let mut draft = self.draft()?;
        if let Some(timestamp) = timestamp {
            set_next_timestamp(&mut draft, timestamp)?;
        }
        let now = (self.clock)();
        for index in 0..count {
            if index > 0
                && let Some(interval) = interval
            {
                let next = draft.head().1.timestamp.saturating_add(interval);
                draft.meta.next_timestamp = Some(next);
            }
            draft.mine_pool(Timing::Clock(now), usize::MAX)?;
        }
        self.commit(draft)
    }

    /// Replaces the newest `depth` blocks by as many others at the same times, empty but for `replacements`, whose
    /// number counts from the first replaced block. The transactions of the old blocks are dropped, not queued.
    pub(crate) fn reorg(&self, depth: u64, replacements: &[(Replacement, u64)]) -> Result<(), ChainError> {
        if let Some((_, place)) = replacements.iter().find(|(_, place)| *place >= depth) {
            return Err(ChainError::InvalidParams(format!(
                "block {place} of the reorg does not exist: its depth is {depth}, counted from 0"
            )));
        }
        let _writer = self.lock();
        let mut draft = self.draft()?;
        let head = draft.meta.head;
        let ancestor = head.checked_sub(depth).ok_or(ChainError::DeeperThanChain { depth, head })?;
        draft.roll_back(ancestor, None)?;
        draft.meta.reorgs += 1;
        let times: Vec<u64> = draft.rolled_back().iter().map(|block| block.header.timestamp).collect();
        for (place, timestamp) in (0..).zip(times) {
            let mut signed: Vec<Signed> = Vec::new();
            for (replacement, _) in replacements.iter().filter(|(_, at)| *at == place) {
                signed.push(match replacement {
                    Replacement::Raw(raw) => Signed::decode(raw, self.rules)?,
                    Replacement::Request(request) => {
                        let from = request.from();
                        let earlier = signed.iter().filter(|s| s.sender == from).count() as u64;
                        let nonce = draft.state.nonce(from)? + earlier;
                        let gas = request.gas().unwrap_or(evm::TRANSACTION_GAS_CAP);
                        self.sign(request, nonce, gas, draft::base_fee_after(&draft.head().1))?
                    }
                });
            }
            draft.mine_exactly(Timing::Exactly(timestamp), &signed)?;
        }
        self.commit(draft)
    }

    /// Marks where the chain is.
    pub(crate) fn snapshot(&self) -> Result<u64, ChainError> {
        let mut snapshots = self.lock();
        if snapshots.marks.len() >= SNAPSHOTS {
            return Err(ChainError::Limit { what: "the number of snapshots", limit: SNAPSHOTS as u64 });
        }
        let draft = self.draft()?;
        let mark = Mark { hash: draft.head().0, meta: draft.meta };
        snapshots.last += 1;
        let id = snapshots.last;
        snapshots.marks.insert(id, mark);
        Ok(id)
    }

    /// Goes back to a mark and forgets it and all later ones. False when there is no such mark, or when the chain
    /// no longer contains its block.
    pub(crate) fn revert(&self, id: u64) -> Result<bool, ChainError> {
        let mut snapshots = self.lock();
        let Some(mark) = snapshots.marks.get(&id) else {
            return Ok(false);
        };
        let mut draft = self.draft()?;
        let known = draft.state.view().number_of(mark.hash)?;
        if known != Some(mark.meta.head) {
            return Ok(false);
        }
        draft.roll_back(mark.meta.head, Some(mark.meta.undo_seq))?;
        draft.meta.time_offset = mark.meta.time_offset;
        draft.meta.next_timestamp = mark.meta.next_timestamp;
        draft.meta.next_base_fee = mark.meta.next_base_fee;
        self.commit(draft)?;
        snapshots.marks.split_off(&id);
        Ok(true)
    }

    /// Moves chain time forward, from the newest block where busy seconds put that ahead of the clock, and returns the whole
    /// offset: the next block is at least so many seconds later than the newest.
    pub(crate) fn increase_time(&self, seconds: u64) -> Result<i64, ChainError> {
        let seconds = i64::try_from(seconds)
            .ok()
            .filter(|seconds| *seconds <= i64::from(u32::MAX))
            .ok_or(ChainError::Limit { what: "one step in time", limit: u64::from(u32::MAX) })?;
        let now = (self.clock)();
        self.settings(|draft| {
            let from = draft::chain_time(now, draft.meta.time_offset).max(draft.head().1.timestamp);
            draft.meta.time_offset = draft::offset_between(now, from).saturating_add(seconds);
            Ok(draft.meta.time_offset)
        })
    }

    pub(crate) fn set_next_timestamp(&self, timestamp: u64) -> Result<(), ChainError> {
        self.settings(|draft| set_next_timestamp(draft, timestamp))
    }

    pub(crate) fn set_next_base_fee(&self, fee: u64) -> Result<(), ChainError> {
        self.settings(|draft| {
            draft.meta.next_base_fee = Some(fee);
            Ok(())
        })
    }

    /// Turns automine on or off; turned on, it mines what waits.
    pub(crate) fn set_automine(&self, automine: bool) -> Result<(), ChainError> {
        let now = (self.clock)();
        self.settings(|draft| {
            draft.meta.automine = automine;
            if automine { draft.mine_due(now) } else { Ok(()) }
        })
    }

    pub(crate) fn set_balance(&self, address: Address, balance: U256) -> Result<(), ChainError> {
        self.alter(|state, undo| {
            let mut account = state.account(address)?.unwrap_or_else(empty_account);
            account.balance = balance;
            state.set_account(address, Some(account), undo)
        })
    }

    pub(crate) fn set_code(&self, address: Address, code: Bytes) -> Result<(), ChainError> {
        self.alter(|state, undo| state.set_code(address, code, undo))
    }

    pub(crate) fn set_slot(&self, address: Address, slot: U256, value: U256) -> Result<(), ChainError> {
        self.alter(|state, undo| state.set_slot(address, slot, value, undo))
    }

    pub(crate) fn set_nonce(&self, address: Address, nonce: u64) -> Result<(), ChainError> {
        self.alter(|state, undo| {
            let mut account = state.account(address)?.unwrap_or_else(empty_account);
            account.nonce = nonce;
            state.set_account(address, Some(account), undo)
        })
    }

    /// Takes a waiting transaction out of the pool.
    pub(crate) fn drop_transaction(&self, hash: B256) -> Result<(), ChainError> {
        self.settings(|draft| {
            let pooled = draft.pool.by_hash(hash).cloned();
            let pooled = pooled.ok_or(ChainError::NotPending(hash))?;
            draft.dequeue(&pooled);
            Ok(())
        })
    }

    fn accept(&self, signed: Signed) -> Result<B256, ChainError> {
        let hash = signed.hash();
        let mut draft = self.draft()?;
        signed.check_against(&draft.state, draft.base_fee())??;
        let replaced = draft.pool.admit(&signed)?;
        draft.enqueue(signed, replaced);
        if draft.meta.automine {
            draft.mine_due((self.clock)())?;
        }
        if let Some(refusal) = draft.refusal_of(hash) {
            return Err(refusal.clone().into());
        }
        self.commit(draft)?;
        Ok(hash)
    }

    fn sign(
        &self,
        request: &CallRequest,
        next_nonce: u64,
        gas_limit: u64,
        base_fee: u64,
    ) -> Result<Signed, ChainError> {
        let nonce = request.nonce().unwrap_or(next_nonce);
        let envelope = accounts::sign(request.from(), fill(request, self.rules.chain_id, nonce, gas_limit, base_fee))
            .ok_or(ChainError::UnknownAccount(request.from()))?;
        Ok(Signed::checked(envelope, self.rules)?)
    }

    fn alter(
        &self,
        change: impl FnOnce(&mut State, &mut UndoLog) -> Result<(), crate::StoreError>,
    ) -> Result<(), ChainError> {
        self.settings(|draft| Ok(draft.alter(change)?))
    }

    fn settings<T>(&self, change: impl FnOnce(&mut Draft) -> Result<T, ChainError>) -> Result<T, ChainError> {
        let _writer = self.lock();
        let mut draft = self.draft()?;
        let result = change(&mut draft)?;
        self.commit(draft)?;
        Ok(result)
    }

    fn draft(&self) -> Result<Draft, ChainError> {
        // The pool first: a commit in between can then only have mined what the draft takes for waiting, and a
        // used nonce is never due. The other way round a mined transaction could be missing from both.
        let pool = self.look_at_pool(Pool::clone);
        Ok(Draft::new(self.rules, self.store.view()?, pool)?)
    }

    fn commit(&self, draft: Draft) -> Result<(), ChainError> {
        let pool = draft.commit(&self.store)?;
        *self.pool.write().unwrap_or_else(PoisonError::into_inner) = pool;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Snapshots> {
        // A panic while drafting changed nothing: only a commit does, and it is the last step.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set_next_timestamp(draft: &mut Draft, timestamp: u64) -> Result<(), ChainError> {
    let newest = draft.head().1.timestamp;
    if timestamp <= newest {
        return Err(ChainError::TimestampNotLater { timestamp, newest });
    }
    draft.meta.next_timestamp = Some(timestamp);
    Ok(())
}

/// Turns a request into a transaction of the kind its fee fields ask for.
fn fill(request: &CallRequest, chain_id: u64, nonce: u64, gas_limit: u64, base_fee: u64) -> TypedTransaction {
    let (to, value, input) = (request.kind(), request.value(), request.data());
    let access_list = request.access_list();
    match request.gas_price() {
        Some(gas_price) if access_list.is_empty() => TypedTransaction::Legacy(TxLegacy {
            chain_id: Some(chain_id),
            nonce,
            gas_price,
            gas_limit,
            to,
            value,
            input,
        }),
        Some(gas_price) => TypedTransaction::Eip2930(TxEip2930 {
            chain_id,
            nonce,
            gas_price,
            gas_limit,
            to,
            value,
            access_list,
            input,
        }),
        None => {
            let tip = request.tip_given().unwrap_or(SUGGESTED_TIP);
            // Room for the base fee to double before the transaction is stuck.
            let max_fee = request.max_fee().unwrap_or_else(|| tip.saturating_add(u128::from(base_fee) * 2));
            TypedTransaction::Eip1559(TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: max_fee,
                max_priority_fee_per_gas: tip.min(max_fee),
                to,
                value,
                access_list,
                input,
            })
        }
    }
}

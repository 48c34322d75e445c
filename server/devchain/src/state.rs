//! The state the EVM runs on: a view of the last commit with changes laid over it.
//!
//! The same overlay serves four readers: a call on the newest block, a call on an older block (the undo entries are
//! the changes), a block being mined, and a rollback. Whatever lies in the overlay is what a commit writes.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use revm::{
    DatabaseRef,
    state::{AccountInfo, Bytecode, EvmState},
};

use crate::store::{Account, Batch, StoreError, Undo, UndoAccount, UndoSlot, View};

/// Code with its jump destinations found, by its hash, for all chains of the process: finding them takes longer than most calls.
static ANALYSED: LazyLock<Mutex<HashMap<B256, Bytecode>>> = LazyLock::new(Mutex::default);
/// Contracts in there; at 24 KiB each, some 6 MiB.
const MOST_ANALYSED: usize = 256;

fn lock(analysed: &Mutex<HashMap<B256, Bytecode>>) -> MutexGuard<'_, HashMap<B256, Bytecode>> {
    analysed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A view with changes over it.
#[derive(Clone)]
pub(crate) struct State {
    view: Arc<View>,
    accounts: HashMap<Address, Option<Account>>,
    slots: HashMap<(Address, U256), U256>,
    codes: HashMap<B256, Bytes>,
    hashes: HashMap<u64, B256>,
}

impl State {
    /// The state after the newest block of `view`.
    pub(crate) fn newest(view: Arc<View>) -> Self {
        Self { view, accounts: HashMap::new(), slots: HashMap::new(), codes: HashMap::new(), hashes: HashMap::new() }
    }

    pub(crate) fn view(&self) -> &Arc<View> {
        &self.view
    }

    pub(crate) fn account(&self, address: Address) -> Result<Option<Account>, StoreError> {
        match self.accounts.get(&address) {
            Some(account) => Ok(account.clone()),
            None => self.view.account(address),
        }
    }

    pub(crate) fn balance(&self, address: Address) -> Result<U256, StoreError> {
        Ok(self.account(address)?.map_or(U256::ZERO, |account| account.balance))
    }

    pub(crate) fn nonce(&self, address: Address) -> Result<u64, StoreError> {
        Ok(self.account(address)?.map_or(0, |account| account.nonce))
    }

    pub(crate) fn slot(&self, address: Address, slot: U256) -> Result<U256, StoreError> {
        match self.slots.get(&(address, slot)) {
            Some(value) => Ok(*value),
            None => self.view.slot(address, slot),
        }
    }

    pub(crate) fn code(&self, address: Address) -> Result<Bytes, StoreError> {
        match self.account(address)? {
            Some(account) => self.code_of_hash(account.code_hash),
            None => Ok(Bytes::new()),
        }
    }

    fn code_of_hash(&self, hash: B256) -> Result<Bytes, StoreError> {
        if hash == KECCAK256_EMPTY || hash.is_zero() {
            return Ok(Bytes::new());
        }
        match self.codes.get(&hash) {
            Some(code) => Ok(code.clone()),
            None => self.view.code(hash)?.ok_or(StoreError::Corrupt("contract code")),
        }
    }

    /// Makes a block mined into this overlay known to `BLOCKHASH`.
    pub(crate) fn note_block(&mut self, number: u64, hash: B256) {
        self.hashes.insert(number, hash);
    }

    /// Lays what a transaction changed over the state, and records in `undo` what was there before.
    pub(crate) fn apply(&mut self, changes: EvmState, undo: &mut UndoLog) -> Result<(), StoreError> {
        for (address, account) in changes {
            if !account.is_touched() {
                continue;
            }
            // Since Cancun only an account made in the same transaction is destroyed, so it has no stored slots.
            if account.is_selfdestructed() || account.is_empty() {
                self.set_account(address, None, undo)?;
                continue;
            }
            let info = &account.info;
            if let Some(code) = &info.code
                && !code.is_empty()
            {
                self.codes.insert(info.code_hash, code.original_bytes());
            }
            let changed = Account { nonce: info.nonce, balance: info.balance, code_hash: info.code_hash };
            self.set_account(address, Some(changed), undo)?;
            for (slot, value) in account.changed_storage_slots() {
                self.set_slot(address, *slot, value.present_value, undo)?;
            }
        }
        Ok(())
    }

    pub(crate) fn set_account(
        &mut self,
        address: Address,
        account: Option<Account>,
        undo: &mut UndoLog,
    ) -> Result<(), StoreError> {
        let before = self.account(address)?;
        if before != account {
            undo.accounts.entry(address).or_insert(before);
            self.accounts.insert(address, account);
        }
        Ok(())
    }

    pub(crate) fn set_slot(
        &mut self,
        address: Address,
        slot: U256,
        value: U256,
        undo: &mut UndoLog,
    ) -> Result<(), StoreError> {
        let before = self.slot(address, slot)?;
        if before != value {
            undo.slots.entry((address, slot)).or_insert(before);
            self.slots.insert((address, slot), value);
        }
        Ok(())
    }

    /// Makes `code` the code of `address`.
    pub(crate) fn set_code(&mut self, address: Address, code: Bytes, undo: &mut UndoLog) -> Result<(), StoreError> {
        let hash = keccak256(&code);
        let mut account = self.account(address)?.unwrap_or_else(empty_account);
        account.code_hash = hash;
        if !code.is_empty() {
            self.codes.insert(hash, code);
        }
        self.set_account(address, Some(account), undo)
    }

    /// The state after block `number`, or `None` when its history is no longer kept.
    pub(crate) fn at(view: Arc<View>, number: u64) -> Result<Option<Self>, StoreError> {
        if number < view.meta.undo_floor {
            return Ok(None);
        }
        let mut state = Self::newest(view);
        state.go_back(|_, undo| undo.number > number)?;
        Ok(Some(state))
    }

    /// Takes changes of the view back, newest first, while `more` holds; returns the key of the newest one left.
    pub(crate) fn go_back(&mut self, more: impl Fn(u64, &Undo) -> bool) -> Result<u64, StoreError> {
        let view = self.view.clone();
        for entry in view.undo(0..=view.meta.undo_seq)? {
            let (key, undo) = entry?;
            if !more(key, &undo) {
                return Ok(key);
            }
            self.take_back(undo);
        }
        Ok(0)
    }

    fn take_back(&mut self, undo: Undo) {
        for UndoAccount { address, before } in undo.accounts {
            self.accounts.insert(address, before.into_iter().next());
        }
        for UndoSlot { address, slot, before } in undo.slots {
            self.slots.insert((address, slot), before);
        }
    }

    /// Writes everything that lies over the view.
    pub(crate) fn write(&self, batch: &mut Batch) -> Result<(), StoreError> {
        batch.put_codes(&self.codes)?;
        batch.put_accounts(&self.accounts)?;
        batch.put_slots(&self.slots)
    }
}

/// An account that holds nothing.
pub(crate) fn empty_account() -> Account {
    Account { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY }
}

impl DatabaseRef for State {
    type Error = StoreError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StoreError> {
        Ok(self.account(address)?.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: None,
            code: None,
        }))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, StoreError> {
        if let Some(code) = lock(&ANALYSED).get(&hash) {
            return Ok(code.clone());
        }
        let code = Bytecode::new_raw_checked(self.code_of_hash(hash)?);
        let code = code.map_err(|_| StoreError::Corrupt("contract code"))?;
        let mut analysed = lock(&ANALYSED);
        if analysed.len() >= MOST_ANALYSED {
            analysed.clear();
        }
        Ok(analysed.entry(hash).or_insert(code).clone())
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, StoreError> {
        self.slot(address, slot)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StoreError> {
        match self.hashes.get(&number) {
            Some(hash) => Ok(*hash),
            None => Ok(self.view.header(number)?.map_or(B256::ZERO, |(hash, _)| hash)),
        }
    }
}

/// What was there before the changes of one block, first value wins.
#[derive(Default)]
pub(crate) struct UndoLog {
    accounts: HashMap<Address, Option<Account>>,
    slots: HashMap<(Address, U256), U256>,
}

impl UndoLog {
    /// The record to keep, in a fixed order so that equal blocks have equal records.
    pub(crate) fn into_undo(self, number: u64) -> Undo {
        let mut accounts: Vec<_> = self
            .accounts
            .into_iter()
            .map(|(address, before)| UndoAccount { address, before: before.into_iter().collect() })
            .collect();
        accounts.sort_unstable_by_key(|account| account.address);
        let mut slots: Vec<_> =
            self.slots.into_iter().map(|((address, slot), before)| UndoSlot { address, slot, before }).collect();
        slots.sort_unstable_by_key(|slot| (slot.address, slot.slot));
        Undo { number, accounts, slots }
    }
}

//! Batches into the arena's real bytecode: whatever the operator or a stranger submits, money is conserved (R3.3), no record
//! falls below its locks but by an applied outcome, the pool not below zero (R3.4), and a settled set only grows (R6.7).

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256};
use alloy_sol_types::{SolCall, SolEvent, SolValue};
use matchlock::{
    abi::{Arena, Domain, Exit, Receipt, Statement},
    account::{Player, SettledSet},
    settle::{self, ENTRY},
    sign::{Key, Signature, Signer, recover},
};
use revm::{
    Context, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext,
    context::{BlockEnv, CfgEnv, TxEnv, result::ExecutionResult},
    database::InMemoryDB,
    primitives::hardfork::SpecId,
    state::AccountInfo,
};

use super::Choices;
use crate::table::{OWNER, Table, key};

const CHAIN: u64 = 31337;
const ACCOUNTS: usize = 3;
/// What each account paid in, and what the pool holds: small, so that a byte's worth of a match can exhaust them.
const PAID_IN: u64 = 300;
const POOL: u64 = 250;
const EXIT_WINDOW: u32 = 1_000;
const STRANGER: Address = Address::repeat_byte(0x51);
/// Calls of one run.
const MAX_CALLS: usize = 24;

/// The arena after its deployment and the first deposits.
static ARENA: LazyLock<World> = LazyLock::new(World::deploy);

/// An arena on an EVM, and what is known of it without asking it.
#[derive(Clone)]
struct World {
    db: InMemoryDB,
    arena: Address,
    domain: Domain,
    now: u64,
    /// Accounts that something may have been settled for: damaged entries are of accounts that nobody knows.
    accounts: Vec<Address>,
    /// Fees that have left the pool, and that nobody has claimed.
    fees: U256,
}

/// What the arena says of an account.
struct Record {
    equity: i128,
    locked: i128,
    set: SettledSet,
}

/// The bytes choose calls; after each of them the books are looked at.
pub fn fuzz_batch(data: &[u8]) {
    let mut choices = Choices(data);
    let mut world = ARENA.clone();
    let mut before = world.records();
    for _ in 0..MAX_CALLS {
        if choices.is_over() {
            break;
        }
        world.step(&mut choices);
        let after = world.records();
        world.check(&before, &after);
        before = after;
    }
}

impl World {
    fn deploy() -> World {
        #[derive(serde::Deserialize)]
        struct Artifact {
            bytecode: Bytes,
        }
        let artifact: Artifact =
            serde_json::from_str(include_str!("../../../sdk/contracts/artifacts/Arena.json")).expect("an artifact");
        let operator = key("operator", 0).address();
        let config = Arena::Config {
            operator,
            token: Address::ZERO,
            court: Address::ZERO,
            exitWindow: EXIT_WINDOW,
            salt: B256::ZERO,
            beneficiaries: vec![],
            basisPoints: vec![],
        };
        let mut db = InMemoryDB::default();
        let rich = AccountInfo { balance: U256::from(1u64 << 40), ..AccountInfo::default() };
        for who in [operator, STRANGER, OWNER] {
            db.insert_account_info(who, rich.clone());
        }
        let arena = operator.create(0);
        let domain = Domain { chain_id: CHAIN, arena, salt: B256::ZERO };
        let mut world = World { db, arena, domain, now: 1_800_000_000, accounts: vec![], fees: U256::ZERO };
        let code = [&artifact.bytecode[..], &(config,).abi_encode_params()].concat();
        let deployed = world.run(operator, TxKind::Create, code, 0);
        assert!(deployed.is_success(), "{deployed:?}");
        world.call(STRANGER, &Arena::fundCall {}, POOL);
        for seat in 0..ACCOUNTS {
            let account = Table::player(seat).account().0;
            world.call(STRANGER, &Arena::depositCall { account }, PAID_IN);
            world.accounts.push(account);
        }
        world
    }

    fn run(&mut self, from: Address, kind: TxKind, data: Vec<u8>, value: u64) -> ExecutionResult {
        let tx = self.transaction(from, kind, data, value);
        let (cfg, block) = self.env();
        let mut evm = Context::mainnet().with_db(&mut self.db).with_cfg(cfg).with_block(block).build_mainnet();
        evm.transact_commit(tx).expect("a transaction that may start")
    }

    fn transaction(&self, caller: Address, kind: TxKind, data: Vec<u8>, value: u64) -> TxEnv {
        let (data, value, chain_id) = (data.into(), U256::from(value), Some(CHAIN));
        TxEnv { caller, kind, data, value, chain_id, gas_limit: 1 << 24, ..TxEnv::default() }
    }

    fn env(&self) -> (CfgEnv, BlockEnv) {
        let mut cfg = CfgEnv::new_with_spec(SpecId::OSAKA).with_chain_id(CHAIN);
        cfg.disable_nonce_check = true;
        let block = BlockEnv { timestamp: U256::from(self.now), gas_limit: 1 << 26, ..BlockEnv::default() };
        (cfg, block)
    }

    fn call<C: SolCall>(&mut self, from: Address, call: &C, value: u64) -> Vec<Log> {
        match self.run(from, TxKind::Call(self.arena), call.abi_encode(), value) {
            ExecutionResult::Success { logs, .. } => logs,
            ExecutionResult::Revert { .. } => vec![],
            halt => panic!("{}: {halt:?}", C::SIGNATURE),
        }
    }

    fn view<C: SolCall>(&mut self, call: &C) -> C::Return {
        let tx = self.transaction(STRANGER, TxKind::Call(self.arena), call.abi_encode(), 0);
        let (cfg, block) = self.env();
        let mut evm = Context::mainnet().with_db(&mut self.db).with_cfg(cfg).with_block(block).build_mainnet();
        let answer = evm.transact(tx).expect("a call that may start").result;
        let output = answer.into_output().expect("views do not revert");
        C::abi_decode_returns(&output).expect("the view's type")
    }

    // ----------------------------------------------------------------------------------------------------- what is done

    fn step(&mut self, choices: &mut Choices<'_>) {
        let operator = key("operator", 0).address();
        let kind = choices.byte();
        let from = if kind & 128 == 0 { operator } else { STRANGER };
        match kind & 15 {
            0..=5 => self.settle(from, choices),
            6 | 7 => self.settle_signed(from, choices),
            8 => {
                let account = Table::player(choices.below(ACCOUNTS)).account().0;
                let value = u64::from(choices.byte());
                self.call(STRANGER, &Arena::depositCall { account }, value);
            }
            9 => {
                let value = u64::from(choices.byte());
                self.call(STRANGER, &Arena::fundCall {}, value);
            }
            10 => {
                let amount = u64::from(choices.byte()).try_into().expect("96 bits");
                self.call(from, &Arena::requestPoolCall { amount }, 0);
            }
            11 => drop(self.call(from, &Arena::withdrawPoolCall {}, 0)),
            12 => self.exit(choices),
            13 => {
                let player = Table::player(choices.below(ACCOUNTS));
                self.call(STRANGER, &Arena::finishExitCall { owner: player.owner, key: player.key }, 0);
            }
            14 => {
                let held = self.held();
                self.call(STRANGER, &Arena::claimRevenueCall { beneficiary: operator }, 0);
                self.fees -= held - self.held();
            }
            _ => self.now += u64::from(choices.byte()) * 8,
        }
    }

    /// A batch of entries that are mostly what they should be, or of any bytes.
    fn settle(&mut self, from: Address, choices: &mut Choices<'_>) {
        let count = 1 + choices.below(4);
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.extend(self.entry(choices));
        }
        if choices.below(16) == 0 {
            entries.truncate(choices.below(entries.len()));
        }
        let count = (entries.len() / ENTRY) as u32;
        entries.chunks_exact(ENTRY).for_each(|entry| self.may_settle(entry));
        let (matches, fees) = (u32::from(choices.byte()), u64::from(choices.byte()).try_into().expect("96 bits"));
        let root = B256::repeat_byte(choices.byte());
        let call = Arena::settleCall { entries: entries.into(), resultsRoot: root, matches, fees };
        let logs = self.call(from, &call, 0);
        self.counted(&logs, count);
    }

    fn settle_signed(&mut self, from: Address, choices: &mut Choices<'_>) {
        let count = 1 + choices.below(3);
        let mut entries = Vec::new();
        for _ in 0..count {
            let kind = choices.byte();
            let (seat, statement) = statement(choices);
            let player = Table::player(seat);
            let signature = self.sign(&key("seat", seat as u64), statement.struct_hash(player.owner));
            let signer = if kind & 7 == 0 { key("seat", 0) } else { key("operator", 0) };
            let receipt = self.sign(&signer, statement.receipt_hash(player.account()).0);
            entries.extend(settle::entry(player.owner, &statement, &signature));
            entries.extend(receipt.0);
        }
        let logs = self.call(from, &Arena::settleSignedCall { entries: entries.into() }, 0);
        self.counted(&logs, count as u32);
    }

    /// Remembers whose entry this is, if anybody's.
    fn may_settle(&mut self, entry: &[u8]) {
        let (packed, signature) = entry.split_at(ENTRY - 64);
        let owner = Address::from_slice(&packed[..20]);
        let number = |at: usize| u32::from_be_bytes(packed[at..at + 4].try_into().expect("four bytes"));
        let mut net = [if packed[20] & 128 == 0 { 0 } else { 0xff }; 16];
        net[4..].copy_from_slice(&packed[20..32]);
        let set = SettledSet { through: number(32), pending: number(36) };
        let digest = self.domain.digest(Statement { net: i128::from_be_bytes(net), set }.struct_hash(owner));
        let signature = Signature(signature.try_into().expect("64 bytes"));
        if let Ok(key) = recover(digest, &signature) {
            let account = Player { owner, key }.account().0;
            if !self.accounts.contains(&account) {
                self.accounts.push(account);
            }
        }
    }

    /// Every entry of a batch that was not refused is applied, or skipped for a reason (R6.8). Fees leave the pool.
    fn counted(&mut self, logs: &[Log], entries: u32) {
        let skipped = logs.iter().filter_map(|log| Arena::Skipped::decode_log(log).ok()).count() as u32;
        for log in logs {
            let Ok(settled) = Arena::Settled::decode_log(log) else { continue };
            assert_eq!(settled.applied + skipped, entries, "an entry was neither applied nor skipped");
            self.fees += U256::from(settled.fees);
        }
    }

    fn entry(&self, choices: &mut Choices<'_>) -> Vec<u8> {
        let kind = choices.byte();
        if kind & 15 == 0 {
            let mut bytes = choices.bytes(ENTRY).to_vec();
            bytes.resize(ENTRY, 0);
            return bytes;
        }
        let (seat, statement) = statement(choices);
        let signer = match kind & 15 {
            1 => key("seat", (seat as u64 + 1) % ACCOUNTS as u64),
            2 => key("operator", 0),
            _ => key("seat", seat as u64),
        };
        let mut signature = self.sign(&signer, statement.struct_hash(OWNER));
        if kind & 15 == 3 {
            signature.0[usize::from(choices.byte()) % 64] ^= 1 << (choices.byte() & 7);
        }
        let mut entry = settle::entry(OWNER, &statement, &signature).to_vec();
        if kind & 15 == 4 {
            entry[usize::from(choices.byte()) % ENTRY] ^= choices.byte();
        }
        entry
    }

    /// An account leaves, with a receipt or without one.
    fn exit(&mut self, choices: &mut Choices<'_>) {
        let kind = choices.byte();
        let (seat, statement) = statement(choices);
        let player = Table::player(seat);
        let account = player.account();
        let receipt = if kind & 1 == 0 { statement.receipt_hash(account) } else { Receipt::default() };
        let entry = match kind & 1 {
            0 => settle::exit_entry(&statement, &self.sign(&key("operator", 0), receipt.0)),
            _ => vec![],
        };
        let nonce = self.view(&Arena::accountOfCall { account: account.0 }).nonce;
        let order = Exit { account, receipt, nonce: nonce.to() };
        let signature = self.sign(&key("seat", seat as u64), order.struct_hash());
        let (owner, key) = (player.owner, player.key);
        let (entry, exit_sig) = (entry.into(), signature.0.to_vec().into());
        self.call(STRANGER, &Arena::exitCall { owner, key, entry, exitSig: exit_sig }, 0);
    }

    fn sign(&self, key: &Key, struct_hash: B256) -> Signature {
        key.sign(self.domain.digest(struct_hash)).expect("signs")
    }

    // -------------------------------------------------------------------------------------------------- what must hold

    fn records(&mut self) -> Vec<Record> {
        let accounts = self.accounts.clone();
        (accounts.into_iter())
            .map(|account| {
                let record = self.view(&Arena::accountOfCall { account });
                let signed = |word: alloy_primitives::aliases::I96| i128::try_from(word).expect("96 bits");
                Record {
                    equity: signed(record.funds) + signed(record.net),
                    locked: record.locked.to::<u128>() as i128,
                    set: SettledSet { through: record.through, pending: record.pending },
                }
            })
            .collect()
    }

    fn held(&self) -> U256 {
        self.db.cache.accounts.get(&self.arena).map_or(U256::ZERO, |account| account.info.balance)
    }

    fn check(&mut self, before: &[Record], after: &[Record]) {
        let payable: U256 = after.iter().map(|record| U256::from(record.equity.max(0))).sum();
        let pool = U256::from(self.view(&Arena::poolCall {}).equity);
        assert_eq!(
            payable + pool + self.fees,
            self.held(),
            "R3.3: {payable} payable, {pool} in the pool, {} fees",
            self.fees
        );
        for (before, after) in before.iter().zip(after) {
            let fell = after.equity < before.equity;
            assert!(!fell || after.equity >= after.locked, "R3.4: an account fell to {}", after.equity);
            let lost = (0..after.set.through.max(before.set.through).min(64))
                .find(|index| before.set.contains(*index) && !after.set.contains(*index));
            assert_eq!(lost, None, "R6.7: a settled match is open again");
        }
    }
}

/// Something that an account and the operator might have signed, or never would.
fn statement(choices: &mut Choices<'_>) -> (usize, Statement) {
    let seat = choices.below(ACCOUNTS);
    let shape = choices.byte();
    let small = i128::from(i16::from_be_bytes([choices.byte(), choices.byte()]) % 700);
    let net = match shape & 15 {
        0 => (1 << 95) - 1 - small.abs(),
        1 => -(1 << 95) + small.abs(),
        _ => small,
    };
    let through = match shape >> 4 {
        0 => (1 << 26) - 2 + u32::from(choices.byte() & 3),
        _ => u32::from(choices.byte() % 40),
    };
    let pending = u32::from(choices.byte()) << (choices.byte() % 32);
    (seat, Statement { net, set: SettledSet { through, pending } })
}

//! The simulated chain: the real EVM with the real bytecode, whose blocks, delays and reorgs are the schedule's.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolEventInterface};
use futures_util::FutureExt;
use matchlock::{
    abi::{Arena, Court, Domain, MatchId},
    account::AccountId,
    chain::{
        Answer, BlockId, Call, ChainAccount, DisputeUpdate, Pool, Provider, ProviderError, Rpc, SignedTransaction,
        read_contract, read_disputes,
    },
    dispute::Dispute,
    game::{Amount, Seat},
    rules::Rules,
    sign::{Key, Signer},
};
use matchlock_devchain::{Config, DevChain, RpcError};
use serde_json::{Value, json};

use super::mirror::{Block, Mirror};
use crate::{
    compare::Contracts,
    model::{ModelConfig, ModelCourt, Referee},
    table::key,
    world::Failure,
};

/// When every schedule begins, in Unix seconds.
pub(super) const BEGIN: u64 = 1_900_000_000;
/// Seconds of the shortest window (R7.5).
pub(super) const WINDOW: u64 = 120;
/// Seconds that arbiters have.
pub(super) const PATIENCE: u64 = 240;
/// Seconds of an exit.
pub(super) const EXIT: u64 = 600;
/// What a contest before arbiters costs, in wei.
pub(super) const BOND: u64 = 1_000_000;
/// Arbiters; two of them rule.
pub(super) const ARBITERS: u64 = 3;
const QUORUM: u8 = 2;
/// Wei per gas that every transaction offers.
const FEE: u128 = 500_000_000_000;
const GAS: u64 = 4_000_000;
/// Gas that making a contract may take.
const DEPLOYMENT: u64 = 16_000_000;

/// Milliseconds since [`BEGIN`], shared by everything that tells the time.
#[derive(Clone, Debug, Default)]
pub(super) struct Time(Arc<AtomicU64>);

impl Time {
    /// Milliseconds since the beginning.
    pub(super) fn millis(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Unix seconds.
    pub(super) fn now(&self) -> u64 {
        BEGIN + self.millis() / 1000
    }

    pub(super) fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::Relaxed);
    }
}

/// A way to the node, which can be cut, and can lie.
#[derive(Clone)]
pub(super) struct Node {
    chain: DevChain,
    cut: Arc<AtomicBool>,
    /// Says that the pool holds a fortune.
    lies: Arc<AtomicBool>,
    /// Every transaction that was ever sent, for reorgs.
    sent: Arc<Mutex<BTreeMap<B256, Bytes>>>,
}

impl Node {
    fn ask(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let raw: Option<Bytes> = match method {
            "eth_sendRawTransaction" => serde_json::from_value(params[0].clone()).ok(),
            _ => None,
        };
        let answer = self.chain.request_blocking(method, params)?;
        if let (Some(raw), Ok(hash)) = (raw, serde_json::from_value(answer.clone())) {
            self.sent.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, raw);
        }
        Ok(answer)
    }
}

impl Provider for Node {
    fn request<'a>(&'a self, method: &'a str, params: Value) -> Answer<'a> {
        Box::pin(async move {
            if self.cut.load(Ordering::Relaxed) {
                return Err(ProviderError::Unreachable { url: "simulated".into(), reason: "cut off".into() });
            }
            let about_pool = method == "eth_call" && self.lies.load(Ordering::Relaxed) && is_pool_call(&params);
            let answer = self.ask(method, params).map_err(|error| ProviderError::Rpc {
                code: error.code,
                message: error.message,
                data: error.data,
            })?;
            Ok(if about_pool { fortune(&answer) } else { answer })
        })
    }
}

/// What one block told.
#[derive(Clone, Debug, Default)]
struct News {
    disputes: Vec<DisputeUpdate>,
    events: Vec<String>,
    concluded: Vec<(MatchId, Vec<Amount>)>,
    exits: Vec<(AccountId, u64)>,
    paid: Vec<(AccountId, Amount)>,
}

/// What all blocks told.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// Open disputes.
    pub(super) disputes: BTreeMap<MatchId, Dispute>,
    /// Outcomes that the chain applied.
    pub(super) concluded: BTreeMap<MatchId, Vec<Amount>>,
    /// Exits, and when their windows end.
    pub(super) exits: BTreeMap<AccountId, u64>,
    /// What was paid to each account's owner.
    pub(super) paid: BTreeMap<AccountId, u128>,
}

/// The chain of one thread; every schedule begins from the same block.
pub(super) struct SimChain {
    node: Node,
    /// The server's way to it.
    server_node: Node,
    /// What tells everything the time.
    pub(super) time: Time,
    /// Where signatures count.
    pub(super) domain: Domain,
    /// The arena's court.
    pub(super) court: Address,
    snapshot: Value,
    first: u64,
    news: Vec<News>,
    view: View,
    /// Raw transactions of each block since the first.
    blocks: Vec<Vec<Bytes>>,
    /// What the model of the contracts says of all that.
    pub(super) mirror: Mirror,
    /// Transactions that a reorg took back, and that are sent again.
    lost: Vec<Bytes>,
}

/// The operator's key.
pub(super) fn operator() -> Key {
    key("operator", 0)
}

/// An arbiter's key.
pub(super) fn arbiter(n: u64) -> Key {
    key("arbiter", n)
}

/// A wallet's key.
pub(super) fn wallet(n: u64) -> Key {
    key("wallet", n)
}

/// The rules that a contest brings along, as the model judges by them.
fn judged(games: &[Arc<dyn Rules>]) -> BTreeMap<B256, Arc<dyn Referee>> {
    let on_chain = |rules: &Arc<dyn Rules>| Some((rules.on_chain()?.hash, Arc::new(rules.clone()) as Arc<dyn Referee>));
    games.iter().filter_map(on_chain).collect()
}

/// Wallets that have coins.
const WALLETS: u64 = 8;

impl SimChain {
    /// A chain with an arena and its court, before which these games may come.
    ///
    /// # Errors
    /// The deployment fails.
    pub(super) fn new(contracts: &Contracts, games: &[Arc<dyn Rules>]) -> Result<SimChain, Failure> {
        let time = Time::default();
        let clock = time.clone();
        let rich = U256::from(10u128.pow(24));
        let accounts = (0..WALLETS).map(|n| wallet(n).address()).chain([operator().address()]);
        let mut config = Config::default();
        config.accounts = accounts.map(|address| (address, rich)).collect();
        config.clock = Arc::new(move || clock.now());
        let chain = DevChain::open(config)?;
        let node = Node { chain, cut: Arc::default(), lies: Arc::default(), sent: Arc::default() };
        let (operator, chain_id) = (operator(), Config::default().chain_id);
        let [arena, court] = [0, 1].map(|nonce| operator.address().create(nonce));
        let domain = Domain { chain_id, arena, salt: B256::repeat_byte(1) };
        let mut arbiters: Vec<Address> = (0..ARBITERS).map(|n| arbiter(n).address()).collect();
        arbiters.sort();
        let model = ModelConfig {
            domain,
            operator: operator.address(),
            exit_window: EXIT as u32,
            split: Vec::new(),
            court: ModelCourt {
                address: court,
                minimum: WINDOW as u32,
                patience: PATIENCE as u32,
                bond: BOND.into(),
                quorum: QUORUM,
                arbiters,
            },
            referees: BTreeMap::new(),
            rules: judged(games),
        };
        for (nonce, code) in (0..).zip(contracts.creation(&model)) {
            let call = Call { from: Some(operator.address()), to: None, data: code.into(), value: U256::ZERO };
            let signed = SignedTransaction::sign(&operator, chain_id, nonce, &call, DEPLOYMENT, FEE, 1_000_000_000)?;
            node.ask("eth_sendRawTransaction", json!([signed.raw]))?;
        }
        node.chain.request_blocking("evm_setAutomine", json!([false]))?;
        let server_node = Node { cut: Arc::default(), lies: Arc::default(), ..node.clone() };
        let mut chain = SimChain {
            node,
            server_node,
            time,
            domain,
            court,
            snapshot: Value::Null,
            first: 0,
            news: Vec::new(),
            view: View::default(),
            blocks: Vec::new(),
            mirror: Mirror::new(model),
            lost: Vec::new(),
        };
        chain.first = chain.height()?;
        chain.snapshot = chain.ask("evm_snapshot", json!([]))?;
        Ok(chain)
    }

    /// Goes back to the beginning.
    ///
    /// # Errors
    /// The chain does not answer.
    pub(super) fn reset(&mut self) -> Result<(), Failure> {
        self.time.set(0);
        self.mend();
        // What waits to be mined outlives a revert.
        let waiting = self.ask("txpool_content", json!([]))?;
        for group in ["pending", "queued"] {
            let senders = waiting[group].as_object().into_iter().flatten();
            for (_, transactions) in senders {
                for (_, transaction) in transactions.as_object().into_iter().flatten() {
                    self.ask("anvil_dropTransaction", json!([transaction["hash"]]))?;
                }
            }
        }
        self.ask("evm_revert", json!([self.snapshot]))?;
        self.snapshot = self.ask("evm_snapshot", json!([]))?;
        self.node.sent.lock().unwrap_or_else(PoisonError::into_inner).clear();
        (self.news, self.view, self.blocks, self.lost) = Default::default();
        self.mirror.cut(0);
        Ok(())
    }

    /// The server's way to it.
    pub(super) fn server_node(&self) -> Node {
        self.server_node.clone()
    }

    /// Cuts the server off.
    pub(super) fn cut(&self) {
        self.server_node.cut.store(true, Ordering::Relaxed);
    }

    /// Lets the server back.
    pub(super) fn mend(&self) {
        self.server_node.cut.store(false, Ordering::Relaxed);
    }

    /// Whether the server is told of a pool that is not there.
    pub(super) fn deceive(&self, lies: bool) {
        self.server_node.lies.store(lies, Ordering::Relaxed);
    }

    fn ask(&self, method: &str, params: Value) -> Result<Value, Failure> {
        Ok(self.node.ask(method, params)?)
    }

    /// The newest block.
    ///
    /// # Errors
    /// The chain does not answer.
    pub(super) fn height(&self) -> Result<u64, Failure> {
        let text: alloy_primitives::U64 = serde_json::from_value(self.ask("eth_blockNumber", json!([]))?)?;
        Ok(text.to())
    }

    /// What the newest block's time is.
    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// Sends a transaction of a key that has coins; it waits for the next block.
    ///
    /// # Errors
    /// The chain does not take it.
    pub(super) fn send(&self, from: &Key, to: Address, value: U256, calldata: Vec<u8>) -> Result<B256, Failure> {
        let nonce = self.ask("eth_getTransactionCount", json!([from.address(), "pending"]))?;
        let nonce: alloy_primitives::U64 = serde_json::from_value(nonce)?;
        let call = Call { from: Some(from.address()), to: Some(to), data: calldata.into(), value };
        let signed = SignedTransaction::sign(from, self.domain.chain_id, nonce.to(), &call, GAS, FEE, 1_000_000_000)?;
        self.ask("eth_sendRawTransaction", json!([signed.raw]))?;
        Ok(signed.hash)
    }

    /// Whether a call would go through now.
    pub(super) fn would_pass(&self, from: Address, to: Address, value: U256, calldata: &[u8]) -> bool {
        let data = Bytes::copy_from_slice(calldata);
        self.ask("eth_call", json!([{ "from": from, "to": to, "value": value, "data": data }, "latest"])).is_ok()
    }

    /// Mines what waits.
    ///
    /// # Errors
    /// The chain does not answer.
    pub(super) fn mine(&mut self) -> Result<(), Failure> {
        for raw in std::mem::take(&mut self.lost) {
            // One that has become invalid is gone.
            let _ = self.ask("eth_sendRawTransaction", json!([raw]));
        }
        self.ask("evm_mine", json!([]))?;
        self.read_block(self.first + self.news.len() as u64 + 1)
    }

    /// Replaces the newest blocks by others with some of their transactions; the rest is sent again later, or lost.
    ///
    /// # Errors
    /// The chain does not answer.
    pub(super) fn reorg(&mut self, depth: u64, mut fate: impl FnMut() -> Fate) -> Result<(), Failure> {
        let depth = depth.min(self.blocks.len() as u64);
        if depth == 0 {
            return Ok(());
        }
        let from = self.blocks.len() - depth as usize;
        let mut kept: Vec<(Bytes, u64)> = Vec::new();
        for (place, raws) in self.blocks.split_off(from).into_iter().enumerate() {
            for raw in raws {
                match fate() {
                    Fate::Stays => kept.push((raw, place as u64)),
                    Fate::Later => self.lost.push(raw),
                    Fate::Lost => {}
                }
            }
        }
        self.news.truncate(from);
        self.mirror.cut(from);
        // A transaction behind one that is gone cannot be mined; then none of them stays.
        if self.ask("anvil_reorg", json!([depth, kept])).is_err() {
            self.lost.extend(kept.into_iter().map(|(raw, _)| raw));
            self.ask("anvil_reorg", json!([depth, []]))?;
        }
        self.view = self.news.iter().fold(View::default(), |mut view, news| {
            view.add(news);
            view
        });
        for _ in 0..depth {
            self.read_block(self.first + self.news.len() as u64 + 1)?;
        }
        Ok(())
    }

    fn read_block(&mut self, number: u64) -> Result<(), Failure> {
        let hex = format!("{number:#x}");
        let block: Block = serde_json::from_value(self.ask("eth_getBlockByNumber", json!([hex, true]))?)?;
        let hashes: Vec<B256> = block.transactions.iter().map(|sent| sent.hash).collect();
        let receipts = match hashes.is_empty() {
            true => Vec::new(),
            false => serde_json::from_value(self.ask("eth_getBlockReceipts", json!([hex]))?)?,
        };
        self.mirror.block(&block, &receipts)?;
        let mut raws = Vec::new();
        for hash in &hashes {
            let sent = self.node.sent.lock().unwrap_or_else(PoisonError::into_inner);
            raws.push(sent.get(hash).ok_or("a transaction that nobody sent")?.clone());
        }
        let mut news = News::default();
        if !hashes.is_empty() {
            let rpc = Rpc(self.node.clone());
            let sources = [self.domain.arena, self.court];
            let logs = at_once(rpc.logs(&sources, number, number))?;
            news.disputes = at_once(read_disputes(&rpc, self.court, &logs))?.unwrap_or_default();
            for entry in &logs {
                let court = Court::CourtEvents::decode_log(&entry.log()).map(|event| format!("{:?}", event.data));
                let event =
                    court.or(Arena::ArenaEvents::decode_log(&entry.log()).map(|event| format!("{:?}", event.data)));
                // The name stands first in what is printed of an event.
                let name = event.unwrap_or_default();
                news.events.push(name.split(['(', ' ']).next().unwrap_or_default().to_owned());
            }
            for entry in logs.iter().filter(|entry| entry.address == self.domain.arena) {
                let Ok(event) = Arena::ArenaEvents::decode_log(&entry.log()) else { continue };
                match event.data {
                    Arena::ArenaEvents::Concluded(event) => {
                        let payouts = event.payouts.into_iter().map(amount).collect();
                        news.concluded.push((MatchId(event.matchId), payouts));
                    }
                    Arena::ArenaEvents::ExitOpened(event) => {
                        news.exits.push((AccountId(event.account), event.exitAt.to()));
                    }
                    Arena::ArenaEvents::Withdrawn(event) => {
                        news.paid.push((AccountId(event.account), amount(event.amount)));
                    }
                    Arena::ArenaEvents::ExitFinished(event) => {
                        news.paid.push((AccountId(event.account), amount(event.paid)));
                    }
                    _ => {}
                }
            }
        }
        self.view.add(&news);
        self.news.push(news);
        self.blocks.push(raws);
        Ok(())
    }

    /// The names of the newest block's events.
    pub(super) fn events(&self) -> &[String] {
        self.news.last().map_or(&[], |news| &news.events)
    }

    /// What the newest block told, in words.
    pub(super) fn told(&self) -> Vec<String> {
        let Some(news) = self.news.last() else { return Vec::new() };
        let disputes = news.disputes.iter().map(|update| match &update.docket {
            None => format!("the dispute of {} is over", update.match_id),
            Some(docket) => format!(
                "{} is in court: turn {}, {:?}, {:?}, {} s until {}",
                update.match_id,
                docket.turn(),
                docket.phase(),
                docket.mover(),
                docket.until() - docket.since(),
                docket.until() - BEGIN,
            ),
        });
        let concluded = news.concluded.iter().map(|(id, payouts)| format!("{id} is concluded: {payouts:?}"));
        let exits = news.exits.iter().map(|(id, at)| format!("{id} exits until {}", at - BEGIN));
        let paid = news.paid.iter().map(|(id, amount)| format!("{id} is paid {amount}"));
        disputes.chain(concluded).chain(exits).chain(paid).collect()
    }

    /// What the chain says of an account now.
    ///
    /// # Errors
    /// The chain does not answer.
    pub(super) fn account(&self, id: AccountId) -> Result<ChainAccount, Failure> {
        Ok(at_once(ChainAccount::read(&Rpc(self.node.clone()), self.domain.arena, id, BlockId::Latest))?)
    }

    /// Whether an outcome that the chain applied is a claim of this seat's yet (R6.10).
    pub(super) fn is_claim(&self, id: MatchId, seat: Seat) -> Result<bool, Failure> {
        let call = Arena::outcomeOfCall { id: id.0 };
        let rpc = Rpc(self.node.clone());
        let outcome = at_once(read_contract(&rpc, self.domain.arena, &call, BlockId::Latest))?;
        Ok(outcome.live >> seat.0 & 1 == 1)
    }

    /// The pool now.
    ///
    /// # Errors
    /// The chain does not answer.
    pub(super) fn pool(&self) -> Result<Pool, Failure> {
        Ok(at_once(Pool::read(&Rpc(self.node.clone()), self.domain.arena, BlockId::Latest))?)
    }

    /// What the arena holds, in wei.
    ///
    /// # Errors
    /// The chain does not answer.
    pub(super) fn balance(&self) -> Result<u128, Failure> {
        let balance = at_once(Rpc(self.node.clone()).balance(self.domain.arena))?;
        Ok(balance.to())
    }
}

/// What becomes of a transaction in a reorg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is in the new block, too.
    Stays,
    /// It waits again.
    Later,
    /// Nobody has it any more.
    Lost,
}

impl View {
    fn add(&mut self, news: &News) {
        for update in &news.disputes {
            let known = self.disputes.remove(&update.match_id);
            if let Some(dispute) = update.clone().after(known) {
                self.disputes.insert(update.match_id, dispute);
            }
        }
        for (id, payouts) in &news.concluded {
            self.disputes.remove(id);
            self.concluded.insert(*id, payouts.clone());
        }
        self.exits.extend(news.exits.iter().copied());
        for (id, amount) in &news.paid {
            *self.paid.entry(*id).or_default() += amount.units();
        }
    }
}

fn is_pool_call(params: &Value) -> bool {
    let selector = alloy_primitives::hex::encode_prefixed(Arena::poolCall::SELECTOR);
    let data = params[0]["data"].as_str().or(params[0]["input"].as_str());
    data.is_some_and(|data| data == selector)
}

/// The pool's answer with another equity, which is its first word.
fn fortune(answer: &Value) -> Value {
    let rest = answer.as_str().and_then(|hex| hex.get(66..)).unwrap_or_default();
    json!(format!("0x{:064x}{rest}", 10u128.pow(20)))
}

fn amount(units: alloy_primitives::aliases::U96) -> Amount {
    Amount::new(units.to()).expect("96 bits")
}

/// The answer of a future that never waits: the node answers in the same call.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the simulated node answers at once")
}

//! Against the embedded chain, with the real contract. Nothing here waits for time to pass: blocks are mined by the
//! test, and each look at the chain is one call.

use std::{
    io::{BufRead as _, BufReader},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{Address, B256, U256, aliases::U96};
use alloy_sol_types::{SolCall, SolInterface, SolValue};
use matchlock::{
    abi::{Arena, Statement, Withdrawal},
    account::{AccountId, Player, SettledSet},
    chain::{
        Answer, ArenaChain, ArenaError, CallError, ContractError, CourtError, HttpProvider, LocalWallet, Provider,
        ProviderError, Rpc, SignedWithdrawal,
    },
    game::Amount,
    settle,
    sign::{Key, Signature, Signer as _},
};
use matchlock_devchain::{Config, DevChain, dev_accounts};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Instant};

use super::{
    send::{Queue, Step},
    watch::{Look, Watcher},
    *,
};

const EXIT_WINDOW: u32 = 3_600;

fn key(index: usize) -> Key {
    Key::from_bytes(&dev_accounts()[index].private_key).expect("a key")
}

fn operator() -> Key {
    key(0)
}

/// A chain as a provider that can be cut off: the embedded one, or anvil where `MATCHLOCK_ANVIL` names its binary.
#[derive(Clone, Debug)]
struct Node {
    chain: Backend,
    cut: Arc<AtomicBool>,
}

#[derive(Clone, Debug)]
enum Backend {
    Embedded(DevChain),
    Anvil(Arc<Anvil>),
}

#[derive(Debug)]
struct Anvil {
    process: std::process::Child,
    endpoint: HttpProvider,
    automine: AtomicBool,
}

impl Anvil {
    /// As the embedded chain does it: where mining is automatic, a transaction is mined when its sending is answered.
    /// Anvil itself mines a moment later.
    async fn request(&self, method: &str, params: Value) -> Result<Value, ProviderError> {
        if method == "evm_setAutomine" {
            self.automine.store(params[0] == json!(true), Ordering::SeqCst);
        }
        let sends = matches!(method, "eth_sendTransaction" | "eth_sendRawTransaction");
        let answer = self.endpoint.request(method, params).await?;
        if sends && self.automine.load(Ordering::SeqCst) {
            let hash: B256 = serde_json::from_value(answer.clone()).expect("a hash");
            let mined = Rpc(&self.endpoint).mined(hash, Duration::from_secs(30)).await?;
            assert!(mined.is_some(), "anvil does not mine {hash}");
        }
        Ok(answer)
    }
}

impl Backend {
    fn start() -> Backend {
        let Some(binary) = std::env::var_os("MATCHLOCK_ANVIL") else {
            return Backend::Embedded(DevChain::open(Config::default()).expect("a chain"));
        };
        let mut process = std::process::Command::new(binary)
            .args(["--port", "0", "--enable-tx-gas-limit"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("anvil starts");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let mut lines = output.lines().map(|line| line.expect("text"));
        let address = lines.find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned)).expect("an address");
        let endpoint = HttpProvider::new(&format!("http://{address}")).expect("a URL");
        // It would die of a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Backend::Anvil(Arc::new(Anvil { process, endpoint, automine: AtomicBool::new(true) }))
    }

    async fn request(&self, method: &str, params: Value) -> Result<Value, ProviderError> {
        match self {
            Backend::Anvil(anvil) => anvil.request(method, params).await,
            Backend::Embedded(chain) => {
                let answer = chain.request(method, params).await;
                answer.map_err(|error| ProviderError::from_rpc(error.code, error.message, error.data))
            }
        }
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Provider for Node {
    fn request<'a>(&'a self, method: &'a str, params: Value) -> Answer<'a> {
        Box::pin(async move {
            if self.cut.load(Ordering::SeqCst) {
                return Err(ProviderError::Unreachable { url: "cut off".to_owned(), reason: "by the test".to_owned() });
            }
            self.chain.request(method, params).await
        })
    }
}

/// A chain with an arena on it.
struct Bench {
    node: Node,
    config: ChainConfig,
    outbox: Arc<MemoryOutbox>,
}

impl Bench {
    async fn new() -> Bench {
        let node = Node { chain: Backend::start(), cut: Arc::default() };
        let deployment =
            deploy_through(node.clone(), &operator(), deploy_config(Address::ZERO)).await.expect("deployed");
        let mut config = ChainConfig::new("", deployment.arena, operator());
        config.poll_interval = Duration::from_millis(1);
        config.from_block = deployment.block;
        Bench { node, config, outbox: Arc::default() }
    }

    fn with(mut self, change: impl FnOnce(&mut ChainConfig)) -> Bench {
        change(&mut self.config);
        self
    }

    async fn chain(&self) -> Chain {
        Chain::connect_through(Arc::new(self.node.clone()), self.config.clone()).await.expect("connected")
    }

    /// The sender's queue, as a fresh process finds it.
    async fn queue(&self) -> Queue {
        Queue::load(&self.chain().await, self.outbox.clone()).await.expect("loaded")
    }

    /// The watcher, as a fresh process finds it.
    async fn watcher(&self) -> Watcher {
        let outbox: Arc<dyn Outbox> = self.outbox.clone();
        Watcher::load(self.chain().await, &outbox).await.expect("loaded")
    }

    /// The arena with the wallet of a development account.
    async fn wallet(&self, index: usize) -> ArenaChain<LocalWallet<Node>> {
        let wallet = LocalWallet::new(self.node.clone(), key(index));
        ArenaChain::connect(wallet, self.config.arena).await.expect("an arena")
    }

    async fn rpc(&self, method: &str, params: Value) -> Value {
        self.node.chain.request(method, params).await.expect("the chain does it")
    }

    async fn automine(&self, on: bool) {
        self.rpc("evm_setAutomine", json!([on])).await;
    }

    async fn mine(&self, blocks: u64) {
        self.rpc("anvil_mine", json!([blocks])).await;
    }

    async fn nonce(&self) -> U256 {
        let nonce = self.rpc("eth_getTransactionCount", json!([operator().address(), "latest"])).await;
        serde_json::from_value(nonce).expect("a number")
    }

    fn fund(&self, key: &str) -> Submission {
        Submission {
            key: key.to_owned(),
            to: self.config.arena,
            calldata: Arena::fundCall {}.abi_encode().into(),
            value: U256::from(1_000),
            gas_limit: None,
        }
    }
}

fn deploy_config(token: Address) -> DeployConfig {
    DeployConfig { token, court: None, exit_window: EXIT_WINDOW, salt: None, split: Vec::new() }
}

fn amount(units: u64) -> Amount {
    Amount::from_u64(units)
}

/// The owner of the development account and an account key of its own.
fn player(index: usize) -> (Player, Key) {
    let account_key = Key::from_bytes(&B256::repeat_byte(index as u8 + 1)).expect("a key");
    (Player { owner: key(index).address(), key: account_key.address() }, account_key)
}

fn sign(key: &Key, domain: &matchlock::abi::Domain, struct_hash: B256) -> Signature {
    key.sign(domain.digest(struct_hash)).expect("signed")
}

async fn step(queue: &Queue) -> Step {
    queue.step(Instant::now()).await.expect("the node and the outbox work")
}

/// The submission's only transaction, or all of them.
async fn hashes(queue: &Queue, key: &str) -> (u64, Vec<B256>) {
    match queue.progress(key).await {
        Some(Progress::Sent { nonce, hashes }) => (nonce, hashes),
        other => panic!("{key} is {other:?}"),
    }
}

fn confirmed(step: Step) -> Mined {
    match <[Outcome; 1]>::try_from(step.outcomes) {
        Ok([Outcome::Confirmed(mined)]) => mined,
        other => panic!("not one confirmation: {other:?}"),
    }
}

async fn update(watcher: &mut Watcher) -> ChainUpdate {
    for _ in 0..10 {
        match watcher.look().await.expect("the node works") {
            Look::Event(event) => match *event {
                ChainEvent::Update(update) => return update,
                other => panic!("{other:?}"),
            },
            Look::More => {}
            Look::Nothing => panic!("nothing to tell"),
        }
    }
    panic!("no end of looking");
}

#[test]
fn every_refusal_of_the_contracts_is_known_by_name() {
    let known = |selector| ContractError::valid_selector(selector) || CourtError::valid_selector(selector);
    let mut selectors: Vec<[u8; 4]> = Vec::new();
    for artifact in [
        include_str!("../../../sdk/contracts/artifacts/Arena.json"),
        include_str!("../../../sdk/contracts/artifacts/Court.json"),
        include_str!("../../../sdk/contracts/artifacts/Referee.json"),
    ] {
        let artifact: Value = serde_json::from_str(artifact).expect("JSON");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        for error in artifact["abi"].as_array().expect("a list").iter().filter(|item| item["type"] == "error") {
            let inputs = error["inputs"].as_array().expect("a list");
            let types: Vec<String> = inputs.iter().map(|input| text(&input["type"])).collect();
            let signature = format!("{}({})", text(&error["name"]), types.join(","));
            let selector: [u8; 4] = alloy_primitives::keccak256(&signature)[..4].try_into().expect("4 bytes");
            // OpenZeppelin's guards are nobody's to understand.
            let guard = signature.starts_with("Reentrancy") || signature.starts_with("SafeERC20");
            assert!(known(selector) || guard, "{signature}");
            selectors.push(selector);
        }
    }
    let ours = ContractError::selectors().chain(CourtError::selectors());
    let unknown: Vec<_> = ours.filter(|selector| !selectors.contains(selector)).collect();
    assert!(unknown.is_empty(), "the contracts have no errors {unknown:x?}");
}

// ---------------------------------------------------------------------------------------------------- connecting

#[tokio::test]
async fn an_arena_is_deployed_and_found_over_http() {
    let chain = DevChain::open(Config::default()).expect("a chain");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let _ = chain.serve(listener, async { _ = stopped.await }).await;
    });

    let config = DeployConfig { split: vec![(Address::repeat_byte(5), 10_000)], ..deploy_config(Address::ZERO) };
    let deployment = deploy(&url, &operator(), config).await.expect("deployed");
    assert!(deployment.gas_used > 1_000_000);
    let connected = Chain::connect(ChainConfig::new(&url, deployment.arena, operator())).await.expect("connected");
    let info = connected.arena();
    assert_eq!((info.operator, info.token, info.exit_window), (operator().address(), Address::ZERO, EXIT_WINDOW));
    assert_eq!(info.domain.chain_id, 31_337);
    assert_ne!(info.domain.salt, B256::ZERO);
    assert_eq!(connected.pool(At::Latest).await.expect("read"), Pool::default());
    assert!(connected.now().await.expect("read") > 0);

    let mut wrong = ChainConfig::new(&url, deployment.arena, operator());
    wrong.chain_id = Some(1);
    let error = Chain::connect(wrong).await.expect_err("another chain");
    assert!(matches!(error, ChainError::WrongChain { expected: 1, found: 31_337 }), "{error}");

    let error = Chain::connect(ChainConfig::new(&url, Address::repeat_byte(9), operator())).await.expect_err("no code");
    assert!(matches!(error, ChainError::Arena(ArenaError::NoCode { .. })), "{error}");

    let error = Chain::connect(ChainConfig::new(&url, deployment.arena, key(1))).await.expect_err("another's key");
    let (given, found) = (key(1).address(), operator().address());
    assert!(matches!(error, ChainError::WrongOperator { given: g, found: f } if (g, f) == (given, found)), "{error}");

    drop(stop);
    server.await.expect("stopped");
    let error = Chain::connect(ChainConfig::new(&url, deployment.arena, operator())).await.expect_err("nobody there");
    assert!(matches!(error, ChainError::Provider(ProviderError::Unreachable { .. })), "{error}");
    let error = Chain::connect(ChainConfig::new("localhost", deployment.arena, operator())).await.expect_err("no URL");
    assert!(matches!(error, ChainError::Provider(ProviderError::Url { .. })), "{error}");
}

#[tokio::test]
async fn another_contract_is_no_arena() {
    let bench = Bench::new().await;
    // One that answers nothing, one that answers a zero word, one that refuses.
    for code in ["0x00", "0x60205ff3", "0x5f5ffd"] {
        let other = Address::repeat_byte(7);
        bench.rpc("anvil_setCode", json!([other, code])).await;
        let error = ArenaChain::connect(bench.node.clone(), other).await.expect_err("no arena");
        assert!(matches!(error, ArenaError::NotAnArena { .. }), "{code}: {error}");
    }
}

#[tokio::test]
async fn a_deployment_that_the_contract_refuses_is_refused_before_it_costs_gas() {
    let bench = Bench::new().await;
    let before = bench.nonce().await;
    let config = DeployConfig { split: vec![(Address::repeat_byte(5), 9_999)], ..deploy_config(Address::ZERO) };
    let error = deploy_through(bench.node.clone(), &operator(), config).await.expect_err("a bad split");
    let ChainError::Deployment(revert) = &error else { panic!("{error}") };
    assert!(matches!(revert.contract(), Some(ContractError::BadSplit(_))), "{error}");
    assert_eq!(bench.nonce().await, before);
}

#[tokio::test]
async fn answers_that_are_none_are_typed_errors() {
    async fn answer_once(body: &'static str, status: &'static str) -> Result<Value, ProviderError> {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let server = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().expect("a peer");
            let _ = peer.read(&mut [0u8; 4096]);
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = peer.write_all(format!("{head}{body}").as_bytes());
        });
        let provider = HttpProvider::new(&url).expect("a URL").with_limit(256);
        let answer = provider.request("eth_chainId", json!([])).await;
        server.join().expect("answered");
        answer
    }
    let malformed = answer_once("<html>", "200 OK").await;
    assert!(matches!(malformed, Err(ProviderError::Malformed { .. })), "{malformed:?}");
    let other = answer_once(r#"{"jsonrpc":"2.0","id":77,"result":"0x1"}"#, "200 OK").await;
    assert!(matches!(other, Err(ProviderError::Malformed { .. })), "{other:?}");
    let busy = answer_once("busy", "503 Service Unavailable").await;
    assert!(matches!(busy, Err(ProviderError::Unreachable { .. })), "{busy:?}");
    let large = answer_once(Box::leak("x".repeat(300).into_boxed_str()), "200 OK").await;
    assert!(matches!(large, Err(ProviderError::TooLarge { limit: 256, .. })), "{large:?}");
    let said = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"slow down"}}"#;
    let said = answer_once(said, "429 Too Many Requests").await;
    assert!(matches!(said, Err(ProviderError::Rpc { code: -32005, .. })), "{said:?}");
    let rejected = r#"{"jsonrpc":"2.0","id":1,"error":{"code":4001,"message":"no"}}"#;
    assert_eq!(answer_once(rejected, "200 OK").await, Err(ProviderError::Rejected));
}

// --------------------------------------------------------------------------------------------------- the arena

#[tokio::test]
async fn money_goes_in_and_comes_out_by_both_roads() {
    let bench = Bench::new().await;
    let arena = bench.wallet(1).await;
    let (player, account_key) = player(1);
    let account = player.account();
    let domain = arena.domain();

    let outcome = arena.deposit(account, amount(1_000)).await.expect("deposited");
    assert!(outcome.gas_used > 21_000 && outcome.effective_gas_price > 0);
    assert_eq!(arena.account(account).await.expect("read").equity(), 1_000);

    // Together with the operator.
    let record = arena.account(account).await.expect("read");
    let receipt = record.statement().receipt_hash(account);
    let deadline = u64::from(u32::MAX);
    let withdrawal = Withdrawal { account, total: amount(400), deadline, receipt };
    let by_account = sign(&account_key, &domain, withdrawal.struct_hash());
    let by_operator = sign(&operator(), &domain, withdrawal.struct_hash());
    let signed = SignedWithdrawal { player, withdrawal, account: by_account, operator: by_operator };
    let unsigned = SignedWithdrawal { operator: by_account, ..signed };
    let error = arena.withdraw(&unsigned).await.expect_err("unsigned");
    let CallError::Refused(revert) = &error else { panic!("{error}") };
    assert!(matches!(revert.contract(), Some(ContractError::BadSignature(_))), "{error}");
    arena.withdraw(&signed).await.expect("paid");
    let error = arena.withdraw(&signed).await.expect_err("paid already");
    assert_eq!(error.to_string(), "there is nothing new to pay");
    assert_eq!(arena.account(account).await.expect("read").payable(), amount(600));

    // And alone.
    arena.exit(player, None, None).await.expect("opened");
    assert!(arena.account(account).await.expect("read").is_leaving());
    let error = arena.finish_exit(player).await.expect_err("too early");
    let CallError::Refused(revert) = &error else { panic!("{error}") };
    assert!(matches!(revert.contract(), Some(ContractError::ExitWindowRuns(_))), "{error}");
    let exit_at = arena.account(account).await.expect("read").exit_at;
    bench.rpc("evm_setNextBlockTimestamp", json!([exit_at])).await;
    bench.mine(1).await;
    let before = arena.balance(player.owner).await.expect("read");
    let paid = arena.finish_exit(player).await.expect("paid");
    let gas = U256::from(paid.gas_used) * U256::from(paid.effective_gas_price);
    assert_eq!(arena.balance(player.owner).await.expect("read"), before + U256::from(600) - gas);
    let record = arena.account(account).await.expect("read");
    assert_eq!((record.equity(), record.withdrawn), (0, amount(1_000)));
    let error = arena.deposit(account, amount(1)).await.expect_err("closed");
    assert_eq!(error.to_string(), "the account was closed by an exit: use a new account");
}

#[tokio::test]
async fn a_token_is_approved_where_needed() {
    let bench = Bench::new().await;
    #[derive(serde::Deserialize)]
    struct Artifact {
        bytecode: Bytes,
    }
    let artifact: Artifact =
        serde_json::from_str(include_str!("../../../sdk/contracts/artifacts/TestToken.json")).expect("an artifact");
    let owner = key(1).address();
    let request = json!([{ "from": owner, "data": artifact.bytecode, "gas": "0x500000" }]);
    let hash = bench.rpc("eth_sendTransaction", request).await;
    let receipt = bench.rpc("eth_getTransactionReceipt", json!([hash])).await;
    let token: Address = serde_json::from_value(receipt["contractAddress"].clone()).expect("a contract");
    let mint =
        [&alloy_primitives::keccak256("mint(address,uint256)")[..4], &(owner, U256::from(50)).abi_encode()].concat();
    bench.rpc("eth_sendTransaction", json!([{ "from": owner, "to": token, "data": Bytes::from(mint) }])).await;

    let deployment = deploy_through(bench.node.clone(), &operator(), deploy_config(token)).await.expect("deployed");
    let wallet = LocalWallet::new(bench.node.clone(), key(1));
    let arena = ArenaChain::connect(wallet, deployment.arena).await.expect("an arena");
    let (player, _) = player(1);
    arena.deposit(player.account(), amount(20)).await.expect("approved and deposited");
    arena.deposit(player.account(), amount(5)).await.expect("approved anew");
    assert_eq!(arena.account(player.account()).await.expect("read").equity(), 25);
    assert_eq!(arena.balance(owner).await.expect("read"), U256::from(25));
}

#[tokio::test]
async fn a_wallet_sends_only_as_itself() {
    let bench = Bench::new().await;
    let wallet = LocalWallet::new(bench.node.clone(), key(1));
    let foreign = json!([{ "from": key(2).address(), "to": key(3).address(), "value": "0x1" }]);
    let error = wallet.request("eth_sendTransaction", foreign).await.expect_err("another's");
    assert!(matches!(error, ProviderError::Rpc { code: ProviderError::UNAUTHORIZED, .. }), "{error}");
    let error = wallet.request("eth_sendTransaction", json!([])).await.expect_err("nothing");
    assert!(matches!(error, ProviderError::Rpc { code: ProviderError::INVALID_PARAMS, .. }), "{error}");
    assert_eq!(wallet.request("eth_chainId", json!([])).await, Ok(json!("0x7a69")));
    assert_eq!(wallet.request("eth_accounts", json!([])).await, Ok(json!([key(1).address()])));
}

// --------------------------------------------------------------------------------------------------- the sender

#[tokio::test]
async fn a_submission_is_sent_once_however_often_it_is_made() {
    let bench = Bench::new().await;
    let (sender, mut outcomes) = bench.chain().await.sender(bench.outbox.clone()).await.expect("started");
    assert_eq!(sender.submit(bench.fund("a")).await, Ok(Progress::Queued));
    let outcome = outcomes.next().await.expect("an outcome");
    assert!(matches!(&outcome, Outcome::Confirmed(mined) if mined.key == "a" && mined.logs.len() == 1), "{outcome:?}");
    assert_eq!(sender.submit(bench.fund("a")).await, Ok(Progress::Done(outcome.clone())));
    let other = Submission { value: U256::from(2), ..bench.fund("a") };
    assert_eq!(sender.submit(other).await, Err(SubmitError::KeyTaken("a".to_owned())));
    let nonce = bench.nonce().await;

    // A new process is told again, and sends nothing again.
    drop((sender, outcomes));
    let (sender, mut outcomes) = bench.chain().await.sender(bench.outbox.clone()).await.expect("started");
    assert_eq!(outcomes.next().await, Some(outcome));
    assert_eq!(bench.nonce().await, nonce);
    sender.forget("a").await.expect("forgotten");
    assert_eq!(sender.progress("a").await, None);
    assert_eq!(bench.outbox.list("").expect("listed"), []);
    assert_eq!(bench.chain().await.pool(At::Latest).await.expect("read").equity, amount(1_000));
}

#[tokio::test]
async fn a_call_that_would_revert_is_never_sent_and_holds_nobody_up() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    let (before, calldata) = (bench.nonce().await, Arena::withdrawPoolCall {}.abi_encode());
    let refused = Submission { calldata: calldata.into(), value: U256::ZERO, ..bench.fund("refused") };
    queue.submit(refused.clone()).await.expect("taken");
    queue.submit(bench.fund("next")).await.expect("taken");
    let outcomes = step(&queue).await.outcomes;
    let [Outcome::Refused(key, revert)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(key, "refused");
    assert!(revert.contract().is_some(), "{revert}");
    step(&queue).await;
    assert_eq!(confirmed(step(&queue).await).key, "next");
    assert_eq!(bench.nonce().await, before + U256::from(1));

    // With gas given there is no estimate to refuse it: it is mined, and reverts.
    let forced = Submission { key: "forced".to_owned(), gas_limit: Some(200_000), ..refused };
    queue.submit(forced).await.expect("taken");
    step(&queue).await;
    let outcomes = step(&queue).await.outcomes;
    let [Outcome::Reverted(mined, revert)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(mined.gas_used > 21_000 && revert.contract().is_some(), "{revert}");
}

#[tokio::test]
async fn a_slow_transaction_is_replaced_under_its_nonce_for_an_eighth_more() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    bench.automine(false).await;
    let start = Instant::now();
    let late = start + bench.config.replace_after;
    queue.submit(bench.fund("slow")).await.expect("taken");
    queue.submit(bench.fund("next")).await.expect("taken");
    queue.step(start).await.expect("sent");
    let (nonce, first) = hashes(&queue, "slow").await;
    queue.step(late - Duration::from_millis(1)).await.expect("waits");
    assert_eq!(hashes(&queue, "slow").await, (nonce, first.clone()));
    assert_eq!(queue.progress("next").await, Some(Progress::Queued), "one at a time");

    queue.step(late).await.expect("replaced");
    let (same, both) = hashes(&queue, "slow").await;
    assert_eq!((same, both.len(), both[0]), (nonce, 2, first[0]));
    assert_eq!(bench.rpc("eth_getTransactionByHash", json!([first[0]])).await, Value::Null, "it was replaced");
    let waiting = bench.rpc("eth_getTransactionByHash", json!([both[1]])).await;
    assert_eq!(waiting["nonce"], json!(U256::from(nonce)));

    bench.mine(1).await;
    assert_eq!(confirmed(step(&queue).await).hash, both[1]);
}

#[tokio::test]
async fn a_first_attempt_that_is_mined_after_all_is_recognised() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    bench.automine(false).await;
    let start = Instant::now();
    queue.submit(bench.fund("slow")).await.expect("taken");
    queue.step(start).await.expect("sent");
    let (_, first) = hashes(&queue, "slow").await;
    let raw = bench.rpc("eth_getTransactionByHash", json!([first[0]])).await;
    queue.step(start + bench.config.replace_after).await.expect("replaced");
    let (_, both) = hashes(&queue, "slow").await;
    // The replacement is lost, and another node's pool still had the first.
    bench.rpc("anvil_dropTransaction", json!([both[1]])).await;
    let again = json!([{
        "from": raw["from"], "to": raw["to"], "value": raw["value"], "input": raw["input"], "gas": raw["gas"],
        "nonce": raw["nonce"], "maxFeePerGas": raw["maxFeePerGas"],
        "maxPriorityFeePerGas": raw["maxPriorityFeePerGas"],
    }]);
    assert_eq!(bench.rpc("eth_sendTransaction", again).await, json!(first[0]), "signatures are deterministic");
    bench.mine(1).await;
    assert_eq!(confirmed(step(&queue).await).hash, first[0]);
}

#[tokio::test]
async fn a_restart_between_sending_and_the_receipt_sends_nothing_twice() {
    let bench = Bench::new().await;
    bench.automine(false).await;
    let queue = bench.queue().await;
    let before = bench.nonce().await;
    queue.submit(bench.fund("a")).await.expect("taken");
    step(&queue).await;
    let sent = hashes(&queue, "a").await;
    drop(queue);

    // It still waits: known already.
    let queue = bench.queue().await;
    assert_eq!(hashes(&queue, "a").await, sent);
    assert!(step(&queue).await.waiting.is_none());
    drop(queue);

    // The crash came before it left, or the node forgot it: sent again, the same transaction.
    bench.rpc("anvil_dropTransaction", json!([sent.1[0]])).await;
    let queue = bench.queue().await;
    step(&queue).await;
    assert_eq!(bench.rpc("eth_getTransactionByHash", json!([sent.1[0]])).await["hash"], json!(sent.1[0]));
    drop(queue);

    // It was mined while nobody looked.
    bench.mine(1).await;
    let queue = bench.queue().await;
    assert_eq!(confirmed(step(&queue).await).hash, sent.1[0]);
    assert_eq!(bench.nonce().await, before + U256::from(1));
    assert_eq!(bench.chain().await.pool(At::Latest).await.expect("read").equity, amount(1_000));
}

#[tokio::test]
async fn a_transaction_that_a_reorg_dropped_is_sent_again() {
    let bench = Bench::new().await.with(|config| config.depth = 2);
    let queue = bench.queue().await;
    bench.mine(3).await;
    queue.submit(bench.fund("a")).await.expect("taken");
    step(&queue).await;
    let (_, sent) = hashes(&queue, "a").await;
    bench.mine(1).await;
    assert_eq!(step(&queue).await.outcomes, [], "one block on top is not two");

    bench.rpc("anvil_reorg", json!([2, []])).await;
    assert_eq!(bench.rpc("eth_getTransactionReceipt", json!([sent[0]])).await, Value::Null);
    assert_eq!(step(&queue).await.outcomes, [], "sent again");
    assert_eq!(hashes(&queue, "a").await.1, sent, "the same transaction");
    assert_eq!(step(&queue).await.outcomes, [], "mined again, not yet at depth");
    bench.mine(2).await;
    assert_eq!(confirmed(step(&queue).await).hash, sent[0]);
}

#[tokio::test]
async fn above_the_fee_ceiling_transactions_wait_and_say_so() {
    let bench = Bench::new().await.with(|config| config.max_fee_per_gas = 2_000_000_000);
    let queue = bench.queue().await;
    bench.rpc("anvil_setNextBlockBaseFeePerGas", json!(["0xee6b2800"])).await; // 4 gwei
    let before = bench.nonce().await;
    queue.submit(bench.fund("a")).await.expect("taken");
    let waiting = step(&queue).await.waiting;
    assert!(
        matches!(waiting, Some(Waiting::FeeCeiling { needed, ceiling: 2_000_000_000 }) if needed > 4_000_000_000),
        "{waiting:?}"
    );
    assert_eq!((queue.progress("a").await, bench.nonce().await), (Some(Progress::Queued), before));

    bench.rpc("anvil_setNextBlockBaseFeePerGas", json!(["0x3b9aca00"])).await; // 1 gwei
    bench.automine(false).await;
    let start = Instant::now();
    queue.step(start).await.expect("sent");
    // Already at the ceiling: it stays as it is.
    let waiting = queue.step(start + bench.config.replace_after).await.expect("stays").waiting;
    assert!(matches!(waiting, Some(Waiting::FeeCeiling { .. })), "{waiting:?}");
    assert_eq!(hashes(&queue, "a").await.1.len(), 1);
    bench.mine(1).await;
    assert!(confirmed(step(&queue).await).effective_gas_price <= 2_000_000_000);
}

#[tokio::test]
async fn a_nonce_that_another_program_used_is_not_waited_for() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    bench.automine(false).await;
    queue.submit(bench.fund("a")).await.expect("taken");
    step(&queue).await;
    let (nonce, sent) = hashes(&queue, "a").await;
    bench.rpc("anvil_dropTransaction", json!([sent[0]])).await;
    let foreign =
        json!([{ "from": operator().address(), "to": key(1).address(), "value": "0x1", "nonce": U256::from(nonce) }]);
    bench.rpc("eth_sendTransaction", foreign).await;
    bench.mine(1).await;

    step(&queue).await;
    assert_eq!(queue.progress("a").await, Some(Progress::Queued));
    step(&queue).await;
    assert_eq!(hashes(&queue, "a").await.0, nonce + 1);
    bench.mine(1).await;
    assert_eq!(confirmed(step(&queue).await).key, "a");
}

#[tokio::test]
async fn an_empty_wallet_and_a_dead_node_are_told_apart_and_survived() {
    let bench = Bench::new().await;
    let (sender, mut outcomes) = bench.chain().await.sender(bench.outbox.clone()).await.expect("started");
    let mut status = sender.status();
    bench.node.cut.store(true, Ordering::SeqCst);
    sender.submit(bench.fund("a")).await.expect("taken without a node");
    let shown = status.wait_for(|status| matches!(status.waiting, Some(Waiting::Unreachable { .. }))).await;
    assert_eq!(shown.expect("told").queued, 1);
    let balance = bench.rpc("eth_getBalance", json!([operator().address(), "latest"])).await;
    bench.rpc("anvil_setBalance", json!([operator().address(), "0x1"])).await;
    bench.node.cut.store(false, Ordering::SeqCst);
    let poor = |status: &SenderStatus| match &status.waiting {
        Some(Waiting::Funds { wallet, .. }) => *wallet == operator().address(),
        _ => false,
    };
    drop(status.wait_for(poor).await.expect("told"));
    bench.rpc("anvil_setBalance", json!([operator().address(), balance])).await;
    assert!(matches!(outcomes.next().await, Some(Outcome::Confirmed(_))));
}

#[tokio::test]
async fn a_full_disk_sends_nothing() {
    struct Full;
    impl Outbox for Full {
        fn put(&self, _: &str, _: &[u8]) -> Result<(), OutboxError> {
            Err(OutboxError("no space left".to_owned()))
        }
        fn remove(&self, _: &str) -> Result<(), OutboxError> {
            Ok(())
        }
        fn list(&self, _: &str) -> Result<Vec<(String, Vec<u8>)>, OutboxError> {
            Ok(Vec::new())
        }
    }
    let bench = Bench::new().await;
    let queue = Queue::load(&bench.chain().await, Arc::new(Full)).await.expect("loaded");
    let before = bench.nonce().await;
    assert_eq!(queue.submit(bench.fund("a")).await, Err(SubmitError::Outbox(OutboxError("no space left".to_owned()))));
    step(&queue).await;
    assert_eq!((queue.progress("a").await, bench.nonce().await), (None, before));
}

// --------------------------------------------------------------------------------------------------- the watcher

#[tokio::test]
async fn deposits_count_at_depth_only() {
    let bench = Bench::new().await.with(|config| config.depth = 2);
    let mut watcher = bench.watcher().await;
    bench.mine(2).await;
    update(&mut watcher).await;
    let account = player(1).0.account();
    bench.wallet(1).await.deposit(account, amount(7)).await.expect("deposited");
    assert!(update(&mut watcher).await.touched.is_empty());
    assert_eq!(bench.chain().await.record(account, At::Confirmed).await.expect("read").equity(), 0);
    bench.mine(2).await;
    let told = update(&mut watcher).await;
    let [(touched, record)] = told.touched[..] else { panic!("{told:?}") };
    assert_eq!((touched, record.equity(), told.deposits.len()), (account, 7, 1));
    assert_eq!((told.deposits[0].from, told.deposits[0].amount), (key(1).address(), amount(7)));
    assert_eq!(bench.chain().await.records(&[account], At::Confirmed).await.expect("read")[0], record);
}

#[tokio::test]
async fn what_a_reorg_undoes_is_told() {
    let bench = Bench::new().await;
    let mut watcher = bench.watcher().await;
    let account = player(1).0.account();
    bench.mine(1).await;
    let before = update(&mut watcher).await;
    bench.wallet(1).await.deposit(account, amount(7)).await.expect("deposited");
    assert_eq!(update(&mut watcher).await.touched.len(), 1);
    assert_eq!(watcher.look().await, Ok(Look::Nothing));

    bench.rpc("anvil_reorg", json!([1, []])).await;
    let Look::Event(event) = watcher.look().await.expect("looked") else { panic!("nothing told") };
    let ChainEvent::Resync(resync) = *event else { panic!("{event:?}") };
    assert_eq!((resync.fork, resync.height), (before.height, before.height + 1));
    assert_eq!(bench.chain().await.record(account, At::Confirmed).await.expect("read").equity(), 0);
    // The new branch is told from the fork on.
    bench.wallet(1).await.deposit(account, amount(3)).await.expect("deposited");
    let told = update(&mut watcher).await;
    assert_eq!((told.deposits.len(), told.touched[0].1.equity()), (1, 3));
}

#[tokio::test]
async fn an_announced_withdrawal_from_the_pool_is_told_and_that_it_is_done() {
    let bench = Bench::new().await;
    let mut watcher = bench.watcher().await;
    update(&mut watcher).await;
    let wallet = LocalWallet::new(bench.node.clone(), operator());
    let arena = ArenaChain::connect(wallet, bench.config.arena).await.expect("an arena");
    arena.fund(amount(1_000)).await.expect("funded");
    assert_eq!(update(&mut watcher).await.pool_notice, None);
    let request = Arena::requestPoolCall { amount: U96::from(400) };
    arena.transact(&request, U256::ZERO).await.expect("announced");
    let told = update(&mut watcher).await;
    let until = told.time + 2 * u64::from(EXIT_WINDOW);
    assert_eq!(told.pool_notice, Some(PoolNotice { amount: amount(400), until }));

    bench.rpc("evm_setNextBlockTimestamp", json!([told.time + u64::from(EXIT_WINDOW)])).await;
    bench.mine(1).await;
    arena.transact(&Arena::withdrawPoolCall {}, U256::ZERO).await.expect("withdrawn");
    let mut told = update(&mut watcher).await;
    if told.pool_notice.is_none() {
        told = update(&mut watcher).await;
    }
    assert_eq!(told.pool_notice, Some(PoolNotice::default()));
    assert_eq!(bench.chain().await.pool(At::Confirmed).await.expect("read").equity, amount(600));
}

#[tokio::test]
async fn a_restart_goes_on_after_what_was_done() {
    let bench = Bench::new().await;
    let account = player(1).0.account();
    let arena = bench.wallet(1).await;
    let deposits = async |watch: &mut Watch| loop {
        match watch.next().await.expect("the watcher lives") {
            ChainEvent::Update(update) if update.deposits.is_empty() => {}
            event => return event,
        }
    };
    let mut watch = bench.chain().await.watch(bench.outbox.clone()).await.expect("started");
    arena.deposit(account, amount(1)).await.expect("deposited");
    let first = deposits(&mut watch).await;
    watch.done(&first).await.expect("kept");
    arena.deposit(account, amount(2)).await.expect("deposited");
    let second = deposits(&mut watch).await;
    drop(watch);

    // The second was told, but nobody said that it is done.
    let mut watch = bench.chain().await.watch(bench.outbox.clone()).await.expect("started");
    assert_eq!(deposits(&mut watch).await, second);
    watch.done(&second).await.expect("kept");
    drop(watch);
    arena.deposit(account, amount(4)).await.expect("deposited");

    // A reorg while nobody looked, too.
    bench.rpc("anvil_reorg", json!([2, []])).await;
    let mut watch = bench.chain().await.watch(bench.outbox.clone()).await.expect("started");
    let event = watch.next().await.expect("the watcher lives");
    assert!(matches!(event, ChainEvent::Resync(_)), "{event:?}");
    let mut health = watch.health();
    bench.node.cut.store(true, Ordering::SeqCst);
    drop(health.wait_for(|health| health.unreachable.is_some()).await.expect("told"));
    bench.node.cut.store(false, Ordering::SeqCst);
    drop(health.wait_for(|health| health.unreachable.is_none()).await.expect("told"));
}

#[tokio::test]
async fn settling_names_the_accounts_that_no_log_names() {
    let bench = Bench::new().await;
    let mut watcher = bench.watcher().await;
    let arena = bench.wallet(0).await;
    let (one, other) = (player(1), player(2));
    for (player, _) in [&one, &other] {
        arena.deposit(player.account(), amount(100)).await.expect("deposited");
    }
    update(&mut watcher).await;
    let entry = |(player, key): &(Player, Key), net: i128| {
        let statement = Statement { net, set: SettledSet { through: 1, pending: 0 } };
        let signature = sign(key, &arena.domain(), statement.struct_hash(player.owner));
        settle::entry(player.owner, &statement, &signature)
    };
    let root = B256::repeat_byte(3);
    let settle = |entries: Vec<u8>| Arena::settleCall {
        entries: entries.into(),
        resultsRoot: root,
        matches: 1,
        fees: Amount::ZERO.into(),
    };
    let entries = [entry(&one, -40), entry(&other, 40)].concat();
    arena.transact(&settle(entries.clone()), U256::ZERO).await.expect("settled");
    let told = update(&mut watcher).await;
    let mut expected = [(one.0.account(), 60), (other.0.account(), 140)];
    expected.sort();
    let touched: Vec<(AccountId, i128)> = told.touched.iter().map(|(id, record)| (*id, record.equity())).collect();
    assert_eq!((touched, told.reread_all), (expected.to_vec(), false));
    let [batch] = &told.settled[..] else { panic!("{told:?}") };
    assert_eq!((batch.batch, batch.applied, batch.results_root, batch.skipped.len()), (1, 2, root, 0));

    // A second time everything is skipped, and said to be.
    arena.transact(&settle(entries), U256::ZERO).await.expect("skipped");
    let told = update(&mut watcher).await;
    assert_eq!((told.settled[0].applied, told.settled[0].skipped.len()), (0, 2));
    assert!(told.settled[0].skipped.iter().all(|(_, reason)| *reason == 3));
}

#[tokio::test]
async fn a_long_past_is_read_in_ranges_that_the_node_allows() {
    let bench = Bench::new().await.with(|config| config.log_range = 4);
    let account = player(1).0.account();
    bench.wallet(1).await.deposit(account, amount(1)).await.expect("deposited");
    bench.mine(20).await;
    bench.wallet(1).await.deposit(account, amount(2)).await.expect("deposited");
    let mut watcher = bench.watcher().await;
    let first = update(&mut watcher).await;
    // Told with what is known by now, so nobody reads what a node may have forgotten.
    assert_eq!((first.deposits.len(), first.touched[0].1.equity()), (1, 3));
    let second = update(&mut watcher).await;
    assert_eq!((second.deposits[0].amount, second.touched[0].1.equity()), (amount(2), 3));
    assert_eq!(second.height, bench.chain().await.height().await.expect("read"));
}

//! A real chain, a real server, and players that speak the protocol by hand, so that they can also speak it wrongly.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::{path::Path, sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, U256, keccak256};
use futures_util::{SinkExt, StreamExt};
use matchlock::{
    abi::{Domain, Login, MatchId, MatchTerms, State, StateHash, Statement},
    account::{AccountId, Player},
    chain::{Answer, ArenaChain, HttpProvider, LocalWallet, Provider, ProviderError},
    doc::TicTacToe,
    game::{Amount, BasisPoints, Seat},
    rules::{GameRules, Placed, Rules, RulesId},
    sign::{Key, Signature, Signer},
    wire::{self, About, AccountView, Have, Offer, Refusal, TableId, TableSpec, ToClient, ToServer, Turn, Welcome},
};
use matchlock_devchain::{DevChain, dev_accounts};
use matchlock_server::{
    ChainChoice, Config, Server, Settings,
    chain::{ChainConfig, DeployConfig, deploy_through},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

pub const ETHER: u64 = 1_000_000_000_000_000_000;
/// How long a test waits for what has to come: generous, for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The chain in this process as a provider.
#[derive(Clone)]
pub struct Node(pub DevChain);

impl Provider for Node {
    fn request<'a>(&'a self, method: &'a str, params: Value) -> Answer<'a> {
        Box::pin(async move {
            self.0.request(method, params).await.map_err(|error| ProviderError::Rpc {
                code: error.code,
                message: error.message,
                data: error.data,
            })
        })
    }
}

/// A chain with an arena, a data directory, and whoever plays.
pub struct World {
    pub node: Node,
    pub arena: Address,
    pub operator: Key,
    pub directory: TempDir,
    pub settings: Settings,
    pub rules: Arc<dyn Rules>,
}

impl World {
    pub async fn new() -> World {
        // RUST_LOG=debug shows what the server thinks; a second test of the process finds it set.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let node = Node(DevChain::open(matchlock_devchain::Config::default()).expect("a chain in memory"));
        let operator = key(1);
        let bank = dev_accounts()[0].address;
        let transfer =
            json!([{ "from": bank, "to": operator.address(), "value": U256::from(ETHER) * U256::from(100) }]);
        node.0.request("eth_sendTransaction", transfer).await.expect("the bank pays");
        let config = DeployConfig { token: Address::ZERO, court: None, exit_window: 3600, salt: None, split: vec![] };
        let deployment = deploy_through(node.clone(), &operator, config).await.expect("deploys");
        let mut settings = Settings::default();
        settings.settle_count = 1_000;
        settings.settle_age = 1_000;
        // Tests ask again and again until the chain has been seen.
        settings.requests_per_second = 1_000_000;
        settings.frames_per_second = 1_000_000;
        let rules = GameRules::shared(TicTacToe, BasisPoints::new(100).expect("one per cent"));
        let directory = tempfile::tempdir().expect("a directory");
        let world = World { node, arena: deployment.arena, operator, directory, settings, rules };
        world.bank().await.fund(amount(1_000)).await.expect("the pool is filled");
        world
    }

    /// Somebody rich, at the arena.
    pub async fn bank(&self) -> ArenaChain<LocalWallet<Node>> {
        let bank = Key::from_bytes(&dev_accounts()[1].private_key).expect("a key");
        ArenaChain::connect(LocalWallet::new(self.node.clone(), bank), self.arena).await.expect("an arena")
    }

    pub fn config(&self) -> Config {
        let mut chain = ChainConfig::new("the test's chain", self.arena, self.operator.clone());
        chain.poll_interval = Duration::from_millis(20);
        let mut config = Config::new(self.directory.path());
        config.chain = ChainChoice::Through(Arc::new(self.node.clone()), Box::new(chain));
        config.settings = self.settings.clone();
        config
    }

    pub async fn start(&self) -> Server {
        Server::start(self.config(), vec![self.rules.clone()]).await.expect("the server starts")
    }

    /// A player with a bankroll, logged in.
    pub async fn player(&self, server: &Server, number: u64, bankroll: u64) -> Client {
        let client = self.depositor(number, bankroll).await;
        client.log_in(server, &[]).await
    }

    /// A player with a bankroll, not connected.
    pub async fn depositor(&self, number: u64, bankroll: u64) -> Wallet {
        let wallet = Wallet::new(number);
        if bankroll > 0 {
            self.bank().await.deposit(wallet.account(), amount(bankroll)).await.expect("deposits");
        }
        wallet
    }

    pub fn spec(&self, stake: u64) -> TableSpec {
        TableSpec { rules: self.rules.id(), seats: 2, stake: amount(stake), clock: 60, private: false }
    }

    pub fn store_exists(&self) -> bool {
        Path::new(self.directory.path()).join("server.redb").exists()
    }
}

/// So many thousandths of an ether.
pub fn amount(milli: u64) -> Amount {
    Amount::new(u128::from(milli) * u128::from(ETHER) / 1000).expect("fits")
}

pub fn key(number: u64) -> Key {
    Key::from_bytes(&keccak256(number.to_be_bytes())).expect("a key")
}

/// A player's keys.
#[derive(Clone)]
pub struct Wallet {
    pub key: Key,
    pub owner: Key,
}

impl Wallet {
    pub fn new(number: u64) -> Wallet {
        Wallet { key: key(1_000 + number), owner: key(2_000 + number) }
    }

    pub fn player(&self) -> Player {
        Player { owner: self.owner.address(), key: self.key.address() }
    }

    pub fn account(&self) -> AccountId {
        self.player().account()
    }

    pub async fn log_in(&self, server: &Server, resume: &[Have]) -> Client {
        self.log_in_to(&server.url(), resume).await
    }

    pub async fn log_in_to(&self, url: &str, resume: &[Have]) -> Client {
        let mut client = self.connect_to(url).await;
        client.say_login(resume).await;
        let ToClient::Ready(view) = client.receive().await else { panic!("not ready") };
        client.view = view;
        client
    }

    /// Connected and welcomed, not logged in.
    pub async fn connect(&self, server: &Server) -> Client {
        self.connect_to(&server.url()).await
    }

    pub async fn connect_to(&self, url: &str) -> Client {
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("connects");
        let Some(Ok(Message::Binary(bytes))) = socket.next().await else { panic!("no welcome") };
        let ToClient::Welcome(welcome) = wire::decode(&bytes).expect("a frame") else { panic!("no welcome") };
        Client { wallet: self.clone(), socket, welcome, view: AccountView::default(), backlog: Vec::new() }
    }
}

/// A connected player.
pub struct Client {
    pub wallet: Wallet,
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub welcome: Welcome,
    pub view: AccountView,
    backlog: Vec<ToClient>,
}

impl Client {
    pub fn domain(&self) -> Domain {
        self.welcome.domain
    }

    pub fn account(&self) -> AccountId {
        self.wallet.account()
    }

    pub fn sign(&self, struct_hash: B256) -> Signature {
        self.wallet.key.sign(self.domain().digest(struct_hash)).expect("signs")
    }

    pub async fn say_login(&mut self, resume: &[Have]) {
        let login = Login { account: self.account(), nonce: self.welcome.nonce };
        let signature = self.sign(login.struct_hash());
        self.send(&ToServer::Login { player: self.wallet.player(), signature, resume: resume.to_vec() }).await;
    }

    pub async fn send(&mut self, frame: &ToServer) {
        self.send_bytes(wire::encode(frame)).await;
    }

    pub async fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::Binary(bytes.into())).await.expect("the server listens");
    }

    /// The next frame, of whatever kind.
    pub async fn receive(&mut self) -> ToClient {
        if !self.backlog.is_empty() {
            return self.backlog.remove(0);
        }
        self.fresh().await.expect("the connection stands")
    }

    /// The next frame from the socket; `None` at its end.
    pub async fn fresh(&mut self) -> Option<ToClient> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("the server answers in time");
            match message? {
                Ok(Message::Binary(bytes)) => return Some(wire::decode(&bytes).expect("a frame")),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next frame that `pick` wants; others are kept for later.
    pub async fn expect<T>(&mut self, pick: impl Fn(&ToClient) -> Option<T>) -> T {
        if let Some(at) = self.backlog.iter().position(|frame| pick(frame).is_some()) {
            return pick(&self.backlog.remove(at)).expect("picked");
        }
        loop {
            let Some(frame) = self.fresh().await else { panic!("the connection ended; before: {:?}", self.backlog) };
            match pick(&frame) {
                Some(picked) => return picked,
                None => self.backlog.push(frame),
            }
        }
    }

    pub async fn refusal(&mut self) -> (About, Refusal) {
        self.expect(|frame| match frame {
            ToClient::Refused { about, refusal } => Some((*about, refusal.clone())),
            _ => None,
        })
        .await
    }

    /// Everything that has been said up to now, by a question whose answer comes after it.
    pub async fn said(&mut self) -> Vec<ToClient> {
        self.send(&ToServer::Ping).await;
        loop {
            match self.fresh().await.expect("the connection stands") {
                ToClient::Pong => return std::mem::take(&mut self.backlog),
                frame => self.backlog.push(frame),
            }
        }
    }

    pub async fn view(&mut self) -> AccountView {
        self.send(&ToServer::Account { tag: 77 }).await;
        self.expect(|frame| match frame {
            ToClient::Account { tag: 77, account } => Some(account.clone()),
            _ => None,
        })
        .await
    }

    pub fn offer(&self, index: u32) -> Offer {
        Offer { index, anchor: keccak256([self.account().0.as_slice(), &index.to_be_bytes()].concat()) }
    }

    pub async fn create(&mut self, spec: TableSpec, index: u32) -> TableId {
        let offer = self.offer(index);
        self.send(&ToServer::Create { tag: index, spec, offer }).await;
        self.seated(index).await
    }

    pub async fn join(&mut self, table: TableId, index: u32) -> TableId {
        let offer = self.offer(index);
        self.send(&ToServer::Join { tag: index, table, offer }).await;
        self.seated(index).await
    }

    async fn seated(&mut self, expected: u32) -> TableId {
        self.expect(|frame| match frame {
            ToClient::Seated { tag, table } if *tag == expected => Some(*table),
            ToClient::Refused { about: About::Request(tag), refusal } if *tag == expected => panic!("{refusal}"),
            _ => None,
        })
        .await
    }

    pub async fn proposal(&mut self) -> MatchTerms {
        self.expect(|frame| match frame {
            ToClient::Proposal { terms, .. } => Some(terms.clone()),
            _ => None,
        })
        .await
    }

    pub async fn sign_terms(&mut self, terms: &MatchTerms) -> MatchId {
        let match_id = terms.id(&self.domain());
        let signature = self.wallet.key.sign(match_id.0).expect("signs");
        self.send(&ToServer::Sign { match_id, signature }).await;
        match_id
    }

    pub async fn guarantee(&mut self) -> (Vec<Signature>, Signature) {
        self.expect(|frame| match frame {
            ToClient::Guarantee { signatures, operator, .. } => Some((signatures.clone(), *operator)),
            _ => None,
        })
        .await
    }

    pub async fn sign_start(&mut self, match_id: MatchId, start: &State) {
        let signature = self.sign(start.hash(match_id).0);
        self.send(&ToServer::Start { match_id, signature }).await;
    }

    pub async fn opened(&mut self) {
        self.expect(|frame| matches!(frame, ToClient::Opened { .. }).then_some(())).await;
    }

    pub async fn turn(&mut self) -> Turn {
        self.expect(|frame| match frame {
            ToClient::Turn { turn, .. } => Some(turn.clone()),
            _ => None,
        })
        .await
    }

    pub async fn stored(&mut self) -> u32 {
        self.expect(|frame| match frame {
            ToClient::Stored { turn, .. } => Some(*turn),
            _ => None,
        })
        .await
    }

    pub async fn is_final(&mut self) -> (Vec<Signature>, Signature) {
        self.expect(|frame| match frame {
            ToClient::Final { signatures, operator, .. } => Some((signatures.clone(), *operator)),
            _ => None,
        })
        .await
    }

    pub async fn due(&mut self) -> Statement {
        self.expect(|frame| match frame {
            ToClient::StatementDue { statement, .. } => Some(*statement),
            _ => None,
        })
        .await
    }

    pub async fn sign_statement(&mut self, statement: Statement) {
        let signature = self.sign(statement.struct_hash(self.wallet.owner.address()));
        self.send(&ToServer::Statement { statement, signature }).await;
    }

    pub async fn receipt(&mut self) -> (Statement, Signature) {
        self.expect(|frame| match frame {
            ToClient::Receipt { statement, signature } => Some((*statement, *signature)),
            _ => None,
        })
        .await
    }

    pub async fn settled(&mut self) -> (Statement, u32) {
        self.expect(|frame| match frame {
            ToClient::Settled { statement, batch } => Some((*statement, *batch)),
            _ => None,
        })
        .await
    }

    /// Signs what is due and waits for the receipt.
    pub async fn agree(&mut self) -> Statement {
        let due = self.due().await;
        self.sign_statement(due).await;
        assert_eq!(self.receipt().await.0, due);
        due
    }
}

/// A match as both seats see it, played by hand.
#[derive(Clone)]
pub struct Game {
    pub rules: Arc<dyn Rules>,
    pub id: MatchId,
    pub terms: MatchTerms,
    pub state: State,
    pub placed: Placed,
}

/// Moves by which seat 0 wins in five turns.
pub const WIN: [u8; 5] = [0, 3, 1, 4, 2];

impl Game {
    pub fn new(rules: &Arc<dyn Rules>, terms: &MatchTerms, domain: &Domain) -> Game {
        let placed = rules.start(&terms.stakes, &terms.seeds).expect("starts");
        let state = State::start(&placed);
        Game { rules: rules.clone(), id: terms.id(domain), terms: terms.clone(), state, placed }
    }

    /// The next turn, signed by `author`.
    pub fn turn(&mut self, author: &Client, play: u8) -> Turn {
        let seat = self.placed.mover.expect("not over");
        let play = vec![play];
        let (action, placed) = self.rules.compose(&self.placed.position, seat, play, &|_| None).expect("a legal move");
        let action = action.encode();
        let state = State::after(self.state.turn + 1, self.state.hash(self.id), keccak256(&action), &placed);
        let signature = author.sign(state.hash(self.id).0);
        self.state = state.clone();
        self.placed = placed;
        Turn { state, action, signature }
    }

    pub fn frame(&self, turn: &Turn) -> ToServer {
        ToServer::Turn { match_id: self.id, turn: turn.clone() }
    }

    /// `from` moves, `to` receives it, and it is stored.
    pub async fn play(&mut self, from: &mut Client, to: &mut Client, play: u8) -> Turn {
        let turn = self.turn(from, play);
        from.send(&self.frame(&turn)).await;
        assert_eq!(to.turn().await, turn);
        assert_eq!(from.stored().await, turn.state.turn);
        turn
    }

    pub fn ack(&self, seat: &Client) -> ToServer {
        let signature = seat.sign(self.state.hash(self.id).0);
        ToServer::Ack { match_id: self.id, turn: self.state.turn, signature }
    }

    pub fn have(&self) -> Have {
        Have { match_id: self.id, turn: Some(self.state.turn) }
    }
}

/// Two players meet; `a` has seat 0.
pub async fn propose(world: &World, a: &mut Client, b: &mut Client, stake: u64, indexes: [u32; 2]) -> MatchTerms {
    let table = a.create(world.spec(stake), indexes[0]).await;
    b.join(table, indexes[1]).await;
    let terms = a.proposal().await;
    assert_eq!(b.proposal().await, terms);
    terms
}

/// Two players open a match.
pub async fn open(world: &World, a: &mut Client, b: &mut Client, stake: u64, indexes: [u32; 2]) -> Game {
    let terms = propose(world, a, b, stake, indexes).await;
    a.sign_terms(&terms).await;
    b.sign_terms(&terms).await;
    let game = Game::new(&world.rules, &terms, &a.domain());
    start(&game, a, b).await;
    game
}

/// Both have signed the terms: on to the open match.
pub async fn start(game: &Game, a: &mut Client, b: &mut Client) {
    a.guarantee().await;
    b.guarantee().await;
    a.sign_start(game.id, &game.state).await;
    b.sign_start(game.id, &game.state).await;
    a.opened().await;
    b.opened().await;
}

/// Seat 0 wins; both have the final, nobody has signed a statement.
pub async fn finish(game: &mut Game, a: &mut Client, b: &mut Client) {
    for (i, play) in WIN.into_iter().enumerate().skip(game.state.turn as usize) {
        if i % 2 == 0 {
            game.play(a, b, play).await
        } else {
            game.play(b, a, play).await
        };
    }
    b.send(&game.ack(b)).await;
    a.is_final().await;
    b.is_final().await;
}

pub fn seat(number: u8) -> Seat {
    Seat(number)
}

pub fn rules_id(world: &World) -> RulesId {
    world.rules.id()
}

pub fn no_hash() -> StateHash {
    StateHash::default()
}

pub fn http(url: &str) -> HttpProvider {
    HttpProvider::new(url).expect("a URL")
}

/// The body of an HTTP answer. Written by hand: one request needs no client.
pub async fn get(server: &Server, path: &str) -> String {
    request(
        &format!("http://{}", server.addr()),
        &format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"),
    )
    .await
}

pub async fn post(server: &Server, path: &str, body: &str) -> String {
    post_to(&format!("http://{}", server.addr()), path, body).await
}

pub async fn post_to(base: &str, path: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n");
    request(base, &format!("{head}content-length: {length}\r\n\r\n{body}")).await
}

async fn request(base: &str, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(base.trim_start_matches("http://")).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    answer
}

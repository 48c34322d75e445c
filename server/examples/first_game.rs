//! The program of docs/guides/first-game.md: own rules, a server of its own on the embedded chain, two players, one
//! staked match, settled and withdrawn.
//!
//! `cargo run -p matchlock-server --example first_game`

use std::{error::Error, path::Path};

use matchlock::{
    account::Player,
    budget::{Limits, budget},
    chain::{ArenaChain, HttpProvider, LocalWallet},
    check::check,
    client::{Client, ClientConfig, MatchEvent, RedbStore, Seats},
    game::{Amount, BasisPoints, Game, Next, Pot, Seat},
    local::{Bot, Dice},
    rules::GameRules,
    sign::{Key, Signer},
    transcript::{self, Transcript},
};
use matchlock_server::{Config, Server};
use serde::{Deserialize, Serialize};

/// Players take 1 to 3 sticks in turn. Whoever takes the last one wins.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Nim {
    sticks: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Board {
    left: u8,
    mover: Seat,
}

#[derive(Debug, thiserror::Error)]
#[error("take 1 to 3 sticks; {left} are left")]
struct BadTake {
    left: u8,
}

impl Game for Nim {
    const NAME: &'static str = "nim";
    type Board = Board;
    type Move = u8;
    type Error = BadTake;

    fn max_turns(&self) -> u32 {
        self.sticks.into()
    }

    fn start(&self, _seats: usize) -> Board {
        Board { left: self.sticks, mover: Seat(0) }
    }

    fn next(&self, board: &Board, pot: &Pot) -> Next {
        match board.left {
            0 => Next::Over(pot.winner(board.mover.opponent())),
            _ => Next::turn(board.mover, pot),
        }
    }

    fn play(&self, board: &Board, seat: Seat, take: &u8) -> Result<Board, BadTake> {
        match board.left.checked_sub(*take) {
            Some(left) if (1..=3).contains(take) => Ok(Board { left, mover: seat.opponent() }),
            _ => Err(BadTake { left: board.left }),
        }
    }
}

const NIM: Nim = Nim { sticks: 21 };

/// Leaves a multiple of four where it can, and takes anything where it cannot.
struct Sensible(Dice);

impl Bot<Nim> for Sensible {
    fn choose(&mut self, board: &Board, _: Seat) -> u8 {
        match board.left % 4 {
            0 => 1 + self.0.below(3) as u8,
            winning => winning,
        }
    }
}

// In a project of your own these two are tests.
fn nim_is_fit_to_be_played_for_money() {
    check(&NIM, 0..100, |seat, seed| Box::new(Sensible(Dice::new(seed * 2 + u64::from(seat.0))))).unwrap();
}

fn nim_stays_within_its_budget() {
    let bot = |seat: Seat, seed| Box::new(Sensible(Dice::new(seed * 2 + u64::from(seat.0)))) as Box<dyn Bot<Nim>>;
    let limits = Limits { calldata: 2_500, gas: 100_000, griefing: 100, ..Limits::default() };
    let cost = budget(&NIM, 0..100, bot, &limits).unwrap_or_else(|error| panic!("{error}"));
    println!("{cost}");
}

const STAKE: Amount = Amount::from_u64(1_000_000);
const BANKROLL: Amount = Amount::from_u64(5_000_000);

/// Wallets of the embedded chain that the whole world knows; real players bring their own.
const WALLETS: [&str; 2] = [
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    nim_is_fit_to_be_played_for_money();
    nim_stays_within_its_budget();

    let folder = tempfile::tempdir()?;
    let fee = BasisPoints::new(100)?;
    let mut config = Config::new(folder.path().join("server"));
    config.settings.settle_age = 1;
    let server = Server::start(config, vec![GameRules::shared(NIM, fee)]).await?;
    println!("a server for nim at {}", server.url());

    let (ann, bob) = (folder.path().join("ann.redb"), folder.path().join("bob.redb"));
    tokio::try_join!(player(&server, fee, WALLETS[0], &ann), player(&server, fee, WALLETS[1], &bob))?;
    server.shutdown().await;
    Ok(())
}

/// One player from deposit to withdrawal.
async fn player(server: &Server, fee: BasisPoints, wallet: &str, store: &Path) -> Result<(), Box<dyn Error>> {
    // The wallet pays in; the account key plays. A real client keeps the account key beside its store.
    let wallet = Key::from_bytes(&wallet.parse()?)?;
    let account_key = Key::random()?;
    let player = Player { owner: wallet.address(), key: account_key.address() };
    let rpc = server.rpc_url().ok_or("the embedded chain has an endpoint")?;
    let arena = ArenaChain::connect(LocalWallet::new(HttpProvider::new(&rpc)?, wallet), server.domain().arena).await?;
    arena.deposit(player.account(), BANKROLL).await?;

    let rules = GameRules::shared(NIM, fee);
    let (games, store) = (vec![rules.clone()], RedbStore::open(store)?);
    let client = Client::connect(ClientConfig::new(server.url(), player.owner, account_key, games, store)).await?;
    // A client takes the server's word for where it settles until its caller has looked.
    if client.welcome().domain != arena.domain() || client.welcome().operator != arena.info().operator {
        return Err("the server settles elsewhere".into());
    }
    // A deposit counts once it is as deep on the chain as the server wants.
    client.until_available(BANKROLL).await?;

    let mut game = client.quick(&NIM, fee, Seats::two(STAKE)).await?;
    let mut bot = Sensible(Dice::new(7));
    let mut transcript: Option<Transcript> = None;
    loop {
        if let Some(board) = game.my_turn()? {
            game.play(&bot.choose(&board, game.seat())).await?;
        }
        match game.event().await.ok_or("the client closed")? {
            MatchEvent::Faulted(evidence) => return Err(format!("{}: {}", evidence.seat, evidence.fault).into()),
            MatchEvent::Concluded => transcript = Some(game.transcript().await?),
            MatchEvent::Settled { batch } => break println!("{}: settled in batch {batch}", game.seat()),
            _ => {}
        }
    }

    let verdict = transcript::judge(&transcript.ok_or("it ended without a final")?, &rules)?;
    println!("{}: {} turns, payouts {:?}", game.seat(), verdict.turns, verdict.payouts);
    let everything = client.account_view().await?.available;
    let signed = client.withdraw(everything).await?;
    arena.withdraw(&signed).await?;
    println!("{}: withdrew {everything} wei of the {BANKROLL} paid in", game.seat());
    client.close().await;
    Ok(())
}

//! Clients that fight their own disputes and leave by themselves, with a node and a wallet and no server (section 7, R3.7).

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use alloy_primitives::U256;
use matchlock::{
    abi::{Court, Trial},
    chain::{Answer, BlockId, HttpProvider, LocalWallet, Provider, ProviderError, read_contract, read_disputes},
    client::{Client, ClientConfig, ClientEvent, Clock, Deed, Match, MatchEvent, Policy, RedbStore},
    dispute::{Case, Dispute, Motion, Phase},
    game::{Amount, Seat},
    sign::{Key, Signer},
    wire::{ToServer, Turn},
};
use matchlock_demo::{Strength, bots};
use matchlock_tests::{
    audit::results,
    scene::{STAKE, bankroll, exit, first_wins, pocket, postcard_u8, sit, stake, travel, travel_to, world_apart},
    tap::{Frame, Tap, Verdict},
    world::{Dead, Failure, Plan, PlayerClient, World, chain, eventually, in_time},
};
use serde_json::{Value, json};

/// Seconds that these clients let others go first.
const GRACE: u64 = 30;
/// Seconds to think, at every table here.
const CLOCK: u64 = 60;

/// What all clients of a test take for the time; it stands still until the test moves it.
#[derive(Clone)]
struct Time(Arc<AtomicU64>);

impl Time {
    fn new() -> Time {
        Time(Arc::new(AtomicU64::new(Clock::default().now())))
    }

    fn clock(&self) -> Clock {
        let time = self.0.clone();
        Clock::new(move || time.load(Ordering::Relaxed))
    }

    fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

/// Without waiting for blocks that nobody mines here.
fn policy() -> Policy {
    let mut policy = Policy::default();
    (policy.grace, policy.depth, policy.interval) = (GRACE, 0, std::time::Duration::from_millis(20));
    policy
}

/// A node that can be cut off.
struct Line {
    inner: LocalWallet<HttpProvider>,
    down: Arc<AtomicBool>,
}

impl Provider for Line {
    fn request<'a>(&'a self, method: &'a str, params: Value) -> Answer<'a> {
        if self.down.load(Ordering::Relaxed) {
            let error = ProviderError::Unreachable { url: "the test's node".into(), reason: "it is cut off".into() };
            return Box::pin(async { Err(error) });
        }
        self.inner.request(method, params)
    }
}

/// Two players whose clients have wallets for gas; what their owners have is none of that.
struct Scene {
    world: World,
    time: Time,
    players: Vec<PlayerClient>,
    purses: Vec<Key>,
}

impl Scene {
    async fn open(folder: &tempfile::TempDir) -> Result<Scene, Failure> {
        let world = world_apart(folder).await?;
        let (time, mut players, mut purses) = (Time::new(), Vec::new(), Vec::new());
        for n in 0..2 {
            let purse = world.purse(pocket()).await?;
            let url = world.server.url();
            players.push(armed(&world, n, url, wallet(&world, &purse)?, &time).await?);
            purses.push(purse);
        }
        Ok(Scene { world, time, players, purses })
    }

    async fn sit(&self, game: &str) -> Result<(Match, Match), Failure> {
        seated(&self.world, &self.players, game).await
    }
}

fn wallet(world: &World, purse: &Key) -> Result<LocalWallet<HttpProvider>, Failure> {
    Ok(LocalWallet::new(HttpProvider::new(world.rpc())?, purse.clone()))
}

/// A player whose client goes to court by itself.
async fn armed(
    world: &World,
    n: usize,
    url: String,
    wallet: impl Provider + 'static,
    time: &Time,
) -> Result<PlayerClient, Failure> {
    let newcomer = world.newcomer(n, bankroll(), pocket()).await?;
    let config = newcomer.config(url, RedbStore::open(&newcomer.file)?);
    let config = config.with_wallet(wallet).with_policy(policy()).with_clock(time.clock());
    newcomer.with(Client::connect(config).await?).await
}

async fn seated(world: &World, players: &[PlayerClient], game: &str) -> Result<(Match, Match), Failure> {
    let (first, second) = sit(&players[0].client, &players[1].client, &world.game(game)?).await?;
    Ok((first.opened().await?, second.opened().await?))
}

async fn play(game: &Match, cell: u8) -> Result<(), Failure> {
    eventually("the position", async || Ok(game.my_position().map(drop))).await?;
    Ok(game.play(postcard_u8(cell)).await?)
}

/// Waits until this turn is there.
async fn turned(game: &Match, turn: u32) -> Result<(), Failure> {
    eventually("the turn", async || Ok((game.snapshot().state.turn >= turn).then_some(()))).await
}

/// The first event that is looked for.
async fn event<T>(game: &mut Match, what: &str, mut look: impl FnMut(&MatchEvent) -> Option<T>) -> Result<T, Failure> {
    in_time(what, async {
        loop {
            match game.event().await {
                Some(event) => {
                    if let Some(found) = look(&event) {
                        return Ok(found);
                    }
                }
                None => return Err(matchlock::client::ClientError::Closed),
            }
        }
    })
    .await
}

/// Waits for a dispute with this turn on top; who has to answer until when.
async fn disputed(game: &mut Match, turn: u32) -> Result<(Option<Seat>, u64), Failure> {
    event(game, "a dispute", |event| match event {
        MatchEvent::Disputed { turn: shown, mover, until } | MatchEvent::Answered { turn: shown, mover, until } => {
            (*shown == turn).then_some((*mover, *until))
        }
        _ => None,
    })
    .await
}

async fn ruled(game: &mut Match) -> Result<Vec<Amount>, Failure> {
    event(game, "the outcome", |event| match event {
        MatchEvent::Ruled { payouts } => Some(payouts.clone()),
        _ => None,
    })
    .await
}

/// Everybody leaves, and every owner has what the deltas say.
async fn everybody_leaves(dead: &Dead, players: &[PlayerClient], deltas: [i128; 2]) -> Result<(), Failure> {
    for player in players {
        player.client.exit().await?;
    }
    travel(&dead.bank, u64::from(dead.bank.info().exit_window) + 1).await?;
    for (player, delta) in players.iter().zip(deltas) {
        in_time("the end of the exit", player.client.exited()).await?;
        assert_eq!(dead.bank.rpc().balance(player.owner).await?, player.should_have(delta));
    }
    Ok(())
}

fn deltas(payouts: &[Amount]) -> [i128; 2] {
    [0, 1].map(|seat| payouts[seat].signed() - stake().signed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_whose_opponent_stalls_after_the_servers_death_is_paid_through_its_own_client() -> Result<(), Failure>
{
    let folder = tempfile::tempdir()?;
    let scene = Scene::open(&folder).await?;
    let (mut mine, mut theirs) = scene.sit("tictactoe").await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1)] {
        play(game, cell).await?;
    }
    turned(&theirs, 3).await?;
    let Scene { world, time, players, .. } = scene;
    let dead = world.kill().await;
    // Seat 0 is about to win; seat 1 plays no more. First the players are told, then it goes to court.
    time.pass(CLOCK / 2);
    let clock = mine.snapshot().clock.ok_or("a clock")?;
    assert_eq!((clock.seat, clock.turn, clock.until - clock.since), (Some(Seat(1)), 4, CLOCK));
    event(&mut mine, "a word of silence", |event| {
        (*event == MatchEvent::Silent { seat: Some(Seat(1)), turn: 4, until: clock.until }).then_some(())
    })
    .await?;
    event(&mut theirs, "a warning", |event| matches!(event, MatchEvent::Hurry { turn: 4, .. }).then_some(())).await?;
    time.pass(CLOCK / 2);
    event(&mut mine, "the clock's end", |event| matches!(event, MatchEvent::Overdue { turn: 4, .. }).then_some(()))
        .await?;
    assert_eq!(dead.bank.docket(mine.id(), 0).await?, None, "the server's turn comes first");
    time.pass(GRACE + 1);
    event(&mut mine, "its challenge", |event| match event {
        MatchEvent::Pleaded { motion } => (*motion == Motion::Challenge { turn: 3 }).then_some(()),
        MatchEvent::Silent { .. } | MatchEvent::Overdue { .. } => panic!("said twice: {event:?}"),
        _ => None,
    })
    .await?;
    let hearing = eventually("the hearing", async || Ok(mine.snapshot().hearing)).await?;
    assert_eq!((hearing.turn, hearing.mover, hearing.phase), (3, Some(Seat(1)), Some(Phase::Open)));
    travel_to(&dead.bank, hearing.until + GRACE + 1).await?;
    let payouts = ruled(&mut mine).await?;
    assert_eq!(payouts, ruled(&mut theirs).await?);
    assert!(payouts[0].units() > u128::from(STAKE) && payouts[1] == Amount::ZERO, "{payouts:?}");
    everybody_leaves(&dead, &players, deltas(&payouts)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_challenge_is_answered_in_its_window_and_the_match_is_won_in_court() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::open(&folder).await?;
    let (mut mine, mut theirs) = scene.sit("tictactoe").await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1), (&theirs, 4)] {
        play(game, cell).await?;
    }
    turned(&mine, 4).await?;
    let Scene { world, mut players, .. } = scene;
    let dead = world.kill().await;
    let until = challenge_with(&mut players[1], &theirs, 2).await?;
    disputed(&mut mine, 2).await?;
    // Anybody could answer it, so the client lets others go first.
    travel_to(&dead.bank, until - 20).await?;
    let (mover, _) = disputed(&mut mine, 4).await?;
    assert_eq!(mover, Some(Seat(0)));
    play(&mine, 2).await?;
    let (mover, until) = disputed(&mut mine, 5).await?;
    assert_eq!(mover, None, "it is over");
    travel_to(&dead.bank, until + GRACE + 1).await?;
    let payouts = ruled(&mut mine).await?;
    assert_eq!(payouts, ruled(&mut theirs).await?);
    assert!(payouts[0].units() > u128::from(STAKE) && payouts[1] == Amount::ZERO, "{payouts:?}");
    everybody_leaves(&dead, &players, deltas(&payouts)).await
}

/// A player shows the court a match as it stood at a turn.
async fn challenge_with(player: &mut PlayerClient, game: &Match, turns: usize) -> Result<u64, Failure> {
    let case = Case::new(game.transcript().await?, game.rules())?;
    let guarantee = case.guarantee().ok_or("a guarantee")?;
    let challenged = player.wallet.challenge(case.terms(), guarantee, case.up_to(turns).evidence()).await?;
    player.paid(&challenged);
    let docket = player.wallet.docket(game.id(), 0).await?.ok_or("a docket")?;
    Ok(docket.until())
}

/// Plays a seat with a bot until the match is over.
async fn to_its_end(mut game: Match, mut bot: Box<dyn bots::Player>) -> Result<Match, Failure> {
    loop {
        if let Some(position) = game.my_position() {
            game.play(bot.choose(&position, game.seat())?).await?;
        }
        match game.event().await.ok_or("the client closed")? {
            MatchEvent::Over { .. } => return Ok(game),
            MatchEvent::Faulted(evidence) => return Err(format!("{evidence:?}").into()),
            _ => {}
        }
    }
}

async fn played_on_through_the_court(game: &str, seed: u64) -> Result<(), Failure> {
    println!("seed {seed}");
    let folder = tempfile::tempdir()?;
    let scene = Scene::open(&folder).await?;
    let (mut mine, mut theirs) = scene.sit(game).await?;
    let bot = |seat| bots::player(game, Strength::Fair, Seat(seat), seed).expect("a demo game");
    let (mut first, mut second) = (bot(0), bot(1));
    // A turn that both have signed: from then on the court takes it (R5.3).
    while mine.snapshot().state.turn < 4 || theirs.snapshot().state.turn < 4 {
        for (game, bot) in [(&mut mine, &mut first), (&mut theirs, &mut second)] {
            if game.snapshot().state.turn < 4
                && let Some(position) = game.my_position()
            {
                game.play(bot.choose(&position, game.seat())?).await?;
            }
        }
        tokio::task::yield_now().await;
    }
    let Scene { world, time, players, .. } = scene;
    let dead = world.kill().await;
    let playing = [tokio::spawn(to_its_end(mine, first)), tokio::spawn(to_its_end(theirs, second))];
    // Until somebody takes it to court, nobody hears of the other's moves.
    time.pass(CLOCK + GRACE + 1);
    let mut games = Vec::new();
    for playing in playing {
        games.push(playing.await??);
    }
    let (last, id) = (games[0].snapshot().state, games[0].id());
    assert_eq!(last, games[1].snapshot().state);
    let docket = eventually("the end in court", async || {
        Ok(dead.bank.docket(id, 0).await?.filter(|docket| docket.top() == last.hash(id)))
    })
    .await?;
    travel_to(&dead.bank, docket.until() + GRACE + 1).await?;
    for game in &mut games {
        assert_eq!(ruled(game).await?, last.payouts);
    }
    everybody_leaves(&dead, &players, deltas(&last.payouts)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_match_is_played_on_through_the_court_when_the_server_is_gone() -> Result<(), Failure> {
    played_on_through_the_court("tictactoe", 5).await
}

/// Dice are revealed, and seats move several times in a row: one signature stands for all of that (R7.3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_match_with_dice_is_played_on_through_the_court_when_the_server_is_gone() -> Result<(), Failure> {
    played_on_through_the_court("pig", 5).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_illegal_move_that_is_shown_to_the_court_is_contested_by_the_opponents_client() -> Result<(), Failure> {
    shown_to_the_court(false).await
}

/// R7.8: the client brings the rules along, and no arbiter is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_illegal_move_is_re_run_on_the_chain_by_the_opponents_client() -> Result<(), Failure> {
    shown_to_the_court(true).await
}

async fn shown_to_the_court(refereed: bool) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let plan = Plan { rpc: Some(chain().await?), settle_age: 10_000, refereed, ..Plan::quick(folder.path()) };
    let world = World::start(plan).await?;
    let tap = Tap::before(world.server.url()).await?;
    let (time, purse) = (Time::new(), world.purse(pocket()).await?);
    // The cheat's client has no wallet: what it shows, the test shows.
    let cheat = world.newcomer(0, bankroll(), pocket()).await?.connect(tap.url()).await?;
    let honest = armed(&world, 1, world.server.url(), wallet(&world, &purse)?, &time).await?;
    let mut players = vec![cheat, honest];
    let (domain, key) = (world.server.domain(), players[0].key.clone());
    let forged = Arc::new(std::sync::Mutex::new(None));
    let keep = forged.clone();
    tap.rule(move |frame| match frame {
        Frame::Up(ToServer::Turn { match_id, turn }) if turn.state.turn == 3 => {
            let Turn { mut state, action, .. } = turn.clone();
            state.payouts = vec![Amount::from_u64(2 * STAKE), Amount::ZERO];
            let signature = key.sign(domain.digest(state.hash(*match_id).0)).expect("signs");
            let turn = Turn { state, action, signature };
            *keep.lock().expect("not poisoned") = Some(turn.clone());
            Verdict::Instead(Box::new(Frame::Up(ToServer::Turn { match_id: *match_id, turn })))
        }
        _ => Verdict::Pass,
    });
    let (cheat, mut honest) = seated(&world, &players, "tictactoe").await?;
    for (game, cell) in [(&cheat, 0), (&honest, 3), (&cheat, 1)] {
        play(game, cell).await?;
    }
    event(&mut honest, "the foul", |event| matches!(event, MatchEvent::Faulted(_)).then_some(())).await?;
    let dead = world.kill().await;
    time.pass(CLOCK + GRACE + 1);
    // What the rules forbid is not shown: the clock that ran out is the cheat's.
    let (mover, _) = disputed(&mut honest, 2).await?;
    assert_eq!(mover, Some(Seat(0)));
    let docket = dead.bank.docket(honest.id(), 0).await?.ok_or("a docket")?;
    let mut transcript = cheat.transcript().await?;
    transcript.turns[2] = forged.lock().expect("not poisoned").clone().ok_or("a forged turn")?;
    let case = Case::new(transcript, cheat.rules())?;
    let shown = case.up_to(3).answer(&docket).ok_or("a newer turn")?;
    let answered = players[0].wallet.respond(case.terms(), &docket, shown).await?;
    players[0].paid(&answered);

    let mut events = players[1].client.events();
    assert_eq!(case.terms().trial(), Trial::of(&**honest.rules(), dead.bank.info().referee));
    if refereed {
        let motion = Motion::Contest { turn: 3, bonded: false };
        event(&mut honest, "the contest", |event| (*event == MatchEvent::Pleaded { motion }).then_some(())).await?;
    } else {
        event(&mut honest, "the contest", |event| matches!(event, MatchEvent::Contested { .. }).then_some(())).await?;
        let operator = dead.operator().ok_or("the arbiter's key")?;
        rule(&dead, &Case::new(honest.transcript().await?, honest.rules())?, operator).await?;
    }
    let until = event(&mut honest, "the ruling", |event| match event {
        MatchEvent::Closed { turn: 2, guilty: Some(Seat(0)), until } => Some(*until),
        _ => None,
    })
    .await?;
    // The bond is back, and the client fetches it.
    while !refereed && !matches!(events.recv().await?, ClientEvent::Acted { deed: Deed::Claim, outcome: Ok(_) }) {}
    travel_to(&dead.bank, until + GRACE + 1).await?;
    let payouts = ruled(&mut honest).await?;
    assert!(payouts[1].units() > u128::from(STAKE) && payouts[0] == Amount::ZERO, "{payouts:?}");
    let court = dead.bank.info().court;
    let call = Court::bondOfCall { contester: purse.address() };
    assert_eq!(read_contract(dead.bank.rpc(), court, &call, BlockId::Latest).await?, U256::ZERO);
    Ok(())
}

/// Brings the ruling of the arena's only arbiter.
async fn rule(dead: &Dead, case: &Case, arbiter: &Key) -> Result<(), Failure> {
    let (rpc, info) = (dead.bank.rpc(), dead.bank.info());
    let head: u64 = rpc.head().await?.number.to();
    let logs = rpc.logs_about(info.court, case.signed().id.0, 0, head).await?;
    let updates = read_disputes(rpc, info.court, &logs).await?.ok_or("all of its transactions")?;
    let dispute: Dispute = updates.into_iter().fold(None, |known, update| update.after(known)).ok_or("a dispute")?;
    assert_eq!(dispute.docket().phase(), Phase::Contested);
    let counsel = case.counsel();
    let judgment = counsel.judgment(&dispute).ok_or("a judgment")?;
    assert!(!judgment.ruling.legal);
    let signature = arbiter.sign(info.domain.digest(judgment.ruling.struct_hash()))?;
    let plea = judgment.rule(case.terms(), dispute.docket(), &[signature]);
    let data = alloy_primitives::Bytes::from(plea.calldata);
    let from = dead.bank.sender().await?;
    rpc.0.request("eth_sendTransaction", json!([{ "from": from, "to": info.court, "data": data }])).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_was_away_for_most_of_a_window_comes_back_and_answers() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::open(&folder).await?;
    let (mine, theirs) = scene.sit("tictactoe").await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1), (&theirs, 4)] {
        play(game, cell).await?;
    }
    turned(&mine, 4).await?;
    let Scene { world, time, mut players, purses } = scene;
    let (games, url) = (world.games.clone(), world.server.url());
    let purse = wallet(&world, &purses[0])?;
    let dead = world.kill().await;
    let (owner, key, file) = (players[0].owner, players[0].key.clone(), players[0].file.clone());
    let clock = mine.snapshot().clock;
    drop(mine);
    players.remove(0).client.close().await;
    let until = challenge_with(&mut players[0], &theirs, 2).await?;
    travel_to(&dead.bank, until - 20).await?;

    let store = eventually("the closed client's file", async || Ok(RedbStore::open(&file).ok())).await?;
    let config = ClientConfig::new(url, owner, key, games, store);
    let config = config.with_wallet(purse).with_policy(policy()).with_clock(time.clock());
    let client = Client::resume(config).await?;
    let mut mine = client.resumed().await?.pop().ok_or("the match")?;
    assert_eq!(mine.snapshot().clock, clock, "the clock went on meanwhile");
    let (mover, answered) = disputed(&mut mine, 4).await?;
    assert_eq!(mover, Some(Seat(0)));
    assert!(answered > until);
    play(&mine, 2).await?;
    let (_, until) = disputed(&mut mine, 5).await?;
    travel_to(&dead.bank, until + GRACE + 1).await?;
    let payouts = ruled(&mut mine).await?;
    assert!(payouts[0].units() > u128::from(STAKE) && payouts[1] == Amount::ZERO, "{payouts:?}");
    Ok(())
}

/// Trace 20 of section 11, without anybody who makes the calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loser_that_leaves_with_an_older_statement_is_settled_by_the_winners_client() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::open(&folder).await?;
    let played = [first_wins(&scene.players, &scene.world.game("tictactoe")?).await?];
    let loser = scene.players[1].client.account();
    // R6.5: the operator gave the winner the loser's pair while it lived.
    eventually("the loser's pair", async || {
        let look = scene.players[0].client.look(move |session| {
            session.receipt().is_some() && session.opponents().any(|pair| pair.player.account() == loser)
        });
        Ok(look.await?.then_some(()))
    })
    .await?;
    let results = results(&played);
    let Scene { world, mut players, .. } = scene;
    let dead = world.kill().await;
    exit(&mut players[1], false).await?;
    assert_eq!(dead.bank.account(loser).await?.payable(), bankroll(), "the chain knows of no loss yet");
    // The server would have gone first.
    travel(&dead.bank, GRACE + 1).await?;
    let owes = bankroll().signed() + results[&loser];
    eventually("the loss", async || Ok((dead.bank.account(loser).await?.equity() == owes).then_some(()))).await?;
    players[0].client.exit().await?;
    travel(&dead.bank, u64::from(dead.bank.info().exit_window) + 1).await?;
    in_time("the winner's exit", players[0].client.exited()).await?;
    let winner = players[0].client.account();
    let wallet = dead.bank.rpc().balance(players[0].owner).await?;
    assert_eq!(wallet, players[0].should_have(results[&winner]));
    // The loser's client has a wallet, too: its exit goes on by itself.
    in_time("the loser's exit", players[1].client.exited()).await?;
    assert_eq!(dead.bank.rpc().balance(players[1].owner).await?, players[1].should_have(results[&loser]));
    Ok(())
}

/// R6.10: the receipt of an account with a claim is settled together with that. Whether the loser brings its own or not, it pays.
async fn leaves_with_a_receipt_and_a_claim(honest_loser: bool) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::open(&folder).await?;
    let played = [first_wins(&scene.players, &scene.world.game("tictactoe")?).await?];
    let won = results(&played);
    let accounts = [0, 1].map(|n| scene.players[n].client.account());
    let mut sets = Vec::new();
    for (n, player) in scene.players.iter().enumerate() {
        player.at_rest().await?;
        let opponent = accounts[1 - n];
        let set = eventually("a receipt, and the opponent's pair", async || {
            let look = player.client.look(move |session| {
                let held = session.opponents().any(|pair| pair.player.account() == opponent);
                session.receipt().map(|(statement, _)| statement.set).filter(|_| held)
            });
            Ok(look.await?)
        });
        sets.push(set.await?);
    }
    // A second match is in play when the server dies, and is decided in court.
    let (mut mine, theirs) = scene.sit("tictactoe").await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1)] {
        play(game, cell).await?;
    }
    turned(&theirs, 3).await?;
    let Scene { world, time, mut players, .. } = scene;
    let dead = world.kill().await;
    let player = players[1].client.player();
    if !honest_loser {
        drop(theirs);
        let client = players[1].client.clone();
        client.close().await;
    }
    time.pass(CLOCK + GRACE + 1);
    let (_, until) = disputed(&mut mine, 3).await?;
    travel_to(&dead.bank, until + GRACE + 1).await?;
    let payouts = ruled(&mut mine).await?;
    for account in accounts {
        assert_eq!(dead.bank.account(account).await?.claims, 1);
    }
    players[0].client.exit().await?;
    if honest_loser {
        players[1].client.exit().await?;
    } else {
        let opened = players[1].wallet.exit(player, None, None).await?;
        players[1].paid(&opened);
        travel(&dead.bank, GRACE + 1).await?;
    }
    for (account, set) in accounts.into_iter().zip(sets) {
        eventually("the receipt", async || Ok((dead.bank.account(account).await?.set == set).then_some(()))).await?;
    }
    travel(&dead.bank, u64::from(dead.bank.info().exit_window) + 1).await?;
    let deltas = deltas(&payouts);
    let finished = |n: usize| players[n].should_have(won[&accounts[n]] + deltas[n]);
    in_time("the winner's exit", players[0].client.exited()).await?;
    assert_eq!(dead.bank.rpc().balance(players[0].owner).await?, finished(0));
    if honest_loser {
        in_time("the loser's exit", players[1].client.exited()).await?;
        assert_eq!(dead.bank.rpc().balance(players[1].owner).await?, finished(1));
    } else {
        let left = bankroll().signed() + won[&accounts[1]] + deltas[1];
        assert_eq!(dead.bank.account(accounts[1]).await?.equity(), left);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_leaves_with_its_receipt_and_with_what_the_court_gave_it() -> Result<(), Failure> {
    leaves_with_a_receipt_and_a_claim(true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loser_in_court_that_leaves_with_an_older_statement_is_settled_by_the_winners_client() -> Result<(), Failure>
{
    leaves_with_a_receipt_and_a_claim(false).await
}

/// Trace 5 of section 11, without a server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opponent_that_leaves_in_mid_match_leaves_its_stake_behind() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::open(&folder).await?;
    let (mut mine, theirs) = scene.sit("tictactoe").await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1)] {
        play(game, cell).await?;
    }
    turned(&theirs, 3).await?;
    let Scene { world, time, players, .. } = scene;
    let dead = world.kill().await;
    let leaver = players[1].client.account();
    players[1].client.exit().await?;
    travel(&dead.bank, GRACE + 1).await?;
    eventually("the lock", async || Ok((dead.bank.account(leaver).await?.locked == stake()).then_some(()))).await?;
    time.pass(CLOCK + GRACE + 1);
    let (_, until) = disputed(&mut mine, 3).await?;
    travel_to(&dead.bank, until + GRACE + 1).await?;
    let payouts = ruled(&mut mine).await?;
    assert_eq!(payouts[1], Amount::ZERO);
    everybody_leaves(&dead, &players, deltas(&payouts)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_that_a_reorg_took_back_is_made_again() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::open(&folder).await?;
    let (mut mine, theirs) = scene.sit("tictactoe").await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1)] {
        play(game, cell).await?;
    }
    turned(&theirs, 3).await?;
    let Scene { world, time, .. } = scene;
    let dead = world.kill().await;
    time.pass(CLOCK + GRACE + 1);
    let (_, taken_back) = disputed(&mut mine, 3).await?;
    dead.bank.rpc().0.request("anvil_reorg", json!([1, []])).await?;
    event(&mut mine, "the reorg", |event| matches!(event, MatchEvent::Undisputed).then_some(())).await?;
    let (_, until) = disputed(&mut mine, 3).await?;
    assert!(until >= taken_back);
    travel_to(&dead.bank, until + GRACE + 1).await?;
    let payouts = ruled(&mut mine).await?;
    assert!(payouts[0].units() > u128::from(STAKE) && payouts[1] == Amount::ZERO, "{payouts:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_node_is_away_for_a_while_says_so_and_goes_on_when_it_is_back() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world_apart(&folder).await?;
    let (time, down) = (Time::new(), Arc::new(AtomicBool::new(false)));
    let line = Line { inner: wallet(&world, &world.purse(pocket()).await?)?, down: down.clone() };
    let mine = armed(&world, 0, world.server.url(), line, &time).await?;
    let players = vec![mine, world.player(1, bankroll(), pocket()).await?];
    let (mut mine, theirs) = seated(&world, &players, "tictactoe").await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1)] {
        play(game, cell).await?;
    }
    turned(&theirs, 3).await?;
    let mut events = players[0].client.events();
    let dead = world.kill().await;
    down.store(true, Ordering::Relaxed);
    while !matches!(events.recv().await?, ClientEvent::ChainLost(_)) {}
    time.pass(CLOCK + GRACE + 1);
    event(&mut mine, "the clock's end", |event| matches!(event, MatchEvent::Overdue { .. }).then_some(())).await?;
    down.store(false, Ordering::Relaxed);
    while !matches!(events.recv().await?, ClientEvent::ChainFound) {}
    let (mover, _) = disputed(&mut mine, 3).await?;
    assert_eq!(mover, Some(Seat(1)));
    assert_eq!(dead.bank.docket(mine.id(), 0).await?.map(|docket| docket.turn()), Some(3));
    Ok(())
}

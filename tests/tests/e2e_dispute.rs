//! Disputes on the real contracts: who stalls, pays (section 7).

use std::sync::{Arc, Mutex};

use alloy_primitives::U256;
use matchlock::{
    abi::{Court, Trial},
    chain::{BlockId, CallError, CourtError, HttpProvider, read_contract},
    client::{Client, ClientEvent, Match, MatchEvent, RedbStore},
    dispute::{Case, Phase},
    game::{Amount, Seat},
    session::{SessionNotice, Wanted},
    sign::Signer,
    wire::{TableSpec, ToServer, Turn},
};
use matchlock_tests::{
    scene::{
        STAKE, bankroll, exit, finish_exit, pocket, postcard_u8, stake, travel, travel_to, two_players, world_apart,
    },
    tap::{Frame, Tap, Verdict},
    world::{Failure, Plan, PlayerClient, World, eventually},
};

/// A world whose clocks run out after a second.
async fn world(folder: &tempfile::TempDir) -> Result<World, Failure> {
    let tune = Some((|settings| settings.clock_grace = 0) as fn(&mut matchlock_server::Settings));
    World::start(Plan { tune, ..Plan::quick(folder.path()) }).await
}

/// A player that sees the chain with its own eyes.
async fn watchful(world: &World, n: usize, url: String) -> Result<PlayerClient, Failure> {
    let newcomer = world.newcomer(n, bankroll(), pocket()).await?;
    let config = newcomer.config(url, RedbStore::open(&newcomer.file)?).with_chain(HttpProvider::new(world.rpc())?);
    newcomer.with(Client::connect(config).await?).await
}

async fn two_watchful(world: &World) -> Result<Vec<PlayerClient>, Failure> {
    let url = world.server.url();
    Ok(vec![watchful(world, 0, url.clone()).await?, watchful(world, 1, url).await?])
}

/// An open match of tic-tac-toe with a clock of one second.
async fn open(world: &World, first: &Client, second: &Client) -> Result<(Match, Match), Failure> {
    let rules = world.game("tictactoe")?;
    let spec = TableSpec { rules: rules.id(), seats: 2, stake: stake(), clock: 1, private: true };
    let mut seating = first.create(spec).await?;
    let table = seating.table().await?;
    let second = second.join(table, Wanted { rules: rules.id(), stake: stake() }).await?;
    Ok((seating.opened().await?, second.opened().await?))
}

async fn play(game: &Match, cell: u8) -> Result<(), Failure> {
    eventually("the position", async || Ok(game.my_position().map(drop))).await?;
    Ok(game.play(postcard_u8(cell)).await?)
}

async fn disputed(client: &mut tokio::sync::broadcast::Receiver<ClientEvent>) -> Result<u64, Failure> {
    loop {
        if let ClientEvent::Notice(SessionNotice::Disputed { until, .. }) = client.recv().await? {
            return Ok(until);
        }
    }
}

async fn ruled(game: &mut Match) -> Result<Vec<Amount>, Failure> {
    loop {
        if let MatchEvent::Ruled { payouts } = game.event().await.ok_or("the client closed")? {
            return Ok(payouts);
        }
    }
}

/// Both get what the payouts say, in their wallets.
async fn paid(world: &World, players: &mut [PlayerClient], payouts: &[Amount]) -> Result<(), Failure> {
    for (player, payout) in players.iter_mut().zip(payouts) {
        player.at_rest().await?;
        let delta = payout.signed() - stake().signed();
        let worth = bankroll().signed() + delta;
        eventually("a bankroll without a claim", async || {
            world.server.settle_now();
            Ok((player.client.account_view().await?.available.signed() == worth).then_some(()))
        })
        .await?;
        player.withdraw_all().await?;
        assert_eq!(world.bank.rpc().balance(player.owner).await?, player.should_have(delta));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_who_stalls_after_losing_still_pays() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world(&folder).await?;
    let mut players = two_watchful(&world).await?;
    let mut events = players[0].client.events();
    let (mut mine, mut theirs) = open(&world, &players[0].client, &players[1].client).await?;
    // Seat 0 is about to win; seat 1 plays no more.
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1)] {
        play(game, cell).await?;
    }
    let until = disputed(&mut events).await?;
    travel_to(&world.bank, until + 1).await?;
    let payouts = ruled(&mut mine).await?;
    assert_eq!(payouts, ruled(&mut theirs).await?);
    assert!(payouts[0].units() > u128::from(STAKE) && payouts[1] == Amount::ZERO, "{payouts:?}");
    paid(&world, &mut players, &payouts).await?;
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_who_comes_back_in_time_plays_on_and_the_result_counts() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world(&folder).await?;
    let mut players = two_watchful(&world).await?;
    let mut events = players[0].client.events();
    let (mut mine, mut theirs) = open(&world, &players[0].client, &players[1].client).await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1)] {
        play(game, cell).await?;
    }
    disputed(&mut events).await?;
    // Back before the window ends: the other side wins after all, and the final goes to the chain.
    for (game, cell) in [(&theirs, 4), (&mine, 8), (&theirs, 5)] {
        play(game, cell).await?;
    }
    let payouts = ruled(&mut mine).await?;
    assert_eq!(payouts, ruled(&mut theirs).await?);
    assert!(payouts[1].units() > u128::from(STAKE) && payouts[0] == Amount::ZERO, "{payouts:?}");
    paid(&world, &mut players, &payouts).await?;
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loser_who_does_not_sign_the_final_still_pays() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world(&folder).await?;
    let tap = Tap::before(world.server.url()).await?;
    let mut players = vec![watchful(&world, 0, world.server.url()).await?, watchful(&world, 1, tap.url()).await?];
    tap.rule(|frame| match frame {
        Frame::Up(ToServer::Ack { .. }) => Verdict::Lose,
        _ => Verdict::Pass,
    });
    let mut events = players[0].client.events();
    let (mut mine, mut theirs) = open(&world, &players[0].client, &players[1].client).await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1), (&theirs, 4), (&mine, 2)] {
        play(game, cell).await?;
    }
    let until = disputed(&mut events).await?;
    travel_to(&world.bank, until + 1).await?;
    let payouts = ruled(&mut mine).await?;
    assert_eq!(payouts, ruled(&mut theirs).await?);
    assert!(payouts[0].units() > u128::from(STAKE) && payouts[1] == Amount::ZERO, "{payouts:?}");
    paid(&world, &mut players, &payouts).await?;
    assert_eq!(players[0].client.look(|session| session.open().count()).await?, 0);
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_with_an_older_state_is_answered_by_the_server() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(Plan::quick(folder.path())).await?;
    let mut players = two_watchful(&world).await?;
    let (mut mine, mut theirs) = open(&world, &players[0].client, &players[1].client).await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1), (&theirs, 4)] {
        play(game, cell).await?;
    }
    eventually("the last turn", async || Ok((mine.snapshot().state.turn == 4).then_some(()))).await?;
    // Seat 1 is about to lose, and shows the court the match as it stood when seat 0 had to move.
    let case = Case::new(theirs.transcript().await?, theirs.rules())?;
    let old = case.up_to(2);
    let guarantee = case.guarantee().ok_or("a guarantee")?;
    let challenged = players[1].wallet.challenge(case.terms(), guarantee, old.evidence()).await?;
    players[1].paid(&challenged);
    let until = eventually("the docket", async || {
        Ok(world
            .bank
            .docket(case.signed().id, 0)
            .await?
            .filter(|docket| docket.turn() == 2)
            .map(|docket| docket.until()))
    })
    .await?;
    // In the second half of the window the server shows what is newer; nobody tells it to.
    travel_to(&world.bank, until - 1).await?;
    let docket = eventually("the server's answer", async || {
        Ok(world.bank.docket(case.signed().id, 0).await?.filter(|docket| docket.turn() == 4))
    })
    .await?;
    assert_eq!(docket.top(), case.signed().header(4).ok_or("turn 4")?.hash(case.signed().id));
    play(&mine, 2).await?;
    let payouts = ruled(&mut mine).await?;
    assert_eq!(payouts, ruled(&mut theirs).await?);
    assert!(payouts[0].units() > u128::from(STAKE) && payouts[1] == Amount::ZERO, "{payouts:?}");
    paid(&world, &mut players, &payouts).await?;
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_match_is_won_in_court_when_the_server_is_gone() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world_apart(&folder).await?;
    let mut players = two_players(&world).await?;
    let (mine, theirs) = open(&world, &players[0].client, &players[1].client).await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1)] {
        play(game, cell).await?;
    }
    let case = Case::new(mine.transcript().await?, mine.rules())?;
    let dead = world.kill().await;

    let guarantee = case.guarantee().ok_or("a guarantee")?;
    let challenged = players[0].wallet.challenge(case.terms(), guarantee, case.signed().evidence()).await?;
    players[0].paid(&challenged);
    let docket = dead.bank.docket(case.signed().id, 0).await?.ok_or("a docket")?;
    let top = case.signed().header(docket.turn()).ok_or("the top")?.clone();
    assert_eq!((docket.turn(), docket.mover()), (3, Some(theirs.seat())));
    let early = players[0].wallet.finalize(case.terms(), &docket, &top).await;
    assert!(
        matches!(&early, Err(CallError::Refused(revert)) if matches!(revert.court(), Some(CourtError::WindowRuns(_)))),
        "{early:?}"
    );
    travel_to(&dead.bank, docket.until() + 1).await?;
    let finalized = players[0].wallet.finalize(case.terms(), &docket, &top).await?;
    players[0].paid(&finalized);
    for player in &mut players {
        exit(player, false).await?;
    }
    travel(&dead.bank, u64::from(dead.bank.info().exit_window) + 1).await?;
    let won = top.payouts[0].signed() - stake().signed();
    assert!(won > 0 && top.payouts[1] == Amount::ZERO);
    for (player, delta) in players.iter_mut().zip([won, -stake().signed()]) {
        let wallet = finish_exit(player).await?;
        assert_eq!(wallet, player.should_have(delta));
    }
    Ok(())
}

/// A match in which seat 0 signs a third turn that gives it the whole pot, and what it signed.
async fn cheated(world: &World, tap: &Tap, players: &[PlayerClient]) -> Result<(Match, Match, Turn), Failure> {
    let (domain, key) = (world.server.domain(), players[0].key.clone());
    let forged = Arc::new(Mutex::new(None));
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
    let (cheat, mut honest) = open(world, &players[0].client, &players[1].client).await?;
    for (game, cell) in [(&cheat, 0), (&honest, 3), (&cheat, 1)] {
        play(game, cell).await?;
    }
    while !matches!(honest.event().await.ok_or("the client closed")?, MatchEvent::Faulted(_)) {}
    let turn = forged.lock().expect("not poisoned").clone().ok_or("a forged turn")?;
    Ok((cheat, honest, turn))
}

async fn honest_wins(world: &World, honest: &mut Match, player: &mut PlayerClient) -> Result<(), Failure> {
    let payouts = ruled(honest).await?;
    assert!(payouts[1].units() > u128::from(STAKE) && payouts[0] == Amount::ZERO, "{payouts:?}");
    player.at_rest().await?;
    let delta = payouts[1].signed() - stake().signed();
    world.server.settle_now();
    player.client.until_available(Amount::new((bankroll().signed() + delta).unsigned_abs())?).await?;
    player.withdraw_all().await?;
    assert_eq!(world.bank.rpc().balance(player.owner).await?, player.should_have(delta));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cheat_counts_as_one_who_does_not_move_and_pays() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world(&folder).await?;
    let tap = Tap::before(world.server.url()).await?;
    let mut players = vec![watchful(&world, 0, tap.url()).await?, watchful(&world, 1, world.server.url()).await?];
    let mut events = players[1].client.events();
    let (_cheat, mut honest, _) = cheated(&world, &tap, &players).await?;
    // The server does not show what the rules forbid: the clock that ran out is the cheat's.
    let until = disputed(&mut events).await?;
    let docket = world.bank.docket(honest.id(), 0).await?.ok_or("a docket")?;
    assert_eq!((docket.turn(), docket.mover()), (2, Some(Seat(0))));
    travel_to(&world.bank, until + 1).await?;
    honest_wins(&world, &mut honest, &mut players[1]).await?;
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_illegal_move_that_is_shown_to_the_court_is_contested_ruled_on_and_pays_the_honest_seat()
-> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    shown_to_the_court(world(&folder).await?).await
}

/// R7.8: no arbiter, no bond; one transaction re-runs the move with the rules that it brings along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_illegal_move_is_re_run_on_the_chain_and_pays_the_honest_seat() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let plan = Plan { refereed: true, ..Plan::quick(folder.path()) };
    let world = World::start(Plan { tune: Some(|settings| settings.clock_grace = 0), ..plan }).await?;
    shown_to_the_court(world).await
}

/// Seat 0 shows the court a move that the rules forbid; the server contests it.
async fn shown_to_the_court(world: World) -> Result<(), Failure> {
    let tap = Tap::before(world.server.url()).await?;
    let mut players = vec![watchful(&world, 0, tap.url()).await?, watchful(&world, 1, world.server.url()).await?];
    let mut events = players[1].client.events();
    let (cheat, mut honest, forged) = cheated(&world, &tap, &players).await?;
    disputed(&mut events).await?;
    // The cheat answers in time, with the header that it forged.
    let docket = world.bank.docket(honest.id(), 0).await?.ok_or("a docket")?;
    let mut transcript = cheat.transcript().await?;
    transcript.turns[2] = forged;
    let case = Case::new(transcript, cheat.rules())?;
    let shown = case.up_to(3).answer(&docket).ok_or("a newer turn")?;
    let answered = players[0].wallet.respond(case.terms(), &docket, shown).await?;
    players[0].paid(&answered);
    let closed = eventually("the ruling", async || {
        let docket = world.bank.docket(honest.id(), 0).await?;
        Ok(docket.filter(|docket| docket.phase() == Phase::Closed))
    })
    .await?;
    assert_eq!((closed.turn(), closed.mover()), (2, Some(Seat(0))));
    // Whoever was to judge has: the court's referee, or the operator's arbiter, before whom a bond was put up.
    let terms = case.terms();
    assert_eq!(terms.trial(), Trial::of(&**cheat.rules(), world.bank.info().referee));
    let bonds = bonds_of(&world).await?;
    assert_eq!(bonds.is_zero(), cheat.rules().on_chain().is_some(), "{bonds}");
    travel_to(&world.bank, closed.until() + 1).await?;
    honest_wins(&world, &mut honest, &mut players[1]).await?;
    world.server.shutdown().await;
    Ok(())
}

/// What the operator could claim back of bonds.
async fn bonds_of(world: &World) -> Result<U256, Failure> {
    let contester = world.bank.info().operator;
    let call = Court::bondOfCall { contester };
    Ok(read_contract(world.bank.rpc(), world.bank.info().court, &call, BlockId::Latest).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_was_shown_to_the_court_alone_goes_on_in_the_match() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world(&folder).await?;
    let tap = Tap::before(world.server.url()).await?;
    let mut players = vec![watchful(&world, 0, world.server.url()).await?, watchful(&world, 1, tap.url()).await?];
    // Its connection loses what it plays from turn 4 on.
    tap.rule(|frame| match frame {
        Frame::Up(ToServer::Turn { turn, .. }) if turn.state.turn == 4 => Verdict::Lose,
        _ => Verdict::Pass,
    });
    let mut events = players[0].client.events();
    let (mut mine, mut theirs) = open(&world, &players[0].client, &players[1].client).await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1), (&theirs, 4)] {
        play(game, cell).await?;
    }
    disputed(&mut events).await?;
    let docket = world.bank.docket(mine.id(), 0).await?.ok_or("a docket")?;
    let case = Case::new(theirs.transcript().await?, theirs.rules())?;
    let shown = case.signed().answer(&docket).ok_or("a newer turn")?;
    let answered = players[1].wallet.respond(case.terms(), &docket, shown).await?;
    players[1].paid(&answered);
    // The other side hears of it, and wins.
    play(&mine, 2).await?;
    let payouts = ruled(&mut mine).await?;
    assert_eq!(payouts, ruled(&mut theirs).await?);
    assert!(payouts[0].units() > u128::from(STAKE) && payouts[1] == Amount::ZERO, "{payouts:?}");
    paid(&world, &mut players, &payouts).await?;
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_of_a_match_that_everyone_signed_off_ends_at_once_with_its_result() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(Plan { settle_age: 10_000, ..Plan::quick(folder.path()) }).await?;
    let mut players = two_watchful(&world).await?;
    let (mut mine, theirs) = open(&world, &players[0].client, &players[1].client).await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1), (&theirs, 4), (&mine, 2)] {
        play(game, cell).await?;
    }
    while !matches!(mine.event().await.ok_or("the client closed")?, MatchEvent::Concluded) {}
    let (case, payouts) = (Case::new(mine.transcript().await?, mine.rules())?, mine.snapshot().state.payouts);
    let guarantee = case.guarantee().ok_or("a guarantee")?;
    let challenged = players[1].wallet.challenge(case.terms(), guarantee, case.up_to(2).evidence()).await?;
    players[1].paid(&challenged);
    eventually("the outcome", async || Ok(world.bank.is_concluded(case.signed().id).await?.then_some(()))).await?;
    paid(&world, &mut players, &payouts).await?;
    world.server.shutdown().await;
    Ok(())
}

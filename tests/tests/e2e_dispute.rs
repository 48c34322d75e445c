//! Disputes on the real contracts: who stalls, pays (section 7).

use matchlock::{
    chain::HttpProvider,
    client::{Client, ClientEvent, Match, MatchEvent, RedbStore},
    game::Amount,
    session::{SessionNotice, Wanted},
    wire::{TableSpec, ToServer},
};
use matchlock_tests::{
    scene::{STAKE, bankroll, pocket, postcard_u8, stake, travel},
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
    let mut players =
        vec![watchful(&world, 0, world.server.url()).await?, watchful(&world, 1, world.server.url()).await?];
    let mut events = players[0].client.events();
    let (mut mine, mut theirs) = open(&world, &players[0].client, &players[1].client).await?;
    // Seat 0 is about to win; seat 1 plays no more.
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1)] {
        play(game, cell).await?;
    }
    let until = disputed(&mut events).await?;
    travel(&world.bank, until + 1 - world.bank.rpc().head().await?.timestamp.to::<u64>()).await?;
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
    let mut players =
        vec![watchful(&world, 0, world.server.url()).await?, watchful(&world, 1, world.server.url()).await?];
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
    travel(&world.bank, until + 1 - world.bank.rpc().head().await?.timestamp.to::<u64>()).await?;
    let payouts = ruled(&mut mine).await?;
    assert_eq!(payouts, ruled(&mut theirs).await?);
    assert!(payouts[0].units() > u128::from(STAKE) && payouts[1] == Amount::ZERO, "{payouts:?}");
    paid(&world, &mut players, &payouts).await?;
    assert_eq!(players[0].client.look(|session| session.open().count()).await?, 0);
    world.server.shutdown().await;
    Ok(())
}

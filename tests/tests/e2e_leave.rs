//! Exits: what a player takes along, and what it cannot leave behind.

use matchlock::{
    chain::CallError,
    client::{ClientError, MatchEvent},
    game::{Amount, Seat},
    wire::{Refusal, TableSpec, ToServer},
};
use matchlock_tests::{
    audit::results,
    scene::{
        bankroll, clients, exit, finish_exit, first_wins, pocket, postcard_u8, scripted, sit, stake, travel,
        two_players, world_apart,
    },
    tap::{Frame, Tap, Verdict},
    world::{Failure, Plan, Played, World, eventually, play_match, play_seat},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_leave_with_everything_when_the_operator_has_vanished() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world_apart(&folder).await?;
    let mut players = two_players(&world).await?;
    let rules = world.game("pig")?;
    let mut played = Vec::new();
    for seed in 1..3 {
        played.push(play_match(&clients(&players), &rules, stake(), seed).await?);
    }
    for player in &players {
        player.at_rest().await?;
    }
    let results = results(&played);

    let dead = world.kill().await;
    for player in &mut players {
        exit(player, true).await?;
        let early = player.wallet.finish_exit(player.client.player()).await;
        assert!(matches!(early, Err(CallError::Refused(_))), "{early:?}");
    }
    travel(&dead.bank, u64::from(dead.bank.info().exit_window) + 1).await?;
    for player in &mut players {
        let wallet = finish_exit(player).await?;
        assert_eq!(wallet, player.should_have(results[&player.client.account()]));
    }
    Ok(())
}

/// Trace 20 of section 11.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loser_that_leaves_after_the_operators_death_leaves_its_loss_behind() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world_apart(&folder).await?;
    let mut players = two_players(&world).await?;
    let rules = world.game("tictactoe")?;
    let played = [first_wins(&players, &rules).await?];
    let pool = world.bank.pool().await?;
    let loser = players[1].client.account();
    // R6.5: the operator gave the winner the loser's pair while it lived.
    let pairs = eventually("the loser's pair", async || {
        let pairs = players[0].client.look(|session| session.opponents().copied().collect::<Vec<_>>()).await?;
        let received = players[0].client.look(|session| session.receipt()).await?.is_some();
        Ok((received && pairs.iter().any(|pair| pair.player.account() == loser)).then_some(pairs))
    })
    .await?;
    let results = results(&played);

    let dead = world.kill().await;
    exit(&mut players[1], false).await?;
    let untouched = dead.bank.account(loser).await?;
    assert_eq!(untouched.payable(), bankroll(), "the chain knows of no loss yet");
    let outcome = players[0].wallet.settle_signed(&pairs).await?;
    players[0].paid(&outcome);
    exit(&mut players[0], true).await?;
    travel(&dead.bank, u64::from(dead.bank.info().exit_window) + 1).await?;
    for player in &mut players {
        let wallet = finish_exit(player).await?;
        assert_eq!(wallet, player.should_have(results[&player.client.account()]));
    }
    // The loser paid, not the pool: what is more in it now is the fee.
    let fee = -results.values().sum::<i128>();
    assert!(fee > 0);
    assert_eq!(dead.bank.pool().await?.equity.signed(), pool.equity.signed() + fee);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loser_that_exits_without_signing_pays_all_the_same() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let tune = Some((|settings| settings.statement_grace = 0) as fn(&mut matchlock_server::Settings));
    let world = World::start(Plan { tune, ..Plan::quick(folder.path()) }).await?;
    let tap = Tap::before(world.server.url()).await?;
    let winner = world.player(0, bankroll(), pocket()).await?;
    let loser = world.newcomer(1, bankroll(), pocket()).await?.connect(tap.url()).await?;
    let mut players = vec![winner, loser];
    tap.rule(|frame| match frame {
        Frame::Up(ToServer::Statement { .. }) => Verdict::Lose,
        _ => Verdict::Pass,
    });
    let played = [first_wins(&players, &world.game("tictactoe")?).await?];
    let results = results(&played);
    exit(&mut players[1], false).await?;
    // Nobody tells the server to.
    let loser = players[1].client.account();
    eventually("the result on the chain", async || {
        let record = world.bank.account(loser).await?;
        Ok((record.equity() == bankroll().signed() + results[&loser]).then_some(()))
    })
    .await?;
    travel(&world.bank, u64::from(world.bank.info().exit_window) + 1).await?;
    assert_eq!(finish_exit(&mut players[1]).await?, players[1].should_have(results[&loser]));
    world.server.shutdown().await;
    Ok(())
}

/// Trace 5 of section 11, with a server that is awake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_that_exits_in_mid_match_leaves_its_stake_behind_until_the_match_has_ended() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let tune = Some((|settings| settings.statement_grace = 0) as fn(&mut matchlock_server::Settings));
    let world = World::start(Plan { tune, ..Plan::quick(folder.path()) }).await?;
    let mut players = two_players(&world).await?;
    let rules = world.game("tictactoe")?;
    let (first, second) = sit(&players[0].client, &players[1].client, &rules).await?;
    let (first, mut second) = (first.opened().await?, second.opened().await?);
    let leaver = players[1].client.account();
    exit(&mut players[1], false).await?;
    eventually("the locked stake", async || Ok((world.bank.account(leaver).await?.locked == stake()).then_some(())))
        .await?;
    travel(&world.bank, u64::from(world.bank.info().exit_window) + 1).await?;
    let early = finish_exit(&mut players[1]).await?;
    assert_eq!(early, players[1].should_have(-stake().signed()), "all but the stake");

    // The match goes on where it stood, and is lost: the stake is the winner's.
    let other = tokio::spawn(play_seat(first, scripted(Seat(0))));
    for cell in [3, 4] {
        eventually("the position", async || Ok(second.my_position().map(drop))).await?;
        second.play(postcard_u8(cell)).await?;
    }
    while !matches!(second.event().await.ok_or("the client closed")?, MatchEvent::Concluded) {}
    let results = results(&[Played { transcript: other.await??, moves: 5, signatures: 0 }]);
    eventually("the loss on the chain", async || {
        let record = world.bank.account(leaver).await?;
        Ok((record.equity() == 0 && record.locked.units() == 0).then_some(()))
    })
    .await?;
    let nothing = players[1].wallet.finish_exit(players[1].client.player()).await;
    assert!(matches!(nothing, Err(CallError::Refused(_))), "{nothing:?}");
    let worth = bankroll().signed() + results[&players[0].client.account()];
    players[0].client.until_available(Amount::new(worth.unsigned_abs())?).await?;
    players[0].withdraw_all().await?;
    let won = results[&players[0].client.account()];
    assert_eq!(world.bank.rpc().balance(players[0].owner).await?, players[0].should_have(won));
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_leaves_sits_at_no_table() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(Plan::quick(folder.path())).await?;
    let mut players = two_players(&world).await?;
    let rules = world.game("pig")?;
    let spec = TableSpec { rules: rules.id(), seats: 2, stake: stake(), clock: 60, private: false };
    let mut seating = players[0].client.create(spec.clone()).await?;
    seating.table().await?;
    assert_eq!(players[1].client.tables(None).await?.len(), 1);
    exit(&mut players[0], false).await?;
    let unseated = seating.opened().await.map(|game| game.id());
    assert!(matches!(unseated, Err(ClientError::Cancelled)), "{unseated:?}");
    assert_eq!(players[1].client.tables(None).await?, []);
    let refused = players[0].client.create(spec).await?.table().await;
    assert!(matches!(refused, Err(ClientError::Refused(Refusal::Exiting))), "{refused:?}");
    world.server.shutdown().await;
    Ok(())
}

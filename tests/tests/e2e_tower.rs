//! Watchtowers on the real contracts: who is away is not robbed (section 7, R3.7).

use matchlock::{
    client::{Match, Watchtower},
    dispute::{Case, Docket},
    entrust::Held,
    game::Amount,
};
use matchlock_server::tower::Tower;
use matchlock_tests::{
    court::{Site, entrusting, holds, open, play, won},
    scene::{bankroll, exit, finish_exit, stake, travel, travel_to, world_apart},
    world::{Dead, Failure, PlayerClient, Wallet, World, eventually},
};

/// Two players, the first of whom has towers; its opponent is about to lose and shows the court an old state, when the first player and
/// the server are gone.
struct Robbery {
    site: Site,
    dead: Dead,
    case: Case,
    victim: PlayerClient,
    robber: PlayerClient,
    _folder: tempfile::TempDir,
}

impl Robbery {
    /// `towers` are those that are there while the match is played.
    async fn prepare(folder: tempfile::TempDir, world: World, towers: &[&Tower]) -> Result<Robbery, Failure> {
        let site = Site::of(&world);
        let urls: Vec<String> = towers.iter().map(|tower| tower.url()).collect();
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        let (victim, robber) = (entrusting(&world, 0, &urls).await?, entrusting(&world, 1, &[]).await?);
        let (mine, theirs) = open(&world, &victim.client, &robber.client).await?;
        // Seat 0 is about to win, and it is seat 1's turn.
        for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1)] {
            play(game, cell).await?;
        }
        for tower in towers {
            holds(tower, &mine, 3).await?;
        }
        let case = Case::new(mine.transcript().await?, mine.rules())?;
        let dead = world.kill().await;
        Ok(Robbery { site, dead, case, victim, robber, _folder: folder })
    }

    fn bank(&self) -> &Wallet {
        &self.dead.bank
    }

    async fn docket(&self) -> Result<Option<Docket>, Failure> {
        Ok(self.bank().docket(self.case.signed().id, 0).await?)
    }

    /// The robber shows turn 2, after which it was the victim's turn; nobody but a tower is awake.
    async fn challenge(&mut self) -> Result<Docket, Failure> {
        let guarantee = self.case.guarantee().ok_or("a guarantee")?;
        let shown = self.case.up_to(2).evidence();
        let challenged = self.robber.wallet.challenge(self.case.terms(), guarantee, shown).await?;
        self.robber.paid(&challenged);
        self.docket().await?.ok_or_else(|| "a docket".into())
    }

    async fn answered(&self) -> Result<Docket, Failure> {
        eventually("the tower's answer", async || Ok(self.docket().await?.filter(|docket| docket.turn() == 3))).await
    }

    /// The dispute has ended with the victim's win, and both take home what is theirs.
    async fn ends(mut self) -> Result<(), Failure> {
        let until = self.docket().await?.ok_or("a docket")?.until();
        travel_to(self.bank(), until + 1).await?;
        let id = self.case.signed().id;
        eventually("the outcome", async || Ok(self.bank().is_concluded(id).await?.then_some(()))).await?;
        assert_eq!(self.docket().await?, None);
        for player in [&mut self.victim, &mut self.robber] {
            exit(player, false).await?;
        }
        travel(&self.dead.bank, u64::from(self.dead.bank.info().exit_window) + 1).await?;
        for (player, delta) in [(&mut self.victim, won()), (&mut self.robber, -stake().signed())] {
            let wallet = finish_exit(player).await?;
            assert_eq!(wallet, player.should_have(delta));
        }
        Ok(())
    }
}

/// Almost the end of the docket's window.
async fn late(bank: &Wallet, docket: &Docket) -> Result<(), Failure> {
    travel_to(bank, docket.until() - 5).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tower_answers_a_stale_challenge_when_server_and_victim_are_away() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world_apart(&folder).await?;
    let site = Site::of(&world);
    let tower = site.tower(&folder.path().join("tower"), &site.funded().await?).await?;
    let mut scene = Robbery::prepare(folder, world, &[&tower]).await?;
    let docket = scene.challenge().await?;
    assert_eq!(docket.turn(), 2);
    late(scene.bank(), &docket).await?;
    scene.answered().await?;
    scene.ends().await?;
    tower.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tower_that_was_killed_remembers_what_it_was_entrusted_with() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world_apart(&folder).await?;
    let site = Site::of(&world);
    let (home, key) = (folder.path().join("tower"), site.funded().await?);
    let tower = site.tower(&home, &key).await?;
    let mut scene = Robbery::prepare(folder, world, &[&tower]).await?;
    // Once before the challenge, and once when it has seen it.
    tower.kill().await;
    let docket = scene.challenge().await?;
    let tower = scene.site.tower(&home, &key).await?;
    assert_eq!(tower.turn(scene.case.signed().id), Some(3));
    let watchtower = Watchtower::new(&tower.url())?;
    eventually("the dispute at the tower", async || Ok((watchtower.disputes().await?.len() == 1).then_some(())))
        .await?;
    tower.kill().await;
    late(scene.bank(), &docket).await?;
    let tower = scene.site.tower(&home, &key).await?;
    scene.answered().await?;
    scene.ends().await?;
    tower.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_towers_one_is_enough() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world_apart(&folder).await?;
    let site = Site::of(&world);
    let first = site.tower(&folder.path().join("first"), &site.funded().await?).await?;
    let second = site.tower(&folder.path().join("second"), &site.funded().await?).await?;
    let mut scene = Robbery::prepare(folder, world, &[&first, &second]).await?;
    first.kill().await;
    let docket = scene.challenge().await?;
    late(scene.bank(), &docket).await?;
    scene.answered().await?;
    scene.ends().await?;
    second.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_towers_that_answer_at_once_do_no_harm() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world_apart(&folder).await?;
    let site = Site::of(&world);
    let first = site.tower(&folder.path().join("first"), &site.funded().await?).await?;
    let second = site.tower(&folder.path().join("second"), &site.funded().await?).await?;
    let mut scene = Robbery::prepare(folder, world, &[&first, &second]).await?;
    let docket = scene.challenge().await?;
    late(scene.bank(), &docket).await?;
    let answered = scene.answered().await?;
    // Whoever was second had its call refused, and nothing newer to say.
    let settled: Vec<_> = [&first, &second].map(|tower| tower.url()).into();
    for url in settled {
        let watchtower = Watchtower::new(&url)?;
        eventually("the same docket at both", async || {
            Ok(watchtower.disputes().await?.iter().any(|open| open.turn == 3).then_some(()))
        })
        .await?;
    }
    assert_eq!(scene.docket().await?, Some(answered));
    scene.ends().await?;
    first.shutdown().await;
    second.shutdown().await;
    Ok(())
}

/// Everybody signed the end of a match that seat 0 won; the loser's statement is with the winner's towers.
async fn finished(world: &World, winner: &PlayerClient, loser: &PlayerClient) -> Result<(Match, Match), Failure> {
    let (mine, theirs) = open(world, &winner.client, &loser.client).await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1), (&theirs, 4), (&mine, 2)] {
        play(game, cell).await?;
    }
    for player in [winner, loser] {
        player.at_rest().await?;
    }
    Ok((mine, theirs))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loser_that_exits_with_an_old_receipt_pays_by_the_towers_hand() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world_apart(&folder).await?;
    let site = Site::of(&world);
    let tower = site.tower(&folder.path().join("tower"), &site.funded().await?).await?;
    let (mut winner, mut loser) = (entrusting(&world, 0, &[&tower.url()]).await?, entrusting(&world, 1, &[]).await?);
    finished(&world, &winner, &loser).await?;
    let account = loser.client.account();
    eventually("the loser's statement", async || {
        let pairs = winner.client.look(|session| session.opponents().copied().collect::<Vec<_>>()).await?;
        Ok(pairs.iter().any(|pair| pair.player.account() == account).then_some(()))
    })
    .await?;
    let watchtower = Watchtower::new(&tower.url())?;
    let pair = winner.client.look(move |session| session.opponents().copied().collect::<Vec<_>>()).await?;
    let pair = *pair.iter().find(|pair| pair.player.account() == account).ok_or("the loser's pair")?;
    // The client has sent it, or is about to; the same again does no harm.
    let held = watchtower.entrust(&matchlock::entrust::Entrust::Pair(pair)).await?;
    assert!(matches!(held, Held::Pair { account: of, .. } if of == account), "{held:?}");
    let dead = world.kill().await;

    exit(&mut loser, false).await?;
    assert_eq!(dead.bank.account(account).await?.payable(), bankroll(), "the chain knows of no loss yet");
    let window = u64::from(dead.bank.info().exit_window);
    travel(&dead.bank, window * 7 / 10).await?;
    eventually("the loss on the chain", async || {
        Ok((dead.bank.account(account).await?.payable() == bankroll().checked_sub(stake()).unwrap_or_default())
            .then_some(()))
    })
    .await?;
    exit(&mut winner, true).await?;
    travel(&dead.bank, window + 1).await?;
    for (player, delta) in [(&mut winner, won()), (&mut loser, -stake().signed())] {
        let wallet = finish_exit(player).await?;
        assert_eq!(wallet, player.should_have(delta));
    }
    tower.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_that_exits_in_mid_match_leaves_its_stake_locked_by_the_tower() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world_apart(&folder).await?;
    let site = Site::of(&world);
    let tower = site.tower(&folder.path().join("tower"), &site.funded().await?).await?;
    let (mut stays, mut leaves) = (entrusting(&world, 0, &[&tower.url()]).await?, entrusting(&world, 1, &[]).await?);
    let (mine, theirs) = open(&world, &stays.client, &leaves.client).await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1)] {
        play(game, cell).await?;
    }
    holds(&tower, &mine, 3).await?;
    let case = Case::new(mine.transcript().await?, mine.rules())?;
    let dead = world.kill().await;
    exit(&mut leaves, false).await?;
    let account = leaves.client.account();
    // Its opponent takes it to the court, and sleeps; the dispute outlives the exit window's end (R7.14).
    let guarantee = case.guarantee().ok_or("a guarantee")?;
    let challenged = stays.wallet.challenge(case.terms(), guarantee, case.signed().evidence()).await?;
    stays.paid(&challenged);
    let window = u64::from(dead.bank.info().exit_window);
    travel(&dead.bank, window * 7 / 10).await?;
    eventually("the outcome, or the lock before it", async || {
        let record = dead.bank.account(account).await?;
        let is_over = dead.bank.is_concluded(case.signed().id).await?;
        Ok((is_over || record.locked == stake()).then_some(()))
    })
    .await?;
    eventually("the outcome", async || Ok(dead.bank.is_concluded(case.signed().id).await?.then_some(()))).await?;
    exit(&mut stays, false).await?;
    travel(&dead.bank, window + 1).await?;
    for (player, delta) in [(&mut stays, won()), (&mut leaves, -stake().signed())] {
        let wallet = finish_exit(player).await?;
        assert_eq!(wallet, player.should_have(delta));
    }
    tower.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_a_reorganisation_undoes_is_given_again() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world_apart(&folder).await?;
    let site = Site::of(&world);
    let tower = site.tower(&folder.path().join("tower"), &site.funded().await?).await?;
    let mut scene = Robbery::prepare(folder, world, &[&tower]).await?;
    let before = scene.challenge().await?;
    late(scene.bank(), &before).await?;
    scene.answered().await?;
    // The block with the answer goes; the transaction with it.
    undo(scene.bank(), 1).await?;
    scene.answered().await?;
    scene.ends().await?;
    tower.shutdown().await;
    Ok(())
}

/// Replaces the newest blocks with empty ones.
async fn undo(bank: &Wallet, blocks: u64) -> Result<(), Failure> {
    use matchlock::chain::Provider as _;
    bank.rpc().0.request("anvil_reorg", serde_json::json!([blocks, []])).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tower_that_was_away_is_told_when_it_is_back() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world_apart(&folder).await?;
    let site = Site::of(&world);
    let (home, key) = (folder.path().join("tower"), site.funded().await?);
    let tower = site.tower(&home, &key).await?;
    let (addr, url) = (tower.addr(), tower.url());
    let (first, second) = (entrusting(&world, 0, &[&url]).await?, entrusting(&world, 1, &[]).await?);
    let (mine, theirs) = open(&world, &first.client, &second.client).await?;
    play(&mine, 0).await?;
    holds(&tower, &mine, 1).await?;
    tower.shutdown().await;
    for (game, cell) in [(&theirs, 3), (&mine, 1)] {
        play(game, cell).await?;
    }
    let mut config = matchlock_server::tower::TowerConfig::new(&home, site.chain(key));
    config.listen = addr;
    let tower = site.tower_with(config).await?;
    holds(&tower, &mine, 3).await?;
    assert!(first.client.account_view().await?.available < Amount::MAX, "the client plays on");
    world.server.shutdown().await;
    tower.shutdown().await;
    Ok(())
}

//! Arbiters on the real contracts: they agree without talking to each other, and nobody has to ask them (R7.9, R7.10).

use alloy_primitives::{Address, U256, keccak256};
use alloy_sol_types::SolCall;
use matchlock::{
    abi::{Court, Ruling, State},
    client::{TowerError, Watchtower},
    dispute::{self, Case, Counsel, Dispute, Docket, Moment, Motion, Phase, Replay},
    entrust::{EntrustError, OpenDispute},
    game::{Amount, Seat},
    sign::{Key, Signer},
    wire::Turn,
};
use matchlock_server::{StartError, arbiter::Arbiter, tower::Tower};
use matchlock_tests::{
    court::{Site, call, entrusting, holds, open, play, won},
    scene::{STAKE, exit, finish_exit, postcard_u8, stake, travel, travel_to},
    world::{Dead, Failure, Plan, PlayerClient, World, chain, eventually},
};

/// The bond of these worlds' contests.
const BOND: u64 = 1_000_000;

/// A match whose first seat has signed a third turn that gives it the whole pot. The server is gone, a tower holds the first two turns,
/// and two of three arbiters have to agree.
struct Cheated {
    site: Site,
    dead: Dead,
    /// What was signed before the cheat.
    case: Case,
    /// With the forged turn.
    forged: Case,
    cheat: PlayerClient,
    honest: PlayerClient,
    tower: Tower,
    arbiters: Vec<Key>,
    folder: tempfile::TempDir,
}

impl Cheated {
    async fn prepare() -> Result<Cheated, Failure> {
        let folder = tempfile::tempdir()?;
        let mut arbiters = (0..3).map(|_| Key::random()).collect::<Result<Vec<_>, _>>()?;
        arbiters.sort_by_key(Signer::address);
        let rpc = Some(chain().await?);
        let seats: Vec<Address> = arbiters.iter().map(Signer::address).collect();
        let plan = Plan { rpc, settle_age: 10_000, arbiters: (seats, 2), ..Plan::quick(folder.path()) };
        let world = World::start(plan).await?;
        let site = Site::of(&world);
        for key in &arbiters {
            site.fund(key).await?;
        }
        let tower = site.tower(&folder.path().join("tower"), &site.funded().await?).await?;
        let (cheat, honest) = (entrusting(&world, 0, &[]).await?, entrusting(&world, 1, &[&tower.url()]).await?);
        let (theirs, mine) = open(&world, &cheat.client, &honest.client).await?;
        for (game, cell) in [(&theirs, 0), (&mine, 3)] {
            play(game, cell).await?;
        }
        holds(&tower, &mine, 2).await?;
        let (mut transcript, rules) = (mine.transcript().await?, mine.rules().clone());
        let case = Case::new(transcript.clone(), &rules)?;
        let dead = world.kill().await;

        // Its own client would not sign this, so it is made by hand.
        let signed = case.signed();
        let mut replay = Replay::new(signed.id, case.terms(), &*rules)?;
        for turn in signed.turns {
            replay.follow(&turn.state, &turn.action)?;
        }
        let (action, placed) = rules.compose(replay.position(), Seat(0), postcard_u8(1), &|_| None)?;
        let action = action.encode();
        let mut state = State::after(3, replay.state().hash(signed.id), keccak256(&action), &placed);
        state.payouts = vec![Amount::from_u64(2 * STAKE), Amount::ZERO];
        let signature = cheat.key.sign(transcript.domain.digest(state.hash(signed.id).0))?;
        transcript.turns.push(Turn { state, action, signature });
        let forged = Case::new(transcript, &rules)?;
        Ok(Cheated { site, dead, case, forged, cheat, honest, tower, arbiters, folder })
    }

    async fn arbiter(&self, n: usize, sources: Vec<String>) -> Result<Arbiter, Failure> {
        self.site.arbiter(&self.folder.path().join(format!("arbiter-{n}")), &self.arbiters[n], sources).await
    }

    async fn docket(&self) -> Result<Docket, Failure> {
        Ok(self.dead.bank.docket(self.case.signed().id, 0).await?.ok_or("a docket")?)
    }

    async fn until(&self, phase: Phase) -> Result<Docket, Failure> {
        eventually("the docket", async || Ok(Some(self.docket().await?).filter(|docket| docket.phase() == phase))).await
    }

    /// The cheat shows the forged turn.
    async fn challenge(&mut self) -> Result<Dispute, Failure> {
        let guarantee = self.forged.guarantee().ok_or("a guarantee")?;
        let evidence = self.forged.up_to(3).evidence();
        let challenged = self.cheat.wallet.challenge(self.forged.terms(), guarantee, evidence.clone()).await?;
        self.cheat.paid(&challenged);
        Ok(Dispute::new(self.docket().await?, Some(dispute::shown(&evidence))))
    }

    /// A contest of the forged turn by a stranger with a bond, without the position and the move.
    async fn contest_without_a_step(&self, dispute: &Dispute) -> Result<(), Failure> {
        let counsel: Counsel<'_> = self.case.counsel();
        let now = dispute.docket().since();
        let plea = counsel.plead(dispute, Moment { now, passed: now }).ok_or("a plea")?;
        assert_eq!(plea.motion, Motion::Contest { turn: 3, bonded: true });
        let mut contest = Court::contestCall::abi_decode(&plea.calldata)?;
        (contest.position, contest.action) = Default::default();
        let (stranger, court) = (self.site.funded().await?, self.dead.bank.info().court);
        call(&self.site, &stranger, court, U256::from(BOND), contest.abi_encode()).await
    }

    /// What an arbiter lists.
    async fn listed(&self, arbiter: &Arbiter) -> Result<OpenDispute, Failure> {
        let at = Watchtower::new(&arbiter.url())?;
        let id = self.case.signed().id;
        eventually("the dispute at the arbiter", async || {
            Ok(at.disputes().await?.into_iter().find(|open| open.match_id == id))
        })
        .await
    }

    /// The window runs out, somebody ends the dispute, and both take home what is theirs.
    async fn ends(mut self, deltas: [i128; 2]) -> Result<(), Failure> {
        let id = self.case.signed().id;
        eventually("the outcome", async || Ok(self.dead.bank.is_concluded(id).await?.then_some(()))).await?;
        for player in [&mut self.cheat, &mut self.honest] {
            exit(player, false).await?;
        }
        travel(&self.dead.bank, u64::from(self.dead.bank.info().exit_window) + 1).await?;
        for (player, delta) in [&mut self.cheat, &mut self.honest].into_iter().zip(deltas) {
            let wallet = finish_exit(player).await?;
            assert_eq!(wallet, player.should_have(delta));
        }
        self.tower.shutdown().await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_three_arbiters_rule_on_an_illegal_header_with_one_silent_and_one_that_restarts() -> Result<(), Failure>
{
    let mut scene = Cheated::prepare().await?;
    let first = scene.arbiter(0, Vec::new()).await?;
    let second = scene.arbiter(1, Vec::new()).await?;
    second.kill().await;
    scene.challenge().await?;
    // The tower contests at once, and gives the step with it: no arbiter needs a transcript.
    scene.until(Phase::Contested).await?;
    eventually("the first one's word", async || Ok((scene.listed(&first).await?.testimonies.len() == 1).then_some(())))
        .await?;
    assert_eq!(scene.listed(&first).await?.verdict, Some(false));
    first.kill().await;
    let (first, second) = (scene.arbiter(0, Vec::new()).await?, scene.arbiter(1, Vec::new()).await?);
    let closed = scene.until(Phase::Closed).await?;
    assert_eq!((closed.turn(), closed.mover()), (2, Some(Seat(0))));
    travel_to(&scene.dead.bank, closed.until() + 1).await?;
    scene.ends([-stake().signed(), won()]).await?;
    first.shutdown().await;
    second.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arbiter_that_lies_decides_nothing_alone() -> Result<(), Failure> {
    let mut scene = Cheated::prepare().await?;
    let honest = scene.arbiter(0, Vec::new()).await?;
    scene.challenge().await?;
    scene.until(Phase::Contested).await?;
    let id = scene.case.signed().id;
    let forged = scene.forged.up_to(3);
    let top = forged.header(3).ok_or("turn 3")?.hash(id);
    let lie = Ruling { match_id: id, top, legal: true };
    let liar = &scene.arbiters[2];
    let signature = liar.sign(scene.forged.transcript().domain.digest(lie.struct_hash()))?;
    let testimony = Court::testifyCall { id: id.0, top: top.0, legal: true, signature: signature.0.to_vec().into() };
    call(&scene.site, liar, scene.dead.bank.info().court, U256::ZERO, testimony.abi_encode()).await?;
    eventually("both words", async || Ok((scene.listed(&honest).await?.testimonies.len() == 2).then_some(()))).await?;
    assert_eq!(scene.docket().await?.phase(), Phase::Contested, "one word against the other");
    // A second honest one settles it.
    let other = scene.arbiter(1, Vec::new()).await?;
    let closed = scene.until(Phase::Closed).await?;
    travel_to(&scene.dead.bank, closed.until() + 1).await?;
    scene.ends([-stake().signed(), won()]).await?;
    honest.shutdown().await;
    other.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_arbiter_can_know_all_are_silent_and_the_stakes_go_back() -> Result<(), Failure> {
    let mut scene = Cheated::prepare().await?;
    let idle = idle(&scene).await?;
    std::mem::replace(&mut scene.tower, idle).shutdown().await;
    let (first, second) = (scene.arbiter(0, Vec::new()).await?, scene.arbiter(1, Vec::new()).await?);
    let dispute = scene.challenge().await?;
    scene.contest_without_a_step(&dispute).await?;
    let contested = scene.until(Phase::Contested).await?;
    for arbiter in [&first, &second] {
        eventually("the contest at the arbiter", async || {
            Ok((scene.listed(arbiter).await?.contested == Some(3)).then_some(()))
        })
        .await?;
    }
    travel_to(&scene.dead.bank, contested.until() + 1).await?;
    for arbiter in [&first, &second] {
        let listed = scene.listed(arbiter).await?;
        assert_eq!((listed.verdict, listed.testimonies.len(), listed.held), (None, 0, None));
    }
    assert_eq!(scene.docket().await?, contested, "nobody has ruled");
    let header = scene.case.signed().header(2).ok_or("turn 2")?.clone();
    let ended = scene.honest.wallet.finalize(scene.case.terms(), &contested, &header).await?;
    scene.honest.paid(&ended);
    scene.ends([0, 0]).await?;
    first.shutdown().await;
    second.shutdown().await;
    Ok(())
}

/// A tower that was entrusted with nothing.
async fn idle(scene: &Cheated) -> Result<Tower, Failure> {
    scene.site.tower(&scene.folder.path().join("idle"), &scene.site.funded().await?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_contest_does_not_give_is_sent_to_one_arbiter_and_fetched_by_the_other() -> Result<(), Failure> {
    let mut scene = Cheated::prepare().await?;
    let entrusted = Watchtower::new(&scene.tower.url())?.transcript(scene.case.signed().id).await?;
    let entrusted = entrusted.ok_or("a transcript")?;
    let idle = idle(&scene).await?;
    std::mem::replace(&mut scene.tower, idle).shutdown().await;
    let first = scene.arbiter(0, Vec::new()).await?;
    let at = Watchtower::new(&first.url())?;
    let early = at.entrust(&entrusted).await;
    assert!(matches!(early, Err(TowerError::Refused(EntrustError::Over))), "not in dispute yet: {early:?}");
    let dispute = scene.challenge().await?;
    scene.contest_without_a_step(&dispute).await?;
    assert_eq!(scene.listed(&first).await?.match_id, scene.case.signed().id);
    at.entrust(&entrusted).await?;
    let second = scene.arbiter(1, vec![first.url()]).await?;
    let closed = scene.until(Phase::Closed).await?;
    assert_eq!((closed.turn(), closed.mover()), (2, Some(Seat(0))));
    travel_to(&scene.dead.bank, closed.until() + 1).await?;
    let header = scene.case.signed().header(2).ok_or("turn 2")?.clone();
    let ended = scene.honest.wallet.finalize(scene.case.terms(), &closed, &header).await?;
    scene.honest.paid(&ended);
    scene.ends([-stake().signed(), won()]).await?;
    first.shutdown().await;
    second.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_no_arbiters_is_told_so() -> Result<(), Failure> {
    let scene = Cheated::prepare().await?;
    let stranger = scene.site.funded().await?;
    let refused = scene.site.arbiter(&scene.folder.path().join("stranger"), &stranger, Vec::new()).await;
    let Err(error) = refused else { return Err("it started".into()) };
    let error = error.downcast::<StartError>()?;
    assert!(matches!(*error, StartError::NoArbiter(key) if key == stranger.address()), "{error}");
    scene.tower.shutdown().await;
    Ok(())
}

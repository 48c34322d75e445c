//! Rules that a contest brings along (R7.8): what clients sign of them, and what no amount of gas brings about.

use alloy_primitives::Address;
use matchlock::{
    abi::{Court, MatchTerms, Trial},
    budget::DisputeCall,
    chain::{CourtError, HttpProvider},
    client::{Client, ClientError, MemoryStore},
    dispute::Phase,
    game::BasisPoints,
    session::SessionError,
    wire::ToClient,
};
use matchlock_tests::{
    refereed,
    scene::{bankroll, pocket, sit},
    tap::{Frame, Tap, Verdict},
    trying::{Top, Trying},
    world::{Failure, Plan, World, chain},
};

type Forgery = fn(&mut MatchTerms);

async fn world(folder: &tempfile::TempDir, refereed: bool) -> Result<World, Failure> {
    World::start(Plan { refereed, ..Plan::quick(folder.path()) }).await
}

/// A judge of the server's choosing could find anything illegal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terms_with_another_referee_or_budget_than_the_rules_call_for_are_not_signed() -> Result<(), Failure> {
    let with: [Forgery; 4] = [
        |terms| terms.referee = Address::repeat_byte(7),
        |terms| terms.referee = Address::ZERO,
        |terms| terms.budget -= 1,
        |terms| terms.budget += 1,
    ];
    let without: [Forgery; 2] = [|terms| terms.referee = Address::repeat_byte(7), |terms| terms.budget = 1];
    for (refereed, forgeries) in [(true, &with[..]), (false, &without[..])] {
        let folder = tempfile::tempdir()?;
        let world = world(&folder, refereed).await?;
        let tap = Tap::before(world.server.url()).await?;
        let wary = world.newcomer(0, bankroll(), pocket()).await?.connect(tap.url()).await?;
        let other = world.player(1, bankroll(), pocket()).await?;
        let rules = world.game("tictactoe")?;
        for forge in forgeries.iter().copied() {
            tap.rule(move |frame| match frame {
                Frame::Down(ToClient::Proposal { table, terms, players }) => {
                    let (table, mut terms, players) = (*table, terms.clone(), players.clone());
                    forge(&mut terms);
                    Verdict::Instead(Box::new(Frame::Down(ToClient::Proposal { table, terms, players })))
                }
                _ => Verdict::Pass,
            });
            let (mine, _theirs) = sit(&wary.client, &other.client, &rules).await?;
            let refused = mine.opened().await.map(|game| game.id());
            let Err(ClientError::Session(SessionError::OtherReferee { expected, found })) = refused else {
                return Err(format!("{refused:?}").into());
            };
            assert_eq!(expected, Trial::of(&*rules, world.bank.info().referee));
            assert_ne!(expected, found);
        }
        world.server.shutdown().await;
    }
    Ok(())
}

/// The client knows the referee from the server, and asks its own node where it has one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_names_another_referee_than_the_chain_is_not_played_at() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = world(&folder, true).await?;
    let tap = Tap::before(world.server.url()).await?;
    tap.rule(|frame| match frame {
        Frame::Down(ToClient::Welcome(welcome)) => {
            let mut welcome = welcome.clone();
            welcome.referee = Address::repeat_byte(7);
            Verdict::Instead(Box::new(Frame::Down(ToClient::Welcome(welcome))))
        }
        _ => Verdict::Pass,
    });
    let newcomer = world.newcomer(0, bankroll(), pocket()).await?;
    let config = newcomer.config(tap.url(), MemoryStore::default()).with_chain(HttpProvider::new(world.rpc())?);
    let refused = Client::connect(config).await.map(|client| client.account());
    assert!(matches!(refused, Err(ClientError::OtherArena(_))), "{refused:?}");
    world.server.shutdown().await;
    Ok(())
}

/// Trace 18. For every gas limit from what a transaction takes before its first step to more than the rules may need: a contest of a
/// legal move never closes the case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_gas_limit_makes_a_legal_move_illegal() -> Result<(), Failure> {
    let rules = refereed::tictactoe(BasisPoints::ZERO);
    let trying = Trying::of(&chain().await?, &rules, 4, Top::Played).await?;
    let call = trying.contest(&*rules).await?;
    let (most, before) = (call.cost().gas + 20_000, trying.docket().await?);
    let mut tried = 0;
    let mut gas = 21_000;
    while gas < most {
        // Below the floor of its calldata the node takes no transaction at all (EIP-7623).
        let Some(after) = trying.attempt(&call, gas).await? else {
            gas += 4_001;
            continue;
        };
        assert_eq!(after, before, "with {gas} gas");
        tried += 1;
        gas += 101;
    }
    println!("{tried} limits up to {most}");
    assert!(tried > 300);
    assert!(matches!(trying.refused(&call).await?, CourtError::MoveIsLegal(_)));
    Ok(())
}

/// And that of an illegal one succeeds, or reverts and can be made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contest_with_too_little_gas_can_be_made_again() -> Result<(), Failure> {
    let rules = refereed::tictactoe(BasisPoints::ZERO);
    let trying = Trying::of(&chain().await?, &rules, 4, Top::Foul).await?;
    let call = trying.contest(&*rules).await?;
    let (most, before) = (call.cost().gas, trying.docket().await?);
    let mut needed = None;
    for gas in (21_000..=most).step_by(997).chain([most]) {
        let Some(after) = trying.attempt(&call, gas).await? else { continue };
        if after == before {
            assert_eq!(needed, None, "{gas} gas are too little");
            continue;
        }
        assert_eq!((after.phase(), after.turn()), (Phase::Closed, 3));
        needed = needed.or(Some(gas));
    }
    println!("{needed:?} of {most} gas are enough");
    assert!(needed.is_some());
    Ok(())
}

/// Other code than the terms name is no judge, and none at all is none either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contest_that_brings_other_rules_is_refused() -> Result<(), Failure> {
    let rules = refereed::tictactoe(BasisPoints::ZERO);
    let trying = Trying::of(&chain().await?, &rules, 4, Top::Played).await?;
    let right = trying.contest(&*rules).await?;
    let says_illegal = vec![0x5f, 0x5f, 0xfd];
    for code in [says_illegal, Vec::new(), vec![0; 49_152]] {
        let call = Court::contestCall { code: code.into(), ..right.clone() };
        let refusal = trying.refused(&call).await?;
        assert!(matches!(refusal, CourtError::WrongCode(_)), "{refusal:?}");
    }
    Ok(())
}

//! Rules that a contest brings along (R7.8): what clients sign of them, and what no amount of gas brings about.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use matchlock::{
    abi::{Court, MatchTerms, Trial},
    budget::DisputeCall,
    chain::{ArenaChain, BlockId, Call, CourtError, HttpProvider, LocalWallet, Provider, Revert},
    client::{Client, ClientError, MemoryStore},
    dispute::{Case, Docket, Phase, Replay},
    game::BasisPoints,
    rules::Rules,
    session::SessionError,
    sign::Signer,
    wire::ToClient,
};
use matchlock_server::chain::deploy_through;
use matchlock_tests::{
    refereed,
    scene::{bankroll, pocket, sit},
    table::{Table, key},
    tap::{Frame, Tap, Verdict},
    world::{Failure, Plan, Wallet, World, arena_config, chain},
};
use serde_json::json;

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

/// A court, and a dispute of a game that its referee judges.
struct Trying {
    arena: Wallet,
    case: Case,
}

impl Trying {
    /// Turn `turn` is on top of the dispute; it is a foul, or as it was played.
    async fn of(rules: &Arc<dyn Rules>, turn: usize, foul: bool) -> Result<Trying, Failure> {
        let rpc = chain().await?;
        let operator = key("operator", 0);
        let node = HttpProvider::new(&rpc)?;
        node.request("anvil_setBalance", json!([operator.address(), U256::from(10u128.pow(24))])).await?;
        let deployment = deploy_through(HttpProvider::new(&rpc)?, &operator, arena_config()).await?;
        let wallet = LocalWallet::new(HttpProvider::new(&rpc)?, operator);
        let arena = ArenaChain::connect(wallet, deployment.arena).await?;
        let far = arena.rpc().head().await?.timestamp.to::<u64>() + 1_000_000;
        let trial = Trial::of(&**rules, arena.info().referee);
        let mut proposals = Table::proposals(arena.domain(), rules, 2, 0, 1);
        for proposal in &mut proposals {
            let terms = &mut proposal.terms;
            (terms.referee, terms.budget, terms.open_by, terms.expiry) = (trial.referee, trial.budget, far, far);
        }
        let mut table = Table::of(proposals, rules);
        table.play_out(1);
        let transcript = match foul {
            true => table.with_foul(turn),
            false => table.channels[0].transcript().ok_or("an open match")?,
        };
        let case = Case::new(transcript, rules)?;
        let evidence = case.up_to(turn).evidence();
        arena.challenge(case.terms(), case.guarantee().ok_or("a guarantee")?, evidence).await?;
        Ok(Trying { arena, case })
    }

    async fn docket(&self) -> Result<Docket, Failure> {
        self.arena.docket(self.case.signed().id, 0).await?.ok_or_else(|| "no dispute".into())
    }

    /// The contest of the docket's top.
    async fn contest(&self, rules: &dyn Rules) -> Result<Court::contestCall, Failure> {
        let docket = self.docket().await?;
        let signed = self.case.up_to(docket.turn() as usize);
        let (last, before) = signed.turns.split_last().ok_or("a turn")?;
        let mut replay = Replay::new(signed.id, self.case.terms(), rules)?;
        for turn in before {
            replay.follow(&turn.state, &turn.action)?;
        }
        Ok(Court::contestCall {
            terms: self.case.terms().into(),
            trail: [docket.turn() - 1, docket.turn()]
                .iter()
                .filter_map(|turn| signed.header(*turn))
                .map(Into::into)
                .collect(),
            docket: (&docket).into(),
            code: rules.on_chain().ok_or("rules with code")?.code.to_vec().into(),
            position: replay.position().to_vec().into(),
            action: last.action.clone().into(),
        })
    }

    /// What becomes of it with this much gas: the docket afterwards, which is then as it was before again. `None`: no node takes it.
    async fn attempt(&self, call: &Court::contestCall, gas: u64) -> Result<Option<Docket>, Failure> {
        let (rpc, data) = (self.arena.rpc(), Bytes::from(call.abi_encode()));
        let (from, to) = (key("operator", 0).address(), self.arena.info().court);
        let sent = json!([{ "from": from, "to": to, "data": data, "gas": U256::from(gas) }]);
        // Every block takes a second, and the window is short.
        let before = rpc.0.request("evm_snapshot", json!([])).await?;
        let Ok(hash) = rpc.0.request("eth_sendTransaction", sent).await else { return Ok(None) };
        let hash = serde_json::from_value(hash)?;
        rpc.mined(hash, Duration::from_secs(60)).await?.ok_or("it was never mined")?;
        let docket = self.docket().await?;
        rpc.0.request("evm_revert", json!([before])).await?;
        Ok(Some(docket))
    }

    /// Why the court refuses it, with all the gas that there is.
    async fn refused(&self, call: &Court::contestCall) -> Result<CourtError, Failure> {
        let asked = Call::view(self.arena.info().court, call.abi_encode());
        let error = self.arena.rpc().call(&asked, BlockId::Latest).await.expect_err("it reverts");
        Ok(Revert::of(&error).and_then(|revert| revert.court()).ok_or("a refusal")?)
    }
}

/// Trace 18. For every gas limit from what a transaction takes before its first step to more than the rules may need: a contest of a
/// legal move never closes the case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_gas_limit_makes_a_legal_move_illegal() -> Result<(), Failure> {
    let rules = refereed::tictactoe(BasisPoints::ZERO);
    let trying = Trying::of(&rules, 4, false).await?;
    let call = trying.contest(&*rules).await?;
    let (most, before) = (call.cost().gas + 20_000, trying.docket().await?);
    let mut tried = 0;
    for gas in (21_000..most).step_by(997) {
        // Below the floor of its calldata the node takes no transaction at all (EIP-7623).
        let Some(after) = trying.attempt(&call, gas).await? else { continue };
        assert_eq!(after, before, "with {gas} gas");
        tried += 1;
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
    let trying = Trying::of(&rules, 4, true).await?;
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
    let trying = Trying::of(&rules, 4, false).await?;
    let right = trying.contest(&*rules).await?;
    let says_illegal = vec![0x5f, 0x5f, 0xfd];
    for code in [says_illegal, Vec::new(), vec![0; 49_152]] {
        let large = code.len() == 49_152;
        let call = Court::contestCall { code: code.into(), ..right.clone() };
        let refusal = trying.refused(&call).await?;
        let expected = match large {
            true => matches!(refusal, CourtError::TooLarge(_)),
            false => matches!(refusal, CourtError::WrongCode(_)),
        };
        assert!(expected, "{refusal:?}");
    }
    Ok(())
}

//! What the SDK shows a court, and what the real court makes of it (section 7).

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolCall;
use matchlock::{
    abi::Referee,
    chain::{ArenaChain, BlockId, Call, HttpProvider, LocalWallet, Provider},
    dispute::{Case, Docket, MAX_HEADERS, Phase},
    game::{Amount, BasisPoints, Seat},
    local::Dice,
    rules::{Action, Rules},
    sign::Signer,
};
use matchlock_server::chain::{CourtConfig, DeployConfig, deploy_through};
use matchlock_tests::{
    refereed::{self, Artifact},
    scene::travel_to,
    table::{Table, key},
    world::{Failure, Wallet, chain, dev_key},
};
use serde_json::json;

/// An arena with its court, whose operator is the tables'.
async fn arena() -> Result<Wallet, Failure> {
    let rpc = chain().await?;
    let operator = key("operator", 0);
    let node = HttpProvider::new(&rpc)?;
    node.request("anvil_setBalance", json!([operator_address(), U256::from(10u128.pow(20))])).await?;
    let court = CourtConfig { minimum: 60, patience: 600, bond: Amount::from_u64(1), quorum: 1, arbiters: Vec::new() };
    let config =
        DeployConfig { token: Address::ZERO, court: Some(court), exit_window: 3_600, salt: None, split: Vec::new() };
    let deployment = deploy_through(HttpProvider::new(&rpc)?, &operator, config).await?;
    Ok(ArenaChain::connect(LocalWallet::new(HttpProvider::new(&rpc)?, dev_key()), deployment.arena).await?)
}

fn operator_address() -> Address {
    key("operator", 0).address()
}

/// A whole match, of which parts are shown.
struct Played(Case);

impl Played {
    fn new(
        arena: &Wallet,
        rules: &Arc<dyn Rules>,
        seats: usize,
        seed: u64,
        times: [u64; 2],
    ) -> Result<Played, Failure> {
        let mut table = Table::open_until(arena.domain(), rules, seats, 0, seed, times);
        table.play_out(seed);
        let transcript = table.channels[0].transcript().ok_or("it was open")?;
        Ok(Played(Case::new(transcript, rules)?))
    }

    /// Shows the court what was signed up to a turn, in as many calls as it takes.
    async fn show(&self, arena: &Wallet, turns: usize) -> Result<Docket, Failure> {
        let signed = self.0.up_to(turns);
        let terms = self.0.terms();
        loop {
            let known = arena.docket(signed.id, 0).await?;
            match known {
                None => {
                    let guarantee = self.0.guarantee().ok_or("a guarantee")?;
                    arena.challenge(terms, guarantee, signed.evidence()).await?;
                }
                Some(docket) if docket.turn() == signed.top() => return Ok(docket),
                Some(docket) => {
                    let shown = signed.answer(&docket).ok_or("something newer")?;
                    arena.respond(terms, &docket, shown).await?;
                }
            }
        }
    }
}

async fn in_future(arena: &Wallet, seconds: u64) -> Result<u64, Failure> {
    Ok(arena.rpc().head().await?.timestamp.to::<u64>() + seconds)
}

/// Seeds are printed; a failure names its game, seats and seed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_signed_is_evidence_that_the_court_takes_and_the_newest_counts() -> Result<(), Failure> {
    let arena = arena().await?;
    let games = matchlock_demo::games(BasisPoints::new(250)?);
    let mut salt = 0;
    for rules in &games {
        for seats in [*rules.seats().start(), *rules.seats().end()] {
            for seed in 0..4u64 {
                salt += 1;
                let what = format!("{} with {seats} seats, seed {seed}", rules.name());
                println!("{what}");
                let far = in_future(&arena, 1_000_000).await?;
                let match_ = Played::new(&arena, rules, seats, 1_000 * salt + seed, [far, far])?;
                let all = match_.0.signed().top() as usize;
                let mut dice = Dice::new(salt);
                let mut shown = 0;
                for _ in 0..3 {
                    shown += dice.below((all - shown).min(2 * MAX_HEADERS) as u32 + 1) as usize;
                    let docket = match_.show(&arena, shown).await.map_err(|error| format!("{what}: {error}"))?;
                    let signed = match_.0.up_to(shown);
                    let top = signed.header(docket.turn()).ok_or("a header")?;
                    assert_eq!((docket.top(), docket.mover()), (top.hash(signed.id), top.mover()), "{what}");
                    assert_eq!((docket.turn() as usize, docket.phase()), (shown, Phase::Open), "{what}");
                    // What is older or the same is refused.
                    assert!(match_.0.up_to(shown).answer(&docket).is_none(), "{what}");
                }
                let (signed, terms) = (match_.0.up_to(shown), match_.0.terms());
                let docket = arena.docket(signed.id, 0).await?.ok_or("in dispute")?;
                let top = signed.header(docket.turn()).ok_or("a header")?;
                assert!(arena.finalize(terms, &docket, top).await.is_err(), "{what}: the window runs");
                travel_to(&arena, docket.until() + 1).await?;
                arena.finalize(terms, &docket, top).await?;
                assert!(arena.is_concluded(signed.id).await?, "{what}");
                assert_eq!(arena.docket(signed.id, 0).await?, None, "{what}");
            }
        }
    }
    Ok(())
}

/// R7.8: what judges on the chain against the rules in Rust, on random boards, stakes and fees; every fourth move illegal or so. Both
/// ways of tic-tac-toe: a contract for it alone, and rules that a contest brings along to the court's referee.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_referee_contract_says_of_every_move_what_the_rules_say() -> Result<(), Failure> {
    let arena = arena().await?;
    let (node, court) = (arena.rpc(), arena.info().referee);
    let artifact = Artifact::tictactoe();
    let from = dev_key().address();
    let sent = node.0.request("eth_sendTransaction", json!([{ "from": from, "data": artifact.bytecode }])).await?;
    let deployed = node.mined(serde_json::from_value(sent)?, Duration::from_secs(60)).await?;
    let alone = deployed.and_then(|receipt| receipt.contract_address).ok_or("a contract")?;
    let brought = refereed::tictactoe(BasisPoints::ZERO);
    let on_chain = brought.on_chain().ok_or("rules with code")?;

    let (mut legal, mut illegal) = (0, 0);
    for seed in 0..60u64 {
        let mut dice = Dice::new(seed);
        let fee = BasisPoints::new(dice.below(1_001) as u16)?;
        let games = matchlock_demo::games(fee);
        let rules = games.iter().find(|game| game.name() == "tictactoe").ok_or("tic-tac-toe")?;
        let mut stake = || Amount::new(u128::from(dice.below(u32::MAX)) << dice.below(60)).expect("below 2^92");
        let stakes = [stake(), stake()];
        let mut placed = rules.start(&stakes, &[B256::repeat_byte(1), B256::repeat_byte(2)])?;
        while let Some(mover) = placed.mover {
            let cell = dice.below(11) as u8;
            let mut action = Action::Play { play: vec![cell], link: None }.encode();
            if dice.below(6) == 0 {
                let at = dice.below(action.len() as u32) as usize;
                action[at] ^= 1 << dice.below(8);
            }
            let seat = if dice.below(6) == 0 { Seat(1 - mover.0) } else { mover };
            let question = Referee::judgeCall {
                rules: on_chain.hash,
                budget: U256::from(on_chain.budget),
                code: on_chain.code.to_vec().into(),
                position: placed.position.clone().into(),
                seat: seat.0,
                action: action.clone().into(),
            };
            let ours = rules.apply(&placed.position, seat, &action);
            for referee in [alone, court] {
                let what = format!("seed {seed}, seat {seat}, action {action:?} at {:?}", placed.position);
                let answer = node.call(&Call::view(referee, question.abi_encode()), BlockId::Latest).await?;
                let answer = Referee::judgeCall::abi_decode_returns(&answer)?;
                assert_eq!(answer.legal, ours.is_ok(), "{what}: {ours:?}");
                let Ok(next) = &ours else { continue };
                assert_eq!(answer.board, keccak256(&next.position), "{what}");
                assert_eq!(answer.mover, next.mover.map_or(255, |seat| seat.0), "{what}");
                let payouts: Vec<u128> = answer.payouts.iter().map(|payout| payout.to()).collect();
                assert_eq!(payouts, next.payouts.iter().map(|payout| payout.units()).collect::<Vec<_>>(), "{what}");
            }
            match ours {
                Ok(next) => (placed, legal) = (next, legal + 1),
                Err(_) => illegal += 1,
            }
        }
    }
    println!("{legal} legal and {illegal} illegal moves");
    assert!(legal > 300 && illegal > 100);
    Ok(())
}

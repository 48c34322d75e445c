//! What a dispute costs at most, by `matchlock::budget`, against receipts of the real court (section 7).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy_primitives::{Address, Bytes, U256};
use matchlock::{
    abi::{Court, Trial},
    budget::{BudgetError, Cost, DisputeCall, Excess, Limits, Place, TRANSACTION_CALLDATA, Worst, budget},
    chain::{ArenaChain, Call, HttpProvider, LocalWallet, Provider},
    channel::Input,
    dispute::{Case, Docket, MAX_HEADERS, Phase, Replay},
    game::{Amount, BasisPoints, Game, Next, Pot, Seat},
    local::{Bot, Dice},
    rules::{GameRules, Rules},
    sign::{Key, Signer},
};
use matchlock_demo::{
    Strength,
    tictactoe::{Noughts, TicTacToe},
};
use matchlock_server::chain::{CourtConfig, DeployConfig, deploy_through};
use matchlock_tests::{
    refereed::{self, Artifact},
    scene::travel_to,
    table::{Table, key},
    world::{Failure, Wallet, chain, ether},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

const BOND: u64 = 5;
const PATIENCE: u64 = 600;

/// An arena with its court, every seat's account paid in, a pool that can pay; and what its court's calls took.
struct Bench {
    arena: Wallet,
    operator: Key,
    salt: u64,
    /// For each call the most that its bound was above its receipt, in percent.
    slack: BTreeMap<&'static str, u64>,
}

impl Bench {
    async fn new() -> Result<Bench, Failure> {
        let rpc = chain().await?;
        let operator = key("operator", 0);
        let node = HttpProvider::new(&rpc)?;
        node.request("anvil_setBalance", json!([operator.address(), U256::from(ether(1_000).units())])).await?;
        let court = CourtConfig {
            minimum: 60,
            patience: PATIENCE as u32,
            bond: Amount::from_u64(BOND),
            quorum: 1,
            arbiters: Vec::new(),
        };
        let config = DeployConfig {
            token: Address::ZERO,
            court: Some(court),
            exit_window: 3_600,
            salt: None,
            split: Vec::new(),
        };
        let deployment = deploy_through(HttpProvider::new(&rpc)?, &operator, config).await?;
        let wallet = LocalWallet::new(HttpProvider::new(&rpc)?, operator.clone());
        let arena = ArenaChain::connect(wallet, deployment.arena).await?;
        arena.fund(ether(10)).await?;
        for seat in 0..8 {
            arena.deposit(Table::player(seat).account(), ether(1)).await?;
        }
        Ok(Bench { arena, operator, salt: 0, slack: BTreeMap::new() })
    }

    /// A table in this arena that can be disputed at once, and doubted (R7.12) where `void` says so.
    async fn table(&mut self, rules: &Arc<dyn Rules>, seats: usize, void: bool) -> Result<Table, Failure> {
        self.salt += 1;
        let now = self.arena.rpc().head().await?.timestamp.to::<u64>();
        let open_by = if void { now - 1 } else { now + 1_000_000 };
        Ok(Table::open_until(self.arena.domain(), rules, seats, 0, self.salt, [open_by, now + 1_000_000]))
    }

    fn case(&self, table: &Table) -> Result<Case, Failure> {
        let channel = &table.channels[0];
        Ok(Case::new(channel.transcript().ok_or("it was open")?, channel.rules())?)
    }

    /// Makes a call with exactly the gas that its bound allows, and compares.
    async fn pay<C: DisputeCall>(&mut self, name: &'static str, call: &C, value: u64) -> Result<(u64, Cost), Failure> {
        let cost = call.cost();
        let data: Bytes = call.abi_encode().into();
        assert_eq!(cost.bytes, data.len() as u64);
        let (rpc, court) = (self.arena.rpc(), self.arena.info().court);
        let sent = json!([{
            "from": self.operator.address(), "to": court, "data": data, "value": U256::from(value),
            "gas": U256::from(cost.gas),
        }]);
        let hash = serde_json::from_value(rpc.0.request("eth_sendTransaction", sent).await?)?;
        let receipt = rpc.mined(hash, Duration::from_secs(60)).await?.ok_or("it was never mined")?;
        if !receipt.succeeded() {
            let call = Call { from: None, to: Some(court), data, value: U256::from(value) };
            return Err(format!("{name}: {:?}", rpc.why_reverted(&call, receipt.block_number.to()).await).into());
        }
        let used = receipt.gas_used.to::<u64>();
        let zeros = call.abi_encode().iter().filter(|byte| **byte == 0).count() as u64;
        let execution = used - 21_000 - 4 * zeros - 16 * (cost.bytes - zeros);
        println!("{name}\tused {used}\tbound {}\texecution {execution}\tbounded {}", cost.gas, call.execution());
        assert!(used <= cost.gas, "{name} took {used} gas, and its bound is {}", cost.gas);
        let slack = self.slack.entry(name).or_default();
        *slack = (*slack).max((cost.gas - used) * 100 / used);
        Ok((used, cost))
    }

    async fn docket(&self, case: &Case) -> Result<Docket, Failure> {
        self.arena.docket(case.signed().id, 0).await?.ok_or_else(|| "no dispute".into())
    }

    async fn challenge(&mut self, case: &Case, turns: u32) -> Result<(), Failure> {
        let guarantee = case.guarantee().ok_or("a guarantee")?.0.to_vec().into();
        let shown = case.up_to(turns as usize).evidence();
        self.pay("challenge", &Court::challengeCall { terms: case.terms().into(), guarantee, shown }, 0).await?;
        Ok(())
    }

    /// Goes on from the docket's top to this turn, or shows everything that was signed up to it.
    async fn respond(&mut self, case: &Case, turns: u32) -> Result<(), Failure> {
        let (docket, signed) = (self.docket(case).await?, case.up_to(turns as usize));
        // Where both do, now the one and now the other.
        let goes_on = docket.phase() == Phase::Open && (turns.is_multiple_of(2) || signed.agreed() <= docket.turn());
        let shown = if !goes_on { signed.evidence() } else { signed.answer(&docket).ok_or("something newer")? };
        let call = Court::respondCall { terms: case.terms().into(), docket: (&docket).into(), shown, fork: vec![] };
        self.pay("respond", &call, 0).await?;
        Ok(())
    }

    async fn contest(&mut self, case: &Case) -> Result<(), Failure> {
        let (docket, signed) = (self.docket(case).await?, case.signed());
        let base = case.up_to(docket.turn() as usize).agreed();
        if base == docket.turn() {
            return Ok(());
        }
        let trail = (base..=docket.turn()).filter_map(|turn| signed.header(turn)).map(Into::into).collect();
        let (code, position, action) = Default::default();
        let terms = case.terms().into();
        let call = Court::contestCall { terms, docket: (&docket).into(), trail, code, position, action };
        self.pay("contest", &call, BOND).await?;
        Ok(())
    }

    async fn finalize(&mut self, case: &Case) -> Result<(), Failure> {
        let (docket, signed) = (self.docket(case).await?, case.signed());
        travel_to(&self.arena, docket.until() + 1).await?;
        let top = signed.header(docket.turn()).ok_or("a header")?.into();
        let call = Court::finalizeCall { terms: case.terms().into(), docket: (&docket).into(), top };
        self.pay("finalize", &call, 0).await?;
        Ok(())
    }

    async fn doubt(&mut self, table: &Table, case: &Case) -> Result<(), Failure> {
        let id = case.signed().id.0;
        let signers = table.keys.iter().chain([&table.operator]);
        let signatures = signers.map(|key| key.sign(id).map(|signature| signature.0)).collect::<Result<Vec<_>, _>>()?;
        let owners = vec![Table::player(0).owner; table.keys.len()];
        let call = Court::voidCall { terms: case.terms().into(), owners, signatures: signatures.concat().into() };
        self.pay("void", &call, 0).await?;
        Ok(())
    }
}

/// Every kind of call, for every demo game with as few seats as it has, as many, and some between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_of_a_dispute_costs_more_than_its_bound_and_no_bound_is_a_lazy_one() -> Result<(), Failure> {
    let games = matchlock_demo::games(BasisPoints::new(250)?);
    let mut slack = BTreeMap::new();
    for rules in &games {
        let (least, most) = (*rules.seats().start(), *rules.seats().end());
        for seats in std::collections::BTreeSet::from([least, least.midpoint(most), most]) {
            let mut bench = Bench::new().await?;
            for seed in 0..2 {
                println!("{} with {seats} seats, seed {seed}", rules.name());
                let mut dice = Dice::new(seed);
                let mut table = bench.table(rules, seats, false).await?;
                table.play_out(seed);
                let case = bench.case(&table)?;
                let all = case.signed().top();
                let some = dice.below(all.min(40));
                bench.challenge(&case, some).await?;
                bench.respond(&case, some + 1).await?;
                let more = some + 1 + dice.below(all - some);
                if more > some + 1 {
                    bench.respond(&case, more).await?;
                }
                match seed % 2 {
                    0 => bench.finalize(&case).await?,
                    _ => bench.contest(&case).await?,
                }
                let mut table = bench.table(rules, seats, true).await?;
                table.play_out(seed);
                let case = bench.case(&table)?;
                let all = case.signed().top();
                bench.doubt(&table, &case).await?;
                bench.respond(&case, seats as u32 + dice.below(all - seats as u32)).await?;
            }
            for (call, percent) in bench.slack {
                let most: &mut u64 = slack.entry(call).or_default();
                *most = (*most).max(percent);
            }
        }
    }
    println!("bounds above their receipts by at most so many percent: {slack:?}");
    assert_eq!(slack.len(), 5);
    assert!(slack.values().all(|percent| *percent <= 5), "{slack:?}");
    Ok(())
}

/// R7.8. What a referee leaves of its budget is not paid for, but has to be at hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contest_before_a_referee_costs_no_more_than_its_bound() -> Result<(), Failure> {
    let mut bench = Bench::new().await?;
    let sent = json!([{ "from": bench.operator.address(), "data": Artifact::tictactoe().bytecode }]);
    let hash = serde_json::from_value(bench.arena.rpc().0.request("eth_sendTransaction", sent).await?)?;
    let deployed = bench.arena.rpc().mined(hash, Duration::from_secs(60)).await?;
    let alone = deployed.and_then(|receipt| receipt.contract_address).ok_or("a contract")?;
    let before_it = (GameRules::shared(TicTacToe, BasisPoints::ZERO), alone, 100_000);
    let brought = refereed::tictactoe(BasisPoints::ZERO);
    let trial = Trial::of(&*brought, bench.arena.info().referee);
    for (rules, referee, budget) in [before_it, (brought, trial.referee, trial.budget)] {
        for (seed, turn) in [(1, 2), (1, 4), (2, 5), (3, 3)] {
            let (used, cost, needed) = bench.try_foul(&rules, (referee, budget), (seed, turn)).await?;
            // Neither is it a lazy one, beside what has to be at hand.
            assert!(cost.gas < used + needed, "{used} used, bound {}", cost.gas);
        }
    }
    Ok(())
}

impl Bench {
    /// Contests an illegal turn: the gas that it took, its bound, and what of it may be left over.
    async fn try_foul(
        &mut self,
        rules: &Arc<dyn Rules>,
        (referee, budget): (Address, u64),
        (seed, turn): (u64, usize),
    ) -> Result<(u64, Cost, u64), Failure> {
        self.salt += 1;
        let far = self.arena.rpc().head().await?.timestamp.to::<u64>() + 1_000_000;
        let mut proposals = Table::proposals(self.arena.domain(), rules, 2, 0, self.salt);
        for proposal in &mut proposals {
            let terms = &mut proposal.terms;
            (terms.referee, terms.budget, terms.open_by, terms.expiry) = (referee, budget, far, far);
        }
        let mut table = Table::of(proposals, rules);
        table.play_out(seed);
        let case = Case::new(table.with_foul(turn), rules)?;
        let (signed, top) = (case.up_to(turn), turn as u32);
        let mut replay = Replay::new(signed.id, case.terms(), &**rules)?;
        for turn in &signed.turns[..turn - 1] {
            replay.follow(&turn.state, &turn.action)?;
        }
        self.challenge(&case, top).await?;
        let trail = [top - 1, top].into_iter().filter_map(|turn| signed.header(turn)).map(Into::into).collect();
        let code = rules.on_chain().map(|on_chain| on_chain.code.to_vec()).unwrap_or_default();
        // Of the budget nearly nothing may be used, nor of what a referee keeps for frames, answers, and what is passed on.
        let needed = budget + budget / 20 + if code.is_empty() { 5_000 } else { 45_000 };
        let call = Court::contestCall {
            terms: case.terms().into(),
            docket: (&self.docket(&case).await?).into(),
            trail,
            code: code.into(),
            position: replay.position().to_vec().into(),
            action: signed.turns[turn - 1].action.clone().into(),
        };
        let (used, cost) = self.pay("contest before a referee", &call, 0).await?;
        assert_eq!(self.docket(&case).await?.phase(), Phase::Closed);
        Ok((used, cost, needed))
    }
}

/// Rules and a board that no transaction runs together are refused before anybody plays for money.
#[test]
fn code_that_no_referee_can_run_is_too_large() {
    let limits = |code| Limits { referee: 100_000, code, ..Limits::default() };
    let bot = |seat: Seat, seed| {
        Box::new(Noughts::new(Strength::Easy, seed * 2 + u64::from(seat.0))) as Box<dyn Bot<TicTacToe>>
    };
    budget(&TicTacToe, 0..3, bot, &limits(40_000)).expect("it can be run");
    let error = budget(&TicTacToe, 0..3, bot, &limits(41_000)).expect_err("too large");
    assert!(matches!(error.excess, Excess::TooLarge { code: 41_000, limit: 49_152, .. }), "{error}");
    println!("{error}");
}

/// Seat 0 writes letters, then seat 1 answers once: long moves, and many of them above what is agreed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Letters {
    count: u32,
    bytes: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("a letter has {0} bytes")]
struct WrongLength(u32);

impl Game for Letters {
    const NAME: &'static str = "letters";
    type Board = u32;
    type Move = Vec<u8>;
    type Error = WrongLength;

    fn max_turns(&self) -> u32 {
        self.count + 1
    }

    fn start(&self, _seats: usize) -> u32 {
        0
    }

    fn next(&self, written: &u32, pot: &Pot) -> Next {
        match *written {
            written if written < self.count => Next::turn(Seat(0), pot),
            written if written == self.count => Next::turn(Seat(1), pot),
            _ => Next::Over(pot.draw()),
        }
    }

    fn play(&self, written: &u32, _: Seat, letter: &Vec<u8>) -> Result<u32, WrongLength> {
        if letter.len() == self.bytes as usize { Ok(written + 1) } else { Err(WrongLength(self.bytes)) }
    }
}

struct Writer(u32);

impl Bot<Letters> for Writer {
    fn choose(&mut self, _: &u32, _: Seat) -> Vec<u8> {
        vec![0xff; self.0 as usize]
    }
}

fn writers(game: &Letters) -> impl FnMut(Seat, u64) -> Box<dyn Bot<Letters>> {
    let bytes = game.bytes;
    move |_, _| Box::new(Writer(bytes))
}

/// Memory grows dearer by the square, and bytes have a floor (EIP-7623): both show only with long moves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bound_holds_for_the_longest_moves_and_for_as_many_headers_as_a_court_takes() -> Result<(), Failure> {
    let mut bench = Bench::new().await?;
    for game in [
        Letters { count: 12, bytes: 8_000 },
        Letters { count: MAX_HEADERS as u32, bytes: 3_000 },
        Letters { count: MAX_HEADERS as u32, bytes: 200 },
        Letters { count: MAX_HEADERS as u32, bytes: 1 },
    ] {
        println!("{game:?}");
        let rules: Arc<dyn Rules> = GameRules::shared(game.clone(), BasisPoints::ZERO);
        let mut table = bench.table(&rules, 2, false).await?;
        for _ in 0..game.count {
            let letter = (0..game.bytes).map(|i| i as u8 | 1).collect::<Vec<u8>>();
            let play = postcard::to_allocvec(&letter)?;
            for turn in table.feed(Seat(0), Input::Play(play)) {
                table.feed(Seat(1), Input::Turn(turn));
            }
        }
        let case = bench.case(&table)?;
        bench.challenge(&case, 0).await?;
        bench.respond(&case, game.count & !1).await?;
        bench.contest(&case).await?;
        let budgeted = budget(&game, 0..1, writers(&game), &Limits::default())?;
        println!("{budgeted}");
    }
    assert!(bench.slack.values().all(|percent| *percent <= 5), "{:?}", bench.slack);
    Ok(())
}

#[test]
fn a_game_whose_evidence_no_transaction_carries_fails_its_own_test() {
    let fits = Letters { count: 15, bytes: 8_000 };
    budget(&fits, 0..1, writers(&fits), &Limits::default()).expect("15 letters fit");
    let game = Letters { count: 17, bytes: 8_000 };
    let BudgetError { game: name, place, excess } =
        budget(&game, 5..6, writers(&game), &Limits { calldata: u64::MAX, ..Limits::default() })
            .expect_err("17 do not");
    assert_eq!((name, place.seats, place.seed), ("letters", 2, 5));
    let Excess::Calldata { bytes, limit, .. } = excess else { panic!("{excess}") };
    assert!(bytes > limit && limit == TRANSACTION_CALLDATA);
}

#[test]
fn a_game_over_the_budget_that_its_developer_set_says_which_call_is_and_where() {
    let bot = |seat: Seat, seed: u64| {
        Box::new(Noughts::new(Strength::Easy, seed * 2 + u64::from(seat.0))) as Box<dyn Bot<TicTacToe>>
    };
    let free = budget(&TicTacToe, 0..10, bot, &Limits::default()).expect("within what the chain takes");
    let tight = |limits| budget(&TicTacToe, 0..10, bot, &limits).expect_err("too tight");

    let error = tight(Limits { gas: free.challenge.gas.value - 1, ..Limits::default() });
    assert_eq!(error.place, free.challenge.gas.place);
    assert!(
        matches!(error.excess, Excess::Gas { call: "challenge", gas, .. } if gas == free.challenge.gas.value),
        "{error}"
    );
    let error = tight(Limits { calldata: free.challenge.calldata.value - 1, ..Limits::default() });
    assert!(matches!(error.excess, Excess::Calldata { .. }), "{error}");
    let error =
        tight(Limits { griefing: free.stale.hundredths().max(free.whole.hundredths()) - 1, ..Limits::default() });
    assert!(matches!(error.excess, Excess::Griefing { .. }), "{error}");

    // The seed that it names shows the same again.
    let Place { seed, .. } = free.challenge.gas.place;
    let again = budget(&TicTacToe, seed..seed + 1, bot, &Limits::default()).expect("within what the chain takes");
    assert_eq!(again.challenge.gas, free.challenge.gas);
}

#[test]
fn what_a_real_match_shows_costs_no_more_than_the_budget_of_that_match() {
    for seed in 0..20u64 {
        let bot = |seat: Seat, seed: u64| {
            Box::new(Noughts::new(Strength::Easy, seed * 8 + u64::from(seat.0))) as Box<dyn Bot<TicTacToe>>
        };
        let budgeted =
            budget(&TicTacToe, seed..seed + 1, bot, &Limits::default()).expect("within what the chain takes");
        let rules: Arc<dyn Rules> = GameRules::shared(TicTacToe, BasisPoints::ZERO);
        let mut table = Table::open(&rules, 2, seed);
        table.play_out(seed);
        let case = Case::new(table.channels[0].transcript().expect("open"), &rules).expect("of these rules");
        let mut most = Cost::default();
        for turn in 0..=case.signed().top() {
            let guarantee = case.guarantee().expect("guaranteed").0.to_vec().into();
            let shown = case.up_to(turn as usize).evidence();
            let cost = Court::challengeCall { terms: case.terms().into(), guarantee, shown }.cost();
            most = Cost { bytes: most.bytes.max(cost.bytes), gas: most.gas.max(cost.gas) };
        }
        let Worst { calldata, gas } = budgeted.challenge;
        assert_eq!(calldata.value, most.bytes, "seed {seed}");
        // Hashes, moments and stakes are as dear as they can be in the one, and as they are in the other.
        assert!(most.gas <= gas.value && gas.value <= most.gas + 2_000, "seed {seed}: {} of {}", most.gas, gas.value);
    }
}

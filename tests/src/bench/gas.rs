//! `gas.*`: what each call of the contract costs as a transaction, from the receipts of the embedded chain.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent};
use matchlock::{
    abi::{Arena, Court, Exit, Statement, Withdrawal},
    account::SettledSet,
    chain::{ArenaChain, HttpProvider, LocalWallet, Provider, Receipt, SignedWithdrawal},
    dispute::{Case, Phase, Replay},
    game::Amount,
    rules::Rules,
    settle,
    sign::{Key, Signature, Signer},
};
use matchlock_devchain::DevChain;
use matchlock_server::chain::deploy;
use serde_json::json;

use super::Row;
use crate::{
    refereed::Artifact,
    scene::travel_to,
    table::{OWNER, Table, key},
    world::{Failure, Wallet, arena_config, dev_key, send},
};

const ETHER: u64 = 1_000_000_000_000_000_000;
/// Nitro's figures for the same steps: docs/BENCHMARKS.md says where they stand.
const NITRO: [(&str, f64); 4] = [
    ("gas.deposit.first", 46_496.0),
    ("gas.deposit.next", 29_408.0),
    ("gas.exit", 111_514.0),
    ("gas.withdraw", 80_000.0),
];

/// What the terms allow a referee for one move: what is left of it is not paid for.
const REFEREE_GAS: u64 = 200_000;

/// An arena on a chain of its own, with accounts of the same keys at every run.
struct Bench {
    arena: Wallet,
    operator: Key,
}

/// Every row.
///
/// # Errors
/// The chain or the contract says no.
pub async fn rows(rules: &Arc<dyn Rules>) -> Result<Vec<Row>, Failure> {
    let chain = DevChain::open(matchlock_devchain::Config::default())?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let rpc = format!("http://{}/", listener.local_addr()?);
    let serving = tokio::spawn(async move { chain.serve(listener, std::future::pending()).await });
    let operator = key("operator", 0);
    send(&rpc, &dev_key(), operator.address(), U256::from(5_000u64) * U256::from(ETHER)).await?;
    let deployment = deploy(&rpc, &operator, arena_config()).await?;
    let wallet = LocalWallet::new(HttpProvider::new(&rpc)?, operator.clone());
    let bench = Bench { arena: ArenaChain::connect(wallet, deployment.arena).await?, operator };
    bench.arena.fund(Amount::new(u128::from(ETHER) * 100)?).await?;

    let mut rows = Vec::new();
    rows.push(Row::report("gas.deploy", deployment.gas_used as f64, "gas"));
    bench.deposits(&mut rows).await?;
    bench.batches(&mut rows).await?;
    bench.leaving(&mut rows, &rpc).await?;
    bench.conclude(&mut rows, rules).await?;
    bench.disputes(&mut rows, rules).await?;
    bench.contest(&mut rows, rules).await?;
    serving.abort();
    Ok(rows)
}

fn goal(name: &str) -> f64 {
    NITRO.iter().find(|(row, _)| *row == name).expect("a figure").1
}

impl Bench {
    async fn deposits(&self, rows: &mut Vec<Row>) -> Result<(), Failure> {
        let account = Table::player(0).account();
        for name in ["gas.deposit.first", "gas.deposit.next"] {
            let outcome = self.arena.deposit(account, Amount::from_u64(ETHER / 10)).await?;
            rows.push(Row::against(name, outcome.gas_used as f64, "gas", goal(name)));
        }
        for seat in 1..32 {
            self.arena.deposit(Table::player(seat).account(), Amount::from_u64(ETHER)).await?;
        }
        Ok(())
    }

    /// 32 players, everybody against everybody: 31 matches each, 496 in all. Losers first.
    async fn batches(&self, rows: &mut Vec<Row>) -> Result<(), Failure> {
        let everyone: Vec<usize> = (0..32).collect();
        let first = self.settle(&everyone, 1, 496).await?;
        rows.push(Row::against("gas.settle.roundrobin32", first.gas as f64 / 496.0, "gas/match", 780.0));

        // The slope between batches of 8 and of 32 accounts whose slots hold a statement already.
        let small = self.settle(&[0, 1, 2, 3, 28, 29, 30, 31], 2, 248).await?;
        let large = self.settle(&everyone, 3, 496).await?;
        let marginal = (large.gas - small.gas) as f64 / 24.0;
        let floor = (large.calldata - small.calldata) as f64 / 24.0 + 3_000.0 + 5_000.0;
        rows.push(Row::over("gas.settle.account", marginal, "gas", floor, 1.06));
        Ok(())
    }

    /// A batch of these accounts after `round` rounds of 31 matches each.
    async fn settle(&self, accounts: &[usize], round: u32, matches: u32) -> Result<Batch, Failure> {
        let mut entries = Vec::new();
        for n in accounts {
            let statement = standing(*n, round);
            let signature = self.sign(&key("seat", *n as u64), statement.struct_hash(OWNER))?;
            entries.extend(settle::entry(OWNER, &statement, &signature));
        }
        let call = Arena::settleCall {
            entries: entries.into(),
            resultsRoot: B256::repeat_byte(0xab),
            matches,
            fees: Amount::ZERO.into(),
        };
        let calldata = call.abi_encode().iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum();
        let outcome = self.arena.transact(&call, U256::ZERO).await?;
        let settled = outcome.logs.iter().filter_map(|entry| Arena::Settled::decode_log(&entry.log()).ok());
        let applied: u32 = settled.map(|settled| settled.applied).sum();
        if applied as usize != accounts.len() {
            return Err(format!("{applied} of {} entries were applied", accounts.len()).into());
        }
        Ok(Batch { gas: outcome.gas_used, calldata })
    }

    /// A co-operative withdrawal to an owner that exists, the account's first, and an exit with a receipt.
    async fn leaving(&self, rows: &mut Vec<Row>, rpc: &str) -> Result<(), Failure> {
        send(rpc, &dev_key(), OWNER, U256::from(ETHER)).await?;
        let player = Table::player(31);
        let withdrawal = Withdrawal {
            account: player.account(),
            total: Amount::from_u64(ETHER / 2),
            deadline: u64::MAX,
            receipt: standing(31, 3).receipt_hash(player.account()),
        };
        let account = self.sign(&key("seat", 31), withdrawal.struct_hash())?;
        let operator = self.sign(&self.operator, withdrawal.struct_hash())?;
        let outcome = self.arena.withdraw(&SignedWithdrawal { player, withdrawal, account, operator }).await?;
        rows.push(Row::against("gas.withdraw", outcome.gas_used as f64, "gas", goal("gas.withdraw")));

        let (player, statement) = (Table::player(30), standing(30, 4));
        let receipt = statement.receipt_hash(player.account());
        let by_operator = self.sign(&self.operator, receipt.0)?;
        let exit = Exit { account: player.account(), receipt, nonce: 0 };
        let by_account = self.sign(&key("seat", 30), exit.struct_hash())?;
        let outcome = self.arena.exit(player, Some((&statement, &by_operator)), Some(&by_account)).await?;
        rows.push(Row::against("gas.exit", outcome.gas_used as f64, "gas", goal("gas.exit")));
        Ok(())
    }

    /// A final of two seats, signed by everyone, straight to the accounts.
    async fn conclude(&self, rows: &mut Vec<Row>, rules: &Arc<dyn Rules>) -> Result<(), Failure> {
        let mut table = Table::open_at(self.arena.domain(), rules, 2, 500, 1);
        table.play_out(1);
        let channel = &table.channels[0];
        let owners: Vec<_> = channel.players().iter().map(|player| player.owner).collect();
        let outcome = self.arena.conclude(channel.terms(), channel.state(), &owners, &table.conclusion()).await?;
        rows.push(Row::against("gas.conclude", outcome.gas_used as f64, "gas", 80_000.0));
        Ok(())
    }

    /// A challenge with a move that the other seat has not built on, an answer with the next move, and the end.
    async fn disputes(&self, rows: &mut Vec<Row>, rules: &Arc<dyn Rules>) -> Result<(), Failure> {
        let far = self.arena.rpc().head().await?.timestamp.to::<u64>() + 1_000_000;
        let mut table = Table::open_until(self.arena.domain(), rules, 2, 501, 2, [far, far]);
        table.play_out(1);
        let case = Case::new(table.channels[0].transcript().ok_or("an open match")?, rules)?;
        let (terms, id) = (case.terms(), case.signed().id);
        let docket = async || self.arena.docket(id, 0).await?.ok_or_else(|| Failure::from("no dispute"));
        let guarantee = case.guarantee().ok_or("no guarantee")?;
        let challenged = self.arena.challenge(terms, guarantee, case.up_to(4).evidence()).await?;
        let answer = case.up_to(5).answer(&docket().await?).ok_or("nothing newer")?;
        let answered = self.arena.respond(terms, &docket().await?, answer).await?;
        let last = docket().await?;
        travel_to(&self.arena, last.until() + 1).await?;
        let top = case.up_to(5);
        let finalized = self.arena.finalize(terms, &last, top.header(5).ok_or("no turn 5")?).await?;
        for (name, outcome, goal) in [
            ("gas.challenge", challenged, 90_000.0),
            ("gas.respond", answered, 70_000.0),
            ("gas.finalize", finalized, 80_000.0),
        ] {
            rows.push(Row::against(name, outcome.gas_used as f64, "gas", goal));
        }
        Ok(())
    }

    /// A mark on a cell that is taken, named as illegal before a contract for this game alone.
    async fn contest(&self, rows: &mut Vec<Row>, rules: &Arc<dyn Rules>) -> Result<(), Failure> {
        let deployed = self.send(None, &Artifact::tictactoe().bytecode).await?;
        let alone = deployed.contract_address.ok_or("no referee")?;
        let gas = self.contested(rules, alone).await?;
        rows.push(Row::against("gas.contest", gas, "gas", 150_000.0));
        Ok(())
    }

    /// Gas of a contest of a mark on a cell that is taken.
    async fn contested(&self, rules: &Arc<dyn Rules>, referee: Address) -> Result<f64, Failure> {
        let far = self.arena.rpc().head().await?.timestamp.to::<u64>() + 1_000_000;
        let mut proposals = Table::proposals(self.arena.domain(), rules, 2, 502, 3);
        for proposal in &mut proposals {
            let terms = &mut proposal.terms;
            (terms.referee, terms.budget, terms.open_by, terms.expiry) = (referee, REFEREE_GAS, far, far);
        }
        let mut table = Table::of(proposals, rules);
        table.play_out(1);
        let case = Case::new(table.with_foul(5), rules)?;
        let (terms, signed) = (case.terms(), case.up_to(5));
        let mut replay = Replay::new(signed.id, terms, &**rules)?;
        for turn in &signed.turns[..4] {
            replay.follow(&turn.state, &turn.action)?;
        }
        let [.., parent, illegal] = signed.turns else { return Err("too short a match".into()) };
        self.arena.challenge(terms, case.guarantee().ok_or("no guarantee")?, signed.evidence()).await?;
        let docket = self.arena.docket(signed.id, 0).await?.ok_or("no dispute")?;
        let call = Court::contestCall {
            terms: terms.into(),
            docket: (&docket).into(),
            trail: vec![(&parent.state).into(), (&illegal.state).into()],
            code: Bytes::new(),
            position: replay.position().to_vec().into(),
            action: illegal.action.clone().into(),
        };
        let contested = self.send(Some(self.arena.info().court), &call.abi_encode()).await?;
        let docket = self.arena.docket(signed.id, 0).await?.ok_or("no dispute")?;
        if docket.phase() != Phase::Closed {
            return Err(format!("the referee let an illegal move pass: {docket:?}").into());
        }
        Ok(contested.gas_used.to::<u64>() as f64)
    }

    async fn send(&self, to: Option<Address>, data: &[u8]) -> Result<Receipt, Failure> {
        let (rpc, data) = (self.arena.rpc(), Bytes::copy_from_slice(data));
        let mut call = json!({ "from": self.operator.address(), "data": data });
        if let Some(to) = to {
            call["to"] = json!(to);
        }
        let hash = serde_json::from_value(rpc.0.request("eth_sendTransaction", json!([call])).await?)?;
        let receipt = rpc.mined(hash, Duration::from_secs(60)).await?.ok_or("it was never mined")?;
        if receipt.succeeded() { Ok(receipt) } else { Err("reverted".into()) }
    }

    fn sign(&self, key: &Key, struct_hash: B256) -> Result<Signature, Failure> {
        Ok(key.sign(self.arena.domain().digest(struct_hash))?)
    }
}

/// What a transaction took.
struct Batch {
    gas: u64,
    /// The part of it that its bytes alone cost: 16 gas each, 4 for a zero.
    calldata: u64,
}

/// The n-th of 32 players' statement after so many rounds: the first lose, the last win, all sums cancel.
fn standing(n: usize, round: u32) -> Statement {
    let net = (2 * n as i128 - 31) * i128::from(round) * i128::from(ETHER / 1_000_000);
    Statement { net, set: SettledSet { through: 31 * round, pending: 0 } }
}

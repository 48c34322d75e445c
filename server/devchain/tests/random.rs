//! Random histories: going back must restore exactly what was, on disk as in memory, across restarts.

mod common;

use std::{collections::HashMap, env};

use alloy_primitives::{Address, U256};
use common::{Bench, Scratch, counter, quantity};
use matchlock_devchain::dev_accounts;
use serde_json::{Value, json};

/// xorshift64*: enough to choose with, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }

    fn account(&mut self) -> Address {
        dev_accounts()[self.below(3) as usize].address
    }
}

/// Everything a client can see of the state.
fn look(bench: &Bench, contracts: &[Address], tag: &Value) -> Vec<Value> {
    let mut seen = Vec::new();
    let accounts = dev_accounts()[..3].iter().map(|account| account.address);
    for address in accounts.chain(contracts.iter().copied()) {
        seen.push(bench.rpc("eth_getBalance", json!([address, tag])));
        seen.push(bench.rpc("eth_getTransactionCount", json!([address, tag])));
        seen.push(bench.rpc("eth_getCode", json!([address, tag])));
        seen.push(bench.rpc("eth_getStorageAt", json!([address, "0x0", tag])));
    }
    seen
}

/// One random history on disk, checked at every step.
fn history(seed: u64, steps: usize) {
    println!("seed {seed} (set DEVCHAIN_SEED to repeat it)");
    let mut dice = Dice(seed | 1);
    let scratch = Scratch::new(&format!("random-{seed}"));
    let mut bench = Bench::open(Some(&scratch.0));
    let mut contracts = vec![bench.deploy(&counter())];
    // What was seen at each block, by the block's hash; reorgs make others.
    let mut at_block: HashMap<String, Vec<Value>> = HashMap::new();
    let mut marks: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for step in 0..steps {
        let latest = json!("latest");
        match dice.below(12) {
            0..=3 => {
                let (from, to) = (dice.account(), dice.account());
                let value = format!("{:#x}", dice.below(1_000));
                bench.rpc("eth_sendTransaction", json!([{ "from": from, "to": to, "value": value }]));
            }
            4..=6 => {
                let to = contracts[dice.below(contracts.len() as u64) as usize];
                let request = json!([{ "from": dice.account(), "to": to, "gas": "0x20000" }]);
                bench.rpc("eth_sendTransaction", request);
            }
            7 if contracts.len() < 6 => contracts.push(bench.deploy(&counter())),
            7 => {
                let address = contracts[dice.below(contracts.len() as u64) as usize];
                bench.rpc("anvil_setBalance", json!([address, U256::from(dice.below(1_000))]));
                // Altered outside of a block, so what was seen there before no longer holds.
                at_block.remove(bench.latest()["hash"].as_str().unwrap());
            }
            8 => {
                let id = bench.rpc("evm_snapshot", json!([]));
                marks.push((id, bench.latest(), look(&bench, &contracts, &latest)));
            }
            9 if !marks.is_empty() => {
                let at = dice.below(marks.len() as u64) as usize;
                let (id, head, seen) = marks.swap_remove(at);
                marks.truncate(at);
                let known = bench.rpc("eth_getBlockByHash", json!([head["hash"], false]));
                let done = bench.rpc("evm_revert", json!([id]));
                assert_eq!(done, json!(!known.is_null()), "step {step}");
                if done == true {
                    assert_eq!(bench.latest(), head, "step {step}");
                    let now = look(&bench, &contracts, &latest);
                    assert_eq!(now[..seen.len()], seen[..], "step {step}");
                }
            }
            10 => {
                let depth = dice.below(6).min(bench.number());
                bench.rpc("anvil_reorg", json!([depth, []]));
            }
            11 => {
                let before = (bench.latest(), look(&bench, &contracts, &latest));
                drop(bench);
                bench = Bench::open(Some(&scratch.0));
                marks.clear(); // snapshots live in memory
                assert_eq!((bench.latest(), look(&bench, &contracts, &latest)), before, "step {step}");
            }
            _ => {
                bench.rpc("evm_mine", json!([]));
            }
        }
        // Contracts that were rolled back are gone; their addresses will be used again.
        contracts.retain(|contract| bench.rpc("eth_getCode", json!([contract, "latest"])) != "0x");
        contracts.dedup();
        if contracts.is_empty() {
            contracts.push(bench.deploy(&counter()));
        }
        contracts.truncate(6);

        // Old blocks still answer as they did when they were the newest.
        let head = bench.latest();
        let accounts_only = &[][..];
        at_block
            .entry(head["hash"].as_str().unwrap().to_owned())
            .or_insert_with(|| look(&bench, accounts_only, &latest));
        let number = dice.below(quantity(&head["number"]) + 1);
        let tag = json!(format!("{number:#x}"));
        let block = bench.rpc("eth_getBlockByNumber", json!([tag, false]));
        if let Some(seen) = at_block.get(block["hash"].as_str().unwrap()) {
            assert_eq!(&look(&bench, accounts_only, &tag), seen, "step {step}, block {number}");
        }
    }
}

#[test]
fn random_histories_restore_exactly() {
    if let Some(seed) = env::var("DEVCHAIN_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return history(seed, 400);
    }
    for seed in [3, 41, 592] {
        history(seed, 80);
    }
    let fresh = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    history(fresh, 80);
}

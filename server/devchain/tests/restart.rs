//! What a restart, a dropped handle and a killed process leave behind.

mod common;

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use alloy_primitives::B256;
use common::{Bench, Scratch, alice, bob, counter, sign, transfer};
use matchlock_devchain::{Config, DevChain, OpenError};
use serde_json::json;

#[test]
fn a_restart_keeps_everything() {
    let scratch = Scratch::new("restart");
    let bench = Bench::open(Some(&scratch.0));
    let contract = bench.deploy(&counter());
    let hash = bench.rpc("eth_sendTransaction", json!([{ "from": bob().address, "to": contract }]));
    bench.rpc("evm_increaseTime", json!([50]));
    bench.rpc("evm_setAutomine", json!([false]));
    let waiting = bench.send(&sign(alice(), transfer(1)));
    let look = |bench: &Bench| {
        [
            bench.latest(),
            bench.receipt(&hash),
            bench.rpc("eth_getBlockByNumber", json!(["0x0", true])),
            bench.rpc("eth_getBalance", json!([bob().address, "latest"])),
            bench.rpc("eth_getBalance", json!([bob().address, "0x1"])),
            bench.rpc("eth_getStorageAt", json!([contract, "0x0", "latest"])),
            bench.rpc("eth_getCode", json!([contract, "latest"])),
            bench.rpc("eth_getLogs", json!([{ "fromBlock": "0x0" }])),
            bench.rpc("eth_getTransactionByHash", json!([waiting])),
            bench.rpc("eth_feeHistory", json!([10, "latest", []])),
            bench.rpc("anvil_getAutomine", json!([])),
        ]
    };
    let before = look(&bench);
    drop(bench);

    let bench = Bench::open(Some(&scratch.0));
    assert_eq!(look(&bench), before);
    // The history it needs is there too, and so is the time it had.
    bench.rpc("evm_mine", json!([]));
    assert_eq!(bench.receipt(&waiting)["status"], "0x1");
    bench.rpc("anvil_reorg", json!([2, []]));
    assert_eq!(bench.receipt(&hash), json!(null));
}

#[test]
fn a_directory_belongs_to_one_chain_and_one_process() {
    let scratch = Scratch::new("owner");
    let open = |chain_id| {
        let mut config = Config::persistent(&scratch.0);
        config.chain_id = chain_id;
        DevChain::open(config)
    };
    let chain = open(5).unwrap();
    assert!(matches!(open(5), Err(OpenError::Store(_))), "it is open already");
    drop(chain);
    assert!(matches!(open(6), Err(OpenError::OtherChain { found: 5, wanted: 6 })));
    open(5).unwrap();
}

/// The child's half of the test below; alone it does nothing.
#[test]
fn child_sends_until_killed() {
    let Some(directory) = env::var_os("DEVCHAIN_CHILD") else {
        return;
    };
    let bench = Bench::open(Some(Path::new(&directory)));
    for nonce in bench.nonce(alice().address, "latest").. {
        let hash = bench.send(&sign(alice(), transfer(nonce)));
        println!("\nacknowledged {}", hash.as_str().unwrap());
    }
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    let scratch = Scratch::new("killed");
    let mut acknowledged: Vec<B256> = Vec::new();
    for round in 1..=5 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child_sends_until_killed", "--nocapture"])
            .env("DEVCHAIN_CHILD", &scratch.0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        for line in output.lines() {
            let line = line.unwrap();
            if let Some(hash) = line.strip_prefix("acknowledged ") {
                acknowledged.push(hash.parse().unwrap());
            }
            if acknowledged.len() >= round * 40 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let start = Instant::now();
        let bench = Bench::open(Some(&scratch.0));
        let head = bench.number();
        println!("opened {head} blocks in {:?} after a kill", start.elapsed());
        for hash in &acknowledged {
            assert_eq!(bench.receipt(&json!(hash))["status"], "0x1", "{hash}");
        }
        // Nothing is half there: every block links to its parent and the sender's nonce counts them.
        let mut parent = json!(B256::ZERO);
        for number in 0..=head {
            let block = bench.rpc("eth_getBlockByNumber", json!([format!("{number:#x}"), false]));
            assert_eq!(block["parentHash"], parent);
            parent = block["hash"].clone();
        }
        assert_eq!(bench.nonce(alice().address, "latest"), head);
        assert!(head >= acknowledged.len() as u64);
    }
}

#[test]
fn a_long_chain_opens_at_once() {
    let scratch = Scratch::new("long");
    let bench = Bench::open(Some(&scratch.0));
    for _ in 0..5 {
        bench.rpc("anvil_mine", json!([1_000]));
    }
    drop(bench);
    let start = Instant::now();
    let bench = Bench::open(Some(&scratch.0));
    assert_eq!(bench.number(), 5_000);
    let elapsed = start.elapsed();
    println!("opened 5000 blocks and answered in {elapsed:?}");
    assert!(elapsed.as_millis() < 100, "{elapsed:?}");
}

/// Not a test but a figure: `cargo test -p matchlock-devchain --test restart -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn how_long_things_take() {
    let scratch = Scratch::new("figures");
    let bench = Bench::open(Some(&scratch.0));
    let contract = bench.deploy(&counter());
    let count = 3_000;
    let raws: Vec<_> = (1..=count).map(|nonce| sign(alice(), transfer(nonce))).collect();
    let start = Instant::now();
    for raw in &raws {
        bench.send(raw);
    }
    println!("transfer, durable: {:?} each", start.elapsed() / count as u32);
    let start = Instant::now();
    for _ in 0..count {
        bench.rpc("eth_call", json!([{ "to": contract }]));
    }
    println!("eth_call: {:?} each", start.elapsed() / count as u32);
    let start = Instant::now();
    bench.rpc("eth_getLogs", json!([{ "fromBlock": "0x0", "address": contract }]));
    println!("eth_getLogs over {count} blocks: {:?}", start.elapsed());
    let start = Instant::now();
    bench.rpc("anvil_reorg", json!([1_000, []]));
    println!("reorg of 1000 blocks: {:?}", start.elapsed());
    drop(bench);
    let start = Instant::now();
    let bench = Bench::open(Some(&scratch.0));
    bench.number();
    println!("open and first answer: {:?}", start.elapsed());
    let size = std::fs::metadata(scratch.0.join("chain.redb")).unwrap().len();
    println!("file: {} KiB", size / 1024);
}

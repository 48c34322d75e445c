//! Reorgs, snapshots and time.

mod common;

use std::sync::atomic::Ordering;

use alloy_primitives::U256;
use common::{Bench, START, alice, bob, counter, quantity, sign, transfer};
use matchlock_devchain::HISTORY_BLOCKS;
use serde_json::json;

#[test]
fn a_reorg_drops_transactions_and_a_re_sent_one_lands_again() {
    let bench = Bench::new();
    let contract = bench.deploy(&counter());
    let raw = sign(bob(), transfer(0));
    let call = json!([{ "from": alice().address, "to": contract }]);
    let logged = bench.rpc("eth_sendTransaction", call);
    let hash = bench.send(&raw);
    let old: Vec<_> =
        (1..=3u64).map(|n| bench.rpc("eth_getBlockByNumber", json!([format!("{n:#x}"), false]))).collect();

    bench.rpc("anvil_reorg", json!([2, []]));
    assert_eq!(bench.number(), 3, "as many blocks as before");
    for (n, old) in (1..=3u64).zip(&old) {
        let new = bench.rpc("eth_getBlockByNumber", json!([format!("{n:#x}"), false]));
        assert_eq!(new == *old, n == 1, "block {n}");
        assert_eq!(new["timestamp"], old["timestamp"]);
    }
    assert_eq!(bench.rpc("eth_getBlockByHash", json!([old[2]["hash"], false])), json!(null));
    assert_eq!(bench.receipt(&hash), json!(null));
    assert_eq!(bench.receipt(&logged), json!(null));
    assert_eq!(bench.rpc("eth_getTransactionByHash", json!([hash])), json!(null));
    assert_eq!(bench.rpc("eth_getLogs", json!([{ "fromBlock": "0x0" }])), json!([]));
    assert_eq!(bench.nonce(bob().address, "latest"), 0);
    let gone = json!([{ "blockHash": old[2]["hash"] }]);
    assert_eq!(bench.fails("eth_getLogs", gone).message, "unknown block");

    assert_eq!(bench.send(&raw), hash);
    let receipt = bench.receipt(&hash);
    assert_eq!(receipt["blockNumber"], "0x4");
    assert_ne!(receipt["blockHash"], old[2]["hash"]);
    assert_eq!(bench.nonce(bob().address, "latest"), 1);
}

#[test]
fn a_reorg_may_carry_transactions() {
    let bench = Bench::new();
    let (first, second) = (sign(alice(), transfer(0)), sign(bob(), transfer(0)));
    let first_hash = bench.send(&first);
    let second_hash = bench.send(&second);
    let request = json!({ "from": bob().address, "to": alice().address, "value": "0x5" });
    // The other order, and one that the chain signs.
    let pairs = json!([[second, 0], [first, 1], [request, 1]]);
    bench.rpc("anvil_reorg", json!([2, pairs]));
    assert_eq!(bench.receipt(&second_hash)["blockNumber"], "0x1");
    assert_eq!(bench.receipt(&first_hash)["blockNumber"], "0x2");
    assert_eq!(bench.nonce(bob().address, "latest"), 2);

    // The same as an object; an invalid transaction stops the whole of it.
    let head = bench.latest();
    let options = json!({ "depth": 1, "txBlockPairs": [[sign(alice(), transfer(7)), 0]] });
    bench.fails("anvil_reorg", options);
    assert_eq!(bench.latest(), head);
    assert_eq!(bench.fails("anvil_reorg", json!([1, [[first, 1]]])).code, -32602);
    assert_eq!(bench.fails("anvil_reorg", json!([3, []])).code, -32602);
}

#[test]
fn a_snapshot_brings_everything_back() {
    let bench = Bench::new();
    let contract = bench.deploy(&counter());
    let call = json!([{ "from": alice().address, "to": contract }]);
    bench.rpc("eth_sendTransaction", call.clone());
    bench.rpc("anvil_setBalance", json!([contract, "0x5"]));
    let (head, alices) = (bench.latest(), bench.balance(alice().address));
    let first = bench.rpc("evm_snapshot", json!([]));

    bench.rpc("anvil_setBalance", json!([contract, "0x7"]));
    bench.rpc("evm_increaseTime", json!([500]));
    for _ in 0..3 {
        bench.rpc("eth_sendTransaction", call.clone());
    }
    let second = bench.rpc("evm_snapshot", json!([]));
    assert_eq!(bench.rpc("evm_revert", json!([first])), true);

    assert_eq!(bench.latest(), head);
    assert_eq!(bench.balance(alice().address), alices);
    assert_eq!(bench.balance(contract), U256::from(5));
    let slot = bench.rpc("eth_getStorageAt", json!([contract, "0x0", "latest"]));
    assert_eq!(slot.as_str().unwrap().parse::<U256>().unwrap(), U256::from(1));
    assert_eq!(bench.rpc("evm_revert", json!([first])), false, "used up");
    assert_eq!(bench.rpc("evm_revert", json!([second])), false, "no longer on the chain");
    // It goes on as if nothing had been.
    bench.rpc("eth_sendTransaction", call);
    assert_eq!(bench.number(), quantity(&head["number"]) + 1);
    assert!(quantity(&bench.latest()["timestamp"]) < START + 500);
}

#[test]
fn time_moves_only_forward() {
    let bench = Bench::new();
    let time = || quantity(&bench.latest()["timestamp"]);
    assert_eq!(time(), START);
    bench.rpc("evm_mine", json!([]));
    assert_eq!(time(), START + 1, "strictly later, though the clock stands still");
    bench.clock.store(START + 100, Ordering::Relaxed);
    bench.rpc("evm_mine", json!([]));
    assert_eq!(time(), START + 100);
    assert_eq!(bench.rpc("evm_increaseTime", json!(["0x3c"])), 60);
    bench.rpc("evm_mine", json!([]));
    assert_eq!(time(), START + 160);
    bench.rpc("evm_setNextBlockTimestamp", json!([START + 1_000]));
    bench.send(&sign(alice(), transfer(0)));
    assert_eq!(time(), START + 1_000);
    bench.clock.store(START + 110, Ordering::Relaxed);
    bench.rpc("evm_mine", json!([]));
    assert_eq!(time(), START + 1_010, "time goes on from where it was set");
    bench.rpc("evm_mine", json!([START + 2_000]));
    assert_eq!(time(), START + 2_000);
    bench.rpc("anvil_mine", json!(["0x3", "0xa"]));
    assert_eq!(time(), START + 2_021);
    bench.rpc("evm_mine", json!([{ "timestamp": START + 3_000, "blocks": 2 }]));
    assert_eq!(time(), START + 3_001);
    for past in [START, START + 3_001] {
        let error = bench.fails("evm_setNextBlockTimestamp", json!([past]));
        assert_eq!(error.code, -32602, "{error}");
    }
}

#[test]
fn time_is_moved_from_the_newest_block_where_that_is_ahead_of_the_clock() {
    let bench = Bench::new();
    let time = || quantity(&bench.latest()["timestamp"]);
    bench.rpc("anvil_mine", json!([50]));
    assert_eq!(time(), START + 50, "a second each, though the clock stands still");
    assert_eq!(bench.rpc("evm_increaseTime", json!([1_000])), 1_050);
    bench.rpc("evm_mine", json!([]));
    assert_eq!(time(), START + 1_050);
    // The clock has moved on since: now it is what counts.
    bench.clock.store(START + 10, Ordering::Relaxed);
    assert_eq!(bench.rpc("evm_increaseTime", json!([1_000])), 2_050);
    bench.rpc("evm_mine", json!([]));
    assert_eq!(time(), START + 2_060);
}

#[test]
fn history_is_bounded_and_says_so() {
    let bench = Bench::new();
    bench.send(&sign(alice(), transfer(0)));
    let mark = bench.rpc("evm_snapshot", json!([]));
    bench.rpc("anvil_mine", json!([format!("{:#x}", HISTORY_BLOCKS + 10)]));
    for (method, params) in [
        ("eth_getBalance", json!([alice().address, "0x1"])),
        ("anvil_reorg", json!([HISTORY_BLOCKS + 5, []])),
        ("evm_revert", json!([mark])),
    ] {
        let error = bench.fails(method, params);
        assert!(error.message.contains("kept"), "{error}");
    }
    // As deep as it goes, and what was mined before the kept history is still there to be read.
    bench.rpc("anvil_reorg", json!([HISTORY_BLOCKS, []]));
    let block = bench.rpc("eth_getBlockByNumber", json!(["0x1", true]));
    assert_eq!(block["transactions"][0]["from"], json!(alice().address));
    assert_eq!(bench.fails("anvil_mine", json!([10_001])).code, -32005);
    let tags = ["earliest", "finalized", "safe", "latest"];
    let numbers: Vec<u64> =
        tags.iter().map(|tag| quantity(&bench.rpc("eth_getBlockByNumber", json!([tag, false]))["number"])).collect();
    let head = bench.number();
    assert_eq!(numbers, [0, head - 64, head - 32, head]);
}

//! Transactions, calls, logs and estimates.

mod common;

use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use common::{
    Bench, START, alice, block_facts, bob, counter, echo_revert, forwarder, init_code, quantity, sign, transfer,
};
use serde_json::json;

#[test]
fn a_transfer_is_mined_before_the_request_returns() {
    let bench = Bench::new();
    let before = bench.balance(bob().address);
    let hash = bench.send(&sign(alice(), transfer(0)));
    assert_eq!(bench.number(), 1);
    assert_eq!(bench.balance(bob().address), before + U256::from(1));
    assert_eq!(bench.nonce(alice().address, "latest"), 1);

    let receipt = bench.receipt(&hash);
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(receipt["gasUsed"], "0x5208");
    assert_eq!(receipt["type"], "0x2");
    // The first block's base fee is 1 gwei and it was empty, so the next one's is an eighth less.
    assert_eq!(quantity(&receipt["effectiveGasPrice"]), 1_875_000_000);
    let block = bench.latest();
    assert_eq!(block["hash"], receipt["blockHash"]);
    assert_eq!(block["transactions"], json!([hash]));
    let full = bench.rpc("eth_getBlockByHash", json!([block["hash"], true]));
    assert_eq!(full["transactions"][0]["from"], json!(alice().address));
    let found = bench.rpc("eth_getTransactionByHash", json!([hash]));
    assert_eq!(found, full["transactions"][0]);
    let receipts = bench.rpc("eth_getBlockReceipts", json!(["latest"]));
    assert_eq!(receipts, json!([receipt]));
}

#[test]
fn a_contract_counts_logs_and_answers() {
    let bench = Bench::new();
    let contract = bench.deploy(&counter());
    assert_eq!(bench.rpc("eth_getCode", json!([contract, "latest"])), json!(Bytes::from(counter())));
    let call = json!([{ "from": alice().address, "to": contract }]);
    let one = json!(B256::from(U256::from(1)));
    let two = json!(B256::from(U256::from(2)));
    assert_eq!(bench.rpc("eth_call", call.clone()), one);
    assert_eq!(bench.rpc("eth_call", call.clone()), one, "a call changes nothing");
    let hash = bench.rpc("eth_sendTransaction", call.clone());
    assert_eq!(bench.rpc("eth_call", call), two);
    assert_eq!(bench.rpc("eth_getStorageAt", json!([contract, "0x0", "latest"])), one);

    let receipt = bench.receipt(&hash);
    let log = &receipt["logs"][0];
    assert_eq!(log["address"], json!(contract));
    assert_eq!(log["data"], one);
    let topic = json!(B256::with_last_byte(0x2a));
    assert_eq!(log["topics"], json!([topic]));
    let other = json!(B256::ZERO);
    let range = |filter: serde_json::Value| {
        let mut filter = filter;
        filter["fromBlock"] = json!("0x0");
        bench.rpc("eth_getLogs", json!([filter])).as_array().unwrap().len()
    };
    assert_eq!(range(json!({})), 1);
    assert_eq!(range(json!({ "address": contract })), 1);
    assert_eq!(range(json!({ "address": [alice().address, contract] })), 1);
    assert_eq!(range(json!({ "address": alice().address })), 0);
    assert_eq!(range(json!({ "topics": [topic] })), 1);
    assert_eq!(range(json!({ "topics": [[other, topic]] })), 1);
    assert_eq!(range(json!({ "topics": [other] })), 0);
    assert_eq!(range(json!({ "topics": [null] })), 1);
    assert_eq!(range(json!({ "topics": [topic, null] })), 0, "the log has one topic");
    let by_hash = json!([{ "blockHash": receipt["blockHash"] }]);
    assert_eq!(bench.rpc("eth_getLogs", by_hash), json!([log]));
    let later = json!([{ "fromBlock": "0x3", "toBlock": "latest" }]);
    assert_eq!(bench.rpc("eth_getLogs", later), json!([]));
}

#[test]
fn a_filter_reports_what_is_new() {
    let bench = Bench::new();
    let contract = bench.deploy(&counter());
    let blocks = bench.rpc("eth_newBlockFilter", json!([]));
    let logs = bench.rpc("eth_newFilter", json!([{ "address": contract }]));
    let poll = |id: &serde_json::Value| bench.rpc("eth_getFilterChanges", json!([id]));
    assert_eq!(poll(&blocks), json!([]));
    assert_eq!(poll(&logs), json!([]));
    bench.rpc("eth_sendTransaction", json!([{ "from": alice().address, "to": contract }]));
    assert_eq!(poll(&blocks), json!([bench.latest()["hash"]]));
    let found = poll(&logs);
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(bench.rpc("eth_getFilterLogs", json!([logs])), found);
    assert_eq!(poll(&logs), json!([]));
    bench.rpc("evm_mine", json!([]));
    assert_eq!(poll(&blocks).as_array().unwrap().len(), 1);
    assert_eq!(bench.rpc("eth_uninstallFilter", json!([logs])), true);
    let error = bench.fails("eth_getFilterChanges", json!([logs]));
    assert!(error.message.starts_with("filter not found"), "{error}");
}

#[test]
fn revert_data_comes_back_as_geth_sends_it() {
    let bench = Bench::new();
    let contract = bench.deploy(&echo_revert());
    // Error("no")
    let mut reason = hex!("08c379a0").to_vec();
    reason.extend(U256::from(32).to_be_bytes::<32>());
    reason.extend(U256::from(2).to_be_bytes::<32>());
    reason.extend(b"no");
    reason.resize(4 + 96, 0);
    let request = json!([{ "to": contract, "data": Bytes::from(reason.clone()) }]);
    for method in ["eth_call", "eth_estimateGas"] {
        let error = bench.fails(method, request.clone());
        assert_eq!(error.code, 3);
        assert_eq!(error.message, "execution reverted: no");
        assert_eq!(error.data, Some(json!(Bytes::from(reason.clone()))));
    }
    let custom = bench.fails("eth_call", json!([{ "to": contract, "input": "0xdeadbeef" }]));
    assert_eq!(custom.message, "execution reverted");
    assert_eq!(custom.data, Some(json!("0xdeadbeef")));

    // Sent all the same, it is mined as failed.
    let send = json!([{ "from": alice().address, "to": contract, "gas": "0x10000" }]);
    let receipt = bench.receipt(&bench.rpc("eth_sendTransaction", send));
    assert_eq!(receipt["status"], "0x0");
    assert_eq!(bench.nonce(alice().address, "latest"), 2);
}

#[test]
fn an_estimate_is_enough_and_not_much_more() {
    let bench = Bench::new();
    let transfer = json!([{ "from": alice().address, "to": bob().address, "value": "0x1" }]);
    assert_eq!(bench.rpc("eth_estimateGas", transfer), "0x5208");

    // Two levels of calls, each of which withholds a 64th.
    let callee = bench.deploy(&counter());
    let inner = bench.deploy(&forwarder(callee));
    let outer = bench.deploy(&forwarder(inner));
    let deployment = json!({ "from": alice().address, "data": Bytes::from(init_code(&counter())) });
    let subcalls = json!({ "from": alice().address, "to": outer });
    for mut request in [deployment, subcalls] {
        let estimate = quantity(&bench.rpc("eth_estimateGas", json!([request])));
        request["gas"] = json!(format!("{estimate:#x}"));
        let receipt = bench.receipt(&bench.rpc("eth_sendTransaction", json!([request])));
        assert_eq!(receipt["status"], "0x1");
        let used = quantity(&receipt["gasUsed"]);
        assert!(estimate >= used && estimate < used * 5 / 4, "{estimate} for {used}");
    }
    let endless = bench.deploy(&hex!("5b5f56")); // JUMPDEST PUSH0 JUMP
    let error = bench.fails("eth_estimateGas", json!([{ "to": endless }]));
    assert_eq!(error.message, "gas required exceeds allowance (16777216)");
}

#[test]
fn contracts_see_their_block() {
    let bench = Bench::new();
    let contract = bench.deploy(&block_facts());
    bench.rpc("evm_increaseTime", json!([1_000]));
    bench.rpc("evm_mine", json!([]));
    let block = bench.latest();
    assert!(quantity(&block["timestamp"]) >= START + 1_000);
    let answer = bench.rpc("eth_call", json!([{ "to": contract }, "latest"]));
    let words: Vec<U256> =
        answer.as_str().unwrap().parse::<Bytes>().unwrap().chunks(32).map(U256::from_be_slice).collect();
    let field = |name: &str| block[name].as_str().unwrap().parse::<U256>().unwrap();
    let facts = ["timestamp", "number", "miner", "mixHash", "baseFeePerGas"];
    for (word, name) in words.iter().zip(facts) {
        assert_eq!(*word, field(name), "{name}");
    }
    assert_eq!(words[5], U256::from(31_337));
    assert_eq!(words[6], field("gasLimit"));
    assert_eq!(words[7], field("parentHash"));
    // The pending block is the next one.
    let pending = bench.rpc("eth_call", json!([{ "to": contract }, "pending"]));
    let pending: Bytes = pending.as_str().unwrap().parse().unwrap();
    assert_eq!(U256::from_be_slice(&pending[32..64]), words[1] + U256::from(1));
}

#[test]
fn old_blocks_answer_with_old_state() {
    let bench = Bench::new();
    let contract = bench.deploy(&counter());
    for _ in 0..5 {
        bench.rpc("eth_sendTransaction", json!([{ "from": bob().address, "to": contract }]));
    }
    for (block, count) in [(1, 0), (2, 1), (4, 3), (6, 5)] {
        let value = bench.rpc("eth_getStorageAt", json!([contract, "0x0", format!("{block:#x}")]));
        assert_eq!(value, json!(B256::from(U256::from(count))), "block {block}");
    }
    let before = bench.rpc("eth_getCode", json!([contract, "earliest"]));
    assert_eq!(before, "0x");
    assert_eq!(bench.rpc("eth_getTransactionCount", json!([bob().address, "0x3"])), "0x2");
    let unknown = bench.fails("eth_call", json!([{ "to": contract }, "0x99"]));
    assert_eq!(unknown.message, "unknown block");
}

#[test]
fn the_base_fee_falls_when_idle_and_rises_when_full() {
    let bench = Bench::new();
    let fee = |bench: &Bench| quantity(&bench.latest()["baseFeePerGas"]);
    bench.rpc("anvil_mine", json!(["0x1"]));
    assert_eq!(fee(&bench), 875_000_000);
    bench.rpc("anvil_mine", json!(["0x200"]));
    assert_eq!(fee(&bench), 7);
    bench.rpc("anvil_setNextBlockBaseFeePerGas", json!(["0x3b9aca00"]));
    assert_eq!(bench.rpc("eth_gasPrice", json!([])), "0x77359400", "the set fee and a tip of 1 gwei");
    // Three endless loops fill five sixths of a block.
    let endless = bench.deploy(&hex!("5b5f56"));
    bench.rpc("evm_setAutomine", json!([false]));
    for _ in 0..3 {
        let request = json!([{ "from": alice().address, "to": endless, "gas": "0x1000000" }]);
        bench.rpc("eth_sendTransaction", request);
    }
    bench.rpc("evm_mine", json!([]));
    let full = fee(&bench);
    bench.rpc("evm_setAutomine", json!([true]));
    bench.rpc("evm_mine", json!([]));
    assert!(fee(&bench) > full, "{} after {full}", fee(&bench));

    let history = bench.rpc("eth_feeHistory", json!(["0x4", "latest", [25, 75]]));
    assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 5);
    assert_eq!(history["gasUsedRatio"].as_array().unwrap().len(), 4);
    assert_eq!(history["reward"].as_array().unwrap().len(), 4);
}

#[test]
fn a_header_hashes_to_its_block() {
    // The fields a client sees are the ones that were hashed: rebuild the header and hash it again.
    let bench = Bench::new();
    let contract = bench.deploy(&counter());
    bench.rpc("eth_sendTransaction", json!([{ "from": bob().address, "to": contract }]));
    let block = bench.latest();
    let hash = |name: &str| block[name].as_str().unwrap().parse::<B256>().unwrap();
    let header = alloy_consensus::Header {
        parent_hash: hash("parentHash"),
        ommers_hash: hash("sha3Uncles"),
        beneficiary: block["miner"].as_str().unwrap().parse::<Address>().unwrap(),
        state_root: hash("stateRoot"),
        transactions_root: hash("transactionsRoot"),
        receipts_root: hash("receiptsRoot"),
        logs_bloom: block["logsBloom"].as_str().unwrap().parse().unwrap(),
        number: quantity(&block["number"]),
        gas_limit: quantity(&block["gasLimit"]),
        gas_used: quantity(&block["gasUsed"]),
        timestamp: quantity(&block["timestamp"]),
        extra_data: block["extraData"].as_str().unwrap().parse().unwrap(),
        mix_hash: hash("mixHash"),
        base_fee_per_gas: Some(quantity(&block["baseFeePerGas"])),
        withdrawals_root: Some(hash("withdrawalsRoot")),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(hash("parentBeaconBlockRoot")),
        requests_hash: Some(hash("requestsHash")),
        ..Default::default()
    };
    assert_eq!(keccak256(alloy_rlp::encode(&header)), hash("hash"));
    assert!(!header.logs_bloom.is_zero());
}

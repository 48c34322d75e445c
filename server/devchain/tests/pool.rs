//! What is refused and with which error, and how transactions wait and replace each other.

mod common;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxLegacy};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, uint};
use common::{Bench, GWEI, alice, bob, counter, quantity, raw, sign, signature, transfer};
use matchlock_devchain::DevAccount;
use serde_json::json;

#[test]
fn every_refusal_has_its_error_and_changes_nothing() {
    let bench = Bench::new();
    bench.send(&sign(alice(), transfer(0)));
    let poor = DevAccount {
        address: Address::ZERO, // not looked at
        private_key: B256::repeat_byte(1),
    };
    let cases: Vec<(&str, Bytes)> = vec![
        ("invalid chain id for signer", sign(alice(), TxEip1559 { chain_id: 1, ..transfer(1) })),
        ("nonce too low", sign(alice(), TxEip1559 { value: U256::ZERO, ..transfer(0) })),
        ("nonce too high", sign(alice(), transfer(66))),
        ("insufficient funds for gas * price + value", sign(&poor, transfer(0))),
        (
            "max fee per gas less than block base fee",
            sign(alice(), TxEip1559 { max_fee_per_gas: 1, max_priority_fee_per_gas: 0, ..transfer(1) }),
        ),
        (
            "max priority fee per gas higher than max fee per gas",
            sign(alice(), TxEip1559 { max_priority_fee_per_gas: 11 * GWEI, ..transfer(1) }),
        ),
        (
            "transaction gas limit too high (cap: 16777216, tx: 16777217)",
            sign(alice(), TxEip1559 { gas_limit: 16_777_217, ..transfer(1) }),
        ),
        ("intrinsic gas too low", sign(alice(), TxEip1559 { gas_limit: 20_999, ..transfer(1) })),
        ("oversized data", sign(alice(), TxEip1559 { input: vec![1; 128 * 1024].into(), ..transfer(1) })),
        ("invalid sender", high_s(transfer(1))),
        (
            "only replay-protected (EIP-155) transactions allowed over RPC",
            sign(alice(), TxLegacy { chain_id: None, ..legacy(1) }),
        ),
        ("nonce too low", sign(alice(), transfer(0))),
        ("transaction type not supported", vec![3, 0xc0].into()),
        ("transaction type not supported", vec![0x20, 0xc0].into()),
    ];
    let (head, balance) = (bench.latest(), bench.balance(alice().address));
    for (message, raw) in cases {
        let error = bench.refused(&raw);
        assert!(error.message.starts_with(message), "{error} instead of {message}");
        assert_eq!(error.code, -32003, "{message}");
    }
    for rubbish in [json!(["0x"]), json!(["0xc0"]), json!(["0x02c0"]), json!([7]), json!([])] {
        let error = bench.fails("eth_sendRawTransaction", rubbish);
        assert_eq!(error.code, -32602, "{error}");
    }
    assert_eq!(bench.latest(), head);
    assert_eq!(bench.balance(alice().address), balance);
    assert_eq!(bench.nonce(alice().address, "pending"), 1);
}

#[test]
fn every_supported_type_is_mined_and_shown() {
    let bench = Bench::new();
    let contract = bench.deploy(&counter());
    let access_list = AccessList(vec![AccessListItem { address: contract, storage_keys: vec![B256::ZERO] }]);
    let eip2930 = TxEip2930 {
        chain_id: 31_337,
        nonce: 1,
        gas_price: 2 * GWEI,
        gas_limit: 100_000,
        to: TxKind::Call(contract),
        access_list: access_list.clone(),
        ..TxEip2930::default()
    };
    let eip1559 = TxEip1559 { access_list, gas_limit: 100_000, ..transfer(2) };
    let sent = [("0x0", sign(bob(), legacy(0))), ("0x1", sign(alice(), eip2930)), ("0x2", sign(alice(), eip1559))];
    for (kind, raw) in sent {
        let hash = bench.send(&raw);
        assert_eq!(hash, json!(alloy_primitives::keccak256(&raw)));
        let receipt = bench.receipt(&hash);
        assert_eq!((&receipt["type"], &receipt["status"]), (&json!(kind), &json!("0x1")));
        let shown = bench.rpc("eth_getTransactionByHash", json!([hash]));
        assert_eq!(shown["type"], kind);
        assert_eq!(shown["chainId"], "0x7a69");
        match kind {
            "0x0" => assert!([62_709, 62_710].contains(&quantity(&shown["v"]))),
            _ => assert_eq!(shown["yParity"], shown["v"]),
        }
    }
}

#[test]
fn a_waiting_transaction_is_replaced_for_ten_percent_more() {
    let bench = Bench::new();
    bench.rpc("evm_setAutomine", json!([false]));
    let first = sign(alice(), transfer(0));
    let hash = bench.send(&first);
    assert_eq!(bench.number(), 0);
    assert_eq!(bench.receipt(&hash), json!(null));
    let waiting = bench.rpc("eth_getTransactionByHash", json!([hash]));
    assert_eq!(waiting["blockNumber"], json!(null));
    assert_eq!(bench.nonce(alice().address, "latest"), 0);
    assert_eq!(bench.nonce(alice().address, "pending"), 1);
    assert_eq!(bench.refused(&first).message, "already known");

    // Both fees must rise.
    let other = |max_fee_per_gas, max_priority_fee_per_gas| {
        sign(alice(), TxEip1559 { max_fee_per_gas, max_priority_fee_per_gas, value: U256::from(2), ..transfer(0) })
    };
    for (max_fee, tip) in [(10 * GWEI, GWEI), (11 * GWEI - 1, 2 * GWEI), (20 * GWEI, GWEI)] {
        let error = bench.refused(&other(max_fee, tip));
        assert!(error.message.starts_with("replacement transaction underpriced"), "{error}");
    }
    let replacement = bench.send(&other(11 * GWEI, GWEI * 11 / 10));
    assert_eq!(bench.rpc("eth_getTransactionByHash", json!([hash])), json!(null));
    assert_eq!(bench.rpc("txpool_status", json!([])), json!({ "pending": "0x1", "queued": "0x0" }));
    let pending = bench.rpc("eth_getBlockByNumber", json!(["pending", false]));
    assert_eq!(pending["transactions"], json!([replacement]));

    bench.rpc("evm_mine", json!([]));
    assert_eq!(bench.receipt(&replacement)["status"], "0x1");
    assert_eq!(bench.receipt(&hash), json!(null));
}

#[test]
fn a_gap_waits_until_it_is_filled() {
    let bench = Bench::new();
    let late = bench.send(&sign(alice(), transfer(1)));
    assert_eq!(bench.number(), 0);
    assert_eq!(bench.nonce(alice().address, "pending"), 0);
    assert_eq!(bench.rpc("txpool_status", json!([])), json!({ "pending": "0x0", "queued": "0x1" }));
    let early = bench.send(&sign(alice(), transfer(0)));
    assert_eq!(bench.number(), 2, "a block for each");
    assert_eq!(bench.receipt(&early)["blockNumber"], "0x1");
    assert_eq!(bench.receipt(&late)["blockNumber"], "0x2");
}

#[test]
fn a_block_takes_the_best_tips_first_and_no_more_than_fits() {
    let bench = Bench::new();
    bench.rpc("evm_setAutomine", json!([false]));
    let tip =
        |account, tip: u128| bench.send(&sign(account, TxEip1559 { max_priority_fee_per_gas: tip, ..transfer(0) }));
    let low = tip(alice(), GWEI);
    let high = tip(bob(), 2 * GWEI);
    bench.rpc("evm_mine", json!([]));
    assert_eq!(bench.latest()["transactions"], json!([high, low]));

    for nonce in 1..=4 {
        bench.send(&sign(alice(), TxEip1559 { gas_limit: 16_000_000, ..transfer(nonce) }));
    }
    bench.rpc("evm_mine", json!([]));
    // Gas not used is room for the next: by limit only three would fit.
    assert_eq!(bench.latest()["transactions"].as_array().unwrap().len(), 4);
}

#[test]
fn a_stuck_transaction_is_mined_when_the_fee_falls_or_dropped_when_asked() {
    let bench = Bench::new();
    bench.rpc("evm_setAutomine", json!([false]));
    let cheap = |nonce| TxEip1559 { max_fee_per_gas: GWEI, max_priority_fee_per_gas: 0, ..transfer(nonce) };
    let stuck = bench.send(&sign(alice(), cheap(0)));
    let dropped = bench.send(&sign(bob(), cheap(0)));
    bench.rpc("anvil_setNextBlockBaseFeePerGas", json!(["0x77359400"]));
    bench.rpc("evm_mine", json!([]));
    assert_eq!(bench.latest()["transactions"], json!([]));
    assert_eq!(bench.rpc("anvil_dropTransaction", json!([dropped])), dropped);
    assert_eq!(bench.rpc("anvil_dropTransaction", json!([dropped])), json!(null));
    bench.rpc("anvil_setNextBlockBaseFeePerGas", json!(["0x1"]));
    bench.rpc("evm_setAutomine", json!([true]));
    assert_eq!(bench.latest()["transactions"], json!([stuck]));
    assert_eq!(bench.nonce(bob().address, "pending"), 0);
}

#[test]
fn only_development_accounts_sign() {
    let bench = Bench::new();
    let accounts = bench.rpc("eth_accounts", json!([]));
    assert_eq!(accounts.as_array().unwrap().len(), 10);
    let error = bench.fails(
        "eth_sendTransaction",
        json!([{ "from": Address::repeat_byte(9), "to": bob().address, "gas": "0x5208" }]),
    );
    assert_eq!(error.code, -32602);
    assert!(error.message.starts_with("unknown account"), "{error}");
}

fn legacy(nonce: u64) -> TxLegacy {
    TxLegacy {
        chain_id: Some(31_337),
        nonce,
        gas_price: 2 * GWEI,
        gas_limit: 21_000,
        to: TxKind::Call(bob().address),
        value: U256::from(1),
        input: Bytes::new(),
    }
}

/// The other signature of the same key over the same hash, which EIP-2 forbids.
fn high_s(transaction: TxEip1559) -> Bytes {
    let order = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
    let low = signature(alice(), &transaction);
    let high = Signature::new(low.r(), order - low.s(), !low.v());
    raw(transaction.into_signed(high).into())
}

//! Transactions that a node refuses, and what it then does: nothing.

use alloy::{
    network::TransactionBuilder,
    primitives::{B256, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
};
use serde_json::json;

use crate::{
    node::{GWEI, Node, dev, ether, receipt, said},
    on_each_node,
};

on_each_node!(
    a_used_nonce_is_refused,
    a_nonce_from_the_future_waits_for_its_turn,
    a_better_paid_transaction_replaces_a_waiting_one,
    a_transaction_has_at_most_2_to_the_24_gas,
    who_cannot_pay_is_refused,
    a_fee_below_the_base_fee_is_refused,
    another_chains_transaction_is_refused,
    a_transaction_is_known_once,
);

/// A transfer of one wei with everything given, so that alloy asks nothing.
fn transfer(nonce: u64) -> TransactionRequest {
    TransactionRequest::default()
        .with_to(dev(9))
        .with_value(U256::from(1))
        .with_nonce(nonce)
        .with_gas_limit(21_000)
        .with_max_fee_per_gas(10 * GWEI)
        .with_max_priority_fee_per_gas(GWEI)
        .with_chain_id(31_337)
}

async fn send(node: &Node, request: TransactionRequest) -> Result<B256, crate::node::NodeError> {
    node.wallet(0).send_transaction(request).await.map(|pending| *pending.tx_hash())
}

async fn a_used_nonce_is_refused(node: Node) {
    let reader = node.reader();
    receipt(&reader, send(&node, transfer(0)).await.unwrap()).await;
    let message = said(send(&node, transfer(0).with_value(U256::from(2))).await);
    assert!(message.contains("nonce too low"), "{message}");
    assert_eq!(reader.get_balance(dev(9)).await.unwrap(), ether(10_000) + U256::from(1));
    assert_eq!(reader.get_block_number().await.unwrap(), 1);
}

async fn a_nonce_from_the_future_waits_for_its_turn(node: Node) {
    let (reader, later) = (node.reader(), send(&node, transfer(1)).await.unwrap());
    assert!(reader.get_transaction_receipt(later).await.unwrap().is_none());
    assert_eq!(reader.get_transaction_count(dev(0)).pending().await.unwrap(), 0);
    let first = send(&node, transfer(0)).await.unwrap();
    assert!(receipt(&reader, first).await.status());
    // The embedded chain has mined both now; anvil takes what became ready into the next block.
    node.rpc("evm_mine", json!([])).await;
    assert!(receipt(&reader, later).await.status());
    assert_eq!(reader.get_transaction_count(dev(0)).await.unwrap(), 2);
}

async fn a_better_paid_transaction_replaces_a_waiting_one(node: Node) {
    node.rpc("evm_setAutomine", json!([false])).await;
    let waiting = send(&node, transfer(0)).await.unwrap();
    let message = said(send(&node, transfer(0).with_value(U256::from(5))).await);
    assert!(message.contains("underpriced"), "{message}");
    let reader = node.reader();
    assert_eq!(reader.get_transaction_count(dev(0)).pending().await.unwrap(), 1);

    let paying = transfer(0).with_max_fee_per_gas(20 * GWEI).with_max_priority_fee_per_gas(2 * GWEI);
    let better = send(&node, paying.with_value(U256::from(7))).await.unwrap();
    assert_eq!(reader.get_transaction_count(dev(0)).pending().await.unwrap(), 1);
    node.rpc("evm_mine", json!([])).await;
    assert!(receipt(&reader, better).await.status());
    assert!(reader.get_transaction_receipt(waiting).await.unwrap().is_none());
    assert_eq!(reader.get_balance(dev(9)).await.unwrap(), ether(10_000) + U256::from(7));
    assert_eq!(reader.get_transaction_count(dev(0)).await.unwrap(), 1);
}

async fn a_transaction_has_at_most_2_to_the_24_gas(node: Node) {
    let message = said(send(&node, transfer(0).with_gas_limit(16_777_217)).await);
    assert!(message.contains("gas") && message.contains("cap"), "{message}");
    let reader = node.reader();
    assert_eq!(reader.get_transaction_count(dev(0)).pending().await.unwrap(), 0);
    let most = send(&node, transfer(0).with_gas_limit(16_777_216)).await.unwrap();
    assert!(receipt(&reader, most).await.status());
}

async fn who_cannot_pay_is_refused(node: Node) {
    // All of the value, and nothing for the gas.
    let message = said(send(&node, transfer(0).with_value(ether(10_000))).await);
    assert!(message.contains("insufficient funds"), "{message}");
    assert_eq!(node.reader().get_transaction_count(dev(0)).pending().await.unwrap(), 0);
}

async fn a_fee_below_the_base_fee_is_refused(node: Node) {
    let message = said(send(&node, transfer(0).with_max_fee_per_gas(1).with_max_priority_fee_per_gas(1)).await);
    assert!(message.contains("base fee"), "{message}");
    let message = said(send(&node, transfer(0).with_max_priority_fee_per_gas(11 * GWEI)).await);
    assert!(message.contains("priority fee"), "{message}");
    assert_eq!(node.reader().get_transaction_count(dev(0)).pending().await.unwrap(), 0);
}

async fn another_chains_transaction_is_refused(node: Node) {
    let message = said(send(&node, transfer(0).with_chain_id(1)).await);
    assert!(message.contains("chain"), "{message}");
    assert_eq!(node.reader().get_transaction_count(dev(0)).pending().await.unwrap(), 0);
}

async fn a_transaction_is_known_once(node: Node) {
    node.rpc("evm_setAutomine", json!([false])).await;
    send(&node, transfer(0)).await.unwrap();
    let message = said(send(&node, transfer(0)).await);
    assert!(message.contains("already"), "{message}");
    node.rpc("evm_mine", json!([])).await;
    assert_eq!(node.reader().get_transaction_count(dev(0)).await.unwrap(), 1);
}

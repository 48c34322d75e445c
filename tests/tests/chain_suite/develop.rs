//! What only development chains do, under the names that tools know.

use alloy::{
    network::TransactionBuilder,
    providers::{DynProvider, Provider},
    rpc::types::{Block, BlockNumberOrTag, TransactionRequest},
};
use serde_json::json;

use crate::{
    node::{Node, dev, ether, receipt},
    on_each_node,
};

on_each_node!(
    a_snapshot_brings_everything_back,
    time_is_moved_on,
    blocks_are_mined_on_demand,
    a_reorg_forgets_blocks,
    a_balance_is_set,
);

async fn latest(reader: &DynProvider) -> Block {
    reader.get_block_by_number(BlockNumberOrTag::Latest).await.unwrap().expect("a block")
}

async fn pay(node: &Node, ethers: u64) -> alloy::rpc::types::TransactionReceipt {
    let request = TransactionRequest::default().with_to(dev(9)).with_value(ether(ethers));
    node.wallet(0).send_transaction(request).await.unwrap().get_receipt().await.unwrap()
}

async fn a_snapshot_brings_everything_back(node: Node) {
    let reader = node.reader();
    pay(&node, 1).await;
    let before = latest(&reader).await;
    let snapshot = node.rpc("evm_snapshot", json!([])).await;
    let later = node.rpc("evm_snapshot", json!([])).await;
    assert_ne!(snapshot, later);
    let undone = pay(&node, 5).await;
    pay(&node, 5).await;

    assert_eq!(node.rpc("evm_revert", json!([snapshot])).await, json!(true));
    assert_eq!(latest(&reader).await.header.hash, before.header.hash);
    assert_eq!(reader.get_balance(dev(9)).await.unwrap(), ether(10_001));
    assert_eq!(reader.get_transaction_count(dev(0)).await.unwrap(), 1);
    assert!(reader.get_transaction_receipt(undone.transaction_hash).await.unwrap().is_none());
    // A snapshot is used once, and takes those after it along.
    assert_eq!(node.rpc("evm_revert", json!([later])).await, json!(false));
    assert_eq!(node.rpc("evm_revert", json!([snapshot])).await, json!(false));
    assert!(pay(&node, 2).await.status());
    assert_eq!(reader.get_balance(dev(9)).await.unwrap(), ether(10_003));
}

async fn time_is_moved_on(node: Node) {
    let reader = node.reader();
    let before = latest(&reader).await.header.timestamp;
    node.rpc("evm_increaseTime", json!([86_400])).await;
    node.rpc("evm_mine", json!([])).await;
    let after = latest(&reader).await.header.timestamp;
    assert!((before + 86_400..before + 86_400 + 600).contains(&after), "{before} {after}");
    // It stays moved.
    node.rpc("evm_mine", json!([])).await;
    assert!(latest(&reader).await.header.timestamp > after - 1);
    let exact = after + 1_000_000;
    node.rpc("evm_setNextBlockTimestamp", json!([exact])).await;
    let mined = pay(&node, 1).await;
    let block = reader.get_block_by_hash(mined.block_hash.unwrap()).await.unwrap().unwrap();
    assert_eq!(block.header.timestamp, exact);
    assert!(node.try_rpc("evm_setNextBlockTimestamp", json!([before])).await.is_err(), "time does not go back");
}

async fn blocks_are_mined_on_demand(node: Node) {
    let reader = node.reader();
    for (method, params, number) in
        [("evm_mine", json!([]), 1), ("anvil_mine", json!([3]), 4), ("hardhat_mine", json!(["0x2"]), 6)]
    {
        node.rpc(method, params).await;
        assert_eq!(reader.get_block_number().await.unwrap(), number, "{method}");
    }
    assert!(latest(&reader).await.transactions.is_empty());
}

async fn a_reorg_forgets_blocks(node: Node) {
    let reader = node.reader();
    let kept = pay(&node, 1).await;
    let gone = pay(&node, 2).await;
    pay(&node, 4).await;
    let old = latest(&reader).await.header;
    node.rpc("anvil_reorg", json!([2, []])).await;
    let new = latest(&reader).await.header;
    assert_eq!(new.number, old.number, "as long as before");
    assert_ne!(new.hash, old.hash);
    assert!(reader.get_block_by_hash(old.hash).await.unwrap().is_none());
    assert_eq!(receipt(&reader, kept.transaction_hash).await.block_hash, kept.block_hash);
    assert!(reader.get_transaction_receipt(gone.transaction_hash).await.unwrap().is_none());
    assert_eq!(reader.get_balance(dev(9)).await.unwrap(), ether(10_001));
    assert_eq!(reader.get_transaction_count(dev(0)).await.unwrap(), 1);
    // The chain goes on from there.
    assert!(pay(&node, 8).await.status());
    assert_eq!(reader.get_balance(dev(9)).await.unwrap(), ether(10_009));
}

async fn a_balance_is_set(node: Node) {
    node.rpc("anvil_setBalance", json!([dev(9), ether(7)])).await;
    assert_eq!(node.reader().get_balance(dev(9)).await.unwrap(), ether(7));
}

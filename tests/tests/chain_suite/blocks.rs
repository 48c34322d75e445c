//! Blocks and what names them.

use alloy::{
    network::TransactionBuilder,
    primitives::U256,
    providers::Provider,
    rpc::types::{BlockId, BlockNumberOrTag, TransactionRequest},
};
use serde_json::json;

use crate::{
    node::{Node, dev, ether},
    on_each_node,
};

on_each_node!(a_fresh_chain_is_the_development_chain, blocks_are_found_by_number_hash_and_tag, state_is_read_by_tag);

async fn a_fresh_chain_is_the_development_chain(node: Node) {
    let reader = node.reader();
    assert_eq!(reader.get_chain_id().await.unwrap(), 31_337);
    assert_eq!(reader.get_net_version().await.unwrap(), 31_337);
    assert_eq!(reader.get_block_number().await.unwrap(), 0);
    assert!(!reader.get_client_version().await.unwrap().is_empty());
    assert_eq!(reader.get_accounts().await.unwrap(), (0..10).map(dev).collect::<Vec<_>>());
    for account in 0..10 {
        assert_eq!(reader.get_balance(dev(account)).await.unwrap(), ether(10_000));
        assert_eq!(reader.get_transaction_count(dev(account)).await.unwrap(), 0);
    }
    let unknown = node.try_rpc("eth_makeCoffee", json!([])).await.expect_err("no such method");
    assert_eq!(unknown.as_error_resp().expect("an answer").code, -32601);
}

async fn blocks_are_found_by_number_hash_and_tag(node: Node) {
    let reader = node.reader();
    node.rpc("anvil_mine", json!(["0x46"])).await; // 70
    let by = async |block: BlockId| reader.get_block(block).await.unwrap().expect("a block").header;
    let latest = by(BlockId::latest()).await;
    assert_eq!(latest.number, 70);
    assert_eq!(by(BlockId::earliest()).await.number, 0);
    assert_eq!(by(BlockId::pending()).await.number, 71);
    assert_eq!(by(BlockId::safe()).await.number, 38);
    assert_eq!(by(BlockId::finalized()).await.number, 6);
    assert_eq!(by(BlockId::hash(latest.hash)).await, latest);
    let parent = by(BlockId::number(69)).await;
    assert_eq!((parent.hash, parent.number), (latest.parent_hash, 69));
    assert!(parent.timestamp <= latest.timestamp, "anvil mines them all in one second");
    assert!(reader.get_block_by_number(BlockNumberOrTag::Number(71)).await.unwrap().is_none());
    assert!(reader.get_block_by_hash(U256::from(1).into()).await.unwrap().is_none());
}

async fn state_is_read_by_tag(node: Node) {
    let wallet = node.wallet(0);
    let transfer = TransactionRequest::default().with_to(dev(9)).with_value(ether(1));
    wallet.send_transaction(transfer.clone()).await.unwrap().get_receipt().await.unwrap();
    node.rpc("evm_setAutomine", json!([false])).await;
    let _waiting = wallet.send_transaction(transfer).await.unwrap();
    for (block, ethers, nonce) in
        [(BlockId::earliest(), 0, 0), (BlockId::number(1), 1, 1), (BlockId::latest(), 1, 1), (BlockId::pending(), 2, 2)]
    {
        let balance = wallet.get_balance(dev(9)).block_id(block).await.unwrap();
        assert_eq!(balance, ether(10_000 + ethers), "{block:?}");
        assert_eq!(wallet.get_transaction_count(dev(0)).block_id(block).await.unwrap(), nonce, "{block:?}");
    }
}

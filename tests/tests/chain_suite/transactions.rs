//! Transactions that do what they say.

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, U256},
    providers::Provider,
    rpc::types::{BlockNumberOrTag, Filter, TransactionRequest},
    sol_types::{SolCall, SolEvent},
};
use matchlock::abi::Arena;

use crate::{
    contract::{TestToken, bytecode, deploy_arena, deploy_token, runtime},
    node::{GWEI, Node, dev, ether, receipt},
    on_each_node,
};

on_each_node!(
    a_transfer_moves_its_value_and_pays_its_fee,
    fees_follow_eip_1559,
    a_legacy_transaction_is_taken_too,
    an_arena_takes_a_deposit_and_says_so,
    a_token_arena_pulls_its_tokens,
    an_estimate_is_enough,
    receipts_tell_apart_the_transactions_of_one_block,
);

async fn a_transfer_moves_its_value_and_pays_its_fee(node: Node) {
    let wallet = node.wallet(0);
    let before = [wallet.get_balance(dev(0)).await.unwrap(), wallet.get_balance(dev(1)).await.unwrap()];
    assert_eq!(before, [ether(10_000); 2]);
    let transfer = TransactionRequest::default().with_to(dev(1)).with_value(ether(3));
    let receipt = wallet.send_transaction(transfer).await.unwrap().get_receipt().await.unwrap();
    assert!(receipt.status());
    assert_eq!((receipt.gas_used, receipt.from, receipt.to), (21_000, dev(0), Some(dev(1))));
    let fee = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
    assert_eq!(wallet.get_balance(dev(0)).await.unwrap(), before[0] - ether(3) - fee);
    assert_eq!(wallet.get_balance(dev(1)).await.unwrap(), before[1] + ether(3));
    assert_eq!(wallet.get_transaction_count(dev(0)).await.unwrap(), 1);
    let sent = wallet.get_transaction_by_hash(receipt.transaction_hash).await.unwrap().expect("known");
    assert_eq!((sent.inner.signer(), sent.block_hash), (dev(0), receipt.block_hash));
}

async fn fees_follow_eip_1559(node: Node) {
    let wallet = node.wallet(0);
    let estimate = wallet.estimate_eip1559_fees().await.unwrap();
    assert!(estimate.max_fee_per_gas >= estimate.max_priority_fee_per_gas && estimate.max_priority_fee_per_gas > 0);
    assert!(wallet.get_gas_price().await.unwrap() > 0);

    // A generous cap pays the base fee and the tip; a tight one all of itself.
    for (cap, tip) in [(100 * GWEI, GWEI), (2 * GWEI, 2 * GWEI)] {
        let request =
            TransactionRequest::default().with_to(dev(1)).with_max_fee_per_gas(cap).with_max_priority_fee_per_gas(tip);
        let receipt = wallet.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
        let block = wallet.get_block_by_hash(receipt.block_hash.unwrap()).await.unwrap().unwrap();
        let base = u128::from(block.header.base_fee_per_gas.unwrap());
        assert_eq!(receipt.effective_gas_price, cap.min(base + tip));
    }

    // Almost empty blocks make gas cheaper, by an eighth at most.
    let history = wallet.get_fee_history(3, BlockNumberOrTag::Latest, &[50.0]).await.unwrap();
    assert_eq!(history.base_fee_per_gas.len(), 4, "of three blocks and the next");
    assert!(history.base_fee_per_gas.windows(2).all(|pair| pair[1] <= pair[0] && pair[1] * 8 >= pair[0] * 7));
    assert!(history.base_fee_per_gas.last() < history.base_fee_per_gas.first());
    assert_eq!(history.reward.expect("asked for").len(), 3);
}

async fn a_legacy_transaction_is_taken_too(node: Node) {
    let wallet = node.wallet(0);
    let request = TransactionRequest::default().with_to(dev(1)).with_gas_price(5 * GWEI).with_value(U256::from(1));
    let receipt = wallet.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
    assert_eq!((receipt.effective_gas_price, receipt.status()), (5 * GWEI, true));
}

async fn an_arena_takes_a_deposit_and_says_so(node: Node) {
    let wallet = node.wallet(0);
    let domain = deploy_arena(&wallet, Address::ZERO).await;
    let code = wallet.get_code_at(domain.arena).await.unwrap();
    assert_eq!(code.len(), runtime("Arena").len(), "immutables fill places that are there");

    let player = node.wallet(1);
    let account = Address::repeat_byte(0xac);
    let call = Arena::depositCall { account };
    let request =
        TransactionRequest::default().with_to(domain.arena).with_input(call.abi_encode()).with_value(ether(2));
    let receipt = player.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
    assert!(receipt.status());
    assert_eq!(player.get_balance(domain.arena).await.unwrap(), ether(2));

    // The event is in the receipt, and found by address, topics, blocks.
    let expected = Arena::Deposited { account, from: dev(1), amount: ether(2).to() };
    let logged = receipt.logs().iter().map(|log| log.log_decode::<Arena::Deposited>().expect("a deposit").inner.data);
    assert_eq!(logged.collect::<Vec<_>>(), std::slice::from_ref(&expected));
    let everywhere = Filter::new().from_block(receipt.block_number.unwrap());
    let by_block = Filter::new().at_block_hash(receipt.block_hash.unwrap());
    for filter in [
        everywhere.clone(),
        by_block,
        everywhere.clone().address(domain.arena),
        Filter::new().from_block(0).event_signature(Arena::Deposited::SIGNATURE_HASH),
        everywhere.clone().topic1(account.into_word()).topic2([dev(3).into_word(), dev(1).into_word()].to_vec()),
    ] {
        let logs = player.get_logs(&filter).await.unwrap();
        assert_eq!(logs.len(), 1, "{filter:?}");
        assert_eq!(logs[0].transaction_hash, Some(receipt.transaction_hash));
        assert_eq!(logs[0].log_decode::<Arena::Deposited>().unwrap().inner.data, expected);
    }
    for filter in [
        everywhere.clone().address(dev(1)),
        everywhere.clone().topic2(account.into_word()),
        Filter::new().select(0..=receipt.block_number.unwrap() - 1).topic1(account.into_word()),
    ] {
        assert!(player.get_logs(&filter).await.unwrap().is_empty(), "{filter:?}");
    }
}

async fn a_token_arena_pulls_its_tokens(node: Node) {
    let wallet = node.wallet(0);
    let token = deploy_token(&wallet).await;
    let domain = deploy_arena(&wallet, token).await;
    let contract = TestToken::new(token, &wallet);
    contract.mint(dev(0), U256::from(1_000)).send().await.unwrap().get_receipt().await.unwrap();
    contract.approve(domain.arena, U256::from(600)).send().await.unwrap().get_receipt().await.unwrap();
    let account = Address::repeat_byte(0xac);
    let deposit = Arena::depositTokenCall { account, amount: U256::from(400).to() };
    let request = TransactionRequest::default().with_to(domain.arena).with_input(deposit.abi_encode());
    let receipt = wallet.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
    assert!(receipt.status());
    assert_eq!(contract.balanceOf(domain.arena).call().await.unwrap(), U256::from(400));
    assert_eq!(contract.balanceOf(dev(0)).call().await.unwrap(), U256::from(600));
    assert_eq!(contract.allowance(dev(0), domain.arena).call().await.unwrap(), U256::from(200));
    let moved = receipt.logs().iter().find_map(|log| log.log_decode::<TestToken::Transfer>().ok()).expect("a transfer");
    assert_eq!((moved.inner.from, moved.inner.to, moved.inner.value), (dev(0), domain.arena, U256::from(400)));
}

async fn an_estimate_is_enough(node: Node) {
    let wallet = node.wallet(0);
    let domain = deploy_arena(&wallet, Address::ZERO).await;
    let plain = TransactionRequest::default().from(dev(0)).with_to(dev(1)).with_value(U256::from(1));
    assert_eq!(wallet.estimate_gas(plain).await.unwrap(), 21_000);
    let deposit = Arena::depositCall { account: Address::repeat_byte(0xac) }.abi_encode();
    let deposit = TransactionRequest::default().with_to(domain.arena).with_input(deposit).with_value(U256::from(1));
    let creation = TransactionRequest::default().with_deploy_code(bytecode("TestToken"));
    for request in [deposit, creation] {
        let estimate = wallet.estimate_gas(request.clone().from(dev(0))).await.unwrap();
        let request = request.with_gas_limit(estimate);
        let receipt = wallet.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
        assert!(receipt.status());
        let used = receipt.gas_used;
        assert!(estimate >= used && estimate <= used * 5 / 4, "{estimate} estimated, {used} used");
    }
}

async fn receipts_tell_apart_the_transactions_of_one_block(node: Node) {
    let unknown = node.reader().get_transaction_receipt(B256::repeat_byte(1)).await.unwrap();
    assert!(unknown.is_none());
    node.rpc("evm_setAutomine", serde_json::json!([false])).await;
    let mut hashes = Vec::new();
    for account in 0..3 {
        let request = TransactionRequest::default().with_to(dev(9)).with_value(U256::from(account + 1));
        let sent = node.wallet(account).send_transaction(request).await.unwrap();
        assert!(node.reader().get_transaction_receipt(*sent.tx_hash()).await.unwrap().is_none(), "not mined yet");
        hashes.push(*sent.tx_hash());
    }
    node.rpc("evm_mine", serde_json::json!([])).await;
    let reader = node.reader();
    let block = reader.get_block_by_number(BlockNumberOrTag::Latest).await.unwrap().unwrap();
    assert_eq!((block.header.number, block.transactions.len()), (1, 3));
    let mut places = Vec::new();
    for (account, hash) in hashes.iter().enumerate() {
        let receipt = receipt(&reader, *hash).await;
        let place = receipt.transaction_index.unwrap();
        assert_eq!((receipt.from, receipt.block_hash), (dev(account), Some(block.header.hash)));
        assert_eq!(receipt.inner.cumulative_gas_used(), (place + 1) * 21_000);
        assert_eq!(block.transactions.hashes().nth(place as usize), Some(*hash));
        places.push(place);
    }
    places.sort_unstable();
    assert_eq!(places, [0, 1, 2]);
}

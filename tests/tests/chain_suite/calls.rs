//! Reading the contract, and what it says when it refuses.

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256, aliases::U96},
    providers::Provider,
    rpc::types::{BlockId, TransactionRequest},
    sol_types::{SolCall, SolInterface},
};
use matchlock::abi::Arena;

use crate::{
    contract::{
        EXIT_WINDOW,
        Refused::{
            self,
            RefusedErrors::{BadLength, NotOperator, WrongAsset, ZeroAddress},
        },
        SALT, arena_creation, config, deploy_arena,
    },
    node::{Node, NodeError, dev, ether},
    on_each_node,
};

on_each_node!(
    the_arena_is_what_it_was_deployed_as,
    a_refusal_carries_the_contracts_error,
    a_refused_transaction_is_mined_as_failed,
    a_constructor_refuses_too,
    a_call_sees_the_block_that_it_names,
);

/// Calls a view.
async fn view<C: SolCall>(node: &Node, arena: Address, call: C) -> C::Return {
    let request = TransactionRequest::default().with_to(arena).with_input(call.abi_encode());
    let answer = node.reader().call(request).await.unwrap();
    C::abi_decode_returns(&answer).expect("the declared types")
}

/// The contract's error in a refusal.
fn decoded<T: std::fmt::Debug>(answer: Result<T, NodeError>) -> Refused::RefusedErrors {
    let error = answer.expect_err("refused");
    let payload = error.as_error_resp().unwrap_or_else(|| panic!("no answer of the node: {error}"));
    let data: Bytes = payload.as_revert_data().unwrap_or_else(|| panic!("no revert data: {payload}"));
    assert_eq!(payload.code, 3, "{payload}");
    Refused::RefusedErrors::abi_decode(&data).unwrap_or_else(|error| panic!("{data}: {error}"))
}

async fn the_arena_is_what_it_was_deployed_as(node: Node) {
    let wallet = node.wallet(0);
    let domain = deploy_arena(&wallet, Address::ZERO).await;
    assert_eq!(view(&node, domain.arena, Arena::domainSeparatorCall {}).await, domain.separator());
    assert_eq!(view(&node, domain.arena, Arena::operatorCall {}).await, dev(0));
    assert_eq!(view(&node, domain.arena, Arena::tokenCall {}).await, Address::ZERO);
    assert_eq!(view(&node, domain.arena, Arena::exitWindowCall {}).await, EXIT_WINDOW);
    let said = view(&node, domain.arena, Arena::eip712DomainCall {}).await;
    assert_eq!((said.name.as_str(), said.version.as_str()), ("Matchlock", "1"));
    assert_eq!((said.chainId, said.verifyingContract, said.salt), (U256::from(31_337), domain.arena, SALT));
}

async fn a_refusal_carries_the_contracts_error(node: Node) {
    let wallet = node.wallet(0);
    let arena = deploy_arena(&wallet, Address::ZERO).await.arena;
    let deposit = Arena::depositCall { account: Address::ZERO }.abi_encode();
    let token = Arena::depositTokenCall { account: dev(5), amount: U256::from(1).to() }.abi_encode();
    let settle = |entries: &[u8]| {
        let entries = entries.to_vec().into();
        Arena::settleCall { entries, resultsRoot: SALT, matches: 0, fees: U256::ZERO.to() }.abi_encode()
    };
    let cases = [
        (1, deposit, ZeroAddress(Refused::ZeroAddress {})),
        (1, token, WrongAsset(Refused::WrongAsset {})),
        (1, settle(&[]), NotOperator(Refused::NotOperator {})),
        (0, settle(&[0; 105]), BadLength(Refused::BadLength { expected: U256::from(208), given: U256::from(105) })),
    ];
    for (account, input, expected) in cases {
        let request = TransactionRequest::default().from(dev(account)).with_to(arena).with_input(input);
        assert_eq!(decoded(wallet.call(request.clone()).await), expected);
        assert_eq!(decoded(wallet.estimate_gas(request.clone()).await), expected);
        // Without a gas limit, sending asks for an estimate first and stops there.
        assert_eq!(decoded(node.wallet(account).send_transaction(request).await.map(drop)), expected);
    }
    assert_eq!(wallet.get_transaction_count(dev(1)).await.unwrap(), 0, "nothing was sent");
}

async fn a_refused_transaction_is_mined_as_failed(node: Node) {
    let arena = deploy_arena(&node.wallet(0), Address::ZERO).await.arena;
    let player = node.wallet(1);
    let input = Arena::depositTokenCall { account: dev(5), amount: U256::from(1).to() }.abi_encode();
    let request = TransactionRequest::default()
        .with_to(arena)
        .with_input(input)
        .with_gas_limit(100_000)
        .with_max_fee_per_gas(10_000_000_000)
        .with_max_priority_fee_per_gas(1);
    let receipt = player.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
    assert!(!receipt.status() && receipt.logs().is_empty());
    assert!(receipt.gas_used > 21_000 && receipt.gas_used < 100_000);
    assert_eq!(player.get_transaction_count(dev(1)).await.unwrap(), 1);
    let fee = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
    assert_eq!(player.get_balance(dev(1)).await.unwrap(), ether(10_000) - fee);
}

async fn a_constructor_refuses_too(node: Node) {
    let nobody = Arena::Config { operator: Address::ZERO, ..config(Address::ZERO) };
    let request = arena_creation(nobody).from(dev(0));
    assert_eq!(decoded(node.wallet(0).estimate_gas(request).await), ZeroAddress(Refused::ZeroAddress {}));
}

async fn a_call_sees_the_block_that_it_names(node: Node) {
    let wallet = node.wallet(0);
    let arena = deploy_arena(&wallet, Address::ZERO).await.arena;
    let before = wallet.get_block_number().await.unwrap();
    let fund =
        TransactionRequest::default().with_to(arena).with_input(Arena::fundCall {}.abi_encode()).with_value(ether(1));
    wallet.send_transaction(fund).await.unwrap().get_receipt().await.unwrap();
    let request = TransactionRequest::default().with_to(arena).with_input(Arena::poolCall {}.abi_encode());
    for (block, equity) in [(BlockId::latest(), ether(1)), (BlockId::number(before), U256::ZERO)] {
        let answer = wallet.call(request.clone()).block(block).await.unwrap();
        assert_eq!(Arena::poolCall::abi_decode_returns(&answer).unwrap().equity, equity.to::<U96>());
    }
    assert!(wallet.call(request.with_to(dev(4))).await.unwrap().is_empty(), "an account without code says nothing");
}

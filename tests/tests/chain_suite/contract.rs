//! The contracts, deployed with alloy.

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes},
    providers::{DynProvider, Provider},
    rpc::types::TransactionRequest,
    sol,
    sol_types::SolConstructor,
};
use matchlock::abi::{Arena, Domain};

use crate::node::{dev, folder};

sol! {
    /// What an arena refuses, of which these tests provoke some.
    #[derive(Debug, PartialEq, Eq)]
    interface Refused {
        error NotOperator();
        error WrongAsset();
        error ZeroAddress();
        error BadLength(uint256 expected, uint256 given);
    }

    #[sol(rpc)]
    interface TestToken {
        function mint(address to, uint256 amount) external;
        function approve(address spender, uint256 amount) external returns (bool);
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        event Transfer(address indexed from, address indexed to, uint256 value);
    }
}

/// The salt of the arenas here.
pub(crate) const SALT: B256 = B256::repeat_byte(0x5a);
/// Seconds.
pub(crate) const EXIT_WINDOW: u32 = 3_600;

/// The creation code of an artifact.
pub(crate) fn bytecode(name: &str) -> Bytes {
    field(name, "bytecode")
}

/// The runtime code of an artifact, with zeroes for immutables.
pub(crate) fn runtime(name: &str) -> Bytes {
    field(name, "runtime")
}

fn field(name: &str, field: &str) -> Bytes {
    let path = folder().join(format!("../sdk/contracts/artifacts/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let artifact: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    artifact[field].as_str().expect("a string").parse().expect("hex")
}

/// An arena of the first development account.
pub(crate) fn config(token: Address) -> Arena::Config {
    Arena::Config {
        operator: dev(0),
        token,
        court: Address::ZERO,
        exitWindow: EXIT_WINDOW,
        salt: SALT,
        beneficiaries: Vec::new(),
        basisPoints: Vec::new(),
    }
}

/// What creates such an arena.
pub(crate) fn arena_creation(config: Arena::Config) -> TransactionRequest {
    let arguments = Arena::constructorCall { config }.abi_encode();
    TransactionRequest::default().with_deploy_code([&bytecode("Arena")[..], &arguments].concat())
}

/// Deploys an arena and returns its domain.
pub(crate) async fn deploy_arena(wallet: &DynProvider, token: Address) -> Domain {
    let arena = create(wallet, arena_creation(config(token))).await;
    Domain { chain_id: 31_337, arena, salt: SALT }
}

/// Deploys a token.
pub(crate) async fn deploy_token(wallet: &DynProvider) -> Address {
    create(wallet, TransactionRequest::default().with_deploy_code(bytecode("TestToken"))).await
}

async fn create(wallet: &DynProvider, request: TransactionRequest) -> Address {
    let receipt = wallet.send_transaction(request).await.expect("accepted").get_receipt().await.expect("a receipt");
    assert!(receipt.status());
    receipt.contract_address.expect("a creation")
}

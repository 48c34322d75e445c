//! The contract, on the embedded chain.

use std::path::Path;

use alloy::sol_types::{SolCall, SolConstructor, SolValue};
use alloy_primitives::{Address, B256, Bytes, address};
use matchlock::{
    abi::{Arena, Domain},
    sign::Key,
};
use matchlock_devchain::{Config, DevChain, dev_accounts};
use serde_json::{Value, json};

/// The arena that the vectors are for: the first contract of the first development account.
pub(crate) fn domain() -> Domain {
    let arena = address!("0x5FbDB2315678afecb367f032d93F642f64180aa3");
    Domain { chain_id: 31_337, arena, salt: B256::repeat_byte(0x5a) }
}

/// Its operator.
pub(crate) fn operator() -> Key {
    Key::from_bytes(&dev_accounts()[0].private_key).expect("a key")
}

/// A chain with one contract on it, at that address.
pub(crate) struct Deployed(DevChain);

impl Deployed {
    pub(crate) fn arena() -> Deployed {
        let config = Arena::Config {
            operator: dev_accounts()[0].address,
            token: Address::ZERO,
            court: Address::ZERO,
            exitWindow: 3_600,
            salt: domain().salt,
            beneficiaries: Vec::new(),
            basisPoints: Vec::new(),
        };
        Deployed::new("Arena", &Arena::constructorCall { config }.abi_encode())
    }

    /// The arena's hashing, opened up for comparison.
    pub(crate) fn hashes() -> Deployed {
        Deployed::new("Hashes", &(dev_accounts()[0].address, domain().salt).abi_encode_params())
    }

    fn new(contract: &str, arguments: &[u8]) -> Deployed {
        let deployed = Deployed(DevChain::open(Config::default()).expect("a chain in memory"));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../sdk/contracts/artifacts/{contract}.json"));
        let artifact: Value = serde_json::from_slice(&std::fs::read(path).expect("the artifact")).expect("JSON");
        let code: Bytes = artifact["bytecode"].as_str().expect("a string").parse().expect("hex");
        let code = [&code[..], arguments].concat();
        let receipt = deployed.transact(json!({ "data": Bytes::from(code) }));
        assert_eq!(receipt["contractAddress"].as_str().expect("a creation").parse(), Ok(domain().arena));
        deployed
    }

    /// Calls a view.
    pub(crate) fn view<C: SolCall>(&self, call: C) -> C::Return {
        let request = json!([{ "to": domain().arena, "data": Bytes::from(call.abi_encode()) }, "latest"]);
        let answer: Bytes =
            serde_json::from_value(self.0.request_blocking("eth_call", request).expect("an answer")).expect("hex");
        C::abi_decode_returns(&answer).expect("the declared types")
    }

    /// Sends a call from the operator and returns the receipt of its success.
    pub(crate) fn call(&self, call: &[u8], value: u64) -> Value {
        let (data, value) = (Bytes::copy_from_slice(call), format!("{value:#x}"));
        self.transact(json!({ "to": domain().arena, "data": data, "value": value }))
    }

    fn transact(&self, mut request: Value) -> Value {
        request["from"] = json!(dev_accounts()[0].address);
        let hash = self.0.request_blocking("eth_sendTransaction", json!([request])).expect("accepted");
        let receipt = self.0.request_blocking("eth_getTransactionReceipt", json!([hash])).expect("an answer");
        assert_eq!(receipt["status"], "0x1");
        receipt
    }
}

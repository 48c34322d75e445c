//! What the tests share: a chain on virtual time, signing, and small contracts written by hand.
#![allow(dead_code, unreachable_pub)] // every test binary uses its own part

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, hex};
use k256::ecdsa::SigningKey;
use matchlock_devchain::{Config, DevAccount, DevChain, RpcError, dev_accounts};
use serde_json::{Value, json};

/// When virtual time begins.
pub const START: u64 = 1_800_000_000;

pub const GWEI: u128 = 1_000_000_000;

/// A chain and the clock it runs on.
pub struct Bench {
    pub chain: DevChain,
    pub clock: Arc<AtomicU64>,
}

impl Bench {
    pub fn new() -> Self {
        Self::open(None)
    }

    pub fn open(directory: Option<&Path>) -> Self {
        let clock = Arc::new(AtomicU64::new(START));
        let mut config = Config::default();
        config.data_dir = directory.map(Path::to_owned);
        let reading = clock.clone();
        config.clock = Arc::new(move || reading.load(Ordering::Relaxed));
        let chain = DevChain::open(config).unwrap();
        Self { chain, clock }
    }

    pub fn rpc(&self, method: &str, params: Value) -> Value {
        self.chain.request_blocking(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    pub fn fails(&self, method: &str, params: Value) -> RpcError {
        match self.chain.request_blocking(method, params) {
            Err(error) => error,
            Ok(value) => panic!("{method} should have failed, but answered {value}"),
        }
    }

    pub fn number(&self) -> u64 {
        quantity(&self.rpc("eth_blockNumber", json!([])))
    }

    pub fn balance(&self, address: Address) -> U256 {
        let balance = self.rpc("eth_getBalance", json!([address, "latest"]));
        balance.as_str().unwrap().parse().unwrap()
    }

    pub fn nonce(&self, address: Address, tag: &str) -> u64 {
        quantity(&self.rpc("eth_getTransactionCount", json!([address, tag])))
    }

    pub fn latest(&self) -> Value {
        self.rpc("eth_getBlockByNumber", json!(["latest", false]))
    }

    pub fn send(&self, raw: &Bytes) -> Value {
        self.rpc("eth_sendRawTransaction", json!([raw]))
    }

    pub fn refused(&self, raw: &Bytes) -> RpcError {
        self.fails("eth_sendRawTransaction", json!([raw]))
    }

    pub fn receipt(&self, hash: &Value) -> Value {
        self.rpc("eth_getTransactionReceipt", json!([hash]))
    }

    /// Deploys code from the first development account and returns its address.
    pub fn deploy(&self, runtime: &[u8]) -> Address {
        let from = dev_accounts()[0].address;
        let request = json!([{ "from": from, "data": Bytes::from(init_code(runtime)) }]);
        let hash = self.rpc("eth_sendTransaction", request);
        let receipt = self.receipt(&hash);
        assert_eq!(receipt["status"], "0x1");
        receipt["contractAddress"].as_str().unwrap().parse().unwrap()
    }
}

pub fn alice() -> &'static DevAccount {
    &dev_accounts()[0]
}

pub fn bob() -> &'static DevAccount {
    &dev_accounts()[1]
}

pub fn quantity(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("no quantity: {value}"));
    u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}

/// A plain transfer that is fine on a new chain; tests change what they are about.
pub fn transfer(nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: 31_337,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: TxKind::Call(bob().address),
        value: U256::from(1),
        ..TxEip1559::default()
    }
}

pub fn sign<T>(account: &DevAccount, transaction: T) -> Bytes
where
    T: SignableTransaction<Signature>,
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = signature(account, &transaction);
    raw(transaction.into_signed(signature).into())
}

pub fn signature<T: SignableTransaction<Signature>>(account: &DevAccount, transaction: &T) -> Signature {
    let key = SigningKey::from_slice(account.private_key.as_slice()).unwrap();
    let hash = transaction.signature_hash();
    Signature::from(key.sign_prehash_recoverable(hash.as_slice()).unwrap())
}

pub fn raw(envelope: TxEnvelope) -> Bytes {
    envelope.encoded_2718().into()
}

/// Creation code that returns `runtime`: PUSH2 len, DUP1, PUSH1 11, PUSH0, CODECOPY, PUSH0, RETURN.
pub fn init_code(runtime: &[u8]) -> Vec<u8> {
    let length = u16::try_from(runtime.len()).unwrap().to_be_bytes();
    let mut code = vec![0x61, length[0], length[1], 0x80, 0x60, 11, 0x5f, 0x39, 0x5f, 0xf3, 0x00];
    code.extend(runtime);
    code
}

/// Adds one to slot 0, logs the new value under topic 0x2a, and returns it.
pub fn counter() -> Vec<u8> {
    // PUSH0 SLOAD PUSH1 1 ADD DUP1 PUSH0 SSTORE PUSH0 MSTORE
    // PUSH1 0x2a PUSH1 32 PUSH0 LOG1 PUSH1 32 PUSH0 RETURN
    hex!("5f54600101805f555f52602a60205fa160205ff3").to_vec()
}

/// Reverts with what it is called with.
pub fn echo_revert() -> Vec<u8> {
    // CALLDATASIZE PUSH0 PUSH0 CALLDATACOPY CALLDATASIZE PUSH0 REVERT
    hex!("365f5f37365ffd").to_vec()
}

/// Calls `callee` with all gas it may pass on, and reverts when the call fails.
pub fn forwarder(callee: Address) -> Vec<u8> {
    // PUSH0 x5 PUSH20 callee GAS CALL PUSH1 33 JUMPI PUSH0 PUSH0 REVERT JUMPDEST STOP
    let mut code = hex!("5f5f5f5f5f73").to_vec();
    code.extend(callee);
    code.extend(hex!("5af1"));
    let target = u8::try_from(code.len() + 6).unwrap();
    code.extend([0x60, target, 0x57, 0x5f, 0x5f, 0xfd, 0x5b, 0x00]);
    code
}

/// Returns TIMESTAMP, NUMBER, COINBASE, PREVRANDAO, BASEFEE, CHAINID, GASLIMIT and BLOCKHASH(NUMBER - 1).
pub fn block_facts() -> Vec<u8> {
    let mut code = Vec::new();
    for (index, opcode) in [0x42, 0x43, 0x41, 0x44, 0x48, 0x46, 0x45].into_iter().enumerate() {
        code.extend([opcode, 0x60, index as u8 * 32, 0x52]);
    }
    code.extend(hex!("6001430340")); // PUSH1 1 NUMBER SUB BLOCKHASH
    code.extend([0x60, 7 * 32, 0x52, 0x61, 0x01, 0x00, 0x5f, 0xf3]);
    code
}

/// A directory that is removed with the value.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("devchain-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

//! The two nodes, and alloy connected to them.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use alloy::{
    network::EthereumWallet,
    primitives::{Address, B256, U256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::TransactionReceipt,
    signers::local::PrivateKeySigner,
    transports::{RpcError, TransportErrorKind},
};
use matchlock_devchain::{Config, DevChain, dev_accounts};
use tokio::net::TcpListener;

/// 10^9 wei.
pub(crate) const GWEI: u128 = 1_000_000_000;

/// What alloy says when a node says no.
pub(crate) type NodeError = RpcError<TransportErrorKind>;

/// A fresh node with the ten development accounts; it ends with the value.
pub(crate) struct Node {
    pub(crate) url: String,
    /// The embedded chain runs on the test's runtime, and ends with it.
    _anvil: Option<Anvil>,
}

impl Node {
    pub(crate) async fn embedded() -> Node {
        let chain = DevChain::open(Config::default()).expect("a chain in memory");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { chain.serve(listener, std::future::pending()).await });
        Node { url, _anvil: None }
    }

    pub(crate) async fn anvil() -> Node {
        let anvil = Anvil::start();
        Node { url: anvil.url.clone(), _anvil: Some(anvil) }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Signs nothing.
    pub(crate) fn reader(&self) -> DynProvider {
        self.fast(ProviderBuilder::new().connect_http(self.url.parse().expect("an address")))
    }

    /// Signs for one of the development accounts.
    pub(crate) fn wallet(&self, account: usize) -> DynProvider {
        let wallet = EthereumWallet::from(signer(account));
        self.fast(ProviderBuilder::new().wallet(wallet).connect_http(self.url.parse().expect("an address")))
    }

    fn fast(&self, provider: impl Provider + 'static) -> DynProvider {
        provider.client().set_poll_interval(Duration::from_millis(10));
        provider.erased()
    }

    /// Calls a method that alloy has no name for.
    pub(crate) async fn rpc(&self, method: &'static str, params: serde_json::Value) -> serde_json::Value {
        self.try_rpc(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    pub(crate) async fn try_rpc(
        &self,
        method: &'static str,
        params: serde_json::Value,
    ) -> Result<serde_json::Value, NodeError> {
        self.reader().raw_request(method.into(), params).await
    }
}

/// npm's anvil as a child, killed with the value.
struct Anvil {
    child: Child,
    url: String,
}

impl Anvil {
    fn start() -> Anvil {
        let binary = foundry("anvil");
        let mut child = Command::new(&binary)
            .args(["--host", "127.0.0.1", "--port", "0", "--enable-tx-gas-limit"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}: `cargo xtask test` installs it", binary.display()));
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let listening =
            lines.find_map(|line| Some(line.expect("text").strip_prefix("Listening on ")?.trim().to_owned()));
        let address = listening.expect("anvil said where it listens");
        // It logs every request; a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Anvil { child, url: format!("http://{address}") }
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary that npm's package for this platform brings, else the system's own.
fn foundry(tool: &str) -> PathBuf {
    let npm = folder().join(format!("node_modules/@foundry-rs/{tool}-linux-amd64/bin/{tool}"));
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) { npm } else { tool.into() }
}

/// Of this crate: has `package.json`.
pub(crate) fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The key of a development account.
pub(crate) fn signer(account: usize) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&dev_accounts()[account].private_key).expect("a key")
}

/// A development account.
pub(crate) fn dev(account: usize) -> Address {
    dev_accounts()[account].address
}

/// 10^18 wei, so often.
pub(crate) fn ether(count: u64) -> U256 {
    U256::from(count) * U256::from(10).pow(U256::from(18))
}

/// The receipt of a transaction that is mined or will be in a moment: anvil answers a little before it mines.
pub(crate) async fn receipt(provider: &impl Provider, hash: B256) -> TransactionReceipt {
    for _ in 0..1_000 {
        if let Some(receipt) = provider.get_transaction_receipt(hash).await.expect("an answer") {
            return receipt;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{hash} is not mined");
}

/// What the node said when it refused.
pub(crate) fn said<T: std::fmt::Debug>(answer: Result<T, NodeError>) -> String {
    match answer {
        Err(RpcError::ErrorResp(payload)) => payload.message.to_lowercase(),
        other => panic!("expected the node's refusal, not {other:?}"),
    }
}

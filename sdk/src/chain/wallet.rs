//! A wallet without a person: a key and an endpoint.

use std::{borrow::ToOwned, boxed::Box, format, string::ToString, sync::Arc, vec::Vec};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Call, Fees, Provider, ProviderError, Rpc,
    rpc::{BlockId, malformed},
};
use crate::sign::{Signer, SignerError};

/// The most gas that a transaction may ask for (EIP-7825).
pub const GAS_CAP: u64 = 1 << 24;

/// An estimate with room for what changes before the transaction is mined: a quarter.
pub fn with_margin(estimate: u64) -> u64 {
    estimate.saturating_add(estimate / 4).min(GAS_CAP.max(estimate))
}

/// A signed EIP-1559 transaction, ready to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTransaction {
    /// Its hash.
    pub hash: B256,
    /// Its bytes.
    pub raw: Bytes,
}

impl SignedTransaction {
    /// Signs the transaction that makes `call` with everything else given.
    ///
    /// # Errors
    /// The signer refuses.
    pub fn sign(
        signer: &dyn Signer,
        chain_id: u64,
        nonce: u64,
        call: &Call,
        gas_limit: u64,
        max_fee_per_gas: u128,
        tip: u128,
    ) -> Result<SignedTransaction, SignerError> {
        let transaction = TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas: tip.min(max_fee_per_gas),
            to: call.to.map_or(TxKind::Create, TxKind::Call),
            value: call.value,
            access_list: Default::default(),
            input: call.data.clone(),
        };
        let signature = signer.sign(transaction.signature_hash())?;
        let signature = alloy_primitives::Signature::from_erc2098(&signature.0);
        let signed = transaction.into_signed(signature);
        let mut raw = Vec::new();
        signed.eip2718_encode(&mut raw);
        Ok(SignedTransaction { hash: *signed.hash(), raw: raw.into() })
    }
}

/// A provider that holds a key and signs with it what it is asked to send.
///
/// It answers `eth_accounts`, `eth_requestAccounts` and `eth_sendTransaction`, and passes everything else on. Clones
/// share the key and the order of nonces; a second wallet with the same key does not.
#[derive(Clone)]
pub struct LocalWallet<P> {
    rpc: Rpc<P>,
    signer: Arc<dyn Signer>,
    /// Held from choosing a nonce until the node has it.
    order: Arc<tokio::sync::Mutex<()>>,
}

impl<P> core::fmt::Debug for LocalWallet<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "LocalWallet({})", self.signer.address())
    }
}

impl<P: Provider> LocalWallet<P> {
    /// A wallet with this key that sends through `provider`.
    pub fn new(provider: P, signer: impl Signer + 'static) -> LocalWallet<P> {
        LocalWallet { rpc: Rpc(provider), signer: Arc::new(signer), order: Arc::default() }
    }

    /// The wallet's address.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    async fn send(&self, params: &Value) -> Result<Value, ProviderError> {
        let wanted: Wanted = params
            .get(0)
            .cloned()
            .map_or_else(|| Err("there is none".to_owned()), |w| serde_json::from_value(w).map_err(|e| e.to_string()))
            .map_err(|reason| ProviderError::Rpc {
                code: ProviderError::INVALID_PARAMS,
                message: format!("malformed transaction: {reason}"),
                data: None,
            })?;
        let address = self.address();
        if wanted.from.is_some_and(|from| from != address) {
            let message = format!("this wallet holds {address}, not {}", wanted.from.unwrap_or_default());
            return Err(ProviderError::Rpc { code: ProviderError::UNAUTHORIZED, message, data: None });
        }
        let data = wanted.input.or(wanted.data).unwrap_or_default();
        let value = wanted.value.unwrap_or_default();
        let call = Call { from: Some(address), to: wanted.to, data, value };
        let chain_id = self.rpc.chain_id().await?;
        let fees = match (wanted.max_fee_per_gas, wanted.max_priority_fee_per_gas) {
            (Some(cap), Some(tip)) => Fees { base: cap.saturating_to(), tip: tip.saturating_to() },
            _ => self.rpc.fees().await?,
        };
        let cap = wanted.max_fee_per_gas.map_or_else(|| fees.cap(), |cap| cap.saturating_to());

        let _turn = self.order.lock().await;
        let gas = match wanted.gas {
            Some(gas) => gas.to(),
            None => with_margin(self.rpc.estimate_gas(&call).await?),
        };
        let nonce = match wanted.nonce {
            Some(nonce) => nonce.to(),
            None => self.rpc.nonce(address, BlockId::Pending).await?,
        };
        let signed = SignedTransaction::sign(&*self.signer, chain_id, nonce, &call, gas, cap, fees.tip)
            .map_err(|error| ProviderError::from_rpc(ProviderError::UNAUTHORIZED, error.to_string(), None))?;
        let hash = self.rpc.send_raw(&signed.raw).await?;
        if hash != signed.hash {
            return Err(malformed("eth_sendRawTransaction", format!("it is of {hash}, not of {}", signed.hash)));
        }
        Ok(json!(hash))
    }
}

impl<P: Provider> Provider for LocalWallet<P> {
    fn request<'a>(&'a self, method: &'a str, params: Value) -> Answer<'a> {
        match method {
            "eth_accounts" | "eth_requestAccounts" => Box::pin(async { Ok(json!([self.address()])) }),
            "eth_sendTransaction" => Box::pin(async move { self.send(&params).await }),
            _ => self.rpc.0.request(method, params),
        }
    }
}

/// `eth_sendTransaction`'s parameter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    from: Option<Address>,
    to: Option<Address>,
    data: Option<Bytes>,
    input: Option<Bytes>,
    value: Option<U256>,
    gas: Option<U64>,
    nonce: Option<U64>,
    max_fee_per_gas: Option<U256>,
    max_priority_fee_per_gas: Option<U256>,
}

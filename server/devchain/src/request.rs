//! The transaction object of `eth_call`, `eth_estimateGas` and `eth_sendTransaction`.

use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, Bytes, TxKind, U64, U128, U256};
use serde::Deserialize;

/// An unsigned transaction as clients write it; everything may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CallRequest {
    from: Option<Address>,
    to: Option<Address>,
    gas: Option<U64>,
    gas_price: Option<U128>,
    max_fee_per_gas: Option<U128>,
    max_priority_fee_per_gas: Option<U128>,
    value: Option<U256>,
    /// The newer name; `data` is the older one, and clients send either or both.
    input: Option<Bytes>,
    data: Option<Bytes>,
    nonce: Option<U64>,
    chain_id: Option<U64>,
    access_list: Option<Vec<AccessListEntry>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessListEntry {
    address: Address,
    #[serde(default)]
    storage_keys: Vec<alloy_primitives::B256>,
}

impl CallRequest {
    /// The parts that contradict each other, in words.
    pub(crate) fn contradiction(&self, chain_id: u64) -> Option<&'static str> {
        if let (Some(input), Some(data)) = (&self.input, &self.data)
            && input != data
        {
            return Some("`data` and `input` differ; send one of them");
        }
        if self.gas_price.is_some() && (self.max_fee_per_gas.is_some() || self.max_priority_fee_per_gas.is_some()) {
            return Some("`gasPrice` and `maxFeePerGas`/`maxPriorityFeePerGas` exclude each other");
        }
        if self.chain_id.is_some_and(|id| id.to::<u64>() != chain_id) {
            return Some("`chainId` is not this chain's");
        }
        None
    }

    pub(crate) fn from(&self) -> Address {
        self.from.unwrap_or_default()
    }

    pub(crate) fn kind(&self) -> TxKind {
        self.to.map_or(TxKind::Create, TxKind::Call)
    }

    pub(crate) fn gas(&self) -> Option<u64> {
        self.gas.map(|gas| gas.to())
    }

    pub(crate) fn nonce(&self) -> Option<u64> {
        self.nonce.map(|nonce| nonce.to())
    }

    pub(crate) fn value(&self) -> U256 {
        self.value.unwrap_or_default()
    }

    pub(crate) fn data(&self) -> Bytes {
        let data = self.input.as_ref().or(self.data.as_ref());
        data.cloned().unwrap_or_default()
    }

    /// The fee cap, or the price, or zero.
    pub(crate) fn price_cap(&self) -> u128 {
        let price = self.max_fee_per_gas.or(self.gas_price);
        price.unwrap_or_default().to()
    }

    /// The legacy gas price, when that is how the fee was given.
    pub(crate) fn gas_price(&self) -> Option<u128> {
        self.gas_price.map(|price| price.to())
    }

    /// The fee cap, when the fee was given as EIP-1559 does.
    pub(crate) fn max_fee(&self) -> Option<u128> {
        self.max_fee_per_gas.map(|fee| fee.to())
    }

    /// The tip; with a fee cap alone it is zero, so that the call stays an EIP-1559 one.
    pub(crate) fn tip(&self) -> Option<u128> {
        match (self.max_fee_per_gas, self.max_priority_fee_per_gas) {
            (None, _) => None,
            (Some(_), tip) => Some(tip.unwrap_or_default().to()),
        }
    }

    /// The tip exactly as given.
    pub(crate) fn tip_given(&self) -> Option<u128> {
        self.max_priority_fee_per_gas.map(|tip| tip.to())
    }

    pub(crate) fn access_list(&self) -> AccessList {
        let entries = self.access_list.as_deref().unwrap_or_default();
        AccessList(
            entries
                .iter()
                .map(|entry| alloy_eips::eip2930::AccessListItem {
                    address: entry.address,
                    storage_keys: entry.storage_keys.clone(),
                })
                .collect(),
        )
    }
}

//! A signed transaction as it arrives: decoding, and the checks that need no state.

use alloy_consensus::{Transaction as _, TxEnvelope, transaction::SignerRecoverable};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, U256};

use crate::{
    error::Refusal,
    evm::{Rules, TRANSACTION_GAS_CAP},
    state::State,
    store::StoreError,
};

/// geth's limit on one transaction; the largest contract creation fits.
pub(crate) const TRANSACTION_BYTES: usize = 128 * 1024;

/// How far ahead of the account's nonce a transaction may wait.
pub(crate) const NONCE_AHEAD: u64 = 64;

/// A decoded transaction with its sender.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) envelope: TxEnvelope,
    pub(crate) sender: Address,
}

impl Signed {
    /// Decodes the bytes of `eth_sendRawTransaction`.
    pub(crate) fn decode(raw: &[u8], rules: Rules) -> Result<Self, Refusal> {
        if raw.len() > TRANSACTION_BYTES {
            return Err(Refusal::Oversized { size: raw.len(), limit: TRANSACTION_BYTES });
        }
        // Before decoding, because a blob transaction with its sidecar has another shape.
        match raw.first() {
            Some(3) => return Err(Refusal::UnsupportedType("blob transaction (EIP-4844)")),
            Some(0 | 5..=0x7f) => return Err(Refusal::UnsupportedType("unknown")),
            _ => {}
        }
        let envelope = TxEnvelope::decode_2718_exact(raw).map_err(|error| Refusal::Malformed(error.to_string()))?;
        Self::checked(envelope, rules)
    }

    /// Checks what can be checked without state and recovers the sender.
    pub(crate) fn checked(envelope: TxEnvelope, rules: Rules) -> Result<Self, Refusal> {
        match envelope.chain_id() {
            None => return Err(Refusal::Unprotected),
            Some(have) if have != rules.chain_id => {
                return Err(Refusal::WrongChain { have, want: rules.chain_id });
            }
            Some(_) => {}
        }
        let size = envelope.encode_2718_len();
        if size > TRANSACTION_BYTES {
            return Err(Refusal::Oversized { size, limit: TRANSACTION_BYTES });
        }
        let gas = envelope.gas_limit();
        if gas > TRANSACTION_GAS_CAP {
            return Err(Refusal::GasAboveCap { gas, cap: TRANSACTION_GAS_CAP });
        }
        if gas > rules.block_gas_limit {
            return Err(Refusal::GasAboveBlock { gas, limit: rules.block_gas_limit });
        }
        if envelope.max_priority_fee_per_gas().is_some_and(|tip| tip > envelope.max_fee_per_gas()) {
            return Err(Refusal::TipAboveFee);
        }
        let sender = envelope.recover_signer().map_err(|_| Refusal::BadSignature)?;
        Ok(Self { envelope, sender })
    }

    /// A transaction that was checked before it was stored.
    pub(crate) fn decode_stored(raw: &[u8]) -> Result<Self, StoreError> {
        let corrupt = StoreError::Corrupt("pending transaction");
        let Ok(envelope) = TxEnvelope::decode_2718_exact(raw) else {
            return Err(corrupt);
        };
        match envelope.recover_signer() {
            Ok(sender) => Ok(Self { envelope, sender }),
            Err(_) => Err(corrupt),
        }
    }

    pub(crate) fn hash(&self) -> B256 {
        *self.envelope.tx_hash()
    }

    pub(crate) fn nonce(&self) -> u64 {
        self.envelope.nonce()
    }

    /// The most it can cost its sender.
    pub(crate) fn cost(&self) -> U256 {
        let fee = U256::from(self.envelope.gas_limit()) * U256::from(self.envelope.max_fee_per_gas());
        fee.saturating_add(self.envelope.value())
    }

    /// The tip, or the whole price of a transaction from before EIP-1559.
    pub(crate) fn tip_cap(&self) -> u128 {
        self.envelope.priority_fee_or_price()
    }

    /// The checks that need the sender's account and the next block's base fee.
    pub(crate) fn check_against(&self, state: &State, base_fee: u64) -> Result<Result<(), Refusal>, StoreError> {
        let next = state.nonce(self.sender)?;
        let nonce = self.nonce();
        if nonce < next {
            return Ok(Err(Refusal::NonceTooLow { next, nonce }));
        }
        if nonce > next.saturating_add(NONCE_AHEAD) {
            return Ok(Err(Refusal::NonceTooHigh { next, nonce, limit: NONCE_AHEAD }));
        }
        let max_fee = self.envelope.max_fee_per_gas();
        if max_fee < u128::from(base_fee) {
            return Ok(Err(Refusal::Underpriced { max_fee, base_fee }));
        }
        let balance = state.balance(self.sender)?;
        let cost = self.cost();
        if balance < cost {
            return Ok(Err(Refusal::InsufficientFunds { balance, cost }));
        }
        Ok(Ok(()))
    }
}

//! Blocks, transactions, receipts and logs as JSON.

use alloy_consensus::{Header, ReceiptEnvelope, Transaction as _, TxEnvelope, Typed2718};
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, B256, Log, U256};
use alloy_rlp::Encodable;
use serde_json::{Value, json};

use crate::store::{Block, Entry};

/// A number in hex without leading zeros.
pub(crate) fn quantity(number: impl TryInto<u128>) -> Value {
    // Every caller's type fits; a default is no worse than a panic for one that would not.
    json!(format!("{:#x}", number.try_into().unwrap_or_default()))
}

fn big(number: U256) -> Value {
    json!(format!("{number:#x}"))
}

pub(crate) fn block(block: &Block, full: bool) -> Value {
    let mut object = header(block.hash, &block.header);
    let transactions: Vec<Value> = block
        .entries
        .iter()
        .enumerate()
        .map(|(index, entry)| match full {
            true => mined_transaction(block, index, entry),
            false => json!(entry.transaction.tx_hash()),
        })
        .collect();
    let size = block.header.length() + block.entries.iter().map(|entry| entry.transaction.length()).sum::<usize>();
    object["transactions"] = Value::Array(transactions);
    object["size"] = quantity(size as u64);
    object["uncles"] = json!([]);
    object["withdrawals"] = json!([]);
    object
}

fn header(hash: B256, header: &Header) -> Value {
    json!({
        "hash": hash,
        "parentHash": header.parent_hash,
        "sha3Uncles": header.ommers_hash,
        "miner": header.beneficiary,
        "stateRoot": header.state_root,
        "transactionsRoot": header.transactions_root,
        "receiptsRoot": header.receipts_root,
        "logsBloom": header.logs_bloom,
        "difficulty": big(header.difficulty),
        "totalDifficulty": "0x0",
        "number": quantity(header.number),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "extraData": header.extra_data,
        "mixHash": header.mix_hash,
        "nonce": header.nonce,
        "baseFeePerGas": quantity(header.base_fee_per_gas.unwrap_or_default()),
        "withdrawalsRoot": header.withdrawals_root,
        "blobGasUsed": quantity(header.blob_gas_used.unwrap_or_default()),
        "excessBlobGas": quantity(header.excess_blob_gas.unwrap_or_default()),
        "parentBeaconBlockRoot": header.parent_beacon_block_root,
        "requestsHash": header.requests_hash,
    })
}

pub(crate) fn mined_transaction(block: &Block, index: usize, entry: &Entry) -> Value {
    let mut object = transaction(&entry.transaction, entry.sender);
    let base_fee = block.header.base_fee_per_gas;
    object["blockHash"] = json!(block.hash);
    object["blockNumber"] = quantity(block.header.number);
    object["blockTimestamp"] = quantity(block.header.timestamp);
    object["transactionIndex"] = quantity(index as u64);
    object["gasPrice"] = quantity(entry.transaction.effective_gas_price(base_fee));
    object
}

/// A transaction that is in no block yet.
pub(crate) fn transaction(transaction: &TxEnvelope, sender: Address) -> Value {
    let signature = transaction.signature();
    let mut object = json!({
        "type": quantity(transaction.ty()),
        "hash": transaction.tx_hash(),
        "from": sender,
        "to": transaction.to(),
        "nonce": quantity(transaction.nonce()),
        "gas": quantity(transaction.gas_limit()),
        "gasPrice": quantity(transaction.max_fee_per_gas()),
        "value": big(transaction.value()),
        "input": transaction.input(),
        "r": big(signature.r()),
        "s": big(signature.s()),
        "blockHash": null,
        "blockNumber": null,
        "transactionIndex": null,
    });
    let parity = u64::from(signature.v());
    if let Some(chain_id) = transaction.chain_id() {
        object["chainId"] = quantity(chain_id);
    }
    if transaction.is_legacy() {
        let v = match transaction.chain_id() {
            Some(chain_id) => u128::from(chain_id) * 2 + 35 + u128::from(parity),
            None => 27 + u128::from(parity),
        };
        object["v"] = quantity(v);
    } else {
        object["v"] = quantity(parity);
        object["yParity"] = quantity(parity);
        object["accessList"] = access_list(transaction.access_list());
    }
    if let Some(tip) = transaction.max_priority_fee_per_gas() {
        object["maxFeePerGas"] = quantity(transaction.max_fee_per_gas());
        object["maxPriorityFeePerGas"] = quantity(tip);
    }
    if let Some(authorizations) = transaction.authorization_list() {
        object["authorizationList"] = authorizations
            .iter()
            .map(|signed| {
                json!({
                    "chainId": big(signed.chain_id),
                    "address": signed.address,
                    "nonce": quantity(signed.nonce),
                    "yParity": quantity(signed.y_parity()),
                    "r": big(signed.r()),
                    "s": big(signed.s()),
                })
            })
            .collect();
    }
    object
}

fn access_list(list: Option<&AccessList>) -> Value {
    list.into_iter()
        .flat_map(|list| &list.0)
        .map(|item| json!({ "address": item.address, "storageKeys": item.storage_keys }))
        .collect()
}

/// All receipts of a block, in order.
pub(crate) fn receipts(block: &Block) -> Vec<Value> {
    let mut gas_before = 0;
    let mut logs_before = 0;
    let mut receipts = Vec::with_capacity(block.entries.len());
    for (index, entry) in block.entries.iter().enumerate() {
        let cumulative = entry.receipt.cumulative_gas_used();
        receipts.push(receipt(block, index, entry, cumulative - gas_before, logs_before));
        gas_before = cumulative;
        logs_before += entry.receipt.logs().len();
    }
    receipts
}

fn receipt(block: &Block, index: usize, entry: &Entry, gas_used: u64, logs_before: usize) -> Value {
    let Entry { transaction, sender, receipt } = entry;
    let created = transaction.is_create().then(|| sender.create(transaction.nonce()));
    let logs: Vec<Value> =
        receipt.logs().iter().enumerate().map(|(at, event)| log(block, index, logs_before + at, event)).collect();
    json!({
        "type": quantity(transaction.ty()),
        "status": quantity(u8::from(receipt.status())),
        "transactionHash": transaction.tx_hash(),
        "transactionIndex": quantity(index as u64),
        "blockHash": block.hash,
        "blockNumber": quantity(block.header.number),
        "blockTimestamp": quantity(block.header.timestamp),
        "from": sender,
        "to": transaction.to(),
        "contractAddress": created,
        "cumulativeGasUsed": quantity(receipt.cumulative_gas_used()),
        "gasUsed": quantity(gas_used),
        "effectiveGasPrice": quantity(transaction.effective_gas_price(block.header.base_fee_per_gas)),
        "logs": logs,
        "logsBloom": bloom(receipt),
    })
}

fn bloom(receipt: &ReceiptEnvelope) -> Value {
    json!(receipt.logs_bloom())
}

pub(crate) fn log(block: &Block, index: usize, log_index: usize, log: &Log) -> Value {
    json!({
        "address": log.address,
        "topics": log.topics(),
        "data": log.data.data,
        "blockHash": block.hash,
        "blockNumber": quantity(block.header.number),
        "blockTimestamp": quantity(block.header.timestamp),
        "transactionHash": block.entries[index].transaction.tx_hash(),
        "transactionIndex": quantity(index as u64),
        "logIndex": quantity(log_index as u64),
        "removed": false,
    })
}

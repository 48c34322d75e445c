//! The methods, by the names that tools call them.

mod develop;
mod fees;
mod filters;
mod logs;
mod params;
mod read;
mod shape;

use serde_json::{Value, json};

use crate::{accounts, chain::Chain, error::ChainError};
pub(crate) use filters::Filters;
use params::Params;

/// Answers one request.
pub(crate) fn answer(chain: &Chain, method: &str, params: Value) -> Result<Value, ChainError> {
    let params = Params::new(params)?;
    match method {
        "web3_clientVersion" => Ok(json!(concat!("matchlock-devchain/", env!("CARGO_PKG_VERSION"), "/revm"))),
        "net_version" => Ok(json!(chain.rules.chain_id.to_string())),
        "net_listening" => Ok(json!(true)),
        "eth_chainId" => Ok(shape::quantity(chain.rules.chain_id)),
        "eth_syncing" => Ok(json!(false)),
        "eth_accounts" | "eth_requestAccounts" => {
            Ok(accounts::dev_accounts().iter().map(|account| json!(account.address)).collect())
        }
        "eth_blockNumber" => Ok(shape::quantity(chain.view()?.meta.head)),

        "eth_getBlockByNumber" => read::block_by_number(chain, &params),
        "eth_getBlockByHash" => read::block_by_hash(chain, &params),
        "eth_getBlockReceipts" => read::block_receipts(chain, &params),
        "eth_getTransactionByHash" => read::transaction(chain, &params),
        "eth_getTransactionReceipt" => read::receipt(chain, &params),
        "eth_getBalance" => read::balance(chain, &params),
        "eth_getTransactionCount" => read::transaction_count(chain, &params),
        "eth_getCode" => read::code(chain, &params),
        "eth_getStorageAt" => read::storage(chain, &params),
        "eth_call" => read::call(chain, &params),
        "eth_estimateGas" => read::estimate_gas(chain, &params),
        "eth_getLogs" => logs::logs(chain, &params),

        "eth_newFilter" => filters::install(chain, Some(params)),
        "eth_newBlockFilter" => filters::install(chain, None),
        "eth_getFilterChanges" => filters::changes(chain, &params),
        "eth_getFilterLogs" => filters::all_logs(chain, &params),
        "eth_uninstallFilter" => filters::uninstall(chain, &params),

        "eth_gasPrice" => fees::gas_price(chain),
        "eth_maxPriorityFeePerGas" => Ok(fees::tip()),
        "eth_feeHistory" => fees::history(chain, &params),

        "eth_sendRawTransaction" => {
            let raw: alloy_primitives::Bytes = params.required(0, "raw transaction")?;
            Ok(json!(chain.send(&raw)?))
        }
        "eth_sendTransaction" => {
            let request = params.call_request(chain.rules.chain_id)?;
            Ok(json!(chain.send_request(&request)?))
        }

        _ => develop::answer(chain, method, &params),
    }
}

//! Filters that clients poll. They live in memory; when there are too many, the oldest goes.
//!
//! After a reorg to the same height a filter has nothing new to report: replaced blocks are not announced again, nor
//! are logs that went away. Clients that must see reorgs compare block hashes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{logs, params::Params, shape};
use crate::{chain::Chain, error::ChainError};

/// How many filters may be installed at once.
const FILTERS: usize = 256;

/// The installed filters by their ids.
#[derive(Default)]
pub(crate) struct Filters {
    installed: BTreeMap<u64, Installed>,
    last: u64,
}

struct Installed {
    /// What was asked for; `None` asks for block hashes.
    logs: Option<Value>,
    /// The newest block that was looked at.
    seen: u64,
}

pub(crate) fn install(chain: &Chain, params: Option<Params>) -> Result<Value, ChainError> {
    let view = chain.view()?;
    let seen = view.meta.head;
    let logs = match params {
        Some(params) => {
            // A filter that makes no sense is refused now, not at the first poll.
            logs::logs_from(chain, &params, &view, seen + 1)?;
            Some(params.required(0, "filter")?)
        }
        None => None,
    };
    let mut filters = chain.filters();
    filters.last += 1;
    let id = filters.last;
    filters.installed.insert(id, Installed { logs, seen });
    if filters.installed.len() > FILTERS {
        filters.installed.pop_first();
    }
    Ok(shape::quantity(id))
}

/// What is new since the last poll.
pub(crate) fn changes(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let id = params.required_quantity(0, "filter id")?;
    let view = chain.view()?;
    let head = view.meta.head;
    let (wanted, seen) = {
        let mut filters = chain.filters();
        let filter = filters.installed.get_mut(&id).ok_or(ChainError::UnknownFilter)?;
        let seen = filter.seen.min(head);
        filter.seen = head;
        (filter.logs.clone(), seen)
    };
    match wanted {
        Some(filter) => logs::logs_from(chain, &Params::new(json!([filter]))?, &view, seen + 1),
        None => (seen + 1..=head)
            .map(|number| {
                let (hash, _) = view.header(number)?.ok_or(ChainError::UnknownBlock)?;
                Ok(json!(hash))
            })
            .collect(),
    }
}

/// Everything a log filter covers, seen or not.
pub(crate) fn all_logs(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let id = params.required_quantity(0, "filter id")?;
    let filter = chain.filters().installed.get(&id).and_then(|filter| filter.logs.clone());
    let filter = filter.ok_or(ChainError::UnknownFilter)?;
    logs::logs(chain, &Params::new(json!([filter]))?)
}

pub(crate) fn uninstall(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let id = params.required_quantity(0, "filter id")?;
    Ok(json!(chain.filters().installed.remove(&id).is_some()))
}

//! Options: by file, by environment, by flag; the later wins.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use alloy_primitives::Address;
use matchlock::game::{Amount, BasisPoints};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    arbiter::ArbiterConfig,
    chain::ChainConfig,
    server::{ChainChoice, Config, parse_key, read_key},
    settings::Settings,
    tower::{Limits, TowerConfig},
};

/// What can be set, everything optional. The same names serve as flags (`--data-dir`), in the environment
/// (`MATCHLOCK_DATA_DIR`) and in the file (`data-dir = "..."`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// TOML file with any of these options; flags and environment variables win over it
    #[arg(long, env = "MATCHLOCK_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Address and port for everything: WebSocket, HTTP, and the embedded chain's RPC [default: 127.0.0.1:7777]
    #[arg(long, env = "MATCHLOCK_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,

    /// Directory for matches, statements, keys and the embedded chain [default: matchlock-data]
    #[arg(long, env = "MATCHLOCK_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Operator's fee on decided pots of the demo games, in basis points [default: 0]
    #[arg(long, env = "MATCHLOCK_FEE", value_name = "BP")]
    pub fee: Option<u16>,

    /// A node's JSON-RPC endpoint; without it the embedded chain runs, with play money
    #[arg(long, env = "MATCHLOCK_CHAIN_RPC", value_name = "URL", help_heading = "Chain")]
    pub chain_rpc: Option<String>,

    /// The arena's address, with --chain-rpc; `matchlock-server deploy` makes one
    #[arg(long, env = "MATCHLOCK_ARENA", value_name = "ADDRESS", help_heading = "Chain")]
    pub arena: Option<Address>,

    /// Chain id that the node must have [default: whatever it has]
    #[arg(long, env = "MATCHLOCK_CHAIN_ID", value_name = "ID", help_heading = "Chain")]
    pub chain_id: Option<u64>,

    /// Blocks on top of a block before it counts [default: 12; 0 on the embedded chain]
    #[arg(long, env = "MATCHLOCK_DEPTH", value_name = "BLOCKS", help_heading = "Chain")]
    pub depth: Option<u64>,

    /// First block to look at, at the first start: the arena's [default: 0]
    #[arg(long, env = "MATCHLOCK_FROM_BLOCK", value_name = "BLOCK", help_heading = "Chain")]
    pub from_block: Option<u64>,

    /// Milliseconds between looks for new blocks [default: 2000]
    #[arg(long, env = "MATCHLOCK_POLL_MS", value_name = "MS", help_heading = "Chain")]
    pub poll_ms: Option<u64>,

    /// Highest price of gas to pay, in gwei; batches wait while it is above [default: 1000]
    #[arg(long, env = "MATCHLOCK_MAX_FEE_GWEI", value_name = "GWEI", help_heading = "Chain")]
    pub max_fee_gwei: Option<u64>,

    /// Seconds until a transaction that is not mined is replaced with a higher fee [default: 45]
    #[arg(long, env = "MATCHLOCK_REPLACE_AFTER", value_name = "SECONDS", help_heading = "Chain")]
    pub replace_after: Option<u64>,

    /// File with the operator's key, 64 hexadecimal digits [default: operator.key in the data directory, made if
    /// missing; required with --chain-rpc]
    #[arg(long, env = "MATCHLOCK_OPERATOR_KEY_FILE", value_name = "FILE", help_heading = "Operator")]
    pub operator_key_file: Option<PathBuf>,

    /// The operator's key itself, for container secrets; only from the environment
    #[arg(skip)]
    #[serde(skip)]
    pub operator_key: Option<String>,

    /// A batch is sent when this many accounts wait for one [default: 32]
    #[arg(long, env = "MATCHLOCK_SETTLE_COUNT", value_name = "ACCOUNTS", help_heading = "Operator")]
    pub settle_count: Option<usize>,

    /// A batch is sent when an account has waited this long, in seconds [default: 60]
    #[arg(long, env = "MATCHLOCK_SETTLE_AGE", value_name = "SECONDS", help_heading = "Operator")]
    pub settle_age: Option<u64>,

    /// Settle everything before a graceful shutdown [default: false]
    #[arg(long, env = "MATCHLOCK_SETTLE_ON_SHUTDOWN", help_heading = "Operator",
        num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub settle_on_shutdown: Option<bool>,

    /// Seconds that a proposal waits for all signatures [default: 15]
    #[arg(long, env = "MATCHLOCK_OPEN_FOR", value_name = "SECONDS", help_heading = "Play")]
    pub open_for: Option<u32>,

    /// Seconds from a match's proposal to the last moment of a dispute [default: 86400]
    #[arg(long, env = "MATCHLOCK_EXPIRE_AFTER", value_name = "SECONDS", help_heading = "Play")]
    pub expire_after: Option<u64>,

    /// Longest clock of a table, in seconds [default: 3600]
    #[arg(long, env = "MATCHLOCK_MAX_CLOCK", value_name = "SECONDS", help_heading = "Play")]
    pub max_clock: Option<u32>,

    /// Seconds beyond its clock that a player has before it is challenged on the chain [default: 10]
    #[arg(long, env = "MATCHLOCK_CLOCK_GRACE", value_name = "SECONDS", help_heading = "Play")]
    pub clock_grace: Option<u64>,

    /// Smallest pot that is worth a dispute's gas, in the asset's smallest unit; below, a stalled match is void at its
    /// expiry [default: 1]
    #[arg(long, env = "MATCHLOCK_CHALLENGE_FROM", value_name = "UNITS", help_heading = "Play")]
    pub challenge_from: Option<u64>,

    /// Seconds that an account may go on opening matches with a statement unsigned [default: 10]
    #[arg(long, env = "MATCHLOCK_STATEMENT_GRACE", value_name = "SECONDS", help_heading = "Play")]
    pub statement_grace: Option<u64>,

    /// Connections at once [default: 50000]
    #[arg(long, env = "MATCHLOCK_MAX_CONNECTIONS", value_name = "N", help_heading = "Limits")]
    pub max_connections: Option<usize>,

    /// Seconds of silence after which a connection is closed [default: 60]
    #[arg(long, env = "MATCHLOCK_IDLE_TIMEOUT", value_name = "SECONDS", help_heading = "Limits")]
    pub idle_timeout: Option<u64>,

    /// Lobby and account requests per second of one connection [default: 100]
    #[arg(long, env = "MATCHLOCK_REQUESTS_PER_SECOND", value_name = "N", help_heading = "Limits")]
    pub requests_per_second: Option<u32>,

    /// Frames per second of one connection [default: 2000]
    #[arg(long, env = "MATCHLOCK_FRAMES_PER_SECOND", value_name = "N", help_heading = "Limits")]
    pub frames_per_second: Option<u32>,
}

/// Options that make no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The file cannot be read.
    #[error("the configuration {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not TOML, or names an option that there is not.
    #[error("the configuration {path}: {reason}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An option is missing.
    #[error("{0} is needed with --chain-rpc")]
    Missing(&'static str),
    /// An option without which nothing can be done.
    #[error("{0} is needed")]
    Needed(&'static str),
    /// An option that only another one gives a meaning.
    #[error("{0} makes no sense without --chain-rpc")]
    WithoutRpc(&'static str),
    /// A value out of range.
    #[error("{option} must be from {min} to {max}")]
    Range {
        /// The option.
        option: &'static str,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// The key in the environment is none.
    #[error("MATCHLOCK_OPERATOR_KEY does not hold a key: 64 hexadecimal digits are expected")]
    BadKey,
    /// The key file.
    #[error(transparent)]
    Key(#[from] Box<crate::StartError>),
}

macro_rules! prefer {
    ($options:ident, $winner:ident, $loser:ident: $($field:ident),* $(; $list:ident)? $(,)?) => {
        $options {
            $($field: $winner.$field.or($loser.$field),)*
            $($list: if $winner.$list.is_empty() { $loser.$list } else { $winner.$list })?
        }
    };
}

impl Options {
    /// These options, and those of the file that they name where they say nothing.
    ///
    /// # Errors
    /// The file cannot be read or names something unknown.
    pub fn with_file(self) -> Result<Options, OptionsError> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let file: Options = read_toml(&path)?;
        Ok(prefer!(Options, self, file:
            config, listen, data_dir, fee, chain_rpc, arena, chain_id, depth, from_block, poll_ms, max_fee_gwei,
            replace_after, operator_key_file, operator_key, settle_count, settle_age, settle_on_shutdown, open_for,
            expire_after, max_clock, clock_grace, challenge_from, statement_grace, max_connections, idle_timeout, requests_per_second,
            frames_per_second,
        ))
    }

    /// What a server needs, with defaults for what is not set.
    ///
    /// # Errors
    /// Options that are missing, out of range, or do not go together.
    pub fn resolve(self) -> Result<Config, OptionsError> {
        let options = self.with_file()?;
        let mut config = Config::new(options.data_dir.clone().unwrap_or_else(|| "matchlock-data".into()));
        config.listen = options.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 7777)));
        config.operator_key = match (&options.operator_key, &options.operator_key_file) {
            (Some(text), _) => Some(parse_key(text.trim()).map_err(|_| OptionsError::BadKey)?),
            (None, Some(path)) => Some(read_key(path).map_err(Box::new)?),
            (None, None) => None,
        };
        config.chain = options.chain(&config)?;
        config.settings = options.settings()?;
        Ok(config)
    }

    fn chain(&self, config: &Config) -> Result<ChainChoice, OptionsError> {
        let Some(rpc) = &self.chain_rpc else {
            let lonely = [
                (self.arena.is_some(), "--arena"),
                (self.chain_id.is_some(), "--chain-id"),
                (self.depth.is_some(), "--depth"),
                (self.from_block.is_some(), "--from-block"),
            ];
            return match lonely.into_iter().find(|(given, _)| *given) {
                Some((_, option)) => Err(OptionsError::WithoutRpc(option)),
                None => Ok(ChainChoice::Embedded),
            };
        };
        let arena = self.arena.ok_or(OptionsError::Missing("--arena"))?;
        let key = config.operator_key.clone().ok_or(OptionsError::Missing("--operator-key-file"))?;
        let mut chain = ChainConfig::new(rpc, arena, key);
        chain.chain_id = self.chain_id;
        chain.depth = self.depth.unwrap_or(12);
        chain.from_block = self.from_block.unwrap_or(0);
        chain.poll_interval = Duration::from_millis(ranged("--poll-ms", self.poll_ms, 2_000, 10, 600_000)?);
        chain.max_fee_per_gas =
            u128::from(ranged("--max-fee-gwei", self.max_fee_gwei, 1_000, 1, 1 << 32)?) * 1_000_000_000;
        chain.replace_after = Duration::from_secs(ranged("--replace-after", self.replace_after, 45, 1, 24 * 60 * 60)?);
        Ok(ChainChoice::Rpc(Box::new(chain)))
    }

    fn settings(&self) -> Result<Settings, OptionsError> {
        let known = Settings::default();
        let (day, year) = (24 * 60 * 60, 366 * 24 * 60 * 60);
        let seconds = Duration::from_secs;
        Ok(Settings {
            settle_count: ranged("--settle-count", self.settle_count, known.settle_count, 1, 1 << 32)?,
            settle_age: ranged("--settle-age", self.settle_age, known.settle_age, 0, year)?,
            settle_on_shutdown: self.settle_on_shutdown.unwrap_or(known.settle_on_shutdown),
            open_for: ranged("--open-for", self.open_for, known.open_for, 1, day)?,
            expire_after: ranged("--expire-after", self.expire_after, known.expire_after, 60, 30 * day)?,
            max_clock: ranged("--max-clock", self.max_clock, known.max_clock, 1, year)?,
            clock_grace: ranged("--clock-grace", self.clock_grace, known.clock_grace, 0, day)?,
            challenge_from: self.challenge_from.map_or(known.challenge_from, Amount::from_u64),
            statement_grace: ranged("--statement-grace", self.statement_grace, known.statement_grace, 0, day)?,
            max_connections: ranged("--max-connections", self.max_connections, known.max_connections, 1, 1 << 24)?,
            idle_timeout: seconds(ranged("--idle-timeout", self.idle_timeout, known.idle_timeout.as_secs(), 1, day)?),
            requests_per_second: ranged(
                "--requests-per-second",
                self.requests_per_second,
                known.requests_per_second,
                1,
                1 << 20,
            )?,
            frames_per_second: ranged(
                "--frames-per-second",
                self.frames_per_second,
                known.frames_per_second,
                1,
                1 << 24,
            )?,
            ..known
        })
    }
}

fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, OptionsError> {
    let text = std::fs::read_to_string(path).map_err(|source| OptionsError::File { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|error| OptionsError::Toml { path: path.to_owned(), reason: error.to_string() })
}

/// The value or the default, inside what is sensible.
fn ranged<T: TryInto<u64> + Copy>(
    option: &'static str,
    value: Option<T>,
    default: T,
    min: u64,
    max: u64,
) -> Result<T, OptionsError> {
    let value = value.unwrap_or(default);
    match value.try_into() {
        Ok(number) if (min..=max).contains(&number) => Ok(value),
        _ => Err(OptionsError::Range { option, min, max }),
    }
}

/// What `watch` and `arbiter` can be told. As for the server, the same names serve as flags, in the environment and in the file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PostOptions {
    /// TOML file with any of these options; flags and environment variables win over it
    #[arg(long, env = "MATCHLOCK_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Address and port of its HTTP [default: 127.0.0.1:7778]
    #[arg(long, env = "MATCHLOCK_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,

    /// Directory for what it is entrusted with and what it has signed [default: matchlock-watch or matchlock-arbiter]
    #[arg(long, env = "MATCHLOCK_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// A node's JSON-RPC endpoint, best one of its own
    #[arg(long, env = "MATCHLOCK_CHAIN_RPC", value_name = "URL", help_heading = "Chain")]
    pub rpc: Option<String>,

    /// The arena's address
    #[arg(long, env = "MATCHLOCK_ARENA", value_name = "ADDRESS", help_heading = "Chain")]
    pub arena: Option<Address>,

    /// File with its own key, 64 hexadecimal digits; the key's wallet pays for gas and for the bonds of contests
    #[arg(long, env = "MATCHLOCK_KEY_FILE", value_name = "FILE", help_heading = "Chain")]
    pub key_file: Option<PathBuf>,

    /// Chain id that the node must have [default: whatever it has]
    #[arg(long, env = "MATCHLOCK_CHAIN_ID", value_name = "ID", help_heading = "Chain")]
    pub chain_id: Option<u64>,

    /// Blocks on top of a block before it counts [default: 12]
    #[arg(long, env = "MATCHLOCK_DEPTH", value_name = "BLOCKS", help_heading = "Chain")]
    pub depth: Option<u64>,

    /// First block to look at, at the first start: the arena's [default: 0]
    #[arg(long, env = "MATCHLOCK_FROM_BLOCK", value_name = "BLOCK", help_heading = "Chain")]
    pub from_block: Option<u64>,

    /// Milliseconds between looks for new blocks [default: 2000]
    #[arg(long, env = "MATCHLOCK_POLL_MS", value_name = "MS", help_heading = "Chain")]
    pub poll_ms: Option<u64>,

    /// Highest price of gas to pay, in gwei; calls wait while it is above [default: 1000]
    #[arg(long, env = "MATCHLOCK_MAX_FEE_GWEI", value_name = "GWEI", help_heading = "Chain")]
    pub max_fee_gwei: Option<u64>,

    /// Share of a window, in basis points, that passes before a tower acts; a server waits for 5000 [default: 6000]
    #[arg(long, env = "MATCHLOCK_PATIENCE", value_name = "BP", help_heading = "Watch")]
    pub patience: Option<u16>,

    /// Where an arbiter asks for transcripts: the HTTP of the operator's server and of towers; once for each
    #[arg(
        long = "source",
        env = "MATCHLOCK_SOURCES",
        value_delimiter = ',',
        value_name = "URL",
        help_heading = "Arbiter"
    )]
    pub sources: Vec<String>,

    /// Operator's fee on decided pots of the demo games, in basis points: part of their rules [default: 0]
    #[arg(long, env = "MATCHLOCK_FEE", value_name = "BP")]
    pub fee: Option<u16>,

    /// Matches that are kept at once [default: 20000]
    #[arg(long, env = "MATCHLOCK_MAX_MATCHES", value_name = "N", help_heading = "Limits")]
    pub max_matches: Option<u64>,

    /// Megabytes of matches that are kept at once [default: 4096]
    #[arg(long, env = "MATCHLOCK_MAX_MEGABYTES", value_name = "MB", help_heading = "Limits")]
    pub max_megabytes: Option<u64>,

    /// Requests per second of one address [default: 50]
    #[arg(long, env = "MATCHLOCK_REQUESTS_PER_SECOND", value_name = "N", help_heading = "Limits")]
    pub requests_per_second: Option<u32>,
}

impl PostOptions {
    /// These options, and those of the file that they name where they say nothing.
    ///
    /// # Errors
    /// The file cannot be read or names something unknown.
    pub fn with_file(self) -> Result<PostOptions, OptionsError> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let file: PostOptions = read_toml(&path)?;
        Ok(prefer!(PostOptions, self, file:
            config, listen, data_dir, rpc, arena, key_file, chain_id, depth, from_block, poll_ms, max_fee_gwei,
            patience, fee, max_matches, max_megabytes, requests_per_second; sources,
        ))
    }

    /// What a tower needs.
    ///
    /// # Errors
    /// Options that are missing or out of range.
    pub fn tower(&self) -> Result<TowerConfig, OptionsError> {
        let data_dir = self.data_dir.clone().unwrap_or_else(|| "matchlock-watch".into());
        let mut config = TowerConfig::new(data_dir, self.chain()?);
        config.listen = self.listen();
        let patience = ranged("--patience", self.patience, config.patience.points(), 0, 9_000)?;
        config.patience = BasisPoints::new(patience).expect("in range");
        config.limits = self.limits()?;
        Ok(config)
    }

    /// What an arbiter needs.
    ///
    /// # Errors
    /// Options that are missing or out of range.
    pub fn arbiter(&self) -> Result<ArbiterConfig, OptionsError> {
        let data_dir = self.data_dir.clone().unwrap_or_else(|| "matchlock-arbiter".into());
        let mut config = ArbiterConfig::new(data_dir, self.chain()?);
        config.listen = self.listen();
        config.sources.clone_from(&self.sources);
        config.limits = self.limits()?;
        Ok(config)
    }

    fn listen(&self) -> SocketAddr {
        self.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 7778)))
    }

    fn chain(&self) -> Result<ChainConfig, OptionsError> {
        let rpc = self.rpc.as_ref().ok_or(OptionsError::Needed("--rpc"))?;
        let arena = self.arena.ok_or(OptionsError::Needed("--arena"))?;
        let key = self.key_file.as_ref().ok_or(OptionsError::Needed("--key-file"))?;
        let mut chain = ChainConfig::new(rpc, arena, read_key(key).map_err(Box::new)?);
        chain.chain_id = self.chain_id;
        chain.depth = self.depth.unwrap_or(12);
        chain.from_block = self.from_block.unwrap_or(0);
        chain.poll_interval = Duration::from_millis(ranged("--poll-ms", self.poll_ms, 2_000, 10, 600_000)?);
        chain.max_fee_per_gas =
            u128::from(ranged("--max-fee-gwei", self.max_fee_gwei, 1_000, 1, 1 << 32)?) * 1_000_000_000;
        Ok(chain)
    }

    fn limits(&self) -> Result<Limits, OptionsError> {
        let known = Limits::default();
        Ok(Limits {
            matches: ranged("--max-matches", self.max_matches, known.matches, 1, 1 << 32)?,
            bytes: ranged("--max-megabytes", self.max_megabytes, known.bytes >> 20, 1, 1 << 30)? << 20,
            requests_per_second: ranged(
                "--requests-per-second",
                self.requests_per_second,
                known.requests_per_second,
                1,
                1 << 20,
            )?,
            ..known
        })
    }
}

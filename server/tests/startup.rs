//! What stops a server from starting is said in one clear error, and nothing is left half done.

mod common;

use std::{path::PathBuf, sync::Arc};

use alloy_primitives::Address;
use clap::Parser;
use common::World;
use matchlock::sign::Signer;
use matchlock_server::{
    ChainChoice, Config, Options, OptionsError, Server, StartError, StoreError,
    chain::{ChainConfig, ChainError},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use() {
    let world = World::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let mut config = world.config();
    config.listen = taken.local_addr().expect("an address");
    let error = Server::start(config, vec![world.rules.clone()]).await.expect_err("in use");
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
    assert!(!world.store_exists(), "nothing was touched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_in_use_or_unusable() {
    let world = World::new().await;
    let server = world.start().await;
    let error = Server::start(world.config(), vec![world.rules.clone()]).await.expect_err("in use");
    assert!(matches!(error, StartError::Store(StoreError::InUse { .. })), "{error}");
    server.shutdown().await;

    let file = world.directory.path().join("file");
    std::fs::write(&file, "not a directory").expect("writes");
    let mut config = world.config();
    config.data_dir = file;
    let error = Server::start(config, vec![world.rules.clone()]).await.expect_err("no directory");
    assert!(matches!(error, StartError::Store(StoreError::Directory { .. })), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_rpc() {
    let world = World::new().await;
    let mut config = world.config();
    // A port that nobody listens on: it was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("an address");
    let chain = ChainConfig::new(format!("http://{free}"), world.arena, world.operator.clone());
    config.chain = ChainChoice::Rpc(Box::new(chain));
    let error = Server::start(config, vec![world.rules.clone()]).await.expect_err("nobody answers");
    assert!(matches!(error, StartError::Chain(ChainError::Provider(_))), "{error}");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_arena_key_or_chain() {
    let world = World::new().await;
    let start = async |change: &dyn Fn(&mut ChainConfig)| {
        let mut chain = ChainConfig::new("", world.arena, world.operator.clone());
        change(&mut chain);
        let mut config = world.config();
        config.chain = ChainChoice::Through(Arc::new(world.node.clone()), Box::new(chain));
        Server::start(config, vec![world.rules.clone()]).await.expect_err("wrong")
    };
    let error = start(&|chain| chain.arena = Address::repeat_byte(9)).await;
    assert!(matches!(error, StartError::Chain(ChainError::Arena(_))), "{error}");
    let error = start(&|chain| chain.key = common::key(7)).await;
    assert!(matches!(error, StartError::Chain(ChainError::WrongOperator { .. })), "{error}");
    let error = start(&|chain| chain.chain_id = Some(1)).await;
    assert!(matches!(error, StartError::Chain(ChainError::WrongChain { expected: 1, .. })), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_arenas_data_directory() {
    let mut world = World::new().await;
    world.start().await.shutdown().await;
    let other = World::new().await;
    let directory = std::mem::replace(&mut world.directory, tempfile::tempdir().expect("a directory"));
    let mut config = other.config();
    config.data_dir = directory.path().into();
    let error = Server::start(config, vec![other.rules.clone()]).await.expect_err("another arena's");
    assert!(matches!(error, StartError::OtherArena { known, .. } if known == world.arena), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_file_is_made_once_and_is_private() {
    let world = World::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("operator.key");
    let server = Server::start(Config::new(directory.path()), vec![world.rules.clone()]).await.expect("starts");
    let operator = server.operator();
    server.shutdown().await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(matchlock_server::read_key(&path).expect("a key").address(), operator);
    std::fs::write(&path, "not a key").expect("writes");
    let error = Server::start(Config::new(directory.path()), vec![world.rules.clone()]).await.expect_err("no key");
    assert!(matches!(error, StartError::BadKey { .. }), "{error}");
    assert!(matches!(
        Server::start(Config::new(directory.path()), vec![]).await.expect_err("no games"),
        StartError::NoGames
    ));
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn options(line: &[&str]) -> Options {
    Line::try_parse_from([&["test"], line].concat()).expect("parses").options
}

#[test]
fn flags_win_over_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("server.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:1\"\nsettle-count = 5\nsettle-on-shutdown = true\n").expect("writes");
    let config =
        options(&["--config", &file.display().to_string(), "--listen", "127.0.0.1:2"]).resolve().expect("fine");
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.settings.settle_count, 5);
    assert!(config.settings.settle_on_shutdown);
    assert_eq!(config.data_dir, PathBuf::from("matchlock-data"));
    assert!(matches!(config.chain, ChainChoice::Embedded));

    std::fs::write(&file, "no-such-option = 1\n").expect("writes");
    let error = options(&["--config", &file.display().to_string()]).resolve().expect_err("unknown");
    assert!(matches!(&error, OptionsError::Toml { reason, .. } if reason.contains("no-such-option")), "{error}");
    let error = options(&["--config", "/nowhere/at/all"]).resolve().expect_err("no file");
    assert!(matches!(error, OptionsError::File { .. }), "{error}");
}

#[test]
fn options_that_do_not_go_together() {
    let arena = Address::ZERO.to_string();
    let missing = options(&["--chain-rpc", "http://localhost"]).resolve();
    assert!(matches!(missing, Err(OptionsError::Missing("--arena"))));
    let missing = options(&["--chain-rpc", "http://localhost", "--arena", &arena]).resolve();
    assert!(matches!(missing, Err(OptionsError::Missing("--operator-key-file"))));
    assert!(matches!(options(&["--depth", "3"]).resolve(), Err(OptionsError::WithoutRpc("--depth"))));
    let range = options(&["--open-for", "0"]).resolve();
    assert!(matches!(range, Err(OptionsError::Range { option: "--open-for", min: 1, .. })));
    let no_file = options(&["--operator-key-file", "/nowhere/at/all"]).resolve();
    assert!(matches!(no_file, Err(OptionsError::Key(_))));
}

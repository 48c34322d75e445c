//! The binary itself: started, stopped with a signal, killed, started again.
#![cfg(unix)]

mod common;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use common::{Wallet, amount};
use matchlock::{
    chain::{ArenaChain, LocalWallet},
    sign::Signer,
};

struct Process {
    child: Child,
    url: String,
}

fn run(directory: &Path) -> Process {
    run_as(&[], directory)
}

fn run_as(mode: &[&str], directory: &Path) -> Process {
    let mut child = Command::new(env!("CARGO_BIN_EXE_matchlock-server"))
        .args(mode)
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut url = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut url).expect("says where it is");
    Process { child, url: url.trim().to_owned() }
}

impl Process {
    fn http(&self) -> String {
        self.url.replace("ws://", "http://").replace("/ws", "")
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_binary_serves_stops_on_a_signal_and_survives_being_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut process = run(directory.path());
    let wallet = Wallet::new(1);
    let client = wallet.connect_to(&process.url).await;
    assert_eq!(client.welcome.games.len(), 4, "the demo games");
    common::post_to(&process.http(), "/faucet", &format!("{{\"address\":\"{}\"}}", wallet.owner.address())).await;
    let owner = LocalWallet::new(common::http(&format!("{}/rpc", process.http())), wallet.owner.clone());
    let arena = ArenaChain::connect(owner, client.welcome.domain.arena).await.expect("an arena");
    arena.deposit(wallet.account(), amount(500)).await.expect("deposits");
    let mut client = wallet.log_in_to(&process.url, &[]).await;
    assert_eq!(client.view().await.available, amount(500));

    // A second one on the same directory says why not, and exits.
    let second = Command::new(env!("CARGO_BIN_EXE_matchlock-server"))
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path())
        .output()
        .expect("runs");
    assert!(!second.status.success());
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(error.contains("another server runs on this data directory"), "{error}");

    process.signal("-KILL");
    assert!(!process.child.wait().expect("ends").success());
    let mut process = run(directory.path());
    let mut client = wallet.log_in_to(&process.url, &[]).await;
    assert_eq!(client.view().await.available, amount(500), "chain and server restarted together");

    process.signal("-TERM");
    assert!(process.child.wait().expect("ends").success(), "a signal is no failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_binary_watches_and_arbitrates_beside_a_server_and_lists_disputes() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = |name: &str| directory.path().join(name);
    let mut server = run(&home("server"));
    let welcome = Wallet::new(1).connect_to(&server.url).await.welcome;
    // The development server's operator is the court's only arbiter; a tower's key may be anybody's.
    let (arena, rpc) = (welcome.domain.arena.to_string(), format!("{}/rpc", server.http()));
    let key = home("server").join("operator.key").display().to_string();
    let options = ["--rpc", &rpc, "--arena", &arena, "--key-file", &key, "--depth", "0"];
    for mode in ["watch", "arbiter"] {
        let mode = [&[mode][..], &options].concat();
        let mut process = run_as(&mode, &home(mode[0]));
        process.signal("-KILL");
        assert!(!process.child.wait().expect("ends").success());
        let mut process = run_as(&mode, &home(mode[0]));
        for url in [&process.url, &server.http()] {
            let listed = Command::new(env!("CARGO_BIN_EXE_matchlock-server"))
                .args(["disputes", "--json", "--url", url])
                .output()
                .expect("runs");
            assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
            assert_eq!(String::from_utf8_lossy(&listed.stdout).trim(), "[]");
        }
        process.signal("-TERM");
        assert!(process.child.wait().expect("ends").success(), "a signal is no failure");
    }
    server.signal("-TERM");
    assert!(server.child.wait().expect("ends").success());
}

#[test]
fn help_explains_every_option() {
    let output = Command::new(env!("CARGO_BIN_EXE_matchlock-server")).arg("--help").output().expect("runs");
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    let options = help.lines().filter(|line| line.trim_start().starts_with("--"));
    assert!(options.count() > 20, "{help}");
    for word in ["--chain-rpc", "MATCHLOCK_CHAIN_RPC", "[default: 127.0.0.1:7777]", "deploy"] {
        assert!(help.contains(word), "{word} is missing:\n{help}");
    }
}

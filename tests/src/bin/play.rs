//! `cargo xtask play`: see [`matchlock_tests::play`].

use clap::Parser;
use matchlock_tests::play::{Options, play};

#[tokio::main]
async fn main() {
    let options = Options::parse();
    match play(&options).await {
        Ok(account) => {
            if options.json {
                println!("{}", serde_json::to_string(&account).expect("plain fields"));
            }
            if !account.is_right() {
                std::process::exit(1);
            }
        }
        Err(error) => {
            eprintln!("play: {error}");
            std::process::exit(1);
        }
    }
}

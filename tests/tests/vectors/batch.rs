//! `batch.json`: what a settlement sends to the chain (R6.7, R6.9), and the tree of its results.

use alloy::sol_types::{SolCall, SolEvent};
use alloy_primitives::{Address, B256, Bytes, LogData, U256, aliases::U96, keccak256};
use matchlock::{
    abi::{Arena, MatchId, Statement},
    account::{AccountId, Player, SettledSet},
    game::Amount,
    settle::{ENTRY, ResultsTree, entry, exit_entry, proves, signed_entry},
    sign::{Key, Signer},
    wire::{Pair, ResultLeaf},
};
use serde_json::{Value, json};

use crate::{
    chain::{Deployed, domain, operator},
    golden::{check, key},
};

fn player(n: u8) -> (Player, Key) {
    let key = key(n);
    (Player { owner: Address::repeat_byte(0xa0 + n), key: key.address() }, key)
}

fn pair(n: u8, net: i128, through: u32, pending: u32) -> Pair {
    let ((player, key), domain) = (player(n), domain());
    let statement = Statement { net, set: SettledSet { through, pending } };
    let signed = |key: &Key, hash| key.sign(domain.digest(hash)).expect("a signature");
    Pair {
        player,
        statement,
        signature: signed(&key, statement.struct_hash(player.owner)),
        receipt: signed(&operator(), statement.receipt_hash(player.account()).0),
    }
}

/// Debits first (R6.8): the first account's loss pays the others' gains and the fee.
fn settled() -> Vec<Pair> {
    vec![pair(1, -6, 1, 0), pair(2, 3, 2, 0b10), pair(3, 2, 1, 0)]
}

const FEES: u64 = 1;

fn edges() -> Vec<Pair> {
    vec![
        pair(4, 0, 0, 0),
        pair(5, -1, 32, u32::MAX - 1),
        pair(6, (1 << 95) - 1, (1 << 26) - 1, 0),
        pair(7, -(1 << 95), (1 << 26) - 1, 0x8000_0000),
    ]
}

fn leaves() -> Vec<ResultLeaf> {
    let leaf = |n: u8, seats: Vec<AccountId>, payouts: Vec<Amount>, fee| ResultLeaf {
        match_id: MatchId(keccak256([n])),
        seats,
        payouts,
        fee,
        final_state: keccak256([n, 1]),
        transcript: keccak256([n, 2]),
    };
    let account = |n| player(n).0.account();
    let amount = Amount::from_u64;
    let mut leaves = vec![
        leaf(1, vec![account(1), account(2)], vec![amount(4), amount(15)], amount(1)),
        leaf(2, vec![account(3), account(1), account(2)], vec![amount(30), amount(0), amount(0)], amount(0)),
        leaf(3, (1..=8).map(account).collect(), vec![Amount::MAX; 8], Amount::MAX),
    ];
    leaves.extend((4..=7).map(|n| leaf(n, vec![account(n), account(1)], vec![amount(n.into()); 2], Amount::ZERO)));
    leaves
}

fn tree(size: usize) -> ResultsTree {
    ResultsTree::new(leaves()[..size].iter().map(|leaf| leaf.hash(domain().arena)).collect())
}

fn settle_call() -> Arena::settleCall {
    let entries =
        settled().iter().flat_map(|pair| entry(pair.player.owner, &pair.statement, &pair.signature)).collect();
    Arena::settleCall { entries, resultsRoot: tree(leaves().len()).root(), matches: 7, fees: U96::from(FEES) }
}

fn shown(pair: &Pair) -> Value {
    json!({
        "owner": pair.player.owner,
        "key": pair.player.key,
        "account": pair.player.account(),
        "net": pair.statement.net.to_string(),
        "through": pair.statement.set.through,
        "pending": pair.statement.set.pending,
        "signature": pair.signature,
        "receipt": pair.receipt,
        "entry": Bytes::from(entry(pair.player.owner, &pair.statement, &pair.signature)),
        "signedEntry": Bytes::from(signed_entry(pair)),
        "exitEntry": Bytes::from(exit_entry(&pair.statement, &pair.receipt)),
    })
}

fn produced() -> Value {
    let amounts = |amounts: &[Amount]| amounts.iter().map(Amount::to_string).collect::<Vec<_>>();
    let results = leaves().into_iter().map(|leaf| {
        json!({
            "matchId": leaf.match_id, "seats": leaf.seats, "payouts": amounts(&leaf.payouts),
            "fee": leaf.fee.to_string(), "finalState": leaf.final_state, "transcript": leaf.transcript,
            "leaf": leaf.hash(domain().arena),
        })
    });
    let trees = (0..=leaves().len()).map(|size| {
        let tree = tree(size);
        let proofs = (0..size).map(|leaf| json!(tree.proof(leaf)));
        json!({ "size": size, "root": tree.root(), "proofs": proofs.collect::<Value>() })
    });
    let call = settle_call();
    json!({
        "arena": domain().arena,
        "operator": operator().address(),
        "entries": settled().iter().chain(&edges()).map(shown).collect::<Value>(),
        "settle": {
            "entries": call.entries, "resultsRoot": call.resultsRoot, "matches": call.matches.to_string(),
            "fees": FEES.to_string(), "calldata": Bytes::from(call.abi_encode()),
        },
        "results": results.collect::<Value>(),
        "trees": trees.collect::<Value>(),
    })
}

#[test]
fn a_batch_is_what_was_written_down() {
    assert_eq!(settle_call().entries.len(), settled().len() * ENTRY);
    check("batch.json", &produced());
}

#[test]
fn the_contract_settles_the_batch_and_proves_its_results() {
    let (deployed, [loser, ..]) = (Deployed::arena(), &settled()[..]) else { unreachable!() };
    deployed.call(&Arena::depositCall { account: loser.player.account().0 }.abi_encode(), 10);
    let receipt = deployed.call(&settle_call().abi_encode(), 0);
    let logs = receipt["logs"].as_array().expect("logs");
    assert_eq!(logs.len(), 1, "nothing was skipped");
    let topics: Vec<B256> = serde_json::from_value(logs[0]["topics"].clone()).expect("topics");
    let data: Bytes = serde_json::from_value(logs[0]["data"].clone()).expect("data");
    let event = Arena::Settled::decode_log_data(&LogData::new_unchecked(topics, data)).expect("settled");
    let root = settle_call().resultsRoot;
    let expected = Arena::Settled { batch: 1, resultsRoot: root, matches: 7, applied: 3, fees: U96::from(FEES) };
    assert_eq!(event, expected);
    for pair in settled() {
        let account = deployed.view(Arena::accountOfCall { account: pair.player.account().0 });
        let set = SettledSet { through: account.through, pending: account.pending };
        assert_eq!((account.net.to_string(), set), (pair.statement.net.to_string(), pair.statement.set));
    }
    assert_eq!(U256::from(deployed.view(Arena::poolCall {}).equity), U256::ZERO, "the fee was all that was left");

    let (leaves, tree) = (leaves(), tree(leaves().len()));
    for (i, leaf) in leaves.iter().enumerate() {
        let result = Arena::Result::from(leaf);
        let proof = tree.proof(i).expect("a leaf");
        assert!(proves(tree.root(), leaf.hash(domain().arena), &proof));
        let ask = |result: Arena::Result, proof| deployed.view(Arena::proveResultCall { batch: 1, result, proof });
        assert!(ask(result.clone(), proof.clone()));
        assert!(!ask(Arena::Result { fee: result.fee ^ U96::from(1), ..result.clone() }, proof.clone()));
        assert!(!ask(result, proof[1..].to_vec()));
    }
}

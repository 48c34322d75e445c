//! `frames.json`: one of each kind of frame (R8.1), as bytes.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use matchlock::{
    abi::{Domain, MatchId, MatchTerms, OVER, State, StateHash, Statement, Withdrawal},
    account::{AccountId, Player, SettledSet},
    game::{Amount, BasisPoints, Seat},
    rules::RulesId,
    sign::Signature,
    wire::{
        About, AccountView, Arrived, Due, Field, GameInfo, Have, MAX_FRAME, Offer, Pair, Refusal, ResultLeaf, TableId,
        TableInfo, TableSpec, ToClient, ToServer, Turn, Welcome, WireError, decode, encode,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::golden::check;

fn hash(n: u8) -> B256 {
    keccak256([n])
}

fn account(n: u8) -> AccountId {
    AccountId(Address::repeat_byte(n))
}

fn player(n: u8) -> Player {
    Player { owner: Address::repeat_byte(n), key: Address::repeat_byte(n + 1) }
}

fn amount(units: u64) -> Amount {
    Amount::from_u64(units)
}

/// Any 64 bytes do: the frames carry signatures, and do not judge them.
fn signature(n: u8) -> Signature {
    let mut bytes = [n; 64];
    bytes[..32].copy_from_slice(&hash(n).0);
    Signature(bytes)
}

fn statement() -> Statement {
    Statement { net: -1_500, set: SettledSet { through: 300, pending: 0b110 } }
}

fn state() -> State {
    State {
        turn: 200,
        prev: StateHash(hash(1)),
        action: hash(2),
        board: hash(3),
        mover: OVER,
        payouts: vec![amount(20), amount(0)],
    }
}

fn turn() -> Turn {
    Turn { state: state(), action: vec![0, 1, 4, 0], signature: signature(4) }
}

fn terms() -> MatchTerms {
    MatchTerms {
        seats: vec![account(1), account(2)],
        indexes: vec![0, 70_000],
        stakes: vec![amount(1_000_000_000_000_000_000); 2],
        rules: RulesId(hash(5)),
        budget: 0,
        referee: Address::ZERO,
        clock: 30,
        max_turns: 9,
        chain_time: 600,
        open_by: 1_800_000_060,
        expiry: 1_800_086_400,
        seeds: vec![hash(6), hash(7)],
        start: hash(8),
        salt: hash(9),
    }
}

fn spec() -> TableSpec {
    TableSpec { rules: RulesId(hash(5)), seats: 2, stake: amount(1_000), clock: 30, private: true }
}

fn offer() -> Offer {
    Offer { index: 300, anchor: hash(6) }
}

fn view() -> AccountView {
    AccountView {
        equity: -20,
        available: amount(5),
        withdrawn: amount(7),
        statement: statement(),
        receipt: Some(signature(10)),
        settled: Statement::default(),
        next_index: 301,
        open: vec![MatchId(hash(11))],
    }
}

fn to_server() -> Vec<ToServer> {
    let (tag, table, match_id, signature) = (129, TableId(1_000), MatchId(hash(11)), signature(12));
    vec![
        ToServer::Login {
            player: player(1),
            signature,
            resume: vec![Have { match_id, turn: None }, Have { match_id: MatchId(hash(13)), turn: Some(3) }],
        },
        ToServer::Create { tag, spec: spec(), offer: offer() },
        ToServer::Join { tag, table, offer: offer() },
        ToServer::Quick { tag, spec: TableSpec { private: false, ..spec() }, offer: offer() },
        ToServer::Leave { tag, table },
        ToServer::List { tag, rules: None },
        ToServer::List { tag, rules: Some(RulesId(hash(5))) },
        ToServer::Sign { match_id, signature },
        ToServer::Start { match_id, signature },
        ToServer::Turn { match_id, turn: turn() },
        ToServer::Ack { match_id, turn: 200, signature },
        ToServer::Statement { statement: statement(), signature },
        ToServer::Withdraw { tag, amount: amount(9) },
        ToServer::Account { tag },
        ToServer::Prove { tag, match_id },
        ToServer::Turns { tag, match_id, from: 4 },
        ToServer::Ping,
        ToServer::Arrivals { tag, match_id, from: 4 },
    ]
}

fn to_client() -> Vec<ToClient> {
    let (tag, table, match_id) = (129, TableId(1_000), MatchId(hash(11)));
    let (signatures, operator) = (vec![signature(12), signature(13)], signature(14));
    let pair = Pair { player: player(1), statement: statement(), signature: signature(15), receipt: signature(16) };
    let welcome = Welcome {
        nonce: hash(17),
        domain: Domain { chain_id: 31_337, arena: Address::repeat_byte(3), salt: hash(18) },
        operator: Address::repeat_byte(4),
        token: Address::ZERO,
        games: vec![GameInfo {
            rules: RulesId(hash(5)),
            name: "tictactoe".into(),
            seats: (2, 2),
            fee: BasisPoints::new(250).expect("a share"),
        }],
        max_clock: 300,
        open_for: 60,
        expire_after: 86_400,
        referee: Address::repeat_byte(5),
    };
    let withdrawal = Withdrawal {
        account: account(1),
        total: amount(16),
        deadline: 1_800_000_000,
        receipt: statement().receipt_hash(account(1)),
    };
    let result = ResultLeaf {
        match_id,
        seats: vec![account(1), account(2)],
        payouts: vec![amount(19), amount(0)],
        fee: amount(1),
        final_state: hash(19),
        transcript: hash(20),
    };
    let mut frames = vec![
        ToClient::Welcome(welcome),
        ToClient::Ready(view()),
        ToClient::Tables { tag, tables: vec![TableInfo { table, spec: spec(), seated: vec![account(1)] }] },
        ToClient::Seated { tag, table },
        ToClient::Left { tag, table },
        ToClient::Proposal { table, terms: terms(), players: vec![player(1), player(3)] },
        ToClient::Cancelled { match_id, reason: Refusal::TimedOut },
        ToClient::Guarantee { match_id, signatures: signatures.clone(), operator },
        ToClient::Opened { match_id, signatures: signatures.clone() },
        ToClient::Turn { match_id, turn: turn() },
        ToClient::Stored { match_id, turn: 200 },
        ToClient::Final { match_id, signatures, operator },
        ToClient::StatementDue { statement: statement(), results: vec![Due { match_id, index: 299, delta: -1_000 }] },
        ToClient::Receipt { statement: statement(), signature: signature(16) },
        ToClient::Opponent { match_id, pair },
        ToClient::Settled { statement: statement(), batch: 17 },
        ToClient::Withdrawal { tag, withdrawal, signature: signature(21) },
        ToClient::Account { tag, account: AccountView { receipt: None, ..view() } },
        ToClient::Proof { tag, batch: 17, result, path: vec![hash(22), hash(23)] },
        ToClient::Turns { tag, match_id, turns: vec![turn(), turn()] },
    ];
    frames.extend(abouts().into_iter().map(|about| ToClient::Refused { about, refusal: Refusal::Malformed }));
    frames.extend(refusals().into_iter().map(|refusal| ToClient::Refused { about: About::Request(tag), refusal }));
    frames.push(ToClient::Pong);
    frames.push(ToClient::Disputed { match_id, turn: 3, mover: Some(Seat(1)), until: 1_700_000_000 });
    frames.push(ToClient::Ruled { match_id, payouts: vec![Amount::from_u64(19), Amount::ZERO] });
    let arrived = |turn| Arrived { turn, state: StateHash(hash(24)), at: 1_800_000_000, signature: signature(25) };
    frames.push(ToClient::Arrivals { tag, match_id, arrivals: vec![arrived(0), arrived(200)] });
    frames
}

fn abouts() -> Vec<About> {
    let match_id = MatchId(hash(11));
    vec![About::Session, About::Request(129), About::Match(match_id), About::Turn(match_id, 200), About::Statement]
}

fn refusals() -> Vec<Refusal> {
    let range = |field| Refusal::OutOfRange { field, min: 2, max: 8 };
    vec![
        Refusal::Version { ours: 1 },
        Refusal::Malformed,
        Refusal::TooLarge { limit: 65_536 },
        Refusal::RateLimited { retry_ms: 250 },
        Refusal::NotLoggedIn,
        Refusal::Superseded,
        Refusal::WrongSigner { signer: Address::repeat_byte(1) },
        Refusal::BadSignature,
        Refusal::HighS,
        Refusal::UnknownRules,
        range(Field::Seats),
        range(Field::Stake),
        range(Field::Clock),
        range(Field::Amount),
        Refusal::UnknownTable,
        Refusal::TableFull,
        Refusal::AlreadySeated,
        Refusal::StakeTooHigh { stake: amount(10), available: amount(9) },
        Refusal::PoolShort,
        Refusal::IndexUsed { index: 3, next: 4 },
        Refusal::IndexTooFar { index: 40, open: 3 },
        Refusal::TooManyOpen { limit: 8 },
        Refusal::AnchorTaken,
        Refusal::Exiting,
        Refusal::StatementDue,
        Refusal::UnknownMatch,
        Refusal::NotOpen,
        Refusal::OutOfTurn { turn: 5, mover: Seat(1) },
        Refusal::TurnTaken { turn: 5 },
        Refusal::Unlinked { turn: 4 },
        Refusal::NotDue,
        Refusal::StatementShrinks,
        Refusal::NotSettled,
        Refusal::TimedOut,
        Refusal::SeatLeft,
        Refusal::Storage,
        Refusal::Chain,
        Refusal::Closing,
        Refusal::Expired,
    ]
}

/// The name of a value's variant.
fn variant<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value).expect("JSON") {
        Value::String(name) => name,
        Value::Object(fields) => fields.keys().next().expect("a variant").clone(),
        other => panic!("no variant: {other}"),
    }
}

/// The names of all variants of an enum: what serde says instead of one that is not there.
fn variants<T: DeserializeOwned>() -> BTreeSet<String> {
    let error = serde_json::from_value::<T>(json!("?")).err().expect("no such variant").to_string();
    let (_, names) = error.split_once("expected one of ").expect("a list");
    names.split(", ").map(|name| name.trim_matches('`').to_owned()).collect()
}

fn shown<T: Serialize>(kind: &str, frames: &[T]) -> Vec<Value> {
    let shown = |frame| json!({ "kind": kind, "frame": frame, "bytes": Bytes::from(encode(frame)) });
    frames.iter().map(shown).collect()
}

#[test]
fn frames_are_what_was_written_down() {
    check("frames.json", &json!([shown("ToServer", &to_server()), shown("ToClient", &to_client())].concat()));
}

#[test]
fn every_kind_of_frame_is_there() {
    fn covers<T: Serialize + DeserializeOwned>(samples: &[T]) {
        assert_eq!(samples.iter().map(variant).collect::<BTreeSet<_>>(), variants::<T>());
    }
    covers(&to_server());
    covers(&to_client());
    covers(&abouts());
    covers(&refusals());
    covers(&[Field::Seats, Field::Stake, Field::Clock, Field::Amount]);
}

/// R8.2: size is checked first, and a list is never longer than the bytes that are there.
#[test]
fn frames_that_are_or_claim_too_much_are_refused() {
    assert_eq!(decode::<ToServer>(&vec![1; MAX_FRAME + 1]), Err(WireError::TooLarge { size: MAX_FRAME + 1 }));
    let login = encode(&to_server()[0]);
    let Some(ToServer::Login { resume, .. }) = to_server().into_iter().next() else { unreachable!() };
    // The number of matches to resume stands before them, at the end.
    let length = login.len() - (encode(&resume).len() - 1);
    assert_eq!(login[length], 2);
    for claimed in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]]
    {
        let bytes = [&login[..length], claimed, &login[length + 1..]].concat();
        assert_eq!(decode::<ToServer>(&bytes), Err(WireError::Malformed));
    }
}

#[test]
fn frames_are_read_back_and_nothing_like_them() {
    fn read<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(frames: &[T]) {
        for frame in frames {
            let bytes = encode(frame);
            assert_eq!(decode::<T>(&bytes).as_ref(), Ok(frame));
            for end in 0..bytes.len() {
                assert!(decode::<T>(&bytes[..end]).is_err(), "{frame:?} cut to {end} bytes");
            }
            assert!(decode::<T>(&[&bytes[..], &[0]].concat()).is_err(), "{frame:?} with a byte behind it");
            assert!(decode::<T>(&[&[2], &bytes[1..]].concat()).is_err(), "{frame:?} of another version");
        }
    }
    read(&to_server());
    read(&to_client());
}

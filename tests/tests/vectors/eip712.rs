//! `eip712.json`: every type that is signed (R4.1 to R4.8), with edge values.

use std::{fs, path::Path};

use alloy::sol;
use alloy_primitives::{Address, B256, aliases::I96, keccak256};
use matchlock::{
    abi::{Arrival, Exit, Login, MatchId, MatchTerms, OVER, Receipt, State, StateHash, Statement, Withdrawal},
    account::{AccountId, MAX_THROUGH, Player, SettledSet},
    game::Amount,
    rules::RulesId,
    sign::{Signer, recover},
};
use serde_json::{Value, json};

use crate::{
    chain::{Deployed, domain},
    golden::{check, key},
};

sol! {
    /// The contract's hashing, as `Hashes.sol` opens it up.
    interface Views {
        struct State { uint32 turn; bytes32 prev; bytes32 move; bytes32 board; uint8 mover; uint96[] payouts; }
        function stateDigest(bytes32 id, State state) external view returns (bytes32);
        function statementDigest(address owner, int96 net, uint32 through, uint32 pending) external view returns (bytes32);
        function receiptHash(address account, int96 net, uint32 through, uint32 pending) external pure returns (bytes32);
        function receiptDigest(address account, int96 net, uint32 through, uint32 pending) external view returns (bytes32);
        function withdrawalDigest(address account, uint96 total, uint64 deadline, bytes32 receipt) external view returns (bytes32);
        function exitDigest(address account, bytes32 receipt, uint64 nonce) external view returns (bytes32);
    }
}

/// Something that is signed.
enum Signed {
    Match(MatchTerms),
    State(MatchId, State),
    Statement(Address, Statement),
    Receipt(AccountId, Statement),
    Withdrawal(Withdrawal),
    Exit(Exit),
    Login(Login),
    Arrival(Arrival),
}

impl Signed {
    fn kind(&self) -> &'static str {
        match self {
            Signed::Match(_) => "Match",
            Signed::State(..) => "State",
            Signed::Statement(..) => "Statement",
            Signed::Receipt(..) => "Receipt",
            Signed::Withdrawal(_) => "Withdrawal",
            Signed::Exit(_) => "Exit",
            Signed::Login(_) => "Login",
            Signed::Arrival(_) => "Arrival",
        }
    }

    fn struct_hash(&self) -> B256 {
        match self {
            Signed::Match(terms) => terms.struct_hash(),
            Signed::State(id, state) => state.hash(*id).0,
            Signed::Statement(owner, statement) => statement.struct_hash(*owner),
            Signed::Receipt(account, statement) => statement.receipt_hash(*account).0,
            Signed::Withdrawal(withdrawal) => withdrawal.struct_hash(),
            Signed::Exit(exit) => exit.struct_hash(),
            Signed::Login(login) => login.struct_hash(),
            Signed::Arrival(arrival) => arrival.struct_hash(),
        }
    }

    /// With numbers as decimal strings: JSON's end at 2^53.
    fn message(&self) -> Value {
        let amounts = |amounts: &[Amount]| amounts.iter().map(Amount::to_string).collect::<Vec<_>>();
        match self {
            Signed::Match(terms) => json!({
                "seats": terms.seats, "indexes": terms.indexes.iter().map(u32::to_string).collect::<Vec<_>>(),
                "stakes": amounts(&terms.stakes), "rules": terms.rules, "budget": terms.budget.to_string(),
                "referee": terms.referee, "clock": terms.clock.to_string(), "maxTurns": terms.max_turns.to_string(),
                "chainTime": terms.chain_time.to_string(), "openBy": terms.open_by.to_string(),
                "expiry": terms.expiry.to_string(), "seeds": terms.seeds, "start": terms.start, "salt": terms.salt,
            }),
            Signed::State(id, state) => json!({
                "matchId": id, "turn": state.turn.to_string(), "prev": state.prev, "move": state.action,
                "board": state.board, "mover": state.mover.to_string(), "payouts": amounts(&state.payouts),
            }),
            Signed::Statement(owner, statement) => with_statement(json!({ "owner": owner }), statement),
            Signed::Receipt(account, statement) => with_statement(json!({ "account": account }), statement),
            Signed::Withdrawal(withdrawal) => json!({
                "account": withdrawal.account, "total": withdrawal.total.to_string(),
                "deadline": withdrawal.deadline.to_string(), "receipt": withdrawal.receipt,
            }),
            Signed::Exit(exit) => {
                json!({ "account": exit.account, "receipt": exit.receipt, "nonce": exit.nonce.to_string() })
            }
            Signed::Login(login) => json!({ "account": login.account, "nonce": login.nonce }),
            Signed::Arrival(arrival) => json!({
                "matchId": arrival.match_id, "turn": arrival.turn.to_string(), "state": arrival.state,
                "at": arrival.at.to_string(),
            }),
        }
    }
}

fn with_statement(mut who: Value, statement: &Statement) -> Value {
    who["net"] = json!(statement.net.to_string());
    who["through"] = json!(statement.set.through.to_string());
    who["pending"] = json!(statement.set.pending.to_string());
    who
}

fn terms(seats: u8) -> MatchTerms {
    MatchTerms {
        seats: (1..=seats).map(|i| AccountId(Address::repeat_byte(i))).collect(),
        indexes: (0..u32::from(seats)).collect(),
        stakes: vec![Amount::from_u64(1_000_000_000_000_000); seats.into()],
        rules: RulesId(keccak256("rules")),
        budget: 0,
        referee: Address::ZERO,
        clock: 30,
        max_turns: 9,
        chain_time: 600,
        open_by: 1_800_000_060,
        expiry: 1_800_086_400,
        seeds: (1..=seats).map(|i| keccak256([i])).collect(),
        start: keccak256("start"),
        salt: keccak256("salt"),
    }
}

fn cases() -> Vec<(&'static str, Signed)> {
    let least = MatchTerms {
        indexes: vec![0; 2],
        stakes: vec![Amount::ZERO; 2],
        rules: RulesId(B256::ZERO),
        clock: 0,
        max_turns: 0,
        chain_time: 0,
        open_by: 0,
        expiry: 0,
        seeds: vec![B256::ZERO; 2],
        start: B256::ZERO,
        salt: B256::ZERO,
        ..terms(2)
    };
    let most = MatchTerms {
        seats: (0..8).map(|i| AccountId(Address::repeat_byte(0xff - i))).collect(),
        indexes: vec![u32::MAX; 8],
        stakes: vec![Amount::MAX; 8],
        rules: RulesId(B256::repeat_byte(0xff)),
        budget: u64::MAX,
        referee: Address::repeat_byte(0xff),
        clock: u32::MAX,
        max_turns: u32::MAX,
        chain_time: u32::MAX,
        open_by: u64::MAX,
        expiry: u64::MAX,
        seeds: vec![B256::repeat_byte(0xff); 8],
        start: B256::repeat_byte(0xff),
        salt: B256::repeat_byte(0xff),
    };
    let id = terms(2).id(&domain());
    let start = State {
        turn: 0,
        prev: StateHash::default(),
        action: B256::ZERO,
        board: keccak256("position 0"),
        mover: 0,
        payouts: vec![Amount::from_u64(7), Amount::from_u64(13)],
    };
    // Each state names the one before by its struct hash (R4.5).
    let next = State {
        turn: 1,
        prev: start.hash(id),
        action: keccak256("move 1"),
        board: keccak256("position 1"),
        mover: 1,
        payouts: vec![Amount::from_u64(20), Amount::ZERO],
    };
    let last = State { turn: u32::MAX, mover: OVER, payouts: vec![Amount::MAX; 8], ..next.clone() };
    let statement = |net, through, pending| Statement { net, set: SettledSet { through, pending } };
    let owner = Address::repeat_byte(0xa1);
    let account = Player { owner, key: key(0x42).address() }.account();
    let statements = [
        ("nothing yet", statement(0, 0, 0)),
        ("a loss of one", statement(-1, 1, 0)),
        ("open matches behind", statement(5_000_000_000_000_000_000, 40, 0x8000_0006)),
        ("the most", statement((1 << 95) - 1, MAX_THROUGH - 1, u32::MAX - 1)),
        ("the least", statement(-(1 << 95), MAX_THROUGH - 1, 0)),
    ];
    let receipt = statements[2].1.receipt_hash(account);
    let arrival = |turn, state, at| Signed::Arrival(Arrival { match_id: id, turn, state, at });
    let arrivals = [
        ("the start arrives", arrival(0, start.hash(id), 1_800_000_000)),
        ("the most", arrival(u32::MAX, StateHash(B256::repeat_byte(0xff)), u64::MAX)),
    ];
    let mut cases = vec![
        ("two seats", Signed::Match(terms(2))),
        ("three seats", Signed::Match(terms(3))),
        ("all zero", Signed::Match(least)),
        ("eight seats, all ones", Signed::Match(most)),
        ("the start", Signed::State(id, start)),
        ("a move", Signed::State(id, next)),
        ("a final state, all ones", Signed::State(id, last)),
    ];
    cases.extend(statements.map(|(name, statement)| (name, Signed::Statement(owner, statement))));
    cases.extend(statements.map(|(name, statement)| (name, Signed::Receipt(account, statement))));
    let withdrawal = |total, deadline, receipt| Signed::Withdrawal(Withdrawal { account, total, deadline, receipt });
    let exit = |receipt, nonce| Signed::Exit(Exit { account, receipt, nonce });
    cases.extend([
        ("some", withdrawal(Amount::from_u64(3), 1_800_000_000, receipt)),
        ("nothing, without a statement", withdrawal(Amount::ZERO, 0, Receipt::default())),
        ("the most", withdrawal(Amount::MAX, u64::MAX, receipt)),
        ("with a receipt", exit(receipt, 0)),
        ("without a receipt", exit(Receipt::default(), u64::MAX)),
        ("a login", Signed::Login(Login { account, nonce: keccak256("nonce") })),
    ]);
    cases.extend(arrivals);
    cases
}

/// The types as PROTOCOL.md spells them, so that the vectors, and viem with them, follow the specification.
fn types() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PROTOCOL.md");
    let text = fs::read_to_string(path).expect("the protocol");
    let declared = |kind: &str| {
        let head = format!("{kind}(");
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with(&head)).unwrap_or_else(|| panic!("{kind} in PROTOCOL.md"));
        let fields = line[head.len()..].split_once(')').expect("a closing bracket").0;
        let fields = fields.split(',').map(|field| field.split_once(' ').expect("type and name"));
        fields.map(|(kind, name)| json!({ "name": name, "type": kind })).collect::<Value>()
    };
    let kinds = ["Match", "State", "Statement", "Receipt", "Withdrawal", "Exit", "Login", "Arrival"];
    kinds.into_iter().map(|kind| (kind.to_owned(), declared(kind))).collect()
}

fn produced() -> Value {
    let (domain, signer) = (domain(), key(0x42));
    let owners = [Address::ZERO, Address::repeat_byte(0xa1), Address::repeat_byte(0xff)];
    let accounts = owners.map(|owner| {
        let player = Player { owner, key: signer.address() };
        json!({ "owner": owner, "key": player.key, "account": player.account() })
    });
    let cases = cases().into_iter().map(|(name, signed)| {
        let digest = domain.digest(signed.struct_hash());
        let signature = signer.sign(digest).expect("a signature");
        assert_eq!(recover(digest, &signature), Ok(signer.address()));
        json!({
            "name": name,
            "primaryType": signed.kind(),
            "message": signed.message(),
            "structHash": signed.struct_hash(),
            "digest": digest,
            "signature": signature,
        })
    });
    json!({
        "domain": {
            "name": "Matchlock", "version": "1", "chainId": domain.chain_id.to_string(),
            "verifyingContract": domain.arena, "salt": domain.salt, "separator": domain.separator(),
        },
        "types": types(),
        "signer": { "privateKey": signer.to_bytes(), "address": signer.address() },
        "accounts": accounts,
        "cases": cases.collect::<Value>(),
    })
}

#[test]
fn what_is_signed_is_what_was_written_down() {
    check("eip712.json", &produced());
}

/// Keccak and EIP-712 are all that it needs for what may come before it (R4.9).
#[test]
fn the_contract_hashes_the_same() {
    use matchlock::abi::Arena;

    let (deployed, domain) = (Deployed::hashes(), domain());
    assert_eq!(deployed.view(Arena::domainSeparatorCall {}), domain.separator());
    for owner in [Address::ZERO, Address::repeat_byte(0xa1), Address::repeat_byte(0xff)] {
        let player = Player { owner, key: key(0x42).address() };
        assert_eq!(deployed.view(Arena::accountIdCall { owner, key: player.key }), player.account().0);
    }
    let net96 = |net: i128| I96::try_from(net).expect("fits");
    for (name, signed) in cases() {
        let digest = domain.digest(signed.struct_hash());
        let said = match signed {
            Signed::Match(terms) => deployed.view(Arena::matchIdCall { terms: (&terms).into() }),
            Signed::State(id, state) => {
                let state = Views::State {
                    turn: state.turn,
                    prev: state.prev.0,
                    r#move: state.action,
                    board: state.board,
                    mover: state.mover,
                    payouts: state.payouts.iter().map(|payout| (*payout).into()).collect(),
                };
                deployed.view(Views::stateDigestCall { id: id.0, state })
            }
            Signed::Statement(owner, Statement { net, set }) => deployed.view(Views::statementDigestCall {
                owner,
                net: net96(net),
                through: set.through,
                pending: set.pending,
            }),
            Signed::Receipt(account, statement) => {
                let Statement { net, set: SettledSet { through, pending } } = statement;
                let (account, net) = (account.0, net96(net));
                let hash = deployed.view(Views::receiptHashCall { account, net, through, pending });
                assert_eq!(hash, statement.receipt_hash(AccountId(account)).0, "{name}");
                deployed.view(Views::receiptDigestCall { account, net, through, pending })
            }
            Signed::Withdrawal(Withdrawal { account, total, deadline, receipt }) => {
                deployed.view(Views::withdrawalDigestCall {
                    account: account.0,
                    total: total.into(),
                    deadline,
                    receipt: receipt.0,
                })
            }
            Signed::Exit(Exit { account, receipt, nonce }) => {
                deployed.view(Views::exitDigestCall { account: account.0, receipt: receipt.0, nonce })
            }
            // Never shown to the contract.
            Signed::Login(_) | Signed::Arrival(_) => continue,
        };
        assert_eq!(said, digest, "{name}");
    }
}

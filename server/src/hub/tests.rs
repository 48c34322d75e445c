//! The hub without sockets and without a chain: what a failing disk does to a match in play.

use std::sync::atomic::Ordering;

use alloy_primitives::{B256, keccak256};
use bytes::Bytes;
use matchlock::{
    abi::{Domain, MatchId, State, Statement},
    doc::TicTacToe,
    game::Amount,
    rules::{GameRules, Placed},
    sign::{Key, Signature, Signer},
    wire::{self, Offer, TableSpec, Turn},
};

use super::*;
use crate::{ledger::Pool, store::tests::Disk};

/// A player without a socket.
struct Seated {
    key: Key,
    account: Arc<Account>,
    peer: Peer,
    heard: Vec<ToClient>,
}

struct Scene {
    disk: Disk,
    hub: Arc<Hub>,
    rules: Arc<dyn Rules>,
    players: [Seated; 2],
    _asks: mpsc::UnboundedReceiver<Ask>,
}

fn key(number: u8) -> Key {
    Key::from_bytes(&B256::repeat_byte(number)).expect("a key")
}

impl Scene {
    fn new() -> Scene {
        let disk = Disk::default();
        let rules = GameRules::shared(TicTacToe, Default::default());
        let domain = Domain { chain_id: 1, arena: Address::repeat_byte(7), salt: B256::ZERO };
        let (asks, asked) = mpsc::unbounded_channel();
        let operator = Operator::new(key(1), domain);
        operator.set_pool(&Pool { equity: Amount::from_u64(1_000), owed: 0, batches: 0 }, PoolNotice::default(), 0);
        let settings = Settings::default();
        let hub =
            Hub::new(settings, Machine::default(), operator, Venue::default(), [rules.clone()], disk.store(), asks)
                .expect("opens");
        let hub = Arc::new(hub);
        tokio::spawn(crate::server::tick(hub.clone()));
        let players = [2, 3].map(|number| Seated::new(&hub, key(number)));
        Scene { disk, hub, rules, players, _asks: asked }
    }

    fn say(&self, player: usize, frame: ToServer) {
        let player = &self.players[player];
        let bytes = Bytes::from(wire::encode(&frame));
        self.hub.receive(&player.peer, &player.account, frame, bytes);
    }

    fn sign(&self, player: usize, digest: B256) -> Signature {
        self.players[player].key.sign(digest).expect("signs")
    }

    /// Both meet, sign, and the match is open.
    async fn open(&mut self) -> (MatchId, State, Placed) {
        let stake = Amount::from_u64(10);
        let spec = TableSpec { rules: self.rules.id(), seats: 2, stake, clock: 60, private: false };
        for player in 0..2 {
            let offer = Offer { index: 0, anchor: keccak256([player as u8]) };
            self.say(player, ToServer::Quick { tag: 0, spec: spec.clone(), offer });
        }
        let terms = self.players[0]
            .hear(|frame| match frame {
                ToClient::Proposal { terms, .. } => Some(terms.clone()),
                _ => None,
            })
            .await;
        let match_id = terms.id(self.hub.operator.domain());
        let placed = self.rules.start(&terms.stakes, &terms.seeds).expect("starts");
        let start = State::start(&placed);
        for player in 0..2 {
            self.say(player, ToServer::Sign { match_id, signature: self.sign(player, match_id.0) });
        }
        self.players[0].hear(|frame| matches!(frame, ToClient::Guarantee { .. }).then_some(())).await;
        let digest = self.hub.operator.digest(start.hash(match_id).0);
        for player in 0..2 {
            self.say(player, ToServer::Start { match_id, signature: self.sign(player, digest) });
        }
        for player in &mut self.players {
            player.hear(|frame| matches!(frame, ToClient::Opened { .. }).then_some(())).await;
        }
        (match_id, start, placed)
    }
}

impl Seated {
    fn new(hub: &Arc<Hub>, key: Key) -> Seated {
        let player = Player { owner: key.address(), key: key.address() };
        let account = hub.account(player).expect("the store answers");
        let funds = Amount::from_u64(100).signed();
        let Statement { net, set } = Statement::default();
        let (withdrawn, locked) = (Amount::ZERO, Amount::ZERO);
        let chain =
            ChainAccount { funds, net, set, claims: 0, special: false, withdrawn, locked, exit_at: 0, nonce: 0 };
        hub.observe(&account, chain, 0);
        let peer = Peer::new(account.id);
        *lock(&account.peer) = Some(peer.clone());
        Seated { key, account, peer, heard: Vec::new() }
    }

    async fn hear<T>(&mut self, pick: impl Fn(&ToClient) -> Option<T>) -> T {
        loop {
            if let Some(at) = self.heard.iter().position(|frame| pick(frame).is_some()) {
                return pick(&self.heard.remove(at)).expect("picked");
            }
            let mut frames = Vec::new();
            assert_eq!(self.peer.drain(&mut frames).await, None, "still connected");
            self.heard.extend(frames.iter().map(|bytes| wire::decode::<ToClient>(bytes).expect("a frame")));
        }
    }

    async fn refusal(&mut self) -> (About, Refusal) {
        self.hear(|frame| match frame {
            ToClient::Refused { about, refusal } => Some((*about, refusal.clone())),
            _ => None,
        })
        .await
    }

    async fn stored(&mut self) -> u32 {
        self.hear(|frame| match frame {
            ToClient::Stored { turn, .. } => Some(*turn),
            _ => None,
        })
        .await
    }
}

#[tokio::test]
async fn a_full_disk_refuses_the_culprit_nothing_is_lost_and_play_goes_on() {
    let mut scene = Scene::new();
    let (match_id, start, placed) = scene.open().await;
    let (action, after) =
        scene.rules.compose(&placed.position, matchlock::game::Seat(0), vec![4], &|_| None).expect("legal");
    let action = action.encode();
    let state = State::after(1, start.hash(match_id), keccak256(&action), &after);
    let signature = scene.sign(0, scene.hub.operator.digest(state.hash(match_id).0));
    let turn = Turn { state, action, signature };
    let frame = ToServer::Turn { match_id, turn: turn.clone() };

    // The disk fails under the turn: it was passed on, its author is told that it is not stored.
    scene.disk.full.store(true, Ordering::SeqCst);
    scene.say(0, frame.clone());
    assert_eq!(scene.players[0].refusal().await, (About::Turn(match_id, 1), Refusal::Storage));
    let passed_on = scene.players[1].hear(|frame| match frame {
        ToClient::Turn { turn, .. } => Some(turn.clone()),
        _ => None,
    });
    assert_eq!(passed_on.await, turn);

    // From here on nothing is taken at all, of anybody, and nothing changes.
    scene.say(0, frame.clone());
    assert_eq!(scene.players[0].refusal().await, (About::Turn(match_id, 1), Refusal::Storage));
    let spec = TableSpec { rules: scene.rules.id(), seats: 2, stake: Amount::ZERO, clock: 1, private: false };
    scene.say(1, ToServer::Create { tag: 7, spec, offer: Offer { index: 1, anchor: B256::ZERO } });
    assert_eq!(scene.players[1].refusal().await, (About::Request(7), Refusal::Storage));
    assert_eq!(lock(&scene.hub.lobby).len(), 0);

    // What can be answered is answered.
    scene.say(0, ToServer::Account { tag: 8 });
    let view = scene.players[0].hear(|frame| match frame {
        ToClient::Account { account, .. } => Some(account.clone()),
        _ => None,
    });
    assert_eq!(view.await.open, [match_id]);

    // Space again: the turn is stored after all, once, and its author hears it.
    scene.disk.full.store(false, Ordering::SeqCst);
    assert_eq!(scene.players[0].stored().await, 1);
    scene.say(0, frame);
    assert_eq!(scene.players[0].stored().await, 1, "sent again, acknowledged again");
    assert_eq!(scene.hub.store.turns(0, 1, usize::MAX).expect("readable").len(), 1);
    scene.hub.store.close();
}

#[tokio::test]
async fn accounts_that_nothing_hangs_on_are_forgotten() {
    let mut scene = Scene::new();
    scene.open().await;
    assert_eq!(scene.hub.accounts.len(), 2);
    let hub = scene.hub.clone();
    // One is in a match, the third just looked in.
    let visitor = Seated::new(&hub, key(9));
    hub.vacate(&visitor.account, &visitor.peer);
    hub.forget(visitor.account);
    let player = &scene.players[0];
    hub.vacate(&player.account, &player.peer);
    hub.forget(player.account.clone());
    assert_eq!(hub.accounts.len(), 2);
    scene.hub.store.close();
}

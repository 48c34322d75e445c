use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use matchlock::{
    abi::{MatchId, MatchTerms, State, StateHash},
    account::Player,
    rules::RulesId,
    wire::TableId,
};
use redb::StorageBackend;

use super::*;

/// A disk in memory that can be full.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    pub(crate) full: Arc<AtomicBool>,
}

impl Disk {
    fn check(&self) -> io::Result<()> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    pub(crate) fn store(&self) -> Store {
        let disk = self.clone();
        Store::open_with(Box::new(move || {
            redb::Builder::new().create_with_backend(disk.clone()).map_err(|error| StoreError::Database(error.into()))
        }))
        .expect("the disk is empty or a store")
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.bytes).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        let bytes = lock(&self.bytes);
        out.copy_from_slice(bytes.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        lock(&self.bytes).resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        let at = offset as usize;
        lock(&self.bytes)[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// What became of a write.
#[derive(Debug, PartialEq)]
enum Told {
    Stored(u32),
    Stalled(u32),
}

struct Listener(u32, mpsc::Sender<Told>);

impl Pending for Listener {
    fn stored(self: Box<Self>) {
        self.1.send(Told::Stored(self.0)).expect("the test listens");
    }
    fn stalled(&self) {
        self.1.send(Told::Stalled(self.0)).expect("the test listens");
    }
}

fn turn(number: u32) -> Change {
    Change::Turn(7, number, 1_000 + u64::from(number), Bytes::from(vec![number as u8; 300]))
}

#[test]
fn writes_become_durable_in_order_and_survive_a_restart() {
    let disk = Disk::default();
    let store = disk.store();
    let (sender, told) = mpsc::channel();
    for number in 1..=500 {
        store.write_one(turn(number), Listener(number, sender.clone()));
    }
    store.close();
    let told: Vec<Told> = told.try_iter().collect();
    assert_eq!(told, (1..=500).map(Told::Stored).collect::<Vec<_>>());

    let store = disk.store();
    let turns = store.turns(7, 1, usize::MAX).expect("readable");
    assert_eq!(turns.len(), 500);
    assert!(turns.iter().zip(1u32..).all(|(bytes, number)| bytes[0] == number as u8));
    assert_eq!(store.last_turn(7).expect("readable"), turns.last().cloned());
    assert_eq!(store.turns(7, 490, 700).expect("readable").len(), 2);
    let arrived = store.arrivals(7, 490, 2).expect("readable");
    assert_eq!(arrived.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1_490, 1_491]);
    assert_eq!(arrived[0].1, turns[489]);
    assert!(store.arrivals(8, 0, 9).expect("readable").is_empty());
    assert!(store.turns(6, 0, usize::MAX).expect("readable").is_empty());
    assert!(store.turns(8, 0, usize::MAX).expect("readable").is_empty());
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_recovers() {
    let disk = Disk::default();
    let store = disk.store();
    let (sender, told) = mpsc::channel();
    store.write_one(turn(1), Listener(1, sender.clone()));
    assert_eq!(told.recv(), Ok(Told::Stored(1)));

    disk.full.store(true, Ordering::SeqCst);
    store.write_one(turn(2), Listener(2, sender.clone()));
    assert_eq!(told.recv(), Ok(Told::Stalled(2)));
    assert_eq!(store.check(), Err(Overload::Failing));
    // So does whoever comes later.
    assert!(matches!(store.write_now(vec![turn(3)]), Err(StoreError::Failing)));

    disk.full.store(false, Ordering::SeqCst);
    // The one that was stalled is written after all, and told only then.
    assert_eq!(told.recv(), Ok(Told::Stored(2)));
    assert_eq!(store.check(), Ok(()));
    assert_eq!(store.turns(7, 1, usize::MAX).expect("readable").len(), 3);
}

#[test]
fn a_full_disk_at_the_end_tells_nobody_that_it_was_stored() {
    let disk = Disk::default();
    let store = disk.store();
    disk.full.store(true, Ordering::SeqCst);
    let (sender, told) = mpsc::channel();
    store.write_one(turn(1), Listener(1, sender));
    assert_eq!(told.recv(), Ok(Told::Stalled(1)));
    store.close();
    assert_eq!(told.recv().ok(), None);
    disk.full.store(false, Ordering::SeqCst);
    assert!(disk.store().turns(7, 1, usize::MAX).expect("readable").is_empty());
}

#[test]
fn a_killed_store_keeps_what_it_told_and_nothing_else_is_claimed() {
    let disk = Disk::default();
    let store = disk.store();
    let (sender, told) = mpsc::channel();
    for number in 1..=2_000 {
        store.write_one(turn(number), Listener(number, sender.clone()));
    }
    store.kill();
    drop(sender);
    let told = told.iter().count();
    let kept = disk.store().turns(7, 1, usize::MAX).expect("readable").len();
    assert!(kept >= told, "{told} were told, {kept} are there");
}

#[test]
fn a_match_is_live_until_it_ends_and_found_by_its_id() {
    let disk = Disk::default();
    let store = disk.store();
    let row = row();
    store.write_now(vec![Change::new_match(3, &row)]).expect("written");
    assert_eq!(store.next_match().expect("readable"), 4);
    let (seq, found) = store.match_by_id(row.id).expect("readable").expect("there");
    assert_eq!((seq, found.terms), (3, row.terms.clone()));
    assert_eq!(store.live_matches().expect("readable").len(), 1);
    store.write_now(vec![Change::Ended(3)]).expect("written");
    assert!(store.live_matches().expect("readable").is_empty());
    assert!(store.match_by_id(row.id).expect("readable").is_some());
}

#[test]
fn a_store_of_another_version_is_refused() {
    let disk = Disk::default();
    disk.store().write_now(vec![Change::Meta("schema", 99u32.to_le_bytes().to_vec())]).expect("written");
    let database = redb::Builder::new().create_with_backend(disk).expect("opens");
    assert!(matches!(prepare(&database), Err(StoreError::Schema { found: 99 })));
}

#[test]
fn two_servers_do_not_share_a_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = Store::open(directory.path(), "server.redb").expect("opens");
    assert!(matches!(Store::open(directory.path(), "server.redb"), Err(StoreError::InUse { .. })));
    drop(first);
    Store::open(directory.path(), "server.redb").expect("opens once the first is gone");
}

fn row() -> MatchRow {
    let player = Player { owner: Address::repeat_byte(1), key: Address::repeat_byte(2) };
    MatchRow {
        id: MatchId(B256::repeat_byte(3)),
        table: TableId(1),
        terms: MatchTerms {
            seats: vec![player.account()],
            indexes: vec![0],
            stakes: vec![],
            rules: RulesId(B256::ZERO),
            budget: 0,
            referee: Address::ZERO,
            clock: 0,
            max_turns: 9,
            chain_time: 0,
            open_by: 0,
            expiry: 0,
            seeds: vec![],
            start: B256::ZERO,
            salt: B256::ZERO,
        },
        players: vec![player],
        start: State {
            turn: 0,
            prev: StateHash::default(),
            action: B256::ZERO,
            board: B256::ZERO,
            mover: 0,
            payouts: vec![],
        },
        guarantee: vec![],
        opened: vec![],
        opened_at: 0,
        ending: None,
    }
}

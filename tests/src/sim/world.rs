//! The world of one schedule: events in virtual time, a network, a server, players, a chain.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy_primitives::{U256, keccak256};
use alloy_sol_types::SolCall;
use matchlock::{
    abi::Arena,
    client::Clock,
    game::Amount,
    local::Dice,
    rules::Rules,
    wire::{self, ToClient},
};
use matchlock_server::{
    Machine, Settings,
    chain::Chain,
    core::{Core, Disk, Link},
};

use super::{
    broken::Broken,
    chain::{BEGIN, Fate, SimChain},
    check::{Breach, Witness},
    plan::{Operation, Plan},
    player::{DEPOSIT, Player},
    tally::Tally,
};
use crate::world::Failure;

/// Seconds between blocks.
const BLOCK: u64 = 6;
/// Seconds that players give the operator to settle and pay, before they leave alone.
const COOPERATION: u64 = 1_400;
/// Seconds in which every schedule has to be over: cooperation, an exit, disputes that begin late, and some.
const LIMIT: u64 = COOPERATION + 3_000;
/// Seconds from a proposal to the last moment of a dispute.
const EXPIRY: u64 = 1_000;
/// What the operator's pool holds, in wei.
const POOL: u64 = 100_000_000;
/// What it holds where the server believes in more.
const SMALL_POOL: u64 = 1_000;
/// Blocks on top of the first deposits when a schedule begins.
const FIRST_BLOCKS: u64 = 3;
/// Lines of a schedule's story that are kept.
const STORY: usize = 4_000;

/// Something that happens.
#[derive(Debug)]
pub(super) enum Event {
    /// A frame arrives at the server.
    ToServer(usize, Vec<u8>),
    /// A frame arrives at a client.
    ToClient(usize, Vec<u8>),
    /// A connection is made.
    Connected(usize),
    /// A player looks around.
    Act(usize),
    /// A player's process starts again.
    Boot(usize),
    /// The server's process starts again.
    Restart,
    /// A second of the server.
    Tick,
    /// The server looks at the chain.
    Look,
    /// A block.
    Block,
    /// The server reaches its node again.
    Mended,
}

/// A connection.
struct Line {
    player: usize,
    link: Option<Link>,
    open: bool,
    /// When the newest frame of each direction arrives: frames do not overtake each other unless the schedule says so.
    arrives: [u64; 2],
}

/// The world.
pub(super) struct World<'a> {
    pub(super) chain: &'a mut SimChain,
    server_chain: &'a Chain,
    pub(super) rules: Arc<dyn Rules>,
    /// What happens.
    pub(super) plan: Plan,
    pub(super) broken: Broken,
    pub(super) dice: Dice,
    queue: BTreeMap<(u64, u64), Event>,
    seq: u64,
    pub(super) players: Vec<Player>,
    lines: Vec<Line>,
    core: Option<Core>,
    disk: Disk,
    entropy: Arc<AtomicU64>,
    pub(super) height: u64,
    pub(super) witness: Witness,
    awake: Vec<bool>,
    /// Since when nothing breaks any more.
    calmed: Option<u64>,
    /// What happened.
    pub(super) tally: Tally,
    /// What must not happen, and did.
    pub(super) breach: Option<Breach>,
    story: VecDeque<String>,
}

impl<'a> World<'a> {
    /// The world of a plan, at its beginning.
    ///
    /// # Errors
    /// Something does not work that the schedule did not break.
    pub(super) fn new(
        chain: &'a mut SimChain,
        server_chain: &'a Chain,
        rules: Arc<dyn Rules>,
        plan: Plan,
        broken: Broken,
    ) -> Result<World<'a>, Failure> {
        chain.reset()?;
        chain.deceive(plan.operation == Operation::Overguarantees);
        let players = plan.players.iter().enumerate();
        let players: Vec<Player> = players.map(|(n, conduct)| Player::new(n, *conduct, plan.matches)).collect();
        let awake = vec![false; players.len()];
        let dice = Dice::new(plan.seed ^ 0x5eed);
        let mut world = World {
            chain,
            server_chain,
            rules,
            plan,
            broken,
            dice,
            queue: BTreeMap::new(),
            seq: 0,
            players,
            lines: Vec::new(),
            core: None,
            disk: Disk::default(),
            entropy: Arc::default(),
            height: 0,
            witness: Witness::default(),
            awake,
            calmed: None,
            tally: Tally::default(),
            breach: None,
            story: VecDeque::new(),
        };
        world.fund()?;
        Ok(world)
    }

    /// Everybody's money goes in.
    fn fund(&mut self) -> Result<(), Failure> {
        let pool = if self.plan.operation == Operation::Overguarantees { SMALL_POOL } else { POOL };
        let arena = self.chain.domain.arena;
        self.chain.send(&super::chain::operator(), arena, U256::from(pool), Arena::fundCall {}.abi_encode())?;
        for player in &self.players {
            let call = Arena::depositCall { account: player.account().0 };
            self.chain.send(&player.wallet, arena, U256::from(DEPOSIT), call.abi_encode())?;
        }
        // Deep enough for everybody, whatever becomes of later blocks.
        for _ in 0..=FIRST_BLOCKS {
            self.chain.mine()?;
            self.height += 1;
        }
        Ok(())
    }

    /// Plays the schedule to its end.
    ///
    /// # Errors
    /// A breach of what is promised, or something that does not work.
    pub(super) async fn run(&mut self) -> Result<(), Failure> {
        self.start_server().await?;
        for n in 0..self.players.len() {
            self.boot(n)?;
        }
        self.at(0, Event::Tick);
        self.at(0, Event::Look);
        self.at(BLOCK * 1000, Event::Block);
        while !self.is_over() {
            let Some(((time, _), event)) = self.queue.pop_first() else { break };
            self.chain.time.set(time);
            if self.now() > BEGIN + self.plan.play + LIMIT {
                return Err(Breach::NeverEnds.into());
            }
            self.happen(event).await?;
            if let Some(breach) = self.breach.take() {
                return Err(breach.into());
            }
        }
        self.witness.judge(self.chain, &self.plan, &self.players)
    }

    async fn happen(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::ToServer(line, bytes) => {
                if let (Some(core), Some(link)) = (&self.core, &self.lines[line].link)
                    && self.lines[line].open
                    && !self.is_deaf()
                {
                    core.receive(link, bytes);
                    self.after_server().await?;
                }
            }
            Event::ToClient(line, bytes) => {
                if self.lines[line].open {
                    self.hear(self.lines[line].player, &bytes)?;
                }
            }
            Event::Connected(line) => self.log_in(line).await?,
            Event::Act(n) => {
                self.awake[n] = false;
                self.act(n)?;
            }
            Event::Boot(n) => self.boot(n)?,
            Event::Restart => self.start_server().await?,
            Event::Tick => {
                if let Operation::Gone { at } = self.plan.operation
                    && self.now() >= BEGIN + at
                    && let Some(core) = self.core.take()
                {
                    self.log(format_args!("the server is gone for good"));
                    core.kill();
                    self.cut_all();
                }
                if let Some(core) = &self.core {
                    core.tick();
                    self.after_server().await?;
                }
                let pause = if self.draining() { 5_000 } else { 1_000 };
                self.at(pause, Event::Tick);
            }
            Event::Look => {
                let mut more = true;
                while more && let Some(core) = &mut self.core {
                    more = core.look().await.unwrap_or(false);
                    self.after_server().await?;
                }
                if let Some(core) = &mut self.core {
                    // A node that is cut off is asked again.
                    let _ = core.send().await;
                    self.after_server().await?;
                }
            }
            Event::Block => {
                self.mine()?;
                let pause = if self.draining() { 2 * BLOCK } else { BLOCK };
                self.at(pause * 1000, Event::Block);
                let delay = 200 + u64::from(self.dice.below(3_000));
                self.at(delay, Event::Look);
                for n in 0..self.players.len() {
                    self.wake_soon(n);
                }
                self.listen();
            }
            Event::Mended => {
                self.chain.mend();
                self.at(0, Event::Look);
            }
        }
        Ok(())
    }

    fn mine(&mut self) -> Result<(), Failure> {
        self.chain.mine()?;
        self.height += 1;
        for line in self.chain.told() {
            self.log(format_args!("{line}"));
        }
        for event in self.chain.events() {
            self.tally.count(&format!("chain: {event}"));
        }
        if self.height > 2 * FIRST_BLOCKS && !self.draining() && self.chance(self.plan.reorgs) {
            let depth = 1 + u64::from(self.dice.below(FIRST_BLOCKS as u32));
            self.log(format_args!("{depth} blocks are replaced"));
            self.tally.count("world: reorg");
            let dice = &mut self.dice;
            self.chain.reorg(depth, || match dice.below(8) {
                0..=4 => Fate::Stays,
                5 | 6 => Fate::Later,
                _ => Fate::Lost,
            })?;
        }
        if !self.draining() && self.chance(self.plan.cuts) {
            self.log(format_args!("the server cannot reach its node"));
            self.tally.count("world: server cut off from its node");
            self.chain.cut();
            let pause = 1_000 + u64::from(self.dice.below(40_000));
            self.at(pause, Event::Mended);
        }
        if self.height.is_multiple_of(8) {
            self.witness.conserved(self.chain, &self.players)?;
        }
        self.arbitrate()
    }

    // ---------------------------------------------------------------------------------------------- the server

    async fn start_server(&mut self) -> Result<(), Failure> {
        let settings = settings();
        let (time, entropy, seed) = (self.chain.time.clone(), self.entropy.clone(), self.plan.seed);
        let machine = Machine::new(Clock::new(move || time.now()), move || {
            let n = entropy.fetch_add(1, Ordering::Relaxed);
            keccak256([seed.to_be_bytes(), n.to_be_bytes()].concat())
        });
        let games = vec![self.rules.clone()];
        match Core::start(settings, machine, self.server_chain.clone(), games, &self.disk).await {
            Ok(core) => {
                self.log(format_args!("the server starts"));
                self.core = Some(core);
                self.at(0, Event::Look);
                for n in 0..self.players.len() {
                    self.wake_soon(n);
                }
            }
            Err(error) => {
                // Its node is cut off.
                self.log(format_args!("the server does not start: {error}"));
                self.at(5_000, Event::Restart);
            }
        }
        Ok(())
    }

    /// What the server queued becomes durable and leaves, or the server crashes in between.
    async fn after_server(&mut self) -> Result<(), Failure> {
        loop {
            let Some(mut core) = self.core.take() else { return Ok(()) };
            core.answer().await;
            let queued = core.flush(0)?;
            if queued == 0 {
                self.pump(&core);
                self.core = Some(core);
                return Ok(());
            }
            if self.crashes_now(self.plan.server_crashes) {
                let durable = self.dice.below(queued as u32 + 1) as usize;
                core.flush(durable)?;
                self.log(format_args!("the server crashes with {durable} of {queued} writes done"));
                self.tally.count("world: server crashes");
                if self.dice.below(2) == 0 {
                    self.pump(&core);
                }
                core.kill();
                self.cut_all();
                let pause = 500 + u64::from(self.dice.below(15_000));
                self.at(pause, Event::Restart);
                return Ok(());
            }
            core.flush(usize::MAX)?;
            self.core = Some(core);
        }
    }

    /// What waits at the server goes on its way.
    fn pump(&mut self, core: &Core) {
        for line in 0..self.lines.len() {
            let Some(link) = self.lines[line].link.clone().filter(|_| self.lines[line].open) else { continue };
            let (frames, open) = core.take(&link);
            if !self.is_deaf() {
                for frame in frames {
                    self.travel(line, 1, frame.to_vec());
                }
            }
            if !open {
                self.cut(line);
            }
        }
    }

    /// Whether there is a server that answers.
    pub(super) fn is_listening(&self) -> bool {
        self.core.is_some() && !self.is_deaf()
    }

    fn is_deaf(&self) -> bool {
        matches!(self.plan.operation, Operation::Deaf { at } if self.now() >= BEGIN + at)
    }

    // --------------------------------------------------------------------------------------------- the network

    /// A player dials.
    pub(super) fn connect(&mut self, n: usize) {
        let line = self.lines.len();
        self.lines.push(Line { player: n, link: None, open: true, arrives: [0; 2] });
        self.players[n].line = Some(line);
        let pause = 50 + u64::from(self.dice.below(self.plan.latency + 1));
        self.at(pause, Event::Connected(line));
    }

    async fn log_in(&mut self, line: usize) -> Result<(), Failure> {
        let n = self.lines[line].player;
        let nonce = keccak256([self.plan.seed.to_be_bytes(), (line as u64).to_be_bytes()].concat());
        let deaf = self.is_deaf();
        let (Some(core), Some(session)) = (self.core.as_ref().filter(|_| !deaf), &self.players[n].session) else {
            self.cut(line);
            return Ok(());
        };
        let Ok(ToClient::Welcome(welcome)) = wire::decode(&core.welcome(nonce)) else {
            return Err("a server without a welcome".into());
        };
        let (login, record) = session.login(&welcome)?;
        self.players[n].disk.extend(record);
        if let Some(session) = &mut self.players[n].session {
            session.bind(&welcome);
        }
        match core.log_in(nonce, &wire::encode(&login)).await {
            Ok(link) => self.lines[line].link = Some(link),
            Err(refusal) => {
                self.log(format_args!("player {n} cannot log in: {refusal}"));
                self.cut(line);
            }
        }
        self.after_server().await
    }

    pub(super) fn is_logged_in(&self, line: usize) -> bool {
        self.lines[line].open && self.lines[line].link.is_some()
    }

    /// A connection ends.
    pub(super) fn cut(&mut self, line: usize) {
        if !std::mem::replace(&mut self.lines[line].open, false) {
            return;
        }
        self.tally.count("world: connection lost");
        let n = self.lines[line].player;
        if self.players[n].line == Some(line) {
            self.players[n].line = None;
        }
        if let (Some(core), Some(link)) = (&self.core, self.lines[line].link.take()) {
            core.hang_up(link);
        }
        // Where nobody answers, the next block is early enough.
        if self.is_listening() {
            self.wake_soon(n);
        }
    }

    fn cut_all(&mut self) {
        (0..self.lines.len()).for_each(|line| self.cut(line));
    }

    pub(super) fn send_up(&mut self, line: usize, bytes: Vec<u8>) {
        self.travel(line, 0, bytes);
    }

    /// A frame sets out, and arrives, or does not.
    fn travel(&mut self, line: usize, way: usize, bytes: Vec<u8>) {
        let calm = self.draining();
        if !calm && self.chance(self.plan.breaks) {
            return self.cut(line);
        }
        if !calm && self.chance(self.plan.losses) {
            // Without a word, until the heartbeat finds out.
            self.tally.count("world: frame lost");
            return;
        }
        let latency = 1 + u64::from(self.dice.below(self.plan.latency + 1));
        let now = self.chain.time.millis();
        let mut arrives = (now + latency).max(self.lines[line].arrives[way] + 1);
        if !calm && self.chance(self.plan.swaps) {
            arrives = now + 1;
        } else {
            self.lines[line].arrives[way] = arrives;
        }
        let again = (!calm && self.chance(self.plan.repeats)).then(|| bytes.clone());
        for bytes in [Some(bytes), again].into_iter().flatten() {
            let event = if way == 0 { Event::ToServer(line, bytes) } else { Event::ToClient(line, bytes) };
            self.at(arrives - now, event);
        }
    }

    /// Heartbeats find out where a frame was lost: the connection is made anew.
    fn listen(&mut self) {
        let lossy = self.plan.losses + self.plan.swaps > 0;
        let calming = self.draining() && self.calmed.is_none();
        if calming {
            self.calmed = Some(self.now());
        }
        for line in 0..self.lines.len() {
            if calming || lossy && !self.draining() && self.dice.below(4) == 0 {
                self.cut(line);
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ the rest

    pub(super) fn now(&self) -> u64 {
        self.chain.time.now()
    }

    pub(super) fn at(&mut self, pause: u64, event: Event) {
        self.seq += 1;
        self.queue.insert((self.chain.time.millis() + pause, self.seq), event);
    }

    pub(super) fn wake_soon(&mut self, n: usize) {
        if !std::mem::replace(&mut self.awake[n], true) {
            let pause = 100 + u64::from(self.dice.below(2_000));
            self.at(pause, Event::Act(n));
        }
    }

    /// Of 1,000, so many.
    fn chance(&mut self, of_thousand: u32) -> bool {
        of_thousand > 0 && self.dice.below(1_000) < of_thousand
    }

    pub(super) fn crashes_now(&mut self, of_thousand: u32) -> bool {
        !self.draining() && self.chance(of_thousand)
    }

    /// Whether matches are begun no more, and the world breaks nothing more.
    pub(super) fn draining(&self) -> bool {
        self.now() >= BEGIN + self.plan.play
    }

    /// Whether it is time to leave without the operator.
    pub(super) fn is_late(&self) -> bool {
        let since = BEGIN + self.plan.play;
        self.now() >= since + if self.is_listening() { COOPERATION } else { 60 }
    }

    fn is_over(&self) -> bool {
        self.players.iter().filter(|player| player.conduct.is_honest()).all(|player| player.home)
    }

    pub(super) fn log(&mut self, line: fmt::Arguments<'_>) {
        if self.story.len() == STORY {
            self.story.pop_front();
        }
        let (millis, height) = (self.chain.time.millis(), self.height);
        self.story.push_back(format!("{:>9.3} s, block {height:>3}: {line}", millis as f64 / 1000.0));
    }

    /// What happened.
    pub(super) fn story(&mut self) -> Vec<String> {
        std::mem::take(&mut self.story).into()
    }
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.settle_count = 4;
    settings.settle_age = 30;
    settings.expire_after = EXPIRY;
    settings.open_for = 20;
    settings.chain_time = 60;
    settings.statement_grace = 20;
    settings.challenge_from = Amount::ZERO;
    settings
}

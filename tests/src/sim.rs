//! The simulator: whole schedules in virtual time, from one seed each (PROTOCOL, section 10).
//!
//! Sessions, channels, counsel, the server's core, the store and the contracts' bytecode are those of production; sockets, clocks,
//! disks and the chain's network are simulated. A schedule is a function of its seed, and ends in `Ok` or in what broke.

mod broken;
mod chain;
mod cheat;
mod check;
mod plan;
mod player;
mod world;

use std::sync::Arc;

use matchlock::{game::BasisPoints, rules::Rules};
use matchlock_server::chain::{Chain, ChainConfig};

pub use broken::Broken;
pub use check::Breach;
pub use plan::{Arbitration, Conduct, Operation, Plan};

use self::{
    chain::{SimChain, operator},
    world::World,
};
use crate::world::Failure;

/// How deep a block has to be before the server counts it.
const DEPTH: u64 = 2;

/// One thread's simulator. Schedules are run one after another.
pub struct Simulator {
    runtime: tokio::runtime::Runtime,
    chain: SimChain,
    server_chain: Chain,
    games: Vec<Arc<dyn Rules>>,
}

/// A schedule that broke something.
#[derive(Debug)]
pub struct Failed {
    /// The schedule.
    pub plan: Plan,
    /// What happened.
    pub story: Vec<String>,
    /// What broke.
    pub why: Failure,
}

impl Simulator {
    /// Deploys the contracts on a chain of its own.
    ///
    /// # Errors
    /// The chain does not work.
    pub fn new() -> Result<Simulator, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (chain, server_chain) = runtime.block_on(async {
            let chain = SimChain::new().await?;
            let node = Arc::new(chain.server_node());
            let config = ChainConfig { depth: DEPTH, ..ChainConfig::new("simulated", chain.domain.arena, operator()) };
            let server_chain = Chain::connect_through(node, config).await?;
            Ok::<_, Failure>((chain, server_chain))
        })?;
        Ok(Simulator { runtime, chain, server_chain, games: matchlock_demo::games(BasisPoints::ZERO) })
    }

    /// Runs the schedule of a seed.
    ///
    /// # Errors
    /// What it broke.
    pub fn run(&mut self, seed: u64, broken: Broken) -> Result<Plan, Box<Failed>> {
        let plan = Plan::of(seed);
        self.run_plan(plan, broken, false).map(|(plan, _)| plan)
    }

    /// Runs a schedule, and tells its story.
    ///
    /// # Errors
    /// What it broke.
    pub fn run_plan(&mut self, plan: Plan, broken: Broken, tell: bool) -> Result<(Plan, Vec<String>), Box<Failed>> {
        let failed = |story, why| Box::new(Failed { plan: plan.clone(), story, why });
        let rules = self.games.iter().find(|rules| rules.name() == plan.game).expect("a demo game").clone();
        let world = World::new(&mut self.chain, &self.server_chain, rules, plan.clone(), broken);
        let mut world = world.map_err(|why| failed(Vec::new(), why))?;
        let done = self.runtime.block_on(world.run());
        match done {
            Ok(()) => Ok((plan, if tell { world.story().cloned().collect() } else { Vec::new() })),
            Err(why) => Err(failed(world.story().cloned().collect(), why)),
        }
    }
}

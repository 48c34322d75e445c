//! The simulator: whole schedules in virtual time, from one seed each (PROTOCOL, section 10).
//!
//! Sessions, channels, counsel, the server's core, the store and the contracts' bytecode are those of production; sockets, clocks,
//! disks and the chain's network are simulated. A schedule is a function of its seed, and ends in `Ok` or in what broke.

mod broken;
mod chain;
mod cheat;
mod check;
mod forge;
mod mirror;
mod plan;
mod player;
mod scenario;
mod tally;
mod world;

use std::sync::Arc;

use matchlock::{game::BasisPoints, rules::Rules};
use matchlock_server::chain::{Chain, ChainConfig};

pub use broken::{Broken, VARIANTS, Variant};
pub use check::Breach;
pub use plan::{Arbitration, Conduct, Operation, Plan};
pub use scenario::{SCENARIOS, Scenario};
pub use tally::Tally;

use self::{
    chain::{SimChain, operator},
    world::World,
};
use crate::{compare::Contracts, refereed, world::Failure};

/// How deep a block has to be before the server counts it.
const DEPTH: u64 = 2;

/// One thread's simulator. Schedules are run one after another.
pub struct Simulator {
    runtime: tokio::runtime::Runtime,
    chain: SimChain,
    server_chain: Chain,
    games: Vec<Arc<dyn Rules>>,
}

/// A schedule that broke nothing.
#[derive(Debug)]
pub struct Ended {
    /// What happened, in numbers.
    pub tally: Tally,
    /// What happened, in words.
    pub story: Vec<String>,
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

impl Variant {
    /// The scenario in which it is looked for.
    pub fn scenario(&self) -> &'static Scenario {
        SCENARIOS.iter().find(|scenario| scenario.name == self.scenario).expect("a scenario of this name")
    }
}

impl Simulator {
    /// Deploys the contracts on a chain of its own.
    ///
    /// # Errors
    /// The chain does not work.
    pub fn new() -> Result<Simulator, Failure> {
        Simulator::of(&Contracts::committed())
    }

    /// Deploys these contracts: others than are committed are broken on purpose.
    ///
    /// # Errors
    /// The chain does not work, or they do not deploy.
    pub fn of(contracts: &Contracts) -> Result<Simulator, Failure> {
        let fee = BasisPoints::ZERO;
        let games: Vec<_> = matchlock_demo::games(fee).into_iter().chain(refereed::games(fee)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (chain, server_chain) = runtime.block_on(async {
            let chain = SimChain::new(contracts, &games)?;
            let node = Arc::new(chain.server_node());
            let config = ChainConfig { depth: DEPTH, ..ChainConfig::new("simulated", chain.domain.arena, operator()) };
            let server_chain = Chain::connect_through(node, config).await?;
            Ok::<_, Failure>((chain, server_chain))
        })?;
        Ok(Simulator { runtime, chain, server_chain, games })
    }

    /// Runs the schedule of a seed.
    ///
    /// # Errors
    /// What it broke.
    pub fn run(&mut self, seed: u64, broken: Broken) -> Result<Ended, Box<Failed>> {
        self.run_plan(Plan::of(seed), broken)
    }

    /// Runs a schedule.
    ///
    /// # Errors
    /// What it broke.
    pub fn run_plan(&mut self, plan: Plan, broken: Broken) -> Result<Ended, Box<Failed>> {
        let failed = |story, why| Box::new(Failed { plan: plan.clone(), story, why });
        let rules = self.games.iter().find(|rules| plan.is_of(&***rules)).expect("a game of the list").clone();
        let world = World::new(&mut self.chain, &self.server_chain, rules, plan.clone(), broken);
        let mut world = world.map_err(|why| failed(Vec::new(), why))?;
        let done = self.runtime.block_on(world.run());
        match done {
            Ok(()) => Ok(Ended { tally: world.tally.clone(), story: world.story() }),
            Err(why) => Err(failed(world.story(), why)),
        }
    }
}

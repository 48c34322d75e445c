//! What a server takes from the machine that it runs on, and a simulator makes up.

use std::{fmt, sync::Arc};

use alloy_primitives::B256;
use matchlock::client::Clock;

/// Time and randomness. [`Machine::default`] is this machine's.
#[derive(Clone)]
pub struct Machine {
    clock: Clock,
    entropy: Arc<dyn Fn() -> B256 + Send + Sync>,
}

impl Machine {
    /// With a clock and a source of 32 bytes that nobody can guess.
    pub fn new(clock: Clock, entropy: impl Fn() -> B256 + Send + Sync + 'static) -> Machine {
        Machine { clock, entropy: Arc::new(entropy) }
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// 32 bytes that nobody can guess.
    pub(crate) fn random(&self) -> B256 {
        (self.entropy)()
    }
}

impl Default for Machine {
    fn default() -> Machine {
        Machine::new(Clock::default(), || {
            let mut bytes = B256::ZERO;
            getrandom::fill(bytes.as_mut_slice()).expect("the system has randomness");
            bytes
        })
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("clock", &self.clock).finish_non_exhaustive()
    }
}

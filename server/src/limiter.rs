//! So many requests a second from one address, and no more.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Mutex,
    time::Instant,
};

use crate::sync::lock;

/// Addresses that are remembered. More at once are an attack from many places, and share what is left.
const MOST_ADDRESSES: usize = 10_000;
/// Who was quiet for so many seconds has a full allowance again, and is forgotten.
const BURST_SECONDS: f32 = 4.0;

/// Allowances of addresses. Behind a proxy all of them are one.
pub(crate) struct Limiter {
    per_second: f32,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

struct Bucket {
    left: f32,
    at: Instant,
}

impl Limiter {
    pub(crate) fn new(per_second: u32) -> Limiter {
        Limiter { per_second: per_second.max(1) as f32, buckets: Mutex::default() }
    }

    /// Takes a request that is worth so many; or says in how many milliseconds it may come again.
    pub(crate) fn take(&self, from: IpAddr, cost: u32) -> Result<(), u32> {
        self.take_at(Instant::now(), from, cost)
    }

    fn take_at(&self, now: Instant, from: IpAddr, cost: u32) -> Result<(), u32> {
        let full = self.per_second * BURST_SECONDS;
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= MOST_ADDRESSES {
            buckets.retain(|_, bucket| now.duration_since(bucket.at).as_secs_f32() < BURST_SECONDS);
        }
        let from = if buckets.len() >= MOST_ADDRESSES { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { network(from) };
        let bucket = buckets.entry(from).or_insert(Bucket { left: full, at: now });
        let earned = now.duration_since(bucket.at).as_secs_f32() * self.per_second;
        (bucket.left, bucket.at) = ((bucket.left + earned).min(full), now);
        // The largest request goes through on a full allowance, whatever it costs.
        let cost = (cost as f32).min(full);
        if bucket.left < cost {
            return Err(((cost - bucket.left) / self.per_second * 1_000.0).ceil() as u32);
        }
        bucket.left -= cost;
        Ok(())
    }
}

/// Whoever has one address of version 6 has all of its network.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_address_that_floods_leaves_the_others_their_share() {
        let (limiter, now) = (Limiter::new(5), Instant::now());
        let address = |n| IpAddr::from([10, 0, 0, n]);
        let taken = (0..1_000).filter(|_| limiter.take_at(now, address(1), 1).is_ok()).count();
        assert_eq!(taken, 20);
        assert_eq!(limiter.take_at(now, address(1), 1), Err(200));
        assert_eq!(limiter.take_at(now + Duration::from_millis(200), address(1), 1), Ok(()));
        assert_eq!(limiter.take_at(now, address(2), 1), Ok(()));
        assert_eq!(limiter.take_at(now, address(3), 1_000_000), Ok(()), "the largest request fits a full allowance");
        let six = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]);
        assert_eq!(network(six(1)), network(six(2)));
    }
}

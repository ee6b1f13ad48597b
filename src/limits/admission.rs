//! Who may come in, by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::{Exceeded, Host, TokenBucket};
use crate::lock::lock;

/// Counts connections and CONNECTs. Counting stops at what is limited: nothing costs anything that
/// is not asked for.
#[derive(Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    crowd: Mutex<Crowd>,
}

/// How many may come in; 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionLimits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address.
    pub connections_per_address: usize,
    /// CONNECTs per second of one address.
    pub connects_per_second: u32,
}

#[derive(Debug, Default)]
struct Crowd {
    connections: usize,
    hosts: HashMap<Host, Visits>,
    /// How many hosts there may be until those that are of no interest any more are forgotten.
    hosts_max: usize,
}

#[derive(Debug, Default)]
struct Visits {
    connections: usize,
    connects: Option<TokenBucket>,
}

/// Fewer hosts than these are not worth a look for those to forget.
const HOSTS_MIN: usize = 1024;

impl Admission {
    /// One with nobody in it.
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Self {
        Self {
            limits,
            crowd: Mutex::default(),
        }
    }

    /// Counts a connection from `address`, for as long as its seat is kept.
    ///
    /// # Errors
    /// When there is no seat left. Nothing is counted then.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Seat, Exceeded> {
        let host = Host::from(address);
        let mut crowd = lock(&self.crowd);
        if is_reached(self.limits.connections, crowd.connections) {
            return Err(Exceeded::Connections);
        }
        if self.limits.connections_per_address > 0 {
            let visits = crowd.visits(host, Instant::now());
            if is_reached(self.limits.connections_per_address, visits.connections) {
                return Err(Exceeded::ConnectionsPerAddress(host));
            }
            visits.connections += 1;
        }
        crowd.connections += 1;
        Ok(Seat {
            admission: Arc::clone(self),
            host,
        })
    }

    /// Counts a CONNECT that came from `address` at `now`.
    ///
    /// # Errors
    /// When they come too fast. That one does not count then: those that are refused do not put
    /// off the next that is not.
    pub fn note_connect(&self, address: IpAddr, now: Instant) -> Result<(), Exceeded> {
        let Some(per_second) = NonZeroU32::new(self.limits.connects_per_second) else {
            return Ok(());
        };
        let host = Host::from(address);
        let mut crowd = lock(&self.crowd);
        let visits = crowd.visits(host, now);
        let connects = &mut visits.connects;
        match connects
            .get_or_insert_with(|| TokenBucket::new(per_second, now))
            .take_if_there(now)
        {
            true => Ok(()),
            false => Err(Exceeded::ConnectRate(host)),
        }
    }

    fn leave(&self, host: Host) {
        let mut crowd = lock(&self.crowd);
        crowd.connections -= 1;
        if self.limits.connections_per_address > 0
            && let Some(visits) = crowd.hosts.get_mut(&host)
        {
            visits.connections -= 1;
            if visits.connections == 0 && visits.connects.is_none() {
                crowd.hosts.remove(&host);
            }
        }
    }
}

impl Crowd {
    /// What is known of `host`.
    fn visits(&mut self, host: Host, now: Instant) -> &mut Visits {
        // Whoever has many addresses must not fill the memory with them. Doubling makes it cheap.
        if self.hosts.len() >= self.hosts_max {
            self.hosts.retain(|_, visits| visits.is_of_interest(now));
            self.hosts_max = (self.hosts.len() * 2).max(HOSTS_MIN);
        }
        self.hosts.entry(host).or_default()
    }
}

impl Visits {
    fn is_of_interest(&self, now: Instant) -> bool {
        self.connections > 0 || self.connects.is_some_and(|bucket| !bucket.is_full(now))
    }
}

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub struct Seat {
    admission: Arc<Admission>,
    host: Host,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.admission.leave(self.host);
    }
}

/// Whether there is no room for one more beside `count`.
pub(super) fn is_reached(limit: usize, count: usize) -> bool {
    limit > 0 && count >= limit
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn admission(
        connections: usize,
        connections_per_address: usize,
        connects_per_second: u32,
    ) -> Arc<Admission> {
        Arc::new(Admission::new(AdmissionLimits {
            connections,
            connections_per_address,
            connects_per_second,
        }))
    }

    #[test]
    fn has_so_many_seats_in_all() {
        let admission = admission(2, 0, 0);
        let first = admission.enter(HERE).unwrap();
        let _second = admission.enter(THERE).unwrap();
        assert_eq!(admission.enter(HERE).unwrap_err(), Exceeded::Connections);
        drop(first);
        assert!(admission.enter(HERE).is_ok());
    }

    #[test]
    fn has_so_many_seats_for_each_address() {
        let admission = admission(0, 1, 0);
        let seat = admission.enter(HERE).unwrap();
        let refused = admission.enter(HERE).unwrap_err();
        assert_eq!(refused, Exceeded::ConnectionsPerAddress(HERE.into()));
        let _other = admission.enter(THERE).unwrap();
        drop(seat);
        assert!(admission.enter(HERE).is_ok());
    }

    #[test]
    fn takes_so_many_connects_a_second_from_each_address() {
        let admission = admission(0, 0, 2);
        let start = Instant::now();
        let connects = |address, ms| {
            let now = start + Duration::from_millis(ms);
            (0..9)
                .filter(|_| admission.note_connect(address, now).is_ok())
                .count()
        };
        assert_eq!(connects(HERE, 0), 2);
        assert_eq!(connects(THERE, 0), 2);
        assert_eq!(connects(HERE, 500), 1);
    }

    #[test]
    fn forgets_addresses_that_are_gone() {
        let admission = admission(0, 1, 1);
        let start = Instant::now();
        let _seat = admission.enter(HERE).unwrap();
        for number in 0..100_000_u32 {
            let address = Ipv4Addr::from_bits(number).into();
            let now = start + Duration::from_millis(u64::from(number));
            admission.note_connect(address, now).unwrap();
        }
        let known = lock(&admission.crowd).hosts.len();
        assert!(known <= 4 * HOSTS_MIN, "{known} addresses are known");
        assert!(admission.enter(HERE).is_err());
    }
}

//! The server pool and its backoff.

use std::time::Duration;

use super::{Reconnect, ServerUrl};
use crate::random::Random;

/// The known servers, in the order in which they are tried.
#[derive(Debug)]
pub(crate) struct Pool {
    servers: Vec<Server>,
    /// The server that was tried last.
    current: usize,
    /// The number of consecutive failures.
    failures: u32,
}

#[derive(Debug)]
struct Server {
    url: ServerUrl,
    /// Announced by another server, so it is removed when it is no longer announced.
    gossiped: bool,
}

impl Pool {
    /// A pool of the configured servers, shuffled to spread the clients.
    pub(crate) fn new(urls: Vec<ServerUrl>, random: &mut Random) -> Self {
        let mut servers: Vec<_> = urls
            .into_iter()
            .map(|url| Server {
                url,
                gossiped: false,
            })
            .collect();
        random.shuffle(&mut servers);
        // The first advance goes to the first server.
        let current = servers.len().saturating_sub(1);
        Self {
            servers,
            current,
            failures: 0,
        }
    }

    /// Advances to the next server. `None` if the pool is empty.
    pub(crate) fn advance(&mut self) -> Option<ServerUrl> {
        self.current = (self.current + 1).checked_rem(self.servers.len())?;
        self.current().cloned()
    }

    /// The server that was tried last.
    pub(crate) fn current(&self) -> Option<&ServerUrl> {
        self.servers.get(self.current).map(|server| &server.url)
    }

    /// An attempt failed.
    pub(crate) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// There is a connection.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Whether there is another server than the current one.
    pub(crate) fn has_other(&self) -> bool {
        self.servers.len() > 1
    }

    /// Whether every server will have been tried after `more` further failures.
    pub(crate) fn all_tried_after(&self, more: u32) -> bool {
        self.failures as usize + more as usize >= self.servers.len()
    }

    /// The delay before the next attempt: next to nothing at first, then growing with every round through
    /// the pool, with jitter so that clients that lost the same server do not return at the same time.
    pub(crate) fn delay(&self, policy: &Reconnect, random: &mut Random) -> Duration {
        let rounds = self.failures / u32::try_from(self.servers.len().max(1)).unwrap_or(u32::MAX);
        let most = policy
            .first_delay
            .saturating_mul(1 << rounds.min(16))
            .min(policy.longest_delay);
        let least = if rounds == 0 {
            Duration::ZERO
        } else {
            most / 2
        };
        random.pause(least, most)
    }

    /// Applies the current server's list of the others: new ones are added, those no longer announced are
    /// removed, and configured ones stay.
    pub(crate) fn gossip(&mut self, addresses: &[String], random: &mut Random) {
        let Some(current) = self.current().cloned() else {
            return;
        };
        if addresses.is_empty() {
            return;
        }
        let mut told: Vec<_> = addresses
            .iter()
            .filter_map(|address| current.gossiped(address))
            // Certificates are rarely issued for IP addresses.
            .filter(|url| !(url.is_encrypted() && url.is_ip()))
            .collect();
        self.servers.retain(|server| {
            !server.gossiped
                || server.url.same_place(&current)
                || told.iter().any(|url| url.same_place(&server.url))
        });
        told.retain(|url| !self.servers.iter().any(|server| server.url.same_place(url)));
        random.shuffle(&mut told);
        self.servers.extend(told.into_iter().map(|url| Server {
            url,
            gossiped: true,
        }));
        self.current = self
            .servers
            .iter()
            .position(|server| server.url.same_place(&current))
            .unwrap_or(0);
    }
}

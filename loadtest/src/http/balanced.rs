//! One connection to each of several instances: a request that its instance does not take goes to the next one, under the same id.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use super::REQUEST_TIMEOUT;
use super::connection::Connection;

/// Rounds over all instances before a request is given up.
const ROUNDS_MAX: usize = 40;
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(50);

pub struct Balanced {
    instances: Vec<(SocketAddr, Option<Connection>)>,
    /// The one that is asked first.
    own: usize,
    answered: usize,
}

impl Balanced {
    /// Connects to the instance at `own`; to the others when they are needed. One of several need not be there.
    pub fn open(at: &[SocketAddr], own: usize) -> io::Result<Balanced> {
        let mut instances: Vec<_> = at.iter().map(|address| (*address, None)).collect();
        match Connection::open(at[own], REQUEST_TIMEOUT) {
            Ok(connection) => instances[own].1 = Some(connection),
            Err(error) if at.len() == 1 => return Err(error),
            Err(_) => {}
        }
        Ok(Balanced { instances, own, answered: own })
    }

    /// Gives the status. With one instance its answer counts, whatever it is; `moved` counts the requests that went to another one.
    pub fn exchange(&mut self, request: &[u8], moved: &mut u64) -> io::Result<u16> {
        let mut last = self.ask(self.own, request);
        if self.instances.len() == 1 || is_taken(&last) {
            return last;
        }
        *moved += 1;
        for step in 1..ROUNDS_MAX * self.instances.len() {
            let number = (self.own + step) % self.instances.len();
            last = self.ask(number, request);
            if is_taken(&last) {
                // Until that one does not answer either.
                self.own = number;
                return last;
            }
            if number == self.own {
                thread::sleep(PAUSE);
            }
        }
        last
    }

    /// Whether the last response has a `Retry-After`.
    pub fn says_when_to_retry(&self) -> bool {
        self.instances[self.answered].1.as_ref().is_some_and(|connection| connection.has_header("retry-after"))
    }

    fn ask(&mut self, number: usize, request: &[u8]) -> io::Result<u16> {
        let (address, connection) = &mut self.instances[number];
        self.answered = number;
        match connection {
            Some(connection) => connection.exchange(request),
            None => connection.insert(Connection::open(*address, REQUEST_TIMEOUT)?).exchange(request),
        }
    }
}

fn is_taken(result: &io::Result<u16>) -> bool {
    matches!(result, Ok(status) if *status != 503)
}

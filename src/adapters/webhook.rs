//! Posts a signed message to where a webhook is, and nowhere that the message's receiver has no business to be.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use crate::pipeline::Clock;
use crate::pipeline::clock::SystemClock;
use crate::pipeline::webhooks::Post;

/// Of the whole exchange.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Receiver {
    url: String,
    secret: String,
    agent: Agent,
}

impl Receiver {
    /// No redirects are followed, and no proxy of the environment is used: they would lead past the check of the address.
    pub fn new(url: String, secret: String, allow_private: bool) -> Receiver {
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .http_status_as_error(false)
            .proxy(None)
            .build();
        let resolver = Checked { dns: DefaultResolver::default(), allow_private };
        Receiver { url, secret, agent: Agent::with_parts(config, DefaultConnector::default(), resolver) }
    }
}

impl Post for Receiver {
    fn post(&self, delivery: &str, body: &[u8]) -> Result<(), String> {
        let seconds = SystemClock.now().0 / 1_000_000;
        let request = self.agent.post(&self.url).header("content-type", "application/json");
        let request = request
            .header("quoteguard-delivery", delivery)
            .header("quoteguard-signature", signature(&self.secret, seconds, body));
        let answer = request.send(body).map_err(|error| error.to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("it answered {}", answer.status().as_u16())) }
    }
}

/// `t=1764340000,v1=…`: HMAC-SHA256, in hex, over the seconds, a dot, and the body. The time lets the receiver refuse old copies.
fn signature(secret: &str, seconds: i64, body: &[u8]) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

/// Looks at every address that a name has, and gives these very ones to the connection: a name that means another address a moment
/// later gains nothing.
#[derive(Debug)]
struct Checked {
    dns: DefaultResolver,
    allow_private: bool,
}

impl Resolver for Checked {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.dns.resolve(uri, config, timeout)?;
        match found.iter().find(|address| !self.allow_private && !is_public(address.ip())) {
            Some(address) => {
                let refused = format!("{} is no public address; set allow_private if it is meant", address.ip());
                Err(Error::Io(std::io::Error::new(std::io::ErrorKind::PermissionDenied, refused)))
            }
            None => Ok(found),
        }
    }
}

/// Neither of this machine, nor of its networks, nor of those that serve it, such as the metadata of a cloud.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_reserved = matches!((a, b, c), (0 | 10 | 127 | 224..=255, ..))
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && (b == 168 || (b, c) == (0, 0) || (b, c) == (0, 2) || (b, c) == (88, 99)))
        || (a == 198 && (b == 18 || b == 19 || (b, c) == (51, 100)))
        || (a, b, c) == (203, 0, 113);
    !is_reserved
}

/// Only 2000::/3, and of it nothing that carries an IPv4 address or is for examples.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    a & 0xe000 == 0x2000 && a != 0x2002 && !(a == 0x2001 && (b < 0x0200 || b == 0x0db8)) && a != 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_posted_to() {
        for address in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "ff02::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
    }

    #[test]
    fn a_name_that_means_this_machine_is_refused_before_anything_is_sent() {
        for url in ["http://localhost:1/", "http://127.0.0.1:1/", "http://[::1]:1/", "http://2130706433:1/", "http://0x7f.1:1/"] {
            let refused =
                Receiver::new(url.to_owned(), "a secret of length".into(), false).post("R-1.1", b"{}").expect_err("refused");
            // However the system reads such a name: nothing was connected to.
            assert!(!refused.contains("refused (os"), "{url}: {refused}");
            assert!(
                refused.contains("no public address") || refused.contains("lookup") || refused.contains("host not found"),
                "{url}: {refused}"
            );
        }
        let reached = Receiver::new("http://127.0.0.1:1/".to_owned(), "a secret of length".into(), true).post("R-1.1", b"{}");
        assert!(!reached.expect_err("nobody listens").contains("no public address"));
    }

    #[test]
    fn the_signature_is_over_time_and_body() {
        // printf '1764340000.{}' | openssl dgst -sha256 -hmac secret
        let signed = signature("secret", 1_764_340_000, b"{}");
        let (time, hex) = signed.split_once(",v1=").expect("two parts");
        assert_eq!((time, hex), ("t=1764340000", "036a6ad1153c583b658b5361ffdd59b6b1a88bd0e40f0e10d701356d1194b4e7"));
        assert_ne!(signed, signature("secret", 1_764_340_001, b"{}"));
        assert_ne!(signed, signature("Secret", 1_764_340_000, b"{}"));
    }
}

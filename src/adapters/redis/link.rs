//! The connection: made when it is needed, and never used again after an error.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, Connection, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, RedisResult};
use redis::{ServerErrorKind, TlsCertificates};

use crate::pipeline::StoreError;
use crate::vault::Vault;

/// Silence after which the kernel asks whether the other side is still there, and how often.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

/// Where the server is, and how to talk to it.
#[derive(Clone)]
pub struct Options {
    /// `redis://host:port/db`, or `rediss://` for TLS.
    pub url: String,
    /// ACL user; without it the default one.
    pub user: Option<String>,
    pub password: Option<String>,
    /// Read at each new connection, so that a new password needs no restart; before `password`.
    pub password_file: Option<PathBuf>,
    /// PEM; without it the system's certificates are trusted.
    pub ca_file: Option<PathBuf>,
    pub connect_timeout: Duration,
    /// Without an answer for this long the outcome is unknown.
    pub response_timeout: Duration,
    /// Seals the segments.
    pub vault: Arc<Vault>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            url: "redis://127.0.0.1:6379".to_owned(),
            user: None,
            password: None,
            password_file: None,
            ca_file: None,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(2),
            vault: Arc::default(),
        }
    }
}

/// Holds a password, perhaps even in the URL: the address is all that is shown.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("address", &self.address()).finish_non_exhaustive()
    }
}

impl Options {
    /// Host and port, for messages.
    fn address(&self) -> String {
        self.info().map_or_else(|_| "an unreadable redis.url".to_owned(), |info| info.addr().to_string())
    }

    fn info(&self) -> Result<ConnectionInfo, StoreError> {
        // The error would hold the URL, and the URL perhaps a password.
        let unreadable = |_| refused("redis.url", "write it as redis://HOST:PORT/DB, or rediss://HOST:PORT/DB for TLS");
        self.url.as_str().into_connection_info().map_err(unreadable)
    }

    /// Everything but the connection itself.
    fn client(&self) -> Result<Client, StoreError> {
        let info = self.info()?;
        let mut server = info.redis_settings().clone().set_skip_set_lib_name();
        if let Some(user) = &self.user {
            server = server.set_username(user);
        }
        if let Some(password) = &self.password {
            server = server.set_password(password);
        }
        if let Some(file) = &self.password_file {
            let password = std::fs::read_to_string(file);
            // Perhaps it is being replaced.
            let unread = |e| StoreError::Unavailable(format!("redis.password_file: {}: {e}", file.display()));
            let password = password.map_err(unread)?;
            server = server.set_password(password.trim_end_matches(['\r', '\n']));
        }
        let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let info = info.set_redis_settings(server).set_tcp_settings(self.tcp());
        let unusable = |e: RedisError| refused("redis.ca_file", &e.to_string());
        match &self.ca_file {
            Some(_) if !is_tls => Err(refused("redis.ca_file", "it is of use with a rediss:// URL only")),
            Some(file) => {
                let ca = std::fs::read(file).map_err(|e| refused("redis.ca_file", &format!("{}: {e}", file.display())))?;
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(ca) }).map_err(unusable)
            }
            None => Client::open(info).map_err(|e| refused("redis.url", &e.to_string())),
        }
    }

    fn tcp(&self) -> TcpSettings {
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
        let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        #[cfg(target_os = "linux")]
        let settings = settings.set_user_timeout(self.response_timeout);
        settings
    }
}

fn refused(key: &str, problem: &str) -> StoreError {
    StoreError::Refused(format!("{key}: {problem}"))
}

/// One connection at most.
pub struct Link {
    options: Options,
    connection: Option<Connection>,
}

impl Link {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for options that cannot work, by key.
    pub fn new(options: Options) -> Result<Link, StoreError> {
        // The one provider of this binary, named so that a second one in the tree could not make the choice ambiguous. It fails
        // where it was done before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        options.client()?;
        Ok(Link { options, connection: None })
    }

    /// Runs commands on the connection. After an error it is not used again: a late answer would be taken for the next one's, a
    /// server that became a replica would stay one, and a black hole would stay black.
    pub fn run<T>(&mut self, act: impl FnOnce(&mut Connection) -> RedisResult<T>) -> Result<T, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let done = act(&mut connection).map_err(|error| self.fault(&error))?;
        self.connection = Some(connection);
        Ok(done)
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let connect = |client: &Client| {
            let connection = client.get_connection_with_timeout(self.options.connect_timeout)?;
            connection.set_read_timeout(Some(self.options.response_timeout))?;
            connection.set_write_timeout(Some(self.options.response_timeout))?;
            Ok(connection)
        };
        connect(&self.options.client()?).map_err(|error| self.fault(&error))
    }

    /// Everything passes but a key that holds something else: even a missing permission may be granted while the service runs.
    fn fault(&self, error: &RedisError) -> StoreError {
        let at = format!("Redis at {}", self.options.address());
        if error.is_timeout() {
            let within = self.options.response_timeout.as_millis();
            return StoreError::Unavailable(format!("{at}: no answer within {within} ms"));
        }
        let fix = match error.kind() {
            ErrorKind::AuthenticationFailed => "; check redis.username and redis.password_file",
            ErrorKind::Server(ServerErrorKind::NoPerm) => "; see the permissions in docs/redis.md",
            ErrorKind::Server(ServerErrorKind::Moved) => "; a cluster's nodes are not supported, name a server of its own",
            _ => match error.code() {
                Some("NOAUTH" | "WRONGPASS") => "; check redis.username and redis.password_file",
                Some("OOM") => "; give it more memory (maxmemory)",
                Some("WRONGTYPE") => {
                    return StoreError::Damaged(format!("{at}: another program uses the keys quoteguard:* ({error})"));
                }
                _ => "",
            },
        };
        StoreError::Unavailable(format!("{at}: {error}{fix}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shows_a_password() {
        let urls =
            ["redis://user:hush-hush@localhost:1/0", "rediss://:hush-hush@localhost/x", "hush-hush@", "redis://u:hush-hush@"];
        for url in urls {
            let options = Options { url: url.into(), password: Some("hush-hush".into()), ..Options::default() };
            let shown = format!("{options:?}");
            let refused = Link::new(options).map(|mut link| link.run(|c| redis::cmd("PING").query::<()>(c)).err());
            assert!(!format!("{shown} {:?}", refused.err()).contains("hush"), "{shown}");
        }
    }

    #[test]
    fn options_that_cannot_work_are_refused_by_key() {
        let file = || Some("/nonexistent/file".into());
        for (options, key) in [
            (Options { url: "http://localhost".into(), ..Options::default() }, "redis.url: write it as"),
            (Options { ca_file: file(), ..Options::default() }, "redis.ca_file: it is of use with a rediss://"),
            (Options { url: "rediss://localhost".into(), ca_file: file(), ..Options::default() }, "redis.ca_file: /nonexistent"),
        ] {
            let refused = Link::new(options).map(|_| ()).expect_err("cannot work");
            assert!(matches!(&refused, StoreError::Refused(text) if text.contains(key)), "{key}: {refused}");
        }
    }

    /// Perhaps it is being replaced: then it is there the next time.
    #[test]
    fn a_password_file_that_is_not_there_is_asked_for_again() {
        let options = Options { password_file: Some("/nonexistent/file".into()), ..Options::default() };
        let missing = Link::new(options).map(|_| ()).expect_err("cannot be read");
        let text = "redis.password_file: /nonexistent/file";
        assert!(matches!(&missing, StoreError::Unavailable(told) if told.contains(text)), "{missing}");
    }
}

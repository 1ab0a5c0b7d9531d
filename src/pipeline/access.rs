//! Who may use the console: accounts, sessions and failed log-ins, as the desk's database keeps them.

use std::time::Duration;

use super::desk::Answer;
use super::sign_on::{Identity, PlaceHere};
use crate::engine::time::EventTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Underwriter,
    Analyst,
    Admin,
    Auditor,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Underwriter, Role::Analyst, Role::Admin, Role::Auditor];

    pub fn name(self) -> &'static str {
        match self {
            Role::Underwriter => "underwriter",
            Role::Analyst => "analyst",
            Role::Admin => "admin",
            Role::Auditor => "auditor",
        }
    }

    pub fn parse(name: &str) -> Option<Role> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What its owner logs in with and the audit says.
    pub name: String,
    pub role: Role,
    /// The only tenant it sees; every one when absent.
    pub tenant: Option<String>,
    /// In the PHC format; absent for accounts that log in elsewhere.
    pub password_hash: Option<String>,
    /// Who that is at the company's provider; absent for local accounts.
    pub identity: Option<Identity>,
    /// The password is one that somebody else knows.
    pub must_change: bool,
    pub is_disabled: bool,
    pub created_at: EventTime,
    pub last_login_at: Option<EventTime>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    pub name: String,
    pub role: Role,
    pub tenant: Option<String>,
    pub password_hash: Option<String>,
    pub must_change: bool,
}

/// Somebody whom the company's provider has named.
#[derive(Clone, Debug)]
pub struct Newcomer {
    pub identity: Identity,
    /// What its account is called if it has none yet: the first that nobody else is called.
    pub names: Vec<String>,
    pub place: PlaceHere,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub account: Account,
    /// What it was before; `None` when it is new.
    pub before: Option<PlaceHere>,
}

/// Of a session's secret id: all that is stored of it.
pub type SessionHash = [u8; 32];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub account: Account,
    pub expires_at: EventTime,
}

/// How long a session lives.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// Without a request of its owner.
    pub idle: Duration,
    pub absolute: Duration,
}

/// Every time that it writes or compares is its database's. What it does to an account or a session is in the audit with it or not
/// done; `by`: who did it.
pub trait Access: Send + Sync {
    fn account(&self, name: &str) -> Answer<Option<Account>>;

    /// By name.
    fn accounts(&self) -> Answer<Vec<Account>>;

    /// Gives whether it is there now and was not before.
    fn create(&self, account: NewAccount, by: &str) -> Answer<bool>;

    /// Ends the account's sessions. Gives whether it was done: an account of the company has no password.
    fn set_password(&self, name: &str, password_hash: &str, must_change: bool, by: &str) -> Answer<bool>;

    /// Ends the account's sessions. Gives whether it was done: the last active administrator of every tenant stays one.
    fn set_role(&self, name: &str, role: Role, tenant: Option<&str>, by: &str) -> Answer<bool>;

    /// Ends the account's sessions. Gives whether it was done: the last active administrator of every tenant stays active.
    fn set_disabled(&self, name: &str, is_disabled: bool, by: &str) -> Answer<bool>;

    /// The account of this identity with its present role and tenant, made where there is none; `None` when every name is taken. One
    /// that is disabled stays as it is. The last administrator may lose the role: the provider has said so.
    fn admit(&self, newcomer: Newcomer) -> Answer<Option<Admitted>>;

    /// The account of this identity.
    fn account_of(&self, identity: &Identity) -> Answer<Option<Account>>;

    /// Whether an active administrator of every tenant has come in through the company.
    fn has_company_admin(&self) -> Answer<bool>;

    /// Opens a session of an account, notes its log-in, and drops what has expired. `way`: how it came in. Gives whether it was
    /// done: an account that was disabled or given another password since it was read has no session.
    fn open_session(&self, hash: SessionHash, account: &Account, lifetime: Lifetime, way: &str) -> Answer<bool>;

    /// A session that is alive, of an account that is not disabled. `is_used`: its owner asked, so the idle time begins anew.
    fn session(&self, hash: SessionHash, idle: Duration, is_used: bool) -> Answer<Option<Session>>;

    fn close_session(&self, hash: SessionHash) -> Answer<()>;

    /// Every one of an account.
    fn close_sessions(&self, account: &str) -> Answer<()>;

    /// The owner of a session ends it, or every one of the account.
    fn log_out(&self, account: &str, hash: SessionHash, is_everywhere: bool) -> Answer<()>;

    /// For how long the longest lock of these keys still holds.
    fn locked(&self, keys: &[String]) -> Answer<Option<Duration>>;

    /// One more failure of this key; from `free` of them on, each locks it for twice as long as the one before, from one second up to
    /// `longest`. A key at rest for a day begins anew.
    fn failed(&self, key: &str, free: u32, longest: Duration) -> Answer<()>;

    fn succeeded(&self, key: &str) -> Answer<()>;
}

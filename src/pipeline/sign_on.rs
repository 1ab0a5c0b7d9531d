//! Logging in through a provider of the company: what is asked of it, what it says of a person, and which place that person has here.

use std::collections::BTreeMap;

use super::access::Role;
use crate::engine::limits::TENANT_CHARS_MAX;

/// What stands for every tenant in the tenant's claim.
pub const EVERY_TENANT: &str = "*";

/// The secrets of one log-in under way; each is known to the browser that began it alone.
#[derive(Clone)]
pub struct Flow {
    /// Comes back in the address.
    pub state: String,
    /// Comes back in the signed token.
    pub nonce: String,
    /// Shown to the provider with the code: its hash went there first (PKCE). 43 to 128 characters.
    pub verifier: String,
}

/// Whom a provider knows: nothing else of a person is an identity, least of all an e-mail address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub issuer: String,
    /// Never given to another person by this issuer.
    pub subject: String,
}

/// What a token says that was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub identity: Identity,
    /// What they are called there; anybody may be called so.
    pub name: Option<String>,
    /// The values of the claim that names roles.
    pub groups: Vec<String>,
    /// The values of the claim that names the tenant.
    pub tenants: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum NotSignedOn {
    /// It passes.
    #[error("the provider does not answer as it should: {0}")]
    Away(String),
    #[error("the provider refused: {0}")]
    Refused(String),
    #[error("the provider's token cannot be believed: {0}")]
    Untrusted(String),
}

/// A provider. Each call may wait for it, some seconds at most: not on a thread that others need.
pub trait SignOn: Send + Sync {
    /// Where the browser is sent.
    ///
    /// # Errors
    /// [`NotSignedOn::Away`] while nothing is known of the provider.
    fn address(&self, flow: &Flow, language: &str) -> Result<String, NotSignedOn>;

    /// Whom the code that came back stands for. `issuer`: who says that it sent it, where it says so.
    ///
    /// # Errors
    /// Each kind of [`NotSignedOn`].
    fn person(&self, flow: &Flow, code: &str, issuer: Option<&str>) -> Result<Person, NotSignedOn>;

    /// Where a browser ends its session with the provider; `None` where that cannot be.
    ///
    /// # Errors
    /// [`NotSignedOn::Away`] while nothing is known of the provider.
    fn end_address(&self) -> Result<Option<String>, NotSignedOn>;
}

/// Which values of the provider's claims open which place.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    pub roles: BTreeMap<String, Role>,
    /// A claim names the tenant, and without it nobody is let in.
    pub needs_tenant: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceHere {
    pub role: Role,
    /// The only tenant it sees; every one when absent.
    pub tenant: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    Role,
    Tenant,
}

impl NoPlace {
    /// As the audit has it.
    pub fn name(self) -> &'static str {
        match self {
            NoPlace::Role => "no_role",
            NoPlace::Tenant => "no_tenant",
        }
    }
}

/// Of several roles the first of these.
const FIRST: [Role; 4] = [Role::Admin, Role::Underwriter, Role::Analyst, Role::Auditor];

impl Mapping {
    /// # Errors
    /// No value stands for a role, or it is not said of one tenant, or of every one.
    pub fn place(&self, person: &Person) -> Result<PlaceHere, NoPlace> {
        let roles: Vec<Role> = person.groups.iter().filter_map(|group| self.roles.get(group)).copied().collect();
        let role = FIRST.into_iter().find(|role| roles.contains(role)).ok_or(NoPlace::Role)?;
        if !self.needs_tenant {
            return Ok(PlaceHere { role, tenant: None });
        }
        // Several could be meant as any of them: nobody guesses.
        let [tenant] = &person.tenants[..] else { return Err(NoPlace::Tenant) };
        match tenant.trim() {
            EVERY_TENANT => Ok(PlaceHere { role, tenant: None }),
            tenant if tenant.is_empty() || tenant.chars().count() > TENANT_CHARS_MAX => Err(NoPlace::Tenant),
            tenant => Ok(PlaceHere { role, tenant: Some(tenant.to_owned()) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_follows_from_the_claims_and_nothing_is_guessed() {
        let roles = [("boss", Role::Admin), ("desk", Role::Underwriter), ("books", Role::Auditor)];
        let roles = roles.map(|(value, role)| (value.to_owned(), role)).into();
        let mut mapping = Mapping { roles, needs_tenant: false };
        let person = |groups: &[&str], tenants: &[&str]| Person {
            identity: Identity { issuer: "https://i".into(), subject: "1".into() },
            name: None,
            groups: groups.iter().map(|of| (*of).to_owned()).collect(),
            tenants: tenants.iter().map(|of| (*of).to_owned()).collect(),
        };
        let place = |role, tenant: Option<&str>| Ok(PlaceHere { role, tenant: tenant.map(str::to_owned) });
        for (groups, expected) in [
            (&["desk"][..], place(Role::Underwriter, None)),
            (&["x", "books", "desk"], place(Role::Underwriter, None)),
            (&["desk", "boss"], place(Role::Admin, None)),
            (&[], Err(NoPlace::Role)),
            (&["Boss", "boss ", "admin"], Err(NoPlace::Role)),
        ] {
            assert_eq!(mapping.place(&person(groups, &[])), expected, "{groups:?}");
        }
        mapping.needs_tenant = true;
        let long = "x".repeat(65);
        for (tenants, expected) in [
            (&["north"][..], place(Role::Underwriter, Some("north"))),
            (&["*"], place(Role::Underwriter, None)),
            (&[], Err(NoPlace::Tenant)),
            (&[" "], Err(NoPlace::Tenant)),
            (&["north", "south"], Err(NoPlace::Tenant)),
            (&[long.as_str()], Err(NoPlace::Tenant)),
        ] {
            assert_eq!(mapping.place(&person(&["desk"], tenants)), expected, "{tenants:?}");
        }
    }
}

//! Logging in to the console through the company's provider (OpenID Connect).

use std::collections::BTreeMap;
use std::path::PathBuf;

use openidconnect::url::{Host, Url};
use serde::{Deserialize, Serialize};

use super::{ConfigError, Secret, read_secret, wrong};
use crate::pipeline::access::Role;
use crate::pipeline::sign_on::Mapping;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Oidc {
    /// The provider, as it writes itself in its tokens: `https://…`. Nobody logs in through one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Under which the console is known there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// What it proves itself with there, or the file that holds it: exactly one of the two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// Where browsers find this service: `https://desk.example`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Certificates (PEM) that may sign the provider's, instead of those of public authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// What the button says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Asked for besides `openid`.
    pub scopes: Vec<String>,
    /// The claim that proposes the account's name.
    pub name_claim: String,
    /// The claim whose values `roles` maps; dots lead into it.
    pub role_claim: String,
    /// The claim that names the account's tenant, `*` for every one; every one for everybody when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_claim: Option<String>,
    /// Value of the role's claim -> role.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Role>,
}

impl Default for Oidc {
    fn default() -> Self {
        Oidc {
            issuer: None,
            client_id: None,
            client_secret: None,
            client_secret_file: None,
            public_url: None,
            ca_file: None,
            label: None,
            scopes: vec!["profile".to_owned()],
            name_claim: "preferred_username".to_owned(),
            role_claim: "groups".to_owned(),
            tenant_claim: None,
            roles: BTreeMap::new(),
        }
    }
}

const LABEL_CHARS_MAX: usize = 60;

impl Oidc {
    pub fn is_on(&self) -> bool {
        self.issuer.is_some()
    }

    /// `allow_http`: the host is one of plain HTTP on purpose.
    pub(super) fn check(&self, allow_http: bool) -> Result<(), ConfigError> {
        let Some(issuer) = &self.issuer else {
            return if *self == Oidc::default() {
                Ok(())
            } else {
                Err(wrong("console.oidc.issuer", "must be given with the rest of console.oidc"))
            };
        };
        if !web(issuer).is_some_and(|url| is_private_talk(&url) && url.query().is_none()) {
            return Err(wrong("console.oidc.issuer", "must be https://host/path; http:// for a provider on this machine alone"));
        }
        if self.client_id.as_deref().is_none_or(str::is_empty) {
            return Err(wrong("console.oidc.client_id", "must be given: the id that the provider knows the console by"));
        }
        if self.client_secret.is_some() == self.client_secret_file.is_some() {
            return Err(wrong("console.oidc.client_secret_file", "give exactly one of client_secret and client_secret_file"));
        }
        if self.client_secret.as_ref().is_some_and(|secret| secret.0.is_empty()) {
            return Err(wrong("console.oidc.client_secret", "must not be empty"));
        }
        let public = self.public_url.as_deref().and_then(web);
        if !public.is_some_and(|url| (allow_http || is_private_talk(&url)) && url.path() == "/" && url.query().is_none()) {
            return Err(wrong("console.oidc.public_url", "must be given: https://host, as browsers write it, without a path"));
        }
        if self.label.as_ref().is_some_and(|label| label.trim().is_empty() || label.chars().count() > LABEL_CHARS_MAX) {
            return Err(wrong("console.oidc.label", format!("must have 1 to {LABEL_CHARS_MAX} characters")));
        }
        let is_scope =
            |scope: &String| !scope.is_empty() && scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if !self.scopes.iter().all(is_scope) {
            return Err(wrong("console.oidc.scopes", "each must be one word, such as profile"));
        }
        let claims = [
            ("name_claim", Some(&self.name_claim)),
            ("role_claim", Some(&self.role_claim)),
            ("tenant_claim", self.tenant_claim.as_ref()),
        ];
        if let Some((key, _)) = claims.iter().find(|(_, claim)| claim.is_some_and(String::is_empty)) {
            return Err(wrong(format!("console.oidc.{key}"), "must name a claim"));
        }
        if self.roles.is_empty() {
            return Err(wrong(
                "console.oidc.roles",
                "must map a value of the role's claim to a role: roles = { fraud-desk = \"underwriter\" }",
            ));
        }
        Ok(())
    }

    /// # Errors
    /// The file cannot be read, or is empty.
    pub fn secret(&self) -> Result<String, ConfigError> {
        let Some(path) = &self.client_secret_file else {
            return Ok(self.client_secret.as_ref().map(|secret| secret.0.clone()).unwrap_or_default());
        };
        let key = "console.oidc.client_secret_file";
        let secret = read_secret(key, path)?;
        if secret.is_empty() { Err(wrong(key, format!("{}: is empty", path.display()))) } else { Ok(secret) }
    }

    pub fn mapping(&self) -> Mapping {
        Mapping { roles: self.roles.clone(), needs_tenant: self.tenant_claim.is_some() }
    }
}

/// An address of the web that holds no password: it is shown.
fn web(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (["https", "http"].contains(&url.scheme()) && url.has_host() && is_plain).then_some(url)
}

/// Nobody else can listen.
fn is_private_talk(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || is_here
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Oidc {
        Oidc {
            issuer: Some("https://login.example/realms/desk".into()),
            client_id: Some("quoteguard".into()),
            client_secret: Some(Secret("s".into())),
            public_url: Some("https://desk.example".into()),
            roles: [("fraud-desk".to_owned(), Role::Underwriter)].into(),
            ..Oidc::default()
        }
    }

    #[test]
    fn half_a_provider_is_refused_with_the_key_that_is_missing() {
        assert!(Oidc::default().check(false).is_ok() && whole().check(false).is_ok());
        type Change = fn(&mut Oidc);
        let cases: [(&str, Change); 17] = [
            ("issuer", |of| of.issuer = None),
            ("issuer", |of| of.issuer = Some("http://login.example".into())),
            ("issuer", |of| of.issuer = Some("https://u:p@login.example".into())),
            ("issuer", |of| of.issuer = Some("login.example".into())),
            ("client_id", |of| of.client_id = None),
            ("client_secret_file", |of| of.client_secret = None),
            ("client_secret_file", |of| of.client_secret_file = Some("s".into())),
            ("client_secret", |of| of.client_secret = Some(Secret(String::new()))),
            ("public_url", |of| of.public_url = None),
            ("public_url", |of| of.public_url = Some("http://desk.example".into())),
            ("public_url", |of| of.public_url = Some("https://desk.example/console".into())),
            ("label", |of| of.label = Some("x".repeat(61))),
            ("scopes", |of| of.scopes = vec!["a b".into()]),
            ("name_claim", |of| of.name_claim = String::new()),
            ("role_claim", |of| of.role_claim = String::new()),
            ("tenant_claim", |of| of.tenant_claim = Some(String::new())),
            ("roles", |of| of.roles.clear()),
        ];
        for (key, spoil) in cases {
            let mut oidc = whole();
            spoil(&mut oidc);
            let refused = oidc.check(false).expect_err(key).to_string();
            assert!(refused.starts_with(&format!("console.oidc.{key}: ")), "{key}: {refused}");
        }
        let here = Oidc { issuer: Some("http://127.0.0.1:1".into()), public_url: Some("http://localhost:2".into()), ..whole() };
        assert!(here.check(false).is_ok());
        let plain = Oidc { public_url: Some("http://desk.example".into()), ..whole() };
        assert!(plain.check(true).is_ok());
    }
}

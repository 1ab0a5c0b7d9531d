//! The company's provider, spoken to as OpenID Connect has it: discovery, the authorization code flow with PKCE, the signed token.

mod claims;
mod http;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreErrorResponseType, CoreIdToken, CoreIdTokenClaims,
    CoreJwsSigningAlgorithm, CoreRequestTokenError,
};
use openidconnect::{
    AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, IssuerUrl, LanguageTag, LogoutRequest, Nonce, PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl,
    ProviderMetadataWithLogout, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError, TokenResponse,
};

use crate::pipeline::Clock;
use crate::pipeline::clock::SystemClock;
use crate::pipeline::sign_on::{Flow, NotSignedOn, Person, SignOn};
use http::{Http, HttpError};

/// Of everything that one call asks of the provider.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is known of the provider is asked for anew after so long.
const KNOWN_FOR: Duration = Duration::from_secs(10 * 60);
/// A provider that did not answer is not asked again before.
const REST: Duration = Duration::from_secs(2);
/// A token that names an unknown key leads to one look at the keys in so long.
const KEYS_ANEW: Duration = Duration::from_secs(60);
/// By which its clock and ours may differ.
const SKEW: Duration = Duration::from_secs(60);
/// A token is made when the code is shown: an older one is not ours.
const ISSUED_WITHIN: Duration = Duration::from_secs(10 * 60);
const ALGORITHMS: [CoreJwsSigningAlgorithm; 2] =
    [CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256, CoreJwsSigningAlgorithm::EcdsaP256Sha256];

type Client = CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>;
type Metadata = Arc<ProviderMetadataWithLogout>;

/// Which provider, and what is asked of it.
pub struct Settings {
    pub issuer: String,
    pub client_id: String,
    pub client_secret: String,
    /// Where browsers come back to with a code.
    pub redirect_url: String,
    /// Where they come back to after they ended their session with the provider.
    pub logged_out_url: String,
    /// Besides `openid`.
    pub scopes: Vec<String>,
    pub name_claim: String,
    pub role_claim: String,
    pub tenant_claim: Option<String>,
    /// Certificates (PEM) that may sign the provider's, instead of those of public authorities.
    pub roots: Option<Vec<u8>>,
}

pub struct Provider {
    issuer: IssuerUrl,
    client_id: ClientId,
    client_secret: ClientSecret,
    redirect_url: RedirectUrl,
    logged_out_url: PostLogoutRedirectUrl,
    settings: Settings,
    http: Http,
    known: Mutex<Known>,
}

/// Locked while it is asked for: whoever comes meanwhile waits for the same answer.
#[derive(Default)]
struct Known {
    metadata: Option<(Metadata, Instant)>,
    failed: Option<(String, Instant)>,
    keys_anew_at: Option<Instant>,
}

#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    #[error("no address: {0}")]
    Address(#[from] openidconnect::url::ParseError),
    #[error("no certificate in PEM: {0}")]
    Roots(String),
}

impl Provider {
    /// Asks nothing of the provider yet.
    ///
    /// # Errors
    /// An address that is none, or roots without a certificate.
    pub fn new(settings: Settings) -> Result<Provider, BadSettings> {
        Ok(Provider {
            issuer: IssuerUrl::new(settings.issuer.clone())?,
            client_id: ClientId::new(settings.client_id.clone()),
            client_secret: ClientSecret::new(settings.client_secret.clone()),
            redirect_url: RedirectUrl::new(settings.redirect_url.clone())?,
            logged_out_url: PostLogoutRedirectUrl::new(settings.logged_out_url.clone())?,
            http: Http::new(settings.roots.as_deref()).map_err(BadSettings::Roots)?,
            settings,
            known: Mutex::default(),
        })
    }

    fn metadata(&self, until: Instant) -> Result<Metadata, NotSignedOn> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match (&known.metadata, &known.failed) {
            (Some((metadata, at)), _) if at.elapsed() < KNOWN_FOR => Ok(metadata.clone()),
            (None, Some((why, at))) if at.elapsed() < REST => Err(NotSignedOn::Away(why.clone())),
            _ => self.ask(&mut known, until),
        }
    }

    /// After a token that names an unknown key; `None` when it was looked for a moment ago.
    fn with_keys_anew(&self, until: Instant) -> Result<Option<Metadata>, NotSignedOn> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.keys_anew_at.is_some_and(|at| at.elapsed() < KEYS_ANEW) {
            return Ok(None);
        }
        known.keys_anew_at = Some(Instant::now());
        self.ask(&mut known, until).map(Some)
    }

    fn ask(&self, known: &mut Known, until: Instant) -> Result<Metadata, NotSignedOn> {
        let asked = ProviderMetadataWithLogout::discover(&self.issuer, &self.http.until(until));
        let asked = asked.map_err(|error| told(&error)).and_then(|metadata| self.is_safe(&metadata).map(|()| metadata));
        match (asked, &known.metadata) {
            (Ok(metadata), _) => {
                let metadata = Arc::new(metadata);
                (known.metadata, known.failed) = (Some((metadata.clone(), Instant::now())), None);
                Ok(metadata)
            }
            (Err(why), Some((metadata, _))) => {
                tracing::warn!(why, "the console's provider does not answer; what is known of it is used on");
                Ok(metadata.clone())
            }
            (Err(why), None) => {
                known.failed = Some((why.clone(), Instant::now()));
                Err(NotSignedOn::Away(why))
            }
        }
    }

    /// Browsers and secrets are sent to addresses that are as safe as the issuer's own.
    fn is_safe(&self, metadata: &ProviderMetadataWithLogout) -> Result<(), String> {
        let addresses = [
            Some(metadata.authorization_endpoint().url()),
            metadata.token_endpoint().map(|address| address.url()),
            metadata.additional_metadata().end_session_endpoint.as_ref().map(|address| address.url()),
            Some(metadata.jwks_uri().url()),
        ];
        let is_safe = |scheme: &str| scheme == "https" || scheme == self.issuer.url().scheme();
        match addresses.into_iter().flatten().find(|address| !is_safe(address.scheme())) {
            Some(address) => Err(format!("it names an address of {}", address.scheme())),
            None => Ok(()),
        }
    }

    fn client(&self, metadata: &Metadata) -> Client {
        let offered = metadata.token_endpoint_auth_methods_supported();
        let takes = |method: CoreClientAuthMethod| offered.is_none_or(|offered| offered.contains(&method));
        let is_basic = takes(CoreClientAuthMethod::ClientSecretBasic) || !takes(CoreClientAuthMethod::ClientSecretPost);
        let secret = Some(self.client_secret.clone());
        CoreClient::from_provider_metadata(ProviderMetadataWithLogout::clone(metadata), self.client_id.clone(), secret)
            .set_auth_type(if is_basic { AuthType::BasicAuth } else { AuthType::RequestBody })
            .set_redirect_uri(self.redirect_url.clone())
    }

    fn token(&self, client: &Client, flow: &Flow, code: &str, until: Instant) -> Result<CoreIdToken, NotSignedOn> {
        let request = client.exchange_code(AuthorizationCode::new(code.to_owned()));
        let request = request.map_err(|error| NotSignedOn::Away(error.to_string()))?;
        let verifier = PkceCodeVerifier::new(flow.verifier.clone());
        let answer = request.set_pkce_verifier(verifier).request(&self.http.until(until)).map_err(not_exchanged)?;
        answer.id_token().cloned().ok_or_else(|| NotSignedOn::Untrusted("there is none".into()))
    }

    /// The claims, once signature, issuer, audience, party, times and nonce have been looked at.
    fn verified<'t>(
        &self,
        client: &Client,
        token: &'t CoreIdToken,
        nonce: &Nonce,
    ) -> Result<&'t CoreIdTokenClaims, ClaimsVerificationError> {
        let now = UNIX_EPOCH + Duration::from_micros(SystemClock.now().0.unsigned_abs());
        let verifier = client
            .id_token_verifier()
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(move || (now - SKEW).into())
            .set_issue_time_verifier_fn(move |at| {
                let at = SystemTime::from(at);
                let is_recent = at <= now + SKEW && at >= now - ISSUED_WITHIN;
                if is_recent { Ok(()) } else { Err("it was not made for this log-in, or the clocks differ".into()) }
            });
        let claims = token.claims(&verifier, nonce)?;
        if claims.authorized_party().is_some_and(|party| *party != self.client_id) {
            return Err(ClaimsVerificationError::InvalidAudience("it was made for another party".into()));
        }
        Ok(claims)
    }
}

impl SignOn for Provider {
    fn address(&self, flow: &Flow, language: &str) -> Result<String, NotSignedOn> {
        let client = self.client(&self.metadata(Instant::now() + PATIENCE)?);
        let verifier = PkceCodeVerifier::new(flow.verifier.clone());
        let (state, nonce) = (CsrfToken::new(flow.state.clone()), Nonce::new(flow.nonce.clone()));
        let (address, _, _) = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, move || state, move || nonce)
            .add_scopes(self.settings.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_ui_locale(LanguageTag::new(language.to_owned()))
            .url();
        Ok(address.into())
    }

    fn person(&self, flow: &Flow, code: &str, issuer: Option<&str>) -> Result<Person, NotSignedOn> {
        if issuer.is_some_and(|issuer| issuer != self.issuer.as_str()) {
            return Err(NotSignedOn::Untrusted("another issuer has sent the code".into()));
        }
        let until = Instant::now() + PATIENCE;
        let client = self.client(&self.metadata(until)?);
        let token = self.token(&client, flow, code, until)?;
        let nonce = Nonce::new(flow.nonce.clone());
        let mut verified = self.verified(&client, &token, &nonce);
        if let Err(ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey)) = verified
            && let Some(metadata) = self.with_keys_anew(until)?
        {
            verified = self.verified(&self.client(&metadata), &token, &nonce);
        }
        let claims = verified.map_err(|error| NotSignedOn::Untrusted(told(&error)))?;
        claims::person(claims, &token.to_string(), &self.settings).map_err(NotSignedOn::Untrusted)
    }

    fn end_address(&self) -> Result<Option<String>, NotSignedOn> {
        let metadata = self.metadata(Instant::now() + PATIENCE)?;
        let end = metadata.additional_metadata().end_session_endpoint.clone();
        let address = |end| {
            let request = LogoutRequest::from(end).set_client_id(self.client_id.clone());
            request.set_post_logout_redirect_uri(self.logged_out_url.clone()).http_get_url()
        };
        Ok(end.map(|end| address(end).into()))
    }
}

/// Only what its own error says is a refusal; a proxy's page is an outage.
fn not_exchanged(error: CoreRequestTokenError<HttpError>) -> NotSignedOn {
    match error {
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            CoreErrorResponseType::Extension(code) => NotSignedOn::Away(short(code)),
            code => NotSignedOn::Refused(code.to_string()),
        },
        error => NotSignedOn::Away(told(&error)),
    }
}

/// An error with those below it. None of them shows what was sent, or a token.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text = format!("{text}: {error}");
        below = error.source();
    }
    short(&text)
}

/// For the log: parts of it are foreign.
fn short(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

//! A provider of OpenID Connect in this process, which does what it is told to do wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::browser::Browser;
use crate::app::Answer;

pub const CLIENT: &str = "quoteguard";
pub const SECRET: &str = "a secret of the client & its provider";

pub enum Key {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

impl Key {
    pub fn es256() -> Key {
        let random = SystemRandom::new();
        let bytes = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        Key::Es256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes.as_ref(), &random).expect("reads"))
    }

    pub fn rs256() -> Key {
        let args = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER"];
        let made = std::process::Command::new("openssl").args(args).output().expect("openssl runs");
        Key::Rs256(RsaKeyPair::from_pkcs8(&made.stdout).or_else(|_| RsaKeyPair::from_der(&made.stdout)).expect("a key"))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Key::Es256(_) => "ES256",
            Key::Rs256(_) => "RS256",
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Key::Es256(key) => key.sign(&random, message).expect("signs").as_ref().to_vec(),
            Key::Rs256(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("signs");
                signature
            }
        }
    }

    fn public(&self, kid: &str) -> Value {
        match self {
            Key::Es256(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "x": base64(&point[1..33]), "y": base64(&point[33..])})
            }
            Key::Rs256(key) => {
                let public: ring::rsa::PublicKeyComponents<Vec<u8>> = key.public().into();
                json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": base64(&public.n), "e": base64(&public.e)})
            }
        }
    }
}

pub fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// How the next tokens are signed.
pub enum Signing {
    Honest,
    /// By nobody: `alg` is `none`.
    None,
    /// By a key that is not published, under the name of one that is.
    Stranger,
    /// With the client's secret, as if that were a key.
    Secret,
    /// Another claim than what was signed.
    Altered,
}

/// What it does. Everything may be changed while it runs.
pub struct Behaviour {
    pub kid: String,
    pub key: Key,
    /// Published beside.
    pub published: Vec<Value>,
    pub signing: Signing,
    /// Changes the claims before they are signed.
    pub claims: Box<dyn Fn(&mut Value) + Send>,
    /// Changes the discovery document.
    pub document: Box<dyn Fn(&mut Value) + Send>,
    pub delay: Duration,
    /// Answers with so many bytes, at this path.
    pub flood: Option<(&'static str, usize)>,
    /// Answers with this status, at this path.
    pub status: Option<(&'static str, u16)>,
}

struct Grant {
    nonce: String,
    challenge: String,
    redirect: String,
    claims: Value,
}

/// Ends with it.
pub struct Issuer {
    pub url: String,
    served: Served,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
struct Served {
    url: String,
    behaviour: Arc<Mutex<Behaviour>>,
    codes: Arc<Mutex<BTreeMap<String, Grant>>>,
    asked: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Issuer {
    pub async fn start() -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let behaviour = Behaviour {
            kid: "one".into(),
            key: Key::es256(),
            published: Vec::new(),
            signing: Signing::Honest,
            claims: Box::new(|_| {}),
            document: Box::new(|_| {}),
            delay: Duration::ZERO,
            flood: None,
            status: None,
        };
        let behaviour = Arc::new(Mutex::new(behaviour));
        let served = Served { url: url.clone(), behaviour, codes: Arc::default(), asked: Arc::default() };
        let router = Router::new().fallback(answer).with_state(served.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Issuer { url, served, serving }
    }

    /// The configuration of a console whose people it has.
    pub fn config(&self, console: &str, oidc: &str) -> String {
        format!(
            "[console]\nfirst_password_file = 'first-password'\n{console}\n[console.oidc]\nissuer = '{}'\nclient_id = '{CLIENT}'\n\
             client_secret = '{SECRET}'\npublic_url = 'http://localhost:1'\nroles = {{ bosses = 'admin', desk = 'underwriter', \
             numbers = 'analyst', books = 'auditor' }}\n{oidc}\n",
            self.url
        )
    }

    pub fn behave(&self) -> MutexGuard<'_, Behaviour> {
        self.served.behaviour.lock().expect("whole")
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> u32 {
        self.served.asked.lock().expect("whole").get(path).copied().unwrap_or_default()
    }

    /// The person agrees: a code for what the console has asked, as its address says.
    pub fn agree(&self, location: &str, claims: Value) -> String {
        let query = location.split_once('?').expect("a query").1;
        let asked: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", CLIENT));
        assert_eq!(asked["code_challenge_method"], "S256");
        let mut codes = self.served.codes.lock().expect("whole");
        let code = format!("code-{}", codes.len());
        let (nonce, challenge) = (asked["nonce"].clone(), asked["code_challenge"].clone());
        codes.insert(code.clone(), Grant { nonce, challenge, redirect: asked["redirect_uri"].clone(), claims });
        form_urlencoded::Serializer::new(String::from("/console/login/company/back?"))
            .append_pair("code", &code)
            .append_pair("state", &asked["state"])
            .append_pair("iss", &self.url)
            .finish()
    }

    /// The whole log-in of somebody.
    pub async fn log_in(&self, browser: &mut Browser<'_>, claims: Value) -> Answer {
        let back = self.begin(browser, claims).await;
        browser.get(&back).await
    }

    /// Up to the address with the code.
    pub async fn begin(&self, browser: &mut Browser<'_>, claims: Value) -> String {
        let there = browser.get("/console/login/company").await;
        assert_eq!(there.status, 303, "{}", there.text());
        self.agree(there.header("location"), claims)
    }
}

async fn answer(State(served): State<Served>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    *served.asked.lock().expect("whole").entry(path.clone()).or_default() += 1;
    let delay = served.behaviour.lock().expect("whole").delay;
    tokio::time::sleep(delay).await;
    let body = to_bytes(body, 65_536).await.expect("read");
    let behaviour = served.behaviour.lock().expect("whole");
    if let Some((_, status)) = behaviour.status.filter(|(at, _)| *at == path) {
        return respond(status, "<html>busy</html>".into());
    }
    if let Some((_, bytes)) = behaviour.flood.filter(|(at, _)| *at == path) {
        return respond(200, format!("{{\"x\": \"{}\"}}", "x".repeat(bytes)));
    }
    let authorization = parts.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match path.as_str() {
        "/.well-known/openid-configuration" => respond(200, document(&served.url, &behaviour).to_string()),
        "/jwks" => {
            let mut keys = behaviour.published.clone();
            keys.push(behaviour.key.public(&behaviour.kid));
            respond(200, json!({"keys": keys}).to_string())
        }
        "/token" => match token(&served, &behaviour, authorization, &body) {
            Ok(answer) => respond(200, answer.to_string()),
            Err(error) => respond(400, json!({"error": error}).to_string()),
        },
        _ => respond(404, String::new()),
    }
}

fn respond(status: u16, text: String) -> Response<Body> {
    let kind = if text.starts_with('{') { "application/json" } else { "text/html" };
    let status = StatusCode::from_u16(status).expect("a status");
    Response::builder().status(status).header("content-type", kind).body(text.into()).expect("an answer")
}

fn document(url: &str, behaviour: &Behaviour) -> Value {
    let mut document = json!({
        "issuer": url, "authorization_endpoint": format!("{url}/auth"), "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/jwks"), "end_session_endpoint": format!("{url}/out"), "response_types_supported": ["code"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none"]
    });
    (behaviour.document)(&mut document);
    document
}

fn token(served: &Served, behaviour: &Behaviour, authorization: &str, body: &[u8]) -> Result<Value, &'static str> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let expected = STANDARD.encode(format!("{}:{}", encoded(CLIENT), encoded(SECRET)));
    if authorization != format!("Basic {expected}") {
        return Err("invalid_client");
    }
    let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    // A code is for once.
    let grant = served.codes.lock().expect("whole").get_mut(&form["code"]).and_then(|grant| {
        (!grant.challenge.is_empty()).then(|| Grant {
            nonce: grant.nonce.clone(),
            challenge: std::mem::take(&mut grant.challenge),
            redirect: grant.redirect.clone(),
            claims: grant.claims.clone(),
        })
    });
    let grant = grant.ok_or("invalid_grant")?;
    let shown = base64(&Sha256::digest(form.get("code_verifier").map(String::as_str).unwrap_or_default()));
    if form["grant_type"] != "authorization_code" || form["redirect_uri"] != grant.redirect || shown != grant.challenge {
        return Err("invalid_grant");
    }
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let mut claims = json!({"iss": served.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": grant.nonce});
    for (name, value) in grant.claims.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    (behaviour.claims)(&mut claims);
    let token = signed(behaviour, &claims);
    Ok(json!({"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": token}))
}

fn signed(behaviour: &Behaviour, claims: &Value) -> String {
    let algorithm = match behaviour.signing {
        Signing::None => "none",
        Signing::Secret => "HS256",
        _ => behaviour.key.algorithm(),
    };
    let head = base64(json!({"alg": algorithm, "kid": behaviour.kid, "typ": "JWT"}).to_string().as_bytes());
    let message = format!("{head}.{}", base64(claims.to_string().as_bytes()));
    let signature = match behaviour.signing {
        Signing::None => Vec::new(),
        Signing::Stranger => Key::es256().sign(message.as_bytes()),
        Signing::Secret => {
            let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes()).expect("a key");
            mac.update(message.as_bytes());
            mac.finalize().into_bytes().to_vec()
        }
        Signing::Honest | Signing::Altered => behaviour.key.sign(message.as_bytes()),
    };
    if let Signing::Altered = behaviour.signing {
        let mut other = claims.clone();
        other["sub"] = json!("somebody else");
        return format!("{head}.{}.{}", base64(other.to_string().as_bytes()), base64(&signature));
    }
    format!("{message}.{}", base64(&signature))
}

//! Where the network begins: HTTPS, and room for those who ask beside those who only hold connections open.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::app::{TestApp, connect, eventually};
use crate::quotes::quote;

const TLS: &str = "[http]\nheader_timeout_ms = 1500\n[http.tls]\ncert_file = 'cert.pem'\nkey_file = 'key.pem'\n";

/// Writes a certificate of its own and its key.
fn issue(dir: &Path, cert: &str, key: &str) {
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    openssl.args([
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]);
    let done = openssl.args(["-keyout", key, "-out", cert]).current_dir(dir).output().expect("openssl runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A client that trusts this certificate alone.
async fn secured(
    app: &TestApp,
    cert: &Path,
    version: &'static SupportedProtocolVersion,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert).expect("a certificate")).expect("is taken");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).expect("known");
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(app.addr).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").expect("a name"), stream).await
}

/// Sends a request on a connection and reads the answer, which has a length.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), head: &str, body: &str) -> std::io::Result<String> {
    let request = format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let (mut said, mut part) = (String::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut part).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        said.push_str(&String::from_utf8_lossy(&part[..read]));
        let Some((head, body)) = said.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
        if body.len() >= length.expect("a length") {
            return Ok(said);
        }
    }
}

async fn metrics(app: &TestApp, cert: &Path) -> String {
    let mut stream = secured(app, cert, &rustls::version::TLS13).await.expect("connects");
    ask(&mut stream, "GET /metrics", "").await.expect("answers")
}

#[tokio::test]
async fn https_serves_and_a_new_certificate_is_used_without_dropping_anybody() {
    let dir = Arc::new(tempfile::tempdir().expect("a folder"));
    let at = |name: &str| dir.path().join(name);
    issue(dir.path(), "cert.pem", "key.pem");
    std::fs::copy(at("cert.pem"), at("old.pem")).expect("copied");
    issue(dir.path(), "new.pem", "new.key");
    let app = TestApp::start_listening(dir.clone(), &TLS.replace("1500", "60000")).await;

    let mut early = secured(&app, &at("old.pem"), &rustls::version::TLS12).await.expect("TLS 1.2 is taken");
    eventually("it is ready", async || {
        ask(&mut early, "GET /readyz", "").await.is_ok_and(|said| said.starts_with("HTTP/1.1 200"))
    })
    .await;
    let said = ask(&mut early, "POST /v1/quotes/check", &quote("q-1").to_string()).await.expect("answers");
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("\"decision\":\"accept\""), "{said}");
    assert!(secured(&app, &at("new.pem"), &rustls::version::TLS13).await.is_err(), "not known to a client of the new one");

    // A key that is not the certificate's is refused; the last good pair stays.
    std::fs::copy(at("new.key"), at("key.pem")).expect("copied");
    let refused = r#"quoteguard_tls_reloads_total{result="refused"} 1"#;
    eventually("the pair is refused", async || metrics(&app, &at("old.pem")).await.contains(refused)).await;

    std::fs::copy(at("new.pem"), at("cert.pem")).expect("copied");
    eventually("the new one is used", async || secured(&app, &at("new.pem"), &rustls::version::TLS13).await.is_ok()).await;
    assert!(secured(&app, &at("old.pem"), &rustls::version::TLS13).await.is_err());
    let said = ask(&mut early, "POST /v1/quotes/check", &quote("q-2").to_string()).await.expect("the open one goes on");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");

    app.terminate();
    let (_, status, said) = app.wait_and_hear().await;
    assert!(status.success(), "an open connection that asks nothing holds no stop up");
    assert!(said.contains("do not go together") && said.contains("is used for new connections"), "{said}");
}

#[tokio::test]
async fn a_slow_handshake_ends_with_the_header_timeout_and_a_bad_pair_refuses_to_start() {
    let dir = Arc::new(tempfile::tempdir().expect("a folder"));
    issue(dir.path(), "cert.pem", "key.pem");
    let app = TestApp::start_listening(dir.clone(), TLS).await;
    let began = Instant::now();
    let mut silent = TcpStream::connect(app.addr).await.expect("connects");
    let mut plain = TcpStream::connect(app.addr).await.expect("connects");
    plain.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"HTTP/"), "plain HTTP is not spoken on this port");
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or_default(), 0, "is closed");
    assert!(began.elapsed() >= Duration::from_millis(1400), "not before its time");
    let closed = r#"quoteguard_http_connections_closed_total{reason="handshake"} 2"#;
    assert!(metrics(&app, &dir.path().join("cert.pem")).await.contains(closed));
    let (dir, status) = app.stop().await;
    assert!(status.success());

    for (cert, key, reason) in [
        ("cert.pem", "cert.pem", "http.tls.key_file: cert.pem holds no private key"),
        ("key.pem", "key.pem", "http.tls.cert_file: key.pem holds no certificate"),
        ("cert.pem", "missing.pem", "http.tls: missing.pem: No such file"),
    ] {
        let config = format!("[http.tls]\ncert_file = '{cert}'\nkey_file = '{key}'\n");
        std::fs::write(dir.path().join("quoteguard.toml"), config).expect("written");
        let mut serve = tokio::process::Command::new(crate::app::BINARY);
        serve.args(["serve", "--listen", "127.0.0.1:0", "--data", "quoteguard.db"]).current_dir(dir.path());
        let done = serve.output().await.expect("runs");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && said.contains(reason), "{said}");
    }
}

#[tokio::test]
async fn those_who_hold_connections_open_shut_nobody_out() {
    let app = TestApp::start("[http]\nconnections_max = 16\nheader_timeout_ms = 60000\nanswer_timeout_ms = 30000\n").await;
    let hold = async |said: &str| {
        let mut stream = TcpStream::connect(app.addr).await.expect("connects");
        stream.write_all(said.as_bytes()).await.expect("sent");
        stream
    };
    // Beyond the cap, half of them silent, half of them with a head that never ends.
    let mut held = Vec::new();
    for n in 0..40 {
        held.push(hold(if n % 2 == 0 { "" } else { "GET /livez HTTP/1.1\r\nHost: x\r\n" }).await);
    }
    for n in 0..40 {
        let mut stream = TcpStream::connect(app.addr).await.expect("connects");
        let form = quote(&format!("q-{n}")).to_string();
        let said = ask(&mut stream, "POST /v1/quotes/check", &form).await.expect("answers");
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    }
    assert!(app.metric(r#"quoteguard_http_connections_closed_total{reason="room"}"#).await >= 25.0);
    assert!(app.metric("quoteguard_http_connections").await <= 16.0);
    assert_eq!(held[0].read(&mut [0; 16]).await.unwrap_or_default(), 0, "the one idle for longest was closed");

    // A request under way is never closed for another.
    let mut blocker = connect(&app.database()).await;
    let lock = sqlx::Connection::begin_with(&mut blocker, "BEGIN IMMEDIATE").await.expect("locks the file");
    let mut asking = TcpStream::connect(app.addr).await.expect("connects");
    let (form, crowd) = (quote("q-long").to_string(), async {
        eventually("it is under way", async || app.get("/v1/decisions/q-long").await.is_ok_and(|a| a.status == 202)).await;
        for _ in 0..40 {
            held.push(hold("").await);
        }
        lock.rollback().await.expect("unlocks");
    });
    let (said, ()) = tokio::join!(ask(&mut asking, "POST /v1/quotes/check", &form), crowd);
    assert!(said.is_ok_and(|said| said.starts_with("HTTP/1.1 200")));
}

//! The page of the API keys.

use super::browser::{Browser, CONFIG, between, desk};
use crate::api_keys::status;
use crate::app::{TestApp, eventually};

/// Sends a form of the page, and gives the key that it shows.
async fn made(browser: &mut Browser<'_>, path: &str, fields: &[(&str, &str)]) -> String {
    browser.get("/console/keys").await;
    let page = browser.post(path, fields).await;
    assert_eq!(page.status, 200, "{}", page.text());
    between(&page.text(), "<output>", "</output>").to_owned()
}

#[tokio::test]
async fn an_administrator_makes_rotates_and_revokes_keys() {
    let app = TestApp::start(CONFIG).await;
    let mut admin = Browser::admin(&app).await;
    let page = admin.page("/console/keys").await;
    assert!(page.contains("The API is open") && page.contains("name=\"close\""), "{page}");
    let fields = [("name", "site"), ("checks", "1"), ("rate_per_sec", "50"), ("expires_days", "30")];
    let refused = admin.post("/console/keys", &fields).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("Tick the box"), "{}", refused.text());
    assert_eq!(status(&app, "").await, 200, "nothing was done");

    let key = made(&mut admin, "/console/keys", &[&fields[..], &[("close", "1")]].concat()).await;
    let id = key[3..15].to_owned();
    eventually("it opens", async || status(&app, &key).await == 200 && status(&app, "").await == 401).await;
    let page = admin.page("/console/keys").await;
    assert!(!page.contains(&key[16..]) && page.contains(&format!("qg_{id}_…")), "the key is not shown again");
    assert!(!page.contains("The API is open") && page.contains("50/s, 50"), "{page}");
    assert_eq!(admin.post("/console/keys", &fields).await.status, 422, "the name is taken: a second click does nothing");

    let path = format!("/console/keys/{id}");
    let next = made(&mut admin, &path, &[("do", "rotate"), ("overlap", "24")]).await;
    eventually("the new one opens", async || status(&app, &next).await == 200).await;
    assert_eq!(status(&app, &key).await, 200, "both hold");
    assert_eq!(admin.post(&path, &[("do", "rotate"), ("overlap", "24")]).await.status, 422, "a second click does nothing");
    for (fields, expected) in
        [(&[("do", "rotate"), ("overlap", "25")][..], 400), (&[("do", "rotate")], 400), (&[("do", "shout")], 400)]
    {
        assert_eq!(admin.post(&path, fields).await.status, expected, "{fields:?}");
    }
    assert_eq!(admin.post("/console/keys/nonsense", &[("do", "revoke")]).await.status, 404);
    let done = admin.post(&path, &[("do", "revoke")]).await;
    assert_eq!((done.status.as_u16(), done.header("location")), (303, "/console/keys?done=key-revoked"));
    eventually("the old one opens nothing", async || status(&app, &key).await == 401).await;
    assert_eq!(status(&app, &next).await, 200);
    assert_eq!(admin.post(&path, &[("do", "revoke")]).await.status, 422);

    let acts = desk(&app, "SELECT actor || ' ' || action FROM audit WHERE action LIKE 'key.%' ORDER BY seq").await;
    assert_eq!(acts, ["admin key.create", "admin key.rotate", "admin key.revoke"]);
    admin.get("/console/switch?language=ru&back=/console/keys").await;
    let page = admin.page("/console/keys").await;
    for text in ["Ключи API", "отозван", "действует", "Создать ключ", "запас"] {
        assert!(page.contains(text), "{text}");
    }
}

#[tokio::test]
async fn an_administrator_of_one_tenant_has_its_keys_alone() {
    let app = TestApp::start(&format!("{CONFIG}[http]\nrequire_keys = true\n")).await;
    let mut admin = Browser::admin(&app).await;
    let theirs = made(&mut admin, "/console/keys", &[("name", "broker"), ("tenant", "theirs"), ("checks", "1")]).await;
    let mut olga = Browser::person(&mut admin, "olga", "admin", "ours").await;
    let page = olga.page("/console/keys").await;
    assert!(!page.contains("broker") && !page.contains("name=\"tenant\"") && !page.contains("name=\"rules\""), "{page}");
    assert!(page.contains("name=\"checks\"") && !page.contains("name=\"ops\""), "{page}");
    // Whatever the form says.
    let fields = [("name", "site"), ("tenant", "theirs"), ("checks", "1")];
    let ours = made(&mut olga, "/console/keys", &fields).await;
    assert_eq!(desk(&app, "SELECT tenant FROM api_keys WHERE name = 'site'").await, ["ours"]);
    for of_all in ["rules", "ops"] {
        assert_eq!(olga.post("/console/keys", &[("name", "chief"), (of_all, "1")]).await.status, 422, "{of_all}");
    }
    let path = format!("/console/keys/{}", &theirs[3..15]);
    for fields in [&[("do", "revoke")][..], &[("do", "rotate"), ("overlap", "0")]] {
        assert_eq!(olga.post(&path, fields).await.status, 422, "{fields:?}");
    }
    eventually("both open", async || status(&app, &ours).await == 200 && status(&app, &theirs).await == 200).await;
}

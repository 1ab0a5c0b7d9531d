//! What `make run` shows, against a real service.

use crate::app::TestApp;

/// Runs the demo and gives its text and whether it saw the referral.
async fn demo(app: &TestApp) -> (String, bool) {
    let url = app.url("");
    let shown = tokio::task::spawn_blocking(move || {
        let mut out = Vec::new();
        let referred = loadtest::demo::run(&url, None, false, &mut out).expect("the demo runs");
        (String::from_utf8(out).expect("text"), referred)
    });
    shown.await.expect("ends")
}

#[tokio::test]
async fn the_demo_shows_a_referral_and_is_remembered_after_a_kill() {
    let app = TestApp::start("").await;
    let (text, referred) = demo(&app).await;
    assert!(referred, "{text}");
    let ordinary = text.lines().find(|line| line.starts_with("ordinary people")).expect("counts");
    assert!(ordinary.ends_with(" 0"), "an honest applicant was referred: {ordinary}");
    for part in ["PARAMETER_PICKING (picking-24h): 5 quotes", "*XW8", "refer", "/v1/decisions/demo-5", "/docs"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");

    let app = TestApp::start_in(app.kill().await, "").await;
    let (text, referred) = demo(&app).await;
    assert!(referred && text.contains("5 attempts were kept from before"), "{text}");
}

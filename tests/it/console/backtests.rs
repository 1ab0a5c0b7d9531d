//! Reports of backtests are listed and opened; the folder opens nothing else.

use super::browser::{Browser, CONFIG, desk};
use crate::app::TestApp;
use crate::commands::{run, text};
use crate::quotes::{history, lines};

#[tokio::test]
async fn a_report_is_listed_with_its_figures_and_opens_where_it_can_do_nothing() {
    let config = format!("{CONFIG}backtests = 'reports'\n");
    let app = TestApp::start(&config).await;
    let mut admin = Browser::admin(&app).await;
    assert!(admin.page("/console").await.contains("href=\"/console/backtests\""));
    // A folder that is not there yet is an empty one.
    assert!(admin.page("/console/backtests").await.contains("The folder holds no report yet"));

    let dir = app.dir.path();
    let folder = dir.join("reports");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(dir.join("q.jsonl"), lines(&history(7, 400))).expect("written");
    let args = ["backtest", "--input", "q.jsonl", "--set", "picking-24h.n=2"];
    let files = ["--report", "reports/november.html", "--json", "reports/november.json"];
    let done = run(dir, &[&args[..], &files].concat(), b"");
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    // Half of a pair, what is no report, and what leads out of the folder.
    std::fs::write(folder.join("alone.html"), "<p>alone").expect("written");
    std::fs::write(folder.join("broken.html"), "<p>broken").expect("written");
    std::fs::write(folder.join("broken.json"), "{}").expect("written");
    std::os::unix::fs::symlink(dir.join("quoteguard.toml"), folder.join("link.html")).expect("linked");

    let page = admin.page("/console/backtests").await;
    let figures: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("november.json")).expect("written")).expect("JSON");
    let per_day = figures["baseline"]["referrals_per_day"].as_f64().expect("a number");
    let decided = figures["history"]["decided"].as_u64().expect("a number");
    for part in ["href=\"/console/backtests/november\"", "shipped", &decided.to_string(), &format!("{per_day:.1}")] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for name in ["alone", "broken", "link"] {
        assert!(!page.contains(&format!("backtests/{name}")), "{name}: {page}");
    }

    let report = admin.get("/console/backtests/november").await;
    assert_eq!(report.body, std::fs::read(folder.join("november.html")).expect("written"), "as it lies there");
    let policies: Vec<_> = report.headers.get_all("content-security-policy").iter().collect();
    assert_eq!(policies.len(), 1);
    let policy = report.header("content-security-policy");
    assert!(policy.contains("sandbox") && !policy.contains("script-src") && policy.contains("default-src 'none'"), "{policy}");
    assert_eq!(report.header("x-content-type-options"), "nosniff");
    for name in ["link", "missing", "..%2Fquoteguard", "%2e%2e%2fquoteguard.toml", ".hidden"] {
        assert_eq!(admin.get(&format!("/console/backtests/{name}")).await.status, 404, "{name}");
    }
    let seen = desk(&app, "SELECT actor || ' ' || subject FROM audit WHERE action = 'backtest.view'").await;
    assert_eq!(seen, ["admin november"]);
}

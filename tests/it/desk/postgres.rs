//! The desk in PostgreSQL.

use std::sync::Arc;

use quoteguard::adapters::desk::{DeskStore, Keeping, Projector, Schema, ServerOptions};
use quoteguard::engine::time::DAY;
use quoteguard::pipeline::StoreError;
use quoteguard::pipeline::desk::feed::{Page, Part};
use quoteguard::pipeline::desk::sink::Projection;
use quoteguard::vault::Vault;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::runtime::Handle;

use super::log::{LOG_ID, project, recorded};
use super::{Databases, keeps_the_promises, moved, vault, whole};
use crate::servers::{postgres, unique};

pub struct Server(pub String);

impl Server {
    /// A new database of this server.
    pub async fn database(&self) -> ServerOptions {
        let name = unique("desk").replace('-', "_");
        let mut connection = PgConnection::connect(&self.0).await.expect("connects");
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("created");
        connection.close().await.expect("closed");
        let (server, _) = self.0.rsplit_once('/').expect("a database in the URL");
        ServerOptions { url: format!("{server}/{name}"), password_file: None, ca_file: None, connections_max: 8 }
    }
}

pub fn open(options: ServerOptions) -> DeskStore {
    DeskStore::of_server(options, vault(), Keeping::default()).expect("options that can be")
}

impl Databases for Server {
    async fn opened(&self, vaults: &[Arc<Vault>], keeping: Keeping) -> Vec<DeskStore> {
        let options = self.database().await;
        let open = |vault: &Arc<Vault>| DeskStore::of_server(options.clone(), vault.clone(), keeping);
        let opened: Vec<_> = vaults.iter().map(open).collect::<Result<_, _>>().expect("options that can be");
        opened[0].prepare().await.expect("an empty schema is brought up");
        opened
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_promises_of_the_desk() {
    keeps_the_promises(&Server(postgres().to_owned())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_made_refused_or_worked_on() {
    let options = Server(postgres().to_owned()).database().await;
    let desk = open(options.clone());
    assert_eq!(desk.schema().await.expect("reads"), Some(Schema::Empty));
    // Two instances that start at once.
    let other = open(options);
    let (first, second) = tokio::join!(desk.prepare(), other.prepare());
    first.expect("made");
    second.expect("made");
    assert_eq!(desk.schema().await.expect("reads"), Some(Schema::Current));
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', true, '', 0)";
    desk.db().run(later, vec![]).await.expect("written");
    assert_eq!(desk.schema().await.expect("reads"), Some(Schema::Later));
    desk.prepare().await.expect("worked on");
    desk.db().run("DELETE FROM _sqlx_migrations WHERE version < 9999", vec![]).await.expect("written");
    let refused = desk.prepare().await.expect_err("older");
    assert!(matches!(&refused, StoreError::Refused(text) if text.contains("quoteguard migrate")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_instances_fills_the_desk_and_the_other_follows_it() {
    let desk = Server(postgres().to_owned()).empty().await;
    let runtime = Handle::current();
    let took_turns = tokio::task::spawn_blocking(move || {
        let mut first = Projector::new(desk.clone(), runtime.clone());
        let mut second = Projector::new(desk, runtime);
        assert!(first.positions(LOG_ID).expect("reads").is_some());
        assert!(second.positions(LOG_ID).expect("reads").is_none(), "it is filled already");
        first.upkeep(true).expect("holds its lock");
        drop(first);
        crate::app::until("the lock is free", || second.positions(LOG_ID).expect("reads").is_some());
    });
    took_turns.await.expect("does not panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn months_are_dropped_whole_when_they_are_old() {
    let recorded = recorded(3, 300);
    let options = Server(postgres().to_owned()).database().await;
    let keeping = Keeping { decisions: 30 * DAY, forms: DAY };
    let desk = DeskStore::of_server(options, vault(), keeping).expect("options that can be");
    desk.prepare().await.expect("made");
    project(&desk, whole(&recorded)).await;
    let count =
        async |sql: &str| -> i64 { desk.db().first(sql, vec![]).await.expect("reads").expect("a row").get(0).expect("a number") };
    let decisions = "SELECT count(*) FROM decisions";
    assert_eq!(count(decisions).await, recorded.decisions.len() as i64);
    let tidy = async || {
        let (tidied, runtime) = (desk.clone(), Handle::current());
        let tidied = tokio::task::spawn_blocking(move || Projector::new(tidied, runtime).upkeep(true));
        tidied.await.expect("does not panic").expect("tidies");
    };
    tidy().await;
    let old = "SELECT count(*) FROM forms f WHERE arrival < (SELECT max(arrival) FROM forms) - 86400000000";
    let of_cases =
        "AND EXISTS (SELECT 1 FROM case_quotes q WHERE q.log_partition = f.log_partition AND q.log_offset = f.log_offset)";
    let kept = count(old).await;
    assert!(kept > 0);
    assert_eq!(kept, count(&format!("{old} {of_cases}")).await, "of the old forms only those of cases are kept");
    assert_eq!(count(decisions).await, recorded.decisions.len() as i64);

    // As if the newest had come two months later.
    let last = recorded.decisions.last().map_or(0, |record| record.decision.position.offset);
    let newest = format!("UPDATE decisions SET event_time = event_time + {} WHERE log_offset = {last}", 62 * DAY);
    let later = "CREATE TABLE decisions_2026_05 PARTITION OF decisions FOR VALUES FROM (1777593600000000) TO (1780272000000000)";
    for sql in [later, &newest] {
        desk.db().run(sql, vec![]).await.expect("changed");
    }
    tidy().await;
    assert_eq!(count(decisions).await, 1, "the others were in a month that has ended long before");
    assert_eq!(count("SELECT count(*) FROM pg_class WHERE relname IN ('decisions_2026_03', 'forms_2026_03')").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_was_dropped_is_made_again_for_a_late_row() {
    let recorded = recorded(3, 300);
    let keeping = Keeping { decisions: 30 * DAY, forms: DAY };
    let desk =
        DeskStore::of_server(Server(postgres().to_owned()).database().await, vault(), keeping).expect("options that can be");
    desk.prepare().await.expect("made");
    let (asked, runtime, decisions) = (desk.clone(), Handle::current(), recorded.decisions.clone());
    let pages = tokio::task::spawn_blocking(move || {
        let run = |sql: &str| runtime.block_on(asked.db().run(sql, vec![])).expect("changed");
        let page = |from: usize, to: usize| Page {
            decisions: decisions[from..to].to_vec(),
            moves: vec![moved(Part::Decisions, from, to)],
            ..Page::default()
        };
        let mut projector = Projector::new(asked.clone(), runtime.clone());
        projector.positions(LOG_ID).expect("reads");
        assert!(projector.project(&page(0, 100)).expect("projects").is_some());
        // By its age: the newest is as if it had come two months later.
        run("CREATE TABLE decisions_2026_05 PARTITION OF decisions FOR VALUES FROM (1777593600000000) TO (1780272000000000)");
        run(&format!("UPDATE decisions SET event_time = event_time + {} WHERE log_offset = 0", 62 * DAY));
        projector.upkeep(true).expect("tidies");
        assert!(projector.project(&page(100, 200)).expect("made again").is_some());
        // By somebody's hand, unknown to the sink: it passes.
        run("DROP TABLE decisions_2026_03");
        let failed = projector.project(&page(200, 290)).expect_err("no partition");
        assert!(matches!(&failed, StoreError::Unavailable(text) if text.contains("no partition")), "{failed}");
        assert!(projector.project(&page(200, 290)).expect("made again").is_some());
        (page(0, 100), page(200, 290))
    });
    let (first, last) = pages.await.expect("does not panic");
    let count = desk.db().first("SELECT count(*) FROM decisions", vec![]).await.expect("reads").expect("a row");
    let late = first.decisions.iter().filter(|record| record.decision.position.offset == 0).count();
    assert_eq!(count.get::<u64>(0).expect("a number"), (last.decisions.len() + late) as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secure_side_is_reached_by_tls_and_a_password_from_a_file() {
    let secure = crate::servers::secure();
    let url = std::env::var("QUOTEGUARD_TEST_POSTGRES_SECURE").expect("the server of `make services`");
    let options = ServerOptions {
        url,
        password_file: Some(secure.password_file.clone()),
        ca_file: Some(secure.ca.clone()),
        connections_max: 1,
    };
    let desk = open(options.clone());
    assert_eq!(desk.schema().await.expect("let in"), Some(Schema::Empty));
    let encrypted = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl";
    let version: String = desk.db().first(encrypted, vec![]).await.expect("reads").expect("by TLS").get(0).expect("a text");
    assert!(version.starts_with("TLSv1."), "{version}");
    // Another CA, and no password.
    let other_ca = tempfile::NamedTempFile::new().expect("a file");
    for wrong in [
        ServerOptions { ca_file: Some(other_ca.path().to_owned()), ..options.clone() },
        ServerOptions { password_file: None, ..options.clone() },
    ] {
        let refused = open(wrong).schema().await.expect_err("kept out");
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    }
    let missing = ServerOptions { password_file: Some("no/such/file".into()), ..options };
    let refused = DeskStore::of_server(missing, vault(), Keeping::default()).map(drop).expect_err("refused");
    assert!(matches!(&refused, StoreError::Refused(text) if text.starts_with("desk.password_file: no/such/file")), "{refused}");
}

//! Accounts, local ones and the company's.

use std::time::Duration;

use quoteguard::adapters::desk::DeskStore;
use quoteguard::pipeline::access::{Access, Admitted, Lifetime, NewAccount, Newcomer, Role};
use quoteguard::pipeline::desk::{AuditFilter, Desk};
use quoteguard::pipeline::sign_on::{Identity, PlaceHere};

use super::Databases;

fn newcomer(subject: &str, names: &[&str], role: Role, tenant: Option<&str>) -> Newcomer {
    Newcomer {
        identity: Identity { issuer: "https://login.example".into(), subject: subject.into() },
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        place: PlaceHere { role, tenant: tenant.map(str::to_owned) },
    }
}

async fn admit(desk: &DeskStore, newcomer: Newcomer) -> Option<Admitted> {
    desk.admit(newcomer).await.expect("answers")
}

pub async fn an_identity_is_one_account_whatever_it_is_called(databases: &impl Databases) {
    let desk = databases.empty().await;
    let local = NewAccount {
        name: "olga".into(),
        role: Role::Admin,
        tenant: None,
        password_hash: Some("$argon2id$".into()),
        must_change: false,
    };
    assert!(desk.create(local, "anna").await.expect("answers"));
    let first = admit(&desk, newcomer("1", &["olga", "olga-1"], Role::Analyst, Some("north"))).await.expect("admitted");
    assert_eq!((first.account.name.as_str(), first.account.role, first.before), ("olga-1", Role::Analyst, None));
    assert_eq!(first.account.identity.as_ref().map(|of| of.subject.as_str()), Some("1"));
    assert_eq!(desk.account("olga").await.expect("reads").expect("is there").role, Role::Admin, "the local one is as it was");
    let again = admit(&desk, newcomer("1", &["renamed"], Role::Underwriter, None)).await.expect("admitted");
    assert_eq!((again.account.name.as_str(), again.account.role, again.account.tenant), ("olga-1", Role::Underwriter, None));
    assert_eq!(again.before, Some(PlaceHere { role: Role::Analyst, tenant: Some("north".into()) }));
    assert!(admit(&desk, newcomer("2", &["olga", "olga-1"], Role::Analyst, None)).await.is_none(), "every name is taken");
    let known = desk.account_of(&newcomer("1", &[], Role::Admin, None).identity).await.expect("reads").expect("is there");
    assert_eq!(known.name, "olga-1");
    let elsewhere = Identity { issuer: "https://other.example".into(), subject: "1".into() };
    assert_eq!(desk.account_of(&elsewhere).await.expect("reads"), None);

    // Many log-ins of one identity at once: one account.
    let many =
        (0..8).map(|i| {
            let desk = desk.clone();
            async move {
                admit(&desk, newcomer("3", &[&format!("ivan-{i}")], Role::Analyst, None)).await.expect("admitted").account.name
            }
        });
    let names = futures_util::future::join_all(many).await;
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");

    assert!(desk.set_disabled("olga-1", true, "anna").await.expect("answers"));
    let still = admit(&desk, newcomer("1", &[], Role::Admin, None)).await.expect("known");
    assert_eq!((still.account.is_disabled, still.account.role), (true, Role::Underwriter), "nothing about it changes");
}

pub async fn only_an_administrator_who_came_in_closes_the_local_way(databases: &impl Databases) {
    let desk = databases.empty().await;
    let has = async || desk.has_company_admin().await.expect("reads");
    let lifetime = Lifetime { idle: Duration::from_secs(60), absolute: Duration::from_secs(60) };
    for (subject, role, tenant, expected) in
        [("1", Role::Underwriter, None, false), ("2", Role::Admin, Some("north"), false), ("3", Role::Admin, None, true)]
    {
        let account = admit(&desk, newcomer(subject, &[&format!("of-{subject}")], role, tenant)).await.expect("admitted").account;
        assert!(!has().await, "{subject} has not come in yet");
        let hash = [subject.as_bytes()[0]; 32];
        assert!(desk.open_session(hash, &account, lifetime, "company").await.expect("answers"));
        assert_eq!(has().await, expected, "{subject}");
        let session = desk.session(hash, lifetime.idle, true).await.expect("reads").expect("alive");
        assert_eq!(session.account.identity, account.identity);
    }
    assert!(admit(&desk, newcomer("3", &[], Role::Auditor, None)).await.is_some(), "the last administrator may lose the role");
    assert!(!has().await);
}

async fn local(desk: &DeskStore, name: &str, role: Role, tenant: Option<&str>) {
    let (tenant, password_hash) = (tenant.map(str::to_owned), Some(format!("hash of {name}")));
    let new = NewAccount { name: name.into(), role, tenant, password_hash, must_change: false };
    assert!(desk.create(new, "start").await.expect("answers"));
}

pub async fn one_administrator_of_every_tenant_stays(databases: &impl Databases) {
    let desk = databases.empty().await;
    local(&desk, "anna", Role::Admin, None).await;
    local(&desk, "bound", Role::Admin, Some("north")).await;
    local(&desk, "olga", Role::Underwriter, None).await;
    let demote =
        async |name: &str, tenant: Option<&str>| desk.set_role(name, Role::Analyst, tenant, "anna").await.expect("answers");
    let bind = async |name: &str| desk.set_role(name, Role::Admin, Some("north"), "anna").await.expect("answers");
    let disable = async |name: &str| desk.set_disabled(name, true, "anna").await.expect("answers");
    assert!(!demote("anna", None).await && !bind("anna").await && !disable("anna").await, "the bound one does not count");
    assert!(disable("bound").await && disable("olga").await && demote("bound", Some("north")).await, "others do as they like");
    assert!(!disable("nobody").await && !demote("nobody", None).await);
    assert!(desk.set_role("anna", Role::Admin, None, "anna").await.expect("answers"), "as it was");
    // Two who take each other's place away at once: one of them stays.
    local(&desk, "boris", Role::Admin, None).await;
    let admins = "SELECT count(*) FROM accounts WHERE role = 'admin' AND tenant IS NULL AND is_disabled = 0";
    for round in 0..20 {
        let (one, two) = match round % 3 {
            0 => tokio::join!(disable("anna"), disable("boris")),
            1 => tokio::join!(demote("anna", None), bind("boris")),
            _ => tokio::join!(disable("boris"), demote("anna", None)),
        };
        let left: u64 = desk.db().first(admins, vec![]).await.expect("reads").expect("a row").get(0).expect("a number");
        assert!(one != two && left == 1, "round {round}: {one} {two} {left}");
        for name in ["anna", "boris"] {
            assert!(desk.set_role(name, Role::Admin, None, "start").await.expect("answers"));
            assert!(desk.set_disabled(name, false, "start").await.expect("answers"));
        }
    }
}

pub async fn a_session_of_an_old_password_does_not_outlive_it(databases: &impl Databases) {
    let desk = databases.empty().await;
    local(&desk, "olga", Role::Admin, None).await;
    let lifetime = Lifetime { idle: Duration::from_secs(60), absolute: Duration::from_secs(60) };
    let sessions = async || -> u64 {
        let found = desk.db().first("SELECT count(*) FROM sessions", vec![]).await.expect("reads");
        found.expect("a row").get(0).expect("a number")
    };
    for round in 0..20u8 {
        let seen = desk.account("olga").await.expect("reads").expect("is there");
        let password = format!("password {round}");
        // The log-in has found the old password right, and meanwhile it is reset.
        let (reset, opened) = tokio::join!(
            desk.set_password("olga", &password, true, "anna"),
            desk.open_session([round; 32], &seen, lifetime, "password")
        );
        assert!(reset.expect("answers"));
        opened.expect("answers");
        assert_eq!(sessions().await, 0, "round {round}");
        assert!(!desk.open_session([round; 32], &seen, lifetime, "password").await.expect("answers"), "too late");
    }
    let now = desk.account("olga").await.expect("reads").expect("is there");
    assert!(desk.open_session([99; 32], &now, lifetime, "password").await.expect("answers"));
    local(&desk, "anna", Role::Admin, None).await;
    assert!(desk.set_disabled("olga", true, "anna").await.expect("answers"));
    assert!(!desk.open_session([98; 32], &now, lifetime, "password").await.expect("answers"));
    assert_eq!(sessions().await, 0);
}

pub async fn what_is_done_to_accounts_is_in_the_audit_with_it(databases: &impl Databases) {
    let desk = databases.empty().await;
    for name in ["anna", "boris"] {
        local(&desk, name, Role::Admin, None).await;
    }
    let boris = desk.account("boris").await.expect("reads").expect("is there");
    let lifetime = Lifetime { idle: Duration::from_secs(60), absolute: Duration::from_secs(60) };
    assert!(desk.open_session([1; 32], &boris, lifetime, "password").await.expect("answers"));
    desk.log_out("boris", [1; 32], false).await.expect("answers");
    assert!(desk.set_password("boris", "his own", false, "boris").await.expect("answers"));
    assert!(desk.set_password("boris", "anna's", true, "anna").await.expect("answers"));
    assert!(desk.set_role("boris", Role::Auditor, Some("north"), "anna").await.expect("answers"));
    assert!(desk.set_disabled("boris", true, "anna").await.expect("answers"));
    assert!(!desk.set_disabled("anna", true, "anna").await.expect("answers"), "refused, and not in the audit");
    let ivan = admit(&desk, newcomer("1", &["ivan"], Role::Analyst, None)).await.expect("admitted").account;
    admit(&desk, newcomer("1", &["ivan"], Role::Analyst, None)).await.expect("as it was");
    assert!(!desk.set_password("ivan", "a password", true, "anna").await.expect("answers"), "an account of the company");
    assert_eq!(ivan.name, "ivan");
    // Where the audit cannot be written nothing is done.
    desk.db().run("UPDATE audit_head SET id = 0, seq = -1", vec![]).await.expect("spoiled");
    desk.db()
        .run(
            "INSERT INTO audit (seq, at, actor, action, subject, detail, prev, hash) VALUES (0, 0, '', '', '', '{}', '', '')",
            vec![],
        )
        .await
        .expect("spoiled");
    desk.set_disabled("boris", false, "anna").await.expect_err("no entry");
    assert!(desk.account("boris").await.expect("reads").expect("is there").is_disabled);
    desk.db().run("DELETE FROM audit WHERE seq = 0", vec![]).await.expect("mended");
    let entries = desk.audit_page(AuditFilter::default(), None, 99).await.expect("reads").entries;
    let told: Vec<String> = entries.iter().rev().map(|of| format!("{} {} {}", of.actor, of.action, of.subject)).collect();
    let expected = [
        "start account.create anna",
        "start account.create boris",
        "boris session.open boris",
        "boris session.close boris",
        "boris account.password boris",
        "anna account.password_reset boris",
        "anna account.role boris",
        "anna account.disable boris",
        "ivan account.create ivan",
    ];
    assert_eq!(told, expected);
}

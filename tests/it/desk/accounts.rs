//! Accounts of the company's people.

use std::time::Duration;

use quoteguard::adapters::desk::DeskStore;
use quoteguard::pipeline::access::{Access, Admitted, Lifetime, NewAccount, Newcomer, Role};
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
    assert!(desk.create(local).await.expect("answers"));
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

    assert!(desk.set_disabled("olga-1", true).await.expect("answers"));
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
        desk.open_session(hash, &account.name, lifetime).await.expect("opened");
        assert_eq!(has().await, expected, "{subject}");
        let session = desk.session(hash, lifetime.idle, true).await.expect("reads").expect("alive");
        assert_eq!(session.account.identity, account.identity);
    }
    assert!(admit(&desk, newcomer("3", &[], Role::Auditor, None)).await.is_some(), "the last administrator may lose the role");
    assert!(!has().await);
}

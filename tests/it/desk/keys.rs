//! Keys of the API on the desk.

use std::time::Duration;

use quoteguard::adapters::desk::DeskStore;
use quoteguard::pipeline::api_keys::{
    Actor, ApiKeys, Fault, Fresh, KeyState, Limit, ListedKey, NewKey, NotDone, OVERLAP_MAX, Permission,
};
use quoteguard::pipeline::desk::{AuditFilter, AuditVerdict, Desk};

use super::Databases;

const HOUR: Duration = Duration::from_secs(3_600);

fn fresh() -> Fresh {
    Fresh::new().expect("random")
}

fn new(name: &str, tenant: &str) -> NewKey {
    let (may, limit) = (vec![Permission::Checks, Permission::Rulings], Limit { per_sec: Some(50), burst: None });
    NewKey { name: name.into(), tenant: tenant.into(), may, limit, expires_days: None }
}

fn anna() -> Actor {
    Actor { name: "anna".into(), tenant: None }
}

async fn create(desk: &DeskStore, new: NewKey) -> (Fresh, Result<(), NotDone>) {
    let key = fresh();
    let done = desk.create_api_key(&key, new, anna(), true).await.expect("answers");
    (key, done)
}

async fn listed(desk: &DeskStore, of: &Fresh) -> ListedKey {
    desk.api_keys(None).await.expect("reads").into_iter().find(|key| key.id == of.id).expect("is listed")
}

pub async fn keys_are_made_rotated_and_revoked_with_their_audit(databases: &impl Databases) {
    let desk = databases.empty().await;
    let nothing = desk.api_keys_in_force().await.expect("reads");
    assert!(!nothing.is_closed && nothing.keys.is_empty());
    let first = fresh();
    let silent = desk.create_api_key(&first, new("site", "north"), anna(), false).await.expect("answers");
    assert_eq!(silent, Err(NotDone::WouldClose));
    assert_eq!(desk.api_keys_version().await.expect("reads"), nothing.version, "nothing was done");
    let (site, done) = create(&desk, NewKey { expires_days: Some(30), ..new("site", "north") }).await;
    assert_eq!(done, Ok(()));
    let held = desk.api_keys_in_force().await.expect("reads");
    assert!(held.is_closed && held.version > nothing.version);
    let [key] = &*held.keys else { panic!("one key: {held:?}") };
    assert_eq!((key.id, key.hash, key.name.as_str(), key.tenant.as_str()), (site.id, site.hash(), "site", "north"));
    assert_eq!((&*key.may, key.limit.per_sec, key.limit.burst), (&[Permission::Checks, Permission::Rulings][..], Some(50), None));
    let month = 30 * 24 * HOUR;
    assert!(key.expires_in.is_some_and(|left| left <= month && left > month - HOUR), "{key:?}");
    assert_eq!(create(&desk, new("site", "south")).await.1, Err(NotDone::NameTaken));
    assert_eq!(create(&desk, new("S", "south")).await.1, Err(NotDone::Fault(Fault::Name)));

    // Both hold for an hour, and the new one lives as long as the old one was given.
    let second = fresh();
    assert_eq!(desk.rotate_api_key(site.id, &second, anna(), HOUR).await.expect("answers"), Ok(()));
    let (old, now) = (listed(&desk, &site).await, listed(&desk, &second).await);
    assert_eq!((old.state, now.state, now.rotated_from), (KeyState::Replaced, KeyState::InForce, Some(site.id)));
    assert_eq!((&now.name, &now.tenant, &now.may, now.limit), (&old.name, &old.tenant, &old.may, old.limit));
    let held = desk.api_keys_in_force().await.expect("reads").keys;
    let left = |of: &Fresh| held.iter().find(|key| key.id == of.id).and_then(|key| key.expires_in).expect("ends");
    assert!(left(&site) <= HOUR && left(&second) > month - HOUR, "{held:?}");
    assert_eq!(desk.rotate_api_key(site.id, &fresh(), anna(), HOUR).await.expect("answers"), Err(NotDone::Replaced));

    // Without overlap, and never longer than it had.
    let third = fresh();
    assert_eq!(desk.rotate_api_key(second.id, &third, anna(), Duration::ZERO).await.expect("answers"), Ok(()));
    assert_eq!(listed(&desk, &second).await.state, KeyState::Expired);
    assert_eq!(desk.rotate_api_key(second.id, &fresh(), anna(), HOUR).await.expect("answers"), Err(NotDone::Ended));
    let (brief, _) = create(&desk, NewKey { expires_days: Some(1), ..new("brief", "north") }).await;
    let ends = listed(&desk, &brief).await.expires_at;
    assert_eq!(desk.rotate_api_key(brief.id, &fresh(), anna(), OVERLAP_MAX).await.expect("answers"), Ok(()));
    assert_eq!(listed(&desk, &brief).await.expires_at, ends);

    assert_eq!(desk.revoke_api_key(third.id, anna()).await.expect("answers"), Ok(()));
    assert_eq!(desk.revoke_api_key(third.id, anna()).await.expect("answers"), Err(NotDone::Ended));
    assert_eq!(desk.revoke_api_key(fresh().id, anna()).await.expect("answers"), Err(NotDone::NoKey));
    assert_eq!(listed(&desk, &third).await.state, KeyState::Revoked);
    assert!(desk.api_keys_in_force().await.expect("reads").keys.iter().all(|key| key.id != third.id));
    assert_eq!(create(&desk, new("site", "south")).await.1, Err(NotDone::NameTaken), "the first one of the rotation still holds");
    assert_eq!(desk.revoke_api_key(site.id, anna()).await.expect("answers"), Ok(()));
    assert_eq!(create(&desk, new("site", "south")).await.1, Ok(()), "the name is free");

    let filter = AuditFilter { action: Some("key".into()), ..AuditFilter::default() };
    let entries = desk.audit_page(filter, None, 99).await.expect("reads").entries;
    let acts: Vec<&str> = entries.iter().rev().map(|entry| entry.action.as_str()).collect();
    let expected =
        ["key.create", "key.rotate", "key.rotate", "key.create", "key.rotate", "key.revoke", "key.revoke", "key.create"];
    assert_eq!(acts, expected, "what was refused is not there");
    assert!(entries.iter().all(|entry| entry.actor == "anna"));
    assert!(matches!(desk.audit_verify().await.expect("reads"), AuditVerdict::Whole { .. }));
}

pub async fn keys_are_listed_and_changed_by_tenant(databases: &impl Databases) {
    let desk = databases.empty().await;
    let ((north, _), (south, _)) = (create(&desk, new("site", "north")).await, create(&desk, new("broker", "south")).await);
    let (rules, _) = create(&desk, NewKey { may: vec![Permission::Rules], ..new("analyst", "north") }).await;
    let bound = Actor { name: "boris".into(), tenant: Some("north".into()) };
    let seen = desk.api_keys(Some("north")).await.expect("reads");
    assert!(seen.len() == 2 && seen.iter().all(|key| key.tenant == "north"), "{seen:?}");
    for (id, expected) in [(south.id, NotDone::NoKey), (rules.id, NotDone::NotAllowed)] {
        assert_eq!(desk.revoke_api_key(id, bound.clone()).await.expect("answers"), Err(expected));
        assert_eq!(desk.rotate_api_key(id, &fresh(), bound.clone(), HOUR).await.expect("answers"), Err(expected));
    }
    for new in [new("more", "south"), NewKey { may: vec![Permission::Rules], ..new("more", "north") }] {
        let done = desk.create_api_key(&fresh(), new, bound.clone(), true).await.expect("answers");
        assert_eq!(done, Err(NotDone::NotAllowed));
    }
    assert_eq!(desk.revoke_api_key(north.id, bound).await.expect("answers"), Ok(()));
    assert_eq!(desk.api_keys_in_force().await.expect("reads").keys.len(), 2);
}

pub async fn who_is_bound_to_a_tenant_gives_nothing_that_is_of_all(databases: &impl Databases) {
    let desk = databases.empty().await;
    let bound = Actor { name: "boris".into(), tenant: Some("north".into()) };
    for (number, (permission, is_given)) in
        [(Permission::Checks, true), (Permission::Rules, false), (Permission::Rulings, true), (Permission::Ops, false)]
            .into_iter()
            .enumerate()
    {
        assert_eq!(Permission::ALL[number], permission, "each scope has its line");
        let with = |who: &str| NewKey { may: vec![permission], ..new(&format!("{who}-{number}"), "north") };
        let expected = if is_given { Ok(()) } else { Err(NotDone::NotAllowed) };
        let key = fresh();
        assert_eq!(desk.create_api_key(&key, with("theirs"), bound.clone(), true).await.expect("answers"), expected);
        let more = NewKey { may: vec![Permission::Checks, permission], ..with("beside") };
        assert_eq!(desk.create_api_key(&fresh(), more, bound.clone(), true).await.expect("answers"), expected, "{permission:?}");
        let (given, done) = create(&desk, with("ours")).await;
        assert_eq!(done, Ok(()), "{permission:?}: who is not bound gives every one");
        let rotated = desk.rotate_api_key(given.id, &fresh(), bound.clone(), HOUR).await.expect("answers");
        assert_eq!(rotated, expected, "{permission:?}: nor by a rotation");
    }
}

pub async fn one_of_two_who_do_the_same_is_refused(databases: &impl Databases) {
    let desk = databases.empty().await;
    let (site, _) = create(&desk, new("site", "north")).await;
    let (one, two) = (fresh(), fresh());
    let (first, second) =
        tokio::join!(desk.rotate_api_key(site.id, &one, anna(), HOUR), desk.rotate_api_key(site.id, &two, anna(), HOUR),);
    let mut done = [first.expect("answers"), second.expect("answers")];
    done.sort_by_key(Result::is_err);
    assert_eq!(done, [Ok(()), Err(NotDone::Replaced)]);
    let (first, second) = tokio::join!(create(&desk, new("twin", "north")), create(&desk, new("twin", "north")));
    let mut done = [first.1, second.1];
    done.sort_by_key(Result::is_err);
    assert_eq!(done, [Ok(()), Err(NotDone::NameTaken)]);
}

pub async fn the_use_of_keys_is_noted_and_changes_nothing_else(databases: &impl Databases) {
    let desk = databases.empty().await;
    let mut keys = Vec::new();
    for number in 0..20 {
        keys.push(create(&desk, new(&format!("site-{number}"), "north")).await.0);
    }
    let version = desk.api_keys_version().await.expect("reads");
    desk.note_api_keys(keys.iter().skip(1).map(|key| key.id).collect()).await.expect("noted");
    assert_eq!(listed(&desk, &keys[0]).await.last_used_at, None);
    for key in &keys[1..] {
        let key = listed(&desk, key).await;
        assert!(key.last_used_at.is_some_and(|at| at >= key.created_at), "{key:?}");
    }
    assert_eq!(desk.api_keys_version().await.expect("reads"), version, "nobody has to read anew");
}

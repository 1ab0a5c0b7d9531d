use super::*;
use crate::config::Secret;
use crate::pipeline::api_keys::Fresh;

const SHA256_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn entry(name: &str, tenant: &str, key: Option<&str>, key_sha256: Option<&str>) -> ApiKey {
    ApiKey {
        name: name.into(),
        tenant: tenant.into(),
        key: key.map(|key| Secret(key.into())),
        key_sha256: key_sha256.map(str::to_owned),
        may: vec![Permission::Checks],
        rate_per_sec: None,
        burst: None,
    }
}

fn with(keys: Vec<ApiKey>, change: impl FnOnce(&mut Http)) -> Keys {
    let mut http = Http { keys, ..Http::default() };
    change(&mut http);
    Keys::new(&http, 1)
}

fn held(fresh: &Fresh, name: &str, expires_in: Option<Duration>) -> HeldKey {
    let (may, limit) = (vec![Permission::Checks], Limit { per_sec: Some(1), burst: Some(2) });
    HeldKey { id: fresh.id, hash: fresh.hash(), name: name.into(), tenant: "t".into(), may, limit, expires_in }
}

fn read(keys: Vec<HeldKey>) -> InForce {
    InForce { version: 1, is_closed: true, keys }
}

fn ask(keys: &Keys, key: &str) -> Caller {
    let mut headers = HeaderMap::new();
    if !key.is_empty() {
        headers.insert("x-api-key", key.parse().expect("a header"));
    }
    keys.caller(&headers)
}

#[test]
fn a_key_opens_its_tenant_and_nothing_else_does() {
    let plain = entry("site", "t1", Some("0123456789abcdef"), None);
    let hashed = entry("broker", "t2", None, Some(SHA256_OF_ABC));
    let keys = with(vec![plain, hashed], |_| {});
    for (name, value, expected) in [
        ("authorization", "Bearer 0123456789abcdef", Some("t1")),
        ("authorization", "bearer abc", Some("t2")),
        ("x-api-key", "abc", Some("t2")),
        ("x-api-key", "abd", None),
        ("x-api-key", "", None),
        ("authorization", "Basic abc", None),
        ("authorization", "Bearer", None),
        ("authorization", "Bearer  abc", None),
        ("x-other", "abc", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header"));
        let tenant = match keys.caller(&headers) {
            Caller::Known(client) => Some(client.tenant),
            Caller::Unknown(_) => None,
            Caller::Anyone | Caller::NotYet => panic!("keys are configured"),
        };
        assert_eq!(tenant.as_deref(), expected, "{name}: {value}");
    }
}

#[test]
fn who_may_without_a_key_is_never_a_guess() {
    let fresh = Fresh::new().expect("random");
    let is = |keys: &Keys, key: &str| match ask(keys, key) {
        Caller::Anyone => "anyone",
        Caller::Known(_) => "known",
        Caller::Unknown(_) => "unknown",
        Caller::NotYet => "not yet",
    };
    let open = with(vec![], |_| {});
    assert_eq!((is(&open, ""), is(&open, fresh.text())), ("not yet", "not yet"), "the desk was not read");
    open.put(InForce::default());
    assert_eq!((is(&open, ""), is(&open, fresh.text()), open.is_open()), ("anyone", "anyone", true));
    open.put(read(vec![held(&fresh, "site", None)]));
    assert_eq!((is(&open, ""), is(&open, fresh.text()), open.is_open()), ("unknown", "known", false));
    open.put(read(vec![]));
    assert_eq!((is(&open, ""), is(&open, fresh.text())), ("unknown", "unknown"), "the last key is gone, and it stays closed");
    open.put(InForce::default());
    assert_eq!(is(&open, ""), "unknown", "an empty desk in place of the other");

    let required = with(vec![], |http| http.require_keys = true);
    assert_eq!((is(&required, ""), is(&required, fresh.text()), is(&required, "qg_")), ("unknown", "not yet", "unknown"));
    required.put(InForce::default());
    assert_eq!((is(&required, ""), is(&required, fresh.text())), ("unknown", "unknown"));

    let configured = with(vec![entry("site", "t", Some("0123456789abcdef"), None)], |_| {});
    assert_eq!((is(&configured, "0123456789abcdef"), is(&configured, fresh.text())), ("known", "not yet"));
}

#[test]
fn a_key_of_the_desk_ends_by_itself_and_says_who_it_was() {
    let (good, other, ended) = (Fresh::new().expect("random"), Fresh::new().expect("random"), Fresh::new().expect("random"));
    let keys = with(vec![], |_| {});
    keys.put(read(vec![held(&good, "site", Some(Duration::from_secs(3_600))), held(&ended, "late", Some(Duration::ZERO))]));
    assert!(matches!(ask(&keys, good.text()), Caller::Known(client) if &*client.name == "site"));
    for (key, expected) in [
        (ended.text(), Wrong::Ended(ended.id)),
        (other.text(), Wrong::Ended(other.id)),
        (&good.text()[..80], Wrong::Mistyped),
        ("something-else-altogether", Wrong::Other),
        ("", Wrong::Missing),
    ] {
        assert!(matches!(ask(&keys, key), Caller::Unknown(wrong) if wrong == expected), "{expected:?}");
    }
    // The id of a good key with another secret: the checksum is right, the key is not.
    let mut forged = held(&good, "site", None);
    forged.hash = other.hash();
    keys.put(read(vec![forged]));
    assert!(matches!(ask(&keys, good.text()), Caller::Unknown(Wrong::Ended(_))));
}

#[test]
fn reading_the_desk_anew_forgives_nothing_and_a_rotation_gives_no_second_share() {
    let (old, new) = (Fresh::new().expect("random"), Fresh::new().expect("random"));
    let keys = with(vec![], |_| {});
    let admit = |key: &Fresh| keys.admit(&ask(&keys, key.text()), None);
    keys.put(read(vec![held(&old, "site", None)]));
    assert!(admit(&old).is_ok());
    keys.put(read(vec![held(&old, "site", None), held(&new, "site", None)]));
    assert!(admit(&new).is_ok());
    assert!(admit(&old).is_err() && admit(&new).is_err(), "two at once, by both together");
    keys.put(read(vec![held(&new, "site", None)]));
    assert!(admit(&new).is_err());
}

#[test]
fn limits_come_from_the_key_or_from_the_configuration() {
    let mut free = entry("free", "t", Some("free-0123456789abcdef"), None);
    let mut slow = entry("slow", "t", Some("slow-0123456789abcdef"), None);
    free.rate_per_sec = Some(0);
    (slow.rate_per_sec, slow.burst) = (Some(1), Some(1));
    let plain = entry("plain", "t", Some("plain-0123456789abcdef"), None);
    let keys = with(vec![free, slow, plain], |http| (http.rate_per_sec, http.rate_burst) = (1, 3));
    let passed = |key: &str| (0..10).filter(|_| keys.admit(&ask(&keys, key), None).is_ok()).count();
    assert_eq!(["free-0123456789abcdef", "slow-0123456789abcdef", "plain-0123456789abcdef"].map(passed), [10, 1, 3]);

    let open = with(vec![], |http| http.rate_per_sec = 2);
    open.put(InForce::default());
    let from = |address: &str| open.admit(&ask(&open, ""), Some(address.parse().expect("an address"))).is_ok();
    assert!(from("192.0.2.1") && from("192.0.2.1") && !from("192.0.2.1"), "two at once");
    let others = (0..20).filter(|host| from(&format!("198.51.100.{host}"))).count();
    assert!(others >= 18, "{others} of 20 other addresses: one or two may share a meter");
}

#[test]
fn a_use_is_noted_once_a_minute() {
    let key = Fresh::new().expect("random");
    let keys = with(vec![], |_| {});
    keys.put(read(vec![held(&key, "site", None)]));
    assert!(keys.take_used().is_empty(), "it was not used");
    ask(&keys, key.text());
    ask(&keys, key.text());
    assert_eq!(keys.take_used(), [key.id]);
    ask(&keys, key.text());
    assert!(keys.take_used().is_empty(), "it was noted just now");
    keys.give_back_used(&[key.id]);
    keys.put(read(vec![held(&key, "site", None)]));
    assert_eq!(keys.take_used(), [key.id], "that could not be written");
}

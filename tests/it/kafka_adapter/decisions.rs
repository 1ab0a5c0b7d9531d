//! The tail of `decisions`: newest revisions, answers, and what was there before it began.

use std::sync::Arc;
use std::time::Duration;

use quoteguard::adapters::kafka::{DecisionsTail, Outgoing, PublishedDecision, Told, Topic};
use quoteguard::pipeline::Decisions;
use tokio::sync::oneshot;

use super::Bench;
use super::bench::PATIENCE;

fn decision(partition: i32, quote_id: &str, offsets: [u64; 2], revision: u32, answers: Option<&str>) -> Outgoing {
    let text = |number: u64| number.to_string().into_bytes();
    let mut headers = vec![
        ("decision-id", b"00".to_vec()),
        ("revision", text(revision.into())),
        ("source-offset", text(offsets[0])),
        ("cause-offset", text(offsets[1])),
        ("step-index", b"0".to_vec()),
    ];
    headers.extend(answers.map(|answers| ("answers", answers.as_bytes().to_vec())));
    let value = format!(r#"{{"quote_id":"{quote_id}","revision":{revision},"tenant":"t"}}"#);
    Outgoing {
        topic: Topic::Decisions,
        partition: Some(partition),
        key: Some(quote_id.into()),
        value: Some(value.into_bytes()),
        headers,
    }
}

async fn told(waiting: oneshot::Receiver<Told>) -> Arc<PublishedDecision> {
    match tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("answered") {
        Told::Published(published) => published,
        refused @ Told::Refused { .. } => panic!("{refused:?}"),
    }
}

async fn newest(tail: &DecisionsTail, quote_id: &str) -> Option<String> {
    let found = tail.newest("t", quote_id).await.expect("read");
    found.map(|value| String::from_utf8(value).expect("text"))
}

#[tokio::test]
async fn the_tail_knows_the_newest_and_answers_those_who_wait() {
    let bench = Bench::new("tail", 2);
    let send = |record: &Outgoing| bench.producer.send_and_wait(record, PATIENCE).expect("delivered");
    send(&decision(0, "before", [0, 0], 1, None));
    send(&Outgoing { value: Some(b"not ours".to_vec()), ..decision(0, "junk", [1, 1], 1, None) });
    let tail = DecisionsTail::start(&bench.config).expect("followed");
    let waiting = tail.answer(1, 7);
    send(&decision(1, "q", [7, 7], 1, None));
    let published = told(waiting).await;
    assert_eq!((&*published.quote_id, published.source_offset, published.rejected.as_deref()), ("q", 7, None));

    // An amendment, and a duplicate that gets it: in one partition they come in order.
    let waiting = tail.answer(1, 9);
    send(&decision(1, "q", [7, 8], 2, None));
    send(&decision(1, "q", [7, 9], 2, Some("1/9")));
    let published = told(waiting).await;
    assert_eq!((published.revision, published.answers), (2, Some(9)));
    assert!(newest(&tail, "q").await.is_some_and(|json| json.contains(r#""revision":2"#)));
    assert_eq!(newest(&tail, "unknown").await, None);
    let before = told(tail.answer(0, 0)).await;
    assert_eq!(&*before.quote_id, "before", "it was there when the tail began");
    let nobody = tokio::time::timeout(Duration::from_millis(200), tail.answer(0, 7)).await;
    assert!(nobody.is_err(), "another partition's record");
}

//! The control topic: books by compare-and-set, epochs, pointers.

use std::thread;
use std::time::Duration;

use quoteguard::adapters::kafka::{Control, ControlBook, From, KafkaError, Published, Topic};

use super::Bench;
use super::bench::PATIENCE;

fn control(bench: &Bench) -> Control {
    Control::start(&bench.config, bench.producer.clone()).expect("followed")
}

fn accepted(published: Published) -> ControlBook {
    match published {
        Published::Accepted(book) => book,
        Published::Overtaken(book) => panic!("overtaken by {book:?}"),
    }
}

#[test]
fn of_two_publishers_exactly_one_wins() {
    let bench = Bench::new("cas", 1);
    let (one, two) = (control(&bench), control(&bench));
    assert_eq!(one.log(), two.log());
    for after in 0..10 {
        let published = thread::scope(|scope| {
            [&one, &two]
                .map(|control| {
                    scope.spawn(move || control.publish_book(&format!("book {after}"), 255, after, "a test").expect("known"))
                })
                .map(|publisher| publisher.join().expect("no panic"))
        });
        let winners: Vec<&ControlBook> =
            published.iter().filter_map(|it| if let Published::Accepted(book) = it { Some(book) } else { None }).collect();
        assert_eq!(winners.len(), 1, "{published:?}");
        let (Published::Accepted(winner) | Published::Overtaken(winner)) = &published[0];
        assert_eq!(winner, winners[0], "both know which");
        assert_eq!((winner.version, winner.hash.as_str()), (after + 1, "00000000000000ff"));
    }
    let late = control(&bench);
    assert_eq!(late.books_after(0), one.books_after(0));
    let books = late.books_after(0);
    assert_eq!(books.len(), 10);
    assert_eq!(late.books_after(3), books[3..]);
    assert_eq!(late.book_up_to(books[4].offset).as_ref(), Some(&books[4]));
    assert_eq!(late.book_up_to(books[4].offset - 1).as_ref(), Some(&books[3]));
    assert_eq!(late.last_book().as_ref(), books.last());
}

#[test]
fn a_book_on_an_old_base_is_overtaken() {
    let bench = Bench::new("base", 1);
    let control = control(&bench);
    let first = accepted(control.publish_book("a", 1, 0, "a test").expect("known"));
    let second = accepted(control.publish_book("b", 2, 1, "a test").expect("known"));
    assert!(second.offset > first.offset);
    assert_eq!(control.publish_book("c", 3, 1, "a test").expect("known"), Published::Overtaken(second.clone()));
    assert_eq!(control.last_book(), Some(second));
}

#[test]
fn epochs_rise_whoever_claims() {
    let bench = Bench::new("epochs", 2);
    let (one, two) = (control(&bench), control(&bench));
    let mut last = 0;
    for round in 0..6 {
        let claimer = if round % 2 == 0 { &one } else { &two };
        let epoch = claimer.publish_claim(round % 2, "instance").expect("claimed");
        assert!(epoch > last, "{epoch} after {last}");
        last = epoch;
    }
    assert!(one.wait_for(last, PATIENCE).expect("followed"));
    assert_eq!(one.next_offset(), last + 1);
    assert!(!one.wait_for(last + 1, Duration::from_millis(300)).expect("followed"), "it does not exist");
}

#[test]
fn a_pointer_is_a_record_of_its_partition() {
    let bench = Bench::new("pointer", 2);
    let delivered = control(&bench).publish_pointer(1, 42).expect("delivered");
    assert_eq!(delivered.partition, 1);
    assert_eq!(bench.read(Topic::Quotes, 1, From::Beginning).0, [(0, r#"{"control_offset":42}"#.to_owned())]);
}

#[test]
fn a_topic_that_names_no_log_is_refused() {
    let bench = Bench::bare("unnamed");
    let refused = Control::start(&bench.config, bench.producer.clone()).map(|_| ());
    assert!(matches!(&refused, Err(KafkaError::Refused(why)) if why.contains("topics create")), "{refused:?}");
}

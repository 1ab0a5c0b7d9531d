//! Kafka: a partition of `quotes` is the log, `decisions` is the sink, `quoteguard.control` holds rule books and claims.
//!
//! Everything blocks the calling thread; nothing here needs a runtime.

mod client;
mod consumer;
mod control;
mod decisions;
mod error;
mod feed;
mod producer;
mod read;
mod settings;
mod topics;

pub use client::RawRecord;
pub use consumer::{Assignment, Command, Commands, ConsumerHandle, Event, Fetched, PartitionError, Release, StartAt, start};
pub use control::{Control, ControlBook, ControlCopy, ControlRecord, ControlRuling, LogInfo, Published, between, pointer};
pub use decisions::{DecisionsTail, PublishedDecision, Told};
pub use error::KafkaError;
pub use feed::TopicFeed;
pub use producer::{Delivered, DeliveryError, OnDelivery, Outgoing, Producer, SendError, Unsent};
pub use read::{From, Item, ReadEnd, Reader, read};
pub use settings::{KafkaConfig, Password, Sasl, Security, Topic, TopicNames};
pub use topics::{CreateOptions, Created, Finding, Needs, Severity, check, create};

//! Making the topics, and saying in words what is wrong with those that are there.

mod judge;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

pub use judge::{Finding, Needs, Severity};

use super::client::Quiet;
use super::control::{ControlRecord, LogInfo, find_log, outgoing};
use super::error::KafkaError;
use super::producer::Producer;
use super::read::Reader;
use super::settings::{KafkaConfig, Topic};
use crate::pipeline::random::random_id;
use judge::{Facts, judge};

/// Partitions when none are asked for.
const PARTITIONS_DEFAULT: u32 = 4;
/// A dead letter is the record with more headers, so it may be larger.
const DEAD_LETTER_BYTES_MAX: &str = "2097152";
const PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// Of `quotes`, `decisions` and `referrals`; `None`: 4, or what is there. It can never be changed.
    pub partitions: Option<u32>,
    /// Copies of each partition; `None`: the brokers' default.
    pub replication: Option<u16>,
    /// How long `quotes`, `decisions` and `referrals` keep a record.
    pub retention_ms: i64,
    /// Fixed for the life of the log, by configuration key.
    pub settings: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    pub log: LogInfo,
    /// Topics that were not there.
    pub new: Vec<String>,
    /// Whether the log got its id now.
    pub is_new_log: bool,
}

/// Makes what is missing and gives the log its id; what is there stays as it is.
///
/// # Errors
/// No brokers, no right, or a topic that has another number of partitions than is asked for.
pub fn create(config: &KafkaConfig, options: &CreateOptions) -> Result<Created, KafkaError> {
    let admin = admin(config)?;
    let there = facts(config, &admin)?;
    let count = match (options.partitions, there.get(&Topic::Quotes).map(|facts| facts.partitions)) {
        (Some(asked), Some(found)) if asked != found => {
            let quotes = &config.topics.quotes;
            return Err(KafkaError::Refused(format!(
                "{quotes} has {found} partitions, not {asked}; another number would move tenants: leave --partitions out"
            )));
        }
        (asked, found) => found.or(asked).unwrap_or(PARTITIONS_DEFAULT),
    };
    let missing: Vec<Topic> = Topic::ALL.into_iter().filter(|topic| !there.contains_key(topic)).collect();
    let new = make(config, &admin, &missing, count, options)?;
    let (log, is_new_log) = match find_log(config)? {
        Some(log) => (log, false),
        None => (name_log(config, count, options)?, true),
    };
    Ok(Created { log, new, is_new_log })
}

/// What is wrong with the topics as they are; empty when nothing is.
pub fn check(config: &KafkaConfig, needs: Needs) -> Result<Vec<Finding>, KafkaError> {
    let facts = facts(config, &admin(config)?)?;
    let log = match facts.get(&Topic::Control) {
        Some(_) => find_log(config)?,
        None => None,
    };
    Ok(judge(&config.topics, &facts, log.as_ref(), needs))
}

fn admin(config: &KafkaConfig) -> Result<AdminClient<Quiet>, KafkaError> {
    config.client(&[], &[])?.create_with_context(Quiet::of(config)).map_err(|error| KafkaError::of("starting the client", &error))
}

fn waiting() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

/// The topics that are there.
fn facts(config: &KafkaConfig, admin: &AdminClient<Quiet>) -> Result<BTreeMap<Topic, Facts>, KafkaError> {
    let failed = |error| match KafkaError::of("looking at the topics", &error) {
        // Only a consumer's events tell why.
        error @ KafkaError::Unavailable(_) => match Reader::open(config, Topic::Quotes).and_then(|reader| reader.partitions()) {
            Err(refused @ KafkaError::Refused(_)) => refused,
            Err(_) | Ok(_) => error,
        },
        error => error,
    };
    let mut facts = BTreeMap::new();
    for topic in Topic::ALL {
        let name = config.topics.name(topic);
        let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE).map_err(failed)?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == name) else { continue };
        match found.error().map(Code::from) {
            None => {}
            Some(Code::UnknownTopicOrPartition) => continue,
            Some(code) => return Err(failed(ClientError::MetadataFetch(code))),
        }
        let partitions = u32::try_from(found.partitions().len()).unwrap_or(u32::MAX);
        let copies = found.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or(0);
        facts.insert(topic, Facts { partitions, copies, config: describe(admin, name)? });
    }
    Ok(facts)
}

fn describe(admin: &AdminClient<Quiet>, name: &str) -> Result<BTreeMap<String, String>, KafkaError> {
    let doing = || format!("the configuration of {name}");
    let described = block_on(admin.describe_configs(&[ResourceSpecifier::Topic(name)], &waiting()));
    let described = described.map_err(|error| KafkaError::of(&doing(), &error))?;
    let mut config = BTreeMap::new();
    for resource in described {
        let resource = resource.map_err(|code| KafkaError::of(&doing(), &ClientError::Global(code)))?;
        config.extend(resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))));
    }
    Ok(config)
}

/// Gives the names of those that were really made; another may have been quicker.
fn make(
    config: &KafkaConfig,
    admin: &AdminClient<Quiet>,
    missing: &[Topic],
    count: u32,
    options: &CreateOptions,
) -> Result<Vec<String>, KafkaError> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let retention = options.retention_ms.to_string();
    let copies = options.replication.map_or(-1, i32::from);
    let wide = i32::try_from(count).unwrap_or(i32::MAX);
    let new = missing.iter().map(|topic| {
        let partitions = if matches!(topic, Topic::Control | Topic::DeadLetters) { 1 } else { wide };
        let new = NewTopic::new(config.topics.name(*topic), partitions, TopicReplication::Fixed(copies))
            .set("cleanup.policy", "delete");
        let new = new.set("message.timestamp.type", "LogAppendTime");
        match topic {
            Topic::Control => new.set("retention.ms", "-1").set("retention.bytes", "-1"),
            Topic::DeadLetters => new.set("retention.ms", &retention).set("max.message.bytes", DEAD_LETTER_BYTES_MAX),
            _ => new.set("retention.ms", &retention).set("retention.bytes", "-1"),
        }
    });
    let new: Vec<NewTopic<'_>> = new.collect();
    let made = block_on(admin.create_topics(&new, &waiting())).map_err(|error| KafkaError::of("creating the topics", &error))?;
    let mut names = Vec::new();
    for result in made {
        match result {
            Ok(name) => names.push(name),
            Err((_, Code::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(KafkaError::Refused(format!(
                    "{name} was not created: {code}; check --partitions and --replication, and the right to CREATE topics"
                )));
            }
        }
    }
    until_known(config, admin, missing)?;
    Ok(names)
}

/// A broker that is asked next may not have heard of new topics yet.
fn until_known(config: &KafkaConfig, admin: &AdminClient<Quiet>, topics: &[Topic]) -> Result<(), KafkaError> {
    let deadline = Instant::now() + PATIENCE;
    for name in topics.iter().map(|topic| config.topics.name(*topic)) {
        let has_leaders = || {
            let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE).ok()?;
            let found = metadata.topics().iter().find(|found| found.name() == name && found.error().is_none())?;
            let partitions = found.partitions();
            (!partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0)).then_some(())
        };
        while has_leaders().is_none() {
            if Instant::now() >= deadline {
                return Err(KafkaError::Unavailable(format!("{name} was created and has no leader yet; run the command again")));
            }
            thread::sleep(TICK);
        }
    }
    Ok(())
}

/// Writes a `log` record and gives the first one there is: of two commands at the same time one wins.
fn name_log(config: &KafkaConfig, partitions: u32, options: &CreateOptions) -> Result<LogInfo, KafkaError> {
    let log_id = random_id().map_err(|error| KafkaError::Unavailable(format!("no randomness: {error}")))?;
    let record = ControlRecord::Log { log_id, partitions, settings: options.settings.clone() };
    let written = Producer::new(config)?.send_and_wait(&outgoing(&record), PATIENCE);
    written.map_err(|error| KafkaError::Unavailable(format!("naming the log in {}: {error}", config.topics.control)))?;
    find_log(config)?
        .ok_or_else(|| KafkaError::Unavailable(format!("the name of the log is not in {} yet", config.topics.control)))
}

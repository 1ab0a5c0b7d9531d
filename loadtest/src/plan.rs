//! Which episodes make up a workload, and when each begins.

use std::collections::BTreeMap;

use crate::adversary;
use crate::calendar::DAY_MS;
use crate::confounders as c;
use crate::episode::{Episode, Item};
use crate::honest;
use crate::rng::Rng;
use crate::schemes;
use crate::truth::{Class, Kind};
use crate::tweak::Op;

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    pub seed: u64,
    /// Lines of the quotes file, retries included.
    pub quotes: usize,
    pub mix: Mix,
    /// Length of the period.
    pub days: u32,
    /// Tenants that the episodes are spread over, each whole in one; 0 names none.
    pub tenants: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    Normal,
    Stress,
    /// Every second quote belongs to a campaign.
    Attack,
    /// [`Mix::Normal`], all of it from one source and one address; its labels are worth nothing.
    HotBlock,
    /// Strangers only.
    KeyFlood,
}

/// The groups that have a fixed share of the quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    Single,
    Requote,
    Correction,
    Confounder,
    Manipulated,
}

impl Mix {
    pub fn shares(self) -> [(Group, f64); 5] {
        let [single, requote, correction, confounder, manipulated] = match self {
            Mix::Normal | Mix::HotBlock => [0.55, 0.30, 0.06, 0.06, 0.03],
            Mix::Attack => [0.29, 0.15, 0.03, 0.03, 0.50],
            Mix::KeyFlood => [1.0, 0.0, 0.0, 0.0, 0.0],
            Mix::Stress => [0.51, 0.28, 0.055, 0.055, 0.10],
        };
        [
            (Group::Single, single),
            (Group::Requote, requote),
            (Group::Correction, correction),
            (Group::Confounder, confounder),
            (Group::Manipulated, manipulated),
        ]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Honest(Class),
    Manipulated(Kind),
}

/// One episode of the plan. Its content follows from the seed and `index`, so it is made twice: here for its length, later for good.
#[derive(Clone, Copy, Debug)]
pub struct Scheduled {
    /// Milliseconds from the start of the period.
    pub start_ms: i64,
    pub index: u64,
    pub task: Task,
    /// Shrinks an episode that is longer than the period; else 1.
    pub scale: f64,
}

/// Nothing begins in the first minutes, so that no event time lies before the period.
const MARGIN_MS: i64 = 15 * 60_000;
/// A flooding costs as many quotes as a dozen other episodes: it comes once in so many rounds of the kinds.
const FLOOD_EVERY: u32 = 3;

/// The whole plan, in order of start.
pub fn plan(config: &Config) -> Vec<Scheduled> {
    let mut rng = Rng::stream(config.seed, u64::MAX);
    let mut chooser = Chooser { kinds: Vec::new(), round: 0, actors: BTreeMap::new(), twice: false };
    let mut counts = config.mix.shares().map(|(group, share)| (group, share, 0usize));
    let mut total = 0;
    let mut out = Vec::new();
    let mut index = 0;
    while total < config.quotes {
        let behind = |(_, share, count): &(Group, f64, usize)| share * (total as f64 + 1.0) - *count as f64;
        let next = (0..counts.len()).max_by(|&a, &b| behind(&counts[a]).total_cmp(&behind(&counts[b]))).unwrap_or(0);
        let mut task = chooser.next(counts[next].0, &mut rng);
        let mut items = run(config.seed, index, task);
        let mut group = next;
        if total + items.len() > config.quotes {
            (task, group) = (Task::Honest(Class::Single), 0);
            items = run(config.seed, index, task);
        }
        chooser.count(task, &items);
        counts[group].2 += items.len();
        total += items.len();
        let span = items.iter().map(|item| item.arrival_ms).max().unwrap_or(0);
        out.push(schedule(&mut rng, config, span, index, task));
        index += 1;
    }
    out.sort_by_key(|scheduled| (scheduled.start_ms, scheduled.index));
    out
}

fn schedule(rng: &mut Rng, config: &Config, span_ms: i64, index: u64, task: Task) -> Scheduled {
    // People ask by day; weights by hour, Moscow time being UTC+3.
    #[rustfmt::skip]
    const HOURS: [(i64, f64); 24] = [
        (0, 0.6), (1, 0.5), (2, 0.5), (3, 0.8), (4, 1.6), (5, 3.0), (6, 5.0), (7, 6.5), (8, 7.0), (9, 7.0), (10, 6.8), (11, 6.8),
        (12, 6.6), (13, 6.4), (14, 6.0), (15, 5.6), (16, 5.4), (17, 5.2), (18, 5.0), (19, 4.4), (20, 3.2), (21, 2.2), (22, 1.4), (23, 0.9),
    ];
    let horizon = i64::from(config.days.max(1)) * DAY_MS - 2 * MARGIN_MS;
    let scale = if span_ms > horizon { horizon as f64 / span_ms as f64 } else { 1.0 };
    let latest = horizon - (span_ms as f64 * scale) as i64;
    let day = rng.below(config.days.max(1) as usize) as i64;
    let drawn = day * DAY_MS + rng.weighted(&HOURS) * 3_600_000 + rng.between(0, 3_599_999);
    let start_ms = if drawn <= latest { drawn } else { rng.between(0, latest.max(0)) };
    Scheduled { start_ms: start_ms + MARGIN_MS, index, task, scale }
}

/// Keeps the kinds and classes in balance.
struct Chooser {
    /// Kinds left in this round.
    kinds: Vec<Kind>,
    round: u32,
    /// Actors so far of each confounder class.
    actors: BTreeMap<Class, usize>,
    twice: bool,
}

impl Chooser {
    fn next(&mut self, group: Group, rng: &mut Rng) -> Task {
        match group {
            Group::Single => Task::Honest(Class::Single),
            Group::Requote => Task::Honest(Class::Requote),
            Group::Correction => {
                self.twice = !self.twice;
                Task::Honest(if self.twice { Class::HonestCorrectionTwice } else { Class::HonestCorrection })
            }
            Group::Confounder => {
                let so_far = |class: &Class| self.actors.get(class).copied().unwrap_or(0) / crowd(*class);
                let fewest = Class::CONFOUNDERS.iter().min_by_key(|class| so_far(class));
                Task::Honest(fewest.copied().unwrap_or(Class::Family))
            }
            Group::Manipulated => Task::Manipulated(self.next_kind(rng)),
        }
    }

    fn next_kind(&mut self, rng: &mut Rng) -> Kind {
        if self.kinds.is_empty() {
            let floods = self.round.is_multiple_of(FLOOD_EVERY);
            let drawn = |kind: &Kind| match kind {
                Kind::FloodJunk | Kind::Unflooded => false,
                Kind::Flooding => floods,
                _ => true,
            };
            self.kinds = Kind::ALL.iter().copied().filter(drawn).collect();
            rng.shuffle(&mut self.kinds);
            self.round += 1;
        }
        self.kinds.pop().unwrap_or(Kind::VinOneChar)
    }

    fn count(&mut self, task: Task, items: &[Item]) {
        if let Task::Honest(class) = task {
            let mut actors: Vec<&str> = items.iter().map(|item| item.truth.actor.as_str()).collect();
            actors.sort_unstable();
            actors.dedup();
            *self.actors.entry(class).or_default() += actors.len();
        }
    }
}

/// Classes keep equal numbers of actors, but those that come in crowds get more, or there would be a handful of crowds.
fn crowd(class: Class) -> usize {
    match class {
        Class::Broker => 5,
        Class::Dealer | Class::Office | Class::MobileIp => 2,
        _ => 1,
    }
}

/// The submissions of one episode, in order of arrival.
pub fn run(seed: u64, index: u64, task: Task) -> Vec<Item> {
    let mut ep = Episode::new(seed, index);
    match task {
        Task::Honest(class) => run_honest(&mut ep, class),
        Task::Manipulated(kind) => run_manipulated(&mut ep, kind),
    }
    ep.items
}

fn run_honest(ep: &mut Episode, class: Class) {
    match class {
        // Victims come with their poisoners and adversaries by kind; asked for alone they are single applicants.
        Class::Single | Class::Victim | Class::Manipulated => honest::single(ep),
        Class::Requote => honest::requote(ep),
        Class::HonestCorrection => honest::correction(ep),
        Class::HonestCorrectionTwice => honest::correction_twice(ep),
        Class::ComparisonShopper => honest::comparison_shopper(ep),
        Class::Family => c::family(ep),
        Class::Couple => c::couple(ep),
        Class::Twins => c::twins(ep),
        Class::FatherSon => c::father_son(ep),
        Class::Namesakes => c::namesakes(ep),
        Class::Broker => c::broker(ep),
        Class::Dealer => c::dealer(ep),
        Class::Fleet => c::fleet(ep),
        Class::Moved => c::moved(ep),
        Class::NewPhone => c::new_phone(ep),
        Class::MarriedName => c::married_name(ep),
        Class::SameModelAgain => c::same_model_again(ep),
        Class::SharedDevice => c::shared_device(ep),
        Class::MobileIp => c::mobile_ip(ep),
        Class::Office => c::office(ep),
        Class::RomanisedHonest => c::romanised_honest(ep),
        Class::YoYe => c::yo_ye(ep),
        Class::PlateReregistered => c::plate_reregistered(ep),
        Class::AggregatorFanout => c::aggregator_fanout(ep),
        Class::Retries => c::retries(ep),
    }
}

fn run_manipulated(ep: &mut Episode, kind: Kind) {
    let lead = match kind {
        Kind::VinOneChar => Op::VinOneChar,
        Kind::VinSerialStep => Op::VinSerialStep,
        Kind::VinLookalike => Op::VinLookalike,
        Kind::VinMulti => Op::VinMulti,
        Kind::VinSwap => Op::VinSwap,
        Kind::VinCheckDigitRepaired => Op::VinCheckDigitRepaired,
        Kind::HomoglyphName => Op::HomoglyphName,
        Kind::HomoglyphVin => Op::HomoglyphVin,
        Kind::HomoglyphPlate => Op::HomoglyphPlate,
        Kind::ZeroWidth => Op::ZeroWidth,
        Kind::NameEdit => Op::NameEdit,
        Kind::Romanised => Op::Romanised,
        Kind::NamePartsSwapped => Op::NamePartsSwapped,
        Kind::PatronymicDropped => Op::PatronymicDropped,
        Kind::GivenVariant => Op::GivenVariant,
        Kind::DoubleSurname => Op::DoubleSurname,
        Kind::BirthSwap => Op::BirthSwap,
        Kind::BirthDigit => Op::BirthDigit,
        Kind::BirthYear => Op::BirthYear,
        Kind::LicenceDigit => Op::LicenceDigit,
        Kind::LicenceSince => Op::LicenceSince,
        Kind::PhoneEmail => Op::PhoneEmail,
        Kind::FlatHouse => Op::FlatHouse,
        Kind::CheapRegion => Op::CheapRegion,
        Kind::YoungDriverDropped => Op::YoungDriverDropped,
        Kind::MainDriverSwapped => Op::MainDriverSwapped,
        Kind::OwnerRelative => Op::OwnerRelative,
        Kind::PlateAltered => Op::PlateAltered,
        Kind::PowerUnderstated => Op::PowerUnderstated,
        Kind::YearUnderstated => Op::YearUnderstated,
        Kind::DeviceRotation | Kind::PriceSeeker | Kind::Incognito => return adversary::varied(ep, kind),
        Kind::Combined => return adversary::combined(ep),
        Kind::SlowDrip => return adversary::slow_drip(ep),
        Kind::BackDater => return adversary::back_dater(ep),
        Kind::Flooding | Kind::FloodJunk | Kind::Unflooded => return schemes::flooding(ep),
        Kind::CopyVictim => return schemes::poisoner(ep),
        Kind::GhostBroker => return schemes::ghost_broker(ep),
    };
    adversary::single(ep, kind, lead);
}

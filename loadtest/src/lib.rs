//! The labelled workload of quoteguard: a seeded generator with truth labels, a scorer, a naive baseline and an open-loop
//! load driver. It speaks the wire format only and knows nothing of the service's insides.
//!
//! From the ground up: [`rng`] and [`calendar`]; [`data`], [`people`], [`vehicle`], [`source`] make the population; [`form`] is
//! one filled-in form, [`tariff`] prices it, [`wire`] is how it is sent. [`noise`] types it with honest slips, [`tweak`] holds
//! the single operations of picking. [`honest`], [`confounders`], [`adversary`] and [`schemes`] play whole [`episode`]s with
//! their [`truth`]; [`plan`] mixes them and [`generate`] releases them in order of arrival. [`score`] and [`naive`] judge,
//! [`http`], [`slow`], `kafka` and [`disk`] measure, sending each [`template`], while [`watch`] looks at the service; a run is kept ([`keep`])
//! as a [`record`], of which [`report`] makes a page and [`verdict`] tells which targets were met. [`demo`] shows.

pub mod adversary;
pub mod calendar;
pub mod confounders;
pub mod data;
pub mod demo;
pub mod disk;
pub mod episode;
pub mod form;
pub mod generate;
pub mod honest;
pub mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod keep;
pub mod latency;
pub mod naive;
pub mod noise;
pub mod people;
pub mod plan;
pub mod record;
pub mod report;
pub mod rng;
pub mod schemes;
pub mod score;
pub mod script;
pub mod slow;
pub mod source;
pub mod tariff;
pub mod template;
pub mod truth;
pub mod tweak;
pub mod vehicle;
pub mod verdict;
pub mod watch;
pub mod wire;

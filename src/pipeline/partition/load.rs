//! From a checkpoint back to the state that wrote it.

use std::sync::Arc;

use crate::contract::decision::ENGINE_VERSION;
use crate::engine::decide::Books;
use crate::engine::decision::RuleBookRef;
use crate::engine::rules::RuleBook;
use crate::engine::rulings::Ruling;
use crate::engine::state::{Settings, State};
use crate::pipeline::checkpoint::{Checkpoints, Manifest};
use crate::pipeline::{Segment, StoreError, fixed};

pub struct Loaded {
    pub state: State,
    pub books: Books,
    pub manifest: Manifest,
    /// Where the stored checkpoint stands; `None` when there is none and the log is read from its beginning.
    pub base: Option<u64>,
}

impl Loaded {
    /// Of a partition without a checkpoint: its log is decided from the beginning.
    pub fn fresh(settings: &Settings, partitions: u32, epoch: u64) -> Loaded {
        let (engine_version, settings_text) = (ENGINE_VERSION.into(), canonical(settings));
        let manifest = Manifest { epoch, engine_version, settings: settings_text, partitions, ..Manifest::default() };
        Loaded { state: State::new(settings.clone()), books: Books::default(), manifest, base: None }
    }
}

fn canonical(settings: &Settings) -> Box<str> {
    fixed::pairs(settings).map(|(key, value)| format!("{key} = {value}")).join("\n").into_boxed_str()
}

/// Finds what a manifest names among the control records.
pub struct Find<B, R> {
    pub book: B,
    /// By the offset of its record.
    pub ruling: R,
}

/// Loads the partition's state for the owner that claimed it with `epoch`.
///
/// # Errors
/// A store that is away, or a checkpoint that is damaged or made under other settings: nothing is guessed.
pub fn load(
    store: &mut dyn Checkpoints,
    settings: &Settings,
    partitions: u32,
    epoch: u64,
    find: Find<impl Fn(&RuleBookRef) -> Option<RuleBook>, impl Fn(u64) -> Option<Ruling>>,
) -> Result<Loaded, StoreError> {
    let Some(stored) = store.manifest()? else {
        return Ok(Loaded::fresh(settings, partitions, epoch));
    };
    check(&stored, &canonical(settings), partitions)?;
    let mut state = State::new(settings.clone());
    let mut is_first = true;
    store.segments(&mut |segment| {
        if std::mem::take(&mut is_first) {
            state.restore(segment.from, stored.arrivals, Vec::new());
        }
        take(&mut state, &segment)
    })?;
    // The owner before may have saved once more: these segments are not that manifest's.
    if store.manifest()?.as_ref() != Some(&stored) {
        return Err(StoreError::Unavailable("the checkpoint was moved while it was loaded; load it again".to_owned()));
    }
    if !is_first && state.next_offset() != stored.next_offset {
        let text = format!("the segments end at offset {}, the manifest at {}", state.next_offset(), stored.next_offset);
        return Err(StoreError::Damaged(text));
    }
    state.restore(stored.next_offset, stored.arrivals, stored.books.clone());
    let rulings = stored.rulings.iter().map(|(place, record)| {
        let missing =
            || StoreError::Damaged(format!("the ruling at offset {record} of the checkpoint is not in the control topic"));
        (find.ruling)(*record).map(|ruling| (*place, Arc::new(ruling))).ok_or_else(missing)
    });
    state.restore_rulings(rulings.collect::<Result<Vec<_>, StoreError>>()?);
    state.loaded();
    if state.held_digest() != stored.digest {
        return Err(StoreError::Damaged("the loaded state has another digest than the manifest".to_owned()));
    }
    let mut books = Books::default();
    for (_, reference) in &stored.books {
        let found = (find.book)(reference).ok_or_else(|| {
            let RuleBookRef { version, hash } = reference;
            StoreError::Damaged(format!("rule book {version} ({hash:016x}) of the checkpoint is not in the control topic"))
        })?;
        books.add(Arc::new(found));
    }
    let base = Some(stored.next_offset);
    Ok(Loaded { state, books, manifest: Manifest { epoch, ..stored }, base })
}

fn check(stored: &Manifest, settings: &str, partitions: u32) -> Result<(), StoreError> {
    let refused = |what: &str, was: &str, is: &str| {
        let text =
            format!("the checkpoint was made with {what} {was}, and this is {is}; delete the checkpoint to decide the log again");
        Err(StoreError::Refused(text))
    };
    if *stored.engine_version != *ENGINE_VERSION {
        return refused("engine version", &stored.engine_version, ENGINE_VERSION);
    }
    if *stored.settings != *settings {
        return refused("the settings", &stored.settings, settings);
    }
    if stored.partitions != partitions {
        return refused("a partition count of", &stored.partitions.to_string(), &partitions.to_string());
    }
    Ok(())
}

fn take(state: &mut State, segment: &Segment) -> Result<(), StoreError> {
    let damaged = |reason: &str| StoreError::Damaged(format!("segment at offset {}: {reason}", segment.from));
    if state.next_offset() != segment.from {
        return Err(damaged("the segment before it is missing"));
    }
    for delta in segment.read().map_err(|error| damaged(error.0))? {
        if delta.from < state.next_offset() {
            return Err(damaged("its records are not in order"));
        }
        state.load(&delta);
    }
    if state.next_offset() > segment.to {
        return Err(damaged("it does not end where it says"));
    }
    // Offsets have gaps: records that are no quotes of ours may end a segment.
    state.restore(segment.to, state.arrivals(), state.books().to_vec());
    if state.is_over_cap() {
        state.loaded();
    }
    Ok(())
}

//! The second stage: everything about a record that needs no state, on as many threads as there are cores.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use anyhow::Result;

use super::Depth;
use super::chunk::{Chunk, Ready, ReadyRecord};
use crate::adapters::file::{Refused, read_quote};
use crate::contract::quote::decode;
use crate::engine::decide::Prepared;
use crate::engine::quote::Quote;
use crate::pipeline::RecordKind;

/// Prepares chunk after chunk until there are no more or nobody listens.
pub fn run(chunks: &Receiver<Result<Chunk>>, out: &SyncSender<Result<Ready>>, depth: Depth) {
    for chunk in chunks {
        let ready = chunk.map(|chunk| {
            let records = (0..chunk.len()).map(|i| record(&chunk, i, depth)).collect();
            Ready { chunk, records }
        });
        if out.send(ready).is_err() {
            return;
        }
    }
}

fn record(chunk: &Chunk, i: usize, depth: Depth) -> ReadyRecord {
    if depth == Depth::Read {
        return ReadyRecord::Counted;
    }
    let quote = match chunk {
        Chunk::Lines(lines) if lines.records[i].is_too_long => Err(Refused::too_long()),
        Chunk::Lines(lines) => read_quote(lines.raw(i), lines.columns.as_deref()).map(|(quote, _)| quote),
        Chunk::Log(records) => match records[i].kind {
            RecordKind::RuleBook => return ReadyRecord::RuleBook,
            RecordKind::Ruling => return ReadyRecord::Ruling,
            RecordKind::Skipped => return ReadyRecord::Skipped(None),
            RecordKind::Quote => match decode(&records[i].body, Some(&records[i].tenant)) {
                Ok(decoded) => Ok(decoded.quote),
                Err(error) => Err(Refused {
                    reason: error.kind.name(),
                    pointer: error.pointer().unwrap_or_default().to_owned(),
                    error: error.to_string(),
                }),
            },
        },
    };
    match quote {
        Ok(quote) => ready(&quote, depth),
        Err(Refused { error, pointer, .. }) => ReadyRecord::Skipped(Some(Box::new(chunk.reject(i, error, pointer)))),
    }
}

fn ready(quote: &Quote, depth: Depth) -> ReadyRecord {
    if depth < Depth::Prepare {
        black_box(quote);
        return ReadyRecord::Counted;
    }
    let prepared = Arc::new(Prepared::new(quote));
    if depth < Depth::Full {
        black_box(prepared);
        return ReadyRecord::Counted;
    }
    ReadyRecord::Quote(prepared)
}

//! The last stage: decisions and rejects to their files, in log order.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::Receiver;

use anyhow::{Context, Result};

use super::chunk::Emit;
use crate::adapters::file::RejectsWriter;
use crate::contract;

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;

pub struct Writer {
    decisions: File,
    rejects: RejectsWriter,
    buffer: Vec<u8>,
}

impl Writer {
    pub fn create(decisions: &Path, rejects: &Path) -> Result<Writer> {
        let file = File::create(decisions).with_context(|| decisions.display().to_string())?;
        let rejects = RejectsWriter::create(rejects).with_context(|| rejects.display().to_string())?;
        Ok(Writer { decisions: file, rejects, buffer: Vec::with_capacity(BUFFER_BYTES * 2) })
    }

    /// Writes until there are no more chunks. On an error the receiver is dropped, which stops the stages before it.
    pub fn run(mut self, chunks: &Receiver<Emit>) -> io::Result<()> {
        for Emit { decisions, rejects } in chunks {
            for decision in &decisions {
                contract::decision::write_decision(decision, &mut self.buffer);
                self.buffer.push(b'\n');
            }
            for reject in &rejects {
                self.rejects.write(reject)?;
            }
            if self.buffer.len() >= BUFFER_BYTES {
                self.decisions.write_all(&self.buffer)?;
                self.buffer.clear();
            }
        }
        self.decisions.write_all(&self.buffer)?;
        self.rejects.flush()
    }
}

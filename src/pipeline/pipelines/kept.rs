//! The orders that hold, in a small file that is written whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Order;
use crate::pipeline::whole_file;

/// Name of each pipeline that does not run, and `paused` or `stopped`.
pub struct Kept {
    file: PathBuf,
    orders: BTreeMap<String, String>,
}

const PAUSED: &str = "paused";
const STOPPED: &str = "stopped";

impl Kept {
    /// # Errors
    /// A file that is there and is none of ours, with its name.
    pub fn open(file: PathBuf) -> Result<Kept, String> {
        let orders = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", file.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(format!("{}: {error}", file.display())),
        };
        let kept = Kept { file, orders };
        match kept.orders.values().find(|order| ![PAUSED, STOPPED].contains(&order.as_str())) {
            Some(order) => Err(format!("{}: {order} is neither {PAUSED} nor {STOPPED}", kept.file.display())),
            None => Ok(kept),
        }
    }

    pub fn get(&self, name: &str) -> Order {
        match self.orders.get(name).map(String::as_str) {
            None => Order::Run,
            Some(STOPPED) => Order::Stop,
            Some(_) => Order::Pause,
        }
    }

    /// # Errors
    /// The file cannot be written; the orders are those of before.
    pub fn set(&mut self, name: &str, order: Order) -> Result<(), String> {
        let mut orders = self.orders.clone();
        match order {
            Order::Run => orders.remove(name),
            Order::Pause => orders.insert(name.to_owned(), PAUSED.to_owned()),
            Order::Stop => orders.insert(name.to_owned(), STOPPED.to_owned()),
        };
        if orders != self.orders {
            write(&self.file, &orders).map_err(|error| format!("{}: {error}", self.file.display()))?;
            self.orders = orders;
        }
        Ok(())
    }
}

fn write(file: &Path, orders: &BTreeMap<String, String>) -> std::io::Result<()> {
    fs::create_dir_all(whole_file::folder_of(file))?;
    whole_file::write(file, &serde_json::to_vec_pretty(orders)?)
}

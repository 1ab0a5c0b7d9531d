//! One integration binary: the workload, the scorer, the driver.

mod contract;
mod driver;
mod scoring;
mod workload;

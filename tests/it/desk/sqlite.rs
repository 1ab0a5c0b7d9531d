//! The desk as a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use quoteguard::adapters::desk::{DeskStore, Keeping};
use quoteguard::vault::Vault;
use tempfile::TempDir;

use super::{Databases, keeps_the_promises};

struct Files(TempDir);

impl Databases for Files {
    async fn opened(&self, vaults: &[Arc<Vault>], keeping: Keeping) -> Vec<DeskStore> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let path = self.0.path().join(format!("{}.db", COUNT.fetch_add(1, Ordering::Relaxed)));
        let mut opened = Vec::new();
        for vault in vaults {
            opened.push(DeskStore::open_file(&path, vault.clone(), keeping).await.expect("opens"));
        }
        opened
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_the_promises_of_the_desk() {
    keeps_the_promises(&Files(tempfile::tempdir().expect("a temporary folder"))).await;
}

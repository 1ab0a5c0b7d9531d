//! From what was typed to what is compared. One module per kind of field; the raw form survives as a hash.

pub mod address;
pub mod clean;
pub mod identifier;
pub mod name;
pub mod vehicle;

/// One value made comparable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// The canonical form: equal for spellings that mean the same. Empty when not given.
    pub canonical: String,
    /// Hash of the form as written, case and spacing aside; 0 when not given.
    pub raw: u32,
    /// The canonical form was reached through a look-alike fold or by dropping invisible characters.
    pub disguised: bool,
    /// Two scripts meet in one word.
    pub mixed_script: bool,
}

/// A stable 64-bit hash (XXH3) of some bytes.
pub fn hash64(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// A stable 32-bit hash, never 0: 0 stands for "not given".
pub fn hash32(bytes: &[u8]) -> u32 {
    (hash64(bytes) as u32).max(1)
}

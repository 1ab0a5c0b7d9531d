//! Ids that nobody can guess and no two are alike.

/// 128 random bits, hex.
///
/// # Errors
/// The system gives no random numbers.
pub fn random_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

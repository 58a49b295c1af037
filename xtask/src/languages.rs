//! x
use anyhow::Result;
pub fn build() -> Result<()> {
    Ok(())
}

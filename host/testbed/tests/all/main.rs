//! What the far side's programs do for whoever runs them by hand.

#[cfg(test)]
mod testcloud;

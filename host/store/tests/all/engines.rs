//! Each engine under one name, so that every suite runs over all of them.

use std::ops::ControlFlow;
use std::path::Path;

use edgewit_store::{Batch, Engine, EngineError, Sled, Sqlite};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Sled,
}

pub const ALL: [Kind; 2] = [Kind::Sqlite, Kind::Sled];

impl Kind {
    pub fn open(self, dir: &Path) -> Box<dyn Engine> {
        match self {
            Kind::Sqlite => Box::new(Sqlite::open(dir, &Batch::new()).unwrap()),
            Kind::Sled => Box::new(Sled::open(dir, &Batch::new()).unwrap()),
        }
    }
}

pub type Rows = Vec<(Vec<u8>, Vec<u8>)>;

pub fn scan(engine: &dyn Engine, from: &[u8], to: &[u8]) -> Result<Rows, EngineError> {
    let mut rows = Rows::new();
    engine.scan(from, to, &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

/// Behind every key that the tests use.
pub const END: [u8; 9] = [0xff; 9];

pub fn everything(engine: &dyn Engine) -> Result<Rows, EngineError> {
    scan(engine, &[], &END)
}

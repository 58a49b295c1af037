//! What idle components cost in memory, by proportional set size of the whole process.

use std::time::Duration;

use anyhow::Result;

use crate::bed::{Folder, components};
use crate::figure::{Budget, Figure, median};
use crate::machine::pss;

const ROUNDS: usize = 3;
/// Long enough for whatever a start leaves behind to be given back.
const SETTLED: Duration = Duration::from_millis(500);

pub fn run() -> Result<Vec<Figure>> {
    let none = megabytes(0)?;
    let ten = megabytes(10)?;
    let hundred = megabytes(100)?;
    Ok(vec![
        Figure::alone("footprint: no component", none, "MB", Budget::None),
        Figure::alone("footprint: ten components", ten, "MB", Budget::Value(25.0)),
        Figure::alone("footprint: a hundred components", hundred, "MB", Budget::None),
    ])
}

fn megabytes(count: usize) -> Result<f64> {
    let folder = Folder::new(&components(count)?)?;
    // Compiling is not running: the second start finds everything in the cache.
    folder.spawn()?.wait_until_running()?;
    let taken = (0..ROUNDS).map(|_| {
        let process = folder.spawn()?;
        process.wait_until_running()?;
        std::thread::sleep(SETTLED);
        Ok(pss(process.id()) as f64 / 1e6)
    });
    Ok(median(taken.collect::<Result<Vec<_>>>()?.into_iter()))
}

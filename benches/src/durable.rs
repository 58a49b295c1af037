//! Publishing into a durable queue, when each publisher waits until its message is on disk.
//!
//! The baselines write what the gateway wrote: as many rows of the same bytes in as many transactions, by the same
//! engine with nothing around it, and as many bytes into a file. The rows of a batch are taken to be equally many.

use std::time::Duration;

use anyhow::Result;
use edgewit_domain::control::Command;
use edgewit_store::{Batch, Kind};

use crate::bed::Folder;
use crate::figure::{Budget, Figure, median};
use crate::store::{Bare, BareFile, Done, ENDLESS, again, key, publish, roomy, row_of_a_message, tell};

/// Many short ones: a disk that others use is another one every second.
const ROUNDS: usize = 41;
const SLICE: Duration = Duration::from_millis(60);
const PUBLISHERS: usize = 8;

pub fn run() -> Result<Vec<Figure>> {
    let (sqlite, sled) = (Taken::by(Kind::Sqlite)?, Taken::by(Kind::Sled)?);
    Ok(vec![
        Figure::beside("durable: 8 publishers", "msg/s", &sqlite.many, Budget::Share(0.6)),
        Figure::beside("durable: 8 publishers, against a bare file", "msg/s", &sqlite.many_file, Budget::None),
        Figure::beside("durable: 1 publisher", "µs", &sqlite.one, Budget::Ratio(1.5)),
        Figure::beside("durable: 1 publisher, against a bare file", "µs", &sqlite.one_file, Budget::None),
        Figure::beside("durable: sled, 8 publishers", "msg/s", &sled.many, Budget::None),
        Figure::beside("durable: sled, 8, against a bare file", "msg/s", &sled.many_file, Budget::None),
        Figure::beside("durable: sled, 1 publisher", "µs", &sled.one, Budget::None),
        Figure::beside("durable: sled, 1, against a bare file", "µs", &sled.one_file, Budget::None),
    ])
}

#[derive(Default)]
struct Taken {
    many: Vec<(f64, f64)>,
    many_file: Vec<(f64, f64)>,
    one: Vec<(f64, f64)>,
    one_file: Vec<(f64, f64)>,
}

impl Taken {
    fn by(kind: Kind) -> Result<Taken> {
        let folder = Folder::new(&format!("{}{READER}{ENDLESS}", roomy(kind)))?;
        let gateway = folder.start()?;
        tell(&gateway, Command::Stop { component: "reader".into() })?;
        publish(&gateway, "in", PUBLISHERS, SLICE)?;
        gateway.shutdown();
        let mut bare = Loop { row: row_of_a_message(&folder.store(), kind)?, bare: Bare::new(kind)?, written: 0 };
        let mut file = BareFile::new()?;
        let gateway = folder.start()?;
        tell(&gateway, Command::Stop { component: "reader".into() })?;
        let mut taken = Taken::default();
        let mut batches = Vec::new();
        for _ in 0..ROUNDS {
            let many = publish(&gateway, "in", PUBLISHERS, SLICE)?;
            batches.push(many.messages as f64 / many.commits as f64);
            taken.many.push((many.per_second(), bare.engine(many)?.per_second()));
            taken.many_file.push((many.per_second(), bare.file(many, &mut file)?.per_second()));
            let one = publish(&gateway, "in", 1, SLICE)?;
            taken.one.push((one.micros_each(), bare.engine(one)?.micros_each()));
            taken.one_file.push((one.micros_each(), bare.file(one, &mut file)?.micros_each()));
        }
        gateway.shutdown();
        eprintln!("    {kind}: {:.1} messages of 8 publishers in a transaction", median(batches.into_iter()));
        Ok(taken)
    }
}

/// Stopped, so that its queue only grows.
const READER: &str = r#"
[component.reader]
artifact = "echo.wasm"
config.to = "out"
grant.publish.out = "out"
[component.reader.subscribe.in]
filter = "in"
delivery = "durable"
"#;

/// As many rows in as many transactions, without a gateway.
struct Loop {
    row: Vec<u8>,
    bare: Bare,
    written: u64,
}

impl Loop {
    fn engine(&mut self, like: Done) -> Result<Done> {
        let engine = self.bare.engine.clone();
        self.all(like, |batch| Ok(engine.commit(batch)?))
    }

    fn file(&mut self, like: Done, file: &mut BareFile) -> Result<Done> {
        self.all(like, |batch| file.write(batch))
    }

    fn all(&mut self, like: Done, write: impl FnMut(&Batch) -> Result<()>) -> Result<Done> {
        let put = |batch: &mut Batch| {
            self.written += 1;
            batch.put(&key(1, self.written), &self.row);
        };
        again(like, put, write)
    }
}

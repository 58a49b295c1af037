//! Whatever lies in the data directory, the start neither waits for it nor fails for ever: it is replaced, or named.

use std::fs;
use std::path::PathBuf;

use edgewit_gateway::{FileError, StartError};
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::world::{World, echo};

fn pipe(path: PathBuf) {
    mkfifoat(CWD, path, Mode::RWXU).unwrap();
}

#[test]
fn a_pipe_in_the_place_of_a_file_holds_up_no_start() {
    let world = World::new(&[echo("good", "")]);
    world.run(&["good"]).assert_good();
    let entries = fs::read_dir(world.path("data/cache")).unwrap().map(|entry| entry.unwrap().path());
    for path in entries.collect::<Vec<_>>() {
        fs::remove_file(&path).unwrap();
        pipe(path.clone());
        world.run(&["good"]).assert_good();
        assert!(path.is_file(), "{} was not replaced", path.display());
    }
}

#[test]
fn what_is_in_the_place_of_the_lock_and_no_file_is_named() {
    let world = World::new(&[]);
    fs::create_dir(world.path("data")).unwrap();
    let lock = world.path("data/gateway.lock");
    let puts: [fn(PathBuf); 2] = [pipe, |path| fs::create_dir(path).unwrap()];
    for put in puts {
        put(lock.clone());
        match world.try_start() {
            Err(StartError::File(FileError::NotAFile { path })) => assert!(path.ends_with("gateway.lock")),
            other => panic!("{:?}", other.map(|_| ())),
        }
        if lock.is_dir() { fs::remove_dir(&lock).unwrap() } else { fs::remove_file(&lock).unwrap() }
    }
}

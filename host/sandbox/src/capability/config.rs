//! `wasi:config`: the component's own table of the configuration, and no other's.

use wasmtime::Result;

use crate::bindings::wasi::config::store::{Error, Host};
use crate::guest::Guest;

impl Host for Guest {
    fn get(&mut self, key: String) -> Result<Result<Option<String>, Error>> {
        Ok(Ok(self.profile.config.get(&key).cloned()))
    }

    fn get_all(&mut self) -> Result<Result<Vec<(String, String)>, Error>> {
        let entries = self.profile.config.iter();
        Ok(Ok(entries.map(|(key, value)| (key.clone(), value.clone())).collect()))
    }
}

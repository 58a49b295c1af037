//! The baseline of dispatch: the same component, called by wasmtime in a bare loop with the same delivery record.
//!
//! No grants, no limits, no deadlines, no metrics: what it costs to enter the guest, to copy the record in, and to take
//! one published message out.

use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Result, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use bindings::edgewit::pubsub::{publisher, types};
use bindings::exports::edgewit::pubsub::handler;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "edgewit:worlds/full",
        ownership: Borrowing { duplicate_if_necessary: true },
        imports: { default: trappable },
    });
}

struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    to: String,
    published: u64,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl types::Host for Host {}

impl publisher::Host for Host {
    fn publish(&mut self, message: types::MessageResult) -> Result<Result<(), types::PublishError>> {
        self.published += 1;
        drop(message);
        Ok(Ok(()))
    }
}

impl bindings::wasi::config::store::Host for Host {
    fn get(&mut self, _: String) -> Result<Result<Option<String>, bindings::wasi::config::store::Error>> {
        Ok(Ok(Some(self.to.clone())))
    }

    fn get_all(&mut self) -> Result<Result<Vec<(String, String)>, bindings::wasi::config::store::Error>> {
        Ok(Ok(vec![("to".into(), self.to.clone())]))
    }
}

impl bindings::wasi::logging::logging::Host for Host {
    fn log(&mut self, _: bindings::wasi::logging::logging::Level, _: String, _: String) -> Result<()> {
        Ok(())
    }
}

pub struct Raw {
    store: Store<Host>,
    handler: handler::Guest,
    topic: &'static str,
}

impl Raw {
    pub fn new(engine: &Engine, wasm: &[u8], topic: &'static str, to: &str) -> Result<Self> {
        let component = Component::new(engine, wasm)?;
        let mut linker = Linker::<Host>::new(engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
        bindings::wasi::config::store::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
        bindings::wasi::logging::logging::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
        types::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
        publisher::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
        let pre = linker.instantiate_pre(&component)?;
        let host = Host { wasi: WasiCtx::builder().build(), table: ResourceTable::new(), to: to.into(), published: 0 };
        let mut store = Store::new(engine, host);
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = pre.instantiate(&mut store)?;
        let handler = handler::GuestIndices::new(&pre)?.load(&mut store, &instance)?;
        Ok(Raw { store, handler, topic })
    }

    pub fn call(&mut self, payload: &[u8]) -> Result<()> {
        let delivery = types::Delivery {
            message: types::MessageParam {
                topic: self.topic,
                payload,
                qos: types::Qos::AtMostOnce,
                retain: false,
                expiry: None,
                payload_format: types::PayloadFormat::Bytes,
                content_type: None,
                response_topic: None,
                correlation_data: None,
                user_properties: &[],
            },
            id: "0123456789abcdef0123456789abcdef",
            attempt: 1,
            sequence: None,
            received_at: 1_700_000_000_000,
            clock_trusted: true,
            origin: types::Origin::Operator,
            hops: 0,
        };
        let answered = self.handler.call_on_message(&mut self.store, delivery)?;
        answered.map_err(|failure| wasmtime::Error::msg(format!("{failure:?}")))
    }

    pub fn published(&self) -> u64 {
        self.store.data().published
    }
}

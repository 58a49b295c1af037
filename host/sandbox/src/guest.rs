//! The data of a store: everything that host functions see of the instance that calls them.
//!
//! A host function can consult nothing wider than this, and this holds nothing but what the component was granted.

use std::collections::BTreeMap;
use std::sync::Arc;

use edgewit_domain::config::ComponentLimits;
use edgewit_domain::grant::Grants;
use edgewit_domain::limits;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::capability::filesystem::Preopens;
use crate::capability::http::Origins;
use crate::capability::logging::{Log, StdStream};
use crate::capability::nn::Brought;
use crate::instance::collector::Collector;
use crate::instance::deadline::Deadline;
use crate::instance::memory::MemoryLimit;
use crate::instance::notes::Notes;
use crate::services::Services;

/// What is the same for every instance of a component.
pub(crate) struct Profile {
    pub name: Arc<str>,
    pub config: BTreeMap<String, String>,
    pub grants: Grants,
    pub limits: ComponentLimits,
}

pub(crate) struct Guest {
    pub profile: Arc<Profile>,
    pub deadline: Deadline,
    pub memory: MemoryLimit,
    pub effects: Collector,
    pub notes: Notes,
    pub services: Services,
    pub log: Log,
    pub preopens: Preopens,
    pub brought: Brought,
    pub table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    origins: Origins,
}

impl Guest {
    pub fn new(profile: Arc<Profile>, services: Services) -> Self {
        let log = Log::new(profile.name.clone(), profile.limits.log_lines, services.log_dropped.clone());
        let notes = Notes::default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::HANDLES);
        let wasi = WasiCtx::builder()
            .stdout(StdStream::stdout(&log))
            .stderr(StdStream::stderr(&log, &notes))
            .allow_blocking_current_thread(true)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(64 * limits::KIB)
            .build();
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits::HTTP_FIELD_BYTES);
        Guest {
            deadline: Deadline::new(&profile.limits, services.interrupter.clone(), services.io.clone()),
            memory: MemoryLimit::new(profile.limits.memory),
            effects: Collector::new(&profile.limits),
            preopens: Preopens::new(&profile.grants, &services.dirs),
            origins: Origins::new(profile.clone(), services.fetch.clone(), log.clone(), notes.clone()),
            brought: Brought::default(),
            notes,
            services,
            log,
            table,
            wasi,
            http,
            profile,
        }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.origins }
    }
}

//! `wasi:http`: requests to granted origins, and to nothing else.
//!
//! The origin is checked before a name is resolved, and every address that it resolves to is checked again before a
//! connection is made, so that a granted name cannot be turned into a way to the inside of the network.
//! A request is not an effect: it happens once for each attempt at the handling.
//!
//! What a guest writes into a request lies in the host's memory, beyond its own limit, and it may hold as many requests
//! as it has handles. wasmtime-wasi-http bounds the fields; the setters of the rest are shadowed here by bounded ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use edgewit_domain::config::HttpGrant;
use edgewit_domain::limits::{self, HTTP_FIELD_BYTES};
use http::uri::Scheme;
use http_body_util::BodyExt;
use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi_http::p2::bindings::http::types::{HostOutgoingRequest as _, Method};
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, WasiHttpView};

use crate::bindings::wasi::logging::logging::Level;
use crate::capability::logging::Log;
use crate::guest::{Guest, Profile};
use crate::instance::notes::Notes;
use crate::services::{AddressCheck, Fetch, FetchError, FetchRequest};

/// As wasmtime-wasi-http names it: under another version this would stand beside what it is to shadow.
const TYPES: &str = "wasi:http/types@0.2.12";

/// The origins that one instance may talk to.
pub(crate) struct Origins {
    profile: Arc<Profile>,
    fetch: Arc<dyn Fetch>,
    log: Log,
    notes: Notes,
    in_flight: Arc<AtomicUsize>,
}

type Connection = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Response = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Connection), Error>> + Send>;

impl Origins {
    pub fn new(profile: Arc<Profile>, fetch: Arc<dyn Fetch>, log: Log, notes: Notes) -> Self {
        Origins { profile, fetch, log, notes, in_flight: Arc::default() }
    }

    fn granted(&self, request: &http::Request<WasiBody>) -> Result<(HttpGrant, bool, String, u16), Error> {
        let https = request.uri().scheme() != Some(&Scheme::HTTP);
        let authority = request.uri().authority().ok_or(Error::HttpRequestUriInvalid)?;
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        match self.profile.grants.http(https, &host, port) {
            Ok(grant) => Ok((grant.clone(), https, host, port)),
            Err(denied) => {
                let reason = denied.to_string();
                self.log.line(Level::Warn, "http", &reason);
                self.notes.refused(&reason);
                Err(Error::HttpRequestDenied)
            }
        }
    }

    fn address_check(&self, grant: HttpGrant) -> AddressCheck {
        let (profile, log, notes) = (self.profile.clone(), self.log.clone(), self.notes.clone());
        Arc::new(move |address| {
            profile.grants.http_address(&grant, address).map_err(|denied| {
                let reason = denied.to_string();
                log.line(Level::Warn, "http", &reason);
                notes.refused(&reason);
                reason
            })
        })
    }
}

/// Shadows what sets the texts of a request, in a linker that already has it.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: StoreContextMut<'_, Guest>, (request, method): (Resource<HostOutgoingRequest>, Method)| {
            let fits = !matches!(&method, Method::Other(name) if name.len() > HTTP_FIELD_BYTES);
            Ok((if fits { store.data_mut().http().set_method(request, method)? } else { Err(()) },))
        },
    )?;
    type Text = (Resource<HostOutgoingRequest>, Option<String>);
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store: StoreContextMut<'_, Guest>, (request, path): Text| {
            let fits = path.as_ref().is_none_or(|path| path.len() <= HTTP_FIELD_BYTES);
            Ok((if fits { store.data_mut().http().set_path_with_query(request, path)? } else { Err(()) },))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: StoreContextMut<'_, Guest>, (request, authority): Text| {
            let fits = authority.as_ref().is_none_or(|authority| authority.len() <= HTTP_FIELD_BYTES);
            Ok((if fits { store.data_mut().http().set_authority(request, authority)? } else { Err(()) },))
        },
    )
}

impl WasiHttpHooks for Origins {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        64 * limits::KIB as usize
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Connection,
    ) -> Response {
        let (grant, https, host, port) = match self.granted(&request) {
            Ok(granted) => granted,
            Err(error) => return Box::new(async { Err(error) }),
        };
        let Some(place) = Place::take(&self.in_flight) else {
            self.notes
                .refused(&format!("{} requests are under way, and no more are sent at once", limits::HTTP_IN_FLIGHT));
            return Box::new(async { Err(Error::ConnectionLimitReached) });
        };
        let timeout = |chosen: Option<Duration>| chosen.unwrap_or(self.profile.limits.wall);
        let sent = self.fetch.fetch(FetchRequest {
            request: request.map(|body| body.map_err(|error| error.to_string().into()).boxed_unsync()),
            https,
            host,
            port,
            check: self.address_check(grant),
            connect_timeout: timeout(options.and_then(|options| options.connect_timeout)),
            first_byte_timeout: timeout(options.and_then(|options| options.first_byte_timeout)),
            between_bytes_timeout: timeout(options.and_then(|options| options.between_bytes_timeout)),
        });
        Box::new(async move {
            let answer = sent.await.map_err(guest_error)?;
            let connection = answer.connection;
            let driven: Connection = Box::new(async move {
                connection.await;
                drop(place);
                Ok(())
            });
            let response = answer.response.map(|body| body.map_err(Error::Hyper).boxed_unsync());
            Ok((response, driven))
        })
    }
}

fn guest_error(error: FetchError) -> Error {
    match error {
        FetchError::Resolve => Error::DnsError { rcode: None, info_code: None },
        FetchError::AddressRefused(_) => Error::DestinationIpProhibited,
        FetchError::Connect => Error::ConnectionRefused,
        FetchError::Timeout => Error::ConnectionTimeout,
        FetchError::Certificate => Error::TlsCertificateError,
        FetchError::Protocol => Error::HttpProtocolError,
    }
}

/// One of the few requests that a component may have under way.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(in_flight: &Arc<AtomicUsize>) -> Option<Self> {
        let taken = in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < limits::HTTP_IN_FLIGHT).then_some(count + 1)
        });
        taken.is_ok().then(|| Place(in_flight.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

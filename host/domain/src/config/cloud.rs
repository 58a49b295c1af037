//! `[cloud.NAME]`: a broker beyond the local network, who we are to it, and how hard it is tried.
//!
//! What only TLS has is read where there is TLS and is a mistake elsewhere, and no secret stands here: certificate,
//! key and password are files, and an address with a user in it is refused unseen.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::mistake::{Wrong, quoted, wrong};
use super::origin::checked_host;
use super::scalar::{self, choice, file, substituted, text};
use super::source::Table;
use super::substitute::Names;
use super::values::{show_duration, show_size};
use crate::limits;
use crate::link::{Broker, BrokerError, Profile, Proxy, Rate};

/// `[cloud.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Cloud {
    pub name: Arc<str>,
    pub broker: Broker,
    pub client_id: Arc<str>,
    pub login: Option<Login>,
    /// None where the broker's scheme has no TLS.
    pub tls: Option<CloudTls>,
    /// Whole seconds.
    pub keep_alive: Duration,
    pub profile: &'static Profile,
    pub proxy: Option<Proxy>,
    pub backoff: Duration,
    pub backoff_max: Duration,
    /// What the operator permits; the profile's own limits hold beside it.
    pub rate: Rate,
    /// About shadows, in a second.
    pub shadow_requests: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    /// The file that holds it.
    pub password: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudTls {
    pub identity: Option<Identity>,
    /// A PEM file of certificate authorities, in place of the system's own.
    pub ca: Option<PathBuf>,
    /// The name that the broker's certificate has to have, where it is not the host's.
    pub server_name: Option<String>,
}

/// PEM files by which the gateway proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Cloud {
    /// Whether what is sent can be read and changed on the way.
    pub fn is_open(&self) -> bool {
        let here = match self.broker.host.parse::<std::net::IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.broker.host == "localhost",
        };
        self.tls.is_none() && !here
    }

    pub(super) fn read(t: &mut Table, name: &str) -> Option<Cloud> {
        let [generic, ..] = Profile::ALL;
        let profiles = Profile::ALL.map(|profile| (profile.name, profile));
        let profile = t.optional("profile", |value, _| choice(value, &profiles)).unwrap_or(generic);
        let broker = t.required("broker", "\"mqtts://broker.example:8883\"", broker);
        let client_id = t.optional("client-id", |value, names| client_id(value, names, profile));
        let client_id = client_id.or_else(|| t.names.thing.clone());
        let login = read_login(t);
        let tls = match &broker {
            Some(broker) if !broker.scheme.is_tls() => {
                without_tls(t);
                None
            }
            _ => Some(CloudTls::read(t)),
        };
        let keep_alive = t.optional("keep-alive", whole_seconds(profile)).unwrap_or(profile.keep_alive.default);
        let proxy = t.optional("proxy", proxy);
        let (backoff, backoff_max) = read_backoff(t);
        let (rate, shadow_requests) =
            t.table("rate", |t| (read_rate(t, profile), t.count("shadow-requests", limits::SHADOW_SYNC_RATE)));
        Some(Cloud {
            name: name.into(),
            broker: broker?,
            client_id: client_id?,
            login,
            tls,
            keep_alive,
            profile,
            proxy,
            backoff,
            backoff_max,
            rate,
            shadow_requests,
        })
    }
}

impl CloudTls {
    fn read(t: &mut Table) -> CloudTls {
        let certificate = t.optional("certificate", file);
        let key = t.optional("key", file);
        for (one, other) in [("certificate", "key"), ("key", "certificate")] {
            if t.ask(one).is_some() && t.ask(other).is_none() {
                t.mistake(other, format!("missing, and `{one}` is there"), format!("add `{other} = \"file:…\"`"));
            }
        }
        let identity = certificate.zip(key).map(|(certificate, key)| Identity { certificate, key });
        CloudTls { identity, ca: t.optional("ca", file), server_name: t.optional("server-name", host) }
    }
}

fn without_tls(t: &mut Table) {
    for key in ["certificate", "key", "ca", "server-name"] {
        if t.ask(key).is_some() {
            t.mistake(key, "the broker's address has no TLS to use it", "remove it, or write mqtts:// or wss://");
        }
    }
}

fn read_login(t: &mut Table) -> Option<Login> {
    let username = t.optional("username", substituted);
    let password = t.optional("password", file);
    if t.ask("password").is_some() && t.ask("username").is_none() {
        t.mistake("password", "there is no `username` that it belongs to", "add `username = \"…\"`, or remove it");
    }
    Some(Login { username: username?, password })
}

fn read_backoff(t: &mut Table) -> (Duration, Duration) {
    let backoff = t.duration("backoff", limits::LINK_BACKOFF);
    let backoff_max = t.duration("backoff-max", limits::LINK_BACKOFF_MAX);
    if backoff > backoff_max {
        let (first, most) = (show_duration(backoff), show_duration(backoff_max));
        t.mistake(
            "backoff",
            format!("{first} is longer than backoff-max, which is {most}"),
            format!("choose at most {most}, or raise backoff-max"),
        );
    }
    (backoff, backoff_max)
}

fn read_rate(t: &mut Table, profile: &Profile) -> Rate {
    let rate = Rate {
        messages: t.optional("messages", scalar::count(limits::LINK_RATE)),
        bytes: t.optional("bytes", scalar::size(limits::LINK_RATE)),
    };
    let mut beyond = |key: &str, chosen: Option<u64>, most: Option<u64>, show: fn(u64) -> String| {
        if let (Some(chosen), Some(most)) = (chosen, most)
            && chosen > most
        {
            let most = show(most);
            let problem = format!("{} is never reached: the profile `{}` permits {most}", show(chosen), profile.name);
            t.mistake(key, problem, format!("choose at most {most}, or leave it out"));
        }
    };
    beyond("messages", rate.messages, profile.rate.messages, |count| count.to_string());
    beyond("bytes", rate.bytes, profile.rate.bytes, show_size);
    rate
}

fn broker(value: &DeValue, names: &Names) -> Result<Broker, Wrong> {
    let text = substituted(value, names)?;
    Broker::parse(&text).or_else(|error| refused(&text, &error))
}

fn proxy(value: &DeValue, names: &Names) -> Result<Proxy, Wrong> {
    let text = text(value, names)?;
    Proxy::parse(text).or_else(|error| refused(text, &error))
}

fn refused<T>(text: &str, error: &BrokerError) -> Result<T, Wrong> {
    let told = error.to_string();
    let (problem, cure) = told.split_once("; ").unwrap_or((&told, "write a scheme, a host and perhaps a port"));
    if text.contains('@') {
        return wrong("names a user in the address (and is not shown)", "leave out all up to the `@`");
    }
    wrong(format!("{} {problem}", quoted(text)), cure)
}

fn host(value: &DeValue, names: &Names) -> Result<String, Wrong> {
    let given = substituted(value, names)?;
    checked_host(&given.to_ascii_lowercase())
        .or_else(|why| wrong(format!("{} is no host: {why}", quoted(&given)), "write the name alone"))
}

fn client_id(value: &DeValue, names: &Names, profile: &Profile) -> Result<Arc<str>, Wrong> {
    let id = substituted(value, names)?;
    let most = profile.client_id_bytes;
    if id.is_empty() || id.len() > most || id.chars().any(char::is_control) {
        return wrong(
            format!("{} cannot be a client id", quoted(&id)),
            format!("use 1 to {most} bytes of printable text"),
        );
    }
    Ok(id.into())
}

/// MQTT says it in seconds.
fn whole_seconds(profile: &Profile) -> impl FnOnce(&DeValue, &Names) -> Result<Duration, Wrong> {
    let range = profile.keep_alive;
    move |value, names| {
        let duration = scalar::duration(range)(value, names)?;
        if duration.subsec_nanos() > 0 {
            return wrong(format!("{} has parts of a second", show_duration(duration)), "write whole seconds");
        }
        Ok(duration)
    }
}

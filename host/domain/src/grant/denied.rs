//! A refusal, and the configuration that would have made it a permission.
//!
//! The lines name exactly what was asked for and nothing wider, so that pasting them never opens more than
//! the one thing. Where nobody can know yet what will be asked for, they say that they are an example. They are
//! parsed by whoever pastes them: every text in them is quoted as TOML wants it, and a name that the table has
//! already is not used again.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::values::show_size;
use crate::config::{Allow, GrantTable, HttpGrant, KvGrant, ShadowGrant, Which, is_name};
use crate::ledger::BucketId;
use crate::limits::{MODEL_LOAD_BYTES, NAME_BYTES, TIMERS_PENDING};
use crate::shadow::ThingName;
use crate::topic::Topic;

/// Stands behind a value that somebody has to put in who knows what the component does.
pub const EXAMPLE: &str = "# an example: put your own here";

/// What was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    Publish(Topic),
    /// Only services publish there.
    Reserved(Topic),
    /// The interface for publishing, with nothing granted to publish to.
    Publisher,
    Timers,
    /// An interface of `wasi:keyvalue`, with no bucket granted.
    KeyValue,
    /// A bucket, by the name that the guest says.
    Bucket(String),
    /// To change what is in a bucket that may only be read.
    ReadOnly(String),
    /// The interface for shadows, with none granted.
    ShadowStore,
    /// A shadow of a thing, or all the named ones of it, and what is not permitted there.
    Shadow {
        thing: ThingName,
        which: Which,
        allow: Allow,
    },
    /// An interface of `wasi:nn`, with no model granted.
    Models,
    /// A model, by the name that the guest says.
    Model(String),
    /// To bring a model itself.
    ModelLoad,
    Http {
        https: bool,
        host: String,
        port: u16,
    },
    /// A granted origin that leads to an address which is not.
    Address {
        grant: HttpGrant,
        address: IpAddr,
    },
}

/// A component asked for what it was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Denied(Box<Detail>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Detail {
    component: Arc<str>,
    refused: Refused,
    cure: Option<String>,
}

impl Denied {
    pub(super) fn new(component: &Arc<str>, table: &GrantTable, refused: Refused) -> Denied {
        let cure = cure(component, table, &refused);
        Denied(Box::new(Detail { component: component.clone(), refused, cure }))
    }

    pub fn refused(&self) -> &Refused {
        &self.0.refused
    }

    /// The lines of configuration that would permit it; `None` where none would.
    pub fn cure(&self) -> Option<&str> {
        self.0.cure.as_deref()
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "component `{}` may not ", self.component.escape_debug())?;
        match &self.refused {
            Refused::Publish(topic) | Refused::Reserved(topic) => {
                write!(f, "publish to `{}`", topic.as_str().escape_debug())?;
            }
            Refused::Publisher => f.write_str("import edgewit:pubsub/publisher: it has nothing to publish to")?,
            Refused::Timers => f.write_str("set timers")?,
            Refused::KeyValue => f.write_str("import wasi:keyvalue: it has no bucket")?,
            Refused::Bucket(name) => write!(f, "open the bucket `{}`", name.escape_debug())?,
            Refused::ReadOnly(name) => write!(f, "change the bucket `{}`", name.escape_debug())?,
            Refused::ShadowStore => f.write_str("import edgewit:shadow/store: it has no shadow")?,
            Refused::Shadow { thing, which, allow } => {
                let all = allow.words().collect::<Vec<_>>().join(" and ");
                match which {
                    Which::Classic => write!(f, "{all} the classic shadow of `{thing}`")?,
                    Which::Named(name) => write!(f, "{all} the shadow `{name}` of `{thing}`")?,
                    Which::EveryNamed => write!(f, "{all} every named shadow of `{thing}`")?,
                }
            }
            Refused::Models => f.write_str("import wasi:nn: it has no model")?,
            Refused::Model(name) => write!(f, "use the model `{}`", name.escape_debug())?,
            Refused::ModelLoad => f.write_str("bring a model itself")?,
            Refused::Http { https, host, port } => {
                write!(f, "send requests to `{}`", origin(*https, host, *port).escape_debug())?;
            }
            Refused::Address { grant, address } => {
                write!(f, "connect to {address}, where `{}` leads", origin(grant.https, &grant.host, grant.port))?;
            }
        }
        match (&self.refused, &self.cure) {
            (Refused::Publisher | Refused::Models, Some(cure)) => {
                write!(f, "; lines such as these would permit it:\n{cure}")
            }
            (_, Some(cure)) => write!(f, "; these lines would permit it:\n{cure}"),
            (Refused::Reserved(_), None) => f.write_str(": only the gateway's services do, and no grant changes that"),
            (_, None) => f.write_str(": no configuration can name that, choose another name for it"),
        }
    }
}

fn cure(component: &str, table: &GrantTable, refused: &Refused) -> Option<String> {
    let (kind, line) = match refused {
        Refused::Reserved(_) => return None,
        Refused::Publish(topic) => {
            let name = free_name(topic.levels(), &table.publish);
            ("publish", format!("{name} = {}", quoted(&nameable(topic)?)))
        }
        Refused::Publisher => {
            let name = free_name([component], &table.publish);
            ("publish", format!("{name} = {}  {EXAMPLE}", quoted(&format!("{name}/#"))))
        }
        Refused::KeyValue => ("kv", "state = \"own\"".to_owned()),
        Refused::Bucket(name) => ("kv", is_name(name).then(|| format!("{name} = \"own\""))?),
        Refused::ReadOnly(name) => ("kv", format!("{name} = {}", writable(table.kv.get(name.as_str())?))),
        Refused::ShadowStore => ("shadow", format!("own = {}", shadow_line(table, None, &Which::Classic, OWN))),
        Refused::Shadow { thing, which, allow } => {
            let same = |grant: &ShadowGrant| grant.thing.as_ref() == Some(thing) && grant.which == *which;
            let kept = table.shadow.iter().find(|(_, grant)| same(grant));
            let (name, allow) = match kept {
                Some((name, grant)) => (name.to_string(), grant.allow.and(*allow)),
                None => (shadow_name(table, thing, which), *allow),
            };
            ("shadow", format!("{} = {}", key(&name), shadow_line(table, Some(thing), which, allow)))
        }
        Refused::Models => ("model", format!("model = \"model\"  {EXAMPLE}")),
        Refused::Model(name) if name.is_empty() || name.len() > NAME_BYTES => return None,
        Refused::Model(name) if is_name(name) => ("model", format!("{name} = {}", quoted(name))),
        Refused::Model(name) => ("model", format!("{} = \"model\"  {EXAMPLE}", key(name))),
        Refused::ModelLoad => ("model-load", format!("bytes = {}", quoted(&show_size(MODEL_LOAD_BYTES.default)))),
        Refused::Timers => ("timer", format!("pending = {}", TIMERS_PENDING.default)),
        Refused::Http { https, host, port } => {
            let name = free_name(name_of_host(host), &table.http);
            ("http", format!("{name} = {}", quoted(&origin(*https, host, *port))))
        }
        Refused::Address { grant, address } => {
            let name = table.http.iter().find(|(_, other)| *other == grant).map(|(name, _)| name.to_string());
            let name = name.unwrap_or_else(|| free_name(name_of_host(&grant.host), &table.http));
            ("http", format!("{} = {}", key(&name), with_network(grant, *address)))
        }
    };
    Some(format!("[component.{}.grant.{kind}]\n{line}", key(component)))
}

/// A filter for the topic as configuration can write it: `${` would be a substitution there, and a level that
/// has it can only be covered.
fn nameable(topic: &Topic) -> Option<String> {
    if !topic.as_str().contains("${") {
        return Some(topic.as_str().to_owned());
    }
    let cover = |level| if str::contains(level, "${") { "+" } else { level };
    let filter = topic.levels().map(cover).collect::<Vec<_>>().join("/");
    // A wildcard in the first level matches nothing that begins with `$`.
    let first_is_special = topic.as_str().starts_with('$') && filter.starts_with('+');
    (!first_is_special).then_some(filter)
}

fn origin(https: bool, host: &str, port: u16) -> String {
    let scheme = if https { "https" } else { "http" };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match (https, port) {
        (true, 443) | (false, 80) => format!("{scheme}://{host}"),
        _ => format!("{scheme}://{host}:{port}"),
    }
}

fn with_network(grant: &HttpGrant, address: IpAddr) -> String {
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let networks: Vec<String> = grant
        .networks
        .iter()
        .chain([&(address, whole)])
        .map(|(network, length)| quoted(&format!("{network}/{length}")))
        .collect();
    let origin = quoted(&origin(grant.https, &grant.host, grant.port));
    format!("{{ origin = {origin}, networks = [{}] }}", networks.join(", "))
}

fn writable(grant: &KvGrant) -> String {
    let whose = if matches!(grant.bucket.id, BucketId::Shared(_)) { "shared" } else { "own" };
    format!("{{ bucket = {}, bytes = {} }}", quoted(whose), quoted(&show_size(grant.bucket.quota)))
}

/// What a component needs that speaks for a device.
const OWN: Allow = Allow { read: true, report: true, desire: false };

/// A grant for shadows; without a thing it is for the gateway's own.
fn shadow_line(table: &GrantTable, thing: Option<&ThingName>, which: &Which, allow: Allow) -> String {
    let mut fields = Vec::new();
    if let Some(thing) = thing.filter(|thing| table.thing.as_ref() != Some(thing)) {
        fields.push(format!("thing = {}", quoted(thing.as_str())));
    }
    match which {
        Which::Classic => {}
        Which::Named(name) => fields.push(format!("shadow = {}", quoted(name.as_str()))),
        Which::EveryNamed => fields.push("shadow = \"+\"".to_owned()),
    }
    fields.push(format!("allow = [{}]", allow.words().map(quoted).collect::<Vec<_>>().join(", ")));
    format!("{{ {} }}", fields.join(", "))
}

/// What a grant for these shadows is best called: by the shadow, or by the thing, or `own`.
fn shadow_name(table: &GrantTable, thing: &ThingName, which: &Which) -> String {
    let of_thing = if table.thing.as_ref() == Some(thing) { "own" } else { thing.as_str() };
    match which {
        Which::Named(name) => free_name([name.as_str(), of_thing], &table.shadow),
        Which::Classic | Which::EveryNamed => free_name([of_thing], &table.shadow),
    }
}

/// What a grant for this host is best called: a name's first label, or the whole address.
fn name_of_host(host: &str) -> [&str; 1] {
    let is_address = host.parse::<IpAddr>().is_ok();
    [if is_address { host } else { host.split('.').next().unwrap_or(host) }]
}

/// A name for a new entry of `taken`, after the first of `candidates` that leaves anything of itself.
fn free_name<'a, T>(candidates: impl IntoIterator<Item = &'a str>, taken: &BTreeMap<Arc<str>, T>) -> String {
    // Room for a number of up to four digits.
    let base = candidates.into_iter().map(|text| slug(text, NAME_BYTES - 5)).find(|name| !name.is_empty());
    let base = base.unwrap_or_else(|| "granted".to_owned());
    let mut name = base.clone();
    let mut number = 2;
    while taken.contains_key(name.as_str()) {
        name = format!("{base}-{number}");
        number += 1;
    }
    name
}

/// What configuration takes for a name, out of any text.
fn slug(text: &str, most: usize) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = text.chars().map(fits).take(most).collect();
    name.trim_matches('-').to_owned()
}

fn key(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { quoted(name) }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

//! The metrics port: what it says, in the form that Prometheus reads, and nothing else.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use edgewit_domain::message::{Message, Origin, Qos};
use edgewit_domain::topic::Topic;

use crate::world::{World, component, echo};

const HEAD: &str = "[metrics]\nlisten = \"127.0.0.1:0\"\n";

fn request(address: SocketAddr, line: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// Every sample by its name and labels. Panics where a line is none that Prometheus would take.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        if let Some(declaration) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declaration.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(types.insert(name, kind), None, "declared twice: {line}");
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let name = sample.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        assert!(types.contains_key(name) || types.get(family) == Some(&"histogram"), "no type: {line}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
        assert_eq!(samples.insert(sample.to_owned(), value.parse().unwrap()), None, "twice: {line}");
    }
    samples
}

#[test]
fn every_figure_is_there_and_agrees_with_the_status() {
    let cloud = "[cloud.main]\nbroker = \"mqtt://127.0.0.1:1\"\n[uplink.up]\nfilter = \"up/#\"\n\
                 [downlink.down]\nfilter = \"down/#\"\n[shadow.sync.own]\n[model.missing]\nfile = \"missing.onnx\"\n";
    let bad = component("bad", "error", "restart.quarantine = 1\n");
    let world = World::with(&format!("{HEAD}{cloud}"), &[echo("good", ""), bad]);
    let running = world.run(&["good", "bad"]);
    for _ in 0..10 {
        running.assert_good();
    }
    for payload in ["1", "2"] {
        let message = Message { qos: Qos::AtLeastOnce, ..Message::new(Topic::parse("up/x").unwrap(), payload) };
        running.gateway.hub().publish(message, Origin::Operator, None).unwrap();
    }
    running.publish("bad/in", "retry");
    running.until("bad", |status| status.state.word() == "quarantined");
    running.until("good", |status| status.handled == 10);
    let (head, body) = request(running.gateway.metrics_address().unwrap(), "GET /metrics");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"), "{head}");
    let samples = parse(&body);
    let is = |sample: &str, value: f64| assert_eq!(samples.get(sample), Some(&value), "{sample} in\n{body}");
    is("edgewit_component_handled_total{component=\"good\"}", 10.0);
    is("edgewit_component_published_total{component=\"good\"}", 10.0);
    is("edgewit_component_failed_total{component=\"bad\"}", 1.0);
    is("edgewit_component_state{component=\"bad\",state=\"quarantined\"}", 1.0);
    is("edgewit_component_state{component=\"bad\",state=\"running\"}", 0.0);
    is("edgewit_component_handling_seconds_count{component=\"good\"}", 10.0);
    is("edgewit_component_handling_seconds_bucket{component=\"good\",le=\"+Inf\"}", 10.0);
    // Its own word and those of the link, whose attempts fail at a pace of their own, are counted as well.
    assert!(samples["edgewit_messages_total"] >= 21.0, "{body}");
    is("edgewit_queue_messages{queue=\"uplink/up\"}", 2.0);
    is("edgewit_cloud_connected{cloud=\"main\"}", 0.0);
    is("edgewit_uplink_sent_total{cloud=\"main\",uplink=\"up\"}", 0.0);
    is("edgewit_shadow_sync_state{cloud=\"main\",state=\"offline\"}", 1.0);
    is("edgewit_shadow_sync_dirty{cloud=\"main\"}", 0.0);
    is("edgewit_model_runs_total{model=\"missing\"}", 0.0);
    let documented = include_str!("../../src/metrics.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
    for name in documented.map(|row| row.split('`').next().unwrap()) {
        assert!(samples.keys().any(|sample| sample.starts_with(name)), "{name} is documented and not there");
    }
}

#[test]
fn nothing_else_is_served() {
    let world = World::with(HEAD, &[]);
    let running = world.start();
    let address = running.gateway.metrics_address().unwrap();
    for (line, status) in [("GET /", "404"), ("GET /metrics/x", "404"), ("POST /metrics", "405"), ("DELETE /", "404")] {
        let (head, body) = request(address, line);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")) && body.is_empty(), "{line}: {head}");
    }
}

/// Any local user can connect: who only holds connections open keeps nobody away, and loses them.
#[test]
fn connections_that_ask_for_nothing_keep_nobody_away() {
    let world = World::with(HEAD, &[]);
    let running = world.start();
    let address = running.gateway.metrics_address().unwrap();
    let most = edgewit_domain::limits::METRICS_CONNECTIONS;
    let mut idle: Vec<TcpStream> = (0..most * 3).map(|_| TcpStream::connect(address).unwrap()).collect();
    let asked = Instant::now();
    let (head, _) = request(address, "GET /metrics");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(asked.elapsed() < Duration::from_secs(15), "it waited for the others: {:?}", asked.elapsed());
    for oldest in &mut idle[..most * 2] {
        oldest.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        assert_eq!(oldest.read(&mut [0]).unwrap(), 0, "it was to be closed");
    }
}

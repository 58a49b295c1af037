//! State in buckets: shared by components that change it at once, and kept by the shipped components through whatever
//! ends their instance.

use edgewit_domain::control::{Command, Reply, RowView};
use edgewit_domain::message::{Message, Origin, Qos};
use edgewit_domain::topic::Topic;

use crate::disaster::WallClock;
use crate::world::{World, eventually};

/// Two components increment one value, and every outcome is had once: no increment read what another one had changed.
#[test]
fn h2_two_components_on_a_shared_bucket_lose_no_increment() {
    const EACH: usize = 300;
    let counts = |name: &str| {
        format!(
            "[component.{name}]\nartifact = \"keyvalue.wasm\"\ngrant.publish.out = \"keyvalue/#\"\n\
             grant.kv.both = {{ bucket = \"shared\", bytes = \"64KiB\" }}\n\
             subscribe.in = {{ filter = \"{name}/in\", delivery = \"durable\" }}\n"
        )
    };
    let world = World::new(&[counts("a"), counts("b")]);
    let running = world.run(&["a", "b"]);
    let out = running.listen("keyvalue/out");
    std::thread::scope(|scope| {
        for topic in ["a/in", "b/in"] {
            let hub = running.gateway.hub();
            scope.spawn(move || {
                for _ in 0..EACH {
                    let text = "open both\nincrement total 1";
                    let message = Message { qos: Qos::AtLeastOnce, ..Message::new(Topic::parse(topic).unwrap(), text) };
                    hub.publish(message, Origin::Operator, None).unwrap();
                }
            });
        }
    });
    let mut totals: Vec<usize> = out
        .take(2 * EACH)
        .iter()
        .map(|answer| {
            answer.strip_prefix("ok\n").and_then(|total| total.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
        })
        .collect();
    totals.sort_unstable();
    assert_eq!(totals, (1..=2 * EACH).collect::<Vec<_>>());
}

/// What ends the instances while they work.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Nothing,
    /// SIGKILL to the gateway, after every so many readings.
    Kill(usize),
    /// A restart of both components, after every so many.
    Restart(usize),
}

fn scenario(window: &str, recycle: &str) -> String {
    let component = |name: &str, artifact: &str, output: &str| {
        format!(
            "[component.{name}]\nartifact = \"{artifact}.wasm\"\nstateless = true\n{recycle}\n\
             config.output = \"{output}/{{2}}\"\ngrant.publish.out = \"{output}/#\"\ngrant.kv.state = \"own\"\n\
             subscribe.in = {{ filter = \"sensors/+\", delivery = \"durable\" }}\n"
        )
    };
    let average = component("average", "window", "averages") + &format!("timer.window.every = \"{window}\"\n");
    let alarm = component("alarm", "threshold", "alerts") + "config.above = 60\nconfig.hysteresis = 15\n";
    let sink = "[component.sink]\nartifact = \"echo.wasm\"\nenabled = false\n\
                subscribe.alerts = { filter = \"alerts/#\", delivery = \"durable\" }\n\
                subscribe.averages = { filter = \"averages/#\", delivery = \"durable\" }\n";
    average + &alarm + sink
}

/// What `window` and `threshold` say about some readings of three sensors. The clock is not set, so nothing of it
/// depends on when it was said.
fn said(end: End, recycle: &str) -> Vec<String> {
    const READINGS: usize = 240;
    const SENSORS: usize = 3;
    let world = World::new(&[scenario("12h", recycle)]);
    let clock = WallClock::new(&world.path(""));
    clock.set(-40, 0, false);
    let mut process = clock.start(&world, "alarm");
    for reading in 0..READINGS {
        let value = (reading * reading * 7 + reading * 31) % 101;
        let sent = process.publish(&format!("sensors/{}", reading % SENSORS), &value.to_string());
        assert_eq!(sent, Ok(Reply::Done));
        match end {
            End::Kill(every) if reading % every == every - 1 => {
                drop(process);
                process = clock.start(&world, "alarm");
            }
            End::Restart(every) if reading % every == every - 1 => {
                for name in ["average", "alarm"] {
                    assert_eq!(process.ask(&Command::Restart { component: name.into() }), Ok(Reply::Done));
                }
            }
            _ => {}
        }
    }
    process.until("average", |status| status.queued == 0);
    process.until("alarm", |status| status.queued == 0);
    drop(process);
    world.configure("", &[scenario("1s", recycle)]);
    let process = clock.start(&world, "average");
    let averages = eventually("an average of each sensor", || {
        let rows = process.rows("component/sink/averages");
        if rows.len() == SENSORS { Ok(rows) } else { Err(rows.len()) }
    });
    let alerts = process.rows("component/sink/alerts");
    let text = |row: RowView| format!("{} {}", row.message.topic, String::from_utf8(row.message.payload).unwrap());
    alerts.into_iter().chain(averages).map(text).collect()
}

#[test]
fn h1_window_and_threshold_killed_restarted_and_renewed_say_the_same_byte_for_byte() {
    let undisturbed = said(End::Nothing, "");
    assert!(undisturbed.len() > 50 && undisturbed.iter().any(|line| line.contains("\"count\":80")), "{undisturbed:?}");
    assert_eq!(said(End::Kill(40), ""), undisturbed, "killed");
    assert_eq!(said(End::Restart(25), ""), undisturbed, "restarted");
    assert_eq!(said(End::Nothing, "recycle.calls = 10"), undisturbed, "renewed");
}

//! What the machine does, an input at a time.

use super::*;

const KEEP_ALIVE: Duration = Duration::from_secs(60);

pub(super) fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn settings(rules: &[Priority]) -> Settings {
    Settings {
        keep_alive: KEEP_ALIVE,
        backoff: at(1),
        backoff_max: at(60),
        rate: Rate::default(),
        profile: Profile::ALL[0],
        rules: rules.iter().map(|priority| ("rule".into(), *priority)).collect(),
        filters: 0,
    }
}

/// A link to which the broker has just said yes, at second 0, and which has asked every rule.
fn connected(settings: Settings) -> Link {
    let mut link = Link::new(settings);
    assert_eq!(link.step(at(0), Input::Start), [Effect::Connect]);
    link.step(at(0), Input::Connected { session_present: false });
    link
}

fn rows(sequences: Range<u64>, bytes: usize) -> Vec<Row> {
    sequences.map(|sequence| Row { sequence, bytes, unfit: None }).collect()
}

/// Rule and sequence of what is sent, and the packet ids.
fn sent(effects: &[Effect]) -> (Vec<(usize, u64)>, Vec<u16>) {
    let sends = effects.iter().filter_map(|effect| match effect {
        Effect::Send { rule, sequence, packet } => Some(((*rule, *sequence), *packet)),
        _ => None,
    });
    sends.unzip()
}

fn lost(link: &mut Link, now: Duration) -> Vec<Effect> {
    link.step(now, Input::Lost { by: Side::Peer, jitter: u64::MAX })
}

#[test]
fn no_more_than_the_window_is_on_its_way() {
    let mut link = connected(settings(&[Priority::Normal]));
    let (first, packets) = sent(&link.step(at(0), Input::Rows { rule: 0, rows: rows(0..100, 10) }));
    assert_eq!(first.len(), crate::limits::LINK_WINDOW);
    let (next, _) = sent(&link.step(at(0), Input::Acknowledged { packet: packets[3] }));
    assert_eq!(next, [(0, 64)]);

    let mut link = connected(settings(&[Priority::Normal]));
    let (first, packets) = sent(&link.step(at(0), Input::Rows { rule: 0, rows: rows(0..9, 300 * 1024) }));
    assert_eq!(first.len(), 3, "bytes are a window as well");
    link.step(at(0), Input::Acknowledged { packet: packets[0] });
    // One that is larger than the window goes alone.
    let mut link = connected(settings(&[Priority::Normal]));
    let (first, _) = sent(&link.step(at(0), Input::Rows { rule: 0, rows: rows(0..2, 2 * 1024 * 1024) }));
    assert_eq!(first, [(0, 0)]);
}

#[test]
fn c1_what_was_not_acknowledged_goes_back_in_order_and_what_was_leaves_the_store() {
    let mut link = connected(settings(&[Priority::Normal]));
    let (_, packets) = sent(&link.step(at(0), Input::Rows { rule: 0, rows: rows(5..9, 10) }));
    let removed = link.step(at(1), Input::Acknowledged { packet: packets[1] });
    assert!(removed.contains(&Effect::Remove { rule: 0, sequences: vec![6] }), "{removed:?}");
    // While that removal is under way the next ones are gathered.
    assert_eq!(link.step(at(1), Input::Acknowledged { packet: packets[3] }), []);
    let back = lost(&mut link, at(2));
    assert_eq!(back, [Effect::PutBack { rule: 0, sequences: vec![5, 7] }]);
    assert_eq!(
        link.step(at(2), Input::Removed { rule: 0, count: 1 }),
        [Effect::Remove { rule: 0, sequences: vec![8] }]
    );
    // An acknowledgement that comes twice, or of another connection's packet, means nothing.
    assert_eq!(link.step(at(2), Input::Acknowledged { packet: packets[0] }), []);
}

#[test]
fn rules_share_the_link_by_their_priority_and_none_starves() {
    let mut link = connected(settings(&[Priority::Low, Priority::High, Priority::Normal]));
    // The first one fills the window before the others have anything.
    link.step(at(0), Input::Rows { rule: 0, rows: rows(0..128, 10) });
    link.step(at(0), Input::Rows { rule: 1, rows: rows(0..64, 10) });
    link.step(at(0), Input::Rows { rule: 2, rows: rows(0..64, 10) });
    let mut counts = [0; 3];
    let mut packets = 1..=64_u16;
    for packet in packets.by_ref().take(63) {
        for (rule, _) in sent(&link.step(at(1), Input::Acknowledged { packet })).0 {
            counts[rule] += 1;
        }
    }
    assert_eq!(counts, [3, 48, 12]);
}

#[test]
fn a_rule_that_rested_is_owed_nothing_for_it() {
    let mut link = connected(settings(&[Priority::Normal, Priority::Normal]));
    let mut packets = sent(&link.step(at(0), Input::Rows { rule: 0, rows: rows(0..64, 10) })).1;
    for round in 1..20 {
        let mut next = Vec::new();
        for packet in std::mem::take(&mut packets) {
            next.extend(sent(&link.step(at(1), Input::Acknowledged { packet })).1);
        }
        next.extend(sent(&link.step(at(1), Input::Rows { rule: 0, rows: rows(64 * round..64 * (round + 1), 10) })).1);
        packets = next;
    }
    link.step(at(1), Input::Rows { rule: 0, rows: rows(2000..2064, 10) });
    link.step(at(1), Input::Rows { rule: 1, rows: rows(0..64, 10) });
    let mut counts = [0; 2];
    for packet in packets {
        for (rule, _) in sent(&link.step(at(2), Input::Acknowledged { packet })).0 {
            counts[rule] += 1;
        }
    }
    assert_eq!(counts, [32, 32]);
}

#[test]
fn c4_silence_ends_a_connection_in_time_and_a_word_from_the_broker_saves_it() {
    let mut link = connected(settings(&[]));
    assert_eq!(link.wake_at(), Some(at(60)));
    assert_eq!(link.step(at(60), Input::Woke), [Effect::Ping]);
    link.step(at(61), Input::Heard);
    assert_eq!(link.step(at(120), Input::Woke), [Effect::Ping], "60 s after the last that was sent");
    assert_eq!(link.wake_at(), Some(at(61 + 95)));
    let why = Why::Silence(at(95));
    assert_eq!(link.step(at(61 + 95), Input::Woke), [Effect::Close { goodbye: false, why }]);
    link.step(at(157), Input::Lost { by: Side::Us, jitter: u64::MAX });
    assert_eq!(link.phase(), Phase::Backoff { until: at(158), step: at(1) });
    assert_eq!(link.step(at(158), Input::Woke), [Effect::Connect]);
}

#[test]
fn a_broker_that_answers_and_never_acknowledges_is_left() {
    let mut link = connected(settings(&[Priority::Normal]));
    link.step(at(0), Input::Rows { rule: 0, rows: rows(0..1, 10) });
    for second in 1..120 {
        link.step(at(second), Input::Heard);
        assert!(link.step(at(second), Input::Woke).iter().all(|effect| *effect == Effect::Ping));
    }
    link.step(at(120), Input::Heard);
    let why = Why::NoAcknowledgement(at(120));
    assert_eq!(link.step(at(120), Input::Woke), [Effect::Close { goodbye: false, why }]);
}

/// The third row of the first rule ends every connection; the broker acknowledges what comes before it and all of the
/// second rule.
#[test]
fn c2_a_message_that_ends_connections_is_found_and_given_up_and_the_rest_arrives() {
    let mut link = connected(settings(&[Priority::Normal, Priority::Normal]));
    let mut queues = [(0..6).collect::<Vec<u64>>(), (0..30).collect()];
    let mut arrived = [Vec::new(), Vec::new()];
    let mut given_up = Vec::new();
    let mut now = 0;
    let mut effects = link.step(at(now), Input::Woke);
    effects.extend([0, 1].map(|rule| Effect::Fetch { rule, count: 2, bytes: 1000 }));
    while arrived[0].len() < 5 || arrived[1].len() < 30 {
        assert!(now < 10_000, "{arrived:?}");
        now += 1;
        let mut next = Vec::new();
        let mut closed = false;
        for effect in std::mem::take(&mut effects) {
            match effect {
                Effect::Connect => next.extend(link.step(at(now), Input::Connected { session_present: false })),
                Effect::Fetch { rule, .. } => {
                    let taken: Vec<u64> = queues[rule].drain(..2.min(queues[rule].len())).collect();
                    let rows = taken.into_iter().map(|sequence| Row { sequence, bytes: 10, unfit: None }).collect();
                    next.extend(link.step(at(now), Input::Rows { rule, rows }));
                }
                Effect::Send { rule: 0, sequence: 2, .. } => closed = true,
                Effect::Send { rule, sequence, packet } if !closed => {
                    arrived[rule].push(sequence);
                    next.extend(link.step(at(now), Input::Acknowledged { packet }));
                }
                Effect::PutBack { rule, sequences } => drop(queues[rule].splice(0..0, sequences)),
                Effect::Remove { rule, sequences } => {
                    next.extend(link.step(at(now), Input::Removed { rule, count: sequences.len() }));
                }
                Effect::GiveUp { rule, sequence, why } => given_up.push((rule, sequence, why)),
                _ => {}
            }
        }
        if closed {
            // What was under way when the connection ended is lost with it.
            next.retain(|effect| !matches!(effect, Effect::Send { .. } | Effect::Fetch { .. }));
            next.extend(lost(&mut link, at(now)));
        }
        if next.is_empty() {
            now = link.wake_at().map_or(now, |at| at.as_secs().max(now));
            next = link.step(at(now), Input::Woke);
        }
        effects = next;
    }
    assert_eq!(given_up, [(0, 2, Why::EndsConnections(crate::limits::LINK_GIVE_UP_AFTER))]);
    assert_eq!(arrived, [vec![0, 1, 3, 4, 5], (0..30).collect()]);
    assert!(!link.is_solo());
}

/// A connection that cannot be made, or that goes silent, says nothing about a message.
#[test]
fn c2_no_message_is_blamed_for_a_network_that_is_away() {
    let mut link = Link::new(settings(&[Priority::Normal]));
    link.step(at(0), Input::Start);
    let mut now = at(0);
    for _ in 0..20 {
        link.step(now, Input::Connected { session_present: false });
        link.step(now, Input::Rows { rule: 0, rows: rows(0..1, 10) });
        let mut closed = Vec::new();
        while closed.is_empty() {
            now = link.wake_at().unwrap();
            closed = link.step(now, Input::Woke);
            closed.retain(|effect| matches!(effect, Effect::Close { .. }));
        }
        let back = link.step(now, Input::Lost { by: Side::Us, jitter: 0 });
        assert_eq!(back, [Effect::PutBack { rule: 0, sequences: vec![0] }]);
        link.step(now, Input::Woke);
        for _ in 0..5 {
            assert_eq!(link.step(now, Input::Lost { by: Side::Peer, jitter: 0 }), []);
            assert_eq!(link.step(now, Input::Woke), [Effect::Connect]);
        }
    }
    assert!(!link.is_solo());
}

#[test]
fn what_the_profile_forbids_goes_to_the_dead_letters_and_nothing_waits_for_it() {
    let mut link = connected(settings(&[Priority::Normal]));
    let mut waiting = rows(0..3, 10);
    let unfit = Unfit::Payload { profile: "p", bytes: 9, most: 8 };
    waiting[1].unfit = Some(unfit.clone());
    let effects = link.step(at(0), Input::Rows { rule: 0, rows: waiting });
    assert!(effects.contains(&Effect::GiveUp { rule: 0, sequence: 1, why: Why::Unfit(unfit) }));
    assert_eq!(sent(&effects).0, [(0, 0), (0, 2)]);
}

#[test]
fn the_rate_is_kept_and_the_link_wakes_when_it_permits_more() {
    let mut settings = settings(&[Priority::Normal]);
    settings.rate = Rate { messages: Some(10), bytes: None };
    let mut link = connected(settings);
    let (first, packets) = sent(&link.step(at(0), Input::Rows { rule: 0, rows: rows(0..3, 10) }));
    assert_eq!(first, [(0, 0)]);
    assert_eq!(sent(&link.step(at(0), Input::Acknowledged { packet: packets[0] })).0, []);
    assert_eq!(link.wake_at(), Some(Duration::from_millis(100)));
    assert_eq!(sent(&link.step(Duration::from_millis(100), Input::Woke)).0, [(0, 1)]);
}

#[test]
fn filters_are_subscribed_to_again_only_where_the_session_may_lack_them() {
    let mut settings = settings(&[]);
    settings.profile = Profile::ALL[1];
    settings.keep_alive = KEEP_ALIVE;
    settings.filters = 10;
    let mut link = Link::new(settings);
    link.step(at(0), Input::Start);
    // The broker may know a session of an earlier configuration.
    let subscribed = link.step(at(0), Input::Connected { session_present: true });
    let expected = [Effect::Subscribe { packet: 1, filters: 0..8 }, Effect::Subscribe { packet: 2, filters: 8..10 }];
    assert_eq!(subscribed, expected);
    link.step(at(0), Input::Subscribed { packet: 1, granted: true });
    link.step(at(0), Input::Subscribed { packet: 2, granted: true });
    let again = |link: &mut Link, session_present| {
        lost(link, at(1));
        let until = link.wake_at().unwrap();
        assert_eq!(link.step(until, Input::Woke), [Effect::Connect]);
        link.step(until, Input::Connected { session_present }).len()
    };
    assert_eq!(again(&mut link, true), 0);
    assert_eq!(again(&mut link, false), 2);
    // One that the broker refused is asked for at the next occasion.
    link.step(at(9), Input::Subscribed { packet: 3, granted: false });
    assert_eq!(again(&mut link, true), 2);
}

#[test]
fn a_renewed_certificate_is_shown_when_all_that_was_owed_has_come() {
    let mut link = connected(settings(&[Priority::Normal]));
    let (_, packets) = sent(&link.step(at(0), Input::Rows { rule: 0, rows: rows(0..1, 10) }));
    assert_eq!(link.step(at(1), Input::Renew), []);
    let done = link.step(at(2), Input::Acknowledged { packet: packets[0] });
    assert!(done.contains(&Effect::Close { goodbye: true, why: Why::Renewed }), "{done:?}");
    let lost = link.step(at(2), Input::Lost { by: Side::Us, jitter: u64::MAX });
    assert_eq!(lost, [Effect::Connect], "without a wait");
    // What does not come is not waited for, but sent again.
    link.step(at(2), Input::Connected { session_present: false });
    link.step(at(2), Input::Rows { rule: 0, rows: rows(1..2, 10) });
    link.step(at(3), Input::Renew);
    assert_eq!(link.wake_at(), Some(at(8)));
    assert_eq!(link.step(at(8), Input::Woke), [Effect::Close { goodbye: true, why: Why::Renewed }]);
    let lost = link.step(at(8), Input::Lost { by: Side::Us, jitter: 0 });
    assert_eq!(lost, [Effect::PutBack { rule: 0, sequences: vec![1] }, Effect::Connect]);
}

#[test]
fn a_link_ends_from_wherever_it_is() {
    let ended = |link: &mut Link| link.step(at(1), Input::Stop);
    let mut link = Link::new(settings(&[]));
    link.step(at(0), Input::Start);
    assert_eq!(ended(&mut link.clone()), [Effect::End]);
    lost(&mut link, at(0));
    assert_eq!(ended(&mut link), [Effect::End]);
    assert_eq!(link.step(at(2), Input::Start), []);

    let mut link = connected(settings(&[]));
    assert_eq!(ended(&mut link), [Effect::Close { goodbye: true, why: Why::Stopped }]);
    assert_eq!(link.step(at(1), Input::Lost { by: Side::Us, jitter: 0 }), [Effect::End]);
    assert_eq!(link.wake_at(), None);
}

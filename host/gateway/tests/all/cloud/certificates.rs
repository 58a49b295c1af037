//! Files that are wrong are named and need nothing but mending; files that are renewed are shown without losing anything.

use std::sync::atomic::{AtomicU64, Ordering};

use edgewit_testbed::Authority;

use super::up::publish;
use crate::far::{Far, believe, is_connected, show, until, until_connected, until_drained, until_trouble};

const ALL: &str = "[uplink.all]\nfilter = \"up/#\"\n";

#[test]
fn wrong_files_are_named_and_mended_without_a_restart() {
    let far = Far::new();
    let world = far.world(ALL, &[]);
    let good = far.authority.client("gw");
    show(&world, &far.authority.expired_client("gw"));
    let running = world.start();
    (0..20).for_each(|number| publish(&running, "up/n", number));
    until_trouble(&running, "the broker refused our certificate");
    show(&world, &good);
    far.until_kept("up/n", 20);
    until_connected(&running);

    // The next connection fails at each of these, and none of them costs a message.
    let mut broken = good.clone();
    broken.key.truncate(40);
    let other = Authority::new("other");
    let mut next = 20;
    let mut check = |wrong: &dyn Fn(), trouble: &str| {
        wrong();
        far.cut();
        until(&running, "the cut is noticed", |cloud| !is_connected(cloud));
        far.mend();
        until_trouble(&running, trouble);
        (next..next + 10).for_each(|number| publish(&running, "up/n", number));
        next += 10;
        show(&world, &good);
        believe(&world, &far.authority);
        far.until_kept("up/n", next);
        until_connected(&running);
    };
    check(&|| believe(&world, &other), "the broker's certificate is not believed; look at `ca`");
    check(&|| show(&world, &broken), "the file of the gateway's key");
    check(&|| show(&world, &other.client("gw")), "the broker refused our certificate");
    check(&|| std::fs::remove_file(world.path("device.pem")).unwrap(), "device.pem");
    check(&|| std::fs::write(world.path("ca.pem"), vec![b'x'; (1 << 20) + 1]).unwrap(), "ca.pem");
    until_drained(&running);
}

/// The files are looked at every 30 s.
#[test]
fn a_renewed_certificate_is_shown_while_messages_are_on_their_way() {
    let far = Far::new();
    let world = far.world(ALL, &[]);
    let running = world.start();
    until_connected(&running);
    show(&world, &far.authority.client("gw"));
    let next = AtomicU64::new(0);
    let cloud = until(&running, "the new one is shown", |cloud| {
        publish(&running, "up/n", next.fetch_add(1, Ordering::Relaxed));
        cloud.connections == 2
    });
    assert_eq!(cloud.trouble, None);
    let count = next.into_inner();
    far.until_kept("up/n", count);
    until_drained(&running);
    assert_eq!(far.arrived().len() as u64, count, "the link waits for what is under way, and nothing comes twice");
}

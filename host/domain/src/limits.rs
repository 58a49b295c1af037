//! Every limit of the gateway: its number, its unit, and what happens at it.
//!
//! A limit that an operator may change has a default here and the range that configuration may choose
//! from; the rest is fixed. What a guest, a device, a file or an operator can run into stands here and nowhere else;
//! the size of a buffer or the pace of a thread, which nobody outside can notice, stands beside its code.

use std::time::Duration;

/// Bytes in a KiB and a MiB.
pub const KIB: u64 = 1024;
pub const MIB: u64 = 1024 * KIB;

/// A limit that configuration may change, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<T> {
    pub default: T,
    pub min: T,
    pub max: T,
}

const fn range<T>(default: T, min: T, max: T) -> Range<T> {
    Range { default, min, max }
}

/// A topic's or filter's length in bytes. Longer is refused. MQTT's own limit is 65,535.
pub const TOPIC_BYTES: usize = 1024;
/// Levels of a topic or filter. More are refused.
pub const TOPIC_LEVELS: usize = 32;
/// A message, as `Message::size` counts it. Larger is refused with `too-large`.
pub const MESSAGE_BYTES: usize = 256 * KIB as usize;
/// User properties of one message. More are refused with `quota`.
pub const USER_PROPERTIES: usize = 32;

/// Handlings that may lead to one message. A message past it is dropped and its circle named.
pub const HOPS: u32 = 16;
/// How many of the last hops before [`HOPS`] leave their component's name for naming the circle.
pub const TRAIL_HOPS: u32 = 10;
/// Pairs of grant and subscription that `check` compares to find possible circles. The rest are not compared.
pub const CIRCLE_COMPARISONS: u64 = 10_000_000;

/// Components in one configuration. More are refused by `check`.
pub const COMPONENTS: usize = 512;
/// Subscriptions, timers, or grants of one kind in one component. More are refused by `check`.
pub const ENTRIES_PER_COMPONENT: usize = 256;
/// Length in bytes of a name that configuration gives to something.
pub const NAME_BYTES: usize = 64;
/// Models in one configuration. More are refused by `check`.
pub const MODELS: usize = 64;
/// A model's file. Larger is not read.
pub const MODEL_BYTES: u64 = 1024 * MIB;
/// A model that a component brings itself. Larger is refused with `too-large`.
pub const MODEL_LOAD_BYTES: Range<u64> = range(4 * MIB, KIB, 1024 * MIB);
/// Models that an instance has brought and holds at once. One more is refused as busy.
pub const MODELS_BROUGHT: usize = 4;
/// What a model may take: its plan where it computes in the gateway, its process's address space where it has one of
/// its own. One that needs more is refused when it loads.
pub const MODEL_MEMORY: Range<u64> = range(64 * MIB, MIB, 65_536 * MIB);
/// One inference. Past it whoever asked gets `timeout`.
pub const MODEL_TIME: Range<Duration> =
    range(Duration::from_secs(1), Duration::from_millis(1), Duration::from_secs(600));
/// What `edgewit model inspect` lets a file take, which may be anybody's.
pub const MODEL_INSPECTED: u64 = 1024 * MIB;
/// Reading, optimising and planning a model. One that takes longer is refused.
pub const MODEL_LOAD_TIME: Duration = Duration::from_secs(120);
/// Inferences of one model at once, each on a thread of its own. More wait.
pub const MODEL_INSTANCES: Range<u64> = range(1, 1, 64);
/// Requests that wait for one model. More are refused as busy.
pub const MODEL_QUEUE: Range<u64> = range(16, 1, 4096);
/// Inferences before a model that was loaded answers anybody.
pub const MODEL_WARM_UP: Range<u64> = range(1, 0, 1000);
/// Threads that onnxruntime divides one inference among.
pub const MODEL_THREADS: Range<u64> = range(1, 1, 64);
/// Inputs, and outputs, of one model. One with more is refused.
pub const MODEL_PORTS: usize = 64;
/// What a child may take that reads a model to see whether the gateway may: this, twice the model's memory, and its file so
/// often.
pub const MODEL_READING: u64 = 64 * MIB;
pub const MODEL_READING_FILE: u64 = 6;
/// The stack of a thread that reads a model or computes it. More than a child has that reads it first.
pub const MODEL_STACK: usize = 8 << 20;
/// Of what a backend says is wrong with a model. The rest is cut off.
pub const MODEL_ERROR_BYTES: usize = 1024;
/// Dimensions of a tensor. More are refused.
pub const TENSOR_DIMENSIONS: usize = 16;
/// The configuration file. Larger is not read.
pub const CONFIG_BYTES: u64 = 4 * MIB;
/// A component's artifact. Larger is not read.
pub const ARTIFACT_BYTES: u64 = 128 * MIB;

/// Linear memory and tables of one instance together. Growth past it is refused to the guest.
pub const MEMORY: Range<u64> = range(32 * MIB, 64 * KIB, 4096 * MIB);
/// CPU time of one handling. Past it the guest is trapped.
pub const CPU: Range<Duration> = range(Duration::from_millis(200), Duration::from_millis(1), Duration::from_secs(600));
/// Waiting and computing of one handling. Past it a blocking host call traps.
pub const WALL: Range<Duration> = range(Duration::from_secs(5), Duration::from_millis(1), Duration::from_secs(3600));
/// CPU time and waiting that `start.init` and `state.restore` may take, as a multiple of the handling's own.
pub const START_FACTOR: u32 = 10;

/// Messages that one handling may publish. More are refused with `quota`.
pub const PUBLISHES: Range<u64> = range(1024, 1, 100_000);
/// Bytes that one handling may publish. More are refused with `quota`.
pub const PUBLISH_BYTES: Range<u64> = range(4 * MIB, KIB, 256 * MIB);
/// Changes to one-shot timers that one handling may ask for. More are refused with `quota`.
pub const TIMER_CHANGES: usize = 256;
/// One-shot timers pending for one component, where granted. More are refused with `quota`.
pub const TIMERS_PENDING: Range<u64> = range(16, 1, 4096);
/// A one-shot timer's payload. Larger is refused with `too-large`.
pub const TIMER_PAYLOAD_BYTES: usize = 4 * KIB as usize;
/// Attempts at a one-shot timer's tick. After the last the timer is given up.
pub const TIMER_ATTEMPTS: u32 = 10;
/// Wait before a failed tick is tried again; doubled each time, up to the maximum.
pub const TICK_BACKOFF: Duration = Duration::from_millis(100);
pub const TICK_BACKOFF_MAX: Duration = Duration::from_secs(30);
/// How soon a one-shot timer may tick; one set for sooner is set to this. A component that sets itself one after the
/// other is called again and again, but leaves time between: who owns its thread is not decided by what it asks for.
pub const TIMER_SOONEST: Duration = Duration::from_millis(10);
/// How far ahead a one-shot timer may be set; a later one is set to this.
pub const TIMER_AFTER: Duration = Duration::from_secs(366 * 24 * 3600);
/// Wait before a delivery of a durable queue is handled again; doubled each time, up to the maximum.
pub const DELIVERY_BACKOFF: Duration = Duration::from_millis(100);
pub const DELIVERY_BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Failed deliveries of a queue in relaxed order that others may pass. With more it waits as if its order was strict.
pub const DELIVERIES_ASIDE: usize = 64;
/// When the whole store is read to find damage: so long after a start, and so often from then on; and how much of it a
/// second at most.
pub const CHECK_AFTER: Duration = Duration::from_secs(5);
pub const CHECK_EVERY: Duration = Duration::from_secs(24 * 3600);
pub const CHECK_BYTES_PER_SECOND: u64 = MIB;
/// How often the figures of a link are told at its topic, at most. Its state is told at once.
pub const CLOUD_TOLD_EVERY: Duration = Duration::from_secs(60);
/// How long deliveries may wait in a circle of full queues, each for room that only the next could make. Then the
/// circle's oldest message is given up.
pub const CIRCLE_WAIT: Duration = Duration::from_secs(5);
/// A snapshot of an instance's state. A larger one is a fault, and the old instance stays.
pub const STATE_BYTES: usize = MIB as usize;

/// Lines a second that one component may log, and how many at once. The rest are dropped and counted.
pub const LOG_LINES_PER_SECOND: Range<u64> = range(50, 1, 10_000);
pub const LOG_BURST: u64 = 200;
/// One line of a component's log. The rest of a longer one is cut off, visibly.
pub const LOG_LINE_BYTES: usize = 2 * KIB as usize;
/// Lines below a line of the log, where a text of it has more than one. The rest are cut off, visibly; JSON has them.
pub const LOG_FURTHER_LINES: usize = 32;
/// A refusal's text, where a guest has a part in it. The rest is cut off, visibly.
pub const REFUSAL_BYTES: usize = 4 * KIB as usize;
/// Different refusals of one handling that `edgewit try` tells of. The rest are refused just the same.
pub const REFUSALS_TOLD: usize = 32;
/// Lines that `edgewit logs` can look back on. Older ones are forgotten.
pub const LOG_LINES_KEPT: usize = 2000;

/// Deliveries waiting in one live queue: messages, and bytes. Past either the queue drops by its rule.
pub const QUEUE_MESSAGES: Range<u64> = range(1024, 1, 1_000_000);
pub const QUEUE_BYTES: Range<u64> = range(8 * MIB, KIB, 1024 * MIB);
/// What a dead letter keeps of the guest's backtrace. The rest is cut off.
pub const BACKTRACE_BYTES: usize = 8 * KIB as usize;
/// What a row of a durable queue counts beside its message.
pub const ROW_BYTES: u64 = 64;
/// Durable queues that one store has ever had. More are refused.
pub const QUEUES: usize = 4096;
/// How often the gateway's uptime is kept: what a power cut takes from it at most.
pub const UPTIME_EVERY: Duration = Duration::from_secs(60);
/// How often queues are looked at for messages that are too old, and how many are dropped at once.
pub const SWEEP_EVERY: Duration = Duration::from_secs(1);
pub const SWEEP_ROWS: usize = 256;
/// Rows that one command shows. More are asked for page by page.
pub const ROWS_SHOWN: usize = 1000;
/// And of their messages, but for one that is larger by itself: it is shown alone.
pub const ROWS_SHOWN_BYTES: usize = 256 * KIB as usize;
/// How long the engine sled may take for a commit. Past it the outcome is not known, and the process ends.
pub const COMMIT_PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of messages that are moved or dropped between two batches of the store's writer.
pub const SWEEP_BYTES: usize = MIB as usize;
/// Retained messages, and their bytes. A message past either is delivered and not retained.
pub const RETAINED: u64 = 10_000;
pub const RETAINED_BYTES: u64 = 16 * MIB;
/// Messages waiting in one durable queue, their bytes, and the running time that each may wait, which is for ever unless
/// configured. Past the first two the queue does what its rule says; past the age a message is dropped and counted. The
/// fewest bytes are more than the largest message, so that an empty queue takes whatever comes.
pub const DURABLE_MESSAGES: Range<u64> = range(100_000, 1, 100_000_000);
pub const DURABLE_BYTES: Range<u64> = range(16 * MIB, MIB, 1024 * 1024 * MIB);
pub const DURABLE_AGE: Range<Duration> =
    range(Duration::from_secs(7 * 24 * 3600), Duration::from_secs(1), Duration::from_secs(3660 * 24 * 3600));
/// Attempts at one delivery of a durable queue. After the last it goes to dead-letter.
pub const ATTEMPTS: Range<u64> = range(10, 1, 1_000_000);
/// What one dead-letter queue keeps: messages, and bytes. Past either it does what its rule says.
pub const DEAD_MESSAGES: Range<u64> = range(1000, 1, 1_000_000);
pub const DEAD_BYTES: Range<u64> = range(4 * MIB, MIB, 1024 * MIB);

/// Keys and values of one bucket. More are refused.
pub const KV_BYTES: Range<u64> = range(MIB, KIB, 1024 * MIB);
/// A key of a bucket: a topic fits, with a word in front. Longer is refused.
pub const KEY_BYTES: usize = 2 * KIB as usize;
/// A value. Larger is refused.
pub const VALUE_BYTES: usize = 256 * KIB as usize;
/// Keys that one handling may change, and keys of shared buckets that it may look at. More are refused.
pub const VALUES_PER_HANDLING: usize = 4096;
/// Keys and values that one handling may change, that it may see of shared buckets, and that one call may read at once,
/// in bytes. More are refused.
pub const VALUE_BYTES_PER_HANDLING: u64 = 4 * MIB;
/// Keys that one call of `list-keys` returns at most. The rest is on the next page.
pub const KEYS_PER_PAGE: usize = 256;

/// All that the store may hold. Past it what would add is refused; what takes away is not.
pub const STORE_BYTES: Range<u64> = range(256 * MIB, 4 * MIB, 1024 * 1024 * MIB);
/// How long a queue is kept after its subscription or rule is gone.
pub const STORE_KEEP: Range<Duration> =
    range(Duration::from_secs(7 * 24 * 3600), Duration::ZERO, Duration::from_secs(3660 * 24 * 3600));

/// Deliveries that a component handles between two looks at its clock and its orders.
pub const BATCH: usize = 64;

/// Resources (streams, pollables, files, requests) that one instance may hold. More trap it.
pub const HANDLES: usize = 512;
/// Outgoing HTTP requests of one component under way at once. More are refused.
pub const HTTP_IN_FLIGHT: usize = 8;
/// All header fields of a request together, as they lie in memory; its path, its authority, and its method. More of
/// fields trap the instance, a longer one of the others is refused.
pub const HTTP_FIELD_BYTES: usize = 16 * KIB as usize;
/// Tables, memories and core instances in one component. More keep it from starting.
pub const CORE_INSTANCES: usize = 64;
pub const MEMORIES: usize = 8;
pub const TABLES: usize = 32;

/// Compiling one component, in a child process: its memory, and its time. Past either the child is ended.
pub const COMPILE_MEMORY: u64 = 3072 * MIB;
pub const COMPILE_TIME: Duration = Duration::from_secs(600);
/// Native code of one component. More is refused.
pub const COMPILED_BYTES: u64 = 512 * MIB;

/// An instance's age, calls and memory before it is recycled by plan; no limit unless configured.
pub const RECYCLE_AGE: Range<Duration> =
    range(Duration::from_secs(24 * 3600), Duration::from_secs(1), Duration::from_secs(366 * 24 * 3600));
pub const RECYCLE_CALLS: Range<u64> = range(1_000_000, 1, 1_000_000_000_000);

/// Wait before the first restart; doubled each time, up to the maximum.
pub const BACKOFF: Range<Duration> =
    range(Duration::from_millis(200), Duration::from_millis(1), Duration::from_secs(3600));
pub const BACKOFF_MAX: Range<Duration> =
    range(Duration::from_secs(60), Duration::from_millis(1), Duration::from_secs(24 * 3600));
/// Faults in a row after which a component is quarantined.
pub const QUARANTINE_AFTER: Range<u64> = range(8, 1, 1_000_000);
/// Time without a fault after which earlier faults are forgotten.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// Interval of `health.check`.
pub const HEALTH_EVERY: Range<Duration> =
    range(Duration::from_secs(60), Duration::from_millis(100), Duration::from_secs(24 * 3600));
/// Interval of a timer in the configuration.
pub const TIMER_EVERY: Range<Duration> =
    range(Duration::from_secs(60), Duration::from_millis(1), Duration::from_secs(366 * 24 * 3600));

/// Time that handlers under way get to finish at shutdown.
pub const GRACE: Range<Duration> = range(Duration::from_secs(10), Duration::ZERO, Duration::from_secs(600));

/// How long a reload waits for the components that it changes. Past it, it says who has not answered; their change
/// goes on. Longer than a compile may take.
pub const RELOAD_WAIT: Duration = Duration::from_secs(900);

/// One line at the control socket, connections at once, and messages waiting for a slow `edgewit sub`.
pub const CONTROL_LINE_BYTES: usize = 2 * MIB as usize;
pub const CONTROL_CONNECTIONS: usize = 32;
pub const CONTROL_BACKLOG: usize = 1024;
/// Connections at the metrics port at once. Past it the oldest is closed.
pub const METRICS_CONNECTIONS: usize = 8;

/// Cloud connections, and uplink or downlink rules, in one configuration. More are refused by `check`.
pub const CLOUDS: usize = 8;
pub const LINK_RULES: usize = 64;
/// Time without a word after which the link asks the broker for one. Also the range that MQTT and most brokers allow.
pub const KEEP_ALIVE: Range<Duration> =
    range(Duration::from_secs(60), Duration::from_secs(1), Duration::from_secs(3600));
/// Added to 1.5 times the keep-alive: without a word for so long a connection is given up. Never more than the keep-alive.
pub const LINK_STALL_MARGIN: Duration = Duration::from_secs(5);
/// Time without an acknowledgement that is owed, after which a connection is given up although the broker answers.
pub const LINK_ACK_WAIT: Duration = Duration::from_secs(120);
/// Name, address, proxy, TLS and the broker's greeting of one attempt. Past it the attempt has failed.
pub const LINK_CONNECT_WAIT: Duration = Duration::from_secs(15);
/// Wait before the link is tried again; doubled each time, up to the maximum, and chosen at random below it.
pub const LINK_BACKOFF: Range<Duration> =
    range(Duration::from_secs(1), Duration::from_millis(10), Duration::from_secs(3600));
pub const LINK_BACKOFF_MAX: Range<Duration> =
    range(Duration::from_secs(60), Duration::from_millis(10), Duration::from_secs(24 * 3600));
/// A connection that stood for so many first waits makes the next failure the first again.
pub const LINK_STEADY_FACTOR: u32 = 10;
/// Unacknowledged messages towards the cloud, and their bytes (one message may be larger). The rest waits in its queue.
pub const LINK_WINDOW: usize = 64;
pub const LINK_WINDOW_BYTES: usize = MIB as usize;
/// Messages and bytes of one rule that are read ahead of the window. The rest waits in its queue.
pub const LINK_AHEAD: usize = 64;
pub const LINK_AHEAD_BYTES: usize = 256 * KIB as usize;
/// Messages of one rule that the broker has and the store still keeps. Past it the rule sends no more.
pub const LINK_UNSETTLED: usize = 1024;
/// Messages from the cloud that are not committed yet. Past it the link reads no more.
pub const LINK_INBOUND: usize = 100;
/// Connections in a row that end without an acknowledgement for a rule, after which messages go one at a time.
pub const LINK_SOLO_AFTER: u32 = 3;
/// Connections in a row that end while one and the same message is alone on its way, after which it is given up.
pub const LINK_GIVE_UP_AFTER: u32 = 3;
/// Time in which a link that is to end or to show a new certificate waits for what it is owed.
pub const LINK_LEAVE_WAIT: Duration = Duration::from_secs(5);
/// How often the files of certificate, key and authorities are looked at while the link stands.
pub const LINK_FILES_EVERY: Duration = Duration::from_secs(30);
/// Of 21 messages, while all wait: those of high, normal and low priority.
pub const LINK_WEIGHTS: [u64; 3] = [16, 4, 1];
/// Messages or bytes a second that an operator may limit a link to.
pub const LINK_RATE: Range<u64> = range(100, 1, 1_000_000_000);
/// A packet from the cloud, beyond which it is skipped, counted and acknowledged. Larger than any message.
pub const LINK_PACKET_BYTES: usize = 512 * KIB as usize;
/// A proxy's answer, a certificate, key or password file. Larger is refused.
pub const PROXY_ANSWER_BYTES: usize = 8 * KIB as usize;
pub const LINK_FILE_BYTES: u64 = MIB;

/// What AWS IoT Core publishes as its limits, for the profile `aws-iot-core`: bytes of a payload, slashes and bytes of a
/// topic, unacknowledged messages, messages and bytes a second, subscriptions of a connection, filters of one
/// SUBSCRIBE, the range of the keep-alive, time between two attempts, bytes of a client id.
pub const AWS_PAYLOAD_BYTES: usize = 128 * KIB as usize;
pub const AWS_TOPIC_SLASHES: usize = 7;
pub const AWS_TOPIC_BYTES: usize = 256;
pub const AWS_UNACKNOWLEDGED: usize = 100;
pub const AWS_MESSAGES_PER_SECOND: u64 = 100;
pub const AWS_BYTES_PER_SECOND: u64 = 512 * KIB;
pub const AWS_SUBSCRIPTIONS: usize = 50;
pub const AWS_FILTERS_PER_SUBSCRIBE: usize = 8;
pub const AWS_KEEP_ALIVE: Range<Duration> =
    range(Duration::from_secs(60), Duration::from_secs(30), Duration::from_secs(1200));
pub const AWS_CONNECT_EVERY: Duration = Duration::from_secs(1);
pub const AWS_CLIENT_ID_BYTES: usize = 128;
/// The same of a broker that publishes none: what MQTT allows, and what our own topics do.
pub const MQTT_PAYLOAD_BYTES: usize = 256 * MIB as usize - 64 * KIB as usize;
pub const MQTT_CLIENT_ID_BYTES: usize = 65_535;
pub const MQTT_FILTERS_PER_SUBSCRIBE: usize = 64;
/// Every downlink rule there may be, and the shadows of every thing.
pub const MQTT_SUBSCRIPTIONS: usize = LINK_RULES + 4 * SHADOW_SYNC_THINGS;

/// Rows of shadows whose documents are kept in memory because they were changed last, and what was told of them.
pub const SHADOWS_RECENT_BYTES: u64 = 512 * KIB;
/// Shadows of all things, deleted ones that are still remembered among them. A request for another is refused.
pub const SHADOWS: u64 = 50_000;
/// Shadows that one handling may look at or change by `edgewit:shadow/store`, and bytes of their documents. More are
/// refused with `quota`.
pub const SHADOWS_PER_HANDLING: usize = 1024;
pub const SHADOW_BYTES_PER_HANDLING: usize = MIB as usize;
/// Names that one call of `list` returns at most. The rest is behind the last of them.
pub const SHADOW_NAMES_PER_PAGE: usize = 256;
/// Bytes of a thing's name and of a shadow's. A longer one names no shadow.
pub const THING_NAME_BYTES: usize = 128;
pub const SHADOW_NAME_BYTES: usize = 64;
/// Desired and reported state of one shadow together, as they are written without spaces, and how deeply they are
/// nested, each section being the first level. More is refused with the cloud's words. The defaults are the cloud's,
/// which raises the bytes as far on request.
pub const SHADOW_BYTES: Range<u64> = range(8 * KIB, KIB, 30 * KIB);
pub const SHADOW_DEPTH: Range<u64> = range(8, 1, 32);
/// A request to a shadow. A larger one is refused before it is read.
pub const SHADOW_REQUEST_BYTES: usize = AWS_PAYLOAD_BYTES;
/// A client token. A longer one is refused.
pub const SHADOW_TOKEN_BYTES: usize = 64;
/// What an error repeats of a name that it does not know. The rest is left out.
pub const SHADOW_NAME_TOLD_BYTES: usize = 64;
/// How long a deleted shadow's version is remembered, for one of the same name to go on with.
pub const SHADOW_TOMBSTONE: Duration = Duration::from_secs(48 * 3600);
/// Synchronisations of shadows under way at once, of one thing and of all. The rest wait for their turn. What one holds in
/// memory is two documents, and the cloud permits ten requests of a thing.
pub const SHADOW_SYNC_PER_THING: usize = 10;
pub const SHADOW_SYNC_AT_ONCE: usize = 64;
/// Shadows of a thing that have something to say and begin in a row, before one that has only to be looked at.
pub const SHADOW_SYNC_URGENT_FIRST: usize = 4;
/// Requests about shadows in a second, to the cloud. The rest wait. The second is the cloud's own limit for one thing.
pub const SHADOW_SYNC_RATE: Range<u64> = range(50, 1, 1000);
pub const SHADOW_SYNC_RATE_PER_THING: u64 = 20;
/// Between two updates of a shadow; at once where it is zero.
pub const SHADOW_SYNC_EVERY: Range<Duration> = range(Duration::ZERO, Duration::ZERO, Duration::from_secs(24 * 3600));
/// Tables `[shadow.sync.NAME]`. `check` refuses more.
pub const SHADOW_SYNC_RULES: usize = 1024;
/// Things whose shadows are kept the same as the cloud's, of which `check` refuses more; and shadows of all of them, of
/// which the rest is left alone and the log says so.
pub const SHADOW_SYNC_THINGS: usize = 1024;
pub const SHADOW_SYNC_SHADOWS: usize = 10_000;
/// Silence after which a request about a shadow counts as lost.
pub const SHADOW_SYNC_REPLY_WAIT: Duration = Duration::from_secs(20);
/// Wait before a shadow is tried again: first, and up to.
pub const SHADOW_SYNC_BACKOFF: Duration = Duration::from_secs(2);
pub const SHADOW_SYNC_BACKOFF_MAX: Duration = Duration::from_secs(300);
/// The same after a refusal that will not pass by itself.
pub const SHADOW_SYNC_ERROR_WAIT: Duration = Duration::from_secs(3600);
/// How long a shadow is believed to be as it was last heard of, on a link that stands.
pub const SHADOW_SYNC_RECONCILE: Duration = Duration::from_secs(24 * 3600);
/// How long a deletion that the cloud was asked for may still come about.
pub const SHADOW_SYNC_LATE_DELETE: Duration = Duration::from_secs(3600);
/// Refusals after which a first document is sent without a version.
pub const SHADOW_SYNC_BARE_AFTER: u32 = 3;
/// Connections in a row that end while requests about shadows are unacknowledged, after which those go one at a time.
pub const SHADOW_SYNC_SOLO_AFTER: u32 = LINK_SOLO_AFTER;
/// Connections in a row that end while one and the same shadow alone is asked for, after which it is in error.
pub const SHADOW_SYNC_GIVE_UP_AFTER: u32 = LINK_GIVE_UP_AFTER;
/// Time that such a shadow leaves a new connection to everything else before it is asked for again.
pub const SHADOW_SYNC_SOLO_WAIT: Duration = Duration::from_secs(10);
/// Named shadows of one thing that end connections, after which its others, if the cloud has answered for none of them,
/// are in error as well.
pub const SHADOW_SYNC_SILENT_THING: usize = 3;
/// What is kept of a refusal's text. The rest is left out.
pub const SHADOW_SYNC_TEXT_BYTES: usize = 256;

//! What one look at both sides leads to: what to do here, what to ask of the cloud, and what to remember of it.
//!
//! Pure, and without memory of its own: the same row, the same local document and the same news lead to the same plan,
//! so that a plan that was cut off anywhere is made again. Three rules hold it together.
//!
//! **The base is the cloud's.** What is remembered is the cloud's document that was last merged here, in the transaction
//! that merged it. What the local document says beyond it is what the cloud is still to learn.
//!
//! **One update at a time, on a version.** An update says which version it changes, and stands in the row before it is
//! sent. Until it is known what became of it, it is sent again as it was, and both of what it may have led to count as
//! the base. So an answer that was lost makes nobody's change out of ours.
//!
//! **A deletion takes what it has seen.** It removes the other side's document only if that has not changed since both
//! last agreed; otherwise the document comes back as a whole. Neither kind of event beats the other, and no clock is
//! asked. The cloud knows no deletion of a version: one that we asked for may come late. For a while an absence that
//! nobody else claims is taken for that.

use super::merge3::{Winners, merge3};
use super::row::{Row, Seen, Sent};
use super::state::State;
use crate::limits::{SHADOW_SYNC_BARE_AFTER, SHADOW_SYNC_LATE_DELETE};
use crate::shadow::document::Stored;
use crate::shadow::json::{Members, Value};
use crate::shadow::request::{Expected, Request, Update};
use crate::shadow::{Limits, Rejection};

/// Which way changes go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    #[default]
    Both,
    /// The cloud's document becomes what the local one is, whatever it was.
    ToCloud,
    /// The local document becomes what the cloud's is.
    FromCloud,
}

/// What has been learned of the cloud.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum News {
    /// Nothing since the row was written.
    Nothing,
    Live {
        version: u64,
        state: State,
    },
    /// `claimed`: somebody else was heard to delete it.
    Absent {
        claimed: bool,
    },
    /// Our update was applied.
    Accepted {
        version: u64,
    },
    /// Our deletion was.
    Deleted {
        version: u64,
    },
}

pub(super) struct View<'a> {
    pub local: Option<&'a Stored>,
    pub row: &'a Row,
    pub direction: Direction,
    pub winners: Winners,
    pub limits: &'a Limits,
    /// Seconds of running time, and since 1970.
    pub now: u64,
    pub wall: u64,
    /// The code with which the update in the row was refused, if it was, and how often in a row.
    pub refused: Option<(u16, u32)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plan {
    /// The cloud's document has to be got first.
    Fetch,
    Commit(Box<Made>),
    /// Nothing can be done until one side changes.
    Stop(Stop),
}

/// To be committed together; then the cloud is to be asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Made {
    pub change: Option<Change>,
    pub row: Row,
    pub ask: Option<Ask>,
}

/// A change of the local shadow that holds only if the document is still the one it was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub from: Seen,
    pub request: Request,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// None: whatever is there.
    Update {
        patch: Members<Value>,
        version: Option<u64>,
    },
    Delete,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// What was merged is no document that may be kept here.
    Local(Rejection),
    /// The cloud refused what it was asked for, and not because it had changed.
    Refused,
}

impl Plan {
    fn made(change: Option<Change>, row: Row, ask: Option<Ask>) -> Plan {
        Plan::Commit(Box::new(Made { change, row, ask }))
    }
}

/// While there is no cloud to ask: that the local side has changed is remembered.
pub(super) fn mark(view: &View<'_>) -> Plan {
    let row = Row { since: view.row.since.or(Some(view.now)), ..view.row.clone() };
    Plan::made(None, row, None)
}

pub(super) fn plan(view: &View<'_>, news: &News) -> Plan {
    let row = view.row;
    match news {
        News::Nothing if row.base.is_some() && Seen::of(view.local) == Seen::Absent => Plan::Fetch,
        News::Nothing => settle(view, row.cloud, row.base.as_ref(), false),
        News::Live { version, state } => settle(view, *version, Some(state), false),
        News::Absent { claimed } => settle(view, row.cloud, None, *claimed),
        News::Accepted { version } => accepted(view, *version),
        News::Deleted { version } => {
            let absent = Row { cloud: row.cloud.max(*version), base: None, sent: None, ..row.clone() };
            agreed(view, absent, Seen::Absent)
        }
    }
}

/// An update that was conditional and made the next version made it of the base.
fn accepted(view: &View<'_>, version: u64) -> Plan {
    let row = view.row;
    let Some(sent) = &row.sent else { return Plan::Fetch };
    let is_next = version == row.cloud.saturating_add(1) || (row.base.is_none() && version == 1);
    if !is_next {
        return Plan::Fetch;
    }
    let base = row.base.clone().unwrap_or_default().patched(&sent.patch);
    let made = Row { cloud: version, base: Some(base), sent: None, ..row.clone() };
    agreed(view, made, sent.local)
}

/// Both sides said the same when the local one was `local`.
fn agreed(view: &View<'_>, row: Row, local: Seen) -> Plan {
    let since = if Seen::of(view.local) == local { None } else { row.since.or(Some(view.now)) };
    Plan::made(None, Row { local, since, ..row }, None)
}

/// What became of the update in the row.
enum Fate {
    /// There is none, or another's came before it, or it is as if it had been answered.
    Known(Row),
    /// The cloud is as it was. It may still come.
    Waiting(Sent, State),
    /// The cloud went on, with it or without it.
    Unknown(State),
}

fn fate(row: &Row, version: u64, cloud: Option<&State>) -> Fate {
    let Some(sent) = row.sent.clone() else { return Fate::Known(row.clone()) };
    let led_to = row.base.clone().unwrap_or_default().patched(&sent.patch);
    match (cloud, &row.base) {
        (Some(cloud), _) if cloud.same(&led_to) => {
            Fate::Known(Row { cloud: version, base: Some(led_to), local: sent.local, sent: None, ..row.clone() })
        }
        (Some(cloud), Some(base)) if version == row.cloud && cloud.same(base) => Fate::Waiting(sent, led_to),
        (None, None) => Fate::Waiting(sent, led_to),
        (Some(_), Some(_)) if version == row.cloud.saturating_add(1) => Fate::Known(Row { sent: None, ..row.clone() }),
        _ => Fate::Unknown(led_to),
    }
}

fn settle(view: &View<'_>, version: u64, cloud: Option<&State>, claimed: bool) -> Plan {
    let (row, sent) = match fate(view.row, version, cloud) {
        Fate::Known(row) => (row, None),
        Fate::Unknown(led_to) => (Row { sent: None, ..view.row.clone() }, Some(led_to)),
        Fate::Waiting(sent, led_to) => {
            let local = Seen::of(view.local);
            // What was refused for good will not come.
            let is_dead = view.refused.is_some_and(|(code, _)| code != 409) && local != sent.local;
            if !is_dead && local != Seen::Absent && view.direction != Direction::FromCloud {
                return send_again(view, &sent);
            }
            let sent = (!is_dead).then_some(sent);
            (Row { sent, ..view.row.clone() }, (!is_dead).then_some(led_to))
        }
    };
    let local = view.local.and_then(Stored::live).map(State::of);
    let target = match target(view, &row, local.as_ref(), cloud.map(|cloud| (version, cloud)), sent.as_ref(), claimed) {
        Target::Is(target) => target,
        Target::Leave => {
            let row = Row { cloud: version, base: None, local: Seen::of(view.local), since: None, sent: None, ..row };
            return Plan::made(None, row, None);
        }
    };
    let (change, local) = match change(view, local.as_ref(), target.as_ref()) {
        Ok(change) => change,
        Err(rejection) => return Plan::Stop(Stop::Local(rejection)),
    };
    let row = Row { cloud: version, base: cloud.cloned(), ..row };
    finish(view, row, change, local, ask(view, version, cloud, target.as_ref()))
}

fn send_again(view: &View<'_>, sent: &Sent) -> Plan {
    let row = view.row;
    let version = match (view.refused, &row.base) {
        (None | Some((409, _)), Some(_)) => Some(row.cloud),
        (Some((400, times)), None) if times > SHADOW_SYNC_BARE_AFTER => return Plan::Stop(Stop::Refused),
        (None | Some((400 | 409, _)), None) => version_of_nothing(view),
        (Some(_), _) => return Plan::Stop(Stop::Refused),
    };
    let ask = Ask::Update { patch: sent.patch.clone(), version };
    let since = row.since.or(Some(view.now));
    Plan::made(None, Row { since, ..row.clone() }, Some(ask))
}

/// What a first document expects: none, which is 1. A cloud that does not know this gets none in the end.
fn version_of_nothing(view: &View<'_>) -> Option<u64> {
    let insists = view.row.base.is_none() && view.refused.is_some_and(|(_, times)| times >= SHADOW_SYNC_BARE_AFTER);
    (!insists).then_some(1)
}

enum Target {
    /// What both are to be; none is deleted.
    Is(Option<State>),
    /// The side that others follow has nothing to say.
    Leave,
}

fn target(
    view: &View<'_>,
    row: &Row,
    local: Option<&State>,
    cloud: Option<(u64, &State)>,
    sent: Option<&State>,
    claimed: bool,
) -> Target {
    let met = row.base.is_some();
    let nothing = State::default();
    let one = match (view.direction, local, cloud) {
        (Direction::ToCloud, None, _) | (Direction::FromCloud, _, None) if !met => return Target::Leave,
        (Direction::ToCloud, local, _) => local,
        (Direction::FromCloud, _, cloud) => cloud.map(|(_, state)| state),
        (Direction::Both, Some(local), Some((_, cloud))) => {
            let base = row.base.as_ref().unwrap_or(&nothing);
            return Target::Is(Some(merge3(base, sent, local, cloud, view.winners)));
        }
        (Direction::Both, Some(local), None) => {
            let touched = row.since.is_some() || Seen::of(view.local) != row.local || sent.is_some();
            let ours = !claimed && row.deleted.is_some_and(|until| view.now < until);
            (!met || touched || ours).then_some(local)
        }
        (Direction::Both, None, Some((version, cloud))) => (!met || version != row.cloud).then_some(cloud),
        (Direction::Both, None, None) => None,
    };
    Target::Is(one.cloned())
}

/// What makes the local document the target, and which document that will be.
fn change(view: &View<'_>, local: Option<&State>, target: Option<&State>) -> Result<(Option<Change>, Seen), Rejection> {
    let from = Seen::of(view.local);
    let nothing = State::default();
    let patch = match (local, target) {
        (None, None) => return Ok((None, from)),
        (Some(_), None) => {
            return Ok((Some(Change { from, request: Request::Delete { token: None } }), Seen::Absent));
        }
        (local, Some(target)) => target.patch_from(local.unwrap_or(&nothing)),
    };
    if local.is_some() && patch.is_empty() {
        return Ok((None, from));
    }
    if target.is_some_and(|target| target.depth() > view.limits.depth) {
        return Err(Rejection::TooDeep { maximum: view.limits.depth });
    }
    let expected = match from {
        Seen::Absent => Expected::Nothing,
        Seen::Live(version) => Expected::Version(version),
    };
    let update = Update { state: Value::Object(patch), expected, token: None };
    let after = update.apply(view.local, view.wall, view.limits)?;
    Ok((Some(Change { from, request: Request::Update(update) }), Seen::Live(after.version)))
}

fn ask(view: &View<'_>, version: u64, cloud: Option<&State>, target: Option<&State>) -> Option<Ask> {
    match (cloud, target) {
        (None, None) => None,
        (Some(_), None) => Some(Ask::Delete),
        (Some(cloud), Some(target)) => {
            let patch = target.patch_from(cloud);
            (!patch.is_empty()).then_some(Ask::Update { patch, version: Some(version) })
        }
        (None, Some(target)) => {
            Some(Ask::Update { patch: target.patch_from(&State::default()), version: version_of_nothing(view) })
        }
    }
}

fn finish(view: &View<'_>, row: Row, change: Option<Change>, local: Seen, ask: Option<Ask>) -> Plan {
    let since = row.since.or(Some(view.now));
    let row = match &ask {
        None => Row { local, since: None, sent: None, ..row },
        Some(Ask::Update { patch, .. }) => Row { sent: Some(Sent { patch: patch.clone(), local }), since, ..row },
        Some(Ask::Delete) => {
            let until = view.now.saturating_add(SHADOW_SYNC_LATE_DELETE.as_secs());
            Row { deleted: Some(until), since, ..row }
        }
    };
    Plan::made(change, row, ask)
}

//! The plan of one message: its readers, or the circle that it runs in.

use smallvec::SmallVec;

use super::{Circle, ReaderId, RoutingTable};
use crate::limits::HOPS;
use crate::message::{Envelope, Origin, Qos};
use crate::topic::Topic;

/// Each reader once, in an order that depends on the table alone.
pub type Readers = SmallVec<[ReaderId; 8]>;

/// What is to become of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It goes to these.
    Readers(Readers),
    /// It goes nowhere: too many handlings led to it.
    Circle(Circle),
}

/// A route as the trie holds it. The order is what planning needs: each owner's readers together, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    pub owner: Option<u32>,
    pub reader: ReaderId,
    pub own: bool,
    pub qos0: bool,
}

impl Member {
    /// Members of the same group get a message once.
    fn group(&self) -> Result<u32, ReaderId> {
        self.owner.ok_or(self.reader)
    }
}

impl RoutingTable {
    /// Decides who gets a message. Of each owner it is a durable reader if there is one, and the lowest number.
    pub fn plan(&self, envelope: &Envelope) -> Plan {
        if envelope.hops > HOPS {
            return Plan::Circle(Circle::of(envelope));
        }
        let publisher = match &envelope.origin {
            Origin::Component(name) => Some(&**name),
            _ => None,
        };
        Plan::Readers(self.readers(&envelope.message.topic, envelope.message.qos, publisher))
    }

    /// Who would get a message; `publisher` is the component that says it, if one does.
    pub fn readers(&self, topic: &Topic, qos: Qos, publisher: Option<&str>) -> Readers {
        let publisher = publisher.and_then(|name| self.number_of(name));
        let qos0 = qos == Qos::AtMostOnce;
        let hears = |member: &Member| {
            (member.own || publisher.is_none() || member.owner != publisher) && (member.qos0 || !qos0)
        };
        let mut lists = 0;
        let mut members: SmallVec<[Member; 8]> = SmallVec::new();
        self.trie.visit(topic, |list| {
            lists += 1;
            members.extend(list.iter().copied().filter(hears));
        });
        if lists > 1 {
            members.sort();
        }
        members.dedup_by_key(|member| member.group());
        members.into_iter().map(|member| member.reader).collect()
    }
}

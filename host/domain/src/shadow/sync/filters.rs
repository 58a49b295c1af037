//! What to subscribe to in order to hear of shadows: four filters a thing, however many shadows it has.
//!
//! Answers to our own requests and to everybody else's come on the same topics, so these are enough to hear of every
//! change. Nothing more is subscribed to: what differs and the whole documents come on topics of their own, and nobody
//! here needs them.

use thiserror::Error;

use crate::limits::SHADOW_SYNC_THINGS;
use crate::link::{Profile, Unfit};
use crate::shadow::ThingName;
use crate::topic::{Filter, TopicError};

/// Filters that one thing takes.
pub const FILTERS_PER_THING: usize = 4;

/// Why a cloud link cannot carry the shadows of so many things.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TooMany {
    #[error(
        "the shadows of {things} things take {needed} subscriptions beside the {others} of the downlinks, and the profile `{profile}` permits {most} a connection; synchronise the shadows of at most {fits} things on this link"
    )]
    Subscriptions { things: usize, needed: usize, others: usize, profile: &'static str, most: usize, fits: usize },
    #[error("shadows of {things} things are synchronised; at most {SHADOW_SYNC_THINGS} may be")]
    Things { things: usize },
    #[error("the thing `{thing}`: {unfit}")]
    Filter { thing: ThingName, unfit: Unfit },
}

/// Of things, each once, in their order.
pub fn filters<'a>(things: impl IntoIterator<Item = &'a ThingName>) -> Result<Vec<Filter>, TopicError> {
    things.into_iter().flat_map(texts).map(Filter::parse).collect()
}

fn texts(thing: &ThingName) -> [String; FILTERS_PER_THING] {
    ["+/accepted", "+/rejected", "name/+/+/accepted", "name/+/+/rejected"]
        .map(|rest| format!("$aws/things/{thing}/shadow/{rest}"))
}

/// Whether a link of that profile can hear of these things beside `others` filters. How many go into one SUBSCRIBE is
/// the link's affair: it knows the profile.
pub fn fit(things: &[&ThingName], others: usize, profile: &Profile) -> Result<(), TooMany> {
    let most = profile.subscriptions;
    let needed = things.len().saturating_mul(FILTERS_PER_THING);
    if things.len() > SHADOW_SYNC_THINGS {
        return Err(TooMany::Things { things: things.len() });
    }
    if needed.saturating_add(others) > most {
        let fits = most.saturating_sub(others) / FILTERS_PER_THING;
        return Err(TooMany::Subscriptions { things: things.len(), needed, others, profile: profile.name, most, fits });
    }
    things.iter().try_for_each(|thing| {
        let unfit = texts(thing).iter().find_map(|text| profile.permits_topic(text).err());
        unfit.map_or(Ok(()), |unfit| Err(TooMany::Filter { thing: (*thing).clone(), unfit }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shadow::{Reply, RequestTopic, ShadowId, ShadowName, Verb};

    fn thing(text: &str) -> ThingName {
        ThingName::parse(text).unwrap()
    }

    #[test]
    fn four_filters_hear_every_answer_about_every_shadow_of_a_thing_and_of_no_other() {
        let filters = filters([&thing("gw")]).unwrap();
        assert_eq!(filters.len(), FILTERS_PER_THING);
        for name in [None, Some("lamp"), Some("name"), Some("get")] {
            for verb in Verb::ALL {
                for reply in [Reply::Accepted, Reply::Rejected] {
                    let of = |thing: ThingName| {
                        let id = ShadowId { thing, name: name.map(|name| ShadowName::parse(name).unwrap()) };
                        let topic = RequestTopic { id, verb }.reply(reply).unwrap();
                        filters.iter().filter(|filter| filter.matches(&topic)).count()
                    };
                    assert_eq!((of(thing("gw")), of(thing("gw2"))), (1, 0), "{name:?} {verb:?} {reply:?}");
                }
            }
        }
    }

    #[test]
    fn more_things_than_a_connection_can_hear_of_are_refused_with_the_number_that_fits() {
        let aws = Profile::named("aws-iot-core").unwrap();
        let names: Vec<ThingName> = (0..13).map(|number| thing(&format!("thing-{number}"))).collect();
        let things: Vec<&ThingName> = names.iter().collect();
        assert_eq!(fit(&things[..12], 2, aws), Ok(()));
        let told = [fit(&things, 0, aws), fit(&things[..12], 3, aws)].map(|refused| refused.unwrap_err().to_string());
        assert_eq!(
            told[0],
            "the shadows of 13 things take 52 subscriptions beside the 0 of the downlinks, and the profile `aws-iot-core` permits 50 a connection; synchronise the shadows of at most 12 things on this link"
        );
        assert!(told[1].ends_with("at most 11 things on this link"), "{}", told[1]);
        assert_eq!(fit(&[&thing(&"t".repeat(128))], 0, aws), Ok(()), "the longest name");
    }
}

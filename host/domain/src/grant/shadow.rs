//! Shadows: each of reading, reporting and desiring is asked for by itself, and several grants may permit it together.

use super::{Denied, Grants, Refused};
use crate::config::{Allow, Which};
use crate::shadow::{NameError, Section, ShadowId, ShadowName, ThingName, Update};

impl Grants {
    /// The shadow that a guest means. Without a thing it is one of the gateway's own.
    pub fn shadow_id(&self, thing: Option<&str>, name: Option<&str>) -> Result<ShadowId, NameError> {
        let name = name.map(ShadowName::parse).transpose()?;
        Ok(ShadowId { thing: self.thing(thing)?, name })
    }

    /// The thing that a guest means.
    pub fn thing(&self, thing: Option<&str>) -> Result<ThingName, NameError> {
        match thing {
            Some(thing) => ThingName::parse(thing),
            None => self.table.thing.clone().ok_or(NameError::ThingEmpty),
        }
    }

    pub fn shadow_read(&self, id: &ShadowId) -> Result<(), Denied> {
        self.shadow(id, Allow::READ)
    }

    /// Whether it may ask for this: every section that it touches counts.
    pub fn shadow_update(&self, id: &ShadowId, update: &Update) -> Result<(), Denied> {
        let touched = [Section::Reported, Section::Desired].into_iter().filter(|section| update.touches(*section));
        self.shadow(id, touched.fold(Allow::default(), |all, section| all.and(Allow::to_change(section))))
    }

    pub fn shadow_delete(&self, id: &ShadowId) -> Result<(), Denied> {
        self.shadow(id, Allow::DELETE)
    }

    /// Whether it may read every named shadow of the thing, and so know which there are.
    pub fn shadow_list(&self, thing: &ThingName) -> Result<(), Denied> {
        let may = self
            .table
            .shadow
            .values()
            .any(|grant| grant.allow.read && grant.which == Which::EveryNamed && grant.covers_thing(thing));
        if may { Ok(()) } else { Err(self.denied(thing, Which::EveryNamed, Allow::READ)) }
    }

    fn shadow(&self, id: &ShadowId, wanted: Allow) -> Result<(), Denied> {
        let covering = self.table.shadow.values().filter(|grant| grant.covers(id));
        if covering.fold(Allow::default(), |all, grant| all.and(grant.allow)).includes(wanted) {
            return Ok(());
        }
        Err(self.denied(&id.thing, Which::of(id.name.as_ref()), wanted))
    }

    fn denied(&self, thing: &ThingName, which: Which, allow: Allow) -> Denied {
        self.deny(Refused::Shadow { thing: thing.clone(), which, allow })
    }
}

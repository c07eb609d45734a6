//! At most one write per object is under way from one replica, no two attempts on the Lease look the
//! same, and who wishes for the Lease leaves the attempt that is in it as it is.

use std::collections::{BTreeMap, BTreeSet};

use porter_core::{EipName, Identity, Input, Output, ServiceName, Timestamp, Write, WriteId};

use super::Violation;

#[derive(Clone, Debug, Default)]
pub(super) struct Writes {
    under_way: BTreeMap<usize, BTreeMap<WriteId, Object>>,
    attempts: BTreeSet<(Identity, Timestamp)>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Object {
    Eip(EipName),
    Lease,
    Service(ServiceName),
}

impl Writes {
    pub(super) fn started(&mut self, id: usize) {
        self.under_way.remove(&id);
    }

    pub(super) fn told(&mut self, id: usize, input: &Input) {
        if let Input::Written(write_id, _) = input {
            self.under_way.entry(id).or_default().remove(write_id);
        }
    }

    pub(super) fn wanted(&mut self, id: usize, output: &Output) -> Result<(), Violation> {
        let Output::Write(write_id, write) = output else { return Ok(()) };
        let object = match write {
            Write::Eip(name, ..) => Object::Eip(name.clone()),
            Write::Lease(_, record) => {
                if let Some(holder) = &record.holder {
                    let new = self.attempts.insert((holder.clone(), record.renewed));
                    match &record.wanted_by {
                        Some(other) if new => {
                            let lie = format!("{other} writes a claim that {holder} never made");
                            return Err(Violation(lie));
                        }
                        None if !new => {
                            return Err(Violation(format!("{holder} writes one renewTime twice")));
                        }
                        Some(_) | None => {}
                    }
                }
                Object::Lease
            }
            Write::Service(name, ..) => Object::Service(name.clone()),
        };
        let under_way = self.under_way.entry(id).or_default();
        if under_way.values().any(|other| *other == object) {
            return Err(Violation(format!("{object:?} is written while a write is under way")));
        }
        match under_way.insert(*write_id, object) {
            Some(_) => Err(Violation(format!("{write_id:?} is used twice"))),
            None => Ok(()),
        }
    }
}

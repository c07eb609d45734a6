//! What came of a run.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    time::Duration,
};

use super::{Plan, Timed};
use crate::{Moment, Step, Trace, World};

/// What came of a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// The promise that was broken, if one was; the run ended there.
    pub violation: Option<Violation>,
    /// For how long the world existed, in its own time.
    pub simulated: Duration,
    /// How many events there were.
    pub events: u64,
    /// How often each kind of fault was done to it.
    pub faults: BTreeMap<String, u64>,
    /// How often each of the things happened that have to happen in some runs.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// How often two replicas could have spoken at one moment because clocks were off by more than
    /// is bounded.
    pub overlaps: u64,
    /// Everything that happened, one line per event worth reading; of a run that went well only if
    /// it was asked for.
    pub transcript: String,
}

/// A promise that was broken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// What kind of promise.
    pub broken: Broken,
    /// How, in words.
    pub what: String,
}

/// What kind of promise was broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Broken {
    /// Something happened that must never be.
    Never,
    /// Something did not happen that is owed once faults have stopped.
    Owed,
    /// The code under test panicked.
    Panic,
}

impl Plan {
    /// Runs it: the faults, then what is owed once they have stopped.
    pub fn run(&self) -> Outcome {
        self.run_with(false)
    }

    /// Runs it and keeps the transcript, however it ends.
    pub fn run_told(&self) -> Outcome {
        self.run_with(true)
    }

    /// Runs it and keeps the transcript, and all that a page of it shows.
    pub fn run_recorded(&self) -> (Outcome, Trace) {
        let mut world = self.setting.world();
        world.record();
        let outcome = self.run_in(&mut world, true);
        (outcome, world.trace().expect("it is recorded from the beginning"))
    }

    fn run_with(&self, told: bool) -> Outcome {
        self.run_in(&mut self.setting.world(), told)
    }

    fn run_in(&self, world: &mut World, told: bool) -> Outcome {
        let ended = panic::catch_unwind(AssertUnwindSafe(|| self.play(world)));
        let never = world.violation().map(str::to_owned);
        let violation = match (never, ended) {
            (Some(what), _) => Some(Violation { broken: Broken::Never, what }),
            (None, Ok(Err(what))) => {
                Some(Violation { broken: Broken::Owed, what: format!("it is owed that {what}") })
            }
            (None, Err(panic)) => Some(Violation { broken: Broken::Panic, what: message(&*panic) }),
            (None, Ok(Ok(()))) => None,
        };
        let mut faults = BTreeMap::new();
        for Timed(_, step) in &self.faults {
            *faults.entry(step.kind()).or_default() += 1;
        }
        Outcome {
            simulated: world.now().since(Moment::ZERO),
            events: world.n_events(),
            faults,
            sometimes: world.sometimes(),
            overlaps: world.n_overlaps(),
            transcript: match told || violation.is_some() {
                true => world.transcript(),
                false => String::new(),
            },
            violation,
        }
    }

    fn play(&self, world: &mut World) -> Result<(), String> {
        let mut asked = 0;
        for Timed(at, step) in &self.faults {
            self.wait_until(world, *at, &mut asked);
            if world.violation().is_some() {
                return Ok(());
            }
            world.step(step);
        }
        world.leave_outside(self.setting.outside.iter().map(|node| usize::from(*node)));
        world.agree()?;
        world.attempt(self.setting.trial)
    }

    /// Lets the world go on, while a host outside asks for one EIP after the other: every second
    /// time it has forgotten what it knew.
    fn wait_until(&self, world: &mut World, at_ms: u32, asked: &mut u32) {
        let at = |millis| Moment::ZERO + Duration::from_millis(u64::from(millis));
        let every = self.setting.asks_every_ms;
        while every > 0 && world.violation().is_none() {
            let next_ms = asked.saturating_add(every);
            if next_ms >= at_ms {
                break;
            }
            *asked = next_ms;
            world.run(at(next_ms).since(world.now()));
            let n = next_ms / every;
            let service = n / 2 % u32::from(self.setting.services.max(1));
            let service = u8::try_from(service).expect("there are fewer than 256 Services");
            world.step(&if n.is_multiple_of(2) { Step::Ask(service) } else { Step::Ping(service) });
        }
        world.run(at(at_ms).since(world.now()));
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a word"))
}

//! Everything at one time, and what each action makes of it.

use std::{collections::BTreeSet, mem, sync::Arc};

use super::{
    Action, Scope,
    api::Api,
    replica::{Call, Replica},
};
use crate::{ServiceChange, Write, WriteError, Written};

/// One state of everything.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) api: Arc<Api>,
    pub(super) replicas: Vec<Arc<Replica>>,
    pub(super) holder: usize,
    pub(super) commits: Vec<Commit>,
    /// How far in the order of the commits the LAN was told.
    pub(super) told: usize,
    /// Whether it was told of a node that is not among them, or before what it was told already.
    pub(super) misled: bool,
    pub(super) moves: u8,
    pub(super) passes: u8,
    pub(super) faults: u8,
    pub(super) news: BTreeSet<News>,
}

/// A node was put on record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Commit {
    pub(super) node: usize,
    pub(super) by: usize,
}

/// What the last action brought: without it, nothing would be proved.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum News {
    /// The LAN was told, without having asked, that the EIP has moved.
    Announced,
    /// A replica said by the commit of another what nobody had said before.
    Inherited,
    /// A node was said that was on record before the present one.
    Lagged,
    /// A write conflicted.
    Conflicted,
    /// A write that was given up had taken effect.
    Lost,
    /// It took effect afterwards.
    Landed,
}

impl World {
    pub(super) fn new(scope: Scope) -> Self {
        let mut api = calm();
        let replica = |name: usize| Replica::new(name, &api, 0, 0);
        let mut replicas: Vec<_> = (0..scope.replicas).map(replica).collect();
        replicas[0].take();
        settle(&mut replicas[0], &mut api);
        assert_eq!(replicas[0].responder.says(), Some(0), "it finds its node on record");
        assert_eq!(api.services.len(), 1, "a new leader writes nothing");
        Self {
            api: Arc::new(api),
            replicas: replicas.into_iter().map(Arc::new).collect(),
            holder: 0,
            commits: vec![Commit { node: 0, by: 0 }],
            told: 0,
            misled: false,
            moves: scope.moves,
            passes: scope.passes,
            faults: scope.faults,
            news: BTreeSet::new(),
        }
    }

    fn replica(&mut self, replica: usize) -> &mut Replica {
        let replica = Arc::make_mut(&mut self.replicas[replica]);
        replica.key.take();
        replica
    }

    /// Carries a write out, and takes down what it commits.
    fn write(&mut self, by: usize, write: &Write) -> Result<Written, WriteError> {
        let verdict = Arc::make_mut(&mut self.api).write(write);
        if matches!(verdict, Err(WriteError::Conflict)) {
            self.news.insert(News::Conflicted);
        }
        let node = self.api.node(self.api.services.len() - 1).expect("a record is not removed");
        if self.commits.last().is_some_and(|last| last.node != node) {
            self.commits.push(Commit { node, by });
        }
        verdict
    }

    /// Takes in that a replica tells the LAN where the EIP is.
    fn say(&mut self, by: usize, node: usize) {
        let later = &self.commits[self.told..];
        let Some(ahead) = later.iter().position(|commit| commit.node == node) else {
            self.misled = true;
            return;
        };
        self.told += ahead;
        if ahead > 0 && self.commits[self.told].by != by {
            self.news.insert(News::Inherited);
        }
        if self.commits[self.told..].iter().any(|commit| commit.node != node) {
            self.news.insert(News::Lagged);
        }
    }

    /// Whether the LAN was told what it must not be told: what a replica announces, and what anybody
    /// who asks would be told.
    fn listen(&mut self) {
        for number in 0..self.replicas.len() {
            for node in self.replicas[number].announced.clone() {
                self.say(number, node);
                if self.told > 0 {
                    self.news.insert(News::Announced);
                }
            }
        }
        for number in 0..self.replicas.len() {
            if let Some(node) = self.replicas[number].responder.says() {
                self.say(number, node);
            }
        }
    }

    fn give_up(&mut self, number: usize) {
        match mem::replace(&mut self.replica(number).call, Call::None) {
            Call::None => {}
            Call::Asked(id, write) => {
                let replica = self.replica(number);
                replica.astray = Some(write);
                replica.hear(id, Err(WriteError::Unknown));
            }
            Call::Judged(id, verdict) => {
                if verdict.is_ok() {
                    self.news.insert(News::Lost);
                }
                self.replica(number).hear(id, Err(WriteError::Unknown));
            }
        }
    }

    /// Carries out at once what is written into the status of the Service: nothing is said by it.
    fn judge_words(&mut self) {
        for number in 0..self.replicas.len() {
            while let Call::Asked(id, write) = &self.replicas[number].call
                && matches!(write, Write::Service(_, _, ServiceChange::Status(_)))
            {
                let (id, write) = (*id, write.clone());
                let verdict = self.write(number, &write);
                let replica = self.replica(number);
                replica.call = Call::None;
                replica.hear(id, verdict);
            }
        }
    }

    fn crash(&mut self, number: usize) {
        let dead = &self.replicas[number];
        let mut next = Replica::new(number, &self.api, dead.seen, dead.slice_seen);
        if let Call::Asked(_, write) = &dead.call {
            next.astray = Some(write.clone());
        }
        self.replicas[number] = Arc::new(next);
    }

    fn pass(&mut self, to: usize) {
        self.passes -= 1;
        let holder = mem::replace(&mut self.holder, to);
        self.replica(holder).lapse();
        self.replica(to).take();
    }

    pub(super) fn act(&mut self, action: Action) {
        self.news.clear();
        self.faults -= u8::from(action.is_fault());
        let api = Arc::clone(&self.api);
        match action {
            Action::Move => {
                self.moves -= 1;
                let ready = self.api.slices.last().expect("there is a slice");
                let ready = 1 - ready;
                Arc::make_mut(&mut self.api).slices.push(ready);
            }
            Action::Pass(to) => self.pass(to),
            Action::See(number) => self.replica(number).see(&api),
            Action::Skip(number) => self.replica(number).seen += 1,
            Action::Repeat(number) => {
                let replica = self.replica(number);
                replica.tell(api.sighting(replica.seen - 1));
            }
            Action::SeeSlice(number) => self.replica(number).see_slice(&api),
            Action::SkipSlice(number) => self.replica(number).slice_seen += 1,
            Action::Serve(number) => {
                if let Call::Asked(id, write) = self.replicas[number].call.clone() {
                    let verdict = self.write(number, &write);
                    self.replica(number).call = Call::Judged(id, Box::new(verdict));
                }
            }
            Action::Judge(number) => {
                let replica = self.replica(number);
                if let Call::Judged(id, verdict) = mem::replace(&mut replica.call, Call::None) {
                    replica.hear(id, *verdict);
                }
            }
            Action::GiveUp(number) => self.give_up(number),
            Action::ServeAstray(number) => {
                if let Some(write) = self.replica(number).astray.take()
                    && self.write(number, &write).is_ok()
                {
                    self.news.insert(News::Landed);
                }
            }
            Action::ServeRead(number, which) => self.replica(number).serve_read(which, &api),
            Action::AnswerRead(number, which) => self.replica(number).answer_read(which, &api),
            Action::FailRead(number, which) => self.replica(number).fail_read(which),
            Action::Come(number) => self.replica(number).responder.come(),
            Action::Acknowledge(number) => self.replica(number).acknowledge(),
            Action::Wake(number) => self.replica(number).wake(),
            Action::Crash(number) => self.crash(number),
        }
        self.judge_words();
        self.listen();
        let writes_it = self.replicas.iter().any(|replica| replica.eip_write.is_some());
        assert!(!writes_it, "the Eip is written, of which everything is on record");
        for replica in &mut self.replicas {
            if !replica.announced.is_empty() {
                Arc::make_mut(replica).announced.clear();
            }
        }
    }

    pub(super) fn actions(&self, actions: &mut Vec<Action>) {
        if self.moves > 0 {
            actions.push(Action::Move);
        }
        for (number, replica) in self.replicas.iter().enumerate() {
            if self.passes > 0 {
                actions.push(Action::Pass(number));
            }
            replica.actions(number, &self.api, actions);
            let is_free = replica.astray.is_none();
            if self.faults > 0 {
                if is_free && !matches!(replica.call, Call::None) {
                    actions.push(Action::GiveUp(number));
                }
                let reads = 0..replica.readings.len();
                actions.extend(reads.map(|which| Action::FailRead(number, which)));
                if is_free {
                    actions.push(Action::Crash(number));
                }
            }
        }
    }

    /// Whether the last action brought something.
    pub(super) fn brought(&self, news: News) -> bool {
        self.news.contains(&news)
    }
}

/// The API server when a first leader has put everything on record and nothing is left to be done.
fn calm() -> Api {
    let mut api = Api::new();
    let mut first = Replica::new(0, &api, 0, 0);
    first.take();
    settle(&mut first, &mut api);
    let newest = api.services.pop().expect("there is a Service");
    Api { services: vec![newest], ..api }
}

/// Does what one replica wants until it wants nothing.
fn settle(replica: &mut Replica, api: &mut Api) {
    loop {
        let mut actions = Vec::new();
        replica.actions(0, api, &mut actions);
        if let Some((id, write)) = replica.eip_write.take() {
            replica.hear(id, api.write(&write));
        } else if let Call::Asked(id, write) = mem::replace(&mut replica.call, Call::None) {
            replica.hear(id, api.write(&write));
        } else if !replica.readings.is_empty() {
            replica.serve_read(0, api);
            replica.answer_read(0, api);
        } else if actions.contains(&Action::See(0)) {
            replica.see(api);
        } else if replica.responder.lags() {
            replica.responder.come();
            replica.acknowledge();
        } else if actions.contains(&Action::Wake(0)) {
            replica.wake();
        } else {
            return;
        }
    }
}

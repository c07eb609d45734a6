//! On which CPUs threads run, and how long they did.

use std::{
    fs, hint, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

/// Who runs where.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Placement {
    /// Who asks and who answers share a CPU: nothing that an answer costs is hidden.
    One,
    /// Each has a CPU. The kernel answers on that of who asks.
    Two,
    /// Both run where the scheduler has them run.
    Any,
}

impl Placement {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one CPU",
            Self::Two => "two CPUs",
            Self::Any => "any CPU",
        }
    }
}

/// The CPUs that this process may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpus(CpuSet);

impl Cpus {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(sched_getaffinity(None)?))
    }

    fn each(&self) -> impl Iterator<Item = usize> {
        (0..CpuSet::MAX_CPU).filter(|&cpu| self.0.is_set(cpu))
    }

    /// Keeps the calling thread where it is to ask.
    pub(crate) fn ask(&self, placement: Placement) -> io::Result<()> {
        let cpus = match placement {
            Placement::One | Placement::Two => self.only(0),
            Placement::Any => self.0,
        };
        Ok(sched_setaffinity(None, &cpus)?)
    }

    /// Keeps a thread where it is to answer: the calling one, or another one of this process.
    pub(crate) fn answer(&self, placement: Placement, thread: Option<Thread>) -> io::Result<()> {
        let cpus = match placement {
            Placement::One => self.only(0),
            Placement::Two => self.only(1),
            Placement::Any => self.0,
        };
        Ok(sched_setaffinity(thread.and_then(|it| Pid::from_raw(it.0)), &cpus)?)
    }

    /// The CPU with this number among those there are, or the last.
    fn only(&self, number: usize) -> CpuSet {
        let mut cpus = CpuSet::new();
        cpus.set(self.each().take(number + 1).last().unwrap_or(0));
        cpus
    }

    /// Keeps every CPU busy, with two threads that have nothing to do, until it is dropped.
    pub(crate) fn busy(&self) -> io::Result<Busy> {
        let ends = Arc::new(AtomicBool::new(false));
        let twice = self.each().flat_map(|cpu| [cpu, cpu]);
        let threads = twice.map(|cpu| {
            let ends = Arc::clone(&ends);
            thread::Builder::new().name("busy".into()).spawn(move || {
                let mut cpus = CpuSet::new();
                cpus.set(cpu);
                // Where it may not run there, it is busy elsewhere.
                let _ = sched_setaffinity(None, &cpus);
                while !ends.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            })
        });
        let threads = threads.collect::<io::Result<Vec<_>>>()?;
        Ok(Busy { ends, threads })
    }
}

/// Threads that keep CPUs busy.
pub(crate) struct Busy {
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It cannot have panicked.
            let _ = thread.join();
        }
    }
}

/// Has the calling thread run before others, so that what it measures is not that it waits. Where that
/// is refused, it waits as others do.
pub(crate) fn hurry() {
    let _ = rustix::process::setpriority_process(None, -15);
}

/// Has it run like others again.
pub(crate) fn hurry_no_more() {
    let _ = rustix::process::setpriority_process(None, 0);
}

/// A thread of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread(pub(crate) i32);

impl Thread {
    /// Those whose name begins like this.
    pub(crate) fn named(prefix: &str) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc/self/task")? {
            let entry = entry?;
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let id = entry.file_name().to_str().and_then(|id| id.parse().ok());
            found.extend(id.filter(|_| name.starts_with(prefix)).map(Self));
        }
        Ok(found)
    }

    /// How long it has run. Exact while it waits for something.
    pub(crate) fn ran(self) -> io::Result<Duration> {
        let told = fs::read_to_string(format!("/proc/self/task/{}/schedstat", self.0))?;
        let nanos = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
        Ok(Duration::from_nanos(nanos.unwrap_or(0)))
    }
}

/// How long the calling thread has run.
pub(crate) fn own() -> Duration {
    since_zero(ClockId::ThreadCPUTime)
}

/// How long all threads of this process have run.
pub(crate) fn process() -> Duration {
    since_zero(ClockId::ProcessCPUTime)
}

fn since_zero(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::try_from(time).unwrap_or_default()
}

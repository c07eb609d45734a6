//! On which CPUs threads run, and how long they did.

use std::{fs, io, time::Duration};

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
}

impl Placement {
    pub(crate) const BOTH: [Self; 2] = [Self::One, Self::Two];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one CPU",
            Self::Two => "two CPUs",
        }
    }
}

/// The CPUs that this process may use: one to ask from, and another one if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpus {
    asking: usize,
    answering: usize,
}

impl Cpus {
    pub(crate) fn new() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu));
        let answering = allowed.next().unwrap_or(0);
        Ok(Self { asking: allowed.next().unwrap_or(answering), answering })
    }

    /// Keeps the calling thread where questions come from.
    pub(crate) fn ask_here(&self) -> io::Result<()> {
        pin(None, self.asking)
    }

    /// Keeps the calling thread where answers come from.
    pub(crate) fn answer_here(&self) -> io::Result<()> {
        pin(None, self.answering)
    }

    /// Keeps another thread of this process where it is to answer.
    pub(crate) fn place(&self, thread: Thread, placement: Placement) -> io::Result<()> {
        let cpu = match placement {
            Placement::One => self.asking,
            Placement::Two => self.answering,
        };
        pin(Pid::from_raw(thread.0), cpu)
    }
}

fn pin(thread: Option<Pid>, cpu: usize) -> io::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    Ok(sched_setaffinity(thread, &cpus)?)
}

/// A thread of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread(i32);

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

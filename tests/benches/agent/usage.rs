//! What processes and threads have used, as the kernel counts it.

use std::{fs, io, time::Duration};

/// The kernel counts processor time in hundredths of a second here, whatever it runs at.
const TICK: Duration = Duration::from_millis(10);

/// The processor time of a process, in user and kernel mode.
pub(crate) fn cpu(pid: u32) -> Duration {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(Duration::ZERO, |stat| time_in(&stat))
}

/// That of those threads of this process that have a name.
pub(crate) fn cpu_of_threads(name: &str) -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task")? {
        let stat = fs::read_to_string(task?.path().join("stat")).unwrap_or_default();
        if stat.contains(&format!("({name})")) {
            sum += time_in(&stat);
        }
    }
    Ok(sum)
}

fn time_in(stat: &str) -> Duration {
    // The name in parentheses may contain anything; behind it is field 3 (proc(5)).
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let mut times = fields.split(' ').skip(11).map(|ticks| ticks.parse().unwrap_or(0));
    TICK * (times.next().unwrap_or(0) + times.next().unwrap_or(0))
}

/// The memory of a process that is in RAM, in MiB, and the most since [`forget_peak`].
pub(crate) fn memory(pid: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        kib.unwrap_or(f64::NAN) / 1_024.0
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Has the kernel look for the most memory from now on.
pub(crate) fn forget_peak(pid: u32) {
    // Where it does not, the peak is that since the process began.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// The bytes that passed the loopback link, headers and both directions together: all that the agent
/// and the API server said to each other.
pub(crate) fn loopback_bytes() -> u64 {
    let links = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    let line = links.lines().find_map(|line| line.trim().strip_prefix("lo:").map(str::to_owned));
    let received = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    received.unwrap_or(0)
}

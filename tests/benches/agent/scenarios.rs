//! What happens, step by step, and what is measured of it.

use std::{
    collections::BTreeMap,
    error::Error,
    fs, io,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use pnet::util::MacAddr;
use porter_sim::apiserver::{Resource, Store};

use crate::{
    Options,
    agent::Agent,
    api_server::{self, ApiServer},
    lan::{Far, mac_of},
    objects,
    table::{Table, progress},
    usage,
};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(600);
/// When this long nothing was written, nothing will be.
const QUIET: Duration = Duration::from_secs(2);
/// After the last change this long, what waits for its time has been done.
const CALM: Duration = Duration::from_secs(8);
/// How often a node tells that it is alive, by way of its status.
const HEARTBEAT: Duration = Duration::from_secs(300);

/// The wall clock and what was used until then.
struct Reading {
    at: Instant,
    agent: Duration,
    api_server: Duration,
    bytes: u64,
}

impl Reading {
    fn new(agent: &Agent) -> io::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            agent: usage::cpu(agent.pid()),
            api_server: usage::cpu_of_threads(api_server::THREADS)?,
            bytes: usage::loopback_bytes(),
        })
    }

    /// Tells what a busy time cost, from an earlier reading on.
    fn tell_work(&self, before: &Self, case: &'static str, table: &mut Table) {
        let agent = (self.agent - before.agent).as_secs_f64();
        let api_server = (self.api_server - before.api_server).as_secs_f64();
        let share = 100.0 * api_server / (agent + api_server);
        table.add(case, "processor time of the agent", agent, "s");
        table.add(case, "processor time of the API server", api_server, "s");
        table.add(case, "the API server's share of both", share, "%");
        tell_bytes(self.bytes - before.bytes, case, table);
    }

    /// Tells what a quiet time cost.
    fn tell_quiet(&self, before: &Self, case: &'static str, table: &mut Table) {
        let wall = (self.at - before.at).as_secs_f64();
        let percent = |busy: Duration| 100.0 * busy.as_secs_f64() / wall;
        table.add(case, "agent, of one core", percent(self.agent - before.agent), "%");
        let api_server = percent(self.api_server - before.api_server);
        table.add(case, "API server, of one core", api_server, "%");
        let kib = (self.bytes - before.bytes) as f64 / 1_024.0;
        table.add(case, "between both, all bytes a minute", kib * 60.0 / wall, "KiB");
    }
}

fn tell_bytes(bytes: u64, case: &'static str, table: &mut Table) {
    table.add(case, "between both, all bytes", bytes as f64 / f64::from(1 << 20), "MiB");
}

fn tell_memory(agent: &Agent, case: &'static str, table: &mut Table) {
    let (now, peak) = usage::memory(agent.pid());
    table.add(case, "memory", now, "MiB");
    table.add(case, "memory at most", peak, "MiB");
    usage::forget_peak(agent.pid());
}

fn tell_writes(counted: &api_server::Traffic, case: &'static str, table: &mut Table) {
    for resource in ["services", "eips", "events"] {
        let (n_writes, bytes) =
            counted.sum(|verb, of| of == resource && matches!(verb, "patch" | "update" | "create"));
        table.add(case, format!("writes of {resource}"), n_writes as f64, "");
        let kib = bytes as f64 / 1_024.0;
        table.add(case, format!("writes of {resource}, bodies"), kib, "KiB");
    }
}

/// Looks at an agent that has nothing to do.
fn look(
    (api, agent): (&ApiServer, &Agent),
    span: Duration,
    case: &'static str,
    table: &mut Table,
) -> io::Result<()> {
    let before = Reading::new(agent)?;
    api.count();
    usage::forget_peak(agent.pid());
    thread::sleep(span);
    let counted = api.count();
    Reading::new(agent)?.tell_quiet(&before, case, table);
    tell_memory(agent, case, table);
    let minutes = span.as_secs_f64() / 60.0;
    let mut by_verb = BTreeMap::<_, u64>::new();
    for ((verb, resource), (n_requests, _)) in &counted.requests {
        *by_verb.entry((*verb, resource == "leases")).or_default() += n_requests;
    }
    for ((verb, of_lease), n_requests) in by_verb {
        let what = if of_lease { " of the Lease" } else { "" };
        table.add(case, format!("{verb}{what}, a minute"), n_requests as f64 / minutes, "");
    }
    Ok(())
}

/// Waits until somebody holds the Lease.
fn led(store: &Store) -> Result<Instant, Box<dyn Error>> {
    let began = Instant::now();
    loop {
        let lease = store.get(&Resource::LEASES, Some("porter-system"), "porter-speaker");
        if lease
            .is_ok_and(|it| it["spec"]["holderIdentity"].as_str().is_some_and(|it| !it.is_empty()))
        {
            return Ok(Instant::now());
        }
        if began.elapsed() > PATIENCE {
            return Err("nobody leads".into());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn lab(options: &Options, table: &mut Table) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let directory = tempfile::tempdir()?;
    let mut lab = Command::new(&options.binary);
    lab.args(["lab", "--once"]).env("XDG_RUNTIME_DIR", directory.path());
    let ended = lab.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if !ended.success() {
        return Err("the lab does not verify the guide".into());
    }
    table.add("lab", "up, 13 statements verified, down", began.elapsed().as_secs_f64(), "s");
    Ok(())
}

pub(crate) fn start(options: &Options, far: &Far, table: &mut Table) -> Result<(), Box<dyn Error>> {
    const CASE: &str = "cold start";
    let api = ApiServer::start()?;
    far.reset(10);
    objects::found(&api.store, 10, options.services);
    let agent = Agent::start(options, api.address)?;
    let ready = agent.ready()?;
    let led = led(&api.store)? - agent.started_at;
    let size = fs::metadata(&options.binary)?.len() as f64 / f64::from(1 << 20);
    table.add(CASE, "size of the binary", size, "MiB");
    table.add(CASE, "start to ready", 1_000.0 * ready.as_secs_f64(), "ms");
    table.add(CASE, "start to the Lease", 1_000.0 * led.as_secs_f64(), "ms");
    let used = usage::cpu(agent.pid()).as_secs_f64();
    table.add(CASE, "processor time of the agent", 1_000.0 * used, "ms");
    tell_memory(&agent, CASE, table);
    agent.leave()?;
    Ok(())
}

pub(crate) fn load(options: &Options, far: &Far, table: &mut Table) -> Result<(), Box<dyn Error>> {
    let n_nodes = options.services.div_ceil(1_000).max(3);
    let api = ApiServer::start()?;
    far.reset(n_nodes);
    objects::found(&api.store, n_nodes, options.services);
    for service in 0..options.services {
        objects::create_slice(&api.store, &format!("web-{service}"), service, n_nodes);
    }
    let agent = Agent::start(options, api.address)?;
    agent.ready()?;
    led(&api.store)?;
    thread::sleep(QUIET);
    created(options, (&api, &agent, far), table)?;
    thread::sleep(CALM);
    far.calm(usize::from(options.services));
    look((&api, &agent), Duration::from_secs(options.steady), "steady state", table)?;
    agent.leave()?;
    let agent = restarted(options, (&api, far), table)?;
    thread::sleep(CALM);
    far.calm(usize::from(options.services));
    moved((&api, &agent, far), n_nodes, table)?;
    agent.leave()?;
    Ok(())
}

/// All Services come at once.
fn created(
    options: &Options,
    (api, agent, far): (&ApiServer, &Agent, &Far),
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    const CASE: &str = "Services created at once";
    api.count();
    far.forget();
    usage::forget_peak(agent.pid());
    let before = Reading::new(agent)?;
    for service in 0..options.services {
        objects::create_service(&api.store, &format!("web-{service}"));
    }
    table.add(CASE, "first to last created", before.at.elapsed().as_secs_f64(), "s");
    let eips = objects::eip_addresses(options.services);
    let answered_at = far.all_answered(eips.clone(), PATIENCE)?;
    table.add(CASE, "first created to last answered", (answered_at - before.at).as_secs_f64(), "s");
    Reading::new(agent)?.tell_work(&before, CASE, table);
    api.settle(QUIET);
    let written_at = Instant::now() - QUIET;
    table.add(CASE, "first created to last written", (written_at - before.at).as_secs_f64(), "s");
    let announced_at = all_announced(far, usize::from(options.services))?;
    let announced = (announced_at - before.at).as_secs_f64();
    table.add(CASE, "first created to last announced", announced, "s");
    tell_writes(&api.count(), CASE, table);
    tell_memory(agent, CASE, table);
    Ok(())
}

/// The only replica is replaced by another process.
fn restarted(
    options: &Options,
    (api, far): (&ApiServer, &Far),
    table: &mut Table,
) -> Result<Agent, Box<dyn Error>> {
    const CASE: &str = "start with all Services on record";
    far.forget();
    api.count();
    let mut before =
        Reading { at: Instant::now(), agent: Duration::ZERO, api_server: Duration::ZERO, bytes: 0 };
    before.api_server = usage::cpu_of_threads(api_server::THREADS)?;
    before.bytes = usage::loopback_bytes();
    let agent = Agent::start(options, api.address)?;
    let ready = agent.ready()?;
    table.add(CASE, "start to ready", ready.as_secs_f64(), "s");
    let answered_at = far.all_answered(objects::eip_addresses(options.services), PATIENCE)?;
    let answered = (answered_at - agent.started_at).as_secs_f64();
    table.add(CASE, "start to last answered", answered, "s");
    Reading::new(&agent)?.tell_work(&before, CASE, table);
    let announced_at = all_announced(far, usize::from(options.services))?;
    let announced = (announced_at - agent.started_at).as_secs_f64();
    table.add(CASE, "start to last announced", announced, "s");
    api.settle(QUIET);
    tell_writes(&api.count(), CASE, table);
    tell_memory(&agent, CASE, table);
    Ok(agent)
}

/// A node with about a thousand EIPs is silent from now on.
fn moved(
    (api, agent, far): (&ApiServer, &Agent, &Far),
    n_nodes: u16,
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    const CASE: &str = "a node dies";
    let places = far.announced();
    let of = |mac: MacAddr| places.values().filter(|(at, _)| *at == mac).count();
    let node = (1..n_nodes).min_by_key(|&node| of(mac_of(node)).abs_diff(1_000));
    let node = node.ok_or("there is no node")?;
    let n_eips = of(mac_of(node));
    table.add(CASE, "EIPs that it had", n_eips as f64, "");
    api.count();
    let before = Reading::new(agent)?;
    far.silence(node);
    let began = Instant::now();
    let moved = loop {
        let now = far.announced();
        let moved = now.iter().filter(|(eip, (mac, _))| {
            *mac != mac_of(node) && places.get(eip).is_some_and(|(at, _)| *at == mac_of(node))
        });
        let moved: Vec<_> = moved.map(|(_, (_, at))| *at).collect();
        if moved.len() == n_eips {
            break moved;
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("{} of {n_eips} EIPs were moved", moved.len()).into());
        }
        thread::sleep(Duration::from_millis(50));
    };
    api.settle(QUIET);
    let counted = api.count();
    let detected_at = counted.moves.first().ok_or("nothing was written")?;
    let written_at = counted.moves.last().ok_or("nothing was written")?;
    let (first, last) = (moved.iter().min(), moved.iter().max());
    let (first, last) = (first.ok_or("nothing moved")?, last.ok_or("nothing moved")?);
    let seconds = |at: &Instant| at.saturating_duration_since(*detected_at).as_secs_f64();
    table.add(CASE, "silent to first write", (*detected_at - began).as_secs_f64(), "s");
    table.add(CASE, "first write to first announced", seconds(first), "s");
    table.add(CASE, "first write to last announced", seconds(last), "s");
    table.add(CASE, "first write to last write of a Service", seconds(written_at), "s");
    Reading::new(agent)?.tell_work(&before, CASE, table);
    tell_writes(&counted, CASE, table);
    tell_memory(agent, CASE, table);
    Ok(())
}

fn all_announced(far: &Far, n_eips: usize) -> Result<Instant, Box<dyn Error>> {
    let began = Instant::now();
    while far.n_announced() < n_eips {
        if began.elapsed() > PATIENCE {
            return Err(format!("{} of {n_eips} EIPs are announced", far.n_announced()).into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    let announced = far.announced();
    Ok(announced.values().map(|(_, at)| *at).max().unwrap_or(began))
}

pub(crate) fn beside(
    options: &Options,
    far: &Far,
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    const OURS: u16 = 10;
    const NODES: u16 = 1_000;
    let span = Duration::from_secs(options.steady);
    let api = ApiServer::start()?;
    far.reset(10);
    objects::found(&api.store, 10, OURS);
    for service in 0..OURS {
        let name = format!("web-{service}");
        objects::create_slice(&api.store, &name, service, 10);
        objects::create_service(&api.store, &name);
    }
    let agent = calm_agent(options, (&api, far), OURS)?;
    look((&api, &agent), span, "10 Services alone", table)?;
    agent.leave()?;

    progress("others are created");
    for service in 0..options.services {
        let name = format!("other-{service}");
        objects::create_slice(&api.store, &name, service, 10);
        objects::create_other_service(&api.store, &name);
    }
    let agent = calm_agent(options, (&api, far), OURS)?;
    look((&api, &agent), span, "others beside them", table)?;
    agent.leave()?;

    far.reset(NODES);
    for node in 10..NODES {
        objects::create_node(&api.store, node);
    }
    let agent = calm_agent(options, (&api, far), OURS)?;
    look((&api, &agent), span, "and 1,000 nodes", table)?;
    let store = api.store.clone();
    let every = HEARTBEAT / u32::from(NODES);
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let beating = thread::spawn(move || {
        let mut beat = 0;
        while ended
            .recv_timeout(every)
            .is_err_and(|why| why == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            objects::beat(&store, u16::try_from(beat % u64::from(NODES)).unwrap_or(0), beat);
            beat += 1;
        }
    });
    look((&api, &agent), span, "and their heartbeats", table)?;
    drop(end);
    beating.join().map_err(|_| "a heartbeat failed")?;
    agent.leave()?;
    Ok(())
}

/// An agent that has answered for everything, and has nothing to do.
fn calm_agent(
    options: &Options,
    (api, far): (&ApiServer, &Far),
    n_services: u16,
) -> Result<Agent, Box<dyn Error>> {
    far.forget();
    let agent = Agent::start(options, api.address)?;
    agent.ready()?;
    far.all_answered(objects::eip_addresses(n_services), PATIENCE)?;
    api.settle(QUIET);
    thread::sleep(CALM);
    Ok(agent)
}

//! One replica, told anything in any order at any time.

mod api;
mod checks;
mod facts;
mod replica;
mod script;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use porter_core::{
    Eip, Family, Generation, Got, Input, IsAt, Kind, Listing, MacAddr, ProxyHealth, Read,
    ReadError, ReadId, Service, Version, WhoHas, WriteError, WriteId, Written, keys,
};

use self::{
    api::{Api, KINDS},
    replica::Replica,
    script::Script,
};

/// The most that a script may let happen.
const ACTS_MAX: usize = 400;

/// Lets happen to one replica what the bytes say, and says how far it came.
///
/// Each act is a letter, and digits choose what it is about; any other byte stands for one of them. The
/// acts of the world around are as an API server, a LAN and a shell may do them, the last three are
/// lies. Whatever happens, nothing panics, what is remembered has its bounds, and each thing that is
/// wanted is what a replica may want: nothing is published, announced or written outside of a claim, a
/// write has a condition and is the only one of its object, and generations grow.
///
/// | act | what happens |
/// |---|---|
/// | `i` | everything is listed, and the link `eth0` is seen |
/// | `c` | all goes well for a while: verdicts, acknowledgements and the watch come at once |
/// | `l`, `j` | a link is seen, or by which one an address is reached |
/// | `e`, `s`, `n`, `p`, `m` | an Eip, a Service, a node, endpoints, a namespace are written or removed |
/// | `E`, `S` | an Eip, a Service is deleted as a person does it |
/// | `g` | somebody else writes the Lease |
/// | `w`, `x` | the watch delivers, repeats or loses something; the watch of a kind breaks |
/// | `R` | a kind is listed |
/// | `r`, `v` | a read, a write gets its verdict |
/// | `a` | the responders acknowledge a snapshot |
/// | `t`, `T` | time passes while the replica is asleep, or is awake |
/// | `d` | a node falls silent on the LAN, or is back |
/// | `k` | kube-proxy on a node says something |
/// | `h`, `f`, `q`, `b` | a claim, a frame, questions, a probe for an address are heard |
/// | `o` | the process is asked to end |
/// | `z`, `y`, `u` | an old, or invented, fact; a verdict twice or on nothing; an object changed by hand |
pub fn speaker(bytes: &[u8]) -> BTreeSet<Milestone> {
    let mut script = Script::new(bytes);
    let mut replica = Replica::new(&mut script);
    for _ in 0..ACTS_MAX {
        let Some(act) = script.act() else { break };
        let act = if ACTS.contains(&act) { act } else { ACTS[usize::from(act) % ACTS.len()] };
        perform(act, &mut replica, &mut script);
        replica.settle();
    }
    replica.reached
}

const ACTS: &[u8] = b"iclesnpmESgwxRrvatTdkhfqozyujb";

/// How far a replica came.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Milestone {
    /// It announced an EIP.
    Announced,
    /// It published that an EIP is at a node.
    Answered,
    /// It handed the Lease over, and was done.
    Left,
    /// It led.
    Led,
    /// It published that an EIP is at another node than before.
    Moved,
    /// It stopped leading.
    Stopped,
    /// It told people of something.
    Told,
}

fn perform(act: u8, replica: &mut Replica, script: &mut Script<'_>) {
    match act {
        b'i' => replica.list_all(),
        b'c' => replica.calm(script.pick(&[1_000, 250, 4_000, 9_000, 20_000])),
        b'l' => {
            let name = facts::link_name(script);
            replica.tell(Input::Link(name, facts::link(script)));
        }
        b'j' => {
            let address = script.pick(&["172.22.0.1", "fd00::1", "192.0.2.1"]);
            let address = address.parse().expect("the addresses in this file are good");
            replica.tell(Input::Route(address, facts::route(script)));
        }
        b'e' | b's' | b'n' | b'p' | b'm' | b'E' | b'S' | b'g' | b'u' => {
            write(act, &mut replica.api, script);
        }
        b'w' => watch(replica, script),
        b'x' => replica.tell(Input::Lost(script.pick(&KINDS))),
        b'R' => {
            let listing = replica.api.list(script.pick(&KINDS));
            replica.tell(listing);
        }
        b'r' => read(replica, script),
        b'v' => judge(replica, script),
        b'a' => replica.acknowledge(script.pick(&[0, 1, 2])),
        b't' => replica.sleep(span(script)),
        b'T' => replica.run(script.pick(&[100, 250, 1_000, 5_000, 10_000])),
        b'd' => {
            let address = facts::address(script);
            if !replica.mute.remove(&address) {
                replica.mute.insert(address);
            }
        }
        b'k' => {
            let health = [ProxyHealth::Well, ProxyHealth::Unwell, ProxyHealth::Silent];
            replica.proxies = script.pick(&health);
            let node = facts::node_name(script);
            if script.below(2) == 1 {
                replica.tell(Input::Checked(node, replica.proxies));
            }
        }
        b'h' => {
            let (link, target) = (facts::link_name(script), facts::address(script));
            let macs = [9, 10, 3, 66].map(facts::mac);
            let mac = script.pick(&[macs[0], macs[1], macs[2], macs[3], MacAddr::broadcast()]);
            let to = script.pick(&[None, Some(facts::mac(3)), Some(facts::mac(66))]);
            let to = to.map(|to| (facts::address(script), to));
            replica.tell(Input::Heard(IsAt { link, target, mac, to, via: mac }));
        }
        b'b' => {
            let (link, target) = (facts::link_name(script), facts::address(script));
            let mac = script.pick(&[9, 10, 3, 66].map(facts::mac));
            let nobody = match target {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            replica.tell(Input::Probed(WhoHas { link, target, asker: (nobody, mac), via: mac }));
        }
        b'f' => replica.tell(Input::Stirred(facts::link_name(script))),
        b'q' => {
            let link = facts::link_name(script);
            let ago = Duration::from_millis(script.pick(&[0, 10, 5_000]));
            let n_asked = script.below(4);
            let asked = (0..n_asked).map(|_| (facts::address(script), replica.now - ago));
            replica.tell(Input::Asked(link, asked.collect()));
        }
        b'o' => replica.tell(Input::Leave),
        b'z' => lie(replica, script),
        b'y' => mislead(replica, script),
        _ => unreachable!("an act is one of those in the table"),
    }
}

/// How long a replica may be paused.
fn span(script: &mut Script<'_>) -> Duration {
    const DAY: u64 = 86_400_000;
    Duration::from_millis(script.pick(&[0, 1, 60, 250, 1_000, 5_000, 60_000, DAY, 3_650 * DAY]))
}

/// Somebody writes to the API server.
fn write(act: u8, api: &mut Api, script: &mut Script<'_>) {
    match act {
        b'e' => {
            let name = facts::eip_name(script);
            let mut eip = facts::eip(script);
            if let Some((_, old)) = api.eips.get(&name) {
                eip.metadata.finalizers.clone_from(&old.metadata.finalizers);
                eip.metadata.deleting = old.metadata.deleting;
                eip.status = old.status.clone();
            }
            api.put_eip(name, Some(eip));
        }
        b's' => {
            let name = facts::service_name(script);
            let mut service = facts::service(script);
            if let Some((_, old)) = api.services.get(&name) {
                keep_ours(&mut service, old);
            }
            api.put_service(name, Some(service));
        }
        b'n' => {
            let (name, node) = (facts::node_name(script), facts::node(script));
            api.put_node(name, (script.below(4) != 3).then_some(node));
        }
        b'p' => {
            let service = facts::service_name(script);
            let family = script.pick(&[Family::V4, Family::V6]);
            let slice = facts::slice(&service, family, script);
            let name = facts::slice_name(&service, family);
            api.put_slice(name, (script.below(4) != 3).then_some(slice));
        }
        b'm' => {
            let (name, namespace) = (facts::namespace_name(script), facts::namespace(script));
            api.put_namespace(name, (script.below(4) != 3).then_some(namespace));
        }
        b'E' => api.delete_eip(facts::eip_name(script)),
        b'S' => api.delete_service(facts::service_name(script)),
        b'g' => {
            let lease = facts::lease(script);
            api.put_lease((script.below(4) != 3).then_some(lease));
        }
        _ => tamper(api, script),
    }
}

/// What a person who edits a Service leaves as it is.
fn keep_ours(service: &mut Service, old: &Service) {
    let metadata = &mut service.metadata;
    metadata.finalizers.clone_from(&old.metadata.finalizers);
    metadata.deleting = old.metadata.deleting;
    metadata.labels.clone_from(&old.metadata.labels);
    for spelling in [keys::Spelling::Porter, keys::Spelling::OpenElb] {
        let record = keys::LAYER2.spelled(spelling);
        if let Some(value) = old.metadata.annotations.get(record) {
            metadata.annotations.insert(record.to_owned(), value.clone());
        }
    }
    service.ingress.clone_from(&old.ingress);
    service.announced.clone_from(&old.announced);
    service.conflict.clone_from(&old.conflict);
}

/// Somebody writes into what is ours.
fn tamper(api: &mut Api, script: &mut Script<'_>) {
    if script.below(2) == 0 {
        let name = facts::eip_name(script);
        let Some((_, eip)) = api.eips.get(&name) else { return };
        let mut eip = Eip { status: facts::eip_status(script), ..eip.clone() };
        if script.below(2) == 1 {
            eip.metadata.finalizers.clear();
        }
        api.put_eip(name, Some(eip));
    } else {
        let name = facts::service_name(script);
        let Some((_, service)) = api.services.get(&name) else { return };
        let mut service = service.clone();
        service.ingress = facts::ingress(script);
        service.announced = facts::condition(script);
        service.conflict = facts::condition(script);
        match script.below(4) {
            1 => service.metadata.finalizers.clear(),
            2 => service.metadata.labels.clear(),
            3 => service.metadata.annotations.clear(),
            _ => {}
        }
        api.put_service(name, (script.below(4) != 3).then_some(service));
    }
}

fn watch(replica: &mut Replica, script: &mut Script<'_>) {
    match script.below(4) {
        0 => replica.catch_up(),
        // The next event, the newest one early, or one that is repeated.
        1 => {
            if let Some(event) = replica.api.watch.pop_front() {
                replica.tell(event);
            }
        }
        2 => {
            if let Some(event) = replica.api.watch.back().cloned() {
                replica.tell(event);
            }
        }
        _ => {
            replica.api.watch.pop_front();
        }
    }
}

fn read(replica: &mut Replica, script: &mut Script<'_>) {
    let Some((id, read)) = replica.take_read(script.below(4)) else { return };
    let truth = replica.look(read);
    let got = match script.below(6) {
        0 => Ok(truth),
        1 => Err(ReadError::Failed("timed out".to_owned())),
        2 => Err(ReadError::Forbidden("no".to_owned())),
        3 => Err(ReadError::Busy(wait(script))),
        // The answer to another question.
        4 => Ok(replica.look(if read == Read::Lease { Read::Services } else { Read::Lease })),
        _ => Ok(match read {
            Read::Lease => Got::Lease(None),
            Read::Services => Got::Services(Listing::default()),
        }),
    };
    replica.tell(Input::Got(id, got));
}

fn judge(replica: &mut Replica, script: &mut Script<'_>) {
    let Some((id, write)) = replica.take_write(script.below(8)) else { return };
    let verdict = match script.below(8) {
        0 => replica.api.write(write),
        1 => replica.api.write(write).and(Err(WriteError::Unknown)),
        2 => {
            replica.late.push(write);
            Err(WriteError::Unknown)
        }
        3 => Err(WriteError::Conflict),
        4 => Err(WriteError::Rejected("no".to_owned())),
        5 => Err(WriteError::Forbidden("no".to_owned())),
        6 => Err(WriteError::Busy(wait(script))),
        _ => Ok(invented(replica, script)),
    };
    replica.tell(Input::Written(id, verdict));
    if script.below(4) == 3 {
        for write in std::mem::take(&mut replica.late) {
            let _ = replica.api.write(write);
        }
    }
}

/// For how long an API server may ask to be left alone.
fn wait(script: &mut Script<'_>) -> Duration {
    let seconds = script.pick(&[0, 1, 30, u64::from(u32::MAX), u64::MAX]);
    Duration::from_secs(seconds)
}

/// An object that no write has left like that.
fn invented(replica: &Replica, script: &mut Script<'_>) -> Written {
    let version = version(replica, script);
    match script.below(5) {
        0 => Written::Lease(version, facts::lease(script)),
        1 => Written::Eip(version, None),
        2 => Written::Service(version, None),
        3 => Written::Eip(version, Some(facts::eip(script))),
        _ => Written::Service(version, Some(facts::service(script))),
    }
}

fn version(replica: &Replica, script: &mut Script<'_>) -> Version {
    let newest = replica.api.lease.as_ref().map_or(0, |(version, _)| version.0);
    Version(script.pick(&[newest, 0, 1, 2, 5, 9, 20, u64::MAX]))
}

/// A fact that is old, or was never true.
fn lie(replica: &mut Replica, script: &mut Script<'_>) {
    let version = version(replica, script);
    let is_there = script.below(3) != 2;
    let input = match script.pick(&KINDS) {
        Kind::Eip => {
            let name = facts::eip_name(script);
            let eip = Eip { status: facts::eip_status(script), ..facts::eip(script) };
            if script.below(3) == 2 {
                Input::Eips(Listing { version, objects: [(name, (version, eip))].into() })
            } else {
                Input::Eip(name, version, is_there.then_some(eip))
            }
        }
        Kind::Lease => Input::Lease(is_there.then(|| (version, facts::lease(script)))),
        Kind::Namespace => {
            let (name, namespace) = (facts::namespace_name(script), facts::namespace(script));
            Input::Namespace(name, version, is_there.then_some(namespace))
        }
        Kind::Node => {
            let (name, node) = (facts::node_name(script), facts::node(script));
            Input::Node(name, version, is_there.then_some(node))
        }
        Kind::Service => {
            let name = facts::service_name(script);
            let service = Service { ingress: facts::ingress(script), ..facts::service(script) };
            if script.below(3) == 2 {
                Input::Services(Listing { version, objects: [(name, (version, service))].into() })
            } else {
                Input::Service(name, version, is_there.then_some(service))
            }
        }
        Kind::Slice => {
            let (service, family) = (facts::service_name(script), Family::V4);
            let slice = facts::slice(&service, family, script);
            let name = facts::slice_name(&facts::service_name(script), family);
            Input::Slice(name, version, is_there.then_some(slice))
        }
    };
    replica.tell(input);
}

/// A verdict or an acknowledgement that nobody waits for.
fn mislead(replica: &mut Replica, script: &mut Script<'_>) {
    let id = script.pick(&[0, 1, 2, 3, 7, u64::MAX]);
    let pending = replica.is_pending(id);
    let input = match script.below(4) {
        0 if !pending => Input::Written(WriteId(id), Ok(invented(replica, script))),
        1 if !pending => Input::Written(WriteId(id), Err(WriteError::Conflict)),
        2 if !pending => Input::Got(ReadId(id), Ok(replica.look(Read::Lease))),
        _ => Input::Silenced(Generation(0)),
    };
    replica.tell(input);
}

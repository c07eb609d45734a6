//! What one node's kernel allows, and how it behaves on the interfaces of Eips.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use porter_core::{Input, Link, LinkName, MacAddr, Unusable, Whereabouts, wire::Heard};
use tokio::time::timeout;

use super::Finding;
use crate::{
    Error,
    link::{Lan, Trace, socket},
    port::Links as _,
};

/// How long the kernel may take to tell of its interfaces.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many addresses are asked for, at most, how often each, and how long an answer may take.
const ASKED_MAX: usize = 3;
const QUESTIONS: u32 = 3;
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Where a kernel that has IPv6 tells of its addresses.
const IPV6: &str = "/proc/net/if_inet6";
/// The interface on which kube-proxy in IPVS mode has all external addresses.
const IPVS_INTERFACE: &str = "kube-ipvs0";

/// Looks at this host, where Eips are on these interfaces, and these addresses are announced.
pub async fn host(interfaces: BTreeSet<LinkName>, announced: &[Whereabouts]) -> Vec<Finding> {
    let mut lan = match Lan::open() {
        Ok(lan) => lan,
        Err(error) => return vec![Finding::wrong("privileges", error.to_string())],
    };
    let mut findings = vec![Finding::fine("privileges", "packet sockets are allowed"), kernel()];
    lan.listen(interfaces.clone());
    let told = told(&mut lan, &interfaces).await;
    for link in interfaces {
        findings.push(interface(link, told.get(&link)));
        findings.extend(rp_filter(link));
    }
    findings.extend(arp_ignore());
    // Who is named is not answered.
    let own =
        |at: &&Whereabouts| matches!(told.get(&at.link), Some(Ok(link)) if link.mac == at.mac);
    for at in announced.iter().filter(|at| told.contains_key(&at.link) && !own(at)).take(ASKED_MAX)
    {
        findings.push(answered(at).await);
    }
    findings
}

/// Whether the kernel can do what agents need of it beside packet sockets.
fn kernel() -> Finding {
    let about = "kernel";
    match socket::is_able() {
        Ok(()) if Path::new(IPV6).exists() => Finding::fine(about, "has all that is needed"),
        Ok(()) => {
            let told = "does without IPv6, so that this host can answer for no EIP of IPv6";
            Finding::doubtful(about, told)
        }
        Err(error) => {
            let told =
                format!("lacks what packet sockets need ({error}); Linux 4.20 has it, and newer");
            Finding::wrong(about, told)
        }
    }
}

/// Whether it is heard here with what an address is answered, as other hosts of the LAN hear it.
async fn answered(at: &Whereabouts) -> Finding {
    let (about, address, mac) = ("answers", at.address, at.mac);
    match ask(at).await {
        Ok(Some(heard)) if heard == mac => {
            Finding::fine(about, format!("{address} is answered with {mac}, as it is on record"))
        }
        Ok(Some(heard)) => Finding::wrong(
            about,
            format!(
                "{address} is answered with {heard}, and on record with {mac}; it moved just now, or somebody \
                 else claims it: see `porter explain {address}`"
            ),
        ),
        Ok(None) => Finding::doubtful(
            about,
            format!(
                "{address} is announced, and nobody answers for it here; unless the leader is this host, a \
                 switch may drop ARP that names another MAC than the frame's (dynamic ARP inspection)"
            ),
        ),
        Err(error) => Finding::unknown(about, error.to_string()),
    }
}

/// Asks the LAN for an address. `None`: nobody answers.
async fn ask(at: &Whereabouts) -> Result<Option<MacAddr>, Error> {
    let trace = Trace::open(at.address, Some(at.link)).await?;
    for _ in 0..QUESTIONS {
        trace.ask()?;
        let answer = async {
            loop {
                if let Heard::IsAt(is_at) = trace.next().await?.heard
                    && is_at.to.is_some_and(|(to, _)| to == trace.sender().0)
                {
                    return Ok(is_at.mac);
                }
            }
        };
        if let Ok(answer) = timeout(ANSWER_WITHIN, answer).await {
            return answer.map(Some);
        }
    }
    Ok(None)
}

/// What the kernel tells of these interfaces, of those that there are.
async fn told(
    lan: &mut Lan,
    interfaces: &BTreeSet<LinkName>,
) -> BTreeMap<LinkName, Result<Link, Unusable>> {
    let mut told = BTreeMap::new();
    let all = async {
        while interfaces.iter().any(|link| !told.contains_key(link)) {
            if let Input::Link(of, seen) = lan.next().await {
                told.insert(of, seen);
            }
        }
    };
    // Of one that is missing nothing is told.
    let _ = timeout(PATIENCE, all).await;
    told
}

/// Whether an interface can be answered on.
fn interface(link: LinkName, told: Option<&Result<Link, Unusable>>) -> Finding {
    let about = "interface";
    match told {
        Some(Ok(seen)) if seen.carrier => {
            let addresses: Vec<_> = seen.addresses.iter().map(ToString::to_string).collect();
            let addresses = addresses.join(", ");
            Finding::fine(about, format!("{link} is up, {} with {addresses}", seen.mac))
        }
        Some(Ok(_)) => {
            let told = format!("{link} has no carrier; check the cable and the switch port");
            Finding::wrong(about, told)
        }
        Some(Err(Unusable::Port { of })) => Finding::wrong(
            about,
            format!("{link} is a port of {of}; name {of} in spec.interface of the Eip"),
        ),
        Some(Err(why)) => Finding::wrong(
            about,
            format!(
                "{link} {why}; name another in spec.interface of the Eip, or run Porter elsewhere"
            ),
        ),
        None => Finding::wrong(about, format!("there is no {link} on this host")),
    }
}

/// Whether this host drops what comes by another interface than it would answer by.
fn rp_filter(link: LinkName) -> Option<Finding> {
    // The larger of both counts: ip-sysctl.
    let of = |name: &str| sysctl(&format!("net/ipv4/conf/{name}/rp_filter"));
    let strictest = of("all")?.max(of(&link.to_string())?);
    let about = "rp_filter";
    Some(match strictest {
        1 => Finding::doubtful(
            about,
            format!(
                "strict on {link}: packets of clients that are answered by another interface are dropped; \
                 set net.ipv4.conf.{link}.rp_filter to 2 if there are such clients"
            ),
        ),
        _ => Finding::fine(about, format!("not strict on {link}")),
    })
}

/// Whether this host's kernel answers for external addresses by itself.
fn arp_ignore() -> Option<Finding> {
    let about = "arp_ignore";
    if !Path::new("/sys/class/net").join(IPVS_INTERFACE).exists() {
        return Some(Finding::fine(
            about,
            "no interface of kube-proxy has external addresses here",
        ));
    }
    Some(match sysctl("net/ipv4/conf/all/arp_ignore")? {
        0 => Finding::wrong(
            about,
            format!(
                "0, and {IPVS_INTERFACE} has the external addresses: this host answers for them, whoever \
                 leads; set strictARP of kube-proxy to true"
            ),
        ),
        n => Finding::fine(about, format!("{n}: this host answers for its own addresses only")),
    })
}

fn sysctl(path: &str) -> Option<u32> {
    fs::read_to_string(Path::new("/proc/sys").join(path)).ok()?.trim().parse().ok()
}

//! What a flood of questions from one host does to the answers of another.
//!
//! A test by its outcome, and, asked for by name, a measurement:
//! `cargo test --release -p porter-tests --test link -- --ignored --nocapture a_flood`.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use pnet::{
    datalink::{self, Channel, ChannelType, Config, DataLinkReceiver, DataLinkSender},
    packet::{
        arp::{ArpOperations, ArpPacket},
        ethernet::EtherTypes,
    },
};
use porter_backends::link::{Lan, Outcome};
use porter_core::{MacAddr, Probe, Silence, wire};

use crate::{
    apart::{apart, told_apart},
    host::{Host, eventually},
    lan::{EIP, NODE, eth0, leading, name},
};

const FLOODER: MacAddr = MacAddr(2, 0, 0, 0, 0, 0xf1);
const ASKER: MacAddr = MacAddr(2, 0, 0, 0, 0, 0xa5);
/// Questions that are put on the wire side by side.
const BURST: u32 = 100;
/// How often the other host asks. It is to be answered each time.
const EVERY: Duration = Duration::from_millis(25);
const PATIENCE: Duration = Duration::from_secs(1);
/// More questions than wait in a socket for a responder.
const MORE_THAN_FIT: usize = 30_000;
/// Whether threads that were told to stand still shall, and whether one does.
static HELD: AtomicBool = AtomicBool::new(false);
static STANDS: AtomicBool = AtomicBool::new(false);

#[test]
fn who_asks_too_often_is_not_answered_each_time_and_keeps_nobody_else_waiting() {
    apart(async || {
        let (_cable, other) = eth0().await;
        let lan = leading([(EIP, Ok(NODE))]).await;
        let flood = question(FLOODER);

        other.send(&vec![flood.as_slice(); 2_000]);
        other.send(&[&question(ASKER)]);

        let met = || lan.outcomes().count(Outcome::Answered) + too_often(&lan);
        assert!(eventually(async || met() == 2_001).await, "{} questions were met", met());
        assert!(too_often(&lan) > 0);
    });
}

#[test]
fn what_the_kernel_has_no_room_for_while_a_responder_stands_still_is_counted() {
    apart(async || {
        let (_cable, other) = eth0().await;
        let lan = leading([(EIP, Ok(NODE))]).await;
        let met = || Outcome::all().map(|it| lan.outcomes().count(it)).sum::<u64>();
        let (before, question) = (met(), question(FLOODER));

        hold("arp eth0");
        other.send(&vec![question.as_slice(); MORE_THAN_FIT]);
        HELD.store(false, Ordering::SeqCst);

        let sent = MORE_THAN_FIT as u64;
        let counted = eventually(async || met() >= before + sent).await;
        assert!(counted, "of {sent} questions {} came to something", met() - before);
        assert!(lan.outcomes().count(Outcome::Missed) > 0);
    });
}

#[test]
#[ignore = "measures, and wants a machine to itself"]
#[expect(clippy::print_stderr, reason = "a measurement is there to be read")]
fn a_flood_of_a_hundred_thousand_questions_a_second_keeps_nobody_waiting() {
    let told = told_apart(async || {
        let (_cable, other) = eth0().await;
        let lan = leading([(EIP, Ok(NODE))]).await;
        let (calm, _) = delays(&other, 0);
        let before = resident();
        let (flooded, rate) = delays(&other, 100_000);
        let (answered, silent) = (lan.outcomes().count(Outcome::Answered), too_often(&lan));
        eprintln!("no flood: {}", percentiles(calm));
        eprintln!("{rate:.0} questions a second: {}", percentiles(flooded));
        eprintln!("{answered} were answered, {silent} were not");
        eprintln!("{before} KiB resident before the flood, {} KiB after", resident());
    });
    eprint!("{told}");
}

/// Has a thread of this process stand still as long as [`HELD`] says.
#[expect(unsafe_code, reason = "there is no other way to stop one thread of several")]
fn hold(name: &str) {
    extern "C" fn stand_still(_: libc::c_int) {
        STANDS.store(true, Ordering::SeqCst);
        while HELD.load(Ordering::SeqCst) {
            rustix::thread::sched_yield();
        }
    }
    let named = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|it| it.trim() == name)
    };
    let mut tasks = fs::read_dir("/proc/self/task").expect("a process has threads").flatten();
    let task = tasks.find(named).expect("there is a thread of this name").file_name();
    let id: libc::pid_t =
        task.to_str().and_then(|id| id.parse().ok()).expect("a thread has a number");
    HELD.store(true, Ordering::SeqCst);
    // SAFETY: the handler makes system calls and looks at atomic numbers only; nobody else has one for
    // this signal.
    unsafe { libc::signal(libc::SIGUSR1, stand_still as *const () as libc::sighandler_t) };
    // SAFETY: it takes no pointer.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), id, libc::SIGUSR1) };
    assert_eq!(sent, 0, "a thread of this process can be sent a signal");
    while !STANDS.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(1));
    }
}

fn too_often(lan: &Lan) -> u64 {
    lan.outcomes().count(Outcome::Silent(Silence::TooOften))
}

fn question(mac: MacAddr) -> Vec<u8> {
    let sender = (IpAddr::V4(Ipv4Addr::new(172, 22, 0, mac.5)), mac);
    let question = Probe { link: name(), target: EIP, to: None, sender };
    wire::probe(&question).expect("an EIP can be asked for").bytes().to_vec()
}

/// How long each of a thousand questions waited for its answer, while so many others a second arrived.
///
/// With it, how many others a second there were.
fn delays(host: &Host, flood: u32) -> (Vec<Duration>, f64) {
    host.visit(|| {
        let measuring = AtomicBool::new(true);
        thread::scope(|scope| {
            let flood = scope.spawn(|| pour(flood, &measuring));
            let (mut sender, _) = channel(ChannelType::Layer2);
            let (_, mut receiver) = channel(ChannelType::Layer3(EtherTypes::Arp.0));
            let delays = (0..1_000).map(|_| delay(&mut *sender, &mut *receiver)).collect();
            measuring.store(false, Ordering::Relaxed);
            (delays, flood.join().expect("a flood ends"))
        })
    })
}

/// How long one question waits for its answer; as long as a host has patience if it gets none.
fn delay(sender: &mut dyn DataLinkSender, receiver: &mut dyn DataLinkReceiver) -> Duration {
    thread::sleep(EVERY);
    let asked_at = Instant::now();
    let sent = sender.send_to(&question(ASKER), None).expect("a link takes a frame");
    sent.expect("a link that is up sends");
    while asked_at.elapsed() < PATIENCE {
        let Ok(packet) = receiver.next() else { continue };
        let reply = ArpPacket::new(packet).filter(|it| it.get_operation() == ArpOperations::Reply);
        if reply.is_some_and(|reply| reply.get_target_hw_addr() == ASKER) {
            return asked_at.elapsed();
        }
    }
    PATIENCE
}

/// Asks so often a second until nobody measures any more. Returns how often that was.
fn pour(rate: u32, measuring: &AtomicBool) -> f64 {
    let (mut sender, _) = channel(ChannelType::Layer2);
    let (question, began_at) = (question(FLOODER), Instant::now());
    let mut n_sent = 0;
    while rate > 0 && measuring.load(Ordering::Relaxed) {
        for _ in 0..BURST {
            // What the link has no room for does not arrive.
            let _ = sender.send_to(&question, None);
        }
        n_sent += BURST;
        let due_at = began_at + Duration::from_secs(1) * n_sent / rate;
        thread::sleep(due_at.saturating_duration_since(Instant::now()));
    }
    f64::from(n_sent) / began_at.elapsed().as_secs_f64()
}

fn channel(channel_type: ChannelType) -> (Box<dyn DataLinkSender>, Box<dyn DataLinkReceiver>) {
    let links = datalink::interfaces();
    let link = links.iter().find(|link| link.name == "eth0").expect("it is plugged in");
    let read_timeout = Some(PATIENCE);
    let config = Config { channel_type, read_timeout, promiscuous: false, ..Config::default() };
    match datalink::channel(link, config) {
        Ok(Channel::Ethernet(sender, receiver)) => (sender, receiver),
        other => panic!("no packet socket: {:?}", other.err()),
    }
}

fn percentiles(mut delays: Vec<Duration>) -> String {
    delays.sort();
    let at = |percent: usize| delays[(delays.len() * percent / 100).min(delays.len() - 1)];
    format!("median {:?}, 99th percentile {:?}, worst {:?}", at(50), at(99), at(100))
}

/// The memory of this process, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a process has a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse().ok()).expect("the kernel tells how much memory a process has")
}

//! Probes of a loop and responders that do or do not go round, most of them in time that is paused: what is
//! waited for in vain passes at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Mutex,
};

use http::HeaderMap;
use porter_core::{EipName, Kind, LinkName, Pool, Unusable};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::advance,
};

use super::*;
use crate::{
    Inquiries, Report, Tally, clock,
    drive::tests::speaker,
    link::{Pulse, Roster},
    picture::Camera,
    report::Inquiry,
};

const DOCUMENTED: &str = include_str!("../../../docs/metrics.md");

fn eth0() -> LinkName {
    LinkName::new("eth0").expect("a good name")
}

/// What a replica says that has seen everything, and has one link and one Eip.
fn report() -> Report {
    let report = Report::of(&speaker(), &Tally::default(), clock::now());
    let pool = Pool { addresses: 13, used: 2 };
    let pools = vec![(EipName::from("eip-sample-layer2"), pool)];
    Report { unlisted: Vec::new(), links: vec![(eth0(), Ok(true))], pools, ..report }
}

/// A responder that has not done anything yet.
fn pulse() -> Arc<Pulse> {
    Arc::new(Pulse::new().expect("an eventfd can be made"))
}

fn responders(roster: Roster) -> Responders {
    Responders(watch::channel(roster).1)
}

/// A replica on whose only link this responder answers, and what its loop is asked.
fn sources(responder: Result<Arc<Pulse>, String>) -> (Sources, Inquiries) {
    let (reporter, inquiries) = Reporter::new();
    let responders = responders(BTreeMap::from([(eth0(), responder)]));
    let sources = Sources {
        identity: Identity::from("porter-1_0"),
        lease: Namespaced::new("porter-system", "porter-speaker"),
        log_level: Arc::new(Level("info".to_owned().into())),
        reporter,
        responders,
        outcomes: Arc::default(),
    };
    (sources, inquiries)
}

/// How much is logged, if only what is known of it.
#[derive(Debug)]
struct Level(Mutex<String>);

impl LogLevel for Level {
    fn get(&self) -> String {
        self.0.lock().expect("nobody panics").clone()
    }

    fn set(&self, directives: &str) -> Result<(), String> {
        if directives != "debug" {
            return Err(format!("{directives:?} is no level"));
        }
        directives.clone_into(&mut self.0.lock().expect("nobody panics"));
        Ok(())
    }
}

/// A loop that has this to say, whenever it is asked.
async fn reporting(mut inquiries: Inquiries, report: Report) -> Infallible {
    loop {
        match inquiries.next().await.expect("somebody may still ask") {
            // Whoever asked may have gone.
            Inquiry::Report(asker) => drop(asker.send(report.clone())),
            inquiry @ Inquiry::Picture(_) => {
                inquiry.answer(&speaker(), &Tally::default(), &mut Camera::default(), clock::now());
            }
        }
    }
}

/// What comes of asking a replica whose loop has this to say.
async fn told<T>(asking: impl Future<Output = T>, inquiries: Inquiries, report: Report) -> T {
    select! {
        told = asking => told,
        never = reporting(inquiries, report) => match never {},
    }
}

/// What `/readyz` says of a replica with a responder that lives.
async fn readiness(report: Report) -> Result<String, String> {
    let (sources, inquiries) = sources(Ok(pulse()));
    told(health::readyz(&sources), inquiries, report).await
}

/// Takes turns whenever it is woken, as responders do.
async fn going_round(pulse: &Pulse) -> Infallible {
    loop {
        if rustix::io::read(&pulse.wake, &mut [0; 8]).is_ok() {
            pulse.beat();
        }
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_goes_round_is_alive() {
    let pulse = pulse();
    let (sources, inquiries) = sources(Ok(Arc::clone(&pulse)));
    let alive = told(health::livez(&sources), inquiries, report());
    select! {
        alive = alive => assert_eq!(alive.as_deref(), Ok("ok")),
        never = going_round(&pulse) => match never {},
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_loop_does_not_come_round_is_not_alive_and_says_so() {
    let (sources, inquiries) = sources(Ok(pulse()));
    let stuck = health::livez(&sources).await.expect_err("nobody answers");
    assert!(stuck.starts_with("the loop that decides did not answer"), "{stuck}");

    let alive = health::report(&sources);
    let report = told(alive, inquiries, report()).await;
    report.expect("it goes on, and earlier questions harm nobody");
}

#[tokio::test(start_paused = true)]
async fn a_replica_of_which_a_responder_is_stuck_is_not_alive_and_names_the_link() {
    let (sources, inquiries) = sources(Ok(pulse()));
    let stuck = told(health::livez(&sources), inquiries, report()).await;
    let stuck = stuck.expect_err("it takes no turn");
    assert!(stuck.starts_with("who answers on eth0 did not go round"), "{stuck}");
}

#[tokio::test(start_paused = true)]
async fn a_responder_that_ends_while_it_is_asked_is_not_stuck() {
    let pulse = pulse();
    let (sources, inquiries) = sources(Ok(Arc::clone(&pulse)));
    let mut alive = pin!(told(health::livez(&sources), inquiries, report()));
    select! {
        biased;
        told = &mut alive => panic!("it takes no turn, and is waited for: {told:?}"),
        () = sleep(Duration::from_millis(500)) => pulse.end(),
    }
    assert_eq!(alive.await.as_deref(), Ok("ok"));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_paused_for_an_hour_is_not_taken_for_one_that_is_stuck() {
    let pulse = pulse();
    let (sources, inquiries) = sources(Ok(Arc::clone(&pulse)));
    let mut alive = pin!(health::livez(&sources));
    for paused in [Duration::from_millis(10), Duration::from_secs(3_600)] {
        select! {
            biased;
            told = &mut alive => panic!("nothing went round yet: {told:?}"),
            () = sleep(Duration::from_millis(100)) => {}
        }
        advance(paused).await;
    }
    let alive = told(alive, inquiries, report());
    select! {
        alive = alive => assert_eq!(alive.as_deref(), Ok("ok")),
        never = going_round(&pulse) => match never {},
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_has_stopped_says_so_at_once() {
    let (sources, inquiries) = sources(Ok(pulse()));
    drop(inquiries);
    let began_at = tokio::time::Instant::now();
    let stopped = health::livez(&sources).await;
    assert_eq!(stopped, Err("this replica has handed over and stops".to_owned()));
    assert_eq!(began_at.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_replica_is_ready_when_it_has_seen_everything_and_has_its_links() {
    assert_eq!(readiness(report()).await, Ok("ok".to_owned()));
    let without_eips = Report { links: Vec::new(), ..report() };
    assert_eq!(readiness(without_eips).await, Ok("ok".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_has_not_seen_everything_is_not_ready_and_says_what_is_missing() {
    let report = Report { unlisted: vec![Kind::Slice, Kind::Lease], ..report() };
    let missing = "not seen yet: EndpointSlice, Lease".to_owned();
    assert_eq!(readiness(report).await, Err(missing));
}

#[tokio::test(start_paused = true)]
async fn a_replica_without_any_link_of_an_eip_is_not_ready_and_says_why() {
    let eth1 = LinkName::new("eth1").expect("a good name");
    let links = vec![(eth0(), Ok(false)), (eth1, Err(Unusable::Missing))];
    let reason = "no link of an Eip is here: eth0 has no carrier; eth1 does not exist";
    let none = Report { links, ..report() };
    assert_eq!(readiness(none).await, Err(reason.to_owned()));

    let links = vec![(eth0(), Ok(true)), (eth1, Err(Unusable::Missing))];
    let some = Report { links, ..report() };
    assert_eq!(readiness(some).await, Ok("ok, but eth1 does not exist".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_replica_with_a_link_on_which_nothing_answers_is_not_ready_and_says_why() {
    let reason = "opening a socket failed".to_owned();
    let (sources, inquiries) = sources(Err(reason));
    let ready = told(health::readyz(&sources), inquiries, report()).await;
    assert_eq!(ready, Err("nothing answers on eth0: opening a socket failed".to_owned()));

    let pulse = pulse();
    pulse.end();
    let (sources, inquiries) = self::sources(Ok(pulse));
    let ready = told(health::readyz(&sources), inquiries, report()).await;
    assert!(ready.is_err_and(|reason| reason.contains("has ended")));
}

/// One request to a replica that works, over loopback.
async fn exchange(request: &str) -> String {
    let (sources, inquiries) = sources(Ok(pulse()));
    let http = Http::bind("127.0.0.1:0".parse().expect("an address")).await;
    let http = http.expect("loopback has a free port");
    let address = http.address().expect("it is bound");
    let asking = async {
        let mut connection = TcpStream::connect(address).await.expect("it listens");
        connection.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.expect("it answers, and closes");
        answer
    };
    let served = async {
        select! {
            answer = asking => answer,
            never = http.serve(sources) => match never {},
        }
    };
    told(served, inquiries, report()).await
}

fn status(answer: &str) -> &str {
    answer.lines().next().unwrap_or_default()
}

#[tokio::test]
async fn who_asks_over_http_is_told() {
    let answer = exchange("GET /readyz HTTP/1.1\r\nHost: here\r\n\r\n").await;
    assert_eq!(status(&answer), "HTTP/1.1 200 OK");
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");

    let answer = exchange("HEAD /readyz HTTP/1.1\r\nHost: here\r\n\r\n").await;
    assert_eq!(status(&answer), "HTTP/1.1 200 OK");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");

    let answer = exchange("GET /favicon.ico HTTP/1.1\r\nHost: here\r\n\r\n").await;
    assert_eq!(status(&answer), "HTTP/1.1 404 Not Found");
    assert!(answer.contains("there are /, /livez"), "{answer}");

    let answer =
        exchange("POST /metrics HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(status(&answer), "HTTP/1.1 405 Method Not Allowed");
}

#[tokio::test]
async fn the_page_has_all_that_it_needs_and_may_load_nothing_else() {
    let answer = exchange("GET / HTTP/1.1\r\nHost: here\r\n\r\n").await;
    assert_eq!(status(&answer), "HTTP/1.1 200 OK");
    assert!(answer.contains("content-security-policy: default-src 'none'; "), "{answer}");
    for elsewhere in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!answer.contains(elsewhere), "{elsewhere}");
    }
}

#[tokio::test]
async fn how_things_are_is_told_to_programs() {
    let answer = exchange("GET /status HTTP/1.1\r\nHost: here\r\n\r\n").await;
    assert_eq!(status(&answer), "HTTP/1.1 200 OK");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head ends");
    let told: serde_json::Value = serde_json::from_str(body).expect("it is JSON");
    assert_eq!(told["replica"], "porter-1_0");
    assert_eq!(told["leader"]["lease"], "porter-system/porter-speaker");
    for list in ["eips", "addresses", "nodes", "moves"] {
        assert!(told[list].is_array(), "{list}: {told}");
    }
}

#[tokio::test]
async fn the_log_level_is_changed_from_this_host_and_by_no_web_page() {
    let put = |head: &str, body: &str| {
        let length = body.len();
        format!(
            "PUT /log-level HTTP/1.1\r\nHost: here\r\n{head}Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let answer = exchange("GET /log-level HTTP/1.1\r\nHost: here\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\ninfo\n"), "{answer}");
    let answer = exchange(&put("", "debug\n")).await;
    assert_eq!(status(&answer), "HTTP/1.1 200 OK");
    assert!(answer.ends_with("\r\n\r\ndebug\n"), "{answer}");

    let answer = exchange(&put("", "loud")).await;
    assert_eq!(status(&answer), "HTTP/1.1 400 Bad Request");
    assert!(answer.ends_with("\"loud\" is no level\n"), "{answer}");
    let answer = exchange(&put("", &"debug,".repeat(1_000))).await;
    assert_eq!(status(&answer), "HTTP/1.1 400 Bad Request");
    let answer = exchange(&put("Origin: http://here\r\n", "debug")).await;
    assert_eq!(status(&answer), "HTTP/1.1 403 Forbidden");

    let nothing = HeaderMap::new();
    for (peer, may) in [
        ("127.0.0.1:40000", true),
        ("[::1]:40000", true),
        ("[::ffff:127.0.0.1]:40000", true),
        ("172.22.0.100:40000", false),
        ("[fe80::1]:40000", false),
    ] {
        let peer = peer.parse().expect("an address");
        assert_eq!(log_level::may_set(peer, &nothing), may, "{peer}");
    }
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let answer = exchange("GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n").await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(!answer.contains("# EOF"), "{answer}");

    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let request = format!("GET /metrics HTTP/1.1\r\nHost: here\r\n{accept}\r\n\r\n");
    let answer = exchange(&request).await;
    assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let first = Http::bind("127.0.0.1:0".parse().expect("an address")).await;
    let address = first.as_ref().ok().and_then(Http::address).expect("loopback has a free port");
    let second = Http::bind(address).await.expect_err("the first holds it").to_string();
    assert!(second.starts_with(&format!("listening on {address} failed: ")), "{second}");
}

/// What a replica with this to say tells as metrics.
async fn scraped(report: Report) -> String {
    let (sources, inquiries) = sources(Ok(pulse()));
    let scraped = told(metrics::scrape(&sources, ""), inquiries, report).await;
    scraped.expect("its loop answers").1
}

/// A metric as it is documented: its name, type, labels and meaning.
type Entry = (String, String, BTreeSet<String>, String);

fn documented() -> BTreeSet<Entry> {
    let rows = DOCUMENTED.lines().skip_while(|line| !line.starts_with("| name |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let entry = |row: &str| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, name, kind, labels, meaning, _] = cells[..] else { panic!("four cells: {row}") };
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
        (name.trim_matches('`').to_owned(), kind.to_owned(), labels, meaning.to_owned())
    };
    rows.map(entry).collect()
}

fn told_entries(text: &str) -> BTreeSet<Entry> {
    let named = |prefix: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix)?.split_once(' '));
        lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
    };
    let kinds = named("# TYPE ");
    let labels = |name: &str| -> BTreeSet<String> {
        let series = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|it| it.starts_with('{')));
        let labels = series.filter_map(|line| line.split_once('{')?.1.split_once('}'));
        let labels = labels.flat_map(|(labels, _)| labels.split(','));
        labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned())).collect()
    };
    let entry = |(name, help): (String, String)| {
        let kind = match name.ends_with("_info") {
            true => "info".to_owned(), // The old format knows no such type.
            false => kinds[&name].clone(),
        };
        let labels = match kind.as_str() {
            "histogram" => labels(&format!("{name}_bucket")),
            _ => labels(&name),
        };
        (name, kind, labels, help.trim_end_matches('.').to_owned())
    };
    named("# HELP ").into_iter().map(entry).collect()
}

#[tokio::test]
async fn every_metric_is_documented_in_the_same_words() {
    let text = scraped(report()).await;
    let (documented, told) = (documented(), told_entries(&text));
    let undocumented: Vec<_> = told.difference(&documented).collect();
    let untold: Vec<_> = documented.difference(&told).collect();
    assert!(
        undocumented.is_empty() && untold.is_empty(),
        "not in docs/metrics.md: {undocumented:#?}\nonly there: {untold:#?}\n{text}"
    );
}

#[tokio::test]
async fn the_series_of_an_eip_go_with_it_and_are_bounded() {
    let series = |text: &str| text.lines().filter(|line| line.contains("{eip=")).count();
    let text = scraped(report()).await;
    assert!(text.contains("porter_eip_addresses{eip=\"eip-sample-layer2\"} 13\n"), "{text}");
    assert!(text.contains("porter_eip_addresses_used{eip=\"eip-sample-layer2\"} 2\n"), "{text}");
    assert_eq!(series(&text), 2);

    let none = scraped(Report { pools: Vec::new(), ..report() }).await;
    assert_eq!(series(&none), 0);
    assert!(none.contains("porter_eips 0\n"), "{none}");

    let eip = |number| (EipName::from(&*format!("eip{number}")), Pool { addresses: 1, used: 0 });
    let many = Report { pools: (0..5_000).map(eip).collect(), ..report() };
    let many = scraped(many).await;
    assert_eq!(series(&many), 2 * metrics::EIPS_MAX);
    assert!(many.contains("porter_eips 5000\n"), "{many}");
}

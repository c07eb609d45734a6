//! `porter lab`: the user guide, for real, on this machine.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use porter_sim::lab::{self, Benchmark, Case, Error, Mendable, Options, Order, Part, Wire};
use tracing::Level;

/// Follow the user guide on this machine, with network namespaces for nodes.
///
/// Brings up three nodes and a client on one LAN, with `porter agent` on every node and an API
/// server for kubectl, shows that the guide's statements hold, and stays until Ctrl-C. Needs Linux,
/// and root or user namespaces.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Lab {
    #[command(subcommand)]
    command: Option<Command>,
    /// Check all statements, faults included, and end: with success if they hold.
    #[arg(long)]
    once: bool,
    /// Go on beyond the guide: apply an Eip for IPv6 and a Service of both families, and check that
    /// the client reaches it over IPv4 and IPv6.
    #[arg(long)]
    dual_stack: bool,
    /// The port of 127.0.0.1 on which the API server listens; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Write the frames of ARP and Neighbor Discovery on the LAN to this file, for Wireshark (pcapng).
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// The binary that the agents are, such as that of an image; otherwise this one.
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// What the agents are told on their command lines, after --.
    #[arg(last = true, value_name = "AGENT_FLAG")]
    flags: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a command on a station of the running lab.
    Exec {
        /// node1, node3, node4, client, or lan: the bridge between them.
        station: String,
        /// The command with its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Measure in labs of its own; none may run.
    #[command(subcommand)]
    Bench(Bench),
    /// End an agent or a node of the running lab from one instant to the next.
    ///
    /// An agent is started again, as a pod's container is. A node loses its power: it is silent
    /// on the LAN, and its kubelet with it, until it is restarted.
    Kill {
        what: PartName,
        /// node1, node3 or node4.
        node: String,
    },
    /// Stop an agent, or a whole node, where it stands.
    Pause {
        what: PartName,
        /// node1, node3 or node4.
        node: String,
        /// Let it go on after this time, such as 3s or 500ms. Otherwise `heal` does.
        #[arg(long = "for", value_name = "TIME", value_parser = time)]
        time: Option<Duration>,
    },
    /// Cut a wire: the cable to the LAN, or the way to the API server.
    ///
    /// Nothing that is sent to a cut off API server is refused: it waits.
    Cut {
        what: WireName,
        /// node1, node3, node4, or client for the LAN. For the API server all nodes unless given.
        station: Option<String>,
    },
    /// Undo what cut, pause, kill node and drain did: all, of one kind, or on one station.
    #[command(override_usage = "porter lab heal [agent|api|lan|node] [STATION]")]
    Heal {
        /// What to heal, and where: `heal`, `heal node3`, `heal lan`, `heal lan node3`.
        #[arg(value_name = "WHAT", num_args = 0..=2)]
        what: Vec<String>,
    },
    /// Cordon a node and evict its pods, as `kubectl drain` does.
    Drain {
        /// node1, node3 or node4.
        node: String,
    },
    /// End an agent in good order and start it again; or switch a node off and on.
    Restart {
        what: PartName,
        /// node1, node3 or node4.
        node: String,
    },
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Measure what a client misses when a node, an endpoint, the leader or the API server fails.
    ///
    /// The client sends a packet every 5 ms. Each repeat has a lab of its own; what is measured is
    /// the longest time without an answered packet. Ctrl-C prints what there is by then.
    Failover {
        /// How often each case is measured.
        #[arg(long, value_name = "N", default_value_t = 20)]
        repeats: usize,
        /// Measure only this case; may be given several times. There are node-power-loss,
        /// node-link-down, endpoint-moved, leader-crash-cached, leader-crash-fresh,
        /// leader-sigterm, api-gone-cached and api-gone-fresh.
        #[arg(long, value_name = "CASE")]
        only: Vec<Case>,
        /// How the result is printed.
        #[arg(short, long, value_name = "FORMAT", default_value = "table")]
        output: Format,
        /// Flags for the agents.
        #[arg(last = true, value_name = "AGENT_FLAG")]
        flags: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    /// All repeats, for programs.
    Json,
    /// Median and worst, beside other load balancers.
    Table,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PartName {
    /// The Porter process of a node.
    Agent,
    /// The whole host.
    Node,
}

impl From<PartName> for Part {
    fn from(name: PartName) -> Self {
        match name {
            PartName::Agent => Self::Agent,
            PartName::Node => Self::Node,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WireName {
    /// What a node reaches the API server by.
    Api,
    /// The cable to the LAN.
    Lan,
}

impl From<WireName> for Wire {
    fn from(name: WireName) -> Self {
        match name {
            WireName::Api => Self::Api,
            WireName::Lan => Self::Lan,
        }
    }
}

impl Command {
    fn run(self) -> Result<ExitCode, Error> {
        let order = match self {
            Self::Exec { station, command } => return lab::exec(&station, &command),
            Self::Bench(Bench::Failover { repeats, only, output, flags }) => {
                let json = output == Format::Json;
                return lab::bench(&Benchmark { repeats, only, json, flags });
            }
            Self::Kill { what, node } => Order::Kill(what.into(), node),
            Self::Pause { what, node, time } => Order::Pause(what.into(), node, time),
            Self::Cut { what, station } => Order::Cut(what.into(), station),
            Self::Heal { what } => heal(what),
            Self::Drain { node } => Order::Drain(node),
            Self::Restart { what, node } => Order::Restart(what.into(), node),
        };
        lab::give(&order)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A first word that is no kind of fault names a station.
fn heal(words: Vec<String>) -> Order {
    let mut words = words.into_iter().peekable();
    let kind = words.peek().and_then(|word| match word.as_str() {
        "agent" => Some(Mendable::Agent),
        "api" => Some(Mendable::Api),
        "lan" => Some(Mendable::Lan),
        "node" => Some(Mendable::Node),
        _ => None,
    });
    if kind.is_some() {
        words.next();
    }
    Order::Heal(kind, words.next())
}

/// A time in seconds or milliseconds: "3", "3s", "1.5s", "500ms".
fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * unit);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "not a time such as 3s or 500ms".into())
}

impl Lab {
    /// Must be called before the process has a second thread.
    pub(crate) fn run(self) -> Result<ExitCode, Error> {
        // What goes well is told by the lab itself; the agents have logs of their own.
        tracing_subscriber::fmt()
            .with_max_level(Level::WARN)
            .with_ansi(io::stderr().is_terminal())
            .with_writer(io::stderr)
            .init();
        match self.command {
            Some(command) => command.run(),
            None => {
                let Self { command: _, once, dual_stack, port, capture, agent, flags } = self;
                lab::run(&Options { once, dual_stack, port, capture, agent, flags })
            }
        }
    }
}

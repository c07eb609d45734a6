//! A forecast as people read it.

use std::{fmt::Write as _, net::IpAddr, time::Duration};

use porter_backends::view::table;
use porter_core::{NodeName, ServiceName};

use super::{
    Forecast, LeaderBy,
    deaths::{Death, Stuck},
    place::Change,
};

/// What stands where there is nothing to be shown.
const NONE: &str = "<none>";
/// What stands where a node would, if nobody is answered.
const NOBODY: &str = "nobody";

impl Forecast {
    /// As a person reads it.
    pub fn text(&self) -> String {
        let mut text = self.summary();
        self.remarks.iter().for_each(|remark| line(&mut text, &format!("Note: {remark}.")));
        self.calm(&mut text);
        self.if_a_node_dies(&mut text);
        self.if_the_leader_dies(&mut text);
        self.single_points(&mut text);
        text
    }

    fn summary(&self) -> String {
        let replicas = self.replicas.join(", ");
        let leads = match (&self.leader, self.leader_by) {
            (Some(leader), LeaderBy::Lease) => format!("{leader} leads, as it does by the Lease"),
            (Some(leader), LeaderBy::Choice) => {
                format!(
                    "{leader} leads, since the Lease does not tell on which node its holder runs"
                )
            }
            (None, _) => "nobody leads".to_owned(),
        };
        let addresses = self.addresses.iter().filter(|place| place.address.is_some()).count();
        format!(
            "{}, {}; replicas on {replicas}; {leads}\n",
            count(self.nodes, "node"),
            count(addresses, "address"),
        )
    }

    fn calm(&self, text: &mut String) {
        line(text, "\nOnce all is calm:\n");
        let rows = self.addresses.iter().map(|place| {
            vec![
                shown(place.address),
                place.service.to_string(),
                node(place.node.as_ref()),
                place.reason.clone(),
            ]
        });
        *text += &table(&["ADDRESS", "SERVICE", "NODE", "REASON"], rows);
        if self.addresses.is_empty() {
            line(text, "No Service asks for an address.");
        }
        why(text, self.addresses.iter().map(|place| (&place.service, &place.message)));
        if self.changes.is_empty() {
            line(text, "\nThat is as it is on record: nothing changes by itself.");
            return;
        }
        line(text, "\nThat is not as it is on record. This changes by itself:\n");
        let rows = self.changes.iter().map(|change| {
            vec![
                shown(change.address),
                change.service.to_string(),
                node(change.from.as_ref()),
                node(change.to.as_ref()),
                change.reason.clone(),
            ]
        });
        *text += &table(&["ADDRESS", "SERVICE", "ON RECORD", "THEN", "REASON"], rows);
        why(text, self.changes.iter().map(|change| (&change.service, &change.message)));
    }

    fn if_a_node_dies(&self, text: &mut String) {
        line(text, "\nIf a node dies:\n");
        let rows = self.deaths.iter().flat_map(rows);
        *text += &table(&["NODE", "ADDRESS", "SERVICE", "FROM", "TO", "AFTER"], rows);
        for death in self.deaths.iter().filter(|death| death.led) {
            let told = match death.leaderless {
                Some(span) => format!("is answered again after {}", secs(span)),
                None => "is not answered any more".to_owned(),
            };
            let what = "who asks for an address of another node";
            line(text, &format!("\n{} takes the leader along: {what} {told}.", death.node));
        }
    }

    fn if_the_leader_dies(&self, text: &mut String) {
        let Some(succession) = &self.succession else { return };
        let told = match succession.unanswered_seconds {
            Some((least, most)) => {
                let span = format!("{least:.1} s to {most:.1} s, by when it happens");
                format!("who asks for an address is answered again after {span}.")
            }
            None => "who asks for an address is not answered any more.".to_owned(),
        };
        line(text, &format!("\nIf the leading replica dies, on {}, {told}", succession.node));
        for Stuck { leader, addresses } in &succession.stuck {
            let leader = leader.as_deref().unwrap_or(NOBODY);
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let addresses = addresses.join(", ");
            line(text, &format!("If {leader} leads then, these are not answered: {addresses}."));
        }
        if succession.changes.is_empty() && succession.stuck.is_empty() {
            line(text, "No address moves, and who knows where one is notices nothing.");
        } else if !succession.changes.is_empty() {
            line(text, "These addresses move:\n");
            let rows = succession.changes.iter().map(|change| {
                vec![
                    shown(change.address),
                    change.service.to_string(),
                    node(change.from.as_ref()),
                    node(change.to.as_ref()),
                ]
            });
            *text += &table(&["ADDRESS", "SERVICE", "FROM", "TO"], rows);
        }
    }

    fn single_points(&self, text: &mut String) {
        let lost =
            || self.deaths.iter().flat_map(|death| death.losses().map(move |it| (death, it)));
        let answered = self.addresses.iter().filter(|place| place.node.is_some()).count();
        let n_lost = lost().count();
        if n_lost == 0 {
            let what = "No address depends on a single node";
            line(text, &format!("\n{what}: {answered} of {answered} have where to go."));
            return;
        }
        let depends = if n_lost == 1 { "depends" } else { "depend" };
        line(text, &format!("\n{n_lost} of {answered} addresses {depends} on a single node:\n"));
        let rows = lost().map(|(death, change)| {
            vec![
                shown(change.address),
                change.service.to_string(),
                death.node.clone(),
                change.reason.clone(),
            ]
        });
        *text += &table(&["ADDRESS", "SERVICE", "NODE", "REASON"], rows);
        why(text, lost().map(|(_, change)| (&change.service, &change.message)));
    }
}

/// What is elsewhere after a death, or that nothing is.
fn rows(death: &Death) -> Vec<Vec<String>> {
    if death.changes.is_empty() {
        let nothing = [NONE; 5].map(str::to_owned);
        return vec![[death.node.clone()].into_iter().chain(nothing).collect()];
    }
    let row = |change: &Change| {
        vec![
            death.node.clone(),
            shown(change.address),
            change.service.to_string(),
            node(change.from.as_ref()),
            node(change.to.as_ref()),
            change.after.map_or_else(|| NONE.to_owned(), secs),
        ]
    };
    death.changes.iter().map(row).collect()
}

/// What is said of those that nobody is answered for.
fn why<'a>(text: &mut String, said: impl Iterator<Item = (&'a ServiceName, &'a String)>) {
    let mut told = said.filter(|(_, message)| !message.is_empty()).peekable();
    if told.peek().is_some() {
        text.push('\n');
    }
    for (service, message) in told {
        let _ = writeln!(text, "{service}: {message}");
    }
}

fn line(text: &mut String, line: &str) {
    let _ = writeln!(text, "{line}");
}

fn shown(address: Option<IpAddr>) -> String {
    address.map_or_else(|| NONE.to_owned(), |address| address.to_string())
}

fn node(name: Option<&NodeName>) -> String {
    name.map_or_else(|| NOBODY.to_owned(), ToString::to_string)
}

fn secs(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

fn count(n: usize, what: &str) -> String {
    match (n, what.ends_with('s')) {
        (1, _) => format!("1 {what}"),
        (_, true) => format!("{n} {what}es"),
        (_, false) => format!("{n} {what}s"),
    }
}

//! What was measured, as a table.

use std::fmt::Display;

/// The figures, in the order in which they were first taken.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

#[derive(Debug)]
struct Row {
    case: &'static str,
    what: String,
    unit: &'static str,
    values: Vec<f64>,
}

impl Table {
    pub(crate) fn add(
        &mut self,
        case: &'static str,
        what: impl Display,
        value: f64,
        unit: &'static str,
    ) {
        let what = what.to_string();
        progress(&format!("{case}: {what}: {}", shown(value, unit)));
        match self.0.iter_mut().find(|row| row.case == case && row.what == what) {
            Some(row) => row.values.push(value),
            None => self.0.push(Row { case, what, unit, values: vec![value] }),
        }
    }

    #[expect(clippy::print_stdout, reason = "it is what was asked for")]
    pub(crate) fn print(mut self) {
        println!("| case | what | median | least | most |");
        println!("|---|---|---|---|---|");
        for Row { case, what, unit, values } in &mut self.0 {
            values.sort_by(f64::total_cmp);
            let at = |at: usize| shown(values[at], unit);
            let (median, most) = (at(values.len() / 2), at(values.len() - 1));
            println!("| {case} | {what} | {median} | {} | {most} |", at(0));
        }
    }
}

/// Tells who waits how far it is.
#[expect(clippy::print_stderr, reason = "it takes minutes")]
pub(crate) fn progress(said: &str) {
    eprintln!("{said}");
}

fn shown(value: f64, unit: &str) -> String {
    let digits = if value.fract() == 0.0 || value >= 1_000.0 { 0 } else { 2 };
    format!("{value:.digits$} {unit}")
}

//! A run as one page, alone or beside another: no resource from elsewhere, no script, light and dark.

mod chart;
pub mod command;

use std::fmt::Write;

use crate::record::{Record, is_accepted};
use crate::verdict::Verdict;
use chart::{Chart, Line, Scale};

/// Of the page and its charts; the colours are those of the backtest's report.
const STYLE: &str = include_str!("report/style.css");

/// `base` is drawn beside the run, dashed.
pub fn page(run: &Record, base: Option<&Record>, verdicts: &[Verdict]) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Load: {name}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>Load: {name}</h1>\n<p class=\"soft\">{}</p>\n",
        escape(&run.machine),
        name = escape(&run.name),
    );
    if !verdicts.is_empty() {
        out += &targets(verdicts);
    }
    out += &figures(run, base);
    out += "<h2>In time</h2>\n<p class=\"soft\">Latencies count from when a request was due, so that a stall is seen in full.";
    if let Some(base) = base {
        let _ = write!(out, " Dashed: {}.", escape(&base.name));
    }
    out += "</p>\n";
    for chart in charts(run, base) {
        let _ = write!(out, "<figure class=\"card\"><figcaption>{}</figcaption>\n{}", chart.title, chart.draw());
        out += &legend(&chart);
        out += "</figure>\n";
    }
    out += "</main>\n</body>\n</html>\n";
    out
}

fn targets(verdicts: &[Verdict]) -> String {
    let mut out = String::from(
        "<h2>Targets</h2>\n<div class=\"card wide\"><table><thead><tr><th>what</th><th>measured</th><th>target</th><th></th></tr></thead><tbody>\n",
    );
    for Verdict { what, measured, target, is_met } in verdicts {
        let (class, word) = if *is_met { ("met", "met") } else { ("missed", "missed") };
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"{class}\">{word}</td></tr>",
            escape(what),
            escape(measured),
            escape(target)
        );
    }
    out + "</tbody></table></div>\n"
}

/// The same rows of both runs.
fn figures(run: &Record, base: Option<&Record>) -> String {
    let columns: Vec<&Record> = std::iter::once(run).chain(base).collect();
    let mut out = String::from("<h2>Figures</h2>\n<div class=\"card wide\"><table><thead><tr><th></th>");
    for one in &columns {
        let _ = write!(out, "<th>{}</th>", escape(&one.name));
    }
    out += if base.is_some() { "<th>change</th>" } else { "" };
    out += "</tr></thead><tbody>\n";
    for (name, of) in FIGURES {
        let _ = write!(out, "<tr><td>{name}</td>");
        for one in &columns {
            let _ = write!(out, "<td>{}</td>", rounded(of(one)));
        }
        if let Some(base) = base {
            let (now, before) = (of(run), of(base));
            let change = if before == 0.0 { String::new() } else { format!("{:+.1} %", (now / before - 1.0) * 100.0) };
            let _ = write!(out, "<td>{change}</td>");
        }
        out += "</tr>\n";
    }
    let mut codes: Vec<&String> = columns.iter().flat_map(|one| one.codes.keys()).collect();
    codes.sort_unstable();
    codes.dedup();
    for code in codes {
        let _ = write!(out, "<tr><td>answers: {}</td>", escape(code));
        for one in &columns {
            let _ = write!(out, "<td>{}</td>", one.codes.get(code).copied().unwrap_or(0));
        }
        out += if base.is_some() { "<td></td></tr>\n" } else { "</tr>\n" };
    }
    out + "</tbody></table></div>\n"
}

type Figure = fn(&Record) -> f64;

const FIGURES: [(&str, Figure); 14] = [
    ("asked for, /s", |run| run.target_rate),
    ("seconds", |run| run.secs as f64),
    ("sent, /s", Record::offered),
    ("answered 200 or 202, /s", Record::goodput),
    ("p50, ms", |run| run.latency.p50_ms),
    ("p90, ms", |run| run.latency.p90_ms),
    ("p99, ms", |run| run.latency.p99_ms),
    ("p99.9, ms", |run| run.latency.p999_ms),
    ("longest, ms", |run| run.latency.max_ms),
    ("p99 of 200 and 202, ms", |run| run.accepted.p99_ms),
    ("last answer after the end, s", |run| run.drained_secs),
    ("memory at the end, MB", |run| run.samples.last().map_or(0.0, |sample| sample.rss_bytes as f64 / 1e6)),
    ("memory at most, MB", |run| run.samples.iter().map(|sample| sample.rss_bytes).max().unwrap_or(0) as f64 / 1e6),
    ("processor, cores", |run| run.samples.iter().map(|sample| sample.cpu_cores).sum::<f64>() / run.samples.len().max(1) as f64),
];

fn rounded(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn charts(run: &Record, base: Option<&Record>) -> Vec<Chart> {
    let runs: Vec<(&Record, bool)> = std::iter::once((run, false)).chain(base.map(|base| (base, true))).collect();
    let by_second = |of: fn(&crate::record::Second) -> f64, name: &str, colour: usize| {
        runs.iter()
            .map(|(one, is_base)| Line {
                name: name.to_owned(),
                colour,
                is_base: *is_base,
                points: (0..).zip(&one.seconds).map(|(second, values)| (f64::from(second), of(values))).collect(),
            })
            .collect::<Vec<_>>()
    };
    let by_sample = |of: fn(&crate::record::Sample) -> f64, name: &str, colour: usize| {
        runs.iter()
            .map(|(one, is_base)| Line {
                name: name.to_owned(),
                colour,
                is_base: *is_base,
                points: one.samples.iter().map(|sample| (sample.at_secs, of(sample))).collect(),
            })
            .collect::<Vec<_>>()
    };
    let time = "seconds from the start";
    let rates = [
        by_second(|second| second.due as f64, "sent", 0),
        by_second(|second| count(second, is_good), "decided or accepted", 2),
        by_second(|second| count(second, |code| !is_good(code)), "refused or failed", 4),
    ];
    let latencies = [
        by_second(|second| second.p50_ms, "p50", 0),
        by_second(|second| second.p99_ms, "p99", 1),
        by_second(|second| second.max_ms, "longest", 4),
    ];
    let curve = runs.iter().map(|(one, is_base)| Line {
        name: "answers".to_owned(),
        colour: 0,
        is_base: *is_base,
        // Ninety-nine per cent and its nines are equally far apart.
        points: one.curve.iter().filter(|(share, _)| *share < 1.0).map(|(share, ms)| (-(1.0 - share).log10(), *ms)).collect(),
    });
    vec![
        Chart::new("Requests and answers a second", time, Scale::Linear, rates.concat()),
        Chart::new("Latency, ms", time, Scale::Logarithmic, latencies.concat()),
        Chart::new("Latency by share of the answers, ms", "share of the answers", Scale::Logarithmic, curve.collect())
            .of_shares(),
        Chart::new("Memory of the service, MB", time, Scale::Linear, by_sample(|sample| sample.rss_bytes as f64 / 1e6, "RSS", 3)),
        Chart::new("Processor of the service, cores", time, Scale::Linear, by_sample(|sample| sample.cpu_cores, "cores", 5)),
        Chart::new("Live attempts", time, Scale::Linear, by_sample(|sample| sample.live_attempts, "held", 6)),
    ]
}

fn is_good(code: &str) -> bool {
    is_accepted(code) || code == "decided"
}

fn count(second: &crate::record::Second, is_counted: impl Fn(&str) -> bool) -> f64 {
    second.codes.iter().filter(|(code, _)| is_counted(code)).map(|(_, count)| *count).sum::<u64>() as f64
}

fn legend(chart: &Chart) -> String {
    let names = chart.lines.iter().filter(|line| !line.is_base).map(|line| (line.colour, &line.name));
    let mut out = String::from("<ul class=\"legend\">");
    for (colour, name) in names {
        let _ = write!(out, "<li><span class=\"swatch s{colour}\"></span>{}</li>", escape(name));
    }
    out + "</ul>"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Sample, Second};

    #[test]
    fn a_page_stands_alone_and_shows_foreign_names_as_text() {
        let second = |due| Second { due, p50_ms: 1.0, p99_ms: 5.0, max_ms: 9.0, codes: [("200".to_owned(), due)].into() };
        let run = Record {
            name: "<script>".to_owned(),
            secs: 3,
            sent: 30,
            codes: [("200".to_owned(), 29), ("503".to_owned(), 1)].into(),
            curve: vec![(0.5, 1.0), (0.99, 5.0), (1.0, 9.0)],
            seconds: vec![second(10), second(10), second(10)],
            samples: vec![Sample { at_secs: 1.0, rss_bytes: 50_000_000, cpu_cores: 0.5, ..Sample::default() }],
            ..Record::default()
        };
        let verdict = Verdict { what: "errors", measured: "1 of 503".to_owned(), target: "none".to_owned(), is_met: false };
        let alone = page(&run, None, &[verdict]);
        assert!(alone.contains("&lt;script&gt;") && !alone.contains("<script"), "{alone}");
        assert!(!alone.contains("src=") && !alone.contains("http") && alone.contains("prefers-color-scheme"));
        assert!(alone.contains("class=\"missed\">missed") && !alone.contains("NaN") && !alone.contains("inf"), "{alone}");
        let beside = page(&run, Some(&Record { name: "before".to_owned(), ..run.clone() }), &[]);
        assert!(
            beside.contains("Dashed: before.")
                && beside.contains("+0.0 %")
                && beside.matches("<polyline").count() > alone.matches("<polyline").count()
        );
        // Nothing was measured: still a page.
        assert!(!page(&Record::default(), None, &[]).contains("NaN"));
    }
}

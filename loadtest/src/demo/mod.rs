//! What a newcomer sees: ordinary people stream through a running service, a planted tweaker among them is referred, and the
//! service says why. Come again, and it still knows him.

mod crowd;
mod story;
mod table;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::calendar::rfc3339;
use crate::form::Form;
use crate::http::client::{Answer, Client};
use crate::http::wall_clock_ms;
use crate::latency::Latencies;
use crate::source::Source;
use crate::wire::Quote;
use table::{COLUMNS, Column, Paint};

/// Attempts of the first run: the last of them is the third version that contradicts the first.
const PLANTED: usize = 5;
/// Runs looked for; beyond, the demo says so.
const KNOWN_MAX: usize = 200;

/// Shows the service at `url` at work. Gives whether the planted applicant was referred.
///
/// # Errors
/// A service that cannot be reached or does not answer as the contract says; an output that is closed.
pub fn run(url: &str, api_key: Option<String>, colour: bool, out: &mut dyn Write) -> Result<bool> {
    let mut client = Client::connect(url, api_key)?;
    let known = known(&mut client)?;
    let sent = if known == 0 { PLANTED } else { 1 };
    let forms = story::attempts(known + sent);
    introduce(out, url, known)?;
    let counts = stream(&mut client, &forms, known)?;
    writeln!(out, "{counts}")?;
    let columns = columns(&mut client, forms)?;
    writeln!(out, "One applicant's attempts, changes marked (* another value, ~ look-alike letters of another script):\n")?;
    writeln!(out, "{}", table::render(&columns, colour))?;
    let last = columns.last().context("there is an attempt")?;
    explain(&mut client, url, last, colour, out)?;
    Ok(last.decision == "refer")
}

fn id(number: usize) -> String {
    format!("demo-{number}")
}

/// How many attempts of the planted applicant the service has decided already.
fn known(client: &mut Client) -> Result<usize> {
    for number in 1..=KNOWN_MAX {
        match client.get(&format!("/v1/decisions/{}", id(number)))? {
            Answer { status: 404, .. } => return Ok(number - 1),
            Answer { status: 200, .. } => {}
            Answer { status, body, .. } => bail!("the service answered {status}: {}", body["detail"]),
        }
    }
    bail!("the demo has run {KNOWN_MAX} times on this data: start with a fresh file")
}

fn introduce(out: &mut dyn Write, url: &str, known: usize) -> Result<()> {
    writeln!(out, "quoteguard answers on {url}\n")?;
    if known == 0 {
        writeln!(out, "Sending quotes of ordinary people and, among them, two applicants who pick parameters ...")?;
    } else {
        writeln!(out, "The planted applicant is known: {known} attempts were kept from before. He comes again ...")?;
    }
    Ok(())
}

/// Answers by decision, for the three kinds of people.
struct Counts {
    ordinary: BTreeMap<String, u32>,
    tweaker: BTreeMap<String, u32>,
    planted: BTreeMap<String, u32>,
    latency: Latencies,
    elapsed: Duration,
    /// From the start to the first `refer`.
    first_refer: Option<Duration>,
}

/// Sends the crowd with the planted attempts spread evenly through it.
fn stream(client: &mut Client, forms: &[Form], known: usize) -> Result<Counts> {
    let crowd = crowd::crowd(1 + known as u64);
    let planted = &forms[known..];
    let every = crowd.len() / planted.len();
    let mut own = own_device();
    let mut counts = Counts {
        ordinary: BTreeMap::new(),
        tweaker: BTreeMap::new(),
        planted: BTreeMap::new(),
        latency: Latencies::default(),
        elapsed: Duration::ZERO,
        first_refer: None,
    };
    let run = wall_clock_ms();
    let start = Instant::now();
    for (number, mut passer) in crowd.into_iter().enumerate() {
        passer.quote.quote_id = format!("demo-{run:x}-{number}");
        let count = if passer.is_tweaker { &mut counts.tweaker } else { &mut counts.ordinary };
        let mut decision = send(client, passer.quote, count, &mut counts.latency)?;
        if number % every == every - 1 && number / every < planted.len() {
            let at = number / every;
            own.session = format!("s-demo-{run:x}");
            let quote = planted[at].render(id(known + at + 1), 0, &own);
            // In the alphabet as in strictness: accept, flag, refer.
            decision = send(client, quote, &mut counts.planted, &mut counts.latency)?.max(decision);
        }
        if decision == "refer" && counts.first_refer.is_none() {
            counts.first_refer = Some(start.elapsed());
        }
    }
    counts.elapsed = start.elapsed();
    Ok(counts)
}

/// He always comes from the same device.
fn own_device() -> Source {
    let mut source = Source::nowhere();
    source.device = "demo-device".into();
    source.ip = "10.20.30.40".into();
    source
}

/// Sends the quote as of now; gives the decision.
fn send(client: &mut Client, mut quote: Quote, count: &mut BTreeMap<String, u32>, latency: &mut Latencies) -> Result<String> {
    quote.submitted_at = rfc3339(wall_clock_ms());
    let answer = client.check(&serde_json::to_string(&quote)?)?;
    latency.record(answer.latency);
    match (answer.status, answer.body["decision"].as_str()) {
        (200, Some(decision)) => {
            *count.entry(decision.to_owned()).or_default() += 1;
            Ok(decision.to_owned())
        }
        (status, _) => bail!("quote {} was answered {status}: {}", quote.quote_id, answer.body["detail"]),
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "\n                      quotes   accept     flag    refer")?;
        for (who, count) in
            [("ordinary people", &self.ordinary), ("a tweaker drawn anew", &self.tweaker), ("the planted one", &self.planted)]
        {
            let of = |decision: &str| count.get(decision).copied().unwrap_or(0);
            let all: u32 = count.values().sum();
            writeln!(f, "{who:20} {all:8} {:8} {:8} {:8}", of("accept"), of("flag"), of("refer"))?;
        }
        if let Some(after) = self.first_refer {
            writeln!(f, "\nThe first refer came after {} ms.", after.as_millis())?;
        }
        let secs = self.elapsed.as_secs_f64();
        writeln!(f, "{} quotes one after another in {secs:.1} s, each durable before its answer:", self.latency.count())?;
        writeln!(f, "{}", self.latency.summary())
    }
}

/// What the service says today of the newest attempts.
fn columns(client: &mut Client, forms: Vec<Form>) -> Result<Vec<Column>> {
    let first = forms.len().saturating_sub(COLUMNS);
    let shown = (1..).zip(forms).skip(first);
    shown
        .map(|(number, form)| {
            let decision = decision(client, number)?;
            let text = |name: &str| decision[name].as_str().unwrap_or_default().to_owned();
            Ok(Column { number, submitted_at: text("event_time"), form, decision: text("answer") })
        })
        .collect()
}

fn decision(client: &mut Client, number: usize) -> Result<Value> {
    let answer = client.get(&format!("/v1/decisions/{}", id(number)))?;
    if answer.status != 200 {
        bail!("the decision on {} was answered {}: {}", id(number), answer.status, answer.body["detail"]);
    }
    Ok(answer.body)
}

/// The reason as the underwriter reads it, and where to look further.
fn explain(client: &mut Client, url: &str, last: &Column, colour: bool, out: &mut dyn Write) -> Result<()> {
    let paint = Paint(colour);
    let decision = decision(client, last.number)?;
    let reasons: Vec<&Value> = decision["reasons"].as_array().into_iter().flatten().collect();
    let of = |reason: &Value, name: &str| reason[name].as_str().unwrap_or_default().to_owned();
    writeln!(out, "Why attempt {} was answered {}:\n", last.number, paint.decision(&last.decision, &last.decision))?;
    if let Some(reason) = reasons.first() {
        writeln!(out, "{}", wrapped(&format!("{} ({}): {}", of(reason, "code"), of(reason, "rule"), of(reason, "text"))))?;
    }
    let others: Vec<String> = reasons.iter().skip(1).map(|reason| of(reason, "rule")).collect();
    if !others.is_empty() {
        writeln!(out, "  Matched as well: {}.", others.join(", "))?;
    }
    writeln!(out, "  Earlier attempts linked to it: {}.\n", decision["linked_total"])?;
    writeln!(out, "{}\n", paint.bold("Ask it yourself"))?;
    for (what, how) in [
        (format!("curl {url}/v1/decisions/{}", id(last.number)), "why, with every link"),
        (format!("curl {url}/metrics"), "what operators watch"),
        (format!("{url}/docs"), "every endpoint, in a browser"),
    ] {
        writeln!(out, "  {what:52} {how}")?;
    }
    Ok(())
}

/// Indented lines of at most a hundred columns.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::from(" ")];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        if lines[last].chars().count() + 1 + word.chars().count() > 100 {
            lines.push(format!("  {word}"));
        } else {
            lines[last].push(' ');
            lines[last].push_str(word);
        }
    }
    lines.join("\n")
}

//! The report as one page: no resource from elsewhere, no script.

use askama::Template;

use super::charts;
use super::figures::{Book, Figures, Shown};
use crate::shown::{money, whole};

#[derive(Template)]
#[template(path = "backtest.html")]
struct Page<'a> {
    figures: &'a Figures,
    is_labelled: bool,
    period: String,
    facts: Vec<(&'static str, String)>,
    rows: Vec<Row<'a>>,
    curve: String,
    /// A book that is no step of a sweep.
    has_own: bool,
    legend: Vec<(usize, &'a str)>,
    days: (String, String),
    most_a_day: String,
    /// Books that refer other quotes than the baseline are drawn, these are only named.
    same: Vec<&'a str>,
    multiples: Vec<(&'a str, String, String)>,
    overlaps: Vec<(&'a str, String, [String; 3])>,
    details: Vec<Detail<'a>>,
    is_masked: bool,
}

/// A line of the table of books.
struct Row<'a> {
    name: &'a str,
    is_baseline: bool,
    cells: Vec<String>,
}

/// What is folded away of one book.
struct Detail<'a> {
    name: &'a str,
    summary: String,
    catch_by: Vec<String>,
    confusion: Vec<(&'static str, [String; 4])>,
    rules: Vec<(&'a str, String)>,
    lists: Vec<(&'static str, String, &'a [Shown])>,
}

/// # Errors
/// None that the figures can cause.
pub fn page(figures: &Figures, is_masked: bool) -> Result<String, askama::Error> {
    let days: Vec<&str> = all_days(figures);
    let most = figures.books().flat_map(|book| &book.days).map(|day| day.referred).max().unwrap_or(0);
    let page = Page {
        figures,
        is_labelled: figures.labels.is_some(),
        period: period(figures),
        facts: facts(figures),
        rows: figures.books().map(row).collect(),
        curve: charts::curve(figures),
        has_own: figures.candidates.iter().any(|book| book.sweep.is_none()),
        legend: charts::series(figures).iter().enumerate().map(|(i, one)| (i % charts::SERIES, one.name)).collect(),
        days: (days.first().unwrap_or(&"").to_string(), days.last().unwrap_or(&"").to_string()),
        most_a_day: whole(most),
        same: figures.candidates.iter().filter(|book| !differs(book)).map(|book| book.name.as_str()).collect(),
        multiples: std::iter::once(&figures.baseline)
            .chain(figures.candidates.iter().filter(|book| differs(book)))
            .map(|book| {
                let rate = format!("{:.1} a day", book.referrals_per_day);
                (book.name.as_str(), charts::days(book, &figures.baseline, &days, most), rate)
            })
            .collect(),
        overlaps: figures.candidates.iter().filter(|book| differs(book)).filter_map(bars).collect(),
        details: figures.books().map(detail).collect(),
        is_masked,
    };
    page.render()
}

fn all_days(figures: &Figures) -> Vec<&str> {
    let mut days: Vec<&str> = figures.books().flat_map(|book| &book.days).map(|day| day.day.as_str()).collect();
    days.sort_unstable();
    days.dedup();
    days
}

fn period(figures: &Figures) -> String {
    let history = &figures.history;
    format!("{} to {} UTC, {:.0} days", history.from, history.to, history.days)
}

fn facts(figures: &Figures) -> Vec<(&'static str, String)> {
    let history = &figures.history;
    let mut facts = vec![
        ("quotes decided", whole(history.decided)),
        ("duplicates", whole(history.duplicates)),
        ("rejected", whole(history.rejected)),
        ("decisions amended", whole(history.amendments)),
    ];
    if let Some(labels) = &figures.labels {
        facts.extend([
            ("tweakers by label", whole(labels.tweakers)),
            ("of them with 3 suspicious attempts", whole(labels.eligible)),
            ("honest applicants by label", whole(labels.honest)),
            ("labels without a quote", whole(labels.unknown as u64)),
            ("quotes without a label", whole(labels.unlabelled)),
        ]);
    }
    facts
}

fn row(book: &Book) -> Row<'_> {
    let mut cells = vec![
        whole(book.told.flag),
        whole(book.told.refer),
        format!("{:.1}", book.referrals_per_day),
        whole(book.applicants_referred),
        money(book.premium_protected),
    ];
    if let Some(labelled) = &book.labelled {
        let [low, high] = labelled.honest_referred_interval_pct;
        cells.push(format!("{:.1} %", labelled.catch_by_pct[3]));
        cells.push(format!("{:.3} %", labelled.honest_referred_pct));
        cells.push(format!("{low:.3} – {high:.3}"));
    }
    let (new, gone) = book.overlap.as_ref().map_or((String::new(), String::new()), |overlap| {
        (signed("+", overlap.only_candidate), signed("−", overlap.only_baseline))
    });
    cells.extend([new, gone]);
    Row { name: &book.name, is_baseline: book.overlap.is_none(), cells }
}

fn signed(sign: &str, number: u64) -> String {
    if number == 0 { "0".to_owned() } else { format!("{sign}{}", whole(number)) }
}

fn differs(book: &Book) -> bool {
    book.overlap.as_ref().is_some_and(|overlap| overlap.only_baseline + overlap.only_candidate > 0)
}

fn bars(book: &Book) -> Option<(&str, String, [String; 3])> {
    let overlap = book.overlap.as_ref()?;
    let counts = [overlap.only_baseline, overlap.both, overlap.only_candidate];
    Some((&book.name, charts::overlap(overlap), counts.map(whole)))
}

fn detail(book: &Book) -> Detail<'_> {
    let summary = match &book.overlap {
        Some(overlap) => format!("{} newly referred, {} no longer", whole(overlap.only_candidate), whole(overlap.only_baseline)),
        None => "the baseline".to_owned(),
    };
    let labelled = book.labelled.as_ref();
    let confusion = labelled.map_or_else(Vec::new, |labelled| {
        [("quotes", labelled.quotes), ("applicants", labelled.applicants)]
            .map(|(unit, c)| {
                (unit, [c.manipulated_referred, c.manipulated_passed, c.honest_referred, c.honest_passed].map(whole))
            })
            .into()
    });
    let lists = book.overlap.as_ref().map_or_else(Vec::new, |overlap| {
        vec![
            ("Newly referred", whole(overlap.only_candidate), &overlap.newly_referred[..]),
            ("No longer referred", whole(overlap.only_baseline), &overlap.no_longer_referred[..]),
        ]
    });
    Detail {
        name: &book.name,
        summary,
        catch_by: labelled.map_or_else(Vec::new, |l| l.catch_by_pct.iter().map(|pct| format!("{pct:.1} %")).collect()),
        confusion,
        rules: book.rules.iter().map(|hits| (hits.rule.as_str(), whole(hits.decisions))).collect(),
        lists,
    }
}

impl Shown {
    /// For a reader.
    fn rules_text(&self) -> String {
        self.rules.join(", ")
    }

    fn premiums(&self) -> Vec<String> {
        self.matrix.attempts.iter().map(|column| column.premium.map_or_else(String::new, money)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1\u{202f}000"), (1_234_567, "1\u{202f}234\u{202f}567")] {
            assert_eq!(whole(number), text);
        }
    }
}

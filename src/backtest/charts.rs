//! Charts as SVG text. Colours are classes of the page's style, so that light and dark are one drawing.

use std::fmt::Write;

use super::figures::{Book, Figures, Overlap};
use crate::shown::escape;

/// Colours of the style: `s0` to `s7`.
pub const SERIES: usize = 8;

/// A swept parameter and its books in order of the value, the baseline among them.
pub struct Series<'a> {
    pub name: &'a str,
    points: Vec<(f64, &'a str, &'a Book)>,
}

/// The swept parameters that move the catch or the honest people referred, in the order of the candidates.
pub fn series(figures: &Figures) -> Vec<Series<'_>> {
    let mut series: Vec<Series> = Vec::new();
    for book in &figures.candidates {
        let Some(step) = &book.sweep else { continue };
        let (value, default) = step.order;
        if series.last().is_none_or(|last| last.name != step.param) {
            series.push(Series { name: &step.param, points: vec![(default, "", &figures.baseline)] });
        }
        if let Some(last) = series.last_mut() {
            last.points.push((value, &step.value, book));
        }
    }
    series.retain(|one| one.points.iter().any(|(.., book)| place(book) != place(&figures.baseline)));
    for one in &mut series {
        one.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    series
}

/// Catch and honest people referred, per cent.
fn place(book: &Book) -> Option<(f64, f64)> {
    let labelled = book.labelled.as_ref()?;
    Some((labelled.honest_referred_pct, labelled.catch_by_pct[3]))
}

/// From data to the drawing.
struct Axes {
    x: (f64, f64),
    y: (f64, f64),
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 44.0;

impl Axes {
    fn new(points: &[(f64, f64)]) -> Axes {
        let range = |of: fn(&(f64, f64)) -> f64| {
            let low = points.iter().map(of).fold(f64::MAX, f64::min);
            let high = points.iter().map(of).fold(f64::MIN, f64::max);
            let room = ((high - low) * 0.12).max(high.abs() * 0.02).max(0.005);
            ((low - room).max(0.0), high + room)
        };
        let (low, high) = range(|point| point.1);
        Axes { x: range(|point| point.0), y: (low, high.min(101.0)) }
    }

    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let share = |value: f64, (low, high): (f64, f64)| (value - low) / (high - low);
        (LEFT + share(x, self.x) * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - share(y, self.y) * (HEIGHT - TOP - BOTTOM))
    }

    fn draw(&self, out: &mut String) {
        for tick in ticks(self.y).into_iter().filter(|tick| *tick <= 100.0) {
            let y = self.at((self.x.0, tick)).1;
            let _ = write!(out, r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/>"#, WIDTH - RIGHT);
            let _ = write!(
                out,
                r#"<text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                LEFT - 8.0,
                y + 4.0,
                plain(tick)
            );
        }
        for tick in ticks(self.x) {
            let x = self.at((tick, self.y.0)).0;
            let _ = write!(out, r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{:.1}"/>"#, HEIGHT - BOTTOM);
            let _ = write!(
                out,
                r#"<text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                HEIGHT - BOTTOM + 17.0,
                plain(tick)
            );
        }
        let _ = write!(
            out,
            r#"<text class="axis" x="{:.1}" y="{:.1}" text-anchor="end">honest applicants referred, % (less is better)</text><text class="axis" x="{LEFT}" y="11">tweakers caught by the 4th suspicious attempt, %</text>"#,
            WIDTH - RIGHT,
            HEIGHT - 8.0
        );
    }
}

/// About five round numbers within a range.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= rough).unwrap_or(power);
    let first = (low / step).ceil() as i64;
    (first..).map(|n| n as f64 * step).take_while(|tick| *tick <= high).take(12).collect()
}

fn plain(number: f64) -> String {
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Catch against honest people referred; empty without labels.
pub fn curve(figures: &Figures) -> String {
    let points: Vec<(f64, f64)> = figures.books().filter_map(place).collect();
    let Some(baseline) = place(&figures.baseline) else { return String::new() };
    let axes = Axes::new(&points);
    let mut out = format!(
        r#"<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Catch against honest applicants referred">"#
    );
    axes.draw(&mut out);
    let mut labels: Vec<(f64, f64)> = vec![axes.at(baseline)];
    for (number, series) in series(figures).iter().enumerate() {
        let colour = number % SERIES;
        let line: Vec<String> = series
            .points
            .iter()
            .filter_map(|(.., book)| place(book))
            .map(|point| axes.at(point))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = write!(out, r#"<polyline class="line s{colour}" points="{}"/>"#, line.join(" "));
        for (_, value, book) in series.points.iter().filter(|(_, value, _)| !value.is_empty()) {
            let name = format!("{}={value}", series.name.rsplit('.').next().unwrap_or_default());
            point(&mut out, &axes, book, &name, &format!("dot s{colour}"), &mut labels);
        }
    }
    for book in figures.candidates.iter().filter(|book| book.sweep.is_none()) {
        point(&mut out, &axes, book, &book.name, "dot own", &mut labels);
    }
    let (x, y) = axes.at(baseline);
    let _ = write!(
        out,
        r#"<path class="baseline" d="M{x:.1} {:.1}l7 7l-7 7l-7 -7z"><title>baseline: {}</title></path>"#,
        y - 7.0,
        escape(&figures.baseline.name)
    );
    out.push_str("</svg>");
    out
}

/// A point, with its name where there is room for it.
fn point(out: &mut String, axes: &Axes, book: &Book, name: &str, class: &str, labels: &mut Vec<(f64, f64)>) {
    let Some(place) = place(book) else { return };
    let (x, y) = axes.at(place);
    let _ = write!(
        out,
        r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="4.5"><title>{}: {} % caught, {} % of the honest referred</title></circle>"#,
        escape(&book.name),
        place.1,
        place.0
    );
    let is_free = labels.iter().all(|(other_x, other_y)| (x - other_x).abs() > 60.0 || (y - other_y).abs() > 13.0);
    let length = name.chars().count();
    if !is_free || length > 24 {
        return;
    }
    labels.push((x, y));
    let is_at_the_end = x + 8.0 + length as f64 * 6.5 > WIDTH;
    let (x, anchor) = if is_at_the_end { (x - 8.0, "end") } else { (x + 8.0, "start") };
    let _ = write!(out, r#"<text class="name" x="{x:.1}" y="{:.1}" text-anchor="{anchor}">{}</text>"#, y + 4.0, escape(name));
}

/// Referrals a day: bars of the book, over which the baseline is a line. `days` are all days of the history, `most` the highest bar.
pub fn days(book: &Book, baseline: &Book, days: &[&str], most: u64) -> String {
    const HEIGHT: f64 = 48.0;
    let width = days.len().max(1) as f64 * 6.0;
    let height = |referred: u64| referred as f64 / most.max(1) as f64 * HEIGHT;
    let of = |book: &Book, day: &str| {
        book.days.binary_search_by(|one| one.day.as_str().cmp(day)).map_or(0, |at| book.days[at].referred)
    };
    let mut out = format!(r#"<svg class="days" viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">"#);
    let mut line = String::new();
    for (i, day) in days.iter().enumerate() {
        let x = i as f64 * 6.0;
        let bar = height(of(book, day));
        let _ = write!(out, r#"<rect class="bar" x="{:.1}" y="{:.1}" width="5" height="{bar:.1}"/>"#, x + 0.5, HEIGHT - bar);
        let y = HEIGHT - height(of(baseline, day));
        let _ = write!(line, "{x:.1},{y:.1} {:.1},{y:.1} ", x + 6.0);
    }
    let _ = write!(out, r#"<polyline class="over" points="{line}"/></svg>"#);
    out
}

/// Both, only the baseline, only the candidate: shares of all that either refers.
pub fn overlap(overlap: &Overlap) -> String {
    let all = (overlap.both + overlap.only_baseline + overlap.only_candidate).max(1) as f64;
    let mut out = String::from(r#"<svg class="overlap" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">"#);
    let mut x = 0.0;
    for (class, count) in [("gone", overlap.only_baseline), ("both", overlap.both), ("new", overlap.only_candidate)] {
        let width = count as f64 / all * 100.0;
        let _ = write!(out, r#"<rect class="{class}" x="{x:.2}" y="0" width="{width:.2}" height="10"/>"#);
        x += width;
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for (range, expected) in [
            ((0.0, 10.0), vec![0.0, 2.0, 4.0, 6.0, 8.0, 10.0]),
            ((93.0, 98.0), vec![93.0, 94.0, 95.0, 96.0, 97.0, 98.0]),
            ((0.5, 0.5001), vec![0.5, 0.50002, 0.50004, 0.50006, 0.50008, 0.5001]),
        ] {
            let found = ticks(range);
            assert_eq!(found.len(), expected.len(), "{range:?}: {found:?}");
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9), "{range:?}: {found:?}");
        }
    }
}

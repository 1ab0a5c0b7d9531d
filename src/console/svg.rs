//! Drawings made here: no script, no style of their own, sizes in CSS pixels.

use std::fmt::Write as _;

use crate::engine::time::EventTime;
use crate::pipeline::desk::Bucket;
use crate::shown::escape;

const LINE_HEIGHT: f64 = 44.0;
/// Room for a dot at the edge.
const LINE_EDGE: f64 = 6.0;

/// A line over columns of one width, a dot in the middle of each that has a value. Decorative: the numbers stand below it.
pub fn sparkline(values: &[Option<f64>], column_width: f64) -> String {
    let given = || values.iter().enumerate().filter_map(|(i, value)| Some((i, (*value)?)));
    let (low, high) =
        given().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (_, value)| (low.min(value), high.max(value)));
    let width = column_width * values.len() as f64;
    let span = if high > low { high - low } else { 1.0 };
    let place = |(i, value): (usize, f64)| {
        let y = if high > low { LINE_EDGE + (high - value) / span * (LINE_HEIGHT - 2.0 * LINE_EDGE) } else { LINE_HEIGHT / 2.0 };
        ((i as f64 + 0.5) * column_width, y)
    };
    let points: Vec<(f64, f64)> = given().map(place).collect();
    let mut out = format!(
        r#"<svg class="sparkline" width="{width}" height="{LINE_HEIGHT}" viewBox="0 0 {width} {LINE_HEIGHT}" aria-hidden="true" focusable="false">"#
    );
    let line: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = write!(out, r#"<polyline class="line" points="{}"/>"#, line.join(" "));
    for ((_, value), (x, y)) in given().zip(&points) {
        let class = if value <= low && high > low { "dot low" } else { "dot" };
        let _ = write!(out, r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="3.5"/>"#);
    }
    out.push_str("</svg>");
    out
}

const CHART_WIDTH: f64 = 960.0;
const CHART_HEIGHT: f64 = 140.0;
/// Below the bars, for nothing but a base line.
const CHART_FOOT: f64 = 2.0;

/// Stacked bars of equal spans of time from `from` on, `bars` of them; refer at the bottom, where it is compared best.
/// `title` says of a bucket what it holds.
pub fn bars(
    buckets: &[Bucket],
    from: EventTime,
    span: i64,
    bars: usize,
    label: &str,
    title: impl Fn(&Bucket) -> String,
) -> String {
    let total = |bucket: &Bucket| bucket.accept + bucket.flag + bucket.refer;
    let most = buckets.iter().map(total).max().unwrap_or(0).max(1) as f64;
    let step = CHART_WIDTH / bars.max(1) as f64;
    let room = CHART_HEIGHT - CHART_FOOT;
    let mut out = format!(
        r#"<svg class="bars" viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{}">"#,
        escape(label)
    );
    for bucket in buckets {
        let at = (bucket.at.0 - from.0).div_euclid(span.max(1));
        let Some(at) = usize::try_from(at).ok().filter(|at| *at < bars) else { continue };
        let x = at as f64 * step;
        let _ = write!(out, "<g><title>{}</title>", escape(&title(bucket)));
        let mut foot = room;
        for (class, count) in [("refer", bucket.refer), ("flag", bucket.flag), ("accept", bucket.accept)] {
            if count == 0 {
                continue;
            }
            // What is there is seen, however little of the whole it is.
            let height = (count as f64 / most * (room - 4.0)).max(1.5);
            foot -= height;
            let (top, width) = (foot.max(0.0), (step - 1.0).max(0.5));
            let _ = write!(out, r#"<rect class="{class}" x="{x:.2}" y="{top:.2}" width="{width:.2}" height="{height:.2}"/>"#);
        }
        out.push_str("</g>");
    }
    let _ = write!(out, r#"<line class="base" x1="0" x2="{CHART_WIDTH}" y1="{room}" y2="{room}"/></svg>"#);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_price_is_a_falling_line() {
        let drawn = sparkline(&[Some(200.0), None, Some(100.0)], 100.0);
        assert!(drawn.contains(r#"points="50.0,6.0 250.0,38.0""#), "{drawn}");
        assert_eq!(drawn.matches("dot low").count(), 1);
        assert!(sparkline(&[Some(7.0), Some(7.0)], 100.0).contains("50.0,22.0 150.0,22.0"), "no fall, no slope");
        assert!(sparkline(&[], 100.0).contains(r#"points="""#));
        assert!(!sparkline(&[None], 100.0).contains("NaN"));
    }

    #[test]
    fn bars_stay_inside_and_are_told() {
        let bucket = |at, refer| Bucket { at: EventTime(at), accept: 3, flag: 0, refer };
        let drawn = bars(&[bucket(0, 1), bucket(9, 0), bucket(10, 5), bucket(-1, 5)], EventTime(0), 1, 10, "a \"b\"", |b| {
            format!("<{}>", b.refer)
        });
        assert_eq!(drawn.matches("<g>").count(), 2, "{drawn}");
        assert!(drawn.contains("&lt;1&gt;") && drawn.contains("a &quot;b&quot;"), "{drawn}");
    }
}

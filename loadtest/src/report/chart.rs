//! Lines over time as SVG text. Colours are classes of the page's style, so that light and dark are one drawing.

use std::fmt::Write;

/// Points drawn of one line; of more, each stands for the highest of its neighbours.
const POINTS_MAX: usize = 600;
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 38.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From zero.
    Linear,
    Logarithmic,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub name: String,
    /// Class of the style: `s0` to `s6`.
    pub colour: usize,
    /// Of the run beside which this one is shown.
    pub is_base: bool,
    pub points: Vec<(f64, f64)>,
}

pub struct Chart {
    pub title: &'static str,
    along: &'static str,
    scale: Scale,
    /// Positions along are the number of nines.
    is_of_shares: bool,
    pub lines: Vec<Line>,
}

impl Chart {
    pub fn new(title: &'static str, along: &'static str, scale: Scale, lines: Vec<Line>) -> Chart {
        let lines = lines.into_iter().filter(|line| !line.points.is_empty()).collect();
        Chart { title, along, scale, is_of_shares: false, lines }
    }

    pub fn of_shares(self) -> Chart {
        Chart { is_of_shares: true, ..self }
    }

    pub fn draw(&self) -> String {
        let mut out = format!(r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#, self.title);
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let end = points().map(|point| point.0).fold(0.0, f64::max).max(1e-9);
        let (low, high) = self.range(points().map(|point| point.1));
        let x_of = |x: f64| LEFT + x / end * (WIDTH - LEFT - RIGHT);
        let y_of = |y: f64| HEIGHT - BOTTOM - (self.scaled(y, low) - low) / (high - low) * (HEIGHT - TOP - BOTTOM);
        for tick in self.ticks(low, high) {
            let y = y_of(tick);
            let _ = write!(out, r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/>"#, WIDTH - RIGHT);
            let _ = write!(
                out,
                r#"<text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                LEFT - 8.0,
                y + 4.0,
                plain(tick)
            );
        }
        for (at, name) in self.marks(end) {
            let _ = write!(
                out,
                r#"<text class="tick" x="{:.1}" y="{:.1}" text-anchor="middle">{name}</text>"#,
                x_of(at),
                HEIGHT - BOTTOM + 16.0
            );
        }
        let _ = write!(
            out,
            r#"<text class="axis" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            WIDTH - RIGHT,
            HEIGHT - 6.0,
            self.along
        );
        for line in &self.lines {
            let drawn: Vec<String> =
                thinned(&line.points).iter().map(|(x, y)| format!("{:.1},{:.1}", x_of(*x), y_of(*y))).collect();
            let base = if line.is_base { " base" } else { "" };
            let _ = write!(
                out,
                r#"<polyline class="line s{}{base}" points="{}"><title>{}</title></polyline>"#,
                line.colour,
                drawn.join(" "),
                line.name
            );
        }
        out + "</svg>"
    }

    /// Of the scaled values.
    fn range(&self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        match self.scale {
            Scale::Linear => (0.0, values.fold(0.0, f64::max).max(1e-6) * 1.05),
            Scale::Logarithmic => {
                let logs = values.filter(|value| *value > 0.0).map(f64::log10);
                let (low, high) = logs.fold((f64::MAX, f64::MIN), |(low, high), log| (low.min(log), high.max(log)));
                if low > high { (0.0, 1.0) } else { (low.floor(), high.ceil().max(low.floor() + 1.0)) }
            }
        }
    }

    fn scaled(&self, value: f64, low: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(1e-9).log10().max(low),
        }
    }

    fn ticks(&self, low: f64, high: f64) -> Vec<f64> {
        if self.scale == Scale::Logarithmic {
            return (low as i32..=high as i32).map(|power| 10f64.powi(power)).collect();
        }
        let step = step(high);
        (0..=5).map(|number| f64::from(number) * step).take_while(|tick| *tick <= high).collect()
    }

    fn marks(&self, end: f64) -> Vec<(f64, String)> {
        if self.is_of_shares {
            let marks = [(0.0, "0"), (0.3, "50 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %")];
            return marks.into_iter().filter(|mark| mark.0 <= end).map(|(at, name)| (at, name.to_owned())).collect();
        }
        let step = step(end);
        (0..=5).map(|number| f64::from(number) * step).take_while(|at| *at <= end).map(|at| (at, plain(at))).collect()
    }
}

/// Up to five round steps.
fn step(high: f64) -> f64 {
    let rough = high / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= rough * 0.999).unwrap_or(power)
}

fn plain(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(POINTS_MAX).max(1);
    let highest = |piece: &[(f64, f64)]| piece.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    points.chunks(size).filter_map(highest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_spikes_stay() {
        for (high, expected) in [(10.0, 2.0), (9_000.0, 2_000.0), (0.04, 0.01), (1_800.0, 500.0)] {
            assert!((step(high) - expected).abs() < 1e-9, "{high}: {}", step(high));
        }
        let mut points: Vec<(f64, f64)> = (0..1_800).map(|second| (f64::from(second), 1.0)).collect();
        points[777].1 = 99.0;
        let thin = thinned(&points);
        assert!(thin.len() <= POINTS_MAX && thin.iter().any(|point| point.1 == 99.0));
    }
}

//! The books that are tried: from what the command line asks for.

use std::sync::Arc;

use anyhow::{Result, anyhow, bail};

use crate::engine::rules::suggest::did_you_mean;
use crate::engine::rules::{Mode, ParamSource, ParamValue, RuleBook, duration};

/// Candidates of one run. Beyond: the run is refused before anything is read.
pub const CANDIDATES_MAX: usize = 64;

/// A book to be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Unique in the run: what was set (`picking-24h.n=4`), or the folder.
    pub name: String,
    pub book: Arc<RuleBook>,
    /// For a step of a sweep.
    pub step: Option<Step>,
}

/// One value of a parameter that is swept.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// `picking-24h.n`.
    pub param: String,
    pub value: ParamValue,
    /// The value it has in the book around which is swept.
    pub default: ParamValue,
}

/// What the command line asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// `RULE.PARAM=VALUE`, all of them together one candidate.
    pub set: Vec<String>,
    pub sweep: bool,
    /// A whole book and how it is called; sets and sweeps start from it, where there is one, and else from the baseline.
    pub rules: Option<(String, RuleBook)>,
}

/// The candidates, at least one; names of swept values whose windows are longer than what is kept come apart.
///
/// # Errors
/// An unknown rule or parameter, a value of another type or beyond the bounds, a window longer than `retention_secs`, more than
/// [`CANDIDATES_MAX`] candidates, and none at all.
pub fn candidates(baseline: &RuleBook, request: Request, retention_secs: i64) -> Result<(Vec<Candidate>, Vec<String>)> {
    let Request { set, sweep, rules } = request;
    let fits = |book: &RuleBook| book.longest() <= retention_secs * crate::engine::time::SECOND;
    let (mut tried, mut too_long) = (Vec::new(), Vec::new());
    let base = rules.as_ref().map_or(baseline, |(_, book)| book);
    if !set.is_empty() {
        let book = set.iter().try_fold(base.clone(), |book, text| changed(&book, &Setting::parse(&book, text)?))?;
        tried.push(Candidate { name: set.join(" "), book: Arc::new(book), step: None });
    }
    if let Some(long) = tried.iter().find(|candidate| !fits(&candidate.book)) {
        bail!("--set {}: its window is longer than what is kept (time.retention_secs = {retention_secs})", long.name);
    }
    if sweep {
        for candidate in swept(base)? {
            match tried.iter_mut().find(|other| other.book.hash() == candidate.book.hash()) {
                // It was set as well.
                Some(set) => set.step = candidate.step,
                None if fits(&candidate.book) => tried.push(candidate),
                None => too_long.push(candidate.name),
            }
        }
    }
    if let Some((name, book)) = rules {
        tried.insert(0, Candidate { name, book: Arc::new(book), step: None });
    }
    match tried.len() {
        0 if sweep => bail!("--sweep: no live rule has a parameter with a `sweep` list"),
        0 => bail!("nothing to try: give --set RULE.PARAM=VALUE, --sweep or --rules DIR"),
        count if count > CANDIDATES_MAX => bail!(
            "{count} candidates, and one run tries at most {CANDIDATES_MAX}: shorten the `sweep` lists, or sweep a book with fewer live rules"
        ),
        _ => Ok((tried, too_long)),
    }
}

/// Each parameter by itself, the others as they are.
fn swept(base: &RuleBook) -> Result<Vec<Candidate>> {
    let mut tried = Vec::new();
    for rule in base.rules().filter(|rule| rule.mode == Mode::Live) {
        for (param, source) in &rule.params {
            for value in source.sweep.iter().filter(|value| **value != source.value) {
                let setting = Setting { rule: rule.id.clone(), param: param.clone(), value: *value };
                let step = Step { param: format!("{}.{param}", rule.id), value: *value, default: source.value };
                let book = Arc::new(changed(base, &setting)?);
                tried.push(Candidate { name: setting.name(), book, step: Some(step) });
            }
        }
    }
    Ok(tried)
}

/// One parameter's new value.
#[derive(Clone, Debug, PartialEq)]
struct Setting {
    rule: Box<str>,
    param: Box<str>,
    value: ParamValue,
}

impl Setting {
    fn name(&self) -> String {
        format!("{}.{}={}", self.rule, self.param, shown(self.value))
    }

    fn parse(book: &RuleBook, text: &str) -> Result<Setting> {
        let at = |message: String| anyhow!("--set {text}: {message}");
        let hint = |help: Option<String>, all: String| help.unwrap_or(all);
        let parts = text.split_once('=').and_then(|(path, value)| Some((path.split_once('.')?, value)));
        let ((rule_id, param), value) = parts.ok_or_else(|| at("write RULE.PARAM=VALUE, as in picking-24h.n=4".into()))?;
        let rule = book.rule(rule_id).ok_or_else(|| {
            let known: Vec<&str> = book.rules().map(|rule| &*rule.id).collect();
            let all = format!("the rules are {}", known.join(", "));
            at(format!("unknown rule `{rule_id}`: {}", hint(did_you_mean(rule_id, known.iter().copied()), all)))
        })?;
        let source = rule.params.get(param).ok_or_else(|| {
            let known: Vec<&str> = rule.params.keys().map(|name| &**name).collect();
            let all = if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
            let help = hint(did_you_mean(param, known.iter().copied()), all);
            at(format!("rule `{rule_id}` has no parameter `{param}`: {help}"))
        })?;
        if rule.mode != Mode::Live {
            return Err(at(format!(
                "rule `{rule_id}` is {} and decides nothing; try a book in which it is live",
                rule.mode.name()
            )));
        }
        let value = value_of(source, value).map_err(at)?;
        Ok(Setting { rule: rule_id.into(), param: param.into(), value })
    }
}

/// A value of the type of the parameter, within its bounds.
fn value_of(source: &ParamSource, text: &str) -> Result<ParamValue, String> {
    let value = match source.value {
        ParamValue::Int(_) => text.parse().map(ParamValue::Int).map_err(|_| format!("`{text}` is not a whole number"))?,
        ParamValue::Double(_) => match text.parse() {
            Ok(number) if f64::is_finite(number) => ParamValue::Double(number),
            _ => return Err(format!("`{text}` is not a number")),
        },
        ParamValue::Duration(_) => duration::parse(text).map(ParamValue::Duration)?,
    };
    if let Some(min) = source.min.filter(|min| value.order() < min.order()) {
        return Err(format!("{text} is below the least that the rule allows, {}", shown(min)));
    }
    if let Some(max) = source.max.filter(|max| value.order() > max.order()) {
        return Err(format!("{text} is beyond the most that the rule allows, {}", shown(max)));
    }
    Ok(value)
}

/// The same book with one parameter changed. What a log has taken is not asked again what a new book is asked.
fn changed(base: &RuleBook, setting: &Setting) -> Result<RuleBook> {
    let mut source = base.source();
    for rule in source.rules.iter_mut().filter(|rule| rule.id == setting.rule) {
        if let Some(param) = rule.params.get_mut(&setting.param) {
            param.value = setting.value;
        }
    }
    RuleBook::recorded(base.version(), source).map_err(|errors| {
        let said: Vec<&str> = errors.iter().map(|error| error.problem.message.as_str()).collect();
        anyhow!("{}: {}", setting.name(), said.join("; "))
    })
}

/// As an analyst writes it.
pub fn shown(value: ParamValue) -> String {
    match value {
        ParamValue::Int(number) => number.to_string(),
        ParamValue::Double(number) => number.to_string(),
        ParamValue::Duration(micros) => duration::format(micros),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::rule_file::shipped;
    use crate::engine::rules::RuleSource;

    const KEPT: i64 = 30 * 24 * 3600;

    #[test]
    fn bad_arguments_say_what_to_write() {
        for (set, said) in [
            ("picking-24h", "write RULE.PARAM=VALUE"),
            ("picking-24h.n", "write RULE.PARAM=VALUE"),
            ("n=4", "write RULE.PARAM=VALUE"),
            ("picking-24.n=4", "did you mean `picking-24h`?"),
            ("weather.n=4", "the rules are"),
            ("picking-24h.wieght=4", "did you mean `weight`?"),
            ("picking-24h.colour=4", "it has history, n, weight, window"),
            ("picking-24h.n=four", "`four` is not a whole number"),
            ("picking-24h.n=4.5", "`4.5` is not a whole number"),
            ("picking-24h.weight=NaN", "`NaN` is not a number"),
            ("picking-24h.window=24", "is not a duration"),
            ("picking-24h.n=1", "below the least that the rule allows, 2"),
            ("picking-24h.window=8d", "beyond the most that the rule allows, 7d"),
            ("picking-30d.window=90d", "longer than what is kept"),
        ] {
            let request = Request { set: vec![set.into()], ..Request::default() };
            let error = candidates(&shipped(), request, KEPT).expect_err(set).to_string();
            assert!(error.contains(said), "{set}: {error}");
        }
        let nothing = candidates(&shipped(), Request::default(), KEPT).expect_err("nothing to try").to_string();
        assert!(nothing.contains("--set"), "{nothing}");
    }

    #[test]
    fn a_recorded_book_is_tried_as_it_was_taken() {
        let mut source = shipped().source();
        let rule = source.rules.iter_mut().find(|rule| &*rule.id == "picking-24h").expect("shipped");
        // Always true: refused of a new book.
        rule.when = format!("({}) || attempts(window) >= 1", rule.when).into();
        assert!(RuleBook::build(1, source.clone()).is_err());
        let book = RuleBook::recorded(1, source).expect("it was taken once");
        let set = Request { set: vec!["picking-24h.n=4".into()], sweep: true, rules: None };
        let (tried, _) = candidates(&book, set, KEPT).expect("it is tried");
        assert_eq!(tried[0].name, "picking-24h.n=4");
    }

    #[test]
    fn sets_are_one_candidate_and_each_swept_value_is_one() {
        let set = vec!["picking-24h.n=4".to_owned(), "picking-24h.window=6h".to_owned()];
        let request = |set| Request { set, sweep: true, rules: None };
        let (tried, too_long) = candidates(&shipped(), request(set), KEPT).expect("within the bounds");
        assert_eq!(tried[0].name, "picking-24h.n=4 picking-24h.window=6h");
        let param = |book: &RuleBook, name: &str| book.rule("picking-24h").map(|rule| rule.params[name].value);
        assert_eq!(param(&tried[0].book, "n"), Some(ParamValue::Int(4)));
        let names: Vec<&str> = tried[1..].iter().map(|candidate| candidate.name.as_str()).collect();
        assert!(names.contains(&"picking-24h.n=2") && names.contains(&"picking-24h.weight=2.9"), "{names:?}");
        assert!(!names.contains(&"picking-24h.n=3"), "the value in force is the baseline: {names:?}");
        let (again, _) = candidates(&shipped(), request(vec!["picking-24h.n=4".into()]), KEPT).expect("within the bounds");
        assert_eq!(again.len(), tried.len() - 1, "a value that was set is not tried twice");
        assert!(too_long.is_empty() && tried.iter().all(|one| one.book.hash() != shipped().hash()));
    }

    #[test]
    fn too_many_candidates_are_refused_with_the_bound() {
        let mut sources: Vec<RuleSource> = shipped().rules().cloned().collect();
        for source in &mut sources {
            for param in source.params.values_mut().filter(|param| param.value.type_name() == "double") {
                param.sweep = (0..30).map(|i| ParamValue::Double(5.0 + f64::from(i) / 10.0)).collect();
            }
        }
        let book = RuleBook::build(1, sources).expect("sound rules");
        let error = candidates(&book, Request { sweep: true, ..Request::default() }, KEPT).expect_err("too many").to_string();
        assert!(error.contains("at most 64"), "{error}");
    }
}

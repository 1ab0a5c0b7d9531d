//! The planted applicant: always the same person, who wants a lower price and does not mind how.

use crate::form::Form;
use crate::rng::Rng;
use crate::script::twin;
use crate::tariff::premium;
use crate::tweak::Op;

/// Gives an applicant whose attempts read well.
const SEED: u64 = 20_261_124;
/// Ways of doing one step that he tries in his head before he submits the cheapest.
const TRIES: usize = 12;

/// What he changes from one attempt to the next, after a first honest look at another deductible.
const STEPS: &[&[Op]] = &[
    &[Op::VinOneChar, Op::HomoglyphName],
    &[Op::BirthYear, Op::LicenceSince],
    &[Op::CheapRegion, Op::PhoneEmail],
    &[Op::VinMulti],
    &[Op::NameEdit, Op::PlateAltered],
    &[Op::BirthDigit, Op::FlatHouse],
];

/// His first `count` attempts in order.
pub fn attempts(count: usize) -> Vec<Form> {
    let mut rng = Rng::new(SEED);
    let first = applicant(&mut rng);
    let mut shopping = first.clone();
    shopping.deductible = 30_000;
    let mut forms = vec![first, shopping];
    for ops in STEPS.iter().cycle().take(count.saturating_sub(2)) {
        forms.push(cheapest(&forms, ops, &mut rng));
    }
    forms.truncate(count);
    forms
}

/// Drives alone, owns a car with a plate, writes his address in parts, and pays more than most.
fn applicant(rng: &mut Rng) -> Form {
    let fits = |form: &Form| {
        let home = &form.holder.address;
        let is_simple = form.holder_drives && form.others.is_empty() && !form.one_line_address && form.extra.is_empty();
        let is_known = !form.car.plate.is_empty() && !form.holder.phone.is_empty() && !form.holder.email.is_empty();
        is_simple && is_known && !home.flat.is_empty() && form.product == "osago" && form.deductible == 0
    };
    loop {
        let form = Form::random(rng);
        if fits(&form) && premium(&form) > 15_000 && form.holder.last.chars().any(|c| twin(c).is_some()) {
            return form;
        }
    }
}

/// The cheapest of several ways to change the last form by `ops` into one not shown before.
fn cheapest(shown: &[Form], ops: &[Op], rng: &mut Rng) -> Form {
    let last = &shown[shown.len() - 1];
    let mut found: Option<Form> = None;
    let mut tries = 0;
    while found.is_none() || tries < TRIES {
        tries += 1;
        let mut next = last.clone();
        for op in ops {
            op.apply(&mut next, rng);
        }
        let is_better = found.as_ref().is_none_or(|best| premium(&next) < premium(best));
        if is_better && !shown.contains(&next) {
            found = Some(next);
        }
    }
    found.unwrap_or_else(|| last.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_story_is_always_the_same_and_gets_cheaper() {
        let forms = attempts(8);
        assert_eq!(forms[..5], attempts(5));
        let prices: Vec<u32> = forms.iter().map(premium).collect();
        assert!(prices[4] < prices[1] && prices[1] < prices[0], "{prices:?}");
        for (number, form) in (1..).zip(&forms) {
            assert!(!forms[number..].contains(form), "attempt {number} came twice");
        }
    }
}

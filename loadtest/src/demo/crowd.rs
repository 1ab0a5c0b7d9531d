//! The stream he hides in: ordinary people, and one more tweaker drawn by the generator.

use crate::plan::{Task, run};
use crate::rng::Rng;
use crate::truth::{Class, Kind};
use crate::wire::Quote;

/// Quotes of ordinary people.
pub const ORDINARY: usize = 200;
/// As people come: most ask once, some try other deductibles and terms, a few mend a typing error.
const CLASSES: &[Class] =
    &[Class::Single, Class::Requote, Class::Single, Class::Single, Class::HonestCorrection, Class::Single, Class::Requote];

pub struct Passer {
    pub quote: Quote,
    pub is_tweaker: bool,
}

/// In the order of sending; each episode keeps its own.
pub fn crowd(seed: u64) -> Vec<Passer> {
    let mut rng = Rng::stream(seed, u64::MAX);
    let mut out = Vec::new();
    let tweaker = run(seed, 0, Task::Manipulated(Kind::PriceSeeker));
    scatter(&mut out, &mut rng, tweaker.iter().map(|item| item.quote(0)).collect(), true);
    let mut index = 1;
    let mut ordinary = 0;
    while ordinary < ORDINARY {
        let mut items = run(seed, index, Task::Honest(CLASSES[index as usize % CLASSES.len()]));
        items.truncate(ORDINARY - ordinary);
        ordinary += items.len();
        index += 1;
        scatter(&mut out, &mut rng, items.iter().map(|item| item.quote(0)).collect(), false);
    }
    out.sort_by_key(|(place, _)| *place);
    out.into_iter().map(|(_, passer)| passer).collect()
}

fn scatter(out: &mut Vec<(u64, Passer)>, rng: &mut Rng, quotes: Vec<Quote>, is_tweaker: bool) {
    let mut places: Vec<u64> = quotes.iter().map(|_| rng.next_u64()).collect();
    places.sort_unstable();
    out.extend(places.into_iter().zip(quotes).map(|(place, quote)| (place, Passer { quote, is_tweaker })));
}

//! The matching book: what agreement and disagreement weigh when two attempts are compared, as plain data.
//!
//! Weights are bits, log2 of the likelihood ratio, and multiples of an eighth, so that sums are exact in any order.

use super::field::Field;

/// Bits for same, disguised, near, different.
pub type Weights = [f64; 4];

/// The fields that are weighed: the first of [`Field`], up to the model.
const WEIGHED: usize = Field::MakeModel as usize + 1;

/// Least and greatest weight, bits.
const BITS_MAX: f64 = 64.0;
/// A link must need more than one coincidence.
const THRESHOLD_MIN: f64 = 8.0;
/// All weights and shares are multiples of it: products and sums of them are exact.
const STEP: f64 = 0.125;
/// Surnames a shared thing is asked for at most.
const SURNAMES_MAX: f64 = 64.0;

/// Weights, caps and the threshold of a link, held by the rule book and changed with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// At or above: linked. With a million live attempts a prior of 2^-20 asks for about the shipped value.
    pub threshold: f64,
    /// By [`Field`], the first [`WEIGHED`].
    pub weights: [Weights; WEIGHED],
    /// In place of the surname's weights for one of `frequent_surnames`.
    pub frequent_last_name: Weights,
    /// Only the serial differs between two possible VINs: dealers and fleets have thousands of such pairs.
    pub vin_serial: f64,
    pub same_device: f64,
    pub same_session: f64,
    pub same_ip: f64,
    /// Correlated evidence counts once: most that the two papers can add.
    pub papers_most: f64,
    /// Most that the car's two names can add.
    pub vehicle_most: f64,
    /// Most that device, session and IP can add.
    pub source_most: f64,
    pub hubs: HubShares,
    /// Surnames that weigh less because one in a few hundred people has one: folded, sorted.
    pub frequent_surnames: Box<[Box<str>]>,
}

/// The share of its weight that a thing keeps which several surnames use: a family shares a phone, a broker's office is a hub.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HubShares {
    /// Up to so many surnames, a whole number, it keeps all.
    pub few: f64,
    /// Up to so many it keeps `some_share`, beyond `many_share`.
    pub some: f64,
    pub some_share: f64,
    pub many_share: f64,
}

/// Folded and sorted.
const FREQUENT: [&str; 40] = [
    "ALEKSEV",
    "ALEKSEVA",
    "ANDREV",
    "ANDREVA",
    "EGOROV",
    "EGOROVA",
    "FEDOROV",
    "FEDOROVA",
    "IVANOV",
    "IVANOVA",
    "KOZLOV",
    "KOZLOVA",
    "KUZNECOV",
    "KUZNECOVA",
    "LEBEDEV",
    "LEBEDEVA",
    "MAKAROV",
    "MAKAROVA",
    "MIHAILOV",
    "MIHAILOVA",
    "MOROZOV",
    "MOROZOVA",
    "NIKOLAEV",
    "NIKOLAEVA",
    "NOVIKOV",
    "NOVIKOVA",
    "ORLOV",
    "ORLOVA",
    "PAVLOV",
    "PAVLOVA",
    "PETROV",
    "PETROVA",
    "POPOV",
    "POPOVA",
    "SMIRNOV",
    "SMIRNOVA",
    "SOKOLOV",
    "SOKOLOVA",
    "VOLKOV",
    "VOLKOVA",
];

impl Default for Matching {
    /// What a book without a matching of its own means, in every log ever written: these numbers never change. New ones go into
    /// `rules/matching.yaml`.
    fn default() -> Matching {
        let mut weights = [[0.0; 4]; WEIGHED];
        for (field, bits) in [
            (Field::LastName, [8.0, 9.0, 4.0, -4.0]),
            (Field::FirstName, [4.0, 6.0, 2.0, -5.0]),
            (Field::MiddleName, [4.0, 6.0, 2.0, -3.0]),
            (Field::BirthDate, [11.0, 11.0, 5.0, -6.0]),
            (Field::IdDocument, [18.0, 19.0, 9.0, -6.0]),
            (Field::DriverLicence, [18.0, 19.0, 9.0, -5.0]),
            (Field::Phone, [12.0, 13.0, 5.0, -1.0]),
            (Field::Email, [11.0, 12.0, 5.0, -1.0]),
            (Field::Address, [7.0, 9.0, 3.0, -1.0]),
            (Field::Vin, [16.0, 18.0, 9.0, -8.0]),
            (Field::Plate, [14.0, 16.0, 5.0, -3.0]),
            (Field::MakeModel, [1.0, 1.0, 0.0, -3.0]),
        ] {
            weights[field as usize] = bits;
        }
        Matching {
            threshold: 18.0,
            weights,
            frequent_last_name: [5.0, 8.0, 3.0, -4.0],
            vin_serial: 2.0,
            same_device: 6.0,
            same_session: 7.0,
            same_ip: 1.5,
            papers_most: 26.0,
            vehicle_most: 22.0,
            source_most: 9.0,
            hubs: HubShares { few: 3.0, some: 6.0, some_share: 0.5, many_share: 0.125 },
            frequent_surnames: FREQUENT.map(Box::from).into(),
        }
    }
}

impl Matching {
    /// The share of its weight that something keeps which so many surnames use.
    pub fn hub_share(&self, surnames: usize) -> f64 {
        match surnames as f64 {
            n if n <= self.hubs.few => 1.0,
            n if n <= self.hubs.some => self.hubs.some_share,
            _ => self.hubs.many_share,
        }
    }

    /// Is a folded surname one of the frequent ones?
    pub fn is_frequent(&self, surname: &str) -> bool {
        self.frequent_surnames.binary_search_by(|frequent| (**frequent).cmp(surname)).is_ok()
    }

    /// Every number by its key in `matching.yaml`.
    pub fn numbers_mut(&mut self) -> Vec<(String, &mut f64)> {
        let named = Field::ALL.iter().map(|field| field.name()).zip(&mut self.weights);
        let weights = named.chain([(FREQUENT_LAST_NAME, &mut self.frequent_last_name)]);
        let mut numbers: Vec<(String, &mut f64)> = weights
            .flat_map(|(name, weights)| {
                LEVELS.iter().zip(weights).map(move |(level, bits)| (format!("weights.{name}.{level}"), bits))
            })
            .collect();
        let HubShares { few, some, some_share, many_share } = &mut self.hubs;
        let rest = [
            ("weights.vehicle.vin.near_serial", &mut self.vin_serial),
            ("threshold", &mut self.threshold),
            ("source.device", &mut self.same_device),
            ("source.session", &mut self.same_session),
            ("source.ip", &mut self.same_ip),
            ("most.papers", &mut self.papers_most),
            ("most.vehicle", &mut self.vehicle_most),
            ("most.source", &mut self.source_most),
            ("hubs.few", few),
            ("hubs.some", some),
            ("hubs.some_share", some_share),
            ("hubs.many_share", many_share),
        ];
        numbers.extend(rest.map(|(name, number)| (name.to_owned(), number)));
        numbers
    }

    /// Every number by its key in `matching.yaml`.
    pub fn numbers(&self) -> Vec<(String, f64)> {
        self.clone().numbers_mut().into_iter().map(|(name, number)| (name, *number)).collect()
    }

    /// What makes the numbers unusable, by key.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        for (key, number) in self.numbers() {
            let (section, name) = key.split_once('.').unwrap_or((&key, ""));
            let (least, most, step) = match section {
                "threshold" => (THRESHOLD_MIN, BITS_MAX, STEP),
                // Less weight for more surnames could not hold for a thing whose sameness speaks against a link.
                "source" | "most" => (0.0, BITS_MAX, STEP),
                "hubs" if name.ends_with("share") => (0.0, 1.0, STEP),
                "hubs" => (1.0, SURNAMES_MAX, 1.0),
                _ => (-BITS_MAX, BITS_MAX, STEP),
            };
            if !(least..=most).contains(&number) || (number / step).fract() != 0.0 {
                problems.push((key.clone(), format!("{number} is not a multiple of {step} from {least} to {most}")));
            }
        }
        if problems.is_empty() { self.contradictions() } else { problems }
    }

    /// Numbers that are sound alone and not together.
    fn contradictions(&self) -> Vec<(String, String)> {
        let falls = |weights: &Weights| weights[0] >= weights[2] && weights[1] >= weights[2] && weights[2] >= weights[3];
        let named = Field::ALL.iter().map(|field| field.name()).zip(&self.weights);
        let unordered = named.chain([(FREQUENT_LAST_NAME, &self.frequent_last_name)]).filter(|(_, weights)| !falls(weights));
        let unordered = unordered.map(|(name, _)| (format!("weights.{name}"), "agreement must not weigh less than disagreement"));
        let HubShares { few, some, some_share, many_share } = self.hubs;
        let rest = [
            (self.source_most >= self.threshold, "most.source", "a shared device alone would link: keep it below the threshold"),
            (few > some, "hubs.some", "`some` must not be less than `few`"),
            (many_share > some_share, "hubs.many_share", "more surnames must not leave more weight"),
        ];
        let rest = rest.into_iter().filter(|(wrong, ..)| *wrong).map(|(_, key, message)| (key.to_owned(), message));
        unordered.chain(rest).map(|(key, message)| (key, message.to_owned())).collect()
    }
}

/// The levels that weigh something, as `matching.yaml` names them.
const LEVELS: [&str; 4] = ["same", "disguised", "near", "different"];
/// The key of the frequent surnames' weights.
const FREQUENT_LAST_NAME: &str = "frequent_last_name";

//! The labels: what each quote really is. The service never sees them.

use serde::{Deserialize, Serialize};

/// One line of the truth file, for one quote id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    pub quote_id: String,
    /// The person who submits: the unit in which honest people are counted.
    pub actor: String,
    /// One actor's connected attempts: the unit in which catches are counted.
    pub episode: String,
    pub class: Class,
    /// The adversary's kind for manipulated quotes, else the class again.
    pub kind: String,
    /// Index in the episode, in order of arrival, from 0.
    pub attempt: u32,
    /// Distinct tweaked versions of the facts so far, this one included and the first form not.
    pub suspicious: u32,
    pub manipulated: bool,
    /// The poisoner's actor, on the quotes of the person whose data he copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub victim_of: Option<String>,
    /// Event time, milliseconds since 1970-01-01.
    pub at_ms: i64,
}

macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $type { $(#[serde(rename = $name)] $variant,)* }

        impl $type {
            pub const ALL: &[$type] = &[$($type::$variant),*];

            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)* }
            }
        }
    };
}

named! {
    /// What an actor is. Everything but `Manipulated` is honest.
    Class {
        Single = "single",
        Requote = "requote",
        HonestCorrection = "honest_correction",
        HonestCorrectionTwice = "honest_correction_twice",
        Family = "family",
        Couple = "couple",
        Twins = "twins",
        FatherSon = "father_son",
        Namesakes = "namesakes",
        Broker = "broker",
        Dealer = "dealer",
        Fleet = "fleet",
        ComparisonShopper = "comparison_shopper",
        Moved = "moved",
        NewPhone = "new_phone",
        MarriedName = "married_name",
        SameModelAgain = "same_model_again",
        SharedDevice = "shared_device",
        MobileIp = "mobile_ip",
        Office = "office",
        RomanisedHonest = "romanised_honest",
        YoYe = "yo_ye",
        PlateReregistered = "plate_reregistered",
        AggregatorFanout = "aggregator_fanout",
        Retries = "retries",
        Victim = "victim",
        Manipulated = "manipulated",
    }
}

impl Class {
    /// The confounder groups that the plan draws by themselves (corrections have their own share; victims come with poisoners).
    pub const CONFOUNDERS: &[Class] = &[
        Class::Family,
        Class::Couple,
        Class::Twins,
        Class::FatherSon,
        Class::Namesakes,
        Class::Broker,
        Class::Dealer,
        Class::Fleet,
        Class::ComparisonShopper,
        Class::Moved,
        Class::NewPhone,
        Class::MarriedName,
        Class::SameModelAgain,
        Class::SharedDevice,
        Class::MobileIp,
        Class::Office,
        Class::RomanisedHonest,
        Class::YoYe,
        Class::PlateReregistered,
        Class::AggregatorFanout,
        Class::Retries,
    ];
}

named! {
    /// What an adversary does; named after the operation that leads his episode.
    Kind {
        VinOneChar = "vin_one_char",
        VinSerialStep = "vin_serial_step",
        VinLookalike = "vin_lookalike",
        VinMulti = "vin_multi",
        VinSwap = "vin_swap",
        VinCheckDigitRepaired = "vin_check_digit_repaired",
        HomoglyphName = "homoglyph_name",
        HomoglyphVin = "homoglyph_vin",
        HomoglyphPlate = "homoglyph_plate",
        ZeroWidth = "zero_width",
        NameEdit = "name_edit",
        Romanised = "romanised",
        NamePartsSwapped = "name_parts_swapped",
        PatronymicDropped = "patronymic_dropped",
        GivenVariant = "given_variant",
        DoubleSurname = "double_surname",
        BirthSwap = "birth_swap",
        BirthDigit = "birth_digit",
        BirthYear = "birth_year",
        LicenceDigit = "licence_digit",
        LicenceSince = "licence_since",
        PhoneEmail = "phone_email",
        FlatHouse = "flat_house",
        CheapRegion = "cheap_region",
        YoungDriverDropped = "young_driver_dropped",
        MainDriverSwapped = "main_driver_swapped",
        OwnerRelative = "owner_relative",
        PlateAltered = "plate_altered",
        DeviceRotation = "device_rotation",
        PowerUnderstated = "power_understated",
        YearUnderstated = "year_understated",
        SlowDrip = "slow_drip",
        // Goes on from a new device and network each time once he has been referred.
        Incognito = "incognito",
        PriceSeeker = "price_seeker",
        Combined = "combined",
        BackDater = "back_dater",
        Flooding = "flooding",
        // The very tweaker of `Flooding`, without the flood: the control of the comparison.
        Unflooded = "unflooded",
        // The flood itself: strangers made of generic values.
        FloodJunk = "flood_junk",
        CopyVictim = "copy_victim",
        GhostBroker = "ghost_broker",
    }
}

impl Kind {
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether the kind's actor re-quotes himself, so that it counts towards the overall catch.
    pub fn requotes_himself(self) -> bool {
        !matches!(self, Kind::FloodJunk | Kind::CopyVictim | Kind::GhostBroker)
    }
}

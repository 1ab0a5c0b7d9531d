//! The fields of a quote form that are compared, how far two values of one agree, and what a change of it means.

/// A compared field. The discriminant is the field's place in level vectors and stored masks: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Field {
    LastName = 0,
    FirstName = 1,
    MiddleName = 2,
    BirthDate = 3,
    IdDocument = 4,
    DriverLicence = 5,
    Phone = 6,
    Email = 7,
    Address = 8,
    Vin = 9,
    Plate = 10,
    MakeModel = 11,
    Year = 12,
    Power = 13,
    /// A driver replaced by another, or his data altered.
    DriverData = 14,
    /// A driver added or removed.
    DriverList = 15,
    Term = 16,
    Deductible = 17,
    Extra = 18,
}

impl Field {
    pub const COUNT: usize = 19;

    pub const ALL: [Field; Field::COUNT] = [
        Field::LastName,
        Field::FirstName,
        Field::MiddleName,
        Field::BirthDate,
        Field::IdDocument,
        Field::DriverLicence,
        Field::Phone,
        Field::Email,
        Field::Address,
        Field::Vin,
        Field::Plate,
        Field::MakeModel,
        Field::Year,
        Field::Power,
        Field::DriverData,
        Field::DriverList,
        Field::Term,
        Field::Deductible,
        Field::Extra,
    ];

    /// The name on the wire and in rules.
    pub fn name(self) -> &'static str {
        match self {
            Field::LastName => "policyholder.last_name",
            Field::FirstName => "policyholder.first_name",
            Field::MiddleName => "policyholder.middle_name",
            Field::BirthDate => "policyholder.birth_date",
            Field::IdDocument => "policyholder.id_document",
            Field::DriverLicence => "policyholder.driver_licence",
            Field::Phone => "policyholder.phone",
            Field::Email => "policyholder.email",
            Field::Address => "policyholder.address",
            Field::Vin => "vehicle.vin",
            Field::Plate => "vehicle.plate",
            Field::MakeModel => "vehicle.model",
            Field::Year => "vehicle.year",
            Field::Power => "vehicle.power_hp",
            Field::DriverData => "drivers.data",
            Field::DriverList => "drivers.list",
            Field::Term => "coverage.term_months",
            Field::Deductible => "coverage.deductible",
            Field::Extra => "coverage.extra",
        }
    }

    pub fn parse(name: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|field| field.name() == name)
    }

    /// Facts cannot honestly vary for one applicant and vehicle; choices can.
    pub const fn is_fact(self) -> bool {
        !matches!(self, Field::DriverList | Field::Term | Field::Deductible | Field::Extra)
    }
}

/// How far two values of one field agree. Ordered from agreement to disagreement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Not given on at least one side.
    #[default]
    Missing = 0,
    Same = 1,
    /// Equal only after a look-alike fold, or once invisible characters are gone.
    Disguised = 2,
    Near = 3,
    Different = 4,
}

impl Level {
    /// Both sides give the field, and not the same.
    pub fn is_changed(self) -> bool {
        !matches!(self, Level::Missing | Level::Same)
    }

    pub fn name(self) -> &'static str {
        match self {
            Level::Missing => "missing",
            Level::Same => "same",
            Level::Disguised => "disguised",
            Level::Near => "near",
            Level::Different => "different",
        }
    }
}

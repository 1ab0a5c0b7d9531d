//! Which role may what: one table, asked at the route.

use crate::pipeline::access::Role;

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// One's own password and sessions.
    Own,
    Overview,
    /// The queue and the cases, personal data masked.
    Cases,
    /// Personal data of a case.
    OpenFields,
    /// Clear, confirm, ask for proof, reopen; take and assign.
    Rule,
    Comment,
    Snooze,
    Explore,
    Export,
    Rules,
    Backtests,
    Operations,
    /// Pause, resume and drain pipelines.
    Operate,
    Audit,
    Accounts,
    ApiKeys,
}

impl Right {
    pub const ALL: [Right; 16] = [
        Right::Own,
        Right::Overview,
        Right::Cases,
        Right::OpenFields,
        Right::Rule,
        Right::Comment,
        Right::Snooze,
        Right::Explore,
        Right::Export,
        Right::Rules,
        Right::Backtests,
        Right::Operations,
        Right::Operate,
        Right::Audit,
        Right::Accounts,
        Right::ApiKeys,
    ];
}

/// The first column is the right, then underwriter, analyst, administrator, auditor.
const TABLE: [(Right, [bool; 4]); 16] = [
    (Right::Own, [true, true, true, true]),
    (Right::Overview, [true, true, true, true]),
    (Right::Cases, [true, true, true, true]),
    (Right::OpenFields, [true, false, true, false]),
    (Right::Rule, [true, false, true, false]),
    (Right::Comment, [true, true, true, false]),
    (Right::Snooze, [true, true, true, false]),
    (Right::Explore, [true, true, true, true]),
    (Right::Export, [false, true, true, true]),
    (Right::Rules, [true, true, true, true]),
    (Right::Backtests, [false, true, true, false]),
    (Right::Operations, [false, true, true, true]),
    (Right::Operate, [false, false, true, false]),
    (Right::Audit, [false, false, true, true]),
    (Right::Accounts, [false, false, true, false]),
    (Right::ApiKeys, [false, false, true, false]),
];

pub fn may(role: Role, right: Right) -> bool {
    let column = match role {
        Role::Underwriter => 0,
        Role::Analyst => 1,
        Role::Admin => 2,
        Role::Auditor => 3,
    };
    TABLE.iter().any(|(of, roles)| *of == right && roles[column])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_has_one_row() {
        for right in Right::ALL {
            assert_eq!(TABLE.iter().filter(|(of, _)| *of == right).count(), 1, "{right:?}");
        }
        assert_eq!(TABLE.len(), Right::ALL.len());
    }
}

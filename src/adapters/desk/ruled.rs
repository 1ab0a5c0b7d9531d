//! What people ruled, as the audit and the figures of rules keep it.
//!
//! Every ruling comes through the log, whoever made it: in the console, by the API, on the command line. So here, in the sink's
//! transaction, is the one place where each of them is there exactly once.

use std::collections::BTreeSet;

use serde_json::json;

use super::value::ValueKind;
use super::{Relation, Tx};
use crate::pipeline::StoreError;
use crate::pipeline::desk::NewAudit;
use crate::pipeline::desk::feed::RulingRecord;
use crate::pipeline::desk::sink::RuleAnswer;
use crate::pipeline::desk::status::RulingKind;

const AUDITED: &str = "SELECT a.subject, a.action, a.detail FROM {v} JOIN audit a \
    ON a.subject = v.subject AND a.action = v.action AND a.detail = v.detail";
const ANSWERS: &str = "SELECT r.rule, v.kind FROM {v} JOIN cases c ON c.referral_id = v.referral_id AND c.tenant = v.tenant \
    JOIN case_rules r ON r.referral_id = v.referral_id";

/// The ruling in the chain: who, what, and of which case. It names no quotes: their ids may be a person's.
pub(super) fn entry(ruling: &RulingRecord) -> NewAudit {
    let (action, subject) = match ruling.kind {
        RulingKind::Erased => ("quotes.erased".to_owned(), &ruling.ruling_id),
        kind => (format!("case.{}", kind.name()), &ruling.referral_id),
    };
    let mut detail = json!({"ruling": ruling.ruling_id, "tenant": ruling.tenant});
    if let Some(rule) = &ruling.rule {
        detail["rule"] = json!(rule);
    }
    if ruling.kind == RulingKind::Erased {
        detail["quotes"] = json!(ruling.quote_ids.len());
    }
    NewAudit { actor: ruling.by.clone().unwrap_or_default(), action, subject: subject.clone(), detail }
}

/// Those that the chain does not hold: one that was sent twice, or that a rebuilt log gives again, is there already.
pub(super) async fn not_audited<'a>(tx: &mut Tx, rulings: &'a [RulingRecord]) -> Result<Vec<&'a RulingRecord>, StoreError> {
    let key = |ruling: &RulingRecord| {
        let NewAudit { subject, action, detail, .. } = entry(ruling);
        (subject, action, detail.to_string())
    };
    let keys: BTreeSet<_> = rulings.iter().map(key).collect();
    let rows = keys.into_iter().map(|(subject, action, detail)| vec![subject.into(), action.into(), detail.into()]).collect();
    let columns = &[("subject", ValueKind::Text), ("action", ValueKind::Text), ("detail", ValueKind::Text)];
    let mut held = BTreeSet::new();
    for row in tx.over(AUDITED, &[], Relation { columns, rows }).await? {
        held.insert((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<String>(2)?));
    }
    Ok(rulings.iter().filter(|ruling| held.insert(key(ruling))).collect())
}

/// What these rulings say of every rule that matched in their cases.
pub(super) async fn answers(tx: &mut Tx, rulings: &[&RulingRecord]) -> Result<Vec<RuleAnswer>, StoreError> {
    let of_cases = rulings.iter().filter(|ruling| ruling.kind.status().is_some());
    let rows = of_cases
        .map(|ruling| vec![ruling.referral_id.as_str().into(), ruling.tenant.as_str().into(), ruling.kind.name().into()])
        .collect();
    let columns = &[("referral_id", ValueKind::Text), ("tenant", ValueKind::Text), ("kind", ValueKind::Text)];
    let mut answers: Vec<RuleAnswer> = Vec::new();
    for row in tx.over(ANSWERS, &[], Relation { columns, rows }).await? {
        let (rule, kind): (String, String) = (row.get(0)?, row.get(1)?);
        let Some(kind) = RulingKind::parse(&kind) else { continue };
        match answers.iter_mut().find(|answer| answer.rule == rule && answer.kind == kind) {
            Some(answer) => answer.count += 1,
            None => answers.push(RuleAnswer { rule, kind, count: 1 }),
        }
    }
    Ok(answers)
}

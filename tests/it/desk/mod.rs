//! The underwriters' desk: what it promises, asked of every database with the same cases, and of a running service.

mod accounts;
mod cases;
#[cfg(all(feature = "postgres", feature = "kafka", feature = "redis"))]
mod faults;
#[cfg(all(feature = "kafka", feature = "redis"))]
mod kafka;
mod keep;
mod keys;
mod log;
mod pages;
#[cfg(all(feature = "postgres", feature = "kafka", feature = "redis"))]
pub mod postgres;
mod service;
mod sink;
mod sqlite;
#[cfg(all(feature = "postgres", feature = "kafka", feature = "redis"))]
mod volume;

use std::sync::Arc;

use quoteguard::adapters::desk::{DeskStore, Keeping};
use quoteguard::pipeline::desk::feed::{Move, Page, Part};
use quoteguard::vault::Vault;

use log::Recorded;

/// Makes empty desks, each in a database of its own.
trait Databases {
    /// One desk, opened once with each vault.
    async fn opened(&self, vaults: &[Arc<Vault>], keeping: Keeping) -> Vec<DeskStore>;

    async fn empty(&self) -> DeskStore {
        self.opened(&[vault()], Keeping::default()).await.remove(0)
    }
}

/// Every promise, asked of one kind of database.
async fn keeps_the_promises(databases: &impl Databases) {
    let recorded = log::recorded(3, 600);
    sink::any_pieces_and_orders_give_the_same_tables(databases, &recorded).await;
    sink::a_page_is_there_once(databases, &recorded).await;
    sink::another_log_is_refused(databases).await;
    sink::the_erased_are_forgotten_whenever_their_forms_come(databases, &recorded).await;
    pages::the_queue_is_the_open_cases_oldest_first(databases, &recorded).await;
    pages::decisions_are_found_by_everything_they_are_filtered_by(databases, &recorded).await;
    pages::the_overview_counts_what_is_there(databases, &recorded).await;
    pages::a_cleared_case_has_protected_nothing_and_speaks_of_each_rule(databases, &recorded).await;
    cases::a_case_holds_what_its_decisions_say(databases, &recorded).await;
    cases::a_ruling_is_reserved_once(databases, &recorded).await;
    cases::a_ruling_on_its_way_outlives_a_quote_that_joins(databases, &recorded).await;
    cases::a_further_quote_is_told_as_something_newer(databases, &recorded).await;
    cases::every_ruling_is_in_the_audit_once(databases, &recorded).await;
    cases::two_people_never_hold_the_same_case(databases, &recorded).await;
    cases::comments_and_assignments_stay(databases, &recorded).await;
    cases::the_audit_chain_names_what_was_done_to_it(databases).await;
    accounts::an_identity_is_one_account_whatever_it_is_called(databases).await;
    accounts::only_an_administrator_who_came_in_closes_the_local_way(databases).await;
    accounts::one_administrator_of_every_tenant_stays(databases).await;
    accounts::a_session_of_an_old_password_does_not_outlive_it(databases).await;
    accounts::what_is_done_to_accounts_is_in_the_audit_with_it(databases).await;
    keep::closed_cases_go_with_all_that_hangs_on_them(databases, &recorded).await;
    keep::ended_sessions_and_old_failures_go(databases).await;
    keep::what_is_sealed_opens_at_its_row_alone(databases, &recorded).await;
    keep::comments_on_whoever_is_erased_are_emptied(databases, &recorded).await;
    keep::a_chain_with_a_key_is_not_written_anew_without_it(databases).await;
    keep::a_chain_that_began_without_a_key_goes_over_to_one(databases).await;
    keys::keys_are_made_rotated_and_revoked_with_their_audit(databases).await;
    keys::keys_are_listed_and_changed_by_tenant(databases).await;
    keys::who_is_bound_to_a_tenant_gives_nothing_that_is_of_all(databases).await;
    keys::one_of_two_who_do_the_same_is_refused(databases).await;
    keys::the_use_of_keys_is_noted_and_changes_nothing_else(databases).await;
}

/// Without a key, for rows are compared byte for byte; `privacy` looks for forms in a file that has one.
fn vault() -> Arc<Vault> {
    Arc::default()
}

/// The whole log at once.
fn whole(recorded: &Recorded) -> Page {
    let (decisions, forms) = (recorded.decisions.clone(), recorded.forms.clone());
    let moves = vec![moved(Part::Quotes, 0, forms.len()), moved(Part::Decisions, 0, decisions.len())];
    Page { decisions, forms, moves, ..Page::default() }
}

fn moved(part: Part, from: usize, to: usize) -> Move {
    Move { part, partition: 0, from: from as u64, to: to as u64 }
}

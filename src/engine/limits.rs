//! Every bound of the engine and the wire, with what happens there.

/// Body of one quote, bytes. Beyond: refused with 413, or dead-lettered.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Nesting of a body. Beyond: refused as not a quote.
pub const JSON_DEPTH_MAX: usize = 16;
/// Characters of a string field before and after normalisation. Beyond: refused, the field is named.
pub const STRING_CHARS_MAX: usize = 256;
/// Characters of `address.line`. Beyond: refused.
pub const LINE_CHARS_MAX: usize = 512;
/// Characters of `quote_id`, `product` and `tenant`. Beyond: refused.
pub const QUOTE_ID_CHARS_MAX: usize = 64;
pub const PRODUCT_CHARS_MAX: usize = 32;
pub const TENANT_CHARS_MAX: usize = 64;
/// Drivers of one quote. Beyond: refused.
pub const DRIVERS_MAX: usize = 10;
/// Entries of `coverage.extra`. Beyond: refused.
pub const EXTRA_MAX: usize = 64;
/// Validation errors reported for one body; further ones are counted only.
pub const ERRORS_SHOWN_MAX: usize = 64;

/// Linked attempts listed in a decision, newest first; `linked_total` counts all.
pub const LINKED_SHOWN_MAX: usize = 64;
/// Linked attempts the walk reads, newest first. Beyond: the oldest are left out, the decision is flagged `truncated`.
pub const LINKED_WALK_MAX: usize = 64;
/// Variants an attempt of the walk is compared with, newest first. Beyond: it may open again what an older one said, the decision is
/// flagged `truncated`.
pub const VARIANTS_COMPARED_MAX: usize = 16;
/// Attempts one block offers, newest before the quote. Beyond: the block is saturated, flagged, and hub weight applies.
pub const BLOCK_NEWEST_MAX: usize = 128;
/// Full comparisons for one quote. Beyond: cut (rarest block, newest, id), flagged `truncated`.
pub const COMPARISONS_MAX: usize = 512;
/// Later attempts one late quote re-decides. Beyond: nothing is rewritten, the late quote is flagged `truncated`.
pub const REDECIDED_MAX: usize = 4096;
/// Bytes of one normalised value kept for comparison; the hash of the whole tells longer ones apart.
pub const NORMALISED_BYTES_MAX: usize = 96;

/// Attempts that one ruling names. Beyond: the ruling is refused.
pub const RULING_ATTEMPTS_MAX: usize = 256;
/// Characters of a ruling's id. Beyond: the ruling is refused.
pub const RULING_ID_CHARS_MAX: usize = 64;
/// Rulings of one log that have not ended. Beyond: a new one is refused until some have, but for erasures.
pub const RULINGS_MAX: usize = 16_384;
/// Clearings that count for one quote, newest first: one bit each. Beyond: the older ones do not.
pub const CLEARINGS_AT_ONCE_MAX: u32 = 32;

/// Rules of one book. Beyond: the book is refused.
pub const RULES_MAX: usize = 1000;
/// Nodes of one rule's condition. Beyond: the rule is refused.
pub const CONDITION_NODES_MAX: usize = 512;
/// Nesting of one rule's condition, parentheses and operators counted alike. Beyond: the rule is refused.
pub const CONDITION_DEPTH_MAX: usize = 48;
/// Bytes of one rule's condition. Beyond: the rule is refused before it is parsed.
pub const CONDITION_BYTES_MAX: usize = 4096;
/// Distinct window lengths of one book, the 24 h of decisions included. Beyond: the book is refused.
pub const WINDOWS_MAX: usize = 16;
/// Shortest window of a rule, seconds. Below: the rule is refused.
pub const WINDOW_SECS_MIN: i64 = 1;
/// Longest window of a rule, seconds (90 days). Beyond: the rule is refused.
pub const WINDOW_SECS_MAX: i64 = 90 * 24 * 3600;
/// Bytes of one text of a rule (title, template, ...). Beyond: the rule is refused.
pub const RULE_TEXT_BYTES_MAX: usize = 1024;
/// Bytes of one book's stored form, and of one list: one record of the log carries the book. Beyond: the book is refused.
pub const RULE_BOOK_BYTES_MAX: usize = 900 * 1024;
/// Bytes of one rule file. Beyond: the file is refused before it is parsed.
pub const RULE_FILE_BYTES_MAX: usize = 256 * 1024;
/// Lists of one book. Beyond: the book is refused.
pub const LISTS_MAX: usize = 64;
/// Values of one list. Beyond: the list is refused.
pub const LIST_VALUES_MAX: usize = 50_000;
/// Surnames of the matching that weigh less. Beyond: the matching is refused.
pub const FREQUENT_SURNAMES_MAX: usize = 4096;
/// Bytes of a pattern of `matches`. Beyond: the rule is refused.
pub const PATTERN_BYTES_MAX: usize = 256;
/// Bytes of a compiled pattern. Beyond: the rule is refused.
pub const PATTERN_COMPILED_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a pattern's automaton. At the bound it is built anew while it matches.
pub const PATTERN_DFA_BYTES_MAX: usize = 10 * 1024;
/// Nesting of a pattern. Beyond: the rule is refused.
pub const PATTERN_DEPTH_MAX: u32 = 32;
/// Greatest score of one rule and greatest band, either way. Beyond: the book is refused.
pub const SCORE_MAX: f64 = 1000.0;

//! `docs/rule-reference.md` shows the catalogue and the base quote as they are in the code.

use crate::contract::rule_file::load;
use crate::contract::rule_test::base_quote;
use crate::engine::evidence::{Arguments, CATALOGUE, Kind};
use crate::engine::field::Field;
use crate::engine::rules::Mode;

/// The text between two marker lines, with what the code says in its place. `UPDATE_DOCS=1 cargo test docs` writes the file.
#[test]
fn docs_show_what_the_code_does() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rule-reference.md");
    let written = std::fs::read_to_string(&path).expect("docs/rule-reference.md");
    let quote = serde_json::to_string_pretty(&base_quote()).expect("JSON");
    let parts = [
        ("features: ", "end of features", features()),
        ("base quote: ", "end of base quote", format!("```json\n{quote}\n```\n")),
    ];
    let wanted = parts.iter().fold(written.clone(), |text, (from, to, part)| replace_between(&text, from, to, part));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).expect("written");
        return;
    }
    assert!(written == wanted, "docs/rule-reference.md is behind the code: run `UPDATE_DOCS=1 cargo test docs`");
}

fn replace_between(text: &str, from: &str, to: &str, part: &str) -> String {
    let begin = text.find(&format!("<!-- {from}")).expect(from);
    let begin = begin + text[begin..].find('\n').expect(from) + 1;
    let end = text.find(&format!("<!-- {to} -->")).expect(to);
    format!("{}{part}{}", &text[..begin], &text[end..])
}

fn features() -> String {
    let mut table = String::from("| feature | type | range | unit | |\n|---|---|---|---|---|\n");
    for spec in CATALOGUE {
        let call = match spec.arguments {
            Arguments::None => spec.name.to_string(),
            Arguments::Window => format!("{}(window)", spec.name),
            Arguments::FieldAndWindow => format!("{}(field, window)", spec.name),
        };
        let kind = match spec.kind {
            Kind::Int => "int",
            Kind::Double => "double",
            Kind::Bool => "bool",
            Kind::Text => "string",
        };
        let range = match (spec.kind, spec.range) {
            (Kind::Bool | Kind::Text, _) => String::new(),
            (_, (least, most)) if most >= f64::from(u32::MAX) => format!("from {least}"),
            (_, (least, most)) => format!("{least} to {most}"),
        };
        table += &format!("| `{call}` | {kind} | {range} | {} | {} |\n", spec.unit, spec.doc);
    }
    let fields: Vec<String> = Field::ALL.iter().map(|field| format!("`{}`", field.name())).collect();
    format!("{table}\nFields: {}.\n", fields.join(", "))
}

#[test]
fn the_example_in_the_docs_is_a_rule() {
    let docs = include_str!("../../docs/rule-reference.md");
    let begin = docs.find("```yaml\n").expect("an example") + "```yaml\n".len();
    let example = &docs[begin..begin + docs[begin..].find("```").expect("its end")];
    let book = load(1, &[("example", example)]).unwrap_or_else(|errors| panic!("{}", errors[0])).book;
    assert!(book.rule("picking-24h").is_some_and(|rule| rule.mode == Mode::Live && rule.params.len() == 2));
}

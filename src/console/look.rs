//! In which language and colours somebody wants their pages.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;

use super::Console;
use super::access::cookies::Cookie;
use super::texts::Texts;
use crate::contract::check::Language;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// As the system has it.
    Auto,
    Light,
    Dark,
}

impl Theme {
    pub const ALL: [Theme; 3] = [Theme::Auto, Theme::Light, Theme::Dark];

    pub fn name(self) -> &'static str {
        match self {
            Theme::Auto => "auto",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    pub fn parse(name: &str) -> Option<Theme> {
        Self::ALL.into_iter().find(|theme| theme.name() == name)
    }

    pub fn label(self, t: &Texts) -> &'static str {
        match self {
            Theme::Auto => t.theme_auto,
            Theme::Light => t.theme_light,
            Theme::Dark => t.theme_dark,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub t: &'static Texts,
    pub theme: Theme,
}

impl Look {
    /// By the cookies of the switches, else by the browser's languages and the system's colours.
    pub fn of(console: &Console, headers: &HeaderMap) -> Look {
        let cookies = console.settings.cookies;
        let language = match cookies.get(headers, Cookie::Language) {
            Some("ru") => Language::Ru,
            Some("en") => Language::En,
            _ => Language::negotiate(headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok())),
        };
        let theme = cookies.get(headers, Cookie::Theme).and_then(Theme::parse).unwrap_or(Theme::Auto);
        Look { t: Texts::of(language), theme }
    }
}

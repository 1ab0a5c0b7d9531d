//! Who is there and what they may: passwords, sessions, roles, and the checks around every request.

pub mod cookies;
pub mod doors;
pub mod form;
pub mod guard;
pub mod origin;
pub mod password;
pub mod pending;
pub mod roles;
pub mod token;

//! Expressions that can be made to name somebody else: as for other patterns ([`lint`]), it is tried.
//!
//! Lines are made of a plainer form of the expression, in which each address is one thing; what they yield is what the
//! expression itself finds in them. So only what the linear engine runs is tried, by itself: neither `prefregex` nor the
//! other expressions of the filter are asked.

use std::net::IpAddr;

use super::expression::{Expression, Searched};
use super::fields::{Layout, Whom};
use super::{Fail2ban, translate};
use crate::filter::patterns::{Attack, lint};
use crate::filter::registry::Filters;

/// The tags of addresses, each of which is one group here.
const TAGS: [&str; 6] = ["<HOST>", "<ADDR>", "<SUBNET>", "<IP4>", "<IP6>", "<DNS>"];

/// The group of the address.
const ADDR: &str = "(?P<addr>[0-9A-Fa-f:.]+)";

impl Fail2ban {
    /// Expressions that can be made to name somebody else: each with a line that does.
    #[must_use]
    pub fn attacks(&self) -> Vec<Attack> {
        let tried = self.failures.iter().zip(&self.definition.failregex);
        tried
            .filter_map(|(failure, source)| attack(&failure.name, source, &failure.expression, &failure.layout))
            .collect()
    }

    /// The built-in filter for the same service, if there is one.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        let name = &self.definition.name;
        Filters::builtin().by_name(name).map(|_| name.clone())
    }
}

fn attack(name: &str, source: &str, expression: &Expression, layout: &Layout) -> Option<Attack> {
    let mut plain = source.to_owned();
    for tag in TAGS {
        plain = plain.replacen(tag, ADDR, 1);
    }
    let plain = plain.replacen("(?P<host>", "(?P<addr>", 1);
    let names = |line: &[u8], addr: &str| match expression.search(&String::from_utf8_lossy(line)) {
        Searched::Found(found) => addr.parse().is_ok_and(|addr: IpAddr| layout.read(&found).whom == Whom::Addr(addr)),
        Searched::Nothing | Searched::OutOfSteps => false,
    };
    // Around an expression that is not anchored may stand anything. Whether it is, shows when it is tried.
    [("", ""), ("", FREE), (FREE, ""), (FREE, FREE)].into_iter().find_map(|(before, behind)| {
        let text = translate::translate(&format!("{before}(?:{plain}){behind}")).ok()?.text;
        let hir = regex_syntax::Parser::new().parse(&text).ok()?;
        let addr = lint::group(&hir, "addr")?;
        // Else it would not be the peer's line.
        names(&lint::plain_line(&hir, addr), Attack::PEER).then_some(())?;
        lint::attack(name, &hir, addr, |line| names(line, Attack::VICTIM))
    })
}

/// Any text.
const FREE: &str = "(?s:.*)";

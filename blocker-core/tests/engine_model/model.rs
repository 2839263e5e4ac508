//! The model: everything that happened, from which the rest is recomputed.

use super::*;

/// One ban there ever was.
#[derive(Clone, Debug)]
pub(crate) struct ModelBan {
    pub(crate) prefix: Prefix,
    pub(crate) jail: JailId,
    pub(crate) started: i64,
    pub(crate) until: Until,
    /// Whether a log earned it.
    pub(crate) by_log: bool,
}

/// Everything that happened, and nothing that can be recomputed.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) now: i64,
    pub(crate) failures: Vec<(i64, JailId, Prefix, u32)>,
    /// The failure in the last line: whose, how much, over which span.
    pub(crate) last: Option<(IpAddr, u32, i64)>,
    pub(crate) bans: Vec<ModelBan>,
    /// Bans that ended by themselves.
    pub(crate) ended: Vec<ModelBan>,
    pub(crate) configured: BTreeSet<Prefix>,
    pub(crate) found: BTreeSet<Prefix>,
    /// By command: until when, and whether over a restart.
    pub(crate) granted: BTreeMap<Prefix, (Until, bool)>,
    /// Bans that logs may earn within a minute.
    pub(crate) brake: Option<u32>,
    /// Whether bans of neighbours become bans of networks.
    pub(crate) aggregates: bool,
    /// When the failures were made that earned one, in this run; and the failures that were held.
    pub(crate) earned: Vec<i64>,
    pub(crate) held: u64,
}

impl Model {
    pub(crate) fn advance(&mut self, now: i64) {
        self.now = self.now.max(now);
        let (over, in_force) = self.bans.drain(..).partition(|ban| ban.until.is_past(secs(self.now)));
        self.ended.extend::<Vec<_>>(over);
        self.bans = in_force;
        self.granted.retain(|_, (until, _)| !until.is_past(secs(self.now)));
    }

    pub(crate) fn all_allowed(&self) -> BTreeSet<Prefix> {
        self.configured.iter().chain(&self.found).chain(self.granted.keys()).copied().collect()
    }

    pub(crate) fn allowed(&self, prefix: Prefix) -> bool {
        self.all_allowed().iter().any(|allowed| allowed.covers(prefix))
    }

    /// A failure that was made so long ago.
    pub(crate) fn failure(&mut self, jail: usize, addr: IpAddr, tenths: u32, span_secs: i64, made: i64) {
        let (jail, spec) = (id(jail), &JAILS[jail]);
        let counted_by = if addr.is_ipv4() { Prefix::host(addr) } else { Prefix::new(addr, 64).unwrap() };
        let late = |ban: &ModelBan| {
            ban.jail == jail
                && ban.prefix.covers(counted_by)
                && self.now <= ban.started + LATE_SECS
                && made - span_secs <= ban.started
        };
        if tenths == 0
            || self.now - made >= spec.find_secs
            || self.allowed(Prefix::host(addr))
            || self.bans.iter().any(|ban| ban.jail == jail && ban.prefix.contains(addr))
            || self.ended.iter().any(late)
        {
            return;
        }
        self.failures.push((made, jail, counted_by, tenths));
        let sum: u32 = self
            .failures
            .iter()
            .filter(|f| (f.1, f.2) == (jail, counted_by) && self.now - f.0 < spec.find_secs)
            .map(|f| f.3)
            .sum();
        if sum < spec.max_retry * 10 {
            return;
        }
        let within = self.earned.iter().filter(|&&at| (made - 60..=made).contains(&at)).count();
        if self.brake.is_some_and(|most| within >= most as usize) {
            self.held += 1;
            return;
        }
        self.failures.retain(|f| (f.1, f.2) != (jail, counted_by));
        let until = Until::At(secs(self.now + spec.ban_secs));
        if self.ban(jail, counted_by, until, false, true) {
            self.earned.push(made);
            if self.aggregates {
                self.aggregate(jail, counted_by, until);
            }
        }
    }

    /// Bans the network if enough of it are banned.
    pub(crate) fn aggregate(&mut self, jail: JailId, prefix: Prefix, until: Until) {
        let network = Prefix::new(prefix.addr(), if prefix.addr().is_ipv4() { AGGREGATE.ipv4 } else { AGGREGATE.ipv6 });
        let network = network.unwrap();
        let earned =
            |ban: &&ModelBan| ban.jail == jail && ban.by_log && ban.prefix != network && network.covers(ban.prefix);
        let inside: Vec<&ModelBan> = self.bans.iter().filter(earned).collect();
        let latest = inside.iter().map(|ban| ban.until).max();
        if inside.len() >= AGGREGATE.after as usize
            && !self.bans.iter().any(|ban| (ban.jail, ban.prefix) == (jail, network))
        {
            self.ban(jail, network, until.max(latest.unwrap_or(until)), false, true);
        }
    }

    /// Whether it is entered.
    pub(crate) fn ban(&mut self, jail: JailId, prefix: Prefix, until: Until, exactly: bool, by_log: bool) -> bool {
        if self.allowed(prefix) || self.too_deep(prefix) {
            return false;
        }
        match self.bans.iter_mut().find(|ban| (ban.prefix, ban.jail) == (prefix, jail)) {
            Some(ban) if exactly || until > ban.until => (ban.until, ban.by_log) = (until, by_log),
            Some(_) => {}
            None => self.bans.push(ModelBan { prefix, jail, started: self.now, until, by_log }),
        }
        true
    }

    /// Whether with `prefix` some address would lie in more networks than may nest.
    pub(crate) fn too_deep(&self, prefix: Prefix) -> bool {
        let mut networks: BTreeSet<Prefix> = self.bans.iter().map(|ban| ban.prefix).collect();
        if !networks.insert(prefix) {
            return false;
        }
        let is_network = |p: &Prefix| !(p.is_host() && p.addr().is_ipv4() || p.len() == 64);
        networks.retain(is_network);
        is_network(&prefix)
            && networks
                .iter()
                .filter(|inner| prefix.covers(**inner))
                .any(|inner| networks.iter().filter(|outer| outer.covers(*inner)).count() > MAX_NESTING)
    }

    /// What was made at that time on the engine's clock, as the engine takes it: never later than now.
    pub(crate) fn made(&self, clock: i64, ago: i64) -> i64 {
        if ago <= 0 { self.now } else { (clock - ago).min(self.now) }
    }

    pub(crate) fn unban(&mut self, prefix: Prefix) -> bool {
        let before = self.bans.len();
        self.bans.retain(|ban| ban.prefix != prefix);
        self.ended.retain(|ban| ban.prefix != prefix);
        self.failures.retain(|failure| failure.2 != prefix);
        self.bans.len() < before
    }

    pub(crate) fn allow(&mut self, configured: bool, prefixes: BTreeSet<Prefix>) {
        let old = self.all_allowed();
        *(if configured { &mut self.configured } else { &mut self.found }) = prefixes;
        self.lift_what_is_allowed_since(&old);
    }

    /// Whose bans were lifted.
    pub(crate) fn lift_what_is_allowed_since(&mut self, old: &BTreeSet<Prefix>) -> BTreeSet<Prefix> {
        let mut all = BTreeSet::new();
        for added in self.all_allowed().difference(old) {
            let lifted: BTreeSet<Prefix> = self.bans.iter().map(|b| b.prefix).filter(|p| added.covers(*p)).collect();
            self.bans.retain(|ban| !lifted.contains(&ban.prefix));
            self.ended.retain(|ban| !lifted.contains(&ban.prefix));
            all.extend(lifted);
        }
        all
    }

    pub(crate) fn in_force(&self) -> BTreeMap<Prefix, (JailSet, Until)> {
        let mut merged = BTreeMap::new();
        for ban in &self.bans {
            let (jails, until) = merged.entry(ban.prefix).or_insert((JailSet::EMPTY, ban.until));
            *jails = jails.with(ban.jail);
            *until = ban.until.max(*until);
        }
        merged
    }
}

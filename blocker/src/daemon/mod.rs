//! The daemon's task: the sole owner of the engine and the sole writer of the kernel's maps.
//!
//! # Theory of operation
//!
//! One loop takes what arrives first: lines from a source, a call on the control socket, a change of the network, a
//! signal, the end of a ban. Each is handed to the engine with the boot time of its arrival, and the engine's commands are
//! carried out before the next is taken. Between a line and the map update that follows from it there is nothing else: no
//! name look-up, no disk, no other process.
//!
//! Channels into this task are bounded; who fills them waits (a file is its own queue).
//!
//! The order at the start keeps the gate closed: maps are brought up to date before the program is attached anew, and an
//! adopted link enforces the adopted maps all the while. At a stop nothing is detached and nothing lifted.

mod alarms;
mod allowance;
mod allowing;
mod answers;
mod around;
mod attempt;
mod calls;
mod carried;
mod closer;
mod confirm;
mod cursors;
mod drops;
mod entries;
mod events;
mod fail2ban_log;
mod fill;
mod interfaces;
mod jails;
mod journals;
mod keeper;
mod limits;
mod logs;
mod looks;
mod printed;
mod receivers;
mod reload;
mod report;
mod sources;
mod status;
mod supervisor;
mod sweep;
mod taken;
mod told;
mod trial;
mod turns;
mod unsettled;
mod watched;
mod why;

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use blocker_core::config::{self, Attach, Config, Input, Mode};
use blocker_core::engine::{AdoptedBan, Engine, JailSet, Memory};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::clock;
use crate::control::access::Access;
use crate::control::fail2ban;
use crate::control::server::{Call, Server};
use crate::control::wire::Reply;
use crate::digest::Digest;
use crate::kernel::{Capacity, Kernel};
use crate::metrics;
use crate::network::allow_files::AllowFiles;
use crate::network::changes::Changes;
use crate::network::{Found, default_routes};
use crate::notify::Notifier;
use crate::source::SourceEvent;

use alarms::Alarms;
use carried::Batch;
use closer::Closer;
use drops::Drops;
use events::EventLog;
use interfaces::Interfaces;
use jails::Numbered;
use keeper::Keeper;
use looks::Looks;
use sources::Sources;
use supervisor::Supervisor;
use sweep::Sweeping;
use trial::{Capped, Trial};
use turns::Turns;
use unsettled::{Entry, Unsettled};
use watched::Watched;

pub use jails::check_inputs;
pub use journals::name as journal_name;
pub use sources::name as source_name;

/// Batches of lines that may wait for this task, over all sources: at most 64 KiB each.
const MAX_WAITING_BATCHES: usize = 16;

/// Control calls that may wait for this task.
const MAX_WAITING_CALLS: usize = 16;

/// How long a stop waits for the database.
const SAVE_WITHIN: Duration = Duration::from_secs(5);

/// How long a stop waits for the control socket.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// What the command line says besides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Every jail reads standard input instead of its own input; the daemon ends when that does.
    pub stdin: bool,
    /// Enforcement ends after this time unless it is confirmed.
    pub confirm: Option<Duration>,
}

struct Daemon<'a> {
    config_path: &'a Path,
    options: Options,
    config: Config,
    /// Of the maps.
    capacity: Capacity,
    started: Instant,
    kernel: Kernel,
    engine: Engine,
    keeper: Keeper,
    numbered: Numbered,
    sources: Sources,
    interfaces: Interfaces,
    /// Who is never banned because a file says so.
    allow_files: AllowFiles,
    /// Who is never banned because of what was found, files included.
    found: Vec<Found>,
    /// Whether [`Daemon::take_places`] has something to tell.
    are_places_due: bool,
    events: EventLog,
    closer: Closer,
    /// Who is told of bans.
    notifier: Notifier,
    alarms: Alarms,
    watched: Watched,
    report_under_way: report::UnderWay,
    /// When [`Daemon::look_around`] is due.
    looks: Looks,
    /// Commands that the kernel refused since the start, and its words for the last one.
    refused: (u64, String),
    unsettled: Unsettled,
    batch: Batch,
    /// All bans that are being lifted.
    sweeping: Option<Sweeping>,
    /// Calls that come after others.
    turns: Turns,
    /// Whether standard input was all there is to read, and has ended.
    is_over: bool,
    /// What [`Daemon::warn_of_fill`] has said.
    fill: fill::Told,
    supervisor: Supervisor,
    /// Whether the last reload was refused.
    is_reload_refused: bool,
    /// Whether enforcement is to be confirmed, or was.
    trial: Option<Trial>,
}

/// Runs until a signal ends it, in the configuration read from `config_path`, with its digest.
///
/// # Errors
///
/// What keeps it from starting. Once it runs, errors are logged and shown by `status`.
pub async fn run(config_path: &Path, (config, digest): (Config, Digest), options: Options) -> Result<()> {
    let config = options.apply(config);
    limits::raise();
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut hang_up = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    let mut changes = Changes::listen()?;
    let (lines_in, mut lines) = mpsc::channel(MAX_WAITING_BATCHES);
    let (calls_in, mut calls) = mpsc::channel(MAX_WAITING_CALLS);

    let access = Access::of(&config.control)?;
    // The lock comes first, with the kernel; then whatever may fail without having changed anything.
    let capacity = capacity(&config);
    let mut kernel = Kernel::open(&config.daemon.pins, capacity)?;
    kernel.set_object_directory(config.daemon.runtime.clone());
    let server = Server::bind(&config.daemon.runtime, access)?;
    let metrics = config.metrics.as_ref().map(metrics::Server::bind).transpose()?;
    let fail2ban_socket = config.control.fail2ban_socket.as_deref().map(Path::new);
    let fail2ban = fail2ban_socket.map(|path| fail2ban::Server::bind(path, access)).transpose()?;
    let mut daemon = Daemon::start(config_path, options, (config, digest), kernel, capacity, lines_in)?;
    let drops = daemon.kernel.take_drops().context("the ring of drops has a reader")?;
    let mut drops = Drops::listen(drops).context("reading the ring of drops")?;
    if let Some(metrics) = metrics {
        tokio::spawn(metrics.run(calls_in.clone()));
    }
    let fail2ban = fail2ban.map(|fail2ban| tokio::spawn(fail2ban.run(calls_in.clone())));
    let mut server = tokio::spawn(server.run(calls_in));
    // From here on: what an earlier run has banned was told then.
    daemon.notifier = Notifier::start(&daemon.config.notify)?;
    daemon.introduce();
    daemon.tell_of_start();
    let status = daemon.word();
    daemon.supervisor.ready(status, Instant::now());

    loop {
        let wake = daemon.sleep();
        tokio::select! {
            Some(event) = lines.recv() => daemon.handle_source(event),
            Some(call) = calls.recv() => daemon.take_call(call),
            changed = changes.next() => {
                changed.context("waiting for network changes")?;
                daemon.looks.note_change();
            }
            read = drops.next(|slot| daemon.kernel.interface_name(slot), |packet| {
                daemon.watched.dropped_packet(packet, daemon.config.daemon.ipv6_prefix);
            }) => read.context("reading the ring of drops")?,
            () = tokio::time::sleep(wake) => daemon.handle_timeout(),
            () = tokio::task::yield_now(), if daemon.is_at_work() => {
                // Whoever asks for little, and what a log tells, comes before the next piece of what takes long.
                for _ in 0..MAX_WAITING_CALLS {
                    let Ok(call) = calls.try_recv() else { break };
                    daemon.take_call(call);
                }
                if let Ok(event) = lines.try_recv() {
                    daemon.handle_source(event);
                }
                daemon.work_on();
            }
            report = daemon.keeper.report() => daemon.keeper.hear(report, &mut daemon.engine),
            _ = hang_up.recv() => {
                if let Err(error) = daemon.reload() {
                    tracing::error!("the configuration is kept as it was: {error:#}");
                }
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        daemon.look_after();
        if let Some(places) = daemon.take_places() {
            changes.watch(places);
        }
        if daemon.is_over {
            break;
        }
    }
    daemon.supervisor.stopping(Instant::now());
    while daemon.is_sweeping() {
        daemon.sweep_on();
    }
    drop(calls);
    let Daemon { keeper, engine, notifier, .. } = daemon;
    let save = async {
        if tokio::time::timeout(SAVE_WITHIN, keeper.finish(engine)).await.is_err() {
            tracing::error!("the database is stuck: what has changed lately is not saved");
        }
    };
    tokio::join!(save, notifier.stop());
    if tokio::time::timeout(STOP_WITHIN, &mut server).await.is_err() {
        // Clients that hang hold every place; the socket goes with the task.
        server.abort();
    }
    if let Some(fail2ban) = fail2ban {
        fail2ban.abort();
    }
    tracing::info!("stopped; bans stay in force until they end (`blocker detach` removes them)");
    Ok(())
}

impl Options {
    /// The configuration as the command line wants it.
    fn apply(self, mut config: Config) -> Config {
        if self.stdin {
            for jail in &mut config.jails {
                jail.input = Some(Input::Stdin);
                jail.journal = None;
            }
        }
        config
    }
}

/// How many bans the maps are to take.
fn capacity(config: &Config) -> Capacity {
    let Capacity { ipv4, ipv6 } = if config.daemon.attach.contains(&Attach::Dispatcher) {
        // libxdp takes maps of the size that the object says, and no others.
        Capacity::of_the_object()
    } else {
        Capacity::configured(None, None)
    };
    Capacity::configured(config.daemon.max_bans_ipv4.or(Some(ipv4)), config.daemon.max_bans_ipv6.or(Some(ipv6)))
}

impl<'a> Daemon<'a> {
    fn start(
        config_path: &'a Path,
        options: Options,
        (config, digest): (Config, Digest),
        kernel: Kernel,
        capacity: Capacity,
        lines: mpsc::Sender<SourceEvent>,
    ) -> Result<Self> {
        let mut sources = Sources::new(lines, config.daemon.max_line_bytes);
        let (numbered, ports) = jails::number(&config, &kernel, &mut sources)?;
        let mut engine = Engine::new(jails::settings(&config, &numbered, capacity));
        engine.set_seed(RandomState::new().hash_one(0));
        engine.name_gone_jails(kernel.jail_names().map(|(id, name)| (id, name.to_owned())));
        let names = engine.jail_names();
        let source_names = sources.names();
        let source = |name: &str| source_names.iter().find(|(_, known)| *known == name).map(|(&id, _)| id);
        let (keeper, loaded) = Keeper::open(&config.daemon.state, |name| jails::of_name(names, name), source)?;
        engine.set_hash_key(keeper.hash_key);
        if let Some(saved) = &loaded.logins {
            engine.restore_logins(saved, clock::now());
        }
        if keeper.is_on() {
            engine.track_changes();
        }
        let fail2ban_log = config.daemon.fail2ban_log.clone();
        let mut daemon = Self {
            config_path,
            options,
            config,
            capacity,
            started: Instant::now(),
            kernel,
            engine,
            keeper,
            numbered,
            sources,
            interfaces: Interfaces::default(),
            allow_files: AllowFiles::default(),
            found: Vec::new(),
            are_places_due: false,
            events: EventLog::start(fail2ban_log)?,
            closer: Closer::start()?,
            notifier: Notifier::default(),
            alarms: Alarms::begin(Instant::now()),
            watched: Watched::default(),
            report_under_way: report::UnderWay::default(),
            looks: Looks::begin(Instant::now()),
            refused: (0, String::new()),
            unsettled: Unsettled::default(),
            batch: Batch::default(),
            sweeping: None,
            turns: Turns::default(),
            is_over: false,
            fill: fill::Told::default(),
            supervisor: Supervisor::of_environment(Instant::now()),
            is_reload_refused: false,
            trial: None,
        };
        daemon.keeper.remember_bans = daemon.config.daemon.remember_bans;
        // Before another trial takes the place of the one that these bans end with.
        let capped = Capped::of(&daemon.config.daemon.state, &loaded.memory).filter(|_| daemon.kernel.were_pinned());
        daemon.resume_trial(digest)?;
        // Whom never to drop comes before whatever may drop more.
        daemon.allow_files.set_paths(&daemon.config.daemon.allow_files);
        let allow_logins = daemon.config.daemon.allow_logins;
        let found = around::all_allowed(&default_routes()?, allow_logins, &mut daemon.allow_files)?;
        daemon.set_found(found);
        daemon.engine.restore_grants(loaded.grants, clock::now());
        let allowed = daemon.carry_out();
        daemon.kernel.set_jails(ports)?;
        let mode = daemon.mode();
        if mode == Mode::Observe {
            // Before bans have their own ends again that ended with a trial.
            daemon.kernel.set_mode(mode)?;
        }
        let is_kernel_whole = daemon.kernel.were_pinned() && loaded.is_of_this_boot;
        daemon.restore(loaded.memory, is_kernel_whole, capped.as_ref());
        daemon.begin_trial(capped.is_some());
        daemon.kernel.set_mode(mode)?;
        daemon.kernel.retain_allowed(&allowed)?;
        daemon.look_around();
        daemon.kernel.remove_emptied()?;
        daemon.start_sources()?;
        Ok(daemon)
    }

    /// Takes over the bans that the maps held, and brings back what was remembered besides.
    fn restore(&mut self, memory: Memory, is_kernel_whole: bool, capped: Option<&Capped>) {
        let adopted = self.kernel.take_adopted().into_iter().map(|ban| {
            let jails = JailSet::from_bits(ban.entry.scope);
            let until = capped.map_or(ban.until(), |capped| capped.own_end(ban.prefix, ban.until()));
            AdoptedBan { prefix: ban.prefix, jails, until }
        });
        let began = Instant::now();
        self.engine.restore(adopted.collect(), is_kernel_whole, memory, clock::now());
        self.carry_out();
        let stats = self.engine.stats();
        let bans = stats.bans_v4 + stats.bans_v6 + stats.networks;
        tracing::info!(bans, counts = stats.tracked, took = ?began.elapsed(), "goes on from where an earlier run ended");
    }

    fn handle_timeout(&mut self) {
        self.engine.handle_timeout(clock::now());
        self.carry_out();
    }

    /// Handles a call, or has it wait for its turn.
    fn take_call(&mut self, call: Call) {
        if let Some(call) = self.turns.now(call) {
            self.handle_call(call);
        }
    }

    /// Whether there is something that takes long.
    fn is_at_work(&self) -> bool {
        self.is_sweeping() || self.turns.is_any_waiting()
    }

    /// Does a piece of it.
    fn work_on(&mut self) {
        self.sweep_on();
        if let Some(call) = self.turns.next() {
            self.handle_call(call);
        }
    }

    /// Does what is due besides: after everything else, so that no stream of lines or calls keeps it from being done.
    fn look_after(&mut self) {
        self.end_trial();
        if self.looks.wait(Instant::now()).is_zero() {
            self.look_around();
        }
        for entry in self.unsettled.take_due() {
            let command = match entry {
                Entry::Ban(prefix) => self.engine.restate_ban(prefix),
                Entry::Allowed(prefix) => self.engine.restate_allowed(prefix),
            };
            self.tell_kernel(&command);
        }
        self.flush();
        self.settle_allowed();
        self.keeper.hand_over(&mut self.engine);
        self.events.say_left_out(self.engine.untold());
        let now = Instant::now();
        self.tell_alarms(now);
        self.watched.end(now);
        let status = self.supervisor.is_status_due(now).then(|| self.word());
        self.supervisor.turn(now, status);
    }

    /// How it goes, in a line for the service manager.
    fn word(&self) -> String {
        let stats = self.engine.stats();
        let (jails, bans) = (self.numbered.jails.len(), stats.bans_v4 + stats.bans_v6 + stats.networks);
        let refused = if self.is_reload_refused { "; the last reload failed, see the log" } else { "" };
        let trial = self.trial_problem().map_or_else(String::new, |problem| format!("{problem}; "));
        format!("{trial}jails: {jails}; bans in force: {bans}{refused}")
    }

    /// How long nothing is due.
    fn sleep(&self) -> Duration {
        let now = clock::now();
        let engine = self.engine.poll_timeout().map(|due| due.saturating_since(now));
        let waits = engine
            .into_iter()
            .chain(self.trial_wait(now))
            .chain(self.unsettled.wait())
            .chain(self.sweep_wait().filter(|wait| !wait.is_zero()))
            .chain(self.keeper.wait(&self.engine));
        let now = Instant::now();
        waits.chain(self.supervisor.wait(now)).chain(self.alarms_wait(now)).fold(self.looks.wait(now), Duration::min)
    }

    /// Says in a few lines what it watches and protects, and where to look next.
    fn introduce(&self) {
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            mode = status::mode_name(self.mode()),
            pins = %self.config.daemon.pins.display(),
            config = %self.config_path.display(),
            "started"
        );
        for jail in &self.numbered.jails {
            let config::Jail { name, filter, input, journal, ports, .. } = &jail.config;
            let logs = input.as_ref().map(ToString::to_string).unwrap_or_default();
            let journal = journal.as_ref().map(|journal| journal.matches.to_string()).unwrap_or_default();
            tracing::info!(jail = %name, filter = filter.title(), %logs, journal, "watches");
            tracing::info!(jail = %name, %ports, "protects");
        }
        taken::tell(&self.config);
        if self.numbered.jails.is_empty() {
            tracing::warn!("no jail is on: only bans by command are enforced");
        }
        if self.kernel.attachments().next().is_none() {
            tracing::warn!("attached to no interface yet: nothing is dropped until one takes the program");
        }
        tracing::info!("look next: `blocker status`, `blocker bans`, `blocker bans --kernel`");
    }
}

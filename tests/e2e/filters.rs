//! Filters of an administrator's own, in `filters.d` beside the configuration.

use std::fs;

use anyhow::Result;
use blocker_tests::{
    clock,
    daemon::{self, Daemon, Settings},
    log_file::LogFile,
    netns::Net,
};

use crate::siege::{LIMIT, STRANGER, VILLAIN};

const SHOP: &str = r"
name = 'shop'
description = 'a service that nobody else has'
program = ['shop']
[[pattern]]
name = 'wrong password'
match = 'login of <USER> refused \(client <ADDR>\)'
";

#[test]
fn a_filter_beside_the_configuration_bans_and_a_faulty_one_changes_nothing() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let log = LogFile::create(daemon.directory().join("shop.log"))?;
    let refuse = |source| -> Result<()> {
        for _ in 0..2 {
            let stamp = clock::log_stamp();
            log.append(format!("{stamp} mx1 shop[7]: login of bob refused (client {source})").as_bytes())?;
        }
        Ok(())
    };
    let jail = format!("[jails.shop]\nlog = ['{}']\nmax_retry = 2\n", log.path().display());
    daemon.write_configuration(&format!("{}{jail}", daemon.configuration(&Settings::default())))?;
    let unknown = daemon.cli(&["reload"])?;
    assert_eq!(unknown.code, Some(78), "no filter is called so yet: {unknown:?}");
    let file = daemon.directory().join("filters.d").join("shop.toml");
    fs::create_dir(daemon.directory().join("filters.d"))?;
    fs::write(&file, SHOP)?;

    daemon.cli(&["reload"])?.success()?;
    refuse(VILLAIN)?;
    assert_eq!(daemon.await_ban(VILLAIN, LIMIT)?.jail, "shop");

    fs::write(&file, SHOP.replace("<ADDR>\\)", "<ADDR>("))?;
    for command in ["reload", "check"] {
        let refused = daemon.cli(&[command])?;
        assert_eq!(refused.code, Some(78), "{command}: {refused:?}");
        for said in [file.display().to_string().as_str(), "`wrong password`", "at character 40"] {
            assert!(refused.stderr.contains(said), "{command} says {said}: {refused:?}");
        }
    }
    refuse(STRANGER)?;
    assert_eq!(daemon.await_ban(STRANGER, LIMIT)?.jail, "shop", "the filter it had is in use");
    Ok(())
}

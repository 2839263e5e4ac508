//! Which filters of fail2ban's are about what a built-in filter of ours is about.

/// Where the lines are that a filter of ours reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logged {
    /// Where fail2ban's are.
    Same,
    /// In a file beside it, this part of whose name becomes that.
    Renamed(&'static str, &'static str),
    /// Elsewhere, and why.
    At(&'static [&'static str], &'static str),
}

/// The filter of ours that does what `filter` in `mode` does, if there is one.
///
/// # Errors
///
/// Why none of ours does it, where one might be thought to.
pub(super) fn equivalent(filter: &str, mode: &str) -> Result<Option<(&'static str, Logged)>, &'static str> {
    let ours = match filter {
        "postfix" if !["auth", "aggressive"].contains(&mode) => {
            return Err(
                "in this mode it counts rejected mail, where the filter `postfix` of blocker's counts refused passwords: \
                        [jails.postfix] is for those, [jails.postfix-postscreen] for abuse",
            );
        }
        "apache-auth" => "apache",
        "courier-auth" => "courier",
        "cyrus-imap" => "cyrus",
        "dovecot" => "dovecot",
        "exim" => "exim",
        "nginx-http-auth" => return Ok(Some(("nginx", Logged::Renamed("error", "access")))),
        "postfix" | "postfix-sasl" => "postfix",
        "proftpd" => "proftpd",
        "pure-ftpd" => "pure-ftpd",
        "roundcube-auth" => {
            let why = "set log_driver = 'syslog' in Roundcube, in whose own file anybody can write lines";
            return Ok(Some(("roundcube", Logged::At(&["/var/log/syslog", "/var/log/messages"], why))));
        }
        "sendmail-auth" => "sendmail",
        "sogo-auth" => "sogo",
        "sshd" => "sshd",
        "vsftpd" => "vsftpd",
        _ => return Ok(None),
    };
    Ok(Some((ours, Logged::Same)))
}

//! Programs that are started: what they get to see of the environment, which is what they need to find keys, servers and
//! the terminal. Where a program needs less or more, as git does, that is said there.

use std::ffi::OsStr;
use std::process::Command;

/// What it takes to find keys and servers: all that some programs get.
pub const NEEDED: [&str; 21] = [
    "HOME",
    "PATH",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
    "SSH_AUTH_SOCK",
    "KRB5CCNAME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// What it takes besides to talk to people.
const FOR_PEOPLE: [&str; 11] = [
    "LANG",
    "LANGUAGE",
    "TERM",
    "NO_COLOR",
    "COLUMNS",
    "TZ",
    "XDG_STATE_HOME",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "SSH_ASKPASS",
    "SSH_ASKPASS_REQUIRE",
];

/// A variable that children get and that no module's settings may name.
pub fn is_kept(name: &str) -> bool {
    NEEDED.contains(&name) || FOR_PEOPLE.contains(&name) || name.starts_with("LC_")
}

/// A program to be started, with an environment that holds only what it needs to find keys, servers and the terminal.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for (name, value) in std::env::vars_os() {
        if name.to_str().is_some_and(is_kept) {
            command.env(name, value);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_sees_nothing_but_what_is_kept() {
        assert!(std::env::vars_os().any(|(name, _)| !name.to_str().is_some_and(is_kept)), "cargo sets some");
        let command = command("true");
        assert!(command.get_envs().all(|(name, value)| value.is_some() && name.to_str().is_some_and(is_kept)));
        assert!(command.get_envs().any(|(name, _)| name == "PATH"));
    }
}

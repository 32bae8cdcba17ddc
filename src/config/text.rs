//! Forms of single values. Each function gives what is wrong, in words, or `None`.

use crate::error::shown;

/// Text for people: 1 to `max` characters, nothing invisible, no space at either end.
pub(crate) fn bad_text(text: &str, max: usize) -> Option<String> {
    if text.is_empty() || text.chars().count() > max {
        return Some(format!("has 1 to {max} characters"));
    }
    (shown(text) != text || text.trim() != text).then(|| "has invisible characters or spaces at an end".to_owned())
}

/// Two upper-case letters.
pub(super) fn bad_country(text: &str) -> Option<String> {
    let good = text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase());
    (!good).then(|| format!("two upper-case letters such as \"US\", not {text:?}"))
}

/// `host/path`: the origin of a checkpoint has no spaces and no `+` (C2SP tlog-checkpoint), and as part of an SSH
/// signature namespace nothing that OpenSSH's allowed-signers file treats as a pattern or separator.
pub(crate) fn bad_origin(text: &str) -> Option<String> {
    let word = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)) && !part.is_empty();
    let good = text.len() <= 128
        && text.split_once('/').is_some_and(|(host, path)| is_host(host) && path.split('/').all(word));
    (!good).then(|| format!("\"host/path\" of letters, digits, '-', '.', '_', '~', not {text:?}"))
}

/// An `http` or `https` URL of at most 2048 bytes, without user name, password or fragment. The value is not repeated,
/// since such a URL may hold a password.
pub(crate) fn bad_url(text: &str) -> Option<String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some(rest) = rest else { return Some("an http:// or https:// URL".to_owned()) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("a URL here has no user name or password".to_owned());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let ipv6 = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .is_some_and(|h| h.parse::<std::net::Ipv6Addr>().is_ok());
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|n| n > 0 && n.to_string() == port));
    let clean = text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b));
    (!(clean && port_fits && (ipv6 || is_host(host)))).then(|| "not a URL with a host and printable ASCII".to_owned())
}

/// An `http` URL in a certificate, with the limits of [`bad_url`]. Not `https`: whoever fetches it may be checking the
/// very certificate of the server (RFC 5280 §8).
pub(super) fn bad_certificate_url(text: &str) -> Option<String> {
    let plain = text.starts_with("http://");
    bad_url(text).filter(|_| plain).or_else(|| {
        (!plain).then(|| "an http:// URL, since a certificate's URLs are fetched to check certificates".into())
    })
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

//! The servers that a plugin may send requests to, as operators and plugins write them: one spelling each,
//! so that a name which is compared is the name that is asked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr as _;

use sqlx::PgPool;

use super::Sandbox;
use super::error::{SandboxError, while_doing};
use super::execute::PluginSql;

/// A server: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https`, and not `http`.
    pub tls: bool,
    /// Its name or address.
    pub host: Host,
    /// Its port.
    pub port: u16,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name, in lower case.
    Name(String),
    /// An address that was written as such.
    Address(IpAddr),
}

impl Endpoint {
    /// Reads `HOST` or `HOST:PORT`; without a port it is the usual one of the scheme.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(tls: bool, text: &str) -> Result<Self, String> {
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(format!(
                "the host has the character {odd:?}: a name is written in ASCII (xn--…)"
            ));
        }
        if text.contains('@') {
            return Err("a user and a password are no part of a host".to_owned());
        }
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (Host::v6(host)?, port),
            None => {
                let end = text.find(':').unwrap_or(text.len());
                (Host::name(&text[..end])?, &text[end..])
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => Self::usual(tls),
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port > 0).ok_or("the port is none")?
            }
            _ => return Err("after the host comes a colon and the port".to_owned()),
        };
        Ok(Self { tls, host, port })
    }

    fn usual(tls: bool) -> u16 {
        if tls { 443 } else { 80 }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

impl Host {
    fn v6(text: &str) -> Result<Self, String> {
        let address = Ipv6Addr::from_str(text)
            .map_err(|_| "between the brackets is no IPv6 address".to_owned())?;
        if let Some(mapped) = address.to_ipv4_mapped() {
            return Err(format!("write the address as {mapped}"));
        }
        Ok(Self::Address(address.into()))
    }

    fn name(text: &str) -> Result<Self, String> {
        let name = text.to_ascii_lowercase();
        // What others would read as an address, such as 2130706433, 0177.1 or 0x7f.1, is one here or nothing.
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_number = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
        if is_number || last.starts_with("0x") {
            let address = Ipv4Addr::from_str(&name);
            return address.map(|address| Self::Address(address.into())).map_err(|_| {
                "the host ends in a number and is no IPv4 address such as 192.0.2.1".to_owned()
            });
        }
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        match name.len() <= 253 && name.split('.').all(is_label) {
            true => Ok(Self::Name(name)),
            false => Err("the host is no name such as hooks.example.com, without a dot at its end"
                .to_owned()),
        }
    }

    /// Whether the server may be at this address. Names stand for public addresses, for who answers for them
    /// may not be the operator; `localhost` is the machine itself. An address that is written is meant.
    pub fn may_be_at(&self, address: IpAddr) -> bool {
        match self {
            Self::Address(own) => *own == address,
            Self::Name(name) if name == "localhost" => address.is_loopback(),
            Self::Name(_) => is_public(address),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Sandbox {
    /// Whether a plugin may send requests to any server at all.
    ///
    /// # Errors
    /// The database's.
    pub async fn may_send(&self, plugin: &str) -> Result<bool, SandboxError> {
        let may = may_send(&self.control, plugin, None).await;
        may.map_err(while_doing("reading what a plugin is granted"))
    }
}

impl PluginSql {
    /// Whether the plugin may send requests to a server, as the grants are now.
    ///
    /// # Errors
    /// The database's.
    pub async fn may_send(&self, server: &Endpoint) -> sqlx::Result<bool> {
        may_send(self.control(), self.plugin(), Some(server)).await
    }
}

/// Whether a plugin may send requests to a server; without one, to any.
async fn may_send(control: &PgPool, plugin: &str, server: Option<&Endpoint>) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM eventfabric.plugin_grants
                        WHERE plugin_name = $1 AND kind IN ('http', 'https')
                          AND ($2::text IS NULL OR (kind = $2 AND target = $3)))",
    )
    .bind(plugin)
    .bind(server.map(Endpoint::scheme))
    .bind(server.map(ToString::to_string))
    .fetch_one(control)
    .await
}

/// Whether an address is one of the internet, by the registries of special addresses of the IANA.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    let special = match a {
        0 | 10 | 127 => true,
        100 => (64..128).contains(&b),
        // The host of a virtual machine in Azure, which only such a machine reaches.
        168 => (b, c, d) == (63, 129, 16),
        169 => b == 254,
        172 => (16..32).contains(&b),
        192 => b == 168 || (b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99),
        198 => b == 18 || b == 19 || (b == 51 && c == 100),
        203 => b == 0 && c == 113,
        // Multicast, reserved, broadcast.
        _ => a >= 224,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    if (a, b, c, d, e, f) == (0x64, 0xff9b, 0, 0, 0, 0) {
        // An IPv4 address, for machines that have IPv6 alone.
        let [g, h] = [g.to_be_bytes(), h.to_be_bytes()];
        return is_public_v4(Ipv4Addr::new(g[0], g[1], h[0], h[1]));
    }
    let special = match a {
        // Protocols and Teredo; documentation.
        0x2001 => b < 0x200 || b == 0xdb8,
        // 6to4: an IPv4 address is inside.
        0x2002 => true,
        0x3fff => b < 0x1000,
        _ => false,
    };
    // Of all else the only addresses of the internet are 2000::/3: loopback, mapped, unique local, link local
    // and multicast are not.
    a & 0xe000 == 0x2000 && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_spelling() {
        for (text, written) in [
            ("hooks.example.com", "hooks.example.com:443"),
            ("Hooks.EXAMPLE.com:8443", "hooks.example.com:8443"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example:443"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("[2001:DB8:0:0::1]:8080", "[2001:db8::1]:8080"),
            ("localhost", "localhost:443"),
        ] {
            assert_eq!(Endpoint::parse(true, text).unwrap().to_string(), written);
        }
        for text in [
            "",
            ":80",
            "a..b",
            "example.com.",
            "a b",
            "bücher.example",
            "user@example.com",
            "user:word@example.com",
            "example.com:",
            "example.com:0",
            "example.com:65536",
            "example.com:+80",
            "example.com:80:80",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "127.1",
            "0177.0.0.1",
            "127.0.0.01",
            "127.0.0.1.",
            "1.2.3.4.5",
            "[::1",
            "[::1]x",
            "[fe80::1%eth0]",
            "[::ffff:127.0.0.1]",
            "[127.0.0.1]",
            "::1",
            "-a.example",
            "a\\b",
            "a%2eb",
            "a/b",
            "a#b",
            "a?b",
            "ex\u{3002}com",
            "\u{ff11}.example",
        ] {
            assert!(Endpoint::parse(false, text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_stands_for_public_addresses_alone() {
        let name = Host::Name("hooks.example.com".to_owned());
        for address in ["93.184.215.14", "8.8.8.8", "2606:2800:21f::1", "64:ff9b::808:808"] {
            assert!(name.may_be_at(address.parse().unwrap()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
        ] {
            assert!(!name.may_be_at(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn localhost_is_this_machine_and_a_written_address_is_itself() {
        let localhost = Host::Name("localhost".to_owned());
        assert!(localhost.may_be_at("127.0.0.1".parse().unwrap()));
        assert!(localhost.may_be_at("::1".parse().unwrap()));
        assert!(!localhost.may_be_at("10.0.0.1".parse().unwrap()));
        assert!(!Host::Name("a.localhost".to_owned()).may_be_at("127.0.0.1".parse().unwrap()));
        let written = Endpoint::parse(false, "10.0.0.1").unwrap().host;
        assert!(written.may_be_at("10.0.0.1".parse().unwrap()));
        assert!(!written.may_be_at("10.0.0.2".parse().unwrap()));
    }
}

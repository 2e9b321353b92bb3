//! Which addresses are the public internet. Whatever is not known to be public is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A host that may be reached although its address is not public: a name, an address, or a range `10.0.0.0/8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed(Entry);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Name(String),
    Range { base: IpAddr, bits: u8 },
}

/// The text names no host and no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a host to allow: expected a name, an address, or a range such as 10.0.0.0/8")]
pub struct InvalidAllowed {
    text: String,
}

impl FromStr for Allowed {
    type Err = InvalidAllowed;

    fn from_str(text: &str) -> Result<Self, InvalidAllowed> {
        let invalid = || InvalidAllowed { text: text.chars().take(120).collect() };
        if let Some((base, bits)) = text.split_once('/') {
            let base: IpAddr = base.parse().map_err(|_| invalid())?;
            let bits: u8 = bits.parse().map_err(|_| invalid())?;
            let longest = if base.is_ipv4() { 32 } else { 128 };
            return if bits <= longest { Ok(Self(Entry::Range { base, bits })) } else { Err(invalid()) };
        }
        if let Ok(base) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self(Entry::Range { base, bits: if base.is_ipv4() { 32 } else { 128 } }));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
        if text.is_empty() || text.len() > 253 || !text.bytes().all(plain) {
            return Err(invalid());
        }
        Ok(Self(Entry::Name(text.trim_end_matches('.').to_ascii_lowercase())))
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Entry::Name(name) => f.write_str(name),
            Entry::Range { base, bits } => write!(f, "{base}/{bits}"),
        }
    }
}

impl Allowed {
    fn names(&self, host: &str) -> bool {
        matches!(&self.0, Entry::Name(name) if *name == host.trim_end_matches('.').to_ascii_lowercase())
    }

    fn holds(&self, address: IpAddr) -> bool {
        match (&self.0, address) {
            (Entry::Range { base: IpAddr::V4(base), bits }, IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                u32::from(*base) & mask == u32::from(address) & mask
            }
            (Entry::Range { base: IpAddr::V6(base), bits }, IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
                u128::from(*base) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    }
}

/// Says why an address of a host is out of bounds; nothing if it may be reached.
pub(crate) fn refusal(host: &str, address: IpAddr, allowed: &[Allowed]) -> Option<&'static str> {
    if allowed.iter().any(|it| it.names(host) || it.holds(address)) {
        return None;
    }
    match address {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("this machine"),
        [127, ..] => Some("this machine"),
        [169, 254, ..] => Some("the local link, where machines keep their metadata"),
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => Some("a private network"),
        [100, 64..=127, ..] => Some("a network behind a carrier"),
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] | [198, 18..=19, ..] => {
            Some("reserved")
        }
        [224..=239, ..] => Some("a group of machines"),
        [240..=255, ..] => Some("reserved"),
        _ => None,
    }
}

fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
    // Addresses that carry one of version 4 are what they carry.
    if let Some(inner) = address.to_ipv4_mapped() {
        return refusal_v4(inner);
    }
    let [a, b, c, d, e, f, g, h] = address.segments();
    let low = Ipv4Addr::from((u32::from(g) << 16) | u32::from(h));
    if (a, b, c, d, e, f) == (0x64, 0xff9b, 0, 0, 0, 0) {
        return refusal_v4(low);
    }
    if (a, b, c, d, e, f) == (0, 0, 0, 0, 0, 0) {
        return Some("this machine");
    }
    if a == 0x2002 {
        return refusal_v4(Ipv4Addr::from((u32::from(b) << 16) | u32::from(c)));
    }
    match a {
        0xfe80..=0xfebf => Some("the local link, where machines keep their metadata"),
        0xfc00..=0xfdff | 0xfec0..=0xfeff => Some("a private network"),
        0xff00.. => Some("a group of machines"),
        0x2001 if b < 0x200 || b == 0xdb8 => Some("reserved"),
        0x3fff if b < 0x1000 => Some("reserved"),
        0x2000..=0x3fff => None,
        _ => Some("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(address: &str) -> Option<&'static str> {
        refusal("host", address.parse().unwrap(), &[])
    }

    #[test]
    fn private_local_and_metadata_addresses_are_refused_in_every_spelling() {
        for bad in [
            "0.0.0.0",
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001::1",
            "2001:db8::1",
            "fe80::1",
            "fd00:ec2::254",
            "fec0::1",
            "ff02::1",
            "100::1",
            "4000::1",
        ] {
            assert!(verdict(bad).is_some(), "{bad} was let through");
        }
        for good in ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700:4700::1111", "64:ff9b::101:101"] {
            assert_eq!(verdict(good), None, "{good} was refused");
        }
    }

    #[test]
    fn what_is_allowed_is_exactly_that() {
        let allowed: Vec<Allowed> = ["10.1.0.0/16", "hooks.lan", "::1"].iter().map(|it| it.parse().unwrap()).collect();
        let ask = |host: &str, address: &str| refusal(host, address.parse().unwrap(), &allowed);
        assert_eq!(ask("x", "10.1.2.3"), None);
        assert!(ask("x", "10.2.0.1").is_some());
        assert_eq!(ask("Hooks.LAN.", "192.168.0.1"), None);
        assert!(ask("hooks.lan.evil", "192.168.0.1").is_some());
        assert_eq!(ask("x", "::1"), None);
        for bad in ["", "10.0.0.0/33", "a b", "http://x", "x/y"] {
            assert!(bad.parse::<Allowed>().is_err(), "{bad}");
        }
        assert_eq!("0.0.0.0/0".parse::<Allowed>().map(|it| it.holds("8.8.8.8".parse().unwrap())), Ok(true));
    }
}

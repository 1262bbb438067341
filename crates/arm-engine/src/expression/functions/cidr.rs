//! IPv4 address blocks.

use std::net::Ipv4Addr;

use serde_json::json;

use super::Call;
use crate::cidr::Block;
use crate::expression::{Evaluated, ExpressionError};

pub(super) fn call(name: &str, call: &Call<'_>) -> Option<Evaluated> {
    Some(match name {
        "parsecidr" => parse(call),
        "cidrsubnet" => subnet(call),
        "cidrhost" => host(call),
        _ => return None,
    })
}

fn block(call: &Call<'_>) -> Result<Block, ExpressionError> {
    let text = call.text(0)?;
    Block::parse(text).map_or_else(|| call.fail(format!("was given '{text}', which is no IPv4 CIDR block")), Ok)
}

fn parse(call: &Call<'_>) -> Evaluated {
    let block = block(call)?;
    let (first, last) = (block.first(), block.last());
    let usable = if block.prefix() >= 31 { (first, last) } else { (first + 1, last - 1) };
    Ok(json!({
        "network": Ipv4Addr::from(first).to_string(),
        "netmask": Ipv4Addr::from(block.mask()).to_string(),
        "broadcast": Ipv4Addr::from(last).to_string(),
        "firstUsable": Ipv4Addr::from(usable.0).to_string(),
        "lastUsable": Ipv4Addr::from(usable.1).to_string(),
        "cidr": block.prefix(),
    }))
}

fn subnet(call: &Call<'_>) -> Evaluated {
    let outer = block(call)?;
    let (prefix, index) = (call.integer(1)?, call.integer(2)?);
    if !(i64::from(outer.prefix())..=32).contains(&prefix) {
        return call.fail(format!("expects a prefix between {} and 32", outer.prefix()));
    }
    let size = 1i64 << (32 - prefix);
    let first = index.checked_mul(size).and_then(|offset| offset.checked_add(i64::from(outer.first())));
    match first {
        Some(first) if index >= 0 && first <= i64::from(outer.last()) => {
            Ok(format!("{}/{prefix}", Ipv4Addr::from(first as u32)).into())
        }
        _ => call.fail(format!("has no subnet number {index} of that size in the block")),
    }
}

fn host(call: &Call<'_>) -> Evaluated {
    let block = block(call)?;
    let index = call.integer(1)?;
    let address = index.checked_add(i64::from(block.first()) + i64::from(block.prefix() < 31));
    match address {
        Some(address) if index >= 0 && address <= i64::from(block.last()) => {
            Ok(Ipv4Addr::from(address as u32).to_string().into())
        }
        _ => call.fail(format!("has no host number {index} in the block")),
    }
}

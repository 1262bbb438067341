//! The change in monthly cost that a preview shows: what is deployed against what is declared, each with every pool at its
//! minimum and at its maximum.

use std::collections::BTreeMap;

use arm_model::resources::{FlexibleServer, ManagedCluster, PrivateDnsZone, VirtualNetworkPeering};
use arm_model::{Resource, Template, Typed};
use platform::Platform;
use price::{Bill, Span, Stack};
use serde_json::{Value, json};
use units::Money;

use super::Known;
use crate::args::StackName;
use crate::commands::cost::Bounds;
use crate::error::{CliError, Result};
use crate::planned;
use crate::pricing::{Prices, amount};
use crate::session::Session;

pub struct Change {
    currency: String,
    prices: String,
    region: String,
    /// By stack, of those that were asked for: before and after.
    stacks: BTreeMap<Stack, (Span, Span)>,
}

/// # Errors
/// When something deployed or declared has no price, or cannot be read.
pub async fn change(session: &Session, known: &Known, selection: &[StackName]) -> Result<Change> {
    let prices = Prices::load(None)?;
    let declared = planned::plan(&session.project, &session.environment, &[])?.platform;
    let deployed = deployed(session, known).await?;
    // Locally nothing is billed; the figures are what the same platform costs in the region that the files name.
    let before = Bounds::new(&deployed, &prices, Some(&declared.cluster.location))?;
    let after = Bounds::new(&declared, &prices, None)?;
    let stacks = selection.iter().map(|stack| {
        let stack = billed(*stack);
        (stack, (of(&before, stack), of(&after, stack)))
    });
    Ok(Change {
        currency: prices.sheet.currency.clone(),
        prices: prices.origin,
        region: after.floor.region.clone(),
        stacks: stacks.collect(),
    })
}

fn billed(stack: StackName) -> Stack {
    match stack {
        StackName::Base => Stack::Base,
        StackName::Db => Stack::Db,
        StackName::Deploy => Stack::Deploy,
    }
}

fn of(bounds: &Bounds, stack: Stack) -> Span {
    let sum = |bill: &Bill| bill.by_stack().get(&stack).copied().unwrap_or_default();
    (sum(&bounds.floor), sum(&bounds.ceiling))
}

/// The platform's view of what ARM and the cluster have now.
pub async fn deployed(session: &Session, known: &Known) -> Result<Platform> {
    let ids: Vec<&String> = [&known.base, &known.db].into_iter().flatten().flat_map(|live| &live.resources).collect();
    let (resources, services) = futures::future::try_join(
        futures::future::try_join_all(ids.iter().map(|id| read(session, id))),
        services(session, known),
    )
    .await?;
    let template = ids
        .iter()
        .zip(resources)
        .filter_map(|(id, resource)| Some((id, resource?)))
        .fold(Template::for_group(), |template, (id, resource)| template.resource(id, resource));
    Ok(Platform::new(&[&template], &services.iter().collect::<Vec<_>>()))
}

/// The cluster's Services; none before there is one.
async fn services(session: &Session, known: &Known) -> Result<Vec<Value>> {
    let Some(outputs) = known.base_outputs().filter(|_| known.db.is_some()) else { return Ok(Vec::new()) };
    let list = session.cluster(&outputs.cluster_id).await?.get("/api/v1/services").await?.unwrap_or_default();
    let mut services = list["items"].as_array().cloned().unwrap_or_default();
    for service in &mut services {
        // Items of a list carry no kind of their own.
        service["kind"] = json!("Service");
    }
    Ok(services)
}

/// A resource of the types that cost something.
async fn read(session: &Session, id: &str) -> Result<Option<Resource>> {
    async fn typed<T: Typed>(session: &Session, id: &str) -> Result<Option<Resource>> {
        let Some(body) = session.arm.find(id, T::API_VERSION).await? else { return Ok(None) };
        let body: T = serde_json::from_value(body)
            .map_err(|error| CliError::failed(format!("{id} has a shape that is not known here: {error}")))?;
        Ok(Some(Resource::new(id.rsplit('/').next().unwrap_or_default(), &body)))
    }
    let Some((_, path)) = id.rsplit_once("/providers/") else { return Ok(None) };
    // `Microsoft.Network/virtualNetworks/marea/virtualNetworkPeerings/db`: a type's words and its names take turns.
    let words: Vec<&str> = path.split('/').collect();
    let kind = words.iter().take(1).chain(words.iter().skip(1).step_by(2)).copied().collect::<Vec<_>>().join("/");
    let is = |wanted: &str| kind.eq_ignore_ascii_case(wanted);
    match () {
        () if is(ManagedCluster::TYPE) => typed::<ManagedCluster>(session, id).await,
        () if is(FlexibleServer::TYPE) => typed::<FlexibleServer>(session, id).await,
        () if is(PrivateDnsZone::TYPE) => typed::<PrivateDnsZone>(session, id).await,
        () if is(VirtualNetworkPeering::TYPE) => typed::<VirtualNetworkPeering>(session, id).await,
        () => Ok(None),
    }
}

impl Change {
    fn sum(&self, side: impl Fn(&(Span, Span)) -> Span) -> Span {
        self.stacks.values().map(side).fold((Money::ZERO, Money::ZERO), |sum, span| (sum.0 + span.0, sum.1 + span.1))
    }

    fn difference(before: Span, after: Span) -> Span {
        (after.0 - before.0, after.1 - before.1)
    }

    /// `Monthly cost: $192.37 to $492.84, +$12.00 to +$12.00 (base +12.00 to +12.00)`
    pub fn text(&self) -> String {
        let (before, after) = (self.sum(|spans| spans.0), self.sum(|spans| spans.1));
        let whole = format!(
            "Monthly cost in {}: {} to {}",
            self.region,
            amount(after.0, &self.currency),
            amount(after.1, &self.currency)
        );
        let signed = |(low, high): Span| if low == high { format!("{low:+}") } else { format!("{low:+} to {high:+}") };
        let total = Change::difference(before, after);
        if self.stacks.values().all(|(before, after)| before == after) {
            return format!("{whole}, unchanged");
        }
        let parts = self.stacks.iter().filter(|(_, (before, after))| before != after);
        let parts: Vec<String> = parts
            .map(|(stack, (before, after))| format!("{} {}", stack.name(), signed(Change::difference(*before, *after))))
            .collect();
        format!("{whole}, a change of {} ({})", signed(total), parts.join(", "))
    }

    pub fn json(&self) -> Value {
        let sides = |(before, after): (Span, Span)| json!({"before": before, "after": after, "difference": Change::difference(before, after)});
        let stacks: BTreeMap<&str, Value> =
            self.stacks.iter().map(|(stack, spans)| (stack.name(), sides(*spans))).collect();
        let mut whole = sides((self.sum(|spans| spans.0), self.sum(|spans| spans.1)));
        whole["currency"] = json!(self.currency);
        whole["region"] = json!(self.region);
        whole["prices"] = json!(self.prices);
        whole["stacks"] = json!(stacks);
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: Span, after: Span, expected: &str) {
        let change = Change {
            currency: "USD".into(),
            prices: "a sheet".into(),
            region: "eastus".into(),
            stacks: [
                (Stack::Base, (before, after)),
                (Stack::Db, ((Money::ZERO, Money::ZERO), (Money::ZERO, Money::ZERO))),
            ]
            .into(),
        };
        assert_eq!(change.text(), expected);
    }

    #[test]
    fn a_change_is_told_with_its_sign() {
        let dollars = |low: i64, high: i64| (Money::from_cents(low * 100), Money::from_cents(high * 100));
        check(
            dollars(0, 0),
            dollars(172, 472),
            "Monthly cost in eastus: $172.00 to $472.00, a change of +172.00 to +472.00 (base +172.00 to +472.00)",
        );
        check(
            dollars(172, 472),
            dollars(169, 469),
            "Monthly cost in eastus: $169.00 to $469.00, a change of -3.00 (base -3.00)",
        );
        check(dollars(172, 472), dollars(172, 472), "Monthly cost in eastus: $172.00 to $472.00, unchanged");
    }
}

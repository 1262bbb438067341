//! From objects to packet rules: a pure function from what the cluster and Azure say to one nftables ruleset.
//!
//! The order in which a new connection is judged is that of the real thing: the sending pod's network policies, the
//! security group of the subnet it leaves, that of the subnet it enters, and the receiving pod's policies. What is refused
//! is answered, so that a blocked connection fails at once. Connections that exist go on.

mod cidr;
mod nft;
mod policies;
mod security;
mod services;
mod view;

#[cfg(test)]
mod tests;

pub use cidr::Cidr;
pub use security::{Access, Direction, PortRange, Protocol, SecurityRule, Subnet};
pub use services::ServicePort;
pub use view::{NodeNet, PodNet, View};

use nft::{Chain, Hook, Ruleset, jump, returns};

/// The document for nftables' JSON interface that replaces all rules.
pub fn compile(view: &View) -> String {
    ruleset(view).to_json()
}

fn ruleset(view: &View) -> Ruleset {
    let mut rules = Ruleset::default();
    services::compile(view, &mut rules);
    let policies = policies::compile(view, &mut rules);
    security::compile(view, &mut rules);
    let mut refuse = Chain::new("refuse", None);
    refuse.rule(vec![nft::is_tcp(), nft::reject_with_reset()]);
    refuse.rule(vec![nft::reject()]);
    rules.chains.push(refuse);

    let cut = security::cut_off(view);
    // A pod that the rules do not know yet is let nowhere: it may be one that policies are to stop.
    let pods = Cidr::new(crate::plan::PODS.0, crate::plan::PODS.1);
    let mut known: Vec<Cidr> = view.pods.iter().filter_map(|pod| pod.address).map(Cidr::host).collect();
    // So that the set is never empty: the range's first address is no pod's.
    known.push(Cidr::host(pods.address()));
    for hook in [Hook::Forward, Hook::Input] {
        let mut chain = Chain::new(if hook == Hook::Forward { "forward" } else { "input" }, Some(hook));
        for inside in &cut {
            chain.rule(vec![nft::source(inside, false), nft::destination(inside, true), nft::drop()]);
            chain.rule(vec![nft::source(inside, true), nft::destination(inside, false), nft::drop()]);
        }
        chain.rule(vec![nft::is_established(), nft::accept()]);
        chain.rule(vec![nft::source(&[pods], false), nft::source(&known, true), nft::goto("refuse")]);
        chain.rule(vec![nft::destination(&[pods], false), nft::destination(&known, true), nft::goto("refuse")]);
        chain.rules.extend(policies.egress.clone());
        chain.rule(vec![jump("security")]);
        chain.rules.extend(policies.ingress.clone());
        rules.chains.push(chain);
    }
    // The router's own connections are the kubelet's, which no policy stops, but for those of the load balancer's clients.
    let mut output = Chain::new("output", Some(Hook::Output));
    let internet = || nft::source(&[Cidr::host(crate::plan::INTERNET)], false);
    for inside in &cut {
        output.rule(vec![internet(), nft::destination(inside, false), nft::drop()]);
    }
    output.rule(vec![nft::is_established(), nft::accept()]);
    output.rule(vec![internet(), jump("from-the-internet")]);
    rules.chains.push(output);
    let mut public = Chain::new("from-the-internet", None);
    public.rules.extend(policies.ingress);
    public.rule(vec![returns()]);
    rules.chains.push(public);
    rules
}

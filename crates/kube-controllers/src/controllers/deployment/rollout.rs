//! The arithmetic of a rollout: how far up, how far down (upstream pkg/controller/deployment/util/deployment_util.go).

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::controllers::replicaset;
use crate::error::Error;
use crate::objects::Meta;
use crate::pods;

pub(super) const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

pub(super) fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

pub(super) fn is_recreate(deployment: &Deployment) -> bool {
    deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref()).and_then(|strategy| strategy.type_.as_deref())
        == Some("Recreate")
}

/// How many pods beyond the wanted ones, and how many fewer available ones, a rollout may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fenceposts {
    pub surge: i32,
    pub unavailable: i32,
}

pub(super) fn fenceposts(deployment: &Deployment) -> Result<Fenceposts, Error> {
    let wanted = wanted(deployment);
    if is_recreate(deployment) || wanted == 0 {
        return Ok(Fenceposts { surge: surge_of_nothing(deployment)?, unavailable: 0 });
    }
    let (surge, unavailable) = parameters(deployment);
    let surge = pods::scaled(&surge, wanted, true).map_err(Error::Invalid)?;
    let unavailable = pods::scaled(&unavailable, wanted, false).map_err(Error::Invalid)?;
    // Percentages of few replicas may both round to zero, with which nothing could ever move.
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable.min(wanted) };
    Ok(Fenceposts { surge, unavailable })
}

/// An absolute surge stands even where no replica is wanted.
fn surge_of_nothing(deployment: &Deployment) -> Result<i32, Error> {
    if is_recreate(deployment) {
        return Ok(0);
    }
    pods::scaled(&parameters(deployment).0, 0, true).map_err(Error::Invalid)
}

fn parameters(deployment: &Deployment) -> (IntOrString, IntOrString) {
    let quarter = || IntOrString::String("25%".to_owned());
    let rolling = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.strategy.as_ref())
        .and_then(|strategy| strategy.rolling_update.as_ref());
    let surge = rolling.and_then(|rolling| rolling.max_surge.clone()).unwrap_or_else(quarter);
    let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.clone()).unwrap_or_else(quarter);
    (surge, unavailable)
}

pub(super) fn total<'a>(sets: impl IntoIterator<Item = &'a ReplicaSet>) -> i32 {
    sets.into_iter().map(replicaset::replicas).sum()
}

pub(super) fn available<'a>(sets: impl IntoIterator<Item = &'a ReplicaSet>) -> i32 {
    sets.into_iter().map(available_of).sum()
}

pub(super) fn available_of(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

/// The size of the new replica set when `now_total` replicas exist in all sets together.
pub(super) fn new_size(deployment: &Deployment, now_total: i32, now_new: i32) -> Result<i32, Error> {
    let wanted = wanted(deployment);
    if is_recreate(deployment) {
        return Ok(wanted);
    }
    let most = wanted + fenceposts(deployment)?.surge;
    if now_total >= most {
        return Ok(now_new);
    }
    Ok(now_new + (most - now_total).min(wanted - now_new))
}

/// The share of one replica set in a change of the whole by `to_add`, of which `added` is given out already.
pub(super) fn proportion(set: &ReplicaSet, deployment: &Deployment, to_add: i32, added: i32) -> Result<i32, Error> {
    let size = replicaset::replicas(set);
    if size == 0 || to_add == 0 || to_add == added {
        return Ok(0);
    }
    let fraction = fraction(set, deployment)?;
    let allowed = to_add - added;
    Ok(if to_add > 0 { fraction.min(allowed) } else { fraction.max(allowed) })
}

fn fraction(set: &ReplicaSet, deployment: &Deployment) -> Result<i32, Error> {
    let size = replicaset::replicas(set);
    if wanted(deployment) == 0 {
        return Ok(-size);
    }
    let most = wanted(deployment) + fenceposts(deployment)?.surge;
    let status = deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0);
    let before = annotation(set, MAX_REPLICAS).filter(|before| *before != 0).unwrap_or(status);
    if before == 0 {
        return Ok(0);
    }
    let exact = f64::from(size) * f64::from(most) / f64::from(before);
    // Half away from zero, as Go's `integer.RoundToInt32`.
    Ok(exact.round() as i32 - size)
}

pub(super) fn annotation(set: &ReplicaSet, name: &str) -> Option<i32> {
    set.annotations().get(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};

    use super::*;

    fn deployment(replicas: i32, surge: &str, unavailable: &str) -> Deployment {
        let value = |text: &str| text.parse().map_or_else(|_| IntOrString::String(text.to_owned()), IntOrString::Int);
        Deployment {
            spec: Some(DeploymentSpec {
                replicas: Some(replicas),
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".into()),
                    rolling_update: Some(RollingUpdateDeployment {
                        max_surge: Some(value(surge)),
                        max_unavailable: Some(value(unavailable)),
                    }),
                }),
                ..DeploymentSpec::default()
            }),
            ..Deployment::default()
        }
    }

    fn check_posts(replicas: i32, surge: &str, unavailable: &str, expected: (i32, i32)) {
        let posts = fenceposts(&deployment(replicas, surge, unavailable)).unwrap();
        assert_eq!((posts.surge, posts.unavailable), expected, "{replicas} {surge} {unavailable}");
    }

    #[test]
    fn fenceposts_round_as_upstream() {
        check_posts(2, "25%", "25%", (1, 0));
        check_posts(10, "25%", "25%", (3, 2));
        check_posts(1, "0%", "25%", (0, 1));
        check_posts(3, "0", "5", (0, 3));
        check_posts(0, "2", "1", (2, 0));
    }

    fn check_size(replicas: i32, now_total: i32, now_new: i32, expected: i32) {
        assert_eq!(new_size(&deployment(replicas, "25%", "25%"), now_total, now_new).unwrap(), expected);
    }

    #[test]
    fn the_new_set_grows_into_the_surge_and_no_further() {
        check_size(2, 2, 0, 1);
        check_size(2, 3, 1, 1);
        check_size(2, 2, 1, 2);
        check_size(10, 10, 0, 3);
        check_size(10, 0, 0, 10);
    }
}

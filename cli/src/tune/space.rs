//! What may be changed, and to what.

use platform::{Platform, Size};
use serde_json::{Value, json};
use units::Quantity;

use crate::planned::{Override, Place, Setting, Settings};

/// One setting with the values that are tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension {
    pub path: String,
    pub values: Vec<Value>,
    /// Index of the value that the files have.
    pub current: usize,
    /// Neighbouring values are alike, so that a step goes to a neighbour and not to any value.
    pub ordered: bool,
}

/// An index of a value for each dimension.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate(pub Vec<usize>);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Space {
    pub dimensions: Vec<Dimension>,
}

impl Space {
    /// Targets, bounds, behaviour and requests of every autoscaled workload, bounds and sizes of the pools that carry them,
    /// the database's size.
    pub fn new(settings: &Settings, platform: &Platform) -> Space {
        let dimensions = settings.all().iter().filter_map(|setting| dimension(setting, settings, platform));
        Space { dimensions: dimensions.filter(|dimension| dimension.values.len() > 1).collect() }
    }

    /// The files as they are.
    pub fn current(&self) -> Candidate {
        Candidate(self.dimensions.iter().map(|dimension| dimension.current).collect())
    }

    /// What a candidate changes.
    pub fn overrides(&self, candidate: &Candidate) -> Vec<Override> {
        let pairs = self.dimensions.iter().zip(&candidate.0);
        pairs
            .filter(|(dimension, index)| **index != dimension.current)
            .map(|(dimension, index)| Override {
                path: dimension.path.clone(),
                value: dimension.values[*index].clone(),
            })
            .collect()
    }

    /// Candidates that differ in one setting: by one or two steps where values are ordered, in any value otherwise.
    pub fn neighbours(&self, from: &Candidate) -> Vec<Candidate> {
        let mut all = Vec::new();
        for (at, dimension) in self.dimensions.iter().enumerate() {
            let here = from.0[at];
            let near = |index: &usize| !dimension.ordered || here.abs_diff(*index) <= 2;
            for index in (0..dimension.values.len()).filter(near).filter(|index| *index != here) {
                let mut next = from.clone();
                next.0[at] = index;
                all.push(next);
            }
        }
        all
    }
}

fn dimension(setting: &Setting, settings: &Settings, platform: &Platform) -> Option<Dimension> {
    let path = setting.path.as_str();
    let keys: Vec<&str> = path.split('.').collect();
    match keys.as_slice() {
        ["deploy", _, "replicas", "targets", "cpu"] => ordered(setting, &[30, 40, 50, 60, 70, 80, 90]),
        ["deploy", _, "replicas", "min"] => ordered(setting, &[1, 2, 3, 4, 6, 8]),
        ["deploy", _, "replicas", "max"] => ordered(setting, &[2, 3, 4, 5, 6, 8, 10, 12, 15, 20]),
        ["deploy", workload, "replicas", "behavior", "scaleDown", "stabilizationWindowSeconds"] => {
            // Without the setting it is upstream's default.
            let known = Setting {
                value: Some(setting.value.clone().filter(|v| !v.is_null()).unwrap_or(json!(300))),
                ..setting.clone()
            };
            is_autoscaled(platform, workload).then(|| ordered(&known, &[60, 120, 300, 600]))?
        }
        ["base", "nodePools", pool, bound @ ("min" | "max")] if !is_system(platform, pool) => {
            ordered(setting, if *bound == "min" { &[1, 2, 3, 4] } else { &[1, 2, 3, 4, 5, 6, 8] })
        }
        ["base", "nodePools", _, "vmSize"] => sizes(setting),
        ["db", "size"] => unordered(setting, &["Standard_B1ms", "Standard_B2s"]),
        [workload, "requests", "cpu"] if is_autoscaled(platform, workload) => requests(setting, workload, settings),
        _ => None,
    }
}

fn is_autoscaled(platform: &Platform, workload: &str) -> bool {
    platform.hpas.iter().any(|hpa| hpa.target == workload)
}

fn is_system(platform: &Platform, pool: &str) -> bool {
    platform.pool(pool).is_none_or(|pool| pool.system)
}

fn ordered(setting: &Setting, values: &[i64]) -> Option<Dimension> {
    let present = setting.value.as_ref()?.as_i64()?;
    let mut values = values.to_vec();
    values.push(present);
    values.sort_unstable();
    values.dedup();
    let current = values.binary_search(&present).ok()?;
    Some(Dimension {
        path: setting.path.clone(),
        values: values.into_iter().map(Value::from).collect(),
        current,
        ordered: true,
    })
}

fn unordered(setting: &Setting, values: &[&str]) -> Option<Dimension> {
    let present = setting.value.as_ref()?.as_str()?;
    let mut values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    if !values.iter().any(|value| value == present) {
        values.push(present.to_owned());
    }
    let current = values.iter().position(|value| value == present)?;
    Some(Dimension {
        path: setting.path.clone(),
        values: values.into_iter().map(Value::from).collect(),
        current,
        ordered: false,
    })
}

/// Machines with the present one's architecture and at least its memory: what runs there today must still fit.
fn sizes(setting: &Setting) -> Option<Dimension> {
    let present = Size::find(setting.value.as_ref()?.as_str()?)?;
    let fits = |size: &&Size| {
        size.architecture == present.architecture && size.memory_mib >= present.memory_mib && size.retires.is_none()
    };
    let names: Vec<&str> = Size::all().iter().filter(fits).map(|size| size.name).collect();
    unordered(setting, &names)
}

/// Shares of the present request, in steps of 10 m, not above the limit.
fn requests(setting: &Setting, workload: &str, settings: &Settings) -> Option<Dimension> {
    if !matches!(setting.place, Place::Manifest { .. }) {
        return None;
    }
    let millicores = |value: &Value| Some(value.as_str()?.parse::<Quantity>().ok()?.millicores().0);
    let present = millicores(setting.value.as_ref()?)?;
    let limit = settings.find(&format!("{workload}.limits.cpu")).ok().and_then(|setting| millicores(&setting.value?));
    let mut values: Vec<i64> = [50, 75, 100, 125, 150, 200]
        .into_iter()
        .map(|percent| if percent == 100 { present } else { present * percent / 1000 * 10 })
        .filter(|value| *value > 0 && limit.is_none_or(|limit| *value <= limit.max(present)))
        .collect();
    values.sort_unstable();
    values.dedup();
    let current = values.iter().position(|value| *value == present)?;
    let values = values.into_iter().enumerate().map(|(index, value)| match &setting.value {
        // As the manifest writes it, so that "unchanged" is unchanged.
        Some(text) if index == current => text.clone(),
        _ => json!(format!("{value}m")),
    });
    Some(Dimension { path: setting.path.clone(), values: values.collect(), current, ordered: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planned::Sources;
    use crate::project::Project;

    fn space() -> Space {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let sources = Sources::read(&Project { root, here: None }, "production").unwrap();
        let planned = sources.plan(&[]).unwrap();
        Space::new(sources.settings(), &planned.platform)
    }

    fn check(space: &Space, path: &str, current: &Value) {
        let dimension = space.dimensions.iter().find(|dimension| dimension.path == path).expect(path);
        assert_eq!(&dimension.values[dimension.current], current, "{path}");
    }

    #[test]
    fn the_platforms_own_values_are_where_the_search_starts() {
        let space = space();
        check(&space, "deploy.backend.replicas.targets.cpu", &json!(70));
        check(&space, "deploy.backend.replicas.min", &json!(2));
        check(&space, "deploy.backend.replicas.max", &json!(10));
        check(&space, "base.nodePools.backend.vmSize", &json!("Standard_B2s"));
        check(&space, "base.nodePools.frontend.max", &json!(3));
        check(&space, "db.size", &json!("Standard_B1ms"));
        assert!(space.overrides(&space.current()).is_empty());
        assert!(space.dimensions.iter().any(|dimension| dimension.path == "backend.requests.cpu"));
    }

    #[test]
    fn a_neighbour_differs_in_one_setting() {
        let space = space();
        let start = space.current();
        let neighbours = space.neighbours(&start);
        assert!(neighbours.len() > 20);
        for neighbour in neighbours {
            assert_eq!(space.overrides(&neighbour).len(), 1);
        }
    }
}

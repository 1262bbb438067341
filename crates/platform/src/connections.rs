//! How many connections each replica may hold.

/// A server size whose limits are not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownServerSize(pub String);

impl std::fmt::Display for UnknownServerSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the connection limit of server size `{}` is not known; set `userConnections`", self.0)
    }
}

impl std::error::Error for UnknownServerSize {}

/// Connections that a server size leaves to users: `max_connections` less the 15 that Azure keeps for itself
/// (Azure: "Limits in Azure Database for PostgreSQL flexible server").
///
/// # Errors
/// When the size is not in the table.
pub fn user_connections(size: &str) -> Result<u32, UnknownServerSize> {
    let limit = match size {
        "Standard_B1ms" => 35,
        "Standard_B2s" => 414,
        "Standard_B2ms" | "Standard_D2s_v3" | "Standard_D2ds_v4" | "Standard_D2ds_v5" | "Standard_D2ads_v5" => 844,
        "Standard_B4ms" | "Standard_D4s_v3" | "Standard_D4ds_v4" | "Standard_D4ds_v5" | "Standard_D4ads_v5" => 1703,
        _ => return Err(UnknownServerSize(size.to_owned())),
    };
    Ok(limit)
}

/// Kept free for people and migrations.
const RESERVED: u32 = 5;

/// `⌊(user connections − 5) / (maximum replicas + surge)⌋`: during a rollout at the maximum the surplus pods hold
/// pools too. `None` when not even one connection each is left.
pub fn connection_pool_size(user_connections: u32, max_replicas: u32, surge: u32) -> Option<u32> {
    let size = user_connections.saturating_sub(RESERVED).checked_div(max_replicas + surge)?;
    (size > 0).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(size: &str, max_replicas: u32, surge: u32, expected: Option<u32>) {
        assert_eq!(
            connection_pool_size(user_connections(size).unwrap(), max_replicas, surge),
            expected,
            "{size} {max_replicas}+{surge}"
        );
    }

    #[test]
    fn pools_fit_in_the_middle_of_a_rollout() {
        check("Standard_B1ms", 10, 1, Some(2));
        check("Standard_B1ms", 29, 1, Some(1));
        check("Standard_B1ms", 30, 1, None);
        check("Standard_B2s", 10, 1, Some(37));
        assert_eq!(connection_pool_size(35, 0, 0), None);
        assert!(user_connections("Standard_X").is_err());
    }
}

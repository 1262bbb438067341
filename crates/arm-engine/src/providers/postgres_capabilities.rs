//! What flexible servers can be made as: the document that `az postgres flexible-server` reads before it creates one.

use serde_json::{Value, json};

use super::postgres::STORAGE;

/// Name, tier, vCores, MiB a vCore, IOPS.
const SIZES: [(&str, &str, u32, u32, u32); 8] = [
    ("Standard_B1ms", "Burstable", 1, 2048, 640),
    ("Standard_B2s", "Burstable", 2, 2048, 1280),
    ("Standard_B2ms", "Burstable", 2, 4096, 1920),
    ("Standard_D2s_v3", "GeneralPurpose", 2, 4096, 3200),
    ("Standard_D2ds_v5", "GeneralPurpose", 2, 4096, 3750),
    ("Standard_D4ds_v5", "GeneralPurpose", 4, 4096, 6400),
    ("Standard_E2ds_v5", "MemoryOptimized", 2, 8192, 3750),
    ("Standard_E4ds_v5", "MemoryOptimized", 4, 8192, 6400),
];

/// `OfferRestricted` must be there: Azure's CLI takes its absence for a region without servers.
const FEATURES: [(&str, &str); 6] = [
    ("OfferRestricted", "Disabled"),
    ("ZoneRedundantHa", "Disabled"),
    ("GeoBackup", "Disabled"),
    ("OnlineResize", "Enabled"),
    ("StorageAutoGrowth", "Enabled"),
    ("IndexTuning", "Disabled"),
];

const VERSIONS: [&str; 6] = ["18", "17", "16", "15", "14", "13"];

pub(crate) fn postgres_capabilities() -> Value {
    let storage: Vec<Value> = STORAGE
        .iter()
        .map(|(gib, tier, iops)| {
            json!({
                "status": "Available", "supportedIops": iops, "supportedMaximumIops": iops, "storageSizeMb": gib * 1024,
                "maximumStorageSizeMb": gib * 1024, "defaultIopsTier": tier,
                "supportedIopsTiers": [{ "name": tier, "iops": iops, "status": "Available" }],
            })
        })
        .collect();
    let editions: Vec<Value> = ["Burstable", "GeneralPurpose", "MemoryOptimized"]
        .iter()
        .map(|tier| {
            let skus: Vec<Value> = SIZES
                .iter()
                .filter(|(_, of, ..)| of == tier)
                .map(|(name, _, cores, memory, iops)| {
                    json!({
                        "status": "Available", "name": name, "vCores": cores, "supportedIops": iops, "supportedMemoryPerVcoreMb": memory,
                        "supportedZones": ["1", "2", "3"], "supportedHaMode": if *tier == "Burstable" { json!([]) } else { json!(["SameZone", "ZoneRedundant"]) },
                    })
                })
                .collect();
            json!({
                "status": "Default", "name": tier, "defaultSkuName": skus[0]["name"], "supportedServerSkus": skus,
                "supportedStorageEditions": [{ "status": "Default", "name": "ManagedDisk", "defaultStorageSizeMb": 32_768, "supportedStorageMb": storage }],
            })
        })
        .collect();
    let versions: Vec<Value> = VERSIONS
        .iter()
        .enumerate()
        .map(|(at, name)| json!({ "status": "Available", "name": name, "supportedVersionsToUpgrade": VERSIONS[..at] }))
        .collect();
    json!({ "value": [{
        "name": "FlexibleServerCapabilities", "status": "Available", "supportedServerEditions": editions, "supportedServerVersions": versions,
        "supportedFeatures": FEATURES.map(|(name, status)| json!({ "name": name, "status": status })), "fastProvisioningSupported": "Disabled", "supportedFastProvisioningEditions": [],
        "geoBackupSupported": "Disabled", "zoneRedundantHaSupported": "Disabled", "zoneRedundantHaAndGeoBackupSupported": "Disabled",
        "storageAutoGrowthSupported": "Enabled", "onlineResizeSupported": "Enabled", "restricted": "Disabled",
    }] })
}

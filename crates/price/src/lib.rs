//! Dated prices and the bill of any timeline, in exact integers. No I/O, no clock.
//!
//! This crate exists so that the simulator, the previews and `marea cost` bill alike, and so that nothing in a bill can depend
//! on the network, the time or the order of additions.
//!
//! A [`platform::Platform`] says what there is, a [`Consumption`] how long its nodes existed and what traffic there was. Both
//! make a [`Usage`], which [`bill`] prices:
//!
//! ```
//! use std::collections::BTreeMap;
//! use price::{Consumption, NodeTime, PriceSheet, Traffic, Usage, bill};
//! use units::Millis;
//!
//! let platform = platform::Platform::default(); // from templates and manifests: `Platform::new`
//! let day = Millis::from_secs(86_400);
//! let mut consumption = Consumption { period: day, node_time: BTreeMap::new(), traffic: Traffic::default(), backup_gib_beyond_storage: 0 };
//! for pool in &platform.pools {
//!     // One node, two from noon on; a node counts from allocation to deletion.
//!     let steps = [(Millis::ZERO, 1), (Millis::from_secs(43_200), 2)];
//!     consumption.node_time.insert(pool.name.clone(), NodeTime::of_steps(&steps, day));
//! }
//! let usage = Usage::of(&platform, &consumption).unwrap().scaled_to(price::MONTH);
//! let bill = bill(&usage, PriceSheet::committed().unwrap(), "eastus").unwrap();
//! assert_eq!(bill.total().to_string(), "0.00");
//! ```
//!
//! Prices are of pay-as-you-go Linux, without reservations, savings plans, credits and taxes. A month has Azure's 730 hours.

mod bill;
mod disk;
mod meter;
pub mod retail;
mod seed;
mod sheet;
mod unit_price;
mod usage;

pub use bill::{Bill, BillError, Line, bill};
pub use meter::{MONTH, Meter, Unit};
pub use seed::{SeedLine, SeedTable, Span};
pub use sheet::{Confidence, Entry, GLOBAL, Price, PriceError, PriceSheet, SheetError, SheetFile, Step};
pub use unit_price::UnitPrice;
pub use usage::{Consumption, Item, NodeTime, Stack, Traffic, Usage, UsageError};

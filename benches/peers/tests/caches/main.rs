//! The cache adapters of the page `flight_group::docs::caches`, compiled from the very files that the page shows, and
//! run: how often is the source asked, and who gets what?

#[path = "../../../../src/docs/caches/read_through_moka.rs"]
mod moka;
#[path = "../../../../src/docs/caches/read_through_quick_cache.rs"]
mod quick_cache;
#[path = "../../../../src/docs/caches/stale_while_refresh.rs"]
mod stale_while_refresh;

mod read_through;
mod refresh;
mod support;

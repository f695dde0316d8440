//! `GET /metrics`, in the Prometheus format; built with feature `metrics` only.

#[cfg(feature = "metrics")]
mod on {
    use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
    use std::sync::OnceLock;

    static PROMETHEUS: OnceLock<PrometheusHandle> = OnceLock::new();

    /// Before the first group is built: it takes its meters from the recorder there is.
    pub(crate) fn install() -> Result<(), String> {
        let buckets = [0.000_1, 0.001, 0.01, 0.1, 1.0, 10.0];
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &buckets)
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(|e| format!("cannot install the recorder of metrics: {e}"))?;
        drop(PROMETHEUS.set(handle));
        Ok(())
    }

    /// What a scrape gets. A program that may go unscraped for long calls `run_upkeep` from a timer as well.
    pub(crate) fn scrape() -> Option<String> {
        PROMETHEUS.get().map(PrometheusHandle::render)
    }
}

#[cfg(not(feature = "metrics"))]
mod on {
    pub(crate) fn install() -> Result<(), String> {
        Ok(())
    }

    pub(crate) fn scrape() -> Option<String> {
        None
    }
}

pub(crate) use on::{install, scrape};

/// The number of one of the group's meters in what a scrape got, whatever labels stand beside the group's name.
pub(crate) fn read(scraped: &str, meter: &str) -> Option<f64> {
    let series = format!("flight_group_{meter}{{");
    scraped.lines().find_map(|line| {
        let (labels, value) = line.strip_prefix(&series)?.rsplit_once("} ")?;
        if labels.split(',').any(|label| label == "group=\"pages\"") { value.parse().ok() } else { None }
    })
}

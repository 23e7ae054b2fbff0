//! `defaults`: what people get when they set nothing, from the chart's own values.

use crate::error::Result;
use crate::staging::Staging;
use crate::staging::chart;
use crate::values;

/// Level, key and value.
pub(crate) fn defaults(staging: &Staging) -> Result<Vec<(String, String, String)>> {
    let layout = staging.settings.layout()?;
    if !layout.defaults {
        return Ok(Vec::new());
    }
    let chart = chart::find(&staging.settings, &staging.helm, chart::LOOKING)?;
    let defaults = values::defaults(&chart.facts, &layout);
    Ok(defaults.into_iter().map(|default| (default.level.to_string(), default.key, default.value)).collect())
}

//! Figures: what they are, and how they are taken. `docs/BENCHMARKS.md` says the same in prose.

pub mod cpu;
pub mod gas;
pub mod load;
pub mod moves;
pub mod referee;
mod relay;

use serde::Serialize;

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name, stable over time.
    pub name: String,
    /// The measurement.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// The goal, in the unit, where there is one.
    pub limit: Option<f64>,
    /// Value over the figure's own baseline in the same run, or over the limit where there is none.
    pub ratio: Option<f64>,
}

impl Row {
    /// A figure with a goal of its own.
    pub fn against(name: &str, value: f64, unit: &'static str, limit: f64) -> Row {
        Row { name: name.into(), value, unit, limit: Some(limit), ratio: Some(value / limit) }
    }

    /// A figure that is only reported.
    pub fn report(name: &str, value: f64, unit: &'static str) -> Row {
        Row { name: name.into(), value, unit, limit: None, ratio: None }
    }

    /// A figure whose goal is a multiple of a baseline measured in the same run.
    pub fn over(name: &str, value: f64, unit: &'static str, baseline: f64, goal: f64) -> Row {
        Row { name: name.into(), value, unit, limit: Some(baseline * goal), ratio: Some(value / baseline) }
    }
}

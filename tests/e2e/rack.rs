//! The rack of faults: short forms of what can also be run for longer, and the proof that its books find what they are for.

mod frozen;
mod hanging;
mod kill_points;
mod planted;
mod rough;
mod take_overs;

//! Time as the data plane counts it: microseconds since the process started, by the clock that the registry tells time by, too.

pub use registry::clock::now_us;
